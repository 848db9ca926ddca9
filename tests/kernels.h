/* The property test of the kernels: every kernel of every tier that this build and this processor offer against plain
   C, bit for bit, over random shapes, strides, alignments and values. Freestanding: no libc, no heap, no file, so that
   it runs on a board and under an emulator as well as in tests/test_core.c. tests/kernels.c is a program around it.

       static unsigned char memory[CQ_KERNELS_MEMORY];
       cq_kernel_test test = {0};
       test.memory = memory;                  // or test.get: blocks whose ends trap
       test.rounds = 4;
       if (cq_check_kernels(&test)) ...       // how many results were wrong; test.tier says it a tier

   One round is everything once: each kernel with each kind of values, each format in each layout with each group size,
   symmetric or not, with scales of activations per row and per group. What a round does depends on its number alone, on
   every machine: test.checksum, of what plain C computed, is the same everywhere for the same number of rounds.

   catches: a tier whose bits differ from plain C; sums that saturate or overflow (all codes at one end and all
   activations at +-127); tails that are forgotten; denormals that are flushed; multiplications and additions that were
   fused; fused ones that are rounded twice; lanes in the wrong order on big-endian machines; alignment that is not
   promised; writes outside of the result (and reads, where the caller's blocks end at a guard page). */
#ifndef CQUANT_TESTS_KERNELS_H
#define CQUANT_TESTS_KERNELS_H

/* CQ_KERNELS_SMALL: for boards; the shapes are smaller, and so the checksum is another */
#ifdef CQ_KERNELS_SMALL
#define CQ_KERNELS_MEMORY ((size_t)72 << 10)
enum { KT_VECTOR = 50, KT_DEPTH = 40, KT_COLUMNS = 14, KT_ROWS = 33, KT_WIDTH = 100, KT_ACTS = 20 };
#else
#define CQ_KERNELS_MEMORY ((size_t)192 << 10)
enum { KT_VECTOR = 80, KT_DEPTH = 80, KT_COLUMNS = 30, KT_ROWS = 90, KT_WIDTH = 150, KT_ACTS = 37 };
#endif
enum { KT_TIERS = 16, KT_BLOCKS = 24, KT_BEFORE = 16, KT_AFTER = 64, KT_POISON = 0xa5 };

typedef struct cq_kernel_test {
    void (*say)(void *user, const char *text); /* of the first wrong results; NULL: silent */
    /* A block of so many bytes, which ends where it ends; all blocks are given back before `release` is called. NULL:
       from memory (CQ_KERNELS_MEMORY bytes), with poison around each that must stay. */
    void *(*get)(void *user, size_t bytes);
    void (*release)(void *user);
    void *user;
    unsigned char *memory;
    uint32_t first, rounds; /* rounds [first, first + rounds) */
    bool best_only;         /* of the tiers */
    struct {
        const cq__kernels *k;
        uint32_t comparisons, wrong;
    } tier[KT_TIERS];
    size_t tiers, compared; /* all that are there; so many of the best, without plain C, unless there is nothing else */
    uint32_t wrong;         /* over all tiers */
    uint64_t checksum;
    /* what it is at */
    uint32_t round, counter;
    uint64_t spare;
    unsigned kind;
    const char *format; /* of packed weights, else NULL */
    size_t facts[8];    /* rows, columns, group, asym, n ... as KT_FACTS names them */
    size_t used, blocks, begin[KT_BLOCKS], end[KT_BLOCKS];
} cq_kernel_test;

/* ---- numbers ---------------------------------------------------------------------------------------------------- */
static uint32_t kt_u32(cq_kernel_test *t) {
    if (t->counter++ & 1) return (uint32_t)(t->spare >> 32);
    t->spare = cq_random(0x6b65726e656c73u, t->round, t->counter);
    return (uint32_t)t->spare;
}
static uint32_t kt_below(cq_kernel_test *t, uint32_t n) { return (uint32_t)(((uint64_t)kt_u32(t) * n) >> 32); }
static float kt_uniform(cq_kernel_test *t) { /* [-1, 1), exact */
    return (float)((int32_t)(kt_u32(t) >> 8) - 0x800000) * 1.1920928955078125e-7f;
}

enum { KT_UNIFORM, KT_TENS, KT_SPECIAL, KT_DENORMAL, KT_WIDE, KT_ANY, KT_KINDS };
static const char *const kt_kinds[KT_KINDS] = {"uniform", "tens", "special", "denormal", "wide", "any"};
static float kt_float(cq_kernel_test *t) {
    /* zeros, infinities, NaN, the least and the largest denormal and normal numbers, of both signs; 1; what a float16
       overflows at; 2^-24; where exp ends and just before */
    static const uint32_t special[] = {0x00000000u, 0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u,
                                       0x00000001u, 0x80000001u, 0x007fffffu, 0x807fffffu, 0x00800000u, 0x80800000u,
                                       0x7f7fffffu, 0xff7fffffu, 0x3f800000u, 0xbf800000u, 0x477ff000u, 0x33800000u,
                                       0x42b17218u, 0x42b17217u, 0xc2cff1b4u, 0xc2cff1b3u, 0xc2cff1b5u};
    switch (t->kind) {
    case KT_TENS: return kt_uniform(t) * 100.0f;
    case KT_SPECIAL: return kt_below(t, 4) ? kt_uniform(t) : cq__float(special[kt_below(t, sizeof special / 4)]);
    case KT_DENORMAL: return cq__float(kt_u32(t) & 0x807fffffu);
    case KT_WIDE: return kt_uniform(t) * cq__exp2i((int32_t)kt_below(t, 120) - 60);
    case KT_ANY: return cq__float(kt_u32(t));
    default: return kt_uniform(t);
    }
}
static void kt_fill(cq_kernel_test *t, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = kt_float(t);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */
/* A block that begins `shift` bytes behind a boundary of 64 and ends where it ends. */
static void *kt_get(cq_kernel_test *t, size_t bytes, size_t shift) {
    if (t->get) return t->get(t->user, bytes);
    size_t begin = ((t->used + KT_BEFORE + 63) & ~(size_t)63) + shift, end = begin + bytes;
    if (t->blocks == KT_BLOCKS || end + KT_AFTER > CQ_KERNELS_MEMORY) {
        if (t->say) t->say(t->user, "kernels.h: CQ_KERNELS_MEMORY is too small for its shapes\n");
        t->wrong++;
        return t->memory; /* anything: the test has failed */
    }
    cq__fill(t->memory + t->used, KT_POISON, end + KT_AFTER - t->used);
    t->begin[t->blocks] = begin;
    t->end[t->blocks++] = end;
    t->used = end + KT_AFTER;
    return t->memory + begin;
}
static float *kt_floats(cq_kernel_test *t, size_t n) {
    return (float *)kt_get(t, n * sizeof(float), 4 * kt_below(t, 5));
}
static float *kt_random(cq_kernel_test *t, size_t n) {
    float *x = kt_floats(t, n);
    kt_fill(t, x, n);
    return x;
}
static void kt_release(cq_kernel_test *t) {
    if (t->get) t->release(t->user);
    t->used = t->blocks = 0;
}
/* Is everything around the blocks as it was? */
static bool kt_intact(const cq_kernel_test *t) {
    unsigned changed = 0;
    for (size_t b = 0; b < t->blocks; b++) {
        const unsigned char *p = t->memory + t->begin[b] - KT_BEFORE, *q = t->memory + t->end[b];
        for (size_t i = 0; i < KT_BEFORE; i++) changed |= p[i] ^ (unsigned)KT_POISON;
        for (size_t i = 0; i < KT_AFTER; i++) changed |= q[i] ^ (unsigned)KT_POISON;
    }
    return !changed;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */
typedef struct kt_text {
    char text[320];
    size_t n;
} kt_text;
static void kt_put(kt_text *to, const char *text) {
    for (size_t i = 0; text[i] && to->n + 1 < sizeof to->text; i++) to->text[to->n++] = text[i];
    to->text[to->n] = 0;
}
static void kt_put_number(kt_text *to, uint32_t v) {
    char digits[12];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    kt_put(to, digits + i);
}
static void kt_put_hex(kt_text *to, uint32_t v) {
    char digits[9];
    for (size_t i = 0; i < 8; i++) digits[i] = "0123456789abcdef"[v >> (28 - 4 * i) & 15u];
    digits[8] = 0;
    kt_put(to, digits);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */
static const char *const kt_fact_names[8] = {" n ", " count ", " rows ", " cols ", " group ", " asym ", " acts group ",
                                             " at "};
static void kt_wrong(cq_kernel_test *t, size_t tier, const char *kernel, size_t i, uint32_t got, uint32_t want,
                     const char *what) {
    kt_text s;
    t->wrong++;
    if (t->tier[tier].wrong++ >= 5 || !t->say) return;
    s.n = 0;
    kt_put(&s, t->tier[tier].k->name);
    kt_put(&s, ": ");
    kt_put(&s, kernel);
    if (t->format) kt_put(&s, " "), kt_put(&s, t->format);
    kt_put(&s, ", ");
    kt_put(&s, kt_kinds[t->kind]);
    kt_put(&s, " values, round ");
    kt_put_number(&s, t->round);
    for (size_t f = 0; f < 8; f++)
        if (t->facts[f] != SIZE_MAX) {
            kt_put(&s, kt_fact_names[f]);
            kt_put_number(&s, (uint32_t)t->facts[f]);
        }
    kt_put(&s, what);
    if (what[0] == ':') {
        kt_put_number(&s, (uint32_t)i);
        kt_put(&s, " is ");
        kt_put_hex(&s, got);
        kt_put(&s, ", not ");
        kt_put_hex(&s, want);
    }
    kt_put(&s, "\n");
    t->say(t->user, s.text);
}
static uint32_t kt_word(float f) { return f != f ? 0x7fc00000u : cq__bits(f); } /* one NaN is as good as another */

/* got: of tier `tier`, want: of plain C, n floats each. The first tier's call hashes what is wanted. */
static void kt_compare(cq_kernel_test *t, size_t tier, const char *kernel, const float *got, const float *want,
                       size_t n) {
    t->tier[tier].comparisons++;
    size_t bad = n;
    for (size_t i = n; i-- > 0;)
        if (kt_word(got[i]) != kt_word(want[i])) bad = i;
    if (bad < n) kt_wrong(t, tier, kernel, bad, cq__bits(got[bad]), cq__bits(want[bad]), ": element ");
    if (!kt_intact(t)) {
        kt_wrong(t, tier, kernel, 0, 0, 0, ", wrote outside of its result");
        for (size_t b = 0; b < t->blocks; b++) { /* say it once */
            cq__fill(t->memory + t->begin[b] - KT_BEFORE, KT_POISON, KT_BEFORE);
            cq__fill(t->memory + t->end[b], KT_POISON, KT_AFTER);
        }
    }
    for (size_t i = 0; tier == 0 && i < n; i++) t->checksum = (t->checksum ^ kt_word(want[i])) * 1099511628211ull;
}
static void kt_compare_bytes(cq_kernel_test *t, size_t tier, const char *kernel, const void *got, const void *want,
                             size_t n) {
    const unsigned char *g = (const unsigned char *)got, *w = (const unsigned char *)want;
    size_t bad = n;
    t->tier[tier].comparisons++;
    for (size_t i = n; i-- > 0;)
        if (g[i] != w[i]) bad = i;
    if (bad < n) kt_wrong(t, tier, kernel, bad, g[bad], w[bad], ": byte ");
}
static void kt_facts(cq_kernel_test *t, size_t n, size_t count) {
    for (size_t f = 0; f < 8; f++) t->facts[f] = SIZE_MAX;
    t->format = NULL;
    t->facts[0] = n;
    t->facts[1] = count;
}

/* For every tier that is compared: `k` is its table, `i` its number. y, where the result goes, holds what y0 holds, as z
   does for plain C, which comes first. */
#define KT_EACH(k)                                                                                                     \
    for (size_t i = 0; i < t->compared; i++)                                                                           \
        for (const cq__kernels *k = t->tier[i].k, *once_ = k; once_; once_ = NULL)
static float *kt_again(float *y, const float *y0, size_t n) {
    cq__copy(y, y0, n * sizeof(float));
    return y;
}

/* ---- vectors ---------------------------------------------------------------------------------------------------- */
static void kt_reductions(cq_kernel_test *t) { /* one row against several, and what they select */
    const cq__kernels *c = &cq__kernels_c;
    size_t n = kt_below(t, KT_VECTOR), count = kt_below(t, 9), ld = n + kt_below(t, 5);
    size_t rows = count ? (count - 1) * ld + n : 0; /* the last row ends where it ends */
    const float *a = kt_random(t, n), *b = kt_random(t, rows), *p = kt_random(t, count), *y0 = kt_random(t, n);
    float *y = kt_floats(t, n), *z = kt_floats(t, n), *s = kt_floats(t, count), *r = kt_floats(t, count), u[2], v[2];
    kt_facts(t, n, count);
    v[0] = c->dot(a, y0, n);
    v[1] = c->sum(a, n);
    c->dots(r, a, b, ld, n, count);
    c->mix(kt_again(z, y0, n), p, b, ld, n, count);
    KT_EACH(k) {
        u[0] = k->dot(a, y0, n);
        kt_compare(t, i, "dot", u, v, 1);
        u[1] = k->sum(a, n);
        kt_compare(t, i, "sum", u + 1, v + 1, 1);
        k->dots(s, a, b, ld, n, count);
        kt_compare(t, i, "dots", s, r, count);
        k->mix(kt_again(y, y0, n), p, b, ld, n, count);
        kt_compare(t, i, "mix", y, z, n);
    }
    for (size_t j = 0; j < count; j++) {
        v[0] = c->largest(b + j * ld, n) + 0.0f; /* 0 and -0 are both the largest; this makes both 0 */
        KT_EACH(k) {
            u[0] = k->largest(b + j * ld, n) + 0.0f;
            kt_compare(t, i, "max", u, v, 1);
        }
    }
    kt_release(t);
}

static void kt_elementwise(cq_kernel_test *t) {
    const cq__kernels *c = &cq__kernels_c;
    size_t n = kt_below(t, KT_VECTOR);
    const float *x = kt_random(t, n), *y0 = kt_random(t, n), *u0 = kt_random(t, n), *w0 = kt_random(t, n);
    float *y = kt_floats(t, n), *z = kt_floats(t, n), *u = kt_floats(t, n), *v = kt_floats(t, n), m = kt_float(t);
    unsigned char *w = (unsigned char *)kt_get(t, 4 * n, kt_below(t, 4));
    for (size_t i = 0; i < n; i++) cq__put32(w + 4 * i, cq__bits(w0[i]));
    kt_facts(t, n, SIZE_MAX);
    c->axpy(kt_again(z, y0, n), m, x, n);
    KT_EACH(k) {
        k->axpy(kt_again(y, y0, n), m, x, n);
        kt_compare(t, i, "axpy", y, z, n);
    }
    c->scale(z, x, w, m, n);
    KT_EACH(k) {
        k->scale(y, x, w, m, n);
        kt_compare(t, i, "scale", y, z, n);
    }
    c->scale(kt_again(z, y0, n), z, NULL, m, n); /* in place */
    KT_EACH(k) {
        k->scale(kt_again(y, y0, n), y, NULL, m, n);
        kt_compare(t, i, "scale without weights", y, z, n);
    }
    float from = kt_below(t, 2) ? m : 0.0f;
    c->exp_minus(kt_again(z, y0, n), from, n);
    KT_EACH(k) {
        k->exp_minus(kt_again(y, y0, n), from, n);
        kt_compare(t, i, "exp_minus", y, z, n);
    }
    c->silu_mul(kt_again(z, y0, n), x, n);
    KT_EACH(k) {
        k->silu_mul(kt_again(y, y0, n), x, n);
        kt_compare(t, i, "silu_mul", y, z, n);
    }
    c->turn(kt_again(z, y0, n), kt_again(v, u0, n), x, w0, n);
    KT_EACH(k) {
        k->turn(kt_again(y, y0, n), kt_again(u, u0, n), x, w0, n);
        kt_compare(t, i, "turn", y, z, n);
        kt_compare(t, i, "turn", u, v, n);
    }
    kt_release(t);
}

static void kt_cache(cq_kernel_test *t) { /* what reads keys and values of a cache */
    const cq__kernels *c = &cq__kernels_c;
    size_t n = kt_below(t, KT_VECTOR), count = kt_below(t, 9), ld = n + kt_below(t, 5);
    size_t rows = count ? (count - 1) * ld + n : 0;
    unsigned char *halves = (unsigned char *)kt_get(t, 2 * n, kt_below(t, 4));
    int8_t *q = (int8_t *)kt_get(t, n, kt_below(t, 4)), *keys = (int8_t *)kt_get(t, rows, kt_below(t, 4));
    int8_t *any = (int8_t *)kt_get(t, count * n, kt_below(t, 4));
    const float *scale = kt_random(t, count);
    float *y = kt_floats(t, n), *z = kt_floats(t, n), *s = kt_floats(t, count), *r = kt_floats(t, count);
    float *u = kt_floats(t, count * n), *v = kt_floats(t, count * n), m = kt_float(t);
    bool extreme = kt_below(t, 4) == 0;
    for (size_t i = 0; i < 2 * n; i++) halves[i] = (unsigned char)kt_u32(t);
    for (size_t i = 0; i < count * n; i++) any[i] = (int8_t)(kt_u32(t) >> 24);
    for (size_t i = 0; i < n; i++) q[i] = (int8_t)(extreme ? 127 : (int32_t)kt_below(t, 255) - 127);
    for (size_t i = 0; i < rows; i++)
        keys[i] = (int8_t)(extreme ? (i / (ld ? ld : 1) & 1 ? 127 : -127) : (int32_t)kt_below(t, 255) - 127);
    kt_facts(t, n, count);
    c->from_f16(z, halves, n);
    c->from_int8(v, any, scale, n, count);
    c->dots_q8(r, q, m, keys, ld, scale, n, count);
    KT_EACH(k) {
        k->from_f16(y, halves, n);
        kt_compare(t, i, "from_f16", y, z, n);
        k->from_int8(u, any, scale, n, count);
        kt_compare(t, i, "from_int8", u, v, count * n);
        k->dots_q8(s, q, m, keys, ld, scale, n, count);
        kt_compare(t, i, "dots_q8", s, r, count);
    }
    kt_release(t);
}

static void kt_quantize(cq_kernel_test *t) {
    size_t n = kt_below(t, KT_VECTOR), stride = (n + 31) / 32 * 32 + 32 * kt_below(t, 2);
    const float *x = kt_random(t, n);
    size_t ld = 1 + kt_below(t, 3), bytes = stride ? 4 * ((stride / 32 - 1) * ld + 1) : 0; /* of sums, with gaps */
    int8_t *q = (int8_t *)kt_get(t, stride, kt_below(t, 4)), *q0 = (int8_t *)kt_get(t, stride, 0);
    int32_t *sum = (int32_t *)kt_get(t, bytes, 4 * kt_below(t, 4)), *sum0 = (int32_t *)kt_get(t, bytes, 0);
    cq__fill(sum0, 99, bytes);
    float u, v = cq__kernels_c.quantize(q0, sum0, ld, x, n, stride);
    kt_facts(t, n, SIZE_MAX);
    KT_EACH(k) {
        cq__fill(q, 99, stride);
        cq__fill(sum, 99, bytes);
        u = k->quantize(q, sum, ld, x, n, stride);
        kt_compare(t, i, "quantize: the scale", &u, &v, 1);
        kt_compare_bytes(t, i, "quantize: the codes", q, q0, stride);
        kt_compare_bytes(t, i, "quantize: the sums", sum, sum0, bytes);
    }
    for (size_t i = 0; i < stride; i++) t->checksum = (t->checksum ^ (uint8_t)q0[i]) * 1099511628211ull;
    kt_release(t);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------ */
static void kt_tile(cq_kernel_test *t) {
    size_t depth = kt_below(t, KT_DEPTH), n = kt_below(t, KT_COLUMNS / 2), lda = 16 + kt_below(t, 4);
    size_t ldc = 16 + kt_below(t, 3), rows = kt_below(t, 2);
    size_t kb = rows ? 1 : n + kt_below(t, 4), jb = rows ? depth + kt_below(t, 3) : 1; /* b by rows or by columns */
    size_t nb = depth && n ? (depth - 1) * kb + (n - 1) * jb + 1 : 0, nc = n ? (n - 1) * ldc + 16 : 0;
    const float *a = kt_random(t, depth ? (depth - 1) * lda + 16 : 0), *b = kt_random(t, nb), *y0 = kt_random(t, nc);
    float *y = kt_floats(t, nc), *z = kt_floats(t, nc);
    kt_facts(t, n, depth);
    cq__kernels_c.tile_f32(kt_again(z, y0, nc), ldc, a, lda, b, kb, jb, depth, n);
    KT_EACH(k) {
        k->tile_f32(kt_again(y, y0, nc), ldc, a, lda, b, kb, jb, depth, n);
        kt_compare(t, i, "tile_f32", y, z, nc);
    }
    kt_release(t);
}
static void kt_chains(cq_kernel_test *t) {
    size_t depth = kt_below(t, KT_DEPTH), n = kt_below(t, KT_COLUMNS), lda = 16 + kt_below(t, 4);
    size_t panels = kt_below(t, 4), ap = depth * lda + kt_below(t, 3), rows = kt_below(t, 2), beside = kt_below(t, 2);
    size_t kb = rows ? 1 : n + kt_below(t, 4), jb = rows ? depth + kt_below(t, 3) : 1;
    if (!rows && kt_below(t, 2)) lda = 16, kb = 12, ap = depth * lda, n = cq__min(n, 12); /* as cq_gemm packs */
    size_t ldc = beside ? 16 * panels + kt_below(t, 3) : 16 + kt_below(t, 3); /* panels side by side, or apart */
    size_t cp = beside ? 16 : n * ldc + kt_below(t, 3);
    size_t nb = depth && n ? (depth - 1) * kb + (n - 1) * jb + 1 : 0;
    size_t na = panels && depth ? (panels - 1) * ap + (depth - 1) * lda + 16 : 0;
    size_t nc = panels && n ? (panels - 1) * cp + (n - 1) * ldc + 16 : 0;
    const float *a = kt_random(t, na), *b = kt_random(t, nb), *y0 = kt_random(t, nc);
    float *y = kt_floats(t, nc), *z = kt_floats(t, nc);
    kt_facts(t, n, depth);
    t->facts[2] = 16 * panels;
    cq__kernels_c.fma_f32(kt_again(z, y0, nc), cp, ldc, a, ap, lda, b, kb, jb, depth, n, panels);
    KT_EACH(k) {
        k->fma_f32(kt_again(y, y0, nc), cp, ldc, a, ap, lda, b, kb, jb, depth, n, panels);
        kt_compare(t, i, "fma_f32", y, z, nc);
    }
    kt_release(t);
}

static void kt_eliminate(cq_kernel_test *t) {
    size_t n = kt_below(t, 13), panels = kt_below(t, 8), pp = n * 16 + kt_below(t, 3);
    size_t ldu = 16 * panels + kt_below(t, 3);
    size_t np = panels && n ? (panels - 1) * pp + n * 16 : 0, nu = panels && n ? (n - 1) * ldu + 16 * panels : 0;
    const float *b = kt_random(t, 12 * n), *d = kt_random(t, n), *p0 = kt_random(t, np), *u0 = kt_random(t, nu);
    float *p = kt_floats(t, np), *q = kt_floats(t, np), *u = kt_floats(t, nu), *v = kt_floats(t, nu);
    kt_facts(t, n, panels);
    cq__kernels_c.eliminate(kt_again(q, p0, np), pp, kt_again(v, u0, nu), ldu, d, b, n, panels);
    KT_EACH(k) {
        k->eliminate(kt_again(p, p0, np), pp, kt_again(u, u0, nu), ldu, d, b, n, panels);
        kt_compare(t, i, "eliminate: p", p, q, np);
        kt_compare(t, i, "eliminate: u", u, v, nu);
    }
    kt_release(t);
}

/* ---- halfway between two floats --------------------------------------------------------------------------------- */
/* Of each with each of its own number, the products are 2^46 - 1, 2^46 and 2^46 + 1; added to a float whose last place
   is worth 2^47, one is a tie, the others are beside it by less than a double can tell. The third line, for rounded
   weights, has products of 2^30 - 1, 2^30 and 2^30 + 1. */
static const float kt_left[3] = {8388609.0f, 8388608.0f, 8392705.0f};
static const float kt_right[3] = {8388607.0f, 8388608.0f, 8384513.0f};
static const float kt_level[3] = {77.0f, 64.0f, 65.0f}, kt_scale[3] = {13944699.0f, 16777216.0f, 16519105.0f};
static float kt_signed(cq_kernel_test *t, float x) { return kt_below(t, 2) ? x : -x; }
/* One of three numbers, or any that is as large, times 2^e */
static float kt_of_three(cq_kernel_test *t, const float *three, uint32_t of, int32_t e) {
    uint32_t which = kt_below(t, of);
    return kt_signed(t, (which < 3 ? three[which] : cq__float(0x4b000000u | kt_u32(t) >> 9)) * cq__exp2i(e));
}
/* A float whose last place is worth 2 half units, or 4, or which is denormal; half: the exponent of a half unit. */
static float kt_before_half(cq_kernel_test *t, int32_t half) {
    uint32_t exponent = half > -151 ? (uint32_t)(half + 151) + kt_below(t, 2) : 0, last = kt_u32(t) & 0x7fffffu;
    if (kt_below(t, 4) == 0) last = kt_below(t, 2) ? 0 : 0x7fffffu; /* ties at powers of two, or at infinity */
    if (half == -150) exponent -= kt_below(t, 2);
    return kt_signed(t, cq__float((exponent < 254 ? exponent : 254) << 23 | last));
}
static void kt_halfway(cq_kernel_test *t) {
    /* beyond the largest, about it; common; where a product less its float is denormal; about the least */
    static const int32_t halves[] = {126, 110, 103, 0, -20, -99, -104, -124, -124, -149, -150};
    const int32_t half = halves[kt_below(t, sizeof halves / sizeof *halves)];
    const uint32_t of = kt_below(t, 2) ? 3 : 5;
    size_t depth = 1 + kt_below(t, KT_DEPTH / 2), n = 1 + kt_below(t, 7);
    float *a = kt_floats(t, depth * 16), *b = kt_floats(t, depth * n), *y0 = kt_floats(t, n * 16);
    float *y = kt_floats(t, n * 16), *z = kt_floats(t, n * 16);
    const int32_t apart = 26 * ((int32_t)kt_below(t, 3) - 1), first = half / 2 - 23 + apart, second = half - 46 - first;
    for (size_t i = 0; i < depth * 16; i++) a[i] = kt_of_three(t, kt_left, of, first);
    for (size_t i = 0; i < depth * n; i++) b[i] = kt_of_three(t, kt_right, of, second);
    for (size_t j = 0; j < n; j++) {
        uint32_t which = half == 126 ? 0 : kt_below(t, 5);
        for (size_t i = 0; i < 16; i++)
            y0[j * 16 + i] = which == 0 ? kt_uniform(t) : which == 1 ? -(a[i] * b[j]) : kt_before_half(t, half);
    }
    kt_facts(t, n, depth);
    cq__kernels_c.fma_f32(kt_again(z, y0, n * 16), 0, 16, a, 0, 16, b, n, 1, depth, n, 1);
    KT_EACH(k) {
        k->fma_f32(kt_again(y, y0, n * 16), 0, 16, a, 0, 16, b, n, 1, depth, n, 1);
        kt_compare(t, i, "fma_f32, halfway", y, z, n * 16);
    }
    kt_release(t);
}
/* The same for cost16. Either the level of a row is given, and its number a float to which level times scale are half
   a unit; or it is 0, so that an error is its number, which is squared, times a weight: 1, or left / right (times right
   that is left, rounded). Then the first makes a sum to which the others are half units. */
static void kt_halfway_cost(cq_kernel_test *t) {
    static const int32_t exponents[] = {-98, -30, 0, 17, 28};
    cq__steps steps = cq__steps_of(CQ_MINI_COUNT);
    const int32_t e = exponents[kt_below(t, sizeof exponents / sizeof *exponents)];
    const bool levels = kt_below(t, 2);
    size_t n = 1 + kt_below(t, 20);
    float *grids = kt_floats(t, 64), *inverse = kt_floats(t, 16), *x = kt_floats(t, n * 16), *w = kt_floats(t, n);
    float *y = kt_floats(t, 16), *z = kt_floats(t, 16);
    for (size_t i = 0; i < 16; i++) {
        uint32_t which = kt_below(t, 3);
        grids[i] = kt_scale[which] * cq__exp2i(e / 2);
        grids[16 + i] = 0.0f;
        grids[32 + i] = grids[48 + i] = levels ? kt_signed(t, kt_level[which]) : 0.0f; /* the least and the largest */
        inverse[i] = 1.0f / grids[i];
    }
    for (size_t k = 0; k < n; k++) {
        uint32_t which = kt_below(t, 4);
        w[k] = levels ? kt_uniform(t) : which < 3 ? kt_left[which] / kt_right[which] : 1.0f;
        if (k == 0 && !levels) w[k] = cq__float(0x4b800000u | kt_u32(t) >> 9), which = 1; /* 2^24 to 2^25 */
        if (kt_below(t, 2)) w[k] = -w[k];
        for (size_t i = 0; i < 16; i++)
            x[k * 16 + i] = levels       ? kt_before_half(t, 30 + e / 2)
                            : which == 3 ? kt_of_three(t, kt_right, 3, e)
                                         : kt_signed(t, kt_right[which] * cq__exp2i(e));
    }
    kt_facts(t, n, SIZE_MAX);
    cq__kernels_c.cost16(z, x, w, n, grids, inverse, &steps);
    KT_EACH(k) {
        k->cost16(y, x, w, n, grids, inverse, &steps);
        kt_compare(t, i, "cost16, halfway", y, z, 16);
    }
    kt_release(t);
}

/* ---- the solver ------------------------------------------------------------------------------------------------- */
static void kt_solver(cq_kernel_test *t) {
    const cq__kernels *c = &cq__kernels_c;
    unsigned mini = kt_below(t, CQ_MINI_COUNT + 1); /* the last: integers */
    cq__steps steps = cq__steps_of(mini);
    size_t n = kt_below(t, 20);
    uint32_t scales = kt_below(t, 4); /* 1, 2: of 11 bits, as integers have them; 3: of 16 bits, at either end */
    float *grids = kt_floats(t, 64), *inverse = kt_floats(t, 16);
    for (size_t i = 0; i < 16; i++) {
        uint32_t top = (1u << (2 + kt_below(t, 7))) - 1, zero = kt_below(t, top + 1);
        float s = kt_float(t);
        grids[i] = s < 0.0f ? -s : kt_below(t, 8) ? s : 0.0f;
        if (scales == 1 || scales == 2) grids[i] = cq_f16_to_f32(cq_f32_to_f16(grids[i]));
        if (scales == 3)
            grids[i] = cq__float(((kt_below(t, 2) ? 1 : 249) + kt_below(t, 6)) << 23 | (kt_u32(t) >> 9 & 0x7fff00u));
        if (!(grids[i] < CQ__INFINITY)) grids[i] = 1.0f;
        grids[16 + i] = mini < CQ_MINI_COUNT ? 0.0f : (float)zero;
        grids[32 + i] = mini < CQ_MINI_COUNT ? -steps.max : -(float)zero;
        grids[48 + i] = mini < CQ_MINI_COUNT ? steps.max : (float)top - (float)zero;
        inverse[i] = grids[i] > 0.0f ? 1.0f / grids[i] : 0.0f;
    }
    const float *x = kt_random(t, n * 16), *weight = kt_random(t, n), *v = kt_random(t, 16);
    float *y = kt_floats(t, 80), *z = kt_floats(t, 80), *y0 = kt_random(t, 80), d = kt_float(t), own = kt_float(t);
    kt_facts(t, n, SIZE_MAX);
    t->format = mini < CQ_MINI_COUNT ? "small floats" : "integers";
    c->round16(z, v, grids, &steps);
    c->cost16(z + 16, x, weight, n, grids, inverse, &steps);
    KT_EACH(k) {
        k->round16(y, v, grids, &steps);
        kt_compare(t, i, "round16", y, z, 16);
        k->cost16(y + 16, x, weight, n, grids, inverse, &steps);
        kt_compare(t, i, "cost16", y + 16, z + 16, 16);
    }
    kt_again(z, y0, 80);
    c->decide16(z, z + 16, z + 32, z + 48, d, grids, &steps);
    KT_EACH(k) {
        kt_again(y, y0, 80);
        k->decide16(y, y + 16, y + 32, y + 48, d, grids, &steps);
        kt_compare(t, i, "decide16", y, z, 80);
    }
    c->round16(y0, v, grids, &steps); /* what is to become better is a level */
    kt_again(z, y0, 80);
    c->descend16(z, z + 16, z + 32, z + 48, z + 64, d, own, grids, &steps);
    KT_EACH(k) {
        kt_again(y, y0, 80);
        k->descend16(y, y + 16, y + 32, y + 48, y + 64, d, own, grids, &steps);
        kt_compare(t, i, "descend16", y, z, 80);
    }
    kt_release(t);
}

/* ---- packed weights --------------------------------------------------------------------------------------------- */
/* A tensor of any bits, but scales that are ordinary numbers unless the kind is KT_ANY, and zeros that are codes. Codes
   `extreme`: every row has all its codes at one end. */
static void kt_tensor(cq_kernel_test *t, cq_tensor *w, bool extreme) {
    unsigned char *data = (unsigned char *)kt_get(t, w->bytes, kt_below(t, 4));
    size_t size = cq_panel_bytes(w), head = cq__panel_head(w), groups = cq_tensor_groups(w), i;
    bool any = t->kind == KT_ANY;
    w->data = data;
    if (!cq_format_is_coded(w->format)) {
        size_t step = cq_format_bits(w->format) / 8;
        for (i = 0; i + step <= w->bytes; i += step) {
            if (any && step == 2) cq__put16(data + i, (uint16_t)(kt_u32(t) >> 16));
            else cq__store(data + i, w->format, kt_float(t));
        }
        for (; i < w->bytes; i++) data[i] = 0;
        return;
    }
    for (size_t p = 0; p < cq_panel_count(w); p++, data += size) {
        unsigned char *blocks = data + head;
        for (i = 0; i < size; i++) data[i] = (unsigned char)(kt_u32(t) >> 24);
        for (i = 0; i < groups * CQ__ROWS; i++) {
            if (!any) cq__set_grid(w, data, i % CQ__ROWS, i / CQ__ROWS,
                                   cq_grid_make(kt_uniform(t) * 2.0f + 2.0f, 0.0f, w->format));
            if (w->asym) data[cq__zeros_at(w) + i] = (unsigned char)kt_below(t, 1u << cq_format_bits(w->format));
        }
        if (!extreme) continue;
        for (i = 0; i < size - head; i++) blocks[i] = 0;
        for (size_t r = 0; r < CQ__ROWS; r++) {
            uint32_t code = kt_below(t, 2) ? (uint32_t)cq__top(w->format) : 0; /* of small floats: the least or 0 */
            if (cq__facts(w->format)->mini < CQ_MINI_COUNT && kt_below(t, 2)) code >>= 1; /* the largest */
            for (size_t k = 0; k < cq__blocks(w) * CQ__BLOCK; k++) cq__set_code(blocks, w->format, r, k, code);
        }
    }
}
/* activations of any codes, or of one sign a row, or alternating, at the ends */
static void kt_acts(cq_kernel_test *t, cq_acts *a, size_t n, size_t cols, size_t group, bool extreme) {
    a->n = n;
    a->cols = cols;
    a->stride = (cols + CQ__BLOCK - 1) / CQ__BLOCK * CQ__BLOCK;
    a->group_size = group;
    a->bits = 8;
    a->q = (int8_t *)kt_get(t, n * a->stride, kt_below(t, 4));
    a->ld_sum = n + kt_below(t, 3);
    size_t blocks = a->stride / CQ__BLOCK, sums = blocks && n ? (blocks - 1) * a->ld_sum + n : 0;
    a->sum = (int32_t *)kt_get(t, sums * sizeof(int32_t), 4 * kt_below(t, 4));
    a->scale = kt_random(t, n * cq__acts_groups(a));
    for (size_t j = 0; j < n; j++) {
        uint32_t way = kt_below(t, 3);
        for (size_t k = 0; k < a->stride; k++) {
            int32_t v = extreme ? (way == 0 || (way == 1 && k & 1) ? 127 : -127) : (int32_t)kt_below(t, 255) - 127;
            a->q[j * a->stride + k] = (int8_t)(k < cols ? v : 0);
        }
    }
    for (size_t i = 0; i < sums; i++) a->sum[i] = -1; /* in the gaps */
    for (size_t b = 0; b < blocks; b++)
        for (size_t j = 0; j < n; j++) {
            int32_t sum = 0;
            for (size_t k = 0; k < CQ__BLOCK; k++) sum += a->q[j * a->stride + b * CQ__BLOCK + k];
            a->sum[b * a->ld_sum + j] = sum;
        }
}

/* One column of floats by the whole blocks of a panel, the way of tiers without a kernel for it. */
static void kt_column(const cq__kernels *k, float *y, const cq_tensor *w, size_t panel, const float *x) {
    CQ__ALIGNED float block[CQ__BLOCK * CQ__ROWS];
    for (size_t b = 0; b < w->cols / CQ__BLOCK; b++) {
        k->unpack(block, w, panel, b);
        k->tile_f32(y, CQ__ROWS, block, CQ__ROWS, x + b * CQ__BLOCK, 1, w->cols, CQ__BLOCK, 1);
    }
}
static void kt_packed(cq_kernel_test *t, cq_format format, cq_layout layout, size_t group, bool asym) {
    cq_tensor w;
    cq_acts a;
    size_t rows = 1 + kt_below(t, KT_ROWS), cols = kt_below(t, KT_WIDTH), n = kt_below(t, KT_ACTS);
    size_t first = kt_below(t, 3);
    bool extreme = kt_below(t, 3) == 0, coded = cq_format_is_coded(format);
    t->kind = kt_below(t, KT_KINDS);
    if (cq_tensor_init(&w, format, layout, rows, cols, group, asym, NULL)) return; /* there is no such tensor */
    kt_tensor(t, &w, extreme && coded);
    size_t panel = kt_below(t, (uint32_t)cq_panel_count(&w)), blocks = cq__blocks(&w);
    size_t panels = kt_below(t, (uint32_t)(cq_panel_count(&w) - panel) + 1), results = panels * n * CQ__ROWS;
    float *y = kt_floats(t, 512), *z = kt_floats(t, 512);
    kt_facts(t, SIZE_MAX, SIZE_MAX);
    t->format = cq_format_name(format);
    t->facts[2] = rows, t->facts[3] = cols, t->facts[4] = w.group_size, t->facts[5] = asym;
    for (size_t b = blocks > 2 ? blocks - 2 : 0; b < blocks; b++) { /* a whole block and the last */
        size_t m = cq__min(CQ__BLOCK, cols - b * CQ__BLOCK);
        t->facts[7] = b;
        cq__kernels_c.unpack(z, &w, panel, b);
        KT_EACH(k) {
            k->unpack(y, &w, panel, b);
            kt_compare(t, i, "unpack", y, z, m * CQ__ROWS);
        }
    }
    const float *x = kt_random(t, cols), *y0 = kt_random(t, CQ__ROWS);
    y = kt_floats(t, CQ__ROWS), z = kt_floats(t, CQ__ROWS);
    kt_column(&cq__kernels_c, kt_again(z, y0, CQ__ROWS), &w, panel, x);
    KT_EACH(k) {
        if (cq__has_column(k, &w)) k->column_f32(kt_again(y, y0, CQ__ROWS), &w, panel, x);
        else kt_column(k, kt_again(y, y0, CQ__ROWS), &w, panel, x);
        kt_compare(t, i, "column_f32", y, z, CQ__ROWS);
    }
    for (uint32_t way = 0; way < 2 && cq_format_has_q8(format); way++) { /* scales per row, per group */
        if (way && (w.group_size % CQ__BLOCK || !w.group_size)) continue;
        kt_acts(t, &a, first + n, cols, way ? w.group_size : 0, extreme);
        y = kt_floats(t, results), z = kt_floats(t, results);
        t->facts[0] = n, t->facts[1] = panels, t->facts[6] = a.group_size, t->facts[7] = first;
        cq__kernels_c.panels_q8(z, &w, panel, panels, &a, first, n);
        KT_EACH(k) {
            cq__fill(y, 0xff, results * sizeof(float));
            k->panels_q8(y, &w, panel, panels, &a, first, n);
            kt_compare(t, i, "panels_q8", y, z, results);
        }
    }
    kt_release(t);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */
static void kt_round(cq_kernel_test *t) {
    static const size_t groups[] = {16, 32, 48, 64, 128, 0};
    t->counter = 0;
    for (unsigned kind = 0; kind < KT_KINDS; kind++) {
        t->kind = kind;
        kt_reductions(t);
        kt_elementwise(t);
        kt_cache(t);
        kt_quantize(t);
        kt_tile(t);
        kt_chains(t);
        kt_eliminate(t);
        for (unsigned i = 0; i < 4; i++) kt_halfway(t);
        kt_halfway_cost(t);
        kt_solver(t);
    }
    for (unsigned f = 0; f < CQ_FORMAT_COUNT; f++)
        for (unsigned layout = 0; layout <= CQ_COLUMNS; layout++)
            for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
                for (unsigned asym = 0; asym < 2; asym++)
                    kt_packed(t, (cq_format)f, (cq_layout)layout, groups[g], asym != 0);
}
/* the tiers that are there, best first */
static void kt_find_tiers(cq_kernel_test *t) {
    cq_context ctx;
    cq_context_desc desc;
    desc.parallel.run = NULL;
    desc.parallel.user = NULL;
    t->tiers = 0;
    while (t->tiers < KT_TIERS && (desc.isa = cq_isa_available(t->tiers)) != NULL) {
        if (cq_init(&ctx, &desc, NULL)) t->wrong++; /* what it offers it must give */
        t->tier[t->tiers++].k = ctx.k;
    }
    t->compared = t->best_only || t->tiers < 2 ? 1 : t->tiers;
    if (t->compared > 1 && t->tier[t->tiers - 1].k == &cq__kernels_c) t->compared--;
}
static uint32_t kt_rounds(cq_kernel_test *t) {
    t->checksum = 14695981039346656037ull;
    for (size_t i = 0; i < KT_TIERS; i++) t->tier[i].comparisons = t->tier[i].wrong = 0;
    for (t->round = t->first; t->round < t->first + t->rounds; t->round++) kt_round(t);
    return t->wrong;
}
static uint32_t cq_check_kernels(cq_kernel_test *t) {
    t->wrong = 0;
    kt_find_tiers(t);
    return kt_rounds(t);
}
#endif
