/* Tests of cquant_gptq.h. Build: cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_gptq.c -lcmocka -lm */
#define CQUANT_IMPLEMENTATION
#include "cquant_gptq.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fnmatch.h>

#include <cmocka.h>

/* ---- a synthetic layer: correlated inputs, channels of different loudness, heavy-tailed weights ------------------ */
static uint64_t counter;
static float uniform(void) { return (float)(cq_random(20240229, 1, counter++) >> 40) * 0x1p-24f; }
static float normal(void) {
    float s = -6.0f;
    for (int i = 0; i < 12; i++) s += uniform();
    return s;
}
typedef struct layer {
    size_t rows, cols, tokens;
    float *w, *x;
    cq_hessian h;
    cq_context ctx;
} layer;
static void *get(size_t n) {
    void *p = calloc(n ? n : 1, 1);
    assert_non_null(p);
    return p;
}
static void add(const layer *l, cq_hessian *h, const float *x, size_t n, const float *weight) {
    h->packed = (float *)get(cq_syrk_scratch(l->cols) * sizeof(float)); /* exactly as much as is asked for */
    for (size_t t = 0, m; t < n; t += m) { /* in pieces: that must not matter */
        m = t % 7 * 20 + 1 < n - t ? t % 7 * 20 + 1 : n - t;
        cq_hessian_add(&l->ctx, h, x + t * l->cols, l->cols, m, weight ? weight + t : NULL);
    }
    cq_hessian_finish(&l->ctx, h);
    free(h->packed);
    h->packed = NULL;
}
static void layer_hessian(layer *l) {
    memset(l->h.h, 0, l->cols * l->cols * sizeof(float));
    l->h.tokens = l->h.waiting = 0;
    add(l, &l->h, l->x, l->tokens, NULL);
}
static layer layer_make(size_t rows, size_t cols, size_t tokens, uint64_t seed) {
    layer l;
    float mix[16];
    counter = seed * 1000000007u;
    assert_int_equal(cq_init(&l.ctx, NULL, NULL), CQ_OK);
    l.rows = rows;
    l.cols = cols;
    l.tokens = tokens;
    l.w = (float *)get(rows * cols * sizeof(float));
    l.x = (float *)get(tokens * cols * sizeof(float));
    l.h.h = (float *)get(cols * cols * sizeof(float));
    l.h.cols = cols;
    float *a = (float *)get(16 * cols * sizeof(float)), *loud = (float *)get(cols * sizeof(float));
    for (size_t i = 0; i < 16 * cols; i++) a[i] = normal();
    for (size_t c = 0; c < cols; c++) loud[c] = (float)exp(0.5 * (double)normal());
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < 16; i++) mix[i] = normal() / sqrtf((float)(i + 1));
        for (size_t c = 0; c < cols; c++) {
            float v = 0.3f * normal();
            for (size_t i = 0; i < 16; i++) v += mix[i] * a[i * cols + c] * 0.5f;
            l.x[t * cols + c] = v * loud[c];
        }
    }
    for (size_t i = 0; i < rows * cols; i++)
        l.w[i] = 0.02f * normal() * (float)exp(0.3 * (double)normal()) / sqrtf(loud[i % cols]);
    free(a);
    free(loud);
    layer_hessian(&l);
    return l;
}
static void layer_free(layer *l) {
    free(l->w);
    free(l->x);
    free(l->h.h);
}

typedef struct solved {
    void *memory;
    cq_factor f;
    cq_gptq_result out;
    cq_gptq_report report;
    uint32_t *g_idx;
    size_t groups, bytes;
    cq_status status;
    cq_error err;
} solved;
static void solved_free(solved *s) {
    free(s->memory);
    free(s->out.codes);
    free(s->out.grids);
    free(s->g_idx);
}
/* exactly `size` bytes from a boundary of 64 */
static void *aligned(size_t size, void **raw) { /* for arenas: NaN, since they come with whatever was there before */
    *raw = memset(get(size + CQ_ALIGN), 0xff, size + CQ_ALIGN);
    return (unsigned char *)*raw + (CQ_ALIGN - (uintptr_t)*raw % CQ_ALIGN) % CQ_ALIGN;
}
static solved solve_with(const layer *l, const cq_gptq_desc *d, const cq_context *ctx) {
    solved s;
    memset(&s, 0, sizeof s);
    cq_arena a = cq_arena_over(NULL, 0);
    s.status = cq_gptq_factor(ctx, &s.f, &l->h, d, &a, &s.err);
    if (s.status) return s;
    assert_int_equal(cq_gptq_solve(ctx, d, &s.f, NULL, l->cols, l->rows, NULL, &a, NULL), CQ_OK);
    s.bytes = a.used;
    a = cq_arena_over(aligned(s.bytes, &s.memory), s.bytes);
    s.groups = cq_gptq_groups(d, l->cols);
    s.out.codes = (uint8_t *)get(l->rows * l->cols);
    s.out.grids = (cq_grid *)get(l->rows * s.groups * sizeof(cq_grid));
    s.g_idx = s.out.g_idx = (uint32_t *)get(l->cols * sizeof(uint32_t));
    s.status = cq_gptq_factor(ctx, &s.f, &l->h, d, &a, &s.err);
    s.out.report = &s.report;
    if (!s.status) s.status = cq_gptq_solve(ctx, d, &s.f, l->w, l->cols, l->rows, &s.out, &a, &s.err);
    if (!s.status) assert_int_equal(a.used, s.bytes);
    s.out.report = NULL; /* the struct is copied: do not keep a pointer into it */
    return s;
}
static solved solve(const layer *l, const cq_gptq_desc *d) { return solve_with(l, d, &l->ctx); }

/* tr(E (H + lambda I) E^T) of E = w - q, in double, the definition itself */
static double energy(const layer *l, const float *q, double lambda) {
    double sum = 0;
    for (size_t r = 0; r < l->rows; r++)
        for (size_t i = 0; i < l->cols; i++) {
            double g = 0, ei = (double)l->w[r * l->cols + i] - (q ? (double)q[r * l->cols + i] : 0);
            for (size_t j = 0; j < l->cols; j++) {
                double ej = (double)l->w[r * l->cols + j] - (q ? (double)q[r * l->cols + j] : 0);
                g += ej * (double)l->h.h[i * l->cols + j];
            }
            sum += ei * (g + lambda * ei);
        }
    return sum;
}
static float *weights_of(const layer *l, const cq_gptq_desc *d, const cq_gptq_result *out) {
    float *q = (float *)get(l->rows * l->cols * sizeof(float));
    cq_gptq_dequantize(d, out, l->rows, l->cols, q);
    return q;
}
static double loss_of(const layer *l, const cq_gptq_desc *d, const solved *s) {
    float *q = weights_of(l, d, &s->out);
    double loss = energy(l, q, 0) / energy(l, NULL, 0);
    free(q);
    return loss;
}
static cq_gptq_desc plain_desc(unsigned bits, size_t group, bool asym) {
    cq_gptq_desc d;
    memset(&d, 0, sizeof d);
    d.format = cq_format_int(bits);
    d.group_size = group;
    d.asym = asym;
    d.order = CQ_GPTQ_NATURAL;
    d.search = CQ_GPTQ_MINMAX;
    d.sweeps = CQ_GPTQ_NO_SWEEPS;
    return d;
}
static cq_gptq_desc default_desc(unsigned bits, size_t group, bool asym) {
    cq_gptq_desc d;
    memset(&d, 0, sizeof d);
    d.format = cq_format_int(bits);
    d.group_size = group;
    d.asym = asym;
    return d;
}
static double same_codes(const layer *l, const uint8_t *a, const uint8_t *b) {
    size_t same = 0;
    for (size_t i = 0; i < l->rows * l->cols; i++) same += a[i] == b[i];
    return (double)same / (double)(l->rows * l->cols);
}

/* Catches: a triangular solve in the wrong direction or order, a mismatch transposed, rows past the end, a result that
   depends on the number of rows beside a row. The definition: (W' - W) (H + lambda I) = share W M, in double; and with
   share 1 and little damping, no weights read with x come nearer to W x'. */
static void test_correct(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{1, 1}, {3, 5}, {19, 64}, {33, 131}, {2, 200}, {530, 40}};
    for (size_t s = 0; s < 6; s++)
        for (int order = 0; order < 2; order++) {
            size_t rows = shapes[s][0], n = shapes[s][1], tokens = 400;
            layer l = layer_make(rows, n, tokens, 700 + s);
            cq_gptq_desc d = default_desc(4, 0, false);
            d.order = order ? CQ_GPTQ_NATURAL : CQ_GPTQ_ACT_STATIC;
            d.damp = 1e-5f;
            solved q = solve(&l, &d);
            assert_int_equal(q.status, CQ_OK);
            float *would = (float *)get(tokens * n * sizeof(float)), *m = (float *)get(n * n * sizeof(float));
            float *w = (float *)get(rows * (n + 3) * sizeof(float));
            for (size_t i = 0; i < tokens * n; i++) would[i] = l.x[i] * 1.1f + 0.2f * normal();
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++) {
                    double sum = 0;
                    for (size_t t = 0; t < tokens; t++)
                        sum += ((double)would[t * n + i] - (double)l.x[t * n + i]) * (double)l.x[t * n + j];
                    m[i * n + j] = (float)sum;
                }
            cq_arena a = cq_arena_over(NULL, 0);
            cq_error err;
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < n + 3; i++) w[r * (n + 3) + i] = i < n ? l.w[r * n + i] : 7.0f;
            assert_int_equal(cq_gptq_correct(&l.ctx, &q.f, m, 0.5f, w, n + 3, rows, &a, &err), CQ_OK);
            void *raw;
            cq_arena memory = cq_arena_over(aligned(a.used, &raw), a.used);
            assert_int_equal(cq_gptq_correct(&l.ctx, &q.f, m, 0.5f, w, n + 3, rows, &memory, &err), CQ_OK);
            double off = 0, whole = 0, before = 0, after = 0;
            for (size_t r = 0; r < rows; r++) {
                for (size_t i = 0; i < 3; i++) assert_true(w[r * (n + 3) + n + i] == 7.0f);
                for (size_t j = 0; j < n; j++) {
                    double left = 0, right = 0;
                    for (size_t i = 0; i < n; i++) {
                        double h = (double)l.h.h[i * n + j] + (i == j ? (double)q.f.lambda : 0);
                        left += ((double)w[r * (n + 3) + i] - (double)l.w[r * n + i]) * h;
                        right += 0.5 * (double)l.w[r * n + i] * (double)m[i * n + j];
                    }
                    off += (left - right) * (left - right);
                    whole += right * right;
                }
                for (size_t t = 0; t < tokens; t++) { /* twice the half way is the whole */
                    double want = 0, had = 0, has = 0;
                    for (size_t i = 0; i < n; i++) {
                        double v = (double)l.w[r * n + i], c = 2 * (double)w[r * (n + 3) + i] - v;
                        want += v * (double)would[t * n + i];
                        had += v * (double)l.x[t * n + i];
                        has += c * (double)l.x[t * n + i];
                    }
                    before += (want - had) * (want - had);
                    after += (want - has) * (want - has);
                }
            }
            assert_true(off <= 1e-6 * whole);
            assert_true(after < 0.95 * before);
            m[n * n / 2] = NAN;
            memory.used = 0;
            assert_int_equal(cq_gptq_correct(&l.ctx, &q.f, m, 1, w, n + 3, rows, &memory, &err), CQ_ERR_RANGE);
            assert_true(err.got == (int64_t)(n * n / 2 % n));
            assert_int_equal(cq_gptq_correct(&l.ctx, &q.f, m, 1.5f, w, n + 3, rows, &memory, &err), CQ_ERR_ARG);
            free(raw);
            free(would);
            free(m);
            free(w);
            solved_free(&q);
            layer_free(&l);
        }
}

/* ---- Hessian ----------------------------------------------------------------------------------------------------- */
/* Catches: a Hessian that is not sum of weight x x^T, wrong token counts, a merge that is not a sum. */
static void test_hessian(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 16, 33, 70};
    for (size_t s = 0; s < 5; s++) {
        layer l = layer_make(1, sizes[s], 45, s);
        size_t n = l.cols;
        float weight[45];
        float *mem = (float *)get(2 * n * n * sizeof(float));
        cq_hessian a = {mem, n, 0, NULL, 0}, b = {mem + n * n, n, 0, NULL, 0};
        uint64_t live = 0;
        for (size_t t = 0; t < 45; t++) {
            weight[t] = t % 4 == 3 ? 0.0f : uniform();
            live += weight[t] != 0.0f;
        }
        add(&l, &a, l.x, 20, weight);
        add(&l, &b, l.x + 20 * n, 25, weight + 20);
        assert_int_equal(cq_hessian_merge(&a, &b, NULL), CQ_OK);
        assert_true(a.tokens == live && l.h.tokens == 45);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double plain = 0, weighted = 0, size = 0;
                for (size_t t = 0; t < 45; t++) {
                    double v = (double)l.x[t * n + i] * (double)l.x[t * n + j];
                    plain += v;
                    weighted += (double)weight[t] * v;
                    size += fabs(v);
                }
                assert_true(fabs((double)l.h.h[i * n + j] - plain) <= 1e-5 * size);
                assert_true(fabs((double)a.h[i * n + j] - weighted) <= 1e-5 * size);
                assert_true(a.h[i * n + j] == a.h[j * n + i]);
            }
        free(mem);
        layer_free(&l);
    }
    cq_hessian a = {NULL, 3, 0, NULL, 0}, b = {NULL, 4, 0, NULL, 0};
    cq_error err;
    assert_int_equal(cq_hessian_merge(&a, &b, &err), CQ_ERR_ARG);
    assert_int_equal(err.got, 4);
    b.cols = 3;
    b.waiting = 1;
    assert_int_equal(cq_hessian_merge(&a, &b, &err), CQ_ERR_ARG);
    cq_arena none = cq_arena_over(NULL, 0);
    cq_hessian_alloc(&a, &none, SIZE_MAX / 2); /* cols^2 overflows: the arena must say so */
    assert_true(none.failed);
}

/* ---- factor ------------------------------------------------------------------------------------------------------ */
/* Catches: a wrong product U D U^T at block and panel borders, a permutation that is not one or not sorted, a changed
   H, the blocked code departing from the unblocked. */
static void test_factor(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 63, 191, 192, 193, 200, 385, 500};
    for (size_t s = 0; s < 12; s++)
        for (int order = 0; order < 2; order++) {
            layer l = layer_make(1, sizes[s], 300, s + 10);
            size_t n = l.cols, bad = 0;
            if (n > 15) /* equal diagonals: the lower index must come first */
                for (size_t t = 0; t < l.tokens; t++) l.x[t * n + 12] = l.x[t * n + 3];
            layer_hessian(&l);
            cq_gptq_desc d = default_desc(4, 0, false);
            d.order = order ? CQ_GPTQ_ACT_STATIC : CQ_GPTQ_NATURAL;
            float *copy = (float *)get(n * n * sizeof(float)), *lower = (float *)get(n * n * sizeof(float));
            float *pivots = (float *)get(n * sizeof(float));
            memcpy(copy, l.h.h, n * n * sizeof(float));
            cq_factor f;
            cq_arena a = cq_arena_over(NULL, 0);
            assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, NULL), CQ_OK);
            void *raw;
            a = cq_arena_over(aligned(a.used, &raw), a.used);
            assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, NULL), CQ_OK);
            assert_memory_equal(copy, l.h.h, n * n * sizeof(float));
            assert_true(f.damp == 0.01f && f.dead == 0);
            unsigned char *seen = (unsigned char *)get(n);
            for (size_t i = 0; i < n; i++) {
                assert_true(f.perm[i] < n && !seen[f.perm[i]]);
                seen[f.perm[i]] = 1;
                if (!order) assert_int_equal(f.perm[i], i);
                if (order && i) {
                    float x = copy[f.perm[i - 1] * n + f.perm[i - 1]], y = copy[f.perm[i] * n + f.perm[i]];
                    assert_true(x > y || (x == y && f.perm[i - 1] < f.perm[i]));
                }
            }
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++) {
                    double sum = 0, want = (double)copy[f.perm[i] * n + f.perm[j]] + (i == j ? (double)f.lambda : 0);
                    for (size_t k = i > j ? i : j; k < n; k++)
                        sum += (k > i ? (double)f.ut[k * n + i] : 1) * (double)f.d[k] *
                               (k > j ? (double)f.ut[k * n + j] : 1);
                    double hii = (double)copy[f.perm[i] * n + f.perm[i]], hjj = (double)copy[f.perm[j] * n + f.perm[j]];
                    double size = sqrt(hii * hjj);
                    assert_true(fabs(sum - want) <= 2e-5 * size);
                    lower[i * n + j] = copy[f.perm[i] * n + f.perm[j]] + (i == j ? f.lambda : 0);
                }
            assert_true(cq__udut(lower, n, pivots, n, 0.0f, &bad));
            assert_memory_equal(pivots, f.d, n * sizeof(float));
            for (size_t i = 0; i < n; i++) assert_memory_equal(lower + i * n, f.ut + i * n, i * sizeof(float));
            free(seen);
            free(copy);
            free(lower);
            free(pivots);
            free(raw);
            layer_free(&l);
        }
}

static cq_status factor_of(float *h, size_t n, float damp, cq_factor *f, cq_error *err) {
    static unsigned char memory[65536];
    cq_context ctx;
    cq_init(&ctx, NULL, NULL);
    cq_hessian hessian = {h, n, 1, NULL, 0};
    cq_gptq_desc d = default_desc(4, 0, false);
    d.damp = damp;
    cq_arena a = cq_arena_over(memory, sizeof memory);
    return cq_gptq_factor(&ctx, f, &hessian, &d, &a, err);
}
/* Catches: an indefinite matrix accepted, damping that does not grow, or silently, NaN passing through. */
static void test_factor_errors(void **state) {
    (void)state;
    cq_factor f;
    cq_error err;
    float indefinite[4] = {2, 50, 50, 1}, nearly[4] = {1, 1.05f, 1.05f, 1}, negative[4] = {1, 0, 0, -1};
    assert_int_equal(factor_of(indefinite, 2, 0, &f, &err), CQ_ERR_NOT_SPD);
    assert_int_equal(err.where, 0); /* act order: column 1 is last and so the first pivot; column 0 fails */
    assert_int_equal(factor_of(nearly, 2, 0, &f, &err), CQ_OK);
    assert_true(f.damp > 0.05f && f.damp < 0.4f && f.lambda == f.damp);
    assert_int_equal(factor_of(negative, 2, 0, &f, &err), CQ_ERR_NOT_SPD);
    assert_int_equal(err.where, 1);
    for (size_t i = 0; i < 9; i++) {
        float h[9] = {4, 1, 0, 1, 4, 0, 0, 0, 4};
        h[i] = i % 2 ? NAN : INFINITY;
        assert_int_equal(factor_of(h, 3, 0, &f, &err), CQ_ERR_RANGE);
        assert_int_equal(err.where, i / 3);
        assert_int_equal(err.got, i % 3);
    }
    float huge[4] = {3e38f, 3e38f, 3e38f, 3e38f}; /* overflows on the way: an error, not NaN weights */
    cq_status status = factor_of(huge, 2, 1.0f, &f, &err);
    assert_true(status == CQ_ERR_NOT_SPD);
}

/* ---- the solver against oracles ---------------------------------------------------------------------------------- */
/* Catches: any slip in blocking, panels, lanes or carried errors: the fast solver must choose what the 15 lines
   choose. */
static void test_plain(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{33, 100, 32},  {5, 65, 7}, {16, 200, 0},
                                       {17, 300, 128}, {3, 70, 1}, {90, 277, 64}};
    for (size_t s = 0; s < 6; s++)
        for (int asym = 0; asym < 2; asym++) {
            layer l = layer_make(shapes[s][0], shapes[s][1], 250, 30 + s);
            cq_gptq_desc d = plain_desc(s % 2 ? 3 : 4, shapes[s][2], asym != 0);
            size_t group = d.group_size ? d.group_size : l.cols;
            solved q = solve(&l, &d);
            assert_int_equal(q.status, CQ_OK);
            solved o = solve(&l, &d); /* for its memory; the oracle writes over the results */
            float *x = (float *)get(l.cols * sizeof(float)), *e = (float *)get(l.cols * sizeof(float));
            for (size_t r = 0; r < l.rows; r++)
                cq__gptq_plain(q.f.ut, l.cols, l.w + r * l.cols, d.format, group, d.asym, o.out.codes + r * l.cols,
                               o.out.grids + r * q.groups, x, e);
            assert_memory_equal(q.out.codes, o.out.codes, l.rows * l.cols); /* sums are the same chains: bit for bit */
            for (size_t i = 0; i < l.rows * q.groups; i++)
                assert_true(q.out.grids[i].scale == o.out.grids[i].scale && q.out.grids[i].zero == o.out.grids[i].zero);
            double exact = loss_of(&l, &d, &q);
            assert_true(fabs(exact - q.report.loss) <= 1e-5 * exact + 1e-10);
            free(x);
            free(e);
            solved_free(&q);
            solved_free(&o);
            layer_free(&l);
        }
}

/* Catches: columns in a wrong order, groups torn apart or taken for each other, scales chosen at a wrong time. The
   oracle solves the layer with its columns in the order of processing. */
static void test_orders(void **state) {
    (void)state;
    for (size_t cols = 100; cols < 400; cols += 228) /* groups of 32: the last has 4, then 8 */
        for (int order = CQ_GPTQ_GROUP_AWARE; order <= CQ_GPTQ_ACT_GROUPS; order++) {
            layer l = layer_make(19, cols, 500, cols);
            cq_gptq_desc d = plain_desc(4, 32, false);
            d.order = (cq_gptq_order)order;
            solved q = solve(&l, &d);
            assert_int_equal(q.status, CQ_OK);
            float *w = (float *)get(cols * sizeof(float)), *x = (float *)get(cols * sizeof(float));
            float *e = (float *)get(cols * sizeof(float)), before = INFINITY;
            uint8_t *codes = (uint8_t *)get(cols);
            cq_grid *grids = (cq_grid *)get(q.groups * sizeof(cq_grid));
            for (size_t k = 0; k < cols; k++) {
                uint32_t c = q.f.perm[k];
                float loud = l.h.h[c * cols + c];
                if (k % 32 == 0 && k / 32 < cols / 32) { /* louder groups first, but the short one */
                    assert_true(loud <= before);
                    before = loud;
                }
                if (k % 32) {
                    assert_true(loud <= l.h.h[q.f.perm[k - 1] * (cols + 1)]);
                    if (order == CQ_GPTQ_GROUP_AWARE) assert_int_equal(c / 32, q.f.perm[k - 1] / 32);
                }
                assert_int_equal(q.g_idx[c], order == CQ_GPTQ_GROUP_AWARE ? c / 32 : k / 32);
            }
            for (size_t r = 0; r < l.rows; r++) {
                for (size_t k = 0; k < cols; k++) w[k] = l.w[r * cols + q.f.perm[k]];
                cq__gptq_plain(q.f.ut, cols, w, d.format, 32, false, codes, grids, x, e);
                for (size_t k = 0; k < cols; k++) {
                    assert_int_equal(q.out.codes[r * cols + q.f.perm[k]], codes[k]);
                    assert_true(q.out.grids[r * q.groups + q.g_idx[q.f.perm[k]]].scale == grids[k / 32].scale);
                }
            }
            free(w), free(x), free(e), free(codes), free(grids);
            cq_factor other = q.f;
            cq_gptq_result out = q.out;
            cq_arena none = cq_arena_over(NULL, 0);
            d.group_size = 16; /* GROUP_AWARE factors are for one size */
            assert_int_equal(cq_gptq_solve(&l.ctx, &d, &other, l.w, cols, l.rows, &out, &none, NULL),
                             order == CQ_GPTQ_GROUP_AWARE ? CQ_ERR_ARG : CQ_OK);
            solved_free(&q);
            layer_free(&l);
        }
}

/* Catches: levels, codes or scales of small floats that differ between the solver and the definition (cq_grid_...), a
   search or a sweep that makes them worse, scales that are no powers of two. */
static void test_small_floats(void **state) {
    (void)state;
    for (int f = CQ_FP8; f < CQ_FORMAT_COUNT; f++) {
        layer l = layer_make(19, 150, 400, 90 + (unsigned)f);
        cq_gptq_desc d = plain_desc(4, f == CQ_FP8 ? 50 : 0, false);
        d.format = (cq_format)f;
        solved q = solve(&l, &d), o = solve(&l, &d);
        assert_int_equal(q.status, CQ_OK);
        assert_int_equal(q.groups, f == CQ_FP8 ? 3 : 5);
        float *x = (float *)get(l.cols * sizeof(float)), *e = (float *)get(l.cols * sizeof(float));
        for (size_t r = 0; r < l.rows; r++)
            cq__gptq_plain(q.f.ut, l.cols, l.w + r * l.cols, d.format, f == CQ_FP8 ? 50 : 32, false,
                           o.out.codes + r * l.cols, o.out.grids + r * q.groups, x, e);
        assert_true(same_codes(&l, q.out.codes, o.out.codes) > 0.99);
        double plain = loss_of(&l, &d, &q);
        assert_true(fabs(plain - loss_of(&l, &d, &o)) <= 0.02 * plain);
        cq_gptq_desc best = default_desc(4, d.group_size, false);
        best.format = d.format;
        solved b = solve(&l, &best);
        assert_int_equal(b.status, CQ_OK);
        double loss = loss_of(&l, &best, &b);
        assert_true(loss < plain);
        if (f != CQ_FP8)
            for (size_t i = 0; i < l.rows * b.groups; i++) {
                int exponent;
                assert_true(b.out.grids[i].zero == 0 && frexpf(b.out.grids[i].scale, &exponent) == 0.5f);
            }
        best.search = CQ_GPTQ_FLOOR; /* never saturates a weight to something that is not finite */
        solved c = solve(&l, &best);
        assert_true(isfinite(loss_of(&l, &best, &c)));
        best.asym = true;
        cq_gptq_desc r;
        cq_error err;
        assert_int_equal(cq_gptq_resolve(&r, &best, l.cols, &err), CQ_ERR_ARG);
        best.asym = false;
        best.group_size = 64;
        assert_int_equal(cq_gptq_resolve(&r, &best, l.cols, &err), f == CQ_FP8 ? CQ_OK : CQ_ERR_ARG);
        free(x);
        free(e);
        solved_free(&q);
        solved_free(&o);
        solved_free(&b);
        solved_free(&c);
        layer_free(&l);
    }
}

/* The algorithm as the paper has it (arXiv 2210.17323, algorithm 1), in double: Cholesky factor of the inverse, updates
   of all remaining weights. With scales given in advance it must choose the same codes.
   Catches: a wrong theory in LESSON 2, and U used the wrong way round. */
static void paper(const layer *l, const cq_factor *f, const cq_gptq_result *out, size_t group, size_t groups,
                  uint8_t *codes) {
    size_t n = l->cols;
    double *a = (double *)get(n * n * sizeof(double)), *inv = (double *)get(n * n * sizeof(double));
    double *w = (double *)get(n * sizeof(double));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            a[i * n + j] = (double)l->h.h[f->perm[i] * n + f->perm[j]] + (i == j ? (double)f->lambda : 0);
            inv[i * n + j] = i == j;
        }
    for (size_t k = 0; k < n; k++) { /* Gauss-Jordan; positive definite: no pivoting */
        double p = a[k * n + k];
        for (size_t j = 0; j < n; j++) {
            a[k * n + j] /= p;
            inv[k * n + j] /= p;
        }
        for (size_t i = 0; i < n; i++) {
            double m = a[i * n + k];
            if (i == k) continue;
            for (size_t j = 0; j < n; j++) {
                a[i * n + j] -= m * a[k * n + j];
                inv[i * n + j] -= m * inv[k * n + j];
            }
        }
    }
    for (size_t i = 0; i < n; i++) { /* upper Cholesky factor c of inv = c^T c, row by row, into a */
        for (size_t j = i; j < n; j++) {
            double v = inv[i * n + j];
            for (size_t k = 0; k < i; k++) v -= a[k * n + i] * a[k * n + j];
            a[i * n + j] = j == i ? sqrt(v) : v / a[i * n + i];
        }
    }
    for (size_t r = 0; r < l->rows; r++) {
        for (size_t i = 0; i < n; i++) w[i] = (double)l->w[r * n + f->perm[i]];
        for (size_t i = 0; i < n; i++) {
            cq_grid g = out->grids[r * groups + f->perm[i] / group];
            uint8_t q = cq_grid_code(g, (float)w[i]);
            double err = (w[i] - (double)cq_grid_value(g, q)) / a[i * n + i];
            codes[r * n + f->perm[i]] = q;
            for (size_t j = i; j < n; j++) w[j] -= err * a[i * n + j];
        }
    }
    free(a);
    free(inv);
    free(w);
}
static void test_paper(void **state) {
    (void)state;
    for (int search = 0; search < 2; search++)
        for (unsigned bits = 2; bits < 5; bits++) {
            layer l = layer_make(21, 150, 600, 50 + bits);
            cq_gptq_desc d = default_desc(bits, 48, bits == 3);
            d.order = bits == 2 ? CQ_GPTQ_NATURAL : bits == 3 ? CQ_GPTQ_GROUP_AWARE : CQ_GPTQ_ACT_GROUPS;
            d.static_scales = true; /* the last is ACT_STATIC then */
            d.search = search ? CQ_GPTQ_SEARCH_PIVOTS : CQ_GPTQ_MINMAX;
            d.sweeps = CQ_GPTQ_NO_SWEEPS;
            solved s = solve(&l, &d);
            uint8_t *codes = (uint8_t *)get(l.rows * l.cols);
            paper(&l, &s.f, &s.out, 48, s.groups, codes);
            assert_true(same_codes(&l, codes, s.out.codes) > 0.99);
            free(codes);
            solved_free(&s);
            layer_free(&l);
        }
}

/* Catches: sweeps or refit that raise what they are meant to lower, and a refit that forgets fp16. */
static void test_second_thoughts(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) /* usual; few tokens, so that damping matters; scales of a few fp16 denormals */
        for (int order = 0; order < 3; order++) {
            layer l = layer_make(19, 140, kind == 1 ? 4 : 500, 60 + (uint64_t)order);
            double last = 1e300;
            for (size_t i = 0; i < l.rows * l.cols && kind == 2; i++) l.w[i] *= 2e-5f;
            for (unsigned stage = 0; stage < 4; stage++) { /* in the pass, and refit, 1 sweep, 3 sweeps */
                static const unsigned sweeps[4] = {0, 0, 1, 3};
                cq_gptq_desc d = default_desc(3, 32, order == 1);
                d.damp = kind == 1 ? 1.0f : 0.01f;
                d.order = order == 0 ? CQ_GPTQ_ACT_STATIC : order == 1 ? CQ_GPTQ_NATURAL : CQ_GPTQ_ACT_GROUPS;
                d.sweeps = sweeps[stage];
                d.refit = stage > 0;
                solved s = solve(&l, &d);
                float *q = weights_of(&l, &d, &s.out);
                double now = energy(&l, q, (double)s.f.lambda);
                assert_true(now <= last * (1 + 1e-6));
                if (kind == 0 && (stage == 2 || (stage == 1 && order < 2))) assert_true(now < last * 0.9999);
                last = now;
                for (size_t i = 0; i < l.rows * s.groups; i++)
                    assert_true(cq_f16_to_f32(cq_f32_to_f16(s.out.grids[i].scale)) == s.out.grids[i].scale);
                free(q);
                solved_free(&s);
            }
            layer_free(&l);
        }
}

/* Catches: a default that is no better than the plain algorithm, and a massive input channel handled badly. */
static void test_quality(void **state) {
    (void)state;
    for (int massive = 0; massive < 2; massive++) {
        layer l = layer_make(64, 256, 1024, 70);
        if (massive) { /* one column with 1000 times the mean energy, which no other column follows */
            double mean = 0;
            for (size_t c = 0; c < l.cols; c++) mean += (double)l.h.h[c * l.cols + c] / (double)l.cols;
            float gain = sqrtf(1000.0f * (float)mean / (float)l.tokens);
            for (size_t t = 0; t < l.tokens; t++) l.x[t * l.cols + 100] = normal() * gain;
            layer_hessian(&l);
        }
        cq_gptq_desc a = plain_desc(4, 64, false), b = default_desc(4, 64, false);
        solved p = solve(&l, &a), s = solve(&l, &b);
        assert_true(s.report.loss <= (massive ? 0.1 : 0.85) * p.report.loss);
        assert_true(p.report.loss < p.report.rtn_loss);
        solved_free(&p);
        solved_free(&s);
        layer_free(&l);
    }
}

/* Every format and group: codes in range, symmetric zeros in the middle, losses as reported, better than rounding. */
static void test_formats(void **state) {
    (void)state;
    static const unsigned bits[] = {2, 3, 4, 8};
    static const size_t group[] = {32, 64, 128, 0, 50, 1000, 1};
    layer l = layer_make(18, 160, 700, 80);
    for (size_t b = 0; b < 4; b++)
        for (size_t g = 0; g < 7; g++)
            for (int asym = 0; asym < 2; asym++)
                for (int order = 0; order < 3; order++) {
                    cq_gptq_desc d = default_desc(bits[b], group[g], asym != 0);
                    d.order = order == 0 ? CQ_GPTQ_ACT_STATIC : order == 1 ? CQ_GPTQ_NATURAL : CQ_GPTQ_ACT_GROUPS;
                    solved s = solve(&l, &d), rtn;
                    assert_int_equal(s.status, CQ_OK);
                    for (size_t i = 0; i < l.rows * l.cols; i++) assert_true(s.out.codes[i] < 1u << bits[b]);
                    for (size_t i = 0; i < l.rows * s.groups; i++) {
                        assert_int_equal(s.out.grids[i].format, cq_format_int(bits[b]));
                        assert_in_range(s.out.grids[i].zero, 0, (1 << bits[b]) - 1);
                        if (!asym) assert_int_equal(s.out.grids[i].zero, 1 << (bits[b] - 1));
                    }
                    double loss = loss_of(&l, &d, &s);
                    assert_true(fabs(loss - s.report.loss) <= 1e-3 * loss + 1e-9);
                    memset(&rtn, 0, sizeof rtn);
                    rtn.out.codes = (uint8_t *)get(l.rows * l.cols);
                    rtn.out.grids = (cq_grid *)get(l.rows * s.groups * sizeof(cq_grid));
                    assert_int_equal(cq_gptq_rtn(&d, l.w, l.cols, l.rows, l.cols, &rtn.out, NULL), CQ_OK);
                    loss = loss_of(&l, &d, &rtn);
                    assert_true(fabs(loss - s.report.rtn_loss) <= 1e-3 * loss + 1e-9);
                    assert_true(s.report.loss <= s.report.rtn_loss);
                    solved_free(&rtn);
                    solved_free(&s);
                }
    layer_free(&l);
}

/* Catches: g_idx that does not say which scale a column has, or groups of the wrong size. */
static void test_g_idx(void **state) {
    (void)state;
    layer l = layer_make(4, 110, 300, 90);
    for (int order = 0; order < 3; order++) {
        cq_gptq_desc d = default_desc(4, 32, false);
        size_t count[4] = {0, 0, 0, 0};
        d.order = order == 0 ? CQ_GPTQ_ACT_STATIC : order == 1 ? CQ_GPTQ_NATURAL : CQ_GPTQ_ACT_GROUPS;
        solved s = solve(&l, &d);
        assert_int_equal(s.groups, 4);
        for (size_t c = 0; c < l.cols; c++) {
            assert_true(s.g_idx[c] < 4);
            count[s.g_idx[c]]++;
            if (d.order != CQ_GPTQ_ACT_GROUPS) assert_int_equal(s.g_idx[c], c / 32);
        }
        if (d.order == CQ_GPTQ_ACT_GROUPS)
            for (size_t k = 0; k < l.cols; k++) assert_int_equal(s.g_idx[s.f.perm[k]], k / 32);
        assert_true(count[0] == 32 && count[1] == 32 && count[2] == 32 && count[3] == 14);
        solved_free(&s);
    }
    layer_free(&l);
}

/* ---- unusual layers ---------------------------------------------------------------------------------------------- */
/* Catches: dead columns that are zeroed, disturb others or break the factor; H = 0; fewer tokens than columns. */
static void test_dead(void **state) {
    (void)state;
    layer l = layer_make(9, 96, 5, 100); /* rank 5 of 96 */
    for (size_t t = 0; t < l.tokens; t++) l.x[t * 96 + 7] = l.x[t * 96 + 64] = 0.0f;
    layer_hessian(&l);
    cq_gptq_desc d = default_desc(4, 32, false);
    solved s = solve(&l, &d);
    assert_int_equal(s.status, CQ_OK);
    assert_int_equal(s.report.dead, 2);
    assert_true(s.report.loss < 0.05 * s.report.rtn_loss);
    solved_free(&s);
    s = solve(&l, &d);
    size_t zeros = 0;
    for (size_t r = 0; r < 9; r++)
        for (size_t c = 7; c < 96; c += 57) {
            cq_grid g = s.out.grids[r * 3 + c / 32];
            assert_int_equal(s.out.codes[r * 96 + c], cq_grid_code(g, l.w[r * 96 + c]));
            zeros += cq_grid_value(g, s.out.codes[r * 96 + c]) == 0.0f;
        }
    assert_true(zeros < 9);
    solved_free(&s);

    for (int i = 0; i < 24; i++) { /* lost in the rounding errors of H: must grow until the pivots mean something */
        d.damp = 1e-9f * (float)pow(1.3, i);
        s = solve(&l, &d);
        assert_int_equal(s.status, CQ_OK);
        assert_true(s.report.damp > d.damp && s.report.damp < 0.01f);
        for (size_t k = 0; k < 96; k++) assert_true(s.f.d[k] > 0.5f * s.f.lambda);
        solved_free(&s);
    }
    d.damp = 0.0f;
    d.search = CQ_GPTQ_MINMAX;
    memset(l.h.h, 0, 96 * 96 * sizeof(float)); /* no input at all: round to nearest */
    s = solve(&l, &d);
    assert_int_equal(s.status, CQ_OK);
    assert_int_equal(s.report.dead, 96);
    assert_true(s.report.loss == 0 && s.report.rtn_loss == 0);
    for (size_t i = 0; i < 9 * 96; i++)
        assert_int_equal(s.out.codes[i], cq_grid_code(s.out.grids[i / 96 * 3 + i % 96 / 32], l.w[i]));
    solved_free(&s);
    memset(l.w, 0, 9 * 96 * sizeof(float)); /* no weights at all */
    layer_hessian(&l);
    s = solve(&l, &d);
    assert_int_equal(s.status, CQ_OK);
    assert_true(s.report.loss == 0);
    for (size_t i = 0; i < 9 * 96; i++) assert_int_equal(s.out.codes[i], 8);
    solved_free(&s);
    layer_free(&l);
}

/* Catches: absolute thresholds, overflow: H times 2^100 and 2^-100 is the same problem, bit for bit. And an H that is
   not symmetric taken for one. */
static void test_scales(void **state) {
    (void)state;
    layer l = layer_make(20, 200, 100, 140); /* fewer tokens than columns */
    cq_gptq_desc d = default_desc(4, 64, false);
    solved s = solve(&l, &d);
    for (int sign = -1; sign < 2; sign += 2) {
        for (size_t i = 0; i < 200 * 200; i++) l.h.h[i] = ldexpf(l.h.h[i], sign * 100);
        solved t = solve(&l, &d);
        assert_int_equal(t.status, CQ_OK);
        assert_true(t.report.damp == s.report.damp && fabs(t.report.loss - s.report.loss) < 1e-5 * s.report.loss);
        assert_memory_equal(s.out.codes, t.out.codes, 20 * 200);
        for (size_t i = 0; i < 20 * s.groups; i++) assert_true(s.out.grids[i].scale == t.out.grids[i].scale);
        solved_free(&t);
        for (size_t i = 0; i < 200 * 200; i++) l.h.h[i] = ldexpf(l.h.h[i], -sign * 100);
    }
    solved_free(&s);
    float size = sqrtf(l.h.h[150 * 201] * l.h.h[70 * 201]);
    l.h.h[150 * 200 + 70] += 1e-5f * size; /* rounding */
    s = solve(&l, &d);
    assert_int_equal(s.status, CQ_OK);
    solved_free(&s);
    l.h.h[150 * 200 + 70] += 1e-2f * size;
    s = solve(&l, &d); /* asks for the size first, which looks at no H */
    assert_int_equal(s.status, CQ_ERR_ARG);
    assert_true(s.err.where == 150 && s.err.got == 70);
    solved_free(&s);
    layer_free(&l);
}

/* Catches: code that needs full panels or blocks. ASan watches the edges. */
static void test_small(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{1, 1},   {1, 2},   {2, 1},  {1, 300}, {15, 15},
                                       {16, 16}, {17, 17}, {65, 3}, {130, 9}, {5, 3}, {3, 129}};
    for (size_t s = 0; s < 11; s++)
        for (int order = 0; order < 4; order++) {
            layer l = layer_make(shapes[s][0], shapes[s][1], 40, 110 + s);
            cq_gptq_desc d = default_desc(4, order ? 4 : 0, false);
            d.order = (cq_gptq_order)order;
            solved q = solve(&l, &d);
            assert_int_equal(q.status, CQ_OK);
            double loss = loss_of(&l, &d, &q);
            assert_true(fabs(loss - q.report.loss) <= 1e-3 * loss + 1e-9);
            solved_free(&q);
            l.rows = 0; /* an expert without rows is nothing to do, not an error */
            q = solve(&l, &d);
            assert_int_equal(q.status, CQ_OK);
            solved_free(&q);
            layer_free(&l);
        }
}

/* ---- contracts --------------------------------------------------------------------------------------------------- */
static void run_backwards(void *user, size_t count, cq_task task, void *arg) {
    (*(size_t *)user)++;
    for (size_t i = count; i-- > 0;) task(arg, i);
}
/* Catches: results that depend on the order of tasks, the number of slots, or the instruction set. */
static void test_threads(void **state) {
    (void)state;
    layer l = layer_make(150, 205, 400, 120);
    for (int order = 0; order < 4; order++) {
        cq_gptq_desc d = default_desc(4, 64, false);
        d.order = (cq_gptq_order)order;
        solved a = solve(&l, &d);
        static const size_t slots[] = {1, 3, 4, 9, 4096};
        for (size_t v = 0; v < 5; v++)
            for (size_t isa = 0; cq_isa_available(isa); isa++) {
                size_t calls = 0;
                cq_context ctx;
                cq_context_desc desc;
                memset(&desc, 0, sizeof desc);
                desc.isa = cq_isa_available(isa);
                desc.parallel.run = run_backwards;
                desc.parallel.user = &calls;
                assert_int_equal(cq_init(&ctx, &desc, NULL), CQ_OK);
                d.slots = slots[v];
                solved b = solve_with(&l, &d, &ctx);
                assert_true(calls > 0);
                assert_memory_equal(a.out.codes, b.out.codes, l.rows * l.cols);
                for (size_t i = 0; i < l.rows * a.groups; i++) {
                    assert_true(a.out.grids[i].scale == b.out.grids[i].scale);
                    assert_int_equal(a.out.grids[i].zero, b.out.grids[i].zero);
                }
                assert_true(a.report.loss == b.report.loss && a.report.rtn_loss == b.report.rtn_loss);
                solved_free(&b);
            }
        solved_free(&a);
    }
    layer_free(&l);
}

/* Catches: a size query that is not the size, or memory used beyond it. */
static void test_memory(void **state) {
    (void)state;
    layer l = layer_make(40, 75, 100, 130);
    cq_gptq_desc d = default_desc(4, 32, false);
    cq_factor f;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    cq_hessian h;
    cq_hessian_alloc(&h, &a, 75);
    assert_true(a.used >= 75 * 75 * 4 + cq_syrk_scratch(75) * 4 && a.used < 75 * 75 * 4 + cq_syrk_scratch(75) * 4 + 64);
    a = cq_arena_over(NULL, 0);
    assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, &err), CQ_OK);
    size_t factor = a.used;
    assert_int_equal(cq_gptq_solve(&l.ctx, &d, &f, NULL, 75, 40, NULL, &a, &err), CQ_OK);
    size_t all = a.used;
    void *raw;
    unsigned char *memory = (unsigned char *)aligned(all, &raw);
    uint8_t codes[40 * 75];
    cq_grid grids[40 * 3];
    cq_gptq_result out = {codes, grids, NULL, NULL};
    a = cq_arena_over(memory, factor - 1);
    assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, &err), CQ_ERR_MEMORY);
    a = cq_arena_over(memory, all - 1);
    assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, &err), CQ_OK);
    assert_int_equal(cq_gptq_solve(&l.ctx, &d, &f, l.w, 75, 40, &out, &a, &err), CQ_ERR_MEMORY);
    a = cq_arena_over(memory, all);
    assert_int_equal(cq_gptq_factor(&l.ctx, &f, &l.h, &d, &a, &err), CQ_OK);
    assert_int_equal(cq_gptq_solve(&l.ctx, &d, &f, l.w, 75, 40, &out, &a, &err), CQ_OK);
    assert_int_equal(a.used, all);
    a = cq_arena_over(NULL, 0); /* sizes beyond the address space */
    cq_hessian big = {NULL, (size_t)1 << (sizeof(size_t) * 4), 0, NULL, 0};
    assert_int_equal(cq_gptq_factor(&l.ctx, &f, &big, &d, &a, &err), sizeof(size_t) == 8 ? CQ_ERR_ARG : CQ_ERR_MEMORY);
    free(raw);
    layer_free(&l);
}

/* Every refusal, once. */
static void test_arguments(void **state) {
    (void)state;
    layer l = layer_make(3, 20, 60, 140);
    cq_gptq_desc good = default_desc(4, 8, false), d, r;
    cq_error err;
    assert_int_equal(cq_gptq_resolve(&r, &good, 20, &err), CQ_OK);
    assert_true(r.format == CQ_INT4 && r.group_size == 8 && r.damp == 0.01f && r.sweeps == 0 && r.slots == 4);
    d = good;
    d.format = CQ_F32;
    d.sweeps = 0;
    d.group_size = 0;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_OK);
    assert_true(r.format == CQ_INT4 && r.group_size == 20);
    d.sweeps = CQ_GPTQ_NO_SWEEPS;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_OK);
    assert_true(r.sweeps == CQ_GPTQ_NO_SWEEPS);
    static const int formats[] = {CQ_F16, CQ_BF16, CQ_FORMAT_COUNT, -1, 99};
    for (size_t i = 0; i < 5; i++) {
        d = good;
        d.format = (cq_format)formats[i];
        assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
        assert_int_equal((int)err.got, formats[i]);
    }
    static const float damps[] = {-0.1f, 1.5f, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        d = good;
        d.damp = damps[i];
        assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
    }
    d = good;
    d.order = (cq_gptq_order)4;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
    d = good;
    d.search = (cq_gptq_search)5;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
    d = good;
    d.sweeps = 1001;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
    d = good;
    d.slots = 4097;
    assert_int_equal(cq_gptq_resolve(&r, &d, 20, &err), CQ_ERR_ARG);
    assert_int_equal(cq_gptq_resolve(&r, &good, 0, &err), CQ_ERR_ARG);

    solved s = solve(&l, &good);
    cq_arena none = cq_arena_over(NULL, 0);
    d = good;
    d.order = CQ_GPTQ_NATURAL;
    assert_int_equal(cq_gptq_solve(&l.ctx, &d, &s.f, l.w, 20, 3, &s.out, &none, &err), CQ_ERR_ARG);
    assert_int_equal(cq_gptq_solve(&l.ctx, &good, &s.f, l.w, 19, 3, &s.out, &none, &err), CQ_ERR_ARG);
    assert_int_equal(cq_gptq_rtn(&good, l.w, 19, 3, 20, &s.out, &err), CQ_ERR_ARG);
    s.out.report = &s.report;
    assert_int_equal(cq_gptq_rtn(&good, l.w, 20, 3, 20, &s.out, &err), CQ_ERR_ARG);
    s.out.report = NULL;
    l.w[2 * 20 + 5] = NAN;
    assert_int_equal(cq_gptq_rtn(&good, l.w, 20, 3, 20, &s.out, &err), CQ_ERR_RANGE);
    solved_free(&s);
    s = solve(&l, &good);
    assert_int_equal(s.status, CQ_ERR_RANGE);
    assert_true(s.err.where == 2 && s.err.got == 5);
    solved_free(&s);
    layer_free(&l);
}

/* ---- policies ---------------------------------------------------------------------------------------------------- */
static bool glob(const char *p, const char *s) { return cq_glob(p, strlen(p), s, strlen(s)); }
/* Catches: wrong anchoring, dots that stop a star, malformed sets; a random comparison with POSIX fnmatch. */
static void test_glob(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "", true}, {"*", "a.b.c", true}, {"a", "a", true},
        {"a", "ab", false}, {"b", "ab", false}, {"*.o_proj", "model.layers.3.self_attn.o_proj", true},
        {"*.o_proj", "model.o_proj.x", false}, {"layers.?.q", "layers.3.q", true},
        {"layers.?.q", "layers.13.q", false}, {"layers.[0-3].q", "layers.2.q", true},
        {"layers.[0-3].q", "layers.4.q", false}, {"[!0-3]", "4", true}, {"[!0-3]", "2", false}, {"[]]", "]", true},
        {"[!]]", "]", false}, {"[!]]", "a", true}, {"[abc]x", "bx", true}, {"[a-]", "-", true}, {"[", "[", true},
        {"[a", "[a", true}, {"[]", "[]", true}, {"[!", "[!", true}, {"[!]", "[!]", true}, {"*[", "ab[", true},
        {"*a*b", "xaybzb", true}, {"*a*b", "xaybz", false}, {"*.mlp.*gate", "m.mlp.shared_expert_gate", true},
        {"A", "a", false}, {"?", "", false}, {"a*", "ba", false}, {"[z-a]", "b", false},
        {"[\xe0-\xff]", "\xf0", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (glob(cases[i].pattern, cases[i].name) != cases[i].match)
            fail_msg("%s against %s", cases[i].pattern, cases[i].name);
    counter = 1;
    for (int i = 0; i < 100000; i++) {
        char p[8], s[8];
        size_t n = (size_t)(uniform() * 8), m = (size_t)(uniform() * 8);
        for (size_t j = 0; j < n; j++) p[j] = "ab*?*."[(size_t)(uniform() * 6)];
        for (size_t j = 0; j < m; j++) s[j] = "ab."[(size_t)(uniform() * 3)];
        p[n] = s[m] = 0;
        if (glob(p, s) != (fnmatch(p, s, FNM_NOESCAPE) == 0)) fail_msg("'%s' against '%s'", p, s);
    }
    char *many = (char *)get(20001); /* stars that would take exponential time with recursion */
    memset(many, 'a', 20000);
    assert_false(cq_glob("*a*a*a*a*a*a*a*a*a*a*b", 22, many, 20000));
    free(many);
}

/* Catches: an earlier rule winning, a field reset by a rule that does not name it, misspelt patterns passing
   silently, a format that cannot take back that an earlier rule left the module as it is, a skip that it can. */
static cq_policy_rule rule(const char *pattern, unsigned set, cq_format format) {
    cq_policy_rule r;
    memset(&r, 0, sizeof r);
    r.pattern = pattern;
    r.pattern_len = pattern ? strlen(pattern) : 0;
    r.set = set;
    r.format = format;
    return r;
}
static cq_policy_choice choice_of(cq_policy *policy, const char *name) {
    cq_policy_choice c;
    memset(&c, 0, sizeof c);
    c.gptq = default_desc(2, 32, false);
    c.gptq.damp = 0.5f;
    cq_policy_resolve(policy, name, strlen(name), &c);
    return c;
}
static void test_policy(void **state) {
    (void)state;
    cq_policy_rule rules[7];
    rules[0] = rule(NULL, CQ_POLICY_FORMAT | CQ_POLICY_GROUP_SIZE | CQ_POLICY_ACTS, CQ_INT4);
    rules[0].group_size = 128;
    rules[0].act_bits = 8;
    rules[1] = rule("*.mlp.*", CQ_POLICY_FORMAT | CQ_POLICY_SKIP, CQ_INT3);
    rules[1].skip = true;
    rules[2] = rule("*.down_proj", CQ_POLICY_FORMAT | CQ_POLICY_ASYM | CQ_POLICY_SKIP | CQ_POLICY_ACTS, CQ_INT8);
    rules[2].asym = true;
    rules[3] = rule("*.shared_expert.*", CQ_POLICY_SKIP, CQ_F32);
    rules[4] = rule("*.gate_proj", CQ_POLICY_FORMAT, CQ_INT8); /* skipped by 1, and no rule takes that back */
    rules[5] = rule("*.[qk]_proj", CQ_POLICY_FORMAT, CQ_BF16);
    rules[6] = rule("*.k_proj", CQ_POLICY_FORMAT, CQ_INT2);
    cq_policy policy = {rules, 7};
    cq_policy_choice c = choice_of(&policy, "a.mlp.down_proj");
    assert_true(c.gptq.format == CQ_INT8 && c.gptq.group_size == 128 && c.gptq.asym && !c.skip && c.gptq.damp == 0.5f);
    assert_int_equal(c.act_bits, 0);
    c = choice_of(&policy, "a.mlp.up_proj");
    assert_true(c.skip && c.stored == CQ_F32 && c.gptq.group_size == 128 && !c.gptq.asym && c.act_bits == 8);
    c = choice_of(&policy, "a.mlp.gate_proj");
    assert_true(c.skip && c.stored == CQ_F32);
    c = choice_of(&policy, "a.q_proj");
    assert_true(c.skip && c.stored == CQ_BF16);
    c = choice_of(&policy, "a.k_proj");
    assert_true(!c.skip && c.gptq.format == CQ_INT2 && c.gptq.group_size == 128);
    c = choice_of(&policy, "a.v_proj");
    assert_true(!c.skip && c.gptq.format == CQ_INT4 && c.act_bits == 8);
    rules[6].format = CQ_MXFP6_E2M3; /* what was said of groups before gives way, what is said with it does not */
    c = choice_of(&policy, "a.k_proj");
    assert_true(!c.skip && c.gptq.format == CQ_MXFP6_E2M3 && c.gptq.group_size == 32 && !c.gptq.asym);
    rules[6].set |= CQ_POLICY_GROUP_SIZE;
    rules[6].group_size = 64;
    c = choice_of(&policy, "a.k_proj");
    assert_int_equal(c.gptq.group_size, 64);
    assert_true(rules[0].matched == 8 && rules[1].matched == 3 && rules[2].matched == 1 && rules[5].matched == 4);
    assert_int_equal(cq_policy_unmatched(&policy, 0), 3);
    assert_int_equal(cq_policy_unmatched(&policy, 4), 7);
}

/* The example at the head of the header. Catches: documentation that does not run. */
static void test_example(void **state) {
    (void)state;
    static float w[16 * 64], x[256 * 64];
    uint8_t codes[16 * 64];
    cq_grid grids[16 * 1];
    static union {
        double align[8];
        unsigned char bytes[524288];
    } memory;
    unsigned char packed[4096];
    cq_context ctx;
    cq_hessian h;
    cq_factor f;
    cq_tensor t;
    cq_gptq_desc desc = {0};
    cq_gptq_result out = {codes, grids, NULL, NULL};
    cq_arena arena = cq_arena_over(&memory, sizeof memory);
    counter = 5;
    for (size_t i = 0; i < 16 * 64; i++) w[i] = normal();
    for (size_t i = 0; i < 256 * 64; i++) x[i] = normal();
    desc.group_size = 64;
    cq_init(&ctx, NULL, NULL);
    cq_hessian_alloc(&h, &arena, 64);
    cq_hessian_add(&ctx, &h, x, 64, 256, NULL);
    cq_hessian_finish(&ctx, &h);
    assert_int_equal(cq_gptq_factor(&ctx, &f, &h, &desc, &arena, NULL), CQ_OK);
    assert_int_equal(cq_gptq_solve(&ctx, &desc, &f, w, 64, 16, &out, &arena, NULL), CQ_OK);
    assert_int_equal(cq_tensor_init(&t, CQ_INT4, CQ_PANELS, 16, 64, 64, false, NULL), CQ_OK);
    assert_true(t.bytes <= sizeof packed);
    cq_pack_panel(&t, packed, 0, codes, 64, grids, 1);
    t.data = packed;
    float row[64], all[16 * 64];
    cq_gptq_dequantize(&desc, &out, 16, 64, all);
    for (size_t r = 0; r < 16; r++) { /* what is packed is what was solved */
        cq_tensor_row(&t, r, row);
        assert_memory_equal(row, all + r * 64, sizeof row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_correct), cmocka_unit_test(test_hessian), cmocka_unit_test(test_factor),
        cmocka_unit_test(test_factor_errors), cmocka_unit_test(test_plain), cmocka_unit_test(test_orders),
        cmocka_unit_test(test_scales), cmocka_unit_test(test_small_floats), cmocka_unit_test(test_paper),
        cmocka_unit_test(test_second_thoughts), cmocka_unit_test(test_quality), cmocka_unit_test(test_formats),
        cmocka_unit_test(test_g_idx), cmocka_unit_test(test_dead), cmocka_unit_test(test_small),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_memory), cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_glob), cmocka_unit_test(test_policy), cmocka_unit_test(test_example)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
