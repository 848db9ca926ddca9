/* cmd_run.c - commands that run a model: logits, eval, generate, tokenize */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What --act, --act-bits, --cache-format and --kv-bits say of a session. */
static void rounding_options(cq_session_desc *desc) {
    const char *act = tool_text("act", NULL); /* not given: as the model says */
    desc->act_bits = !act ? 0 : !strcmp(act, "int8") ? 8 : CQ_ACTS_FLOAT;
    desc->act_bits = (unsigned)tool_size("act-bits", desc->act_bits);
    const char *cache = tool_text("cache-format", "f32");
    desc->cache = !strcmp(cache, "int8") ? CQ_INT8 : !strcmp(cache, "f16") ? CQ_F16 : CQ_F32;
    desc->kv_bits = (unsigned)tool_size("kv-bits", 0);
    if (desc->kv_bits && tool_has("cache-format") && desc->cache != CQ_INT8)
        tool_usage("--kv-bits is of an int8 cache, not of --cache-format %s", cache);
}
#define ROUNDING_OPTIONS                                                                                               \
    {"act", "fp32|int8", 0, 0, "activations that meet integer weights (as quantised, else fp32)"},                     \
    {"act-bits", "N", 2, 8, "the same in codes of N bits; below 8 it is simulated, and saves nothing (8 with int8)"},  \
    {"cache-format", "f32|f16|int8", 0, 0, "keys and values in the cache (f32)"},                                      \
    {"kv-bits", "N", 2, 8, "the same in codes of N bits; below 8 it saves no more than int8 (8 with int8)"}

/* ===================================================================================================================
   [LOGITS]
   ================================================================================================================== */
/* What --mask says: one of keep (batch, tokens), allow and bias (batch, q, kv); each batch row has its slice. */
typedef struct mask {
    uint8_t *keep, *allow;
    float *bias;
    size_t batch; /* 1: the same for all rows */
} mask;

static uint8_t *npy_flags(const tool_npy *a) { /* 0 or 1 */
    uint8_t *out = (uint8_t *)tool_alloc(a->count, 1);
    int32_t *ints = a->dtype == TOOL_I32 || a->dtype == TOOL_I64 ? tool_npy_ints(a) : NULL;
    if (a->dtype == TOOL_F32 || a->dtype == TOOL_F64)
        tool_fail(a->path, "elements are %s; a mask of 0 and 1 must be bool, uint8, int32 or int64",
                  tool_dtype_name(a->dtype));
    for (size_t i = 0; i < a->count; i++) {
        int v = ints ? ints[i] : a->dtype == TOOL_BOOL ? a->data[i] != 0 : a->data[i];
        if (v != 0 && v != 1) tool_fail(a->path, "the number at position %zu is %d, and must be 0 or 1", i, v);
        out[i] = (uint8_t)v;
    }
    free(ints);
    return out;
}

static mask read_mask(const char *path, size_t rows, size_t cols, size_t dims) {
    mask k = {NULL, NULL, NULL, rows};
    if (!path) return k;
    tool_npy a = tool_npy_read(path);
    if (a.ndim == dims && a.shape[a.ndim - 1] == cols && (dims == 1 || a.shape[0] == rows)) {
        k.keep = npy_flags(&a);
        return k;
    }
    if (a.ndim == 2 && dims == 1 && a.shape[0] == 1 && a.shape[1] == cols) {
        k.keep = npy_flags(&a);
        return k;
    }
    if (a.ndim != 4 || (a.shape[0] != rows && a.shape[0] != 1) || a.shape[1] != 1 || a.shape[2] != cols ||
        a.shape[3] != cols)
        tool_fail(path, "must have the shape of the ids, or (%zu, 1, %zu, %zu)", rows, cols, cols);
    k.batch = a.shape[0];
    if (a.dtype == TOOL_F32 || a.dtype == TOOL_F64) {
        k.bias = tool_npy_floats(&a);
        for (size_t i = 0; i < a.count; i++)
            if (isnan(k.bias[i]) || k.bias[i] == INFINITY)
                tool_fail(path, "the number at position %zu is %f, and must be finite or -inf", i, (double)k.bias[i]);
    } else {
        k.allow = npy_flags(&a);
    }
    return k;
}

/* The mask for rows first .. first + n - 1 of one sequence of `cols` tokens. */
static void use_mask(cq_input *in, const mask *k, size_t row, size_t cols, size_t first) {
    size_t b = k->batch == 1 ? 0 : row;
    in->ld_mask = cols;
    in->keep = k->keep ? k->keep + b * cols : NULL;
    in->allow = k->allow ? k->allow + (b * cols + first) * cols : NULL;
    in->bias = k->bias ? k->bias + (b * cols + first) * cols : NULL;
}

static void write_logits(tool_out *out, const tool_model *t, cq_session *s, size_t n, size_t tile, uint32_t *rows,
                         float *y) {
    for (size_t r = 0; r < n; r += tile) {
        size_t count = n - r < tile ? n - r : tile;
        for (size_t i = 0; i < count; i++) rows[i] = (uint32_t)(r + i);
        cq_logits(s, rows, count, y);
        tool_write_floats(out, y, count * t->m.vocab);
    }
}

static void run_logits(void) {
    tool_model t;
    cq_context ctx;
    cq_session s;
    cq_session_desc desc;
    cq_error err;
    void *base;
    size_t batch, n, dims, done = 0;
    const char *ids_path = tool_need("ids"), *out_path = tool_need("o"), *positions_path = tool_text("positions", NULL);
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    int32_t *ids = tool_ids(&t, ids_path, &batch, &n, &dims), *positions = NULL;
    mask k = read_mask(tool_text("mask", NULL), batch, n, dims);
    if (positions_path) {
        tool_npy a = tool_npy_read(positions_path);
        if (a.ndim != dims || a.count != batch * n || a.shape[a.ndim - 1] != n)
            tool_fail(positions_path, "must have the shape of the ids");
        positions = tool_npy_ints(&a);
        for (size_t i = 0; i < a.count; i++)
            if (positions[i] < 0)
                tool_fail(positions_path, "the position at index %zu is %d, and must be 0 or above", i, positions[i]);
    }
    size_t prefill = tool_size("prefill", n);
    if (prefill > n) tool_fail(ids_path, "--prefill is %zu, and must be 1 to the number of tokens, %zu", prefill, n);

    tool_prompt text = tool_prompt_read(&t, batch, "text-embeds", true);

    memset(&desc, 0, sizeof desc);
    desc.max_tokens = n + text.slots;
    desc.max_rows = prefill > text.slots ? prefill : text.slots;
    rounding_options(&desc);
    desc.upstream_cache = tool_has("upstream-cache");
    size_t arena_bytes = tool_session(&s, &ctx, &t, &desc, &base), tile = tool_logit_tile(&t, prefill);
    size_t shape[3] = {batch, n, t.m.vocab};
    float *y = (float *)tool_alloc(tile * t.m.vocab, sizeof *y);
    uint32_t *rows = (uint32_t *)tool_alloc(tile, sizeof *rows);
    tool_out *out = tool_npy_create(out_path, TOOL_F32, dims + 1, dims == 2 ? shape : shape + 1);
    double start = tool_seconds();
    for (size_t b = 0; b < batch; b++) {
        tool_prompt_forward(&s, &t, &text, b);
        for (size_t slot = 0; slot < n;) { /* the prefill, then one by one */
            cq_input in;
            memset(&in, 0, sizeof in);
            in.ids = ids + b * n + slot;
            in.n = slot ? 1 : prefill;
            in.slot = slot;
            in.positions = positions ? positions + b * n + slot : NULL;
            use_mask(&in, &k, b, n, slot);
            tool_model_check(&t, cq_forward(&s, &in, &err), &err);
            write_logits(out, &t, &s, in.n, tile, rows, y);
            slot += in.n;
            tool_progress("logits", done += in.n, batch * n);
        }
    }
    tool_close(out);
    double seconds = tool_seconds() - start;
    json_int("tokens", (int64_t)(batch * n));
    json_real("seconds", seconds);
    json_int("arena_bytes", (int64_t)arena_bytes);
    json_text("isa", cq_isa(&ctx));
    tool_say("%zu tokens in %.3f s (%.1f per second), %s, arenas %.1f MB: %s\n", batch * n, seconds,
             (double)(batch * n) / seconds, cq_isa(&ctx), (double)arena_bytes / 1e6, out_path);
    free(base);
}

static const tool_option logits_options[] = {
    {"ids", "IDS.npy", 0, 0, "int32 or int64, [tokens] or [batch, tokens]"},
    {"o", "OUT.npy", 0, 0, "float32 [tokens, vocab] or [batch, tokens, vocab]"},
    {"mask", "M.npy", 0, 0, "[batch, tokens] of 0 and 1, or [batch, 1, q, kv], bool or additive float"},
    {"positions", "P.npy", 0, 0, "the shape of the ids"},
    {"prefill", "N", 1, 1 << 30, "first N tokens see each other only, the rest follow one by one (all)"},
    TOOL_PROMPT_OPTIONS,
    {"upstream-cache", NULL, 0, 0, "two streams: decode as published, single layers seeing their first key only"},
    ROUNDING_OPTIONS,
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_logits = {
    "logits",  "MODEL --ids IDS.npy -o OUT", "forward pass: the logits of every token", 1, 1, logits_options,
    run_logits};

/* ===================================================================================================================
   [EVAL]
   ================================================================================================================== */
/* masked[p] for the positions of one window, drawn from the seed; the first is never masked. */
static void draw_mask(uint8_t *masked, size_t n, size_t window, double ratio) {
    for (size_t p = 0; p < n; p++) {
        double u = (double)(cq_random(tool.seed, window, p) >> 11) / 9007199254740992.0; /* 2^53 */
        masked[p] = p > 0 && u < ratio;
    }
}

static void run_eval(void) {
    tool_model t, ref;
    cq_context ctx;
    cq_session_desc desc;
    tool_gauge g;
    size_t rows = 0, cols = 0, dims = 1;
    const char *text_path = tool_text("text", NULL), *ids_path = tool_text("ids", NULL),
               *ref_path = tool_text("reference", NULL);
    const char *pattern_path = tool_text("mask-pattern", NULL);
    if (!text_path == !ids_path) tool_usage("eval: one of --text and --ids is needed; see `cquant eval --help`");
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    bool diffusion = t.m.arch.diffusion;
    if (pattern_path && !diffusion)
        tool_fail(pattern_path, "--mask-pattern is for diffusion models, and %s is none", t.path);
    if (ref_path) {
        tool_model_open(&ref, ref_path);
        if (ref.m.vocab != t.m.vocab || ref.m.arch.diffusion != diffusion)
            tool_fail(ref_path, "the vocabulary has %zu tokens, and must be that of %s, %zu", ref.m.vocab, t.path,
                      t.m.vocab);
    }

    /* ids: (count) in windows of `window`, the last of which may be shorter */
    int32_t *ids;
    size_t count, window = tool_size("window", 512);
    const char *source = text_path ? text_path : ids_path;
    if (text_path) {
        tool_file f = tool_map(text_path);
        ids = tool_encode(&t, text_path, (const char *)f.data, f.size, &count);
        for (size_t i = 0; i < count; i++)
            if ((size_t)ids[i] >= t.m.vocab)
                tool_fail(text_path, "token %zu of the text is %d, but the model has only %zu", i, ids[i], t.m.vocab);
    } else {
        ids = tool_ids(&t, ids_path, &rows, &cols, &dims);
        count = rows * cols;
        if (dims == 2) window = cols;
    }
    window = window < count ? window : count;
    if (count < 2) tool_fail(source, "holds %zu tokens, and must hold at least 2", count);
    size_t windows = tool_windows(count, window, tool_size("samples", 0));
    uint8_t *pattern = NULL;
    if (pattern_path) {
        tool_npy a = tool_npy_read(pattern_path);
        if (a.ndim != 2 || a.shape[0] < windows || a.shape[1] != window)
            tool_fail(pattern_path, "must have the shape (%zu, %zu): windows, tokens of one", windows, window);
        pattern = npy_flags(&a);
    }

    memset(&desc, 0, sizeof desc);
    desc.max_tokens = window;
    rounding_options(&desc);
    tool_gauge_open(&g, &ctx, &t, ref_path ? &ref : NULL, &desc);
    uint32_t *at = (uint32_t *)tool_alloc(window, sizeof *at); /* rows that predict, and what they should */
    int32_t *target = (int32_t *)tool_alloc(window, sizeof *target),
            *input = (int32_t *)tool_alloc(window, sizeof *input);
    uint8_t *masked = (uint8_t *)tool_alloc(window, 1);
    double ratio = tool_real("ratio", 0.3), start = tool_seconds();
    for (size_t w = 0; w < windows; w++) {
        const int32_t *truth = ids + w * window;
        size_t n = count - w * window < window ? count - w * window : window, m = 0;
        tool_progress("eval", w + 1, windows);
        if (n < 2) break;
        memcpy(input, truth, n * sizeof *input);
        if (diffusion) {
            if (pattern) memcpy(masked, pattern + w * window, n);
            else draw_mask(masked, n, w, ratio);
        }
        for (size_t p = 0; p < n; p++) {
            if (diffusion ? !masked[p] : p == 0) continue;
            if (diffusion) input[p] = tool_mask_id(&t);
            at[m] = (uint32_t)(p && (!diffusion || t.m.arch.shift) ? p - 1 : p);
            target[m++] = truth[p];
        }
        tool_gauge_add(&g, input, n, at, target, m);
    }
    if (!g.rows) tool_fail(pattern_path ? pattern_path : source, "no token is masked; at least one must be");
    double seconds = tool_seconds() - start, tokens = (double)g.rows;
    json_int("tokens", (int64_t)g.rows);
    json_real("nll", g.nll / tokens);
    json_real("perplexity", exp(g.nll / tokens));
    json_real("seconds", seconds);
    json_int("windows", (int64_t)windows);
    json_int("window", (int64_t)window);
    tool_say("%-12s %zu in %zu windows of %zu\n%-12s %.5f nats\n%-12s %.4f\n", diffusion ? "masked" : "tokens",
             g.rows, windows, window, "nll", g.nll / tokens, "perplexity", exp(g.nll / tokens));
    if (ref_path) {
        json_real("kl", g.kl / tokens);
        json_real("top1", g.same / tokens);
        tool_say("%-12s %.6f nats from %s\n%-12s %.2f%%\n", "kl", g.kl / tokens, ref_path, "same top 1",
                 100.0 * g.same / tokens);
    }
    tool_say("%-12s %.2f\n", "seconds", seconds);
    json_int("peak_bytes", (int64_t)tool_peak_bytes());
    tool_gauge_close(&g);
}

static const tool_option eval_options[] = {
    {"text", "FILE", 0, 0, "text to predict"},
    {"ids", "IDS.npy", 0, 0, "the true ids instead, [windows, window] or [tokens]"},
    {"window", "N", 2, 1 << 24, "tokens in a window (512)"},
    {"samples", "N", 1, 1 << 30, "at most this many windows (all)"},
    {"mask-pattern", "P.npy", 0, 0, "diffusion: uint8 [windows, window], 1 = masked"},
    {"ratio", "X", 0, 1, "diffusion, without a pattern: part of the tokens that is masked (0.3)"},
    {"reference", "MODEL2", 0, 0, "adds the KL divergence from this model and the agreement of the likeliest token"},
    ROUNDING_OPTIONS,
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_eval = {
    "eval", "MODEL --text FILE", "perplexity, or masked-token loss of a diffusion model", 1, 1, eval_options, run_eval};

/* ===================================================================================================================
   [GENERATE]
   ================================================================================================================== */
/* Text on a terminal: no control characters but line breaks. */
static void show(const char *text, size_t len, FILE *f) {
    bool terminal = isatty(fileno(f));
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (terminal && (c < 32 || c == 127) && c != '\n') c = ' ';
        fputc(c, f);
    }
}

/* The sequence as text, with a light block for each token that is still open. Without a tokenizer: the ids. */
static char *denoising_text(const cq_tokenizer *tok, const int32_t *ids, size_t n, int32_t mask_id, size_t *len) {
    char *text = (char *)tool_alloc(1, 1);
    *len = 0;
    for (size_t i = 0; i < n;) {
        size_t end = i, part = 3;
        char *piece = NULL, number[16];
        if (ids[i] == mask_id) {
            end = i + 1;
        } else if (tok) {
            while (end < n && ids[end] != mask_id) end++;
            piece = tool_decode(tok, ids + i, end - i, &part);
        } else {
            end = i + 1;
            part = (size_t)sprintf(number, "%d ", ids[i]);
        }
        text = (char *)realloc(text, *len + part + 1);
        if (!text) tool_fail(NULL, "out of memory: %zu bytes are needed", *len + part + 1);
        memcpy(text + *len, ids[i] == mask_id ? "\xe2\x96\x91" : piece ? piece : number, part);
        *len += part;
        text[*len] = 0;
        free(piece);
        i = end;
    }
    return text;
}

/* Draws the text over what was drawn before, which took *lines lines. Of a text higher than the terminal, the end. */
static void redraw(const char *text, size_t len, size_t *lines) {
    struct winsize size;
    size_t width = 80, height = 24, column = 0, line = 0, begin = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && size.ws_row > 2) {
        width = size.ws_col;
        height = size.ws_row;
    }
    for (int pass = 0; pass < 2; pass++) { /* how many lines; then where the last height - 1 of them begin */
        size_t total = line;
        if (pass && total < height) break;
        line = column = 0;
        for (size_t i = 0; i < len; i++) {
            unsigned char c = (unsigned char)text[i];
            if ((c & 0xc0) == 0x80) continue; /* inside of a character */
            if (c == '\n' || column == width) {
                line++;
                column = 0;
                if (pass && total - line == height - 2) begin = c == '\n' ? i + 1 : i;
            }
            if (c != '\n') column++;
        }
    }
    if (*lines) printf("\033[%zuA", *lines);
    printf("\r\033[J");
    show(text + begin, len - begin, stdout);
    fflush(stdout);
    *lines = line < height ? line : height - 2;
}

static char *chat_text(const char *message) {
    return tool_format("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n%s<|im_end|>\n"
                       "<|im_start|>assistant\n", message);
}

/* The prompt: (rows, cols) ids. */
static int32_t *read_prompt(tool_model *t, size_t *rows, size_t *cols, size_t *dims) {
    const char *ids_path = tool_text("ids", NULL), *file = tool_text("prompt-file", NULL),
               *text = tool_text("prompt", NULL);
    const char *last = tool.arg_count > 1 ? tool.args[1] : NULL; /* generate MODEL --chat "text" */
    if ((ids_path != NULL) + (file != NULL) + (text != NULL) + (last != NULL) != 1)
        tool_usage(
            "generate: exactly one of --prompt, --prompt-file and --ids is needed; see `cquant generate --help`");
    if (ids_path) {
        if (tool_has("chat")) tool_usage("generate: --chat wraps a text; it cannot be used with --ids");
        return tool_ids(t, ids_path, rows, cols, dims);
    }
    const char *source = file ? file : "prompt";
    char *copy;
    size_t len;
    if (file) {
        tool_file f = tool_map(file);
        len = f.size;
        copy = (char *)tool_alloc(len + 1, 1);
        memcpy(copy, f.data, len);
        while (tool_has("chat") && len && copy[len - 1] == '\n') copy[--len] = 0; /* not the file's last line break */
        if (tool_has("chat") && memchr(copy, 0, len)) tool_fail(file, "holds a zero byte, and must be text");
    } else {
        copy = tool_format("%s", text ? text : last);
        len = strlen(copy);
    }
    if (tool_has("chat")) {
        const cq_tokenizer *tok = tool_model_tokenizer(t, true);
        if (cq_tokenizer_id(tok, "<|im_start|>", 12) < 0 || cq_tokenizer_id(tok, "<|im_end|>", 10) < 0)
            tool_fail(t->path, "its tokenizer lacks <|im_start|> or <|im_end|>, which --chat needs; use --prompt");
        char *wrapped = chat_text(copy);
        free(copy);
        copy = wrapped;
        len = strlen(copy);
    }
    int32_t *ids = tool_encode(t, source, copy, len, cols);
    free(copy);
    *rows = *dims = 1;
    for (size_t i = 0; i < *cols; i++)
        if ((size_t)ids[i] >= t->m.vocab)
            tool_fail(source, "token %zu of the text is %d, but the model has only %zu", i, ids[i], t->m.vocab);
    if (!*cols) tool_fail(source, "is empty; the model needs at least one token to start from");
    return ids;
}

static void print_json_text(const char *key, const cq_tokenizer *tok, const int32_t *ids, size_t n) {
    size_t len;
    if (!tok) {
        json_null(key);
        return;
    }
    char *text = tool_decode(tok, ids, n, &len);
    json_bytes(key, text, len);
    free(text);
}

/* Models with two streams: tokens from bos on, guided away from what an empty prompt gives. */
static void generate_guided(const tool_model *t, const cq_context *ctx) {
    size_t n = tool_size("max-new-tokens", 128);
    tool_prompt text[2] = {tool_prompt_read(t, 1, "text-embeds", true),
                           tool_prompt_read(t, 1, "uncond-text-embeds", false)};
    int32_t *ids = (int32_t *)tool_alloc(n, sizeof *ids);
    cq_session s[2];
    cq_session_desc desc;
    cq_generate_desc how;
    cq_generate_stats stats;
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    void *base[2];
    size_t arena_bytes = 0;
    float guidance = (float)tool_real("guidance", 3.0);
    double start = tool_seconds();
    memset(&how, 0, sizeof how);
    how.top_p = (float)tool_real("top-p", 0);
    how.seed = tool.seed;
    for (int k = 0; k < 2; k++) {
        memset(&desc, 0, sizeof desc);
        desc.max_tokens = n + text[k].slots;
        desc.max_rows = text[k].slots;
        rounding_options(&desc);
        desc.upstream_cache = tool_has("upstream-cache");
        arena_bytes += tool_session(&s[k], ctx, t, &desc, &base[k]);
        tool_prompt_forward(&s[k], t, &text[k], 0);
    }
    tool_model_check(t, cq_generate_guided(&s[0], &s[1], guidance, &how, ids, n, &stats, &arena, &err), &err);
    arena = tool_arena(arena.used);
    tool_model_check(t, cq_generate_guided(&s[0], &s[1], guidance, &how, ids, n, &stats, &arena, &err), &err);
    double seconds = tool_seconds() - start;
    json_ids("ids", ids, n);
    json_null("text");
    json_int("steps", (int64_t)stats.steps);
    json_int("forwards", (int64_t)stats.forwards);
    json_int("rows", (int64_t)stats.rows);
    json_int("head_rows", (int64_t)stats.head_rows);
    json_real("tokens_per_second", (double)n / seconds);
    json_real("seconds", seconds);
    json_int("arena_bytes", (int64_t)(arena_bytes + arena.used));
    for (size_t i = 0; i < n; i++) tool_say("%d%c", ids[i], i + 1 < n ? ' ' : '\n');
    for (int k = 0; k < 2; k++) free(base[k]);
    free(arena.base);
    free(ids);
}

static void run_generate(void) {
    tool_model t;
    cq_context ctx;
    cq_session s;
    cq_session_desc desc;
    cq_generate_desc how;
    cq_generate_stats sum;
    cq_error err;
    void *base;
    size_t rows, prompt, dims;
    const char *mask_path = tool_text("mask", NULL);
    double begin = tool_seconds(), ready = 0; /* ready: until the first step */
    tool_context(&ctx);
    tool_model_open_early(&t, tool.args[0]);
    if (t.m.two_streams) {
        tool_model_checked(&t);
        generate_guided(&t, &ctx);
        return;
    }
    int32_t *given = read_prompt(&t, &rows, &prompt, &dims);
    size_t fresh = tool_size("max-new-tokens", 128), n = prompt + fresh, longest = 0;
    bool diffusion = t.m.arch.diffusion, live = tool_live();
    bool whole = diffusion && mask_path && tool_npy_read(mask_path).ndim == 4; /* of all tokens, the new ones too */
    mask keep = read_mask(mask_path, rows, whole ? n : prompt, dims);
    if (mask_path && !keep.keep && !whole)
        tool_fail(mask_path, "must have the shape of the prompt's ids, (%zu, %zu)", rows, prompt);
    size_t every = tool_size("show", 0);

    memset(&how, 0, sizeof how);
    const char *alg = tool_text("alg", t.m.arch.shift ? "origin" : "maskgit_plus"); /* each as published */
    const char *cache = tool_text("cache", "none"), *schedule = tool_text("schedule", "");
    for (int i = 0; i < (int)CQ_ALG_COUNT; i++)
        if (!strcmp(alg, cq_alg_name((cq_alg)i))) how.alg = (cq_alg)i;
    for (int i = 0; i < (int)CQ_CACHE_COUNT; i++)
        if (!strcmp(cache, cq_cache_name((cq_cache)i))) how.cache = (cq_cache)i;
    how.schedule = !strcmp(schedule, "time")   ? CQ_SCHEDULE_TIME
                   : !strcmp(schedule, "even") ? CQ_SCHEDULE_EVEN
                                               : CQ_SCHEDULE_DEFAULT;
    how.steps = tool_size("steps", how.cache == CQ_CACHE_NONE ? 0 : fresh);
    how.eps = (float)tool_real("eps", 0.001);
    how.temperature = (float)tool_real("temperature", 0);
    how.top_p = (float)tool_real("top-p", 0);
    how.top_k = tool_size("top-k", 0);
    how.alg_temp = (float)tool_real("alg-temp", 0);
    how.block_length = tool_size("block-length", 0);
    how.threshold = (float)tool_real("threshold", 0);
    how.exit = (float)tool_real("exit", 0);
    how.refresh = tool_size("refresh", 0);
    how.head_rows = tool_size("head-rows", 0);
    if (how.exit > 0.0f && !tool_has("alg") && how.alg == CQ_ALG_ORIGIN) how.alg = CQ_ALG_ENTROPY;
    static const char *const denoiser[] = {"alg",       "alg-temp", "steps", "eps",     "cache",    "block-length",
                                           "threshold", "show",     "exit",  "refresh", "schedule", "head-rows"};
    for (size_t i = 0; i < sizeof denoiser / sizeof denoiser[0] && !diffusion; i++)
        if (tool_has(denoiser[i]))
            tool_fail(t.path, "is a causal model; --%s is for diffusion models", denoiser[i]);

    memset(&desc, 0, sizeof desc);
    memset(&sum, 0, sizeof sum);
    desc.max_tokens = n;
    desc.max_rows = diffusion ? n : prompt < 512 ? prompt : 512;
    rounding_options(&desc);
    size_t arena_bytes = tool_session(&s, &ctx, &t, &desc, &base), scratch_bytes = 0, made = 0;
    const cq_tokenizer *tok = tool_model_tokenizer(&t, false);
    int32_t *ids = (int32_t *)tool_alloc(rows * n, sizeof *ids);
    size_t *length = (size_t *)tool_alloc(rows, sizeof *length);
    double start = tool_seconds();
    for (size_t r = 0; r < rows; r++) {
        int32_t *x = ids + r * n;
        const uint8_t *seen = keep.keep ? keep.keep + r * prompt : NULL;
        cq_generate_stats stats;
        cq_arena arena = cq_arena_over(NULL, 0);
        memcpy(x, given + r * prompt, prompt * sizeof *x);
        how.seed = tool.seed + r;
        how.allow = keep.allow ? keep.allow + (keep.batch == 1 ? 0 : r) * n * n : NULL;
        how.bias = keep.bias ? keep.bias + (keep.batch == 1 ? 0 : r) * n * n : NULL;
        if (diffusion) {
            cq_generator g;
            size_t lines = 0, len;
            int32_t mask_id = tool_mask_id(&t);
            for (size_t i = prompt; i < n; i++) x[i] = mask_id;
            tool_model_check(&t, cq_generate_begin(&g, &s, &how, x, n, prompt, seen, &arena, &err), &err);
            arena = tool_arena(arena.used);
            tool_model_check(&t, cq_generate_begin(&g, &s, &how, x, n, prompt, seen, &arena, &err), &err);
            if (!r) ready = tool_seconds() - begin;
            while (!g.done) {
                tool_model_check(&t, cq_generate_step(&g, &err), &err);
                tool_model_checked(&t);
                if (live) {
                    char *text = denoising_text(tok, x, n, mask_id, &len);
                    redraw(text, len, &lines);
                    free(text);
                } else if (every && !tool.json) {
                    char *text = denoising_text(tok, x, n, mask_id, &len);
                    if (!g.done && g.step % every == 0) { /* the last is printed as the result */
                        printf("--- after step %zu\n", g.step);
                        show(text, len, stdout);
                        putchar('\n');
                    } else if (g.done) {
                        printf("--- after step %zu, done\n", g.step);
                    }
                    free(text);
                } else {
                    size_t open = 0;
                    for (size_t i = prompt; i < n; i++) open += x[i] == mask_id;
                    tool_progress("tokens", r * fresh + (g.done ? fresh : fresh - open), rows * fresh);
                }
            }
            tool_model_checked(&t); /* there may have been no step */
            if (live) putchar('\n');
            stats = g.stats;
            length[r] = n;
            made += fresh;
        } else {
            size_t pad = 0, count = 0;
            memset(&stats, 0, sizeof stats);
            while (seen && pad < prompt && !seen[pad]) pad++; /* padding changes nothing but the place */
            for (size_t i = pad; seen && i < prompt; i++)
                if (!seen[i])
                    tool_fail(mask_path,
                              "row %zu hides token %zu behind one that is seen; only padding on the left may be hidden",
                              r, i);
            if (pad == prompt)
                tool_fail(mask_path, "row %zu hides the whole prompt; at least one token must be seen", r);
            tool_model_checked(&t);
            if (!r) ready = tool_seconds() - begin;
            tool_model_check(
                &t, cq_generate_next(&s, &how, x + pad, prompt - pad, fresh, t.m.eos_id, &count, &stats, &arena, &err),
                &err);
            arena = tool_arena(arena.used);
            tool_model_check(
                &t, cq_generate_next(&s, &how, x + pad, prompt - pad, fresh, t.m.eos_id, &count, &stats, &arena, &err),
                &err);
            length[r] = prompt + count;
            made += count;
            tool_progress("tokens", (r + 1) * fresh, rows * fresh);
        }
        longest = length[r] > longest ? length[r] : longest;
        scratch_bytes = arena.used > scratch_bytes ? arena.used : scratch_bytes;
        sum.steps = stats.steps > sum.steps ? stats.steps : sum.steps;
        sum.forwards += stats.forwards;
        sum.rows += stats.rows;
        sum.head_rows += stats.head_rows;
        sum.naive_forwards += stats.naive_forwards;
        sum.naive_rows += stats.naive_rows;
        sum.naive_head_rows += stats.naive_head_rows;
        free(arena.base);
    }
    double seconds = tool_seconds() - start;
    int32_t pad_id = t.m.pad_id >= 0 ? t.m.pad_id : t.m.eos_id; /* rows of a batch that ended early */
    for (size_t r = 0; r < rows; r++)
        for (size_t i = length[r]; i < longest; i++) ids[r * n + i] = pad_id;

    if (dims == 2) json_open("ids", '[');
    for (size_t r = 0; r < rows; r++) json_ids(dims == 2 ? NULL : "ids", ids + r * n, longest);
    if (dims == 2) json_close();
    if (dims == 2) json_open("text", '[');
    for (size_t r = 0; r < rows; r++) print_json_text(dims == 2 ? NULL : "text", tok, ids + r * n, longest);
    if (dims == 2) json_close();
    json_int("steps", (int64_t)sum.steps);
    json_int("forwards", (int64_t)sum.forwards);
    json_int("rows", (int64_t)sum.rows);
    json_int("head_rows", (int64_t)sum.head_rows);
    if (diffusion) { /* the plain loop's */
        json_int("naive_forwards", (int64_t)sum.naive_forwards);
        json_int("naive_rows", (int64_t)sum.naive_rows);
        json_int("naive_head_rows", (int64_t)sum.naive_head_rows);
    }
    json_real("tokens_per_second", (double)made / seconds);
    json_real("seconds", seconds);
    json_real("start_seconds", ready);
    json_int("arena_bytes", (int64_t)(arena_bytes + scratch_bytes));
    for (size_t r = 0; r < rows && !tool.json && !(live && diffusion); r++) {
        size_t len, from = tool_has("chat") ? prompt : 0, to = length[r]; /* of a conversation only the answer */
        for (size_t i = from; from && i < to; i++)
            if (ids[r * n + i] == t.m.eos_id || ids[r * n + i] == cq_tokenizer_id(tok, "<|im_end|>", 10)) to = i;
        char *text = denoising_text(tok, ids + r * n + from, to - from, -1, &len);
        show(text, len, stdout);
        putchar('\n');
        free(text);
    }
    if (live || isatty(STDERR_FILENO))
        tool_note("%zu tokens in %.2f s (%.1f per second), %.3f s a step: %zu steps, %zu passes, %zu rows", made,
                  seconds, (double)made / seconds, seconds / (double)(sum.steps ? sum.steps : 1), sum.steps, sum.forwards,
                  sum.rows);
    free(base);
}

static const tool_option generate_options[] = {
    {"prompt", "TEXT", 0, 0, "text to go on from"},
    {"prompt-file", "FILE", 0, 0, "the same from a file"},
    {"ids", "IDS.npy", 0, 0, "ids instead, [tokens] or [batch, tokens]; mask ids in them are filled too"},
    {"chat", NULL, 0, 0, "the prompt is a message of a conversation (ChatML); it may also stand behind MODEL"},
    {"mask", "M.npy", 0, 0, "the shape of the ids: 0 marks left padding; diffusion: or [batch, 1, n, n], new ones too"},
    {"max-new-tokens", "N", 1, 1 << 24, "tokens to make (128)"},
    {"temperature", "X", 0, 1e6, "0: the likeliest token (0)"},
    {"top-p", "X", 0, 1, "draw among the likeliest that together have this probability (off)"},
    {"top-k", "N", 0, 1 << 30, "draw among this many (off)"},
    {"steps", "N", 1, 1 << 30, "diffusion: steps of denoising (512; with a cache one a token)"},
    {"alg", "origin|maskgit_plus|topk_margin|entropy", 0, 0,
     "diffusion: which tokens are filled first (origin; of LLaDA maskgit_plus; with --exit entropy)"},
    {"alg-temp", "X", 0, 1e6, "diffusion: draw the positions by confidence / X (0: take the surest)"},
    {"eps", "X", 1e-9, 0.999999, "diffusion: end of the schedule (0.001)"},
    {"schedule", "time|even", 0, 0, "diffusion: how many masks go in a step: Dream's, or LLaDA's (as the model says)"},
    {"exit", "X", 0, 1e6, "diffusion: fill all whose entropy is at most X as well; by --alg, probability or margin"},
    {"cache", "none|prefix|dual|steps", 0, 0, "diffusion: what is reused, within a block or from step to step (none)"},
    {"refresh", "N", 1, 1 << 24, "diffusion, with --cache steps: every N-th pass computes all rows (8)"},
    {"block-length", "N", 1, 1 << 24, "diffusion: tokens of a block, with prefix or dual (32), or the even schedule"},
    {"threshold", "X", 0, 1, "diffusion, with prefix or dual: fill all that are at least so sure"},
    {"head-rows", "N", 1, 1 << 20, "diffusion, sampled: rows of logits held at a time (32)"},
    TOOL_PROMPT_OPTIONS,
    {"uncond-text-embeds", "U.npy", 0, 0, "two streams: those of an empty prompt"},
    {"guidance", "X", -1e6, 1e6, "two streams: (1 + g) prompt - g empty prompt, g falling from X to 0 (3)"},
    {"upstream-cache", NULL, 0, 0, "two streams: decode as published, single layers seeing their first key only"},
    {"show", "N", 1, 1 << 30, "diffusion: print the text after every N steps (on a terminal it is always shown)"},
    ROUNDING_OPTIONS,
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_generate = {"generate", "MODEL --prompt TEXT", "text from a prompt", 1, 2, generate_options,
                                   run_generate};

/* ===================================================================================================================
   [TOKENIZE]
   ================================================================================================================== */
static size_t config_vocab(const tool_model *t) { /* vocab_size, where there is a config.json that says it; else 0 */
    cq_json j;
    cq_error err;
    int64_t v = 0;
    if (!t->config.size) return 0;
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_check(cq_json_parse(&j, (const char *)t->config.data, t->config.size, &arena, &err), t->config.path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_json_parse(&j, (const char *)t->config.data, t->config.size, &arena, &err), t->config.path, &err);
    if (!cq_json_int(&j, cq_json_find(&j, 0, "vocab_size"), &v) || v < 0 || v > INT32_MAX) v = 0;
    free(arena.base);
    return (size_t)v;
}

static void run_tokenize(void) {
    tool_model t;
    const char *text_path = tool_text("text", NULL), *ids_path = tool_text("ids", NULL);
    bool decode = tool_has("decode");
    if (decode ? !ids_path || text_path : !text_path || ids_path)
        tool_usage("tokenize: --text FILE is needed, or --decode --ids IDS.npy; see `cquant tokenize --help`");
    tool_model_locate(&t, tool.args[0]);
    const cq_tokenizer *tok = tool_model_tokenizer(&t, true);
    size_t n, len, vocab = config_vocab(&t);
    if (!decode) {
        tool_file f = tool_map(text_path);
        int32_t *ids = tool_encode(&t, text_path, (const char *)f.data, f.size, &n);
        json_ids("ids", ids, n);
        for (size_t i = 0; i < n; i++) tool_say("%d%c", ids[i], i + 1 < n ? ' ' : '\n');
        free(ids);
        return;
    }
    tool_npy a = tool_npy_read(ids_path);
    if (a.ndim != 1) tool_fail(ids_path, "ids have %zu dimensions, and must have 1", a.ndim);
    int32_t *ids = tool_npy_ints(&a);
    vocab = vocab > tok->vocab ? vocab : tok->vocab;
    for (size_t i = 0; i < a.count; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= vocab)
            tool_fail(ids_path, "the id at position %zu is %d, and must be 0 to %zu", i, ids[i], vocab - 1);
    char *text = tool_decode(tok, ids, a.count, &len);
    json_bytes("text", text, len);
    if (!tool.json) show(text, len, stdout);
    if (!tool.json && isatty(STDOUT_FILENO)) putchar('\n');
    free(text);
    free(ids);
}

static const tool_option tokenize_options[] = {
    {"text", "FILE", 0, 0, "the text, as bytes"},
    {"decode", NULL, 0, 0, "the way back"},
    {"ids", "IDS.npy", 0, 0, "with --decode: [tokens]"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_tokenize = {"tokenize",       "MODEL --text FILE", "ids of a text, or the text of ids", 1, 1,
                                   tokenize_options, run_tokenize};
