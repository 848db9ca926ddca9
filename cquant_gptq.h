/* cquant_gptq.h - v0.3.0 - the best few-bit weights for one layer: GPTQ, explained and solved

   A linear layer computes y = W x. Rounding W to a few bits gives Q, and what matters is not W - Q but the error of the
   output: the sum of |(W - Q) x|^2 over typical inputs x, which is tr((W - Q) H (W - Q)^T) with H = sum of x x^T. GPTQ
   rounds one column after the other and lets the columns that are still free make up for the error of those that are
   not.

   In exactly ONE source file:            everywhere else:
       #define CQUANT_IMPLEMENTATION          #include "cquant_gptq.h"
       #include "cquant_gptq.h"               (it includes cquant.h)

   Quantise a matrix to int4 for the inputs it will see, and pack it:

       float w[16 * 64], x[256 * 64];                       // fill w (rows, cols) and x (tokens, cols)
       uint8_t codes[16 * 64];
       cq_grid grids[16 * 1];                               // one group of 64 columns a row
       unsigned char memory[98304], packed[4096];           // memory: aligned to CQ_ALIGN
       cq_context ctx;
       cq_hessian h;
       cq_factor f;
       cq_tensor t;
       cq_gptq_desc desc = {CQ_INT4};                       // and the best defaults that we know
       cq_gptq_result out = {codes, grids, NULL, NULL};
       cq_arena arena = cq_arena_over(memory, sizeof memory);
       desc.group_size = 64;
       cq_init(&ctx, NULL, NULL);
       cq_hessian_alloc(&h, &arena, 64);
       cq_hessian_add(&ctx, &h, x, 64, 256, NULL, NULL);    // as often as there are inputs
       if (cq_gptq_factor(&ctx, &f, &h, &desc, &arena, NULL) == CQ_OK &&                 // once per H
           cq_gptq_solve(&ctx, &desc, &f, w, 64, 16, &out, &arena, NULL) == CQ_OK) {     // for each W that reads x
           cq_tensor_init(&t, CQ_INT4, CQ_PANELS, 16, 64, 64, false, NULL);
           cq_pack_panel(&t, packed, 0, codes, 64, grids, 1);
       }

   DOES NOT: run models (cquant_models.h does), choose bit-widths, keep the calibration inputs, allocate, print.

   CONTENTS  declarations  [HESSIAN] [OPTIONS OF THE SOLVER] [FACTOR] [SOLVE] [POLICY]
             in plain C    [LESSON 1 what to minimise] [LESSON 2 the plain algorithm] [LESSON 3 the factor]
                           [LESSON 4 grids] [LESSON 5 sixteen rows at a time] [LESSON 6 second thoughts]
                           [LESSON 7 the whole layer] [LESSON 8 policies]

   MEMORY  Hessian: 4 cols^2 bytes; factor: another 4 cols^2 (it works on a copy: H is never changed, and must stay, for
           the solver and the report read it); solver: about 900 cols bytes a slot (see cq_gptq_desc). Everything comes
           from a cq_arena; the same calls on an arena without memory are the size query:
               cq_arena a = cq_arena_over(NULL, 0);
               cq_hessian_alloc(&h, &a, cols);
               cq_gptq_factor(&ctx, &f, &h, &desc, &a, NULL);
               cq_gptq_solve(&ctx, &desc, &f, NULL, cols, rows, NULL, &a, NULL);      // a.used: bytes in all
           Nothing is freed: note arena.used before a call, put it back after, and the memory is free again.
   THREADS Through the context. The result does not depend on their number, nor on `slots`.
   STACK   Under 1 KB a call.

   Sources: Frantar et al., "GPTQ", arXiv 2210.17323; the form without an inverse is LDLQ, Chee et al., "QuIP", arXiv
   2307.13304; both are Babai's nearest plane, arXiv 2507.18553. Licence: see the end of cquant.h. */
#ifndef CQUANT_GPTQ_H
#define CQUANT_GPTQ_H

#include "cquant.h"

#if CQUANT_VERSION_NUM != 300
#error "cquant_gptq.h and cquant.h are of different versions: take both from one release"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [HESSIAN]  H = sum over tokens of x x^T: all that the solver needs to know of the calibration text
   ================================================================================================================== */
typedef struct cq_hessian {
    float *h;        /* (cols, cols), symmetric */
    size_t cols;
    uint64_t tokens; /* rows of X added so far (with a weight: only those whose weight is not 0) */
} cq_hessian;

CQUANT_DEF void cq_hessian_alloc(cq_hessian *h, cq_arena *arena, size_t cols); /* zeroed */
/* H += X^T X; X (n, ldx). With weight (n), each >= 0 (a routing probability, say): H += sum of weight[t] x[t] x[t]^T,
   through scratch (n, cols). The scale of H is of no importance: see LESSON 1. Many rows a call are faster than few. */
CQUANT_DEF void cq_hessian_add(const cq_context *ctx, cq_hessian *h, const float *x, size_t ldx, size_t n,
                               const float *weight, float *scratch);
/* into += from: two parts of the calibration text, seen on two machines. CQ_ERR_ARG when cols differ. */
CQUANT_DEF cq_status cq_hessian_merge(cq_hessian *into, const cq_hessian *from, cq_error *err);

/* ===================================================================================================================
   [OPTIONS OF THE SOLVER]  zero means the default
   ================================================================================================================== */
typedef enum cq_gptq_order {
    CQ_GPTQ_ACT_STATIC, /* columns of large H[c][c] first; groups are runs of columns, scales from the original W */
    CQ_GPTQ_NATURAL,    /* left to right; the scales of a group are chosen when it is reached, from updated weights */
    CQ_GPTQ_ACT_GROUPS  /* "desc_act": as ACT_STATIC, but groups are runs of the *permuted* columns, chosen when
                           reached: every column needs its group's number (g_idx); few runtimes still read that */
} cq_gptq_order;

typedef enum cq_gptq_search {
    CQ_GPTQ_SEARCH_PIVOTS,   /* scales that minimise sum D_k (w_k - q_k)^2, D the pivots of H: LESSON 4 */
    CQ_GPTQ_SEARCH_DIAGONAL, /* sum H[k][k] (w_k - q_k)^2 */
    CQ_GPTQ_SEARCH_UNIFORM,  /* sum (w_k - q_k)^2 */
    CQ_GPTQ_MINMAX,          /* no search: the scale that just covers the group (microscaling: "ceil") */
    CQ_GPTQ_FLOOR            /* microscaling: the exponent of the standard's conversion; else as MINMAX */
} cq_gptq_search;

#define CQ_GPTQ_NO_SWEEPS 0xffffffffu

typedef struct cq_gptq_desc {
    cq_format format;      /* a coded one: integers, FP8, microscaling; 0 (CQ_F32): CQ_INT4 */
    size_t group_size;     /* columns that share a scale, >= 1, the last group may be shorter; 0: one group a row.
                              Microscaling: 32, also when 0 */
    bool asym;             /* integers: a zero point a group, instead of the middle code */
    cq_gptq_order order;
    float damp;            /* H + damp * mean(diag H) * I; (0, 1]; 0: 0.01. Grows until the factor exists */
    cq_gptq_search search;
    unsigned sweeps;       /* of coordinate descent over the codes afterwards; 0: 2; or CQ_GPTQ_NO_SWEEPS */
    bool no_refit;         /* leave the scales as chosen; else refitted to the final codes (not with ACT_GROUPS, and not
                              powers of two) */
    size_t slots;          /* rows are cut into this many independent tasks, each with its own scratch; 0: 4 */
} cq_gptq_desc;
/* The plain algorithm of the paper: order NATURAL, search MINMAX, sweeps NO_SWEEPS, no_refit true. */

/* *out = *desc with the defaults filled in (group_size: cols at most); CQ_ERR_ARG for nonsense. The other functions
   call it themselves. */
CQUANT_DEF cq_status cq_gptq_resolve(cq_gptq_desc *out, const cq_gptq_desc *desc, size_t cols, cq_error *err);
CQUANT_DEF size_t cq_gptq_groups(const cq_gptq_desc *desc, size_t cols); /* groups in a row */

/* ===================================================================================================================
   [FACTOR]  H + damping = U D U^T, once for all linears that read the same input
   ================================================================================================================== */
typedef struct cq_factor {
    const float *h;      /* (cols, cols): the Hessian as given; must outlive the factor */
    float *ut;           /* (cols, cols): the transpose of U, in processing order: ut[j][i] = U[i][j] for i < j, 1 on
                            the diagonal, 0 above. A row of ut is what one column needs to know of those before */
    float *d;            /* (cols): pivots, in processing order */
    uint32_t *perm;      /* (cols): perm[i] is the column that is processed i-th */
    size_t cols;
    cq_gptq_order order;
    float damp;          /* the damping that was needed */
    float lambda;        /* what it added to the diagonal: damp * mean(diag H) */
    size_t dead;         /* columns whose input was always 0 */
} cq_factor;

/* Factors h in desc->order with desc->damp. CQ_ERR_RANGE: H holds NaN or infinity (where = row, got = column).
   CQ_ERR_NOT_SPD: no factor even with damp = 1 (where = column at fault). CQ_ERR_MEMORY. With arena->base NULL it only
   counts: CQ_OK, and *f is good for nothing but a dry run of cq_gptq_solve. */
CQUANT_DEF cq_status cq_gptq_factor(const cq_context *ctx, cq_factor *f, const cq_hessian *h, const cq_gptq_desc *desc,
                                    cq_arena *arena, cq_error *err);

/* ===================================================================================================================
   [SOLVE]
   ================================================================================================================== */
typedef struct cq_gptq_report {
    double loss;     /* tr((W-Q) H (W-Q)^T) / tr(W H W^T), H undamped; 0 when W has no output at all */
    double rtn_loss; /* the same for rounding to nearest with minmax grids */
    float damp;
    size_t dead;
} cq_gptq_report;

typedef struct cq_gptq_result {
    uint8_t *codes;         /* (rows, cols), columns in natural order */
    cq_grid *grids;         /* (rows, cq_gptq_groups(desc, cols)) */
    uint32_t *g_idx;        /* (cols): group of each column; NULL: not wanted. Needed with CQ_GPTQ_ACT_GROUPS */
    cq_gptq_report *report; /* NULL: not wanted, which saves its time */
} cq_gptq_result;

/* Quantises w (rows, ldw). desc must have the order that f was made with. CQ_ERR_RANGE: w holds NaN or infinity
   (where = row, got = column). With arena->base NULL it only counts; w and out may then be NULL. */
CQUANT_DEF cq_status cq_gptq_solve(const cq_context *ctx, const cq_gptq_desc *desc, const cq_factor *f, const float *w,
                                   size_t ldw, size_t rows, const cq_gptq_result *out, cq_arena *arena, cq_error *err);
/* Round to nearest, minmax grids (floor, if desc->search says so), in the same form: for linears that saw no input.
   Uses format, group_size and asym.
   out->report must be NULL: there is no H to judge by. */
CQUANT_DEF cq_status cq_gptq_rtn(const cq_gptq_desc *desc, const float *w, size_t ldw, size_t rows, size_t cols,
                                 const cq_gptq_result *out, cq_error *err);
/* out (rows, cols) = the weights that codes, grids and g_idx (NULL: natural groups) stand for, exactly. */
CQUANT_DEF void cq_gptq_dequantize(const cq_gptq_desc *desc, const cq_gptq_result *q, size_t rows, size_t cols,
                                   float *out);

/* ===================================================================================================================
   [POLICY]  mixed precision: a default and overrides by module name, as in
   {"default": {"bits": 4}, "overrides": [{"pattern": "*.o_proj", "bits": 8}, {"pattern": "lm_head", "skip": true}]}
   ================================================================================================================== */
enum { CQ_POLICY_FORMAT = 1, CQ_POLICY_GROUP_SIZE = 2, CQ_POLICY_ASYM = 4, CQ_POLICY_SKIP = 8 };

typedef struct cq_policy_rule {
    const char *pattern; /* a glob, NOT zero-terminated; NULL: every name (the default) */
    size_t pattern_len;
    unsigned set;        /* which of the fields below this rule sets: CQ_POLICY_... */
    cq_format format;
    size_t group_size;
    bool asym;
    bool skip;           /* leave the module in floating point */
    size_t matched;      /* names that this rule applied to; counted by cq_policy_resolve */
} cq_policy_rule;

typedef struct cq_policy {
    cq_policy_rule *rules;
    size_t count;
} cq_policy;

/* Writes what the policy says of `name` over *desc and *skip: every matching rule in order, field by field, so that the
   later wins. Fields that no rule sets keep the value they came with. */
CQUANT_DEF void cq_policy_resolve(cq_policy *policy, const char *name, size_t len, cq_gptq_desc *desc, bool *skip);
/* Index >= from of a rule that never applied, or count: a misspelt pattern must not pass in silence. */
CQUANT_DEF size_t cq_policy_unmatched(const cq_policy *policy, size_t from);
/* Glob over the whole name: * any run (dots too), ? any one, [abc] [a-z] [!a-z] sets, the rest literally. As Python's
   fnmatchcase. */
CQUANT_DEF bool cq_glob(const char *pattern, size_t pattern_len, const char *name, size_t len);

#ifdef __cplusplus
}
#endif
#endif /* CQUANT_GPTQ_H */

/* ###################################################################################################################
   Implementation
   ################################################################################################################## */
#if defined(CQUANT_IMPLEMENTATION) && !defined(CQUANT__GPTQ_IMPLEMENTED)
#define CQUANT__GPTQ_IMPLEMENTED
#include "cquant.h" /* its implementation, should this file have been included without it before */

#if defined(__clang__) /* no fused multiply-add: see cquant.h */
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if !__STDC_HOSTED__
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [LESSON 1 what to minimise]
   Let w be one row of W, q its rounded version, e = w - q. The layer's output changes by e x for an input x, and over
   all the calibration inputs the squared change is
       sum over x of (e x)^2 = e (sum of x x^T) e^T = e H e^T.
   So H holds everything: columns whose inputs are loud have a large H[c][c], and H[c][d] says how far an error in
   column c can be undone in column d. Every row has the same H and its own e: rows are independent problems.

   The scale of H is of no importance. Twice the H is twice the loss of every candidate, hence the same winner, and the
   damping below is relative to the mean of the diagonal. So H is a plain sum: two halves of a calibration text simply
   add up, on one machine or on two.

   A weight per token makes some errors matter more. In a mixture of experts the output of an expert is multiplied by
   its routing probability p, so its squared error by p^2 (or, softer, by p): sum of weight x x^T is the H of the inputs
   scaled by sqrt(weight).

   Damping. With fewer tokens than columns H is singular: some directions were never seen, and a solver that believes H
   thinks that errors there are free. H + lambda I says that every error costs something.
   ================================================================================================================== */
static void *cq__alloc_2d(cq_arena *arena, size_t a, size_t b, size_t size) { /* a * b elements, checked */
    size_t n;
    if (!cq__mul(a, b, &n)) {
        arena->failed = true;
        return NULL;
    }
    return cq_alloc(arena, n, size);
}
CQ__INLINE bool cq__finite(float v) { return v - v == 0.0f; }

CQUANT_DEF void cq_hessian_alloc(cq_hessian *h, cq_arena *arena, size_t cols) {
    h->h = (float *)cq__alloc_2d(arena, cols, cols, sizeof(float));
    h->cols = cols;
    h->tokens = 0;
}

CQUANT_DEF void cq_hessian_add(const cq_context *ctx, cq_hessian *h, const float *x, size_t ldx, size_t n,
                               const float *weight, float *scratch) {
    size_t kept = 0;
    if (!weight) {
        cq_syrk(ctx, h->h, h->cols, x, ldx, n, h->cols);
        h->tokens += n;
        return;
    }
    for (size_t t = 0; t < n; t++) {
        float s = cq_sqrtf(weight[t]);
        if (s == 0.0f) continue;
        for (size_t c = 0; c < h->cols; c++) scratch[kept * h->cols + c] = x[t * ldx + c] * s;
        kept++;
    }
    cq_syrk(ctx, h->h, h->cols, scratch, h->cols, kept, h->cols);
    h->tokens += kept;
}

CQUANT_DEF cq_status cq_hessian_merge(cq_hessian *into, const cq_hessian *from, cq_error *err) {
    if (into->cols != from->cols)
        return cq_fail_at(err, CQ_ERR_ARG, "Hessians of different sizes cannot be merged", NULL, 0, UINT64_MAX,
                          (int64_t)from->cols);
    for (size_t i = 0; i < into->cols * into->cols; i++) into->h[i] = into->h[i] + from->h[i];
    into->tokens += from->tokens;
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 2 the plain algorithm]
   Write H = U D U^T with U upper triangular, ones on its diagonal, and D diagonal. With r = e U,
       e H e^T = (e U) D (e U)^T = sum over k of D_k r_k^2,     r_k = e_k + sum over j < k of e_j U_jk.
   A sum of squares, and r_k depends on the columns up to k only. Put e_k = w_k - q_k:
       r_k = x_k - q_k     with     x_k = w_k + sum over j < k of e_j U_jk.
   Going from left to right, x_k is known when column k is reached, and the q_k that makes its square least is x_k
   rounded to the nearest code. That is all of GPTQ: *round the weight plus the errors made so far, carried over by U*.
   As |r_k| <= scale / 2 when nothing is clipped, the loss is at most scale^2 / 4 times the sum of the D_k.

   What D_k means: it is what remains of H[k][k] after the later columns have made up for column k as well as real
   numbers can (a Schur complement). The first columns have many helpers and small D_k; the last one has none and D_k =
   H[k][k]. Hence "act order": loud columns first, while there are still others to make up for them.

   The paper says the same differently. It keeps W updated by "err / Hinv[k][k] * Hinv[k, k:]" and takes those rows
   from the upper Cholesky factor of the inverse of H, which is D^(-1/2) U^(-1): two factorisations and an inversion,
   4/3 cols^3 operations. U itself takes 1/3 cols^3. With given scales both choose the same codes. When scales are
   chosen on the way (order NATURAL), they are chosen from the x_k of a group, where the paper has weights that were
   also optimised within the group; on synthetic layers the losses then differ by 1 to 3 %, either way.

   The function below is the whole algorithm for one row, scales included: order NATURAL, search MINMAX, no sweeps, no
   refit. Nothing calls it but the tests, which compare the fast solver with it.
   ================================================================================================================== */
/* w, codes, x, e: (cols); grids: one per group. ut[k][j] = U_jk. */
CQ__UNUSED static void cq__gptq_plain(const float *ut, size_t cols, const float *w, cq_format format,
                                      size_t group_size, bool asym, uint8_t *codes, cq_grid *grids, float *x,
                                      float *e) {
    for (size_t k = 0; k < cols; k++) {
        size_t g = k / group_size, begin = g * group_size, end = cq__min(begin + group_size, cols);
        if (k == begin) { /* a new group: what its weights have become by the errors so far gives the scale */
            for (size_t c = begin; c < end; c++) {
                x[c] = w[c];
                for (size_t j = 0; j < begin; j++) x[c] = x[c] + e[j] * ut[c * cols + j];
            }
            grids[g] = cq_grid_minmax(x + begin, end - begin, format, asym);
        }
        for (size_t j = begin; j < k; j++) x[k] = x[k] + e[j] * ut[k * cols + j];
        codes[k] = cq_grid_code(grids[g], x[k]);
        e[k] = w[k] - cq_grid_value(grids[g], codes[k]);
    }
}

/* ===================================================================================================================
   [LESSON 3 the factor]
   H = U D U^T from the last column to the first. The last column of the product has one term only, U[:, n-1] D_{n-1}
   (as U[n-1][n-1] = 1), so D_{n-1} = H[n-1][n-1] and U[:, n-1] = H[:, n-1] / D_{n-1}. Take that term away from H, and
   the same is true of the next column to the left. (It is Cholesky's algorithm on the matrix with its indices reversed,
   without the square roots.) U is stored transposed, over the lower triangle of the symmetric matrix it came from.
   ================================================================================================================== */
/* a (n, lda): lower triangle in, strict lower triangle of U^T out; d (n): pivots. False, and the index, when a pivot is
   not above `least`. In: A + lambda I; no exact pivot of it is below lambda, so least = lambda / 2 means: rounding
   errors have eaten half of the damping, and what would come next is noise. */
static bool cq__udut(float *a, size_t lda, float *d, size_t n, float least, size_t *bad) {
    for (size_t k = n; k-- > 0;) {
        float *p = a + k * lda; /* p[c] = U[c][k] D_k */
        d[k] = p[k];
        if (!(d[k] > least && d[k] < CQ__INFINITY)) {
            *bad = k;
            return false;
        }
        for (size_t c = 0; c < k; c++) {
            float u = p[c] / d[k];
            for (size_t r = 0; r <= c; r++) a[c * lda + r] = a[c * lda + r] - u * p[r];
        }
        for (size_t c = 0; c < k; c++) p[c] = p[c] / d[k];
    }
    return true;
}

/* The same, 64 columns J at a time, so that nearly all the work is done by the f32 tile kernel (a tile: 16 columns of
   the result in the lanes). P = U D restricted to J is kept, negated, in v (64, cols):
     1. the square block H[J][J] by the function above;
     2. above it, H[r][k] = sum over t >= k in J of P[r][t] U[k][t], so P[r][k] = H[r][k] - (the terms t > k): 16 values
        of r are a task;
     3. what is left: H[r][c] -= sum over t in J of P[r][t] U[c][t], for r <= c: 16 values of r are a task. */
#define CQ__FACTOR_BLOCK 64u
typedef struct cq__factor_job {
    const cq_context *ctx;
    float *a;       /* (n, n) */
    const float *d; /* (n) */
    float *v;       /* (64, n) */
    size_t n, j0, nb;
} cq__factor_job;

static void cq__factor_panel(void *arg, size_t index) { /* step 2 */
    const cq__factor_job *job = (const cq__factor_job *)arg;
    size_t n = job->n, r0 = index * CQ__ROWS;
    for (size_t k = job->nb; k-- > 0;) {
        float *p = job->a + (job->j0 + k) * n + r0, *v = job->v + k * n + r0;
        if (k + 1 < job->nb)
            job->ctx->k->tile_f32(p, n, v + n, n, job->a + (job->j0 + k + 1) * n + job->j0 + k, n, 1,
                                  job->nb - k - 1, 1);
        for (size_t i = 0; i < CQ__ROWS; i++) {
            v[i] = -p[i];
            p[i] = p[i] / job->d[job->j0 + k];
        }
    }
}
static void cq__factor_rest(void *arg, size_t index) { /* step 3; the upper half of the tile on the diagonal is waste */
    const cq__factor_job *job = (const cq__factor_job *)arg;
    size_t n = job->n, r0 = index * CQ__ROWS;
    job->ctx->k->tile_f32(job->a + r0 * n + r0, n, job->v + r0, n, job->a + job->j0 * n + r0, n, 1, job->nb,
                          job->j0 - r0);
}
static bool cq__udut_blocked(const cq_context *ctx, float *a, float *d, float *v, size_t n, float least, size_t *bad) {
    cq__factor_job job;
    job.ctx = ctx;
    job.a = a;
    job.d = d;
    job.v = v;
    job.n = n;
    for (size_t end = n; end > 0; end = job.j0) {
        job.j0 = (end - 1) / CQ__FACTOR_BLOCK * CQ__FACTOR_BLOCK; /* a multiple of 64: all panels above are full */
        job.nb = end - job.j0;
        if (!cq__udut(a + job.j0 * n + job.j0, n, d + job.j0, job.nb, least, bad)) {
            *bad += job.j0;
            return false;
        }
        cq_parallel_for(ctx, job.j0 / CQ__ROWS, cq__factor_panel, &job);
        cq_parallel_for(ctx, job.j0 / CQ__ROWS, cq__factor_rest, &job);
    }
    return true;
}

/* Sorts columns by H[c][c] descending, the lower index first when equal: the same order everywhere. Heap sort: a parent
   comes after its children, so the top is the column for the last free place. */
CQ__INLINE bool cq__act_after(const float *h, size_t cols, uint32_t a, uint32_t b) {
    float x = h[(size_t)a * cols + a], y = h[(size_t)b * cols + b];
    return x < y || (x == y && a > b);
}
static void cq__act_order(uint32_t *perm, const float *h, size_t cols) {
    size_t build = cols / 2, end = cols;
    while (end > 1) {
        if (build) build--; /* first make the heap, then take it apart */
        else {
            uint32_t top = perm[0];
            perm[0] = perm[--end];
            perm[end] = top;
        }
        uint32_t v = perm[build];
        size_t i = build;
        for (size_t child = 2 * i + 1; child < end; child = 2 * i + 1) {
            if (child + 1 < end && cq__act_after(h, cols, perm[child + 1], perm[child])) child++;
            if (!cq__act_after(h, cols, perm[child], v)) break;
            perm[i] = perm[child];
            i = child;
        }
        perm[i] = v;
    }
}

CQUANT_DEF cq_status cq_gptq_resolve(cq_gptq_desc *out, const cq_gptq_desc *desc, size_t cols, cq_error *err) {
    *out = *desc;
    if (out->format == CQ_F32) out->format = CQ_INT4;
    bool mx = cq_format_is_mx(out->format);
    if (mx && !out->group_size) out->group_size = 32;
    if (mx && out->group_size != 32 && out->group_size != cols)
        return cq_fail_at(err, CQ_ERR_ARG, "a microscaling format has one scale for 32 columns: group_size 32 or 0",
                          NULL, 0, UINT64_MAX, (int64_t)out->group_size);
    if (!out->group_size || out->group_size > cols) out->group_size = cols;
    if (out->damp == 0.0f) out->damp = 0.01f;
    if (!out->sweeps) out->sweeps = 2;
    if (!out->slots) out->slots = 4;
    if (!cols || cols > UINT32_MAX)
        return cq_fail_at(err, CQ_ERR_ARG, "a layer has between 1 and 2^32 - 1 columns", NULL, 0, UINT64_MAX,
                          (int64_t)cols);
    if (!cq_format_is_coded(out->format))
        return cq_fail_at(err, CQ_ERR_ARG, "the format must be one with codes: CQ_INT4, CQ_MXFP4 ...", NULL, 0,
                          UINT64_MAX, (int64_t)out->format);
    if (out->asym && !cq_format_is_int(out->format))
        return cq_fail_at(err, CQ_ERR_ARG, "only integer formats have zero points: asym must be false", NULL, 0,
                          UINT64_MAX, (int64_t)out->format);
    if ((int)out->order < 0 || out->order > CQ_GPTQ_ACT_GROUPS)
        return cq_fail_at(err, CQ_ERR_ARG, "unknown cq_gptq_order", NULL, 0, UINT64_MAX, (int64_t)out->order);
    if ((int)out->search < 0 || out->search > CQ_GPTQ_FLOOR)
        return cq_fail_at(err, CQ_ERR_ARG, "unknown cq_gptq_search", NULL, 0, UINT64_MAX, (int64_t)out->search);
    if (!(out->damp > 0.0f && out->damp <= 1.0f))
        return cq_fail(err, CQ_ERR_ARG, "damp must be above 0 and at most 1 (or 0: 0.01)");
    if (out->sweeps > 1000 && out->sweeps != CQ_GPTQ_NO_SWEEPS)
        return cq_fail_at(err, CQ_ERR_ARG, "at most 1000 sweeps (2 are good); CQ_GPTQ_NO_SWEEPS for none", NULL, 0,
                          UINT64_MAX, (int64_t)out->sweeps);
    if (out->slots > 4096)
        return cq_fail_at(err, CQ_ERR_ARG, "at most 4096 slots; about the number of threads is right", NULL, 0,
                          UINT64_MAX, (int64_t)out->slots);
    return CQ_OK;
}
CQUANT_DEF size_t cq_gptq_groups(const cq_gptq_desc *desc, size_t cols) {
    size_t g = !desc->group_size && cq_format_is_mx(desc->format) ? 32 : desc->group_size;
    g = g && g < cols ? g : cols;
    return g ? (cols - 1) / g + 1 : 0;
}

/* Dead columns, H[c][c] = 0: the input was 0 in every token. Then the whole row and column of H are 0 and damping alone
   stands on the diagonal: U carries nothing to or from them, so that their weights are rounded to the nearest code.
   Some implementations set these weights to zero. But an input that was silent in the calibration text need not be in
   use, and the rounded weight costs the same bits as a zero. */
CQUANT_DEF cq_status cq_gptq_factor(const cq_context *ctx, cq_factor *f, const cq_hessian *h, const cq_gptq_desc *desc,
                                    cq_arena *arena, cq_error *err) {
    cq_gptq_desc d;
    size_t n = h->cols, bad = 0;
    double trace = 0.0;
    cq_status status = cq_gptq_resolve(&d, desc, n, err);
    if (status != CQ_OK) return status;
    f->h = h->h;
    f->cols = n;
    f->order = d.order;
    f->damp = d.damp;
    f->lambda = 0.0f;
    f->dead = 0;
    f->ut = (float *)cq__alloc_2d(arena, n, n, sizeof(float));
    f->d = (float *)cq_alloc(arena, n, sizeof(float));
    f->perm = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
    float *v = (float *)cq__alloc_2d(arena, CQ__FACTOR_BLOCK, n, sizeof(float));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the factor: ask a dry run for the size");
    if (!arena->base) return CQ_OK;

    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < n; c++)
            if (!cq__finite(h->h[r * n + c]))
                return cq_fail_at(err, CQ_ERR_RANGE, "Hessian holds NaN or infinity (row, column): an input overflowed",
                                  NULL, 0, r, (int64_t)c);
    for (size_t c = 0; c < n; c++) {
        float x = h->h[c * n + c];
        if (x < 0.0f)
            return cq_fail_at(err, CQ_ERR_NOT_SPD, "Hessian has a negative diagonal (column): it is no sum of x x^T",
                              NULL, 0, c, INT64_MIN);
        trace += (double)x;
        if (x == 0.0f) f->dead++;
        f->perm[c] = (uint32_t)c;
    }
    float mean = (float)(trace / (double)n);
    if (!(mean > 0.0f)) mean = 1.0f; /* no input at all: H = lambda I, which is rounding to nearest */
    if (d.order != CQ_GPTQ_NATURAL) cq__act_order(f->perm, h->h, n);
    for (;;) {
        f->lambda = f->damp * mean;
        for (size_t i = 0; i < n; i++) {
            const float *row = h->h + (size_t)f->perm[i] * n;
            for (size_t j = 0; j <= i; j++) f->ut[i * n + j] = row[f->perm[j]];
            f->ut[i * n + i] = f->ut[i * n + i] + f->lambda;
        }
        if (cq__udut_blocked(ctx, f->ut, f->d, v, n, 0.5f * f->lambda, &bad)) break;
        if (!(f->damp < 1.0f))
            return cq_fail_at(err, CQ_ERR_NOT_SPD, "Hessian has no factor even with damp = 1 (column of the bad pivot)",
                              NULL, 0, f->perm[bad], INT64_MIN);
        f->damp = f->damp < 0.5f ? 2.0f * f->damp : 1.0f;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++) f->ut[i * n + j] = i == j ? 1.0f : 0.0f;
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 4 grids]
   The codes of a group are (w / scale) + zero, rounded and clipped. A scale that just covers the largest weight
   (minmax) spends codes on one weight and makes all steps wide; a smaller one clips that weight and serves the others
   better. So try 80 shrunken ranges, 1.0 down to 0.3, and take the one with the least weighted error, the sum of
   c_k (w_k - q_k)^2. The right c_k are the pivots: the loss is the sum of D_k r_k^2 (LESSON 2), and r_k is the rounding
   error of column k. With these weights a column with a huge input gets its weight *on* the grid. A scale is rounded to
   what the format stores before it is judged. E8M0 scales are powers of two: there only three are worth a look, the
   one that covers the group and a half and a quarter of it.

   Sixteen rows lie side by side from here on: x[k][16]. The loops over 16 lanes are what compilers vectorise.
   ================================================================================================================== */
#define CQ__SHRINKS 80
typedef struct cq__lanes { /* the grids of one group for 16 rows. A weight is level * scale; of integers the level is
                              code - zero, of small floats the number itself */
    float scale[16], zero[16];
    float lo[16], hi[16]; /* least and largest level; both 0 when the scale is 0 */
} cq__lanes;

CQ__INLINE void cq__lanes_set(cq__lanes *l, size_t i, cq_grid g, const cq__steps *steps) {
    bool is_int = cq_format_is_int(g.format);
    l->scale[i] = g.scale;
    l->zero[i] = (float)g.zero;
    l->lo[i] = g.scale > 0.0f ? (is_int ? -(float)g.zero : -steps->max) : 0.0f;
    l->hi[i] = g.scale > 0.0f ? (is_int ? (float)(cq__top(g.format) - g.zero) : steps->max) : 0.0f;
}
/* x (n, 16): weights of a group; weight (n): the c_k above */
static void cq__lanes_choose(cq__lanes *l, const float *x, const float *weight, size_t n, const cq_gptq_desc *desc) {
    float lo[16], hi[16], best[16];
    const cq__steps steps = cq__steps_of(cq__facts(desc->format)->mini);
    bool mx = cq_format_is_mx(desc->format), search = desc->search < CQ_GPTQ_MINMAX;
    for (size_t i = 0; i < 16; i++) lo[i] = hi[i] = best[i] = 0.0f;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < 16; i++) {
            lo[i] = x[k * 16 + i] < lo[i] ? x[k * 16 + i] : lo[i];
            hi[i] = x[k * 16 + i] > hi[i] ? x[k * 16 + i] : hi[i];
        }
    for (int step = 0; step < (!search ? 1 : mx ? 3 : CQ__SHRINKS); step++) {
        float shrink = mx ? 1.0f / (float)(1 << step) : 1.0f - 0.7f * (float)step / (float)CQ__SHRINKS;
        float inverse[16], cost[16];
        cq__lanes t;
        for (size_t i = 0; i < 16; i++) {
            float range[2];
            range[0] = lo[i] * shrink;
            range[1] = hi[i] * shrink;
            cq_grid g = desc->search == CQ_GPTQ_FLOOR ? cq_grid_floor(range, 2, desc->format)
                                                      : cq_grid_minmax(range, 2, desc->format, desc->asym);
            cq__lanes_set(&t, i, g, &steps);
            inverse[i] = t.scale[i] > 0.0f ? 1.0f / t.scale[i] : 0.0f;
            cost[i] = 0.0f;
        }
        if (search)
            for (size_t k = 0; k < n; k++)
                for (size_t i = 0; i < 16; i++) {
                    float v = x[k * 16 + i] * inverse[i], e;
                    v = v > t.lo[i] ? v : t.lo[i];
                    v = v < t.hi[i] ? v : t.hi[i];
                    e = x[k * 16 + i] - cq__step(&steps, v) * t.scale[i];
                    cost[i] = cost[i] + weight[k] * e * e;
                }
        for (size_t i = 0; i < 16; i++)
            if (step == 0 || cost[i] < best[i]) {
                best[i] = cost[i];
                l->scale[i] = t.scale[i];
                l->zero[i] = t.zero[i];
                l->lo[i] = t.lo[i];
                l->hi[i] = t.hi[i];
            }
    }
}
/* the level nearest to v; equals cq_grid_code */
CQ__INLINE float cq__lane_round(const cq__lanes *l, size_t i, float v, const cq__steps *steps) {
    v = v / (l->scale[i] > 0.0f ? l->scale[i] : 1.0f);
    v = v > l->lo[i] ? v : l->lo[i];
    v = v < l->hi[i] ? v : l->hi[i];
    return cq__step(steps, v);
}
/* levels of 16 rows to codes and back */
CQ__INLINE void cq__lanes_code(uint8_t *q, const cq__lanes *l, const float *level, unsigned mini) {
    for (size_t i = 0; i < 16; i++)
        q[i] = mini < CQ_MINI_COUNT ? cq__mini_code(&cq__minis[mini], level[i])
                                    : (uint8_t)(int32_t)(level[i] + l->zero[i]);
}
CQ__INLINE void cq__lanes_level(float *level, const cq__lanes *l, const uint8_t *q, unsigned mini) {
    for (size_t i = 0; i < 16; i++)
        level[i] = mini < CQ_MINI_COUNT ? cq_mini_to_f32((cq_mini)mini, q[i]) : (float)q[i] - l->zero[i];
}

/* ===================================================================================================================
   [LESSON 5 sixteen rows at a time]
   Rows are independent, so SIMD lanes are rows: a panel of 16 rows is kept as [column][16]. The sum of LESSON 2,
       x_k = w_k + sum over j < k of e_j U_jk,
   is cut in three so that nearly all of it is a product of matrices:
     unit    the columns whose scales are chosen together: a group when scales are chosen on the way, else all. At its
             start: x[unit] += e[before the unit] U[before, unit]; then the scales are chosen.
     block   64 columns of a unit: x[block] += e[unit before the block] U[.., block].
     column  x_k += e[block before k] U[.., k], and round.
   U is read once for a *strip* of up to four panels. A slot owns scratch for one strip and takes every slots-th one.
   ================================================================================================================== */
#define CQ__SOLVE_BLOCK 64u
#define CQ__SOLVE_DEPTH 256u /* columns of e per pass: 256 x 16 floats stay in the L1 cache */
#define CQ__STRIP 4u         /* panels in a strip at most */

typedef struct cq__panel16 {
    float *w;         /* (cols, 16): the weights, natural order */
    float *x;         /* (cols, 16): weights plus carried errors, processing order; later free for use */
    float *e;         /* (cols, 16): w - q; processing order during the pass, natural after it */
    uint8_t *q;       /* (cols, 16): codes, natural order */
    cq__lanes *lanes; /* (groups) */
} cq__panel16;

typedef struct cq__slot {
    cq__panel16 panel[CQ__STRIP];
    float *g, *t; /* (64, 16) each */
} cq__slot;

typedef struct cq__solve_job {
    const cq_context *ctx;
    cq_gptq_desc desc;
    const cq_factor *f;
    const cq_gptq_result *out;
    const float *w;
    size_t ldw, rows, cols, groups;
    size_t per, strips, slots; /* panels in a strip, strips in all, slots in use */
    float *weight;    /* (cols): c_k of LESSON 4; natural order when scales are static, else processing order */
    uint32_t *group;  /* (cols): group of a column, natural order */
    double *loss;     /* (panels, 3): of the result, of round to nearest, and of W whole */
    cq__slot *slot;   /* (slots) */
} cq__solve_job;

/* c[j][16] += sum over t < k of a[t][16] b[j][t], for j < n */
static void cq__lanes_product(const cq_context *ctx, float *c, const float *a, const float *b, size_t ldb, size_t k,
                              size_t n) {
    for (size_t t = 0; t < k; t += CQ__SOLVE_DEPTH)
        ctx->k->tile_f32(c, 16, a + t * 16, 16, b + t, 1, ldb, cq__min(CQ__SOLVE_DEPTH, k - t), n);
}

static void cq__solve_block(const cq__solve_job *job, const cq__panel16 *p, size_t begin, size_t end) {
    const cq_factor *f = job->f;
    unsigned mini = cq__facts(job->desc.format)->mini;
    const cq__steps steps = cq__steps_of(mini);
    float level[16];
    for (size_t k = begin; k < end; k++) {
        size_t c = f->perm[k];
        const cq__lanes *l = p->lanes + job->group[c];
        float *x = p->x + k * 16, *e = p->e + k * 16;
        cq__lanes_product(job->ctx, x, p->e + begin * 16, f->ut + k * job->cols + begin, job->cols, k - begin, 1);
        for (size_t i = 0; i < 16; i++) {
            level[i] = cq__lane_round(l, i, x[i], &steps);
            e[i] = p->w[c * 16 + i] - level[i] * l->scale[i];
        }
        cq__lanes_code(p->q + c * 16, l, level, mini);
    }
}

static void cq__solve_pass(const cq__solve_job *job, const cq__slot *s, size_t panels) {
    const cq_factor *f = job->f;
    size_t cols = job->cols, unit = job->desc.order == CQ_GPTQ_ACT_STATIC ? cols : job->desc.group_size;
    for (size_t p = 0; p < panels; p++)
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < 16; i++) s->panel[p].x[k * 16 + i] = s->panel[p].w[(size_t)f->perm[k] * 16 + i];
    if (job->desc.order == CQ_GPTQ_ACT_STATIC)
        for (size_t p = 0; p < panels; p++)
            for (size_t g = 0; g < job->groups; g++) {
                size_t begin = g * job->desc.group_size, end = cq__min(begin + job->desc.group_size, cols);
                cq__lanes_choose(s->panel[p].lanes + g, s->panel[p].w + begin * 16, job->weight + begin, end - begin,
                                 &job->desc);
            }
    for (size_t u0 = 0, u1; u0 < cols; u0 = u1) {
        u1 = cq__min(unit, cols - u0) + u0;
        for (size_t p = 0; p < panels; p++) {
            const cq__panel16 *q = &s->panel[p];
            cq__lanes_product(job->ctx, q->x + u0 * 16, q->e, f->ut + u0 * cols, cols, u0, u1 - u0);
            if (job->desc.order != CQ_GPTQ_ACT_STATIC)
                cq__lanes_choose(q->lanes + u0 / unit, q->x + u0 * 16, job->weight + u0, u1 - u0, &job->desc);
        }
        for (size_t b0 = u0, b1; b0 < u1; b0 = b1) {
            b1 = cq__min(CQ__SOLVE_BLOCK, u1 - b0) + b0;
            for (size_t p = 0; p < panels; p++) {
                const cq__panel16 *q = &s->panel[p];
                cq__lanes_product(job->ctx, q->x + b0 * 16, q->e + u0 * 16, f->ut + b0 * cols + u0, cols, b0 - u0,
                                  b1 - b0);
                cq__solve_block(job, q, b0, b1);
            }
        }
    }
}

/* ===================================================================================================================
   [LESSON 6 second thoughts]
   GPTQ decides on each column once, with the later ones still free. When all are decided, each can be looked at again.
   Of the loss e H e^T as a function of q_k alone, the minimum lies at q_k + g_k / H[k][k], g = e H; so take the nearest
   code to that, and go on. The loss can only fall. Two sweeps over the columns get nearly all there is (coordinate
   descent).

   Likewise the scales: with the codes fixed, K = codes - zero in one group and 0 elsewhere, adding delta to its scale
   changes the loss by -2 delta (g . K) + delta^2 K H K^T. The best delta is (g . K) / (K H K^T); the new scale is
   rounded to fp16 and taken if, so rounded, it still lowers the loss. Each group sees the changes of those before
   (Gauss-Seidel).

   Both use the H of the factor, damping included: with few tokens the bare H invites overfitting.
   ================================================================================================================== */
/* g[j][16] = (e (H + lambda I))[begin + j] for j < n */
static void cq__solve_gradient(const cq__solve_job *job, const float *e, float *g, size_t begin, size_t n) {
    for (size_t i = 0; i < n * 16; i++) g[i] = job->f->lambda * e[begin * 16 + i];
    cq__lanes_product(job->ctx, g, e, job->f->h + begin * job->cols, job->cols, job->cols, n);
}

static void cq__sweep_block(const cq__solve_job *job, const cq__slot *s, const cq__panel16 *p, size_t begin, size_t n) {
    const float *h = job->f->h + begin * job->cols + begin;
    unsigned mini = cq__facts(job->desc.format)->mini;
    const cq__steps steps = cq__steps_of(mini);
    float old[16], level[16];
    cq__solve_gradient(job, p->e, s->g, begin, n);
    for (size_t k = 0; k < n; k++) {
        const cq__lanes *l = p->lanes + job->group[begin + k];
        uint8_t *q = p->q + (begin + k) * 16;
        float *e = p->e + (begin + k) * 16, *g = s->g + k * 16, *change = s->t + k * 16; /* change of e so far */
        float diagonal = h[k * job->cols + k] + job->f->lambda;
        cq__lanes_product(job->ctx, g, s->t, h + k * job->cols, job->cols, k, 1);
        cq__lanes_level(old, l, q, mini);
        for (size_t i = 0; i < 16; i++) {
            old[i] = old[i] * l->scale[i];
            level[i] = cq__lane_round(l, i, old[i] + g[i] / diagonal, &steps);
            change[i] = old[i] - level[i] * l->scale[i];
            e[i] = e[i] + change[i];
        }
        cq__lanes_code(q, l, level, mini);
    }
}
static void cq__solve_sweep(const cq__solve_job *job, const cq__slot *s, size_t panels) {
    for (size_t b = 0; b < job->cols; b += CQ__SOLVE_BLOCK)
        for (size_t p = 0; p < panels; p++)
            cq__sweep_block(job, s, &s->panel[p], b, cq__min(CQ__SOLVE_BLOCK, job->cols - b));
}

static void cq__refit_group(const cq__solve_job *job, const cq__slot *s, const cq__panel16 *p, size_t group) {
    size_t begin = group * job->desc.group_size, n = cq__min(job->desc.group_size, job->cols - begin);
    const float *h = job->f->h + begin * job->cols + begin;
    cq__lanes *l = p->lanes + group;
    float *codes = p->x, dot[16], square[16], delta[16]; /* codes: K, (n, 16) */
    for (size_t i = 0; i < 16; i++) dot[i] = square[i] = 0.0f;
    for (size_t k = 0; k < n; k++)
        cq__lanes_level(codes + k * 16, l, p->q + (begin + k) * 16, cq__facts(job->desc.format)->mini);
    for (size_t b = 0; b < n; b += CQ__SOLVE_BLOCK) {
        size_t m = cq__min(CQ__SOLVE_BLOCK, n - b);
        cq__solve_gradient(job, p->e, s->g, begin + b, m);
        for (size_t i = 0; i < m * 16; i++) s->t[i] = job->f->lambda * codes[b * 16 + i];
        cq__lanes_product(job->ctx, s->t, codes, h + b * job->cols, job->cols, n, m);
        for (size_t k = 0; k < m; k++)
            for (size_t i = 0; i < 16; i++) {
                dot[i] = dot[i] + s->g[k * 16 + i] * codes[(b + k) * 16 + i];
                square[i] = square[i] + s->t[k * 16 + i] * codes[(b + k) * 16 + i];
            }
    }
    for (size_t i = 0; i < 16; i++) {
        float scale = square[i] > 0.0f ? l->scale[i] + dot[i] / square[i] : 0.0f;
        scale = scale < 65504.0f ? cq_grid_make(scale, 0.0f, job->desc.format).scale : 0.0f;
        delta[i] = scale - l->scale[i];
        if (scale > 0.0f && delta[i] * square[i] * delta[i] < 2.0f * delta[i] * dot[i]) l->scale[i] = scale;
        else delta[i] = 0.0f;
    }
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < 16; i++)
            p->e[(begin + k) * 16 + i] = p->e[(begin + k) * 16 + i] - delta[i] * codes[k * 16 + i];
}

/* ===================================================================================================================
   [LESSON 7 the whole layer]
   ================================================================================================================== */
/* sum over the lanes of e H e^T, H undamped. By symmetry the part left of the diagonal blocks counts twice. */
static double cq__panel_loss(const cq__solve_job *job, const cq__slot *s, const float *e) {
    double sum = 0.0;
    for (size_t b = 0; b < job->cols; b += CQ__SOLVE_BLOCK) {
        size_t n = cq__min(CQ__SOLVE_BLOCK, job->cols - b);
        const float *h = job->f->h + b * job->cols;
        for (size_t i = 0; i < n * 16; i++) s->g[i] = s->t[i] = 0.0f;
        cq__lanes_product(job->ctx, s->g, e, h, job->cols, b, n);
        cq__lanes_product(job->ctx, s->t, e + b * 16, h + b, job->cols, n, n);
        for (size_t i = 0; i < n * 16; i++)
            sum += (double)e[b * 16 + i] * (2.0 * (double)s->g[i] + (double)s->t[i]);
    }
    return sum;
}
/* e = w - round to nearest, minmax grids of natural groups; one row through x, which is free now */
static void cq__panel_rtn(const cq__solve_job *job, const cq__panel16 *p) {
    size_t size = job->desc.group_size;
    for (size_t i = 0; i < 16; i++)
        for (size_t b = 0; b < job->cols; b += size) {
            size_t n = cq__min(size, job->cols - b);
            for (size_t k = 0; k < n; k++) p->x[k] = p->w[(b + k) * 16 + i];
            cq_grid g = cq_grid_minmax(p->x, n, job->desc.format, job->desc.asym);
            for (size_t k = 0; k < n; k++)
                p->e[(b + k) * 16 + i] = p->x[k] - cq_grid_value(g, cq_grid_code(g, p->x[k]));
        }
}

static void cq__solve_strip(const cq__solve_job *job, cq__slot *s, size_t first, size_t panels) {
    const cq_gptq_desc *desc = &job->desc;
    size_t cols = job->cols;
    for (size_t p = 0; p < panels; p++) {
        const cq__panel16 *q = &s->panel[p];
        size_t r0 = (first + p) * 16, n = cq__min(16, job->rows - r0);
        for (size_t c = 0; c < cols; c++)
            for (size_t i = 0; i < 16; i++) q->w[c * 16 + i] = i < n ? job->w[(r0 + i) * job->ldw + c] : 0.0f;
        if (!job->out->report) continue;
        cq__panel_rtn(job, q);
        job->loss[(first + p) * 3 + 1] = cq__panel_loss(job, s, q->e);
        job->loss[(first + p) * 3 + 2] = cq__panel_loss(job, s, q->w);
    }
    cq__solve_pass(job, s, panels);
    for (size_t p = 0; p < panels; p++) { /* errors back into natural order */
        cq__panel16 *q = &s->panel[p];
        float *swap = q->x;
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < 16; i++) q->x[(size_t)job->f->perm[k] * 16 + i] = q->e[k * 16 + i];
        q->x = q->e;
        q->e = swap;
    }
    for (unsigned i = 0; i < desc->sweeps && desc->sweeps != CQ_GPTQ_NO_SWEEPS; i++) cq__solve_sweep(job, s, panels);
    bool refit = !desc->no_refit && desc->order != CQ_GPTQ_ACT_GROUPS && !cq_format_is_mx(desc->format);
    for (size_t g = 0; g < job->groups && refit; g++)
        for (size_t p = 0; p < panels; p++) cq__refit_group(job, s, &s->panel[p], g);
    for (size_t p = 0; p < panels; p++) {
        const cq__panel16 *q = &s->panel[p];
        size_t r0 = (first + p) * 16, n = cq__min(16, job->rows - r0);
        if (job->out->report) job->loss[(first + p) * 3] = cq__panel_loss(job, s, q->e);
        for (size_t i = 0; i < n; i++) {
            for (size_t c = 0; c < cols; c++) job->out->codes[(r0 + i) * cols + c] = q->q[c * 16 + i];
            for (size_t g = 0; g < job->groups; g++) {
                cq_grid *grid = job->out->grids + (r0 + i) * job->groups + g;
                grid->scale = q->lanes[g].scale[i];
                grid->zero = (int32_t)q->lanes[g].zero[i];
                grid->format = desc->format;
            }
        }
    }
}
static void cq__solve_task(void *arg, size_t index) {
    const cq__solve_job *job = (const cq__solve_job *)arg;
    size_t panels = (job->rows + 15) / 16;
    for (size_t strip = index; strip < job->strips; strip += job->slots)
        cq__solve_strip(job, &job->slot[index], strip * job->per, cq__min(job->per, panels - strip * job->per));
}

static cq_status cq__check_weights(const float *w, size_t ldw, size_t rows, size_t cols, cq_error *err) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            if (!cq__finite(w[r * ldw + c]))
                return cq_fail_at(err, CQ_ERR_RANGE, "a weight is NaN or infinite (row, column)", NULL, 0, r,
                                  (int64_t)c);
    return CQ_OK;
}

/* All memory of the solver. Called with the real arena and with an empty one alike. */
static void cq__solve_layout(cq__solve_job *job, cq_arena *arena) {
    size_t panels = job->rows / 16 + (job->rows % 16 != 0), cols = job->cols;
    job->per = (panels + job->desc.slots - 1) / job->desc.slots;
    job->per = job->per < 1 ? 1 : cq__min(job->per, CQ__STRIP);
    job->strips = (panels + job->per - 1) / job->per;
    job->slots = cq__min(job->desc.slots, job->strips);
    job->weight = (float *)cq_alloc(arena, cols, sizeof(float));
    job->group = (uint32_t *)cq_alloc(arena, cols, sizeof(uint32_t));
    job->loss = (double *)cq__alloc_2d(arena, panels, 3, sizeof(double));
    job->slot = (cq__slot *)cq_alloc(arena, job->slots, sizeof(cq__slot));
    for (size_t s = 0; s < job->slots; s++) {
        cq__slot unused, *slot = job->slot ? &job->slot[s] : &unused;
        slot->g = (float *)cq_alloc(arena, CQ__SOLVE_BLOCK * 16, sizeof(float));
        slot->t = (float *)cq_alloc(arena, CQ__SOLVE_BLOCK * 16, sizeof(float));
        for (size_t p = 0; p < job->per; p++) {
            slot->panel[p].w = (float *)cq__alloc_2d(arena, cols, 16, sizeof(float));
            slot->panel[p].x = (float *)cq__alloc_2d(arena, cols, 16, sizeof(float));
            slot->panel[p].e = (float *)cq__alloc_2d(arena, cols, 16, sizeof(float));
            slot->panel[p].q = (uint8_t *)cq__alloc_2d(arena, cols, 16, 1);
            slot->panel[p].lanes = (cq__lanes *)cq_alloc(arena, job->groups, sizeof(cq__lanes));
        }
    }
}

CQUANT_DEF cq_status cq_gptq_solve(const cq_context *ctx, const cq_gptq_desc *desc, const cq_factor *f, const float *w,
                                   size_t ldw, size_t rows, const cq_gptq_result *out, cq_arena *arena, cq_error *err) {
    cq__solve_job job;
    cq_status status = cq_gptq_resolve(&job.desc, desc, f->cols, err);
    if (status != CQ_OK) return status;
    if (job.desc.order != f->order)
        return cq_fail_at(err, CQ_ERR_ARG, "the factor was made for another order", NULL, 0, UINT64_MAX,
                          (int64_t)f->order);
    if (ldw < f->cols) return cq_fail(err, CQ_ERR_ARG, "ldw, the distance of rows in w, must be at least cols");
    job.ctx = ctx;
    job.f = f;
    job.out = out;
    job.w = w;
    job.ldw = ldw;
    job.rows = rows;
    job.cols = f->cols;
    job.groups = cq_gptq_groups(&job.desc, f->cols);
    cq__solve_layout(&job, arena);
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the solver: ask a dry run for the size");
    if (!arena->base) return CQ_OK;
    status = cq__check_weights(w, ldw, rows, job.cols, err);
    if (status != CQ_OK) return status;

    for (size_t k = 0; k < job.cols; k++) {
        size_t c = f->perm[k], at = job.desc.order == CQ_GPTQ_ACT_STATIC ? c : k;
        job.group[c] = (uint32_t)((job.desc.order == CQ_GPTQ_ACT_GROUPS ? k : c) / job.desc.group_size);
        job.weight[at] = job.desc.search == CQ_GPTQ_SEARCH_PIVOTS     ? f->d[k]
                         : job.desc.search == CQ_GPTQ_SEARCH_DIAGONAL ? f->h[c * job.cols + c] + f->lambda
                                                                      : 1.0f;
    }
    cq_parallel_for(ctx, job.slots, cq__solve_task, &job);
    if (out->g_idx) cq__copy(out->g_idx, job.group, job.cols * sizeof(uint32_t));
    if (out->report) {
        double sum[3] = {0.0, 0.0, 0.0};
        for (size_t p = 0; p < (rows + 15) / 16; p++)
            for (size_t i = 0; i < 3; i++) sum[i] += job.loss[p * 3 + i];
        out->report->loss = sum[2] > 0.0 ? sum[0] / sum[2] : 0.0;
        out->report->rtn_loss = sum[2] > 0.0 ? sum[1] / sum[2] : 0.0;
        out->report->damp = f->damp;
        out->report->dead = f->dead;
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_gptq_rtn(const cq_gptq_desc *desc, const float *w, size_t ldw, size_t rows, size_t cols,
                                 const cq_gptq_result *out, cq_error *err) {
    cq_gptq_desc d;
    cq_status status = cq_gptq_resolve(&d, desc, cols, err);
    if (status != CQ_OK) return status;
    if (out->report) return cq_fail(err, CQ_ERR_ARG, "rounding to nearest has no H and cannot report a loss");
    if (ldw < cols) return cq_fail(err, CQ_ERR_ARG, "ldw, the distance of rows in w, must be at least cols");
    status = cq__check_weights(w, ldw, rows, cols, err);
    if (status != CQ_OK) return status;
    size_t groups = cq_gptq_groups(&d, cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++) {
            size_t begin = g * d.group_size, end = cq__min(d.group_size, cols - begin) + begin;
            cq_grid grid = d.search == CQ_GPTQ_FLOOR
                               ? cq_grid_floor(w + r * ldw + begin, end - begin, d.format)
                               : cq_grid_minmax(w + r * ldw + begin, end - begin, d.format, d.asym);
            out->grids[r * groups + g] = grid;
            for (size_t c = begin; c < end; c++) out->codes[r * cols + c] = cq_grid_code(grid, w[r * ldw + c]);
        }
    for (size_t c = 0; c < cols && out->g_idx; c++) out->g_idx[c] = (uint32_t)(c / d.group_size);
    return CQ_OK;
}

CQUANT_DEF void cq_gptq_dequantize(const cq_gptq_desc *desc, const cq_gptq_result *q, size_t rows, size_t cols,
                                   float *out) {
    size_t size = desc->group_size ? desc->group_size : cq_format_is_mx(desc->format) ? 32 : cols;
    size_t groups = cq_gptq_groups(desc, cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[r * cols + c] =
                cq_grid_value(q->grids[r * groups + (q->g_idx ? q->g_idx[c] : c / size)], q->codes[r * cols + c]);
}

/* ===================================================================================================================
   [LESSON 8 policies]
   ================================================================================================================== */
/* Does the set that starts after '[' hold c? *next: after its ']', or NULL when there is none, and '[' is a plain
   sign. */
static bool cq__glob_set(const char *p, const char *end, char c, const char **next) {
    bool invert = p < end && *p == '!', found = false;
    const char *first = p = p + (invert ? 1 : 0);
    unsigned char u = (unsigned char)c;
    for (; p < end && (*p != ']' || p == first); p++) { /* a ']' at the beginning stands for itself */
        if (end - p > 2 && p[1] == '-' && p[2] != ']') {
            if (u >= (unsigned char)p[0] && u <= (unsigned char)p[2]) found = true;
            p += 2;
        } else if (*p == c) found = true;
    }
    *next = p < end ? p + 1 : NULL;
    return found != invert;
}

/* Left to right. On a mismatch go back to the last '*' only and let it take one character more: an earlier star never
   needs to, since the last one can take whatever it could. So the time is at most pattern_len * len. */
CQUANT_DEF bool cq_glob(const char *pattern, size_t pattern_len, const char *name, size_t len) {
    if (!pattern_len) return len == 0;
    const char *p = pattern, *pend = pattern + pattern_len, *star = NULL;
    size_t i = 0, star_i = 0;
    while (i < len || p < pend) {
        if (p < pend && *p == '*') {
            star = ++p;
            star_i = i;
            continue;
        }
        if (p < pend && i < len) {
            const char *next = NULL;
            bool set = false;
            if (*p == '[') set = cq__glob_set(p + 1, pend, name[i], &next);
            if (next ? set : *p == '?' || *p == name[i]) {
                p = next ? next : p + 1;
                i++;
                continue;
            }
        }
        if (!star || star_i >= len) return false;
        p = star;
        i = ++star_i;
    }
    return true;
}

CQUANT_DEF void cq_policy_resolve(cq_policy *policy, const char *name, size_t len, cq_gptq_desc *desc, bool *skip) {
    for (size_t i = 0; i < policy->count; i++) {
        cq_policy_rule *r = &policy->rules[i];
        if (r->pattern && !cq_glob(r->pattern, r->pattern_len, name, len)) continue;
        r->matched++;
        if (r->set & CQ_POLICY_FORMAT) desc->format = r->format;
        if (r->set & CQ_POLICY_GROUP_SIZE) desc->group_size = r->group_size;
        if (r->set & CQ_POLICY_ASYM) desc->asym = r->asym;
        if (r->set & CQ_POLICY_SKIP) *skip = r->skip;
    }
}
CQUANT_DEF size_t cq_policy_unmatched(const cq_policy *policy, size_t from) {
    while (from < policy->count && policy->rules[from].matched) from++;
    return from < policy->count ? from : policy->count;
}

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif /* CQUANT_IMPLEMENTATION */
