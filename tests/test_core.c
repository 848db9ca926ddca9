/* cquant.h: mathematics against libm in double, formats against an independent decoder, products against plain sums,
   and every tier of kernels against the plain C ones, bit for bit.

   CQUANT_TEST_STRIDE=1 in the environment visits every float there is (minutes a function); the default visits enough
   of each binade to catch a wrong coefficient or a wrong boundary. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "examples/tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant.h"

#include "kernels.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---------------------------------------------------------------------------------------------- helpers */

static uint64_t rng_state = 88172645463325252ull; /* xorshift64: nothing of the library under test */
static uint32_t rng(void) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)(rng_state >> 32);
}
static float uniform(void) { return (float)((double)rng() / 2147483648.0 - 1.0); } /* [-1, 1] */
static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static uint32_t to_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
/* ordinary numbers, with some of everything that is not ordinary */
static float special(void) {
    static const uint32_t table[] = {0x00000000u, 0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u,
                                     0x00000001u, 0x807fffffu, 0x00800000u, 0x7f7fffffu, 0xff7fffffu, 0x3f800000u};
    uint32_t r = rng();
    return r % 8 == 0 ? from_bits(table[(r >> 8) % COUNT(table)]) : uniform();
}
static float any_float(void) { return from_bits(rng()); }
static float denormal(void) { return from_bits(rng() & 0x807fffffu); }
static float wide(void) { return ldexpf(uniform(), (int)(rng() % 120) - 60); }

static uint32_t stride(void) {
    const char *s = getenv("CQUANT_TEST_STRIDE");
    unsigned long v = s ? strtoul(s, NULL, 10) : 0;
#ifdef CQUANT_TEST_QUICK
    return v ? (uint32_t)v : 40009u;
#else
    return v ? (uint32_t)v : 2503u;
#endif
}

/* error of got in units of the last place of ref, with float's denormal spacing at the low end */
static double ulps(float got, double ref) {
    int e = -126;
    if (ref == 0) return got == 0 ? 0 : fabs((double)got) / ldexp(1, -149);
    frexp(ref, &e);
    e = e - 1 < -126 ? -126 : e - 1;
    return fabs((double)got - ref) / ldexp(1, e - 23);
}

static bool same(float a, float b) { return to_bits(a) == to_bits(b) || (a != a && b != b); }
static void assert_same(const float *a, const float *b, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (!same(a[i], b[i]))
            fail_msg("%s: element %lu is %a (%08x), expected %a (%08x)", what, (unsigned long)i, (double)a[i],
                     to_bits(a[i]), (double)b[i], to_bits(b[i]));
}
static void *must(size_t bytes) { /* exactly as many bytes as asked for: the sanitizers see one too many */
    void *p = malloc(bytes ? bytes : 1);
    if (!p) abort();
    memset(p, 0x5a, bytes);
    return p;
}
static float *floats(size_t n) { return (float *)must(n * sizeof(float)); }
static void fill(float *x, size_t n, float (*next)(void)) {
    for (size_t i = 0; i < n; i++) x[i] = next();
}
static cq_context context(const char *isa) {
    cq_context ctx;
    cq_context_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.isa = isa;
    assert_int_equal(cq_init(&ctx, &desc, NULL), CQ_OK);
    return ctx;
}
/* every tier, the plain one included; asked for once, since the question to the CPU is slow in a virtual machine */
static cq_context tiers[16];
static size_t tier_count;
static void find_tiers(void) {
    while (tier_count < COUNT(tiers) && cq_isa_available(tier_count)) {
        tiers[tier_count] = context(cq_isa_available(tier_count));
        tier_count++;
    }
}
#define FOR_TIERS(ctx)                                                                                                 \
    for (size_t tier_ = 0; tier_ < tier_count; tier_++)                                                                \
        for (cq_context ctx = tiers[tier_], *once_ = &ctx; once_; once_ = NULL)

/* ---------------------------------------------------------------------------------------------- mathematics */

/* catches: a wrong coefficient, a wrong reduction, wrong handling at the ends, in expf and in its vector forms */
static void test_expf(void **state) {
    (void)state;
    double worst = 0;
    float where = 0, x[64], y[64];
    size_t fill_count = 0;
    for (uint64_t u = 0; u <= 0xffffffffu; u += stride()) {
        float v = from_bits((uint32_t)u), got = cq_expf(v);
        double ref = exp((double)v);
        x[fill_count] = v;
        y[fill_count++] = got;
        if (fill_count == COUNT(x)) {
            FOR_TIERS(ctx) {
                float z[64];
                memcpy(z, x, sizeof z);
                ctx.k->exp_minus(z, 0.0f, COUNT(z));
                assert_same(z, y, COUNT(z), ctx.k->name);
            }
            fill_count = 0;
        }
        if (v != v) {
            assert_true(got != got);
        } else if (ref > FLT_MAX) {
            assert_true((float)ref == INFINITY ? got == INFINITY : got >= FLT_MAX);
        } else {
            double e = ulps(got, ref);
            if (e > worst) worst = e, where = v;
        }
    }
    print_message("expf %.3f ulp at %a\n", worst, (double)where);
    assert_true(worst <= 1.1);
    assert_true(cq_expf(0.0f) == 1.0f && cq_expf(-INFINITY) == 0.0f && cq_expf(INFINITY) == INFINITY);
    float edge[] = {88.722839f, 88.72284f, -103.97207f, -103.97208f, -103.97209f, -87.33655f, -87.33654f, 1e30f,
        -1e30f};
    for (size_t i = 0; i < COUNT(edge); i++) {
        double ref = exp((double)edge[i]);
        float got = cq_expf(edge[i]);
        assert_true((float)ref == INFINITY ? got == INFINITY : ulps(got, ref) <= 1.1);
    }
}

/* catches: the same for logf; denormals; the sign conventions of zero and of negative numbers */
static void test_logf(void **state) {
    (void)state;
    double worst = 0;
    float where = 0;
    for (uint64_t u = 1; u < 0x7f800000u; u += stride() / 2 + 1) {
        float v = from_bits((uint32_t)u);
        double e = ulps(cq_logf(v), log((double)v));
        if (e > worst) worst = e, where = v;
    }
    for (uint32_t u = 0x3f700000u; u < 0x3f900000u; u += stride() / 64 + 1) { /* near 1, where the result vanishes */
        float v = from_bits(u);
        double e = ulps(cq_logf(v), log((double)v));
        if (e > worst) worst = e, where = v;
    }
    print_message("logf %.3f ulp at %a\n", worst, (double)where);
    assert_true(worst <= 0.9);
    assert_true(cq_logf(0.0f) == -INFINITY && cq_logf(-0.0f) == -INFINITY && cq_logf(INFINITY) == INFINITY);
    assert_true(to_bits(cq_logf(1.0f)) == 0);
    float bad[] = {-1.0f, -INFINITY, NAN, -FLT_MIN, from_bits(0x80000001u)};
    for (size_t i = 0; i < COUNT(bad); i++) assert_true(isnan(cq_logf(bad[i])));
}

/* catches: a square root that is not correctly rounded, so that a hardware one would give other bits */
static void test_sqrtf(void **state) {
    (void)state;
    for (uint64_t u = 0; u <= 0xffffffffu; u += stride()) {
        float v = from_bits((uint32_t)u), got = cq_sqrtf(v), ref = sqrtf(v);
        if (!same(got, ref)) fail_msg("sqrt(%a) is %a, expected %a", (double)v, (double)got, (double)ref);
    }
    for (uint32_t u = 0; u < 4096; u++) { /* denormals, exact squares and their neighbours */
        float q = (float)u * (float)u, v[] = {from_bits(u), q, nextafterf(q, 0.0f), nextafterf(q, FLT_MAX)};
        for (size_t i = 0; i < COUNT(v); i++) assert_true(same(cq_sqrtf(v[i]), sqrtf(v[i])));
    }
    assert_int_equal(to_bits(cq_sqrtf(-0.0f)), 0x80000000u);
    assert_true(isnan(cq_sqrtf(-1.0f)) && isnan(cq_sqrtf(-INFINITY)));
}

/* catches: lost bits in the reduction of large arguments, a wrong quadrant, a wrong sign */
static void test_sincosf(void **state) {
    (void)state;
    double worst = 0;
    float where = 0, s, c;
    for (uint64_t u = 0; u < 0x7f800000u; u += stride() / 2 + 1)
        for (uint32_t sign = 0; sign < 2; sign++) {
            float v = from_bits((uint32_t)u | sign << 31);
            cq_sincosf(v, &s, &c);
            double es = ulps(s, sin((double)v)), ec = ulps(c, cos((double)v)), e = es > ec ? es : ec;
            if (e > worst) worst = e, where = v;
        }
    for (int k = 1; k < 200000; k += 7) { /* next to multiples of pi/2, where cancellation is worst */
        float v = (float)(k * 1.57079632679489661923);
        cq_sincosf(v, &s, &c);
        double es = ulps(s, sin((double)v)), ec = ulps(c, cos((double)v)), e = es > ec ? es : ec;
        if (e > worst) worst = e, where = v;
    }
    print_message("sincosf %.3f ulp at %a\n", worst, (double)where);
    assert_true(worst <= 0.9);
    cq_sincosf(-0.0f, &s, &c);
    assert_true(to_bits(s) == 0x80000000u && c == 1.0f);
    float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < COUNT(bad); i++) {
        cq_sincosf(bad[i], &s, &c);
        assert_true(isnan(s) && isnan(c));
    }
}

/* catches: rotary frequencies that are off (an error there grows with the position), wrong over- and underflow */
static void test_powf(void **state) {
    (void)state;
    static const float theta[] = {1e4f, 1.5e5f, 5e5f, 1e6f, 1e7f, 8e6f, 2.0f, 10.0f, 0.5f, 1.0000001f, 0.9999999f};
    static const int dim[] = {32, 64, 80, 96, 128, 192, 256, 512};
    double worst = 0;
    float wx = 0, wy = 0;
    for (size_t t = 0; t < COUNT(theta); t++)
        for (size_t d = 0; d < COUNT(dim); d++)
            for (int i = -dim[d]; i <= dim[d]; i++) {
                float y = (float)i / (float)dim[d];
                double e = ulps(cq_powf(theta[t], y), pow((double)theta[t], (double)y));
                if (e > worst) worst = e, wx = theta[t], wy = y;
            }
    print_message("powf %.3f ulp at %a, %a (rotary)\n", worst, (double)wx, (double)wy);
    assert_true(worst <= 0.501); /* as good as correctly rounded */
    worst = 0;
    for (uint64_t u = 1; u < 0x7f800000u; u += stride() * 2) {
        float x = from_bits((uint32_t)u);
        float y[] = {uniform(), uniform() * 20.0f, ldexpf(uniform(), (int)(rng() % 60) - 40), -1.0f, 0.5f, 2.0f, 3.0f};
        for (size_t i = 0; i < COUNT(y); i++) {
            double ref = pow((double)x, (double)y[i]);
            float got = cq_powf(x, y[i]);
            if ((float)ref == INFINITY || got == INFINITY) {
                assert_true(ref >= (double)FLT_MAX && got >= FLT_MAX);
                continue;
            }
            double e = ulps(got, ref);
            if (e > worst) worst = e, wx = x, wy = y[i];
        }
    }
    print_message("powf %.3f ulp at %a, %a (general)\n", worst, (double)wx, (double)wy);
    assert_true(worst <= 1.0);
    assert_true(cq_powf(7.0f, 0.0f) == 1.0f && cq_powf(1.0f, 1e30f) == 1.0f && cq_powf(2.0f, 10.0f) == 1024.0f);
    assert_true(cq_powf(2.0f, 128.0f) == INFINITY && cq_powf(2.0f, 127.0f) == ldexpf(1, 127));
    assert_true(cq_powf(2.0f, -149.0f) == ldexpf(1, -149) && cq_powf(2.0f, -151.0f) == 0.0f);
    assert_true(cq_powf(10.0f, 1e30f) == INFINITY && cq_powf(10.0f, -1e30f) == 0.0f && cq_powf(0.1f, 1e30f) == 0.0f);
    assert_true(cq_powf(10.0f, 1e-38f) == 1.0f && cq_powf(from_bits(1), -1.0f) == INFINITY);
    assert_true(isnan(cq_powf(-1.0f, 2.0f)) && isnan(cq_powf(0.0f, 2.0f)) && isnan(cq_powf(NAN, 2.0f)) &&
                isnan(cq_powf(2.0f, NAN)) && isnan(cq_powf(INFINITY, 1.0f)));
}

/* rounding to a 16-bit float the slow way: count quanta in double, to even */
static uint16_t slow_16(float x, int mantissa, int min_exp) {
    uint16_t sign = (uint16_t)(to_bits(x) >> 31 << 15);
    double a = fabs((double)x), quantum, n;
    int e, exp_bits = 15 - mantissa, max_field = (1 << exp_bits) - 1;
    if (a == INFINITY) return (uint16_t)(sign | max_field << mantissa);
    frexp(a, &e);
    e = a == 0 || e - 1 < min_exp ? min_exp : e - 1;
    quantum = ldexp(1, e - mantissa);
    n = nearbyint(a / quantum);
    if (n >= ldexp(1, mantissa + 1)) n /= 2, e++;
    int field = n < ldexp(1, mantissa) ? 0 : e - min_exp + 1;
    if (field >= max_field) return (uint16_t)(sign | max_field << mantissa);
    return (uint16_t)(sign | field << mantissa | ((int)n & ((1 << mantissa) - 1)));
}
static double value_16(uint16_t h, int mantissa, int min_exp) {
    int field = (h & 0x7fff) >> mantissa, m = h & ((1 << mantissa) - 1);
    double v = field ? ldexp(m + (1 << mantissa), field - 1 + min_exp - mantissa) : ldexp(m, min_exp - mantissa);
    return h >> 15 ? -v : v;
}
/* catches: rounding that is not to even, double rounding into denormals, NaN that becomes infinity */
static void test_half_floats(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = cq_f16_to_f32((uint16_t)h), b = cq_bf16_to_f32((uint16_t)h);
        bool f_nan = (h & 0x7fff) > 0x7c00, b_nan = (h & 0x7fff) > 0x7f80;
        assert_int_equal(f_nan, isnan(f) != 0);
        assert_int_equal(b_nan, isnan(b) != 0);
        if (f_nan) assert_true(isnan(cq_f16_to_f32(cq_f32_to_f16(f))));
        else assert_int_equal(cq_f32_to_f16(f), h);
        if (b_nan) assert_true(isnan(cq_bf16_to_f32(cq_f32_to_bf16(b))));
        else assert_int_equal(cq_f32_to_bf16(b), h);
        if ((h & 0x7fff) < 0x7c00) assert_true((double)f == value_16((uint16_t)h, 10, -14));
        if ((h & 0x7fff) < 0x7f80) assert_true((double)b == value_16((uint16_t)h, 7, -126));
        for (int side = 0; side < 2; side++) { /* half way to the next, and one float to either side of that */
            float v = side ? b : f, next = side ? cq_bf16_to_f32((uint16_t)(h + 1)) : cq_f16_to_f32((uint16_t)(h + 1));
            if (!(fabsf(v) < INFINITY) || !(fabsf(next) < INFINITY)) continue;
            float middle = (float)(((double)v + (double)next) / 2);
            float near[] = {middle, nextafterf(middle, -INFINITY), nextafterf(middle, INFINITY)};
            for (size_t i = 0; i < COUNT(near); i++) {
                if (side) assert_int_equal(cq_f32_to_bf16(near[i]), slow_16(near[i], 7, -126));
                else assert_int_equal(cq_f32_to_f16(near[i]), slow_16(near[i], 10, -14));
            }
        }
    }
    for (uint64_t u = 0; u <= 0xffffffffu; u += stride()) {
        float v = from_bits((uint32_t)u);
        if (v != v) {
            assert_true(isnan(cq_f16_to_f32(cq_f32_to_f16(v))) && isnan(cq_bf16_to_f32(cq_f32_to_bf16(v))));
            continue;
        }
        assert_int_equal(cq_f32_to_f16(v), slow_16(v, 10, -14));
        assert_int_equal(cq_f32_to_bf16(v), slow_16(v, 7, -126));
    }
    assert_int_equal(cq_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(cq_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(cq_f32_to_bf16(FLT_MAX), 0x7f80);
    assert_true(isnan(cq_bf16_to_f32(cq_f32_to_bf16(from_bits(0x7f800001u))))); /* a NaN whose upper half is infinity */
}

/* catches: any slip in the rounds, by the published vectors of the Random123 library (kat_vectors, philox4x32 10) */
static void test_random(void **state) {
    (void)state;
    const uint64_t ones = UINT64_MAX;
    assert_true(cq_random(0, 0, 0) == 0xe169c58d6627e8d5ull);
    assert_true(cq_random(ones, ones, ones) == 0x41c83b0e408f276dull);
    assert_true(cq_random(0x299f31d0a4093822ull, 0x0370734413198a2eull,
        0x85a308d3243f6a88ull) == 0x94fdccebd16cfe09ull);
}

/* ---------------------------------------------------------------------------------------- status, memory, context */

static void test_status(void **state) { /* catches: a status without a text, an error filled incompletely */
    (void)state;
    for (int s = 0; s < CQ__STATUS_END; s++) {
        assert_non_null(cq_status_text((cq_status)s));
        for (int other = 0; other < s; other++)
            assert_string_not_equal(cq_status_text((cq_status)s), cq_status_text((cq_status)other));
    }
    assert_string_equal(cq_status_text(CQ_OK), "ok");
    assert_string_equal(cq_status_text((cq_status)CQ__STATUS_END), "unknown status");
    cq_error err;
    assert_int_equal(cq_fail_at(&err, CQ_ERR_IO, "text", "abc", 2, 7, -3), CQ_ERR_IO);
    assert_true(err.status == CQ_ERR_IO && !strcmp(err.what, "text") && err.name_len == 2 && err.name[0] == 'a');
    assert_true(err.where == 7 && err.got == -3);
    assert_int_equal(cq_fail(&err, CQ_ERR_ARG, "other"), CQ_ERR_ARG);
    assert_true(err.name == NULL && err.name_len == 0 && err.where == UINT64_MAX && err.got == INT64_MIN);
    assert_int_equal(cq_fail(NULL, CQ_ERR_ARG, "other"), CQ_ERR_ARG);
}

static size_t layout(cq_arena *a, void **out) {
    static const size_t size[][2] = {{1, 1}, {3, 7}, {0, 8}, {64, 1}, {65, 1}, {5, 16}, {0, 0}};
    for (size_t i = 0; i < COUNT(size); i++) out[i] = cq_alloc(a, size[i][0], size[i][1]);
    return COUNT(size);
}
static void test_arena(void **state) { /* catches: a size query that differs from the use, overlap, lost failures */
    (void)state;
    void *p[7];
    cq_arena count = cq_arena_over(NULL, 0);
    size_t n = layout(&count, p);
    assert_false(count.failed);
    for (size_t i = 0; i < n; i++) assert_null(p[i]);
    unsigned char *raw = (unsigned char *)must(count.used + CQ_ALIGN);
    unsigned char *base = raw + (CQ_ALIGN - (uintptr_t)raw % CQ_ALIGN) % CQ_ALIGN;
    cq_arena a = cq_arena_over(base, count.used); /* exactly the size that was counted is enough */
    layout(&a, p);
    assert_false(a.failed);
    assert_int_equal(a.used, count.used);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % CQ_ALIGN, 0);
    }
    for (size_t i = 0; i < 65; i++) assert_int_equal(((unsigned char *)p[4])[i], 0); /* zeroed */
    assert_int_equal(base[1], 0x5a);                                                /* and no more than asked for */
    cq_arena b = cq_arena_over(base, count.used - 1); /* one byte less is not */
    layout(&b, p);
    assert_true(b.failed);
    size_t used = b.used;
    assert_null(cq_alloc(&b, 1, 1)); /* failure stays */
    assert_true(b.failed && b.used == used);
    for (int with_base = 0; with_base < 2; with_base++) { /* hostile sizes */
        static const size_t bad[][2] = {{SIZE_MAX, 2}, {SIZE_MAX / 2, 3}, {SIZE_MAX, 1}, {SIZE_MAX - 63, 1}};
        for (size_t i = 0; i < COUNT(bad); i++) {
            cq_arena c = cq_arena_over(with_base ? base : NULL, with_base ? count.used : 0);
            (void)cq_alloc(&c, 1, 1);
            assert_null(cq_alloc(&c, bad[i][0], bad[i][1]));
            assert_true(c.failed);
        }
    }
    free(raw);

    cq_acts acts; /* the same for activations */
    cq_arena q = cq_arena_over(NULL, 0);
    cq_acts_alloc(&acts, &q, 3, 33);
    assert_true(!q.failed && acts.stride == 64 && acts.n == 3 && acts.cols == 33 && !acts.q && !acts.sum &&
        !acts.scale);
    raw = (unsigned char *)must(q.used);
    cq_arena r = cq_arena_over(raw, q.used);
    cq_acts_alloc(&acts, &r, 3, 33);
    assert_true(!r.failed && r.used == q.used && acts.q && acts.sum && acts.scale);
    cq_arena s = cq_arena_over(raw, q.used - 1);
    cq_acts_alloc(&acts, &s, 3, 33);
    assert_true(s.failed);
    free(raw);
    static const size_t huge[][2] = {{1, SIZE_MAX}, {SIZE_MAX, 32}, {SIZE_MAX / 32, 33}, {SIZE_MAX / 4, 1}};
    for (size_t i = 0; i < COUNT(huge); i++) {
        cq_arena t = cq_arena_over(NULL, 0);
        cq_acts_alloc(&acts, &t, huge[i][0], huge[i][1]);
        assert_true(t.failed);
    }
}

static void mark(void *arg, size_t i) { ((int *)arg)[i]++; }
static void test_context(void **state) { /* catches: an ISA accepted that is not there, a list that lies */
    (void)state;
    cq_context ctx;
    cq_context_desc desc;
    cq_error err;
    memset(&desc, 0, sizeof desc);
    assert_int_equal(cq_init(&ctx, NULL, NULL), CQ_OK);
    assert_string_equal(cq_isa(&ctx), cq_isa_available(0));
    size_t tiers = 0;
    bool scalar = false;
    for (; cq_isa_available(tiers); tiers++) {
        desc.isa = cq_isa_available(tiers);
        assert_int_equal(cq_init(&ctx, &desc, &err), CQ_OK);
        assert_string_equal(cq_isa(&ctx), desc.isa);
        scalar = scalar || !strcmp(desc.isa, "scalar");
    }
    assert_true(scalar && tiers >= 1 && cq_isa_available(tiers + 100) == NULL);
    static const char *const bad[] = {"avx3", "", "scala", "scalar ", "SCALAR"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        desc.isa = bad[i];
        assert_int_equal(cq_init(&ctx, &desc, &err), CQ_ERR_UNSUPPORTED);
        assert_true(err.name == bad[i] && err.name_len == strlen(bad[i]));
    }
    int hit[5] = {0, 0, 0, 0, 0};
    cq_parallel_for(&ctx, 0, mark, hit);
    cq_parallel_for(&ctx, 5, mark, hit);
    for (size_t i = 0; i < 5; i++) assert_int_equal(hit[i], 1);
}

/* ---------------------------------------------------------------------------------------------- tensors */

static void test_tensor_init(void **state) { /* catches: a combination or a size that should be refused and is not */
    (void)state;
    cq_tensor t;
    cq_error err;
    struct {
        int format, layout;
        size_t rows, cols, group;
        bool asym;
        cq_status status;
    } c[] = {
        {CQ_FORMAT_COUNT, CQ_PANELS, 4, 4, 0, false, CQ_ERR_ARG},
        {1000, CQ_PANELS, 4, 4, 0, false, CQ_ERR_ARG},
        {CQ_F32, CQ_COLUMNS + 1, 4, 4, 0, false, CQ_ERR_ARG},
        {CQ_INT4, CQ_ROWS, 4, 64, 32, false, CQ_ERR_ARG},
        {CQ_INT4, CQ_COLUMNS, 4, 64, 32, false, CQ_ERR_ARG},
        {CQ_F16, CQ_PANELS, 4, 64, 32, false, CQ_ERR_ARG},
        {CQ_F16, CQ_ROWS, 4, 64, 0, true, CQ_ERR_ARG},
        {CQ_INT4, CQ_PANELS, 4, 64, 33, false, CQ_ERR_ARG},
        {CQ_INT8, CQ_PANELS, 4, 64, 8, true, CQ_ERR_ARG},
        {CQ_INT8, CQ_PANELS, 4, 64, 16, true, CQ_OK},
        {CQ_FP8, CQ_PANELS, 4, 64, 16, true, CQ_ERR_ARG},
        {CQ_MXFP4, CQ_PANELS, 4, 64, 32, true, CQ_ERR_ARG},
        {CQ_MXFP4, CQ_PANELS, 4, 64, 16, false, CQ_ERR_ARG},
        {CQ_MXFP6_E3M2, CQ_PANELS, 4, 64, 64, false, CQ_ERR_ARG},
        {CQ_MXFP8, CQ_ROWS, 4, 64, 32, false, CQ_ERR_ARG},
        {CQ_INT8, CQ_PANELS, 4, 64, SIZE_MAX, true, CQ_ERR_ARG},
        {CQ_INT8, CQ_PANELS, 4, 65537, 0, true, CQ_ERR_RANGE},
        {CQ_INT8, CQ_PANELS, 4, 200000, 65568, false, CQ_ERR_RANGE},
        {CQ_INT8, CQ_PANELS, 4, 200000, 65536, false, CQ_OK},
        {CQ_INT8, CQ_PANELS, 4, 40, SIZE_MAX - 31, false, CQ_OK},
        {CQ_F32, CQ_ROWS, SIZE_MAX, 1, 0, false, CQ_ERR_RANGE},
        {CQ_F32, CQ_ROWS, 1, SIZE_MAX, 0, false, CQ_ERR_RANGE},
        {CQ_F32, CQ_ROWS, SIZE_MAX / 4, 2, 0, false, CQ_ERR_RANGE},
        {CQ_F32, CQ_PANELS, (size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4), 0, false,
            CQ_ERR_RANGE},
        {CQ_F32, CQ_ROWS, 16, SIZE_MAX / 62, 0, false, CQ_ERR_RANGE}, /* fits as a count of elements, not of bytes */
        {CQ_F16, CQ_PANELS, 17, SIZE_MAX / 62, 0, false, CQ_ERR_RANGE},
        {CQ_INT2, CQ_PANELS, SIZE_MAX - 14, 32, 32, false, CQ_ERR_RANGE},
        {CQ_INT4, CQ_PANELS, SIZE_MAX / 64, 1, 0, true, CQ_ERR_RANGE},
        {CQ_INT4, CQ_PANELS, 0, 64, 32, false, CQ_OK},
        {CQ_INT4, CQ_PANELS, 64, 0, 32, false, CQ_OK},
        {CQ_F32, CQ_ROWS, 0, 0, 0, false, CQ_OK},
    };
    for (size_t i = 0; i < COUNT(c); i++) {
        memset(&err, 0, sizeof err);
        cq_status s = cq_tensor_init(&t, (cq_format)c[i].format, (cq_layout)c[i].layout, c[i].rows, c[i].cols,
            c[i].group,
                                     c[i].asym, &err);
        if (s != c[i].status) fail_msg("case %lu: status %d (%s)", (unsigned long)i, (int)s, s ? err.what : "ok");
        if (s) assert_true(err.status == s && err.what && t.bytes == 0 && t.data == NULL);
        assert_int_equal(s, cq_tensor_init(&t, (cq_format)c[i].format, (cq_layout)c[i].layout, c[i].rows, c[i].cols,
                                           c[i].group, c[i].asym, NULL));
        if (!s && !(c[i].rows && c[i].cols)) assert_int_equal(t.bytes, 0);
    }
    /* sizes by hand */
    memset(&t, 0xa5, sizeof t); /* what was there before says nothing */
    cq_tensor_init(&t, CQ_INT4, CQ_PANELS, 17, 100, 32, true, NULL);
    assert_int_equal(t.act_bits, 0);
    assert_int_equal(cq_tensor_groups(&t), 4);
    assert_int_equal(cq_panel_count(&t), 2);
    assert_int_equal(cq_panel_bytes(&t), 192 + 4 * 256); /* 4 groups of 16 * 3 bytes; four blocks of 256 */
    assert_int_equal(t.bytes, 2 * (192 + 4 * 256));
    cq_tensor_init(&t, CQ_INT3, CQ_PANELS, 16, 33, 0, false, NULL);
    assert_int_equal(t.group_size, 64);
    assert_int_equal(t.bytes, 64 + 2 * 192);
    cq_tensor_init(&t, CQ_F16, CQ_PANELS, 1, 3, 0, false, NULL);
    assert_int_equal(t.bytes, 128); /* 3 * 16 * 2 = 96, to 64 */
    cq_tensor_init(&t, CQ_BF16, CQ_ROWS, 5, 7, 0, false, NULL);
    assert_int_equal(t.bytes, 70);
    cq_tensor_init(&t, CQ_MXFP6_E2M3, CQ_PANELS, 17, 100, 0, false, NULL);
    assert_int_equal(t.group_size, 32);
    assert_int_equal(t.bytes, 2 * (64 + 4 * 384)); /* 4 groups of 16 scales of a byte */
    cq_tensor_init(&t, CQ_FP8, CQ_PANELS, 3, 33, 0, false, NULL);
    assert_int_equal(t.group_size, 64);
    assert_int_equal(t.bytes, 64 + 2 * 512);
    static const unsigned bits[] = {32, 16, 16, 8, 4, 3, 2, 8, 8, 6, 6, 4};
    static const char *const names[] = {"f32", "f16", "bf16", "int8", "int4", "int3", "int2", "fp8", "mxfp8", "mxfp6_e2m3",
                                        "mxfp6_e3m2", "mxfp4"};
    for (int f = 0; f < CQ_FORMAT_COUNT; f++) {
        assert_int_equal(cq_format_bits((cq_format)f), bits[f]);
        assert_string_equal(cq_format_name((cq_format)f), names[f]);
        assert_int_equal(cq_format_is_int((cq_format)f), f >= CQ_INT8 && f <= CQ_INT2);
        assert_int_equal(cq_format_is_coded((cq_format)f), f >= CQ_INT8);
        assert_int_equal(cq_format_is_mx((cq_format)f), f >= CQ_MXFP8);
        assert_int_equal(cq_format_has_q8((cq_format)f), f >= CQ_INT8 && f != CQ_FP8 && f != CQ_MXFP8);
    }
    assert_int_equal(cq_format_bits(CQ_FORMAT_COUNT), 0);
    assert_string_equal(cq_format_name(CQ_FORMAT_COUNT), "unknown");
    assert_false(cq_format_is_int(CQ_FORMAT_COUNT) || cq_format_is_coded(CQ_FORMAT_COUNT));
    for (unsigned b = 0; b < 20; b++)
        assert_int_equal(cq_format_int(b), b == 2   ? CQ_INT2
                                           : b == 3 ? CQ_INT3
                                           : b == 4 ? CQ_INT4
                                           : b == 8 ? CQ_INT8
                                                    : CQ_FORMAT_COUNT);
}

/* The layout as the head of [LESSON 5 panels] states it, written down a second time. */
static unsigned spec_code(const unsigned char *blocks, cq_format format, size_t row, size_t k) {
    int bits = (int)cq_format_bits(format);
    const unsigned char *b = blocks + k / 32 * (64u * (unsigned)bits);
    size_t s = k % 32 / 4, lane = row / 8 * 32 + row % 8 * 4 + k % 4;
    if (bits == 8) return format == CQ_INT8 ? (unsigned)((int)(signed char)b[s * 64 + lane] + 128) : b[s * 64 + lane];
    if (bits == 6)
        return (s < 4 ? b[s * 64 + lane] & 15u : (unsigned)b[(s - 4) * 64 + lane] >> 4) |
               ((unsigned)b[256 + s % 2 * 64 + lane] >> 2 * (s / 2) & 3u) << 4;
    if (bits == 4) return s < 4 ? b[s * 64 + lane] & 15u : b[(s - 4) * 64 + lane] >> 4;
    unsigned two = (unsigned)b[s % 2 * 64 + lane] >> 2 * (s / 2) & 3u;
    return bits == 2 ? two : two | ((unsigned)b[128 + lane] >> s & 1u) << 2;
}

static const size_t some_rows[] = {1, 15, 16, 17, 33}, some_cols[] = {1, 4, 31, 32, 33, 63, 64, 100},
                    some_groups[] = {32, 64, 128, 0, 16, 48};
/* Is there such a tensor? */
static bool possible(int format, size_t group, bool asym) {
    bool is_int = format <= CQ_INT2;
    return (is_int || !asym) && (format < CQ_MXFP8 || group == 32 || group == 0);
}
/* bytes of a row's scale */
static size_t scale_bytes(int format) { return format <= CQ_INT2 ? 2 : format == CQ_FP8 ? 4 : 1; }
/* some scale that the format can hold */
static float some_scale(int format) {
    float s = fabsf(uniform()) + 1e-3f;
    return cq_grid_make(s, 0, (cq_format)format).scale;
}

/* catches: codes, scales or zeros that land in the wrong place or change on the way; bytes written outside; a layout
   that differs from the documented one; reads that need alignment (data begins at an odd address) */
static void test_pack_int(void **state) {
    (void)state;
    for (int f = CQ_INT8; f < CQ_FORMAT_COUNT; f++)
        for (size_t ri = 0; ri < COUNT(some_rows); ri++)
            for (size_t ci = 0; ci < COUNT(some_cols); ci++)
                for (size_t gi = 0; gi < COUNT(some_groups); gi++)
                    for (int asym = 0; asym < 2; asym++) {
                        cq_tensor t;
                        if (!possible(f, some_groups[gi], asym)) continue;
                        size_t rows = some_rows[ri], cols = some_cols[ci], wide = scale_bytes(f);
                        assert_int_equal(cq_tensor_init(&t, (cq_format)f, CQ_PANELS, rows, cols, some_groups[gi], asym,
                                                        NULL), CQ_OK);
                        int bits = (int)cq_format_bits(t.format), top = (1 << bits) - 1;
                        size_t groups = cq_tensor_groups(&t), ldc = cols + 3, ldg = groups + 2;
                        uint8_t *codes = (uint8_t *)must(rows * ldc);
                        cq_grid *grids = (cq_grid *)must(rows * ldg * sizeof(cq_grid));
                        unsigned char *raw = (unsigned char *)must(t.bytes + 1), *data = raw + 1;
                        float *row = floats(cols);
                        for (size_t i = 0; i < rows * ldc; i++) codes[i] = (uint8_t)(rng() & (unsigned)top);
                        for (size_t i = 0; i < rows * ldg; i++)
                            grids[i] = cq_grid_make(some_scale(f),
                                                    asym ? (float)(rng() % 300) : (float)(1 << (bits - 1)), t.format);
                        for (size_t p = 0; p < cq_panel_count(&t); p++)
                            cq_pack_panel(&t, data, p, codes + 16 * p * ldc, ldc, grids + 16 * p * ldg, ldg);
                        t.data = data;
                        for (size_t r = 0; r < rows; r++) {
                            const unsigned char *panel = data + r / 16 * cq_panel_bytes(&t);
                            size_t head = (groups * 16 * (wide + (asym ? 1u : 0u)) + 63) / 64 * 64;
                            for (size_t g = 0; g < groups; g++) {
                                cq_grid want = grids[r * ldg + g], got = cq_tensor_grid(&t, r, g);
                                assert_true(got.scale == want.scale && got.zero == want.zero && got.format == t.format);
                                const unsigned char *s = panel + wide * (g * 16 + r % 16); /* little-endian */
                                if (wide == 2) assert_true(cq_f16_to_f32((uint16_t)(s[0] + 256 * s[1])) == want.scale);
                                else if (wide == 4) assert_true(cq__f32(s) == want.scale);
                                else assert_true(ldexpf(1, s[0] - 127) == want.scale);
                                if (asym) assert_int_equal(panel[groups * 32 + g * 16 + r % 16], want.zero);
                            }
                            cq_tensor_row(&t, r, row);
                            for (size_t k = 0; k < cols; k++) {
                                unsigned code = codes[r * ldc + k];
                                cq_grid g = grids[r * ldg + k / t.group_size];
                                assert_int_equal(cq_tensor_code(&t, r, k), code);
                                assert_int_equal(spec_code(panel + head, t.format, r % 16, k), code);
                                if (f <= CQ_INT2) assert_true(row[k] == (float)((int)code - g.zero) * g.scale);
                                assert_true(same(row[k], cq_grid_value(g, (uint8_t)code)));
                            }
                            for (size_t k = cols; k < (cols + 31) / 32 * 32; k++) /* padding: code 0 */
                                assert_int_equal(spec_code(panel + head, t.format, r % 16, k), 0);
                            size_t begin = rng() % cols, n = rng() % (cols - begin + 1);
                            float *span = floats(n);
                            cq_tensor_span(&t, r, begin, n, span);
                            assert_same(span, row + begin, n, "span");
                            free(span);
                        }
                        if (rows % 16) { /* rows past the end: scale 0 and code 0 */
                            const unsigned char *panel = data + rows / 16 * cq_panel_bytes(&t);
                            for (size_t r = rows % 16; r < 16; r++) {
                                for (size_t i = 0; i < groups * wide; i++)
                                    assert_int_equal(panel[wide * (i / wide * 16 + r) + i % wide], 0);
                                size_t head = (groups * 16 * (wide + (asym ? 1u : 0u)) + 63) / 64 * 64;
                                assert_int_equal(spec_code(panel + head, t.format, r, 0), 0);
                            }
                        }
                        assert_int_equal(raw[0], 0x5a);
                        free(codes), free(grids), free(raw), free(row);
                    }
}

static void test_pack_float(void **state) { /* catches: the same for float formats in all layouts */
    (void)state;
    for (int f = CQ_F32; f <= CQ_BF16; f++)
        for (int lay = CQ_ROWS; lay <= CQ_COLUMNS; lay++)
            for (size_t ri = 0; ri < COUNT(some_rows); ri++)
                for (size_t ci = 0; ci < COUNT(some_cols); ci++) {
                    cq_tensor t;
                    size_t rows = some_rows[ri], cols = some_cols[ci], ldw = cols + 2, size = f == CQ_F32 ? 4 : 2;
                    assert_int_equal(cq_tensor_init(&t, (cq_format)f, (cq_layout)lay, rows, cols, 0, false, NULL),
                        CQ_OK);
                    float *w = floats(rows * ldw), *row = floats(cols);
                    unsigned char *raw = (unsigned char *)must(t.bytes + 1);
                    fill(w, rows * ldw, uniform);
                    assert_int_equal(cq_quantize_rtn(&t, raw + 1, w, ldw, NULL), CQ_OK);
                    assert_ptr_equal(t.data, raw + 1);
                    for (size_t r = 0; r < rows; r++) {
                        cq_tensor_row(&t, r, row);
                        for (size_t k = 0; k < cols; k++) {
                            float v = w[r * ldw + k];
                            float want = f == CQ_F32 ? v : f == CQ_F16 ? cq_f16_to_f32(cq_f32_to_f16(v))
                                                                        : cq_bf16_to_f32(cq_f32_to_bf16(v));
                            assert_true(same(row[k], want));
                            size_t panel = (cols * 16 * size + 63) / 64 * 64;
                            size_t at = lay == CQ_ROWS      ? r * cols + k
                                        : lay == CQ_COLUMNS ? k * rows + r
                                                            : k * 16 + r % 16;
                            const unsigned char *p = t.data + at * size + (lay == CQ_PANELS ? r / 16 * panel : 0);
                            uint32_t bits = to_bits(v);
                            if (f != CQ_F32) bits = f == CQ_F16 ? cq_f32_to_f16(v) : cq_f32_to_bf16(v);
                            for (size_t i = 0; i < size; i++) assert_int_equal(p[i], bits >> 8 * i & 255u);
                        }
                    }
                    assert_int_equal(raw[0], 0x5a);
                    free(w), free(row), free(raw);
                }
}

typedef struct mini_case {
    uint32_t number;
    uint8_t code;
} mini_case;
#include "golden/numbers.h"

/* catches: a wrong bias or mantissa, a tie that goes to odd, a subnormal flushed, overflow that wraps, a lost sign */
static void test_minis(void **state) {
    (void)state;
#define MINI(name) name##_numbers, COUNT(name##_numbers), name##_cases, COUNT(name##_cases)
    static const struct {
        const uint32_t *numbers;
        size_t codes;
        const mini_case *cases;
        size_t count;
    } minis[] = {{MINI(e2m1)}, {MINI(e2m3)}, {MINI(e3m2)}, {MINI(e4m3)}, {MINI(e5m2)}};
    for (int m = 0; m < CQ_MINI_COUNT; m++) {
        for (size_t c = 0; c < minis[m].codes; c++) {
            float want = from_bits(minis[m].numbers[c]), got = cq_mini_to_f32((cq_mini)m, (uint8_t)c);
            assert_true(isnan(want) ? isnan(got) : same(got, want));
            if (isfinite(want)) assert_int_equal(cq_f32_to_mini((cq_mini)m, want), c); /* there and back */
        }
        for (size_t i = 0; i < minis[m].count; i++) {
            uint8_t got = cq_f32_to_mini((cq_mini)m, from_bits(minis[m].cases[i].number));
            if (got != minis[m].cases[i].code)
                fail_msg("mini %d: %08x gives %d, not %d", m, minis[m].cases[i].number, got, minis[m].cases[i].code);
        }
    }
    for (int c = 0; c < 255; c++) assert_true(cq_e8m0_to_f32((uint8_t)c) == ldexpf(1, c - 127));
    assert_true(isnan(cq_e8m0_to_f32(255)));
}

/* catches: a code that is not the nearest number, a scale that is no stored one, a ceil that does not cover or is not
   the least, a floor that is not the standard's, zeros and extremes that give NaN */
static void test_mini_grids(void **state) {
    (void)state;
    static const double max[] = {448, 448, 7.5, 28, 6}, exponent[] = {8, 8, 2, 4, 2};
    for (int f = CQ_FP8; f < CQ_FORMAT_COUNT; f++)
        for (int round = 0; round < 400; round++) {
            float w[32], most = 0;
            size_t n = 1 + rng() % 32;
            int binade = round % 3 == 0 ? (int)(rng() % 250) - 125 : (int)(rng() % 10) - 5;
            for (size_t i = 0; i < n; i++) {
                w[i] = round == 7 ? 0.0f : round == 8 ? denormal() : ldexpf(uniform(), binade);
                if (round % 5 == 1 && i == 0 && binade < 100) w[i] = ldexpf((float)max[f - CQ_FP8], binade); /* covered */
                most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
            }
            for (int floor_rule = 0; floor_rule < 2; floor_rule++) {
                cq_grid g = floor_rule ? cq_grid_floor(w, n, (cq_format)f) : cq_grid_minmax(w, n, (cq_format)f, false);
                assert_int_equal(g.format, f);
                assert_int_equal(g.zero, 0);
                int e = 0;
                if (f != CQ_FP8) {
                    assert_true(g.scale > 0 && frexpf(g.scale, &e) == 0.5f && e >= -126 && e <= 128);
                    e--; /* scale = 2^e */
                    int want = -127;
                    if (most > 0 && floor_rule) want = ilogbf(most) - (int)exponent[f - CQ_FP8];
                    if (most > 0 && !floor_rule)
                        while (want < 127 && (double)most > ldexp(max[f - CQ_FP8], want)) want++;
                    assert_int_equal(e, want < -127 ? -127 : want > 127 ? 127 : want);
                } else {
                    assert_true(most > 0 ? fabs((double)g.scale * 448 / (double)most - 1) < 1e-6 || most < 1e-35f
                                         : g.scale == 0);
                }
                for (size_t i = 0; i < n; i++) {
                    double got = (double)cq_grid_value(g, cq_grid_code(g, w[i])), least = INFINITY;
                    assert_true(isfinite(got));
                    for (int c = 0; c < 1 << cq_format_bits((cq_format)f); c++) {
                        double d = fabs((double)w[i] - (double)cq_grid_value(g, (uint8_t)c));
                        if (d < least) least = d; /* not with NaN */
                    }
                    if (g.scale > 0) assert_true(fabs(got - (double)w[i]) <= least * (1 + 1e-6));
                }
            }
        }
    assert_int_equal(cq_grid_code(cq_grid_make(1.0f, 0.0f, CQ_MXFP4), INFINITY), 7);
    assert_true(cq_grid_make(3.0f, 5.0f, CQ_MXFP4).scale == 4.0f && cq_grid_make(3.0f, 5.0f, CQ_MXFP4).zero == 0);
    assert_true(cq_grid_make(INFINITY, 0.0f, CQ_MXFP4).scale == ldexpf(1, 127));
    assert_true(cq_grid_make(NAN, 0.0f, CQ_MXFP4).scale == ldexpf(1, -127));
    assert_true(cq_grid_make(INFINITY, 0.0f, CQ_FP8).scale == FLT_MAX && cq_grid_make(NAN, 0, CQ_FP8).scale == 0.0f);
}

/* catches: a scale that is not the stored one, a code that is not the nearest, a grid that does not cover its weights,
   a division by zero or an infinite scale at the ends of the range */
static void test_grids(void **state) {
    (void)state;
    for (int f = CQ_INT8; f <= CQ_INT2; f++)
        for (int asym = 0; asym < 2; asym++)
            for (int kind = 0; kind < 12; kind++) {
                unsigned bits = cq_format_bits((cq_format)f);
                int top = (1 << bits) - 1;
                float w[70], steps = (float)((1 << bits) - 1), most = 0;
                size_t n = 1 + rng() % COUNT(w);
                for (size_t i = 0; i < n; i++) {
                    float u = uniform();
                    static const float scale[] = {1, 1e-3f, 3e3f, 1e-8f, 1e-30f, 1e38f, 3.4e38f, 1};
                    w[i] = kind < 7 ? u * scale[kind] : kind == 7 ? 0.0f : kind == 8 ? -0.0f
                         : kind == 9 ? fabsf(u) + 1 : kind == 10 ? -fabsf(u) - 1 : denormal();
                    most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
                }
                cq_grid g = cq_grid_minmax(w, n, (cq_format)f, asym);
                assert_true(g.scale >= 0 && g.scale <= 65504.0f && cq_f16_to_f32(cq_f32_to_f16(g.scale)) == g.scale);
                assert_int_equal(g.format, f);
                assert_true(g.zero >= 0 && g.zero <= top);
                if (!asym) assert_int_equal(g.zero, 1 << (bits - 1));
                assert_true(cq_grid_value(g, (uint8_t)g.zero) == 0.0f);
                bool fits = g.scale >= 6.2e-5f && most * 2 / steps < 65000.0f; /* neither denormal nor clipped scale */
                for (size_t i = 0; i < n; i++) {
                    uint8_t code = cq_grid_code(g, w[i]);
                    assert_true(code <= top);
                    if (g.scale == 0) {
                        assert_int_equal(code, g.zero);
                        continue;
                    }
                    double best = INFINITY, got = fabs((double)w[i] - (double)cq_grid_value(g, code));
                    for (int c = 0; c <= top; c++) {
                        double d = fabs((double)w[i] - (double)cq_grid_value(g, (uint8_t)c));
                        best = d < best ? d : best;
                    }
                    assert_true(got <= best * (1 + 1e-6) + 1e-6 * (double)g.scale);
                    /* covered: half a step, plus what rounding scale (2^-11 of the range) and zero may add */
                    if (fits) assert_true(got <= (double)g.scale * ((asym ? 1.0 : 0.5) + (double)steps / 2048 + 1e-3));
                }
                if (kind == 7 || kind == 8) assert_true(g.scale == 0.0f);
            }
    /* ties go to even; out of range clamps; hostile values give some code */
    cq_grid g = cq_grid_make(1.0f, 8.0f, CQ_INT4);
    assert_int_equal(cq_grid_code(g, 0.5f), 8);
    assert_int_equal(cq_grid_code(g, 1.5f), 10);
    assert_int_equal(cq_grid_code(g, 1e30f), 15);
    assert_int_equal(cq_grid_code(g, -1e30f), 0);
    assert_int_equal(cq_grid_code(g, INFINITY), 15);
    assert_int_equal(cq_grid_code(g, -INFINITY), 0);
    assert_true(cq_grid_code(g, NAN) <= 15);
    assert_true(cq_grid_make(INFINITY, NAN, CQ_INT4).scale == 65504.0f && cq_grid_make(NAN, INFINITY, CQ_INT4).zero == 15);
    assert_true(cq_grid_make(1.0f, -5.0f, CQ_INT4).zero == 0 && cq_grid_make(-1.0f, 3.4f, CQ_INT3).zero == 3);
    assert_true(cq_grid_code(cq_grid_make(-1.0f, 3.0f, CQ_INT3), 5.0f) == 3);
    /* the documented scales */
    float w[] = {-1.5f, 0.75f};
    assert_true(cq_grid_minmax(w, 2, CQ_INT4, false).scale == cq_f16_to_f32(cq_f32_to_f16(0.2f)));
    assert_true(cq_grid_minmax(w, 2, CQ_INT4, true).scale == cq_f16_to_f32(cq_f32_to_f16(0.15f)));
    assert_int_equal(cq_grid_minmax(w, 2, CQ_INT4, true).zero, 10);
}

/* catches: rtn that is not its parts (grid, code, pack), weights that are not finite let through */
static void test_rtn(void **state) {
    (void)state;
    for (int f = CQ_INT8; f < CQ_FORMAT_COUNT; f++)
        for (int asym = 0; asym < (f <= CQ_INT2 ? 2 : 1); asym++) {
            enum { ROWS = 19, COLS = 75, LDW = 80 };
            cq_tensor t;
            cq_error err;
            float *w = floats(ROWS * LDW);
            fill(w, ROWS * LDW, uniform);
            for (size_t k = 0; k < 32; k++) w[3 * LDW + k] = 0.0f; /* an all-zero group */
            assert_int_equal(cq_tensor_init(&t, (cq_format)f, CQ_PANELS, ROWS, COLS, 32, asym, NULL), CQ_OK);
            unsigned char *data = (unsigned char *)must(t.bytes);
            assert_int_equal(cq_quantize_rtn(&t, data, w, LDW, &err), CQ_OK);
            for (size_t r = 0; r < ROWS; r++)
                for (size_t g = 0; g < 3; g++) {
                    size_t end = (g + 1) * 32 < COLS ? (g + 1) * 32 : COLS;
                    cq_grid want = cq_grid_minmax(w + r * LDW + g * 32, end - g * 32, t.format, asym);
                    cq_grid got = cq_tensor_grid(&t, r, g);
                    assert_true(got.scale == want.scale && got.zero == want.zero);
                    for (size_t k = g * 32; k < end; k++)
                        assert_int_equal(cq_tensor_code(&t, r, k), cq_grid_code(want, w[r * LDW + k]));
                }
            float row[COLS];
            cq_tensor_row(&t, 3, row);
            for (size_t k = 0; k < 32; k++) assert_true(row[k] == 0.0f);
            static const uint32_t bad[] = {0x7fc00000u, 0x7f800000u, 0xff800000u};
            for (size_t i = 0; i < COUNT(bad); i++) {
                float keep = w[5 * LDW + 7];
                w[5 * LDW + 7] = from_bits(bad[i]);
                assert_int_equal(cq_quantize_rtn(&t, data, w, LDW, &err), CQ_ERR_RANGE);
                assert_true(err.where == 5 && err.got == 7);
                assert_int_equal(cq_quantize_rtn(&t, data, w, LDW, NULL), CQ_ERR_RANGE);
                w[5 * LDW + 7] = keep;
            }
            free(w), free(data);
        }
}

/* ---------------------------------------------------------------------------------------------- products */

/* a tensor of any format with data at data + offset; ordinary weights, or (float formats) any bits at all */
static unsigned char *make_tensor(cq_tensor *t, int format, int lay, size_t rows, size_t cols, size_t group, bool asym,
                                  size_t offset, bool any_bits) {
    assert_int_equal(cq_tensor_init(t, (cq_format)format, (cq_layout)lay, rows, cols,
                                    format >= CQ_INT8 && format < CQ_MXFP8 ? group : 0, format >= CQ_INT8 && format <= CQ_INT2 && asym,
                                    NULL), CQ_OK);
    unsigned char *raw = (unsigned char *)must(t->bytes + offset);
    float *w = floats(rows * cols);
    fill(w, rows * cols, uniform);
    assert_int_equal(cq_quantize_rtn(t, raw + offset, w, cols, NULL), CQ_OK);
    if (any_bits)
        for (size_t i = 0; i < t->bytes; i++) raw[offset + i] = (unsigned char)rng();
    free(w);
    return raw;
}

/* catches: wrong sums, wrong bias or add, rows or columns missed at odd shapes, writes outside of y */
static void test_matmul(void **state) {
    (void)state;
    static const size_t rows_[] = {1, 16, 33}, cols_[] = {1, 31, 33, 100, 200}, n_[] = {1, 2, 4, 5, 67};
    FOR_TIERS(ctx)
    for (int f = 0; f < CQ_FORMAT_COUNT; f++)
        for (int lay = f < CQ_INT8 ? CQ_ROWS : CQ_PANELS; lay <= (f < CQ_INT8 ? CQ_COLUMNS : CQ_PANELS); lay++)
            for (size_t shape = 0; shape < 25; shape++)
                for (int mode = 0; mode < 4; mode++) {
                    size_t rows = rows_[rng() % 3], cols = cols_[shape % 5], n = n_[shape / 5], ldy = rows + 3,
                        ldx = cols + 1;
                    cq_tensor t;
                    unsigned char *raw = make_tensor(&t, f, lay, rows, cols, mode & 1 ? 64 : 0, (mode & 2) != 0, 4,
                        false);
                    float *x = floats(n * ldx), *y = floats(n * ldy), *y0 = floats(n * ldy), *w = floats(rows * cols);
                    unsigned char *bias = (unsigned char *)must(4 * rows + 1) + 1; /* any alignment */
                    fill(x, n * ldx, uniform);
                    fill(y0, n * ldy, uniform);
                    memcpy(y, y0, n * ldy * sizeof(float));
                    for (size_t r = 0; r < rows; r++) {
                        cq__put32(bias + 4 * r, to_bits(uniform()));
                        cq_tensor_row(&t, r, w + r * cols);
                    }
                    bool add = mode & 1, with_bias = mode & 2;
                    cq_matmul(&ctx, y, ldy, &t, with_bias ? bias : NULL, x, ldx, n, add);
                    for (size_t j = 0; j < n; j++)
                        for (size_t r = 0; r < ldy; r++) {
                            double sum = 0, size = 2;
                            if (r >= rows) { /* the gap between rows of y */
                                assert_true(same(y[j * ldy + r], y0[j * ldy + r]));
                                continue;
                            }
                            for (size_t k = 0; k < cols; k++) {
                                double p = (double)w[r * cols + k] * (double)x[j * ldx + k];
                                sum += p;
                                size += fabs(p);
                            }
                            if (with_bias) sum += (double)cq__f32(bias + 4 * r);
                            if (add) sum += (double)y0[j * ldy + r];
                            assert_true(fabs(sum - (double)y[j * ldy + r]) <= size * 45 * ldexp(1, -24));
                        }
                    free(raw), free(x), free(y), free(y0), free(w), free(bias - 1);
                }
}

/* the definition of cq_matmul_q8, in 64-bit integers; volatile keeps the compiler from fusing multiply and add */
static float slow_q8(const cq_tensor *t, const cq_acts *a, size_t r, size_t j) {
    volatile float y = 0.0f, p;
    for (size_t g = 0; g < cq_tensor_groups(t); g++) {
        cq_grid grid = cq_tensor_grid(t, r, g);
        int64_t dot = 0;
        float unit = t->format == CQ_MXFP4 ? 0.5f : t->format == CQ_MXFP6_E2M3 ? 0.125f : 0.0625f;
        bool is_int = t->format <= CQ_INT2;
        for (size_t k = g * t->group_size; k < t->cols && k < (g + 1) * t->group_size; k++) {
            float v = is_int ? 0 : cq_tensor_code(t, r, k) ? cq_grid_value(grid, cq_tensor_code(t, r, k)) / grid.scale : 0;
            dot += (is_int ? (int64_t)cq_tensor_code(t, r, k) - grid.zero : (int64_t)(v / unit)) * a->q[j * a->stride + k];
        }
        if (is_int) unit = 1;
        p = (float)dot * (grid.scale * unit);
        y = y + p;
    }
    y = y * a->scale[j];
    return y;
}
/* catches: an integer product that is not exact (saturation of 16-bit sums at the largest codes and activations), a
   wrong order of groups, padding that counts, wrong bias or add */
static void test_matmul_q8(void **state) {
    (void)state;
    static const size_t rows_[] = {1, 15, 16, 17, 40}, n_[] = {1, 2, 3, 4, 5, 7, 9};
    static const size_t cols_[] = {1, 31, 32, 33, 64, 100, 160, 300};
    FOR_TIERS(ctx)
    for (int f = CQ_INT8; f < CQ_FORMAT_COUNT; f++)
        for (int asym = 0; asym < 2; asym++)
            for (size_t gi = 0; gi < COUNT(some_groups); gi++)
                for (size_t ci = 0; ci < COUNT(cols_); ci++)
                    for (int extreme = 0; extreme < 2; extreme++) {
                        if (!possible(f, some_groups[gi], asym) || !cq_format_has_q8((cq_format)f)) continue;
                        size_t rows = rows_[rng() % COUNT(rows_)], n = n_[rng() % COUNT(n_)], cols = cols_[ci],
                            ldy = rows + 1;
                        cq_tensor t;
                        cq_acts a;
                        unsigned char *raw = make_tensor(&t, f, CQ_PANELS, rows, cols, some_groups[gi], asym, 4, false);
                        cq_arena size = cq_arena_over(NULL, 0);
                        cq_acts_alloc(&a, &size, n, cols);
                        void *mem = must(size.used);
                        cq_arena arena = cq_arena_over(mem, size.used);
                        cq_acts_alloc(&a, &arena, n, cols);
                        float *x = floats(n * cols), *y = floats(n * ldy), *y0 = floats(n * ldy);
                        unsigned char *bias = (unsigned char *)must(4 * rows);
                        fill(x, n * cols, uniform);
                        if (extreme) { /* all codes at one end, all activations at +-127 */
                            for (size_t i = 0; i < n * cols; i++) x[i] = i % 97 < 50 ? 1.0f : i % 3 ? 1.0f : -1.0f;
                            uint8_t *codes = (uint8_t *)must(16 * cols);
                            cq_grid *grids = (cq_grid *)must(16 * (cq_tensor_groups(&t) + 1) * sizeof(cq_grid));
                            for (size_t i = 0; i < 16 * cols; i++) codes[i] = i / cols % 2 ? 255 : 0;
                            for (size_t i = 0; i < 16 * cols; i++)
                                codes[i] &= (uint8_t)((1u << cq_format_bits(t.format)) - 1);
                            for (size_t i = 0; i < 16 * cq_tensor_groups(&t); i++)
                                grids[i] = cq_grid_make(0.5f, (float)(i % 3) * 127.5f, t.format);
                            for (size_t p = 0; p < cq_panel_count(&t); p++)
                                cq_pack_panel(&t, raw + 4, p, codes, cols, grids, cq_tensor_groups(&t));
                            free(codes), free(grids);
                        }
                        fill(y0, n * ldy, uniform);
                        memcpy(y, y0, n * ldy * sizeof(float));
                        for (size_t r = 0; r < rows; r++) cq__put32(bias + 4 * r, to_bits(uniform()));
                        cq_quantize_acts(&ctx, &a, x, cols, n, cols);
                        bool add = rng() & 1, with_bias = rng() & 1;
                        cq_matmul_q8(&ctx, y, ldy, &t, with_bias ? bias : NULL, &a, n, add);
                        for (size_t j = 0; j < n; j++) {
                            for (size_t r = 0; r < rows; r++) {
                                volatile float want = slow_q8(&t, &a, r, j);
                                if (with_bias) want = want + cq__f32(bias + 4 * r);
                                if (add) want = y0[j * ldy + r] + want;
                                float w = want;
                                assert_same(&y[j * ldy + r], &w, 1, cq_format_name(t.format));
                            }
                            assert_true(same(y[j * ldy + rows], y0[j * ldy + rows]));
                        }
                        free(raw), free(mem), free(x), free(y), free(y0), free(bias);
                    }
}

/* catches: a row of the largest allowed group with the largest values,
    where a 32-bit sum comes within 2 % of its end */
static void test_q8_largest_group(void **state) {
    (void)state;
    enum { COLS = 65536 };
    cq_tensor t;
    cq_acts a;
    assert_int_equal(cq_tensor_init(&t, CQ_INT8, CQ_PANELS, 1, COLS, 0, true, NULL), CQ_OK);
    assert_int_equal(t.group_size, COLS);
    unsigned char *data = (unsigned char *)must(t.bytes);
    uint8_t *codes = (uint8_t *)must(COLS);
    cq_grid g = cq_grid_make(1.0f, 0.0f, CQ_INT8);
    memset(codes, 255, COLS);
    cq_pack_panel(&t, data, 0, codes, COLS, &g, 1);
    t.data = data;
    cq_arena size = cq_arena_over(NULL, 0);
    cq_acts_alloc(&a, &size, 1, COLS);
    void *mem = must(size.used);
    cq_arena arena = cq_arena_over(mem, size.used);
    cq_acts_alloc(&a, &arena, 1, COLS);
    float *x = floats(COLS), y = 0;
    FOR_TIERS(ctx)
    for (int sign = -1; sign <= 1; sign += 2)
        for (int zero = 0; zero < 2; zero++) {
            g = cq_grid_make(1.0f, zero ? 255.0f : 0.0f, CQ_INT8);
            memset(codes, zero ? 0 : 255, COLS);
            cq_pack_panel(&t, data, 0, codes, COLS, &g, 1);
            for (size_t k = 0; k < COLS; k++) x[k] = (float)sign * 127.0f;
            cq_quantize_acts(&ctx, &a, x, COLS, 1, COLS);
            assert_true(a.scale[0] == 1.0f && a.q[0] == sign * 127);
            cq_matmul_q8(&ctx, &y, 1, &t, NULL, &a, 1, false);
            assert_true(y == (float)(65536.0 * 255 * 127 * sign * (zero ? -1 : 1)));
        }
    free(data), free(codes), free(mem), free(x);
}

/* catches: codes of fewer bits outside of their range, or that are not the nearest */
static void test_quantize_acts_bits(void **state) {
    enum { COLS = 45 };
    (void)state;
    FOR_TIERS(ctx)
    for (unsigned bits = 2; bits <= 8; bits++) {
        int top = (1 << (bits - 1)) - 1;
        cq_acts a;
        cq_arena size = cq_arena_over(NULL, 0);
        cq_acts_alloc(&a, &size, 1, COLS);
        assert_int_equal(a.bits, 8);
        void *mem = must(size.used);
        cq_arena arena = cq_arena_over(mem, size.used);
        cq_acts_alloc(&a, &arena, 1, COLS);
        a.bits = bits;
        float *x = floats(COLS), most = 0;
        fill(x, COLS, uniform);
        for (size_t i = 0; i < COLS; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        cq_quantize_acts(&ctx, &a, x, COLS, 1, COLS);
        assert_true(same(a.scale[0], most / (float)top));
        for (size_t i = 0; i < a.stride; i++) {
            assert_true(a.q[i] >= -top && a.q[i] <= top);
            if (i < COLS) assert_true(fabs((double)x[i] / (double)most * top - a.q[i]) <= 0.50002);
            else assert_int_equal(a.q[i], 0);
        }
        free(mem), free(x);
    }
}

/* catches: codes outside [-127, 127], wrong rounding, sums that are not those of the codes, padding that is not 0,
   undefined conversions of NaN and infinity; a smaller use of larger buffers */
static void test_quantize_acts(void **state) {
    (void)state;
    float (*kind[])(void) = {uniform, special, denormal, wide, any_float};
    FOR_TIERS(ctx)
    for (size_t k = 0; k < COUNT(kind); k++)
        for (size_t cols = 1; cols < 140; cols += 1 + cols / 9) {
            enum { N = 3 };
            cq_acts a;
            cq_arena size = cq_arena_over(NULL, 0);
            cq_acts_alloc(&a, &size, N, 200);
            void *mem = must(size.used);
            cq_arena arena = cq_arena_over(mem, size.used);
            cq_acts_alloc(&a, &arena, N, 200);
            float *x = floats(N * (cols + 1));
            fill(x, N * (cols + 1), kind[k]);
            memset(a.q, 77, N * 224);
            cq_quantize_acts(&ctx, &a, x, cols + 1, N, cols);
            assert_true(a.cols == cols && a.stride == (cols + 31) / 32 * 32);
            for (size_t j = 0; j < N; j++) {
                float most = 0;
                bool finite = true;
                for (size_t i = 0; i < cols; i++) {
                    most = fabsf(x[j * (cols + 1) + i]) > most ? fabsf(x[j * (cols + 1) + i]) : most;
                    finite = finite && x[j * (cols + 1) + i] - x[j * (cols + 1) + i] == 0;
                }
                assert_true(a.scale[j] >= 0 && a.scale[j] < INFINITY);
                for (size_t b = 0; b < a.stride / 32; b++) {
                    int sum = 0;
                    for (size_t i = b * 32; i < b * 32 + 32; i++) {
                        int q = a.q[j * a.stride + i];
                        sum += q;
                        assert_true(q >= -127 && q <= 127);
                        if (i >= cols) assert_int_equal(q, 0);
                        else if (finite && most > 1e-30f)
                            assert_true(fabs((double)x[j * (cols + 1) + i] / (double)most * 127 - q) <= 0.50002);
                    }
                    assert_int_equal(sum, a.sum[b * a.ld_sum + j]);
                }
                if (finite && most > 1e-30f) assert_true(same(a.scale[j], most / 127.0f));
            }
            free(mem), free(x);
        }
}

/* every block of a round of kernels.h ends where a page begins that nobody may touch */
enum { GUARDED = 24, GUARDED_BYTES = 1 << 17 };
static unsigned char *guarded;
static size_t guarded_used, guarded_step;
static void *get_guarded(void *user, size_t bytes) {
    (void)user;
    assert_true(guarded_used < GUARDED && bytes <= GUARDED_BYTES);
    unsigned char *end = guarded + guarded_used++ * guarded_step + GUARDED_BYTES;
    memset(end - bytes, 0x5a, bytes);
    return end - bytes;
}
static void release_guarded(void *user) {
    (void)user;
    guarded_used = 0;
}
static void say(void *user, const char *text) {
    (void)user;
    print_error("%s", text);
}
/* kernels.h says what it catches; here also reads past the end */
static void test_kernels(void **state) {
    (void)state;
    static unsigned char memory[CQ_KERNELS_MEMORY] __attribute__((aligned(64)));
    static cq_kernel_test test;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
#ifdef CQUANT_TEST_QUICK
    test.rounds = 10;
#else
    test.rounds = 100;
#endif
    test.say = say;
    test.memory = memory;
    assert_int_equal(cq_check_kernels(&test), 0);
    assert_int_equal(test.tiers, tier_count);
    assert_true(test.tier[0].comparisons > 300 * test.rounds); /* it did compare */
    uint64_t checksum = test.checksum;

    guarded_step = GUARDED_BYTES + page;
    void *pages = NULL;
    assert_int_equal(posix_memalign(&pages, page, GUARDED * guarded_step), 0);
    guarded = (unsigned char *)pages;
    for (size_t i = 0; i < GUARDED; i++)
        assert_int_equal(mprotect(guarded + i * guarded_step + GUARDED_BYTES, page, PROT_NONE), 0);
    test.get = get_guarded;
    test.release = release_guarded;
    assert_int_equal(cq_check_kernels(&test), 0);
    assert_true(test.checksum == checksum); /* the numbers do not depend on where they lie */
    assert_int_equal(mprotect(pages, GUARDED * guarded_step, PROT_READ | PROT_WRITE), 0);
    free(pages);
}

/* X^T diag(weight) X, its scratch exactly as large as it says */
static void syrk(const cq_context *ctx, float *c, size_t ldc, const float *x, size_t ldx, size_t n, const float *weight,
                 size_t cols) {
    float *scratch = (float *)malloc(cq_syrk_scratch(cols) * sizeof(float));
    assert_non_null(scratch);
    cq_syrk(ctx, c, ldc, x, ldx, n, weight, cols, scratch);
    free(scratch);
}
static void gemm(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                 size_t m, size_t k, size_t n) {
    float *scratch = (float *)must(cq_gemm_scratch(m, k, n) * sizeof(float));
    cq_gemm(ctx, c, ldc, a, lda, b, ldb, m, k, n, scratch);
    free(scratch);
}
/* catches: sums in another order than the one that the head of the header promises */
static void test_lane_order(void **state) {
    (void)state;
    FOR_TIERS(ctx)
    for (size_t n = 0; n < 60; n++) {
        float a[60], b[60];
        volatile float l[8] = {0, 0, 0, 0, 0, 0, 0, 0}, d[8] = {0, 0, 0, 0, 0, 0, 0, 0}, p, u, v;
        fill(a, 60, wide);
        fill(b, 60, uniform);
        for (size_t i = 0; i < n; i++) {
            l[i % 8] = l[i % 8] + a[i];
            p = a[i] * b[i];
            d[i % 8] = d[i % 8] + p;
        }
        float got[2], want[2];
        for (int i = 0; i < 2; i++) {
            volatile float *x = i ? d : l;
            volatile float s04 = x[0] + x[4], s26 = x[2] + x[6], s15 = x[1] + x[5], s37 = x[3] + x[7];
            u = s04 + s26;
            v = s15 + s37;
            want[i] = u + v;
        }
        got[0] = cq_sum(&ctx, a, n);
        got[1] = cq_dot(&ctx, a, b, n);
        assert_same(got, want, 2, "fixed order");
    }
}

/* catches: results that depend on who computes them when: tasks backwards, or on 1, 2, 3 real threads */
static void run_backwards(void *user, size_t count, cq_task task, void *arg) {
    (void)user;
    while (count--) task(arg, count);
}
typedef struct {
    pthread_mutex_t lock;
    size_t next, count;
    cq_task task;
    void *arg;
} shared_work;
static void *worker(void *p) {
    shared_work *w = (shared_work *)p;
    for (;;) {
        pthread_mutex_lock(&w->lock);
        size_t i = w->next++;
        pthread_mutex_unlock(&w->lock);
        if (i >= w->count) return NULL;
        w->task(w->arg, i);
    }
}
static void run_threads(void *user, size_t count, cq_task task, void *arg) {
    shared_work w;
    pthread_t id[3];
    int n = *(int *)user;
    pthread_mutex_init(&w.lock, NULL);
    w.next = 0, w.count = count, w.task = task, w.arg = arg;
    for (int i = 0; i < n; i++)
        if (pthread_create(&id[i], NULL, worker, &w)) abort();
    for (int i = 0; i < n; i++) pthread_join(id[i], NULL);
    pthread_mutex_destroy(&w.lock);
}
static void test_threads(void **state) {
    (void)state;
    enum { ROWS = 200, COLS = 300, N = 17, OUT = CQ_FORMAT_COUNT * 2 * N * ROWS + 2 * COLS * COLS };
    float *first = NULL, *x = floats(N * COLS);
    unsigned char *raw[CQ_FORMAT_COUNT];
    cq_tensor t[CQ_FORMAT_COUNT];
    fill(x, N * COLS, uniform);
    for (int f = 0; f < CQ_FORMAT_COUNT; f++) raw[f] = make_tensor(&t[f], f, CQ_PANELS, ROWS, COLS, 64, f & 1, 0,
        false);
    for (int way = 0; way < 5; way++) {
        int threads = way - 1;
        cq_context ctx;
        cq_context_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.parallel.run = way == 0 ? NULL : way == 1 ? run_backwards : run_threads;
        desc.parallel.user = &threads;
        assert_int_equal(cq_init(&ctx, &desc, NULL), CQ_OK);
        cq_acts a;
        cq_arena size = cq_arena_over(NULL, 0);
        cq_acts_alloc(&a, &size, N, COLS);
        void *mem = must(size.used);
        cq_arena arena = cq_arena_over(mem, size.used);
        cq_acts_alloc(&a, &arena, N, COLS);
        float *y = floats(OUT), *p = y;
        memset(y, 0, OUT * sizeof(float));
        cq_quantize_acts(&ctx, &a, x, COLS, N, COLS);
        for (int f = 0; f < CQ_FORMAT_COUNT; f++) {
            cq_matmul(&ctx, p, ROWS, &t[f], NULL, x, COLS, N, false);
            p += N * ROWS;
            if (cq_format_has_q8((cq_format)f)) cq_matmul_q8(&ctx, p, ROWS, &t[f], NULL, &a, N, false);
            p += N * ROWS;
        }
        syrk(&ctx, p, COLS, x, COLS, N, NULL, COLS);
        p += COLS * COLS;
        gemm(&ctx, p, COLS, x, COLS, x, COLS, N, N, COLS);
        if (first) assert_memory_equal(first, y, OUT * sizeof(float));
        else first = y;
        if (way) free(y);
        free(mem);
    }
    for (int f = 0; f < CQ_FORMAT_COUNT; f++) free(raw[f]);
    free(first), free(x);
}

/* catches: a fused multiply-add that rounds twice: half-way points of the float that the double lost, subnormal
   results, cancellation, overflow on the way, infinities. The oracle is libm's. */
static void test_fmaf(void **state) {
    (void)state;
    float (*kind[])(void) = {uniform, special, denormal, wide, any_float};
    for (size_t k = 0; k < COUNT(kind); k++)
        for (int i = 0; i < 200000; i++) {
            float a = kind[k](), b = kind[k](), c = kind[(k + (size_t)i) % COUNT(kind)]();
            float p = a * b, ulp = ldexpf(p, -24 - (int)(rng() % 4));
            switch (rng() % 5) {
            case 1: c = -p; break;                          /* what is left is the error of the product */
            case 2: c = rng() & 1 ? p : 3 * p; break;
            case 3: c = ulp; break;                         /* half-way points */
            case 4: c = ldexpf(uniform() < 0 ? -1 : 1, (int)(rng() % 60) - 149); break; /* near the least numbers */
            default: break;
            }
            if (rng() % 8 == 0) { /* few bits: exact ties */
                a = from_bits(to_bits(a) & 0xfff80000u);
                b = from_bits(to_bits(b) & 0xfff00000u);
            }
            if (!same(cq__fmaf(a, b, c), fmaf(a, b, c)))
                fail_msg("fma(%a, %a, %a) = %a, not %a", (double)a, (double)b, (double)c, (double)cq__fmaf(a, b, c),
                    (double)fmaf(a, b, c));
        }
}

/* catches: wrong sums, an asymmetric result, a previous C that is lost, writes beyond the matrix */
static void test_syrk_gemm(void **state) {
    (void)state;
    static const size_t n_[] = {1, 31, 33, 70, 300, 830}, cols_[] = {1, 15, 16, 17, 40, 49, 96, 191, 209, 400, 600};
    const cq_context plain = context("scalar");
    FOR_TIERS(ctx)
    for (size_t ni = 0; ni < COUNT(n_); ni++)
        for (size_t ci = 0; ci < COUNT(cols_); ci++) {
            size_t n = n_[ni], m = cols_[ci], ldx = m + 2, ldc = m + 1;
            if (m > 400 && n > 33) continue; /* many pieces: few rows are enough */
            float *x = floats(n * ldx), *c0 = floats(m * ldc), *c = floats(m * ldc), *d = floats(m * ldc);
            fill(x, n * ldx, uniform);
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < ldc; j++) c0[i * ldc + j] = j < i ? c0[j * ldc + i] : uniform();
            memcpy(c, c0, m * ldc * sizeof(float));
            memcpy(d, c0, m * ldc * sizeof(float));
            syrk(&ctx, c, ldc, x, ldx, n, NULL, m);
            syrk(&plain, d, ldc, x, ldx, n / 2, NULL, m);
            syrk(&plain, d, ldc, x + n / 2 * ldx, ldx, n - n / 2, NULL, m);
            assert_same(c, d, m * ldc, "syrk");
            for (size_t i = 0; i < m; i++) {
                for (size_t j = m > 60 ? rng() % 17 : 0; j < m; j += m > 60 ? 17 : 1) {
                    double sum = (double)c0[i * ldc + j];
                    for (size_t u = 0; u < n; u++) sum += (double)x[u * ldx + i] * (double)x[u * ldx + j];
                    assert_true(fabs(sum - (double)c[i * ldc + j]) <= 1e-5 * (1 + (double)n / 10));
                    assert_true(same(c[i * ldc + j], c[j * ldc + i]));
                }
                assert_true(same(c[i * ldc + m], c0[i * ldc + m]));
            }
            /* weights: as rows times their square roots; rows of weight 0 may hold anything */
            float *weight = floats(n), *y = floats(n * ldx);
            memcpy(c, c0, m * ldc * sizeof(float));
            memcpy(d, c0, m * ldc * sizeof(float));
            memcpy(y, x, n * ldx * sizeof(float));
            for (size_t u = 0; u < n; u++) {
                weight[u] = u % 3 == 2 ? 0 : ldexpf(1, 2 * (int)(u % 5) - 4);
                for (size_t i = 0; i < m; i++) {
                    y[u * ldx + i] *= sqrtf(weight[u]);
                    if (u % 3 == 2) x[u * ldx + i] = NAN;
                }
            }
            syrk(&ctx, c, ldc, x, ldx, n, weight, m);
            syrk(&ctx, d, ldc, y, ldx, n, NULL, m);
            assert_same(c, d, m * ldc, "syrk with weights");
            memcpy(x, y, n * ldx * sizeof(float));
            free(weight), free(y);
            /* C (p, m) += A (p, n) B (n, m), B = x */
            size_t p = 1 + rng() % 20 + (rng() & 1) * 190, lda = n + 3; /* packed or not; more than a square */
            float *a = floats(p * lda), *e0 = floats(p * ldc), *e = floats(p * ldc), *g = floats(p * ldc);
            fill(a, p * lda, uniform);
            fill(e0, p * ldc, uniform);
            memcpy(e, e0, p * ldc * sizeof(float));
            memcpy(g, e0, p * ldc * sizeof(float));
            gemm(&ctx, e, ldc, a, lda, x, ldx, p, n, m);
            gemm(&plain, g, ldc, a, lda, x, ldx, p, n, m);
            assert_same(e, g, p * ldc, "gemm");
            for (size_t i = 0; i < p; i++) {
                for (size_t j = 0; j < m; j++) {
                    double sum = (double)e0[i * ldc + j];
                    for (size_t u = 0; u < n; u++) sum += (double)a[i * lda + u] * (double)x[u * ldx + j];
                    assert_true(fabs(sum - (double)e[i * ldc + j]) <= 1e-5 * (1 + (double)n / 10));
                }
                assert_true(same(e[i * ldc + m], e0[i * ldc + m]));
            }
            free(x), free(c0), free(c), free(d), free(a), free(e0), free(e), free(g);
        }
}

/* catches: shapes with nothing in them */
static void test_empty(void **state) {
    (void)state;
    FOR_TIERS(ctx) {
        cq_tensor t;
        float y[4] = {7, 7, 7, 7}, x[1] = {1};
        unsigned char bias[8], none[1] = {0};
        cq__put32(bias, to_bits(3.0f));
        cq__put32(bias + 4, to_bits(4.0f));
        for (int f = 0; f < CQ_FORMAT_COUNT; f++) {
            assert_int_equal(cq_tensor_init(&t, (cq_format)f, CQ_PANELS, 2, 0, 0, false, NULL), CQ_OK);
            assert_int_equal(cq_quantize_rtn(&t, none, x, 0, NULL), CQ_OK);
            y[0] = y[1] = 7;
            cq_matmul(&ctx, y, 2, &t, bias, x, 0, 1, false);
            assert_true(y[0] == 3 && y[1] == 4);
            cq_matmul(&ctx, y, 2, &t, bias, x, 0, 0, false);
            assert_int_equal(cq_tensor_init(&t, (cq_format)f, CQ_PANELS, 0, 40, 0, false, NULL), CQ_OK);
            assert_int_equal(cq_quantize_rtn(&t, none, x, 0, NULL), CQ_OK);
            cq_matmul(&ctx, y, 2, &t, NULL, x, 0, 1, false);
            assert_true(y[0] == 3 && y[1] == 4);
        }
        syrk(&ctx, y, 2, x, 1, 0, NULL, 2);
        gemm(&ctx, y, 2, x, 1, x, 1, 0, 1, 2);
        assert_true(cq_dot(&ctx, x, x, 0) == 0 && cq_sum(&ctx, x, 0) == 0 && !cq_softmax(&ctx, x, 0));
    }
}

/* ---------------------------------------------------------------------------------------------- vectors */

static void test_softmax(void **state) { /* catches: overflow, masked rows, weights that do not sum to 1 */
    (void)state;
    FOR_TIERS(ctx)
    for (size_t n = 1; n < 120; n += 1 + n / 8)
        for (int kind = 0; kind < 5; kind++) {
            float x[120], y[120];
            double sum = 0, most = -INFINITY, total = 0;
            bool any = false;
            for (size_t i = 0; i < n; i++) {
                x[i] = kind == 0 ? uniform() * 5 : kind == 1 ? uniform() * 1e4f : kind == 2 ? uniform() + 3e38f
                     : kind == 3 ? (rng() % 3 ? -INFINITY : uniform()) : -INFINITY;
                y[i] = x[i];
                any = any || x[i] > -INFINITY;
                most = (double)x[i] > most ? (double)x[i] : most;
            }
            assert_int_equal(cq_softmax(&ctx, y, n), any);
            if (!any) {
                for (size_t i = 0; i < n; i++) assert_int_equal(to_bits(y[i]), 0);
                continue;
            }
            for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - most);
            for (size_t i = 0; i < n; i++) {
                double want = exp((double)x[i] - most) / sum, d = want > 0 ? most - (double)x[i] : 0;
                /* x - max is rounded once, by up to 2^-24 of its size */
                assert_true(fabs(want - (double)y[i]) <= want * (1e-6 + 1.2e-7 * d) + 1e-44);
                if (x[i] == -INFINITY) assert_int_equal(to_bits(y[i]), 0);
                total += (double)y[i];
            }
            assert_true(fabs(total - 1) < 1e-5);
        }
    cq_context ctx = context(NULL);
    float x[3] = {1, NAN, 2};
    assert_true(cq_softmax(&ctx, x, 3) && isnan(x[0]) && isnan(x[1]) && isnan(x[2])); /* NaN is not swept away */
}

/* catches: a wrong mean, weights not applied, in-place use, saturation */
static void test_norm_and_silu(void **state) {
    (void)state;
    FOR_TIERS(ctx)
    for (size_t n = 1; n < 100; n += 1 + n / 5) {
        float x[100], y[100], u[100];
        unsigned char raw[401], *w = raw + 1; /* fp32 little-endian at any address */
        double mean = 0;
        fill(x, n, uniform);
        fill(u, n, uniform);
        for (size_t i = 0; i < n; i++) {
            cq__put32(w + 4 * i, to_bits(u[i]));
            mean += (double)x[i] * (double)x[i] / (double)n;
        }
        for (int mode = 0; mode < 4; mode++) {
            memcpy(y, x, sizeof y);
            cq_rmsnorm(&ctx, y, mode & 1 ? y : x, mode & 2 ? w : NULL, n, 1e-5f);
            for (size_t i = 0; i < n; i++) {
                double want = (double)x[i] / sqrt(mean + 1e-5) * (mode & 2 ? (double)u[i] : 1);
                assert_true(fabs(want - (double)y[i]) <= 1e-6 * fabs(want) + 1e-30);
            }
        }
        for (size_t i = 0; i < n; i++) y[i] = x[i] = x[i] * 40;
        cq_silu_mul(&ctx, y, u, n);
        for (size_t i = 0; i < n; i++) {
            double want = (double)x[i] / (1 + exp(-(double)x[i])) * (double)u[i];
            assert_true(fabs(want - (double)y[i]) <= 1e-6 * fabs(want) + 1e-37);
        }
        memcpy(y, u, sizeof y);
        cq_axpy(&ctx, y, 0.5f, x, n);
        for (size_t i = 0; i < n; i++) assert_true(fabs((double)u[i] + 0.5 * (double)x[i] - (double)y[i]) <= 3e-6);
    }
    cq_context ctx = context(NULL);
    float zero[3] = {0, 0, 0}, g[3] = {-1e30f, 1e30f, -100.0f}, one[3] = {1, 1, 1};
    cq_rmsnorm(&ctx, zero, zero, NULL, 3, 1e-6f);
    assert_true(zero[0] == 0 && zero[2] == 0);
    cq_silu_mul(&ctx, g, one, 3);
    assert_true(g[0] == 0 && g[1] == 1e30f && g[2] <= 0 && g[2] > -1e-30f);
}

/* --------------------------------------------------------------------------------------- the same bits everywhere */

static uint64_t fnv(uint64_t h, const void *p, size_t n) {
    const unsigned char *b = (const unsigned char *)p;
    while (n--) h = (h ^ *b++) * 1099511628211ull;
    return h;
}
static uint64_t fnv_floats(uint64_t h, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char b[4];
        cq__put32(b, to_bits(x[i]));
        h = fnv(h, b, 4);
    }
    return h;
}
/* catches: a compiler, an option (-O3, -march=native, -ffp-contract=fast), a byte order or a tier that changes a bit; a
   layout that changes without a new version. The number was computed once, from the plain C code. */
#define GOLDEN_PACKED 0x8a3d35c8f6609736ull
#define GOLDEN_RESULTS 0xec6674225381e806ull
#define GOLDEN_SMALL_PACKED 0x662f4fcb41217d8dull
#define GOLDEN_SMALL_RESULTS 0xe2da0b208bf9f0c8ull
static void test_golden(void **state) {
    (void)state;
    enum { ROWS = 37, COLS = 100, N = 6 };
    FOR_TIERS(ctx) {
        uint64_t packed = 14695981039346656037ull, results = packed;
        float w[ROWS * COLS], x[N * COLS], y[N * ROWS], c[COLS * COLS];
        for (size_t i = 0; i < ROWS * COLS; i++) w[i] = (float)(int32_t)(cq_random(1, 2, i) & 0xffffff)
            / 8388608.0f - 1.0f;
        for (size_t i = 0; i < N * COLS; i++) x[i] = (float)(int32_t)(cq_random(3, 4, i) & 0xffffff)
            / 4194304.0f - 2.0f;
        cq_acts a;
        cq_arena size = cq_arena_over(NULL, 0);
        cq_acts_alloc(&a, &size, N, COLS);
        void *mem = must(size.used);
        cq_arena arena = cq_arena_over(mem, size.used);
        cq_acts_alloc(&a, &arena, N, COLS);
        cq_quantize_acts(&ctx, &a, x, COLS, N, COLS);
        uint64_t small[2] = {packed, packed}; /* small floats apart */
        for (int f = 0; f < CQ_FORMAT_COUNT; f++)
            for (int asym = 0; asym < (cq_format_is_int((cq_format)f) ? 2 : 1); asym++) {
                cq_tensor t;
                assert_int_equal(cq_tensor_init(&t, (cq_format)f, CQ_PANELS, ROWS, COLS, f >= CQ_INT8 ? 32 : 0, asym,
                    NULL), CQ_OK);
                unsigned char *data = (unsigned char *)must(t.bytes);
                assert_int_equal(cq_quantize_rtn(&t, data, w, COLS, NULL), CQ_OK);
                uint64_t *sum[2] = {f < CQ_FP8 ? &packed : &small[0], f < CQ_FP8 ? &results : &small[1]};
                *sum[0] = fnv(*sum[0], data, t.bytes);
                cq_matmul(&ctx, y, ROWS, &t, NULL, x, COLS, N, false);
                *sum[1] = fnv_floats(*sum[1], y, N * ROWS);
                if (cq_format_has_q8((cq_format)f)) cq_matmul_q8(&ctx, y, ROWS, &t, NULL, &a, N, true);
                *sum[1] = fnv_floats(*sum[1], y, N * ROWS);
                free(data);
            }
        memset(c, 0, sizeof c);
        syrk(&ctx, c, COLS, w, COLS, ROWS, NULL, COLS);
        results = fnv_floats(results, c, COLS * COLS);
        cq_rmsnorm(&ctx, x, x, NULL, COLS, 1e-6f);
        cq_silu_mul(&ctx, x + COLS, x, COLS);
        cq_softmax(&ctx, x + 2 * COLS, 3 * COLS);
        for (size_t i = 0; i < COLS; i++) {
            cq_sincosf(x[i] * 1000.0f, &x[5 * COLS + i], &x[4 * COLS + i]);
            x[3 * COLS + i] = cq_logf(x[3 * COLS + i]) + cq_powf(1e4f, x[i] * 0.1f) + cq_sqrtf(x[5 * COLS + i] + 1.0f);
        }
        results = fnv_floats(results, x, N * COLS);
        free(mem);
        if (packed != GOLDEN_PACKED || results != GOLDEN_RESULTS)
            fail_msg("%s: packed %016llx, results %016llx", ctx.k->name, (unsigned long long)packed,
                (unsigned long long)results);
        if (small[0] != GOLDEN_SMALL_PACKED || small[1] != GOLDEN_SMALL_RESULTS)
            fail_msg("%s: small floats packed %016llx, results %016llx", ctx.k->name, (unsigned long long)small[0],
                (unsigned long long)small[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expf),         cmocka_unit_test(test_logf),
        cmocka_unit_test(test_sqrtf),        cmocka_unit_test(test_sincosf),
        cmocka_unit_test(test_powf),         cmocka_unit_test(test_half_floats),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_status),
        cmocka_unit_test(test_arena),        cmocka_unit_test(test_context),
        cmocka_unit_test(test_tensor_init),  cmocka_unit_test(test_pack_int),
        cmocka_unit_test(test_pack_float),   cmocka_unit_test(test_grids),
        cmocka_unit_test(test_minis),        cmocka_unit_test(test_mini_grids),
        cmocka_unit_test(test_rtn),          cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_q8),    cmocka_unit_test(test_q8_largest_group),
        cmocka_unit_test(test_quantize_acts), cmocka_unit_test(test_quantize_acts_bits), cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_lane_order),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_syrk_gemm), cmocka_unit_test(test_fmaf),
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_norm_and_silu), cmocka_unit_test(test_golden),
    };
    find_tiers();
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
