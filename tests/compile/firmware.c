/* A program without an operating system's library: its own entry point, its own memory, no libc, no libm. It quantises
   a small matrix to each integer format, multiplies both ways, and exits with 0 when the answers are near the exact
   ones. Linked with -nostdlib; if anything outside of this file were needed, linking would fail. */
#define CQUANT_STATIC
#define CQUANT_IMPLEMENTATION
#include CQUANT_HEADER

/* what gcc may call even in freestanding code; the volatile pointer keeps it from calling itself */
void *memset(void *dst, int value, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int value, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    while (n--) *d++ = (unsigned char)value;
    return dst;
}
void *memcpy(void *dst, const void *src, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    const unsigned char *s = (const unsigned char *)src;
    while (n--) *d++ = *s++;
    return dst;
}
void *memmove(void *dst, const void *src, size_t n) {
    volatile unsigned char *d = (volatile unsigned char *)dst;
    const unsigned char *s = (const unsigned char *)src;
    if ((uintptr_t)dst < (uintptr_t)src) return memcpy(dst, src, n);
    while (n--) d[n] = s[n];
    return dst;
}

static unsigned char memory[65536];

static int run(void) {
    cq_context ctx;
    cq_arena arena = cq_arena_over(memory, sizeof memory);
    if (cq_init(&ctx, NULL, NULL)) return 1;
    for (int format = CQ_INT8; format <= CQ_INT2; format++) {
        cq_tensor t;
        cq_acts acts;
        float *w, *x, y[20], z[20], bound = format == CQ_INT8 ? 0.2f : format == CQ_INT4 ? 2.0f : 12.0f;
        if (cq_tensor_init(&t, (cq_format)format, CQ_PANELS, 20, 100, 32, true, NULL)) return 2;
        arena.used = 0;
        w = (float *)cq_alloc(&arena, 20 * 100, sizeof(float));
        x = (float *)cq_alloc(&arena, 100, sizeof(float));
        void *data = cq_alloc(&arena, t.bytes, 1);
        cq_acts_alloc(&acts, &arena, 1, 100);
        if (arena.failed) return 3;
        for (size_t i = 0; i < 20 * 100; i++) w[i] = (float)(cq_random(1, 0, i) >> 48) / 32768.0f - 1.0f;
        for (size_t i = 0; i < 100; i++) x[i] = (float)(cq_random(2, 0, i) >> 48) / 32768.0f - 1.0f;
        if (cq_quantize_rtn(&t, data, w, 100, NULL)) return 4;
        cq_matmul(&ctx, y, 20, &t, NULL, x, 100, 1, false);
        cq_quantize_acts(&ctx, &acts, x, 100, 1, 100);
        cq_matmul_q8(&ctx, z, 20, &t, NULL, &acts, 1, false);
        for (size_t r = 0; r < 20; r++) {
            float exact = 0.0f;
            for (size_t k = 0; k < 100; k++) exact += w[r * 100 + k] * x[k];
            if (!(y[r] - exact < bound && exact - y[r] < bound)) return 5;
            if (!(z[r] - exact < bound && exact - z[r] < bound)) return 6;
        }
    }
    return 0;
}

#if defined(__x86_64__) && defined(__linux__)
__attribute__((noreturn, used)) static void start(void) {
    __asm__ volatile("syscall" : : "a"(60L), "D"((long)run()) : "rcx", "r11", "memory");
    for (;;) {}
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-64, %rsp\n\tcall start\n");
#elif defined(__aarch64__) && defined(__linux__)
__attribute__((noreturn, used)) void _start(void);
__attribute__((noreturn, used)) void _start(void) {
    register long code __asm__("x0") = run();
    register long call __asm__("x8") = 93;
    __asm__ volatile("svc 0" : : "r"(code), "r"(call) : "memory");
    for (;;) {}
}
#else
int main(void) { return run(); } /* a board's startup code calls this */
#endif
