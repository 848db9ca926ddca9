/* tool_model.c - MODEL on the command line: what is a model on disk, and how it becomes a cq_model (see tool.h)

   Nothing is copied: config.json, shards and .cq files are mapped, and all that cquant makes are views of them. */
#include "tool.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [ERRORS]  which file is to blame
   ================================================================================================================== */
/* FILE:LINE:COLUMN: message (word), for what is wrong in a description */
TOOL_NORETURN static void arch_fail(const tool_file *f, const cq_error *err) {
    const char *text = (const char *)f->data, *name = err->name;
    bool inside = name && name >= text && name < text + f->size; /* else the word is a part of the message */
    size_t at = inside ? (size_t)(name - text) : err->where < f->size ? (size_t)err->where : f->size;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    char *file = tool_format("%s:%zu:%zu", f->path, line, column);
    int n = err->name_len > 120 ? 120 : (int)err->name_len;
    if (name && n) tool_fail(file, "%s (%.*s)", err->what, n, name);
    tool_fail(file, "%s", err->what);
}

/* Is the description to blame for an error of binding? Then it names one of its words, and not a key or tensor. */
static bool blames_arch(const tool_model *t, const cq_error *err) {
    const char *text = (const char *)t->arch.data;
    return t->arch.size && t->arch.path != t->path && err->name >= text && err->name < text + t->arch.size &&
           !strstr(err->what, "config.json");
}

void tool_model_fail(const tool_model *t, const cq_error *err) {
    const char *file = t->path;
    if (blames_arch(t, err)) arch_fail(&t->arch, err);
    if (!strncmp(err->what, "no description of this model_type", 33))
        tool_fail(t->config.path, "there is no description of the model_type '%.*s'; `cquant models` lists those there "
                                  "are, and --arch FILE gives another", (int)err->name_len, err->name);
    if (!t->is_file && err->name && err->name_len) {
        const cq_named *n = cq_weights_find(&t->weights, err->name, err->name_len);
        bool tensor = (err->name_len > 7 && !memcmp(err->name + err->name_len - 7, ".weight", 7)) ||
                      (err->name_len > 5 && !memcmp(err->name + err->name_len - 5, ".bias", 5));
        if (n) file = t->shards[n->file].path;
        else if (tensor) file = t->shard_count == 1 ? t->shards[0].path : t->path;
        else if (t->config.path) file = t->config.path;
    } else if (!t->is_file && t->config.path && err->status == CQ_ERR_FORMAT) {
        file = t->config.path;
    }
    tool_fail_error(file, err);
}

void tool_model_check(const tool_model *t, cq_status status, const cq_error *err) {
    if (status != CQ_OK) tool_model_fail(t, err);
}

/* ===================================================================================================================
   [READING]
   ================================================================================================================== */
static cq_json read_json(const tool_file *f) {
    cq_json j;
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_check(cq_json_parse(&j, (const char *)f->data, f->size, &arena, &err), f->path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_json_parse(&j, (const char *)f->data, f->size, &arena, &err), f->path, &err);
    if (cq_json_kind(&j, 0) != CQ_JSON_OBJECT) tool_fail(f->path, "must be a JSON object");
    return j; /* its arena lives as long as the tool */
}

static void read_shard(tool_model *t, const char *path, cq_weights *out) {
    tool_file *f = &t->shards[t->shard_count];
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    *f = tool_map(path);
    uint32_t number = (uint32_t)t->shard_count;
    tool_check(cq_safetensors_read(f->data, f->size, number, &arena, out, &err), path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_safetensors_read(f->data, f->size, number, &arena, out, &err), path, &err);
    t->shard_count++;
}

static char *json_name(const cq_json *j, uint32_t node) {
    size_t n = cq_json_unescape(j, node, NULL, 0);
    char *text = (char *)tool_alloc(n + 1, 1);
    cq_json_unescape(j, node, text, n);
    return text;
}

/* model.safetensors.index.json: {"metadata": ..., "weight_map": {tensor: file name, ...}} */
static void read_shards(tool_model *t, const char *index_path) {
    tool_file f = tool_map(index_path);
    cq_json j = read_json(&f);
    cq_error err;
    uint32_t map = cq_json_find(&j, 0, "weight_map");
    if (!map || cq_json_kind(&j, map) != CQ_JSON_OBJECT) tool_fail(index_path, "must have the object weight_map");
    size_t entries = 0, files = 0;
    for (uint32_t k = cq_json_child(&j, map); k; k = cq_json_next(&j, k)) entries++;
    if (!entries) tool_fail(index_path, "weight_map is empty, and must name the file of each tensor");

    /* The files, in the order of their first tensor; where[i] is the file of entry i. */
    char **names = (char **)tool_alloc(entries, sizeof *names);
    uint32_t *where = (uint32_t *)tool_alloc(entries, sizeof *where);
    size_t i = 0;
    for (uint32_t k = cq_json_child(&j, map); k; k = cq_json_next(&j, k), i++) {
        uint32_t value = cq_json_child(&j, k);
        if (cq_json_kind(&j, value) != CQ_JSON_STRING)
            tool_fail(index_path, "weight_map: '%s' must be a file name", json_name(&j, k));
        char *name = json_name(&j, value);
        if (!*name || strchr(name, '/') || strlen(name) != cq_json_unescape(&j, value, NULL, 0) ||
            !strcmp(name, "..") || !strcmp(name, "."))
            tool_fail(index_path, "weight_map: '%s' must be the name of a file in the same directory", name);
        for (where[i] = 0; where[i] < files && strcmp(names[where[i]], name);) where[i]++;
        if (where[i] == 4096) tool_fail(index_path, "weight_map names more than 4096 files");
        if (where[i] == files) names[files++] = name;
        else free(name);
    }
    cq_weights *parts = (cq_weights *)tool_alloc(files, sizeof *parts);
    t->shards = (tool_file *)tool_alloc(files, sizeof *t->shards);
    for (size_t s = 0; s < files; s++) read_shard(t, tool_join(t->path, names[s]), &parts[s]);
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_check(cq_weights_merge(parts, files, &arena, &t->weights, &err), t->path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_weights_merge(parts, files, &arena, &t->weights, &err), t->path, &err);

    /* The map and the files must say the same: each entry is found where it says, and there are no others. */
    i = 0;
    for (uint32_t k = cq_json_child(&j, map); k; k = cq_json_next(&j, k), i++) {
        char *name = json_name(&j, k);
        const cq_named *n = cq_weights_find(&t->weights, name, cq_json_unescape(&j, k, NULL, 0));
        if (!n) tool_fail(index_path, "weight_map: '%s' is in no file, and must be in '%s'", name, names[where[i]]);
        if (n->file != where[i])
            tool_fail(index_path, "weight_map: '%s' is in '%s', and must be in '%s'", name, t->shards[n->file].path,
                      names[where[i]]);
        free(name);
    }
    for (i = 0; i < t->weights.count; i++) {
        const cq_named *n = &t->weights.list[i];
        if (!cq_json_find_n(&j, map, n->name, n->name_len))
            tool_fail(t->shards[n->file].path, "tensor '%.*s' is not in the weight_map of '%s'", (int)n->name_len,
                      n->name, index_path);
    }
    free(parts);
    free(where);
    free(names);
}

static void open_dir(tool_model *t) {
    char *path = tool_join(t->path, "config.json"), *yaml = tool_join(t->path, "open_model.yaml");
    if (!tool_exists(path) && tool_exists(yaml)) {
        t->config = tool_yaml_config(yaml);
        free(path);
        return;
    }
    free(yaml);
    if (!tool_exists(path))
        tool_fail(t->path, "has no config.json; MODEL must be a Hugging Face directory or a .cq file");
    t->config = tool_map(path);
}

/* config.json without quantization_config, which is done with when the weights are read: what is written from them is
   another model. */
static void drop_quantization(tool_model *t, const cq_json *j, uint32_t key) {
    const char *text = (const char *)t->config.data;
    uint32_t next = cq_json_next(j, key), first = cq_json_child(j, 0);
    size_t begin = j->nodes[key].begin - 1, end = next ? j->nodes[next].begin - 1 : j->nodes[0].end - 1; /* quotes */
    while (!next && key != first && text[begin] != ',') begin--; /* the last one: with the comma before it */
    char *rest = tool_format("%.*s%.*s", (int)begin, text, (int)(t->config.size - end), text + end);
    t->config.data = (unsigned char *)rest;
    t->config.size = strlen(rest);
}

/* Weights that are quantised as others do it become packed tensors, in memory. */
static void read_quantised(tool_model *t) {
    tool_file f = t->config;
    cq_json config = read_json(&f);
    uint32_t key = cq_json_find(&config, 0, "quantization_config"), node = key;
    char *path = tool_join(t->path, "quantize_config.json");
    if (node && cq_json_is_null(&config, node)) node = 0;
    cq_json own = config;
    if (!node && tool_exists(path)) { /* as AutoGPTQ wrote it */
        f = tool_map(path);
        own = read_json(&f);
    } else if (!node) {
        free(path);
        return;
    }
    cq_context ctx;
    cq_error err;
    cq_weights stored = t->weights;
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_context(&ctx);
    cq_status st = cq_checkpoint_read(&ctx, &own, node, &stored, &arena, &t->weights, &err);
    if (st == CQ_OK) {
        arena = tool_arena(arena.used);
        st = cq_checkpoint_read(&ctx, &own, node, &stored, &arena, &t->weights, &err);
    }
    if (st != CQ_OK) {
        const cq_named *n = err.name ? cq_weights_find(&stored, err.name, err.name_len) : NULL;
        tool_fail_error(n ? t->shards[n->file].path : f.path, &err);
    }
    for (uint32_t k = cq_json_child(&config, 0); k; k = cq_json_next(&config, k))
        if (node && cq_json_child(&config, k) == node) drop_quantization(t, &config, k);
}

static void read_weights(tool_model *t) {
    char *single = tool_join(t->path, "model.safetensors"), *index = tool_join(t->path, "model.safetensors.index.json");
    if (tool_exists(single)) {
        t->shards = (tool_file *)tool_alloc(1, sizeof *t->shards);
        read_shard(t, single, &t->weights);
    } else if (tool_exists(index)) {
        read_shards(t, index);
    } else {
        tool_fail(t->path, "has no model.safetensors and no model.safetensors.index.json; one of them must be there");
    }
    read_quantised(t);
}

static void open_cq(tool_model *t) {
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    t->is_file = true;
    t->shards = (tool_file *)tool_alloc(1, sizeof *t->shards);
    t->shards[0] = tool_map(t->path);
    t->shard_count = 1;
    const tool_file *f = &t->shards[0];
    if (f->size < 8 || memcmp(f->data, "CQUANT\r\n", 8))
        tool_fail(t->path, "is no .cq file (it must begin with CQUANT); MODEL may also be a Hugging Face directory");
    tool_check(cq_file_open(&t->file, f->data, f->size, &arena, &err), t->path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_file_open(&t->file, f->data, f->size, &arena, &err), t->path, &err);
    t->weights = t->file.weights;
    t->config.path = t->path;
    t->config.data = t->file.section[CQ_SECTION_CONFIG].data;
    t->config.size = t->file.section[CQ_SECTION_CONFIG].size;
    t->arch.path = t->path;
    t->arch.data = t->file.section[CQ_SECTION_DESCRIPTION].data;
    t->arch.size = t->file.section[CQ_SECTION_DESCRIPTION].size;
}

tool_file tool_arch_read(const char *path, cq_arch *arch) {
    tool_file f = tool_map(path);
    cq_error err;
    if (!f.size) tool_fail(path, "is empty; a description begins with the line 'model NAME'");
    if (cq_arch_parse(arch, (const char *)f.data, f.size, &err) != CQ_OK) arch_fail(&f, &err);
    return f;
}

void tool_model_locate(tool_model *t, const char *path) {
    memset(t, 0, sizeof *t);
    t->path = path;
    if (!tool_exists(path)) tool_fail(path, "does not exist; MODEL must be a Hugging Face directory or a .cq file");
    if (tool_is_dir(path)) open_dir(t);
    else open_cq(t);
    if (tool_has("arch")) {
        cq_arch *arch = (cq_arch *)tool_alloc(1, sizeof *arch);
        t->arch = tool_arch_read(tool_text("arch", NULL), arch);
        free(arch);
    }
}

void tool_forget(const tool_model *t) {
    for (size_t i = 0; i < t->shard_count; i++) tool_forget_file(&t->shards[i]);
}

/* The one file whose checksum is being taken. */
static struct {
    const cq_file *file; /* NULL: none */
    pthread_t thread;
    cq_status status;
    cq_error err;
} checking;
static void *check_file(void *unused) {
    (void)unused;
    checking.status = cq_file_check(checking.file, &checking.err);
    return NULL;
}
static void check_begin(const tool_model *t) {
    checking.file = &t->file;
    if (!pthread_create(&checking.thread, NULL, check_file, NULL)) return;
    checking.file = NULL; /* no thread: at once */
    tool_check(cq_file_check(&t->file, &checking.err), t->path, &checking.err);
}
void tool_model_checked(const tool_model *t) {
    if (checking.file != &t->file) return;
    pthread_join(checking.thread, NULL);
    checking.file = NULL;
    tool_check(checking.status, t->path, &checking.err);
}

static void open_model(tool_model *t, const char *path, const tool_model *like, bool early) {
    cq_error err;
    tool_model_locate(t, path);
    if (like && like->arch.size) t->arch = like->arch;
    if (!t->is_file) read_weights(t);
    else if (early) check_begin(t);
    else tool_check(cq_file_check(&t->file, &err), path, &err);
    cq_arena arena = tool_arena(cq_model_bound(t->config.size, &t->weights, (const char *)t->arch.data,
                                                t->arch.size));
    tool_model_check(t, cq_model_bind(&t->m, (const char *)t->config.data, t->config.size, &t->weights,
                                      t->arch.size ? (const char *)t->arch.data : NULL, t->arch.size, &arena, &err),
                     &err);
    tool_fold_codebook(t);
    cq_str key;
    for (size_t i = 0; cq_model_unasked(&t->m, i, &key); i++)
        tool_note("%s: the description of %.*s does not ask for '%.*s', which others do", t->config.path,
                  (int)t->m.arch.name.n, t->m.arch.name.p, (int)key.n, key.p);
}
void tool_model_open_like(tool_model *t, const char *path, const tool_model *like) { open_model(t, path, like, false); }
void tool_model_open(tool_model *t, const char *path) { open_model(t, path, NULL, false); }
void tool_model_open_early(tool_model *t, const char *path) { open_model(t, path, NULL, true); }

/* ===================================================================================================================
   [TOKENIZER]
   ================================================================================================================== */
static bool add_file(const tool_model *t, const char *name, const char **data, size_t *len, const char **path) {
    char *full = tool_join(t->path, name);
    if (!tool_exists(full)) {
        free(full);
        return false;
    }
    tool_file f = tool_map(full);
    *data = (const char *)f.data;
    *len = f.size;
    *path = full;
    return true;
}

const cq_tokenizer *tool_model_tokenizer(tool_model *t, bool need) {
    cq_error err;
    const unsigned char *blob = NULL;
    const char *path = t->path;
    if (t->tok.blob) return &t->tok;
    if (t->is_file) {
        blob = t->file.section[CQ_SECTION_TOKENIZER].data;
        t->blob_bytes = t->file.section[CQ_SECTION_TOKENIZER].size;
        if (!t->blob_bytes) {
            if (need) tool_fail(t->path, "holds no tokenizer; give ids instead of text");
            return NULL;
        }
    } else {
        cq_tokenizer_files files;
        memset(&files, 0, sizeof files);
        if (!add_file(t, "tokenizer.json", &files.tokenizer_json, &files.tokenizer_json_len, &path)) {
            bool merges = add_file(t, "merges.txt", &files.merges_txt, &files.merges_txt_len, &path);
            bool vocab = add_file(t, "vocab.json", &files.vocab_json, &files.vocab_json_len, &path);
            const char *unused;
            add_file(t, "tokenizer_config.json", &files.tokenizer_config_json, &files.tokenizer_config_json_len,
                     &unused);
            if (!merges || !vocab) {
                if (need)
                    tool_fail(t->path,
                              "has no tokenizer.json, nor vocab.json with merges.txt; give ids instead of text");
                return NULL;
            }
        }
        size_t bound = cq_tokenizer_build_bound(&files);
        cq_arena arena = tool_arena(bound == SIZE_MAX ? 1 << 16 : bound); /* not JSON: build says where */
        cq_status st = cq_tokenizer_build(&blob, &t->blob_bytes, &files, &arena, &err);
        if (st == CQ_ERR_UNSUPPORTED && !need) { /* of another kind: all else about the model is known */
            tool_note("%s: %s%s%.*s; what is written has no tokenizer", path, err.what, err.name_len ? ": " : "",
                      (int)err.name_len, err.name ? err.name : "");
            free(arena.base);
            return NULL;
        }
        if (st != CQ_OK)
            tool_fail_error(!strncmp(err.what, "merges", 6) ? tool_join(t->path, "merges.txt") : path, &err);
    }
    tool_check(cq_tokenizer_open(&t->tok, blob, t->blob_bytes, &err), path, &err);
    return &t->tok;
}

/* Long texts are encoded in pieces that end behind a line break before something that is no blank: there, all rules for
   cutting text into words that cquant knows make a cut too. */
#define ENCODE_PIECE ((size_t)1 << 20)
static size_t encode_piece(const char *text, size_t len) {
    if (len <= ENCODE_PIECE) return len;
    for (size_t n = ENCODE_PIECE; n < len; n++) {
        unsigned char before = (unsigned char)text[n - 1], after = (unsigned char)text[n];
        if (before == '\n' && after > ' ' && after < 127) return n;
    }
    return len;
}

int32_t *tool_encode(tool_model *t, const char *path, const char *text, size_t len, size_t *n) {
    const cq_tokenizer *tok = tool_model_tokenizer(t, true);
    size_t room = 0, count = 0, done = 0;
    int32_t *ids = NULL;
    cq_error err;
    *n = 0;
    while (done < len) {
        size_t piece = encode_piece(text + done, len - done);
        cq_arena scratch = tool_arena(cq_tokenizer_encode_bound(tok, piece));
        if (room - *n < 3 * piece) {
            room = *n + 3 * piece + room / 2;
            ids = (int32_t *)realloc(ids, room * sizeof *ids);
            if (!ids) tool_fail(path, "out of memory: %zu bytes are needed", room * sizeof *ids);
        }
        tool_check(cq_tokenizer_encode(tok, text + done, piece, ids + *n, room - *n, &count, &scratch, &err), path,
                   &err);
        free(scratch.base);
        *n += count;
        done += piece;
    }
    return ids ? ids : (int32_t *)tool_alloc(1, sizeof *ids);
}

char *tool_decode(const cq_tokenizer *tok, const int32_t *ids, size_t n, size_t *len) {
    *len = cq_tokenizer_decode(tok, ids, n, NULL, 0);
    char *text = (char *)tool_alloc(*len + 1, 1);
    cq_tokenizer_decode(tok, ids, n, text, *len);
    return text;
}

/* ===================================================================================================================
   [IDS AND SESSIONS]
   ================================================================================================================== */
int32_t *tool_ids(const tool_model *t, const char *path, size_t *rows, size_t *cols, size_t *dims) {
    tool_npy a = tool_npy_read(path);
    if (a.ndim != 1 && a.ndim != 2) tool_fail(path, "ids have %zu dimensions, and must have 1 or 2", a.ndim);
    *dims = a.ndim;
    *rows = a.ndim == 2 ? a.shape[0] : 1;
    *cols = a.shape[a.ndim - 1];
    if (!a.count) tool_fail(path, "holds no ids; at least one must be there");
    int32_t *ids = tool_npy_ints(&a);
    for (size_t i = 0; i < a.count; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= t->m.embed.rows) { /* more than vocab: tokens that are never said */
            if (a.ndim == 1)
                tool_fail(path, "the id at position %zu is %d, and must be 0 to %zu", i, ids[i], t->m.embed.rows - 1);
            tool_fail(path, "the id at row %zu, position %zu is %d, and must be 0 to %zu", i / *cols, i % *cols, ids[i],
                      t->m.embed.rows - 1);
        }
    return ids;
}

int32_t tool_mask_id(const tool_model *t) {
    if (t->m.mask_id < 0) tool_fail(t->config.path, "has no mask_token_id; a diffusion model must have one");
    return t->m.mask_id;
}

size_t tool_session_bytes(const cq_context *ctx, const tool_model *t, const cq_session_desc *desc, size_t *activations,
                          size_t *cache) {
    cq_session s;
    cq_error err;
    cq_arena hot = cq_arena_over(NULL, 0), cold = cq_arena_over(NULL, 0);
    tool_model_check(t, cq_session_init(&s, ctx, &t->m, desc, &hot, &cold, &err), &err);
    size_t split = (hot.used + CQ_ALIGN - 1) & ~(size_t)(CQ_ALIGN - 1); /* one block of memory for both */
    if (activations) *activations = split;
    if (cache) *cache = cold.used;
    return split + cold.used;
}

size_t tool_session(cq_session *s, const cq_context *ctx, const tool_model *t, const cq_session_desc *desc,
                    void **base) {
    cq_error err;
    size_t split, cache, all = tool_session_bytes(ctx, t, desc, &split, &cache);
    cq_arena both = tool_arena(all), hot = cq_arena_over(both.base, split),
             cold = cq_arena_over(both.base + split, cache);
    *base = both.base;
    tool_model_check(t, cq_session_init(s, ctx, &t->m, desc, &hot, &cold, &err), &err);
    return all;
}

size_t tool_windows(size_t n, size_t window, size_t limit) {
    size_t windows = n / window + (n % window ? 1 : 0);
    return limit && windows > limit ? limit : windows;
}

void tool_export_tensor(cq_tensor *t, const cq_part *part, cq_format format, size_t group_size) {
    bool ends = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD ||
                part->kind == CQ_PART_POSITION || part->kind == CQ_PART_SIDE;
    bool keep = part->kind == CQ_PART_LINEAR && part->linear->keep;
    cq_error err;
    if (!part->matrix) format = CQ_F32;
    else if (keep && cq_format_is_coded(format)) format = cq_format_is_coded(part->format) ? CQ_F32 : part->format;
    else if (ends && cq_format_is_coded(format)) format = CQ_INT8;
    if (!cq_format_is_coded(format) || group_size >= part->cols) group_size = 0;
    tool_check(
        cq_tensor_init(t, format, part->matrix ? CQ_PANELS : CQ_ROWS, part->rows, part->cols, group_size, false, &err),
        NULL, &err);
}

size_t tool_logit_tile(const tool_model *t, size_t rows) {
    size_t tile = ((size_t)4 << 20) / t->m.vocab;
    tile = tile < 1 ? 1 : tile;
    return tile < rows ? tile : rows;
}

/* ===================================================================================================================
   [GAUGE]  what a model makes of given text, beside another model
   ================================================================================================================== */
/* One row of logits, largest value, log of the sum of exp, and where the largest is (the lowest index). */
typedef struct row_stats {
    double max, log_sum;
    size_t best;
} row_stats;
static row_stats row_measure(const float *y, size_t vocab) {
    row_stats r = {(double)y[0], 0.0, 0};
    double sum = 0.0;
    for (size_t i = 1; i < vocab; i++)
        if ((double)y[i] > r.max) {
            r.max = (double)y[i];
            r.best = i;
        }
    for (size_t i = 0; i < vocab; i++) sum += exp((double)y[i] - r.max);
    r.log_sum = r.max + log(sum);
    return r;
}

/* sum p (log p - log q), p of the reference */
static double row_kl(const float *p, const row_stats *ps, const float *q, const row_stats *qs, size_t vocab) {
    double kl = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        double lp = (double)p[i] - ps->log_sum, lq = (double)q[i] - qs->log_sum, w = exp(lp);
        if (w > 0.0) kl += w * (lp - lq);
    }
    return kl;
}

/* One task a predicted token, so that the sums do not depend on the number of threads. */
typedef struct gauge_job {
    const tool_gauge *g;
    const int32_t *target;
} gauge_job;
static void gauge_row(void *arg, size_t i) {
    const gauge_job *j = (const gauge_job *)arg;
    const tool_gauge *g = j->g;
    size_t vocab = g->t->m.vocab;
    const float *y = g->y + i * vocab, *ref = g->z ? g->z + i * vocab : NULL;
    row_stats q = row_measure(y, vocab);
    g->each[0][i] = q.log_sum - (double)y[j->target[i]];
    if (!ref) return;
    row_stats p = row_measure(ref, vocab);
    g->each[1][i] = row_kl(ref, &p, y, &q, vocab);
    g->each[2][i] = p.best == q.best;
}

void tool_gauge_open(tool_gauge *g, const cq_context *ctx, const tool_model *t, const tool_model *ref,
                     const cq_session_desc *desc) {
    cq_session_desc unrounded = *desc;
    memset(g, 0, sizeof *g);
    g->ctx = ctx;
    g->t = t;
    g->ref = ref;
    tool_session(&g->s, ctx, t, desc, &g->base);
    unrounded.act_bits = unrounded.kv_bits = 0; /* the reference is what it is */
    unrounded.cache = CQ_F32;
    if (ref) tool_session(&g->rs, ctx, ref, &unrounded, &g->ref_base);
    g->tile = tool_logit_tile(t, desc->max_tokens);
    g->y = tool_alloc(g->tile * t->m.vocab, sizeof *g->y);
    if (ref) g->z = tool_alloc(g->tile * t->m.vocab, sizeof *g->z);
    for (size_t k = 0; k < 3; k++) g->each[k] = tool_alloc(g->tile, sizeof *g->each[k]);
}

void tool_gauge_judge(tool_gauge *g, const uint32_t *at, const int32_t *target, size_t m) {
    gauge_job job = {g, target};
    cq_logits(&g->s, at, m, g->y);
    cq_parallel_for(g->ctx, m, gauge_row, &job);
    for (size_t i = 0; i < m; i++) {
        g->nll += g->each[0][i];
        g->kl += g->each[1][i];
        g->same += g->each[2][i];
    }
    g->rows += m;
}

void tool_gauge_add(tool_gauge *g, const int32_t *ids, size_t n, const uint32_t *at, const int32_t *target, size_t m) {
    cq_input in;
    cq_error err;
    if (!m) return;
    memset(&in, 0, sizeof in);
    in.ids = ids;
    in.n = n;
    tool_model_check(g->t, cq_forward(&g->s, &in, &err), &err);
    if (g->ref) tool_model_check(g->ref, cq_forward(&g->rs, &in, &err), &err);
    for (size_t r = 0; r < m; r += g->tile) {
        size_t part = m - r < g->tile ? m - r : g->tile;
        if (g->ref) cq_logits(&g->rs, at + r, part, g->z);
        tool_gauge_judge(g, at + r, target + r, part);
    }
}

void tool_gauge_hold(tool_gauge *g, const int32_t *ids, size_t n, const uint32_t *at, size_t m) {
    cq_input in;
    cq_error err;
    memset(&in, 0, sizeof in);
    in.ids = ids;
    in.n = n;
    if (!g->z) g->z = tool_alloc(g->tile * g->t->m.vocab, sizeof *g->z);
    tool_model_check(g->t, cq_forward(&g->s, &in, &err), &err);
    cq_logits(&g->s, at, m, g->z);
}

void tool_gauge_close(tool_gauge *g) {
    free(g->base);
    free(g->ref_base);
    free(g->y);
    free(g->z);
    for (size_t k = 0; k < 3; k++) free(g->each[k]);
}
