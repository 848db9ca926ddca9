/* test_tokenizer.c - the [TOKENIZER] of cquant_models.h against Hugging Face's tokenizers, and against hostile bytes.
   The tokenizer under test is made here from golden/tokenizer.h: 256 bytes, the merges, a few added tokens. */
#define CQUANT_IMPLEMENTATION
#ifdef TOKENIZER_SCRATCH_HEADER
#include TOKENIZER_SCRATCH_HEADER
#else
#include "cquant_models.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/tokenizer.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- a growing text, a block of memory, and the files of the small tokenizer ------------------------------------- */
typedef struct text {
    char *s;
    size_t n, room;
} text;

static void put(text *t, const char *s, size_t n) {
    if (t->n + n + 1 > t->room) {
        t->room = 2 * (t->n + n + 1);
        t->s = (char *)realloc(t->s, t->room);
        assert_non_null(t->s);
    }
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}
static void puts_(text *t, const char *s) { put(t, s, strlen(s)); }
static void put_json(text *t, const char *s, size_t n) { /* as a JSON string */
    size_t i;
    puts_(t, "\"");
    for (i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\') puts_(t, "\\");
        put(t, s + i, 1);
    }
    puts_(t, "\"");
}
static void put_int(text *t, int x) {
    char s[16];
    snprintf(s, sizeof s, "%d", x);
    puts_(t, s);
}

static void *block(size_t size) { /* exactly this much, so that a sanitizer sees every step beyond */
    void *p = malloc(size ? size : 1);
    assert_non_null(p);
    return p;
}

/* The characters of the bytes in the order of their code points: the printable ones, then U+0100 ... U+0143. */
static size_t byte_char(int i, char *out) {
    int c = i < 94 ? 0x21 + i : i < 106 ? 0xa1 + i - 94 : i < 188 ? 0xae + i - 106 : 0x100 + i - 188;
    if (c < 0x80) return out[0] = (char)c, (size_t)1;
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

typedef struct model {
    text vocab, merges_json, merges_txt, added, config;
    int size; /* ids without the added tokens */
} model;

enum { MERGES_STRINGS = 1, UNREACHABLE = 2 };

/* vocab.json, merges in all three forms, added_tokens in both forms; each merge makes a token unless it is there. */
static void model_make(model *m, int how) {
    static const char *const unreachable[2] = {"\304\240unknownword", "unknownwordwithnomerges"};
    char seen[1024][40];
    const char *s = golden_merges;
    int i, k;
    memset(m, 0, sizeof *m);
    puts_(&m->vocab, "{");
    puts_(&m->merges_json, "[");
    puts_(&m->merges_txt, "#version: 0.2\n");
    puts_(&m->merges_txt, golden_merges);
    for (i = 0; i < 256; i++) seen[i][byte_char(i, seen[i])] = 0;
    m->size = 256;
    for (i = 0; *s; i++) {
        const char *space = strchr(s, ' '), *end = strchr(s, '\n');
        if (i) puts_(&m->merges_json, ", ");
        if (how & MERGES_STRINGS) {
            put_json(&m->merges_json, s, (size_t)(end - s));
        } else {
            puts_(&m->merges_json, "[");
            put_json(&m->merges_json, s, (size_t)(space - s));
            puts_(&m->merges_json, ",");
            put_json(&m->merges_json, space + 1, (size_t)(end - space - 1));
            puts_(&m->merges_json, "]");
        }
        snprintf(seen[m->size], sizeof seen[0], "%.*s%.*s", (int)(space - s), s, (int)(end - space - 1), space + 1);
        for (k = 0; strcmp(seen[k], seen[m->size]);) k++;
        if (k == m->size) m->size++;
        assert_true(m->size < 1000);
        s = end + 1;
    }
    for (k = 0; k < 2 && (how & UNREACHABLE); k++) strcpy(seen[m->size++], unreachable[k]);
    for (k = 0; k < m->size; k++) {
        if (k) puts_(&m->vocab, ",");
        put_json(&m->vocab, seen[k], strlen(seen[k]));
        puts_(&m->vocab, ":");
        put_int(&m->vocab, k);
    }
    puts_(&m->vocab, "}");
    puts_(&m->merges_json, "]");
    puts_(&m->added, "[");
    puts_(&m->config, "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"add_prefix_space\": false, ");
    puts_(&m->config, "\"added_tokens_decoder\": {");
    for (k = 0; k < (int)COUNT(golden_added); k++) {
        text one;
        memset(&one, 0, sizeof one);
        puts_(&one, "\"content\":");
        put_json(&one, golden_added[k].content, strlen(golden_added[k].content));
        puts_(&one, golden_added[k].special ? ",\"special\":true" : ",\"special\":false");
        puts_(&one, golden_added[k].normalized ? ",\"normalized\":true" : ",\"normalized\":false");
        puts_(&one, ",\"lstrip\":false,\"rstrip\":false,\"single_word\":false}");
        puts_(&m->added, k ? ",{\"id\":" : "{\"id\":");
        put_int(&m->added, m->size + k);
        puts_(&m->added, ",");
        puts_(&m->added, one.s);
        puts_(&m->config, k ? ",\"" : "\"");
        put_int(&m->config, m->size + k);
        puts_(&m->config, "\":{");
        puts_(&m->config, one.s);
        free(one.s);
    }
    puts_(&m->added, "]");
    puts_(&m->config, "}}");
}

static void model_free(model *m) {
    free(m->vocab.s);
    free(m->merges_json.s);
    free(m->merges_txt.s);
    free(m->added.s);
    free(m->config.s);
}

#define NFC "{\"type\":\"NFC\"}"
#define BYTE_LEVEL(regex) \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" regex "}"
#define SPLIT(number)                                                                               \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\""       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" number                  \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"      \
    "\"behavior\":\"Isolated\",\"invert\":false}," BYTE_LEVEL("false") "]}"
#define QWEN2 SPLIT("\\\\p{N}")
#define LLAMA3 SPLIT("\\\\p{N}{1,3}")
#define DECODER "{\"type\":\"ByteLevel\"}"

/* tokenizer.json from its parts; `more` goes into the model. */
static text tokenizer_json(const char *normalizer, const char *pre, const char *decoder, const char *more,
                           const char *vocab, const char *merges, const char *added) {
    text t;
    memset(&t, 0, sizeof t);
    puts_(&t, "{\"version\":\"1.0\",\"truncation\":null,\"added_tokens\":");
    puts_(&t, added);
    puts_(&t, ",\"normalizer\":");
    puts_(&t, normalizer);
    puts_(&t, ",\"pre_tokenizer\":");
    puts_(&t, pre);
    puts_(&t, ",\"post_processor\":null,\"decoder\":");
    puts_(&t, decoder);
    puts_(&t, ",\"model\":{");
    puts_(&t, more);
    puts_(&t, "\"vocab\":");
    puts_(&t, vocab);
    puts_(&t, ",\"merges\":");
    puts_(&t, merges);
    puts_(&t, "}}");
    return t;
}

typedef struct built {
    unsigned char *blob; /* exactly `size` bytes, so that a sanitizer sees every step beyond */
    size_t size;
    cq_tokenizer t;
} built;

static cq_status build_files(built *b, const cq_tokenizer_files *f, cq_error *err) {
    size_t bound = cq_tokenizer_build_bound(f), size = 0;
    const unsigned char *blob = NULL;
    void *mem = block(bound == SIZE_MAX ? 1 << 20 : bound);
    cq_arena a = cq_arena_over(mem, bound == SIZE_MAX ? 1 << 20 : bound);
    cq_status status = cq_tokenizer_build(&blob, &size, f, &a, err);
    memset(b, 0, sizeof *b);
    if (status == CQ_OK) {
        assert_true(blob >= (unsigned char *)mem && blob + size == (unsigned char *)mem + a.used); /* no more */
        b->blob = (unsigned char *)malloc(size);
        memcpy(b->blob, blob, size);
        b->size = size;
    } else {
        assert_int_equal(a.used, 0);
        assert_int_not_equal(status, CQ_ERR_MEMORY); /* the bound suffices */
    }
    free(mem);
    return status == CQ_OK ? cq_tokenizer_open(&b->t, b->blob, b->size, err) : status;
}

static cq_status build_json(built *b, const char *json, size_t len, cq_error *err) {
    cq_tokenizer_files f;
    memset(&f, 0, sizeof f);
    f.tokenizer_json = json;
    f.tokenizer_json_len = len;
    return build_files(b, &f, err);
}

static built build_rule(const char *normalizer, const char *pre, const char *more, int how) {
    cq_error err;
    model m;
    built b;
    text j;
    model_make(&m, how);
    j = tokenizer_json(normalizer, pre, DECODER, more, m.vocab.s, m.merges_json.s, m.added.s);
    if (build_json(&b, j.s, j.n, &err) != CQ_OK) fail_msg("%s", err.what);
    free(j.s);
    model_free(&m);
    return b;
}

/* Encodes in exactly cq_tokenizer_encode_bound bytes of scratch. */
static size_t encode(const cq_tokenizer *t, const char *s, size_t n, int32_t *ids, size_t max) {
    size_t bound = cq_tokenizer_encode_bound(t, n), count = 0;
    void *mem = block(bound);
    cq_arena a = cq_arena_over(mem, bound);
    cq_error err;
    if (cq_tokenizer_encode(t, s, n, ids, max, &count, &a, &err) != CQ_OK) fail_msg("%s", err.what);
    assert_int_equal(a.used, 0);
    free(mem);
    return count;
}

#ifdef CQUANT_ASCII_ONLY
/* Text beyond ASCII must be refused, with its place, unless it stands in an added token. */
static bool refused(const cq_tokenizer *t, const char *s, size_t n) {
    size_t bound = cq_tokenizer_encode_bound(t, n), count;
    void *mem = block(bound);
    cq_arena a = cq_arena_over(mem, bound);
    cq_error err;
    cq_status status = cq_tokenizer_encode(t, s, n, NULL, 0, &count, &a, &err);
    free(mem);
    if (status == CQ_OK) return false;
    assert_int_equal(status, CQ_ERR_UNSUPPORTED);
    assert_true(err.got >= 0x80);
    return true;
}
#endif

static void check_goldens(const cq_tokenizer *t, const short *golden) {
    size_t i, k;
    for (i = 0; i < COUNT(golden_texts); i++) {
        int32_t ids[400];
        size_t len = (size_t)golden_texts[i].len, want = (size_t)*golden++, got;
        char *s = (char *)malloc(len + 1); /* no byte behind the text to read */
        s = (char *)realloc(s, len ? len : 1);
        memcpy(s, golden_texts[i].bytes, len);
#ifdef CQUANT_ASCII_ONLY
        for (k = 0; k < len && !(s[k] & 0x80);) k++;
        if (k < len && refused(t, s, len)) {
            golden += want;
            free(s);
            continue;
        }
#endif
        got = encode(t, s, len, ids, 400);
        for (k = 0; k < want && k < got && ids[k] == golden[k];) k++;
        if (got != want || k < want) {
            fail_msg("text %d (%s): %d ids instead of %d, or id %d differs: %d instead of %d", (int)i,
                     golden_texts[i].bytes, (int)got, (int)want, (int)k, k < got ? (int)ids[k] : -1,
                     k < want ? golden[k] : -1);
        }
        assert_int_equal(encode(t, s, len, NULL, 0), want); /* counting alone */
        golden += want;
        free(s);
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */
/* Catches: any difference from tokenizers in splitting, NFC, added tokens or merging, under the rules of Qwen2. */
static void test_qwen2(void **state) {
    built b = build_rule(NFC, QWEN2, "\"type\":\"BPE\",\"dropout\":null,\"byte_fallback\":false,", 0);
    (void)state;
    check_goldens(&b.t, golden_qwen2);
    free(b.blob);
}

/* Catches: three digits, no normaliser, ignore_merges, merges written as strings. */
static void test_llama3(void **state) {
    built b = build_rule("null", LLAMA3, "\"type\":\"BPE\",\"ignore_merges\":true,\"unk_token\":null,",
                         MERGES_STRINGS | UNREACHABLE);
    (void)state;
    check_goldens(&b.t, golden_llama3);
    free(b.blob);
}

/* Catches: GPT-2's rule, use_regex, an old file without model.type. */
static void test_gpt2(void **state) {
    built b = build_rule("null", BYTE_LEVEL("true"), "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",",
                         MERGES_STRINGS);
    (void)state;
    check_goldens(&b.t, golden_gpt2);
    free(b.blob);
}

/* Catches: other spellings of the same rules being read as something else. */
static void test_spellings(void **state) {
    built a = build_rule(NFC, QWEN2, "", 0);
    built b = build_rule("{\"type\":\"Sequence\",\"normalizers\":[" NFC "]}", QWEN2, "\"dropout\":0.0,", 0);
    built c = build_rule("{\"type\":\"Sequence\",\"normalizers\":[]}", BYTE_LEVEL("true"), "", 0);
    built d = build_rule("null", BYTE_LEVEL("true"), "", 0);
    (void)state;
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.blob, b.blob, a.size);
    assert_int_equal(c.size, d.size);
    assert_memory_equal(c.blob, d.blob, c.size);
    free(a.blob);
    free(b.blob);
    free(c.blob);
    free(d.blob);
}

#define GPT2_CONFIG "{\"tokenizer_class\":\"GPT2Tokenizer\""
static cq_status build_slow(built *b, const char *vocab, const text *merges, const char *config, cq_error *err) {
    cq_tokenizer_files f;
    memset(&f, 0, sizeof f);
    f.vocab_json = vocab;
    f.vocab_json_len = strlen(vocab);
    f.merges_txt = merges ? merges->s : NULL;
    f.merges_txt_len = merges ? merges->n : 0;
    f.tokenizer_config_json = config;
    f.tokenizer_config_json_len = config ? strlen(config) : 0;
    return build_files(b, &f, err);
}

/* Catches: vocab.json + merges.txt + tokenizer_config.json giving another tokenizer than tokenizer.json; line ends. */
static void test_slow_files(void **state) {
    built fast = build_rule(NFC, QWEN2, "", 0), slow;
    text crlf;
    cq_error err;
    model m;
    size_t i;
    (void)state;
    model_make(&m, 0);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, m.config.s, &err), CQ_OK);
    assert_int_equal(slow.size, fast.size);
    assert_memory_equal(slow.blob, fast.blob, fast.size);
    free(slow.blob);
    memset(&crlf, 0, sizeof crlf);
    for (i = 0; i + 1 < m.merges_txt.n; i++) { /* CR LF, an empty line, no line end at the end */
        if (m.merges_txt.s[i] == '\n') puts_(&crlf, i < 30 ? "\r\n\r\n" : "\r\n");
        else put(&crlf, m.merges_txt.s + i, 1);
    }
    assert_int_equal(build_slow(&slow, m.vocab.s, &crlf, m.config.s, &err), CQ_OK);
    check_goldens(&slow.t, golden_qwen2);
    free(slow.blob);
    free(crlf.s);

    assert_int_equal(build_slow(&slow, m.vocab.s, NULL, m.config.s, &err), CQ_ERR_MISSING);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, NULL, &err), CQ_ERR_MISSING);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, "{}", &err), CQ_ERR_MISSING);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, "{\"tokenizer_class\":\"Qwen2Tokenizer\"}", &err),
                     CQ_ERR_MISSING);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, "{\"tokenizer_class\":\"LlamaTokenizer\"}", &err),
                     CQ_ERR_UNSUPPORTED);
    assert_int_equal(err.name_len, 14);
    assert_memory_equal(err.name, "LlamaTokenizer", 14);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt,
                                GPT2_CONFIG ",\"add_prefix_space\":true,\"added_tokens_decoder\":{}}", &err),
                     CQ_ERR_UNSUPPORTED);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt,
                                GPT2_CONFIG ",\"added_tokens_decoder\":{\"12x\":{\"content\":\"a\"}}}", &err),
                     CQ_ERR_FORMAT);
    assert_int_equal(build_slow(&slow, m.vocab.s, &m.merges_txt, GPT2_CONFIG ",\"added_tokens_decoder\":{}}", &err),
                     CQ_OK);
    assert_int_equal(slow.t.added, 0);
    free(slow.blob);
    assert_int_equal(build_slow(&slow, "[]", &m.merges_txt, m.config.s, &err), CQ_ERR_FORMAT);
    model_free(&m);
    free(fast.blob);
}

/* Catches: wrong replacement of broken UTF-8, ids out of range, a length that differs from what is written. */
static void test_decode(void **state) {
    built b = build_rule(NFC, QWEN2, "", 0);
    const short *g = golden_decode_ids;
    static const int32_t outside[4] = {-1, INT32_MIN, INT32_MAX, 100000};
    size_t i, k, n;
    (void)state;
    for (i = 0; i < COUNT(golden_decode); i++) {
        int32_t ids[400];
        char out[2000];
        size_t count = (size_t)*g++, want = (size_t)golden_decode[i].len;
        for (k = 0; k < count; k++) ids[k] = *g++;
        assert_int_equal(cq_tokenizer_decode(&b.t, ids, count, NULL, 0), want);
        for (n = 0; n <= want; n += n < 8 || n + 8 > want ? 1 : want - n - 7) { /* cut off: n bytes, no more */
            memset(out, 'X', sizeof out);
            assert_int_equal(cq_tokenizer_decode(&b.t, ids, count, out, n), want);
            assert_memory_equal(out, golden_decode[i].bytes, n);
            assert_int_equal(out[n], 'X');
        }
    }
    assert_int_equal(cq_tokenizer_decode(&b.t, outside, 4, NULL, 0), 0);
    free(b.blob);
}

/* Catches: text that does not come back (texts in NFC and in UTF-8 must). */
static void test_round_trip(void **state) {
    built b = build_rule("null", LLAMA3, "", 0);
    uint64_t seed = 1;
    int round;
    (void)state;
    for (round = 0; round < 300; round++) {
        char s[64], out[64];
        int32_t ids[64];
        size_t n = 0, count, size = (size_t)(round % 60);
        for (;;) { /* random code points: ASCII in odd rounds; U+00E9 not, as its added token decodes to other bytes */
            uint32_t c = (uint32_t)(cq_random(7, seed++, 0) % 0xf000u), len, k;
            c = round % 2 ? c % 128 : c >= 0xd800 ? 0x10000 + c : c == 0xe9 ? 'e' : c;
            len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            if (n + len > size) break;
            for (k = len - 1; k > 0; k--, c >>= 6) s[n + k] = (char)(0x80 | (c & 0x3f));
            s[n] = (char)(len == 1 ? c : ((0xf00u >> len) & 0xff) | c);
            n += len;
        }
        count = encode(&b.t, s, n, ids, 64);
        assert_int_equal(cq_tokenizer_decode(&b.t, ids, count, out, sizeof out), n);
        assert_memory_equal(out, s, n);
    }
    free(b.blob);
}

/* Catches: lookups of special tokens; special and plain added tokens mixed up. */
static void test_ids(void **state) {
    built b = build_rule(NFC, QWEN2, "", 0);
    size_t i, size = b.t.vocab - COUNT(golden_added);
    (void)state;
    for (i = 0; i < COUNT(golden_added); i++) {
        int32_t id = cq_tokenizer_id(&b.t, golden_added[i].content, strlen(golden_added[i].content));
        assert_int_equal(id, size + i);
        assert_int_equal(cq_tokenizer_is_special(&b.t, id), golden_added[i].special);
    }
    assert_int_equal(cq_tokenizer_id(&b.t, "<|mask", 6), -1);
    assert_int_equal(cq_tokenizer_id(&b.t, "", 0), -1);
    assert_int_equal(cq_tokenizer_id(&b.t, "!", 1), 0);
    assert_true(cq_tokenizer_id(&b.t, " the", 4) > 255);
    assert_false(cq_tokenizer_is_special(&b.t, 0));
    assert_false(cq_tokenizer_is_special(&b.t, -1));
    free(b.blob);
}

/* Catches: quadratic time on a long piece or a long run of marks (each of these then takes minutes), a scratch bound
   that is too small for them, and ids that are lost at the end of the room. */
static void test_long(void **state) {
    static const char *const units[8] = {"a", " ", "\n ", "\xcc\xa3\xcc\x81", "\xcc\x81\xcc\xa3", "\xff",
                                         "\xf0\x9d\x85\xa0", "<|"};
    built b = build_rule(NFC, QWEN2, "", 0);
    const size_t size = 100000;
    int32_t *ids = (int32_t *)malloc(3 * size * sizeof *ids);
    char *s = (char *)malloc(size);
    size_t i, k, count, n;
    cq_error err;
    (void)state;
    for (i = 0; i < 8; i++) {
        for (k = 0; k < size; k++) s[k] = units[i][k % strlen(units[i])];
        count = encode(&b.t, s, size, ids, 3 * size);
        assert_true(count > 0 && count <= 3 * size);
        if (i == 0) { /* aaaa is a token: (a a), (aa aa) are merges; whole pieces of them */
            assert_int_equal(ids[0], cq_tokenizer_id(&b.t, "aaaaaaaa", 8) >= 0 ? cq_tokenizer_id(&b.t, "aaaaaaaa", 8)
                                                                               : cq_tokenizer_id(&b.t, "aaaa", 4));
            assert_int_equal(cq_tokenizer_decode(&b.t, ids, count, NULL, 0), size);
        }
    }
    {
        size_t bound = cq_tokenizer_encode_bound(&b.t, 20);
        void *mem = block(bound);
        cq_arena a = cq_arena_over(mem, bound);
        int32_t few[8] = {0, 0, 0, 0, 0, 0, 0, -7};
        assert_int_equal(cq_tokenizer_encode(&b.t, "1234567890", 10, few, 7, &n, &a, &err), CQ_ERR_RANGE);
        assert_int_equal(n, 10);
        assert_int_equal(err.got, 10);
        assert_int_equal(few[7], -7);
        assert_int_equal(cq_tokenizer_encode(&b.t, "1234567", 7, few, 7, &n, &a, &err), CQ_OK);
        assert_int_equal(n, 7);
        assert_int_equal(cq_tokenizer_encode(&b.t, "a", 1, NULL, 1, &n, &a, &err), CQ_ERR_ARG);
        assert_int_equal(cq_tokenizer_encode(NULL, "a", 1, few, 7, &n, &a, &err), CQ_ERR_ARG);
        assert_int_equal(cq_tokenizer_encode(&b.t, s, (size_t)1 << 25, few, 7, &n, &a, &err), CQ_ERR_RANGE);
        assert_true(cq_tokenizer_encode_bound(&b.t, (size_t)1 << 25) == SIZE_MAX);
        a = cq_arena_over(NULL, 0);
        assert_int_equal(cq_tokenizer_encode(&b.t, "a", 1, few, 7, &n, &a, &err), CQ_ERR_ARG);
        free(mem);
    }
    free(s);
    free(ids);
    free(b.blob);
}

/* Catches: too little scratch that is not noticed at each of the places that take some; an arena left unusable. */
static void test_small_scratch(void **state) {
    static const char s[] = "\xff" "e\xcc\x81\xcc\xa3 longerword \xed\x95\x9c";
    built b = build_rule(NFC, QWEN2, "", 0);
    size_t size, bound = cq_tokenizer_encode_bound(&b.t, sizeof s - 1), count, failures = 0;
    (void)state;
    for (size = 1; size <= bound; size++) {
        void *mem = block(size);
        cq_arena a = cq_arena_over(mem, size);
        cq_error err;
        cq_status status = cq_tokenizer_encode(&b.t, s, sizeof s - 1, NULL, 0, &count, &a, &err);
        assert_true(status == CQ_OK || status == CQ_ERR_MEMORY);
        if (status) failures++;
        assert_int_equal(a.used, 0);
        assert_false(a.failed);
        assert_int_equal(cq_tokenizer_encode(&b.t, "!", 1, NULL, 0, &count, &a, &err), CQ_OK); /* needs none */
        assert_int_equal(count, 1);
        free(mem);
    }
    assert_true(failures > 0);
    free(b.blob);
}

static void expect_json(const char *normalizer, const char *pre, const char *decoder, const char *more,
                        const char *vocab, const char *merges, const char *added, cq_status want, const char *name) {
    text j = tokenizer_json(normalizer, pre, decoder, more, vocab, merges, added);
    built b;
    cq_error err;
    cq_status got = build_json(&b, j.s, j.n, &err);
    if (got != want)
        fail_msg("%s %s %s %s: %s: %s", normalizer, pre, decoder, more, cq_status_text(got), got ? err.what : "");
    if (name) {
        char found[256];
        snprintf(found, sizeof found, "%.*s", (int)err.name_len, err.name ? err.name : "");
        if (!strstr(found, name)) fail_msg("%s is not named, but %s", name, found);
    }
    free(j.s);
    free(b.blob);
}

#define SEQUENCE "{\"type\":\"Sequence\",\"pretokenizers\":["
/* Catches: a tokenizer that does something else being taken for one of the three; the part at fault not named. */
static void test_unsupported(void **state) {
    const cq_status U = CQ_ERR_UNSUPPORTED;
    model m;
    const char *v, *g, *a;
    (void)state;
    model_make(&m, 0);
    v = m.vocab.s;
    g = m.merges_json.s;
    a = m.added.s;
    expect_json(NFC, QWEN2, DECODER, "", v, g, a, CQ_OK, NULL);
    expect_json("{\"type\":\"NFKC\"}", QWEN2, DECODER, "", v, g, a, U, "NFKC");
    expect_json("{\"type\":\"Sequence\",\"normalizers\":[" NFC ",{\"type\":\"Lowercase\"}]}", QWEN2, DECODER, "", v, g,
                a, U, "Lowercase");
    expect_json("\"NFC\"", QWEN2, DECODER, "", v, g, a, U, "NFC");
    expect_json(NFC, "null", DECODER, "", v, g, a, CQ_ERR_MISSING, NULL);
    expect_json(NFC, "{\"type\":\"Metaspace\"}", DECODER, "", v, g, a, U, "Metaspace");
    expect_json(NFC, BYTE_LEVEL("false"), DECODER, "", v, g, a, U, "ByteLevel");
    expect_json(NFC, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", DECODER, "", v, g, a, U, "add_prefix_space");
    expect_json(NFC, "{\"type\":\"ByteLevel\"}", DECODER, "", v, g, a, U, "ByteLevel");
    expect_json(NFC, SPLIT("\\\\p{N}{1,2}"), DECODER, "", v, g, a, U, "p{N}{1,2}");
    expect_json(NFC, SEQUENCE BYTE_LEVEL("true") "]}", DECODER, "", v, g, a, U, "Sequence");
    expect_json(NFC, SEQUENCE "{\"type\":\"Digits\"}," BYTE_LEVEL("true") "]}", DECODER, "", v, g, a, U, "Digits");
    expect_json(NFC,
                SEQUENCE "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}," BYTE_LEVEL(
                    "false") "]}",
                DECODER, "", v, g, a, U, "Split");
    expect_json(NFC, QWEN2, "null", "", v, g, a, CQ_ERR_MISSING, NULL);
    expect_json(NFC, QWEN2, "{\"type\":\"Metaspace\"}", "", v, g, a, U, "Metaspace");
    expect_json(NFC, QWEN2, DECODER, "\"type\":\"Unigram\",", v, g, a, U, "Unigram");
    expect_json(NFC, QWEN2, DECODER, "\"byte_fallback\":true,", v, g, a, U, "true");
    expect_json(NFC, QWEN2, DECODER, "\"dropout\":0.1,", v, g, a, U, "0.1");
    expect_json(NFC, QWEN2, DECODER, "\"continuing_subword_prefix\":\"##\",", v, g, a, U, "##");
    expect_json(NFC, QWEN2, DECODER, "\"end_of_word_suffix\":\"</w>\",", v, g, a, U, "</w>");
    expect_json(NFC, QWEN2, DECODER, "", "{\"a\":0,\"b\":1}", "[]", "[]", U, NULL); /* bytes are missing */
    expect_json(NFC, QWEN2, DECODER, "", v, "[\"\342\226\201 a\"]", a, U, NULL); /* SentencePiece's blank */
    expect_json(NFC, QWEN2, DECODER, "", v, g, "[{\"id\":900,\"content\":\"<x>\",\"lstrip\":true}]", U, "<x>");
    expect_json(NFC, QWEN2, DECODER, "", v, g, "[{\"id\":900,\"content\":\"<x>\",\"rstrip\":true}]", U, "<x>");
    expect_json(NFC, QWEN2, DECODER, "", v, g, "[{\"id\":900,\"content\":\"<x>\",\"single_word\":true}]", U, "<x>");
    expect_json(NFC, QWEN2, DECODER, "", v, g, "[{\"id\":900,\"content\":\"\303\251x\",\"normalized\":true}]", U, "x");
    model_free(&m);
}

/* Catches: damaged files that are read as something: unknown or broken merges, ids given twice, ids without end. */
static void test_malformed(void **state) {
    const cq_status F = CQ_ERR_FORMAT;
    static const char *const merges[] = {
        "[\"zz q\"]", "[\"q zz\"]",  "[\"a\"]",      "[\"a b c\"]",          "[\" a\"]", "[\"a \"]", "[\"\"]",
        "[[\"a\"]]",  "[[\"a\",\"\"]]", "[[\"a\",\"b\",\"c\"]]", "[[1,2]]", "[5]",      "[null]",   "[[\"a b\",\"c\"]]",
        "[\"\377 a\"]"};
    static const char *const added[] = {
        "[{\"content\":\"x1\"}]",
        "[{\"id\":-1,\"content\":\"x1\"}]",
        "[{\"id\":900}]",
        "[5]",
        "[{\"id\":900,\"content\":5}]",
        "{\"a\":1}",
        "[{\"id\":1.5,\"content\":\"x1\"}]",
        "[{\"id\":1e30,\"content\":\"x1\"}]",
        "[{\"id\":0,\"content\":\"x1\"}]",  /* 0 is the id of '!' */
        "[{\"id\":900,\"content\":\"!\"}]", /* and '!' has the id 0 */
        "[{\"id\":900,\"content\":\"x1\"},{\"id\":900,\"content\":\"x1\"}]",
        "[{\"id\":900,\"content\":\"x1\"},{\"id\":901,\"content\":\"x1\"}]",
        ("[{\"id\":900,\"content\":\"x\\ud800\",\"normalized\":false},"
         "{\"id\":901,\"content\":\"x\\udc00\",\"normalized\":false}]"), /* both are x and U+FFFD */
        "[{\"id\":900,\"content\":\"\200\"}]"};
    model m;
    size_t i;
    built b;
    cq_error err;
    cq_tokenizer_files none;
    (void)state;
    model_make(&m, 0);
    for (i = 0; i < COUNT(merges); i++) expect_json(NFC, QWEN2, DECODER, "", m.vocab.s, merges[i], "[]", F, NULL);
    for (i = 0; i < COUNT(added); i++)
        expect_json(NFC, QWEN2, DECODER, "", m.vocab.s, m.merges_json.s, added[i], F, NULL);
    /* the vocabulary: change the ids of the last token, which is at the end of the text */
    {
        static const char *const ids[] = {"-1",      "1.5",        "\"7\"",               "null", "3",
                                          "1000000", "2147483647", "9223372036854775807", "1e300"};
        const cq_status R = CQ_ERR_RANGE, want[] = {F, F, F, F, F, R, R, R, F};
        for (i = 0; i < COUNT(ids); i++) {
            text v;
            memset(&v, 0, sizeof v);
            put(&v, m.vocab.s, m.vocab.n - 1);
            puts_(&v, ",\"new\":");
            puts_(&v, ids[i]);
            puts_(&v, "}");
            expect_json(NFC, QWEN2, DECODER, "", v.s, "[]", "[]", want[i], NULL);
            free(v.s);
        }
    }
    expect_json(NFC, QWEN2, DECODER, "", "[]", "[]", "[]", CQ_ERR_MISSING, NULL);
    expect_json(NFC, QWEN2, DECODER, "", "{}", "[]", "[]", CQ_ERR_MISSING, NULL);
    expect_json(NFC, QWEN2, DECODER, "", m.vocab.s, "{}", "[]", CQ_ERR_MISSING, NULL);
    expect_json(NFC, QWEN2, DECODER, "", m.vocab.s, "[]", "[{\"id\":2000000000,\"content\":\"x\"}]", CQ_ERR_RANGE,
                NULL);
    assert_int_equal(build_json(&b, "{", 1, &err), F);
    assert_int_equal(build_json(&b, "{}", 2, &err), CQ_ERR_MISSING);
    assert_int_equal(build_json(&b, "[]", 2, &err), CQ_ERR_MISSING);
    memset(&none, 0, sizeof none);
    assert_int_equal(build_files(&b, &none, &err), CQ_ERR_MISSING);
    {
        cq_arena empty = cq_arena_over(NULL, 0);
        const unsigned char *blob;
        size_t size;
        assert_int_equal(cq_tokenizer_build(&blob, &size, &none, &empty, &err), CQ_ERR_ARG);
    }
    model_free(&m);
}

/* Catches: an arena too small for the build that is not noticed, at whatever allocation it ends. */
static void test_small_arena(void **state) {
    model m;
    text j;
    cq_tokenizer_files f;
    size_t bound, size, step;
    (void)state;
    model_make(&m, 0);
    j = tokenizer_json(NFC, QWEN2, DECODER, "", m.vocab.s, m.merges_json.s, m.added.s);
    memset(&f, 0, sizeof f);
    f.tokenizer_json = j.s;
    f.tokenizer_json_len = j.n;
    bound = cq_tokenizer_build_bound(&f);
    step = bound / 300;
    for (size = 64; size < bound; size += step) {
        const unsigned char *blob;
        size_t blob_size;
        cq_error err;
        void *mem = block(size);
        cq_arena a = cq_arena_over(mem, size);
        cq_status status = cq_tokenizer_build(&blob, &blob_size, &f, &a, &err);
        assert_true(status == CQ_ERR_MEMORY || (status == CQ_OK && size > 20000));
        free(mem);
    }
    free(j.s);
    model_free(&m);
}

/* Whatever the blob holds: opening it fails, or everything that can be done with it stays inside of it. */
static size_t use(const unsigned char *blob, size_t size) {
    static const char s[] = "It's <|mask|>>the [N]  \n 12e\xcc\x81 aaaaab\xff";
    cq_tokenizer t;
    int32_t ids[200], i;
    size_t bound, count = 0;
    char out[64];
    void *mem;
    cq_arena a;
    cq_error err;
    cq_status status = cq_tokenizer_open(&t, blob, size, &err);
    if (status) {
        assert_true(status == CQ_ERR_FORMAT || status == CQ_ERR_UNSUPPORTED);
        return 0;
    }
    bound = cq_tokenizer_encode_bound(&t, sizeof s - 1);
    mem = block(bound);
    a = cq_arena_over(mem, bound);
    assert_int_equal(cq_tokenizer_encode(&t, s, sizeof s - 1, ids, 200, &count, &a, &err), CQ_OK);
    cq_tokenizer_decode(&t, ids, count, out, sizeof out);
    for (i = -1; i < 600; i += 7) cq_tokenizer_decode(&t, &i, 1, out, sizeof out);
    cq_tokenizer_id(&t, "<|mask|>", 8);
    cq_tokenizer_is_special(&t, 500);
    free(mem);
    return 1;
}

/* Catches: reads beyond a truncated or damaged blob (with a sanitizer), endless loops, ids beyond the vocabulary. */
static void test_hostile_blobs(void **state) {
    static const unsigned char xors[3] = {0x01, 0x80, 0xff};
    built b = build_rule(NFC, QWEN2, "\"ignore_merges\":true,", 0);
    size_t n, i, opened = 0;
    (void)state;
    assert_int_equal(use(b.blob, b.size), 1);
    for (n = 0; n < b.size; n += n < 200 || n + 200 > b.size ? 1 : 13) { /* truncated */
        unsigned char *cut = (unsigned char *)malloc(n ? n : 1);
        memcpy(cut, b.blob, n);
        assert_int_equal(use(cut, n), 0);
        free(cut);
    }
    for (n = 0; n < b.size; n++) { /* one byte damaged */
        for (i = 0; i < 3; i++) {
            b.blob[n] ^= xors[i];
            opened += use(b.blob, b.size);
            b.blob[n] ^= xors[i];
        }
    }
    assert_true(opened > 0 && opened < 3 * b.size);
    for (n = 0; n < 3000; n++) { /* several bytes damaged, mostly words set to large or small numbers */
        unsigned char *copy = (unsigned char *)malloc(b.size);
        memcpy(copy, b.blob, b.size);
        for (i = 0; i < 1 + n % 4; i++) {
            uint64_t r = cq_random(3, n, i);
            size_t at = (size_t)(r % (b.size - 4)) & ~(size_t)3;
            uint32_t word = r >> 63 ? (uint32_t)(r >> 32) : (uint32_t)(r >> 40 & 0x3ff);
            memcpy(copy + at, &word, 4);
        }
        use(copy, b.size);
        free(copy);
    }
    b.blob[4] = 2; /* another version */
    {
        cq_tokenizer t;
        cq_error err;
        assert_int_equal(cq_tokenizer_open(&t, b.blob, b.size, &err), CQ_ERR_UNSUPPORTED);
        assert_int_equal(cq_tokenizer_open(&t, NULL, b.size, &err), CQ_ERR_ARG);
    }
    free(b.blob);
}

/* Catches: a pair that is given twice (the later rank counts, as in tokenizers), or merged from the wrong side. */
static void test_merge_order(void **state) {
    static const struct {
        const char *merges, *text;
        int ids[4], n;
    } cases[4] = {{"[\"a b\",\"b c\"]", "abc", {256, 66, 0, 0}, 2},
                  {"[\"b c\",\"a b\"]", "abc", {64, 257, 0, 0}, 2},
                  {"[\"a b\",\"b c\",\"a b\"]", "abc", {64, 257, 0, 0}, 2},
                  {"[\"a a\"]", "aaa", {258, 64, 0, 0}, 2}};
    size_t i;
    int k;
    (void)state;
    for (i = 0; i < 4; i++) {
        text v, j;
        built b;
        cq_error err;
        int32_t ids[8];
        memset(&v, 0, sizeof v);
        puts_(&v, "{");
        for (k = 0; k < 256; k++) {
            char c[3];
            put_json(&v, c, byte_char(k, c));
            puts_(&v, ":");
            put_int(&v, k);
            puts_(&v, ",");
        }
        puts_(&v, "\"ab\":256,\"bc\":257,\"aa\":258}");
        j = tokenizer_json("null", QWEN2, DECODER, "", v.s, cases[i].merges, "[]");
        assert_int_equal(build_json(&b, j.s, j.n, &err), CQ_OK);
        assert_int_equal(encode(&b.t, cases[i].text, 3, ids, 8), cases[i].n);
        for (k = 0; k < cases[i].n; k++) assert_int_equal(ids[k], cases[i].ids[k]);
        free(b.blob);
        free(v.s);
        free(j.s);
    }
}

#ifndef CQUANT_ASCII_ONLY
/* Catches: an entry of the Unicode tables that is not what the tokenizers library says, of any code point.
   tests/reference/unicode_tables.py computes the same sum from that library. */
static void test_unicode_tables(void **state) {
    (void)state;
    uint64_t h = 14695981039346656037u;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint32_t words[16] = {cq__uni_kind(c), cq__uni_class(c), cq__uni_find(c) >> 10 & 1}, x[8], y[8];
        uint32_t first = c, a, b, tail[4], tails = 0, n = 4;
        unsigned char text[4], out[32];
        if (c >= 0xd800 && c < 0xe000) continue;
        for (; tails < 4 && cq__nfc_apart(first, &a, &b); first = a)
            if (b) tail[tails++] = b;
        words[3] = tails + 1;
        words[n++] = first;
        while (tails) words[n++] = tail[--tails];
        size_t whole = n++, bytes = cq__nfc_segment(out, text, cq__utf8_code(text, c), x, y);
        for (size_t pos = 0; pos < bytes; words[whole]++) words[n++] = cq__utf8_next(out, &pos);
        for (uint32_t i = 0; i < n; i++) h = (h ^ words[i]) * 1099511628211u;
    }
    assert_true(h == 0x857f595afaa4418bu);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef CQUANT_ASCII_ONLY
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_long),        cmocka_unit_test(test_small_scratch),
        cmocka_unit_test(test_hostile_blobs), cmocka_unit_test(test_unicode_tables),
#endif
        cmocka_unit_test(test_qwen2),       cmocka_unit_test(test_llama3),      cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_spellings),   cmocka_unit_test(test_slow_files),  cmocka_unit_test(test_decode),
        cmocka_unit_test(test_ids),         cmocka_unit_test(test_unsupported), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_small_arena), cmocka_unit_test(test_merge_order),
    };
#ifdef CQUANT_ASCII_ONLY
    (void)test_round_trip, (void)test_long, (void)test_small_scratch, (void)test_hostile_blobs;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
