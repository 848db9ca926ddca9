/* cquant.h - v0.7.4 - a few bits per weight, the same bits on every machine

   The foundation of cquant: number formats, packed weights, and the products that run on them.
   Freestanding C99 and C++11. One file, no dependency but <stdint.h>, <stddef.h>, <stdbool.h>, <float.h>,
   <limits.h> and, where SIMD is used, the compiler's intrinsics.

   In exactly ONE source file:            everywhere else:
       #define CQUANT_IMPLEMENTATION          #include "cquant.h"
       #include "cquant.h"

   Quantise a matrix to int4 and multiply with it:

       float w[2 * 64], x[64], y[2];                         // fill w (rows, cols) and x (cols)
       cq_context ctx;
       cq_tensor q;
       unsigned char bytes[4096];
       cq_init(&ctx, NULL, NULL);                             // best ISA, one thread
       cq_tensor_init(&q, CQ_INT4, CQ_PANELS, 2, 64, 64, false, NULL);
       if (q.bytes <= sizeof bytes) {
           cq_quantize_rtn(&q, bytes, w, 64, NULL);           // round to nearest, one scale per 64 weights
           cq_matmul(&ctx, y, 2, &q, NULL, x, 64, 1, false);  // y = W x
       }

   DOES NOT: allocate, print, read files, start threads, keep global state, call libc or libm, pick bit-widths for
   you, or read models (that is cquant_models.h).

   CONTENTS  declarations  [OPTIONS] [STATUS] [MEMORY] [THREADS] [TENSORS] [QUANTIZE] [PRODUCTS] [VECTORS] [MATH]
             in plain C    [LESSON 1 bits and bytes] [LESSON 2 mathematics without libm] [LESSON 3 memory]
                           [LESSON 4 numbers] [LESSON 5 panels] [LESSON 6 grids] [LESSON 7 products]
             machines      [V4] [SSE4.1] [X86] [ARM] [CORTEX-M] [RVV] [WASM]  -- the same results, faster
             choice        [DISPATCH]

   EXACTNESS  Every result is defined by the plain C code and every kernel equals it bit for bit:
     - products of integers are summed exactly; each group of weights then contributes one float multiplication and one
       float addition, groups in order;
     - float products are summed in k order within blocks of 32, blocks in order (cq_matmul); float reductions over a
       vector (norms, attention scores, softmax sums) use eight lanes, lane i taking elements i, i+8, ..., combined as
       ((0+4)+(2+6))+((1+5)+(3+7));
     - what quantises (cq_syrk, cq_gemm, cquant_gptq.h) sums in chains of fused multiply-adds, c = fma(a, b, c) in k
       order: twice the speed where there is an instruction, the same bits where there is not; no other code fuses;
     - no libm: exp, log, sin, cos and sqrt are defined below in float and integer arithmetic, fma in double.
     The one condition is IEEE single precision without excess precision (FLT_EVAL_METHOD 0), which is checked: i386
     needs -msse2 -mfpmath=sse, s390x -std=gnu99. -ffast-math is an error; clang's -ffp-contract=fast (not its default)
     overrules the pragmas: leave it out. Denormal numbers must be kept, which vectors of 32-bit NEON and of AltiVec
     before VSX do not: clang for 32-bit ARM needs -fno-vectorize -fno-slp-vectorize behind its -O2, compilers for such
     PowerPCs -mno-altivec.

   MEMORY  The caller's, always. Every job has a size query which is its own layout code run on an empty arena.
   THREADS The caller's: a parallel_for callback. None given, a loop. Results do not depend on the number of threads.
   STACK   Under 1 KB a call (gcc 12 -O2), but cq_matmul: 2.7 KB (a block of weights as floats), cq_syrk: 1.4 KB,
           cq_matmul_q8: 24 KB with AVX2 and better, 6 KB with SSE4.1, 2.7 KB on Arm, 2.3 KB on Cortex-M; what
           quantises, with vectors but no fused instruction: 4.4 KB more.

   Licence: see the end of the file. */
#ifndef CQUANT_H
#define CQUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CQUANT_VERSION "0.7.4"
#define CQUANT_VERSION_NUM 704 /* 10000 * major + 100 * minor + patch; the four headers must agree */

/* ===================================================================================================================
   [OPTIONS]  define before including; "implementation" = only matters where CQUANT_IMPLEMENTATION is defined
   CQUANT_STATIC      everywhere      all functions static: several copies may live in one program
   CQUANT_DEF         everywhere      your own linkage for public functions
   CQUANT_ASSERT(x)   implementation  checks of our own mistakes (never of input); default nothing
   CQUANT_NO_SIMD     implementation  plain C only: the specification itself
   CQUANT_TILES       implementation  an expression, true where the process may use AMX's tiles: on Linux it must have
                                      asked, arch_prctl(ARCH_REQ_XCOMP_PERM = 0x1023, 18) == 0; default 0
   CQUANT_ONE_TIER    implementation  only the best tier of kernels that the compiler's flags promise (-mcpu, or -mavx2
                                      -mfma -mf16c ...), without a look at the CPU: for a small flash
   CQUANT_ALLOW_EXCESS_PRECISION  implementation  compile although float is computed wider: the bits then differ
   ================================================================================================================== */
#ifndef CQUANT_DEF
#ifdef CQUANT_STATIC
#if defined(__GNUC__) || defined(__clang__)
#define CQUANT_DEF __attribute__((unused)) static
#else
#define CQUANT_DEF static
#endif
#else
#define CQUANT_DEF extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [STATUS]  errors are values: a status, where, and a literal that says what is wrong and what would be right
   ================================================================================================================== */
#define CQ_STATUS_LIST(X)                                                                                              \
    X(CQ_OK, 0, "ok")                                                                                                  \
    X(CQ_ERR_ARG, 1, "bad argument")                                                                                   \
    X(CQ_ERR_MEMORY, 2, "arena too small")                                                                             \
    X(CQ_ERR_FORMAT, 3, "malformed input")                                                                             \
    X(CQ_ERR_MISSING, 4, "something needed is missing")                                                                \
    X(CQ_ERR_RANGE, 5, "value out of range")                                                                           \
    X(CQ_ERR_UNSUPPORTED, 6, "not supported")                                                                          \
    X(CQ_ERR_NOT_SPD, 7, "matrix is not positive definite")                                                            \
    X(CQ_ERR_IO, 8, "a callback of the caller failed")                                                                 \
    X(CQ_ERR_CANCELLED, 9, "cancelled by the caller")

#define CQ__STATUS_ENUM(name, value, text) name = value,
typedef enum cq_status { CQ_STATUS_LIST(CQ__STATUS_ENUM) CQ__STATUS_END } cq_status;

typedef struct cq_error {
    cq_status status;
    const char *what; /* a literal: what is wrong and what would be right */
    const char *name; /* tensor, key or module at fault, NOT zero-terminated; NULL: none. Lives as long as its source */
    size_t name_len;
    uint64_t where; /* byte offset, row, pivot, token or layer, as `what` says; UINT64_MAX: nowhere in particular */
    int64_t got;    /* the offending value; INT64_MIN: none */
} cq_error;

CQUANT_DEF const char *cq_status_text(cq_status status);
/* Sets *err (if not NULL) and returns status: `return cq_fail(err, CQ_ERR_ARG, "...")`. */
CQUANT_DEF cq_status cq_fail(cq_error *err, cq_status status, const char *what);
CQUANT_DEF cq_status cq_fail_at(cq_error *err, cq_status status, const char *what, const char *name, size_t name_len,
                                uint64_t where, int64_t got);

/* ===================================================================================================================
   [MEMORY]  an arena over the caller's block. With base NULL it only counts: that is the size query.
   ================================================================================================================== */
typedef struct cq_arena {
    unsigned char *base; /* NULL: only count */
    size_t size;         /* bytes at base; ignored when base is NULL */
    size_t used;
    bool failed; /* out of space, or a size overflowed: stays set */
} cq_arena;

#define CQ_ALIGN 64u /* every allocation and every tensor in a file starts on this boundary (relative to the base) */

CQUANT_DEF cq_arena cq_arena_over(void *base, size_t size); /* base should be aligned to CQ_ALIGN */
/* count * size bytes, zero-filled, or NULL: when counting, or when the arena is out of space (then failed is set). */
CQUANT_DEF void *cq_alloc(cq_arena *arena, size_t count, size_t size);

/* ===================================================================================================================
   [THREADS]  and the context: which kernels, which threads
   ================================================================================================================== */
typedef void (*cq_task)(void *arg, size_t index);
typedef struct cq_parallel {
    /* Calls task(arg, i) once for each i < count, in any order, on any threads; returns when all are done. */
    void (*run)(void *user, size_t count, cq_task task, void *arg); /* NULL: a loop */
    void *user;
} cq_parallel;

struct cq__kernels;
typedef struct cq_context {
    const struct cq__kernels *k;
    cq_parallel parallel;
} cq_context;

typedef struct cq_context_desc {
    const char *isa; /* "scalar", "avx2", ...; NULL: the best this CPU and this build have */
    cq_parallel parallel;
} cq_context_desc;

/* desc NULL: all defaults. CQ_ERR_UNSUPPORTED if this build or this CPU lacks desc->isa. */
CQUANT_DEF cq_status cq_init(cq_context *ctx, const cq_context_desc *desc, cq_error *err);
CQUANT_DEF const char *cq_isa(const cq_context *ctx);     /* name of the tier in use */
CQUANT_DEF const char *cq_isa_available(size_t index);    /* tiers that cq_init accepts here, best first; NULL ends */
CQUANT_DEF void cq_parallel_for(const cq_context *ctx, size_t count, cq_task task, void *arg);

/* ===================================================================================================================
   [TENSORS]  a view of a matrix (rows, cols), stored as a checkpoint has it or as the kernels want it
   ================================================================================================================== */
typedef enum cq_format { /* the numbers are those of .cq files and stay */
    CQ_F32, CQ_F16, CQ_BF16,
    CQ_INT8, CQ_INT4, CQ_INT3, CQ_INT2, /* a code minus a zero, times an fp16 scale a group */
    CQ_FP8,                             /* an e4m3 number times an fp32 scale a group */
    CQ_MXFP8, CQ_MXFP6_E2M3, CQ_MXFP6_E3M2, CQ_MXFP4, /* OCP microscaling: an e4m3, e2m3, e3m2, e2m1 number times a
                                           power of two (E8M0, one byte) for each block of 32 columns */
    CQ_FORMAT_COUNT
} cq_format;
typedef enum cq_layout {
    CQ_ROWS,  /* row-major, cols apart; float formats only. What checkpoints hold */
    CQ_PANELS, /* 16 rows interleaved, see [LESSON 5 panels]. What .cq files hold */
    CQ_COLUMNS /* column-major, rows apart; float formats only. A matrix that a checkpoint stores as (in, out) */
} cq_layout;

/* Integers: a weight is (code - zero) * scale, code in [0, 2^bits). Symmetric: zero = 2^(bits-1) for all; asymmetric:
   one zero a row and group. Small floats: a weight is the number that the code stands for (cq_mini_value) * scale.
   Groups are runs of group_size columns; the last may be shorter. All multi-byte values are little-endian, so a tensor
   can be used in place from any file or flash on any machine. */
typedef struct cq_tensor {
    cq_format format;
    cq_layout layout;
    bool asym;           /* integer formats: zeros are stored */
    uint8_t act_bits;    /* what a model rounds the input to before this product: 8: int8, a scale a row; 0: nothing.
                            The products here do not look at it */
    uint32_t group_size; /* coded formats: multiple of 16 (microscaling: 32); the row length, rounded up to 32, for
                            one group a row */
    size_t rows, cols;
    size_t bytes;              /* of data */
    const unsigned char *data; /* NULL until set; align to 4 (CQ_ROWS: to the element) at least */
} cq_tensor;

/* Fills *t without data, computing t->bytes. group_size: coded formats only, a multiple of 16 (one of 32 is faster), or
   0: one group a row; of microscaling formats 32 or 0, which is 32. CQ_ERR_ARG for an impossible combination,
   CQ_ERR_RANGE when the size overflows. */
CQUANT_DEF cq_status cq_tensor_init(cq_tensor *t, cq_format format, cq_layout layout, size_t rows, size_t cols,
                                    size_t group_size, bool asym, cq_error *err);
CQUANT_DEF unsigned cq_format_bits(cq_format format);      /* of a number, without its share of a scale; 0: no format */
CQUANT_DEF const char *cq_format_name(cq_format format);   /* "f32", "bf16", "int4", "mxfp6_e2m3" ...; or "unknown" */
CQUANT_DEF bool cq_format_is_int(cq_format format);        /* INT8 to INT2 */
CQUANT_DEF bool cq_format_is_coded(cq_format format);      /* codes with scales, in panels: all but F32, F16, BF16 */
CQUANT_DEF bool cq_format_is_mx(cq_format format);         /* E8M0 scales of 32 columns */
CQUANT_DEF bool cq_format_has_q8(cq_format format);        /* can be multiplied with int8 activations: cq_matmul_q8 */
CQUANT_DEF cq_format cq_format_int(unsigned bits);         /* INT2, INT3, INT4, INT8; CQ_FORMAT_COUNT: there is none */
CQUANT_DEF size_t cq_tensor_groups(const cq_tensor *t);    /* groups in a row; 0 for float formats */
CQUANT_DEF void cq_tensor_row(const cq_tensor *t, size_t row,
                              float *out /* (cols) */); /* one row, dequantised exactly */
/* columns [col, col + n) of one row */
CQUANT_DEF void cq_tensor_span(const cq_tensor *t, size_t row, size_t col, size_t n, float *out);

/* ===================================================================================================================
   [QUANTIZE]  one grid per group, and packing codes into panels
   ================================================================================================================== */
typedef struct cq_grid {
    float scale;      /* as the format stores it: exactly representable there */
    int32_t zero;     /* integers: the code that means 0; 2^(bits-1) when symmetric. Small floats: 0 */
    cq_format format; /* a coded one */
} cq_grid;

/* The grid that just covers n weights. Integers: symmetric scale = 2 max|w| / (2^bits - 1); asymmetric between min and
   max with 0 included. Small floats: the least scale whose largest number is not below max|w|; of microscaling formats
   that is a power of two ("ceil"; the standard's conversion takes cq_grid_floor). The scale is rounded to what is
   stored first, so that codes are chosen for the scale that is stored. */
CQUANT_DEF cq_grid cq_grid_minmax(const float *w, size_t n, cq_format format, bool asym);
/* Microscaling as OCP MX 1.0, section 6.3 has it: scale = 2^(floor(log2 max|w|) - the exponent of the largest number).
   What is then above the largest number saturates. Other formats: as minmax, symmetric. */
CQUANT_DEF cq_grid cq_grid_floor(const float *w, size_t n, cq_format format);
/* Rounds scale to what the format stores (microscaling: up to a power of two), zero to a code. */
CQUANT_DEF cq_grid cq_grid_make(float scale, float zero, cq_format format);
CQUANT_DEF uint8_t cq_grid_code(cq_grid g, float w);     /* nearest code, ties to even; out of range: the last; 0 for -0 */
CQUANT_DEF float cq_grid_value(cq_grid g, uint8_t code); /* what the code stands for: exact */

/* Packs one panel (rows 16 * panel .. 16 * panel + 15 of t, fewer at the end) into dst + panel * cq_panel_bytes(t).
   codes: (rows of the panel, ldc) one byte each; grids: (rows of the panel, ldg), one per group. */
CQUANT_DEF size_t cq_panel_bytes(const cq_tensor *t);
CQUANT_DEF size_t cq_panel_count(const cq_tensor *t);
CQUANT_DEF void cq_pack_panel(const cq_tensor *t, void *dst, size_t panel, const uint8_t *codes, size_t ldc,
                              const cq_grid *grids, size_t ldg);
/* The same for float formats: w (rows of the panel, ldw), rounded to nearest even. */
CQUANT_DEF void cq_pack_panel_float(const cq_tensor *t, void *dst, size_t panel, const float *w, size_t ldw);
/* Round to nearest with minmax grids: quantises w (rows, ldw) into dst (t->bytes), for every format; t->data = dst. */
CQUANT_DEF cq_status cq_quantize_rtn(cq_tensor *t, void *dst, const float *w, size_t ldw, cq_error *err);
/* The way back, for tests and exporters: the code of one weight, and the grid of one group. */
CQUANT_DEF uint8_t cq_tensor_code(const cq_tensor *t, size_t row, size_t col);
CQUANT_DEF cq_grid cq_tensor_grid(const cq_tensor *t, size_t row, size_t group);

/* ===================================================================================================================
   [PRODUCTS]
   ================================================================================================================== */
/* y[j][r] = (add ? y[j][r] : 0) + bias[r] + sum_k W[r][k] x[j][k]   for j < n, r < w->rows, k < w->cols.
   y: (n, ldy) float; bias: (rows) little-endian fp32 bytes, or NULL; x: (n, ldx) float. Any format, any layout. */
CQUANT_DEF void cq_matmul(const cq_context *ctx, float *y, size_t ldy, const cq_tensor *w, const unsigned char *bias,
                          const float *x, size_t ldx, size_t n, bool add);

/* Activations quantised to int8, one symmetric scale per row (token), or per group of columns: x = q * scale,
   |q| <= 127. With fewer bits, to study what they would cost, |q| <= 2^(bits - 1) - 1, one code still a byte. */
typedef struct cq_acts {
    int8_t *q;     /* (n, stride), zero-padded to a multiple of 32 */
    int32_t *sum;  /* (stride / 32, ld_sum): row j's sum of q over block b, 32 columns, at [b * ld_sum + j] */
    float *scale;  /* (n, groups): groups = cols / group_size rounded up; 1 where group_size is 0 */
    size_t n, cols, stride; /* stride: cols rounded up to 32, or a little more */
    size_t ld_sum;
    size_t group_size; /* columns that share a scale, a multiple of 32; 0: all of a row */
    unsigned bits; /* of a code, 2 to 8; cq_acts_alloc says 8 */
} cq_acts;
/* For n rows of at most cols columns. Groups: for products with weights of that group_size. */
CQUANT_DEF void cq_acts_alloc(cq_acts *a, cq_arena *arena, size_t n, size_t cols);
CQUANT_DEF void cq_acts_alloc_groups(cq_acts *a, cq_arena *arena, size_t n, size_t cols, size_t group_size);
CQUANT_DEF void cq_quantize_acts(const cq_context *ctx, cq_acts *a, const float *x, size_t ldx, size_t n, size_t cols);
/* The product of integers: as cq_matmul, with weights of a format that cq_format_has_q8, and int8 activations, whose
   group_size is 0 or that of the weights. Small floats are multiples of 1/2 (e2m1), 1/8 (e2m3), 1/16 (e3m2): as
   integers they are summed exactly too. */
CQUANT_DEF void cq_matmul_q8(const cq_context *ctx, float *y, size_t ldy, const cq_tensor *w,
                             const unsigned char *bias, const cq_acts *a, size_t n, bool add);

/* Dense f32 products for the solver, in chains of fused multiply-adds. C (m, ldc), row-major.
   cq_syrk: C += X^T diag(weight) X; X (n, ldx), C (cols, ldc) symmetric before and after; weight (n) >= 0, NULL: all 1.
   Rows of weight 0 are not looked at. scratch: cq_syrk_scratch(cols) floats. Two calls for two halves of the rows give
   the bits of one call for all.
   cq_gemm: C += A B; A (m, lda) of width k, B (k, ldb) of width n; scratch: cq_gemm_scratch(m, k, n) floats.
   AVX-512 is 8 % faster where scratch is aligned to CQ_ALIGN. */
CQUANT_DEF size_t cq_syrk_scratch(size_t cols); /* SIZE_MAX when that many floats cannot be */
CQUANT_DEF size_t cq_gemm_scratch(size_t m, size_t k, size_t n);
CQUANT_DEF void cq_syrk(const cq_context *ctx, float *c, size_t ldc, const float *x, size_t ldx, size_t n,
                        const float *weight, size_t cols, float *scratch);
CQUANT_DEF void cq_gemm(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, const float *b,
                        size_t ldb, size_t m, size_t k, size_t n, float *scratch);

/* ===================================================================================================================
   [VECTORS]  what a transformer needs beside products; all with the fixed lane order above
   ================================================================================================================== */
CQUANT_DEF float cq_dot(const cq_context *ctx, const float *a, const float *b, size_t n);
CQUANT_DEF float cq_sum(const cq_context *ctx, const float *a, size_t n);
CQUANT_DEF void cq_axpy(const cq_context *ctx, float *y, float a, const float *x, size_t n);        /* y += a x */
CQUANT_DEF void cq_rmsnorm(const cq_context *ctx, float *y, const float *x,
                           const unsigned char *weight /* (n) fp32 LE */, size_t n,
                           float eps); /* y = x / sqrt(mean(x^2) + eps) * weight; weight NULL: 1. y may be x */
CQUANT_DEF void cq_silu_mul(const cq_context *ctx, float *g, const float *u, size_t n); /* g = g / (1 + exp(-g)) * u */
/* x = exp(x - max x) / sum, in place; returns false (and x all zero) when every x is -infinity. */
CQUANT_DEF bool cq_softmax(const cq_context *ctx, float *x, size_t n);

/* ===================================================================================================================
   [MATH]  without libm; errors measured over all floats (tests/test_core.c)
   ================================================================================================================== */
CQUANT_DEF float cq_expf(float x);                         /* within 1.1 ulp */
CQUANT_DEF float cq_logf(float x);                         /* within 0.9 ulp */
CQUANT_DEF float cq_sqrtf(float x);                        /* correctly rounded */
CQUANT_DEF void cq_sincosf(float x, float *s, float *c);   /* within 0.9 ulp for every finite x */
CQUANT_DEF float cq_powf(float x, float y);                /* x > 0; exp2(y log2 x) in extended precision, ~1 ulp */
CQUANT_DEF float cq_erff(float x);                         /* within 2e-7 */
CQUANT_DEF float cq_tanhf(float x);                        /* within 2e-7, near 0 relatively */
CQUANT_DEF float cq_f16_to_f32(uint16_t h);
CQUANT_DEF uint16_t cq_f32_to_f16(float x);                /* nearest even, overflow to infinity, NaN stays NaN */
CQUANT_DEF float cq_bf16_to_f32(uint16_t h);
CQUANT_DEF uint16_t cq_f32_to_bf16(float x);
/* Small floats: one sign bit, then exponent and mantissa; no infinities but in e5m2 (OCP 8-bit floating point 1.0 and
   MX 1.0). To them: nearest, ties to even, subnormals kept, everything too large and infinity saturates to the largest
   finite number; NaN gives NaN where there is one (e4m3, e5m2), else -0, as ml_dtypes has it. */
typedef enum cq_mini { CQ_E2M1, CQ_E2M3, CQ_E3M2, CQ_E4M3, CQ_E5M2, CQ_MINI_COUNT } cq_mini;
CQUANT_DEF float cq_mini_to_f32(cq_mini mini, uint8_t code);
CQUANT_DEF uint8_t cq_f32_to_mini(cq_mini mini, float x);
CQUANT_DEF float cq_e8m0_to_f32(uint8_t code);             /* 2^(code - 127); 255: NaN */
/* Counter-based random numbers, Philox4x32-10 (Salmon et al., SC 2011): the same three numbers give the same 64 bits on
   every machine and thread; nothing is stored. */
CQUANT_DEF uint64_t cq_random(uint64_t seed, uint64_t stream, uint64_t counter);

#ifdef __cplusplus
}
#endif
#endif /* CQUANT_H */

/* ###################################################################################################################
   Implementation
   ################################################################################################################## */
#if defined(CQUANT_IMPLEMENTATION) && !defined(CQUANT__IMPLEMENTED)
#define CQUANT__IMPLEMENTED

#ifdef __FAST_MATH__
#error "cquant needs IEEE arithmetic: compile this file without -ffast-math"
#endif
#include <float.h>
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 && !defined(CQUANT_ALLOW_EXCESS_PRECISION)
#error "float is computed wider than float here: use -msse2 -mfpmath=sse (i386) or -std=gnu99 (s390x); see [OPTIONS]"
#endif
#ifndef CQUANT_ASSERT
#define CQUANT_ASSERT(x) ((void)0)
#endif
#ifndef CQUANT_TILES
#define CQUANT_TILES 0
#endif

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
#define CQ__HELIUM /* its vectors of floats take denormal numbers for 0 */
#include <arm_mve.h>
#endif

/* Between these two, in each of the headers, compilers leave floats alone: no fused multiply-add behind our back, and no
   vectors of Helium. They would change bits from one compiler to the next. */
#if defined(__clang__)
#ifdef CQ__HELIUM
#define CQ__NO_HELIUM _Pragma("clang attribute push(__attribute__((target(\"no-mve.fp\"))), apply_to = function)")
#define CQ__HELIUM_AGAIN _Pragma("clang attribute pop")
#else
#define CQ__NO_HELIUM
#define CQ__HELIUM_AGAIN
#endif
#define CQ__EXACT_BEGIN _Pragma("STDC FP_CONTRACT OFF") CQ__NO_HELIUM
#define CQ__EXACT_END CQ__HELIUM_AGAIN _Pragma("STDC FP_CONTRACT DEFAULT")
#elif defined(__GNUC__)
#ifdef __aarch64__ /* scheduling before registers are chosen, which other machines do not do: our tiles would spill */
#define CQ__KEEP_ORDER _Pragma("GCC optimize(\"no-schedule-insns\")")
#else
#define CQ__KEEP_ORDER
#endif
#ifdef CQ__HELIUM
#define CQ__NO_HELIUM _Pragma("GCC optimize(\"no-tree-vectorize\")")
#else
#define CQ__NO_HELIUM
#endif
#if defined(__thumb__) && !defined(__thumb2__) /* gcc 12 -Os pops into r1..r3 to free stack, and takes them for kept */
#define CQ__NO_IPA_RA _Pragma("GCC optimize(\"no-ipa-ra\")")
#else
#define CQ__NO_IPA_RA
#endif
#if !__STDC_HOSTED__ /* that pragma brings back what -ffreestanding turns off: loops becoming calls of memset */
#define CQ__NO_MEMSET _Pragma("GCC optimize(\"no-tree-loop-distribute-patterns\")")
#else
#define CQ__NO_MEMSET
#endif
#define CQ__EXACT_BEGIN                                                                                                \
    _Pragma("GCC push_options") _Pragma("GCC optimize(\"fp-contract=off\")")                                           \
    CQ__KEEP_ORDER CQ__NO_HELIUM CQ__NO_IPA_RA CQ__NO_MEMSET
#define CQ__EXACT_END _Pragma("GCC pop_options")
#else
#define CQ__EXACT_BEGIN
#define CQ__EXACT_END
#endif
CQ__EXACT_BEGIN

#if !defined(CQUANT_NO_SIMD) && (defined(__x86_64__) || defined(_M_X64) || defined(__i386__)) &&                       \
    (defined(__GNUC__) || defined(__clang__) || defined(_MSC_VER))
#define CQ__X86 1
#include <immintrin.h>
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#else
#define CQ__X86 0
#endif
/* compilers that know AVX-VNNI and AMX; tiles exist in 64-bit programs only */
#if CQ__X86 && ((defined(__clang__) && __clang_major__ >= 12) || (defined(_MSC_VER) && _MSC_VER >= 1930) ||            \
                (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 11))
#define CQ__X86_AVXVNNI 1
#else
#define CQ__X86_AVXVNNI 0
#endif
#if CQ__X86_AVXVNNI && (defined(__x86_64__) || defined(_M_X64))
#define CQ__X86_TILES 1
#else
#define CQ__X86_TILES 0
#endif
/* intrinsics as of clang 17 and gcc 14, which have types for segment loads; floats and 128 bits are promised */
#if !defined(CQUANT_NO_SIMD) && defined(__riscv_v_intrinsic) && defined(__riscv_v_min_vlen) &&                         \
    defined(__riscv_v_elen_fp)
#if __riscv_v_intrinsic >= 12000 && __riscv_v_min_vlen >= 128 && __riscv_v_elen_fp >= 32
#define CQ__RVV 1
#include <riscv_vector.h>
#endif
#endif
#ifndef CQ__RVV
#define CQ__RVV 0
#endif
#if !defined(CQUANT_NO_SIMD) && defined(__wasm_simd128__)
#define CQ__WASM 1
#include <wasm_simd128.h>
#else
#define CQ__WASM 0
#endif

#if !defined(CQUANT_NO_SIMD) && defined(__ARM_NEON) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9))
#define CQ__ARM 1
#include <arm_neon.h>
#if !defined(__aarch64__)
#define CQ__DOTPROD_TIERS 0
#elif defined(__clang__) /* before 16 its <arm_neon.h> had vdotq with a flag only */
#define CQ__DOTPROD_TIERS (__clang_major__ >= 16)
#else
#define CQ__DOTPROD_TIERS (__GNUC__ >= 10)
#endif
#else
#define CQ__ARM 0
#endif

/* Cortex-M: what the compiler may use is there, and there is nothing to ask at run time */
#if !defined(CQUANT_NO_SIMD) && defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M' &&                            \
    defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN)
#define CQ__DSP 1
#else
#define CQ__DSP 0
#endif
#if CQ__DSP && defined(CQ__HELIUM)
#define CQ__MVE 1
#else
#define CQ__MVE 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define CQ__INLINE static inline __attribute__((always_inline, unused))
#define CQ__UNUSED __attribute__((unused))
#define CQ__ALIGNED __attribute__((aligned(64))) /* for speed only: no vector load then crosses a cache line */
#else
#define CQ__INLINE static inline
#define CQ__UNUSED
#define CQ__ALIGNED
#endif
/* Compilers would gather products, or masks, before they add any, and run out of registers: that each sum is looked at
   (by nobody) keeps things where they are. */
#if CQ__X86 && (defined(__GNUC__) || defined(__clang__))
#define CQ__KEEP(v) __asm__("" : "+x"(v))
#else
#define CQ__KEEP(v) ((void)0)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [LESSON 1 bits and bytes]
   Files are little-endian; values are put together byte by byte, which compilers turn into one load where they can. gcc
   does so from -O2 on only; where products read four activations in that way, on x86, it is told.
   ================================================================================================================== */
CQ__INLINE uint16_t cq__u16(const unsigned char *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
#if CQ__X86 && (defined(__GNUC__) || defined(__clang__))
typedef uint32_t cq__u32_at __attribute__((aligned(1), may_alias));
CQ__INLINE uint32_t cq__u32(const unsigned char *p) { return *(const cq__u32_at *)(const void *)p; }
#else
CQ__INLINE uint32_t cq__u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
#endif
CQ__INLINE uint64_t cq__u64(const unsigned char *p) { return cq__u32(p) | (uint64_t)cq__u32(p + 4) << 32; }
CQ__INLINE void cq__put16(unsigned char *p, uint16_t v) {
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}
CQ__INLINE void cq__put32(unsigned char *p, uint32_t v) {
    cq__put16(p, (uint16_t)v);
    cq__put16(p + 2, (uint16_t)(v >> 16));
}
CQ__INLINE void cq__put64(unsigned char *p, uint64_t v) {
    cq__put32(p, (uint32_t)v);
    cq__put32(p + 4, (uint32_t)(v >> 32));
}

typedef union cq__pun { /* reading the other member is defined in C99 and by every C++ compiler that matters */
    float f;
    uint32_t u;
} cq__pun;
CQ__INLINE uint32_t cq__bits(float f) {
    cq__pun p;
    p.f = f;
    return p.u;
}
CQ__INLINE float cq__float(uint32_t u) {
    cq__pun p;
    p.u = u;
    return p.f;
}
CQ__INLINE float cq__f32(const unsigned char *p) { return cq__float(cq__u32(p)); }

CQ__UNUSED static void cq__copy(void *dst, const void *src, size_t n) {
    unsigned char *d = (unsigned char *)dst;
    const unsigned char *s = (const unsigned char *)src;
    for (; n >= 32; n -= 32, d += 32, s += 32) { /* by way of an array: compilers keep it in registers */
        unsigned char t[32];
        for (size_t i = 0; i < 32; i++) t[i] = s[i];
        for (size_t i = 0; i < 32; i++) d[i] = t[i];
    }
    for (size_t i = 0; i < n; i++) d[i] = s[i];
}
CQ__UNUSED static void cq__fill(void *dst, unsigned char value, size_t n) {
    unsigned char *d = (unsigned char *)dst;
    for (size_t i = 0; i < n; i++) d[i] = value;
}
CQ__UNUSED static bool cq__equal(const void *a, const void *b, size_t n) {
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i]) return false;
    return true;
}
CQ__UNUSED static size_t cq__strlen(const char *s) {
    size_t n = 0;
    while (n < SIZE_MAX && s[n]) n++; /* the bound keeps gcc from turning the loop into a call of strlen */
    return n;
}
CQ__INLINE size_t cq__min(size_t a, size_t b) { return a < b ? a : b; }

/* Checked size arithmetic: false, and *out untouched, on overflow. */
CQ__INLINE bool cq__mul(size_t a, size_t b, size_t *out) {
    if (b && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}
CQ__INLINE bool cq__add(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}
CQ__INLINE bool cq__round_up(size_t a, size_t to, size_t *out) { /* to: a power of two */
    if (a > SIZE_MAX - (to - 1)) return false;
    *out = (a + to - 1) & ~(to - 1);
    return true;
}

CQUANT_DEF const char *cq_status_text(cq_status status) {
#define CQ__STATUS_TEXT(name, value, text)                                                                             \
    case name: return text;
    switch (status) {
        CQ_STATUS_LIST(CQ__STATUS_TEXT)
    case CQ__STATUS_END: break;
    }
    return "unknown status";
}

CQUANT_DEF cq_status cq_fail_at(cq_error *err, cq_status status, const char *what, const char *name, size_t name_len,
                                uint64_t where, int64_t got) {
    if (err) {
        err->status = status;
        err->what = what;
        err->name = name;
        err->name_len = name_len;
        err->where = where;
        err->got = got;
    }
    return status;
}

CQUANT_DEF cq_status cq_fail(cq_error *err, cq_status status, const char *what) {
    return cq_fail_at(err, status, what, NULL, 0, UINT64_MAX, INT64_MIN);
}

/* ===================================================================================================================
   [LESSON 2 mathematics without libm]
   Polynomials fitted by reweighted least squares; only float and integer operations in a fixed order, so that every
   machine computes the same bits.
   ================================================================================================================== */
#define CQ__INFINITY cq__float(0x7f800000u)
#define CQ__NAN cq__float(0x7fc00000u)

CQ__INLINE int cq__clz64(uint64_t v) { /* v > 0 */
    int n = 0;
    for (int step = 32; step; step >>= 1)
        if (!(v >> (64 - step))) {
            v <<= step;
            n += step;
        }
    return n;
}
/* upper half of a 64 x 64 bit product */
CQ__INLINE uint64_t cq__mulhi(uint64_t a, uint64_t b) {
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t x = al * bh, y = ah * bl + ((al * bl) >> 32), z = (y & 0xffffffffu) + x;
    return ah * bh + (y >> 32) + (z >> 32);
}
CQ__INLINE float cq__exp2i(int32_t n) { return cq__float((uint32_t)(n + 127) << 23); } /* -126 <= n <= 127 */

/* exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to an integer (to even) and
   leaves that integer in the low bits. ln 2 is split in two so that r is exact enough. 2^k is applied in two factors,
   so that denormal results come out right. */
#define CQ__EXP_MAX 88.72284f
#define CQ__EXP_MIN (-103.97208f)
#define CQ__LOG2E 1.44269504f
#define CQ__LN2_HI 0.693145752f
#define CQ__LN2_LO 1.42860677e-6f
#define CQ__ROUND 12582912.0f /* 1.5 * 2^23 */
CQUANT_DEF float cq_expf(float x) {
    if (!(x < CQ__EXP_MAX)) return x != x ? x : CQ__INFINITY;
    if (x < CQ__EXP_MIN) return 0.0f;
    float t = x * CQ__LOG2E + CQ__ROUND, n = t - CQ__ROUND;
    float r = (x - n * CQ__LN2_HI) - n * CQ__LN2_LO;
    float p = (((0.00139517174f * r + 0.00836959854f) * r + 0.0416661873f) * r + 0.166665122f) * r + 0.5f;
    float y = 1.0f + ((r * r) * p + r);
    int32_t k = (int32_t)(cq__bits(t) - cq__bits(CQ__ROUND)), h = (k + 256) / 2 - 128; /* h = floor(k / 2) */
    return (y * cq__exp2i(h)) * cq__exp2i(k - h);
}

/* log(x) = n ln 2 + log(1 + f), 1 + f in [2/3, 4/3) */
CQUANT_DEF float cq_logf(float x) {
    uint32_t u = cq__bits(x);
    if (u - 0x00800000u >= 0x7f000000u) { /* zero, denormal, negative, infinite, NaN */
        if ((u << 1) == 0) return -CQ__INFINITY;
        if (u > 0x7f800000u) return CQ__NAN; /* NaN or negative */
        if (u == 0x7f800000u) return x;
        u = cq__bits(x * 8388608.0f) - (23u << 23);
    }
    int32_t t = (int32_t)(u - 0x3f2aaaabu), k = t >= 0 ? t / 8388608 : -((8388607 - t) / 8388608);
    float f = cq__float(((uint32_t)t & 0x7fffffu) + 0x3f2aaaabu) - 1.0f, z = f * f, n = (float)k;
    float p = -0.13190484f * f + 0.139608055f;
    p = p * f - 0.121154346f;
    p = p * f + 0.140112922f;
    p = p * f - 0.166854396f;
    p = p * f + 0.200100183f;
    p = p * f - 0.249996901f;
    p = p * f + 0.333332241f;
    float r = (f * z) * p; /* small terms first */
    r = r + n * CQ__LN2_LO;
    r = r - 0.5f * z;
    r = r + f;
    return n * CQ__LN2_HI + r;
}

/* Digit by digit, in integers: correctly rounded, so a hardware square root gives the same bits. */
CQUANT_DEF float cq_sqrtf(float x) {
    uint32_t u = cq__bits(x), m, q = 0, s = 0;
    if (u >= 0x7f800000u || u == 0) return (u << 1) == 0 || u == 0x7f800000u ? x : CQ__NAN;
    int32_t e = (int32_t)(u >> 23);
    m = u & 0x7fffffu;
    if (e) m |= 0x800000u;
    else
        for (e = 1; !(m & 0x800000u); e--) m <<= 1;
    e -= 127;
    if (e & 1) {
        m <<= 1;
        e--;
    }
    m <<= 1;
    for (uint32_t bit = 0x01000000u; bit; bit >>= 1) {
        uint32_t t = s + bit;
        if (t <= m) {
            s = t + bit;
            m -= t;
            q += bit;
        }
        m <<= 1;
    }
    if (m) q += q & 1; /* round to nearest; a tie is impossible */
    return cq__float((q >> 1) + ((uint32_t)(e / 2 + 126) << 23));
}

/* Payne-Hanek: x * 2/pi by integers against a 96-bit window of 2/pi, so that every finite argument is reduced as well
   as a small one. Returns the quadrant; r + l is the rest, in [-pi/4, pi/4]. */
static int cq__reduce_pio2(float x, float *r, float *l) {
    static const uint32_t two_over_pi[8] = {0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u, 0xF534DDC0u,
                                            0xDB629599u, 0x3C439041u, 0xFE5163ABu, 0xDEBBC561u};
    uint32_t u = cq__bits(x) & 0x7fffffffu;
    int e = (int)(u >> 23);
    *l = 0.0f;
    if (e < 127 - 30) {
        *r = cq__float(u);
        return 0;
    }
    uint32_t m = (u & 0x7fffffu) | 0x800000u; /* x = m * 2^sh */
    int sh = e - 150, bit = sh - 2 < 0 ? 0 : sh - 2, word = bit >> 5, b = bit & 31;
    uint32_t a0 = two_over_pi[word], a1 = two_over_pi[word + 1], a2 = two_over_pi[word + 2];
    if (b) { /* drop the bits that only count whole turns */
        a0 = a0 << b | a1 >> (32 - b);
        a1 = a1 << b | a2 >> (32 - b);
        a2 = a2 << b | two_over_pi[word + 3] >> (32 - b);
    }
    uint64_t p2 = (uint64_t)m * a2, lo = (uint64_t)m * a1 + (p2 >> 32), hi = (uint64_t)m * a0 + (lo >> 32);
    uint64_t whole = hi >> 32, frac = hi << 32 | (uint32_t)lo, rest = p2 << 32, f;
    int s = sh - bit, q; /* m * A = whole.frac rest, to be shifted left by s <= 2 */
    if (s > 0) {
        q = (int)((whole << s | frac >> (64 - s)) & 3);
        f = frac << s | rest >> (64 - s);
    } else if (s == 0) {
        q = (int)(whole & 3);
        f = frac;
    } else if (-s < 64) {
        q = (int)((whole >> -s) & 3);
        f = frac >> -s | whole << (64 + s);
    } else {
        q = 0;
        f = 0;
    }
    bool negative = (f >> 63) != 0; /* to nearest */
    if (negative) {
        q++;
        f = 0 - f;
    }
    uint64_t v = f + cq__mulhi(f, 0x921FB54442D18469ull); /* times pi/2 = 1.57..., in units of 2^-64 */
    float g = 0.0f, h = 0.0f;
    if (v) {
        int lz = cq__clz64(v);
        uint64_t n = v << lz;
        float scale = cq__exp2i(-24 - lz);
        g = (float)(int32_t)(n >> 40) * scale;
        h = (float)(int32_t)((uint32_t)(n >> 16) & 0xffffffu) * (scale * 5.9604644775390625e-8f);
    }
    *r = negative ? -g : g;
    *l = negative ? -h : h;
    return q & 3;
}

CQUANT_DEF void cq_sincosf(float x, float *s, float *c) {
    uint32_t u = cq__bits(x);
    if ((u & 0x7fffffffu) >= 0x7f800000u) {
        *s = *c = CQ__NAN;
        return;
    }
    float r, l;
    int q = cq__reduce_pio2(x, &r, &l);
    float z = r * r, h = 0.5f * z, w = 1.0f - h;
    float sine = r + ((r * z) * ((-0.000195156856f * z + 0.00833216682f) * z - 0.166666552f) + l * (1.0f - h));
    float cosine = w + (((1.0f - w) - h) +
                        ((z * z) * ((2.44366092e-05f * z - 0.00138873525f) * z + 0.0416666456f) - r * l));
    float a = q & 1 ? cosine : sine, b = q & 1 ? sine : cosine;
    if (q & 2) a = -a;
    if (q == 1 || q == 2) b = -b;
    *s = u >> 31 ? -a : a;
    *c = b;
}

/* erf: an odd polynomial near 0, and 1 - exp(-x^2) t P(t), t = 1 / (1 + x/2), further out, where exp(x^2) erfc(x) / t is
   smooth. Coefficients: least squares of the relative error at Chebyshev points, 3e-10 and 8e-10. */
CQUANT_DEF float cq_erff(float x) {
    float a = x < 0.0f ? -x : x, u = x * x, p;
    if (!(a >= 0.75f)) { /* NaN goes here */
        p = 8.50839514e-05f;
        p = p * u - 0.000817448368f;
        p = p * u + 0.00520375257f;
        p = p * u - 0.026860463f;
        p = p * u + 0.112837142f;
        p = p * u - 0.376126349f;
        p = p * u + 1.12837917f;
        return x * p;
    }
    if (a > 4.0f) return x < 0.0f ? -1.0f : 1.0f;
    float t = 1.0f / (1.0f + 0.5f * a);
    p = -0.0520878345f;
    p = p * t + 0.153082068f;
    p = p * t - 0.0851223049f;
    p = p * t - 0.127649299f;
    p = p * t + 0.0646004373f;
    p = p * t + 0.0528589145f;
    p = p * t + 0.184352818f;
    p = p * t + 0.245585215f;
    p = p * t + 0.282201829f;
    p = p * t + 0.282090881f;
    p = 1.0f - cq_expf(-u) * (t * p);
    return x < 0.0f ? -p : p;
}
CQUANT_DEF float cq_tanhf(float x) {
    float u = x * x;
    if (u < 0.04f)
        return x * (1.0f + u * (-0.333333333f + u * (0.133333333f + u * (-0.0539682540f + u * 0.0218694885f))));
    return 1.0f - 2.0f / (cq_expf(2.0f * x) + 1.0f);
}
CQ__UNUSED static float cq__sigmoid(float x) { return 1.0f / (1.0f + cq_expf(-x)); }
CQ__UNUSED static float cq__expm1(float x) {
    if (x > -0.1f && x < 0.1f)
        return x * (1.0f + x * (0.5f + x * (0.166666667f + x * (0.0416666667f + x * 0.00833333333f))));
    return cq_expf(x) - 1.0f;
}
/* log(1 + exp(x)) */
CQ__UNUSED static float cq__softplus(float x) {
    float u = cq_expf(x < 0.0f ? x : -x), l = u < 1e-3f ? u - 0.5f * (u * u) : cq_logf(1.0f + u);
    return x > 0.0f ? x + l : l;
}

/* x^y = 2^(y log2 x) in 64-bit fixed point: log2 by repeated squaring (each square gives one more bit), 2^f by the
   series of exp. Rotary frequencies are powers, and an error there grows with the position, hence the care. */
CQUANT_DEF float cq_powf(float x, float y) {
    static const uint64_t inverse[20] = {0, 0, UINT64_MAX / 2, UINT64_MAX / 3, UINT64_MAX / 4, UINT64_MAX / 5,
                                         UINT64_MAX / 6, UINT64_MAX / 7, UINT64_MAX / 8, UINT64_MAX / 9,
                                         UINT64_MAX / 10, UINT64_MAX / 11, UINT64_MAX / 12, UINT64_MAX / 13,
                                         UINT64_MAX / 14, UINT64_MAX / 15, UINT64_MAX / 16, UINT64_MAX / 17,
                                         UINT64_MAX / 18, UINT64_MAX / 19};
    uint32_t u = cq__bits(x), v = cq__bits(y) & 0x7fffffffu;
    if (v == 0 || x == 1.0f) return 1.0f;
    if (!(x > 0.0f) || u >= 0x7f800000u || v >= 0x7f800000u) return CQ__NAN;
    int32_t e = (int32_t)(u >> 23), ey = (int32_t)(v >> 23);
    uint32_t mx = u & 0x7fffffu, my = v & 0x7fffffu;
    if (e) mx |= 0x800000u;
    else
        for (e = 1; !(mx & 0x800000u); e--) mx <<= 1;
    if (ey) my |= 0x800000u;
    else ey = 1;
    uint64_t m = (uint64_t)mx << 40, frac = 0; /* m: [1, 2) with 63 bits after the point */
    for (int i = 0; i < 54; i++) {
        uint64_t square = cq__mulhi(m, m);
        bool two = (square >> 63) != 0;
        frac = frac << 1 | (uint64_t)two;
        m = two ? square : square << 1;
    }
    int64_t log2x = (int64_t)(e - 127) * ((int64_t)1 << 54) + (int64_t)frac; /* 54 bits after the point */
    bool negative = (log2x < 0) != (y < 0.0f);
    uint64_t a = log2x < 0 ? 0u - (uint64_t)log2x : (uint64_t)log2x;
    int shift = 150 - ey; /* |y| = my * 2^-shift */
    uint64_t lo = a * my, hi = cq__mulhi(a, my), p;
    if (shift <= 0) {
        int left = -shift;
        if (left > 8 || hi || (left && lo >> (63 - left))) return negative ? 0.0f : CQ__INFINITY;
        p = lo << left;
    } else if (shift < 64) {
        if (hi >> (shift - 1)) return negative ? 0.0f : CQ__INFINITY;
        p = lo >> shift | hi << (64 - shift);
    } else {
        p = shift < 128 ? hi >> (shift - 64) : 0;
    }
    if (p >> 62) return negative ? 0.0f : CQ__INFINITY; /* |y log2 x| >= 256 */
    int64_t t = negative ? -(int64_t)p : (int64_t)p;
    int32_t n = (int32_t)((t + ((int64_t)256 << 54)) >> 54) - 256; /* floor; the sum is positive */
    uint64_t f = (uint64_t)(t - (int64_t)n * ((int64_t)1 << 54));        /* [0, 1), 54 bits */
    uint64_t z = cq__mulhi(f << 10, 0xB17217F7D1CF79ABull) >> 2, s = (uint64_t)1 << 62; /* f ln 2; 62 bits */
    for (int i = 19; i >= 1; i--) {
        uint64_t term = cq__mulhi(z << 1, s << 1); /* 62 bits after the point: z, s < 2 */
        s = ((uint64_t)1 << 62) + (i > 1 ? cq__mulhi(term, inverse[i]) : term);
    }
    uint32_t mantissa = (uint32_t)(s >> 39), below = (uint32_t)(s >> 7); /* 24 bits, and the 32 below them */
    if (below > 0x80000000u || (below == 0x80000000u && (mantissa & 1))) mantissa++;
    n -= 23;
    if (n + 23 > 128) return CQ__INFINITY;
    if (n + 23 < -150) return 0.0f;
    return (float)mantissa * cq__exp2i(n / 2) * cq__exp2i(n - n / 2);
}

CQUANT_DEF float cq_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
    if (e == 31) return cq__float(sign | 0x7f800000u | m << 13);
    if (e) return cq__float(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 5.9604644775390625e-8f; /* denormal: m * 2^-24 */
    return sign ? -f : f;
}
CQUANT_DEF uint16_t cq_f32_to_f16(float x) {
    uint32_t u = cq__bits(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above */
    if (a < 0x38800000u) { /* below 2^-14: count units of 2^-24; the addition rounds to even */
        uint32_t r = cq__bits(cq__float(a) + 0.5f) - cq__bits(0.5f);
        return (uint16_t)(sign | r);
    }
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
}
CQUANT_DEF float cq_bf16_to_f32(uint16_t h) { return cq__float((uint32_t)h << 16); }
CQUANT_DEF uint16_t cq_f32_to_bf16(float x) {
    uint32_t u = cq__bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

CQUANT_DEF uint64_t cq_random(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0 | (uint64_t)c1 << 32;
}

/* ===================================================================================================================
   [LESSON 3 memory]
   ================================================================================================================== */
CQUANT_DEF cq_arena cq_arena_over(void *base, size_t size) {
    cq_arena a;
    a.base = (unsigned char *)base;
    a.size = size;
    a.used = 0;
    a.failed = false;
    return a;
}

/* cq_alloc for what is written before it is read: not zeroed, which takes as long as reading a large matrix once */
static void *cq__reserve(cq_arena *arena, size_t count, size_t size) {
    size_t bytes, begin, end;
    if (arena->failed) return NULL;
    if (!cq__mul(count, size, &bytes) || !cq__round_up(arena->used, CQ_ALIGN, &begin) || !cq__add(begin, bytes, &end) ||
        (arena->base && end > arena->size)) {
        arena->failed = true;
        return NULL;
    }
    arena->used = end;
    return arena->base ? arena->base + begin : NULL;
}
CQUANT_DEF void *cq_alloc(cq_arena *arena, size_t count, size_t size) {
    void *p = cq__reserve(arena, count, size);
    if (p) cq__fill(p, 0, count * size);
    return p;
}

/* ===================================================================================================================
   [LESSON 4 numbers]
   ================================================================================================================== */
/* All that is to be known of a format, but for the order of its bits in a panel (LESSON 5). */
typedef struct cq__format_facts {
    const char *name;
    unsigned char bits;    /* of a number */
    unsigned char scale;   /* bytes: 0 none, 1 E8M0, 2 fp16, 4 fp32 */
    unsigned char mini;    /* a cq_mini; CQ_MINI_COUNT: integers, or not coded */
    unsigned char q8_bits; /* times 2^this a number is an integer small enough for cq_matmul_q8; 255: no such */
} cq__format_facts;
static const cq__format_facts cq__formats[CQ_FORMAT_COUNT + 1] = {
    {"f32", 32, 0, CQ_MINI_COUNT, 255},  {"f16", 16, 0, CQ_MINI_COUNT, 255},  {"bf16", 16, 0, CQ_MINI_COUNT, 255},
    {"int8", 8, 2, CQ_MINI_COUNT, 0},    {"int4", 4, 2, CQ_MINI_COUNT, 0},    {"int3", 3, 2, CQ_MINI_COUNT, 0},
    {"int2", 2, 2, CQ_MINI_COUNT, 0},    {"fp8", 8, 4, CQ_E4M3, 255},         {"mxfp8", 8, 1, CQ_E4M3, 255},
    {"mxfp6_e2m3", 6, 1, CQ_E2M3, 3},    {"mxfp6_e3m2", 6, 1, CQ_E3M2, 4},    {"mxfp4", 4, 1, CQ_E2M1, 1},
    {"unknown", 0, 0, CQ_MINI_COUNT, 255}};
CQ__INLINE const cq__format_facts *cq__facts(cq_format format) {
    return &cq__formats[(unsigned)format < CQ_FORMAT_COUNT ? format : CQ_FORMAT_COUNT];
}
CQUANT_DEF unsigned cq_format_bits(cq_format format) { return cq__facts(format)->bits; }
CQUANT_DEF const char *cq_format_name(cq_format format) { return cq__facts(format)->name; }
CQUANT_DEF bool cq_format_is_int(cq_format format) { return format >= CQ_INT8 && format <= CQ_INT2; }
CQUANT_DEF bool cq_format_is_coded(cq_format format) { return cq__facts(format)->scale != 0; }
CQUANT_DEF bool cq_format_is_mx(cq_format format) { return cq__facts(format)->scale == 1; }
CQUANT_DEF bool cq_format_has_q8(cq_format format) { return cq__facts(format)->q8_bits != 255; }
CQUANT_DEF cq_format cq_format_int(unsigned bits) {
    for (unsigned f = CQ_INT8; f <= CQ_INT2; f++)
        if (cq__formats[f].bits == bits) return (cq_format)f;
    return CQ_FORMAT_COUNT;
}

/* A small float with m mantissa bits: where its exponent is e >= emin, neighbours are 2^(e - m) apart, and below 2^emin
   as far as just above (subnormals). So rounding is rounding to a multiple of that step, and that is done by adding a
   number so large that the last bit of the sum is worth it, and taking that away again: the sum is rounded to even.
   1.5 * 2^23 steps keep the sum in one binade for either sign. Integers are the same with a step of 1 everywhere. */
typedef struct cq__steps {
    uint32_t exponent; /* mask of the bits of a number that choose its step: its exponent, or nothing */
    float least;       /* 2^emin; integers: 1 */
    float large;       /* 1.5 * 2^(23 - m); integers: m = 0 */
    float max;         /* largest number; integers: unused */
} cq__steps;
typedef struct cq__mini_facts {
    unsigned char mantissa, bias, bits;
    float max;
} cq__mini_facts;
static const cq__mini_facts cq__minis[CQ_MINI_COUNT] = {
    {1, 1, 4, 6.0f}, {3, 1, 6, 7.5f}, {2, 3, 6, 28.0f}, {3, 7, 8, 448.0f}, {2, 15, 8, 57344.0f}};

CQ__INLINE cq__steps cq__steps_of(unsigned mini) {
    cq__steps s = {0, 1.0f, 12582912.0f, 0.0f};
    if (mini >= CQ_MINI_COUNT) return s;
    s.exponent = 0x7f800000u;
    s.least = cq__exp2i(1 - (int32_t)cq__minis[mini].bias);
    s.large = 1.5f * cq__exp2i(23 - (int32_t)cq__minis[mini].mantissa);
    s.max = cq__minis[mini].max;
    return s;
}
/* |v| at most the largest number; integers: below 2^22 */
CQ__INLINE float cq__step(const cq__steps *s, float v) {
    float unit = cq__float(cq__bits(v) & s->exponent);
    unit = (unit > s->least ? unit : s->least) * s->large;
    return (v + unit) - unit;
}

/* fp16 is such a number too: v, 0 to 65504, to the nearest */
CQ__INLINE float cq__round_half(float v) {
    const cq__steps half = {0x7f800000u, 6.103515625e-5f, 12288.0f, 65504.0f};
    return cq__step(&half, v);
}

CQUANT_DEF float cq_mini_to_f32(cq_mini mini, uint8_t code) {
    const cq__mini_facts *f = &cq__minis[mini];
    uint32_t sign = (uint32_t)(code >> (f->bits - 1) & 1) << 31, a = code & ((1u << (f->bits - 1)) - 1);
    uint32_t m = f->mantissa, e = a >> m;
    if (mini == CQ_E4M3 && a == 0x7f) return cq__float(sign | 0x7fc00000u);
    if (mini == CQ_E5M2 && e == 31) return cq__float(sign | 0x7f800000u | (a & 3u) << 21);
    if (e) return cq__float(sign | (((127u - f->bias) << 23) + (a << (23 - m))));
    float v = (float)a * cq__exp2i(1 - (int32_t)f->bias - (int32_t)m);
    return sign ? -v : v;
}
/* of a number that is one of the small floats: its code */
CQ__INLINE uint8_t cq__mini_code(const cq__mini_facts *f, float v) {
    uint32_t u = cq__bits(v), sign = u >> 31 << (f->bits - 1), a = u & 0x7fffffffu, low = (127u - f->bias) << 23;
    if (a > low + 0x7fffffu) return (uint8_t)(sign | ((a - low) >> (23 - f->mantissa)));
    return (uint8_t)(sign | (uint32_t)(int32_t)(cq__float(a) * cq__exp2i((int32_t)f->bias - 1 + f->mantissa)));
}
CQUANT_DEF uint8_t cq_f32_to_mini(cq_mini mini, float x) {
    const cq__mini_facts *f = &cq__minis[mini];
    cq__steps s = cq__steps_of(mini);
    uint32_t sign = cq__bits(x) >> 31 << (f->bits - 1);
    if (x != x)
        return (uint8_t)(mini == CQ_E4M3 ? sign | 0x7fu : mini == CQ_E5M2 ? sign | 0x7eu : 1u << (f->bits - 1));
    x = x < s.max ? x : s.max;
    x = x > -s.max ? x : -s.max;
    return (uint8_t)(sign | cq__mini_code(f, cq__step(&s, x))); /* what rounds to 0 keeps its sign */
}
CQUANT_DEF float cq_e8m0_to_f32(uint8_t code) {
    return code == 255 ? CQ__NAN : code ? cq__float((uint32_t)code << 23) : cq__float(1u << 22);
}

/* one little-endian float of any float format */
CQ__INLINE float cq__load(const unsigned char *p, cq_format format) {
    return format == CQ_F32 ? cq__f32(p) : format == CQ_F16 ? cq_f16_to_f32(cq__u16(p)) : cq_bf16_to_f32(cq__u16(p));
}
CQ__INLINE void cq__store(unsigned char *p, cq_format format, float v) {
    if (format == CQ_F32) cq__put32(p, cq__bits(v));
    else cq__put16(p, format == CQ_F16 ? cq_f32_to_f16(v) : cq_f32_to_bf16(v));
}

/* ===================================================================================================================
   [LESSON 5 panels]
   A product y = W x wants the weights of several rows side by side: then each SIMD lane owns a row, no sum ever crosses
   lanes, and any vector width gives the same bits. So 16 rows are interleaved into a *panel*; rows past the end are 0.

   Float formats:    [k][16 rows], k = 0 .. cols - 1.
   Coded formats:    [group][16 rows] scales (fp16; fp8: fp32; microscaling: E8M0), then, if asymmetric, [group][16
                     rows] zeros (1 byte), padded to 64 bytes; then blocks of 32 columns x 16 rows, the last one padded
                     with code 0 (activations are padded with 0, so that it adds nothing). Within a block, step s =
                     0..7 covers 4 columns; lane byte L = (row / 8) * 32 + (row % 8) * 4 + (k % 4) puts the four
                     columns of one row together, as the 8-bit multiply-add instructions of every ISA want them:

     8 bits  512 bytes   byte [s][L]; of int8 it is code - 128 (two's complement)
     4 bits  256 bytes   byte [s % 4][L], low nibble: steps 0..3, high nibble: steps 4..7
     2 bits  128 bytes   byte [s % 2][L], bits 2 (s / 2) and 2 (s / 2) + 1
     3 bits  192 bytes   the low two bits as above, then 64 bytes: bit s of byte [L] is bit 2 of the code
     6 bits  384 bytes   the low four bits as above, then the high two as above

   Unpacking is a shift and a mask of whole vectors; nothing is ever moved between lanes.
   ================================================================================================================== */
#define CQ__ROWS 16u  /* rows in a panel */
#define CQ__BLOCK 32u /* columns in a block */

CQUANT_DEF size_t cq_tensor_groups(const cq_tensor *t) {
    return cq_format_is_coded(t->format) && t->cols ? (t->cols + t->group_size - 1) / t->group_size : 0;
}
CQUANT_DEF size_t cq_panel_count(const cq_tensor *t) { return t->rows / CQ__ROWS + (t->rows % CQ__ROWS != 0); }

/* bytes of a row's scale, and where the zeros of a panel begin */
CQ__INLINE size_t cq__scale_bytes(const cq_tensor *t) { return cq__facts(t->format)->scale; }
CQ__INLINE size_t cq__zeros_at(const cq_tensor *t) { return cq_tensor_groups(t) * CQ__ROWS * cq__scale_bytes(t); }
/* bytes before the blocks of a coded panel */
CQ__INLINE size_t cq__panel_head(const cq_tensor *t) {
    return (cq__zeros_at(t) + (t->asym ? cq_tensor_groups(t) * CQ__ROWS : 0) + 63u) & ~(size_t)63u;
}
CQ__INLINE size_t cq__block_bytes(cq_format format) { return CQ__BLOCK * CQ__ROWS / 8 * cq_format_bits(format); }
CQ__INLINE size_t cq__blocks(const cq_tensor *t) { return (t->cols + CQ__BLOCK - 1) / CQ__BLOCK; }

CQUANT_DEF size_t cq_panel_bytes(const cq_tensor *t) {
    return cq_format_is_coded(t->format)
               ? cq__panel_head(t) + cq__blocks(t) * cq__block_bytes(t->format)
               : (t->cols * CQ__ROWS * (cq_format_bits(t->format) / 8) + 63u) & ~(size_t)63u;
}

CQUANT_DEF cq_status cq_tensor_init(cq_tensor *t, cq_format format, cq_layout layout, size_t rows, size_t cols,
                                    size_t group_size, bool asym, cq_error *err) {
    bool coded = cq_format_is_coded(format), mx = cq_format_is_mx(format);
    size_t elements, padded;
    t->format = format;
    t->layout = layout;
    t->asym = asym;
    t->act_bits = 0;
    t->group_size = 0;
    t->rows = rows;
    t->cols = cols;
    t->bytes = 0;
    t->data = NULL;
    if ((unsigned)format >= CQ_FORMAT_COUNT || (unsigned)layout > CQ_COLUMNS)
        return cq_fail(err, CQ_ERR_ARG, "unknown tensor format or layout");
    if (coded && layout != CQ_PANELS) return cq_fail(err, CQ_ERR_ARG, "formats with codes are stored in panels only");
    if (!coded && (group_size || asym)) return cq_fail(err, CQ_ERR_ARG, "float formats have no groups and no zeros");
    if (asym && !cq_format_is_int(format)) return cq_fail(err, CQ_ERR_ARG, "only integer formats have zero points");
    /* sixteen times the elements in floats bounds every size computed here and in cq_panel_bytes */
    if (!cq__add(rows, CQ__ROWS - 1, &padded) || !cq__add(cols, 2 * CQ__BLOCK, &elements) ||
        !cq__mul(padded, elements, &elements) || elements > SIZE_MAX / 16)
        return cq_fail(err, CQ_ERR_RANGE, "tensor is too large for this machine");
    if (coded) {
        size_t whole = cq__blocks(t) * CQ__BLOCK;
        if (mx && group_size && group_size != CQ__BLOCK)
            return cq_fail_at(err, CQ_ERR_ARG, "a microscaling format has one scale for 32 columns: group_size 32 or 0",
                              NULL, 0, UINT64_MAX, (int64_t)group_size);
        if (group_size % 16)
            return cq_fail_at(err, CQ_ERR_ARG, "group_size must be a multiple of 16, or 0 for one group a row", NULL, 0,
                              UINT64_MAX, (int64_t)group_size);
        if (mx) group_size = CQ__BLOCK;
        else if (group_size == 0 || group_size > whole) group_size = whole;
        if (group_size > 65536) /* 65536 * 255 * 127 < 2^31: the integer sums of a group stay exact */
            return cq_fail_at(err, CQ_ERR_RANGE, "a group may have at most 65536 columns", NULL, 0, UINT64_MAX,
                              (int64_t)group_size);
        t->group_size = (uint32_t)group_size;
    }
    t->bytes = layout == CQ_PANELS ? cq_panel_count(t) * cq_panel_bytes(t) : rows * cols * (cq_format_bits(format) / 8);
    return CQ_OK;
}

/* code of row r < 16, column k, in the blocks of a coded panel */
CQ__INLINE unsigned cq__code(const unsigned char *blocks, cq_format format, size_t r, size_t k) {
    size_t s = (k / 4) & 7, lane = (r / 8) * 32 + (r & 7) * 4 + (k & 3);
    const unsigned char *p = blocks + k / CQ__BLOCK * cq__block_bytes(format) + lane;
    switch (cq_format_bits(format)) {
    case 8: return p[s * 64] ^ (format == CQ_INT8 ? 128u : 0u);
    case 4: return (unsigned)p[(s & 3) * 64] >> (s & 4) & 15u;
    case 2: return (unsigned)p[(s & 1) * 64] >> (s & 6) & 3u;
    case 3: return ((unsigned)p[(s & 1) * 64] >> (s & 6) & 3u) | ((unsigned)p[128] >> s & 1u) << 2;
    default:
        return ((unsigned)p[(s & 3) * 64] >> (s & 4) & 15u) | ((unsigned)p[256 + (s & 1) * 64] >> (s & 6) & 3u) << 4;
    }
}
CQ__INLINE void cq__set_code(unsigned char *blocks, cq_format format, size_t r, size_t k, unsigned code) {
    size_t s = (k / 4) & 7, lane = (r / 8) * 32 + (r & 7) * 4 + (k & 3);
    unsigned char *p = blocks + k / CQ__BLOCK * cq__block_bytes(format) + lane;
    switch (cq_format_bits(format)) { /* the panel was zeroed before */
    case 8: p[s * 64] = (unsigned char)(code ^ (format == CQ_INT8 ? 128u : 0u)); break;
    case 4: p[(s & 3) * 64] |= (unsigned char)(code << (s & 4)); break;
    case 2: p[(s & 1) * 64] |= (unsigned char)(code << (s & 6)); break;
    case 3:
        p[(s & 1) * 64] |= (unsigned char)((code & 3u) << (s & 6));
        p[128] |= (unsigned char)((code >> 2) << s);
        break;
    default:
        p[(s & 3) * 64] |= (unsigned char)((code & 15u) << (s & 4));
        p[256 + (s & 1) * 64] |= (unsigned char)((code >> 4) << (s & 6));
    }
}

CQ__INLINE float cq__load_scale(const unsigned char *p, cq_format format) {
    unsigned bytes = cq__facts(format)->scale;
    return bytes == 2 ? cq_f16_to_f32(cq__u16(p)) : bytes == 1 ? cq_e8m0_to_f32(p[0]) : cq__f32(p);
}
/* the zero of symmetric grids */
CQ__INLINE int32_t cq__middle(cq_format format) {
    return cq_format_is_int(format) ? (int32_t)1 << (cq_format_bits(format) - 1) : 0;
}

CQUANT_DEF uint8_t cq_tensor_code(const cq_tensor *t, size_t row, size_t col) {
    const unsigned char *panel = t->data + row / CQ__ROWS * cq_panel_bytes(t);
    return (uint8_t)cq__code(panel + cq__panel_head(t), t->format, row % CQ__ROWS, col);
}
CQUANT_DEF cq_grid cq_tensor_grid(const cq_tensor *t, size_t row, size_t group) {
    const unsigned char *panel = t->data + row / CQ__ROWS * cq_panel_bytes(t);
    size_t i = group * CQ__ROWS + row % CQ__ROWS;
    cq_grid g;
    g.format = t->format;
    g.scale = cq__load_scale(panel + cq__scale_bytes(t) * i, t->format);
    g.zero = t->asym ? (int32_t)panel[cq__zeros_at(t) + i] : cq__middle(t->format);
    return g;
}

CQUANT_DEF void cq_tensor_span(const cq_tensor *t, size_t row, size_t col, size_t n, float *out) {
    size_t size = cq_format_bits(t->format) / 8;
    if (t->layout == CQ_ROWS) {
        const unsigned char *p = t->data + (row * t->cols + col) * size;
        for (size_t i = 0; i < n; i++) out[i] = cq__load(p + i * size, t->format);
        return;
    }
    if (t->layout == CQ_COLUMNS) {
        const unsigned char *p = t->data + (col * t->rows + row) * size;
        for (size_t i = 0; i < n; i++) out[i] = cq__load(p + i * t->rows * size, t->format);
        return;
    }
    const unsigned char *panel = t->data + row / CQ__ROWS * cq_panel_bytes(t);
    if (!cq_format_is_coded(t->format)) {
        const unsigned char *p = panel + (col * CQ__ROWS + row % CQ__ROWS) * size;
        for (size_t i = 0; i < n; i++) out[i] = cq__load(p + i * CQ__ROWS * size, t->format);
        return;
    }
    const unsigned char *blocks = panel + cq__panel_head(t);
    size_t i = 0;
    while (i < n) { /* group by group */
        cq_grid g = cq_tensor_grid(t, row, (col + i) / t->group_size);
        size_t end = cq__min(n, ((col + i) / t->group_size + 1) * t->group_size - col);
        for (; i < end; i++)
            out[i] = cq_grid_value(g, (uint8_t)cq__code(blocks, t->format, row % CQ__ROWS, col + i));
    }
}
CQUANT_DEF void cq_tensor_row(const cq_tensor *t, size_t row, float *out) { cq_tensor_span(t, row, 0, t->cols, out); }

/* ===================================================================================================================
   [LESSON 6 grids]
   ================================================================================================================== */
CQ__INLINE float cq__round_even(float x) { return (x + CQ__ROUND) - CQ__ROUND; } /* |x| < 2^22 */

/* the last code of an integer format */
CQ__INLINE int32_t cq__top(cq_format format) { return ((int32_t)1 << cq_format_bits(format)) - 1; }

/* The least E8M0 scale that is not below v > 0, or the greatest that is not above it. */
CQ__INLINE float cq__power_of_two(float v, bool up) {
    uint32_t u = cq__bits(v), e = u >> 23;
    if (up && (u & 0x7fffffu) > (e ? 0u : 0x400000u)) e++; /* code 0, 2^-127, is a subnormal float */
    return cq_e8m0_to_f32((uint8_t)(e < 254 ? e : 254));
}
CQUANT_DEF cq_grid cq_grid_make(float scale, float zero, cq_format format) {
    cq_grid g;
    unsigned stored = cq__facts(format)->scale;
    float top = (float)cq__top(format);
    g.format = format;
    g.scale = scale > 0.0f ? (stored == 1 ? cq__power_of_two(scale, true) : scale) : 0.0f;
    if (stored == 2) g.scale = cq__round_half(g.scale < 65504.0f ? g.scale : 65504.0f);
    else if (!(g.scale < CQ__INFINITY)) g.scale = FLT_MAX;
    if (stored == 1 && !(scale > 0.0f)) g.scale = cq_e8m0_to_f32(0); /* E8M0 has no 0; codes of 0 do as well */
    zero = zero > 0.0f ? (zero < top ? zero : top) : 0.0f;
    g.zero = cq_format_is_int(format) ? (int32_t)cq__round_even(zero) : 0;
    return g;
}
CQUANT_DEF uint8_t cq_grid_code(cq_grid g, float w) {
    if (!(g.scale > 0.0f)) return (uint8_t)g.zero;
    if (!cq_format_is_int(g.format)) {
        unsigned mini = cq__facts(g.format)->mini;
        uint8_t code = cq_f32_to_mini((cq_mini)mini, w / g.scale);
        return code == 1u << (cq__minis[mini].bits - 1) ? 0 : code; /* -0 is no weight of its own */
    }
    float q = w / g.scale, z = (float)g.zero, top = (float)cq__top(g.format);
    q = q > -z ? (q < top - z ? q : top - z) : -z; /* clamp first: then rounding is in range */
    return (uint8_t)((int32_t)cq__round_even(q) + g.zero);
}
CQUANT_DEF float cq_grid_value(cq_grid g, uint8_t code) {
    unsigned mini = cq__facts(g.format)->mini;
    return (mini < CQ_MINI_COUNT ? cq_mini_to_f32((cq_mini)mini, code) : (float)((int32_t)code - g.zero)) * g.scale;
}

/* Symmetric integer grids use all 2^bits codes: -max .. +max spans 2^bits - 1 steps, so the zero lies half a step off
   the middle and the extreme weight is half a step outside: the convention of the GPTQ file format (scale = max / 7.5 at
   4 bits). */
CQUANT_DEF cq_grid cq_grid_minmax(const float *w, size_t n, cq_format format, bool asym) {
    float lo = 0.0f, hi = 0.0f, m;
    for (size_t i = 0; i < n; i++) {
        lo = w[i] < lo ? w[i] : lo;
        hi = w[i] > hi ? w[i] : hi;
    }
    m = hi > -lo ? hi : -lo;
    if (!cq_format_is_int(format)) {
        cq_grid g = cq_grid_make(m / cq__minis[cq__facts(format)->mini].max, 0.0f, format);
        return g;
    }
    float steps = (float)cq__top(format);
    if (!asym) return cq_grid_make(2.0f * m / steps, (float)cq__middle(format), format);
    cq_grid g = cq_grid_make((hi - lo) / steps, 0.0f, format);
    return g.scale > 0.0f ? cq_grid_make(g.scale, -lo / g.scale, format) : g;
}
CQUANT_DEF cq_grid cq_grid_floor(const float *w, size_t n, cq_format format) {
    float m = 0.0f;
    if (!cq_format_is_mx(format)) return cq_grid_minmax(w, n, format, false);
    for (size_t i = 0; i < n; i++) {
        float a = w[i] < 0.0f ? -w[i] : w[i];
        m = a > m ? a : m;
    }
    cq_grid g = cq_grid_make(0.0f, 0.0f, format);
    float top = cq__power_of_two(cq__minis[cq__facts(format)->mini].max, false); /* its exponent alone */
    if (m > 0.0f) g.scale = cq__power_of_two(m / top, false);
    return g;
}

/* all codes and scales 0 */
static void cq__clear_panel(const cq_tensor *t, unsigned char *panel) {
    size_t head = cq__panel_head(t);
    cq__fill(panel, 0, head); /* the scale of rows past the end: 0, and of E8M0, which has no 0, the least */
    cq__fill(panel + head, t->format == CQ_INT8 ? 0x80 : 0, cq_panel_bytes(t) - head);
}
CQ__INLINE void cq__set_grid(const cq_tensor *t, unsigned char *panel, size_t r, size_t g, cq_grid grid) {
    unsigned char *p = panel + cq__scale_bytes(t) * (g * CQ__ROWS + r);
    if (cq__scale_bytes(t) == 2) cq__put16(p, cq_f32_to_f16(grid.scale));
    else if (cq__scale_bytes(t) == 4) cq__put32(p, cq__bits(grid.scale));
    else p[0] = (unsigned char)(cq__bits(grid.scale) >> 23); /* a power of two; 2^-127 is the subnormal of code 0 */
    if (t->asym) panel[cq__zeros_at(t) + g * CQ__ROWS + r] = (unsigned char)grid.zero;
}

CQUANT_DEF void cq_pack_panel(const cq_tensor *t, void *dst, size_t panel, const uint8_t *codes, size_t ldc,
                              const cq_grid *grids, size_t ldg) {
    size_t groups = cq_tensor_groups(t);
    unsigned char *p = (unsigned char *)dst + panel * cq_panel_bytes(t), *blocks = p + cq__panel_head(t);
    cq__clear_panel(t, p);
    for (size_t r = 0; r < cq__min(CQ__ROWS, t->rows - panel * CQ__ROWS); r++) {
        for (size_t g = 0; g < groups; g++) cq__set_grid(t, p, r, g, grids[r * ldg + g]);
        for (size_t k = 0; k < t->cols; k++) cq__set_code(blocks, t->format, r, k, codes[r * ldc + k]);
    }
}
CQUANT_DEF void cq_pack_panel_float(const cq_tensor *t, void *dst, size_t panel, const float *w, size_t ldw) {
    size_t bytes = cq_panel_bytes(t), size = cq_format_bits(t->format) / 8;
    unsigned char *p = (unsigned char *)dst + panel * bytes;
    cq__fill(p, 0, bytes);
    for (size_t r = 0; r < cq__min(CQ__ROWS, t->rows - panel * CQ__ROWS); r++)
        for (size_t k = 0; k < t->cols; k++) cq__store(p + (k * CQ__ROWS + r) * size, t->format, w[r * ldw + k]);
}

/* n floats, `step` bytes apart; a loop for each format */
static void cq__store_row(unsigned char *p, size_t step, cq_format format, const float *x, size_t n) {
    if (format == CQ_F32)
        for (size_t k = 0; k < n; k++) cq__put32(p + k * step, cq__bits(x[k]));
    else if (format == CQ_F16)
        for (size_t k = 0; k < n; k++) cq__put16(p + k * step, cq_f32_to_f16(x[k]));
    else
        for (size_t k = 0; k < n; k++) { /* finite: see cq_f32_to_bf16 */
            uint32_t u = cq__bits(x[k]);
            cq__put16(p + k * step, (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16));
        }
}
CQUANT_DEF cq_status cq_quantize_rtn(cq_tensor *t, void *dst, const float *w, size_t ldw, cq_error *err) {
    size_t groups = cq_tensor_groups(t), bytes = cq_panel_bytes(t), size = cq_format_bits(t->format) / 8;
    t->data = (const unsigned char *)dst;
    for (size_t r = 0; r < t->rows; r++) {
        uint32_t top = 0; /* the largest exponent: all ones where a number is not finite */
        for (size_t k = 0; k < t->cols; k++) {
            uint32_t e = cq__bits(w[r * ldw + k]) & 0x7f800000u;
            top = e > top ? e : top;
        }
        for (size_t k = 0; top == 0x7f800000u; k++)
            if ((cq__bits(w[r * ldw + k]) & 0x7f800000u) == top)
                return cq_fail_at(err, CQ_ERR_RANGE, "a weight is not finite (row given)", NULL, 0, r, (int64_t)k);
    }
    for (size_t panel = 0; panel < cq_panel_count(t); panel++) {
        unsigned char *p = (unsigned char *)dst + panel * bytes, *blocks = p + cq__panel_head(t);
        const float *rows = w + panel * CQ__ROWS * ldw;
        size_t n = cq__min(CQ__ROWS, t->rows - panel * CQ__ROWS);
        if (t->layout != CQ_PANELS) {
            size_t row = t->layout == CQ_ROWS ? t->cols : 1, col = t->layout == CQ_ROWS ? 1 : t->rows;
            for (size_t r = 0; r < n; r++)
                cq__store_row((unsigned char *)dst + (panel * CQ__ROWS + r) * row * size, col * size, t->format,
                              rows + r * ldw, t->cols);
            continue;
        }
        if (!groups) {
            cq_pack_panel_float(t, dst, panel, rows, ldw);
            continue;
        }
        cq__clear_panel(t, p);
        for (size_t r = 0; r < n; r++)
            for (size_t g = 0; g < groups; g++) {
                size_t begin = g * t->group_size, end = cq__min(begin + t->group_size, t->cols);
                cq_grid grid = cq_grid_minmax(rows + r * ldw + begin, end - begin, t->format, t->asym);
                cq__set_grid(t, p, r, g, grid);
                for (size_t k = begin; k < end; k++)
                    cq__set_code(blocks, t->format, r, k, cq_grid_code(grid, rows[r * ldw + k]));
            }
    }
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 7 products]
   The functions named cq__..._c are the specification. A tier of kernels is a table of such functions; [DISPATCH] below
   chooses one. The public functions further down cut the work into panels and are the same for every tier.
   ================================================================================================================== */
typedef struct cq__kernels {
    const char *name;
    /* c[j * ldc + i] += sum over t < k of a[t * lda + i] * b[t * kb + j * jb], for i < 16 and j < n. Blocks of 32 in t
       are summed apart, in order, and then added. */
    void (*tile_f32)(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb, size_t k,
                     size_t n);
    /* For each of `panels` panels p, cp floats apart in c and ap in a: c[p][j * ldc + i] = the chain over t < k, in
       order, of c = fma(a[p][t * lda + i], b[t * kb + j * jb], c), for i < 16 and j < n. */
    void (*fma_f32)(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b, size_t kb,
                    size_t jb, size_t k, size_t n, size_t panels);
    /* What the factor does for its columns j < n <= 12, in panels pp floats apart: in order, u = p[j] / d, p[j] = -p[j]
       and then p[m] = fma(p[j], b[j * 12 + m], p[m]) for each later column m. Column j + 1 stands before column j in u
       and d: u of panel p at u[p * 16 + (n - 1 - j) * ldu + i], its divisor d[n - 1 - j]. */
    void (*eliminate)(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b, size_t n,
                      size_t panels);
    /* What the solver does for 16 rows at once (cquant_gptq.h says why). grids: scale, zero, least and largest level of
       each, (4, 16); all else (16), but for x of cost16, (n, 16).
       round16: level = the level nearest to v.
       cost16: cost = sum over k < n of weight[k] e^2, e the error of x[k] rounded, with inverse, the reciprocal of the
       scale, in place of a division.
       decide16: x is rounded to level, which takes the place of w; e = w less its value, x = D r, loss += D r^2, r
       being x less its value.
       descend16: level becomes the best one where the gradient of the loss is g and its curvature `diagonal`; change,
       what that adds to e; loss += what it adds to the loss; g += own change. */
    void (*round16)(float *level, const float *v, const float *grids, const cq__steps *steps);
    void (*cost16)(float *cost, const float *x, const float *weight, size_t n, const float *grids, const float *inverse,
                   const cq__steps *steps);
    void (*decide16)(float *x, float *e, float *w, float *loss, float d, const float *grids, const cq__steps *steps);
    void (*descend16)(float *level, float *g, float *e, float *change, float *loss, float diagonal, float own,
                      const float *grids, const cq__steps *steps);
    /* One block (32 columns) of a panel, dequantised to out[32][16]; the tail of the last block is not written. */
    void (*unpack)(float *out, const cq_tensor *t, size_t panel, size_t block);
    /* The panels [panel, panel + panels) times the rows [first, first + n) of int8 activations: out (panels, n, 16),
       scaled but without bias. */
    void (*panels_q8)(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a, size_t first,
                      size_t n);
    /* One row of activations to int8: q and sum, ld_sum apart, cover `stride` (padded) columns. Returns the scale. */
    float (*quantize)(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n, size_t stride);
    float (*dot)(const float *a, const float *b, size_t n);
    /* out[i] = dot(q, k + i * ldk) for i < count: the scores of one query */
    void (*dots)(float *out, const float *q, const float *k, size_t ldk, size_t n, size_t count);
    /* out[d] += p[i] * v[i * ldv + d] for i < count, in order, and d < n: the values they select */
    void (*mix)(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count);
    /* Keys and values of a cache as floats. from_f16: out[i] = the fp16 number at x + 2 i, i < n, little-endian.
       from_int8: out[i * n + d] = q[i * n + d] * scale[i], i < count, d < n. */
    void (*from_f16)(float *out, const unsigned char *x, size_t n);
    void (*from_int8)(float *out, const int8_t *q, const float *scale, size_t n, size_t count);
    /* out[i] = dot * (scale_q * scale[i]), dot = sum over d < n of q[d] k[i * ldk + d], exact, for i < count: scores
       from keys that are kept in int8. q and k within [-127, 127], n <= 65536. */
    void (*dots_q8)(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk, const float *scale,
                    size_t n, size_t count);
    /* Turns the pairs (x[i], y[i]), i < n, by angles of which c and s are cosine and sine. */
    void (*turn)(float *x, float *y, const float *c, const float *s, size_t n);
    float (*sum)(const float *a, size_t n);
    float (*largest)(const float *a, size_t n); /* -infinity when n = 0; of zeros +0 */
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*scale)(float *y, const float *x, const unsigned char *w, float s, size_t n); /* y = (x s) w; w NULL: x s */
    void (*exp_minus)(float *x, float m, size_t n);                                       /* x = exp(x - m) */
    void (*silu_mul)(float *g, const float *u, size_t n);
    /* y[i] += row i of a panel, i < 16, times x, over all blocks that are whole, with the bits of unpack and tile_f32;
       for tensors that cq__has_column. NULL: there is no shorter way. */
    void (*column_f32)(float *y, const cq_tensor *t, size_t panel, const float *x);
} cq__kernels;

static void cq__tile_f32_c(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                           size_t k, size_t n) {
    for (size_t j = 0; j < n; j++)
        for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
            float p[CQ__ROWS];
            for (size_t i = 0; i < CQ__ROWS; i++) p[i] = 0.0f;
            for (size_t t = t0; t < cq__min(t0 + CQ__BLOCK, k); t++) {
                float x = b[t * kb + j * jb];
                for (size_t i = 0; i < CQ__ROWS; i++) p[i] = p[i] + a[t * lda + i] * x;
            }
            for (size_t i = 0; i < CQ__ROWS; i++) c[j * ldc + i] = c[j * ldc + i] + p[i];
        }
}

/* a b + c, rounded once. A product of two floats is exact in double, and so is the error of the sum s = p + c (Knuth's
   TwoSum). When that error is not 0, the sum lies strictly between two doubles; take the one whose last bit is 1
   ("round to odd"). It has more than two bits beyond a float's and is never half-way, so rounding it to float sees on
   which side of every half-way point the exact sum lies. (Boldo, Melquiond: "Emulation of a FMA and correctly rounded
   sums".) */
#if defined(__FP_FAST_FMAF) || defined(__FMA__)
#define CQ__FUSED 1 /* the compiler has an instruction: the same result */
#else
#define CQ__FUSED 0
#endif
CQ__INLINE float cq__fmaf(float a, float b, float c) {
#if CQ__FUSED
    return __builtin_fmaf(a, b, c);
#else
    union {
        double f;
        uint64_t u;
    } s;
    double p = (double)a * (double)b, d = (double)c;
    s.f = p + d;
    double v = s.f - p, error = (p - (s.f - v)) + (d - v);
    if (error != 0.0 && !(s.u & 1) && (s.u >> 52 & 0x7ff) != 0x7ff) s.u += (error > 0.0) == (s.f > 0.0) ? 1u : ~0ull;
    return (float)s.f;
#endif
}
static void cq__fma_f32_c(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                          size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    for (size_t p = 0; p < panels; p++)
        for (size_t j = 0; j < n; j++)
            for (size_t t = 0; t < k; t++)
                for (size_t i = 0; i < CQ__ROWS; i++)
                    c[p * cp + j * ldc + i] =
                        cq__fmaf(a[p * ap + t * lda + i], b[t * kb + j * jb], c[p * cp + j * ldc + i]);
}

/* With the chains of a tier: four columns take that of all before them, and each that of those among the four. */
CQ__INLINE void cq__eliminate_by(void (*fma_f32)(float *, size_t, size_t, const float *, size_t, size_t, const float *,
                                                 size_t, size_t, size_t, size_t, size_t),
                                 float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b, size_t n,
                                 size_t panels) {
    for (size_t j = 0; j < n; j++) {
        float *c = p + j * CQ__ROWS, *row = u + (n - 1 - j) * ldu;
        const size_t four = j / 4 * 4;
        if (j == four) fma_f32(c, pp, CQ__ROWS, p, pp, CQ__ROWS, b + j, 12, 1, j, cq__min(4, n - j), panels);
        fma_f32(c, pp, CQ__ROWS, p + four * CQ__ROWS, pp, CQ__ROWS, b + four * 12 + j, 12, 1, j - four, 1, panels);
        for (size_t i = 0; i < panels; i++, c += pp, row += CQ__ROWS) {
            float minus[CQ__ROWS], ratio[CQ__ROWS]; /* compilers make vectors of that */
            for (size_t m = 0; m < CQ__ROWS; m++) minus[m] = -c[m], ratio[m] = c[m] / d[n - 1 - j];
            for (size_t m = 0; m < CQ__ROWS; m++) c[m] = minus[m];
            for (size_t m = 0; m < CQ__ROWS; m++) row[m] = ratio[m];
        }
    }
}
static void cq__eliminate_c(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b, size_t n,
                            size_t panels) {
    cq__eliminate_by(cq__fma_f32_c, p, pp, u, ldu, d, b, n, panels);
}

static void cq__round16_c(float *level, const float *v, const float *grids, const cq__steps *steps) {
    const float *scale = grids, *lo = grids + 32, *hi = grids + 48;
    for (size_t i = 0; i < 16; i++) {
        float q = v[i] / (scale[i] > 0.0f ? scale[i] : 1.0f);
        q = q > lo[i] ? q : lo[i];
        q = q < hi[i] ? q : hi[i];
        level[i] = cq__step(steps, q);
    }
}
static void cq__cost16_c(float *cost, const float *x, const float *weight, size_t n, const float *grids,
                         const float *inverse, const cq__steps *steps) {
    const float *scale = grids, *lo = grids + 32, *hi = grids + 48;
    for (size_t i = 0; i < 16; i++) cost[i] = 0.0f;
    for (size_t k = 0; k < n; k++, x += 16)
        for (size_t i = 0; i < 16; i++) {
            float q = x[i] * inverse[i], e;
            q = q > lo[i] ? q : lo[i];
            q = q < hi[i] ? q : hi[i];
            e = cq__fmaf(-cq__step(steps, q), scale[i], x[i]);
            cost[i] = cq__fmaf(weight[k] * e, e, cost[i]);
        }
}
static void cq__decide16_c(float *x, float *e, float *w, float *loss, float d, const float *grids,
                           const cq__steps *steps) {
    float level[16];
    cq__round16_c(level, x, grids, steps);
    for (size_t i = 0; i < 16; i++) {
        float value = level[i] * grids[i], r = x[i] - value;
        e[i] = w[i] - value;
        x[i] = r * d;
        w[i] = level[i];
        loss[i] = loss[i] + x[i] * r;
    }
}
static void cq__descend16_c(float *level, float *g, float *e, float *change, float *loss, float diagonal, float own,
                            const float *grids, const cq__steps *steps) {
    float v[16], to[16];
    for (size_t i = 0; i < 16; i++) v[i] = level[i] * grids[i] + g[i] / diagonal; /* where it should be */
    cq__round16_c(to, v, grids, steps);
    for (size_t i = 0; i < 16; i++) {
        change[i] = level[i] * grids[i] - to[i] * grids[i];
        level[i] = to[i];
        e[i] = e[i] + change[i];
        loss[i] = loss[i] + change[i] * (2.0f * g[i] + change[i] * diagonal);
        g[i] = g[i] + own * change[i];
    }
}

static void cq__unpack_c(float *out, const cq_tensor *t, size_t panel, size_t block) {
    size_t k0 = block * CQ__BLOCK, n = cq__min(CQ__BLOCK, t->cols - k0), size = cq_format_bits(t->format) / 8;
    size_t rows = cq__min(CQ__ROWS, t->rows - panel * CQ__ROWS);
    if (t->layout == CQ_ROWS) {
        const unsigned char *p = t->data + (panel * CQ__ROWS * t->cols + k0) * size;
        if (rows < CQ__ROWS)
            for (size_t i = 0; i < CQ__BLOCK * CQ__ROWS; i++) out[i] = 0.0f;
        for (size_t r = 0; r < rows; r++, p += t->cols * size) {
            if (t->format == CQ_F32)
                for (size_t k = 0; k < n; k++) out[k * CQ__ROWS + r] = cq__f32(p + 4 * k);
            else if (t->format == CQ_BF16)
                for (size_t k = 0; k < n; k++) out[k * CQ__ROWS + r] = cq_bf16_to_f32(cq__u16(p + 2 * k));
            else
                for (size_t k = 0; k < n; k++) out[k * CQ__ROWS + r] = cq_f16_to_f32(cq__u16(p + 2 * k));
        }
        return;
    }
    if (t->layout == CQ_COLUMNS) {
        const unsigned char *p = t->data + (k0 * t->rows + panel * CQ__ROWS) * size;
        for (size_t k = 0; k < n; k++, p += t->rows * size)
            for (size_t r = 0; r < CQ__ROWS; r++)
                out[k * CQ__ROWS + r] = r < rows ? cq__load(p + r * size, t->format) : 0.0f;
        return;
    }
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    if (!cq_format_is_coded(t->format)) {
        p += k0 * CQ__ROWS * size;
        for (size_t i = 0; i < n * CQ__ROWS; i++) out[i] = cq__load(p + i * size, t->format);
        return;
    }
    for (size_t r = 0; r < CQ__ROWS; r++)
        for (size_t k = 0; k < n; k++) {
            cq_grid g = cq_tensor_grid(t, panel * CQ__ROWS + r, (k0 + k) / t->group_size);
            out[k * CQ__ROWS + r] =
                cq_grid_value(g, (uint8_t)cq__code(p + cq__panel_head(t), t->format, r, k0 + k));
        }
}

/* a number of a small float as an integer, in units of 2^-q8_bits */
CQ__INLINE int32_t cq__mini_int(const cq__format_facts *f, unsigned code) {
    return (int32_t)(cq_mini_to_f32((cq_mini)f->mini, (uint8_t)code) * cq__exp2i(f->q8_bits));
}
/* Rows of activations lie a multiple of 32 apart, but not of 2048: those would fall on the same lines of an L1 cache. */
CQ__INLINE size_t cq__acts_stride(size_t cols) {
    const size_t stride = (cols + CQ__BLOCK - 1) / CQ__BLOCK * CQ__BLOCK;
    return stride && stride % 2048 == 0 ? stride + 64 : stride;
}
/* scales in a row of activations */
CQ__INLINE size_t cq__acts_groups(const cq_acts *a) {
    return a->group_size ? (a->cols + a->group_size - 1) / a->group_size : 1;
}
static void cq__panel_q8_c(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n) {
    const unsigned char *blocks = t->data + panel * cq_panel_bytes(t) + cq__panel_head(t);
    const cq__format_facts *f = cq__facts(t->format);
    const int8_t *q = a->q + first * a->stride;
    const float *scale = a->scale + first * cq__acts_groups(a);
    size_t groups = cq_tensor_groups(t), end = cq__blocks(t) * CQ__BLOCK, lds = cq__acts_groups(a);
    float unit = cq__exp2i(-(int32_t)f->q8_bits);
    for (size_t j0 = 0; j0 < n; j0 += 4, q += 4 * a->stride, scale += 4 * lds, out += 4 * CQ__ROWS) {
        size_t m = cq__min(4, n - j0); /* columns that share the unpacked codes */
        for (size_t i = 0; i < m * CQ__ROWS; i++) out[i] = 0.0f;
        for (size_t g = 0; g < groups; g++) {
            size_t last = cq__min((g + 1) * t->group_size, end);
            int32_t dot[4 * CQ__ROWS]; /* sums of code * activation over the group */
            int32_t total[4] = {0, 0, 0, 0}; /* sums of the activations over the group: the zero point's share */
            for (size_t i = 0; i < m * CQ__ROWS; i++) dot[i] = 0;
            for (size_t k0 = g * t->group_size; k0 < last; k0 += 8) {
                int16_t code[8 * CQ__ROWS];
                for (size_t k = 0; k < 8; k++)
                    for (size_t r = 0; r < CQ__ROWS; r++) {
                        unsigned c = cq__code(blocks, t->format, r, k0 + k);
                        code[k * CQ__ROWS + r] = (int16_t)(f->mini < CQ_MINI_COUNT ? cq__mini_int(f, c) : (int32_t)c);
                    }
                for (size_t j = 0; j < m; j++)
                    for (size_t k = 0; k < 8; k++) {
                        int32_t x = q[j * a->stride + k0 + k];
                        total[j] += x;
                        for (size_t r = 0; r < CQ__ROWS; r++)
                            dot[j * CQ__ROWS + r] += (int32_t)code[k * CQ__ROWS + r] * x;
                    }
            }
            for (size_t j = 0; j < m; j++)
                for (size_t r = 0; r < CQ__ROWS; r++) {
                    cq_grid grid = cq_tensor_grid(t, panel * CQ__ROWS + r, g);
                    float s = grid.scale * unit;
                    if (a->group_size) s = s * scale[j * lds + g];
                    out[j * CQ__ROWS + r] =
                        out[j * CQ__ROWS + r] + (float)(dot[j * CQ__ROWS + r] - grid.zero * total[j]) * s;
                }
        }
        for (size_t j = 0; j < m && !a->group_size; j++)
            for (size_t r = 0; r < CQ__ROWS; r++) out[j * CQ__ROWS + r] = out[j * CQ__ROWS + r] * scale[j];
    }
}

static void cq__panels_q8_c(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a, size_t first,
                            size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_c(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

static float cq__quantize_to(float top, int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n,
                                size_t stride) {
    float m = 0.0f;
    for (size_t i = 0; i < n; i++) {
        float a = cq__float(cq__bits(x[i]) & 0x7fffffffu);
        m = a > m ? a : m;
    }
    float inverse = m > 0.0f ? top / m : 0.0f;
    if (!(inverse < CQ__INFINITY)) inverse = 0.0f; /* m is denormal: as good as zero */
    for (size_t b = 0; b < stride; b += CQ__BLOCK) {
        int32_t s = 0;
        for (size_t i = b; i < b + CQ__BLOCK; i++) {
            float v = i < n ? x[i] * inverse : 0.0f;
            v = v > -top ? v : -top; /* NaN and infinities in x give some code, never undefined behaviour */
            v = v < top ? v : top;
            q[i] = (int8_t)(int32_t)cq__round_even(v);
            s += q[i];
        }
        sum[b / CQ__BLOCK * ld_sum] = s;
    }
    return inverse > 0.0f ? m / top : 0.0f;
}
static float cq__quantize_c(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n,
                                size_t stride) {
    return cq__quantize_to(127.0f, q, sum, ld_sum, x, n, stride);
}

/* Eight lanes, combined as a tree: what a vector register of 8 floats does, and what any other width can do too. */
CQ__INLINE float cq__tree8(const float *l) {
    return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}
static float cq__dot_c(const float *a, const float *b, size_t n) {
    float l[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < n; i++) l[i & 7] = l[i & 7] + a[i] * b[i];
    return cq__tree8(l);
}
static void cq__dots_c(float *out, const float *q, const float *k, size_t ldk, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = cq__dot_c(q, k + i * ldk, n);
}
static void cq__mix_c(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < n; d++) out[d] = out[d] + p[i] * v[i * ldv + d];
}
static void cq__from_f16_c(float *out, const unsigned char *x, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = cq_f16_to_f32(cq__u16(x + 2 * i));
}
static void cq__from_int8_c(float *out, const int8_t *q, const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < n; d++) out[i * n + d] = (float)q[i * n + d] * scale[i];
}
static void cq__dots_q8_c(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk, const float *scale,
                          size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int32_t dot = 0;
        for (size_t d = 0; d < n; d++) dot += (int32_t)q[d] * k[i * ldk + d];
        out[i] = (float)dot * (scale_q * scale[i]);
    }
}
static void cq__turn_c(float *x, float *y, const float *c, const float *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float a = x[i], b = y[i];
        x[i] = a * c[i] - b * s[i];
        y[i] = b * c[i] + a * s[i];
    }
}
static float cq__sum_c(const float *a, size_t n) {
    float l[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < n; i++) l[i & 7] = l[i & 7] + a[i];
    return cq__tree8(l);
}
static float cq__max_c(const float *a, size_t n) {
    float m = -CQ__INFINITY;
    for (size_t i = 0; i < n; i++) m = a[i] > m ? a[i] : m;
    return m + 0.0f; /* -0 becomes 0: which of the two came first would depend on the number of lanes */
}
static void cq__axpy_c(float *y, float a, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = y[i] + a * x[i];
}
static void cq__scale_c(float *y, const float *x, const unsigned char *w, float s, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = w ? (x[i] * s) * cq__f32(w + 4 * i) : x[i] * s;
}
static void cq__exp_minus_c(float *x, float m, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = cq_expf(x[i] - m);
}
static void cq__silu_mul_c(float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i++) g[i] = (g[i] / (1.0f + cq_expf(-g[i]))) * u[i];
}

static const cq__kernels cq__kernels_c = {
    "scalar", cq__tile_f32_c, cq__fma_f32_c, cq__eliminate_c,
    cq__round16_c,   cq__cost16_c,   cq__decide16_c, cq__descend16_c,
    cq__unpack_c,   cq__panels_q8_c, cq__quantize_c, cq__dot_c,       cq__dots_c,     cq__mix_c,      cq__from_f16_c,
    cq__from_int8_c, cq__dots_q8_c, cq__turn_c,     cq__sum_c,       cq__max_c,      cq__axpy_c,     cq__scale_c,
    cq__exp_minus_c, cq__silu_mul_c, NULL};

CQUANT_DEF void cq_parallel_for(const cq_context *ctx, size_t count, cq_task task, void *arg) {
    if (ctx->parallel.run && count > 1) {
        ctx->parallel.run(ctx->parallel.user, count, task, arg);
        return;
    }
    for (size_t i = 0; i < count; i++) task(arg, i);
}

/* Panels in one task: enough work to be worth a hand-over between threads. Of integers, which are quick, more: few rows
   of activations make a stream of weights, and two threads read it at 83 % of the bandwidth in pieces of 0.3 MB, at 92 %
   in pieces of 1 MB. But eight pieces at least, where there are so many. */
CQ__INLINE size_t cq__panels_per_task(size_t panels, size_t work_per_panel, bool integers) {
    size_t least = integers ? (size_t)1 << 21 : (size_t)1 << 16, most = integers ? (panels + 7) / 8 : panels;
    size_t per = work_per_panel >= least ? 1 : least / (work_per_panel + 1) + 1;
    return per < most ? per : most ? most : 1;
}

typedef struct cq__matmul_job {
    const cq_context *ctx;
    float *y;
    const cq_tensor *w;
    const unsigned char *bias;
    const float *x;
    const cq_acts *acts;
    size_t ldy, ldx, n, per;
    bool add;
} cq__matmul_job;

#define CQ__COLUMNS 64u /* activation rows that share one unpacked block: 64 x 128 bytes of x stay in the L1 cache */

CQ__INLINE bool cq__has_column(const cq__kernels *k, const cq_tensor *t) {
    return k->column_f32 && t->format == CQ_INT4 && t->group_size % CQ__BLOCK == 0;
}
static void cq__matmul_panel(const cq__matmul_job *job, size_t panel) {
    const cq_tensor *w = job->w;
    const cq__kernels *k = job->ctx->k;
    size_t rows = cq__min(CQ__ROWS, w->rows - panel * CQ__ROWS), r0 = panel * CQ__ROWS;
    CQ__ALIGNED float block[CQ__BLOCK * CQ__ROWS];
    float tail[4 * CQ__ROWS];
    const cq_format f32 = CQ_F32;
    static const union {
        uint16_t word;
        unsigned char byte[2];
    } endian = {1};
    bool direct = w->layout == CQ_PANELS && w->format == f32 && endian.byte[0] && ((uintptr_t)w->data & 3u) == 0;
    for (size_t j0 = 0; j0 < job->n; j0 += CQ__COLUMNS) {
        size_t n = cq__min(CQ__COLUMNS, job->n - j0);
        float *y = job->y + j0 * job->ldy + r0;
        if (!job->add)
            for (size_t j = 0; j < n; j++)
                for (size_t r = 0; r < rows; r++) y[j * job->ldy + r] = 0.0f;
        size_t b = 0;
        if (n == 1 && cq__has_column(k, w)) {
            for (size_t r = 0; r < CQ__ROWS; r++) tail[r] = r < rows ? y[r] : 0.0f;
            k->column_f32(tail, w, panel, job->x + j0 * job->ldx);
            for (size_t r = 0; r < rows; r++) y[r] = tail[r];
            b = w->cols / CQ__BLOCK;
        }
        for (; b < cq__blocks(w); b++) {
            size_t k0 = b * CQ__BLOCK, depth = cq__min(CQ__BLOCK, w->cols - k0);
            const float *a = block, *x = job->x + j0 * job->ldx + k0;
            if (direct) a = (const float *)(const void *)(w->data + panel * cq_panel_bytes(w)) + k0 * CQ__ROWS;
            else k->unpack(block, w, panel, b);
            if (rows == CQ__ROWS) {
                k->tile_f32(y, job->ldy, a, CQ__ROWS, x, 1, job->ldx, depth, n);
                continue;
            }
            for (size_t j = 0; j < n; j += 4) { /* the last panel: through a tile, so that nothing beyond is touched */
                size_t m = cq__min(4, n - j);
                for (size_t i = 0; i < m; i++)
                    for (size_t r = 0; r < CQ__ROWS; r++)
                        tail[i * CQ__ROWS + r] = r < rows ? y[(j + i) * job->ldy + r] : 0.0f;
                k->tile_f32(tail, CQ__ROWS, a, CQ__ROWS, x + j * job->ldx, 1, job->ldx, depth, m);
                for (size_t i = 0; i < m; i++)
                    for (size_t r = 0; r < rows; r++) y[(j + i) * job->ldy + r] = tail[i * CQ__ROWS + r];
            }
        }
        if (job->bias)
            for (size_t j = 0; j < n; j++)
                for (size_t r = 0; r < rows; r++)
                    y[j * job->ldy + r] = y[j * job->ldy + r] + cq__f32(job->bias + 4 * (r0 + r));
    }
}

/* One call of panels_q8: so many panels times so many rows of activations. Vector machines share what they unpack among
   all of the rows, and a vector of activations between two panels; few rows are a stream of memory, and some machines
   read several of them faster than one. The smallest have little stack. */
#define CQ__FEW_COLUMNS 4u
#if CQ__X86
#define CQ__Q8_PANELS 2u
#define CQ__Q8_COLUMNS 64u
#define CQ__STREAMS 4u /* panels, where there are few columns */
#else
#define CQ__Q8_PANELS 1u
#define CQ__Q8_COLUMNS 16u
#define CQ__STREAMS 1u
#endif
CQ__INLINE size_t cq__q8_panels(size_t n) { return n <= CQ__FEW_COLUMNS ? CQ__STREAMS : CQ__Q8_PANELS; }
static void cq__matmul_q8_panels(const cq__matmul_job *job, size_t panel, size_t panels) {
    CQ__ALIGNED float out[CQ__Q8_PANELS * CQ__Q8_COLUMNS * CQ__ROWS];
    for (size_t j0 = 0; j0 < job->n; j0 += CQ__Q8_COLUMNS) {
        const size_t n = cq__min(CQ__Q8_COLUMNS, job->n - j0);
        job->ctx->k->panels_q8(out, job->w, panel, panels, job->acts, j0, n);
        for (size_t j = 0; j < n; j++) /* side by side: what a column has of the panels */
            for (size_t p = 0; p < panels; p++) {
                const size_t r0 = (panel + p) * CQ__ROWS, rows = cq__min(CQ__ROWS, job->w->rows - r0);
                const float *v = out + (p * n + j) * CQ__ROWS;
                float *y = job->y + (j0 + j) * job->ldy + r0;
                if (rows == CQ__ROWS && !job->bias && !job->add)
                    for (size_t r = 0; r < CQ__ROWS; r++) y[r] = v[r];
                else
                    for (size_t r = 0; r < rows; r++) {
                        float sum = job->bias ? v[r] + cq__f32(job->bias + 4 * (r0 + r)) : v[r];
                        y[r] = job->add ? y[r] + sum : sum;
                    }
            }
    }
}

static void cq__matmul_task(void *arg, size_t index) {
    const cq__matmul_job *job = (const cq__matmul_job *)arg;
    size_t end = cq__min((index + 1) * job->per, cq_panel_count(job->w));
    const size_t step = job->acts ? cq__q8_panels(job->n) : 1;
    for (size_t panel = index * job->per; panel < end; panel += step) {
        if (job->acts) cq__matmul_q8_panels(job, panel, cq__min(step, end - panel));
        else cq__matmul_panel(job, panel);
    }
}

static void cq__matmul_run(const cq_context *ctx, float *y, size_t ldy, const cq_tensor *w, const unsigned char *bias,
                           const float *x, size_t ldx, const cq_acts *acts, size_t n, bool add) {
    cq__matmul_job job;
    size_t panels = cq_panel_count(w);
    if (!panels || !n) return;
    job.ctx = ctx;
    job.y = y;
    job.ldy = ldy;
    job.w = w;
    job.bias = bias;
    job.x = x;
    job.ldx = ldx;
    job.acts = acts;
    job.n = n;
    job.add = add;
    job.per = cq__panels_per_task(panels, CQ__ROWS * w->cols * n, acts != NULL);
    if (acts) { /* whole calls; a small matrix rather has more tasks */
        const size_t step = job.per > CQ__Q8_PANELS ? cq__q8_panels(n) : CQ__Q8_PANELS;
        job.per = (job.per + step - 1) / step * step;
    }
    cq_parallel_for(ctx, (panels + job.per - 1) / job.per, cq__matmul_task, &job);
}

CQUANT_DEF void cq_matmul(const cq_context *ctx, float *y, size_t ldy, const cq_tensor *w, const unsigned char *bias,
                          const float *x, size_t ldx, size_t n, bool add) {
    cq__matmul_run(ctx, y, ldy, w, bias, x, ldx, NULL, n, add);
}
CQUANT_DEF void cq_matmul_q8(const cq_context *ctx, float *y, size_t ldy, const cq_tensor *w,
                             const unsigned char *bias, const cq_acts *a, size_t n, bool add) {
    CQUANT_ASSERT(cq_format_has_q8(w->format) && a->cols == w->cols && n <= a->n);
    CQUANT_ASSERT(!a->group_size || a->group_size == w->group_size);
    cq__matmul_run(ctx, y, ldy, w, bias, NULL, 0, a, n, add);
}

CQUANT_DEF void cq_acts_alloc_groups(cq_acts *a, cq_arena *arena, size_t n, size_t cols, size_t group_size) {
    size_t most = 0, total = 0, scales = 0;
    CQUANT_ASSERT(group_size % CQ__BLOCK == 0);
    a->n = n;
    a->cols = cols;
    a->ld_sum = n;
    a->group_size = group_size;
    /* fewer columns, in another use, may need up to 64 more */
    if (!cq__add(cols, CQ__BLOCK + 64, &most) || !cq__mul(n, most / CQ__BLOCK * CQ__BLOCK, &total) ||
        !cq__mul(n, cq__acts_groups(a), &scales))
        arena->failed = true;
    a->stride = arena->failed ? 0 : cq__acts_stride(cols);
    a->bits = 8;
    a->q = (int8_t *)cq_alloc(arena, total, 1);
    a->sum = (int32_t *)cq_alloc(arena, total / CQ__BLOCK, sizeof(int32_t));
    a->scale = (float *)cq_alloc(arena, scales, sizeof(float));
}
CQUANT_DEF void cq_acts_alloc(cq_acts *a, cq_arena *arena, size_t n, size_t cols) {
    cq_acts_alloc_groups(a, arena, n, cols, 0);
}

typedef struct cq__acts_job {
    const cq_context *ctx;
    cq_acts *a;
    const float *x;
    size_t ldx;
} cq__acts_job;
static void cq__acts_row(const cq_context *ctx, cq_acts *a, const float *x, size_t j) {
    int8_t *q = a->q + j * a->stride;
    int32_t *sum = a->sum + j;
    size_t groups = cq__acts_groups(a), end = (a->cols + CQ__BLOCK - 1) / CQ__BLOCK * CQ__BLOCK;
    size_t width = a->group_size ? a->group_size : end;
    float *scale = a->scale + j * groups, top = (float)((1 << (a->bits - 1)) - 1);
    for (size_t g = 0; g < groups; g++, q += width, x += width, sum += width / CQ__BLOCK * a->ld_sum) {
        size_t n = cq__min(width, a->cols - g * width), padded = cq__min(width, end - g * width);
        scale[g] = a->bits < 8 ? cq__quantize_to(top, q, sum, a->ld_sum, x, n, padded)
                               : ctx->k->quantize(q, sum, a->ld_sum, x, n, padded);
    }
}
static void cq__acts_task(void *arg, size_t j) {
    const cq__acts_job *job = (const cq__acts_job *)arg;
    cq__acts_row(job->ctx, job->a, job->x + j * job->ldx, j);
}
/* cols may be smaller than what the buffers were made for: rows are then laid out for cols */
static void cq__acts_shape(cq_acts *a, size_t cols) {
    a->cols = cols;
    a->stride = cq__acts_stride(cols);
}
CQUANT_DEF void cq_quantize_acts(const cq_context *ctx, cq_acts *a, const float *x, size_t ldx, size_t n, size_t cols) {
    cq__acts_job job;
    cq__acts_shape(a, cols);
    job.ctx = ctx;
    job.a = a;
    job.x = x;
    job.ldx = ldx;
    cq_parallel_for(ctx, n, cq__acts_task, &job);
}

/* The products of the solver: C += A^T B, C (m, n), A (depth, n), B (depth, m). What the kernels read is packed, so that
   it lies side by side in memory whatever the matrix looked like: A in panels of 16 columns, [panel][t][16], which are
   loaded as vectors; B in strips of 12, [strip][t][12], of which each number is broadcast (12: the columns of a tile of
   AVX-512, two tiles of AVX2, three of others). C is cut into pieces of 384 columns of A and 192 of B, each a task: a
   strip of B stays in the L1 cache while the panels of A, which stay in L2, pass by. What that costs is the way of B,
   which is why A's side is the longer one, and of C from memory and back, which is made as seldom as a strip in L1
   allows: once for 384 t.
   cq_syrk and the factor: m = n and C is symmetric, so that only C[j][i] with i <= j is needed. */
#define CQ__PACK_STRIP 12u
#if defined(__GNUC__) || defined(__clang__)
#define CQ__PREFETCH(p) __builtin_prefetch(p)
#else
#define CQ__PREFETCH(p) ((void)(p))
#endif
#define CQ__PACK_DEPTH 384u /* rows that are packed at a time: a strip of them is 18 KB */
#define CQ__SQUARE 192u     /* 16 strips */
#define CQ__WIDE 384u       /* 24 panels */
typedef struct cq__square_job {
    const cq_context *ctx;
    float *c;                   /* (m, ldc) */
    const float *a, *edge, *b;  /* panel p, t: a + p a_stride + t lda; the last one, if it has less than 16 columns */
    size_t ldc, m, n, a_stride, lda, b_stride, depth; /* is `edge`, (depth, 16); strip s: b + s b_stride */
    bool lower;                 /* only C[j][i], i <= j (others are overwritten with anything) */
    bool mirror;                /* in the end, C[i][j] = C[j][i] */
    const float *x;             /* what is to be packed: (rows, ldx), each row times its factor; those of factor 0 */
    const float *factor;        /* are left out. (rows); NULL: all 1 */
    float *panels, *strips;     /* where to; strips NULL: panels alone */
    const float *y;             /* cq_gemm: (m, ldy), to be turned into strips, at turned */
    float *turned;
    size_t ldx, ldy, rows, cols;
} cq__square_job;

/* As fma_f32 for one panel of which `lanes` < 16 exist: through a tile, so that nothing beyond is touched. */
static void cq__fma_edge(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lanes, const float *b,
                         size_t k, size_t n) {
    float tile[CQ__PACK_STRIP * CQ__ROWS];
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < CQ__ROWS; i++) tile[j * CQ__ROWS + i] = i < lanes ? c[j * ldc + i] : 0.0f;
    ctx->k->fma_f32(tile, 0, CQ__ROWS, a, 0, CQ__ROWS, b, CQ__PACK_STRIP, 1, k, n, 1);
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < lanes; i++) c[j * ldc + i] = tile[j * CQ__ROWS + i];
}
/* The tasks go down a column, so that its panels are in L2 already; where C is symmetric, from the diagonal. */
static void cq__square_task(void *arg, size_t index) {
    const cq__square_job *job = (const cq__square_job *)arg;
    const size_t down = (job->m + CQ__SQUARE - 1) / CQ__SQUARE;
    size_t row, col = 0, above = 0; /* squares of this column that are left out */
    for (row = index; row >= down - above; col++, above += job->lower ? CQ__WIDE / CQ__SQUARE : 0) row -= down - above;
    row += above;
    const size_t j0 = row * CQ__SQUARE, j_end = cq__min(j0 + CQ__SQUARE, job->m);
    const size_t i0 = col * CQ__WIDE, i_end = cq__min(i0 + CQ__WIDE, job->lower ? j_end : job->n);
    for (size_t j = j0; j < j_end; j += CQ__PACK_STRIP) {
        const size_t n = cq__min(CQ__PACK_STRIP, j_end - j);
        const size_t diagonal = (j + n + 31) / 32 * 32; /* whole pairs of panels */
        const size_t end = job->lower ? cq__min(diagonal, i_end) : i_end, panels = (end - i0) / CQ__ROWS;
        const float *b = job->b + j / CQ__PACK_STRIP * job->b_stride;
        float *c = job->c + j * job->ldc + i0;
        if (job->mirror) { /* where a part of this piece will be written turned: far apart, so it is asked for now */
            const size_t share = CQ__WIDE / CQ__SQUARE, i = i0 + (j - j0) * share;
            for (size_t t = i; t < cq__min(i + CQ__PACK_STRIP * share, i_end); t++)
                for (size_t u = j0; u < j_end; u += CQ__ROWS) CQ__PREFETCH(job->c + t * job->ldc + u);
        }
        job->ctx->k->fma_f32(c, CQ__ROWS, job->ldc, job->a + i0 / CQ__ROWS * job->a_stride, job->a_stride, job->lda, b,
                             CQ__PACK_STRIP, 1, job->depth, n, panels);
        if (end % CQ__ROWS)
            cq__fma_edge(job->ctx, c + panels * CQ__ROWS, job->ldc, job->edge, end % CQ__ROWS, b, job->depth, n);
    }
    if (!job->mirror) return;
    for (size_t i1 = i0; i1 < i_end; i1 += CQ__ROWS) /* through a small square: whole cache lines */
        for (size_t j1 = i1 > j0 ? i1 : j0; j1 < j_end; j1 += CQ__ROWS) {
            float turn[CQ__ROWS * CQ__ROWS];
            size_t ni = cq__min(CQ__ROWS, i_end - i1), nj = cq__min(CQ__ROWS, j_end - j1);
            for (size_t j = 0; j < nj; j++)
                for (size_t i = 0; i < ni; i++) turn[i * CQ__ROWS + j] = job->c[(j1 + j) * job->ldc + i1 + i];
            for (size_t i = 0; i < ni; i++)
                for (size_t j = i1 == j1 ? i : 0; j < nj; j++)
                    job->c[(i1 + i) * job->ldc + j1 + j] = turn[i * CQ__ROWS + j];
        }
}
static void cq__square_run(cq__square_job *job) {
    const size_t down = (job->m + CQ__SQUARE - 1) / CQ__SQUARE, across = (job->n + CQ__WIDE - 1) / CQ__WIDE;
    size_t left_out = 0;
    for (size_t col = 0; job->lower && col < across; col++) left_out += col * (CQ__WIDE / CQ__SQUARE);
    cq_parallel_for(job->ctx, across * down - left_out, cq__square_task, job);
}
/* 16 rows a task, 48 columns of them at a time: three panels, four strips */
#define CQ__PACK_ROWS 16u
#define CQ__PACK_COLS 48u
static void cq__pack_task(void *arg, size_t index) {
    const cq__square_job *job = (const cq__square_job *)arg;
    const size_t first = index * CQ__PACK_ROWS, last = cq__min(first + CQ__PACK_ROWS, job->rows), n = job->cols;
    size_t begin = 0;
    for (size_t t = 0; t < first; t++) begin += !job->factor || job->factor[t] != 0.0f;
    for (size_t c0 = 0; c0 < n; c0 += CQ__PACK_COLS) {
        const size_t cols = cq__min(CQ__PACK_COLS, n - c0);
        float *panels = job->panels + c0 / CQ__ROWS * job->a_stride + begin * CQ__ROWS;
        float *strips = job->strips ? job->strips + c0 / CQ__PACK_STRIP * job->b_stride + begin * CQ__PACK_STRIP : NULL;
        for (size_t t = first; t < last; t++) {
            const float *x = job->x + t * job->ldx + c0, s = job->factor ? job->factor[t] : 1.0f;
            float v[CQ__PACK_COLS];
            if (s == 0.0f) continue;
            if (cols == CQ__PACK_COLS)
                for (size_t i = 0; i < CQ__PACK_COLS; i++) v[i] = x[i] * s;
            else
                for (size_t i = 0; i < CQ__PACK_COLS; i++) v[i] = i < cols ? x[i] * s : 0.0f;
            for (size_t i = 0; i < cols; i += CQ__ROWS)
                for (size_t j = 0; j < CQ__ROWS; j++) panels[i / CQ__ROWS * job->a_stride + j] = v[i + j];
            panels += CQ__ROWS;
            if (!strips) continue;
            for (size_t i = 0; i < cols; i += CQ__PACK_STRIP)
                for (size_t j = 0; j < CQ__PACK_STRIP; j++) strips[i / CQ__PACK_STRIP * job->b_stride + j] = v[i + j];
            strips += CQ__PACK_STRIP;
        }
    }
}
static size_t cq__panels_size(size_t cols) { return (cols + CQ__ROWS - 1) / CQ__ROWS * CQ__ROWS; } /* a row, in floats */
static size_t cq__strips_size(size_t cols) { return (cols + CQ__PACK_STRIP - 1) / CQ__PACK_STRIP * CQ__PACK_STRIP; }
CQUANT_DEF size_t cq_syrk_scratch(size_t cols) {
    size_t row, n; /* the factors, panels, strips */
    if (cols > SIZE_MAX / 4) return SIZE_MAX;
    row = cq__panels_size(cols) + cq__strips_size(cols) + 1;
    return cq__mul(row, CQ__PACK_DEPTH, &n) ? n : SIZE_MAX;
}
/* C += X^T X from scratch; the caller sets x, ldx and depth, the rows that are packed already. */
static void cq__square_begin(cq__square_job *job, const cq_context *ctx, float *c, size_t ldc, size_t cols,
                             float *scratch) {
    job->ctx = ctx;
    job->c = c;
    job->ldc = ldc;
    job->m = job->n = job->cols = cols;
    job->lda = CQ__ROWS;
    job->a_stride = CQ__PACK_DEPTH * CQ__ROWS;
    job->b_stride = CQ__PACK_DEPTH * CQ__PACK_STRIP;
    job->a = scratch + CQ__PACK_DEPTH;
    job->edge = job->a + cols / CQ__ROWS * job->a_stride;
    job->b = job->a + cq__panels_size(cols) * CQ__PACK_DEPTH;
    job->lower = true;
    job->mirror = false;
    job->depth = 0;
}
/* Packs rows of x behind the job->depth that are there, until there are enough or all n are seen. Returns how many it
   has seen: those of weight 0 are not packed. */
static size_t cq__square_pack(cq__square_job *job, const float *x, size_t ldx, size_t n, const float *weight,
                              float *scratch) {
    job->panels = scratch + CQ__PACK_DEPTH + job->depth * CQ__ROWS;
    job->strips = scratch + (cq__panels_size(job->n) + 1) * CQ__PACK_DEPTH + job->depth * CQ__PACK_STRIP;
    job->factor = weight ? scratch : NULL;
    job->x = x;
    job->ldx = ldx;
    for (job->rows = 0; job->rows < n && job->rows < CQ__PACK_DEPTH && job->depth < CQ__PACK_DEPTH; job->rows++) {
        if (weight) scratch[job->rows] = cq_sqrtf(weight[job->rows]);
        job->depth += !weight || scratch[job->rows] != 0.0f;
    }
    cq_parallel_for(job->ctx, (job->rows + CQ__PACK_ROWS - 1) / CQ__PACK_ROWS, cq__pack_task, job);
    return job->rows;
}
CQUANT_DEF void cq_syrk(const cq_context *ctx, float *c, size_t ldc, const float *x, size_t ldx, size_t n,
                        const float *weight, size_t cols, float *scratch) {
    cq__square_job job;
    cq__square_begin(&job, ctx, c, ldc, cols, scratch);
    for (size_t t = 0; t < n;) {
        job.depth = 0;
        t += cq__square_pack(&job, x + t * ldx, ldx, n - t, weight ? weight + t : NULL, scratch);
        job.mirror = t == n;
        cq__square_run(&job);
    }
}

/* cq_gemm: B takes the place of A above, and A, turned, that of B. With few rows in A, packing B would cost as much as
   the product: only what has less than 16 columns is packed then. */
#define CQ__GEMM_FEW 64u
static size_t cq__gemm_cols(size_t m, size_t n) { /* of B, that are packed */
    return m >= CQ__GEMM_FEW ? cq__panels_size(n) : n % CQ__ROWS ? CQ__ROWS : 0;
}
CQUANT_DEF size_t cq_gemm_scratch(size_t m, size_t k, size_t n) {
    size_t row;
    if (m > SIZE_MAX / 4 || n > SIZE_MAX / 4) return SIZE_MAX;
    row = cq__strips_size(m) + cq__gemm_cols(m, n);
    return cq__mul(row, cq__min(k, CQ__PACK_DEPTH), &n) ? n : SIZE_MAX;
}
static void cq__gemm_pack(void *arg, size_t index) { /* a strip of A, or 16 rows of B */
    const cq__square_job *job = (const cq__square_job *)arg;
    const size_t strips = cq__strips_size(job->m) / CQ__PACK_STRIP;
    const size_t rows = cq__min(CQ__PACK_STRIP, job->m - index * CQ__PACK_STRIP);
    if (index >= strips) {
        cq__pack_task(arg, index - strips);
        return;
    }
    const float *y = job->y + index * CQ__PACK_STRIP * job->ldy, *y4 = y + 4 * job->ldy, *y8 = y4 + 4 * job->ldy;
    float *out = job->turned + index * job->b_stride;
    if (rows < CQ__PACK_STRIP) {
        for (size_t t = 0; t < job->depth; t++)
            for (size_t j = 0; j < CQ__PACK_STRIP; j++)
                out[t * CQ__PACK_STRIP + j] = j < rows ? y[j * job->ldy + t] : 0.0f;
        return;
    }
    for (size_t t = 0; t < job->depth; t++, out += CQ__PACK_STRIP)
        for (size_t j = 0; j < 4; j++) {
            out[j] = y[j * job->ldy + t];
            out[4 + j] = y4[j * job->ldy + t];
            out[8 + j] = y8[j * job->ldy + t];
        }
}
CQUANT_DEF void cq_gemm(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, const float *b,
                        size_t ldb, size_t m, size_t k, size_t n, float *scratch) {
    const size_t depth = cq__min(k, CQ__PACK_DEPTH);
    cq__square_job job;
    job.ctx = ctx;
    job.c = c;
    job.ldc = ldc;
    job.m = m;
    job.n = n;
    job.lower = job.mirror = false;
    job.turned = scratch;
    job.b = scratch;
    job.b_stride = depth * CQ__PACK_STRIP;
    job.panels = scratch + depth * cq__strips_size(m);
    job.strips = NULL;
    job.factor = NULL;
    job.ldx = ldb;
    job.ldy = lda;
    for (size_t t = 0; t < k && m > 0; t += job.depth) {
        const size_t whole = n / CQ__ROWS * CQ__ROWS;
        job.depth = job.rows = cq__min(k - t, depth);
        job.y = a + t;
        job.x = b + t * ldb;
        if (m >= CQ__GEMM_FEW) {
            job.a = job.panels;
            job.lda = CQ__ROWS;
            job.a_stride = depth * CQ__ROWS;
            job.edge = job.panels + whole * depth;
            job.cols = n;
        } else {
            job.a = job.x;
            job.lda = ldb;
            job.a_stride = CQ__ROWS;
            job.edge = job.panels;
            job.x += whole;
            job.cols = n - whole;
        }
        const size_t rows = job.cols ? (job.rows + CQ__PACK_ROWS - 1) / CQ__PACK_ROWS : 0; /* tasks of them */
        cq_parallel_for(ctx, cq__strips_size(m) / CQ__PACK_STRIP + rows, cq__gemm_pack, &job);
        cq__square_run(&job);
    }
}

CQUANT_DEF float cq_dot(const cq_context *ctx, const float *a, const float *b, size_t n) {
    return ctx->k->dot(a, b, n);
}
CQUANT_DEF float cq_sum(const cq_context *ctx, const float *a, size_t n) { return ctx->k->sum(a, n); }
CQUANT_DEF void cq_axpy(const cq_context *ctx, float *y, float a, const float *x, size_t n) {
    ctx->k->axpy(y, a, x, n);
}
CQUANT_DEF void cq_rmsnorm(const cq_context *ctx, float *y, const float *x, const unsigned char *weight, size_t n,
                           float eps) {
    float mean = ctx->k->dot(x, x, n) / (float)n;
    ctx->k->scale(y, x, weight, 1.0f / cq_sqrtf(mean + eps), n);
}
CQUANT_DEF void cq_silu_mul(const cq_context *ctx, float *g, const float *u, size_t n) { ctx->k->silu_mul(g, u, n); }
CQUANT_DEF bool cq_softmax(const cq_context *ctx, float *x, size_t n) {
    float m = ctx->k->largest(x, n);
    if (!(m > -CQ__INFINITY)) {
        for (size_t i = 0; i < n; i++) x[i] = 0.0f;
        return false;
    }
    ctx->k->exp_minus(x, m, n);
    ctx->k->scale(x, x, NULL, 1.0f / ctx->k->sum(x, n), n);
    return true;
}

/* ###################################################################################################################
   [V4]  the float kernels, once for every machine with registers of 128 bits
   Written with the vector types of gcc and clang: a cq__f4 is four floats; +, -, *, / work lane by lane, as plain C
   would; a comparison gives lanes of 0 or -1; a cast keeps the bits; << and >> shift each lane. Element i in memory is
   element i of the vector whatever the byte order. What EXACTNESS calls eight lanes are two vectors:

       lane   0 1 2 3 | 4 5 6 7      s = lo + hi = (0+4, 1+5, 2+6, 3+7)      (s0 + s2) + (s1 + s3) is cq__tree8
              lo        hi

   and everything else (rows of a panel, elements of a vector) has no order between lanes: the same bits as plain C.
   What bounds them: a multiplication and an addition for four products (no fused ones, see EXACTNESS) in tile_f32, dot,
   dots, mix; memory in the others but exp, about 40 operations for four numbers.

   The machines: x86 with SSE2, aarch64 (either byte order), wasm with simd128, ppc64 with VSX, s390x from z14 (z13 has
   no vectors of floats). Not 32-bit ARM: its NEON takes denormal numbers for 0, and so does Helium unless told
   otherwise; that would be other bits. Not RISC-V: RVV has vectors of a length of its own.
   ################################################################################################################## */
#if !defined(CQUANT_NO_SIMD) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9)) &&                        \
    (defined(__SSE2__) || (defined(__aarch64__) && defined(__ARM_NEON)) || defined(__wasm_simd128__) ||                \
     (defined(__powerpc64__) && defined(__VSX__)) || (defined(__s390x__) && defined(__VX__) && __ARCH__ >= 12))
#define CQ__V4 1
#else
#define CQ__V4 0
#endif
#if CQ__V4
#if defined(__clang__) && defined(__ALTIVEC__) /* comparisons: whatever their type, it is cast */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-altivec-src-compat"
#endif
typedef float cq__f4 __attribute__((vector_size(16)));
typedef int32_t cq__i4 __attribute__((vector_size(16)));
typedef uint32_t cq__u4 __attribute__((vector_size(16)));
typedef int16_t cq__s8 __attribute__((vector_size(16)));
typedef uint16_t cq__h8 __attribute__((vector_size(16)));
typedef int8_t cq__c16 __attribute__((vector_size(16)));
typedef unsigned char cq__b16 __attribute__((vector_size(16)));
/* in memory: at any address that the element may have */
typedef float cq__f4_at __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t cq__i4_at __attribute__((vector_size(16), aligned(4), may_alias));
typedef unsigned char cq__b16_at __attribute__((vector_size(16), aligned(1), may_alias));

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define CQ__BIG_ENDIAN 1
#else
#define CQ__BIG_ENDIAN 0
#endif
#if defined(__clang__) || __GNUC__ >= 12 /* the elements of a, then those of b, by number */
#define CQ__PICK(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CQ__PICK(type, a, b, ...) __builtin_shuffle(a, b, __extension__(type){__VA_ARGS__})
#endif

CQ__INLINE cq__f4 cq__load4(const float *p) { return *(const cq__f4_at *)(const void *)p; }
CQ__INLINE void cq__store4(float *p, cq__f4 v) { *(cq__f4_at *)(void *)p = v; }
CQ__INLINE cq__b16 cq__load16(const void *p) { return *(const cq__b16_at *)p; }
CQ__INLINE cq__f4 cq__all4(float x) {
    cq__f4 v = {x, x, x, x};
    return v;
}
CQ__INLINE cq__u4 cq__all4u(uint32_t x) {
    cq__u4 v = {x, x, x, x};
    return v;
}
CQ__INLINE cq__f4 cq__choose4(cq__i4 mask, cq__f4 a, cq__f4 b) {
    return (cq__f4)((mask & (cq__i4)a) | (~mask & (cq__i4)b));
}
/* a > b ? a : b and a < b ? a : b as C means them: b where one is NaN */
CQ__INLINE cq__f4 cq__max4(cq__f4 a, cq__f4 b) {
#if CQ__X86
    return (cq__f4)_mm_max_ps((__m128)a, (__m128)b);
#else
    return cq__choose4((cq__i4)(a > b), a, b);
#endif
}
CQ__INLINE cq__f4 cq__min4(cq__f4 a, cq__f4 b) {
#if CQ__X86
    return (cq__f4)_mm_min_ps((__m128)a, (__m128)b);
#else
    return cq__choose4((cq__i4)(a < b), a, b);
#endif
}
CQ__INLINE float cq__tree8_v4(cq__f4 lo, cq__f4 hi) {
    cq__f4 s = lo + hi;
    return (s[0] + s[2]) + (s[1] + s[3]);
}
/* rows a, b, c, d of a square become its columns */
CQ__INLINE void cq__transpose4(cq__f4 *a, cq__f4 *b, cq__f4 *c, cq__f4 *d) {
    cq__f4 ab0 = CQ__PICK(cq__i4, *a, *b, 0, 4, 1, 5), ab2 = CQ__PICK(cq__i4, *a, *b, 2, 6, 3, 7);
    cq__f4 cd0 = CQ__PICK(cq__i4, *c, *d, 0, 4, 1, 5), cd2 = CQ__PICK(cq__i4, *c, *d, 2, 6, 3, 7);
    *a = CQ__PICK(cq__i4, ab0, cd0, 0, 1, 4, 5);
    *b = CQ__PICK(cq__i4, ab0, cd0, 2, 3, 6, 7);
    *c = CQ__PICK(cq__i4, ab2, cd2, 0, 1, 4, 5);
    *d = CQ__PICK(cq__i4, ab2, cd2, 2, 3, 6, 7);
}

/* == cq__tile_f32_c: 16 rows x 2 columns in eight accumulators, a block of 32 at a time */
CQ__UNUSED static void cq__tile2_v4(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                    size_t jb, size_t k) {
    float *d = c + ldc;
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        cq__f4 p0 = cq__all4(0.0f), p1 = p0, p2 = p0, p3 = p0, q0 = p0, q1 = p0, q2 = p0, q3 = p0;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb) {
            cq__f4 x = cq__all4(b[0]), y = cq__all4(b[jb]), v;
            v = cq__load4(a);
            p0 = p0 + v * x;
            q0 = q0 + v * y;
            v = cq__load4(a + 4);
            p1 = p1 + v * x;
            q1 = q1 + v * y;
            v = cq__load4(a + 8);
            p2 = p2 + v * x;
            q2 = q2 + v * y;
            v = cq__load4(a + 12);
            p3 = p3 + v * x;
            q3 = q3 + v * y;
        }
        cq__store4(c, cq__load4(c) + p0);
        cq__store4(c + 4, cq__load4(c + 4) + p1);
        cq__store4(c + 8, cq__load4(c + 8) + p2);
        cq__store4(c + 12, cq__load4(c + 12) + p3);
        cq__store4(d, cq__load4(d) + q0);
        cq__store4(d + 4, cq__load4(d + 4) + q1);
        cq__store4(d + 8, cq__load4(d + 8) + q2);
        cq__store4(d + 12, cq__load4(d + 12) + q3);
    }
}
CQ__UNUSED static void cq__tile1_v4(float *c, const float *a, size_t lda, const float *b, size_t kb, size_t k) {
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        cq__f4 p0 = cq__all4(0.0f), p1 = p0, p2 = p0, p3 = p0;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb) {
            cq__f4 x = cq__all4(*b);
            p0 = p0 + cq__load4(a) * x;
            p1 = p1 + cq__load4(a + 4) * x;
            p2 = p2 + cq__load4(a + 8) * x;
            p3 = p3 + cq__load4(a + 12) * x;
        }
        cq__store4(c, cq__load4(c) + p0);
        cq__store4(c + 4, cq__load4(c + 4) + p1);
        cq__store4(c + 8, cq__load4(c + 8) + p2);
        cq__store4(c + 12, cq__load4(c + 12) + p3);
    }
}
CQ__UNUSED static void cq__tile_f32_v4(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                       size_t jb, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 2 <= n; j += 2) cq__tile2_v4(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
    if (j < n) cq__tile1_v4(c + j * ldc, a, lda, b + j * jb, kb, k);
}

/* == cq__fma_f32_c where there is no instruction for it: two lanes a register, in double. As in cq__fmaf a b is exact,
   s = a b + c is rounded to double, and rounding s once more, to float, may be wrong. Mostly it is known to be right
   without the error of s. Let x be the exact sum.
     - If float had no least and no largest exponent: halfway points between floats are doubles, and rounding keeps
       order, so an s that is not one of them is on the same side of each as x is: both round to the same float. To
       round s, half a unit is added to its bits, and what is below a unit is cut off. Halfway, and only there, nothing
       is left to be cut: that is the test.
     - The least exponent: let a and b be 0, or 2^-51 <= |.| < 2^60. Then their products are multiples of 2^-149, as
       floats are, and so are the sums. Those below 2^-126 have 24 bits or less: x = s, and nothing is cut.
     - The largest: when |c| <= 2^126 at first, it stays below 2^127 for 32 steps.
   Steps of other numbers, and those where some s is halfway (with random bits one in 30 million steps of 16 rows; with
   weights that were bf16 one in some hundred), go the way of cq__fmaf. Between steps c stays a double of 24 bits.
   Speed: six instructions for two lanes, 48 of the 80 that a step of 16 rows has. */
#define CQ__CHAINS_V4 (!CQ__FUSED && (CQ__X86 || CQ__WASM))
#if CQ__CHAINS_V4
#define CQ__CHAIN 32u /* steps at a time */
typedef double cq__d2 __attribute__((vector_size(16)));
typedef uint64_t cq__q2 __attribute__((vector_size(16)));

CQ__INLINE cq__d2 cq__all2(double x) {
    cq__d2 v = {x, x};
    return v;
}
CQ__INLINE cq__q2 cq__all2u(uint64_t x) {
    cq__q2 v = {x, x};
    return v;
}
#if CQ__X86
CQ__INLINE cq__d2 cq__double_lo(cq__f4 v) { return (cq__d2)_mm_cvtps_pd((__m128)v); }
CQ__INLINE cq__d2 cq__double_hi(cq__f4 v) { return (cq__d2)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v)); }
CQ__INLINE cq__f4 cq__single4(cq__d2 lo, cq__d2 hi) {
    return (cq__f4)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)lo), _mm_cvtpd_ps((__m128d)hi));
}
CQ__INLINE uint32_t cq__signs4(cq__i4 v) { return (uint32_t)_mm_movemask_ps((__m128)v); } /* a bit for each lane */
#else
CQ__INLINE cq__d2 cq__double_lo(cq__f4 v) { return (cq__d2)wasm_f64x2_promote_low_f32x4((v128_t)v); }
CQ__INLINE cq__d2 cq__double_hi(cq__f4 v) { return cq__double_lo(CQ__PICK(cq__i4, v, v, 2, 3, 2, 3)); }
CQ__INLINE cq__f4 cq__single4(cq__d2 lo, cq__d2 hi) {
    cq__f4 a = (cq__f4)wasm_f32x4_demote_f64x2_zero((v128_t)lo), b = (cq__f4)wasm_f32x4_demote_f64x2_zero((v128_t)hi);
    return CQ__PICK(cq__i4, a, b, 0, 1, 4, 5);
}
CQ__INLINE uint32_t cq__signs4(cq__i4 v) { return wasm_i32x4_bitmask((v128_t)v); }
#endif

/* cq__fmaf, not yet rounded to float: s towards zero where it is not exact, and its last bit set */
CQ__INLINE cq__d2 cq__fma_odd2(cq__d2 a, cq__d2 b, cq__d2 c) {
    const cq__d2 p = a * b, s = p + c, v = s - p, error = (p - (s - v)) + (c - v), none = cq__all2(0.0);
    const cq__q2 inexact = (cq__q2)(error > none) | (cq__q2)(error < none); /* and no NaN, as of infinities */
    const cq__q2 last = inexact & cq__all2u(1), beyond = ((cq__q2)error ^ (cq__q2)s) >> 63 & last;
    return (cq__d2)(((cq__q2)s - beyond) | last);
}
CQ__INLINE cq__d2 cq__fma2(cq__d2 a, cq__d2 b, cq__d2 c) {
    const cq__d2 s = cq__fma_odd2(a, b, c);
    return cq__double_lo(cq__single4(s, s));
}
/* s to 24 bits; where it was halfway, bits in the lower half of *halfway */
CQ__INLINE cq__d2 cq__round2(cq__d2 s, cq__i4 *halfway) {
    const cq__q2 t = (cq__q2)s + cq__all2u(0x10000000u), cut = t & cq__all2u(~(uint64_t)0x1fffffffu);
    *halfway = *halfway | (cq__i4)((cq__i4)t == (cq__i4)cut);
    CQ__KEEP(*halfway);
    return (cq__d2)cut;
}
/* k <= CQ__CHAIN steps for 16 rows of a column; `ordinary`: a and b are as above */
CQ__UNUSED static void cq__chain_v4(float *c, const cq__d2 *a, const float *b, size_t kb, size_t k, bool ordinary) {
    const cq__f4 c0 = cq__load4(c), c1 = cq__load4(c + 4), c2 = cq__load4(c + 8), c3 = cq__load4(c + 12);
    const cq__i4 magnitude = (cq__i4)cq__all4u(0x7fffffffu), most = (cq__i4)cq__all4u(0x7e800000u); /* 2^126 */
    const cq__i4 large = (cq__i4)(((cq__i4)c0 & magnitude) > most) | (cq__i4)(((cq__i4)c1 & magnitude) > most) |
                         (cq__i4)(((cq__i4)c2 & magnitude) > most) | (cq__i4)(((cq__i4)c3 & magnitude) > most);
    const cq__i4 unsure = (cq__i4)cq__all4u(ordinary && !cq__signs4(large) ? 0 : 0xffffffffu);
    cq__d2 p0 = cq__double_lo(c0), p1 = cq__double_hi(c0), p2 = cq__double_lo(c1), p3 = cq__double_hi(c1);
    cq__d2 p4 = cq__double_lo(c2), p5 = cq__double_hi(c2), p6 = cq__double_lo(c3), p7 = cq__double_hi(c3);
    for (; k > 0; k--, a += CQ__ROWS / 2, b += kb) {
        cq__d2 x = cq__all2((double)*b);
        cq__i4 halfway = unsure;
        cq__d2 q0 = cq__round2(a[0] * x + p0, &halfway), q1 = cq__round2(a[1] * x + p1, &halfway);
        cq__d2 q2 = cq__round2(a[2] * x + p2, &halfway), q3 = cq__round2(a[3] * x + p3, &halfway);
        cq__d2 q4 = cq__round2(a[4] * x + p4, &halfway), q5 = cq__round2(a[5] * x + p5, &halfway);
        cq__d2 q6 = cq__round2(a[6] * x + p6, &halfway), q7 = cq__round2(a[7] * x + p7, &halfway);
        if (__builtin_expect((cq__signs4(halfway) & 5) != 0, 0)) { /* in the lower halves */
            CQ__KEEP(x); /* products are computed again: kept for this, they would cost each step eight stores */
            q0 = cq__fma2(a[0], x, p0), q1 = cq__fma2(a[1], x, p1);
            q2 = cq__fma2(a[2], x, p2), q3 = cq__fma2(a[3], x, p3);
            q4 = cq__fma2(a[4], x, p4), q5 = cq__fma2(a[5], x, p5);
            q6 = cq__fma2(a[6], x, p6), q7 = cq__fma2(a[7], x, p7);
        }
        p0 = q0, p1 = q1, p2 = q2, p3 = q3, p4 = q4, p5 = q5, p6 = q6, p7 = q7;
    }
    cq__store4(c, cq__single4(p0, p1));
    cq__store4(c + 4, cq__single4(p2, p3));
    cq__store4(c + 8, cq__single4(p4, p5));
    cq__store4(c + 12, cq__single4(p6, p7));
}

#define CQ__ORDINARY_FROM 0x26000000 /* 2^-51 */
#define CQ__ORDINARY_TO 0x5d7fffff   /* just below 2^60 */
/* k steps of a panel as doubles; returns whether they are ordinary */
CQ__UNUSED static bool cq__double_panel_v4(cq__d2 *out, const float *a, size_t lda, size_t k) {
    const cq__i4 from = (cq__i4)cq__all4u(CQ__ORDINARY_FROM), to = (cq__i4)cq__all4u(CQ__ORDINARY_TO);
    const cq__i4 none = (cq__i4)cq__all4u(0);
    cq__i4 strange = none;
    for (; k > 0; k--, a += lda)
        for (size_t i = 0; i < CQ__ROWS; i += 4, out += 2) {
            const cq__f4 v = cq__load4(a + i);
            const cq__i4 u = (cq__i4)v & (cq__i4)cq__all4u(0x7fffffffu);
            strange = strange | (cq__i4)(u > to) | ((cq__i4)(u > none) & (cq__i4)(u < from));
            out[0] = cq__double_lo(v);
            out[1] = cq__double_hi(v);
        }
    return !cq__signs4(strange);
}
CQ__INLINE bool cq__ordinary(const float *b, size_t kb, size_t k) {
    bool strange = false;
    for (; k > 0; k--, b += kb) {
        const uint32_t u = cq__bits(*b) & 0x7fffffffu;
        strange |= u > CQ__ORDINARY_TO || (u > 0 && u < CQ__ORDINARY_FROM);
    }
    return !strange;
}
CQ__UNUSED static void cq__fma_f32_v4(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                      const float *b, size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    cq__d2 doubles[CQ__CHAIN * CQ__ROWS / 2];
    for (size_t j0 = 0; j0 < n; j0 += 32, b += 32 * jb, c += 32 * ldc) /* a bit for each column */
        for (size_t t = 0; t < k; t += CQ__CHAIN) {
            const size_t columns = cq__min(32, n - j0), steps = cq__min(CQ__CHAIN, k - t);
            const float *bt = b + t * kb;
            uint32_t ordinary = 0;
            for (size_t j = 0; j < columns; j++) ordinary |= (uint32_t)cq__ordinary(bt + j * jb, kb, steps) << j;
            for (size_t p = 0; p < panels; p++) {
                const uint32_t both = cq__double_panel_v4(doubles, a + p * ap + t * lda, lda, steps) ? ordinary : 0;
                for (size_t j = 0; j < columns; j++)
                    cq__chain_v4(c + p * cp + j * ldc, doubles, bt + j * jb, kb, steps, both >> j & 1);
            }
        }
}
CQ__UNUSED static void cq__eliminate_v4(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b,
                                        size_t n, size_t panels) {
    cq__eliminate_by(cq__fma_f32_v4, p, pp, u, ldu, d, b, n, panels);
}
#endif

/* == cq__round16_c, cq__decide16_c, cq__descend16_c: the level nearest to four lanes of q, which are in units of the
   scale, and that of v, which is not; i: which of the 16 grids */
CQ__INLINE cq__f4 cq__nearest4(cq__f4 q, const float *grids, size_t i, const cq__steps *steps) {
    cq__f4 unit;
    q = cq__min4(cq__max4(q, cq__load4(grids + 32 + i)), cq__load4(grids + 48 + i));
    unit = (cq__f4)((cq__u4)q & cq__all4u(steps->exponent));
    unit = cq__max4(unit, cq__all4(steps->least)) * cq__all4(steps->large);
    return (q + unit) - unit;
}
CQ__INLINE cq__f4 cq__level4(cq__f4 v, const float *grids, size_t i, const cq__steps *steps) {
    const cq__f4 s = cq__load4(grids + i);
    return cq__nearest4(v / cq__choose4((cq__i4)(s > cq__all4(0.0f)), s, cq__all4(1.0f)), grids, i, steps);
}
CQ__UNUSED static void cq__round16_v4(float *level, const float *v, const float *grids, const cq__steps *steps) {
    for (size_t i = 0; i < 16; i += 4) cq__store4(level + i, cq__level4(cq__load4(v + i), grids, i, steps));
}
CQ__UNUSED static void cq__decide16_v4(float *x, float *e, float *w, float *loss, float d, const float *grids,
                                       const cq__steps *steps) {
    for (size_t i = 0; i < 16; i += 4) {
        cq__f4 v = cq__load4(x + i), level = cq__level4(v, grids, i, steps), value = level * cq__load4(grids + i);
        cq__f4 r = v - value, dr = r * cq__all4(d);
        cq__store4(e + i, cq__load4(w + i) - value);
        cq__store4(x + i, dr);
        cq__store4(w + i, level);
        cq__store4(loss + i, cq__load4(loss + i) + dr * r);
    }
}
CQ__UNUSED static void cq__descend16_v4(float *level, float *g, float *e, float *change, float *loss, float diagonal,
                                        float own, const float *grids, const cq__steps *steps) {
    const cq__f4 curve = cq__all4(diagonal);
    for (size_t i = 0; i < 16; i += 4) {
        cq__f4 scale = cq__load4(grids + i), slope = cq__load4(g + i), old = cq__load4(level + i) * scale;
        cq__f4 to = cq__level4(old + slope / curve, grids, i, steps), step = old - to * scale;
        cq__store4(level + i, to);
        cq__store4(change + i, step);
        cq__store4(e + i, cq__load4(e + i) + step);
        cq__store4(loss + i, cq__load4(loss + i) + step * (cq__all4(2.0f) * slope + step * curve));
        cq__store4(g + i, slope + cq__all4(own) * step);
    }
}

/* == cq__cost16_c, eight rows a time, in the way of cq__fmaf. Mostly scales have 16 bits or less, as those of integers;
   a level of 8 bits times that is a float, so the error of a number needs nothing fused. */
#if CQ__CHAINS_V4
CQ__INLINE bool cq__short_scales(const float *grids, const cq__steps *steps) {
    const float most = steps->exponent ? 65536.0f : 256.0f; /* small floats have 4 bits at most, from 2^-16 on */
    bool are = true;
    for (size_t i = 0; i < 16; i++) {
        const uint32_t u = cq__bits(grids[i]);
        are = are && !(u & 0xffu) && (u == 0 || (u >= 0x0d800000u && u < 0x71800000u)); /* 2^-100, 2^100 */
        are = are && grids[32 + i] >= -most && grids[48 + i] <= most;
    }
    return are;
}
CQ__INLINE cq__f4 cq__error4(cq__f4 v, cq__f4 inverse, const float *grids, size_t i, const cq__steps *steps,
                             bool short_scales) {
    const cq__f4 scale = cq__load4(grids + i), level = -cq__nearest4(v * inverse, grids, i, steps);
    if (short_scales) return level * scale + v;
    return cq__single4(cq__fma_odd2(cq__double_lo(level), cq__double_lo(scale), cq__double_lo(v)),
                       cq__fma_odd2(cq__double_hi(level), cq__double_hi(scale), cq__double_hi(v)));
}
CQ__UNUSED static void cq__cost16_v4(float *cost, const float *x, const float *weight, size_t n, const float *grids,
                                     const float *inverse, const cq__steps *steps) {
    const bool are_short = cq__short_scales(grids, steps);
    for (size_t i = 0; i < 16; i += 8) {
        const cq__f4 inverse0 = cq__load4(inverse + i), inverse1 = cq__load4(inverse + i + 4);
        cq__d2 s0 = cq__all2(0.0), s1 = s0, s2 = s0, s3 = s0;
        for (size_t k = 0; k < n; k++) {
            const cq__f4 e0 = cq__error4(cq__load4(x + k * 16 + i), inverse0, grids, i, steps, are_short);
            const cq__f4 e1 = cq__error4(cq__load4(x + k * 16 + i + 4), inverse1, grids, i + 4, steps, are_short);
            const cq__f4 w0 = cq__all4(weight[k]) * e0, w1 = cq__all4(weight[k]) * e1;
            s0 = cq__fma2(cq__double_lo(w0), cq__double_lo(e0), s0);
            s1 = cq__fma2(cq__double_hi(w0), cq__double_hi(e0), s1);
            s2 = cq__fma2(cq__double_lo(w1), cq__double_lo(e1), s2);
            s3 = cq__fma2(cq__double_hi(w1), cq__double_hi(e1), s3);
        }
        cq__store4(cost + i, cq__single4(s0, s1));
        cq__store4(cost + i + 4, cq__single4(s2, s3));
    }
}
#define CQ__KERNELS_FMA_V4 cq__fma_f32_v4, cq__eliminate_v4
#define CQ__COST16_V4 cq__cost16_v4
#else
#define CQ__KERNELS_FMA_V4 cq__fma_f32_c, cq__eliminate_c
#define CQ__COST16_V4 cq__cost16_c
#endif

/* Wider lanes: each of the lower (upper) eight bytes, or four lanes of 16 bits, with its high half from `high` */
CQ__INLINE cq__h8 cq__join8_lo(cq__b16 v, cq__b16 high) {
    cq__b16 a = CQ__BIG_ENDIAN ? high : v, b = CQ__BIG_ENDIAN ? v : high;
    return (cq__h8)CQ__PICK(cq__b16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
CQ__INLINE cq__h8 cq__join8_hi(cq__b16 v, cq__b16 high) {
    cq__b16 a = CQ__BIG_ENDIAN ? high : v, b = CQ__BIG_ENDIAN ? v : high;
    return (cq__h8)CQ__PICK(cq__b16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
CQ__INLINE cq__u4 cq__join16_lo(cq__h8 v, cq__h8 high) {
    cq__h8 a = CQ__BIG_ENDIAN ? high : v, b = CQ__BIG_ENDIAN ? v : high;
    return (cq__u4)CQ__PICK(cq__h8, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
CQ__INLINE cq__u4 cq__join16_hi(cq__h8 v, cq__h8 high) {
    cq__h8 a = CQ__BIG_ENDIAN ? high : v, b = CQ__BIG_ENDIAN ? v : high;
    return (cq__u4)CQ__PICK(cq__h8, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
CQ__INLINE cq__u4 cq__wide_lo(cq__h8 v) { return cq__join16_lo(v, (cq__h8)cq__all4u(0)); }
CQ__INLINE cq__u4 cq__wide_hi(cq__h8 v) { return cq__join16_hi(v, (cq__h8)cq__all4u(0)); }
CQ__INLINE cq__f4 cq__float4(cq__i4 v) { return __builtin_convertvector(v, cq__f4); }
/* eight little-endian numbers of 16 bits */
CQ__INLINE cq__h8 cq__halves8(const unsigned char *p) {
    cq__h8 v = (cq__h8)cq__load16(p);
#if CQ__BIG_ENDIAN
    v = v << 8 | v >> 8;
#endif
    return v;
}
/* == cq_f16_to_f32. The exponent of a float is 112 more. Taking it for one more still and 2^-14 away again is right for
   denormal numbers, and too large for all others: the smaller of the two is right. Infinity and NaN have all bits. */
CQ__INLINE cq__f4 cq__half4(cq__u4 h) {
    cq__u4 a = h & cq__all4u(0x7fff), v = (a << 13) + cq__all4u(112u << 23);
    cq__u4 huge = (cq__u4)((cq__i4)a > (cq__i4)cq__all4u(0x7bff)) & cq__all4u(0x7f800000u);
    cq__f4 below = (cq__f4)(v + cq__all4u(1u << 23)) - (cq__f4)cq__all4u(113u << 23);
    return (cq__f4)((cq__u4)cq__min4(below, (cq__f4)v) | huge | (h ^ a) << 16);
}
/* eight numbers of a float format */
CQ__INLINE void cq__load8_v4(cq__f4 *lo, cq__f4 *hi, const unsigned char *p, cq_format format) {
    if (format == CQ_F32) {
        cq__u4 u = (cq__u4)cq__load16(p), v = (cq__u4)cq__load16(p + 16);
#if CQ__BIG_ENDIAN
        const cq__u4 odd = cq__all4u(0x00ff00ff);
        u = (u & odd) << 8 | (u >> 8 & odd);
        v = (v & odd) << 8 | (v >> 8 & odd);
        u = u << 16 | u >> 16;
        v = v << 16 | v >> 16;
#endif
        *lo = (cq__f4)u;
        *hi = (cq__f4)v;
        return;
    }
    cq__h8 v = cq__halves8(p);
    *lo = format == CQ_F16 ? cq__half4(cq__wide_lo(v)) : (cq__f4)(cq__wide_lo(v) << 16);
    *hi = format == CQ_F16 ? cq__half4(cq__wide_hi(v)) : (cq__f4)(cq__wide_hi(v) << 16);
}

/* The grids of a group of a panel whose data begins at p: scale[16], zero[16]. What E8M0's 0 and 255 mean is no shift
   of bits. */
CQ__INLINE cq__f4 cq__e8m0x4(cq__u4 e) {
    cq__u4 odd = (cq__u4)(e == cq__all4u(0)) | (cq__u4)(e == cq__all4u(255));
    return (cq__f4)(e << 23 | (odd & cq__all4u(1u << 22)));
}
CQ__INLINE void cq__grids_v4(float *scale, int32_t *zero, const cq_tensor *t, const unsigned char *p, size_t g) {
    const unsigned char *at = p + g * CQ__ROWS * cq__scale_bytes(t);
    if (cq_format_is_mx(t->format)) {
        cq__b16 v = cq__load16(at), none = (cq__b16)cq__all4u(0);
        cq__h8 lo = cq__join8_lo(v, none), hi = cq__join8_hi(v, none);
        cq__store4(scale, cq__e8m0x4(cq__wide_lo(lo)));
        cq__store4(scale + 4, cq__e8m0x4(cq__wide_hi(lo)));
        cq__store4(scale + 8, cq__e8m0x4(cq__wide_lo(hi)));
        cq__store4(scale + 12, cq__e8m0x4(cq__wide_hi(hi)));
    } else {
        const cq_format format = cq__scale_bytes(t) == 2 ? CQ_F16 : CQ_F32;
        for (size_t i = 0; i < CQ__ROWS; i += 8) {
            cq__f4 lo, hi;
            cq__load8_v4(&lo, &hi, at + i * cq__scale_bytes(t), format);
            cq__store4(scale + i, lo);
            cq__store4(scale + i + 4, hi);
        }
    }
    cq__u4 z0 = cq__all4u((uint32_t)cq__middle(t->format)), z1 = z0, z2 = z0, z3 = z0;
    if (t->asym) {
        cq__b16 v = cq__load16(p + cq__zeros_at(t) + g * CQ__ROWS), none = (cq__b16)cq__all4u(0);
        cq__h8 lo = cq__join8_lo(v, none), hi = cq__join8_hi(v, none);
        z0 = cq__wide_lo(lo);
        z1 = cq__wide_hi(lo);
        z2 = cq__wide_lo(hi);
        z3 = cq__wide_hi(hi);
    }
    *(cq__i4_at *)(void *)zero = (cq__i4)z0;
    *(cq__i4_at *)(void *)(zero + 4) = (cq__i4)z1;
    *(cq__i4_at *)(void *)(zero + 8) = (cq__i4)z2;
    *(cq__i4_at *)(void *)(zero + 12) = (cq__i4)z3;
}
/* The end of a group in panels_q8, for 16 rows and one column: out += (dot - zero * total) * (scale * s), dot the sums
   of codes times activations, total the sum of the activations, scale already in units of the format. */
CQ__INLINE void cq__add_group_v4(float *out, const int32_t *dot, const int32_t *zero, const float *scale, int32_t total,
                                 float s) {
    const cq__i4 all = {total, total, total, total};
    for (size_t i = 0; i < CQ__ROWS; i += 4) {
        cq__i4 d = *(const cq__i4_at *)(const void *)(dot + i), z = *(const cq__i4_at *)(const void *)(zero + i);
        cq__f4 v = cq__float4(d - z * all) * (cq__load4(scale + i) * cq__all4(s));
        cq__store4(out + i, cq__load4(out + i) + v);
    }
}

/* == cq__unpack_c. A lane of 32 bits holds four columns of one row, the first one in the low byte (big-endian: in the
   high one), so the code of a column is a shift and a mask, whatever the format. */
CQ__INLINE cq__f4 cq__mini4(cq__u4 code, cq_mini mini) { /* as cq_mini_to_f32 */
    const cq__mini_facts *f = &cq__minis[mini];
    cq__u4 a = code & cq__all4u((1u << (f->bits - 1)) - 1), sign = code >> (f->bits - 1) << 31;
    cq__u4 v = (a << (23 - f->mantissa)) + cq__all4u((127u - f->bias) << 23);
    cq__u4 below = (cq__u4)(cq__float4((cq__i4)a) * cq__all4(cq__exp2i(1 - f->bias - f->mantissa)));
    cq__u4 is_below = (cq__u4)((cq__i4)a < (cq__i4)cq__all4u(1u << f->mantissa));
    v = (is_below & below) | (~is_below & v);
    if (mini == CQ_E4M3) v = v | ((cq__u4)(a == cq__all4u(0x7f)) & cq__all4u(0x7fc00000));
    return (cq__f4)(v | sign);
}
/* codes of four rows and four columns, a byte each, from w (the panel's block) on: step s, rows from r on */
CQ__INLINE cq__u4 cq__codes4x4(const unsigned char *w, cq_format format, size_t s, size_t r) {
    cq__u4 v, top;
    switch (cq_format_bits(format)) {
    case 8:
        v = (cq__u4)cq__load16(w + s * 64 + 4 * r);
        return format == CQ_INT8 ? v ^ cq__all4u(0x80808080u) : v;
    case 4: return (cq__u4)cq__load16(w + (s & 3) * 64 + 4 * r) >> (uint32_t)(s & 4) & cq__all4u(0x0f0f0f0fu);
    case 6:
        v = (cq__u4)cq__load16(w + (s & 3) * 64 + 4 * r) >> (uint32_t)(s & 4) & cq__all4u(0x0f0f0f0fu);
        top = (cq__u4)cq__load16(w + 256 + (s & 1) * 64 + 4 * r) >> (uint32_t)(s & 6) & cq__all4u(0x03030303u);
        return v | top << 4;
    default:
        v = (cq__u4)cq__load16(w + (s & 1) * 64 + 4 * r) >> (uint32_t)(s & 6) & cq__all4u(0x03030303u);
        if (format == CQ_INT2) return v;
        top = (cq__u4)cq__load16(w + 128 + 4 * r) >> (uint32_t)s & cq__all4u(0x01010101u);
        return v | top << 2;
    }
}
/* column k of them, as numbers */
CQ__INLINE cq__f4 cq__values4(cq__u4 v, uint32_t k, cq_format format, cq__i4 zero, cq__f4 scale) {
    const unsigned mini = cq__facts(format)->mini;
    const cq__u4 code = v >> (CQ__BIG_ENDIAN ? 24 - 8 * k : 8 * k) & cq__all4u(255);
    return (mini < CQ_MINI_COUNT ? cq__mini4(code, (cq_mini)mini) : cq__float4((cq__i4)code - zero)) * scale;
}
/* rows r to r + 3, n <= 32 columns */
CQ__INLINE void cq__unpack_rows4(float *out, const unsigned char *w, cq_format format, size_t r, size_t n, cq__i4 zero,
                                 cq__f4 scale) {
    out += r;
    for (size_t s = 0; s * 4 < n; s++, out += 4 * CQ__ROWS) {
        const size_t left = n - s * 4;
        const cq__u4 v = cq__codes4x4(w, format, s, r);
        cq__store4(out, cq__values4(v, 0, format, zero, scale));
        if (left > 1) cq__store4(out + 16, cq__values4(v, 1, format, zero, scale));
        if (left > 2) cq__store4(out + 32, cq__values4(v, 2, format, zero, scale));
        if (left > 3) cq__store4(out + 48, cq__values4(v, 3, format, zero, scale));
    }
}
CQ__UNUSED static void cq__unpack_codes_v4(float *out, const cq_tensor *t, const unsigned char *p, size_t block,
                                           size_t n) {
    const unsigned char *w = p + cq__panel_head(t) + block * cq__block_bytes(t->format);
    CQ__ALIGNED float scale[CQ__ROWS];
    CQ__ALIGNED int32_t zero[CQ__ROWS];
    cq__grids_v4(scale, zero, t, p, block * CQ__BLOCK / t->group_size);
    for (size_t r = 0; r < CQ__ROWS; r += 4) {
        const cq__f4 u = cq__load4(scale + r);
        const cq__i4 z = *(const cq__i4_at *)(const void *)(zero + r);
        if (t->format == CQ_INT4) cq__unpack_rows4(out, w, CQ_INT4, r, n, z, u); /* compilers then know the shifts */
        else if (t->format == CQ_INT8) cq__unpack_rows4(out, w, CQ_INT8, r, n, z, u);
        else if (t->format == CQ_MXFP4) cq__unpack_rows4(out, w, CQ_MXFP4, r, n, z, u);
        else cq__unpack_rows4(out, w, t->format, r, n, z, u);
    }
}
CQ__UNUSED static void cq__unpack_v4(float *out, const cq_tensor *t, size_t panel, size_t block) {
    size_t k0 = block * CQ__BLOCK, n = cq__min(CQ__BLOCK, t->cols - k0), size = cq_format_bits(t->format) / 8;
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    if (cq_format_is_coded(t->format) && t->group_size % CQ__BLOCK == 0) {
        cq__unpack_codes_v4(out, t, p, block, n);
    } else if (t->layout == CQ_PANELS && !cq_format_is_coded(t->format)) {
        p += k0 * CQ__ROWS * size;
        for (size_t i = 0; i < n * CQ__ROWS; i += 8) {
            cq__f4 lo, hi;
            cq__load8_v4(&lo, &hi, p + i * size, t->format);
            cq__store4(out + i, lo);
            cq__store4(out + i + 4, hi);
        }
    } else if (t->layout == CQ_ROWS && n % 8 == 0 && t->rows - panel * CQ__ROWS >= CQ__ROWS) {
        const size_t row = t->cols * size;
        for (size_t r = 0; r < CQ__ROWS; r += 4) /* four rows x eight columns: two squares */
            for (size_t k = 0; k < n; k += 8) {
                cq__f4 a0, a1, a2, a3, b0, b1, b2, b3;
                float *o = out + k * CQ__ROWS + r;
                p = t->data + ((panel * CQ__ROWS + r) * t->cols + k0 + k) * size;
                cq__load8_v4(&a0, &b0, p, t->format);
                cq__load8_v4(&a1, &b1, p + row, t->format);
                cq__load8_v4(&a2, &b2, p + 2 * row, t->format);
                cq__load8_v4(&a3, &b3, p + 3 * row, t->format);
                cq__transpose4(&a0, &a1, &a2, &a3);
                cq__transpose4(&b0, &b1, &b2, &b3);
                cq__store4(o, a0);
                cq__store4(o + 16, a1);
                cq__store4(o + 32, a2);
                cq__store4(o + 48, a3);
                cq__store4(o + 64, b0);
                cq__store4(o + 80, b1);
                cq__store4(o + 96, b2);
                cq__store4(o + 112, b3);
            }
    } else {
        cq__unpack_c(out, t, panel, block);
    }
}

/* the low bytes of sixteen lanes that are small numbers */
CQ__INLINE cq__b16 cq__narrow16(cq__i4 a, cq__i4 b, cq__i4 c, cq__i4 d) {
#if CQ__X86
    return (cq__b16)_mm_packs_epi16(_mm_packs_epi32((__m128i)a, (__m128i)b), _mm_packs_epi32((__m128i)c, (__m128i)d));
#elif CQ__BIG_ENDIAN
    cq__h8 ab = CQ__PICK(cq__h8, (cq__h8)a, (cq__h8)b, 1, 3, 5, 7, 9, 11, 13, 15);
    cq__h8 cd = CQ__PICK(cq__h8, (cq__h8)c, (cq__h8)d, 1, 3, 5, 7, 9, 11, 13, 15);
    return CQ__PICK(cq__b16, (cq__b16)ab, (cq__b16)cd, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#else
    cq__h8 ab = CQ__PICK(cq__h8, (cq__h8)a, (cq__h8)b, 0, 2, 4, 6, 8, 10, 12, 14);
    cq__h8 cd = CQ__PICK(cq__h8, (cq__h8)c, (cq__h8)d, 0, 2, 4, 6, 8, 10, 12, 14);
    return CQ__PICK(cq__b16, (cq__b16)ab, (cq__b16)cd, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#endif
}
/* == cq__quantize_c: four codes, rounded as cq__round_even does, which leaves them in the low bits */
CQ__INLINE cq__i4 cq__codes4(const float *x, cq__f4 inverse) {
    cq__f4 v = cq__load4(x) * inverse;
    v = cq__min4(cq__max4(v, cq__all4(-127.0f)), cq__all4(127.0f));
    return (cq__i4)(v + cq__all4(CQ__ROUND)) - (cq__i4)cq__all4(CQ__ROUND);
}
CQ__UNUSED static float cq__quantize_v4(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n,
                                        size_t stride) {
    const cq__u4 magnitude = cq__all4u(0x7fffffffu);
    cq__f4 most0 = cq__all4(0.0f), most1 = most0;
    float m = 0.0f;
    size_t i = 0, b = 0;
    for (; i + 8 <= n; i += 8) {
        most0 = cq__max4((cq__f4)((cq__u4)cq__load4(x + i) & magnitude), most0);
        most1 = cq__max4((cq__f4)((cq__u4)cq__load4(x + i + 4) & magnitude), most1);
    }
    most0 = cq__max4(most0, most1);
    for (size_t l = 0; l < 4; l++) m = most0[l] > m ? most0[l] : m;
    for (; i < n; i++) {
        float a = cq__float(cq__bits(x[i]) & 0x7fffffffu);
        m = a > m ? a : m;
    }
    float inverse = m > 0.0f ? 127.0f / m : 0.0f;
    if (!(inverse < CQ__INFINITY)) inverse = 0.0f;
    const cq__f4 inv = cq__all4(inverse);
    for (; b + CQ__BLOCK <= n; b += CQ__BLOCK) {
        cq__i4 total = {0, 0, 0, 0};
        for (size_t h = b; h < b + CQ__BLOCK; h += 16) {
            cq__i4 v0 = cq__codes4(x + h, inv), v1 = cq__codes4(x + h + 4, inv);
            cq__i4 v2 = cq__codes4(x + h + 8, inv), v3 = cq__codes4(x + h + 12, inv);
            *(cq__b16_at *)(void *)(q + h) = cq__narrow16(v0, v1, v2, v3);
            total = total + ((v0 + v1) + (v2 + v3));
        }
        sum[b / CQ__BLOCK * ld_sum] = (total[0] + total[1]) + (total[2] + total[3]);
    }
    for (; b < stride; b += CQ__BLOCK) { /* the padded tail */
        int32_t s = 0;
        for (i = b; i < b + CQ__BLOCK; i++) {
            float v = i < n ? x[i] * inverse : 0.0f;
            v = v > -127.0f ? v : -127.0f;
            v = v < 127.0f ? v : 127.0f;
            q[i] = (int8_t)(int32_t)cq__round_even(v);
            s += q[i];
        }
        sum[b / CQ__BLOCK * ld_sum] = s;
    }
    return inverse > 0.0f ? m / 127.0f : 0.0f;
}

/* == cq__dot_c and the like: a tail goes to the lanes that come next */
CQ__UNUSED static float cq__dot_v4(const float *a, const float *b, size_t n) {
    cq__f4 lo = cq__all4(0.0f), hi = lo;
    float l[8];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        lo = lo + cq__load4(a + i) * cq__load4(b + i);
        hi = hi + cq__load4(a + i + 4) * cq__load4(b + i + 4);
    }
    if (i == n) return cq__tree8_v4(lo, hi);
    cq__store4(l, lo);
    cq__store4(l + 4, hi);
    for (; i < n; i++) l[i & 7] = l[i & 7] + a[i] * b[i];
    return cq__tree8(l);
}
/* four keys at a time; the tree is taken on the transposed lanes of all four */
CQ__UNUSED static void cq__dots_v4(float *out, const float *q, const float *k, size_t ldk, size_t n, size_t count) {
    size_t i = 0;
    if (n % 8 == 0)
        for (; i + 4 <= count; i += 4, k += 4 * ldk) {
            const float *k1 = k + ldk, *k2 = k1 + ldk, *k3 = k2 + ldk;
            cq__f4 a0 = cq__all4(0.0f), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
            for (size_t d = 0; d < n; d += 8) {
                cq__f4 x = cq__load4(q + d), y = cq__load4(q + d + 4);
                a0 = a0 + x * cq__load4(k + d);
                b0 = b0 + y * cq__load4(k + d + 4);
                a1 = a1 + x * cq__load4(k1 + d);
                b1 = b1 + y * cq__load4(k1 + d + 4);
                a2 = a2 + x * cq__load4(k2 + d);
                b2 = b2 + y * cq__load4(k2 + d + 4);
                a3 = a3 + x * cq__load4(k3 + d);
                b3 = b3 + y * cq__load4(k3 + d + 4);
            }
            a0 = a0 + b0;
            a1 = a1 + b1;
            a2 = a2 + b2;
            a3 = a3 + b3;
            cq__transpose4(&a0, &a1, &a2, &a3);
            cq__store4(out + i, (a0 + a2) + (a1 + a3));
        }
    for (; i < count; i++, k += ldk) out[i] = cq__dot_v4(q, k, n);
}
CQ__UNUSED static void cq__mix_v4(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count) {
    size_t d = 0;
    for (; d + 16 <= n; d += 16) {
        cq__f4 a0 = cq__load4(out + d), a1 = cq__load4(out + d + 4), a2 = cq__load4(out + d + 8);
        cq__f4 a3 = cq__load4(out + d + 12);
        const float *row = v + d;
        for (size_t i = 0; i < count; i++, row += ldv) {
            cq__f4 x = cq__all4(p[i]);
            a0 = a0 + x * cq__load4(row);
            a1 = a1 + x * cq__load4(row + 4);
            a2 = a2 + x * cq__load4(row + 8);
            a3 = a3 + x * cq__load4(row + 12);
        }
        cq__store4(out + d, a0);
        cq__store4(out + d + 4, a1);
        cq__store4(out + d + 8, a2);
        cq__store4(out + d + 12, a3);
    }
    if (d < n) cq__mix_c(out + d, p, v + d, ldv, n - d, count);
}
CQ__UNUSED static void cq__from_f16_v4(float *out, const unsigned char *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        cq__h8 v = cq__halves8(x + 2 * i);
        cq__store4(out + i, cq__half4(cq__wide_lo(v)));
        cq__store4(out + i + 4, cq__half4(cq__wide_hi(v)));
    }
    cq__from_f16_c(out + i, x + 2 * i, n - i);
}
CQ__UNUSED static void cq__from_int8_v4(float *out, const int8_t *q, const float *scale, size_t n, size_t count) {
    const cq__u4 none = cq__all4u(0);
    for (size_t i = 0; i < count; i++, q += n, out += n) {
        const cq__f4 s = cq__all4(scale[i]);
        size_t d = 0;
        for (; d + 16 <= n; d += 16) {
            cq__b16 v = cq__load16(q + d), minus = (cq__b16)((cq__c16)v < (cq__c16)none); /* the high bytes */
            cq__h8 lo = cq__join8_lo(v, minus), hi = cq__join8_hi(v, minus);
            cq__h8 minus_lo = (cq__h8)((cq__s8)lo < (cq__s8)none), minus_hi = (cq__h8)((cq__s8)hi < (cq__s8)none);
            cq__store4(out + d, cq__float4((cq__i4)cq__join16_lo(lo, minus_lo)) * s);
            cq__store4(out + d + 4, cq__float4((cq__i4)cq__join16_hi(lo, minus_lo)) * s);
            cq__store4(out + d + 8, cq__float4((cq__i4)cq__join16_lo(hi, minus_hi)) * s);
            cq__store4(out + d + 12, cq__float4((cq__i4)cq__join16_hi(hi, minus_hi)) * s);
        }
        cq__from_int8_c(out + d, q + d, scale + i, n - d, 1);
    }
}
CQ__UNUSED static void cq__turn_v4(float *x, float *y, const float *c, const float *s, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        cq__f4 a = cq__load4(x + i), b = cq__load4(y + i), u = cq__load4(c + i), v = cq__load4(s + i);
        cq__store4(x + i, a * u - b * v);
        cq__store4(y + i, b * u + a * v);
    }
    cq__turn_c(x + i, y + i, c + i, s + i, n - i);
}
CQ__UNUSED static float cq__sum_v4(const float *a, size_t n) {
    cq__f4 lo = cq__all4(0.0f), hi = lo;
    float l[8];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        lo = lo + cq__load4(a + i);
        hi = hi + cq__load4(a + i + 4);
    }
    cq__store4(l, lo);
    cq__store4(l + 4, hi);
    for (; i < n; i++) l[i & 7] = l[i & 7] + a[i];
    return cq__tree8(l);
}
CQ__UNUSED static float cq__max_v4(const float *a, size_t n) {
    float m = -CQ__INFINITY;
    cq__f4 lo = cq__all4(m), hi = lo;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        lo = cq__max4(cq__load4(a + i), lo);
        hi = cq__max4(cq__load4(a + i + 4), hi);
    }
    lo = cq__max4(lo, hi);
    for (size_t j = 0; j < 4; j++) m = lo[j] > m ? lo[j] : m;
    for (; i < n; i++) m = a[i] > m ? a[i] : m;
    return m + 0.0f;
}
CQ__UNUSED static void cq__axpy_v4(float *y, float a, const float *x, size_t n) {
    const cq__f4 s = cq__all4(a);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) cq__store4(y + i, cq__load4(y + i) + s * cq__load4(x + i));
    cq__axpy_c(y + i, a, x + i, n - i);
}
CQ__UNUSED static void cq__scale_v4(float *y, const float *x, const unsigned char *w, float s, size_t n) {
    const cq__f4 v = cq__all4(s);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        cq__f4 lo = cq__load4(x + i) * v, hi = cq__load4(x + i + 4) * v, u0, u1;
        if (w) {
            cq__load8_v4(&u0, &u1, w + 4 * i, CQ_F32);
            lo = lo * u0;
            hi = hi * u1;
        }
        cq__store4(y + i, lo);
        cq__store4(y + i + 4, hi);
    }
    cq__scale_c(y + i, x + i, w ? w + 4 * i : NULL, s, n - i);
}

/* == cq_expf on four lanes: the same operations in the same order. Where cq_expf says infinity or 0, the product below
   is that already, for every float up to the bounds to which x is clamped; so only NaN is chosen. */
CQ__INLINE cq__f4 cq__exp4(cq__f4 x0) {
    const cq__f4 round = cq__all4(CQ__ROUND);
    cq__f4 x = cq__min4(cq__max4(x0, cq__all4(-104.0f)), cq__all4(89.0f));
    cq__f4 t = x * cq__all4(CQ__LOG2E) + round, n = t - round;
    cq__f4 r = (x - n * cq__all4(CQ__LN2_HI)) - n * cq__all4(CQ__LN2_LO);
    cq__f4 p = cq__all4(0.00139517174f) * r + cq__all4(0.00836959854f);
    p = p * r + cq__all4(0.0416661873f);
    p = p * r + cq__all4(0.166665122f);
    p = p * r + cq__all4(0.5f);
    cq__f4 y = cq__all4(1.0f) + ((r * r) * p + r);
    cq__i4 k = (cq__i4)t - (cq__i4)round, h = k >> 1;
    y = y * (cq__f4)((h + 127) << 23);
    y = y * (cq__f4)((k - h + 127) << 23);
    return cq__choose4((cq__i4)(x0 != x0), x0, y);
}
CQ__UNUSED static void cq__exp_minus_v4(float *x, float m, size_t n) {
    const cq__f4 v = cq__all4(m);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) cq__store4(x + i, cq__exp4(cq__load4(x + i) - v));
    cq__exp_minus_c(x + i, m, n - i);
}
CQ__UNUSED static void cq__silu_mul_v4(float *g, const float *u, size_t n) {
    const cq__f4 one = cq__all4(1.0f);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        cq__f4 v = cq__load4(g + i);
        cq__store4(g + i, (v / (one + cq__exp4(-v))) * cq__load4(u + i));
    }
    cq__silu_mul_c(g + i, u + i, n - i);
}

/* The tier of machines that have nothing of their own for the products of integers. */
#if CQ__X86 || defined(__powerpc64__) || defined(__s390x__)
#define CQ__V4_TIER 1
static const cq__kernels cq__kernels_v4 = {
    "v128", cq__tile_f32_v4, CQ__KERNELS_FMA_V4,
    cq__round16_v4,   CQ__COST16_V4, cq__decide16_v4,
    cq__descend16_v4, cq__unpack_v4,  cq__panels_q8_c, cq__quantize_v4,  cq__dot_v4,   cq__dots_v4,
    cq__mix_v4,      cq__from_f16_v4, cq__from_int8_v4, cq__dots_q8_c,   cq__turn_v4,  cq__sum_v4,
    cq__max_v4,      cq__axpy_v4,     cq__scale_v4,    cq__exp_minus_v4, cq__silu_mul_v4, NULL};
#endif
#if defined(__clang__) && defined(__ALTIVEC__)
#pragma clang diagnostic pop
#endif
#endif /* CQ__V4 */

/* ###################################################################################################################
   [SSE4.1]  x86-64 without AVX2: floats from [V4], products of integers here
   A step of a panel (16 rows x 4 columns, 64 bytes) is four registers of four rows:

       byte  0 1 2 3 | 4 5 6 7 | 8 9 a b | c d e f        activations of one column, four bytes, four times:
             row 0     row 1     row 2     row 3             x0 x1 x2 x3 | x0 x1 x2 x3 | ...

   pmaddubsw multiplies unsigned codes with signed activations, |x| <= 127, and adds neighbours in int16: two sums for
   each row. As long as they fit, steps are added up in int16 ("a chain"); pmaddwd with ones then makes one int32 a row
   of them:

       codes to 15   int4, int3, int2                    2 * 15 * 127 =  3810, 8 steps: 30480 < 2^15
       codes to 24   mxfp4: 12 + its number in halves    2 * 24 * 127 =  6096, 4 steps: 24384   (5 would do)
       codes to 120  mxfp6_e2m3: 60 + 8 times it         2 * 120 * 127 = 30480, 1 step
       mxfp6_e3m2    16 times it is 16 h + l, both with its sign; 28 + h is at most 56: 2 steps 28448;
                     15 + l is at most 30: 4 steps 30480
       int8          |w| <= 128 as the unsigned side, x takes the sign of w: 2 * 128 * 127 = 32512, 1 step

   What was added to make a number unsigned is a zero like that of an asymmetric grid: dot - zero * (sum of x). A chain
   has no instruction but a multiplication and an addition for 16 products, and that is the bound; its cost otherwise is
   the unpacking, shared by four columns, and the copies that instructions of two operands need.
   ################################################################################################################## */
#if CQ__X86 && CQ__V4
#define CQ__SSE41 __attribute__((target("sse4.1"))) static
#define CQ__LOAD_SSE41(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define CQ__SET1_SSE41(p) _mm_set1_epi32((int32_t)cq__u32((const unsigned char *)(p)))
#define CQ__MAD_SSE41(h, w, x) h = _mm_add_epi16(h, _mm_maddubs_epi16(w, x))
#define CQ__ADD_SSE41(p, v) _mm_storeu_si128((__m128i *)(void *)(p), _mm_add_epi32(CQ__LOAD_SSE41(p), v))
/* a step of 8 rows (w0, w1) and four columns (activations at q, q1, q2, q3), and the end of their chains */
#define CQ__STEP4_SSE41(o)                                                                                             \
    {                                                                                                                  \
        __m128i x;                                                                                                     \
        x = CQ__SET1_SSE41(q + (o));                                                                                   \
        CQ__MAD_SSE41(h00, w0, x);                                                                                     \
        CQ__MAD_SSE41(h01, w1, x);                                                                                     \
        x = CQ__SET1_SSE41(q1 + (o));                                                                                  \
        CQ__MAD_SSE41(h10, w0, x);                                                                                     \
        CQ__MAD_SSE41(h11, w1, x);                                                                                     \
        x = CQ__SET1_SSE41(q2 + (o));                                                                                  \
        CQ__MAD_SSE41(h20, w0, x);                                                                                     \
        CQ__MAD_SSE41(h21, w1, x);                                                                                     \
        x = CQ__SET1_SSE41(q3 + (o));                                                                                  \
        CQ__MAD_SSE41(h30, w0, x);                                                                                     \
        CQ__MAD_SSE41(h31, w1, x);                                                                                     \
    }
#define CQ__FLUSH4_SSE41(t, one)                                                                                       \
    {                                                                                                                  \
        CQ__ADD_SSE41(t, _mm_madd_epi16(h00, one));                                                                    \
        CQ__ADD_SSE41(t + 4, _mm_madd_epi16(h01, one));                                                                \
        CQ__ADD_SSE41(t + 16, _mm_madd_epi16(h10, one));                                                               \
        CQ__ADD_SSE41(t + 20, _mm_madd_epi16(h11, one));                                                               \
        CQ__ADD_SSE41(t + 32, _mm_madd_epi16(h20, one));                                                               \
        CQ__ADD_SSE41(t + 36, _mm_madd_epi16(h21, one));                                                               \
        CQ__ADD_SSE41(t + 48, _mm_madd_epi16(h30, one));                                                               \
        CQ__ADD_SSE41(t + 52, _mm_madd_epi16(h31, one));                                                               \
    }

/* Blocks of 32 k. t (4, 16) += 16 rows times four columns; t (16) += 16 rows times one, count blocks. */
CQ__SSE41 void cq__int4_block4_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq) {
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    const __m128i mask = _mm_set1_epi8(15), one = _mm_set1_epi16(1);
    for (size_t half = 0; half < 2; half++, w += 32, t += 8) { /* 8 rows: eight accumulators, two for each column */
        __m128i h00 = _mm_setzero_si128(), h01 = h00, h10 = h00, h11 = h00, h20 = h00, h21 = h00, h30 = h00, h31 = h00;
        for (size_t s = 0; s < 4; s++) {
            __m128i w0 = _mm_and_si128(CQ__LOAD_SSE41(w + s * 64), mask);
            __m128i w1 = _mm_and_si128(CQ__LOAD_SSE41(w + s * 64 + 16), mask);
            CQ__STEP4_SSE41(s * 4)
            w0 = _mm_and_si128(_mm_srli_epi16(CQ__LOAD_SSE41(w + s * 64), 4), mask);
            w1 = _mm_and_si128(_mm_srli_epi16(CQ__LOAD_SSE41(w + s * 64 + 16), 4), mask);
            CQ__STEP4_SSE41(s * 4 + 16)
        }
        CQ__FLUSH4_SSE41(t, one)
    }
}
CQ__SSE41 void cq__int4_blocks1_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t count) {
    const __m128i mask = _mm_set1_epi8(15), one = _mm_set1_epi16(1);
    __m128i d0 = CQ__LOAD_SSE41(t), d1 = CQ__LOAD_SSE41(t + 4), d2 = CQ__LOAD_SSE41(t + 8), d3 = CQ__LOAD_SSE41(t + 12);
    for (; count; count--, w += 256, q += CQ__BLOCK) {
        __m128i h0 = _mm_setzero_si128(), h1 = h0, h2 = h0, h3 = h0;
        for (size_t s = 0; s < 4; s++) {
            __m128i x = CQ__SET1_SSE41(q + s * 4), y = CQ__SET1_SSE41(q + s * 4 + 16), v;
            v = CQ__LOAD_SSE41(w + s * 64);
            CQ__MAD_SSE41(h0, _mm_and_si128(v, mask), x);
            CQ__MAD_SSE41(h0, _mm_and_si128(_mm_srli_epi16(v, 4), mask), y);
            v = CQ__LOAD_SSE41(w + s * 64 + 16);
            CQ__MAD_SSE41(h1, _mm_and_si128(v, mask), x);
            CQ__MAD_SSE41(h1, _mm_and_si128(_mm_srli_epi16(v, 4), mask), y);
            v = CQ__LOAD_SSE41(w + s * 64 + 32);
            CQ__MAD_SSE41(h2, _mm_and_si128(v, mask), x);
            CQ__MAD_SSE41(h2, _mm_and_si128(_mm_srli_epi16(v, 4), mask), y);
            v = CQ__LOAD_SSE41(w + s * 64 + 48);
            CQ__MAD_SSE41(h3, _mm_and_si128(v, mask), x);
            CQ__MAD_SSE41(h3, _mm_and_si128(_mm_srli_epi16(v, 4), mask), y);
        }
        d0 = _mm_add_epi32(d0, _mm_madd_epi16(h0, one));
        d1 = _mm_add_epi32(d1, _mm_madd_epi16(h1, one));
        d2 = _mm_add_epi32(d2, _mm_madd_epi16(h2, one));
        d3 = _mm_add_epi32(d3, _mm_madd_epi16(h3, one));
    }
    _mm_storeu_si128((__m128i *)(void *)t, d0);
    _mm_storeu_si128((__m128i *)(void *)(t + 4), d1);
    _mm_storeu_si128((__m128i *)(void *)(t + 8), d2);
    _mm_storeu_si128((__m128i *)(void *)(t + 12), d3);
}
/* codes already unpacked to unsigned bytes, [8 steps][64]; so many steps in a chain, whose sum counts so many times */
CQ__SSE41 void cq__byte_block4_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t chain,
                                     int16_t times) {
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    const __m128i each = _mm_set1_epi16(times);
    for (size_t half = 0; half < 2; half++, w += 32, t += 8)
        for (size_t s = 0; s < 8;) {
            __m128i h00 = _mm_setzero_si128(), h01 = h00, h10 = h00, h11 = h00, h20 = h00, h21 = h00, h30 = h00,
                    h31 = h00;
            for (size_t end = s + chain; s < end; s++) {
                __m128i w0 = CQ__LOAD_SSE41(w + s * 64), w1 = CQ__LOAD_SSE41(w + s * 64 + 16);
                CQ__STEP4_SSE41(s * 4)
            }
            CQ__FLUSH4_SSE41(t, each)
        }
}
CQ__SSE41 void cq__byte_block1_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t chain,
                                     int16_t times) {
    const __m128i each = _mm_set1_epi16(times);
    for (size_t s = 0; s < 8;) {
        __m128i h0 = _mm_setzero_si128(), h1 = h0, h2 = h0, h3 = h0;
        for (size_t end = s + chain; s < end; s++) {
            __m128i x = CQ__SET1_SSE41(q + s * 4);
            CQ__MAD_SSE41(h0, CQ__LOAD_SSE41(w + s * 64), x);
            CQ__MAD_SSE41(h1, CQ__LOAD_SSE41(w + s * 64 + 16), x);
            CQ__MAD_SSE41(h2, CQ__LOAD_SSE41(w + s * 64 + 32), x);
            CQ__MAD_SSE41(h3, CQ__LOAD_SSE41(w + s * 64 + 48), x);
        }
        CQ__ADD_SSE41(t, _mm_madd_epi16(h0, each));
        CQ__ADD_SSE41(t + 4, _mm_madd_epi16(h1, each));
        CQ__ADD_SSE41(t + 8, _mm_madd_epi16(h2, each));
        CQ__ADD_SSE41(t + 12, _mm_madd_epi16(h3, each));
    }
}
/* int8: d += u x, where u = |w| and x takes the sign of w */
#define CQ__MAD8_SSE41(d, w, u, x)                                                                                     \
    d = _mm_add_epi32(d, _mm_madd_epi16(_mm_maddubs_epi16(u, _mm_sign_epi8(x, w)), one))
#define CQ__ROWS8_SSE41(d0, d1, p)                                                                                     \
    x = CQ__SET1_SSE41(p);                                                                                             \
    CQ__MAD8_SSE41(d0, w0, u0, x);                                                                                     \
    CQ__MAD8_SSE41(d1, w1, u1, x);
CQ__SSE41 void cq__int8_block4_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq) {
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    const __m128i one = _mm_set1_epi16(1);
    for (size_t half = 0; half < 2; half++, w += 32, t += 8) {
        __m128i d00 = _mm_setzero_si128(), d01 = d00, d10 = d00, d11 = d00, d20 = d00, d21 = d00, d30 = d00, d31 = d00;
        for (size_t s = 0; s < 8; s++) {
            __m128i w0 = CQ__LOAD_SSE41(w + s * 64), w1 = CQ__LOAD_SSE41(w + s * 64 + 16), x;
            __m128i u0 = _mm_abs_epi8(w0), u1 = _mm_abs_epi8(w1);
            CQ__ROWS8_SSE41(d00, d01, q + s * 4)
            CQ__ROWS8_SSE41(d10, d11, q1 + s * 4)
            CQ__ROWS8_SSE41(d20, d21, q2 + s * 4)
            CQ__ROWS8_SSE41(d30, d31, q3 + s * 4)
        }
        CQ__ADD_SSE41(t, d00);
        CQ__ADD_SSE41(t + 4, d01);
        CQ__ADD_SSE41(t + 16, d10);
        CQ__ADD_SSE41(t + 20, d11);
        CQ__ADD_SSE41(t + 32, d20);
        CQ__ADD_SSE41(t + 36, d21);
        CQ__ADD_SSE41(t + 48, d30);
        CQ__ADD_SSE41(t + 52, d31);
    }
}
CQ__SSE41 void cq__int8_blocks1_sse41(int32_t *t, const unsigned char *w, const int8_t *q, size_t count) {
    const __m128i one = _mm_set1_epi16(1);
    __m128i d0 = CQ__LOAD_SSE41(t), d1 = CQ__LOAD_SSE41(t + 4), d2 = CQ__LOAD_SSE41(t + 8), d3 = CQ__LOAD_SSE41(t + 12);
    for (count *= 8; count; count--, w += 64, q += 4) { /* steps */
        __m128i x = CQ__SET1_SSE41(q), v;
        v = CQ__LOAD_SSE41(w);
        CQ__MAD8_SSE41(d0, v, _mm_abs_epi8(v), x);
        v = CQ__LOAD_SSE41(w + 16);
        CQ__MAD8_SSE41(d1, v, _mm_abs_epi8(v), x);
        v = CQ__LOAD_SSE41(w + 32);
        CQ__MAD8_SSE41(d2, v, _mm_abs_epi8(v), x);
        v = CQ__LOAD_SSE41(w + 48);
        CQ__MAD8_SSE41(d3, v, _mm_abs_epi8(v), x);
    }
    _mm_storeu_si128((__m128i *)(void *)t, d0);
    _mm_storeu_si128((__m128i *)(void *)(t + 4), d1);
    _mm_storeu_si128((__m128i *)(void *)(t + 8), d2);
    _mm_storeu_si128((__m128i *)(void *)(t + 12), d3);
}

/* Codes of a block to one unsigned byte each, [8 steps][64]. Shifts move across bytes; the masks remove what came from
   next door. */
#define CQ__PUT_SSE41(s, x) _mm_storeu_si128((__m128i *)(void *)(out + (s) * 64 + part), x)
#define CQ__SPREAD_SSE41(s, v, h)                                                                                      \
    CQ__PUT_SSE41(s, _mm_or_si128(_mm_and_si128(_mm_srli_epi16(v, (s) & 6), two), _mm_and_si128(h, bit)));
CQ__SSE41 void cq__spread_sse41(unsigned char *out, const unsigned char *w, bool three) {
    const __m128i two = _mm_set1_epi8(3), bit = _mm_set1_epi8(4);
    for (size_t part = 0; part < 64; part += 16) {
        __m128i even = CQ__LOAD_SSE41(w + part), odd = CQ__LOAD_SSE41(w + 64 + part);
        __m128i top = three ? CQ__LOAD_SSE41(w + 128 + part) : _mm_setzero_si128(); /* bit s belongs to step s */
        CQ__SPREAD_SSE41(0, even, _mm_slli_epi16(top, 2))
        CQ__SPREAD_SSE41(1, odd, _mm_slli_epi16(top, 1))
        CQ__SPREAD_SSE41(2, even, top)
        CQ__SPREAD_SSE41(3, odd, _mm_srli_epi16(top, 1))
        CQ__SPREAD_SSE41(4, even, _mm_srli_epi16(top, 2))
        CQ__SPREAD_SSE41(5, odd, _mm_srli_epi16(top, 3))
        CQ__SPREAD_SSE41(6, even, _mm_srli_epi16(top, 4))
        CQ__SPREAD_SSE41(7, odd, _mm_srli_epi16(top, 5))
    }
}
/* Small floats by tables of bytes. mxfp4: one table. Six bits: the low four are looked up in two tables of magnitudes,
   bit 4 says in which, bit 5 is the sign, and `zero` makes it unsigned. */
CQ__SSE41 void cq__four_sse41(unsigned char *out, const unsigned char *w, const unsigned char *table) {
    const __m128i values = CQ__LOAD_SSE41(table), nibble = _mm_set1_epi8(15);
    for (size_t part = 0; part < 64; part += 16)
        for (size_t s = 0; s < 4; s++) {
            __m128i v = CQ__LOAD_SSE41(w + s * 64 + part);
            CQ__PUT_SSE41(s, _mm_shuffle_epi8(values, _mm_and_si128(v, nibble)));
            CQ__PUT_SSE41(s + 4, _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(v, 4), nibble)));
        }
}
#define CQ__SIX_SSE41(s, v, h)                                                                                         \
    {                                                                                                                  \
        __m128i code = _mm_and_si128(v, nibble), top = h, sign = _mm_cmpeq_epi8(_mm_and_si128(top, two), two), x;      \
        top = _mm_cmpeq_epi8(_mm_and_si128(top, one), one);                                                            \
        x = _mm_blendv_epi8(_mm_shuffle_epi8(low, code), _mm_shuffle_epi8(high, code), top);                           \
        CQ__PUT_SSE41(s, _mm_add_epi8(_mm_sub_epi8(_mm_xor_si128(x, sign), sign), more));                              \
    }
CQ__SSE41 void cq__six_sse41(unsigned char *out, const unsigned char *w, const unsigned char *tables, char zero) {
    const __m128i low = CQ__LOAD_SSE41(tables), high = CQ__LOAD_SSE41(tables + 16), more = _mm_set1_epi8(zero);
    const __m128i nibble = _mm_set1_epi8(15), one = _mm_set1_epi8(1), two = _mm_set1_epi8(2);
    for (size_t part = 0; part < 64; part += 16)
        for (size_t odd = 0; odd < 2; odd++) { /* steps odd, 2 + odd, 4 + odd, 6 + odd */
            __m128i v = CQ__LOAD_SSE41(w + odd * 64 + part), u = CQ__LOAD_SSE41(w + (2 + odd) * 64 + part);
            __m128i h = CQ__LOAD_SSE41(w + 256 + odd * 64 + part);
            CQ__SIX_SSE41(odd, v, h)
            CQ__SIX_SSE41(2 + odd, u, _mm_srli_epi16(h, 2))
            CQ__SIX_SSE41(4 + odd, _mm_srli_epi16(v, 4), _mm_srli_epi16(h, 4))
            CQ__SIX_SSE41(6 + odd, _mm_srli_epi16(u, 4), _mm_srli_epi16(h, 6))
        }
}
static const unsigned char cq__e2m1_sse41[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
static const unsigned char cq__e2m3_sse41[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                                16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60};
static const unsigned char cq__e3m2_high_sse41[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  1,  1,  1,  1,
                                                     2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28};
static const unsigned char cq__e3m2_low_sse41[32] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 0, 4, 8, 12,
                                                    0, 8, 0, 8, 0, 0, 0, 0, 0, 0,  0,  0,  0, 0, 0, 0};

CQ__SSE41 void cq__bytes_sse41(int32_t *acc, const unsigned char *bytes, const int8_t *q, size_t ldq, size_t n,
                               size_t chain, int16_t times) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) cq__byte_block4_sse41(acc + j * CQ__ROWS, bytes, q + j * ldq, ldq, chain, times);
    for (; j < n; j++) cq__byte_block1_sse41(acc + j * CQ__ROWS, bytes, q + j * ldq, chain, times);
}
/* acc (n, 16) += codes times activations of `count` blocks */
CQ__SSE41 void cq__blocks_sse41(int32_t *acc, const unsigned char *w, cq_format format, const int8_t *q, size_t ldq,
                                size_t n, size_t count) {
    const size_t bytes_of = cq__block_bytes(format);
    CQ__ALIGNED unsigned char bytes[CQ__BLOCK * CQ__ROWS];
    if (format == CQ_INT4 || format == CQ_INT8) {
        size_t j = 0;
        for (; j + 4 <= n; j += 4)
            for (size_t b = 0; b < count; b++) {
                if (format == CQ_INT4)
                    cq__int4_block4_sse41(acc + j * CQ__ROWS, w + b * bytes_of, q + j * ldq + b * CQ__BLOCK, ldq);
                else cq__int8_block4_sse41(acc + j * CQ__ROWS, w + b * bytes_of, q + j * ldq + b * CQ__BLOCK, ldq);
            }
        for (; j < n; j++) {
            if (format == CQ_INT4) cq__int4_blocks1_sse41(acc + j * CQ__ROWS, w, q + j * ldq, count);
            else cq__int8_blocks1_sse41(acc + j * CQ__ROWS, w, q + j * ldq, count);
        }
        return;
    }
    for (; count; count--, w += bytes_of, q += CQ__BLOCK) {
        if (format == CQ_MXFP4) {
            cq__four_sse41(bytes, w, cq__e2m1_sse41);
            cq__bytes_sse41(acc, bytes, q, ldq, n, 4, 1);
        } else if (format == CQ_MXFP6_E2M3) {
            cq__six_sse41(bytes, w, cq__e2m3_sse41, 60);
            cq__bytes_sse41(acc, bytes, q, ldq, n, 1, 1);
        } else if (format == CQ_MXFP6_E3M2) {
            cq__six_sse41(bytes, w, cq__e3m2_high_sse41, 28);
            cq__bytes_sse41(acc, bytes, q, ldq, n, 2, 16);
            cq__six_sse41(bytes, w, cq__e3m2_low_sse41, 15);
            cq__bytes_sse41(acc, bytes, q, ldq, n, 4, 1);
        } else {
            cq__spread_sse41(bytes, w, format == CQ_INT3);
            cq__bytes_sse41(acc, bytes, q, ldq, n, 8, 1);
        }
    }
}
/* == cq__panel_q8_c, eight columns at a time: they share the scales of a group and what was unpacked */
CQ__SSE41 void cq__panel_q8_sse41(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first,
                                  size_t n) {
    const size_t ldq = a->stride, ld_scale = cq__acts_groups(a);
    const int8_t *q = a->q + first * ldq;
    const int32_t *sum = a->sum + first;
    const float *scale = a->scale + first * ld_scale;
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *blocks = p + cq__panel_head(t);
    const size_t groups = cq_tensor_groups(t), per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    /* what is added to the numbers, or (int8) taken away */
    const int32_t offset = t->format == CQ_INT8         ? -128
                           : t->format == CQ_MXFP4      ? 12
                           : t->format == CQ_MXFP6_E2M3 ? 60
                           : t->format == CQ_MXFP6_E3M2 ? 16 * 28 + 15
                                                        : 0;
    const float unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits);
    if (t->group_size % CQ__BLOCK) { /* a group ends within a block */
        cq__panel_q8_c(out, t, panel, a, first, n);
        return;
    }
    CQ__ALIGNED int32_t acc[8 * CQ__ROWS], zero[CQ__ROWS];
    CQ__ALIGNED float unpacked[CQ__ROWS];
    for (size_t j0 = 0; j0 < n; j0 += 8, q += 8 * ldq, sum += 8, scale += 8 * ld_scale, out += 8 * CQ__ROWS) {
        size_t m = cq__min(8, n - j0);
        for (size_t i = 0; i < m * CQ__ROWS; i += 4) cq__store4(out + i, cq__all4(0.0f));
        for (size_t g = 0; g < groups; g++) {
            const size_t b0 = g * per, b1 = cq__min(b0 + per, count);
            for (size_t j = 0; j < m; j++) { /* by four: gcc makes a slow `rep stos` of one store in a loop */
                __m128i *to = (__m128i *)(void *)(acc + j * CQ__ROWS), none = _mm_setzero_si128();
                _mm_store_si128(to, none);
                _mm_store_si128(to + 1, none);
                _mm_store_si128(to + 2, none);
                _mm_store_si128(to + 3, none);
            }
            cq__blocks_sse41(acc, blocks + b0 * cq__block_bytes(t->format), t->format, q + b0 * CQ__BLOCK, ldq, m,
                             b1 - b0);
            cq__grids_v4(unpacked, zero, t, p, g);
            for (size_t i = 0; i < CQ__ROWS && offset; i++) { /* integers have no unit, but int8 an offset */
                unpacked[i] = unpacked[i] * unit;
                zero[i] += offset;
            }
            for (size_t j = 0; j < m; j++) {
                int32_t total = 0;
                for (size_t b = b0; b < b1; b++) total += sum[b * a->ld_sum + j];
                cq__add_group_v4(out + j * CQ__ROWS, acc + j * CQ__ROWS, zero, unpacked, total,
                                 a->group_size ? scale[j * ld_scale + g] : 1.0f);
            }
        }
        for (size_t j = 0; j < m && !a->group_size; j++)
            for (size_t i = j * CQ__ROWS; i < (j + 1) * CQ__ROWS; i += 4)
                cq__store4(out + i, cq__load4(out + i) * cq__all4(scale[j]));
    }
}

CQ__SSE41 void cq__panels_q8_sse41(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                   size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_sse41(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

static const cq__kernels cq__kernels_sse41 = {
    "sse41", cq__tile_f32_v4, CQ__KERNELS_FMA_V4,
    cq__round16_v4,  CQ__COST16_V4, cq__decide16_v4,
    cq__descend16_v4, cq__unpack_v4,  cq__panels_q8_sse41, cq__quantize_v4, cq__dot_v4, cq__dots_v4,
    cq__mix_v4,      cq__from_f16_v4, cq__from_int8_v4, cq__dots_q8_c,  cq__turn_v4,   cq__sum_v4,
    cq__max_v4,      cq__axpy_v4,     cq__scale_v4,    cq__exp_minus_v4, cq__silu_mul_v4, NULL};
#endif /* CQ__X86 && CQ__V4 */

/* ###################################################################################################################
   [X86]  the same results, faster. Per-function targets: no -m flag is needed; "fma" is in those that say so.
   ################################################################################################################## */
#if CQ__X86
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized" /* gcc 12: of variables in its own header */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#ifdef _MSC_VER
#define CQ__AVX2 static
#define CQ__AVX2_FMA static
#define CQ__AVX2_INLINE static __forceinline
#define CQ__AVX2_FMA_INLINE static __forceinline
#define CQ__AVX512_INLINE static __forceinline
#define CQ__AVX512VNNI_INLINE static __forceinline
#define CQ__AVXVNNI static
#define CQ__AVX512 static
#define CQ__AVX512VNNI static
#define CQ__AMX static
#else
#define CQ__AVX2 __attribute__((target("avx2,f16c"))) static
#define CQ__AVX2_FMA __attribute__((target("avx2,f16c,fma"))) static
#define CQ__AVX2_INLINE __attribute__((target("avx2,f16c"), always_inline)) static inline
#define CQ__AVX2_FMA_INLINE __attribute__((target("avx2,f16c,fma"), always_inline)) static inline
#define CQ__AVX512_INLINE                                                                                              \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl"), always_inline)) static inline
#define CQ__AVXVNNI __attribute__((target("avx2,f16c,fma,avxvnni"))) static
#define CQ__AVX512 __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl"))) static
#define CQ__AVX512VNNI __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))) static
#define CQ__AVX512VNNI_INLINE                                                                                          \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"), always_inline)) static inline
#define CQ__AMX                                                                                                        \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8"))) static
#endif
/* Before the last statement of a function, if that is a call: gcc 12 makes a jump of it and forgets vzeroupper, without
   which SSE code that follows is slow (115 ns a call were measured). */
#define CQ__CLEAN() _mm256_zeroupper()

/* == cq__tile_f32_c: 16 rows x 4 columns in eight accumulators, a block of 32 at a time */
CQ__AVX2 void cq__tile4_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                             size_t k) {
    float *c1 = c + ldc, *c2 = c1 + ldc, *c3 = c2 + ldc;
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        __m256 p00 = _mm256_setzero_ps(), p01 = p00, p10 = p00, p11 = p00, p20 = p00, p21 = p00, p30 = p00, p31 = p00;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb) {
            __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8), x;
            x = _mm256_broadcast_ss(b);
            p00 = _mm256_add_ps(p00, _mm256_mul_ps(a0, x));
            p01 = _mm256_add_ps(p01, _mm256_mul_ps(a1, x));
            x = _mm256_broadcast_ss(b + jb);
            p10 = _mm256_add_ps(p10, _mm256_mul_ps(a0, x));
            p11 = _mm256_add_ps(p11, _mm256_mul_ps(a1, x));
            x = _mm256_broadcast_ss(b + 2 * jb);
            p20 = _mm256_add_ps(p20, _mm256_mul_ps(a0, x));
            p21 = _mm256_add_ps(p21, _mm256_mul_ps(a1, x));
            x = _mm256_broadcast_ss(b + 3 * jb);
            p30 = _mm256_add_ps(p30, _mm256_mul_ps(a0, x));
            p31 = _mm256_add_ps(p31, _mm256_mul_ps(a1, x));
        }
        _mm256_storeu_ps(c, _mm256_add_ps(_mm256_loadu_ps(c), p00));
        _mm256_storeu_ps(c + 8, _mm256_add_ps(_mm256_loadu_ps(c + 8), p01));
        _mm256_storeu_ps(c1, _mm256_add_ps(_mm256_loadu_ps(c1), p10));
        _mm256_storeu_ps(c1 + 8, _mm256_add_ps(_mm256_loadu_ps(c1 + 8), p11));
        _mm256_storeu_ps(c2, _mm256_add_ps(_mm256_loadu_ps(c2), p20));
        _mm256_storeu_ps(c2 + 8, _mm256_add_ps(_mm256_loadu_ps(c2 + 8), p21));
        _mm256_storeu_ps(c3, _mm256_add_ps(_mm256_loadu_ps(c3), p30));
        _mm256_storeu_ps(c3 + 8, _mm256_add_ps(_mm256_loadu_ps(c3 + 8), p31));
    }
}
CQ__AVX2 void cq__tile1_avx2(float *c, const float *a, size_t lda, const float *b, size_t kb, size_t k) {
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        __m256 p0 = _mm256_setzero_ps(), p1 = p0;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb) {
            __m256 x = _mm256_broadcast_ss(b);
            p0 = _mm256_add_ps(p0, _mm256_mul_ps(_mm256_loadu_ps(a), x));
            p1 = _mm256_add_ps(p1, _mm256_mul_ps(_mm256_loadu_ps(a + 8), x));
        }
        _mm256_storeu_ps(c, _mm256_add_ps(_mm256_loadu_ps(c), p0));
        _mm256_storeu_ps(c + 8, _mm256_add_ps(_mm256_loadu_ps(c + 8), p1));
    }
}
CQ__AVX2 void cq__tile_f32_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                                size_t k, size_t n) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) cq__tile4_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
    for (; j < n; j++) cq__tile1_avx2(c + j * ldc, a, lda, b + j * jb, kb, k);
}

CQ__INLINE bool cq__packed(size_t lda, size_t kb, size_t jb) {
    return lda == CQ__ROWS && kb == CQ__PACK_STRIP && jb == 1;
}
/* == cq__fma_f32_c: a tile of 16 rows x N columns stays in registers along the whole chain. AVX2: two vectors a panel,
   N = 6, twelve of sixteen registers. Columns are addressed from every third, so that few pointers are needed.
   What is packed, as in cq_gemm, has distances that the compiler knows, so it needs one pointer each. There are four
   steps to a turn of the loop, because its own instructions compete with the multiplications for ports (within L1 98 %
   of their peak, 91 to 98 without all that). gcc would mix these steps, and spill; it does not when all sums are looked
   at, by nobody, after each (2 % of cq_gemm). Meanwhile the next strip is asked for: the first panel would wait. */
typedef struct cq__sums6_avx2 {
    __m256 p[6], q[6]; /* rows 0 to 7 and 8 to 15 of each column */
} cq__sums6_avx2;
CQ__AVX2_FMA_INLINE void cq__column_fma_avx2(__m256 *p, __m256 *q, __m256 a0, __m256 a1, const float *b) {
    const __m256 v = _mm256_broadcast_ss(b);
    *p = _mm256_fmadd_ps(a0, v, *p);
    *q = _mm256_fmadd_ps(a1, v, *q);
}
CQ__AVX2_FMA_INLINE void cq__column_load_avx2(__m256 *p, __m256 *q, const float *c) {
    *p = _mm256_loadu_ps(c);
    *q = _mm256_loadu_ps(c + 8);
}
CQ__AVX2_FMA_INLINE void cq__column_store_avx2(float *c, __m256 p, __m256 q) {
    _mm256_storeu_ps(c, p);
    _mm256_storeu_ps(c + 8, q);
}
/* One step of the chain; b3 = b + 3 jb. */
CQ__AVX2_FMA_INLINE void cq__step6_fma_avx2(cq__sums6_avx2 *t, const float *a, const float *b, const float *b3,
                                            size_t jb) {
    const __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8);
    cq__column_fma_avx2(&t->p[0], &t->q[0], a0, a1, b);
    cq__column_fma_avx2(&t->p[1], &t->q[1], a0, a1, b + jb);
    cq__column_fma_avx2(&t->p[2], &t->q[2], a0, a1, b + 2 * jb);
    cq__column_fma_avx2(&t->p[3], &t->q[3], a0, a1, b3);
    cq__column_fma_avx2(&t->p[4], &t->q[4], a0, a1, b3 + jb);
    cq__column_fma_avx2(&t->p[5], &t->q[5], a0, a1, b3 + 2 * jb);
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) /* 32 bits have eight registers */
    __asm__("" : "+x"(t->p[0]), "+x"(t->p[1]), "+x"(t->p[2]), "+x"(t->p[3]), "+x"(t->p[4]), "+x"(t->p[5]),
                 "+x"(t->q[0]), "+x"(t->q[1]), "+x"(t->q[2]), "+x"(t->q[3]), "+x"(t->q[4]), "+x"(t->q[5]));
#endif
}
CQ__AVX2_FMA_INLINE void cq__fma6_any_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                           size_t jb, size_t k, bool packed, const float *next) {
    const float *b3 = b + 3 * jb;
    cq__sums6_avx2 t;
    cq__column_load_avx2(&t.p[0], &t.q[0], c);
    cq__column_load_avx2(&t.p[1], &t.q[1], c + ldc);
    cq__column_load_avx2(&t.p[2], &t.q[2], c + 2 * ldc);
    cq__column_load_avx2(&t.p[3], &t.q[3], c + 3 * ldc);
    cq__column_load_avx2(&t.p[4], &t.q[4], c + 4 * ldc);
    cq__column_load_avx2(&t.p[5], &t.q[5], c + 5 * ldc);
    for (; k >= 4; k -= 4) {
        if (packed) _mm_prefetch((const char *)next, _MM_HINT_T1), next += 1;
        cq__step6_fma_avx2(&t, a, b, b3, jb);
        a += lda, b += kb, b3 += kb;
        cq__step6_fma_avx2(&t, a, b, b3, jb);
        a += lda, b += kb, b3 += kb;
        cq__step6_fma_avx2(&t, a, b, b3, jb);
        a += lda, b += kb, b3 += kb;
        cq__step6_fma_avx2(&t, a, b, b3, jb);
        a += lda, b += kb, b3 += kb;
    }
    for (; k > 0; k--, a += lda, b += kb, b3 += kb) cq__step6_fma_avx2(&t, a, b, b3, jb);
    cq__column_store_avx2(c, t.p[0], t.q[0]);
    cq__column_store_avx2(c + ldc, t.p[1], t.q[1]);
    cq__column_store_avx2(c + 2 * ldc, t.p[2], t.q[2]);
    cq__column_store_avx2(c + 3 * ldc, t.p[3], t.q[3]);
    cq__column_store_avx2(c + 4 * ldc, t.p[4], t.q[4]);
    cq__column_store_avx2(c + 5 * ldc, t.p[5], t.q[5]);
}
CQ__AVX2_FMA void cq__fma6_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                                size_t k, const float *next) {
    if (cq__packed(lda, kb, jb)) cq__fma6_any_avx2(c, ldc, a, CQ__ROWS, b, CQ__PACK_STRIP, 1, k, true, next);
    else cq__fma6_any_avx2(c, ldc, a, lda, b, kb, jb, k, false, next);
}
CQ__AVX2_FMA void cq__fma2_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                            size_t k) {
    __m256 p0, q0, p1, q1;
    cq__column_load_avx2(&p0, &q0, c);
    cq__column_load_avx2(&p1, &q1, c + ldc);
    for (size_t t = 0; t < k; t++, a += lda, b += kb) {
        const __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8);
        cq__column_fma_avx2(&p0, &q0, a0, a1, b);
        cq__column_fma_avx2(&p1, &q1, a0, a1, b + jb);
    }
    cq__column_store_avx2(c, p0, q0);
    cq__column_store_avx2(c + ldc, p1, q1);
}
CQ__AVX2_FMA void cq__fma1_avx2(float *c, const float *a, size_t lda, const float *b, size_t kb, size_t k) {
    __m256 p, q;
    cq__column_load_avx2(&p, &q, c);
    for (size_t t = 0; t < k; t++, a += lda, b += kb)
        cq__column_fma_avx2(&p, &q, _mm256_loadu_ps(a), _mm256_loadu_ps(a + 8), b);
    cq__column_store_avx2(c, p, q);
}
CQ__AVX2_FMA void cq__fma_f32_avx2(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                   const float *b, size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    const float *first = c;
    for (size_t p = 0; p < panels; p++, c += cp, a += ap) {
        size_t j = 0;
        for (; j + 6 <= n; j += 6) {
            const float *next = j + 12 <= n ? c + (j + 6) * ldc : p + 1 < panels ? c + cp : first + n * ldc;
            for (size_t i = 0; i < 6 && k >= 64; i++) /* the next tile of c, or of the next call */
                _mm_prefetch((const char *)(next + i * ldc), _MM_HINT_T0);
            next = b + CQ__PACK_STRIP * k + (2 * p + j / 6) * (k / 4); /* 1/48 of the next strip: of 24 panels */
            cq__fma6_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k, next);
        }
        for (; j + 2 <= n; j += 2) cq__fma2_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
        for (; j < n; j++) cq__fma1_avx2(c + j * ldc, a, lda, b + j * jb, kb, k);
    }
}

/* The same with AVX-512: two panels x 12 columns, 24 of 32 registers. One panel alone would have as many loads as
   multiplications, and gets half the speed; it goes to AVX2, which is no slower then. */
typedef struct cq__sums12_avx512 {
    __m512 p[12], q[12]; /* of each column, in the first and in the second panel */
} cq__sums12_avx512;
CQ__AVX512_INLINE void cq__column_fma_avx512(__m512 *p, __m512 *q, __m512 a0, __m512 a1, const float *b) {
    const __m512 v = _mm512_set1_ps(*b);
    *p = _mm512_fmadd_ps(a0, v, *p);
    *q = _mm512_fmadd_ps(a1, v, *q);
}
CQ__AVX512_INLINE void cq__column_load_avx512(__m512 *p, __m512 *q, const float *c, size_t cp) {
    *p = _mm512_loadu_ps(c);
    *q = _mm512_loadu_ps(c + cp);
}
CQ__AVX512_INLINE void cq__column_store_avx512(float *c, size_t cp, __m512 p, __m512 q) {
    _mm512_storeu_ps(c, p);
    _mm512_storeu_ps(c + cp, q);
}
/* One step of the chain; b3 = b + 3 jb and so on. */
CQ__AVX512_INLINE void cq__step12_fma_avx512(cq__sums12_avx512 *t, const float *a, size_t ap, const float *b,
                                             const float *b3, const float *b6, const float *b9, size_t jb) {
    const __m512 a0 = _mm512_loadu_ps(a), a1 = _mm512_loadu_ps(a + ap);
    cq__column_fma_avx512(&t->p[0], &t->q[0], a0, a1, b);
    cq__column_fma_avx512(&t->p[1], &t->q[1], a0, a1, b + jb);
    cq__column_fma_avx512(&t->p[2], &t->q[2], a0, a1, b + 2 * jb);
    cq__column_fma_avx512(&t->p[3], &t->q[3], a0, a1, b3);
    cq__column_fma_avx512(&t->p[4], &t->q[4], a0, a1, b3 + jb);
    cq__column_fma_avx512(&t->p[5], &t->q[5], a0, a1, b3 + 2 * jb);
    cq__column_fma_avx512(&t->p[6], &t->q[6], a0, a1, b6);
    cq__column_fma_avx512(&t->p[7], &t->q[7], a0, a1, b6 + jb);
    cq__column_fma_avx512(&t->p[8], &t->q[8], a0, a1, b6 + 2 * jb);
    cq__column_fma_avx512(&t->p[9], &t->q[9], a0, a1, b9);
    cq__column_fma_avx512(&t->p[10], &t->q[10], a0, a1, b9 + jb);
    cq__column_fma_avx512(&t->p[11], &t->q[11], a0, a1, b9 + 2 * jb);
}
CQ__AVX512_INLINE void cq__fma12_any_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                            const float *b, size_t kb, size_t jb, size_t k, bool packed,
                                            const float *next) {
    const float *b3 = b + 3 * jb, *b6 = b3 + 3 * jb, *b9 = b6 + 3 * jb;
    cq__sums12_avx512 t;
    cq__column_load_avx512(&t.p[0], &t.q[0], c, cp);
    cq__column_load_avx512(&t.p[1], &t.q[1], c + ldc, cp);
    cq__column_load_avx512(&t.p[2], &t.q[2], c + 2 * ldc, cp);
    cq__column_load_avx512(&t.p[3], &t.q[3], c + 3 * ldc, cp);
    cq__column_load_avx512(&t.p[4], &t.q[4], c + 4 * ldc, cp);
    cq__column_load_avx512(&t.p[5], &t.q[5], c + 5 * ldc, cp);
    cq__column_load_avx512(&t.p[6], &t.q[6], c + 6 * ldc, cp);
    cq__column_load_avx512(&t.p[7], &t.q[7], c + 7 * ldc, cp);
    cq__column_load_avx512(&t.p[8], &t.q[8], c + 8 * ldc, cp);
    cq__column_load_avx512(&t.p[9], &t.q[9], c + 9 * ldc, cp);
    cq__column_load_avx512(&t.p[10], &t.q[10], c + 10 * ldc, cp);
    cq__column_load_avx512(&t.p[11], &t.q[11], c + 11 * ldc, cp);
    for (; k >= 4; k -= 4) {
        if (packed) _mm_prefetch((const char *)next, _MM_HINT_T1), next += 4;
        cq__step12_fma_avx512(&t, a, ap, b, b3, b6, b9, jb);
        a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb;
        cq__step12_fma_avx512(&t, a, ap, b, b3, b6, b9, jb);
        a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb;
        cq__step12_fma_avx512(&t, a, ap, b, b3, b6, b9, jb);
        a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb;
        cq__step12_fma_avx512(&t, a, ap, b, b3, b6, b9, jb);
        a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb;
    }
    for (; k > 0; k--, a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb)
        cq__step12_fma_avx512(&t, a, ap, b, b3, b6, b9, jb);
    cq__column_store_avx512(c, cp, t.p[0], t.q[0]);
    cq__column_store_avx512(c + ldc, cp, t.p[1], t.q[1]);
    cq__column_store_avx512(c + 2 * ldc, cp, t.p[2], t.q[2]);
    cq__column_store_avx512(c + 3 * ldc, cp, t.p[3], t.q[3]);
    cq__column_store_avx512(c + 4 * ldc, cp, t.p[4], t.q[4]);
    cq__column_store_avx512(c + 5 * ldc, cp, t.p[5], t.q[5]);
    cq__column_store_avx512(c + 6 * ldc, cp, t.p[6], t.q[6]);
    cq__column_store_avx512(c + 7 * ldc, cp, t.p[7], t.q[7]);
    cq__column_store_avx512(c + 8 * ldc, cp, t.p[8], t.q[8]);
    cq__column_store_avx512(c + 9 * ldc, cp, t.p[9], t.q[9]);
    cq__column_store_avx512(c + 10 * ldc, cp, t.p[10], t.q[10]);
    cq__column_store_avx512(c + 11 * ldc, cp, t.p[11], t.q[11]);
}
CQ__AVX512 void cq__fma12_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                                 size_t kb, size_t jb, size_t k, const float *next) {
    if (cq__packed(lda, kb, jb)) cq__fma12_any_avx512(c, cp, ldc, a, ap, CQ__ROWS, b, CQ__PACK_STRIP, 1, k, true, next);
    else cq__fma12_any_avx512(c, cp, ldc, a, ap, lda, b, kb, jb, k, false, next);
}
CQ__AVX512 void cq__fma4_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                            size_t kb, size_t jb, size_t k) {
    const float *b3 = b + 3 * jb;
    __m512 p0, q0, p1, q1, p2, q2, p3, q3;
    cq__column_load_avx512(&p0, &q0, c, cp);
    cq__column_load_avx512(&p1, &q1, c + ldc, cp);
    cq__column_load_avx512(&p2, &q2, c + 2 * ldc, cp);
    cq__column_load_avx512(&p3, &q3, c + 3 * ldc, cp);
    for (size_t t = 0; t < k; t++, a += lda, b += kb, b3 += kb) {
        const __m512 a0 = _mm512_loadu_ps(a), a1 = _mm512_loadu_ps(a + ap);
        cq__column_fma_avx512(&p0, &q0, a0, a1, b);
        cq__column_fma_avx512(&p1, &q1, a0, a1, b + jb);
        cq__column_fma_avx512(&p2, &q2, a0, a1, b + 2 * jb);
        cq__column_fma_avx512(&p3, &q3, a0, a1, b3);
    }
    cq__column_store_avx512(c, cp, p0, q0);
    cq__column_store_avx512(c + ldc, cp, p1, q1);
    cq__column_store_avx512(c + 2 * ldc, cp, p2, q2);
    cq__column_store_avx512(c + 3 * ldc, cp, p3, q3);
}
CQ__AVX512 void cq__fma1_avx512(float *c, size_t cp, const float *a, size_t ap, size_t lda, const float *b, size_t kb,
                                size_t k) {
    __m512 p, q;
    cq__column_load_avx512(&p, &q, c, cp);
    for (size_t t = 0; t < k; t++, a += lda, b += kb)
        cq__column_fma_avx512(&p, &q, _mm512_loadu_ps(a), _mm512_loadu_ps(a + ap), b);
    cq__column_store_avx512(c, cp, p, q);
}
CQ__AVX512 void cq__fma_f32_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                   const float *b, size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    const size_t pairs = panels / 2;
    size_t j = 0;
    for (; j + 12 <= n; j += 12)
        for (size_t p = 0; p < pairs; p++) {
            float *to = c + 2 * p * cp + j * ldc;
            const float *next = p + 1 < pairs ? to + 2 * cp : c + (j + 12) * ldc;
            for (size_t i = 0; i < 12 && k >= 64; i++) { /* the next tile of c, or of the next call */
                _mm_prefetch((const char *)(next + i * ldc), _MM_HINT_T0);
                _mm_prefetch((const char *)(next + cp + i * ldc), _MM_HINT_T0);
            }
            next = b + CQ__PACK_STRIP * k + p * (k / 4 * 4); /* 1/12 of the next strip: of 12 pairs */
            cq__fma12_avx512(to, cp, ldc, a + 2 * p * ap, ap, lda, b + j * jb, kb, jb, k, next);
        }
    for (; j + 4 <= n; j += 4)
        for (size_t p = 0; p < pairs; p++)
            cq__fma4_avx512(c + 2 * p * cp + j * ldc, cp, ldc, a + 2 * p * ap, ap, lda, b + j * jb, kb, jb, k);
    for (; j < n; j++)
        for (size_t p = 0; p < pairs; p++)
            cq__fma1_avx512(c + 2 * p * cp + j * ldc, cp, a + 2 * p * ap, ap, lda, b + j * jb, kb, k);
    c += 2 * pairs * cp;
    a += 2 * pairs * ap;
    panels -= 2 * pairs;
    CQ__CLEAN();
    cq__fma_f32_avx2(c, cp, ldc, a, ap, lda, b, kb, jb, k, n, panels);
}

/* == cq__eliminate_c, column by column: what is written of those before comes from the L1 cache, and the sums of the
   next column begin meanwhile. Four vectors at a time, so that chains fill the pipelines; a panel that is left alone is
   computed twice, with one outcome. */
CQ__AVX2_FMA void cq__eliminate_avx2(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b,
                                     size_t n, size_t panels) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    for (size_t step; panels > 0; panels -= step, p += step * pp, u += step * 16) {
        float *p1 = panels > 1 ? p + pp : p, *u1 = panels > 1 ? u + 16 : u;
        step = panels > 1 ? 2 : 1;
        for (size_t m = 0; m < n; m++) {
            const size_t at = n - 1 - m;
            const __m256 by = _mm256_broadcast_ss(d + at);
            __m256 s0, t0, s1, t1;
            cq__column_load_avx2(&s0, &t0, p + m * 16);
            cq__column_load_avx2(&s1, &t1, p1 + m * 16);
            for (size_t j = 0; j < m; j++) {
                const float *a0 = p + j * 16, *a1 = p1 + j * 16, *x = b + j * 12 + m;
                cq__column_fma_avx2(&s0, &t0, _mm256_loadu_ps(a0), _mm256_loadu_ps(a0 + 8), x);
                cq__column_fma_avx2(&s1, &t1, _mm256_loadu_ps(a1), _mm256_loadu_ps(a1 + 8), x);
            }
            cq__column_store_avx2(u + at * ldu, _mm256_div_ps(s0, by), _mm256_div_ps(t0, by));
            cq__column_store_avx2(u1 + at * ldu, _mm256_div_ps(s1, by), _mm256_div_ps(t1, by));
            cq__column_store_avx2(p + m * 16, _mm256_xor_ps(s0, sign), _mm256_xor_ps(t0, sign));
            cq__column_store_avx2(p1 + m * 16, _mm256_xor_ps(s1, sign), _mm256_xor_ps(t1, sign));
        }
    }
}
/* Pairs of panels. */
CQ__AVX512 void cq__eliminate_avx512(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b,
                                     size_t n, size_t panels) {
    const __m512 sign = _mm512_set1_ps(-0.0f);
    for (size_t step; panels > 1; panels -= step, p += step * pp, u += step * 16) {
        float *p2 = panels > 3 ? p + 2 * pp : p, *u2 = panels > 3 ? u + 32 : u;
        step = panels > 3 ? 4 : 2;
        for (size_t m = 0; m < n; m++) {
            const size_t at = n - 1 - m;
            const __m512 by = _mm512_set1_ps(d[at]);
            __m512 s0, t0, s2, t2;
            cq__column_load_avx512(&s0, &t0, p + m * 16, pp);
            cq__column_load_avx512(&s2, &t2, p2 + m * 16, pp);
            for (size_t j = 0; j < m; j++) {
                const float *a0 = p + j * 16, *a2 = p2 + j * 16, *x = b + j * 12 + m;
                cq__column_fma_avx512(&s0, &t0, _mm512_loadu_ps(a0), _mm512_loadu_ps(a0 + pp), x);
                cq__column_fma_avx512(&s2, &t2, _mm512_loadu_ps(a2), _mm512_loadu_ps(a2 + pp), x);
            }
            cq__column_store_avx512(u + at * ldu, 16, _mm512_div_ps(s0, by), _mm512_div_ps(t0, by));
            cq__column_store_avx512(u2 + at * ldu, 16, _mm512_div_ps(s2, by), _mm512_div_ps(t2, by));
            cq__column_store_avx512(p + m * 16, pp, _mm512_xor_ps(s0, sign), _mm512_xor_ps(t0, sign));
            cq__column_store_avx512(p2 + m * 16, pp, _mm512_xor_ps(s2, sign), _mm512_xor_ps(t2, sign));
        }
    }
    CQ__CLEAN();
    cq__eliminate_avx2(p, pp, u, ldu, d, b, n, panels);
}

/* eight lanes of cq__step */
CQ__AVX2 __m256 cq__step8_avx2(__m256 v, __m256 exponent, __m256 least, __m256 large) {
    __m256 unit = _mm256_mul_ps(_mm256_max_ps(_mm256_and_ps(v, exponent), least), large);
    return _mm256_sub_ps(_mm256_add_ps(v, unit), unit);
}
/* the level of eight lanes of v; i: 0 or 8, which of the 16 grids */
CQ__AVX2 __m256 cq__level8_avx2(__m256 v, const float *grids, size_t i, const cq__steps *steps) {
    const __m256 exponent = _mm256_set1_ps(cq__float(steps->exponent)), one = _mm256_set1_ps(1.0f);
    __m256 s = _mm256_loadu_ps(grids + i), q;
    s = _mm256_blendv_ps(one, s, _mm256_cmp_ps(s, _mm256_setzero_ps(), _CMP_GT_OQ));
    q = _mm256_max_ps(_mm256_div_ps(v, s), _mm256_loadu_ps(grids + 32 + i));
    q = _mm256_min_ps(q, _mm256_loadu_ps(grids + 48 + i));
    return cq__step8_avx2(q, exponent, _mm256_set1_ps(steps->least), _mm256_set1_ps(steps->large));
}
CQ__AVX2 void cq__round16_avx2(float *level, const float *v, const float *grids, const cq__steps *steps) {
    for (size_t i = 0; i < 16; i += 8)
        _mm256_storeu_ps(level + i, cq__level8_avx2(_mm256_loadu_ps(v + i), grids, i, steps));
}
CQ__AVX2_FMA void cq__cost16_avx2(float *cost, const float *x, const float *weight, size_t n, const float *grids,
                                  const float *inverse, const cq__steps *steps) {
    const __m256 exponent = _mm256_set1_ps(cq__float(steps->exponent)), least = _mm256_set1_ps(steps->least);
    const __m256 large = _mm256_set1_ps(steps->large), unit = _mm256_mul_ps(least, large); /* of integers */
    for (size_t i = 0; i < 16; i += 8) {
        const __m256 scale = _mm256_loadu_ps(grids + i), lo = _mm256_loadu_ps(grids + 32 + i);
        const __m256 hi = _mm256_loadu_ps(grids + 48 + i), r = _mm256_loadu_ps(inverse + i);
        __m256 sum = _mm256_setzero_ps();
        for (size_t k = 0; k < n; k++) {
            __m256 v = _mm256_loadu_ps(x + k * 16 + i), e;
            __m256 q = _mm256_min_ps(_mm256_max_ps(_mm256_mul_ps(v, r), lo), hi);
            q = steps->exponent ? cq__step8_avx2(q, exponent, least, large)
                                : _mm256_sub_ps(_mm256_add_ps(q, unit), unit);
            e = _mm256_fnmadd_ps(q, scale, v);
            sum = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_broadcast_ss(weight + k), e), e, sum);
        }
        _mm256_storeu_ps(cost + i, sum);
    }
}
CQ__AVX2 void cq__decide16_avx2(float *x, float *e, float *w, float *loss, float d, const float *grids,
                                const cq__steps *steps) {
    for (size_t i = 0; i < 16; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), level = cq__level8_avx2(v, grids, i, steps);
        __m256 value = _mm256_mul_ps(level, _mm256_loadu_ps(grids + i)), r = _mm256_sub_ps(v, value);
        __m256 dr = _mm256_mul_ps(r, _mm256_set1_ps(d));
        _mm256_storeu_ps(e + i, _mm256_sub_ps(_mm256_loadu_ps(w + i), value));
        _mm256_storeu_ps(x + i, dr);
        _mm256_storeu_ps(w + i, level);
        _mm256_storeu_ps(loss + i, _mm256_add_ps(_mm256_loadu_ps(loss + i), _mm256_mul_ps(dr, r)));
    }
}
CQ__AVX2 void cq__descend16_avx2(float *level, float *g, float *e, float *change, float *loss, float diagonal,
                                 float own, const float *grids, const cq__steps *steps) {
    const __m256 curve = _mm256_set1_ps(diagonal);
    for (size_t i = 0; i < 16; i += 8) {
        __m256 scale = _mm256_loadu_ps(grids + i), slope = _mm256_loadu_ps(g + i);
        __m256 old = _mm256_mul_ps(_mm256_loadu_ps(level + i), scale);
        __m256 to = cq__level8_avx2(_mm256_add_ps(old, _mm256_div_ps(slope, curve)), grids, i, steps);
        __m256 step = _mm256_sub_ps(old, _mm256_mul_ps(to, scale));
        __m256 more = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(2.0f), slope), _mm256_mul_ps(step, curve));
        _mm256_storeu_ps(level + i, to);
        _mm256_storeu_ps(change + i, step);
        _mm256_storeu_ps(e + i, _mm256_add_ps(_mm256_loadu_ps(e + i), step));
        _mm256_storeu_ps(loss + i, _mm256_add_ps(_mm256_loadu_ps(loss + i), _mm256_mul_ps(step, more)));
        _mm256_storeu_ps(g + i, _mm256_add_ps(slope, _mm256_mul_ps(_mm256_set1_ps(own), step)));
    }
}

CQ__AVX512 void cq__cost16_avx512(float *cost, const float *x, const float *weight, size_t n, const float *grids,
                                  const float *inverse, const cq__steps *steps) {
    const __m512 scale = _mm512_loadu_ps(grids), lo = _mm512_loadu_ps(grids + 32), hi = _mm512_loadu_ps(grids + 48);
    const __m512 large = _mm512_set1_ps(steps->large), least = _mm512_set1_ps(steps->least);
    const __m512i exponent = _mm512_set1_epi32((int32_t)steps->exponent);
    const __mmask16 all = 0xffff; /* without a mask gcc 12 warns of a variable of its own */
    const __m512 r = _mm512_loadu_ps(inverse), integer = _mm512_mul_ps(least, large);
    __m512 sum = _mm512_setzero_ps();
    for (size_t k = 0; k < n; k++) {
        __m512 v = _mm512_loadu_ps(x + k * 16), e, unit = integer;
        __m512 q = _mm512_maskz_min_ps(all, _mm512_maskz_max_ps(all, _mm512_mul_ps(v, r), lo), hi);
        if (steps->exponent) {
            unit = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(q), exponent));
            unit = _mm512_mul_ps(_mm512_maskz_max_ps(all, unit, least), large);
        }
        e = _mm512_fnmadd_ps(_mm512_sub_ps(_mm512_add_ps(q, unit), unit), scale, v);
        sum = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(weight[k]), e), e, sum);
    }
    _mm512_storeu_ps(cost, sum);
}

/* ---- integer products, == cq__panels_q8_c ----
   A step of a panel, 64 bytes, is two vectors of AVX2 and one of AVX-512:

       byte      0    1    2    3  |   4  ...  7  | ...        of one vector: 32-bit lane r holds row r's columns k..k+3
                r0k0 r0k1 r0k2 r0k3| r1k0 ... r1k3| ...
       times     x0   x1   x2   x3 |  x0 ...  x3  | ...        four activations, copied to every lane

   so that each lane sums up its own row. Two instructions do that, both unsigned bytes times signed bytes:
     vpmaddubsw adds neighbours in int16. Codes below 2^b, activations within 127: 2 * (2^b - 1) * 127 a step; a "chain"
       of steps may stay in int16 as long as it cannot overflow: 8 steps of codes <= 15 (30480 < 32768), 4 of <= 31, 2
       of <= 63. Then vpmaddwd with ones widens it to the 32-bit lane.
     vpdpbusd (VNNI) adds all four in the 32-bit lane: any code, no chain.
   Codes are made unsigned by an offset, which comes off in the end: sum (c + offset) x - offset sum x. Where they need
   more bits than a chain has, they are two planes, 16 high + low, summed apart.

   The codes of a few blocks of a group are spread to bytes once, into the L1 cache, for all columns of the call. The
   sums live in memory (acc), the chains in registers; they are named, not an array: then every compiler keeps them
   there at -O2. Per 2048 products of 16 rows x 32 columns x 4 activations AVX2 needs 64 vpmaddubsw, 56 vpaddw, 8
   vpmaddwd and 8 vpaddd, all on three ports: 45 cycles; VNNI 32 vpdpbusd on two ports: 16.

   The end of a group costs as much as two steps, so it is short. Sums begin at CQ__ONES, the bits of the float
   1.5 2^23, whose last bit is worth 1: while |sum| < 2^22, the bits of CQ__ONES + sum are those of the float
   1.5 2^23 + sum. One multiply-add, (1.5 2^23 + sum) scale - 1.5 2^23 scale, is then sum times scale, rounded once, as
   a conversion and a multiplication would have it: 1.5 2^23 scale is exact, a scale having eleven bits. (Only a zero
   may have the other sign, and out, which begins at +0, stays the same whichever is added.) Where 1.5 2^23 scale is
   not finite, a scale out of all reason, plain C does the work; sums of groups that are too long are left in acc. */
#define CQ__LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define CQ__SAVE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define CQ__SET1(p) _mm256_set1_epi32((int32_t)cq__u32((const unsigned char *)(p)))
#if defined(__GNUC__) && !defined(__clang__)
#define CQ__NO_UNROLL _Pragma("GCC unroll 1") /* -O3 would unroll and spill the accumulators */
#else
#define CQ__NO_UNROLL
#endif

#define CQ__ONES 0x4b400000
enum { CQ__Q8_BLOCKS = 4 }; /* blocks that are spread at a time: 2 KB a plane */
#define CQ__PLANE (CQ__Q8_BLOCKS * CQ__BLOCK * CQ__ROWS)
#define CQ__SUMS (CQ__Q8_COLUMNS * CQ__ROWS)

/* How the codes of a format become unsigned bytes. */
typedef struct cq__q8_codes {
    bool two;       /* planes */
    uint8_t chain;  /* steps that int16 holds */
    int32_t offset; /* what a code of 0 has become; of integers without zeros: their middle */
} cq__q8_codes;
/* Weights come from far away: those of the turn after the next are asked for while this one goes on, a few lines of 64
   bytes at a time. All at once they would take every buffer for what is not in L1 (10 to 16), and activations would
   wait for memory behind them: one product in twenty, as measured. */
typedef struct cq__ahead {
    const unsigned char *next[2]; /* of two panels */
    size_t bytes[2];
} cq__ahead;
CQ__AVX2 void cq__ask(cq__ahead *ahead, size_t lines) { /* of each panel */
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < lines && ahead->bytes[s]; i++) {
            const size_t step = cq__min(64, ahead->bytes[s]);
            _mm_prefetch((const char *)ahead->next[s], _MM_HINT_T0);
            ahead->next[s] += step, ahead->bytes[s] -= step;
        }
}
/* What differs between the tiers. */
typedef struct cq__q8_tier {
    bool whole; /* codes may have 8 bits */
    /* blocks * 512 bytes of codes; the high plane, where there are two, CQ__PLANE further on */
    void (*spread)(unsigned char *out, const unsigned char *w, cq_format format, size_t blocks, bool two);
    /* acc (n, 16) += codes times n rows of activations. less (n), if not NULL: where each column's sums begin, in place
       of acc. out (n, 16), if not NULL: where they end, in place of acc: out += (sum - CQ__ONES) scale; at scale there
       are the 16 of them and 16 times -1.5 2^23 scale. Both given, that may be so for several groups of `per` blocks,
       less and scale one row of CQ__Q8_COLUMNS and 64 further on for each. Meanwhile it asks for what is ahead. */
    void (*dot)(int32_t *acc, const unsigned char *codes, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                size_t per, size_t chain, const int32_t *less, float *out, const float *scale, cq__ahead *ahead);
    /* The same for two panels at once, what belongs to the second CQ__SUMS, CQ__PLANE, ld floats and 32 floats of
       scales further on; NULL: one by one. */
    void (*dot2)(int32_t *acc, const unsigned char *codes, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                 size_t per, size_t chain, const int32_t *less, float *out, size_t ld, const float *scale,
                 cq__ahead *ahead);
} cq__q8_tier;

static cq__q8_codes cq__q8_codes_of(cq_format format, bool whole) {
    cq__q8_codes c = {false, 8, 0};
    switch (format) {
    case CQ_MXFP4: c.offset = 12, c.chain = 4; break;         /* -12..12 */
    case CQ_MXFP6_E2M3: c.offset = 60, c.two = !whole; break; /* -60..60 */
    case CQ_MXFP6_E3M2: c.offset = 28 * 16 + 15, c.chain = 2, c.two = true; break; /* -28..28, -15..15 */
    case CQ_INT8: c.offset = 128, c.two = !whole; break;
    default: c.offset = cq__middle(format); break;
    }
    return c;
}

/* eight scales of fp16 or E8M0; what E8M0's 0 and 255 mean is no shift of bits */
CQ__AVX2_INLINE __m256 cq__scales8_of_avx2(const unsigned char *p, bool mx) {
    if (!mx) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i v = _mm256_slli_epi32(e, 23), none = _mm256_cmpeq_epi32(e, _mm256_setzero_si256());
    v = _mm256_or_si256(v, _mm256_and_si256(none, _mm256_set1_epi32(1 << 22)));
    none = _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255));
    return _mm256_castsi256_ps(_mm256_or_si256(v, _mm256_and_si256(none, _mm256_set1_epi32(1 << 22))));
}
CQ__AVX2 __m256 cq__scales8_avx2(const unsigned char *p, cq_format format) {
    return cq__scales8_of_avx2(p, cq_format_is_mx(format));
}
/* The scales of some groups as factors of the sums, and what the factors make of 1.5 2^23, 64 floats further on for
   each group. False: one of these is not finite. */
CQ__AVX2 bool cq__scales_avx2(float *out, const cq_tensor *t, const unsigned char *panel, size_t group, size_t groups) {
    const size_t half = 8 * cq__scale_bytes(t);
    const unsigned char *at = panel + 2 * half * group;
    const __m256 unit = _mm256_set1_ps(cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits));
    const __m256 ones = _mm256_set1_ps(-cq__float(CQ__ONES)), infinity = _mm256_set1_ps(CQ__INFINITY);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 fine = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (; groups; groups--, out += 48)
        for (size_t i = 0; i < 2; i++, at += half, out += 8) {
            const __m256 s = _mm256_mul_ps(cq__scales8_avx2(at, t->format), unit), v = _mm256_mul_ps(s, ones);
            fine = _mm256_and_ps(fine, _mm256_cmp_ps(_mm256_andnot_ps(sign, v), infinity, _CMP_LT_OQ));
            _mm256_storeu_ps(out, s);
            _mm256_storeu_ps(out + 16, v);
        }
    return _mm256_movemask_ps(fine) == 255;
}
/* Eight sums begin and end. */
CQ__AVX2_INLINE __m256i cq__start8_avx2(const int32_t *acc, const int32_t *less) {
    return less ? _mm256_set1_epi32(*less) : CQ__LOAD(acc);
}
CQ__AVX2_FMA_INLINE void cq__stop8_avx2(int32_t *acc, __m256i sum, float *out, __m256 scale, const float *ones) {
    if (out) {
        const __m256 v = _mm256_fmadd_ps(_mm256_castsi256_ps(sum), scale, _mm256_loadu_ps(ones));
        _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), v));
    } else {
        CQ__SAVE(acc, sum);
    }
}
/* less (n) = first + factor times the sum of each column's activations over some blocks */
CQ__AVX2 void cq__totals_avx2(int32_t *less, const int32_t *sum, size_t ld_sum, size_t blocks, size_t n,
                              int32_t factor, int32_t first) {
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        __m256i all = _mm256_setzero_si256();
        for (size_t b = 0; b < blocks; b++) all = _mm256_add_epi32(all, CQ__LOAD(sum + b * ld_sum + j));
        all = _mm256_mullo_epi32(all, _mm256_set1_epi32(factor));
        CQ__SAVE(less + j, _mm256_add_epi32(all, _mm256_set1_epi32(first)));
    }
    for (; j < n; j++) {
        int32_t all = 0;
        for (size_t b = 0; b < blocks; b++) all += sum[b * ld_sum + j];
        less[j] = first + factor * all;
    }
}
/* Sums begin with what the offsets add, taken away: less, or, with zeros, first less the sum of the activations times
   each. */
CQ__AVX2 void cq__begin_avx2(int32_t *acc, const int32_t *less, const unsigned char *zeros, size_t n, int32_t first) {
    __m256i z0 = _mm256_set1_epi32(1), z1 = z0;
    const __m256i f = _mm256_set1_epi32(zeros ? first : 0);
    if (zeros) {
        const __m128i z = _mm_loadu_si128((const __m128i *)(const void *)zeros);
        z0 = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtepu8_epi32(z));
        z1 = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtepu8_epi32(_mm_srli_si128(z, 8)));
    }
    for (size_t j = 0; j < n; j++, acc += CQ__ROWS) {
        const __m256i v = _mm256_set1_epi32(less[j]);
        CQ__SAVE(acc, _mm256_add_epi32(f, _mm256_mullo_epi32(z0, v)));
        CQ__SAVE(acc + 8, _mm256_add_epi32(f, _mm256_mullo_epi32(z1, v)));
    }
}
/* The end of sums of two planes, or with a scale for each column: act (n), ld_act apart, if not NULL. */
CQ__AVX2 void cq__finish_avx2(const int32_t *acc, float *out, const float *scale, const float *act, size_t ld_act,
                              size_t n, bool two) {
    for (size_t j = 0; j < n; j++, acc += CQ__ROWS, out += CQ__ROWS)
        for (size_t r = 0; r < CQ__ROWS; r += 8) {
            __m256i sum = CQ__LOAD(acc + r);
            __m256 s = _mm256_loadu_ps(scale + r);
            if (two) sum = _mm256_add_epi32(sum, _mm256_slli_epi32(CQ__LOAD(acc + CQ__SUMS + r), 4));
            if (act) s = _mm256_mul_ps(s, _mm256_set1_ps(act[j * ld_act]));
            s = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), s);
            _mm256_storeu_ps(out + r, _mm256_add_ps(_mm256_loadu_ps(out + r), s));
        }
}

/* out (n, 16) = 0, or, with act (n), out times act. */
CQ__AVX2 void cq__times_avx2(float *out, const float *act, size_t n) {
    for (size_t j = 0; j < n; j++, out += CQ__ROWS) {
        const __m256 v = act ? _mm256_broadcast_ss(act + j) : _mm256_setzero_ps();
        _mm256_storeu_ps(out, act ? _mm256_mul_ps(_mm256_loadu_ps(out), v) : v);
        _mm256_storeu_ps(out + 8, act ? _mm256_mul_ps(_mm256_loadu_ps(out + 8), v) : v);
    }
}
/* Panels of any format, whatever the tier: two at a time, group by group, a few blocks at a time. */
static void cq__panels_q8_x86(const cq__q8_tier *tier, float *out, const cq_tensor *t, size_t panel, size_t panels,
                              const cq_acts *a, size_t first, size_t n) {
    const size_t panel_bytes = cq_panel_bytes(t), head = cq__panel_head(t), block_bytes = cq__block_bytes(t->format);
    const size_t groups = cq_tensor_groups(t), per = t->group_size / CQ__BLOCK, count = cq__blocks(t), ldq = a->stride;
    const size_t ld_scale = cq__acts_groups(a), ld = n * CQ__ROWS;
    const cq__q8_codes codes = cq__q8_codes_of(t->format, tier->whole);
    /* the largest |code - zero| */
    const size_t most = t->asym ? ((size_t)1 << cq_format_bits(t->format)) - 1 : (size_t)codes.offset;
    const bool fits = most * 127 * t->group_size < (size_t)1 << 22; /* the sums of a group */
    const bool begins = !t->asym && !codes.two, ends = !a->group_size && !codes.two && fits; /* in registers of dot */
    const int32_t ones = ends ? CQ__ONES : 0;
    CQ__ALIGNED unsigned char bytes[2 * CQ__PLANE];
    CQ__ALIGNED int32_t acc[2 * CQ__SUMS];
    CQ__ALIGNED float scales[4 * CQ__ROWS * CQ__Q8_BLOCKS];
    CQ__ALIGNED int32_t less[CQ__Q8_COLUMNS * CQ__Q8_BLOCKS];
    const size_t many = begins && ends && per && per < CQ__Q8_BLOCKS ? CQ__Q8_BLOCKS / per : 1; /* groups at a time */
    /* Two turns ahead, for the first columns: in this panel, or, from its end, `next` further on. */
    const size_t reach = 2 * CQ__Q8_BLOCKS, scale_bytes = CQ__ROWS * cq__scale_bytes(t);
    for (size_t p = 0, slots; p < panels; p += slots, out += slots * ld) {
        const unsigned char *data = t->data + (panel + p) * panel_bytes;
        slots = cq__min(codes.two ? 1 : 2, panels - p);
        const size_t next = slots * panel_bytes;
        cq__times_avx2(out, NULL, slots * n);
        for (size_t j0 = 0; j0 < n; j0 += CQ__Q8_COLUMNS) {
            const size_t m = cq__min(CQ__Q8_COLUMNS, n - j0);
            bool fine = true;
            const int8_t *q = a->q + (first + j0) * ldq;
            const int32_t *sum = a->sum + first + j0;
            const float *act = a->scale + (first + j0) * ld_scale;
            float *to = out + j0 * CQ__ROWS;
            for (size_t g = 0; g < groups && fine; g += many) {
                const size_t last = cq__min((g + many) * per, count);
                for (size_t s = 0; s < slots; s++) {
                    const unsigned char *at = data + s * panel_bytes;
                    fine &= cq__scales_avx2(scales + 2 * s * CQ__ROWS, t, at, g, cq__min(many, groups - g));
                    at += (g + 2 * many) * scale_bytes + (g + 2 * many < groups ? 0 : next - groups * scale_bytes);
                    for (size_t i = 0; i < many * scale_bytes && first + j0 == 0; i += 64)
                        _mm_prefetch((const char *)(at + i), _MM_HINT_T0);
                }
                for (size_t i = 0, b = g * per; b < last; i++) { /* the groups */
                    const size_t k = cq__min(per, last - b);
                    cq__totals_avx2(less + i * CQ__Q8_COLUMNS, sum + b * a->ld_sum, a->ld_sum, k, m,
                                    t->asym ? 1 : -codes.offset, t->asym ? 0 : ones);
                    b += k;
                }
                for (size_t s = 0; s < slots && !begins; s++) {
                    const unsigned char *zeros = data + s * panel_bytes + cq__zeros_at(t) + g * CQ__ROWS;
                    cq__begin_avx2(acc + s * CQ__SUMS, less, t->asym ? zeros : NULL, m, ones);
                }
                for (size_t i = 0; codes.two && i < m * CQ__ROWS; i++) acc[CQ__SUMS + i] = 0;
                for (size_t b = g * per; b < last; b += CQ__Q8_BLOCKS) {
                    const size_t blocks = cq__min(CQ__Q8_BLOCKS, last - b);
                    const int32_t *from = begins && b == g * per ? less : NULL;
                    float *end = ends && b + blocks == last ? to : NULL;
                    const int8_t *x = q + b * CQ__BLOCK;
                    cq__ahead ahead = {{NULL, NULL}, {0, 0}};
                    for (size_t s = 0; s < slots; s++) {
                        const unsigned char *w = data + s * panel_bytes + head + b * block_bytes;
                        tier->spread(bytes + s * CQ__PLANE, w, t->format, blocks, codes.two);
                        ahead.next[s] = w + reach * block_bytes + (b + reach < count ? 0 : next - count * block_bytes);
                        ahead.bytes[s] = first + j0 == 0 ? blocks * block_bytes : 0;
                    }
                    if (slots == 2 && tier->dot2)
                        tier->dot2(acc, bytes, x, ldq, m, blocks, cq__min(per, blocks), codes.chain, from, end, ld,
                                   scales, &ahead);
                    else
                        for (size_t s = 0; s < slots + codes.two; s++)
                            tier->dot(acc + s * CQ__SUMS, bytes + s * CQ__PLANE, x, ldq, m, blocks,
                                      cq__min(per, blocks), codes.chain, from, end ? end + s * ld : NULL,
                                      scales + 2 * s * CQ__ROWS, &ahead);
                    cq__ask(&ahead, SIZE_MAX); /* what is left, if there are few columns */
                }
                for (size_t s = 0; s < slots && !ends; s++)
                    cq__finish_avx2(acc + s * CQ__SUMS, to + s * ld, scales + 2 * s * CQ__ROWS,
                                    a->group_size ? act + g : NULL, ld_scale, m, codes.two);
            }
            for (size_t s = 0; s < slots; s++) {
                if (!fine) cq__panel_q8_c(to + s * ld, t, panel + p + s, a, first + j0, m);
                else if (!a->group_size) cq__times_avx2(to + s * ld, act, m);
            }
        }
    }
}

/* codes of 2 and 3 bits: those of step s from their plane, and bit s of the top plane as bit 2. Shifts move across
   bytes; the masks remove what came from next door. */
CQ__AVX2_INLINE __m256i cq__low_avx2(__m256i v, __m256i top, int s, bool three) {
    v = _mm256_and_si256(_mm256_srli_epi16(v, s & 6), _mm256_set1_epi8(3));
    if (!three) return v;
    top = s >= 2 ? _mm256_srli_epi16(top, s - 2) : _mm256_slli_epi16(top, 2 - s);
    return _mm256_or_si256(v, _mm256_and_si256(top, _mm256_set1_epi8(4)));
}
CQ__AVX2 void cq__spread_low_avx2(unsigned char *out, const unsigned char *w, bool three) {
    for (size_t half = 0; half < 64; half += 32) {
        const __m256i top = three ? CQ__LOAD(w + 128 + half) : _mm256_setzero_si256();
        for (int s = 0; s < 8; s++) {
            const __m256i v = CQ__LOAD(w + 64 * (s & 1) + half);
            CQ__SAVE(out + 64 * s + half, cq__low_avx2(v, top, s, three));
        }
    }
}
/* 16 entries of a table for either half of a vector */
CQ__AVX2 __m256i cq__table_avx2(const signed char *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}
/* small floats of 6 bits: the magnitude, five bits, in units of 2^-q8_bits, by tables of what is above and below 16 */
CQ__AVX2 void cq__spread_six_avx2(unsigned char *out, const unsigned char *w, bool e3m2, bool two) {
    static const signed char table[2][4][16] = {/* e2m3 below 16 and from 16 on; the rest 0 */
        {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
         {16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60},
         {0}, {0}},
        {{0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 0, 4, 8, 12}, /* e3m2: v mod 16 */
         {0, 8, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
         {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, /* v / 16 */
         {2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}}};
    const __m256i t0 = cq__table_avx2(table[e3m2][0]), t1 = cq__table_avx2(table[e3m2][1]);
    const __m256i t2 = cq__table_avx2(table[e3m2][2]), t3 = cq__table_avx2(table[e3m2][3]);
    const __m256i nibble = _mm256_set1_epi8(15), one = _mm256_set1_epi8(1), sign_bit = _mm256_set1_epi8(2);
    const __m256i low_offset = _mm256_set1_epi8(e3m2 ? 15 : 60), high_offset = _mm256_set1_epi8(28);
    for (size_t half = 0; half < 64; half += 32)
        for (int s = 0; s < 8; s++) {
            unsigned char *to = out + (size_t)s * 64 + half;
            __m256i v = _mm256_srli_epi16(CQ__LOAD(w + (size_t)(s & 3) * 64 + half), s & 4), x, y;
            __m256i top = _mm256_srli_epi16(CQ__LOAD(w + 256 + (size_t)(s & 1) * 64 + half), s & 6);
            const __m256i sign = _mm256_cmpeq_epi8(_mm256_and_si256(top, sign_bit), sign_bit);
            v = _mm256_and_si256(v, nibble);
            top = _mm256_cmpeq_epi8(_mm256_and_si256(top, one), one);
            x = _mm256_blendv_epi8(_mm256_shuffle_epi8(t0, v), _mm256_shuffle_epi8(t1, v), top);
            x = _mm256_add_epi8(_mm256_sub_epi8(_mm256_xor_si256(x, sign), sign), low_offset);
            if (e3m2) {
                y = _mm256_blendv_epi8(_mm256_shuffle_epi8(t2, v), _mm256_shuffle_epi8(t3, v), top);
                y = _mm256_add_epi8(_mm256_sub_epi8(_mm256_xor_si256(y, sign), sign), high_offset);
                CQ__SAVE(to + CQ__PLANE, y);
            } else if (two) {
                CQ__SAVE(to + CQ__PLANE, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
                x = _mm256_and_si256(x, nibble);
            }
            CQ__SAVE(to, x);
        }
}
/* The numbers of e2m1 in halves, from 12 on. */
static const signed char cq__e2m1[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
/* codes of four bits, the common ones */
CQ__AVX2 void cq__spread_four_avx2(unsigned char *out, const unsigned char *w, size_t blocks) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (; blocks; blocks--, w += 256, out += 512)
        for (size_t i = 0; i < 256; i += 32) {
            const __m256i v = CQ__LOAD(w + i);
            CQ__SAVE(out + i, _mm256_and_si256(v, nibble));
            CQ__SAVE(out + 256 + i, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
        }
}
CQ__AVX2 void cq__spread_avx2(unsigned char *out, const unsigned char *w, cq_format format, size_t blocks, bool two) {
    const __m256i nibble = _mm256_set1_epi8(15), flip = _mm256_set1_epi8((char)-128);
    const __m256i table = cq__table_avx2(cq__e2m1);
    if (format == CQ_INT4) {
        cq__spread_four_avx2(out, w, blocks);
        return;
    }
    for (const size_t size = cq__block_bytes(format); blocks; blocks--, w += size, out += 512) {
        if (format == CQ_MXFP4) {
            for (size_t i = 0; i < 256; i += 32) {
                const __m256i v = CQ__LOAD(w + i), high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
                CQ__SAVE(out + i, _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)));
                CQ__SAVE(out + 256 + i, _mm256_shuffle_epi8(table, high));
            }
        } else if (format == CQ_INT8) {
            for (size_t i = 0; i < 512; i += 32) {
                __m256i v = _mm256_xor_si256(CQ__LOAD(w + i), flip);
                if (two) CQ__SAVE(out + CQ__PLANE + i, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
                CQ__SAVE(out + i, two ? _mm256_and_si256(v, nibble) : v);
            }
        } else if (format == CQ_INT3 || format == CQ_INT2) {
            cq__spread_low_avx2(out, w, format == CQ_INT3);
        } else {
            cq__spread_six_avx2(out, w, format == CQ_MXFP6_E3M2, two);
        }
    }
}

/* Compilers would load early what is needed late: that memory changed (by nobody) keeps loads in place. */
#if defined(__GNUC__) || defined(__clang__)
#define CQ__IN_ORDER() __asm__ volatile("" : : : "memory")
#else
#define CQ__IN_ORDER() ((void)0)
#endif
#define CQ__MAD(h, w, x) h = _mm256_add_epi16(h, _mm256_maddubs_epi16(w, x))
typedef struct cq__chains_avx2 {
    __m256i p[4], q[4]; /* rows 0 to 7 and 8 to 15 of each column */
} cq__chains_avx2;
CQ__AVX2_INLINE void cq__column_chain_avx2(__m256i *p, __m256i *q, __m256i w0, __m256i w1, const int8_t *act) {
    const __m256i x = CQ__SET1(act);
    CQ__MAD(*p, w0, x);
    CQ__KEEP(*p);
    CQ__MAD(*q, w1, x);
    CQ__KEEP(*q);
}
/* Step s for four columns; act3 = act + 3 ld. */
CQ__AVX2_INLINE void cq__step4_chain_avx2(cq__chains_avx2 *h, const unsigned char *w, const int8_t *act, size_t ld,
                                          const int8_t *act3, size_t s) {
    CQ__IN_ORDER();
    const __m256i w0 = CQ__LOAD(w + 64 * s), w1 = CQ__LOAD(w + 64 * s + 32);
    cq__column_chain_avx2(&h->p[0], &h->q[0], w0, w1, act + 4 * s);
    cq__column_chain_avx2(&h->p[1], &h->q[1], w0, w1, act + ld + 4 * s);
    cq__column_chain_avx2(&h->p[2], &h->q[2], w0, w1, act + 2 * ld + 4 * s);
    cq__column_chain_avx2(&h->p[3], &h->q[3], w0, w1, act3 + 4 * s);
}
/* One column's chains are widened and added to its sums. */
CQ__AVX2_FMA_INLINE void cq__widen_avx2(int32_t *acc, __m256i h0, __m256i h1, const int32_t *less, bool begins,
                                        float *out, bool ends, __m256 s0, __m256 s1, const float *scale) {
    const __m256i one = _mm256_set1_epi16(1);
    CQ__IN_ORDER();
    h0 = _mm256_add_epi32(_mm256_madd_epi16(h0, one), cq__start8_avx2(acc, begins ? less : NULL));
    h1 = _mm256_add_epi32(_mm256_madd_epi16(h1, one), cq__start8_avx2(acc + 8, begins ? less : NULL));
    cq__stop8_avx2(acc, h0, ends ? out : NULL, s0, scale + 16);
    cq__stop8_avx2(acc + 8, h1, ends ? out + 8 : NULL, s1, scale + 24);
}
/* One chain of each of n columns. begins, ends: constants, so that this is four functions without a jump. */
CQ__AVX2_FMA_INLINE void cq__chain_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                        size_t chain, const int32_t *less, bool begins, float *out, bool ends,
                                        const float *scale) {
    const __m256 s0 = _mm256_loadu_ps(scale), s1 = _mm256_loadu_ps(scale + 8);
    for (const int8_t *q3 = q + 3 * ldq; n >= 4; n -= 4, q += 4 * ldq, q3 += 4 * ldq) {
        const __m256i w0 = CQ__LOAD(w), w1 = CQ__LOAD(w + 32);
        cq__chains_avx2 h;
        __m256i x = CQ__SET1(q);
        h.p[0] = _mm256_maddubs_epi16(w0, x), h.q[0] = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q + ldq);
        h.p[1] = _mm256_maddubs_epi16(w0, x), h.q[1] = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q + 2 * ldq);
        h.p[2] = _mm256_maddubs_epi16(w0, x), h.q[2] = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q3);
        h.p[3] = _mm256_maddubs_epi16(w0, x), h.q[3] = _mm256_maddubs_epi16(w1, x);
        cq__step4_chain_avx2(&h, w, q, ldq, q3, 1);
        if (chain > 2) {
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 2);
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 3);
        }
        if (chain > 4) {
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 4);
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 5);
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 6);
            cq__step4_chain_avx2(&h, w, q, ldq, q3, 7);
        }
        cq__widen_avx2(acc, h.p[0], h.q[0], less, begins, out, ends, s0, s1, scale);
        cq__widen_avx2(acc + 16, h.p[1], h.q[1], less + 1, begins, out + 16, ends, s0, s1, scale);
        cq__widen_avx2(acc + 32, h.p[2], h.q[2], less + 2, begins, out + 32, ends, s0, s1, scale);
        cq__widen_avx2(acc + 48, h.p[3], h.q[3], less + 3, begins, out + 48, ends, s0, s1, scale);
        if (begins) less += 4;
        if (ends) out += 4 * CQ__ROWS;
        if (!begins || !ends) acc += 4 * CQ__ROWS;
    }
    for (; n; n--, q += ldq, acc += CQ__ROWS, less += begins ? 1 : 0, out += ends ? CQ__ROWS : 0) {
        __m256i h0 = _mm256_setzero_si256(), h1 = h0;
        for (size_t s = 0; s < chain; s++) {
            const __m256i x = CQ__SET1(q + 4 * s);
            CQ__MAD(h0, CQ__LOAD(w + 64 * s), x);
            CQ__MAD(h1, CQ__LOAD(w + 64 * s + 32), x);
        }
        cq__widen_avx2(acc, h0, h1, less, begins, out, ends, s0, s1, scale);
    }
}
CQ__AVX2_FMA void cq__chain_whole_avx2(const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t chain,
                                       const int32_t *less, float *out, const float *scale) {
    cq__chain_avx2(NULL, w, q, ldq, n, chain, less, true, out, true, scale);
}
CQ__AVX2_FMA void cq__chain_first_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                       size_t chain, const int32_t *less, const float *scale) {
    cq__chain_avx2(acc, w, q, ldq, n, chain, less, true, NULL, false, scale);
}
CQ__AVX2_FMA void cq__chain_inner_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                       size_t chain, const float *scale) {
    cq__chain_avx2(acc, w, q, ldq, n, chain, NULL, false, NULL, false, scale);
}
CQ__AVX2_FMA void cq__chain_last_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                      size_t chain, float *out, const float *scale) {
    cq__chain_avx2(acc, w, q, ldq, n, chain, NULL, false, out, true, scale);
}
static void cq__dot_avx2_q8(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                            size_t per, size_t chain, const int32_t *less, float *out, const float *scale,
                            cq__ahead *ahead) {
    const unsigned char *last = w + blocks * 512, *stop = w; /* of the blocks, of a group */
    while (w < last) {
        const bool begins = less && w == stop;
        if (w == stop) stop += cq__min(per * 512, (size_t)(last - w));
        const bool ends = out && w + chain * 64 == stop;
        cq__ask(ahead, 2);
        if (begins && ends) cq__chain_whole_avx2(w, q, ldq, n, chain, less, out, scale);
        else if (begins) cq__chain_first_avx2(acc, w, q, ldq, n, chain, less, scale);
        else if (ends) cq__chain_last_avx2(acc, w, q, ldq, n, chain, out, scale);
        else cq__chain_inner_avx2(acc, w, q, ldq, n, chain, scale);
        w += chain * 64, q += chain * 4;
        if (ends && less) less += CQ__Q8_COLUMNS, scale += 4 * CQ__ROWS;
    }
}
static const cq__q8_tier cq__q8_avx2 = {false, cq__spread_avx2, cq__dot_avx2_q8, NULL};

/* A column or two, 2, 3, 4 or 8 bits: memory is the bound, and the faster the more places are read at once: some
   processors' own prefetching follows each place for a few lines only, and stops at each page of 4 KB. So four panels
   take turns, block by block, their sums in the L1 cache: a Zen 3 reads 1.3 times as fast then, an Emerald Rapids, give
   or take 5 %, as fast as in one place and asked further ahead (which costs the Zen 8 to 20 %). */
#define CQ__ASK(w, first, second)                                                                                      \
    _mm_prefetch((const char *)(w) + (first), _MM_HINT_T0), _mm_prefetch((const char *)(w) + (second), _MM_HINT_T1)
#define CQ__STREAM(w) CQ__ASK(w, 512, 1024) /* one of four places */
#define CQ__STREAM_ALONE(w) CQ__ASK(w, 1024, 6144)
/* Four int8 codes of a row in each lane, |w| <= 128 as the unsigned side, the activation takes the sign: 2 * 128 * 127
   < 2^15. */
CQ__AVX2_INLINE __m256i cq__whole_avx2(__m256i sum, __m256i size, __m256i v, __m256i x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(x, v)),
                                                   _mm256_set1_epi16(1)));
}
/* Two steps of codes up to 24, then int32: 2 * 2 * 24 * 127 < 2^15. */
CQ__AVX2_INLINE __m256i cq__pair_avx2(__m256i sum, __m256i low, __m256i high, __m256i x, __m256i y) {
    const __m256i h = _mm256_add_epi16(_mm256_maddubs_epi16(low, x), _mm256_maddubs_epi16(high, y));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(h, _mm256_set1_epi16(1)));
}
/* 64 bytes of int8, mxfp4, int4 for 16 rows: (two) columns' sums d, chains h. */
CQ__AVX2_INLINE void cq__step_bytes_avx2(__m256i *d0, __m256i *d1, __m256i *d2, __m256i *d3, const unsigned char *w,
                                         const int8_t *q, const int8_t *r, bool two) {
    const __m256i v0 = CQ__LOAD(w), v1 = CQ__LOAD(w + 32), x = CQ__SET1(q), y = CQ__SET1(r);
    const __m256i size0 = _mm256_abs_epi8(v0), size1 = _mm256_abs_epi8(v1);
    *d0 = cq__whole_avx2(*d0, size0, v0, x);
    *d1 = cq__whole_avx2(*d1, size1, v1, x);
    CQ__KEEP(*d0);
    CQ__KEEP(*d1);
    if (two) {
        *d2 = cq__whole_avx2(*d2, size0, v0, y);
        *d3 = cq__whole_avx2(*d3, size1, v1, y);
        CQ__KEEP(*d2);
        CQ__KEEP(*d3);
    }
    CQ__STREAM(w);
}
CQ__AVX2_INLINE void cq__step_mx_avx2(__m256i *d0, __m256i *d1, __m256i *d2, __m256i *d3, const unsigned char *w,
                                      const int8_t *q, const int8_t *r, __m256i table, bool two) {
    const __m256i mask = _mm256_set1_epi8(15), v0 = CQ__LOAD(w), v1 = CQ__LOAD(w + 32);
    const __m256i w0 = _mm256_shuffle_epi8(table, _mm256_and_si256(v0, mask));
    const __m256i w1 = _mm256_shuffle_epi8(table, _mm256_and_si256(v1, mask));
    const __m256i u0 = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v0, 4), mask));
    const __m256i u1 = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v1, 4), mask));
    __m256i x = CQ__SET1(q), y = CQ__SET1(q + 16);
    *d0 = cq__pair_avx2(*d0, w0, u0, x, y);
    *d1 = cq__pair_avx2(*d1, w1, u1, x, y);
    CQ__KEEP(*d0);
    CQ__KEEP(*d1);
    if (two) {
        x = CQ__SET1(r), y = CQ__SET1(r + 16);
        *d2 = cq__pair_avx2(*d2, w0, u0, x, y);
        *d3 = cq__pair_avx2(*d3, w1, u1, x, y);
        CQ__KEEP(*d2);
        CQ__KEEP(*d3);
    }
    CQ__STREAM(w);
}
CQ__AVX2_INLINE void cq__step_half_avx2(__m256i *h0, __m256i *h1, __m256i *h2, __m256i *h3, const unsigned char *w,
                                        const int8_t *q, const int8_t *r, bool two) {
    const __m256i mask = _mm256_set1_epi8(15), v0 = CQ__LOAD(w), v1 = CQ__LOAD(w + 32);
    const __m256i w0 = _mm256_and_si256(v0, mask), u0 = _mm256_and_si256(_mm256_srli_epi16(v0, 4), mask);
    const __m256i w1 = _mm256_and_si256(v1, mask), u1 = _mm256_and_si256(_mm256_srli_epi16(v1, 4), mask);
    __m256i x = CQ__SET1(q), y = CQ__SET1(q + 16);
    CQ__MAD(*h0, w0, x);
    CQ__MAD(*h1, w1, x);
    CQ__MAD(*h0, u0, y);
    CQ__MAD(*h1, u1, y);
    CQ__KEEP(*h0);
    CQ__KEEP(*h1);
    if (two) {
        x = CQ__SET1(r), y = CQ__SET1(r + 16);
        CQ__MAD(*h2, w0, x);
        CQ__MAD(*h3, w1, x);
        CQ__MAD(*h2, u0, y);
        CQ__MAD(*h3, u1, y);
        CQ__KEEP(*h2);
        CQ__KEEP(*h3);
    }
    CQ__STREAM(w);
}
/* Step s of a block of 2 or 3 bits for 16 rows: (two) columns' chains h. */
CQ__AVX2_INLINE void cq__step_low_avx2(__m256i *h0, __m256i *h1, __m256i *h2, __m256i *h3, const unsigned char *w,
                                       __m256i top0, __m256i top1, const int8_t *q, const int8_t *r, int s, bool three,
                                       bool two) {
    const __m256i w0 = cq__low_avx2(CQ__LOAD(w + 64 * (s & 1)), top0, s, three), x = CQ__SET1(q + 4 * s);
    const __m256i w1 = cq__low_avx2(CQ__LOAD(w + 64 * (s & 1) + 32), top1, s, three), y = CQ__SET1(r + 4 * s);
    CQ__MAD(*h0, w0, x);
    CQ__MAD(*h1, w1, x);
    CQ__KEEP(*h0);
    CQ__KEEP(*h1);
    if (two) {
        CQ__MAD(*h2, w0, y);
        CQ__MAD(*h3, w1, y);
        CQ__KEEP(*h2);
        CQ__KEEP(*h3);
    }
}
CQ__AVX2_INLINE void cq__block_low_avx2(__m256i *h0, __m256i *h1, __m256i *h2, __m256i *h3, const unsigned char *w,
                                        const int8_t *q, const int8_t *r, bool three, bool two) {
    const __m256i top0 = CQ__LOAD(w + (three ? 128 : 0)), top1 = CQ__LOAD(w + (three ? 160 : 0));
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 0, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 1, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 2, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 3, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 4, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 5, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 6, three, two);
    cq__step_low_avx2(h0, h1, h2, h3, w, top0, top1, q, r, 7, three, two);
}
/* What the sums d of a group add to the results f: (d - z total) s act. */
CQ__AVX2_INLINE void cq__ended_avx2(float *f, __m256i d, __m256i z, int32_t total, __m256 s, const float *act) {
    if (act) s = _mm256_mul_ps(s, _mm256_broadcast_ss(act));
    d = _mm256_sub_epi32(d, _mm256_mullo_epi32(z, _mm256_set1_epi32(total)));
    _mm256_storeu_ps(f, _mm256_add_ps(_mm256_loadu_ps(f), _mm256_mul_ps(_mm256_cvtepi32_ps(d), s)));
}

/* What all panels of a call have in common. */
typedef struct cq__streams {
    const cq_tensor *t;
    const cq_acts *a;
    size_t panel_bytes, head, zeros, block_bytes, half; /* half: the scales of 8 rows, in bytes */
    size_t per, count, groups; /* blocks of a group, of a panel; scales of a row of activations */
    int32_t offset;            /* of unsigned codes */
    float unit;
} cq__streams;
static cq__streams cq__streams_of(const cq_tensor *t, const cq_acts *a) {
    cq__streams s;
    s.t = t;
    s.a = a;
    s.panel_bytes = cq_panel_bytes(t);
    s.head = cq__panel_head(t);
    s.zeros = cq__zeros_at(t);
    s.block_bytes = cq__block_bytes(t->format);
    s.half = 8 * cq__scale_bytes(t);
    s.per = t->group_size / CQ__BLOCK;
    s.count = cq__blocks(t);
    s.groups = cq__acts_groups(a);
    s.offset = cq__q8_codes_of(t->format, true).offset;
    s.unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits);
    return s;
}
/* Panels by one column or two: out (panels, ld). format, two: constants, so that this is ten functions. */
CQ__AVX2_INLINE void cq__columns_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                      size_t row, cq_format format, bool two) {
    const cq_acts *a = s->a;
    const unsigned char *data = s->t->data + panel * s->panel_bytes, *blocks = data + s->head;
    const unsigned char *scales = data, *zeros = data + s->zeros; /* of this group */
    const int8_t *q = a->q + row * a->stride, *r = q + (two ? a->stride : 0);
    const int32_t *sum = a->sum + row;
    const float *scale = a->scale + row * s->groups, *scale2 = scale + (two ? s->groups : 0);
    const __m256i one = _mm256_set1_epi16(1), table = cq__table_avx2(cq__e2m1);
    const bool bytes = format == CQ_INT8, mx = format == CQ_MXFP4, low = format == CQ_INT2 || format == CQ_INT3;
    const bool asym = s->t->asym && !mx;
    const int32_t offset = bytes ? 0 : s->offset; /* int8 is signed here */
    const float *act = a->group_size ? scale : NULL, *act2 = a->group_size ? scale2 : NULL;
    CQ__ALIGNED int32_t sums[CQ__STREAMS][2 * CQ__ROWS]; /* of this group, so far */
    int32_t total = 0, total2 = 0;
    for (size_t i = 0; i < panels; i++)
        for (size_t j = 0; j < (two ? 2 * CQ__ROWS : CQ__ROWS); j += 8) {
            _mm256_storeu_ps(out + i * ld + j, _mm256_setzero_ps());
            CQ__SAVE(sums[i] + j, _mm256_setzero_si256());
        }
    for (size_t b = 0, end = 0; b < s->count; b++, q += CQ__BLOCK, r += CQ__BLOCK, blocks += s->block_bytes) {
        if (b == end) end = cq__min(b + s->per, s->count);
        total += sum[b * a->ld_sum];
        if (two) total2 += sum[b * a->ld_sum + 1];
        const bool ends = b + 1 == end;
        for (size_t i = 0; i < panels; i++) {
            const unsigned char *w = blocks + i * s->panel_bytes;
            __m256i d0 = _mm256_setzero_si256(), d1 = d0, d2 = d0, d3 = d0, h0 = d0, h1 = d0, h2 = d0, h3 = d0;
            if (bytes) {
                for (size_t k = 0; k < CQ__BLOCK; k += 16, w += 256) {
                    cq__step_bytes_avx2(&d0, &d1, &d2, &d3, w, q + k, r + k, two);
                    cq__step_bytes_avx2(&d0, &d1, &d2, &d3, w + 64, q + k + 4, r + k + 4, two);
                    cq__step_bytes_avx2(&d0, &d1, &d2, &d3, w + 128, q + k + 8, r + k + 8, two);
                    cq__step_bytes_avx2(&d0, &d1, &d2, &d3, w + 192, q + k + 12, r + k + 12, two);
                }
            } else if (mx) {
                cq__step_mx_avx2(&d0, &d1, &d2, &d3, w, q, r, table, two);
                cq__step_mx_avx2(&d0, &d1, &d2, &d3, w + 64, q + 4, r + 4, table, two);
                cq__step_mx_avx2(&d0, &d1, &d2, &d3, w + 128, q + 8, r + 8, table, two);
                cq__step_mx_avx2(&d0, &d1, &d2, &d3, w + 192, q + 12, r + 12, table, two);
            } else if (low) {
                cq__block_low_avx2(&h0, &h1, &h2, &h3, w, q, r, format == CQ_INT3, two);
                for (size_t k = 0; k < s->block_bytes; k += 64) CQ__STREAM(w + k);
            } else {
                cq__step_half_avx2(&h0, &h1, &h2, &h3, w, q, r, two);
                cq__step_half_avx2(&h0, &h1, &h2, &h3, w + 64, q + 4, r + 4, two);
                cq__step_half_avx2(&h0, &h1, &h2, &h3, w + 128, q + 8, r + 8, two);
                cq__step_half_avx2(&h0, &h1, &h2, &h3, w + 192, q + 12, r + 12, two);
            }
            if (!bytes && !mx) {
                d0 = _mm256_madd_epi16(h0, one), d1 = _mm256_madd_epi16(h1, one);
                d2 = _mm256_madd_epi16(h2, one), d3 = _mm256_madd_epi16(h3, one);
            }
            d0 = _mm256_add_epi32(d0, CQ__LOAD(sums[i])), d1 = _mm256_add_epi32(d1, CQ__LOAD(sums[i] + 8));
            if (two)
                d2 = _mm256_add_epi32(d2, CQ__LOAD(sums[i] + 16)), d3 = _mm256_add_epi32(d3, CQ__LOAD(sums[i] + 24));
            if (ends) {
                const unsigned char *p = scales + i * s->panel_bytes;
                __m256 s0 = cq__scales8_of_avx2(p, mx), s1 = cq__scales8_of_avx2(p + s->half, mx);
                __m256i z0 = _mm256_set1_epi32(offset), z1 = z0;
                float *f = out + i * ld;
                if (mx) {
                    const __m256 unit = _mm256_set1_ps(s->unit);
                    s0 = _mm256_mul_ps(s0, unit), s1 = _mm256_mul_ps(s1, unit);
                }
                if (asym) {
                    const __m256i flip = _mm256_set1_epi32(bytes ? 128 : 0);
                    const __m128i z = _mm_loadu_si128((const __m128i *)(const void *)(zeros + i * s->panel_bytes));
                    z0 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(z), flip);
                    z1 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(z, 8)), flip);
                }
                cq__ended_avx2(f, d0, z0, total, s0, act);
                cq__ended_avx2(f + 8, d1, z1, total, s1, act);
                if (two) {
                    cq__ended_avx2(f + 16, d2, z0, total2, s0, act2);
                    cq__ended_avx2(f + 24, d3, z1, total2, s1, act2);
                }
                d0 = d1 = d2 = d3 = _mm256_setzero_si256();
            }
            CQ__SAVE(sums[i], d0), CQ__SAVE(sums[i] + 8, d1);
            if (two) CQ__SAVE(sums[i] + 16, d2), CQ__SAVE(sums[i] + 24, d3);
        }
        if (ends) {
            total = total2 = 0;
            scales += 2 * s->half, zeros += CQ__ROWS;
            if (act) act++, act2++;
        }
    }
    for (size_t i = 0; i < panels && !a->group_size; i++, out += ld)
        for (size_t j = 0; j < CQ__ROWS; j += 8) {
            float *f = out + j, *f2 = f + CQ__ROWS;
            _mm256_storeu_ps(f, _mm256_mul_ps(_mm256_loadu_ps(f), _mm256_broadcast_ss(scale)));
            if (two) _mm256_storeu_ps(f2, _mm256_mul_ps(_mm256_loadu_ps(f2), _mm256_broadcast_ss(scale2)));
        }
}
typedef void cq__few_columns_of(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                                bool two);
CQ__AVX2 void cq__int2_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                            bool two) {
    if (two) cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT2, true);
    else cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT2, false);
}
CQ__AVX2 void cq__int3_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                            bool two) {
    if (two) cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT3, true);
    else cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT3, false);
}
CQ__AVX2 void cq__int4_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                            bool two) {
    if (two) cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT4, true);
    else cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT4, false);
}
CQ__AVX2 void cq__int8_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                            bool two) {
    if (two) cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT8, true);
    else cq__columns_avx2(out, ld, s, panel, panels, row, CQ_INT8, false);
}
CQ__AVX2 void cq__mxfp4_avx2(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels, size_t row,
                             bool two) {
    if (two) cq__columns_avx2(out, ld, s, panel, panels, row, CQ_MXFP4, true);
    else cq__columns_avx2(out, ld, s, panel, panels, row, CQ_MXFP4, false);
}
/* Two columns at a time; what they share of the panels is in L2 for the next two. */
static void cq__few_columns(cq__few_columns_of *columns, float *out, const cq_tensor *t, size_t panel, size_t panels,
                            const cq_acts *a, size_t first, size_t n) {
    const cq__streams s = cq__streams_of(t, a);
    for (size_t p = 0, m; p < panels; p += m) {
        m = cq__min(CQ__STREAMS, panels - p);
        for (size_t j = 0; j < n; j += 2)
            columns(out + (p * n + j) * CQ__ROWS, n * CQ__ROWS, &s, panel + p, m, first + j, j + 1 < n);
    }
}
static void cq__few_columns_avx2(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    cq__few_columns(t->format == CQ_INT2   ? cq__int2_avx2
                    : t->format == CQ_INT3 ? cq__int3_avx2
                    : t->format == CQ_INT4 ? cq__int4_avx2
                    : t->format == CQ_INT8 ? cq__int8_avx2
                                           : cq__mxfp4_avx2,
                    out, t, panel, panels, a, first, n);
}
/* Halves of blocks are left to plain C; few columns of what is common are a stream; all else goes the general way. */
CQ__INLINE bool cq__is_stream(const cq_tensor *t, size_t n) {
    return n <= CQ__FEW_COLUMNS && (cq_format_bits(t->format) <= 4 || t->format == CQ_INT8);
}
static void cq__panels_q8_avx2(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__few_columns_avx2(out, t, panel, panels, a, first, n);
    else cq__panels_q8_x86(&cq__q8_avx2, out, t, panel, panels, a, first, n);
}

#if CQ__X86_AVXVNNI
/* AVX-VNNI: 16 rows x 6 columns in twelve of sixteen registers, two vectors of codes, one of activations; vpdpbusd
   takes five cycles and two start in each, so ten sums at least must be on their way. */
#define CQ__DOT(s, w, x) s = _mm256_dpbusd_avx_epi32(s, w, x)
#define CQ__START(i, row) cq__start8_avx2(acc + 16 * (i) + (row), less ? less + (i) : NULL)
#define CQ__STOP(i, s0, s1)                                                                                            \
    cq__stop8_avx2(acc + 16 * (i), s0, out ? out + 16 * (i) : NULL, _mm256_loadu_ps(scale), scale + 16);               \
    cq__stop8_avx2(acc + 16 * (i) + 8, s1, out ? out + 16 * (i) + 8 : NULL, _mm256_loadu_ps(scale + 8), scale + 24)
CQ__AVXVNNI void cq__dot6_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                                  size_t per, const int32_t *less, float *out, const float *scale) {
    const int8_t *q3 = q + 3 * ldq;
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m256i s00 = CQ__START(0, 0), s01 = CQ__START(0, 8), s10 = CQ__START(1, 0), s11 = CQ__START(1, 8);
        __m256i s20 = CQ__START(2, 0), s21 = CQ__START(2, 8), s30 = CQ__START(3, 0), s31 = CQ__START(3, 8);
        __m256i s40 = CQ__START(4, 0), s41 = CQ__START(4, 8), s50 = CQ__START(5, 0), s51 = CQ__START(5, 8);
        const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); /* of a group */
        CQ__NO_UNROLL
        for (; w < stop; w += 64, q += 4, q3 += 4) {
            const __m256i w0 = CQ__LOAD(w), w1 = CQ__LOAD(w + 32);
            __m256i x = CQ__SET1(q);
            CQ__DOT(s00, w0, x), CQ__DOT(s01, w1, x);
            x = CQ__SET1(q + ldq);
            CQ__DOT(s10, w0, x), CQ__DOT(s11, w1, x);
            x = CQ__SET1(q + 2 * ldq);
            CQ__DOT(s20, w0, x), CQ__DOT(s21, w1, x);
            x = CQ__SET1(q3);
            CQ__DOT(s30, w0, x), CQ__DOT(s31, w1, x);
            x = CQ__SET1(q3 + ldq);
            CQ__DOT(s40, w0, x), CQ__DOT(s41, w1, x);
            x = CQ__SET1(q3 + 2 * ldq);
            CQ__DOT(s50, w0, x), CQ__DOT(s51, w1, x);
        }
        CQ__STOP(0, s00, s01);
        CQ__STOP(1, s10, s11);
        CQ__STOP(2, s20, s21);
        CQ__STOP(3, s30, s31);
        CQ__STOP(4, s40, s41);
        CQ__STOP(5, s50, s51);
    }
}
CQ__AVXVNNI void cq__dot2_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                                  size_t per, const int32_t *less, float *out, const float *scale) {
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m256i s00 = CQ__START(0, 0), s01 = CQ__START(0, 8), s10 = CQ__START(1, 0), s11 = CQ__START(1, 8);
        __m256i t00 = _mm256_setzero_si256(), t01 = t00, t10 = t00, t11 = t00;
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 128, q += 8) {
            __m256i w0 = CQ__LOAD(w), w1 = CQ__LOAD(w + 32), x = CQ__SET1(q), y = CQ__SET1(q + ldq);
            CQ__DOT(s00, w0, x), CQ__DOT(s01, w1, x), CQ__DOT(s10, w0, y), CQ__DOT(s11, w1, y);
            w0 = CQ__LOAD(w + 64), w1 = CQ__LOAD(w + 96), x = CQ__SET1(q + 4), y = CQ__SET1(q + ldq + 4);
            CQ__DOT(t00, w0, x), CQ__DOT(t01, w1, x), CQ__DOT(t10, w0, y), CQ__DOT(t11, w1, y);
        }
        CQ__STOP(0, _mm256_add_epi32(s00, t00), _mm256_add_epi32(s01, t01));
        CQ__STOP(1, _mm256_add_epi32(s10, t10), _mm256_add_epi32(s11, t11));
    }
}
CQ__AVXVNNI void cq__dot1_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t blocks, size_t per,
                                  const int32_t *less, float *out, const float *scale) {
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m256i s0 = CQ__START(0, 0), s1 = CQ__START(0, 8), t0 = _mm256_setzero_si256(), t1 = t0;
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 128, q += 8) {
            __m256i x = CQ__SET1(q), y = CQ__SET1(q + 4);
            CQ__DOT(s0, CQ__LOAD(w), x), CQ__DOT(s1, CQ__LOAD(w + 32), x);
            CQ__DOT(t0, CQ__LOAD(w + 64), y), CQ__DOT(t1, CQ__LOAD(w + 96), y);
        }
        CQ__STOP(0, _mm256_add_epi32(s0, t0), _mm256_add_epi32(s1, t1));
    }
}
static void cq__dot_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                            size_t per, size_t chain, const int32_t *less, float *out, const float *scale,
                            cq__ahead *ahead) {
    (void)chain;
    for (; n >= 6; n -= 6, acc += 96, q += 6 * ldq, less += less ? 6 : 0, out += out ? 96 : 0) {
        cq__ask(ahead, 1);
        cq__dot6_avxvnni(acc, w, q, ldq, blocks, per, less, out, scale);
    }
    for (; n >= 2; n -= 2, acc += 32, q += 2 * ldq, less += less ? 2 : 0, out += out ? 32 : 0)
        cq__dot2_avxvnni(acc, w, q, ldq, blocks, per, less, out, scale);
    if (n) cq__dot1_avxvnni(acc, w, q, blocks, per, less, out, scale);
}
static const cq__q8_tier cq__q8_avxvnni = {true, cq__spread_avx2, cq__dot_avxvnni, NULL};
static void cq__panels_q8_avxvnni(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__few_columns_avx2(out, t, panel, panels, a, first, n);
    else cq__panels_q8_x86(&cq__q8_avxvnni, out, t, panel, panels, a, first, n);
}
#endif /* CQ__X86_AVXVNNI */

/* AVX-512: a step is one vector. Without VNNI eight chains at a time, which share the codes. */
#define CQ__LOAD512(p) _mm512_loadu_si512((const void *)(p))
#define CQ__SAVE512(p, v) _mm512_storeu_si512((void *)(p), v)
#define CQ__ALL(p) _mm512_set1_epi32((int32_t)cq__u32((const unsigned char *)(p)))
#define CQ__MAD512(h, w, x) h = _mm512_add_epi16(h, _mm512_maddubs_epi16(w, x))
CQ__AVX512_INLINE __m512i cq__start16_avx512(const int32_t *acc, const int32_t *less) {
    return less ? _mm512_set1_epi32(*less) : CQ__LOAD512(acc);
}
CQ__AVX512_INLINE void cq__stop16_avx512(int32_t *acc, __m512i sum, float *out, const float *scale) {
    if (out) {
        const __m512 v = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), _mm512_loadu_ps(scale), _mm512_loadu_ps(scale + 16));
        _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), v));
    } else {
        CQ__SAVE512(acc, sum);
    }
}
#define CQ__START512(i) cq__start16_avx512(acc + 16 * (i), less ? less + (i) : NULL)
#define CQ__STOP512(i, s) cq__stop16_avx512(acc + 16 * (i), s, out ? out + 16 * (i) : NULL, scale)
#define CQ__WIDEN512(i, h)                                                                                             \
    cq__stop16_avx512(acc + 16 * (i),                                                                                  \
                      _mm512_add_epi32(cq__start16_avx512(acc + 16 * (i), from ? from + (i) : NULL),                   \
                                       _mm512_madd_epi16(h, one)),                                                     \
                      ends ? out + 16 * (i) : NULL, scale)
CQ__AVX512 void cq__dot8_avx512(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                                size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    const int8_t *q3 = q + 3 * ldq, *q6 = q3 + 3 * ldq;
    const __m512i one = _mm512_set1_epi16(1);
    for (size_t k = 0, until = 0; k < blocks * CQ__BLOCK;) {
        const int32_t *from = k == until ? less : NULL;
        if (k == until) until += cq__min(per, blocks - k / CQ__BLOCK) * CQ__BLOCK;
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, h2 = h0, h3 = h0, h4 = h0, h5 = h0, h6 = h0, h7 = h0;
        CQ__NO_UNROLL
        for (const size_t stop = k + 4 * chain; k < stop; k += 4, w += 64) {
            const __m512i v = CQ__LOAD512(w);
            CQ__MAD512(h0, v, CQ__ALL(q + k)), CQ__MAD512(h1, v, CQ__ALL(q + ldq + k));
            CQ__MAD512(h2, v, CQ__ALL(q + 2 * ldq + k)), CQ__MAD512(h3, v, CQ__ALL(q3 + k));
            CQ__MAD512(h4, v, CQ__ALL(q3 + ldq + k)), CQ__MAD512(h5, v, CQ__ALL(q3 + 2 * ldq + k));
            CQ__MAD512(h6, v, CQ__ALL(q6 + k)), CQ__MAD512(h7, v, CQ__ALL(q6 + ldq + k));
        }
        const bool ends = out && k == until;
        CQ__WIDEN512(0, h0), CQ__WIDEN512(1, h1), CQ__WIDEN512(2, h2), CQ__WIDEN512(3, h3);
        CQ__WIDEN512(4, h4), CQ__WIDEN512(5, h5), CQ__WIDEN512(6, h6), CQ__WIDEN512(7, h7);
        if (ends && less) less += CQ__Q8_COLUMNS, scale += 64;
    }
}
static void cq__dot_avx512(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                           size_t per, size_t chain, const int32_t *less, float *out, const float *scale,
                           cq__ahead *ahead) {
    for (; n >= 8; n -= 8, acc += 128, q += 8 * ldq, less += less ? 8 : 0, out += out ? 128 : 0) {
        cq__ask(ahead, 1);
        cq__dot8_avx512(acc, w, q, ldq, blocks, per, chain, less, out, scale);
    }
    cq__dot_avx2_q8(acc, w, q, ldq, n, blocks, per, chain, less, out, scale, ahead);
}
/* == cq__spread_avx2, for the format that is worth it */
CQ__AVX512 void cq__spread_avx512(unsigned char *out, const unsigned char *w, cq_format format, size_t blocks,
                                  bool two) {
    const __m512i nibble = _mm512_set1_epi8(15);
    if (format != CQ_INT4) {
        cq__spread_avx2(out, w, format, blocks, two);
        return;
    }
    for (; blocks; blocks--, w += 256, out += 512)
        for (size_t i = 0; i < 256; i += 64) {
            __m512i v = CQ__LOAD512(w + i);
            CQ__SAVE512(out + i, _mm512_and_si512(v, nibble));
            CQ__SAVE512(out + 256 + i, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
        }
}
static const cq__q8_tier cq__q8_avx512 = {false, cq__spread_avx512, cq__dot_avx512, NULL};
static void cq__panels_q8_avx512(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__few_columns_avx2(out, t, panel, panels, a, first, n);
    else cq__panels_q8_x86(&cq__q8_avx512, out, t, panel, panels, a, first, n);
}

/* AVX-512 VNNI: two panels x 8 columns, sixteen sums: each vector of activations is used twice, since there is only one
   load for each vpdpbusd to spare. */
#define CQ__DOT512(s, w, x) s = _mm512_dpbusd_epi32(s, w, x)
#define CQ__PAIR512(s, t, p)                                                                                           \
    x = CQ__ALL(p);                                                                                                    \
    CQ__DOT512(s, v, x);                                                                                               \
    CQ__DOT512(t, u, x)
#define CQ__STARTS512(i) cq__start16_avx512(more + 16 * (i), less ? less + (i) : NULL)
#define CQ__STOPS512(i, s, t)                                                                                          \
    cq__stop16_avx512(acc + 16 * (i), s, out ? out + 16 * (i) : NULL, scale);                                          \
    cq__stop16_avx512(more + 16 * (i), t, out ? out + ld + 16 * (i) : NULL, scale + 32)
CQ__AVX512VNNI void cq__dot8_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq,
                                        size_t blocks, size_t per, const int32_t *less, float *out, size_t ld,
                                        const float *scale) {
    const int8_t *q3 = q + 3 * ldq, *q6 = q3 + 3 * ldq;
    int32_t *more = acc + CQ__SUMS;
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m512i s0 = CQ__START512(0), s1 = CQ__START512(1), s2 = CQ__START512(2), s3 = CQ__START512(3);
        __m512i s4 = CQ__START512(4), s5 = CQ__START512(5), s6 = CQ__START512(6), s7 = CQ__START512(7);
        __m512i t0 = CQ__STARTS512(0), t1 = CQ__STARTS512(1), t2 = CQ__STARTS512(2), t3 = CQ__STARTS512(3);
        __m512i t4 = CQ__STARTS512(4), t5 = CQ__STARTS512(5), t6 = CQ__STARTS512(6), t7 = CQ__STARTS512(7);
        const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); /* of a group */
        CQ__NO_UNROLL
        for (; w < stop; w += 64, q += 4, q3 += 4, q6 += 4) {
            const __m512i v = CQ__LOAD512(w), u = CQ__LOAD512(w + CQ__PLANE);
            __m512i x;
            CQ__PAIR512(s0, t0, q);
            CQ__PAIR512(s1, t1, q + ldq);
            CQ__PAIR512(s2, t2, q + 2 * ldq);
            CQ__PAIR512(s3, t3, q3);
            CQ__PAIR512(s4, t4, q3 + ldq);
            CQ__PAIR512(s5, t5, q3 + 2 * ldq);
            CQ__PAIR512(s6, t6, q6);
            CQ__PAIR512(s7, t7, q6 + ldq);
        }
        CQ__STOPS512(0, s0, t0);
        CQ__STOPS512(1, s1, t1);
        CQ__STOPS512(2, s2, t2);
        CQ__STOPS512(3, s3, t3);
        CQ__STOPS512(4, s4, t4);
        CQ__STOPS512(5, s5, t5);
        CQ__STOPS512(6, s6, t6);
        CQ__STOPS512(7, s7, t7);
    }
}
CQ__AVX512VNNI void cq__dot4_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq,
                                        size_t blocks, size_t per, const int32_t *less, float *out,
                                        const float *scale) { /* two sums a column, so that eight are on their way */
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m512i s0 = CQ__START512(0), s1 = CQ__START512(1), s2 = CQ__START512(2), s3 = CQ__START512(3);
        __m512i t0 = _mm512_setzero_si512(), t1 = t0, t2 = t0, t3 = t0;
        const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); /* of a group */
        for (; w < stop; w += 128, q += 8, q1 += 8, q2 += 8, q3 += 8) {
            const __m512i v = CQ__LOAD512(w), u = CQ__LOAD512(w + 64);
            CQ__DOT512(s0, v, CQ__ALL(q)), CQ__DOT512(s1, v, CQ__ALL(q1));
            CQ__DOT512(s2, v, CQ__ALL(q2)), CQ__DOT512(s3, v, CQ__ALL(q3));
            CQ__DOT512(t0, u, CQ__ALL(q + 4)), CQ__DOT512(t1, u, CQ__ALL(q1 + 4));
            CQ__DOT512(t2, u, CQ__ALL(q2 + 4)), CQ__DOT512(t3, u, CQ__ALL(q3 + 4));
        }
        CQ__STOP512(0, _mm512_add_epi32(s0, t0));
        CQ__STOP512(1, _mm512_add_epi32(s1, t1));
        CQ__STOP512(2, _mm512_add_epi32(s2, t2));
        CQ__STOP512(3, _mm512_add_epi32(s3, t3));
    }
}
CQ__AVX512VNNI void cq__dot1_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t blocks, size_t per,
                                        const int32_t *less, float *out, const float *scale) {
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 64) {
        __m512i s = CQ__START512(0), t = _mm512_setzero_si512(), u = t, v = t;
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 256, q += 16) {
            CQ__DOT512(s, CQ__LOAD512(w), CQ__ALL(q)), CQ__DOT512(t, CQ__LOAD512(w + 64), CQ__ALL(q + 4));
            CQ__DOT512(u, CQ__LOAD512(w + 128), CQ__ALL(q + 8)), CQ__DOT512(v, CQ__LOAD512(w + 192), CQ__ALL(q + 12));
        }
        CQ__STOP512(0, _mm512_add_epi32(_mm512_add_epi32(s, t), _mm512_add_epi32(u, v)));
    }
}
static void cq__dot_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                               size_t blocks, size_t per, size_t chain, const int32_t *less, float *out,
                               const float *scale, cq__ahead *ahead) {
    (void)chain;
    for (; n >= 4; n -= 4, acc += 64, q += 4 * ldq, less += less ? 4 : 0, out += out ? 64 : 0) {
        cq__ask(ahead, 1);
        cq__dot4_avx512vnni(acc, w, q, ldq, blocks, per, less, out, scale);
    }
    for (; n; n--, acc += 16, q += ldq, less += less ? 1 : 0, out += out ? 16 : 0)
        cq__dot1_avx512vnni(acc, w, q, blocks, per, less, out, scale);
}
static void cq__dot2_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                size_t blocks, size_t per, size_t chain, const int32_t *less, float *out, size_t ld,
                                const float *scale, cq__ahead *ahead) {
    for (; n >= 8; n -= 8, acc += 128, q += 8 * ldq, less += less ? 8 : 0, out += out ? 128 : 0) {
        cq__ask(ahead, 2);
        cq__dot8_avx512vnni(acc, w, q, ldq, blocks, per, less, out, ld, scale);
    }
    cq__dot_avx512vnni(acc, w, q, ldq, n, blocks, per, chain, less, out, scale, ahead);
    cq__dot_avx512vnni(acc + CQ__SUMS, w + CQ__PLANE, q, ldq, n, blocks, per, chain, less, out ? out + ld : NULL,
                       scale + 2 * CQ__ROWS, ahead);
}
static const cq__q8_tier cq__q8_avx512vnni = {true, cq__spread_avx512, cq__dot_avx512vnni, cq__dot2_avx512vnni};
/* == cq__columns_avx2 */
CQ__AVX512VNNI_INLINE void cq__ended_avx512(float *f, __m512i d, __m512i z, int32_t total, __m512 s,
                                            const float *act) {
    if (act) s = _mm512_mul_ps(s, _mm512_set1_ps(*act));
    d = _mm512_sub_epi32(d, _mm512_mullo_epi32(z, _mm512_set1_epi32(total)));
    _mm512_storeu_ps(f, _mm512_add_ps(_mm512_loadu_ps(f), _mm512_mul_ps(_mm512_cvtepi32_ps(d), s)));
}
/* == cq__low_avx2, both already shifted; == cq__block_low_avx2, two steps at a time */
CQ__AVX512VNNI_INLINE __m512i cq__low_avx512(__m512i v, __m512i top, bool three) {
    v = _mm512_and_si512(v, _mm512_set1_epi8(3));
    return three ? _mm512_or_si512(v, _mm512_and_si512(top, _mm512_set1_epi8(4))) : v;
}
/* Two steps, `next` activations apart: (two) columns' sums d + e. */
CQ__AVX512VNNI_INLINE void cq__steps_avx512(__m512i *d, __m512i *e, __m512i *d2, __m512i *e2, __m512i v, __m512i u,
                                            const int8_t *q, const int8_t *r, size_t next, bool two) {
    CQ__DOT512(*d, v, CQ__ALL(q));
    CQ__DOT512(*e, u, CQ__ALL(q + next));
    if (two) {
        CQ__DOT512(*d2, v, CQ__ALL(r));
        CQ__DOT512(*e2, u, CQ__ALL(r + next));
    }
}
CQ__AVX512VNNI_INLINE void cq__block_low_avx512(__m512i *d, __m512i *e, __m512i *d2, __m512i *e2,
                                                const unsigned char *w, const int8_t *q, const int8_t *r, bool three,
                                                bool two) {
    const __m512i top = CQ__LOAD512(w + (three ? 128 : 0));
    __m512i v = CQ__LOAD512(w), u = CQ__LOAD512(w + 64);
    cq__steps_avx512(d, e, d2, e2, cq__low_avx512(v, _mm512_slli_epi16(top, 2), three),
                     cq__low_avx512(u, _mm512_slli_epi16(top, 1), three), q, r, 4, two);
    v = _mm512_srli_epi16(v, 2), u = _mm512_srli_epi16(u, 2);
    cq__steps_avx512(d, e, d2, e2, cq__low_avx512(v, top, three),
                     cq__low_avx512(u, _mm512_srli_epi16(top, 1), three), q + 8, r + 8, 4, two);
    v = _mm512_srli_epi16(v, 2), u = _mm512_srli_epi16(u, 2);
    cq__steps_avx512(d, e, d2, e2, cq__low_avx512(v, _mm512_srli_epi16(top, 2), three),
                     cq__low_avx512(u, _mm512_srli_epi16(top, 3), three), q + 16, r + 16, 4, two);
    v = _mm512_srli_epi16(v, 2), u = _mm512_srli_epi16(u, 2);
    cq__steps_avx512(d, e, d2, e2, cq__low_avx512(v, _mm512_srli_epi16(top, 4), three),
                     cq__low_avx512(u, _mm512_srli_epi16(top, 5), three), q + 24, r + 24, 4, two);
}
/* == cq__columns_avx2 */
CQ__AVX512VNNI_INLINE void cq__step_bytes_avx512(__m512i *d, __m512i *e, __m512i *d2, __m512i *e2,
                                                 const unsigned char *w, const int8_t *q, const int8_t *r, bool two) {
    const __m512i flip = _mm512_set1_epi8((char)-128);
    const __m512i v = _mm512_xor_si512(CQ__LOAD512(w), flip), u = _mm512_xor_si512(CQ__LOAD512(w + 64), flip);
    cq__steps_avx512(d, e, d2, e2, v, u, q, r, 4, two);
    CQ__STREAM(w);
    CQ__STREAM(w + 64);
}
CQ__AVX512VNNI_INLINE void cq__step_half_avx512(__m512i *d, __m512i *e, __m512i *d2, __m512i *e2,
                                                const unsigned char *w, const int8_t *q, const int8_t *r, __m512i table,
                                                bool mx, bool two) {
    const __m512i mask = _mm512_set1_epi8(15), v = CQ__LOAD512(w);
    __m512i low = _mm512_and_si512(v, mask), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
    if (mx) low = _mm512_shuffle_epi8(table, low), high = _mm512_shuffle_epi8(table, high);
    cq__steps_avx512(d, e, d2, e2, low, high, q, r, 16, two);
    CQ__STREAM(w);
}
CQ__AVX512VNNI_INLINE void cq__columns_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel,
                                                  size_t panels, size_t row, cq_format format, bool two) {
    const cq_acts *a = s->a;
    const unsigned char *data = s->t->data + panel * s->panel_bytes, *blocks = data + s->head;
    const unsigned char *scales = data, *zeros = data + s->zeros; /* of this group */
    const int8_t *q = a->q + row * a->stride, *r = q + (two ? a->stride : 0);
    const int32_t *sum = a->sum + row;
    const float *scale = a->scale + row * s->groups, *scale2 = scale + (two ? s->groups : 0);
    const bool bytes = format == CQ_INT8, mx = format == CQ_MXFP4, low = format == CQ_INT2 || format == CQ_INT3;
    const bool asym = s->t->asym && !mx;
    const float *act = a->group_size ? scale : NULL, *act2 = a->group_size ? scale2 : NULL;
    const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)cq__e2m1));
    __m512i sums[CQ__STREAMS], sums2[CQ__STREAMS]; /* of this group, so far */
    int32_t total = 0, total2 = 0;
    for (size_t i = 0; i < panels; i++) {
        _mm512_storeu_ps(out + i * ld, _mm512_setzero_ps());
        if (two) _mm512_storeu_ps(out + i * ld + CQ__ROWS, _mm512_setzero_ps());
        sums[i] = sums2[i] = _mm512_setzero_si512();
    }
    for (size_t b = 0, end = 0; b < s->count; b++, q += CQ__BLOCK, r += CQ__BLOCK, blocks += s->block_bytes) {
        if (b == end) end = cq__min(b + s->per, s->count);
        total += sum[b * a->ld_sum];
        if (two) total2 += sum[b * a->ld_sum + 1];
        const bool ends = b + 1 == end;
        for (size_t i = 0; i < panels; i++) {
            const unsigned char *w = blocks + i * s->panel_bytes;
            __m512i d = sums[i], d2 = sums2[i], e = _mm512_setzero_si512(), e2 = e;
            if (bytes) {
                for (size_t k = 0; k < CQ__BLOCK; k += 16, w += 256) {
                    cq__step_bytes_avx512(&d, &e, &d2, &e2, w, q + k, r + k, two);
                    cq__step_bytes_avx512(&d, &e, &d2, &e2, w + 128, q + k + 8, r + k + 8, two);
                }
            } else if (low) {
                cq__block_low_avx512(&d, &e, &d2, &e2, w, q, r, format == CQ_INT3, two);
                for (size_t k = 0; k < s->block_bytes; k += 64) CQ__STREAM(w + k);
            } else {
                cq__step_half_avx512(&d, &e, &d2, &e2, w, q, r, table, mx, two);
                cq__step_half_avx512(&d, &e, &d2, &e2, w + 64, q + 4, r + 4, table, mx, two);
                cq__step_half_avx512(&d, &e, &d2, &e2, w + 128, q + 8, r + 8, table, mx, two);
                cq__step_half_avx512(&d, &e, &d2, &e2, w + 192, q + 12, r + 12, table, mx, two);
            }
            d = _mm512_add_epi32(d, e), d2 = _mm512_add_epi32(d2, e2);
            if (ends) {
                const unsigned char *p = scales + i * s->panel_bytes;
                const __m256 s0 = cq__scales8_of_avx2(p, mx), s1 = cq__scales8_of_avx2(p + s->half, mx);
                __m512 v = _mm512_insertf32x8(_mm512_castps256_ps512(s0), s1, 1);
                __m512i z = _mm512_set1_epi32(s->offset);
                float *f = out + i * ld;
                if (mx) v = _mm512_mul_ps(v, _mm512_set1_ps(s->unit));
                if (asym)
                    z = _mm512_cvtepu8_epi32(
                        _mm_loadu_si128((const __m128i *)(const void *)(zeros + i * s->panel_bytes)));
                cq__ended_avx512(f, d, z, total, v, act);
                if (two) cq__ended_avx512(f + CQ__ROWS, d2, z, total2, v, act2);
                d = d2 = _mm512_setzero_si512();
            }
            sums[i] = d;
            if (two) sums2[i] = d2;
        }
        if (ends) {
            total = total2 = 0;
            scales += 2 * s->half, zeros += CQ__ROWS;
            if (act) act++, act2++;
        }
    }
    for (size_t i = 0; i < panels && !a->group_size; i++, out += ld) {
        float *f2 = out + CQ__ROWS;
        _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_loadu_ps(out), _mm512_set1_ps(*scale)));
        if (two) _mm512_storeu_ps(f2, _mm512_mul_ps(_mm512_loadu_ps(f2), _mm512_set1_ps(*scale2)));
    }
}
CQ__AVX512VNNI void cq__int2_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                        size_t row, bool two) {
    if (two) cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT2, true);
    else cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT2, false);
}
CQ__AVX512VNNI void cq__int3_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                        size_t row, bool two) {
    if (two) cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT3, true);
    else cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT3, false);
}
CQ__AVX512VNNI void cq__int4_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                        size_t row, bool two) {
    if (two) cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT4, true);
    else cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT4, false);
}
CQ__AVX512VNNI void cq__int8_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                        size_t row, bool two) {
    if (two) cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT8, true);
    else cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_INT8, false);
}
CQ__AVX512VNNI void cq__mxfp4_avx512vnni(float *out, size_t ld, const cq__streams *s, size_t panel, size_t panels,
                                         size_t row, bool two) {
    if (two) cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_MXFP4, true);
    else cq__columns_avx512vnni(out, ld, s, panel, panels, row, CQ_MXFP4, false);
}
static void cq__panels_q8_avx512vnni(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n))
        cq__few_columns(t->format == CQ_INT2   ? cq__int2_avx512vnni
                        : t->format == CQ_INT3 ? cq__int3_avx512vnni
                        : t->format == CQ_INT4 ? cq__int4_avx512vnni
                        : t->format == CQ_INT8 ? cq__int8_avx512vnni
                                               : cq__mxfp4_avx512vnni,
                        out, t, panel, panels, a, first, n);
    else cq__panels_q8_x86(&cq__q8_avx512vnni, out, t, panel, panels, a, first, n);
}

#if CQ__X86_TILES
/* AMX: C (16, 16) int32 += A (16, 64) int8 times B (64, 16), eight registers of 16 rows of 64 bytes. A: 16 rows of
   activations as they lie. B wants four values of k side by side for each column: two spread blocks, [16 steps][64], are
   that as they lie, and C is the (16 columns, 16 rows) of acc. One tdpbsud is 16384 products in 16 cycles, eight times
   VNNI; what is left is to spread codes and to finish groups. Two panels x 32 columns are four sums, tiles 0 to 3; A is
   4 and 5, B 6 and 7. Groups of an odd number of blocks have tiles of half the depth. What does not fit into the tiles,
   a last group that is shorter and the last columns, is left to VNNI. */
typedef struct cq__amx_shape { /* what ldtilecfg reads */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} cq__amx_shape;
CQ__AMX void cq__amx_begin(size_t depth /* 64 or 32 */) {
    CQ__ALIGNED cq__amx_shape shape;
    cq__fill(&shape, 0, sizeof shape);
    shape.palette = 1;
    for (size_t i = 0; i < 8; i++) {
        shape.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? depth : 64);
        shape.rows[i] = (uint8_t)(i < 6 ? 16 : depth / 4);
    }
#if defined(__GNUC__) || defined(__clang__)
    __asm__ volatile("" : : "r"(&shape) : "memory"); /* gcc 12 does not see that ldtilecfg reads memory */
#endif
    _tile_loadconfig(&shape);
}
CQ__AMX void cq__amx_end(void) { _tile_release(); }
CQ__AMX void cq__dot2_amx(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                          size_t per, const int32_t *less, float *out, size_t ld, const float *scale, size_t depth,
                          cq__ahead *ahead) {
    const size_t whole = per * CQ__BLOCK % depth ? 0 : blocks - blocks % per;
    const size_t columns = n / 16 * 16;
    for (size_t j0 = 0; j0 < columns; j0 += 32) {
        const bool both = j0 + 32 <= columns;
        const int8_t *x = q + j0 * ldq, *y = x + (both ? 16 * ldq : 0);
        int32_t *a0 = acc + j0 * CQ__ROWS, *a1 = a0 + (both ? 16 * CQ__ROWS : 0);
        for (size_t k = 0, g = 0; k < whole * CQ__BLOCK; g++) {
            cq__ask(ahead, 4);
            if (less) {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
            } else {
                _tile_loadd(0, a0, 64);
                _tile_loadd(1, a0 + CQ__SUMS, 64);
                _tile_loadd(2, a1, 64);
                _tile_loadd(3, a1 + CQ__SUMS, 64);
            }
            for (const size_t end = k + per * CQ__BLOCK; k < end; k += depth) {
                _tile_loadd(6, w + k * CQ__ROWS, 64);
                _tile_loadd(7, w + CQ__PLANE + k * CQ__ROWS, 64);
                _tile_loadd(4, x + k, (long)ldq);
                _tile_dpbsud(0, 4, 6);
                _tile_dpbsud(1, 4, 7);
                if (both) {
                    _tile_loadd(5, y + k, (long)ldq);
                    _tile_dpbsud(2, 5, 6);
                    _tile_dpbsud(3, 5, 7);
                }
            }
            _tile_stored(0, a0, 64);
            _tile_stored(1, a0 + CQ__SUMS, 64);
            if (both) {
                _tile_stored(2, a1, 64);
                _tile_stored(3, a1 + CQ__SUMS, 64);
            }
            if (!less && !out) continue;
            for (size_t p = 0; p < 2; p++)
                for (size_t j = j0; j < j0 + (both ? 32 : 16); j++) {
                    int32_t *at = acc + p * CQ__SUMS + j * CQ__ROWS;
                    __m512i sum = CQ__LOAD512(at);
                    if (less) sum = _mm512_add_epi32(sum, _mm512_set1_epi32(less[g * CQ__Q8_COLUMNS + j]));
                    cq__stop16_avx512(at, sum, out ? out + p * ld + j * CQ__ROWS : NULL,
                                      scale + (2 * g + p) * (2 * CQ__ROWS));
                }
        }
    }
    for (size_t k = 0, g = 0; k < blocks; k += per, g++) /* what is left */
        for (size_t p = 0; p < 2; p++) {
            const size_t j = k < whole ? columns : 0;
            if (j == n) continue;
            cq__dot_avx512vnni(acc + p * CQ__SUMS + j * CQ__ROWS, w + p * CQ__PLANE + k * 512,
                               q + j * ldq + k * CQ__BLOCK, ldq, n - j, cq__min(per, blocks - k), per, 8,
                               less ? less + g * CQ__Q8_COLUMNS + j : NULL, out ? out + p * ld + j * CQ__ROWS : NULL,
                               scale + (2 * g + p) * (2 * CQ__ROWS), ahead);
        }
}
static void cq__dot2_amx64(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                           size_t per, size_t chain, const int32_t *less, float *out, size_t ld, const float *scale,
                           cq__ahead *ahead) {
    (void)chain;
    cq__dot2_amx(acc, w, q, ldq, n, blocks, per, less, out, ld, scale, 64, ahead);
}
static void cq__dot2_amx32(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                           size_t per, size_t chain, const int32_t *less, float *out, size_t ld, const float *scale,
                           cq__ahead *ahead) {
    (void)chain;
    cq__dot2_amx(acc, w, q, ldq, n, blocks, per, less, out, ld, scale, 32, ahead);
}
static const cq__q8_tier cq__q8_amx64 = {true, cq__spread_avx512, cq__dot_avx512vnni, cq__dot2_amx64};
static const cq__q8_tier cq__q8_amx32 = {true, cq__spread_avx512, cq__dot_avx512vnni, cq__dot2_amx32};
static void cq__panels_q8_amx(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                              size_t first, size_t n) {
    const bool half = t->group_size / CQ__BLOCK % 2 != 0;
    if (n < 16 || t->group_size % CQ__BLOCK) {
        cq__panels_q8_avx512vnni(out, t, panel, panels, a, first, n);
        return;
    }
    cq__amx_begin(half ? 32 : 64);
    cq__panels_q8_x86(half ? &cq__q8_amx32 : &cq__q8_amx64, out, t, panel, panels, a, first, n);
    cq__amx_end();
}
#endif /* CQ__X86_TILES */

/* == cq__unpack_c */
CQ__AVX2 __m256 cq__load8_avx2(const unsigned char *p, cq_format format) {
    if (format == CQ_F32) return _mm256_loadu_ps((const float *)(const void *)p);
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return format == CQ_F16 ? _mm256_cvtph_ps(h)
                            : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
/* eight codes of small floats to numbers, as cq_mini_to_f32 */
CQ__AVX2 __m256 cq__mini8_avx2(__m256i code, cq_mini mini) {
    const cq__mini_facts *f = &cq__minis[mini];
    __m256i a = _mm256_and_si256(code, _mm256_set1_epi32((1 << (f->bits - 1)) - 1));
    __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(code, f->bits - 1), 31);
    __m256i normal = _mm256_add_epi32(_mm256_slli_epi32(a, 23 - f->mantissa), _mm256_set1_epi32((127 - f->bias) << 23));
    __m256 below = _mm256_mul_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(cq__exp2i(1 - f->bias - f->mantissa)));
    __m256i is_below = _mm256_cmpgt_epi32(_mm256_set1_epi32(1 << f->mantissa), a);
    __m256i v = _mm256_blendv_epi8(normal, _mm256_castps_si256(below), is_below);
    if (mini == CQ_E4M3)
        v = _mm256_blendv_epi8(v, _mm256_set1_epi32(0x7fc00000), _mm256_cmpeq_epi32(a, _mm256_set1_epi32(0x7f)));
    return _mm256_castsi256_ps(_mm256_or_si256(v, sign));
}
/* A code of less than 8 bits less its zero point is a byte with a sign: byte k of each lane, as a float, 2^24 times as
   large, since vpshufb puts it on top of the lane. A scale of fp16 times 2^-24 then makes it the weight, exactly. */
CQ__AVX2_INLINE __m256 cq__byte_avx2(__m256i v, int k) {
    const __m256i first = _mm256_setr_epi32(0x00808080, 0x04808080, 0x08808080, 0x0c808080, 0x00808080, 0x04808080,
                                            0x08808080, 0x0c808080);
    return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(v, _mm256_add_epi32(first, _mm256_set1_epi32(k << 24))));
}
CQ__AVX2 void cq__unpack_avx2(float *out, const cq_tensor *t, size_t panel, size_t block) {
    size_t k0 = block * CQ__BLOCK, n = cq__min(CQ__BLOCK, t->cols - k0), size = cq_format_bits(t->format) / 8;
    if (t->layout == CQ_COLUMNS) {
        cq__unpack_c(out, t, panel, block);
        return;
    }
    if (t->layout == CQ_ROWS) {
        if (n % 8 || t->rows - panel * CQ__ROWS < CQ__ROWS) {
            cq__unpack_c(out, t, panel, block);
            return;
        }
        for (size_t r = 0; r < CQ__ROWS; r += 8) /* transpose 8 x 8 at a time */
            for (size_t k = 0; k < n; k += 8) {
                const unsigned char *p = t->data + ((panel * CQ__ROWS + r) * t->cols + k0 + k) * size;
                size_t row = t->cols * size;
                __m256 a0 = cq__load8_avx2(p, t->format), a1 = cq__load8_avx2(p + row, t->format);
                __m256 a2 = cq__load8_avx2(p + 2 * row, t->format), a3 = cq__load8_avx2(p + 3 * row, t->format);
                __m256 a4 = cq__load8_avx2(p + 4 * row, t->format), a5 = cq__load8_avx2(p + 5 * row, t->format);
                __m256 a6 = cq__load8_avx2(p + 6 * row, t->format), a7 = cq__load8_avx2(p + 7 * row, t->format);
                __m256 b0 = _mm256_unpacklo_ps(a0, a1), b1 = _mm256_unpackhi_ps(a0, a1);
                __m256 b2 = _mm256_unpacklo_ps(a2, a3), b3 = _mm256_unpackhi_ps(a2, a3);
                __m256 b4 = _mm256_unpacklo_ps(a4, a5), b5 = _mm256_unpackhi_ps(a4, a5);
                __m256 b6 = _mm256_unpacklo_ps(a6, a7), b7 = _mm256_unpackhi_ps(a6, a7);
                a0 = _mm256_shuffle_ps(b0, b2, 0x44);
                a1 = _mm256_shuffle_ps(b0, b2, 0xee);
                a2 = _mm256_shuffle_ps(b1, b3, 0x44);
                a3 = _mm256_shuffle_ps(b1, b3, 0xee);
                a4 = _mm256_shuffle_ps(b4, b6, 0x44);
                a5 = _mm256_shuffle_ps(b4, b6, 0xee);
                a6 = _mm256_shuffle_ps(b5, b7, 0x44);
                a7 = _mm256_shuffle_ps(b5, b7, 0xee);
                float *o = out + k * CQ__ROWS + r;
                _mm256_storeu_ps(o, _mm256_permute2f128_ps(a0, a4, 0x20));
                _mm256_storeu_ps(o + 16, _mm256_permute2f128_ps(a1, a5, 0x20));
                _mm256_storeu_ps(o + 32, _mm256_permute2f128_ps(a2, a6, 0x20));
                _mm256_storeu_ps(o + 48, _mm256_permute2f128_ps(a3, a7, 0x20));
                _mm256_storeu_ps(o + 64, _mm256_permute2f128_ps(a0, a4, 0x31));
                _mm256_storeu_ps(o + 80, _mm256_permute2f128_ps(a1, a5, 0x31));
                _mm256_storeu_ps(o + 96, _mm256_permute2f128_ps(a2, a6, 0x31));
                _mm256_storeu_ps(o + 112, _mm256_permute2f128_ps(a3, a7, 0x31));
            }
        return;
    }
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    const cq__format_facts *f = cq__facts(t->format);
    if (cq_format_is_coded(t->format) && t->group_size % CQ__BLOCK) {
        cq__unpack_c(out, t, panel, block);
        return;
    }
    if (!cq_format_is_coded(t->format)) {
        p += k0 * CQ__ROWS * size;
        for (size_t i = 0; i < n * CQ__ROWS; i += 8) _mm256_storeu_ps(out + i, cq__load8_avx2(p + i * size, t->format));
        return;
    }
    size_t groups = cq_tensor_groups(t), g = k0 / t->group_size;
    const unsigned char *w = p + cq__panel_head(t) + block * cq__block_bytes(t->format);
    const bool in_bytes = f->bits < 8 && f->scale == 2 && n == CQ__BLOCK;
    unsigned char bytes[CQ__BLOCK * CQ__ROWS];
    if (f->bits < 4) cq__spread_low_avx2(bytes, w, f->bits == 3);
    for (size_t half = 0; half < 2; half++) { /* 8 rows */
        const unsigned char *at = p + f->scale * (g * CQ__ROWS + 8 * half);
        __m256 scale = f->scale == 4 ? _mm256_loadu_ps((const float *)(const void *)at)
                                     : cq__scales8_avx2(at, t->format);
        __m256i zero = _mm256_set1_epi32(cq__middle(t->format));
        if (t->asym)
            zero = _mm256_cvtepu8_epi32(
                _mm_loadl_epi64((const __m128i *)(const void *)(p + (2 * groups + g) * CQ__ROWS + 8 * half)));
        const __m256i zeros = _mm256_mullo_epi32(zero, _mm256_set1_epi32(0x01010101));
        const __m256 unit = _mm256_mul_ps(scale, _mm256_set1_ps(1.0f / (1 << 24)));
        for (size_t s = 0; s < 8; s++) {
            __m256i v;
            if (f->bits == 8) {
                v = CQ__LOAD(w + s * 64 + 32 * half);
                if (t->format == CQ_INT8) v = _mm256_xor_si256(v, _mm256_set1_epi8((char)-128));
            } else if (f->bits < 4) {
                v = CQ__LOAD(bytes + s * 64 + 32 * half);
            } else {
                v = _mm256_srli_epi16(CQ__LOAD(w + (s & 3) * 64 + 32 * half), (int)(s & 4));
                v = _mm256_and_si256(v, _mm256_set1_epi8(15));
                if (f->bits == 6) {
                    __m256i top = _mm256_srli_epi16(CQ__LOAD(w + 256 + (s & 1) * 64 + 32 * half), (int)(s & 6));
                    top = _mm256_and_si256(top, _mm256_set1_epi8(3));
                    v = _mm256_or_si256(v, _mm256_slli_epi16(top, 4));
                }
            }
            if (in_bytes) {
                float *o = out + s * 4 * CQ__ROWS + 8 * half;
                v = _mm256_sub_epi8(v, zeros);
                _mm256_storeu_ps(o, _mm256_mul_ps(cq__byte_avx2(v, 0), unit));
                _mm256_storeu_ps(o + CQ__ROWS, _mm256_mul_ps(cq__byte_avx2(v, 1), unit));
                _mm256_storeu_ps(o + 2 * CQ__ROWS, _mm256_mul_ps(cq__byte_avx2(v, 2), unit));
                _mm256_storeu_ps(o + 3 * CQ__ROWS, _mm256_mul_ps(cq__byte_avx2(v, 3), unit));
                continue;
            }
            for (size_t k = 0; k < 4 && s * 4 + k < n; k++) {
                __m256i code = _mm256_and_si256(_mm256_srli_epi32(v, (int)(8 * k)), _mm256_set1_epi32(255));
                __m256 value = f->mini < CQ_MINI_COUNT ? cq__mini8_avx2(code, (cq_mini)f->mini)
                                                       : _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero));
                _mm256_storeu_ps(out + (s * 4 + k) * CQ__ROWS + 8 * half, _mm256_mul_ps(value, scale));
            }
        }
    }
}

/* == unpack and tile_f32 for one column. A block is 64 vectors of eight weights with five instructions each, 120 cycles
   on three ports; two chains of 32 additions take as long. */
CQ__AVX2_INLINE void cq__four_columns_avx2(__m256 *sum, __m256i v, __m256 scale, const float *x) {
    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(_mm256_mul_ps(cq__byte_avx2(v, 0), scale), _mm256_broadcast_ss(x)));
    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(_mm256_mul_ps(cq__byte_avx2(v, 1), scale), _mm256_broadcast_ss(x + 1)));
    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(_mm256_mul_ps(cq__byte_avx2(v, 2), scale), _mm256_broadcast_ss(x + 2)));
    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(_mm256_mul_ps(cq__byte_avx2(v, 3), scale), _mm256_broadcast_ss(x + 3)));
}
CQ__AVX2 void cq__column_f32_avx2(float *y, const cq_tensor *t, size_t panel, const float *x) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *w = p + cq__panel_head(t);
    const unsigned char *zeros = p + cq__zeros_at(t);
    const size_t per = t->group_size / CQ__BLOCK, whole = t->cols / CQ__BLOCK;
    const __m256i mask = _mm256_set1_epi8(15), copies = _mm256_set1_epi32(0x01010101);
    const __m256 unit = _mm256_set1_ps(1.0f / (1 << 24));
    __m256 y0 = _mm256_loadu_ps(y), y1 = _mm256_loadu_ps(y + 8);
    for (size_t b = 0; b < whole; p += 2 * CQ__ROWS, zeros += CQ__ROWS) {
        const __m256 s0 = _mm256_mul_ps(cq__scales8_avx2(p, CQ_INT4), unit);
        const __m256 s1 = _mm256_mul_ps(cq__scales8_avx2(p + CQ__ROWS, CQ_INT4), unit);
        __m256i z0 = _mm256_set1_epi8(8), z1 = z0;
        if (t->asym) {
            const __m128i z = _mm_loadu_si128((const __m128i *)(const void *)zeros);
            z0 = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(z), copies);
            z1 = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(z, 8)), copies);
        }
        _mm_prefetch((const char *)p + 256, _MM_HINT_T0);
        for (const size_t end = cq__min(b + per, whole); b < end; b++, w += 256, x += CQ__BLOCK) {
            __m256 p0 = _mm256_setzero_ps(), p1 = p0;
            for (size_t s = 0; s < 256; s += 64) {
                const __m256i v0 = _mm256_and_si256(CQ__LOAD(w + s), mask);
                const __m256i v1 = _mm256_and_si256(CQ__LOAD(w + s + 32), mask);
                cq__four_columns_avx2(&p0, _mm256_sub_epi8(v0, z0), s0, x + s / 16);
                cq__four_columns_avx2(&p1, _mm256_sub_epi8(v1, z1), s1, x + s / 16);
                CQ__STREAM_ALONE(w + s);
            }
            for (size_t s = 0; s < 256; s += 64) {
                const __m256i v0 = _mm256_and_si256(_mm256_srli_epi16(CQ__LOAD(w + s), 4), mask);
                const __m256i v1 = _mm256_and_si256(_mm256_srli_epi16(CQ__LOAD(w + s + 32), 4), mask);
                cq__four_columns_avx2(&p0, _mm256_sub_epi8(v0, z0), s0, x + s / 16 + 16);
                cq__four_columns_avx2(&p1, _mm256_sub_epi8(v1, z1), s1, x + s / 16 + 16);
            }
            y0 = _mm256_add_ps(y0, p0);
            y1 = _mm256_add_ps(y1, p1);
        }
    }
    _mm256_storeu_ps(y, y0);
    _mm256_storeu_ps(y + 8, y1);
}

/* == cq__quantize_c */
CQ__AVX2 float cq__quantize_avx2(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n,
                                size_t stride) {
    const __m256 sign = _mm256_set1_ps(-0.0f), top = _mm256_set1_ps(127.0f), bottom = _mm256_set1_ps(-127.0f);
    __m256 most = _mm256_setzero_ps();
    float m = 0.0f, lanes[8];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) most = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)), most);
    _mm256_storeu_ps(lanes, most);
    for (size_t l = 0; l < 8; l++) m = lanes[l] > m ? lanes[l] : m;
    for (; i < n; i++) {
        float a = cq__float(cq__bits(x[i]) & 0x7fffffffu);
        m = a > m ? a : m;
    }
    float inverse = m > 0.0f ? 127.0f / m : 0.0f;
    if (!(inverse < CQ__INFINITY)) inverse = 0.0f;
    const __m256 inv = _mm256_set1_ps(inverse);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t b = 0; b < stride; b += CQ__BLOCK) {
        if (b + CQ__BLOCK > n) { /* the padded tail */
            int32_t s = 0;
            for (i = b; i < b + CQ__BLOCK; i++) {
                float v = i < n ? x[i] * inverse : 0.0f;
                v = v > -127.0f ? v : -127.0f;
                v = v < 127.0f ? v : 127.0f;
                q[i] = (int8_t)(int32_t)cq__round_even(v);
                s += q[i];
            }
            sum[b / CQ__BLOCK * ld_sum] = s;
            continue;
        }
        __m256i v[4];
        for (size_t l = 0; l < 4; l++) {
            __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + b + 8 * l), inv);
            y = _mm256_min_ps(_mm256_max_ps(y, bottom), top); /* NaN: the second operand, as in the plain code */
            v[l] = _mm256_cvtps_epi32(y);                     /* to nearest, ties to even */
        }
        __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        _mm256_storeu_si256((__m256i *)(void *)(q + b), _mm256_permutevar8x32_epi32(packed, order));
        /* unsigned, for vpsadbw, which adds up eight */
        packed = _mm256_sad_epu8(_mm256_xor_si256(packed, _mm256_set1_epi8((char)-128)), _mm256_setzero_si256());
        __m128i total = _mm_add_epi64(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
        total = _mm_add_epi64(total, _mm_unpackhi_epi64(total, total));
        sum[b / CQ__BLOCK * ld_sum] = _mm_cvtsi128_si32(total) - 128 * (int32_t)CQ__BLOCK;
    }
    return inverse > 0.0f ? m / 127.0f : 0.0f;
}

CQ__AVX2 float cq__dot_avx2(const float *a, const float *b, size_t n) {
    __m256 acc = _mm256_setzero_ps();
    float l[8];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) acc = _mm256_add_ps(acc, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    _mm256_storeu_ps(l, acc);
    for (; i < n; i++) l[i & 7] = l[i & 7] + a[i] * b[i];
    return cq__tree8(l);
}
/* == cq__dots_c: four keys at a time; the tree of cq__tree8 is taken on the transposed lanes of all four */
CQ__AVX2 void cq__dots_avx2(float *out, const float *q, const float *k, size_t ldk, size_t n, size_t count) {
    size_t i = 0;
    if (n % 8 == 0)
        for (; i + 4 <= count; i += 4, k += 4 * ldk) {
            __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0;
            for (size_t d = 0; d < n; d += 8) {
                __m256 x = _mm256_loadu_ps(q + d);
                a0 = _mm256_add_ps(a0, _mm256_mul_ps(x, _mm256_loadu_ps(k + d)));
                a1 = _mm256_add_ps(a1, _mm256_mul_ps(x, _mm256_loadu_ps(k + ldk + d)));
                a2 = _mm256_add_ps(a2, _mm256_mul_ps(x, _mm256_loadu_ps(k + 2 * ldk + d)));
                a3 = _mm256_add_ps(a3, _mm256_mul_ps(x, _mm256_loadu_ps(k + 3 * ldk + d)));
            }
            __m128 s0 = _mm_add_ps(_mm256_castps256_ps128(a0), _mm256_extractf128_ps(a0, 1)); /* 0+4 1+5 2+6 3+7 */
            __m128 s1 = _mm_add_ps(_mm256_castps256_ps128(a1), _mm256_extractf128_ps(a1, 1));
            __m128 s2 = _mm_add_ps(_mm256_castps256_ps128(a2), _mm256_extractf128_ps(a2, 1));
            __m128 s3 = _mm_add_ps(_mm256_castps256_ps128(a3), _mm256_extractf128_ps(a3, 1));
            __m128 u0 = _mm_unpacklo_ps(s0, s1), u1 = _mm_unpacklo_ps(s2, s3);
            __m128 u2 = _mm_unpackhi_ps(s0, s1), u3 = _mm_unpackhi_ps(s2, s3);
            __m128 even = _mm_add_ps(_mm_movelh_ps(u0, u1), _mm_movelh_ps(u2, u3));
            __m128 odd = _mm_add_ps(_mm_movehl_ps(u1, u0), _mm_movehl_ps(u3, u2));
            _mm_storeu_ps(out + i, _mm_add_ps(even, odd));
        }
    for (; i < count; i++, k += ldk) out[i] = cq__dot_avx2(q, k, n);
}
/* == cq__dots_q8_c: four keys at a time. vpmaddubsw wants one side unsigned: |q|, and the key takes the sign of q; a
   pair is at most 2 * 127 * 127 = 32258 < 2^15, and is widened at once. Of n no multiple of 16 the end is plain C's. */
CQ__AVX2 __m256i cq__pairs_q8_avx2(__m256i sum, __m256i size, __m256i q, const int8_t *k) {
    __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(CQ__LOAD(k), q));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
CQ__AVX2 __m256i cq__half_q8_avx2(__m256i sum, __m256i q, const int8_t *k) { /* 16 codes, q as int16 */
    __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)k));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(q, wide));
}
CQ__AVX2 void cq__dots_q8_avx2(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                               const float *scale, size_t n, size_t count) {
    const __m128 s = _mm_set1_ps(scale_q);
    const size_t whole = n / 32 * 32;
    size_t i = 0;
    if (n % 16 == 0)
        for (; i + 4 <= count; i += 4, k += 4 * ldk) {
            __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
            for (size_t d = 0; d < whole; d += 32) {
                const __m256i x = CQ__LOAD(q + d), size = _mm256_abs_epi8(x);
                a0 = cq__pairs_q8_avx2(a0, size, x, k + d);
                a1 = cq__pairs_q8_avx2(a1, size, x, k + ldk + d);
                a2 = cq__pairs_q8_avx2(a2, size, x, k + 2 * ldk + d);
                a3 = cq__pairs_q8_avx2(a3, size, x, k + 3 * ldk + d);
            }
            if (whole < n) {
                const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(q + whole)));
                a0 = cq__half_q8_avx2(a0, x, k + whole);
                a1 = cq__half_q8_avx2(a1, x, k + ldk + whole);
                a2 = cq__half_q8_avx2(a2, x, k + 2 * ldk + whole);
                a3 = cq__half_q8_avx2(a3, x, k + 3 * ldk + whole);
            }
            a0 = _mm256_hadd_epi32(_mm256_hadd_epi32(a0, a1), _mm256_hadd_epi32(a2, a3));
            __m128i dot = _mm_add_epi32(_mm256_castsi256_si128(a0), _mm256_extracti128_si256(a0, 1));
            _mm_storeu_ps(out + i, _mm_mul_ps(_mm_cvtepi32_ps(dot), _mm_mul_ps(s, _mm_loadu_ps(scale + i))));
        }
    CQ__CLEAN();
    cq__dots_q8_c(out + i, q, scale_q, k, ldk, scale + i, n, count - i);
}
CQ__AVX2 void cq__turn_avx2(float *x, float *y, const float *c, const float *s, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(y + i);
        __m256 v = _mm256_loadu_ps(c + i), w = _mm256_loadu_ps(s + i);
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, v), _mm256_mul_ps(b, w)));
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_mul_ps(b, v), _mm256_mul_ps(a, w)));
    }
    CQ__CLEAN();
    cq__turn_c(x + i, y + i, c + i, s + i, n - i);
}
CQ__AVX2 void cq__mix_avx2(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count) {
    size_t d = 0;
    for (; d + 32 <= n; d += 32) {
        __m256 a0 = _mm256_loadu_ps(out + d), a1 = _mm256_loadu_ps(out + d + 8), a2 = _mm256_loadu_ps(out + d + 16),
               a3 = _mm256_loadu_ps(out + d + 24);
        for (size_t i = 0; i < count; i++) {
            const float *row = v + i * ldv + d;
            __m256 x = _mm256_broadcast_ss(p + i);
            a0 = _mm256_add_ps(a0, _mm256_mul_ps(x, _mm256_loadu_ps(row)));
            a1 = _mm256_add_ps(a1, _mm256_mul_ps(x, _mm256_loadu_ps(row + 8)));
            a2 = _mm256_add_ps(a2, _mm256_mul_ps(x, _mm256_loadu_ps(row + 16)));
            a3 = _mm256_add_ps(a3, _mm256_mul_ps(x, _mm256_loadu_ps(row + 24)));
        }
        _mm256_storeu_ps(out + d, a0);
        _mm256_storeu_ps(out + d + 8, a1);
        _mm256_storeu_ps(out + d + 16, a2);
        _mm256_storeu_ps(out + d + 24, a3);
    }
    if (d < n) cq__mix_c(out + d, p, v + d, ldv, n - d, count);
}
CQ__AVX2 void cq__from_f16_avx2(float *out, const unsigned char *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + 2 * i))));
    CQ__CLEAN();
    cq__from_f16_c(out + i, x + 2 * i, n - i);
}
CQ__AVX2 void cq__from_int8_avx2(float *out, const int8_t *q, const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++, q += n, out += n) {
        __m256 s = _mm256_set1_ps(scale[i]);
        size_t d = 0;
        for (; d + 8 <= n; d += 8) {
            __m256i v = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(q + d)));
            _mm256_storeu_ps(out + d, _mm256_mul_ps(_mm256_cvtepi32_ps(v), s));
        }
        cq__from_int8_c(out + d, q + d, scale + i, n - d, 1);
    }
}
CQ__AVX2 float cq__sum_avx2(const float *a, size_t n) {
    __m256 acc = _mm256_setzero_ps();
    float l[8];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) acc = _mm256_add_ps(acc, _mm256_loadu_ps(a + i));
    _mm256_storeu_ps(l, acc);
    for (; i < n; i++) l[i & 7] = l[i & 7] + a[i];
    return cq__tree8(l);
}
CQ__AVX2 float cq__max_avx2(const float *a, size_t n) {
    float m = -CQ__INFINITY, l[8];
    __m256 most = _mm256_set1_ps(m);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) most = _mm256_max_ps(_mm256_loadu_ps(a + i), most);
    _mm256_storeu_ps(l, most);
    for (size_t j = 0; j < 8; j++) m = l[j] > m ? l[j] : m;
    for (; i < n; i++) m = a[i] > m ? a[i] : m;
    return m + 0.0f;
}
CQ__AVX2 void cq__axpy_avx2(float *y, float a, const float *x, size_t n) {
    __m256 s = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_mul_ps(s, _mm256_loadu_ps(x + i))));
    for (; i < n; i++) y[i] = y[i] + a * x[i];
}
CQ__AVX2 void cq__scale_avx2(float *y, const float *x, const unsigned char *w, float s, size_t n) {
    __m256 v = _mm256_set1_ps(s);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 r = _mm256_mul_ps(_mm256_loadu_ps(x + i), v);
        if (w) r = _mm256_mul_ps(r, _mm256_loadu_ps((const float *)(const void *)(w + 4 * i)));
        _mm256_storeu_ps(y + i, r);
    }
    CQ__CLEAN();
    cq__scale_c(y + i, x + i, w ? w + 4 * i : NULL, s, n - i);
}

/* == cq_expf on eight lanes: the same operations in the same order, then the special cases by blending */
CQ__AVX2 __m256 cq__exp8_avx2(__m256 x0) {
    const __m256 round = _mm256_set1_ps(CQ__ROUND);
    __m256 x = _mm256_min_ps(_mm256_max_ps(x0, _mm256_set1_ps(-104.0f)), _mm256_set1_ps(89.0f));
    __m256 t = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(CQ__LOG2E)), round), n = _mm256_sub_ps(t, round);
    __m256 r = _mm256_sub_ps(_mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(CQ__LN2_HI))),
                             _mm256_mul_ps(n, _mm256_set1_ps(CQ__LN2_LO)));
    __m256 p = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(0.00139517174f), r), _mm256_set1_ps(0.00836959854f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(0.0416661873f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(0.166665122f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(0.5f));
    __m256 y = _mm256_add_ps(_mm256_set1_ps(1.0f), _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(r, r), p), r));
    __m256i k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(round)), bias = _mm256_set1_epi32(127);
    __m256i h = _mm256_sub_epi32(_mm256_srli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(256)), 1),
                                 _mm256_set1_epi32(128));
    y = _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, bias), 23)));
    y = _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, h), bias), 23)));
    y = _mm256_blendv_ps(y, _mm256_setzero_ps(), _mm256_cmp_ps(x0, _mm256_set1_ps(CQ__EXP_MIN), _CMP_LT_OQ));
    y = _mm256_blendv_ps(y, _mm256_set1_ps(CQ__INFINITY), _mm256_cmp_ps(x0, _mm256_set1_ps(CQ__EXP_MAX), _CMP_GE_OQ));
    return _mm256_blendv_ps(y, x0, _mm256_cmp_ps(x0, x0, _CMP_UNORD_Q));
}
CQ__AVX2 void cq__exp_minus_avx2(float *x, float m, size_t n) {
    __m256 v = _mm256_set1_ps(m);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, cq__exp8_avx2(_mm256_sub_ps(_mm256_loadu_ps(x + i), v)));
    for (; i < n; i++) x[i] = cq_expf(x[i] - m);
}
CQ__AVX2 void cq__silu_mul_avx2(float *g, const float *u, size_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(g + i), e = cq__exp8_avx2(_mm256_xor_ps(v, sign));
        v = _mm256_mul_ps(_mm256_div_ps(v, _mm256_add_ps(one, e)), _mm256_loadu_ps(u + i));
        _mm256_storeu_ps(g + i, v);
    }
    CQ__CLEAN();
    cq__silu_mul_c(g + i, u + i, n - i);
}

/* ---- AVX-512: the sixteen rows of a panel are one register ----
   Half as many instructions as AVX2, and 32 registers. Products and sums go through two ports instead of three, so that
   what is bound by arithmetic gains up to half, and what is bound by memory nothing: those stay AVX2's. So do dot, sum
   and max, which are chains of eight lanes by definition. Tails are loaded and stored under masks, which touch nothing
   beyond. */
/* the first n of sixteen lanes */
CQ__INLINE __mmask16 cq__first16(size_t n) { return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffffu); }

/* == cq__tile_f32_c: twelve columns, a register each; a broadcast from memory is a part of the multiplication */
#define CQ__TILE_STEP(p, x) p = _mm512_add_ps(p, _mm512_mul_ps(v, _mm512_set1_ps(x)))
#define CQ__TILE_STORE(to, p) _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), p))
CQ__AVX512 void cq__tile12_avx512(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                  size_t jb, size_t k) {
    const float *b3 = b + 3 * jb, *b6 = b3 + 3 * jb, *b9 = b6 + 3 * jb;
    float *c3 = c + 3 * ldc, *c6 = c3 + 3 * ldc, *c9 = c6 + 3 * ldc;
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        __m512 p0 = _mm512_setzero_ps(), p1 = p0, p2 = p0, p3 = p0, p4 = p0, p5 = p0, p6 = p0, p7 = p0, p8 = p0,
               p9 = p0, p10 = p0, p11 = p0;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb) {
            __m512 v = _mm512_loadu_ps(a);
            CQ__TILE_STEP(p0, b[0]);
            CQ__TILE_STEP(p1, b[jb]);
            CQ__TILE_STEP(p2, b[2 * jb]);
            CQ__TILE_STEP(p3, b3[0]);
            CQ__TILE_STEP(p4, b3[jb]);
            CQ__TILE_STEP(p5, b3[2 * jb]);
            CQ__TILE_STEP(p6, b6[0]);
            CQ__TILE_STEP(p7, b6[jb]);
            CQ__TILE_STEP(p8, b6[2 * jb]);
            CQ__TILE_STEP(p9, b9[0]);
            CQ__TILE_STEP(p10, b9[jb]);
            CQ__TILE_STEP(p11, b9[2 * jb]);
        }
        CQ__TILE_STORE(c, p0);
        CQ__TILE_STORE(c + ldc, p1);
        CQ__TILE_STORE(c + 2 * ldc, p2);
        CQ__TILE_STORE(c3, p3);
        CQ__TILE_STORE(c3 + ldc, p4);
        CQ__TILE_STORE(c3 + 2 * ldc, p5);
        CQ__TILE_STORE(c6, p6);
        CQ__TILE_STORE(c6 + ldc, p7);
        CQ__TILE_STORE(c6 + 2 * ldc, p8);
        CQ__TILE_STORE(c9, p9);
        CQ__TILE_STORE(c9 + ldc, p10);
        CQ__TILE_STORE(c9 + 2 * ldc, p11);
    }
}
CQ__AVX512 void cq__tile4_avx512(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                 size_t jb, size_t k) {
    float *c2 = c + 2 * ldc;
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK) {
        __m512 p0 = _mm512_setzero_ps(), p1 = p0, p2 = p0, p3 = p0;
        size_t end = cq__min(t0 + CQ__BLOCK, k);
        for (size_t t = t0; t < end; t++, a += lda, b += kb) {
            __m512 v = _mm512_loadu_ps(a);
            CQ__TILE_STEP(p0, b[0]);
            CQ__TILE_STEP(p1, b[jb]);
            CQ__TILE_STEP(p2, b[2 * jb]);
            CQ__TILE_STEP(p3, b[3 * jb]);
        }
        CQ__TILE_STORE(c, p0);
        CQ__TILE_STORE(c + ldc, p1);
        CQ__TILE_STORE(c2, p2);
        CQ__TILE_STORE(c2 + ldc, p3);
    }
}
CQ__AVX512 void cq__tile_f32_avx512(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb,
                                    size_t jb, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 12 <= n; j += 12) cq__tile12_avx512(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
    for (; j + 4 <= n; j += 4) cq__tile4_avx512(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
    CQ__CLEAN();
    cq__tile_f32_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k, n - j); /* a lone sum waits less at 256 bits */
}

/* == cq__unpack_c. Codes of four bits and fewer are looked up: vpermps takes sixteen floats by the low four bits of
   each lane, so that shifting a code down is all that is done to it. The number less its zero point is exact as a
   float, and the same as the float of the difference. int8: the byte to the top of its lane, and back with its sign. */
CQ__AVX512 void cq__unpack_avx512(float *out, const cq_tensor *t, size_t panel, size_t block) {
    const cq__format_facts *f = cq__facts(t->format);
    if (t->layout != CQ_PANELS || !cq_format_is_coded(t->format) || t->group_size % CQ__BLOCK ||
        (f->bits > 4 && t->format != CQ_INT8)) {
        cq__unpack_avx2(out, t, panel, block);
        return;
    }
    size_t n = cq__min(CQ__BLOCK, t->cols - block * CQ__BLOCK), groups = cq_tensor_groups(t);
    size_t g = block * CQ__BLOCK / t->group_size;
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    const unsigned char *w = p + cq__panel_head(t) + block * cq__block_bytes(t->format);
    const unsigned char *at = p + f->scale * (g * CQ__ROWS), *zeros = p + (2 * groups + g) * CQ__ROWS;
    const __m512 of_int = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 of_e2m1 = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f,
                                          -2.0f, -3.0f, -4.0f, -6.0f);
    const bool mini = f->mini < CQ_MINI_COUNT;
    const __m512 table = mini ? of_e2m1 : of_int;
    __m512 scale, zero = _mm512_set1_ps((float)cq__middle(t->format));
    unsigned char bytes[CQ__BLOCK * CQ__ROWS];
    if (f->scale == 4) scale = _mm512_loadu_ps((const float *)(const void *)at);
    else
        scale = _mm512_insertf32x8(_mm512_castps256_ps512(cq__scales8_avx2(at, t->format)),
                                   cq__scales8_avx2(at + 8 * f->scale, t->format), 1);
    if (t->asym) zero = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)zeros)));
    if (t->format == CQ_INT8) zero = _mm512_sub_ps(zero, _mm512_set1_ps(128.0f)); /* of codes with a sign */
    if (f->bits < 4) cq__spread_low_avx2(bytes, w, f->bits == 3);
    for (size_t s = 0; 4 * s < n; s++) {
        const unsigned char *from = f->bits == 8 ? w + s * 64 : f->bits < 4 ? bytes + s * 64 : w + (s & 3) * 64;
        __m512i v = _mm512_loadu_si512((const void *)from);
        __m512 x0, x1, x2, x3;
        if (f->bits == 8) {
            x0 = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24));
            x1 = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 16), 24));
            x2 = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 8), 24));
            x3 = _mm512_cvtepi32_ps(_mm512_srai_epi32(v, 24));
        } else {
            if (f->bits == 4 && s >= 4) v = _mm512_srli_epi32(v, 4);
            x0 = _mm512_permutexvar_ps(v, table);
            x1 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 8), table);
            x2 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 16), table);
            x3 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 24), table);
        }
        if (!mini) {
            x0 = _mm512_sub_ps(x0, zero);
            x1 = _mm512_sub_ps(x1, zero);
            x2 = _mm512_sub_ps(x2, zero);
            x3 = _mm512_sub_ps(x3, zero);
        }
        float *to = out + 4 * s * CQ__ROWS;
        _mm512_storeu_ps(to, _mm512_mul_ps(x0, scale));
        if (4 * s + 1 < n) _mm512_storeu_ps(to + CQ__ROWS, _mm512_mul_ps(x1, scale));
        if (4 * s + 2 < n) _mm512_storeu_ps(to + 2 * CQ__ROWS, _mm512_mul_ps(x2, scale));
        if (4 * s + 3 < n) _mm512_storeu_ps(to + 3 * CQ__ROWS, _mm512_mul_ps(x3, scale));
    }
}

/* == cq__column_f32_avx2, with codes looked up. asym: a constant; without zeros the table has their middle off already,
   and sixteen weights are five instructions on two ports: 80 cycles a block. */
CQ__AVX512_INLINE __m512 cq__four_columns_avx512(__m512 sum, __m512i v, __m512 table, bool asym, __m512 zero,
                                                 __m512 scale, const float *x) {
    __m512 a0 = _mm512_permutexvar_ps(v, table), a1 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 8), table);
    __m512 a2 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 16), table);
    __m512 a3 = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 24), table);
    if (asym) {
        a0 = _mm512_sub_ps(a0, zero);
        a1 = _mm512_sub_ps(a1, zero);
        a2 = _mm512_sub_ps(a2, zero);
        a3 = _mm512_sub_ps(a3, zero);
    }
    sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_mul_ps(a0, scale), _mm512_set1_ps(x[0])));
    sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_mul_ps(a1, scale), _mm512_set1_ps(x[1])));
    sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_mul_ps(a2, scale), _mm512_set1_ps(x[2])));
    return _mm512_add_ps(sum, _mm512_mul_ps(_mm512_mul_ps(a3, scale), _mm512_set1_ps(x[3])));
}
CQ__AVX512_INLINE __m512 cq__whole_blocks_avx512(__m512 y, const cq_tensor *t, const unsigned char *p, const float *x,
                                                 bool asym) {
    const unsigned char *w = p + cq__panel_head(t), *zeros = p + cq__zeros_at(t);
    const size_t per = t->group_size / CQ__BLOCK, whole = t->cols / CQ__BLOCK;
    __m512 table = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), zero = _mm512_set1_ps(8.0f);
    if (!asym) table = _mm512_sub_ps(table, zero);
    for (size_t b = 0; b < whole; p += 2 * CQ__ROWS, zeros += CQ__ROWS) {
        const __m512 scale = _mm512_cvtph_ps(CQ__LOAD(p));
        if (asym)
            zero = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)zeros)));
        _mm_prefetch((const char *)p + 256, _MM_HINT_T0);
        for (const size_t end = cq__min(b + per, whole); b < end; b++, w += 256, x += CQ__BLOCK) {
            __m512 sum = _mm512_setzero_ps();
            for (size_t s = 0; s < 256; s += 64) {
                sum = cq__four_columns_avx512(sum, CQ__LOAD512(w + s), table, asym, zero, scale, x + s / 16);
                CQ__STREAM_ALONE(w + s);
            }
            for (size_t s = 0; s < 256; s += 64) {
                const __m512i v = _mm512_srli_epi32(CQ__LOAD512(w + s), 4);
                sum = cq__four_columns_avx512(sum, v, table, asym, zero, scale, x + s / 16 + 16);
            }
            y = _mm512_add_ps(y, sum);
        }
    }
    return y;
}
CQ__AVX512 void cq__column_f32_avx512(float *y, const cq_tensor *t, size_t panel, const float *x) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    if (t->asym) _mm512_storeu_ps(y, cq__whole_blocks_avx512(_mm512_loadu_ps(y), t, p, x, true));
    else _mm512_storeu_ps(y, cq__whole_blocks_avx512(_mm512_loadu_ps(y), t, p, x, false));
}

/* == cq__quantize_c */
CQ__AVX512 float cq__quantize_avx512(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n,
                                    size_t stride) {
    const __m512 top = _mm512_set1_ps(127.0f), bottom = _mm512_set1_ps(-127.0f);
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 most = _mm512_setzero_ps(), most1 = most;
    float m = 0.0f, lanes[16];
    for (size_t i = 0; i < n; i += 32) {
        __m512 a = _mm512_maskz_loadu_ps(cq__first16(n - i), x + i), b = _mm512_setzero_ps();
        if (i + 16 < n) b = _mm512_maskz_loadu_ps(cq__first16(n - i - 16), x + i + 16);
        most = _mm512_max_ps(_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), magnitude)), most);
        most1 = _mm512_max_ps(_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(b), magnitude)), most1);
    }
    _mm512_storeu_ps(lanes, _mm512_max_ps(most, most1));
    for (size_t l = 0; l < 16; l++) m = lanes[l] > m ? lanes[l] : m;
    float inverse = m > 0.0f ? 127.0f / m : 0.0f;
    if (!(inverse < CQ__INFINITY)) inverse = 0.0f;
    const __m512 inv = _mm512_set1_ps(inverse);
    for (size_t b = 0; b < stride; b += CQ__BLOCK) {
        __m128i total = _mm_setzero_si128();
        for (size_t i = b; i < b + CQ__BLOCK; i += 16) {
            __m512 v = i < n ? _mm512_maskz_loadu_ps(cq__first16(n - i), x + i) : _mm512_setzero_ps();
            v = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(v, inv), bottom), top); /* NaN: the second operand */
            __m128i codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));                /* to nearest, ties to even */
            _mm_storeu_si128((__m128i *)(void *)(q + i), codes);
            codes = _mm_xor_si128(codes, _mm_set1_epi8((char)-128)); /* unsigned, for vpsadbw, which adds up eight */
            total = _mm_add_epi64(total, _mm_sad_epu8(codes, _mm_setzero_si128()));
        }
        total = _mm_add_epi64(total, _mm_unpackhi_epi64(total, total));
        sum[b / CQ__BLOCK * ld_sum] = _mm_cvtsi128_si32(total) - 128 * (int32_t)CQ__BLOCK;
    }
    return inverse > 0.0f ? m / 127.0f : 0.0f;
}

CQ__AVX512 void cq__mix_avx512(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count) {
    size_t d = 0;
    for (; d + 64 <= n; d += 64) {
        __m512 a0 = _mm512_loadu_ps(out + d), a1 = _mm512_loadu_ps(out + d + 16), a2 = _mm512_loadu_ps(out + d + 32),
               a3 = _mm512_loadu_ps(out + d + 48);
        const float *row = v + d;
        for (size_t i = 0; i < count; i++, row += ldv) {
            __m512 x = _mm512_set1_ps(p[i]);
            a0 = _mm512_add_ps(a0, _mm512_mul_ps(x, _mm512_loadu_ps(row)));
            a1 = _mm512_add_ps(a1, _mm512_mul_ps(x, _mm512_loadu_ps(row + 16)));
            a2 = _mm512_add_ps(a2, _mm512_mul_ps(x, _mm512_loadu_ps(row + 32)));
            a3 = _mm512_add_ps(a3, _mm512_mul_ps(x, _mm512_loadu_ps(row + 48)));
        }
        _mm512_storeu_ps(out + d, a0);
        _mm512_storeu_ps(out + d + 16, a1);
        _mm512_storeu_ps(out + d + 32, a2);
        _mm512_storeu_ps(out + d + 48, a3);
    }
    CQ__CLEAN();
    cq__mix_avx2(out + d, p, v + d, ldv, n - d, count);
}
CQ__AVX512 void cq__from_f16_avx512(float *out, const unsigned char *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(x + 2 * i))));
    CQ__CLEAN();
    cq__from_f16_c(out + i, x + 2 * i, n - i);
}
CQ__AVX512 void cq__from_int8_avx512(float *out, const int8_t *q, const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++, q += n, out += n) {
        __m512 s = _mm512_set1_ps(scale[i]);
        size_t d = 0;
        for (; d + 16 <= n; d += 16) {
            __m512i v = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(q + d)));
            _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_cvtepi32_ps(v), s));
        }
        if (d < n) cq__from_int8_avx2(out + d, q + d, scale + i, n - d, 1);
    }
}
/* == cq_expf on sixteen lanes, as cq__exp8_avx2 */
CQ__AVX512 __m512 cq__exp16_avx512(__m512 x0) {
    const __m512 round = _mm512_set1_ps(CQ__ROUND);
    __m512 x = _mm512_min_ps(_mm512_max_ps(x0, _mm512_set1_ps(-104.0f)), _mm512_set1_ps(89.0f));
    __m512 t = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(CQ__LOG2E)), round), n = _mm512_sub_ps(t, round);
    __m512 r = _mm512_sub_ps(_mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(CQ__LN2_HI))),
                             _mm512_mul_ps(n, _mm512_set1_ps(CQ__LN2_LO)));
    __m512 p = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(0.00139517174f), r), _mm512_set1_ps(0.00836959854f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(0.0416661873f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(0.166665122f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(0.5f));
    __m512 y = _mm512_add_ps(_mm512_set1_ps(1.0f), _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(r, r), p), r));
    __m512i k = _mm512_sub_epi32(_mm512_castps_si512(t), _mm512_castps_si512(round)), bias = _mm512_set1_epi32(127);
    __m512i h = _mm512_sub_epi32(_mm512_srli_epi32(_mm512_add_epi32(k, _mm512_set1_epi32(256)), 1),
                                 _mm512_set1_epi32(128));
    y = _mm512_mul_ps(y, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(h, bias), 23)));
    y = _mm512_mul_ps(y, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(k, h), bias), 23)));
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x0, _mm512_set1_ps(CQ__EXP_MIN), _CMP_LT_OQ), _mm512_setzero_ps());
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x0, _mm512_set1_ps(CQ__EXP_MAX), _CMP_GE_OQ),
                           _mm512_set1_ps(CQ__INFINITY));
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x0, x0, _CMP_UNORD_Q), x0);
}
CQ__AVX512 void cq__exp_minus_avx512(float *x, float m, size_t n) {
    const __m512 v = _mm512_set1_ps(m);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = cq__first16(n - i);
        __m512 y = cq__exp16_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(in, x + i), v));
        _mm512_mask_storeu_ps(x + i, in, y);
    }
}
CQ__AVX512 void cq__silu_mul_avx512(float *g, const float *u, size_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = cq__first16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(in, g + i), e = cq__exp16_avx512(_mm512_xor_ps(v, sign));
        v = _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(one, e)), _mm512_maskz_loadu_ps(in, u + i));
        _mm512_mask_storeu_ps(g + i, in, v);
    }
}
#if CQ__X86_AVXVNNI
/* ---- VNNI: vpdpbusd adds four products of unsigned and signed bytes to an int32 at once, and exactly ----
   == cq__dots_q8_c. AVX-VNNI: as AVX2 has it, with |q| unsigned and the key's sign turned by q's. */
CQ__AVXVNNI void cq__dots_q8_avxvnni(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                                                const float *scale, size_t n, size_t count) {
    const __m128 s = _mm_set1_ps(scale_q);
    size_t i = 0;
    if (n % 32 == 0)
        for (; i + 4 <= count; i += 4, k += 4 * ldk) {
            __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
            for (size_t d = 0; d < n; d += 32) {
                const __m256i x = CQ__LOAD(q + d), size = _mm256_abs_epi8(x);
                a0 = _mm256_dpbusd_avx_epi32(a0, size, _mm256_sign_epi8(CQ__LOAD(k + d), x));
                a1 = _mm256_dpbusd_avx_epi32(a1, size, _mm256_sign_epi8(CQ__LOAD(k + ldk + d), x));
                a2 = _mm256_dpbusd_avx_epi32(a2, size, _mm256_sign_epi8(CQ__LOAD(k + 2 * ldk + d), x));
                a3 = _mm256_dpbusd_avx_epi32(a3, size, _mm256_sign_epi8(CQ__LOAD(k + 3 * ldk + d), x));
            }
            a0 = _mm256_hadd_epi32(_mm256_hadd_epi32(a0, a1), _mm256_hadd_epi32(a2, a3));
            __m128i dot = _mm_add_epi32(_mm256_castsi256_si128(a0), _mm256_extracti128_si256(a0, 1));
            _mm_storeu_ps(out + i, _mm_mul_ps(_mm_cvtepi32_ps(dot), _mm_mul_ps(s, _mm_loadu_ps(scale + i))));
        }
    CQ__CLEAN();
    cq__dots_q8_avx2(out + i, q, scale_q, k, ldk, scale + i, n, count - i);
}
#endif
/* AVX-512: no such sign. The key plus 128 is unsigned, and 128 times the sum of q is taken off beforehand. Any n: lanes
   beyond it are 0 in q. */
CQ__AVX512VNNI void cq__dots_q8_avx512vnni(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                                             const float *scale, size_t n, size_t count) {
    const __m512i flip = _mm512_set1_epi8((char)-128);
    const __m128 s = _mm_set1_ps(scale_q);
    const size_t whole = n / 64 * 64;
    const __mmask64 in = ((__mmask64)1 << (n - whole)) - 1;
    __m512i less = _mm512_setzero_si512();
    size_t i = 0;
    for (size_t d = 0; d < whole; d += 64) less = _mm512_dpbusd_epi32(less, flip, _mm512_loadu_si512(q + d));
    less = _mm512_dpbusd_epi32(less, flip, _mm512_maskz_loadu_epi8(in, q + whole));
    less = _mm512_sub_epi32(_mm512_setzero_si512(), less);
    for (; i + 4 <= count; i += 4, k += 4 * ldk) {
        __m512i a0 = less, a1 = less, a2 = less, a3 = less;
        for (size_t d = 0; d < whole; d += 64) {
            const __m512i x = _mm512_loadu_si512(q + d);
            a0 = _mm512_dpbusd_epi32(a0, _mm512_xor_si512(flip, _mm512_loadu_si512(k + d)), x);
            a1 = _mm512_dpbusd_epi32(a1, _mm512_xor_si512(flip, _mm512_loadu_si512(k + ldk + d)), x);
            a2 = _mm512_dpbusd_epi32(a2, _mm512_xor_si512(flip, _mm512_loadu_si512(k + 2 * ldk + d)), x);
            a3 = _mm512_dpbusd_epi32(a3, _mm512_xor_si512(flip, _mm512_loadu_si512(k + 3 * ldk + d)), x);
        }
        if (whole < n) {
            const __m512i x = _mm512_maskz_loadu_epi8(in, q + whole);
            const int8_t *t = k + whole;
            a0 = _mm512_dpbusd_epi32(a0, _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(in, t)), x);
            a1 = _mm512_dpbusd_epi32(a1, _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(in, t + ldk)), x);
            a2 = _mm512_dpbusd_epi32(a2, _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(in, t + 2 * ldk)), x);
            a3 = _mm512_dpbusd_epi32(a3, _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(in, t + 3 * ldk)), x);
        }
        a0 = _mm512_add_epi32(_mm512_unpacklo_epi32(a0, a1), _mm512_unpackhi_epi32(a0, a1)); /* 0 1 0 1 in each 128 */
        a2 = _mm512_add_epi32(_mm512_unpacklo_epi32(a2, a3), _mm512_unpackhi_epi32(a2, a3));
        a0 = _mm512_add_epi32(_mm512_unpacklo_epi64(a0, a2), _mm512_unpackhi_epi64(a0, a2)); /* 0 1 2 3 */
        __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(a0), _mm512_extracti64x4_epi64(a0, 1));
        __m128i dot = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        _mm_storeu_ps(out + i, _mm_mul_ps(_mm_cvtepi32_ps(dot), _mm_mul_ps(s, _mm_loadu_ps(scale + i))));
    }
    CQ__CLEAN();
    cq__dots_q8_avx2(out + i, q, scale_q, k, ldk, scale + i, n, count - i);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#define CQ__AVX2_TIER(name, q8, dots_q8)                                                                               \
    {                                                                                                                  \
        name, cq__tile_f32_avx2, cq__fma_f32_avx2, cq__eliminate_avx2, cq__round16_avx2, cq__cost16_avx2,              \
            cq__decide16_avx2, cq__descend16_avx2, cq__unpack_avx2, q8, cq__quantize_avx2, cq__dot_avx2,               \
            cq__dots_avx2, cq__mix_avx2, cq__from_f16_avx2, cq__from_int8_avx2, dots_q8, cq__turn_avx2, cq__sum_avx2,  \
            cq__max_avx2, cq__axpy_avx2, cq__scale_avx2, cq__exp_minus_avx2, cq__silu_mul_avx2,                        \
            cq__column_f32_avx2                                                                                        \
    }
static const cq__kernels cq__kernels_avx2 = CQ__AVX2_TIER("avx2", cq__panels_q8_avx2, cq__dots_q8_avx2);
#if CQ__X86_AVXVNNI
static const cq__kernels cq__kernels_avxvnni = CQ__AVX2_TIER("avxvnni", cq__panels_q8_avxvnni, cq__dots_q8_avxvnni);
#endif
#define CQ__AVX512_TIER(name, q8, dots_q8)                                                                             \
    {                                                                                                                  \
        name, cq__tile_f32_avx512, cq__fma_f32_avx512, cq__eliminate_avx512, cq__round16_avx2, cq__cost16_avx512,      \
            cq__decide16_avx2, cq__descend16_avx2, cq__unpack_avx512, q8, cq__quantize_avx512, cq__dot_avx2,           \
            cq__dots_avx2, cq__mix_avx512, cq__from_f16_avx512, cq__from_int8_avx512, dots_q8, cq__turn_avx2,          \
            cq__sum_avx2, cq__max_avx2, cq__axpy_avx2, cq__scale_avx2, cq__exp_minus_avx512, cq__silu_mul_avx512,      \
            cq__column_f32_avx512                                                                                      \
    }
static const cq__kernels cq__kernels_avx512 = CQ__AVX512_TIER("avx512", cq__panels_q8_avx512, cq__dots_q8_avx2);
static const cq__kernels cq__kernels_avx512vnni =
    CQ__AVX512_TIER("avx512vnni", cq__panels_q8_avx512vnni, cq__dots_q8_avx512vnni);
#if CQ__X86_TILES
static const cq__kernels cq__kernels_amx = CQ__AVX512_TIER("amx", cq__panels_q8_amx, cq__dots_q8_avx512vnni);
#endif

/* r: eax, ebx, ecx, edx; 0 where there is no such leaf */
static void cq__cpuid(uint32_t leaf, uint32_t sub, uint32_t *r) {
#ifdef _MSC_VER
    int v[4];
    __cpuid(v, 0);
    for (int i = 0; i < 4; i++) r[i] = 0;
    if ((uint32_t)v[0] < leaf) return;
    __cpuidex(v, (int)leaf, (int)sub);
    for (int i = 0; i < 4; i++) r[i] = (uint32_t)v[i];
#else
    r[0] = r[1] = r[2] = r[3] = 0;
    if ((uint32_t)__get_cpuid_max(0, NULL) >= leaf) __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
#endif
}
/* What this processor has and the system saves the registers of: bits of CQ__HAS_... */
#define CQ__HAS_AVX2 1u    /* with FMA and F16C */
#define CQ__HAS_AVX512 2u  /* F, BW, DQ, VL */
#define CQ__HAS_VNNI 4u    /* of AVX-512 */
#define CQ__HAS_AVXVNNI 8u
#define CQ__HAS_AMX 32u
#define CQ__HAS_SSE41 16u   /* with SSSE3 */
CQ__UNUSED static uint32_t cq__cpu(void) {
    uint32_t one[4], seven[4], more[4], xcr0 = 0, has = 0;
    cq__cpuid(1, 0, one);
    cq__cpuid(7, 0, seven);
    cq__cpuid(7, seven[0] ? 1 : 0, more);
    if (one[2] >> 27 & 1) { /* OSXSAVE: the system says what it saves */
#ifdef _MSC_VER
        xcr0 = (uint32_t)_xgetbv(0);
#else
        uint32_t high;
        __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
        (void)high;
#endif
    }
    const uint32_t avx = 1u << 12 | 1u << 28 | 1u << 29; /* FMA AVX F16C */
    const uint32_t wide = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F DQ BW VL */
    if ((one[2] & (1u << 9 | 1u << 19)) == (1u << 9 | 1u << 19)) has |= CQ__HAS_SSE41;
    if ((xcr0 & 6) != 6 || (one[2] & avx) != avx || !(seven[1] >> 5 & 1)) return has;
    has |= CQ__HAS_AVX2;
    if (seven[0] && (more[0] >> 4 & 1)) has |= CQ__HAS_AVXVNNI;
    if ((xcr0 & 0xe6) != 0xe6 || (seven[1] & wide) != wide) return has;
    has |= CQ__HAS_AVX512;
    if (seven[2] >> 11 & 1) has |= CQ__HAS_VNNI;
    /* TILE, INT8, and the system saves tiles; the process must have asked for them too */
    if ((seven[3] >> 24 & 3) == 3 && (xcr0 & 0x60000) == 0x60000 && (CQUANT_TILES)) has |= CQ__HAS_AMX;
    return has;
}
#endif /* CQ__X86 */

/* ###################################################################################################################
   [ARM]  NEON, and two extensions of it: dotprod (with Armv8.4, and before with Cortex-A55, A75 and later) and i8mm
   (with Armv8.6, and before with Neoverse V1). The same bits, faster. Floats are [V4]'s but for what NEON has of its
   own: fused multiply-adds and fp16.

   A register holds 16 bytes: of a panel, 4 rows x 4 columns, so that a step of 16 rows is four registers.

       bytes of register v    [r0: k0 k1 k2 k3] [r1: k0 k1 k2 k3] [r2: k0 k1 k2 k3] [r3: k0 k1 k2 k3]    r0 = 4 v

   neon     vmlal_s8: the 8 products of half a register are added to 8 lanes of int16; the activation's four bytes stand
            in every lane of 32 bits (vdup). One product a lane and step: codes of at most 15 give 8 * 15 * 127 = 15240
            in the eight steps of a block, and two neighbours 30480 < 2^15, so these too are added in int16 before they
            go to int32, once a block. Bytes (int8, six-bit codes): two products, 2 * 128 * 127 = 32512 < 2^15, then
            to int32.
            8 rows x 4 columns are 16 such chains. Bound by the multiplications, one for 8 products.
   dotprod  vdotq_laneq_s32: the four products of a row are added to its lane of int32, and the activation's four bytes
            are taken from any lane of a register: 16 bytes of a column serve four steps. 16 rows x 4 columns are 16
            accumulators of 32 registers. One instruction for 16 products.
   i8mm     vmmlaq_s32: 2 rows x 8 k times 8 k x 2 columns, 32 products. Eight k of a row are two steps side by side:

       zip1(step s, step s + 1)    [r0: k0 .. k3] [r0: k4 .. k7] [r1: k0 .. k3] [r1: k4 .. k7]      zip2: r2, r3
       two columns                 [c0: k0 .. k7] [c1: k0 .. k7]
       accumulator                 [r0 c0] [r0 c1] [r1 c0] [r1 c1]

            16 rows x 4 columns again; one column alone gains nothing, and goes to dotprod.

   Codes of integers are taken as they are, and the zero's share is taken away at the end of a group. Sums over a group
   are below 65536 * 128 * 127 < 2^31, so their order does not matter. Columns of a tile that do not exist are copies of
   one that does: the same sum is stored twice at the same place. One column, which is what generating text needs, has
   all its sums in registers from one end of the panel to the other.

   32-bit Arm has 16 registers, and its vectors take denormal floats for zero. So it has the products of integers only,
   a column at a time, and floats are plain C.

   Big-endian: vld1q_u8 keeps the order of bytes, and vreinterpret the register, in which lane 0 is the low end: what is
   loaded as bytes reads the same on either machine.

   Functions for dotprod and i8mm have a target of their own, and no flag is needed. gcc wants that spelt with an
   architecture, "arch=armv8.2-a+dotprod", and then inlines no function of ours there if the flags add something else
   (-march=armv8-a+crypto). What functions of several targets share is CQ__INLINE_ARM: armv8-a alone, whatever the flags
   are, which is a part of every target.
   ################################################################################################################## */
#if CQ__ARM
#ifdef __aarch64__
#define CQ__A64 1
#define CQ__MUL_HIGH(w, x) vmull_high_s8(w, x)
#define CQ__MAD_HIGH(h, w, x) vmlal_high_s8(h, w, x)
#else
#define CQ__A64 0
#define CQ__MUL_HIGH(w, x) vmull_s8(vget_high_s8(w), vget_high_s8(x))
#define CQ__MAD_HIGH(h, w, x) vmlal_s8(h, vget_high_s8(w), vget_high_s8(x))
#endif
#define CQ__MUL_LOW(w, x) vmull_s8(vget_low_s8(w), vget_low_s8(x))
#define CQ__MAD_LOW(h, w, x) vmlal_s8(h, vget_low_s8(w), vget_low_s8(x))
#if CQ__A64 && !defined(__clang__)
#define CQ__INLINE_ARM __attribute__((target("arch=armv8-a"))) CQ__INLINE
#else
#define CQ__INLINE_ARM CQ__INLINE
#endif

/* 16 rows, four a register. Functions get and return them in structs, which compilers take apart once inlined. */
typedef struct cq__i32x16_arm {
    int32x4_t v0, v1, v2, v3;
} cq__i32x16_arm;
CQ__INLINE_ARM cq__i32x16_arm cq__same_i32_arm(int32_t x) {
    cq__i32x16_arm a;
    a.v0 = a.v1 = a.v2 = a.v3 = vdupq_n_s32(x);
    return a;
}
CQ__INLINE_ARM cq__i32x16_arm cq__load_i32_arm(const int32_t *p) {
    cq__i32x16_arm a;
    a.v0 = vld1q_s32(p), a.v1 = vld1q_s32(p + 4), a.v2 = vld1q_s32(p + 8), a.v3 = vld1q_s32(p + 12);
    return a;
}
CQ__INLINE_ARM cq__i32x16_arm cq__sums_arm(cq__i32x16_arm a, cq__i32x16_arm b) {
    a.v0 = vaddq_s32(a.v0, b.v0), a.v1 = vaddq_s32(a.v1, b.v1);
    a.v2 = vaddq_s32(a.v2, b.v2), a.v3 = vaddq_s32(a.v3, b.v3);
    return a;
}
CQ__INLINE_ARM void cq__store_i32_arm(int32_t *p, cq__i32x16_arm a) {
    vst1q_s32(p, a.v0), vst1q_s32(p + 4, a.v1), vst1q_s32(p + 8, a.v2), vst1q_s32(p + 12, a.v3);
}

/* sums of neighbours: of the lanes of a, then those of b */
CQ__INLINE int16x8_t cq__pairs16_neon(int16x8_t a, int16x8_t b) {
#if CQ__A64
    return vpaddq_s16(a, b);
#else
    return vcombine_s16(vpadd_s16(vget_low_s16(a), vget_high_s16(a)), vpadd_s16(vget_low_s16(b), vget_high_s16(b)));
#endif
}
CQ__INLINE int32x4_t cq__pairs32_neon(int32x4_t a, int32x4_t b) {
#if CQ__A64
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}

/* What the numbers of e2m1 are in units of 1/2: tables of 16 bytes are one instruction. Registers are named by macros
   because functions of three targets need them. */
static const int8_t cq__e2m1_arm[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
#if CQ__A64
typedef int8x16_t cq__table_arm;
#define CQ__TABLE() vld1q_s8(cq__e2m1_arm)
#define CQ__LOOK_UP(table, i) vqtbl1q_s8(table, i)
#else
typedef int8x8x2_t cq__table_arm;
CQ__INLINE cq__table_arm cq__table_neon(void) {
    cq__table_arm t;
    t.val[0] = vld1_s8(cq__e2m1_arm);
    t.val[1] = vld1_s8(cq__e2m1_arm + 8);
    return t;
}
#define CQ__TABLE() cq__table_neon()
#define CQ__LOOK_UP(table, i)                                                                                          \
    vcombine_s8(vtbl2_s8(table, vreinterpret_s8_u8(vget_low_u8(i))),                                                   \
                vtbl2_s8(table, vreinterpret_s8_u8(vget_high_u8(i))))
#endif

#if CQ__A64
#define CQ__HALF4(p) vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))) /* four scales of fp16 */
#define CQ__SHIFT22(u) vreinterpretq_f32_u32(vshlq_n_u32(u, 22))
typedef struct cq__f32x16_arm {
    float32x4_t v0, v1, v2, v3;
} cq__f32x16_arm;
CQ__INLINE_ARM cq__f32x16_arm cq__load_f32_arm(const float *p) {
    cq__f32x16_arm a;
    a.v0 = vld1q_f32(p), a.v1 = vld1q_f32(p + 4), a.v2 = vld1q_f32(p + 8), a.v3 = vld1q_f32(p + 12);
    return a;
}
CQ__INLINE_ARM void cq__store_f32_arm(float *p, cq__f32x16_arm a) {
    vst1q_f32(p, a.v0), vst1q_f32(p + 4, a.v1), vst1q_f32(p + 8, a.v2), vst1q_f32(p + 12, a.v3);
}
CQ__INLINE_ARM cq__f32x16_arm cq__times_arm(cq__f32x16_arm a, float x) {
    a.v0 = vmulq_n_f32(a.v0, x), a.v1 = vmulq_n_f32(a.v1, x);
    a.v2 = vmulq_n_f32(a.v2, x), a.v3 = vmulq_n_f32(a.v3, x);
    return a;
}
/* 16 scales: of fp16; of E8M0, whose 0 and 255 have a bit more than is shifted */
CQ__INLINE_ARM cq__f32x16_arm cq__halves_arm(const unsigned char *p) {
    cq__f32x16_arm s;
    s.v0 = CQ__HALF4(p), s.v1 = CQ__HALF4(p + 8), s.v2 = CQ__HALF4(p + 16), s.v3 = CQ__HALF4(p + 24);
    return s;
}
CQ__INLINE_ARM cq__f32x16_arm cq__e8m0_arm(const unsigned char *p) {
    const uint8x16_t e = vld1q_u8(p), odd = vorrq_u8(vceqq_u8(e, vdupq_n_u8(0)), vceqq_u8(e, vdupq_n_u8(255)));
    const uint8x16_t bit = vshrq_n_u8(odd, 7);
    const uint16x8_t low = vaddw_u8(vshll_n_u8(vget_low_u8(e), 1), vget_low_u8(bit));
    const uint16x8_t high = vaddw_u8(vshll_n_u8(vget_high_u8(e), 1), vget_high_u8(bit));
    cq__f32x16_arm s;
    s.v0 = CQ__SHIFT22(vmovl_u16(vget_low_u16(low))), s.v1 = CQ__SHIFT22(vmovl_u16(vget_high_u16(low)));
    s.v2 = CQ__SHIFT22(vmovl_u16(vget_low_u16(high))), s.v3 = CQ__SHIFT22(vmovl_u16(vget_high_u16(high)));
    return s;
}
/* 16 zeros, less offset */
CQ__INLINE_ARM cq__i32x16_arm cq__zeros_arm(const unsigned char *p, int32_t offset) {
    const uint8x16_t all = vld1q_u8(p);
    const uint8x8_t less = vdup_n_u8((uint8_t)offset);
    const int16x8_t low = vreinterpretq_s16_u16(vsubl_u8(vget_low_u8(all), less));
    const int16x8_t high = vreinterpretq_s16_u16(vsubl_u8(vget_high_u8(all), less));
    cq__i32x16_arm z;
    z.v0 = vmovl_s16(vget_low_s16(low)), z.v1 = vmovl_s16(vget_high_s16(low));
    z.v2 = vmovl_s16(vget_low_s16(high)), z.v3 = vmovl_s16(vget_high_s16(high));
    return z;
}
/* sums less what zeros have added to them */
CQ__INLINE_ARM cq__i32x16_arm cq__less_zeros_arm(cq__i32x16_arm d, cq__i32x16_arm z, int32_t total) {
    d.v0 = vmlsq_n_s32(d.v0, z.v0, total), d.v1 = vmlsq_n_s32(d.v1, z.v1, total);
    d.v2 = vmlsq_n_s32(d.v2, z.v2, total), d.v3 = vmlsq_n_s32(d.v3, z.v3, total);
    return d;
}
/* f + d * s */
CQ__INLINE_ARM cq__f32x16_arm cq__add_scaled_arm(cq__f32x16_arm f, cq__i32x16_arm d, cq__f32x16_arm s) {
    f.v0 = vaddq_f32(f.v0, vmulq_f32(vcvtq_f32_s32(d.v0), s.v0));
    f.v1 = vaddq_f32(f.v1, vmulq_f32(vcvtq_f32_s32(d.v1), s.v1));
    f.v2 = vaddq_f32(f.v2, vmulq_f32(vcvtq_f32_s32(d.v2), s.v2));
    f.v3 = vaddq_f32(f.v3, vmulq_f32(vcvtq_f32_s32(d.v3), s.v3));
    return f;
}
#endif

/* How the codes of a block are stored: as nibbles of int4, as nibbles of e2m1, as signed bytes, as bytes from 0 to 15,
   as int3, as int2. Kernels are written once with `kind` a constant; w, mask and table are their variables. What takes
   a step is a macro: intrinsics want literals for shifts and lanes, also where nothing is optimized. */
enum { CQ__INT4, CQ__E2M1, CQ__BYTES, CQ__SMALL, CQ__INT3, CQ__INT2, CQ__KINDS };
#define CQ__NIBBLES(bytes, high) ((high) ? vshrq_n_u8(bytes, 4) : vandq_u8(bytes, mask))
#define CQ__VALUES(nibbles) (kind == CQ__E2M1 ? CQ__LOOK_UP(table, nibbles) : vreinterpretq_s8_u8(nibbles))
#define CQ__RIGHT_ARM(bytes, n) ((n) > 0 ? vshrq_n_u8(bytes, (n) > 0 ? (n) : 1) : bytes)
#define CQ__LOW2(s, v) vandq_u8(CQ__RIGHT_ARM(vld1q_u8(w + ((s) & 1) * 64 + (v) * 16), (s) & 6), vdupq_n_u8(3))
#define CQ__TOP1(s, bytes)                                                                                             \
    vandq_u8((s) < 2 ? vshlq_n_u8(bytes, (s) < 2 ? 2 - (s) : 0) : CQ__RIGHT_ARM(bytes, (s) - 2), vdupq_n_u8(4))
/* register v of step s */
#define CQ__STEP_ARM(s, v)                                                                                             \
    (kind == CQ__BYTES || kind == CQ__SMALL ? vreinterpretq_s8_u8(vld1q_u8(w + (s) * 64 + (v) * 16))                   \
     : kind == CQ__INT2 ? vreinterpretq_s8_u8(CQ__LOW2(s, v))                                                          \
     : kind == CQ__INT3 ? vreinterpretq_s8_u8(vorrq_u8(CQ__LOW2(s, v), CQ__TOP1(s, vld1q_u8(w + 128 + (v) * 16))))     \
                        : CQ__VALUES(CQ__NIBBLES(vld1q_u8(w + ((s) & 3) * 64 + (v) * 16), (s) & 4)))
/* the four bytes of an activation for step s in every lane; x: 16 bytes, of steps 0 to 3 or 4 to 7 */
#if CQ__A64
#define CQ__DUP_ARM(x, s) vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), (s) & 3))
#else
#define CQ__DUP_ARM(x, s)                                                                                              \
    vreinterpretq_s8_s32(vdupq_lane_s32((s) & 2 ? vget_high_s32(vreinterpretq_s32_s8(x))                               \
                                                : vget_low_s32(vreinterpretq_s32_s8(x)), (s) & 1))
#endif
#define CQ__BITS_ARM                                                                                                   \
    (kind == CQ__INT3 ? 3u : kind == CQ__INT2 ? 2u : kind == CQ__BYTES || kind == CQ__SMALL ? 8u : 4u)
#define CQ__BLOCK_ARM (CQ__BLOCK * CQ__ROWS / 8 * CQ__BITS_ARM) /* bytes */

/* acc (n, 16) += the sums over `blocks` blocks of w times n columns of activations, ldq apart */
typedef void cq__tile_arm(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq, size_t n);
typedef struct cq__panel_arm { /* for one column from end to end */
    const unsigned char *scales, *zeros, *w; /* of the panel; zeros NULL: the middle */
    const int8_t *q;
    const int32_t *sum;
    const float *scale;   /* of the activations, for each group or for all */
    size_t ld_sum, blocks, per; /* blocks in the panel, in a group */
    bool grouped;
} cq__panel_arm;
typedef void cq__column_arm(float *out, const cq__panel_arm *panel);
typedef struct cq__tiles_arm { /* of a tier, by kind, as far as it is there */
    cq__tile_arm *one[CQ__INT3], *four[CQ__INT3]; /* for one column, for up to four; int2 and int3 are bytes here */
    cq__column_arm *column[CQ__KINDS];
} cq__tiles_arm;

/* neon, one column: 16 rows, two of them in each of eight chains */
#define CQ__CHAIN8(s)                                                                                                  \
    x = CQ__DUP_ARM(x0, s);                                                                                            \
    v = CQ__STEP_ARM(s, 0);                                                                                            \
    h0 = CQ__MAD_LOW(h0, v, x);                                                                                        \
    h1 = CQ__MAD_HIGH(h1, v, x);                                                                                       \
    v = CQ__STEP_ARM(s, 1);                                                                                            \
    h2 = CQ__MAD_LOW(h2, v, x);                                                                                        \
    h3 = CQ__MAD_HIGH(h3, v, x);                                                                                       \
    v = CQ__STEP_ARM(s, 2);                                                                                            \
    h4 = CQ__MAD_LOW(h4, v, x);                                                                                        \
    h5 = CQ__MAD_HIGH(h5, v, x);                                                                                       \
    v = CQ__STEP_ARM(s, 3);                                                                                            \
    h6 = CQ__MAD_LOW(h6, v, x);                                                                                        \
    h7 = CQ__MAD_HIGH(h7, v, x);
CQ__INLINE void cq__chain8_block_neon(cq__i32x16_arm *d, const unsigned char *w, const int8_t *q, uint8x16_t mask,
                                      cq__table_arm table, unsigned kind) {
    int16x8_t h0 = vdupq_n_s16(0), h1 = h0, h2 = h0, h3 = h0, h4 = h0, h5 = h0, h6 = h0, h7 = h0;
    int8x16_t x, v, x0 = vld1q_s8(q);
    CQ__CHAIN8(0)
    CQ__CHAIN8(1)
    CQ__CHAIN8(2)
    CQ__CHAIN8(3)
    x0 = vld1q_s8(q + 16);
    CQ__CHAIN8(4)
    CQ__CHAIN8(5)
    CQ__CHAIN8(6)
    CQ__CHAIN8(7)
    d->v0 = vpadalq_s16(d->v0, cq__pairs16_neon(h0, h1));
    d->v1 = vpadalq_s16(d->v1, cq__pairs16_neon(h2, h3));
    d->v2 = vpadalq_s16(d->v2, cq__pairs16_neon(h4, h5));
    d->v3 = vpadalq_s16(d->v3, cq__pairs16_neon(h6, h7));
}
CQ__INLINE void cq__chain1_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, unsigned kind) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    cq__i32x16_arm d = cq__load_i32_arm(acc);
    for (; blocks; blocks--, q += CQ__BLOCK, w += CQ__BLOCK_ARM) cq__chain8_block_neon(&d, w, q, mask, table, kind);
    cq__store_i32_arm(acc, d);
}
/* the same for bytes: two products a lane, then to int32 */
#define CQ__WIDE2(s, v, a, b)                                                                                          \
    u = CQ__STEP_ARM(s, v), y = CQ__STEP_ARM((s) + 1, v);                                                              \
    a = vpadalq_s16(a, CQ__MAD_LOW(CQ__MUL_LOW(u, x0), y, x1));                                                        \
    b = vpadalq_s16(b, CQ__MAD_HIGH(CQ__MUL_HIGH(u, x0), y, x1));
#define CQ__WIDE8(s)                                                                                                   \
    x0 = CQ__DUP_ARM(x, s), x1 = CQ__DUP_ARM(x, (s) + 1);                                                              \
    CQ__WIDE2(s, 0, d0, d1)                                                                                            \
    CQ__WIDE2(s, 1, d2, d3)                                                                                            \
    CQ__WIDE2(s, 2, d4, d5)                                                                                            \
    CQ__WIDE2(s, 3, d6, d7)
#define CQ__ADD_ARM(p, v) vst1q_s32(p, vaddq_s32(vld1q_s32(p), v))
static void cq__bytes1_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    const unsigned kind = CQ__BYTES;
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    int32x4_t d0 = vdupq_n_s32(0), d1 = d0, d2 = d0, d3 = d0, d4 = d0, d5 = d0, d6 = d0, d7 = d0;
    for (; blocks; blocks--, q += CQ__BLOCK, w += CQ__BLOCK_ARM) {
        int8x16_t x0, x1, u, y, x = vld1q_s8(q);
        CQ__WIDE8(0)
        CQ__WIDE8(2)
        x = vld1q_s8(q + 16);
        CQ__WIDE8(4)
        CQ__WIDE8(6)
    }
    CQ__ADD_ARM(acc, cq__pairs32_neon(d0, d1));
    CQ__ADD_ARM(acc + 4, cq__pairs32_neon(d2, d3));
    CQ__ADD_ARM(acc + 8, cq__pairs32_neon(d4, d5));
    CQ__ADD_ARM(acc + 12, cq__pairs32_neon(d6, d7));
    (void)mask, (void)table, (void)ldq, (void)n;
}
static void cq__int4_1_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    (void)ldq, (void)n;
    cq__chain1_neon(acc, w, blocks, q, CQ__INT4);
}
static void cq__e2m1_1_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    (void)ldq, (void)n;
    cq__chain1_neon(acc, w, blocks, q, CQ__E2M1);
}
static void cq__small1_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    (void)ldq, (void)n;
    cq__chain1_neon(acc, w, blocks, q, CQ__SMALL);
}

#if CQ__A64
/* One column from end to end of the panel, whose sums f stay in registers. */
typedef struct cq__along_arm {
    const unsigned char *scales, *zeros; /* of the next group, as in cq__panel_arm */
    const float *scale;
    cq__f32x16_arm f;
} cq__along_arm;
CQ__INLINE_ARM cq__along_arm cq__along_open_arm(const cq__panel_arm *panel) {
    cq__along_arm a;
    a.scales = panel->scales, a.zeros = panel->zeros, a.scale = panel->scale;
    a.f.v0 = a.f.v1 = a.f.v2 = a.f.v3 = vdupq_n_f32(0.0f);
    return a;
}
/* the end of a group: d its sums, total that of its activations */
CQ__INLINE_ARM void cq__along_group_arm(cq__along_arm *a, const cq__panel_arm *panel, cq__i32x16_arm d, int32_t total,
                                        const unsigned kind) {
    cq__f32x16_arm s;
    if (kind == CQ__E2M1) {
        s = cq__times_arm(cq__e8m0_arm(a->scales), 0.5f);
        a->scales += 16;
    } else {
        cq__i32x16_arm z = cq__same_i32_arm(kind == CQ__BYTES ? 0 : 1 << (CQ__BITS_ARM - 1));
        s = cq__halves_arm(a->scales);
        a->scales += 32;
        if (a->zeros) {
            z = cq__zeros_arm(a->zeros, kind == CQ__BYTES ? 128 : 0);
            a->zeros += 16;
        }
        d = cq__less_zeros_arm(d, z, total);
    }
    if (panel->grouped) s = cq__times_arm(s, *a->scale++);
    a->f = cq__add_scaled_arm(a->f, d, s);
}
CQ__INLINE_ARM void cq__along_close_arm(float *out, const cq__along_arm *a, const cq__panel_arm *panel) {
    cq__store_f32_arm(out, cq__times_arm(a->f, panel->grouped ? 1.0f : *a->scale));
}
CQ__INLINE void cq__column_neon(float *out, const cq__panel_arm *panel, const unsigned kind) {
    const unsigned char *w = panel->w;
    const int8_t *q = panel->q;
    const int32_t *sum = panel->sum;
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    cq__along_arm along = cq__along_open_arm(panel);
    for (size_t b = 0, end; b < panel->blocks; b = end) {
        cq__i32x16_arm d = cq__same_i32_arm(0);
        int32_t total = 0;
        end = panel->blocks - b > panel->per ? b + panel->per : panel->blocks;
        for (size_t i = b; i < end; i++, q += CQ__BLOCK, w += CQ__BLOCK_ARM) {
            cq__chain8_block_neon(&d, w, q, mask, table, kind);
            total += *sum;
            sum += panel->ld_sum;
        }
        cq__along_group_arm(&along, panel, d, total, kind);
    }
    cq__along_close_arm(out, &along, panel);
}
static void cq__int4_column_neon(float *out, const cq__panel_arm *panel) { cq__column_neon(out, panel, CQ__INT4); }
static void cq__int3_column_neon(float *out, const cq__panel_arm *panel) { cq__column_neon(out, panel, CQ__INT3); }
static void cq__int2_column_neon(float *out, const cq__panel_arm *panel) { cq__column_neon(out, panel, CQ__INT2); }
static void cq__e2m1_column_neon(float *out, const cq__panel_arm *panel) { cq__column_neon(out, panel, CQ__E2M1); }

/* neon, four columns: 8 rows at a time, registers `half` and half + 1 of a step, chains h of column j and rows 2 i */
#define CQ__CHAIN16(s)                                                                                                 \
    u = CQ__STEP_ARM(s, 0), v = CQ__STEP_ARM(s, 1);                                                                    \
    x = CQ__DUP_ARM(x0, s);                                                                                            \
    h00 = CQ__MAD_LOW(h00, u, x), h01 = CQ__MAD_HIGH(h01, u, x);                                                       \
    h02 = CQ__MAD_LOW(h02, v, x), h03 = CQ__MAD_HIGH(h03, v, x);                                                       \
    x = CQ__DUP_ARM(x1, s);                                                                                            \
    h10 = CQ__MAD_LOW(h10, u, x), h11 = CQ__MAD_HIGH(h11, u, x);                                                       \
    h12 = CQ__MAD_LOW(h12, v, x), h13 = CQ__MAD_HIGH(h13, v, x);                                                       \
    x = CQ__DUP_ARM(x2, s);                                                                                            \
    h20 = CQ__MAD_LOW(h20, u, x), h21 = CQ__MAD_HIGH(h21, u, x);                                                       \
    h22 = CQ__MAD_LOW(h22, v, x), h23 = CQ__MAD_HIGH(h23, v, x);                                                       \
    x = CQ__DUP_ARM(x3, s);                                                                                            \
    h30 = CQ__MAD_LOW(h30, u, x), h31 = CQ__MAD_HIGH(h31, u, x);                                                       \
    h32 = CQ__MAD_LOW(h32, v, x), h33 = CQ__MAD_HIGH(h33, v, x);
/* where columns 1 to 3 of n are, 1 <= n <= 4: those beyond are copies of the last */
typedef struct cq__columns_arm {
    int32_t *c1, *c2, *c3;
    const int8_t *q1, *q2, *q3;
} cq__columns_arm;
CQ__INLINE_ARM cq__columns_arm cq__columns4_arm(int32_t *acc, const int8_t *q, size_t ldq, size_t n) {
    const size_t j1 = n > 1 ? 1 : 0, j2 = n > 2 ? 2 : j1, j3 = n > 3 ? 3 : j2;
    cq__columns_arm at;
    at.c1 = acc + j1 * CQ__ROWS, at.c2 = acc + j2 * CQ__ROWS, at.c3 = acc + j3 * CQ__ROWS;
    at.q1 = q + j1 * ldq, at.q2 = q + j2 * ldq, at.q3 = q + j3 * ldq;
    return at;
}
CQ__INLINE void cq__chain4_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                size_t n, unsigned kind) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    const cq__columns_arm at = cq__columns4_arm(acc, q, ldq, n);
    const int8_t *q1 = at.q1, *q2 = at.q2, *q3 = at.q3;
    for (; blocks; blocks--, w += CQ__BLOCK_ARM - 64) {
        for (size_t half = 0; half < 16; half += 8, w += 32) {
            int16x8_t h00 = vdupq_n_s16(0), h01 = h00, h02 = h00, h03 = h00, h10 = h00, h11 = h00, h12 = h00, h13 = h00;
            int16x8_t h20 = h00, h21 = h00, h22 = h00, h23 = h00, h30 = h00, h31 = h00, h32 = h00, h33 = h00;
            int8x16_t x, u, v, x0 = vld1q_s8(q), x1 = vld1q_s8(q1), x2 = vld1q_s8(q2), x3 = vld1q_s8(q3);
            CQ__CHAIN16(0)
            CQ__CHAIN16(1)
            CQ__CHAIN16(2)
            CQ__CHAIN16(3)
            x0 = vld1q_s8(q + 16), x1 = vld1q_s8(q1 + 16), x2 = vld1q_s8(q2 + 16), x3 = vld1q_s8(q3 + 16);
            CQ__CHAIN16(4)
            CQ__CHAIN16(5)
            CQ__CHAIN16(6)
            CQ__CHAIN16(7)
            /* all are read before any is written: copies of a column add once */
            int32x4_t a = vpadalq_s16(vld1q_s32(acc + half), cq__pairs16_neon(h00, h01));
            int32x4_t b = vpadalq_s16(vld1q_s32(acc + half + 4), cq__pairs16_neon(h02, h03));
            int32x4_t c = vpadalq_s16(vld1q_s32(at.c1 + half), cq__pairs16_neon(h10, h11));
            int32x4_t d = vpadalq_s16(vld1q_s32(at.c1 + half + 4), cq__pairs16_neon(h12, h13));
            int32x4_t e = vpadalq_s16(vld1q_s32(at.c2 + half), cq__pairs16_neon(h20, h21));
            int32x4_t f = vpadalq_s16(vld1q_s32(at.c2 + half + 4), cq__pairs16_neon(h22, h23));
            int32x4_t g = vpadalq_s16(vld1q_s32(at.c3 + half), cq__pairs16_neon(h30, h31));
            int32x4_t i = vpadalq_s16(vld1q_s32(at.c3 + half + 4), cq__pairs16_neon(h32, h33));
            vst1q_s32(acc + half, a);
            vst1q_s32(acc + half + 4, b);
            vst1q_s32(at.c1 + half, c);
            vst1q_s32(at.c1 + half + 4, d);
            vst1q_s32(at.c2 + half, e);
            vst1q_s32(at.c2 + half + 4, f);
            vst1q_s32(at.c3 + half, g);
            vst1q_s32(at.c3 + half + 4, i);
        }
        q += CQ__BLOCK, q1 += CQ__BLOCK, q2 += CQ__BLOCK, q3 += CQ__BLOCK;
    }
    (void)table;
}
#define CQ__WIDE4(x, s, a, b, c, d)                                                                                    \
    x0 = CQ__DUP_ARM(x, s), x1 = CQ__DUP_ARM(x, (s) + 1);                                                              \
    a = vpadalq_s16(a, CQ__MAD_LOW(CQ__MUL_LOW(u0, x0), u1, x1));                                                      \
    b = vpadalq_s16(b, CQ__MAD_HIGH(CQ__MUL_HIGH(u0, x0), u1, x1));                                                    \
    c = vpadalq_s16(c, CQ__MAD_LOW(CQ__MUL_LOW(v0, x0), v1, x1));                                                      \
    d = vpadalq_s16(d, CQ__MAD_HIGH(CQ__MUL_HIGH(v0, x0), v1, x1));
#define CQ__WIDE16(s)                                                                                                  \
    u0 = CQ__STEP_ARM(s, 0), u1 = CQ__STEP_ARM((s) + 1, 0);                                                            \
    v0 = CQ__STEP_ARM(s, 1), v1 = CQ__STEP_ARM((s) + 1, 1);                                                            \
    CQ__WIDE4(y0, s, a00, a01, a02, a03)                                                                               \
    CQ__WIDE4(y1, s, a10, a11, a12, a13)                                                                               \
    CQ__WIDE4(y2, s, a20, a21, a22, a23)                                                                               \
    CQ__WIDE4(y3, s, a30, a31, a32, a33)
static void cq__bytes4_neon(int32_t *acc, const unsigned char *bytes, size_t blocks, const int8_t *columns, size_t ldq,
                            size_t n) {
    const unsigned kind = CQ__BYTES;
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    for (size_t half = 0; half < 16; half += 8, acc += 8) {
        const int8_t *q = columns;
        const unsigned char *w = bytes + 4 * half;
        const cq__columns_arm at = cq__columns4_arm(acc, q, ldq, n);
        const int8_t *q1 = at.q1, *q2 = at.q2, *q3 = at.q3;
        int32x4_t a00 = vdupq_n_s32(0), a01 = a00, a02 = a00, a03 = a00, a10 = a00, a11 = a00, a12 = a00, a13 = a00;
        int32x4_t a20 = a00, a21 = a00, a22 = a00, a23 = a00, a30 = a00, a31 = a00, a32 = a00, a33 = a00;
        for (size_t b = 0; b < blocks; b++, w += CQ__BLOCK_ARM) {
            int8x16_t x0, x1, u0, u1, v0, v1;
            int8x16_t y0 = vld1q_s8(q), y1 = vld1q_s8(q1), y2 = vld1q_s8(q2), y3 = vld1q_s8(q3);
            CQ__WIDE16(0)
            CQ__WIDE16(2)
            y0 = vld1q_s8(q + 16), y1 = vld1q_s8(q1 + 16), y2 = vld1q_s8(q2 + 16), y3 = vld1q_s8(q3 + 16);
            CQ__WIDE16(4)
            CQ__WIDE16(6)
            q += CQ__BLOCK, q1 += CQ__BLOCK, q2 += CQ__BLOCK, q3 += CQ__BLOCK;
        }
        a00 = vaddq_s32(vld1q_s32(acc), vpaddq_s32(a00, a01));
        a02 = vaddq_s32(vld1q_s32(acc + 4), vpaddq_s32(a02, a03));
        a10 = vaddq_s32(vld1q_s32(at.c1), vpaddq_s32(a10, a11));
        a12 = vaddq_s32(vld1q_s32(at.c1 + 4), vpaddq_s32(a12, a13));
        a20 = vaddq_s32(vld1q_s32(at.c2), vpaddq_s32(a20, a21));
        a22 = vaddq_s32(vld1q_s32(at.c2 + 4), vpaddq_s32(a22, a23));
        a30 = vaddq_s32(vld1q_s32(at.c3), vpaddq_s32(a30, a31));
        a32 = vaddq_s32(vld1q_s32(at.c3 + 4), vpaddq_s32(a32, a33));
        vst1q_s32(acc, a00);
        vst1q_s32(acc + 4, a02);
        vst1q_s32(at.c1, a10);
        vst1q_s32(at.c1 + 4, a12);
        vst1q_s32(at.c2, a20);
        vst1q_s32(at.c2 + 4, a22);
        vst1q_s32(at.c3, a30);
        vst1q_s32(at.c3 + 4, a32);
    }
}
static void cq__int4_4_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    cq__chain4_neon(acc, w, blocks, q, ldq, n, CQ__INT4);
}
static void cq__e2m1_4_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    cq__chain4_neon(acc, w, blocks, q, ldq, n, CQ__E2M1);
}
static void cq__small4_neon(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                            size_t n) {
    cq__chain4_neon(acc, w, blocks, q, ldq, n, CQ__SMALL);
}
static const cq__tiles_arm cq__tiles_neon = {
    {cq__int4_1_neon, cq__e2m1_1_neon, cq__bytes1_neon, cq__small1_neon},
    {cq__int4_4_neon, cq__e2m1_4_neon, cq__bytes4_neon, cq__small4_neon},
    {cq__int4_column_neon, cq__e2m1_column_neon, NULL, NULL, cq__int3_column_neon, cq__int2_column_neon}};
#else
static const cq__tiles_arm cq__tiles_neon = {
    {cq__int4_1_neon, cq__e2m1_1_neon, cq__bytes1_neon, cq__small1_neon},
    {NULL, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
#endif

#if CQ__DOTPROD_TIERS
#ifdef __clang__
#define CQ__DOTPROD __attribute__((target("+dotprod"))) static
#define CQ__I8MM __attribute__((target("+dotprod+i8mm"))) static
#else
#define CQ__DOTPROD __attribute__((target("arch=armv8.2-a+dotprod"))) static
#define CQ__I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm"))) static
#endif
#define CQ__ALWAYS inline __attribute__((always_inline, unused))

/* dotprod, one column: two sums for each four rows, so that eight chains are under way */
#ifdef __AARCH64EB__ /* clang 19 takes another lane there */
#define CQ__DOT(a, w, x, lane)                                                                                         \
    vdotq_s32(a, w, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), lane)))
#else
#define CQ__DOT(a, w, x, lane) vdotq_laneq_s32(a, w, x, lane)
#endif
#define CQ__DOT4(s, x, a)                                                                                              \
    a->v0 = CQ__DOT(a->v0, CQ__STEP_ARM(s, 0), x, (s) & 3);                                                            \
    a->v1 = CQ__DOT(a->v1, CQ__STEP_ARM(s, 1), x, (s) & 3);                                                            \
    a->v2 = CQ__DOT(a->v2, CQ__STEP_ARM(s, 2), x, (s) & 3);                                                            \
    a->v3 = CQ__DOT(a->v3, CQ__STEP_ARM(s, 3), x, (s) & 3);
CQ__DOTPROD CQ__ALWAYS void cq__dot4_block_dotprod(cq__i32x16_arm *d, cq__i32x16_arm *e, const unsigned char *w,
                                                   const int8_t *q, uint8x16_t mask, cq__table_arm table,
                                                   const unsigned kind) {
    const int8x16_t x0 = vld1q_s8(q), x1 = vld1q_s8(q + 16);
    CQ__DOT4(0, x0, d)
    CQ__DOT4(4, x1, e)
    CQ__DOT4(1, x0, d)
    CQ__DOT4(5, x1, e)
    CQ__DOT4(2, x0, d)
    CQ__DOT4(6, x1, e)
    CQ__DOT4(3, x0, d)
    CQ__DOT4(7, x1, e)
}
CQ__DOTPROD CQ__ALWAYS void cq__dot1_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q,
                                             const unsigned kind) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const int8x16_t table = CQ__TABLE();
    cq__i32x16_arm d = cq__load_i32_arm(acc), e = cq__same_i32_arm(0);
    for (; blocks; blocks--, q += CQ__BLOCK, w += CQ__BLOCK_ARM)
        cq__dot4_block_dotprod(&d, &e, w, q, mask, table, kind);
    cq__store_i32_arm(acc, cq__sums_arm(d, e));
}
CQ__DOTPROD CQ__ALWAYS void cq__column_dotprod(float *out, const cq__panel_arm *panel, const unsigned kind) {
    const unsigned char *w = panel->w;
    const int8_t *q = panel->q;
    const int32_t *sum = panel->sum;
    const uint8x16_t mask = vdupq_n_u8(15);
    const cq__table_arm table = CQ__TABLE();
    cq__along_arm along = cq__along_open_arm(panel);
    for (size_t b = 0, end; b < panel->blocks; b = end) {
        cq__i32x16_arm d = cq__same_i32_arm(0), e = d;
        int32_t total = 0;
        end = panel->blocks - b > panel->per ? b + panel->per : panel->blocks;
        for (size_t i = b; i < end; i++, q += CQ__BLOCK, w += CQ__BLOCK_ARM) {
            cq__dot4_block_dotprod(&d, &e, w, q, mask, table, kind);
            total += *sum;
            sum += panel->ld_sum;
        }
        cq__along_group_arm(&along, panel, cq__sums_arm(d, e), total, kind);
    }
    cq__along_close_arm(out, &along, panel);
}
CQ__DOTPROD void cq__int4_column_dotprod(float *out, const cq__panel_arm *panel) {
    cq__column_dotprod(out, panel, CQ__INT4);
}
CQ__DOTPROD void cq__e2m1_column_dotprod(float *out, const cq__panel_arm *panel) {
    cq__column_dotprod(out, panel, CQ__E2M1);
}
CQ__DOTPROD void cq__int3_column_dotprod(float *out, const cq__panel_arm *panel) {
    cq__column_dotprod(out, panel, CQ__INT3);
}
CQ__DOTPROD void cq__int2_column_dotprod(float *out, const cq__panel_arm *panel) {
    cq__column_dotprod(out, panel, CQ__INT2);
}
CQ__DOTPROD void cq__bytes_column_dotprod(float *out, const cq__panel_arm *panel) {
    cq__column_dotprod(out, panel, CQ__BYTES);
}
/* up to four columns: a of column j and rows 4 i */
#define CQ__DOT16(s, x0, x1, x2, x3)                                                                                   \
    {                                                                                                                  \
        const int8x16_t w0 = CQ__STEP_ARM(s, 0), w1 = CQ__STEP_ARM(s, 1);                                              \
        const int8x16_t w2 = CQ__STEP_ARM(s, 2), w3 = CQ__STEP_ARM(s, 3);                                              \
        a00 = CQ__DOT(a00, w0, x0, (s) & 3);                                                                   \
        a01 = CQ__DOT(a01, w1, x0, (s) & 3);                                                                   \
        a02 = CQ__DOT(a02, w2, x0, (s) & 3);                                                                   \
        a03 = CQ__DOT(a03, w3, x0, (s) & 3);                                                                   \
        a10 = CQ__DOT(a10, w0, x1, (s) & 3);                                                                   \
        a11 = CQ__DOT(a11, w1, x1, (s) & 3);                                                                   \
        a12 = CQ__DOT(a12, w2, x1, (s) & 3);                                                                   \
        a13 = CQ__DOT(a13, w3, x1, (s) & 3);                                                                   \
        a20 = CQ__DOT(a20, w0, x2, (s) & 3);                                                                   \
        a21 = CQ__DOT(a21, w1, x2, (s) & 3);                                                                   \
        a22 = CQ__DOT(a22, w2, x2, (s) & 3);                                                                   \
        a23 = CQ__DOT(a23, w3, x2, (s) & 3);                                                                   \
        a30 = CQ__DOT(a30, w0, x3, (s) & 3);                                                                   \
        a31 = CQ__DOT(a31, w1, x3, (s) & 3);                                                                   \
        a32 = CQ__DOT(a32, w2, x3, (s) & 3);                                                                   \
        a33 = CQ__DOT(a33, w3, x3, (s) & 3);                                                                   \
    }
CQ__DOTPROD CQ__ALWAYS void cq__dot4_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q,
                                             size_t ldq, size_t n, const unsigned kind) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const int8x16_t table = CQ__TABLE();
    const cq__columns_arm at = cq__columns4_arm(acc, q, ldq, n);
    const int8_t *q1 = at.q1, *q2 = at.q2, *q3 = at.q3;
    int32x4_t a00 = vld1q_s32(acc), a01 = vld1q_s32(acc + 4), a02 = vld1q_s32(acc + 8), a03 = vld1q_s32(acc + 12);
    int32x4_t a10 = vld1q_s32(at.c1), a11 = vld1q_s32(at.c1 + 4);
    int32x4_t a12 = vld1q_s32(at.c1 + 8), a13 = vld1q_s32(at.c1 + 12);
    int32x4_t a20 = vld1q_s32(at.c2), a21 = vld1q_s32(at.c2 + 4);
    int32x4_t a22 = vld1q_s32(at.c2 + 8), a23 = vld1q_s32(at.c2 + 12);
    int32x4_t a30 = vld1q_s32(at.c3), a31 = vld1q_s32(at.c3 + 4);
    int32x4_t a32 = vld1q_s32(at.c3 + 8), a33 = vld1q_s32(at.c3 + 12);
    for (; blocks; blocks--, w += CQ__BLOCK_ARM) {
        int8x16_t x0 = vld1q_s8(q), x1 = vld1q_s8(q1), x2 = vld1q_s8(q2), x3 = vld1q_s8(q3);
        CQ__DOT16(0, x0, x1, x2, x3)
        CQ__DOT16(1, x0, x1, x2, x3)
        CQ__DOT16(2, x0, x1, x2, x3)
        CQ__DOT16(3, x0, x1, x2, x3)
        x0 = vld1q_s8(q + 16), x1 = vld1q_s8(q1 + 16), x2 = vld1q_s8(q2 + 16), x3 = vld1q_s8(q3 + 16);
        CQ__DOT16(4, x0, x1, x2, x3)
        CQ__DOT16(5, x0, x1, x2, x3)
        CQ__DOT16(6, x0, x1, x2, x3)
        CQ__DOT16(7, x0, x1, x2, x3)
        q += CQ__BLOCK, q1 += CQ__BLOCK, q2 += CQ__BLOCK, q3 += CQ__BLOCK;
    }
    vst1q_s32(acc, a00), vst1q_s32(acc + 4, a01), vst1q_s32(acc + 8, a02), vst1q_s32(acc + 12, a03);
    vst1q_s32(at.c1, a10), vst1q_s32(at.c1 + 4, a11), vst1q_s32(at.c1 + 8, a12), vst1q_s32(at.c1 + 12, a13);
    vst1q_s32(at.c2, a20), vst1q_s32(at.c2 + 4, a21), vst1q_s32(at.c2 + 8, a22), vst1q_s32(at.c2 + 12, a23);
    vst1q_s32(at.c3, a30), vst1q_s32(at.c3 + 4, a31), vst1q_s32(at.c3 + 8, a32), vst1q_s32(at.c3 + 12, a33);
}
CQ__DOTPROD void cq__int4_1_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    (void)ldq, (void)n;
    cq__dot1_dotprod(acc, w, blocks, q, CQ__INT4);
}
CQ__DOTPROD void cq__e2m1_1_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    (void)ldq, (void)n;
    cq__dot1_dotprod(acc, w, blocks, q, CQ__E2M1);
}
CQ__DOTPROD void cq__bytes1_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    (void)ldq, (void)n;
    cq__dot1_dotprod(acc, w, blocks, q, CQ__BYTES);
}
CQ__DOTPROD void cq__int4_4_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    cq__dot4_dotprod(acc, w, blocks, q, ldq, n, CQ__INT4);
}
CQ__DOTPROD void cq__e2m1_4_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    cq__dot4_dotprod(acc, w, blocks, q, ldq, n, CQ__E2M1);
}
CQ__DOTPROD void cq__bytes4_dotprod(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                 size_t n) {
    cq__dot4_dotprod(acc, w, blocks, q, ldq, n, CQ__BYTES);
}
static const cq__tiles_arm cq__tiles_dotprod = {
    {cq__int4_1_dotprod, cq__e2m1_1_dotprod, cq__bytes1_dotprod, cq__bytes1_dotprod},
    {cq__int4_4_dotprod, cq__e2m1_4_dotprod, cq__bytes4_dotprod, cq__bytes4_dotprod},
    {cq__int4_column_dotprod, cq__e2m1_column_dotprod, cq__bytes_column_dotprod, NULL, cq__int3_column_dotprod,
     cq__int2_column_dotprod}};

/* i8mm, up to four columns: a sum is of two columns and two rows. Of nibbles, the bytes of two steps are zipped before
   they are taken apart: low ones are the pair of steps p, high ones p + 2. */
#define CQ__ZIP_ARM(zip, at)                                                                                           \
    vreinterpretq_u8_s32(zip(vreinterpretq_s32_u8(vld1q_u8(at)), vreinterpretq_s32_u8(vld1q_u8((at) + 64))))
#define CQ__PAIR_ARM(zip, p, v)                                                                                        \
    (kind == CQ__BYTES ? vreinterpretq_s8_u8(CQ__ZIP_ARM(zip, w + (p) * 128 + (v) * 16))                               \
                       : CQ__VALUES(CQ__NIBBLES(CQ__ZIP_ARM(zip, w + ((p) & 1) * 128 + (v) * 16), (p) & 2)))
/* register v of the pair p: a[0], a[1] are of columns 0 and 1, which have x there, a[8], a[9] of 2 and 3 with y */
CQ__I8MM CQ__ALWAYS void cq__mm2_i8mm(int32x4_t *a, const unsigned char *w, unsigned p, unsigned v, int8x16_t x,
                                      int8x16_t y, uint8x16_t mask, cq__table_arm table, const unsigned kind) {
    const int8x16_t w0 = CQ__PAIR_ARM(vzip1q_s32, p, v), w1 = CQ__PAIR_ARM(vzip2q_s32, p, v);
    a[0] = vmmlaq_s32(a[0], w0, x);
    a[1] = vmmlaq_s32(a[1], w1, x);
    a[8] = vmmlaq_s32(a[8], w0, y);
    a[9] = vmmlaq_s32(a[9], w1, y);
}
/* the pairs p and p + 2; x and y: what columns 0 and 1, 2 and 3 have for p, u and z: for p + 2 */
CQ__I8MM CQ__ALWAYS void cq__mm16_i8mm(int32x4_t *a, const unsigned char *w, unsigned p, int8x16_t x, int8x16_t y,
                                       int8x16_t u, int8x16_t z, uint8x16_t mask, cq__table_arm table,
                                       const unsigned kind) {
    cq__mm2_i8mm(a, w, p, 0, x, y, mask, table, kind);
    cq__mm2_i8mm(a, w, p + 2, 0, u, z, mask, table, kind);
    cq__mm2_i8mm(a + 2, w, p, 1, x, y, mask, table, kind);
    cq__mm2_i8mm(a + 2, w, p + 2, 1, u, z, mask, table, kind);
    cq__mm2_i8mm(a + 4, w, p, 2, x, y, mask, table, kind);
    cq__mm2_i8mm(a + 4, w, p + 2, 2, u, z, mask, table, kind);
    cq__mm2_i8mm(a + 6, w, p, 3, x, y, mask, table, kind);
    cq__mm2_i8mm(a + 6, w, p + 2, 3, u, z, mask, table, kind);
}
#define CQ__MM_COLUMNS(zip, p, q) vreinterpretq_s8_s64(zip(vreinterpretq_s64_s8(p), vreinterpretq_s64_s8(q)))
CQ__INLINE_ARM void cq__mm_load_arm(int32x4_t *a, const int32_t *c, const int32_t *d) {
    a[0] = vzip1q_s32(vld1q_s32(c), vld1q_s32(d));
    a[1] = vzip2q_s32(vld1q_s32(c), vld1q_s32(d));
}
CQ__INLINE_ARM void cq__mm_store_arm(int32_t *c, int32_t *d, const int32x4_t *a) {
    vst1q_s32(c, vuzp1q_s32(a[0], a[1]));
    vst1q_s32(d, vuzp2q_s32(a[0], a[1]));
}
CQ__I8MM CQ__ALWAYS void cq__mm4_i8mm(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                                      size_t n, const unsigned kind) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const int8x16_t table = CQ__TABLE();
    const cq__columns_arm at = cq__columns4_arm(acc, q, ldq, n);
    const int8_t *q1 = at.q1, *q2 = at.q2, *q3 = at.q3;
    int32x4_t a[16];
    cq__mm_load_arm(a, acc, at.c1);
    cq__mm_load_arm(a + 2, acc + 4, at.c1 + 4);
    cq__mm_load_arm(a + 4, acc + 8, at.c1 + 8);
    cq__mm_load_arm(a + 6, acc + 12, at.c1 + 12);
    cq__mm_load_arm(a + 8, at.c2, at.c3);
    cq__mm_load_arm(a + 10, at.c2 + 4, at.c3 + 4);
    cq__mm_load_arm(a + 12, at.c2 + 8, at.c3 + 8);
    cq__mm_load_arm(a + 14, at.c2 + 12, at.c3 + 12);
    for (; blocks; blocks--, w += CQ__BLOCK_ARM) {
        int8x16_t v0 = vld1q_s8(q), v1 = vld1q_s8(q1), v2 = vld1q_s8(q2), v3 = vld1q_s8(q3);
        const int8x16_t x0 = CQ__MM_COLUMNS(vzip1q_s64, v0, v1), y0 = CQ__MM_COLUMNS(vzip1q_s64, v2, v3);
        const int8x16_t x1 = CQ__MM_COLUMNS(vzip2q_s64, v0, v1), y1 = CQ__MM_COLUMNS(vzip2q_s64, v2, v3);
        v0 = vld1q_s8(q + 16), v1 = vld1q_s8(q1 + 16), v2 = vld1q_s8(q2 + 16), v3 = vld1q_s8(q3 + 16);
        const int8x16_t x2 = CQ__MM_COLUMNS(vzip1q_s64, v0, v1), y2 = CQ__MM_COLUMNS(vzip1q_s64, v2, v3);
        const int8x16_t x3 = CQ__MM_COLUMNS(vzip2q_s64, v0, v1), y3 = CQ__MM_COLUMNS(vzip2q_s64, v2, v3);
        cq__mm16_i8mm(a, w, 0, x0, y0, x2, y2, mask, table, kind);
        cq__mm16_i8mm(a, w, 1, x1, y1, x3, y3, mask, table, kind);
        q += CQ__BLOCK, q1 += CQ__BLOCK, q2 += CQ__BLOCK, q3 += CQ__BLOCK;
    }
    cq__mm_store_arm(acc, at.c1, a);
    cq__mm_store_arm(acc + 4, at.c1 + 4, a + 2);
    cq__mm_store_arm(acc + 8, at.c1 + 8, a + 4);
    cq__mm_store_arm(acc + 12, at.c1 + 12, a + 6);
    cq__mm_store_arm(at.c2, at.c3, a + 8);
    cq__mm_store_arm(at.c2 + 4, at.c3 + 4, a + 10);
    cq__mm_store_arm(at.c2 + 8, at.c3 + 8, a + 12);
    cq__mm_store_arm(at.c2 + 12, at.c3 + 12, a + 14);
}
CQ__I8MM void cq__int4_4_i8mm(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                           size_t n) {
    cq__mm4_i8mm(acc, w, blocks, q, ldq, n, CQ__INT4);
}
CQ__I8MM void cq__e2m1_4_i8mm(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                           size_t n) {
    cq__mm4_i8mm(acc, w, blocks, q, ldq, n, CQ__E2M1);
}
CQ__I8MM void cq__bytes4_i8mm(int32_t *acc, const unsigned char *w, size_t blocks, const int8_t *q, size_t ldq,
                           size_t n) {
    cq__mm4_i8mm(acc, w, blocks, q, ldq, n, CQ__BYTES);
}
static const cq__tiles_arm cq__tiles_i8mm = {
    {cq__int4_1_dotprod, cq__e2m1_1_dotprod, cq__bytes1_dotprod, cq__bytes1_dotprod},
    {cq__int4_4_i8mm, cq__e2m1_4_i8mm, cq__bytes4_i8mm, cq__bytes4_i8mm},
    {cq__int4_column_dotprod, cq__e2m1_column_dotprod, cq__bytes_column_dotprod, NULL, cq__int3_column_dotprod,
     cq__int2_column_dotprod}};
#endif /* CQ__DOTPROD_TIERS */

/* Codes of 2 and 3 bits of a block to bytes, [8 steps][64] */
CQ__INLINE void cq__spread16_arm(unsigned char *out, uint8x16_t low, uint8x16_t top) {
    vst1q_u8(out, vorrq_u8(vandq_u8(low, vdupq_n_u8(3)), vandq_u8(top, vdupq_n_u8(4))));
}
static void cq__spread_arm(unsigned char *out, const unsigned char *w, bool three) {
    for (size_t v = 0; v < 64; v += 16) {
        const uint8x16_t a = vld1q_u8(w + v), b = vld1q_u8(w + 64 + v);
        const uint8x16_t t = three ? vld1q_u8(w + 128 + v) : vdupq_n_u8(0); /* bit s of it is bit 2 of the code */
        cq__spread16_arm(out + v, a, vshlq_n_u8(t, 2));
        cq__spread16_arm(out + 64 + v, b, vshlq_n_u8(t, 1));
        cq__spread16_arm(out + 128 + v, vshrq_n_u8(a, 2), t);
        cq__spread16_arm(out + 192 + v, vshrq_n_u8(b, 2), vshrq_n_u8(t, 1));
        cq__spread16_arm(out + 256 + v, vshrq_n_u8(a, 4), vshrq_n_u8(t, 2));
        cq__spread16_arm(out + 320 + v, vshrq_n_u8(b, 4), vshrq_n_u8(t, 3));
        cq__spread16_arm(out + 384 + v, vshrq_n_u8(a, 6), vshrq_n_u8(t, 4));
        cq__spread16_arm(out + 448 + v, vshrq_n_u8(b, 6), vshrq_n_u8(t, 5));
    }
}
/* The 32 magnitudes of the six-bit formats: e2m3 in units of 1/8; e3m2 in units of 1/16 goes up to 448, more than a
   byte holds: what is below 32 in one plane, an eighth of what is above in a second. */
static const int8_t cq__minis_arm[3][32] = {
    {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
     16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56}};
#if CQ__A64
typedef int8x16x2_t cq__table32_arm;
CQ__INLINE cq__table32_arm cq__table32_neon(const int8_t *p, bool minus) {
    cq__table32_arm t;
    t.val[0] = vld1q_s8(p), t.val[1] = vld1q_s8(p + 16);
    if (minus) t.val[0] = vnegq_s8(t.val[0]), t.val[1] = vnegq_s8(t.val[1]);
    return t;
}
#define CQ__LOOK_UP32(plus, minus, c, d) vqtbx2q_s8(vqtbl2q_s8(plus, c), minus, d)
#else
typedef int8x8x4_t cq__table32_arm;
CQ__INLINE cq__table32_arm cq__table32_neon(const int8_t *p, bool minus) {
    cq__table32_arm t;
    for (size_t i = 0; i < 4; i++) {
        t.val[i] = vld1_s8(p + 8 * i);
        if (minus) t.val[i] = vneg_s8(t.val[i]);
    }
    return t;
}
CQ__INLINE int8x8_t cq__look_up32_neon(cq__table32_arm plus, cq__table32_arm minus, uint8x8_t c, uint8x8_t d) {
    return vtbx4_s8(vtbl4_s8(plus, vreinterpret_s8_u8(c)), minus, vreinterpret_s8_u8(d));
}
#define CQ__LOOK_UP32(plus, minus, c, d)                                                                               \
    vcombine_s8(cq__look_up32_neon(plus, minus, vget_low_u8(c), vget_low_u8(d)),                                       \
                cq__look_up32_neon(plus, minus, vget_high_u8(c), vget_high_u8(d)))
#endif
/* Codes of six bits to bytes. A table answers 0 to what is beyond its 32 entries, or leaves what was (tbx): c below 32
   is in the first, c above, less 32, in the second. */
CQ__INLINE void cq__mini16_arm(unsigned char *out, uint8x16_t low, uint8x16_t high, const cq__table32_arm *plus,
                               const cq__table32_arm *minus) {
    const uint8x16_t c = vorrq_u8(vandq_u8(low, vdupq_n_u8(15)), vandq_u8(high, vdupq_n_u8(0x30)));
    const uint8x16_t d = veorq_u8(c, vdupq_n_u8(32));
    vst1q_u8(out, vreinterpretq_u8_s8(CQ__LOOK_UP32(*plus, *minus, c, d)));
}
static void cq__mini_bytes_arm(unsigned char *out, const unsigned char *w, const int8_t *magnitudes) {
    const cq__table32_arm plus = cq__table32_neon(magnitudes, false), minus = cq__table32_neon(magnitudes, true);
    for (size_t v = 0; v < 64; v += 16) {
        const uint8x16_t a = vld1q_u8(w + v), b = vld1q_u8(w + 64 + v), e = vld1q_u8(w + 128 + v);
        const uint8x16_t f = vld1q_u8(w + 192 + v), g = vld1q_u8(w + 256 + v), h = vld1q_u8(w + 320 + v);
        cq__mini16_arm(out + v, a, vshlq_n_u8(g, 4), &plus, &minus);
        cq__mini16_arm(out + 64 + v, b, vshlq_n_u8(h, 4), &plus, &minus);
        cq__mini16_arm(out + 128 + v, e, vshlq_n_u8(g, 2), &plus, &minus);
        cq__mini16_arm(out + 192 + v, f, vshlq_n_u8(h, 2), &plus, &minus);
        cq__mini16_arm(out + 256 + v, vshrq_n_u8(a, 4), g, &plus, &minus);
        cq__mini16_arm(out + 320 + v, vshrq_n_u8(b, 4), h, &plus, &minus);
        cq__mini16_arm(out + 384 + v, vshrq_n_u8(e, 4), vshrq_n_u8(g, 2), &plus, &minus);
        cq__mini16_arm(out + 448 + v, vshrq_n_u8(f, 4), vshrq_n_u8(h, 2), &plus, &minus);
    }
}

/* The end of group g, of blocks [b0, b1): out (n, 16) += (acc - zero * total) * (scale * x), total the sum of a
   column's activations over the group, x their scale where groups have one of their own. p: the panel; j0: the first
   column. */
static void cq__group_arm(float *out, const int32_t *acc, const cq_tensor *t, const unsigned char *p, size_t g,
                          size_t b0, size_t b1, const cq_acts *a, size_t j0, size_t n) {
    const size_t ld_scale = cq__acts_groups(a);
    const int32_t *sum = a->sum + j0;
    const float *scale = a->scale + j0 * ld_scale + (a->group_size ? g : 0);
    const float unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits); /* 1 of integers */
    const int32_t offset = t->format == CQ_INT8 ? 128 : 0; /* a byte of int8 is its code less this */
    const unsigned char *s = p + cq__scale_bytes(t) * CQ__ROWS * g, *z = p + cq__zeros_at(t) + CQ__ROWS * g;
#if CQ__A64
    const cq__f32x16_arm v = cq_format_is_mx(t->format) ? cq__times_arm(cq__e8m0_arm(s), unit) : cq__halves_arm(s);
    const cq__i32x16_arm zero = t->asym ? cq__zeros_arm(z, offset) : cq__same_i32_arm(cq__middle(t->format) - offset);
#else
    float v[CQ__ROWS];
    int32_t zero[CQ__ROWS];
    for (size_t r = 0; r < CQ__ROWS; r++) {
        v[r] = cq__load_scale(s + cq__scale_bytes(t) * r, t->format) * unit;
        zero[r] = (t->asym ? (int32_t)z[r] : cq__middle(t->format)) - offset;
    }
#endif
    for (size_t j = 0; j < n; j++, out += CQ__ROWS, acc += CQ__ROWS, sum++, scale += ld_scale) {
        const float x = a->group_size ? *scale : 1.0f;
        int32_t total = 0;
        for (size_t b = b0; b < b1; b++) total += sum[b * a->ld_sum];
#if CQ__A64
        const cq__i32x16_arm d = cq__less_zeros_arm(cq__load_i32_arm(acc), zero, total);
        cq__store_f32_arm(out, cq__add_scaled_arm(cq__load_f32_arm(out), d, cq__times_arm(v, x)));
#else
        for (size_t r = 0; r < CQ__ROWS; r++) out[r] = out[r] + (float)(acc[r] - zero[r] * total) * (v[r] * x);
#endif
    }
}
/* acc (n, 16) += a number of blocks, in tiles of the tier */
static void cq__blocks_arm(const cq__tiles_arm *tiles, unsigned kind, int32_t *acc, const unsigned char *w,
                           size_t blocks, const int8_t *q, size_t ldq, size_t n) {
    for (size_t m; n; n -= m, acc += m * CQ__ROWS, q += m * ldq) {
        const bool four = n > 1 && tiles->four[kind];
        m = four ? cq__min(4, n) : 1;
        (four ? tiles->four[kind] : tiles->one[kind])(acc, w, blocks, q, ldq, m);
    }
}
/* == cq__panel_q8_c, with the tiles of a tier; eight columns at a time share what has to be unpacked */
static void cq__panel_q8_arm(const cq__tiles_arm *tiles, float *out, const cq_tensor *t, size_t panel,
                             const cq_acts *a, size_t first, size_t n) {
    const size_t ldq = a->stride, groups = cq_tensor_groups(t), per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *blocks = p + cq__panel_head(t);
    const size_t block_bytes = cq__block_bytes(t->format);
    CQ__ALIGNED int32_t acc[8 * CQ__ROWS];
    CQ__ALIGNED unsigned char bytes[CQ__BLOCK * CQ__ROWS];
    if (t->group_size % CQ__BLOCK) { /* groups end within blocks */
        cq__panel_q8_c(out, t, panel, a, first, n);
        return;
    }
    cq__column_arm *column = t->format == CQ_INT4   ? tiles->column[CQ__INT4]
                             : t->format == CQ_MXFP4 ? tiles->column[CQ__E2M1]
                             : t->format == CQ_INT8  ? tiles->column[CQ__BYTES]
                             : t->format == CQ_INT3  ? tiles->column[CQ__INT3]
                             : t->format == CQ_INT2  ? tiles->column[CQ__INT2]
                                                     : NULL;
    if (n == 1 && column) {
        cq__panel_arm one;
        one.scales = p;
        one.zeros = t->asym ? p + cq__zeros_at(t) : NULL;
        one.w = blocks;
        one.q = a->q + first * ldq;
        one.sum = a->sum + first;
        one.ld_sum = a->ld_sum;
        one.scale = a->scale + first * cq__acts_groups(a);
        one.blocks = count;
        one.per = per;
        one.grouped = a->group_size != 0;
        column(out, &one);
        return;
    }
    for (size_t m; n; n -= m, first += m, out += m * CQ__ROWS) {
        m = cq__min(8, n);
        for (size_t i = 0; i < m * CQ__ROWS; i += 4) vst1q_f32(out + i, vdupq_n_f32(0.0f));
        for (size_t g = 0; g < groups; g++) {
            const size_t b0 = g * per, b1 = cq__min(b0 + per, count);
            const unsigned char *w = blocks + b0 * block_bytes;
            const int8_t *x = a->q + first * ldq + b0 * CQ__BLOCK;
            for (int32_t *d = acc; d < acc + m * CQ__ROWS; d += CQ__ROWS) { /* by hand: no call of memset */
                vst1q_s32(d, vdupq_n_s32(0)), vst1q_s32(d + 4, vdupq_n_s32(0));
                vst1q_s32(d + 8, vdupq_n_s32(0)), vst1q_s32(d + 12, vdupq_n_s32(0));
            }
            switch (t->format) {
            case CQ_INT4: cq__blocks_arm(tiles, CQ__INT4, acc, w, b1 - b0, x, ldq, m); break;
            case CQ_MXFP4: cq__blocks_arm(tiles, CQ__E2M1, acc, w, b1 - b0, x, ldq, m); break;
            case CQ_INT8: cq__blocks_arm(tiles, CQ__BYTES, acc, w, b1 - b0, x, ldq, m); break;
            case CQ_MXFP6_E2M3: /* a group of small floats is one block */
                cq__mini_bytes_arm(bytes, w, cq__minis_arm[0]);
                cq__blocks_arm(tiles, CQ__BYTES, acc, bytes, 1, x, ldq, m);
                break;
            case CQ_MXFP6_E3M2:
                cq__mini_bytes_arm(bytes, w, cq__minis_arm[2]);
                cq__blocks_arm(tiles, CQ__BYTES, acc, bytes, 1, x, ldq, m);
                for (size_t i = 0; i < m * CQ__ROWS; i += 4) vst1q_s32(acc + i, vshlq_n_s32(vld1q_s32(acc + i), 3));
                cq__mini_bytes_arm(bytes, w, cq__minis_arm[1]);
                cq__blocks_arm(tiles, CQ__BYTES, acc, bytes, 1, x, ldq, m);
                break;
            default: /* int2, int3 */
                for (size_t b = b0; b < b1; b++, w += block_bytes, x += CQ__BLOCK) {
                    cq__spread_arm(bytes, w, t->format == CQ_INT3);
                    cq__blocks_arm(tiles, CQ__SMALL, acc, bytes, 1, x, ldq, m);
                }
            }
            cq__group_arm(out, acc, t, p, g, b0, b1, a, first, m);
        }
        for (size_t j = 0; j < m && !a->group_size; j++) {
            const float x = a->scale[first + j];
            for (size_t r = 0; r < CQ__ROWS; r++) out[j * CQ__ROWS + r] = out[j * CQ__ROWS + r] * x;
        }
    }
}
static void cq__panels_q8_neon(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                               size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++, out += n * CQ__ROWS)
        cq__panel_q8_arm(&cq__tiles_neon, out, t, panel + p, a, first, n);
}
#if CQ__DOTPROD_TIERS
static void cq__panels_q8_dotprod(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                               size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++, out += n * CQ__ROWS)
        cq__panel_q8_arm(&cq__tiles_dotprod, out, t, panel + p, a, first, n);
}
static void cq__panels_q8_i8mm(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                               size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++, out += n * CQ__ROWS)
        cq__panel_q8_arm(&cq__tiles_i8mm, out, t, panel + p, a, first, n);
}
#endif

/* == cq__dots_q8_c. |127 * 127 * 2| = 32258 < 2^15; a sum over 65536 is below 2^31. */
static float cq__rest_q8_arm(int32_t dot, const int8_t *q, const int8_t *k, size_t n) {
    for (size_t d = 0; d < n; d++) dot += (int32_t)q[d] * k[d];
    return (float)dot;
}
static void cq__dots_q8_neon(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                             const float *scale, size_t n, size_t count) {
    const size_t whole = n & ~(size_t)15;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) { /* four keys at a time: one way of adding across lanes for all */
        const int8_t *k0 = k + i * ldk, *k1 = k0 + ldk, *k2 = k1 + ldk, *k3 = k2 + ldk;
        int32x4_t d0 = vdupq_n_s32(0), d1 = d0, d2 = d0, d3 = d0;
        int32_t dot[4];
        for (size_t d = 0; d < whole; d += 16) {
            const int8x16_t x = vld1q_s8(q + d);
            int8x16_t y = vld1q_s8(k0 + d);
            d0 = vpadalq_s16(d0, CQ__MAD_HIGH(CQ__MUL_LOW(x, y), x, y));
            y = vld1q_s8(k1 + d);
            d1 = vpadalq_s16(d1, CQ__MAD_HIGH(CQ__MUL_LOW(x, y), x, y));
            y = vld1q_s8(k2 + d);
            d2 = vpadalq_s16(d2, CQ__MAD_HIGH(CQ__MUL_LOW(x, y), x, y));
            y = vld1q_s8(k3 + d);
            d3 = vpadalq_s16(d3, CQ__MAD_HIGH(CQ__MUL_LOW(x, y), x, y));
        }
        vst1q_s32(dot, cq__pairs32_neon(cq__pairs32_neon(d0, d1), cq__pairs32_neon(d2, d3)));
        for (size_t j = 0; j < 4; j++)
            out[i + j] = cq__rest_q8_arm(dot[j], q + whole, k0 + j * ldk + whole, n - whole) * (scale_q * scale[i + j]);
    }
    cq__dots_q8_c(out + i, q, scale_q, k + i * ldk, ldk, scale + i, n, count - i);
}
#if CQ__DOTPROD_TIERS
CQ__DOTPROD void cq__dots_q8_dotprod(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                                     const float *scale, size_t n, size_t count) {
    const size_t whole = n & ~(size_t)15;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const int8_t *k0 = k + i * ldk, *k1 = k0 + ldk, *k2 = k1 + ldk, *k3 = k2 + ldk;
        int32x4_t d0 = vdupq_n_s32(0), d1 = d0, d2 = d0, d3 = d0;
        int32_t dot[4];
        for (size_t d = 0; d < whole; d += 16) {
            const int8x16_t x = vld1q_s8(q + d);
            d0 = vdotq_s32(d0, x, vld1q_s8(k0 + d));
            d1 = vdotq_s32(d1, x, vld1q_s8(k1 + d));
            d2 = vdotq_s32(d2, x, vld1q_s8(k2 + d));
            d3 = vdotq_s32(d3, x, vld1q_s8(k3 + d));
        }
        vst1q_s32(dot, vpaddq_s32(vpaddq_s32(d0, d1), vpaddq_s32(d2, d3)));
        for (size_t j = 0; j < 4; j++)
            out[i + j] = cq__rest_q8_arm(dot[j], q + whole, k0 + j * ldk + whole, n - whole) * (scale_q * scale[i + j]);
    }
    cq__dots_q8_c(out + i, q, scale_q, k + i * ldk, ldk, scale + i, n, count - i);
}
#endif

#if CQ__A64
/* == cq__fma_f32_c: a tile of 16 rows x N columns stays in registers along the whole chain: with N = 6, 24 of 32, four
   for a and one for b, which is multiplied by its lane. */
typedef struct cq__fma_neon { /* a column */
    float *c;
    const float *b;
    cq__f32x16_arm p;
} cq__fma_neon;
CQ__INLINE cq__fma_neon cq__fma_open_neon(float *c, const float *b) {
    cq__fma_neon k;
    k.c = c, k.b = b, k.p = cq__load_f32_arm(c);
    return k;
}
CQ__INLINE void cq__fma_next_neon(cq__fma_neon *k, cq__f32x16_arm a, size_t kb) {
    const float x = *k->b;
    k->b += kb;
    k->p.v0 = vfmaq_n_f32(k->p.v0, a.v0, x), k->p.v1 = vfmaq_n_f32(k->p.v1, a.v1, x);
    k->p.v2 = vfmaq_n_f32(k->p.v2, a.v2, x), k->p.v3 = vfmaq_n_f32(k->p.v3, a.v3, x);
}
static void cq__fma6_neon(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                          size_t k) {
    cq__fma_neon k0 = cq__fma_open_neon(c, b);
    cq__fma_neon k1 = cq__fma_open_neon(c + ldc, b + jb);
    cq__fma_neon k2 = cq__fma_open_neon(c + 2 * ldc, b + 2 * jb);
    cq__fma_neon k3 = cq__fma_open_neon(c + 3 * ldc, b + 3 * jb);
    cq__fma_neon k4 = cq__fma_open_neon(c + 4 * ldc, b + 4 * jb);
    cq__fma_neon k5 = cq__fma_open_neon(c + 5 * ldc, b + 5 * jb);
    for (; k; k--, a += lda) {
        const cq__f32x16_arm x = cq__load_f32_arm(a);
        cq__fma_next_neon(&k0, x, kb);
        cq__fma_next_neon(&k1, x, kb);
        cq__fma_next_neon(&k2, x, kb);
        cq__fma_next_neon(&k3, x, kb);
        cq__fma_next_neon(&k4, x, kb);
        cq__fma_next_neon(&k5, x, kb);
    }
    cq__store_f32_arm(k0.c, k0.p);
    cq__store_f32_arm(k1.c, k1.p);
    cq__store_f32_arm(k2.c, k2.p);
    cq__store_f32_arm(k3.c, k3.p);
    cq__store_f32_arm(k4.c, k4.p);
    cq__store_f32_arm(k5.c, k5.p);
}
static void cq__fma2_neon(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                          size_t k) {
    cq__fma_neon k0 = cq__fma_open_neon(c, b);
    cq__fma_neon k1 = cq__fma_open_neon(c + ldc, b + jb);
    for (; k; k--, a += lda) {
        const cq__f32x16_arm x = cq__load_f32_arm(a);
        cq__fma_next_neon(&k0, x, kb);
        cq__fma_next_neon(&k1, x, kb);
    }
    cq__store_f32_arm(k0.c, k0.p);
    cq__store_f32_arm(k1.c, k1.p);
}
static void cq__fma1_neon(float *c, const float *a, size_t lda, const float *b, size_t kb, size_t k) {
    cq__fma_neon k0 = cq__fma_open_neon(c, b);
    for (; k; k--, a += lda) {
        const cq__f32x16_arm x = cq__load_f32_arm(a);
        cq__fma_next_neon(&k0, x, kb);
    }
    cq__store_f32_arm(k0.c, k0.p);
}
static void cq__fma_f32_neon(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                             size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    for (size_t p = 0; p < panels; p++, c += cp, a += ap) {
        size_t j = 0;
        for (; j + 6 <= n; j += 6) cq__fma6_neon(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
        for (; j + 2 <= n; j += 2) cq__fma2_neon(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
        for (; j < n; j++) cq__fma1_neon(c + j * ldc, a, lda, b + j * jb, kb, k);
    }
}
static void cq__eliminate_neon(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b, size_t n,
                               size_t panels) {
    cq__eliminate_by(cq__fma_f32_neon, p, pp, u, ldu, d, b, n, panels);
}

/* eight rows a time, in two registers */
CQ__INLINE float32x4_t cq__cost4_neon(float32x4_t sum, const float *x, float weight, float32x4_t scale,
                                      float32x4_t inverse, float32x4_t lo, float32x4_t hi, uint32x4_t exponent,
                                      float32x4_t least, float32x4_t large) {
    float32x4_t v = vld1q_f32(x);
    const float32x4_t l = vminnmq_f32(vmaxnmq_f32(vmulq_f32(v, inverse), lo), hi);
    float32x4_t u = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(l), exponent));
    u = vmulq_f32(vmaxq_f32(u, least), large);
    v = vfmsq_f32(v, vsubq_f32(vaddq_f32(l, u), u), scale);
    return vfmaq_f32(sum, vmulq_n_f32(v, weight), v);
}
static void cq__cost16_neon(float *cost, const float *x, const float *weight, size_t n, const float *grids,
                            const float *inverse, const cq__steps *steps) {
    const uint32x4_t exponent = vdupq_n_u32(steps->exponent);
    const float32x4_t least = vdupq_n_f32(steps->least), large = vdupq_n_f32(steps->large);
    for (size_t i = 0; i < 16; i += 8, x += 8, weight -= n) {
        const float32x4_t scale0 = vld1q_f32(grids + i), scale1 = vld1q_f32(grids + i + 4);
        const float32x4_t lo0 = vld1q_f32(grids + 32 + i), lo1 = vld1q_f32(grids + 36 + i);
        const float32x4_t hi0 = vld1q_f32(grids + 48 + i), hi1 = vld1q_f32(grids + 52 + i);
        const float32x4_t inverse0 = vld1q_f32(inverse + i), inverse1 = vld1q_f32(inverse + i + 4);
        float32x4_t sum0 = vdupq_n_f32(0.0f), sum1 = sum0;
        for (size_t k = 0; k < n; k++, x += 16, weight++) {
            sum0 = cq__cost4_neon(sum0, x, *weight, scale0, inverse0, lo0, hi0, exponent, least, large);
            sum1 = cq__cost4_neon(sum1, x + 4, *weight, scale1, inverse1, lo1, hi1, exponent, least, large);
        }
        x -= 16 * n;
        vst1q_f32(cost + i, sum0);
        vst1q_f32(cost + i + 4, sum1);
    }
}

/* == cq__from_f16_c */
static void cq__from_f16_neon(float *out, const unsigned char *x, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, CQ__HALF4(x + 2 * i));
    cq__from_f16_c(out + i, x + 2 * i, n - i);
}
#endif /* CQ__A64 */

#if CQ__A64
#define CQ__TIER_ARM(name, panels_q8, dots_q8)                                                                         \
    {                                                                                                                  \
        name, cq__tile_f32_v4, cq__fma_f32_neon, cq__eliminate_neon, cq__round16_v4, cq__cost16_neon,                  \
            cq__decide16_v4, cq__descend16_v4, cq__unpack_v4, panels_q8, cq__quantize_v4, cq__dot_v4, cq__dots_v4,     \
            cq__mix_v4, cq__from_f16_neon, cq__from_int8_v4, dots_q8, cq__turn_v4, cq__sum_v4, cq__max_v4,             \
            cq__axpy_v4, cq__scale_v4, cq__exp_minus_v4, cq__silu_mul_v4,                                              \
            NULL                                                                                                       \
    }
static const cq__kernels cq__kernels_neon = CQ__TIER_ARM("neon", cq__panels_q8_neon, cq__dots_q8_neon);
#if CQ__DOTPROD_TIERS
static const cq__kernels cq__kernels_dotprod = CQ__TIER_ARM("dotprod", cq__panels_q8_dotprod, cq__dots_q8_dotprod);
static const cq__kernels cq__kernels_i8mm = CQ__TIER_ARM("i8mm", cq__panels_q8_i8mm, cq__dots_q8_dotprod);
#endif
#else
static const cq__kernels cq__kernels_neon = {
    "neon", cq__tile_f32_c, cq__fma_f32_c, cq__eliminate_c,
    cq__round16_c,     cq__cost16_c,    cq__decide16_c,
    cq__descend16_c,  cq__unpack_c,    cq__panels_q8_neon, cq__quantize_c, cq__dot_c,      cq__dots_c,
    cq__mix_c,        cq__from_f16_c,  cq__from_int8_c, cq__dots_q8_neon, cq__turn_c,     cq__sum_c,
    cq__max_c,        cq__axpy_c,      cq__scale_c,   cq__exp_minus_c,   cq__silu_mul_c, NULL};
#endif

#define CQ__HAS_DOTPROD 1u
#define CQ__HAS_I8MM 2u
CQ__UNUSED static uint32_t cq__cpu(void) {
    uint32_t has = 0;
#if CQ__A64 && (defined(__linux__) && !defined(__ANDROID__) || !__STDC_HOSTED__ && !defined(__APPLE__))
    /* The processor's own words. Linux lets programs read them since 4.11 (2017), and firmware may. Elsewhere, and
       under the older kernels of phones, it can be an illegal instruction: there the compiler's flags must do. */
    uint64_t isar0, isar1;
    __asm__("mrs %0, ID_AA64ISAR0_EL1" : "=r"(isar0));
    __asm__("mrs %0, ID_AA64ISAR1_EL1" : "=r"(isar1));
    if (isar0 >> 44 & 15) has |= CQ__HAS_DOTPROD;
    if (isar1 >> 52 & 15) has |= CQ__HAS_I8MM;
#endif
#ifdef __ARM_FEATURE_DOTPROD
    has |= CQ__HAS_DOTPROD;
#endif
#ifdef __ARM_FEATURE_MATMUL_INT8
    has |= CQ__HAS_I8MM;
#endif
    return has;
}
#endif /* CQ__ARM */

#if !CQ__X86 && !CQ__ARM
CQ__UNUSED static uint32_t cq__cpu(void) { return 0; }
#endif

/* ###################################################################################################################
   [RVV]  RISC-V vectors 1.0 with any VLEN >= 128, chosen at compile time (-march=rv64gcv and the like)
   A vector instruction works on the first vl elements, whatever a register could hold: with vl = 16 a vector is the 16
   rows of a panel on every machine; wider registers are then partly empty, never wrong. Types count the registers of
   128 bits that this takes: bytes m1, int16 m2, int32 and floats m4; of 32 there are.

   Lanes        a step of a panel is [16 rows][4 columns] bytes. vlseg4e8 deals them out to four registers: register i
                is the i-th column, its lane r row r.
   Heart        vwmacc.vx: int16 lanes += weights (bytes) x one activation, a scalar register. No activation is ever
                spread over a vector, no sum crosses lanes.
   No overflow  |x| <= 127, and int16 sums are widened to int32 (vwadd.wv) before they can pass 32767:
                int4        codes <= 15: 16 products, 30480      e2m1  |w| <= 12:  16 products, 24384
                int2, int3  codes <= 7:  32 products, 28448      int8  |w| <= 128: 2 products, 32512
                six bits    |w| <= 448: int16 weights, multiplied straight into int32
   Speed        is bounded by vwmacc, which writes two registers for 16 products: 8 MAC a cycle where the data path has
                128 bits. Each wants a scalar load of its activation. Four columns share the weights they unpack.

   Floats in the order of eight lanes have vl = 8; all else goes as far as a group of registers reaches. Denormals are
   kept. vfmax and vfmin take the number where the other operand is NaN. Bytes are loaded as bytes: what is not aligned
   to its size may trap in a load of larger elements.
   ################################################################################################################## */
#if CQ__RVV
#define CQ__SIGNED_RVV(v) __riscv_vreinterpret_v_u8m1_i8m1(v)
#define CQ__STEP_RVV(v, p)                                                                                             \
    const vuint8m1x4_t v = __riscv_vlseg4e8_v_u8m1x4(p, CQ__ROWS);                                                     \
    const vuint8m1_t v##0 = __riscv_vget_v_u8m1x4_u8m1(v, 0), v##1 = __riscv_vget_v_u8m1x4_u8m1(v, 1),                 \
                     v##2 = __riscv_vget_v_u8m1x4_u8m1(v, 2), v##3 = __riscv_vget_v_u8m1x4_u8m1(v, 3)
#define CQ__NEXT_RVV(h, x, w) h = __riscv_vwmacc_vx_i16m2(h, x, w, CQ__ROWS)
#define CQ__WIDEN_RVV(d, h) d = __riscv_vwadd_wv_i32m4(d, h, CQ__ROWS)

/* == cq__code of a column, 16 rows, from the registers of step s: v the low bits, high the others (of 3 and 6 bits) */
CQ__INLINE vuint8m1_t cq__code_rvv(vuint8m1_t v, vuint8m1_t high, unsigned bits, size_t s) {
    const bool even = bits == 4 || bits == 6, more = bits == 3 || bits == 6;
    if (bits == 8) return v;
    v = __riscv_vsrl_vx_u8m1(v, even ? s & 4 : s & 6, CQ__ROWS);
    v = __riscv_vand_vx_u8m1(v, even ? 15 : 3, CQ__ROWS);
    if (!more) return v;
    high = __riscv_vsrl_vx_u8m1(high, bits == 3 ? s : s & 6, CQ__ROWS);
    high = __riscv_vand_vx_u8m1(high, bits == 3 ? 1 : 3, CQ__ROWS);
    return __riscv_vmacc_vx_u8m1(v, bits == 3 ? 4 : 16, high, CQ__ROWS);
}
/* where those registers are in a block */
CQ__INLINE const unsigned char *cq__low_rvv(const unsigned char *w, unsigned bits, size_t s) {
    return w + (bits == 8 ? s : bits == 4 || bits == 6 ? s & 3 : s & 1) * 64;
}
CQ__INLINE const unsigned char *cq__high_rvv(const unsigned char *w, unsigned bits, size_t s) {
    return bits == 3 ? w + 128 : bits == 6 ? w + 256 + (s & 1) * 64 : w;
}

/* The sums of a group: t (columns, 16) = codes or numbers (16 rows, 32 `blocks`) times 1 or 4 columns of activations.
   Always inline and with constants for all that is asked in a loop. First nibbles: int4, and e2m1 by a table. */
CQ__INLINE vint8m1_t cq__nibble_rvv(vuint8m1_t v, vint8m1_t table, bool mini) {
    return mini ? __riscv_vrgather_vv_i8m1(table, v, CQ__ROWS) : CQ__SIGNED_RVV(v);
}
#define CQ__NIBBLE_RVV(v) cq__nibble_rvv(__riscv_vand_vx_u8m1(v, 15, CQ__ROWS), table, mini)
#define CQ__UPPER_RVV(v) cq__nibble_rvv(__riscv_vsrl_vx_u8m1(v, 4, CQ__ROWS), table, mini)
#define CQ__MAC4_RVV(o, w)                                                                                             \
    {                                                                                                                  \
        const vint8m1_t c = w;                                                                                         \
        CQ__NEXT_RVV(h0, q[o], c);                                                                                     \
        CQ__NEXT_RVV(h1, q1[o], c);                                                                                    \
        CQ__NEXT_RVV(h2, q2[o], c);                                                                                    \
        CQ__NEXT_RVV(h3, q3[o], c);                                                                                    \
    }
static const int8_t cq__e2m1_rvv[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; /* in halves */
CQ__INLINE void cq__nibbles4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                                 bool mini) {
    const vint8m1_t table = __riscv_vle8_v_i8m1(cq__e2m1_rvv, CQ__ROWS);
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    vint32m4_t d0 = __riscv_vmv_v_x_i32m4(0, CQ__ROWS), d1 = d0, d2 = d0, d3 = d0;
    for (size_t half = 0; half < 2 * blocks; half++) { /* 64 bytes twice are steps 0 4 1 5, or 2 6 3 7 */
        vint16m2_t h0 = __riscv_vmv_v_x_i16m2(0, CQ__ROWS), h1 = h0, h2 = h0, h3 = h0;
        for (size_t s = 0; s < 2; s++, w += 64, q += 4, q1 += 4, q2 += 4, q3 += 4) {
            CQ__STEP_RVV(v, w);
            CQ__MAC4_RVV(0, CQ__NIBBLE_RVV(v0))
            CQ__MAC4_RVV(1, CQ__NIBBLE_RVV(v1))
            CQ__MAC4_RVV(2, CQ__NIBBLE_RVV(v2))
            CQ__MAC4_RVV(3, CQ__NIBBLE_RVV(v3))
            CQ__MAC4_RVV(16, CQ__UPPER_RVV(v0))
            CQ__MAC4_RVV(17, CQ__UPPER_RVV(v1))
            CQ__MAC4_RVV(18, CQ__UPPER_RVV(v2))
            CQ__MAC4_RVV(19, CQ__UPPER_RVV(v3))
        }
        CQ__WIDEN_RVV(d0, h0);
        CQ__WIDEN_RVV(d1, h1);
        CQ__WIDEN_RVV(d2, h2);
        CQ__WIDEN_RVV(d3, h3);
        if (half & 1) q += 16, q1 += 16, q2 += 16, q3 += 16;
    }
    __riscv_vse32_v_i32m4(t, d0, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + CQ__ROWS, d1, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 2 * CQ__ROWS, d2, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 3 * CQ__ROWS, d3, CQ__ROWS);
}
/* one column: four chains of 8, so that none waits for its last product; two of them together are one of 16 */
CQ__INLINE vint32m4_t cq__nibbles1_rvv(const unsigned char *w, const int8_t *q, size_t blocks, bool mini) {
    const vint8m1_t table = __riscv_vle8_v_i8m1(cq__e2m1_rvv, CQ__ROWS);
    vint32m4_t d = __riscv_vmv_v_x_i32m4(0, CQ__ROWS);
    for (size_t b = 0; b < blocks; b++, q += 16) {
        vint16m2_t h0 = __riscv_vmv_v_x_i16m2(0, CQ__ROWS), h1 = h0, h2 = h0, h3 = h0;
        for (size_t s = 0; s < 4; s++, w += 64, q += 4) {
            CQ__STEP_RVV(v, w);
            CQ__NEXT_RVV(h0, q[0], CQ__NIBBLE_RVV(v0));
            CQ__NEXT_RVV(h1, q[1], CQ__NIBBLE_RVV(v1));
            CQ__NEXT_RVV(h2, q[2], CQ__NIBBLE_RVV(v2));
            CQ__NEXT_RVV(h3, q[3], CQ__NIBBLE_RVV(v3));
            CQ__NEXT_RVV(h0, q[16], CQ__UPPER_RVV(v0));
            CQ__NEXT_RVV(h1, q[17], CQ__UPPER_RVV(v1));
            CQ__NEXT_RVV(h2, q[18], CQ__UPPER_RVV(v2));
            CQ__NEXT_RVV(h3, q[19], CQ__UPPER_RVV(v3));
        }
        CQ__WIDEN_RVV(d, __riscv_vadd_vv_i16m2(h0, h1, CQ__ROWS));
        CQ__WIDEN_RVV(d, __riscv_vadd_vv_i16m2(h2, h3, CQ__ROWS));
    }
    return d;
}

/* int2 and int3: the bytes of step 0 have steps 2, 4 and 6 too, those of step 1 the others; of one column, four chains
   of 8 as above */
CQ__INLINE void cq__codes4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                               unsigned bits) {
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    vint32m4_t d0 = __riscv_vmv_v_x_i32m4(0, CQ__ROWS), d1 = d0, d2 = d0, d3 = d0;
    for (size_t b = 0; b < blocks; b++, w += 64 * bits, q += 24, q1 += 24, q2 += 24, q3 += 24) {
        vint16m2_t h0 = __riscv_vmv_v_x_i16m2(0, CQ__ROWS), h1 = h0, h2 = h0, h3 = h0;
        for (size_t odd = 0; odd < 2; odd++, q += 4, q1 += 4, q2 += 4, q3 += 4) {
            CQ__STEP_RVV(v, cq__low_rvv(w, bits, odd));
            for (size_t o = 0; o < 32; o += 8) {
                const size_t s = odd + o / 4;
                CQ__STEP_RVV(u, cq__high_rvv(w, bits, s));
                CQ__MAC4_RVV(o, CQ__SIGNED_RVV(cq__code_rvv(v0, u0, bits, s)))
                CQ__MAC4_RVV(o + 1, CQ__SIGNED_RVV(cq__code_rvv(v1, u1, bits, s)))
                CQ__MAC4_RVV(o + 2, CQ__SIGNED_RVV(cq__code_rvv(v2, u2, bits, s)))
                CQ__MAC4_RVV(o + 3, CQ__SIGNED_RVV(cq__code_rvv(v3, u3, bits, s)))
            }
        }
        CQ__WIDEN_RVV(d0, h0);
        CQ__WIDEN_RVV(d1, h1);
        CQ__WIDEN_RVV(d2, h2);
        CQ__WIDEN_RVV(d3, h3);
    }
    __riscv_vse32_v_i32m4(t, d0, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + CQ__ROWS, d1, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 2 * CQ__ROWS, d2, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 3 * CQ__ROWS, d3, CQ__ROWS);
}
CQ__INLINE void cq__codes1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t blocks, unsigned bits) {
    vint32m4_t d = __riscv_vmv_v_x_i32m4(0, CQ__ROWS);
    for (size_t b = 0; b < blocks; b++, w += 64 * bits, q += 24) {
        vint16m2_t h0 = __riscv_vmv_v_x_i16m2(0, CQ__ROWS), h1 = h0, h2 = h0, h3 = h0;
        CQ__STEP_RVV(u, cq__high_rvv(w, bits, 0)); /* of 3 bits the same for all steps */
        for (size_t odd = 0; odd < 2; odd++, q += 4) {
            CQ__STEP_RVV(v, cq__low_rvv(w, bits, odd));
            for (size_t o = 0; o < 32; o += 8) {
                const size_t s = odd + o / 4;
                CQ__NEXT_RVV(h0, q[o], CQ__SIGNED_RVV(cq__code_rvv(v0, u0, bits, s)));
                CQ__NEXT_RVV(h1, q[o + 1], CQ__SIGNED_RVV(cq__code_rvv(v1, u1, bits, s)));
                CQ__NEXT_RVV(h2, q[o + 2], CQ__SIGNED_RVV(cq__code_rvv(v2, u2, bits, s)));
                CQ__NEXT_RVV(h3, q[o + 3], CQ__SIGNED_RVV(cq__code_rvv(v3, u3, bits, s)));
            }
        }
        h0 = __riscv_vadd_vv_i16m2(h0, h1, CQ__ROWS);
        h2 = __riscv_vadd_vv_i16m2(h2, h3, CQ__ROWS);
        CQ__WIDEN_RVV(d, __riscv_vadd_vv_i16m2(h0, h2, CQ__ROWS));
    }
    __riscv_vse32_v_i32m4(t, d, CQ__ROWS);
}

/* int8 and six bits, as int16. == cq__mini_int of six bits: the low four choose from two tables, the others choose a
   factor for each of these: which table, which sign, and what takes it beyond a byte. */
static const int8_t cq__six_rvv[2][4][16] = {
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, /* e2m3, in eighths */
     {16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60},
     {1, 0, -1, 0},
     {0, 1, 0, -1}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}, /* e3m2, in sixteenths */
     {4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56},
     {1, 0, -1, 0},
     {0, 8, 0, -8}}};
#define CQ__GATHER_RVV(table, i) __riscv_vrgather_vv_i8m1(table, i, CQ__ROWS)
#define CQ__WIDE_RVV(o)                                                                                                \
    {                                                                                                                  \
        vint16m2_t c;                                                                                                  \
        if (bits == 8) c = __riscv_vsext_vf2_i16m2(CQ__SIGNED_RVV(v##o), CQ__ROWS);                                    \
        else {                                                                                                         \
            const vuint8m1_t low = cq__code_rvv(v##o, v##o, 4, s), high = cq__code_rvv(u##o, u##o, 2, s);              \
            c = __riscv_vwmul_vv_i16m2(CQ__GATHER_RVV(t0, low), CQ__GATHER_RVV(f0, high), CQ__ROWS);                   \
            c = __riscv_vwmacc_vv_i16m2(c, CQ__GATHER_RVV(t1, low), CQ__GATHER_RVV(f1, high), CQ__ROWS);               \
        }                                                                                                              \
        d0 = __riscv_vwmacc_vx_i32m4(d0, q[o], c, CQ__ROWS);                                                           \
        if (columns > 1) {                                                                                             \
            d1 = __riscv_vwmacc_vx_i32m4(d1, q1[o], c, CQ__ROWS);                                                      \
            d2 = __riscv_vwmacc_vx_i32m4(d2, q2[o], c, CQ__ROWS);                                                      \
            d3 = __riscv_vwmacc_vx_i32m4(d3, q3[o], c, CQ__ROWS);                                                      \
        }                                                                                                              \
    }
CQ__INLINE void cq__wide_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                             cq_format format, unsigned columns) {
    const unsigned bits = format == CQ_INT8 ? 8 : 6, table = format == CQ_MXFP6_E3M2;
    const vint8m1_t t0 = __riscv_vle8_v_i8m1(cq__six_rvv[table][0], CQ__ROWS);
    const vint8m1_t t1 = __riscv_vle8_v_i8m1(cq__six_rvv[table][1], CQ__ROWS);
    const vint8m1_t f0 = __riscv_vle8_v_i8m1(cq__six_rvv[table][2], CQ__ROWS);
    const vint8m1_t f1 = __riscv_vle8_v_i8m1(cq__six_rvv[table][3], CQ__ROWS);
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    vint32m4_t d0 = __riscv_vmv_v_x_i32m4(0, CQ__ROWS), d1 = d0, d2 = d0, d3 = d0;
    for (size_t b = 0; b < blocks; b++, w += 64 * bits)
        for (size_t s = 0; s < 8; s++, q += 4, q1 += 4, q2 += 4, q3 += 4) {
            CQ__STEP_RVV(v, cq__low_rvv(w, bits, s));
            CQ__STEP_RVV(u, cq__high_rvv(w, bits, s));
            CQ__WIDE_RVV(0)
            CQ__WIDE_RVV(1)
            CQ__WIDE_RVV(2)
            CQ__WIDE_RVV(3)
        }
    __riscv_vse32_v_i32m4(t, d0, CQ__ROWS);
    if (columns == 1) return;
    __riscv_vse32_v_i32m4(t + CQ__ROWS, d1, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 2 * CQ__ROWS, d2, CQ__ROWS);
    __riscv_vse32_v_i32m4(t + 3 * CQ__ROWS, d3, CQ__ROWS);
}
/* one column of int8: two products in int16, which is less work than int32 */
static void cq__int8_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    vint32m4_t d0 = __riscv_vmv_v_x_i32m4(0, CQ__ROWS), d1 = d0;
    (void)ldq;
    for (size_t s = 0; s < 8 * blocks; s++, w += 64, q += 4) {
        CQ__STEP_RVV(v, w);
        vint16m2_t h0 = __riscv_vwmul_vx_i16m2(CQ__SIGNED_RVV(v0), q[0], CQ__ROWS);
        vint16m2_t h1 = __riscv_vwmul_vx_i16m2(CQ__SIGNED_RVV(v2), q[2], CQ__ROWS);
        CQ__NEXT_RVV(h0, q[1], CQ__SIGNED_RVV(v1));
        CQ__NEXT_RVV(h1, q[3], CQ__SIGNED_RVV(v3));
        CQ__WIDEN_RVV(d0, h0);
        CQ__WIDEN_RVV(d1, h1);
    }
    __riscv_vse32_v_i32m4(t, __riscv_vadd_vv_i32m4(d0, d1, CQ__ROWS), CQ__ROWS);
}

/* the sums of a group of each format; those for one column have no use for ldq */
typedef void (*cq__group_rvv)(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks);
static void cq__int4_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__nibbles4_rvv(t, w, q, ldq, blocks, false);
}
static void cq__int4_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    (void)ldq;
    __riscv_vse32_v_i32m4(t, cq__nibbles1_rvv(w, q, blocks, false), CQ__ROWS);
}
static void cq__e2m1_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__nibbles4_rvv(t, w, q, ldq, blocks, true);
}
static void cq__e2m1_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    (void)ldq;
    __riscv_vse32_v_i32m4(t, cq__nibbles1_rvv(w, q, blocks, true), CQ__ROWS);
}
static void cq__int3_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__codes4_rvv(t, w, q, ldq, blocks, 3);
}
static void cq__int3_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    (void)ldq;
    cq__codes1_rvv(t, w, q, blocks, 3);
}
static void cq__int2_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__codes4_rvv(t, w, q, ldq, blocks, 2);
}
static void cq__int2_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    (void)ldq;
    cq__codes1_rvv(t, w, q, blocks, 2);
}
static void cq__int8_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__wide_rvv(t, w, q, ldq, blocks, CQ_INT8, 4);
}
static void cq__e2m3_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__wide_rvv(t, w, q, ldq, blocks, CQ_MXFP6_E2M3, 4);
}
static void cq__e2m3_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__wide_rvv(t, w, q, ldq, blocks, CQ_MXFP6_E2M3, 1);
}
static void cq__e3m2_4_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__wide_rvv(t, w, q, ldq, blocks, CQ_MXFP6_E3M2, 4);
}
static void cq__e3m2_1_rvv(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks) {
    cq__wide_rvv(t, w, q, ldq, blocks, CQ_MXFP6_E3M2, 1);
}
static cq__group_rvv cq__group_of_rvv(cq_format format, size_t columns) {
    switch (format) {
    case CQ_INT4: return columns == 4 ? cq__int4_4_rvv : cq__int4_1_rvv;
    case CQ_INT3: return columns == 4 ? cq__int3_4_rvv : cq__int3_1_rvv;
    case CQ_INT2: return columns == 4 ? cq__int2_4_rvv : cq__int2_1_rvv;
    case CQ_MXFP4: return columns == 4 ? cq__e2m1_4_rvv : cq__e2m1_1_rvv;
    case CQ_MXFP6_E2M3: return columns == 4 ? cq__e2m3_4_rvv : cq__e2m3_1_rvv;
    case CQ_MXFP6_E3M2: return columns == 4 ? cq__e3m2_4_rvv : cq__e3m2_1_rvv;
    default: return columns == 4 ? cq__int8_4_rvv : cq__int8_1_rvv;
    }
}

/* vl floats of bytes: F32, F16 or BF16. fp16 by bits: exponent and mantissa where those of a float are, then times
   2^112, which is exact and rights denormals; what was infinite or NaN gets the exponent of such. */
CQ__INLINE vfloat32m4_t cq__half_rvv(vuint16m2_t h, size_t vl) {
#if defined(__riscv_zvfhmin)
    return __riscv_vfwcvt_f_f_v_f32m4(__riscv_vreinterpret_v_u16m2_f16m2(h), vl);
#else
    const vbool8_t top = __riscv_vmseq_vx_u16m2_b8(__riscv_vand_vx_u16m2(h, 0x7c00, vl), 0x7c00, vl);
    vint32m4_t v = __riscv_vwmul_vx_i32m4(__riscv_vreinterpret_v_u16m2_i16m2(h), 1 << 13, vl); /* with its sign */
    v = __riscv_vand_vx_i32m4(v, (int32_t)0x8fffe000u, vl);
    vfloat32m4_t f = __riscv_vfmul_vf_f32m4(__riscv_vreinterpret_v_i32m4_f32m4(v), cq__exp2i(112), vl);
    v = __riscv_vreinterpret_v_f32m4_i32m4(f);
    return __riscv_vreinterpret_v_i32m4_f32m4(__riscv_vor_vx_i32m4_mu(top, v, v, 0x7f800000, vl));
#endif
}
CQ__INLINE vfloat32m4_t cq__load_rvv(const unsigned char *p, cq_format format, size_t vl) {
    if (format == CQ_F32)
        return __riscv_vreinterpret_v_u32m4_f32m4(
            __riscv_vreinterpret_v_u8m4_u32m4(__riscv_vle8_v_u8m4(p, 4 * vl)));
    vuint16m2_t h = __riscv_vreinterpret_v_u8m2_u16m2(__riscv_vle8_v_u8m2(p, 2 * vl));
    if (format == CQ_F16) return cq__half_rvv(h, vl);
    return __riscv_vreinterpret_v_u32m4_f32m4(__riscv_vsll_vx_u32m4(__riscv_vzext_vf2_u32m4(h, vl), 16, vl));
}
/* 16 scales; E8M0 is an exponent, of which 0 and 255 have the first bit of the mantissa too */
CQ__INLINE vfloat32m4_t cq__scales_rvv(const unsigned char *p, unsigned bytes) {
    if (bytes != 1) return cq__load_rvv(p, bytes == 2 ? CQ_F16 : CQ_F32, CQ__ROWS);
    const vuint8m1_t e = __riscv_vle8_v_u8m1(p, CQ__ROWS);
    const vbool8_t odd = __riscv_vmsgtu_vx_u8m1_b8(__riscv_vsub_vx_u8m1(e, 1, CQ__ROWS), 253, CQ__ROWS);
    vuint32m4_t v = __riscv_vsll_vx_u32m4(__riscv_vzext_vf4_u32m4(e, CQ__ROWS), 23, CQ__ROWS);
    return __riscv_vreinterpret_v_u32m4_f32m4(__riscv_vor_vx_u32m4_mu(odd, v, v, 1u << 22, CQ__ROWS));
}

/* == cq__panel_q8_c */
#ifdef __clang__
#define CQ__SHORT_LOOP _Pragma("clang loop vectorize(disable)") /* vectors take longer for a few numbers */
#else
#define CQ__SHORT_LOOP
#endif
/* what the zeros take from the sums of a group: 16 bytes, less `offset` */
CQ__INLINE vint32m4_t cq__zeros_rvv(const unsigned char *p, int32_t offset) {
    const vuint32m4_t z = __riscv_vzext_vf4_u32m4(__riscv_vle8_v_u8m1(p, CQ__ROWS), CQ__ROWS);
    return __riscv_vsub_vx_i32m4(__riscv_vreinterpret_v_u32m4_i32m4(z), offset, CQ__ROWS);
}
/* One column of int4, which is what generating text does: the sums stay in registers over the whole panel. */
static void cq__int4_panel1_rvv(float *out, const cq_tensor *t, const unsigned char *p, const int8_t *q,
                                const int32_t *sum, size_t ld_sum, float scale) {
    const unsigned char *w = p + cq__panel_head(t), *zeros = p + cq__zeros_at(t);
    const size_t per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    vfloat32m4_t y = __riscv_vfmv_v_f_f32m4(0.0f, CQ__ROWS), v;
    for (size_t b = 0, n; b < count; b += n, p += 2 * CQ__ROWS, zeros += CQ__ROWS) {
        n = cq__min(per, count - b);
        vint32m4_t d = cq__nibbles1_rvv(w, q, n, false);
        int32_t total = 0;
        CQ__SHORT_LOOP
        for (size_t i = b; i < b + n; i++) total += sum[i * ld_sum];
        if (t->asym) d = __riscv_vnmsac_vx_i32m4(d, total, cq__zeros_rvv(zeros, 0), CQ__ROWS);
        else d = __riscv_vsub_vx_i32m4(d, total * 8, CQ__ROWS);
        v = __riscv_vfmul_vv_f32m4(__riscv_vfcvt_f_x_v_f32m4(d, CQ__ROWS), cq__scales_rvv(p, 2), CQ__ROWS);
        y = __riscv_vfadd_vv_f32m4(y, v, CQ__ROWS);
        w += n * CQ__BLOCK * CQ__ROWS / 2;
        q += n * CQ__BLOCK;
    }
    __riscv_vse32_v_f32m4(out, __riscv_vfmul_vf_f32m4(y, scale, CQ__ROWS), CQ__ROWS);
}
static void cq__panel_q8_rvv(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n) {
    const size_t ldq = a->stride, ld_sum = a->ld_sum, ld_scale = cq__acts_groups(a);
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    const size_t per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    const size_t group_bytes = per * cq__block_bytes(t->format), scale_bytes = cq__scale_bytes(t);
    const int32_t offset = t->format == CQ_INT8 ? 128 : 0; /* of its bytes: two's complement */
    const int32_t middle = cq__middle(t->format) - offset;
    const float unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits);
    int32_t sums[4 * CQ__ROWS];
    if (t->group_size % CQ__BLOCK) { /* halves of blocks */
        cq__panel_q8_c(out, t, panel, a, first, n);
        return;
    }
    for (size_t end = first + n, m; first < end; first += m, out += m * CQ__ROWS) {
        m = end - first >= 4 ? 4 : 1;
        const cq__group_rvv group = cq__group_of_rvv(t->format, m);
        const unsigned char *w = p + cq__panel_head(t), *scales = p, *zeros = p + cq__zeros_at(t);
        const int8_t *q = a->q + first * ldq;
        const int32_t *sum = a->sum + first;
        const float *scale = a->scale + first * ld_scale;
        if (t->format == CQ_INT4 && m == 1 && !a->group_size) {
            cq__int4_panel1_rvv(out, t, p, q, sum, ld_sum, scale[0]);
            continue;
        }
        for (size_t j = 0; j < m; j++)
            __riscv_vse32_v_f32m4(out + j * CQ__ROWS, __riscv_vfmv_v_f_f32m4(0.0f, CQ__ROWS), CQ__ROWS);
        for (size_t b0 = 0; b0 < count; b0 += per, q += per * CQ__BLOCK, w += group_bytes) {
            const size_t blocks = cq__min(per, count - b0);
            group(sums, w, q, ldq, blocks);
            vfloat32m4_t s = cq__scales_rvv(scales, (unsigned)scale_bytes), v;
            vint32m4_t zero = __riscv_vmv_v_x_i32m4(middle, CQ__ROWS), d;
            if (unit != 1.0f) s = __riscv_vfmul_vf_f32m4(s, unit, CQ__ROWS);
            if (t->asym) zero = cq__zeros_rvv(zeros, offset);
            for (size_t j = 0; j < m; j++) {
                float *o = out + j * CQ__ROWS;
                int32_t total = 0;
                CQ__SHORT_LOOP
                for (size_t b = b0; b < b0 + blocks; b++) total += sum[b * ld_sum + j];
                d = __riscv_vle32_v_i32m4(sums + j * CQ__ROWS, CQ__ROWS);
                v = __riscv_vfcvt_f_x_v_f32m4(__riscv_vnmsac_vx_i32m4(d, total, zero, CQ__ROWS), CQ__ROWS);
                v = __riscv_vfmul_vv_f32m4(
                    v, a->group_size ? __riscv_vfmul_vf_f32m4(s, scale[j * ld_scale], CQ__ROWS) : s, CQ__ROWS);
                v = __riscv_vfadd_vv_f32m4(__riscv_vle32_v_f32m4(o, CQ__ROWS), v, CQ__ROWS);
                __riscv_vse32_v_f32m4(o, v, CQ__ROWS);
            }
            scales += CQ__ROWS * scale_bytes;
            zeros += CQ__ROWS;
            if (a->group_size) scale++;
        }
        for (size_t j = 0; j < m && !a->group_size; j++) {
            float *o = out + j * CQ__ROWS;
            vfloat32m4_t v = __riscv_vfmul_vf_f32m4(__riscv_vle32_v_f32m4(o, CQ__ROWS), scale[j], CQ__ROWS);
            __riscv_vse32_v_f32m4(o, v, CQ__ROWS);
        }
    }
}
static void cq__panels_q8_rvv(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                              size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_rvv(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

/* == cq__unpack_c */
/* 16 codes of small floats to numbers: as with fp16 above, a power of two rights the exponent, denormal or not */
CQ__INLINE vfloat32m4_t cq__mini16_rvv(vuint8m1_t code, cq_mini mini) {
    const cq__mini_facts *f = &cq__minis[mini];
    const vuint8m1_t a = __riscv_vand_vx_u8m1(code, (uint8_t)((1u << (f->bits - 1)) - 1), CQ__ROWS);
    const vuint8m1_t sign = __riscv_vsrl_vx_u8m1(code, f->bits - 1u, CQ__ROWS);
    vuint32m4_t v = __riscv_vsll_vx_u32m4(__riscv_vzext_vf4_u32m4(a, CQ__ROWS), 23u - f->mantissa, CQ__ROWS), s;
    vfloat32m4_t x = __riscv_vfmul_vf_f32m4(__riscv_vreinterpret_v_u32m4_f32m4(v), cq__exp2i(127 - f->bias), CQ__ROWS);
    v = __riscv_vreinterpret_v_f32m4_u32m4(x);
    if (mini == CQ_E4M3) /* its one NaN */
        v = __riscv_vmerge_vxm_u32m4(v, 0x7fc00000u, __riscv_vmseq_vx_u8m1_b8(a, 0x7f, CQ__ROWS), CQ__ROWS);
    s = __riscv_vsll_vx_u32m4(__riscv_vzext_vf4_u32m4(sign, CQ__ROWS), 31, CQ__ROWS);
    return __riscv_vreinterpret_v_u32m4_f32m4(__riscv_vor_vv_u32m4(v, s, CQ__ROWS));
}
CQ__INLINE void cq__value16_rvv(float *out, vuint8m1_t code, unsigned mini, vint16m2_t zero, vfloat32m4_t scale) {
    vfloat32m4_t v;
    if (mini < CQ_MINI_COUNT) v = cq__mini16_rvv(code, (cq_mini)mini);
    else {
        vint16m2_t c = __riscv_vreinterpret_v_u16m2_i16m2(__riscv_vwcvtu_x_x_v_u16m2(code, CQ__ROWS));
        v = __riscv_vfwcvt_f_x_v_f32m4(__riscv_vsub_vv_i16m2(c, zero, CQ__ROWS), CQ__ROWS);
    }
    __riscv_vse32_v_f32m4(out, __riscv_vfmul_vv_f32m4(v, scale, CQ__ROWS), CQ__ROWS);
}
/* n columns of a block; flip: of the sign of int8 */
#define CQ__VALUE_RVV(i)                                                                                               \
    if (4 * s + i < n)                                                                                                 \
        cq__value16_rvv(out + i * CQ__ROWS,                                                                            \
                        __riscv_vxor_vx_u8m1(cq__code_rvv(v##i, u##i, bits, s), flip, CQ__ROWS), mini, zero, scale);
CQ__INLINE void cq__values_rvv(float *out, const unsigned char *w, size_t n, unsigned bits, uint8_t flip, unsigned mini,
                               vint16m2_t zero, vfloat32m4_t scale) {
    for (size_t s = 0; 4 * s < n; s++, out += 4 * CQ__ROWS) {
        CQ__STEP_RVV(v, cq__low_rvv(w, bits, s));
        CQ__STEP_RVV(u, cq__high_rvv(w, bits, s));
        CQ__VALUE_RVV(0)
        CQ__VALUE_RVV(1)
        CQ__VALUE_RVV(2)
        CQ__VALUE_RVV(3)
    }
}
static void cq__unpack_rvv(float *out, const cq_tensor *t, size_t panel, size_t block) {
    const cq__format_facts *f = cq__facts(t->format);
    const size_t k0 = block * CQ__BLOCK, n = cq__min(CQ__BLOCK, t->cols - k0), size = f->bits / 8;
    const size_t rows = cq__min(CQ__ROWS, t->rows - panel * CQ__ROWS);
    if (t->layout == CQ_ROWS) { /* a row is written down a column of out */
        const unsigned char *p = t->data + (panel * CQ__ROWS * t->cols + k0) * size;
        for (size_t r = 0; r < CQ__ROWS; r++, p += t->cols * size)
            for (size_t k = 0, vl; k < n; k += vl) {
                vl = __riscv_vsetvl_e32m4(n - k);
                vfloat32m4_t v = __riscv_vfmv_v_f_f32m4(0.0f, vl);
                if (r < rows) v = cq__load_rvv(p + k * size, t->format, vl);
                __riscv_vsse32_v_f32m4(out + k * CQ__ROWS + r, CQ__ROWS * sizeof(float), v, vl);
            }
        return;
    }
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    if (t->layout == CQ_COLUMNS || !f->scale) { /* 16 rows side by side, or as many as there are */
        const size_t step = (t->layout == CQ_COLUMNS ? t->rows : CQ__ROWS) * size;
        const size_t there = t->layout == CQ_COLUMNS ? rows : CQ__ROWS;
        p = t->layout == CQ_COLUMNS ? t->data + panel * CQ__ROWS * size : p;
        for (size_t k = 0; k < n; k++) {
            vfloat32m4_t v = cq__load_rvv(p + (k0 + k) * step, t->format, there);
            if (there < CQ__ROWS)
                v = __riscv_vslideup_vx_f32m4(v, __riscv_vfmv_v_f_f32m4(0.0f, CQ__ROWS), there, CQ__ROWS);
            __riscv_vse32_v_f32m4(out + k * CQ__ROWS, v, CQ__ROWS);
        }
        return;
    }
    if (t->group_size % CQ__BLOCK) { /* halves of blocks */
        cq__unpack_c(out, t, panel, block);
        return;
    }
    const size_t g = k0 / t->group_size;
    const unsigned char *w = p + cq__panel_head(t) + block * cq__block_bytes(t->format);
    const vfloat32m4_t scale = cq__scales_rvv(p + g * CQ__ROWS * f->scale, f->scale);
    vint16m2_t zero = __riscv_vmv_v_x_i16m2((int16_t)cq__middle(t->format), CQ__ROWS);
    if (t->asym)
        zero = __riscv_vreinterpret_v_u16m2_i16m2(__riscv_vwcvtu_x_x_v_u16m2(
            __riscv_vle8_v_u8m1(p + cq__zeros_at(t) + g * CQ__ROWS, CQ__ROWS), CQ__ROWS));
    /* constants for the usual two */
    if (t->format == CQ_INT4) cq__values_rvv(out, w, n, 4, 0, CQ_MINI_COUNT, zero, scale);
    else if (t->format == CQ_INT8) cq__values_rvv(out, w, n, 8, 128, CQ_MINI_COUNT, zero, scale);
    else cq__values_rvv(out, w, n, f->bits, 0, f->mini, zero, scale);
}

/* == cq__quantize_c: a block of 32 at a time, which is eight registers of 128 bits; past the end of x it reads as 0 */
static float cq__quantize_rvv(int8_t *q, int32_t *sum, size_t ld_sum, const float *x, size_t n, size_t stride) {
    const size_t block = CQ__BLOCK;
    vfloat32m8_t top = __riscv_vfmv_v_f_f32m8(0.0f, __riscv_vsetvlmax_e32m8());
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        vfloat32m8_t v = __riscv_vle32_v_f32m8(x + i, vl);
        top = __riscv_vfmax_vv_f32m8_tu(top, top, __riscv_vfabs_v_f32m8(v, vl), vl);
    }
    const float m = __riscv_vfmv_f_s_f32m1_f32(
        __riscv_vfredmax_vs_f32m8_f32m1(top, __riscv_vfmv_s_f_f32m1(0.0f, 1), __riscv_vsetvlmax_e32m8()));
    float inverse = m > 0.0f ? 127.0f / m : 0.0f;
    if (!(inverse < CQ__INFINITY)) inverse = 0.0f;
    for (size_t b = 0; b < stride; b += block) {
        vfloat32m8_t v = __riscv_vfmv_v_f_f32m8(0.0f, block);
        if (b < n) v = __riscv_vle32_v_f32m8_tu(v, x + b, cq__min(block, n - b));
        v = __riscv_vfmax_vf_f32m8(__riscv_vfmul_vf_f32m8(v, inverse, block), -127.0f, block); /* NaN: -127, as in C */
        v = __riscv_vfmin_vf_f32m8(v, 127.0f, block);
        vint16m4_t h = __riscv_vfncvt_x_f_w_i16m4(v, block); /* to nearest, ties to even */
        __riscv_vse8_v_i8m2(q + b, __riscv_vncvt_x_x_w_i8m2(h, block), block);
        sum[b / CQ__BLOCK * ld_sum] = __riscv_vmv_x_s_i16m1_i16(
            __riscv_vredsum_vs_i16m4_i16m1(h, __riscv_vmv_s_x_i16m1(0, 1), block)); /* at most 4064 */
    }
    return inverse > 0.0f ? m / 127.0f : 0.0f;
}

/* == cq__tile_f32_c and cq__fma_f32_c: the tile stays in registers, four of 128 bits a column; in the first, a rounded
   product wants as many, and compilers like to have two of them */
CQ__INLINE vfloat32m4_t cq__mad_rvv(vfloat32m4_t p, vfloat32m4_t a, float b) {
    return __riscv_vfadd_vv_f32m4(p, __riscv_vfmul_vf_f32m4(a, b, CQ__ROWS), CQ__ROWS);
}
CQ__INLINE void cq__add16_rvv(float *c, vfloat32m4_t p) {
    __riscv_vse32_v_f32m4(c, __riscv_vfadd_vv_f32m4(__riscv_vle32_v_f32m4(c, CQ__ROWS), p, CQ__ROWS), CQ__ROWS);
}
static void cq__tile_f32_rvv(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                             size_t k, size_t n) {
    for (size_t t0 = 0; t0 < k; t0 += CQ__BLOCK, a += CQ__BLOCK * lda, b += CQ__BLOCK * kb) {
        const size_t end = cq__min(CQ__BLOCK, k - t0);
        size_t j = 0;
        for (; j + 4 <= n; j += 4) {
            const float *x = b + j * jb, *y = x + 2 * jb, *at = a;
            vfloat32m4_t p0 = __riscv_vfmv_v_f_f32m4(0.0f, CQ__ROWS), p1 = p0, p2 = p0, p3 = p0;
            for (size_t t = 0; t < end; t++, x += kb, y += kb, at += lda) {
                const vfloat32m4_t v = __riscv_vle32_v_f32m4(at, CQ__ROWS);
                p0 = cq__mad_rvv(p0, v, x[0]);
                p1 = cq__mad_rvv(p1, v, x[jb]);
                p2 = cq__mad_rvv(p2, v, y[0]);
                p3 = cq__mad_rvv(p3, v, y[jb]);
            }
            cq__add16_rvv(c + j * ldc, p0);
            cq__add16_rvv(c + (j + 1) * ldc, p1);
            cq__add16_rvv(c + (j + 2) * ldc, p2);
            cq__add16_rvv(c + (j + 3) * ldc, p3);
        }
        for (; j < n; j++) {
            vfloat32m4_t p = __riscv_vfmv_v_f_f32m4(0.0f, CQ__ROWS);
            for (size_t t = 0; t < end; t++)
                p = cq__mad_rvv(p, __riscv_vle32_v_f32m4(a + t * lda, CQ__ROWS), b[t * kb + j * jb]);
            cq__add16_rvv(c + j * ldc, p);
        }
    }
}
static void cq__fma_f32_rvv(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                            size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    for (size_t p = 0; p < panels; p++, c += cp, a += ap) {
        size_t j = 0;
        for (; j + 6 <= n; j += 6) {
            const float *x = b + j * jb, *y = x + 3 * jb, *at = a;
            float *c0 = c + j * ldc, *c3 = c0 + 3 * ldc;
            vfloat32m4_t p0 = __riscv_vle32_v_f32m4(c0, CQ__ROWS), p1 = __riscv_vle32_v_f32m4(c0 + ldc, CQ__ROWS);
            vfloat32m4_t p2 = __riscv_vle32_v_f32m4(c0 + 2 * ldc, CQ__ROWS), p3 = __riscv_vle32_v_f32m4(c3, CQ__ROWS);
            vfloat32m4_t p4 = __riscv_vle32_v_f32m4(c3 + ldc, CQ__ROWS);
            vfloat32m4_t p5 = __riscv_vle32_v_f32m4(c3 + 2 * ldc, CQ__ROWS);
            for (size_t t = 0; t < k; t++, x += kb, y += kb, at += lda) {
                const vfloat32m4_t v = __riscv_vle32_v_f32m4(at, CQ__ROWS);
                p0 = __riscv_vfmacc_vf_f32m4(p0, x[0], v, CQ__ROWS);
                p1 = __riscv_vfmacc_vf_f32m4(p1, x[jb], v, CQ__ROWS);
                p2 = __riscv_vfmacc_vf_f32m4(p2, x[2 * jb], v, CQ__ROWS);
                p3 = __riscv_vfmacc_vf_f32m4(p3, y[0], v, CQ__ROWS);
                p4 = __riscv_vfmacc_vf_f32m4(p4, y[jb], v, CQ__ROWS);
                p5 = __riscv_vfmacc_vf_f32m4(p5, y[2 * jb], v, CQ__ROWS);
            }
            __riscv_vse32_v_f32m4(c0, p0, CQ__ROWS);
            __riscv_vse32_v_f32m4(c0 + ldc, p1, CQ__ROWS);
            __riscv_vse32_v_f32m4(c0 + 2 * ldc, p2, CQ__ROWS);
            __riscv_vse32_v_f32m4(c3, p3, CQ__ROWS);
            __riscv_vse32_v_f32m4(c3 + ldc, p4, CQ__ROWS);
            __riscv_vse32_v_f32m4(c3 + 2 * ldc, p5, CQ__ROWS);
        }
        for (; j < n; j++) {
            vfloat32m4_t v = __riscv_vle32_v_f32m4(c + j * ldc, CQ__ROWS);
            for (size_t t = 0; t < k; t++)
                v = __riscv_vfmacc_vf_f32m4(v, b[t * kb + j * jb], __riscv_vle32_v_f32m4(a + t * lda, CQ__ROWS),
                                            CQ__ROWS);
            __riscv_vse32_v_f32m4(c + j * ldc, v, CQ__ROWS);
        }
    }
}
static void cq__eliminate_rvv(float *p, size_t pp, float *u, size_t ldu, const float *d, const float *b, size_t n,
                              size_t panels) {
    cq__eliminate_by(cq__fma_f32_rvv, p, pp, u, ldu, d, b, n, panels);
}

/* == cq__tree8: lanes 0+4 1+5 2+6 3+7, then of these 0+2 1+3, then 0+1 */
CQ__INLINE float cq__tree8_rvv(vfloat32m2_t v) {
    v = __riscv_vfadd_vv_f32m2(v, __riscv_vslidedown_vx_f32m2(v, 4, 8), 8);
    v = __riscv_vfadd_vv_f32m2(v, __riscv_vslidedown_vx_f32m2(v, 2, 8), 8);
    return __riscv_vfmv_f_s_f32m2_f32(__riscv_vfadd_vv_f32m2(v, __riscv_vslidedown_vx_f32m2(v, 1, 8), 8));
}
/* acc += a b in the first vl lanes; the others stay */
CQ__INLINE vfloat32m2_t cq__mad8_rvv(vfloat32m2_t acc, vfloat32m2_t a, const float *b, size_t vl) {
    return __riscv_vfadd_vv_f32m2_tu(acc, acc, __riscv_vfmul_vv_f32m2(a, __riscv_vle32_v_f32m2(b, vl), vl), vl);
}
static float cq__dot_rvv(const float *a, const float *b, size_t n) {
    vfloat32m2_t acc = __riscv_vfmv_v_f_f32m2(0.0f, 8);
    for (; n >= 8; n -= 8, a += 8, b += 8) acc = cq__mad8_rvv(acc, __riscv_vle32_v_f32m2(a, 8), b, 8);
    if (n) acc = cq__mad8_rvv(acc, __riscv_vle32_v_f32m2(a, n), b, n);
    return cq__tree8_rvv(acc);
}
static void cq__dots_rvv(float *out, const float *q, const float *k, size_t ldk, size_t n, size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4, k += 4 * ldk) {
        vfloat32m2_t a0 = __riscv_vfmv_v_f_f32m2(0.0f, 8), a1 = a0, a2 = a0, a3 = a0;
        for (size_t d = 0, vl; d < n; d += vl) {
            vl = cq__min(8, n - d);
            const vfloat32m2_t x = __riscv_vle32_v_f32m2(q + d, vl);
            a0 = cq__mad8_rvv(a0, x, k + d, vl);
            a1 = cq__mad8_rvv(a1, x, k + ldk + d, vl);
            a2 = cq__mad8_rvv(a2, x, k + 2 * ldk + d, vl);
            a3 = cq__mad8_rvv(a3, x, k + 3 * ldk + d, vl);
        }
        out[i] = cq__tree8_rvv(a0);
        out[i + 1] = cq__tree8_rvv(a1);
        out[i + 2] = cq__tree8_rvv(a2);
        out[i + 3] = cq__tree8_rvv(a3);
    }
    for (; i < count; i++, k += ldk) out[i] = cq__dot_rvv(q, k, n);
}
static float cq__sum_rvv(const float *a, size_t n) {
    vfloat32m2_t acc = __riscv_vfmv_v_f_f32m2(0.0f, 8);
    for (; n >= 8; n -= 8, a += 8) acc = __riscv_vfadd_vv_f32m2(acc, __riscv_vle32_v_f32m2(a, 8), 8);
    if (n) acc = __riscv_vfadd_vv_f32m2_tu(acc, acc, __riscv_vle32_v_f32m2(a, n), n);
    return cq__tree8_rvv(acc);
}
/* NaN is passed over, as in C */
static float cq__max_rvv(const float *a, size_t n) {
    const size_t all = __riscv_vsetvlmax_e32m8();
    vfloat32m8_t top = __riscv_vfmv_v_f_f32m8(-CQ__INFINITY, all);
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        top = __riscv_vfmax_vv_f32m8_tu(top, top, __riscv_vle32_v_f32m8(a + i, vl), vl);
    }
    const float m = __riscv_vfmv_f_s_f32m1_f32(
        __riscv_vfredmax_vs_f32m8_f32m1(top, __riscv_vfmv_s_f_f32m1(-CQ__INFINITY, 1), all));
    return m + 0.0f;
}
static void cq__mix_rvv(float *out, const float *p, const float *v, size_t ldv, size_t n, size_t count) {
    for (size_t d = 0, vl; d < n; d += vl) {
        vl = __riscv_vsetvl_e32m8(n - d);
        vfloat32m8_t acc = __riscv_vle32_v_f32m8(out + d, vl);
        const float *row = v + d;
        for (size_t i = 0; i < count; i++, row += ldv)
            acc = __riscv_vfadd_vv_f32m8(acc, __riscv_vfmul_vf_f32m8(__riscv_vle32_v_f32m8(row, vl), p[i], vl), vl);
        __riscv_vse32_v_f32m8(out + d, acc, vl);
    }
}
static void cq__from_f16_rvv(float *out, const unsigned char *x, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        __riscv_vse32_v_f32m4(out + i, cq__load_rvv(x + 2 * i, CQ_F16, vl), vl);
    }
}
static void cq__from_int8_rvv(float *out, const int8_t *q, const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t d = n, vl; d; d -= vl, q += vl, out += vl) {
            vl = __riscv_vsetvl_e8m2(d);
            const vint16m4_t h = __riscv_vwcvt_x_x_v_i16m4(__riscv_vle8_v_i8m2(q, vl), vl);
            vfloat32m8_t v = __riscv_vfwcvt_f_x_v_f32m8(h, vl);
            __riscv_vse32_v_f32m8(out, __riscv_vfmul_vf_f32m8(v, scale[i], vl), vl);
        }
}
/* two products of int8 fit int16 (2 x 127^2 = 32258); vwredsum adds all lanes of a group of registers in int32 */
static void cq__dots_q8_rvv(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk, const float *scale,
                            size_t n, size_t count) {
    for (size_t i = 0; i < count; i++, k += ldk) {
        vint32m1_t dot = __riscv_vmv_s_x_i32m1(0, 1);
        for (size_t d = 0; d < n;) {
            size_t vl = __riscv_vsetvl_e8m4(n - d), more = __riscv_vsetvl_e8m4(n - d - vl);
            vint16m8_t h = __riscv_vwmul_vv_i16m8(__riscv_vle8_v_i8m4(q + d, vl), __riscv_vle8_v_i8m4(k + d, vl), vl);
            d += vl;
            if (more) {
                vint8m4_t x = __riscv_vle8_v_i8m4(q + d, more), y = __riscv_vle8_v_i8m4(k + d, more);
                h = __riscv_vwmacc_vv_i16m8_tu(h, x, y, more);
                d += more;
            }
            dot = __riscv_vwredsum_vs_i16m8_i32m1(h, dot, vl);
        }
        out[i] = (float)__riscv_vmv_x_s_i32m1_i32(dot) * (scale_q * scale[i]);
    }
}
static void cq__turn_rvv(float *x, float *y, const float *c, const float *s, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        const vfloat32m4_t a = __riscv_vle32_v_f32m4(x + i, vl), b = __riscv_vle32_v_f32m4(y + i, vl);
        const vfloat32m4_t co = __riscv_vle32_v_f32m4(c + i, vl), si = __riscv_vle32_v_f32m4(s + i, vl);
        const vfloat32m4_t ac = __riscv_vfmul_vv_f32m4(a, co, vl), bs = __riscv_vfmul_vv_f32m4(b, si, vl);
        const vfloat32m4_t bc = __riscv_vfmul_vv_f32m4(b, co, vl), as = __riscv_vfmul_vv_f32m4(a, si, vl);
        __riscv_vse32_v_f32m4(x + i, __riscv_vfsub_vv_f32m4(ac, bs, vl), vl);
        __riscv_vse32_v_f32m4(y + i, __riscv_vfadd_vv_f32m4(bc, as, vl), vl);
    }
}
static void cq__axpy_rvv(float *y, float a, const float *x, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        vfloat32m8_t v = __riscv_vfmul_vf_f32m8(__riscv_vle32_v_f32m8(x + i, vl), a, vl);
        __riscv_vse32_v_f32m8(y + i, __riscv_vfadd_vv_f32m8(__riscv_vle32_v_f32m8(y + i, vl), v, vl), vl);
    }
}
static void cq__scale_rvv(float *y, const float *x, const unsigned char *w, float s, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        vfloat32m4_t v = __riscv_vfmul_vf_f32m4(__riscv_vle32_v_f32m4(x + i, vl), s, vl);
        if (w) v = __riscv_vfmul_vv_f32m4(v, cq__load_rvv(w + 4 * i, CQ_F32, vl), vl);
        __riscv_vse32_v_f32m4(y + i, v, vl);
    }
}

/* == cq_expf, its operations in their order. Where cq_expf says infinity or 0, the product below is that already, for
   every float up to the bounds to which x is clamped; so only NaN is put back. */
CQ__INLINE vfloat32m4_t cq__exp_rvv(vfloat32m4_t x0, size_t vl) {
    const vfloat32m4_t x = __riscv_vfmin_vf_f32m4(__riscv_vfmax_vf_f32m4(x0, -104.0f, vl), 89.0f, vl);
    const vfloat32m4_t t = __riscv_vfadd_vf_f32m4(__riscv_vfmul_vf_f32m4(x, CQ__LOG2E, vl), CQ__ROUND, vl);
    const vfloat32m4_t n = __riscv_vfsub_vf_f32m4(t, CQ__ROUND, vl);
    vfloat32m4_t r = __riscv_vfsub_vv_f32m4(x, __riscv_vfmul_vf_f32m4(n, CQ__LN2_HI, vl), vl), p, y;
    r = __riscv_vfsub_vv_f32m4(r, __riscv_vfmul_vf_f32m4(n, CQ__LN2_LO, vl), vl);
    p = __riscv_vfadd_vf_f32m4(__riscv_vfmul_vf_f32m4(r, 0.00139517174f, vl), 0.00836959854f, vl);
    p = __riscv_vfadd_vf_f32m4(__riscv_vfmul_vv_f32m4(p, r, vl), 0.0416661873f, vl);
    p = __riscv_vfadd_vf_f32m4(__riscv_vfmul_vv_f32m4(p, r, vl), 0.166665122f, vl);
    p = __riscv_vfadd_vf_f32m4(__riscv_vfmul_vv_f32m4(p, r, vl), 0.5f, vl);
    p = __riscv_vfmul_vv_f32m4(__riscv_vfmul_vv_f32m4(r, r, vl), p, vl);
    y = __riscv_vfadd_vf_f32m4(__riscv_vfadd_vv_f32m4(p, r, vl), 1.0f, vl);
    vint32m4_t k = __riscv_vsub_vx_i32m4(__riscv_vreinterpret_v_f32m4_i32m4(t), (int32_t)cq__bits(CQ__ROUND), vl);
    const vint32m4_t h = __riscv_vsra_vx_i32m4(k, 1, vl); /* floor(k / 2) */
    k = __riscv_vsub_vv_i32m4(k, h, vl);
    const vint32m4_t f = __riscv_vsll_vx_i32m4(__riscv_vadd_vx_i32m4(h, 127, vl), 23, vl);
    const vint32m4_t g = __riscv_vsll_vx_i32m4(__riscv_vadd_vx_i32m4(k, 127, vl), 23, vl);
    y = __riscv_vfmul_vv_f32m4(y, __riscv_vreinterpret_v_i32m4_f32m4(f), vl);
    y = __riscv_vfmul_vv_f32m4(y, __riscv_vreinterpret_v_i32m4_f32m4(g), vl);
    return __riscv_vmerge_vvm_f32m4(y, x0, __riscv_vmfne_vv_f32m4_b8(x0, x0, vl), vl);
}
static void cq__exp_minus_rvv(float *x, float m, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        vfloat32m4_t v = __riscv_vfsub_vf_f32m4(__riscv_vle32_v_f32m4(x + i, vl), m, vl);
        __riscv_vse32_v_f32m4(x + i, cq__exp_rvv(v, vl), vl);
    }
}
static void cq__silu_mul_rvv(float *g, const float *u, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m4(n - i);
        const vfloat32m4_t v = __riscv_vle32_v_f32m4(g + i, vl);
        vfloat32m4_t e = __riscv_vfadd_vf_f32m4(cq__exp_rvv(__riscv_vfneg_v_f32m4(v, vl), vl), 1.0f, vl);
        e = __riscv_vfmul_vv_f32m4(__riscv_vfdiv_vv_f32m4(v, e, vl), __riscv_vle32_v_f32m4(u + i, vl), vl);
        __riscv_vse32_v_f32m4(g + i, e, vl);
    }
}

static const cq__kernels cq__kernels_rvv = {
    "rvv", cq__tile_f32_rvv, cq__fma_f32_rvv, cq__eliminate_rvv,
    cq__round16_c, cq__cost16_c,      cq__decide16_c,
    cq__descend16_c,  cq__unpack_rvv,   cq__panels_q8_rvv, cq__quantize_rvv, cq__dot_rvv,    cq__dots_rvv,
    cq__mix_rvv,      cq__from_f16_rvv, cq__from_int8_rvv, cq__dots_q8_rvv, cq__turn_rvv,   cq__sum_rvv,
    cq__max_rvv,      cq__axpy_rvv,     cq__scale_rvv,    cq__exp_minus_rvv, cq__silu_mul_rvv, NULL};
#endif /* CQ__RVV */

/* ###################################################################################################################
   [WASM]  WebAssembly with simd128, chosen at compile time (-msimd128); the floats are those of [V4]
   Lanes        a vector is 16 bytes of a step: 4 rows x 4 columns. As int16 lanes they are pairs of columns; the low
                bytes of the lanes (columns 0 and 2 of a row) and the high ones (1 and 3) become a vector each.
   Heart        i32x4.dot_i16x8_s: int32 lane r += w0 x0 + w2 x2, then w1 x1 + w3 x3. A lane owns a row, nothing is to
                be added across lanes in the end; |w x| <= 128 * 127, so no sum of a group (65536 columns) overflows.
   Activations  load32_splat puts the four of a step into every lane, and they are taken apart in the same way.
   Speed        is bounded by a dot and an addition for 8 MAC. Two columns share what was unpacked: eight accumulators,
                as many as engines keep beside the rest in the 16 registers of x86.

   With -mrelaxed-simd, i32x4.relaxed_dot_i8x16_i7x16_add_s does 16 MAC at once. Its second operand is a code below 128
   and no pair of products passes 2 * 15 * 127: then every engine must give the one exact result.
   ################################################################################################################## */
#if CQ__WASM
/* What a vector of weights holds: numbers, or two codes of four bits of which the low or the high ones are wanted, as
   they are or as what e2m1 makes of them, in halves. */
enum { CQ__NUMBERS_WASM, CQ__LOW_WASM, CQ__HIGH_WASM, CQ__LOW_E2M1_WASM, CQ__HIGH_E2M1_WASM };
CQ__INLINE v128_t cq__weights_wasm(const unsigned char *p, int kind) {
    const v128_t e2m1 = wasm_i8x16_const(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    v128_t v = wasm_v128_load(p);
    if (kind == CQ__NUMBERS_WASM) return v;
    if (kind == CQ__HIGH_WASM || kind == CQ__HIGH_E2M1_WASM) v = wasm_u16x8_shr(v, 4);
    v = wasm_v128_and(v, wasm_i8x16_const_splat(15));
    return kind >= CQ__LOW_E2M1_WASM ? wasm_i8x16_swizzle(e2m1, v) : v;
}
#define CQ__EVEN_WASM(v) wasm_i16x8_shr(wasm_i16x8_shl(v, 8), 8)
#define CQ__ODD_WASM(v) wasm_i16x8_shr(v, 8)
#define CQ__DOT_WASM(d, w, x) d = wasm_i32x4_add(d, wasm_i32x4_dot_i16x8(w, x))

/* Four rows of a step at p: their sums a by the activations x and, of the other column, b by y. */
CQ__INLINE void cq__rows_wasm(v128_t *a, v128_t *b, const unsigned char *p, v128_t x, v128_t y, int kind, bool negative,
                              unsigned columns) {
    const v128_t v = cq__weights_wasm(p, kind);
#ifdef __wasm_relaxed_simd__
    if (!negative) {
        *a = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, v, *a);
        if (columns > 1) *b = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(y, v, *b);
        return;
    }
#endif
    const v128_t w0 = negative ? CQ__EVEN_WASM(v) : wasm_v128_and(v, wasm_i16x8_const_splat(255));
    const v128_t w1 = negative ? CQ__ODD_WASM(v) : wasm_u16x8_shr(v, 8);
    CQ__DOT_WASM(*a, w0, CQ__EVEN_WASM(x));
    CQ__DOT_WASM(*a, w1, CQ__ODD_WASM(x));
    if (columns > 1) {
        CQ__DOT_WASM(*b, w0, CQ__EVEN_WASM(y));
        CQ__DOT_WASM(*b, w1, CQ__ODD_WASM(y));
    }
}
/* t (columns, 16) += the weights of `steps` steps times 1 or 2 columns of activations. Always inline and with constants
   for `kind`, `negative` (there may be such weights) and `columns`, so that what is for others vanishes. */
CQ__INLINE void cq__steps_wasm(int32_t *t, const unsigned char *p, const int8_t *q, size_t ldq, size_t steps, int kind,
                               bool negative, unsigned columns) {
    int32_t *u = columns > 1 ? t + CQ__ROWS : t;
    const int8_t *r = columns > 1 ? q + ldq : q;
    v128_t a0 = wasm_v128_load(t), a1 = wasm_v128_load(t + 4), a2 = wasm_v128_load(t + 8), a3 = wasm_v128_load(t + 12);
    v128_t b0 = wasm_v128_load(u), b1 = wasm_v128_load(u + 4), b2 = wasm_v128_load(u + 8), b3 = wasm_v128_load(u + 12);
    for (size_t s = 0; s < steps; s++, p += 64, q += 4, r += 4) {
        const v128_t x = wasm_v128_load32_splat(q), y = wasm_v128_load32_splat(r);
        cq__rows_wasm(&a0, &b0, p, x, y, kind, negative, columns);
        cq__rows_wasm(&a1, &b1, p + 16, x, y, kind, negative, columns);
        cq__rows_wasm(&a2, &b2, p + 32, x, y, kind, negative, columns);
        cq__rows_wasm(&a3, &b3, p + 48, x, y, kind, negative, columns);
    }
    wasm_v128_store(t, a0);
    wasm_v128_store(t + 4, a1);
    wasm_v128_store(t + 8, a2);
    wasm_v128_store(t + 12, a3);
    if (columns == 1) return;
    wasm_v128_store(u, b0);
    wasm_v128_store(u + 4, b1);
    wasm_v128_store(u + 8, b2);
    wasm_v128_store(u + 12, b3);
}
/* t (n, 16) += a block (16 rows x 32 columns) times n columns of activations: int4, e2m1; bytes below 128; bytes */
static void cq__int4_wasm(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t n) {
    for (; n >= 2; n -= 2, t += 2 * CQ__ROWS, q += 2 * ldq) {
        cq__steps_wasm(t, w, q, ldq, 4, CQ__LOW_WASM, false, 2);
        cq__steps_wasm(t, w, q + 16, ldq, 4, CQ__HIGH_WASM, false, 2);
    }
    if (!n) return;
    cq__steps_wasm(t, w, q, ldq, 4, CQ__LOW_WASM, false, 1);
    cq__steps_wasm(t, w, q + 16, ldq, 4, CQ__HIGH_WASM, false, 1);
}
static void cq__e2m1_wasm(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t n) {
    for (; n >= 2; n -= 2, t += 2 * CQ__ROWS, q += 2 * ldq) {
        cq__steps_wasm(t, w, q, ldq, 4, CQ__LOW_E2M1_WASM, true, 2);
        cq__steps_wasm(t, w, q + 16, ldq, 4, CQ__HIGH_E2M1_WASM, true, 2);
    }
    if (!n) return;
    cq__steps_wasm(t, w, q, ldq, 4, CQ__LOW_E2M1_WASM, true, 1);
    cq__steps_wasm(t, w, q + 16, ldq, 4, CQ__HIGH_E2M1_WASM, true, 1);
}
static void cq__codes_wasm(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t n) {
    for (; n >= 2; n -= 2, t += 2 * CQ__ROWS, q += 2 * ldq)
        cq__steps_wasm(t, w, q, ldq, 8, CQ__NUMBERS_WASM, false, 2);
    if (n) cq__steps_wasm(t, w, q, ldq, 8, CQ__NUMBERS_WASM, false, 1);
}
static void cq__bytes_wasm(int32_t *t, const unsigned char *w, const int8_t *q, size_t ldq, size_t n) {
    for (; n >= 2; n -= 2, t += 2 * CQ__ROWS, q += 2 * ldq)
        cq__steps_wasm(t, w, q, ldq, 8, CQ__NUMBERS_WASM, true, 2);
    if (n) cq__steps_wasm(t, w, q, ldq, 8, CQ__NUMBERS_WASM, true, 1);
}

/* 2- and 3-bit codes of a block to one byte each, [8 steps][64]. Lanes of 16 bits are shifted, for engines have no
   shift of bytes on x86; the masks take off what came from next door. */
static void cq__spread_wasm(unsigned char *out, const unsigned char *w, bool three) {
    for (uint32_t s = 0; s < 8; s++)
        for (size_t i = 0; i < 64; i += 16) {
            v128_t v = wasm_u16x8_shr(wasm_v128_load(w + (s & 1) * 64 + i), s & 6);
            v = wasm_v128_and(v, wasm_i8x16_const_splat(3));
            if (three) {
                v128_t top = wasm_u16x8_shr(wasm_v128_load(w + 128 + i), s);
                top = wasm_i16x8_shl(wasm_v128_and(top, wasm_i8x16_const_splat(1)), 2);
                v = wasm_v128_or(v, top);
            }
            wasm_v128_store(out + s * 64 + i, v);
        }
}
/* Six bits of a block to bytes in the same way, in units of 2^-q8_bits: bit 4 says which of two tables the low four
   choose from, bit 5 is the sign. e3m2 reaches 448 = 16 * 28: h and l of 16 h + l, which have its sign. */
enum { CQ__E2M3_WASM, CQ__E3M2_H_WASM, CQ__E3M2_L_WASM };
static const int8_t cq__six_wasm[3][2][16] = {
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
     {16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60}},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, {2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 0, 4, 8, 12}, {0, 8, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}};
static void cq__six_bytes_wasm(unsigned char *out, const unsigned char *w, size_t table) {
    const v128_t low = wasm_v128_load(cq__six_wasm[table][0]), high = wasm_v128_load(cq__six_wasm[table][1]);
    const v128_t one = wasm_i8x16_const_splat(1), two = wasm_i8x16_const_splat(2);
    for (uint32_t s = 0; s < 8; s++)
        for (size_t i = 0; i < 64; i += 16) {
            const v128_t top = wasm_u16x8_shr(wasm_v128_load(w + 256 + (s & 1) * 64 + i), s & 6);
            const v128_t second = wasm_i8x16_eq(wasm_v128_and(top, one), one);
            const v128_t sign = wasm_i8x16_eq(wasm_v128_and(top, two), two);
            v128_t v = wasm_u16x8_shr(wasm_v128_load(w + (s & 3) * 64 + i), s & 4);
            v = wasm_v128_and(v, wasm_i8x16_const_splat(15));
            v = wasm_v128_bitselect(wasm_i8x16_swizzle(high, v), wasm_i8x16_swizzle(low, v), second);
            wasm_v128_store(out + s * 64 + i, wasm_i8x16_sub(wasm_v128_xor(v, sign), sign));
        }
}

/* == cq__panel_q8_c */
#define CQ__COLUMNS_WASM 16u /* that share what was unpacked */
static void cq__panel_q8_wasm(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n) {
    const size_t ldq = a->stride, ld_sum = a->ld_sum, ld_scale = cq__acts_groups(a);
    const int8_t *q = a->q + first * ldq;
    const int32_t *sum = a->sum + first;
    const float *scale = a->scale + first * ld_scale, unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits);
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *blocks = p + cq__panel_head(t);
    const size_t groups = cq_tensor_groups(t), per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    const size_t block_bytes = cq__block_bytes(t->format);
    CQ__ALIGNED float scales[CQ__ROWS];
    CQ__ALIGNED int32_t zeros[CQ__ROWS];
    CQ__ALIGNED int32_t acc[CQ__COLUMNS_WASM * CQ__ROWS];
    CQ__ALIGNED unsigned char bytes[CQ__BLOCK * CQ__ROWS];
    if (t->group_size % CQ__BLOCK) { /* halves of blocks */
        cq__panel_q8_c(out, t, panel, a, first, n);
        return;
    }
    for (size_t m; n; n -= m, q += m * ldq, sum += m, scale += m * ld_scale, out += m * CQ__ROWS) {
        m = cq__min(CQ__COLUMNS_WASM, n);
        for (size_t i = 0; i < m * CQ__ROWS; i++) out[i] = 0.0f;
        for (size_t g = 0; g < groups; g++) {
            const size_t last = cq__min((g + 1) * per, count);
            for (size_t i = 0; i < m * CQ__ROWS; i++) acc[i] = 0;
            for (size_t b = g * per; b < last; b++) {
                const unsigned char *w = blocks + b * block_bytes;
                const int8_t *x = q + b * CQ__BLOCK;
                switch (t->format) {
                case CQ_INT4: cq__int4_wasm(acc, w, x, ldq, m); break;
                case CQ_INT8: cq__bytes_wasm(acc, w, x, ldq, m); break;
                case CQ_INT3:
                case CQ_INT2:
                    cq__spread_wasm(bytes, w, t->format == CQ_INT3);
                    cq__codes_wasm(acc, bytes, x, ldq, m);
                    break;
                case CQ_MXFP4: cq__e2m1_wasm(acc, w, x, ldq, m); break;
                case CQ_MXFP6_E2M3:
                    cq__six_bytes_wasm(bytes, w, CQ__E2M3_WASM);
                    cq__bytes_wasm(acc, bytes, x, ldq, m);
                    break;
                default: /* e3m2; a group is one block, so the sums begin with h */
                    cq__six_bytes_wasm(bytes, w, CQ__E3M2_H_WASM);
                    cq__bytes_wasm(acc, bytes, x, ldq, m);
                    for (size_t i = 0; i < m * CQ__ROWS; i++) acc[i] *= 16;
                    cq__six_bytes_wasm(bytes, w, CQ__E3M2_L_WASM);
                    cq__bytes_wasm(acc, bytes, x, ldq, m);
                }
            }
            cq__grids_v4(scales, zeros, t, p, g);
            for (size_t i = 0; i < CQ__ROWS; i++) {
                scales[i] = scales[i] * unit;
                if (t->format == CQ_INT8) zeros[i] -= 128; /* its bytes are two's complement */
            }
            for (size_t j = 0; j < m; j++) {
                int32_t total = 0;
                for (size_t b = g * per; b < last; b++) total += sum[b * ld_sum + j];
                cq__add_group_v4(out + j * CQ__ROWS, acc + j * CQ__ROWS, zeros, scales, total,
                                 a->group_size ? scale[j * ld_scale + g] : 1.0f);
            }
        }
        for (size_t j = 0; j < m && !a->group_size; j++)
            for (size_t i = 0; i < CQ__ROWS; i++) out[j * CQ__ROWS + i] = out[j * CQ__ROWS + i] * scale[j];
    }
}
static void cq__panels_q8_wasm(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                               size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_wasm(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

/* == cq__dots_q8_c: two keys at a time */
CQ__INLINE int32_t cq__sum4_wasm(v128_t v) {
    return (wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1)) +
           (wasm_i32x4_extract_lane(v, 2) + wasm_i32x4_extract_lane(v, 3));
}
static void cq__dots_q8_wasm(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                             const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i += 2) {
        const int8_t *k0 = k + i * ldk, *k1 = i + 1 < count ? k0 + ldk : k0;
        v128_t a = wasm_i32x4_const_splat(0), b = a;
        size_t d = 0;
        for (; d + 16 <= n; d += 16) {
            const v128_t x = wasm_v128_load(q + d), y = wasm_v128_load(k0 + d), z = wasm_v128_load(k1 + d);
            const v128_t x0 = wasm_i16x8_extend_low_i8x16(x), x1 = wasm_i16x8_extend_high_i8x16(x);
            CQ__DOT_WASM(a, x0, wasm_i16x8_extend_low_i8x16(y));
            CQ__DOT_WASM(b, x0, wasm_i16x8_extend_low_i8x16(z));
            CQ__DOT_WASM(a, x1, wasm_i16x8_extend_high_i8x16(y));
            CQ__DOT_WASM(b, x1, wasm_i16x8_extend_high_i8x16(z));
        }
        int32_t s0 = cq__sum4_wasm(a), s1 = cq__sum4_wasm(b);
        for (; d < n; d++) {
            s0 += (int32_t)q[d] * k0[d];
            s1 += (int32_t)q[d] * k1[d];
        }
        out[i] = (float)s0 * (scale_q * scale[i]);
        if (i + 1 < count) out[i + 1] = (float)s1 * (scale_q * scale[i + 1]);
    }
}

static const cq__kernels cq__kernels_wasm = {
    "wasm", cq__tile_f32_v4, CQ__KERNELS_FMA_V4,
    cq__round16_v4,   CQ__COST16_V4, cq__decide16_v4,
    cq__descend16_v4, cq__unpack_v4,   cq__panels_q8_wasm, cq__quantize_v4,  cq__dot_v4,       cq__dots_v4,
    cq__mix_v4,       cq__from_f16_v4, cq__from_int8_v4,  cq__dots_q8_wasm, cq__turn_v4,      cq__sum_v4,
    cq__max_v4,       cq__axpy_v4,     cq__scale_v4,      cq__exp_minus_v4, cq__silu_mul_v4, NULL};
#endif /* CQ__WASM */

/* ###################################################################################################################
   [CORTEX-M]  what the compiler's flags promise (-mcpu=cortex-m4, -m7, -m33: tier dsp; -m55, -m85: mve and dsp)

   These cores have few registers and issue one instruction at a time: what counts is how many there are, and the tests
   count them (make firmware). Row r of a panel is the 32-bit word at byte 4 r of each step of 64 bytes:

   dsp   One word of int4 is 4 columns of step s in the low nibbles and 4 of step s + 4 in the high ones.
             v & 000f000f        bytes 0 and 2, low nibbles     columns 0, 2 of step s
             v >> 4 & 000f000f   bytes 0 and 2, high nibbles    columns 0, 2 of step s + 4
             v >> 8 & 000f000f   bytes 1 and 3, low nibbles     columns 1, 3 of step s
             v >> 12 & 000f000f  bytes 1 and 3, high nibbles    columns 1, 3 of step s + 4
         The barrel shifter makes each of these one instruction, and smlad multiplies the two halves by two activations
         and adds both products to a 32-bit sum. Activations are widened to such pairs once (sxtb16, and sxtb16 of the
         word rotated by 8) for four rows. So 8 multiplications are 1 load + 4 and + 4 smlad + 6 / 4 for the
         activations: 1.3 instructions each, and four rows' sums, four pairs, mask, pointers fill the 14 registers.
   mve   The words of one row in four steps, one in every 64 bytes, are one gathering load: 16 bytes whose low nibbles
         are 16 neighbouring columns and whose high nibbles are the next 16. vmladava multiplies them by 16 activations
         and adds all products to a 32-bit sum in a general register. 32 multiplications of a row are load, and, shift,
         vmladava, vmladava: 5 instructions, and two loads of activations shared by eight rows: 0.17 each.

   Sums cannot overflow: cq_tensor_init bounds a group so that its sum fits into 32 bits, and whatever order it is
   taken in, arithmetic modulo 2^32 ends at the same number. (smlad sets the flag Q if it wraps; nobody reads it.)

   What is read: dsp reads words at any address. A gathering load traps at a word that is not aligned to 4; panels are,
   or dsp takes over.

   Helium's float vectors take denormal numbers for zero, plain C does not. So they are used only where none can be
   met: with integer codes and a scale a row of activations, a group adds (float)i * s, i an integer and s an fp16 number,
   a multiple of 2^-24. Every such product, and every sum of them, before and after rounding, is a multiple of 2^-24:
   zero, or far above 2^-126. Activations' scales may be any float, and so may microscaling's: these products, and all
   other kernels on floats, are done one by one. */
#if CQ__DSP
#define CQ__APART __attribute__((noinline)) static /* hot loops: the compiler then has all registers for them */
typedef struct __attribute__((packed, may_alias)) cq__word32 { /* at any address: Armv7-M and later read it in one go */
    uint32_t u;
} cq__word32;
#define CQ__WORD(p) (((const cq__word32 *)(const void *)(p))->u)

#define CQ__IN_ORDER() __asm__ volatile("" : : : "memory") /* no load moves up: there is one register for them */

CQ__INLINE uint32_t cq__sxtb16(uint32_t x) { /* bytes 0 and 2, signed, to halves */
    uint32_t d;
    __asm__("sxtb16 %0, %1" : "=r"(d) : "r"(x));
    return d;
}
CQ__INLINE uint32_t cq__sxtb16_odd(uint32_t x) { /* bytes 1 and 3 */
    uint32_t d;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(d) : "r"(x));
    return d;
}
CQ__INLINE int32_t cq__smlad(uint32_t x, uint32_t y, int32_t sum) {
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(x), "r"(y));
    return sum;
}

/* A row's word of a step: eight nibbles (l: activations of the low ones, h: of the high), four bytes, or four codes of 2
   or 3 bits. */
CQ__INLINE int32_t cq__int4_row_dsp(int32_t d, const unsigned char *p, uint32_t mask, uint32_t l0, uint32_t l1,
                                    uint32_t h0, uint32_t h1) {
    CQ__IN_ORDER();
    const uint32_t v = CQ__WORD(p);
    d = cq__smlad(v & mask, l0, d);
    d = cq__smlad(v >> 4 & mask, h0, d);
    d = cq__smlad(v >> 8 & mask, l1, d);
    return cq__smlad(v >> 12 & mask, h1, d);
}
CQ__INLINE int32_t cq__byte_row_dsp(int32_t d, const unsigned char *p, uint32_t x0, uint32_t x1) {
    const uint32_t v = CQ__WORD(p);
    d = cq__smlad(cq__sxtb16(v), x0, d);
    return cq__smlad(cq__sxtb16_odd(v), x1, d);
}
CQ__INLINE int32_t cq__low_row_dsp(int32_t d, const unsigned char *low, const unsigned char *top, unsigned s,
                                   uint32_t mask, uint32_t one, uint32_t x0, uint32_t x1, bool three) {
    CQ__IN_ORDER();
    uint32_t v = CQ__WORD(low) >> (s & 6), c0 = v & mask, c1 = v >> 8 & mask;
    if (three) {
        v = CQ__WORD(top) >> s;
        c0 |= (v & one) << 2;
        c1 |= (v >> 8 & one) << 2;
    }
    d = cq__smlad(c0, x0, d);
    return cq__smlad(c1, x1, d);
}

/* dot[r] += sum of code * activation over `blocks` blocks of int4, for 16 rows */
CQ__APART void cq__int4_blocks_dsp(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    uint32_t mask = 0x000f000f;
    __asm__("" : "+r"(mask)); /* in a register: only so is "and" with a shifted operand one instruction */
    for (size_t quad = 0; quad < 4; quad++, w += 16, dot += 4) {
        const unsigned char *p = w;
        const int8_t *x = q, *end = q + blocks * CQ__BLOCK;
        int32_t d0 = dot[0], d1 = dot[1], d2 = dot[2], d3 = dot[3];
        for (; x < end; x += 16)
            for (const int8_t *half = x + 16; x < half; x += 4, p += 64) {
                uint32_t low = CQ__WORD(x), high = CQ__WORD(x + 16);
                uint32_t l0 = cq__sxtb16(low), l1 = cq__sxtb16_odd(low);
                uint32_t h0 = cq__sxtb16(high), h1 = cq__sxtb16_odd(high);
                d0 = cq__int4_row_dsp(d0, p, mask, l0, l1, h0, h1);
                d1 = cq__int4_row_dsp(d1, p + 4, mask, l0, l1, h0, h1);
                d2 = cq__int4_row_dsp(d2, p + 8, mask, l0, l1, h0, h1);
                d3 = cq__int4_row_dsp(d3, p + 12, mask, l0, l1, h0, h1);
            }
        dot[0] = d0;
        dot[1] = d1;
        dot[2] = d2;
        dot[3] = d3;
    }
}
/* the same of signed bytes: int8, or what cq__spread_dsp made */
CQ__APART void cq__byte_blocks_dsp(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    for (size_t quad = 0; quad < 4; quad++, w += 16, dot += 4) {
        const unsigned char *p = w;
        int32_t d0 = dot[0], d1 = dot[1], d2 = dot[2], d3 = dot[3];
        for (const int8_t *x = q, *end = q + blocks * CQ__BLOCK; x < end; x += 4, p += 64) {
            uint32_t u = CQ__WORD(x), x0 = cq__sxtb16(u), x1 = cq__sxtb16_odd(u);
            d0 = cq__byte_row_dsp(d0, p, x0, x1);
            d1 = cq__byte_row_dsp(d1, p + 4, x0, x1);
            d2 = cq__byte_row_dsp(d2, p + 8, x0, x1);
            d3 = cq__byte_row_dsp(d3, p + 12, x0, x1);
        }
        dot[0] = d0;
        dot[1] = d1;
        dot[2] = d2;
        dot[3] = d3;
    }
}

/* the same of int2 and int3, the two low bits of four steps in a word, one after the other; in w + 128 the top bits of
   eight steps */
CQ__INLINE void cq__low_blocks_dsp(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks, bool three) {
    uint32_t mask = 0x00030003, one = 0x00010001;
    __asm__("" : "+r"(mask), "+r"(one));
    for (size_t quad = 0; quad < 4; quad++, w += 16, dot += 4) {
        const unsigned char *p = w;
        const int8_t *x = q, *end = q + blocks * CQ__BLOCK;
        int32_t d0 = dot[0], d1 = dot[1], d2 = dot[2], d3 = dot[3];
        for (; x < end; x += 32, p += three ? 192 : 128)
            for (unsigned s = 0; s < 8; s++) {
                uint32_t u = CQ__WORD(x + 4 * s), x0 = cq__sxtb16(u), x1 = cq__sxtb16_odd(u);
                const unsigned char *low = p + (s & 1) * 64;
                d0 = cq__low_row_dsp(d0, low, p + 128, s, mask, one, x0, x1, three);
                d1 = cq__low_row_dsp(d1, low + 4, p + 132, s, mask, one, x0, x1, three);
                d2 = cq__low_row_dsp(d2, low + 8, p + 136, s, mask, one, x0, x1, three);
                d3 = cq__low_row_dsp(d3, low + 12, p + 140, s, mask, one, x0, x1, three);
            }
        dot[0] = d0;
        dot[1] = d1;
        dot[2] = d2;
        dot[3] = d3;
    }
}
CQ__APART void cq__int2_blocks_dsp(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    cq__low_blocks_dsp(dot, w, q, blocks, false);
}
CQ__APART void cq__int3_blocks_dsp(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    cq__low_blocks_dsp(dot, w, q, blocks, true);
}

/* Small floats of a block to one byte each, [8 steps][64], in units of 2^-q8_bits, by a table: e2m1 or e2m3 */
static const int8_t cq__e2m1_bytes[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
static const int8_t cq__e2m3_bytes[64] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,  14,  15,  16,  18,  20,  22,  24,  26,
    28, 30, 32, 36, 40, 44, 48, 52, 56, 60, 0,   -1,  -2,  -3,  -4,  -5,  -6,  -7,  -8,  -9,  -10, -11,
    -12, -13, -14, -15, -16, -18, -20, -22, -24, -26, -28, -30, -32, -36, -40, -44, -48, -52, -56, -60};
CQ__APART void cq__spread_dsp(unsigned char *out, const unsigned char *w, cq_format format) {
    const int8_t *table = format == CQ_MXFP4 ? cq__e2m1_bytes : cq__e2m3_bytes;
    cq__word32 *to = (cq__word32 *)(void *)out;
    for (unsigned s = 0; s < 8; s++)
        for (const unsigned char *p = w, *end = w + 64; p < end; p += 4, to++) {
            uint32_t v = CQ__WORD(p + (s & 3) * 64) >> (s & 4) & 0x0f0f0f0fu;
            if (format != CQ_MXFP4) v |= (CQ__WORD(p + 256 + (s & 1) * 64) >> (s & 6) & 0x03030303u) << 4;
            to->u = (uint32_t)(uint8_t)table[v & 255] | (uint32_t)(uint8_t)table[v >> 8 & 255] << 8 |
                    (uint32_t)(uint8_t)table[v >> 16 & 255] << 16 | (uint32_t)(uint8_t)table[v >> 24] << 24;
        }
}

CQ__INLINE float cq__half_m(const unsigned char *p) {
#if defined(__ARM_FP) /* every FPU of these cores has the instruction; it takes denormal halves for what they are */
    float f = cq__float(cq__u16(p));
    __asm__("vcvtb.f32.f16 %0, %0" : "+t"(f));
    return f;
#else
    return cq_f16_to_f32(cq__u16(p));
#endif
}
/* What the zero points take away from a group's sums, where `total` is the sum of the activations: they begin with it.
   The bytes of int8 are code - 128; small floats have no zero point. */
static void cq__begin_group_m(int32_t *dot, const cq_tensor *t, const unsigned char *panel, size_t g, int32_t total) {
    const unsigned char *zeros = panel + cq__zeros_at(t) + g * CQ__ROWS;
    int32_t offset = t->format == CQ_INT8 ? 128 : 0, d = (offset - cq__middle(t->format)) * total;
    for (size_t r = 0; r < CQ__ROWS; r++) dot[r] = d;
    for (size_t r = 0; r < CQ__ROWS && t->asym; r++) dot[r] = (offset - zeros[r]) * total;
}
/* A group's sums to floats, times its scales, added to out. act: the scale of the activations, or 1 */
CQ__APART void cq__end_group_m(float *out, const int32_t *dot, const cq_tensor *t, const unsigned char *panel, size_t g,
                               float act) {
    const unsigned char *scale = panel + cq__scale_bytes(t) * g * CQ__ROWS;
    if (cq_format_is_int(t->format)) {
        for (size_t r = 0; r < CQ__ROWS; r++)
            out[r] = out[r] + (float)dot[r] * (cq__half_m(scale + 2 * r) * act);
        return;
    }
    float unit = cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits);
    for (size_t r = 0; r < CQ__ROWS; r++)
        out[r] = out[r] + (float)dot[r] * (cq_e8m0_to_f32(scale[r]) * unit * act);
}

typedef void (*cq__blocks_m)(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks);
/* == cq__panel_q8_c, with the sums of either machine: of the format as it is packed (direct) or, where that is NULL,
   of the signed bytes that `spread` makes of a block */
static void cq__panel_q8_m(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n,
                           cq__blocks_m direct, cq__blocks_m bytes,
                           void (*spread)(unsigned char *, const unsigned char *, cq_format)) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *w = p + cq__panel_head(t);
    const size_t ldq = a->stride, per = t->group_size / CQ__BLOCK, block = cq__block_bytes(t->format);
    const size_t lds = cq__acts_groups(a), groups = cq_tensor_groups(t), all = cq__blocks(t);
    unsigned char codes[CQ__BLOCK * CQ__ROWS];
    int32_t dot[4 * CQ__ROWS];
    if (t->group_size % CQ__BLOCK || t->format == CQ_MXFP6_E3M2) { /* halves of blocks; numbers beyond a byte */
        cq__panel_q8_c(out, t, panel, a, first, n);
        return;
    }
    for (size_t end = first + n; first < end; first += 4, out += 4 * CQ__ROWS) {
        size_t m = cq__min(4, end - first); /* columns that share what is spread */
        for (size_t i = 0; i < m * CQ__ROWS; i++) out[i] = 0.0f;
        for (size_t g = 0; g < groups; g++) {
            size_t b0 = g * per, blocks = cq__min(per, all - b0);
            const int8_t *q = a->q + first * ldq + b0 * CQ__BLOCK;
            for (size_t j = 0; j < m; j++) {
                const int32_t *sum = a->sum + b0 * a->ld_sum + first + j;
                int32_t total = 0;
                for (size_t b = 0; b < blocks; b++, sum += a->ld_sum) total += *sum;
                cq__begin_group_m(dot + j * CQ__ROWS, t, p, g, total);
            }
            for (size_t j = 0; j < m && direct; j++) direct(dot + j * CQ__ROWS, w + b0 * block, q + j * ldq, blocks);
            for (size_t b = 0; b < blocks && !direct; b++, q += CQ__BLOCK) {
                spread(codes, w + (b0 + b) * block, t->format);
                for (size_t j = 0; j < m; j++) bytes(dot + j * CQ__ROWS, codes, q + j * ldq, 1);
            }
            for (size_t j = 0; j < m; j++)
                cq__end_group_m(out + j * CQ__ROWS, dot + j * CQ__ROWS, t, p, g,
                                a->group_size ? a->scale[(first + j) * lds + g] : 1.0f);
        }
        for (size_t j = 0; j < m && !a->group_size; j++)
            for (size_t r = 0; r < CQ__ROWS; r++)
                out[j * CQ__ROWS + r] = out[j * CQ__ROWS + r] * a->scale[first + j];
    }
}
static void cq__panel_q8_dsp(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n) {
    cq__blocks_m direct = t->format == CQ_INT8   ? cq__byte_blocks_dsp
                          : t->format == CQ_INT4 ? cq__int4_blocks_dsp
                          : t->format == CQ_INT3 ? cq__int3_blocks_dsp
                          : t->format == CQ_INT2 ? cq__int2_blocks_dsp
                                                 : NULL;
    cq__panel_q8_m(out, t, panel, a, first, n, direct, cq__byte_blocks_dsp, cq__spread_dsp);
}

static void cq__panels_q8_dsp(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                              size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_dsp(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

/* == cq__dots_q8_c: two keys share the widened query */
static void cq__dots_q8_dsp(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                            const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i += 2, k += 2 * ldk) {
        const int8_t *k1 = i + 1 < count ? k + ldk : k;
        int32_t d0 = 0, d1 = 0;
        size_t d = 0;
        for (; d + 4 <= n; d += 4) {
            uint32_t u = CQ__WORD(q + d), x0 = cq__sxtb16(u), x1 = cq__sxtb16_odd(u), v = CQ__WORD(k + d);
            d0 = cq__smlad(cq__sxtb16(v), x0, d0);
            d0 = cq__smlad(cq__sxtb16_odd(v), x1, d0);
            v = CQ__WORD(k1 + d);
            d1 = cq__smlad(cq__sxtb16(v), x0, d1);
            d1 = cq__smlad(cq__sxtb16_odd(v), x1, d1);
        }
        for (; d < n; d++) {
            d0 += (int32_t)q[d] * k[d];
            d1 += (int32_t)q[d] * k1[d];
        }
        out[i] = (float)d0 * (scale_q * scale[i]);
        if (i + 1 < count) out[i + 1] = (float)d1 * (scale_q * scale[i + 1]);
    }
}

static const cq__kernels cq__kernels_dsp = {
    "dsp", cq__tile_f32_c, cq__fma_f32_c, cq__eliminate_c,
    cq__round16_c, cq__cost16_c, cq__decide16_c, cq__descend16_c,
    cq__unpack_c,   cq__panels_q8_dsp, cq__quantize_c, cq__dot_c,     cq__dots_c,   cq__mix_c,      cq__from_f16_c,
    cq__from_int8_c, cq__dots_q8_dsp,  cq__turn_c,     cq__sum_c,     cq__max_c,    cq__axpy_c,     cq__scale_c,
    cq__exp_minus_c, cq__silu_mul_c, NULL};
#endif /* CQ__DSP */

#if CQ__MVE
#ifdef __clang__
CQ__HELIUM_AGAIN
#endif
/* The heart: eight rows. Sums need an even general register each, so that they take r0, r2 ... lr, and all else the odd
   ones. It is written down as it shall run: compilers turn the intrinsic of a gathering load that also moves its
   addresses into two loads and copies. d, e: the sums of rows 0..3 and 4..7 before and after, and vectors of codes in
   between. at: where the words of row 0 are in four steps, less the 256 which the first load adds. */
#define CQ__EVEN_IN                                                                                                    \
    "vmov r0, r4, %q[d][2], %q[d][0]\n\tvmov r2, r6, %q[d][3], %q[d][1]\n\t"                                           \
    "vmov r8, r12, %q[e][2], %q[e][0]\n\tvmov r10, lr, %q[e][3], %q[e][1]\n"
#define CQ__EVEN_OUT                                                                                                   \
    "vmov %q[d][2], %q[d][0], r0, r4\n\tvmov %q[d][3], %q[d][1], r2, r6\n\t"                                           \
    "vmov %q[e][2], %q[e][0], r8, r12\n\tvmov %q[e][3], %q[e][1], r10, lr"
#define CQ__EVEN "r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr"
/* d, e += sum of code * activation over `blocks` > 0 blocks of int4 */
CQ__INLINE void cq__int4_rows8_mve(int32x4_t *d, int32x4_t *e, uint32x4_t *at, const int8_t **x, uint8x16_t mask,
                                   size_t blocks) {
    register uint8x16_t t __asm__("q0"); /* which the next step needs: so no sum is put there */
    uint8x16_t low, high;
#define CQ__PAIR(row0, sum0, row1, sum1) /* low nibbles: columns 0..15, high nibbles: 16..31 */                        \
    "vldrw.u32 %q[d], [%q[at], " row0 "\n\t"                                                                           \
    "vldrw.u32 %q[e], [%q[at], " row1 "\n\t"                                                                           \
    "vand %q[t], %q[d], %q[mask]\n\t"                                                                                  \
    "vmladava.s8 " sum0 ", %q[t], %q[low]\n\t"                                                                         \
    "vand %q[t], %q[e], %q[mask]\n\t"                                                                                  \
    "vmladava.s8 " sum1 ", %q[t], %q[low]\n\t"                                                                         \
    "vshr.u8 %q[d], %q[d], #4\n\t"                                                                                     \
    "vmladava.s8 " sum0 ", %q[d], %q[high]\n\t"                                                                        \
    "vshr.u8 %q[e], %q[e], #4\n\t"                                                                                     \
    "vmladava.s8 " sum1 ", %q[e], %q[high]\n\t"
    __asm__(CQ__EVEN_IN
            "1:\n\t"
            "vldrb.u8 %q[low], [%[x]], #16\n\t"
            "vldrb.u8 %q[high], [%[x]], #16\n\t" /**/
            CQ__PAIR("#256]!", "r0", "#4]", "r2") CQ__PAIR("#8]", "r4", "#12]", "r6")
            CQ__PAIR("#16]", "r8", "#20]", "r10") CQ__PAIR("#24]", "r12", "#28]", "lr")
            "subs %[n], %[n], #1\n\t"
            "bne 1b\n\t" CQ__EVEN_OUT
            : [d] "+w"(*d), [e] "+w"(*e), [at] "+w"(*at), [x] "+r"(*x), [n] "+r"(blocks), [low] "=&w"(low),
              [high] "=&w"(high), [t] "=&w"(t)
            : [mask] "w"(mask)
            : CQ__EVEN, "cc", "memory");
#undef CQ__PAIR
}
/* the same of signed bytes; they lie in two halves of 256 bytes a block */
CQ__INLINE void cq__byte_rows8_mve(int32x4_t *d, int32x4_t *e, uint32x4_t *at, const int8_t **x, size_t blocks) {
    register uint8x16_t q __asm__("q0");
    size_t halves = 2 * blocks;
#define CQ__PAIR(row0, sum0, row1, sum1)                                                                               \
    "vldrw.u32 %q[d], [%q[at], " row0 "\n\t"                                                                           \
    "vldrw.u32 %q[e], [%q[at], " row1 "\n\t"                                                                           \
    "vmladava.s8 " sum0 ", %q[d], %q[q]\n\t"                                                                           \
    "vmladava.s8 " sum1 ", %q[e], %q[q]\n\t"
    __asm__(CQ__EVEN_IN
            "1:\n\t"
            "vldrb.u8 %q[q], [%[x]], #16\n\t" /**/
            CQ__PAIR("#256]!", "r0", "#4]", "r2") CQ__PAIR("#8]", "r4", "#12]", "r6")
            CQ__PAIR("#16]", "r8", "#20]", "r10") CQ__PAIR("#24]", "r12", "#28]", "lr")
            "subs %[n], %[n], #1\n\t"
            "bne 1b\n\t" CQ__EVEN_OUT
            : [d] "+w"(*d), [e] "+w"(*e), [at] "+w"(*at), [x] "+r"(*x), [n] "+r"(halves), [q] "=&w"(q)
            :
            : CQ__EVEN, "cc", "memory");
#undef CQ__PAIR
}
CQ__INLINE uint32x4_t cq__words_mve(const unsigned char *w) {
    return vaddq_n_u32(vshlq_n_u32(vidupq_n_u32(0, 1), 6), (uint32_t)(uintptr_t)w - 256u);
}
/* dot[r] += sum of code * activation, for 16 rows of int4 */
CQ__APART void cq__int4_blocks_mve(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    uint32x4_t at = cq__words_mve(w);
    for (int32_t *end = dot + CQ__ROWS; dot < end; dot += 8) {
        int32x4_t d = vld1q_s32(dot), e = vld1q_s32(dot + 4);
        const int8_t *x = q;
        cq__int4_rows8_mve(&d, &e, &at, &x, vdupq_n_u8(15), blocks);
        vst1q_s32(dot, d);
        vst1q_s32(dot + 4, e);
        at = vaddq_n_u32(at, 32u - 256u * (uint32_t)blocks);
    }
}
/* the same of signed bytes: int8, or what cq__spread_mve made */
CQ__APART void cq__byte_blocks_mve(int32_t *dot, const unsigned char *w, const int8_t *q, size_t blocks) {
    uint32x4_t at = cq__words_mve(w);
    for (int32_t *end = dot + CQ__ROWS; dot < end; dot += 8) {
        int32x4_t d = vld1q_s32(dot), e = vld1q_s32(dot + 4);
        const int8_t *x = q;
        cq__byte_rows8_mve(&d, &e, &at, &x, blocks);
        vst1q_s32(dot, d);
        vst1q_s32(dot + 4, e);
        at = vaddq_n_u32(at, 32u - 512u * (uint32_t)blocks);
    }
}

/* out += d * scale, of four rows. Scales go through q0: of every other register, binutils 2.40 encodes this vcvtb
   with the wrong ones. */
#define CQ__SCALED(d)                                                                                                  \
    "vldrh.u32 q0, [%[scale]], #8\n\t"                                                                                 \
    "vcvtb.f32.f16 q0, q0\n\t"                                                                                         \
    "vcvt.f32.s32 %q[" d "], %q[" d "]\n\t"                                                                            \
    "vmul.f32 q0, q0, %q[" d "]\n\t"                                                                                   \
    "vldrw.u32 %q[" d "], [%[out]]\n\t"                                                                                \
    "vadd.f32 q0, q0, %q[" d "]\n\t"                                                                                   \
    "vstrw.u32 q0, [%[out]], #16\n\t"
/* out += the group of eight rows; returns where the next eight are. Of q, at and scale too. */
CQ__INLINE float *cq__group8_mve(float *out, const unsigned char **scale, const unsigned char *zeros, uint32x4_t *at,
                                 const int8_t **q, size_t blocks, int32_t total, uint8x16_t mask, bool int4) {
    int32x4_t d = vreinterpretq_s32_u32(vldrbq_u32(zeros)), e = vreinterpretq_s32_u32(vldrbq_u32(zeros + 4));
    if (!int4) { /* its bytes are code - 128 */
        d = vsubq_n_s32(d, 128);
        e = vsubq_n_s32(e, 128);
    }
    d = vmulq_n_s32(d, total);
    e = vmulq_n_s32(e, total);
    if (int4) cq__int4_rows8_mve(&d, &e, at, q, mask, blocks);
    else cq__byte_rows8_mve(&d, &e, at, q, blocks);
    __asm__ volatile(CQ__SCALED("d") CQ__SCALED("e")
                     : [d] "+w"(d), [e] "+w"(e), [out] "+r"(out), [scale] "+l"(*scale)
                     :
                     : "q0", "memory");
    return out;
}
/* The sum of n > 0 numbers, `ld` apart: side by side, as for one row of activations, four at a time, of which a predicate
   takes what there is. (Compilers do not know the predicate's register by name. They have nothing in it here.) */
CQ__INLINE int32_t cq__total_mve(const int32_t **sum, size_t ld, size_t n) {
    int32_t total = 0;
    int32x4_t v;
    if (ld == 1) {
        __asm__("1:\n\t"
                "vctp.32 %[n]\n\t"
                "vpst\n\t"
                "vldrwt.u32 %q[v], [%[sum]], #16\n\t"
                "vaddva.s32 %[total], %q[v]\n\t"
                "subs %[n], %[n], #4\n\t"
                "bhi 1b\n\t"
                "add %[sum], %[sum], %[n], lsl #2" /* n is now what was read too much, less than 0 */
                : [total] "+Te"(total), [n] "+r"(n), [sum] "+r"(*sum), [v] "=&w"(v)
                :
                : "cc", "memory");
        return total;
    }
    for (; n > 0; n--, *sum += ld) total += **sum;
    return total;
}
/* One column of int4 or int8, one panel: in every group eight rows and eight more. Sums begin with what the zero point
   takes away. */
CQ__INLINE void cq__panel1_mve(float *out, const cq_tensor *t, const unsigned char *p, const int8_t *q,
                               const int32_t *sum, size_t ld_sum, bool int4) {
    const size_t per = t->group_size / CQ__BLOCK, next = t->asym ? CQ__ROWS : 0;
    const uint8x16_t mask = vdupq_n_u8(15);
    unsigned char middle[CQ__ROWS]; /* the zeros of a symmetric format, as if they were stored */
    const unsigned char *zeros = t->asym ? p + cq__zeros_at(t) : middle;
    uint32x4_t at = cq__words_mve(p + cq__panel_head(t));
    vst1q_u8(middle, vdupq_n_u8(int4 ? 8 : 128));
    for (size_t left = cq__blocks(t), blocks; left; left -= blocks) {
        uint32x4_t second = vaddq_n_u32(at, 32);
        const int8_t *x = q;
        blocks = cq__min(per, left);
        const int32_t total = -cq__total_mve(&sum, ld_sum, blocks);
        float *o = cq__group8_mve(out, &p, zeros, &at, &x, blocks, total, mask, int4);
        cq__group8_mve(o, &p, zeros + 8, &second, &q, blocks, total, mask, int4);
        zeros += next;
    }
}
CQ__APART void cq__int4_panel1_mve(float *out, const cq_tensor *t, const unsigned char *p, const int8_t *q,
                                   const int32_t *sum, size_t ld_sum) {
    cq__panel1_mve(out, t, p, q, sum, ld_sum, true);
}
CQ__APART void cq__int8_panel1_mve(float *out, const cq_tensor *t, const unsigned char *p, const int8_t *q,
                                   const int32_t *sum, size_t ld_sum) {
    cq__panel1_mve(out, t, p, q, sum, ld_sum, false);
}

/* Codes of int2, int3 and small floats to signed bytes, [8 steps][64], 16 at a time; a gathering load is a table. */
CQ__APART void cq__spread_mve(unsigned char *out, const unsigned char *w, cq_format format) {
    const int8_t *table = format == CQ_MXFP4 ? cq__e2m1_bytes : cq__e2m3_bytes;
    for (int32_t s = 0; s < 8; s++)
        for (size_t i = 0; i < 64; i += 16, out += 16) {
            uint8x16_t v;
            if (format == CQ_INT2 || format == CQ_INT3) {
                v = vshlq_r_u8(vld1q_u8(w + (s & 1) * 64 + i), -(s & 6));
                v = vandq_u8(v, vdupq_n_u8(3));
                if (format == CQ_INT3) {
                    uint8x16_t top = vshlq_r_u8(vld1q_u8(w + 128 + i), -s);
                    v = vorrq_u8(v, vshlq_n_u8(vandq_u8(top, vdupq_n_u8(1)), 2));
                }
            } else {
                v = vshlq_r_u8(vld1q_u8(w + (s & 3) * 64 + i), -(s & 4));
                v = vandq_u8(v, vdupq_n_u8(15));
                if (format != CQ_MXFP4) {
                    uint8x16_t top = vshlq_r_u8(vld1q_u8(w + 256 + (s & 1) * 64 + i), -(s & 6));
                    v = vorrq_u8(v, vshlq_n_u8(vandq_u8(top, vdupq_n_u8(3)), 4));
                }
                v = vreinterpretq_u8_s8(vldrbq_gather_offset_s8(table, v));
            }
            vst1q_u8(out, v);
        }
}

/* == cq__panel_q8_c */
static void cq__panel_q8_mve(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t first, size_t n) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t);
    if ((uintptr_t)p % 4) { /* gathering loads want aligned words */
        cq__panel_q8_dsp(out, t, panel, a, first, n);
        return;
    }
    if ((t->format != CQ_INT4 && t->format != CQ_INT8) || t->group_size % CQ__BLOCK || a->group_size) {
        cq__blocks_m direct = t->format == CQ_INT8   ? cq__byte_blocks_mve
                              : t->format == CQ_INT4 ? cq__int4_blocks_mve
                                                     : NULL;
        cq__panel_q8_m(out, t, panel, a, first, n, direct, cq__byte_blocks_mve, cq__spread_mve);
        return;
    }
    for (size_t j = first; j < first + n; j++, out += CQ__ROWS) {
        const int8_t *q = a->q + j * a->stride;
        const int32_t *sum = a->sum + j;
        for (size_t r = 0; r < CQ__ROWS; r += 4) vst1q_f32(out + r, vdupq_n_f32(0.0f));
        if (t->format == CQ_INT4) cq__int4_panel1_mve(out, t, p, q, sum, a->ld_sum);
        else cq__int8_panel1_mve(out, t, p, q, sum, a->ld_sum);
        for (size_t r = 0; r < CQ__ROWS; r++) out[r] = out[r] * a->scale[j];
    }
}
static void cq__panels_q8_mve(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                              size_t first, size_t n) {
    for (size_t p = 0; p < panels; p++) cq__panel_q8_mve(out + p * n * CQ__ROWS, t, panel + p, a, first, n);
}

/* == cq__dots_q8_c: two keys share a load of the query */
static void cq__dots_q8_mve(float *out, const int8_t *q, float scale_q, const int8_t *k, size_t ldk,
                            const float *scale, size_t n, size_t count) {
    for (size_t i = 0; i < count; i += 2, k += 2 * ldk) {
        const int8_t *k1 = i + 1 < count ? k + ldk : k;
        int32_t d0 = 0, d1 = 0;
        size_t d = 0;
        for (size_t v = n / 16; v > 0; v--, d += 16) {
            int8x16_t x = vldrbq_s8(q + d);
            d0 = vmladavaq_s8(d0, vldrbq_s8(k + d), x);
            d1 = vmladavaq_s8(d1, vldrbq_s8(k1 + d), x);
        }
        for (; d < n; d++) {
            d0 += (int32_t)q[d] * k[d];
            d1 += (int32_t)q[d] * k1[d];
        }
        out[i] = (float)d0 * (scale_q * scale[i]);
        if (i + 1 < count) out[i + 1] = (float)d1 * (scale_q * scale[i + 1]);
    }
}

static const cq__kernels cq__kernels_mve = {
    "mve", cq__tile_f32_c, cq__fma_f32_c, cq__eliminate_c,
    cq__round16_c, cq__cost16_c, cq__decide16_c, cq__descend16_c,
    cq__unpack_c,   cq__panels_q8_mve, cq__quantize_c, cq__dot_c,     cq__dots_c,   cq__mix_c,      cq__from_f16_c,
    cq__from_int8_c, cq__dots_q8_mve,  cq__turn_c,     cq__sum_c,     cq__max_c,    cq__axpy_c,     cq__scale_c,
    cq__exp_minus_c, cq__silu_mul_c, NULL};
#ifdef __clang__
CQ__NO_HELIUM
#endif
#endif /* CQ__MVE */

/* ###################################################################################################################
   [DISPATCH]  one row a tier, best first
   ################################################################################################################## */
#ifndef CQUANT_ONE_TIER
static const struct {
    const cq__kernels *k;
    uint32_t needs; /* of cq__cpu */
} cq__tiers[] = {
#if CQ__MVE
    {&cq__kernels_mve, 0},
#endif
#if CQ__DSP
    {&cq__kernels_dsp, 0},
#endif
#if CQ__X86
#if CQ__X86_TILES
    {&cq__kernels_amx, CQ__HAS_AVX512 | CQ__HAS_VNNI | CQ__HAS_AMX},
#endif
    {&cq__kernels_avx512vnni, CQ__HAS_AVX512 | CQ__HAS_VNNI},
    {&cq__kernels_avx512, CQ__HAS_AVX512},
#if CQ__X86_AVXVNNI
    {&cq__kernels_avxvnni, CQ__HAS_AVX2 | CQ__HAS_AVXVNNI},
#endif
    {&cq__kernels_avx2, CQ__HAS_AVX2},
#if CQ__V4
    {&cq__kernels_sse41, CQ__HAS_SSE41},
#endif
#endif
#if CQ__ARM
#if CQ__DOTPROD_TIERS
    {&cq__kernels_i8mm, CQ__HAS_DOTPROD | CQ__HAS_I8MM},
    {&cq__kernels_dotprod, CQ__HAS_DOTPROD},
#endif
    {&cq__kernels_neon, 0},
#endif
#if CQ__RVV
    {&cq__kernels_rvv, 0},
#endif
#if CQ__WASM
    {&cq__kernels_wasm, 0},
#endif
#ifdef CQ__V4_TIER
    {&cq__kernels_v4, 0},
#endif
    {&cq__kernels_c, 0}};

static const cq__kernels *cq__tier(size_t index) {
    uint32_t has = cq__cpu();
    for (size_t i = 0; i < sizeof cq__tiers / sizeof cq__tiers[0]; i++)
        if ((cq__tiers[i].needs & ~has) == 0 && index-- == 0) return cq__tiers[i].k;
    return NULL;
}
#else /* what the compiler's flags promise is there: nothing else is linked, nothing is asked */
#if CQ__X86 && defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#ifdef __AVX512VNNI__
#define CQ__ONE cq__kernels_avx512vnni
#else
#define CQ__ONE cq__kernels_avx512
#endif
#elif defined(__AVXVNNI__) && CQ__X86_AVXVNNI
#define CQ__ONE cq__kernels_avxvnni
#else
#define CQ__ONE cq__kernels_avx2
#endif
#elif CQ__X86 && CQ__V4 && defined(__SSE4_1__)
#define CQ__ONE cq__kernels_sse41
#elif CQ__ARM && CQ__DOTPROD_TIERS && defined(__ARM_FEATURE_MATMUL_INT8)
#define CQ__ONE cq__kernels_i8mm
#elif CQ__ARM && CQ__DOTPROD_TIERS && defined(__ARM_FEATURE_DOTPROD)
#define CQ__ONE cq__kernels_dotprod
#elif CQ__ARM
#define CQ__ONE cq__kernels_neon
#elif CQ__MVE
#define CQ__ONE cq__kernels_mve
#elif CQ__DSP
#define CQ__ONE cq__kernels_dsp
#elif CQ__RVV
#define CQ__ONE cq__kernels_rvv
#elif CQ__WASM
#define CQ__ONE cq__kernels_wasm
#elif defined(CQ__V4_TIER)
#define CQ__ONE cq__kernels_v4
#else
#define CQ__ONE cq__kernels_c
#endif
static const cq__kernels *cq__tier(size_t index) { return index == 0 ? &CQ__ONE : NULL; }
#endif

CQUANT_DEF const char *cq_isa_available(size_t index) {
    const cq__kernels *k = cq__tier(index);
    return k ? k->name : NULL;
}
CQUANT_DEF const char *cq_isa(const cq_context *ctx) { return ctx->k->name; }

CQUANT_DEF cq_status cq_init(cq_context *ctx, const cq_context_desc *desc, cq_error *err) {
    ctx->k = cq__tier(0);
    ctx->parallel.run = NULL;
    ctx->parallel.user = NULL;
    if (!desc) return CQ_OK;
    ctx->parallel = desc->parallel;
    if (!desc->isa) return CQ_OK;
    size_t len = cq__strlen(desc->isa);
    for (size_t i = 0; (ctx->k = cq__tier(i)) != NULL; i++)
        if (cq__strlen(ctx->k->name) == len && cq__equal(ctx->k->name, desc->isa, len)) return CQ_OK;
    ctx->k = cq__tier(0);
    return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "this CPU or this build lacks the instruction set", desc->isa, len,
                      UINT64_MAX, INT64_MIN);
}

#ifdef __cplusplus
}
#endif

CQ__EXACT_END
#endif /* CQUANT_IMPLEMENTATION */

/* ===================================================================================================================
   Licence: MIT No Attribution (MIT-0)
   Copyright (c) 2026 the cquant authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
   documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
   rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
   persons to whom the Software is furnished to do so.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
   WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
   COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
   OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
   ================================================================================================================== */
