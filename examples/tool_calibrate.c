/* tool_calibrate.c - the samples on which a model is calibrated, and the memory that takes (see tool_quantize.h) */
#include "tool_quantize.h"
#include <stdlib.h>
#include <string.h>

/* Windows of a text or rows of an array: all there are, (windows, seq_len). */
static int32_t *all_windows(tool_model *t, size_t *windows, size_t *seq_len) {
    const char *text = tool_text("calib", NULL), *npy = tool_text("calib-ids", NULL), *path = text ? text : npy;
    size_t n, rows = 1, dims = 1;
    int32_t *ids;
    if (!path) tool_usage("gptq needs --calib FILE or --calib-ids IDS.npy");
    if (text && npy) tool_usage("--calib and --calib-ids exclude each other");
    *seq_len = tool_size("seq-len", 512);
    if (text) {
        tool_file f = tool_map(text);
        ids = tool_encode(t, text, (const char *)f.data, f.size, &n);
    } else {
        ids = tool_ids(t, npy, &rows, &n, &dims);
    }
    if (!n || !rows) tool_fail(path, "no calibration tokens: the text is empty");
    if (dims == 2 || *seq_len > n) *seq_len = n;
    *windows = dims == 2 ? rows : n / *seq_len;
    return ids;
}

/* Masks of window i of so many samples: with ratio (i + 1/2) / samples; the first token is always kept. Windows behind
   them have the ratios once more. */
static void mask_window(const tool_model *t, int32_t *ids, size_t i, size_t samples, size_t seq_len) {
    double ratio = ((double)(i % samples) + 0.5) / (double)samples;
    for (size_t p = 1; p < seq_len; p++) {
        double u = (double)(cq_random(tool.seed, 1u << 21, i * seq_len + p) >> 11) / 9007199254740992.0;
        if (u < ratio) ids[p] = t->m.mask_id;
    }
}

/* ---- --balance ----
   The share of an expert is half of what it would see if all saw the same, or what --min-tokens says. */
typedef struct balance {
    const tool_model *t;
    cq_session s;
    cq_input in;
    size_t experts;   /* in a block, at most */
    uint64_t least, all; /* --min-tokens, or 0; tokens of the samples asked for */
    uint64_t *tokens; /* (blocks, experts): seen by each */
    uint64_t *window; /* (blocks, experts): of this window */
} balance;

static void count_tap(void *user, const cq_tap_point *p) {
    balance *b = (balance *)user;
    if (p->group || p->expert == CQ_ALL || p->expert == CQ_SHARED) return;
    uint64_t *n = &b->window[(size_t)(p->block - b->t->m.blocks) * b->experts + p->expert];
    for (size_t r = 0; r < p->rows; r++) *n += !p->weight || p->weight[r] < 0.0f || p->weight[r] > 0.0f;
}

/* One window through the model as it is, block by block; weights that have been read need not stay in memory. */
static void count_window(balance *b, const int32_t *ids) {
    const cq_model *m = &b->t->m;
    cq_tap tap = {count_tap, b, NULL, SIZE_MAX, NULL};
    memset(b->window, 0, m->block_count * b->experts * sizeof *b->window);
    b->in.ids = ids;
    cq_embed(&b->s, &b->in);
    cq_prepare(&b->s, &b->in);
    for (size_t i = 0; i < m->block_count; i++) {
        cq_run_block(&b->s, &m->blocks[i], &b->in, &tap);
        tool_forget(b->t);
    }
}

/* Experts that have seen less than their share; gain: how many of them saw some of the last window. */
static size_t short_of(const balance *b, size_t *gain) {
    const cq_model *m = &b->t->m;
    size_t n = 0;
    *gain = 0;
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *k = &m->blocks[i];
        uint64_t even = k->experts ? b->all * k->top_k / k->experts / 2 : 0, least = b->least ? b->least : 1 + even;
        for (size_t e = 0; e < k->experts; e++) {
            bool lacks = b->tokens[i * b->experts + e] < least;
            n += lacks;
            *gain += lacks && b->window[i * b->experts + e];
        }
    }
    return n;
}

/* Windows behind those taken are taken too if they have tokens for an expert that lacks some, until none does or the
   text ends. Returns how many samples there are then; they stand at the beginning of ids. */
static size_t balanced(tool_model *t, const cq_context *ctx, int32_t *ids, size_t samples, size_t windows,
                       size_t seq_len) {
    const cq_model *m = &t->m;
    cq_session_desc desc;
    balance b;
    void *base;
    size_t taken = samples, gain, lack, before, all = 0, w = samples;
    memset(&desc, 0, sizeof desc);
    memset(&b, 0, sizeof b);
    desc.max_tokens = b.in.n = seq_len;
    b.t = t;
    b.least = tool_size("min-tokens", 0);
    b.all = samples * seq_len;
    for (size_t i = 0; i < m->block_count; i++) {
        all += m->blocks[i].experts;
        if (m->blocks[i].experts > b.experts) b.experts = m->blocks[i].experts;
    }
    if (!all) tool_fail(t->path, "has no experts that --balance could serve");
    tool_session(&b.s, ctx, t, &desc, &base);
    b.tokens = tool_alloc(m->block_count * b.experts, sizeof *b.tokens);
    b.window = tool_alloc(m->block_count * b.experts, sizeof *b.window);
    for (size_t i = 0; i < samples; i++) {
        count_window(&b, ids + i * seq_len);
        for (size_t k = 0; k < m->block_count * b.experts; k++) b.tokens[k] += b.window[k];
        tool_progress("counting tokens of experts", i + 1, samples);
    }
    lack = before = short_of(&b, &gain);
    for (; w < windows && lack; w++) {
        count_window(&b, ids + w * seq_len);
        short_of(&b, &gain);
        if (gain) {
            memmove(ids + taken++ * seq_len, ids + w * seq_len, seq_len * sizeof *ids);
            for (size_t k = 0; k < m->block_count * b.experts; k++) b.tokens[k] += b.window[k];
            lack = short_of(&b, &gain);
        }
        tool_progress("balancing", w + 1 - samples, lack ? windows - samples : w + 1 - samples);
    }
    tool_note("%zu of %zu experts had seen less than their share; %zu of the next %zu windows were taken too, and %zu "
              "still have%s", before, all, taken - samples, w - samples, lack, lack ? ": the text ended" : "");
    json_open("balance", '{');
    json_int("experts", (int64_t)all);
    json_int("short_before", (int64_t)before);
    json_int("short_after", (int64_t)lack);
    json_int("windows_seen", (int64_t)(w - samples));
    json_int("windows_taken", (int64_t)(taken - samples));
    json_close();
    free(b.tokens);
    free(b.window);
    free(base);
    return taken;
}

void tool_calibration(tool_model *t, const cq_context *ctx, cq_quantize_desc *desc) {
    size_t windows, seq_len, want = tool_size("samples", 128), samples, least = tool_size("min-tokens", 0);
    const char *power = tool_text("routing-weight", NULL);
    int32_t *ids = all_windows(t, &windows, &seq_len);
    bool balance = tool_has("balance");
    samples = windows < want ? windows : want;
    for (size_t i = 0; t->m.arch.diffusion && i < (balance ? windows : samples); i++)
        mask_window(t, ids + i * seq_len, i, samples, seq_len);
    if (balance && t->m.two_streams) tool_fail(t->path, "has no experts that --balance could serve");
    desc->samples = balance ? balanced(t, ctx, ids, samples, windows, seq_len) : samples;
    desc->ids = ids;
    desc->seq_len = seq_len;
    desc->min_tokens = least;
    desc->starved = !strcmp(tool_text("starved", "all"), "rtn") ? CQ_STARVED_RTN : CQ_STARVED_ALL;
    if (power) desc->routing = *power == '0'   ? CQ_ROUTING_PLAIN
                               : *power == '1' ? CQ_ROUTING_WEIGHT
                                               : CQ_ROUTING_SQUARE;
    desc->hessian_bytes = tool_size("hessian-memory", 0) << 20;
    desc->low_memory = tool_has("low-memory");
    bool lends = t->m.two_streams; /* then there is no correction */
    for (size_t i = 0; i < t->m.block_count; i++) lends = lends || t->m.blocks[i].lends;
    desc->correct = (float)tool_real("correct", lends ? 0 : 0.25);
}

size_t tool_quantize_bound(const tool_model *t, const cq_quantize_desc *desc, const tool_parts *p, size_t arena_bytes) {
    const cq_model *m = &t->m;
    size_t unit = 0, buffers = 0, ends = m->embed.bytes, begin, by_rows = 65536 * desc->seq_len; /* read around each */
    for (size_t i = 0, n; (n = cq_quantize_unit(m, i)) != 0; i += n) {
        size_t bytes = 0;
        for (size_t k = i; k < i + n; k++)
            for (size_t l = 0; l < m->blocks[k].linears; l++) {
                bytes = (desc->rtn ? 0 : bytes) + m->blocks[k].lin[l].w.bytes; /* to nearest: one after the other */
                unit = bytes > unit ? bytes : unit;
            }
    }
    for (size_t i = 0; i < p->count; i++) { /* tool_put_rows; packed tensors of .cq files need none */
        const cq_part *part = &p->part[i];
        const cq_tensor *to = &p->named[p->tensor[i]].t;
        if (part->kind != CQ_PART_LINEAR || !part->block || (!p->hf && cq_format_is_int(to->format))) continue;
        size_t bytes = part->rows * part->cols * sizeof(float) * (part->swapped ? 2 : 1);
        buffers = bytes > buffers ? bytes : buffers;
    }
    tool_forget(t);
    begin = tool_resident_bytes();
    if (by_rows < ends) ends = by_rows;
    if (!desc->rtn) ends += cq_quantize_acts_bytes(m, desc); /* while the tokens are embedded */
    return begin + (arena_bytes + unit + buffers > ends ? arena_bytes + unit + buffers : ends);
}
