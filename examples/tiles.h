/* Asks Linux for the tiles of AMX, once. Included before the implementation of the library, which then has the tier
   amx where the processor has it. */
#if defined(__x86_64__) && defined(__linux__) && !defined(CQUANT_NO_SIMD)
#include <sys/syscall.h>
extern long syscall(long number, ...); /* unistd.h hides it from strict C99 */
static int may_use_tiles(void) {
    static int answer; /* 1: yes, -1: no */
    if (!answer) answer = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18) == 0 ? 1 : -1;
    return answer > 0;
}
#define CQUANT_TILES may_use_tiles()
#endif
