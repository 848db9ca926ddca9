/* The denoiser and the samplers: schedule, filters and draws against independent ones, whole generations against ids of
   the reference (tests/golden/generate.h), every refusal once.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_generate.c -lcmocka -lm
   Run in the root of the repository, or define GOLDEN_DIR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"
#include "golden/generate.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t rng_state = 1;
static uint32_t rng(void) { return (uint32_t)(cq_random(99, 0, rng_state++) >> 32); }
static float rng_float(float lo, float hi) { return lo + (hi - lo) * (float)(rng() >> 8) / 16777216.0f; }

static cq_generate_desc desc_zero(void) {
    cq_generate_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

/* ---- names and schedule ------------------------------------------------------------------------------------------ */
/* Catches: names that the command line and the reports do not share with the reference. */
static void test_names(void **state) {
    (void)state;
    assert_string_equal(cq_alg_name(CQ_ALG_ORIGIN), "origin");
    assert_string_equal(cq_alg_name(CQ_ALG_MASKGIT_PLUS), "maskgit_plus");
    assert_string_equal(cq_alg_name(CQ_ALG_TOPK_MARGIN), "topk_margin");
    assert_string_equal(cq_alg_name(CQ_ALG_ENTROPY), "entropy");
    assert_null(cq_alg_name(CQ_ALG_COUNT));
}

/* Catches: a schedule that is off by one anywhere. The numbers are those of the reference (float32, torch.linspace). */
static void test_schedule_table(void **state) {
    static const struct {
        size_t n, steps;
        float eps;
        size_t take[16];
    } table[] = {
        {32, 16, 0.001f, {1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3}},
        {32, 8, 0.001f, {3, 4, 4, 4, 4, 4, 4, 5}},
        {8, 8, 0.001f, {0, 1, 1, 1, 1, 1, 1, 2}},
        {5, 12, 0.001f, {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2}},
        {12, 5, 0.001f, {2, 2, 2, 2, 4}},
        {20, 7, 0.1f, {2, 2, 2, 2, 3, 3, 6}},
        {64, 3, 0.5f, {10, 10, 44}},
        {1, 1, 0.001f, {1}},
        {100, 6, 0.001f, {16, 16, 16, 17, 17, 18}},
    };
    (void)state;
    for (size_t t = 0; t < COUNT(table); t++) {
        size_t left = table[t].n;
        for (size_t i = 0; i < table[t].steps; i++) {
            size_t take = cq__gen_quota(left, table[t].eps, table[t].steps, i);
            assert_int_equal(take, table[t].take[i]);
            left -= take;
        }
        assert_int_equal(left, 0);
    }
}

/* Catches: float rounding that changes a number somewhere: with eps 0.001 plain double gives the same sequences. */
static void test_schedule_double(void **state) {
    (void)state;
    for (size_t n = 1; n <= 70; n++)
        for (size_t steps = 1; steps <= 70; steps += n % 3 + 1) {
            size_t left = n;
            for (size_t i = 0; i < steps; i++) {
                double t = 1 + (0.001 - 1) * (double)i / (double)steps;
                double s = 1 + (0.001 - 1) * (double)(i + 1) / (double)steps;
                size_t want = i + 1 == steps ? left : (size_t)((double)left * (1 - s / t));
                size_t take = cq__gen_quota(left, 0.001f, steps, i);
                assert_int_equal(take, want);
                left -= take;
            }
            assert_int_equal(left, 0);
        }
    /* extremes must neither wrap nor take more than there is */
    assert_int_equal(cq__gen_quota(0, 0.001f, 5, 2), 0);
    for (size_t i = 0; i < 16777216; i += 99991) assert_true(cq__gen_quota(4000, 0.001f, 16777216, i) <= 4000);
    assert_int_equal(cq__gen_quota(7, 0.001f, 1, 5), 7); /* past the end: all */
}

/* ---- filters ----------------------------------------------------------------------------------------------------- */
typedef struct item {
    float x;
    size_t id;
} item;
static int item_before(const void *a, const void *b) { /* falling value, then rising id */
    const item *p = (const item *)a, *q = (const item *)b;
    if (p->x != q->x) return p->x > q->x ? -1 : 1;
    return p->id < q->id ? -1 : p->id > q->id;
}
/* What the reference says, word by word, in double: returns how far the nearest decision of top_p was from its edge. */
static double brute_filter(const float *x, size_t n, float top_p, size_t top_k, bool *kept) {
    item s[300];
    double sum = 0, cum = 0, edge = 1;
    for (size_t i = 0; i < n; i++) {
        s[i].x = x[i];
        s[i].id = i;
        kept[i] = true;
    }
    qsort(s, n, sizeof s[0], item_before);
    for (size_t i = 0; i < n; i++) sum += exp((double)s[i].x - (double)s[0].x);
    if (top_p > 0 && top_p < 1)
        for (size_t i = 0; i < n; i++) { /* removed when those before it have more than top_p */
            if (i && cum > (double)top_p) kept[s[i].id] = false;
            if (i) edge = fmin(edge, fabs(cum - (double)top_p));
            cum += exp((double)s[i].x - (double)s[0].x) / sum;
        }
    if (top_k) {
        size_t left = 0, k = top_k < n ? top_k : n;
        for (size_t i = 0; i < n; i++) left += kept[i];
        if (left >= k)
            for (size_t i = 0; i < n; i++)
                if (x[i] < s[k - 1].x) kept[i] = false;
    }
    return edge;
}

/* Catches: a selection by histogram that is not what sorting gives: ties, both signs, +0 and -0, any digit of a key */
static void test_filters(void **state) {
    const cq__kernels *k = &cq__kernels_c;
    size_t checked = 0;
    (void)state;
    for (size_t trial = 0; trial < 3000; trial++) {
        float x[300], y[300], spread = rng_float(0.01f, 12.0f), offset = rng_float(-30.0f, 30.0f);
        bool kept[300];
        size_t n = 1 + rng() % (trial % 10 ? 40 : 300), top_k = trial % 3 ? rng() % (n + 2) : 0;
        float top_p = trial % 4 ? rng_float(0.0f, 1.02f) : 0.0f;
        for (size_t i = 0; i < n; i++) {
            x[i] = rng_float(-spread, spread) + offset;
            if (trial & 1) x[i] = floorf(x[i]); /* many ties */
            if (rng() % 50 == 0) x[i] = rng() & 1 ? 0.0f : -0.0f;
        }
        if (brute_filter(x, n, top_p, top_k, kept) < 1e-6) continue; /* the edge itself is a matter of rounding */
        memcpy(y, x, sizeof y);
        float max = k->largest(y, n);
        if (top_p > 0.0f && top_p < 1.0f) cq__draw_top_p(y, n, max, top_p);
        if (top_k > 0 && top_k < n) cq__draw_top_k(y, n, top_k);
        for (size_t i = 0; i < n; i++) {
            if (kept[i]) assert_true(y[i] == x[i]);
            else assert_true(y[i] < -3e38f);
        }
        checked++;
    }
    assert_true(checked > 2500);
}

/* Catches: an edge that is reached exactly: 0.5 is not over 0.5, so the next one stays too; of equals the lower id. */
static void test_filter_edges(void **state) {
    float l2 = logf(2.0f);
    float x[] = {0.0f, l2, 0.0f, -1000.0f}; /* 1/4, 1/2, 1/4, 0 */
    (void)state;
    cq__draw_top_p(x, 4, l2, 0.499f);
    assert_true(x[1] == l2 && x[0] < -3e38f && x[2] < -3e38f && x[3] < -3e38f);
    float y[] = {0.0f, 0.0f, 0.0f, 0.0f}; /* four quarters */
    cq__draw_top_p(y, 4, 0.0f, 0.5f);
    assert_true(y[0] == 0.0f && y[1] == 0.0f && y[2] == 0.0f && y[3] < -3e38f);
    float z[] = {1.0f, 3.0f, 2.0f, 3.0f, 2.0f};
    cq__draw_top_k(z, 5, 3); /* the third largest is 2: both stay */
    assert_true(z[0] < -3e38f && z[1] == 3.0f && z[2] == 2.0f && z[3] == 3.0f && z[4] == 2.0f);
    float w[] = {5.0f, 1.0f};
    cq__draw_top_p(w, 2, 5.0f, 1e-30f); /* the first always stays */
    assert_true(w[0] == 5.0f && w[1] < -3e38f);
    float v[] = {0.0f, -0.0f, -1.0f};
    cq__draw_top_k(v, 3, 1); /* the two zeros are equal */
    assert_true(v[0] == 0.0f && v[1] == 0.0f && v[2] < -3e38f);
}

/* ---- draws ------------------------------------------------------------------------------------------------------- */
static void best_two(double p, double *first, double *second) { /* of all p so far */
    if (p > *first) {
        *second = *first;
        *first = p;
    } else if (p > *second) {
        *second = p;
    }
}

/* Catches: confidence formulas, also of filtered distributions; ties that do not go to the lowest id. */
static void test_confidence(void **state) {
    (void)state;
    for (size_t trial = 0; trial < 500; trial++) {
        float x[64], y[64];
        bool kept[300];
        size_t n = 2 + rng() % 60, best = 0;
        cq_generate_desc d = desc_zero();
        d.top_k = trial & 1 ? 1 + rng() % n : 0;
        d.top_p = trial & 2 ? rng_float(0.1f, 0.99f) : 0.0f;
        for (size_t i = 0; i < n; i++) x[i] = rng_float(-6, 6);
        if (trial % 5 == 0)
            for (size_t i = 0; i < n; i++) x[i] = floorf(x[i]);
        for (size_t i = 1; i < n; i++)
            if (x[i] > x[best]) best = i;
        if (brute_filter(x, n, d.top_p, d.top_k, kept) < 1e-6) continue;
        double sum = 0, first = 0, second = 0, entropy = 0;
        for (size_t i = 0; i < n; i++) sum += kept[i] ? exp((double)x[i]) : 0;
        for (size_t i = 0; i < n; i++) {
            double p = kept[i] ? exp((double)x[i]) / sum : 0;
            entropy += p * log(p + 1e-10);
            best_two(p, &first, &second);
        }
        for (int alg = 0; alg < CQ_ALG_COUNT; alg++) {
            float conf = 7;
            double want = alg == CQ_ALG_TOPK_MARGIN ? first - second : alg == CQ_ALG_ENTROPY ? entropy : first;
            d.alg = (cq_alg)alg;
            memcpy(y, x, sizeof y);
            assert_int_equal(cq_sample(y, n, &d, 1, 2, &conf), best);
            assert_true(fabs((double)conf - want) < 2e-6 * (1 + fabs(want)));
            memcpy(y, x, sizeof y);
            assert_int_equal(cq_sample(y, n, &d, 1, 2, NULL), best);
        }
    }
}

/* Catches: an undefined conversion, an index outside, an endless loop on what a broken model may give. */
static void test_hostile_logits(void **state) {
    float nan_ = cq__float(0x7fc00000u), inf = cq__float(0x7f800000u);
    (void)state;
    for (int alg = 0; alg < CQ_ALG_COUNT; alg++)
        for (int mode = 0; mode < 8; mode++) {
            cq_generate_desc d = desc_zero();
            float conf = 0;
            d.alg = (cq_alg)alg;
            d.temperature = mode & 1 ? (mode & 4 ? 1e-30f : 0.7f) : 0.0f;
            d.top_p = mode & 2 ? 0.9f : 0.0f;
            d.top_k = mode & 4 ? 2 : 0;
            float a[] = {nan_, nan_, -inf};
            assert_int_equal(cq_sample(a, 3, &d, 0, 0, &conf), 0);
            assert_true(conf < -3e38f);
            float b[] = {nan_, 1.0f, -inf, nan_};
            assert_int_equal(cq_sample(b, 4, &d, 0, 0, &conf), 1);
            assert_true(conf == (alg == CQ_ALG_ENTROPY ? conf : 1.0f) && conf == conf);
            float c[] = {2.0f, inf, -inf, 5.0f};
            assert_int_equal(cq_sample(c, 4, &d, 0, 0, &conf), 1);
            assert_true(conf == conf);
            float e[] = {-4.0f};
            assert_int_equal(cq_sample(e, 1, &d, 0, 0, &conf), 0);
            assert_true(fabsf(conf - (alg == CQ_ALG_ENTROPY ? 0.0f : 1.0f)) < 1e-6f);
            float f[] = {-inf, -inf, -1e38f}; /* too low for the low temperature */
            assert_int_equal(cq_sample(f, 3, &d, 0, 0, &conf), d.temperature == 1e-30f ? 0 : 2);
        }
}

/* Catches: a draw that does not follow the filtered, tempered distribution. Chi-squared, 99.99% quantiles; the seed is
   fixed, so the test does not vary. */
static void test_sampling_distribution(void **state) {
    static const float logits[8] = {1.0f, 0.2f, -0.5f, 2.0f, -3.0f, 0.9f, 0.0f, 1.5f};
    enum { DRAWS = 40000 };
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        double p[8], sum = 0, chi = 0;
        size_t hits[8] = {0}, cells = 0;
        bool kept[300];
        float tempered[8];
        cq_generate_desc d = desc_zero();
        d.temperature = 0.7f;
        d.top_p = mode == 1 ? 0.8f : 0.0f;
        d.top_k = mode == 2 ? 5 : 0;
        d.seed = 7;
        for (size_t i = 0; i < 8; i++) tempered[i] = logits[i] / d.temperature;
        brute_filter(tempered, 8, d.top_p, d.top_k, kept);
        for (size_t i = 0; i < 8; i++) sum += p[i] = kept[i] ? exp((double)tempered[i]) : 0;
        for (size_t t = 0; t < DRAWS; t++) {
            float x[8], conf;
            memcpy(x, logits, sizeof x);
            int32_t token = cq_sample(x, 8, &d, t, 3, &conf);
            assert_true(token >= 0 && token < 8 && kept[token]);
            assert_true(fabs((double)conf - p[token] / sum) < 1e-5); /* of the token drawn, not of the likeliest */
            hits[token]++;
        }
        for (size_t i = 0; i < 8; i++) {
            double want = p[i] / sum * DRAWS;
            if (!kept[i]) continue;
            chi += ((double)hits[i] - want) * ((double)hits[i] - want) / want;
            cells++;
        }
        assert_true(cells == (mode == 0 ? 8u : mode == 2 ? 5u : cells) && cells >= 3);
        assert_true(chi < 29.9); /* 7 degrees of freedom at most */
    }
}

/* ---- choice ------------------------------------------------------------------------------------------------------ */
/* A generator without a model: only what the choice touches. */
typedef struct fake {
    cq_model m;
    cq_session s;
    cq_generator g;
    int32_t ids[16], token[16];
    uint32_t where[16];
    float confidence[16];
} fake;
static void fake_init(fake *f, const float *confidence, size_t n) {
    memset(f, 0, sizeof *f);
    f->m.mask_id = 9;
    f->s.m = &f->m;
    f->g.s = &f->s;
    f->g.ids = f->ids;
    f->g.token = f->token;
    f->g.where = f->where;
    f->g.confidence = f->confidence;
    f->g.n = f->g.to = n;
    for (size_t i = 0; i < n; i++) {
        f->ids[i] = 9;
        f->token[i] = (int32_t)(100 + i);
        f->where[i] = (uint32_t)i;
        f->confidence[i] = confidence[i];
    }
}

/* Catches: ties that do not go to the lowest position, a number of positions other than asked for. */
static void test_choose_surest(void **state) {
    static const float conf[6] = {0.5f, 0.9f, 0.5f, 0.9f, 0.1f, 0.5f};
    static const size_t order[6] = {1, 3, 0, 2, 5, 4};
    fake f;
    (void)state;
    for (size_t take = 1; take <= 6; take++) {
        fake_init(&f, conf, 6);
        assert_true(cq__gen_choose(&f.g, 6, take, false));
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(f.ids[order[i]], i < take ? (int32_t)(100 + order[i]) : 9);
    }
    fake_init(&f, conf, 6); /* all that reach the threshold, equality included */
    f.g.desc.threshold = 0.5f;
    assert_true(cq__gen_choose(&f.g, 6, 6, true));
    for (size_t i = 0; i < 6; i++) assert_int_equal(f.ids[i], i == 4 ? 9 : (int32_t)(100 + i));
    fake_init(&f, conf, 6); /* none does: the best one goes */
    f.g.desc.threshold = 0.95f;
    assert_true(cq__gen_choose(&f.g, 6, 6, true));
    for (size_t i = 0; i < 6; i++) assert_int_equal(f.ids[i], i == 1 ? 101 : 9);
    fake_init(&f, conf, 6); /* the model predicts the mask itself: nothing changed */
    for (size_t i = 0; i < 6; i++) f.token[i] = 9;
    assert_false(cq__gen_choose(&f.g, 6, 3, false));
    const float lost[3] = {-cq__float(0x7f800000u), -cq__float(0x7f800000u), -cq__float(0x7f800000u)};
    fake_init(&f, lost, 3); /* no confidence at all is still an order */
    assert_true(cq__gen_choose(&f.g, 3, 2, false));
    assert_true(f.ids[0] == 100 && f.ids[1] == 101 && f.ids[2] == 9);
}

/* Catches: Gumbel draws that are not a multinomial without replacement: chi-squared over all ordered pairs out of four
   would need the order; over the six pairs, with probabilities from the definition. */
static void test_choose_gumbel(void **state) {
    static const float conf[4] = {-0.3f, -1.0f, -0.1f, -2.0f};
    enum { DRAWS = 40000 };
    double w[4], sum = 0, chi = 0;
    size_t hits[16] = {0}, ones[4] = {0};
    fake f;
    (void)state;
    for (size_t i = 0; i < 4; i++) sum += w[i] = exp((double)conf[i] / 0.5);
    for (size_t t = 0; t < DRAWS; t++) {
        unsigned set = 0;
        fake_init(&f, conf, 4);
        f.g.desc.alg_temp = 0.5f;
        f.g.desc.seed = 3;
        f.g.step = t;
        cq__gen_choose(&f.g, 4, 2, false);
        for (size_t i = 0; i < 4; i++) set |= (f.ids[i] != 9 ? 1u : 0u) << i;
        hits[set]++;
        fake_init(&f, conf, 4);
        f.g.desc.alg_temp = 0.5f;
        f.g.desc.seed = 4;
        f.g.step = t;
        cq__gen_choose(&f.g, 4, 1, false);
        for (size_t i = 0; i < 4; i++) ones[i] += f.ids[i] != 9;
    }
    for (size_t i = 0; i < 4; i++) {
        double want = w[i] / sum * DRAWS;
        chi += ((double)ones[i] - want) * ((double)ones[i] - want) / want;
    }
    assert_true(chi < 21.1); /* 3 degrees of freedom, 99.99% */
    chi = 0;
    size_t seen = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = i + 1; j < 4; j++) {
            double want = w[i] / sum * w[j] / (sum - w[i]) + w[j] / sum * w[i] / (sum - w[j]);
            size_t got = hits[1u << i | 1u << j];
            seen += got;
            chi += ((double)got - want * DRAWS) * ((double)got - want * DRAWS) / (want * DRAWS);
        }
    assert_int_equal(seen, DRAWS);
    assert_true(chi < 25.7); /* 5 degrees of freedom */
}

/* Catches: noise that is infinite at either end of the random numbers. */
static void test_gumbel_ends(void **state) {
    (void)state;
    assert_true(fabsf(cq__gen_gumbel(0)) < 20.0f);
    assert_true(fabsf(cq__gen_gumbel(UINT64_MAX)) < 20.0f);
    assert_true(cq__gen_gumbel(UINT64_MAX) > cq__gen_gumbel(0));
}

/* ---- models ------------------------------------------------------------------------------------------------------ */
typedef struct net {
    unsigned char *config, *weights, *mem;
    size_t config_len, weights_len;
    cq_model m;
    cq_context ctx;
    cq_arena arena;
    size_t mark; /* of the arena, after the model */
} net;

static unsigned char *slurp(const char *model, const char *name, size_t *len) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s/%s", GOLDEN_DIR, model, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    unsigned char *data = (unsigned char *)malloc(1 << 20);
    *len = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

/* Calls the tasks last to first: a result that depends on their order differs from a plain loop's. */
static void backwards(void *user, size_t count, cq_task task, void *arg) {
    (void)user;
    while (count > 0) task(arg, --count);
}

static void net_open(net *t, const char *model, const char *isa, bool reverse) {
    cq_context_desc cd;
    cq_weights w;
    cq_error err;
    enum { MEMORY = 4 << 20 };
    memset(&cd, 0, sizeof cd);
    memset(&err, 0, sizeof err);
    cd.isa = isa;
    if (reverse) cd.parallel.run = backwards;
    assert_int_equal(cq_init(&t->ctx, &cd, &err), CQ_OK);
    t->config = slurp(model, "config.json", &t->config_len);
    t->weights = slurp(model, "model.safetensors", &t->weights_len);
    t->mem = (unsigned char *)malloc(MEMORY);
    t->arena = cq_arena_over(t->mem, MEMORY);
    if (cq_safetensors_read(t->weights, t->weights_len, 0, &t->arena, &w, &err) != CQ_OK ||
        cq_model_bind(&t->m, (const char *)t->config, t->config_len, &w, NULL, 0, &t->arena, &err) != CQ_OK)
        fail_msg("%s: %s", model, err.what);
    t->mark = t->arena.used;
}
/* The same weights with another description. */
static void net_describe(net *t, const char *text) {
    cq_weights w;
    cq_error err;
    t->arena.used = 0;
    if (cq_safetensors_read(t->weights, t->weights_len, 0, &t->arena, &w, &err) != CQ_OK ||
        cq_model_bind(&t->m, (const char *)t->config, t->config_len, &w, text, strlen(text), &t->arena, &err) != CQ_OK)
        fail_msg("%s: %s", text, err.what);
    t->mark = t->arena.used;
}
static void net_close(net *t) {
    free(t->config);
    free(t->weights);
    free(t->mem);
}
static void net_session(net *t, cq_session *s, size_t max_tokens, size_t max_rows) {
    cq_session_desc sd;
    memset(&sd, 0, sizeof sd);
    sd.max_tokens = max_tokens;
    sd.max_rows = max_rows;
    sd.tile = 5; /* several tiles, the last one short */
    t->arena.used = t->mark;
    assert_int_equal(cq_session_init(s, &t->ctx, &t->m, &sd, &t->arena, &t->arena, NULL), CQ_OK);
}

/* Runs to the end; fails if it does not come. */
static cq_generate_stats net_generate(net *t, const cq_generate_desc *d, int32_t *ids, size_t n, size_t prompt,
                                      const uint8_t *keep) {
    cq_session s;
    cq_generator g;
    cq_error err;
    memset(&err, 0, sizeof err);
    net_session(t, &s, n, 0);
    if (cq_generate_begin(&g, &s, d, ids, n, prompt, keep, &t->arena, &err) != CQ_OK) fail_msg("begin: %s", err.what);
    for (size_t i = 0; !g.done; i++) {
        assert_true(i < 1000);
        if (cq_generate_step(&g, &err) != CQ_OK) fail_msg("step %zu: %s", i, err.what);
    }
    assert_int_equal(cq_generate_step(&g, &err), CQ_OK); /* harmless when done */
    return g.stats;
}

static cq_generate_desc desc_golden(const golden_generate *c) {
    cq_generate_desc d = desc_zero();
    for (int a = 0; a < CQ_ALG_COUNT; a++)
        if (!strcmp(c->alg, cq_alg_name((cq_alg)a))) d.alg = (cq_alg)a;
    d.steps = (size_t)c->steps;
    d.eps = c->eps;
    d.top_p = c->top_p;
    d.top_k = (size_t)c->top_k;
    d.threshold = c->threshold;
    d.uniform = c->u;
    if (c->block_length) {
        d.cache = c->dual ? CQ_CACHE_DUAL : CQ_CACHE_PREFIX;
        d.block_length = (size_t)c->block_length;
    }
    return d;
}

/* Catches: any deviation from the reference's ids: schedule, shift, masks, positions, filters, caches, ties, on the
   fastest and on the plain tier, whatever the order of tasks. */
static void test_goldens(void **state) {
    size_t ran = 0;
    (void)state;
    for (int tier = 0; tier < 2; tier++) {
        net t;
        net_open(&t, "dream", tier ? "scalar" : NULL, tier == 1);
        for (size_t i = 0; i < golden_generation_count; i++) {
            const golden_generate *c = &golden_generations[i];
            size_t prompt = (size_t)c->prompt_len, fresh = (size_t)c->new_tokens, n = prompt + fresh;
            if (strcmp(c->model, "dream")) continue;
            cq_generate_desc d = desc_golden(c);
            for (size_t row = 0; row < (size_t)c->rows; row++) {
                int32_t ids[64];
                for (size_t p = 0; p < n; p++) ids[p] = p < prompt ? c->prompt[row * prompt + p] : t.m.mask_id;
                cq_generate_stats st = net_generate(&t, &d, ids, n, prompt, c->mask ? c->mask + row * prompt : NULL);
                for (size_t p = 0; p < n; p++)
                    if (ids[p] != c->ids[row * n + p])
                        fail_msg("%s: position %zu is %d instead of %d", c->name, p, ids[p], c->ids[row * n + p]);
                if (!c->block_length) assert_true(st.forwards <= st.steps && st.steps <= (size_t)c->steps);
            }
            ran++;
        }
        net_close(&t);
    }
    assert_true(ran >= 40);
}

/* Catches: rows, passes and lm_head rows that are computed without need (or left out). */
static void test_costs(void **state) {
    net t;
    int32_t ids[24];
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (size_t steps = 1; steps <= 14; steps++) {
        cq_generate_desc d = desc_zero();
        d.alg = CQ_ALG_MASKGIT_PLUS;
        d.steps = steps;
        size_t left = 8, forwards = 0, heads = 0;
        for (size_t i = 0; i < steps; i++) {
            size_t take = cq__gen_quota(left, 0.001f, steps, i);
            if (!take) continue;
            forwards++;
            heads += left; /* one row for each mask, no other */
            left -= take;
        }
        for (size_t p = 0; p < 12; p++) ids[p] = p < 4 ? (int32_t)p + 1 : t.m.mask_id;
        cq_generate_stats st = net_generate(&t, &d, ids, 12, 4, NULL);
        assert_int_equal(st.forwards, forwards);
        assert_int_equal(st.rows, forwards * 12);
        assert_int_equal(st.head_rows, heads);
    }
    /* left padding is not computed at all */
    uint8_t keep[6] = {0, 0, 0, 1, 1, 1};
    cq_generate_desc d = desc_zero();
    d.alg = CQ_ALG_ENTROPY;
    d.steps = 1;
    for (size_t p = 0; p < 10; p++) ids[p] = p < 6 ? 7 : t.m.mask_id;
    cq_generate_stats st = net_generate(&t, &d, ids, 10, 6, keep);
    assert_int_equal(st.rows, 7);
    /* caches: a full pass for each block, then windows of the rest or of the block */
    for (int dual = 0; dual < 2; dual++) {
        d = desc_zero();
        d.cache = dual ? CQ_CACHE_DUAL : CQ_CACHE_PREFIX;
        d.block_length = 4;
        d.threshold = 1e-6f; /* everything at once: one window for each block */
        for (size_t p = 0; p < 12; p++) ids[p] = p < 4 ? (int32_t)p + 1 : t.m.mask_id;
        st = net_generate(&t, &d, ids, 12, 4, NULL);
        assert_int_equal(st.forwards, 4);
        assert_int_equal(st.rows, dual ? 12 + 4 + 12 + 4 : 12 + 8 + 12 + 4);
        assert_int_equal(st.head_rows, 8);
    }
    /* nothing masked: nothing done */
    for (size_t p = 0; p < 12; p++) ids[p] = 5;
    st = net_generate(&t, &d, ids, 12, 4, NULL);
    assert_int_equal(st.forwards, 0);
    /* an empty tail of new tokens, and a mask in the prompt */
    d = desc_zero();
    ids[3] = t.m.mask_id;
    st = net_generate(&t, &d, ids, 12, 12, NULL);
    assert_true(st.forwards == 1 && ids[3] != t.m.mask_id);
    net_close(&t);
}

/* Catches: keys in a cache that are turned when they enter it, and not the queries of a later pass, or the other way
   around: R3 changes no weight, so the same text must come. */
static void test_turned_cache(void **state) {
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        int32_t ids[2][20];
        for (int turned = 0; turned < 2; turned++) {
            net t;
            cq_generate_desc d = desc_zero();
            net_open(&t, "dream", NULL, false);
            if (turned) net_describe(&t, "model Dream\nlike Dream\nattn = r3=12\n");
            assert_int_equal(t.m.onlines, turned);
            d.alg = CQ_ALG_ENTROPY;
            d.steps = 6;
            d.cache = mode == 0 ? CQ_CACHE_NONE : mode == 1 ? CQ_CACHE_PREFIX : CQ_CACHE_DUAL;
            d.block_length = 6;
            d.threshold = mode == 3 ? 0.2f : 0.0f;
            for (size_t p = 0; p < 20; p++) ids[turned][p] = p < 8 ? (int32_t)(3 * p + 1) : t.m.mask_id;
            net_generate(&t, &d, ids[turned], 20, 8, NULL);
            net_close(&t);
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    }
}

/* Catches: a mask that hides keys only. keep[q][k] = m[q] & m[k]: a row of padding sees nothing, and the first token
   behind the padding, if it is masked, is predicted by such a row. Compared with a pass that is given all pairs. */
static void test_padding_predicts(void **state) {
    static const uint8_t masks[3][8] = {{0, 0, 0, 1, 1, 1, 1, 1}, {1, 1, 0, 0, 1, 1, 0, 1}, {0, 0, 0, 0, 0, 0, 0, 0}};
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (size_t c = 0; c < 3; c++) {
        int32_t ids[12], want[12], positions[12], next = 0;
        uint8_t allow[144];
        cq_session s;
        cq_input in;
        cq_generate_desc d = desc_zero();
        float *logits = (float *)malloc(12 * t.m.vocab * sizeof(float));
        for (size_t p = 0; p < 12; p++) {
            ids[p] = want[p] = p >= 8 || p == 3 || p == 4 ? t.m.mask_id : (int32_t)(11 * p + 5);
            bool seen = p >= 8 || masks[c][p];
            positions[p] = seen ? next++ : 1;
            for (size_t k = 0; k < 12; k++) allow[p * 12 + k] = seen && (k >= 8 || masks[c][k]);
        }
        net_session(&t, &s, 12, 0);
        memset(&in, 0, sizeof in);
        in.ids = ids;
        in.n = in.ld_mask = 12;
        in.positions = positions;
        in.allow = allow;
        assert_int_equal(cq_forward(&s, &in, NULL), CQ_OK);
        cq_logits(&s, NULL, 12, logits);
        for (size_t p = 0; p < 12; p++)
            if (want[p] == t.m.mask_id) want[p] = cq_sample(logits + (p - 1) * t.m.vocab, t.m.vocab, &d, 0, 0, NULL);
        /* cq_sample overwrites a row, and no row serves two positions */
        d.steps = 1;
        net_generate(&t, &d, ids, 12, 8, masks[c]);
        assert_memory_equal(ids, want, sizeof ids);
        free(logits);
    }
    /* none but padding predicts: three rows, each in a pass of its own */
    int32_t ids[8], want[8];
    static const uint8_t most[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    for (size_t p = 0; p < 8; p++) ids[p] = want[p] = p >= 1 && p <= 3 ? t.m.mask_id : (int32_t)(11 * p + 5);
    for (size_t p = 1; p <= 3; p++) {
        static const uint8_t nothing[8] = {0};
        static const int32_t one = 1;
        int32_t id = ids[p - 1];
        float logits[96];
        cq_session s;
        cq_input in;
        cq_generate_desc d = desc_zero();
        net_session(&t, &s, 8, 0);
        memset(&in, 0, sizeof in);
        in.ids = &id;
        in.n = 1;
        in.visible = 8;
        in.positions = &one;
        in.keep = nothing;
        assert_int_equal(cq_forward(&s, &in, NULL), CQ_OK);
        cq_logits(&s, NULL, 1, logits);
        want[p] = cq_sample(logits, 96, &d, 0, 0, NULL);
    }
    assert_true(want[1] != want[2]); /* 5 and the mask predict them */
    cq_generate_desc d = desc_zero();
    d.steps = 1;
    net_generate(&t, &d, ids, 8, 8, most);
    assert_memory_equal(ids, want, sizeof ids);
    net_close(&t);
}

/* ---- distributions, end to end ----------------------------------------------------------------------------------- */
/* Two masks, two steps: the first step fills one of them (origin: each with the schedule's probability), the second
   what is left. The exact distribution of the two tokens is enumerated below in double from the logits of whole passes
   and the reference's formulas; cq_generate_step's is counted over many seeds. */
enum { CHI_N = 8, CHI_PROMPT = 7, CHI_A = 5, CHI_B = 7, CHI_VOCAB = 96 };
typedef struct exact {
    net *t;
    cq_session *s;
    const cq_generate_desc *d;
    const uint8_t *keep; /* (CHI_PROMPT) or NULL */
    double joint[CHI_VOCAB][CHI_VOCAB];
    double edge; /* how near a decision of top_p is to going the other way */
} exact;
typedef struct guess { /* of a masked position: */
    double p[CHI_VOCAB], sure[CHI_VOCAB]; /* the chance of each token, and how sure the alg is of it */
} guess;

/* The pass that the reference makes: a row sees what its mask and the key's allow; row p - 1 predicts position p. */
static void exact_guess(exact *e, const int32_t *ids, size_t position, guess *out) {
    static float logits[CHI_N * CHI_VOCAB];
    const cq_generate_desc *d = e->d;
    uint8_t allow[CHI_N * CHI_N];
    int32_t positions[CHI_N], next = 0;
    bool kept[300];
    double sum = 0, entropy = 0, first = 0, second = 0;
    cq_input in;
    memset(&in, 0, sizeof in);
    for (size_t p = 0; p < CHI_N; p++) {
        bool seen = p >= CHI_PROMPT || !e->keep || e->keep[p];
        positions[p] = seen ? next++ : 1;
        for (size_t k = 0; k < CHI_N; k++)
            allow[p * CHI_N + k] = seen && (k >= CHI_PROMPT || !e->keep || e->keep[k]);
    }
    in.ids = ids;
    in.n = in.ld_mask = CHI_N;
    in.positions = positions;
    in.allow = allow;
    assert_int_equal(cq_forward(e->s, &in, NULL), CQ_OK);
    cq_logits(e->s, NULL, CHI_N, logits);
    float *x = logits + (position - 1) * CHI_VOCAB;
    size_t best = 0;
    for (size_t v = 0; v < CHI_VOCAB; v++) {
        if (d->temperature > 0) x[v] /= d->temperature;
        if (x[v] > x[best]) best = v;
    }
    double edge = brute_filter(x, CHI_VOCAB, d->top_p, d->top_k, kept);
    if (edge < e->edge) e->edge = edge;
    for (size_t v = 0; v < CHI_VOCAB; v++) sum += out->p[v] = kept[v] ? exp((double)x[v] - (double)x[best]) : 0;
    for (size_t v = 0; v < CHI_VOCAB; v++) {
        double p = out->p[v] /= sum;
        entropy += p * log(p + 1e-10);
        best_two(p, &first, &second);
    }
    for (size_t v = 0; v < CHI_VOCAB; v++) {
        out->sure[v] = d->alg == CQ_ALG_ENTROPY       ? entropy
                       : d->alg == CQ_ALG_TOPK_MARGIN ? first - second
                                                      : out->p[v];
        if (!(d->temperature > 0)) out->p[v] = v == best; /* sure by what it would have been */
    }
}

/* Everything that can happen from step `step` on, `weight` its chance. A mask that is drawn stays open. */
static void exact_walk(exact *e, int32_t *ids, size_t step, double weight) {
    static const size_t where[2] = {CHI_A, CHI_B};
    const cq_generate_desc *d = e->d;
    int32_t mask = e->t->m.mask_id;
    bool open[2];
    guess *g = (guess *)calloc(2, sizeof *g);
    for (int j = 0; j < 2; j++) {
        open[j] = ids[where[j]] == mask;
        if (open[j] && step < 2) exact_guess(e, ids, where[j], &g[j]);
        else g[j].p[ids[where[j]]] = 1;
    }
    if (step == 1 || !(open[0] && open[1])) { /* the last step fills all that is open */
        for (size_t a = 0; a < CHI_VOCAB; a++)
            for (size_t b = 0; b < CHI_VOCAB; b++) e->joint[a][b] += weight * g[0].p[a] * g[1].p[b];
    } else if (d->alg == CQ_ALG_ORIGIN) {
        double time = (1 + (double)d->eps) / 2, go = 1 - time;
        exact_walk(e, ids, 1, weight * (1 - go) * (1 - go));
        for (size_t a = 0; a < CHI_VOCAB; a++)
            for (size_t b = 0; b < CHI_VOCAB; b++) {
                if (!(g[0].p[a] * g[1].p[b] > 0)) continue;
                if ((int32_t)a == mask || (int32_t)b == mask) fail_msg("the mask is drawn: choose another prompt");
                e->joint[a][b] += weight * go * go * g[0].p[a] * g[1].p[b];
            }
        for (int j = 0; j < 2; j++)
            for (size_t v = 0; v < CHI_VOCAB; v++) {
                if (!(g[j].p[v] > 0)) continue;
                ids[where[j]] = (int32_t)v;
                exact_walk(e, ids, 1, weight * go * (1 - go) * g[j].p[v]);
                ids[where[j]] = mask;
            }
    } else {
        double gone[2][CHI_VOCAB] = {{0}};
        for (size_t a = 0; a < CHI_VOCAB; a++)
            for (size_t b = 0; b < CHI_VOCAB; b++) {
                double p = g[0].p[a] * g[1].p[b], more = g[1].sure[b] - g[0].sure[a];
                double second = d->alg_temp > 0 ? 1 / (1 + exp(-more / (double)d->alg_temp)) : more > 0;
                gone[0][a] += p * (1 - second);
                gone[1][b] += p * second;
            }
        for (int j = 0; j < 2; j++)
            for (size_t v = 0; v < CHI_VOCAB; v++) {
                if (!(gone[j][v] > 0)) continue;
                ids[where[j]] = (int32_t)v;
                exact_walk(e, ids, 1, weight * gone[j][v]);
                ids[where[j]] = mask;
            }
    }
    free(g);
}

/* The 99.99% quantile of chi-squared (Wilson and Hilferty) */
static double chi_quantile(size_t degrees) {
    double k = (double)degrees, c = 1 - 2 / (9 * k) + 3.719 * sqrt(2 / (9 * k));
    return k * c * c * c;
}
/* Chi-squared of counts beside chances. What is expected fewer than 8 times is one cell, what has none must not be. */
static void chi_check(const char *name, const uint32_t *hits, const double *p, size_t cells, size_t draws) {
    double chi = 0, rest = 0, rest_hits = 0, sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < cells; i++) {
        double want = p[i] * (double)draws;
        sum += p[i];
        if (want < 8) {
            if (!(p[i] > 0) && hits[i]) fail_msg("%s: %u times what cannot be (cell %zu)", name, hits[i], i);
            rest += want;
            rest_hits += hits[i];
            continue;
        }
        chi += (hits[i] - want) * (hits[i] - want) / want;
        used++;
    }
    if (rest >= 8) {
        chi += (rest_hits - rest) * (rest_hits - rest) / rest;
        used++;
    }
    assert_true(fabs(sum - 1) < 1e-9 && used >= 2);
    if (chi > chi_quantile(used - 1))
        fail_msg("%s: chi-squared %.1f, %.1f at most (%zu cells)", name, chi, chi_quantile(used - 1), used);
}

/* Catches: a generation whose tokens do not follow the reference's distribution: temperature, filters, confidences of
   filtered distributions, positions drawn by alg_temp, a second step that does not see the first one's token, padding
   that is seen; rows of a batch (seeds that follow each other) that are not independent. */
static void test_distributions(void **state) {
    static const struct {
        const char *name;
        cq_alg alg;
        float temperature, top_p;
        size_t top_k;
        float alg_temp;
    } modes[] = {
        {"origin, top_p", CQ_ALG_ORIGIN, 0.7f, 0.9f, 0, 0},
        {"origin, top_k", CQ_ALG_ORIGIN, 1.0f, 0, 4, 0},
        {"maskgit_plus, top_p, alg_temp", CQ_ALG_MASKGIT_PLUS, 0.7f, 0.9f, 0, 0.3f},
        {"maskgit_plus, top_k", CQ_ALG_MASKGIT_PLUS, 1.0f, 0, 4, 0},
        {"topk_margin, both, alg_temp", CQ_ALG_TOPK_MARGIN, 1.3f, 0.8f, 6, 0.05f},
        {"entropy, top_p, alg_temp", CQ_ALG_ENTROPY, 0.7f, 0.9f, 0, 0.4f},
        {"entropy, alg_temp", CQ_ALG_ENTROPY, 0.5f, 0, 0, 0.2f},
        {"entropy, temperature 0, top_k, alg_temp", CQ_ALG_ENTROPY, 0, 0, 4, 0.2f},
    };
    static const uint8_t pad[CHI_PROMPT] = {0, 0, 1, 1, 1, 1, 1};
    static exact e[2];
    static uint32_t hits[2][CHI_VOCAB][CHI_VOCAB], both[CHI_VOCAB][CHI_VOCAB], filled[3]; /* so many, by step 0 */
    static double product[CHI_VOCAB][CHI_VOCAB];
#ifdef CQUANT_TEST_QUICK
    enum { DRAWS = 400 };
#else
    enum { DRAWS = 4000 };
#endif
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    assert_int_equal(t.m.vocab, CHI_VOCAB);
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        cq_session s;
        cq_generate_desc d = desc_zero();
        int32_t start[2][CHI_N], ids[CHI_N];
        net_session(&t, &s, CHI_N, 0);
        size_t mark = t.arena.used;
        d.alg = modes[mode].alg;
        d.steps = 2;
        d.eps = d.alg == CQ_ALG_ORIGIN ? 0.001f : 1e-9f; /* in float the first step halves time: one of two goes */
        d.temperature = modes[mode].temperature;
        d.top_p = modes[mode].top_p;
        d.top_k = modes[mode].top_k;
        d.alg_temp = modes[mode].alg_temp;
        memset(hits, 0, sizeof hits);
        memset(both, 0, sizeof both);
        memset(filled, 0, sizeof filled);
        for (size_t r = 0; r < 2; r++) { /* two rows of a batch, the first is padded */
            memset(&e[r], 0, sizeof e[r]);
            e[r].t = &t;
            e[r].s = &s;
            e[r].d = &d;
            e[r].keep = r ? NULL : pad;
            e[r].edge = 1;
            for (size_t p = 0; p < CHI_N; p++)
                start[r][p] = p == CHI_A || p == CHI_B ? t.m.mask_id : (int32_t)(9 * p + 4 * r + 3);
            memcpy(ids, start[r], sizeof ids);
            exact_walk(&e[r], ids, 0, 1);
            assert_true(e[r].edge > 1e-6);
        }
        for (size_t draw = 0; draw < DRAWS; draw++) {
            int32_t first[2];
            for (size_t r = 0; r < 2; r++) {
                cq_generator g;
                d.seed = 1000000 * (mode + 1) + 2 * draw + r;
                memcpy(ids, start[r], sizeof ids);
                t.arena.used = mark;
                assert_int_equal(cq_generate_begin(&g, &s, &d, ids, CHI_N, CHI_PROMPT, e[r].keep, &t.arena, NULL),
                                 CQ_OK);
                assert_int_equal(cq_generate_step(&g, NULL), CQ_OK);
                filled[(ids[CHI_A] != t.m.mask_id) + (ids[CHI_B] != t.m.mask_id)]++;
                while (!g.done) assert_int_equal(cq_generate_step(&g, NULL), CQ_OK);
                hits[r][ids[CHI_A]][ids[CHI_B]]++;
                first[r] = ids[CHI_A];
            }
            both[first[0]][first[1]]++;
        }
        double chance[2][CHI_VOCAB] = {{0}}, go = 1 - (1 + 0.001) / 2; /* origin: t goes from 1 to this, then to eps */
        double fills[2][3] = {{0, 1, 0}, {(1 - go) * (1 - go), 2 * go * (1 - go), go * go}};
        if (d.alg == CQ_ALG_ORIGIN) chi_check("origin, the first step", filled, fills[1], 3, 2 * DRAWS);
        else assert_int_equal(filled[1], 2 * DRAWS);
        for (size_t r = 0; r < 2; r++) {
            chi_check(modes[mode].name, &hits[r][0][0], &e[r].joint[0][0], CHI_VOCAB * CHI_VOCAB, DRAWS);
            for (size_t a = 0; a < CHI_VOCAB; a++)
                for (size_t b = 0; b < CHI_VOCAB; b++) chance[r][a] += e[r].joint[a][b];
        }
        for (size_t a = 0; a < CHI_VOCAB; a++)
            for (size_t b = 0; b < CHI_VOCAB; b++) product[a][b] = chance[0][a] * chance[1][b];
        chi_check("two rows of a batch", &both[0][0], &product[0][0], CHI_VOCAB * CHI_VOCAB, DRAWS);
    }
    net_close(&t);
}

/* Catches: text that depends on the tier, on the order of tasks or on anything but the seed; masks that stay. */
static void test_seeds(void **state) {
    (void)state;
    for (int mode = 0; mode < 5; mode++) {
        int32_t ids[4][20];
        for (int run = 0; run < 4; run++) {
            net t;
            cq_generate_desc d = desc_zero();
            net_open(&t, "dream", run == 1 ? "scalar" : NULL, run == 1);
            d.alg = mode == 0 ? CQ_ALG_ORIGIN : CQ_ALG_ENTROPY;
            d.steps = 6;
            d.temperature = mode == 1 ? 0.0f : 0.9f;
            d.alg_temp = mode == 1 ? 0.4f : 0.0f;
            d.top_p = mode == 2 ? 0.9f : 0.0f;
            d.cache = mode == 3 ? CQ_CACHE_PREFIX : mode == 4 ? CQ_CACHE_DUAL : CQ_CACHE_NONE;
            d.block_length = 6;
            d.threshold = mode == 4 ? 0.2f : 0.0f;
            d.seed = run == 3 ? 2 : 1;
            for (size_t p = 0; p < 20; p++) ids[run][p] = p < 8 ? (int32_t)(3 * p + 1) : t.m.mask_id;
            net_generate(&t, &d, ids[run], 20, 8, NULL);
            for (size_t p = 0; p < 20; p++) assert_true(ids[run][p] >= 0 && ids[run][p] < 96);
            net_close(&t);
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
        assert_memory_equal(ids[0], ids[2], sizeof ids[0]);
        assert_memory_not_equal(ids[0], ids[3], sizeof ids[0]);
        if (mode >= 3) assert_int_equal(ids[0][8], ids[3][8]); /* a block's first token is never drawn */
    }
}

/* Catches: masks left by the cached modes: a single step a block, and masks in the prompt; and a block without end when
   the model insists on the mask id (here: its favourite token is declared to be the mask). */
static void test_cache_corners(void **state) {
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int dual = 0; dual < 2; dual++)
        for (int threshold = 0; threshold < 2; threshold++) {
            int32_t ids[16];
            cq_generate_desc d = desc_zero();
            d.cache = dual ? CQ_CACHE_DUAL : CQ_CACHE_PREFIX;
            d.block_length = 4;
            d.steps = 2; /* one for each block */
            d.threshold = threshold ? 0.5f : 0.0f;
            for (size_t p = 0; p < 16; p++) ids[p] = p >= 8 || p == 2 || p == 5 ? t.m.mask_id : (int32_t)p;
            net_generate(&t, &d, ids, 16, 8, NULL);
            for (size_t p = 0; p < 16; p++) assert_true(ids[p] != t.m.mask_id);
            assert_true(ids[0] == 0 && ids[1] == 1 && ids[7] == 7);
        }
    int32_t mask = t.m.mask_id;
    static const int32_t favourites[] = {37, 12, 78, 24, 46, 66};
    bool stayed = false;
    for (size_t f = 0; f < COUNT(favourites); f++)
        for (int mode = 0; mode < 4; mode++) {
            int32_t ids[24];
            cq_generate_desc d = desc_zero();
            t.m.mask_id = favourites[f];
            d.alg = CQ_ALG_ENTROPY;
            d.cache = mode == 1 ? CQ_CACHE_PREFIX : mode ? CQ_CACHE_DUAL : CQ_CACHE_NONE;
            d.block_length = mode == 3 ? 1 : 8;
            d.threshold = mode >= 2 ? 0.9f : 0.0f;
            d.steps = 16;
            for (size_t p = 0; p < 24; p++) ids[p] = p < 8 ? 2 * (int32_t)p + 1 : t.m.mask_id;
            net_generate(&t, &d, ids, 24, 8, NULL); /* ends */
            for (size_t p = 8; p < 24; p++) stayed = stayed || ids[p] == t.m.mask_id;
        }
    assert_true(stayed); /* the case did occur */
    t.m.mask_id = mask;
    net_close(&t);
}

/* Catches: a threshold without a cache that is anything but entropy over the steps, and a cache without a threshold
   that follows alg. */
static void test_threshold_without_cache(void **state) {
    net t;
    int32_t a[16], b[16];
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int cached = 0; cached < 2; cached++) {
        cq_generate_desc d = desc_zero(), e = desc_zero();
        d.steps = e.steps = 4;
        d.cache = e.cache = cached ? CQ_CACHE_PREFIX : CQ_CACHE_NONE;
        d.block_length = e.block_length = 8;
        d.alg = CQ_ALG_TOPK_MARGIN;
        if (!cached) d.threshold = 0.3f;
        e.alg = CQ_ALG_ENTROPY;
        for (size_t p = 0; p < 16; p++) a[p] = b[p] = p < 8 ? 5 * (int32_t)p + 2 : t.m.mask_id;
        net_generate(&t, &d, a, 16, 8, NULL);
        net_generate(&t, &e, b, 16, 8, NULL);
        assert_memory_equal(a, b, sizeof a);
    }
    net_close(&t);
}

/* Catches: causal decoding that differs from transformers', also with a prompt run in parts; a missed end of text. */
static void test_causal(void **state) {
    size_t ran = 0;
    (void)state;
    for (size_t i = 0; i < golden_generation_count; i++) {
        const golden_generate *c = &golden_generations[i];
        size_t prompt = (size_t)c->prompt_len, fresh = (size_t)c->new_tokens, n = prompt + fresh;
        if (strcmp(c->alg, "greedy")) continue;
        for (int part = 0; part < 3; part++) {
            net t;
            cq_session s;
            cq_error err;
            int32_t ids[64];
            size_t count = 0;
            cq_generate_stats st;
            cq_generate_desc d = desc_zero();
            net_open(&t, c->model, part == 1 ? "scalar" : NULL, part == 1);
            net_session(&t, &s, n, part == 0 ? 0 : part == 1 ? 3 : 1);
            size_t used = t.arena.used;
            memcpy(ids, c->prompt, prompt * sizeof ids[0]);
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, fresh, -1, &count, &st, &t.arena, &err), CQ_OK);
            assert_int_equal(count, fresh);
            for (size_t p = 0; p < n; p++)
                if (ids[p] != c->ids[p])
                    fail_msg("%s: position %zu is %d instead of %d", c->model, p, ids[p], c->ids[p]);
            assert_int_equal(st.rows, n - 1);
            assert_int_equal(st.head_rows, fresh);
            /* the fourth token declared the end: it is kept, and the last */
            int32_t eos = c->ids[prompt + 3];
            size_t first = 0;
            while (c->ids[prompt + first] != eos) first++;
            t.arena.used = used;
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, fresh, eos, &count, NULL, &t.arena, &err), CQ_OK);
            assert_int_equal(count, first + 1);
            /* sampled: the seed decides */
            int32_t again[64];
            d.temperature = 1.0f;
            d.top_p = 0.95f;
            d.seed = 5;
            memcpy(again, c->prompt, prompt * sizeof ids[0]);
            t.arena.used = used;
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, fresh, -1, NULL, NULL, &t.arena, &err), CQ_OK);
            t.arena.used = used;
            assert_int_equal(cq_generate_next(&s, &d, again, prompt, fresh, -1, NULL, NULL, &t.arena, &err), CQ_OK);
            assert_memory_equal(ids, again, n * sizeof ids[0]);
            d.seed = 6;
            t.arena.used = used;
            assert_int_equal(cq_generate_next(&s, &d, again, prompt, fresh, -1, NULL, NULL, &t.arena, &err), CQ_OK);
            assert_memory_not_equal(ids, again, n * sizeof ids[0]);
            /* refusals */
            cq_arena none = cq_arena_over(NULL, 0), small = cq_arena_over(ids, 16);
            assert_int_equal(cq_generate_next(&s, &d, NULL, prompt, fresh, -1, NULL, NULL, &none, &err), CQ_OK);
            assert_int_equal(none.used, t.m.vocab * sizeof(float));
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, 1, -1, NULL, NULL, &small, &err), CQ_ERR_MEMORY);
            assert_int_equal(cq_generate_next(&s, &d, ids, 0, 1, -1, NULL, NULL, &t.arena, &err), CQ_ERR_ARG);
            for (size_t more = 1; more; more = more == 1 ? SIZE_MAX - fresh : 0)
                assert_int_equal(cq_generate_next(&s, &d, ids, prompt, fresh + more, -1, NULL, NULL, &t.arena, &err),
                                 CQ_ERR_ARG);
            d.temperature = -1.0f;
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, 1, -1, NULL, NULL, &t.arena, &err), CQ_ERR_ARG);
            d.temperature = 0.0f;
            t.arena.used = used;
            ids[1] = (int32_t)t.m.vocab;
            assert_int_equal(cq_generate_next(&s, &d, ids, prompt, 1, -1, &count, NULL, &t.arena, &err), CQ_ERR_RANGE);
            assert_int_equal(count, 0);
            cq_generator g;
            ids[1] = 1;
            assert_int_equal(cq_generate_begin(&g, &s, &d, ids, n, prompt, NULL, &t.arena, &err), CQ_ERR_UNSUPPORTED);
            net_close(&t);
            ran++;
        }
    }
    assert_int_equal(ran, 12);
}

/* Catches: a size query that differs from what is used, an arena that is written behind its end (address sanitizer),
   and arguments that are taken although they have no meaning. */
static void test_begin(void **state) {
    net t;
    cq_session s;
    cq_generator g;
    cq_error err;
    int32_t ids[16];
    uint8_t keep[8] = {0, 1, 1, 1, 1, 1, 1, 1};
    (void)state;
    net_open(&t, "dream", NULL, false);
    net_session(&t, &s, 16, 0);
    for (size_t p = 0; p < 16; p++) ids[p] = p < 8 ? (int32_t)p : t.m.mask_id;
    for (int with = 0; with < 16; with++) {
        static uint8_t allow[256];
        static float bias[256];
        cq_generate_desc d = desc_zero();
        cq_arena count = cq_arena_over(NULL, 0);
        const uint8_t *k = with % 4 == 1 ? keep : NULL;
        d.alg = CQ_ALG_ENTROPY;
        d.steps = 5;
        d.allow = with % 4 == 2 ? allow : NULL;
        d.bias = with % 4 == 3 ? bias : NULL;
        d.cache = with & 4 ? CQ_CACHE_STEPS : CQ_CACHE_NONE;
        d.temperature = with & 8 ? 0.5f : 0.0f;
        assert_int_equal(cq_generate_begin(&g, &s, &d, NULL, 16, 8, k, &count, &err), CQ_OK);
        unsigned char *mem = (unsigned char *)malloc(count.used);
        for (size_t size = 0; size < count.used; size += count.used / 37 + 1) {
            cq_arena small = cq_arena_over(mem, size);
            assert_int_equal(cq_generate_begin(&g, &s, &d, ids, 16, 8, k, &small, &err), CQ_ERR_MEMORY);
        }
        cq_arena less = cq_arena_over(mem, count.used - 1), exact = cq_arena_over(mem, count.used);
        assert_int_equal(cq_generate_begin(&g, &s, &d, ids, 16, 8, k, &less, &err), CQ_ERR_MEMORY);
        assert_int_equal(cq_generate_begin(&g, &s, &d, ids, 16, 8, k, &exact, &err), CQ_OK);
        assert_int_equal(exact.used, count.used);
        assert_false(g.done);
        free(mem);
    }
#define REFUSED(want, change)                                                                                          \
    do {                                                                                                               \
        cq_generate_desc d = desc_zero();                                                                              \
        size_t n = 16, prompt = 8;                                                                                     \
        d.steps = 4;                                                                                                   \
        change;                                                                                                        \
        t.arena.used = t.arena.size / 2;                                                                               \
        memset(&err, 0, sizeof err);                                                                                   \
        assert_int_equal(cq_generate_begin(&g, &s, &d, ids, n, prompt, NULL, &t.arena, &err), want);                   \
        assert_true(want == CQ_OK || (err.what && err.status == want && g.done));                                      \
    } while (0)
    REFUSED(CQ_OK, (void)n; (void)prompt);
    REFUSED(CQ_ERR_ARG, n = 0; prompt = 0);
    REFUSED(CQ_ERR_ARG, n = 4; prompt = 5);
    REFUSED(CQ_ERR_ARG, n = 17; (void)prompt);
    REFUSED(CQ_ERR_ARG, n = SIZE_MAX; (void)prompt);
    REFUSED(CQ_ERR_ARG, d.alg = CQ_ALG_COUNT);
    REFUSED(CQ_ERR_ARG, d.cache = CQ_CACHE_COUNT);
    REFUSED(CQ_ERR_ARG, d.steps = SIZE_MAX);
    REFUSED(CQ_ERR_ARG, d.eps = 1.0f);
    REFUSED(CQ_ERR_ARG, d.eps = -0.1f);
    REFUSED(CQ_ERR_ARG, d.eps = cq__float(0x7fc00000u));
    REFUSED(CQ_ERR_ARG, d.temperature = -1.0f);
    REFUSED(CQ_ERR_ARG, d.temperature = cq__float(0x7fc00000u));
    REFUSED(CQ_ERR_ARG, d.top_p = -0.5f);
    REFUSED(CQ_ERR_ARG, d.alg_temp = -0.5f);
    REFUSED(CQ_ERR_ARG, d.threshold = -0.5f);
    REFUSED(CQ_ERR_ARG, d.exit = -0.5f);
    REFUSED(CQ_ERR_ARG, d.exit = 0.5f); /* origin */
    REFUSED(CQ_ERR_ARG, d.exit = 0.5f; d.cache = CQ_CACHE_DUAL; d.block_length = 4; d.threshold = 0.5f);
    REFUSED(CQ_OK, d.exit = 0.5f; d.alg = CQ_ALG_ENTROPY);
    REFUSED(CQ_ERR_ARG, d.schedule = CQ_SCHEDULE_COUNT);
    REFUSED(CQ_ERR_ARG, d.schedule = CQ_SCHEDULE_EVEN; d.block_length = 3);
    REFUSED(CQ_OK, d.block_length = 3); /* without a cache and with Dream's schedule there are no blocks */
    REFUSED(CQ_ERR_ARG, d.allow = keep; d.bias = &d.eps);
    REFUSED(CQ_ERR_ARG, d.cache = CQ_CACHE_DUAL); /* 8 new tokens, blocks of 32 */
    REFUSED(CQ_ERR_ARG, d.cache = CQ_CACHE_PREFIX; d.block_length = 3);
    REFUSED(CQ_ERR_ARG, d.cache = CQ_CACHE_PREFIX; d.block_length = 4; d.steps = 3);
    REFUSED(CQ_OK, d.cache = CQ_CACHE_PREFIX; d.block_length = 4; d.steps = 3; d.threshold = 0.5f);
    REFUSED(CQ_OK, d.cache = CQ_CACHE_DUAL; d.block_length = 8; d.steps = 3);
    REFUSED(CQ_OK, d.cache = CQ_CACHE_DUAL; n = prompt);
    REFUSED(CQ_OK, d.steps = 0; d.eps = 0.0f; assert_true(d.alg == CQ_ALG_ORIGIN));
    assert_int_equal(g.desc.steps, 512);
    assert_true(g.desc.eps == 0.001f);
    int32_t mask = t.m.mask_id;
    t.m.mask_id = -1;
    REFUSED(CQ_ERR_ARG, d.steps = 1);
    t.m.mask_id = mask;
    net_session(&t, &s, 16, 15); /* one row too few */
    REFUSED(CQ_ERR_ARG, d.steps = 1);
    net_session(&t, &s, 16, 0);
    ids[2] = -7; /* an id outside the vocabulary is reported by the step */
    REFUSED(CQ_OK, d.steps = 1);
    assert_int_equal(cq_generate_step(&g, &err), CQ_ERR_RANGE);
    cq_generate_desc d = desc_zero();
    t.arena.used = t.mark;
    assert_int_equal(cq_generate_next(&s, &d, ids, 8, 1, -1, NULL, NULL, &t.arena, &err), CQ_ERR_UNSUPPORTED);
    net_close(&t);
}

/* ---- the streamed head ------------------------------------------------------------------------------------------- */
/* Catches: chunks that are joined wrongly: a maximum that comes first, last or in several chunks, what is no number,
   sums that depend on the tier; against sums in double. */
static void test_pick(void **state) {
    cq_context fast;
    (void)state;
    assert_int_equal(cq_init(&fast, NULL, NULL), CQ_OK);
    for (size_t trial = 0; trial < 120; trial++) {
        enum { MOST = 3000 };
        static float x[MOST], y[MOST];
        size_t n = trial % 3 ? 1 + rng() % MOST : 512 * (1 + rng() % 5), best = 0;
        float spread = rng_float(0.1f, 30.0f);
        for (size_t i = 0; i < n; i++) x[i] = rng_float(-spread, spread);
        if (trial % 4 == 1) x[rng() % n] = spread + rng_float(0.0f, 20.0f);
        if (trial % 4 == 2) x[rng() % n] = x[rng() % n] = spread + 1.0f; /* twice, or the same one */
        if (trial % 5 == 3)
            for (size_t i = 0; i < n; i += 1 + rng() % 5) x[i] = cq__float(i & 1 ? 0xff800000u : 0x7fc00000u);
        if (trial % 5 == 4)
            for (size_t i = 0; i < n && i < 600; i++) x[i] = cq__float(0x7fc00000u); /* a whole chunk that is nothing */
        double max = -1e300, sum = 0, second = -1e300, entropy = 0;
        for (size_t i = 0; i < n; i++) {
            if (!(x[i] > -3e38f)) continue;
            if ((double)x[i] > max) {
                second = max;
                max = (double)x[i];
                best = i;
            } else if ((double)x[i] > second) {
                second = (double)x[i];
            }
        }
        if (max < -1e299) continue;
        for (size_t i = 0; i < n; i++) sum += x[i] > -3e38f ? exp((double)x[i] - max) : 0;
        for (size_t i = 0; i < n; i++) {
            double p = x[i] > -3e38f ? exp((double)x[i] - max) / sum : 0;
            entropy += p > 0 ? p * log(p) : 0;
        }
        for (int alg = 0; alg < CQ_ALG_COUNT; alg++) {
            float conf[2];
            double want = alg == CQ_ALG_TOPK_MARGIN ? (1 - exp(second - max)) / sum
                          : alg == CQ_ALG_ENTROPY   ? entropy
                                                    : 1 / sum;
            for (int tier = 0; tier < 2; tier++) {
                cq__pick p;
                memcpy(y, x, n * sizeof *x);
                cq__pick_start(&p);
                cq__pick_row(tier ? fast.k : &cq__kernels_c, &p, y, n, 0, true, (cq_alg)alg);
                assert_int_equal(p.token, best);
                conf[tier] = cq__pick_confidence(&p, (cq_alg)alg);
                assert_true(fabs((double)conf[tier] - want) < 4e-6 * (1 + fabs(want)));
                memcpy(y, x, n * sizeof *x); /* in parts, as tiles of the head come */
                cq__pick_start(&p);
                for (size_t i = 0; i < n; i += 1024)
                    cq__pick_row(fast.k, &p, y + i, n - i < 1024 ? n - i : 1024, i, true, (cq_alg)alg);
                assert_true(cq__pick_confidence(&p, (cq_alg)alg) == conf[tier]);
            }
            assert_true(conf[0] == conf[1]);
        }
    }
}

/* The model with a vocabulary of several tiles, the last no multiple of 16: its rows over and over, a bit varied. */
enum { WIDE = 2 * 1024 + 500 + 3 };
static float *net_widen(net *t) {
    size_t cols = t->m.head.w.cols;
    float *w = (float *)malloc(2 * WIDE * cols * sizeof *w), *e = w + WIDE * cols;
    for (size_t v = 0; v < WIDE; v++) {
        cq_tensor_span(&t->m.head.w, v % 96, 0, cols, w + v * cols);
        cq_tensor_span(&t->m.embed, v % 96, 0, cols, e + v * cols);
        for (size_t c = 0; c < cols; c++) w[v * cols + c] += rng_float(-0.05f, 0.05f);
    }
    assert_int_equal(cq_tensor_init(&t->m.head.w, CQ_F32, CQ_ROWS, WIDE, cols, 0, false, NULL), CQ_OK);
    assert_int_equal(cq_tensor_init(&t->m.embed, CQ_F32, CQ_ROWS, WIDE, cols, 0, false, NULL), CQ_OK);
    t->m.head.w.data = (const unsigned char *)w;
    t->m.embed.data = (const unsigned char *)e;
    t->m.vocab = WIDE;
    return w;
}
static bool leave_rows(void *user, size_t steps, const uint32_t *where, size_t count, float *rows) {
    (void)where;
    (void)rows;
    *(size_t *)user += count;
    return steps < 1000;
}

/* Catches: a streamed head that gives another token or another bit of confidence than whole rows, in codes or floats,
   with what some heads do to their logits, for one row or more than a tile. */
static void test_streamed(void **state) {
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    float *wide = net_widen(&t);
    for (int mode = 0; mode < 13; mode++) {
        int32_t ids[2][48];
        float confidence[2][48];
        size_t calls = 0, prompt = mode == 5 ? 47 : 8, count = 0;
        cq_generate_stats st[2];
        unsigned char *panels = NULL;
        cq_tensor rows = t.m.head.w;
        if (mode == 6) t.m.head_normalize = true;
        if (mode == 7) t.m.head_scale = 0.37f;
        if (mode == 8) t.m.head_softcap = 2.5f;
        if (mode == 12) t.m.head.bias = (const unsigned char *)wide; /* numbers, whichever */
        if (mode >= 9) { /* panels, of codes from 10 on */
            cq_format format = mode == 9 ? CQ_BF16 : mode == 10 ? CQ_INT8 : CQ_INT4;
            cq_tensor *w = &t.m.head.w;
            assert_int_equal(cq_tensor_init(w, format, CQ_PANELS, WIDE, rows.cols, 0, false, NULL), CQ_OK);
            panels = (unsigned char *)malloc(w->bytes);
            assert_int_equal(cq_quantize_rtn(w, panels, wide, rows.cols, NULL), CQ_OK);
            w->data = panels;
        }
        for (int whole = 0; whole < 2; whole++) {
            cq_session s;
            cq_session_desc sd;
            cq_generator g;
            cq_error err;
            cq_generate_desc d = desc_zero();
            d.alg = mode < 4 ? (cq_alg)mode : CQ_ALG_ENTROPY;
            d.steps = mode == 5 ? 1 : 6;
            d.seed = 4;
            if (whole) {
                d.logits = leave_rows;
                d.user = &calls;
                d.head_rows = 3;
            }
            for (size_t p = 0; p < 48; p++) ids[whole][p] = p < prompt ? (int32_t)(53 * p + 1) % WIDE : t.m.mask_id;
            memset(&sd, 0, sizeof sd);
            sd.max_tokens = 48;
            sd.act_bits = mode >= 10 ? 8 : 0;
            t.arena.used = t.mark;
            assert_int_equal(cq_session_init(&s, &t.ctx, &t.m, &sd, &t.arena, &t.arena, NULL), CQ_OK);
            memset(&err, 0, sizeof err);
            if (cq_generate_begin(&g, &s, &d, ids[whole], 48, prompt, NULL, &t.arena, &err))
                fail_msg("begin: %s", err.what);
            assert_int_equal(g.whole, whole);
            if (mode == 5) { /* confidence of a single candidate */
                g.rounds = 2;
                assert_int_equal(cq__gen_masks(&g), 1);
                assert_int_equal(cq__gen_pass(&g, 0, 48, NULL, NULL), CQ_OK);
                assert_int_equal(cq__gen_predict(&g, &g.desc, true, false, 1, NULL), CQ_OK);
                count = 1;
            } else {
                assert_int_equal(cq_generate_step(&g, &err), CQ_OK);
                count = mode == 0 ? 0 : 40;
            }
            memcpy(confidence[whole], g.confidence, sizeof confidence[0]);
            while (!g.done) assert_int_equal(cq_generate_step(&g, &err), CQ_OK);
            st[whole] = g.stats;
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
        assert_memory_equal(confidence[0], confidence[1], count * sizeof(float));
        assert_int_equal(st[0].head_rows, st[1].head_rows);
        assert_int_equal(calls, st[1].head_rows);
        bool far = false; /* tokens from beyond the first tile do occur */
        for (size_t p = prompt; p < 48; p++) far = far || ids[0][p] >= 1024;
        assert_true(far || mode == 5);
        t.m.head.bias = NULL;
        t.m.head_normalize = false;
        t.m.head_scale = 1.0f;
        t.m.head_softcap = 0.0f;
        memcpy(&t.m.head.w, &rows, sizeof rows);
        free(panels);
    }
    free(wide);
    net_close(&t);
}

/* ---- exits, schedules, the inter-step cache ---------------------------------------------------------------------- */
/* Catches: exits that fill fewer than the schedule says, or anything less sure than was asked, or not all that is. */
static void test_exit(void **state) {
    static const float conf[6] = {-0.5f, -0.2f, -0.7f, -0.2f, -3.0f, -0.9f};
    fake f;
    net t;
    int32_t ids[3][20];
    size_t forwards[3];
    (void)state;
    fake_init(&f, conf, 6);
    f.g.desc.alg = CQ_ALG_ENTROPY;
    f.g.desc.exit = 0.7f;
    assert_true(cq__gen_choose(&f.g, 6, 1, false)); /* -0.7 is just sure enough */
    for (size_t i = 0; i < 6; i++) assert_int_equal(f.ids[i], i < 4 ? (int32_t)(100 + i) : 9);
    fake_init(&f, conf, 6);
    f.g.desc.alg = CQ_ALG_ENTROPY;
    f.g.desc.exit = 0.3f;
    assert_true(cq__gen_choose(&f.g, 6, 3, false)); /* two are; the third is the next best */
    for (size_t i = 0; i < 6; i++) assert_int_equal(f.ids[i], i == 0 || i == 1 || i == 3 ? (int32_t)(100 + i) : 9);
    const float chance[3] = {0.4f, 0.6f, 0.5f};
    for (int alg = CQ_ALG_MASKGIT_PLUS; alg <= CQ_ALG_TOPK_MARGIN; alg++) {
        fake_init(&f, chance, 3);
        f.g.desc.alg = (cq_alg)alg;
        f.g.desc.exit = 0.5f;
        f.g.desc.alg_temp = 0.5f; /* the noise decides over the others only */
        assert_true(cq__gen_choose(&f.g, 3, 1, false));
        assert_true(f.ids[0] == 9 && f.ids[1] == 101 && f.ids[2] == 102);
    }
    net_open(&t, "dream", NULL, false);
    for (int alg = CQ_ALG_MASKGIT_PLUS; alg < CQ_ALG_COUNT; alg++)
        for (int cache = 0; cache < CQ_CACHE_COUNT; cache++) {
            for (int k = 0; k < 3; k++) { /* not; never sure enough; always */
                cq_generate_desc d = desc_zero();
                bool entropy = alg == CQ_ALG_ENTROPY || cache == CQ_CACHE_PREFIX || cache == CQ_CACHE_DUAL;
                d.alg = (cq_alg)alg;
                d.cache = (cq_cache)cache;
                d.block_length = 6;
                d.steps = 12;
                if (k) d.exit = k == 1 ? (entropy ? 1e-7f : 1.5f) : (entropy ? 20.0f : 1e-9f);
                for (size_t p = 0; p < 20; p++) ids[k][p] = p < 8 ? (int32_t)(3 * p + 1) : t.m.mask_id;
                forwards[k] = net_generate(&t, &d, ids[k], 20, 8, NULL).forwards;
                for (size_t p = 0; p < 20; p++) assert_int_not_equal(ids[k][p], t.m.mask_id);
            }
            assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
            assert_int_equal(forwards[0], forwards[1]);
            assert_int_equal(forwards[2], cache == CQ_CACHE_PREFIX || cache == CQ_CACHE_DUAL ? 4 : 1);
        }
    net_close(&t);
}

/* Catches: an inter-step cache that, with all passes full, is not what no cache is, to the bit. */
static void test_steps_cache_full(void **state) {
    static const uint8_t pad[8] = {0, 0, 1, 1, 1, 1, 1, 1};
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int mode = 0; mode < CQ_ALG_COUNT * 8; mode++) {
        int32_t ids[2][20];
        cq_generate_stats st[2];
        for (int cached = 0; cached < 2; cached++) {
            cq_generate_desc d = desc_zero();
            d.alg = (cq_alg)(mode % CQ_ALG_COUNT);
            d.steps = 7;
            d.cache = cached ? CQ_CACHE_STEPS : CQ_CACHE_NONE;
            d.refresh = 1;
            d.exit = mode / 4 % 2 && d.alg != CQ_ALG_ORIGIN ? 0.9f : 0.0f;
            d.temperature = mode / 16 ? 0.7f : 0.0f;
            for (size_t p = 0; p < 20; p++)
                ids[cached][p] = p < 8 && p != 2 && p != 5 ? (int32_t)(7 * p + 3) : t.m.mask_id;
            st[cached] = net_generate(&t, &d, ids[cached], 20, 8, mode / 8 % 2 ? pad : NULL);
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
        assert_memory_equal(&st[0], &st[1], sizeof st[0]);
    }
    net_close(&t);
}

/* Catches: rows that should have been computed and were not, or the other way around, between full passes: a loop of
   its own over cq_forward, in which a row is left out when nothing about it has changed. */
static void test_steps_cache(void **state) {
    net t;
    (void)state;
    for (size_t refresh = 2; refresh < 20; refresh += 3)
        for (int shifts = 0; shifts < 2; shifts++) {
            enum { N = 24, P = 12, STEPS = 9 };
            int32_t ids[N], want[N], before[N];
            cq_session s;
            cq_generate_desc d = desc_zero();
            size_t rows = 0, heads = 0, passes = 0, left = N - P;
            net_open(&t, "dream", NULL, false);
            t.m.arch.shift = shifts;
            float *logits = (float *)malloc(N * t.m.vocab * sizeof(float));
            for (size_t p = 0; p < N; p++) ids[p] = want[p] = p < P ? (int32_t)(5 * p + 2) : t.m.mask_id;
            net_session(&t, &s, N, 0);
            for (size_t i = 0; i < STEPS; i++) {
                uint32_t slots[N];
                int32_t run[N], best[N];
                float sure[N];
                cq_input in;
                size_t take = cq__gen_quota(left, 0.001f, STEPS, i), n = 0;
                if (!take) continue;
                memset(&in, 0, sizeof in);
                for (size_t p = 0; p < N; p++) {
                    bool open = want[p] == t.m.mask_id, asked = shifts && p + 1 < N && want[p + 1] == t.m.mask_id;
                    if (passes % refresh == 0 || open || asked || want[p] != before[p]) {
                        run[n] = want[p];
                        slots[n++] = (uint32_t)p;
                    }
                }
                memcpy(before, want, sizeof want);
                in.ids = run;
                in.slots = slots;
                in.n = n;
                in.visible = N;
                assert_int_equal(cq_forward(&s, &in, NULL), CQ_OK);
                cq_logits(&s, NULL, n, logits);
                passes++;
                rows += n;
                heads += left;
                for (size_t p = 0; p < N; p++) {
                    size_t at = 0;
                    sure[p] = -1.0f;
                    if (want[p] != t.m.mask_id) continue;
                    while (slots[at] != (shifts ? p - 1 : p)) at++;
                    cq_generate_desc how = desc_zero();
                    how.alg = CQ_ALG_TOPK_MARGIN;
                    float copy[96];
                    memcpy(copy, logits + at * t.m.vocab, sizeof copy);
                    best[p] = cq_sample(copy, 96, &how, 0, 0, &sure[p]);
                }
                for (size_t k = 0; k < take; k++) {
                    size_t b = 0;
                    for (size_t p = 0; p < N; p++)
                        if (sure[p] > sure[b]) b = p;
                    want[b] = best[b];
                    sure[b] = -1.0f;
                }
                left -= take;
            }
            d.alg = CQ_ALG_TOPK_MARGIN;
            d.steps = STEPS;
            d.cache = CQ_CACHE_STEPS;
            d.refresh = refresh;
            d.schedule = CQ_SCHEDULE_TIME;
            cq_generate_stats st = net_generate(&t, &d, ids, N, P, NULL);
            assert_memory_equal(ids, want, sizeof ids);
            assert_int_equal(st.rows, rows);
            assert_int_equal(st.head_rows, heads);
            assert_int_equal(st.forwards, passes);
            assert_true(rows < passes * N);
            assert_int_equal(st.naive_forwards, STEPS);
            assert_int_equal(st.naive_rows, STEPS * N);
            free(logits);
            net_close(&t);
        }
}

/* Catches: LLaDA's schedule: its numbers, block after block with whole passes, and that it is the default where rows
   are not shifted. tests/reference/check_llada.py compares ids with LLaDA's own loop. */
static void test_even_schedule(void **state) {
    net t;
    (void)state;
    for (size_t m = 0; m < 40; m++)
        for (size_t steps = 1; steps < 45; steps++) {
            size_t left = m;
            for (size_t i = 0; i < steps; i++) {
                size_t take = cq__gen_share(m, steps, i), more = left % (steps - i) != 0;
                assert_int_equal(take, left / (steps - i) + more); /* what is left, shared out, rounded up */
                left -= take;
            }
            assert_int_equal(left, 0);
        }
    net_open(&t, "dream", NULL, false);
    t.m.arch.shift = false;
    for (int window = 0; window < 3; window++) {
        enum { N = 20, P = 8 };
        int32_t ids[N], history[6 * N];
        cq_generate_desc d = desc_zero();
        d.alg = CQ_ALG_MASKGIT_PLUS;
        d.steps = 6;
        d.block_length = 6; /* two blocks of 3 steps: 2, 2, 2 */
        d.cache = window == 0 ? CQ_CACHE_NONE : window == 1 ? CQ_CACHE_PREFIX : CQ_CACHE_DUAL;
        d.history = history;
        d.history_rows = 6;
        for (size_t p = 0; p < N; p++) ids[p] = p < P ? (int32_t)(5 * p + 2) : t.m.mask_id;
        cq_generate_stats st = net_generate(&t, &d, ids, N, P, NULL);
        assert_memory_equal(ids, history + 5 * N, sizeof ids);
        for (size_t i = 0; i < 6; i++) {
            size_t open = 0, beyond = 0;
            for (size_t p = P; p < N; p++) {
                open += history[i * N + p] == t.m.mask_id;
                beyond += p >= P + 6 && history[i * N + p] != t.m.mask_id;
            }
            assert_int_equal(open, 12 - 2 * (i + 1));
            if (i < 3) assert_int_equal(beyond, 0);
        }
        assert_int_equal(st.forwards, 6); /* the pass that enters a block fills some of it */
        t.m.arch.shift = true; /* with one that shifts, a round of it is the entry: all is filled, too */
        for (d.steps = 2; d.steps <= 12; d.steps += 2) {
            int32_t more[N];
            d.schedule = CQ_SCHEDULE_EVEN;
            d.history = NULL;
            for (size_t p = 0; p < N; p++) more[p] = p < P ? (int32_t)(5 * p + 2) : t.m.mask_id;
            net_generate(&t, &d, more, N, P, NULL);
            for (size_t p = 0; p < N; p++) assert_int_not_equal(more[p], t.m.mask_id);
        }
        t.m.arch.shift = false;
        assert_int_equal(st.rows, window == 0 ? 6 * N : window == 1 ? 2 * N + 2 * 12 + 2 * 6 : 2 * N + 4 * 6);
    }
    net_close(&t);
}

/* ---- hooks, history, masks --------------------------------------------------------------------------------------- */
typedef struct hooked {
    size_t calls, stop, rows;
    int32_t forced, mask_id;
    int32_t seen[40][20];
} hooked;
static bool on_tokens(void *user, size_t steps, int32_t *ids, size_t n) {
    hooked *h = (hooked *)user;
    assert_int_equal(steps, h->calls);
    if (steps == 3) ids[10] = h->mask_id; /* masked anew */
    if (steps == 5) ids[1] = 42;
    memcpy(h->seen[h->calls++], ids, n * sizeof *ids);
    return steps != h->stop;
}
static bool on_logits(void *user, size_t steps, const uint32_t *where, size_t count, float *rows) {
    hooked *h = (hooked *)user;
    (void)steps;
    for (size_t i = 0; i < count; i++)
        if (where[i] == 12) rows[i * 96 + (size_t)h->forced] = 1e9f;
    h->rows += count;
    return steps != h->stop;
}

/* Catches: hooks that are not called where the reference calls them, history that is not what they left, steps that
   are left out although a hook may mask anew; a generation that goes on although it was ended. */
static void test_hooks(void **state) {
    static hooked h;
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int cache = 0; cache < 2; cache++) {
        int32_t ids[20], history[12 * 20];
        cq_generate_desc d = desc_zero();
        memset(&h, 0, sizeof h);
        h.stop = SIZE_MAX;
        h.forced = 33;
        h.mask_id = t.m.mask_id;
        d.alg = CQ_ALG_ENTROPY;
        d.steps = 14;
        d.cache = cache ? CQ_CACHE_STEPS : CQ_CACHE_NONE;
        d.tokens = on_tokens;
        d.logits = on_logits;
        d.user = &h;
        d.history = history;
        d.history_rows = 12; /* two fewer than there are */
        for (size_t p = 0; p < 20; p++) ids[p] = p < 8 ? (int32_t)p + 20 : t.m.mask_id;
        cq_generate_stats st = net_generate(&t, &d, ids, 20, 8, NULL);
        assert_int_equal(st.steps, 14);
        assert_int_equal(h.calls, 15);
        assert_int_equal(h.rows, st.head_rows);
        assert_int_equal(ids[12], 33);
        assert_int_equal(ids[1], 42);
        for (size_t p = 0; p < 20; p++) assert_int_not_equal(ids[p], t.m.mask_id);
        for (size_t i = 0; i < 12; i++) assert_memory_equal(history + i * 20, h.seen[i + 1], sizeof ids);
        for (size_t stop = 0; stop < 6; stop += 2) { /* a hook ends it: before anything, after two steps, after four */
            for (int which = 0; which < 2; which++) {
                cq_session s;
                cq_generator g;
                cq_error err;
                cq_status status = CQ_OK;
                memset(&h, 0, sizeof h);
                h.stop = stop;
                h.mask_id = t.m.mask_id;
                d.tokens = which ? NULL : on_tokens;
                d.logits = which ? on_logits : NULL;
                d.steps = 7;
                for (size_t p = 0; p < 20; p++) ids[p] = p < 8 ? (int32_t)p + 20 : t.m.mask_id;
                net_session(&t, &s, 20, 0);
                assert_int_equal(cq_generate_begin(&g, &s, &d, ids, 20, 8, NULL, &t.arena, &err), CQ_OK);
                while (!g.done && status == CQ_OK) status = cq_generate_step(&g, &err);
                assert_int_equal(status, CQ_ERR_CANCELLED);
                assert_int_equal(err.status, CQ_ERR_CANCELLED);
                assert_true(g.done && g.step == stop);
                assert_int_equal(cq_generate_step(&g, &err), CQ_OK); /* nothing more */
                assert_int_equal(g.step, stop);
            }
        }
    }
    net_close(&t);
}

/* ---- cancelling -------------------------------------------------------------------------------------------------- */
typedef struct canceller {
    size_t calls, at, again, done; /* calls so far; false at this one, and at every `again`-th after it (0: at none) */
    bool fell, over, wrong;        /* done went back; it was false in this step; it was called after that */
} canceller;
static bool on_progress(void *user, size_t done, size_t total) {
    canceller *c = (canceller *)user;
    c->calls++;
    if (c->over || done > total) c->wrong = true;
    if (done < c->done) c->fell = true; /* the head begins anew */
    c->done = done;
    c->over = c->calls == c->at || (c->again && c->calls > c->at && (c->calls - c->at) % c->again == 0);
    return !c->over;
}

static void run_until_over(void *user, size_t count, cq_task task, void *arg) { /* cq_parallel.run */
    canceller *c = (canceller *)user;
    if (c->over) c->wrong = true;
    for (size_t i = 0; i < count; i++) task(arg, i);
}

/* Catches: a step that, cancelled in any product of any pass or tile of any head and called again, gives other ids,
   history or steps than one that was not; a cache that is left half new; a hook that is called twice; a cancelled pass
   that goes on. */
static void test_cancelled_steps(void **state) {
    static const uint8_t pad[8] = {0, 0, 1, 1, 1, 1, 1, 1};
    enum { N = 20, P = 8, MODES = 14, STEPS = 8 };
#ifdef CQUANT_TEST_QUICK
    enum { STRIDE = 23 };
#else
    enum { STRIDE = 1 };
#endif
    net t;
    size_t cancelled = 0, passes = 0;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int mode = 0; mode < MODES; mode++) {
        int32_t want[N], history[2][STEPS * N], prompt[N];
        size_t steps = 0, calls = 0;
        cq_generate_desc d = desc_zero();
        d.cache = (cq_cache)(mode % CQ_CACHE_COUNT);
        d.alg = mode % 3 ? CQ_ALG_ENTROPY : CQ_ALG_ORIGIN;
        d.steps = STEPS;
        d.block_length = 6;
        d.refresh = 3;
        d.threshold = mode >= 8 && mode < 11 ? 0.3f : 0.0f;
        d.temperature = mode >= 4 && mode < 8 ? 0.8f : 0.0f; /* whole rows of logits */
        d.head_rows = 3;
        d.history_rows = STEPS;
        t.m.arch.shift = mode < 12;
        memset(history, 0, sizeof history);
        for (size_t p = 0; p < N; p++) prompt[p] = p < P && p != 2 ? (int32_t)(7 * p + 3) : t.m.mask_id;
        for (size_t at = 0; at == 0 || at <= calls; at += at ? STRIDE : 1 + (size_t)mode % STRIDE) {
            int32_t ids[N];
            cq_session s;
            cq_session_desc sd;
            cq_generator g;
            canceller c;
            size_t tries = 0;
            memset(&sd, 0, sizeof sd);
            memset(&c, 0, sizeof c);
            c.at = at;
            c.again = at % 3 == 1 ? 97 : 0;
            sd.max_tokens = N;
            sd.tile = 7;
            sd.progress = on_progress;
            sd.user = &c;
            d.history = history[at != 0];
            memcpy(ids, prompt, sizeof ids);
            t.arena.used = t.mark;
            assert_int_equal(cq_session_init(&s, &t.ctx, &t.m, &sd, &t.arena, &t.arena, NULL), CQ_OK);
            assert_int_equal(cq_generate_begin(&g, &s, &d, ids, N, P, mode % 2 ? pad : NULL, &t.arena, NULL), CQ_OK);
            while (!g.done) {
                cq_error err;
                size_t before = g.step;
                c.over = false;
                cq_status status = cq_generate_step(&g, &err);
                assert_int_equal(status, c.over ? CQ_ERR_CANCELLED : CQ_OK);
                if (status != CQ_OK) assert_true(err.status == status && g.step == before && !g.done);
                tries += status != CQ_OK;
                assert_true(tries < 100);
            }
            assert_false(c.wrong);
            if (at == 0) {
                memcpy(want, ids, sizeof want);
                steps = g.step;
                calls = c.calls;
                passes += g.stats.forwards;
                assert_true(tries == 0 && c.fell && calls > 8 * g.stats.forwards);
                continue;
            }
            assert_true(tries >= 1);
            cancelled += tries;
            assert_memory_equal(ids, want, sizeof ids);
            assert_memory_equal(history[0], history[1], sizeof history[0]);
            assert_int_equal(g.step, steps);
        }
    }
    assert_true(passes > 60 && cancelled > 20 * MODES);
    t.m.arch.shift = true;
    /* the hook before the first step is called once; false from a hook is for ever */
    static hooked h;
    int32_t ids[N];
    cq_generate_desc d = desc_zero();
    cq_session s;
    cq_session_desc sd;
    cq_generator g;
    canceller c;
    memset(&h, 0, sizeof h);
    memset(&c, 0, sizeof c);
    memset(&sd, 0, sizeof sd);
    h.stop = 2;
    c.at = 5;
    sd.max_tokens = N;
    sd.progress = on_progress;
    sd.user = &c;
    d.alg = CQ_ALG_ENTROPY;
    d.steps = 4;
    d.tokens = on_tokens;
    d.user = &h;
    for (size_t p = 0; p < N; p++) ids[p] = p < P ? (int32_t)p : t.m.mask_id;
    t.arena.used = t.mark;
    assert_int_equal(cq_session_init(&s, &t.ctx, &t.m, &sd, &t.arena, &t.arena, NULL), CQ_OK);
    assert_int_equal(cq_generate_begin(&g, &s, &d, ids, N, P, NULL, &t.arena, NULL), CQ_OK);
    assert_int_equal(cq_generate_step(&g, NULL), CQ_ERR_CANCELLED);
    assert_true(h.calls == 1 && !g.done);
    c.over = false;
    assert_int_equal(cq_generate_step(&g, NULL), CQ_OK);
    assert_int_equal(h.calls, 2);
    assert_int_equal(cq_generate_step(&g, NULL), CQ_ERR_CANCELLED);
    assert_true(g.done);
    net_close(&t);
}

/* Catches: slots that a cancelled pass had no business with, a pass that is not what it would have been when it is run
   again, in every format of the cache; logits, too, of a pass after a cancelled one. */
static void test_cancelled_pass(void **state) {
    static const cq_format formats[] = {CQ_F32, CQ_F16, CQ_INT8};
    enum { N = 20, AT = 6, ROWS = 7 };
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (size_t f = 0; f < COUNT(formats); f++) {
        static float want[ROWS * 96], got[ROWS * 96];
        int32_t ids[N];
        cq_session s;
        cq_session_desc sd;
        canceller c;
        cq_error err;
        cq_input whole, part;
        memset(&sd, 0, sizeof sd);
        memset(&c, 0, sizeof c);
        memset(&whole, 0, sizeof whole);
        t.ctx.parallel.run = run_until_over; /* nothing for several threads is begun after it was cancelled */
        t.ctx.parallel.user = &c;
        sd.max_tokens = N;
        sd.tile = 4;
        sd.cache = formats[f];
        sd.progress = on_progress;
        sd.user = &c;
        t.arena.used = t.mark;
        assert_int_equal(cq_session_init(&s, &t.ctx, &t.m, &sd, &t.arena, &t.arena, NULL), CQ_OK);
        for (size_t p = 0; p < N; p++) ids[p] = (int32_t)(3 * p + 1);
        whole.ids = ids;
        whole.n = whole.visible = N;
        assert_int_equal(cq_forward(&s, &whole, NULL), CQ_OK);
        memcpy(&part, &whole, sizeof part);
        for (size_t p = 0; p < ROWS; p++) ids[p] = (int32_t)(5 * p + 2);
        part.n = ROWS;
        part.slot = AT;
        c.calls = 0;
        assert_int_equal(cq_forward(&s, &part, NULL), CQ_OK);
        cq_logits(&s, NULL, ROWS, want);
        size_t calls = c.calls, bytes = t.m.cache_dims * N * cq_format_bits(formats[f]) / 8;
        unsigned char *before = (unsigned char *)malloc(bytes);
        memcpy(before, s.cache, bytes);
        for (size_t at = 1; at <= calls; at++) {
            c.calls = 0;
            c.at = at;
            ids[1] = 88; /* what is cancelled is another pass over the same slots */
            assert_int_equal(cq_forward(&s, &part, &err), CQ_ERR_CANCELLED);
            assert_true(c.calls == at && !c.wrong && err.status == CQ_ERR_CANCELLED);
            for (size_t i = 0; i < bytes; i++) { /* (kv_heads, slots, 12) */
                size_t slot = i / (12 * cq_format_bits(formats[f]) / 8) % N;
                if (slot < AT || slot >= AT + ROWS) assert_int_equal(s.cache[i], before[i]);
            }
            c.at = 0;
            c.over = false;
            ids[1] = 7;
            assert_int_equal(cq_forward(&s, &part, &err), CQ_OK);
            cq_logits(&s, NULL, ROWS, got);
            assert_memory_equal(got, want, sizeof want);
            assert_memory_equal(s.cache, before, bytes);
        }
        free(before);
    }
    net_close(&t);
}

/* Catches: 4-D masks and positions that do not reach the passes, or the wrong row of them when only some rows run. */
static void test_masks(void **state) {
    static const uint8_t keep[8] = {0, 0, 1, 1, 1, 1, 1, 1};
    net t;
    (void)state;
    net_open(&t, "dream", NULL, false);
    for (int cache = 0; cache < CQ_CACHE_COUNT; cache++) {
        int32_t ids[4][20], positions[20];
        uint8_t allow[400], all[400];
        float bias[400];
        for (size_t q = 0; q < 20; q++) {
            positions[q] = q < 2 ? 1 : (int32_t)q - 2;
            for (size_t k = 0; k < 20; k++) {
                allow[q * 20 + k] = q >= 2 && k >= 2;
                all[q * 20 + k] = 1;
                bias[q * 20 + k] = q >= 2 && k >= 2 ? 0.0f : -cq__float(0x7f800000u);
            }
        }
        for (int mode = 0; mode < 4; mode++) {
            cq_generate_desc d = desc_zero();
            d.alg = CQ_ALG_ENTROPY;
            d.steps = 12;
            d.cache = (cq_cache)cache;
            d.block_length = 6;
            d.refresh = 3;
            d.allow = mode == 1 ? allow : mode == 3 ? all : NULL;
            d.bias = mode == 2 ? bias : NULL;
            d.positions = mode == 0 ? NULL : positions;
            for (size_t p = 0; p < 20; p++) ids[mode][p] = p < 8 ? (int32_t)(3 * p + 1) : t.m.mask_id;
            net_generate(&t, &d, ids[mode], 20, 8, mode == 0 ? keep : NULL);
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
        assert_memory_equal(ids[0], ids[2], sizeof ids[0]);
        assert_memory_not_equal(ids[0], ids[3], sizeof ids[0]);
    }
    net_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_schedule_table),
        cmocka_unit_test(test_schedule_double),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_filter_edges),
        cmocka_unit_test(test_confidence),
        cmocka_unit_test(test_hostile_logits),
        cmocka_unit_test(test_sampling_distribution),
        cmocka_unit_test(test_choose_surest),
        cmocka_unit_test(test_choose_gumbel),
        cmocka_unit_test(test_gumbel_ends),
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_turned_cache),
        cmocka_unit_test(test_padding_predicts),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_cache_corners),
        cmocka_unit_test(test_threshold_without_cache),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_streamed),
        cmocka_unit_test(test_exit),
        cmocka_unit_test(test_steps_cache_full),
        cmocka_unit_test(test_steps_cache),
        cmocka_unit_test(test_even_schedule),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_cancelled_steps),
        cmocka_unit_test(test_cancelled_pass),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
