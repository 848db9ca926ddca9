/* A whole model in flash, run on a board: the checksum of its logits, as tests/checksum.c prints it for any machine. A
   line for each kind of activations and tier of the build: checksum, activations, tier, bytes of memory. */
#define CQUANT_STATIC
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "board.h"

#ifndef RAM_BYTES
#define RAM_BYTES (400u << 10)
#endif
enum { TOKENS = 24, VOCABULARY = 4096 };
extern const unsigned char board_model[], board_model_end[]; /* where the linker put the .cq file */
static unsigned char ram[RAM_BYTES] __attribute__((aligned(64)));
static float logits[VOCABULARY];

static int run(const char *isa, unsigned act_bits) {
    cq_arena arena = cq_arena_over(ram, sizeof ram);
    cq_context_desc cd = {isa, {NULL, NULL}};
    cq_session_desc sd = {0};
    cq_context ctx;
    cq_file file;
    cq_model model;
    cq_session session;
    cq_input in = {0};
    cq_error e = {CQ_OK, "", NULL, 0, 0, 0};
    int32_t ids[TOKENS];
    uint64_t h = 14695981039346656037ull;
    size_t bytes = (size_t)(board_model_end - board_model);
    sd.max_tokens = TOKENS;
    sd.act_bits = act_bits;
    if (cq_init(&ctx, &cd, &e) || cq_file_open(&file, board_model, bytes, &arena, &e) || cq_file_check(&file, &e) ||
        cq_model_open(&model, &file, &arena, &e) ||
        cq_session_init(&session, &ctx, &model, &sd, &arena, &arena, &e) || model.vocab > VOCABULARY) {
        bare_say(e.what);
        bare_say("\n");
        return 1;
    }
    for (size_t i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + 11) % model.vocab);
    in.ids = ids;
    in.n = TOKENS;
    if (cq_forward(&session, &in, &e)) return 1;
    for (uint32_t row = 0; row < TOKENS; row++) { /* row by row: memory for one */
        cq_logits(&session, &row, 1, logits);
        for (size_t i = 0; i < model.vocab; i++) h = (h ^ cq__bits(logits[i])) * 1099511628211ull;
    }
    board_print_number(h, 16);
    bare_say(act_bits ? " int8 " : " fp32 ");
    bare_say(isa);
    bare_say(" ");
    board_print_number(arena.used, 10);
    bare_say("\n");
    return 0;
}
int main(void) {
    int bad = 0;
    bool large = board_model_end - board_model > 1 << 20; /* int8 activations only: an emulator is slow on floats */
    for (unsigned act = large; act < 2; act++)
        for (size_t t = 0; cq_isa_available(t); t++) bad |= run(cq_isa_available(t), act ? 8 : 0);
    return bad;
}
