/* Models: descriptions, binding, the forward pass, parts, rotation and quantisation of whole models, against the golden
   models of transformers and of the reference of Dream (tests/golden/README.md), and against themselves.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_models.c -lcmocka -lpthread -lm
   Run in the root of the repository, or define GOLDEN_DIR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"
#include "shared.h"

static uint64_t rng_state = 1;
static uint32_t rng(void) { return (uint32_t)(cq_random(7, 0, rng_state++) >> 32); }
static float rng_float(float lo, float hi) { return lo + (hi - lo) * (float)(rng() >> 8) / 16777216.0f; }

static bool names(const cq_error *err, const char *name) {
    return err->name_len == strlen(name) && !memcmp(err->name, name, err->name_len);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */
static void run_backwards(void *user, size_t count, cq_task task, void *arg) {
    (void)user;
    while (count-- > 0) task(arg, count);
}
/* Every way to run: each tier in a loop, backwards, and with 1, 2 and 3 threads. false: no such number */
static bool context_number(size_t number, cq_context *ctx) {
    static const size_t threads[] = {1, 2, 3};
    cq_context_desc d;
    memset(&d, 0, sizeof d);
    d.isa = cq_isa_available(number / 5);
    if (!d.isa) return false;
    if (number % 5) d.parallel.run = number % 5 == 1 ? run_backwards : run_threads;
    if (number % 5 > 1) d.parallel.user = (void *)(uintptr_t)&threads[number % 5 - 2];
    check(cq_init(ctx, &d, err));
    return true;
}
/* ---- files and models -------------------------------------------------------------------------------------------- */
static unsigned char *read_file(const char *dir, const char *name, size_t *size) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s/%s", GOLDEN_DIR, dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s (run in the root of the repository)", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    assert_true(n >= 0);
    unsigned char *p = (unsigned char *)get((size_t)n);
    assert_int_equal(fread(p, 1, (size_t)n, f), n);
    fclose(f);
    *size = (size_t)n;
    return p;
}
/* the numbers of an .npy file, which must be `bytes` bytes of elements `descr` */
static void *read_npy(const char *dir, const char *name, const char *descr, size_t bytes) {
    size_t size, head;
    unsigned char *p = read_file(dir, name, &size);
    assert_true(size > 10 && !memcmp(p, "\x93NUMPY\1", 7));
    head = 10 + (size_t)p[8] + 256 * (size_t)p[9];
    char *text = (char *)copy_of(p + 10, head - 10);
    text[head - 11] = 0;
    assert_non_null(strstr(text, descr));
    assert_int_equal(size - head, bytes);
    return copy_of(p + head, bytes); /* aligned; the goldens are little-endian, and so are the machines that test */
}

static const char *const goldens[] = {"dream", "qwen2-tied", "qwen3", "llama-bias-llama3", "mistral"};
#define BATCH 2u
#define TOKENS 12u
typedef struct model {
    char *config; /* zero-terminated, not counted */
    size_t config_len;
    cq_weights w;
    cq_model *m;
} model;

/* Copied to a block of exactly its length: a read behind the end of config.json is seen. */
static void set_config(model *g, const char *text) {
    g->config_len = strlen(text);
    g->config = (char *)copy_of(text, g->config_len);
}
static cq_status bind_with(model *g, const char *arch, size_t arch_len, cq_error *err) {
    cq_arena a = arena_of(cq_model_bound(g->config_len, &g->w, arch, arch_len));
    cq_weights *w = (cq_weights *)copy_of(&g->w, sizeof g->w); /* stays, wherever *g goes */
    g->m = (cq_model *)get(sizeof *g->m);
    return cq_model_bind(g->m, g->config, g->config_len, w, arch, arch_len, &a, err);
}
static model load(const char *name) {
    model g;
    cq_arena a = cq_arena_over(NULL, 0);
    size_t size;
    unsigned char *text = read_file(name, "config.json", &g.config_len);
    g.config = (char *)copy_of(text, g.config_len);
    unsigned char *file = read_file(name, "model.safetensors", &size);
    check(cq_safetensors_read(file, size, 0, &a, &g.w, err));
    a = arena_of(a.used);
    check(cq_safetensors_read(file, size, 0, &a, &g.w, err));
    check(bind_with(&g, NULL, 0, err));
    return g;
}
static char *config_text(const model *g) { /* zero-terminated */
    char *t = (char *)get(g->config_len + 1);
    memcpy(t, g->config, g->config_len);
    return t;
}

/* config.json with a key's value replaced, or added in front (value NULL: the key renamed, which is taking it out) */
static char *with(const char *config, const char *key, const char *value) {
    char quoted[80], *out = (char *)get(strlen(config) + 600);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(config, quoted);
    if (!value) {
        assert_non_null(at);
        strcpy(out, config);
        out[at - config + 1] = '~';
    } else if (!at) {
        snprintf(out, strlen(config) + 600, "{\"%s\": %s,%s", key, value, strchr(config, '{') + 1);
    } else {
        const char *end = at + strlen(quoted);
        int depth = 0;
        for (; *end && (depth || !strchr(",\n}", *end)); end++) {
            if (*end == '{' || *end == '[') depth++;
            if (*end == '}' || *end == ']') depth--;
        }
        snprintf(out, strlen(config) + 600, "%.*s %s%s", (int)(at - config + (long)strlen(quoted)), config, value, end);
    }
    return out;
}

/* A model of random float weights, in the names of Llama; biases nowhere. */
static int by_name(const void *a, const void *b) {
    const cq_named *x = (const cq_named *)a, *y = (const cq_named *)b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(x->name, y->name, n);
    return c ? c : x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}
static void add_f32(cq_named *t, const char *name, size_t rows, size_t cols, const float *data) {
    memset(t, 0, sizeof *t);
    t->name = (const char *)copy_of(name, strlen(name));
    t->name_len = strlen(name);
    t->ndim = rows ? 2 : 1;
    t->shape[0] = rows ? rows : cols;
    t->shape[1] = rows ? cols : 0;
    check(cq_tensor_init(&t->t, CQ_F32, CQ_ROWS, rows ? rows : 1, cols, 0, false, err));
    t->bytes = t->t.bytes;
    t->data = t->t.data = (const unsigned char *)data;
}
static void add_random(cq_named *t, const char *name, size_t rows, size_t cols) {
    size_t n = (rows ? rows : 1) * cols;
    float *data = (float *)get(n * sizeof *data);
    for (size_t i = 0; i < n; i++) data[i] = rows ? rng_float(-1, 1) / sqrtf((float)cols) : rng_float(0.5f, 1.5f);
    add_f32(t, name, rows, cols, data);
}
static model random_model(size_t layers, size_t hidden, size_t heads, size_t kv, size_t head_dim, size_t inter,
                          size_t vocab) {
    model g;
    char text[600], name[100];
    cq_named *list = (cq_named *)get((layers * 9 + 3) * sizeof *list);
    size_t n = 0;
    snprintf(text, sizeof text, "{\"model_type\": \"llama\",\n\"hidden_size\": %zu,\n\"num_hidden_layers\": %zu,\n"
             "\"num_attention_heads\": %zu,\n\"num_key_value_heads\": %zu,\n\"head_dim\": %zu,\n"
             "\"intermediate_size\": %zu,\n\"vocab_size\": %zu,\n\"tie_word_embeddings\": false}",
             hidden, layers, heads, kv, head_dim, inter, vocab);
    set_config(&g, text);
    add_random(&list[n++], "model.embed_tokens.weight", vocab, hidden);
    add_random(&list[n++], "lm_head.weight", vocab, hidden);
    add_random(&list[n++], "model.norm.weight", 0, hidden);
    for (size_t l = 0; l < layers; l++) {
        const struct {
            const char *name;
            size_t rows, cols;
        } part[] = {{"input_layernorm", 0, hidden}, {"post_attention_layernorm", 0, hidden},
                    {"self_attn.q_proj", heads * head_dim, hidden}, {"self_attn.k_proj", kv * head_dim, hidden},
                    {"self_attn.v_proj", kv * head_dim, hidden}, {"self_attn.o_proj", hidden, heads * head_dim},
                    {"mlp.gate_proj", inter, hidden}, {"mlp.up_proj", inter, hidden},
                    {"mlp.down_proj", hidden, inter}};
        for (size_t i = 0; i < COUNT(part); i++) {
            snprintf(name, sizeof name, "model.layers.%zu.%s.weight", l, part[i].name);
            add_random(&list[n++], name, part[i].rows, part[i].cols);
        }
    }
    qsort(list, n, sizeof *list, by_name);
    g.w.list = list;
    g.w.count = n;
    check(bind_with(&g, NULL, 0, err));
    return g;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */
typedef struct options { /* 0: the default */
    size_t tile, first, step; /* rows of the first pass, and of each later one */
    size_t max_rows;
    unsigned act_bits, kv_bits;
    cq_format cache;
    const int32_t *positions; /* (batch, n) */
    const uint8_t *keep;      /* (batch, n) */
    const uint8_t *allow;     /* (batch, n, n) */
    const float *bias;        /* (batch, n, n) */
} options;
static const options usual;
static const cq_parts first_part; /* where a walk over the parts begins */

/* a session in memory of exactly the size that was asked for; one byte less must be refused */
static cq_session session_of(const cq_context *ctx, const cq_model *m, const cq_session_desc *d) {
    cq_session s;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0), b;
    check(cq_session_init(&s, ctx, m, d, &a, &a, err));
    assert_null(s.cache);
    assert_null(s.x);
    b = cq_arena_over(get(a.used), a.used - 1);
    assert_int_equal(cq_session_init(&s, ctx, m, d, &b, &b, &err), CQ_ERR_MEMORY);
    check_error(CQ_ERR_MEMORY, &err);
    b = arena_of(a.used);
    check(cq_session_init(&s, ctx, m, d, &b, &b, err));
    assert_int_equal(a.used, b.used);
    return s;
}
static float *run(const cq_context *ctx, const cq_model *m, const int32_t *ids, size_t batch, size_t n,
                  const options *o) {
    float *out = (float *)get(batch * n * m->vocab * sizeof *out);
    cq_session_desc d;
    memset(&d, 0, sizeof d);
    d.max_tokens = n;
    d.max_rows = o->max_rows;
    d.tile = o->tile;
    d.act_bits = o->act_bits;
    d.kv_bits = o->kv_bits;
    d.cache = o->cache;
    cq_session s = session_of(ctx, m, &d);
    for (size_t b = 0; b < batch; b++)
        for (size_t slot = 0; slot < n;) {
            cq_input in;
            memset(&in, 0, sizeof in);
            in.n = slot ? (o->step ? o->step : 1) : (o->first ? o->first : n);
            if (in.n > n - slot) in.n = n - slot;
            in.ids = (const int32_t *)copy_of(ids + b * n + slot, in.n * sizeof *ids);
            in.slot = slot;
            if (o->positions) in.positions = o->positions + b * n + slot;
            if (o->keep) in.keep = (const uint8_t *)copy_of(o->keep + b * n, slot + in.n);
            if (o->allow) in.allow = o->allow + (b * n + slot) * n;
            if (o->bias) in.bias = o->bias + (b * n + slot) * n;
            in.ld_mask = n;
            check(cq_forward(&s, &in, err));
            cq_logits(&s, NULL, in.n, out + (b * n + slot) * m->vocab);
            slot += in.n;
        }
    return out;
}
/* largest difference, in standard deviations of `want` */
static double distance(const float *got, const float *want, size_t n) {
    double sum = 0, square = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double diff = fabs((double)got[i] - (double)want[i]);
        sum += (double)want[i];
        square += (double)want[i] * (double)want[i];
        if (!(diff <= worst)) worst = diff;
    }
    return worst / sqrt(square / (double)n - sum / (double)n * (sum / (double)n));
}
static void close_to(const char *what, const float *got, const float *want, size_t n, double limit) {
    double d = distance(got, want, n);
    if (!(d <= limit)) fail_msg("%s: logits differ by %.2e standard deviations, more than %.0e", what, d, limit);
}
static void same_bits(const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a))
            fail_msg("%s: %zu of %zu is %.9g and %.9g", what, i, n, (double)a[i], (double)b[i]);
}
static size_t logits_count(const cq_model *m) { return BATCH * TOKENS * m->vocab; }
static int32_t *golden_ids(const char *name) {
    return (int32_t *)read_npy(name, "ids.npy", "<i4", BATCH * TOKENS * sizeof(int32_t));
}

/* ---- the forward pass -------------------------------------------------------------------------------------------- */
/* Catches: any mistake in the arithmetic of a model: norms, rope and its scaling, heads, biases, windows, ties. */
static void test_golden_logits(void **state) {
    cq_context ctx = plain();
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        size_t n = logits_count(g.m);
        float *want = (float *)read_npy(goldens[i], "logits.npy", "<f4", n * sizeof(float));
        close_to(goldens[i], run(&ctx, g.m, golden_ids(goldens[i]), BATCH, TOKENS, &usual), want, n, 1e-4);
    }
}

/* Catches: masks that are read with the wrong stride, added instead of chosen, forgotten in a part of the rows;
   positions taken for slots; a cache that is not what a later row should see. */
static void test_golden_cases(void **state) {
    static const struct {
        const char *name;
        char kind;
        size_t first;
    } row[] = {{"mask2d", 'k', 0}, {"mask4d-bool", 'a', 0}, {"mask4d-causal", 'a', 0}, {"mask4d-float", 'f', 0},
               {"positions", 'p', 0}, {"prefill1", 0, 1}, {"prefill4", 0, 4}};
    model g = load("dream");
    cq_context ctx = plain();
    int32_t *ids = golden_ids("dream");
    size_t n = logits_count(g.m), square = BATCH * TOKENS * TOKENS;
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        options o = usual;
        char file[100], json[100];
        size_t len;
        const char *key = row[i].first ? "prefill" : row[i].kind == 'p' ? "positions" : "mask";
        snprintf(file, sizeof file, "%s.%s.npy", row[i].name, key);
        if (row[i].kind == 'k') o.keep = (const uint8_t *)read_npy("dream", file, "|u1", BATCH * TOKENS);
        if (row[i].kind == 'a') o.allow = (const uint8_t *)read_npy("dream", file, "|b1", square);
        if (row[i].kind == 'f') o.bias = (const float *)read_npy("dream", file, "<f4", square * 4);
        if (row[i].kind == 'p') o.positions = (const int32_t *)read_npy("dream", file, "<i4", BATCH * TOKENS * 4);
        o.first = row[i].first;
        snprintf(json, sizeof json, "%s.json", row[i].name); /* the case is still the one that this table says */
        char *text = (char *)read_file("dream", json, &len), want[250];
        if (row[i].first) snprintf(want, sizeof want, "{\"prefill\": %zu}", row[i].first);
        else snprintf(want, sizeof want, "{\"%s\": \"%s\"}", key, file);
        assert_true(len >= strlen(want) && !memcmp(text, want, strlen(want)));
        snprintf(file, sizeof file, "%s.logits.npy", row[i].name);
        float *logits = (float *)read_npy("dream", file, "<f4", n * 4);
        close_to(row[i].name, run(&ctx, g.m, ids, BATCH, TOKENS, &o), logits, n, 1e-4);
    }
}

/* Catches: results that depend on the instruction set, the number of threads or their order, the size of the tiles, or,
   in causal models, on how the prompt is cut into passes. */
static void test_same_bits(void **state) {
    static const size_t tiles[] = {1, 3, 64, 5}, steps[] = {1, 2, 5, 7, 11};
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (int int8 = 0; int8 < 2; int8++) {
            model g = load(goldens[i]);
            cq_context ctx = plain(), other;
            int32_t *ids = golden_ids(goldens[i]);
            options o = usual;
            size_t n = logits_count(g.m);
            o.act_bits = int8 ? 8 : 0; /* no effect on float weights */
            float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
            for (size_t c = 0; context_number(c, &other); c++)
                same_bits(goldens[i], run(&other, g.m, ids, BATCH, TOKENS, &o), want, n);
            for (size_t t = 0; t < COUNT(tiles); t++) {
                o.tile = tiles[t];
                same_bits(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n);
            }
            for (size_t t = 0; t < COUNT(steps) && g.m->blocks[0].causal; t++) {
                o.max_rows = o.first = o.step = steps[t];
                same_bits(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n);
            }
        }
}

/* Catches: masks that do not mean what their absence means: all-ones, or the causal rule (and a window) written out. */
static void test_masks_agree(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_context ctx = plain();
        int32_t *ids = golden_ids(goldens[i]);
        size_t n = logits_count(g.m);
        options o = usual;
        float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
        uint8_t keep[BATCH * TOKENS], allow[BATCH * TOKENS * TOKENS];
        float bias[BATCH * TOKENS * TOKENS];
        bool causal = g.m->blocks[0].causal;
        size_t window = g.m->blocks[0].window;
        memset(keep, 1, sizeof keep);
        for (size_t b = 0; b < BATCH * TOKENS; b++)
            for (size_t k = 0; k < TOKENS; k++) {
                size_t r = b % TOKENS;
                bool sees = (!causal || k <= r) && (!window || k + window > r);
                allow[b * TOKENS + k] = sees;
                bias[b * TOKENS + k] = sees ? 0.0f : -(float)INFINITY;
            }
        assert_int_equal(window, i == 4 ? 5 : 0);
        o.keep = keep;
        same_bits(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n);
        o.keep = NULL;
        o.allow = allow; /* hidden keys stand in other lanes of the sums now: close, not equal */
        close_to(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n, 1e-4);
        o.allow = NULL;
        o.bias = bias;
        close_to(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n, 1e-4);
        if (!causal) continue;
        o.first = o.step = 4; /* rows of the mask are longer than what is visible */
        close_to(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n, 1e-4);
        o.bias = NULL;
        o.allow = allow;
        close_to(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n, 1e-4);
    }
}

typedef struct seen {
    const cq_model *m;
    const cq_block *block;
    size_t calls, rows, group, bad;
    float *x; /* (rows, cols) of the last group */
    size_t cols;
} seen;
static void see(void *user, const cq_tap_point *p) {
    seen *s = (seen *)user;
    if (s->calls && (p->block != s->block || p->group != s->group)) s->rows = 0;
    if (p->first_row != s->rows) s->bad++;
    assert_true(p->expert == CQ_ALL && !p->weight); /* no experts here */
    s->block = p->block;
    s->group = p->group;
    for (size_t r = 0; s->x && r < p->rows; r++)
        memcpy(s->x + (p->first_row + r) * s->cols, p->x + r * p->ldx, s->cols * sizeof(float));
    s->rows = p->first_row + p->rows;
    s->calls++;
}
static cq_tap tap_of(seen *log, const cq_block *block, size_t stop) {
    cq_tap tap;
    tap.fn = see;
    tap.user = log;
    tap.block = block;
    tap.stop = stop;
    tap.experts = NULL;
    return tap;
}

/* Catches: a row that sees nothing and gives NaN, or the mean of all values; taps called for the wrong block, group or
   rows, also for a copy of a block (which is how the quantiser calls them). */
static void test_tap_and_hidden_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t kind = 0; kind < 3; kind++) {
            model g = load(goldens[i]);
            cq_context ctx = plain();
            cq_session_desc d;
            cq_input in;
            cq_tap tap;
            seen log;
            uint8_t keep[TOKENS] = {0}, allow[TOKENS * TOKENS];
            float bias[TOKENS * TOKENS];
            int32_t *ids = golden_ids(goldens[i]);
            size_t q = g.m->blocks[2].heads * g.m->blocks[2].head_dim, inter = g.m->blocks[3].inter;
            memset(&d, 0, sizeof d);
            d.max_tokens = TOKENS;
            d.tile = 5;
            cq_session s = session_of(&ctx, g.m, &d);
            memset(&in, 0, sizeof in);
            memset(allow, 1, sizeof allow);
            memset(allow + 3 * TOKENS, 0, TOKENS); /* row 3 */
            for (size_t k = 0; k < TOKENS * TOKENS; k++) bias[k] = allow[k] ? 0.0f : -(float)INFINITY;
            in.ids = ids;
            in.n = TOKENS;
            if (kind == 0) in.keep = keep; /* all rows */
            if (kind == 1) in.allow = allow;
            if (kind == 2) in.bias = bias;
            in.ld_mask = TOKENS;
            cq_embed(&s, &in);
            for (size_t r = 0; r < TOKENS; r++) { /* nothing but the rows of the table */
                float *row = (float *)get(g.m->hidden * sizeof *row);
                cq_tensor_row(&g.m->embed, (size_t)ids[r], row);
                same_bits("embedding", s.x + r * g.m->hidden, row, g.m->hidden);
            }
            cq_prepare(&s, &in);
            memset(&log, 0, sizeof log);
            log.cols = q > inter ? q : inter;
            log.x = (float *)get(TOKENS * log.cols * sizeof(float));
            cq_block copy;
            memcpy(&copy, &g.m->blocks[2], sizeof copy); /* the attention of layer 1 */
            log.cols = q;
            tap = tap_of(&log, &copy, 1);
            cq_run_block(&s, &copy, &in, &tap);
            assert_int_equal(log.calls, 3);
            assert_int_equal(log.rows, TOKENS);
            assert_ptr_equal(log.block, &copy);
            assert_int_equal(log.group, 1);
            for (size_t r = 0; r < TOKENS; r++)
                for (size_t c = 0; c < q; c++) {
                    if (kind == 0 || r == 3) assert_true(log.x[r * q + c] == 0.0f);
                    else if (log.x[r * q + c] == 0.0f) log.bad++;
                }
            assert_true(log.bad < 3);
            log.calls = log.rows = 0;
            log.cols = g.m->hidden;
            tap = tap_of(&log, &g.m->blocks[3], 0);
            cq_run_block(&s, &g.m->blocks[3], &in, &tap);
            assert_int_equal(log.calls, 3);
            assert_ptr_equal(log.block, &g.m->blocks[3]);
            assert_int_equal(log.group, 0);
            log.calls = log.rows = 0;
            log.x = NULL;
            for (size_t any = 0; any < 2; any++) { /* both groups, tile by tile; by name of the block or without */
                log.calls = log.rows = 0;
                tap = tap_of(&log, any ? NULL : &g.m->blocks[2], SIZE_MAX);
                cq_run_block(&s, &g.m->blocks[2], &in, &tap);
                assert_int_equal(log.calls, 6);
                assert_int_equal(log.group, 1);
            }
            log.calls = log.rows = 0; /* another block's tap is not called, and does not stop this one */
            tap = tap_of(&log, &g.m->blocks[3], 0);
            cq_run_block(&s, &g.m->blocks[2], &in, &tap);
            assert_int_equal(log.calls, 0);
            check(cq_forward(&s, &in, err));
            float *out = (float *)get(TOKENS * g.m->vocab * sizeof *out);
            cq_logits(&s, NULL, TOKENS, out);
            for (size_t k = 0; k < TOKENS * g.m->vocab; k++) assert_true(out[k] - out[k] == 0.0f);
        }
}

/* Catches: logits of chosen rows that are those of other rows. */
static void test_logits_rows(void **state) {
    static const uint32_t rows[] = {11, 0, 5, 5, 3, 10};
    model g = load("qwen3");
    cq_context ctx = plain();
    cq_session_desc d;
    cq_input in;
    (void)state;
    memset(&d, 0, sizeof d);
    d.max_tokens = TOKENS;
    d.tile = 4;
    cq_session s = session_of(&ctx, g.m, &d);
    memset(&in, 0, sizeof in);
    in.ids = golden_ids("qwen3");
    in.n = TOKENS;
    check(cq_forward(&s, &in, err));
    float *all = (float *)get(TOKENS * g.m->vocab * 4), *some = (float *)get(COUNT(rows) * g.m->vocab * 4);
    cq_logits(&s, NULL, TOKENS, all);
    cq_logits(&s, rows, COUNT(rows), some);
    for (size_t i = 0; i < COUNT(rows); i++)
        same_bits("row", some + i * g.m->vocab, all + rows[i] * g.m->vocab, g.m->vocab);
}

/* Catches: input that reads or writes outside of the session or of the embedding. */
static void test_forward_refuses(void **state) {
    model g = load("dream");
    cq_context ctx = plain();
    cq_session_desc d;
    cq_session s;
    cq_error err;
    cq_arena none = cq_arena_over(NULL, 0);
    int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8}, positions[8] = {0};
    uint8_t allow[64] = {0};
    float bias[64] = {0};
    (void)state;
    memset(&d, 0, sizeof d);
    assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), CQ_ERR_ARG);
    d.max_tokens = 8;
    d.max_rows = 9;
    assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), CQ_ERR_ARG);
    d.max_rows = 1;
    for (int bit = 20; bit < 64; bit++) { /* sizes that overflow somewhere */
        d.max_tokens = ((size_t)1 << (bit % 64)) - (size_t)(bit & 1);
        none = cq_arena_over(NULL, 0);
        cq_status st = cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err);
        if (st) assert_true(st == CQ_ERR_RANGE || st == CQ_ERR_MEMORY);
        else assert_true(none.used / 8 / g.m->blocks[0].head_dim >= d.max_tokens);
        if (bit > 60) assert_int_not_equal(st, CQ_OK);
    }
    d.max_tokens = 8;
    d.max_rows = 4;
    s = session_of(&ctx, g.m, &d);
    const struct {
        size_t n, slot, visible, ld;
        int32_t id, position;
        int mask;
        cq_status want;
    } row[] = {
        {4, 0, 0, 0, 95, 0, 0, CQ_OK},         {0, 0, 0, 0, 1, 0, 0, CQ_ERR_RANGE},
        {5, 0, 0, 0, 1, 0, 0, CQ_ERR_RANGE},   {4, 4, 0, 0, 1, 0, 0, CQ_OK},
        {4, 5, 0, 0, 1, 0, 0, CQ_ERR_RANGE},   {4, SIZE_MAX, 0, 0, 1, 0, 0, CQ_ERR_RANGE},
        {4, 0, 8, 0, 1, 0, 0, CQ_OK},          {4, 0, 9, 0, 1, 0, 0, CQ_ERR_RANGE},
        {4, 2, 5, 0, 1, 0, 0, CQ_ERR_RANGE},   {4, 0, SIZE_MAX, 0, 1, 0, 0, CQ_ERR_RANGE},
        {4, 0, 0, 0, 96, 0, 0, CQ_ERR_RANGE},  {4, 0, 0, 0, -1, 0, 0, CQ_ERR_RANGE},
        {4, 0, 0, 0, INT32_MAX, 0, 0, CQ_ERR_RANGE}, {4, 0, 0, 0, INT32_MIN, 0, 0, CQ_ERR_RANGE},
        {4, 0, 0, 0, 1, -1, 0, CQ_ERR_RANGE},  {4, 0, 0, 0, 1, INT32_MAX, 0, CQ_OK},
        {4, 0, 0, 3, 1, 0, 1, CQ_ERR_ARG},     {4, 0, 0, 4, 1, 0, 1, CQ_OK},
        {4, 0, 8, 7, 1, 0, 2, CQ_ERR_ARG},     {4, 0, 8, 8, 1, 0, 2, CQ_OK},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        cq_input in;
        memset(&in, 0, sizeof in);
        ids[3] = row[i].id;
        positions[3] = row[i].position;
        in.ids = ids;
        in.n = row[i].n;
        in.slot = row[i].slot;
        in.visible = row[i].visible;
        in.positions = positions;
        in.ld_mask = row[i].ld;
        if (row[i].mask == 1) in.allow = allow;
        if (row[i].mask == 2) in.bias = bias;
        cq_status st = cq_forward(&s, &in, &err);
        if (st != row[i].want) fail_msg("row %zu: status %d", i, (int)st);
        if (st) check_error(st, &err);
        if (row[i].id > 95 || row[i].id < 0) assert_true(err.where == 3 && err.got == row[i].id);
    }
}

/* Catches: rows at slots of the caller's choice whose keys go to other slots, that see too much or too little (windows,
   masks), or stand at other positions: any of them run anew after a full pass has the bits it had. */
static void test_rows_at_slots(void **state) {
    cq_context ctx;
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        int32_t *ids = golden_ids(goldens[i]), positions[TOKENS], some_ids[TOKENS], some_positions[TOKENS];
        uint8_t keep[TOKENS], allow[TOKENS * TOKENS], some_allow[TOKENS * TOKENS];
        float bias[TOKENS * TOKENS], some_bias[TOKENS * TOKENS];
        for (size_t k = 0; k < 40 && context_number(k % 7, &ctx); k++) {
            size_t kind = k % 5, V = g.m->vocab, n = 0;
            uint32_t slots[TOKENS];
            float *whole = (float *)get(TOKENS * V * 4), *again = (float *)get(TOKENS * V * 4);
            for (size_t r = 0; r < TOKENS; r++) {
                positions[r] = (int32_t)(r * 3 + k % 4);
                keep[r] = rng() % 3 != 0;
                if (rng() % (1 + k % 3) == 0) slots[n++] = (uint32_t)r;
            }
            for (size_t r = 0; r < TOKENS * TOKENS; r++) {
                allow[r] = rng() % 3 != 0;
                bias[r] = rng_float(-2, 2);
            }
            if (!n) slots[n++] = (uint32_t)(k % TOKENS);
            cq_session_desc d;
            cq_input in;
            memset(&d, 0, sizeof d);
            memset(&in, 0, sizeof in);
            d.max_tokens = TOKENS + k % 2;
            d.max_rows = TOKENS;
            d.tile = 1 + k % 6;
            d.act_bits = k % 2 ? 8 : CQ_ACTS_FLOAT;
            cq_session s = session_of(&ctx, g.m, &d);
            in.ids = ids;
            in.n = in.visible = in.ld_mask = TOKENS;
            in.positions = kind == 4 ? positions : NULL;
            in.keep = kind == 1 ? keep : NULL;
            in.allow = kind == 2 ? allow : NULL;
            in.bias = kind == 3 ? bias : NULL;
            check(cq_forward(&s, &in, err));
            cq_logits(&s, NULL, TOKENS, whole);
            for (size_t r = 0; r < n; r++) {
                some_ids[r] = ids[slots[r]];
                some_positions[r] = positions[slots[r]];
                memcpy(some_allow + r * TOKENS, allow + slots[r] * TOKENS, TOKENS);
                memcpy(some_bias + r * TOKENS, bias + slots[r] * TOKENS, TOKENS * sizeof *bias);
            }
            in.ids = some_ids;
            in.n = n;
            in.slots = (const uint32_t *)copy_of(slots, n * sizeof *slots);
            if (in.positions) in.positions = some_positions;
            if (in.allow) in.allow = some_allow;
            if (in.bias) in.bias = some_bias;
            check(cq_forward(&s, &in, err));
            cq_logits(&s, NULL, n, again);
            for (size_t r = 0; r < n; r++) same_bits("a row run anew", again + r * V, whole + slots[r] * V, V);
            /* and what they wrote is where the others look for it */
            in.ids = ids;
            in.n = TOKENS;
            in.slots = NULL;
            in.positions = kind == 4 ? positions : NULL;
            in.allow = kind == 2 ? allow : NULL;
            in.bias = kind == 3 ? bias : NULL;
            some_ids[0] = (ids[slots[0]] + 1) % (int32_t)V; /* another token there, changed by slots and by slot */
            int32_t changed[TOKENS];
            memcpy(changed, ids, sizeof changed);
            changed[slots[0]] = some_ids[0];
            cq_session t = session_of(&ctx, g.m, &d);
            for (int by = 0; by < 2; by++) {
                cq_session *u = by ? &t : &s;
                cq_input one = in;
                check(cq_forward(u, &in, err));
                one.ids = some_ids;
                one.n = 1;
                one.slot = by ? slots[0] : 77;
                one.slots = by ? NULL : slots;
                if (in.positions) one.positions = positions + slots[0];
                if (in.allow) one.allow = allow + slots[0] * TOKENS;
                if (in.bias) one.bias = bias + slots[0] * TOKENS;
                check(cq_forward(u, &one, err));
            }
            assert_memory_equal(s.cache, t.cache, g.m->cache_dims * d.max_tokens * 4);
        }
    }
}
/* Catches: slots that are the same, descend, or lie outside; rows that would not be seen. */
static void test_slots_refused(void **state) {
    model g = load("dream");
    cq_context ctx = plain();
    cq_session_desc d;
    cq_error err;
    static const struct {
        uint32_t slot[3];
        size_t n, visible;
        cq_status want;
        uint64_t where;
    } row[] = {{{0, 1, 2}, 3, 0, CQ_OK, 0},           {{5, 6, 7}, 3, 0, CQ_OK, 0},
               {{0, 3, 7}, 3, 8, CQ_OK, 0},           {{1, 1, 2}, 3, 0, CQ_ERR_RANGE, 1},
               {{1, 3, 2}, 3, 0, CQ_ERR_RANGE, 2},    {{1, 3, 8}, 3, 0, CQ_ERR_RANGE, 8},
               {{8, 0, 0}, 1, 0, CQ_ERR_RANGE, 8},    {{1, 3, UINT32_MAX}, 3, 0, CQ_ERR_RANGE, UINT32_MAX},
               {{1, 3, 5}, 3, 5, CQ_ERR_RANGE, 5},    {{1, 3, 5}, 3, 6, CQ_OK, 0},
               {{1, 3, 5}, 3, 9, CQ_ERR_RANGE, 5},    {{1, 3, 5}, 3, SIZE_MAX, CQ_ERR_RANGE, 5}};
    int32_t ids[3] = {1, 2, 3};
    (void)state;
    memset(&d, 0, sizeof d);
    d.max_tokens = 8;
    cq_session s = session_of(&ctx, g.m, &d);
    for (size_t i = 0; i < COUNT(row); i++) {
        cq_input in;
        memset(&in, 0, sizeof in);
        in.ids = ids;
        in.n = row[i].n;
        in.visible = row[i].visible;
        in.slots = (const uint32_t *)copy_of(row[i].slot, in.n * sizeof *in.slots);
        cq_status st = cq_forward(&s, &in, &err);
        if (st != row[i].want) fail_msg("row %zu: status %d", i, (int)st);
        if (!st) continue;
        check_error(st, &err);
        assert_true(err.where == row[i].where);
    }
}

/* Catches: activations other than SiLU, which no golden model of these families has; with and without a gate. */
static void test_activations(void **state) {
    static const struct {
        const char *name;
        char kind;
    } row[] = {{"\"silu\"", 's'},  {"\"swish\"", 's'},       {"null", 's'},         {"\"gelu\"", 'g'},
               {"\"gelu_python\"", 'g'}, {"\"gelu_pytorch_tanh\"", 't'}, {"\"gelu_new\"", 't'}, {"\"gelu_fast\"", 't'},
               {"\"quick_gelu\"", 'q'}, {"\"relu\"", 'r'},     {"\"relu2\"", '2'},
               {NULL, 'x'},         {NULL, 'l'}}; /* these need more than a name: parameters, a limit */
    model g = load("qwen3");
    char *config = config_text(&g);
    cq_context ctx = plain();
    cq_error err;
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(row); i++) {
        bool gated = i % 2 == 0;
        float x[67], u[67];
        cq__act act = {CQ_ACT_SILU, 3.0f, 0.75f, 1.25f};
        if (row[i / 2].name) {
            set_config(&g, with(config, "hidden_act", row[i / 2].name));
            check(bind_with(&g, NULL, 0, err));
            act.kind = g.m->blocks[1].act;
        } else {
            act.kind = row[i / 2].kind == 'x' ? CQ_ACT_XIELU : CQ_ACT_SWIGLU_LIMIT;
        }
        for (size_t k = 0; k < 67; k++) {
            x[k] = (float)((int)k - 33) * 0.3f;
            u[k] = gated ? rng_float(-4, 4) : 1.0f;
        }
        float y[67];
        memcpy(y, x, sizeof y);
        cq__activate(&ctx, &act, y, gated ? u : NULL, 67, false);
        float pairs[2 * 67]; /* the same from a row in which gate and up alternate */
        for (size_t k = 0; k < 67; k++) {
            pairs[2 * k] = x[k];
            pairs[2 * k + 1] = u[k];
        }
        cq__activate(&ctx, &act, pairs, NULL, 67, true);
        for (size_t k = 0; k < 67; k++)
            assert_true(fabsf(pairs[k] - y[k]) <= 1e-6f + 1e-6f * fabsf(y[k]));
        for (size_t k = 0; k < 67; k++) {
            double v = (double)x[k], z = sqrt(2 / acos(-1.0)) * (v + 0.044715 * v * v * v), want = 0, up = (double)u[k];
            switch (row[i / 2].kind) {
            case 's': want = v / (1 + exp(-v)); break;
            case 'g': want = v / 2 * erfc(-v / sqrt(2.0)); break;
            case 't': want = v / 2 * (1 + tanh(z)); break;
            case 'q': want = v / (1 + exp(-1.702 * v)); break;
            case 'r': want = v > 0 ? v : 0; break;
            case '2': want = v > 0 ? v * v : 0; break;
            case 'x': want = v > 0 ? 0.75 * v * v + 0.5 * v : (expm1(fmin(v, -1e-6)) - v) * 1.25 + 0.5 * v; break;
            case 'l': /* both clamped to 3, one added to up */
                v = fmin(v, 3);
                want = v / (1 + exp(-1.702 * v));
                up = fmax(fmin(up, 3), -3) + 1;
                break;
            default: fail_msg("kind %c", row[i / 2].kind);
            }
            double close = fabs(want) > 10 ? 1e-6 * fabs(want) : 1e-5; /* relu2 grows */
            if (!(fabs((double)y[k] - want * up) < close * (gated ? 5 : 1)))
                fail_msg("%c of %g is %.9g, not %.9g", row[i / 2].kind, v, (double)y[k], want * up);
        }
    }
    set_config(&g, with(config, "hidden_act", "\"mish\"")); /* one that is not there is not another one */
    assert_int_equal(bind_with(&g, NULL, 0, &err), CQ_ERR_UNSUPPORTED);
    assert_true(names(&err, "mish"));
}

/* Catches: a row that is sent to one expert twice, or to one that there is not, whatever its router says: the rows of
   an expert are gathered where there is room for one of each token. */
static void test_experts_chosen_once(void **state) {
    static const float odd[] = {(float)NAN, (float)INFINITY, -(float)INFINITY, 0.0f, 1.0f, -1.0f, 3e38f, -3e38f};
    cq_context ctx = plain();
    cq_session s;
    (void)state;
    memset(&s, 0, sizeof s);
    s.ctx = &ctx;
    for (size_t trial = 0; trial < 20000; trial++) {
        float logits[12], work[12], weight[4];
        uint32_t id[4];
        cq_block b;
        memset(&b, 0, sizeof b);
        b.kind = CQ_BLOCK_MOE;
        b.score = (cq_score)(trial % 4);
        b.experts = 12;
        b.top_k = b.score == CQ_SCORE_SPARSEMIXER ? 2 : 4;
        b.groups = trial & 4 ? 3 : 1;
        b.top_groups = b.groups > 1 ? 2 : 1;
        b.group_top2 = (trial & 8) != 0;
        b.renorm = (trial & 16) != 0;
        b.routed_scale = 1.0f;
        b.jitter = 0.01f;
        size_t kinds = trial % 3 ? COUNT(odd) : 1 + rng() % COUNT(odd);
        for (size_t i = 0; i < 12; i++) logits[i] = odd[rng() % kinds];
        cq__choose(&s, &b, logits, work, id, weight);
        for (size_t i = 0; i < b.top_k; i++) {
            assert_true(id[i] < b.experts);
            for (size_t k = 0; k < i; k++) assert_int_not_equal(id[i], id[k]);
        }
    }
}

/* ---- descriptions ------------------------------------------------------------------------------------------------ */
static cq_status parse_copy(const char *text, size_t n, cq_arch *arch, cq_error *err) {
    char *exact = (char *)malloc(n ? n : 1);
    memcpy(exact, text, n);
    cq_status st = cq_arch_parse(arch, exact, n, err);
    if (st) {
        check_error(st, err);
        assert_int_equal(st, CQ_ERR_FORMAT);
        assert_true(err->where <= n);
    }
    free(exact);
    return st;
}
/* Catches: a built-in description that does not parse, or is not found under all of its names; descriptions of the five
   families here that name other linears than their checkpoints, or see otherwise. The notation: tests/test_arch.c. */
static void test_arch_parse(void **state) {
    static const char *const families[] = {"Dream", "qwen2", "qwen3", "llama", "mistral"};
    static const char *const linears[2][2][4] = {
        {{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", NULL}, {"self_attn.o_proj", NULL, NULL, NULL}},
        {{"mlp.gate_proj", "mlp.up_proj", NULL, NULL}, {"mlp.down_proj", NULL, NULL, NULL}}};
    cq_arch arch;
    cq_error err;
    size_t count = 0;
    (void)state;
    for (; cq_arch_builtin(count); count++) {
        const char *text = cq_arch_builtin(count);
        cq_arch found;
        check(cq_arch_parse(&arch, text, strlen(text), err));
        assert_true(arch.text.p == text && arch.name.n && arch.blocks);
        for (size_t at = 0; at < arch.names.n;) { /* each name finds this description, and no other */
            size_t end = at;
            while (end < arch.names.n && arch.names.p[end] != ' ') end++;
            check(cq_arch_find(&found, arch.names.p + at, end - at, err));
            assert_ptr_equal(found.text.p, text);
            assert_true(found.name.n == end - at && !memcmp(found.name.p, arch.names.p + at, end - at));
            at = end + 1;
        }
    }
    assert_true(count > 5);
    assert_null(cq_arch_builtin(SIZE_MAX));
    for (size_t i = 0; i < COUNT(families); i++) {
        check(cq_arch_find(&arch, families[i], strlen(families[i]), err));
        assert_int_equal(arch.blocks, 2);
        assert_int_equal(arch.lists, 1);
        assert_int_equal(arch.block[0].kind, CQ_BLOCK_ATTENTION);
        assert_int_equal(arch.block[1].kind, CQ_BLOCK_MLP);
        assert_true(arch.diffusion == (i == 0) && arch.shift == (i == 0));
        assert_true(cq__flag(&arch, 0, CQ__W_CAUSAL) == (i != 0));
        assert_true(cq__flag(&arch, 0, CQ__W_FULL) == (i == 0));
        assert_true((cq__find_word(&arch, 0, CQ__W_K_NORM).n != 0) == (i == 2));
        for (size_t b = 0; b < 2; b++)
            for (size_t group = 0; group < 2; group++)
                for (size_t k = 0; k < 4; k++) {
                    char name[40];
                    const char *want = linears[b][group][k];
                    if (!cq_arch_linear(&arch, b, group, k, name, sizeof name)) assert_null(want);
                    else if (!want) fail_msg("%s: there should be no %s", families[i], name);
                    else assert_string_equal(name, want);
                    if (!want) break;
                }
    }
    assert_int_equal(cq_arch_find(&arch, "gpt9", 4, &err), CQ_ERR_UNSUPPORTED);
    assert_true(names(&err, "gpt9"));
    assert_string_equal(cq_role_name(CQ_ROLE_GATE), "gate");
    assert_string_equal(cq_block_name(CQ_BLOCK_ATTENTION), "attn");
    assert_string_equal(cq_block_name(CQ_BLOCK_MLP), "mlp");
}

/* Catches: reads outside of a description that is cut off or damaged anywhere (with the sanitizer). The descriptions of
   the families of the golden models in full, of the others a part. */
static void test_arch_damage(void **state) {
    enum { LONGEST = 4096 };
    cq_arch arch;
    cq_error err;
    size_t good = 0;
    (void)state;
    for (size_t i = 0; cq_arch_builtin(i); i++) {
        const char *text = cq_arch_builtin(i);
        size_t n = strlen(text), step = 1, trials = 4000;
        bool ours = false;
        check(cq_arch_parse(&arch, text, n, err));
        for (size_t k = 0; k < COUNT(goldens); k++) {
            static const char *const families[] = {"Dream", "qwen2", "qwen3", "llama", "mistral"};
            ours = ours || cq__str_eq(arch.name, families[k]);
        }
        if (!ours) {
            step = QUICK ? 11 : 3;
            trials = QUICK ? 50 : 400;
        }
        assert_true(n < LONGEST);
        for (size_t cut = 0; cut <= n; cut += cut + step <= n ? step : 1)
            good += parse_copy(text, cut, &arch, &err) == CQ_OK;
        for (size_t trial = 0; trial < trials; trial++) {
            char data[LONGEST];
            size_t len = n;
            memcpy(data, text, n);
            for (size_t edits = 1 + rng() % 3; edits; edits--) {
                size_t at = rng() % len, from = rng() % len, move = 1 + rng() % 12;
                size_t most = len - (at > from ? at : from);
                if (rng() % 3 == 0) data[at] = (char)rng();
                else if (rng() % 2) data[at] = " \n=+#.\t\r:|-!^@?"[rng() % 15];
                else memmove(data + at, data + from, move < most ? move : most);
            }
            good += parse_copy(data, len, &arch, &err) == CQ_OK;
        }
    }
    assert_true(good > 100); /* else the test tests nothing */
}

/* Catches: a description of the caller that is not used, or not used in the same way. */
static void test_arch_own(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_context ctx = plain();
        int32_t *ids = golden_ids(goldens[i]);
        float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
        char *text = (char *)copy_of(g.m->arch.text.p, g.m->arch.text.n);
        size_t n = g.m->arch.text.n;
        set_config(&g, with(config_text(&g), "model_type", "\"mine\""));
        cq_error err;
        assert_int_equal(bind_with(&g, NULL, 0, &err), CQ_ERR_UNSUPPORTED);
        assert_true(names(&err, "mine"));
        check(bind_with(&g, text, n, err));
        same_bits(goldens[i], run(&ctx, g.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m));
    }
    /* ones that differ: without causal, a causal model sees everything. On its own, or like a built-in one */
    static const char *const texts[] = {
        "model mine\nlike qwen2\nattn = -causal full\n",
        "model mine\nattn self_attn pre=input_layernorm full q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj\n"
        "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj\n  down=down_proj # and a comment\n"};
    model g = load("qwen2-tied");
    cq_context ctx = plain();
    float *want = run(&ctx, g.m, golden_ids("qwen2-tied"), BATCH, TOKENS, &usual), *first = NULL;
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *text = (char *)copy_of(texts[i], strlen(texts[i]));
        check(bind_with(&g, text, strlen(texts[i]), err));
        float *got = run(&ctx, g.m, golden_ids("qwen2-tied"), BATCH, TOKENS, &usual);
        assert_true(distance(got, want, logits_count(g.m)) > 0.1);
        if (first) same_bits("the same description", got, first, logits_count(g.m));
        first = got;
    }
}

/* ---- binding ----------------------------------------------------------------------------------------------------- */
static void refuse(model *g, const char *config, cq_status want, const char *name) {
    cq_error err;
    set_config(g, config);
    memset(&err, 0, sizeof err);
    cq_status st = bind_with(g, NULL, 0, &err);
    if (st != want || (name && !names(&err, name)))
        fail_msg("status %d (%s; %.*s) for\n%s", (int)st, err.what ? err.what : "none", (int)err.name_len, err.name,
                 config);
    if (st) check_error(st, &err);
}

/* Catches: keys that are not needed, not checked, or checked after they were used. */
static void test_bind_config(void **state) {
    static const char *const sizes[][5] = { /* and what else they may be called */
        {"vocab_size", "padded_vocab_size"}, {"hidden_size", "n_embd", "d_model"},
        {"num_hidden_layers", "n_layer", "n_layers", "num_layers"},
        {"num_attention_heads", "n_head", "n_heads", "num_heads"},
        {"intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"}, {"num_key_value_heads"}, {"head_dim"},
        {"max_position_embeddings"}};
    static const struct {
        const char *key, *value;
        cq_status want;
        const char *name;
    } row[] = {
        {"model_type", NULL, CQ_ERR_MISSING, "model_type"},
        {"model_type", "3", CQ_ERR_MISSING, "model_type"},
        {"model_type", "\"\"", CQ_ERR_UNSUPPORTED, ""},
        {"vocab_size", "97", CQ_ERR_FORMAT, "model.embed_tokens.weight"},
        {"hidden_size", "47", CQ_ERR_FORMAT, "model.embed_tokens.weight"},
        {"num_hidden_layers", "1", CQ_ERR_FORMAT, "model.layers.1.input_layernorm.weight"},
        {"num_hidden_layers", "3", CQ_ERR_MISSING, "model.layers.2.self_attn.q_proj.weight"},
        {"num_hidden_layers", "4096", CQ_ERR_FORMAT, "num_hidden_layers"},
        {"num_hidden_layers", "4097", CQ_ERR_RANGE, "num_hidden_layers"},
        {"num_attention_heads", "2", CQ_ERR_FORMAT, "model.layers.0.self_attn.q_proj.weight"},
        {"num_attention_heads", "3", CQ_ERR_RANGE, "num_key_value_heads"},
        {"num_attention_heads", "65538", CQ_ERR_RANGE, "num_attention_heads"},
        {"num_key_value_heads", "1", CQ_ERR_FORMAT, "model.layers.0.self_attn.k_proj.weight"},
        {"num_key_value_heads", "3", CQ_ERR_RANGE, "num_key_value_heads"},
        {"num_key_value_heads", "null", CQ_ERR_FORMAT, "model.layers.0.self_attn.k_proj.weight"},
        {"intermediate_size", "55", CQ_ERR_FORMAT, "model.layers.0.mlp.gate_proj.weight"},
        {"head_dim", "15", CQ_ERR_RANGE, "head_dim"},
        {"head_dim", "14", CQ_ERR_FORMAT, "model.layers.0.self_attn.q_proj.weight"},
        {"head_dim", "4098", CQ_ERR_RANGE, "head_dim"},
        {"head_dim", "null", CQ_ERR_FORMAT, "model.layers.0.self_attn.q_proj.weight"}, /* it is 128 then */
        {"rms_norm_eps", "1.0", CQ_ERR_RANGE, "rms_norm_eps"},
        {"rms_norm_eps", "-1e-6", CQ_ERR_RANGE, "rms_norm_eps"},
        {"rms_norm_eps", "NaN", CQ_ERR_FORMAT, "rms_norm_eps"},
        {"rms_norm_eps", "\"1\"", CQ_ERR_FORMAT, "rms_norm_eps"},
        {"rms_norm_eps", "null", CQ_OK, NULL},
        {"hidden_act", "\"tanh\"", CQ_ERR_UNSUPPORTED, "tanh"},
        {"hidden_act", "1", CQ_ERR_UNSUPPORTED, "hidden_act"},
        {"tie_word_embeddings", "\"no\"", CQ_ERR_FORMAT, "tie_word_embeddings"},
        {"tie_word_embeddings", "1", CQ_OK, NULL}, /* numbers have a truth */
        {"tie_word_embeddings", "true", CQ_OK, NULL}, /* lm_head is there as well: the embedding once more */
        {"attention_bias", "\"yes\"", CQ_ERR_FORMAT, "attention_bias"},
        {"attention_bias", "true", CQ_ERR_MISSING, "model.layers.0.self_attn.q_proj.bias"},
        {"eos_token_id", "[]", CQ_OK, NULL},
        {"eos_token_id", "[3, 4]", CQ_OK, NULL},
        {"eos_token_id", "1000000", CQ_OK, NULL},
        {"mask_token_id", "96", CQ_ERR_RANGE, "mask_token_id"},
        {"mask_token_id", "-2", CQ_ERR_RANGE, "mask_token_id"},
        {"mask_token_id", "\"x\"", CQ_ERR_RANGE, "mask_token_id"},
        {"mask_token_id", "95", CQ_OK, NULL},
        {"sliding_window", "0", CQ_OK, NULL}, /* nobody asks for it without use_sliding_window */
        {"rope_theta", "1.0", CQ_ERR_RANGE, "rope_theta"},
        {"rope_theta", "-1", CQ_ERR_RANGE, "rope_theta"},
        {"rope_theta", "[]", CQ_ERR_FORMAT, "rope_parameters.rope_theta"},
        {"rope_parameters", "7", CQ_ERR_FORMAT, "rope_parameters"},
        {"rope_parameters", "{\"full_attention\": {\"rope_theta\": 2.0}}", CQ_ERR_UNSUPPORTED, "rope_parameters"},
        {"rope_parameters", "null", CQ_OK, NULL},
    };
    model g = load("qwen3");
    char *config = config_text(&g);
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        static const char *const range[] = {"0", "-1", "1073741825", "9223372036854775807", "-9223372036854775808"};
        static const char *const format[] = {"\"48\"", "1.5",  "true", "[48]",
                                             "{}",     "1e30", "NaN",  "99999999999999999999"};
        const char *key = sizes[i][0];
        for (size_t k = 0; k < COUNT(range); k++) refuse(&g, with(config, key, range[k]), CQ_ERR_RANGE, key);
        for (size_t k = 0; k < COUNT(format); k++) refuse(&g, with(config, key, format[k]), CQ_ERR_FORMAT, key);
        for (size_t k = 0; k < 2 && i < 5; k++) { /* missing: it is named, by one of its names */
            cq_error err;
            bool named = false;
            set_config(&g, with(config, key, k ? "null" : NULL));
            assert_int_equal(bind_with(&g, NULL, 0, &err), CQ_ERR_MISSING);
            check_error(CQ_ERR_MISSING, &err);
            for (size_t n = 0; n < 5 && sizes[i][n]; n++) named = named || names(&err, sizes[i][n]);
            if (!named) fail_msg("without %s: %.*s is named", key, (int)err.name_len, err.name);
        }
        for (size_t k = 1; k < 5 && sizes[i][k]; k++) { /* another name for it is as good; two must agree */
            static const char *const values[] = {"96", "48", "2", "4", "56"};
            const char *value = values[i];
            refuse(&g, with(with(config, key, NULL), sizes[i][k], value), CQ_OK, NULL);
            refuse(&g, with(config, sizes[i][k], value), CQ_OK, NULL);
            refuse(&g, with(config, sizes[i][k], "4095"), CQ_ERR_FORMAT, sizes[i][k]);
        }
    }
    refuse(&g, with(config, "num_key_value_heads", NULL), CQ_ERR_RANGE, "num_key_value_heads"); /* it is 32 then */
    for (size_t i = 0; i < COUNT(row); i++)
        refuse(&g, with(config, row[i].key, row[i].value), row[i].want, row[i].name);
    refuse(&g, "[]", CQ_ERR_FORMAT, NULL);
    refuse(&g, "{", CQ_ERR_FORMAT, NULL);
    refuse(&g, "", CQ_ERR_FORMAT, NULL);
    g = load("dream");
    config = config_text(&g);
    assert_int_equal(g.m->mask_id, 90);
    refuse(&g, with(config, "mask_token_id", NULL), CQ_ERR_MISSING, "mask_token_id");
    refuse(&g, with(config, "mask_token_id", "-1"), CQ_ERR_MISSING, "mask_token_id");
    refuse(&g, with(config, "mask_token_id", "96"), CQ_ERR_RANGE, "mask_token_id");
    refuse(&g, with(config, "head_dim", "11"), CQ_ERR_RANGE, "head_dim");
    refuse(&g, with(config, "num_attention_heads", "7"), CQ_ERR_FORMAT, "num_attention_heads"); /* 48 / 7 */
    g = load("qwen2-tied");
    assert_true(g.m->tied);
    refuse(&g, with(config_text(&g), "tie_word_embeddings", "false"), CQ_ERR_MISSING, "lm_head.weight");
    g = load("llama-bias-llama3");
    refuse(&g, with(config_text(&g), "mlp_bias", "false"), CQ_ERR_FORMAT, "model.layers.0.mlp.down_proj.bias");
}

/* Catches: windows of the wrong layers. */
static void test_bind_window(void **state) {
    static const struct {
        const char *use, *from, *types;
        size_t window[2];
        cq_status want;
    } row[] = {{"true", "0", NULL, {3, 3}, CQ_OK},
               {"true", "1", NULL, {0, 3}, CQ_OK},
               {"true", "null", NULL, {0, 0}, CQ_OK},
               {"false", "0", NULL, {0, 0}, CQ_OK},
               {"null", "0", NULL, {0, 0}, CQ_OK},
               {"true", "0", "[\"full_attention\", \"sliding_attention\"]", {0, 3}, CQ_OK},
               {"true", "0", "[\"sliding_attention\", \"full_attention\", 5]", {3, 0}, CQ_OK},
               {"false", "0", "[\"sliding_attention\", \"full_attention\"]", {0, 0}, CQ_OK},
               {"true", "0", "[\"sliding_attention\"]", {0, 0}, CQ_ERR_FORMAT},
               {"true", "0", "[\"linear_attention\", \"full_attention\"]", {0, 0}, CQ_ERR_UNSUPPORTED},
               {"true", "0", "[]", {0, 0}, CQ_ERR_FORMAT},
               {"1", "0", NULL, {3, 3}, CQ_OK},
               {"true", "\"0\"", NULL, {0, 0}, CQ_ERR_FORMAT}};
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        model g = load("qwen3");
        char *config = with(with(with(config_text(&g), "sliding_window", "3"), "use_sliding_window", row[i].use),
                            "max_window_layers", row[i].from);
        if (row[i].types) config = with(config, "layer_types", row[i].types);
        refuse(&g, config, row[i].want, NULL);
        if (row[i].want) continue;
        for (size_t l = 0; l < 2; l++) assert_int_equal(g.m->blocks[2 * l].window, row[i].window[l]);
        assert_int_equal(g.m->blocks[1].window, 0);
    }
    static const char *const bad[] = {"0", "-5", "\"a\"", "1.5", "true", "[3]"};
    for (size_t i = 0; i < COUNT(bad); i++) { /* of a model that has windows, by its key or its kind */
        model g = load("qwen3"), h = load("mistral");
        char *config = with(with(config_text(&g), "use_sliding_window", "true"), "max_window_layers", "1");
        refuse(&g, with(config, "sliding_window", bad[i]), CQ_ERR_RANGE, "sliding_window");
        refuse(&h, with(config_text(&h), "sliding_window", bad[i]), CQ_ERR_RANGE, "sliding_window");
    }
    model h = load("mistral");
    char *mistral = config_text(&h);
    refuse(&h, with(mistral, "sliding_window", "null"), CQ_OK, NULL);
    assert_int_equal(h.m->blocks[0].window, 0);
    refuse(&h, with(mistral, "sliding_window", NULL), CQ_OK, NULL); /* left out: what the class has */
    assert_int_equal(h.m->blocks[2].window, 4096);
}

/* Catches: rope scaling of each kind that computes something else, or takes what makes no sense. */
static void test_bind_rope(void **state) {
    static const struct {
        const char *scaling;
        cq_status want;
        const char *name;
    } row[] = {
        {"null", CQ_OK, NULL},
        {"\"linear\"", CQ_ERR_FORMAT, "rope_scaling"},
        {"{}", CQ_ERR_MISSING, "rope_type"},
        {"{\"type\": \"default\"}", CQ_OK, NULL},
        {"{\"rope_type\": \"mrope\"}", CQ_OK, NULL},
        {"{\"type\": \"dynamic\", \"factor\": 2}", CQ_OK, NULL},
        {"{\"type\": \"dynamic\"}", CQ_ERR_RANGE, "factor"},
        {"{\"type\": \"dynamic\", \"factor\": 0.5}", CQ_ERR_RANGE, "factor"},
        {"{\"rope_type\": \"longrope\"}", CQ_ERR_FORMAT, "short_factor"},
        {"{\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1, 1, 1, 1]}", CQ_ERR_FORMAT, "long_factor"},
        {"{\"type\": \"longrope\", \"short_factor\": [1,1,1,1,1], \"long_factor\": [1,1,1,1,1,1]}", CQ_ERR_FORMAT,
         "short_factor"},
        {"{\"type\": \"longrope\", \"short_factor\": [1,1,1,1,1,0], \"long_factor\": [1,1,1,1,1,1]}", CQ_ERR_FORMAT,
         "short_factor"},
        {"{\"type\": \"longrope\", \"short_factor\": [1,1,1,1,1,1], \"long_factor\": [1,1,1,1,1,\"\"]}", CQ_ERR_FORMAT,
         "long_factor"},
        {"{\"type\": \"su\", \"short_factor\": [1,1,1,1,1,1], \"long_factor\": [1,2,3,4,5,6]}", CQ_OK, NULL},
        {"{\"rope_type\": 7}", CQ_ERR_UNSUPPORTED, "7"},
        {"{\"type\": \"linear\"}", CQ_ERR_RANGE, "factor"},
        {"{\"type\": \"linear\", \"factor\": 0.5}", CQ_ERR_RANGE, "factor"},
        {"{\"type\": \"linear\", \"factor\": \"2\"}", CQ_ERR_FORMAT, "factor"},
        {"{\"type\": \"linear\", \"factor\": 1e99}", CQ_ERR_FORMAT, "factor"},
        {"{\"type\": \"linear\", \"factor\": 2.5}", CQ_OK, NULL},
        {"{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4}", CQ_ERR_RANGE,
         "low_freq_factor"},
        {"{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 0}", CQ_ERR_RANGE, "low_freq_factor"},
        {"{\"rope_type\": \"llama3\", \"factor\": 8, \"high_freq_factor\": null}", CQ_OK, NULL},
        {"{\"rope_type\": \"llama3\", \"factor\": 8, \"original_max_position_embeddings\": 0}", CQ_ERR_MISSING,
         "original_max_position_embeddings"},
        {"{\"rope_type\": \"yarn\", \"factor\": 4}", CQ_OK, NULL},
        {"{\"rope_type\": \"yarn\", \"factor\": 4, \"beta_fast\": 0}", CQ_ERR_RANGE, "beta_fast"},
        {"{\"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": -1}", CQ_ERR_RANGE, "beta_fast"},
        {"{\"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": 1e-38, \"beta_fast\": 1e-38}", CQ_OK, NULL},
        {"{\"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": 3e38, \"beta_fast\": 3e38}", CQ_OK, NULL},
        {"{\"rope_type\": \"yarn\", \"factor\": 3e38, \"mscale\": 3e38, \"mscale_all_dim\": 3e38}", CQ_OK, NULL},
    };
    model g = load("mistral");
    char *config = config_text(&g);
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++)
        refuse(&g, with(config, "rope_scaling", row[i].scaling), row[i].want, row[i].name);
    char *yarn = with(config, "rope_scaling", "{\"type\": \"yarn\", \"factor\": 4}");
    refuse(&g, with(yarn, "max_position_embeddings", "null"), CQ_ERR_MISSING, "original_max_position_embeddings");
    char *late = with(config, "rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 1e-38, "
                      "\"original_max_position_embeddings\": 1e30}");
    refuse(&g, with(late, "rope_theta", "1.0000002"), CQ_OK, NULL); /* the ramp begins at dimension 4e9: nowhere */
    for (size_t j = 0; j < 6; j++) assert_true(fabsf(g.m->rope[0].inv_freq[j] - 1.0f) < 1e-5f);

    refuse(&g, with(config, "rope_scaling", "{\"type\": \"linear\", \"factor\": 2.5}"), CQ_OK, NULL);
    for (size_t j = 0; j < 6; j++) {
        double want = pow(10000.0, -(double)j / 6) / 2.5;
        assert_true(fabs((double)g.m->rope[0].inv_freq[j] - want) < 1e-6 * want);
    }
    /* the formulas of modeling_rope_utils.py in double: whole and fractional edges, both kinds of attention_factor */
    for (size_t t = 0; t < 2; t++)
        for (size_t mscale = 0; mscale < 2; mscale++) {
            double lo = 12 * log(256 / (32 * 2 * acos(-1.0))) / (2 * log(10000.0));
            double hi = 12 * log(256 / (1 * 2 * acos(-1.0))) / (2 * log(10000.0));
            double scale = mscale ? (0.1 * 2 * log(4.0) + 1) / (0.1 * 0.5 * log(4.0) + 1) : 0.1 * log(4.0) + 1;
            char text[200];
            if (t) {
                lo = floor(lo);
                hi = ceil(hi);
            }
            lo = lo > 0 ? lo : 0;
            snprintf(text, sizeof text, "{\"type\": \"yarn\", \"factor\": 4.0, \"truncate\": %s%s}",
                     t ? "true" : "false", mscale ? ", \"mscale\": 2.0, \"mscale_all_dim\": 0.5" : "");
            refuse(&g, with(config, "rope_scaling", text), CQ_OK, NULL);
            assert_true(fabs((double)g.m->rope[0].scale - scale) < 1e-6);
            for (size_t j = 0; j < 6; j++) {
                double ramp = ((double)j - lo) / (hi - lo), base = pow(10000.0, -(double)j / 6);
                ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
                double want = base / 4 * ramp + base * (1 - ramp);
                assert_true(fabs((double)g.m->rope[0].inv_freq[j] - want) < 2e-6 * want);
            }
            static const int32_t positions[3] = {0, 5, 200};
            cq_context ctx = plain();
            cq_session_desc d;
            cq_input in;
            memset(&d, 0, sizeof d);
            memset(&in, 0, sizeof in);
            d.max_tokens = in.n = 3;
            in.positions = positions;
            cq_session s = session_of(&ctx, g.m, &d);
            cq_prepare(&s, &in);
            for (size_t r = 0; r < 3; r++)
                for (size_t j = 0; j < 6; j++) { /* cos, then sin */
                    double angle = (double)((float)positions[r] * g.m->rope[0].inv_freq[j]);
                    assert_true(fabs((double)s.angles[0][r * 12 + j] - scale * cos(angle)) < 1e-6);
                    assert_true(fabs((double)s.angles[0][r * 12 + 6 + j] - scale * sin(angle)) < 1e-6);
                }
        }
}

/* Catches: long contexts that get the angles of short ones, or the other way around; the factor on cos and sin. */
static void test_rope_long(void **state) {
    static const double far[6] = {1, 2, 3, 4.5, 8, 16}, near[6] = {1, 1, 1.5, 1, 1, 2};
    static const int32_t ends[] = {0, 63, 64, 255, 256, 700};
    model g = load("mistral"); /* head_dim 12, context 256, theta 10000 */
    char *config = config_text(&g);
    cq_context ctx = plain();
    (void)state;
    for (size_t kind = 0; kind < 4; kind++) { /* dynamic; longrope; with factors given, at the top and beside */
        char text[500];
        double scale = kind == 0 ? 1 : kind == 1 ? sqrt(1 + log(4.0) / log(64.0)) : kind == 2 ? 1.25 : 1;
        snprintf(text, sizeof text, "{\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1.5, 1, 1, 2], "
                 "\"long_factor\": [1, 2, 3, 4.5, 8, 16], \"original_max_position_embeddings\": %d%s}",
                 kind == 3 ? 256 : 64, kind == 2 ? ", \"attention_factor\": 1.25" : "");
        if (!kind) snprintf(text, sizeof text, "{\"type\": \"dynamic\", \"factor\": 2.5}");
        refuse(&g, with(config, "rope_scaling", text), CQ_OK, NULL);
        double limit = kind == 0 || kind == 3 ? 256 : 64;
        assert_int_equal(g.m->ropes, 1);
        for (size_t e = 0; e < COUNT(ends); e++) {
            int32_t positions[2] = {3, ends[e]};
            double length = ends[e] > 3 ? ends[e] + 1 : 4;
            cq_session_desc d;
            cq_input in;
            memset(&d, 0, sizeof d);
            memset(&in, 0, sizeof in);
            d.max_tokens = in.n = 2;
            in.positions = positions;
            cq_session s = session_of(&ctx, g.m, &d);
            cq_prepare(&s, &in);
            for (size_t r = 0; r < 2; r++)
                for (size_t j = 0; j < 6; j++) {
                    double theta = 10000, freq;
                    if (!kind && length > limit) theta *= pow(2.5 * length / limit - 1.5, 12.0 / 10.0);
                    freq = pow(theta, -(double)j / 6);
                    if (kind) freq /= length > limit ? far[j] : near[j];
                    double angle = positions[r] * freq, close = 1e-6 + 2e-6 * angle;
                    assert_true(fabs((double)s.angles[0][r * 12 + j] - scale * cos(angle)) < close);
                    assert_true(fabs((double)s.angles[0][r * 12 + 6 + j] - scale * sin(angle)) < close);
                }
        }
    }
}

/* Catches: tensors that are missing, too many, of the wrong shape, rank or type, and are taken. */
static void test_bind_tensors(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        const cq_named *list = g.w.list;
        size_t count = g.w.count;
        cq_error err;
        for (size_t k = 0; k < count; k++) {
            char name[100];
            cq_named *l = (cq_named *)get((count + 1) * sizeof *l);
            snprintf(name, sizeof name, "%.*s", (int)list[k].name_len, list[k].name);
            g.w.list = l;
            g.w.count = count - 1; /* without it */
            memcpy(l, list, k * sizeof *l);
            memcpy(l + k, list + k + 1, (count - k - 1) * sizeof *l);
            assert_int_equal(bind_with(&g, NULL, 0, &err), CQ_ERR_MISSING);
            assert_true(names(&err, name));
            g.w.count = count;
            for (size_t kind = 0; kind < 6; kind++) {
                cq_status want = CQ_ERR_FORMAT;
                memcpy(l, list, count * sizeof *l);
                if (kind == 0) l[k].t.cols++;
                if (kind == 1) l[k].t.cols--;
                if (kind == 2 && l[k].ndim == 1) continue; /* a matrix of one row will do for a vector */
                if (kind == 2) l[k].ndim = 1;
                if (kind == 3) l[k].ndim = 0;
                if (kind == 4) {
                    l[k].t.data = NULL; /* as int64, say */
                    want = CQ_ERR_UNSUPPORTED;
                }
                if (kind == 5) {
                    if (l[k].ndim == 1) l[k].t.format = CQ_INT8;
                    else l[k].t.rows++;
                    want = l[k].ndim == 1 ? CQ_ERR_UNSUPPORTED : CQ_ERR_FORMAT;
                }
                assert_int_equal(bind_with(&g, NULL, 0, &err), want);
                assert_true(names(&err, name));
            }
            memcpy(l, list, (k + 1) * sizeof *l); /* one that nobody described */
            memcpy(l + k + 1, list + k, (count - k) * sizeof *l);
            snprintf(name, sizeof name, "%.*s_extra", (int)list[k].name_len, list[k].name);
            l[k + 1].name = name;
            l[k + 1].name_len = strlen(name);
            g.w.count = count + 1;
            qsort(l, g.w.count, sizeof *l, by_name);
            assert_int_equal(bind_with(&g, NULL, 0, &err), CQ_ERR_FORMAT);
            assert_true(names(&err, name));
        }
        if (!strcmp(goldens[i], "qwen3")) continue; /* its description ignores nothing */
        cq_named *l = (cq_named *)get((count + 1) * sizeof *l);
        memcpy(l, list, count * sizeof *l);
        l[count] = list[0];
        l[count].name = "model.layers.0.self_attn.rotary_emb.inv_freq";
        l[count].name_len = strlen(l[count].name);
        l[count].t.data = NULL;
        g.w.list = l;
        g.w.count = count + 1;
        qsort(l, g.w.count, sizeof *l, by_name);
        check(bind_with(&g, NULL, 0, err));
    }
}

/* Catches: names that are cut off and then found, memory that is too small, an arena that only counts. */
static void test_bind_memory(void **state) {
    char text[900], name[300];
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_arena a = arena_of(cq_model_bound(g.config_len, &g.w, NULL, 0));
        cq_model m;
        cq_error err;
        check(cq_model_bind(&m, g.config, g.config_len, &g.w, NULL, 0, &a, err));
        for (size_t need = a.used, n = 0; n < need; n += n + 97 < need ? 97 : 1) {
            a = arena_of(n);
            cq_status st = cq_model_bind(&m, g.config, g.config_len, &g.w, NULL, 0, &a, &err);
            assert_int_equal(st, CQ_ERR_MEMORY);
            check_error(st, &err);
        }
        a = cq_arena_over(NULL, 0);
        assert_int_equal(cq_model_bind(&m, g.config, g.config_len, &g.w, NULL, 0, &a, &err), CQ_ERR_ARG);
    }
    model g = random_model(1, 4, 1, 1, 4, 4, 4);
    cq_error err;
    memset(name, 'e', sizeof name);
    name[299] = 0;
    snprintf(text, sizeof text, "model llama\nembed %s\nlayers l.#\nnorm n\nhead h\n"
             "mlp mlp pre=b gate=g up=u down=d\n", name);
    assert_int_equal(bind_with(&g, text, strlen(text), &err), CQ_ERR_RANGE);
    check_error(CQ_ERR_RANGE, &err);
    char small[12];
    g = random_model(1, 4, 1, 1, 4, 4, 4);
    const cq_linear *q = cq_block_linear(&g.m->blocks[0], CQ_ROLE_Q, 0);
    size_t whole = cq_module_name(g.m, &g.m->blocks[0], q, name, sizeof name);
    assert_string_equal(name, "model.layers.0.self_attn.q_proj");
    assert_int_equal(whole, strlen(name));
    assert_int_equal(cq_module_name(g.m, &g.m->blocks[0], q, small, sizeof small), 11);
    assert_string_equal(small, "model.layer");
    assert_int_equal(cq_head_name(g.m, name, sizeof name), 7);
    assert_string_equal(name, "lm_head");
}

/* Catches: a limit that is not the one that is said, and anything quadratic in layers: the largest number there is. */
static void test_many_layers(void **state) {
    static const int32_t ids[3] = {0, 2, 1};
    model g = random_model(4096, 2, 1, 1, 2, 1, 3);
    cq_context ctx = plain();
    cq_part part;
    (void)state;
    assert_int_equal(g.m->block_count, 8192);
    float *y = run(&ctx, g.m, ids, 1, 3, &usual);
    for (size_t i = 0; i < 9; i++) assert_true(y[i] - y[i] == 0.0f);
    cq_parts at = first_part;
    size_t count = 0;
    for (; cq_model_part(g.m, NULL, &at, &part); count++)
        if (count == 2 + 4096 * 9) assert_string_equal(part.name, "lm_head.weight");
    assert_int_equal(count, 3 + 4096 * 9);
}

/* ---- parts, .cq files, rotation ---------------------------------------------------------------------------------- */
static cq_rotate_plan *rotate_plan(const cq_context *ctx, const cq_model *m, uint64_t seed) {
    cq_rotate_plan *plan = (cq_rotate_plan *)get(sizeof *plan);
    cq_arena a = cq_arena_over(NULL, 0), b;
    cq_error err;
    check(cq_rotate_plan_auto(plan, ctx, m, seed, &a, err));
    b = cq_arena_over(get(a.used), a.used - 1);
    assert_int_equal(cq_rotate_plan_auto(plan, ctx, m, seed, &b, &err), CQ_ERR_MEMORY);
    b = arena_of(a.used);
    check(cq_rotate_plan_auto(plan, ctx, m, seed, &b, err));
    assert_int_equal(a.used, b.used);
    return plan;
}

/* ... with online rotations as well; plan NULL: with them alone */
static cq_rotate_plan *add_online(const cq_context *ctx, const cq_model *m, cq_rotate_plan *plan, size_t r3,
                                  size_t r4) {
    cq_arena a = cq_arena_over(NULL, 0), b;
    cq_error err;
    if (!plan) {
        plan = (cq_rotate_plan *)get(sizeof *plan);
        memset(plan, 0, sizeof *plan);
    }
    check(cq_rotate_plan_online(plan, ctx, m, r3, r4, &a, err));
    b = cq_arena_over(get(a.used), a.used - 1);
    assert_int_equal(cq_rotate_plan_online(plan, ctx, m, r3, r4, &b, &err), CQ_ERR_MEMORY);
    b = arena_of(a.used);
    check(cq_rotate_plan_online(plan, ctx, m, r3, r4, &b, err));
    assert_int_equal(a.used, b.used);
    return plan;
}

/* Catches: parts that are missing, double, or called otherwise than in the checkpoint. */
static void test_parts(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_context ctx = plain();
        cq_part part;
        cq_parts at = first_part;
        bool *met = (bool *)get(g.w.count);
        size_t count = 0;
        for (; cq_model_part(g.m, NULL, &at, &part); count++) {
            const cq_named *t = cq_weights_find(&g.w, part.name, part.name_len);
            assert_non_null(t);
            assert_int_equal(part.name_len, strlen(part.name));
            assert_false(met[t - g.w.list]);
            met[t - g.w.list] = true;
            assert_int_equal(t->t.rows, part.rows);
            assert_int_equal(t->t.cols, part.cols);
            assert_int_equal(t->ndim, part.matrix ? 2 : 1);
            assert_ptr_equal(part.stored, t);
            assert_true(part.slice == 0 && part.slices == 1 && !part.swapped && !part.param);
            assert_true(part.matrix == (part.kind == CQ_PART_LINEAR || part.kind == CQ_PART_EMBED ||
                                        part.kind == CQ_PART_HEAD));
            assert_int_equal(part.format, part.matrix ? t->t.format : CQ_F32);
            assert_true((part.linear != NULL) == (part.kind == CQ_PART_LINEAR || part.kind == CQ_PART_BIAS ||
                                                  part.kind == CQ_PART_HEAD));
            assert_true((part.norm != NULL) == (part.kind == CQ_PART_NORM));
            if (part.kind == CQ_PART_LINEAR || part.kind == CQ_PART_BIAS) {
                char name[100];
                size_t n = cq_module_name(g.m, part.block, part.linear, name, sizeof name);
                assert_true(n < part.name_len && !memcmp(name, part.name, n) && part.name[n] == '.');
                assert_ptr_equal(cq_block_linear(part.block, part.linear->role, 0), part.linear);
            }
            float *whole = (float *)get(part.rows * part.cols * 4), *row = (float *)get(part.cols * 4);
            check(cq_part_read(&ctx, g.m, NULL, &part, 0, part.rows, whole, err));
            for (size_t r = 0; r < part.rows; r++) {
                cq_tensor_row(&t->t, r, row);
                same_bits(part.name, whole + r * part.cols, row, part.cols);
            }
            cq_error err; /* pieces: what is a matrix, while nothing is rotated */
            if (part.rows > 2) {
                float *piece = (float *)get(2 * part.cols * 4);
                assert_true(part.matrix);
                check(cq_part_read(&ctx, g.m, NULL, &part, 1, 2, piece, err));
                same_bits(part.name, whole + part.cols, piece, 2 * part.cols);
                if (part.kind == CQ_PART_LINEAR) { /* a plan may turn its rows into each other */
                    static const cq_rotate_plan some;
                    assert_int_equal(cq_part_read(&ctx, g.m, &some, &part, 1, 2, piece, &err), CQ_ERR_ARG);
                    assert_true(names(&err, part.name));
                }
            }
            float *two = (float *)get((part.rows + 1) * part.cols * 4);
            assert_int_equal(cq_part_read(&ctx, g.m, NULL, &part, 1, part.rows, two, &err), CQ_ERR_ARG);
            assert_int_equal(cq_part_read(&ctx, g.m, NULL, &part, SIZE_MAX, 2, two, &err), CQ_ERR_ARG);
            check_error(CQ_ERR_ARG, &err);
        }
        assert_int_equal(count, g.w.count);
        assert_false(cq_model_part(g.m, NULL, &at, &part)); /* and no more after the end */
        cq_rotate_plan *plan = rotate_plan(&ctx, g.m, 4); /* a rotated model has its own head */
        size_t rotated = 0;
        at = first_part;
        for (; cq_model_part(g.m, plan, &at, &part); rotated++)
            if (rotated + 1 == count + g.m->tied) assert_string_equal(part.name, "lm_head.weight");
        assert_int_equal(rotated, count + g.m->tied);
        plan->r1[0].on = false; /* with rotated heads only it has not */
        at = first_part;
        for (rotated = 0; cq_model_part(g.m, plan, &at, &part);) rotated++;
        assert_int_equal(rotated, count);
    }
}

/* All parts as float tensors, as another checkpoint. */
static model read_parts(const cq_context *ctx, const model *g, const cq_rotate_plan *plan) {
    model out;
    cq_named *list = (cq_named *)get((g->w.count + 1) * sizeof *list);
    cq_part part;
    cq_parts at = first_part;
    size_t n = 0;
    for (; cq_model_part(g->m, plan, &at, &part); n++) {
        float *data = (float *)get(part.rows * part.cols * sizeof *data);
        if (part.kind == CQ_PART_EMBED || part.kind == CQ_PART_HEAD) /* in pieces of 7 rows */
            for (size_t r = 0; r < part.rows; r += 7) {
                size_t rows = part.rows - r < 7 ? part.rows - r : 7;
                check(cq_part_read(ctx, g->m, plan, &part, r, rows, data + r * part.cols, err));
            }
        else check(cq_part_read(ctx, g->m, plan, &part, 0, part.rows, data, err));
        add_f32(&list[n], part.name, part.matrix ? part.rows : 0, part.cols, data);
    }
    qsort(list, n, sizeof *list, by_name);
    out.w.list = list;
    out.w.count = n;
    char *config = config_text(g);
    if (plan && plan->r1[0].on) config = with(config, "tie_word_embeddings", "false");
    set_config(&out, config);
    n = plan && plan->onlines ? cq_rotate_print(g->m, plan, NULL, 0) : 0;
    char *text = n ? (char *)get(n) : NULL; /* only then another description than the built-in one */
    if (text) assert_int_equal(cq_rotate_print(g->m, plan, text, n), n);
    check(bind_with(&out, text, n, err));
    return out;
}
/* Catches: a rotation that is missing on one side of one linear, gains that are folded in twice or not at all, a tied
   head that stays tied, and orders that have no Hadamard matrix. */
static void test_rotation(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens) + 1; i++) {
        bool own = i == COUNT(goldens);
        cq_context ctx = plain(), three;
        model g = own ? random_model(2, 30, 5, 1, 6, 22, 40) : load(goldens[i]);
        int32_t *ids = own ? (int32_t *)copy_of(golden_ids("dream"), BATCH * TOKENS * 4) : golden_ids(goldens[i]);
        for (size_t k = 0; own && k < BATCH * TOKENS; k++) ids[k] %= 40;
        float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
        cq_rotate_plan *plan = rotate_plan(&ctx, g.m, 5);
        assert_true(plan->r1[0].on && !plan->r1[0].mirror && plan->r2_count == 2 && plan->use_float64);
        assert_int_equal(plan->r1[0].r.mode, own ? CQ_ROTATE_ORTHOGONAL : CQ_ROTATE_HADAMARD);
        model rotated = read_parts(&ctx, &g, plan);
        assert_false(rotated.m->tied);
        float *got = run(&ctx, rotated.m, ids, BATCH, TOKENS, &usual);
        close_to("rotated", got, want, logits_count(g.m), 1e-4);
        /* and it is a rotation: the weights are others, the gains are 1 */
        float a[64], b[64];
        cq_tensor_row(&cq_block_linear(&g.m->blocks[0], CQ_ROLE_V, 0)->w, 1, a);
        cq_tensor_row(&cq_block_linear(&rotated.m->blocks[0], CQ_ROLE_V, 0)->w, 1, b);
        assert_true(fabsf(a[0] - b[0]) + fabsf(a[1] - b[1]) > 1e-3f);
        const unsigned char *gain = rotated.m->blocks[1].norm[CQ_NORM_PRE].gain;
        for (size_t k = 0; k < g.m->hidden; k++) assert_true(cq__f32(gain + 4 * k) == 1.0f);
        /* in double nothing was rounded on the way: rows of q keep their products, with the gain and without R */
        const cq_linear *q = cq_block_linear(&g.m->blocks[0], CQ_ROLE_Q, 0);
        cq_parts at = first_part;
        cq_part part;
        while (cq_model_part(g.m, plan, &at, &part) && part.linear != q) {}
        double *exact = (double *)get(q->w.rows * q->w.cols * sizeof(double));
        float *rounded = (float *)get(q->w.rows * q->w.cols * sizeof(float)), *w = (float *)get(2 * q->w.cols * 4);
        check(cq_part_read_f64(&ctx, g.m, plan, &part, 0, part.rows, exact, err));
        check(cq_part_read(&ctx, g.m, plan, &part, 0, part.rows, rounded, err));
        for (size_t r = 0; r + 1 < q->w.rows; r++) {
            double product = 0, was = 0, size = 0;
            cq_tensor_row(&q->w, r, w);
            cq_tensor_row(&q->w, r + 1, w + q->w.cols);
            for (size_t k = 0; k < q->w.cols; k++) {
                double gain = (double)cq__f32(g.m->blocks[0].norm[CQ_NORM_PRE].gain + 4 * k);
                was += (double)w[k] * (double)w[q->w.cols + k] * gain * gain;
                product += exact[r * q->w.cols + k] * exact[(r + 1) * q->w.cols + k];
                size += exact[r * q->w.cols + k] * exact[r * q->w.cols + k];
                assert_true(fabs(exact[r * q->w.cols + k] - (double)rounded[r * q->w.cols + k]) < 1e-5);
            }
            assert_true(fabs(product - was) < 1e-13 * (size + 1));
        }
        /* with threads the same bits; another seed other weights; each rotation alone is exact too, and without any
           the weights are those of the checkpoint */
        assert_true(context_number(4, &three));
        model again = read_parts(&three, &g, rotate_plan(&three, g.m, 5));
        for (size_t t = 0; t < again.w.count; t++)
            assert_memory_equal(again.w.list[t].data, rotated.w.list[t].data, (size_t)again.w.list[t].bytes);
        model other = read_parts(&ctx, &g, rotate_plan(&ctx, g.m, 6));
        cq_tensor_row(&cq_block_linear(&other.m->blocks[0], CQ_ROLE_V, 0)->w, 1, a);
        assert_true(memcmp(a, b, 8));
        for (size_t k = 0; k < g.m->block_count; k++)
            assert_int_equal(plan->r2[k].n, k % 2 ? 0 : g.m->blocks[0].v_dim);
        plan->r1[0].on = false;
        model heads = read_parts(&ctx, &g, plan);
        assert_int_equal(heads.m->tied, g.m->tied);
        close_to("R2 alone", run(&ctx, heads.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m), 1e-4);
        cq_tensor_row(&cq_block_linear(&g.m->blocks[0], CQ_ROLE_V, 0)->w, 1, a);
        cq_tensor_row(&cq_block_linear(&heads.m->blocks[0], CQ_ROLE_V, 0)->w, 1, b);
        assert_true(fabsf(a[0] - b[0]) + fabsf(a[1] - b[1]) > 1e-3f);
        plan->r1[0].on = true;
        for (size_t k = 0; k < g.m->block_count; k++) plan->r2[k].n = 0;
        model stream = read_parts(&ctx, &g, plan);
        close_to("R1 alone", run(&ctx, stream.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m), 1e-4);
        plan->r1[0].on = false;
        model off = read_parts(&ctx, &g, plan);
        same_bits("off", run(&ctx, off.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m));
        model same = read_parts(&ctx, &g, NULL);
        same_bits("none", run(&ctx, same.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m));
    }
}

/* A .cq file of all parts: matrices in panels of `format`, vectors in float; opened and bound. packed: the bytes to
   take for a part instead of rounding it; NULL: none. */
static unsigned (*acts_of)(const cq_part *part); /* NULL: nothing in the file asks for int8 activations */
static model write_cq(const cq_context *ctx, const model *g, const cq_rotate_plan *plan, cq_format format, size_t group,
                      bool asym, const unsigned char *const *packed) {
    cq_named *list = (cq_named *)get((g->w.count + 1) * sizeof *list);
    size_t text_len = cq_rotate_print(g->m, plan, NULL, 0);
    char *config = config_text(g), *text = (char *)get(text_len);
    uint64_t section[CQ_SECTION_COUNT];
    cq_file_layout l;
    cq_checksum sum;
    cq_part part;
    cq_parts at = first_part;
    size_t n = 0;
    if (plan && plan->r1[0].on) config = with(config, "tie_word_embeddings", "false");
    memset(section, 0, sizeof section);
    section[CQ_SECTION_CONFIG] = strlen(config);
    section[CQ_SECTION_DESCRIPTION] = text_len;
    assert_int_equal(cq_rotate_print(g->m, plan, text, text_len), text_len);
    for (; cq_model_part(g->m, plan, &at, &part); n++) {
        list[n].name = (const char *)copy_of(part.name, part.name_len);
        list[n].name_len = part.name_len;
        list[n].ndim = part.matrix ? 2 : 1;
        list[n].shape[0] = part.matrix ? part.rows : part.cols;
        list[n].shape[1] = part.matrix ? part.cols : 0;
        check(cq_tensor_init(&list[n].t, part.matrix ? format : CQ_F32, part.matrix ? CQ_PANELS : CQ_ROWS, part.rows,
                             part.cols, part.matrix ? group : 0, part.matrix && asym, err));
        if (acts_of) list[n].t.act_bits = (uint8_t)acts_of(&part);
    }
    cq_arena a = cq_arena_over(NULL, 0);
    check(cq_file_plan(&l, list, n, section, &a, err));
    a = arena_of(a.used);
    check(cq_file_plan(&l, list, n, section, &a, err));
    unsigned char *file = (unsigned char *)get((size_t)l.file_bytes);
    memcpy(file + l.section_offset[CQ_SECTION_CONFIG], config, strlen(config));
    memcpy(file + l.section_offset[CQ_SECTION_DESCRIPTION], text, text_len);
    at = first_part;
    for (size_t i = 0; cq_model_part(g->m, plan, &at, &part); i++) {
        float *w = (float *)get(part.rows * part.cols * sizeof *w);
        unsigned char *to = file + l.offset[i];
        check(cq_part_read(ctx, g->m, plan, &part, 0, part.rows, w, err));
        if (packed && packed[i]) memcpy(to, packed[i], list[i].t.bytes);
        else if (part.matrix) check(cq_quantize_rtn(&list[i].t, to, w, part.cols, err));
        else
            for (size_t k = 0; k < part.cols; k++) cq__put32(to + 4 * k, cq__bits(w[k]));
    }
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, file + l.head_bytes, (size_t)(l.file_bytes - l.head_bytes));
    cq_file_header(&l, cq_checksum_value(&sum), file);

    cq_file *f = (cq_file *)get(sizeof *f);
    model out;
    a = cq_arena_over(NULL, 0);
    check(cq_file_open(f, file, (size_t)l.file_bytes, &a, err));
    a = arena_of(a.used);
    check(cq_file_open(f, file, (size_t)l.file_bytes, &a, err));
    check(cq_file_check(f, err));
    out.config = (char *)copy_of(f->section[CQ_SECTION_CONFIG].data, f->section[CQ_SECTION_CONFIG].size);
    out.config_len = f->section[CQ_SECTION_CONFIG].size;
    out.w = f->weights;
    check(bind_with(&out, (const char *)f->section[CQ_SECTION_DESCRIPTION].data,
                    f->section[CQ_SECTION_DESCRIPTION].size, err));
    return out;
}

/* Catches: a format or layout that computes something else than its numbers say; int8 activations far off; tiers, tiles
   and threads that disagree on packed weights. */
static void test_cq_formats(void **state) {
    static const struct {
        cq_format format;
        size_t group;
        bool asym;
        double limit, q8; /* to the checkpoint's logits; of int8 activations to float ones */
    } row[] = {{CQ_F32, 0, false, 0, 0},       {CQ_F16, 0, false, 2e-2, 0},    {CQ_BF16, 0, false, 1e-1, 0},
               {CQ_INT8, 0, false, 0.3, 0.3},  {CQ_INT8, 32, true, 0.3, 0.3},  {CQ_INT4, 0, false, 6, 0.5},
               {CQ_INT4, 32, true, 6, 0.5},    {CQ_INT3, 32, false, 9, 0.9},   {CQ_INT3, 0, true, 9, 0.9},
               {CQ_INT2, 32, true, 20, 2},     {CQ_INT2, 32, false, 20, 2}};
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t k = 0; k < COUNT(row); k++) {
            model g = load(goldens[i]);
            cq_context ctx = plain(), other;
            int32_t *ids = golden_ids(goldens[i]);
            size_t n = logits_count(g.m);
            options o = usual;
            char what[100];
            snprintf(what, sizeof what, "%s as %s", goldens[i], cq_format_name(row[k].format));
            float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
            model packed = write_cq(&ctx, &g, NULL, row[k].format, row[k].group, row[k].asym, NULL);
            float *got = run(&ctx, packed.m, ids, BATCH, TOKENS, &usual);
            /* the tied model is in f32, the mistral in f16, the others in bf16: formats that hold them lose nothing */
            bool exact = row[k].format == CQ_F32 || (row[k].format == CQ_F16 && i == 4) ||
                         (row[k].format == CQ_BF16 && i != 1 && i != 4);
            if (exact) same_bits(what, got, want, n);
            else close_to(what, got, want, n, row[k].limit);
            model loose = read_parts(&ctx, &packed, NULL); /* the same numbers as floats, in rows */
            same_bits(what, run(&ctx, loose.m, ids, BATCH, TOKENS, &usual), got, n);
            o.act_bits = 8;
            float *q8 = run(&ctx, packed.m, ids, BATCH, TOKENS, &o);
            if (row[k].q8 == 0) same_bits(what, q8, got, n);
            else close_to(what, q8, got, n, row[k].q8);
            if (row[k].q8 != 0) assert_true(memcmp(q8, got, n * sizeof *got)); /* it did happen */
            o.tile = 3;
            same_bits(what, run(&ctx, packed.m, ids, BATCH, TOKENS, &o), q8, n);
            if (i) continue; /* one model is enough for the rest */
            for (size_t c = 0; context_number(c, &other); c++)
                same_bits(what, run(&other, packed.m, ids, BATCH, TOKENS, &o), q8, n);
        }
}

static unsigned acts_everywhere(const cq_part *part) { return part->matrix ? 8 : 0; }
static unsigned acts_sometimes(const cq_part *part) {
    cq_role role = part->kind == CQ_PART_LINEAR ? part->linear->role : CQ_ROLE_COUNT;
    return role == CQ_ROLE_K || role == CQ_ROLE_DOWN || role == CQ_ROLE_EXPERT_UP ? 8 : 0;
}
/* Catches: a file whose linears ask for int8 activations and do not get them, or some that do not ask and get them
   because another linear of their group does; a session that cannot overrule it; bits that depend on tier or threads. */
static void test_acts_of_file(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_context ctx = plain(), other;
        int32_t *ids = golden_ids(goldens[i]);
        size_t n = logits_count(g.m);
        options o = usual;
        model plainly = write_cq(&ctx, &g, NULL, CQ_INT4, 32, false, NULL);
        acts_of = acts_everywhere;
        model all = write_cq(&ctx, &g, NULL, CQ_INT4, 32, false, NULL);
        acts_of = acts_sometimes;
        model some = write_cq(&ctx, &g, NULL, CQ_INT4, 32, false, NULL);
        acts_of = NULL;
        float *floats = run(&ctx, plainly.m, ids, BATCH, TOKENS, &usual);
        float *mixed = run(&ctx, some.m, ids, BATCH, TOKENS, &usual);
        o.act_bits = 8;
        float *ints = run(&ctx, plainly.m, ids, BATCH, TOKENS, &o);
        same_bits("int8 everywhere", run(&ctx, all.m, ids, BATCH, TOKENS, &usual), ints, n);
        same_bits("int8 by the session", run(&ctx, some.m, ids, BATCH, TOKENS, &o), ints, n);
        assert_true(memcmp(mixed, ints, n * sizeof *ints) && memcmp(mixed, floats, n * sizeof *ints));
        assert_true(distance(mixed, floats, n) < distance(ints, floats, n) + 0.5);
        o.act_bits = CQ_ACTS_FLOAT;
        same_bits("floats by the session", run(&ctx, some.m, ids, BATCH, TOKENS, &o), floats, n);
        for (size_t c = 0; context_number(c, &other); c++)
            same_bits("tiers and threads", run(&other, some.m, ids, BATCH, TOKENS, &usual), mixed, n);
    }
}

/* ---- online rotations -------------------------------------------------------------------------------------------- */
/* R4 of an MLP in one pass with the quantiser, or the rows first and then quantised, as a tap asks for: where the
   factor is a power of two, that is the same. */
static void check_fused(const cq_context *ctx, const model *g, const int32_t *ids, bool same) {
    cq_session_desc d;
    cq_input in;
    float *out[2];
    memset(&d, 0, sizeof d);
    memset(&in, 0, sizeof in);
    d.max_tokens = in.n = TOKENS;
    d.act_bits = 8;
    in.ids = ids;
    for (int tapped = 0; tapped < 2; tapped++) {
        const cq_block *b = &g->m->blocks[1];
        seen log;
        memset(&log, 0, sizeof log);
        cq_session s = session_of(ctx, g->m, &d);
        cq_tap tap = tap_of(&log, b, SIZE_MAX);
        assert_int_equal(b->kind, CQ_BLOCK_MLP);
        cq_prepare(&s, &in);
        cq_embed(&s, &in);
        cq_run_block(&s, b, &in, tapped ? &tap : NULL);
        out[tapped] = (float *)copy_of(s.x, TOKENS * g->m->hidden * sizeof(float));
    }
    if (same) same_bits("fused", out[1], out[0], TOKENS * g->m->hidden);
    else close_to("fused", out[1], out[0], TOKENS * g->m->hidden, 0.1);
}
/* Catches: a rotation on one side only, in one of the paths (float, int8, cached, in tiles, by threads) only; bits that
   depend on the tier; a description that loses what the weights need. */
static void test_online(void **state) {
    static const struct {
        size_t r3, r4;
        bool rotate;
    } row[] = {{0, CQ_ONLINE_WIDEST, false}, {CQ_ONLINE_WIDEST, 0, false}, {CQ_ONLINE_WIDEST, CQ_ONLINE_WIDEST, true},
               {2, 4, true}};
    static const size_t steps[] = {1, 5};
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t k = 0; k < COUNT(row); k++) {
            model g = load(goldens[i]);
            cq_context ctx = plain(), other;
            int32_t *ids = golden_ids(goldens[i]);
            size_t n = logits_count(g.m), head = g.m->blocks[0].head_dim, inter = g.m->blocks[1].inter;
            float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
            cq_rotate_plan *plan =
                add_online(&ctx, g.m, row[k].rotate ? rotate_plan(&ctx, g.m, 3) : NULL, row[k].r3, row[k].r4);
            model turned = read_parts(&ctx, &g, plan);
            const cq_hadamard *r3 = turned.m->blocks[0].online, *r4 = turned.m->blocks[1].online;
            assert_int_equal(r3 ? r3->n : 0, row[k].r3 == CQ_ONLINE_WIDEST ? head : row[k].r3);
            assert_int_equal(r4 ? r4->n : 0, row[k].r4 == CQ_ONLINE_WIDEST ? inter : row[k].r4);
            assert_ptr_equal(turned.m->blocks[2].online, r3); /* one matrix for all layers */
            float *got = run(&ctx, turned.m, ids, BATCH, TOKENS, &usual);
            close_to(goldens[i], got, want, n, row[k].rotate ? 1e-4 : 1e-5);
            assert_true(memcmp(got, want, n * sizeof *got));
            model packed = write_cq(&ctx, &g, plan, CQ_INT8, 0, false, NULL);
            options o = usual;
            float *whole = run(&ctx, packed.m, ids, BATCH, TOKENS, &usual);
            close_to(goldens[i], whole, want, n, 0.3);
            for (unsigned bits = 2; bits <= 8; bits += 3) {
                o.act_bits = bits;
                float *q = run(&ctx, packed.m, ids, BATCH, TOKENS, &o);
                if (o.act_bits == 8) close_to(goldens[i], q, whole, n, 0.3);
                for (size_t c = 0; context_number(c, &other); c++) {
                    same_bits(goldens[i], run(&other, packed.m, ids, BATCH, TOKENS, &o), q, n);
                    same_bits(goldens[i], run(&other, packed.m, ids, BATCH, TOKENS, &usual), whole, n);
                }
                for (o.tile = 1; o.tile < 8; o.tile += 2)
                    same_bits(goldens[i], run(&ctx, packed.m, ids, BATCH, TOKENS, &o), q, n);
                o.tile = 0;
                for (size_t t = 0; t < COUNT(steps) && g.m->blocks[0].causal; t++) { /* keys in the cache are turned */
                    o.max_rows = o.first = o.step = steps[t];
                    same_bits(goldens[i], run(&ctx, packed.m, ids, BATCH, TOKENS, &o), q, n);
                }
                o.max_rows = o.first = o.step = 0;
            }
            check_fused(&ctx, &packed, ids, row[k].r4 == 4 || !row[k].r4);
        }
}
/* Catches: a matrix that is not counted, orders that do not fit, rotations on top of rotations. */
static void test_online_refuses(void **state) {
    static const struct {
        size_t r3, r4;
        const char *what;
    } row[] = {{0, 5, "divide"}, {8, 0, "divide"}, {0, 18, "can be built"}, {0, 144, "divide"}};
    static const struct {
        const char *text;
        cq_status status;
    } words[] = {{"attn = r3=12\nmlp = r4=36", CQ_OK}, {"mlp = r4=0\nattn = r3=0", CQ_OK}, {"mlp = r4=72", CQ_OK},
                 {"mlp = r4=INTER", CQ_ERR_FORMAT}, {"mlp = r4=36.0", CQ_ERR_FORMAT}, {"mlp = r4=-4", CQ_ERR_FORMAT},
                 {"mlp = r4=1000000000", CQ_ERR_FORMAT}, {"mlp = r4=5", CQ_ERR_RANGE}, {"attn = r3=24", CQ_ERR_RANGE},
                 {"mlp = r4=18", CQ_ERR_UNSUPPORTED}, {"attn = r4=4", CQ_ERR_FORMAT}, {"mlp = r3=4", CQ_ERR_FORMAT},
                 {"mlp = r4=4 r4=4", CQ_ERR_FORMAT}};
    model g = load("dream"); /* heads of 12, 72 between up and down */
    cq_context ctx = plain();
    cq_rotate_plan plan;
    cq_error err;
    cq_arena none = cq_arena_over(NULL, 0);
    char text[300];
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        memset(&plan, 0, sizeof plan);
        cq_status st = cq_rotate_plan_online(&plan, &ctx, g.m, row[i].r3, row[i].r4, &none, &err);
        assert_int_equal(st, CQ_ERR_UNSUPPORTED);
        check_error(st, &err);
        assert_non_null(strstr(err.what, row[i].what));
    }
    for (size_t i = 0; i < COUNT(words); i++) {
        model m = g;
        size_t n = (size_t)snprintf(text, sizeof text, "model Dream\nlike Dream\n%s\n", words[i].text);
        cq_status st = bind_with(&m, (const char *)copy_of(text, n), n, &err);
        if (st != words[i].status) fail_msg("%s: %d, %s", words[i].text, st, st ? err.what : "");
        if (st) check_error(st, &err);
        if (st || i) continue;
        memset(&plan, 0, sizeof plan);
        assert_int_equal(cq_rotate_plan_online(&plan, &ctx, m.m, 0, 4, &none, &err), CQ_ERR_UNSUPPORTED);
        /* what a file says of it is what it was made from, and as much as there is room for is written */
        char out[3000], again[3000];
        n = cq_arch_print(&m.m->arch, out, sizeof out);
        assert_true(n < sizeof out && n == cq_rotate_print(m.m, NULL, again, sizeof again));
        assert_memory_equal(out, again, n);
        check(bind_with(&m, (const char *)copy_of(out, n), n, err));
        assert_true(m.m->blocks[0].online->n == 12 && m.m->blocks[1].online->n == 36 && m.m->onlines == 2);
    }
    cq_session_desc d;
    cq_session s;
    memset(&d, 0, sizeof d);
    d.max_tokens = 4;
    for (unsigned bits = 1; bits < 11; bits++) {
        cq_status want = bits == 1 || bits > 8 ? CQ_ERR_ARG : CQ_OK;
        d.act_bits = bits;
        assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), want);
        d.act_bits = 0;
        d.kv_bits = bits;
        assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), want);
        d.cache = CQ_F16; /* not with a number of bits */
        assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), CQ_ERR_ARG);
        d.cache = CQ_F32;
        d.kv_bits = 0;
    }
    for (int f = 0; f <= CQ_FORMAT_COUNT; f++) {
        cq_status want = f == CQ_F32 || f == CQ_F16 || f == CQ_INT8 ? CQ_OK : CQ_ERR_ARG;
        d.cache = (cq_format)f;
        assert_int_equal(cq_session_init(&s, &ctx, g.m, &d, &none, &none, &err), want);
        if (want) assert_true(err.got == f);
    }
}
/* what a cache holds, as floats: (cache_dims, max_tokens) as a cache of floats has it */
static float *cache_floats(const cq_session *s) {
    size_t n = s->m->cache_dims * s->desc.max_tokens;
    float *out = (float *)get(n * sizeof *out);
    if (s->desc.cache == CQ_F32) memcpy(out, s->cache, n * sizeof *out);
    for (size_t i = 0; s->desc.cache == CQ_F16 && i < n; i++)
        out[i] = cq_f16_to_f32((uint16_t)(s->cache[2 * i] | s->cache[2 * i + 1] << 8));
    size_t head = 0, at = 0;
    for (size_t i = 0; s->desc.cache == CQ_INT8 && i < s->m->block_count; i++) {
        const cq_block *b = &s->m->blocks[i];
        if (b->kind > CQ_BLOCK_MLA || b->lender) continue;
        for (size_t part = 0; part < 2; part++)
            for (size_t h = 0; h < b->kv_heads; h++, head++)
                for (size_t t = 0; t < s->desc.max_tokens; t++)
                    for (size_t k = 0; k < (part ? b->v_dim : b->head_dim); k++, at++)
                        out[at] = (float)(int8_t)s->cache[at] * s->cache_scale[head * s->desc.max_tokens + t];
    }
    return out;
}
static const struct cache_kind {
    const char *name;
    cq_format cache;
    unsigned bits;
} cache_kinds[] = {{"f32", CQ_F32, 0},  {"f16", CQ_F16, 0},    {"int8", CQ_INT8, 0}, {"8 bits", CQ_F32, 8},
                   {"6 bits", CQ_INT8, 6}, {"4 bits", CQ_F32, 4}, {"2 bits", CQ_INT8, 2}};
static cq_session cached_session(const cq_context *ctx, const cq_model *m, const struct cache_kind *kind, size_t n) {
    cq_session_desc d;
    memset(&d, 0, sizeof d);
    d.max_tokens = n;
    d.cache = kind->cache;
    d.kv_bits = kind->bits;
    return session_of(ctx, m, &d);
}
/* Catches: keys and values that are not rounded, rounded together, or rounded to other steps than they should be;
   caches that take more room than they should; worse formats that are no worse. */
static void test_cache_formats(void **state) {
    cq_context ctx = plain();
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        int32_t *ids = golden_ids(goldens[i]);
        size_t n = logits_count(g.m), dims = g.m->cache_dims, first_layer = 0, bytes = 0;
        float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual), *whole = NULL;
        double last = 0;
        for (size_t b = 0; !first_layer; b++)
            if (g.m->blocks[b].kind <= CQ_BLOCK_MLA)
                first_layer = g.m->blocks[b].kv_heads * (g.m->blocks[b].head_dim + g.m->blocks[b].v_dim);
        for (size_t k = 0; k < COUNT(cache_kinds); k++) {
            cq_input in;
            options o = usual;
            o.cache = cache_kinds[k].cache;
            o.kv_bits = cache_kinds[k].bits;
            float *got = run(&ctx, g.m, ids, BATCH, TOKENS, &o);
            double far = distance(got, want, n);
            if (k == 3) assert_true(!(far > last) && !(far < last)); /* the same by two names */
            else if (k) assert_true(far > last);
            last = far;
            if (k == 1) assert_true(far < 0.01);
            if (k == 2) assert_true(far < 0.1);
            cq_session s = cached_session(&ctx, g.m, &cache_kinds[k], TOKENS);
            cq_arena hot = cq_arena_over(NULL, 0), cold = cq_arena_over(NULL, 0);
            cq_session_desc d = s.desc;
            check(cq_session_init(&s, &ctx, g.m, &d, &hot, &cold, err));
            bytes = dims * TOKENS * (k == 0 ? 4u : k == 1 ? 2u : 1u);
            assert_int_equal(cold.used, (bytes + CQ_ALIGN - 1) / CQ_ALIGN * CQ_ALIGN +
                                            (k < 2 ? 0 : g.m->cache_heads * TOKENS * 4));
            s = cached_session(&ctx, g.m, &cache_kinds[k], TOKENS);
            memset(&in, 0, sizeof in);
            in.ids = ids;
            in.n = TOKENS;
            check(cq_forward(&s, &in, err));
            float *held = cache_floats(&s);
            size_t levels = cache_kinds[k].bits ? ((size_t)1 << (cache_kinds[k].bits - 1)) - 1 : 127;
            if (k == 0) whole = held;
            size_t head = g.m->blocks[0].head_dim; /* in these models all heads of one width, of keys and values */
            for (size_t v = 0; k && v < first_layer * TOKENS / head; v++) {
                const float *x = whole + v * head, *y = held + v * head;
                double most = 0;
                for (size_t e = 0; e < head; e++) most = fabs((double)x[e]) > most ? fabs((double)x[e]) : most;
                for (size_t e = 0; e < head; e++) {
                    double step = k == 1 ? fabs((double)x[e]) / 1024 : most / (double)levels;
                    assert_true(fabs((double)x[e] - (double)y[e]) <= step * 0.5001);
                    if (k > 1) assert_true(fabs((double)y[e] / step - round((double)y[e] / step)) < 1e-3);
                }
            }
        }
        if (i == 0) assert_true(last > 0.1);
    }
}
/* Catches: formats that depend on tiles, tiers, threads, on how many rows come at a time; attention that reads other
   numbers than those that the cache holds. */
static void test_cache_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t k = 0; k < COUNT(cache_kinds); k++) {
            model g = load(goldens[i]);
            cq_context ctx = plain();
            int32_t *ids = golden_ids(goldens[i]);
            size_t mark = pool_count, n = logits_count(g.m);
            options o = usual;
            o.cache = cache_kinds[k].cache;
            o.kv_bits = cache_kinds[k].bits;
            float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &o);
            for (size_t c = 0; context_number(c, &ctx); c++) {
                o.tile = 1 + c % 5;
                same_bits(cache_kinds[k].name, run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n);
            }
            if (g.m->blocks[0].causal) {
                o.first = 5, o.step = 3;
                same_bits("some rows at a time", run(&ctx, g.m, ids, BATCH, TOKENS, &o), want, n);
            }
            /* a row that does not see itself, in this session and in one of floats that holds what this one does */
            ctx = plain();
            cq_session s = cached_session(&ctx, g.m, &cache_kinds[k], TOKENS),
                       t = cached_session(&ctx, g.m, &cache_kinds[0], TOKENS);
            float *own = (float *)get(g.m->vocab * sizeof *own), *other = (float *)get(g.m->vocab * sizeof *other);
            uint8_t allow[TOKENS];
            cq_input in;
            memset(&in, 0, sizeof in);
            in.ids = ids;
            in.n = TOKENS;
            check(cq_forward(&s, &in, err));
            check(cq_forward(&t, &in, err)); /* for all that is no cache */
            float *held = cache_floats(&s);
            memcpy(t.cache, held, g.m->cache_dims * TOKENS * sizeof *held);
            for (size_t r = 0; r < TOKENS; r++) allow[r] = r != 7;
            in.ids = ids + 7;
            in.n = 1;
            in.slot = 7;
            in.visible = in.ld_mask = TOKENS;
            in.allow = allow;
            check(cq_forward(&s, &in, err));
            cq_logits(&s, NULL, 1, own);
            check(cq_forward(&t, &in, err));
            cq_logits(&t, NULL, 1, other);
            if (s.desc.cache != CQ_INT8) same_bits("what the cache holds", own, other, g.m->vocab);
            else assert_true(distance(own, other, g.m->vocab) < 1e-3); /* queries are rounded to 16 bits */
            free_down_to(mark);
        }
}
/* one head of a row from an int8 cache, as cq__attend_int8 defines it, in plain steps: out (v_dim) */
static void attend_head(const cq_session *s, const cq_block *b, size_t h, const float *q, size_t visible, float *out) {
    size_t d = b->head_dim, vd = b->v_dim, kv = h / (b->heads / b->kv_heads), max = s->desc.max_tokens;
    const int8_t *cache = (const int8_t *)s->cache, *k = cache + (b->cache_k + kv * d) * max;
    const int8_t *v = cache + (b->cache_v + kv * vd) * max;
    const float *ks = s->cache_scale + (b->cache_scale + kv) * max, *vs = ks + b->kv_heads * max;
    float *p = (float *)get((visible + 1) * sizeof *p), *rest = (float *)get(d * sizeof *rest);
    memcpy(rest, q, d * sizeof *rest);
    for (size_t pass = 0; pass < 2; pass++) {
        float most = 0;
        for (size_t e = 0; e < d; e++) most = fabsf(rest[e]) > most ? fabsf(rest[e]) : most;
        float scale = most > 0 ? most / 127.0f : 0, inverse = most > 0 ? 127.0f / most : 0;
        for (size_t t = 0; t < visible; t++) {
            long dot = 0;
            for (size_t e = 0; e < d; e++) dot += lrintf(rest[e] * inverse) * k[t * d + e];
            float score = (float)dot * (scale * ks[t]);
            p[t] = pass ? p[t] + score : score;
        }
        for (size_t e = 0; e < d; e++) {
            float rounded = (float)lrintf(rest[e] * inverse) * scale;
            rest[e] = rest[e] - rounded;
        }
    }
    for (size_t t = 0; t < visible; t++) p[t] = p[t] * b->scale_qk;
    cq_context ctx = plain();
    cq_softmax(&ctx, p, visible);
    for (size_t e = 0; e < vd; e++) {
        out[e] = 0;
        for (size_t t = 0; t < visible; t++) {
            float x = (float)v[t * vd + e] * vs[t];
            x = p[t] * x;
            out[e] = out[e] + x;
        }
    }
}
/* Catches: scores of int8 keys that are not what their definition says, in any tier, with any number of threads, over
   any number of tiles of keys; a query that is rounded once only. */
static void test_int8_scores(void **state) {
    enum { SLOTS = 700, ROWS = 5 }; /* some tiles of keys */
    model g = load("qwen3");
    const cq_block *b = &g.m->blocks[0];
    size_t d = b->head_dim, vd = b->v_dim;
    cq_context ctx = plain();
    (void)state;
    assert_true(b->kind == CQ_BLOCK_ATTENTION && b->causal && !b->window);
    float *want = (float *)get(ROWS * b->heads * vd * sizeof *want);
    for (size_t c = 0; context_number(c, &ctx); c++) {
        cq_session_desc desc;
        cq_input in;
        memset(&desc, 0, sizeof desc);
        memset(&in, 0, sizeof in);
        desc.max_tokens = SLOTS;
        desc.max_rows = ROWS;
        desc.cache = CQ_INT8;
        cq_session s = session_of(&ctx, g.m, &desc);
        uint64_t seed = 5;
        for (size_t i = 0; i < g.m->cache_dims * SLOTS; i++)
            s.cache[i] = (unsigned char)(int8_t)((int)((seed = seed * 6364136223846793005u + 1) >> 40) % 255 - 127);
        for (size_t i = 0; i < g.m->cache_heads * SLOTS; i++)
            s.cache_scale[i] = (float)((seed = seed * 6364136223846793005u + 1) >> 40) / 16777216.0f / 127.0f;
        for (size_t i = 0; i < ROWS * b->heads * d; i++)
            s.q[i] = (float)((seed = seed * 6364136223846793005u + 1) >> 40) / 8388608.0f - 1.0f;
        for (size_t e = 0; e < d; e++) s.q[e] = 0.0f; /* and one that is nothing */
        in.n = ROWS;
        in.slot = SLOTS - ROWS;
        for (size_t r = 0; r < ROWS && !c; r++)
            for (size_t h = 0; h < b->heads; h++)
                attend_head(&s, b, h, s.q + (r * b->heads + h) * d, in.slot + r + 1, want + (r * b->heads + h) * vd);
        cq__attend(&s, b, &in);
        same_bits("scores of int8 keys", s.mixed, want, ROWS * b->heads * vd);
    }
}
/* Catches: fp16 keys that become infinite, zeros that become no numbers. */
static void test_cache_extremes(void **state) {
    model g = load("qwen3");
    cq_context ctx = plain();
    cq_block *b = &g.m->blocks[0];
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        cq_session s = cached_session(&ctx, g.m, &cache_kinds[k], 4);
        float x[64] = {1e9f, -1e9f, 65519.0f, 1e-30f, 0.0f};
        const float *y;
        float tile[64];
        assert_true(b->head_dim <= 64);
        cq__cache_put(&s, b->cache_k, b->cache_scale, b->head_dim, 0, 2, x);
        y = cq__cache_get(&s, b->cache_k, b->cache_scale, b->head_dim, 0, 2, 1, tile);
        if (k == 1) assert_true(y[0] >= 65504.0f && y[0] <= 65504.0f && y[1] <= -65504.0f && y[1] >= -65504.0f);
        else assert_true(fabsf(y[0] - 1e9f) < 100.0f && fabsf(y[1] + 1e9f) < 100.0f);
        assert_true(fabsf(y[3]) < 1e-29f && !(fabsf(y[4]) > 0.0f));
        memset(x, 0, sizeof x);
        cq__cache_put(&s, b->cache_v, b->cache_scale + b->kv_heads, b->v_dim, 1, 3, x);
        y = cq__cache_get(&s, b->cache_v, b->cache_scale + b->kv_heads, b->v_dim, 1, 3, 1, tile);
        for (size_t i = 0; i < b->v_dim; i++) assert_true(!(fabsf(y[i]) > 0.0f) && y[i] == y[i]);
    }
}

/* ---- quantisation ------------------------------------------------------------------------------------------------ */
typedef struct job {
    const model *g;
    const cq_rotate_plan *plan;
    cq_quantize_desc desc;
    const cq_context *ctx;
    cq_policy policy;
    uint64_t hash;
    size_t count, stop_emit, stop_progress, calls, done, total, skipped;
    double loss, rtn_loss;
    const unsigned char *packed[200]; /* by part */
    model *replay;                    /* the model with what was emitted so far, or NULL */
    float *x;                         /* (tokens, cols) input of the current group in it */
    const cq_block *block;
    size_t x_cols, group;
} job;

static void hash_bytes(job *j, const void *p, size_t n) {
    for (size_t i = 0; i < n; i++) j->hash = (j->hash ^ ((const unsigned char *)p)[i]) * 1099511628211u;
}

/* of a module: its block in another model of the same description, and its number among the block's linears */
static cq_block *same_block(const job *j, const cq_module *mod, cq_model *m) {
    return &m->blocks[mod->block - j->g->m->blocks];
}
static size_t linear_number(const cq_module *mod) { return (size_t)(mod->linear - mod->block->lin); }

/* the inputs that a linear has in the replayed model, by running everything up to it */
static void replay_inputs(job *j, const cq_module *mod) {
    const cq_model *m = j->replay->m;
    const cq_block *b = same_block(j, mod, j->replay->m);
    cq_session_desc d;
    size_t n = j->desc.seq_len, group = cq__role_group(b->kind, mod->linear->role);
    if (j->x && j->block == b && j->group == group) return;
    memset(&d, 0, sizeof d);
    d.max_tokens = n;
    cq_session s = session_of(j->ctx, m, &d);
    j->block = b;
    j->group = group;
    j->x_cols = mod->linear->w.cols;
    j->x = (float *)get(j->desc.samples * n * j->x_cols * sizeof *j->x);
    for (size_t i = 0; i < j->desc.samples; i++) {
        cq_input in;
        seen log;
        memset(&in, 0, sizeof in);
        memset(&log, 0, sizeof log);
        in.n = n;
        in.ids = j->desc.ids + i * n;
        log.x = j->x + i * n * j->x_cols;
        log.cols = j->x_cols;
        cq_tap tap = tap_of(&log, b, group);
        cq_embed(&s, &in);
        cq_prepare(&s, &in);
        for (const cq_block *k = m->blocks; k < b; k++) cq_run_block(&s, k, &in, NULL);
        cq_run_block(&s, b, &in, &tap);
        assert_int_equal(log.rows, n);
    }
}
static void replay(job *j, const cq_module *mod) {
    cq_tensor *w = &same_block(j, mod, j->replay->m)->lin[linear_number(mod)].w;
    size_t rows = mod->linear->w.rows, cols = mod->linear->w.cols, tokens = j->desc.samples * j->desc.seq_len;
    double error = 0, power = 0;
    float *row = (float *)get(cols * sizeof *row);
    replay_inputs(j, mod);
    for (size_t r = 0; r < rows; r++) {
        cq_tensor_row(w, r, row);
        for (size_t t = 0; t < tokens; t++) {
            double e = 0, y = 0;
            for (size_t c = 0; c < cols; c++) {
                double x = (double)j->x[t * cols + c];
                e += ((double)row[c] - (double)mod->values[r * cols + c]) * x;
                y += (double)row[c] * x;
            }
            error += e * e;
            power += y * y;
        }
    }
    if (mod->codes && fabs(error / power - mod->report.loss) > 2e-3 * mod->report.loss + 1e-9)
        fail_msg("%s: loss %.6e, but it is %.6e on what it will see", cq_role_name(mod->linear->role), mod->report.loss,
                 error / power);
    w->data = (const unsigned char *)copy_of(mod->values, rows * cols * sizeof(float));
}

static bool emit(void *user, const cq_module *mod) {
    job *j = (job *)user;
    const cq_gptq_desc *d = mod->desc;
    size_t rows = mod->linear->w.rows, cols = mod->linear->w.cols, groups = cq_gptq_groups(d, cols), at = 0;
    cq_part part;
    cq_parts cursor = first_part;
    char name[100];
    size_t len = cq_module_name(j->g->m, mod->block, mod->linear, name, sizeof name);
    bool found = false;
    for (; cq_model_part(j->g->m, j->plan, &cursor, &part); at++) /* which it is; name without ".weight" */
        if ((found = part.kind == CQ_PART_LINEAR && part.block == mod->block && part.linear == mod->linear)) break;
    assert_true(found && part.matrix && !mod->starved);
    assert_true(len < sizeof name - 1 && part.name_len == len + 7);
    assert_memory_equal(part.name, name, len);
    assert_int_equal(part.rows, rows);
    assert_int_equal(part.cols, cols);
    assert_int_equal(mod->tokens, j->desc.rtn ? 0 : j->desc.samples * j->desc.seq_len);
    hash_bytes(j, mod->values, rows * cols * sizeof(float));
    if (!j->desc.policy) assert_int_equal(d->group_size, j->desc.gptq.group_size); /* 0 stays 0 */
    if (mod->codes) {
        hash_bytes(j, mod->codes, rows * cols);
        hash_bytes(j, &mod->report.loss, sizeof mod->report.loss);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) {
                size_t group = mod->g_idx ? mod->g_idx[c] : groups == 1 ? 0 : c / d->group_size;
                assert_true(group < groups);
                float value = cq_grid_value(mod->grids[r * groups + group], mod->codes[r * cols + c]);
                assert_true(mod->values[r * cols + c] == value);
            }
        assert_true((mod->g_idx != NULL) == (d->order == CQ_GPTQ_ACT_GROUPS));
        if (mod->tensor.data) {
            float *row = (float *)get(cols * sizeof *row);
            assert_int_equal(mod->tensor.format, d->format);
            for (size_t r = 0; r < rows; r++) {
                cq_tensor_row(&mod->tensor, r, row);
                same_bits(name, row, mod->values + r * cols, cols);
            }
            j->packed[at] = (const unsigned char *)copy_of(mod->tensor.data, mod->tensor.bytes);
        } else {
            assert_true(mod->g_idx || (d->group_size % 32 && d->group_size < cols));
        }
        if (!j->desc.rtn) {
            if (mod->report.loss > mod->report.rtn_loss * 1.0000001)
                fail_msg("%s: loss %.6e, of rounding %.6e", name, mod->report.loss, mod->report.rtn_loss);
            j->loss += mod->report.loss;
            j->rtn_loss += mod->report.rtn_loss;
        }
    } else { /* skipped: the weights as they are */
        float *w = (float *)get(rows * cols * sizeof *w);
        check(cq_part_read(j->ctx, j->g->m, j->plan, &part, 0, rows, w, err));
        same_bits(name, mod->values, w, rows * cols);
        assert_int_equal(mod->tensor.format, CQ_F32);
        assert_null(mod->tensor.data);
        j->skipped++;
    }
    if (j->replay) replay(j, mod);
    j->count++;
    return j->count != j->stop_emit;
}
static bool progress(void *user, size_t done, size_t total) {
    job *j = (job *)user;
    assert_true(done > j->done && done <= total);
    j->calls++;
    j->done = done;
    j->total = total;
    return j->calls != j->stop_progress;
}

#define SAMPLES 6u
static int32_t *calibration_ids(const cq_model *m) {
    int32_t *ids = (int32_t *)get(SAMPLES * TOKENS * sizeof *ids);
    rng_state = 4711;
    for (size_t i = 0; i < SAMPLES * TOKENS; i++) ids[i] = (int32_t)(rng() % m->vocab);
    return ids;
}
static job *job_of(const cq_context *ctx, const model *g, unsigned bits, size_t group, bool asym) {
    job *j = (job *)get(sizeof *j);
    j->g = g;
    j->ctx = ctx;
    j->hash = 1;
    j->desc.gptq.format = bits ? cq_format_int(bits) : CQ_F32;
    j->desc.gptq.group_size = group;
    j->desc.gptq.asym = asym;
    j->desc.ids = calibration_ids(g->m);
    j->desc.samples = SAMPLES;
    j->desc.seq_len = TOKENS;
    j->desc.emit = emit;
    j->desc.progress = progress;
    j->desc.user = j;
    return j;
}
static size_t job_size(job *j) {
    cq_arena a = cq_arena_over(NULL, 0);
    check(cq_quantize_model(j->ctx, j->g->m, &j->desc, &a, err));
    assert_int_equal(j->count, 0); /* a dry run calls nobody */
    assert_int_equal(j->done, 0);
    return a.used;
}
static cq_status job_run(job *j, cq_error *err) {
    cq_arena a = arena_of(job_size(j));
    return cq_quantize_model(j->ctx, j->g->m, &j->desc, &a, err);
}
static size_t linears(const model *g) { return g->m->layers * 7; }

/* Catches: a solver that is worse than rounding; Hessians of the wrong inputs: with the quantised linears in place, the
   reported loss must be what the model computes. Codes, grids, panels and values that are not the same weights. */
static void test_quantize(void **state) {
    static const struct {
        unsigned bits;
        size_t group;
        bool asym;
    } row[] = {{4, 0, false}, {4, 32, true}, {3, 32, false}, {2, 32, true}, {8, 64, false}, {8, 0, true}, {4, 64, true},
               {0, 20, false}};
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t k = 0; k < COUNT(row); k++) {
            if (k > 2 && k % COUNT(goldens) != i) continue; /* three everywhere, the others somewhere */
            model g = load(goldens[i]), copy;
            cq_context ctx = plain();
            job *j = job_of(&ctx, &g, row[k].bits, row[k].group, row[k].asym);
            if (k & 1) j->plan = j->desc.plan = rotate_plan(&ctx, g.m, 8);
            if (k % 3 == 0) j->plan = j->desc.plan = add_online(&ctx, g.m, k ? rotate_plan(&ctx, g.m, 8) : NULL, 4, 8);
            copy = read_parts(&ctx, &g, j->plan);
            j->replay = &copy;
            check(job_run(j, err));
            assert_int_equal(j->count, linears(&g));
            assert_int_equal(j->done, j->total);
            assert_true(j->loss < 0.9 * j->rtn_loss);
            cq_part part;
            cq_parts at = first_part;
            for (size_t n = 0; row[k].group % 32 == 0 && cq_model_part(g.m, j->plan, &at, &part); n++)
                assert_true((j->packed[n] != NULL) == (part.kind == CQ_PART_LINEAR));
        }
}

/* Catches: a size query that is not the size: too small for what is used, or larger than needed. */
static void test_quantize_memory(void **state) {
    cq_policy_rule rule[2];
    (void)state;
    memset(rule, 0, sizeof rule);
    rule[0].pattern = "model.layers.1.*"; /* the largest step is not in the first layer */
    rule[0].pattern_len = strlen(rule[0].pattern);
    rule[0].set = CQ_POLICY_FORMAT | CQ_POLICY_GROUP_SIZE | CQ_POLICY_ACTS;
    rule[0].format = CQ_INT8;
    rule[0].act_bits = 8;
    rule[0].group_size = 32;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t kind = 0; kind < 8; kind++) {
            model g = load(goldens[i]);
            cq_context ctx = plain();
            job *j = job_of(&ctx, &g, 2, 0, false);
            cq_error err;
            j->desc.rtn = (kind & 1) != 0;
            if (kind & 2) {
                j->policy.rules = rule;
                j->policy.count = 1;
                j->desc.policy = &j->policy;
            }
            if (kind & 4) {
                j->plan = j->desc.plan = rotate_plan(&ctx, g.m, 3);
                j->desc.gptq.order = CQ_GPTQ_ACT_GROUPS;
            }
            size_t need = job_size(j);
            cq_arena a = arena_of(need);
            check(cq_quantize_model(&ctx, g.m, &j->desc, &a, err));
            assert_true(a.used <= need);
            j->count = j->done = 0;
            a = cq_arena_over(get(need), need - 1);
            cq_status st = cq_quantize_model(&ctx, g.m, &j->desc, &a, &err);
            assert_int_equal(st, CQ_ERR_MEMORY);
            check_error(st, &err);
        }
}

/* Catches: results that depend on threads or instruction sets. */
static void test_quantize_same_bits(void **state) {
    static const cq_gptq_order orders[] = {CQ_GPTQ_ACT_STATIC, CQ_GPTQ_NATURAL, CQ_GPTQ_ACT_GROUPS};
    (void)state;
    for (size_t o = 0; o < COUNT(orders); o++) {
        cq_context ctx;
        uint64_t first = 0;
        for (size_t c = 0; context_number(c, &ctx); c++) {
            model g = load("dream");
            job *j = job_of(&ctx, &g, 3, 32, true);
            j->desc.gptq.order = orders[o];
            j->plan = j->desc.plan = rotate_plan(&ctx, g.m, 9);
            check(job_run(j, err));
            if (!c) first = j->hash;
            assert_true(j->hash == first);
            free_all(NULL);
        }
    }
}

/* Catches: rounding to nearest that is not that of the formats; calibration that happens although nobody needs it. */
static void test_quantize_rtn(void **state) {
    static const struct {
        unsigned bits;
        size_t group;
        bool asym;
        cq_format format;
    } row[] = {{8, 0, false, CQ_INT8}, {4, 32, true, CQ_INT4}, {3, 64, false, CQ_INT3}, {2, 0, true, CQ_INT2},
               {0, 64, true, CQ_INT4}};
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++)
        for (size_t k = 0; k < COUNT(row); k++) {
            model g = load(goldens[i]);
            cq_context ctx = plain();
            job *j = job_of(&ctx, &g, row[k].bits, row[k].group, row[k].asym);
            cq_part part;
            cq_parts at = first_part;
            j->desc.rtn = true;
            j->desc.ids = NULL;
            if (k & 1) j->plan = j->desc.plan = rotate_plan(&ctx, g.m, 1);
            check(job_run(j, err));
            assert_int_equal(j->count, linears(&g));
            assert_int_equal(j->done, j->total);
            for (size_t n = 0; cq_model_part(g.m, j->plan, &at, &part); n++) {
                if (part.kind != CQ_PART_LINEAR) continue;
                cq_tensor t;
                float *w = (float *)get(part.rows * part.cols * sizeof *w);
                check(cq_part_read(&ctx, g.m, j->plan, &part, 0, part.rows, w, err));
                check(cq_tensor_init(&t, row[k].format, CQ_PANELS, part.rows, part.cols,
                                     row[k].group < part.cols ? row[k].group : 0, row[k].asym, err));
                unsigned char *bytes = (unsigned char *)get(t.bytes);
                check(cq_quantize_rtn(&t, bytes, w, part.cols, err));
                assert_memory_equal(bytes, j->packed[n], t.bytes);
            }
        }
}

/* Catches: quantised and rotated weights that do not fit together with the embedding and the head in one file. */
static void test_quantize_to_file(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        model g = load(goldens[i]);
        cq_context ctx = plain();
        int32_t *ids = golden_ids(goldens[i]);
        job *j = job_of(&ctx, &g, 8, 32, false);
        j->plan = j->desc.plan = rotate_plan(&ctx, g.m, 2);
        check(job_run(j, err));
        model packed = write_cq(&ctx, &g, j->plan, CQ_INT8, 32, false, j->packed);
        float *want = run(&ctx, g.m, ids, BATCH, TOKENS, &usual);
        close_to(goldens[i], run(&ctx, packed.m, ids, BATCH, TOKENS, &usual), want, logits_count(g.m), 0.3);
    }
}

/* Catches: rules that are not applied, applied to others, or that leave a module half changed. */
static void test_quantize_policy(void **state) {
    static const struct {
        const char *pattern;
        unsigned set;
        cq_format format;
        size_t group;
        bool skip;
    } row[] = {{"*.o_proj", CQ_POLICY_FORMAT | CQ_POLICY_GROUP_SIZE, CQ_INT8, 0, false},
               {"*.layers.1.mlp.*", CQ_POLICY_SKIP, CQ_F32, 0, true},
               {"*.1.mlp.up_proj", CQ_POLICY_SKIP | CQ_POLICY_ASYM, CQ_F32, 0, false},
               {"*.v_proj", CQ_POLICY_FORMAT, CQ_INT4, 0, false},
               {"*.nothing", CQ_POLICY_FORMAT, CQ_INT2, 0, false}};
    cq_policy_rule rule[COUNT(row)];
    (void)state;
    for (int rtn = 0; rtn < 2; rtn++) {
        model g = load("mistral"), copy;
        cq_context ctx = plain();
        job *j = job_of(&ctx, &g, 3, 32, true);
        cq_part part;
        cq_parts at = first_part;
        cq_error err;
        memset(rule, 0, sizeof rule);
        for (size_t i = 0; i < COUNT(row); i++) {
            rule[i].pattern = row[i].pattern;
            rule[i].pattern_len = strlen(row[i].pattern);
            rule[i].set = row[i].set;
            rule[i].format = row[i].format;
            rule[i].group_size = row[i].group;
            rule[i].skip = row[i].skip;
        }
        j->policy.rules = rule;
        j->policy.count = COUNT(row);
        j->desc.policy = &j->policy;
        j->desc.rtn = rtn != 0;
        copy = read_parts(&ctx, &g, NULL);
        if (!rtn) j->replay = &copy;
        check(job_run(j, err));
        assert_int_equal(j->skipped, 2);
        assert_int_equal(j->done, j->total);
        assert_int_equal(cq_policy_unmatched(&j->policy, 0), 4);
        for (size_t n = 0; cq_model_part(g.m, NULL, &at, &part); n++) {
            if (part.kind != CQ_PART_LINEAR) continue;
            cq_role role = part.linear->role;
            bool last = part.block == &g.m->blocks[3], up = role == CQ_ROLE_UP && last, skip = last && !up;
            bool eight = role == CQ_ROLE_O, four = role == CQ_ROLE_V;
            assert_true((j->packed[n] == NULL) == skip);
            if (skip) continue;
            cq_tensor t; /* the size tells bits, groups and zeros */
            check(cq_tensor_init(&t, eight ? CQ_INT8 : four ? CQ_INT4 : CQ_INT3, CQ_PANELS, part.rows, part.cols,
                                 eight ? 0 : 32, !up, err));
            t.data = j->packed[n];
            for (size_t r = 0; r < part.rows; r++) cq_tensor_row(&t, r, (float *)get(part.cols * sizeof(float)));
        }
        rule[3].format = (cq_format)77; /* what no format holds: refused, and it says where */
        j->count = j->done = 0;
        cq_arena a = cq_arena_over(NULL, 0);
        assert_int_equal(cq_quantize_model(&ctx, g.m, &j->desc, &a, &err), CQ_ERR_ARG);
        assert_true(names(&err, "model.layers.0.self_attn.v_proj"));
    }
}

/* Catches: refusals that are not there, and callbacks whose answer is not heard. */
static void test_quantize_refuses(void **state) {
    model g = load("qwen3");
    cq_context ctx = plain();
    cq_error err;
    job *j;
    (void)state;
    for (size_t rtn = 0; rtn < 2; rtn++)
        for (size_t k = 1; k <= 14; k += 6) {
            j = job_of(&ctx, &g, 4, 0, false);
            j->desc.rtn = rtn != 0;
            j->stop_emit = k;
            assert_int_equal(job_run(j, &err), CQ_ERR_IO);
            check_error(CQ_ERR_IO, &err);
            assert_int_equal(j->count, k);
            j = job_of(&ctx, &g, 4, 0, false);
            j->desc.rtn = rtn != 0;
            j->stop_progress = k;
            assert_int_equal(job_run(j, &err), CQ_ERR_CANCELLED);
            check_error(CQ_ERR_CANCELLED, &err);
            assert_int_equal(j->calls, k);
        }
    j = job_of(&ctx, &g, 4, 0, false);
    j->desc.progress = NULL; /* nobody asks */
    check(job_run(j, err));
    for (size_t i = 0; i < 9; i++) {
        static const cq_status want[] = {CQ_ERR_ARG, CQ_ERR_ARG, CQ_ERR_ARG, CQ_ERR_ARG, CQ_ERR_RANGE, CQ_ERR_RANGE,
                                         CQ_ERR_ARG, CQ_ERR_ARG, CQ_ERR_RANGE};
        j = job_of(&ctx, &g, 4, 0, false);
        cq_arena a = arena_of(job_size(j));
        int32_t *ids = (int32_t *)copy_of(j->desc.ids, SAMPLES * TOKENS * 4);
        j->desc.ids = ids;
        if (i == 0) j->desc.gptq.format = CQ_BF16;
        if (i == 1) j->desc.samples = 0;
        if (i == 2) j->desc.seq_len = 0;
        if (i == 3) j->desc.ids = NULL;
        if (i == 4) ids[17] = (int32_t)g.m->vocab;
        if (i == 5) ids[17] = -1;
        if (i == 6) j->desc.emit = NULL;
        if (i == 7) j->desc.gptq.damp = 2.0f;
        if (i == 8) j->desc.samples = SIZE_MAX / 2;
        if (i == 8) a = cq_arena_over(NULL, 0);
        cq_status st = cq_quantize_model(&ctx, g.m, &j->desc, &a, &err);
        if (st != want[i]) fail_msg("case %zu: status %d", i, (int)st);
        check_error(st, &err);
        if (i == 4 || i == 5) assert_int_equal(err.where, 17);
    }
    /* a weight that is no number: named */
    model bad = read_parts(&ctx, &g, NULL);
    for (size_t rtn = 0; rtn < 2; rtn++) {
        cq_block *b = &bad.m->blocks[1];
        cq_tensor *w = &b->lin[b->at[CQ_ROLE_UP] - 1].w;
        float *data = (float *)copy_of(w->data, w->bytes);
        data[5] = (float)NAN;
        w->data = (const unsigned char *)data;
        j = job_of(&ctx, &bad, 4, 0, false);
        j->desc.rtn = rtn != 0;
        j->desc.emit = emit;
        assert_int_equal(job_run(j, &err), CQ_ERR_RANGE);
        assert_true(names(&err, "model.layers.0.mlp.up_proj"));
        assert_true(err.where == 0 && err.got == 5);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, free_all)
    const struct CMUnitTest tests[] = {
        TEST(test_golden_logits), TEST(test_golden_cases), TEST(test_same_bits), TEST(test_masks_agree),
        TEST(test_tap_and_hidden_rows), TEST(test_logits_rows), TEST(test_forward_refuses), TEST(test_rows_at_slots),
        TEST(test_slots_refused), TEST(test_activations),
        TEST(test_experts_chosen_once),
        TEST(test_arch_parse), TEST(test_arch_damage), TEST(test_arch_own), TEST(test_bind_config),
        TEST(test_bind_window), TEST(test_bind_rope), TEST(test_rope_long), TEST(test_bind_tensors),
        TEST(test_bind_memory), TEST(test_many_layers), TEST(test_parts), TEST(test_rotation), TEST(test_cq_formats),
        TEST(test_acts_of_file),
        TEST(test_online), TEST(test_online_refuses), TEST(test_cache_formats), TEST(test_cache_same_bits),
        TEST(test_int8_scores),
        TEST(test_cache_extremes),
        TEST(test_quantize), TEST(test_quantize_memory), TEST(test_quantize_same_bits), TEST(test_quantize_rtn),
        TEST(test_quantize_to_file), TEST(test_quantize_policy), TEST(test_quantize_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
