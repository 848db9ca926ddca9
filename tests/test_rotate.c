/* test_rotate.c - cquant_rotate.h: every construction exactly, the transforms against explicit matrices, errors.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_rotate.c -lcmocka -lm */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_rotate.h"

/* Exactly as many bytes as the queries say, so that the sanitizer sees the first one too many. */
static void *need(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* Numbers in [-1, 1) that have nothing to do with the code under test. */
static uint32_t noise_state;
static double noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)(noise_state >> 8) / 8388608.0 - 1;
}
static void fill_f64(double *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = noise();
}
static void fill_f32(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = (float)noise();
}

/* A rotation in memory of its own; the size is asked first and must be exactly what is used. */
static void *make(cq_rotation *r, cq_rotate_mode mode, size_t n, uint64_t seed, uint64_t stream) {
    cq_error err;
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    assert_int_equal(cq_rotation_init(r, mode, n, seed, stream, &dry, &err), CQ_OK);
    void *p = need(dry.used);
    arena = cq_arena_over(p, dry.used);
    assert_int_equal(cq_rotation_init(r, mode, n, seed, stream, &arena, &err), CQ_OK);
    assert_int_equal(arena.used, dry.used);
    return p;
}

static cq_hadamard build(size_t n, void **memory) {
    cq_hadamard h;
    cq_error err;
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    if (cq_hadamard_init(&h, n, &dry, &err) != CQ_OK) fail_msg("order %zu: %s", n, err.what);
    *memory = need(dry.used);
    arena = cq_arena_over(*memory, dry.used);
    assert_int_equal(cq_hadamard_init(&h, n, &arena, &err), CQ_OK);
    assert_int_equal(arena.used, dry.used);
    assert_int_equal(h.n, n);
    assert_int_equal(h.k1 * h.k2 * h.pow2, n);
    return h;
}

/* H H^T = n I in integers, entries +-1. Rows as bits, so that 924^2 products stay cheap. */
static void check_hadamard(size_t n) {
    void *memory;
    cq_hadamard h = build(n, &memory);
    size_t words = (n + 63) / 64;
    uint64_t *bits = (uint64_t *)calloc(n * words, sizeof *bits);
    assert_non_null(bits);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            int v = cq_hadamard_sign(&h, i, j);
            if (v != 1 && v != -1) fail_msg("order %zu: entry %d at %zu, %zu", n, v, i, j);
            if (v < 0) bits[i * words + j / 64] |= (uint64_t)1 << j % 64;
        }
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            size_t differ = 0;
            for (size_t w = 0; w < words; w++)
                for (uint64_t b = bits[i * words + w] ^ bits[k * words + w]; b; b &= b - 1) differ++;
            if (2 * differ != n) fail_msg("order %zu: rows %zu and %zu differ in %zu places", n, i, k, differ);
        }
    free(bits);
    free(memory);
}

/* Catches a wrong character in a table, a wrong field, a wrong block or sign in an array. */
static void test_every_order_below_300(void **state) {
    (void)state;
    check_hadamard(1);
    check_hadamard(2);
    for (size_t n = 4; n <= 300; n += 4) check_hadamard(n);
}

/* The larger cores that models need; 356: TT(30); 344: Paley I over 7^3; 684, 924: large Paley; 432: two cores. */
static void test_larger_orders(void **state) {
    static const size_t n[] = {340, 344, 356, 428, 432, 512, 576, 684, 924};
    (void)state;
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++) check_hadamard(n[i]);
}

/* The factors are a contract: they fix what a given seed means. */
static void test_factors(void **state) {
    static const size_t want[][4] = {
        {1, 1, 1, 1},         {2, 1, 1, 2},          {4096, 1, 1, 4096},   {12, 12, 1, 1},        {576, 36, 1, 16},
        {3584, 28, 1, 128},   {2880, 180, 1, 16},    {2688, 84, 1, 32},    {18944, 148, 1, 128},  {13696, 428, 1, 32},
        {15680, 140, 28, 4},  {5504, 172, 1, 32},    {80, 20, 1, 4},       {1856, 116, 1, 16},    {684, 684, 1, 1},
        {29568, 84, 44, 8},   {21760, 68, 20, 16},   {2672, 2672, 1, 1},   {184, 92, 1, 2},       {244, 244, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        cq_hadamard h;
        cq_arena dry = cq_arena_over(NULL, 0);
        assert_int_equal(cq_hadamard_init(&h, want[i][0], &dry, NULL), CQ_OK);
        assert_int_equal(h.k1, want[i][1]);
        assert_int_equal(h.k2, want[i][2]);
        assert_int_equal(h.pow2, want[i][3]);
    }
}

/* Orders that cannot exist, orders nobody can build, orders we do not build: refused, and the nearest are named. */
static void test_refused_orders(void **state) {
    static const size_t bad[][3] = {/* n, below, above */
                                    {3, 2, 4},       {5, 4, 8},       {6, 4, 8},       {13, 12, 16},     {18, 16, 20},
                                    {668, 664, 672}, {892, 888, 896}, {716, 712, 720}, {8002, 8000, 8008}};
    unsigned char memory[64];
    size_t below, above;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cq_hadamard h;
        cq_rotation r;
        cq_error err;
        cq_arena arena = cq_arena_over(memory, sizeof memory);
        assert_int_equal(cq_hadamard_init(&h, bad[i][0], &arena, &err), CQ_ERR_UNSUPPORTED);
        assert_int_equal(err.status, CQ_ERR_UNSUPPORTED);
        assert_int_equal(err.got, bad[i][0]);
        assert_non_null(strstr(err.what, "cq_hadamard_nearest"));
        assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_HADAMARD, bad[i][0], 1, 0, &arena, &err), CQ_ERR_UNSUPPORTED);
        cq_hadamard_nearest(bad[i][0], &below, &above);
        assert_int_equal(below, bad[i][1]);
        assert_int_equal(above, bad[i][2]);
    }
    for (size_t n = 1; n < 3000; n++) { /* what is named can be built, nothing nearer can */
        cq_hadamard h;
        cq_arena dry = cq_arena_over(NULL, 0);
        bool can = cq_hadamard_init(&h, n, &dry, NULL) == CQ_OK;
        cq_hadamard_nearest(n, &below, &above);
        assert_true(can ? below == n && above == n : below < n && above > n);
        assert_int_equal(cq_hadamard_init(&h, below, &dry, NULL), CQ_OK);
        assert_int_equal(cq_hadamard_init(&h, above, &dry, NULL), CQ_OK);
        for (size_t m = below + 1; m < above; m++) assert_int_not_equal(cq_hadamard_init(&h, m, &dry, NULL), CQ_OK);
    }
    cq_hadamard_nearest(0, &below, &above);
    assert_int_equal(below, 0);
    assert_int_equal(above, 1);
    cq_hadamard_nearest(SIZE_MAX, &below, &above); /* must end, and must not wrap */
    assert_true(below > 0 && above == 0);
    cq_hadamard_nearest(SIZE_MAX / 2 + 2, &below, &above);
    assert_true(below > 0 && (above == 0 || above >= SIZE_MAX / 2 + 2));
}

/* Every other status once: no order, no arena, arena too small, modes that need more, sizes that overflow. */
static void test_errors(void **state) {
    unsigned char memory[256];
    double eye[4] = {1, 0, 0, 1}, bad[4] = {1, 0, 0, 2}, nan2[4] = {1, 0, 0, 0};
    float x[8] = {0};
    cq_hadamard h;
    cq_rotation r;
    cq_error err;
    cq_arena arena = cq_arena_over(memory, sizeof memory);
    (void)state;
    nan2[2] = (double)NAN;
    assert_int_equal(cq_hadamard_init(&h, 0, &arena, &err), CQ_ERR_ARG);
    assert_int_equal(cq_hadamard_init(&h, 4, NULL, &err), CQ_ERR_ARG);
    assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_HADAMARD, 0, 0, 0, &arena, &err), CQ_ERR_ARG);
    assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_HADAMARD, 4, 0, 0, NULL, NULL), CQ_ERR_ARG);
    assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_DENSE, 4, 0, 0, &arena, &err), CQ_ERR_ARG);
    assert_non_null(strstr(err.what, "cq_rotation_import"));
    assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_ORTHOGONAL, SIZE_MAX / 2, 0, 0, &arena, &err), CQ_ERR_RANGE);
    assert_int_equal(cq_rotation_import(&r, eye, SIZE_MAX / 2, &arena, &err), CQ_ERR_RANGE);
    assert_int_equal(cq_rotation_import(&r, NULL, 2, &arena, &err), CQ_ERR_ARG);
    assert_int_equal(cq_rotation_import(&r, eye, 0, &arena, &err), CQ_ERR_ARG);
    assert_int_equal(cq_rotation_import(&r, bad, 2, &arena, &err), CQ_ERR_RANGE);
    assert_int_equal(err.where, 1);
    assert_int_equal(cq_rotation_import(&r, nan2, 2, &arena, &err), CQ_ERR_RANGE);
    assert_int_equal(err.where, 1);

    for (int mode = 0; mode < 3; mode++) { /* one byte short of what the dry run said */
        cq_arena dry = cq_arena_over(NULL, 0), tight;
        assert_int_equal(cq_rotation_init(&r, (cq_rotate_mode)mode, 12, 1, 0, &dry, &err), CQ_OK);
        void *p = need(dry.used);
        tight = cq_arena_over(p, dry.used - 1);
        assert_int_equal(cq_rotation_init(&r, (cq_rotate_mode)mode, 12, 1, 0, &tight, &err), CQ_ERR_MEMORY);
        tight = cq_arena_over(p, 1);
        assert_int_equal(cq_rotation_init(&r, (cq_rotate_mode)mode, 12, 1, 0, &tight, &err), CQ_ERR_MEMORY);
        free(p);
    }
    arena = cq_arena_over(memory, 16);
    assert_int_equal(cq_rotation_import(&r, eye, 2, &arena, &err), CQ_ERR_MEMORY);

    arena = cq_arena_over(memory, sizeof memory);
    assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_HADAMARD, 4, 1, 0, &arena, &err), CQ_OK);
    unsigned char *scratch = (unsigned char *)need(cq_rotation_scratch(NULL, &r));
    assert_int_equal(cq_rotate_rows_f32(NULL, &r, x, 1, 6, 6, scratch), CQ_ERR_ARG); /* 6 is no multiple of 4 */
    assert_int_equal(cq_rotate_cols_f32(NULL, &r, x, 6, 1, 1, scratch), CQ_ERR_ARG);
    assert_int_equal(cq_rotate_rows_f32(NULL, &r, x, 2, 4, 3, scratch), CQ_ERR_ARG); /* rows that overlap */
    assert_int_equal(cq_rotate_cols_f32(NULL, &r, x, 4, 2, 1, scratch), CQ_ERR_ARG);
    assert_int_equal(cq_rotate_rows_f32(NULL, &r, x, 0, 4, 4, scratch), CQ_OK); /* nothing to do */
    assert_int_equal(cq_rotate_cols_f32(NULL, &r, x, 0, 4, 4, scratch), CQ_OK);
    free(scratch);
}

/* Our own logarithm, root and cosine against libm: a term too few, a wrong quadrant. */
static void test_small_mathematics(void **state) {
    (void)state;
    noise_state = 7;
    for (int i = 0; i < 20000; i++) {
        double u = ldexp(noise() * 0.5 + 0.5 + 1e-9, -(i % 54)), v = noise() * 0.5 + 0.5;
        double s = ldexp(noise() + 1.5, i % 90 - 45);
        if (u > 1) u = 1;
        assert_true(fabs(cq__log(u) - log(u)) <= 1e-14 * fmax(1, fabs(log(u))));
        assert_true(fabs(cq__cos_turn(v) - cos(2 * 3.14159265358979323846 * v)) <= 1e-14);
        assert_true(fabs(cq__sqrt(s) - sqrt(s)) <= 4e-16 * sqrt(s));
    }
    assert_true(cq__log(1) == 0 && cq__sqrt(0) == 0 && cq__cos_turn(0) == 1);
    assert_true(fabs(cq__log(ldexp(1, -53)) - log(ldexp(1, -53))) < 1e-14 * 37);
    for (int i = 0; i < 8; i++) assert_true(fabs(cq__cos_turn(i / 8.0) - cos(i * 3.14159265358979323846 / 4)) < 1e-15);
    for (int i = 1; i < 3000; i++) assert_true(cq__sqrt((double)i * i) == i);
}

/* Means, variance, fourth moment of the deviates; the first ones by value, so that no machine may differ. */
static void test_gauss(void **state) {
    double m1 = 0, m2 = 0, m4 = 0;
    int n = 40000;
    (void)state;
    for (int i = 0; i < n; i++) {
        double g = cq__gauss(3, 9, (uint64_t)i);
        m1 += g;
        m2 += g * g;
        m4 += g * g * g * g;
    }
    assert_true(fabs(m1 / n) < 0.02);
    assert_true(fabs(m2 / n - 1) < 0.03);
    assert_true(fabs(m4 / n - 3) < 0.25);
    for (uint64_t i = 0; i < 100; i++) { /* the definition, with libm */
        double u = ((double)(cq_random(3, 9, 2 * i) >> 11) + 1) / 9007199254740992.0;
        double v = (double)(cq_random(3, 9, 2 * i + 1) >> 11) / 9007199254740992.0;
        assert_true(fabs(cq__gauss(3, 9, i) - sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v)) < 1e-13);
    }
}

/* The passes of two levels in blocks equal the textbook loop bit for bit, for any number of vectors side by side. */
static void test_fwht_bits(void **state) {
    static const size_t widths[] = {1, 3, 8, 16};
    (void)state;
    noise_state = 1;
    for (size_t w = 0; w < 4; w++)
        for (size_t p = 1; p <= 8192; p *= 2) {
            size_t len = p * widths[w];
            float *x = (float *)need(len * sizeof *x), *y = (float *)need(len * sizeof *y);
            fill_f32(x, len);
            memcpy(y, x, len * sizeof *x);
            for (size_t s = widths[w]; s < len; s *= 2)
                for (size_t j = 0; j < len; j += 2 * s)
                    for (size_t i = j; i < j + s; i++) {
                        float a = y[i], b = y[i + s];
                        y[i] = a + b;
                        y[i + s] = a - b;
                    }
            cq__fwht_f32_c(x, len, widths[w], NULL);
            assert_memory_equal(x, y, len * sizeof *x);
            free(x);
            free(y);
        }
}

/* x <- (C1 (x) C2 (x) S) x / sqrt(n) against the matrix that cq_hadamard_sign spells out, and back. */
static void test_transform_is_the_matrix(void **state) {
    static const size_t orders[] = {1,  2,  4,  8,   12,  20,  24,  28,  36,  48,  52,
                                    80, 92, 112, 156, 172, 192, 268, 428, 432, 576, 640};
    (void)state;
    noise_state = 2;
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        size_t n = orders[o];
        void *memory;
        cq_hadamard h = build(n, &memory);
        double *x = (double *)need(n * 8), *y = (double *)need(n * 8);
        void *s = need(cq_hadamard_scratch(&h));
        float *xf = (float *)need(n * 4);
        fill_f64(x, n);
        for (size_t i = 0; i < n; i++) xf[i] = (float)x[i];
        for (size_t i = 0; i < n; i++) {
            y[i] = 0;
            for (size_t j = 0; j < n; j++) y[i] += cq_hadamard_sign(&h, i, j) * x[j];
            y[i] /= sqrt((double)n);
        }
        double *original = (double *)need(n * 8);
        memcpy(original, x, n * 8);
        cq_hadamard_f64(NULL, &h, x, s, false);
        cq_hadamard_f32(NULL, &h, xf, s, false);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs(x[i] - y[i]) < 1e-13);
            assert_true(fabs((double)xf[i] - y[i]) < 3e-6);
        }
        cq_hadamard_f64(NULL, &h, x, s, true);
        cq_hadamard_f32(NULL, &h, xf, s, true);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs(x[i] - original[i]) < 1e-13);
            assert_true(fabs((double)xf[i] - original[i]) < 3e-6);
        }
        free(original);
        free(xf);
        free(x);
        free(y);
        free(s);
        free(memory);
    }
}

#ifdef CQUANT_TEST_QUICK
enum { ORDER_STEP = 36, TIER_STEP = 96, LARGEST = 20000, SAMPLES = 3 }; /* some of the cores; the full run takes all */
#else
enum { ORDER_STEP = 4, TIER_STEP = 4, LARGEST = 100000, SAMPLES = 9 };
#endif

/* The contexts to compare: NULL, then every tier that this machine has. */
static size_t tiers(cq_context *ctx /* (4) */, const cq_context **list /* (5) */) {
    size_t count = 0;
    list[0] = NULL;
    for (; count < 4 && cq_isa_available(count); count++) {
        cq_context_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.isa = cq_isa_available(count);
        assert_int_equal(cq_init(&ctx[count], &desc, NULL), CQ_OK);
        list[count + 1] = &ctx[count];
    }
    return count + 1;
}

/* The orders that every test of exactness goes through, times 1, 2, 4, 8: all cores, 428, products of two; 0 ends. */
static size_t core_order(size_t index) {
    static const size_t more[] = {1, 2, 428, 140 * 28, 84 * 44, 68 * 20, 100 * 12};
    enum { MORE = sizeof more / sizeof more[0] };
    size_t k = 12 + (index - MORE) * ORDER_STEP;
    return index < MORE ? more[index] : k <= 300 ? k : 0;
}

/* H^T H = n I in exact arithmetic: H e_i is row i of the signs, and H^T H e_i = n e_i to the last bit, through the
   transform, with every tier. Catches a nibble, a transposed table or a lane in the wrong place. */
static void test_transform_exactly(void **state) {
    cq_context ctx[4];
    const cq_context *list[5];
    size_t count = tiers(ctx, list);
    (void)state;
    for (size_t c = 0, k; (k = core_order(c)) != 0; c++)
        for (size_t n = k; n <= 8 * k; n *= 2) {
            void *memory;
            cq_hadamard h = build(n, &memory);
            float *x = (float *)need(n * 4);
            double *y = (double *)need(n * 8);
            void *scratch = need(cq_hadamard_scratch(&h));
            size_t step = n <= 60 ? 1 : n / SAMPLES;
            for (size_t t = 0; t < count; t++)
                for (size_t i = 0; i < n; i += step)
                    for (int inverse = 0; inverse < 2; inverse++) {
                        memset(x, 0, n * 4);
                        memset(y, 0, n * 8);
                        x[i] = 1;
                        y[i] = 1;
                        cq__transform_f32(list[t], &h, x, 1, scratch, inverse != 0);
                        cq__transform_f64(list[t], &h, y, 1, scratch, inverse != 0);
                        for (size_t j = 0; j < n; j++) {
                            int sign = inverse ? cq_hadamard_sign(&h, i, j) : cq_hadamard_sign(&h, j, i);
                            if (x[j] != (float)sign || y[j] != sign) fail_msg("order %zu: entry %zu, %zu", n, i, j);
                        }
                        cq__transform_f32(list[t], &h, x, 1, scratch, inverse == 0);
                        cq__transform_f64(list[t], &h, y, 1, scratch, inverse == 0);
                        for (size_t j = 0; j < n; j++) {
                            double want = i == j ? (double)n : 0;
                            if ((double)x[j] != want || y[j] != want) fail_msg("order %zu: H^T H at %zu, %zu", n, i, j);
                        }
                    }
            free(scratch);
            free(x);
            free(y);
            free(memory);
        }
}

/* |R R^T - I| <= 1e-14 sqrt(n) in double: of the matrix itself where that is small, and of the transform: columns of it
   against each other, and vectors there and back. */
static void test_orthogonality(void **state) {
    enum { COLUMNS = 4 };
    cq_context ctx;
    (void)state;
    noise_state = 21;
    assert_int_equal(cq_init(&ctx, NULL, NULL), CQ_OK);
    for (size_t o = 0, k; (k = core_order(o)) != 0; o++)
        for (size_t n = k; n <= 8 * k; n *= 2) {
            cq_rotation r;
            void *memory = make(&r, CQ_ROTATE_HADAMARD, n, 3, n), *scratch = need(cq_hadamard_scratch(&r.h));
            double *x = (double *)need((COLUMNS + 1) * n * 8), *y = x + COLUMNS * n, bound = 1e-14 * sqrt((double)n);
            if (n <= 428) {
                double *m = (double *)need(n * n * 8);
                cq_rotation_matrix(&r, m);
                assert_true(cq_orthogonality_error(m, n, n / 8) <= bound);
                free(m);
            }
            memset(x, 0, COLUMNS * n * 8);
            for (size_t c = 0; c < COLUMNS; c++) {
                x[c * n + c * (n - 1) / COLUMNS] = 1;
                cq_hadamard_f64(&ctx, &r.h, x + c * n, scratch, c % 2 != 0);
            }
            for (size_t a = 0; a < COLUMNS; a++)
                for (size_t b = a; b < COLUMNS; b += 2) { /* columns of the same matrix */
                    double sum = a * (n - 1) / COLUMNS == b * (n - 1) / COLUMNS ? -1 : 0;
                    for (size_t i = 0; i < n; i++) sum += x[a * n + i] * x[b * n + i];
                    if (!(fabs(sum) <= bound)) fail_msg("order %zu: columns %zu, %zu: %g", n, a, b, sum);
                }
            fill_f64(x, n);
            memcpy(y, x, n * 8);
            cq_hadamard_f64(&ctx, &r.h, y, scratch, false);
            cq_hadamard_f64(&ctx, &r.h, y, scratch, true);
            for (size_t i = 0; i < n; i++)
                if (!(fabs(y[i] - x[i]) <= bound)) fail_msg("order %zu: %g comes back as %g", n, x[i], y[i]);
            free(x);
            free(scratch);
            free(memory);
        }
}

/* One order with one tier against plain C: single vectors and w side by side, both directions, addresses that no vector
   load likes. */
static void compare_transforms(const cq_context *ctx, size_t n) {
    static const size_t widths[] = {1, 3, 8, 16, 20};
    void *memory;
    cq_hadamard h = build(n, &memory);
    void *scratch = need(cq_hadamard_scratch(&h));
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        size_t len = n * widths[w];
        float *f = (float *)need((2 * len + 1) * 4), *f1 = f + 1, *f2 = f1 + len;
        double *d = (double *)need((2 * len + 1) * 8), *d1 = d + 1, *d2 = d1 + len;
        if (widths[w] > 1 && n > 4096) len = 0;
        for (int way = 0; len && way < (widths[w] > 1 ? 2 : 4); way++) {
            bool inverse = way % 2 != 0;
            fill_f64(d1, len);
            for (size_t i = 0; i < len; i++) f1[i] = (float)d1[i];
            memcpy(f2, f1, len * 4);
            memcpy(d2, d1, len * 8);
            if (way < 2) {
                cq__transform_f32(NULL, &h, f1, widths[w], scratch, inverse);
                cq__transform_f32(ctx, &h, f2, widths[w], scratch, inverse);
                cq__transform_f64(NULL, &h, d1, widths[w], scratch, inverse);
                cq__transform_f64(ctx, &h, d2, widths[w], scratch, inverse);
            } else {
                cq_hadamard_f32(NULL, &h, f1, scratch, inverse);
                cq_hadamard_f32(ctx, &h, f2, scratch, inverse);
                cq_hadamard_f64(NULL, &h, d1, scratch, inverse);
                cq_hadamard_f64(ctx, &h, d2, scratch, inverse);
            }
            if (memcmp(f1, f2, len * 4) || memcmp(d1, d2, len * 8))
                fail_msg("order %zu, %zu vectors, way %d: %s is not plain C", n, widths[w], way, cq_isa(ctx));
        }
        free(f);
        free(d);
    }
    free(scratch);
    free(memory);
}

/* The same of a rotation applied to rows and to columns, of odd numbers, with a gap between the rows. */
static void compare_rotations(const cq_context *ctx, cq_rotate_mode mode, size_t n, size_t blocks, size_t other) {
    cq_rotation r;
    void *memory = make(&r, mode, n, 9, n), *scratch = need(cq_rotation_scratch(NULL, &r));
    for (int cols = 0; cols < 2; cols++) {
        size_t rows = cols ? n * blocks : other, width = cols ? other : n * blocks, ld = width + 3, len = rows * ld;
        float *f = (float *)need((2 * len + 1) * 4), *f1 = f + 1, *f2 = f1 + len;
        double *d = (double *)need((2 * len + 1) * 8), *d1 = d + 1, *d2 = d1 + len;
        fill_f64(d1, len);
        for (size_t i = 0; i < len; i++) f1[i] = (float)d1[i];
        memcpy(f2, f1, len * 4);
        memcpy(d2, d1, len * 8);
        for (int plain = 0; plain < 2; plain++) {
            const cq_context *with = plain ? NULL : ctx;
            float *x = plain ? f1 : f2;
            double *y = plain ? d1 : d2;
            if (cols) {
                assert_int_equal(cq_rotate_cols_f32(with, &r, x, rows, width, ld, scratch), CQ_OK);
                assert_int_equal(cq_rotate_cols_f64(with, &r, y, rows, width, ld, scratch), CQ_OK);
            } else {
                assert_int_equal(cq_rotate_rows_f32(with, &r, x, rows, width, ld, scratch), CQ_OK);
                assert_int_equal(cq_rotate_rows_f64(with, &r, y, rows, width, ld, scratch), CQ_OK);
            }
        }
        if (memcmp(f1, f2, len * 4) || memcmp(d1, d2, len * 8))
            fail_msg("n %zu, mode %d, %s: %s is not plain C", n, (int)mode, cols ? "columns" : "rows", cq_isa(ctx));
        free(f);
        free(d);
    }
    free(scratch);
    free(memory);
}

/* Every tier gives the bits of plain C, for all orders and shapes. */
static void test_tiers(void **state) {
    static const size_t orders[] = {1, 2, 4, 8, 16, 28, 64, 80, 96, 112, 120, 128, 148, 160, 192, 428, 640, 1008, 2048};
    cq_context ctx[4];
    const cq_context *list[5];
    size_t count = tiers(ctx, list);
    (void)state;
    noise_state = 12;
    for (size_t t = 1; t < count; t++) {
        for (size_t n = 1; n <= 32768; n *= 2) compare_transforms(list[t], n);
        for (size_t k = 12; k <= 300; k += TIER_STEP)
            for (size_t n = k; n <= 16 * k; n *= 4) compare_transforms(list[t], n);
        compare_transforms(list[t], 428 * 8);
        compare_transforms(list[t], 15680);
        compare_transforms(list[t], 2672);
        for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
            static const size_t other[] = {1, 5, 16, 67, 530};
            for (size_t o = 0; o < sizeof other / sizeof other[0]; o++)
                if (orders[i] * other[o] < LARGEST)
                    compare_rotations(list[t], i % 2 ? CQ_ROTATE_HADAMARD : CQ_ROTATE_BASE_HADAMARD, orders[i],
                                      1 + i % 3, other[o]);
        }
        for (size_t n = 1; n <= 19; n += 3) compare_rotations(list[t], CQ_ROTATE_ORTHOGONAL, n, 2, 13);
    }
}

/* Widths of real models, too large for a matrix here: there and back, lengths kept, a unit vector made flat. */
static void test_model_widths(void **state) {
    static const size_t widths[] = {576, 2688, 2880, 3584, 5504, 13696, 15680, 18944, 29568};
    (void)state;
    noise_state = 3;
    for (size_t o = 0; o < sizeof widths / sizeof widths[0]; o++) {
        size_t n = widths[o];
        void *memory;
        cq_hadamard h = build(n, &memory);
        double *x = (double *)need(n * 8), *y = (double *)need(n * 8);
        void *s = need(cq_hadamard_scratch(&h));
        double before = 0, after = 0;
        fill_f64(x, n);
        memcpy(y, x, n * 8);
        cq_hadamard_f64(NULL, &h, y, s, false);
        for (size_t i = 0; i < n; i++) before += x[i] * x[i], after += y[i] * y[i];
        assert_true(fabs(after / before - 1) < 1e-12);
        cq_hadamard_f64(NULL, &h, y, s, true);
        for (size_t i = 0; i < n; i++) assert_true(fabs(x[i] - y[i]) < 1e-12);
        memset(y, 0, n * 8);
        y[n / 3] = 1;
        cq_hadamard_f64(NULL, &h, y, s, false);
        for (size_t i = 0; i < n; i++) assert_true(fabs(fabs(y[i]) * sqrt((double)n) - 1) < 1e-14);
        free(x);
        free(y);
        free(s);
        free(memory);
    }
}

/* R is orthogonal to 1e-12 in every mode; R[i][j] = s_i H[i][j] / sqrt(n), H = (C1 (x) C2 (x) S)^T. */
static void test_matrices(void **state) {
    static const size_t orders[] = {1, 2, 4, 12, 28, 64, 80, 116};
    (void)state;
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++)
        for (int mode = 0; mode < 3; mode++) {
            size_t n = orders[o];
            cq_rotation r;
            void *memory = make(&r, (cq_rotate_mode)mode, n, 11, 2);
            double *m = (double *)need(n * n * 8);
            cq_rotation_matrix(&r, m);
            assert_true(cq_orthogonality_error(m, n, 1) < 1e-12);
            assert_true(cq_orthogonality_error(m, n, 7) <= cq_orthogonality_error(m, n, 1));
            for (size_t i = 0; i < n && mode != CQ_ROTATE_ORTHOGONAL; i++) {
                int s = mode == CQ_ROTATE_BASE_HADAMARD || !(cq_random(11, 2, i / 64) >> i % 64 & 1) ? 1 : -1;
                for (size_t j = 0; j < n; j++)
                    assert_true(fabs(m[i * n + j] * s * cq_hadamard_sign(&r.h, j, i) * sqrt((double)n) - 1) < 1e-15);
            }
            if (n > 1) {
                m[1] += 1e-6; /* the measure must see it */
                assert_true(cq_orthogonality_error(m, n, 1) > 1e-7);
            }
            m[0] = (double)NAN;
            assert_true(isnan(cq_orthogonality_error(m, n, 0)));
            free(m);
            free(memory);
        }
}

/* rows: x . R, cols: R^T . w, against explicit products; R repeats along longer axes; what lies beyond cols stays. */
static void test_rows_and_cols(void **state) {
    static const struct {
        cq_rotate_mode mode;
        size_t n, blocks, other; /* other: the axis that is not rotated */
    } cases[] = {{CQ_ROTATE_HADAMARD, 12, 1, 1},       {CQ_ROTATE_HADAMARD, 12, 3, 17},
                 {CQ_ROTATE_HADAMARD, 16, 2, 33},      {CQ_ROTATE_HADAMARD, 80, 2, 9},
                 {CQ_ROTATE_HADAMARD, 432, 1, 5},      {CQ_ROTATE_HADAMARD, 1, 3, 4},
                 {CQ_ROTATE_HADAMARD, 2, 5, 20},       {CQ_ROTATE_BASE_HADAMARD, 28, 2, 16},
                 {CQ_ROTATE_ORTHOGONAL, 5, 3, 11},     {CQ_ROTATE_ORTHOGONAL, 17, 1, 8},
                 {CQ_ROTATE_DENSE, 17, 2, 3},          {CQ_ROTATE_DENSE, 64, 1, 19}};
    (void)state;
    noise_state = 5;
    for (size_t t = 0; t < sizeof cases / sizeof cases[0]; t++) {
        size_t n = cases[t].n, axis = n * cases[t].blocks, other = cases[t].other, pad = t % 3;
        cq_rotation r;
        double *m = (double *)need(n * n * 8);
        bool dense = cases[t].mode == CQ_ROTATE_DENSE;
        void *memory = make(&r, dense ? CQ_ROTATE_ORTHOGONAL : cases[t].mode, n, 5, t), *imported = NULL;
        cq_rotation_matrix(&r, m);
        if (dense) { /* through the import, and out again unchanged */
            cq_arena dry = cq_arena_over(NULL, 0), arena;
            double *again = (double *)need(n * n * 8);
            assert_int_equal(cq_rotation_import(&r, m, n, &dry, NULL), CQ_OK);
            imported = need(dry.used);
            arena = cq_arena_over(imported, dry.used);
            assert_int_equal(cq_rotation_import(&r, m, n, &arena, NULL), CQ_OK);
            cq_rotation_matrix(&r, again);
            assert_memory_equal(again, m, n * n * 8);
            free(again);
        }
        void *scratch = need(cq_rotation_scratch(NULL, &r));
        for (int cols = 0; cols < 2; cols++) {
            size_t h = cols ? axis : other, w = cols ? other : axis, ld = w + pad;
            double *x = (double *)need(h * ld * 8), *y = (double *)need(h * ld * 8);
            float *xf = (float *)need(h * ld * 4);
            fill_f64(x, h * ld);
            for (size_t i = 0; i < h * ld; i++) xf[i] = (float)x[i];
            memcpy(y, x, h * ld * 8);
            for (size_t i = 0; i < h; i++)
                for (size_t j = 0; j < w; j++) {
                    size_t at = cols ? i : j, first = at - at % n;
                    double sum = 0;
                    for (size_t k = 0; k < n; k++)
                        sum += m[k * n + at % n] * (cols ? x[(first + k) * ld + j] : x[i * ld + first + k]);
                    y[i * ld + j] = sum;
                }
            assert_int_equal(cols ? cq_rotate_cols_f64(NULL, &r, x, h, w, ld, scratch)
                                  : cq_rotate_rows_f64(NULL, &r, x, h, w, ld, scratch), CQ_OK);
            assert_int_equal(cols ? cq_rotate_cols_f32(NULL, &r, xf, h, w, ld, scratch)
                                  : cq_rotate_rows_f32(NULL, &r, xf, h, w, ld, scratch), CQ_OK);
            for (size_t i = 0; i < h * ld; i++) {
                if (i % ld >= w) assert_true(x[i] == y[i]); /* the padding */
                assert_true(fabs(x[i] - y[i]) < 1e-12);
                assert_true(fabs((double)xf[i] - y[i]) < 4e-6);
            }
            free(x);
            free(y);
            free(xf);
        }
        free(scratch);
        free(imported);
        free(memory);
        free(m);
    }
}

/* The point of it all: reader(W R), stream(h R), writer(R^T W): products and lengths are those from before. */
static void test_logits_stay(void **state) {
    size_t n = 48, out = 7, in = 9;
    cq_rotation r;
    void *memory = make(&r, CQ_ROTATE_HADAMARD, n, 99, 0), *scratch = need(cq_rotation_scratch(NULL, &r));
    double reader[7 * 48], writer[48 * 9], bias[48], x[9], h[48], want[7] = {0}, got[7] = {0}, rms = 0, rms2 = 0;
    (void)state;
    noise_state = 8;
    fill_f64(reader, out * n);
    fill_f64(writer, n * in);
    fill_f64(bias, n);
    fill_f64(x, in);
    for (int pass = 0; pass < 2; pass++) {
        double *y = pass ? got : want, *len = pass ? &rms2 : &rms;
        for (size_t i = 0; i < n; i++) {
            h[i] = bias[i];
            for (size_t k = 0; k < in; k++) h[i] += writer[i * in + k] * x[k];
            *len += h[i] * h[i];
        }
        for (size_t i = 0; i < out; i++)
            for (size_t k = 0; k < n; k++) y[i] += reader[i * n + k] * h[k];
        cq_rotate_rows_f64(NULL, &r, reader, out, n, n, scratch);
        cq_rotate_cols_f64(NULL, &r, writer, n, in, in, scratch);
        cq_rotate_rows_f64(NULL, &r, bias, 1, n, n, scratch);
    }
    for (size_t i = 0; i < out; i++) assert_true(fabs(want[i] - got[i]) < 1e-12);
    assert_true(fabs(rms - rms2) < 1e-11);
    free(scratch);
    free(memory);
}

/* Haar: moments of single entries, and no bias in the sign of any column (the defect of a plain QR). */
static void test_haar(void **state) {
    enum { N = 5, DRAWS = 3000 };
    double mean[N * N] = {0}, square[N * N] = {0}, fourth = 0, det = 0;
    (void)state;
    for (uint64_t d = 0; d < DRAWS; d++) {
        unsigned char memory[1024];
        cq_arena arena = cq_arena_over(memory, sizeof memory);
        cq_rotation r;
        double m[N * N];
        assert_int_equal(cq_rotation_init(&r, CQ_ROTATE_ORTHOGONAL, N, 42, d, &arena, NULL), CQ_OK);
        cq_rotation_matrix(&r, m);
        for (size_t i = 0; i < N * N; i++) {
            mean[i] += m[i] / DRAWS;
            square[i] += m[i] * m[i] / DRAWS;
            fourth += m[i] * m[i] * m[i] * m[i] / DRAWS / (N * N);
        }
        double a[N * N], sign = 1; /* determinant by elimination: +1 and -1 equally often */
        memcpy(a, m, sizeof a);
        for (size_t k = 0; k < N; k++) {
            sign *= a[k * N + k] < 0 ? -1 : 1;
            for (size_t i = k + 1; i < N; i++)
                for (size_t j = N; j-- > k;) a[i * N + j] -= a[i * N + k] / a[k * N + k] * a[k * N + j];
        }
        det += sign / DRAWS;
    }
    for (size_t i = 0; i < N * N; i++) { /* standard errors 0.008 and 0.005 */
        assert_true(fabs(mean[i]) < 0.04);
        assert_true(fabs(square[i] - 1.0 / N) < 0.025);
    }
    assert_true(fabs(fourth - 3.0 / (N * (N + 2))) < 0.005); /* E q^4 = 3 / (n (n + 2)) on the sphere */
    assert_true(fabs(det) < 0.1);
}

/* Same seed and stream, same bits; any other seed or stream, another matrix. */
static void test_seeds(void **state) {
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        enum { N = 64 };
        static double m[4][N * N];
        static const uint64_t seed[4] = {1, 1, 2, 1}, stream[4] = {0, 0, 0, 1};
        for (int k = 0; k < 4; k++) {
            cq_rotation r;
            void *memory = make(&r, (cq_rotate_mode)mode, N, seed[k], stream[k]);
            cq_rotation_matrix(&r, m[k]);
            free(memory);
        }
        assert_memory_equal(m[0], m[1], sizeof m[0]);
        assert_true((memcmp(m[0], m[2], sizeof m[0]) == 0) == (mode == CQ_ROTATE_BASE_HADAMARD));
        assert_true((memcmp(m[0], m[3], sizeof m[0]) == 0) == (mode == CQ_ROTATE_BASE_HADAMARD));
    }
}

static void run_backwards(void *user, size_t count, cq_task task, void *arg) {
    *(size_t *)user = count;
    for (size_t i = count; i-- > 0;) task(arg, i);
}

/* Tiles computed in any order, in scratch of their own, and vectors alone: the same bits. */
static void test_threads(void **state) {
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        enum { N = 56, ROWS = 112, COLS = 168 };
        static float a[ROWS * COLS], b[ROWS * COLS], c[ROWS * COLS];
        size_t tasks = 0;
        cq_rotation r;
        cq_context ctx;
        cq_context_desc desc;
        void *memory = make(&r, (cq_rotate_mode)mode, N, 7, 7);
        desc.isa = NULL;
        desc.parallel.run = run_backwards;
        desc.parallel.user = &tasks;
        assert_int_equal(cq_init(&ctx, &desc, NULL), CQ_OK);
        assert_true(cq_rotation_scratch(&ctx, &r) > cq_rotation_scratch(NULL, &r));
        void *scratch = need(cq_rotation_scratch(&ctx, &r)), *small = need(cq_rotation_scratch(NULL, &r));
        fill_f32(a, ROWS * COLS);
        memcpy(b, a, sizeof a);
        memcpy(c, a, sizeof a);
        assert_int_equal(cq_rotate_rows_f32(NULL, &r, a, ROWS, COLS, COLS, small), CQ_OK);
        assert_int_equal(cq_rotate_rows_f32(&ctx, &r, b, ROWS, COLS, COLS, scratch), CQ_OK);
        assert_true(tasks > 1);
        for (size_t i = 0; i < ROWS; i++)
            assert_int_equal(cq_rotate_rows_f32(NULL, &r, c + i * COLS, 1, COLS, COLS, small), CQ_OK);
        assert_memory_equal(a, b, sizeof a);
        assert_memory_equal(a, c, sizeof a);
        assert_int_equal(cq_rotate_cols_f32(NULL, &r, a, ROWS, COLS, COLS, small), CQ_OK);
        assert_int_equal(cq_rotate_cols_f32(&ctx, &r, b, ROWS, COLS, COLS, scratch), CQ_OK);
        for (size_t j = 0; j < COLS; j++)
            assert_int_equal(cq_rotate_cols_f32(NULL, &r, c + j, ROWS, 1, COLS, small), CQ_OK);
        assert_memory_equal(a, b, sizeof a);
        assert_memory_equal(a, c, sizeof a);
        free(small);
        free(scratch);
        free(memory);
    }
}

/* Folded norms against the norms themselves: reader(g o h + beta) before and after; LayerNorm of a centred stream. */
static void test_norms(void **state) {
    float w[2 * 4] = {1, 2, 3, 99, 4, 5, 6, 99}, gain[3] = {2, 0.5f, -1}, beta[3] = {1, 10, 100}, bias[2] = {0, 1};
    double wd[2 * 3] = {1, 2, 3, 4, 5, 6}, gd[3] = {2, 0.5, -1}, bd[3] = {1, 10, 100}, biasd[2] = {0, 1};
    (void)state;
    cq_fuse_bias_f32(bias, w, 2, 3, 4, beta);
    cq_fuse_norm_f32(w, 2, 3, 4, gain);
    cq_fuse_bias_f64(biasd, wd, 2, 3, 3, bd);
    cq_fuse_norm_f64(wd, 2, 3, 3, gd);
    assert_true(bias[0] == 321 && bias[1] == 655 && biasd[0] == 321 && biasd[1] == 655);
    assert_true(w[0] == 2 && w[1] == 1 && w[2] == -3 && w[3] == 99 && w[4] == 8 && w[5] == 2.5f && w[6] == -6);
    for (size_t i = 0; i < 6; i++) assert_true((double)w[i / 3 * 4 + i % 3] == wd[i]);

    float c[3 * 3] = {1, 5, 99, 2, 7, 99, 3, 9, 99};
    cq_center_cols_f32(c, 3, 2, 3);
    assert_true(c[0] == -1 && c[3] == 0 && c[6] == 1 && c[1] == -2 && c[4] == 0 && c[7] == 2 && c[2] == 99);
    float e[2 * 4] = {1, 2, 3, 99, 10, 10, 40, 99};
    cq_center_rows_f32(e, 2, 3, 4);
    assert_true(e[0] == -1 && e[1] == 0 && e[2] == 1 && e[4] == -10 && e[5] == -10 && e[6] == 20 && e[7] == 99);

    double d[12 * 5], x[5], h[12], sum = 0; /* a centred writer writes vectors of mean zero */
    fill_f64(d, 60);
    fill_f64(x, 5);
    cq_center_cols_f64(d, 12, 5, 5);
    for (size_t i = 0; i < 12; i++) {
        h[i] = 0;
        for (size_t k = 0; k < 5; k++) h[i] += d[i * 5 + k] * x[k];
        sum += h[i];
    }
    assert_true(fabs(sum) < 1e-13);
    h[0] += 12;
    cq_center_rows_f64(h, 1, 12, 12);
    for (sum = 0, x[0] = 0; x[0] < 12; x[0] += 1) sum += h[(size_t)x[0]];
    assert_true(fabs(sum) < 1e-13);
}

/* Fixed values: a rotation of a seed is a file format of sorts; nobody may change it unawares. */
static void test_golden(void **state) {
    static const char signs[] = "++---+++++-+---++-++++-+";
    cq_rotation r;
    void *memory = make(&r, CQ_ROTATE_HADAMARD, 24, 1234, 5);
    double m[9];
    (void)state;
    for (size_t i = 0; i < 24; i++) assert_int_equal(r.sign[i], signs[i] == '+' ? 1 : -1);
    free(memory);
    memory = make(&r, CQ_ROTATE_ORTHOGONAL, 3, 1234, 5);
    cq_rotation_matrix(&r, m);
    static const double want[9] = {-0.5841131874500316,  -0.72463477338024374, 0.36567229790500538,
                                   0.18797669908354475,  0.3174990715261351,   0.92944020796482463,
                                   0.7896053095367449,   -0.61163615392503135, 0.049240941940385807};
    for (size_t i = 0; i < 9; i++) assert_true(m[i] == want[i]);
    free(memory);
    static const struct {
        size_t n;
        uint32_t hash;
    } orders[] = {{28, 0x0851e855u}, {36, 0xb5f41f55u}, {52, 0x62b88415u}, {92, 0x921cb0c9u},
                  {156, 0xe7d7fc49u}, {172, 0xcfc7d97du}, {268, 0x310608f9u}, {292, 0x0a58d6f5u},
                  {432, 0xf902ea15u}};
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        cq_hadamard h = build(orders[o].n, &memory);
        uint32_t hash = 2166136261u; /* FNV-1a over the signs, row by row */
        for (size_t i = 0; i < h.n * h.n; i++)
            hash = (hash ^ (cq_hadamard_sign(&h, i / h.n, i % h.n) > 0 ? 0u : 1u)) * 16777619u;
        if (hash != orders[o].hash) fail_msg("order %zu is not the matrix it was: %08x", h.n, hash);
        free(memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_below_300), cmocka_unit_test(test_larger_orders),
        cmocka_unit_test(test_factors),               cmocka_unit_test(test_refused_orders),
        cmocka_unit_test(test_errors),                cmocka_unit_test(test_small_mathematics),
        cmocka_unit_test(test_gauss),                 cmocka_unit_test(test_fwht_bits),
        cmocka_unit_test(test_transform_is_the_matrix), cmocka_unit_test(test_model_widths),
        cmocka_unit_test(test_transform_exactly),     cmocka_unit_test(test_orthogonality),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_matrices),              cmocka_unit_test(test_rows_and_cols),
        cmocka_unit_test(test_logits_stay),           cmocka_unit_test(test_haar),
        cmocka_unit_test(test_seeds),                 cmocka_unit_test(test_threads),
        cmocka_unit_test(test_norms),                 cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
