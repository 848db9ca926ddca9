/* cmd_quantize.c - quantize: what is said, planned, written and reported around cq_quantize_model */
#include "tool_write.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows. */
typedef struct text {
    char *p;
    size_t n, room;
} text;
static void text_add(text *s, char *piece) { /* frees the piece */
    size_t n = strlen(piece);
    if (s->room - s->n <= n) {
        s->room = 2 * (s->room + n + 1);
        s->p = realloc(s->p, s->room);
        if (!s->p) tool_fail(NULL, "out of memory: %zu bytes are needed", s->room);
    }
    memcpy(s->p + s->n, piece, n + 1);
    s->n += n;
    free(piece);
}

typedef struct quantize_job {
    const tool_model *t;
    const cq_context *ctx;
    const cq_rotate_plan *plan;
    tool_writer *w;
    tool_parts *p;
    const char **kept; /* (parts) why it stays in high precision; NULL: it does not */
    bool *starved;     /* (parts) */
    double mark;
    text provenance;
    double loss;
    size_t modules, calibrated;
} quantize_job;

static const char *format_of(const cq_module *module, const cq_tensor *to) {
    return cq_format_name(module->codes ? module->desc->format : to->format);
}

static void note_module(quantize_job *job, const cq_module *module, const char *format) {
    const cq_gptq_desc *d = module->desc;
    const cq_gptq_report *r = &module->report;
    double now = tool_seconds();
    char name[256];
    cq_module_name(&job->t->m, module->block, module->linear, name, sizeof name);
    json_open(NULL, '{');
    json_text("name", name);
    json_text("format", format);
    json_int("bits", module->codes ? (int64_t)cq_format_bits(d->format) : 32);
    json_int("group_size", module->codes && d->group_size ? (int64_t)d->group_size : -1);
    json_real("loss", r->loss);
    json_real("rtn_loss", r->rtn_loss);
    json_real("damp", (double)r->damp);
    json_int("tokens", (int64_t)module->tokens);
    json_real("seconds", now - job->mark);
    json_close();
    if (!module->codes) tool_say("%-44s %-5s as it is\n", name, format);
    else if (module->tokens && !module->starved)
        tool_say("%-44s %-5s loss %.3e   to nearest %.3e   %6.2f s\n", name, format, r->loss, r->rtn_loss,
                 now - job->mark);
    else
        tool_say("%-44s %-5s |W - Q|^2 / |W|^2 %.3e%s\n", name, format, r->loss, module->starved ? " (starved)" : "");
    text_add(&job->provenance, tool_format("%s{\"name\":\"%s\",\"format\":\"%s\",\"loss\":%.6e,\"rtn_loss\":%.6e}",
                                           job->modules ? "," : "", name, format, r->loss, r->rtn_loss));
    job->modules++;
    if (module->codes && !module->starved) {
        job->loss += r->loss;
        job->calibrated++;
    }
    job->mark = now;
}

static bool emit_module(void *user, const cq_module *module) {
    quantize_job *job = user;
    const cq_part *part = tool_part_of(job->p, &job->t->m, module->block, module->linear);
    if (!part) tool_fail(job->t->path, "two blocks share a linear, which this version cannot quantise");
    size_t i = (size_t)(part - job->p->part);
    const cq_tensor *to = &job->p->named[job->p->tensor[i]].t;
    uint64_t place = tool_place_of(job->w, i);
    if (cq_format_is_coded(to->format)) {
        if (!module->tensor.data || module->tensor.bytes != to->bytes)
            tool_fail(job->t->path, "'%s' cannot be packed: %zu bytes were planned", part->name, to->bytes);
        tool_put_at(job->w, place, module->tensor.data, module->tensor.bytes);
    } else {
        tool_put_rows(job->w, job->ctx, i, module->values, NULL, part->rows, &place);
    }
    job->p->written[i] = true;
    job->starved[i] = module->starved;
    note_module(job, module, format_of(module, to));
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
                size_t len = j->nodes[value].end - j->nodes[value].begin;
                const char *name = j->text + j->nodes[value].begin;
                bool number = cq_json_int(j, value, &n), none = false;
                if (!number) none = cq_json_string_eq(j, value, "bf16") || cq_json_string_eq(j, value, "fp16");
                r->format = number ? cq_format_int(n > 0 && n < 9 ? (unsigned)n : 0) : tool_coded_format(name, len);
                if (!none && r->format == CQ_FORMAT_COUNT)
                    tool_fail(path, "wq or bits %.*s; there are int2, int3, int4, int8, fp8, mxfp8, mxfp6, mxfp4, bf16",
                              (int)len, name);
                r->set |= none ? CQ_POLICY_SKIP : CQ_POLICY_FORMAT;
                r->skip = none;
            } else if (cq_json_string_eq(j, key, "group_size")) {
                if (!cq_json_int(j, value, &n) || n < -1 || n == 0 || n > 65536 || (n > 0 && n % 16))
                    tool_fail(path, "\"group_size\" should be -1 or a multiple of 16 up to 65536");
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

/* Only a rule with a pattern may touch what stands at the ends: embedding, positions, head. */
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

static const char *why_kept(const cq_linear *l) {
    switch (l->role) {
    case CQ_ROLE_ROUTER: return "router";
    case CQ_ROLE_SHARED_MIX: return "gate of the shared expert";
    case CQ_ROLE_MIX2: return "weighs experts and shared expert";
    case CQ_ROLE_EXPERT_IN:
    case CQ_ROLE_EXPERT_OUT: return "leads into or out of the experts";
    default: return "marked ! in the description";
    }
}

/* The format of each part, and why it is kept if it is. */
static void plan_formats(tool_parts *p, const cq_quantize_desc *desc, const char **kept) {
    for (size_t i = 0; i < p->count; i++) {
        const cq_part *part = &p->part[i];
        bool linear = part->kind == CQ_PART_LINEAR && part->block, skip = false, pack;
        size_t len = part->name_len - strlen(".weight");
        cq_gptq_desc g = desc->gptq;
        cq_error err;
        if (!part->matrix) {
            tool_store_as(p, i, CQ_F32, CQ_ROWS, 0, false);
            continue;
        }
        if (linear && part->linear->keep) {
            pack = false;
            kept[i] = why_kept(part->linear);
        } else if (linear) {
            if (desc->policy) cq_policy_resolve(desc->policy, part->name, len, &g, &skip);
            pack = !skip;
            if (skip) kept[i] = "skipped by --config";
        } else {
            pack = desc->policy && policy_names(desc->policy, part, &g, &skip);
            if (!pack) kept[i] = "stays as stored unless --config names it";
        }
        g.group_size = g.group_size >= part->cols ? 0 : g.group_size;
        if (p->hf) tool_store_as(p, i, CQ_F32, CQ_ROWS, 0, false);
        else if (pack) tool_store_as(p, i, g.format, CQ_PANELS, g.group_size, g.asym);
        else tool_store_as(p, i, cq_format_is_coded(part->format) ? CQ_BF16 : part->format, CQ_PANELS, 0, false);
        if (p->hf && pack && !linear)
            tool_check(cq_tensor_init(&p->round[i], g.format, CQ_PANELS, part->rows, part->cols, g.group_size,
                                      g.asym, &err), part->name, &err);
    }
}

/* What is not quantised, or only rounded to nearest, and why. */
static void report_kept(const quantize_job *job) {
    const char *why = NULL;
    size_t rounded = 0;
    json_open("kept", '[');
    for (size_t i = 0; i < job->p->count; i++) {
        const cq_part *part = &job->p->part[i];
        char *name = tool_format("%.*s", (int)(part->name_len - strlen(".weight")), part->name);
        if (job->starved[i]) why = "saw too few tokens: rounded to nearest", rounded++;
        else why = job->kept[i];
        if (why) {
            json_open(NULL, '{');
            json_text("name", name);
            json_text("why", why);
            json_close();
            if (!job->starved[i]) tool_say("%-44s kept: %s\n", name, why);
        }
        free(name);
    }
    json_close();
    json_open("starved", '[');
    for (size_t i = 0; i < job->p->count; i++)
        if (job->starved[i]) json_bytes(NULL, job->p->part[i].name, job->p->part[i].name_len - strlen(".weight"));
    json_close();
    if (rounded)
        tool_note("%zu linears of experts saw too few tokens and were rounded to nearest; more calibration text helps",
                  rounded);
}

/* What the options leave open, before anything is read. */
static void check_quantize(const cq_quantize_desc *desc, const char *target, const char *format, bool hf) {
    if (!hf && strcmp(format, "cq") != 0)
        tool_fail(target, "the format %s is not in this version; it writes cq and hf", format);
    if (hf) tool_refuse_online(target);
    if (!hf && desc->gptq.order == CQ_GPTQ_ACT_GROUPS)
        tool_fail(target, "--act-order permutes groups, which .cq files do not hold; leave it out (columns are still "
                          "processed in that order), or use --format hf");
    if (!hf && desc->gptq.group_size % 16)
        tool_fail(target, "--group-size %zu; .cq files need a multiple of 16, or -1", desc->gptq.group_size);
}

static void begin_provenance(text *s, const cq_quantize_desc *desc) {
    char *rotations = tool_rotations_text();
    text_add(s, tool_format("{\"cquant\":\"%s\",\"method\":\"%s\",\"wq\":\"%s\",\"group_size\":%lld,\"sym\":%s,"
                            "%s,\"seed\":%llu,"
                            "\"samples\":%zu,\"seq_len\":%zu,\"modules\":[",
                            CQUANT_VERSION, desc->rtn ? "rtn" : "gptq", cq_format_name(desc->gptq.format),
                            desc->gptq.group_size ? (long long)desc->gptq.group_size : -1,
                            desc->gptq.asym ? "false" : "true", rotations, (unsigned long long)tool.seed,
                            desc->samples, desc->seq_len));
    free(rotations);
}

/* One run of `quantize`, as often as it is tried. */
typedef struct quantize_run {
    tool_model *t;
    const cq_context *ctx;
    cq_quantize_desc desc;
    const char *policy_path;
    bool hf;
    quantize_job job;
    size_t arena_bytes;
} quantize_run;

/* Writes the model, and returns its bytes. */
static uint64_t quantize_to(quantize_run *q, const char *target) {
    tool_model *t = q->t;
    cq_quantize_desc *desc = &q->desc;
    quantize_job *job = &q->job;
    cq_error err;
    tool_dir *dir = q->hf ? tool_dir_create(target) : NULL;
    tool_parts p = tool_parts_of(t, desc->plan, q->hf);
    memset(job, 0, sizeof *job);
    job->kept = tool_alloc(p.count, sizeof *job->kept);
    job->starved = tool_alloc(p.count, sizeof *job->starved);
    plan_formats(&p, desc, job->kept);
    for (size_t r = 0; desc->policy && r < desc->policy->count; r++)
        if ((r = cq_policy_unmatched(desc->policy, r)) < desc->policy->count)
            tool_note("%s: pattern %.*s matches no module", q->policy_path, (int)desc->policy->rules[r].pattern_len,
                      desc->policy->rules[r].pattern);

    cq_arena dry = cq_arena_over(NULL, 0);
    tool_model_check(t, cq_quantize_model(q->ctx, &t->m, desc, &dry, &err), &err);
    q->arena_bytes = dry.used;
    if (!desc->rtn)
        tool_note("%zu calibration tokens, %.1f MB of memory", desc->samples * desc->seq_len, (double)dry.used / 1e6);
    cq_arena arena = tool_arena(dry.used);

    char *config = tool_config_text(t);
    if (cq_rotate_unties(desc->plan, &t->m)) config = tool_config_untied(config, t);
    if (q->hf) config = tool_config_dtype(config, t, "\"float32\"");
    job->t = t;
    job->ctx = q->ctx;
    job->plan = desc->plan;
    job->p = &p;
    job->mark = tool_seconds();
    begin_provenance(&job->provenance, desc);
    job->w = q->hf ? tool_write_safetensors(tool_dir_file(dir, "model.safetensors"), &p, t)
                   : tool_write_cq(target, &p, t, desc->plan, config, strlen(config));
    desc->emit = emit_module;
    desc->progress = show_progress;
    desc->user = job;
    json_open("modules", '[');
    tool_model_check(t, cq_quantize_model(q->ctx, &t->m, desc, &arena, &err), &err);
    json_close();
    for (size_t i = 0; i < p.count; i++)
        if (!p.written[i] && p.part[i].kind == CQ_PART_LINEAR && !job->kept[i])
            tool_fail(t->path, "'%s' was not quantised", p.part[i].name);
        else if (!p.written[i]) tool_write_part(job->w, i, q->ctx, t, desc->plan);
    report_kept(job);
    text_add(&job->provenance, tool_format("]}"));
    uint64_t bytes = tool_finish(job->w, job->provenance.p);
    if (q->hf) {
        tool_write_text(dir, "config.json", config);
        tool_copy_companions(dir, t);
        tool_dir_close(dir);
    }
    free(arena.base);
    free(config);
    return bytes;
}

/* KL divergence of a quantised model from the model itself, over at most JUDGES of the calibration windows. */
#define JUDGES 16
static double divergence(const quantize_run *q, const tool_model *quantised, const int32_t *ids, size_t samples,
                         size_t seq_len) {
    const cq_model *m = &q->t->m;
    size_t judges = samples < JUDGES ? samples : JUDGES;
    uint32_t *at = tool_alloc(seq_len, sizeof *at);
    cq_session_desc desc;
    tool_gauge g;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = seq_len;
    desc.act_bits = (unsigned)tool_size("act-bits", 0);
    tool_gauge_open(&g, q->ctx, quantised, q->t, &desc);
    for (size_t j = 0; j < judges; j++) {
        const int32_t *window = ids + (j * samples / judges) * seq_len;
        size_t rows = 0;
        for (size_t p = 0; p < seq_len; p++) /* rows that predict a masked token, or the next one */
            if (!m->arch.diffusion || window[p] == m->mask_id)
                at[rows++] = (uint32_t)(p && m->arch.diffusion && m->arch.shift ? p - 1 : p);
        tool_gauge_add(&g, window, seq_len, at, window, rows);
    }
    double kl = g.rows ? g.kl / (double)g.rows : 0;
    tool_gauge_close(&g);
    free(at);
    return kl;
}

/* --tries N: the rotations of N seeds, each quantised as asked and compared with the model itself. The seed of the best
   one becomes that of the run. */
static void try_rotations(quantize_run *q, const char *target, size_t tries) {
    uint64_t first = tool.seed, best = first;
    double least = INFINITY;
    char *file = tool_format("%s.try", target);
    size_t samples = q->desc.samples, seq_len = q->desc.seq_len;
    const int32_t *ids = q->desc.ids;
    cq_rotate_plan plan;
    if (q->desc.rtn) ids = calibration_ids(q->t, &samples, &seq_len);
    json_open("tries", '[');
    for (size_t i = 0; i < tries; i++) {
        tool_model quantised;
        tool_mute(true);
        tool.seed = first + i;
        q->desc.plan = tool_rotation_options(&plan, q->ctx, q->t);
        quantize_to(q, file);
        tool_model_open_like(&quantised, file, q->t);
        remove(file); /* it stays mapped */
        tool_mute(false);
        double kl = divergence(q, &quantised, ids, samples, seq_len);
        json_open(NULL, '{');
        json_int("seed", (int64_t)tool.seed);
        json_real("kl", kl);
        json_close();
        tool_say("rotation of seed %llu: KL %.6f nats on calibration text\n", (unsigned long long)tool.seed, kl);
        if (kl < least) {
            least = kl;
            best = tool.seed;
        }
    }
    json_close();
    tool.seed = best;
    free(file);
}

static void run_quantize(void) {
    tool_model t;
    cq_context ctx;
    cq_rotate_plan plan;
    quantize_run q;
    double start = tool_seconds();
    const char *target = tool_need("o"), *format = tool_text("format", "cq");
    size_t tries = tool_size("tries", 1);
    memset(&q, 0, sizeof q);
    cq_quantize_desc *desc = &q.desc;
    q.policy_path = tool_text("config", NULL);
    q.hf = !strcmp(format, "hf");
    q.t = &t;
    q.ctx = &ctx;
    tool_gptq_options(&desc->gptq, &desc->rtn);
    check_quantize(desc, target, format, q.hf);
    if (tool_has("matrices") && !tool_has("rotate")) tool_usage("--matrices needs --rotate");
    if (tries > 1 && (!tool_has("rotate") || q.hf)) tool_usage("--tries needs --rotate, and writes .cq files");
    if (tries > 1 && tool_has("matrices")) tool_usage("--tries draws matrices, and --matrices gives them");
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    if (tries > 1 && t.m.two_streams) tool_fail(t.path, "--tries does not know how to judge models of two streams");
    if (!desc->rtn) desc->ids = calibration_ids(&t, &desc->samples, &desc->seq_len);
    if (!desc->rtn && t.m.two_streams) {
        tool_prompt text = tool_prompt_read(&t, desc->samples, "text-embeds", true);
        desc->text = text.text;
        desc->text_rows = text.rows;
        desc->boxes = text.box;
    }
    if (q.policy_path) desc->policy = read_policy(q.policy_path);
    if (tries > 1) try_rotations(&q, target, tries);
    desc->plan = tool_rotation_options(&plan, &ctx, &t);
    uint64_t bytes = quantize_to(&q, target);
    if (desc->plan) tool_report_rotations(desc->plan, &t.m);
    json_int("seed", (int64_t)tool.seed);
    json_int("samples", (int64_t)desc->samples);
    json_int("seq_len", (int64_t)desc->seq_len);
    json_real("seconds", tool_seconds() - start);
    json_int("arena_bytes", (int64_t)q.arena_bytes);
    json_int("peak_bytes", (int64_t)tool_peak_bytes());
    json_int("bytes_in", (int64_t)input_bytes(&t));
    json_int("bytes_out", (int64_t)bytes);
    if (!desc->rtn && q.job.calibrated) tool_say("mean loss %.3e\n", q.job.loss / (double)q.job.calibrated);
    tool_say("%s: %zu modules, %.2f MB from %.2f MB, %.1f s, peak memory %.0f MB\n", target, q.job.modules,
             (double)bytes / 1e6, (double)input_bytes(&t) / 1e6, tool_seconds() - start,
             (double)tool_peak_bytes() / 1e6);
}

static const tool_option quantize_options[] = {
    {"o", "OUT", 0, 0, "the quantised model"},
    TOOL_GPTQ_OPTIONS,
    {"calib", "FILE", 0, 0, "text to calibrate on"},
    {"calib-ids", "IDS.npy", 0, 0, "ids to calibrate on: 1-D, cut into windows, or one sample a row"},
    TOOL_PROMPT_OPTIONS,
    {"samples", "N", 1, 1 << 24, "windows to calibrate on (128)"},
    {"seq-len", "N", 1, 1 << 24, "tokens in a window (512)"},
    {"config", "FILE", 0, 0, "mixed precision: {\"default\": {...}, \"overrides\": [{\"pattern\": ..., ...}]}"},
    TOOL_ROTATION_OPTIONS,
    {"tries", "N", 1, 1000, "quantise with the rotations of N seeds, keep the one nearest to the model (1)"},
    {"act-bits", "N", 2, 8, "of the activations with which --tries compares (float)"},
    {"format", "cq|gptq|gguf|hf", 0, 0, "of the output (cq); hf: dequantised, float32"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_quantize = {"quantize", "MODEL", "quantise the linears by GPTQ or to nearest", 1, 1,
                                   quantize_options, run_quantize};
