/* CMSIS-NN's product of a vector and a matrix on an emulated board, for its count of instructions: 32 rows, as
   tests/firmware/gemv.c. Built with -DS4: 4-bit weights; else 8-bit. One line a width: columns, multiplications. Wrong
   sums of the first row are an error. */
#include "arm_nnsupportfunctions.h"

#include "board.h"

enum { ROWS = 32, WIDEST = 4096 };
static const int32_t widths[] = {512, 4096};
static int8_t weights[ROWS * WIDEST], x[WIDEST], y[ROWS];
static int32_t bias[ROWS], sums[ROWS];

void count_begin(void);
void count_end(void);
__attribute__((noinline)) void count_begin(void) { __asm__ volatile(""); }
__attribute__((noinline)) void count_end(void) { __asm__ volatile(""); }

int main(void) {
    uint32_t r = 1;
    for (int32_t i = 0; i < ROWS * WIDEST; i++) weights[i] = (int8_t)((r = r * 1664525u + 1013904223u) >> 24);
    for (int32_t i = 0; i < WIDEST; i++) x[i] = (int8_t)((r = r * 1664525u + 1013904223u) >> 24);
    for (int w = 0; w < 2; w++) {
        int32_t cols = widths[w], dot = 0;
        for (int32_t k = 0; k < cols; k++) {
#ifdef S4
            dot += x[k] * (k & 1 ? weights[k / 2] >> 4 : (int8_t)(weights[k / 2] * 16) >> 4);
#else
            dot += x[k] * weights[k];
#endif
        }
        count_begin();
#ifdef S4
        arm_cmsis_nn_status bad =
            arm_nn_vec_mat_mult_t_s4(x, weights, bias, y, 0, 0, 1 << 30, -12, cols, ROWS, -128, 127);
#else
        arm_cmsis_nn_status bad =
            arm_nn_vec_mat_mult_t_s8(x, weights, sums, bias, y, 0, 0, 1 << 30, -12, cols, ROWS, -128, 127, 1, 0);
#endif
        count_end();
        int32_t want = (dot + (1 << 12)) >> 13; /* 2^30 / 2^31 and 12 places; how halves are rounded is theirs */
        want = want > 127 ? 127 : want < -128 ? -128 : want;
        if (bad || y[0] < want - 1 || y[0] > want + 1) return 1;
        board_print_number((uint32_t)cols, 10);
        bare_say(" ");
        board_print_number((uint32_t)(ROWS * cols), 10);
        bare_say("\n");
    }
    return 0;
}
