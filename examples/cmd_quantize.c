/* cmd_quantize.c - quantize: what is said, planned, written and reported around cq_quantize_model */
#include "tool_quantize.h"
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
    tool_spill *spill; /* NULL: activations in memory */
    tool_journal *journal; /* NULL: none */
    bool restoring, rtn; /* modules come from the journal; rounding to nearest */
    const cq_block *block; /* of the last module */
    bool report_to;    /* somebody wants a report */
    double mark;
    text provenance, report;
    double loss;
    size_t modules, calibrated;
} quantize_job;

static const char *format_of(const cq_module *module, const cq_tensor *to) {
    return cq_format_name(module->codes ? module->desc->format : to->format);
}

/* One module of --report. "calibrated": the losses are those of outputs; else |W - Q|^2 / |W|^2, as there is no H. */
static void report_module(quantize_job *job, const cq_module *m, const char *name, const char *format, double seconds) {
    const cq_gptq_report *r = &m->report;
    size_t weights = m->linear->w.rows * m->linear->w.cols;
    char *words = tool_json_text(name);
    if (!m->codes) {
        text_add(&job->report, tool_format("%s\n  {\"name\": %s, \"format\": \"%s\", \"quantized\": false}",
                                           job->modules ? "," : "", words, format));
        free(words);
        return;
    }
    text_add(&job->report,
             tool_format("%s\n  {\"name\": %s, \"format\": \"%s\", \"bits\": %u, \"group_size\": %lld, "
                         "\"bits_per_weight\": %.4f, \"act_bits\": %u, \"loss\": %.6e, \"rtn_loss\": %.6e, "
                         "\"calibrated\": %s, \"fallback\": %s, \"tokens\": %llu, \"damp\": %.6g, "
                         "\"dead_columns\": %zu, \"seconds\": %.3f}",
                         job->modules ? "," : "", words, format, cq_format_bits(m->desc->format),
                         m->desc->group_size ? (long long)m->desc->group_size : -1,
                         m->tensor.data ? 8.0 * (double)m->tensor.bytes / (double)weights : 0.0, m->tensor.act_bits,
                         r->loss, r->rtn_loss, m->nearest ? "false" : "true",
                         !m->starved ? "null" : m->nearest ? "\"rtn\"" : "\"all\"", (unsigned long long)m->tokens, (double)r->damp, r->dead,
                         seconds));
    free(words);
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
    json_real("weight", module->weight);
    json_bool("starved", module->starved);
    json_bool("nearest", module->nearest);
    json_real("seconds", now - job->mark);
    json_close();
    if (!module->codes) tool_say("%-44s %-5s as it is\n", name, format);
    else if (!module->nearest)
        tool_say("%-44s %-5s loss %.3e   to nearest %.3e   %6.2f s%s\n", name, format, r->loss, r->rtn_loss,
                 now - job->mark, module->starved ? " (starved: of all tokens)" : "");
    else
        tool_say("%-44s %-5s |W - Q|^2 / |W|^2 %.3e%s\n", name, format, r->loss,
                 module->starved ? " (starved: to nearest)" : "");
    text_add(&job->provenance, tool_format("%s{\"name\":\"%s\",\"format\":\"%s\",\"loss\":%.6e,\"rtn_loss\":%.6e}",
                                           job->modules ? "," : "", name, format, r->loss, r->rtn_loss));
    if (job->report_to) report_module(job, module, name, format, now - job->mark);
    job->modules++;
    if (module->codes && !module->nearest) {
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
    if (job->rtn || job->block != module->block) tool_forget(job->t); /* to nearest, everything is read once */
    job->block = module->block;
    if (job->journal && !job->restoring) tool_journal_add(job->journal, module, &job->t->m);
    if (job->p->coded[i].format) {
        tool_put_codes(job->w, i, module->codes, module->grids, module->g_idx);
    } else if (cq_format_is_coded(to->format)) {
        if (!module->tensor.data || module->tensor.bytes != to->bytes)
            tool_fail(job->t->path, "'%s' cannot be packed: %zu bytes were planned", part->name, to->bytes);
        tool_put_at(job->w, place, module->tensor.data, module->tensor.bytes);
    } else {
        tool_put_rows(job->w, job->ctx, i, module->values, NULL, part->rows, &place);
    }
    job->p->written[i] = true;
    job->starved[i] = module->starved;
    note_module(job, module, format_of(module, to));
    job->restoring = false;
    return true;
}
static bool load_acts(void *user, uint64_t offset, void *data, size_t bytes) {
    return tool_spill_read(((quantize_job *)user)->spill, offset, data, bytes);
}
static bool save_acts(void *user, uint64_t offset, const void *data, size_t bytes) {
    return tool_spill_write(((quantize_job *)user)->spill, offset, data, bytes);
}
static bool checkpoint(void *user, size_t next, const void *acts) {
    quantize_job *job = user;
    tool_forget(job->t);
    return !next || !job->journal || tool_journal_checkpoint(job->journal, next, acts);
}
static bool restore(void *user, size_t index, cq_module *module, const cq_gptq_result *into) {
    quantize_job *job = user;
    job->restoring = true;
    return tool_journal_restore(job->journal, index, module, into);
}
static bool restore_acts(void *user, void *acts) {
    return tool_journal_restore_acts(((quantize_job *)user)->journal, acts);
}

static bool show_progress(void *user, size_t done, size_t total) {
    const quantize_job *job = user;
    if (!job->block) tool_forget(job->t); /* the embedding: of each sample a few rows */
    tool_progress("quantizing", done, total);
    return true;
}

static uint64_t input_bytes(const tool_model *t) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->shard_count; i++) bytes += t->shards[i].size;
    return bytes;
}

/* The format of each part, and why it is kept if it is. */
static void plan_formats(tool_parts *p, const cq_quantize_desc *desc, const char **kept) {
    size_t acts = 0;
    const char *ends = tool_text("ends", NULL);
    for (size_t i = 0; i < p->count; i++) {
        const cq_part *part = &p->part[i];
        bool linear = part->kind == CQ_PART_LINEAR && part->block, pack = linear;
        size_t group;
        cq_policy_choice c;
        cq_error err;
        bool codes = p->style != TOOL_FLOATS; /* what stays is then as stored, but for vectors that a rotation turns */
        if (!part->matrix) {
            tool_store_as(p, i, codes && !desc->plan ? tool_stored_format(part, CQ_F32) : CQ_F32, CQ_ROWS, 0, false);
            continue;
        }
        memset(&c, 0, sizeof c);
        c.gptq = desc->gptq;
        if (linear && part->linear->keep) {
            pack = false;
            kept[i] = tool_why_kept(part->linear);
        } else if (linear) {
            if (desc->policy) cq_policy_resolve(desc->policy, part->name, tool_module_len(part), &c);
            pack = !c.skip;
            if (c.skip) kept[i] = "skipped by --config";
        } else { /* the ends, embedding, positions, head, are touched by a rule with a pattern, else by --ends */
            bool named = desc->policy && tool_policy_names(desc->policy, part, &c);
            pack = named && !c.skip;
            if (!named && ends && !strcmp(ends, "int8")) {
                c.gptq.format = CQ_INT8;
                pack = true;
            } else if (!named && ends) {
                c.stored = !strcmp(ends, "fp16") ? CQ_F16 : CQ_BF16;
            }
            if (!pack) kept[i] = ends && !named ? "--ends says so" : "as stored unless --config or --ends names it";
        }
        if (pack && cq_format_is_mx(c.gptq.format) && c.gptq.group_size && c.gptq.group_size != 32)
            tool_fail(part->name, "%s with group_size %zu; a microscaling block has 32 columns",
                      cq_format_name(c.gptq.format), c.gptq.group_size);
        if (codes) {
            tool_coded coded = {c.gptq.format, c.gptq.group_size, c.gptq.asym};
            if (pack && c.act_bits) acts++;
            if (pack) p->coded[i] = coded;
            else tool_store_as(p, i, c.stored != CQ_F32 ? c.stored : tool_stored_format(part, CQ_BF16), CQ_ROWS, 0, false);
            continue;
        }
        group = c.gptq.group_size >= part->cols ? 0 : c.gptq.group_size;
        if (p->hf) tool_store_as(p, i, CQ_F32, CQ_ROWS, 0, false);
        else if (pack) tool_store_as(p, i, c.gptq.format, CQ_PANELS, group, c.gptq.asym);
        else if (c.stored != CQ_F32) tool_store_as(p, i, c.stored, CQ_PANELS, 0, false);
        else tool_store_as(p, i, cq_format_is_coded(part->format) ? CQ_BF16 : part->format, CQ_PANELS, 0, false);
        if (pack && c.act_bits && !cq_format_has_q8(c.gptq.format))
            tool_fail(part->name, "int8 activations (aq) cannot meet weights in %s; give it \"aq\": \"bf16\"",
                      cq_format_name(c.gptq.format));
        if (!p->hf && pack) p->named[p->tensor[i]].t.act_bits = (uint8_t)c.act_bits;
        if (p->hf && pack && c.act_bits) acts++;
        if (p->hf && pack && !linear)
            tool_check(cq_tensor_init(&p->round[i], c.gptq.format, CQ_PANELS, part->rows, part->cols, group,
                                      c.gptq.asym, &err), part->name, &err);
    }
    if (acts) tool_note("a directory cannot say that activations are int8: %zu linears will read floats", acts);
}

/* What is not quantised, and why, and which experts are starved. */
static void report_kept(const quantize_job *job, cq_starved fallback) {
    size_t starved = 0;
    json_open("kept", '[');
    for (size_t i = 0; i < job->p->count; i++) {
        const cq_part *part = &job->p->part[i];
        starved += job->starved[i];
        if (!job->kept[i]) continue;
        char *name = tool_format("%.*s", (int)tool_module_len(part), part->name);
        json_open(NULL, '{');
        json_text("name", name);
        json_text("why", job->kept[i]);
        json_close();
        tool_say("%-44s kept: %s\n", name, job->kept[i]);
        free(name);
    }
    json_close();
    json_open("starved", '[');
    for (size_t i = 0; i < job->p->count; i++)
        if (job->starved[i]) json_bytes(NULL, job->p->part[i].name, tool_module_len(&job->p->part[i]));
    json_close();
    if (starved)
        tool_note("%zu linears of experts saw too few tokens, and were quantised %s; --balance or more text helps",
                  starved, fallback == CQ_STARVED_RTN ? "to nearest" : "for all tokens of their layer");
}

/* What the options leave open, before anything is read. */
static void check_quantize(const cq_quantize_desc *desc, const char *target, const char *format, bool dir) {
    bool cq = !strcmp(format, "cq");
    if (!cq && !dir)
        tool_fail(target, "the format %s is not in this version; it writes cq, hf, gptq, compressed-tensors", format);
    if (dir) tool_refuse_online(target);
    if (dir && strcmp(format, "hf") && !strcmp(tool_text("ends", ""), "int8"))
        tool_fail(target, "--ends int8: the format %s holds no embedding in codes; cq does, and hf what they stand for",
                  format);
    if (cq && desc->gptq.order == CQ_GPTQ_ACT_GROUPS)
        tool_fail(target, "--act-order permutes groups, which .cq files do not hold; leave it out (columns are still "
                          "processed in that order), or use --format gptq or hf");
    if (cq && desc->gptq.group_size % 16)
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
    bool dir;         /* the output is a directory */
    tool_style style; /* of which kind */
    uint64_t shard_bytes;
    bool on_trial;
    quantize_job job;
    size_t arena_bytes, bound;
} quantize_run;

/* Writes the model, and returns its bytes. */
static uint64_t quantize_to(quantize_run *q, const char *target) {
    tool_model *t = q->t;
    cq_quantize_desc *desc = &q->desc;
    quantize_job *job = &q->job;
    cq_error err;
    tool_dir *dir = q->dir ? tool_dir_create(target) : NULL;
    tool_parts p = tool_parts_of(t, desc->plan, q->dir);
    p.style = q->style;
    p.act_groups = desc->gptq.order == CQ_GPTQ_ACT_GROUPS && !desc->rtn;
    memset(job, 0, sizeof *job);
    job->t = t;
    job->rtn = desc->rtn;
    if (!desc->rtn && tool_has("spill")) {
        job->spill = tool_spill_open(tool_text("spill", NULL), cq_quantize_acts_bytes(&t->m, desc));
        desc->load = load_acts;
        desc->save = save_acts;
    }
    desc->next = desc->finished_count = 0;
    if (!q->on_trial) job->journal = tool_journal_open(target, t, desc, job->spill);
    job->kept = tool_alloc(p.count, sizeof *job->kept);
    job->starved = tool_alloc(p.count, sizeof *job->starved);
    plan_formats(&p, desc, job->kept);
    if (desc->policy) tool_policy_warn(desc->policy, q->policy_path, &p);
    if (p.style != TOOL_FLOATS) tool_checkpoint_plan(&p, t, target);

    cq_arena dry = cq_arena_over(NULL, 0);
    tool_model_check(t, cq_quantize_model(q->ctx, &t->m, desc, &dry, &err), &err);
    q->arena_bytes = dry.used;

    char *config = tool_config_text(t);
    if (cq_rotate_unties(desc->plan, &t->m)) config = tool_config_untied(config, t);
    double damp = desc->gptq.damp > 0.0f ? (double)desc->gptq.damp : 0.01;
    char *codes = p.style == TOOL_FLOATS ? NULL : tool_checkpoint_config(&p, t, damp);
    if (codes) config = tool_config_set(config, NULL, "quantization_config", codes, true);
    else if (q->dir) config = tool_config_dtype(config, t, "\"float32\"");
    job->ctx = q->ctx;
    job->plan = desc->plan;
    job->p = &p;
    job->report_to = tool_has("report");
    job->mark = tool_seconds();
    begin_provenance(&job->provenance, desc);
    job->w = q->dir ? tool_write_safetensors(dir, &p, t, q->shard_bytes)
                    : tool_write_cq(target, &p, t, desc->plan, config, strlen(config));
    q->bound = tool_quantize_bound(t, desc, &p, dry.used);
    tool_note("%s%zu calibration tokens, at most %.1f MB of memory: %.1f MB of samples, Hessians and one block's work, "
              "the rest for its weights as stored, buffers and the program", desc->load ? "activations in a file, " : "",
              desc->samples * desc->seq_len, (double)q->bound / 1e6, (double)dry.used / 1e6);
    if (desc->next)
        tool_note("going on after block %zu of %zu, with %zu finished linears", desc->next, t->m.block_count,
                  desc->finished_count);
    json_int("resumed", (int64_t)desc->finished_count);
    cq_arena arena = tool_arena(dry.used);
    desc->emit = emit_module;
    desc->checkpoint = checkpoint;
    desc->restore = restore;
    desc->restore_acts = restore_acts;
    desc->progress = show_progress;
    desc->user = job;
    json_open("modules", '[');
    tool_check(cq_quantize_model(q->ctx, &t->m, desc, &arena, &err), t->path, &err);
    json_close();
    free(arena.base);
    for (size_t i = 0; i < p.count; i++)
        if (!p.written[i] && p.part[i].kind == CQ_PART_LINEAR && !job->kept[i])
            tool_fail(t->path, "'%s' was not quantised", p.part[i].name);
        else if (!p.written[i]) {
            if (p.coded[i].format) tool_write_coded(job->w, i, q->ctx, t, desc->plan);
            else tool_write_part(job->w, i, q->ctx, t, desc->plan);
            tool_forget(t);
        }
    report_kept(job, desc->starved);
    text_add(&job->provenance, tool_format("]}"));
    uint64_t bytes = tool_finish(job->w, job->provenance.p);
    if (q->dir) {
        tool_write_text(dir, "config.json", config);
        if (q->style == TOOL_GPTQ) tool_write_text(dir, "quantize_config.json", codes);
        tool_copy_companions(dir, t);
        tool_dir_close(dir);
    }
    tool_journal_done(job->journal);
    tool_spill_close(job->spill);
    free(config);
    free(codes);
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

/* The samples on which a trial is judged: those of the calibration, also where nothing else is calibrated. */
static cq_quantize_desc judges(const quantize_run *q) {
    cq_quantize_desc d = q->desc;
    if (d.rtn) tool_calibration(q->t, q->ctx, &d);
    return d;
}

/* --tries N: the rotations of N seeds, each quantised as asked and compared with the model itself. The seed of the best
   one becomes that of the run. */
static void try_rotations(quantize_run *q, const char *target, size_t tries) {
    uint64_t first = tool.seed, best = first;
    double least = INFINITY;
    char *file = tool_format("%s.try", target);
    cq_quantize_desc judge = judges(q);
    cq_rotate_plan plan;
    json_open("tries", '[');
    for (size_t i = 0; i < tries; i++) {
        tool_model quantised;
        tool_mute(true);
        tool.seed = first + i;
        q->desc.plan = tool_rotation_options(&plan, q->ctx, q->t);
        q->on_trial = true;
        quantize_to(q, file);
        q->on_trial = false;
        tool_model_open_like(&quantised, file, q->t);
        remove(file); /* it stays mapped */
        tool_mute(false);
        double kl = divergence(q, &quantised, judge.ids, judge.samples, judge.seq_len);
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

/* --target-bits: all modules in one format, what each of them costs the model, and formats by that. What was chosen
   becomes the policy of the run. */
static void choose_formats(quantize_run *q, const char *target, double bits) {
    cq_quantize_desc *desc = &q->desc, given = *desc, judge = judges(q);
    cq_policy_rule all;
    cq_policy policy = {&all, 1};
    tool_model quantised, base;
    tool_ladder l;
    bool dir = q->dir;
    tool_style style = q->style;
    char *file = tool_format("%s.try", target);
    memset(&l, 0, sizeof l);
    memset(&all, 0, sizeof all);
    tool_ladder_read(&l, tool_text("ladder", NULL), bits);
    l.gptq = desc->gptq;
    l.ids = judge.ids;
    l.samples = judge.samples;
    l.seq_len = judge.seq_len;
    all.set = CQ_POLICY_FORMAT;
    all.format = l.probe;
    desc->policy = &policy;
    q->dir = false;
    q->style = TOOL_FLOATS;
    q->on_trial = true;
    tool_mute(true);
    quantize_to(q, file);
    tool_model_open_like(&quantised, file, q->t);
    remove(file); /* it stays mapped */
    if (desc->plan) { /* the model itself, rotated */
        all.format = CQ_F32;
        desc->rtn = true;
        desc->correct = 0;
        quantize_to(q, file);
        tool_model_open_like(&base, file, q->t);
        remove(file);
    }
    tool_mute(false);
    q->on_trial = false;
    l.quantised = &quantised;
    l.base = desc->plan ? &base : q->t;
    *desc = given;
    q->dir = dir;
    q->style = style;
    desc->policy = tool_policy_target(&l, q->ctx, bits);
    q->policy_path = "--target-bits";
    if (tool_has("save-config")) {
        tool_out *out = tool_create(tool_text("save-config", NULL));
        char *text = tool_policy_text(desc->policy, &desc->gptq);
        tool_write(out, text, strlen(text));
        tool_close(out);
        free(text);
    }
    free(file);
}

/* --report: what the run asked for, and every module. */
static void write_report(tool_out *out, const quantize_run *q, double seconds, uint64_t bytes) {
    const cq_quantize_desc *d = &q->desc;
    cq_gptq_desc g;
    cq_error err;
    tool_check(cq_gptq_resolve(&g, &d->gptq, 1 << 20, &err), NULL, &err);
    char *path = tool_json_text(q->t->path), *config = tool_json_text(q->policy_path);
    tool_print(out, "{\"cquant\": \"%s\", \"model\": %s, \"method\": \"%s\", \"format\": \"%s\", "
                    "\"group_size\": %lld, \"sym\": %s, \"config\": %s, \"damp_asked\": %.6g,\n"
                    " \"samples\": %zu, \"seq_len\": %zu, \"seed\": %llu, \"seconds\": %.3f, \"peak_bytes\": %zu, "
                    "\"bytes_in\": %llu, \"bytes_out\": %llu, \"mean_loss\": %.6e,\n"
                    " \"modules\": [",
               CQUANT_VERSION, path, d->rtn ? "rtn" : "gptq", cq_format_name(g.format),
               d->gptq.group_size ? (long long)d->gptq.group_size : -1, g.asym ? "false" : "true", config,
               (double)g.damp, d->samples, d->seq_len, (unsigned long long)tool.seed, seconds, tool_peak_bytes(),
               (unsigned long long)input_bytes(q->t), (unsigned long long)bytes,
               q->job.calibrated ? q->job.loss / (double)q->job.calibrated : 0.0);
    if (q->job.report.n) tool_write(out, q->job.report.p, q->job.report.n);
    tool_print(out, "\n ]}\n");
    tool_close(out);
    free(path);
    free(config);
}

/* --shard-size 5GB, 500MB, 100000: decimal, as transformers counts */
static uint64_t shard_bytes(void) {
    const char *text = tool_text("shard-size", NULL);
    char *end;
    if (!text) return TOOL_SHARD_BYTES;
    double n = strtod(text, &end);
    double unit = !strcmp(end, "GB") ? 1e9 : !strcmp(end, "MB") ? 1e6 : !strcmp(end, "KB") ? 1e3 : *end ? 0.0 : 1.0;
    if (end == text || !(n * unit >= 1.0 && n * unit <= 1e18))
        tool_usage("--shard-size %s; it should be a number of bytes, or one of KB, MB, GB (5GB)", text);
    return (uint64_t)(n * unit);
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
    q.style = !strcmp(format, "gptq")                 ? TOOL_GPTQ
              : !strcmp(format, "compressed-tensors") ? TOOL_COMPRESSED
                                                      : TOOL_FLOATS;
    q.dir = q.style != TOOL_FLOATS || !strcmp(format, "hf");
    q.shard_bytes = shard_bytes();
    q.t = &t;
    q.ctx = &ctx;
    tool_gptq_options(&desc->gptq, &desc->rtn);
    check_quantize(desc, target, format, q.dir);
    if (tool_has("matrices") && !tool_has("rotate")) tool_usage("--matrices needs --rotate");
    if (tries > 1 && (!tool_has("rotate") || q.dir)) tool_usage("--tries needs --rotate, and writes .cq files");
    if (tries > 1 && tool_has("matrices")) tool_usage("--tries draws matrices, and --matrices gives them");
    if (tool_has("target-bits") && (tool_has("config") || tool_has("bits") || tool_has("wq") || tries > 1))
        tool_usage("--target-bits chooses formats by itself: without --config, --bits, --wq and --tries");
    if ((tool_has("ladder") || tool_has("save-config")) && !tool_has("target-bits"))
        tool_usage("--ladder and --save-config need --target-bits");
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    if (tool_has("target-bits") && t.m.two_streams)
        tool_fail(t.path, "--target-bits does not know how to judge models of two streams");
    if (tries > 1 && t.m.two_streams) tool_fail(t.path, "--tries does not know how to judge models of two streams");
    if (!desc->rtn) tool_calibration(&t, &ctx, desc);
    if (!desc->rtn && t.m.two_streams) {
        tool_prompt text = tool_prompt_read(&t, desc->samples, "text-embeds", true);
        desc->text = text.text;
        desc->text_rows = text.rows;
        desc->boxes = text.box;
    }
    if (q.policy_path) desc->policy = tool_policy_read(q.policy_path, tool_has("bits") || tool_has("wq"));
    if (tries > 1) try_rotations(&q, target, tries);
    desc->plan = tool_rotation_options(&plan, &ctx, &t);
    if (tool_has("target-bits")) choose_formats(&q, target, tool_real("target-bits", 0));
    tool_out *report = tool_has("report") ? tool_create(tool_text("report", NULL)) : NULL;
    uint64_t bytes = quantize_to(&q, target);
    if (report) write_report(report, &q, tool_seconds() - start, bytes);
    if (desc->plan) tool_report_rotations(desc->plan, &t.m);
    json_int("seed", (int64_t)tool.seed);
    json_int("samples", (int64_t)desc->samples);
    json_int("seq_len", (int64_t)desc->seq_len);
    json_real("seconds", tool_seconds() - start);
    json_int("arena_bytes", (int64_t)q.arena_bytes);
    json_int("bound_bytes", (int64_t)q.bound);
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
    TOOL_CALIBRATION_OPTIONS,
    {"config", "FILE", 0, 0, "mixed precision: {\"default\": {...}, \"overrides\": [{\"pattern\": ..., ...}]}; or"},
    {"config", "olmoe", 0, 0, "  attention mxfp6, experts mxfp4 but down int4"},
    {"config", "qwen", 0, 0, "  Qwen2-MoE: experts mxfp4, the shared expert mxfp6, attention int4"},
    {"config", "mixtral", 0, 0, "  gate (w1) and up (w3) of the experts mxfp4, down (w2) and attention int4"},
    {"config", "deepseek", 0, 0, "  experts mxfp4, shared experts mxfp6, attention and dense layers int4"},
    {"ends", "int8|fp16|bf16", 0, 0, "embedding, positions and head, to nearest, where --config has no word on them"},
    {"target-bits", "X", 2, 16, "formats by measured sensitivity: so many bits for a weight, scales included"},
    {"ladder", "FORMAT,...", 0, 0, "of which (int2,int3,int4,int8)"},
    {"save-config", "FILE", 0, 0, "writes what --target-bits chose, for --config"},
    {"report", "FILE.json", 0, 0, "of each module: loss, to nearest, tokens, damping, time (picture: plot --report)"},
    TOOL_ROTATION_OPTIONS,
    {"tries", "N", 1, 1000, "quantise with the rotations of N seeds, keep the one nearest to the model (1)"},
    {"act-bits", "N", 2, 8, "of the activations with which --tries compares (float)"},
    {"format", "cq|gptq|compressed-tensors|gguf|hf", 0, 0, "of the output (cq); hf: dequantised, float32"},
    {"shard-size", "SIZE", 0, 0, "of a file in a directory at most: 500MB, 2GB (5GB)"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_quantize = {"quantize", "MODEL", "quantise the linears by GPTQ or to nearest", 1, 1,
                                   quantize_options, run_quantize};
