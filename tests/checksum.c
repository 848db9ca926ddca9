/* Checksums of a model's logits, so that machines can be compared: tests/lanes.sh runs this on many. One line for each
   model, kind of activations and tier of kernels:

       checksum MODEL.cq ...     files
       (with CQ_BARE)            the models that are linked in, cq_models of tests/lanes.sh; no libc (tests/bare.h)

   All of a model and kind must be equal, on every machine. */
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "bare.h"
#include "models.h"

enum { TOKENS = 24 };
static union {
    uint64_t align;
    unsigned char bytes[6 << 20];
} ram;

static void say_word(uint32_t v) {
    char digits[9];
    for (size_t i = 0; i < 8; i++) digits[i] = "0123456789abcdef"[v >> (28 - 4 * i) & 15u];
    digits[8] = 0;
    bare_say(digits);
}
static int run(const char *name, const unsigned char *data, size_t size, const char *isa, unsigned act_bits) {
    cq_arena arena = cq_arena_over(ram.bytes, sizeof ram.bytes);
    cq_context_desc cd = {isa, {NULL, NULL}};
    cq_session_desc sd = {0};
    cq_context ctx;
    cq_file file;
    cq_model model;
    cq_session session;
    cq_input in = {0};
    cq_error e;
    int32_t ids[TOKENS];
    uint64_t h = 14695981039346656037ull;
    float *logits = NULL;
    sd.max_tokens = TOKENS;
    sd.act_bits = act_bits;
    if (cq_init(&ctx, &cd, &e) || cq_file_open(&file, data, size, &arena, &e) || cq_file_check(&file, &e) ||
        cq_model_open(&model, &file, &arena, &e) ||
        cq_session_init(&session, &ctx, &model, &sd, &arena, &arena, &e)) {
        bare_say(name), bare_say(": "), bare_say(e.what), bare_say("\n");
        return 1;
    }
    for (size_t i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + 11) % model.vocab);
    in.ids = ids;
    in.n = TOKENS;
    logits = (float *)cq_alloc(&arena, TOKENS * model.vocab, sizeof(float));
    if (!logits || cq_forward(&session, &in, &e)) {
        bare_say(name), bare_say(logits ? ": cq_forward failed\n" : ": no room for the logits\n");
        return 1;
    }
    cq_logits(&session, NULL, TOKENS, logits);
    for (size_t i = 0; i < TOKENS * model.vocab; i++) h = (h ^ cq__bits(logits[i])) * 1099511628211ull;
    say_word((uint32_t)(h >> 32));
    say_word((uint32_t)h);
    bare_say(" "), bare_say(name), bare_say(act_bits ? " int8 " : " fp32 "), bare_say(isa), bare_say("\n");
    return 0;
}
static int run_all(const cq_linked_model *m) {
    int bad = 0;
    for (unsigned act = 0; act < 2; act++)
        for (size_t t = 0; cq_isa_available(t); t++)
            if (!m->skip_scalar || cq_isa_available(t + 1)) /* the last is plain C */
                bad |= run(m->name, m->data, m->size, cq_isa_available(t), act ? 8 : 0);
    return bad;
}

#ifdef CQ_BARE
int main(void) {
    int bad = 0;
    for (const cq_linked_model *m = cq_models; m->name; m++) bad |= run_all(m);
    return bad;
}
#else
int main(int argc, char **argv) {
    static union {
        uint64_t align;
        unsigned char bytes[1 << 24];
    } flash;
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        const char *name = argv[i], *dot;
        char stem[64];
        size_t n = 0;
        cq_linked_model m = {stem, flash.bytes, f ? fread(flash.bytes, 1, sizeof flash.bytes, f) : 0, 0};
        if (f) fclose(f);
        for (const char *p = name; *p; p++) name = *p == '/' ? p + 1 : name; /* of the file, without its ending */
        for (dot = name; *dot && *dot != '.' && n + 1 < sizeof stem; dot++) stem[n++] = *dot;
        stem[n] = 0;
        bad |= run_all(&m);
    }
    return bad;
}
#endif
