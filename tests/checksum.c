/* Checksums of a model's logits, so that machines can be compared: tests/lanes.sh runs this on many. One line for each
   model, kind of activations and tier of kernels:

       checksum MODEL.cq ...     files
       (with CQ_BARE)            the models that are linked in, cq_models of tests/lanes.sh; no libc (tests/bare.h)

   All of a model and kind must be equal, on every machine. */
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "bare.h"
#include "checksum.h"
#include "models.h"

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
    uint64_t h;
    size_t used;
    const char *wrong =
        model_checksum(ram.bytes, sizeof ram.bytes, data, size, isa, act_bits, CHECKSUM_TOKENS, &h, &used);
    if (wrong) {
        bare_say(name), bare_say(": "), bare_say(wrong), bare_say("\n");
        return 1;
    }
    say_word((uint32_t)(h >> 32));
    say_word((uint32_t)h);
    bare_say(" "), bare_say(name), bare_say(act_bits ? " int8 " : " fp32 "), bare_say(isa), bare_say("\n");
    return 0;
}
static int run_all(const cq_linked_model *m) {
    int bad = 0;
    for (unsigned act = 0; act < 2; act++)
        for (size_t t = 0; cq_isa_available(t) && (t == 0 || !BARE_BEST_ONLY); t++)
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
        cq_linked_model m = {stem, flash.bytes, f ? fread(flash.bytes, 1, sizeof flash.bytes, f) : 0};
        if (f) fclose(f);
        for (const char *p = name; *p; p++) name = *p == '/' ? p + 1 : name; /* of the file, without its ending */
        for (dot = name; *dot && *dot != '.' && n + 1 < sizeof stem; dot++) stem[n++] = *dot;
        stem[n] = 0;
        bad |= run_all(&m);
    }
    return bad;
}
#endif
