/* Hostile JSON, safetensors, .cq files and quantised checkpoints. One entry, used in two ways:
     clang -g -O1 -DCQ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. tests/fuzz_files.c -o fuzz && ./fuzz
     cc -g -O1 -fsanitize=address,undefined -I. tests/fuzz_files.c -o fuzz_files && ./fuzz_files 100000
   The second mutates the seeds below N times, always in the same way. The first byte of an input chooses the reader.
   Catches: reads outside of the file (the sanitizer sees the end of an exact copy), overflow, endless loops, size
   queries that differ from use, and views of what was accepted that lie outside of the file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_error(cq_status status, const cq_error *err) {
    volatile unsigned char touched = 0;
    CHECK(status == err->status && err->what && *err->what);
    for (size_t i = 0; i < err->name_len; i++) /* a name must be readable */
        touched = (unsigned char)(touched ^ (unsigned char)err->name[i]);
}

static void fuzz_json(const unsigned char *data, size_t size) {
    cq_json j;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    char out[64];
    cq_status status = cq_json_parse(&j, (const char *)data, size, &a, &err);
    if (status) {
        CHECK(status == CQ_ERR_FORMAT && err.where <= size);
        return;
    }
    size_t need = a.used;
    void *mem = malloc(need);
    a = cq_arena_over(mem, need);
    status = cq_json_parse(&j, (const char *)data, size, &a, &err);
    if (status) {
        CHECK(status == CQ_ERR_FORMAT); /* a key twice, never a lack of memory */
        check_error(status, &err);
    } else {
        CHECK(a.used == need);
        for (uint32_t i = 0; i < j.count; i++) {
            const cq_json_node *n = &j.nodes[i];
            int64_t v;
            float f;
            bool b;
            uint32_t children = 0;
            CHECK(n->begin <= n->end && n->end <= size && n->next < j.count && n->child < j.count);
            CHECK((n->next == 0 || n->next > i) && (n->child == 0 || n->child > i)); /* no cycles */
            cq_json_unescape(&j, i, out, sizeof out);
            if (cq_json_int(&j, i, &v)) CHECK(cq_json_float(&j, i, &f));
            cq_json_bool(&j, i, &b);
            for (uint32_t c = cq_json_child(&j, i); c && children < 100; c = cq_json_next(&j, c), children++)
                if (cq_json_kind(&j, i) == CQ_JSON_OBJECT) {
                    size_t len = cq_json_unescape(&j, c, out, sizeof out);
                    if (len <= sizeof out) CHECK(cq_json_find_n(&j, i, out, len) == cq_json_child(&j, c));
                }
        }
    }
    free(mem);
}

/* Every tensor lies in the file, is found by its name, and can be read to its last element. */
static void check_weights(const cq_weights *w, const unsigned char *file, size_t size) {
    static float row[4096];
    volatile unsigned char touched = 0;
    for (size_t i = 0; i < w->count; i++) {
        const cq_named *t = &w->list[i];
        CHECK(cq_weights_find(w, t->name, t->name_len) == t);
        CHECK(t->data >= file && t->bytes <= size - (size_t)(t->data - file));
        if (t->bytes > 0) touched = (unsigned char)(touched ^ t->data[0] ^ t->data[t->bytes - 1]);
        if (t->t.data && t->t.rows > 0 && t->t.cols > 0 && t->t.cols <= 4096) {
            cq_tensor_row(&t->t, 0, row);
            cq_tensor_row(&t->t, t->t.rows - 1, row);
        }
    }
}

static void fuzz_safetensors(const unsigned char *data, size_t size) {
    cq_weights w;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    cq_status status = cq_safetensors_read(data, size, 0, &a, &w, &err);
    if (status) {
        check_error(status, &err);
        return;
    }
    size_t need = a.used;
    void *mem = malloc(need ? need : 1);
    a = cq_arena_over(mem, need);
    status = cq_safetensors_read(data, size, 0, &a, &w, &err);
    CHECK(status != CQ_ERR_MEMORY);
    if (status) check_error(status, &err);
    else check_weights(&w, data, size);
    free(mem);
}

static void fuzz_cq(unsigned char *data, size_t size) {
    cq_file f;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    if (size >= 192) { /* make the checksum right, or nothing behind it would be tested */
        uint64_t head = cq__u64(data + 16);
        if (head >= 192 && head <= size) cq__put64(data + 32, cq__file_head_sum(data, (size_t)head));
    }
    cq_status status = cq_file_open(&f, data, size, &a, &err);
    if (status) {
        check_error(status, &err);
        return;
    }
    size_t need = a.used;
    void *mem = malloc(need ? need : 1);
    a = cq_arena_over(mem, need);
    status = cq_file_open(&f, data, size, &a, &err);
    CHECK(status != CQ_ERR_MEMORY);
    if (status) {
        check_error(status, &err);
    } else {
        check_weights(&f.weights, data, size);
        for (size_t i = 0; i < CQ_SECTION_COUNT; i++)
            CHECK(f.section[i].data >= data && f.section[i].size <= size - (size_t)(f.section[i].data - data));
        status = cq_file_check(&f, &err);
        if (status) check_error(status, &err);
    }
    free(mem);
}

static unsigned long accepted; /* checkpoints */
/* Two bytes: the length of the configuration, which is followed by a safetensors file. */
static void fuzz_checkpoint(const unsigned char *data, size_t size) {
    static float row[4096];
    cq_context ctx;
    cq_json j;
    cq_weights stored, w;
    cq_error err;
    if (size < 2) return;
    size_t text = (size_t)data[0] | (size_t)data[1] << 8;
    if (text > size - 2) return;
    const unsigned char *file = data + 2 + text;
    size_t file_size = size - 2 - text;
    cq_arena a = cq_arena_over(NULL, 0);
    if (cq_json_parse(&j, (const char *)data + 2, text, &a, &err)) return;
    void *nodes = malloc(a.used);
    a = cq_arena_over(nodes, a.used);
    cq_arena b = cq_arena_over(NULL, 0);
    void *list = NULL, *mem = NULL;
    if (cq_json_parse(&j, (const char *)data + 2, text, &a, &err) ||
        cq_safetensors_read(file, file_size, 0, &b, &stored, &err))
        goto end;
    list = malloc(b.used ? b.used : 1);
    b = cq_arena_over(list, b.used);
    if (cq_safetensors_read(file, file_size, 0, &b, &stored, &err)) goto end;
    CHECK(!cq_init(&ctx, NULL, NULL));
    a = cq_arena_over(NULL, 0);
    cq_status status = cq_checkpoint_read(&ctx, &j, 0, &stored, &a, &w, &err);
    if (status) {
        check_error(status, &err);
        goto end;
    }
    size_t need = a.used;
    CHECK(need < (size_t)1 << 30); /* a small file does not ask for much */
    mem = malloc(need);
    a = cq_arena_over(mem, need);
    status = cq_checkpoint_read(&ctx, &j, 0, &stored, &a, &w, &err);
    CHECK(status != CQ_ERR_MEMORY);
    if (status) {
        check_error(status, &err);
        goto end;
    }
    CHECK(a.used == need);
    accepted++;
    for (size_t i = 0; i < w.count; i++) {
        const cq_named *t = &w.list[i];
        CHECK(cq_weights_find(&w, t->name, t->name_len) == t);
        if (t->dtype != CQ_DTYPE_PACKED || t->t.cols > 4096) continue;
        cq_tensor_row(&t->t, 0, row);
        cq_tensor_row(&t->t, t->t.rows - 1, row);
    }
end:
    free(mem);
    free(list);
    free(nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    unsigned char *copy = (unsigned char *)malloc(size); /* exact; data[1] becomes copy[0], aligned for .cq files */
    memcpy(copy, data + 1, size - 1);
    copy = (unsigned char *)realloc(copy, size > 1 ? size - 1 : 1);
    switch (data[0] % 4) {
    case 0: fuzz_json(copy, size - 1); break;
    case 1: fuzz_safetensors(copy, size - 1); break;
    case 3: fuzz_checkpoint(copy, size - 1); break;
    default: fuzz_cq(copy, size - 1);
    }
    free(copy);
    return 0;
}

/* ---- seeds ------------------------------------------------------------------------------------------------------- */
#define SEED_MAX 4096
static size_t seed_cq(unsigned char *out) {
    static const struct {
        const char *name;
        cq_format format;
        cq_layout layout;
        size_t rows, cols, group;
        bool asym;
    } row[] = {{"model.w", CQ_INT4, CQ_PANELS, 3, 40, 32, true},
               {"a", CQ_F32, CQ_ROWS, 1, 3, 0, false},
               {"model.v", CQ_INT3, CQ_PANELS, 1, 32, 0, false},
               {"none", CQ_F16, CQ_ROWS, 0, 5, 0, false},
               {"model.u", CQ_BF16, CQ_PANELS, 2, 3, 0, false}};
    cq_named list[5];
    unsigned char mem[1024];
    uint64_t section[CQ_SECTION_COUNT] = {2, 0, 5, 7};
    cq_arena a = cq_arena_over(mem, sizeof mem);
    cq_file_layout l;
    cq_checksum sum;
    memset(list, 0, sizeof list);
    for (size_t i = 0; i < 5; i++) {
        list[i].name = row[i].name;
        list[i].name_len = strlen(row[i].name);
        list[i].ndim = 2;
        list[i].shape[0] = row[i].rows;
        list[i].shape[1] = row[i].cols;
        CHECK(!cq_tensor_init(&list[i].t, row[i].format, row[i].layout, row[i].rows, row[i].cols, row[i].group,
                              row[i].asym, NULL));
    }
    CHECK(!cq_file_plan(&l, list, 5, section, &a, NULL) && l.file_bytes < SEED_MAX);
    memset(out, 0, (size_t)l.file_bytes);
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, out + l.head_bytes, (size_t)(l.file_bytes - l.head_bytes));
    cq_file_header(&l, cq_checksum_value(&sum), out);
    return (size_t)l.file_bytes;
}

static const char *const seed_json[] = {
    ("{\"model_type\":\"x\",\"n\":[1,-2.5e-3,12345678901234567890,NaN,-Infinity],"
     "\"t\":{\"a\\u00e9\\ud83d\\ude00\":true},\"z\":null}"),
    "[[[[[[[[1]]]],{\"a\":[],\"b\":{}}]]],\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[0.1,1e-45,3.4028235677973366e38,1.17549435e-38,9223372036854775807,-9223372036854775808,100e-2]"};
static const char *const seed_safetensors[] = {
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"b\\n\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[8,16]}}",
    "{\"e\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]},"
    "\"c\":{\"data_offsets\":[0,16],\"shape\":[2,1,1,2,1,1],\"dtype\":\"F32\"}}"};

/* A linear (8, 64) of groups of 32 with 4 bits, whatever its codes are. */
static const struct {
    const char *config, *header;
    size_t bytes;
} seed_checkpoint[] = {
    {"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"sym\":false,\"checkpoint_format\":\"gptq_v2\","
     "\"dynamic\":{\"-:x\":{}}}",
     "{\"q.g_idx\":{\"dtype\":\"I32\",\"shape\":[64],\"data_offsets\":[0,256]},"
     "\"q.qweight\":{\"dtype\":\"I32\",\"shape\":[8,8],\"data_offsets\":[256,512]},"
     "\"q.qzeros\":{\"dtype\":\"I32\",\"shape\":[2,1],\"data_offsets\":[512,520]},"
     "\"q.scales\":{\"dtype\":\"F16\",\"shape\":[2,8],\"data_offsets\":[520,552]}}", 552},
    {"{\"bits\":3,\"group_size\":-1,\"sym\":true,\"format\":\"gptq\"}",
     "{\"q.qweight\":{\"dtype\":\"I32\",\"shape\":[3,8],\"data_offsets\":[0,96]},"
     "\"q.qzeros\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[96,100]},"
     "\"q.scales\":{\"dtype\":\"F32\",\"shape\":[1,8],\"data_offsets\":[100,132]}}", 132},
    {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"targets\":[\"Linear\",\"q\"],\"weights\":"
     "{\"num_bits\":4,\"group_size\":32}}}}",
     "{\"q.weight_packed\":{\"dtype\":\"I32\",\"shape\":[8,8],\"data_offsets\":[0,256]},"
     "\"q.weight_scale\":{\"dtype\":\"F16\",\"shape\":[8,2],\"data_offsets\":[256,288]},"
     "\"q.weight_shape\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[288,304]},"
     "\"q.weight_zero_point\":{\"dtype\":\"I32\",\"shape\":[1,2],\"data_offsets\":[304,312]}}", 312},
    {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{}}",
     "{\"q.weight_packed\":{\"dtype\":\"U8\",\"shape\":[8,32],\"data_offsets\":[0,256]},"
     "\"q.weight_scale\":{\"dtype\":\"U8\",\"shape\":[8,2],\"data_offsets\":[256,272]},"
     "\"r.weight_packed\":{\"dtype\":\"U8\",\"shape\":[4,24],\"data_offsets\":[272,368]},"
     "\"r.weight_scale\":{\"dtype\":\"F8_E8M0\",\"shape\":[4,1],\"data_offsets\":[368,372]}}", 372},
    {"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"weights\":{\"num_bits\":8}}}}",
     "{\"q.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[8,33],\"data_offsets\":[0,264]},"
     "\"q.weight_scale\":{\"dtype\":\"BF16\",\"shape\":[8,1],\"data_offsets\":[264,280]},"
     "\"r.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[4,32],\"data_offsets\":[280,408]},"
     "\"r.weight_scale\":{\"dtype\":\"U8\",\"shape\":[4,1],\"data_offsets\":[408,412]}}", 412}};

static size_t seed_of_checkpoint(size_t i, unsigned char *out) {
    size_t text = strlen(seed_checkpoint[i].config), head = strlen(seed_checkpoint[i].header);
    out[0] = (unsigned char)text;
    out[1] = (unsigned char)(text >> 8);
    memcpy(out + 2, seed_checkpoint[i].config, text);
    unsigned char *file = out + 2 + text, *data = file + 8 + head;
    cq__put64(file, head);
    memcpy(file + 8, seed_checkpoint[i].header, head);
    memset(data, 0, seed_checkpoint[i].bytes);
    if (i == 0)
        for (size_t k = 0; k < 64; k++) cq__put32(data + 4 * k, (uint32_t)(k / 32));
    if (i == 2) {
        cq__put64(data + 288, 8);
        cq__put64(data + 296, 64);
    }
    return 2 + text + 8 + head + seed_checkpoint[i].bytes;
}

/* Seed i into out; its size, 0 behind the last. */
static size_t seed_make(size_t i, unsigned char *out) {
    size_t n;
    out[0] = 0;
    if (i < 3) {
        n = strlen(seed_json[i]);
        memcpy(out + 1, seed_json[i], n);
        return 1 + n;
    }
    out[0] = 1;
    if (i < 5) {
        n = strlen(seed_safetensors[i - 3]);
        cq__put64(out + 1, n);
        memcpy(out + 9, seed_safetensors[i - 3], n);
        memset(out + 9 + n, 0, 16);
        return 9 + n + 16;
    }
    if (i < 10) {
        out[0] = 3;
        return 1 + seed_of_checkpoint(i - 5, out + 1);
    }
    out[0] = 2;
    return i == 10 ? 1 + seed_cq(out + 1) : 0;
}

#ifndef CQ_LIBFUZZER
static uint64_t counter;
static uint64_t rnd(uint64_t below) { return cq_random(1, 2, counter++) % below; }

static size_t mutate(unsigned char *data, size_t n) {
    static const uint64_t odd[] = {0, 1, 2, 63, 64, 96, 255, 1024, 65535, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff,
                                   0xffffffffffffffff, 0x8000000000000000, 0x4000000000000001};
    static const char text[] = "{}[]\",:\\0123456789.eE+-untrflsabdIN \n";
    for (uint64_t edits = 1 + rnd(4); edits > 0 && n > 1; edits--) {
        size_t at = 1 + (size_t)rnd(n - 1), from = 1 + (size_t)rnd(n - 1), len = 1 + (size_t)rnd(16);
        switch (rnd(8)) {
        case 0: data[at] ^= (unsigned char)(1u << rnd(8)); break;
        case 1: data[at] = (unsigned char)rnd(256); break;
        case 2: data[at] = (unsigned char)text[rnd(sizeof text - 1)]; break;
        case 3: n = at; break; /* cut off */
        case 4: /* a number of 8 bytes, or its neighbours */
            at -= (at - 1) % 4;
            if (n - at < 8) break;
            cq__put64(data + at, rnd(2) ? odd[rnd(15)] : cq__u64(data + at) + (rnd(2) ? 1 : (uint64_t)-1));
            break;
        case 5: /* copy over */
            if (len > n - at) len = n - at;
            if (len > n - from) len = n - from;
            memmove(data + at, data + from, len);
            break;
        case 6: /* take out */
            if (len > n - at) len = n - at;
            memmove(data + at, data + at + len, n - at - len);
            n -= len;
            break;
        default: /* put in, from elsewhere */
            if (len > n - from) len = n - from;
            if (n + len > SEED_MAX) break;
            memmove(data + at + len, data + at, n - at);
            memmove(data + at, data + (from < at ? from : from + (from + 2 * len <= n ? len : 0)), len);
            n += len;
        }
    }
    return n;
}

int main(int argc, char **argv) {
    static unsigned char seed[SEED_MAX + 1], data[SEED_MAX + 1];
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, done = 0;
    size_t seeds = 0, n;
    if (argc > 2) { /* write the seeds into a directory, for a real fuzzer to begin with */
        for (size_t i = 0; (n = seed_make(i, seed)) > 0; i++) {
            char name[1000];
            snprintf(name, sizeof name, "%s/seed%u", argv[2], (unsigned)i);
            FILE *file = fopen(name, "wb");
            CHECK(file && fwrite(seed, 1, n, file) == n && !fclose(file));
        }
    }
    while ((n = seed_make(seeds, seed)) > 0) {
        LLVMFuzzerTestOneInput(seed, n);
        seeds++;
    }
    CHECK(accepted == sizeof seed_checkpoint / sizeof *seed_checkpoint); /* the seeds are good ones */
    for (; done < runs; done++) {
        n = seed_make(done % seeds, seed);
        memcpy(data, seed, n);
        n = mutate(data, n);
        LLVMFuzzerTestOneInput(data, n);
    }
    printf("fuzz_files: %lu mutations of %u seeds\n", done, (unsigned)seeds);
    return 0;
}
#endif
