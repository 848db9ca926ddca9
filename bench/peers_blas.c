/* peers_blas.c - our float products and factor beside those of OpenBLAS, in one process, by turns

     peers_blas TIER [--json FILE]     (sh bench/peers.sh blas fetches OpenBLAS and runs this)

   TIER: our kernels; "best": the best. What OpenBLAS may use it is told by OPENBLAS_CORETYPE (peers.sh does).
     gemm      C += A B, n x n x n; ours sums each element in one chain, in order, whatever the machine (EXACTNESS)
     syrk      C += X^T X, 1024 rows of X, n columns; ours keeps both triangles, ssyrk one
     factor    H + lambda I = U D U^T beside spotrf; ours also looks for NaN and asymmetry, orders the columns, and
               keeps H; spotrf is given a fresh copy each time, which is not counted
   A row is refused unless the results agree: C to a relative error of 1e-5, factors in their determinant. The least of
   many times; "times as fast" is OpenBLAS' time / ours. */
#define _GNU_SOURCE
#include <math.h>

#include "examples/tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant_gptq.h"

#include "measure.h"

/* of scipy-openblas32, whose names all begin so */
void scipy_cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                       const float *b, int ldb, float beta, float *c, int ldc);
void scipy_cblas_ssyrk(int order, int uplo, int trans, int n, int k, float alpha, const float *a, int lda, float beta,
                       float *c, int ldc);
void scipy_spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t uplo_length);
void scipy_openblas_set_num_threads(int n);
char *scipy_openblas_get_corename(void);
char *scipy_openblas_get_config(void);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, LOWER = 122 };
enum { TOKENS = 1152 /* three passes of ours */, LARGEST = 4096 };

typedef struct {
    cq_context ctx;
    size_t n;
    float *a, *b, *h, *ours, *theirs, *scratch, *gemm_scratch;
    cq_hessian hessian;
    cq_gptq_desc desc;
    cq_factor factor;
    cq_arena arena;
} job;
static void gemm_ours(job *j) {
    cq_gemm(&j->ctx, j->ours, j->n, j->a, j->n, j->b, j->n, j->n, j->n, j->n, j->gemm_scratch);
}
static void gemm_theirs(job *j) {
    int n = (int)j->n;
    scipy_cblas_sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, n, n, n, 1, j->a, n, j->b, n, 1, j->theirs, n);
}
static void syrk_ours(job *j) {
    cq_syrk(&j->ctx, j->ours, j->n, j->a, j->n, TOKENS, NULL, j->n, j->scratch);
}
static void syrk_theirs(job *j) {
    int n = (int)j->n;
    scipy_cblas_ssyrk(ROW_MAJOR, LOWER, TRANS, n, TOKENS, 1, j->a, n, 1, j->theirs, n);
}
static double products_differ(const job *j) {
    double wrong = 0, all = 0;
    for (size_t r = 0; r < j->n; r += 7)
        for (size_t c = 0; c <= r; c++) {
            double e = (double)j->ours[r * j->n + c] - (double)j->theirs[r * j->n + c];
            wrong += e * e;
            all += (double)j->theirs[r * j->n + c] * (double)j->theirs[r * j->n + c];
        }
    return sqrt(wrong / all);
}
static void factor_ours(job *j) {
    j->arena.used = 0;
    if (cq_gptq_factor(&j->ctx, &j->factor, &j->hessian, &j->desc, &j->arena, NULL)) exit(1);
}
static void factor_theirs(job *j) {
    int n = (int)j->n, info = 0;
    scipy_spotrf_("L", &n, j->theirs, &n, &info, 1);
    if (info) exit(1);
}
static void factor_prepare(job *j) {
    memcpy(j->theirs, j->h, j->n * j->n * sizeof(float));
    for (size_t i = 0; i < j->n; i++) j->theirs[i * j->n + i] += j->factor.lambda;
}
static double factors_differ(const job *j) {
    double ours = 0, theirs = 0;
    for (size_t i = 0; i < j->n; i++) {
        ours += log((double)j->factor.d[i]);
        theirs += 2 * log((double)j->theirs[i * j->n + i]);
    }
    return fabs(ours - theirs) / fabs(theirs);
}
static void nothing(job *j) { (void)j; }

static const struct {
    const char *ours, *theirs;
    size_t n;
    double macs; /* over n^3, or n^2 */
    void (*prepare)(job *), (*run[2])(job *);
    double (*differ)(const job *);
} row_table[] = {
    {"cq_gemm", "sgemm", 1024, 1, nothing, {gemm_ours, gemm_theirs}, products_differ},
    {"cq_gemm", "sgemm", 2048, 1, nothing, {gemm_ours, gemm_theirs}, products_differ},
    {"cq_syrk", "ssyrk", 2048, 0.5, nothing, {syrk_ours, syrk_theirs}, products_differ},
    {"cq_syrk", "ssyrk", 4096, 0.5, nothing, {syrk_ours, syrk_theirs}, products_differ},
    {"cq_gptq_factor", "spotrf", 2048, 1 / 6.0, factor_prepare, {factor_ours, factor_theirs}, factors_differ},
    {"cq_gptq_factor", "spotrf", 4096, 1 / 6.0, factor_prepare, {factor_ours, factor_theirs}, factors_differ},
};

int main(int argc, char **argv) {
    job j;
    size_t most = (size_t)LARGEST * LARGEST;
    const char *json = argc == 4 && !strcmp(argv[2], "--json") ? argv[3] : NULL;
    if (argc != 2 && !json) return fprintf(stderr, "usage: peers_blas TIER [--json FILE]\n"), 2;
    memset(&j, 0, sizeof j);
    if (!context(&j.ctx, strcmp(argv[1], "best") ? argv[1] : NULL, 1))
        return fprintf(stderr, "peers_blas: no tier '%s' here\n", argv[1]), 1;
    const char *isa = cq_isa(&j.ctx);
    float **all[] = {&j.a, &j.b, &j.h, &j.ours, &j.theirs};
    for (int i = 0; i < 5; i++) *all[i] = (float *)allocate(most * sizeof(float));
    j.scratch = (float *)allocate(cq_syrk_scratch(LARGEST) * sizeof(float));
    j.gemm_scratch = (float *)allocate(cq_gemm_scratch(LARGEST, LARGEST, LARGEST) * sizeof(float));
    describe(stdout);
    print_crowd(cores(), isa);
    printf("%s, core %s, beside our %s\n", scipy_openblas_get_config(), scipy_openblas_get_corename(), isa);
    double peak = peak_rate(yardsticks_of(isa)->fma);
    printf("%s: %.1f GMAC/s with one thread; share: ours of that\n", yardsticks_of(isa)->fma->name, peak);
    printf("%-15s %-8s %6s %3s %14s %12s %7s %14s\n", "ours", "OpenBLAS", "n", "th", "theirs GMAC/s", "ours GMAC/s",
           "share", "times as fast");
    FILE *f = json ? fopen(json, "w") : NULL;
    if (json && !f) return perror(json), 1;
    if (f) fprintf(f, "[");
    for (size_t i = 0; i < sizeof row_table / sizeof *row_table; i++) {
        size_t n = j.n = row_table[i].n;
        bool factor = row_table[i].prepare == factor_prepare, syrk = row_table[i].run[0] == syrk_ours;
        fill_random(j.a, factor || syrk ? TOKENS * n : n * n, 1);
        fill_random(j.b, n * n, 2);
        if (factor) { /* H of twice as many tokens as it has columns is well conditioned; here the diagonal is lifted */
            memset(j.h, 0, n * n * sizeof(float));
            cq_syrk(&j.ctx, j.h, n, j.a, n, TOKENS, NULL, n, j.scratch);
            for (size_t d = 0; d < n; d++) j.h[d * n + d] += (float)TOKENS;
            j.hessian.h = j.h;
            j.hessian.cols = n;
            j.hessian.tokens = TOKENS;
            j.arena = cq_arena_over(NULL, 0);
            cq_gptq_factor(&j.ctx, &j.factor, &j.hessian, &j.desc, &j.arena, NULL);
            size_t used = j.arena.used;
            j.arena = cq_arena_over(allocate(used), used);
        }
        for (int threads = 1; threads <= cores(); threads = threads < cores() ? cores() : threads + 1) {
            double least[2] = {1e9, 1e9}, differ = 0;
            double macs = row_table[i].macs * (double)n * (double)n * (double)(syrk ? TOKENS : n);
            scipy_openblas_set_num_threads(threads);
            for (int round = 0; round < 5; round++) { /* by turns: what disturbs one disturbs the other */
                for (int c = 0; c < 2; c++) {
                    /* OpenBLAS' threads go on spinning for a while, and ours begin to */
                    struct timespec pause = {0, 50000000};
                    double t = 0;
                    nanosleep(&pause, NULL);
                    if (c == 0 && threads > 1) team_start(threads);
                    context(&j.ctx, isa, c == 0 ? threads : 1);
                    for (int again = 0; again < 2; again++) { /* the first: threads find their cores, the clock rises */
                        memset(c ? j.theirs : j.ours, 0, n * n * sizeof(float));
                        row_table[i].prepare(&j);
                        t = now();
                        row_table[i].run[c](&j);
                        t = now() - t;
                    }
                    if (c == 0 && threads > 1) team_stop();
                    least[c] = t < least[c] ? t : least[c];
                }
                double e = row_table[i].differ(&j);
                differ = e > differ || e != e ? e : differ;
            }
            if (!(differ < 1e-5)) {
                fprintf(stderr, "peers_blas: %s n=%u: the results differ by %g\n", row_table[i].theirs, (unsigned)n,
                        differ);
                return 1;
            }
            double ours = macs / least[0] * 1e-9, theirs = macs / least[1] * 1e-9;
            printf("%-15s %-8s %6u %3d %14.1f %12.1f %6.1f%% %14.2f\n", row_table[i].ours, row_table[i].theirs,
                   (unsigned)n, threads, theirs, ours, 100 * ours / peak / threads, ours / theirs);
            fflush(stdout);
            if (f)
                fprintf(f,
                        "%s\n  {\"name\": \"%s n=%u, threads: %d\", \"tier\": \"%s\", \"core\": \"%s\", "
                        "\"theirs_gmacs\": %.3f, \"ours_gmacs\": %.3f, \"ratio\": %.4f}",
                        i || threads > 1 ? "," : "", row_table[i].theirs, (unsigned)n, threads, isa,
                        scipy_openblas_get_corename(), theirs, ours, ours / theirs);
        }
        if (factor) free(j.arena.base);
    }
    if (f) fprintf(f, "\n]\n");
    if (f && fclose(f)) return perror(json), 1;
    return 0;
}
