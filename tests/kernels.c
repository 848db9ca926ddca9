/* The property test of the kernels as a program, for this machine or for one that has nothing (tests/bare.h): a line
   for each tier of kernels, and the checksum of what plain C computed, which is the same on every machine.

       cc -O2 -I. tests/kernels.c -o kernels && ./kernels

   CQ_ROUNDS: how much of it (20). CQ_TRAP: enters the best tier that this processor does not have, which must trap. */
#define CQUANT_IMPLEMENTATION
#include "cquant.h"

#include "bare.h"
#include "kernels.h"

#ifndef CQ_ROUNDS
#define CQ_ROUNDS 20
#endif

static void say(void *user, const char *text) {
    (void)user;
    bare_say(text);
}

#ifdef CQ_TRAP
static void enter(cq_kernel_test *test) {
    size_t i = 0, j;
    kt_find_tiers(test);
    for (;; i++) { /* the last row of cq__tiers, plain C, is always there */
        for (j = 0; j < test->tiers && test->tier[j].k != cq__tiers[i].k;) j++;
        if (j == test->tiers) break;
        if (i + 1 == sizeof cq__tiers / sizeof *cq__tiers) {
            bare_say("every tier of this build is there\n");
            return;
        }
    }
    test->tiers = test->compared = 1;
    test->tier[0].k = cq__tiers[i].k;
    bare_say("entering "), bare_say(cq__tiers[i].k->name), bare_say("\n");
    kt_rounds(test);
    bare_say(cq__tiers[i].k->name), bare_say(" did not trap\n");
}
#endif

int main(void) {
    static unsigned char memory[CQ_KERNELS_MEMORY] __attribute__((aligned(64)));
    static cq_kernel_test test; /* all 0 */
    kt_text line;
    test.say = say;
    test.memory = memory;
    test.rounds = CQ_ROUNDS;
    test.best_only = BARE_BEST_ONLY;
#ifdef CQ_TRAP
    enter(&test);
    return 1;
#endif
    uint32_t wrong = cq_check_kernels(&test);
    for (size_t i = 0; i < test.tiers; i++) {
        line.n = 0;
        kt_put(&line, test.tier[i].k->name);
        if (i < test.compared) {
            kt_put(&line, ": ");
            kt_put_number(&line, test.tier[i].comparisons);
            kt_put(&line, " comparisons, ");
            kt_put_number(&line, test.tier[i].wrong);
            kt_put(&line, " wrong\n");
        } else {
            kt_put(&line, ": there\n");
        }
        bare_say(line.text);
    }
    line.n = 0;
    kt_put(&line, "checksum ");
    kt_put_hex(&line, (uint32_t)(test.checksum >> 32));
    kt_put_hex(&line, (uint32_t)test.checksum);
    kt_put(&line, " of ");
    kt_put_number(&line, CQ_ROUNDS);
    kt_put(&line, " rounds\n");
    bare_say(line.text);
    return wrong != 0;
}
