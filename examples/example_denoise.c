/* Runs a diffusion model from one .cq file, and shows the text as it forms if stdout is a terminal.

       cc -O2 -I. examples/example_denoise.c -o denoise && ./denoise model.cq "And God said" */
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"
#include <stdio.h>
#include <unistd.h>

enum { NEW_TOKENS = 40, MAX_TOKENS = 256 };
static unsigned char flash[1 << 26], ram[1 << 24]; /* on a microcontroller `flash` is where the file already lies */

static int fail(const cq_error *e) {
    fprintf(stderr, "%s %.*s\n", e->what, (int)e->name_len, e->name ? e->name : "");
    return 1;
}
/* Over what was drawn before; a light block for each token that is still open. */
static void draw(const cq_tokenizer *tok, const int32_t *ids, size_t n, int32_t mask) {
    char text[512];
    printf("\0338\033[J"); /* back to where the cursor was saved, and clear from there */
    for (size_t i = 0; i < n; i++)
        if (ids[i] == mask) printf("\xe2\x96\x91");
        else printf("%.*s", (int)cq_tokenizer_decode(tok, ids + i, 1, text, sizeof text), text);
    fflush(stdout);
}
int main(int argc, char **argv) {
    FILE *f = argc == 3 ? fopen(argv[1], "rb") : NULL;
    size_t size = f ? fread(flash, 1, sizeof flash, f) : 0, len = 0, n = 0;
    cq_arena arena = cq_arena_over(ram, sizeof ram);
    cq_context ctx;
    cq_file file;
    cq_model model;
    cq_tokenizer tok;
    cq_session session;
    cq_generator gen;
    cq_session_desc sd = {.max_tokens = MAX_TOKENS, .act_bits = 8}; /* int8 activations */
    cq_generate_desc gd = {.alg = CQ_ALG_ENTROPY, .steps = NEW_TOKENS, .temperature = 0.8f, .top_p = 0.9f, .seed = 1};
    cq_error e;
    int32_t ids[MAX_TOKENS];
    char text[8192];
    while (argc == 3 && argv[2][len]) len++;
    if (cq_init(&ctx, NULL, &e) || cq_file_open(&file, flash, size, &arena, &e) ||
        cq_model_open(&model, &file, &arena, &e) ||
        cq_tokenizer_open(&tok, file.section[CQ_SECTION_TOKENIZER].data, file.section[CQ_SECTION_TOKENIZER].size, &e) ||
        cq_tokenizer_encode(&tok, argv[2], len, ids, MAX_TOKENS - NEW_TOKENS, &n, &arena, &e) ||
        cq_session_init(&session, &ctx, &model, &sd, &arena, &arena, &e))
        return fail(&e);
    for (size_t i = n; i < n + NEW_TOKENS; i++) ids[i] = model.mask_id;
    if (cq_generate_begin(&gen, &session, &gd, ids, n + NEW_TOKENS, n, NULL, &arena, &e)) return fail(&e);
    if (isatty(1)) printf("\0337"); /* saves the cursor */
    while (!gen.done) {
        if (cq_generate_step(&gen, &e)) return fail(&e);
        if (isatty(1)) draw(&tok, ids, n + NEW_TOKENS, model.mask_id);
    }
    if (isatty(1)) printf("\0338\033[J");
    printf("%.*s\n", (int)cq_tokenizer_decode(&tok, ids, n + NEW_TOKENS, text, sizeof text), text);
    printf("%zu forward passes, %zu bytes of RAM, kernels: %s\n", gen.stats.forwards, arena.used, cq_isa(&ctx));
    return 0;
}
