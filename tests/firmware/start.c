/* What a Cortex-M needs before main: a vector table, zeroed memory, the FPU switched on. And what these tests need
   then: text out and an exit code through semihosting ("bkpt 0xab": the emulator, or a debugger, does what r0 says). */
#include "board.h"

extern uint32_t board_bss_begin[], board_bss_end[], board_stack_top[];
int main(void);
void board_reset(void);
void board_fault(void);

static int32_t semihosting(int32_t what, const void *with) {
    register int32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
void bare_say(const char *text) { semihosting(0x04 /* SYS_WRITE0 */, text); } /* as tests/bare.h has it */
void board_print_number(uint64_t value, unsigned base) { /* without a division: of 64 bits, that is a call of libgcc */
    char text[24], *p = text + sizeof text;
    *--p = 0;
    if (base == 16)
        for (int digit = 0; digit < 16; digit++, value >>= 4) *--p = "0123456789abcdef"[value & 15];
    else {
        uint32_t small = (uint32_t)value;
        do *--p = (char)('0' + small % 10), small /= 10;
        while (small);
    }
    bare_say(p);
}
static void board_exit(int code) {
    uint32_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, 0};
    block[1] = (uint32_t)code;
    semihosting(0x20 /* SYS_EXIT_EXTENDED */, block);
    for (;;) {}
}
void board_fault(void) {
    bare_say("fault\n");
    board_exit(99);
}
void board_reset(void) {
#if __ARM_ARCH_ISA_THUMB == 2 /* CPACR: FPU and Helium */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb");
#else /* a Cortex-M0 has no unaligned access; where its code runs on a larger core, CCR.UNALIGN_TRP forbids it */
    *(volatile uint32_t *)0xE000ED14u |= 1u << 3;
#endif
    for (volatile uint32_t *p = board_bss_begin; p < board_bss_end; p++) *p = 0;
    board_exit(main());
}
typedef union vector {
    uint32_t *stack;
    void (*code)(void);
} vector;
__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {board_stack_top}, {.code = board_reset}, {.code = board_fault}, {.code = board_fault},
    {.code = board_fault}, {.code = board_fault}, {.code = board_fault}};

/* what compilers call by themselves for the assignment of large structs */
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int value, size_t n);
void *memcpy(void *dst, const void *src, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    const unsigned char *s = (const unsigned char *)src;
    while (n--) *d++ = *s++;
    return dst;
}
void *memmove(void *dst, const void *src, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    const unsigned char *s = (const unsigned char *)src;
    if (d < s) return memcpy(dst, src, n);
    while (n--) d[n] = s[n];
    return dst;
}
void *memset(void *dst, int value, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    while (n--) *d++ = (unsigned char)value;
    return dst;
}
