/* Quantised checkpoints of others: streams of bits, GPTQ v1 and v2, compressed-tensors, every error once.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_checkpoint.c -lcmocka -lpthread -lm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "shared.h"

/* ---- streams ---- */
/* Catches: another order of bits than GPTQModel and compressed-tensors have; numbers across words. By hand: the numbers
   0 to 7, four times, of 3 bits: number k at bits 3k, so word 0 ends with two of the three bits of number 10 = 2. */
static void test_stream_by_hand(void **state) {
    (void)state;
    static const uint32_t word[3] = {0x88fac688u, 0xc688fac6u, 0xfac688fau};
    unsigned char bytes[3 * 4] = {0};
    for (size_t k = 0; k < 32; k++) cq_bits_put(bytes, 1, k, 3, (uint32_t)k % 8);
    for (size_t i = 0; i < 3; i++) assert_int_equal(cq__u32(bytes + 4 * i), word[i]);
    for (size_t k = 0; k < 32; k++) assert_int_equal(cq_bits_get(bytes, 1, k, 3), k % 8);
    memset(bytes, 0, sizeof bytes);
    for (size_t k = 0; k < 8; k++) cq_bits_put(bytes, 1, k, 4, (uint32_t)k + 1);
    assert_int_equal(cq__u32(bytes), 0x87654321u);
    assert_int_equal(cq_bits_words(33, 3), 4); /* 99 bits */
    assert_int_equal(cq_bits_words(32, 3), 3);
    assert_int_equal(cq_bits_words(0, 4), 0);
    assert_int_equal(cq_bits_words(((size_t)1 << 28) - 1, 8), (size_t)1 << 26);
}

/* Catches: a number that reaches into its neighbours, reads past the last word, strides. */
static void test_stream_any(void **state) {
    (void)state;
    for (unsigned bits = 2; bits <= 8; bits++)
        for (size_t n = 1; n < 70; n++)
            for (size_t stride = 1; stride < 4; stride++) {
                size_t words = cq_bits_words(n, bits), mark = pool_count;
                unsigned char *p = (unsigned char *)get((words - 1) * stride * 4 + 4); /* exact: no word more */
                for (size_t k = n; k-- > 0;) cq_bits_put(p, stride, k, bits, (uint32_t)(k * 37 + n) % (1u << bits));
                for (size_t k = 0; k < n; k++) {
                    uint32_t v = 0;
                    for (unsigned b = 0; b < bits; b++) /* bit by bit */
                        v |= (cq__u32(p + (k * bits + b) / 32 * stride * 4) >> ((k * bits + b) % 32) & 1u) << b;
                    assert_int_equal(v, (k * 37 + n) % (1u << bits));
                    assert_int_equal(cq_bits_get(p, stride, k, bits), v);
                }
                free_down_to(mark);
            }
}

/* ---- checkpoints in memory ---- */
typedef struct checkpoint {
    cq_named list[16];
    cq_weights w;
    char config[1024];
} checkpoint;

/* A tensor over bytes of exactly that length; later ones of the same name replace it. */
static unsigned char *add(checkpoint *c, const char *name, cq_dtype dtype, size_t ndim, uint64_t a, uint64_t b) {
    size_t i = 0, k;
    for (; i < c->w.count; i++)
        if (strcmp(c->list[i].name, name) >= 0) break;
    if (i == c->w.count || strcmp(c->list[i].name, name)) {
        for (k = c->w.count++; k > i; k--) c->list[k] = c->list[k - 1];
    }
    cq_named *n = &c->list[i];
    memset(n, 0, sizeof *n);
    n->name = name;
    n->name_len = strlen(name);
    n->dtype = (uint8_t)dtype;
    n->ndim = (uint8_t)ndim;
    n->shape[0] = a;
    n->shape[1] = ndim > 1 ? b : 0;
    size_t rows = ndim > 1 ? (size_t)a : 1, cols = (size_t)(ndim > 1 ? b : a);
    n->bytes = rows * cols * cq_dtype_bits(dtype) / 8;
    unsigned char *data = (unsigned char *)get((size_t)n->bytes);
    n->data = data;
    if (dtype <= CQ_DTYPE_BF16) {
        check(cq_tensor_init(&n->t, (cq_format)dtype, CQ_ROWS, rows, cols, 0, false, err));
        n->t.data = data;
    }
    return data;
}
static void drop(checkpoint *c, const char *name) {
    for (size_t i = 0; i < c->w.count; i++)
        if (!strcmp(c->list[i].name, name)) {
            for (c->w.count--; i < c->w.count; i++) c->list[i] = c->list[i + 1];
            return;
        }
    fail_msg("no tensor %s", name);
}

/* Reads it: the size query, then with exactly that much memory, then with one byte less. */
static cq_status read_checkpoint(const checkpoint *c, const cq_context *ctx, cq_weights *out, cq_error *err) {
    cq_arena dry = cq_arena_over(NULL, 0), a;
    cq_weights stored = c->w;
    stored.list = c->list; /* c may be a copy */
    cq_json *j = (cq_json *)get(sizeof *j);
    memset(err, 0, sizeof *err);
    check(cq_json_parse(j, c->config, strlen(c->config), &dry, err));
    a = arena_of(dry.used);
    check(cq_json_parse(j, c->config, strlen(c->config), &a, err));
    dry = cq_arena_over(NULL, 0);
    cq_status st = cq_checkpoint_read(ctx, j, 0, &stored, &dry, out, err);
    if (st) {
        assert_null(out->list);
        check_error(st, err);
        return st;
    }
    size_t count = out->count;
    assert_null(out->list);
    a = arena_of(dry.used);
    st = cq_checkpoint_read(ctx, j, 0, &stored, &a, out, err);
    if (st) {
        check_error(st, err);
        return st;
    }
    assert_int_equal(a.used, dry.used);
    assert_int_equal(out->count, count);
    cq_weights less;
    a = arena_of(dry.used - 1);
    assert_int_equal(cq_checkpoint_read(ctx, j, 0, &stored, &a, &less, err), CQ_ERR_MEMORY);
    return CQ_OK;
}

/* What a linear is made of. */
typedef struct linear {
    size_t rows, cols, group, groups;
    unsigned bits;
    bool asym;
    uint8_t *code;  /* (rows, cols) */
    uint32_t *zero; /* (rows, groups) */
    float *scale;   /* (rows, groups), of fp16 */
    uint32_t *g_idx;
} linear;
static linear linear_of(size_t rows, size_t cols, size_t group, unsigned bits, bool asym) {
    linear l;
    l.rows = rows;
    l.cols = cols;
    l.group = group ? group : cols;
    l.groups = (cols + l.group - 1) / l.group;
    l.bits = bits;
    l.asym = asym;
    l.code = (uint8_t *)get(rows * cols);
    l.zero = (uint32_t *)get(rows * l.groups * 4);
    l.scale = (float *)get(rows * l.groups * 4);
    l.g_idx = (uint32_t *)get(cols * 4);
    for (size_t i = 0; i < rows * cols; i++) l.code[i] = (uint8_t)(cq_random(3, bits, i) % (1u << bits));
    for (size_t i = 0; i < rows * l.groups; i++) {
        l.zero[i] = asym ? (uint32_t)(cq_random(4, bits, i) % (1u << bits)) : 1u << (bits - 1);
        l.scale[i] = cq_f16_to_f32((uint16_t)(0x2000u + cq_random(5, bits, i) % 0x1000u));
    }
    if (asym) l.zero[0] = 0; /* what borrows when it is stored less 1 */
    for (size_t k = 0; k < cols; k++) l.g_idx[k] = (uint32_t)(k / l.group);
    return l;
}
static float value_of(const linear *l, size_t r, size_t k) {
    size_t g = r * l->groups + l->g_idx[k];
    return (float)((int)l->code[r * l->cols + k] - (int)l->zero[g]) * l->scale[g];
}
static void put_f16(unsigned char *p, float v) { cq__put16(p, cq_f32_to_f16(v)); }

static void add_gptq(checkpoint *c, const linear *l, bool v1, bool with_g_idx) {
    size_t down = cq_bits_words(l->cols, l->bits), across = cq_bits_words(l->rows, l->bits);
    unsigned char *q = add(c, "m.q.qweight", CQ_DTYPE_I32, 2, down, l->rows);
    unsigned char *z = add(c, "m.q.qzeros", CQ_DTYPE_I32, 2, l->groups, across);
    unsigned char *s = add(c, "m.q.scales", CQ_DTYPE_F16, 2, l->groups, l->rows);
    for (size_t r = 0; r < l->rows; r++) {
        for (size_t k = 0; k < l->cols; k++) cq_bits_put(q + 4 * r, l->rows, k, l->bits, l->code[r * l->cols + k]);
        for (size_t g = 0; g < l->groups; g++) {
            uint32_t zero = l->zero[r * l->groups + g];
            if (v1 && l->bits == 3) zero = (zero - 1) & 7u;
            cq_bits_put(z + 4 * g * across, 1, r, l->bits, zero);
            put_f16(s + 2 * (g * l->rows + r), l->scale[r * l->groups + g]);
        }
    }
    for (size_t i = 0; v1 && l->bits != 3 && i < l->groups * across; i++) /* as GPTQModel does: whole words */
        cq__put32(z + 4 * i, cq__u32(z + 4 * i) - (l->bits == 2 ? 0x55555555u : l->bits == 4 ? 0x11111111u
                                                                                             : 0x01010101u));
    if (with_g_idx) {
        unsigned char *g = add(c, "m.q.g_idx", CQ_DTYPE_I32, 1, l->cols, 0);
        for (size_t k = 0; k < l->cols; k++) cq__put32(g + 4 * k, l->g_idx[k]);
    }
}
static void add_compressed(checkpoint *c, const linear *l) {
    size_t down = cq_bits_words(l->cols, l->bits), across = cq_bits_words(l->rows, l->bits);
    unsigned char *q = add(c, "m.q.weight_packed", CQ_DTYPE_I32, 2, l->rows, down);
    unsigned char *s = add(c, "m.q.weight_scale", CQ_DTYPE_F16, 2, l->rows, l->groups);
    unsigned char *shape = add(c, "m.q.weight_shape", CQ_DTYPE_I64, 1, 2, 0);
    unsigned char *z = l->asym ? add(c, "m.q.weight_zero_point", CQ_DTYPE_I32, 2, across, l->groups) : NULL;
    cq__put64(shape, l->rows);
    cq__put64(shape + 8, l->cols);
    for (size_t r = 0; r < l->rows; r++) {
        for (size_t k = 0; k < l->cols; k++) cq_bits_put(q + 4 * r * down, 1, k, l->bits, l->code[r * l->cols + k]);
        for (size_t g = 0; g < l->groups; g++) {
            put_f16(s + 2 * (r * l->groups + g), l->scale[r * l->groups + g]);
            if (z) cq_bits_put(z + 4 * g, l->groups, r, l->bits, l->zero[r * l->groups + g]);
        }
    }
}
static checkpoint empty(void) {
    checkpoint c;
    memset(&c, 0, sizeof c);
    put_f16(add(&c, "m.norm", CQ_DTYPE_F16, 1, 1, 0), 0.5f); /* something else, before and behind */
    put_f16(add(&c, "a.scales", CQ_DTYPE_F16, 1, 1, 0), 0.5f); /* no part of a quantised linear */
    return c;
}
static void gptq_config(checkpoint *c, const linear *l, bool v2) {
    snprintf(c->config, sizeof c->config,
             "{\"quant_method\":\"gptq\",\"bits\":%u,\"group_size\":%d,\"sym\":%s,\"checkpoint_format\":\"%s\"}",
             l->bits, l->group == l->cols ? -1 : (int)l->group, l->asym ? "false" : "true", v2 ? "gptq_v2" : "gptq");
}

/* m.q.weight holds exactly these weights, as codes if `coded`. */
static void expect(const checkpoint *c, const cq_context *ctx, const linear *l, bool coded) {
    cq_weights w;
    cq_error err;
    cq_status st = read_checkpoint(c, ctx, &w, &err);
    if (st) fail_msg("%s: %s %.*s", c->config, err.what, (int)err.name_len, err.name);
    assert_int_equal(w.count, 3);
    assert_non_null(cq_weights_find(&w, "a.scales", 8));
    assert_non_null(cq_weights_find(&w, "m.norm", 6));
    const cq_named *n = cq_weights_find(&w, "m.q.weight", 10);
    assert_non_null(n);
    assert_int_equal(n->dtype, CQ_DTYPE_PACKED);
    assert_int_equal(n->t.rows, l->rows);
    assert_int_equal(n->t.cols, l->cols);
    assert_int_equal(cq_format_is_coded(n->t.format), coded);
    float *row = (float *)get(l->cols * sizeof *row);
    for (size_t r = 0; r < l->rows; r++) {
        cq_tensor_row(&n->t, r, row);
        for (size_t k = 0; k < l->cols; k++) {
            float want = value_of(l, r, k);
            if (memcmp(&row[k], &want, sizeof want) && row[k] != want) /* 0 and -0 are one */
                fail_msg("%s, weight %d, %d is %.9g, must be %.9g", c->config, (int)r, (int)k, (double)row[k],
                         (double)want);
            if (coded) assert_int_equal(cq_tensor_code(&n->t, r, k), l->code[r * l->cols + k]);
        }
    }
}

/* Catches: zeros less 1 and not, borrows, streams of each width, last groups that are shorter, groups that panels cannot
   hold, threads. */
static void test_gptq(void **state) {
    (void)state;
    static const unsigned widths[] = {2, 3, 4, 8};
    static const struct {
        size_t rows, cols, group;
    } shape[] = {{5, 64, 32}, {33, 96, 0}, {17, 80, 64}, {16, 60, 16}, {3, 31, 0}, {20, 64, 24}, {40, 128, 128}};
    size_t threads = 3;
    cq_context one = plain(), many = plain();
    many.parallel.run = run_threads;
    many.parallel.user = &threads;
    for (size_t i = 0; i < COUNT(shape); i++)
        for (size_t b = 0; b < COUNT(widths); b++)
            for (unsigned flags = 0; flags < 8; flags++) {
                size_t mark = pool_count;
                bool asym = flags & 1u, v2 = (flags & 2u) != 0, with_g_idx = (flags & 4u) != 0;
                linear l = linear_of(shape[i].rows, shape[i].cols, shape[i].group, widths[b], asym);
                checkpoint c = empty();
                if (!with_g_idx && cq_bits_words(l.cols, l.bits) * 32 != l.cols * l.bits) continue; /* cols unknown */
                add_gptq(&c, &l, !v2, with_g_idx);
                gptq_config(&c, &l, v2);
                expect(&c, flags & 1u ? &many : &one, &l, l.groups == 1 || l.group % 16 == 0);
                free_down_to(mark);
            }
}

/* Catches: --act-order's groups taken for runs, and runs not recognised. */
static void test_gptq_permuted(void **state) {
    (void)state;
    cq_context ctx = plain();
    linear l = linear_of(8, 96, 32, 4, true);
    for (size_t k = 0; k < l.cols; k++) l.g_idx[k] = (uint32_t)((k * 7 + 5) % 96 / 32);
    checkpoint c = empty();
    add_gptq(&c, &l, false, true);
    gptq_config(&c, &l, true);
    expect(&c, &ctx, &l, false);
    for (size_t k = 0; k < l.cols; k++) l.g_idx[k] = (uint32_t)(2 - k / 32); /* runs, but not in order */
    c = empty();
    add_gptq(&c, &l, false, true);
    gptq_config(&c, &l, true);
    expect(&c, &ctx, &l, false);
    for (size_t k = 0; k < l.cols; k++) l.g_idx[k] = 0; /* two groups that nothing is in */
    c = empty();
    add_gptq(&c, &l, false, true);
    gptq_config(&c, &l, true);
    expect(&c, &ctx, &l, false);
}

/* Catches: files that say gptq and hold zeros as they are, which exist; and symmetric modules read as asymmetric. */
static void test_gptq_sniffed(void **state) {
    (void)state;
    cq_context ctx = plain();
    for (unsigned v2 = 0; v2 < 2; v2++) {
        linear l = linear_of(9, 64, 32, 4, false);
        checkpoint c = empty();
        cq_weights w;
        cq_error err;
        add_gptq(&c, &l, !v2, true);
        gptq_config(&c, &l, false);
        expect(&c, &ctx, &l, true);
        assert_int_equal(read_checkpoint(&c, &ctx, &w, &err), CQ_OK);
        assert_false(cq_weights_find(&w, "m.q.weight", 10)->t.asym);
    }
}

/* Catches: modules that `dynamic` gives other bits and groups, read as the rest; and where nothing may differ, not. */
static void test_gptq_mixed(void **state) {
    (void)state;
    cq_context ctx = plain();
    cq_weights w;
    cq_error err;
    linear l = linear_of(16, 128, 64, 8, false);
    for (unsigned with_g_idx = 0; with_g_idx < 2; with_g_idx++) {
        checkpoint c = empty();
        add_gptq(&c, &l, true, with_g_idx);
        strcpy(c.config, "{\"bits\":4,\"group_size\":32,\"dynamic\":{\"+:.*\":{\"bits\":8,\"group_size\":64}}}");
        if (with_g_idx) expect(&c, &ctx, &l, true);
        strcpy(c.config, "{\"bits\":4,\"group_size\":32}");
        assert_int_equal(read_checkpoint(&c, &ctx, &w, &err), CQ_ERR_FORMAT);
    }
}

/* Catches: scales of other floats rounded to fp16. */
static void test_gptq_scales(void **state) {
    (void)state;
    cq_context ctx = plain();
    linear l = linear_of(4, 64, 32, 4, false);
    checkpoint c = empty();
    add_gptq(&c, &l, true, true);
    unsigned char *s = add(&c, "m.q.scales", CQ_DTYPE_F32, 2, l.groups, l.rows);
    gptq_config(&c, &l, false);
    for (unsigned exact = 0; exact < 2; exact++) {
        if (exact) l.scale[3] = 0.1f;
        for (size_t r = 0; r < l.rows; r++)
            for (size_t g = 0; g < l.groups; g++)
                cq__put32(s + 4 * (g * l.rows + r), cq__bits(l.scale[r * l.groups + g]));
        expect(&c, &ctx, &l, !exact);
    }
}

/* Catches: other nibbles, other numbers, other exponents than OCP's; scales of other shapes. */
static void test_compressed_floats(void **state) {
    (void)state;
    static const struct {
        cq_format format;
        cq_mini mini;
        const char *codes, *config; /* of its weights */
        cq_dtype dtype, scales;
        size_t group;
    } kind[] = {
        {CQ_MXFP4, CQ_E2M1, "m.q.weight_packed", "\"num_bits\":4,\"group_size\":32", CQ_DTYPE_U8, CQ_DTYPE_U8, 32},
        {CQ_MXFP6_E2M3, CQ_E2M3, "m.q.weight_packed", "\"num_bits\":6", CQ_DTYPE_U8, CQ_DTYPE_F8_E8M0, 32},
        {CQ_MXFP8, CQ_E4M3, "m.q.weight", "\"num_bits\":8", CQ_DTYPE_F8_E4M3, CQ_DTYPE_U8, 32},
        {CQ_FP8, CQ_E4M3, "m.q.weight", "\"num_bits\":8,\"group_size\":48", CQ_DTYPE_F8_E4M3, CQ_DTYPE_F32, 48},
        {CQ_FP8, CQ_E4M3, "m.q.weight", "\"num_bits\":8,\"group_size\":24", CQ_DTYPE_F8_E4M3, CQ_DTYPE_BF16, 24},
        {CQ_FP8, CQ_E4M3, "m.q.weight", "\"num_bits\":8", CQ_DTYPE_F8_E4M3, CQ_DTYPE_F32, 0}};
    enum { ROWS = 19, COLS = 96 };
    cq_context ctx = plain();
    for (size_t i = 0; i < COUNT(kind); i++)
        for (unsigned one = 0; one < (kind[i].group ? 1u : 2u); one++) {
            unsigned bits = cq_format_bits(kind[i].format);
            size_t size = kind[i].group ? kind[i].group : COLS, groups = COLS / size;
            checkpoint c = empty();
            cq_weights w;
            cq_error err;
            unsigned char *q = add(&c, kind[i].codes, kind[i].dtype, 2, ROWS, COLS * bits / 8);
            unsigned char *s = one ? add(&c, "m.q.weight_scale", kind[i].scales, 1, 1, 0)
                                   : add(&c, "m.q.weight_scale", kind[i].scales, 2, ROWS, groups);
            float want[ROWS][COLS], row[COLS];
            snprintf(c.config, sizeof c.config, "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{"
                                                "\"targets\":[\"Linear\"],\"weights\":{%s}}}}", kind[i].config);
            for (size_t r = 0; r < ROWS; r++)
                for (size_t k = 0; k < COLS; k++) {
                    uint8_t code = (uint8_t)(cq_random(6, i, r * COLS + k) % (1u << bits));
                    size_t g = one ? 0 : r * groups + k / size;
                    float scale = cq__exp2i((int32_t)(g % 7) - 9);
                    if (kind[i].format == CQ_FP8) scale *= 1.5f;
                    if (bits == 8 && (code & 0x7fu) == 0x7fu) code = 0; /* no number */
                    if (bits == 8) q[r * COLS + k] = code; /* here bit by bit, each row from its first byte */
                    for (unsigned b = 0; bits < 8 && b < bits; b++)
                        q[r * COLS * bits / 8 + (k * bits + b) / 8] |=
                            (unsigned char)((code >> b & 1u) << (k * bits + b) % 8);
                    if (kind[i].scales == CQ_DTYPE_F32) cq__put32(s + 4 * g, cq__bits(scale));
                    else if (kind[i].scales == CQ_DTYPE_BF16) cq__put16(s + 2 * g, cq_f32_to_bf16(scale));
                    else s[g] = (unsigned char)(g % 7 + 127 - 9);
                    want[r][k] = cq_mini_to_f32(kind[i].mini, code) * scale;
                }
            cq_status st = read_checkpoint(&c, &ctx, &w, &err);
            if (st) fail_msg("%s: %s %.*s", c.config, err.what, (int)err.name_len, err.name);
            const cq_named *n = cq_weights_find(&w, "m.q.weight", 10);
            assert_int_equal(n->t.format, size % 16 ? CQ_F32 : kind[i].format);
            for (size_t r = 0; r < ROWS; r++) {
                cq_tensor_row(&n->t, r, row);
                for (size_t k = 0; k < COLS; k++) assert_true(row[k] == want[r][k]);
            }
        }
}

static void test_compressed(void **state) {
    (void)state;
    static const unsigned widths[] = {2, 3, 4, 8};
    static const struct {
        size_t rows, cols, group;
    } shape[] = {{5, 64, 32}, {33, 96, 0}, {16, 48, 16}, {17, 80, 64}};
    cq_context ctx = plain();
    for (size_t i = 0; i < COUNT(shape); i++)
        for (size_t b = 0; b < COUNT(widths); b++)
            for (unsigned asym = 0; asym < 2; asym++) {
                linear l = linear_of(shape[i].rows, shape[i].cols, shape[i].group, widths[b], asym);
                checkpoint c = empty();
                char group[32] = "null";
                if (l.groups > 1) snprintf(group, sizeof group, "%d", (int)l.group);
                add_compressed(&c, &l);
                snprintf(c.config, sizeof c.config,
                         "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"group_0\":{\"targets\":"
                         "[\"Linear\"],\"weights\":{\"num_bits\":%u,\"group_size\":%s}}}}", l.bits, group);
                expect(&c, &ctx, &l, l.groups == 1 || l.group % 16 == 0);
                /* other groups that would fit as well, one of which names the module */
                snprintf(c.config, sizeof c.config,
                         "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"targets\":[\"Linear\"],"
                         "\"weights\":{\"num_bits\":%u,\"group_size\":%d}},\"b\":{\"targets\":[\"x\",\"m.q\"],"
                         "\"weights\":{\"num_bits\":%u,\"group_size\":%s}}}}", l.bits == 8 ? 4 : 8,
                         (int)((l.cols + l.groups - 1) / l.groups), l.bits, group);
                expect(&c, &ctx, &l, l.groups == 1 || l.group % 16 == 0);
            }
}

/* ---- errors ---- */
static void refuse(const checkpoint *c, cq_status status, const char *words, const char *name) {
    cq_context ctx = plain();
    cq_weights w;
    cq_error err;
    cq_status st = read_checkpoint(c, &ctx, &w, &err);
    if (st != status || !strstr(err.what, words) || err.name_len != strlen(name) ||
        memcmp(err.name, name, err.name_len))
        fail_msg("%s: status %d, %s (%.*s); it should be %d, %s (%s)", c->config, (int)st, err.what, (int)err.name_len,
                 err.name, (int)status, words, name);
}

static checkpoint good_gptq(void) {
    linear l = linear_of(8, 64, 32, 4, false);
    checkpoint c = empty();
    add_gptq(&c, &l, true, true);
    gptq_config(&c, &l, false);
    return c;
}
static checkpoint good_compressed(void) {
    linear l = linear_of(8, 64, 32, 4, true);
    checkpoint c = empty();
    add_compressed(&c, &l);
    strcpy(c.config, "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"targets\":[\"Linear\"],"
                     "\"weights\":{\"num_bits\":4,\"group_size\":32}}}}");
    return c;
}

/* Catches: each thing that a configuration may say wrongly or beyond what is read. */
static void test_config_errors(void **state) {
    (void)state;
    static const struct {
        const char *config;
        cq_status status;
        const char *words, *name;
    } bad[] = {
        {"[]", CQ_ERR_FORMAT, "object", "quantization_config"},
        {"{\"quant_method\":\"awq\"}", CQ_ERR_UNSUPPORTED, "gptq or compressed-tensors", "quant_method"},
        {"{\"bits\":5}", CQ_ERR_UNSUPPORTED, "2, 3, 4 or 8", "bits"},
        {"{\"bits\":\"4\"}", CQ_ERR_UNSUPPORTED, "2, 3, 4 or 8", "bits"},
        {"{\"bits\":4,\"group_size\":0}", CQ_ERR_FORMAT, "-1 or above", "group_size"},
        {"{\"bits\":4,\"sym\":1}", CQ_ERR_FORMAT, "true or false", "sym"},
        {"{\"bits\":4,\"checkpoint_format\":\"marlin\"}", CQ_ERR_UNSUPPORTED, "gptq_v2", "checkpoint_format"},
        {"{\"bits\":4,\"pack_dtype\":\"int16\"}", CQ_ERR_UNSUPPORTED, "int32", "pack_dtype"},
        {"{\"bits\":4,\"rotation\":\"hadamard\"}", CQ_ERR_UNSUPPORTED, "rotate", "rotation"},
        {"{\"quant_method\":\"compressed-tensors\"}", CQ_ERR_FORMAT, "config_groups", "config_groups"},
        {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":1}}", CQ_ERR_FORMAT, "an object",
         "config_groups"},
        {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"input_activations\":{\"num_bits\":8}}}}",
         CQ_ERR_UNSUPPORTED, "nothing else", "input_activations"},
        {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{},\"kv_cache_scheme\":{\"num_bits\":8}}",
         CQ_ERR_UNSUPPORTED, "nothing else", "kv_cache_scheme"},
        {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{},\"transform_config\":{\"config_groups\":{}}}",
         CQ_ERR_UNSUPPORTED, "nothing else", "transform_config"},
        {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{}}", CQ_ERR_MISSING, "has no tensor",
         ".weight_packed"},
    };
    checkpoint c = good_gptq();
    for (size_t i = 0; i < COUNT(bad); i++) {
        strcpy(c.config, bad[i].config);
        refuse(&c, bad[i].status, bad[i].words, bad[i].name);
    }
}

/* Catches: shapes and numbers that are believed; each would otherwise be read past an end. */
static void test_gptq_errors(void **state) {
    (void)state;
    cq_context ctx = plain();
    cq_weights w;
    cq_error err;
    checkpoint c = good_gptq();
    assert_int_equal(read_checkpoint(&c, &ctx, &w, &err), CQ_OK);
    add(&c, "m.q.qweight", CQ_DTYPE_I16, 2, 8, 8);
    refuse(&c, CQ_ERR_FORMAT, "I32 of two", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.qweight", CQ_DTYPE_I32, 1, 64, 0);
    refuse(&c, CQ_ERR_FORMAT, "I32 of two", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.qweight", CQ_DTYPE_I32, 2, 0, 8);
    refuse(&c, CQ_ERR_FORMAT, "I32 of two", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.qweight", CQ_DTYPE_I32, 2, 7, 8);
    refuse(&c, CQ_ERR_FORMAT, "fit no bits", "m.q.qweight");
    c = good_gptq();
    drop(&c, "m.q.scales");
    refuse(&c, CQ_ERR_FORMAT, "needs scales", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.scales", CQ_DTYPE_I16, 2, 2, 8);
    refuse(&c, CQ_ERR_FORMAT, "needs scales", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.scales", CQ_DTYPE_F16, 2, 2, 7);
    refuse(&c, CQ_ERR_FORMAT, "needs scales", "m.q.qweight");
    c = good_gptq();
    drop(&c, "m.q.qzeros");
    refuse(&c, CQ_ERR_FORMAT, "fit no bits", "m.q.qweight");
    c = good_gptq();
    add(&c, "m.q.qzeros", CQ_DTYPE_I32, 2, 1, 1);
    refuse(&c, CQ_ERR_FORMAT, "fit no bits", "m.q.qweight");
    c = good_gptq();
    cq__put32(add(&c, "m.q.g_idx", CQ_DTYPE_I32, 1, 64, 0) + 4 * 63, 2);
    refuse(&c, CQ_ERR_RANGE, "below the number of groups", "m.q.g_idx");
    c = good_gptq();
    cq__put32(add(&c, "m.q.g_idx", CQ_DTYPE_I32, 1, 64, 0) + 4 * 5, 0xffffffffu);
    refuse(&c, CQ_ERR_RANGE, "below the number of groups", "m.q.g_idx");
    c = good_gptq();
    add(&c, "m.q.g_idx", CQ_DTYPE_I64, 1, 64, 0);
    refuse(&c, CQ_ERR_FORMAT, "I32 of one", "m.q.g_idx");
    c = good_gptq();
    add(&c, "m.q.g_idx", CQ_DTYPE_I32, 1, 65, 0);
    refuse(&c, CQ_ERR_FORMAT, "fit no bits", "m.q.qweight");
    c = good_gptq();
    drop(&c, "m.q.g_idx");
    strcpy(c.config, "{\"bits\":4,\"group_size\":16}");
    refuse(&c, CQ_ERR_FORMAT, "as many groups", "m.q.scales");
    c = good_gptq();
    add(&c, "m.q.scales", CQ_DTYPE_F16, 2, 65, 8);
    add(&c, "m.q.qzeros", CQ_DTYPE_I32, 2, 65, 1);
    refuse(&c, CQ_ERR_FORMAT, "more groups than", "m.q.scales");
    c = good_gptq();
    cq__put16(add(&c, "m.q.scales", CQ_DTYPE_F16, 2, 2, 8) + 2, 0x7c00u);
    refuse(&c, CQ_ERR_RANGE, "not finite", "m.q.scales");
    c = good_gptq();
    add(&c, "m.q.weight", CQ_DTYPE_F16, 2, 8, 64);
    refuse(&c, CQ_ERR_FORMAT, "quantised, and as it was", "m.q.weight");
}

static void test_compressed_errors(void **state) {
    (void)state;
    cq_context ctx = plain();
    cq_weights w;
    cq_error err;
    checkpoint c = good_compressed();
    assert_int_equal(read_checkpoint(&c, &ctx, &w, &err), CQ_OK);
    add(&c, "m.q.weight_packed", CQ_DTYPE_I16, 2, 8, 32);
    refuse(&c, CQ_ERR_FORMAT, "I32 or U8", "m.q.weight_packed");
    c = good_compressed();
    add(&c, "m.q.weight_packed", CQ_DTYPE_U8, 2, 8, 32);
    refuse(&c, CQ_ERR_UNSUPPORTED, "mxfp4", "m.q.weight_packed"); /* fp16 scales: none of these */
    drop(&c, "m.q.weight_zero_point");
    add(&c, "m.q.weight_scale", CQ_DTYPE_F8_E4M3, 2, 8, 2);
    refuse(&c, CQ_ERR_UNSUPPORTED, "mxfp4", "m.q.weight_packed");
    add(&c, "m.q.weight_scale", CQ_DTYPE_U8, 2, 8, 3);
    refuse(&c, CQ_ERR_FORMAT, "one scale for 32", "m.q.weight_packed");
    add(&c, "m.q.weight_scale", CQ_DTYPE_U8, 2, 7, 2);
    refuse(&c, CQ_ERR_FORMAT, "(outputs, groups)", "m.q.weight_scale");
    add(&c, "m.q.weight_scale", CQ_DTYPE_U8, 2, 8, 2)[3] = 255;
    refuse(&c, CQ_ERR_RANGE, "not finite", "m.q.weight_scale");
    drop(&c, "m.q.weight_packed");
    add(&c, "m.q.weight", CQ_DTYPE_F8_E4M3, 2, 8, 64)[70] = 0xff;
    add(&c, "m.q.weight_scale", CQ_DTYPE_F32, 1, 1, 0);
    refuse(&c, CQ_ERR_RANGE, "no number", "m.q.weight");
    drop(&c, "m.q.weight_scale");
    refuse(&c, CQ_ERR_UNSUPPORTED, "float-quantized", "m.q.weight");
    c = good_compressed();
    add(&c, "m.q.weight_packed", CQ_DTYPE_I32, 1, 64, 0);
    refuse(&c, CQ_ERR_FORMAT, "two dimensions", "m.q.weight_packed");
    c = good_compressed();
    add(&c, "m.q.weight_packed", CQ_DTYPE_I32, 2, 8, 7);
    refuse(&c, CQ_ERR_FORMAT, "fits no num_bits", "m.q.weight_packed");
    c = good_compressed();
    drop(&c, "m.q.weight_shape");
    refuse(&c, CQ_ERR_FORMAT, "weight_shape", "m.q.weight_packed");
    c = good_compressed();
    cq__put64(add(&c, "m.q.weight_shape", CQ_DTYPE_I64, 1, 2, 0), 8);
    refuse(&c, CQ_ERR_FORMAT, "weight_shape", "m.q.weight_packed"); /* no columns */
    c = good_compressed();
    drop(&c, "m.q.weight_scale");
    refuse(&c, CQ_ERR_FORMAT, "weight_scale", "m.q.weight_packed");
    c = good_compressed();
    add(&c, "m.q.weight_scale", CQ_DTYPE_F16, 2, 7, 2);
    refuse(&c, CQ_ERR_FORMAT, "weight_scale", "m.q.weight_packed");
    c = good_compressed();
    add(&c, "m.q.weight_scale", CQ_DTYPE_F16, 2, 8, 3);
    add(&c, "m.q.weight_zero_point", CQ_DTYPE_I32, 2, 1, 3);
    refuse(&c, CQ_ERR_FORMAT, "as many groups", "m.q.weight_scale");
    c = good_compressed();
    add(&c, "m.q.weight_zero_point", CQ_DTYPE_I32, 2, 2, 2);
    refuse(&c, CQ_ERR_FORMAT, "words of the outputs", "m.q.weight_zero_point");
    c = good_compressed();
    cq__put32(add(&c, "m.q.weight_g_idx", CQ_DTYPE_I32, 1, 64, 0), 0xffffffffu);
    refuse(&c, CQ_ERR_RANGE, "below the number of groups", "m.q.weight_g_idx");
    c = good_compressed();
    add(&c, "m.q.weight_g_idx", CQ_DTYPE_I32, 1, 63, 0);
    refuse(&c, CQ_ERR_FORMAT, "I32 (columns)", "m.q.weight_g_idx");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_stream_by_hand, free_all),
        cmocka_unit_test_teardown(test_stream_any, free_all),
        cmocka_unit_test_teardown(test_gptq, free_all),
        cmocka_unit_test_teardown(test_gptq_permuted, free_all),
        cmocka_unit_test_teardown(test_gptq_sniffed, free_all),
        cmocka_unit_test_teardown(test_gptq_mixed, free_all),
        cmocka_unit_test_teardown(test_gptq_scales, free_all),
        cmocka_unit_test_teardown(test_compressed, free_all),
        cmocka_unit_test_teardown(test_compressed_floats, free_all),
        cmocka_unit_test_teardown(test_config_errors, free_all),
        cmocka_unit_test_teardown(test_gptq_errors, free_all),
        cmocka_unit_test_teardown(test_compressed_errors, free_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
