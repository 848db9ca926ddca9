/* tool_policy.c - mixed precision: the configurations of --config, and what is said of them (see tool_write.h) */
#include "tool_write.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [BUILT-IN]  one for each of the four kinds of experts that AlphaQuant knows (its document on mixtures of experts),
   with patterns that match what the checkpoints really call their linears: DeepSeek's shared_experts, Mixtral's w1, w2,
   w3; and with 32 columns a block for mxfp6, which the document has with 64. Routers are never quantised.
   ================================================================================================================== */
static const struct {
    const char *name, *model_type, *json; /* what each is for: `quantize --help`, its table of options */
} builtin[] = {
    {"olmoe", "olmoe",
     "{\"default\": {\"wq\": \"int4\", \"aq\": \"bf16\", \"group_size\": 128}, \"overrides\": ["
     "{\"pattern\": \"*.self_attn.*\", \"wq\": \"mxfp6\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.experts.*.gate_proj\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.experts.*.up_proj\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.experts.*.down_proj\", \"wq\": \"int4\", \"group_size\": 64}, "
     "{\"pattern\": \"*.mlp.gate\", \"skip\": true}]}"},
    {"qwen", "qwen2_moe",
     "{\"default\": {\"wq\": \"int4\", \"aq\": \"bf16\", \"group_size\": 128}, \"overrides\": ["
     "{\"pattern\": \"*.mlp.experts.*\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.shared_expert.*\", \"wq\": \"mxfp6\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.*gate\", \"skip\": true}]}"},
    {"mixtral", "mixtral",
     "{\"default\": {\"wq\": \"int4\", \"aq\": \"bf16\", \"group_size\": 128}, \"overrides\": ["
     "{\"pattern\": \"*.block_sparse_moe.experts.*.w1\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.block_sparse_moe.experts.*.w3\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.block_sparse_moe.experts.*.w2\", \"wq\": \"int4\", \"group_size\": 128}, "
     "{\"pattern\": \"*.block_sparse_moe.gate\", \"skip\": true}]}"},
    {"deepseek", "deepseek",
     "{\"default\": {\"wq\": \"int4\", \"aq\": \"bf16\", \"group_size\": 128}, \"overrides\": ["
     "{\"pattern\": \"*.mlp.experts.*\", \"wq\": \"mxfp4\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.shared_experts.*\", \"wq\": \"mxfp6\", \"group_size\": 32}, "
     "{\"pattern\": \"*.mlp.gate\", \"skip\": true}]}"},
};
#define BUILTINS (sizeof builtin / sizeof *builtin)

/* ===================================================================================================================
   [READING]
   ================================================================================================================== */
#define FORMAT_NAMES "int2, int3, int4, int8, fp8, mxfp8, mxfp6, mxfp4, bf16, fp16"

typedef struct reader {
    const char *path;
    cq_json j;
    const char *where; /* "default", "override 3", the module's name: for errors */
} reader;

static char *words_of(const reader *r, uint32_t node) { /* the JSON of a value, not too much of it */
    size_t n = r->j.nodes[node].end - r->j.nodes[node].begin, most = 60;
    return tool_format("%.*s%s", (int)(n < most ? n : most), r->j.text + r->j.nodes[node].begin, n < most ? "" : "...");
}
static char *string_of(const reader *r, uint32_t node, size_t *len) {
    *len = cq_json_unescape(&r->j, node, NULL, 0);
    char *text = tool_alloc(*len + 1, 1);
    cq_json_unescape(&r->j, node, text, *len);
    return text;
}

/* Edits that turn a into b: a letter more, one less, another one, or two neighbours the other way round. */
static size_t edits(const char *a, size_t n, const char *b, size_t m) {
    size_t d[3][40];
    if (n >= 39 || m >= 39) return n > m ? n : m;
    for (size_t k = 0; k <= m; k++) d[0][k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = d[i % 3], *last = d[(i + 2) % 3], *before = d[(i + 1) % 3];
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t least = last[k - 1] + (a[i - 1] != b[k - 1]);
            if (last[k] + 1 < least) least = last[k] + 1;
            if (now[k - 1] + 1 < least) least = now[k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && before[k - 2] + 1 < least)
                least = before[k - 2] + 1;
            now[k] = least;
        }
    }
    return d[n % 3][m];
}

/* The index of a key among known ones; else an error if it looks like one of them, or -1: it may pass. */
static int key_of(const reader *r, uint32_t key, const char *const *known, int count) {
    size_t len;
    char *text = string_of(r, key, &len);
    int found = -1;
    for (int i = 0; i < count && found < 0; i++)
        if (len == strlen(known[i]) && !memcmp(text, known[i], len)) found = i;
    for (int i = 0; i < count && found < 0; i++) {
        size_t n = strlen(known[i]), limit = n < 6 ? 1 : 2;
        if ((len > 1 && edits(text, len, known[i], n) <= limit) || (len > 2 && len < n && !memcmp(text, known[i], len)))
            tool_fail(r->path, "%s: there is no key \"%s\"; \"%s\" is probably meant", r->where, text, known[i]);
    }
    free(text);
    return found;
}

/* The value of "wq". What AlphaQuant has and others do not read is an error that says what would be nearest. */
static cq_format format_of(const reader *r, uint32_t node) {
    static const struct {
        const char *name;
        cq_format format;
    } floats[] = {{"bf16", CQ_BF16}, {"fp16", CQ_F16}, {"f16", CQ_F16}, {"fp32", CQ_F32}, {"f32", CQ_F32}};
    cq_format format = CQ_FORMAT_COUNT;
    if (cq_json_kind(&r->j, node) == CQ_JSON_STRING) {
        size_t len;
        char *name = string_of(r, node, &len);
        format = tool_coded_format(name, len);
        for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
            if (!strcmp(name, floats[i].name)) format = floats[i].format;
        if (!strcmp(name, "fp4") || !strcmp(name, "fp6"))
            tool_fail(r->path, "%s: \"wq\" is \"%s\", one scale for a whole tensor; mx%s has one for 32 columns",
                      r->where, name, name);
        free(name);
    }
    if (format == CQ_FORMAT_COUNT)
        tool_fail(r->path, "%s: \"wq\" is %s; there are " FORMAT_NAMES, r->where, words_of(r, node));
    return format;
}

/* "extra": {"format": "e3m2"}: which numbers of 6 bits mxfp6 means; other extras pass */
static cq_format extra_of(const reader *r, uint32_t extra, cq_format format) {
    uint32_t kind = cq_json_find(&r->j, extra, "format");
    bool e2m3 = cq_json_string_eq(&r->j, kind, "e2m3"), e3m2 = cq_json_string_eq(&r->j, kind, "e3m2");
    if (!kind || (format != CQ_MXFP6_E2M3 && format != CQ_MXFP6_E3M2)) return format;
    if (!e2m3 && !e3m2)
        tool_fail(r->path, "%s: \"extra\" has the format %s; mxfp6 is \"e2m3\" (more precise) or \"e3m2\"", r->where,
                  words_of(r, kind));
    return e2m3 ? CQ_MXFP6_E2M3 : CQ_MXFP6_E3M2;
}

enum { KEY_PATTERN, KEY_WQ, KEY_BITS, KEY_AQ, KEY_GROUP_SIZE, KEY_SYM, KEY_ASYM, KEY_SKIP, KEY_EXTRA, KEY_COUNT };
static const char *const rule_keys[] = {"pattern", "wq",   "bits", "aq",   "group_size",
                                        "sym",     "asym", "skip", "extra"};

/* {"wq": "int4", "group_size": 64, ...} */
static void read_rule(const reader *r, uint32_t object, cq_policy_rule *rule) {
    const cq_json *j = &r->j;
    uint32_t value[KEY_COUNT] = {0};
    int64_t n;
    bool yes;
    if (cq_json_kind(j, object) != CQ_JSON_OBJECT)
        tool_fail(r->path, "%s is %s, and should be an object", r->where, words_of(r, object));
    for (uint32_t key = cq_json_child(j, object); key; key = cq_json_next(j, key)) {
        int k = key_of(r, key, rule_keys, KEY_COUNT); /* others, "comment" and "description" say, pass */
        if (k >= 0) value[k] = cq_json_child(j, key);
    }
    if (value[KEY_WQ]) {
        rule->format = format_of(r, value[KEY_WQ]);
        if (value[KEY_EXTRA]) rule->format = extra_of(r, value[KEY_EXTRA], rule->format);
        rule->set |= CQ_POLICY_FORMAT;
    }
    if (value[KEY_BITS]) {
        bool whole = cq_json_int(j, value[KEY_BITS], &n);
        cq_format format = cq_format_int(whole && n > 0 && n < 9 ? (unsigned)n : 0);
        if (!value[KEY_WQ] && format == CQ_FORMAT_COUNT)
            tool_fail(r->path, "%s: \"bits\" is %s, and should be 2, 3, 4 or 8", r->where,
                      words_of(r, value[KEY_BITS]));
        if (value[KEY_WQ] && (!whole || n < 0 || cq_format_bits(rule->format) != (uint64_t)n))
            tool_fail(r->path, "%s: \"wq\" is %s and \"bits\" is %s; one of them is enough", r->where,
                      words_of(r, value[KEY_WQ]), words_of(r, value[KEY_BITS]));
        if (!value[KEY_WQ]) rule->format = format;
        rule->set |= CQ_POLICY_FORMAT;
    }
    if (value[KEY_AQ]) {
        static const char *const none[] = {"bf16", "fp16", "f16", "fp32", "f32", "float"};
        bool is_float = false;
        for (size_t i = 0; i < sizeof none / sizeof *none; i++)
            is_float = is_float || cq_json_string_eq(j, value[KEY_AQ], none[i]);
        if (!is_float && !cq_json_string_eq(j, value[KEY_AQ], "int8"))
            tool_fail(r->path, "%s: \"aq\" is %s; activations are floats (bf16, fp16) or int8, one scale a token",
                      r->where, words_of(r, value[KEY_AQ]));
        rule->act_bits = is_float ? 0 : 8;
        rule->set |= CQ_POLICY_ACTS;
    }
    if (rule->act_bits && rule->set & CQ_POLICY_FORMAT && !cq_format_has_q8(rule->format))
        tool_fail(r->path, "%s: \"aq\" int8 cannot meet weights in %s; integers, mxfp4 and mxfp6 can be multiplied so",
                  r->where, cq_format_name(rule->format));
    if (value[KEY_GROUP_SIZE]) {
        if (!cq_json_int(j, value[KEY_GROUP_SIZE], &n) || n < -1 || n == 0 || n > (1 << 20) || (n > 0 && n % 16))
            tool_fail(r->path, "%s: \"group_size\" is %s, and should be a multiple of 16 up to 1048576, or -1: the "
                               "whole row", r->where, words_of(r, value[KEY_GROUP_SIZE]));
        rule->group_size = n < 0 ? 0 : (size_t)n;
        rule->set |= CQ_POLICY_GROUP_SIZE;
        if (rule->set & CQ_POLICY_FORMAT && cq_format_is_mx(rule->format) && rule->group_size != 32)
            tool_fail(r->path, "%s: %s with \"group_size\" %s; a microscaling block has 32 columns: write 32, or leave "
                               "it out", r->where, cq_format_name(rule->format), words_of(r, value[KEY_GROUP_SIZE]));
    }
    for (int k = KEY_SYM; k <= KEY_SKIP; k++) {
        if (!value[k]) continue;
        if (!cq_json_bool(j, value[k], &yes))
            tool_fail(r->path, "%s: \"%s\" is %s, and should be true or false", r->where, rule_keys[k],
                      words_of(r, value[k]));
        if (k == KEY_SKIP) rule->skip = yes;
        if (k != KEY_SKIP && rule->set & CQ_POLICY_ASYM && rule->asym != (yes == (k == KEY_ASYM)))
            tool_fail(r->path, "%s: \"sym\" and \"asym\" contradict each other; one of them is enough", r->where);
        if (k != KEY_SKIP) rule->asym = yes == (k == KEY_ASYM);
        rule->set |= k == KEY_SKIP ? CQ_POLICY_SKIP : CQ_POLICY_ASYM;
    }
    if (rule->asym && rule->set & CQ_POLICY_FORMAT && !cq_format_is_int(rule->format))
        tool_fail(r->path, "%s: %s has no zero points, integers have; leave \"asym\" out", r->where,
                  cq_format_name(rule->format));
}

static cq_policy_rule *next_rule(cq_policy *policy) {
    cq_policy_rule *rule = &policy->rules[policy->count++];
    memset(rule, 0, sizeof *rule);
    return rule;
}

/* {"model.layers.0.mlp.up_proj": {"wq": "int4", ...}, ...}: a rule for each module */
static void read_plan(reader *r, cq_policy *policy) {
    const cq_json *j = &r->j;
    for (uint32_t key = cq_json_child(j, 0); key; key = cq_json_next(j, key)) {
        cq_policy_rule *rule = next_rule(policy);
        char *name = string_of(r, key, &rule->pattern_len);
        rule->pattern = r->where = name;
        if (cq_json_kind(j, cq_json_child(j, key)) != CQ_JSON_OBJECT)
            tool_fail(r->path, "\"%s\" should be \"default\", \"overrides\", or the name of a module with an object",
                      name);
        read_rule(r, cq_json_child(j, key), rule);
        if (cq_json_find(j, cq_json_child(j, key), "pattern"))
            tool_fail(r->path, "%s: a plan by module names has no \"pattern\"; overrides do", name);
    }
}

static void read_overrides(reader *r, uint32_t list, cq_policy *policy) {
    const cq_json *j = &r->j;
    size_t number = 0;
    if (cq_json_kind(j, list) != CQ_JSON_ARRAY)
        tool_fail(r->path, "\"overrides\" is %s, and should be an array", words_of(r, list));
    for (uint32_t e = cq_json_child(j, list); e; e = cq_json_next(j, e)) {
        char *where = tool_format("override %zu", ++number);
        cq_policy_rule *rule = next_rule(policy);
        r->where = where;
        read_rule(r, e, rule);
        uint32_t pattern = cq_json_find(j, e, "pattern");
        if (!pattern || cq_json_kind(j, pattern) != CQ_JSON_STRING || !j->nodes[pattern].end ||
            j->nodes[pattern].end == j->nodes[pattern].begin)
            tool_fail(r->path, "%s should have a \"pattern\", such as \"*.o_proj\"", where);
        rule->pattern = string_of(r, pattern, &rule->pattern_len);
        free(where);
    }
}

cq_policy *tool_policy_read(const char *config, bool format_given) {
    static const char *const top[] = {"default", "overrides"};
    const char *name = strncmp(config, "mixed:", 6) ? config : config + 6, *text = NULL;
    size_t len = 0;
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_error err;
    reader r;
    memset(&r, 0, sizeof r);
    r.path = config;
    for (size_t i = 0; i < BUILTINS && !text; i++)
        if (!strcmp(name, builtin[i].name) || !strcmp(name, builtin[i].model_type)) text = builtin[i].json;
    if (text) {
        len = strlen(text);
    } else {
        if (name != config || !tool_exists(config)) {
            char *names = tool_format("%s", builtin[0].name);
            for (size_t i = 1; i < BUILTINS; i++) names = tool_format("%s, %s", names, builtin[i].name);
            tool_fail(config, "is neither a file nor a built-in configuration; there are %s", names);
        }
        tool_file f = tool_map(config);
        text = (const char *)f.data;
        len = f.size;
    }
    tool_check(cq_json_parse(&r.j, text, len, &dry, &err), config, &err);
    arena = tool_arena(dry.used);
    tool_check(cq_json_parse(&r.j, text, len, &arena, &err), config, &err);
    if (cq_json_kind(&r.j, 0) != CQ_JSON_OBJECT)
        tool_fail(config, "should hold one JSON object with \"default\" and \"overrides\"");
    uint32_t list = cq_json_find(&r.j, 0, "overrides"), common = cq_json_find(&r.j, 0, "default");
    bool plan = !list && !common && r.j.nodes[0].count;
    r.where = "the outermost object";
    for (uint32_t key = cq_json_child(&r.j, 0); key; key = cq_json_next(&r.j, key)) key_of(&r, key, top, 2);
    cq_policy *policy = tool_alloc(1, sizeof *policy);
    policy->rules = tool_alloc((list ? r.j.nodes[list].count : plan ? r.j.nodes[0].count : 0) + 1,
                               sizeof(cq_policy_rule));
    if (common || plan) {
        cq_policy_rule *rule = next_rule(policy);
        r.where = "default";
        if (common) read_rule(&r, common, rule);
        if (common && cq_json_find(&r.j, common, "pattern"))
            tool_fail(config, "\"default\" is for all modules and has no \"pattern\"; overrides do");
        if (!(rule->set & CQ_POLICY_FORMAT) && !format_given) { /* no wq is bf16, as upstream has it */
            rule->set |= CQ_POLICY_FORMAT;
            rule->format = CQ_F32;
            tool_note("%s: %s; modules that no rule gives a \"wq\" stay as they are (--bits is for them)", config,
                      common ? "its default has no \"wq\"" : "it lists modules");
        }
    }
    if (plan) read_plan(&r, policy);
    if (list) read_overrides(&r, list, policy);
    return policy;
}

/* ===================================================================================================================
   [MATCHING]
   ================================================================================================================== */
size_t tool_module_len(const cq_part *part) { return part->name_len - strlen(".weight"); }

bool tool_policy_names(cq_policy *policy, const cq_part *part, cq_policy_choice *choice) {
    size_t len = tool_module_len(part);
    bool named = false;
    for (size_t i = 0; i < policy->count; i++) {
        const cq_policy_rule *r = &policy->rules[i];
        named = named || (r->pattern && cq_glob(r->pattern, r->pattern_len, part->name, len));
    }
    if (named) cq_policy_resolve(policy, part->name, len, choice);
    return named;
}

const char *tool_why_kept(const cq_linear *l) {
    switch (l->role) {
    case CQ_ROLE_ROUTER: return "router";
    case CQ_ROLE_SHARED_MIX: return "gate of the shared expert";
    case CQ_ROLE_MIX2: return "weighs experts and shared expert";
    case CQ_ROLE_EXPERT_IN:
    case CQ_ROLE_EXPERT_OUT: return "leads into or out of the experts";
    default: return "marked ! in the description";
    }
}

static bool is_weight(const cq_part *part) {
    return part->name_len > 7 && !memcmp(part->name + part->name_len - 7, ".weight", 7);
}

/* Letters by which a name misses a glob: a star takes any run for nothing, '?' any one. Sets count as letters. */
static size_t miss(const char *pattern, size_t n, const char *name, size_t len) {
    size_t row[2][257];
    if (len > 256) len = 256;
    for (size_t k = 0; k <= len; k++) row[0][k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i & 1], *last = row[(i - 1) & 1];
        bool star = pattern[i - 1] == '*';
        now[0] = last[0] + !star;
        for (size_t k = 1; k <= len; k++) {
            size_t least = last[k] + !star;
            if (now[k - 1] + !star < least) least = now[k - 1] + !star;
            if (!star && last[k - 1] + (pattern[i - 1] != '?' && pattern[i - 1] != name[k - 1]) < least)
                least = last[k - 1] + (pattern[i - 1] != '?' && pattern[i - 1] != name[k - 1]);
            now[k] = least;
        }
    }
    return row[n & 1][len];
}

/* Are the names alike but for their numbers? */
static bool same_kind(const char *a, size_t n, const char *b, size_t m) {
    size_t i = 0, k = 0;
    while (i < n && k < m) {
        bool digit = a[i] >= '0' && a[i] <= '9', other = b[k] >= '0' && b[k] <= '9';
        if (digit != other || (!digit && a[i] != b[k])) return false;
        if (!digit) i++, k++;
        while (digit && i < n && a[i] >= '0' && a[i] <= '9') i++;
        while (digit && k < m && b[k] >= '0' && b[k] <= '9') k++;
    }
    return i == n && k == m;
}

#define NEAREST 3
void tool_policy_warn(const cq_policy *policy, const char *config, const tool_parts *p) {
    for (size_t i = 0; i < policy->count; i++) {
        const cq_policy_rule *r = &policy->rules[i];
        const cq_part *kept = NULL, *near[NEAREST] = {NULL};
        size_t miss_of[NEAREST], taken = 0;
        bool found = false;
        for (size_t k = 0; r->pattern && k < p->count && !found; k++) {
            const cq_part *part = &p->part[k];
            if (!is_weight(part) || !cq_glob(r->pattern, r->pattern_len, part->name, tool_module_len(part))) continue;
            if (part->matrix && !(part->kind == CQ_PART_LINEAR && part->linear->keep)) found = true;
            else if (!kept || part->matrix) kept = part;
        }
        if (found || !r->pattern) continue;
        if (kept) {
            if (!(r->set & CQ_POLICY_SKIP && r->skip))
                tool_note("%s: pattern %.*s matches only what is never quantised (%.*s: %s)", config,
                          (int)r->pattern_len, r->pattern, (int)tool_module_len(kept), kept->name,
                          kept->matrix ? tool_why_kept(kept->linear) : "a vector");
            continue;
        }
        for (size_t k = 0; k < p->count; k++) {
            const cq_part *part = &p->part[k];
            if (!part->matrix || !is_weight(part)) continue;
            size_t m = miss(r->pattern, r->pattern_len, part->name, tool_module_len(part)), at = taken;
            for (size_t n = 0; n < taken; n++)
                if (same_kind(part->name, part->name_len, near[n]->name, near[n]->name_len)) at = n;
            if (at < taken && m >= miss_of[at]) continue;
            if (at == taken && taken == NEAREST && m >= miss_of[--at]) continue;
            if (at == taken) taken++;
            for (; at && m < miss_of[at - 1]; at--) {
                near[at] = near[at - 1];
                miss_of[at] = miss_of[at - 1];
            }
            near[at] = part;
            miss_of[at] = m;
        }
        char *names = tool_format("%s", taken ? "; the nearest are" : "");
        for (size_t n = 0; n < taken; n++) {
            char *more = tool_format("%s%s %.*s", names, n ? "," : "", (int)tool_module_len(near[n]), near[n]->name);
            free(names);
            names = more;
        }
        tool_note("%s: pattern %.*s matches no module%s", config, (int)r->pattern_len, r->pattern, names);
        free(names);
    }
}

/* ===================================================================================================================
   [AUTOMATIC]  formats by measured sensitivity, --target-bits

   What a module loses in a format is measured where it counts, at the output of the model: with this one module
   quantised, and all others as they are, the KL divergence of what the model says. Losses of layers do not tell: an
   error of one percent in the first layer and in the last is not the same to those who read the text. To second order
   the divergence is a quadratic form of the errors, and errors of different modules hardly agree in direction, so the
   sum over the modules stands for the whole. For the same reason one format is measured, and the others follow: the
   divergence grows as the square of the error of the weights, which is known of every format at once.

   Then every module begins with the fewest bits, and the step with the most divergence saved for a bit is taken, again
   and again, while there are bits left; a step may leave out a format that is not worth its bits. Experts of one kind
   in one layer get one format: a single one sees too few of the tokens to be measured.

   Held-out KL of a trained Dream of 5 M parameters, groups of 64, relative to uniform int4 (at 4.25 bits) and int3 (at
   3.25): by the losses of layers 0.87 and 0.69; each module measured in each of four formats 0.52 and 0.42; in one of
   them 0.51 and 0.42; in one, rounded to nearest instead of by GPTQ, 0.54 and 0.47; 512 tokens instead of 2048 measure
   as well. On SmolLM2-135M, whose modules are more alike, 0.96 at 4.25 bits: there the errors of all modules together
   cost 1.7 times the sum, which this way of measuring does not see.
   ================================================================================================================== */
typedef struct unit { /* linears that get one format */
    size_t block, first, count; /* count linears (experts) from linear `first` of the block */
    size_t weights;
    double kl;                                    /* measured, in the format of the probe */
    double bits[TOOL_LADDER], error[TOOL_LADDER]; /* of all of them: bits with scales, |W - Q|^2 to nearest */
    double cost[TOOL_LADDER];
    size_t choice;
} unit;

#define JUDGED_WINDOWS 4 /* of so many tokens, and so many predictions: more of them choose hardly better */
#define JUDGED_TOKENS 128
#define JUDGED_ROWS 64

static bool in_experts(cq_role role) { return role >= CQ_ROLE_EXPERT_GATE && role <= CQ_ROLE_EXPERT_DOWN; }

void tool_ladder_read(tool_ladder *l, const char *words, double bits) {
    if (!words) words = "int2,int3,int4,int8";
    for (const char *p = words; *p; p += *p == ',') {
        size_t n = strcspn(p, ","), at = l->count;
        cq_format f = tool_coded_format(p, n);
        if (f == CQ_FORMAT_COUNT)
            tool_usage("--ladder: '%.*s' is no format; int2, int3, int4, int8, fp8, mxfp8, mxfp6, mxfp4 are", (int)n,
                       p);
        for (size_t i = 0; i < l->count; i++)
            if (l->format[i] == f) tool_usage("--ladder: %.*s stands there twice", (int)n, p);
        if (l->count == TOOL_LADDER) tool_usage("--ladder: at most %d formats", TOOL_LADDER);
        for (; at && cq_format_bits(l->format[at - 1]) > cq_format_bits(f); at--) l->format[at] = l->format[at - 1];
        l->format[at] = f;
        l->count++;
        p += n;
    }
    if (l->count < 2) tool_usage("--ladder: at least two formats, separated by commas, are needed");
    l->probe = l->format[0];
    for (size_t i = 1; i < l->count; i++)
        if ((double)cq_format_bits(l->format[i]) <= bits) l->probe = l->format[i];
}

/* How a linear is stored in a format of the ladder. */
static cq_tensor stored_as(const tool_ladder *l, cq_format format, const cq_linear *lin) {
    size_t group = cq_format_is_mx(format) ? 32 : l->gptq.group_size;
    cq_tensor t;
    cq_error err;
    tool_check(cq_tensor_init(&t, format, CQ_PANELS, lin->w.rows, lin->w.cols, group >= lin->w.cols ? 0 : group,
                              l->gptq.asym && cq_format_is_int(format), &err), l->base->path, &err);
    return t;
}

static unit *units_of(const tool_ladder *l, size_t *count) {
    const cq_model *m = &l->quantised->m;
    size_t n = 0, step;
    for (size_t b = 0; b < m->block_count; b++) n += m->blocks[b].linears;
    unit *list = tool_alloc(n, sizeof *list);
    *count = 0;
    for (size_t b = 0; b < m->block_count; b++)
        for (size_t i = 0; i < m->blocks[b].linears; i += step) {
            const cq_linear *lin = m->blocks[b].lin + i;
            unit *u = &list[*count];
            for (step = 1; in_experts(lin->role) && i + step < m->blocks[b].linears; step++)
                if (lin[step].role != lin->role) break;
            if (!cq_format_is_coded(lin->w.format)) continue; /* never quantised */
            u->block = b;
            u->first = i;
            u->count = step;
            for (size_t e = 0; e < step; e++) {
                u->weights += lin[e].w.rows * lin[e].w.cols;
                for (size_t f = 0; f < l->count; f++)
                    u->bits[f] += 8.0 * (double)stored_as(l, l->format[f], &lin[e]).bytes;
            }
            (*count)++;
        }
    return list;
}

/* "model.layers.0.mlp.up_proj"; of experts "model.layers.0.mlp.experts.*.up_proj" */
static char *unit_name(const cq_model *m, const unit *u) {
    const cq_block *b = &m->blocks[u->block];
    char one[256], other[256];
    size_t n = cq_module_name(m, b, b->lin + u->first, one, sizeof one), head = 0, tail = 0, k;
    if (u->count == 1) return tool_format("%s", one);
    k = cq_module_name(m, b, b->lin + u->first + 1, other, sizeof other);
    while (head < n && head < k && one[head] == other[head]) head++;
    while (tail < n - head && tail < k - head && one[n - 1 - tail] == other[k - 1 - tail]) tail++;
    return tool_format("%.*s*%s", (int)head, one, one + n - tail);
}

/* |W - Q|^2 of a unit in every format of the ladder; one task each. */
typedef struct error_job {
    const tool_ladder *l;
    unit *units;
} error_job;
static void error_task(void *arg, size_t index) {
    const error_job *j = arg;
    unit *u = &j->units[index];
    for (size_t e = u->first; e < u->first + u->count; e++) {
        const cq_linear *lin = &j->l->base->m.blocks[u->block].lin[e];
        float *w = tool_alloc(lin->w.cols, sizeof *w);
        for (size_t r = 0; r < lin->w.rows; r++) {
            cq_tensor_row(&lin->w, r, w);
            for (size_t f = 0; f < j->l->count; f++) {
                cq_tensor t = stored_as(j->l, j->l->format[f], lin);
                for (size_t c = 0; c < t.cols; c += t.group_size) {
                    size_t n = t.cols - c < t.group_size ? t.cols - c : t.group_size;
                    cq_grid g = cq_grid_minmax(w + c, n, t.format, t.asym);
                    for (size_t k = c; k < c + n; k++) {
                        double d = (double)w[k] - (double)cq_grid_value(g, cq_grid_code(g, w[k]));
                        u->error[f] += d * d;
                    }
                }
            }
        }
        free(w);
    }
}

/* The linears of a unit as they are in `from`; kept: as they were. from NULL: back. */
static void swap_linears(cq_model *m, const cq_model *from, const unit *u, cq_tensor *kept) {
    for (size_t e = 0; e < u->count; e++) {
        cq_tensor *w = &m->blocks[u->block].lin[u->first + e].w;
        if (from) kept[e] = *w;
        *w = from ? from->blocks[u->block].lin[u->first + e].w : kept[e];
    }
}

/* The divergence with each unit alone quantised. What stands before the unit's layer is run once for all. */
static void measure(tool_ladder *l, const cq_context *ctx, unit *units, size_t count) {
    cq_model *m = &l->base->m;
    cq_session_desc desc;
    tool_gauge g;
    size_t windows = l->samples < JUDGED_WINDOWS ? l->samples : JUDGED_WINDOWS, most = 1, done = 0, judged = 0;
    size_t tokens = l->seq_len < JUDGED_TOKENS ? l->seq_len : JUDGED_TOKENS;
    size_t x_bytes = tokens * m->hidden * sizeof(float);
    uint32_t *at = tool_alloc(tokens, sizeof *at);
    int32_t *target = tool_alloc(tokens, sizeof *target);
    float *x = tool_alloc(x_bytes, 1);
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = tokens;
    tool_gauge_open(&g, ctx, l->base, NULL, &desc);
    for (size_t i = 0; i < count; i++) most = units[i].count > most ? units[i].count : most;
    cq_tensor *kept = tool_alloc(most, sizeof *kept);
    for (size_t w = 0; w < windows; w++) {
        const int32_t *ids = l->ids + (w * l->samples / windows) * l->seq_len;
        size_t n = 0, few = 0, limit = JUDGED_ROWS < g.tile ? JUDGED_ROWS : g.tile, next;
        cq_input in;
        for (size_t p = 0; p < tokens; p++) { /* rows that predict a masked token, or the next one */
            if (m->arch.diffusion && ids[p] != m->mask_id) continue;
            at[n++] = (uint32_t)(p && m->arch.diffusion && m->arch.shift ? p - 1 : p);
        }
        for (size_t i = 0; n > limit && i < limit; i++) at[few++] = at[(2 * i + 1) * n / (2 * limit)];
        n = few ? few : n;
        if (!n) continue;
        judged += n;
        tool_gauge_hold(&g, ids, tokens, at, n);
        memset(&in, 0, sizeof in);
        in.ids = ids;
        in.n = tokens;
        cq_prepare(&g.s, &in);
        cq_embed(&g.s, &in);
        memcpy(x, g.s.x, x_bytes);
        for (size_t b = 0, i = 0; b < m->block_count; b = next) {
            for (next = b + 1; next < m->block_count && m->blocks[next].layer == m->blocks[b].layer;) next++;
            for (; i < count && units[i].block < next; i++) {
                double before = g.kl;
                memcpy(g.s.x, x, x_bytes);
                swap_linears(m, &l->quantised->m, &units[i], kept);
                for (size_t k = b; k < m->block_count; k++) cq_run_block(&g.s, &m->blocks[k], &in, NULL);
                swap_linears(m, NULL, &units[i], kept);
                tool_gauge_judge(&g, at, target, n);
                units[i].kl += g.kl - before;
                tool_progress("measuring", ++done, windows * count);
            }
            memcpy(g.s.x, x, x_bytes);
            for (size_t k = b; k < next; k++) cq_run_block(&g.s, &m->blocks[k], &in, NULL);
            memcpy(x, g.s.x, x_bytes);
        }
    }
    if (!judged) tool_fail(l->base->path, "--target-bits: the calibration windows have no token to predict");
    for (size_t i = 0; i < count; i++) units[i].kl = units[i].kl > 0 ? units[i].kl / (double)judged : 0;
    tool_progress("measuring", 1, 1);
    tool_gauge_close(&g);
    free(at);
    free(target);
    free(kept);
    free(x);
}

/* Raises choices from the first format while `room` bits are left. Of equal gains the first. */
static void allocate(unit *units, size_t count, size_t formats, double room) {
    for (;;) {
        double best = 0;
        size_t which = count, to = 0;
        for (size_t i = 0; i < count; i++) {
            const unit *u = &units[i];
            for (size_t f = u->choice + 1; f < formats; f++) {
                double more = u->bits[f] - u->bits[u->choice], gain = u->cost[u->choice] - u->cost[f];
                if (more > room || !(gain > 0) || (more > 0 && gain <= best * more)) continue;
                best = more > 0 ? gain / more : INFINITY;
                which = i;
                to = f;
            }
        }
        if (which == count) return;
        room -= units[which].bits[to] - units[which].bits[units[which].choice];
        units[which].choice = to;
    }
}

cq_policy *tool_policy_target(tool_ladder *l, const cq_context *ctx, double bits) {
    size_t count, most = 0, probe = 0, used[TOOL_LADDER] = {0};
    unit *units = units_of(l, &count);
    double weights = 0, least = 0, total = 0, predicted = 0;
    for (size_t i = 0; i < count; i++) {
        weights += (double)units[i].weights;
        least += units[i].bits[0];
    }
    if (!count) tool_fail(l->base->path, "--target-bits: there is nothing to quantise");
    if (least > bits * weights)
        tool_fail(l->base->path, "--target-bits %g; with %s everywhere it has %.3f bits for a weight already", bits,
                  cq_format_name(l->format[0]), least / weights);
    error_job job = {l, units};
    cq_parallel_for(ctx, count, error_task, &job);
    measure(l, ctx, units, count);
    for (size_t f = 0; f < l->count; f++)
        if (l->format[f] == l->probe) probe = f;
    for (size_t i = 0; i < count; i++)
        for (size_t f = 0; f < l->count; f++)
            units[i].cost[f] = units[i].error[probe] > 0 ? units[i].kl * units[i].error[f] / units[i].error[probe] : 0;
    allocate(units, count, l->count, bits * weights - least);
    for (size_t i = 0; i < count; i++) used[units[i].choice] += units[i].weights;
    for (size_t f = 1; f < l->count; f++) most = used[f] > used[most] ? f : most;
    cq_policy *policy = tool_alloc(1, sizeof *policy);
    policy->rules = tool_alloc(count + 1, sizeof *policy->rules);
    next_rule(policy)->format = l->format[most];
    policy->rules[0].set = CQ_POLICY_FORMAT;
    json_open("sensitivity", '[');
    for (size_t i = 0; i < count; i++) {
        const unit *u = &units[i];
        char *name = unit_name(&l->base->m, u);
        json_open(NULL, '{');
        json_text("name", name);
        json_text("format", cq_format_name(l->format[u->choice]));
        json_real("kl", u->cost[u->choice]);
        json_real("probe_kl", u->kl);
        json_close();
        tool_say("%-48s %-10s KL %.2e; in %s %.2e\n", name, cq_format_name(l->format[u->choice]), u->cost[u->choice],
                 cq_format_name(l->probe), u->kl);
        total += u->bits[u->choice];
        predicted += u->cost[u->choice];
        if (u->choice == most) continue;
        cq_policy_rule *rule = next_rule(policy);
        rule->pattern = name;
        rule->pattern_len = strlen(name);
        rule->format = l->format[u->choice];
        rule->set = CQ_POLICY_FORMAT;
    }
    json_close();
    json_text("probe", cq_format_name(l->probe));
    json_real("bits_per_weight", total / weights);
    json_real("predicted_kl", predicted);
    tool_say("%.4f bits for a weight, of %g; the sum of the KL of each alone %.5f nats\n\n", total / weights, bits,
             predicted);
    free(units);
    return policy;
}

/* "wq" and what goes with it, of one rule */
static char *fields_of(cq_format format, const cq_gptq_desc *gptq) {
    size_t group = cq_format_is_mx(format) ? 32 : gptq->group_size;
    return tool_format("\"wq\": \"%s\", \"group_size\": %lld%s", cq_format_name(format), group ? (long long)group : -1,
                       gptq->asym && cq_format_is_int(format) ? ", \"asym\": true" : "");
}
char *tool_policy_text(const cq_policy *policy, const cq_gptq_desc *gptq) {
    char *fields = fields_of(policy->rules[0].format, gptq);
    char *text = tool_format("{\"default\": {%s},\n \"overrides\": [", fields);
    for (size_t i = 1; i < policy->count; i++) {
        char *name = tool_json_text(policy->rules[i].pattern), *before = text;
        free(fields);
        fields = fields_of(policy->rules[i].format, gptq);
        text = tool_format("%s%s\n  {\"pattern\": %s, %s}", before, i > 1 ? "," : "", name, fields);
        free(before);
        free(name);
    }
    char *all = tool_format("%s\n]}\n", text);
    free(fields);
    free(text);
    return all;
}
