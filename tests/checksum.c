/* Checksums of a model's logits, so that machines can be compared: tests/lanes.sh runs this on several.

       checksum MODEL.cq ...     one line for each file, kind of activations and tier of kernels */
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"
#include <stdio.h>
#include <stdlib.h>

enum { TOKENS = 24 };
static union {
    uint64_t align;
    unsigned char bytes[1 << 24];
} flash, ram;

static int run(const char *name, size_t size, const char *isa, unsigned act_bits) {
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
    sd.max_tokens = TOKENS;
    sd.act_bits = act_bits;
    if (cq_init(&ctx, &cd, &e) || cq_file_open(&file, flash.bytes, size, &arena, &e) || cq_file_check(&file, &e) ||
        cq_model_open(&model, &file, &arena, &e) ||
        cq_session_init(&session, &ctx, &model, &sd, &arena, &arena, &e)) {
        printf("%s: %s\n", name, e.what);
        return 1;
    }
    for (size_t i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + 11) % model.vocab);
    in.ids = ids;
    in.n = TOKENS;
    float *logits = (float *)malloc(TOKENS * model.vocab * sizeof(float));
    if (!logits || cq_forward(&session, &in, &e)) return 1;
    cq_logits(&session, NULL, TOKENS, logits);
    for (size_t i = 0; i < TOKENS * model.vocab; i++) h = (h ^ cq__bits(logits[i])) * 1099511628211ull;
    free(logits);
    printf("%016llx %s %s %s\n", (unsigned long long)h, name, act_bits ? "int8" : "fp32", isa);
    return 0;
}

int main(int argc, char **argv) {
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        size_t size = f ? fread(flash.bytes, 1, sizeof flash.bytes, f) : 0;
        if (f) fclose(f);
        for (int act = 0; act < 2; act++)
            for (size_t t = 0; cq_isa_available(t); t++) bad |= run(argv[i], size, cq_isa_available(t), act ? 8 : 0);
    }
    return bad;
}
