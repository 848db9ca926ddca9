/* cquant_gptq.h - v0.7.4 - the best few-bit weights for one layer: GPTQ, explained and solved

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
       unsigned char memory[524288], packed[4096];          // memory: aligned to CQ_ALIGN
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
       cq_hessian_add(&ctx, &h, x, 64, 256, NULL);          // as often as there are inputs
       cq_hessian_finish(&ctx, &h);
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

   MEMORY  Hessian: 4 cols^2 bytes, and 768 cols for rows that wait; factor: another 4 cols^2 (it works on a copy: H is
           never changed, and must stay, for the solver and the report read it) and 2 KB cols; solver: about 800 cols
           bytes a slot (see cq_gptq_desc). Everything comes
           from a cq_arena; the same calls on an arena without memory are the size query:
               cq_arena a = cq_arena_over(NULL, 0);
               cq_hessian_alloc(&h, &a, cols);
               cq_gptq_factor(&ctx, &f, &h, &desc, &a, NULL);
               cq_gptq_solve(&ctx, &desc, &f, NULL, cols, rows, NULL, &a, NULL);      // a.used: bytes in all
           Nothing is freed: note arena.used before a call, put it back after, and the memory is free again.
   THREADS Through the context. The result does not depend on their number, nor on `slots`.
   STACK   Under 2 KB a call.

   Sources: Frantar et al., "GPTQ", arXiv 2210.17323; the form without an inverse is LDLQ, Chee et al., "QuIP", arXiv
   2307.13304; both are Babai's nearest plane, arXiv 2507.18553. Licence: see the end of cquant.h. */
#ifndef CQUANT_GPTQ_H
#define CQUANT_GPTQ_H

#include "cquant.h"

#if CQUANT_VERSION_NUM != 704
#error "cquant_gptq.h and cquant.h are of different versions: take both from one release"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [HESSIAN]  H = sum over tokens of x x^T: all that the solver needs to know of the calibration text
   ================================================================================================================== */
typedef struct cq_hessian {
    float *h;        /* (cols, cols), symmetric once finished; until then only its lower triangle counts */
    size_t cols;
    uint64_t tokens; /* rows of X added so far (with a weight: only those whose weight is not 0) */
    float *packed;   /* cq_syrk_scratch(cols): rows that wait until 384 are together, since each pass over h is dear */
    size_t waiting;  /* how many */
} cq_hessian;

CQUANT_DEF void cq_hessian_alloc(cq_hessian *h, cq_arena *arena, size_t cols); /* zeroed */
/* H += X^T X; X (n, ldx). With weight (n), each >= 0 (a routing probability, say): H += sum of weight[t] x[t] x[t]^T;
   rows of weight 0 are not looked at. The scale of H is of no importance: see LESSON 1. How the rows are distributed
   over calls does not change a bit. */
CQUANT_DEF void cq_hessian_add(const cq_context *ctx, cq_hessian *h, const float *x, size_t ldx, size_t n,
                               const float *weight);
/* Adds what waits and completes h, which is then good for the functions below; more may be added and it be finished
   again. */
CQUANT_DEF void cq_hessian_finish(const cq_context *ctx, cq_hessian *h);
/* into += from, both finished: two parts of the calibration text, seen on two machines. CQ_ERR_ARG when cols differ or
   rows wait. */
CQUANT_DEF cq_status cq_hessian_merge(cq_hessian *into, const cq_hessian *from, cq_error *err);

/* ===================================================================================================================
   [OPTIONS OF THE SOLVER]  zero means the default
   ================================================================================================================== */
typedef enum cq_gptq_order {
    CQ_GPTQ_ACT_STATIC, /* columns of large H[c][c] first; groups are runs of columns, scales from the original W */
    CQ_GPTQ_NATURAL,    /* left to right; the scales of a group are chosen when it is reached, from updated weights */
    CQ_GPTQ_GROUP_AWARE, /* as NATURAL, but groups of louder columns first, and within a group the louder columns */
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
    bool static_scales;    /* NATURAL, GROUP_AWARE: all scales from the original W. (ACT_GROUPS so: ACT_STATIC) */
    float damp;            /* H + damp * mean(diag H) * I; (0, 1]; 0: 0.01. Grows until the factor exists */
    cq_gptq_search search;
    unsigned sweeps;       /* of coordinate descent over all codes after the pass; within it, each block gets one
                              anyway, unless this is CQ_GPTQ_NO_SWEEPS */
    bool refit;            /* fit the scales to the final codes also without sweeps, each of which does it anyway (not
                              with ACT_GROUPS, and not powers of two) */
    size_t slots;          /* rows are cut into this many independent tasks, each with its own scratch; 0: 4 */
} cq_gptq_desc;
/* The plain algorithm of the paper: order NATURAL, search MINMAX, sweeps NO_SWEEPS, damp 0.05. */

/* *out = *desc with the defaults filled in (group_size: cols at most); CQ_ERR_ARG for nonsense. The other functions
   call it themselves. */
CQUANT_DEF cq_status cq_gptq_resolve(cq_gptq_desc *out, const cq_gptq_desc *desc, size_t cols, cq_error *err);
CQUANT_DEF size_t cq_gptq_groups(const cq_gptq_desc *desc, size_t cols); /* groups in a row */

/* ===================================================================================================================
   [FACTOR]  H + damping = U D U^T, once for all linears that read the same input
   ================================================================================================================== */
typedef struct cq_factor {
    const float *h;      /* (cols, cols): the Hessian as given; must outlive the factor */
    float *ut;           /* (cols, cols): the transpose of U, in processing order: ut[j][i] = U[i][j] for i < j, and for
                            all i within j's block of 128; the rest is not defined. A row of ut is what one column needs
                            to know of those before */
    float *d;            /* (cols): pivots, in processing order */
    float *local;        /* (cols, ld): row k has H of the block of 128 columns that k is in, once the columns after the
                            block make up for its errors: U D U^T within the block. ld: 128, or cols rounded up
                            to a multiple of 32 */
    uint32_t *perm;      /* (cols): perm[i] is the column that is processed i-th */
    size_t cols;
    size_t group_size;   /* for which GROUP_AWARE has ordered; 0 with other orders, which serve all */
    cq_gptq_order order;
    float damp;          /* the damping that was needed */
    float lambda;        /* what it added to the diagonal: damp * mean(diag H) */
    size_t dead;         /* columns whose input was always 0 */
} cq_factor;

/* Factors h in desc->order with desc->damp. CQ_ERR_RANGE: H holds NaN or infinity (where = row, got = column).
   CQ_ERR_ARG: H is not finished, or not symmetric, beyond what rounding explains (the same). CQ_ERR_NOT_SPD: no factor
   even with damp = 1 (where = column at fault). CQ_ERR_MEMORY. With arena->base NULL it only counts: CQ_OK, and *f is
   good for nothing but a dry run of cq_gptq_solve. */
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

/* The weights to quantise when what stands before the layer is quantised already: w (rows, ldw) +=
   share * w M (H + damp)^-1, with mismatch M (cols, cols) = sum of (x' - x) x^T, x' the input of the whole model where H
   has seen x. Quantise the result with the same f: then Q x is near W x', what the layer would have put out (LESSON 6).
   share in (0, 1]: 1 is the least squares solution, less trusts a few samples less. After GPTAQ, Li et al., arXiv
   2504.02692, and Qronos, Zhang et al., arXiv 2505.11695; in closed form as both have it before they round. With
   arena->base NULL it only counts. CQ_ERR_RANGE: M, or the result, holds NaN or infinity (where = row, got = column; of
   M by itself: row UINT64_MAX). */
CQUANT_DEF cq_status cq_gptq_correct(const cq_context *ctx, const cq_factor *f, const float *mismatch, float share,
                                     float *w, size_t ldw, size_t rows, cq_arena *arena, cq_error *err);
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
   {"default": {"wq": "int4"},
    "overrides": [{"pattern": "*.o_proj", "wq": "int8"}, {"pattern": "lm_head", "skip": true}]}
   ================================================================================================================== */
enum {
    CQ_POLICY_FORMAT = 1,
    CQ_POLICY_GROUP_SIZE = 2,
    CQ_POLICY_ASYM = 4,
    CQ_POLICY_SKIP = 8,
    CQ_POLICY_ACTS = 16
};

typedef struct cq_policy_rule {
    const char *pattern; /* a glob, NOT zero-terminated; NULL: every name (the default) */
    size_t pattern_len;
    unsigned set;        /* which of the fields below this rule sets: CQ_POLICY_... */
    cq_format format;    /* CQ_F32: not quantised; CQ_F16, CQ_BF16: neither, and stored so */
    size_t group_size;   /* 0: one group a row */
    bool asym;
    bool skip;           /* leave the module in floating point, until a later rule sets it to false */
    unsigned act_bits;   /* of what the linear reads: 0: float, 8: int8 for each token */
    size_t matched;      /* names that this rule applied to; counted by cq_policy_resolve */
} cq_policy_rule;

typedef struct cq_policy {
    cq_policy_rule *rules;
    size_t count;
} cq_policy;

/* What a policy says of one module. Before cq_policy_resolve: what holds where no rule says anything. */
typedef struct cq_policy_choice {
    cq_gptq_desc gptq;
    bool skip;         /* not quantised */
    cq_format stored;  /* if so: CQ_F16 or CQ_BF16 where a rule names it; else CQ_F32: as it comes */
    unsigned act_bits;
} cq_policy_choice;

/* Every rule that matches `name`, in order, field by field, so that the later wins. What was said of groups and zeros
   before a format was named gives way to it where it has no choice: a microscaling format has groups of 32, and only
   integers have zeros. What is said with the format, or later, stays, and is refused where it is impossible. */
CQUANT_DEF void cq_policy_resolve(cq_policy *policy, const char *name, size_t len, cq_policy_choice *choice);
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

CQ__EXACT_BEGIN /* see cquant.h */

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
static void *cq__reserve_2d(cq_arena *arena, size_t a, size_t b, size_t size) { /* a * b elements, checked */
    size_t n;
    if (!cq__mul(a, b, &n)) {
        arena->failed = true;
        return NULL;
    }
    return cq__reserve(arena, n, size);
}
static void *cq__alloc_2d(cq_arena *arena, size_t a, size_t b, size_t size) { /* zeroed */
    void *p = cq__reserve_2d(arena, a, b, size);
    if (p) cq__fill(p, 0, a * b * size);
    return p;
}
CQ__INLINE bool cq__finite(float v) { return v - v == 0.0f; }
static cq_status cq__check_weights(const float *w, size_t ldw, size_t rows, size_t cols, cq_error *err) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            if (!cq__finite(w[r * ldw + c]))
                return cq_fail_at(err, CQ_ERR_RANGE, "a weight is NaN or infinite (row, column)", NULL, 0, r,
                                  (int64_t)c);
    return CQ_OK;
}

CQUANT_DEF void cq_hessian_alloc(cq_hessian *h, cq_arena *arena, size_t cols) {
    h->h = (float *)cq__alloc_2d(arena, cols, cols, sizeof(float));
    h->packed = (float *)cq__reserve(arena, cq_syrk_scratch(cols), sizeof(float));
    h->cols = cols;
    h->tokens = 0;
    h->waiting = 0;
}

CQUANT_DEF void cq_hessian_add(const cq_context *ctx, cq_hessian *h, const float *x, size_t ldx, size_t n,
                               const float *weight) {
    cq__square_job job;
    cq__square_begin(&job, ctx, h->h, h->cols, h->cols, h->packed);
    for (size_t t = 0; t < n;) {
        job.depth = h->waiting;
        t += cq__square_pack(&job, x + t * ldx, ldx, n - t, weight ? weight + t : NULL, h->packed);
        h->tokens += job.depth - h->waiting;
        h->waiting = job.depth;
        if (job.depth < CQ__PACK_DEPTH) continue;
        cq__square_run(&job);
        h->waiting = 0;
    }
}
CQUANT_DEF void cq_hessian_finish(const cq_context *ctx, cq_hessian *h) {
    cq__square_job job;
    cq__square_begin(&job, ctx, h->h, h->cols, h->cols, h->packed);
    job.depth = h->waiting;
    job.mirror = true;
    cq__square_run(&job);
    h->waiting = 0;
}

CQUANT_DEF cq_status cq_hessian_merge(cq_hessian *into, const cq_hessian *from, cq_error *err) {
    if (into->cols != from->cols)
        return cq_fail_at(err, CQ_ERR_ARG, "Hessians of different sizes cannot be merged", NULL, 0, UINT64_MAX,
                          (int64_t)from->cols);
    if (into->waiting || from->waiting)
        return cq_fail(err, CQ_ERR_ARG, "rows wait to be added: call cq_hessian_finish first");
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
                for (size_t j = 0; j < begin; j++) x[c] = cq__fmaf(e[j], ut[c * cols + j], x[c]);
            }
            grids[g] = cq_grid_minmax(x + begin, end - begin, format, asym);
        }
        for (size_t j = begin; j < k; j++) x[k] = cq__fmaf(e[j], ut[k * cols + j], x[k]);
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
CQ__UNUSED static bool cq__udut(float *a, size_t lda, float *d, size_t n, float least, size_t *bad) {
    for (size_t k = n; k-- > 0;) {
        float *p = a + k * lda; /* p[c] = U[c][k] D_k */
        d[k] = p[k];
        if (!(d[k] > least && d[k] < CQ__INFINITY)) {
            *bad = k;
            return false;
        }
        for (size_t c = 0; c < k; c++) {
            float u = p[c] / d[k];
            for (size_t r = 0; r <= c; r++) a[c * lda + r] = cq__fmaf(-p[r], u, a[c * lda + r]);
        }
        for (size_t c = 0; c < k; c++) p[c] = p[c] / d[k];
    }
    return true;
}

/* The same, bit for bit, 192 columns J at a time, so that nearly all the work is the product of cq_syrk. Each H[r][c]
   is a chain over the columns t after c, from the last on, of - P[r][t] U[c][t], P = U D. How the chain is cut into
   pieces does not matter. With k' counted from the end of J (k' = 0 is its last column):
     1. the square H[J][J], turned about so that both of its indices count from the end, k' upwards;
     2. above it, 96 values of r a task, k' upwards: P[r][k'] = H[r][k'] - chain over t' < k' of P[r][t'] U[k'][t'];
     3. what is left: H[r][c] - chain over t' in J of P[r][t'] U[c][t'], for r <= c: squares, see cq__square_task.
   The first two are the same work: 12 columns k' take the chain of all those before them in one product, which is
   nearly all of it; then those of each other, in registers, where they are divided too. H[r][k'] stands where -P[r][k']
   will: in panels of 16 r, for it is what products load as vectors; U in strips of 12, for they broadcast it. */
#define CQ__FACTOR 192u     /* a multiple of the square of cq__square_task */
#define CQ__FACTOR_TASK 6u  /* panels */
typedef struct cq__factor_job {
    const cq_context *ctx;
    float *a, *d;       /* (n, n); (n) */
    float *rows;        /* (12, ld) of U; ld: CQ__FACTOR, or less, and a multiple of 48: of panels, strips */
    float *s, *us;      /* the square: -P, panels (ld / 16, stride, 16), and U, strips (.., stride, 12), of k' */
    float *minus_p, *u; /* what is above: the same, of r */
    size_t n, j0, nb, ld, stride;
} cq__factor_job;

CQ__INLINE void cq__copy_strip(float *to, const float *from) { /* by way of an array: compilers make vectors of that */
    float v[CQ__PACK_STRIP];
    for (size_t m = 0; m < CQ__PACK_STRIP; m++) v[m] = from[m];
    for (size_t m = 0; m < CQ__PACK_STRIP; m++) to[m] = v[m];
}
/* Columns k' in [k, k + columns), of one strip, of `panels` panels p take the chain over t' in [0, k). */
static void cq__factor_chain(const cq__factor_job *job, float *p, size_t panels, size_t k, size_t columns) {
    const size_t apart = job->stride * CQ__ROWS;
    job->ctx->k->fma_f32(p + k * CQ__ROWS, apart, CQ__ROWS, p, apart, CQ__ROWS, job->us + k * job->stride,
                         CQ__PACK_STRIP, 1, k, columns, panels);
}
/* ... and the chain over each other, and are divided: -P in p, U in u, the row of the last k' first. */
static void cq__factor_eliminate(const cq__factor_job *job, float *p, size_t panels, size_t k, size_t columns, float *u,
                                 size_t ldu) {
    const size_t apart = job->stride * CQ__ROWS, last = job->nb - k - columns;
    job->ctx->k->eliminate(p + k * CQ__ROWS, apart, u, ldu, job->d + job->j0 + last,
                           job->us + k * (job->stride + CQ__PACK_STRIP), columns, panels);
}
/* The panels p that hold the diagonal of these columns, one after the other: their pivots, and their own rows of us. */
static bool cq__factor_corner(const cq__factor_job *job, float *p, size_t panels, size_t k, size_t columns, float *rows,
                              float least, size_t *bad) {
    const cq__kernels *kernels = job->ctx->k;
    const size_t apart = job->stride * CQ__ROWS, end = job->j0 + job->nb;
    float *u = job->us + k * (job->stride + CQ__PACK_STRIP);
    for (size_t j = 0; j < columns; j++, u += CQ__PACK_STRIP) {
        float *c = p + (k + j) * CQ__ROWS, *d = job->d + end - 1 - k - j, *row = rows + (columns - 1 - j) * job->ld;
        const size_t at = k % CQ__ROWS + j;
        *d = c[at / CQ__ROWS * apart + at % CQ__ROWS];
        if (!(*d > least && *d < CQ__INFINITY)) {
            *bad = (size_t)(d - job->d);
            return false;
        }
        kernels->eliminate(c, apart, row, 0, d, u, 1, panels);
        for (size_t i = 0; i < CQ__PACK_STRIP; i++) u[i] = i > j && i < columns ? row[k % CQ__ROWS + i] : 0.0f;
        kernels->fma_f32(c + CQ__ROWS, apart, CQ__ROWS, c, apart, CQ__ROWS, u + j + 1, CQ__PACK_STRIP, 1, 1,
                         columns - 1 - j, panels);
    }
    return true;
}
static bool cq__factor_square(const cq__factor_job *job, float least, size_t *bad) { /* step 1 */
    const size_t ld = job->ld, nb = job->nb, end = job->j0 + nb, apart = job->stride * CQ__ROWS;
    for (size_t k = 0; k < nb; k++) {
        const float *a = job->a + (end - 1 - k) * job->n + end - 1;
        for (size_t i0 = k / CQ__ROWS * CQ__ROWS; i0 < ld; i0 += CQ__ROWS) { /* below the diagonal: waste */
            float *s = job->s + i0 / CQ__ROWS * apart + k * CQ__ROWS;
            if (i0 >= k && i0 + CQ__ROWS <= nb)
                for (size_t i = 0; i < CQ__ROWS; i++) s[i] = *(a - i0 - i);
            else
                for (size_t i = 0; i < CQ__ROWS; i++) s[i] = i0 + i >= k && i0 + i < nb ? *(a - i0 - i) : 0.0f;
        }
    }
    for (size_t k0 = 0; k0 < nb; k0 += CQ__PACK_STRIP) {
        const size_t first = k0 / CQ__ROWS, panels = ld / CQ__ROWS - first, columns = cq__min(CQ__PACK_STRIP, nb - k0);
        const size_t corner = (k0 % CQ__ROWS + columns + CQ__ROWS - 1) / CQ__ROWS;
        float *s = job->s + first * apart, *rows = job->rows + first * CQ__ROWS;
        cq__factor_chain(job, s, panels, k0, columns);
        if (!cq__factor_corner(job, s, corner, k0, columns, rows, least, bad)) return false;
        cq__factor_eliminate(job, s + corner * apart, panels - corner, k0, columns, rows + corner * CQ__ROWS, ld);
        for (size_t k = k0; k < k0 + columns; k++) {
            const float *row = job->rows + (k0 + columns - 1 - k) * ld;
            for (size_t i = k + 1; i < nb; i++) job->a[(end - 1 - k) * job->n + end - 1 - i] = row[i];
            for (size_t i = k0 + CQ__PACK_STRIP; i < nb; i += CQ__PACK_STRIP)
                cq__copy_strip(job->us + i * job->stride + k * CQ__PACK_STRIP, row + i);
        }
    }
    return true;
}
static void cq__factor_panels(void *arg, size_t index) { /* step 2 */
    const cq__factor_job *job = (const cq__factor_job *)arg;
    const size_t width = CQ__FACTOR_TASK * CQ__ROWS, r0 = index * width, apart = job->stride * CQ__ROWS;
    float *p = job->minus_p + r0 * job->stride, *u = job->u + r0 * job->stride;
    for (size_t k0 = 0; k0 < job->nb; k0 += CQ__PACK_STRIP) {
        const size_t k1 = cq__min(k0 + CQ__PACK_STRIP, job->nb);
        for (size_t k = k0; k < k1; k++) {
            const float *a = job->a + (job->j0 + job->nb - 1 - k) * job->n + r0;
            for (size_t i = 0; i < CQ__FACTOR_TASK; i++) {
                float h[CQ__ROWS];
                for (size_t m = 0; m < CQ__ROWS; m++) h[m] = a[i * CQ__ROWS + m];
                for (size_t m = 0; m < CQ__ROWS; m++) p[i * apart + k * CQ__ROWS + m] = h[m];
            }
        }
        for (size_t k = k1; k < cq__min(k1 + CQ__PACK_STRIP, job->nb); k++) /* the next ones come from afar */
            for (size_t i = 0; i < width; i += CQ__ROWS)
                CQ__PREFETCH(job->a + (job->j0 + job->nb - 1 - k) * job->n + r0 + i);
        cq__factor_chain(job, p, CQ__FACTOR_TASK, k0, k1 - k0);
        cq__factor_eliminate(job, p, CQ__FACTOR_TASK, k0, k1 - k0, job->a + (job->j0 + job->nb - k1) * job->n + r0,
                             job->n);
        for (size_t k = k0; k < k1; k++) {
            const float *row = job->a + (job->j0 + job->nb - 1 - k) * job->n + r0;
            for (size_t i = 0; i < width; i += CQ__PACK_STRIP)
                cq__copy_strip(u + i * job->stride + k * CQ__PACK_STRIP, row + i);
        }
    }
}
static void cq__factor_sizes(cq__factor_job *job, size_t n, size_t *above) {
    job->stride = cq__min(n, CQ__FACTOR);
    job->ld = (job->stride + 47) / 48 * 48;
    *above = (n - 1) / CQ__FACTOR * CQ__FACTOR;
}
static size_t cq__factor_scratch(size_t n) { /* floats at v of the function below */
    cq__factor_job job;
    size_t above, v, square;
    cq__factor_sizes(&job, n, &above);
    square = CQ__PACK_STRIP * job.ld + (job.ld + cq__strips_size(job.stride)) * job.stride;
    return cq__mul(above, 2 * CQ__FACTOR, &v) && cq__add(v, square, &v) ? v : SIZE_MAX;
}
static bool cq__udut_blocked(const cq_context *ctx, float *a, float *d, float *v, size_t n, float least, size_t *bad) {
    size_t above;
    cq__factor_job job;
    cq__square_job rest;
    cq__factor_sizes(&job, n, &above);
    job.ctx = rest.ctx = ctx;
    job.a = rest.c = a;
    job.d = d;
    job.n = rest.ldc = n;
    job.minus_p = v;
    job.u = job.minus_p + above * job.stride;
    job.s = job.u + above * job.stride;
    job.us = job.s + job.ld * job.stride;
    job.rows = job.us + cq__strips_size(job.stride) * job.stride;
    rest.a = rest.edge = job.minus_p;
    rest.b = job.u;
    rest.lda = CQ__ROWS;
    rest.a_stride = job.stride * CQ__ROWS;
    rest.b_stride = job.stride * CQ__PACK_STRIP;
    rest.lower = true;
    rest.mirror = false;
    for (size_t end = n; end > 0; end = job.j0) {
        job.j0 = (end - 1) / CQ__FACTOR * CQ__FACTOR; /* so everything above is made of whole squares */
        rest.depth = job.nb = end - job.j0;
        rest.m = rest.n = job.j0;
        if (!cq__factor_square(&job, least, bad)) return false;
        cq_parallel_for(ctx, job.j0 / (CQ__FACTOR_TASK * CQ__ROWS), cq__factor_panels, &job);
        cq__square_run(&rest);
    }
    return true;
}
/* Sorts columns by H[c][c] descending, the lower index first when equal: the same order everywhere. Heap sort: a parent
   comes after its children, so the top is the column for the last free place. */
CQ__INLINE bool cq__act_after(const float *h, size_t cols, uint32_t a, uint32_t b) {
    float x = h[(size_t)a * cols + a], y = h[(size_t)b * cols + b];
    return x < y || (x == y && a > b);
}
static void cq__act_order(uint32_t *perm, const float *h, size_t cols, size_t n) { /* the n columns in perm */
    size_t build = n / 2, end = n;
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
/* Columns of each group sorted, then groups by their loudest column, as arXiv 2505.14638 has it; a last group that is
   shorter stays last. perm holds 0, 1, 2, ... */
static void cq__group_order(uint32_t *perm, const float *h, size_t cols, size_t size) {
    size_t groups = cols / size;
    for (size_t g = 0; g < groups; g++) cq__act_order(perm + g * size, h, cols, size);
    cq__act_order(perm + groups * size, h, cols, cols - groups * size);
    for (size_t g = 0; g + 1 < groups; g++) { /* selection sort: few groups, and each exchange moves whole ones */
        size_t best = g;
        for (size_t i = g + 1; i < groups; i++)
            if (cq__act_after(h, cols, perm[best * size], perm[i * size])) best = i;
        for (size_t k = 0; k < size && best != g; k++) {
            uint32_t swap = perm[g * size + k];
            perm[g * size + k] = perm[best * size + k];
            perm[best * size + k] = swap;
        }
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
    if (!out->slots) out->slots = 4;
    if (out->static_scales && out->order == CQ_GPTQ_ACT_GROUPS) out->order = CQ_GPTQ_ACT_STATIC;
    if (out->order == CQ_GPTQ_ACT_STATIC) out->static_scales = true;
    if (!cols || cols > UINT32_MAX)
        return cq_fail_at(err, CQ_ERR_ARG, "a layer has between 1 and 2^32 - 1 columns", NULL, 0, UINT64_MAX,
                          (int64_t)cols);
    if (!cq_format_is_coded(out->format))
        return cq_fail_at(err, CQ_ERR_ARG, "the format must be one with codes: CQ_INT4, CQ_MXFP4 ...", NULL, 0,
                          UINT64_MAX, (int64_t)out->format);
    if (out->asym && !cq_format_is_int(out->format))
        return cq_fail_at(err, CQ_ERR_ARG, "only integer formats have zero points: asym must be false", NULL, 0,
                          UINT64_MAX, (int64_t)out->format);
    if ((unsigned)out->order > CQ_GPTQ_ACT_GROUPS)
        return cq_fail_at(err, CQ_ERR_ARG, "unknown cq_gptq_order", NULL, 0, UINT64_MAX, (int64_t)out->order);
    if ((unsigned)out->search > CQ_GPTQ_FLOOR)
        return cq_fail_at(err, CQ_ERR_ARG, "unknown cq_gptq_search", NULL, 0, UINT64_MAX, (int64_t)out->search);
    if (!(out->damp > 0.0f && out->damp <= 1.0f))
        return cq_fail(err, CQ_ERR_ARG, "damp must be above 0 and at most 1 (or 0: 0.01)");
    if (out->sweeps > 1000 && out->sweeps != CQ_GPTQ_NO_SWEEPS)
        return cq_fail_at(err, CQ_ERR_ARG, "at most 1000 sweeps, or CQ_GPTQ_NO_SWEEPS: none in the pass either", NULL,
                          0, UINT64_MAX, (int64_t)out->sweeps);
    if (out->slots > 4096)
        return cq_fail_at(err, CQ_ERR_ARG, "at most 4096 slots; about the number of threads is right", NULL, 0,
                          UINT64_MAX, (int64_t)out->slots);
    return CQ_OK;
}
/* columns in a group, of a desc that need not be resolved */
static size_t cq__group_size(const cq_gptq_desc *desc, size_t cols) {
    size_t g = !desc->group_size && cq_format_is_mx(desc->format) ? 32 : desc->group_size;
    return g && g < cols ? g : cols;
}
CQUANT_DEF size_t cq_gptq_groups(const cq_gptq_desc *desc, size_t cols) {
    size_t g = cq__group_size(desc, cols);
    return g ? (cols - 1) / g + 1 : 0;
}

/* Passes over a large H, 64 rows a task. */
typedef struct cq__prepare_job {
    const cq_factor *f;
    const float *h;
    float *fault;  /* (tasks): not 0 when something is wrong with these rows */
    float *scaled; /* (cols, 2, ld of local): for each block D U^T, then U^T */
    const cq_context *ctx;
} cq__prepare_job;
/* Rounding errors of a sum of x x^T are small beside sqrt(H[r][r] H[c][c]). False too when anything is not finite. */
CQ__INLINE bool cq__symmetric(const float *h, size_t n, size_t r, size_t c) {
    double d = (double)h[r * n + c] - (double)h[c * n + r];
    return d * d <= 1e-6 * (double)h[r * n + r] * (double)h[c * n + c];
}
/* H[r][c] and H[c][r] for r < r1 from r0 and c < c1 from c0. What cq_syrk has made is equal bit for bit and finite: one
   look at the bits, of which all exponent bits are set in NaN and infinity. */
static bool cq__symmetric_square(const float *h, size_t n, size_t r0, size_t r1, size_t c0, size_t c1) {
    uint32_t differ = 0, over = 0;
    for (size_t c = c0; c < c1; c++)
        for (size_t r = r0; r < r1; r++) {
            const uint32_t u = cq__bits(h[r * n + c]);
            differ |= u ^ cq__bits(h[c * n + r]);
            over |= (u & 0x7fffffffu) + 0x00800000u;
        }
    if (!(differ | over >> 31)) return true;
    for (size_t c = c0; c < c1; c++)
        for (size_t r = r0; r < r1; r++)
            if (!cq__symmetric(h, n, r, c)) return false;
    return true;
}
static void cq__factor_check(void *arg, size_t index) {
    const cq__prepare_job *job = (const cq__prepare_job *)arg;
    const size_t n = job->f->cols, begin = index * 64, end = cq__min(begin + 64, n);
    bool good = true;
    for (size_t c0 = 0; c0 < end; c0 += 64) /* squares of 64: rows of the one are columns of the other */
        for (size_t r0 = begin; r0 < end; r0 += 8) { /* 8 rows: n may be a power of 2, and a set of L1 has 8 lines */
            const size_t c1 = c0 + 64 + (r0 - begin); /* the next squares come from afar: 8 rows of each */
            for (size_t i = 0; i < 64 && c1 < end; i += CQ__ROWS)
                for (size_t k = 0; k < 8; k++) {
                    CQ__PREFETCH(job->h + cq__min(r0 + k, end - 1) * n + cq__min(c0 + 64 + i, end - 1));
                    CQ__PREFETCH(job->h + cq__min(c1 + k, end - 1) * n + cq__min(begin + i, end - 1));
                }
            good &= cq__symmetric_square(job->h, n, r0, cq__min(r0 + 8, end), c0, cq__min(c0 + 64, end));
        }
    job->fault[index] = good ? 0.0f : 1.0f;
}
static void cq__factor_copy(void *arg, size_t index) { /* the lower triangle of H + lambda I, in processing order */
    const cq__prepare_job *job = (const cq__prepare_job *)arg;
    const cq_factor *f = job->f;
    size_t n = f->cols;
    for (size_t i = index * 64; i < cq__min(index * 64 + 64, n); i++) {
        const float *row = job->h + (size_t)f->perm[i] * n;
        const float *next = job->h + (size_t)f->perm[cq__min(i + 1, n - 1)] * n;
        for (size_t j = 0; j < n; j += CQ__ROWS) CQ__PREFETCH(next + j);
        for (size_t j = 0; j <= i; j++) f->ut[i * n + j] = row[f->perm[j]];
        f->ut[i * n + i] = f->ut[i * n + i] + f->lambda;
    }
}

#define CQ__SOLVE_BLOCK 128u
CQ__INLINE size_t cq__local_ld(size_t cols) { return (cq__min(cols, CQ__SOLVE_BLOCK) + 31) / 32 * 32; }
static void cq__factor_local(void *arg, size_t index) {
    const cq__prepare_job *job = (const cq__prepare_job *)arg;
    const cq_factor *f = job->f;
    const size_t ld = cq__local_ld(f->cols), begin = index * CQ__SOLVE_BLOCK;
    const size_t n = cq__min(CQ__SOLVE_BLOCK, f->cols - begin);
    float *scaled = job->scaled + 2 * begin * ld, *unit = scaled + n * ld, *local = f->local + begin * ld;
    for (size_t t = 0; t < n; t++) {
        float *u = f->ut + (begin + t) * f->cols + begin, d = f->d[begin + t];
        u[t] = 1.0f;
        for (size_t k = t + 1; k < n; k++) u[k] = 0.0f;
        for (size_t k = 0; k < n; k++) unit[t * ld + k] = u[k]; /* side by side: rows of U may be a power of 2 apart */
        for (size_t k = 0; k < n; k++) scaled[t * ld + k] = u[k] * d;
        for (size_t k = n; k < ld; k++) scaled[t * ld + k] = 0.0f;
        for (size_t k = 0; k < ld; k++) local[t * ld + k] = 0.0f;
    }
    for (size_t j = 0; j < n; j += CQ__PACK_STRIP) /* U^T[t][j] is 0 before t = j */
        job->ctx->k->fma_f32(local + j * ld, 16, ld, scaled + j * ld, 16, ld, unit + j * ld + j, ld, 1, n - j,
                             cq__min(CQ__PACK_STRIP, n - j), ld / 16);
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
    f->group_size = d.order == CQ_GPTQ_GROUP_AWARE ? d.group_size : 0;
    f->damp = d.damp;
    f->lambda = 0.0f;
    f->dead = 0;
    f->ut = (float *)cq__reserve_2d(arena, n, n, sizeof(float));
    f->d = (float *)cq__reserve(arena, n, sizeof(float));
    f->local = (float *)cq__reserve_2d(arena, n, cq__local_ld(n), sizeof(float));
    f->perm = (uint32_t *)cq__reserve(arena, n, sizeof(uint32_t));
    const size_t scratch = cq__factor_scratch(n), both = 2 * n * cq__local_ld(n); /* cols < 2^32, reserved above */
    float *v = (float *)cq__reserve(arena, scratch > both ? scratch : both, sizeof(float));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the factor: ask a dry run for the size");
    if (!arena->base) return CQ_OK;
    if (h->waiting) return cq_fail(err, CQ_ERR_ARG, "rows wait to be added to H: call cq_hessian_finish first");

    cq__prepare_job prepare;
    prepare.f = f;
    prepare.h = h->h;
    prepare.fault = v;
    prepare.ctx = ctx;
    for (size_t i = 0; i < (n + 63) / 64; i++) v[i] = 0.0f;
    cq_parallel_for(ctx, (n + 63) / 64, cq__factor_check, &prepare);
    bool fault = false;
    for (size_t i = 0; i < (n + 63) / 64; i++) fault = fault || v[i] != 0.0f;
    for (size_t r = 0; r < n && fault; r++)
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
    for (size_t r = 0; r < n && fault; r++)
        for (size_t c = 0; c < r; c++)
            if (!cq__symmetric(h->h, n, r, c))
                return cq_fail_at(err, CQ_ERR_ARG, "Hessian is not symmetric (row, column): it is no sum of x x^T",
                                  NULL, 0, r, (int64_t)c);
    float mean = (float)(trace / (double)n);
    if (!(mean > 0.0f)) mean = 1.0f; /* no input at all: H = lambda I, which is rounding to nearest */
    if (d.order == CQ_GPTQ_GROUP_AWARE) cq__group_order(f->perm, h->h, n, d.group_size);
    else if (d.order != CQ_GPTQ_NATURAL) cq__act_order(f->perm, h->h, n, n);
    for (;;) {
        f->lambda = f->damp * mean;
        cq_parallel_for(ctx, (n + 63) / 64, cq__factor_copy, &prepare);
        if (cq__udut_blocked(ctx, f->ut, f->d, v, n, 0.5f * f->lambda, &bad)) break;
        if (!(f->damp < 1.0f))
            return cq_fail_at(err, CQ_ERR_NOT_SPD, "Hessian has no factor even with damp = 1 (column of the bad pivot)",
                              NULL, 0, f->perm[bad], INT64_MIN);
        f->damp = f->damp < 0.5f ? 2.0f * f->damp : 1.0f;
    }
    prepare.scaled = v;
    cq_parallel_for(ctx, (n + CQ__SOLVE_BLOCK - 1) / CQ__SOLVE_BLOCK, cq__factor_local, &prepare);
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 4 grids]
   The codes of a group are (w / scale) + zero, rounded and clipped. A scale that just covers the largest weight
   (minmax) spends codes on one weight and makes all steps wide; a smaller one clips that weight and serves the others
   better. So try smaller ones, on a ladder of 80 down to 0.3 of it, and take that with the least weighted error, the
   sum of c_k (w_k - q_k)^2: every eighth rung first, then those 4, 2 and 1 beside the best so far. The right c_k are
   the pivots: the loss is the sum of D_k r_k^2 (LESSON 2), and r_k is the rounding error of column k. With these
   weights a column with a huge input gets its weight *on* the grid. A scale is rounded to what the format stores
   before it is judged. E8M0 scales are powers of two: there only three are worth a look, the one that covers the group
   and a half and a quarter of it.

   Sixteen rows lie side by side from here on: x[k][16]. The loops over 16 lanes are what compilers vectorise.
   ================================================================================================================== */
#define CQ__RUNGS 80
#define CQ__SPAN 0.7f /* how far the ladder goes down */
#define CQ__COARSE 8
typedef struct cq__lanes { /* the grids of one group for 16 rows, as cq__kernels has them. A weight is level * scale; of
                              integers the level is code - zero, of small floats the number itself */
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
/* The grids of `full`, whose groups go down to low <= 0, made smaller. Loops without branches: compilers make vectors
   of them. */
static void cq__lanes_shrink(cq__lanes *l, const cq__lanes *full, const float *low, const float *shrink,
                             const cq_gptq_desc *desc) {
    const unsigned stored = cq__facts(desc->format)->scale;
    const float least = cq_e8m0_to_f32(0), top = (float)cq__top(desc->format);
    for (size_t i = 0; i < 16; i++) {
        float scale = full->scale[i] * shrink[i];
        scale = stored == 2 ? cq__round_half(scale) : stored == 1 && scale < least ? least : scale;
        l->scale[i] = scale;
        l->zero[i] = full->zero[i];
        l->lo[i] = scale > 0.0f ? full->lo[i] : 0.0f;
        l->hi[i] = scale > 0.0f ? full->hi[i] : 0.0f;
    }
    for (size_t i = 0; i < 16 && desc->asym; i++) {
        float zero = -low[i] * shrink[i] / (l->scale[i] > 0.0f ? l->scale[i] : 1.0f);
        zero = cq__round_even(zero < top ? zero : top);
        l->zero[i] = zero;
        l->lo[i] = l->scale[i] > 0.0f ? -zero : 0.0f;
        l->hi[i] = l->scale[i] > 0.0f ? top - zero : 0.0f;
    }
}
/* x (n, 16): weights of a group; weight (n): the c_k above */
static void cq__lanes_choose(const cq__kernels *kernels, cq__lanes *l, const float *x, const float *weight, size_t n,
                             const cq_gptq_desc *desc) {
    const cq__steps steps = cq__steps_of(cq__facts(desc->format)->mini);
    const bool mx = cq_format_is_mx(desc->format);
    const int coarse = mx ? 3 : CQ__RUNGS / CQ__COARSE, tries = coarse + (mx ? 0 : 6);
    float lo[16], hi[16], best[16], rung[16], middle[16];
    cq__lanes full, t;
    for (size_t i = 0; i < 16; i++) lo[i] = hi[i] = 0.0f;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < 16; i++) {
            lo[i] = x[k * 16 + i] < lo[i] ? x[k * 16 + i] : lo[i];
            hi[i] = x[k * 16 + i] > hi[i] ? x[k * 16 + i] : hi[i];
        }
    for (size_t i = 0; i < 16; i++) {
        float range[2];
        range[0] = lo[i];
        range[1] = hi[i];
        cq__lanes_set(&full, i,
                      desc->search == CQ_GPTQ_FLOOR ? cq_grid_floor(range, 2, desc->format)
                                                    : cq_grid_minmax(range, 2, desc->format, desc->asym),
                      &steps);
        best[i] = CQ__INFINITY;
        rung[i] = middle[i] = 0.0f;
    }
    cq__copy(l, &full, sizeof full);
    if (desc->search >= CQ_GPTQ_MINMAX) return;
    for (int i = 0; i < tries; i++) {
        float place[16], shrink[16], inverse[16], cost[16];
        const int turn = i - coarse; /* beside the best: 4 -4 2 -2 1 -1 */
        const int step = turn < 0 ? 0 : (CQ__COARSE / 2 >> turn / 2) * (turn % 2 ? -1 : 1);
        if (step > 0) cq__copy(middle, rung, sizeof middle);
        for (size_t j = 0; j < 16; j++) {
            place[j] = i < coarse ? (float)(i * CQ__COARSE) : middle[j] + (float)step;
            place[j] = place[j] > 0.0f ? place[j] : 0.0f;
            shrink[j] = mx ? 1.0f / (float)(1 << i) : 1.0f - CQ__SPAN / CQ__RUNGS * place[j];
        }
        cq__lanes_shrink(&t, &full, lo, shrink, desc);
        for (size_t j = 0; j < 16; j++) inverse[j] = t.scale[j] > 0.0f ? 1.0f / t.scale[j] : 0.0f;
        kernels->cost16(cost, x, weight, n, t.scale, inverse, &steps);
        for (size_t j = 0; j < 16; j++) {
            const bool better = cost[j] < best[j];
            best[j] = better ? cost[j] : best[j];
            rung[j] = better ? place[j] : rung[j];
            l->scale[j] = better ? t.scale[j] : l->scale[j];
            l->zero[j] = better ? t.zero[j] : l->zero[j];
            l->lo[j] = better ? t.lo[j] : l->lo[j];
            l->hi[j] = better ? t.hi[j] : l->hi[j];
        }
    }
}
/* levels of 16 rows to codes */
CQ__INLINE void cq__lanes_code(uint8_t *q, const cq__lanes *l, const float *level, unsigned mini) {
    for (size_t i = 0; i < 16; i++)
        q[i] = mini < CQ_MINI_COUNT ? cq__mini_code(&cq__minis[mini], level[i])
                                    : (uint8_t)(int32_t)(level[i] + l->zero[i]);
}

/* ===================================================================================================================
   [LESSON 5 sixteen rows at a time]
   Rows are independent, so SIMD lanes are rows: a panel of 16 rows is kept as [column][16]. The sum of LESSON 2,
       x_k = w_k + sum over j < k of e_j U_jk,
   is cut in three so that nearly all of it is a product of matrices:
     unit    the columns whose scales are chosen together: a group when scales are chosen on the way, else all. At its
             start: x[unit] += e[before the unit] U[before, unit]; then the scales are chosen.
     block   128 columns of a unit: x[block] += e[unit before the block] U[.., block].
     step    12 columns of a block: the same for the block before them; then one column after the other: round, and
             x[step after k] += e_k U_k. (So every sum is the chain over j = 0, 1, 2, ... whatever the sizes are.)
   U is read once for a *strip* of up to four panels. A slot owns scratch for one strip and takes every slots-th one.
   ================================================================================================================== */
#define CQ__SOLVE_STEP 12u
#define CQ__AGAIN_STEP (2 * CQ__SOLVE_STEP)
#define CQ__STRIP 4u         /* panels in a strip at most */

typedef struct cq__slot { /* scratch for a strip: each (panels, cols, 16), but lanes (panels, groups) */
    float *w;         /* the weights, natural order; of a column that is decided: its levels */
    float *x;         /* weights plus carried errors, processing order; after the pass: gradients, natural order */
    float *e;         /* w - q; processing order during the pass, natural after it */
    float *g, *change; /* (panels, ld of local, 16): of a block, its gradients, and what was added to e */
    cq__lanes *lanes;
    double loss[CQ__STRIP]; /* of each panel, with the damped H, so far */
    bool fault;             /* a weight is not finite */
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

/* panel (cols, 16) = w (rows, ldw) transposed, in squares of 16 that stay in the cache; rows that do not exist are 0.
   False when it holds NaN or infinity. */
static bool cq__panel_load(float *panel, const float *w, size_t ldw, size_t rows, size_t cols) {
    float square[16][16], sum[16];
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++) square[i][j] = sum[j] = 0.0f;
    for (size_t c0 = 0; c0 < cols; c0 += 16, panel += 256) {
        const size_t n = cq__min(16, cols - c0);
        for (size_t i = 0; i < rows; i++) cq__copy(square[i], w + i * ldw + c0, n * sizeof(float));
        for (size_t i = 0; i < 16; i++)
            for (size_t j = 0; j < 16; j++) sum[j] = sum[j] + (square[i][j] - square[i][j]);
        for (size_t j = 0; j < n; j++)
            for (size_t i = 0; i < 16; i++) panel[j * 16 + i] = square[i][j];
    }
    for (size_t j = 1; j < 16; j++) sum[0] = sum[0] + sum[j];
    return sum[0] == 0.0f;
}

/* c[p][j][16] += chain over t < k of a[p][t][16] b[j][t], for j < n and each panel p */
static void cq__lanes_product(const cq_context *ctx, float *c, size_t cp, const float *a, size_t ap, const float *b,
                              size_t ldb, size_t k, size_t n, size_t panels) {
    ctx->k->fma_f32(c, cp, 16, a, ap, 16, b, 1, ldb, k, n, panels);
}

/* adds up, per panel, what the kernels have found for each of its rows */
static void cq__add_loss(cq__slot *s, size_t panels, float loss[CQ__STRIP][16]) {
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < 16; i++) s->loss[p] += (double)loss[p][i];
}

/* Columns 0 .. n-1 of a block, for LESSON 6: what a sweep works on, wherever that lies */
typedef struct cq__descent {
    float *g;             /* (panels, n, 16), gp apart: gradient */
    size_t gp;
    float *e;             /* (panels, n, 16), cols * 16 apart: w - q */
    const float *h;       /* (n, ldh) */
    size_t ldh;
    float own;            /* added to the diagonal of h */
    const uint32_t *perm; /* natural index of each column; NULL: first, first + 1, ... */
    size_t first;
    bool again;           /* the gradients are read again afterwards */
} cq__descent;

/* The best level for each column, given all others. Steps of 12 as in the pass: a change of e goes to the gradients of
   its step at once, to the others with the step: to those of later columns, and, if they are read again, of earlier
   ones. s->change has all changes. */
static void cq__descend(const cq__solve_job *job, cq__slot *s, size_t panels, const cq__descent *d, size_t n) {
    const cq__steps steps = cq__steps_of(cq__facts(job->desc.format)->mini);
    const size_t next = job->cols * 16, cp = cq__local_ld(job->cols) * 16;
    float loss[CQ__STRIP][16];
    cq__fill(loss, 0, sizeof loss);
    for (size_t s0 = 0, s1; s0 < n; s0 = s1) {
        s1 = cq__min(s0 + CQ__SOLVE_STEP, n);
        const float *change = s->change + s0 * 16, *h = d->h + s0;
        for (size_t k = s0; k < s1; k++) {
            const size_t c = d->perm ? d->perm[k] : d->first + k;
            for (size_t p = 0; p < panels; p++)
                job->ctx->k->descend16(s->w + p * next + c * 16, d->g + p * d->gp + k * 16, d->e + p * next + k * 16,
                                       s->change + p * cp + k * 16, loss[p], d->h[k * d->ldh + k] + d->own, d->own,
                                       s->lanes[p * job->groups + job->group[c]].scale, &steps);
            cq__lanes_product(job->ctx, d->g + s0 * 16, d->gp, s->change + k * 16, cp, d->h + s0 * d->ldh + k, d->ldh,
                              1, s1 - s0, panels);
        }
        if (d->again) cq__lanes_product(job->ctx, d->g, d->gp, change, cp, h, d->ldh, s1 - s0, s0, panels);
        cq__lanes_product(job->ctx, d->g + s1 * 16, d->gp, change, cp, h + s1 * d->ldh, d->ldh, s1 - s0, n - s1,
                          panels);
    }
    cq__add_loss(s, panels, loss);
}
/* A block that the pass has just decided, once more: LESSON 6. x holds D r, and is free afterwards. */
static void cq__block_again(const cq__solve_job *job, cq__slot *s, size_t panels, size_t begin, size_t end) {
    const cq_factor *f = job->f;
    const size_t n = end - begin, ld = cq__local_ld(job->cols), gp = ld * 16;
    cq__descent d;
    for (size_t i = 0; i < panels * gp; i++) s->g[i] = 0.0f;
    for (size_t k = 0; k < n; k += CQ__AGAIN_STEP) /* above the diagonal U^T is 0 */
        job->ctx->k->fma_f32(s->g + k * 16, gp, 16, s->x + (begin + k) * 16, job->cols * 16, 16,
                             f->ut + (begin + k) * job->cols + begin + k, job->cols, 1, n - k,
                             cq__min(CQ__AGAIN_STEP, n - k), panels);
    d.g = s->g;
    d.gp = gp;
    d.e = s->e + begin * 16;
    d.h = f->local + begin * ld;
    d.ldh = ld;
    d.own = 0.0f;
    d.perm = f->perm + begin;
    d.first = 0;
    d.again = false;
    cq__descend(job, s, panels, &d, n);
}

/* One block of a strip; x of it has the errors of all columns before the block. Leaves D r in x (LESSON 2). */
static void cq__solve_block(const cq__solve_job *job, cq__slot *s, size_t panels, size_t begin, size_t end) {
    const cq_factor *f = job->f;
    const size_t cols = job->cols, next = cols * 16;
    const cq__steps steps = cq__steps_of(cq__facts(job->desc.format)->mini);
    float *x = s->x, *e = s->e, loss[CQ__STRIP][16];
    cq__fill(loss, 0, sizeof loss);
    for (size_t s0 = begin, s1; s0 < end; s0 = s1) {
        s1 = cq__min(s0 + CQ__SOLVE_STEP, end);
        cq__lanes_product(job->ctx, x + s0 * 16, next, e + begin * 16, next, f->ut + s0 * cols + begin, cols,
                          s0 - begin, s1 - s0, panels);
        for (size_t k = s0; k < s1; k++) {
            const size_t c = f->perm[k];
            for (size_t p = 0; p < panels; p++)
                job->ctx->k->decide16(x + p * next + k * 16, e + p * next + k * 16, s->w + p * next + c * 16, loss[p],
                                      f->d[k], s->lanes[p * job->groups + job->group[c]].scale, &steps);
            cq__lanes_product(job->ctx, x + (k + 1) * 16, next, e + k * 16, next, f->ut + (k + 1) * cols + k, cols, 1,
                              s1 - k - 1, panels);
        }
    }
    cq__add_loss(s, panels, loss);
}

static void cq__solve_pass(const cq__solve_job *job, cq__slot *s, size_t panels) {
    const cq_factor *f = job->f;
    const bool fixed = job->desc.static_scales, again = fixed && job->desc.sweeps != CQ_GPTQ_NO_SWEEPS;
    const size_t cols = job->cols, next = cols * 16, size = job->desc.group_size, unit = fixed ? cols : size;
    float *x = s->x, *e = s->e;
    for (size_t p = 0; p < panels; p++)
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < 16; i++) x[p * next + k * 16 + i] = s->w[p * next + (size_t)f->perm[k] * 16 + i];
    for (size_t p = 0; p < panels && fixed; p++)
        for (size_t g = 0; g < job->groups; g++)
            cq__lanes_choose(job->ctx->k, s->lanes + p * job->groups + g, s->w + p * next + g * size * 16,
                             job->weight + g * size, cq__min(size, cols - g * size), &job->desc);
    for (size_t u0 = 0, u1; u0 < cols; u0 = u1) {
        u1 = cq__min(unit, cols - u0) + u0;
        cq__lanes_product(job->ctx, x + u0 * 16, next, e, next, f->ut + u0 * cols, cols, u0, u1 - u0, panels);
        for (size_t p = 0; p < panels && !fixed; p++)
            cq__lanes_choose(job->ctx->k, s->lanes + p * job->groups + job->group[f->perm[u0]], x + p * next + u0 * 16,
                             job->weight + u0, u1 - u0, &job->desc);
        for (size_t b0 = u0, b1; b0 < u1; b0 = b1) {
            b1 = cq__min(CQ__SOLVE_BLOCK, u1 - b0) + b0;
            cq__lanes_product(job->ctx, x + b0 * 16, next, e + u0 * 16, next, f->ut + b0 * cols + u0, cols, b0 - u0,
                              b1 - b0, panels);
            cq__solve_block(job, s, panels, b0, b1);
            if (again) cq__block_again(job, s, panels, b0, b1);
        }
    }
}

/* ===================================================================================================================
   [LESSON 6 second thoughts]
   GPTQ decides on each column once, with the later ones still free. When a block of 128 columns is decided, and those
   after it are still free, each of its columns can be looked at again, all others given. What the loss is then, the
   later columns doing their best, is the sum of D_k r_k^2 up to the block; so within the block the matrix is U D U^T
   of the block alone (cq_factor.local), and the gradient with respect to e is g_k = sum of D_t r_t U_kt. Of that loss
   as a function of q_k alone the minimum lies at q_k + g_k / H[k][k]; so take the nearest code to that, and go on
   (coordinate descent). The loss can only fall. On synthetic and on real layers that took 1 to 6 % off it, for 128 /
   cols of the work that a sweep over all columns is; in blocks of 256 it gave no more.

   Likewise the scales, when all codes are fixed: with K = levels in one group and 0 elsewhere, adding delta to its
   scale changes the loss by -2 delta (g . K) + delta^2 K H K^T, g = e H. The best delta is (g . K) / (K H K^T); the
   new scale is rounded to fp16 and taken if, so rounded, it still lowers the loss. Each group sees the changes of
   those before (Gauss-Seidel).

   Sweeps over all columns after the pass can be had too, the scales of each group refitted as soon as it is done. A
   sweep, or a refit alone, takes twice the pass. On a Dream of 5 million parameters the refit takes 1.8 % off the KL
   divergence from the model itself on held-out text, two sweeps 2.6 % (the mean of six draws of calibration text,
   which lie 1 % apart); on SmolLM2-135M, where they lie 10 % apart, a refit nothing and two sweeps 3 %. So both are
   options.

   Both use the H of the factor, damping included: with few tokens the bare H invites overfitting.
   ================================================================================================================== */
static void cq__sweep_group(const cq__solve_job *job, cq__slot *s, size_t panels, size_t first, size_t last,
                            bool choose) {
    const size_t cols = job->cols, next = cols * 16;
    const float *h = job->f->h;
    float *g = s->x;
    for (size_t begin = first, end; begin < last; begin = end) {
        end = cq__min(begin + CQ__SOLVE_BLOCK, last);
        for (size_t p = 0; p < panels; p++)
            job->ctx->k->scale(g + p * next + begin * 16, s->e + p * next + begin * 16, NULL, job->f->lambda,
                               (end - begin) * 16);
        cq__lanes_product(job->ctx, g + begin * 16, next, s->e, next, h + begin * cols, cols, cols, end - begin,
                          panels);
        if (!choose) continue;
        cq__descent d;
        d.g = g + begin * 16;
        d.gp = next;
        d.e = s->e + begin * 16;
        d.h = h + begin * cols + begin;
        d.ldh = cols;
        d.own = job->f->lambda;
        d.perm = NULL;
        d.first = begin;
        d.again = true;
        cq__descend(job, s, panels, &d, end - begin);
        cq__lanes_product(job->ctx, g + first * 16, next, s->change, cq__local_ld(cols) * 16, h + first * cols + begin,
                          cols, end - begin, begin - first, panels); /* the group's columns before the block */
    }
}

/* sum += a b for 16 lanes, over n columns */
CQ__INLINE void cq__lanes_dot(float *sum, const float *a, const float *b, size_t n) {
    float s[16], x[16], y[16];
    cq__copy(s, sum, sizeof s);
    for (size_t k = 0; k < n * 16; k += 16) {
        cq__copy(x, a + k, sizeof x);
        cq__copy(y, b + k, sizeof y);
        for (size_t i = 0; i < 16; i++) s[i] = s[i] + x[i] * y[i];
    }
    cq__copy(sum, s, sizeof s);
}
/* x of the group holds the gradient, and is free afterwards */
static void cq__refit_group(const cq__solve_job *job, cq__slot *s, size_t panels, size_t group) {
    const size_t begin = group * job->desc.group_size, n = cq__min(job->desc.group_size, job->cols - begin);
    const size_t next = job->cols * 16;
    const float *levels = s->w + begin * 16; /* K */
    float *g = s->x + begin * 16, *e = s->e + begin * 16, dot[CQ__STRIP][16], square[16];
    cq__fill(dot, 0, sizeof dot);
    for (size_t p = 0; p < panels; p++) {
        cq__lanes_dot(dot[p], g + p * next, levels + p * next, n);
        job->ctx->k->scale(g + p * next, levels + p * next, NULL, job->f->lambda, n * 16);
    }
    cq__lanes_product(job->ctx, g, next, levels, next, job->f->h + begin * job->cols + begin, job->cols, n, n, panels);
    for (size_t p = 0; p < panels; p++) {
        cq__lanes *l = s->lanes + p * job->groups + group;
        float delta[16];
        cq__fill(square, 0, sizeof square);
        cq__lanes_dot(square, g + p * next, levels + p * next, n);
        for (size_t i = 0; i < 16; i++) {
            float scale = square[i] > 0.0f ? l->scale[i] + dot[p][i] / square[i] : 0.0f, less;
            scale = scale < 65504.0f ? cq_grid_make(scale, 0.0f, job->desc.format).scale : 0.0f;
            delta[i] = scale - l->scale[i];
            less = 2.0f * delta[i] * dot[p][i] - delta[i] * square[i] * delta[i];
            if (scale > 0.0f && less > 0.0f) {
                l->scale[i] = scale;
                s->loss[p] -= (double)less;
            } else delta[i] = 0.0f;
        }
        for (size_t k = p * next; k < p * next + n * 16; k += 16) {
            float x[16], y[16];
            cq__copy(x, e + k, sizeof x);
            cq__copy(y, levels + k, sizeof y);
            for (size_t i = 0; i < 16; i++) x[i] = x[i] - delta[i] * y[i];
            cq__copy(e + k, x, sizeof x);
        }
    }
}

static void cq__solve_again(const cq__solve_job *job, cq__slot *s, size_t panels) {
    const bool refit = job->desc.order != CQ_GPTQ_ACT_GROUPS && !cq_format_is_mx(job->desc.format);
    const unsigned sweeps = job->desc.sweeps == CQ_GPTQ_NO_SWEEPS ? 0 : job->desc.sweeps;
    for (unsigned i = 0; i < (sweeps ? sweeps : refit && job->desc.refit ? 1 : 0); i++)
        for (size_t g = 0; g < job->groups; g++) {
            size_t begin = g * job->desc.group_size, end = cq__min(begin + job->desc.group_size, job->cols);
            cq__sweep_group(job, s, panels, begin, end, sweeps != 0);
            if (refit) cq__refit_group(job, s, panels, g);
        }
}

/* ---- what went wrong before ----
   Once earlier layers are quantised, this one reads x where it used to read x', and W x is no longer the aim: W x' is.
   The sum of |W x' - Q x|^2 is, up to a constant, (W' - Q) H (W' - Q)^T with
       W' = W (sum of x' x^T) H^-1 = W + W M H^-1,     M = sum of (x' - x) x^T:
   the weights that, read with x, come nearest to the old output. So the correction is a change of W before everything
   else, and all of the above holds for it. It costs a second run of the model on whole weights, and it can be too much
   of a good thing: M is a small difference of large sums, and with few samples it fits their noise.

   H^-1 needs no inverse. In processing order H + lambda I = U D U^T, so Z U^T = B gives Z from the last column to the
   first, and V U = Z / D then V from the first to the last. M and U are read for some panels of 16 rows at a time: of
   19000 columns they are 1.4 GB each. */
typedef struct cq__correct_job {
    const cq_context *ctx;
    const cq_factor *f;
    const float *mismatch;
    float share, *w;
    size_t ldw, rows;
    float *scratch; /* (slots, 2, panels, cols, 16) */
    size_t slots, panels; /* panels at a time */
} cq__correct_job;

static void cq__correct_strip(const cq__correct_job *job, size_t r0, size_t panels, float *z, float *minus) {
    const cq_factor *f = job->f;
    const cq__kernels *kernels = job->ctx->k;
    const size_t cols = f->cols, next = cols * 16;
    float *swap;
    for (size_t p = 0; p < panels; p++) { /* the weights, then B = W M, natural order */
        const size_t row = r0 + p * 16; /* what is not finite is found in the result */
        (void)cq__panel_load(minus + p * next, job->w + row * job->ldw, job->ldw, cq__min(16, job->rows - row), cols);
    }
    cq__fill(z, 0, panels * next * sizeof(float));
    for (size_t t = 0; t < cols; t += 256)
        kernels->fma_f32(z, next, 16, minus + t * 16, next, 16, job->mismatch + t * cols, cols, 1,
                         cq__min(256, cols - t), cols, panels);
    for (size_t p = 0; p < panels; p++) /* that in processing order */
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < 16; i++)
                minus[p * next + k * 16 + i] = z[p * next + (size_t)f->perm[k] * 16 + i];
    swap = z;
    z = minus;
    minus = swap;
    for (size_t end = cols, begin; end > 0; end = begin) { /* Z U^T = B, 64 columns at a time */
        begin = (end - 1) / 64 * 64;
        for (size_t k = end; k-- > begin;) {
            for (size_t p = 0; p < panels; p++)
                for (size_t i = 0; i < 16; i++) minus[p * next + k * 16 + i] = -z[p * next + k * 16 + i];
            kernels->fma_f32(z + begin * 16, next, 16, minus + k * 16, next, 16, f->ut + k * cols + begin, cols, 1, 1,
                             k - begin, panels);
        }
        kernels->fma_f32(z, next, 16, minus + begin * 16, next, 16, f->ut + begin * cols, cols, 1, end - begin, begin,
                         panels);
    }
    for (size_t p = 0; p < panels; p++) /* V U = Z / D */
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < 16; i++) z[p * next + k * 16 + i] = z[p * next + k * 16 + i] / f->d[k];
    for (size_t begin = 0, end; begin < cols; begin = end) {
        end = cq__min(begin + 64, cols);
        kernels->fma_f32(z + begin * 16, next, 16, minus, next, 16, f->ut + begin * cols, 1, cols, begin, end - begin,
                         panels);
        for (size_t k = begin; k < end; k++) {
            kernels->fma_f32(z + k * 16, next, 16, minus + begin * 16, next, 16, f->ut + k * cols + begin, 1, cols,
                             k - begin, 1, panels);
            for (size_t p = 0; p < panels; p++)
                for (size_t i = 0; i < 16; i++) minus[p * next + k * 16 + i] = -z[p * next + k * 16 + i];
        }
    }
    for (size_t p = 0; p < panels; p++) {
        const float *change = z + p * next;
        const size_t row = r0 + p * 16, n = cq__min(16, job->rows - row);
        for (size_t k = 0; k < cols; k++)
            for (size_t i = 0; i < n; i++) {
                float *w = job->w + (row + i) * job->ldw + f->perm[k];
                *w = *w + job->share * change[k * 16 + i];
            }
    }
}
static void cq__correct_task(void *arg, size_t slot) {
    const cq__correct_job *job = (const cq__correct_job *)arg;
    const size_t step = job->panels * 16, half = job->panels * job->f->cols * 16;
    float *z = job->scratch + slot * 2 * half;
    for (size_t r0 = slot * step; r0 < job->rows; r0 += job->slots * step)
        cq__correct_strip(job, r0, cq__min(job->panels, (job->rows - r0 + 15) / 16), z, z + half);
}

CQUANT_DEF cq_status cq_gptq_correct(const cq_context *ctx, const cq_factor *f, const float *mismatch, float share,
                                     float *w, size_t ldw, size_t rows, cq_arena *arena, cq_error *err) {
    cq__correct_job job;
    size_t mark = arena->used, floats = 0;
    if (!(share > 0.0f && share <= 1.0f)) return cq_fail(err, CQ_ERR_ARG, "share must be above 0 and at most 1");
    if (ldw < f->cols) return cq_fail(err, CQ_ERR_ARG, "ldw, the distance of rows in w, must be at least cols");
    job.ctx = ctx;
    job.f = f;
    job.mismatch = mismatch;
    job.share = share;
    job.w = w;
    job.ldw = ldw;
    job.rows = rows;
    job.slots = 4;
    job.panels = rows < 256 ? 1 : rows < 512 ? 2 : 4;
    if (!cq__mul(f->cols, 2 * 16 * job.panels, &floats)) arena->failed = true;
    job.scratch = (float *)cq__reserve_2d(arena, job.slots, floats, sizeof(float));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small to correct a layer: ask a dry run");
    if (!arena->base) return CQ_OK;
    for (size_t i = 0; i < f->cols * f->cols; i++)
        if (!cq__finite(mismatch[i]))
            return cq_fail_at(err, CQ_ERR_RANGE, "the mismatch of inputs holds NaN or infinity (column)", NULL, 0,
                              UINT64_MAX, (int64_t)(i % f->cols));
    cq_parallel_for(ctx, job.slots, cq__correct_task, &job);
    arena->used = mark;
    return cq__check_weights(w, ldw, rows, f->cols, err);
}

/* ===================================================================================================================
   [LESSON 7 the whole layer]
   ================================================================================================================== */
/* sum[p] = sum over the lanes of e H e^T, H undamped, for each panel of e; x is used. The part of H right of a block
   counts as much as that left of it: twice the left and once the block. */
static void cq__strip_loss(const cq__solve_job *job, const cq__slot *s, size_t panels, const float *e, double *sum) {
    const size_t cols = job->cols, next = cols * 16;
    for (size_t p = 0; p < panels; p++) sum[p] = 0.0;
    for (size_t b = 0; b < cols; b += CQ__SOLVE_BLOCK)
        for (int part = 0; part < 2; part++) {
            const size_t n = cq__min(CQ__SOLVE_BLOCK, cols - b), from = part ? b : 0;
            float *g = s->x + b * 16;
            for (size_t p = 0; p < panels; p++)
                for (size_t i = 0; i < n * 16; i++) g[p * next + i] = 0.0f;
            cq__lanes_product(job->ctx, g, next, e + from * 16, next, job->f->h + b * cols + from, cols, part ? n : b,
                              n, panels);
            for (size_t p = 0; p < panels; p++)
                for (size_t i = 0; i < n * 16; i++)
                    sum[p] += (part ? 1.0 : 2.0) * (double)e[p * next + b * 16 + i] * (double)g[p * next + i];
        }
}
/* e = w - round to nearest, minmax grids of natural groups */
static void cq__panel_rtn(const cq__solve_job *job, const cq__slot *s, size_t panel) {
    const cq__steps steps = cq__steps_of(cq__facts(job->desc.format)->mini);
    const size_t size = job->desc.group_size, at = panel * job->cols * 16;
    cq_gptq_desc nearest = job->desc;
    cq__lanes l;
    nearest.search = CQ_GPTQ_MINMAX;
    for (size_t b = 0; b < job->cols; b += size) {
        const size_t n = cq__min(size, job->cols - b);
        cq__lanes_choose(job->ctx->k, &l, s->w + at + b * 16, NULL, n, &nearest);
        for (size_t k = at + b * 16; k < at + (b + n) * 16; k += 16) {
            float level[16];
            job->ctx->k->round16(level, s->w + k, l.scale, &steps);
            for (size_t i = 0; i < 16; i++) s->e[k + i] = s->w[k + i] - level[i] * l.scale[i];
        }
    }
}
/* s->loss has the loss with the damped H, followed through the sweeps: take lambda |e|^2 off. Where that leaves little
   of it, few correct digits are left too, and the sum is formed from H. */
static void cq__final_loss(const cq__solve_job *job, cq__slot *s, size_t panels) {
    double direct[CQ__STRIP];
    bool need = false;
    for (size_t p = 0; p < panels; p++) {
        double damping = 0.0;
        for (size_t i = p * job->cols * 16; i < (p + 1) * job->cols * 16; i++)
            damping += (double)s->e[i] * (double)s->e[i];
        damping *= (double)job->f->lambda;
        s->loss[p] -= damping;
        need = need || !(s->loss[p] > 0.03 * damping);
    }
    if (!need) return;
    cq__strip_loss(job, s, panels, s->e, direct);
    for (size_t p = 0; p < panels; p++) s->loss[p] = direct[p];
}

static void cq__solve_strip(const cq__solve_job *job, cq__slot *s, size_t first, size_t panels) {
    const cq_gptq_desc *desc = &job->desc;
    const bool report = job->out->report != NULL;
    const size_t cols = job->cols, next = cols * 16;
    const unsigned mini = cq__facts(desc->format)->mini;
    double sum[CQ__STRIP];
    for (size_t p = 0; p < panels; p++) {
        const size_t r0 = (first + p) * 16, rows = cq__min(16, job->rows - r0);
        if (!cq__panel_load(s->w + p * next, job->w + r0 * job->ldw, job->ldw, rows, cols)) {
            s->fault = true;
            return;
        }
    }
    if (report) {
        for (size_t p = 0; p < panels; p++) cq__panel_rtn(job, s, p);
        cq__strip_loss(job, s, panels, s->e, sum);
        for (size_t p = 0; p < panels; p++) job->loss[(first + p) * 3 + 1] = sum[p];
        cq__strip_loss(job, s, panels, s->w, sum);
        for (size_t p = 0; p < panels; p++) job->loss[(first + p) * 3 + 2] = sum[p];
    }
    for (size_t p = 0; p < panels; p++) s->loss[p] = 0.0;
    cq__solve_pass(job, s, panels);
    for (size_t p = 0; p < panels; p++)
        for (size_t k = 0; k < cols; k++) /* errors back into natural order */
            for (size_t i = 0; i < 16; i++)
                s->x[p * next + (size_t)job->f->perm[k] * 16 + i] = s->e[p * next + k * 16 + i];
    float *swap = s->x;
    s->x = s->e;
    s->e = swap;
    cq__solve_again(job, s, panels);
    if (report) cq__final_loss(job, s, panels);
    for (size_t p = 0; p < panels; p++) {
        if (report) job->loss[(first + p) * 3] = s->loss[p];
        const size_t r0 = (first + p) * 16, rows = cq__min(16, job->rows - r0);
        for (size_t c = 0; c < cols; c++) {
            uint8_t q[16];
            cq__lanes_code(q, s->lanes + p * job->groups + job->group[c], s->w + p * next + c * 16, mini);
            for (size_t i = 0; i < rows; i++) job->out->codes[(r0 + i) * cols + c] = q[i];
        }
        for (size_t i = 0; i < rows; i++) {
            size_t r = r0 + i;
            for (size_t g = 0; g < job->groups; g++) {
                const cq__lanes *l = s->lanes + p * job->groups + g;
                cq_grid *grid = job->out->grids + r * job->groups + g;
                grid->scale = l->scale[i];
                grid->zero = (int32_t)l->zero[i];
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

/* All memory of the solver. Called with the real arena and with an empty one alike. */
static void cq__solve_layout(cq__solve_job *job, cq_arena *arena) {
    size_t panels = job->rows / 16 + (job->rows % 16 != 0), cols = job->cols, per;
    job->per = (panels + job->desc.slots - 1) / job->desc.slots;
    job->per = job->per < 1 ? 1 : cq__min(job->per, CQ__STRIP);
    job->strips = (panels + job->per - 1) / job->per;
    job->slots = cq__min(job->desc.slots, job->strips);
    per = job->per * 16;
    job->weight = (float *)cq__reserve(arena, cols, sizeof(float));
    job->group = (uint32_t *)cq__reserve(arena, cols, sizeof(uint32_t));
    job->loss = (double *)cq__reserve_2d(arena, panels, 3, sizeof(double));
    job->slot = (cq__slot *)cq__reserve(arena, job->slots, sizeof(cq__slot));
    for (size_t s = 0; s < job->slots; s++) {
        cq__slot unused, *slot = job->slot ? &job->slot[s] : &unused;
        slot->w = (float *)cq__reserve_2d(arena, cols, per, sizeof(float));
        slot->x = (float *)cq__reserve_2d(arena, cols, per, sizeof(float));
        slot->e = (float *)cq__reserve_2d(arena, cols, per, sizeof(float));
        slot->g = (float *)cq__reserve(arena, cq__local_ld(cols) * per, sizeof(float));
        slot->change = (float *)cq__reserve(arena, cq__local_ld(cols) * per, sizeof(float));
        slot->lanes = (cq__lanes *)cq__reserve_2d(arena, job->groups, job->per, sizeof(cq__lanes));
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
    if (f->group_size && f->group_size != job.desc.group_size)
        return cq_fail_at(err, CQ_ERR_ARG, "the factor was made for another group_size", NULL, 0, UINT64_MAX,
                          (int64_t)f->group_size);
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
    for (size_t s = 0; s < job.slots; s++) job.slot[s].fault = false;
    for (size_t k = 0; k < job.cols; k++) {
        size_t c = f->perm[k], at = job.desc.static_scales ? c : k;
        job.group[c] = (uint32_t)((job.desc.order == CQ_GPTQ_ACT_GROUPS ? k : c) / job.desc.group_size);
        job.weight[at] = job.desc.search == CQ_GPTQ_SEARCH_PIVOTS     ? f->d[k]
                         : job.desc.search == CQ_GPTQ_SEARCH_DIAGONAL ? f->h[c * job.cols + c] + f->lambda
                                                                      : 1.0f;
    }
    cq_parallel_for(ctx, job.slots, cq__solve_task, &job);
    for (size_t s = 0; s < job.slots; s++)
        if (job.slot[s].fault) return cq__check_weights(w, ldw, rows, job.cols, err); /* which finds the place */
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
    const size_t size = cq__group_size(desc, cols), groups = cq_gptq_groups(desc, cols);
    for (size_t r = 0; r < rows; r++) {
        const cq_grid *grids = q->grids + r * groups;
        const uint8_t *codes = q->codes + r * cols;
        float *to = out + r * cols;
        if (q->g_idx || !cq_format_is_int(grids->format)) {
            for (size_t c = 0; c < cols; c++) to[c] = cq_grid_value(grids[q->g_idx ? q->g_idx[c] : c / size], codes[c]);
            continue;
        }
        for (size_t begin = 0, end; begin < cols; begin = end, grids++) {
            const float scale = grids->scale, zero = (float)grids->zero;
            end = cq__min(begin + size, cols);
            for (size_t c = begin; c < end; c++) to[c] = ((float)codes[c] - zero) * scale;
        }
    }
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

CQUANT_DEF void cq_policy_resolve(cq_policy *policy, const char *name, size_t len, cq_policy_choice *choice) {
    bool skip = false, format = false, grouped = false, zeros = false; /* said of this format, or before it? */
    for (size_t i = 0; i < policy->count; i++) {
        cq_policy_rule *r = &policy->rules[i];
        if (r->pattern && !cq_glob(r->pattern, r->pattern_len, name, len)) continue;
        r->matched++;
        if (r->set & CQ_POLICY_FORMAT) {
            choice->skip = r->format <= CQ_BF16;
            choice->stored = choice->skip ? r->format : CQ_F32;
            if (!choice->skip) choice->gptq.format = r->format;
            format = true;
            grouped = zeros = false;
        }
        if (r->set & CQ_POLICY_GROUP_SIZE) {
            choice->gptq.group_size = r->group_size;
            grouped = true;
        }
        if (r->set & CQ_POLICY_ASYM) {
            choice->gptq.asym = r->asym;
            zeros = true;
        }
        if (r->set & CQ_POLICY_SKIP) skip = r->skip;
        if (r->set & CQ_POLICY_ACTS) choice->act_bits = r->act_bits;
    }
    if (format && !grouped && cq_format_is_mx(choice->gptq.format)) choice->gptq.group_size = 32;
    if (format && !zeros && !cq_format_is_int(choice->gptq.format)) choice->gptq.asym = false;
    if (skip) choice->stored = CQ_F32;
    choice->skip = choice->skip || skip;
}
CQUANT_DEF size_t cq_policy_unmatched(const cq_policy *policy, size_t from) {
    while (from < policy->count && policy->rules[from].matched) from++;
    return from < policy->count ? from : policy->count;
}

#ifdef __cplusplus
}
#endif

CQ__EXACT_END
#endif /* CQUANT_IMPLEMENTATION */
