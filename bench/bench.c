/* bench.c - every kernel on every tier of this machine, beside what the machine can do at most

     build/bench [--quick] [--only WORDS] [--tier NAME] [--threads N] [--json FILE] [--csv FILE] [--mlp]

     --quick    fewer shapes, from less memory
     --only     only rows whose name contains one of WORDS, which commas separate: --only "int4 g32 n=1,gemm"
     --tier     only that tier of kernels
     --threads  threads of the rows on several: all cores, unless this says otherwise
     --mlp      only the solver, on the layers of Dream 7B's MLP, 18944 x 3584 and 3584 x 18944 (4 GB, minutes)

   First the machine and its yardsticks (measure.h), measured here and now: reading memory, and the instructions that
   the kernels of a tier may issue. Then

     q8 ..      weights x int8 activations, DIM x DIM weights, n tokens. n = 1 is bound by reading the weights, which
                are taken from copies that together exceed the caches, as the layers of a model do; many tokens by
                arithmetic. n = 1: GB/s of weights; else GMAC/s. Limit: the lower of two, the read bandwidth and the
                peak of the tier's 8-bit products; "by" says which. "q8g": activations with a scale per group too
     f32 ..     the same with float activations; the peak is that of a multiplication and an addition, as these products
                never fuse (EXACTNESS in cquant.h)
     vectors    what a transformer needs besides: bytes that are read or written once, beside reading from the cache
                that holds them; the time of a call
     gemm, syrk, cholesky, factor, solve, refit   float products, and what quantises (cquant_gptq.h): n^2 tokens / 2,
                twice n^3 / 6 (the factorisation alone, and with all that cq_gptq_factor does besides), rows n^2 / 2,
                3 rows n^2 / 2 multiply-adds, beside the tier's fused multiply-adds
     fwht       a Hadamard transform of order n = K 2^p, scaled, in additions a second: n p, and n (K/4 + 2) for a core;
                limit: the lower of two, additions and a copy of n floats
     dream      a denoising step of Dream 7B (dream.h), 256 rows of which 128 are masked, int8 activations, on all
                threads; an eighth of the shape with --quick, with less memory than it takes, or where a step would take
                more than 10 s. GMAC/s of all products; limit: the tier's 8-bit products on all threads. Weights, cache
                and arena: bytes as the queries say; first step: from weights in memory to where it begins
     R1         a rotation of order 3584 = 28 * 128 of either side of a 3584 x 18944 float weight, in ms; limit: the
                time to copy the weight twice; here less than 100 % is faster than that

   share      value / limit
   MAC/cycle  with the clock measured beside each row
   x FMA      GMAC/s in peaks of fused multiply-adds of 256-bit vectors on one core: what it is worth to multiply
              integers (other machines: of the tier's own vectors). For products, and limits of the solver's, the peak is
              measured by turns with the row: the clock of a core depends on what it has just run
   x C        times as fast as the plain C kernels, on one thread

   Every time is the least of several. Nothing else should run meanwhile. */
#define _GNU_SOURCE
#include "examples/tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "measure.h"

#include "dream.h"

enum { DIM = 4096, MOST = 256 }; /* of the weights; tokens */
static struct {
    bool quick, mlp;
    const char *only, *tier, *json, *csv;
    int threads;
} option;

/* ---------------------------------------------------------------------------------------------- results */
typedef struct {
    char name[96];
    const char *unit, *tier;
    int threads;
    double value, limit;
    const char *by; /* what the limit is */
    double gmacs, plain; /* GMAC/s; times as fast as plain C. 0: not known */
    double cycle, fma;   /* gmacs per cycle, per peak: report() */
    char note[160];
} result;
static result results[4096];
static size_t count;

static char heading_due[96]; /* printed with the first row below it */
static void heading(const char *what) {
    snprintf(heading_due, sizeof heading_due, "%s", what);
}
static void print_heading(void) {
    if (!*heading_due) return;
    printf("\n%s\n%-30s %-10s %2s %9s %-6s %9s %7s  %-18s %9s %6s %7s\n", heading_due, "", "tier", "th", "value",
           "unit", "limit", "share", "by", "MAC/cycle", "x FMA", "x C");
    *heading_due = 0;
}
/* Prints a row and keeps it. What several threads do is divided among them for MAC/cycle. */
static void report(result r) {
    double clock = clock_rate(), cores_used = r.threads > 1 ? r.threads : 1;
    if (count == sizeof results / sizeof *results) return;
    r.cycle = r.gmacs > 0 && clock > 0 ? r.gmacs / clock / cores_used : 0;
    if (!(r.fma > 0) && r.gmacs > 0) r.fma = r.gmacs / peak_rate(fma256(r.tier));
    results[count++] = r;
    char columns[3][16] = {"", "", ""};
    if (r.cycle > 0) snprintf(columns[0], 16, "%.2f", r.cycle);
    if (r.fma > 0) snprintf(columns[1], 16, "%.2f", r.fma);
    if (r.plain > 0) snprintf(columns[2], 16, "%.1f", r.plain);
    print_heading();
    printf("%-30s %-10s %2d %9.2f %-6s %9.2f %6.1f%%  %-18s %9s %6s %7s  %s\n", r.name, r.tier, r.threads, r.value,
           r.unit, r.limit, 100 * r.value / r.limit, r.by, columns[0], columns[1], columns[2], r.note);
    fflush(stdout);
}
static result row(const char *tier, int threads) {
    result r;
    memset(&r, 0, sizeof r);
    r.tier = tier;
    r.threads = threads;
    return r;
}
/* After one thread all of them. */
static int more_threads(int threads) { return threads < option.threads ? option.threads : threads + 1; }
/* Whether the options ask for this row. */
static bool wanted(const char *name, const char *tier) {
    if (option.tier && tier && strcmp(tier, option.tier)) return false;
    for (const char *w = option.only; w && *w;) {
        size_t n = strcspn(w, ",");
        for (const char *s = name; n && *s; s++)
            if (!strncmp(s, w, n)) return true;
        w += n + (w[n] == ',');
        if (!*w) return false;
    }
    return true;
}
static int write_results(const char *path, bool json) {
    FILE *f = fopen(path, "w");
    if (!f) return perror(path), 1;
    fprintf(f, json ? "[\n" : "name,tier,threads,value,unit,limit,ratio,by,gmacs,mac_per_cycle,x_fma,x_plain,note\n");
    for (size_t i = 0; i < count; i++) {
        result *r = &results[i];
        const char *end = i + 1 < count ? "," : "";
        if (json)
            fprintf(f,
                    "  {\"name\": \"%s, %s, threads: %d\", \"value\": %.4f, \"unit\": \"%s\", \"limit\": %.4f, "
                    "\"ratio\": %.4f, \"by\": \"%s\", \"tier\": \"%s\", \"threads\": %d, \"gmacs\": %.4f, "
                    "\"mac_per_cycle\": %.4f, \"x_fma\": %.4f, \"x_plain\": %.4f, \"note\": \"%s\"}%s\n",
                    r->name, r->tier, r->threads, r->value, r->unit, r->limit, r->value / r->limit, r->by, r->tier,
                    r->threads, r->gmacs, r->cycle, r->fma, r->plain, r->note, end);
        else
            fprintf(f, "%s,%s,%d,%.4f,%s,%.4f,%.4f,\"%s\",%.4f,%.4f,%.4f,%.4f,\"%s\"\n", r->name, r->tier, r->threads,
                    r->value, r->unit, r->limit, r->value / r->limit, r->by, r->gmacs, r->cycle, r->fma, r->plain,
                    r->note);
    }
    if (json) fprintf(f, "]\n");
    if (fclose(f)) return perror(path), 1;
    return 0;
}

/* ---------------------------------------------------------------------------------------------- yardsticks */
static weights pool;
static double bandwidth[2], cache_rate[2]; /* GB/s: with one thread and with option.threads; of 16 KB and of 512 KB */
static reader reads[2];                    /* of memory, as fast as that */

static void yardstick_read(const char *name, double rate, int threads, reading how) {
    result r = row("any", threads);
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.note, sizeof r.note, "loads of %d bytes, prefetched %u bytes ahead, streams: %d", how.width,
             (unsigned)how.ahead, how.streams);
    r.value = r.limit = rate;
    r.unit = "GB/s";
    r.by = "itself";
    report(r);
}
static void yardstick_peak(const char *tier, peak *p, bool add) {
    result r = row(tier, 1);
    for (size_t i = 0; i < count; i++) /* of a better tier, and so here already */
        if (!strcmp(results[i].name, p->name)) return;
    snprintf(r.name, sizeof r.name, "%s", p->name);
    r.value = r.limit = peak_rate(p);
    r.gmacs = add ? 0 : r.value;
    r.unit = add ? "Gadd/s" : "GMAC/s";
    r.by = "itself";
    report(r);
}
static void yardstick_rows(void) {
    heading("Yardsticks");
    reader r;
    double budget = option.quick ? 0.1 : 0.3;
    cache_rate[0] = read_rate(pool.memory, 16 << 10, 1, budget / 4, &r);
    yardstick_read("read 16 KB", cache_rate[0], 1, r.how);
    cache_rate[1] = read_rate(pool.memory, 512 << 10, 1, budget / 4, &r);
    yardstick_read("read 512 KB", cache_rate[1], 1, r.how);
    bandwidth[0] = bandwidth[1] = read_rate(pool.memory, pool.size, 1, budget, &reads[0]);
    yardstick_read("read memory", bandwidth[0], 1, reads[0].how);
    if (option.threads > 1) {
        team_start(option.threads);
        bandwidth[1] = read_rate(pool.memory, pool.size, option.threads, budget, &reads[1]);
        team_stop();
        yardstick_read("read memory", bandwidth[1], option.threads, reads[1].how);
    }
    if (clock_rate() > 0) printf("%-30s %.2f GHz\n", "clock", clock_rate());
    for (size_t i = 0; cq_isa_available(i); i++) {
        const char *tier = cq_isa_available(i);
        const yardsticks *y = yardsticks_of(tier);
        yardstick_peak(tier, y->fma, false);
        yardstick_peak(tier, y->i8, false);
        yardstick_peak(tier, y->muladd, false);
        yardstick_peak(tier, y->add, true);
    }
}

/* ---------------------------------------------------------------------------------------------- products */
typedef enum { FLOATS, INT8S, INT8_GROUPS } acts_kind;
typedef struct {
    const char *name;
    cq_format format;
    uint32_t group;
    acts_kind acts;
    bool quick;     /* also with --quick; others have n = 1 and 64 unless asked for by --only */
    bool threads;   /* also on several */
} product;
static const product product_table[] = {
    {"q8 int4 g32", CQ_INT4, 32, INT8S, true, true},
    {"q8 int4 g64", CQ_INT4, 64, INT8S, false, false},
    {"q8 int4 g128", CQ_INT4, 128, INT8S, true, true},
    {"q8 int4 row", CQ_INT4, 0, INT8S, false, false},
    {"q8g int4 g32", CQ_INT4, 32, INT8_GROUPS, false, false},
    {"q8g int4 g128", CQ_INT4, 128, INT8_GROUPS, false, false},
    {"q8 int8 row", CQ_INT8, 0, INT8S, true, true},
    {"q8 int8 g64", CQ_INT8, 64, INT8S, false, false},
    {"q8 int3 g64", CQ_INT3, 64, INT8S, false, false},
    {"q8 int2 g64", CQ_INT2, 64, INT8S, false, false},
    {"q8 mxfp4", CQ_MXFP4, 32, INT8S, true, false},
    {"q8 mxfp6_e2m3", CQ_MXFP6_E2M3, 32, INT8S, false, false},
    {"q8 mxfp6_e3m2", CQ_MXFP6_E3M2, 32, INT8S, false, false},
    {"f32 f32", CQ_F32, 0, FLOATS, true, false},
    {"f32 f16", CQ_F16, 0, FLOATS, false, false},
    {"f32 bf16", CQ_BF16, 0, FLOATS, false, false},
    {"f32 int4 g128", CQ_INT4, 128, FLOATS, true, false},
};
static const size_t tokens[] = {1, 2, 4, 8, 16, 64, 256};
enum { TOKENS = sizeof tokens / sizeof *tokens };

typedef struct {
    cq_context ctx;
    size_t rows, n;
    const product *p;
    const float *x;
    float *y;
    cq_acts acts[3]; /* int8 a row; groups of 32; of 128 */
} job;
static void multiply(void *arg) {
    job *j = (job *)arg;
    cq_tensor t = *weights_next(&pool);
    t.rows = j->rows;
    const cq_acts *a = &j->acts[j->p->acts != INT8_GROUPS ? 0 : j->p->group == 32 ? 1 : 2];
    if (j->p->acts == FLOATS) cq_matmul(&j->ctx, j->y, DIM, &t, NULL, j->x, DIM, j->n, false);
    else cq_matmul_q8(&j->ctx, j->y, DIM, &t, NULL, a, j->n, false);
}
static void product_row(job *j, const char *name, const char *tier, int threads, double plain_seconds) {
    const yardsticks *y = yardsticks_of(tier);
    result r = row(tier, threads);
    double macs = (double)DIM * DIM * (double)j->n, bytes = (double)pool.t.bytes;
    double memory = bandwidth[threads > 1] * macs / bytes; /* GMAC/s */
    double arithmetic = threads * peak_rate(j->p->acts == FLOATS ? y->muladd : y->i8);
    reader *read = &reads[threads > 1];
    beside b[2] = {beside_peak(fma256(tier)), {read_next, read, (double)(read->bytes * read->times), 0}};
    bool streams = memory < arithmetic;
    if (threads > 1) team_start(threads);
    context(&j->ctx, tier, threads);
    j->rows = DIM;
    double seconds = best_beside(multiply, j, option.quick ? 0.05 : 0.1, b, streams ? 2 : 1);
    if (threads > 1) team_stop();
    snprintf(r.name, sizeof r.name, "%s", name);
    r.gmacs = macs / seconds * 1e-9;
    r.fma = r.gmacs / b[0].rate;
    r.by = streams ? "read memory" : (j->p->acts == FLOATS ? y->muladd : y->i8)->name;
    r.limit = streams ? b[1].rate * macs / bytes : arithmetic;
    r.value = r.gmacs;
    r.unit = "GMAC/s";
    if (j->n == 1) { /* the same share, in GB/s */
        r.value *= bytes / macs;
        r.limit *= bytes / macs;
        r.unit = "GB/s";
    }
    r.plain = threads > 1 ? 0 : plain_seconds / seconds;
    if (threads > 1) { /* beside one thread */
        for (size_t i = count; i-- > 0;)
            if (results[i].threads == 1 && !strcmp(results[i].tier, tier) && !strcmp(results[i].name, name)) {
                snprintf(r.note, sizeof r.note, "%.2f times one thread", r.gmacs / results[i].gmacs);
                break;
            }
    }
    report(r);
}
static void products(void) {
    float *w = (float *)allocate((size_t)WEIGHT_ROWS * DIM * sizeof(float));
    float *x = (float *)allocate((size_t)MOST * DIM * sizeof(float));
    job j;
    char name[96];
    memset(&j, 0, sizeof j);
    fill_random(w, (size_t)WEIGHT_ROWS * DIM, 1);
    fill_random(x, (size_t)MOST * DIM, 2);
    j.x = x;
    j.y = (float *)allocate((size_t)MOST * DIM * sizeof(float));
    context(&j.ctx, NULL, 1);
    static const size_t groups[3] = {0, 32, 128};
    for (int i = 0; i < 3; i++) {
        j.acts[i] = new_acts(MOST, DIM, groups[i]);
        cq_quantize_acts(&j.ctx, &j.acts[i], x, DIM, MOST, DIM);
    }
    snprintf(name, sizeof name, "Products: %d x %d weights, n tokens", DIM, DIM);
    heading(name);
    for (size_t i = 0; i < sizeof product_table / sizeof *product_table; i++) {
        const product *p = j.p = &product_table[i];
        bool filled = false;
        double plain[TOKENS] = {0};
        if (option.quick && !p->quick) continue;
        for (size_t t = 0; cq_isa_available(t); t++) {
            const char *tier = cq_isa_available(t);
            context(&j.ctx, tier, 1);
            if (t > 0 && !option.tier &&
                (p->acts == FLOATS ? !strcmp(tier, "scalar") : j.ctx.k->panels_q8 == cq__kernels_c.panels_q8))
                continue; /* plain C: slow, and what the others are multiples of */
            for (size_t k = 0; k < TOKENS; k++) {
                j.n = tokens[k];
                bool main_one = j.n == 1 || j.n == 64;
                if (!main_one && (p->acts != INT8S || !(p->quick || option.only))) continue;
                if (option.quick && !main_one && j.n != 8) continue;
                snprintf(name, sizeof name, "%s n=%u", p->name, (unsigned)j.n);
                if (!wanted(name, tier)) continue;
                if (!filled) weights_fill(&pool, p->format, p->group, DIM, DIM, w);
                filled = true;
                if (!(plain[k] > 0)) { /* slow: a part is enough, and its panels come first */
                    context(&j.ctx, "scalar", 1);
                    j.rows = j.n < 16 ? 256 / j.n : 16;
                    plain[k] = best(multiply, &j, 0.03) * DIM / (double)j.rows;
                    j.rows = DIM; /* not so slow: all of it, from memory, as the others */
                    if (plain[k] < 0.02) plain[k] = best(multiply, &j, 0.03);
                }
                product_row(&j, name, tier, 1, plain[k]);
                if (option.threads > 1 && p->threads && (main_one || j.n == 256))
                    product_row(&j, name, tier, option.threads, 0);
            }
        }
    }
    free(w), free(x), free(j.y);
}

/* ---------------------------------------------------------------------------------------------- vectors */
enum { ROW = 4096, HEAD = 128, KEYS = 1024 }; /* floats of a row; of a head; keys of one query */
typedef struct {
    cq_context ctx;
    float *x, *y, *u, *start, *out;
    unsigned char *half;
    int8_t *q8;
    cq_acts acts;
} vectors;
static void v_restore(void *arg) { /* what is computed in place must not wander off */
    vectors *v = (vectors *)arg;
    memcpy(v->x, v->start, ROW * sizeof(float));
    __asm__ volatile("" : : "r"(v->x) : "memory");
}
static void v_rmsnorm(void *arg) {
    vectors *v = (vectors *)arg;
    cq_rmsnorm(&v->ctx, v->y, v->start, (const unsigned char *)v->u, ROW, 1e-6f);
}
static void v_softmax(void *arg) {
    v_restore(arg);
    cq_softmax(&((vectors *)arg)->ctx, ((vectors *)arg)->x, ROW);
}
static void v_silu(void *arg) {
    v_restore(arg);
    cq_silu_mul(&((vectors *)arg)->ctx, ((vectors *)arg)->x, ((vectors *)arg)->u, ROW);
}
static void v_axpy(void *arg) {
    vectors *v = (vectors *)arg;
    cq_axpy(&v->ctx, v->y, 1e-9f, v->start, ROW);
}
static void v_quantize(void *arg) {
    vectors *v = (vectors *)arg;
    cq_quantize_acts(&v->ctx, &v->acts, v->start, ROW, 1, ROW);
}
static void v_dots(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->dots(v->y, v->start, v->u, HEAD, HEAD, KEYS);
}
static void v_mix(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->mix(v->y, v->start, v->u, HEAD, HEAD, KEYS);
}
static void v_dots_q8(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->dots_q8(v->y, v->q8, 0.01f, v->q8 + HEAD, HEAD, v->start, HEAD, KEYS);
}
static void v_from_f16(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->from_f16(v->out, v->half, (size_t)HEAD * KEYS);
}
static void v_from_int8(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->from_int8(v->out, v->q8, v->start, HEAD, KEYS);
}
static void v_turn(void *arg) {
    vectors *v = (vectors *)arg;
    v->ctx.k->turn(v->x, v->x + ROW / 4, v->out, v->out + ROW / 4, ROW / 4);
}
static const struct {
    const char *name;
    void (*run)(void *);
    size_t times, bytes; /* calls that are long enough for the clock; what one reads and writes */
    bool restores, large; /* v_restore is in it and taken off; in 512 KB, not in 16 */
} vector_table[] = {
    {"rmsnorm 4096", v_rmsnorm, 16, 12 * ROW, false, false},
    {"softmax 4096", v_softmax, 8, 8 * ROW, true, false},
    {"silu 4096", v_silu, 8, 12 * ROW, true, false},
    {"axpy 4096", v_axpy, 32, 12 * ROW, false, false},
    {"quantize 4096", v_quantize, 16, 5 * ROW, false, false},
    {"turn 1024 pairs", v_turn, 32, 6 * ROW, false, false},
    {"dots f32 128 x 1024", v_dots, 1, 4 * HEAD * KEYS, false, true},
    {"mix f32 128 x 1024", v_mix, 1, 4 * HEAD * KEYS, false, true},
    {"dots_q8 128 x 1024", v_dots_q8, 4, HEAD *KEYS, false, true},
    {"from_f16 128 x 1024", v_from_f16, 1, 6 * HEAD * KEYS, false, true},
    {"from_int8 128 x 1024", v_from_int8, 1, 5 * HEAD * KEYS, false, true},
};
typedef struct {
    void (*run)(void *);
    void *arg;
    size_t times;
} repeated;
static void repeat(void *arg) {
    repeated *r = (repeated *)arg;
    for (size_t i = 0; i < r->times; i++) r->run(r->arg);
}
static double seconds_of(void (*run)(void *), void *arg, size_t times) {
    repeated r = {run, arg, times};
    return best(repeat, &r, option.quick ? 0.01 : 0.03) / (double)times;
}
static void vector_rows(void) {
    vectors v;
    memset(&v, 0, sizeof v);
    size_t many = (size_t)HEAD * KEYS;
    v.x = (float *)allocate(ROW * sizeof(float));
    v.y = (float *)allocate(ROW * sizeof(float));
    v.start = (float *)allocate(ROW * sizeof(float));
    v.u = (float *)allocate(many * sizeof(float));
    v.out = (float *)allocate(many * sizeof(float));
    v.half = (unsigned char *)allocate(2 * many);
    v.q8 = (int8_t *)allocate(many + HEAD);
    v.acts = new_acts(1, ROW, 0);
    fill_random(v.start, ROW, 5);
    fill_random(v.u, many, 6);
    for (size_t i = 0; i < many; i++) cq__put16(v.half + 2 * i, cq_f32_to_f16(v.u[i]));
    for (size_t i = 0; i < many + HEAD; i++) v.q8[i] = (int8_t)((int)(cq_random(7, 0, i) % 255) - 127);
    heading("Vectors, from the caches");
    for (size_t i = 0; i < sizeof vector_table / sizeof *vector_table; i++) {
        double plain = 0;
        for (size_t t = 0; cq_isa_available(t); t++) {
            result r = row(cq_isa_available(t), 1);
            if (!strcmp(r.tier, "scalar") && t > 0 && !(option.tier && !strcmp(option.tier, r.tier))) continue;
            if (!wanted(vector_table[i].name, r.tier)) continue;
            for (size_t c = 0; c < ROW / 2; c++) v.out[c] = c < ROW / 4 ? 0.6f : 0.8f; /* cosines, sines */
            v_restore(&v);
            double off = vector_table[i].restores ? seconds_of(v_restore, &v, vector_table[i].times) : 0;
            context(&v.ctx, "scalar", 1);
            if (!(plain > 0)) plain = seconds_of(vector_table[i].run, &v, vector_table[i].times) - off;
            context(&v.ctx, r.tier, 1);
            double seconds = seconds_of(vector_table[i].run, &v, vector_table[i].times) - off;
            snprintf(r.name, sizeof r.name, "%s", vector_table[i].name);
            snprintf(r.note, sizeof r.note, "%.0f ns", seconds * 1e9);
            r.value = (double)vector_table[i].bytes / seconds * 1e-9;
            r.unit = "GB/s";
            r.limit = cache_rate[vector_table[i].large];
            r.by = vector_table[i].large ? "read 512 KB" : "read 16 KB";
            r.plain = plain / seconds;
            report(r);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- float products */
#define GEMM 2048
#define GEMM_TEXT_(n) #n "x" #n "x" #n
#define GEMM_TEXT(n) GEMM_TEXT_(n)
#define GEMM_NAME "gemm f32 " GEMM_TEXT(GEMM)
typedef struct {
    cq_context ctx;
    float *a, *b, *c, *scratch;
    size_t m;
} gemm_job;
static void gemm(void *arg) {
    gemm_job *g = (gemm_job *)arg;
    cq_gemm(&g->ctx, g->c, GEMM, g->a, GEMM, g->b, GEMM, g->m, GEMM, GEMM, g->scratch);
}
/* Of tiers that share this kernel the plainest has the rows, unless another is asked for. */
static bool same_fma_follows(size_t tier) {
    cq_context c, next;
    return cq_isa_available(tier + 1) && !option.tier && context(&c, cq_isa_available(tier), 1) &&
           context(&next, cq_isa_available(tier + 1), 1) && c.k->fma_f32 == next.k->fma_f32;
}
static void gemm_rows(void) {
    gemm_job g;
    double plain = 0;
    size_t n = (size_t)GEMM * GEMM;
    g.a = (float *)allocate(n * sizeof(float));
    g.b = (float *)allocate(n * sizeof(float));
    g.c = (float *)allocate(n * sizeof(float));
    g.scratch = (float *)allocate(cq_gemm_scratch(GEMM, GEMM, GEMM) * sizeof(float));
    fill_random(g.a, n, 8);
    fill_random(g.b, n, 9);
    heading("Float products, and what quantises");
    for (size_t t = 0; cq_isa_available(t); t++)
        for (int threads = 1; threads <= option.threads; threads = more_threads(threads)) {
            result r = row(cq_isa_available(t), threads);
            snprintf(r.name, sizeof r.name, "%s", GEMM_NAME);
            if (!strcmp(r.tier, "scalar") && t > 0 && !(option.tier && !strcmp(option.tier, r.tier))) continue;
            if (!wanted(r.name, r.tier) || same_fma_follows(t)) continue;
            context(&g.ctx, "scalar", 1);
            g.m = 16; /* slow: a part is enough */
            if (!(plain > 0)) plain = best(gemm, &g, 0) * GEMM / 16;
            context(&g.ctx, r.tier, threads);
            if (g.ctx.k->fma_f32 == cq__kernels_c.fma_f32 && strcmp(r.tier, "scalar")) continue; /* the same, minutes */
            if (threads > 1) team_start(threads);
            g.m = GEMM;
            peak *p = yardsticks_of(r.tier)->fma;
            beside b = beside_peak(p);
            double seconds = best_beside(gemm, &g, 0.2, &b, 1);
            if (threads > 1) team_stop();
            r.value = r.gmacs = (double)n * GEMM / seconds * 1e-9;
            r.unit = "GMAC/s";
            r.limit = b.rate * threads;
            r.by = p->name;
            r.plain = threads > 1 ? 0 : plain / seconds;
            report(r);
        }
    free(g.a), free(g.b), free(g.c), free(g.scratch);
}

/* ---------------------------------------------------------------------------------------------- solver */
enum { GPTQ_TOKENS = 1152 /* three passes of SYRK */ };
typedef struct {
    cq_context ctx;
    cq_hessian h;
    cq_factor f;
    cq_gptq_desc desc;
    cq_gptq_result out;
    cq_arena arena;
    size_t mark[2]; /* of the arena: before the factor, after it */
    float *x, *w, *scratch;
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
/* The factorisation alone, of a copy of H in the memory of a factor that is there. */
static void copy_lower(void *arg) {
    layer *l = (layer *)arg;
    size_t n = l->h.cols;
    for (size_t i = 0; i < n; i++) {
        memcpy(l->f.ut + i * n, l->h.h + i * n, (i + 1) * sizeof(float));
        l->f.ut[i * n + i] += l->f.lambda;
    }
}
static void run_cholesky(void *arg) {
    layer *l = (layer *)arg;
    size_t bad;
    copy_lower(arg);
    if (!cq__udut_blocked(&l->ctx, l->f.ut, l->f.d, l->scratch, l->h.cols, 0, &bad)) exit(1);
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
static const struct {
    const char *name;
    void (*run)(void *), (*less)(void *); /* the time of `less` is not counted */
    bool square;                          /* no rows but those of H */
} solver_table[] = {{"syrk", run_syrk, NULL, true},     {"cholesky", run_cholesky, copy_lower, true},
                    {"factor", run_factor, NULL, true}, {"solve", run_solve, NULL, false},
                    {"refit", run_refit, NULL, false}};
static void solver_name(char *name, size_t i, size_t rows, size_t n) {
    snprintf(name, 96, "%s %ux%u", solver_table[i].name, (unsigned)(solver_table[i].square ? n : rows),
             (unsigned)n);
}
static void solver(const char *isa, size_t rows, size_t n, bool refit) { /* n columns */
    layer l;
    int steps = 0;
    for (int i = 0; i < (refit ? 5 : 4); i++) { /* each needs those before */
        char name[96];
        solver_name(name, (size_t)i, rows, n);
        if (wanted(name, isa)) steps = i + 1;
    }
    if (!steps) return;
    memset(&l, 0, sizeof l);
    context(&l.ctx, isa, 1);
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
    l.scratch = (float *)allocate(cq__factor_scratch(n) * sizeof(float));
    l.rows = rows;
    l.w = (float *)allocate(rows * n * sizeof(float));
    l.out.codes = (uint8_t *)allocate(rows * n);
    l.out.grids = (cq_grid *)allocate(rows * cq_gptq_groups(&l.desc, n) * sizeof(cq_grid));
    for (size_t t = 0; t < GPTQ_TOKENS; t++) /* neighbours are alike, and some columns louder */
        for (size_t c = 0; c < n; c++) {
            float v = (float)(cq_random(3, t, c) >> 40) / 8388608.0f - 1.0f;
            l.x[t * n + c] = (c ? 0.7f * l.x[t * n + c - 1] : 0.0f) + (c % 97 ? v : 20.0f * v);
        }
    fill_random(l.w, rows * n, 4);
    /* large ones on all threads only */
    for (int threads = rows * n > (size_t)1 << 25 ? option.threads : 1; threads <= option.threads;
         threads = more_threads(threads)) {
        double square = (double)n * (double)n, all = (double)rows;
        double cube = square * (double)n / 6;
        double work[] = {0.5 * GPTQ_TOKENS * square, cube, cube, 0.5 * square * all, 1.5 * square * all};
        if (threads > 1) team_start(threads);
        context(&l.ctx, isa, threads);
        for (int i = 0; i < steps; i++) {
            result r = row(isa, threads);
            double budget = option.quick ? 0 : 0.2;
            beside b = beside_peak(yardsticks_of(isa)->fma);
            double seconds = best_beside(solver_table[i].run, &l, budget, &b, 1);
            if (solver_table[i].less) seconds -= best(solver_table[i].less, &l, budget);
            if (i == 0) { /* all that follows needs H and a factor */
                cq_hessian_finish(&l.ctx, &l.h);
                run_factor(&l);
            }
            solver_name(r.name, (size_t)i, rows, n);
            if (!wanted(r.name, isa)) continue;
            snprintf(r.note, sizeof r.note, "%.1f ms", seconds * 1e3);
            r.value = r.gmacs = work[i] / seconds * 1e-9;
            r.unit = "GMAC/s";
            r.limit = b.rate * threads;
            r.by = yardsticks_of(isa)->fma->name;
            report(r);
        }
        if (threads > 1) team_stop();
    }
    free(l.arena.base), free(l.x), free(l.scratch), free(l.w), free(l.out.codes), free(l.out.grids);
}
/* Square layers; or those of Dream 7B's MLP, with the best kernel. */
static void solvers(void) {
    static const size_t sides[] = {2048, 1024, 3584}; /* the first for each kernel, all for the best */
    bool first = true;
    for (size_t i = 0; cq_isa_available(i); i++) {
        const char *isa = cq_isa_available(i);
        cq_context ctx;
        if (!context(&ctx, isa, 1) || (option.tier && strcmp(option.tier, isa))) continue;
        if (ctx.k->fma_f32 == cq__kernels_c.fma_f32) continue; /* plain C without fused instructions: minutes */
        if (same_fma_follows(i)) continue;
        if (option.mlp) {
            solver(isa, 18944, 3584, true);
            solver(isa, 3584, 18944, true);
            return;
        }
        for (size_t k = 0; k < (first && !option.quick ? 3 : 1); k++) solver(isa, sides[k], sides[k], first);
        first = false;
    }
}

/* ---------------------------------------------------------------------------------------------- transforms */
#define KEEP(p) __asm__ volatile("" : : "r"(p) : "memory") /* whoever may look at p, so no copy is left out */

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
static void fwht(const cq_context *fast, const cq_context *plain, float *x, float *y, size_t n) {
    transform t;
    cq_arena arena = cq_arena_over(NULL, 0);
    result r = row(cq_isa(fast), 1);
    double levels = 0, seconds, copy, plain_seconds, adds = peak_rate(yardsticks_of(r.tier)->add);
    snprintf(r.name, sizeof r.name, "fwht f32 n=%u", (unsigned)n);
    if (!wanted(r.name, r.tier)) return;
    memset(&t, 0, sizeof t);
    t.ctx = fast;
    t.x = x;
    t.y = y;
    t.n = n;
    t.times = 1 + 65536 / n;
    if (cq_hadamard_init(&t.h, n, &arena, NULL)) exit(1);
    void *cores = allocate(arena.used + 1); /* a power of two needs none */
    arena = cq_arena_over(cores, arena.used);
    if (cq_hadamard_init(&t.h, n, &arena, NULL)) exit(1);
    t.scratch = allocate(cq_hadamard_scratch(&t.h) + 1);
    for (size_t i = t.h.pow2; i > 1; i /= 2) levels++;
    if (t.h.k1 > 1) levels += (double)t.h.k1 / 4 + 2;
    seconds = best(run_fwht, &t, 0.1) / (double)t.times;
    copy = best(run_copy, &t, 0.05) / (double)t.times;
    t.ctx = plain;
    plain_seconds = best(run_fwht, &t, 0.05) / (double)t.times;
    double work = (double)n * levels * 1e-9;
    snprintf(r.note, sizeof r.note, "%.0f ns, a copy %.0f ns", seconds * 1e9, copy * 1e9);
    r.value = work / seconds;
    r.unit = "Gadd/s";
    r.limit = work / copy < adds ? work / copy : adds;
    r.by = work / copy < adds ? "a copy" : yardsticks_of(r.tier)->add->name;
    r.plain = plain_seconds / seconds;
    report(r);
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
    if (option.quick || !wanted("R1 rows columns", cq_isa(fast))) return;
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
    for (int i = 0; i < 2; i++) {
        result r = row(cq_isa(fast), 1);
        snprintf(r.name, sizeof r.name, "%s", i ? "R1 columns 3584 x 18944" : "R1 rows 18944 x 3584");
        r.value = seconds[i] * 1e3;
        r.unit = "ms";
        r.limit = copy * 1e3;
        r.by = "two copies";
        r.plain = plain_seconds[i] / seconds[i];
        report(r);
    }
    free(memory), free(t.scratch), free(t.w), free(t.copy);
}

static void transforms(void) {
    static const size_t orders[] = {128, 512, 1024, 4096, 16384, 28 * 128, 148 * 128};
    cq_context fast, plain;
    context(&fast, option.tier, 1);
    context(&plain, "scalar", 1);
    float *x = (float *)allocate(148 * 128 * sizeof(float)), *y = (float *)allocate(148 * 128 * sizeof(float));
    fill_random(x, 148 * 128, 10);
    heading("Transforms");
    for (size_t i = 0; i < 7; i++) fwht(&fast, &plain, x, y, orders[i]);
    free(x), free(y);
    rotate(&fast, &plain);
}

/* ---------------------------------------------------------------------------------------------- a denoising step */
static double available_memory(void) { /* bytes; 0: not known */
    char text[64] = "";
    first_line("/proc/meminfo", "MemAvailable", text, sizeof text);
    return strtod(text, NULL) * 1024;
}
static void denoising(void) {
    enum { STEPS = 32 };
    result r = row(option.tier ? option.tier : cq_isa_available(0), option.threads);
    dream d;
    cq_context ctx;
    cq_model m;
    cq_session s;
    cq_session_desc sd;
    cq_generator g;
    cq_generate_desc gd;
    cq_error err;
    size_t used[3]; /* model; activations; cache */
    int32_t ids[DREAM_ROWS];
    if (!wanted("dream 7B step", r.tier)) return;
    double peak = option.threads * peak_rate(yardsticks_of(r.tier)->i8), macs, attention, seconds = 1e9;
    size_t part = option.quick ? 8 : 1;
    for (;; part = 8) {
        dream_list(&d, part);
        attention = 2.0 * DREAM_ROWS * DREAM_ROWS * DREAM_HIDDEN * (double)d.layers;
        macs = d.linears * DREAM_ROWS + attention;
        bool fits = available_memory() > (double)dream_memory(&d) + ((size_t)1 << 30), soon = macs * 1e-9 / peak < 10;
        if (fits && soon) break;
        free(d.list), free(d.name);
        if (part == 8) return;
    }
    unsigned char *weights = (unsigned char *)allocate(dream_memory(&d));
    dream_fill(&d, weights);

    if (option.threads > 1) team_start(option.threads);
    context(&ctx, r.tier, option.threads);
    memset(&sd, 0, sizeof sd);
    memset(&gd, 0, sizeof gd);
    memset(&err, 0, sizeof err);
    sd.max_tokens = DREAM_ROWS;
    sd.act_bits = 8;
    gd.alg = CQ_ALG_ENTROPY;
    gd.steps = STEPS;
    double begin = now();
    cq_weights named = {d.list, d.count};
    used[0] = cq_model_bound(d.config_len, &named, NULL, 0);
    cq_arena arena = cq_arena_over(allocate(used[0]), used[0]), hot = cq_arena_over(NULL, 0), cold = hot, scratch = hot;
    dream_check(cq_model_bind(&m, d.config, d.config_len, &named, NULL, 0, &arena, &err), &err);
    dream_check(cq_session_init(&s, &ctx, &m, &sd, &hot, &cold, &err), &err);
    used[1] = hot.used;
    used[2] = cold.used;
    hot = cq_arena_over(allocate(used[1]), used[1]);
    cold = cq_arena_over(allocate(used[2]), used[2]);
    dream_check(cq_session_init(&s, &ctx, &m, &sd, &hot, &cold, &err), &err);
    dream_check(cq_generate_begin(&g, &s, &gd, NULL, DREAM_ROWS, DREAM_PROMPT, NULL, &scratch, &err), &err);
    size_t more = scratch.used;
    scratch = cq_arena_over(allocate(more), more);
    for (int i = 0; i < DREAM_ROWS; i++) ids[i] = i < DREAM_PROMPT ? 7 * i + 1 : m.mask_id;
    dream_check(cq_generate_begin(&g, &s, &gd, ids, DREAM_ROWS, DREAM_PROMPT, NULL, &scratch, &err), &err);
    double first = now() - begin, spent = 0;
    for (int i = 0; i < 4 && spent < (option.quick ? 3 : 20); i++) { /* the first one warms up; each has fewer masks */
        size_t heads = g.stats.head_rows;
        double time = now();
        dream_check(cq_generate_step(&g, &err), &err);
        time = now() - time;
        spent += time;
        double work = d.linears * DREAM_ROWS + attention +
                      (double)(g.stats.head_rows - heads) * (double)d.vocab * DREAM_HIDDEN;
        if (r.gmacs > work / time * 1e-9) continue;
        r.gmacs = work / time * 1e-9;
        seconds = time;
    }
    if (option.threads > 1) team_stop();
    heading("A denoising step: 256 rows, 128 of them masked");
    snprintf(r.name, sizeof r.name, "dream 7B step%s", part > 1 ? ", 1/8" : "");
    snprintf(r.note, sizeof r.note, "%.2f s a step; weights %.0f MB, cache %.1f, arena %.1f; first step in %.0f ms",
             seconds, (double)d.bytes * 1e-6, (double)used[2] * 1e-6, (double)(used[0] + used[1] + more) * 1e-6,
             first * 1e3);
    r.value = r.gmacs;
    r.unit = "GMAC/s";
    r.limit = peak;
    r.by = yardsticks_of(r.tier)->i8->name;
    report(r);
    free(arena.base), free(hot.base), free(cold.base), free(scratch.base), free(weights), free(d.list), free(d.name);
}

/* ---------------------------------------------------------------------------------------------- summary
   What the rows above say of the products that matter most, a line a tier. */
static const result *find(const char *name, const char *tier, int threads) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(results[i].name, name) && !strcmp(results[i].tier, tier) && results[i].threads == threads)
            return &results[i];
    return NULL;
}
static void summary_cell(const result *r, bool share) {
    if (!r) printf(" %9s", "-");
    else if (share) printf(" %8.0f%%", 100 * r->value / r->limit);
    else printf(" %9.2f", r->fma);
}
static void summary(void) {
    static const struct {
        const char *head, *name;
        bool all, share; /* with all threads; the share of the limit, else in peaks of fused multiply-adds */
    } columns[] = {
        {"g32 n=1", "q8 int4 g32 n=1", false, true},      {"threads", "q8 int4 g32 n=1", true, true},
        {"g32 n=64", "q8 int4 g32 n=64", false, false},   {"threads", "q8 int4 g32 n=64", true, false},
        {"g128 n=64", "q8 int4 g128 n=64", false, false}, {"threads", "q8 int4 g128 n=64", true, false},
        {"int8 n=64", "q8 int8 row n=64", false, false},  {"gemm f32", GEMM_NAME, false, true},
        {"syrk", "syrk 2048x2048", false, true},          {"cholesky", "cholesky 2048x2048", false, true},
    };
    printf("\nSummary: n=1 as a share of the read bandwidth; n=64 in peaks of fused multiply-adds of 256-bit vectors "
           "on one core;\nothers as a share of the tier's own such peak, for the plainest tier with that kernel. "
           "\"threads\": as before, on %d\n%-10s",
           option.threads, "");
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) printf(" %9s", columns[c].head);
    printf("\n");
    for (size_t t = 0; cq_isa_available(t); t++) {
        const char *tier = cq_isa_available(t);
        if (!find(columns[0].name, tier, 1)) continue;
        printf("%-10s", tier);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            summary_cell(columns[c].all && option.threads == 1
                             ? NULL
                             : find(columns[c].name, tier, columns[c].all ? option.threads : 1),
                         columns[c].share);
        printf("\n");
    }
}

static int usage(void) {
    fprintf(stderr, "usage: bench [--quick] [--only WORDS] [--tier NAME] [--threads N] [--json FILE] [--csv FILE] "
                    "[--mlp]\n");
    return 2;
}
int main(int argc, char **argv) {
    option.threads = cores();
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "--quick")) option.quick = true;
        else if (!strcmp(a, "--mlp")) option.mlp = true;
        else if (!value) return usage();
        else if (i++, !strcmp(a, "--only")) option.only = value;
        else if (!strcmp(a, "--tier")) option.tier = value;
        else if (!strcmp(a, "--threads")) option.threads = atoi(value);
        else if (!strcmp(a, "--json")) option.json = value;
        else if (!strcmp(a, "--csv")) option.csv = value;
        else return usage();
    }
    if (option.threads < 1 || option.threads > TEAM_MOST) return usage();
    if (option.tier && !has_tier(option.tier)) {
        fprintf(stderr, "bench: this build or this processor has no tier '%s'\n", option.tier);
        return 1;
    }
    describe(stdout);
    pool.size = option.quick ? (size_t)256 << 20 : beyond_caches();
    pool.memory = (unsigned char *)allocate(pool.size);
    printf("memory     weights and bandwidth: from %u MB\n", (unsigned)(pool.size >> 20));
    print_crowd(option.threads, cq_isa_available(0));
    if (!option.mlp) {
        yardstick_rows();
        products();
        vector_rows();
        free(pool.memory);
        gemm_rows();
    }
    solvers();
    if (!option.mlp) transforms();
    if (!option.mlp) denoising();
    if (!option.mlp && !option.only) summary();
    int failed = 0;
    if (option.json) failed |= write_results(option.json, true);
    if (option.csv) failed |= write_results(option.csv, false);
    return failed;
}
