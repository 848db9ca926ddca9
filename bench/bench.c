/* bench.c - the products, transforms and the solver beside what this machine can do at most

     build/bench [build/bench.json]
     build/bench --mlp                 only the layers of Dream 7B's MLP, 18944 x 3584 and 3584 x 18944 (4 GB, minutes)

   First the yardsticks, measured here and now: reading memory, copying it, float multiply-and-add, 8-bit
   multiply-and-add (vpmaddubsw, where there is one). Then each product at 2048 x 2048:
     n = 1    one token: bound by reading the weights. They are taken from copies that together exceed the caches, as
              the layers of a model do. Limit: the read bandwidth.
     n = 64   many tokens: bound by arithmetic. Limit: the peak of the instructions that the kernel may use (a multiply
              and an add, never fused; see EXACTNESS in cquant.h).
   Then the transforms of cquant_rotate.h:
     fwht     one Hadamard transform of order n = K 2^p, in place, scaled, in additions a second: n p, and n (K/4 + 2)
              for a core. Limit: the lower of two, the peak of additions from registers and a copy of the same n floats;
              the last column says which.
     R1       a rotation of order 3584 = 28 * 128 applied to either side of a 3584 x 18944 float weight, in ms. Limit:
              the time to copy the weight twice; here less than 100 % is faster than that.
   Then what quantises (cquant_gptq.h), for each tier of kernels, on one thread and on two, beside the fused
   multiply-adds that the tier's instructions reach from registers:
     syrk     H += X^T X: tokens n^2 / 2 multiplications
     factor   H = U D U^T: n^3 / 6
     solve    4 bits, groups of 128, the default recipe: 0.5 rows n^2
     refit    the same and a refit of the scales: 1.5 rows n^2
   "share" is value / limit, "x scalar" the speed against the plain C kernels. Best of several runs each. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <pthread.h>

#include "examples/tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant_gptq.h"
#include "cquant_rotate.h"

enum { DIM = 2048, BIG = 96 << 20, WINDOW = 4 << 20 }; /* a call that is as short as a product is disturbed as seldom */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static void *allocate(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes)) {
        fprintf(stderr, "bench: no memory for %lu bytes\n", (unsigned long)bytes);
        exit(1);
    }
    memset(p, 1, bytes);
    return p;
}

/* seconds of one call: the best of as many as fit into the time given, three at least */
static double best(void (*call)(void *), void *arg, double budget) {
    double least = 1e9, begin = now();
    for (int i = 0; i < 3 || now() - begin < budget; i++) {
        double t = now();
        call(arg);
        t = now() - t;
        least = t < least ? t : least;
        if (t > 2.0) break; /* not disturbed by a moment's noise */
    }
    return least;
}

/* ---------------------------------------------------------------------------------------------- yardsticks */
static volatile uint64_t sink;
static unsigned char *big[2];
static unsigned char *next_window(void) { /* the next part of big[0]; all of it is more than the caches hold */
    static size_t turn;
    return big[0] + turn++ % (BIG / WINDOW) * WINDOW;
}

#if CQ__X86
CQ__AVX2 void read_all(void *arg) {
    const unsigned char *p = next_window();
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    (void)arg;
    for (size_t i = 0; i < WINDOW; i += 128) {
        a = _mm256_xor_si256(a, CQ__LOAD(p + i));
        b = _mm256_xor_si256(b, CQ__LOAD(p + i + 32));
        c = _mm256_xor_si256(c, CQ__LOAD(p + i + 64));
        d = _mm256_xor_si256(d, CQ__LOAD(p + i + 96));
    }
    uint64_t out[4];
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
    sink = out[0];
}
/* twelve chains hide the latency of the adds; per step and chain: one multiplication and one addition of a vector. The
   empty asm makes each factor unknown to the compiler, so that no product is computed once and kept. */
enum { PEAK_STEPS = 100000, PEAK_CHAINS = 12 };
CQ__AVX2 void peak_f32(void *arg) {
    __m256 s[PEAK_CHAINS], x = _mm256_set1_ps(1e-9f), w = _mm256_set1_ps(0.5f);
    float out[8];
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = _mm256_setzero_ps();
    for (int i = 0; i < PEAK_STEPS; i++) {
#define STEP(c)                                                                                                        \
    __asm__ volatile("" : "+x"(x));                                                                                    \
    s[c] = _mm256_add_ps(s[c], _mm256_mul_ps(x, w));
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
#undef STEP
    }
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] = _mm256_add_ps(s[0], s[c]);
    _mm256_storeu_ps(out, s[0]);
    sink = (uint64_t)out[0];
}
CQ__AVX2 void peak_i8(void *arg) {
    __m256i s[PEAK_CHAINS], x = _mm256_set1_epi8(1), w = _mm256_set1_epi8(3);
    uint64_t out[4];
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = _mm256_setzero_si256();
    for (int i = 0; i < PEAK_STEPS; i++) {
#define STEP(c)                                                                                                        \
    __asm__ volatile("" : "+x"(x));                                                                                    \
    s[c] = _mm256_add_epi16(s[c], _mm256_maddubs_epi16(w, x));
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
#undef STEP
    }
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] = _mm256_xor_si256(s[0], s[c]);
    _mm256_storeu_si256((__m256i *)(void *)out, s[0]);
    sink = out[0];
}
CQ__AVX2 void peak_add(void *arg) {
    __m256 s[PEAK_CHAINS], x = _mm256_set1_ps(1e-9f);
    float out[8];
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = _mm256_setzero_ps();
    for (int i = 0; i < PEAK_STEPS; i++) {
#define STEP(c)                                                                                                        \
    __asm__ volatile("" : "+x"(x));                                                                                    \
    s[c] = _mm256_add_ps(s[c], x);
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
#undef STEP
    }
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] = _mm256_add_ps(s[0], s[c]);
    _mm256_storeu_ps(out, s[0]);
    sink = (uint64_t)out[0];
}
#define FMA_PEAK(name, isa, vector, lanes, constraint, set1, fma, store)                                               \
    __attribute__((target(isa))) static void name(void *arg) {                                                         \
        vector s[PEAK_CHAINS], x = set1(1e-9f), w = set1(0.5f);                                                        \
        float out[lanes];                                                                                              \
        (void)arg;                                                                                                     \
        for (int c = 0; c < PEAK_CHAINS; c++) s[c] = set1(0.0f);                                                       \
        for (int i = 0; i < PEAK_STEPS; i++) {                                                                         \
            FMA_STEP(0, fma, constraint) FMA_STEP(1, fma, constraint) FMA_STEP(2, fma, constraint)                     \
            FMA_STEP(3, fma, constraint) FMA_STEP(4, fma, constraint) FMA_STEP(5, fma, constraint)                     \
            FMA_STEP(6, fma, constraint) FMA_STEP(7, fma, constraint) FMA_STEP(8, fma, constraint)                     \
            FMA_STEP(9, fma, constraint) FMA_STEP(10, fma, constraint) FMA_STEP(11, fma, constraint)                   \
        }                                                                                                              \
        for (int c = 1; c < PEAK_CHAINS; c++) s[0] = fma(s[c], w, s[0]);                                               \
        store(out, s[0]);                                                                                              \
        sink = (uint64_t)out[0];                                                                                       \
    }
#define FMA_STEP(c, fma, constraint)                                                                                   \
    __asm__ volatile("" : constraint(x));                                                                              \
    s[c] = fma(x, w, s[c]);
FMA_PEAK(peak_fma256, "avx2,fma", __m256, 8, "+x", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps)
FMA_PEAK(peak_fma512, "avx512f", __m512, 16, "+v", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps)
static double fma_peak(const char *isa) { /* multiply-adds a second, in units of 1e9 */
    bool wide = !strcmp(isa, "avx512");
    return (wide ? 16.0 : 8.0) * PEAK_CHAINS * PEAK_STEPS / best(wide ? peak_fma512 : peak_fma256, NULL, 0.2) * 1e-9;
}
#define LANES_F32 8.0
#define LANES_I8 32.0
#else
static double fma_peak(const char *isa) { return (void)isa, 0.0; } /* no instruction to measure: no limit */
static void read_all(void *arg) {
    const unsigned char *p = next_window();
    uint64_t s[4] = {0, 0, 0, 0}, v;
    (void)arg;
    for (size_t i = 0; i < WINDOW; i += 32)
        for (size_t j = 0; j < 4; j++) {
            memcpy(&v, p + i + 8 * j, 8);
            s[j] ^= v;
        }
    sink = s[0] ^ s[1] ^ s[2] ^ s[3];
}
/* without intrinsics: what the compiler makes of plain loops over a small array that stays in the cache */
enum { PEAK_STEPS = 20000, PEAK_CHAINS = 64 };
static void peak_f32(void *arg) {
    static volatile float factor = 1e-9f;
    float s[PEAK_CHAINS], x = factor;
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = 0;
    for (int i = 0; i < PEAK_STEPS; i++, x = -x)
        for (int c = 0; c < PEAK_CHAINS; c++) s[c] = s[c] + x * (float)c;
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}
static void peak_add(void *arg) {
    static volatile float start = 1e-9f;
    float s[PEAK_CHAINS], x = start;
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = (float)c;
    for (int i = 0; i < PEAK_STEPS; i++, x = -x)
        for (int c = 0; c < PEAK_CHAINS; c++) s[c] = s[c] + x;
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}
static void peak_i8(void *arg) {
    static volatile int factor = 3;
    int32_t s[PEAK_CHAINS];
    (void)arg;
    for (int c = 0; c < PEAK_CHAINS; c++) s[c] = 0;
    for (int i = 0; i < PEAK_STEPS; i++)
        for (int c = 0; c < PEAK_CHAINS; c++) s[c] += (int8_t)(factor + i) * (int8_t)c;
    for (int c = 1; c < PEAK_CHAINS; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}
#define LANES_F32 1.0
#define LANES_I8 1.0
#endif
static void copy_all(void *arg) {
    (void)arg;
    const unsigned char *p = next_window();
    memcpy(big[1] + (p - big[0]), p, WINDOW);
    sink = big[1][0];
}

/* ---------------------------------------------------------------------------------------------- results */
typedef struct {
    char name[64];
    const char *unit;
    double value, limit, scalar; /* scalar: how many times as fast as plain C; 0: not measured */
} result;
static result results[64];
static size_t count;

/* note: what else is to be said; "": nothing */
static void report_note(const char *name, double value, const char *unit, double limit, double scalar,
                        const char *note) {
    result *r = &results[count++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->value = value;
    r->unit = unit;
    r->limit = limit;
    r->scalar = scalar;
    printf("%-28s %9.2f %-7s %9.2f %7.1f%%", name, value, unit, limit, 100 * value / limit);
    if (scalar > 0) printf(" %9.1f", scalar);
    printf("%s%s\n", *note ? "   " : "", note);
    fflush(stdout);
}
static void report(const char *name, double value, const char *unit, double limit, double scalar) {
    report_note(name, value, unit, limit, scalar, "");
}
static int write_json(const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return perror(path), 1;
    fprintf(f, "[\n");
    for (size_t i = 0; i < count; i++)
        fprintf(f, "  {\"name\": \"%s\", \"value\": %.4f, \"unit\": \"%s\", \"limit\": %.4f, \"ratio\": %.4f}%s\n",
                results[i].name, results[i].value, results[i].unit, results[i].limit,
                results[i].value / results[i].limit, i + 1 < count ? "," : "");
    fprintf(f, "]\n");
    if (fclose(f)) return perror(path), 1;
    return 0;
}

/* ---------------------------------------------------------------------------------------------- products */
typedef struct {
    const cq_context *ctx;
    cq_tensor t;
    unsigned char *data;
    size_t copies, turn, n;
    float *y, *x;
    cq_acts acts;
    bool q8;
} job;

static void multiply(void *arg) {
    job *j = (job *)arg;
    j->t.data = j->data + j->turn++ % j->copies * j->t.bytes;
    if (j->q8) cq_matmul_q8(j->ctx, j->y, DIM, &j->t, NULL, &j->acts, j->n, false);
    else cq_matmul(j->ctx, j->y, DIM, &j->t, NULL, j->x, DIM, j->n, false);
}

static void product(const cq_context *fast, const cq_context *plain, cq_format format, bool q8, const float *w,
    float *x,
                    double bandwidth, double peak) {
    job j;
    cq_tensor whole;
    cq_error err;
    char name[64];
    memset(&j, 0, sizeof j);
    if (cq_tensor_init(&whole, format, CQ_PANELS, DIM, DIM, cq_format_is_coded(format) ? 64 : 0, false, &err)) {
        fprintf(stderr, "bench: %s\n", err.what);
        exit(1);
    }
    j.copies = (BIG + whole.bytes - 1) / whole.bytes;
    j.data = (unsigned char *)allocate(j.copies * whole.bytes);
    cq_quantize_rtn(&whole, j.data, w, DIM, NULL);
    for (size_t i = 1; i < j.copies; i++) memcpy(j.data + i * whole.bytes, j.data, whole.bytes);
    j.y = (float *)allocate(64 * DIM * sizeof(float));
    j.x = x;
    j.q8 = q8;
    cq_arena size = cq_arena_over(NULL, 0), arena;
    cq_acts_alloc(&j.acts, &size, 64, DIM);
    void *memory = allocate(size.used);
    arena = cq_arena_over(memory, size.used);
    cq_acts_alloc(&j.acts, &arena, 64, DIM);
    cq_quantize_acts(fast, &j.acts, x, DIM, 64, DIM);
    for (size_t n = 1; n <= 64; n += 63) {
        double macs = (double)DIM * DIM * (double)n, seconds, plain_seconds;
        j.n = n;
        j.t = whole;
        j.ctx = fast;
        seconds = best(multiply, &j, 0.25);
        j.ctx = plain;
        j.t.rows = n == 1 ? DIM / 4 : DIM / 64; /* plain C is slow: a part is enough; its panels come first */
        plain_seconds = best(multiply, &j, 0.05) * (double)DIM / (double)j.t.rows;
        snprintf(name, sizeof name, "%s %s%s n=%u", q8 ? "matmul_q8" : "matmul", cq_format_name(format),
                 cq_format_is_coded(format) ? " g64" : "", (unsigned)n);
        if (n == 1) report(name, (double)whole.bytes / seconds * 1e-9, "GB/s", bandwidth, plain_seconds / seconds);
        else report(name, macs / seconds * 1e-9, "GMAC/s", peak, plain_seconds / seconds);
    }
    free(j.data), free(j.y), free(memory);
}

/* ---------------------------------------------------------------------------------------------- transforms */
#if defined(__GNUC__)
#define KEEP(p) __asm__ volatile("" : : "r"(p) : "memory") /* whoever may look at p, so no copy is left out */
#else
#define KEEP(p) (sink = *(const unsigned char *)(p))
#endif

typedef struct {
    const cq_context *ctx;
    cq_hadamard h;
    float *x, *y;
    size_t n, times; /* in one call, for what is too short for the clock */
    void *scratch;
} transform;

static void run_fwht(void *arg) {
    transform *t = (transform *)arg;
    for (size_t i = 0; i < t->times; i++) cq_hadamard_f32(t->ctx, &t->h, t->x, t->scratch, i % 2 != 0);
}
static void run_copy(void *arg) {
    transform *t = (transform *)arg;
    for (size_t i = 0; i < t->times; i++) {
        memcpy(t->y, t->x, t->n * sizeof(float));
        KEEP(t->y);
    }
}
static void fwht(const cq_context *fast, const cq_context *plain, float *x, float *y, size_t n, double adds) {
    transform t = {fast, {0}, x, y, n, 1 + 65536 / n, NULL};
    cq_arena arena = cq_arena_over(NULL, 0);
    char name[64], note[64];
    double levels = 0, seconds, copy, plain_seconds;
    if (cq_hadamard_init(&t.h, n, &arena, NULL)) exit(1);
    void *cores = allocate(arena.used + 1); /* a power of two needs none */
    arena = cq_arena_over(cores, arena.used);
    if (cq_hadamard_init(&t.h, n, &arena, NULL)) exit(1);
    t.scratch = allocate(cq_hadamard_scratch(&t.h) + 1);
    for (size_t i = t.h.pow2; i > 1; i /= 2) levels++;
    if (t.h.k1 > 1) levels += (double)t.h.k1 / 4 + 2;
    seconds = best(run_fwht, &t, 0.15) / (double)t.times;
    copy = best(run_copy, &t, 0.05) / (double)t.times;
    t.ctx = plain;
    plain_seconds = best(run_fwht, &t, 0.05) / (double)t.times;
    double work = (double)n * levels * 1e-9, bound = work / copy < adds ? work / copy : adds;
    snprintf(name, sizeof name, "fwht f32 n=%u", (unsigned)n);
    snprintf(note, sizeof note, "%.0f ns, a copy %.0f ns; limit: %s", seconds * 1e9, copy * 1e9,
             work / copy < adds ? "copy" : "additions");
    report_note(name, work / seconds, "Gadd/s", bound, plain_seconds / seconds, note);
    free(cores);
    free(t.scratch);
}

enum { R1_N = 3584, R1_OTHER = 18944 }; /* down_proj of a model of 7 billion weights */
typedef struct {
    const cq_context *ctx;
    cq_rotation r;
    float *w, *copy;
    void *scratch;
    size_t part; /* of the other axis */
} rotation;

static void run_rows(void *arg) {
    rotation *t = (rotation *)arg;
    if (cq_rotate_rows_f32(t->ctx, &t->r, t->w, t->part, R1_N, R1_N, t->scratch)) exit(1);
}
static void run_columns(void *arg) {
    rotation *t = (rotation *)arg;
    if (cq_rotate_cols_f32(t->ctx, &t->r, t->w, R1_N, t->part, R1_OTHER, t->scratch)) exit(1);
}
static void run_copy_twice(void *arg) {
    rotation *t = (rotation *)arg;
    memcpy(t->copy, t->w, (size_t)R1_N * R1_OTHER * sizeof(float));
    KEEP(t->copy); /* or the way back would be dropped: it changes nothing */
    memcpy(t->w, t->copy, (size_t)R1_N * R1_OTHER * sizeof(float));
}
static void rotate(const cq_context *fast, const cq_context *plain) {
    rotation t;
    cq_arena arena = cq_arena_over(NULL, 0);
    if (cq_rotation_init(&t.r, CQ_ROTATE_HADAMARD, R1_N, 1, 0, &arena, NULL)) exit(1);
    void *memory = allocate(arena.used);
    arena = cq_arena_over(memory, arena.used);
    if (cq_rotation_init(&t.r, CQ_ROTATE_HADAMARD, R1_N, 1, 0, &arena, NULL)) exit(1);
    t.scratch = allocate(cq_rotation_scratch(fast, &t.r));
    t.w = (float *)allocate((size_t)R1_N * R1_OTHER * sizeof(float));
    t.copy = (float *)allocate((size_t)R1_N * R1_OTHER * sizeof(float));
    for (size_t i = 0; i < (size_t)R1_N * R1_OTHER; i++) t.w[i] = (float)(i % 251) - 125;
    t.part = R1_OTHER;
    double copy = 1e9, seconds[2] = {1e9, 1e9}, plain_seconds[2];
    for (int i = 0; i < 4; i++) { /* by turns, so that what disturbs the machine disturbs all */
        void (*call[3])(void *) = {run_rows, run_columns, run_copy_twice};
        for (int c = 0; c < 3; c++) {
            double *least = c == 2 ? &copy : &seconds[c], time = now();
            t.ctx = fast;
            call[c](&t);
            time = now() - time;
            *least = time < *least ? time : *least;
        }
    }
    t.ctx = plain;
    t.part = R1_OTHER / 16; /* a part is enough */
    plain_seconds[0] = 16 * best(run_rows, &t, 0.05);
    plain_seconds[1] = 16 * best(run_columns, &t, 0.05);
    report("R1 rows 18944 x 3584", seconds[0] * 1e3, "ms", copy * 1e3, plain_seconds[0] / seconds[0]);
    report("R1 columns 3584 x 18944", seconds[1] * 1e3, "ms", copy * 1e3, plain_seconds[1] / seconds[1]);
    free(memory), free(t.scratch), free(t.w), free(t.copy);
}

/* ---------------------------------------------------------------------------------------------- solver */
typedef struct {
    cq_task task;
    void *arg;
    size_t next, count;
} pool;
static void *pool_work(void *arg) {
    pool *p = (pool *)arg;
    size_t i;
    while ((i = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED)) < p->count) p->task(p->arg, i);
    return NULL;
}
static void run_two(void *user, size_t n, cq_task task, void *arg) {
    pool p = {task, arg, 0, n};
    pthread_t other;
    (void)user;
    if (pthread_create(&other, NULL, pool_work, &p)) exit(1);
    pool_work(&p);
    pthread_join(other, NULL);
}
enum { GPTQ_TOKENS = 1024 };
typedef struct {
    cq_context ctx;
    cq_hessian h;
    cq_factor f;
    cq_gptq_desc desc;
    cq_gptq_result out;
    cq_arena arena;
    size_t mark[2]; /* of the arena: before the factor, after it */
    float *x, *w;
    size_t rows;
} layer;
static void run_syrk(void *arg) {
    layer *l = (layer *)arg;
    cq_hessian_add(&l->ctx, &l->h, l->x, l->h.cols, GPTQ_TOKENS, NULL); /* finished once, after all texts */
}
static void run_factor(void *arg) {
    layer *l = (layer *)arg;
    l->arena.used = l->mark[0];
    if (cq_gptq_factor(&l->ctx, &l->f, &l->h, &l->desc, &l->arena, NULL)) exit(1);
    l->mark[1] = l->arena.used;
}
static void run_solve(void *arg) {
    layer *l = (layer *)arg;
    l->arena.used = l->mark[1];
    if (cq_gptq_solve(&l->ctx, &l->desc, &l->f, l->w, l->h.cols, l->rows, &l->out, &l->arena, NULL)) exit(1);
}
static void run_refit(void *arg) {
    layer *l = (layer *)arg;
    l->desc.refit = true;
    run_solve(arg);
    l->desc.refit = false;
}
static void solver(const char *isa, size_t rows, size_t n, double peak) { /* n columns */
    cq_context_desc desc;
    layer l;
    char name[64];
    memset(&desc, 0, sizeof desc);
    memset(&l, 0, sizeof l);
    desc.isa = isa;
    if (cq_init(&l.ctx, &desc, NULL)) return;
    l.desc.group_size = 128;
    for (int real = 0; real < 2; real++) {
        l.arena = cq_arena_over(real ? allocate(l.arena.used) : NULL, real ? l.arena.used : 0);
        cq_hessian_alloc(&l.h, &l.arena, n);
        l.mark[0] = l.arena.used;
        if (real) break;
        cq_gptq_factor(&l.ctx, &l.f, &l.h, &l.desc, &l.arena, NULL);
        cq_gptq_solve(&l.ctx, &l.desc, &l.f, NULL, n, rows, NULL, &l.arena, NULL);
    }
    l.x = (float *)allocate(GPTQ_TOKENS * n * sizeof(float));
    l.rows = rows;
    l.w = (float *)allocate(rows * n * sizeof(float));
    l.out.codes = (uint8_t *)allocate(rows * n);
    l.out.grids = (cq_grid *)allocate(rows * cq_gptq_groups(&l.desc, n) * sizeof(cq_grid));
    for (size_t t = 0; t < GPTQ_TOKENS; t++) /* neighbours are alike, and some columns louder */
        for (size_t c = 0; c < n; c++) {
            float v = (float)(cq_random(3, t, c) >> 40) / 8388608.0f - 1.0f;
            l.x[t * n + c] = (c ? 0.7f * l.x[t * n + c - 1] : 0.0f) + (c % 97 ? v : 20.0f * v);
        }
    for (size_t i = 0; i < rows * n; i++) l.w[i] = (float)(cq_random(4, 0, i) >> 40) / 8388608.0f - 1.0f;
    for (int threads = rows * n > (size_t)1 << 25 ? 2 : 1; threads <= 2; threads++) { /* large ones on two only */
        static void (*const call[])(void *) = {run_syrk, run_factor, run_solve, run_refit};
        static const char *const what[] = {"syrk", "factor", "solve", "refit"};
        double square = (double)n * (double)n, all = (double)rows;
        double work[] = {0.5 * GPTQ_TOKENS * square, square * (double)n / 6, 0.5 * square * all, 1.5 * square * all};
        l.ctx.parallel.run = threads > 1 ? run_two : NULL;
        for (int i = 0; i < 4; i++) {
            char note[64];
            double seconds = best(call[i], &l, 0.3);
            if (i == 0) cq_hessian_finish(&l.ctx, &l.h);
            snprintf(name, sizeof name, "%s %s %ux%u, threads: %d", what[i], isa, (unsigned)(i < 2 ? n : rows),
                     (unsigned)n, threads);
            snprintf(note, sizeof note, "%.1f ms", seconds * 1e3);
            report_note(name, work[i] / seconds * 1e-9, "GMAC/s", threads * peak, 0, note);
        }
    }
    free(l.arena.base), free(l.x), free(l.w), free(l.out.codes), free(l.out.grids);
}

/* The yardsticks, the products, the transforms. */
static void products(const cq_context *fast, const cq_context *plain) {
    float *w = (float *)allocate((size_t)DIM * DIM * sizeof(float)), *x = (float *)allocate(64 * DIM * sizeof(float));
    for (size_t i = 0; i < (size_t)DIM * DIM; i++) w[i] = (float)(cq_random(1, 0, i) >> 40) / 8388608.0f - 1.0f;
    for (size_t i = 0; i < 64 * DIM; i++) x[i] = (float)(cq_random(2, 0, i) >> 40) / 8388608.0f - 1.0f;

    printf("one thread where no number is given, kernels: %s; %d x %d\n", cq_isa(fast), DIM, DIM);
    printf("%-28s %9s %-7s %9s %8s %9s\n", "", "value", "unit", "limit", "share", "x scalar");
    big[0] = (unsigned char *)allocate(BIG);
    big[1] = (unsigned char *)allocate(BIG);
    double bandwidth = WINDOW / best(read_all, NULL, 0.3) * 1e-9, copy = 2.0 * WINDOW / best(copy_all, NULL,
        0.3) * 1e-9;
    double f32 = LANES_F32 * PEAK_CHAINS * PEAK_STEPS / best(peak_f32, NULL, 0.2) * 1e-9;
    double i8 = LANES_I8 * PEAK_CHAINS * PEAK_STEPS / best(peak_i8, NULL, 0.2) * 1e-9;
    double adds = LANES_F32 * PEAK_CHAINS * PEAK_STEPS / best(peak_add, NULL, 0.2) * 1e-9;
    report("read memory", bandwidth, "GB/s", bandwidth, 0);
    report("copy memory (read + write)", copy, "GB/s", copy, 0);
    report("f32 multiply, add", f32, "GMAC/s", f32, 0);
    report("8-bit multiply, add", i8, "GMAC/s", i8, 0);
    report("f32 add", adds, "Gadd/s", adds, 0);
    free(big[0]), free(big[1]);

    static const cq_format ints[] = {CQ_INT4, CQ_INT8, CQ_INT3, CQ_INT2};
    for (size_t i = 0; i < 4; i++) product(fast, plain, ints[i], true, w, x, bandwidth, i8);
    product(fast, plain, CQ_F32, false, w, x, bandwidth, f32);
    product(fast, plain, CQ_F16, false, w, x, bandwidth, f32);
    product(fast, plain, CQ_INT4, false, w, x, bandwidth, f32);
    static const size_t orders[] = {128, 512, 1024, 4096, 16384, 28 * 128, 148 * 128};
    for (size_t i = 0; i < 7; i++) fwht(fast, plain, x, w, orders[i], adds);
    free(w), free(x);
}
/* What quantises: square layers, on each tier; or those of Dream 7B's MLP, on the best. */
static void solvers(bool mlp) {
    char name[64];
    for (size_t i = 0; cq_isa_available(i) && (!mlp || i == 0); i++) {
        const char *isa = cq_isa_available(i);
        double peak = strcmp(isa, "scalar") ? fma_peak(isa) : 0.0;
        static const size_t sides[] = {1024, 2048, 3584};
        if (!(peak > 0)) continue; /* plain C is the specification, and slow */
        snprintf(name, sizeof name, "fused multiply-add, %s", isa);
        report(name, peak, "GMAC/s", peak, 0);
        for (size_t k = 0; k < 3 && !mlp; k++) solver(isa, sides[k], sides[k], peak);
        if (mlp) {
            solver(isa, 18944, 3584, peak);
            solver(isa, 3584, 18944, peak);
        }
    }
}

int main(int argc, char **argv) {
    cq_context fast, plain;
    cq_context_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.isa = "scalar";
    if (cq_init(&fast, NULL, NULL) || cq_init(&plain, &desc, NULL)) return 1;
    bool mlp = argc > 1 && !strcmp(argv[1], "--mlp");
    if (!mlp) products(&fast, &plain);
    solvers(mlp);
    if (mlp) return 0;
    rotate(&fast, &plain);
    return argc > 1 ? write_json(argv[1]) : 0;
}
