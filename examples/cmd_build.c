/* cmd_build.c - commands that write models: rotate, export (quantize is cmd_quantize.c) */
#include "tool_write.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Largest difference of the logits of two models on random tokens, 64 or as many as they take, and the deviation of
   the first's. */
static double logit_error(const cq_context *ctx, const tool_model *a, const tool_model *b, double *deviation) {
    enum { TOKENS = 64, TEXT = 8 };
    int32_t ids[TOKENS];
    size_t longest = a->m.longest ? a->m.longest : a->m.context;
    size_t tokens = longest && longest < TOKENS ? longest : TOKENS;
    size_t vocab = a->m.vocab, total = tokens * vocab;
    float *out[2], *text = NULL; /* two streams: random rows and a random box */
    double worst = 0, sum = 0, square = 0;
    if (a->m.two_streams) {
        size_t numbers = TEXT * a->m.input[0].w.cols + a->m.input[1].w.cols;
        text = tool_alloc(numbers, sizeof *text);
        for (size_t i = 0; i < numbers; i++)
            text[i] = (float)(cq_random(tool.seed, (1u << 20) + 1, i) >> 40) / (1 << 23) - 1.0f;
    }
    for (size_t i = 0; i < tokens; i++) ids[i] = (int32_t)(cq_random(tool.seed, 1u << 20, i) % vocab);
    for (int i = 0; i < 2; i++) {
        const tool_model *t = i ? b : a;
        cq_session s;
        cq_session_desc desc;
        cq_input in;
        cq_error err;
        void *base;
        memset(&desc, 0, sizeof desc);
        memset(&in, 0, sizeof in);
        desc.max_tokens = tokens + (text ? TEXT + 1 : 0);
        tool_session(&s, ctx, t, &desc, &base);
        in.ids = ids;
        in.n = tokens;
        out[i] = tool_alloc(total, sizeof(float));
        if (text) {
            const float *box = t->m.input[1].w.rows ? text + TEXT * t->m.input[0].w.cols : NULL;
            tool_model_check(t, cq_forward_text(&s, text, TEXT, box, &err), &err);
        }
        tool_model_check(t, cq_forward(&s, &in, &err), &err);
        cq_logits(&s, NULL, tokens, out[i]);
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
    free(text);
    return worst;
}

/* With --verify: opens what was written, as anybody would, and compares. */
static void verify_rotated(const cq_context *ctx, const tool_model *t, const char *dir, const char *target,
                           const tool_parts *p, double *error, double *deviation) {
    tool_model rotated;
    bool exact = true;
    tool_model_open_like(&rotated, dir, t);
    *error = logit_error(ctx, t, &rotated, deviation);
    for (size_t i = 0; i < p->count; i++)
        exact = exact && (p->part[i].kind == CQ_PART_CARRIED || p->named[p->tensor[i]].t.format == CQ_F32);
    if (exact && !(*error <= 1e-4 * *deviation))
        tool_fail(target, "the rotated model's logits differ by %.3g, more than 1e-4 of their standard deviation %.3g",
                  *error, *deviation);
}

static void run_rotate(void) {
    tool_model t;
    cq_context ctx;
    cq_rotate_plan plan;
    double start = tool_seconds(), deviation = 0, error = 0;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL);
    tool_refuse_online(target);
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    tool_dir *dir = tool_dir_create(target);
    tool_rotation(&plan, &ctx, &t, tool_text("config", "auto"), tool_text("matrices", NULL));
    tool_dir *matrices = tool_save_matrices(&plan, &t.m);
    tool_parts p = tool_parts_of(&t, &plan, true);
    for (size_t i = 0; i < p.count; i++) {
        cq_format embed = cq_format_is_coded(t.m.embed.format) ? CQ_F32 : t.m.embed.format;
        cq_format f = tool_stored_format(&p.part[i], embed);
        if (dtype) f = !strcmp(dtype, "fp32") ? CQ_F32 : !strcmp(dtype, "fp16") ? CQ_F16 : CQ_BF16;
        tool_store_as(&p, i, f, CQ_ROWS, 0, false);
    }
    tool_writer *w = tool_write_safetensors(dir, &p, &t, TOOL_SHARD_BYTES);
    w->double_16 = strncmp(tool_text("config", "auto"), "auto", 4) != 0; /* as the configuration has it */
    for (size_t i = 0; i < p.count; i++) {
        tool_write_part(w, i, &ctx, &t, &plan);
        tool_progress("rotating", i + 1, p.count);
    }
    tool_finish(w, NULL);
    char *config = tool_config_text(&t);
    if (cq_rotate_unties(&plan, &t.m)) config = tool_config_untied(config, &t);
    if (dtype)
        config = tool_config_dtype(config, &t, !strcmp(dtype, "fp32")   ? "\"float32\""
                                          : !strcmp(dtype, "fp16") ? "\"float16\""
                                                                   : "\"bfloat16\"");
    tool_write_text(dir, "config.json", config);
    tool_copy_companions(dir, &t);
    if (tool_has("verify")) verify_rotated(&ctx, &t, dir->temp, target, &p, &error, &deviation);
    tool_dir_close(dir);
    if (matrices) tool_dir_close(matrices);
    tool_report_rotations(&plan, &t.m);
    if (tool_has("verify")) {
        json_real("max_logit_error", error);
        json_real("logit_deviation", deviation);
        tool_say("largest change of a logit: %.3g (standard deviation of the logits %.3g)\n", error, deviation);
    }
    json_real("seconds", tool_seconds() - start);
    tool_say("%s: %zu tensors in %.1f s\n", target, p.tensors, tool_seconds() - start);
}

/* ===================================================================================================================
   [EXPORT]
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

static uint64_t export_file(const char *file, tool_model *t, const cq_context *ctx, const char *dtype, size_t group) {
    cq_rotate_plan space;
    const cq_rotate_plan *plan = tool_rotation_options(&space, ctx, t);
    tool_parts p = tool_parts_of(t, plan, false);
    char *config = tool_config_text(t);
    if (t->m.tied && plan && plan->r1[0].on) config = tool_config_untied(config, t);
    cq_format format = !strcmp(dtype, "fp16")   ? CQ_F16
                       : !strcmp(dtype, "bf16") ? CQ_BF16
                       : !strcmp(dtype, "int8") ? CQ_INT8
                                                : CQ_INT4;
    size_t all = 0, done = 0; /* in millions of weights: parts differ too much to be counted */
    for (size_t i = 0; i < p.count; i++) {
        cq_tensor to;
        all += p.part[i].rows * p.part[i].cols;
        tool_export_tensor(&to, &p.part[i], format, group);
        tool_store_as(&p, i, to.format, to.layout, to.group_size, to.asym);
    }
    tool_writer *w = tool_write_cq(file, &p, t, plan, config, strlen(config));
    for (size_t i = 0; i < p.count; i++) {
        tool_write_part(w, i, ctx, t, plan);
        done += p.part[i].rows * p.part[i].cols;
        tool_progress("exporting, million weights", done / 1000000, all / 1000000);
    }
    if (plan) tool_report_rotations(plan, &t->m);
    char *rotations = tool_rotations_text();
    return tool_finish(w, tool_format("{\"cquant\":\"%s\",\"method\":\"rtn\",\"dtype\":\"%s\",%s,\"seed\":%llu}",
                                 CQUANT_VERSION, dtype, rotations, (unsigned long long)tool.seed));
}

static void run_export(void) {
    tool_model t;
    cq_context ctx;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL);
    bool c_array = tool_has("c-array");
    size_t group = tool_size("group-size", 64), seq_len;
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    seq_len = tool_size("seq-len", t.m.context && t.m.context < 2048 ? t.m.context : 2048);
    if (!seq_len) tool_usage("--seq-len should be at least 1");
    if (group % 32) tool_usage("--group-size should be a multiple of 32");
    if (!dtype && !(t.is_file && c_array)) tool_usage("export needs --dtype fp16|bf16|int8|int4");
    uint64_t bytes;
    if (!dtype) { /* a .cq file as it is */
        write_c_array(target, t.shards[0].data, t.shards[0].size);
        bytes = t.shards[0].size;
    } else if (c_array) {
        char *file = tool_format("%s.cq", target);
        bytes = export_file(file, &t, &ctx, dtype, group);
        tool_file f = tool_map(file);
        remove(file);
        write_c_array(target, f.data, f.size);
    } else {
        bytes = export_file(target, &t, &ctx, dtype, group);
    }
    cq_session_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = seq_len;
    desc.act_bits = !dtype || !strncmp(dtype, "int", 3) ? 8 : 0;
    size_t arena = tool_session_bytes(&ctx, &t, &desc, NULL, NULL);
    json_int("bytes", (int64_t)bytes);
    json_int("arena_bytes", (int64_t)arena);
    json_int("seq_len", (int64_t)seq_len);
    tool_say("%s: %.2f MB; a session of %zu tokens needs %.2f MB of memory\n", target, (double)bytes / 1e6, seq_len,
             (double)arena / 1e6);
}

static const tool_option rotate_options[] = {
    {"o", "DIR", 0, 0, "the rotated model, in Hugging Face layout"},
    {"config", "CONFIG", 0, 0, "auto (from the architecture), auto:N (in blocks of N channels), transformer_universal, "
                               "nemotron_h, or a YAML or JSON file"},
    TOOL_MATRICES_OPTION,
    {"save-matrices", "DIR", 0, 0, "write the matrices, as --matrices reads them"},
    {"dtype", "fp32|fp16|bf16", 0, 0, "of the tensors written (as stored)"},
    {"verify", NULL, 0, 0, "run both models and compare their logits"},
    {"online", "r3,r4", 0, 0, "refused: only .cq files can hold online rotations (quantize, export)"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_rotate = {"rotate", "MODEL", "fold the norms and rotate the residual stream and the heads", 1, 1,
                                 rotate_options, run_rotate};

static const tool_option export_options[] = {
    {"o", "FILE", 0, 0, "the .cq file"},
    {"dtype", "fp16|bf16|int8|int4", 0, 0, "of the matrices; int4: embedding and head in int8"},
    {"group-size", "N", 32, 65536, "columns that share a scale (64)"},
    {"seq-len", "N", 1, 1 << 30, "tokens of the session whose memory is reported (2048, or what the model has)"},
    TOOL_ROTATION_OPTIONS,
    {"c-array", NULL, 0, 0, "write C source instead, for firmware"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_export = {"export", "MODEL", "write one .cq file, used in place from memory or flash", 1, 1,
                                 export_options, run_export};
