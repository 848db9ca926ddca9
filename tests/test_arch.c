/* Architectures: every description against tiny models with logits from transformers (tests/golden/arch: their tensors
   are made here, from their names), whole, cached, exported, rotated and quantised; the groups of all keys of a
   published table; the notation itself.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_arch.c -lcmocka -lpthread -lm
   Run in the root of the repository, or define GOLDEN_DIR. CQUANT_TEST_MODEL=NAME: only that model;
   CQUANT_TEST_VERBOSE=1: a line for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"
#include "shared.h"

static uint64_t rng_state = 1;
static uint32_t rng(void) { return (uint32_t)(cq_random(11, 0, rng_state++) >> 32); }

/* Failures of single models: all are told before the test fails. */
static size_t complaints;
static bool verbose(void) { return getenv("CQUANT_TEST_VERBOSE") != NULL; }
#define complain(...) (complaints++, print_error(__VA_ARGS__))
static void no_complaints(void) {
    size_t n = complaints;
    complaints = 0;
    if (n) fail_msg("%zu complaints, see above", n);
}

/* Every way to run: each tier in a loop, then two threads on the best. false: no such number */
static bool context_number(size_t number, cq_context *ctx) {
    static const size_t two = 2;
    cq_context_desc d;
    size_t tiers = 0;
    memset(&d, 0, sizeof d);
    while (cq_isa_available(tiers)) tiers++;
    if (number > tiers) return false;
    if (number < tiers) d.isa = cq_isa_available(number);
    else d.parallel.run = run_threads;
    d.parallel.user = (void *)(uintptr_t)&two;
    check(cq_init(ctx, &d, err));
    return true;
}

/* ---- the golden files: their format stands at their top ---------------------------------------------------------- */
#define MAX_ROWS 8
#define MAX_COLUMNS 8
#define MAX_IDS 32
typedef float columns[MAX_COLUMNS];
typedef struct model {
    const char *config; /* exactly config_len bytes */
    size_t config_len;
    cq_weights w;
    const char *text; /* its description; NULL: the built-in one */
    cq_model *m;      /* NULL: not bound */
} model;
typedef struct golden {
    char name[80];
    size_t number; /* of the model, over all files */
    model model;
    /* two streams: (text_rows, text_width), with and without a prompt; a box, that without is of zeros; NULL: none */
    const float *text, *uncond, *box, *codebook;
    size_t text_rows, text_width, codebook_rows;
    int32_t ids[MAX_IDS];
    size_t n;
    float std;
    size_t columns[MAX_COLUMNS], column_count;
    size_t row[MAX_ROWS], rows, later[MAX_ROWS], laters, prefill; /* later: rows of a cached decode after a prefill */
    columns want[MAX_ROWS], want_later[MAX_ROWS];
    char decode[24];
    size_t upstream[MAX_ROWS], upstreams; /* two streams: as the published engine decodes */
    columns want_upstream[MAX_ROWS];
    int32_t made[2][MAX_IDS]; /* generated: as it should be, and as published */
    size_t made_count[2];
    float guidance;
} golden;

static int by_name(const void *a, const void *b) {
    const cq_named *x = (const cq_named *)a, *y = (const cq_named *)b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(x->name, y->name, n);
    return c ? c : x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}
static cq_weights sorted(cq_named *list, size_t n) {
    cq_weights w;
    qsort(list, n, sizeof *list, by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&list[i - 1], &list[i]) == 0) fail_msg("twice: %.*s", (int)list[i].name_len, list[i].name);
    w.list = (const cq_named *)copy_of(list, n * sizeof *list);
    w.count = n;
    return w;
}

typedef struct shape {
    size_t dim[4], ndim;
} shape;
static cq_named named(const char *name, cq_format format, shape s, const unsigned char *data) {
    cq_named t;
    size_t rows = 1;
    memset(&t, 0, sizeof t);
    t.name = (const char *)copy_of(name, strlen(name));
    t.name_len = strlen(name);
    t.ndim = (uint8_t)s.ndim;
    for (size_t i = 0; i < s.ndim; i++) {
        t.shape[i] = s.dim[i];
        if (i + 1 < s.ndim) rows *= s.dim[i];
    }
    check(cq_tensor_init(&t.t, format, CQ_ROWS, rows, s.ndim ? s.dim[s.ndim - 1] : 1, 0, false, err));
    t.bytes = t.t.bytes;
    t.dtype = (uint8_t)(format == CQ_F32 ? CQ_DTYPE_F32 : CQ_DTYPE_BF16);
    t.data = t.t.data = data;
    return t;
}
static size_t shape_count(shape s) {
    size_t n = 1;
    for (size_t i = 0; i < s.ndim; i++) n *= s.dim[i];
    return n;
}
/* element j of a tensor; a + b * u without a fused multiply-add */
static float made(uint64_t h, size_t j, float a, float b) {
    uint64_t z = h + (uint64_t)(j + 1) * 0x9E3779B97F4A7C15u;
    volatile float product;
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBu;
    z ^= z >> 31;
    product = b * ((float)(z >> 40) * 0x1p-23f - 1.0f);
    return a + product;
}
static unsigned char *make_data(const char *name, bool bf16, size_t n, float a, float b) {
    unsigned char *data = (unsigned char *)get(n * (bf16 ? 2 : 4));
    uint64_t h = 14695981039346656037u;
    for (const char *c = name; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
    for (size_t j = 0; j < n; j++) {
        float v = made(h, j, a, b);
        uint32_t bits;
        memcpy(&bits, &v, 4);
        if (bf16) bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
        for (size_t k = 0; k < (bf16 ? 2u : 4u); k++) data[j * (bf16 ? 2 : 4) + k] = (unsigned char)(bits >> 8 * k);
    }
    return data;
}

static cq_named building[4000]; /* the tensors of the model that is being read */
static size_t built;
/* Each tensor of a pattern: {2..5} and {a,b} stand for their members. */
static void expand(const char *pattern, bool bf16, shape s, float a, float b) {
    const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL, *dots;
    char name[300];
    if (!open) {
        assert_true(built < COUNT(building));
        building[built++] = named(pattern, bf16 ? CQ_BF16 : CQ_F32, s,
                                  make_data(pattern, bf16, shape_count(s), a, b));
        return;
    }
    assert_non_null(close);
    dots = strstr(open, "..");
    if (dots && dots < close) {
        for (long i = strtol(open + 1, NULL, 10), last = strtol(dots + 2, NULL, 10); i <= last; i++) {
            snprintf(name, sizeof name, "%.*s%ld%s", (int)(open - pattern), pattern, i, close + 1);
            expand(name, bf16, s, a, b);
        }
        return;
    }
    for (const char *from = open + 1; from <= close;) {
        size_t n = strcspn(from, ",}");
        snprintf(name, sizeof name, "%.*s%.*s%s", (int)(open - pattern), pattern, (int)n, from, close + 1);
        expand(name, bf16, s, a, b);
        from += n + 1;
    }
}

static char *read_text(const char *name) { /* zero-terminated */
    char path[300];
    snprintf(path, sizeof path, "%s/%s", GOLDEN_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s (run in the root of the repository)", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    assert_true(n >= 0);
    char *p = (char *)get((size_t)n + 1);
    assert_int_equal(fread(p, 1, (size_t)n, f), n);
    fclose(f);
    return p;
}
/* The next word of a line, copied; false at its end. */
static bool next_word(const char **at, char *out, size_t size) {
    size_t n = 0;
    while (**at == ' ') (*at)++;
    while (**at && **at != ' ' && **at != '\n') {
        assert_true(n + 1 < size);
        out[n++] = *(*at)++;
    }
    out[n] = 0;
    return n != 0;
}
static const char *after_word(const char *line, const char *word) {
    size_t n = strlen(word);
    return !strncmp(line, word, n) && line[n] == ' ' ? line + n + 1 : NULL;
}
/* The model that begins at `text`: its tensors (of which it may have those of another one in the file). */
static void read_tensors(const char *file, const char *text) {
    char prefix[200] = "", word[300], name[500];
    for (const char *line = text, *at; line && *line && *line != '\n'; line = strchr(line, '\n') + 1) {
        if ((at = after_word(line, "prefix")) != NULL) {
            next_word(&at, prefix, sizeof prefix);
        } else if ((at = after_word(line, "tensors")) != NULL) {
            next_word(&at, word, sizeof word);
            snprintf(name, sizeof name, "\nmodel %s\n", word);
            const char *other = strstr(file, name);
            assert_non_null(other);
            read_tensors(file, other + 1);
        } else if ((at = after_word(line, "tensor")) != NULL) {
            double value[6];
            size_t n = 0;
            shape s;
            next_word(&at, word, sizeof word);
            snprintf(name, sizeof name, "%s%s", word[0] == '.' ? prefix : "", word);
            next_word(&at, word, sizeof word);
            bool bf16 = !strcmp(word, "BF16");
            assert_true(bf16 || !strcmp(word, "F32"));
            for (char number[40]; next_word(&at, number, sizeof number); n++) {
                assert_true(n < COUNT(value));
                value[n] = strtod(number, NULL);
            }
            assert_true(n >= 2);
            memset(&s, 0, sizeof s);
            for (s.ndim = 0; s.ndim < n - 2; s.ndim++) s.dim[s.ndim] = (size_t)value[s.ndim];
            expand(name, bf16, s, (float)value[n - 2], (float)value[n - 1]);
        }
    }
}
static size_t read_row(const char *at, size_t *row, float *want) {
    char word[40];
    size_t n = 0;
    next_word(&at, word, sizeof word);
    *row = (size_t)strtoul(word, NULL, 10);
    for (; next_word(&at, word, sizeof word); n++) {
        assert_true(n < MAX_COLUMNS);
        want[n] = strtof(word, NULL);
    }
    return n;
}
static golden read_model(const char *file, const char *text) {
    golden g;
    char word[80];
    memset(&g, 0, sizeof g);
    for (const char *line = text, *at; *line && *line != '\n'; line = strchr(line, '\n') + 1) {
        if ((at = after_word(line, "model")) != NULL) next_word(&at, g.name, sizeof g.name);
        if ((at = after_word(line, "config")) != NULL) {
            g.model.config_len = strcspn(at, "\n");
            g.model.config = (const char *)copy_of(at, g.model.config_len);
        }
        if ((at = after_word(line, "ids")) != NULL)
            while (next_word(&at, word, sizeof word)) {
                assert_true(g.n < MAX_IDS);
                g.ids[g.n++] = (int32_t)strtol(word, NULL, 10);
            }
        if ((at = after_word(line, "std")) != NULL) g.std = strtof(at, NULL);
        if ((at = after_word(line, "columns")) != NULL)
            while (next_word(&at, word, sizeof word)) {
                assert_true(g.column_count < MAX_COLUMNS);
                g.columns[g.column_count++] = (size_t)strtoul(word, NULL, 10);
            }
        if ((at = after_word(line, "row")) != NULL) {
            assert_true(g.rows < MAX_ROWS);
            assert_int_equal(read_row(at, &g.row[g.rows], g.want[g.rows]), g.column_count);
            g.rows++;
        }
        if ((at = after_word(line, "upstream")) != NULL) {
            assert_true(g.upstreams < MAX_ROWS);
            assert_int_equal(read_row(at, &g.upstream[g.upstreams], g.want_upstream[g.upstreams]), g.column_count);
            g.upstreams++;
        }
        for (size_t k = 0; k < 2; k++)
            if ((at = after_word(line, k ? "generate-upstream" : "generate")) != NULL) {
                g.guidance = strtof(at, (char **)(void *)&at);
                while (next_word(&at, word, sizeof word)) {
                    assert_true(g.made_count[k] < MAX_IDS);
                    g.made[k][g.made_count[k]++] = (int32_t)strtol(word, NULL, 10);
                }
            }
        if ((at = after_word(line, "bbox")) != NULL) {
            float *box = (float *)get(3 * sizeof *box);
            for (size_t k = 0; k < 3; k++) box[k] = strtof(at, (char **)(void *)&at);
            g.box = box;
        }
        if ((at = after_word(line, "input")) != NULL) {
            next_word(&at, word, sizeof word);
            size_t rows = (size_t)strtoul(at, (char **)(void *)&at, 10);
            size_t cols = (size_t)strtoul(at, (char **)(void *)&at, 10);
            float a = strtof(at, (char **)(void *)&at), b = strtof(at, NULL);
            const float *data = (const float *)(const void *)make_data(word, false, rows * cols, a, b);
            if (!strcmp(word, "codebook")) {
                g.codebook = data;
                g.codebook_rows = rows;
            } else {
                *(strcmp(word, "text") ? &g.uncond : &g.text) = data;
                g.text_rows = rows;
                g.text_width = cols;
            }
        }
        if ((at = after_word(line, "decode")) != NULL) next_word(&at, g.decode, sizeof g.decode);
        if ((at = after_word(line, "prefill")) != NULL) {
            assert_true(g.laters < MAX_ROWS);
            g.prefill = (size_t)strtoul(at, (char **)(void *)&at, 10);
            assert_int_equal(read_row(at, &g.later[g.laters], g.want_later[g.laters]), g.column_count);
            g.laters++;
        }
    }
    built = 0;
    read_tensors(file, text);
    g.model.w = sorted(building, built);
    return g;
}

static const char *const files[] = {"dense", "dual-stream", "experts", "multimodal", "recurrent"};
#define ALL_MODELS 341
/* fn for every golden model, or every step-th. */
static void each_golden(void (*fn)(golden *), size_t step) {
    size_t number = 0;
    const char *only = getenv("CQUANT_TEST_MODEL");
    for (size_t i = 0; i < COUNT(files); i++) {
        char name[60];
        size_t mark = pool_count;
        snprintf(name, sizeof name, "arch/%s.txt", files[i]);
        char *text = read_text(name);
        for (const char *at = text; (at = strstr(at, "\nmodel ")) != NULL; at++, number++) {
            size_t inner = pool_count;
            char word[80];
            const char *p = at + 7;
            next_word(&p, word, sizeof word);
            if (only ? strcmp(word, only) != 0 : number % step != 0) continue;
            golden g = read_model(text, at + 1);
            g.number = number;
            fn(&g);
            free_down_to(inner);
        }
        free_down_to(mark);
    }
    assert_int_equal(number, ALL_MODELS);
}

static bool among(const char *const *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], name)) return true;
    return false;
}
/* Golden models that the library does not run: whose description is `blocked`; and which none describes, or none with
   such a configuration. */
static const char *const blocked[] = {
    "diffllama", "doge", "gemma3n_text", "hrm_text",
    "gemma3n", "jetmoe", "axk2", "deepseek_v4", "glm5_next",
    "qwen4_exp", "recurrent_gemma", "zamba2", "rwkv", "bailing_hybrid", "qwen4_exp_text", "zamba"};
static const char *const refused[] = {"kimi_linear", "inkling_text", "olmo_hybrid"};

static cq_status bind_model(model *g, cq_error *err) {
    size_t n = g->text ? strlen(g->text) : 0;
    cq_arena a = arena_of(cq_model_bound(g->config_len, &g->w, g->text, n));
    g->m = (cq_model *)get(sizeof *g->m);
    return cq_model_bind(g->m, g->config, g->config_len, &g->w, g->text, n, &a, err);
}
/* false: one of those that cannot run, or (a complaint) it does not bind. */
static bool runs(golden *g) {
    cq_error err;
    memset(&err, 0, sizeof err);
    if (bind_model(&g->model, &err) == CQ_OK) {
        if (g->codebook) {
            cq_context ctx = plain();
            cq_arena a = cq_arena_over(NULL, 0), b;
            check(cq_model_fold_codebook(g->model.m, &ctx, g->codebook, g->codebook_rows, &a, err));
            b = arena_of(a.used);
            check(cq_model_fold_codebook(g->model.m, &ctx, g->codebook, g->codebook_rows, &b, err));
        }
        size_t most = g->model.m->longest; /* of a causal model the first rows are the same */
        if (most && g->n > most) {
            g->n = most;
            while (g->rows && g->row[g->rows - 1] >= most) g->rows--;
            assert_true(g->rows > 0 && !g->laters);
        }
        return true;
    }
    if (g->model.m->arch.blocked.n || among(refused, COUNT(refused), g->name)) return false;
    complain("%s: %s: %.*s (%lld)\n", g->name, err.what ? err.what : "?", (int)err.name_len, err.name,
             (long long)err.got);
    return false;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */
static cq_session session_of(const cq_context *ctx, const cq_model *m, const cq_session_desc *d) {
    cq_session s;
    cq_arena a = cq_arena_over(NULL, 0), b;
    check(cq_session_init(&s, ctx, m, d, &a, &a, err));
    b = arena_of(a.used);
    check(cq_session_init(&s, ctx, m, d, &b, &b, err));
    assert_int_equal(a.used, b.used);
    return s;
}
/* A session that holds the text, if the model has one: of so many tokens. */
static cq_session begun(const cq_context *ctx, const cq_model *m, const golden *g, const float *text, const float *box,
                        size_t n, size_t tile, bool upstream) {
    cq_session_desc d;
    memset(&d, 0, sizeof d);
    d.max_tokens = n + (text ? g->text_rows + (box != NULL) : 0);
    d.tile = tile;
    d.upstream_cache = upstream;
    cq_session s = session_of(ctx, m, &d);
    if (text) check(cq_forward_text(&s, text, g->text_rows, box, err));
    return s;
}
/* Logits (n, vocab) of m, which may be another than the golden's own; first: rows of the first pass (0: all), the rest
   one by one. NULL, a complaint: it was refused. */
static float *run(const cq_context *ctx, const cq_model *m, const golden *g, size_t tile, size_t first, bool upstream) {
    float *out = (float *)get(g->n * m->vocab * sizeof *out);
    cq_error err;
    cq_session s = begun(ctx, m, g, g->text, g->box, g->n, tile, upstream);
    for (size_t slot = 0; slot < g->n;) {
        cq_input in;
        memset(&in, 0, sizeof in);
        in.n = slot ? 1 : first ? first : g->n;
        in.ids = (const int32_t *)copy_of(g->ids + slot, in.n * sizeof *g->ids);
        in.slot = slot;
        if (cq_forward(&s, &in, &err)) {
            complain("%s: a pass of %zu rows: %s\n", g->name, in.n, err.what);
            return NULL;
        }
        cq_logits(&s, NULL, in.n, out + slot * m->vocab);
        slot += in.n;
    }
    return out;
}
/* largest difference; infinite if anything is no number */
static double distance(const float *a, const float *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
    return worst;
}
static double rows_distance(const golden *g, const float *logits, const size_t *row,
                            const columns *want, size_t rows) {
    double worst = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < g->column_count; c++) {
            double d = distance(&logits[row[r] * g->model.m->vocab + g->columns[c]], &want[r][c], 1);
            worst = d > worst ? d : worst;
        }
    return worst;
}

/* ---- the forward pass -------------------------------------------------------------------------------------------- */
static size_t seen, stopped, unknown, ran;
/* the model_type of every golden model whose logits were right */
static char right[ALL_MODELS][60];
static size_t right_count;
static bool is_right(cq_str name) {
    for (size_t i = 0; i < right_count; i++)
        if (strlen(right[i]) == name.n && !memcmp(right[i], name.p, name.n)) return true;
    return false;
}
/* Every description that is not blocked has run: under one of its names, at least. */
static void check_descriptions(void) {
    size_t count = 0, names = 0, lacking = 0;
    const char *text;
    for (size_t i = 0; (text = cq_arch_builtin(i)) != NULL; i++) {
        cq_arch arch;
        bool any = false;
        check(cq_arch_parse(&arch, text, strlen(text), err));
        if (arch.blocked.n) continue;
        count++;
        for (const char *at = arch.names.p, *end = at + arch.names.n; at < end;) {
            cq_str name = {at, 0};
            while (at + name.n < end && at[name.n] != ' ') name.n++;
            at += name.n + 1;
            if (!name.n) continue;
            names++;
            if (is_right(name)) any = true;
            else if (++lacking) print_message("no golden model has the model_type %.*s\n", (int)name.n, name.p);
        }
        if (!any) complain("model %.*s: no golden model runs by it\n", (int)arch.names.n, arch.names.p);
    }
    print_message("%zu descriptions run, of %zu names; %zu of these without a golden model\n", count, names, lacking);
}
/* Some rows of a pass run anew, at their slots of a cache that holds all: each comes out as it did. */
static void rows_anywhere(const cq_context *ctx, const cq_model *m, const golden *g, const float *whole) {
    cq_session s = begun(ctx, m, g, g->text, g->box, g->n, 3, false);
    uint32_t *slots = (uint32_t *)get(g->n * sizeof *slots);
    int32_t *ids = (int32_t *)get(g->n * sizeof *ids);
    float *out = (float *)get(m->vocab * sizeof *out);
    cq_error err;
    cq_input in;
    memset(&in, 0, sizeof in);
    in.ids = g->ids;
    in.n = in.visible = g->n;
    check(cq_forward(&s, &in, err));
    in.ids = ids;
    in.slots = slots;
    in.slot = 99; /* not read */
    for (uint32_t i = 2; i < 5; i++) { /* every second, every third, every fourth */
        for (in.n = 0; i - 1 + in.n * i < g->n; in.n++) {
            slots[in.n] = (uint32_t)(i - 1 + in.n * i);
            ids[in.n] = g->ids[slots[in.n]];
        }
        cq_status st = cq_forward(&s, &in, &err), want = m->recurrent || m->two_streams ? CQ_ERR_UNSUPPORTED : CQ_OK;
        if (st != want) complain("%s: rows at any slot: status %d\n", g->name, (int)st);
        if (st) return;
        for (uint32_t r = 0; r < in.n; r++) {
            cq_logits(&s, &r, 1, out);
            if (memcmp(out, whole + slots[r] * m->vocab, m->vocab * sizeof *out))
                complain("%s: slot %u run anew has other bits\n", g->name, (unsigned)slots[r]);
        }
    }
}
/* Catches: a pass of any kind of block that, cancelled and run again, gives other bits; states of recurrent blocks that
   are gone on with, a text that is read, although their pass was cancelled. */
static bool stop_at_zero(void *user, size_t done, size_t total) {
    size_t *left = (size_t *)user;
    assert_true(done <= total && *left > 0); /* not again after false */
    return --*left > 0;
}
static void cancelled_passes(const cq_context *ctx, const cq_model *m, const golden *g, const float *whole) {
    float *out = (float *)get(g->n * m->vocab * sizeof *out);
    for (size_t i = 0; i < 3; i++) {
        size_t left = SIZE_MAX, at = 1 + 7 * i;
        cq_session_desc d;
        cq_error err;
        cq_input in, later;
        memset(&d, 0, sizeof d);
        memset(&in, 0, sizeof in);
        d.max_tokens = g->n + (g->text ? g->text_rows + (g->box != NULL) : 0);
        d.tile = 3;
        d.progress = stop_at_zero;
        d.user = &left;
        cq_session s = session_of(ctx, m, &d);
        in.ids = g->ids;
        in.n = g->n;
        if (g->text) {
            left = at;
            assert_int_equal(cq_forward_text(&s, g->text, g->text_rows, g->box, &err), CQ_ERR_CANCELLED);
            left = SIZE_MAX;
            assert_int_equal(cq_forward(&s, &in, &err), CQ_ERR_ARG);
            check(cq_forward_text(&s, g->text, g->text_rows, g->box, err));
        }
        left = at;
        cq_status st = cq_forward(&s, &in, &err);
        if (st != (left ? CQ_OK : CQ_ERR_CANCELLED)) complain("%s: cancelled: status %d\n", g->name, (int)st);
        left = SIZE_MAX;
        memcpy(&later, &in, sizeof later);
        later.n = later.slot = 1;
        if (st && m->recurrent && cq_forward(&s, &later, &err) != CQ_ERR_UNSUPPORTED)
            complain("%s: goes on after a pass that was cancelled\n", g->name);
        check(cq_forward(&s, &in, err));
        cq_logits(&s, NULL, g->n, out);
        if (memcmp(out, whole, g->n * m->vocab * sizeof *out))
            complain("%s: a pass run again after it was cancelled at %zu has other bits\n", g->name, at);
    }
}
static void forward_one(golden *g) {
    cq_context ctx = plain();
    bool good = runs(g), stops = !good && g->model.m->arch.blocked.n;
    seen++;
    stopped += stops;
    unknown += !good && !stops;
    if (stops != among(blocked, COUNT(blocked), g->name))
        complain("%s: %s\n", g->name, stops ? "is blocked, and not in the list" : "is in the list of those blocked");
    if (good && among(refused, COUNT(refused), g->name))
        complain("%s runs: it is in the list of those refused\n", g->name);
    if (!good) return;
    ran++;
    cq_model *m = g->model.m;
    size_t count = g->n * m->vocab;
    if (!strcmp(g->name, "phimoe__longrope")) /* transformers takes short_factor at any length; the published code does
                                                 not, nor is it done here */
        m->rope[0].long_freq = m->rope[0].inv_freq;
    float *whole = run(&ctx, m, g, 0, 0, false);
    if (!whole) {
        complain("%s does not run\n", g->name);
        return;
    }
    double far = rows_distance(g, whole, g->row, (const columns *)g->want, g->rows) / g->std;
    if (verbose()) print_message("%-40s %.1e\n", g->name, far);
    if (!(far < 1e-4)) {
        complain("%s: logits off by %.2g std\n", g->name, far);
    } else if (!is_right(m->arch.name)) {
        assert_true(right_count < COUNT(right) && m->arch.name.n < sizeof right[0]);
        memcpy(right[right_count], m->arch.name.p, m->arch.name.n);
        right[right_count++][m->arch.name.n] = 0;
    }
    for (size_t k = 0; context_number(k, &ctx); k++) {
        float *same = run(&ctx, m, g, 5, 0, false);
        if (memcmp(same, whole, count * sizeof *whole)) complain("%s: other bits, context %zu\n", g->name, k);
    }
    rows_anywhere(&ctx, m, g, whole);
    cancelled_passes(&ctx, m, g, whole);
    float *cached = run(&ctx, m, g, 0, 7, false);
    if (g->laters) {
        assert_int_equal(g->prefill, 7);
        far = rows_distance(g, cached, g->later, (const columns *)g->want_later, g->laters) / g->std;
    } else if (!strcmp(g->decode, "by-design")) {
        return;
    } else {
        far = distance(cached, whole, count) / g->std;
    }
    if (!(far < 1e-4)) complain("%s: decoded logits off by %.2g std\n", g->name, far);
    if (!g->text) return;
    float *published = run(&ctx, m, g, 0, 1, true);
    far = rows_distance(g, published, g->upstream, (const columns *)g->want_upstream, g->upstreams) / g->std;
    if (!(far < 1e-4)) complain("%s: decoded as published: logits off by %.2g std\n", g->name, far);
    for (size_t k = 0; k < 2; k++) {
        static const float no_box[3];
        size_t n = g->made_count[k];
        int32_t *ids = (int32_t *)get(n * sizeof *ids);
        cq_session s[2];
        cq_generate_desc d;
        cq_arena a = cq_arena_over(NULL, 0), b;
        memset(&d, 0, sizeof d);
        s[0] = begun(&ctx, m, g, g->text, g->box, n, 0, k != 0);
        s[1] = begun(&ctx, m, g, g->uncond, g->box ? no_box : NULL, n, 0, k != 0);
        check(cq_generate_guided(&s[0], &s[1], g->guidance, &d, ids, n, NULL, &a, err));
        b = arena_of(a.used);
        check(cq_generate_guided(&s[0], &s[1], g->guidance, &d, ids, n, NULL, &b, err));
        if (memcmp(ids, g->made[k], n * sizeof *ids)) complain("%s: generates other ids (%d)\n", g->name, (int)k);
    }
}
static void test_forward(void **state) {
    (void)state;
    seen = stopped = unknown = ran = right_count = 0;
    each_golden(forward_one, 1);
    print_message("%zu models: %zu run, %zu described but blocked, %zu refused\n", seen, ran, stopped, unknown);
    if (!getenv("CQUANT_TEST_MODEL")) {
        if (stopped != COUNT(blocked)) complain("%zu of the list are blocked\n", stopped);
        if (unknown != COUNT(refused)) complain("%zu of the list are refused\n", unknown);
        check_descriptions();
    }
    no_complaints();
}

/* ---- exporting, rotating, quantising ----------------------------------------------------------------------------- */
typedef struct packed { /* of a linear, by its address; values for those that panels cannot hold */
    const cq_linear *linear;
    cq_tensor tensor;
    double loss, error, all; /* the loss as reported; what compare_losses adds up */
    bool nearest;            /* the loss is not that of any inputs */
} packed;
typedef struct packed_list {
    packed *list;
    size_t count;
} packed_list;

/* config.json with a key's value replaced wherever it stands, or added in front */
static char *with(const char *config, size_t len, const char *key, const char *value, size_t *out_len) {
    char quoted[80], *text = (char *)get(len + 1), *out = (char *)get(len + 1000);
    size_t at = 0;
    bool found = false;
    memcpy(text, config, len);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    for (const char *from = text; *from;) {
        const char *next = strstr(from, quoted);
        if (!next) next = text + len;
        else found = true;
        memcpy(out + at, from, (size_t)(next - from));
        at += (size_t)(next - from);
        if (!*next) break;
        at += (size_t)snprintf(out + at, 100, "%s%s", quoted, value);
        from = next + strlen(quoted);
        from += strcspn(from, ",}");
    }
    if (!found) {
        memmove(out + strlen(quoted) + strlen(value) + 2, out + 1, at - 1);
        out[strlen(quoted) + strlen(value) + 1] = ',';
        memcpy(out + 1, quoted, strlen(quoted));
        memcpy(out + 1 + strlen(quoted), value, strlen(value));
        at += strlen(quoted) + strlen(value) + 1;
    }
    *out_len = at;
    return (char *)copy_of(out, at);
}

/* The model as a .cq file has it, read part by part: through a plan, and with linears quantised, or NULL. elements:
   of all parts; swapped: whether one was stored as (cols, rows). false: a complaint. */
static bool export_model(const cq_context *ctx, const golden *g, const cq_rotate_plan *plan,
                         const packed_list *quantized, model *out, size_t *elements, bool *swapped) {
    const cq_model *m = g->model.m;
    cq_parts cursor;
    cq_part part;
    cq_error err;
    memset(&cursor, 0, sizeof cursor);
    memset(&err, 0, sizeof err);
    *elements = built = 0;
    *swapped = false;
    while (cq_model_part(m, plan, &cursor, &part)) {
        shape s;
        size_t n = part.rows * part.cols;
        assert_true(built < COUNT(building));
        assert_int_equal(part.name_len, strlen(part.name));
        if (part.kind == CQ_PART_CARRIED) {
            building[built++] = *part.stored;
            continue;
        }
        *swapped = *swapped || part.swapped;
        *elements += n;
        float *data = (float *)get(n * sizeof *data);
        cq_status st = cq_part_read(ctx, m, plan, &part, 0, part.rows, data, &err);
        if (st) {
            complain("%s: %s: %s\n", g->name, part.name, err.what);
            return false;
        }
        memset(&s, 0, sizeof s);
        if (part.matrix) {
            s.ndim = 2;
            s.dim[0] = part.rows;
            s.dim[1] = part.cols;
        } else if (part.stored && part.stored->t.rows * part.stored->t.cols == n) {
            s.ndim = part.stored->ndim;
            for (size_t i = 0; i < s.ndim; i++) s.dim[i] = (size_t)part.stored->shape[i];
        } else {
            s.ndim = 1;
            s.dim[0] = n;
        }
        cq_named *t = &building[built++];
        *t = named(part.name, CQ_F32, s, (const unsigned char *)data);
        t->dtype = CQ_DTYPE_PACKED;
        for (size_t i = 0; quantized && part.kind == CQ_PART_LINEAR && i < quantized->count; i++)
            if (quantized->list[i].linear == part.linear) {
                t->t = quantized->list[i].tensor;
                t->data = t->t.data;
                t->bytes = t->t.bytes;
            }
    }
    out->text = g->model.text;
    out->config = g->model.config;
    out->config_len = g->model.config_len;
    if (cq_rotate_unties(plan, m) && strncmp(m->arch.tie.p, "absent", 6)) { /* the head has become its own */
        char key[60];
        size_t n = strspn(m->arch.tie.p, "abcdefghijklmnopqrstuvwxyz_");
        snprintf(key, sizeof key, "%.*s", (int)n, m->arch.tie.p);
        if (n) out->config = with(out->config, out->config_len, key, "false", &out->config_len);
    }
    qsort(building, built, sizeof *building, by_name);
    for (size_t i = 1; i < built; i++)
        if (by_name(&building[i - 1], &building[i]) == 0) {
            complain("%s: two parts %.*s\n", g->name, (int)building[i].name_len, building[i].name);
            return false;
        }
    out->w = sorted(building, built);
    if (plan && plan->onlines) { /* such a plan changes the description */
        size_t n = cq_rotate_print(m, plan, NULL, 0);
        char *text = (char *)get(n + 1);
        cq_rotate_print(m, plan, text, n);
        text[n] = 0;
        out->text = text;
    }
    if (bind_model(out, &err)) {
        complain("%s: the parts do not bind: %s: %.*s (%lld)\n", g->name, err.what, (int)err.name_len, err.name,
                 (long long)err.got);
        return false;
    }
    return true;
}
static bool holds(const cq_named *t, const char *part) {
    for (size_t i = 0, n = strlen(part); i + n <= t->name_len; i++)
        if (!memcmp(t->name + i, part, n)) return true;
    return false;
}
/* Every tensor of the checkpoint is in the parts, all of it and once. But those that stand for experts of LongCat which
   do nothing have no meaning. */
static void check_cover(const golden *g) {
    const cq_weights *w = &g->model.w;
    size_t *covered = (size_t *)get(w->count * sizeof *covered);
    cq_parts cursor;
    cq_part part;
    memset(&cursor, 0, sizeof cursor);
    while (cq_model_part(g->model.m, NULL, &cursor, &part)) {
        assert_true(part.stored >= w->list && part.stored < w->list + w->count);
        covered[part.stored - w->list] += part.kind == CQ_PART_CARRIED ? part.stored->t.rows * part.stored->t.cols
                                                                       : part.rows * part.cols;
    }
    for (size_t i = 0; i < w->count; i++) {
        size_t n = w->list[i].t.rows * w->list[i].t.cols;
        bool none = !strcmp(g->name, "longcat_flash") && (holds(&w->list[i], "experts.8.") ||
                    holds(&w->list[i], "experts.9.") || holds(&w->list[i], "experts.10.") ||
                    holds(&w->list[i], "experts.11."));
        if (covered[i] != (none ? 0 : n))
            complain("%s: of %.*s the parts have %zu of %zu numbers\n", g->name, (int)w->list[i].name_len,
                     w->list[i].name, covered[i], n);
    }
}
static void parts_one(golden *g) {
    cq_context ctx = plain();
    model copy;
    size_t elements;
    bool swapped;
    if (!runs(g)) return;
    check_cover(g);
    if (!export_model(&ctx, g, NULL, NULL, &copy, &elements, &swapped)) return;
    if (elements != g->model.m->parameters)
        complain("%s: parts of %zu numbers, of %zu in the model\n", g->name, elements, g->model.m->parameters);
    float *want = run(&ctx, g->model.m, g, 0, 0, false), *got = run(&ctx, copy.m, g, 0, 0, false);
    if (!want || !got) return;
    double far = distance(got, want, g->n * copy.m->vocab) / g->std;
    if (verbose()) print_message("%-40s %.1e%s\n", g->name, far, swapped ? " swapped" : "");
    if (!(far <= (swapped ? 1e-5 : 0))) complain("%s: from its parts: logits off by %.2g std\n", g->name, far);
    ran++;
}
/* Catches: parts that are missing, there twice, misnamed, of the wrong shape, or of another expert. */
static void test_parts(void **state) {
    (void)state;
    ran = 0;
    each_golden(parts_one, 1);
    no_complaints();
    print_message("%zu models\n", ran);
}

/* Which golden models have no R1 or no R2, and why; an entry holds for all NAME__VARIANT too that have none of their
   own. Models in neither list have both. */
typedef struct exception {
    const char *name;
    const char *why; /* of R1: part of r1[0].why. NULL: nothing stands in the way, though in that of its relatives */
} exception;
#define POST "a norm after a block"
#define CARRIED "carried"
#define AFTER "a norm of the sum"
static const exception no_r1[] = {
    {"olmo2", POST}, {"olmo3", POST}, {"flex_olmo", POST}, {"glm4", POST}, {"glm4v", POST}, {"glm_ocr", POST},
    {"exaone4", POST}, {"exaone4_5", POST}, {"exaone4_5_text", POST}, {"gemma2", POST}, {"gemma3", POST},
    {"gemma3_text", POST}, {"hyperclovax", POST}, {"afmoe", POST}, {"muse_glimmer", POST}, {"glm46v", POST},
    {"axk1", POST}, {"lfm3", POST}, {"gemma4_text", POST}, {"gemma4", POST}, {"gemma4_unified", POST},
    {"gemma4_unified_text", POST},
    {"mllama", CARRIED}, {"mllama_text_model", CARRIED}, {"glm_moe_dsa", CARRIED}, {"deepseek_v32", CARRIED},
    {"minimax_m3_vl", CARRIED}, {"minimax_m3_vl_text__sparse", CARRIED}, {"ernie4_5_vl_moe", CARRIED},
    {"ernie4_5_moe_vl", CARRIED},
    {"bloom", "after the embedding"}, {"opt__350m_postln_proj", AFTER},
    {"openai_gpt", AFTER}, {"longcat_flash", "give their input back"}, {"xglm", "computed positions"},
    {"ctrl", "computed positions"},
    {"modernbert_decoder", "after the embedding"},
    {"minimax", "the normed input"}, {"baichuan__2_normhead", "length 1"}};
#define CLIP "values are clamped"
#define GATE "a gate on the output of attention"
#define V_NORM "a norm of the values"
#define NO_ATTENTION "there is no attention"
static const exception no_r2[] = {
    {"olmo", CLIP}, {"olmo__no_clip_bias", NULL}, {"mpt", CLIP}, {"mpt__6_heads_bias", NULL},
    {"olmoe__clip_norm", CLIP}, {"dbrx", CLIP}, {"dbrx_converted", CLIP}, {"bitnet", "a norm before o"},
    {"laguna", GATE}, {"afmoe", GATE}, {"lfm3", GATE}, {"gemma4_text", V_NORM}, {"gemma4", V_NORM},
    {"muse_glimmer", GATE}, {"qwen3_5", GATE}, {"qwen3_5_text", GATE}, {"qwen3_5_moe", GATE},
    {"qwen3_5_moe_text", GATE}, {"qwen3_next", GATE}, {"minicpmv4_6", GATE}, {"intern_s2_preview", GATE},
    {"qwen_drive", GATE}, {"zdtaichu5_0", GATE}, {"ovis2_6_next", GATE}, {"gemma4_unified", V_NORM},
    {"gemma4_unified_text", V_NORM}, {"mamba", NO_ATTENTION},
    {"mamba2", NO_ATTENTION}, {"falcon_mamba", NO_ATTENTION}};
/* NULL: none */
static const exception *exception_of(const exception *list, size_t n, const char *name) {
    size_t stem = strstr(name, "__") ? (size_t)(strstr(name, "__") - name) : strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return list[i].why ? &list[i] : NULL;
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i].name) == stem && !strncmp(list[i].name, name, stem)) return &list[i];
    return NULL;
}

static bool plan_of(const cq_context *ctx, const cq_model *m, cq_rotate_plan *plan) {
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0), b;
    memset(&err, 0, sizeof err);
    cq_status st = cq_rotate_plan_auto(plan, ctx, m, 1, &a, &err);
    if (st) {
        check_error(st, &err);
        assert_int_equal(st, CQ_ERR_UNSUPPORTED);
        return false;
    }
    b = arena_of(a.used);
    check(cq_rotate_plan_auto(plan, ctx, m, 1, &b, err));
    assert_int_equal(a.used, b.used);
    return true;
}
static bool used[2][COUNT(no_r1) + COUNT(no_r2) + 1];
static void rotation_one(golden *g) {
    cq_context ctx = plain();
    cq_rotate_plan plan;
    model turned;
    size_t elements;
    bool swapped;
    if (!runs(g)) return;
    bool any = plan_of(&ctx, g->model.m, &plan);
    if (verbose())
        print_message("%-40s r1 %d r2 %zu %s\n", g->name, plan.r1[0].on, plan.r2_count,
                      plan.r1[0].why ? plan.r1[0].why : "");
    const exception *r1 = exception_of(no_r1, COUNT(no_r1), g->name), *r2 = exception_of(no_r2, COUNT(no_r2), g->name);
    used[0][r1 ? (size_t)(r1 - no_r1) : COUNT(no_r1)] = used[1][r2 ? (size_t)(r2 - no_r2) : COUNT(no_r2)] = true;
    if (plan.r1[0].on == (r1 != NULL)) complain("%s: R1 %s\n", g->name, plan.r1[0].on ? "is possible" : plan.r1[0].why);
    if (!plan.r1[0].on && r1 && !strstr(plan.r1[0].why, r1->why)) complain("%s: no R1: %s\n", g->name, plan.r1[0].why);
    if ((plan.r2_count != 0) == (r2 != NULL)) complain("%s: %zu R2\n", g->name, plan.r2_count);
    assert_int_equal(any, plan.r1[0].on || plan.r2_count);
    if (!any) return;
    ran++;
    if (!export_model(&ctx, g, &plan, NULL, &turned, &elements, &swapped)) return;
    float *want = run(&ctx, g->model.m, g, 0, 0, false), *got = run(&ctx, turned.m, g, 0, 0, false);
    if (!want || !got) return;
    double far = distance(got, want, g->n * turned.m->vocab) / g->std;
    if (verbose()) print_message("%-40s rotated: %.1e\n", g->name, far);
    if (!(far <= 2e-4)) complain("%s: rotated: logits off by %.2g std\n", g->name, far);
}
/* The widest online rotations that a model can have, and blocks of 4 or 8; how many of the two kinds: *kinds. */
static bool plan_online(const cq_context *ctx, const cq_model *m, cq_rotate_plan *plan, bool small, size_t *kinds) {
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0), b;
    size_t wish[2] = {0, 0};
    *kinds = 0;
    memset(plan, 0, sizeof *plan);
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *block = &m->blocks[i];
        if (block->kind <= CQ_BLOCK_MOE) wish[block->kind > CQ_BLOCK_MLA] = small ? 4 : CQ_ONLINE_WIDEST;
    }
    for (size_t k = 0; k < 2; k++) *kinds += wish[k] != 0;
    if (!*kinds) return false;
    memset(&err, 0, sizeof err);
    if (cq_rotate_plan_online(plan, ctx, m, wish[0], wish[1], &a, &err)) {
        check_error(err.status, &err);
        assert_int_equal(err.status, CQ_ERR_UNSUPPORTED);
        return false;
    }
    b = cq_arena_over(get(a.used), a.used - 1);
    assert_int_equal(cq_rotate_plan_online(plan, ctx, m, wish[0], wish[1], &b, &err), CQ_ERR_MEMORY);
    b = arena_of(a.used);
    check(cq_rotate_plan_online(plan, ctx, m, wish[0], wish[1], &b, err));
    assert_int_equal(a.used, b.used);
    return true;
}
static double farthest;
static void online_one(golden *g) {
    cq_context ctx = plain();
    if (!runs(g)) return;
    float *want = run(&ctx, g->model.m, g, 0, 0, false);
    for (int small = 0; want && small < 2; small++) {
        cq_rotate_plan plan;
        model turned;
        size_t elements, kinds;
        bool swapped;
        if (!plan_online(&ctx, g->model.m, &plan, small != 0, &kinds)) {
            if (kinds && !small) complain("%s: no online rotation\n", g->name);
            continue;
        }
        ran += !small;
        if (!export_model(&ctx, g, &plan, NULL, &turned, &elements, &swapped)) return;
        float *got = run(&ctx, turned.m, g, 0, 0, false);
        if (!got) return;
        double far = distance(got, want, g->n * turned.m->vocab) / g->std;
        farthest = far > farthest ? far : farthest;
        if (verbose()) print_message("%-40s online: %.1e\n", g->name, far);
        if (!(far <= 3e-5)) complain("%s: online rotations: logits off by %.2g std\n", g->name, far);
        if (!memcmp(got, want, g->n * turned.m->vocab * sizeof *got)) complain("%s: nothing was turned\n", g->name);
    }
}
/* Catches: an input of some `down`, a query or a key that is not turned, or a weight that is not; shared experts, heads
   and layers of other widths; keys that other blocks read. */
static void test_online(void **state) {
    (void)state;
    ran = 0;
    farthest = 0;
    each_golden(online_one, QUICK ? 3 : 1);
    no_complaints();
    print_message("%zu models, the farthest off by %.1e std\n", ran, farthest);
}
/* Catches: a rotation of what cannot be rotated, or not of what can; an end of it, a bias or a norm forgotten. */
static void test_rotation(void **state) {
    (void)state;
    ran = 0;
    memset(used, 0, sizeof used);
    each_golden(rotation_one, QUICK ? 3 : 1);
    if (!QUICK && !getenv("CQUANT_TEST_MODEL"))
        for (size_t k = 0; k < 2; k++)
            for (size_t i = 0; i < (k ? COUNT(no_r2) : COUNT(no_r1)); i++) {
                const exception *e = k ? &no_r2[i] : &no_r1[i];
                if (!used[k][i] && e->why) complain("%s: no such model\n", e->name);
            }
    no_complaints();
    print_message("%zu models\n", ran);
}

/* ---- quantising -------------------------------------------------------------------------------------------------- */
typedef struct job {
    const golden *g;
    cq_quantize_desc desc;
    packed_list out;
    size_t expert_tokens, experts, starved;
    size_t first, place; /* where the last linear was: the first block of its layer, and its group's number there */
} job;
/* Groups come layer after layer, in the order that cq_layer_group tells. */
static bool in_order(job *j, const cq_module *module) {
    const cq_model *m = j->g->model.m;
    const cq_block *b, *at = module->block;
    const cq_linear *l;
    size_t first = (size_t)(at - m->blocks), group;
    while (first && m->blocks[first - 1].list == at->list && m->blocks[first - 1].layer == at->layer) first--;
    for (size_t i = 0; cq_layer_group(m, first, i, &b, &group); i++)
        for (size_t k = 0; b == at && (l = cq_block_group(b, group, k)) != NULL; k++)
            if (l == module->linear) {
                bool good = first > j->first || (first == j->first && i >= j->place);
                j->first = first;
                j->place = i;
                return good;
            }
    return false;
}
static bool emit(void *user, const cq_module *module) {
    job *j = (job *)user;
    const cq_linear *l = module->linear;
    size_t n = l->w.rows * l->w.cols, bits = cq_format_bits(j->desc.gptq.format);
    bool expert = l->role >= CQ_ROLE_EXPERT_GATE && l->role <= CQ_ROLE_EXPERT_DOWN;
    size_t rows = module->block->text ? j->g->text_rows + (j->g->box != NULL) : j->g->n * j->desc.samples;
    char name[256];
    double all = 0;
    cq_module_name(j->g->model.m, module->block, l, name, sizeof name);
    if (l->keep) complain("%s: %s stays as it is\n", j->g->name, name);
    if (!in_order(j, module)) complain("%s: %s comes too late\n", j->g->name, name);
    for (size_t i = 0; i < j->out.count; i++)
        if (j->out.list[i].linear == l) complain("%s: %s comes twice\n", j->g->name, name);
    for (size_t i = 0; i < n; i++) all += fabs((double)module->values[i]);
    if (!(all > 0 && all < 1e9)) complain("%s: %s: values add up to %g\n", j->g->name, name, all);
    for (size_t i = 0; i < n; i++)
        if (module->codes[i] >> bits) complain("%s: %s: code %d\n", j->g->name, name, module->codes[i]);
    if (!(module->report.loss >= 0) || !(module->report.rtn_loss >= 0) || module->report.loss > 1e9)
        complain("%s: %s: losses %g, %g\n", j->g->name, name, module->report.loss, module->report.rtn_loss);
    if (!j->desc.rtn && !module->starved && !(module->report.loss <= 1.2 * module->report.rtn_loss))
        complain("%s: %s: loss %g, to nearest %g\n", j->g->name, name, module->report.loss, module->report.rtn_loss);
    if (j->desc.rtn) {
        if (bits == 8 && !(module->report.loss < 1e-4))
            complain("%s: %s: loss %g\n", j->g->name, name, module->report.loss);
        if (module->tokens || module->starved) complain("%s: %s: tokens without calibration\n", j->g->name, name);
    } else if (expert) {
        bool few = module->tokens < (j->desc.min_tokens ? j->desc.min_tokens : 1);
        if (module->starved != few || module->tokens > rows || !(module->weight >= 0) ||
            (module->weight > 0) != (module->tokens > 0))
            complain("%s: %s: starved %d with %d tokens of weight %g\n", j->g->name, name, module->starved,
                     (int)module->tokens, module->weight);
        if (module->nearest != (few && j->desc.starved == CQ_STARVED_RTN))
            complain("%s: %s: %s\n", j->g->name, name, module->nearest ? "to nearest" : "not to nearest");
        if (l->role == CQ_ROLE_EXPERT_DOWN) {
            j->experts++;
            j->expert_tokens += (size_t)module->tokens;
            j->starved += module->starved;
        }
    } else if (module->starved != (j->desc.min_tokens > rows && module->block->kind == CQ_BLOCK_MOE) ||
               module->tokens != rows) {
        complain("%s: %s: starved %d with %d tokens\n", j->g->name, name, module->starved, (int)module->tokens);
    }
    if (!module->tensor.data || module->desc->group_size != 32 || module->tensor.rows != l->w.rows ||
        module->tensor.cols != l->w.cols || module->tensor.format != (bits == 8 ? CQ_INT8 : CQ_INT4)) {
        complain("%s: %s is not packed as asked\n", j->g->name, name);
        return true;
    }
    assert_true(j->out.count < COUNT(building));
    packed *p = &j->out.list[j->out.count++];
    p->linear = l;
    p->tensor = module->tensor;
    p->loss = module->report.loss;
    p->nearest = module->nearest;
    p->error = p->all = 0;
    p->tensor.data = (const unsigned char *)copy_of(module->tensor.data, module->tensor.bytes);
    return true;
}
/* The inputs of groups when the quantised model runs, through their linears before and after. */
typedef struct losses {
    const cq_context *ctx;
    const cq_model *own, *was, *is;
    const packed_list *out;
    cq_routing routing;
} losses;
static void compare_losses(void *user, const cq_tap_point *p) {
    const losses *c = (const losses *)user;
    const cq_block *was = &c->was->blocks[p->block - c->is->blocks];
    const cq_linear *own = c->own->blocks[p->block - c->is->blocks].lin; /* by which they are known */
    const cq_linear *l;
    for (size_t k = 0; (l = cq_block_group(p->block, p->group, k)) != NULL; k++) {
        const cq_linear *from = &was->lin[l - p->block->lin];
        size_t rows = l->w.rows, mark = pool_count, i = 0;
        bool routed = l->role >= CQ_ROLE_EXPERT_GATE && l->role <= CQ_ROLE_EXPERT_DOWN;
        if (p->block->kind == CQ_BLOCK_MOE && (routed ? l->expert != p->expert : p->expert != CQ_SHARED)) continue;
        float *y = (float *)get(2 * p->rows * rows * sizeof *y), *z = y + p->rows * rows;
        while (c->out->list[i].linear != own + (l - p->block->lin)) i++;
        packed *to = &c->out->list[i];
        cq_matmul(c->ctx, y, rows, &from->w, NULL, p->x, p->ldx, p->rows, false);
        cq_matmul(c->ctx, z, rows, &l->w, NULL, p->x, p->ldx, p->rows, false);
        for (i = 0; i < p->rows * rows; i++) {
            double w = p->weight ? (double)p->weight[i / rows] : 1, e = (double)y[i] - (double)z[i];
            w = c->routing == CQ_ROUTING_PLAIN ? w > 0 : c->routing == CQ_ROUTING_SQUARE ? w * w : w;
            to->error += w * e * e;
            to->all += w * (double)y[i] * (double)y[i];
        }
        free_down_to(mark);
    }
}
/* The losses reported are those of the samples in the quantised model; was: the model before, with its rotation. */
static void check_losses(const cq_context *ctx, const golden *g, const cq_model *was, const cq_model *is,
                         const cq_quantize_desc *d, const packed_list *out) {
    losses c;
    cq_tap tap;
    cq_input in;
    c.ctx = ctx;
    c.own = g->model.m;
    c.was = was;
    c.is = is;
    c.out = out;
    c.routing = d->routing;
    tap.fn = compare_losses;
    tap.user = &c;
    tap.block = NULL;
    tap.stop = SIZE_MAX;
    tap.experts = NULL;
    for (size_t k = 0; k < d->samples; k++) {
        cq_session s = begun(ctx, is, g, d->text, d->boxes, g->n, 0, false);
        for (int text = d->text != NULL; text >= 0; text--) {
            memset(&in, 0, sizeof in);
            in.text = text != 0;
            in.text_rows = s.text_rows;
            in.slot = text ? 0 : s.text_rows;
            in.n = text ? s.text_rows : d->seq_len;
            in.ids = d->ids + k * d->seq_len;
            if (text) cq__embed_text(&s, d->text, d->text_rows, d->boxes);
            else cq_embed(&s, &in);
            cq_prepare(&s, &in);
            for (size_t i = 0; i < is->block_count; i++) {
                const cq_block *b = &is->blocks[i];
                if (b->text != in.text) continue;
                size_t size = in.n * is->hidden * sizeof(float), mark = pool_count;
                if (b->kind == CQ_BLOCK_MOE && d->min_tokens > in.n * d->samples) { /* all experts see every row */
                    float *x = (float *)copy_of(s.x, size);
                    uint8_t *every = (uint8_t *)get(b->experts + 1);
                    memset(every, CQ_TAP_EVERY, b->experts + 1);
                    tap.experts = every;
                    tap.block = b;
                    for (tap.stop = 0; tap.stop < 2; tap.stop++) {
                        cq_run_block(&s, b, &in, &tap);
                        memcpy(s.x, x, size);
                    }
                    tap.experts = NULL;
                    cq_run_block(&s, b, &in, NULL);
                    tap.block = NULL;
                    tap.stop = SIZE_MAX;
                    free_down_to(mark);
                } else {
                    cq_run_block(&s, b, &in, &tap);
                }
            }
        }
    }
    for (size_t i = 0; i < out->count; i++) {
        const packed *p = &out->list[i];
        if (p->nearest) continue;
        if (!(fabs(p->error - p->loss * p->all) <= 0.02 * p->error + 1e-6 * p->all))
            complain("%s: a %s: a loss of %g, reported as %g\n", g->name, cq_role_name(p->linear->role),
                     p->error / p->all, p->loss);
    }
}
static double correlation(const float *a, const float *b, size_t n) {
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0, count = (double)n;
    for (size_t i = 0; i < n; i++) {
        sa += (double)a[i];
        sb += (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    return (ab - sa * sb / count) / sqrt((aa - sa * sa / count) * (bb - sb * sb / count));
}
/* The correlation of the logits, before and after; a complaint, and 0, if it cannot be done. */
static double quantized(const cq_context *ctx, golden *g, bool rtn, unsigned bits, const cq_rotate_plan *plan,
                        const float *want, const cq_quantize_desc *how /* with experts; NULL: as usual */) {
    size_t mark = pool_count, elements, expected = 0, routed = 0, passes = 0;
    bool swapped;
    job j;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0), b;
    model result;
    cq_model *m = g->model.m;
    int32_t *ids = rtn ? NULL : (int32_t *)get(2 * g->n * sizeof *ids);
    for (size_t i = 0; ids && i < g->n; i++) ids[i] = ids[2 * g->n - 1 - i] = g->ids[i];
    memset(&j, 0, sizeof j);
    memset(&err, 0, sizeof err);
    j.g = g;
    j.out.list = (packed *)get(COUNT(building) * sizeof(packed));
    j.desc.gptq.format = bits ? cq_format_int(bits) : CQ_F32;
    j.desc.gptq.group_size = 32;
    j.desc.rtn = rtn;
    j.desc.plan = plan;
    j.desc.min_tokens = 1;
    if (how) {
        j.desc.routing = how->routing;
        j.desc.starved = how->starved;
        j.desc.min_tokens = how->min_tokens;
    }
    j.desc.samples = rtn ? 0 : g->text ? 1 : 2; /* the second: the ids from behind */
    j.desc.ids = ids;
    j.desc.seq_len = rtn ? 0 : g->n;
    if (g->text && !rtn) {
        j.desc.text = g->text;
        j.desc.text_rows = g->text_rows;
        j.desc.boxes = g->box;
    }
    j.desc.emit = emit;
    j.desc.user = &j;
    if (cq_quantize_model(ctx, m, &j.desc, &a, &err)) {
        complain("%s: %s: %.*s\n", g->name, err.what, (int)err.name_len, err.name);
        return 0;
    }
    b = arena_of(a.used);
    if (cq_quantize_model(ctx, m, &j.desc, &b, &err)) {
        complain("%s: with %zu bytes: %s: %.*s\n", g->name, a.used, err.what, (int)err.name_len, err.name);
        return 0;
    }
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *k = &m->blocks[i];
        for (size_t l = 0; l < k->linears; l++) expected += !k->lin[l].keep;
        if (k->kind != CQ_BLOCK_MOE) continue;
        passes++;
        routed += k->top_k * g->n * j.desc.samples;
        if (k->identity) routed = SIZE_MAX / 2; /* some go to experts that have no weights */
    }
    if (j.out.count != expected) complain("%s: %zu linears of %zu\n", g->name, j.out.count, expected);
    if (!rtn && passes && (routed < SIZE_MAX / 2 ? j.expert_tokens != routed : j.expert_tokens == 0))
        complain("%s: the experts saw %zu tokens of %zu\n", g->name, j.expert_tokens, routed);
    if (verbose() && passes && !rtn)
        print_message("%-40s %zu of %zu experts starved\n", g->name, j.starved, j.experts);
    if (!export_model(ctx, g, plan, &j.out, &result, &elements, &swapped)) return 0;
    float *got = run(ctx, result.m, g, 0, 0, false);
    double c = got ? correlation(got, want, g->n * m->vocab) : 0;
    model turned;
    if (!rtn && plan && export_model(ctx, g, plan, NULL, &turned, &elements, &swapped))
        check_losses(ctx, g, turned.m, result.m, &j.desc, &j.out);
    if (!rtn && !plan) check_losses(ctx, g, m, result.m, &j.desc, &j.out);
    /* one byte less */
    b = cq_arena_over(b.base, a.used - 1);
    size_t before = complaints;
    j.out.count = j.first = j.place = 0;
    if (g->number % 3 == 0 && !how) { /* starved experts may need less than is counted */
        cq_status st = cq_quantize_model(ctx, m, &j.desc, &b, &err);
        if (st != CQ_ERR_MEMORY) complain("%s: a byte less than %zu suffices (%d)\n", g->name, a.used, (int)st);
        else complaints = before;
    }
    free_down_to(mark);
    return c;
}
static bool note_total(void *user, size_t done, size_t total) {
    (void)done;
    *(size_t *)user = total;
    return false;
}
static bool emit_nothing(void *user, const cq_module *module) {
    (void)user;
    (void)module;
    fail(); /* cancelled before */
    return false;
}
/* How much work it is to quantise m; 0: it cannot be done. */
static size_t total_work(const cq_context *ctx, const golden *g, cq_model *m) {
    size_t total = 0, mark = pool_count;
    cq_quantize_desc desc;
    cq_arena a = cq_arena_over(NULL, 0);
    memset(&desc, 0, sizeof desc);
    desc.gptq.format = CQ_INT4;
    desc.gptq.group_size = 32;
    desc.samples = 1;
    desc.ids = g->ids;
    desc.seq_len = g->n;
    desc.emit = emit_nothing;
    desc.progress = note_total;
    desc.user = &total;
    if (cq_quantize_model(ctx, m, &desc, &a, NULL)) return 0;
    a = arena_of(a.used);
    assert_int_equal(cq_quantize_model(ctx, m, &desc, &a, NULL), CQ_ERR_CANCELLED);
    free_down_to(mark);
    return total;
}
/* Blocks beside each other that read one norm need one Hessian and one factor: with inputs of their own they are more
   work. */
static size_t sharing;
static void check_sharing(const cq_context *ctx, golden *g) {
    cq_model *m = g->model.m;
    bool shares = false;
    if (g->text) return;
    size_t together = total_work(ctx, g, m), apart;
    for (size_t i = 1; i < m->block_count; i++) {
        cq_block *b = &m->blocks[i], *before = b - 1;
        if (!b->beside) continue;
        shares = shares || (b->kind <= CQ_BLOCK_MLP && before->kind <= CQ_BLOCK_MLP &&
                            b->norm[CQ_NORM_PRE].stored_gain == before->norm[CQ_NORM_PRE].stored_gain &&
                            !(b->in_scale < before->in_scale || b->in_scale > before->in_scale));
        b->in_scale *= 2 + (float)(i % 7);
    }
    apart = total_work(ctx, g, m);
    if (!together || (shares ? apart <= together : apart != together))
        complain("%s: work %zu, with inputs of their own %zu\n", g->name, together, apart);
    for (size_t i = 1; i < m->block_count; i++)
        if (m->blocks[i].beside) m->blocks[i].in_scale /= 2 + (float)(i % 7);
    sharing += shares;
}
static double least[4];
static void quantize_one(golden *g) {
    /* the choice of experts may change, and models as small as these depend on it */
    static const char *const what[] = {"8 bits to nearest", "GPTQ, 4 bits", "8 bits, rotated",
                                       "GPTQ, 4 bits, turned online"};
    static const double bound[2][4] = {{0.998, 0.95, 0.998, 0.95}, {0.96, 0.85, 0.96, 0.85}};
    cq_context ctx = plain();
    cq_rotate_plan plan, online;
    size_t kinds;
    if (!runs(g)) return;
    ran++;
    check_sharing(&ctx, g);
    float *want = run(&ctx, g->model.m, g, 0, 0, false);
    if (!want) return;
    bool any = plan_of(&ctx, g->model.m, &plan), experts = false;
    for (size_t i = 0; i < g->model.m->block_count; i++)
        experts = experts || g->model.m->blocks[i].kind == CQ_BLOCK_MOE;
    for (size_t k = 0; k < 4; k++) {
        bool calibrated = k % 2 || (k == 2 && (g->text || g->number % 5 == 0));
        if (k == 2 && !any) continue;
        if (k == 3 && !plan_online(&ctx, g->model.m, &online, false, &kinds)) continue;
        double c = quantized(&ctx, g, !calibrated, k % 2 ? 4 : 8, k == 2 ? &plan : k == 3 ? &online : NULL, want,
                             NULL);
        if (verbose()) print_message("%-40s %s: %.5f\n", g->name, what[k], c);
        if (!(c > bound[experts][k])) complain("%s: %s: correlation %.5f\n", g->name, what[k], c);
        if (k == 1 && !experts) {
            double nearest = quantized(&ctx, g, true, 4, NULL, want, NULL);
            if (!(c > nearest)) complain("%s: GPTQ %.5f, to nearest %.5f\n", g->name, c, nearest);
        }
        if (k == 1 && experts)
            for (int how = 0; how < 4; how++) { /* the other powers of the weight, and all experts starved */
                cq_quantize_desc d;
                memset(&d, 0, sizeof d);
                d.routing = how == 0 ? CQ_ROUTING_PLAIN : how == 1 ? CQ_ROUTING_SQUARE : CQ_ROUTING_DEFAULT;
                d.min_tokens = how < 2 ? 1 : 1000;
                d.starved = how == 3 ? CQ_STARVED_RTN : CQ_STARVED_ALL;
                double other = quantized(&ctx, g, false, 4, NULL, want, &d);
                if (!(other > 0.8)) complain("%s: experts in another way %d: correlation %.5f\n", g->name, how, other);
            }
        least[k] = c < least[k] ? c : least[k];
    }
}
/* Catches: linears that are forgotten, quantised twice, or put back in the wrong place; a Hessian of the wrong input;
   experts without tokens that become zero; sizes that do not suffice; two Hessians of one input. */
static void test_quantize(void **state) {
    (void)state;
    ran = sharing = 0;
    least[0] = least[1] = least[2] = 1;
    each_golden(quantize_one, QUICK ? 5 : 1);
    print_message("%zu models, least correlation %.5f, %.5f, %.5f; %zu share inputs between blocks\n", ran, least[0],
                  least[1], least[2], sharing);
    assert_true(sharing >= (QUICK ? 1 : 5));
    no_complaints();
}

/* ---- calibrating in other ways ----------------------------------------------------------------------------------- */
typedef struct record { /* of a module, as a journal keeps it */
    cq_finished place;
    cq_module module;
    size_t rows, cols, groups;
} record;
typedef struct variant {
    const golden *g;
    cq_quantize_desc desc;
    record *list;
    size_t count, starved, experts, calls, stop; /* stop: the checkpoint to keep */
    uint64_t hash;
    unsigned char *outside; /* activations behind load and save */
    size_t outside_bytes, next, finished; /* of the checkpoint kept, */
    unsigned char *acts;    /* and its activations */
    size_t acts_bytes;
    const struct variant *from; /* what is restored */
    int damage;
} variant;
#define MAX_RECORDS 1200
static void mix(variant *v, const void *p, size_t n) {
    for (size_t i = 0; i < n; i++) v->hash = (v->hash ^ ((const unsigned char *)p)[i]) * 1099511628211u;
}
static bool variant_emit(void *user, const cq_module *module) {
    variant *v = (variant *)user;
    const cq_linear *l = module->linear;
    assert_true(v->count < MAX_RECORDS);
    record *r = &v->list[v->count++];
    r->place.block = (uint32_t)(module->block - v->g->model.m->blocks);
    r->place.linear = (uint32_t)(l - module->block->lin);
    r->module = *module;
    r->rows = l->w.rows;
    r->cols = l->w.cols;
    r->groups = cq_gptq_groups(module->desc, r->cols);
    r->module.codes = (const uint8_t *)copy_of(module->codes, r->rows * r->cols);
    r->module.grids = (const cq_grid *)copy_of(module->grids, r->rows * r->groups * sizeof(cq_grid));
    r->module.g_idx = module->g_idx ? (const uint32_t *)copy_of(module->g_idx, r->cols * 4) : NULL;
    v->experts += l->role >= CQ_ROLE_EXPERT_GATE && l->role <= CQ_ROLE_EXPERT_DOWN;
    v->starved += module->starved;
    mix(v, &r->place, sizeof r->place);
    mix(v, module->codes, r->rows * r->cols);
    mix(v, module->values, r->rows * r->cols * sizeof(float));
    if (module->tensor.data) mix(v, module->tensor.data, module->tensor.bytes);
    mix(v, &module->report.loss, sizeof module->report.loss);
    mix(v, &module->tokens, sizeof module->tokens);
    mix(v, &module->weight, sizeof module->weight);
    return true;
}
static bool variant_load(void *user, uint64_t offset, void *data, size_t bytes) {
    variant *v = (variant *)user;
    assert_true(offset <= v->outside_bytes && bytes <= v->outside_bytes - offset);
    memcpy(data, v->outside + offset, bytes);
    return --v->calls != 0;
}
static bool variant_save(void *user, uint64_t offset, const void *data, size_t bytes) {
    variant *v = (variant *)user;
    assert_true(offset <= v->outside_bytes && bytes <= v->outside_bytes - offset);
    memcpy(v->outside + offset, data, bytes);
    return --v->calls != 0;
}
static bool variant_checkpoint(void *user, size_t next, const void *acts) {
    variant *v = (variant *)user;
    assert_true((acts == NULL) == (v->outside != NULL));
    if (!next) assert_int_equal(v->count, 0);
    if (!next || next > v->stop) return true;
    v->next = next;
    v->finished = v->count;
    v->acts_bytes = cq_quantize_acts_bytes(v->g->model.m, &v->desc);
    v->acts = (unsigned char *)copy_of(acts ? acts : v->outside, v->acts_bytes);
    return true;
}
static bool variant_restore(void *user, size_t index, cq_module *module, const cq_gptq_result *into) {
    variant *v = (variant *)user;
    const record *r = &v->from->list[index];
    module->tokens = r->module.tokens;
    module->weight = r->module.weight;
    module->starved = r->module.starved;
    module->nearest = r->module.nearest;
    module->report = r->module.report;
    memcpy(into->codes, r->module.codes, r->rows * r->cols);
    memcpy(into->grids, r->module.grids, r->rows * r->groups * sizeof(cq_grid));
    if (into->g_idx) memcpy(into->g_idx, r->module.g_idx, r->cols * sizeof(uint32_t));
    if (v->damage == 1) into->codes[r->cols - 1] = 16; /* 4 bits */
    if (v->damage == 2) into->grids[r->groups - 1].scale = (float)NAN;
    if (v->damage == 3) into->grids[0].zero = 99;
    return v->damage != 4;
}
static bool variant_restore_acts(void *user, void *acts) {
    variant *v = (variant *)user;
    memcpy(acts, v->from->acts, v->from->acts_bytes);
    return v->damage != 5;
}
static cq_status variant_run(variant *v, cq_error *err) {
    cq_context ctx = plain();
    cq_arena a = cq_arena_over(NULL, 0), b;
    v->hash = 14695981039346656037u;
    v->count = v->starved = v->experts = 0;
    v->desc.user = v;
    cq_status st = cq_quantize_model(&ctx, v->g->model.m, &v->desc, &a, err);
    if (st) return st;
    b = arena_of(a.used);
    st = cq_quantize_model(&ctx, v->g->model.m, &v->desc, &b, err);
    if (b.failed) complain("%s: %zu bytes do not suffice\n", v->g->name, a.used);
    return st;
}
static variant variant_of(const golden *g, const int32_t *ids) {
    variant v;
    memset(&v, 0, sizeof v);
    v.g = g;
    v.list = (record *)get(MAX_RECORDS * sizeof *v.list);
    v.desc.gptq.group_size = 32;
    v.desc.min_tokens = 1;
    v.desc.samples = g->text ? 1 : 2;
    v.desc.ids = ids;
    v.desc.seq_len = g->n;
    v.desc.text = g->text;
    v.desc.text_rows = g->text_rows;
    v.desc.boxes = g->box;
    v.desc.emit = variant_emit;
    v.desc.checkpoint = variant_checkpoint;
    return v;
}
static void outside(variant *v) {
    v->outside_bytes = cq_quantize_acts_bytes(v->g->model.m, &v->desc);
    v->outside = (unsigned char *)get(v->outside_bytes);
    v->desc.load = variant_load;
    v->desc.save = variant_save;
}
static void variant_same(const char *what, variant *v, const variant *as) {
    cq_error err;
    if (variant_run(v, &err)) complain("%s: %s: %s\n", v->g->name, what, err.what);
    else if (v->hash != as->hash) complain("%s: %s: another result\n", v->g->name, what);
}

static size_t with_experts;
static void calibrate_one(golden *g) {
    cq_error err;
    const cq_model *m = g->model.m;
    if (!runs(g)) return;
    bool experts = false;
    m = g->model.m;
    for (size_t i = 0; i < m->block_count; i++) experts = experts || m->blocks[i].kind == CQ_BLOCK_MOE;
    if (!experts && g->number % 6) return;
    int32_t *ids = (int32_t *)get(2 * g->n * sizeof *ids);
    for (size_t i = 0; i < g->n; i++) ids[i] = ids[2 * g->n - 1 - i] = g->ids[i];
    variant all = variant_of(g, ids), v;
    all.stop = m->block_count / 2;
    if (variant_run(&all, &err)) {
        complain("%s: %s\n", g->name, err.what);
        return;
    }
    v = variant_of(g, ids); /* activations elsewhere */
    outside(&v);
    variant_same("activations outside", &v, &all);
    v.calls = 5;
    assert_int_equal(variant_run(&v, &err), CQ_ERR_IO);
    variant low = variant_of(g, ids); /* bf16, and corrected for what stands before */
    bool lends = m->two_streams;
    for (size_t i = 0; i < m->block_count; i++) lends = lends || m->blocks[i].lends;
    v = variant_of(g, ids);
    v.desc.correct = 0.5f;
    cq_status corrected = variant_run(&v, &err);
    if (corrected != (lends ? CQ_ERR_UNSUPPORTED : CQ_OK) || v.hash == all.hash)
        complain("%s: corrected: status %d\n", g->name, (int)corrected);
    low.desc.correct = lends ? 0.0f : 0.5f;
    low.desc.low_memory = true;
    low.stop = all.stop;
    if (variant_run(&low, &err)) complain("%s: bf16: %s\n", g->name, err.what);
    if (low.hash == all.hash) complain("%s: bf16: the same result\n", g->name);
    v = variant_of(g, ids);
    v.desc.low_memory = true;
    v.desc.correct = low.desc.correct;
    outside(&v);
    v.outside_bytes = cq_quantize_acts_bytes(m, &v.desc);
    variant_same("bf16 outside", &v, &low);
    for (int k = 0; k < 2 && all.next; k++) { /* going on */
        const variant *from = k ? &low : &all;
        cq_finished *list = (cq_finished *)get(from->finished * sizeof *list);
        for (size_t i = 0; i < from->finished; i++) list[i] = from->list[i].place;
        v = variant_of(g, ids);
        v.from = from;
        v.desc.low_memory = k;
        v.desc.correct = from->desc.correct;
        v.desc.next = from->next;
        v.desc.finished = list;
        v.desc.finished_count = from->finished;
        v.desc.restore = variant_restore;
        v.desc.restore_acts = variant_restore_acts;
        variant_same("going on", &v, from);
        for (v.damage = 1; v.damage < 8; v.damage++) {
            if (v.damage == 6) list[0].block = (uint32_t)from->next;
            if (v.damage == 7) v.desc.next = m->block_count + 1;
            cq_status st = variant_run(&v, &err), want = v.damage == 4 || v.damage == 5 ? CQ_ERR_IO : CQ_ERR_FORMAT;
            if (st != want) complain("%s: damage %d: status %d\n", g->name, v.damage, (int)st);
        }
    }
    if (!experts) return;
    with_experts++;
    v = variant_of(g, ids); /* one Hessian at a time */
    v.desc.hessian_bytes = 1;
    variant_same("one Hessian at a time", &v, &all);
    v = variant_of(g, ids); /* which are starved, if nobody says */
    v.desc.min_tokens = 0;
    if (variant_run(&v, &err)) complain("%s: few rows: %s\n", g->name, err.what);
    for (size_t i = 0; i < v.count; i++) {
        const record *r = &v.list[i];
        const cq_block *b = &m->blocks[r->place.block];
        bool down = cq__role_group(b->kind, r->module.linear->role) == 1;
        bool few = b->kind == CQ_BLOCK_MOE && r->module.tokens < (down ? 8 : 2) * r->cols;
        if (few != r->module.starved) complain("%s: starved with %d rows\n", g->name, (int)r->module.tokens);
    }
    for (int k = 0; k < 2; k++) { /* all are starved */
        variant one = variant_of(g, ids);
        v = variant_of(g, ids);
        v.desc.min_tokens = one.desc.min_tokens = 1000;
        v.desc.starved = one.desc.starved = k ? CQ_STARVED_RTN : CQ_STARVED_ALL;
        if (variant_run(&v, &err)) complain("%s: starved: %s\n", g->name, err.what);
        if (v.starved < v.experts || v.hash == all.hash) complain("%s: %zu starved\n", g->name, v.starved);
        one.desc.hessian_bytes = 1;
        variant_same("starved, one Hessian at a time", &one, &v);
    }
}
/* Catches: results that depend on where activations are kept, on how many Hessians fit into memory, or on whether the
   run was interrupted; damaged journals that are believed. */
static void test_calibrate(void **state) {
    (void)state;
    with_experts = 0;
    each_golden(calibrate_one, QUICK ? 7 : 1);
    print_message("%zu models with experts\n", with_experts);
    no_complaints();
}

/* Catches: numbers that are none, or too large, which end up in weights or scales; experts, gates and inputs that are
   all zero and become something else. */
static void crafted_one(golden *g) {
    const float nan = (float)NAN, inf = (float)INFINITY;
    const struct {
        const char *tensor, *module; /* module NULL: it can be quantised */
        float value;
        bool all;                    /* of its elements; else the sixth */
    } row[] = {{"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj", nan, false},
               {"model.layers.0.mlp.experts.1.up_proj.weight",
                "model.layers.0.mlp.experts.1.up_proj", inf, false},
               {"model.layers.2.mlp.experts.2.down_proj.weight",
                "model.layers.2.mlp.experts.2.down_proj", nan, false},
               {"model.layers.0.mlp.gate.weight", "model.layers.0.mlp.experts.0.gate_proj", nan, false},
               {"model.layers.2.mlp.shared_expert_gate.weight",
                "model.layers.2.mlp.shared_expert.gate_proj", nan, false},
               {"model.layers.2.post_attention_layernorm.weight",
                "model.layers.2.mlp.shared_expert.gate_proj", 3e30f, false},
               {"model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj", inf, false},
               {"model.layers.0.self_attn.v_proj.bias", "model.layers.0.self_attn.o_proj", nan, true},
               {"model.embed_tokens.weight", NULL, 0, true},
               {"model.layers.0.input_layernorm.weight", NULL, 0, true},
               {"model.layers.0.mlp.gate.weight", NULL, 0, true},
               {"model.layers.0.mlp.shared_expert_gate.weight", NULL, 0, true},
               {"model.layers.0.mlp.experts.0.up_proj.weight", NULL, 0, true}};
    if (strcmp(g->name, "qwen2_moe")) return;
    int32_t *ids = (int32_t *)get(2 * g->n * sizeof *ids);
    for (size_t i = 0; i < g->n; i++) ids[i] = ids[2 * g->n - 1 - i] = g->ids[i];
    for (size_t k = 0; k < 2 * COUNT(row); k++) {
        golden bad = *g;
        cq_error err;
        size_t found = 0;
        const char *want = row[k / 2].module;
        cq_named *list = (cq_named *)copy_of(g->model.w.list, g->model.w.count * sizeof *list);
        for (size_t i = 0; i < g->model.w.count; i++) {
            size_t n = (size_t)list[i].bytes / 4;
            if (list[i].name_len != strlen(row[k / 2].tensor) ||
                memcmp(list[i].name, row[k / 2].tensor, list[i].name_len))
                continue;
            float *data = (float *)copy_of(list[i].data, (size_t)list[i].bytes);
            assert_int_equal(list[i].t.format, CQ_F32);
            for (size_t j = row[k / 2].all ? 0 : 5; j < (row[k / 2].all ? n : 6); j++) data[j] = row[k / 2].value;
            list[i].data = list[i].t.data = (const unsigned char *)data;
            found++;
        }
        assert_int_equal(found, 1);
        bad.model.w.list = list;
        assert_true(runs(&bad));
        variant v = variant_of(&bad, ids);
        v.desc.starved = k % 2 ? CQ_STARVED_RTN : CQ_STARVED_ALL;
        v.desc.min_tokens = 1;
        cq_status st = variant_run(&v, &err);
        if (!want && st) complain("%s: %s\n", row[k / 2].tensor, err.what);
        if (want && (st != CQ_ERR_RANGE || err.name_len != strlen(want) || memcmp(err.name, want, err.name_len) ||
                     err.got == INT64_MIN))
            complain("%s: status %d: %s: %.*s\n", row[k / 2].tensor, (int)st, err.what, (int)err.name_len, err.name);
        for (size_t i = 0; i < v.count; i++) {
            const cq_module *m = &v.list[i].module;
            bool whole = m->report.loss >= 0 && m->report.loss <= 2 && m->report.rtn_loss >= 0;
            for (size_t j = 0; j < v.list[i].rows * v.list[i].groups; j++)
                whole = whole && m->grids[j].scale >= 0 && m->grids[j].scale < 65505;
            if (!whole) complain("%s: a loss of %g, or a scale that is none\n", row[k / 2].tensor, m->report.loss);
        }
    }
    ran++;
}
static void test_crafted(void **state) {
    (void)state;
    ran = 0;
    each_golden(crafted_one, 1);
    if (!getenv("CQUANT_TEST_MODEL")) assert_int_equal(ran, 1);
    no_complaints();
}

/* ---- the groups of a published table ----------------------------------------------------------------------------- */
#define MAX_NAMES 80
typedef struct name_list {
    char name[MAX_NAMES][140];
    size_t group[MAX_NAMES], count, groups;
} name_list;
static size_t find_name(const name_list *l, const char *name) { /* count: none */
    size_t i = 0;
    while (i < l->count && strcmp(l->name[i], name)) i++;
    return i;
}
static void add_name(name_list *l, const char *name, size_t group) {
    if (find_name(l, name) < l->count) return;
    assert_true(l->count < MAX_NAMES && strlen(name) < sizeof l->name[0]);
    strcpy(l->name[l->count], name);
    l->group[l->count++] = group;
    if (group >= l->groups) l->groups = group + 1;
}

/* A file of words and values, lines that begin with a space going on: the next line as one; false at the end. */
static bool next_line(const char **at, char *word, size_t word_size, char *rest, size_t size) {
    size_t n = 0;
    while (**at == '\n' || **at == '#') *at += strcspn(*at, "\n") + (**at != 0 && (*at)[strcspn(*at, "\n")] != 0);
    if (!**at || !next_word(at, word, word_size)) return false;
    while (**at && !(**at == '\n' && (*at)[1] != ' ')) {
        assert_true(n + 1 < size);
        if (**at != '\n' && !(**at == ' ' && (!n || rest[n - 1] == ' '))) rest[n++] = **at;
        (*at)++;
    }
    rest[n] = 0;
    if (**at) (*at)++;
    return true;
}
typedef struct table_entry { /* one key of the table */
    char key[60];
    name_list groups, layers, kept, base, norm, head;
    bool grouped;
} table_entry;
static void read_names(name_list *l, const char *text) { /* a ; begins another group */
    char word[140];
    size_t group = 0;
    memset(l, 0, sizeof *l);
    while (next_word(&text, word, sizeof word))
        if (!strcmp(word, ";")) group++;
        else add_name(l, word, group);
}
/* at: behind the line that names the key */
static void read_entry(const char *file, const char *at, table_entry *e) {
    char word[20], rest[6000];
    while (next_line(&at, word, sizeof word, rest, sizeof rest) && strcmp(word, "key")) {
        name_list *to = !strcmp(word, "layers") ? &e->layers
                        : !strcmp(word, "kept") ? &e->kept
                        : !strcmp(word, "base") ? &e->base
                        : !strcmp(word, "norm") ? &e->norm
                        : !strcmp(word, "head") ? &e->head
                                                : &e->groups;
        if (to == &e->groups) {
            assert_string_equal(word, "groups");
            e->grouped = true;
            if (rest[0] == '=') {
                char find[80];
                snprintf(find, sizeof find, "\nkey %.60s\n", rest + 2);
                const char *other = strstr(file, find);
                assert_non_null(other);
                other = strstr(other, "\ngroups ") + 1;
                next_line(&other, word, sizeof word, rest, sizeof rest);
            }
        }
        read_names(to, rest);
    }
}

/* What the description says: the linears and their groups, whatever the configuration */
static void derive_groups(const cq_arch *arch, name_list *l) {
    static name_list one;
    char name[256];
    memset(l, 0, sizeof *l);
    for (size_t b = 0; b < arch->blocks; b++)
        for (size_t g = 0; g < 8; g++) {
            size_t old = 0, group = l->groups;
            memset(&one, 0, sizeof one);
            for (size_t i = 0; cq_arch_linear(arch, b, g, i, name, sizeof name); i++) add_name(&one, name, 0);
            for (size_t i = 0; i < one.count; i++) /* the same linears under other conditions are the same group */
                if (find_name(l, one.name[i]) < l->count) {
                    group = l->group[find_name(l, one.name[i])];
                    old++;
                }
            if (old == one.count) continue;
            for (size_t i = 0; i < one.count; i++) add_name(l, one.name[i], group);
        }
}
/* A path of the description under one of its roots. false: there is no such root */
static bool path_under(const cq_arch *arch, size_t root, const char *p, size_t n, char *out, size_t size) {
    char words[200], one[140];
    const char *at = words;
    snprintf(words, sizeof words, "%.*s", (int)arch->root.n, arch->root.p);
    for (size_t i = 0; i <= root; i++)
        if (!next_word(&at, one, sizeof one)) return false;
    if (n > 2 && !memcmp(p + n - 2, ".#", 2)) n -= 2; /* of layers */
    size_t under = p[0] == '.' && strcmp(one, "-") ? strlen(one) : 0, skip = p[0] == '.' && !under;
    assert_true(under + n < size);
    memcpy(out, one, under);
    memcpy(out + under, p + skip, n - skip);
    out[under + n - skip] = 0;
    return true;
}
static size_t bare_length(cq_str v) { /* of a norm or linear, without its marks and alternatives */
    size_t n = 0;
    while (n < v.n && !strchr("^!+:@|", v.p[n])) n++;
    return n;
}
static void derive_base(const cq_arch *arch, size_t root, name_list *l) {
    cq_str v[8];
    size_t n = 0;
    char name[140];
    memset(l, 0, sizeof *l);
    v[n++] = arch->embed;
    for (size_t i = 0; i < arch->inputs; i++) v[n++] = arch->input[i];
    v[n++] = arch->codebook;
    v[n++] = arch->position;
    v[n++] = arch->norm;
    v[n++] = cq__find_word(arch, CQ__AT_EMBED, CQ__W_NORM);
    for (size_t i = 0; i < n; i++) {
        size_t len = bare_length(v[i]);
        if (!len || (len == 1 && v[i].p[0] == '-') || (len == 8 && !memcmp(v[i].p, "sinusoid", 8)) ||
            (len == 4 && !memcmp(v[i].p, "none", 4)))
            continue;
        if (path_under(arch, root, v[i].p, len, name, sizeof name)) add_name(l, name, 0);
    }
}
static bool same_set(const name_list *a, const name_list *b) {
    for (size_t i = 0; i < a->count; i++)
        if (find_name(b, a->name[i]) == b->count) return false;
    return a->count == b->count;
}

/* The differences of a description from an entry of the table, as lines of gptq_differences.txt */
static void differences(const cq_arch *arch, const table_entry *e, char *out, size_t size) {
    static name_list ours, mine;
    const name_list *theirs = &e->groups;
    char line[6000], path[140];
    size_t at = 0, n, last = 0, root;
    bool order = false, found;
#define LINE(word)                                                                                                     \
    do {                                                                                                               \
        if (n) at += (size_t)snprintf(out + at, size - at, "%s%.*s\n", word, (int)n, line);                            \
        assert_true(at < size);                                                                                        \
        n = 0;                                                                                                         \
    } while (0)
#define ADD(name) n += (size_t)snprintf(line + n, sizeof line - n, " %s", name)
    out[0] = 0;
    n = 0;
    derive_groups(arch, &ours);
    for (size_t i = 0; i < ours.count; i++)
        if (find_name(theirs, ours.name[i]) == theirs->count) ADD(ours.name[i]);
    LINE("here");
    for (size_t i = 0; i < theirs->count; i++)
        if (find_name(&ours, theirs->name[i]) == ours.count) ADD(theirs->name[i]);
    LINE("there");
    for (size_t g = 0; g < ours.groups; g++) { /* groups of those that both have, where they are not the same */
        size_t there = SIZE_MAX;
        bool same = true;
        for (size_t i = 0; i < ours.count; i++) {
            size_t k = find_name(theirs, ours.name[i]);
            if (ours.group[i] != g || k == theirs->count) continue;
            if (there == SIZE_MAX) {
                order = order || theirs->group[k] < last;
                last = theirs->group[k];
            }
            same = same && (there == SIZE_MAX || theirs->group[k] == there);
            there = theirs->group[k];
        }
        for (size_t k = 0; k < theirs->count; k++) {
            size_t i = find_name(&ours, theirs->name[k]);
            if (i < ours.count && theirs->group[k] == there) same = same && ours.group[i] == g;
        }
        if (same) continue;
        if (n) ADD(";");
        for (size_t i = 0; i < ours.count; i++)
            if (ours.group[i] == g && find_name(theirs, ours.name[i]) < theirs->count) ADD(ours.name[i]);
    }
    LINE("groups");
    if (order) at += (size_t)snprintf(out + at, size - at, "order\n");
    for (size_t i = 0; i < e->kept.count; i++)
        if (find_name(&ours, e->kept.name[i]) < ours.count) ADD(e->kept.name[i]);
    LINE("quantised");
    found = false;
    for (root = 0; path_under(arch, root, ".", 1, path, sizeof path); root++)
        for (size_t i = 0; i < arch->lists; i++) {
            path_under(arch, root, arch->list[i].name.p, arch->list[i].name.n, path, sizeof path);
            found = found || find_name(&e->layers, path) < e->layers.count;
            if (!root) ADD(path);
        }
    if (found) n = 0;
    LINE("layers");
    found = false;
    for (root = 0; path_under(arch, root, arch->norm.p, bare_length(arch->norm), path, sizeof path); root++) {
        found = found || find_name(&e->norm, path) < e->norm.count;
        if (!root) ADD(path);
    }
    if (found) n = 0;
    LINE("norm");
    found = false;
    for (root = 0; path_under(arch, root, ".", 1, path, sizeof path); root++)
        for (size_t from = 0, to; from < arch->head.n; from = to + 1) {
            for (to = from; to < arch->head.n && arch->head.p[to] != '|';) to++;
            path_under(arch, root, arch->head.p + from, to - from, path, sizeof path);
            found = found || find_name(&e->head, path) < e->head.count;
            if (!root && !from) ADD(path);
        }
    if (found) n = 0;
    LINE("head");
    found = e->base.count == 0;
    for (root = 0; path_under(arch, root, ".", 1, path, sizeof path); root++) {
        derive_base(arch, root, &mine);
        found = found || same_set(&mine, &e->base);
        for (size_t i = 0; !root && i < mine.count; i++) ADD(mine.name[i]);
    }
    if (found) n = 0;
    LINE("base");
#undef LINE
#undef ADD
}
/* Catches: a linear in the wrong group, or in none; paths of the table that a description does not have. */
static void test_groups(void **state) {
    static table_entry e;
    const char *table = read_text("gptq_groups.txt"), *listed = read_text("gptq_differences.txt");
    const char *at = table, *from;
    char word[20], rest[6000], want[12000], got[12000], find[80];
    size_t keys = 0, equal = 0, used_entries = 0, entries = 0;
    cq_arch arch;
    cq_error err;
    (void)state;
    while (next_line(&at, word, sizeof word, rest, sizeof rest)) {
        if (strcmp(word, "key")) continue;
        keys++;
        memset(&e, 0, sizeof e);
        snprintf(e.key, sizeof e.key, "%.59s", rest);
        read_entry(table, at, &e);
        if (cq_arch_find(&arch, e.key, strlen(e.key), &err)) {
            complain("%s: %s\n", e.key, err.what);
            continue;
        }
        differences(&arch, &e, got, sizeof got);
        want[0] = 0;
        snprintf(find, sizeof find, "\nkey %s\n", e.key);
        if ((from = strstr(listed, find)) != NULL) {
            bool why = false;
            used_entries++;
            from += strlen(find);
            while (next_line(&from, word, sizeof word, rest, sizeof rest) && strcmp(word, "key")) {
                why = why || (!strcmp(word, "why") && rest[0]);
                if (!strcmp(word, "why")) continue;
                assert_true(strlen(want) + strlen(rest) + 30 < sizeof want);
                sprintf(want + strlen(want), "%s%s%s\n", word, rest[0] ? " " : "", rest);
            }
            if (!why) complain("%s: no reason is given\n", e.key);
        } else {
            equal += !got[0];
        }
        if (strcmp(want, got)) complain("key %s\n%s-- where gptq_differences.txt says\n%s\n", e.key, got, want);
    }
    for (at = listed; (at = strstr(at, "\nkey ")) != NULL; at++) entries++;
    if (entries != used_entries) complain("%zu entries are of no key\n", entries - used_entries);
    assert_int_equal(keys, 191);
    check(cq_arch_find(&arch, "Dream", 5, err)); /* as its files have it */
    print_message("%zu keys, %zu of them equal\n", keys, equal);
    no_complaints();
}

/* ---- the notation ------------------------------------------------------------------------------------------------ */
/* Parses an exact copy: a read behind the end of the text is seen. */
static cq_status parse_copy(const char *text, size_t n, cq_arch *arch, cq_error *err) {
    char *exact = (char *)malloc(n ? n : 1);
    memcpy(exact, text, n);
    memset(err, 0, sizeof *err);
    cq_status st = cq_arch_parse(arch, exact, n, err);
    if (st) {
        check_error(st, err);
        assert_int_equal(st, CQ_ERR_FORMAT);
        assert_true(err->where <= n);
    }
    free(exact);
    return st;
}
static bool is_str(cq_str s, const char *text) { return s.n == strlen(text) && !memcmp(s.p, text, s.n); }

/* Catches: words and statements that are taken without a meaning; errors that name another place. */
static void test_parse(void **state) {
    /* @ stands for the place of the error, and is taken out; without one the text is good */
    static const char *const row[] = {
        "@", "model x\n@", "model x\nattn - q=a k=b v=c o=d causal\n", "@bogus 1\n", "@model\n",
        "model x\n@model y\n", "model x\nlike @nosuch\n", "model x\n@like\n", "model x\nlike llama\n",
        "model x\nlike llama\n@like llama\n", "model x\nlet A 1\n@like llama\n", "model x\nlike llama @more\n",
        "model x\n@drop mlp\n", "model x\nlike llama\ndrop @moe\n", "model x\nlike llama\n@drop\n",
        "model x\nlike llama\ndrop mlp @mlp\n", "model x\nlike llama\ndrop @mlp:a\n",
        "model x\nlike llama\nattn = -@nonsense\n", "model x\nlike llama\nattn = -@window\n",
        "model x\nlike llama\nattn = @nonsense=1\n", "model x\nlike llama\nattn = @window\n",
        "model x\nlike llama\nattn = @full=1\n", "model x\nlike llama\nattn = -causal full\n",
        "model x\nlike llama\nattn = @window=\n", "model x\nlike llama\nattn = q=a @q=b\n",
        "model x\nlike llama\nattn = -@q=a\n", "model x\nlike llama\nattn = -causal full @causal\n",
        "model x\nlike llama\nattn = -causal\n@", "model x\nlike llama\nattn = full\n@", "model x\nlike llama\n@attn\n",
        "model x\nlike llama\nmlp = @causal\n", "model x\nlike llama\nmlp = @q_norm=a\n",
        "model x\nlike llama\nmlp = -up -gate\n@", "model x\nlike llama\nmlp = -down\n@",
        "model x\nlike llama\nattn = reuse=1\n@", "model x\nlike llama\nattn = -k -v reuse=1\n",
        "model x\nlike llama\nattn = -k -v -o reuse=1\n@", "model x\nlike llama\nattn = -k -v reuse=1 k_norm=a\n@",
        "model x\nlike llama\nmlp = side\n@", "model x\nlike llama\nmlp = side -up\n@",
        "model x\nlike llama\nmlp = side -up\nside a width=8\n",
        "model x\nlike llama\nmlp = side -up -gate\nside a width=8\n@",
        "model x\nlike llama\nside a width=8\n@side b width=8\n", "model x\nlike llama\nside a @bogus=8\n",
        "model x\nlike llama\nmoe - router=r\n@", "model x\nlike rwkv\n@", "model x\nlike rwkv\nblocked by all that\n",
        "model x\nlike llama\n@let a 1\n", "model x\nlike llama\n@let A\n", "model x\nlike llama\nlet A 1 @2\n",
        "model x\nlike llama\nlayers @.l\n", "model x\nlike llama\nlayers .l.# @count\n",
        "model x\nlike llama\n@layers\n",
        "model x\nlike llama\nlayers .l.# @count=\n", "model x\nlike llama\nlayers .l.# count=1 @x\n",
        "model x\nlike llama\nlayers .l.#\nlayers .m.#\n@layers .n.#\n", "model x\nlike llama\n@tie\n",
        "model x\nlike llama\ntie tie_word_embeddings//true\n@tie false\n", "model x\nlike llama\ndiffusion @shif\n",
        "model x\nlike llama\ndiffusion shift @x\n", "model x\nlike llama\ndiffusion shift\n",
        "model x\nlike llama\nhead h @bogus=1\n", "model x\nlike llama\nhead h scale=2 @scale=3\n",
        "model x\nlike llama\nnorm n @scale=2\n", "model x\nlike llama\nnorm n if=true\n",
        "# before\n\n\t\r\nmodel x # not: a b\nlike llama   # as it is\nattn = -causal # two\n  # words\n  full\n",
        "model x\nlike llama\nattn = @#x\n", "model x\r\nlike llama\r\nattn =\r\n\twindow=4\r\n",
        "model x\nlike llama\nneed 1\nneed 2\nneed 3\nneed 4\nneed 5\nneed 6\nneed 7\nneed 8\nneed 9\nneed 10\n"
        "need 11\nneed 12\nneed 13\nneed 14\nneed 15\n@need 16\n",
        "model x\nlike llama\nmlp:c - up=a down=b\nmlp:d - up=a down=b\nmlp:e - up=a down=b\nmlp:f - up=a down=b\n"
        "mlp:g - up=a down=b\nmlp:h - up=a down=b\nmlp:i - up=a down=b\nmlp:j - up=a down=b\nmlp:k - up=a down=b\n"
        "mlp:l - up=a down=b\n@mlp:m - up=a down=b\n"};
    cq_arch arch;
    cq_error err;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        char text[1000];
        const char *at = strchr(row[i], '@');
        size_t before = at ? (size_t)(at - row[i]) : strlen(row[i]);
        snprintf(text, sizeof text, "%.*s%s", (int)before, row[i], at ? at + 1 : "");
        cq_status st = parse_copy(text, strlen(text), &arch, &err);
        if (at ? st != CQ_ERR_FORMAT || err.where != before : st != CQ_OK)
            complain("%s: status %d at %d: %s\n", row[i], (int)st, (int)err.where, err.what ? err.what : "");
    }
    no_complaints();
    for (; cq_arch_builtin(n); n++) { /* those there are: each name finds its text */
        const char *text = cq_arch_builtin(n);
        check(cq_arch_parse(&arch, text, strlen(text), err));
        assert_ptr_equal(arch.text.p, text);
        cq_str rest = arch.names;
        while (rest.n) {
            cq_arch found;
            size_t len = 0;
            while (len < rest.n && rest.p[len] != ' ') len++;
            check(cq_arch_find(&found, rest.p, len, err));
            if (found.text.p != text) fail_msg("%.*s is described twice", (int)len, rest.p);
            assert_true(found.name.n == len && !memcmp(found.name.p, rest.p, len));
            for (; len < rest.n && rest.p[len] == ' '; len++) {}
            if (rest.p[len - 1] == ' ' && len < rest.n && rest.p[len] == '#') break; /* a comment */
            rest.p += len;
            rest.n -= len;
        }
    }
    assert_true(n > 150);
    assert_null(cq_arch_builtin(SIZE_MAX));
    assert_int_equal(cq_arch_find(&arch, "no such", 7, &err), CQ_ERR_UNSUPPORTED);
    check_error(CQ_ERR_UNSUPPORTED, &err);
    assert_true(err.name_len == 7);
    assert_int_equal(cq_arch_find(&arch, "llam", 4, &err), CQ_ERR_UNSUPPORTED);
    assert_int_equal(cq_arch_find(&arch, "", 0, &err), CQ_ERR_UNSUPPORTED);
}

/* Catches: `like` that forgets, or keeps too much; blocks and words mixed up. */
static void test_like(void **state) {
    static const char text[] = "model mine other\n"
                               "like llama\n"
                               "let HEADS 3\n"
                               "let NEW 4\n"
                               "norm .last\n"
                               "attn = -causal full window=8 q=query+\n"
                               "mlp ffn pre=here\n"
                               "mlp:two second beside up=a down=b\n"
                               "moe experts router=r experts=4 top_k=2 e_up=x.#.u e_down=x.#.d s_up=s.u s_down=s.d\n"
                               "drop mlp\n"
                               "ignore *.x\n"
                               "tie true\n";
    cq_arch arch, llama;
    char name[256];
    (void)state;
    check(cq_arch_find(&llama, "llama", 5, err));
    check(cq_arch_parse(&arch, text, sizeof text - 1, err));
    assert_true(is_str(arch.name, "mine") && is_str(arch.names, "mine other") && is_str(arch.norm, ".last"));
    assert_true(is_str(arch.tie, "true") && is_str(arch.embed, ".embed_tokens") && is_str(arch.root, "model"));
    assert_int_equal(arch.lets, llama.lets + 1);
    assert_int_equal(arch.ignores, llama.ignores + 1);
    assert_int_equal(arch.blocks, 3);
    assert_true(arch.block[0].kind == CQ_BLOCK_ATTENTION && is_str(arch.block[0].prefix, "self_attn"));
    assert_true(arch.block[1].kind == CQ_BLOCK_MLP && is_str(arch.block[1].label, "two"));
    assert_true(arch.block[2].kind == CQ_BLOCK_MOE && is_str(arch.block[2].prefix, "experts"));
    assert_true(cq_arch_linear(&arch, 0, 0, 0, name, sizeof name) && !strcmp(name, "self_attn.query"));
    assert_true(cq_arch_linear(&arch, 0, 0, 2, name, sizeof name) && !strcmp(name, "self_attn.v_proj"));
    assert_false(cq_arch_linear(&arch, 0, 0, 3, name, sizeof name));
    assert_true(cq_arch_linear(&arch, 1, 1, 0, name, sizeof name) && !strcmp(name, "second.b"));
    assert_true(cq_arch_linear(&arch, 2, 0, 1, name, sizeof name) && !strcmp(name, "experts.x.#.u"));
    assert_true(cq_arch_linear(&arch, 2, 1, 0, name, sizeof name) && !strcmp(name, "experts.s.d"));
    /* a name too long for the place it is put is cut, and ends */
    assert_true(cq_arch_linear(&arch, 2, 0, 1, name, 6) && !strcmp(name, "exper"));
    /* the description that it is like stays as it is */
    cq_arch again;
    check(cq_arch_find(&again, "llama", 5, err));
    assert_true(again.blocks == llama.blocks && again.words == llama.words && again.lets == llama.lets);
    /* what is blocked is not passed on, and what a statement said is replaced */
    static const char alike[] = "model x\nlike rwkv\ndrop opaque opaque:mlp\nmlp - up=a down=b\n";
    check(cq_arch_find(&arch, "rwkv", 4, err));
    assert_true(arch.blocked.n > 0);
    check(parse_copy(alike, sizeof alike - 1, &arch, err));
    assert_int_equal(arch.blocked.n, 0);
}

/* A model of one layer, in the names of llama; its config with more keys. */
static model tiny(const char *more, size_t layers) {
    static const struct {
        const char *name;
        size_t rows, cols;
    } part[] = {{"input_layernorm", 0, 8}, {"post_attention_layernorm", 0, 8}, {"self_attn.q_proj", 8, 8},
                {"self_attn.k_proj", 8, 8}, {"self_attn.v_proj", 8, 8}, {"self_attn.o_proj", 8, 8},
                {"mlp.gate_proj", 12, 8}, {"mlp.up_proj", 12, 8}, {"mlp.down_proj", 8, 12}};
    char text[2000], name[100];
    model g;
    shape s;
    memset(&s, 0, sizeof s);
    built = 0;
    snprintf(text, sizeof text, "{\"model_type\": \"llama\", \"hidden_size\": 8, \"num_hidden_layers\": %d, "
             "\"num_attention_heads\": 2, \"intermediate_size\": 12, \"vocab_size\": 16%s%s}", (int)layers,
             more[0] ? ", " : "", more);
    g.config_len = strlen(text);
    g.config = (const char *)copy_of(text, g.config_len);
    s.ndim = 2;
    s.dim[0] = 16;
    s.dim[1] = 8;
    expand("{model.embed_tokens,lm_head}.weight", false, s, 0, 1);
    for (size_t l = 0; l < layers; l++)
        for (size_t i = 0; i < COUNT(part); i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)l, part[i].name);
            s.ndim = part[i].rows ? 2 : 1;
            s.dim[0] = part[i].rows ? part[i].rows : part[i].cols;
            s.dim[1] = part[i].cols;
            expand(name, false, s, part[i].rows ? 0 : 1, 0.5f);
        }
    s.ndim = 1;
    s.dim[0] = 8;
    expand("model.norm.weight", false, s, 1, 0.5f);
    g.w = sorted(building, built);
    g.text = NULL;
    g.m = NULL;
    return g;
}
static cq_status bind_text(model *g, const char *text, cq_error *err) {
    memset(err, 0, sizeof *err);
    g->text = (const char *)copy_of(text, strlen(text) + 1);
    cq_status st = bind_model(g, err);
    if (st) check_error(st, err);
    return st;
}

#define KEYS                                                                                                           \
    "\"two\": 2, \"half\": 0.5, \"list\": [10, 20, 30], \"word\": \"abc\", \"yes\": true, \"no\": false, "             \
    "\"nul\": null, \"big\": 3000000000, \"deux\": 2, \"trois\": 3, \"in\": {\"side\": 7, \"list\": [1]}, "            \
    "\"few\": [5], \"zero\": 0, \"empty\": \"\", \"two_float\": 2.0, \"by\": {\"0\": {\"a\": 5}, \"10\": 6}"
/* Catches: an expression with another value than it should have; parts that are evaluated and should not be. */
static void test_expressions(void **state) {
    static const char *const good[] = {
        /* from the loosest to the tightest, each against the next */
        "true||false&&false", "!((true||false)&&false)", "1==2||2==2", "1==1&&2==2", "!(1==1&&2==1)", "1<2==true",
        "two//1==2", "absent//1==1", "absent//1+1==2", "two//1+1==2", "1+2*3==7", "(1+2)*3==9", "10-2-3==5",
        "12/2/3==2", "2*7%4==2", "7%4%2==1", "-2+3==1", "-2*-3==6", "2*-3==-6", "0-2^2==-4", "-2^2==-4", "2^-1==0.5",
        "2^3^2>511.9&&2^3^2<512.1", "2*2^3>15.9&&2*2^3<16.1", "4^half>1.999&&4^half<2.001",
        "1<2", "!(2<2)", "2<=2", "2>=2", "!(2>2)", "3>2", "1!=2", "1.5==1.5", "1.0==1", "3/2==1.5", "4/2==2",
        "-7%4==1", "big*2>5e9", "1e3==1000", "1e-2==0.01", "25e-1==2.5", "half+half==1",
        /* conditions */
        "(yes?1:2)==1", "(no?1:2)==2", "(no?1:yes?2:3)==2", "(yes?no?1:2:3)==2", "(two==2?list:few)[0]==10",
        "true?true:1/0", "false?1/0:true", "yes||1/0", "!(no&&1/0)", "two//1/0==2", "yes||nosuch[0]>1",
        "true||absent>1", "false&&absent>1||true", "true?true:sqrt('a')", "yes||given(two)",
        /* truth */
        "!no", "!nul", "!absent", "!0", "!zero", "!empty", "!!word", "!!list", "!!in", "!!0.5", "!!-1", "!!true",
        /* keys */
        "in.side==7", "two|deux==2", "absent|two==2", "nul|two==2", "two|absent==2", "two|two_float==2",
        "absent|nul//5==5", "nul//5==5", "no//true==false", "zero//5==0", "in.absent//1==1", "two.absent//1==1",
        "absent.in.side//1==1", "word=='abc'", "word!='abd'", "!(word==2)", "absent==null", "nul==null", "two!=null",
        "yes==true", "yes!=1||yes==1", "in==in", "in!=list",
        "given(two)", "given(nul)", "!given(absent)", "given(in.side)", "!given(in.absent)", "given(no)",
        /* lists and strings */
        "list[1]==20", "list[two]==30", "list[list[0]-9]==20", "list[i]==10", "word[1]=='b'", "in.list[0]==1",
        "by[0].a==5", "by[i].a==5", "by[list[0]]==6", "by[1]==null", "by[1].a//3==3", "by[0].b//3==3", "E.a==5",
        "absent[0].a==null", "(by[0]).a==5", "len(by[0])==1",
        "!(two[0])", "(absent[0])==null", "in[0]==null", "'xyz'[two]=='z'",
        "has(list,20)", "!has(list,21)", "!has(two,2)", "!has(absent,2)", "has(few,two+3)", "is(two,1,2)", "!is(two,1)",
        "is(word,'a','abc')", "!is(absent,1)", "is(absent,null)", "len(list)==3", "len(word)==3", "len(in)==2",
        "len(two)==null", "len('')==0",
        /* functions */
        "min(two,1)==1", "max(two,1)==2", "min(two,half)==half", "int(7/2)==3", "floor(7/2)==3", "ceil(7/2)==4",
        "int(-7/2)==-3", "floor(-7/2)==-4", "ceil(-7/2)==-3", "sqrt(16)>3.999&&sqrt(16)<4.001", "exp(0)==1",
        "log(1)==0", "int(two)==2", "floor(2.0)==2", "ceil(2.0)==2",
        /* lets: A is 3, B is A+1, C is i, D counts on the layer's */
        "A==3", "B==4", "A*B==12", "C==i", "C==0", "B+C==4", "HIDDEN==8", "HEADS*HEAD_DIM==HIDDEN", "A==A",
        "((((((((((((((((((((two))))))))))))))))))))==2"};
    static const struct {
        const char *expr;
        cq_status status;
        const char *name; /* NULL: the expression */
    } bad[] = {
        {"false", CQ_ERR_UNSUPPORTED, NULL}, {"!yes", CQ_ERR_UNSUPPORTED, NULL}, {"two==3", CQ_ERR_UNSUPPORTED, NULL},
        {"word", CQ_ERR_FORMAT, "word"}, {"word+1", CQ_ERR_FORMAT, "word"}, {"absent+1", CQ_ERR_MISSING, "absent"},
        {"nul<1", CQ_ERR_MISSING, "nul"}, {"list*2", CQ_ERR_FORMAT, "list"}, {"two|trois", CQ_ERR_FORMAT, "trois"},
        {"two|word", CQ_ERR_FORMAT, "word"}, {"absent|two|trois", CQ_ERR_FORMAT, "trois"},
        {"list[3]", CQ_ERR_FORMAT, "list"}, {"list[-1]", CQ_ERR_FORMAT, "list"}, {"list['a']", CQ_ERR_FORMAT, "list"},
        {"list[half]", CQ_ERR_FORMAT, "list"}, {"word[3]=='a'", CQ_ERR_FORMAT, "word"},
        {"few[i]", CQ_ERR_FORMAT, "few"}, {"two/zero", CQ_ERR_RANGE, "zero"}, {"two%zero", CQ_ERR_RANGE, "zero"},
        {"two%half", CQ_ERR_RANGE, "half"}, {"(-1)^two", CQ_ERR_RANGE, "two"}, {"zero^two", CQ_ERR_RANGE, "two"},
        {"-word", CQ_ERR_FORMAT, "word"}, {"sqrt(word)", CQ_ERR_FORMAT, "word"}, {"int(1e30*two)", CQ_ERR_RANGE, "two"},
        {"list[0].a", CQ_ERR_FORMAT, "list"}, {"by[-1]", CQ_ERR_FORMAT, "by"}, {"by[0].a+by[0].b", CQ_ERR_MISSING, "b"},
        /* no expressions */
        {"by[0].", CQ_ERR_FORMAT, NULL}, {"1.", CQ_ERR_FORMAT, NULL}, {"by[0]..a", CQ_ERR_FORMAT, NULL},
        {"1+", CQ_ERR_FORMAT, NULL}, {"+1", CQ_ERR_FORMAT, NULL}, {"(1", CQ_ERR_FORMAT, NULL},
        {"1)", CQ_ERR_FORMAT, NULL},
        {"1 2", CQ_ERR_FORMAT, NULL}, {"'a", CQ_ERR_FORMAT, NULL}, {"two[0", CQ_ERR_FORMAT, NULL},
        {"[0]", CQ_ERR_FORMAT, NULL}, {"two|", CQ_ERR_FORMAT, NULL}, {"1?2", CQ_ERR_FORMAT, NULL},
        {"1?2:", CQ_ERR_FORMAT, NULL}, {"?1:2", CQ_ERR_FORMAT, NULL}, {"1==", CQ_ERR_FORMAT, NULL},
        {"&&1", CQ_ERR_FORMAT, NULL}, {"1&2", CQ_ERR_FORMAT, NULL}, {"two=2", CQ_ERR_FORMAT, NULL},
        {"1//", CQ_ERR_FORMAT, NULL}, {"2^", CQ_ERR_FORMAT, NULL}, {"$", CQ_ERR_FORMAT, NULL},
        {"foo(1)", CQ_ERR_FORMAT, NULL}, {"min(1)", CQ_ERR_FORMAT, NULL}, {"min(1,2,3)", CQ_ERR_FORMAT, NULL},
        {"sqrt(1,2)", CQ_ERR_FORMAT, NULL}, {"is(1)", CQ_ERR_FORMAT, NULL}, {"has(list)", CQ_ERR_FORMAT, NULL},
        {"len(list,1)", CQ_ERR_FORMAT, NULL}, {"given(two", CQ_ERR_FORMAT, NULL}, {"sqrt()", CQ_ERR_FORMAT, NULL},
        {"NOSUCH", CQ_ERR_FORMAT, NULL}, {"true||1+", CQ_ERR_FORMAT, NULL}, {"true?1:2+", CQ_ERR_FORMAT, NULL},
        {"SELF", CQ_ERR_FORMAT, "SELF+1"}, {"PING", CQ_ERR_FORMAT, NULL}, {"BROKEN", CQ_ERR_FORMAT, "1+"},
        {"((((((((((((((((((((((((((two))))))))))))))))))))))))))==2", CQ_ERR_FORMAT, NULL},
        {"1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1?1:0", CQ_ERR_FORMAT, NULL}};
    char text[800];
    cq_error err;
    (void)state;
    for (size_t i = 0; i < COUNT(good) + COUNT(bad); i++) {
        size_t mark = pool_count;
        const char *expr = i < COUNT(good) ? good[i] : bad[i - COUNT(good)].expr;
        model g = tiny(KEYS, 2);
        snprintf(text, sizeof text,
                 "model x\nlike llama\nlet A 3\nlet B A+1\nlet C i\nlet D A+C\nlet E by[i]\nlet SELF SELF+1\n"
                 "let PING PONG\nlet PONG PING\nlet BROKEN 1+\nneed %s%s%s\n",
                 i < COUNT(good) ? "i>0||(" : "", expr, i < COUNT(good) ? ")" : ""); /* good: in layer 0 */
        cq_status st = bind_text(&g, text, &err);
        if (i < COUNT(good)) {
            if (st) complain("%s: %s: %.*s\n", expr, err.what, (int)err.name_len, err.name);
        } else if (st != bad[i - COUNT(good)].status) {
            complain("%s: status %d: %s: %.*s\n", expr, (int)st, st ? err.what : "", (int)err.name_len, err.name);
        } else {
            const char *name = bad[i - COUNT(good)].name;
            if (name && (err.name_len != strlen(name) || memcmp(err.name, name, err.name_len)))
                complain("%s: names %.*s\n", expr, (int)err.name_len, err.name);
        }
        free_down_to(mark);
    }
    /* a need that names the layer holds in each */
    model g = tiny(KEYS, 2);
    check(bind_text(&g, "model x\nlike llama\nneed i<2\n", err));
    assert_int_equal(bind_text(&g, "model x\nlike llama\nneed i<1\n", &err), CQ_ERR_UNSUPPORTED);
    assert_int_equal(bind_text(&g, "model x\nlike llama\nneed few[i]>1\n", &err), CQ_ERR_FORMAT);
    /* where there is no layer, there is no i */
    assert_int_equal(bind_text(&g, "model x\nlike llama\ntie i==0\n", &err), CQ_ERR_FORMAT);
    no_complaints();
    /* as deep as it goes, and as often as it goes: an error, and soon */
    static const char *const begin[] = {"(", "!", "-", "2^", "sqrt(", "list[", "1?", "absent//", "1+", "1||", "i|"};
    for (size_t i = 0; i < COUNT(begin); i++) {
        size_t n = 100000, len = strlen(begin[i]);
        char *deep = (char *)get(n * len + 100);
        size_t at = (size_t)sprintf(deep, "model x\nlike llama\nneed ");
        for (size_t k = 0; k < n; k++, at += len) memcpy(deep + at, begin[i], len);
        strcpy(deep + at, "1\n");
        (void)bind_text(&g, deep, &err);
    }
    char *wide = (char *)get(8000);
    size_t at = (size_t)sprintf(wide, "model x\nlike llama\n");
    for (char c = 'A'; c < 'T'; c++)
        at += (size_t)sprintf(wide + at, "let X%c X%c+X%c+X%c+X%c+X%c\n", c, c + 1, c + 1, c + 1, c + 1, c + 1);
    sprintf(wide + at, "let XT 1\nneed XA>0\n");
    if (bind_text(&g, wide, &err) == CQ_OK) fail_msg("5^19 is a small number");
}

/* Models with another configuration than their tensors have, or one that there cannot be */
static void misconfigured(golden *g) {
    static const struct {
        const char *model, *key, *value;
        cq_status status;
    } row[] = {{"gemma4_text", "num_kv_shared_layers", "3", CQ_ERR_FORMAT},
               {"gemma4_text", "num_kv_shared_layers", "4", CQ_ERR_FORMAT},
               {"gemma4_text", "num_kv_shared_layers", "1", CQ_ERR_MISSING},
               {"gemma4_text", "hidden_size_per_layer_input", "13", CQ_ERR_FORMAT},
               {"gemma4_text", "hidden_size_per_layer_input", "0", CQ_ERR_FORMAT},
               {"gemma4_text", "hidden_size_per_layer_input", "-1", CQ_ERR_FORMAT},
               {"gemma4_text", "vocab_size_per_layer_input", "255", CQ_ERR_FORMAT},
               {"gemma4_text", "use_double_wide_mlp", "true", CQ_ERR_FORMAT},
               {"gemma4_text", "use_bidirectional_attention", "\"all\"", CQ_ERR_UNSUPPORTED},
               {"gemma4_text", "enable_moe_block", "true", CQ_ERR_MISSING},
               {"gemma4_text", "attention_k_eq_v", "true", CQ_ERR_FORMAT},
               {"gemma4_text", "head_dim", "16", CQ_ERR_FORMAT},
               /* more than there are tensors: before memory is asked for */
               {"qwen3_moe", "num_experts", "4097", CQ_ERR_FORMAT}, {"qwen3_moe", "num_experts", "9", CQ_ERR_FORMAT},
               {"qwen3_moe", "num_experts", "7", CQ_ERR_FORMAT},
               {"mixtral", "num_local_experts", "16384", CQ_ERR_FORMAT},
               {"mixtral", "num_hidden_layers", "4000", CQ_ERR_FORMAT},
               /* what would be another model in silence */
               {"llama", "partial_rotary_factor", "0.5", CQ_ERR_UNSUPPORTED},
               {"llama", "hidden_act", "\"mish\"", CQ_ERR_UNSUPPORTED},
               {"mamba", "hidden_act", "\"gelu\"", CQ_ERR_UNSUPPORTED},
               {"jamba", "hidden_act", "\"relu\"", CQ_ERR_UNSUPPORTED},
               {"qwen3_next", "hidden_act", "\"gelu\"", CQ_ERR_UNSUPPORTED},
               {"deepseek_v3", "scoring_func", "\"softmax\"", CQ_ERR_UNSUPPORTED},
               {"deepseek_v3", "topk_method", "\"greedy\"", CQ_ERR_UNSUPPORTED},
               {"deepseek_v3", "num_experts_per_tok", "9", CQ_ERR_RANGE}};
    cq_error err;
    for (size_t i = 0; i < COUNT(row); i++) {
        if (strcmp(g->name, row[i].model)) continue;
        model m = g->model;
        m.config = with(g->model.config, g->model.config_len, row[i].key, row[i].value, &m.config_len);
        memset(&err, 0, sizeof err);
        cq_status st = bind_model(&m, &err);
        if (st) check_error(st, &err);
        if (st != row[i].status)
            complain("%s: %s %s: status %d: %s\n", row[i].model, row[i].key, row[i].value, (int)st, st ? err.what : "");
        ran++;
    }
    if (strcmp(g->name, "gemma4_text")) return;
    /* rows that the caller has put into the stream have no side rows */
    cq_context ctx = plain();
    cq_input in;
    check(bind_model(&g->model, err));
    cq_session s = begun(&ctx, g->model.m, g, NULL, NULL, g->n, 0, false);
    memset(&in, 0, sizeof in);
    in.n = 1;
    assert_int_equal(cq_forward(&s, &in, &err), CQ_ERR_UNSUPPORTED);
}
/* tiny() with more tensors, of which a description may make use: norms with even and uneven gains, and with a gain of
   zero in channel 3, where `holed` has no bias and `lost` has one; projections at the ends, experts, a side table */
static model furnished(void) {
    static const struct {
        const char *name;
        size_t rows, cols;
        float a, b;
    } part[] = {{"model.layers.{0..1}.{even,mlp.even}.weight", 0, 8, 1.5f, 0}, {"model.even.weight", 0, 8, 0.75f, 0},
                {"model.layers.{0..1}.{uneven,holed,lost,mlp.uneven}.weight", 0, 8, 1, 0.5f},
                {"model.uneven.weight", 0, 8, 1, 0.5f},
                {"model.layers.{0..1}.{even,uneven,holed,lost}.bias", 0, 8, 0, 0.5f},
                {"model.{even,uneven}.bias", 0, 8, 0, 0.5f}, {"model.places.weight", 20, 8, 0, 0.8f},
                {"model.{narrow,narrow_head}.weight", 16, 4, 0, 1}, {"model.widen.weight", 8, 4, 0, 0.8f},
                {"model.{widen,dense}.bias", 0, 8, 0, 0.5f}, {"model.thin.weight", 4, 8, 0, 0.6f},
                {"model.dense.weight", 8, 8, 0, 0.6f}, {"model.layers.{0..1}.mlp.choose.weight", 4, 8, 0, 0.6f},
                {"model.layers.{0..1}.mlp.choose6.weight", 6, 8, 0, 0.6f},
                {"model.layers.{0..1}.mlp.each.{0..3}.up.weight", 12, 8, 0, 0.6f},
                {"model.layers.{0..1}.mlp.each.{0..3}.down.weight", 8, 12, 0, 0.5f},
                {"model.layers.{0..1}.self_attn.{q,k,v,o}_proj.bias", 0, 8, 0, 0.5f},
                {"model.table.weight", 16, 8, 0, 1}, {"model.side_in.weight", 8, 8, 0, 0.6f},
                {"model.side_norm.weight", 0, 4, 1, 0.5f}, {"model.layers.{0..1}.mlp.gate4.weight", 4, 8, 0, 0.6f},
                {"model.layers.{0..1}.mlp.down4.weight", 8, 4, 0, 0.6f}};
    model g = tiny("", 2);
    for (size_t i = 0; i < COUNT(part); i++) {
        shape s;
        memset(&s, 0, sizeof s);
        s.ndim = part[i].rows ? 2 : 1;
        s.dim[0] = part[i].rows ? part[i].rows : part[i].cols;
        s.dim[1] = part[i].cols;
        expand(part[i].name, false, s, part[i].a, part[i].b);
    }
    g.w = sorted(building, built);
    for (int layer = 0; layer < 2; layer++)
        for (int k = 0; k < 3; k++) {
            static const char *const zero[] = {"holed.weight", "holed.bias", "lost.weight"};
            char name[80];
            snprintf(name, sizeof name, "model.layers.%d.%s", layer, zero[k]);
            memset((char *)(size_t)cq_weights_find(&g.w, name, strlen(name))->data + 12, 0, 4);
        }
    return g;
}
static const float *tensor(const model *g, const char *name) {
    const cq_named *t = cq_weights_find(&g->w, name, strlen(name));
    if (!t) fail_msg("no %s", name);
    return (const float *)t->data;
}
/* What enters the stream from elsewhere turns as embeddings do: its products with them stay. The rest is as it was. */
static void check_entered(const model *was, const model *is) {
    static const struct {
        const char *name;
        size_t count, step, stride; /* vectors; from one to the next; from one number to the next */
    } part[] = {{"model.widen.weight", 4, 1, 4}, {"model.widen.bias", 1, 0, 1}, {"model.places.weight", 20, 8, 1}};
    const float *embed[2] = {tensor(was, "model.embed_tokens.weight"), tensor(is, "model.embed_tokens.weight")};
    for (size_t i = 0; i < COUNT(part); i++) {
        const float *v[2] = {tensor(was, part[i].name), tensor(is, part[i].name)};
        for (size_t k = 0; k < 16 * part[i].count; k++) {
            double product[2] = {0, 0};
            for (size_t t = 0; t < 2; t++)
                for (size_t j = 0; j < 8; j++)
                    product[t] += (double)embed[t][k / part[i].count * 8 + j] *
                                  (double)v[t][k % part[i].count * part[i].step + j * part[i].stride];
            if (!(fabs(product[0] - product[1]) < 1e-5))
                complain("%s: %g, was %g\n", part[i].name, product[1], product[0]);
        }
        if (v[0][0] == v[1][0]) complain("%s did not turn\n", part[i].name);
    }
    if (memcmp(tensor(was, "model.dense.weight"), tensor(is, "model.dense.weight"), 256)) complain("dense turned\n");
}
/* Catches: norms that are folded and should stay or the other way round, biases of norms that turn wrongly, ends of the
   stream that are forgotten, calibration on another stream than the rotated model's; reasons without a name. */
static void test_rotate_any(void **state) {
#define X "model x\nlike llama\nignore *\n"
#define BIAS "attn = q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj+\n"
#define MOE "drop mlp\nmoe mlp experts=4 top_k=2 inter=12 act='relu' renorm=true " \
            "e_up=each.#.up e_down=each.#.down "
    static const struct {
        const char *text, *why, *name; /* why NULL: the stream can be rotated */
    } row[] = {
        {X BIAS "attn = post=even\nmlp = post=even\n", NULL, NULL},
        {X "attn = post=even:ln+\nmlp = post=even+\n", NULL, NULL},
        {X "attn = pre=uneven:ln+ post=even:ln+\nmlp = pre=uneven+\n", NULL, NULL},
        {X "attn = -pre after=even:ln+\nmlp = -pre after=even+\nnorm -\n", NULL, NULL},
        {X BIAS "attn = -pre\nmlp = -pre\nnorm -\n", NULL, NULL},
        {X "mlp = beside joint=even:ln+\n", NULL, NULL},
        {X "embed .embed_tokens scale=3 norm=.even:ln+\nposition .places\n", NULL, NULL},
        {X "attn = pre=even:ln+ keep=0.5\nmlp = pre=even scale=2 keep=0.25\n", NULL, NULL},
        {X "attn = pre=holed:ln+\nmlp = pre=holed+\n", NULL, NULL},
        {X "norm .uneven:ln+\n", NULL, NULL},
        {X "norm .even:ln+\ntie tie_word_embeddings//true\n", NULL, NULL},
        {X "norm .uneven+\ntie tie_word_embeddings//true\n", NULL, NULL},
        {X "embed .narrow in=.widen+\nposition .places\nhead .narrow_head out=.thin\n", NULL, NULL},
        {X "embed .narrow in=.widen+\nhead .narrow_head out=.thin\ntie tie_word_embeddings//true\n", NULL, NULL},
        {X "head lm_head dense=.dense+ act='gelu' norm=.uneven:ln\n", NULL, NULL},
        {X "head lm_head dense=.dense+ act='gelu' norm=.uneven\ntie tie_word_embeddings//true\nnorm .even\n", NULL,
         NULL},
        {X "head lm_head normalize=true\nnorm .even\n", NULL, NULL},
        {X "head lm_head dense=.dense act='gelu' normalize=true\n", NULL, NULL},
        {X "side .table width=4 in=.side_in norm=.side_norm in_scale=0.5\n"
           "mlp = -up side gate=gate4 down=down4 inter=4\n", NULL, NULL},
        {X MOE "pre=post_attention_layernorm router=choose router_norm=uneven\n", NULL, NULL},
        {X MOE "pre=post_attention_layernorm router=choose router_norm=even:ln\n", NULL, NULL},
        {X MOE "router=choose6 identity=2 pre=even:ln+\n", NULL, NULL},
        {X "attn = if=i==0\nattn:reads self_attn if=i==1 pre=input_layernorm causal q=q_proj o=o_proj reuse=1\n", NULL,
         NULL},
        {X "attn = post=even\nmlp = post=uneven\n", "a norm after a block", "model.layers.0.uneven.weight"},
        {X "attn = after=even\nmlp = after=uneven:ln+\n", "a norm of the sum", "model.layers.0.uneven.weight"},
        {X "mlp = beside joint=uneven\n", "beside each other", "model.layers.0.uneven.weight"},
        {X "embed .embed_tokens norm=.uneven\n", "after the embedding", "model.uneven.weight"},
        {X "mlp = keep=0.5\n", "the normed input", "model.layers.0.post_attention_layernorm.weight"},
        {X "attn = pre=lost:ln+\n", "where its gain is zero", "model.layers.0.lost.weight"},
        {X "head lm_head normalize=true\n", "length 1", "model.norm.weight"},
        {X MOE "pre=post_attention_layernorm router=choose6 identity=2\n", "give their input back",
         "model.layers.0.post_attention_layernorm.weight"},
        {X "carry model.thin.* model.dense.*=\n", "carried", "model.thin.weight"},
        {X "carry model.thin.*=*.thin\n", "carried", "model.thin.weight"}, /* of another width */
        {X "carry model.dense.*= model.w*=model.widen model.pl*=*.places^ model.narrow*=\n", NULL, NULL},
        {X "position sinusoid\n", "computed positions", ""}};
    cq_context ctx = plain();
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        golden g;
        cq_rotate_plan plan;
        model turned;
        cq_error err;
        size_t elements;
        bool swapped;
        memset(&g, 0, sizeof g);
        g.model = furnished();
        snprintf(g.name, sizeof g.name, "%.70s", row[i].text + strlen(X));
        g.n = 16;
        for (size_t k = 0; k < g.n; k++) g.ids[k] = (int32_t)((k * 7 + 3) % 16);
        if (bind_text(&g.model, row[i].text, &err)) {
            complain("%s: %s: %.*s\n", g.name, err.what, (int)err.name_len, err.name);
            continue;
        }
        assert_true(plan_of(&ctx, g.model.m, &plan));
        const cq_rotate_stream *r1 = &plan.r1[0];
        if (row[i].why) {
            if (r1->on || !strstr(r1->why, row[i].why) || r1->why_name.n != strlen(row[i].name) ||
                (r1->why_name.n && memcmp(r1->why_name.p, row[i].name, r1->why_name.n)))
                complain("%s: %s: %.*s\n", g.name, r1->on ? "on" : r1->why, (int)r1->why_name.n, r1->why_name.p);
        } else if (!r1->on) {
            complain("%s: %s: %.*s\n", g.name, r1->why, (int)r1->why_name.n, r1->why_name.p);
        }
        if (!export_model(&ctx, &g, &plan, NULL, &turned, &elements, &swapped)) continue;
        if (turned.m->tied != (g.model.m->tied && !cq_rotate_unties(&plan, g.model.m))) complain("%s: tied\n", g.name);
        float *want = run(&ctx, g.model.m, &g, 0, 0, false), *got = run(&ctx, turned.m, &g, 0, 0, false);
        double far = distance(got, want, g.n * 16), size = 0;
        for (size_t k = 0; k < g.n * 16; k++) size += (double)want[k] * (double)want[k] / (double)(g.n * 16);
        if (verbose()) print_message("%s: %.1e\n", g.name, far / sqrt(size));
        if (!(far <= 1e-5 * sqrt(size))) complain("%s: rotated: logits off by %.2g\n", g.name, far / sqrt(size));
        if (!row[i].why) (void)quantized(&ctx, &g, false, 8, &plan, want, NULL); /* its losses are those of what runs */
        if (strstr(row[i].text, "reuse") && plan.r2_count != 2) complain("%s: %zu R2\n", g.name, plan.r2_count);
        if (strstr(row[i].text, "widen model")) check_entered(&g.model, &turned);
    }
    no_complaints();
#undef X
#undef BIAS
#undef MOE
}

/* Catches: reuse, side and joint where they cannot be; a rotation of values that several blocks read. */
static void test_lent(void **state) {
#define READER "model x\nlike llama\nattn = if=i==0\nignore *.1.self_attn.k_proj.* *.1.self_attn.v_proj.*\n" \
               "attn:r self_attn if=i>0 pre=input_layernorm causal q=q_proj o=o_proj "
    static const struct {
        const char *text;
        cq_status status;
    } row[] = {{READER "reuse=1\n", CQ_OK}, {READER "reuse=i\n", CQ_ERR_FORMAT},
               {READER "reuse=1 kv_heads=1\n", CQ_ERR_FORMAT}, {READER "reuse=nosuch\n", CQ_OK},
               {READER "reuse=1+\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nattn = -k -v reuse=1\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nmlp = beside joint=-\n", CQ_OK},
               {"model x\nlike llama\nmlp = joint=-\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nattn = joint=-\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nattn = after=-\nmlp = beside joint=-\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nmlp = beside joint=- keep=1\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nmlp = beside joint=-\nmlp:b - beside up=a down=b\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nside .embed_tokens width=4\n", CQ_OK},
               {"model x\nlike llama\nside .embed_tokens\n", CQ_ERR_MISSING},
               {"model x\nlike llama\nside .embed_tokens width=5\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nside .embed_tokens width=4 rows=15\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nside .embed_tokens width=4 in=nosuch\n", CQ_ERR_MISSING},
               {"model x\nlike llama\nside .embed_tokens width=4\nmlp = -up side\n", CQ_ERR_FORMAT},
               {"model x\nlike llama\nside .embed_tokens width=4 if=false\nmlp = -up side inter=4\n", CQ_ERR_FORMAT}};
#undef READER
    cq_context ctx = plain();
    cq_rotate_plan plan;
    cq_error err;
    (void)state;
    for (size_t i = 0; i < COUNT(row); i++) {
        model g = tiny("", 2);
        cq_status st = bind_text(&g, row[i].text, &err);
        if (st != row[i].status) complain("%s: status %d: %s\n", row[i].text, (int)st, st ? err.what : "");
        if (i || st) continue;
        assert_true(g.m->blocks[0].lends && g.m->block_count == 4);
        assert_true(plan_of(&ctx, g.m, &plan) && plan.r1[0].on && plan.r2_count == 2);
    }
    ran = 0;
    each_golden(misconfigured, 1);
    if (!getenv("CQUANT_TEST_MODEL")) assert_int_equal(ran, 25);
    no_complaints();
}

/* Catches: reads outside of a description that is cut off or damaged anywhere (with the sanitizer). */
static void test_damage(void **state) {
    cq_arch arch;
    cq_error err;
    size_t good = 0;
    (void)state;
    for (size_t i = 0; cq_arch_builtin(i); i++) {
        const char *text = cq_arch_builtin(i);
        size_t n = strlen(text), step = QUICK ? 1 + n / 20 : 1 + n / 200;
        char *data = (char *)get(n);
        for (size_t cut = rng() % step; cut <= n; cut += step) good += parse_copy(text, cut, &arch, &err) == CQ_OK;
        for (size_t trial = 0; trial < (QUICK ? 40 : 150); trial++) {
            memcpy(data, text, n);
            for (size_t edits = 1 + rng() % 3; edits; edits--) {
                size_t at = rng() % n, from = rng() % n, move = 1 + rng() % 12;
                size_t most = n - (at > from ? at : from);
                if (rng() % 3 == 0) data[at] = (char)rng();
                else if (rng() % 2) data[at] = " \n=+#.\t\r|:-"[rng() % 11];
                else memmove(data + at, data + from, move < most ? move : most);
            }
            good += parse_copy(data, n, &arch, &err) == CQ_OK;
        }
    }
    assert_true(good > 1000); /* else the test tests nothing */
}
static size_t bound_well;
static void damage_one(golden *g) {
    cq_context ctx = plain();
    cq_error err;
    if (!runs(g)) return;
    const cq_arch *arch = &g->model.m->arch;
    size_t n = arch->text.n;
    for (size_t trial = 0; trial < 8; trial++) {
        char *data = (char *)copy_of(arch->text.p, n);
        for (size_t edits = 1 + rng() % 2; edits; edits--) {
            size_t at = rng() % n, from = rng() % n, move = 1 + rng() % 10;
            size_t most = n - (at > from ? at : from);
            if (rng() % 2) data[at] = "0123456789()[]|/?:!^*-=i.'# \n"[rng() % 29];
            else memmove(data + at, data + from, move < most ? move : most);
        }
        cq_arena a = arena_of(cq_model_bound(g->model.config_len, &g->model.w, data, n));
        cq_model *m = (cq_model *)get(sizeof *m);
        cq_status st = cq_model_bind(m, g->model.config, g->model.config_len, &g->model.w, data, n, &a, &err);
        if (st) {
            check_error(st, &err);
            continue;
        }
        /* another model, with the same tensors: it runs, whatever it computes */
        cq_session s;
        cq_session_desc d;
        cq_input in;
        cq_arena size = cq_arena_over(NULL, 0);
        memset(&d, 0, sizeof d);
        memset(&in, 0, sizeof in);
        d.max_tokens = g->n;
        bound_well++;
        if (cq_session_init(&s, &ctx, m, &d, &size, &size, &err) || size.used > (size_t)1 << 26) continue;
        a = arena_of(size.used);
        check(cq_session_init(&s, &ctx, m, &d, &a, &a, err));
        in.ids = g->ids;
        in.n = g->n < 5 ? g->n : 5;
        st = cq_forward(&s, &in, &err);
        if (st) check_error(st, &err);
        else cq_logits(&s, NULL, in.n, (float *)get(in.n * m->vocab * sizeof(float)));
        /* and its parts can be read */
        cq_rotate_plan plan;
        cq_parts cursor;
        cq_part part;
        bool turned = plan_of(&ctx, m, &plan);
        memset(&cursor, 0, sizeof cursor);
        while (cq_model_part(m, turned ? &plan : NULL, &cursor, &part)) {
            if (part.kind == CQ_PART_CARRIED) continue;
            float *data = (float *)malloc(part.rows * part.cols * sizeof *data);
            st = cq_part_read(&ctx, m, turned ? &plan : NULL, &part, 0, part.rows, data, &err);
            free(data);
            if (st) check_error(st, &err);
        }
    }
}
/* Catches: a description that binds, but not to what it says: reads outside of tensors (with the sanitizer). */
static void test_damage_bound(void **state) {
    (void)state;
    bound_well = 0;
    each_golden(damage_one, QUICK ? 4 : 1);
    print_message("%zu damaged descriptions bind\n", bound_well);
    if (!getenv("CQUANT_TEST_MODEL")) assert_true(bound_well > 30);
    no_complaints();
}

/* ---- a description of the user's own ----------------------------------------------------------------------------- */
static const char own[] = "model mine   # experts beside attention, alibi, norms of q and k, a norm of both\n"
                          "norms ln\n"
                          "root net\n"
                          "let EPS 1e-5\n"
                          "let EXPERTS experts//4\n"
                          "embed .words scale=2\n"
                          "layers .stack.# count=depth\n"
                          "attn mix pre=before causal q=wq k=wk v=wv o=wo+ rope='none' alibi=true q_norm=nq:rms\n"
                          "  k_norm=nk:rms\n"
                          "moe think pre=before beside router=choose experts=EXPERTS top_k=2 inter=width act='relu'\n"
                          "  renorm=true e_up=each.#.up e_down=each.#.down scale=0.5\n"
                          "norm .after:rms1\n"
                          "head out softcap=30\n";
static void times(const float *w, size_t rows, size_t cols, const double *x, double *y) {
    for (size_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (size_t k = 0; k < cols; k++) y[r] += (double)w[r * cols + k] * x[k];
    }
}
static void normalize(double *x, size_t n, const float *gain, bool centred, double plus, double eps) {
    double mean = 0, square = 0;
    for (size_t i = 0; centred && i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++) x[i] = (x[i] - mean) / sqrt(square + eps) * (plus + (double)gain[i]);
}
#define OWN_N 9
#define D 16
#define HEADS 4
#define HD 4
#define WIDTH 12
#define EXPERTS 4
#define VOCAB 24
/* The same model in double precision, written down once more. */
static void own_logits(const model *g, const int32_t *ids, double *logits) {
    static double x[OWN_N][D], y[OWN_N][D], q[OWN_N][D], k[OWN_N][D], v[OWN_N][D];
    char name[100];
    for (size_t t = 0; t < OWN_N; t++)
        for (size_t i = 0; i < D; i++) x[t][i] = 2.0 * (double)tensor(g, "net.words.weight")[(size_t)ids[t] * D + i];
    for (size_t l = 0; l < 2; l++) {
#define T(part) (snprintf(name, sizeof name, "net.stack.%d.%s", (int)l, part), tensor(g, name))
        for (size_t t = 0; t < OWN_N; t++) {
            double in[D], score[EXPERTS], mid[WIDTH], out[D], all[D];
            memcpy(in, x[t], sizeof in);
            normalize(in, D, T("before.weight"), true, 0, 1e-5);
            times(T("mix.wq.weight"), D, D, in, q[t]);
            times(T("mix.wk.weight"), D, D, in, k[t]);
            times(T("mix.wv.weight"), D, D, in, v[t]);
            for (size_t h = 0; h < HEADS; h++) {
                normalize(q[t] + h * HD, HD, T("mix.nq.weight"), false, 0, 1e-5);
                normalize(k[t] + h * HD, HD, T("mix.nk.weight"), false, 0, 1e-5);
            }
            memset(all, 0, sizeof all);
            for (size_t h = 0; h < HEADS; h++) {
                double p[OWN_N], most = -1e30, total = 0;
                for (size_t s = 0; s <= t; s++) {
                    p[s] = pow(2, -2.0 * (double)(h + 1)) * (double)s;
                    for (size_t i = 0; i < HD; i++) p[s] += q[t][h * HD + i] * k[s][h * HD + i] / 2.0;
                    most = p[s] > most ? p[s] : most;
                }
                for (size_t s = 0; s <= t; s++) total += p[s] = exp(p[s] - most);
                for (size_t s = 0; s <= t; s++)
                    for (size_t i = 0; i < HD; i++) all[h * HD + i] += p[s] / total * v[s][h * HD + i];
            }
            times(T("mix.wo.weight"), D, D, all, y[t]);
            for (size_t i = 0; i < D; i++) y[t][i] += (double)T("mix.wo.bias")[i];
            times(T("think.choose.weight"), EXPERTS, D, in, score);
            size_t first = 0, second = 0;
            for (size_t e = 1; e < EXPERTS; e++) first = score[e] > score[first] ? e : first;
            second = first ? 0 : 1;
            for (size_t e = 0; e < EXPERTS; e++) second = e != first && score[e] > score[second] ? e : second;
            for (size_t c = 0; c < 2; c++) {
                size_t e = c ? second : first;
                double w = exp(score[e]) / (exp(score[first]) + exp(score[second]));
                char part[40];
                snprintf(part, sizeof part, "think.each.%d.up.weight", (int)e);
                times(T(part), WIDTH, D, in, mid);
                for (size_t i = 0; i < WIDTH; i++) mid[i] = mid[i] > 0 ? mid[i] : 0;
                snprintf(part, sizeof part, "think.each.%d.down.weight", (int)e);
                times(T(part), D, WIDTH, mid, out);
                for (size_t i = 0; i < D; i++) y[t][i] += 0.5 * w * out[i];
            }
        }
        for (size_t t = 0; t < OWN_N; t++)
            for (size_t i = 0; i < D; i++) x[t][i] += y[t][i];
#undef T
    }
    for (size_t t = 0; t < OWN_N; t++) {
        normalize(x[t], D, tensor(g, "net.after.weight"), false, 1, 1e-5);
        times(tensor(g, "out.weight"), VOCAB, D, x[t], logits + t * VOCAB);
        for (size_t i = 0; i < VOCAB; i++) logits[t * VOCAB + i] = 30 * tanh(logits[t * VOCAB + i] / 30);
    }
}
/* Catches: features that work only in the combinations that there are; a description that is not what runs. */
static void test_own(void **state) {
    static const char config[] = "{\"model_type\": \"mine\", \"hidden_size\": 16, \"num_attention_heads\": 4, "
                                 "\"vocab_size\": 24, \"depth\": 2, \"width\": 12}";
    static const struct {
        const char *name;
        size_t rows, cols;
        float a;
    } part[] = {{"before", 0, D, 1}, {"mix.nq", 0, HD, 1}, {"mix.nk", 0, HD, 1}, {"mix.{wq,wk,wv,wo}", D, D, 0},
                {"think.choose", EXPERTS, D, 0}, {"think.each.{0..3}.up", WIDTH, D, 0},
                {"think.each.{0..3}.down", D, WIDTH, 0}};
    static double want[OWN_N * VOCAB];
    static const int32_t ids[OWN_N] = {3, 17, 0, 23, 5, 5, 11, 2, 19};
    char name[120], text[sizeof own + 10];
    cq_context ctx = plain();
    cq_error err;
    model g;
    golden source;
    shape s;
    (void)state;
    memset(&s, 0, sizeof s);
    memset(&g, 0, sizeof g);
    built = 0;
    for (size_t i = 0; i < COUNT(part); i++) {
        s.ndim = part[i].rows ? 2 : 1;
        s.dim[0] = part[i].rows ? part[i].rows : part[i].cols;
        s.dim[1] = part[i].cols;
        snprintf(name, sizeof name, "net.stack.{0..1}.%s.weight", part[i].name);
        expand(name, false, s, part[i].a, 0.5f);
    }
    s.ndim = 1;
    s.dim[0] = D;
    expand("net.stack.{0..1}.mix.wo.bias", false, s, 0, 0.5f);
    expand("net.after.weight", false, s, 0, 0.5f);
    s.ndim = 2;
    s.dim[0] = VOCAB;
    s.dim[1] = D;
    expand("{net.words,out}.weight", false, s, 0, 1);
    g.w = sorted(building, built);
    g.config = (const char *)copy_of(config, sizeof config - 1);
    g.config_len = sizeof config - 1;
    assert_int_equal(bind_model(&g, &err), CQ_ERR_UNSUPPORTED); /* nobody knows it */
    assert_true(err.name_len == 4 && !memcmp(err.name, "mine", 4));
    if (bind_text(&g, own, &err)) fail_msg("%s: %.*s", err.what, (int)err.name_len, err.name);
    assert_int_equal(g.m->layers, 2);
    assert_int_equal(g.m->block_count, 4);
    own_logits(&g, ids, want);
    memset(&source, 0, sizeof source);
    memcpy(source.ids, ids, sizeof ids);
    source.n = OWN_N;
    float *whole = run(&ctx, g.m, &source, 2, 0, false), *cached = run(&ctx, g.m, &source, 0, 3, false);
    for (size_t i = 0; i < OWN_N * VOCAB; i++)
        if (!(fabs((double)whole[i] - want[i]) < 1e-4 && fabs((double)cached[i] - want[i]) < 1e-4))
            fail_msg("logit %zu is %g, cached %g, should be %g", i, (double)whole[i], (double)cached[i], want[i]);
    /* one letter wrong anywhere: an error that tells the place, or a tensor or key */
    static const struct {
        const char *right, *wrong;
        cq_status status;
        const char *name;
        int where; /* from the begin of the wrong text, or -1 */
    } row[] = {{"embed ", "embet ", CQ_ERR_FORMAT, "embet", 0}, {"causal ", "causel ", CQ_ERR_FORMAT, "causel", 0},
               {"top_k=2", "top_k=5", CQ_ERR_RANGE, NULL, -1},
               {"count=depth", "count=dept ", CQ_ERR_MISSING, "dept", -1},
               {"q=wq ", "q=wx ", CQ_ERR_MISSING, "net.stack.0.mix.wx.weight", -1},
               {"wo+ ", "wo  ", CQ_ERR_FORMAT, "net.stack.0.mix.wo.bias", -1},
               {"'relu'", "'rexu'", CQ_ERR_UNSUPPORTED, "rexu", -1}, {"alibi=true", "alibi=tru ", CQ_OK, NULL, -1},
               {"inter=width", "inter=9    ", CQ_ERR_FORMAT, "net.stack.0.think.each.0.up.weight", -1},
               {"beside router", "besids router", CQ_ERR_FORMAT, "besids", 0},
               {":rms1", ":rmz1", CQ_ERR_FORMAT, ".after:rmz1", -1},
               {"#.down", "x.down", CQ_ERR_MISSING, NULL, -1}, {"renorm=true", "renorm=1+  ", CQ_ERR_FORMAT, NULL, -1}};
    for (size_t i = 0; i < COUNT(row); i++) {
        strcpy(text, own);
        char *at = strstr(text, row[i].right);
        assert_non_null(at);
        memcpy(at, row[i].wrong, strlen(row[i].wrong));
        cq_status st = bind_text(&g, text, &err);
        if (st != row[i].status || (row[i].where >= 0 && err.where != (uint64_t)(at - text + row[i].where)) ||
            (row[i].name && (err.name_len != strlen(row[i].name) || memcmp(err.name, row[i].name, err.name_len))))
            complain("%s: status %d at %d: %s: %.*s\n", row[i].wrong, (int)st, (int)err.where, st ? err.what : "",
                     st ? (int)err.name_len : 0, st ? err.name : "");
    }
    no_complaints();
}

/* ---- rotations by configuration ---------------------------------------------------------------------------------- */
static cq_json json_of(const char *text) {
    cq_arena a = cq_arena_over(NULL, 0), b;
    cq_json j;
    check(cq_json_parse(&j, text, strlen(text), &a, err));
    b = arena_of(a.used);
    check(cq_json_parse(&j, text, strlen(text), &b, err));
    return j;
}
/* The plan of a configuration, its size query first; NULL: refused, and *err says why. */
static cq_rotate_plan *config_plan(const cq_context *ctx, const cq_model *m, const cq_json *j, cq_error *err) {
    cq_rotate_plan *plan = (cq_rotate_plan *)get(sizeof *plan);
    cq_arena a = cq_arena_over(NULL, 0), b;
    cq_status st = cq_rotate_plan_config(plan, ctx, m, j, 1, &a, err);
    if (st) {
        check_error(st, err);
        return NULL;
    }
    b = arena_of(a.used - 1);
    assert_int_equal(cq_rotate_plan_config(plan, ctx, m, j, 1, &b, err), CQ_ERR_MEMORY);
    b = arena_of(a.used);
    check(cq_rotate_plan_config(plan, ctx, m, j, 1, &b, err));
    assert_int_equal(a.used, b.used);
    return plan;
}
static const char *builtin_text(const char *name) {
    const char *text = NULL, *at;
    for (size_t i = 0; (at = cq_rotate_builtin(i, &text)) != NULL && strcmp(at, name) != 0; i++) {}
    assert_non_null(at);
    return text;
}

/* What mtq.rotate reads in a configuration: all entries that match a name, [input, output] of the last. */
static size_t literal_pair(const cq_json *j, const char *name, size_t len, cq_str pair[2]) {
    size_t found = 0;
    pair[0].n = pair[1].n = 0;
    pair[0].p = pair[1].p = NULL;
    for (uint32_t key = cq_json_child(j, cq_json_find(j, 0, "rotation_config")); key; key = cq_json_next(j, key)) {
        const char *p = j->text + j->nodes[key].begin, *end = j->text + j->nodes[key].end;
        bool hit = false;
        while (p <= end) {
            size_t n = 0;
            while (p + n < end && p[n] != '|') n++;
            hit = hit || cq_glob(p, n, name, len);
            p += n + 1;
        }
        uint32_t side = cq_json_child(j, cq_json_child(j, key));
        for (size_t i = 0; hit && i < 2; i++, side = cq_json_next(j, side)) {
            pair[i].n = cq_json_is_null(j, side) ? 0 : j->nodes[side].end - j->nodes[side].begin;
            pair[i].p = j->text + j->nodes[side].begin;
        }
        found += hit;
    }
    return found;
}
/* Where auto and the built-in configurations differ, and why auto is right. */
static const struct {
    const char *model, *module, *input, *output, *why;
} apart[] = {
    {"mixtral", "model.layers.*.block_sparse_moe.gate", "r1", "", "the router reads the stream; no pattern names it"},
};
static const struct {
    const char *model, *config;
    bool same; /* and the same bytes: matrices are of one mode */
} builtin_rows[] = {{"llama", "transformer_universal", true},
                    {"qwen2", "transformer_universal", true},
                    {"mixtral", "transformer_universal", true},
                    {"nemotron_h", "nemotron_h", false}};
static void builtin_one(golden *g) {
    cq_context ctx = plain();
    cq_rotate_plan plan, *config;
    cq_parts cursor;
    cq_part part;
    cq_error err;
    size_t r = 0, seen = 0, modules = 0;
    while (r < COUNT(builtin_rows) && strcmp(g->name, builtin_rows[r].model)) r++;
    if (r == COUNT(builtin_rows)) return;
    assert_true(runs(g));
    cq_json j = json_of(builtin_text(builtin_rows[r].config));
    assert_true(plan_of(&ctx, g->model.m, &plan));
    config = config_plan(&ctx, g->model.m, &j, &err);
    assert_non_null(config);
    memset(&cursor, 0, sizeof cursor);
    while (cq_model_part(g->model.m, &plan, &cursor, &part)) {
        cq_str has[2], also[2], literal[2];
        size_t len = part.name_len - 7, i = 0; /* without .weight */
        if (!part.matrix) continue;
        modules++;
        cq_part_rotation(&plan, g->model.m, &part, &has[0], &has[1]);
        cq_part_rotation(config, g->model.m, &part, &also[0], &also[1]);
        if (literal_pair(&j, part.name, len, literal) > 1) complain("%s: %s is named twice\n", g->name, part.name);
        while (i < COUNT(apart) && (strcmp(apart[i].model, g->name) ||
                                    !cq_glob(apart[i].module, strlen(apart[i].module), part.name, len)))
            i++;
        for (size_t k = 0; k < 2; k++) {
            const char *right = i < COUNT(apart) ? (k ? apart[i].output : apart[i].input) : literal[k].p;
            size_t n = i < COUNT(apart) ? strlen(right) : literal[k].n;
            if (has[k].n != n || (n && memcmp(has[k].p, right, n)))
                complain("%s: %s, side %d: auto has '%.*s'\n", g->name, part.name, (int)k, (int)has[k].n, has[k].p);
            if (also[k].n != has[k].n || (has[k].n && memcmp(also[k].p, has[k].p, has[k].n)))
                complain("%s: %s, side %d: completed to '%.*s'\n", g->name, part.name, (int)k, (int)also[k].n,
                         also[k].p);
        }
        if (i < COUNT(apart) && literal[0].n) complain("%s: %s is named after all\n", g->name, part.name);
        seen += i < COUNT(apart);
        if (!builtin_rows[r].same) continue;
        float *a = (float *)get(2 * part.rows * part.cols * sizeof *a), *b = a + part.rows * part.cols;
        check(cq_part_read(&ctx, g->model.m, &plan, &part, 0, part.rows, a, err));
        check(cq_part_read(&ctx, g->model.m, config, &part, 0, part.rows, b, err));
        if (memcmp(a, b, part.rows * part.cols * sizeof *a)) complain("%s: %s has other bytes\n", g->name, part.name);
    }
    if ((seen != 0) != !strcmp(g->name, "mixtral")) complain("%s: %d exceptions\n", g->name, (int)seen);
    if (modules < 10) complain("%s: %d modules\n", g->name, (int)modules);
    ran++;
}
/* Catches: auto that leaves out what the reference turns, or turns what it rightly leaves; a configuration that is
   completed to something else than auto; other seeds. */
static void test_config_builtin(void **state) {
    (void)state;
    ran = 0;
    each_golden(builtin_one, 1);
    if (!getenv("CQUANT_TEST_MODEL")) assert_int_equal(ran, COUNT(builtin_rows));
    no_complaints();
}

/* Configurations, as JSON with ' for ": refused with an error that holds `want`, or exact with notes that hold it. */
#define MATRICES                                                                                                       \
    "'rotation_matrices': {'r1': {'dim': 'hidden_size', 'mode': 'hadamard', 'per_layer': false},"                     \
    " 'r2': {'dim': 'head_dim', 'mode': 'hadamard', 'per_layer': true}, 'q': {'dim': 8, 'mode': 'orthogonal'},"        \
    " 'b': {'dim': 16, 'mode': 'base_hadamard', 'per_layer': '*self_attn'}, 'w': {'dim': 6, 'per_layer': false}}, "
#define ENTRIES(text) "{" MATRICES "'rotation_config': {" text "}}"
#define NORMS(text) "{'norm_fuse_config': {" text "}}"
static const struct {
    const char *model, *config, *want;
    cq_status status;
} config_rows[] = {
    /* grammar */
    {"llama", "[]", "should be an object", CQ_ERR_FORMAT},
    {"llama", "{}", "turns nothing", CQ_ERR_UNSUPPORTED},
    {"llama", "{'x': 1}", "no other key: x", CQ_ERR_FORMAT},
    {"llama", "{'use_float64': 1}", "true or false: use_float64", CQ_ERR_FORMAT},
    {"llama", "{'rotation_config': []}", "should be an object: rotation_config", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': 1}}", "an object with dim", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {}}}", "should have a dim", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a/b': {'dim': 1}}}", "without blanks and /", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 0}}}", "between 1 and 2^24: 0", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 1e15}}}", "between 1 and 2^24: 1e15", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 1.5}}}", "a number, or the name of a key", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 'hidden'}}}", "hidden; such keys are", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 'model_type'}}}", "hidden_size", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 8, 'mode': 'random'}}}", "or orthogonal: random", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 8, 'per_layer': 1}}}", "or a pattern of modules: 1", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'a': {'dim': 8, 'seed': 1}}}", "no other key: seed", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['r1']"), "[input, output]", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['r1', null, null]"), "[input, output]", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': 'r1'"), "[input, output]", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['r3', null]"), "'r3' in the entry '*q_proj'; defined are 'r1' 'r2'", CQ_ERR_FORMAT},
    {"llama", NORMS("'x': []"), "no other key: x", CQ_ERR_FORMAT},
    {"llama", NORMS("'lm_head_fuse': {}"), "should be a list", CQ_ERR_FORMAT},
    {"llama", NORMS("'decoder_layer_fuse': [['input_layernorm']]"), "[norm, [readers]]", CQ_ERR_FORMAT},
    {"llama", NORMS("'decoder_layer_fuse': [['input_layernorm', [1]]]"), "should be their names", CQ_ERR_FORMAT},
    /* what cannot be */
    {"llama", ENTRIES("'*q_proj': ['r1', 'r2']"), "layers.0.self_attn.q_proj' in the entry '*q_proj': its output",
     CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*down_proj': ['r1', 'r1']"), "its input should be null", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*lm_head': ['r1', 'r1']"), "its output should be null", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj|*k_proj': ['r1', null], '*layers.0*q_proj': ['r1', null]"),
     "matches '*q_proj|*k_proj' and '*layers.0*q_proj'", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['r1', null], '*layers.0*q_proj': null"), "two entries", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*qproj': ['r1', null]"), "'*qproj'; near are model.layers.*.self_attn.q_proj", CQ_ERR_MISSING},
    {"llama", ENTRIES("'*q_proj': ['r2', null]"), "per_layer of 'r2' should be false", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['w', null]"), "its input has 64 channels, and the dim of 'w' is 6", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*o_proj': ['w', null]"), "its input has 16 channels a head", CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*q_proj': ['r1', null], '*o_proj': [null, 'q']"), "the entry '*q_proj' turns the same stream",
     CQ_ERR_FORMAT},
    {"llama", ENTRIES("'*v_proj': [null, 'r2'], '*o_proj': ['q', null]"), "turns the other end by 'r2'", CQ_ERR_FORMAT},
    {"llama", "{'rotation_matrices': {'b': {'dim': 16, 'per_layer': '*v_proj'}}, 'rotation_config': {"
              "'*v_proj': [null, 'b'], '*o_proj': ['b', null]}}", "such as *self_attn", CQ_ERR_FORMAT},
    {"gemma2", ENTRIES("'*q_proj': ['r1', null]"), "in the way stands a norm after a block", CQ_ERR_UNSUPPORTED},
    {"gemma2", NORMS("'lm_head_fuse': [['model.norm', 'lm_head']]"), "a norm after a block", CQ_ERR_UNSUPPORTED},
    {"gemma2", NORMS("'decoder_layer_fuse': [['post_attention_layernorm', ['mlp.up_proj']]]"), "behind a block",
     CQ_ERR_UNSUPPORTED},
    {"qwen3_next", ENTRIES("'*o_proj': ['r2', null]"), "a gate of single values", CQ_ERR_UNSUPPORTED},
    {"mixtral", ENTRIES("'*block_sparse_moe.gate': ['r1', 'q']"), "its outputs are weights of experts", CQ_ERR_FORMAT},
    {"deepseek_v3", ENTRIES("'*q_a_proj': ['r1', 'r1']"), "its output should be null", CQ_ERR_FORMAT},
    {"deepseek_v3", ENTRIES("'*q_b_proj': ['r1', null]"), "its input is the latent", CQ_ERR_FORMAT},
    {"llama", NORMS("'decoder_layer_fuse': [['input_layernorm', ['mlp.up_proj']]]"),
     "but it reads 'post_attention_layernorm'", CQ_ERR_FORMAT},
    {"llama", NORMS("'decoder_layer_fuse': [['ln', ['mlp.up_proj']]]"),
     "'ln'; what reads the stream has 'input_layernorm'", CQ_ERR_MISSING},
    {"llama", NORMS("'decoder_layer_fuse': [['input_layernorm', ['attn.q']]]"), "near are", CQ_ERR_MISSING},
    {"llama", NORMS("'lm_head_fuse': [['norm', 'lm_head']]"), "is 'model.norm'", CQ_ERR_MISSING},
    /* what is right, and what was added to it */
    {"llama", ENTRIES("'*q_proj': ['r1', null]"), "+model.layers.*.self_attn.o_proj: [null, r1]", CQ_OK},
    {"llama", ENTRIES("'*q_proj': ['q', null], '*v_proj': ['q', 'q']"), "+model.layers.*.self_attn.o_proj: [q, q]",
     CQ_OK},
    {"llama", ENTRIES("'*v_proj': [null, 'r2']"), "+model.layers.*.self_attn.o_proj: [r2, null]", CQ_OK},
    {"llama", ENTRIES("'*o_proj': ['b', null]"), "+model.layers.*.self_attn.v_proj: [null, b]", CQ_OK},
    {"llama", ENTRIES("'*o_proj': ['q', null]"), "-'r1'", CQ_OK},
    {"llama", "{'use_float64': false, 'norm_fuse_config': {'decoder_layer_fuse': [['input_layernorm', "
              "['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']]]}}",
     "+model.layers.*.mlp.up_proj: the gain of post_attention_layernorm", CQ_OK},
    {"gpt2", NORMS("'lm_head_fuse': [['transformer.ln_f', ['lm_head']]]"), "+lm_head: a tensor of its own", CQ_OK},
    {"gpt2", ENTRIES("'*c_fc': ['r1', null]"), "-'hidden_size' is 64", CQ_OK},
    {"gpt2", ENTRIES("'*c_fc': ['r1', null]"), "+: a reflection behind R1", CQ_OK},
    {"gpt2__scaled_layers", ENTRIES("'*mlp.c_proj': [null, 'q']"), "+lm_head: a tensor of its own", CQ_OK},
    {"gemma", ENTRIES("'*embed_tokens': ['r1', null]"), "-: norms that hold w of 1 + w", CQ_OK},
    {"gemma2", ENTRIES("'*v_proj': [null, 'r2']"), "+model.layers.*.self_attn.o_proj: [r2, null]", CQ_OK},
    {"phi3", ENTRIES("'*v_proj': ['r1', 'r2']"), "-model.layers.*.self_attn.qkv_proj: at its output r2", CQ_OK},
    {"qwen2", ENTRIES("'*v_proj': ['r1', 'r2']"), "-: biases", CQ_OK},
    {"qwen2_moe", ENTRIES("'*lm_head': ['r1', null]"), "+model.layers.*.mlp.shared_expert_gate: [r1, null]", CQ_OK},
    {"gpt_oss", ENTRIES("'*down_proj': [null, 'r1']"), "+model.layers.*.mlp.experts.gate_up_proj.*: [r1, null]", CQ_OK},
    {"deepseek_v3", ENTRIES("'*o_proj': ['q', 'r1']"), "+model.layers.*.self_attn.kv_b_proj: [null, q]", CQ_OK},
    {"llava__qwen2", ENTRIES("'*q_proj': ['r1', null]"), "+", CQ_OK},
};
static char *quotes(const char *text) {
    char *t = (char *)copy_of(text, strlen(text) + 1);
    for (char *c = t; *c; c++)
        if (*c == '\'') *c = '"';
    return t;
}
static char *no_quotes(const char *text) { /* errors have them around some names */
    char *t = (char *)copy_of(text, strlen(text) + 1), *to = t;
    for (const char *c = text; *c; c++)
        if (*c != '\'') *to++ = *c;
    *to = 0;
    return t;
}
static void config_one(golden *g) {
    cq_context ctx = plain();
    bool ready = false;
    for (size_t i = 0; i < COUNT(config_rows); i++) {
        cq_error err;
        char text[1200];
        model turned;
        size_t elements;
        bool swapped, found = false;
        if (strcmp(config_rows[i].model, g->name)) continue;
        if (!ready) assert_true(runs(g));
        ready = true;
        ran++;
        cq_json j = json_of(quotes(config_rows[i].config));
        memset(&err, 0, sizeof err);
        cq_rotate_plan *plan = config_plan(&ctx, g->model.m, &j, &err);
        if (!plan) {
            snprintf(text, sizeof text, "%s: %.*s", err.what, (int)err.name_len, err.name);
            if (err.status != config_rows[i].status || !strstr(no_quotes(text), no_quotes(config_rows[i].want)))
                complain("%s: %s: status %d: %s\n", g->name, config_rows[i].config, (int)err.status, text);
            continue;
        }
        if (config_rows[i].status) {
            complain("%s: %s: is not refused\n", g->name, config_rows[i].config);
            continue;
        }
        for (const cq_rotate_note *n = plan->notes; n; n = n->next) {
            snprintf(text, sizeof text, "%c%s%s%s", n->completed ? '+' : '-', n->module,
                     *n->module || !strchr(n->what, '\'') ? ": " : "", n->what);
            found = found || !strncmp(text, config_rows[i].want, strlen(config_rows[i].want));
        }
        if (!found) complain("%s: %s: no note '%s'\n", g->name, config_rows[i].config, config_rows[i].want);
        assert_int_equal(plan->use_float64, !strstr(config_rows[i].config, "false, 'norm"));
        if (!export_model(&ctx, g, plan, NULL, &turned, &elements, &swapped)) continue;
        float *want = run(&ctx, g->model.m, g, 0, 0, false), *got = run(&ctx, turned.m, g, 0, 0, false);
        double far = distance(got, want, g->n * turned.m->vocab) / g->std;
        if (!(far <= 2e-4)) complain("%s: %s: logits off by %.2g std\n", g->name, config_rows[i].config, far);
    }
}
/* Catches: a configuration that is done although it is wrong, an error that does not say where and what would be right,
   a side, a norm or a matrix that is not added, and is then missing in the logits. */
static void test_config(void **state) {
    (void)state;
    ran = 0;
    each_golden(config_one, 1);
    if (!getenv("CQUANT_TEST_MODEL")) assert_int_equal(ran, COUNT(config_rows));
    no_complaints();
}

/* matrices out of a plan and into another one */
static void import_one(golden *g) {
    cq_context ctx = plain();
    cq_rotate_plan plan;
    cq_rotate_matrix at;
    const double *matrix[16];
    double *damaged;
    model turned;
    size_t count = 0, elements;
    bool swapped;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0), b;
    if (strcmp(g->name, "gpt2") && strcmp(g->name, "llama")) return;
    assert_true(runs(g) && plan_of(&ctx, g->model.m, &plan));
    for (; cq_rotate_plan_matrix(&plan, g->model.m, count, &at); count++) {
        char name[32];
        double *x = (double *)get(at.r->n * at.r->n * sizeof *x);
        assert_true(count < COUNT(matrix));
        cq_rotation_matrix(at.r, x);
        matrix[count] = x;
        snprintf(name, sizeof name, count ? "r2.%d" : "r1", (int)count - 1);
        assert_string_equal(at.file, name);
    }
    assert_int_equal(count, 1 + g->model.m->layers);
    check(cq_rotate_plan_import(&plan, &ctx, g->model.m, NULL, &a, err));
    b = arena_of(a.used);
    damaged = (double *)copy_of(matrix[1], plan.r2[0].n * plan.r2[0].n * sizeof *damaged);
    for (int k = 0; k < 3; k++) { /* not orthogonal, though of length 1; hardly; not a number */
        const double *good = matrix[1];
        damaged[3] = k == 0 ? -damaged[3] : k == 1 ? good[3] + 2e-5 : (double)NAN;
        matrix[1] = damaged;
        cq_arena c = b;
        cq_rotate_plan other = plan;
        assert_int_equal(cq_rotate_plan_import(&other, &ctx, g->model.m, matrix, &c, &err), CQ_ERR_RANGE);
        assert_int_equal(err.name_len, 4);
        assert_memory_equal(err.name, "r2.0", 4);
        matrix[1] = good;
    }
    check(cq_rotate_plan_import(&plan, &ctx, g->model.m, matrix, &b, err));
    assert_int_equal(a.used, b.used);
    assert_int_equal(plan.r2[0].mode, CQ_ROTATE_DENSE);
    if (!export_model(&ctx, g, &plan, NULL, &turned, &elements, &swapped)) return;
    float *want = run(&ctx, g->model.m, g, 0, 0, false), *got = run(&ctx, turned.m, g, 0, 0, false);
    double far = distance(got, want, g->n * turned.m->vocab) / g->std;
    if (!(far <= 1e-5)) complain("%s: imported: logits off by %.2g std\n", g->name, far);
    ran++;
}
/* Catches: matrices that get lost on the way out or in, or in another place; one that is no rotation. */
static void test_config_import(void **state) {
    (void)state;
    ran = 0;
    each_golden(import_one, 1);
    if (!getenv("CQUANT_TEST_MODEL")) assert_int_equal(ran, 2);
    no_complaints();
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, free_all)
    const struct CMUnitTest tests[] = {
        TEST(test_forward), TEST(test_parts), TEST(test_rotation), TEST(test_online), TEST(test_quantize),
        TEST(test_calibrate), TEST(test_crafted), TEST(test_groups), TEST(test_parse), TEST(test_like), TEST(test_expressions),
        TEST(test_rotate_any),
        TEST(test_lent), TEST(test_damage), TEST(test_damage_bound), TEST(test_own), TEST(test_config_builtin),
        TEST(test_config), TEST(test_config_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
