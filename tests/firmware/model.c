/* A whole model in flash, run on a board: the checksum of its logits, as tests/checksum.c prints it for any machine. A
   line for each kind of activations and tier of the build: checksum, activations, tier, bytes of memory. */
#define CQUANT_STATIC
#define CQUANT_IMPLEMENTATION
#include "cquant_models.h"

#include "../checksum.h"
#include "board.h"

#ifndef RAM_BYTES
#define RAM_BYTES (400u << 10)
#endif
extern const unsigned char board_model[], board_model_end[]; /* where the linker put the .cq file */
static unsigned char ram[RAM_BYTES] __attribute__((aligned(64)));

static int run(const char *isa, unsigned act_bits) {
    uint64_t h;
    size_t used;
    const char *wrong = model_checksum(ram, sizeof ram, board_model, (size_t)(board_model_end - board_model), isa,
                                       act_bits, 1 /* row of logits at a time: memory for one */, &h, &used);
    if (wrong) {
        bare_say(wrong);
        bare_say("\n");
        return 1;
    }
    board_print_number(h, 16);
    bare_say(act_bits ? " int8 " : " fp32 ");
    bare_say(isa);
    bare_say(" ");
    board_print_number(used, 10);
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
