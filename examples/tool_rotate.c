/* tool_rotate.c - what turns a model: --rotate, --config, --matrices, --online, and what is said of it (see tool.h) */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [ONLINE ROTATIONS]
   ================================================================================================================== */
/* r3 or r4, with :N or without, up to a comma or the end; moves on behind it */
static bool read_order(const char **text, size_t order[2]) {
    const char *p = *text;
    if (p[0] != 'r' || (p[1] != '3' && p[1] != '4')) return false;
    size_t *n = &order[p[1] - '3'];
    if (*n) return false; /* twice */
    *n = CQ_ONLINE_WIDEST;
    p += 2;
    if (*p == ':') {
        size_t digits = strspn(p + 1, "0123456789");
        *n = (size_t)strtoul(p + 1, NULL, 10);
        if (!digits || digits > 9 || *n < 2) return false;
        p += 1 + digits;
    }
    *text = p;
    return *p == 0 || *p == ',';
}

bool tool_online(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *text) {
    size_t order[2] = {0, 0};
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_error err;
    for (const char *p = text;; p++) {
        if (!read_order(&p, order)) return false;
        if (!*p) break;
    }
    if (cq_rotate_plan_online(plan, ctx, &t->m, order[0], order[1], &arena, &err)) tool_fail_error(t->path, &err);
    arena = tool_arena(arena.used);
    if (cq_rotate_plan_online(plan, ctx, &t->m, order[0], order[1], &arena, &err)) tool_fail_error(t->path, &err);
    return true;
}

static size_t online_order(const cq_block *b, const cq_rotate_plan *plan) {
    if (plan && plan->online_at[b->desc]) return plan->online[plan->online_at[b->desc] - 1].n;
    return b->online ? b->online->n : 0;
}
void tool_report_online(const cq_model *m, const cq_rotate_plan *plan) {
    for (int r4 = 0; r4 < 2; r4++)
        for (size_t i = 0; i < m->block_count; i++) {
            size_t n = online_order(&m->blocks[i], plan), same = 0, k;
            for (k = 0; k < m->block_count; k++) {
                if (online_order(&m->blocks[k], plan) != n || (m->blocks[k].kind > CQ_BLOCK_MLA) != r4) continue;
                if (k < i) break; /* named already */
                same++;
            }
            if (!n || (m->blocks[i].kind > CQ_BLOCK_MLA) != r4 || k < m->block_count) continue;
            json_open(NULL, '{');
            json_text("name", r4 ? "r4" : "r3");
            json_int("dim", (int64_t)n);
            json_text("mode", "base_hadamard");
            json_bool("per_layer", false);
            json_bool("online", true);
            json_int("blocks", (int64_t)same);
            json_close();
            tool_say("rotation %s: base_hadamard of order %zu, online, in %zu blocks (%s)\n", r4 ? "r4" : "r3", n, same,
                     r4 ? "what down reads" : "queries and keys");
        }
}

/* ===================================================================================================================
   [PLANS]
   ================================================================================================================== */
static const char *builtin(const char *config, const char **text) {
    const char *name;
    for (size_t i = 0; (name = cq_rotate_builtin(i, text)) != NULL && strcmp(name, config) != 0; i++) {}
    return name;
}
bool tool_rotation_is_file(const char *config) {
    const char *text;
    return strcmp(config, "auto") && strncmp(config, "auto:", 5) && !builtin(config, &text);
}

/* What --config or --rotate names as JSON; NULL: auto. A name of a built-in configuration comes before a file. */
static cq_json *rotation_config(const char *config) {
    const char *text = NULL, *name;
    size_t len;
    cq_json *j = tool_alloc(1, sizeof *j);
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_error err;
    if (!strcmp(config, "auto")) return NULL;
    name = builtin(config, &text);
    if (name) {
        len = strlen(text);
    } else {
        const char *dot = strrchr(config, '.');
        if (!tool_exists(config))
            tool_fail(config, "is no file, and no rotation that is built in: auto, transformer_universal, nemotron_h");
        tool_file f = dot && !strcmp(dot, ".json")
                          ? tool_map(config)
                          : tool_yaml(config, "should be a mapping with rotation_matrices and rotation_config");
        text = (const char *)f.data;
        len = f.size;
    }
    tool_check(cq_json_parse(j, text, len, &dry, &err), config, &err);
    arena = tool_arena(dry.used);
    tool_check(cq_json_parse(j, text, len, &arena, &err), config, &err);
    return j;
}

/* NAME.npy, NAME.LAYER.npy in the directory that --matrices names: in the places of those of the plan. */
static void import_matrices(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *dir) {
    cq_rotate_matrix at;
    cq_error err;
    size_t count = 0, missing = 0;
    char *names = tool_format("%s", "");
    while (cq_rotate_plan_matrix(plan, &t->m, count, &at)) {
        char *file = tool_format("%s/%s.npy", dir, at.file);
        if (!tool_exists(file)) {
            char *more = tool_format("%s%s%s.npy", names, missing ? ", " : "", at.file);
            if (missing++ < 8) {
                free(names);
                names = more;
            }
        }
        free(file);
        count++;
    }
    if (missing)
        tool_fail(dir, "lacks %zu of %zu matrices: %s%s", missing, count, names, missing > 8 ? ", ..." : "");
    free(names);
    const double **matrix = tool_alloc(count, sizeof *matrix);
    double **mine = tool_alloc(count, sizeof *mine);
    for (size_t i = 0; cq_rotate_plan_matrix(plan, &t->m, i, &at); i++) {
        char *file = tool_format("%s/%s.npy", dir, at.file);
        tool_npy a = tool_npy_read(file);
        size_t n = at.r->n;
        if (a.dtype != TOOL_F32 && a.dtype != TOOL_F64)
            tool_fail(file, "elements are %s, and must be float32 or float64", tool_dtype_name(a.dtype));
        if (a.ndim != 2 || a.shape[0] != n || a.shape[1] != n)
            tool_fail(file, "must have the shape (%zu, %zu): what turns by '%.*s' has so many channels", n, n,
                      (int)at.name.n, at.name.p);
        double *work = tool_alloc(n, sizeof *work);
        matrix[i] = mine[i] = tool_npy_doubles(&a);
        double off = cq_orthogonality_probe(matrix[i], n, work);
        if (!(off <= CQ_ORTHOGONALITY_LIMIT))
            tool_fail(file, "is not orthogonal: x R R^T differs from x by %.3g for a vector x of ones and minus ones, "
                            "and should by at most %g", off, CQ_ORTHOGONALITY_LIMIT);
        free(work);
    }
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_check(cq_rotate_plan_import(plan, ctx, &t->m, NULL, &arena, &err), dir, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_rotate_plan_import(plan, ctx, &t->m, matrix, &arena, &err), dir, &err);
    for (size_t i = 0; i < count; i++) free(mine[i]);
    free(mine);
    free(matrix);
}

void tool_rotation(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *config,
                   const char *matrices) {
    char *end = NULL;
    unsigned long block = strncmp(config, "auto:", 5) ? 0 : strtoul(config + 5, &end, 10);
    if (end && (*end || block < 2 || block > 1ul << 24 || config[5] == '-'))
        tool_usage("%s: auto:N has a number of channels of at least 2", config);
    cq_json *j = block ? NULL : rotation_config(config);
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_error err;
    for (int pass = 0; pass < 2; pass++) {
        cq_status st = j       ? cq_rotate_plan_config(plan, ctx, &t->m, j, tool.seed, &arena, &err)
                       : block ? cq_rotate_plan_blocks(plan, ctx, &t->m, block, tool.seed, &arena, &err)
                               : cq_rotate_plan_auto(plan, ctx, &t->m, tool.seed, &arena, &err);
        if (st && j && err.name == plan->text && err.name_len)
            tool_fail(config, "%s: %.*s", err.what, (int)err.name_len, err.name);
        if (st) tool_fail_error(j ? config : t->path, &err);
        if (!pass) arena = tool_arena(arena.used);
    }
    for (size_t i = 0; i < (t->m.two_streams ? 2u : 1u); i++) {
        const cq_rotate_stream *r1 = &plan->r1[i];
        if (r1->on) continue;
        tool_note("%s: the %s stream is not rotated: %s%s%.*s", t->path, i ? "text" : "residual", r1->why,
                  r1->why_name.n ? ": " : "", (int)r1->why_name.n, r1->why_name.p);
    }
    if (!plan->r2_count) tool_note("%s: the values of the heads are not rotated", t->path);
    if (matrices) import_matrices(plan, ctx, t, matrices);
}

/* --save-matrices: as --matrices reads them. They are the rotations alone: where the norms are LayerNorms, a reflection
   that follows from R1 comes behind it. */
tool_dir *tool_save_matrices(const cq_rotate_plan *plan, const cq_model *m) {
    cq_rotate_matrix at;
    if (!tool_has("save-matrices")) return NULL;
    tool_dir *dir = tool_dir_create(tool_text("save-matrices", NULL));
    for (size_t i = 0; cq_rotate_plan_matrix(plan, m, i, &at); i++) {
        char *name = tool_format("%s.npy", at.file);
        size_t shape[2] = {at.r->n, at.r->n};
        double *x = tool_alloc(at.r->n * at.r->n, sizeof *x);
        cq_rotation_matrix(at.r, x);
        tool_out *out = tool_npy_create(tool_dir_file(dir, name), TOOL_F64, 2, shape);
        tool_write_doubles(out, x, at.r->n * at.r->n);
        tool_close(out);
        free(x);
        free(name);
    }
    return dir;
}

const cq_rotate_plan *tool_rotation_options(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t) {
    const char *rotate = tool_text("rotate", NULL), *online = tool_text("online", NULL);
    memset(plan, 0, sizeof *plan);
    if (rotate) tool_rotation(plan, ctx, t, rotate, tool_text("matrices", NULL));
    if (online && !tool_online(plan, ctx, t, online))
        tool_usage("--online %s: should be " TOOL_ONLINE_HELP, online);
    return rotate || online ? plan : NULL;
}

/* ===================================================================================================================
   [REPORT]
   ================================================================================================================== */
void tool_report_r1(const cq_rotate_plan *plan, const cq_model *m) {
    static const char *const keys[2][3] = {{"r1", "why", "why_name"}, {"r1_text", "why_text", "why_text_name"}};
    for (size_t i = 0; i < (m->two_streams ? 2u : 1u); i++) {
        const cq_rotate_stream *r1 = &plan->r1[i];
        if ((r1->on && r1->r.n != 1) || !r1->why) continue; /* of order 1: the norms are folded, no more */
        json_null(keys[i][0]);
        json_text(keys[i][1], r1->why);
        if (r1->why_name.n) json_bytes(keys[i][2], r1->why_name.p, r1->why_name.n);
        else json_null(keys[i][2]);
        tool_say("no rotation of the %s stream: %s%s%.*s\n", i ? "text" : "residual", r1->why,
                 r1->why_name.n ? ": " : "", (int)r1->why_name.n, r1->why_name.p);
    }
}

static const char *mode_name(const cq_rotation *r) {
    return r->mode == CQ_ROTATE_HADAMARD     ? "hadamard"
           : r->mode == CQ_ROTATE_ORTHOGONAL ? "orthogonal"
           : r->mode == CQ_ROTATE_DENSE      ? "imported"
                                             : "base_hadamard";
}
/* Those of one name and order count as one. */
static void report_rotation(const cq_rotate_plan *plan, const cq_model *m, size_t index, const cq_rotate_matrix *at) {
    cq_rotate_matrix other;
    size_t blocks = 0;
    for (size_t i = 0; cq_rotate_plan_matrix(plan, m, i, &other); i++) {
        bool same = other.name.n == at->name.n && !memcmp(other.name.p, at->name.p, at->name.n) &&
                    other.r->n == at->r->n && !other.block == !at->block;
        if (same && i < index) return;
        if (same) blocks += other.blocks;
    }
    json_open(NULL, '{');
    json_bytes("name", at->name.p, at->name.n);
    json_int("dim", (int64_t)at->r->n);
    json_text("mode", mode_name(at->r));
    json_bool("per_layer", at->per != CQ_PER_MODEL);
    if (blocks) json_int("blocks", (int64_t)blocks);
    json_close();
    tool_say("rotation %.*s: %s of order %zu", (int)at->name.n, at->name.p, mode_name(at->r), at->r->n);
    if (blocks && at->per == CQ_PER_LAYER) tool_say(", one a layer in %zu", blocks);
    else if (blocks) tool_say(", in %zu blocks", blocks);
    tool_say("\n");
}
/* What a configuration left open, and what was done about it. */
static void report_notes(const cq_rotate_plan *plan, bool completed) {
    json_open(completed ? "completed" : "notes", '[');
    for (const cq_rotate_note *n = plan->notes; n; n = n->next) {
        if (n->completed != completed) continue;
        json_open(NULL, '{');
        if (*n->module) json_text("module", n->module);
        json_text("what", n->what);
        json_text("why", n->why);
        if (n->modules) json_int("modules", (int64_t)n->modules);
        json_close();
        tool_say("%s: %s%s%s (%s)\n", completed ? "completed" : "note", n->module, *n->module ? ": " : "", n->what,
                 n->why);
    }
    json_close();
}
void tool_report_rotations(const cq_rotate_plan *plan, const cq_model *m) {
    const cq_rotate_stream *r1 = &plan->r1[0];
    cq_rotate_matrix at;
    json_open("rotations", '[');
    for (size_t i = 0; cq_rotate_plan_matrix(plan, m, i, &at); i++) report_rotation(plan, m, i, &at);
    tool_report_online(m, plan);
    json_close();
    if (r1->on && r1->r.n == 1) tool_say("the norms are folded\n");
    tool_report_r1(plan, m);
    json_bool("norms_folded", r1->on);
    json_bool("use_float64", plan->use_float64);
    report_notes(plan, true);
    report_notes(plan, false);
}
