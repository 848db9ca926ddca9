/* cquant_rotate.h - v0.2.0 - orthogonal rotations of weights: Hadamard matrices by construction, applied fast

   Turns the basis in which a transformer's activations live, so that no channel stands out, without changing one logit.
   Freestanding C99 and C++11; needs cquant.h and nothing else.

   In exactly ONE source file:            everywhere else:
       #define CQUANT_IMPLEMENTATION          #include "cquant_rotate.h"
       #include "cquant_rotate.h"

   Rotate a layer that reads the residual stream and one that writes to it:

       static float reads[6 * 48], writes[48 * 6];            // (out, in) as checkpoints have them; hidden size 48
       static unsigned char memory[4096], scratch[8192];
       cq_arena arena = cq_arena_over(memory, sizeof memory);
       cq_rotation r1;
       cq_error err;
       if (cq_rotation_init(&r1, CQ_ROTATE_HADAMARD, 48, 1, 0, &arena, &err) != CQ_OK) return 1;   // seed 1, stream 0
       if (cq_rotation_scratch(NULL, &r1) > sizeof scratch) return 1;
       cq_rotate_rows_f32(NULL, &r1, reads, 6, 48, 48, scratch);        // reads  <- reads . R
       cq_rotate_cols_f32(NULL, &r1, writes, 48, 6, 6, scratch);        // writes <- R^T . writes

   DOES NOT: know models (which weight reads, which writes: cquant_models.h), promise better weights by itself (see
   [LESSON 1 why]), learn rotations (import one instead), allocate, print, or call libc or libm.

   CONTENTS  declarations  [HADAMARD] [ROTATIONS] [APPLYING] [NORMS]
             in plain C    [LESSON 1 why] [LESSON 2 small mathematics] [LESSON 3 finite fields] [LESSON 4 constructions]
                           [LESSON 5 fast transform] [LESSON 6 random rotations] [LESSON 7 applying] [LESSON 8 norms]

   EXACTNESS  A rotation is defined by (mode, n, seed, stream) and is the same on every machine. Every result is the
              same for any number of threads, and for a vector alone or among others. Float and double versions are
              the same text. |R R^T - I| stays below 1e-12 in double; in float, numbers below 1 come back within
              3e-6 (tests/test_rotate.c).
   MEMORY     The caller's. A rotation takes n bytes of signs and K * K bytes a core from the arena (dense ones 8 n n);
              applying takes scratch as told by cq_rotation_scratch. Sizes: run the init on an arena with base NULL.
   STACK      Under 1 KB a call. The float transforms of Hadamard modes use no double, so firmware may run them.

   Licence: see the end of cquant.h. */
#ifndef CQUANT_ROTATE_H
#define CQUANT_ROTATE_H

#include "cquant.h"
#if CQUANT_VERSION_NUM != 200
#error "cquant_rotate.h 0.2.0 needs cquant.h 0.2.0: the headers of one release belong together"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [HADAMARD]  square matrices of +1 and -1 whose rows are orthogonal: H H^T = n I

   Such a matrix has order 1, 2 or a multiple of 4; that all multiples of 4 have one is a conjecture. Here n is made of
   up to two cores and a power of two, n = K1 * K2 * 2^p, each core an order that one construction of [LESSON 4] gives
   directly. That covers every multiple of 4 up to 300, and widths like 2880 = 180 * 16 or 13696 = 428 * 32.
   404 and 668, for example, are refused.

   Which factors: the smallest single core if it is below 300 (576 = 36 * 16; this is the convention of QuaRot and of
   ModelOpt); else whatever has the smallest sum of cores (15680 = 140 * 28 * 4), since that sum is the cost.

   Index convention: i = (k1 * K2 + k2) * 2^p + t, cores first. The transform of a vector x is
       y = (C1 (x) C2 (x) S) x / sqrt(n),   S the Sylvester matrix: S[t][u] = (-1)^(ones in the bits of t & u)
   ================================================================================================================== */
#define CQ_HADAMARD_CORE_MAX 4096u /* largest core that is tried: 16 MB of signs */

typedef struct cq_hadamard {
    size_t n;
    size_t k1, k2, pow2;   /* n = k1 * k2 * pow2; 1: no such core */
    const int8_t *c1, *c2; /* (k1, k1), (k2, k2) signs, in the arena; NULL: no such core */
    double scale_f64;      /* 1 / sqrt(n) */
    float scale_f32;
} cq_hadamard;

/* CQ_ERR_UNSUPPORTED with err->got = n if no matrix of order n exists or none can be built here. */
CQUANT_DEF cq_status cq_hadamard_init(cq_hadamard *h, size_t n, cq_arena *arena, cq_error *err);
/* The nearest orders <= n and >= n that can be built: both n itself where n can. Exact up to n = 2^20; beyond, where
   nothing is found within 16384, a power of two. 0: there is none (below 1, or above the range of size_t). */
CQUANT_DEF void cq_hadamard_nearest(size_t n, size_t *below, size_t *above);
CQUANT_DEF size_t cq_hadamard_scratch(const cq_hadamard *h); /* elements of scratch that the transforms need */
/* x (n) <- (C1 (x) C2 (x) S) x / sqrt(n), or with its transpose, which is the inverse. n (K1 + K2 + p) additions. */
CQUANT_DEF void cq_hadamard_f32(const cq_hadamard *h, float *x, float *scratch, bool inverse);
CQUANT_DEF void cq_hadamard_f64(const cq_hadamard *h, double *x, double *scratch, bool inverse);
/* One entry of C1 (x) C2 (x) S: +1 or -1. */
CQUANT_DEF int cq_hadamard_sign(const cq_hadamard *h, size_t row, size_t col);

/* ===================================================================================================================
   [ROTATIONS]  an orthogonal matrix R (n, n), R R^T = I; vectors are rows: x <- x . R
   ================================================================================================================== */
typedef enum cq_rotate_mode {
    CQ_ROTATE_HADAMARD,      /* random signs, then the Hadamard transform: the default */
    CQ_ROTATE_BASE_HADAMARD, /* the transform alone; seed and stream are ignored */
    CQ_ROTATE_ORTHOGONAL,    /* uniform over all orthogonal matrices (Haar); any n, but dense: n^2 memory and work */
    CQ_ROTATE_DENSE          /* somebody else's matrix: cq_rotation_import */
} cq_rotate_mode;

typedef struct cq_rotation {
    cq_rotate_mode mode;
    size_t n;
    cq_hadamard h;         /* Hadamard modes */
    const int8_t *sign;    /* (n); NULL: all +1 */
    const double *columns; /* dense modes: (n, n), row j is column j of R; else NULL */
} cq_rotation;

/* x . R = (C1 (x) C2 (x) S)(x o s) / sqrt(n): R[i][j] = s_i H[i][j] / sqrt(n) with H = (C1 (x) C2 (x) S)^T.
   seed and stream go to cq_random. Give every rotation of a model its own stream: R1 0, R2 of layer l 1 + l.
   With arena->base NULL nothing is filled in but sizes: arena->used is the memory needed. */
CQUANT_DEF cq_status cq_rotation_init(cq_rotation *r, cq_rotate_mode mode, size_t n, uint64_t seed, uint64_t stream,
                                      cq_arena *arena, cq_error *err);
/* A copy of R, given as (n, n) row-major. CQ_ERR_RANGE with the row in err->where if a row is not finite or its length
   is not 1 within 1e-3, so that nothing unnormalised or of another shape gets through. cq_orthogonality_error tells
   how good it is. */
CQUANT_DEF cq_status cq_rotation_import(cq_rotation *r, const double *matrix, size_t n, cq_arena *arena, cq_error *err);
/* R itself, (n, n). For files and tests: nothing else here forms it. */
CQUANT_DEF void cq_rotation_matrix(const cq_rotation *r, double *out);
/* Largest |(R R^T - I)[i][j]| over all j and rows i = 0, step, 2 step, ...; n^3 / step work. */
CQUANT_DEF double cq_orthogonality_error(const double *matrix, size_t n, size_t step);
/* Largest |(x R R^T - x)[i]| for four vectors x of random signs: n^2 work, which finds what is not orthogonal almost
   surely. work: (n). Not a number where the matrix holds one. */
CQUANT_DEF double cq_orthogonality_probe(const double *matrix, size_t n, double *work);

/* ===================================================================================================================
   [APPLYING]  to either side of a weight, in place

   Where the axis is longer than R, R repeats along it block-diagonally: that is how one R2 of size head_dim acts on
   every head. CQ_ERR_ARG, and x untouched, where the axis is no multiple of r->n or ld < cols.
   ctx gives the threads; NULL: none. scratch: aligned to CQ_ALIGN, cq_rotation_scratch bytes for the same ctx.
   ================================================================================================================== */
CQUANT_DEF size_t cq_rotation_scratch(const cq_context *ctx, const cq_rotation *r); /* bytes */
/* x (rows, ld) <- x . R on every row: weights that read, embeddings, activations, and biases of writers (rows = 1:
   R^T b as a column is b . R as a row). */
CQUANT_DEF cq_status cq_rotate_rows_f32(const cq_context *ctx, const cq_rotation *r, float *x, size_t rows, size_t cols,
                                        size_t ld, void *scratch);
CQUANT_DEF cq_status cq_rotate_rows_f64(const cq_context *ctx, const cq_rotation *r, double *x, size_t rows,
                                        size_t cols, size_t ld, void *scratch);
/* w (rows, ld) <- R^T . w: weights that write. */
CQUANT_DEF cq_status cq_rotate_cols_f32(const cq_context *ctx, const cq_rotation *r, float *w, size_t rows, size_t cols,
                                        size_t ld, void *scratch);
CQUANT_DEF cq_status cq_rotate_cols_f64(const cq_context *ctx, const cq_rotation *r, double *w, size_t rows,
                                        size_t cols, size_t ld, void *scratch);

/* ===================================================================================================================
   [NORMS]  what must leave the norms before the stream may be rotated; why: [LESSON 8 norms]
   ================================================================================================================== */
/* w (rows, ld), a reader: w[r][k] *= gain[k]. Then set the gain to 1. For norms that multiply by (1 + g) pass 1 + g. */
CQUANT_DEF void cq_fuse_norm_f32(float *w, size_t rows, size_t cols, size_t ld, const float *gain);
CQUANT_DEF void cq_fuse_norm_f64(double *w, size_t rows, size_t cols, size_t ld, const double *gain);
/* bias (rows) += w . beta: a norm's bias, folded into a reader's. BEFORE the gain is. Then set beta to 0. */
CQUANT_DEF void cq_fuse_bias_f32(float *bias, const float *w, size_t rows, size_t cols, size_t ld, const float *beta);
CQUANT_DEF void cq_fuse_bias_f64(double *bias, const double *w, size_t rows, size_t cols, size_t ld,
                                 const double *beta);
/* LayerNorm models: writers made to write vectors of mean zero. Weights (out, in): every column minus its mean;
   embeddings (vocabulary, hidden) and biases (1, out): every row minus its mean. */
CQUANT_DEF void cq_center_cols_f32(float *w, size_t rows, size_t cols, size_t ld);
CQUANT_DEF void cq_center_cols_f64(double *w, size_t rows, size_t cols, size_t ld);
CQUANT_DEF void cq_center_rows_f32(float *w, size_t rows, size_t cols, size_t ld);
CQUANT_DEF void cq_center_rows_f64(double *w, size_t rows, size_t cols, size_t ld);

#ifdef __cplusplus
}
#endif
#endif /* CQUANT_ROTATE_H */

/* ###################################################################################################################
   Implementation
   ################################################################################################################## */
#if defined(CQUANT_IMPLEMENTATION) && !defined(CQUANT__ROTATE_IMPLEMENTED)
#define CQUANT__ROTATE_IMPLEMENTED
#include "cquant.h" /* its implementation, should this file have been included without it before */

/* No fused multiply-add behind our back, as in cquant.h. Undone at the end. */
#if defined(__clang__)
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
   [LESSON 1 why]

   Quantisation gives each small group of numbers one scale, so one large number spoils its neighbours. The activations
   of language models have such numbers: a few channels of the residual stream are far larger than the rest, for every
   token. Multiply the stream by an orthogonal matrix whose entries are all +-1/sqrt(n) and each channel is
   spread evenly over all: lengths and angles stay, the outliers are gone.

   Why the logits stay. Write the residual stream as a row vector h, and R for an orthogonal n x n matrix, R R^T = I.
   We want the same network with h' = h R.
     - An embedding row e becomes e R.
     - RMSNorm divides h by its length (over sqrt(n)) and multiplies by a gain g. |h R| = |h|, so the division commutes
       with R; the gain does not, so first fold it into what reads the norm: W diag(g). [LESSON 8 norms]
     - A linear that READS the stream, y = h W^T: with W' = W R,    h' W'^T = h R R^T W^T = h W^T.
     - A linear that WRITES to it, h += x W^T + b: with W' = R^T W and b' = b R,   x W'^T + b' = (x W^T + b) R.
     - lm_head reads. If it shares its matrix with the embedding, the two must part: the reader also holds the gain.
   So R1 costs nothing at run time. What is elementwise inside a block (activation, gate, convolution) never sees R.

   Between V and O stands a second rotation R2, per head: attention gives each head a weighted mean of value vectors,
   and scalars commute with matrices. V's rows are rotated as a writer, O's columns as a reader, both block by block of
   head_dim. With grouped queries several query heads read one value head; the same R2 for all heads of a layer makes
   that exact. Q and K cannot be turned like this: the rotary embedding between them does not commute.

   What it is good for, measured on SmolLM2-135M-Instruct (perplexity over 4092 tokens, 4 bits in groups of 128, one
   seed; fp32 gives 34.4):
                                 as it is    R1 + R2
       GPTQ, weights only           57.6       41.0
       round to nearest             58.4       94.1
   GPTQ weighs errors with the inputs' second moments; the rotation makes groups even in size and leaves the knowledge
   of what matters in the Hessian, where GPTQ finds it. Round to nearest has no Hessian, and folding the norm's gain
   into the weights (alone: 94.5) takes away what helped it: before, an error in channel k was damped by the gain g_k
   in front of it. So rotate for GPTQ and for low-bit activations, and measure before rotating for anything else.
   ================================================================================================================== */

/* ===================================================================================================================
   [LESSON 2 small mathematics]  square root, logarithm and cosine in double, for arguments met here

   Only + - * / on doubles, in a fixed order: the same bits on every IEEE machine. Within 1e-14 of libm.
   ================================================================================================================== */
/* sqrt(x), 0 <= x < infinity: brought to [1, 4) by powers of 4, then Newton's y <- (y + x/y) / 2, which doubles the
   number of right digits each time: 1.25 against 1 at worst after the guess (1 + x) / 2, 2^-52 five steps later. */
static double cq__sqrt(double x) {
    double unit = 1, y;
    if (!(x > 0)) return 0;
    while (x >= 4) x *= 0.25, unit *= 2;
    while (x < 1) x *= 4, unit *= 0.5;
    y = 0.5 * (1 + x);
    for (int i = 0; i < 6; i++) y = 0.5 * (y + x / y);
    return y * unit;
}

/* ln(x), 0 < x <= 1: x = m 2^-e with m in [sqrt(1/2), sqrt(2)); with z = (m - 1) / (m + 1),
   ln m = 2 atanh z = 2 (z + z^3/3 + z^5/5 + ...), |z| <= 0.172: thirteen terms leave 1e-21. */
static double cq__log(double x) {
    double e = 0, z, zz, sum = 0;
    while (x < 0.70710678118654752) x *= 2, e += 1;
    z = (x - 1) / (x + 1);
    zz = z * z;
    for (int k = 25; k >= 1; k -= 2) sum = sum * zz + 1.0 / k;
    return 2 * z * sum - e * 0.69314718055994531;
}

/* cos(2 pi u), 0 <= u < 1: in turns the quadrant is exact. f = u - quadrant/4 lies in [-1/8, 1/8], a = 2 pi f within
   pi/4 of 0, where the Taylor series of sine and cosine end after ten terms (a^20 / 20! < 1e-20). */
static double cq__cos_turn(double u) {
    int quadrant = (int)(4 * u + 0.5), odd = quadrant & 1;
    double a = 6.2831853071795865 * (u - 0.25 * quadrant), aa = a * a, sum = 1;
    for (int k = 18 + odd; k > 1; k -= 2) sum = 1 - sum * aa / (k * (k - 1)); /* Horner: k! one factor at a time */
    if (odd) sum *= a;                      /* cos(pi/2 + a) = -sin a, cos(3 pi/2 + a) = sin a */
    return quadrant == 1 || quadrant == 2 ? -sum : sum;
}

/* Deviate number `index` of the normal distribution (Box and Muller 1958): radius sqrt(-2 ln u), a random angle. */
static double cq__gauss(uint64_t seed, uint64_t stream, uint64_t index) {
    double unit = 1.0 / 9007199254740992.0; /* 2^-53 */
    double u = (double)((cq_random(seed, stream, 2 * index) >> 11) + 1) * unit; /* (0, 1] */
    double v = (double)(cq_random(seed, stream, 2 * index + 1) >> 11) * unit;   /* [0, 1) */
    return cq__sqrt(-2 * cq__log(u)) * cq__cos_turn(v);
}

/* ===================================================================================================================
   [LESSON 3 finite fields]

   Paley's matrices need, in a field of q elements, the quadratic character chi: chi(0) = 0, chi(a) = 1 if a is a
   square, else -1. A field of q elements exists for q = p^k, p a prime: polynomials of degree below k with coefficients
   mod p, reduced by x^k = g(x). We write such a polynomial as a number in base p, its digits the coefficients.

   Which g? Try them all until the powers of x run through all q - 1 nonzero elements before they come back to 1. Then
   every nonzero element is a power of x and so has an inverse: it is a field, and nothing else need be checked. And
   the squares are the even powers: chi(x^j) = (-1)^j. For k = 1 this is the search for a primitive root, x = g.
   ================================================================================================================== */
typedef struct cq__field {
    size_t q, p, top; /* q = p^k elements, top = p^(k-1) */
} cq__field;

/* Is q an odd prime power? Trial division: q < 4096, so at most 31 odd divisors. */
static bool cq__field_init(cq__field *f, size_t q) {
    size_t p = 3, power;
    if (q < 3 || q % 2 == 0) return false;
    while (p * p <= q && q % p != 0) p += 2;
    if (q % p != 0) p = q;
    for (power = p; power < q; power *= p) {}
    f->q = q;
    f->p = p;
    f->top = q / p;
    return power == q;
}

/* x * a: the digits move up one place, and the one that drops out returns as that many times g. */
static size_t cq__field_times_x(const cq__field *f, size_t a, size_t g) {
    size_t carry = a / f->top, rest = a % f->top * f->p, out = 0;
    for (size_t place = 1; place < f->q; place *= f->p) {
        out += (rest + carry * g) % f->p * place; /* rest and g are shifted down: their last digits count */
        rest /= f->p;
        g /= f->p;
    }
    return out;
}

static size_t cq__field_sub(const cq__field *f, size_t a, size_t b) { /* digit by digit, mod p */
    size_t out = 0;
    for (size_t place = 1; place < f->q; place *= f->p) {
        out += (a % f->p + f->p - b % f->p) % f->p * place;
        a /= f->p;
        b /= f->p;
    }
    return out;
}

static void cq__field_chi(const cq__field *f, int8_t *chi /* (q) */) {
    size_t a = 1, order = 0;
    for (size_t g = 1; g < f->q && order != f->q - 1; g++) {
        a = 1;
        order = 0;
        do { /* ends: at 1, or after q steps where x is no unit and the powers never return */
            a = cq__field_times_x(f, a, g);
            chi[a] = order % 2 == 0 ? -1 : 1; /* a = x^(order + 1) */
            order++;
        } while (a != 1 && order < f->q);
    }
    chi[0] = 0;
}

/* ===================================================================================================================
   [LESSON 4 constructions]

   Sylvester 1867   If H is Hadamard so is [[H, H], [H, -H]]: all powers of two. Never stored; see [LESSON 5].
   Kronecker        If A and B are Hadamard so is A (x) B.
   Paley 1933       With Q[a][b] = chi(a - b) over a field of q elements, Q Q^T = q I - J.
     I              q = 3 mod 4:  [[1, 1], [1, Q - I]] of order q + 1: 12, 20, 24, 28 (27 = 3^3), 44, 60, 68, 84, ...
     II             q = 1 mod 4:  S (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]], S = [[0, 1], [1, Q]], of order
                    2 (q + 1): 36, 52 (25 = 5^2), 76, 100 (49 = 7^2), 124, 148, ..., 340 (169 = 13^2), 924
   Goethals and Seidel 1967   Four sequences a, b, c, d of m signs whose periodic autocorrelations add up to 0 at every
                    shift but 0 give order 4 m. With A the circulant of a, A[i][j] = a[j - i mod m], and R the
                    reversal of columns:
                        [   A     B R    C R    D R  ]
                        [ -B R     A   -D'R    C'R  ]
                        [ -C R    D'R    A    -B'R  ]        ' = transposed
                        [ -D R  -C'R    B'R     A   ]
                    A reversed circulant is symmetric and commutes as needed: every product of two different block
                    rows cancels term by term.
   Below 300, Paley leaves 92, 116, 156, 172, 188, 236, 260, 268, 292 to the array. Where the sequences come from:
     T  Turyn 1974  X, Y, Z of length l and W of length l - 1 whose aperiodic autocorrelations satisfy
                    N_X + N_Y + 2 N_Z + 2 N_W = 0 (Turyn-type, TT(l)). Put Z, W, and (X + Y)/2 over (X - Y)/2 one
                    behind the other: at each of m = 3 l - 1 places one of four T-sequences is +-1 and the others
                    are 0. The rows of [[1 1 1 1], [1 1 -1 -1], [1 -1 1 -1], [1 -1 -1 1]] mix them to a, b, c, d.
                    Coded as in Best, Dokovic, Kharaghani, Ramp 2013: a hex digit for each place, bits X Y Z W,
                    1 = -1; the last has X Y Z only. TT(36) is Kharaghani and Tayfeh-Rezaie 2005: the first known
                    matrix of order 428.
     S  Sawade 1985 T-sequences of length 67 found directly: letter = which of the four, capital = +1.
     W  Williamson 1944   symmetric sequences with the same property; these of length 39 by their rows.
     D  difference families   a, b, c, d constant on the cosets of a subgroup <g> of the units mod m. Bit i of the
                    mask (two hex digits): coset i, ordered by least element, is -1; the next bit: so is place 0.
   Every matrix that this table and Paley give up to 300, and 340, 356, 428, 684 and 924, is checked in the tests.
   ================================================================================================================== */
typedef struct cq__sequences {
    unsigned m;
    char kind; /* T, S, W or D, as above */
    unsigned g;
    const char *code;
} cq__sequences;

static const cq__sequences cq__sequences_of[] = {
    {23, 'T', 0, "06e5c4d1"},
    {29, 'T', 0, "0001f4a961"},
    {39, 'W', 0, "+++--+-+-----+--++----++--+-----+-+--++" "+++--++-+---+-+--+----+--+-+---+-++--++"
                 "++++---+--++----+-+--+-+----++--+---+++" "+---++-+-+-----+++-++-+++-----+-+-++---"},
    {43, 'D', 4, "07070d1b"},
    {47, 'T', 0, "0000778e52de5561"},
    {59, 'T', 0, "000038e2739c7a0b6951"},
    {65, 'T', 0, "00000f702c71a9ad565961"},
    {67, 'S', 0, "ABddacCbaDCbaaaBBaCCcDBCacacaDAadDdDcCAbBBaCbbbDcaDdbBdbCccdCdDDBBA"},
    {73, 'D', 2, "0f2b3ca7"},
    {89, 'T', 0, "000000f70b106f9d427a25e9a96951"},
    {107, 'T', 0, "060989975b685d8fc80750b21c0212eceb26"},
};

static unsigned cq__hex(char c) { return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10; }

/* Place i holds +-1 in T-sequence `which`: a, b, c, d get it times a column of the 4 x 4 Hadamard matrix above. */
static void cq__put_t(int8_t *s /* (4, m) */, size_t m, size_t i, unsigned which, bool minus) {
    int8_t v = minus ? -1 : 1, w = minus ? 1 : -1;
    s[i] = v;
    s[m + i] = which < 2 ? v : w;
    s[2 * m + i] = which % 2 == 0 ? v : w;
    s[3 * m + i] = which == 0 || which == 3 ? v : w;
}

static void cq__decode_turyn(int8_t *s, size_t m, const char *code) {
    size_t l = (m + 1) / 3;
    for (size_t i = 0; i < l; i++) {
        unsigned bits = cq__hex(code[i]);
        if (i == l - 1) bits <<= 1; /* X Y Z only */
        bool x = (bits & 8) != 0, y = (bits & 4) != 0;
        cq__put_t(s, m, i, 0, (bits & 2) != 0);                  /* Z */
        if (i < l - 1) cq__put_t(s, m, l + i, 1, (bits & 1) != 0); /* W */
        cq__put_t(s, m, 2 * l - 1 + i, x == y ? 2 : 3, x);       /* (X + Y)/2 where they agree, else (X - Y)/2 */
    }
}

static void cq__decode_cosets(int8_t *s, size_t m, size_t g, const char *code) {
    for (size_t row = 0; row < 4; row++) {
        unsigned mask = cq__hex(code[2 * row]) << 4 | cq__hex(code[2 * row + 1]), coset = 0;
        int8_t *v = s + row * m; /* 0 means: not reached yet; s comes in zeroed */
        for (size_t a = 1; a < m; a++) {
            if (v[a]) continue;
            for (size_t b = a; !v[b]; b = b * g % m) v[b] = (mask >> coset & 1) ? -1 : 1;
            coset++;
        }
        v[0] = (mask >> coset & 1) ? -1 : 1;
    }
}

static void cq__decode(int8_t *s /* (4, m), zeroed */, const cq__sequences *q) {
    size_t m = q->m;
    if (q->kind == 'T') cq__decode_turyn(s, m, q->code);
    if (q->kind == 'D') cq__decode_cosets(s, m, q->g, q->code);
    if (q->kind == 'W')
        for (size_t i = 0; i < 4 * m; i++) s[i] = q->code[i] == '+' ? 1 : -1;
    if (q->kind == 'S')
        for (size_t i = 0; i < m; i++) {
            bool minus = q->code[i] >= 'a';
            cq__put_t(s, m, i, (unsigned)(q->code[i] - (minus ? 'a' : 'A')), minus);
        }
}

/* The constructions keep what they are made from in the first row of the matrix, and write that row last. */
static void cq__build_paley1(int8_t *h, size_t n, const cq__field *f) {
    int8_t *chi = h; /* (q), q = n - 1 */
    cq__field_chi(f, chi);
    for (size_t i = 0; i < f->q; i++) {
        int8_t *row = h + (i + 1) * n;
        row[0] = 1;
        for (size_t j = 0; j < f->q; j++) row[j + 1] = i == j ? -1 : chi[cq__field_sub(f, i, j)];
    }
    for (size_t j = 0; j < n; j++) h[j] = 1;
}

static void cq__build_paley2(int8_t *h, size_t n, const cq__field *f) {
    int8_t *chi = h; /* (q), q = n / 2 - 1 */
    cq__field_chi(f, chi);
    for (size_t a = n / 2; a-- > 0;) /* block row 0 last */
        for (size_t b = 0; b < n / 2; b++) {
            int8_t *block = h + 2 * a * n + 2 * b, v = 1;
            if (a > 0 && b > 0) v = chi[cq__field_sub(f, a - 1, b - 1)];
            if (a == b) { /* S = 0 here */
                block[0] = 1;
                block[1] = block[n] = block[n + 1] = -1;
            } else {
                block[0] = block[1] = block[n] = v;
                block[n + 1] = v > 0 ? -1 : 1;
            }
        }
}

static void cq__build_array(int8_t *h, size_t n, const cq__sequences *q) {
    static const char signs[4][5] = {"++++", "-+-+", "-++-", "--++"};
    size_t m = q->m;
    cq__decode(h, q);
    for (size_t row = n; row-- > 0;) { /* row 0 last: there it is a and the reversals of b, c, d, in place */
        size_t r = row / m, i = row % m;
        for (size_t c = 0; c < 4 && row > 0; c++) {
            const int8_t *s = h + m * (r ^ c); /* a b c d, b a d c, c d a b, d c b a */
            bool minus = signs[r][c] == '-', transposed = r > 0 && c > 0;
            for (size_t j = 0; j < m; j++) {
                size_t at = r == c       ? m + j - i          /* A:   a[j - i] */
                            : transposed ? i + j + 1          /* D'R: d[i - (m-1-j)] */
                                         : 2 * m - 1 - j - i; /* BR:  b[(m-1-j) - i] */
                int8_t v = s[at % m];
                h[row * n + c * m + j] = minus ? (int8_t)-v : v;
            }
        }
    }
    for (size_t c = 1; c < 4; c++)
        for (size_t j = 0; j < m / 2; j++) {
            int8_t *u = h + c * m + j, *v = h + c * m + (m - 1 - j), t = *u;
            *u = *v;
            *v = t;
        }
}

static const cq__sequences *cq__find_sequences(size_t n) {
    for (size_t i = 0; i < sizeof cq__sequences_of / sizeof cq__sequences_of[0]; i++)
        if (4 * (size_t)cq__sequences_of[i].m == n) return &cq__sequences_of[i];
    return NULL;
}

/* Builds the core of order n into h (n, n), zeroed; with h NULL only says whether it can. */
static bool cq__core(int8_t *h, size_t n) {
    cq__field f;
    const cq__sequences *q = cq__find_sequences(n);
    if (n < 4 || n % 4 != 0 || n > CQ_HADAMARD_CORE_MAX) return false;
    if (cq__field_init(&f, n - 1)) { /* n = 0 mod 4, so q = 3 mod 4 */
        if (h) cq__build_paley1(h, n, &f);
    } else if (cq__field_init(&f, n / 2 - 1) && f.q % 4 == 1) {
        if (h) cq__build_paley2(h, n, &f);
    } else if (q) {
        if (h) cq__build_array(h, n, q);
    } else {
        return false;
    }
    return true;
}

/* The smallest core whose order is odd * 2^j, j >= 2, and divides n; 0: none. */
static size_t cq__smallest_core(size_t odd, size_t n) {
    if (odd > CQ_HADAMARD_CORE_MAX / 4) return 0;
    for (size_t k = 4 * odd; k <= CQ_HADAMARD_CORE_MAX && n % k == 0; k *= 2)
        if (cq__core(NULL, k)) return k;
    return 0;
}

/* n = k1 * k2 * 2^p by the rule above [HADAMARD]; false: cannot be built. */
static bool cq__factor(size_t n, size_t *k1, size_t *k2) {
    size_t odd = n, best;
    *k1 = *k2 = 1;
    if (n == 0) return false;
    while (odd % 2 == 0) odd /= 2;
    if (odd == 1) return true;
    *k1 = best = cq__smallest_core(odd, n);
    if (best > 0 && best < 300) return true;
    for (size_t d = 3; d <= CQ_HADAMARD_CORE_MAX / 4 && d * d <= odd; d += 2) {
        if (odd % d != 0) continue;
        size_t a = cq__smallest_core(odd / d, n), b = cq__smallest_core(d, n);
        if (a == 0 || b == 0 || n % (a * b) != 0 || (best > 0 && a + b >= best)) continue;
        best = a + b;
        *k1 = a > b ? a : b;
        *k2 = a > b ? b : a;
    }
    return best > 0;
}

CQUANT_DEF void cq_hadamard_nearest(size_t n, size_t *below, size_t *above) {
    size_t k1, k2, power = 1, i;
    while (power <= n / 2) power *= 2; /* largest power of two <= n, if n > 0 */
    *below = n < 4 ? (n < 2 ? n : 2) : n - n % 4;
    for (i = 0; i < 4096 && *below > 2 && !cq__factor(*below, &k1, &k2); i++) *below -= 4; /* 8 and 4 can be built */
    if (i == 4096) *below = power;
    if (n <= 2) {
        *above = n == 0 ? 1 : n;
        return;
    }
    *above = n;
    if (n % 4 != 0) *above = n <= SIZE_MAX - 4 ? n - n % 4 + 4 : 0;
    for (i = 0; i < 4096 && *above != 0 && !cq__factor(*above, &k1, &k2); i++)
        *above = *above <= SIZE_MAX - 4 ? *above + 4 : 0;
    if (i == 4096) *above = power <= SIZE_MAX / 2 ? 2 * power : 0;
}

CQUANT_DEF cq_status cq_hadamard_init(cq_hadamard *h, size_t n, cq_arena *arena, cq_error *err) {
    int8_t *c1 = NULL, *c2 = NULL;
    if (n == 0 || !arena) return cq_fail(err, CQ_ERR_ARG, "a Hadamard matrix needs an order above 0 and an arena");
    if (n > 2 && n % 4 != 0)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED,
                          "no Hadamard matrix of this order exists: above 2 it must be a multiple of 4 "
                          "(cq_hadamard_nearest names the nearest)",
                          NULL, 0, UINT64_MAX, (int64_t)n);
    if (!cq__factor(n, &h->k1, &h->k2))
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED,
                          "no construction known here gives a Hadamard matrix of this order "
                          "(cq_hadamard_nearest names the nearest that can be built)",
                          NULL, 0, UINT64_MAX, (int64_t)n);
    h->n = n;
    h->pow2 = n / h->k1 / h->k2;
    h->scale_f64 = 1 / cq__sqrt((double)n);
    h->scale_f32 = (float)h->scale_f64;
    if (h->k1 > 1) c1 = (int8_t *)cq_alloc(arena, h->k1, h->k1);
    if (h->k2 > 1) c2 = (int8_t *)cq_alloc(arena, h->k2, h->k2);
    h->c1 = c1;
    h->c2 = c2;
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the cores of a Hadamard matrix");
    if (c1) (void)cq__core(c1, h->k1);
    if (c2) (void)cq__core(c2, h->k2);
    return CQ_OK;
}

CQUANT_DEF int cq_hadamard_sign(const cq_hadamard *h, size_t row, size_t col) {
    size_t both = row % h->pow2 & col % h->pow2, r = row / h->pow2, c = col / h->pow2;
    int sign = 1;
    for (; both; both &= both - 1) sign = -sign;
    if (h->c2) sign *= h->c2[r % h->k2 * h->k2 + c % h->k2];
    if (h->c1) sign *= h->c1[r / h->k2 * h->k1 + c / h->k2];
    return sign;
}

/* ===================================================================================================================
   [LESSON 5 fast transform]

   S of order 2^p is a Kronecker product of p matrices [[1, 1], [1, -1]], so S x is p passes of "butterflies"
       for (s = 1; s < len; s *= 2)
           for each pair (i, i + s), where bit s of i is clear:   x[i], x[i+s] = x[i] + x[i+s], x[i] - x[i+s]
   : n p additions, not n^2. The passes below do two levels at a time (radix 4: half the traffic) and finish blocks that
   fit the first-level cache before they go on to longer strides. Each butterfly still adds the same two numbers, so
   the bits are those of the loop above.

   A tile holds w vectors side by side, element i of vector c at x[i * w + c]: the butterflies then add whole rows of
   the tile, and nothing else changes but that the first stride is w. One vector is w = 1.

   A core is a dense matrix of signs. Its inputs are `inner` numbers apart (2^p w for the last core); 64 bytes of
   each are copied together, and multiplied by K rows of signs: K^2 inner additions. Multiplying by +-1 is exact.

   The text is the same for float and double, hence macros: S is the suffix, T the type.
   ================================================================================================================== */
#define CQ__TILE(T) (64 / sizeof(T)) /* vectors in a tile: 16 floats or 8 doubles */

#define CQ__DEFINE_FWHT(S, T)                                                                                          \
static void cq__levels_##S(T *x, size_t len, size_t s) { /* butterflies of strides s, 2 s, ... below len */            \
    for (; s <= len / 4; s *= 4)                                                                                       \
        for (size_t j = 0; j < len; j += 4 * s)                                                                        \
            for (T *p = x + j, *end = p + s; p < end; p++) {                                                           \
                T a = p[0] + p[s], b = p[0] - p[s], c = p[2 * s] + p[3 * s], d = p[2 * s] - p[3 * s];                  \
                p[0] = a + c;                                                                                          \
                p[s] = b + d;                                                                                          \
                p[2 * s] = a - c;                                                                                      \
                p[3 * s] = b - d;                                                                                      \
            }                                                                                                          \
    for (; s <= len / 2; s *= 2)                                                                                       \
        for (size_t j = 0; j < len; j += 2 * s)                                                                        \
            for (T *p = x + j, *end = p + s; p < end; p++) {                                                           \
                T a = p[0], b = p[s];                                                                                  \
                p[0] = a + b;                                                                                          \
                p[s] = a - b;                                                                                          \
            }                                                                                                          \
}                                                                                                                      \
static void cq__fwht_##S(T *x, size_t len, size_t w) { /* len = 2^p w */                                               \
    size_t block = w;                                                                                                  \
    while (block < len && block <= 16384 / sizeof(T)) block *= 2;                                                      \
    for (size_t j = 0; j < len; j += block) cq__levels_##S(x + j, block, w);                                           \
    cq__levels_##S(x, len, block);                                                                                     \
}
CQ__DEFINE_FWHT(f32, float)
CQ__DEFINE_FWHT(f64, double)

#define CQ__DEFINE_CORE(S, T)                                                                                          \
/* x (k, inner) <- C x or C^T x; scratch (k, 64 bytes) */                                                              \
static void cq__apply_core_##S(const int8_t *core, size_t k, T *x, size_t inner, T *scratch, bool transposed) {        \
    size_t ri = transposed ? 1 : k, rj = transposed ? k : 1; /* steps from row to row, column to column */             \
    for (size_t first = 0; first < inner; first += CQ__TILE(T)) {                                                      \
        size_t w = cq__min(inner - first, CQ__TILE(T));                                                                \
        for (size_t i = 0; i < k; i++)                                                                                 \
            for (size_t c = 0; c < CQ__TILE(T); c++)                                                                   \
                scratch[i * CQ__TILE(T) + c] = c < w ? x[i * inner + first + c] : (T)0;                                \
        for (size_t i = 0; i < k; i += 2) { /* two rows at once: each number loaded is used twice */                   \
            const int8_t *p = core + i * ri;                                                                           \
            T y[2][CQ__TILE(T)];                                                                                       \
            for (size_t c = 0; c < CQ__TILE(T); c++) y[0][c] = y[1][c] = 0;                                            \
            for (size_t j = 0; j < k; j++) {                                                                           \
                const T *v = scratch + j * CQ__TILE(T);                                                                \
                T s0 = (T)p[j * rj], s1 = (T)p[j * rj + ri];                                                           \
                for (size_t c = 0; c < CQ__TILE(T); c++) {                                                             \
                    y[0][c] += s0 * v[c];                                                                              \
                    y[1][c] += s1 * v[c];                                                                              \
                }                                                                                                      \
            }                                                                                                          \
            for (size_t c = 0; c < w; c++) {                                                                           \
                x[i * inner + first + c] = y[0][c];                                                                    \
                x[(i + 1) * inner + first + c] = y[1][c];                                                              \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
}                                                                                                                      \
/* x (n, w) <- (C1 (x) C2 (x) S) x, without the factor 1 / sqrt(n) */                                                  \
static void cq__transform_##S(const cq_hadamard *h, T *x, size_t w, T *scratch, bool inverse) {                        \
    size_t inner = h->pow2 * w, blocks = h->k1 * h->k2;                                                                \
    for (size_t i = 0; i < blocks; i++) cq__fwht_##S(x + i * inner, inner, w);                                         \
    for (size_t i = 0; h->c2 && i < h->k1; i++)                                                                        \
        cq__apply_core_##S(h->c2, h->k2, x + i * h->k2 * inner, inner, scratch, inverse);                              \
    if (h->c1) cq__apply_core_##S(h->c1, h->k1, x, h->k2 * inner, scratch, inverse);                                   \
}                                                                                                                      \
CQUANT_DEF void cq_hadamard_##S(const cq_hadamard *h, T *x, T *scratch, bool inverse) {                                \
    cq__transform_##S(h, x, 1, scratch, inverse);                                                                      \
    for (size_t i = 0; i < h->n; i++) x[i] *= h->scale_##S;                                                            \
}
CQ__DEFINE_CORE(f32, float)
CQ__DEFINE_CORE(f64, double)

CQUANT_DEF size_t cq_hadamard_scratch(const cq_hadamard *h) { /* k1 >= k2 */
    return h->k1 > 1 ? h->k1 * 16 : 0;
}

/* ===================================================================================================================
   [LESSON 6 random rotations]

   Hadamard with random signs: sign i is bit i % 64 of random number i / 64, 1 = -1. The signs make it random; the
   Hadamard matrix makes every entry +-1/sqrt(n), as flat as a rotation can be.

   Uniform (Haar): the Q of a QR factorisation of a matrix of independent normal deviates, the columns' signs
   chosen so that R has a positive diagonal; without that the result would not be uniform (Mezzadri 2007).
   Householder's algorithm takes the first column g, makes a reflection H that maps it to a multiple of e1, and goes on
   with the rest of H A, which is independent of g and again normal. So A need not exist (Stewart 1980): draw a fresh g
   of each length m = 1, 2, ..., n and put
       Q_m = H_m [ d  0 ; 0  Q_(m-1) ],   v = g + sign(g_1) |g| e1,   H_m = I - 2 v v^T / (v^T v),   d = -sign(g_1)
   whose first column is g / |g|: a point uniform on the sphere. 4/3 n^3 operations.
   ================================================================================================================== */
static void cq__haar(double *q /* (n, n) */, size_t n, double *v /* (n) */, double *u /* (n) */, uint64_t seed,
                     uint64_t stream) {
    uint64_t index = 0;
    for (size_t m = 1; m <= n; m++) {
        double *block = q + (n - m) * (n + 1); /* lower right m x m */
        double length = 0, first, beta;
        for (size_t i = 0; i < m; i++) {
            v[i] = cq__gauss(seed, stream, index++);
            length += v[i] * v[i];
        }
        length = cq__sqrt(length);
        first = v[0];
        v[0] += first < 0 ? -length : length;
        block[0] = first < 0 ? 1 : -1;
        if (m == 1) block[0] = -block[0]; /* the reflection of a line is -1 */
        if (m == 1 || !(length > 0)) continue;
        beta = length * (length + (first < 0 ? -first : first)); /* v^T v / 2 */
        for (size_t j = 0; j < m; j++) u[j] = 0; /* u = v^T block */
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++) u[j] += v[i] * block[i * n + j];
        for (size_t i = 0; i < m; i++) { /* block -= v u / beta */
            double t = v[i] / beta;
            for (size_t j = 0; j < m; j++) block[i * n + j] -= t * u[j];
        }
    }
}

/* The fields that all modes share. */
static void cq__rotation_clear(cq_rotation *r, cq_rotate_mode mode, size_t n) {
    r->mode = mode;
    r->n = n;
    r->h.n = r->h.k1 = r->h.k2 = r->h.pow2 = 1;
    r->h.c1 = r->h.c2 = NULL;
    r->h.scale_f64 = 1;
    r->h.scale_f32 = 1;
    r->sign = NULL;
    r->columns = NULL;
}

static double *cq__alloc_dense(cq_arena *arena, size_t n) {
    size_t row;
    if (cq__mul(n, sizeof(double), &row)) return (double *)cq_alloc(arena, n, row);
    arena->failed = true;
    return NULL;
}

CQUANT_DEF cq_status cq_rotation_init(cq_rotation *r, cq_rotate_mode mode, size_t n, uint64_t seed, uint64_t stream,
                                      cq_arena *arena, cq_error *err) {
    if (n == 0 || !arena) return cq_fail(err, CQ_ERR_ARG, "a rotation needs a dimension above 0 and an arena");
    if (n > SIZE_MAX / 4096) return cq_fail(err, CQ_ERR_RANGE, "dimension too large for this machine's memory");
    cq__rotation_clear(r, mode, n);
    if (mode == CQ_ROTATE_HADAMARD || mode == CQ_ROTATE_BASE_HADAMARD) {
        cq_status status = cq_hadamard_init(&r->h, n, arena, err);
        int8_t *sign = NULL;
        if (status != CQ_OK) return status;
        if (mode == CQ_ROTATE_HADAMARD) sign = (int8_t *)cq_alloc(arena, n, 1);
        for (size_t i = 0; sign && i < n; i += 64) {
            uint64_t bits = cq_random(seed, stream, i / 64);
            for (size_t b = 0; b < 64 && i + b < n; b++) sign[i + b] = (bits >> b & 1) ? -1 : 1;
        }
        r->sign = sign;
    } else if (mode == CQ_ROTATE_ORTHOGONAL) {
        double *q = cq__alloc_dense(arena, n);
        double *v = (double *)cq_alloc(arena, n, sizeof(double)), *u = (double *)cq_alloc(arena, n, sizeof(double));
        if (q && v && u) cq__haar(q, n, v, u, seed, stream);
        r->columns = q;
    } else {
        return cq_fail_at(err, CQ_ERR_ARG, "a mode that can be made from a seed is needed (a dense matrix: "
                          "cq_rotation_import)", NULL, 0, UINT64_MAX, (int64_t)mode);
    }
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for a rotation");
    return CQ_OK;
}

CQUANT_DEF cq_status cq_rotation_import(cq_rotation *r, const double *matrix, size_t n, cq_arena *arena,
                                        cq_error *err) {
    double *columns;
    if (n == 0 || !arena || !matrix)
        return cq_fail(err, CQ_ERR_ARG, "an imported rotation needs a dimension above 0, a matrix and an arena");
    if (n > SIZE_MAX / 4096) return cq_fail(err, CQ_ERR_RANGE, "dimension too large for this machine's memory");
    cq__rotation_clear(r, CQ_ROTATE_DENSE, n);
    columns = cq__alloc_dense(arena, n);
    r->columns = columns;
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for a dense rotation");
    for (size_t i = 0; i < n; i++) {
        double length = 0;
        for (size_t j = 0; j < n; j++) {
            length += matrix[i * n + j] * matrix[i * n + j];
            if (columns) columns[j * n + i] = matrix[i * n + j];
        }
        if (!(length > 0.998 && length < 1.002)) /* not a number fails as well */
            return cq_fail_at(err, CQ_ERR_RANGE, "a row of the matrix (`where`) does not have length 1: not a rotation",
                              NULL, 0, (uint64_t)i, INT64_MIN);
    }
    return CQ_OK;
}

CQUANT_DEF void cq_rotation_matrix(const cq_rotation *r, double *out) {
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->n; j++) {
            double v = r->columns ? r->columns[j * r->n + i] : cq_hadamard_sign(&r->h, j, i) * r->h.scale_f64;
            out[i * r->n + j] = r->sign ? r->sign[i] * v : v;
        }
}

CQUANT_DEF double cq_orthogonality_error(const double *matrix, size_t n, size_t step) {
    double worst = 0;
    if (step == 0) step = 1;
    for (size_t i = 0; i < n; i += step)
        for (size_t j = 0; j < n; j++) {
            double sum = i == j ? -1 : 0;
            for (size_t k = 0; k < n; k++) sum += matrix[i * n + k] * matrix[j * n + k];
            if (sum < 0) sum = -sum;
            if (!(sum <= worst)) worst = sum; /* a NaN stays */
            if (worst != worst) return worst;
        }
    return worst;
}
CQUANT_DEF double cq_orthogonality_probe(const double *matrix, size_t n, double *work) {
    double worst = 0;
    for (uint64_t stream = 0; stream < 4; stream++) {
        for (size_t j = 0; j < n; j++) work[j] = 0; /* x R */
        for (size_t i = 0; i < n; i++) {
            double x = cq_random(0, stream, i / 64) >> i % 64 & 1 ? -1.0 : 1.0;
            for (size_t j = 0; j < n; j++) work[j] += x * matrix[i * n + j];
        }
        for (size_t i = 0; i < n; i++) {
            double sum = cq_random(0, stream, i / 64) >> i % 64 & 1 ? 1.0 : -1.0; /* - x */
            for (size_t j = 0; j < n; j++) sum += work[j] * matrix[i * n + j];
            if (sum < 0) sum = -sum;
            if (!(sum <= worst)) worst = sum; /* a NaN stays */
            if (worst != worst) return worst;
        }
    }
    return worst;
}

/* ===================================================================================================================
   [LESSON 7 applying]

   x . R on rows and R^T . w on columns are one operation: R^T w = (w^T R)^T. Both take vectors v, strung along an axis
   of the matrix, to (C1 (x) C2 (x) S)(v o s) / sqrt(n); only the steps in memory differ. So there is one task: collect
   a tile of vectors side by side, transform, put back. `along` is the step from element to element of one vector,
   `across` that from vector to vector. Rows: 1 and ld. Columns: ld and 1, where collecting copies runs of 64 bytes.

   A dense rotation runs over tiles of 8 vectors in double, whatever the weights are; each result is rounded once.

   The tiles are dealt out to at most 16 tasks, each with its own scratch. A tile's result depends neither on who
   computes it nor on how many vectors share the tile.
   ================================================================================================================== */
#define CQ__ROTATE_SLOTS 16u

typedef struct cq__rotate_job {
    const cq_rotation *r;
    unsigned char *data, *scratch; /* data: float or double */
    size_t along, across;          /* in elements */
    size_t vectors, lanes, tiles;  /* vectors across, at most so many in a tile, tiles that makes */
    size_t units, slots, slot_bytes;
} cq__rotate_job;

static size_t cq__rotate_slot_bytes(const cq_rotation *r) {
    return r->columns || r->mode >= CQ_ROTATE_ORTHOGONAL ? 128 * r->n : 64 * (r->n + r->h.k1);
}
static size_t cq__rotate_slots(const cq_context *ctx) { return ctx && ctx->parallel.run ? CQ__ROTATE_SLOTS : 1; }

CQUANT_DEF size_t cq_rotation_scratch(const cq_context *ctx, const cq_rotation *r) {
    return cq__rotate_slots(ctx) * cq__rotate_slot_bytes(r);
}

/* y (n, 8) = R^T x, x (n, 8): four columns of R at once, so that each number of x loaded is used four times. */
static void cq__rotate_dense(const double *columns, size_t n, const double *x, double *y) {
    for (size_t j = 0; j < n; j += 4) {
        const double *c[4];
        double sum[4][8];
        for (size_t b = 0; b < 4; b++) {
            c[b] = columns + cq__min(j + b, n - 1) * n; /* past the end: the last one again, not stored */
            for (size_t l = 0; l < 8; l++) sum[b][l] = 0;
        }
        for (size_t i = 0; i < n; i++)
            for (size_t b = 0; b < 4; b++)
                for (size_t l = 0; l < 8; l++) sum[b][l] += c[b][i] * x[i * 8 + l];
        for (size_t b = 0; b < 4 && j + b < n; b++)
            for (size_t l = 0; l < 8; l++) y[(j + b) * 8 + l] = sum[b][l];
    }
}

#define CQ__DEFINE_ROTATE(S, T)                                                                                        \
static void cq__rotate_tile_##S(const cq__rotate_job *job, T *data, size_t w, void *scratch) {                         \
    const cq_rotation *r = job->r;                                                                                     \
    size_t n = r->n, along = job->along, across = job->across;                                                         \
    if (r->columns) {                                                                                                  \
        double *x = (double *)scratch, *y = x + 8 * n;                                                                 \
        for (size_t i = 0; i < n; i++)                                                                                 \
            for (size_t c = 0; c < 8; c++) x[i * 8 + c] = c < w ? (double)data[i * along + c * across] : 0;            \
        cq__rotate_dense(r->columns, n, x, y);                                                                         \
        for (size_t i = 0; i < n; i++)                                                                                 \
            for (size_t c = 0; c < w; c++) data[i * along + c * across] = (T)y[i * 8 + c];                             \
    } else {                                                                                                           \
        T *x = (T *)scratch, *core = x + n * w;                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                               \
            bool minus = r->sign && r->sign[i] < 0;                                                                    \
            for (size_t c = 0; c < w; c++) {                                                                           \
                T v = data[i * along + c * across];                                                                    \
                x[i * w + c] = minus ? -v : v;                                                                         \
            }                                                                                                          \
        }                                                                                                              \
        cq__transform_##S(&r->h, x, w, core, false);                                                                   \
        for (size_t i = 0; i < n; i++)                                                                                 \
            for (size_t c = 0; c < w; c++) data[i * along + c * across] = x[i * w + c] * r->h.scale_##S;               \
    }                                                                                                                  \
}                                                                                                                      \
static void cq__rotate_task_##S(void *arg, size_t slot) {                                                              \
    const cq__rotate_job *job = (const cq__rotate_job *)arg;                                                           \
    T *data = (T *)(void *)job->data;                                                                                  \
    for (size_t unit = slot; unit < job->units; unit += job->slots) {                                                  \
        size_t first = unit % job->tiles * job->lanes, block = unit / job->tiles;                                      \
        cq__rotate_tile_##S(job, data + block * job->r->n * job->along + first * job->across,                          \
                            cq__min(job->lanes, job->vectors - first), job->scratch + slot * job->slot_bytes);         \
    }                                                                                                                  \
}                                                                                                                      \
/* axis: length of the axis that is rotated */                                                                         \
static cq_status cq__rotate_##S(const cq_context *ctx, const cq_rotation *r, T *x, size_t axis, size_t along,          \
                                size_t vectors, size_t across, void *scratch) {                                        \
    cq__rotate_job job;                                                                                                \
    if (r->n == 0 || axis % r->n != 0) return CQ_ERR_ARG;                                                              \
    job.r = r;                                                                                                         \
    job.data = (unsigned char *)x;                                                                                     \
    job.scratch = (unsigned char *)scratch;                                                                            \
    job.along = along;                                                                                                 \
    job.across = across;                                                                                               \
    job.vectors = vectors;                                                                                             \
    job.lanes = r->columns ? 8 : CQ__TILE(T);                                                                          \
    job.tiles = vectors / job.lanes + (vectors % job.lanes != 0);                                                      \
    job.units = job.tiles * (axis / r->n);                                                                             \
    job.slots = cq__min(cq__rotate_slots(ctx), job.units);                                                             \
    job.slot_bytes = cq__rotate_slot_bytes(r);                                                                         \
    if (ctx) cq_parallel_for(ctx, job.slots, cq__rotate_task_##S, &job);                                               \
    else if (job.slots) cq__rotate_task_##S(&job, 0);                                                                  \
    return CQ_OK;                                                                                                      \
}                                                                                                                      \
CQUANT_DEF cq_status cq_rotate_rows_##S(const cq_context *ctx, const cq_rotation *r, T *x, size_t rows, size_t cols,   \
                                        size_t ld, void *scratch) {                                                    \
    return ld < cols ? CQ_ERR_ARG : cq__rotate_##S(ctx, r, x, cols, 1, rows, ld, scratch);                             \
}                                                                                                                      \
CQUANT_DEF cq_status cq_rotate_cols_##S(const cq_context *ctx, const cq_rotation *r, T *w, size_t rows, size_t cols,   \
                                        size_t ld, void *scratch) {                                                    \
    return ld < cols ? CQ_ERR_ARG : cq__rotate_##S(ctx, r, w, rows, ld, cols, 1, scratch);                             \
}
CQ__DEFINE_ROTATE(f32, float)
CQ__DEFINE_ROTATE(f64, double)

/* ===================================================================================================================
   [LESSON 8 norms]

   A norm's gain multiplies channel by channel and does not commute with a rotation: g o (h R) is not (g o h) R. But
   what follows the norm are linears, and W (g o h) = (W diag(g)) h: the gain moves into the columns of all readers, its
   bias beta into their biases, W (g o h + beta) = (W diag(g)) h + W beta.

   LayerNorm also subtracts the mean over channels, which is a projection P = I - 1 1^T / n and does not commute either.
   But the mean can be kept out of the stream for good: if everything that writes to it writes P times what it did, the
   stream is P h throughout, its mean is 0, and LayerNorm is RMSNorm. P W subtracts from each column of W (out, in) the
   column's mean; an embedding is a writer whose rows are the vectors. (SliceGPT, Ashkboos et al. 2024.)

   Keep the weights in the wider type from here to the rotation's end: rounding once instead of twice to bf16 leaves
   29 % less error. Means are summed in double, in order.
   ================================================================================================================== */
#define CQ__DEFINE_NORMS(S, T)                                                                                         \
CQUANT_DEF void cq_fuse_norm_##S(T *w, size_t rows, size_t cols, size_t ld, const T *gain) {                           \
    for (size_t i = 0; i < rows; i++)                                                                                  \
        for (size_t k = 0; k < cols; k++) w[i * ld + k] *= gain[k];                                                    \
}                                                                                                                      \
CQUANT_DEF void cq_fuse_bias_##S(T *bias, const T *w, size_t rows, size_t cols, size_t ld, const T *beta) {            \
    for (size_t i = 0; i < rows; i++) {                                                                                \
        double sum = (double)bias[i];                                                                                  \
        for (size_t k = 0; k < cols; k++) sum += (double)w[i * ld + k] * (double)beta[k];                              \
        bias[i] = (T)sum;                                                                                              \
    }                                                                                                                  \
}                                                                                                                      \
static void cq__center_##S(T *w, size_t axis, size_t along, size_t vectors, size_t across) {                           \
    for (size_t c = 0; c < vectors; c++) {                                                                             \
        T *v = w + c * across;                                                                                         \
        double sum = 0, mean;                                                                                          \
        for (size_t i = 0; i < axis; i++) sum += (double)v[i * along];                                                 \
        mean = sum / (double)axis;                                                                                     \
        for (size_t i = 0; i < axis; i++) v[i * along] = (T)((double)v[i * along] - mean);                             \
    }                                                                                                                  \
}                                                                                                                      \
CQUANT_DEF void cq_center_cols_##S(T *w, size_t rows, size_t cols, size_t ld) {                                        \
    cq__center_##S(w, rows, ld, cols, 1);                                                                              \
}                                                                                                                      \
CQUANT_DEF void cq_center_rows_##S(T *w, size_t rows, size_t cols, size_t ld) {                                        \
    cq__center_##S(w, cols, 1, rows, ld);                                                                              \
}
CQ__DEFINE_NORMS(f32, float)
CQ__DEFINE_NORMS(f64, double)

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif /* CQUANT_IMPLEMENTATION */
