/* cmd_build.c - commands that write models: rotate, quantize, export

   All three walk the list of parts that the architecture's description gives (cq_model_part) and write them in that
   order, one at a time; they differ in what they do to a part on the way. */
#include "tool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   Parts and their places in the output
   ================================================================================================================== */
typedef struct parts {
    cq_part *part;
    cq_named *named; /* (count): what the output calls them and how it stores them */
    size_t count;
} parts;

static parts parts_of(const cq_model *m, const cq_rotate_plan *plan) {
    parts p = {NULL, NULL, 0};
    cq_part one;
    while (cq_model_part(m, plan, p.count, &one)) p.count++;
    p.part = tool_alloc(p.count, sizeof(cq_part));
    p.named = tool_alloc(p.count, sizeof(cq_named));
    for (size_t i = 0; i < p.count; i++) {
        cq_named *n = &p.named[i];
        cq_model_part(m, plan, i, &p.part[i]);
        n->name = p.part[i].name;
        n->name_len = p.part[i].name_len;
        n->ndim = p.part[i].matrix ? 2 : 1;
        n->shape[0] = p.part[i].matrix ? p.part[i].rows : p.part[i].cols;
        n->shape[1] = p.part[i].matrix ? p.part[i].cols : 0;
    }
    return p;
}

static void store_as(parts *p, size_t i, cq_format format, cq_layout layout, size_t group_size, bool asym) {
    cq_error err;
    cq_named *n = &p->named[i];
    tool_check(cq_tensor_init(&n->t, format, layout, p->part[i].rows, p->part[i].cols, group_size, asym, &err), NULL,
               &err);
    n->dtype = (uint8_t)(layout == CQ_PANELS ? CQ_DTYPE_PACKED
                         : format == CQ_F32  ? CQ_DTYPE_F32
                         : format == CQ_F16  ? CQ_DTYPE_F16
                                             : CQ_DTYPE_BF16);
}

/* the float format in which the checkpoint stores this tensor; quantised ones and new ones: `otherwise` */
static cq_format stored_format(const tool_model *t, const cq_part *part, cq_format otherwise) {
    const cq_named *n = cq_weights_find(&t->weights, part->name, part->name_len);
    return n && n->t.data && !cq_format_is_int(n->t.format) ? n->t.format : otherwise;
}

/* ===================================================================================================================
   Outputs: a .cq file, or model.safetensors in a directory. Tensors are written in the order of the list.
   ================================================================================================================== */
typedef struct writer {
    tool_out *out;
    bool cq;
    const parts *p;
    cq_file_layout layout;
    uint64_t *offset; /* safetensors: (count + 1) */
    uint64_t at;      /* bytes written so far, from the start of the file */
    cq_checksum sum;
    uint64_t section_bytes[CQ_SECTION_COUNT];
    cq_arena arena;
    size_t next; /* part to be written next */
} writer;

static void put(writer *w, const void *bytes, size_t n) {
    tool_write(w->out, bytes, n);
    if (w->cq) cq_checksum_add(&w->sum, bytes, n);
    w->at += n;
}
static void pad_to(writer *w, uint64_t offset) {
    static const unsigned char zeros[64];
    while (w->at < offset) put(w, zeros, offset - w->at < 64 ? (size_t)(offset - w->at) : 64);
}

static void plan_file(writer *w, const char *path) {
    cq_error err;
    cq_arena dry = cq_arena_over(NULL, 0);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->count, w->section_bytes, &dry, &err), path, &err);
    free(w->arena.base);
    w->arena = tool_arena(dry.used);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->count, w->section_bytes, &w->arena, &err), path, &err);
}

static writer *write_cq(const char *path, const parts *p, const char *config, size_t config_len, cq_bytes tokenizer) {
    writer *w = tool_alloc(1, sizeof *w);
    w->cq = true;
    w->p = p;
    w->section_bytes[CQ_SECTION_CONFIG] = config_len;
    w->section_bytes[CQ_SECTION_TOKENIZER] = tokenizer.size;
    plan_file(w, path);
    w->out = tool_create(path);
    tool_seek(w->out, w->layout.head_bytes);
    w->at = w->layout.head_bytes;
    cq_checksum_start(&w->sum);
    pad_to(w, w->layout.section_offset[CQ_SECTION_CONFIG]);
    put(w, config, config_len);
    if (tokenizer.size) {
        pad_to(w, w->layout.section_offset[CQ_SECTION_TOKENIZER]);
        put(w, tokenizer.data, tokenizer.size);
    }
    return w;
}

static writer *write_safetensors(const char *path, const parts *p) {
    writer *w = tool_alloc(1, sizeof *w);
    cq_error err;
    size_t need;
    w->p = p;
    w->offset = tool_alloc(p->count + 1, sizeof(uint64_t));
    tool_check(cq_safetensors_header(p->named, p->count, NULL, 0, &need, NULL, &err), path, &err);
    unsigned char *head = tool_alloc(need, 1);
    tool_check(cq_safetensors_header(p->named, p->count, head, need, &need, w->offset, &err), path, &err);
    w->out = tool_create(path);
    put(w, head, need);
    free(head);
    return w;
}

static void begin_part(writer *w) {
    pad_to(w, w->cq ? w->layout.offset[w->next] : w->offset[w->next]);
    w->next++;
}

/* bytes of the finished file */
static uint64_t finish(writer *w, const char *path, const char *provenance) {
    uint64_t bytes = w->cq ? 0 : w->offset[w->p->count];
    if (w->cq) {
        size_t len = strlen(provenance);
        w->section_bytes[CQ_SECTION_PROVENANCE] = len;
        plan_file(w, path);
        pad_to(w, w->layout.section_offset[CQ_SECTION_PROVENANCE]);
        put(w, provenance, len);
        pad_to(w, w->layout.file_bytes);
        bytes = w->layout.file_bytes;
        unsigned char *head = tool_alloc((size_t)w->layout.head_bytes, 1);
        cq_file_header(&w->layout, cq_checksum_value(&w->sum), head);
        tool_seek(w->out, 0);
        tool_write(w->out, head, (size_t)w->layout.head_bytes);
        free(head);
    }
    tool_close(w->out);
    free(w->arena.base);
    free(w->offset);
    free(w);
    return bytes;
}

/* floats of a part, in the format of the output; rows a multiple of 16 but at the end */
static void put_floats(writer *w, const cq_tensor *t, const float *x, size_t rows) {
    cq_tensor piece;
    cq_error err;
    tool_check(cq_tensor_init(&piece, t->format, t->layout, rows, t->cols, t->group_size, t->asym, &err), NULL, &err);
    unsigned char *bytes = tool_alloc(piece.bytes + 1, 1);
    cq_status st = cq_quantize_rtn(&piece, bytes, x, t->cols, &err);
    if (st)
        tool_fail(NULL, "tensor %.*s: %s", (int)w->p->named[w->next - 1].name_len, w->p->named[w->next - 1].name,
                  err.what);
    put(w, bytes, piece.bytes);
    free(bytes);
}

/* one whole part, rotated and rounded to the format of the output, in pieces where that is possible */
static void write_part(writer *w, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan) {
    const cq_part *part = &w->p->part[w->next];
    const cq_tensor *to = &w->p->named[w->next].t;
    bool by_rows = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD;
    size_t step = by_rows ? 256 : part->rows;
    float *x = tool_alloc((step < part->rows ? step : part->rows) * part->cols, sizeof(float));
    cq_error err;
    begin_part(w);
    for (size_t row = 0; row < part->rows; row += step) {
        size_t n = step < part->rows - row ? step : part->rows - row;
        tool_model_check(t, cq_part_read(ctx, &t->m, plan, part, row, n, x, &err), &err);
        put_floats(w, to, x, n);
    }
    free(x);
}

/* ===================================================================================================================
   config.json with a few keys changed: the text is kept, only the values are replaced
   ================================================================================================================== */
static char *config_set(char *text, const char *key, const char *value) {
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_json j;
    cq_error err;
    size_t len = strlen(text);
    tool_check(cq_json_parse(&j, text, len, &dry, &err), "config.json", &err);
    arena = tool_arena(dry.used);
    tool_check(cq_json_parse(&j, text, len, &arena, &err), "config.json", &err);
    uint32_t node = cq_json_find(&j, 0, key);
    char *out;
    if (node) {
        uint32_t begin = j.nodes[node].begin, end = j.nodes[node].end;
        if (cq_json_kind(&j, node) == CQ_JSON_STRING) begin--, end++; /* with its quotes */
        out = tool_format("%.*s%s%s", (int)begin, text, value, text + end);
    } else {
        uint32_t begin = j.nodes[0].begin + 1; /* after the brace */
        out = tool_format("%.*s\n  \"%s\": %s%s%s", (int)begin, text, key, value, j.nodes[0].count ? "," : "",
                          text + begin);
    }
    free(arena.base);
    free(text);
    return out;
}

static char *config_text(const tool_model *t) {
    return tool_format("%.*s", (int)t->config.size, (const char *)t->config.data);
}

static void copy_companions(const tool_dir *dir, const tool_model *t) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
                                        "special_tokens_map.json", "added_tokens.json", "generation_config.json",
                                        "chat_template.jinja", "configuration_dream.py", "modeling_dream.py",
                                        "generation_utils.py", "tokenization_dream.py"};
    for (size_t i = 0; !t->is_file && i < sizeof names / sizeof *names; i++) tool_dir_copy(dir, t->path, names[i]);
}

static void write_text(const tool_dir *dir, const char *name, const char *text) {
    tool_out *out = tool_create(tool_dir_file(dir, name));
    tool_write(out, text, strlen(text));
    tool_close(out);
}

/* The rotation that --config or --rotate names. Memory stays until the tool ends. */
static void rotation_plan(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *config) {
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_error err;
    /* transformer_universal means R1 on the residual stream and R2 on the heads: on every architecture that is described
       today that is what is derived */
    if (strcmp(config, "auto") != 0 && strcmp(config, "transformer_universal") != 0)
        tool_fail(config, "this rotation is not in this version; it knows auto and transformer_universal");
    tool_model_check(t, cq_rotate_plan_auto(plan, ctx, &t->m, tool.seed, &dry, &err), &err);
    arena = tool_arena(dry.used);
    tool_model_check(t, cq_rotate_plan_auto(plan, ctx, &t->m, tool.seed, &arena, &err), &err);
}

static const char *mode_name(const cq_rotation *r) {
    return r->mode == CQ_ROTATE_HADAMARD     ? "hadamard"
           : r->mode == CQ_ROTATE_ORTHOGONAL ? "orthogonal"
                                             : "base_hadamard";
}
static void report_rotations(const cq_rotate_plan *plan) {
    json_open("rotations", '[');
    for (int i = 0; i < 2; i++) {
        const cq_rotation *r = i ? &plan->r2[0] : &plan->r1;
        json_open(NULL, '{');
        json_text("name", i ? "r2" : "r1");
        json_int("dim", (int64_t)r->n);
        json_text("mode", mode_name(r));
        json_bool("per_layer", i != 0);
        json_close();
        tool_say("rotation %s: %s of order %zu%s\n", i ? "r2" : "r1", mode_name(r), r->n, i ? ", one a layer" : "");
    }
    json_close();
}

/* ===================================================================================================================
   rotate
   ================================================================================================================== */
/* Largest difference of the logits of two models on 64 random tokens, and the deviation of the first's. */
static double logit_error(const cq_context *ctx, const tool_model *a, const tool_model *b, double *deviation) {
    enum { TOKENS = 64 };
    int32_t ids[TOKENS];
    size_t vocab = a->m.vocab, total = TOKENS * vocab;
    float *out[2];
    double worst = 0, sum = 0, square = 0;
    for (size_t i = 0; i < TOKENS; i++) ids[i] = (int32_t)(cq_random(tool.seed, 1u << 20, i) % vocab);
    for (int i = 0; i < 2; i++) {
        const tool_model *t = i ? b : a;
        cq_session s;
        cq_session_desc desc;
        cq_input in;
        cq_error err;
        void *base;
        memset(&desc, 0, sizeof desc);
        memset(&in, 0, sizeof in);
        desc.max_tokens = TOKENS;
        tool_session(&s, ctx, t, &desc, &base);
        in.ids = ids;
        in.n = TOKENS;
        out[i] = tool_alloc(total, sizeof(float));
        tool_model_check(t, cq_forward(&s, &in, &err), &err);
        cq_logits(&s, NULL, TOKENS, out[i]);
        free(base);
    }
    for (size_t i = 0; i < total; i++) {
        double x = out[0][i], d = fabs(x - (double)out[1][i]);
        worst = d > worst ? d : worst;
        sum += x;
        square += x * x;
    }
    *deviation = sqrt(square / (double)total - (sum / (double)total) * (sum / (double)total));
    free(out[0]);
    free(out[1]);
    return worst;
}

static void run_rotate(void) {
    tool_model t, rotated;
    cq_context ctx;
    cq_rotate_plan plan;
    double start = tool_seconds(), deviation = 0, error = 0;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL);
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    tool_dir *dir = tool_dir_create(target);
    rotation_plan(&plan, &ctx, &t, tool_text("config", "auto"));
    parts p = parts_of(&t.m, &plan);
    for (size_t i = 0; i < p.count; i++) {
        cq_format embed = cq_format_is_int(t.m.embed.format) ? CQ_F32 : t.m.embed.format;
        cq_format f = stored_format(&t, &p.part[i], embed);
        if (dtype) f = !strcmp(dtype, "fp32") ? CQ_F32 : !strcmp(dtype, "fp16") ? CQ_F16 : CQ_BF16;
        store_as(&p, i, f, CQ_ROWS, 0, false);
    }
    writer *w = write_safetensors(tool_dir_file(dir, "model.safetensors"), &p);
    for (size_t i = 0; i < p.count; i++) {
        write_part(w, &ctx, &t, &plan);
        tool_progress("rotating", i + 1, p.count);
    }
    finish(w, target, NULL);
    char *config = config_text(&t);
    if (t.m.tied) config = config_set(config, "tie_word_embeddings", "false");
    if (dtype) {
        const char *name = !strcmp(dtype, "fp32")   ? "\"float32\""
                           : !strcmp(dtype, "fp16") ? "\"float16\""
                                                    : "\"bfloat16\"";
        config = config_set(config, strstr(config, "\"torch_dtype\"") ? "torch_dtype" : "dtype", name);
    }
    write_text(dir, "config.json", config);
    copy_companions(dir, &t);
    if (tool_has("verify")) {
        bool exact = true;
        tool_model_open(&rotated, dir->temp);
        error = logit_error(&ctx, &t, &rotated, &deviation);
        for (size_t i = 0; i < p.count; i++) exact = exact && p.named[i].t.format == CQ_F32;
        if (exact && !(error <= 1e-4 * deviation))
            tool_fail(target,
                      "the rotated model's logits differ by %.3g, more than 1e-4 of their standard deviation %.3g",
                      error, deviation);
    }
    tool_dir_close(dir);
    report_rotations(&plan);
    if (tool_has("verify")) {
        json_real("max_logit_error", error);
        json_real("logit_deviation", deviation);
        tool_say("largest change of a logit: %.3g (standard deviation of the logits %.3g)\n", error, deviation);
    }
    json_real("seconds", tool_seconds() - start);
    tool_say("%s: %zu tensors in %.1f s\n", target, p.count, tool_seconds() - start);
}

/* ===================================================================================================================
   quantize
   ================================================================================================================== */
typedef struct quantize_job {
    const tool_model *t;
    const cq_context *ctx;
    const cq_rotate_plan *plan;
    writer *w;
    parts *p;
    double mark;
    char *provenance;
    double loss;
    size_t modules;
} quantize_job;

static void note_module(quantize_job *job, const cq_module *module, const char *format) {
    const cq_gptq_desc *d = module->desc;
    double now = tool_seconds();
    json_open(NULL, '{');
    json_text("name", module->part.name);
    json_text("format", format);
    json_int("bits", d ? (int64_t)d->bits : 32);
    json_int("group_size", d && d->group_size ? (int64_t)d->group_size : -1);
    json_real("loss", module->report.loss);
    json_real("rtn_loss", module->report.rtn_loss);
    json_real("damp", (double)module->report.damp);
    json_int("tokens", (int64_t)module->tokens);
    json_real("seconds", now - job->mark);
    json_close();
    if (module->tokens)
        tool_say("%-44s %-5s loss %.3e   to nearest %.3e   %6.2f s\n", module->part.name, format, module->report.loss,
                 module->report.rtn_loss, now - job->mark);
    else tool_say("%-44s %-5s |W - Q|^2 / |W|^2 %.3e\n", module->part.name, format, module->report.loss);
    char *text = tool_format("%s%s{\"name\":\"%s\",\"format\":\"%s\",\"loss\":%.6e,\"rtn_loss\":%.6e}", job->provenance,
                             job->modules ? "," : "", module->part.name, format, module->report.loss,
                             module->report.rtn_loss);
    free(job->provenance);
    job->provenance = text;
    job->modules++;
    job->loss += module->report.loss;
    job->mark = now;
}

static bool emit_module(void *user, const cq_module *module) {
    quantize_job *job = user;
    const cq_part *part;
    for (;; write_part(job->w, job->ctx, job->t, job->plan)) { /* norms and biases before it */
        part = &job->p->part[job->w->next];
        if (part->kind == CQ_PART_LINEAR && part->block == module->part.block && part->role == module->part.role) break;
    }
    const cq_tensor *to = &job->p->named[job->w->next].t;
    begin_part(job->w);
    if (cq_format_is_int(to->format) && (!module->tensor.data || module->tensor.bytes != to->bytes)) return false;
    if (cq_format_is_int(to->format)) put(job->w, module->tensor.data, module->tensor.bytes);
    else put_floats(job->w, to, module->values, part->rows);
    note_module(job, module, cq_format_name(module->codes ? module->desc->bits == 8   ? CQ_INT8
                                                            : module->desc->bits == 4 ? CQ_INT4
                                                            : module->desc->bits == 3 ? CQ_INT3
                                                                                      : CQ_INT2
                                                          : to->format));
    return true;
}

static bool show_progress(void *user, size_t done, size_t total) {
    (void)user;
    tool_progress("quantizing", done, total);
    return true;
}

/* {"default": {"wq": "int4", "group_size": 64}, "overrides": [{"pattern": "*.o_proj", "wq": "int8"}, ...]} */
static cq_policy *read_policy(const char *path) {
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_json *j = tool_alloc(1, sizeof *j);
    cq_error err;
    tool_file f = tool_map(path);
    tool_check(cq_json_parse(j, (const char *)f.data, f.size, &dry, &err), path, &err);
    arena = tool_arena(dry.used);
    tool_check(cq_json_parse(j, (const char *)f.data, f.size, &arena, &err), path, &err);
    if (cq_json_kind(j, 0) != CQ_JSON_OBJECT) tool_fail(path, "should hold one JSON object with default and overrides");
    uint32_t list = cq_json_find(j, 0, "overrides"), common = cq_json_find(j, 0, "default");
    if (list && cq_json_kind(j, list) != CQ_JSON_ARRAY) tool_fail(path, "\"overrides\" should be an array");
    cq_policy *policy = tool_alloc(1, sizeof *policy);
    policy->rules = tool_alloc((list ? j->nodes[list].count : 0) + 1, sizeof(cq_policy_rule));
    uint32_t element = common ? common : list ? cq_json_child(j, list) : 0;
    bool first = common != 0;
    while (element) {
        cq_policy_rule *r = &policy->rules[policy->count++];
        if (cq_json_kind(j, element) != CQ_JSON_OBJECT) tool_fail(path, "each override should be an object");
        for (uint32_t key = cq_json_child(j, element); key; key = cq_json_next(j, key)) {
            uint32_t value = cq_json_child(j, key);
            int64_t n;
            bool yes;
            if (cq_json_string_eq(j, key, "pattern") && !first) {
                if (cq_json_kind(j, value) != CQ_JSON_STRING) tool_fail(path, "\"pattern\" should be a string");
                r->pattern = j->text + j->nodes[value].begin;
                r->pattern_len = j->nodes[value].end - j->nodes[value].begin;
            } else if (cq_json_string_eq(j, key, "wq") || cq_json_string_eq(j, key, "bits")) {
                static const struct {
                    const char *name;
                    unsigned bits;
                } formats[] = {{"int2", 2}, {"int3", 3}, {"int4", 4}, {"int8", 8}, {"bf16", 0}, {"fp16", 0}};
                size_t i = 0;
                if (cq_json_int(j, value, &n)) {
                    if (n != 2 && n != 3 && n != 4 && n != 8)
                        tool_fail(path, "bits %lld; it should be 2, 3, 4 or 8", (long long)n);
                    r->bits = (unsigned)n;
                } else {
                    while (i < 6 && !cq_json_string_eq(j, value, formats[i].name)) i++;
                    if (i == 6)
                        tool_fail(path, "wq %.*s; this version has int2, int3, int4, int8, bf16",
                                  (int)(j->nodes[value].end - j->nodes[value].begin), j->text + j->nodes[value].begin);
                    r->bits = formats[i].bits;
                }
                r->set |= r->bits ? CQ_POLICY_BITS : CQ_POLICY_SKIP;
                r->skip = !r->bits;
            } else if (cq_json_string_eq(j, key, "group_size")) {
                if (!cq_json_int(j, value, &n) || n < -1 || n == 0 || n > 65536 || (n > 0 && n % 32))
                    tool_fail(path, "\"group_size\" should be -1 or a multiple of 32 up to 65536");
                r->group_size = n < 0 ? 0 : (size_t)n;
                r->set |= CQ_POLICY_GROUP_SIZE;
            } else if (cq_json_string_eq(j, key, "asym") || cq_json_string_eq(j, key, "skip")) {
                bool skip = cq_json_string_eq(j, key, "skip");
                if (!cq_json_bool(j, value, &yes))
                    tool_fail(path, "\"%s\" should be true or false", skip ? "skip" : "asym");
                r->set |= skip ? CQ_POLICY_SKIP : CQ_POLICY_ASYM;
                if (skip) r->skip = yes;
                else r->asym = yes;
            } /* other keys (comment, extra, aq) pass */
        }
        if (!first && !r->pattern) tool_fail(path, "override %zu has no \"pattern\"", policy->count - (common ? 2 : 1));
        element = first ? (list ? cq_json_child(j, list) : 0) : cq_json_next(j, element);
        first = false;
    }
    return policy;
}

/* Only a rule with a pattern may touch the embedding and the head. */
static bool policy_names(cq_policy *policy, const cq_part *part, cq_gptq_desc *desc, bool *skip) {
    size_t len = part->name_len - strlen(".weight");
    bool named = false;
    for (size_t i = 0; i < policy->count; i++) {
        const cq_policy_rule *r = &policy->rules[i];
        named = named || (r->pattern && cq_glob(r->pattern, r->pattern_len, part->name, len));
    }
    if (named) cq_policy_resolve(policy, part->name, len, desc, skip);
    return named && !*skip;
}

/* Calibration ids (samples, seq_len): windows of a text or rows of an array; diffusion models get masks. */
static int32_t *calibration_ids(tool_model *t, size_t *samples, size_t *seq_len) {
    const char *text = tool_text("calib", NULL), *npy = tool_text("calib-ids", NULL), *path = text ? text : npy;
    size_t n, rows = 1, dims = 1, want = tool_size("samples", 128);
    int32_t *ids;
    if (!path) tool_usage("gptq needs --calib FILE or --calib-ids IDS.npy");
    if (text && npy) tool_usage("--calib and --calib-ids exclude each other");
    *seq_len = tool_size("seq-len", 512);
    if (!*seq_len || !want) tool_usage("--samples and --seq-len should be at least 1");
    if (text) {
        tool_file f = tool_map(text);
        ids = tool_encode(t, text, (const char *)f.data, f.size, &n);
    } else {
        ids = tool_ids(t, npy, &rows, &n, &dims);
    }
    if (!n || !rows) tool_fail(path, "no calibration tokens: the text is empty");
    if (dims == 2) {
        *seq_len = n;
        *samples = rows < want ? rows : want;
    } else {
        if (*seq_len > n) *seq_len = n;
        *samples = n / *seq_len < want ? n / *seq_len : want;
    }
    if (t->m.arch.diffusion) /* mask ratios (i + 1/2) / samples over the windows; the first token is always kept */
        for (size_t i = 0; i < *samples; i++)
            for (size_t p = 1; p < *seq_len; p++) {
                double u = (double)(cq_random(tool.seed, 1u << 21, i * *seq_len + p) >> 11) / 9007199254740992.0;
                if (u < ((double)i + 0.5) / (double)*samples) ids[i * *seq_len + p] = t->m.mask_id;
            }
    return ids;
}

static uint64_t input_bytes(const tool_model *t) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->shard_count; i++) bytes += t->shards[i].size;
    return bytes;
}
static void run_quantize(void) {
    tool_model t;
    cq_context ctx;
    cq_rotate_plan plan;
    cq_quantize_desc desc;
    cq_error err;
    quantize_job job;
    double start = tool_seconds();
    const char *target = tool_need("o"), *format = tool_text("format", "cq"), *rotate = tool_text("rotate", NULL);
    bool hf = !strcmp(format, "hf");
    memset(&desc, 0, sizeof desc);
    memset(&job, 0, sizeof job);
    if (!hf && strcmp(format, "cq") != 0)
        tool_fail(target, "the format %s is not in this version; it writes cq and hf", format);
    tool_gptq_options(&desc.gptq, &desc.rtn);
    if (!hf && desc.gptq.order == CQ_GPTQ_ACT_GROUPS)
        tool_fail(target, "--act-order permutes groups, which .cq files do not hold; leave it out (columns are still processed "
                          "in that order), or use --format hf");
    if (!hf && desc.gptq.group_size % 32)
        tool_fail(target, "--group-size %zu; .cq files need a multiple of 32, or -1", desc.gptq.group_size);
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    if (!desc.rtn) desc.ids = calibration_ids(&t, &desc.samples, &desc.seq_len);
    if (rotate) {
        rotation_plan(&plan, &ctx, &t, rotate);
        desc.plan = &plan;
    }
    const char *policy_path = tool_text("config", NULL);
    if (policy_path) desc.policy = read_policy(policy_path);
    tool_dir *dir = hf ? tool_dir_create(target) : NULL;

    parts p = parts_of(&t.m, desc.plan);
    for (size_t i = 0; i < p.count; i++) {
        cq_gptq_desc g = desc.gptq;
        cq_part *part = &p.part[i];
        bool skip = false, pack = part->kind == CQ_PART_LINEAR;
        if (hf || !part->matrix) {
            store_as(&p, i, CQ_F32, CQ_ROWS, 0, false);
            continue;
        }
        if (desc.policy && pack) {
            cq_policy_resolve(desc.policy, part->name, part->name_len - strlen(".weight"), &g, &skip);
            pack = !skip;
        } else if (desc.policy) {
            pack = policy_names(desc.policy, part, &g, &skip);
        }
        if (pack)
            store_as(&p, i, g.bits == 2 ? CQ_INT2 : g.bits == 3 ? CQ_INT3 : g.bits == 8 ? CQ_INT8 : CQ_INT4, CQ_PANELS,
                     g.group_size >= part->cols ? 0 : g.group_size, g.asym);
        else store_as(&p, i, cq_format_is_int(part->format) ? CQ_BF16 : part->format, CQ_PANELS, 0, false);
    }
    for (size_t r = 0; desc.policy && r < desc.policy->count; r++)
        if ((r = cq_policy_unmatched(desc.policy, r)) < desc.policy->count)
            tool_note("%s: pattern %.*s matches no module", policy_path, (int)desc.policy->rules[r].pattern_len,
                      desc.policy->rules[r].pattern);

    cq_arena dry = cq_arena_over(NULL, 0);
    tool_model_check(&t, cq_quantize_model(&ctx, &t.m, &desc, &dry, &err), &err);
    if (!desc.rtn)
        tool_note("%zu calibration tokens, %.1f MB of memory", desc.samples * desc.seq_len, (double)dry.used / 1e6);
    cq_arena arena = tool_arena(dry.used);

    char *config = config_text(&t);
    if (t.m.tied && desc.plan) config = config_set(config, "tie_word_embeddings", "false");
    if (hf) config = config_set(config, strstr(config, "\"torch_dtype\"") ? "torch_dtype" : "dtype", "\"float32\"");
    cq_bytes blob = {NULL, 0};
    if (!hf && tool_model_tokenizer(&t, false)) {
        blob.data = t.tok.blob;
        blob.size = t.blob_bytes;
    }
    job.t = &t;
    job.ctx = &ctx;
    job.plan = desc.plan;
    job.p = &p;
    job.mark = tool_seconds();
    job.provenance = tool_format("{\"cquant\":\"%s\",\"method\":\"%s\",\"bits\":%u,\"group_size\":%lld,\"sym\":%s,"
                                 "\"rotate\":%s%s%s,\"seed\":%llu,"
                                 "\"samples\":%zu,\"seq_len\":%zu,\"modules\":[",
                                 CQUANT_VERSION, desc.rtn ? "rtn" : "gptq", desc.gptq.bits ? desc.gptq.bits : 4,
                                 desc.gptq.group_size ? (long long)desc.gptq.group_size : -1,
                                 desc.gptq.asym ? "false" : "true", rotate ? "\"" : "", rotate ? rotate : "null",
                                 rotate ? "\"" : "", (unsigned long long)tool.seed, desc.samples, desc.seq_len);
    job.w = hf ? write_safetensors(tool_dir_file(dir, "model.safetensors"), &p)
               : write_cq(target, &p, config, strlen(config), blob);
    desc.emit = emit_module;
    desc.progress = show_progress;
    desc.user = &job;
    json_open("modules", '[');
    cq_status st = cq_quantize_model(&ctx, &t.m, &desc, &arena, &err);
    tool_model_check(&t, st, &err);
    json_close();
    while (job.w->next < p.count) write_part(job.w, &ctx, &t, desc.plan);
    char *provenance = tool_format("%s]}", job.provenance);
    uint64_t bytes = finish(job.w, target, provenance);
    if (hf) {
        write_text(dir, "config.json", config);
        copy_companions(dir, &t);
        tool_dir_close(dir);
    }
    if (desc.plan) report_rotations(desc.plan);
    json_int("samples", (int64_t)desc.samples);
    json_int("seq_len", (int64_t)desc.seq_len);
    json_real("seconds", tool_seconds() - start);
    json_int("arena_bytes", (int64_t)dry.used);
    json_int("peak_bytes", (int64_t)tool_peak_bytes());
    json_int("bytes_in", (int64_t)input_bytes(&t));
    json_int("bytes_out", (int64_t)bytes);
    if (!desc.rtn && job.modules) tool_say("mean loss %.3e\n", job.loss / (double)job.modules);
    tool_say("%s: %zu modules, %.2f MB from %.2f MB, %.1f s, peak memory %.0f MB\n", target, job.modules,
             (double)bytes / 1e6, (double)input_bytes(&t) / 1e6, tool_seconds() - start,
             (double)tool_peak_bytes() / 1e6);
}

/* ===================================================================================================================
   export
   ================================================================================================================== */
/* any file as a C array, aligned so that it can be opened in place */
static void write_c_array(const char *target, const unsigned char *data, size_t size) {
    const char *name = strrchr(target, '/');
    char *id = tool_format("%s", name ? name + 1 : target), *dot = strchr(id, '.');
    if (dot) *dot = 0;
    for (char *c = id; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' || (*c >= '0' && *c <= '9' && c != id)))
            *c = '_';
    tool_out *out = tool_create(target);
    tool_print(out, "/* a cquant model: cq_file_open(&file, %s, sizeof %s, ...) */\n", id, id);
    tool_print(out, "#if defined(__GNUC__) || defined(__clang__)\n__attribute__((aligned(64)))\n#endif\n");
    tool_print(out, "const unsigned char %s[%zu] = {\n", id, size);
    for (size_t i = 0; i < size; i++)
        tool_print(out, "%u%s", data[i], i + 1 == size ? "\n" : i % 24 == 23 ? ",\n" : ",");
    tool_print(out, "};\n");
    tool_close(out);
}

static void run_export(void) {
    tool_model t;
    cq_context ctx;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL), *file = target;
    bool c_array = tool_has("c-array");
    size_t group = tool_size("group-size", 64), seq_len;
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    seq_len = tool_size("seq-len", t.m.max_position && t.m.max_position < 2048 ? t.m.max_position : 2048);
    if (!seq_len) tool_usage("--seq-len should be at least 1");
    if (group % 32) tool_usage("--group-size should be a multiple of 32");
    if (!dtype && !(t.is_file && c_array)) tool_usage("export needs --dtype fp16|bf16|int8|int4");
    uint64_t bytes;
    if (!dtype) { /* a .cq file as it is */
        write_c_array(target, t.shards[0].data, t.shards[0].size);
        bytes = t.shards[0].size;
    } else {
        parts p = parts_of(&t.m, NULL);
        cq_format format = !strcmp(dtype, "fp16")   ? CQ_F16
                           : !strcmp(dtype, "bf16") ? CQ_BF16
                           : !strcmp(dtype, "int8") ? CQ_INT8
                                                    : CQ_INT4;
        for (size_t i = 0; i < p.count; i++) {
            cq_tensor to;
            tool_export_tensor(&to, &p.part[i], format, group);
            store_as(&p, i, to.format, to.layout, to.group_size, to.asym);
        }
        cq_bytes blob = {NULL, 0};
        if (tool_model_tokenizer(&t, false)) {
            blob.data = t.tok.blob;
            blob.size = t.blob_bytes;
        }
        if (c_array) file = tool_format("%s.cq", target);
        writer *w = write_cq(file, &p, (const char *)t.config.data, t.config.size, blob);
        for (size_t i = 0; i < p.count; i++) {
            write_part(w, &ctx, &t, NULL);
            tool_progress("exporting", i + 1, p.count);
        }
        bytes = finish(w, file,
                       tool_format("{\"cquant\":\"%s\",\"method\":\"rtn\",\"dtype\":\"%s\"}", CQUANT_VERSION, dtype));
        if (c_array) {
            tool_file f = tool_map(file);
            write_c_array(target, f.data, f.size);
            bytes = f.size;
            remove(file);
        }
    }
    cq_session_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = seq_len;
    desc.int8 = !dtype || !strncmp(dtype, "int", 3);
    size_t arena = tool_session_bytes(&ctx, &t, &desc);
    json_int("bytes", (int64_t)bytes);
    json_int("arena_bytes", (int64_t)arena);
    json_int("seq_len", (int64_t)seq_len);
    tool_say("%s: %.2f MB; a session of %zu tokens needs %.2f MB of memory\n", target, (double)bytes / 1e6, seq_len,
             (double)arena / 1e6);
}

static const tool_option rotate_options[] = {
    {"o", "DIR", 0, 0, "the rotated model, in Hugging Face layout"},
    {"config", "CONFIG", 0, 0, "auto (derived from the architecture) or transformer_universal (auto)"},
    {"dtype", "fp32|fp16|bf16", 0, 0, "of the tensors written (as stored)"},
    {"verify", NULL, 0, 0, "run both models and compare their logits"},
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_rotate = {"rotate", "MODEL", "fold the norms and rotate the residual stream and the heads", 1, 1,
                                 rotate_options, run_rotate};

static const tool_option quantize_options[] = {
    {"o", "OUT", 0, 0, "the quantised model"},
    TOOL_GPTQ_OPTIONS,
    {"calib", "FILE", 0, 0, "text to calibrate on"},
    {"calib-ids", "IDS.npy", 0, 0, "ids to calibrate on: 1-D, cut into windows, or one sample a row"},
    {"samples", "N", 1, 1 << 24, "windows to calibrate on (128)"},
    {"seq-len", "N", 1, 1 << 24, "tokens in a window (512)"},
    {"config", "FILE", 0, 0, "mixed precision: {\"default\": {...}, \"overrides\": [{\"pattern\": ..., ...}]}"},
    {"rotate", "CONFIG", 0, 0, "rotate first: auto"},
    {"format", "cq|gptq|gguf|hf", 0, 0, "of the output (cq); hf: dequantised, float32"},
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_quantize = {"quantize", "MODEL", "quantise the linears by GPTQ or to nearest", 1, 1,
                                   quantize_options, run_quantize};

static const tool_option export_options[] = {
    {"o", "FILE", 0, 0, "the .cq file"},
    {"dtype", "fp16|bf16|int8|int4", 0, 0, "of the matrices; int4: embedding and head in int8"},
    {"group-size", "N", 32, 65536, "columns that share a scale (64)"},
    {"seq-len", "N", 1, 1 << 30, "tokens of the session whose memory is reported (2048, or what the model has)"},
    {"c-array", NULL, 0, 0, "write C source instead, for firmware"},
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_export = {"export", "MODEL", "write one .cq file, used in place from memory or flash", 1, 1,
                                 export_options, run_export};
