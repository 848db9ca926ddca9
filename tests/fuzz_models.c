/* Hostile models: config.json, description, safetensors or .cq damaged, then read, bound, and, if nothing objects, used
   in every way. One entry, used in two ways:
     clang -g -O1 -DCQ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. tests/fuzz_models.c -o fuzz && ./fuzz
     cc -g -O1 -fsanitize=address,undefined -I. tests/fuzz_models.c -o fuzz_models && ./fuzz_models 100000
   The second mutates the seeds below N times, always in the same way. Seeds are the models of tests/golden/arch, as
   safetensors or written as .cq files, and some made here. Run in the root of the repository, or define GOLDEN_DIR.
   Catches: sizes of config.json that are believed before a tensor confirms them, weights of another shape or type than
   the products take them for, memory and time that a small file can ask for, size queries that differ from use. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif

/* An input: one byte of options, three lengths of two bytes, then config.json, description (may be empty), header of
   safetensors, and the data behind it. A header of no bytes: the data are a .cq file, which has its own config.
   HOW_MORE: the data go on with numbers from here, as far as the header asks for. */
#define HOW_MORE 32u
#define HOW_INT8 1u
#define HOW_ONLINE 64u /* online rotations, and a cache of few bits */
#define HOW_ALL 31u
#define INPUT_HEAD 7u
#define PART_MAX 60000u /* of config, description and header, each */
#define INPUT_MAX ((size_t)1 << 20)
#define DATA_MAX ((size_t)1 << 21)
#define MEMORY_MAX ((size_t)1 << 26) /* no input of INPUT_MAX may need more */

static void *get(size_t n) { /* exact: the sanitizer sees its end */
    CHECK(n <= MEMORY_MAX);
    void *p = malloc(n ? n : 1);
    CHECK(p);
    return p;
}
static unsigned char *copy_of(const void *p, size_t n) {
    unsigned char *c = (unsigned char *)get(n);
    if (n) memcpy(c, p, n);
    return c;
}
static void check_error(cq_status status, const cq_error *err) {
    volatile unsigned char touched = 0;
    CHECK(status == err->status && err->what && *err->what);
    for (size_t i = 0; i < err->name_len; i++) touched = (unsigned char)(touched ^ (unsigned char)err->name[i]);
}

/* Positions or the rows of the embedding may end before those that are asked for; states only go forward. */
static bool may_fail(const cq_model *m, cq_status st) {
    return !st || (st == CQ_ERR_RANGE && (m->longest || m->position.rows || m->embed.rows < m->vocab)) ||
           (st == CQ_ERR_UNSUPPORTED && m->recurrent);
}

/* ---- what can be done with a model ------------------------------------------------------------------------------- */
static float *numbers(size_t n) {
    float *x = (float *)get(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)(i % 5) * 0.25f - 0.5f;
    return x;
}
static void generate(const cq_context *ctx, const cq_model *m, unsigned how) {
    cq_session_desc d;
    cq_generate_desc gd;
    cq_session s;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    int32_t ids[8];
    memset(&d, 0, sizeof d);
    memset(&gd, 0, sizeof gd);
    d.max_tokens = 8;
    d.max_rows = how & 4 ? 0 : 8;
    d.tile = how & 4 ? 3 : 0;
    d.act_bits = how & HOW_INT8 ? (how & HOW_ONLINE ? 4 : 8) : 0;
    d.kv_bits = how & HOW_ONLINE ? 3 : 0;
    CHECK(!cq_session_init(&s, ctx, m, &d, &a, &a, &err));
    size_t need = a.used;
    void *mem = get(need);
    a = cq_arena_over(mem, need);
    CHECK(!cq_session_init(&s, ctx, m, &d, &a, &a, &err) && a.used == need);
    size_t rows = m->vocab < m->embed.rows ? m->vocab : m->embed.rows;
    for (size_t i = 0; i < 8; i++) ids[i] = (int32_t)((i * 5 + 1) % rows);

    if (m->two_streams) {
        float *text = numbers(2 * m->input[0].w.cols), *box = m->input[1].w.rows ? numbers(m->input[1].w.cols) : NULL;
        CHECK(!cq_forward_text(&s, text, 2, box, &err));
        free(text);
        free(box);
    }
    cq_input in;
    memset(&in, 0, sizeof in);
    in.ids = ids;
    in.n = 4;
    cq_status st = cq_forward(&s, &in, &err);
    if (st) { /* positions may end early */
        check_error(st, &err);
        CHECK(st == CQ_ERR_RANGE && (m->longest || m->position.rows));
        free(mem);
        return;
    }
    float *logits = (float *)get(4 * m->vocab * sizeof *logits);
    cq_logits(&s, NULL, 4, logits);
    free(logits);
    in.n = 1; /* one more row, from the cache or the state */
    in.slot = 4;
    st = cq_forward(&s, &in, &err);
    CHECK(!st || (st == CQ_ERR_RANGE && (m->longest || m->position.rows)));
    if (m->two_streams) {
        free(mem);
        return;
    }

    gd.steps = 2;
    gd.temperature = how & 8 ? 0.7f : 0.0f;
    gd.alg = how & 8 ? CQ_ALG_ENTROPY : CQ_ALG_ORIGIN;
    gd.cache = how & 4 ? CQ_CACHE_STEPS : CQ_CACHE_NONE;
    a = cq_arena_over(NULL, 0);
    if (m->arch.diffusion) {
        cq_generator g;
        for (size_t i = 4; i < 8; i++) ids[i] = m->mask_id;
        CHECK(!cq_generate_begin(&g, &s, &gd, ids, 8, 4, NULL, &a, &err));
        void *more = get(a.used);
        a = cq_arena_over(more, a.used);
        CHECK(!cq_generate_begin(&g, &s, &gd, ids, 8, 4, NULL, &a, &err));
        st = cq_generate_step(&g, &err);
        CHECK(may_fail(m, st));
        free(more);
    } else {
        size_t count;
        CHECK(!cq_generate_next(&s, &gd, ids, 4, 2, m->eos_id, &count, NULL, &a, &err));
        void *more = get(a.used);
        a = cq_arena_over(more, a.used);
        count = 0;
        st = cq_generate_next(&s, &gd, ids, 4, 2, m->eos_id, &count, NULL, &a, &err);
        CHECK(may_fail(m, st) && count <= 2);
        free(more);
    }
    for (size_t i = 0; i < 8; i++) CHECK(ids[i] >= 0 && (size_t)ids[i] < m->vocab);
    free(mem);
}

typedef struct emitted {
    const cq_model *m;
    size_t count;
} emitted;
static bool emit(void *user, const cq_module *module) {
    emitted *e = (emitted *)user;
    const cq_linear *l = module->linear;
    char name[300];
    float row;
    if (module->tensor.data) cq_tensor_span(&module->tensor, l->w.rows - 1, l->w.cols - 1, 1, &row);
    CHECK(module->block >= e->m->blocks && module->block < e->m->blocks + e->m->block_count);
    CHECK(l >= module->block->lin && l < module->block->lin + module->block->linears && !l->keep);
    CHECK(cq_module_name(e->m, module->block, l, name, sizeof name) < sizeof name);
    e->count++;
    return true;
}

/* A configuration of rotations: words of the grammar where they belong, and now and then where they do not. */
typedef struct words {
    uint64_t seed, next;
    size_t n;
    char text[4000];
} words;
static void say(words *w, const char *text) {
    size_t n = strlen(text);
    CHECK(w->n + n < sizeof w->text);
    memcpy(w->text + w->n, text, n + 1);
    w->n += n;
}
static unsigned draw(words *w, unsigned below) { return (unsigned)(cq_random(w->seed, 7, w->next++) % below); }
static void say_one(words *w, const char *const *of, size_t n) { say(w, of[draw(w, (unsigned)n)]); }
#define SAY_ONE(w, of) say_one(w, of, sizeof of / sizeof *of)
static void make_config(words *w) {
    static const char *const dims[] = {"\"hidden_size\"", "\"head_dim\"", "1", "2", "4", "8", "12", "20", "7", "-1",
                                       "\"model_type\"", "\"x\"", "1e30", "4294967296", "null", "[]"},
                      *const modes[] = {"\"hadamard\"", "\"base_hadamard\"", "\"orthogonal\"", "\"hadamard\"", "3"},
                      *const pers[] = {"false", "true", "\"*self_attn\"", "\"*\"", "\"*.layers.0\"", "\"\"", "0"},
                      *const names[] = {"\"r1\"", "null", "\"r2\"", "null", "\"q\"", "\"none\"", "1"},
                      *const patterns[] = {"*q_proj|*k_proj", "*v_proj", "*o_proj", "*embed*", "*lm_head", "*up_proj",
                                           "*gate", "*", "*down_proj|*w2", "*layers.0.*", "a|b", "|", "[", "*[a-", ""},
                      *const norms[] = {"\"input_layernorm\"", "\"ln_1\"", "\"norm\"", "\"q_norm\"", "1",
                                        "\"post_attention_layernorm\""},
                      *const readers[] = {"\"self_attn.q_proj\"", "[\"self_attn.q_proj\", \"mlp.up_proj\"]", "[]",
                                          "[1, null]", "{}", "\"lm_head\""};
    say(w, draw(w, 4) ? "{\"optional_entries\": true, " : "{");
    say(w, "\"rotation_matrices\": {");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const of[] = {"\"r1\": {\"dim\": ", ", \"r2\": {\"dim\": ", ", \"q\": {\"dim\": "};
        say(w, of[i]);
        if (draw(w, 16)) say(w, dims[draw(w, 3) ? i % 2 : draw(w, 6)]);
        else SAY_ONE(w, dims);
        say(w, ", \"mode\": ");
        say_one(w, modes, draw(w, 32) ? 3 : sizeof modes / sizeof *modes);
        say(w, ", \"per_layer\": ");
        if (draw(w, 16)) say(w, pers[draw(w, 2) ? i % 2 : draw(w, 5)]);
        else SAY_ONE(w, pers);
        say(w, "}");
    }
    say(w, "}, \"rotation_config\": {");
    for (unsigned i = 0, n = draw(w, 5), first = draw(w, 15); i < n; i++) {
        char key[60];
        snprintf(key, sizeof key, "%s\"%s\": [", i ? ", " : "", patterns[(first + i) % 15]);
        say(w, key);
        for (unsigned k = 0; k < 2; k++) {
            if (k) say(w, ", ");
            say_one(w, names, draw(w, 32) ? 5 : sizeof names / sizeof *names);
        }
        say(w, "]");
    }
    say(w, "}, \"norm_fuse_config\": {\"lm_head_fuse\": [], \"decoder_layer_fuse\": [");
    for (unsigned i = 0, n = draw(w, 3); i < n; i++) {
        say(w, i ? ", [" : "[");
        SAY_ONE(w, norms);
        say(w, ", ");
        SAY_ONE(w, readers);
        say(w, "]");
    }
    say(w, "]}}");
}
/* Plans by such a configuration, or a built-in one. true: *plan is made, in *mem. */
static bool plan_config(const cq_context *ctx, const cq_model *m, uint64_t seed, cq_rotate_plan *plan, void **mem) {
    static words w;
    const char *text = w.text;
    cq_json j;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    w.seed = seed;
    w.next = w.n = 0;
    if (seed % 4) make_config(&w);
    else (void)cq_rotate_builtin(seed / 4 % 2, &text);
    CHECK(!cq_json_parse(&j, text, strlen(text), &a, &err));
    void *nodes = get(a.used);
    a = cq_arena_over(nodes, a.used);
    CHECK(!cq_json_parse(&j, text, strlen(text), &a, &err));
    a = cq_arena_over(NULL, 0);
    cq_status st = cq_rotate_plan_config(plan, ctx, m, &j, 1, &a, &err);
    if (st) {
        check_error(st, &err);
    } else {
        size_t need = a.used;
        *mem = get(need);
        a = cq_arena_over(*mem, need);
        CHECK(!cq_rotate_plan_config(plan, ctx, m, &j, 1, &a, &err) && a.used == need);
        for (const cq_rotate_note *n = plan->notes; n; n = n->next)
            CHECK(strlen(n->module) < sizeof plan->module && *n->what && *n->why);
        cq_rotate_matrix at;
        for (size_t i = 0; cq_rotate_plan_matrix(plan, m, i, &at); i++) CHECK(at.r->n && *at.file && at.name.n);
    }
    free(nodes); /* names stay in the text */
    return !st;
}

static uint64_t config_seed(const cq_model *m, unsigned how) {
    uint64_t seed = how;
    for (size_t i = 0; i < m->config.len; i++) seed = seed * 31 + (unsigned char)m->config.text[i];
    return seed;
}

/* rotates, reads all parts, and quantises to int4 */
static void convert(const cq_context *ctx, cq_model *m, unsigned how) {
    static const cq_parts begin;
    cq_parts cursor = begin;
    cq_rotate_plan plan, *use = NULL;
    cq_quantize_desc qd;
    cq_part part;
    cq_error err;
    int32_t ids[4] = {0, 0, 0, 0};
    emitted modules;
    void *mem = NULL, *turned = NULL;
    cq_arena a = cq_arena_over(NULL, 0);
    cq_status st = cq_rotate_plan_auto(&plan, ctx, m, 1, &a, &err);
    CHECK(!st || st == CQ_ERR_UNSUPPORTED);
    if (st) check_error(st, &err);
    if ((how & 5) != 5) {
        if (plan_config(ctx, m, config_seed(m, how), &plan, &mem)) use = &plan;
    } else if (!st) {
        use = &plan;
        mem = get(a.used);
        a = cq_arena_over(mem, a.used);
        CHECK(!cq_rotate_plan_auto(&plan, ctx, m, 1, &a, &err));
    }
    if (how & HOW_ONLINE) {
        size_t r3 = how & 2 ? CQ_ONLINE_WIDEST : 0, r4 = how & 4 ? 2 : CQ_ONLINE_WIDEST;
        if (!use) memset(&plan, 0, sizeof plan);
        a = cq_arena_over(NULL, 0);
        st = cq_rotate_plan_online(&plan, ctx, m, r3, r4, &a, &err);
        CHECK(!st || st == CQ_ERR_UNSUPPORTED);
        if (st) {
            check_error(st, &err);
            plan.onlines = 0;
            memset(plan.online_at, 0, sizeof plan.online_at);
        } else {
            use = &plan;
            turned = get(a.used);
            a = cq_arena_over(turned, a.used);
            CHECK(!cq_rotate_plan_online(&plan, ctx, m, r3, r4, &a, &err));
            char text[1];
            CHECK(cq_rotate_print(m, use, text, 1) > 1);
        }
    }
    while (cq_model_part(m, use, &cursor, &part)) {
        CHECK(part.name_len < sizeof part.name && !part.name[part.name_len]);
        if (part.kind == CQ_PART_CARRIED) continue;
        float *out = (float *)get(part.rows * part.cols * sizeof *out);
        CHECK(!cq_part_read(ctx, m, use, &part, 0, part.rows, out, &err));
        free(out);
    }
    CHECK(!cq_model_part(m, use, &cursor, &part));
    memset(&qd, 0, sizeof qd);
    modules.m = m;
    modules.count = 0;
    qd.gptq.group_size = how & 4 ? 32 : 0;
    qd.gptq.order = how & 8 ? CQ_GPTQ_ACT_GROUPS : CQ_GPTQ_ACT_STATIC;
    qd.rtn = (how & 8) != 0 && (how & 4) != 0;
    qd.plan = use;
    qd.ids = ids;
    qd.samples = 1;
    qd.seq_len = 4;
    float *text = m->two_streams ? numbers(2 * m->input[0].w.cols) : NULL;
    float *box = m->two_streams && m->input[1].w.rows ? numbers(m->input[1].w.cols) : NULL;
    qd.text = text;
    qd.text_rows = text ? 2 : 0;
    qd.boxes = box;
    qd.emit = emit;
    qd.user = &modules;
    a = cq_arena_over(NULL, 0);
    st = cq_quantize_model(ctx, m, &qd, &a, &err);
    /* fewer positions than that; what cannot be quantised says so at once */
    CHECK(!st || (st == CQ_ERR_RANGE && (m->position.rows || m->longest)) || st == CQ_ERR_UNSUPPORTED);
    if (!st) {
        void *more = get(a.used);
        a = cq_arena_over(more, a.used);
        st = cq_quantize_model(ctx, m, &qd, &a, &err);
        CHECK(st == CQ_OK || st == CQ_ERR_RANGE || st == CQ_ERR_NOT_SPD); /* weights that are no numbers, or overflow */
        free(more);
    }
    if (st) check_error(st, &err);
    free(text);
    free(box);
    free(turned);
    free(mem);
}

static unsigned long bound; /* inputs that became a model */
static void use(const char *config, size_t config_len, const char *arch, size_t arch_len, const cq_weights *w,
                unsigned how) {
    cq_context_desc cd;
    cq_context ctx;
    cq_error err;
    size_t need = cq_model_bound(config_len, w, arch, arch_len);
    void *mem = get(need);
    cq_model *m = (cq_model *)get(sizeof *m);
    cq_arena a = cq_arena_over(mem, need);
    memset(&cd, 0, sizeof cd);
    cd.isa = how & 2 ? "scalar" : NULL;
    if (cq_init(&ctx, &cd, &err)) CHECK(!cq_init(&ctx, NULL, &err));
    cq_status st = cq_model_bind(m, config, config_len, w, arch_len ? arch : NULL, arch_len, &a, &err);
    CHECK(st != CQ_ERR_MEMORY); /* the bound suffices */
    if (st) {
        check_error(st, &err);
    } else {
        bound++;
        need = a.used; /* and what was used is all that is needed */
        free(mem);
        mem = get(need);
        a = cq_arena_over(mem, need);
        CHECK(!cq_model_bind(m, config, config_len, w, arch_len ? arch : NULL, arch_len, &a, &err));
        generate(&ctx, m, how);
        for (uint64_t i = 0; i < 4; i++) {
            cq_rotate_plan plan;
            void *rotations = NULL;
            (void)plan_config(&ctx, m, config_seed(m, how + 32) + i, &plan, &rotations);
            free(rotations);
        }
        if (how & 16) convert(&ctx, m, how);
    }
    free(m);
    free(mem);
}

/* the largest end of data that a header of safetensors names */
static size_t asked_for(const char *header, size_t n) {
    static const char key[] = "\"data_offsets\":[";
    size_t most = 0;
    for (size_t i = 0; i + sizeof key < n; i++) {
        if (memcmp(header + i, key, sizeof key - 1)) continue;
        size_t v = 0, k = i + sizeof key - 1;
        while (k < n && header[k] != ',') k++;
        for (k++; k < n && header[k] >= '0' && header[k] <= '9' && v < DATA_MAX; k++)
            v = 10 * v + (size_t)(header[k] - '0');
        if (v > most) most = v;
    }
    return most;
}
/* bfloat16 from 0.125 to 0.5 with both signs, and nearly so in any other format */
static unsigned char going_on(size_t i) {
    unsigned h = (unsigned)(i / 2) * 2654435761u;
    h ^= h >> 15;
    return (unsigned char)(i & 1 ? 0x3e | (h & 0x80) : h >> 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cq_weights w;
    cq_file f;
    cq_error err;
    if (size < INPUT_HEAD || size > INPUT_MAX) return 0;
    size_t config_len = cq__u16(data + 1), arch_len = cq__u16(data + 3), header_len = cq__u16(data + 5);
    if (config_len + arch_len + header_len > size - INPUT_HEAD) return 0;
    const uint8_t *p = data + INPUT_HEAD;
    size_t rest = size - INPUT_HEAD - config_len - arch_len, n = header_len ? 8 + rest : rest, data_len = 0;
    if (header_len && (data[0] & HOW_MORE)) {
        data_len = asked_for((const char *)p + config_len + arch_len, header_len);
        if (data_len > DATA_MAX) data_len = 0;
        if (8 + header_len + data_len > n) n = 8 + header_len + data_len;
    }
    char *config = (char *)copy_of(p, config_len), *arch = (char *)copy_of(p + config_len, arch_len);
    unsigned char *file = (unsigned char *)get(n);
    if (header_len) cq__put64(file, header_len);
    if (rest) memcpy(file + (header_len ? 8 : 0), p + config_len + arch_len, rest);
    for (size_t i = header_len ? 8 + rest : n; i < n; i++) file[i] = going_on(i);
    if (!header_len && n >= 192) { /* make the checksum right, or nothing behind it would be tested */
        uint64_t head = cq__u64(file + 16);
        if (head >= 192 && head <= n) cq__put64(file + 32, cq__file_head_sum(file, (size_t)head));
    }
    void *mem = NULL;
    size_t need = 0;
    for (int pass = 0; pass < 2; pass++) { /* size, then use */
        cq_arena a = cq_arena_over(mem, 0);
        if (pass) {
            mem = get(need);
            a = cq_arena_over(mem, need);
        }
        cq_status st = header_len ? cq_safetensors_read(file, n, 0, &a, &w, &err) : cq_file_open(&f, file, n, &a, &err);
        if (st) {
            check_error(st, &err);
            break;
        }
        need = a.used;
        if (!pass) continue;
        if (header_len) {
            use(config, config_len, arch, arch_len, &w, data[0]);
        } else {
            const cq_bytes *c = &f.section[CQ_SECTION_CONFIG], *d = &f.section[CQ_SECTION_DESCRIPTION];
            use((const char *)c->data, c->size, (const char *)d->data, d->size, &f.weights, data[0]);
        }
    }
    free(mem);
    free(file);
    free(config);
    free(arch);
    return 0;
}

#ifndef CQ_LIBFUZZER
/* ---- seeds --------------------------------------------------------------------------------------------------------
   The parts of an input; mutations keep them apart, so that what follows one stays in its place. */
typedef struct input {
    unsigned char how;
    size_t len[4]; /* config, description, header, data */
    unsigned char *part[4];
} input;

static size_t join(const input *in, unsigned char *out) {
    size_t n = INPUT_HEAD;
    out[0] = in->how;
    for (size_t i = 0; i < 3; i++) {
        out[1 + 2 * i] = (unsigned char)in->len[i];
        out[2 + 2 * i] = (unsigned char)(in->len[i] >> 8);
    }
    for (size_t i = 0; i < 4; i++) {
        memcpy(out + n, in->part[i], in->len[i]);
        n += in->len[i];
    }
    return n;
}

static unsigned char data[2 * INPUT_MAX];
static bool becomes_model(const input *in) {
    unsigned long before = bound;
    LLVMFuzzerTestOneInput(data, join(in, data));
    return bound > before;
}

#define TENSORS_MAX 2048u
#define NAME_MAX 96u
typedef struct builder {
    cq_named list[TENSORS_MAX];
    char name[TENSORS_MAX][NAME_MAX];
    size_t count;
    uint64_t counter;
} builder;
static builder b;

/* shape: up to four dimensions, 0 ends */
static void add(const char *name, const uint64_t *shape, cq_format format, cq_layout layout, size_t group, bool asym) {
    cq_named *t = &b.list[b.count];
    size_t rows = 1, cols = 1;
    CHECK(b.count < TENSORS_MAX && strlen(name) < NAME_MAX);
    memset(t, 0, sizeof *t);
    t->name = strcpy(b.name[b.count++], name);
    t->name_len = strlen(name);
    for (; t->ndim < 4 && shape[t->ndim]; t->ndim++) {
        t->shape[t->ndim] = shape[t->ndim];
        rows *= cols;
        cols = (size_t)shape[t->ndim];
    }
    t->dtype = (uint8_t)format; /* the first three are the same */
    if (group >= cols) group = 0;
    CHECK(!cq_tensor_init(&t->t, format, layout, rows, cols, cq_format_is_coded(format) ? group : 0,
                          cq_format_is_coded(format) && asym, NULL));
    t->bytes = t->t.bytes;
}
static void drop(input *in) {
    for (size_t k = 0; k < 4; k++) free(in->part[k]);
    memset(in, 0, sizeof *in);
}
static void set(input *in, size_t part, const void *p, size_t n) {
    in->part[part] = copy_of(p, n);
    in->len[part] = n;
}
/* the tensors of the list as safetensors, whose data are those of going_on; false: too large for an input */
static bool as_safetensors(input *in) {
    uint64_t offsets[TENSORS_MAX + 1];
    size_t need;
    CHECK(!cq_safetensors_header(b.list, b.count, NULL, 0, &need, offsets, NULL));
    unsigned char *head = (unsigned char *)get(need);
    CHECK(!cq_safetensors_header(b.list, b.count, head, need, &need, offsets, NULL));
    if (need >= PART_MAX || offsets[b.count] - need > DATA_MAX) {
        free(head);
        return false;
    }
    set(in, 2, head + 8, need - 8);
    set(in, 3, "", 0);
    in->how |= HOW_MORE;
    free(head);
    return true;
}
static void random_values(float *w, const cq_named *t) {
    for (size_t i = 0; i < t->t.rows * t->t.cols; i++) {
        float v = (float)(cq_random(3, 4, b.counter++) >> 40) * 0x1p-24f - 0.5f;
        w[i] = t->ndim == 1 ? 1.0f + v : v;
    }
}
/* The tensors of the list as a .cq file. part: where the values come from, NULL: at random. */
typedef void (*fill_fn)(void *user, size_t index, float *w);
static void as_cq_file(input *in, fill_fn fill, void *user) {
    uint64_t section[CQ_SECTION_COUNT] = {0, 0, 0, 0};
    cq_file_layout l;
    cq_checksum sum;
    cq_arena a = cq_arena_over(NULL, 0);
    section[CQ_SECTION_CONFIG] = in->len[0];
    section[CQ_SECTION_DESCRIPTION] = in->len[1];
    CHECK(!cq_file_plan(&l, b.list, b.count, section, &a, NULL));
    void *mem = get(a.used);
    a = cq_arena_over(mem, a.used);
    CHECK(!cq_file_plan(&l, b.list, b.count, section, &a, NULL) && l.file_bytes <= INPUT_MAX / 2);
    unsigned char *file = (unsigned char *)get((size_t)l.file_bytes);
    memset(file, 0, (size_t)l.file_bytes);
    memcpy(file + l.section_offset[CQ_SECTION_CONFIG], in->part[0], in->len[0]);
    memcpy(file + l.section_offset[CQ_SECTION_DESCRIPTION], in->part[1], in->len[1]);
    for (size_t i = 0; i < b.count; i++) {
        cq_tensor t = b.list[i].t;
        unsigned char *to = file + l.offset[i];
        float *w = (float *)get(t.rows * t.cols * sizeof *w);
        if (fill) fill(user, i, w);
        else random_values(w, &b.list[i]);
        if (t.layout == CQ_PANELS) CHECK(!cq_quantize_rtn(&t, to, w, t.cols, NULL));
        else
            for (size_t k = 0; k < t.rows * t.cols; k++) cq__put32(to + 4 * k, cq__bits(w[k]));
        free(w);
    }
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, file + l.head_bytes, (size_t)(l.file_bytes - l.head_bytes));
    cq_file_header(&l, cq_checksum_value(&sum), file);
    for (size_t k = 0; k < 4; k++) free(in->part[k]);
    set(in, 0, "", 0);
    set(in, 1, "", 0);
    set(in, 2, "", 0);
    set(in, 3, file, (size_t)l.file_bytes);
    free(mem);
    free(file);
}

/* ---- models of two layers, hidden 32, of the names of Llama ---- */
typedef struct seed_row {
    unsigned how;
    const char *arch, *more;  /* more of config.json */
    bool qkv, o, qk_norm, tied, own; /* biases; norms; the description is given, not looked up */
    cq_format format;         /* of the matrices */
    size_t group;
    bool asym, file;          /* a .cq file */
} seed_row;
static const seed_row seeds[] = {
    {0, "Dream", "\"mask_token_id\":10,\"eos_token_id\":[3,4]", true, false, false, false, false, CQ_BF16, 0, false,
     false},
    {18, "llama", "\"attention_bias\":true,\"mlp_bias\":false,\"max_position_embeddings\":64,\"rope_parameters\":"
     "{\"rope_type\":\"llama3\",\"rope_theta\":1e4,\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0}",
     true, true, false, false, false, CQ_F16, 0, false, false},
    {4, "qwen3", "\"rms_norm_eps\":1e-5,\"sliding_window\":2,\"use_sliding_window\":true,\"max_window_layers\":1,"
     "\"hidden_act\":\"gelu_new\"", false, false, true, true, false, CQ_F32, 0, false, false},
    {17, "qwen2", "\"sliding_window\":3,\"use_sliding_window\":true,\"layer_types\":[\"full_attention\","
     "\"sliding_attention\"],\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":30,"
     "\"original_max_position_embeddings\":16}", true, false, false, false, true, CQ_BF16, 0, false, false},
    {5, "Dream", "\"mask_token_id\":10,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", true, false, false, false,
     true, CQ_INT4, 0, true, true},
    {25, "mistral", "\"sliding_window\":2,\"hidden_act\":\"relu\"", false, false, false, true, false, CQ_INT8, 32,
     false, true},
    {11, "qwen3", "\"attention_bias\":null", false, false, true, false, true, CQ_INT3, 32, true, true},
    {29, "llama", "\"rope_theta\":500000,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":3},"
     "\"max_position_embeddings\":3", false, false, false, false, false, CQ_INT2, 0, false, true},
    {16, "qwen2", "\"bos_token_id\":1", true, false, false, false, false, CQ_F16, 0, false, true},
    {2, "llama", "\"max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2],"
     "\"long_factor\":[2,4.5],\"original_max_position_embeddings\":2}", false, false, false, true, false, CQ_F32, 0,
     false, false},
};
enum { HIDDEN = 32, HEADS = 2, KV = 1, HEAD_DIM = 4, INTER = 6, VOCAB = 12, LAYERS = 2 };

static void seed_make(const seed_row *row, input *in) {
    static const struct {
        const char *name;
        size_t rows, cols;
        char bias; /* 'q', 'o': as the row says */
    } part[] = {{"input_layernorm", 0, HIDDEN, 0},
                {"self_attn.q_norm", 0, HEAD_DIM, 'n'},
                {"self_attn.k_norm", 0, HEAD_DIM, 'n'},
                {"self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN, 'q'},
                {"self_attn.k_proj", KV * HEAD_DIM, HIDDEN, 'q'},
                {"self_attn.v_proj", KV * HEAD_DIM, HIDDEN, 'q'},
                {"self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM, 'o'},
                {"post_attention_layernorm", 0, HIDDEN, 0},
                {"mlp.gate_proj", INTER, HIDDEN, 0},
                {"mlp.up_proj", INTER, HIDDEN, 0},
                {"mlp.down_proj", HIDDEN, INTER, 0}};
    cq_layout layout = row->file ? CQ_PANELS : CQ_ROWS;
    cq_format vectors = row->file ? CQ_F32 : row->format;
    uint64_t shape[5] = {VOCAB, HIDDEN, 0, 0, 0}, vector[2] = {HIDDEN, 0};
    cq_arch arch;
    char text[1500], name[NAME_MAX];
    memset(&b, 0, sizeof b);
    CHECK(!cq_arch_find(&arch, row->arch, strlen(row->arch), NULL));
    in->how = (unsigned char)row->how;
    int n = snprintf(text, sizeof text,
        "{\"model_type\":\"%s\",\"hidden_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,"
        "\"num_key_value_heads\":%d,\"head_dim\":%d,\"intermediate_size\":%d,\"vocab_size\":%d,"
        "\"tie_word_embeddings\":%s,%s}",
        row->own ? "mine" : row->arch, HIDDEN, LAYERS, HEADS, KV, HEAD_DIM, INTER, VOCAB, row->tied ? "true" : "false",
        row->more);
    set(in, 0, text, (size_t)n);
    n = snprintf(text, sizeof text, "%.*s%s", (int)arch.text.n, arch.text.p, "attn = r3=4\nmlp = r4=2\n");
    CHECK(n > 0 && (size_t)n < sizeof text);
    set(in, 1, text, row->own ? (size_t)n : 0);
    add("model.embed_tokens.weight", shape, row->format, layout, row->group, row->asym);
    if (!row->tied) add("lm_head.weight", shape, row->format, layout, row->group, row->asym);
    add("model.norm.weight", vector, vectors, CQ_ROWS, 0, false);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
            if (part[i].bias == 'n' && !row->qk_norm) continue;
            shape[0] = part[i].rows ? part[i].rows : part[i].cols;
            shape[1] = part[i].rows ? part[i].cols : 0;
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, part[i].name);
            if (part[i].rows) add(name, shape, row->format, layout, row->group, row->asym);
            else add(name, shape, vectors, CQ_ROWS, 0, false);
            if (part[i].bias == 'q' ? !row->qkv : part[i].bias == 'o' ? !row->o : true) continue;
            shape[1] = 0;
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", l, part[i].name);
            add(name, shape, vectors, CQ_ROWS, 0, false);
        }
    if (row->file) as_cq_file(in, NULL, NULL);
    else CHECK(as_safetensors(in));
}

/* ---- models of tests/golden/arch: only their config.json and table of tensors; the values are others ---- */
/* NAME with {2..5} or {a,b} in braces: once for each. Recurses for each pair of braces. */
static void add_all(const char *name, const uint64_t *shape) {
    const char *open = strchr(name, '{'), *close = open ? strchr(open, '}') : NULL;
    char one[256];
    int from, to, used = 0;
    if (!open) {
        add(name, shape, CQ_BF16, CQ_ROWS, 0, false);
        return;
    }
    CHECK(close);
    if (sscanf(open, "{%d..%d}%n", &from, &to, &used) == 2 && used == close + 1 - open) {
        for (; from <= to; from++) {
            used = snprintf(one, sizeof one, "%.*s%d%s", (int)(open - name), name, from, close + 1);
            CHECK((size_t)used < sizeof one);
            add_all(one, shape);
        }
        return;
    }
    for (const char *p = open + 1; p <= close; p++) {
        const char *end = p;
        while (*end != ',' && *end != '}') end++;
        CHECK((size_t)snprintf(one, sizeof one, "%.*s%.*s%s", (int)(open - name), name, (int)(end - p), p, close + 1) <
              sizeof one);
        add_all(one, shape);
        p = end;
    }
}

typedef struct writer { /* of a .cq file of all parts of a model */
    cq_context ctx;
    cq_model m;
    cq_part part[TENSORS_MAX];
} writer;
static void write_part(void *user, size_t index, float *w) {
    writer *o = (writer *)user;
    cq_error err;
    CHECK(!cq_part_read(&o->ctx, &o->m, NULL, &o->part[index], 0, o->part[index].rows, w, &err));
}
/* The same model as a .cq file, with matrices in a format of integers. */
static void seed_pack(input *in, cq_format format, size_t group, bool asym) {
    static writer o;
    static const cq_parts begin;
    cq_parts cursor = begin;
    cq_weights w;
    cq_error err;
    size_t need = 0, n = 8 + in->len[2] + asked_for((const char *)in->part[2], in->len[2]);
    unsigned char *file = (unsigned char *)get(n);
    cq__put64(file, in->len[2]);
    memcpy(file + 8, in->part[2], in->len[2]);
    for (size_t i = 8 + in->len[2]; i < n; i++) file[i] = going_on(i);
    cq_arena a = cq_arena_over(NULL, 0);
    CHECK(!cq_safetensors_read(file, n, 0, &a, &w, &err));
    void *list = get(need = a.used);
    a = cq_arena_over(list, need);
    CHECK(!cq_safetensors_read(file, n, 0, &a, &w, &err));
    void *mem = get(need = cq_model_bound(in->len[0], &w, NULL, 0));
    a = cq_arena_over(mem, need);
    CHECK(!cq_init(&o.ctx, NULL, &err));
    if (cq_model_bind(&o.m, (const char *)in->part[0], in->len[0], &w, NULL, 0, &a, &err)) {
        fprintf(stderr, "%s: %.*s\n%.*s\n", err.what, (int)err.name_len, err.name, (int)in->len[0], in->part[0]);
        CHECK(!"a golden model does not bind");
    } else {
        static char names[TENSORS_MAX][256];
        memset(&b, 0, sizeof b);
        while (cq_model_part(&o.m, NULL, &cursor, &o.part[b.count])) {
            const cq_part *p = &o.part[b.count];
            uint64_t shape[5] = {p->matrix ? p->rows : p->cols, p->matrix ? p->cols : 0, 0, 0, 0};
            if (p->kind == CQ_PART_CARRIED) continue;
            strcpy(names[b.count], p->name);
            add(p->name, shape, p->matrix ? format : CQ_F32, p->matrix ? CQ_PANELS : CQ_ROWS, group, asym);
        }
        as_cq_file(in, write_part, &o);
    }
    free(mem);
    free(list);
    free(file);
}

static char *read_text(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/arch/%s", GOLDEN_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "cannot open %s (run in the root of the repository)\n", path);
        exit(1);
    }
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    CHECK(n >= 0);
    char *text = (char *)get((size_t)n + 1);
    CHECK(fread(text, 1, (size_t)n, f) == (size_t)n);
    text[n] = 0;
    fclose(f);
    return text;
}
static size_t golden_finish(input *seed, size_t count, size_t number, const char *arch_name) {
    static const struct {
        cq_format format;
        size_t group;
        bool asym;
    } pack[] = {{CQ_INT4, 32, true}, {CQ_INT8, 0, false}, {CQ_INT2, 0, true}, {CQ_INT3, 64, false}};
    input *in = &seed[count];
    cq_arch arch;
    if (!b.count || cq_arch_find(&arch, arch_name, strlen(arch_name), NULL) || arch.blocked.n) {
        drop(in);
        return 0;
    }
    in->how = (unsigned char)(number % 16);
    set(in, 1, arch.text.p, number % 2 ? arch.text.n : 0);
    if (!as_safetensors(in) || !becomes_model(in)) { /* too large, or one that its description leaves out */
        drop(in);
        return 0;
    }
    if (number % 4 >= 2) {
        in->how &= HOW_ALL;
        seed_pack(in, pack[number / 4 % 4].format, pack[number / 4 % 4].group, pack[number / 4 % 4].asym);
    }
    return 1;
}
/* Reads one file of goldens; seeds from `count` on. Returns the new count. */
static size_t golden_read(const char *file, input *seed, size_t count, size_t max) {
    static size_t number;
    char *text = read_text(file), *line = text, *next, prefix[200] = "", type[100] = "";
    bool open = false;
    for (; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = 0;
        if (!strncmp(line, "model ", 6)) {
            CHECK(count < max);
            if (open) count += golden_finish(seed, count, number++, type);
            open = false;
            memset(&b, 0, sizeof b);
            prefix[0] = 0;
        } else if (!strncmp(line, "config ", 7)) {
            const char *key = strstr(line, "\"model_type\":\""), *end;
            int depth = 0; /* of several the one at the top */
            for (const char *p = line + 7; *p; p++) {
                depth += (*p == '{') - (*p == '}');
                if (depth == 1 && !strncmp(p, "\"model_type\":\"", 14)) key = p;
            }
            CHECK(key && (end = strchr(key + 14, '"')) != NULL && end - key - 14 < (long)sizeof type);
            snprintf(type, sizeof type, "%.*s", (int)(end - key - 14), key + 14);
            set(&seed[count], 0, line + 7, strlen(line + 7));
            open = true;
        } else if (!strncmp(line, "prefix ", 7)) {
            snprintf(prefix, sizeof prefix, "%s", line + 7);
        } else if (!strncmp(line, "tensor ", 7) && open) {
            char name[200], full[400];
            uint64_t shape[5] = {0, 0, 0, 0, 0};
            size_t dims = 0;
            int used;
            CHECK(sscanf(line + 7, "%199s %*s%n", name, &used) == 1);
            char *p = line + 7 + used, *word[8];
            size_t words = 0;
            for (p = strtok(p, " "); p && words < 8; p = strtok(NULL, " ")) word[words++] = p;
            for (; dims + 2 < words; dims++) shape[dims] = strtoul(word[dims], NULL, 10);
            snprintf(full, sizeof full, "%s%s", name[0] == '.' ? prefix : "", name);
            add_all(full, shape);
        }
    }
    CHECK(count < max);
    if (open) count += golden_finish(seed, count, number++, type);
    free(text);
    return count;
}

static uint64_t counter;
static uint64_t rnd(uint64_t below) { return cq_random(1, 2, counter++) % below; }

static void splice(unsigned char *p, size_t *n, size_t at, size_t out, const char *in, size_t len) {
    if (out > *n - at) out = *n - at;
    if (*n - out + len > PART_MAX) return;
    memmove(p + at + len, p + at + out, *n - at - out);
    memcpy(p + at, in, len);
    *n = *n - out + len;
}

/* one edit of text: a number or word becomes another, or bytes change */
static void mutate_text(unsigned char *p, size_t *n) {
    static const char *const values[] = {"0", "1", "2", "3", "4", "5", "8", "16", "31", "32", "33", "-1", "64", "4096",
                                         "4097", "65536", "1073741824", "4294967296", "9223372036854775807", "1e30",
                                         "1e-30", "0.5", "null", "true", "false", "\"x\"", "[]", "{}", "NaN"};
    static const char *const words[] = {
        "causal ", "full ", "window=head_dim ", "q_norm=q_norm ", "v=v_proj+x ", "tie true\n", "diffusion\n",
        "ignore *\n", "ignore *bias\n", "carry *\n", "#", "+", "=", "\n", "like llama\n", "like qwen3_moe\n",
        "drop mlp\n", "longest 3\n", "let A A\n", "let KV 1\n", "need i<1\n", "norms ln\n", "norm -\n",
        "attn = -causal full\n", "attn:x self_attn ", "mlp = ", "moe mlp ", "layers .layers.#\n",
        "head lm_head rows=3\n", "head lm_head softcap=2 scale=i\n", "embed .embed_tokens rows=5 scale=sqrt(HIDDEN)\n",
        "position sinusoid\n", "if=i==0 ", "beside ", "late ", "pre=- ", "post=- ", "after=-:ln ", "scale=i ",
        "in_scale=0.5 ", "keep=2 ", "rope='none' ", "rope='inter' ", "rope='neg' ", "rope_dim=2 ", "chunk=2 ",
        "block=2 ", "alibi=true ", "clip=1 ", "softcap=1 ", "k_scale=2 ", "temper=1e-9,1 ", "q_gate ", "qk_late ",
        "qk_norm='full' ", "qk_norm='heads' ", "layout='group' ", "layout='codegen' ", "own ", "text ", "act='xielu' ",
        "limit=3 ", "top_k=2 ", "experts=3 ", "identity=2 ", "latent=8 ", "groups=2 ", "top_groups=1 ",
        "score='sigmoid' ", "score='sparsemixer' ", "score='topk_softmax' ", "group_score='top2' ", "renorm=true ",
        "score_in ", "e_pairs ", "gate_head ", "state=3 ", "kernel=1 ", "-q ", "-o ", "-gate ", "-k_norm ",
        "r3=2 ", "r4=2 ", "r3=0 ", "r4=8 ", "i", "[i]",
        "[0]", "?", ":", "?1:2", "//", "//3", "|", "||", "&&", "==", "<", "(", ")", "^", "^2", "!", "'x'", "*HIDDEN",
        "/2", "/0", "%2", "-", "given(x)", "is(i,1)", "has(layer_types,'x')", "len(layer_types)", "sqrt(", "min(i,2)",
        "int(", "log(0)", "exp(99)", "1e38", "null", "HIDDEN", "INTER", "KV",
        "\"rope_scaling\":{\"type\":\"linear\",\"factor\":3},",
        "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":1e9,\"beta_slow\":1e-9},", "\"sliding_window\":1,",
        "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.5},\"max_position_embeddings\":3,",
        "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2],\"long_factor\":[2,4]},",
        "\"tie_word_embeddings\":true,", "\"attention_bias\":true,", "\"layer_types\":[\"full_attention\"],",
        "\"num_experts_per_tok\":1,", "\"n_group\":2,", "\"mlp_only_layers\":[0],", "\"partial_rotary_factor\":0.5,"};
    static const char text[] = "{}[]\",:\\0123456789.eE+-untrflsabdIN #=\n|?!:^@'()<>&*/%_";
    size_t at = (size_t)rnd(*n), from = (size_t)rnd(*n), len = 1 + (size_t)rnd(12), end;
    const char *v = values[rnd(sizeof values / sizeof *values)];
    switch (rnd(8)) {
    case 0: p[at] = (unsigned char)rnd(256); break;
    case 1: p[at] = (unsigned char)text[rnd(sizeof text - 1)]; break;
    case 2: splice(p, n, at, len, "", 0); break;
    case 3:
        v = words[rnd(sizeof words / sizeof *words)];
        while (at > 1 && p[at - 1] != ',' && p[at - 1] != '{' && p[at - 1] != ' ' && p[at - 1] != '\n') at--;
        splice(p, n, at, 0, v, strlen(v));
        break;
    case 4:
        if (len > *n - at) len = *n - at;
        if (len > *n - from) len = *n - from;
        memmove(p + at, p + from, len);
        break;
    default: /* the next number */
        while (at < *n && (p[at] < '0' || p[at] > '9')) at++;
        for (end = at; end < *n && p[end] >= '0' && p[end] <= '9'; end++) {}
        if (at < *n) splice(p, n, at, end - at, v, strlen(v));
    }
}

static void mutate_bytes(unsigned char *p, size_t *n, size_t likely) {
    static const uint64_t odd[] = {0, 1, 2, 3, 31, 32, 64, 255, 65535, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff,
                                   0xffffffffffffffff, 0x8000000000000000, 0x7f80000000000000, 0xffc07fc0ff807f80};
    size_t at = (size_t)rnd(rnd(4) && likely < *n ? likely : *n), from = (size_t)rnd(*n), len = 1 + (size_t)rnd(64);
    switch (rnd(6)) {
    case 0: p[at] ^= (unsigned char)(1u << rnd(8)); break;
    case 1: p[at] = (unsigned char)rnd(256); break;
    case 2: *n = at + 1; break; /* cut off */
    case 3:
        if (len > *n - at) len = *n - at;
        if (len > *n - from) len = *n - from;
        memmove(p + at, p + from, len);
        break;
    case 4:
        for (; at < *n && (p[at] < '0' || p[at] > '9'); at++) {}
        if (at < *n) p[at] = (unsigned char)('0' + rnd(10)); /* a digit of config.json in a .cq file */
        break;
    default:
        at -= at % 4;
        if (*n - at < 8) break;
        cq__put64(p + at, rnd(2) ? odd[rnd(16)] : cq__u64(p + at) + (rnd(2) ? 1 : (uint64_t)-1));
    }
}

static void mutate(input *in) {
    if (!rnd(4)) in->how = (unsigned char)((in->how & HOW_MORE) | rnd(HOW_ALL + 1) | (rnd(2) ? HOW_ONLINE : 0));
    if (in->len[2] && !rnd(16)) { /* another description */
        size_t count = 0;
        while (cq_arch_builtin(count)) count++;
        const char *text = cq_arch_builtin((size_t)rnd(count));
        in->len[1] = strlen(text);
        memcpy(in->part[1], text, in->len[1]);
    }
    for (uint64_t edits = 1 + rnd(3); edits > 0; edits--) {
        size_t part = (size_t)rnd(4);
        if (!in->len[part]) part = in->len[3] ? 3 : (size_t)rnd(3);
        if (!in->len[part]) continue;
        if (part == 3) mutate_bytes(in->part[3], &in->len[3], in->len[2] ? in->len[3] : in->len[3] / 2 + 1);
        else mutate_text(in->part[part], &in->len[part]);
    }
}

#define SEEDS_MAX 1024u
int main(int argc, char **argv) {
    static const char *const files[] = {"dense.txt", "experts.txt", "recurrent.txt", "multimodal.txt",
                                        "dual-stream.txt"};
    static input seed[SEEDS_MAX], in;
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, done = 0;
    unsigned long only = argc > 3 ? strtoul(argv[3], NULL, 10) : 0; /* the one to run of them, from 1 */
    size_t count = 0;
    for (; count < sizeof seeds / sizeof *seeds; count++) seed_make(&seeds[count], &seed[count]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) count = golden_read(files[i], seed, count, SEEDS_MAX);
    for (size_t i = 0; i < count && !only; i++) {
        CHECK(becomes_model(&seed[i])); /* else what follows tests little */
        size_t n = join(&seed[i], data);
        if (argc <= 2 || !*argv[2]) continue;
        char name[1000]; /* write the seeds into a directory, for a real fuzzer to begin with */
        snprintf(name, sizeof name, "%s/seed%u", argv[2], (unsigned)i);
        FILE *file = fopen(name, "wb");
        CHECK(file && fwrite(data, 1, n, file) == n && !fclose(file));
    }
    for (size_t k = 0; k < 4; k++) in.part[k] = (unsigned char *)get(k < 3 ? 65536 : INPUT_MAX);
    for (; done < runs; done++) {
        const input *from = &seed[done % count];
        counter = done << 16; /* each can be run alone */
        in.how = from->how;
        memcpy(in.len, from->len, sizeof in.len);
        for (size_t k = 0; k < 4; k++) memcpy(in.part[k], from->part[k], from->len[k]);
        mutate(&in);
        if (only && only != done + 1) continue;
        for (size_t k = 0; k < 3 && only; k++)
            fprintf(stderr, "---- %d\n%.*s\n", in.how, (int)in.len[k], (const char *)in.part[k]);
        LLVMFuzzerTestOneInput(data, join(&in, data));
    }
    printf("fuzz_models: %lu mutations of %u seeds, %lu models\n", done, (unsigned)count, bound);
    drop(&in);
    for (size_t i = 0; i < count; i++) drop(&seed[i]);
    return 0;
}
#endif
