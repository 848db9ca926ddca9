/* A user of the declarations, in C or C++, linked with an implementation that was compiled as C. */
#include CQUANT_HEADER
int main(void) {
    cq_context ctx;
    return cq_init(&ctx, NULL, NULL) == CQ_OK && cq_isa(&ctx) ? 0 : 1;
}
