/* peers_fht.c - the Hadamard transform beside FFHT (https://github.com/FALCONN-LIB/FFHT), in one process, by turns

     sh bench/peers.sh, or make bench-peers

   Both transform a vector of 2^p numbers in place, with AVX and one thread; FFHT does not scale, cq_hadamard does (by
   1 / sqrt(n), in its last pass). Nanoseconds, the least of many rounds; "times as fast" is FFHT / cquant. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fht.h"
#define CQUANT_IMPLEMENTATION
#include "cquant_rotate.h"

enum { ROUNDS = 400, WORK = 100000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const cq_context *ctx;
    cq_hadamard h;
    float *f;
    double *d;
    int log_n;
} job;
static void ours_f32(job *j) { cq_hadamard_f32(j->ctx, &j->h, j->f, NULL, false); }
static void ours_f64(job *j) { cq_hadamard_f64(j->ctx, &j->h, j->d, NULL, false); }
static void theirs_f32(job *j) { fht_float(j->f, j->log_n); }
static void theirs_f64(job *j) { fht_double(j->d, j->log_n); }

/* the same numbers from both, up to rounding */
static void check(job *j, bool f64) {
    size_t n = j->h.n;
    double *want = (double *)malloc(n * sizeof(double)), worst = 0;
    for (int pass = 0; want && pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) j->f[i] = (float)(j->d[i] = (double)(cq_random(1, 0, i) >> 40) / 16777216 - 0.5);
        if (f64) (pass ? ours_f64 : theirs_f64)(j);
        else (pass ? ours_f32 : theirs_f32)(j);
        for (size_t i = 0; i < n; i++) {
            double v = f64 ? j->d[i] : (double)j->f[i];
            if (pass == 0) want[i] = v / sqrt((double)n);
            else worst = fmax(worst, fabs(v - want[i]));
        }
    }
    free(want);
    if (!(worst < (f64 ? 1e-14 : 3e-6))) {
        printf("the results differ by %g at n = %lu\n", worst, (unsigned long)n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) j->f[i] = 0, j->d[i] = 0; /* FFHT's numbers grow without bound otherwise */
}

int main(void) {
    cq_context ctx;
    job j;
    int slower = 0;
    if (cq_init(&ctx, NULL, NULL)) return 1;
    j.ctx = &ctx;
    j.f = (float *)aligned_alloc(64, sizeof(float) << 15);
    j.d = (double *)aligned_alloc(64, sizeof(double) << 15);
    if (!j.f || !j.d) return 1;
    printf("Hadamard transform, one thread; cquant kernels: %s\n", cq_isa(&ctx));
    printf("%-6s %8s %12s %12s %14s\n", "type", "n", "FFHT ns", "cquant ns", "times as fast");
    for (int f64 = 0; f64 < 2; f64++)
        for (j.log_n = 7; j.log_n <= 14; j.log_n++) {
            void (*call[2])(job *) = {f64 ? theirs_f64 : theirs_f32, f64 ? ours_f64 : ours_f32};
            double least[2] = {1e9, 1e9};
            cq_arena none = cq_arena_over(NULL, 0); /* a power of two needs no memory */
            size_t n = (size_t)1 << j.log_n;
            if (cq_hadamard_init(&j.h, n, &none, NULL)) return 1;
            check(&j, f64 != 0);
            for (int round = 0; round < ROUNDS; round++)
                for (int c = 0; c < 2; c++) {
                    double t = now();
                    for (size_t i = 0; i < 1 + WORK / n; i++) call[c](&j);
                    t = (now() - t) / (double)(1 + WORK / n);
                    least[c] = t < least[c] ? t : least[c];
                }
            printf("%-6s %8lu %12.1f %12.1f %14.2f\n", f64 ? "double" : "float", (unsigned long)n, least[0] * 1e9,
                   least[1] * 1e9, least[0] / least[1]);
            slower += least[1] > least[0];
        }
    if (slower) printf("slower than FFHT in %d rows\n", slower);
    free(j.f), free(j.d);
    return 0;
}
