/* peers_ggml.c - our products beside those of ggml (the kernels of llama.cpp), in one process, by turns

     peers_ggml BUILD TIER [--quick] [--json FILE]     (sh bench/peers.sh ggml builds ggml and runs this)

   BUILD: what this ggml may use, for the table; TIER: our kernels, which may use no more; "best": the best.
   The same 4096 x 4096 matrix as both hold it, times 1, 64 and 256 rows of floats, which both round to int8 first: that
   is part of the time. The weights are copies that together exceed the caches. ggml gets its own best: every kind of
   buffer that it offers (interleaved rows, AMX tiles, plain), of which the fastest counts, its own threads, large
   pages.
   A row is refused unless both results are near the product in floats. The least of many times; "times as fast" is
   ggml's time / ours. */
#define _GNU_SOURCE
#include <math.h>

#include "examples/tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant.h"

#include "measure.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

enum { DIM = 4096, MOST = 256, COPIES = 1024 };

static const struct {
    const char *name; /* of ggml's type */
    enum ggml_type type;
    cq_format format; /* ours */
    uint32_t group;
    const char *ours;
} pair_table[] = {
    {"Q4_0", GGML_TYPE_Q4_0, CQ_INT4, 32, "int4 g32"},
    {"Q4_K", GGML_TYPE_Q4_K, CQ_INT4, 32, "int4 g32"},
    {"Q8_0", GGML_TYPE_Q8_0, CQ_INT8, 32, "int8 g32"},
    {"MXFP4", GGML_TYPE_MXFP4, CQ_MXFP4, 32, "mxfp4"},
};
static const size_t tokens[] = {1, 64, 256};

/* ours */
typedef struct {
    cq_context ctx;
    weights w;
    cq_acts acts;
    const float *x;
    float *y;
    size_t n;
    int threads;
    double budget, seconds;
} our_job;
static void run_ours(void *arg) {
    our_job *j = (our_job *)arg;
    cq_quantize_acts(&j->ctx, &j->acts, j->x, DIM, j->n, DIM);
    cq_matmul_q8(&j->ctx, j->y, DIM, weights_next(&j->w), NULL, &j->acts, j->n, false);
}

/* On a thread of its own: ggml configures the tiles of AMX once a thread, and ours would release them. */
static void *ours_alone(void *arg) {
    our_job *j = (our_job *)arg;
    if (j->threads > 1) team_start(j->threads);
    j->seconds = best(run_ours, j, j->budget);
    if (j->threads > 1) team_stop();
    return NULL;
}
static double ours_seconds(our_job *j, double budget) {
    pthread_t alone;
    j->budget = budget;
    if (pthread_create(&alone, NULL, ours_alone, j) || pthread_join(alone, NULL)) exit(1);
    return j->seconds;
}

/* theirs: a graph for each copy of the weights, a single product in it */
typedef struct {
    ggml_backend_t backend;
    struct ggml_context *weight_ctx, *ctx;
    ggml_backend_buffer_t weight_buffer, buffer;
    struct ggml_tensor *w[COPIES], *x, *y[COPIES];
    struct ggml_cgraph *graph[COPIES];
    size_t copies, turn;
} their_job;
static void run_theirs(void *arg) {
    their_job *j = (their_job *)arg;
    if (ggml_backend_graph_compute(j->backend, j->graph[j->turn++ % j->copies]) != GGML_STATUS_SUCCESS) exit(1);
}
static struct ggml_context *new_context(size_t bytes) {
    struct ggml_init_params params = {bytes, NULL, true};
    struct ggml_context *ctx = ggml_init(params);
    if (!ctx) exit(1);
    return ctx;
}
/* The weights in buffers of that kind; false when ggml cannot multiply from there. */
static bool their_weights(their_job *j, ggml_backend_dev_t device, ggml_backend_buffer_type_t kind, enum ggml_type type,
                          const void *data, size_t bytes, size_t copies) {
    j->copies = copies;
    j->weight_ctx = new_context((copies + 8) * ggml_tensor_overhead());
    for (size_t i = 0; i < copies; i++) j->w[i] = ggml_new_tensor_2d(j->weight_ctx, type, DIM, DIM);
    j->weight_buffer = ggml_backend_alloc_ctx_tensors_from_buft(j->weight_ctx, kind);
    if (!j->weight_buffer) return false;
    struct ggml_context *ctx = new_context(8 * ggml_tensor_overhead());
    struct ggml_tensor *x = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, DIM, 1);
    bool can = ggml_backend_dev_supports_op(device, ggml_mul_mat(ctx, j->w[0], x));
    ggml_free(ctx);
    if (!can) return false;
    large_pages(ggml_backend_buffer_get_base(j->weight_buffer), ggml_backend_buffer_get_size(j->weight_buffer));
    for (size_t i = 0; i < copies; i++) ggml_backend_tensor_set(j->w[i], data, 0, bytes);
    return true;
}
static void free_their_weights(their_job *j) {
    if (j->weight_buffer) ggml_backend_buffer_free(j->weight_buffer);
    ggml_free(j->weight_ctx);
}
static void their_graphs(their_job *j, const float *x, size_t n) {
    j->ctx = new_context((j->copies + 8) * (ggml_tensor_overhead() + ggml_graph_overhead_custom(8, false)));
    j->x = ggml_new_tensor_2d(j->ctx, GGML_TYPE_F32, DIM, (int64_t)n);
    for (size_t i = 0; i < j->copies; i++) j->y[i] = ggml_mul_mat(j->ctx, j->w[i], j->x);
    j->buffer = ggml_backend_alloc_ctx_tensors_from_buft(j->ctx, ggml_backend_cpu_buffer_type());
    if (!j->buffer) exit(1);
    ggml_backend_tensor_set(j->x, x, 0, n * DIM * sizeof(float));
    for (size_t i = 0; i < j->copies; i++) {
        j->graph[i] = ggml_new_graph_custom(j->ctx, 8, false);
        ggml_build_forward_expand(j->graph[i], j->y[i]);
    }
    j->turn = 0;
}
static void free_their_graphs(their_job *j) {
    ggml_backend_buffer_free(j->buffer);
    ggml_free(j->ctx);
}

/* |y - W x| / |W x| over some rows of the last of n */
static double error_of(const float *y, const float *w, const float *x, size_t n) {
    double wrong = 0, all = 0;
    for (size_t r = 0; r < 64; r++) {
        double sum = 0;
        for (size_t k = 0; k < DIM; k++) sum += (double)w[r * DIM + k] * (double)x[(n - 1) * DIM + k];
        double e = (double)y[(n - 1) * DIM + DIM - WEIGHT_ROWS + r] - sum; /* the last copy of these rows */
        wrong += e * e;
        all += sum * sum;
    }
    return sqrt(wrong / all);
}

static void quiet(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}
int main(int argc, char **argv) {
    const char *json = NULL, *isa = argc > 2 && strcmp(argv[2], "best") ? argv[2] : NULL;
    bool quick = false;
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "--quick")) quick = true;
        else if (!strcmp(argv[i], "--json") && i + 1 < argc) json = argv[++i];
        else argc = 0;
    }
    if (argc < 3) return fprintf(stderr, "usage: peers_ggml BUILD TIER [--quick] [--json FILE]\n"), 2;
    our_job us;
    their_job them;
    memset(&us, 0, sizeof us);
    memset(&them, 0, sizeof them);
    if (!context(&us.ctx, isa, 1)) return fprintf(stderr, "peers_ggml: no tier '%s' here\n", argv[2]), 1;
    isa = cq_isa(&us.ctx);
    us.w.size = quick ? (size_t)256 << 20 : beyond_caches();
    us.w.memory = (unsigned char *)allocate(us.w.size);
    us.acts = new_acts(MOST, DIM, 0);
    float *w = (float *)allocate(WEIGHT_ROWS * DIM * sizeof(float)), *x = (float *)allocate(MOST * DIM * sizeof(float));
    float *theirs = (float *)allocate(MOST * DIM * sizeof(float));
    us.y = (float *)allocate(MOST * DIM * sizeof(float));
    fill_random(w, WEIGHT_ROWS * DIM, 1);
    fill_random(x, MOST * DIM, 2);
    us.x = x;

    ggml_log_set(quiet, NULL);
    ggml_backend_reg_t reg = ggml_backend_cpu_reg();
    ggml_backend_dev_t device = ggml_backend_reg_dev_get(reg, 0);
    ggml_backend_dev_get_extra_bufts_t extra = (ggml_backend_dev_get_extra_bufts_t)ggml_backend_reg_get_proc_address(
        reg, "ggml_backend_dev_get_extra_bufts");
    ggml_backend_buffer_type_t kinds[8] = {ggml_backend_cpu_buffer_type()};
    size_t kind_count = 1;
    for (ggml_backend_buffer_type_t *k = extra ? extra(device) : NULL; k && *k && kind_count < 8; k++)
        kinds[kind_count++] = *k;
    them.backend = ggml_backend_cpu_init();

    describe(stdout);
    print_crowd(cores(), isa);
    printf("ggml %s beside our %s; %d x %d; weights from %u MB\n", argv[1], isa, DIM, DIM, (unsigned)(us.w.size >> 20));
    printf("%-6s %-14s %-10s %4s %3s %12s %12s %10s %10s %14s\n", "ggml", "its best", "ours", "n", "th", "ggml GMAC/s",
           "ours GMAC/s", "ggml GB/s", "ours GB/s", "times as fast");
    FILE *f = json ? fopen(json, "w") : NULL;
    if (json && !f) return perror(json), 1;
    if (f) fprintf(f, "[");
    int rows = 0, many = cores();
    for (size_t p = 0; p < sizeof pair_table / sizeof *pair_table; p++) {
        enum { N = sizeof tokens / sizeof *tokens };
        double ours[N][2], least[N][2];
        const char *kind_name[N][2] = {{NULL, NULL}};
        size_t bytes = ggml_row_size(pair_table[p].type, DIM) * DIM, chunk = bytes / DIM * WEIGHT_ROWS;
        unsigned char *data = (unsigned char *)allocate(bytes);
        ggml_quantize_chunk(pair_table[p].type, w, data, 0, WEIGHT_ROWS, DIM, NULL);
        for (size_t i = chunk; i < bytes; i += chunk) memcpy(data + i, data, chunk);
        weights_fill(&us.w, pair_table[p].format, pair_table[p].group, DIM, DIM, w);
        size_t copies = us.w.size / bytes < COPIES ? us.w.size / bytes : COPIES;
        for (size_t i = 0; i < N; i++)
            for (int t = 0; t < 2; t++) ours[i][t] = least[i][t] = 1e9;
        for (size_t k = kind_count; k-- > 0;) {
            if (their_weights(&them, device, kinds[k], pair_table[p].type, data, bytes, copies))
                for (size_t i = 0; i < N; i++) {
                    us.n = tokens[i];
                    their_graphs(&them, x, us.n);
                    for (int t = 0; t < (many > 1 ? 2 : 1); t++)
                        for (int round = 0; round < 3; round++) { /* by turns: what disturbs one disturbs the other */
                            int threads = t ? many : 1;
                            struct ggml_threadpool_params params = ggml_threadpool_params_default(threads);
                            params.poll = 100;
                            struct ggml_threadpool *own = ggml_threadpool_new(&params);
                            ggml_backend_cpu_set_n_threads(them.backend, threads);
                            ggml_backend_cpu_set_threadpool(them.backend, own);
                            double seconds = best(run_theirs, &them, quick ? 0.02 : 0.06);
                            ggml_backend_cpu_set_threadpool(them.backend, NULL);
                            ggml_threadpool_free(own);
                            if (seconds < least[i][t]) {
                                least[i][t] = seconds;
                                kind_name[i][t] = ggml_backend_buft_name(kinds[k]);
                            }
                            context(&us.ctx, isa, threads);
                            us.threads = threads;
                            seconds = ours_seconds(&us, quick ? 0.02 : 0.06);
                            if (seconds < ours[i][t]) ours[i][t] = seconds;
                        }
                    ggml_backend_tensor_get(them.y[0], theirs, 0, us.n * DIM * sizeof(float));
                    double e[2] = {error_of(us.y, w, x, us.n), error_of(theirs, w, x, us.n)};
                    if (!(e[0] < 0.3 && e[1] < 0.3)) {
                        fprintf(stderr, "peers_ggml: %s n=%u: relative errors %g (ours) and %g\n", pair_table[p].name,
                                (unsigned)us.n, e[0], e[1]);
                        return 1;
                    }
                    free_their_graphs(&them);
                }
            free_their_weights(&them);
        }
        for (int t = 0; t < (many > 1 ? 2 : 1); t++)
            for (size_t i = 0; i < N; i++) {
                double macs = (double)DIM * DIM * (double)tokens[i] * 1e-9, ratio = least[i][t] / ours[i][t];
                printf("%-6s %-14s %-10s %4u %3d %12.1f %12.1f %10.2f %10.2f %14.2f\n", pair_table[p].name,
                       kind_name[i][t], pair_table[p].ours, (unsigned)tokens[i], t ? many : 1, macs / least[i][t],
                       macs / ours[i][t], (double)bytes * 1e-9 / least[i][t],
                       (double)us.w.t.bytes * 1e-9 / ours[i][t], ratio);
                fflush(stdout);
                if (f)
                    fprintf(f,
                            "%s\n  {\"name\": \"%s n=%u, threads: %d\", \"build\": \"%s\", \"tier\": \"%s\", "
                            "\"buffer\": \"%s\", \"ours\": \"%s\", \"theirs_gmacs\": %.3f, \"ours_gmacs\": %.3f, "
                            "\"ratio\": %.4f}",
                            rows++ ? "," : "", pair_table[p].name, (unsigned)tokens[i], t ? many : 1, argv[1], isa,
                            kind_name[i][t], pair_table[p].ours, macs / least[i][t], macs / ours[i][t], ratio);
            }
        free(data);
    }
    if (f) fprintf(f, "\n]\n");
    if (f && fclose(f)) return perror(json), 1;
    return 0;
}
