/* cmd_study.c - commands to look into things: models, inspect, matrix, solve */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [MODELS]  what can be done with an architecture, as its description says
   ================================================================================================================== */
/* The words that decide. A cq_word has only the number of its word: it is that of the same word in PROBE. */
enum { W_PRE, W_POST, W_AFTER, W_KEEP, W_JOINT, W_GATE, W_Q_GATE, W_SUB_NORM, W_V_NORM, W_V, W_QKV, W_KV, W_O,
       W_IF, W_IDENTITY, W_EMBED_NORM, W_ENDS = W_EMBED_NORM };
#define PROBE                                                                                                          \
    "model probe\nblocked x\n"                                                                                         \
    "attn - pre=x post=x after=x keep=x joint=x gate=x q_gate sub_norm=x v_norm=x v=x qkv=x kv=x o=x if=x\n"          \
    "moe - identity=x\nembed x norm=x\n"

/* A word of a block; of embed, whose place is behind those of blocks, whatever `block` is. */
static const cq_word *find_word(const cq_arch *arch, size_t block, int word) {
    static cq_arch probe;
    cq_error err;
    if (word >= W_ENDS) block = CQ_MAX_BLOCKS;
    if (!probe.words) tool_check(cq_arch_parse(&probe, PROBE, strlen(PROBE), &err), "a mistake in cquant itself", &err);
    for (size_t i = 0; i < arch->words; i++)
        if (arch->word[i].key == probe.word[word].key && arch->word[i].block == block) return &arch->word[i];
    return NULL;
}

static bool str_is(cq_str s, const char *text) { return s.n == strlen(text) && !memcmp(s.p, text, s.n); }
/* A norm with a gain of its own: where it stays in the stream, that would have to be even. */
static bool has_gain(const cq_word *norm) {
    const char *p = norm ? norm->value.p : NULL;
    return p && norm->value.n && !(p[0] == '-' && (norm->value.n == 1 || strchr(":@+", p[1])));
}

/* What stands in the way of rotating the residual stream, as far as the description alone says; NULL: nothing. */
static const char *stream_obstacle(const cq_arch *arch) {
    for (size_t b = 0; b < arch->blocks; b++) {
        bool pre = has_gain(find_word(arch, b, W_PRE));
        if (arch->block[b].label.n && find_word(arch, b, W_IF)) continue; /* not in every model */
        if (pre && find_word(arch, b, W_IDENTITY)) return "experts that give their input back";
        if (has_gain(find_word(arch, b, W_POST))) return "a norm after a block, before the sum";
        if (has_gain(find_word(arch, b, W_AFTER))) return "a norm of the sum";
        if (has_gain(find_word(arch, b, W_JOINT))) return "a norm of what blocks beside each other add";
        if (pre && find_word(arch, b, W_KEEP)) return "a stream that is the normed input";
    }
    if (has_gain(find_word(arch, 0, W_EMBED_NORM))) return "a norm after the embedding";
    if (str_is(arch->position, "sinusoid")) return "computed positions";
    return NULL;
}

static bool values_rotate(const cq_arch *arch) { /* of the heads of some block */
    for (size_t b = 0; b < arch->blocks; b++) {
        static const int busy[] = {W_GATE, W_Q_GATE, W_SUB_NORM, W_V_NORM};
        cq_block_kind kind = arch->block[b].kind;
        bool can = find_word(arch, b, W_V) || find_word(arch, b, W_QKV) || find_word(arch, b, W_KV);
        can = kind == CQ_BLOCK_MLA || (kind == CQ_BLOCK_ATTENTION && can);
        for (size_t i = 0; i < sizeof busy / sizeof busy[0]; i++) can = can && !find_word(arch, b, busy[i]);
        if (can && find_word(arch, b, W_O)) return true;
    }
    return false;
}

typedef struct abilities {
    bool runs, quantizes;
    bool carries;        /* a checkpoint may have tensors which let its stream not be rotated */
    const char *rotates; /* "yes", "v/o" (only the values of heads), "no" */
    char *why;           /* it does not run, or not rotate as a whole; NULL */
} abilities;

/* A tensor may be there of which is not known how it touches the stream: a word without '='. */
static bool carries_unknown(const cq_arch *arch) {
    for (size_t i = 0; i < arch->carries; i++) {
        bool known = false;
        for (size_t k = 0; k <= arch->carry[i].n; k++) {
            bool end = k == arch->carry[i].n || strchr(" \t\r\n", arch->carry[i].p[k]);
            bool begun = k && !strchr(" \t\r\n", arch->carry[i].p[k - 1]);
            if (end && begun && !known) return true;
            known = !end && (known || arch->carry[i].p[k] == '=');
        }
    }
    return false;
}

static abilities arch_can(const cq_arch *arch) {
    const char *obstacle = stream_obstacle(arch);
    const char *values = values_rotate(arch) ? "v/o" : "no";
    abilities a = {!arch->blocked.n, !arch->blocked.n, carries_unknown(arch), obstacle ? values : "yes", NULL};
    if (!a.runs) a.rotates = "no";
    if (!a.runs) a.why = tool_format("%.*s", (int)arch->blocked.n, arch->blocked.p);
    else if (obstacle) a.why = tool_format("%s", obstacle);
    else if (a.carries) a.why = tool_format("with tensors that are only carried: %s", values);
    return a;
}

static void list_arch(const cq_arch *arch, cq_str name) {
    const char *family = arch->diffusion ? "diffusion" : "causal";
    abilities can = arch_can(arch);
    json_open(NULL, '{');
    json_bytes("model_type", name.p, name.n);
    json_text("family", family);
    json_bool("described", true);
    json_bool("runs", can.runs);
    json_bool("rotates", strcmp(can.rotates, "no") != 0);
    json_text("rotation", can.rotates);
    json_bool("carries", can.carries);
    json_bool("quantizes", can.quantizes);
    if (can.why) json_text("why", can.why);
    else json_null("why");
    json_close();
    tool_say("%-24.*s %-10s %-9s  %-3s  %-6s  %-8s  %s\n", (int)name.n, name.p, family, "yes", can.runs ? "yes" : "no",
             can.rotates, can.quantizes ? "yes" : "no", can.why ? can.why : "");
    free(can.why);
}

/* The next of the names of a description, over comments; n = 0: no more. */
static cq_str next_name(const cq_arch *arch, size_t *at) {
    const char *p = arch->names.p;
    size_t n = arch->names.n, i = *at;
    for (;;) {
        while (i < n && strchr(" \t\r\n", p[i])) i++;
        if (i == n || p[i] != '#') break;
        while (i < n && p[i] != '\n') i++;
    }
    cq_str name = {p + i, 0};
    while (i < n && !strchr(" \t\r\n", p[i])) i++;
    name.n = (size_t)(p + i - name.p);
    *at = i;
    return name;
}

static void list_names(cq_arch *arch) {
    size_t at = 0;
    for (cq_str name = next_name(arch, &at); name.n; name = next_name(arch, &at)) list_arch(arch, name);
}

static void show_arch(const char *name, cq_arch *arch) {
    cq_error err;
    if (cq_arch_find(arch, name, strlen(name), &err) != CQ_OK)
        tool_fail(NULL, "--show %s: there is no description of this model_type; `cquant models` lists those there are",
                  name);
    json_text("model_type", name);
    json_bytes("description", arch->text.p, arch->text.n);
    tool_say("%.*s", (int)arch->text.n, arch->text.p);
}

static void run_models(void) {
    const char *text, *file = tool_text("arch", NULL), *show = tool_text("show", NULL);
    cq_arch *arch = (cq_arch *)tool_alloc(1, sizeof *arch);
    cq_error err;
    if (file && show) tool_usage("--arch and --show exclude each other");
    if (show) {
        show_arch(show, arch);
        return;
    }
    if (file) tool_arch_read(file, arch);
    json_open("models", '[');
    tool_say("%-24s %-10s described  run  rotate  quantize  what is in the way\n", "model_type", "family");
    if (file) list_names(arch);
    for (size_t i = 0; !file && (text = cq_arch_builtin(i)) != NULL; i++) {
        tool_check(cq_arch_parse(arch, text, strlen(text), &err), "built-in description", &err);
        list_names(arch);
    }
    json_close();
    tool_say("\nrotate v/o: only the values of heads, between v and o\n");
    free(arch);
}
static const tool_option models_options[] = {
    {"arch", "FILE", 0, 0, "check this description, and list it instead"},
    {"show", "NAME", 0, 0, "the built-in description of a model_type: something to start from"},
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_models = {"models", "", "the architectures that cquant knows", 0, 0, models_options, run_models};

/* ===================================================================================================================
   [INSPECT]
   ================================================================================================================== */
/* Bytes of all tensors as `export --dtype` lays them out: what is no matrix stays float32, with int4 the embedding and
   the head are int8, and 64 columns share a scale. Or as `quantize --group-size 64` does: then all that is no linear of
   a block, and linears that are kept, stay as stored. */
static uint64_t format_bytes(const tool_model *t, cq_format format, bool quantize) {
    uint64_t sum = 0;
    cq_parts cursor;
    cq_part part;
    memset(&cursor, 0, sizeof cursor);
    while (cq_model_part(&t->m, NULL, &cursor, &part)) {
        cq_tensor x;
        bool stays = quantize && !(part.kind == CQ_PART_LINEAR && part.block && !part.linear->keep);
        if (part.kind == CQ_PART_CARRIED) continue;
        tool_export_tensor(&x, &part, !stays ? format : cq_format_is_coded(part.format) ? CQ_BF16 : part.format, 64);
        sum += x.bytes;
    }
    return sum;
}

static const struct {
    const char *name;
    cq_format format;
} sizes[] = {{"fp32", CQ_F32}, {"fp16", CQ_F16}, {"int8", CQ_INT8}, {"int4", CQ_INT4}};
#define SIZES (sizeof sizes / sizeof sizes[0])
#define CACHES 3u /* the first of them are formats of a cache */

/* The blocks of a layer stand one after the other. */
static bool in_layer(const cq_block *b, size_t list, size_t layer) { return b->list == list && b->layer == layer; }

/* PREFIX.NAME of a linear: its path in the layer, as on disk; experts of one tensor by their number. */
static char *layer_path(const cq_model *m, const cq_block *b, const cq_linear *l) {
    cq_str prefix = m->arch.block[b->desc].prefix;
    const char *hash = (const char *)memchr(l->name.p, '#', l->name.n);
    bool expert = l->role >= CQ_ROLE_EXPERT_GATE && l->role <= CQ_ROLE_EXPERT_DOWN, bare = str_is(prefix, "-");
    char *front = tool_format("%.*s%s", bare ? 0 : (int)prefix.n, prefix.p, bare ? "" : "."), *path;
    if (hash)
        path = tool_format("%s%.*s%u%.*s", front, (int)(hash - l->name.p), l->name.p, l->expert,
                           (int)(l->name.p + l->name.n - hash - 1), hash + 1);
    else if (expert) path = tool_format("%s%.*s.%u", front, (int)l->name.n, l->name.p, l->expert);
    else path = tool_format("%s%.*s", front, (int)l->name.n, l->name.p);
    free(front);
    return path;
}

static void inspect_groups(const cq_model *m) { /* of layer 0 */
    const cq_linear *l;
    const cq_block *b = NULL;
    size_t first = 0, g = 0;
    while (first < m->block_count && !in_layer(&m->blocks[first], 0, 0)) first++;
    for (size_t n = 0; first < m->block_count && cq_layer_group(m, first, n, &b, &g); n++) {
        json_open(NULL, '[');
        for (size_t i = 0; (l = cq_block_group(b, g, i)) != NULL; i++) {
            char *path = layer_path(m, b, l);
            json_text(NULL, path);
            tool_say("  %s %-34s %6zu x %-6zu %s%s%s%s\n", i ? " " : "-", path, l->w.rows, l->w.cols,
                     cq_format_name(l->w.format), l->bias ? " + bias" : "",
                     l->w.layout == CQ_COLUMNS ? ", stored transposed" : "", l->w.act_bits ? ", reads int8" : "");
            free(path);
        }
        json_close();
    }
}

/* Linears whose input becomes int8, as quantize --config asked for (aq). */
static void inspect_acts(const cq_model *m) {
    json_open("int8_activations", '[');
    for (size_t b = 0; b < m->block_count; b++)
        for (size_t i = 0; i < m->blocks[b].linears; i++) {
            char name[256];
            if (!m->blocks[b].lin[i].w.act_bits) continue;
            cq_module_name(m, &m->blocks[b], &m->blocks[b].lin[i], name, sizeof name);
            json_text(NULL, name);
        }
    json_close();
}

/* A number of a block, if it has it; a space between words. */
static void number(const char *key, const char *before, size_t value, const char *behind) {
    if (!value) return;
    json_int(key, (int64_t)value);
    if (before) tool_say("%s%zu%s", before, value, behind);
}
static void flag(const char *key, bool value) {
    if (!value) return;
    json_bool(key, true);
    tool_say(", %s", key);
}

static void inspect_attention(const cq_block *b) {
    number("heads", ", ", b->heads, " heads");
    number("head_dim", " of ", b->head_dim, "");
    if (b->kind == CQ_BLOCK_ATTENTION) number("kv_heads", " (", b->kv_heads, " for k and v)");
    if (b->v_dim != b->head_dim) number("v_dim", ", values of ", b->v_dim, "");
    number("q_rank", ", q by way of ", b->q_rank, "");
    number("kv_rank", ", k and v by way of ", b->kv_rank, "");
    json_text("mask", b->causal ? "causal" : "full");
    tool_say(", %s", b->causal ? "causal" : "full");
    number("window", ", window ", b->window, "");
    number("chunk", ", chunks of ", b->chunk, "");
    number("block", ", by blocks of ", b->block, "");
    if (b->rope_style != CQ_ROPE_NONE) number("rope_dim", ", rope ", b->rope_dim, "");
    flag("alibi", b->alibi);
    flag("qk_norm", b->kind == CQ_BLOCK_ATTENTION && b->norm[CQ_NORM_Q].on);
    flag("gated", b->q_gate || b->at[CQ_ROLE_OUT_GATE]);
    flag("sinks", b->kind == CQ_BLOCK_ATTENTION && b->param[CQ_PARAM_SINKS].data);
}

/* What a block has, by its kind. */
static void inspect_numbers(const cq_block *b) {
    switch (b->kind) {
    case CQ_BLOCK_ATTENTION:
    case CQ_BLOCK_MLA: inspect_attention(b); break;
    case CQ_BLOCK_MLP: number("inter", ", ", b->inter, " wide"); break;
    case CQ_BLOCK_MOE:
        number("experts", ", ", b->experts, " experts");
        number("inter", " of ", b->inter, "");
        number("top_k", ", ", b->top_k, " a token");
        if (b->groups > 1) number("groups", ", in ", b->groups, " groups");
        number("shared_inter", ", shared expert of ", b->s_inter, "");
        number("identity", ", ", b->identity, " that do nothing");
        break;
    default:
        number("heads", ", ", b->heads, " heads");
        number("head_dim", " of ", b->head_dim, "");
        if (b->kind == CQ_BLOCK_DELTA) number("kv_heads", " (", b->kv_heads, " for keys)");
        number("state_dim", ", state ", b->state_dim, "");
        number("kernel", ", convolution of ", b->kernel, "");
        number("rank", ", dt by way of ", b->rank, "");
        number("state", ", ", b->state_size, " floats kept");
    }
}

static void inspect_block(const cq_model *m, const cq_block *b) {
    const cq_block_desc *d = &m->arch.block[b->desc];
    const cq_norm *pre = &b->norm[CQ_NORM_PRE], *post = &b->norm[CQ_NORM_POST];
    json_open(NULL, '{');
    json_text("kind", cq_block_name(b->kind));
    json_bytes("prefix", d->prefix.p, d->prefix.n);
    if (pre->on) json_bytes("norm", pre->name.p, pre->name.n);
    tool_say("  %-9s %-16.*s", cq_block_name(b->kind), (int)d->prefix.n, d->prefix.p);
    if (pre->on) tool_say(" after %.*s", (int)pre->name.n, pre->name.p);
    else tool_say(" without a norm before it");
    if (post->on) tool_say(", then %.*s", (int)post->name.n, post->name.p);
    inspect_numbers(b);
    flag("beside", b->beside);
    tool_say("\n");
    json_close();
}

/* Layers differ: the kinds of their blocks, and which layers have them. */
static char *layer_kinds(const cq_model *m, size_t list, size_t layer) {
    char *kinds = tool_format("%s", "");
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *b = &m->blocks[i];
        if (!in_layer(b, list, layer)) continue;
        char *more = tool_format("%s%s%s%s", kinds, *kinds ? ", " : "", cq_block_name(b->kind),
                                 b->window || b->chunk ? " (window)" : "");
        free(kinds);
        kinds = more;
    }
    return kinds;
}
static void inspect_layers(const cq_model *m) {
    size_t list = 0, layer = 0, from = 0;
    char *last = NULL;
    json_open("layer_kinds", '[');
    for (size_t i = 0; i <= m->block_count; i++) { /* at the beginning of each layer, and at the end */
        const cq_block *b = i < m->block_count ? &m->blocks[i] : NULL;
        if (b && last && in_layer(b, list, layer)) continue;
        char *kinds = b ? layer_kinds(m, b->list, b->layer) : NULL;
        if (last && (!b || b->list != list || strcmp(kinds, last))) {
            json_open(NULL, '{');
            json_int("from", (int64_t)from);
            json_int("to", (int64_t)layer);
            json_text("blocks", last);
            json_close();
            if (from == layer) tool_say("  layer %zu: %s\n", from, last);
            else tool_say("  layers %zu to %zu: %s\n", from, layer, last);
        }
        if (b && (!last || b->list != list || strcmp(kinds, last))) from = b->layer;
        free(last);
        last = kinds;
        list = b ? b->list : 0;
        layer = b ? b->layer : 0;
    }
    json_close();
}

static const char *moe_family(const cq_model *m, const cq_block *experts) {
    static const char *const families[][2] = {
        {"olmoe", "olmoe"},       {"mixtral", "mixtral"},      {"qwen2_moe", "qwen"},      {"qwen3_moe", "qwen"},
        {"deepseek", "deepseek"}, {"deepseek_v2", "deepseek"}, {"deepseek_v3", "deepseek"}};
    if (!experts) return "standard";
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (str_is(m->arch.name, families[i][0])) return families[i][1];
    return "generic_moe";
}

static const char *rotation_mode(size_t n) { /* as cq_rotate_plan_auto chooses */
    cq_hadamard h;
    cq_arena dry = cq_arena_over(NULL, 0);
    return cq_hadamard_init(&h, n, &dry, NULL) == CQ_OK ? "hadamard" : "orthogonal";
}

static void inspect_rotation(const char *name, size_t dim, size_t blocks) {
    json_open(NULL, '{');
    json_text("name", name);
    json_int("dim", (int64_t)dim);
    json_text("mode", rotation_mode(dim));
    json_bool("per_layer", blocks != 0);
    if (blocks) json_int("blocks", (int64_t)blocks);
    json_close();
    tool_say("  %s %-10s of order %-6zu ", name, rotation_mode(dim), dim);
    if (blocks) tool_say("each head, between v and o; one a layer, in %zu\n", blocks);
    else tool_say("%s stream\n", strcmp(name, "r1") ? "text" : "residual");
}
static bool has_values(const cq_model *m, size_t i) { return !cq_rotate_obstacle(m, &m->blocks[i]); }
/* An attention whose values cannot turn, where nobody before has told the same. */
static const char *new_obstacle(const cq_model *m, size_t i) {
    const char *why = cq_rotate_obstacle(m, &m->blocks[i]);
    if (m->blocks[i].kind > CQ_BLOCK_MLA) return NULL;
    for (size_t k = 0; why && k < i; k++)
        if (m->blocks[k].kind <= CQ_BLOCK_MLA && cq_rotate_obstacle(m, &m->blocks[k]) == why) return NULL;
    return why;
}

/* What `rotate` would do; the plan is only counted, not made. */
static void inspect_rotations(const tool_model *t, const cq_context *ctx) {
    const cq_model *m = &t->m;
    cq_rotate_plan plan;
    cq_arena dry = cq_arena_over(NULL, 0);
    cq_error err;
    cq_status st = cq_rotate_plan_auto(&plan, ctx, m, tool.seed, &dry, &err);
    if (st != CQ_OK && st != CQ_ERR_UNSUPPORTED) tool_model_fail(t, &err);
    tool_say("\nrotation (`cquant rotate`)\n");
    json_open("rotations", '[');
    if (plan.r1[0].on) inspect_rotation("r1", m->hidden, 0);
    if (plan.r1[1].on) inspect_rotation("r1_text", m->hidden, 0);
    for (size_t i = 0; i < m->block_count; i++) { /* of each order once */
        size_t before = 0, blocks = 0;
        for (size_t k = 0; has_values(m, i) && k < m->block_count; k++)
            if (has_values(m, k) && m->blocks[k].v_dim == m->blocks[i].v_dim) *(k < i ? &before : &blocks) += 1;
        if (blocks && !before) inspect_rotation("r2", m->blocks[i].v_dim, blocks);
    }
    tool_report_online(m, NULL); /* those it has already */
    json_close();
    for (size_t i = 0; i < m->block_count; i++) {
        const char *why = new_obstacle(m, i);
        if (why) tool_say("  not the values of layer %zu: %s\n", m->blocks[i].layer, why);
    }
    tool_report_r1(&plan, m);
}

/* Of a session for so many tokens, as `logits --cache-format` makes it. */
static size_t session_bytes(const tool_model *t, const cq_context *ctx, size_t tokens, cq_format cache, size_t *hot,
                            size_t *cold) {
    cq_session_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = tokens;
    desc.cache = cache;
    return tool_session_bytes(ctx, t, &desc, hot, cold);
}

/* Memory of sessions, and with the weights in each format. */
static void inspect_memory(const tool_model *t, const cq_context *ctx, const uint64_t *bytes) {
    size_t lengths[] = {128, 512, 2048, 8192}, rows = sizeof lengths / sizeof lengths[0];
    const cq_model *m = &t->m;
    size_t longest = m->longest && (!m->context || m->longest < m->context) ? m->longest : m->context;
    tool_say("\nmemory of a session, bytes %14s %14s   and with the weights: %14s %14s %14s %14s\n", "activations",
             "cache", sizes[0].name, sizes[1].name, sizes[2].name, sizes[3].name);
    if (tool_has("context")) {
        lengths[0] = tool_size("context", 0);
        rows = 1;
    }
    while (rows > 1 && longest && lengths[rows - 1] > longest) rows--;
    json_open("memory", '[');
    for (size_t i = 0; i < rows; i++) {
        size_t hot, cold;
        (void)session_bytes(t, ctx, lengths[i], CQ_F32, &hot, &cold);
        json_open(NULL, '{');
        json_int("tokens", (int64_t)lengths[i]);
        json_int("hot", (int64_t)hot);
        json_int("cold", (int64_t)cold);
        tool_say("  %6zu tokens            %14zu %14zu                         ", lengths[i], hot, cold);
        for (size_t k = 0; k < SIZES; k++) {
            uint64_t all = bytes[k] + hot + cold;
            json_int(sizes[k].name, (int64_t)all);
            tool_say(" %14llu", (unsigned long long)all);
        }
        tool_say("\n");
        json_open("sessions", '{'); /* with a cache of each format */
        for (size_t k = 0; k < CACHES; k++) {
            size_t all = session_bytes(t, ctx, lengths[i], sizes[k].format, &hot, &cold);
            json_open(sizes[k].name, '{');
            json_int("activations", (int64_t)hot);
            json_int("cache", (int64_t)cold);
            json_int("arena_bytes", (int64_t)all);
            json_close();
        }
        json_close();
        json_close();
    }
    json_close();

    tool_say("\ncache formats, bytes %38s %14s %14s\n", sizes[0].name, sizes[1].name, sizes[2].name);
    tool_say("  a token more in the cache                   ");
    json_open("cache_per_token", '{');
    for (size_t k = 0; k < CACHES; k++) { /* lengths at which nothing is lost to alignment */
        size_t few, many;
        (void)session_bytes(t, ctx, CQ_ALIGN, sizes[k].format, NULL, &few);
        (void)session_bytes(t, ctx, 2 * CQ_ALIGN, sizes[k].format, NULL, &many);
        json_int(sizes[k].name, (int64_t)((many - few) / CQ_ALIGN));
        tool_say(" %14zu", (many - few) / CQ_ALIGN);
    }
    json_close();
    tool_say("\n");
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < rows; i++) {
            tool_say("  %6zu tokens: %-28s", lengths[i], part ? "cache and activations" : "cache");
            for (size_t k = 0; k < CACHES; k++) {
                size_t cold, all = session_bytes(t, ctx, lengths[i], sizes[k].format, NULL, &cold);
                tool_say(" %14zu", part ? all : cold);
            }
            tool_say("\n");
        }
}

static void inspect_shape(const cq_model *m) {
    const cq_block *experts = NULL;
    for (size_t i = 0; i < m->block_count && !experts; i++)
        if (m->blocks[i].kind == CQ_BLOCK_MOE) experts = &m->blocks[i];
    json_bytes("architecture", m->arch.name.p, m->arch.name.n);
    json_text("moe", moe_family(m, experts));
    json_int("parameters", (int64_t)m->parameters);
    json_int("layers", (int64_t)m->layers);
    json_int("hidden", (int64_t)m->hidden);
    json_int("vocab", (int64_t)m->vocab);
    json_int("context", (int64_t)m->context);
    json_bool("tied", m->tied);
    if (experts) {
        json_int("experts", (int64_t)experts->experts);
        json_int("experts_per_token", (int64_t)experts->top_k);
    }
    tool_say("%.*s: %zu layers, hidden %zu, vocabulary %zu, context %zu%s\n", (int)m->arch.name.n, m->arch.name.p,
             m->layers, m->hidden, m->vocab, m->context, m->tied ? ", embedding tied to the head" : "");
    tool_say("%zu parameters, %s%s\n", m->parameters, m->arch.diffusion ? "masked diffusion" : "causal",
             m->recurrent ? ", with recurrent blocks" : "");
}

static void run_inspect(void) {
    tool_model t;
    cq_context ctx;
    uint64_t bytes[SIZES];
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    const cq_model *m = &t.m;
    inspect_shape(m);
    inspect_layers(m);

    tool_say("\nbytes of the tensors of `cquant export`\n");
    json_open("bytes", '{');
    for (size_t i = 0; i < SIZES; i++) {
        bytes[i] = format_bytes(&t, sizes[i].format, false);
        json_int(sizes[i].name, (int64_t)bytes[i]);
        tool_say("  %s %14llu\n", sizes[i].name, (unsigned long long)bytes[i]);
    }
    json_close();
    tool_say("\nbytes of the tensors of `cquant quantize --group-size 64`: embedding and head as stored\n");
    json_open("quantized_bytes", '{');
    for (size_t i = CACHES - 1; i < SIZES; i++) {
        uint64_t n = format_bytes(&t, sizes[i].format, true);
        json_int(sizes[i].name, (int64_t)n);
        tool_say("  %s %14llu\n", sizes[i].name, (unsigned long long)n);
    }
    json_close();

    tool_say("\ngroups of layer 0, in order; those of one group read the same input\n");
    json_open("groups", '[');
    inspect_groups(m);
    json_close();
    inspect_acts(m);

    tool_say("\nblocks of layer 0\n");
    json_open("blocks", '[');
    for (size_t i = 0; i < m->block_count; i++)
        if (in_layer(&m->blocks[i], 0, 0)) inspect_block(m, &m->blocks[i]);
    json_close();
    inspect_rotations(&t, &ctx);
    inspect_memory(&t, &ctx, bytes);
}
static const tool_option inspect_options[] = {
    {"context", "N", 1, 1 << 24, "memory of a session of N tokens, instead of some usual numbers"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_inspect = {"inspect",  "MODEL",    "shape, groups, rotation plan and memory of a model", 1, 1,
                                  inspect_options, run_inspect};

/* ===================================================================================================================
   [MATRIX]
   ================================================================================================================== */
/* Largest |<r_i, r_j> - (i == j)| over up to 64 rows of R, each made by applying R to a unit vector. */
static double sampled_error(const cq_context *ctx, const cq_rotation *r, void *scratch) {
    size_t n = r->n, rows = n < 64 ? n : 64;
    double worst = 0.0, *x = (double *)tool_alloc(rows * n, sizeof *x);
    cq_error err = {CQ_ERR_ARG, "rotation failed", NULL, 0, UINT64_MAX, INT64_MIN};
    for (size_t i = 0; i < rows; i++) x[i * n + i * (n / rows)] = 1.0;
    tool_check(cq_rotate_rows_f64(ctx, r, x, rows, n, n, scratch), NULL, &err);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j <= i; j++) {
            double dot = i == j ? -1.0 : 0.0;
            for (size_t k = 0; k < n; k++) dot += x[i * n + k] * x[j * n + k];
            if (fabs(dot) > worst) worst = fabs(dot);
        }
    free(x);
    return worst;
}

static void run_matrix(void) {
    cq_context ctx;
    cq_rotation r;
    cq_error err = {CQ_ERR_ARG, "rotation failed", NULL, 0, UINT64_MAX, INT64_MIN};
    const char *name = tool_text("mode", "hadamard"), *out_path = tool_need("o"), *apply = tool_text("apply", NULL);
    const char *from = tool_text("matrix", NULL);
    double *given = NULL;
    size_t n = tool_size("dim", 0);
    if (from) {
        if (!apply || tool_has("mode")) tool_usage("--matrix is for --apply, and has no --mode");
        tool_npy a = tool_npy_read(from);
        if (a.ndim != 2 || a.shape[0] != a.shape[1] || !a.shape[0] || (n && n != a.shape[0]))
            tool_fail(from, "must be a square matrix, (N, N)%s", n ? " with the N of --dim" : "");
        n = a.shape[0];
        given = tool_npy_doubles(&a);
        double *work = (double *)tool_alloc(n, sizeof *work), off = cq_orthogonality_probe(given, n, work);
        if (!(off <= CQ_ORTHOGONALITY_LIMIT))
            tool_fail(from, "is not orthogonal: x R R^T differs from x by %.3g for a vector x of ones and minus ones, "
                            "and should by at most %g", off, CQ_ORTHOGONALITY_LIMIT);
        free(work);
        name = "imported";
    } else {
        tool_need("dim");
    }
    cq_rotate_mode mode = !strcmp(name, "orthogonal")      ? CQ_ROTATE_ORTHOGONAL
                          : !strcmp(name, "base_hadamard") ? CQ_ROTATE_BASE_HADAMARD
                                                           : CQ_ROTATE_HADAMARD;
    tool_context(&ctx);
    cq_arena arena = cq_arena_over(NULL, 0);
    if (mode != CQ_ROTATE_ORTHOGONAL && !given) {
        cq_hadamard h;
        if (cq_hadamard_init(&h, n, &arena, &err) == CQ_ERR_UNSUPPORTED) {
            size_t below, above;
            cq_hadamard_nearest(n, &below, &above);
            tool_fail(NULL, "--dim %zu: no Hadamard matrix of this order %s; the nearest orders are %zu and %zu", n,
                      n > 2 && n % 4 ? "exists (above 2 it must be a multiple of 4)" : "can be built", below, above);
        }
        arena = cq_arena_over(NULL, 0);
    }
    for (int pass = 0; pass < 2; pass++) {
        if (given) tool_check(cq_rotation_import(&r, given, n, &arena, &err), from, &err);
        else tool_check(cq_rotation_init(&r, mode, n, tool.seed, 0, &arena, &err), "--dim", &err);
        if (!pass) arena = tool_arena(arena.used);
    }
    free(given);
    void *scratch = tool_alloc(cq_rotation_scratch(&ctx, &r), 1);
    double worst;
    if (apply) {
        tool_npy a = tool_npy_read(apply);
        if (a.ndim != 2 || a.shape[1] != n) tool_fail(apply, "must have the shape (rows, %zu)", n);
        if (a.dtype != TOOL_F32 && a.dtype != TOOL_F64)
            tool_fail(apply, "elements are %s, and must be float32 or float64", tool_dtype_name(a.dtype));
        worst = sampled_error(&ctx, &r, scratch);
        tool_out *out = tool_npy_create(out_path, a.dtype, 2, a.shape);
        if (a.dtype == TOOL_F32) {
            float *x = tool_npy_floats(&a);
            tool_check(cq_rotate_rows_f32(&ctx, &r, x, a.shape[0], n, n, scratch), apply, &err);
            tool_write_floats(out, x, a.count);
            free(x);
        } else {
            double *x = tool_npy_doubles(&a);
            tool_check(cq_rotate_rows_f64(&ctx, &r, x, a.shape[0], n, n, scratch), apply, &err);
            tool_write_doubles(out, x, a.count);
            free(x);
        }
        tool_close(out);
    } else {
        if (n > SIZE_MAX / sizeof(double) / n)
            tool_fail(NULL, "--dim %zu: the matrix is too large for this machine", n);
        size_t shape[2] = {n, n}, step = (size_t)((double)n * (double)n * (double)n / 2e9) + 1;
        double *x = (double *)tool_alloc(n * n, sizeof *x);
        cq_rotation_matrix(&r, x);
        worst = cq_orthogonality_error(x, n, step);
        tool_out *out = tool_npy_create(out_path, TOOL_F64, 2, shape);
        tool_write_doubles(out, x, n * n);
        tool_close(out);
        free(x);
    }
    json_int("dim", (int64_t)n);
    json_text("mode", name);
    json_real("orthogonality_error", worst);
    tool_say("%s of order %zu, off orthogonal by %.2e: %s\n", name, n, worst, out_path);
    free(scratch);
    free(arena.base);
}
static const tool_option matrix_options[] = {
    {"dim", "N", 1, 1 << 30, "order of the matrix"},
    {"mode", "hadamard|base_hadamard|orthogonal", 0, 0, "random signs, none, or uniform over all rotations (hadamard)"},
    {"o", "R.npy", 0, 0, "float64 [N, N]; with --apply, X R in the type of X"},
    {"apply", "X.npy", 0, 0, "float32 or float64 [rows, N]: write X R, without forming R"},
    {"matrix", "R.npy", 0, 0, "with --apply: this matrix instead of one that is made"},
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_matrix = {"matrix", "--dim N -o R.npy", "a rotation matrix, or its product with yours", 0, 0,
                                 matrix_options, run_matrix};

/* ===================================================================================================================
   [SOLVE]
   ================================================================================================================== */
cq_format tool_coded_format(const char *name, size_t len) {
    unsigned f = 0;
    if (len == 5 && !memcmp(name, "mxfp6", 5)) return CQ_MXFP6_E2M3; /* the better one for weights */
    while (f < CQ_FORMAT_COUNT && (!cq_format_is_coded((cq_format)f) || strlen(cq_format_name((cq_format)f)) != len ||
                                   memcmp(name, cq_format_name((cq_format)f), len) != 0))
        f++;
    return (cq_format)f;
}

void tool_gptq_options(cq_gptq_desc *desc, bool *rtn) {
    static const char *const search[] = {"pivots", "diagonal", "uniform", "minmax", "floor"};
    const char *wq = tool_text("wq", NULL);
    memset(desc, 0, sizeof *desc);
    if (wq && tool_has("bits")) tool_usage("--bits and --wq exclude each other");
    desc->format = wq ? tool_coded_format(wq, strlen(wq)) : cq_format_int((unsigned)tool_size("bits", 4));
    if (desc->format == CQ_FORMAT_COUNT) tool_usage("--wq: '%s' must be one of the formats that --help lists", wq);
    bool mx = cq_format_is_mx(desc->format);
    int64_t group = tool_int("group-size", mx ? 32 : desc->format == CQ_FP8 ? -1 : 128);
    if (mx && group != 32) tool_usage("--group-size: %s has one scale for 32 columns", cq_format_name(desc->format));
    if (tool_has("asym") && !cq_format_is_int(desc->format))
        tool_usage("--asym: %s has no zero points, integers have", cq_format_name(desc->format));
    if (tool_has("sym") && tool_has("asym")) tool_usage("--sym and --asym exclude each other");
    if (tool_has("act-order") && tool_has("order")) tool_usage("--act-order and --order exclude each other");
    if (group == 0) tool_usage("--group-size: '0' must be a number of columns, or -1 for the whole row");
    *rtn = !strcmp(tool_text("method", "gptq"), "rtn");
    desc->group_size = group < 0 ? 0 : (size_t)group;
    desc->asym = tool_has("asym");
    const char *order = tool_text("order", "static");
    desc->order = tool_has("act-order")         ? CQ_GPTQ_ACT_GROUPS
                  : !strcmp(order, "natural")   ? CQ_GPTQ_NATURAL
                  : !strcmp(order, "groups")    ? CQ_GPTQ_GROUP_AWARE
                                                : CQ_GPTQ_ACT_STATIC;
    desc->static_scales = tool_has("static-groups"); /* with --act-order: the default */
    desc->damp = (float)tool_real("damp", 0);
    for (int i = 0; i < 5; i++)
        if (!strcmp(tool_text("search", "pivots"), search[i])) desc->search = (cq_gptq_search)i;
    desc->sweeps = (unsigned)tool_size("sweeps", 0);
    if (!desc->sweeps && tool_has("sweeps")) desc->sweeps = CQ_GPTQ_NO_SWEEPS;
    desc->refit = tool_has("refit");
}

/* tr(E H E^T) for E = W - Q (Q NULL: W): products in float, which is what the solver works with, their sum in double */
static double trace(const cq_context *ctx, const float *w, const float *q, const float *h, size_t rows, size_t cols) {
    const size_t step = rows < 512 ? rows : 512; /* H is packed anew for each */
    float *e = (float *)tool_alloc(step * cols, sizeof *e), *g = (float *)tool_alloc(step * cols, sizeof *g);
    float *scratch = (float *)tool_alloc(cq_gemm_scratch(step, cols, cols), sizeof *scratch);
    double total = 0.0;
    for (size_t r0 = 0; r0 < rows; r0 += step) {
        const size_t n = rows - r0 < step ? rows - r0 : step;
        for (size_t i = 0; i < n * cols; i++) {
            e[i] = w[r0 * cols + i] - (q ? q[r0 * cols + i] : 0.0f);
            g[i] = 0.0f;
        }
        cq_gemm(ctx, g, cols, e, cols, h, cols, n, cols, cols, scratch);
        for (size_t i = 0; i < n * cols; i++) total += (double)e[i] * (double)g[i];
    }
    free(e);
    free(g);
    free(scratch);
    return total;
}

/* cq_gptq_dequantize, 64 rows a task */
typedef struct decode_job {
    const cq_gptq_desc *desc;
    const cq_gptq_result *q;
    size_t rows, cols;
    float *out;
} decode_job;
static void decode_task(void *arg, size_t index) {
    const decode_job *j = (const decode_job *)arg;
    const size_t first = index * 64, n = j->rows - first < 64 ? j->rows - first : 64;
    cq_gptq_result part = *j->q;
    part.codes += first * j->cols;
    part.grids += first * cq_gptq_groups(j->desc, j->cols);
    cq_gptq_dequantize(j->desc, &part, n, j->cols, j->out + first * j->cols);
}

static void run_solve(void) {
    cq_context ctx;
    cq_gptq_desc desc;
    cq_hessian h;
    cq_factor f;
    cq_error err;
    bool rtn;
    const char *w_path = tool_need("weight"), *h_path = tool_need("hessian"), *out_path = tool_need("o");
    tool_gptq_options(&desc, &rtn);
    tool_context(&ctx);
    tool_npy wn = tool_npy_read(w_path), hn = tool_npy_read(h_path);
    if (wn.ndim != 2 || !wn.count) tool_fail(w_path, "must have the shape (rows, cols), both above 0");
    if (wn.dtype != TOOL_F32) tool_fail(w_path, "elements are %s, and must be float32", tool_dtype_name(wn.dtype));
    size_t rows = wn.shape[0], cols = wn.shape[1];
    if (hn.ndim != 2 || hn.shape[0] != cols || hn.shape[1] != cols)
        tool_fail(h_path, "must have the shape (%zu, %zu): the columns of the weight", cols, cols);
    float *w = tool_npy_floats(&wn);
    float *hf = tool_npy_floats(&hn), largest = 0.0f;
    for (size_t i = 0; i < cols * cols; i++) {
        if (!isfinite(hf[i]))
            tool_fail(h_path, "holds a number that is not finite, at row %zu, column %zu", i / cols, i % cols);
        largest = fabsf(hf[i]) > largest ? fabsf(hf[i]) : largest;
    }
    for (size_t i = 0; i < cols; i++)
        for (size_t j = 0; j < i; j++)
            if (fabsf(hf[i * cols + j] - hf[j * cols + i]) > 1e-4f * largest)
                tool_fail(h_path, "is not symmetric at row %zu, column %zu: %g and %g", i, j, (double)hf[i * cols + j],
                          (double)hf[j * cols + i]);

    size_t padded = (cols + 31) / 32 * 32;
    if (desc.group_size > padded) desc.group_size = 0;
    size_t groups = cq_gptq_groups(&desc, cols);
    cq_gptq_result out;
    cq_arena arena = cq_arena_over(NULL, 0);
    memset(&h, 0, sizeof h);
    h.cols = cols;
    tool_check(cq_gptq_factor(&ctx, &f, &h, &desc, &arena, &err), h_path, &err);
    tool_check(cq_gptq_solve(&ctx, &desc, &f, NULL, cols, rows, NULL, &arena, &err), w_path, &err);
    arena = tool_arena(arena.used);
    out.codes = (uint8_t *)tool_alloc(rows, cols);
    out.grids = (cq_grid *)tool_alloc(rows * groups, sizeof *out.grids);
    out.g_idx = desc.order == CQ_GPTQ_ACT_GROUPS ? (uint32_t *)tool_alloc(cols, sizeof *out.g_idx) : NULL;
    out.report = NULL;
    float *q = (float *)tool_alloc(rows * cols, sizeof *q);

    decode_job decode = {&desc, &out, rows, cols, q};
    double start = tool_seconds();
    if (rtn) {
        desc.order = CQ_GPTQ_NATURAL;
        tool_check(cq_gptq_rtn(&desc, w, cols, rows, cols, &out, &err), w_path, &err);
    } else {
        h.h = hf; /* finished, and never added to */
        h.tokens = cols;
        memset(arena.base, 0, arena.size); /* so that its pages are there, as they are from the second layer on */
        start = tool_seconds();
        tool_check(cq_gptq_factor(&ctx, &f, &h, &desc, &arena, &err), h_path, &err);
        tool_check(cq_gptq_solve(&ctx, &desc, &f, w, cols, rows, &out, &arena, &err), w_path, &err);
    }
    cq_parallel_for(&ctx, (rows + 63) / 64, decode_task, &decode);
    double seconds = tool_seconds() - start;
    tool_out *file = tool_npy_create(out_path, TOOL_F32, 2, wn.shape);
    tool_write_floats(file, q, rows * cols);
    tool_close(file);

    double whole = trace(&ctx, w, NULL, hf, rows, cols), loss = 0.0, rtn_loss; /* 0: W has no output at all */
    if (whole > 0.0) loss = trace(&ctx, w, q, hf, rows, cols) / whole;
    rtn_loss = loss;
    if (!rtn) {
        desc.order = CQ_GPTQ_NATURAL;
        out.g_idx = NULL;
        tool_check(cq_gptq_rtn(&desc, w, cols, rows, cols, &out, &err), w_path, &err);
        cq_parallel_for(&ctx, (rows + 63) / 64, decode_task, &decode);
        rtn_loss = whole > 0.0 ? trace(&ctx, w, q, hf, rows, cols) / whole : 0.0;
    }
    json_real("loss", loss);
    json_real("rtn_loss", rtn_loss);
    json_real("seconds", seconds);
    if (!rtn) json_real("damp", (double)f.damp);
    tool_say("%zu x %zu, %s, groups of %zu: loss %.6f, to nearest %.6f, %.3f s: %s\n", rows, cols,
             cq_format_name(desc.format), desc.group_size ? desc.group_size : cols, loss, rtn_loss, seconds, out_path);
    free(arena.base);
}
static const tool_option solve_options[] = {
    {"weight", "W.npy", 0, 0, "float32 [rows, cols]"},
    {"hessian", "H.npy", 0, 0, "float32 or float64 [cols, cols]: sum of x x^T over the inputs"},
    {"o", "Q.npy", 0, 0, "the quantised weight, dequantised: float32 [rows, cols]"},
    TOOL_GPTQ_OPTIONS,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_solve = {"solve",  "--weight W --hessian H -o Q", "GPTQ on one layer", 0, 0, solve_options,
                                run_solve};
