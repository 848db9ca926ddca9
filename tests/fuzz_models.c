/* Hostile models: config.json, description, safetensors or .cq damaged, then read, bound, and, if nothing objects, used
   in every way. One entry, used in two ways:
     clang -g -O1 -DCQ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. tests/fuzz_models.c -o fuzz && ./fuzz
     cc -g -O1 -fsanitize=address,undefined -I. tests/fuzz_models.c -o fuzz_models && ./fuzz_models 100000
   The second mutates the seeds below N times, always in the same way.
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

/* An input: one byte of options, three lengths of two bytes, then config.json, description (may be empty), header of
   safetensors, and the data behind it. A header of no bytes: the data are a .cq file, which has its own config. */
#define INPUT_HEAD 7u
#define INPUT_MAX 65536u
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

/* ---- what can be done with a model ------------------------------------------------------------------------------- */
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
    d.int8 = (how & 1) != 0;
    CHECK(!cq_session_init(&s, ctx, m, &d, &a, &a, &err));
    size_t need = a.used;
    void *mem = get(need);
    a = cq_arena_over(mem, need);
    CHECK(!cq_session_init(&s, ctx, m, &d, &a, &a, &err) && a.used == need);
    for (size_t i = 0; i < 8; i++) ids[i] = (int32_t)((i * 5 + 1) % m->vocab);

    cq_input in;
    memset(&in, 0, sizeof in);
    in.ids = ids;
    in.n = 4;
    CHECK(!cq_forward(&s, &in, &err));
    float *logits = (float *)get(4 * m->vocab * sizeof *logits);
    cq_logits(&s, NULL, 4, logits);
    free(logits);

    gd.steps = 2;
    gd.temperature = how & 8 ? 0.7f : 0.0f;
    gd.alg = how & 8 ? CQ_ALG_ENTROPY : CQ_ALG_ORIGIN;
    a = cq_arena_over(NULL, 0);
    if (m->arch.diffusion) {
        cq_generator g;
        for (size_t i = 4; i < 8; i++) ids[i] = m->mask_id;
        CHECK(!cq_generate_begin(&g, &s, &gd, ids, 8, 4, NULL, &a, &err));
        void *more = get(a.used);
        a = cq_arena_over(more, a.used);
        CHECK(!cq_generate_begin(&g, &s, &gd, ids, 8, 4, NULL, &a, &err));
        CHECK(!cq_generate_step(&g, &err));
        free(more);
    } else {
        size_t count;
        CHECK(!cq_generate_next(&s, &gd, ids, 4, 2, m->eos_id, &count, NULL, &a, &err));
        void *more = get(a.used);
        a = cq_arena_over(more, a.used);
        CHECK(!cq_generate_next(&s, &gd, ids, 4, 2, m->eos_id, &count, NULL, &a, &err) && count <= 2);
        free(more);
    }
    for (size_t i = 0; i < 8; i++) CHECK(ids[i] >= 0 && (size_t)ids[i] < m->vocab);
    free(mem);
}

static bool emit(void *user, const cq_module *module) {
    float row;
    if (module->tensor.data) cq_tensor_span(&module->tensor, module->part.rows - 1, module->part.cols - 1, 1, &row);
    (*(size_t *)user)++;
    return module->part.name_len < sizeof module->part.name;
}

/* rotates, reads all parts, and quantises to int4 */
static void convert(const cq_context *ctx, cq_model *m, unsigned how) {
    cq_rotate_plan plan;
    cq_quantize_desc qd;
    cq_part part;
    cq_error err;
    int32_t ids[4] = {0, 0, 0, 0};
    size_t modules = 0;
    cq_arena a = cq_arena_over(NULL, 0);
    cq_status st = cq_rotate_plan_auto(&plan, ctx, m, 1, &a, &err);
    CHECK(!st);
    void *mem = get(a.used);
    a = cq_arena_over(mem, a.used);
    CHECK(!cq_rotate_plan_auto(&plan, ctx, m, 1, &a, &err));
    for (size_t i = 0; cq_model_part(m, how & 1 ? &plan : NULL, i, &part); i++) {
        float *out = (float *)get(part.rows * part.cols * sizeof *out);
        CHECK(part.name_len < sizeof part.name && !part.name[part.name_len]);
        CHECK(!cq_part_read(ctx, m, how & 1 ? &plan : NULL, &part, 0, part.rows, out, &err));
        free(out);
    }
    memset(&qd, 0, sizeof qd);
    qd.gptq.group_size = how & 4 ? 32 : 0;
    qd.gptq.order = how & 8 ? CQ_GPTQ_ACT_GROUPS : CQ_GPTQ_ACT_STATIC;
    qd.rtn = (how & 8) != 0 && (how & 4) != 0;
    qd.plan = how & 1 ? &plan : NULL;
    qd.ids = ids;
    qd.samples = 1;
    qd.seq_len = 4;
    qd.emit = emit;
    qd.user = &modules;
    a = cq_arena_over(NULL, 0);
    CHECK(!cq_quantize_model(ctx, m, &qd, &a, &err));
    void *more = get(a.used);
    a = cq_arena_over(more, a.used);
    st = cq_quantize_model(ctx, m, &qd, &a, &err);
    CHECK(st == CQ_OK || st == CQ_ERR_RANGE || st == CQ_ERR_NOT_SPD); /* weights that are no numbers, or overflow */
    if (st) check_error(st, &err);
    free(more);
    free(mem);
}

static unsigned long bound; /* inputs that became a model */
static void use(const char *config, size_t config_len, const char *arch, size_t arch_len, const cq_weights *w,
                unsigned how) {
    cq_context_desc cd;
    cq_context ctx;
    cq_error err;
    size_t need = cq_model_bound(config_len, w);
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
        if (how & 16) convert(&ctx, m, how);
    }
    free(m);
    free(mem);
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
    size_t rest = size - INPUT_HEAD - config_len - arch_len, n = header_len ? 8 + rest : rest;
    char *config = (char *)copy_of(p, config_len), *arch = (char *)copy_of(p + config_len, arch_len);
    unsigned char *file = (unsigned char *)get(n);
    if (header_len) cq__put64(file, header_len);
    if (rest) memcpy(file + (n - rest), p + config_len + arch_len, rest);
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
/* ---- seeds: models of two layers, hidden 32, made from the built-in descriptions --------------------------------- */
typedef struct seed_row {
    unsigned how;
    const char *arch, *more; /* more of config.json */
    bool bias, tied, own;    /* optional biases; the description is given, not looked up */
    cq_format format;        /* of the matrices */
    size_t group;
    bool asym, file;         /* a .cq file */
} seed_row;
static const seed_row seeds[] = {
    {0, "Dream", "\"mask_token_id\":10,\"eos_token_id\":[3,4]", false, false, false, CQ_BF16, 0, false, false},
    {18, "llama", "\"attention_bias\":true,\"mlp_bias\":false,\"max_position_embeddings\":64,\"rope_parameters\":"
     "{\"rope_type\":\"llama3\",\"rope_theta\":1e4,\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0}",
     true, false, false, CQ_F16, 0, false, false},
    {4, "qwen3", "\"rms_norm_eps\":1e-5,\"sliding_window\":2,\"use_sliding_window\":true,\"max_window_layers\":1,"
     "\"hidden_act\":\"gelu_new\"", false, true, false, CQ_F32, 0, false, false},
    {17, "qwen2", "\"sliding_window\":3,\"use_sliding_window\":true,\"layer_types\":[\"full_attention\","
     "\"sliding_attention\"],\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":30,"
     "\"original_max_position_embeddings\":16}", false, false, true, CQ_BF16, 0, false, false},
    {5, "Dream", "\"mask_token_id\":10,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", false, false, true,
     CQ_INT4, 0, true, true},
    {25, "mistral", "\"sliding_window\":2,\"hidden_act\":\"relu\"", false, true, false, CQ_INT8, 32, false, true},
    {11, "qwen3", "\"attention_bias\":null", false, false, true, CQ_INT3, 32, true, true},
    {29, "llama", "\"rope_theta\":500000", false, false, false, CQ_INT2, 0, false, true},
    {16, "qwen2", "\"bos_token_id\":1", false, false, false, CQ_F16, 0, false, true},
};
enum { HIDDEN = 32, HEADS = 2, KV = 1, HEAD_DIM = 4, INTER = 6, VOCAB = 12, LAYERS = 2, TENSORS_MAX = 64 };

typedef struct builder {
    const seed_row *seed;
    cq_arch arch;
    cq_named list[TENSORS_MAX];
    char name[TENSORS_MAX][80];
    size_t count;
    unsigned char *data; /* the values of matrix and vector elements */
    uint64_t counter;
} builder;

static void add(builder *b, cq_str layers, size_t layer, cq_str a, cq_str c, const char *suffix, size_t rows,
                size_t cols) {
    cq_named *t = &b->list[b->count];
    bool matrix = rows > 0, plain = !matrix && b->seed->file;
    cq_format format = plain ? CQ_F32 : b->seed->format;
    CHECK(b->count < TENSORS_MAX);
    t->name = b->name[b->count];
    t->name_len = cq__path(b->name[b->count++], sizeof b->name[0], layers, layer, a, c, suffix);
    t->ndim = matrix ? 2 : 1;
    t->shape[0] = matrix ? rows : cols;
    t->shape[1] = matrix ? cols : 0;
    t->dtype = (uint8_t)format; /* the first three are the same */
    CHECK(!cq_tensor_init(&t->t, format, matrix && b->seed->file ? CQ_PANELS : CQ_ROWS, matrix ? rows : 1, cols,
                          cq_format_is_int(format) && b->seed->group < cols ? b->seed->group : 0,
                          cq_format_is_int(format) && b->seed->asym, NULL));
    t->bytes = t->t.bytes;
}
static void fill(builder *b, const cq_named *t, unsigned char *out) {
    float w[HIDDEN * HIDDEN];
    CHECK(t->t.rows * t->t.cols <= HIDDEN * HIDDEN);
    for (size_t i = 0; i < t->t.rows * t->t.cols; i++) {
        float v = (float)(cq_random(3, 4, b->counter++) >> 40) * 0x1p-24f - 0.5f;
        w[i] = t->ndim == 1 ? 1.0f + v : v;
        if (t->t.layout == CQ_PANELS) continue;
        if (t->t.format == CQ_F32) cq__put32(out + 4 * i, cq__bits(w[i]));
        else {
            uint16_t h = t->t.format == CQ_F16 ? cq_f32_to_f16(w[i]) : cq_f32_to_bf16(w[i]);
            out[2 * i] = (unsigned char)h;
            out[2 * i + 1] = (unsigned char)(h >> 8);
        }
    }
    cq_tensor packed = t->t;
    if (t->t.layout == CQ_PANELS) CHECK(!cq_quantize_rtn(&packed, out, w, t->t.cols, NULL));
}

/* The parts of an input; mutations keep them apart, so that what follows one stays in its place. */
typedef struct input {
    unsigned char how;
    size_t len[4]; /* config, description, header, data */
    unsigned char part[4][INPUT_MAX];
} input;

static void seed_make(size_t index, input *in) {
    static builder b;
    static const size_t dims[] = {HIDDEN, HEADS * HEAD_DIM, KV * HEAD_DIM, INTER}; /* by cq__dim */
    cq_str none = cq__str(NULL, 0);
    cq_arena a;
    const seed_row *row = &seeds[index];
    memset(&b, 0, sizeof b);
    memset(in->len, 0, sizeof in->len);
    b.seed = row;
    CHECK(!cq_arch_find(&b.arch, row->arch, strlen(row->arch), NULL));
    in->how = (unsigned char)row->how;
    in->len[0] = (size_t)snprintf((char *)in->part[0], INPUT_MAX,
        "{\"model_type\":\"%s\",\"hidden_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,"
        "\"num_key_value_heads\":%d,\"head_dim\":%d,\"intermediate_size\":%d,\"vocab_size\":%d,"
        "\"tie_word_embeddings\":%s,%s}",
        row->own ? "mine" : row->arch, HIDDEN, LAYERS, HEADS, KV, HEAD_DIM, INTER, VOCAB, row->tied ? "true" : "false",
        row->more);
    if (row->own) memcpy(in->part[1], b.arch.text.p, in->len[1] = b.arch.text.n);

    add(&b, b.arch.embed, 0, none, none, ".weight", VOCAB, HIDDEN);
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t k = 0; k < b.arch.blocks; k++) {
            const cq_block_desc *d = &b.arch.block[k];
            add(&b, b.arch.layers, l, d->pre, none, ".weight", 0, HIDDEN);
            if (d->q_norm.n) add(&b, b.arch.layers, l, d->prefix, d->q_norm, ".weight", 0, HEAD_DIM);
            if (d->k_norm.n) add(&b, b.arch.layers, l, d->prefix, d->k_norm, ".weight", 0, HEAD_DIM);
            for (size_t r = 0; r < CQ_ROLE_COUNT; r++) {
                size_t out = dims[cq__roles[r].out];
                if (!d->role[r].name.n) continue;
                add(&b, b.arch.layers, l, d->prefix, d->role[r].name, ".weight", out, dims[cq__roles[r].in]);
                if (d->role[r].bias || (row->bias && d->role[r].bias_key.n && d->kind == CQ_BLOCK_ATTENTION))
                    add(&b, b.arch.layers, l, d->prefix, d->role[r].name, ".bias", 0, out);
            }
        }
    add(&b, b.arch.norm, 0, none, none, ".weight", 0, HIDDEN);
    if (!row->tied) add(&b, b.arch.head, 0, none, none, ".weight", VOCAB, HIDDEN);

    if (!row->file) {
        uint64_t offsets[TENSORS_MAX + 1];
        size_t need;
        static unsigned char head[INPUT_MAX];
        CHECK(!cq_safetensors_header(b.list, b.count, head, sizeof head, &need, offsets, NULL));
        CHECK(offsets[b.count] <= INPUT_MAX / 2);
        in->len[2] = need - 8;
        in->len[3] = (size_t)offsets[b.count] - need;
        memcpy(in->part[2], head + 8, need - 8);
        for (size_t i = 0; i < b.count; i++) fill(&b, &b.list[i], in->part[3] + (offsets[i] - need));
        return;
    }
    uint64_t section[CQ_SECTION_COUNT] = {0, 0, 0, 0};
    unsigned char mem[4096];
    cq_file_layout l;
    cq_checksum sum;
    section[CQ_SECTION_CONFIG] = in->len[0];
    section[CQ_SECTION_DESCRIPTION] = in->len[1];
    a = cq_arena_over(mem, sizeof mem);
    CHECK(!cq_file_plan(&l, b.list, b.count, section, &a, NULL) && l.file_bytes <= INPUT_MAX / 2);
    unsigned char *file = in->part[3];
    in->len[3] = (size_t)l.file_bytes;
    memset(file, 0, in->len[3]);
    memcpy(file + l.section_offset[CQ_SECTION_CONFIG], in->part[0], in->len[0]);
    memcpy(file + l.section_offset[CQ_SECTION_DESCRIPTION], in->part[1], in->len[1]);
    for (size_t i = 0; i < b.count; i++) fill(&b, &b.list[i], file + l.offset[i]);
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, file + l.head_bytes, (size_t)(l.file_bytes - l.head_bytes));
    cq_file_header(&l, cq_checksum_value(&sum), file);
    in->len[0] = in->len[1] = 0;
}

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

static uint64_t counter;
static uint64_t rnd(uint64_t below) { return cq_random(1, 2, counter++) % below; }

static void splice(unsigned char *p, size_t *n, size_t at, size_t out, const char *in, size_t len) {
    if (out > *n - at) out = *n - at;
    if (*n - out + len > 4096) return;
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
        "causal ", "full ", "window=head_dim ", "q_norm=q_norm ", "v=v_proj+x ", "tie\n", "diffusion\n", "ignore *\n",
        "ignore *bias\n", "#", "+", "=", "\n", "\"rope_scaling\":{\"type\":\"linear\",\"factor\":3},",
        "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":1e9,\"beta_slow\":1e-9},", "\"sliding_window\":1,",
        "\"tie_word_embeddings\":true,", "\"attention_bias\":true,"};
    static const char text[] = "{}[]\",:\\0123456789.eE+-untrflsabdIN #=\n";
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
    if (!rnd(4)) in->how = (unsigned char)rnd(32);
    for (uint64_t edits = 1 + rnd(3); edits > 0; edits--) {
        size_t part = (size_t)rnd(4);
        if (!in->len[part]) part = 3;
        if (!in->len[part]) return;
        if (part == 3) mutate_bytes(in->part[3], &in->len[3], in->len[2] ? in->len[3] : in->len[3] / 2 + 1);
        else mutate_text(in->part[part], &in->len[part]);
    }
}

int main(int argc, char **argv) {
    static input seed[sizeof seeds / sizeof *seeds], in;
    static unsigned char data[4 * INPUT_MAX];
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, done = 0;
    size_t count = sizeof seeds / sizeof *seeds;
    for (size_t i = 0; i < count; i++) {
        seed_make(i, &seed[i]);
        size_t n = join(&seed[i], data);
        LLVMFuzzerTestOneInput(data, n);
        CHECK(bound == i + 1); /* else what follows tests little */
        if (argc <= 2) continue;
        char name[1000]; /* write the seeds into a directory, for a real fuzzer to begin with */
        snprintf(name, sizeof name, "%s/seed%u", argv[2], (unsigned)i);
        FILE *file = fopen(name, "wb");
        CHECK(file && fwrite(data, 1, n, file) == n && !fclose(file));
    }
    for (; done < runs; done++) {
        const input *from = &seed[done % count];
        in.how = from->how;
        memcpy(in.len, from->len, sizeof in.len);
        for (size_t k = 0; k < 4; k++) memcpy(in.part[k], from->part[k], from->len[k]);
        mutate(&in);
        LLVMFuzzerTestOneInput(data, join(&in, data));
    }
    printf("fuzz_models: %lu mutations of %u seeds, %lu models\n", done, (unsigned)count, bound);
    return 0;
}
#endif
