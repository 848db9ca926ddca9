/* The checksum of a model's logits, as tests/checksum.c and tests/firmware/model.c print it: equal on every machine. */
#ifndef CQUANT_TESTS_CHECKSUM_H
#define CQUANT_TESTS_CHECKSUM_H
/* the includer has the implementation of cquant_models.h */
enum { CHECKSUM_TOKENS = 11 };

/* Runs the model of a .cq file on a tier, its logits `rows` at a time: FNV-1a over their bits. *used: bytes of ram that
   it took. NULL, or what went wrong. */
static const char *model_checksum(void *ram, size_t ram_bytes, const unsigned char *data, size_t size, const char *isa,
                                  unsigned act_bits, size_t rows, uint64_t *sum, size_t *used) {
    static cq_error e;
    cq_arena arena = cq_arena_over(ram, ram_bytes);
    cq_context_desc cd = {isa, {NULL, NULL}};
    cq_session_desc sd = {0};
    cq_context ctx;
    cq_file file;
    cq_model model;
    cq_session session;
    cq_input in = {0};
    int32_t ids[CHECKSUM_TOKENS];
    float *logits;
    *sum = 14695981039346656037ull;
    sd.max_tokens = CHECKSUM_TOKENS;
    sd.act_bits = act_bits;
    if (cq_init(&ctx, &cd, &e) || cq_file_open(&file, data, size, &arena, &e) || cq_file_check(&file, &e) ||
        cq_model_open(&model, &file, &arena, &e) || cq_session_init(&session, &ctx, &model, &sd, &arena, &arena, &e))
        return e.what;
    for (size_t i = 0; i < CHECKSUM_TOKENS; i++) ids[i] = (int32_t)((i * 37 + 11) % model.vocab);
    in.ids = ids;
    in.n = CHECKSUM_TOKENS;
    logits = (float *)cq_alloc(&arena, rows * model.vocab, sizeof(float));
    if (!logits) return "no room for the logits";
    if (cq_forward(&session, &in, &e)) return e.what;
    for (uint32_t row = 0; row < CHECKSUM_TOKENS; row += (uint32_t)rows) {
        uint32_t which[CHECKSUM_TOKENS];
        size_t n = CHECKSUM_TOKENS - row < rows ? CHECKSUM_TOKENS - row : rows;
        for (uint32_t i = 0; i < n; i++) which[i] = row + i;
        cq_logits(&session, which, n, logits);
        for (size_t i = 0; i < n * model.vocab; i++) *sum = (*sum ^ cq__bits(logits[i])) * 1099511628211ull;
    }
    *used = arena.used;
    return NULL;
}
#endif
