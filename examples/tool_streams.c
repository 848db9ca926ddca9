/* tool_streams.c - what only models with two streams have (DualStreamRoformer): their YAML configuration, the codebook,
   and the inputs of the text stream */
#include "tool.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ===================================================================================================================
   [YAML]  open_model.yaml as the JSON that the headers read, with the model_type that it does not name
   ================================================================================================================== */
typedef struct json_buffer {
    char *text;
    size_t len, room;
} json_buffer;
static void add(json_buffer *b, const char *p, size_t n) {
    if (b->len + n + 1 > b->room) {
        b->room = 2 * (b->len + n + 1);
        b->text = (char *)realloc(b->text, b->room);
        if (!b->text) tool_fail(NULL, "out of memory: %zu bytes are needed", b->room);
    }
    memcpy(b->text + b->len, p, n);
    b->len += n;
    b->text[b->len] = 0;
}
static void add_text(json_buffer *b, const char *text) { add(b, text, strlen(text)); }

static void add_string(json_buffer *b, const char *p, size_t n) {
    add(b, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        char escape[8];
        if (c == '"' || c == '\\' || c < 32) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
            add_text(b, escape);
        } else {
            add(b, p + i, 1);
        }
    }
    add(b, "\"", 1);
}

/* A plain scalar is a word, a number (YAML writes 1.e-6, JSON does not) or text; a quoted one is text. */
static void add_scalar(json_buffer *b, const yaml_node_t *node) {
    const char *p = (const char *)node->data.scalar.value;
    size_t n = node->data.scalar.length;
    char *end, number[40];
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        add_string(b, p, n);
        return;
    }
    if (!strcmp(p, "true") || !strcmp(p, "True") || !strcmp(p, "TRUE")) add_text(b, "true");
    else if (!strcmp(p, "false") || !strcmp(p, "False") || !strcmp(p, "FALSE")) add_text(b, "false");
    else if (!strcmp(p, "null") || !strcmp(p, "Null") || !strcmp(p, "~") || !n) add_text(b, "null");
    else {
        bool digits = isdigit((unsigned char)*p) || ((*p == '-' || *p == '.') && isdigit((unsigned char)p[1]));
        double value = digits ? strtod(p, &end) : 0.0;
        if (!digits || *end || strlen(p) != n) {
            add_string(b, p, n);
        } else {
            if (value == (double)(long long)value && value < 1e15 && value > -1e15)
                snprintf(number, sizeof number, "%lld", (long long)value);
            else snprintf(number, sizeof number, "%.17g", value);
            add_text(b, number);
        }
    }
}

static void add_node(json_buffer *b, const char *path, yaml_document_t *doc, const yaml_node_t *node, unsigned depth,
                     const char *first) {
    if (depth > 32) tool_fail(path, "is nested more than 32 levels deep");
    if (b->len > 1u << 24) tool_fail(path, "is more than 16 MB with its aliases written out");
    if (node->type == YAML_SCALAR_NODE) {
        add_scalar(b, node);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        add_text(b, "[");
        for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
            if (i > node->data.sequence.items.start) add_text(b, ",");
            add_node(b, path, doc, yaml_document_get_node(doc, *i), depth + 1, "");
        }
        add_text(b, "]");
    } else if (node->type == YAML_MAPPING_NODE) {
        bool begun = *first != 0;
        add_text(b, "{");
        add_text(b, first);
        for (const yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top; i++) {
            const yaml_node_t *key = yaml_document_get_node(doc, i->key);
            if (key->type != YAML_SCALAR_NODE)
                tool_fail(path, "line %zu: a key should be a word", key->start_mark.line + 1);
            if (begun) add_text(b, ",");
            begun = true;
            add_string(b, (const char *)key->data.scalar.value, key->data.scalar.length);
            add_text(b, ":");
            add_node(b, path, doc, yaml_document_get_node(doc, i->value), depth + 1, "");
        }
        add_text(b, "}");
    } else {
        add_text(b, "null");
    }
}

/* first: what the text begins with inside of its brace */
static tool_file yaml_text(const char *path, const char *first, const char *should) {
    tool_file f = tool_map(path), out;
    yaml_parser_t parser;
    yaml_document_t doc;
    json_buffer b = {NULL, 0, 0};
    if (!yaml_parser_initialize(&parser)) tool_fail(path, "out of memory");
    yaml_parser_set_input_string(&parser, f.data, f.size);
    if (!yaml_parser_load(&parser, &doc))
        tool_fail(path, "line %zu: %s", parser.problem_mark.line + 1, parser.problem ? parser.problem : "is no YAML");
    const yaml_node_t *root = yaml_document_get_root_node(&doc);
    if (!root || root->type != YAML_MAPPING_NODE) tool_fail(path, "%s", should);
    add_node(&b, path, &doc, root, 0, first);
    yaml_document_delete(&doc);
    yaml_parser_delete(&parser);
    out.path = path;
    out.data = (const unsigned char *)b.text;
    out.size = b.len;
    return out;
}
tool_file tool_yaml(const char *path, const char *should) { return yaml_text(path, "", should); }
tool_file tool_yaml_config(const char *path) {
    return yaml_text(path, "\"model_type\":\"dual_stream_roformer\"", "must be a mapping with gpt_model");
}

/* ===================================================================================================================
   [CODEBOOK]
   ================================================================================================================== */
void tool_fold_codebook(tool_model *t) {
    cq_context ctx;
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    char *path = t->is_file ? NULL : tool_join(t->path, "codebook.npy");
    if (!t->m.codebook.w.rows || !path || !tool_exists(path)) {
        free(path);
        return;
    }
    tool_npy a = tool_npy_read(path);
    if (a.ndim != 2 || a.shape[0] != t->m.codebook_rows || a.shape[1] != t->m.codebook.w.cols)
        tool_fail(path, "must have the shape (%zu, %zu)", t->m.codebook_rows, t->m.codebook.w.cols);
    float *codebook = tool_npy_floats(&a);
    tool_check(cq_init(&ctx, NULL, &err), path, &err);
    tool_check(cq_model_fold_codebook(&t->m, &ctx, codebook, a.shape[0], &arena, &err), path, &err);
    arena = tool_arena(arena.used); /* the table stays as long as the tool */
    tool_check(cq_model_fold_codebook(&t->m, &ctx, codebook, a.shape[0], &arena, &err), path, &err);
    free(codebook);
}

/* ===================================================================================================================
   [TEXT]  --text-embeds and --bbox
   ================================================================================================================== */
static float *read_rows(const char *path, size_t batch, size_t cols, size_t *rows, size_t dims) {
    tool_npy a = tool_npy_read(path);
    bool good = a.ndim == dims && a.shape[0] == batch && a.shape[dims - 1] == cols && (dims == 2 || a.shape[1] > 0);
    if (!good && dims == 3) tool_fail(path, "must have the shape (%zu, rows, %zu)", batch, cols);
    if (!good) tool_fail(path, "must have the shape (%zu, %zu)", batch, cols);
    if (rows) *rows = a.shape[1];
    return tool_npy_floats(&a);
}

tool_prompt tool_prompt_read(const tool_model *t, size_t batch, const char *option, bool box) {
    tool_prompt x = {NULL, NULL, 0, 0};
    const char *path = tool_text(option, NULL), *box_path = tool_text("bbox", NULL);
    if (!t->m.two_streams) {
        if (path || box_path) tool_fail(t->path, "has one stream; --text-embeds and --bbox are for models with two");
        return x;
    }
    if (!path) tool_usage("a model with two streams needs --%s FILE.npy", option);
    x.text = read_rows(path, batch, t->m.input[0].w.cols, &x.rows, 3);
    x.slots = x.rows;
    if (!t->m.input[1].w.rows) {
        if (box_path) tool_fail(box_path, "this model takes no box (use_bbox)");
        return x;
    }
    x.slots++;
    if (box && !box_path) tool_usage("this model needs --bbox FILE.npy");
    if (box) x.box = read_rows(box_path, batch, t->m.input[1].w.cols, NULL, 2);
    else x.box = (float *)tool_alloc(batch * t->m.input[1].w.cols, sizeof(float)); /* without a prompt: zero */
    return x;
}

void tool_prompt_forward(cq_session *s, const tool_model *t, const tool_prompt *x, size_t row) {
    cq_error err;
    if (!x->text) return;
    tool_model_check(t,
                     cq_forward_text(s, x->text + row * x->rows * t->m.input[0].w.cols, x->rows,
                                     x->box ? x->box + row * t->m.input[1].w.cols : NULL, &err),
                     &err);
}
