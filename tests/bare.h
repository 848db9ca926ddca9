/* What a test program says and how it starts. Hosted: stdio. With CQ_BARE nothing but the compiler: raw system calls of
   Linux (so that an emulator of processes runs it without any library of that machine), an imported function of
   WebAssembly (tests/run.cjs gives it), the ports of a bare PC (tests/bochs/), or a board's own (CQ_BARE_EXTERN: it has
   bare_say, its start calls main). The program says things with bare_say and has a main(void). */
#ifndef CQUANT_TESTS_BARE_H
#define CQUANT_TESTS_BARE_H
#include <stddef.h>
#include <stdint.h>

#ifdef CQ_BARE_PC /* emulated slowly: its best tier alone, the others have lanes where they are the best */
enum { BARE_BEST_ONLY = 1 };
#else
enum { BARE_BEST_ONLY = 0 };
#endif

#ifndef CQ_BARE
#include <stdio.h>
static void bare_say(const char *text) {
    fputs(text, stdout);
    fflush(stdout); /* what was said before a crash counts */
}
#else
int main(void);

#ifndef CQ_BARE_EXTERN
/* What compilers call by themselves. The headers ask for none of these; their copies of structs, and 64-bit arithmetic
   on 32-bit processors, become such calls. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n) {
    for (size_t i = 0; i < n; i++) ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}
void *memset(void *to, int value, size_t n) {
    for (size_t i = 0; i < n; i++) ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}
#if SIZE_MAX == UINT32_MAX && !defined(__wasm__)
int64_t bare_divide(int64_t a, int64_t b, int64_t *rest);
__attribute__((used)) int64_t bare_divide(int64_t a, int64_t b, int64_t *rest) {
    uint64_t n = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, d = b < 0 ? 0 - (uint64_t)b : (uint64_t)b, r = 0, q = 0;
    for (int bit = 63; bit >= 0; bit--) {
        r = r << 1 | (n >> bit & 1);
        if (r >= d) r -= d, q |= (uint64_t)1 << bit;
    }
    *rest = a < 0 ? (int64_t)(0 - r) : (int64_t)r;
    return (a < 0) != (b < 0) ? (int64_t)(0 - q) : (int64_t)q;
}
#if defined(__arm__)
#define BARE_SOFT __attribute__((pcs("aapcs"))) /* floats in integer registers, whatever else the program does */
#define __floatundisf __aeabi_ul2f
#define __floatdisf __aeabi_l2f
#define __fixsfdi __aeabi_f2lz
/* quotient and rest in r0 to r3 */
__asm__(".globl __aeabi_ldivmod\n.type __aeabi_ldivmod, %function\n__aeabi_ldivmod: push {r4, lr}\n sub sp, #16\n"
        " add r4, sp, #8\n str r4, [sp]\n bl bare_divide\n ldrd r2, r3, [sp, #8]\n add sp, #16\n pop {r4, pc}");
#else
#define BARE_SOFT
int64_t __divdi3(int64_t a, int64_t b);
int64_t __moddi3(int64_t a, int64_t b);
int64_t __divdi3(int64_t a, int64_t b) {
    int64_t rest;
    return bare_divide(a, b, &rest);
}
int64_t __moddi3(int64_t a, int64_t b) {
    int64_t rest;
    bare_divide(a, b, &rest);
    return rest;
}
#endif
BARE_SOFT float __floatundisf(uint64_t v);
BARE_SOFT float __floatdisf(int64_t v);
BARE_SOFT int64_t __fixsfdi(float v);
BARE_SOFT float __floatundisf(uint64_t v) {
    float unit = 1.0f;
    for (; v >> 32; unit *= 2.0f) v = v >> 1 | (v & 1); /* the last bit says whether anything was lost: rounded once */
    return (float)(uint32_t)v * unit;
}
BARE_SOFT float __floatdisf(int64_t v) {
    float f = __floatundisf(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    return v < 0 ? -f : f;
}
BARE_SOFT int64_t __fixsfdi(float v) { /* |v| < 2^63 */
    float a = v < 0.0f ? -v : v, high = (float)(uint32_t)(a / 4294967296.0f);
    uint64_t u = (uint64_t)(uint32_t)high << 32 | (uint32_t)(a - high * 4294967296.0f);
    return v < 0.0f ? (int64_t)(0 - u) : (int64_t)u;
}
#elif defined(__wasm__)
__int128 __multi3(__int128 a, __int128 b);
__int128 __multi3(__int128 a, __int128 b) {
    uint64_t a0 = (uint32_t)a, a1 = (uint64_t)a >> 32, b0 = (uint32_t)b, b1 = (uint64_t)b >> 32;
    uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), next = a0 * b1 + (uint32_t)mid;
    uint64_t high = a1 * b1 + (mid >> 32) + (next >> 32);
    high += (uint64_t)a * (uint64_t)((unsigned __int128)b >> 64) + (uint64_t)((unsigned __int128)a >> 64) * (uint64_t)b;
    return (__int128)((unsigned __int128)high << 64 | next << 32 | (uint32_t)low);
}
#endif
#endif

#if defined(CQ_BARE_EXTERN)
void bare_say(const char *text);

#elif defined(__wasm__)
__attribute__((import_module("env"), import_name("say"))) void bare_import_say(const char *text);
static void bare_say(const char *text) { bare_import_say(text); }
__attribute__((export_name("run"))) int bare_run(void);
int bare_run(void) { return main(); }

#elif defined(CQ_BARE_PC) /* bochs: what goes to port 0xe9 is its output; "Shutdown" to port 0x8900 ends it */
static void bare_out(uint16_t port, const char *text) {
    for (; *text; text++) __asm__ volatile("outb %0, %1" : : "a"(*text), "d"(port));
}
static void bare_say(const char *text) { bare_out(0xe9, text); }
void bare_entry(void);
__attribute__((section(".entry"), used)) void bare_entry(void) {
    bare_say(main() ? "exit status 1\n" : "exit status 0\n");
    bare_out(0x8900, "Shutdown");
    for (;;) __asm__ volatile("hlt");
}

#else /* Linux */
#if defined(__x86_64__)
enum { BARE_WRITE = 1, BARE_EXIT = 60 };
static long bare_call(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call bare_main");
#elif defined(__i386__)
enum { BARE_WRITE = 4, BARE_EXIT = 1 };
static long bare_call(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %esp\n call bare_main");
#elif defined(__aarch64__)
enum { BARE_WRITE = 64, BARE_EXIT = 93 };
static long bare_call(long n, long a, long b, long c) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: bl bare_main");
#elif defined(__arm__)
enum { BARE_WRITE = 4, BARE_EXIT = 1 };
static long bare_call(long n, long a, long b, long c) {
    register long r7 __asm__("r7") = n, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}
__asm__(".globl _start\n.type _start, %function\n_start: bl bare_main");
#elif defined(__riscv)
enum { BARE_WRITE = 64, BARE_EXIT = 93 };
static long bare_call(long n, long a, long b, long c) {
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}
__asm__(".globl _start\n_start: andi sp, sp, -16\n call bare_main");
#elif defined(__s390x__)
enum { BARE_WRITE = 4, BARE_EXIT = 1 };
static long bare_call(long n, long a, long b, long c) {
    register long r1 __asm__("r1") = n, r2 __asm__("r2") = a, r3 __asm__("r3") = b, r4 __asm__("r4") = c;
    __asm__ volatile("svc 0" : "+r"(r2) : "r"(r1), "r"(r3), "r"(r4) : "memory");
    return r2;
}
__asm__(".globl _start\n_start: aghi %r15, -160\n brasl %r14, bare_main");
#elif defined(__powerpc64__) /* ELFv2: r2 must point to the table of contents */
enum { BARE_WRITE = 4, BARE_EXIT = 1 };
static long bare_call(long n, long a, long b, long c) {
    register long r0 __asm__("r0") = n, r3 __asm__("r3") = a, r4 __asm__("r4") = b, r5 __asm__("r5") = c;
    __asm__ volatile("sc"
                     : "+r"(r3), "+r"(r0)
                     : "r"(r4), "r"(r5)
                     : "memory", "cr0", "r6", "r7", "r8", "r9", "r10", "r11", "r12");
    return r3;
}
__asm__(".globl _start\n_start: bcl 20, 31, 1f\n1: mflr 12\n addis 2, 12, .TOC.-1b@ha\n addi 2, 2, .TOC.-1b@l\n"
        " clrrdi 1, 1, 4\n stdu 1, -128(1)\n bl bare_main\n nop");
#else
#error "bare.h does not know how a program starts here"
#endif
static void bare_say(const char *text) {
    long n = 0;
    while (n < 4096 && text[n]) n++;
    bare_call(BARE_WRITE, 1, (long)text, n);
}
void bare_main(void);
__attribute__((used)) void bare_main(void) {
    for (;;) bare_call(BARE_EXIT, main() != 0, 0, 0);
}
#endif
#endif /* CQ_BARE */
#endif
