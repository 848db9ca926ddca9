/* One of two translation units which each hold a private copy of everything (CQUANT_STATIC). */
#define CQUANT_STATIC
#define CQUANT_IMPLEMENTATION
#include CQUANT_HEADER
#ifdef SECOND
extern int cq_probe_unit(void);
int cq_probe_unit(void) {
    cq_context ctx;
    return (int)cq_init(&ctx, NULL, NULL);
}
#else
extern int cq_probe_unit(void);
int main(void) {
    cq_context ctx;
    return (int)cq_init(&ctx, NULL, NULL) + cq_probe_unit();
}
#endif
