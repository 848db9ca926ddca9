/* JSON, safetensors and .cq files: good ones by hand, every error once, damage at every byte.
   cc -std=c99 -O1 -g -fsanitize=address,undefined -I. tests/test_files.c -lcmocka -lm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

/* ---- JSON -------------------------------------------------------------------------------------------------------- */
/* Parses a copy that is exactly as long as the text, so that the sanitizer sees a read behind it, into an arena that is
   exactly as large as the size query says. */
typedef struct doc {
    cq_json j;
    cq_error err;
    cq_status status;
    char *text;
    void *mem;
} doc;

static void doc_free(doc *d) {
    free(d->text);
    free(d->mem);
}

static doc parse_n(const char *text, size_t n) {
    doc d;
    cq_arena a = cq_arena_over(NULL, 0);
    memset(&d, 0, sizeof d);
    d.text = (char *)malloc(n ? n : 1);
    memcpy(d.text, text, n);
    d.status = cq_json_parse(&d.j, d.text, n, &a, &d.err);
    if (d.status) return d;
    size_t need = a.used;
    assert_null(d.j.nodes);
    d.mem = malloc(need ? need : 1);
    a = cq_arena_over(d.mem, need);
    d.status = cq_json_parse(&d.j, d.text, n, &a, &d.err);
    if (!d.status) assert_int_equal(a.used, need); /* query and use agree */
    return d;
}

static doc parse(const char *text) { return parse_n(text, strlen(text)); }

/* Catches: a grammar that takes too much, and errors at the wrong byte. */
static void test_json_errors(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t where;
    } bad[] = {{"", 0}, {"  ", 2}, {"{", 1}, {"[", 1}, {"[1,]", 3}, {"[,1]", 1}, {"{\"a\":1,}", 7}, {"{\"a\" 1}", 5},
               {"{\"a\":}", 5}, {"{a:1}", 1}, {"{1:1}", 1}, {"01", 1}, {"-", 1}, {"1.", 2}, {"1.e3", 2}, {"1e", 2},
               {"1e+", 3}, {".5", 0}, {"+1", 0}, {"-01", 2}, {"tru", 0}, {"nulL", 0}, {"nullx", 4}, {"-NaN", 1},
               {"Nan", 0}, {"-Infinit", 1}, {"\"", 1}, {"\"\\", 2}, {"\"\\x\"", 2}, {"\"\\u12g4\"", 5},
               {"\"\\u12", 5}, {"\"a\nb\"", 2}, {"\"\t\"", 1}, {"1 2", 2}, {"{}{}", 2}, {"[1}", 2}, {"{]", 1},
               {"{\"a\":1]", 6}, {"[1 2]", 3}, {"]", 0}, {"[1]]", 3}, {"\xef\xbb\xbf{}", 0}, {"'a'", 0}, {"/**/1", 0},
               {"{\"a\":1,\"b\":2,\"a\":3}", 14}, {"{\"a\":1,\"\\u0061\":2}", 8}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        doc d = parse(bad[i].text);
        if (d.status != CQ_ERR_FORMAT || d.err.where != bad[i].where)
            fail_msg("%s: status %d at byte %d", bad[i].text, (int)d.status, (int)d.err.where);
        assert_non_null(d.err.what);
        doc_free(&d);
    }
    doc d = parse("{\"k\\u00e9y\":1,\"k\xc3\xa9y\":2}"); /* the error names the key */
    assert_int_equal(d.status, CQ_ERR_FORMAT);
    assert_int_equal(d.err.name_len, 4);
    assert_memory_equal(d.err.name, "k\xc3\xa9y", 4);
    doc_free(&d);
}

/* Catches: a document that is cut off and taken for whole, and reads behind its end (with the sanitizer). */
static void test_json_truncated(void **state) {
    (void)state;
    const char *text = "{\"a\":[1.5e-3,-2,true,false,null,\"x\\u00e9\\n\",{}],"
                       "\"b\":{\"c\":[],\"d\":NaN,\"e\":-Infinity}}";
    for (size_t n = 0; n <= strlen(text); n++) {
        doc d = parse_n(text, n);
        assert_int_equal(d.status, n == strlen(text) ? CQ_OK : CQ_ERR_FORMAT);
        doc_free(&d);
    }
}

/* Catches: wrong links between nodes, wrong order, lookups that miss. */
static void test_json_tree(void **state) {
    (void)state;
    doc d = parse(" {\"z\": [1, [2, 3], {}], \"text_config\": {\"hidden_size\": 64, \"rope\": {\"theta\": 1e4}},\n"
                  "  \"b\": true, \"n\": null, \"\": \"empty\", \"e\\\"\\ud83d\\ude00\": false} ");
    const cq_json *j = &d.j;
    int64_t v = -1;
    bool b = false;
    float f = 0;
    assert_int_equal(d.status, CQ_OK);
    assert_int_equal(cq_json_kind(j, 0), CQ_JSON_OBJECT);
    assert_int_equal(j->nodes[0].count, 6);
    uint32_t z = cq_json_find(j, 0, "z"), c = cq_json_child(j, z);
    assert_int_equal(j->nodes[z].count, 3);
    assert_true(cq_json_int(j, c, &v) && v == 1);
    c = cq_json_next(j, c);
    assert_int_equal(cq_json_kind(j, c), CQ_JSON_ARRAY);
    assert_int_equal(j->nodes[c].count, 2);
    assert_true(cq_json_int(j, cq_json_next(j, cq_json_child(j, c)), &v) && v == 3);
    c = cq_json_next(j, c);
    assert_int_equal(cq_json_kind(j, c), CQ_JSON_OBJECT);
    assert_int_equal(cq_json_child(j, c), 0);
    assert_int_equal(cq_json_next(j, c), 0);
    assert_int_equal(j->text[j->nodes[c].begin], '{');
    assert_int_equal(j->text[j->nodes[c].end - 1], '}');
    assert_true(cq_json_int(j, cq_json_path(j, 0, "text_config.hidden_size"), &v) && v == 64);
    assert_true(cq_json_float(j, cq_json_path(j, 0, "text_config.rope.theta"), &f) && f == 10000.0f);
    assert_int_equal(cq_json_path(j, 0, "text_config.absent.theta"), 0);
    assert_int_equal(cq_json_path(j, 0, "b.x"), 0);
    assert_true(cq_json_bool(j, cq_json_find(j, 0, "b"), &b) && b);
    assert_true(cq_json_bool(j, cq_json_find(j, 0, "e\"\xf0\x9f\x98\x80"), &b) && !b);
    assert_true(cq_json_is_null(j, cq_json_find(j, 0, "n")));
    assert_true(cq_json_string_eq(j, cq_json_find(j, 0, ""), "empty"));
    assert_false(cq_json_string_eq(j, cq_json_find(j, 0, ""), "empt"));
    assert_false(cq_json_string_eq(j, cq_json_find(j, 0, ""), "empty2"));
    assert_false(cq_json_string_eq(j, 0, "empty"));
    assert_int_equal(cq_json_find(j, 0, "nope"), 0);
    assert_int_equal(cq_json_find(j, z, "a"), 0); /* no object */
    assert_false(cq_json_bool(j, z, &b));
    assert_false(cq_json_int(j, z, &v));
    assert_false(cq_json_float(j, 9999, &f)); /* no node */
    size_t keys = 0;
    for (c = cq_json_child(j, 0); c; c = cq_json_next(j, c)) { /* in the order of the text */
        static const char *const want[] = {"z", "text_config", "b", "n", "", "e\"\xf0\x9f\x98\x80"};
        assert_true(cq_json_string_eq(j, c, want[keys++]));
    }
    assert_int_equal(keys, 6);
    doc_free(&d);
}

static void check_string(const char *json, const char *want, size_t n) {
    char out[64];
    doc d = parse(json);
    assert_int_equal(d.status, CQ_OK);
    assert_int_equal(cq_json_unescape(&d.j, 0, NULL, 0), n);
    assert_int_equal(cq_json_unescape(&d.j, 0, out, sizeof out), n);
    assert_memory_equal(out, want, n);
    if (n > 0) { /* a buffer that is one short keeps what fits */
        out[n - 1] = 'Q';
        assert_int_equal(cq_json_unescape(&d.j, 0, out, n - 1), n);
        assert_int_equal(out[n - 1], 'Q');
    }
    doc_free(&d);
}

/* Catches: wrong UTF-8 of escapes, halves of surrogates that eat what follows, writes behind the buffer. */
static void test_json_strings(void **state) {
    (void)state;
    check_string("\"\"", "", 0);
    check_string("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t", 9);
    check_string("\"\\u0000\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
                 "\0\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 12);
    check_string("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    check_string("\"\\ud800x\\udc00\"", "\xef\xbf\xbdx\xef\xbf\xbd", 7);
    check_string("\"\\ud800\\ud800\\udc00\"", "\xef\xbf\xbd\xf0\x90\x80\x80", 7);
    check_string("\"\\ud800\\n\"", "\xef\xbf\xbd\n", 4);
    check_string("\"\xff\x80 passes\"", "\xff\x80 passes", 9);
}

/* Catches: integers rounded through floating point, overflow that wraps, fractions taken. */
static void test_json_int(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } row[] = {{"0", true, 0}, {"-0", true, 0}, {"7", true, 7}, {"-12", true, -12}, {"1.0e3", true, 1000},
               {"1.5e1", true, 15}, {"100e-2", true, 1}, {"0e99999999999999999999", true, 0}, {"0.000", true, 0},
               {"12345.6789e4", true, 123456789}, {"9007199254740993", true, 9007199254740993},
               {"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN},
               {"9223372036854775808", false, 0}, {"-9223372036854775809", false, 0},
               {"10000000000000000000", false, 0},
               {"1e19", false, 0}, {"1e18", true, 1000000000000000000}, {"92233720368547758070e-1", true, INT64_MAX},
               {"1e99999999999999999999", false, 0}, {"1e-99999999999999999999", false, 0}, {"1.5", false, 0},
               {"15e-1", false, 0}, {"0.1", false, 0}, {"NaN", false, 0}, {"-Infinity", false, 0}, {"\"1\"", false, 0},
               {"true", false, 0}, {"null", false, 0}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int64_t v = 0;
        doc d = parse(row[i].text);
        assert_int_equal(d.status, CQ_OK);
        if (cq_json_int(&d.j, 0, &v) != row[i].ok || v != row[i].want)
            fail_msg("%s gave %lld", row[i].text, (long long)v);
        doc_free(&d);
    }
}

static uint64_t seed = 1;
static uint32_t rnd(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void check_float(const char *text) {
    float f = 0, want = strtof(text, NULL);
    doc d = parse(text);
    assert_int_equal(d.status, CQ_OK);
    assert_true(cq_json_float(&d.j, 0, &f));
    if (memcmp(&f, &want, 4)) fail_msg("%s: %a, strtof %a", text, (double)f, (double)want);
    doc_free(&d);
}

/* Catches: rounding that is off by one bit, at ties above all; glibc's strtof rounds correctly. */
static void test_json_float(void **state) {
    (void)state;
    static const char *const edge[] = {
        "0", "-0", "0.0e5", "1", "1e-45", "7e-46", "7.1e-46", "-7.1e-46", "1e-46", "1e-400", "1.1754943508222875e-38",
        "1.17549435e-38", "1.1754942e-38", "3.4028234663852886e+38", "3.4028235677973366e38", "3.4028235677973365e38",
        "3.5e38", "1e39", "1e400", "-1e400", "16777217", "16777217.0000000000000000000000000000000001", "16777219",
        "9.99999e-5", "0.02", "1e-6", "1e-05", "10000.0", "1000000.0", "0.1e-0", "123456789012345678901234567890"};
    char text[400];
    doc d;
    float f;
    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) check_float(edge[i]);
    for (int i = 0; i < 100000; i++) {
        int n = 0;
        if (rnd() & 1) text[n++] = '-';
        uint32_t u = rnd() & 0x7fffffffu;
        switch (rnd() % 4) {
        case 0: /* what a float prints as */
            if (u >= 0x7f800000u) continue;
            n += sprintf(text + n, "%.*g", 6 + (int)(rnd() % 6), (double)float_of(u));
            break;
        case 1: /* half way between two floats, exactly, and a little above */
            if (rnd() & 1) u &= 0x007fffffu; /* subnormal */
            if (u >= 0x7f7fffffu) continue;
            n += sprintf(text + n, "%.150e", ((double)float_of(u) + (double)float_of(u + 1)) / 2);
            if (rnd() & 1) strchr(text, 'e')[-1] = '1';
            break;
        case 2: n += sprintf(text + n, "%u.%u", (unsigned)(rnd() % 100000), (unsigned)rnd()); break;
        default: /* many digits */
            text[n++] = (char)('1' + rnd() % 9);
            if (rnd() & 1) text[n++] = '.';
            for (unsigned k = rnd() % 200 + 1; k > 0; k--) text[n++] = (char)('0' + rnd() % 10);
            n += sprintf(text + n, "e%d", (int)(rnd() % 100) - 60);
        }
        text[n] = 0;
        check_float(text);
    }
    d = parse("[NaN, Infinity, -Infinity]");
    uint32_t c = cq_json_child(&d.j, 0);
    assert_true(cq_json_float(&d.j, c, &f) && f != f);
    c = cq_json_next(&d.j, c);
    assert_true(cq_json_float(&d.j, c, &f) && f > FLT_MAX);
    assert_true(cq_json_float(&d.j, cq_json_next(&d.j, c), &f) && f < -FLT_MAX);
    doc_free(&d);
}

/* Catches: recursion, a depth that is off by one, and bits of the scanner's stack that are lost. */
static void test_json_depth(void **state) {
    (void)state;
    char text[1000];
    for (size_t depth = 60; depth <= 70; depth++) {
        size_t n = 0;
        for (size_t i = 0; i < depth; i++) n += (size_t)sprintf(text + n, "%s", i % 3 == 1 ? "{\"a\":" : "[");
        text[n++] = '1';
        for (size_t i = depth; i-- > 0;) text[n++] = i % 3 == 1 ? '}' : ']';
        doc d = parse_n(text, n);
        assert_int_equal(d.status, depth <= CQ_JSON_DEPTH ? CQ_OK : CQ_ERR_FORMAT);
        doc_free(&d);
    }
}

/* Catches: quadratic search for duplicates (this would take minutes), lookups that depend on the order of the keys. */
static void test_json_many_keys(void **state) {
    (void)state;
    const size_t keys = 100000;
    char *text = (char *)malloc(keys * 32), name[32];
    size_t n = 0, last = 0;
    text[n++] = '{';
    for (size_t i = 0; i < keys; i++) {
        last = n;
        n += (size_t)sprintf(text + n, "%s\"token%u\":%u", i ? "," : "", (unsigned)(i * 7919 % keys), (unsigned)i);
    }
    text[n++] = '}';
    doc d = parse_n(text, n);
    assert_int_equal(d.status, CQ_OK);
    for (size_t i = 0; i < keys; i += 997) {
        int64_t v;
        sprintf(name, "token%u", (unsigned)(i * 7919 % keys));
        assert_true(cq_json_int(&d.j, cq_json_find(&d.j, 0, name), &v) && v == (int64_t)i);
    }
    doc_free(&d);
    text[last + 7] = text[last + 8]; /* the last key, token92081, becomes token22081, which was there */
    d = parse_n(text, n);
    assert_int_equal(d.status, CQ_ERR_FORMAT);
    assert_int_equal(d.err.where, last + 2);
    doc_free(&d);
    free(text);
}

/* Catches: use of an arena that is too small. */
static void test_json_memory(void **state) {
    (void)state;
    cq_json j;
    cq_error err;
    cq_arena a = cq_arena_over(NULL, 0);
    const char *text = "{\"a\":[1,2,3,4,5,6,7,8],\"b\":2}";
    assert_int_equal(cq_json_parse(&j, text, strlen(text), &a, &err), CQ_OK);
    size_t need = a.used;
    unsigned char *mem = (unsigned char *)malloc(need);
    for (size_t n = 0; n < need; n += 7) {
        a = cq_arena_over(mem, n);
        assert_int_equal(cq_json_parse(&j, text, strlen(text), &a, &err), CQ_ERR_MEMORY);
    }
    free(mem);
    if (sizeof(size_t) > 4) assert_int_equal(cq_json_parse(&j, text, UINT32_MAX, &a, &err), CQ_ERR_RANGE);
}

/* ---- safetensors ------------------------------------------------------------------------------------------------- */
typedef struct st {
    cq_weights w;
    cq_error err;
    cq_status status;
    unsigned char *file; /* one byte off a boundary: nothing may rely on alignment */
    size_t size;
    void *mem;
} st;

static void st_free(st *s) {
    if (s->file) free(s->file - 1);
    free(s->mem);
}

static st st_read_bytes(const unsigned char *bytes, size_t size) {
    st s;
    cq_arena a = cq_arena_over(NULL, 0);
    memset(&s, 0, sizeof s);
    s.file = (unsigned char *)malloc(size + 1) + 1;
    s.size = size;
    memcpy(s.file, bytes, size);
    s.status = cq_safetensors_read(s.file, size, 3, &a, &s.w, &s.err);
    if (s.status) return s;
    size_t need = a.used;
    assert_null(s.w.list);
    s.mem = malloc(need ? need : 1);
    if (need > 0) {
        a = cq_arena_over(s.mem, need - 1);
        assert_int_equal(cq_safetensors_read(s.file, size, 3, &a, &s.w, &s.err), CQ_ERR_MEMORY);
    }
    a = cq_arena_over(s.mem, need);
    s.status = cq_safetensors_read(s.file, size, 3, &a, &s.w, &s.err);
    if (!s.status) assert_int_equal(a.used, need);
    return s;
}

static size_t st_make(unsigned char *out, const char *header, size_t body) {
    size_t n = strlen(header);
    memset(out, 0, 8);
    out[0] = (unsigned char)n;
    out[1] = (unsigned char)(n >> 8);
    memcpy(out + 8, header, n);
    for (size_t i = 0; i < body; i++) out[8 + n + i] = (unsigned char)i;
    return 8 + n + body;
}

static st st_read(const char *header, size_t body) {
    static unsigned char file[8192];
    return st_read_bytes(file, st_make(file, header, body));
}

#define ENTRY(name, dtype, shape, begin, end)                                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

/* Catches: views that point elsewhere, shapes folded wrongly, a list that is not sorted. */
static void test_safetensors_good(void **state) {
    (void)state;
    st s = st_read("{" ENTRY("w.b", "F32", "2,3", 8, 32) ",\"__metadata__\":{\"format\":\"pt\",\"a\\n\":\"\"},"
                   ENTRY("a\\u00e9\\\"", "BF16", "4", 0, 8) "," ENTRY("ids", "I64", "", 32, 40) ","
                   ENTRY("w", "F16", "2,2,3", 40, 64) "," ENTRY("none", "F32", "0,7", 64, 64) ","
                   ENTRY("many", "U8", "1,2,1,1,3,2", 64, 76) "," ENTRY("f4", "F4", "3,2", 76, 79) "}  \n", 79);
    assert_int_equal(s.status, CQ_OK);
    assert_int_equal(s.w.count, 7);
    const unsigned char *body = s.file + s.size - 79;
    static const char *const sorted[] = {"a\xc3\xa9\"", "f4", "ids", "many", "none", "w", "w.b"};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(s.w.list[i].name_len, strlen(sorted[i]));
        assert_memory_equal(s.w.list[i].name, sorted[i], strlen(sorted[i]));
        assert_ptr_equal(cq_weights_find(&s.w, sorted[i], strlen(sorted[i])), &s.w.list[i]);
        assert_int_equal(s.w.list[i].file, 3);
    }
    assert_null(cq_weights_find(&s.w, "w.", 2));
    assert_null(cq_weights_find(&s.w, "", 0));
    assert_null(cq_weights_find(&s.w, "zz", 2));
    const cq_named *t = cq_weights_find(&s.w, "w.b", 3);
    assert_true(t->dtype == CQ_DTYPE_F32 && t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 3 && t->shape[2] == 0);
    assert_true(t->t.format == CQ_F32 && t->t.layout == CQ_ROWS && t->t.rows == 2 && t->t.cols == 3);
    assert_int_equal(t->t.bytes, 24);
    assert_true(t->t.data == body + 8 && t->data == body + 8 && t->bytes == 24);
    t = cq_weights_find(&s.w, "a\xc3\xa9\"", 4);
    assert_true(t->dtype == CQ_DTYPE_BF16 && t->t.format == CQ_BF16);
    assert_true(t->t.rows == 1 && t->t.cols == 4 && t->ndim == 1);
    t = cq_weights_find(&s.w, "ids", 3);
    assert_true(t->dtype == CQ_DTYPE_I64 && !t->t.data && t->data == body + 32 && t->ndim == 0 && t->t.rows == 1 &&
                t->t.cols == 1 && t->bytes == 8);
    t = cq_weights_find(&s.w, "w", 1);
    assert_true(t->t.format == CQ_F16 && t->t.rows == 4 && t->t.cols == 3 && t->ndim == 3);
    t = cq_weights_find(&s.w, "none", 4);
    assert_true(t->t.rows == 0 && t->t.cols == 7 && t->bytes == 0 && t->t.data == body + 64);
    t = cq_weights_find(&s.w, "many", 4);
    assert_true(t->ndim == 6 && t->shape[2] == 1 && t->shape[3] == 6 && t->t.rows == 6 && t->t.cols == 2);
    st_free(&s);
    s = st_read("{}", 0);
    assert_true(s.status == CQ_OK && s.w.count == 0);
    st_free(&s);
}

/* Catches: each check of the reader that is missing; the errors name the tensor. */
static void test_safetensors_errors(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t body;
        const char *name, *what; /* a part of the text */
    } bad[] = {
        {"", 0, "", "begin with '{'"},
        {"  {}", 0, "", "begin with '{'"},
        {"[]", 0, "", "begin with '{'"},
        {"{", 0, "", "key"},
        {"{} x", 0, "", "follows the end"},
        {"{\"a\":1}", 0, "a", "object was expected"},
        {"{" ENTRY("a", "F31", "1", 0, 4) "}", 4, "a", "dtype"},
        {"{" ENTRY("a", "packed", "1", 0, 4) "}", 4, "a", "dtype"},
        {"{\"a\":{\"dtype\":5}}", 4, "a", "dtype"},
        {"{" ENTRY("a", "F32", "-1", 0, 4) "}", 4, "a", "digits only"},
        {"{" ENTRY("a", "F32", "1.0", 0, 4) "}", 4, "a", "digits only"},
        {"{" ENTRY("a", "F32", "\"1\"", 0, 4) "}", 4, "a", "number was expected"},
        {"{" ENTRY("a", "F32", "9223372036854775808", 0, 4) "}", 4, "a", "above 2^63"},
        {"{" ENTRY("a", "F32", "4294967296,4294967296,4", 0, 4) "}", 4, "a", "above 2^64"},
        {"{" ENTRY("a", "F32", "4611686018427387904", 0, 4) "}", 4, "a", "above 2^64"},
        {"{" ENTRY("a", "F32", "2305843009213693953", 0, 4) "}", 4, "a", "above 2^64"}, /* wraps to 4 bytes */
        {"{" ENTRY("a", "F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "a", "8 dimensions"},
        {"{" ENTRY("a", "F32", "1", 0, 8) "}", 8, "a", "span"},
        {"{" ENTRY("a", "F32", "3", 0, 8) "}", 8, "a", "span"},
        {"{" ENTRY("a", "F4", "3", 0, 1) "}", 1, "a", "whole number"},
        {"{" ENTRY("a", "F32", "1", 4, 0) "}", 8, "a", "end before"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "}", 3, "a", "behind the file"},
        {"{" ENTRY("a", "F32", "1", 18446744073709551612, 0) "}", 4, "a", "above 2^63"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "," ENTRY("b", "F32", "1", 2, 6) "}", 6, "b", "overlap"},
        {"{" ENTRY("b", "F32", "1", 0, 4) "," ENTRY("a", "F32", "1", 0, 4) "}", 4, "?", "overlap"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "," ENTRY("b", "F32", "1", 8, 12) "}", 12, "b", "gap"},
        {"{" ENTRY("a", "F32", "1", 4, 8) "}", 8, "a", "gap"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "}", 8, "", "no tensor"},
        {"{}", 1, "", "no tensor"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "," ENTRY("a", "F32", "1", 4, 8) "}", 8, "a", "twice"},
        {"{" ENTRY("a", "F32", "1", 0, 4) "," ENTRY("\\u0061", "F32", "1", 4, 8) "}", 8, "a", "twice"},
        {"{\"\":{}}", 0, "", "1 to 1024"},
        {"{" ENTRY("a\\u0000b", "F32", "1", 0, 4) "}", 4, "a\\u0000b", "zero"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a", "needs dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "a", "field is there twice"},
        {"{\"a\":{\"type\":\"F32\"}}", 4, "a", "nothing else"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1}}", 4, "a", "list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]]}}", 4, "a", "number was expected"},
        {"{\"a\":{\"data_offsets\":{}}}", 4, "a", "list"},
        {"{\"a\":{\"data_offsets\":[0]}}", 4, "a", "number was expected"},
        {"{\"a\":{\"data_offsets\":[0,4,8]}}", 4, "a", "two numbers"},
        {"{\"__metadata__\":[]}", 0, "", "object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "", "texts only"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "", "twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        st s = st_read(bad[i].header, bad[i].body);
        if (s.status != CQ_ERR_FORMAT || !strstr(s.err.what, bad[i].what) ||
            (*bad[i].name != '?' && (s.err.name_len != strlen(bad[i].name) ||
                                     memcmp(s.err.name ? s.err.name : "", bad[i].name, s.err.name_len))))
            fail_msg("%s: status %d, %s, name %.*s", bad[i].header, (int)s.status, s.err.what, (int)s.err.name_len,
                     s.err.name ? s.err.name : "");
        st_free(&s);
    }
    /* a name of 1024 bytes, and one of 1025 */
    char header[1200], name[1100];
    for (size_t n = 1024; n <= 1025; n++) {
        memset(name, 'n', n);
        name[n] = 0;
        sprintf(header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        st s = st_read(header, 1);
        assert_int_equal(s.status, n == 1024 ? CQ_OK : CQ_ERR_FORMAT);
        st_free(&s);
    }
    /* lengths of the header: behind the file, just behind it, over the limit, all ones */
    static const unsigned char lengths[4][8] = {
        {255, 0}, {3, 0}, {1, 225, 245, 5}, {255, 255, 255, 255, 255, 255, 255, 255}};
    for (size_t i = 0; i < 4; i++) {
        unsigned char file[10];
        memcpy(file, lengths[i], 8);
        memcpy(file + 8, "{}", 2);
        st s = st_read_bytes(file, 10);
        assert_int_equal(s.status, CQ_ERR_FORMAT);
        st_free(&s);
    }
    if (sizeof(size_t) > 4) { /* more than this machine can have, though there is no byte of it */
        st s = st_read("{" ENTRY("a", "F32", "0,9223372036854775807", 0, 0) "}", 0);
        assert_int_equal(s.status, CQ_ERR_RANGE);
        st_free(&s);
    }
}

/* Catches: reads behind a file that is cut off, and a cut that goes unseen. */
static void test_safetensors_truncated(void **state) {
    (void)state;
    unsigned char file[1024];
    size_t size = st_make(file, "{\"__metadata__\":{\"a\":\"b\"}," ENTRY("a", "F32", "2", 0, 8) ","
                                ENTRY("b\\n", "I8", "3", 8, 11) "}", 11);
    for (size_t n = 0; n <= size; n++) {
        st s = st_read_bytes(file, n);
        assert_int_equal(s.status, n == size ? CQ_OK : CQ_ERR_FORMAT);
        st_free(&s);
    }
    for (size_t i = 0; i < 8 * (size - 11); i++) { /* bits of the header: any answer, but no crash */
        file[i / 8] ^= (unsigned char)(1u << i % 8);
        st s = st_read_bytes(file, size);
        st_free(&s);
        file[i / 8] ^= (unsigned char)(1u << i % 8);
    }
}

static cq_named named(const char *name, cq_dtype dtype, uint8_t ndim, uint64_t d0, uint64_t d1, uint64_t d2) {
    cq_named n;
    memset(&n, 0, sizeof n);
    n.name = name;
    n.name_len = strlen(name);
    n.dtype = (uint8_t)dtype;
    n.ndim = ndim;
    n.shape[0] = d0;
    n.shape[1] = d1;
    n.shape[2] = d2;
    return n;
}

/* Catches: a header that our reader, or the reference one, does not take; offsets that differ from those in it. */
static void test_safetensors_write(void **state) {
    (void)state;
    cq_named list[4];
    uint64_t at[5];
    size_t need = 0, again = 0;
    cq_error err;
    list[0] = named("model.w", CQ_DTYPE_F32, 2, 3, 5, 0);
    list[1] = named("a \"quoted\"\\\n\x01 name \xc3\xa9", CQ_DTYPE_BF16, 3, 2, 1, 7);
    list[2] = named("scalar", CQ_DTYPE_I64, 0, 0, 0, 0);
    list[3] = named("empty", CQ_DTYPE_F16, 1, 0, 0, 0);
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_OK);
    assert_int_equal(need % 8, 0);
    unsigned char *file = (unsigned char *)calloc(1, need + 96);
    assert_int_equal(cq_safetensors_header(list, 4, file, need - 1, &again, NULL, &err), CQ_ERR_MEMORY);
    assert_int_equal(cq_safetensors_header(list, 4, file, need, &again, at, &err), CQ_OK);
    assert_int_equal(again, need);
    assert_true(at[0] == need && at[1] == need + 60 && at[2] == need + 88 && at[3] == need + 96 && at[4] == need + 96);
    st s = st_read_bytes(file, need + 96);
    assert_int_equal(s.status, CQ_OK);
    assert_int_equal(s.w.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const cq_named *t = cq_weights_find(&s.w, list[i].name, list[i].name_len);
        assert_non_null(t);
        assert_true(t->dtype == list[i].dtype && t->ndim == list[i].ndim && !memcmp(t->shape, list[i].shape, 32));
        assert_true((uint64_t)(t->data - s.file) == at[i]);
    }
    st_free(&s);
    free(file);
    list[3].ndim = 5;
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_ERR_ARG);
    list[3] = named("", CQ_DTYPE_F16, 1, 0, 0, 0);
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_ERR_ARG);
    list[3] = named("p", CQ_DTYPE_PACKED, 1, 1, 0, 0);
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_ERR_ARG);
    list[3] = named("big", CQ_DTYPE_F16, 2, UINT64_MAX / 2, 8, 0);
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_ERR_RANGE);
    list[3] = named("half", CQ_DTYPE_F4, 1, 3, 0, 0);
    assert_int_equal(cq_safetensors_header(list, 4, NULL, 0, &need, NULL, &err), CQ_ERR_RANGE);
}

/* Catches: a union that loses, doubles or misplaces tensors. */
static void test_merge(void **state) {
    (void)state;
    enum { N = 300 };
    static cq_named list[3][N];
    static char names[N][8];
    cq_weights part[3], w;
    cq_error err;
    memset(part, 0, sizeof part);
    for (size_t p = 0; p < 3; p++) part[p].list = list[p];
    for (size_t i = 0; i < N; i++) {
        size_t p = i * 7 % 11 % 3;
        sprintf(names[i], "t%03u", (unsigned)i);
        list[p][part[p].count] = named(names[i], CQ_DTYPE_F32, 1, i, 0, 0);
        list[p][part[p].count++].file = (uint32_t)p;
    }
    cq_arena a = cq_arena_over(NULL, 0);
    assert_int_equal(cq_weights_merge(part, 3, &a, &w, &err), CQ_OK);
    size_t need = a.used;
    assert_int_equal(w.count, N);
    void *mem = malloc(need ? need : 1);
    a = cq_arena_over(mem, need);
    assert_int_equal(cq_weights_merge(part, 3, &a, &w, &err), CQ_OK);
    assert_int_equal(a.used, need);
    for (size_t i = 0; i < N; i++) {
        assert_string_equal(w.list[i].name, names[i]);
        assert_int_equal(w.list[i].shape[0], i);
        assert_int_equal(w.list[i].file, i * 7 % 11 % 3);
    }
    a = cq_arena_over(mem, need - 1);
    assert_int_equal(cq_weights_merge(part, 3, &a, &w, &err), CQ_ERR_MEMORY);
    list[2][part[2].count - 1] = list[0][5];
    a = cq_arena_over(mem, need);
    assert_int_equal(cq_weights_merge(part, 3, &a, &w, &err), CQ_ERR_FORMAT);
    assert_ptr_equal(err.name, list[0][5].name);
    a = cq_arena_over(mem, need);
    assert_int_equal(cq_weights_merge(part, 0, &a, &w, &err), CQ_OK);
    assert_int_equal(w.count, 0);
    free(mem);
}

/* Catches: a dtype whose name and size are out of step. */
static void test_dtypes(void **state) {
    (void)state;
    assert_string_equal(cq_dtype_name(CQ_DTYPE_F32), "F32");
    assert_string_equal(cq_dtype_name(CQ_DTYPE_F8_E4M3), "F8_E4M3");
    assert_string_equal(cq_dtype_name(CQ_DTYPE_PACKED), "packed");
    assert_int_equal(cq_dtype_bits(CQ_DTYPE_C64), 64);
    assert_int_equal(cq_dtype_bits(CQ_DTYPE_F4), 4);
    assert_int_equal(cq_dtype_bits(CQ_DTYPE_PACKED), 0);
    assert_true((int)CQ_DTYPE_F32 == (int)CQ_F32 && (int)CQ_DTYPE_F16 == (int)CQ_F16 &&
                (int)CQ_DTYPE_BF16 == (int)CQ_BF16);
}

/* ---- .cq files --------------------------------------------------------------------------------------------------- */
static const char *const section_text[CQ_SECTION_COUNT] = {"{\"model_type\":\"tiny\"}", "", "tokens", "{\"bits\":4}"};

static cq_named matrix(const char *name, cq_format format, cq_layout layout, uint64_t rows, uint64_t cols, size_t group,
                       bool asym) {
    cq_named n = named(name, CQ_DTYPE_F32, 2, rows, cols, 0);
    assert_int_equal(cq_tensor_init(&n.t, format, layout, (size_t)rows, (size_t)cols, group, asym, NULL), CQ_OK);
    return n;
}

/* Writes a file of `count` tensors as a host does: parts in order through the checksum, the header last. */
static unsigned char *cq_make(const cq_named *list, size_t count, size_t *size) {
    cq_arena a = cq_arena_over(NULL, 0);
    cq_file_layout l;
    cq_error err;
    cq_checksum sum;
    uint64_t section[CQ_SECTION_COUNT];
    for (size_t i = 0; i < CQ_SECTION_COUNT; i++) section[i] = strlen(section_text[i]);
    assert_int_equal(cq_file_plan(&l, list, count, section, &a, &err), CQ_OK);
    size_t need = a.used, bytes = (size_t)l.file_bytes;
    void *mem = malloc(need ? need : 1);
    a = cq_arena_over(mem, need);
    assert_int_equal(cq_file_plan(&l, list, count, section, &a, &err), CQ_OK);
    assert_int_equal(a.used, need);
    assert_int_equal(l.file_bytes, bytes);
    unsigned char *file = (unsigned char *)malloc(bytes);
    memset(file, 0, bytes);
    for (size_t i = 0; i < CQ_SECTION_COUNT; i++)
        memcpy(file + l.section_offset[i], section_text[i], strlen(section_text[i]));
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < list[i].t.bytes; k++) file[l.offset[i] + k] = (unsigned char)(16 * i + k + 1);
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, file + l.head_bytes, bytes - (size_t)l.head_bytes);
    cq_file_header(&l, cq_checksum_value(&sum), file);
    free(mem);
    *size = bytes;
    return file;
}

static size_t tiny_list(cq_named *list) { /* not sorted, as execution order is not */
    list[0] = matrix("layers.1.w", CQ_INT4, CQ_PANELS, 3, 40, 32, true);
    list[1] = matrix("layers.0.w", CQ_BF16, CQ_ROWS, 2, 3, 0, false);
    list[2] = named("bias", CQ_DTYPE_F32, 1, 3, 0, 0);
    assert_int_equal(cq_tensor_init(&list[2].t, CQ_F32, CQ_ROWS, 1, 3, 0, false, NULL), CQ_OK);
    list[3] = matrix("none", CQ_F32, CQ_ROWS, 0, 5, 0, false);
    list[4] = matrix("z", CQ_F16, CQ_PANELS, 1, 2, 0, false);
    return 5;
}

/* Opens a copy that is exactly `size` bytes long, `shift` bytes off a boundary. */
static cq_status cq_open(const unsigned char *bytes, size_t size, size_t shift, bool check, cq_error *err) {
    cq_file f;
    cq_arena a = cq_arena_over(NULL, 0);
    unsigned char *block = (unsigned char *)malloc(size + shift + 1), *file = block + shift;
    memcpy(file, bytes, size);
    cq_status status = cq_file_open(&f, file, size, &a, err);
    if (!status) {
        size_t need = a.used;
        void *mem = malloc(need ? need : 1);
        a = cq_arena_over(mem, need);
        status = cq_file_open(&f, file, size, &a, err);
        if (!status) assert_int_equal(a.used, need);
        if (!status && check) status = cq_file_check(&f, err);
        if (need > 0 && !status) {
            a = cq_arena_over(mem, need - 1);
            assert_int_equal(cq_file_open(&f, file, size, &a, err), CQ_ERR_MEMORY);
        }
        free(mem);
    }
    free(block);
    return status;
}

/* Catches: what is written and read differing; views that miss their data; more alignment needed than promised. */
static void test_cq_round_trip(void **state) {
    (void)state;
    cq_named list[5];
    size_t size, n = tiny_list(list);
    unsigned char *file = cq_make(list, n, &size), mem[4096];
    cq_error err;
    cq_file f;
    for (size_t shift = 0; shift <= 64; shift += 4) assert_int_equal(cq_open(file, size, shift, true, &err), CQ_OK);
    assert_int_equal(cq_open(file, size, 2, false, &err), CQ_ERR_ARG);
    cq_arena a = cq_arena_over(mem, sizeof mem);
    assert_int_equal(cq_file_open(&f, file, size, &a, &err), CQ_OK);
    assert_int_equal(f.weights.count, n);
    assert_int_equal(f.size, size);
    for (size_t i = 0; i < CQ_SECTION_COUNT; i++) {
        assert_int_equal(f.section[i].size, strlen(section_text[i]));
        assert_memory_equal(f.section[i].data, section_text[i], f.section[i].size);
    }
    for (size_t i = 0; i < n; i++) {
        const cq_named *t = cq_weights_find(&f.weights, list[i].name, list[i].name_len);
        assert_non_null(t);
        assert_true(t->t.format == list[i].t.format && t->t.layout == list[i].t.layout && t->t.asym == list[i].t.asym &&
                    t->t.group_size == list[i].t.group_size && t->t.rows == list[i].t.rows &&
                    t->t.cols == list[i].t.cols && t->t.bytes == list[i].t.bytes && t->ndim == list[i].ndim);
        assert_memory_equal(t->shape, list[i].shape, sizeof t->shape);
        assert_int_equal(t->dtype, t->t.layout == CQ_PANELS ? CQ_DTYPE_PACKED : (int)t->t.format);
        assert_int_equal((t->data - file) % 64, 0);
        assert_ptr_equal(t->data, t->t.data);
        for (size_t k = 0; k < t->t.bytes; k++) assert_int_equal(t->data[k], (unsigned char)(16 * i + k + 1));
    }
    free(file);
    file = cq_make(list, 0, &size); /* a file without tensors */
    assert_int_equal(cq_open(file, size, 0, true, &err), CQ_OK);
    free(file);
}

/* Catches: damage that goes unseen, and crashes on it. */
static void test_cq_damage(void **state) {
    (void)state;
    cq_named list[5];
    size_t size, n = tiny_list(list);
    unsigned char *file = cq_make(list, n, &size);
    cq_error err;
    size_t head = (size_t)cq__u64(file + 16);
    for (size_t k = 0; k < size; k++) {
        cq_status status = cq_open(file, k, 0, false, &err);
        assert_int_equal(status, CQ_ERR_FORMAT);
    }
    for (size_t i = 0; i < 8 * head; i++) {
        file[i / 8] ^= (unsigned char)(1u << i % 8);
        cq_status status = cq_open(file, size, 0, false, &err);
        assert_int_equal(status, i / 8 >= 8 && i / 8 < 12 ? CQ_ERR_UNSUPPORTED : CQ_ERR_FORMAT);
        file[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    for (size_t i = 8 * head; i < 8 * size; i += 5) { /* in the data: only cq_file_check sees it */
        file[i / 8] ^= (unsigned char)(1u << i % 8);
        assert_int_equal(cq_open(file, size, 0, false, &err), CQ_OK);
        assert_int_equal(cq_open(file, size, 0, true, &err), CQ_ERR_FORMAT);
        file[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    /* two flipped top bits, which a plain product of words would not see */
    file[head + 7] ^= 0x80;
    file[head + 15] ^= 0x80;
    assert_int_equal(cq_open(file, size, 0, true, &err), CQ_ERR_FORMAT);
    free(file);
    /* longer than the file is fine: a flash partition */
    file = cq_make(list, n, &size);
    unsigned char *more = (unsigned char *)malloc(size + 100);
    memcpy(more, file, size);
    memset(more + size, 0xff, 100);
    assert_int_equal(cq_open(more, size + 100, 0, true, &err), CQ_OK);
    free(more);
    free(file);
}

/* Catches: each check behind the checksum that is missing: the files below have the right one. */
static void test_cq_errors(void **state) {
    (void)state;
    static const struct {
        size_t at, width;
        uint64_t value; /* added to what is there */
        const char *what;
    } bad[] = {
        {12, 4, (uint64_t)0 - 1u, "names must follow"},
        {12, 4, 1000000u, "room"},
        {16, 8, 1u, "multiple of 64"},
        {16, 8, UINT64_MAX / 2, "within the file"},
        {24, 8, 64u, "cut off"},
        {24, 8, (uint64_t)0 - 64u, "behind"},
        {48, 8, 64u, "names must follow"},
        {56, 8, 200u, "end the head"},
        {56, 8, UINT64_MAX / 2, "end the head"},
        {56, 8, 1u, "no name"},
        {64, 8, 64u, "does not follow"},
        {72, 8, UINT64_MAX / 2, "ends behind the file"},
        {72, 8, 64u, "does not follow"},
        {104, 8, 1000000u, "ends behind"},
        {112, 8, 64u, "does not follow"},
        {120, 8, 64u, "ends behind"},
        {120, 8, (uint64_t)0 - 10u, "last section"},
        {128, 8, 1u, "must be zero"},
        {191, 1, 1u, "must be zero"},
        {192, 8, 1u, "name is not where"},
        {200, 4, (uint64_t)0 - 4u, "1 to 1024"},
        {200, 4, 5000u, "1 to 1024"},
        {192 + 12, 1, CQ_FORMAT_COUNT, "unknown format"},
        {192 + 13, 1, 2u, "unknown layout"},
        {192 + 14, 1, 2u, "asymmetric"},
        {192 + 14, 1, 1u, "no groups"},
        {192 + 15, 1, 4u, "4 dimensions"},
        {192 + 15, 1, 1u, "rows are not"},
        {192 + 16, 4, 32u, "no groups"},
        {192 + 20, 4, 1u, "activations"},
        {192 + 20, 4, 256u, "reserved"},
        {192 + 88, 8, 1u, "reserved"},
        {192 + 24, 8, 1u, "rows are not"},
        {192 + 32, 8, 1u, "cols are not"},
        {192 + 40, 8, 1u, "cols are not"},
        {192 + 48, 8, 1u, "not 0"},
        {192 + 72, 8, 4u, "multiple of 64"},
        {192 + 72, 8, (uint64_t)0 - 64u, "overlap"},
        {192 + 72, 8, 64u, "gap"},
        {192 + 72, 8, (uint64_t)0 - 6400u, "within the file"},
        {192 + 72, 8, 1u << 20, "within the file"},
        {192 + 80, 8, 4u, "format and shape"},
        {192 + 2 * 96 + 16, 4, 64u, "group_size"},
        {192 + 2 * 96 + 16, 4, 32u, "format and shape"},
        {192 + 2 * 96 + 16, 4, 1u, "multiple of 16"},
        {192 + 2 * 96 + 12, 1, (uint64_t)0 - 4u, "groups"},
        {192 + 2 * 96 + 13, 1, (uint64_t)0 - 1u, "panels only"},
    };
    cq_named list[5];
    size_t size, n = tiny_list(list);
    cq_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char *file = cq_make(list, n, &size);
        uint64_t v = bad[i].value;
        for (size_t k = 0; k < bad[i].width; k++) { /* little-endian addition */
            v += file[bad[i].at + k];
            file[bad[i].at + k] = (unsigned char)v;
            v >>= 8;
        }
        size_t head = (size_t)cq__u64(file + 16);
        if (head >= 192 && head <= size) cq__put64(file + 32, cq__file_head_sum(file, head));
        cq_status status = cq_open(file, size, 0, false, &err);
        if (status == CQ_OK || !strstr(err.what, bad[i].what))
            fail_msg("row %u, byte %u: status %d, %s", (unsigned)i, (unsigned)bad[i].at, (int)status,
                     status ? err.what : "accepted");
        free(file);
    }
    /* names: a zero byte, not sorted, twice */
    static const struct {
        size_t at; /* in the names: bias layers.0.w layers.1.w none z */
        char c;
        const char *what;
    } names[] = {{0, 0, "zero byte"}, {0, 'z', "sorted"}, {11, '1', "sorted"}, {21, '0', "sorted"}};
    for (size_t i = 0; i < 4; i++) {
        unsigned char *file = cq_make(list, n, &size);
        file[192 + 5 * 96 + names[i].at] = (unsigned char)names[i].c;
        cq__put64(file + 32, cq__file_head_sum(file, (size_t)cq__u64(file + 16)));
        assert_int_equal(cq_open(file, size, 0, false, &err), CQ_ERR_FORMAT);
        if (!strstr(err.what, names[i].what)) fail_msg("name %u: %s", (unsigned)i, err.what);
        free(file);
    }
    /* bytes between the parts that are not zero, with the right checksum */
    unsigned char *file = cq_make(list, n, &size);
    size_t head = (size_t)cq__u64(file + 16);
    cq_checksum sum;
    file[head + strlen(section_text[0])] = 1;
    cq_checksum_start(&sum);
    cq_checksum_add(&sum, file + head, size - head);
    cq__put64(file + 40, cq_checksum_value(&sum));
    cq__put64(file + 32, cq__file_head_sum(file, head));
    assert_int_equal(cq_open(file, size, 0, false, &err), CQ_OK);
    assert_int_equal(cq_open(file, size, 0, true, &err), CQ_ERR_FORMAT);
    assert_int_equal(err.where, head + strlen(section_text[0]));
    free(file);
}

/* Catches: a writer that takes what the reader refuses. */
static void test_cq_plan_errors(void **state) {
    (void)state;
    cq_named list[5];
    cq_file_layout l;
    cq_error err;
    uint64_t section[CQ_SECTION_COUNT] = {1, 2, 3, 4};
    unsigned char mem[1024];
    size_t n = tiny_list(list);
    cq_arena a = cq_arena_over(mem, 10);
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_ERR_MEMORY);
    list[1].name_len = 0;
    a = cq_arena_over(mem, sizeof mem);
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_ERR_ARG);
    assert_int_equal(err.where, 1);
    tiny_list(list);
    list[1].shape[0]++;
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_ERR_ARG);
    tiny_list(list);
    list[1].name = "z";
    list[1].name_len = 1;
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_ERR_FORMAT);
    tiny_list(list);
    section[2] = UINT64_MAX - 100;
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_ERR_RANGE);
    section[2] = 0; /* provenance last: its length moves nothing but the end */
    cq_file_layout m;
    assert_int_equal(cq_file_plan(&l, list, n, section, &a, &err), CQ_OK);
    section[CQ_SECTION_PROVENANCE] = 1000;
    assert_int_equal(cq_file_plan(&m, list, n, section, &a, &err), CQ_OK);
    for (size_t i = 0; i < n; i++) assert_int_equal(l.offset[i], m.offset[i]);
    assert_int_equal(l.section_offset[CQ_SECTION_PROVENANCE], m.section_offset[CQ_SECTION_PROVENANCE]);
    assert_int_equal(m.file_bytes, l.file_bytes + 960);
}

/* Catches: a checksum that depends on how the bytes were cut. */
static void test_checksum(void **state) {
    (void)state;
    unsigned char bytes[100];
    cq_checksum c;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 37);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint64_t h = 14695981039346656037u; /* as the specification says it */
        for (size_t i = 0; i <= n; i += 8) {
            uint64_t w = 0;
            if (i == n) break;
            for (size_t k = 0; k < 8 && i + k < n; k++) w |= (uint64_t)bytes[i + k] << 8 * k;
            h = (h ^ w) * 1099511628211u;
            h ^= h >> 32;
        }
        h = (h ^ n) * 1099511628211u;
        h ^= h >> 32;
        for (size_t cut = 1; cut < 20; cut++) {
            cq_checksum_start(&c);
            for (size_t i = 0; i < n; i += cut) cq_checksum_add(&c, bytes + i, n - i < cut ? n - i : cut);
            assert_true(cq_checksum_value(&c) == h);
        }
    }
}

/* Catches: a change of the format. If this fails on purpose, raise CQ_FILE_VERSION and keep this file for the reader
   of version 1. */
static const char *const golden =
    "435155414e540d0a0100000002000000c001000000000000000400000000000086eeaaa7de89dcff6f0ef3ef9496bdb4"
    "80010000000000000200000000000000c001000000000000150000000000000000020000000000000000000000000000"
    "00020000000000000600000000000000c0030000000000000a0000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "800100000000000001000000040100022000000000000000010000000000000020000000000000000100000000000000"
    "200000000000000000000000000000000000000000000000800200000000000040010000000000000000000000000000"
    "810100000000000001000000010000020000000000000000020000000000000003000000000000000200000000000000"
    "03000000000000000000000000000000000000000000000040020000000000000c000000000000000000000000000000"
    "717700000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000007b226d6f64656c5f74797065223a2274696e79227d0000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000746f6b656e7300000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0102030405060708090a0b0c000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000001112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
    "3132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60"
    "6162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f90"
    "9192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0"
    "c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0"
    "f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
    "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f50"
    "7b2262697473223a347d0000000000000000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000";

static void test_cq_golden(void **state) {
    (void)state;
    cq_named list[2];
    cq_error err;
    size_t size;
    list[0] = matrix("w", CQ_F16, CQ_ROWS, 2, 3, 0, false);
    list[1] = matrix("q", CQ_INT4, CQ_PANELS, 1, 32, 32, false);
    unsigned char *file = cq_make(list, 2, &size);
    char *hex = (char *)malloc(2 * size + 1);
    for (size_t i = 0; i < size; i++) sprintf(hex + 2 * i, "%02x", file[i]);
    assert_string_equal(hex, golden);
    free(hex);
    for (size_t i = 0; i < size; i++) { /* and what is written above can be read */
        unsigned byte;
        assert_int_equal(sscanf(golden + 2 * i, "%2x", &byte), 1);
        file[i] = (unsigned char)byte;
    }
    assert_int_equal(cq_open(file, size, 0, true, &err), CQ_OK);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_json_truncated),
        cmocka_unit_test(test_json_tree),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_int),
        cmocka_unit_test(test_json_float),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_many_keys),
        cmocka_unit_test(test_json_memory),
        cmocka_unit_test(test_safetensors_good),
        cmocka_unit_test(test_safetensors_errors),
        cmocka_unit_test(test_safetensors_truncated),
        cmocka_unit_test(test_safetensors_write),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_cq_round_trip),
        cmocka_unit_test(test_cq_damage),
        cmocka_unit_test(test_cq_errors),
        cmocka_unit_test(test_cq_plan_errors),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_cq_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
