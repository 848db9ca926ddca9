/* cmd_study.c - commands to look into things: models, inspect, matrix, solve */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [MODELS]
   ================================================================================================================== */
static void run_models(void) {
    const char *text;
    json_open("models", '[');
    tool_say("%-16s %-12s describe  run  rotate  quantize\n", "model_type", "family");
    for (size_t i = 0; (text = cq_arch_builtin(i)) != NULL; i++) {
        cq_arch arch;
        cq_error err;
        tool_check(cq_arch_parse(&arch, text, strlen(text), &err), "built-in description", &err);
        const char *family = arch.diffusion ? "diffusion" : "causal";
        json_open(NULL, '{');
        json_bytes("model_type", arch.name.p, arch.name.n);
        json_text("family", family);
        json_bool("describes", true);
        json_bool("runs", true);
        json_bool("rotates", true);
        json_bool("quantizes", true);
        json_close();
        tool_say("%-16.*s %-12s %-8s  %-3s  %-6s  %s\n", (int)arch.name.n, arch.name.p, family, "yes", "yes", "yes",
                 "yes");
    }
    json_close();
}
static const tool_option no_options[] = {{NULL, NULL, 0, 0, NULL}};
const tool_command cmd_models = {"models", "", "the architectures that cquant knows", 0, 0, no_options, run_models};

/* ===================================================================================================================
   [INSPECT]
   ================================================================================================================== */
/* Bytes of all tensors as `export --dtype` lays them out: what is no matrix stays float32, with int4 the embedding and
   the head are int8, and 64 columns share a scale. */
static uint64_t format_bytes(const tool_model *t, cq_format format) {
    uint64_t sum = 0;
    cq_part part;
    for (size_t i = 0; cq_model_part(&t->m, NULL, i, &part); i++) {
        cq_tensor x;
        tool_export_tensor(&x, &part, format, 64);
        sum += x.bytes;
    }
    return sum;
}

static void inspect_groups(const tool_model *t, size_t layer) {
    const cq_model *m = &t->m;
    for (size_t i = 0; i < m->arch.blocks; i++) {
        const cq_block *b = &m->blocks[layer * m->arch.blocks + i];
        cq_role roles[CQ_ROLE_COUNT];
        for (size_t g = 0; g < CQ_ROLE_COUNT; g++) {
            size_t n = cq_block_group(b, g, roles);
            if (!n) continue;
            json_open(NULL, '[');
            for (size_t r = 0; r < n; r++) {
                const cq_str *prefix = &b->desc->prefix, *name = &b->desc->role[roles[r]].name;
                const cq_tensor *w = &b->lin[roles[r]].w;
                char *path = tool_format("%.*s.%.*s", (int)prefix->n, prefix->p, (int)name->n, name->p);
                json_text(NULL, path);
                tool_say("  %s %-30s %6zu x %-6zu %s%s\n", r ? " " : "-", path, w->rows, w->cols,
                         cq_format_name(w->format), b->lin[roles[r]].bias ? " + bias" : "");
                free(path);
            }
            json_close();
        }
    }
}

static const char *rotation_mode(size_t n) { /* as cq_rotate_plan_auto chooses */
    cq_hadamard h;
    cq_arena dry = cq_arena_over(NULL, 0);
    return cq_hadamard_init(&h, n, &dry, NULL) == CQ_OK ? "hadamard" : "orthogonal";
}

static void run_inspect(void) {
    tool_model t;
    cq_context ctx;
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    const cq_model *m = &t.m;
    static const size_t lengths[] = {128, 512, 2048, 8192};

    json_bytes("architecture", m->arch.name.p, m->arch.name.n);
    json_text("moe", "standard");
    json_int("parameters", (int64_t)m->parameters);
    json_int("layers", (int64_t)m->layers);
    tool_say("%.*s: %zu layers, hidden %zu, %zu heads of %zu (%zu for k and v), MLP %zu, vocabulary %zu%s\n",
             (int)m->arch.name.n, m->arch.name.p, m->layers, m->hidden, m->heads, m->head_dim, m->kv_heads, m->inter,
             m->vocab, m->tied ? ", embedding tied to the head" : "");
    tool_say("%zu parameters, %s\n\n", m->parameters, m->arch.diffusion ? "masked diffusion" : "causal");

    tool_say("bytes of the tensors of `cquant export`\n");
    json_open("bytes", '{');
    static const struct {
        const char *name;
        cq_format format;
    } sizes[] = {{"fp32", CQ_F32}, {"fp16", CQ_F16}, {"int8", CQ_INT8}, {"int4", CQ_INT4}};
    for (size_t i = 0; i < 4; i++) {
        uint64_t bytes = format_bytes(&t, sizes[i].format);
        json_int(sizes[i].name, (int64_t)bytes);
        tool_say("  %s %14llu\n", sizes[i].name, (unsigned long long)bytes);
    }
    json_close();

    tool_say("\ngroups of layer 0, in order; those of one group read the same input\n");
    json_open("groups", '[');
    inspect_groups(&t, 0);
    json_close();

    tool_say("\nblocks of layer 0\n");
    json_open("blocks", '[');
    for (size_t i = 0; i < m->arch.blocks; i++) {
        const cq_block *b = &m->blocks[i];
        const char *kind = b->desc->kind == CQ_BLOCK_MLP ? "mlp" : "attention";
        const char *mask = b->desc->kind == CQ_BLOCK_MLP ? "" : b->desc->causal ? "causal" : "full";
        json_open(NULL, '{');
        json_text("kind", kind);
        json_bytes("prefix", b->desc->prefix.p, b->desc->prefix.n);
        json_bytes("norm", b->desc->pre.p, b->desc->pre.n);
        if (*mask) json_text("mask", mask);
        if (*mask && b->window) json_int("window", (int64_t)b->window);
        json_close();
        tool_say("  %-10s %-12.*s after %.*s%s%s%s\n", kind, (int)b->desc->prefix.n, b->desc->prefix.p,
                 (int)b->desc->pre.n, b->desc->pre.p, *mask ? ", " : "", mask, b->q_norm ? ", norms of q and k" : "");
    }
    json_close();

    tool_say("\nrotation (`cquant rotate`)\n");
    json_open("rotations", '[');
    for (int i = 0; i < 2; i++) {
        size_t dim = i ? m->head_dim : m->hidden;
        json_open(NULL, '{');
        json_text("name", i ? "r2" : "r1");
        json_int("dim", (int64_t)dim);
        json_text("mode", rotation_mode(dim));
        json_bool("per_layer", i == 1);
        json_close();
        tool_say("  %s %-10s of order %-6zu %s\n", i ? "r2" : "r1", rotation_mode(dim), dim,
                 i ? "each head, between v and o; one a layer" : "residual stream");
    }
    json_close();

    tool_say("\nmemory of a session, bytes        activations           cache\n");
    json_open("memory", '[');
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cq_session s;
        cq_session_desc desc;
        cq_error err;
        cq_arena hot = cq_arena_over(NULL, 0), cold = cq_arena_over(NULL, 0);
        if (i && m->max_position && lengths[i] > m->max_position) break;
        memset(&desc, 0, sizeof desc);
        desc.max_tokens = lengths[i];
        tool_model_check(&t, cq_session_init(&s, &ctx, m, &desc, &hot, &cold, &err), &err);
        json_open(NULL, '{');
        json_int("tokens", (int64_t)lengths[i]);
        json_int("hot", (int64_t)hot.used);
        json_int("cold", (int64_t)cold.used);
        json_close();
        tool_say("  %6zu tokens             %15zu %15zu\n", lengths[i], hot.used, cold.used);
    }
    json_close();
}
const tool_command cmd_inspect = {"inspect",  "MODEL",    "shape, groups, rotation plan and memory of a model", 1, 1,
                                  no_options, run_inspect};

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
    size_t n = (tool_need("dim"), tool_size("dim", 0));
    const char *name = tool_text("mode", "hadamard"), *out_path = tool_need("o"), *apply = tool_text("apply", NULL);
    cq_rotate_mode mode = !strcmp(name, "orthogonal")      ? CQ_ROTATE_ORTHOGONAL
                          : !strcmp(name, "base_hadamard") ? CQ_ROTATE_BASE_HADAMARD
                                                           : CQ_ROTATE_HADAMARD;
    tool_context(&ctx);
    cq_arena arena = cq_arena_over(NULL, 0);
    if (mode != CQ_ROTATE_ORTHOGONAL) {
        cq_hadamard h;
        if (cq_hadamard_init(&h, n, &arena, &err) == CQ_ERR_UNSUPPORTED) {
            size_t below, above;
            cq_hadamard_nearest(n, &below, &above);
            tool_fail(NULL, "--dim %zu: no Hadamard matrix of this order %s; the nearest orders are %zu and %zu", n,
                      n > 2 && n % 4 ? "exists (above 2 it must be a multiple of 4)" : "can be built", below, above);
        }
        arena = cq_arena_over(NULL, 0);
    }
    tool_check(cq_rotation_init(&r, mode, n, tool.seed, 0, &arena, &err), "--dim", &err);
    arena = tool_arena(arena.used);
    tool_check(cq_rotation_init(&r, mode, n, tool.seed, 0, &arena, &err), "--dim", &err);
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
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_matrix = {"matrix", "--dim N -o R.npy", "a rotation matrix, or its product with yours", 0, 0,
                                 matrix_options, run_matrix};

/* ===================================================================================================================
   [SOLVE]
   ================================================================================================================== */
void tool_gptq_options(cq_gptq_desc *desc, bool *rtn) {
    static const char *const search[] = {"pivots", "diagonal", "uniform", "minmax"};
    int64_t group = tool_int("group-size", 128);
    memset(desc, 0, sizeof *desc);
    if (tool_has("sym") && tool_has("asym")) tool_usage("--sym and --asym exclude each other");
    if (tool_has("act-order") && tool_has("order")) tool_usage("--act-order and --order exclude each other");
    if (group == 0) tool_usage("--group-size: '0' must be a number of columns, or -1 for the whole row");
    *rtn = !strcmp(tool_text("method", "gptq"), "rtn");
    desc->bits = (unsigned)tool_size("bits", 4);
    desc->group_size = group < 0 ? 0 : (size_t)group;
    desc->asym = tool_has("asym");
    desc->order = tool_has("act-order")                          ? CQ_GPTQ_ACT_GROUPS
                  : !strcmp(tool_text("order", "static"), "natural") ? CQ_GPTQ_NATURAL
                                                                 : CQ_GPTQ_ACT_STATIC;
    desc->damp = (float)tool_real("damp", 0);
    for (int i = 0; i < 4; i++)
        if (!strcmp(tool_text("search", "pivots"), search[i])) desc->search = (cq_gptq_search)i;
    desc->sweeps = (unsigned)tool_size("sweeps", 2);
    if (!desc->sweeps) desc->sweeps = CQ_GPTQ_NO_SWEEPS;
    desc->no_refit = tool_has("no-refit");
}

/* tr(E H E^T) for E = W - Q (Q NULL: W), in double, with four sums so that the machine has something to overlap. */
typedef struct trace_job {
    const float *w, *q;
    const double *h;
    size_t cols;
    double *e, *sum; /* (rows, cols), (rows) */
} trace_job;
static void trace_row(void *arg, size_t r) {
    const trace_job *j = (const trace_job *)arg;
    size_t n = j->cols;
    double *e = j->e + r * n, total = 0.0;
    for (size_t k = 0; k < n; k++) e[k] = (double)j->w[r * n + k] - (j->q ? (double)j->q[r * n + k] : 0.0);
    for (size_t i = 0; i < n; i++) {
        const double *h = j->h + i * n;
        double s[4] = {0, 0, 0, 0};
        size_t k = 0;
        for (; k + 4 <= n; k += 4)
            for (size_t l = 0; l < 4; l++) s[l] += h[k + l] * e[k + l];
        for (; k < n; k++) s[0] += h[k] * e[k];
        total += e[i] * ((s[0] + s[1]) + (s[2] + s[3]));
    }
    j->sum[r] = total;
}
static double trace(const cq_context *ctx, const float *w, const float *q, const double *h, size_t rows, size_t cols) {
    trace_job j = {
        w, q, h, cols, (double *)tool_alloc(rows * cols, sizeof(double)), (double *)tool_alloc(rows, sizeof(double))};
    double total = 0.0;
    cq_parallel_for(ctx, rows, trace_row, &j);
    for (size_t r = 0; r < rows; r++) total += j.sum[r];
    free(j.e);
    free(j.sum);
    return total;
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
    double *hd = tool_npy_doubles(&hn), largest = 0.0;
    for (size_t i = 0; i < cols * cols; i++) largest = fabs(hd[i]) > largest ? fabs(hd[i]) : largest;
    for (size_t i = 0; i < cols; i++)
        for (size_t j = 0; j < i; j++)
            if (fabs(hd[i * cols + j] - hd[j * cols + i]) > 1e-4 * largest)
                tool_fail(h_path, "is not symmetric at row %zu, column %zu: %g and %g", i, j, hd[i * cols + j],
                          hd[j * cols + i]);

    size_t padded = (cols + 31) / 32 * 32;
    if (desc.group_size > padded) desc.group_size = 0;
    size_t groups = cq_gptq_groups(&desc, cols);
    cq_gptq_result out;
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_hessian_alloc(&h, &arena, cols);
    tool_check(cq_gptq_factor(&ctx, &f, &h, &desc, &arena, &err), h_path, &err);
    tool_check(cq_gptq_solve(&ctx, &desc, &f, NULL, cols, rows, NULL, &arena, &err), w_path, &err);
    arena = tool_arena(arena.used);
    out.codes = (uint8_t *)tool_alloc(rows, cols);
    out.grids = (cq_grid *)tool_alloc(rows * groups, sizeof *out.grids);
    out.g_idx = (uint32_t *)tool_alloc(cols, sizeof *out.g_idx);
    out.report = NULL;
    float *q = (float *)tool_alloc(rows * cols, sizeof *q);

    double seconds, damp = 0.0, whole = trace(&ctx, w, NULL, hd, rows, cols); /* 0: W has no output at all */
    if (!isfinite(whole))
        for (size_t i = 0; i < cols * cols; i++)
            if (!isfinite(hd[i]))
                tool_fail(h_path, "holds a number that is not finite, at row %zu, column %zu", i / cols, i % cols);
    double start = tool_seconds();
    cq_gptq_desc nearest = desc;
    nearest.order = CQ_GPTQ_NATURAL;
    tool_check(cq_gptq_rtn(&nearest, w, cols, rows, cols, &out, &err), w_path, &err);
    cq_gptq_dequantize(&nearest, &out, rows, cols, q);
    seconds = tool_seconds() - start;
    double rtn_loss = whole > 0.0 ? trace(&ctx, w, q, hd, rows, cols) / whole : 0.0, loss = rtn_loss;
    if (!rtn) {
        start = tool_seconds();
        cq_hessian_alloc(&h, &arena, cols);
        for (size_t i = 0; i < cols * cols; i++) h.h[i] = (float)hd[i];
        h.tokens = cols;
        tool_check(cq_gptq_factor(&ctx, &f, &h, &desc, &arena, &err), h_path, &err);
        tool_check(cq_gptq_solve(&ctx, &desc, &f, w, cols, rows, &out, &arena, &err), w_path, &err);
        cq_gptq_dequantize(&desc, &out, rows, cols, q);
        damp = (double)f.damp;
        seconds = tool_seconds() - start;
        loss = whole > 0.0 ? trace(&ctx, w, q, hd, rows, cols) / whole : 0.0;
    }
    tool_out *file = tool_npy_create(out_path, TOOL_F32, 2, wn.shape);
    tool_write_floats(file, q, rows * cols);
    tool_close(file);
    json_real("loss", loss);
    json_real("rtn_loss", rtn_loss);
    json_real("seconds", seconds);
    if (!rtn) json_real("damp", damp);
    tool_say("%zu x %zu, %u bits, groups of %zu: loss %.6f, to nearest %.6f, %.3f s: %s\n", rows, cols, desc.bits,
             desc.group_size ? desc.group_size : cols, loss, rtn_loss, seconds, out_path);
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
