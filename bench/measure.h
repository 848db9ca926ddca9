/* measure.h - what all programs in bench/ measure with: the clock, memory, threads, and the yardsticks of this machine

   Included after cquant.h with CQUANT_IMPLEMENTATION, by programs that define _GNU_SOURCE. A yardstick is what the
   machine can do at most of the one thing that bounds a kernel: read memory, or issue one instruction. Those of
   instructions are loops in assembler, twelve independent chains of it from registers, so that they are the same under
   every compiler and every -O. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* none of the programs needs all of this */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
/* Zeroed, and in large pages where the system has them: reading then waits less often for a translation. */
static void large_pages(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
    uintptr_t begin = ((uintptr_t)p + 4095) & ~(uintptr_t)4095, end = ((uintptr_t)p + bytes) & ~(uintptr_t)4095;
    if (end > begin) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}
/* What is not small lies in large pages, as all does that the tool has in its arena. */
static void *allocate(size_t bytes) {
    const size_t page = (size_t)2 << 20;
    void *p = NULL;
    bool large = bytes >= page / 16;
    if (large) bytes = (bytes + page - 1) / page * page;
    if (posix_memalign(&p, large ? page : 64, bytes ? bytes : 1)) {
        fprintf(stderr, "no memory for %lu bytes\n", (unsigned long)bytes);
        exit(1);
    }
    if (large) large_pages(p, bytes);
    memset(p, 0, bytes);
    return p;
}
static void fill_random(float *x, size_t n, uint64_t stream) { /* in [-1, 1) */
    for (size_t i = 0; i < n; i++) x[i] = (float)(cq_random(stream, 0, i) >> 40) / 8388608.0f - 1.0f;
}
/* Bytes that together exceed the caches, as the weights of a model do: twice the largest cache, 256 MB to 1 GB. */
static size_t beyond_caches(void) {
    size_t bytes = (size_t)256 << 20;
#ifdef _SC_LEVEL3_CACHE_SIZE
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (cache > 0 && 2 * (size_t)cache > bytes) bytes = 2 * (size_t)cache;
#endif
    return bytes < (size_t)1 << 30 ? bytes : (size_t)1 << 30;
}

/* Seconds of one call: the least of as many as fit into `budget` seconds, three at least (of long ones two, or one).
   The least is what the machine does when nobody disturbs it. */
static double best(void (*call)(void *), void *arg, double budget) {
    double least = 1e9, begin = now();
    for (int i = 0; i < 3 || now() - begin < budget; i++) {
        double t = now();
        call(arg);
        t = now() - t;
        least = t < least ? t : least;
        if (t > 2.0 || (i > 0 && t > 0.5)) break;
    }
    return least;
}

/* ---------------------------------------------------------------------------------------------- threads
   A team that waits by spinning: handing over a task of 100 us must not cost 20. Nobody spins before team_start and
   after team_stop, so that what runs on one thread has the machine for itself. */
enum { TEAM_MOST = 64 };
static struct {
    pthread_t id[TEAM_MOST];
    int others; /* threads besides the caller */
    unsigned round;
    int busy, stop;
    cq_task task;
    void *arg;
    size_t next, count;
} team;

static void team_pause(unsigned spins) {
    if (spins % 4096 == 4095) sched_yield(); /* more threads than cores */
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}
static void team_work(void) {
    size_t i;
    while ((i = __atomic_fetch_add(&team.next, 1, __ATOMIC_RELAXED)) < team.count) team.task(team.arg, i);
}
static void *team_member(void *unused) {
    unsigned seen = 0;
    (void)unused;
    for (;;) {
        for (unsigned spins = 0; __atomic_load_n(&team.round, __ATOMIC_ACQUIRE) == seen; spins++) team_pause(spins);
        seen++;
        if (team.stop) return NULL;
        team_work();
        __atomic_fetch_sub(&team.busy, 1, __ATOMIC_RELEASE);
    }
}
static void team_start(int threads) {
    team.others = threads < TEAM_MOST ? threads - 1 : TEAM_MOST - 1;
    team.round = 0;
    team.stop = 0;
    for (int i = 0; i < team.others; i++)
        if (pthread_create(&team.id[i], NULL, team_member, NULL)) exit(1);
}
static void team_stop(void) {
    team.stop = 1;
    __atomic_fetch_add(&team.round, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < team.others; i++) pthread_join(team.id[i], NULL);
    team.others = 0;
}
static void team_run(void *user, size_t count, cq_task task, void *arg) { /* cq_parallel.run */
    (void)user;
    team.task = task;
    team.arg = arg;
    team.count = count;
    team.next = 0;
    team.busy = team.others;
    __atomic_fetch_add(&team.round, 1, __ATOMIC_RELEASE);
    team_work();
    for (unsigned spins = 0; __atomic_load_n(&team.busy, __ATOMIC_ACQUIRE) > 0; spins++) team_pause(spins);
}
static int cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n < TEAM_MOST ? (int)n : TEAM_MOST;
}
/* A context with the kernels of that name (NULL: the best), on as many threads, which team_start must have begun. */
static bool context(cq_context *ctx, const char *isa, int threads) {
    cq_context_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.isa = isa;
    desc.parallel.run = threads > 1 ? team_run : NULL;
    return cq_init(ctx, &desc, NULL) == CQ_OK;
}
static bool has_tier(const char *name) {
    for (size_t i = 0; cq_isa_available(i); i++)
        if (!strcmp(cq_isa_available(i), name)) return true;
    return false;
}

/* ---------------------------------------------------------------------------------------------- instructions */
static volatile uint64_t sink;

enum { PEAK_STEPS = 50000, PEAK_CHAINS = 12 };
#define PEAK_TWELVE(S) S("0") S("1") S("2") S("3") S("4") S("5") S("6") S("7") S("8") S("9") S("10") S("11")

#if defined(__x86_64__) && defined(__GNUC__) && !defined(CQUANT_NO_SIMD)
/* Accumulators in registers 0 to 11, which begin as 0; operands of a step in 14 and 15, the float 1 in each lane (as
   bytes 0, 0, 128, 63); 13 holds what is between two instructions of a step. */
#define PEAK_LOOP(setup, step, end)                                                                                    \
    unsigned steps = PEAK_STEPS;                                                                                       \
    (void)arg;                                                                                                         \
    __asm__ volatile("movd %1, %%xmm14\n\t" setup "1:\n\t" PEAK_TWELVE(step) "dec %0\n\tjnz 1b\n\t" end                \
                     : "+r"(steps)                                                                                     \
                     : "r"(0x3f800000)                                                                                 \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
#define PEAK_ZERO(r) "pxor %%xmm" r ", %%xmm" r "\n\t"
#define PEAK_128 PEAK_TWELVE(PEAK_ZERO) "pshufd $0, %%xmm14, %%xmm14\n\tmovdqa %%xmm14, %%xmm15\n\t"
#define PEAK_256 "vzeroall\n\tvmovd %1, %%xmm14\n\tvpbroadcastd %%xmm14, %%ymm14\n\tvmovdqa %%ymm14, %%ymm15\n\t"
#define PEAK_512 "vzeroall\n\tvmovd %1, %%xmm14\n\tvpbroadcastd %%xmm14, %%zmm14\n\tvmovdqa64 %%zmm14, %%zmm15\n\t"
#define MULADD_128(r) "movaps %%xmm14, %%xmm13\n\tmulps %%xmm15, %%xmm13\n\taddps %%xmm13, %%xmm" r "\n\t"
#define MULADD_256(r) "vmulps %%ymm14, %%ymm15, %%ymm13\n\tvaddps %%ymm13, %%ymm" r ", %%ymm" r "\n\t"
#define MULADD_512(r) "vmulps %%zmm14, %%zmm15, %%zmm13\n\tvaddps %%zmm13, %%zmm" r ", %%zmm" r "\n\t"
#define FMA_256(r) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" r "\n\t"
#define FMA_512(r) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" r "\n\t"
#define ADD_128(r) "addps %%xmm14, %%xmm" r "\n\t"
#define ADD_256(r) "vaddps %%ymm14, %%ymm" r ", %%ymm" r "\n\t"
#define ADD_512(r) "vaddps %%zmm14, %%zmm" r ", %%zmm" r "\n\t"
#define MADDUBS_128(r) "movdqa %%xmm14, %%xmm13\n\tpmaddubsw %%xmm15, %%xmm13\n\tpaddw %%xmm13, %%xmm" r "\n\t"
#define MADDWD_128(r) "movdqa %%xmm14, %%xmm13\n\tpmaddwd %%xmm15, %%xmm13\n\tpaddd %%xmm13, %%xmm" r "\n\t"
#define MADDUBS_256(r) "vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\tvpaddw %%ymm13, %%ymm" r ", %%ymm" r "\n\t"
#define MADDUBS_512(r) "vpmaddubsw %%zmm14, %%zmm15, %%zmm13\n\tvpaddw %%zmm13, %%zmm" r ", %%zmm" r "\n\t"
#define DPBUSD_256(r) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" r "\n\t"
#define DPBUSD_512(r) "vpdpbusd %%zmm14, %%zmm15, %%zmm" r "\n\t"
static void muladd_128(void *arg) { PEAK_LOOP(PEAK_128, MULADD_128, ""); }
static void muladd_256(void *arg) { PEAK_LOOP(PEAK_256, MULADD_256, "vzeroupper"); }
static void muladd_512(void *arg) { PEAK_LOOP(PEAK_512, MULADD_512, "vzeroupper"); }
static void fma_256(void *arg) { PEAK_LOOP(PEAK_256, FMA_256, "vzeroupper"); }
static void fma_512(void *arg) { PEAK_LOOP(PEAK_512, FMA_512, "vzeroupper"); }
static void add_128(void *arg) { PEAK_LOOP(PEAK_128, ADD_128, ""); }
static void add_256(void *arg) { PEAK_LOOP(PEAK_256, ADD_256, "vzeroupper"); }
static void add_512(void *arg) { PEAK_LOOP(PEAK_512, ADD_512, "vzeroupper"); }
static void maddwd_128(void *arg) { PEAK_LOOP(PEAK_128, MADDWD_128, ""); }
static void maddubs_128(void *arg) { PEAK_LOOP(PEAK_128, MADDUBS_128, ""); }
static void maddubs_256(void *arg) { PEAK_LOOP(PEAK_256, MADDUBS_256, "vzeroupper"); }
static void maddubs_512(void *arg) { PEAK_LOOP(PEAK_512, MADDUBS_512, "vzeroupper"); }
static void dpbusd_256(void *arg) { PEAK_LOOP(PEAK_256, DPBUSD_256, "vzeroupper"); }
static void dpbusd_512(void *arg) { PEAK_LOOP(PEAK_512, DPBUSD_512, "vzeroupper"); }
/* AMX, a register of 16 rows of 64 bytes times another: four products at once hide the latency */
enum { TILE_STEPS = 10000 };
static void tiles(void *arg) {
    unsigned steps = TILE_STEPS;
    static const unsigned char shape[64] = {1,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 64, 0, 64, 0,
                                            64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0,  0, 0,  0, 0,  0,
                                            0,  0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16};
    (void)arg;
    __asm__ volatile("ldtilecfg %1\n\t"
                     "tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n1:\n\t"
                     "tdpbsud %%tmm6, %%tmm4, %%tmm0\n\ttdpbsud %%tmm7, %%tmm4, %%tmm1\n\t"
                     "tdpbsud %%tmm6, %%tmm5, %%tmm2\n\ttdpbsud %%tmm7, %%tmm5, %%tmm3\n\t"
                     "dec %0\n\tjnz 1b\n\ttilerelease"
                     : "+r"(steps)
                     : "m"(shape)
                     : "cc");
}
#define CLOCK_STEP(r) "add %1, %0\n\t"
#define MEASURE_X86 1
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(CQUANT_NO_SIMD)
#define PEAK_LOOP(step)                                                                                                \
    unsigned steps = PEAK_STEPS;                                                                                       \
    (void)arg;                                                                                                         \
    __asm__ volatile(PEAK_TWELVE(PEAK_ZERO) "fmov v14.4s, #1.0\n\tfmov v15.4s, #1.0\n1:\n\t" PEAK_TWELVE(step)         \
                     "subs %w0, %w0, #1\n\tb.ne 1b\n\t"                                                                \
                     : "+r"(steps)                                                                                     \
                     :                                                                                                 \
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",   \
                       "v14", "v15")
#define PEAK_ZERO(r) "movi v" r ".4s, #0\n\t"
#define MULADD_128(r) "fmul v13.4s, v14.4s, v15.4s\n\tfadd v" r ".4s, v" r ".4s, v13.4s\n\t"
#define FMA_128(r) "fmla v" r ".4s, v14.4s, v15.4s\n\t"
#define ADD_128(r) "fadd v" r ".4s, v" r ".4s, v14.4s\n\t"
#define SMLAL_128(r) "smlal v" r ".8h, v14.8b, v15.8b\n\t"
#define SDOT_128(r) ".inst 0x4e8f95c0 + " r "\n\t"  /* sdot v(r).4s, v14.16b, v15.16b, whatever the assembler is told */
#define SMMLA_128(r) ".inst 0x4e8fa5c0 + " r "\n\t" /* smmla */
static void muladd_128(void *arg) { PEAK_LOOP(MULADD_128); }
static void fma_128(void *arg) { PEAK_LOOP(FMA_128); }
static void add_128(void *arg) { PEAK_LOOP(ADD_128); }
static void smlal_128(void *arg) { PEAK_LOOP(SMLAL_128); }
static void sdot_128(void *arg) { PEAK_LOOP(SDOT_128); }
static void smmla_128(void *arg) { PEAK_LOOP(SMMLA_128); }
#define CLOCK_STEP(r) "add %0, %0, %1\n\t"
#elif (defined(__riscv) || defined(__powerpc64__)) && defined(__GNUC__)
#define CLOCK_STEP(r) "add %0, %0, %1\n\t"
#endif

/* Without assembler for the machine: what the compiler makes of plain loops over an array that stays in the cache. */
enum { PLAIN_STEPS = 20000, PLAIN_LANES = 64 };
static void plain_muladd(void *arg) {
    static volatile float factor = 1e-9f;
    float s[PLAIN_LANES], x = factor;
    (void)arg;
    for (int c = 0; c < PLAIN_LANES; c++) s[c] = 0;
    for (int i = 0; i < PLAIN_STEPS; i++, x = -x)
        for (int c = 0; c < PLAIN_LANES; c++) s[c] = s[c] + x * (float)c;
    for (int c = 1; c < PLAIN_LANES; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}
static void plain_add(void *arg) {
    static volatile float start = 1e-9f;
    float s[PLAIN_LANES], x = start;
    (void)arg;
    for (int c = 0; c < PLAIN_LANES; c++) s[c] = (float)c;
    for (int i = 0; i < PLAIN_STEPS; i++, x = -x)
        for (int c = 0; c < PLAIN_LANES; c++) s[c] = s[c] + x;
    for (int c = 1; c < PLAIN_LANES; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}
static void plain_i8(void *arg) {
    static volatile int factor = 3;
    int32_t s[PLAIN_LANES];
    (void)arg;
    for (int c = 0; c < PLAIN_LANES; c++) s[c] = 0;
    for (int i = 0; i < PLAIN_STEPS; i++)
        for (int c = 0; c < PLAIN_LANES; c++) s[c] += (int8_t)(factor + i) * (int8_t)c;
    for (int c = 1; c < PLAIN_LANES; c++) s[0] += s[c];
    sink = (uint64_t)(int64_t)s[0];
}

/* The same with the compiler's vectors of 16 bytes, one operand from memory. */
#if defined(__GNUC__) && !defined(MEASURE_X86) && !defined(FMA_128)
typedef float vector4 __attribute__((vector_size(16)));
#define VECTOR_CHAINS 8
#define VECTOR_LOOP(step)                                                                                              \
    static volatile vector4 f[VECTOR_CHAINS];                                                                          \
    vector4 x = {1, 1, 1, 1}, s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x, s6 = x, s7 = x;                          \
    (void)arg;                                                                                                         \
    for (int i = 0; i < PEAK_STEPS; i++) {                                                                             \
        s0 += step(f[0]), s1 += step(f[1]), s2 += step(f[2]), s3 += step(f[3]);                                        \
        s4 += step(f[4]), s5 += step(f[5]), s6 += step(f[6]), s7 += step(f[7]);                                        \
    }                                                                                                                  \
    x = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));                                                             \
    sink = (uint64_t)(int64_t)x[0]
#define VECTOR_MULADD(f) x *f
#define VECTOR_ADD(f) f
static void vector_muladd(void *arg) { VECTOR_LOOP(VECTOR_MULADD); }
static void vector_add(void *arg) { VECTOR_LOOP(VECTOR_ADD); }
#endif

/* The yardsticks of a tier: a multiplication and an addition of floats (what products of floats may use: they never
   fuse), fused ones (what the solver uses), additions, and 8-bit products. The first row whose tier fits counts. */
typedef struct {
    const char *name; /* of the instruction */
    void (*run)(void *);
    double lanes; /* multiply-adds (or additions) of one step of one chain; 0: a plain loop */
    double rate;  /* 1e9 a second, once measured */
} peak;
typedef struct {
    const char *tier;
    peak *muladd, *fma, *add, *i8;
} yardsticks;

static peak peak_plain_muladd = {"plain loop mul + add", plain_muladd, 0, 0},
            peak_plain_add = {"plain loop add", plain_add, 0, 0}, peak_plain_i8 = {"plain loop 8-bit", plain_i8, 0, 0};
#ifdef VECTOR_CHAINS
static peak peak_vector_muladd = {"16-byte vectors mul + add", vector_muladd, 4.0 * VECTOR_CHAINS / PEAK_CHAINS, 0},
            peak_vector_add = {"16-byte vectors add", vector_add, 4.0 * VECTOR_CHAINS / PEAK_CHAINS, 0};
#endif
#ifdef MEASURE_X86
static peak peak_muladd_128 = {"mulps + addps xmm", muladd_128, 4, 0}, peak_add_128 = {"addps xmm", add_128, 4, 0},
            peak_maddwd_128 = {"maddwd + addd xmm", maddwd_128, 8, 0},
            peak_maddubs_128 = {"maddubs + addw xmm", maddubs_128, 16, 0},
            peak_muladd_256 = {"mulps + addps ymm", muladd_256, 8, 0}, peak_fma_256 = {"fma ymm", fma_256, 8, 0},
            peak_add_256 = {"addps ymm", add_256, 8, 0}, peak_maddubs_256 = {"maddubs + addw ymm", maddubs_256, 32, 0},
            peak_dpbusd_256 = {"dpbusd ymm", dpbusd_256, 32, 0},
            peak_muladd_512 = {"mulps + addps zmm", muladd_512, 16, 0}, peak_fma_512 = {"fma zmm", fma_512, 16, 0},
            peak_add_512 = {"addps zmm", add_512, 16, 0}, peak_maddubs_512 = {"maddubs + addw zmm", maddubs_512, 64, 0},
            peak_dpbusd_512 = {"dpbusd zmm", dpbusd_512, 64, 0},
            peak_tiles = {"tdpbsud", tiles, 16.0 * 16 * 64 * 4 * TILE_STEPS / ((double)PEAK_CHAINS * PEAK_STEPS), 0};
#elif defined(FMA_128)
static peak peak_muladd_128 = {"fmul + fadd", muladd_128, 4, 0}, peak_fma_128 = {"fmla", fma_128, 4, 0},
            peak_add_128 = {"fadd", add_128, 4, 0}, peak_smlal_128 = {"smlal", smlal_128, 8, 0},
            peak_sdot_128 = {"sdot", sdot_128, 16, 0}, peak_smmla_128 = {"smmla", smmla_128, 32, 0};
#endif
static const yardsticks yardstick_table[] = {
#ifdef MEASURE_X86
    {"amx", &peak_muladd_512, &peak_fma_512, &peak_add_512, &peak_tiles},
    {"avx512vnni", &peak_muladd_512, &peak_fma_512, &peak_add_512, &peak_dpbusd_512},
    {"avx512", &peak_muladd_512, &peak_fma_512, &peak_add_512, &peak_maddubs_512},
    {"avxvnni", &peak_muladd_256, &peak_fma_256, &peak_add_256, &peak_dpbusd_256},
    {"avx2", &peak_muladd_256, &peak_fma_256, &peak_add_256, &peak_maddubs_256},
    {"sse41", &peak_muladd_128, &peak_muladd_128, &peak_add_128, &peak_maddubs_128},
    {"v128", &peak_muladd_128, &peak_muladd_128, &peak_add_128, &peak_maddwd_128},
#elif defined(FMA_128)
    {"i8mm", &peak_muladd_128, &peak_fma_128, &peak_add_128, &peak_smmla_128},
    {"dotprod", &peak_muladd_128, &peak_fma_128, &peak_add_128, &peak_sdot_128},
    {"neon", &peak_muladd_128, &peak_fma_128, &peak_add_128, &peak_smlal_128},
#endif
#ifdef VECTOR_CHAINS
    {"v128", &peak_vector_muladd, &peak_vector_muladd, &peak_vector_add, &peak_plain_i8},
    {"rvv", &peak_vector_muladd, &peak_vector_muladd, &peak_vector_add, &peak_plain_i8},
    {"neon", &peak_vector_muladd, &peak_vector_muladd, &peak_vector_add, &peak_plain_i8},
#endif
    {NULL, &peak_plain_muladd, &peak_plain_muladd, &peak_plain_add, &peak_plain_i8}}; /* plain C and all others */
static const yardsticks *yardsticks_of(const char *tier) {
    const yardsticks *y = yardstick_table;
    while (y->tier && strcmp(y->tier, tier)) y++;
    return y;
}
static double peak_work(const peak *p) { /* operations of one run */
    return p->lanes > 0 ? p->lanes * PEAK_CHAINS * PEAK_STEPS : (double)PLAIN_STEPS * PLAIN_LANES;
}
/* 1e9 operations a second, measured when first asked for */
static double peak_rate(peak *p) {
    if (!(p->rate > 0)) p->rate = peak_work(p) / best(p->run, NULL, 0.25) * 1e-9;
    return p->rate;
}
/* The peak that products are compared with on every tier: fused multiply-adds of 256-bit vectors; else the tier's own. */
static peak *fma256(const char *tier) {
#ifdef MEASURE_X86
    if (has_tier("avx2")) return &peak_fma_256;
#endif
    return yardsticks_of(tier)->fma;
}
/* What a call is measured beside: a yardstick, which does `work` of something each time it runs. */
typedef struct {
    void (*run)(void *);
    void *arg;
    double work;
    double rate; /* 1e9 a second, measured */
} beside;
static beside beside_peak(const peak *p) {
    beside b = {p->run, NULL, peak_work(p), 0};
    return b;
}
/* The least time of a call, and the best rates of yardsticks, by turns, as often and over as long a time: how fast a
   core or memory is depends on what has just run and on who else is there, and a clock is higher for a tenth of a
   millisecond than for a tenth of a second. */
static double best_beside(void (*call)(void *), void *arg, double budget, beside *b, size_t yardsticks) {
    double least = 1e9, begin = now();
    for (int turn = 0; turn < 2 || (turn < 5 && now() - begin < budget); turn++) {
        double t = best(call, arg, budget / 5);
        least = t < least ? t : least;
        for (size_t y = 0; y < yardsticks; y++) {
            double from = now();
            for (int i = 0; i < 3 || now() - from < budget / 5; i++) {
                double start = now(), work = 0;
                do b[y].run(b[y].arg), work += b[y].work;
                while (now() - start < t);
                work /= now() - start;
                b[y].rate = work * 1e-9 > b[y].rate ? work * 1e-9 : b[y].rate;
            }
        }
        if (t > 0.5) break;
    }
    return least;
}

/* Says whether all cores are ours: what does not wait for memory should be as many times as fast on them. */
static void crowd_task(void *arg, size_t i) {
    (void)i;
    ((const peak *)arg)->run(NULL);
}
static void crowd_run(void *arg) { team_run(NULL, (size_t)team.others + 1, crowd_task, arg); }
static void print_crowd(int threads, const char *tier) {
    peak *p = yardsticks_of(tier)->fma;
    double one = best(p->run, NULL, 0.05), all;
    if (threads < 2) return;
    team_start(threads);
    all = best(crowd_run, p, 0.05);
    team_stop();
    double times = threads * one / all;
    printf("threads    %d do %.2f times the work of one%s\n", threads, times,
           times < 0.9 * threads ? ": somebody else is computing here, rows of several threads mean little" : "");
}

/* Cycles a second in 1e9: a chain of additions of integers, each of which takes one. 0: not known. */
#ifdef CLOCK_STEP
static void clock_chain(void *arg) {
    unsigned long sum = 0, one = 1;
    (void)arg;
    for (int i = 0; i < 2500; i++) __asm__ volatile(PEAK_TWELVE(CLOCK_STEP) : "+r"(sum) : "r"(one) : "cc");
    sink = sum;
}
static double clock_rate(void) { return 2500.0 * 12 / best(clock_chain, NULL, 0.001) * 1e-9; }
#else
static double clock_rate(void) { return 0; }
#endif

/* ---------------------------------------------------------------------------------------------- memory */
typedef struct {
    int width; /* bytes of a load: 64, 32, 16, 8 */
    size_t ahead; /* bytes that are asked for in advance; 0: left to the processor */
    int streams; /* places that are read at once */
} reading;

static void read_run(const unsigned char *p, size_t bytes, reading how) { /* bytes: a multiple of 256 * streams */
    size_t part = bytes / (size_t)how.streams;
    for (size_t i = 0; i < part; i += 256)
        for (int s = 0; s < how.streams; s++) {
            const unsigned char *q = p + (size_t)s * part + i;
            if (how.ahead)
                for (size_t j = 0; j < 256; j += 64) __builtin_prefetch(q + how.ahead + j);
#ifdef MEASURE_X86
#define READ(load, at) __asm__ volatile(load : : "m"(*(const uint64_t(*)[8])(const void *)(q + (at))) : "xmm0")
            if (how.width == 64)
                for (size_t j = 0; j < 256; j += 128) {
                    READ("vmovdqu64 %0, %%zmm0", j);
                    READ("vmovdqu64 %0, %%zmm0", j + 64);
                }
            else if (how.width == 32)
                for (size_t j = 0; j < 256; j += 128) {
                    READ("vmovdqu %0, %%ymm0", j);
                    READ("vmovdqu %0, %%ymm0", j + 32);
                    READ("vmovdqu %0, %%ymm0", j + 64);
                    READ("vmovdqu %0, %%ymm0", j + 96);
                }
            else
                for (size_t j = 0; j < 256; j += 64) {
                    READ("movdqu %0, %%xmm0", j);
                    READ("movdqu %0, %%xmm0", j + 16);
                    READ("movdqu %0, %%xmm0", j + 32);
                    READ("movdqu %0, %%xmm0", j + 48);
                }
#undef READ
#else
            uint64_t a[4] = {0, 0, 0, 0}, v[4];
            for (size_t j = 0; j < 256; j += 32) {
                memcpy(v, q + j, 32);
                a[0] ^= v[0], a[1] ^= v[1], a[2] ^= v[2], a[3] ^= v[3];
            }
            sink = a[0] ^ a[1] ^ a[2] ^ a[3];
#endif
        }
#ifdef MEASURE_X86
    if (how.width >= 32) __asm__ volatile("vzeroupper" : : : "xmm0");
#endif
}
typedef struct {
    const unsigned char *base;
    size_t size, bytes, turn; /* reads `bytes` in turn, out of size */
    size_t times; /* in one call, for what is too short for the clock */
    int threads;
    reading how;
} reader;
static void read_part(void *arg, size_t i) {
    const reader *r = (const reader *)arg;
    size_t part = r->bytes / (size_t)r->threads;
    read_run(r->base + r->turn % (r->size / r->bytes) * r->bytes + i * part, part, r->how);
}
static void read_next(void *arg) {
    reader *r = (reader *)arg;
    for (size_t i = 0; i < r->times; i++) {
        r->turn++;
        if (r->threads > 1) team_run(NULL, (size_t)r->threads, read_part, r);
        else read_part(r, 0);
    }
}
/* GB/s, the best of many ways to read `size` bytes again and again; `found` reads in that way. With several threads
   the team must have been started. */
static double read_rate(const void *base, size_t size, int threads, double budget, reader *found) {
    static const size_t aheads[] = {0, 512, 1024, 2048, 4096};
    double most = 0;
    reader r;
    memset(&r, 0, sizeof r);
    r.base = (const unsigned char *)base;
    r.size = size;
    r.threads = threads;
    r.bytes = (size_t)threads << 22; /* as short as a product: a call is then disturbed as seldom */
    if (r.bytes > size) r.bytes = size / 2048 * 2048;
    r.times = 1 + 500000 / r.bytes;
    for (int width = 64; width >= 16; width /= 2) {
        if (width == 64 && !has_tier("avx512")) continue;
        if (width == 32 && !has_tier("avx2")) continue;
        if (width == 16 && has_tier("avx2")) continue; /* never better, and not what any tier there uses */
        for (int streams = 1; streams <= 4; streams *= 2)
            for (size_t a = 0; a < sizeof aheads / sizeof *aheads; a++) {
                r.how.width = width;
                r.how.ahead = aheads[a];
                r.how.streams = streams;
                double rate = (double)(r.bytes * r.times) / best(read_next, &r, budget / 20) * 1e-9;
                if (rate > most) most = rate, *found = r;
            }
    }
    double rate = (double)(r.bytes * r.times) / best(read_next, found, budget) * 1e-9; /* the best again, for longer */
    return rate > most ? rate : most;
}

/* Weights of a model: copies of a matrix of rows x cols in panels, one after the other, that fill a pool together. The
   matrix repeats its first WEIGHT_ROWS rows, which are those of w, rounded to nearest. */
enum { WEIGHT_ROWS = 256 };
typedef struct {
    unsigned char *memory;
    size_t size, copies, turn;
    cq_tensor t;
} weights;
static void weights_fill(weights *p, cq_format format, size_t group, size_t rows, size_t cols, const float *w) {
    cq_tensor chunk;
    cq_error err;
    size_t used = 0;
    if (cq_tensor_init(&p->t, format, CQ_PANELS, rows, cols, group, false, &err) ||
        cq_tensor_init(&chunk, format, CQ_PANELS, WEIGHT_ROWS, cols, group, false, &err) ||
        cq_quantize_rtn(&chunk, p->memory, w, cols, &err) || p->t.bytes > p->size || rows % WEIGHT_ROWS) {
        fprintf(stderr, "these weights cannot be made: %s\n", err.what);
        exit(1);
    }
    p->copies = p->size / p->t.bytes;
    for (used = chunk.bytes; used + chunk.bytes <= p->copies * p->t.bytes; used += chunk.bytes)
        memcpy(p->memory + used, p->memory, chunk.bytes);
    p->turn = 0;
}
static const cq_tensor *weights_next(weights *p) {
    p->t.data = p->memory + p->turn++ % p->copies * p->t.bytes;
    return &p->t;
}
/* Activations for n rows at most. group: columns that share a scale, 0: all. Never freed: a bench ends soon. */
static cq_acts new_acts(size_t n, size_t cols, size_t group) {
    cq_acts a;
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_acts_alloc_groups(&a, &arena, n, cols, group);
    size_t used = arena.used;
    arena = cq_arena_over(allocate(used), used);
    cq_acts_alloc_groups(&a, &arena, n, cols, group);
    return a;
}

/* ---------------------------------------------------------------------------------------------- what this is */
static void first_line(const char *path, const char *key, char *out, size_t size) { /* the value after "key ... : " */
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) {
            char *value = strchr(line, ':');
            value = value ? value + 1 : line;
            value += strspn(value, " \t");
            value[strcspn(value, "\n")] = 0;
            snprintf(out, size, "%s", value);
            break;
        }
    fclose(f);
}
#if defined(__clang__)
#define MEASURE_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define MEASURE_COMPILER "gcc " __VERSION__
#else
#define MEASURE_COMPILER "unknown compiler"
#endif
#ifndef MEASURE_FLAGS /* the Makefile says */
#define MEASURE_FLAGS "not told"
#endif
static char machine[160];
static void describe(FILE *f) {
    char memory[64] = "";
    struct utsname name;
    snprintf(machine, sizeof machine, "%s", uname(&name) ? "unknown processor" : name.machine);
    first_line("/proc/device-tree/model", "", machine, sizeof machine);
    first_line("/proc/cpuinfo", "model name", machine, sizeof machine);
    first_line("/proc/meminfo", "MemTotal", memory, sizeof memory);
    fprintf(f, "machine    %s; %d cores", machine, cores());
#ifdef _SC_LEVEL3_CACHE_SIZE
    long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (l1 > 0) fprintf(f, "; caches %ld KB, %ld KB, %ld MB", l1 >> 10, l2 >> 10, l3 >> 20);
#endif
    fprintf(f, "; memory %s\n", *memory ? memory : "unknown");
    fprintf(f, "compiler   %s\nflags      %s\ntiers      ", MEASURE_COMPILER, MEASURE_FLAGS);
    for (size_t i = 0; cq_isa_available(i); i++) fprintf(f, "%s%s", i ? ", " : "", cq_isa_available(i));
    fprintf(f, "\n");
}
