/* dream.h - a denoising step of Dream 7B, from weights that are made in memory

   Included by bench.c. The model has the shape of Dream 7B (bench/make_dream.py), or an eighth of its layers and of its
   vocabulary, as `export --dtype int4` writes it: linears in int4 with groups of 64, embedding and head in int8, norms
   and biases in float. Its weights repeat 256 random rows, which lie in memory as often as the model has them: a step
   reads and computes what it would with any others. */
enum { DREAM_HIDDEN = 3584, DREAM_INNER = 18944, DREAM_LAYERS = 28, DREAM_KV = 512, DREAM_VOCAB = 152064,
       DREAM_ROWS = 256, DREAM_PROMPT = 128, DREAM_GROUP = 64 };
typedef struct {
    size_t layers, vocab, count;
    char config[512];
    size_t config_len;
    cq_named *list; /* (count) */
    char (*name)[64];
    uint64_t bytes; /* of the weights */
    double linears; /* weights of all layers' */
} dream;

static void dream_add(dream *d, const char *name, size_t rows, size_t cols, cq_format format) {
    cq_named *n = &d->list[d->count];
    cq_error err;
    bool coded = cq_format_is_coded(format);
    if (cq_tensor_init(&n->t, format, coded ? CQ_PANELS : CQ_ROWS, rows, cols, format == CQ_INT4 ? DREAM_GROUP : 0,
                       false, &err))
        exit(1);
    snprintf(d->name[d->count], sizeof *d->name, "%s", name);
    n->name = d->name[d->count++];
    n->name_len = strlen(n->name);
    n->bytes = n->t.bytes;
    n->ndim = rows > 1 ? 2 : 1;
    n->shape[0] = rows > 1 ? rows : cols;
    n->shape[1] = rows > 1 ? cols : 0;
    n->dtype = coded ? CQ_DTYPE_PACKED : CQ_DTYPE_F32;
    d->bytes += n->bytes;
    if (format == CQ_INT4) d->linears += (double)rows * (double)cols;
}
static int dream_order(const void *a, const void *b) {
    return strcmp(((const cq_named *)a)->name, ((const cq_named *)b)->name);
}
/* What there is, in one part of `part`; nothing of it yet. */
static void dream_list(dream *d, size_t part) {
    static const struct {
        const char *name;
        size_t rows, cols;
        cq_format format;
    } layer[] = {
        {"input_layernorm.weight", 1, DREAM_HIDDEN, CQ_F32},
        {"self_attn.q_proj.weight", DREAM_HIDDEN, DREAM_HIDDEN, CQ_INT4},
        {"self_attn.q_proj.bias", 1, DREAM_HIDDEN, CQ_F32},
        {"self_attn.k_proj.weight", DREAM_KV, DREAM_HIDDEN, CQ_INT4},
        {"self_attn.k_proj.bias", 1, DREAM_KV, CQ_F32},
        {"self_attn.v_proj.weight", DREAM_KV, DREAM_HIDDEN, CQ_INT4},
        {"self_attn.v_proj.bias", 1, DREAM_KV, CQ_F32},
        {"self_attn.o_proj.weight", DREAM_HIDDEN, DREAM_HIDDEN, CQ_INT4},
        {"post_attention_layernorm.weight", 1, DREAM_HIDDEN, CQ_F32},
        {"mlp.gate_proj.weight", DREAM_INNER, DREAM_HIDDEN, CQ_INT4},
        {"mlp.up_proj.weight", DREAM_INNER, DREAM_HIDDEN, CQ_INT4},
        {"mlp.down_proj.weight", DREAM_HIDDEN, DREAM_INNER, CQ_INT4},
    };
    enum { KINDS = sizeof layer / sizeof *layer };
    char name[64];
    memset(d, 0, sizeof *d);
    d->layers = (DREAM_LAYERS + part / 2) / part;
    d->vocab = DREAM_VOCAB / part;
    d->list = (cq_named *)allocate((KINDS * d->layers + 3) * sizeof *d->list);
    d->name = (char (*)[64])allocate((KINDS * d->layers + 3) * sizeof *d->name);
    for (size_t i = 0; i < d->layers; i++)
        for (size_t k = 0; k < KINDS; k++) {
            snprintf(name, sizeof name, "model.layers.%u.%s", (unsigned)i, layer[k].name);
            dream_add(d, name, layer[k].rows, layer[k].cols, layer[k].format);
        }
    dream_add(d, "model.embed_tokens.weight", d->vocab, DREAM_HIDDEN, CQ_INT8);
    dream_add(d, "lm_head.weight", d->vocab, DREAM_HIDDEN, CQ_INT8);
    dream_add(d, "model.norm.weight", 1, DREAM_HIDDEN, CQ_F32);
    qsort(d->list, d->count, sizeof *d->list, dream_order);
    d->config_len = (size_t)snprintf(
        d->config, sizeof d->config,
        "{\"model_type\": \"Dream\", \"hidden_size\": %d, \"num_hidden_layers\": %u, \"num_attention_heads\": 28, "
        "\"num_key_value_heads\": 4, \"intermediate_size\": %d, \"vocab_size\": %u, "
        "\"max_position_embeddings\": 131072, \"rms_norm_eps\": 1e-6, \"rope_theta\": 1000000.0, "
        "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"mask_token_id\": %u}",
        DREAM_HIDDEN, (unsigned)d->layers, DREAM_INNER, (unsigned)d->vocab, (unsigned)(d->vocab - 398));
}
/* The weights, into as many bytes, each tensor on a boundary of CQ_ALIGN. */
static void dream_fill(dream *d, unsigned char *memory) {
    float *w = (float *)allocate((size_t)WEIGHT_ROWS * DREAM_INNER * sizeof(float));
    unsigned char *made[3] = {NULL, NULL, NULL}; /* 256 rows: int4 of either width, int8 */
    size_t size[3] = {0, 0, 0};
    fill_random(w, (size_t)WEIGHT_ROWS * DREAM_INNER, 11);
    for (size_t i = 0; i < (size_t)WEIGHT_ROWS * DREAM_INNER; i++) w[i] *= 0.0346f; /* a deviation of 0.02 */
    for (size_t i = 0; i < d->count; i++) {
        cq_named *n = &d->list[i];
        n->data = n->t.data = memory;
        if (!cq_format_is_coded(n->t.format)) {
            bool gain = strstr(n->name, "norm") != NULL;
            for (size_t c = 0; c < n->t.cols; c++) cq__put32(memory + 4 * c, gain ? 0x3f800000u : 0);
        } else {
            int kind = n->t.format == CQ_INT8 ? 2 : n->t.cols == DREAM_INNER;
            if (!made[kind]) {
                cq_tensor rows = n->t;
                if (cq_tensor_init(&rows, n->t.format, CQ_PANELS, WEIGHT_ROWS, n->t.cols, n->t.group_size, false, NULL))
                    exit(1);
                made[kind] = (unsigned char *)allocate(size[kind] = rows.bytes);
                if (cq_quantize_rtn(&rows, made[kind], w, n->t.cols, NULL)) exit(1);
            }
            for (size_t at = 0; at < n->t.bytes; at += size[kind])
                memcpy(memory + at, made[kind], n->t.bytes - at < size[kind] ? n->t.bytes - at : size[kind]);
        }
        memory += (n->t.bytes + CQ_ALIGN - 1) & ~(size_t)(CQ_ALIGN - 1);
    }
    free(w), free(made[0]), free(made[1]), free(made[2]);
}
static uint64_t dream_memory(const dream *d) { return d->bytes + d->count * (uint64_t)CQ_ALIGN; }
static void dream_check(cq_status status, const cq_error *err) {
    if (status == CQ_OK) return;
    fprintf(stderr, "bench: the model of Dream's shape: %s\n", err->what);
    exit(1);
}
