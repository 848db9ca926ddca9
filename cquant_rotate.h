/* cquant_rotate.h - v0.7.4 - orthogonal rotations of weights: Hadamard matrices by construction, applied fast

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
             machines      [ROTATE X86], at the end of LESSON 5: the same results, faster

   EXACTNESS  A rotation is defined by (mode, n, seed, stream) and is the same on every machine. Every result is the
              same for any number of threads, with any kernels, and for a vector alone or among others. In double
              |R R^T - I| stays below 1e-14 sqrt(n) for Hadamard modes and 1e-12 for the others; in float, numbers
              below 1 come back within 3e-6 (tests/test_rotate.c).
   MEMORY     The caller's. A rotation takes n bytes of signs and K * K / 2 bytes a core from the arena (dense ones
              8 n n); applying takes scratch as told by cq_rotation_scratch. Sizes: run the init on an arena with base
              NULL.
   STACK      Under 1 KB a call. The float transforms of Hadamard modes use no double, so firmware may run them.

   Licence: see the end of cquant.h. */
#ifndef CQUANT_ROTATE_H
#define CQUANT_ROTATE_H

#include "cquant.h"
#if CQUANT_VERSION_NUM != 704
#error "cquant_rotate.h 0.7.4 needs cquant.h 0.7.4: the headers of one release belong together"
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
#define CQ_HADAMARD_CORE_MAX 4096u /* largest core that is tried: 8 MB of signs */

typedef struct cq_hadamard {
    size_t n;
    size_t k1, k2, pow2;   /* n = k1 * k2 * pow2; 1: no such core */
    const uint8_t *c1, *c2; /* the cores' signs, in the arena, see [LESSON 5 fast transform]; NULL: no such core */
    double scale_f64;      /* 1 / sqrt(n) */
    float scale_f32;
} cq_hadamard;

/* CQ_ERR_UNSUPPORTED with err->got = n if no matrix of order n exists or none can be built here. */
CQUANT_DEF cq_status cq_hadamard_init(cq_hadamard *h, size_t n, cq_arena *arena, cq_error *err);
/* The nearest orders <= n and >= n that can be built: both n itself where n can. Exact up to n = 2^20; beyond, where
   nothing is found within 16384, a power of two. 0: there is none (below 1, or above the range of size_t). */
CQUANT_DEF void cq_hadamard_nearest(size_t n, size_t *below, size_t *above);
CQUANT_DEF size_t cq_hadamard_scratch(const cq_hadamard *h); /* bytes that a transform needs; 0 for 2^p */
/* x (n) <- (C1 (x) C2 (x) S) x / sqrt(n), or with its transpose, which is the inverse. About n (K1/4 + K2/4 + p + 4)
   additions. ctx: the kernels; NULL: plain C. scratch: aligned as x is, best to CQ_ALIGN. Many rows: cq_rotate_rows_f32
   with CQ_ROTATE_BASE_HADAMARD. */
CQUANT_DEF void cq_hadamard_f32(const cq_context *ctx, const cq_hadamard *h, float *x, void *scratch, bool inverse);
CQUANT_DEF void cq_hadamard_f64(const cq_context *ctx, const cq_hadamard *h, double *x, void *scratch, bool inverse);
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
   ctx gives the kernels and the threads; NULL: plain C, no threads. scratch: aligned to CQ_ALIGN, cq_rotation_scratch
   bytes for the same ctx.
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

/* No fused multiply-add, no float vectors of Helium, as in cquant.h. Undone at the end. */
CQ__EXACT_BEGIN /* see cquant.h */

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

   Two more places are out of reach of what is folded into weights: the input of `down`, behind an activation, and
   queries and keys behind rope. There vectors can be turned at run time, by a transform without random signs, since
   W h = (W R)(R^T h): "online" rotations, R4 and R3 (QuaRot, Ashkboos et al. 2024; SpinQuant, Liu et al. 2024).

   What it is good for, measured on SmolLM2-135M-Instruct (KL divergence from the model itself in nats, 4080 tokens of
   wikitext-2; weights of 4 bits in groups of 64, activations of 16, 8 and 4 bits; seed 0; bench/rotation_study.py):

                                     GPTQ                     to nearest
                             A16    A8     A4             A16    A8     A4
       as it is             0.129  0.161  5.26           0.398  0.425  5.50
       R4                   0.119  0.142  4.27           0.403  0.425  4.52
       R1 R2                0.110  0.120  2.23           0.962  0.986  5.09
       R1 R2 R4             0.096  0.097  0.66           0.892  0.896  1.88
       in blocks of 32:
       R1 R2                0.115  0.141  2.88           0.746  0.770  3.84
       R1 R2 R4             0.089  0.093  1.34           0.687  0.695  2.32

   GPTQ weighs errors with the inputs' second moments; the rotation makes groups even in size and leaves the knowledge
   of what matters in the Hessian, where GPTQ finds it. Round to nearest has no Hessian, and folding the norm's gain
   into the weights takes away what helped it: before, an error in channel k was damped by the gain g_k in front of it.
   So rotate for GPTQ and for low-bit activations, and measure before rotating for anything else.
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

/* Row i of each construction, n signs. chi: (q), see [LESSON 3]. */
static void cq__paley1_row(int8_t *row, size_t n, size_t i, const cq__field *f, const int8_t *chi) {
    row[0] = 1;
    for (size_t j = 1; j < n; j++) row[j] = i == 0 ? 1 : i == j ? -1 : chi[cq__field_sub(f, i - 1, j - 1)];
}

static void cq__paley2_row(int8_t *row, size_t n, size_t i, const cq__field *f, const int8_t *chi) {
    size_t a = i / 2;
    for (size_t b = 0; b < n / 2; b++) { /* row i % 2 of a block of 2 x 2 */
        int8_t v = a > 0 && b > 0 ? chi[cq__field_sub(f, a - 1, b - 1)] : 1;
        if (a == b) { /* S = 0 here */
            row[2 * b] = i % 2 ? -1 : 1;
            row[2 * b + 1] = -1;
        } else {
            row[2 * b] = v;
            row[2 * b + 1] = i % 2 ? (int8_t)-v : v;
        }
    }
}

static void cq__array_row(int8_t *row, size_t m, size_t i, const int8_t *sequences /* (4, m) */) {
    static const char signs[4][5] = {"++++", "-+-+", "-++-", "--++"};
    size_t r = i / m;
    i %= m;
    for (size_t c = 0; c < 4; c++) {
        const int8_t *s = sequences + m * (r ^ c); /* a b c d, b a d c, c d a b, d c b a */
        bool minus = signs[r][c] == '-', transposed = r > 0 && c > 0;
        for (size_t j = 0; j < m; j++) {
            size_t at = r == c       ? m + j - i          /* A:   a[j - i] */
                        : transposed ? i + j + 1          /* D'R: d[i - (m-1-j)] */
                                     : 2 * m - 1 - j - i; /* BR:  b[(m-1-j) - i] */
            row[c * m + j] = minus ? (int8_t)-s[at % m] : s[at % m];
        }
    }
}

static const cq__sequences *cq__find_sequences(size_t n) {
    for (size_t i = 0; i < sizeof cq__sequences_of / sizeof cq__sequences_of[0]; i++)
        if (4 * (size_t)cq__sequences_of[i].m == n) return &cq__sequences_of[i];
    return NULL;
}

/* 1 where entry (row, col) of a core is -1 */
static unsigned cq__core_minus(const uint8_t *nibbles, size_t k, size_t row, size_t col) {
    return nibbles[row * (k / 4) + col / 4] >> (4 + col % 4) & 1u;
}

/* Builds the core of order n >= 12 as nibbles (2, n, n / 4), zeroed, in the form that [LESSON 5 fast transform] wants:
   byte (0, i, g) holds the signs of row i in the columns 4 g ... 4 g + 3, bits 4 to 7 in this order, 1 = -1; the second
   half is the same of the transpose. With nibbles NULL only says whether it can. */
static bool cq__core(uint8_t *nibbles, size_t n) {
    cq__field f;
    const cq__sequences *q = cq__find_sequences(n);
    size_t groups = n / 4;
    int kind;
    if (n < 12 || n % 4 != 0 || n > CQ_HADAMARD_CORE_MAX) return false;
    if (cq__field_init(&f, n - 1)) kind = 1; /* n = 0 mod 4, so q = 3 mod 4 */
    else if (cq__field_init(&f, n / 2 - 1) && f.q % 4 == 1) kind = 2;
    else if (q) kind = 3;
    else return false;
    if (!nibbles) return true;
    uint8_t *transpose = nibbles + n * groups;
    int8_t *source = (int8_t *)transpose, *row = source + n; /* 2 n <= n groups: written over at the end */
    if (kind == 3) cq__decode(source, q);
    else cq__field_chi(&f, source);
    for (size_t i = 0; i < n; i++) {
        if (kind == 1) cq__paley1_row(row, n, i, &f, source);
        if (kind == 2) cq__paley2_row(row, n, i, &f, source);
        if (kind == 3) cq__array_row(row, n / 4, i, source);
        for (size_t j = 0; j < n; j++)
            if (row[j] < 0) nibbles[i * groups + j / 4] |= (uint8_t)(16u << j % 4);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < groups; g++) {
            unsigned bits = 0;
            for (unsigned b = 0; b < 4; b++) bits |= cq__core_minus(nibbles, n, 4 * g + b, i) << b;
            transpose[i * groups + g] = (uint8_t)(bits << 4);
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
    uint8_t *c1 = NULL, *c2 = NULL;
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
    if (h->k1 > 1) c1 = (uint8_t *)cq_alloc(arena, h->k1, h->k1 / 2);
    if (h->k2 > 1) c2 = (uint8_t *)cq_alloc(arena, h->k2, h->k2 / 2);
    h->c1 = c1;
    h->c2 = c2;
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the cores of a Hadamard matrix");
    if (c1) (void)cq__core(c1, h->k1);
    if (c2) (void)cq__core(c2, h->k2);
    return CQ_OK;
}

CQUANT_DEF int cq_hadamard_sign(const cq_hadamard *h, size_t row, size_t col) {
    size_t both = row % h->pow2 & col % h->pow2, r = row / h->pow2, c = col / h->pow2;
    unsigned minus = 0;
    for (; both; both &= both - 1) minus ^= 1u;
    if (h->c2) minus ^= cq__core_minus(h->c2, h->k2, r % h->k2, c % h->k2);
    if (h->c1) minus ^= cq__core_minus(h->c1, h->k1, r / h->k2, c / h->k2);
    return minus ? -1 : 1;
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

   A core is a dense K x K matrix of signs, and has no such structure. But K rows can differ in only 16 ways within four
   columns. So the method of four Russians (Arlazarov, Dinic, Kronrod, Faradzev 1970): for each group of four inputs
   compute the 16 sums (+-a +- b) +- (c +- d) once, 12 additions, half of them being the negatives of the others; then
   each row adds up one of them from each of its K / 4 groups. That takes K / 4 + 2 additions an element in place of K.
   Which one is in a table: four bits for each row and group, made by cq_hadamard_init.

   Inputs and outputs are `step` numbers apart (2^p w for the last core), so 64 bytes of each, a strip, go together. The
   sums of 16 groups are made at a time, 16 KB, to stay in the first-level cache; if there are more groups the rows'
   sums so far wait in scratch. The order of additions is that of the groups, whatever the chunks.

   The plain C kernels are the same text for float and double, hence a macro: S is the suffix, T the type. Kernels of
   both have the same signatures, so that what calls them need not be written twice; counts and steps are in elements.
   ================================================================================================================== */
#define CQ__ROTATE_STRIP(T) (64 / sizeof(T)) /* 16 floats or 8 doubles */
#define CQ__CHUNK 16u                 /* groups of four inputs whose sums are held at a time */

typedef struct cq__rotate_kernels {
    size_t size;          /* of an element */
    const void *plus_one; /* factors are passed by address: float or double */
    const void *minus_one;
    /* butterflies of the strides w, 2 w, ... below len = 2^p w; then everything times factor, if it is not NULL */
    void (*fwht)(void *x, size_t len, size_t w, const void *factor);
    /* out[i * out_step + c] = (sum over j < k of sign(i, j) * x[j * step + c]) * factor, for i < k, c < lanes <= strip.
       out may be x. next: what will be read soon in the same steps, fetched into the cache meanwhile; or NULL.
       scratch: cq__core_scratch(k) */
    void (*core)(void *out, size_t out_step, const void *x, size_t step, size_t lanes, const uint8_t *nibbles,
                 size_t k, const void *factor, const void *next, void *scratch);
    /* out may be x. next: likewise, n numbers in a row */
    void (*scale)(void *out, const void *x, size_t n, const void *factor, const void *next);
    void (*flip)(void *out, const void *x, size_t n, const int8_t *sign);  /* sign NULL: a copy */
    void (*dense)(const double *columns, size_t n, const double *x, double *y); /* see [LESSON 7 applying] */
} cq__rotate_kernels;

static size_t cq__core_scratch(size_t k) { /* bytes: the sums of a chunk, and those of the rows if there are more */
    return k < 4 ? 0 : cq__min(k / 4, CQ__CHUNK) * 1024 + (k / 4 > CQ__CHUNK ? k * 64 : 0);
}

/* y (n, 8) = R^T x, x (n, 8): four columns of R at once, so that each number of x loaded is used four times. */
static void cq__dense_c(const double *columns, size_t n, const double *x, double *y) {
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

#define CQ__DEFINE_PLAIN(S, T)                                                                                         \
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
static void cq__scale_##S##_c(void *out, const void *x, size_t n, const void *factor, const void *next) {              \
    T *y = (T *)out;                                                                                                   \
    const T *v = (const T *)x, f = *(const T *)factor;                                                                 \
    (void)next;                                                                                                        \
    for (size_t i = 0; i < n; i++) y[i] = v[i] * f;                                                                    \
}                                                                                                                      \
static void cq__fwht_##S##_c(void *data, size_t len, size_t w, const void *factor) {                                   \
    T *x = (T *)data;                                                                                                  \
    size_t block = w;                                                                                                  \
    while (block < len && block <= 8192 / sizeof(T)) block *= 2;                                                       \
    for (size_t j = 0; j < len; j += block) cq__levels_##S(x + j, block, w);                                           \
    cq__levels_##S(x, len, block);                                                                                     \
    if (factor) cq__scale_##S##_c(x, x, len, factor, NULL);                                                            \
}                                                                                                                      \
/* sums (16, strip) of four inputs; bits 0 to 3 of the index: a, b, c, d is negative */                                \
static void cq__sums_##S(T *sums, const T *x, size_t step, size_t lanes) {                                             \
    for (size_t i = 0; i < CQ__ROTATE_STRIP(T); i++) {                                                                 \
        T *y = sums + i, a = 0, b = 0, c = 0, d = 0;                                                                   \
        if (i < lanes) a = x[i], b = x[i + step], c = x[i + 2 * step], d = x[i + 3 * step];                            \
        T p = a + b, m = a - b, q = c + d, r = c - d, half[8];                                                         \
        half[0] = p + q;                                                                                               \
        half[1] = m + q;                                                                                               \
        half[2] = p - r;                                                                                               \
        half[3] = m - r;                                                                                               \
        half[4] = p + r;                                                                                               \
        half[5] = m + r;                                                                                               \
        half[6] = p - q;                                                                                               \
        half[7] = m - q;                                                                                               \
        for (size_t j = 0; j < 8; j++) {                                                                               \
            y[2 * j * CQ__ROTATE_STRIP(T)] = half[j];                                                                  \
            y[(15 - 2 * j) * CQ__ROTATE_STRIP(T)] = -half[j];                                                          \
        }                                                                                                              \
    }                                                                                                                  \
}                                                                                                                      \
static void cq__core_##S##_c(void *out, size_t out_step, const void *x, size_t step, size_t lanes,                     \
                             const uint8_t *nibbles, size_t k, const void *factor, const void *next, void *scratch) {  \
    const T *v = (const T *)x, f = *(const T *)factor;                                                                 \
    size_t groups = k / 4, entry = CQ__ROTATE_STRIP(T);                                                                \
    T *y = (T *)out, *sums = (T *)scratch, *rows = sums + cq__min(groups, CQ__CHUNK) * 16 * entry;                     \
    (void)next;                                                                                                        \
    for (size_t g0 = 0; g0 < groups; g0 += CQ__CHUNK) {                                                                \
        size_t m = cq__min(CQ__CHUNK, groups - g0);                                                                    \
        for (size_t g = 0; g < m; g++) cq__sums_##S(sums + g * 16 * entry, v + 4 * (g0 + g) * step, step, lanes);      \
        for (size_t i = 0; i < k; i++) {                                                                               \
            const uint8_t *at = nibbles + i * groups + g0;                                                             \
            const T *t = g0 ? rows + i * entry : sums + (at[0] >> 4) * entry;                                          \
            T sum[CQ__ROTATE_STRIP(T)];                                                                                \
            for (size_t c = 0; c < CQ__ROTATE_STRIP(T); c++) sum[c] = t[c];                                            \
            for (size_t g = g0 ? 0 : 1; g < m; g++) {                                                                  \
                t = sums + (g * 16 + (at[g] >> 4)) * entry;                                                            \
                for (size_t c = 0; c < CQ__ROTATE_STRIP(T); c++) sum[c] += t[c];                                       \
            }                                                                                                          \
            if (g0 + m < groups)                                                                                       \
                for (size_t c = 0; c < CQ__ROTATE_STRIP(T); c++) rows[i * entry + c] = sum[c];                         \
            else                                                                                                       \
                for (size_t c = 0; c < lanes; c++) y[i * out_step + c] = sum[c] * f;                                   \
        }                                                                                                              \
    }                                                                                                                  \
}                                                                                                                      \
static void cq__flip_##S##_c(void *out, const void *x, size_t n, const int8_t *sign) {                                 \
    T *y = (T *)out;                                                                                                   \
    const T *v = (const T *)x;                                                                                         \
    for (size_t i = 0; i < n; i++) y[i] = sign ? v[i] * (T)sign[i] : v[i];                                             \
}                                                                                                                      \
static const T cq__ones_##S[2] = {1, -1};                                                                              \
static const cq__rotate_kernels cq__rotate_##S##_c = {                                                                 \
    sizeof(T), cq__ones_##S, cq__ones_##S + 1, cq__fwht_##S##_c, cq__core_##S##_c, cq__scale_##S##_c,                  \
    cq__flip_##S##_c, cq__dense_c};
CQ__DEFINE_PLAIN(f32, float)
CQ__DEFINE_PLAIN(f64, double)

#if CQ__X86
/* -------------------------------------------------------------------------------------------------------------------
   [ROTATE X86]  AVX2: the same additions in the same order, eight floats or four doubles at a time. Additions are the
   limit here (two a cycle), as long as everything else hides behind them: three levels of butterflies for one load and
   one store, eight registers of data and one to swap.
   ---------------------------------------------------------------------------------------------------------------- */
/* Asks for p[i] to be brought into the cache. It may lie beyond the array, hence the arithmetic in integers. */
#define CQ__FETCH(p, i, level) _mm_prefetch((const char *)((uintptr_t)(p) + (i) * sizeof *(p)), level)
#define CQ__BUTTERFLY8(a, b)                                                                                           \
    {                                                                                                                  \
        __m256 minus = _mm256_sub_ps(a, b);                                                                            \
        a = _mm256_add_ps(a, b);                                                                                       \
        b = minus;                                                                                                     \
    }
#define CQ__BUTTERFLY4(a, b)                                                                                           \
    {                                                                                                                  \
        __m256d minus = _mm256_sub_pd(a, b);                                                                           \
        a = _mm256_add_pd(a, b);                                                                                       \
        b = minus;                                                                                                     \
    }
#define CQ__RADIX8(BUTTERFLY)                                                                                          \
    BUTTERFLY(a, b) BUTTERFLY(c, d) BUTTERFLY(a, c) BUTTERFLY(b, d)                                                    \
    BUTTERFLY(e, f) BUTTERFLY(g, h) BUTTERFLY(e, g) BUTTERFLY(f, h)                                                    \
    BUTTERFLY(a, e) BUTTERFLY(b, f) BUTTERFLY(c, g) BUTTERFLY(d, h)
#define CQ__TIMES4(MUL, a, b, c, d) a = MUL(a, v), b = MUL(b, v), c = MUL(c, v), d = MUL(d, v);
#define CQ__RADIX4(BUTTERFLY) BUTTERFLY(a, b) BUTTERFLY(c, d) BUTTERFLY(a, c) BUTTERFLY(b, d)

CQ__AVX2 void cq__scale_f32_avx2(void *out, const void *x, size_t n, const void *factor, const void *next) {
    float *y = (float *)out, f = *(const float *)factor;
    const float *v = (const float *)x;
    size_t i = 0;
    for (; next && i < n; i += 16) CQ__FETCH((const float *)next, i, _MM_HINT_T1);
    for (i = 0; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(v + i), _mm256_set1_ps(f)));
    for (; i < n; i++) y[i] = v[i] * f;
}
CQ__AVX2 void cq__scale_f64_avx2(void *out, const void *x, size_t n, const void *factor, const void *next) {
    double *y = (double *)out, f = *(const double *)factor;
    const double *v = (const double *)x;
    size_t i = 0;
    for (; next && i < n; i += 8) CQ__FETCH((const double *)next, i, _MM_HINT_T1);
    for (i = 0; i + 4 <= n; i += 4) _mm256_storeu_pd(y + i, _mm256_mul_pd(_mm256_loadu_pd(v + i), _mm256_set1_pd(f)));
    for (; i < n; i++) y[i] = v[i] * f;
}

/* Butterflies of the strides s, 2 s, ... below len, then times *factor if there is one. s: a multiple of a register.
   == cq__levels_f32, cq__scale_f32_c */
CQ__AVX2 void cq__levels_f32_avx2(float *x, size_t len, size_t s, const float *factor) {
    const __m256 v = _mm256_set1_ps(factor ? *factor : 1);
    if (factor && s == len) cq__scale_f32_avx2(x, x, len, factor, NULL);
    for (; s <= len / 8; s *= 8)
        for (size_t j = 0; j < len; j += 8 * s)
            for (size_t i = j; i < j + s; i += 8) {
                float *p = x + i, *q = p + 4 * s;
                __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + s), c = _mm256_loadu_ps(p + 2 * s),
                       d = _mm256_loadu_ps(p + 3 * s), e = _mm256_loadu_ps(q), f = _mm256_loadu_ps(q + s),
                       g = _mm256_loadu_ps(q + 2 * s), h = _mm256_loadu_ps(q + 3 * s);
                CQ__RADIX8(CQ__BUTTERFLY8)
                if (factor && s == len / 8) { /* the last pass */
                    CQ__TIMES4(_mm256_mul_ps, a, b, c, d)
                    CQ__TIMES4(_mm256_mul_ps, e, f, g, h)
                }
                _mm256_storeu_ps(p, a);
                _mm256_storeu_ps(p + s, b);
                _mm256_storeu_ps(p + 2 * s, c);
                _mm256_storeu_ps(p + 3 * s, d);
                _mm256_storeu_ps(q, e);
                _mm256_storeu_ps(q + s, f);
                _mm256_storeu_ps(q + 2 * s, g);
                _mm256_storeu_ps(q + 3 * s, h);
            }
    if (s == len / 4)
        for (size_t i = 0; i < s; i += 8) {
            float *p = x + i, *q = p + 2 * s;
            __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + s), c = _mm256_loadu_ps(q),
                   d = _mm256_loadu_ps(q + s);
            CQ__RADIX4(CQ__BUTTERFLY8)
            if (factor) CQ__TIMES4(_mm256_mul_ps, a, b, c, d)
            _mm256_storeu_ps(p, a);
            _mm256_storeu_ps(p + s, b);
            _mm256_storeu_ps(q, c);
            _mm256_storeu_ps(q + s, d);
        }
    if (s == len / 2)
        for (size_t i = 0; i < s; i += 8) {
            __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + s);
            CQ__BUTTERFLY8(a, b)
            _mm256_storeu_ps(x + i, _mm256_mul_ps(a, v));
            _mm256_storeu_ps(x + i + s, _mm256_mul_ps(b, v));
        }
}
CQ__AVX2 void cq__levels_f64_avx2(double *x, size_t len, size_t s, const double *factor) {
    const __m256d v = _mm256_set1_pd(factor ? *factor : 1);
    if (factor && s == len) cq__scale_f64_avx2(x, x, len, factor, NULL);
    for (; s <= len / 8; s *= 8)
        for (size_t j = 0; j < len; j += 8 * s)
            for (size_t i = j; i < j + s; i += 4) {
                double *p = x + i, *q = p + 4 * s;
                __m256d a = _mm256_loadu_pd(p), b = _mm256_loadu_pd(p + s), c = _mm256_loadu_pd(p + 2 * s),
                        d = _mm256_loadu_pd(p + 3 * s), e = _mm256_loadu_pd(q), f = _mm256_loadu_pd(q + s),
                        g = _mm256_loadu_pd(q + 2 * s), h = _mm256_loadu_pd(q + 3 * s);
                CQ__RADIX8(CQ__BUTTERFLY4)
                if (factor && s == len / 8) { /* the last pass */
                    CQ__TIMES4(_mm256_mul_pd, a, b, c, d)
                    CQ__TIMES4(_mm256_mul_pd, e, f, g, h)
                }
                _mm256_storeu_pd(p, a);
                _mm256_storeu_pd(p + s, b);
                _mm256_storeu_pd(p + 2 * s, c);
                _mm256_storeu_pd(p + 3 * s, d);
                _mm256_storeu_pd(q, e);
                _mm256_storeu_pd(q + s, f);
                _mm256_storeu_pd(q + 2 * s, g);
                _mm256_storeu_pd(q + 3 * s, h);
            }
    if (s == len / 4)
        for (size_t i = 0; i < s; i += 4) {
            double *p = x + i, *q = p + 2 * s;
            __m256d a = _mm256_loadu_pd(p), b = _mm256_loadu_pd(p + s), c = _mm256_loadu_pd(q),
                    d = _mm256_loadu_pd(q + s);
            CQ__RADIX4(CQ__BUTTERFLY4)
            if (factor) CQ__TIMES4(_mm256_mul_pd, a, b, c, d)
            _mm256_storeu_pd(p, a);
            _mm256_storeu_pd(p + s, b);
            _mm256_storeu_pd(q, c);
            _mm256_storeu_pd(q + s, d);
        }
    if (s == len / 2)
        for (size_t i = 0; i < s; i += 4) {
            __m256d a = _mm256_loadu_pd(x + i), b = _mm256_loadu_pd(x + i + s);
            CQ__BUTTERFLY4(a, b)
            _mm256_storeu_pd(x + i, _mm256_mul_pd(a, v));
            _mm256_storeu_pd(x + i + s, _mm256_mul_pd(b, v));
        }
}

/* The strides 1, 2, 4 within a register: the partner's lanes, plus the own ones with their sign turned where the
   partner is the lower. The first stride gets its lanes doubled by the load itself. */
CQ__AVX2_INLINE __m256 cq__lanes_f32(const float *p) {
    const __m256 odd = _mm256_setr_ps(0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f),
                 pairs = _mm256_setr_ps(0, 0, -0.0f, -0.0f, 0, 0, -0.0f, -0.0f),
                 half = _mm256_setr_ps(0, 0, 0, 0, -0.0f, -0.0f, -0.0f, -0.0f);
    __m256 x = _mm256_loadu_ps(p);
    x = _mm256_add_ps(_mm256_moveldup_ps(x), _mm256_xor_ps(_mm256_movehdup_ps(x), odd));
    x = _mm256_add_ps(_mm256_permute_ps(x, 0x4e), _mm256_xor_ps(x, pairs));
    return _mm256_add_ps(_mm256_permute2f128_ps(x, x, 1), _mm256_xor_ps(x, half));
}
CQ__AVX2_INLINE __m256d cq__lanes_f64(const double *p) {
    const __m256d odd = _mm256_setr_pd(0, -0.0, 0, -0.0), half = _mm256_setr_pd(0, 0, -0.0, -0.0);
    __m256d x = _mm256_loadu_pd(p);
    x = _mm256_add_pd(_mm256_movedup_pd(x), _mm256_xor_pd(_mm256_permute_pd(x, 15), odd));
    return _mm256_add_pd(_mm256_permute2f128_pd(x, x, 1), _mm256_xor_pd(x, half));
}

/* The first pass over one vector: the strides within a register, and 8, 16, 32 as far as `registers` goes: 2, 4 or 8 */
CQ__AVX2 void cq__first_f32_avx2(float *x, size_t len, size_t registers) {
    float *end = x + len;
    if (registers == 8)
        for (float *p = x; p < end; p += 64) {
            __m256 a = cq__lanes_f32(p), b = cq__lanes_f32(p + 8), c = cq__lanes_f32(p + 16), d = cq__lanes_f32(p + 24),
                   e = cq__lanes_f32(p + 32), f = cq__lanes_f32(p + 40), g = cq__lanes_f32(p + 48),
                   h = cq__lanes_f32(p + 56);
            CQ__RADIX8(CQ__BUTTERFLY8)
            _mm256_storeu_ps(p, a);
            _mm256_storeu_ps(p + 8, b);
            _mm256_storeu_ps(p + 16, c);
            _mm256_storeu_ps(p + 24, d);
            _mm256_storeu_ps(p + 32, e);
            _mm256_storeu_ps(p + 40, f);
            _mm256_storeu_ps(p + 48, g);
            _mm256_storeu_ps(p + 56, h);
        }
    if (registers == 4)
        for (float *p = x; p < end; p += 32) {
            __m256 a = cq__lanes_f32(p), b = cq__lanes_f32(p + 8), c = cq__lanes_f32(p + 16), d = cq__lanes_f32(p + 24);
            CQ__RADIX4(CQ__BUTTERFLY8)
            _mm256_storeu_ps(p, a);
            _mm256_storeu_ps(p + 8, b);
            _mm256_storeu_ps(p + 16, c);
            _mm256_storeu_ps(p + 24, d);
        }
    if (registers == 2)
        for (float *p = x; p < end; p += 16) {
            __m256 a = cq__lanes_f32(p), b = cq__lanes_f32(p + 8);
            CQ__BUTTERFLY8(a, b)
            _mm256_storeu_ps(p, a);
            _mm256_storeu_ps(p + 8, b);
        }
}
CQ__AVX2 void cq__first_f64_avx2(double *x, size_t len, size_t registers) {
    double *end = x + len;
    if (registers == 8)
        for (double *p = x; p < end; p += 32) {
            __m256d a = cq__lanes_f64(p), b = cq__lanes_f64(p + 4), c = cq__lanes_f64(p + 8), d = cq__lanes_f64(p + 12),
                    e = cq__lanes_f64(p + 16), f = cq__lanes_f64(p + 20), g = cq__lanes_f64(p + 24),
                    h = cq__lanes_f64(p + 28);
            CQ__RADIX8(CQ__BUTTERFLY4)
            _mm256_storeu_pd(p, a);
            _mm256_storeu_pd(p + 4, b);
            _mm256_storeu_pd(p + 8, c);
            _mm256_storeu_pd(p + 12, d);
            _mm256_storeu_pd(p + 16, e);
            _mm256_storeu_pd(p + 20, f);
            _mm256_storeu_pd(p + 24, g);
            _mm256_storeu_pd(p + 28, h);
        }
    if (registers == 4)
        for (double *p = x; p < end; p += 16) {
            __m256d a = cq__lanes_f64(p), b = cq__lanes_f64(p + 4), c = cq__lanes_f64(p + 8), d = cq__lanes_f64(p + 12);
            CQ__RADIX4(CQ__BUTTERFLY4)
            _mm256_storeu_pd(p, a);
            _mm256_storeu_pd(p + 4, b);
            _mm256_storeu_pd(p + 8, c);
            _mm256_storeu_pd(p + 12, d);
        }
    if (registers == 2)
        for (double *p = x; p < end; p += 8) {
            __m256d a = cq__lanes_f64(p), b = cq__lanes_f64(p + 4);
            CQ__BUTTERFLY4(a, b)
            _mm256_storeu_pd(p, a);
            _mm256_storeu_pd(p + 4, b);
        }
}
/* Registers of the first pass over a block of 2^j of them: 2, 4 or 8, so that passes of three levels do the rest. */
CQ__INLINE size_t cq__first_registers(size_t block) {
    while (block > 8) block /= 8;
    return block;
}

CQ__AVX2 void cq__fwht_f32_avx2(void *data, size_t len, size_t w, const void *factor) {
    float *x = (float *)data;
    const float *f = (const float *)factor;
    size_t block = w, first = cq__min(len, 4096) / 8;
    if (w == 1 && len >= 16) {
        block = first * 8;
        first = cq__first_registers(first);
        for (size_t j = 0; j < len; j += block) {
            cq__first_f32_avx2(x + j, block, first);
            cq__levels_f32_avx2(x + j, block, 8 * first, block < len ? NULL : f);
        }
    } else if (w % 8 == 0) {
        while (block < len && block <= 2048) block *= 2;
        for (size_t j = 0; j < len; j += block) cq__levels_f32_avx2(x + j, block, w, block < len ? NULL : f);
    } else {
        cq__fwht_f32_c(x, len, w, factor);
        return;
    }
    if (block < len) cq__levels_f32_avx2(x, len, block, f);
}
CQ__AVX2 void cq__fwht_f64_avx2(void *data, size_t len, size_t w, const void *factor) {
    double *x = (double *)data;
    const double *f = (const double *)factor;
    size_t block = w, first = cq__min(len, 2048) / 4;
    if (w == 1 && len >= 8) {
        block = first * 4;
        first = cq__first_registers(first);
        for (size_t j = 0; j < len; j += block) {
            cq__first_f64_avx2(x + j, block, first);
            cq__levels_f64_avx2(x + j, block, 4 * first, block < len ? NULL : f);
        }
    } else if (w % 4 == 0) {
        while (block < len && block <= 1024) block *= 2;
        for (size_t j = 0; j < len; j += block) cq__levels_f64_avx2(x + j, block, w, block < len ? NULL : f);
    } else {
        cq__fwht_f64_c(x, len, w, factor);
        return;
    }
    if (block < len) cq__levels_f64_avx2(x, len, block, f);
}

/* Sum j of four inputs, and its negative: == cq__sums_f32 */
CQ__AVX2_INLINE void cq__put_sum_f32_avx2(float *sums, size_t j, __m256 sum) {
    _mm256_storeu_ps(sums + j * 16, sum);
    _mm256_storeu_ps(sums + (15 - j) * 16, _mm256_xor_ps(sum, _mm256_set1_ps(-0.0f)));
}
CQ__AVX2_INLINE void cq__sums_f32_avx2(float *sums, const float *x, size_t step) {
    for (size_t c = 0; c < 16; c += 8) {
        __m256 a = _mm256_loadu_ps(x + c), b = _mm256_loadu_ps(x + step + c), p = _mm256_add_ps(a, b),
               m = _mm256_sub_ps(a, b), q, r;
        a = _mm256_loadu_ps(x + 2 * step + c);
        b = _mm256_loadu_ps(x + 3 * step + c);
        q = _mm256_add_ps(a, b);
        r = _mm256_sub_ps(a, b);
        cq__put_sum_f32_avx2(sums + c, 0, _mm256_add_ps(p, q));
        cq__put_sum_f32_avx2(sums + c, 2, _mm256_add_ps(m, q));
        cq__put_sum_f32_avx2(sums + c, 4, _mm256_sub_ps(p, r));
        cq__put_sum_f32_avx2(sums + c, 6, _mm256_sub_ps(m, r));
        cq__put_sum_f32_avx2(sums + c, 8, _mm256_add_ps(p, r));
        cq__put_sum_f32_avx2(sums + c, 10, _mm256_add_ps(m, r));
        cq__put_sum_f32_avx2(sums + c, 12, _mm256_sub_ps(p, q));
        cq__put_sum_f32_avx2(sums + c, 14, _mm256_sub_ps(m, q));
    }
}
/* Sum j of four inputs, and its negative: == cq__sums_f64 */
CQ__AVX2_INLINE void cq__put_sum_f64_avx2(double *sums, size_t j, __m256d sum) {
    _mm256_storeu_pd(sums + j * 8, sum);
    _mm256_storeu_pd(sums + (15 - j) * 8, _mm256_xor_pd(sum, _mm256_set1_pd(-0.0)));
}
CQ__AVX2_INLINE void cq__sums_f64_avx2(double *sums, const double *x, size_t step) {
    for (size_t c = 0; c < 8; c += 4) {
        __m256d a = _mm256_loadu_pd(x + c), b = _mm256_loadu_pd(x + step + c), p = _mm256_add_pd(a, b),
                m = _mm256_sub_pd(a, b), q, r;
        a = _mm256_loadu_pd(x + 2 * step + c);
        b = _mm256_loadu_pd(x + 3 * step + c);
        q = _mm256_add_pd(a, b);
        r = _mm256_sub_pd(a, b);
        cq__put_sum_f64_avx2(sums + c, 0, _mm256_add_pd(p, q));
        cq__put_sum_f64_avx2(sums + c, 2, _mm256_add_pd(m, q));
        cq__put_sum_f64_avx2(sums + c, 4, _mm256_sub_pd(p, r));
        cq__put_sum_f64_avx2(sums + c, 6, _mm256_sub_pd(m, r));
        cq__put_sum_f64_avx2(sums + c, 8, _mm256_add_pd(p, r));
        cq__put_sum_f64_avx2(sums + c, 10, _mm256_add_pd(m, r));
        cq__put_sum_f64_avx2(sums + c, 12, _mm256_sub_pd(p, q));
        cq__put_sum_f64_avx2(sums + c, 14, _mm256_sub_pd(m, q));
    }
}
/* == cq__core_f32_c, four rows of a whole strip at once: eight sums hide the latency of the additions. A nibble, as it
   lies in the upper half of its byte, is the offset of its sum. */
CQ__AVX2 void cq__core_f32_avx2(void *out, size_t out_step, const void *x, size_t step, size_t lanes,
                                const uint8_t *nibbles, size_t k, const void *factor, const void *next,
                                void *scratch) {
    size_t groups = k / 4;
    float *sums = (float *)scratch, *rows = sums + cq__min(groups, CQ__CHUNK) * 256;
    for (size_t g0 = 0; g0 < groups; g0 += CQ__CHUNK) {
        size_t m = cq__min(CQ__CHUNK, groups - g0);
        bool last = g0 + m == groups;
        __m256 f = _mm256_set1_ps(last ? *(const float *)factor : 1);
        for (size_t g = 0; g < m; g++) {
            const float *v = (const float *)x + 4 * (g0 + g) * step;
            for (size_t j = 4 * (g0 + g); next && j < 4 * (g0 + g) + 4; j++)
                CQ__FETCH((const float *)next, j * step, _MM_HINT_T1);
            if (lanes == 16) cq__sums_f32_avx2(sums + g * 256, v, step);
            else cq__sums_f32(sums + g * 256, v, step, lanes); /* it fills up with zeros */
        }
        for (size_t i = 0; i < k; i += 4) {
            const uint8_t *at0 = nibbles + i * groups + g0, *at1 = at0 + groups, *at2 = at1 + groups,
                          *at3 = at2 + groups;
            const float *t0 = sums + at0[0], *t1 = sums + at1[0], *t2 = sums + at2[0], *t3 = sums + at3[0];
            if (g0) t0 = rows + i * 16, t1 = t0 + 16, t2 = t0 + 32, t3 = t0 + 48;
            __m256 s00 = _mm256_loadu_ps(t0), s01 = _mm256_loadu_ps(t0 + 8), s10 = _mm256_loadu_ps(t1),
                   s11 = _mm256_loadu_ps(t1 + 8), s20 = _mm256_loadu_ps(t2), s21 = _mm256_loadu_ps(t2 + 8),
                   s30 = _mm256_loadu_ps(t3), s31 = _mm256_loadu_ps(t3 + 8);
            for (size_t g = g0 ? 0 : 1; g < m; g++) {
                const float *t = sums + g * 256;
                t0 = t + at0[g];
                s00 = _mm256_add_ps(s00, _mm256_loadu_ps(t0));
                s01 = _mm256_add_ps(s01, _mm256_loadu_ps(t0 + 8));
                t1 = t + at1[g];
                s10 = _mm256_add_ps(s10, _mm256_loadu_ps(t1));
                s11 = _mm256_add_ps(s11, _mm256_loadu_ps(t1 + 8));
                t2 = t + at2[g];
                s20 = _mm256_add_ps(s20, _mm256_loadu_ps(t2));
                s21 = _mm256_add_ps(s21, _mm256_loadu_ps(t2 + 8));
                t3 = t + at3[g];
                s30 = _mm256_add_ps(s30, _mm256_loadu_ps(t3));
                s31 = _mm256_add_ps(s31, _mm256_loadu_ps(t3 + 8));
            }
            bool whole = last && lanes == 16;
            float part[64], *y = whole ? (float *)out + i * out_step : last ? part : rows + i * 16;
            size_t y_step = whole ? out_step : 16;
            _mm256_storeu_ps(y, _mm256_mul_ps(s00, f));
            _mm256_storeu_ps(y + 8, _mm256_mul_ps(s01, f));
            _mm256_storeu_ps(y + y_step, _mm256_mul_ps(s10, f));
            _mm256_storeu_ps(y + y_step + 8, _mm256_mul_ps(s11, f));
            _mm256_storeu_ps(y + 2 * y_step, _mm256_mul_ps(s20, f));
            _mm256_storeu_ps(y + 2 * y_step + 8, _mm256_mul_ps(s21, f));
            _mm256_storeu_ps(y + 3 * y_step, _mm256_mul_ps(s30, f));
            _mm256_storeu_ps(y + 3 * y_step + 8, _mm256_mul_ps(s31, f));
            for (size_t r = 0; last && !whole && r < 4; r++)
                for (size_t c = 0; c < lanes; c++) ((float *)out)[(i + r) * out_step + c] = part[r * 16 + c];
        }
    }
}
/* == cq__core_f64_c, four rows of a whole strip at once: eight sums hide the latency of the additions. A nibble, as it
   lies in the upper half of its byte, is twice the offset of its sum. */
CQ__AVX2 void cq__core_f64_avx2(void *out, size_t out_step, const void *x, size_t step, size_t lanes,
                                const uint8_t *nibbles, size_t k, const void *factor, const void *next,
                                void *scratch) {
    size_t groups = k / 4;
    double *sums = (double *)scratch, *rows = sums + cq__min(groups, CQ__CHUNK) * 128;
    for (size_t g0 = 0; g0 < groups; g0 += CQ__CHUNK) {
        size_t m = cq__min(CQ__CHUNK, groups - g0);
        bool last = g0 + m == groups;
        __m256d f = _mm256_set1_pd(last ? *(const double *)factor : 1);
        for (size_t g = 0; g < m; g++) {
            const double *v = (const double *)x + 4 * (g0 + g) * step;
            for (size_t j = 4 * (g0 + g); next && j < 4 * (g0 + g) + 4; j++)
                CQ__FETCH((const double *)next, j * step, _MM_HINT_T1);
            if (lanes == 8) cq__sums_f64_avx2(sums + g * 128, v, step);
            else cq__sums_f64(sums + g * 128, v, step, lanes); /* it fills up with zeros */
        }
        for (size_t i = 0; i < k; i += 4) {
            const uint8_t *at0 = nibbles + i * groups + g0, *at1 = at0 + groups, *at2 = at1 + groups,
                          *at3 = at2 + groups;
            const double *t0 = sums + at0[0] / 2, *t1 = sums + at1[0] / 2, *t2 = sums + at2[0] / 2,
                         *t3 = sums + at3[0] / 2;
            if (g0) t0 = rows + i * 8, t1 = t0 + 8, t2 = t0 + 16, t3 = t0 + 24;
            __m256d s00 = _mm256_loadu_pd(t0), s01 = _mm256_loadu_pd(t0 + 4), s10 = _mm256_loadu_pd(t1),
                    s11 = _mm256_loadu_pd(t1 + 4), s20 = _mm256_loadu_pd(t2), s21 = _mm256_loadu_pd(t2 + 4),
                    s30 = _mm256_loadu_pd(t3), s31 = _mm256_loadu_pd(t3 + 4);
            for (size_t g = g0 ? 0 : 1; g < m; g++) {
                const double *t = sums + g * 128;
                t0 = t + at0[g] / 2;
                s00 = _mm256_add_pd(s00, _mm256_loadu_pd(t0));
                s01 = _mm256_add_pd(s01, _mm256_loadu_pd(t0 + 4));
                t1 = t + at1[g] / 2;
                s10 = _mm256_add_pd(s10, _mm256_loadu_pd(t1));
                s11 = _mm256_add_pd(s11, _mm256_loadu_pd(t1 + 4));
                t2 = t + at2[g] / 2;
                s20 = _mm256_add_pd(s20, _mm256_loadu_pd(t2));
                s21 = _mm256_add_pd(s21, _mm256_loadu_pd(t2 + 4));
                t3 = t + at3[g] / 2;
                s30 = _mm256_add_pd(s30, _mm256_loadu_pd(t3));
                s31 = _mm256_add_pd(s31, _mm256_loadu_pd(t3 + 4));
            }
            bool whole = last && lanes == 8;
            double part[32], *y = whole ? (double *)out + i * out_step : last ? part : rows + i * 8;
            size_t y_step = whole ? out_step : 8;
            _mm256_storeu_pd(y, _mm256_mul_pd(s00, f));
            _mm256_storeu_pd(y + 4, _mm256_mul_pd(s01, f));
            _mm256_storeu_pd(y + y_step, _mm256_mul_pd(s10, f));
            _mm256_storeu_pd(y + y_step + 4, _mm256_mul_pd(s11, f));
            _mm256_storeu_pd(y + 2 * y_step, _mm256_mul_pd(s20, f));
            _mm256_storeu_pd(y + 2 * y_step + 4, _mm256_mul_pd(s21, f));
            _mm256_storeu_pd(y + 3 * y_step, _mm256_mul_pd(s30, f));
            _mm256_storeu_pd(y + 3 * y_step + 4, _mm256_mul_pd(s31, f));
            for (size_t r = 0; last && !whole && r < 4; r++)
                for (size_t c = 0; c < lanes; c++) ((double *)out)[(i + r) * out_step + c] = part[r * 8 + c];
        }
    }
}

CQ__AVX2 void cq__flip_f32_avx2(void *out, const void *x, size_t n, const int8_t *sign) {
    float *y = (float *)out;
    const float *v = (const float *)x;
    size_t i = 0;
    for (; sign && i + 8 <= n; i += 8) {
        __m256i s = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(sign + i)));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(v + i), _mm256_cvtepi32_ps(s)));
    }
    for (; !sign && i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_loadu_ps(v + i));
    cq__flip_f32_c(y + i, v + i, n - i, sign ? sign + i : NULL);
}
CQ__AVX2 void cq__flip_f64_avx2(void *out, const void *x, size_t n, const int8_t *sign) {
    double *y = (double *)out;
    const double *v = (const double *)x;
    size_t i = 0;
    for (; sign && i + 4 <= n; i += 4) {
        __m128i s = _mm_cvtepi8_epi32(_mm_cvtsi32_si128((int32_t)cq__u32((const unsigned char *)(sign + i))));
        _mm256_storeu_pd(y + i, _mm256_mul_pd(_mm256_loadu_pd(v + i), _mm256_cvtepi32_pd(s)));
    }
    for (; !sign && i + 4 <= n; i += 4) _mm256_storeu_pd(y + i, _mm256_loadu_pd(v + i));
    cq__flip_f64_c(y + i, v + i, n - i, sign ? sign + i : NULL);
}

/* == cq__dense_c */
CQ__AVX2_INLINE void cq__put_dense_avx2(double *y, __m256d low, __m256d high) {
    _mm256_storeu_pd(y, low);
    _mm256_storeu_pd(y + 4, high);
}
CQ__AVX2 void cq__dense_avx2(const double *columns, size_t n, const double *x, double *y) {
    for (size_t j = 0; j < n; j += 4) {
        const double *c0 = columns + j * n, *c1 = columns + cq__min(j + 1, n - 1) * n,
                     *c2 = columns + cq__min(j + 2, n - 1) * n, *c3 = columns + cq__min(j + 3, n - 1) * n;
        __m256d s00 = _mm256_setzero_pd(), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
        for (size_t i = 0; i < n; i++) {
            __m256d low = _mm256_loadu_pd(x + i * 8), high = _mm256_loadu_pd(x + i * 8 + 4), c;
            c = _mm256_broadcast_sd(c0 + i);
            s00 = _mm256_add_pd(s00, _mm256_mul_pd(c, low));
            s01 = _mm256_add_pd(s01, _mm256_mul_pd(c, high));
            c = _mm256_broadcast_sd(c1 + i);
            s10 = _mm256_add_pd(s10, _mm256_mul_pd(c, low));
            s11 = _mm256_add_pd(s11, _mm256_mul_pd(c, high));
            c = _mm256_broadcast_sd(c2 + i);
            s20 = _mm256_add_pd(s20, _mm256_mul_pd(c, low));
            s21 = _mm256_add_pd(s21, _mm256_mul_pd(c, high));
            c = _mm256_broadcast_sd(c3 + i);
            s30 = _mm256_add_pd(s30, _mm256_mul_pd(c, low));
            s31 = _mm256_add_pd(s31, _mm256_mul_pd(c, high));
        }
        cq__put_dense_avx2(y + j * 8, s00, s01);
        if (j + 1 < n) cq__put_dense_avx2(y + j * 8 + 8, s10, s11);
        if (j + 2 < n) cq__put_dense_avx2(y + j * 8 + 16, s20, s21);
        if (j + 3 < n) cq__put_dense_avx2(y + j * 8 + 24, s30, s31);
    }
}

static const cq__rotate_kernels cq__rotate_f32_avx2 = {
    sizeof(float), cq__ones_f32, cq__ones_f32 + 1, cq__fwht_f32_avx2, cq__core_f32_avx2, cq__scale_f32_avx2,
    cq__flip_f32_avx2, cq__dense_avx2};
static const cq__rotate_kernels cq__rotate_f64_avx2 = {
    sizeof(double), cq__ones_f64, cq__ones_f64 + 1, cq__fwht_f64_avx2, cq__core_f64_avx2, cq__scale_f64_avx2,
    cq__flip_f64_avx2, cq__dense_avx2};
#endif /* CQ__X86 */

/* The kernels of the tier that ctx names. By name, since a context may come from a unit with copies of its own: avx2,
   avx512..., amx. */
static const cq__rotate_kernels *cq__rotate_tier(const cq_context *ctx, bool f64) {
#if CQ__X86
    const char *name = ctx ? cq_isa(ctx) : "";
    if (name[0] == 'a' && (name[1] == 'v' || name[1] == 'm') && name[2] == 'x')
        return f64 ? &cq__rotate_f64_avx2 : &cq__rotate_f32_avx2;
#endif
    (void)ctx;
    return f64 ? &cq__rotate_f64_c : &cq__rotate_f32_c;
}

/* out (k, inner) <- core . x * factor; out may be x. next (k, inner): see the kernel */
static void cq__apply_core(const cq__rotate_kernels *kernels, const uint8_t *nibbles, size_t k, unsigned char *out,
                           const unsigned char *x, size_t inner, const void *factor, const unsigned char *next,
                           void *scratch) {
    size_t strip = 64 / kernels->size;
    for (size_t c = 0; c < inner; c += strip) {
        size_t at = c * kernels->size;
        kernels->core(out + at, inner, x + at, inner, cq__min(strip, inner - c), nibbles, k, factor,
                      next ? next + at : NULL, scratch);
    }
}

/* The table of a core, or of its transpose. */
static const uint8_t *cq__nibbles(const uint8_t *core, size_t k, bool inverse) {
    return inverse ? core + k * (k / 4) : core;
}

/* out <- (C1 (x) C2 (x) I) x * factor, or with the transposes; (k1, k2, inner). x is lost; out may be x */
static void cq__apply_cores(const cq__rotate_kernels *kernels, const cq_hadamard *h, unsigned char *out,
                            unsigned char *x, size_t inner, const void *factor, const unsigned char *next,
                            void *scratch, bool inverse) {
    size_t bytes = h->k2 * inner * kernels->size;
    for (size_t i = 0; h->c2 && i < h->k1; i++)
        cq__apply_core(kernels, cq__nibbles(h->c2, h->k2, inverse), h->k2, x + i * bytes, x + i * bytes, inner,
                       kernels->plus_one, NULL, scratch);
    if (h->c1)
        cq__apply_core(kernels, cq__nibbles(h->c1, h->k1, inverse), h->k1, out, x, h->k2 * inner, factor, next,
                       scratch);
    else if (out != x || factor != kernels->plus_one)
        kernels->scale(out, x, h->k2 * inner, factor, NULL);
}

/* out (n, w) <- (C1 (x) C2 (x) S) x * factor, likewise */
static void cq__transform(const cq__rotate_kernels *kernels, const cq_hadamard *h, unsigned char *out, unsigned char *x,
                          size_t w, const void *factor, const unsigned char *next, void *scratch, bool inverse) {
    size_t inner = h->pow2 * w;
    bool last = !h->c1 && out == x; /* nothing comes after it */
    for (size_t i = 0; i < h->k1 * h->k2; i++)
        kernels->fwht(x + i * inner * kernels->size, inner, w, last && factor != kernels->plus_one ? factor : NULL);
    if (last) return;
    cq__apply_cores(kernels, h, out, x, inner, factor, next, scratch, inverse);
}

/* The transforms without the factor 1 / sqrt(n), for callers that have a scale of their own to multiply it with:
   w vectors side by side, x (n, w), or one (w = 1). ctx chooses the kernels. scratch: cq_hadamard_scratch bytes. */
CQ__UNUSED static void cq__transform_f32(const cq_context *ctx, const cq_hadamard *h, float *x, size_t w,
                                         void *scratch, bool inverse) {
    const cq__rotate_kernels *kernels = cq__rotate_tier(ctx, false);
    unsigned char *p = (unsigned char *)x;
    cq__transform(kernels, h, p, p, w, kernels->plus_one, NULL, scratch, inverse);
}
CQ__UNUSED static void cq__transform_f64(const cq_context *ctx, const cq_hadamard *h, double *x, size_t w,
                                         void *scratch, bool inverse) {
    const cq__rotate_kernels *kernels = cq__rotate_tier(ctx, true);
    unsigned char *p = (unsigned char *)x;
    cq__transform(kernels, h, p, p, w, kernels->plus_one, NULL, scratch, inverse);
}

CQUANT_DEF void cq_hadamard_f32(const cq_context *ctx, const cq_hadamard *h, float *x, void *scratch, bool inverse) {
    unsigned char *p = (unsigned char *)x;
    cq__transform(cq__rotate_tier(ctx, false), h, p, p, 1, &h->scale_f32, NULL, scratch, inverse);
}
CQUANT_DEF void cq_hadamard_f64(const cq_context *ctx, const cq_hadamard *h, double *x, void *scratch, bool inverse) {
    unsigned char *p = (unsigned char *)x;
    cq__transform(cq__rotate_tier(ctx, true), h, p, p, 1, &h->scale_f64, NULL, scratch, inverse);
}

CQUANT_DEF size_t cq_hadamard_scratch(const cq_hadamard *h) { return cq__core_scratch(h->k1); /* k1 >= k2 */ }

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
   of the matrix, to (C1 (x) C2 (x) S)(v o s) / sqrt(n); only the steps in memory differ, and with them what is fast.
   A processor reads memory well in a few long runs and badly in many short ones, whose pages and places in the caches
   collide where the rows lie a multiple of a large power of two apart.
     Rows     A vector is copied to scratch with its signs, transformed there, and written back by the last core. Where
              runs of 2^p numbers fill no strip a few vectors are woven: run i of each, one behind the other. The
              transform of a run is the same anywhere, and the cores see longer runs.
     Columns  A panel of 2 KB of each row is done in place, factor by factor. The butterflies go only from row to row of
              a block of 2^p: the block's part of 256 bytes a row is copied to scratch with its signs, transformed
              there and copied back. Then the cores, for one strip of K rows after the other. That passes over the
              panel once more for each core; but a tile of whole vectors in scratch would touch n rows, each in a page
              of its own, for a line or two at a time, and was found to be slower.

   A dense rotation runs over tiles of 8 vectors in double, whatever the weights are; each result is rounded once.

   The tiles are dealt out to at most 16 tasks, each with its own scratch. A tile's result depends neither on who
   computes it nor on how many vectors share the tile.
   ================================================================================================================== */
#define CQ__ROTATE_SLOTS 16u
#define CQ__ROTATE_PANEL 32u /* strips of columns in a panel: 2 KB of each row */

typedef struct cq__rotate_job {
    const cq_rotation *r;
    const cq__rotate_kernels *kernels;
    /* one unit of work; next: the data of the next one, or NULL */
    void (*task)(const struct cq__rotate_job *job, unsigned char *data, size_t w, const unsigned char *next,
                 unsigned char *scratch);
    unsigned char *data, *scratch;
    size_t along, across;         /* steps from element to element of a vector, from vector to vector; in bytes */
    size_t vectors, lanes, tiles; /* vectors across, at most so many in a tile, tiles that makes */
    size_t units, slots, slot_bytes;
} cq__rotate_job;

/* Strips of columns in a tile of 2^p rows: as many as half a megabyte holds, up to four. */
static size_t cq__rotate_strips(size_t pow2) { return pow2 <= 2048 ? 4 : pow2 <= 4096 ? 2 : 1; }

static bool cq__is_dense(const cq_rotation *r) { return r->columns || r->mode >= CQ_ROTATE_ORTHOGONAL; }

static size_t cq__rotate_tile_bytes(const cq_rotation *r) {
    size_t pow2 = r->h.pow2, columns = 64 * cq__rotate_strips(pow2) * pow2, row = (pow2 < 8 ? 64 / pow2 : 8) * r->n;
    return cq__is_dense(r) ? 128 * r->n : columns > row ? columns : row;
}
static size_t cq__rotate_slot_bytes(const cq_rotation *r) {
    return cq__rotate_tile_bytes(r) + (cq__is_dense(r) ? 0 : cq__core_scratch(r->h.k1));
}
static size_t cq__rotate_slots(const cq_context *ctx) { return ctx && ctx->parallel.run ? CQ__ROTATE_SLOTS : 1; }

CQUANT_DEF size_t cq_rotation_scratch(const cq_context *ctx, const cq_rotation *r) {
    return cq__rotate_slots(ctx) * cq__rotate_slot_bytes(r);
}

static double cq__get_real(const void *p, size_t size) {
    return size == sizeof(float) ? (double)*(const float *)p : *(const double *)p;
}
static void cq__put_real(void *p, size_t size, double v) {
    if (size == sizeof(float)) *(float *)p = (float)v;
    else *(double *)p = v;
}

static void cq__rotate_dense(const cq__rotate_job *job, unsigned char *data, size_t w, const unsigned char *next,
                             unsigned char *scratch) {
    size_t n = job->r->n, along = job->along, across = job->across, size = job->kernels->size;
    double *x = (double *)(void *)scratch, *y = x + 8 * n;
    (void)next;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 8; c++)
            x[i * 8 + c] = c < w ? cq__get_real(data + i * along + c * across, size) : 0;
    job->kernels->dense(job->r->columns, n, x, y);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < w; c++) cq__put_real(data + i * along + c * across, size, y[i * 8 + c]);
}

/* The factor 1 / sqrt(n) of the type that the kernels are for. */
static const void *cq__root_of(const cq_hadamard *h, size_t size) {
    return size == sizeof(float) ? (const void *)&h->scale_f32 : (const void *)&h->scale_f64;
}

/* A core on rows of the matrix that lie `step` apart, in place, strip by strip. */
static void cq__rotate_core(const cq__rotate_job *job, unsigned char *data, size_t w, size_t step,
                            const uint8_t *nibbles, size_t k, const void *factor, void *work) {
    size_t size = job->kernels->size, strip = 64 / size;
    for (size_t c = 0; c < w; c += strip) {
        unsigned char *at = data + c * size;
        job->kernels->core(at, step, at, step, cq__min(strip, w - c), nibbles, k, factor,
                           c + 2 * strip < w ? at + 128 : NULL, work); /* the strip after the next */
    }
}

/* w vectors that are columns, side by side in the matrix. */
static void cq__rotate_columns(const cq__rotate_job *job, unsigned char *data, size_t w, const unsigned char *next,
                               unsigned char *scratch) {
    const cq_hadamard *h = &job->r->h;
    const cq__rotate_kernels *kernels = job->kernels;
    const int8_t *sign = job->r->sign;
    size_t size = kernels->size, wide = 64 * cq__rotate_strips(h->pow2), along = job->along;
    size_t inner = h->k2 * h->pow2; /* rows of the matrix between the inputs of the first core */
    unsigned char *tile = scratch, *work = scratch + cq__rotate_tile_bytes(job->r);
    const void *factor = cq__root_of(h, size);
    (void)next; /* it is fetched piece by piece below */
    for (size_t i = 0; i < job->r->n; i += h->pow2)
        for (size_t c = 0; c < w * size; c += wide) {
            size_t bytes = cq__min(wide, w * size - c);
            unsigned char *block = data + i * along + c;
            for (size_t j = 0; j < h->pow2; j++) {
                const unsigned char *row = block + j * along;
                kernels->scale(tile + j * wide, row, bytes / size,
                               sign && sign[i + j] < 0 ? kernels->minus_one : kernels->plus_one,
                               c + wide < w * size ? row + wide : NULL);
                cq__fill(tile + j * wide + bytes, 0, wide - bytes);
            }
            kernels->fwht(tile, h->pow2 * wide / size, wide / size, h->c1 ? NULL : factor);
            for (size_t j = 0; j < h->pow2; j++)
                kernels->scale(block + j * along, tile + j * wide, bytes / size, kernels->plus_one, NULL);
        }
    for (size_t i = 0; h->c2 && i < h->k1; i++)
        for (size_t j = 0; j < h->pow2; j++)
            cq__rotate_core(job, data + (i * inner + j) * along, w, h->pow2 * along / size, h->c2, h->k2,
                            kernels->plus_one, work);
    for (size_t j = 0; h->c1 && j < inner; j++)
        cq__rotate_core(job, data + j * along, w, inner * along / size, h->c1, h->k1, factor, work);
}

/* One vector that is a row, or job->lanes of them woven: run k of vector v is run k * lanes + v of the tile. */
static void cq__rotate_row(const cq__rotate_job *job, unsigned char *data, size_t w, const unsigned char *next,
                           unsigned char *scratch) {
    const cq_hadamard *h = &job->r->h;
    const cq__rotate_kernels *kernels = job->kernels;
    const int8_t *sign = job->r->sign;
    size_t lanes = job->lanes, run = h->pow2 * kernels->size, runs = h->k1 * h->k2;
    unsigned char *tile = scratch, *work = scratch + cq__rotate_tile_bytes(job->r);
    const void *factor = cq__root_of(h, kernels->size);
    if (lanes == 1) {
        kernels->flip(tile, data, h->n, sign);
        cq__transform(kernels, h, data, tile, 1, factor, next, work, false);
        return;
    }
    for (size_t k = 0; k < runs; k++)
        for (size_t v = 0; v < lanes; v++) { /* fewer vectors than lanes: the first takes the places of the others */
            unsigned char *to = tile + (k * lanes + v) * run;
            const unsigned char *from = data + (v < w ? v : 0) * job->across + k * run;
            kernels->flip(to, from, h->pow2, sign ? sign + k * h->pow2 : NULL);
            kernels->fwht(to, h->pow2, 1, NULL);
        }
    cq__apply_cores(kernels, h, tile, tile, h->pow2 * lanes, factor, NULL, work, false);
    for (size_t k = 0; k < runs; k++)
        for (size_t v = 0; v < w; v++)
            kernels->flip(data + v * job->across + k * run, tile + (k * lanes + v) * run, h->pow2, NULL);
}

/* Where the vectors of a unit of work begin. */
static unsigned char *cq__rotate_unit(const cq__rotate_job *job, size_t unit) {
    return job->data + unit / job->tiles * job->r->n * job->along + unit % job->tiles * job->lanes * job->across;
}

static void cq__rotate_task(void *arg, size_t slot) {
    const cq__rotate_job *job = (const cq__rotate_job *)arg;
    for (size_t unit = slot; unit < job->units; unit += job->slots)
        job->task(job, cq__rotate_unit(job, unit), cq__min(job->lanes, job->vectors - unit % job->tiles * job->lanes),
                  unit + job->slots < job->units ? cq__rotate_unit(job, unit + job->slots) : NULL,
                  job->scratch + slot * job->slot_bytes);
}

/* x (rows, ld), of floats or doubles */
static cq_status cq__rotate(const cq_context *ctx, const cq_rotation *r, void *x, bool f64, size_t rows, size_t cols,
                            size_t ld, bool columns, void *scratch) {
    const cq__rotate_kernels *kernels = cq__rotate_tier(ctx, f64);
    size_t axis = columns ? rows : cols, strip = 64 / kernels->size;
    cq__rotate_job job;
    if (ld < cols || r->n == 0 || axis % r->n != 0) return CQ_ERR_ARG;
    job.r = r;
    job.kernels = kernels;
    job.data = (unsigned char *)x;
    job.scratch = (unsigned char *)scratch;
    job.along = (columns ? ld : 1) * kernels->size;
    job.across = (columns ? 1 : ld) * kernels->size;
    job.vectors = columns ? cols : rows;
    if (r->columns) {
        job.task = cq__rotate_dense;
        job.lanes = 8;
    } else if (columns) {
        job.task = cq__rotate_columns;
        job.lanes = strip * CQ__ROTATE_PANEL;
        while (job.lanes > 4 * strip && job.vectors / job.lanes * (axis / r->n) < 4 * cq__rotate_slots(ctx) &&
               cq__rotate_slots(ctx) > 1)
            job.lanes /= 2; /* enough of them to go round */
    } else {
        job.task = cq__rotate_row;
        job.lanes = r->h.c1 && r->h.pow2 < strip ? strip / r->h.pow2 : 1;
    }
    job.tiles = job.vectors / job.lanes + (job.vectors % job.lanes != 0);
    job.units = job.tiles * (axis / r->n);
    job.slots = cq__min(cq__rotate_slots(ctx), job.units);
    job.slot_bytes = cq__rotate_slot_bytes(r);
    if (ctx) cq_parallel_for(ctx, job.slots, cq__rotate_task, &job);
    else if (job.slots) cq__rotate_task(&job, 0);
    return CQ_OK;
}

CQUANT_DEF cq_status cq_rotate_rows_f32(const cq_context *ctx, const cq_rotation *r, float *x, size_t rows, size_t cols,
                                        size_t ld, void *scratch) {
    return cq__rotate(ctx, r, x, false, rows, cols, ld, false, scratch);
}
CQUANT_DEF cq_status cq_rotate_rows_f64(const cq_context *ctx, const cq_rotation *r, double *x, size_t rows,
                                        size_t cols, size_t ld, void *scratch) {
    return cq__rotate(ctx, r, x, true, rows, cols, ld, false, scratch);
}
CQUANT_DEF cq_status cq_rotate_cols_f32(const cq_context *ctx, const cq_rotation *r, float *w, size_t rows, size_t cols,
                                        size_t ld, void *scratch) {
    return cq__rotate(ctx, r, w, false, rows, cols, ld, true, scratch);
}
CQUANT_DEF cq_status cq_rotate_cols_f64(const cq_context *ctx, const cq_rotation *r, double *w, size_t rows,
                                        size_t cols, size_t ld, void *scratch) {
    return cq__rotate(ctx, r, w, true, rows, cols, ld, true, scratch);
}

/* ===================================================================================================================
   [LESSON 8 norms]

   A norm's gain multiplies channel by channel and does not commute with a rotation: g o (h R) is not (g o h) R. But
   what follows the norm are linears, and W (g o h) = (W diag(g)) h: the gain moves into the columns of all readers, its
   bias beta into their biases, W (g o h + beta) = (W diag(g)) h + W beta.

   LayerNorm also subtracts the mean over channels, which is a projection P = I - 1 1^T / n and does not commute either.
   But the mean can be kept out of the stream for good: if everything that writes to it writes P times what it did, the
   stream is P h throughout, its mean is 0, and LayerNorm is RMSNorm. P W subtracts from each column of W (out, in) the
   column's mean; an embedding is a writer whose rows are the vectors. (SliceGPT, Ashkboos et al. 2024.) Or let R keep
   the mean: if it maps the vector of ones to itself, P commutes with it, and nothing need be centred. A reflection
   behind R sees to that (cquant_models.h, LESSON 8).

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

CQ__EXACT_END
#endif /* CQUANT_IMPLEMENTATION */
