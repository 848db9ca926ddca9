/* What a product y = W x costs in instructions: run under the plugin count.c. For every tier of the build, several
   formats, group sizes and widths; the bits must be those of plain C. Prints one line a product, in the order of the
   counts: tier, format, group size (0: the row), columns, multiplications, whether the bits are the same. */
#define CQUANT_STATIC
#define CQUANT_IMPLEMENTATION
#include "cquant.h"

#include "board.h"

#ifdef SMALL /* a board with 16 KB */
enum { ROWS = 16, WIDTHS = 1, WIDEST = 256 };
static const size_t widths[] = {256};
#else
enum { ROWS = 32, WIDTHS = 2, WIDEST = 4096 };
static const size_t widths[] = {512, 4096};
#endif
static unsigned char weights[ROWS * WIDEST + ROWS * WIDEST / 16 + 256] __attribute__((aligned(64)));
static unsigned char memory[WIDEST + WIDEST / 8 + 1024] __attribute__((aligned(64)));

void count_begin(void);
void count_end(void);
__attribute__((noinline)) void count_begin(void) { __asm__ volatile(""); }
__attribute__((noinline)) void count_end(void) { __asm__ volatile(""); }

static void say_number(size_t value) {
    bare_say(" ");
    board_print_number(value, 10);
}
static int product(cq_format format, size_t cols, size_t group_size) {
    cq_tensor t;
    cq_acts acts;
    cq_context ctx;
    cq_context_desc desc = {"scalar", {NULL, NULL}};
    cq_arena arena = cq_arena_over(memory, sizeof memory);
    float plain[ROWS], y[ROWS];
    int bad = 0;
    if (cq_tensor_init(&t, format, CQ_PANELS, ROWS, cols, group_size, false, NULL)) return 2;
    if (t.bytes > sizeof weights) return 2;
    for (size_t i = 0; i < t.bytes; i++) weights[i] = (unsigned char)(cq_random(1, 0, i) >> 56);
    for (size_t p = 0; p < cq_panel_count(&t); p++) /* scales near 1 */
        for (size_t i = 0; i < cq_tensor_groups(&t) * CQ__ROWS; i++) {
            unsigned char *s = weights + p * cq_panel_bytes(&t) + cq__scale_bytes(&t) * i;
            s[cq__scale_bytes(&t) - 1] = cq_format_is_mx(format) ? (unsigned char)(120 + (s[0] & 7)) : 0x3c;
        }
    t.data = weights;
    cq_acts_alloc(&acts, &arena, 1, cols);
    if (arena.failed) return 2;
    acts.scale[0] = 0.01f;
    for (size_t i = 0; i < cols; i++) {
        int32_t q = (int32_t)(cq_random(2, 0, i) >> 56) - 128;
        acts.q[i] = (int8_t)(q < -127 ? -127 : q);
        acts.sum[i / 32] += acts.q[i];
    }
    for (size_t tier = 0; tier == 0 || desc.isa; tier++) { /* plain C first and last */
        if (cq_init(&ctx, &desc, NULL)) return 2;
        count_begin();
        cq_matmul_q8(&ctx, tier ? y : plain, ROWS, &t, NULL, &acts, 1, false);
        count_end();
        int differs = 0;
        for (size_t r = 0; r < ROWS && tier; r++) differs |= cq__bits(y[r]) != cq__bits(plain[r]);
        bare_say(tier ? cq_isa(&ctx) : "reference");
        bare_say(" ");
        bare_say(cq_format_name(format));
        say_number(group_size);
        say_number(cols);
        say_number(ROWS * cols);
        bare_say(differs ? " differs\n" : " same\n");
        bad |= differs;
        desc.isa = cq_isa_available(tier);
    }
    return bad;
}
int main(void) {
    static const size_t groups[] = {32, 64, 128, 0};
    int bad = 0;
    for (size_t w = 0; w < WIDTHS; w++) {
        for (size_t g = 0; g < 4; g++) bad |= product(CQ_INT4, widths[w], groups[g]);
        for (size_t g = 0; g < 4; g++) bad |= product(CQ_INT8, widths[w], groups[g]);
        bad |= product(CQ_INT3, widths[w], 128) | product(CQ_INT2, widths[w], 128) | product(CQ_MXFP4, widths[w], 32);
    }
    return bad;
}
