/* cquant.h - v0.5.0 - a few bits per weight, the same bits on every machine

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
             machines      [X86]       -- the same results, faster
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
     overrules the pragmas: leave it out.

   MEMORY  The caller's, always. Every job has a size query which is its own layout code run on an empty arena.
   THREADS The caller's: a parallel_for callback. None given, a loop. Results do not depend on the number of threads.
   STACK   Under 1 KB a call (gcc 12 -O2), but cq_matmul: 2.7 KB (a block of weights as floats), cq_matmul_q8: 1.4 KB,
           cq_syrk: 2.2 KB.

   Licence: see the end of the file. */
#ifndef CQUANT_H
#define CQUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CQUANT_VERSION "0.5.0"
#define CQUANT_VERSION_NUM 500 /* 10000 * major + 100 * minor + patch; the four headers must agree */

/* ===================================================================================================================
   [OPTIONS]  define before including; "implementation" = only matters where CQUANT_IMPLEMENTATION is defined
   CQUANT_STATIC      everywhere      all functions static: several copies may live in one program
   CQUANT_DEF         everywhere      your own linkage for public functions
   CQUANT_ASSERT(x)   implementation  checks of our own mistakes (never of input); default nothing
   CQUANT_NO_SIMD     implementation  plain C only: the specification itself
   CQUANT_TILES       implementation  an expression, true where the process may use AMX's tiles: on Linux it must have
                                      asked, arch_prctl(ARCH_REQ_XCOMP_PERM = 0x1023, 18) == 0; default 0
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
   cq_gemm: C += A B; A (m, lda) of width k, B (k, ldb) of width n. */
CQUANT_DEF size_t cq_syrk_scratch(size_t cols); /* SIZE_MAX when that many floats cannot be */
CQUANT_DEF void cq_syrk(const cq_context *ctx, float *c, size_t ldc, const float *x, size_t ldx, size_t n,
                        const float *weight, size_t cols, float *scratch);
CQUANT_DEF void cq_gemm(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, const float *b,
                        size_t ldb, size_t m, size_t k, size_t n);

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

/* No fused multiply-add behind our back: it would change bits from one compiler to the next. Undone at the end. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if !__STDC_HOSTED__ /* that pragma brings back what -ffreestanding turns off: loops becoming calls of memset */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif
#endif

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

#if defined(__GNUC__) || defined(__clang__)
#define CQ__INLINE static inline __attribute__((always_inline, unused))
#define CQ__UNUSED __attribute__((unused))
#define CQ__ALIGNED __attribute__((aligned(64))) /* for speed only: no vector load then crosses a cache line */
#else
#define CQ__INLINE static inline
#define CQ__UNUSED
#define CQ__ALIGNED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [LESSON 1 bits and bytes]
   Files are little-endian; values are put together byte by byte, which compilers turn into one load where they can.
   ================================================================================================================== */
CQ__INLINE uint16_t cq__u16(const unsigned char *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
CQ__INLINE uint32_t cq__u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
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
    if ((int)format < 0 || format >= CQ_FORMAT_COUNT || (int)layout < 0 || layout > CQ_COLUMNS)
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
    float (*max)(const float *a, size_t n); /* -infinity when n = 0 */
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*scale)(float *y, const float *x, const unsigned char *w, float s, size_t n); /* y = (x s) w; w NULL: x s */
    void (*exp_minus)(float *x, float m, size_t n);                                       /* x = exp(x - m) */
    void (*silu_mul)(float *g, const float *u, size_t n);
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
CQ__INLINE float cq__fmaf(float a, float b, float c) {
#if defined(__FP_FAST_FMAF) || defined(__FMA__) /* the compiler has an instruction: the same result */
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
    return m;
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
    "scalar",       cq__tile_f32_c, cq__fma_f32_c,  cq__round16_c,   cq__cost16_c,   cq__decide16_c, cq__descend16_c,
    cq__unpack_c,   cq__panels_q8_c, cq__quantize_c, cq__dot_c,       cq__dots_c,     cq__mix_c,      cq__from_f16_c,
    cq__from_int8_c, cq__dots_q8_c, cq__turn_c,     cq__sum_c,       cq__max_c,      cq__axpy_c,     cq__scale_c,
    cq__exp_minus_c, cq__silu_mul_c};

CQUANT_DEF void cq_parallel_for(const cq_context *ctx, size_t count, cq_task task, void *arg) {
    if (ctx->parallel.run && count > 1) {
        ctx->parallel.run(ctx->parallel.user, count, task, arg);
        return;
    }
    for (size_t i = 0; i < count; i++) task(arg, i);
}

/* Panels in one task: enough work to be worth a hand-over between threads. */
CQ__INLINE size_t cq__panels_per_task(size_t panels, size_t work_per_panel) {
    size_t per = work_per_panel >= 65536 ? 1 : 65536 / (work_per_panel + 1) + 1;
    return per < panels ? per : panels ? panels : 1;
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
        for (size_t b = 0; b < cq__blocks(w); b++) {
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
   all of the rows, and a vector of activations between two panels; the smallest have little stack. */
#if CQ__X86
#define CQ__Q8_PANELS 2u
#define CQ__Q8_COLUMNS 32u
#else
#define CQ__Q8_PANELS 1u
#define CQ__Q8_COLUMNS 16u
#endif
static void cq__matmul_q8_panels(const cq__matmul_job *job, size_t panel, size_t panels) {
    CQ__ALIGNED float out[CQ__Q8_PANELS * CQ__Q8_COLUMNS * CQ__ROWS];
    for (size_t j0 = 0; j0 < job->n; j0 += CQ__Q8_COLUMNS) {
        const size_t n = cq__min(CQ__Q8_COLUMNS, job->n - j0);
        job->ctx->k->panels_q8(out, job->w, panel, panels, job->acts, j0, n);
        for (size_t p = 0; p < panels; p++) {
            const size_t r0 = (panel + p) * CQ__ROWS, rows = cq__min(CQ__ROWS, job->w->rows - r0);
            for (size_t j = 0; j < n; j++) {
                const float *v = out + (p * n + j) * CQ__ROWS;
                float *y = job->y + (j0 + j) * job->ldy + r0;
                if (rows == CQ__ROWS && !job->bias && !job->add) cq__copy(y, v, CQ__ROWS * sizeof(float));
                else
                    for (size_t r = 0; r < rows; r++) {
                        float sum = job->bias ? v[r] + cq__f32(job->bias + 4 * (r0 + r)) : v[r];
                        y[r] = job->add ? y[r] + sum : sum;
                    }
            }
        }
    }
}

static void cq__matmul_task(void *arg, size_t index) {
    const cq__matmul_job *job = (const cq__matmul_job *)arg;
    size_t end = cq__min((index + 1) * job->per, cq_panel_count(job->w));
    for (size_t panel = index * job->per; panel < end; panel += job->acts ? CQ__Q8_PANELS : 1) {
        if (job->acts) cq__matmul_q8_panels(job, panel, cq__min(CQ__Q8_PANELS, end - panel));
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
    job.per = cq__panels_per_task(panels, CQ__ROWS * w->cols * n);
    if (acts) job.per = (job.per + CQ__Q8_PANELS - 1) / CQ__Q8_PANELS * CQ__Q8_PANELS;
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

/* The product of the solver: C += A^T B where C is square and symmetric, so that only C[j][i] with i <= j is needed
   (cq_syrk: A = B = X; the factor: what its last columns take away from the rest). A and B are packed in blocks of 48
   columns, [block][t][48]: a whole number of tiles of every tier, side by side in memory whatever the matrix looked
   like. C is cut into squares of 192, each a task: 192 columns of B stay in the L2 cache, 32 of A in L1. */
#define CQ__PACK 48u
#define CQ__PACK_DEPTH 192u /* rows of X that are packed at a time: 32 columns of them are half of an L1 cache */
#define CQ__SQUARE 192u
typedef struct cq__square_job {
    const cq_context *ctx;
    float *c;           /* (n, ldc) */
    const float *a, *b; /* packed, `stride` floats a block, `depth` rows in use */
    size_t ldc, n, stride, depth;
    bool mirror;        /* in the end, C[i][j] = C[j][i] */
    const float *x;     /* what is to be packed: rows (depth, ldx), each times its factor; those of factor 0 left out */
    const float *factor; /* (rows); NULL: all 1 */
    float *pack;
    size_t ldx, rows;
} cq__square_job;

/* As fma_f32 for one panel of which `lanes` < 16 exist: through a tile, so that nothing beyond is touched. */
static void cq__fma_edge(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, size_t lanes,
                         const float *b, size_t kb, size_t jb, size_t k, size_t n) {
    float tile[12 * CQ__ROWS];
    for (size_t j0 = 0; j0 < n; j0 += 12) {
        size_t m = cq__min(12, n - j0);
        for (size_t j = 0; j < m; j++)
            for (size_t i = 0; i < CQ__ROWS; i++) tile[j * CQ__ROWS + i] = i < lanes ? c[(j0 + j) * ldc + i] : 0.0f;
        ctx->k->fma_f32(tile, 0, CQ__ROWS, a, 0, lda, b + j0 * jb, kb, jb, k, m, 1);
        for (size_t j = 0; j < m; j++)
            for (size_t i = 0; i < lanes; i++) c[(j0 + j) * ldc + i] = tile[j * CQ__ROWS + i];
    }
}
static void cq__square_task(void *arg, size_t index) {
    const cq__square_job *job = (const cq__square_job *)arg;
    size_t n = job->n, squares = (n + CQ__SQUARE - 1) / CQ__SQUARE, below = squares * (squares - 1) / 2;
    size_t row = index - below, col = row;
    if (index < below) /* those below the diagonal come first, they are twice the work */
        for (row = 1, col = index; col >= row; row++) col -= row;
    size_t j_end = cq__min((row + 1) * CQ__SQUARE, n), i_end = cq__min((col + 1) * CQ__SQUARE, n);
    for (size_t i = col * CQ__SQUARE; i < i_end; i += 2 * CQ__ROWS) {
        size_t i1 = i + CQ__ROWS, panels = cq__min(2, (i_end - i) / CQ__ROWS), lanes = (i_end - i) % CQ__ROWS;
        const float *a0 = job->a + i / CQ__PACK * job->stride + i % CQ__PACK;
        const float *a1 = job->a + i1 / CQ__PACK * job->stride + i1 % CQ__PACK;
        for (size_t j = row == col ? i : row * CQ__SQUARE, end; j < j_end; j = end) {
            end = cq__min((j / CQ__PACK + 1) * CQ__PACK, j_end);
            const float *b = job->b + j / CQ__PACK * job->stride + j % CQ__PACK;
            float *c = job->c + j * job->ldc + i;
            job->ctx->k->fma_f32(c, CQ__ROWS, job->ldc, a0, (size_t)(a1 - a0), CQ__PACK, b, CQ__PACK, 1, job->depth,
                                 end - j, panels);
            if (panels < 2 && lanes)
                cq__fma_edge(job->ctx, c + panels * CQ__ROWS, job->ldc, panels ? a1 : a0, CQ__PACK, lanes, b, CQ__PACK,
                             1, job->depth, end - j);
        }
    }
    if (!job->mirror) return;
    for (size_t i0 = col * CQ__SQUARE; i0 < i_end; i0 += CQ__ROWS) /* through a small square: whole cache lines */
        for (size_t j0 = row == col ? i0 : row * CQ__SQUARE; j0 < j_end; j0 += CQ__ROWS) {
            float turn[CQ__ROWS * CQ__ROWS];
            size_t ni = cq__min(CQ__ROWS, i_end - i0), nj = cq__min(CQ__ROWS, j_end - j0);
            for (size_t j = 0; j < nj; j++)
                for (size_t i = 0; i < ni; i++) turn[i * CQ__ROWS + j] = job->c[(j0 + j) * job->ldc + i0 + i];
            for (size_t i = 0; i < ni; i++)
                for (size_t j = i0 == j0 ? i : 0; j < nj; j++)
                    job->c[(i0 + i) * job->ldc + j0 + j] = turn[i * CQ__ROWS + j];
        }
}
static void cq__square_run(cq__square_job *job) {
    size_t squares = (job->n + CQ__SQUARE - 1) / CQ__SQUARE;
    cq_parallel_for(job->ctx, squares * (squares + 1) / 2, cq__square_task, job);
}
/* 16 rows a task, each from end to end: rows of x are far apart, and memory is quickest along one */
static void cq__pack_task(void *arg, size_t index) {
    const cq__square_job *job = (const cq__square_job *)arg;
    const size_t first = index * 16, end = cq__min(first + 16, job->rows), n = job->n;
    float *to = job->pack;
    for (size_t t = 0; t < first; t++) to += !job->factor || job->factor[t] != 0.0f ? CQ__PACK : 0;
    for (size_t t = first; t < end; t++) {
        const float *x = job->x + t * job->ldx;
        float *out = to, s = job->factor ? job->factor[t] : 1.0f;
        if (s == 0.0f) continue;
        for (size_t c0 = 0; c0 < n; c0 += CQ__PACK, out += job->stride) {
            const size_t cols = cq__min(CQ__PACK, n - c0);
            if (!job->factor && cols == CQ__PACK)
                cq__copy(out, x + c0, CQ__PACK * sizeof(float)); /* of a size that compilers know */
            else
                for (size_t i = 0; i < CQ__PACK; i++) out[i] = i < cols ? x[c0 + i] * s : 0.0f;
        }
        to += CQ__PACK;
    }
}
CQUANT_DEF size_t cq_syrk_scratch(size_t cols) {
    size_t blocks = cols / CQ__PACK + 1, n; /* one block at least, and the factors */
    return cq__mul(blocks, CQ__PACK_DEPTH * CQ__PACK, &n) && cq__add(n, CQ__PACK_DEPTH, &n) ? n : SIZE_MAX;
}
/* C += X^T X from scratch; the caller sets x, ldx and depth, the rows that are packed already. */
static void cq__square_begin(cq__square_job *job, const cq_context *ctx, float *c, size_t ldc, size_t cols,
                             float *scratch) {
    job->ctx = ctx;
    job->c = c;
    job->ldc = ldc;
    job->n = cols;
    job->a = job->b = scratch + CQ__PACK_DEPTH;
    job->stride = CQ__PACK_DEPTH * CQ__PACK;
    job->mirror = false;
    job->depth = 0;
}
/* Packs rows of x behind the job->depth that are there, until there are enough or all n are seen. Returns how many it
   has seen: those of weight 0 are not packed. */
static size_t cq__square_pack(cq__square_job *job, const float *x, size_t ldx, size_t n, const float *weight,
                              float *scratch) {
    job->pack = scratch + CQ__PACK_DEPTH + job->depth * CQ__PACK;
    job->factor = weight ? scratch : NULL;
    job->x = x;
    job->ldx = ldx;
    for (job->rows = 0; job->rows < n && job->rows < CQ__PACK_DEPTH && job->depth < CQ__PACK_DEPTH; job->rows++) {
        if (weight) scratch[job->rows] = cq_sqrtf(weight[job->rows]);
        job->depth += !weight || scratch[job->rows] != 0.0f;
    }
    cq_parallel_for(job->ctx, (job->rows + 15) / 16, cq__pack_task, job);
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

typedef struct cq__gemm_job {
    const cq_context *ctx;
    float *c;
    const float *a, *b;
    size_t ldc, lda, ldb, m, k, n;
} cq__gemm_job;
static void cq__gemm_task(void *arg, size_t pair) { /* 32 columns of C: two panels of B */
    const cq__gemm_job *job = (const cq__gemm_job *)arg;
    size_t i0 = pair * 2 * CQ__ROWS, cols = cq__min(2 * CQ__ROWS, job->n - i0), full = cols / CQ__ROWS;
    for (size_t t = 0; t < job->k; t += CQ__PACK_DEPTH) {
        size_t depth = cq__min(CQ__PACK_DEPTH, job->k - t);
        const float *b = job->b + t * job->ldb + i0;
        job->ctx->k->fma_f32(job->c + i0, CQ__ROWS, job->ldc, b, CQ__ROWS, job->ldb, job->a + t, 1, job->lda, depth,
                             job->m, full);
        for (size_t j = 0; j < job->m; j++) /* a narrow last panel: B has nothing to the right of it */
            for (size_t i = full * CQ__ROWS; i < cols; i++)
                for (size_t u = 0; u < depth; u++) {
                    float *out = job->c + j * job->ldc + i0 + i;
                    *out = cq__fmaf(b[u * job->ldb + i], job->a[j * job->lda + t + u], *out);
                }
    }
}
CQUANT_DEF void cq_gemm(const cq_context *ctx, float *c, size_t ldc, const float *a, size_t lda, const float *b,
                        size_t ldb, size_t m, size_t k, size_t n) {
    cq__gemm_job job;
    job.ctx = ctx;
    job.c = c;
    job.ldc = ldc;
    job.a = a;
    job.lda = lda;
    job.b = b;
    job.ldb = ldb;
    job.m = m;
    job.k = k;
    job.n = n;
    cq_parallel_for(ctx, (n + 2 * CQ__ROWS - 1) / (2 * CQ__ROWS), cq__gemm_task, &job);
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
    float m = ctx->k->max(x, n);
    if (!(m > -CQ__INFINITY)) {
        for (size_t i = 0; i < n; i++) x[i] = 0.0f;
        return false;
    }
    ctx->k->exp_minus(x, m, n);
    ctx->k->scale(x, x, NULL, 1.0f / ctx->k->sum(x, n), n);
    return true;
}

/* ###################################################################################################################
   [X86]  the same results, faster. Per-function targets: no -m flag is needed; "fma" is in those of fma_f32 alone.
   ################################################################################################################## */
#if CQ__X86
#ifdef _MSC_VER
#define CQ__AVX2 static
#define CQ__AVX2_FMA static
#define CQ__AVX2_INLINE static inline
#define CQ__AVX512_INLINE static inline
#define CQ__AVXVNNI static
#define CQ__AVX512 static
#define CQ__AVX512VNNI static
#define CQ__AMX static
#else
#define CQ__AVX2 __attribute__((target("avx2,f16c"))) static
#define CQ__AVX2_FMA __attribute__((target("avx2,fma"))) static
#define CQ__AVX2_INLINE __attribute__((target("avx2,f16c"), always_inline)) static inline
#define CQ__AVX512_INLINE                                                                                              \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl"), always_inline)) static inline
#define CQ__AVXVNNI __attribute__((target("avx2,f16c,avxvnni"))) static
#define CQ__AVX512 __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl"))) static
#define CQ__AVX512VNNI __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))) static
#define CQ__AMX                                                                                                        \
    __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8"))) static
#endif

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

/* == cq__fma_f32_c: a tile of 16 rows x N columns stays in registers along the whole chain. AVX2: two vectors a panel,
   N = 6, twelve of sixteen registers. Columns are addressed from every third, so that few pointers are needed. */
#define CQ__EACH2(M) M(0, b) M(1, b + jb)
#define CQ__EACH6(M)                                                                                                   \
    M(0, b) M(1, b + jb) M(2, b + 2 * jb) M(3, b3) M(4, b3 + jb) M(5, b3 + 2 * jb)
#define CQ__EACH4(M) M(0, b) M(1, b + jb) M(2, b + 2 * jb) M(3, b3)
#define CQ__EACH12(M)                                                                                                  \
    CQ__EACH6(M) M(6, b6) M(7, b6 + jb) M(8, b6 + 2 * jb) M(9, b9) M(10, b9 + jb) M(11, b9 + 2 * jb)
#define CQ__FMA_LOAD(j, x) __m256 p##j = _mm256_loadu_ps(c + j * ldc), q##j = _mm256_loadu_ps(c + j * ldc + 8);
#define CQ__FMA_STEP(j, x)                                                                                             \
    v = _mm256_broadcast_ss(x);                                                                                        \
    p##j = _mm256_fmadd_ps(a0, v, p##j);                                                                               \
    q##j = _mm256_fmadd_ps(a1, v, q##j);
#define CQ__FMA_STORE(j, x) _mm256_storeu_ps(c + j * ldc, p##j), _mm256_storeu_ps(c + j * ldc + 8, q##j);
CQ__AVX2_FMA void cq__fma6_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                            size_t k) {
    const float *b3 = b + 3 * jb;
    CQ__EACH6(CQ__FMA_LOAD)
    for (size_t t = 0; t < k; t++, a += lda, b += kb, b3 += kb) {
        __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8), v;
        CQ__EACH6(CQ__FMA_STEP)
    }
    CQ__EACH6(CQ__FMA_STORE)
}
CQ__AVX2_FMA void cq__fma2_avx2(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t kb, size_t jb,
                            size_t k) {
    CQ__EACH2(CQ__FMA_LOAD)
    for (size_t t = 0; t < k; t++, a += lda, b += kb) {
        __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8), v;
        CQ__EACH2(CQ__FMA_STEP)
    }
    CQ__EACH2(CQ__FMA_STORE)
}
CQ__AVX2_FMA void cq__fma1_avx2(float *c, const float *a, size_t lda, const float *b, size_t kb, size_t k) {
    __m256 p = _mm256_loadu_ps(c), q = _mm256_loadu_ps(c + 8);
    for (size_t t = 0; t < k; t++, a += lda, b += kb) {
        const __m256 v = _mm256_broadcast_ss(b);
        p = _mm256_fmadd_ps(_mm256_loadu_ps(a), v, p);
        q = _mm256_fmadd_ps(_mm256_loadu_ps(a + 8), v, q);
    }
    _mm256_storeu_ps(c, p);
    _mm256_storeu_ps(c + 8, q);
}
CQ__AVX2_FMA void cq__fma_f32_avx2(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                   const float *b, size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    for (size_t p = 0; p < panels; p++, c += cp, a += ap) {
        size_t j = 0;
        for (; j + 6 <= n; j += 6) {
            for (size_t i = 6; i < 12 && k >= 64; i++) /* the next tile of c, while this one is computed */
                _mm_prefetch((const char *)(c + (j + i) * ldc), _MM_HINT_T0);
            cq__fma6_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
        }
        for (; j + 2 <= n; j += 2) cq__fma2_avx2(c + j * ldc, ldc, a, lda, b + j * jb, kb, jb, k);
        for (; j < n; j++) cq__fma1_avx2(c + j * ldc, a, lda, b + j * jb, kb, k);
    }
}

/* The same with AVX-512: two panels x 12 columns, 24 of 32 registers. One panel alone would have as many loads as
   multiplications, and gets half the speed; it goes to AVX2, which is no slower then. */
#define CQ__FMA_LOAD512(j, x) __m512 p##j = _mm512_loadu_ps(c + j * ldc), q##j = _mm512_loadu_ps(c + cp + j * ldc);
#define CQ__FMA_STEP512(j, x)                                                                                          \
    v = _mm512_set1_ps(*(x));                                                                                          \
    p##j = _mm512_fmadd_ps(a0, v, p##j);                                                                               \
    q##j = _mm512_fmadd_ps(a1, v, q##j);
#define CQ__FMA_STORE512(j, x) _mm512_storeu_ps(c + j * ldc, p##j), _mm512_storeu_ps(c + cp + j * ldc, q##j);
CQ__AVX512 void cq__fma12_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                             size_t kb, size_t jb, size_t k) {
    const float *b3 = b + 3 * jb, *b6 = b3 + 3 * jb, *b9 = b6 + 3 * jb;
    CQ__EACH12(CQ__FMA_LOAD512)
    for (size_t t = 0; t < k; t++, a += lda, b += kb, b3 += kb, b6 += kb, b9 += kb) {
        __m512 a0 = _mm512_loadu_ps(a), a1 = _mm512_loadu_ps(a + ap), v;
        CQ__EACH12(CQ__FMA_STEP512)
    }
    CQ__EACH12(CQ__FMA_STORE512)
}
CQ__AVX512 void cq__fma4_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda, const float *b,
                            size_t kb, size_t jb, size_t k) {
    const float *b3 = b + 3 * jb;
    CQ__EACH4(CQ__FMA_LOAD512)
    for (size_t t = 0; t < k; t++, a += lda, b += kb, b3 += kb) {
        __m512 a0 = _mm512_loadu_ps(a), a1 = _mm512_loadu_ps(a + ap), v;
        CQ__EACH4(CQ__FMA_STEP512)
    }
    CQ__EACH4(CQ__FMA_STORE512)
}
CQ__AVX512 void cq__fma1_avx512(float *c, size_t cp, const float *a, size_t ap, size_t lda, const float *b, size_t kb,
                                size_t k) {
    __m512 p = _mm512_loadu_ps(c), q = _mm512_loadu_ps(c + cp);
    for (size_t t = 0; t < k; t++, a += lda, b += kb) {
        const __m512 v = _mm512_set1_ps(*b);
        p = _mm512_fmadd_ps(_mm512_loadu_ps(a), v, p);
        q = _mm512_fmadd_ps(_mm512_loadu_ps(a + ap), v, q);
    }
    _mm512_storeu_ps(c, p);
    _mm512_storeu_ps(c + cp, q);
}
CQ__AVX512 void cq__fma_f32_avx512(float *c, size_t cp, size_t ldc, const float *a, size_t ap, size_t lda,
                                   const float *b, size_t kb, size_t jb, size_t k, size_t n, size_t panels) {
    for (; panels >= 2; panels -= 2, c += 2 * cp, a += 2 * ap) {
        size_t j = 0;
        for (; j + 12 <= n; j += 12) {
            for (size_t i = 12; i < 24 && k >= 64; i++) { /* the next tile of c, while this one is computed */
                _mm_prefetch((const char *)(c + (j + i) * ldc), _MM_HINT_T0);
                _mm_prefetch((const char *)(c + cp + (j + i) * ldc), _MM_HINT_T0);
            }
            cq__fma12_avx512(c + j * ldc, cp, ldc, a, ap, lda, b + j * jb, kb, jb, k);
        }
        for (; j + 4 <= n; j += 4) cq__fma4_avx512(c + j * ldc, cp, ldc, a, ap, lda, b + j * jb, kb, jb, k);
        for (; j < n; j++) cq__fma1_avx512(c + j * ldc, cp, a, ap, lda, b + j * jb, kb, k);
    }
    cq__fma_f32_avx2(c, cp, ldc, a, ap, lda, b, kb, jb, k, n, panels);
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
   vpmaddwd and 8 vpaddd, all on three ports: 45 cycles; VNNI 32 vpdpbusd on two ports: 16. */
#define CQ__LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define CQ__SAVE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define CQ__SET1(p) _mm256_set1_epi32((int32_t)cq__u32((const unsigned char *)(p)))
#if defined(__GNUC__) && !defined(__clang__)
#define CQ__NO_UNROLL _Pragma("GCC unroll 1") /* -O3 would unroll and spill the accumulators */
#else
#define CQ__NO_UNROLL
#endif

enum { CQ__Q8_BLOCKS = 4 }; /* blocks that are spread at a time: 2 KB a plane */
#define CQ__PLANE (CQ__Q8_BLOCKS * CQ__BLOCK * CQ__ROWS)
#define CQ__SUMS (CQ__Q8_COLUMNS * CQ__ROWS)

/* How the codes of a format become unsigned bytes. */
typedef struct cq__q8_codes {
    bool two;       /* planes */
    uint8_t chain;  /* steps that int16 holds */
    int32_t offset; /* what a code of 0 has become; of integers without zeros: their middle */
} cq__q8_codes;
/* What differs between the tiers. */
typedef struct cq__q8_tier {
    bool whole; /* codes may have 8 bits */
    /* blocks * 512 bytes of codes; the high plane, where there are two, CQ__PLANE further on */
    void (*spread)(unsigned char *out, const unsigned char *w, cq_format format, size_t blocks, bool two);
    /* acc (n, 16) += codes times n rows of activations. less (n), if not NULL: where each column's sums begin, in place
       of acc. out (n, 16), if not NULL: where they end, in place of acc: out += sum * scale, scale (16). Both given,
       that may be so for several groups of `per` blocks, less and scale one row of CQ__Q8_COLUMNS and 32 further on
       for each. */
    void (*dot)(int32_t *acc, const unsigned char *codes, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                size_t per, size_t chain, const int32_t *less, float *out, const float *scale);
    /* The same for two panels at once, what belongs to the second CQ__SUMS, CQ__PLANE, ld floats and 16 scales further
       on; NULL: one by one. */
    void (*dot2)(int32_t *acc, const unsigned char *codes, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                 size_t per, size_t chain, const int32_t *less, float *out, size_t ld, const float *scale);
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
CQ__AVX2 __m256 cq__scales8_avx2(const unsigned char *p, cq_format format) {
    if (!cq_format_is_mx(format)) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i v = _mm256_slli_epi32(e, 23), none = _mm256_cmpeq_epi32(e, _mm256_setzero_si256());
    v = _mm256_or_si256(v, _mm256_and_si256(none, _mm256_set1_epi32(1 << 22)));
    none = _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255));
    return _mm256_castsi256_ps(_mm256_or_si256(v, _mm256_and_si256(none, _mm256_set1_epi32(1 << 22))));
}
/* The scales of a group as factors of the sums. */
CQ__AVX2 void cq__scales16_avx2(float *out, const cq_tensor *t, const unsigned char *panel, size_t group) {
    const unsigned char *at = panel + cq__scale_bytes(t) * (group * CQ__ROWS);
    const __m256 unit = _mm256_set1_ps(cq__exp2i(-(int32_t)cq__facts(t->format)->q8_bits));
    _mm256_storeu_ps(out, _mm256_mul_ps(cq__scales8_avx2(at, t->format), unit));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(cq__scales8_avx2(at + 8 * cq__scale_bytes(t), t->format), unit));
}
/* Eight sums begin and end. */
CQ__AVX2_INLINE __m256i cq__start8_avx2(const int32_t *acc, const int32_t *less) {
    return less ? _mm256_set1_epi32(*less) : CQ__LOAD(acc);
}
CQ__AVX2_INLINE void cq__stop8_avx2(int32_t *acc, __m256i sum, float *out, __m256 scale) {
    if (out) _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale)));
    else CQ__SAVE(acc, sum);
}
/* less (n) = factor times the sum of each column's activations over some blocks */
CQ__AVX2 void cq__totals_avx2(int32_t *less, const int32_t *sum, size_t ld_sum, size_t blocks, size_t n,
                              int32_t factor) {
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        __m256i all = _mm256_setzero_si256();
        for (size_t b = 0; b < blocks; b++) all = _mm256_add_epi32(all, CQ__LOAD(sum + b * ld_sum + j));
        CQ__SAVE(less + j, _mm256_mullo_epi32(all, _mm256_set1_epi32(factor)));
    }
    for (; j < n; j++) {
        int32_t all = 0;
        for (size_t b = 0; b < blocks; b++) all += sum[b * ld_sum + j];
        less[j] = factor * all;
    }
}
/* Sums begin with what the offsets add, taken away: less, or, with zeros, the sum of the activations times each. */
CQ__AVX2 void cq__begin_avx2(int32_t *acc, const int32_t *less, const unsigned char *zeros, size_t n) {
    __m256i z0 = _mm256_set1_epi32(1), z1 = z0;
    if (zeros) {
        const __m128i z = _mm_loadu_si128((const __m128i *)(const void *)zeros);
        z0 = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtepu8_epi32(z));
        z1 = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtepu8_epi32(_mm_srli_si128(z, 8)));
    }
    for (size_t j = 0; j < n; j++, acc += CQ__ROWS) {
        const __m256i v = _mm256_set1_epi32(less[j]);
        CQ__SAVE(acc, _mm256_mullo_epi32(z0, v));
        CQ__SAVE(acc + 8, _mm256_mullo_epi32(z1, v));
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

/* Panels of any format, whatever the tier: two at a time, group by group, a few blocks at a time. */
static void cq__panels_q8_x86(const cq__q8_tier *tier, float *out, const cq_tensor *t, size_t panel, size_t panels,
                              const cq_acts *a, size_t first, size_t n) {
    const size_t panel_bytes = cq_panel_bytes(t), head = cq__panel_head(t), block_bytes = cq__block_bytes(t->format);
    const size_t groups = cq_tensor_groups(t), per = t->group_size / CQ__BLOCK, count = cq__blocks(t), ldq = a->stride;
    const size_t ld_scale = cq__acts_groups(a), ld = n * CQ__ROWS;
    const cq__q8_codes codes = cq__q8_codes_of(t->format, tier->whole);
    const bool begins = !t->asym && !codes.two, ends = !a->group_size && !codes.two; /* in the registers of dot */
    CQ__ALIGNED unsigned char bytes[2 * CQ__PLANE];
    CQ__ALIGNED int32_t acc[2 * CQ__SUMS];
    CQ__ALIGNED float scales[2 * CQ__ROWS * CQ__Q8_BLOCKS];
    CQ__ALIGNED int32_t less[CQ__Q8_COLUMNS * CQ__Q8_BLOCKS];
    const size_t many = begins && ends && per < CQ__Q8_BLOCKS ? CQ__Q8_BLOCKS / per : 1; /* groups at a time */
    for (size_t p = 0, slots; p < panels; p += slots, out += slots * ld) {
        const unsigned char *data = t->data + (panel + p) * panel_bytes;
        slots = cq__min(codes.two ? 1 : 2, panels - p);
        for (size_t i = 0; i < slots * ld; i++) out[i] = 0.0f;
        for (size_t j0 = 0; j0 < n; j0 += CQ__Q8_COLUMNS) {
            const size_t m = cq__min(CQ__Q8_COLUMNS, n - j0);
            const int8_t *q = a->q + (first + j0) * ldq;
            const int32_t *sum = a->sum + first + j0;
            const float *act = a->scale + (first + j0) * ld_scale;
            float *to = out + j0 * CQ__ROWS;
            for (size_t g = 0; g < groups; g += many) {
                const size_t last = cq__min((g + many) * per, count);
                for (size_t i = 0, b = g * per; b < last; i++) { /* the groups */
                    const size_t k = cq__min(per, last - b);
                    cq__totals_avx2(less + i * CQ__Q8_COLUMNS, sum + b * a->ld_sum, a->ld_sum, k, m,
                                    t->asym ? 1 : -codes.offset);
                    b += k;
                    for (size_t s = 0; s < slots; s++)
                        cq__scales16_avx2(scales + (2 * i + s) * CQ__ROWS, t, data + s * panel_bytes, g + i);
                }
                for (size_t s = 0; s < slots && !begins; s++) {
                    const unsigned char *zeros = data + s * panel_bytes + cq__zeros_at(t) + g * CQ__ROWS;
                    cq__begin_avx2(acc + s * CQ__SUMS, less, t->asym ? zeros : NULL, m);
                }
                for (size_t i = 0; codes.two && i < m * CQ__ROWS; i++) acc[CQ__SUMS + i] = 0;
                for (size_t b = g * per; b < last; b += CQ__Q8_BLOCKS) {
                    const size_t blocks = cq__min(CQ__Q8_BLOCKS, last - b);
                    const int32_t *from = begins && b == g * per ? less : NULL;
                    float *end = ends && b + blocks == last ? to : NULL;
                    const int8_t *x = q + b * CQ__BLOCK;
                    for (size_t s = 0; s < slots; s++) {
                        const unsigned char *w = data + s * panel_bytes + head + b * block_bytes;
                        tier->spread(bytes + s * CQ__PLANE, w, t->format, blocks, codes.two);
                        for (size_t i = 0; i < blocks * block_bytes && first + j0 == 0; i += 64) /* it may be far away */
                            _mm_prefetch((const char *)(w + 2 * CQ__Q8_BLOCKS * block_bytes + i), _MM_HINT_T0);
                    }
                    if (slots == 2 && tier->dot2) {
                        tier->dot2(acc, bytes, x, ldq, m, blocks, cq__min(per, blocks), codes.chain, from, end, ld, scales);
                        continue;
                    }
                    for (size_t s = 0; s < slots + codes.two; s++)
                        tier->dot(acc + s * CQ__SUMS, bytes + s * CQ__PLANE, x, ldq, m, blocks, cq__min(per, blocks),
                                  codes.chain, from, end ? end + s * ld : NULL, scales + s * CQ__ROWS);
                }
                for (size_t s = 0; s < slots && !ends; s++)
                    cq__finish_avx2(acc + s * CQ__SUMS, to + s * ld, scales + s * CQ__ROWS,
                                    a->group_size ? act + g : NULL, ld_scale, m, codes.two);
            }
            for (size_t s = 0; s < slots && !a->group_size; s++)
                for (size_t j = 0; j < m; j++)
                    for (size_t r = 0; r < CQ__ROWS; r++) {
                        float *o = to + s * ld + j * CQ__ROWS + r;
                        *o = *o * act[j];
                    }
        }
    }
}

/* codes of 2 and 3 bits */
CQ__AVX2 void cq__spread_low_avx2(unsigned char *out, const unsigned char *w, bool three) {
    const __m256i two = _mm256_set1_epi8(3), bit = _mm256_set1_epi8(4);
    for (size_t half = 0; half < 64; half += 32) {
        __m256i top = three ? CQ__LOAD(w + 128 + half) : _mm256_setzero_si256();
        for (int s = 0; s < 8; s++) {
            __m256i v = _mm256_and_si256(_mm256_srli_epi16(CQ__LOAD(w + (size_t)(s & 1) * 64 + half), s & 6), two);
            /* bit s of the top plane to bit 2: shifts move across bytes, the mask removes what came from next door */
            __m256i h = s >= 2 ? _mm256_srli_epi16(top, s - 2) : _mm256_slli_epi16(top, 2 - s);
            v = _mm256_or_si256(v, _mm256_and_si256(h, bit));
            CQ__SAVE(out + (size_t)s * 64 + half, v);
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
CQ__AVX2 void cq__spread_avx2(unsigned char *out, const unsigned char *w, cq_format format, size_t blocks, bool two) {
    static const signed char e2m1[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const __m256i nibble = _mm256_set1_epi8(15), flip = _mm256_set1_epi8((char)-128), table = cq__table_avx2(e2m1);
    for (const size_t size = cq__block_bytes(format); blocks; blocks--, w += size, out += 512) {
        if (format == CQ_INT4 || format == CQ_MXFP4) {
            for (size_t i = 0; i < 256; i += 32) {
                __m256i v = CQ__LOAD(w + i), x = _mm256_and_si256(v, nibble);
                v = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
                CQ__SAVE(out + i, format == CQ_INT4 ? x : _mm256_shuffle_epi8(table, x));
                CQ__SAVE(out + 256 + i, format == CQ_INT4 ? v : _mm256_shuffle_epi8(table, v));
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

/* One step of four columns. gcc would gather the products before it adds any, and run out of registers: that each sum is
   looked at (by nobody) keeps them apart. */
#if defined(__GNUC__) || defined(__clang__)
#define CQ__KEEP(v) __asm__("" : "+x"(v))
#else
#define CQ__KEEP(v) ((void)0)
#endif
#define CQ__MAD(h, w, x) h = _mm256_add_epi16(h, _mm256_maddubs_epi16(w, x))
#define CQ__COLUMN(h0, h1, p)                                                                                          \
    x = CQ__SET1(p);                                                                                                   \
    CQ__MAD(h0, w0, x);                                                                                                \
    CQ__KEEP(h0);                                                                                                      \
    CQ__MAD(h1, w1, x);                                                                                                \
    CQ__KEEP(h1)
#define CQ__STEP4(s)                                                                                                   \
    w0 = CQ__LOAD(w + 64 * (s)), w1 = CQ__LOAD(w + 64 * (s) + 32);                                                     \
    CQ__COLUMN(h00, h01, q + 4 * (s));                                                                                 \
    CQ__COLUMN(h10, h11, q1 + 4 * (s));                                                                                \
    CQ__COLUMN(h20, h21, q2 + 4 * (s));                                                                                \
    CQ__COLUMN(h30, h31, q3 + 4 * (s))
/* One column's chains are widened and added to its sums; begins, ends: constants, or each would cost a jump. */
CQ__AVX2_INLINE void cq__widen_avx2(int32_t *acc, __m256i h0, __m256i h1, const int32_t *less, bool begins, float *out,
                                    bool ends, __m256 scale0, __m256 scale1) {
    const __m256i one = _mm256_set1_epi16(1);
    h0 = _mm256_add_epi32(_mm256_madd_epi16(h0, one), cq__start8_avx2(acc, begins ? less : NULL));
    h1 = _mm256_add_epi32(_mm256_madd_epi16(h1, one), cq__start8_avx2(acc + 8, begins ? less : NULL));
    cq__stop8_avx2(acc, h0, ends ? out : NULL, scale0);
    cq__stop8_avx2(acc + 8, h1, ends ? out + 8 : NULL, scale1);
}
#define CQ__WIDEN4(begins, ends)                                                                                       \
    cq__widen_avx2(acc, h00, h01, less, begins, out, ends, s0, s1);                                                    \
    cq__widen_avx2(acc + 16, h10, h11, less + 1, begins, out + 16, ends, s0, s1);                                      \
    cq__widen_avx2(acc + 32, h20, h21, less + 2, begins, out + 32, ends, s0, s1);                                      \
    cq__widen_avx2(acc + 48, h30, h31, less + 3, begins, out + 48, ends, s0, s1)
CQ__AVX2 void cq__dot4_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks,
                            size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    const int8_t *q1 = q + ldq, *q2 = q1 + ldq, *q3 = q2 + ldq;
    const unsigned char *last = w + blocks * 512, *stop = w; /* of the blocks, of a group */
    while (w < last) {
        const bool begins = less && w == stop;
        if (w == stop) stop += cq__min(per * 512, (size_t)(last - w));
        __m256i w0 = CQ__LOAD(w), w1 = CQ__LOAD(w + 32), x = CQ__SET1(q);
        __m256i h00 = _mm256_maddubs_epi16(w0, x), h01 = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q1);
        __m256i h10 = _mm256_maddubs_epi16(w0, x), h11 = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q2);
        __m256i h20 = _mm256_maddubs_epi16(w0, x), h21 = _mm256_maddubs_epi16(w1, x);
        x = CQ__SET1(q3);
        __m256i h30 = _mm256_maddubs_epi16(w0, x), h31 = _mm256_maddubs_epi16(w1, x);
        CQ__STEP4(1);
        if (chain > 2) {
            CQ__STEP4(2);
            CQ__STEP4(3);
        }
        if (chain > 4) {
            CQ__STEP4(4);
            CQ__STEP4(5);
            CQ__STEP4(6);
            CQ__STEP4(7);
        }
        w += chain * 64, q += chain * 4, q1 += chain * 4, q2 += chain * 4, q3 += chain * 4;
        const __m256 s0 = _mm256_loadu_ps(scale), s1 = _mm256_loadu_ps(scale + 8);
        const bool ends = out && w == stop;
        if (begins && ends) {
            CQ__WIDEN4(true, true);
        } else if (begins) {
            CQ__WIDEN4(true, false);
        } else if (ends) {
            CQ__WIDEN4(false, true);
        } else {
            CQ__WIDEN4(false, false);
        }
        if (ends && less) less += CQ__Q8_COLUMNS, scale += 2 * CQ__ROWS;
    }
}
CQ__AVX2 void cq__dot1_avx2(int32_t *acc, const unsigned char *w, const int8_t *q, size_t blocks, size_t per,
                            size_t chain, const int32_t *less, float *out, const float *scale) {
    const __m256i one = _mm256_set1_epi16(1);
    for (size_t k = 0, end; k < blocks * CQ__BLOCK; less += less ? CQ__Q8_COLUMNS : 0, scale += 2 * CQ__ROWS) {
        __m256i s0 = cq__start8_avx2(acc, less), s1 = cq__start8_avx2(acc + 8, less);
        for (end = cq__min(k + per * CQ__BLOCK, blocks * CQ__BLOCK); k < end;) {
            __m256i h0 = _mm256_setzero_si256(), h1 = h0;
            for (const size_t stop = k + 4 * chain; k < stop; k += 4, w += 64) {
                __m256i x = CQ__SET1(q + k);
                CQ__MAD(h0, CQ__LOAD(w), x);
                CQ__MAD(h1, CQ__LOAD(w + 32), x);
            }
            s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(h0, one));
            s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(h1, one));
        }
        cq__stop8_avx2(acc, s0, out, _mm256_loadu_ps(scale));
        cq__stop8_avx2(acc + 8, s1, out ? out + 8 : NULL, _mm256_loadu_ps(scale + 8));
    }
}
static void cq__dot_avx2_q8(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                            size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    for (; n >= 4; n -= 4, acc += 64, q += 4 * ldq, less += less ? 4 : 0, out += out ? 64 : 0)
        cq__dot4_avx2(acc, w, q, ldq, blocks, per, chain, less, out, scale);
    for (; n; n--, acc += 16, q += ldq, less += less ? 1 : 0, out += out ? 16 : 0)
        cq__dot1_avx2(acc, w, q, blocks, per, chain, less, out, scale);
}
static const cq__q8_tier cq__q8_avx2 = {false, cq__spread_avx2, cq__dot_avx2_q8, NULL};

/* A single column, 4 or 8 bits: a stream of memory. Its sums stay in registers over the whole panel, and what comes is
   asked for early: into L2 far ahead, into L1 a little ahead, since the processor's own prefetching stops at each page
   of 4 KB. */
#define CQ__STREAM(w)                                                                                                  \
    _mm_prefetch((const char *)(w) + CQ__NEAR, _MM_HINT_T0), _mm_prefetch((const char *)(w) + CQ__FAR, _MM_HINT_T1)
enum { CQ__NEAR = 1024, CQ__FAR = 6144 };
CQ__AVX2 void cq__column1_avx2(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t row) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *w = p + cq__panel_head(t);
    const unsigned char *zeros = p + cq__zeros_at(t);
    const int8_t *q = a->q + row * a->stride;
    const int32_t *sum = a->sum + row;
    const float *scale = a->scale + row * cq__acts_groups(a);
    const __m256i mask = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
    const size_t per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    const bool bytes = t->format == CQ_INT8;
    __m256 f0 = _mm256_setzero_ps(), f1 = f0;
    for (size_t b = 0, g = 0; b < count; g++, p += 2 * CQ__ROWS) {
        __m256i d0 = _mm256_setzero_si256(), d1 = d0, z0 = _mm256_set1_epi32(bytes ? 0 : 8), z1 = z0;
        int32_t total = 0;
        for (const size_t end = cq__min(b + per, count); b < end; b++, q += CQ__BLOCK) {
            total += sum[b * a->ld_sum];
            if (bytes) { /* |w| <= 128 as the unsigned side, the activation takes the sign: 2 * 128 * 127 < 2^15 */
                for (size_t k = 0; k < CQ__BLOCK; k += 4, w += 64) {
                    __m256i v0 = CQ__LOAD(w), v1 = CQ__LOAD(w + 32), x = CQ__SET1(q + k);
                    v0 = _mm256_maddubs_epi16(_mm256_abs_epi8(v0), _mm256_sign_epi8(x, v0));
                    v1 = _mm256_maddubs_epi16(_mm256_abs_epi8(v1), _mm256_sign_epi8(x, v1));
                    d0 = _mm256_add_epi32(d0, _mm256_madd_epi16(v0, one));
                    d1 = _mm256_add_epi32(d1, _mm256_madd_epi16(v1, one));
                    CQ__STREAM(w);
                }
                continue;
            }
            __m256i h0 = _mm256_setzero_si256(), h1 = h0;
            for (size_t k = 0; k < 16; k += 4, w += 64) {
                __m256i v0 = CQ__LOAD(w), v1 = CQ__LOAD(w + 32), x = CQ__SET1(q + k);
                CQ__MAD(h0, _mm256_and_si256(v0, mask), x);
                CQ__MAD(h1, _mm256_and_si256(v1, mask), x);
                x = CQ__SET1(q + k + 16);
                CQ__MAD(h0, _mm256_and_si256(_mm256_srli_epi16(v0, 4), mask), x);
                CQ__MAD(h1, _mm256_and_si256(_mm256_srli_epi16(v1, 4), mask), x);
                CQ__STREAM(w);
            }
            d0 = _mm256_add_epi32(d0, _mm256_madd_epi16(h0, one));
            d1 = _mm256_add_epi32(d1, _mm256_madd_epi16(h1, one));
        }
        if (t->asym) {
            const __m256i middle = _mm256_set1_epi32(bytes ? 128 : 0);
            __m128i z = _mm_loadu_si128((const __m128i *)(const void *)(zeros + g * CQ__ROWS));
            z0 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(z), middle);
            z1 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(z, 8)), middle);
        }
        const __m256i all = _mm256_set1_epi32(total);
        __m256 s0 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
        __m256 s1 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + CQ__ROWS)));
        if (a->group_size) {
            s0 = _mm256_mul_ps(s0, _mm256_set1_ps(scale[g]));
            s1 = _mm256_mul_ps(s1, _mm256_set1_ps(scale[g]));
        }
        d0 = _mm256_sub_epi32(d0, _mm256_mullo_epi32(z0, all));
        d1 = _mm256_sub_epi32(d1, _mm256_mullo_epi32(z1, all));
        f0 = _mm256_add_ps(f0, _mm256_mul_ps(_mm256_cvtepi32_ps(d0), s0));
        f1 = _mm256_add_ps(f1, _mm256_mul_ps(_mm256_cvtepi32_ps(d1), s1));
    }
    if (!a->group_size) {
        f0 = _mm256_mul_ps(f0, _mm256_set1_ps(scale[0]));
        f1 = _mm256_mul_ps(f1, _mm256_set1_ps(scale[0]));
    }
    _mm256_storeu_ps(out, f0);
    _mm256_storeu_ps(out + 8, f1);
}
static void cq__column_avx2(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a, size_t row) {
    for (size_t p = 0; p < panels; p++) cq__column1_avx2(out + p * CQ__ROWS, t, panel + p, a, row);
}
/* Halves of blocks are left to plain C; one column of what is common is a stream; all else goes the general way. */
CQ__INLINE bool cq__is_stream(const cq_tensor *t, size_t n) {
    return n == 1 && (t->format == CQ_INT4 || t->format == CQ_INT8);
}
static void cq__panels_q8_avx2(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__column_avx2(out, t, panel, panels, a, first);
    else cq__panels_q8_x86(&cq__q8_avx2, out, t, panel, panels, a, first, n);
}

/* AVX-VNNI: 16 rows x 6 columns in twelve of sixteen registers, two vectors of codes, one of activations; vpdpbusd takes
   five cycles and two start in each, so ten sums at least must be on their way. */
#define CQ__DOT(s, w, x) s = _mm256_dpbusd_avx_epi32(s, w, x)
#define CQ__START(i, row) cq__start8_avx2(acc + 16 * (i) + (row), less ? less + (i) : NULL)
#define CQ__STOP(i, s0, s1)                                                                                            \
    cq__stop8_avx2(acc + 16 * (i), s0, out ? out + 16 * (i) : NULL, _mm256_loadu_ps(scale));                           \
    cq__stop8_avx2(acc + 16 * (i) + 8, s1, out ? out + 16 * (i) + 8 : NULL, _mm256_loadu_ps(scale + 8))
CQ__AVXVNNI void cq__dot6_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks, size_t per,
                                  const int32_t *less, float *out, const float *scale) {
    const int8_t *q3 = q + 3 * ldq;
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
        __m256i s00 = CQ__START(0, 0), s01 = CQ__START(0, 8), s10 = CQ__START(1, 0), s11 = CQ__START(1, 8);
        __m256i s20 = CQ__START(2, 0), s21 = CQ__START(2, 8), s30 = CQ__START(3, 0), s31 = CQ__START(3, 8);
        __m256i s40 = CQ__START(4, 0), s41 = CQ__START(4, 8), s50 = CQ__START(5, 0), s51 = CQ__START(5, 8);
        CQ__NO_UNROLL
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 64, q += 4, q3 += 4) {
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
CQ__AVXVNNI void cq__dot2_avxvnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t blocks, size_t per,
                                  const int32_t *less, float *out, const float *scale) {
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
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
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
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
                            size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    (void)chain;
    for (; n >= 6; n -= 6, acc += 96, q += 6 * ldq, less += less ? 6 : 0, out += out ? 96 : 0)
        cq__dot6_avxvnni(acc, w, q, ldq, blocks, per, less, out, scale);
    for (; n >= 2; n -= 2, acc += 32, q += 2 * ldq, less += less ? 2 : 0, out += out ? 32 : 0)
        cq__dot2_avxvnni(acc, w, q, ldq, blocks, per, less, out, scale);
    if (n) cq__dot1_avxvnni(acc, w, q, blocks, per, less, out, scale);
}
static const cq__q8_tier cq__q8_avxvnni = {true, cq__spread_avx2, cq__dot_avxvnni, NULL};
static void cq__panels_q8_avxvnni(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__column_avx2(out, t, panel, panels, a, first);
    else cq__panels_q8_x86(&cq__q8_avxvnni, out, t, panel, panels, a, first, n);
}

/* AVX-512: a step is one vector. Without VNNI eight chains at a time, which share the codes. */
#define CQ__LOAD512(p) _mm512_loadu_si512((const void *)(p))
#define CQ__SAVE512(p, v) _mm512_storeu_si512((void *)(p), v)
#define CQ__ALL(p) _mm512_set1_epi32((int32_t)cq__u32((const unsigned char *)(p)))
#define CQ__MAD512(h, w, x) h = _mm512_add_epi16(h, _mm512_maddubs_epi16(w, x))
CQ__AVX512_INLINE __m512i cq__start16_avx512(const int32_t *acc, const int32_t *less) {
    return less ? _mm512_set1_epi32(*less) : CQ__LOAD512(acc);
}
CQ__AVX512_INLINE void cq__stop16_avx512(int32_t *acc, __m512i sum, float *out, __m512 scale) {
    if (out) _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale)));
    else CQ__SAVE512(acc, sum);
}
#define CQ__START512(i) cq__start16_avx512(acc + 16 * (i), less ? less + (i) : NULL)
#define CQ__STOP512(i, s) cq__stop16_avx512(acc + 16 * (i), s, out ? out + 16 * (i) : NULL, _mm512_loadu_ps(scale))
#define CQ__WIDEN512(i, h)                                                                                             \
    cq__stop16_avx512(acc + 16 * (i),                                                                                  \
                      _mm512_add_epi32(cq__start16_avx512(acc + 16 * (i), from ? from + (i) : NULL),                   \
                                       _mm512_madd_epi16(h, one)),                                                     \
                      ends ? out + 16 * (i) : NULL, _mm512_loadu_ps(scale))
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
        if (ends && less) less += CQ__Q8_COLUMNS, scale += 32;
    }
}
static void cq__dot_avx512(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n, size_t blocks,
                           size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    for (; n >= 8; n -= 8, acc += 128, q += 8 * ldq, less += less ? 8 : 0, out += out ? 128 : 0)
        cq__dot8_avx512(acc, w, q, ldq, blocks, per, chain, less, out, scale);
    cq__dot_avx2_q8(acc, w, q, ldq, n, blocks, per, chain, less, out, scale);
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
    else if (cq__is_stream(t, n)) cq__column_avx2(out, t, panel, panels, a, first);
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
    cq__stop16_avx512(acc + 16 * (i), s, out ? out + 16 * (i) : NULL, _mm512_loadu_ps(scale));                         \
    cq__stop16_avx512(more + 16 * (i), t, out ? out + ld + 16 * (i) : NULL, _mm512_loadu_ps(scale + 16))
CQ__AVX512VNNI void cq__dot8_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq,
                                        size_t blocks, size_t per, const int32_t *less, float *out, size_t ld,
                                        const float *scale) {
    const int8_t *q3 = q + 3 * ldq, *q6 = q3 + 3 * ldq;
    int32_t *more = acc + CQ__SUMS;
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
        __m512i s0 = CQ__START512(0), s1 = CQ__START512(1), s2 = CQ__START512(2), s3 = CQ__START512(3);
        __m512i s4 = CQ__START512(4), s5 = CQ__START512(5), s6 = CQ__START512(6), s7 = CQ__START512(7);
        __m512i t0 = CQ__STARTS512(0), t1 = CQ__STARTS512(1), t2 = CQ__STARTS512(2), t3 = CQ__STARTS512(3);
        __m512i t4 = CQ__STARTS512(4), t5 = CQ__STARTS512(5), t6 = CQ__STARTS512(6), t7 = CQ__STARTS512(7);
        CQ__NO_UNROLL
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 64, q += 4, q3 += 4, q6 += 4) {
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
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
        __m512i s0 = CQ__START512(0), s1 = CQ__START512(1), s2 = CQ__START512(2), s3 = CQ__START512(3);
        __m512i t0 = _mm512_setzero_si512(), t1 = t0, t2 = t0, t3 = t0;
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 128, q += 8, q1 += 8, q2 += 8, q3 += 8) {
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
    for (const unsigned char *last = w + blocks * 512; w < last; less += less ? CQ__Q8_COLUMNS : 0, scale += 32) {
        __m512i s = CQ__START512(0), t = _mm512_setzero_si512(), u = t, v = t;
        for (const unsigned char *stop = w + cq__min(per * 512, (size_t)(last - w)); w < stop; w += 256, q += 16) {
            CQ__DOT512(s, CQ__LOAD512(w), CQ__ALL(q)), CQ__DOT512(t, CQ__LOAD512(w + 64), CQ__ALL(q + 4));
            CQ__DOT512(u, CQ__LOAD512(w + 128), CQ__ALL(q + 8)), CQ__DOT512(v, CQ__LOAD512(w + 192), CQ__ALL(q + 12));
        }
        CQ__STOP512(0, _mm512_add_epi32(_mm512_add_epi32(s, t), _mm512_add_epi32(u, v)));
    }
}
static void cq__dot_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                               size_t blocks, size_t per, size_t chain, const int32_t *less, float *out, const float *scale) {
    (void)chain;
    for (; n >= 4; n -= 4, acc += 64, q += 4 * ldq, less += less ? 4 : 0, out += out ? 64 : 0)
        cq__dot4_avx512vnni(acc, w, q, ldq, blocks, per, less, out, scale);
    for (; n; n--, acc += 16, q += ldq, less += less ? 1 : 0, out += out ? 16 : 0)
        cq__dot1_avx512vnni(acc, w, q, blocks, per, less, out, scale);
}
static void cq__dot2_avx512vnni(int32_t *acc, const unsigned char *w, const int8_t *q, size_t ldq, size_t n,
                                size_t blocks, size_t per, size_t chain, const int32_t *less, float *out, size_t ld,
                                const float *scale) {
    for (; n >= 8; n -= 8, acc += 128, q += 8 * ldq, less += less ? 8 : 0, out += out ? 128 : 0)
        cq__dot8_avx512vnni(acc, w, q, ldq, blocks, per, less, out, ld, scale);
    cq__dot_avx512vnni(acc, w, q, ldq, n, blocks, per, chain, less, out, scale);
    cq__dot_avx512vnni(acc + CQ__SUMS, w + CQ__PLANE, q, ldq, n, blocks, per, chain, less, out ? out + ld : NULL,
                       scale + CQ__ROWS);
}
static const cq__q8_tier cq__q8_avx512vnni = {true, cq__spread_avx512, cq__dot_avx512vnni, cq__dot2_avx512vnni};
/* == cq__column_avx2 */
CQ__AVX512VNNI void cq__column1_avx512vnni(float *out, const cq_tensor *t, size_t panel, const cq_acts *a, size_t row) {
    const unsigned char *p = t->data + panel * cq_panel_bytes(t), *w = p + cq__panel_head(t);
    const unsigned char *zeros = p + cq__zeros_at(t);
    const int8_t *q = a->q + row * a->stride;
    const int32_t *sum = a->sum + row;
    const float *scale = a->scale + row * cq__acts_groups(a);
    const bool bytes = t->format == CQ_INT8;
    const __m512i mask = _mm512_set1_epi8(15), flip = _mm512_set1_epi8((char)-128);
    const size_t per = t->group_size / CQ__BLOCK, count = cq__blocks(t);
    __m512 f = _mm512_setzero_ps();
    for (size_t b = 0, g = 0; b < count; g++, p += 2 * CQ__ROWS) {
        __m512i d = _mm512_setzero_si512(), e = d, z = _mm512_set1_epi32(bytes ? 128 : 8);
        int32_t total = 0;
        for (const size_t end = cq__min(b + per, count); b < end; b++, q += CQ__BLOCK) {
            total += sum[b * a->ld_sum];
            if (bytes) {
                for (size_t k = 0; k < CQ__BLOCK; k += 8, w += 128) {
                    CQ__DOT512(d, _mm512_xor_si512(CQ__LOAD512(w), flip), CQ__ALL(q + k));
                    CQ__DOT512(e, _mm512_xor_si512(CQ__LOAD512(w + 64), flip), CQ__ALL(q + k + 4));
                    CQ__STREAM(w);
                    CQ__STREAM(w + 64);
                }
                continue;
            }
            for (size_t k = 0; k < 16; k += 4, w += 64) {
                const __m512i v = CQ__LOAD512(w);
                CQ__DOT512(d, _mm512_and_si512(v, mask), CQ__ALL(q + k));
                CQ__DOT512(e, _mm512_and_si512(_mm512_srli_epi16(v, 4), mask), CQ__ALL(q + k + 16));
                CQ__STREAM(w);
            }
        }
        if (t->asym)
            z = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(zeros + g * CQ__ROWS)));
        __m512 s = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
        if (a->group_size) s = _mm512_mul_ps(s, _mm512_set1_ps(scale[g]));
        d = _mm512_sub_epi32(_mm512_add_epi32(d, e), _mm512_mullo_epi32(z, _mm512_set1_epi32(total)));
        f = _mm512_add_ps(f, _mm512_mul_ps(_mm512_cvtepi32_ps(d), s));
    }
    if (!a->group_size) f = _mm512_mul_ps(f, _mm512_set1_ps(scale[0]));
    _mm512_storeu_ps(out, f);
}
static void cq__column_avx512vnni(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                  size_t row) {
    for (size_t p = 0; p < panels; p++) cq__column1_avx512vnni(out + p * CQ__ROWS, t, panel + p, a, row);
}
static void cq__panels_q8_avx512vnni(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                                 size_t first, size_t n) {
    if (t->group_size % CQ__BLOCK) cq__panels_q8_c(out, t, panel, panels, a, first, n);
    else if (cq__is_stream(t, n)) cq__column_avx512vnni(out, t, panel, panels, a, first);
    else cq__panels_q8_x86(&cq__q8_avx512vnni, out, t, panel, panels, a, first, n);
}

/* AMX: C (16, 16) int32 += A (16, 64) int8 times B (64, 16), eight registers of 16 rows of 64 bytes. A: 16 rows of
   activations as they lie. B wants four values of k side by side for each column: two spread blocks, [16 steps][64], are
   that as they lie, and C is the (16 columns, 16 rows) of acc. One tdpbsud is 16384 products in 16 cycles, eight times
   VNNI; what is left is to spread codes and to finish groups. Two panels x 32 columns are four sums, tiles 0 to 3; A is
   4 and 5, B 6 and 7. A group of an odd number of blocks takes them one by one, in tiles of half the depth. */
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
                          size_t per, size_t chain, const int32_t *less, float *out, size_t ld, const float *scale) {
    const size_t depth = per % 2 ? 32 : 64, whole = blocks - blocks % per; /* a last, shorter group is left to VNNI */
    const size_t columns = n / 16 * 16;
    for (size_t j0 = 0; j0 < columns; j0 += 32) {
        const bool both = j0 + 32 <= columns;
        const int8_t *x = q + j0 * ldq, *y = x + (both ? 16 * ldq : 0);
        int32_t *a0 = acc + j0 * CQ__ROWS, *a1 = a0 + (both ? 16 * CQ__ROWS : 0);
        for (size_t k = 0, g = 0; k < whole * CQ__BLOCK; g++) {
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
                                      _mm512_loadu_ps(scale + (2 * g + p) * CQ__ROWS));
                }
        }
    }
    for (size_t k = 0, g = 0; k < blocks; k += per, g++) /* what is left: of the last group, of the columns */
        for (size_t s = 0; s < 2; s++) {
            const size_t j = k < whole ? columns : 0;
            cq__dot_avx512vnni(acc + s * CQ__SUMS + j * CQ__ROWS, w + s * CQ__PLANE + k * 512, q + j * ldq + k * CQ__BLOCK,
                               ldq, n - j, cq__min(per, blocks - k), per, chain, less ? less + g * CQ__Q8_COLUMNS + j : NULL,
                               out ? out + s * ld + j * CQ__ROWS : NULL, scale + (2 * g + s) * CQ__ROWS);
        }
}
static const cq__q8_tier cq__q8_amx = {true, cq__spread_avx512, cq__dot_avx512vnni, cq__dot2_amx};
static void cq__panels_q8_amx(float *out, const cq_tensor *t, size_t panel, size_t panels, const cq_acts *a,
                              size_t first, size_t n) {
    const size_t per = t->group_size / CQ__BLOCK;
    if (n < 16 || t->group_size % CQ__BLOCK) {
        cq__panels_q8_avx512vnni(out, t, panel, panels, a, first, n);
        return;
    }
    cq__amx_begin(cq__min(per, CQ__Q8_BLOCKS) % 2 ? 32 : 64);
    cq__panels_q8_x86(&cq__q8_amx, out, t, panel, panels, a, first, n);
    cq__amx_end();
}

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
            for (size_t k = 0; k < 4 && s * 4 + k < n; k++) {
                __m256i code = _mm256_and_si256(_mm256_srli_epi32(v, (int)(8 * k)), _mm256_set1_epi32(255));
                __m256 value = f->mini < CQ_MINI_COUNT ? cq__mini8_avx2(code, (cq_mini)f->mini)
                                                       : _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero));
                _mm256_storeu_ps(out + (s * 4 + k) * CQ__ROWS + 8 * half, _mm256_mul_ps(value, scale));
            }
        }
    }
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
        __m256i v[4], total = _mm256_setzero_si256();
        for (size_t l = 0; l < 4; l++) {
            __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + b + 8 * l), inv);
            y = _mm256_min_ps(_mm256_max_ps(y, bottom), top); /* NaN: the second operand, as in the plain code */
            v[l] = _mm256_cvtps_epi32(y);                     /* to nearest, ties to even */
            total = _mm256_add_epi32(total, v[l]);
        }
        __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        _mm256_storeu_si256((__m256i *)(void *)(q + b), _mm256_permutevar8x32_epi32(packed, order));
        int32_t part[8], s = 0;
        _mm256_storeu_si256((__m256i *)(void *)part, total);
        for (size_t l = 0; l < 8; l++) s += part[l];
        sum[b / CQ__BLOCK * ld_sum] = s;
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
    return m;
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
    cq__silu_mul_c(g + i, u + i, n - i);
}

#define CQ__AVX2_TIER(name, fma, cost, q8)                                                                                 \
    {                                                                                                                  \
        name, cq__tile_f32_avx2, fma, cq__round16_avx2, cost, cq__decide16_avx2, cq__descend16_avx2,                   \
            cq__unpack_avx2, q8, cq__quantize_avx2, cq__dot_avx2, cq__dots_avx2, cq__mix_avx2,                         \
            cq__from_f16_avx2, cq__from_int8_avx2, cq__dots_q8_c, cq__turn_c,                                          \
            cq__sum_avx2, cq__max_avx2, cq__axpy_avx2, cq__scale_avx2, cq__exp_minus_avx2, cq__silu_mul_avx2           \
    }
static const cq__kernels cq__kernels_avx2 = CQ__AVX2_TIER("avx2", cq__fma_f32_avx2, cq__cost16_avx2, cq__panels_q8_avx2);
static const cq__kernels cq__kernels_avxvnni =
    CQ__AVX2_TIER("avxvnni", cq__fma_f32_avx2, cq__cost16_avx2, cq__panels_q8_avxvnni);
static const cq__kernels cq__kernels_avx512 =
    CQ__AVX2_TIER("avx512", cq__fma_f32_avx512, cq__cost16_avx512, cq__panels_q8_avx512);
static const cq__kernels cq__kernels_amx =
    CQ__AVX2_TIER("amx", cq__fma_f32_avx512, cq__cost16_avx512, cq__panels_q8_amx);
static const cq__kernels cq__kernels_avx512vnni =
    CQ__AVX2_TIER("avx512vnni", cq__fma_f32_avx512, cq__cost16_avx512, cq__panels_q8_avx512vnni);

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
static uint32_t cq__cpu(void) {
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
#else
static uint32_t cq__cpu(void) { return 0; }
#endif /* CQ__X86 */

/* ###################################################################################################################
   [DISPATCH]  one row a tier, best first
   ################################################################################################################## */
static const struct {
    const cq__kernels *k;
    uint32_t needs; /* of cq__cpu */
} cq__tiers[] = {
#if CQ__X86
    {&cq__kernels_amx, CQ__HAS_AVX512 | CQ__HAS_VNNI | CQ__HAS_AMX},
    {&cq__kernels_avx512vnni, CQ__HAS_AVX512 | CQ__HAS_VNNI},
    {&cq__kernels_avx512, CQ__HAS_AVX512},
    {&cq__kernels_avxvnni, CQ__HAS_AVX2 | CQ__HAS_AVXVNNI},
    {&cq__kernels_avx2, CQ__HAS_AVX2},
#endif
    {&cq__kernels_c, 0}};

static const cq__kernels *cq__tier(size_t index) {
    uint32_t has = cq__cpu();
    for (size_t i = 0; i < sizeof cq__tiers / sizeof cq__tiers[0]; i++)
        if ((cq__tiers[i].needs & ~has) == 0 && index-- == 0) return cq__tiers[i].k;
    return NULL;
}

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
    ctx->k = &cq__kernels_c;
    return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "this CPU or this build lacks the instruction set", desc->isa, len,
                      UINT64_MAX, INT64_MIN);
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
