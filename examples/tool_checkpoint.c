/* tool_checkpoint.c - writing quantised checkpoints that others read: GPTQ, compressed-tensors (see tool_write.h)

   A coded linear becomes several tensors, named after it; everything else is written as in any directory. What the
   tensors hold stands in cquant_models.h, [CHECKPOINTS]; what the configurations say, here:

     GPTQ                quantize_config.json, and the same as quantization_config in config.json. Modules that differ
                         from the rest are named one by one in `dynamic`, as regular expressions: "+:^NAME$" with what
                         differs, "-:^NAME$" for linears that stay floats. Symmetric: "gptq", whose zeros are stored
                         less 1; with any asymmetric module "gptq_v2", as a zero of 0 cannot be stored less 1.
     compressed-tensors  quantization_config in config.json: a group of config_groups for each way to be coded. */
#include "tool_write.h"

#include <stdlib.h>
#include <string.h>

/* The tensors of a coded part, in this order behind p->tensor. */
enum { QWEIGHT, QZEROS, SCALES, G_IDX };       /* GPTQ */
enum { PACKED, SCALE, SHAPE, ZERO_POINT };     /* compressed-tensors: the first two; integers SHAPE; asym ZERO_POINT */

/* ===================================================================================================================
   [PLAN]
   ================================================================================================================== */
static size_t group_size_of(const tool_coded *c, size_t cols) {
    return cq_format_is_mx(c->format) ? 32 : c->group_size && c->group_size < cols ? c->group_size : cols;
}
static size_t groups_of(const tool_coded *c, size_t cols) {
    size_t size = group_size_of(c, cols);
    return (cols + size - 1) / size;
}
/* What compressed-tensors calls the way in which a format is stored; NULL: it does not. */
static const char *compressed_name(cq_format format) {
    return cq_format_is_int(format)  ? "pack-quantized"
           : format == CQ_MXFP4      ? "mxfp4-pack-quantized"
           : format == CQ_MXFP6_E2M3 ? "mxfp6-pack-quantized"
           : format == CQ_MXFP8      ? "mxfp8-quantized"
           : format == CQ_FP8        ? "float-quantized"
                                     : NULL;
}

static bool all_symmetric(const tool_parts *p) {
    for (size_t i = 0; i < p->count; i++)
        if (p->coded[i].format && p->coded[i].asym) return false;
    return true;
}

static void check_part(const tool_parts *p, const tool_model *t, size_t i, const char *target) {
    const cq_part *part = &p->part[i];
    const tool_coded *c = &p->coded[i];
    const cq_linear *l = part->linear;
    int n = (int)tool_module_len(part);
    const char *style = p->style == TOOL_GPTQ ? "gptq" : "compressed-tensors";
    if (part->kind != CQ_PART_HEAD && (part->kind != CQ_PART_LINEAR || !part->block))
        tool_fail(target, "--format %s holds linears of layers and the head, and not '%.*s', which --config names",
                  style, n, part->name);
    if (part->slices > 1)
        tool_fail(t->path, "has all experts of '%.*s' in one tensor, which --format %s cannot hold: its experts are "
                           "linears of their own; give a checkpoint that stores them apart, or skip them by --config",
                  (int)part->stored->name_len, part->stored->name, style);
    if (p->style == TOOL_GPTQ ? !cq_format_is_int(c->format) : !compressed_name(c->format))
        tool_fail(target, "'%.*s' would be %s, which --format %s does not hold; int2, int3, int4, int8%s it does", n,
                  part->name, cq_format_name(c->format), style,
                  p->style == TOOL_GPTQ ? "" : ", fp8, mxfp8, mxfp6_e2m3, mxfp4");
    if (p->style == TOOL_GPTQ) return;
    if (part->cols % group_size_of(c, part->cols))
        tool_fail(target, "'%.*s' has %zu columns; compressed-tensors needs a --group-size that divides them, "
                          "and not %zu", n, part->name, part->cols, group_size_of(c, part->cols));
    if (p->act_groups)
        tool_fail(target, "--act-order permutes groups, which compressed-tensors no longer has; leave it out (columns "
                          "are still processed in that order), or use --format gptq");
    if (l && part->swapped)
        tool_fail(t->path, "stores '%.*s' as (in, out), as a Conv1D, which compressed-tensors does not know; use "
                           "--format gptq", n, part->name);
}

static void add_tensor(tool_parts *p, cq_named *list, const cq_part *part, const char *suffix, cq_dtype dtype,
                       uint64_t rows, uint64_t cols) {
    cq_named *n = &list[p->tensors++];
    char *name = tool_format("%.*s%s", (int)tool_module_len(part), part->name, suffix);
    memset(n, 0, sizeof *n);
    n->name = name; /* as long as the tool runs */
    n->name_len = strlen(name);
    n->dtype = (uint8_t)dtype;
    n->ndim = cols ? 2 : 1;
    n->shape[0] = rows;
    n->shape[1] = cols;
}

static void add_coded(tool_parts *p, cq_named *list, size_t i) {
    const cq_part *part = &p->part[i];
    const tool_coded *c = &p->coded[i];
    unsigned bits = cq_format_bits(c->format);
    size_t groups = groups_of(c, part->cols), down = cq_bits_words(part->cols, bits);
    size_t across = cq_bits_words(part->rows, bits);
    if (p->style == TOOL_GPTQ) {
        add_tensor(p, list, part, ".qweight", CQ_DTYPE_I32, down, part->rows);
        add_tensor(p, list, part, ".qzeros", CQ_DTYPE_I32, groups, across);
        add_tensor(p, list, part, ".scales", CQ_DTYPE_F16, groups, part->rows);
        add_tensor(p, list, part, ".g_idx", CQ_DTYPE_I32, part->cols, 0);
        return;
    }
    if (cq_format_is_mx(c->format) || c->format == CQ_FP8) {
        bool whole = bits == 8;
        add_tensor(p, list, part, whole ? ".weight" : ".weight_packed", whole ? CQ_DTYPE_F8_E4M3 : CQ_DTYPE_U8,
                   part->rows, part->cols * bits / 8);
        add_tensor(p, list, part, ".weight_scale", c->format == CQ_FP8 ? CQ_DTYPE_F32 : CQ_DTYPE_U8, part->rows,
                   groups);
        return;
    }
    add_tensor(p, list, part, ".weight_packed", CQ_DTYPE_I32, part->rows, down);
    /* the dtype in which the package multiplies; for bf16 not that, which would not hold the scales */
    cq_dtype scales = tool_stored_format(part, CQ_F16) == CQ_F32 ? CQ_DTYPE_F32 : CQ_DTYPE_F16;
    add_tensor(p, list, part, ".weight_scale", scales, part->rows, groups);
    add_tensor(p, list, part, ".weight_shape", CQ_DTYPE_I64, 2, 0);
    if (c->asym) add_tensor(p, list, part, ".weight_zero_point", CQ_DTYPE_I32, across, groups);
}

void tool_checkpoint_plan(tool_parts *p, const tool_model *t, const char *target) {
    size_t *owner = tool_alloc(p->tensors, sizeof *owner), old = p->tensors;
    size_t *moved = tool_alloc(p->tensors, sizeof *moved);
    cq_named *list = tool_alloc(4 * p->tensors, sizeof *list);
    for (size_t i = p->count; i-- > 0;) owner[p->tensor[i]] = i;
    for (size_t i = 0; i < p->count; i++)
        if (p->coded[i].format) check_part(p, t, i, target);
    p->tensors = 0;
    for (size_t k = 0; k < old; k++) {
        moved[k] = p->tensors;
        if (p->coded[owner[k]].format) add_coded(p, list, owner[k]);
        else list[p->tensors++] = p->named[k];
    }
    for (size_t i = 0; i < p->count; i++) p->tensor[i] = moved[p->tensor[i]];
    free(p->named);
    free(owner);
    free(moved);
    p->named = list;
}

/* ===================================================================================================================
   [TENSORS]
   ================================================================================================================== */
static void put_tensor(tool_writer *w, size_t i, size_t which, unsigned char *bytes, size_t n) {
    tool_put_at(w, w->offset[w->p->tensor[i] + which], bytes, n);
    free(bytes);
}

/* (groups, rows) or, across, (rows, groups); in bytes: E8M0 */
static void put_scales(tool_writer *w, size_t i, const cq_grid *grids, size_t groups, bool across, size_t which) {
    size_t rows = w->p->part[i].rows;
    size_t bytes = cq_dtype_bits((cq_dtype)w->p->named[w->p->tensor[i] + which].dtype) / 8;
    unsigned char *out = tool_alloc(rows * groups, bytes);
    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++) {
            float scale = grids[r * groups + g].scale;
            uint32_t v;
            memcpy(&v, &scale, sizeof v);
            if (bytes == 2) v = cq_f32_to_f16(scale);
            else if (bytes == 1) v >>= 23; /* a power of two is its exponent; the least, 2^-127, is denormal */
            for (size_t b = 0, at = bytes * (across ? r * groups + g : g * rows + r); b < bytes; b++)
                out[at + b] = (unsigned char)(v >> 8 * b);
        }
    put_tensor(w, i, which, out, rows * groups * bytes);
}

static void put_gptq(tool_writer *w, size_t i, const uint8_t *codes, const cq_grid *grids, const uint32_t *g_idx) {
    const cq_part *part = &w->p->part[i];
    const tool_coded *c = &w->p->coded[i];
    unsigned bits = cq_format_bits(c->format), less = all_symmetric(w->p) ? 1 : 0;
    size_t rows = part->rows, cols = part->cols, groups = groups_of(c, cols);
    size_t size = group_size_of(c, cols), down = cq_bits_words(cols, bits);
    size_t across = cq_bits_words(rows, bits);
    unsigned char *out = tool_alloc(down * rows, 4);
    for (size_t first = 0; first < rows; first += 16) /* so many columns of qweight are a cache line */
        for (size_t k = 0; k < cols; k++)
            for (size_t r = first; r < rows && r < first + 16; r++)
                cq_bits_put(out + 4 * r, rows, k, bits, codes[r * cols + k]);
    put_tensor(w, i, QWEIGHT, out, down * rows * 4);
    out = tool_alloc(groups * across, 4);
    for (size_t g = 0; g < groups; g++)
        for (size_t r = 0; r < rows; r++)
            cq_bits_put(out + 4 * g * across, 1, r, bits, (uint32_t)grids[r * groups + g].zero - less);
    put_tensor(w, i, QZEROS, out, groups * across * 4);
    put_scales(w, i, grids, groups, false, SCALES);
    out = tool_alloc(cols, 4);
    for (size_t k = 0; k < cols; k++) {
        uint32_t g = g_idx ? g_idx[k] : (uint32_t)(k / size);
        for (size_t b = 0; b < 4; b++) out[4 * k + b] = (unsigned char)(g >> 8 * b);
    }
    put_tensor(w, i, G_IDX, out, cols * 4);
}

static void put_compressed(tool_writer *w, size_t i, const uint8_t *codes, const cq_grid *grids) {
    const cq_part *part = &w->p->part[i];
    const tool_coded *c = &w->p->coded[i];
    unsigned bits = cq_format_bits(c->format);
    size_t rows = part->rows, cols = part->cols, groups = groups_of(c, cols);
    size_t down = cq_bits_words(cols, bits), across = cq_bits_words(rows, bits);
    bool is_int = cq_format_is_int(c->format);
    unsigned char *out;
    if (!is_int && bits == 8) {
        out = tool_alloc(rows, cols);
        memcpy(out, codes, rows * cols);
        put_tensor(w, i, PACKED, out, rows * cols);
        put_scales(w, i, grids, groups, true, SCALE);
        return;
    }
    out = tool_alloc(rows * down, 4);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) cq_bits_put(out + 4 * r * down, 1, k, bits, codes[r * cols + k]);
    put_tensor(w, i, PACKED, out, rows * down * 4);
    put_scales(w, i, grids, groups, true, SCALE);
    if (!is_int) return;
    out = tool_alloc(2, 8);
    for (size_t b = 0; b < 8; b++) {
        out[b] = (unsigned char)((uint64_t)rows >> 8 * b);
        out[8 + b] = (unsigned char)((uint64_t)cols >> 8 * b);
    }
    put_tensor(w, i, SHAPE, out, 16);
    if (!c->asym) return;
    out = tool_alloc(across * groups, 4);
    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++)
            cq_bits_put(out + 4 * g, groups, r, bits, (uint32_t)grids[r * groups + g].zero);
    put_tensor(w, i, ZERO_POINT, out, across * groups * 4);
}

void tool_put_codes(tool_writer *w, size_t i, const uint8_t *codes, const cq_grid *grids, const uint32_t *g_idx) {
    if (w->p->style == TOOL_GPTQ) put_gptq(w, i, codes, grids, g_idx);
    else put_compressed(w, i, codes, grids);
    w->p->written[i] = true;
}

void tool_write_coded(tool_writer *w, size_t i, const cq_context *ctx, const tool_model *t,
                      const cq_rotate_plan *plan) {
    const cq_part *part = &w->p->part[i];
    const tool_coded *c = &w->p->coded[i];
    size_t groups = groups_of(c, part->cols);
    float *x = tool_alloc(part->rows * part->cols, sizeof *x);
    cq_gptq_desc desc;
    cq_gptq_result out;
    cq_error err;
    memset(&desc, 0, sizeof desc);
    memset(&out, 0, sizeof out);
    desc.format = c->format;
    desc.group_size = c->group_size;
    desc.asym = c->asym;
    out.codes = tool_alloc(part->rows * part->cols, 1);
    out.grids = tool_alloc(part->rows * groups, sizeof *out.grids);
    tool_model_check(t, cq_part_read(ctx, &t->m, plan, part, 0, part->rows, x, &err), &err);
    tool_check(cq_gptq_rtn(&desc, x, part->cols, part->rows, part->cols, &out, &err), part->name, &err);
    free(x);
    tool_put_codes(w, i, out.codes, out.grids, NULL);
    free(out.codes);
    free(out.grids);
}

/* ===================================================================================================================
   [CONFIGURATIONS]
   ================================================================================================================== */
static char *joined(char *text, const char *between, char *more) { /* frees both */
    char *all = tool_format("%s%s%s", text, *text ? between : "", more);
    free(text);
    free(more);
    return all;
}

static bool same_way(const tool_coded *a, const tool_coded *b) {
    return a->format == b->format && a->group_size == b->group_size && a->asym == b->asym;
}

/* The ways to be coded, the most frequent one first: *ways, and for each part its number. */
static size_t ways_of(const tool_parts *p, tool_coded **ways, size_t **of) {
    size_t n = 0, most = 0, *count = tool_alloc(p->count + 1, sizeof *count);
    *ways = tool_alloc(p->count + 1, sizeof **ways);
    *of = tool_alloc(p->count + 1, sizeof **of);
    for (size_t i = 0; i < p->count; i++) {
        size_t k = 0;
        if (!p->coded[i].format) continue;
        while (k < n && !same_way(&(*ways)[k], &p->coded[i])) k++;
        if (k == n) (*ways)[n++] = p->coded[i];
        count[k]++;
        (*of)[i] = k;
    }
    for (size_t k = 0; k < n; k++) most = count[k] > count[most] ? k : most;
    tool_coded first = (*ways)[0];
    (*ways)[0] = (*ways)[most];
    (*ways)[most] = first;
    for (size_t i = 0; i < p->count; i++) (*of)[i] = (*of)[i] == most ? 0 : (*of)[i] == 0 ? most : (*of)[i];
    free(count);
    return n;
}

/* NAME as a regular expression, as it stands in JSON. */
static char *escaped(const cq_part *part) {
    char *text = tool_alloc(3 * part->name_len + 1, 1), *q = text;
    for (size_t i = 0; i < tool_module_len(part); i++) {
        if (part->name[i] == '.') *q++ = '\\', *q++ = '\\';
        *q++ = part->name[i];
    }
    return text;
}

/* A linear of a layer that stays as it is, and that another reader might take for one that does not. Routers nobody
   quantises. */
static bool stays(const tool_parts *p, size_t i) {
    const cq_part *part = &p->part[i];
    return part->kind == CQ_PART_LINEAR && part->block && !p->coded[i].format &&
           part->linear->role != CQ_ROLE_ROUTER;
}

static char *dynamic_rules(const tool_parts *p, const tool_coded *ways, const size_t *of) {
    char *text = tool_format("%s", "");
    for (size_t i = 0; i < p->count; i++) {
        const tool_coded *c = &p->coded[i], *usual = &ways[0];
        if (!stays(p, i) && (!c->format || !of[i])) continue;
        char *name = escaped(&p->part[i]), *what = tool_format("%s", "");
        if (c->format) {
            if (c->format != usual->format)
                what = joined(what, ", ", tool_format("\"bits\": %u", cq_format_bits(c->format)));
            if (c->group_size != usual->group_size)
                what = joined(what, ", ", tool_format("\"group_size\": %lld",
                                                      c->group_size ? (long long)c->group_size : -1));
            if (c->asym != usual->asym)
                what = joined(what, ", ", tool_format("\"sym\": %s", c->asym ? "false" : "true"));
        }
        text = joined(text, ",", tool_format("\n      \"%c:^%s$\": {%s}", c->format ? '+' : '-', name, what));
        free(name);
        free(what);
    }
    return text;
}

/* Names within a layer of what is coded in some layer, for transformers, which otherwise takes every linear of the layers:
   one list of modules_in_block_to_quantize. NULL: nothing stays. */
static char *block_modules(const tool_parts *p) {
    char *text = tool_format("%s", "");
    bool some = false;
    for (size_t i = 0; i < p->count; i++) {
        const cq_part *part = &p->part[i];
        const char *name = part->name;
        some = some || stays(p, i);
        if (part->kind != CQ_PART_LINEAR || !p->coded[i].format) continue;
        for (size_t digits = 0; *name && !digits;) { /* behind the number of the layer */
            while (*name && *name != '.') name++;
            if (*name) name++;
            while (name[digits] >= '0' && name[digits] <= '9') digits++;
            if (digits && name[digits] == '.') name += digits + 1;
            else digits = 0;
        }
        char *quoted = tool_format("\"%.*s\"", (int)(part->name + tool_module_len(part) - name), name);
        if (strstr(text, quoted)) free(quoted);
        else text = joined(text, ", ", quoted);
    }
    if (some) return text;
    free(text);
    return NULL;
}

static bool head_coded(const tool_parts *p) {
    for (size_t i = 0; i < p->count; i++)
        if (p->part[i].kind == CQ_PART_HEAD && p->coded[i].format) return true;
    return false;
}

static char *gptq_config(const tool_parts *p, double damp) {
    tool_coded *ways;
    size_t *of, n = ways_of(p, &ways, &of);
    const char *format = all_symmetric(p) ? "gptq" : "gptq_v2";
    char *rules = dynamic_rules(p, ways, of), *inside = block_modules(p);
    char *text = tool_format("{\n    \"bits\": %u,\n    \"group_size\": %lld,\n    \"desc_act\": %s,\n"
                             "    \"sym\": %s,\n"
                             "    \"lm_head\": %s,\n    \"quant_method\": \"gptq\",\n    \"method\": \"gptq\",\n"
                             "    \"format\": \"%s\",\n    \"checkpoint_format\": \"%s\",\n"
                             "    \"pack_dtype\": \"int32\",\n",
                             n ? cq_format_bits(ways[0].format) : 4,
                             n && ways[0].group_size ? (long long)ways[0].group_size : -1,
                             p->act_groups ? "true" : "false", ways[0].asym ? "false" : "true",
                             head_coded(p) ? "true" : "false", format, format);
    if (*rules) text = joined(text, "", tool_format("    \"dynamic\": {%s\n    },\n", rules));
    if (inside) text = joined(text, "", tool_format("    \"modules_in_block_to_quantize\": [[%s]],\n", inside));
    text = joined(text, "", tool_format("    \"meta\": {\"quantizer\": [\"cquant:%s\"], \"damp_percent\": %g}\n  }",
                                        CQUANT_VERSION, damp));
    free(rules);
    free(inside);
    free(ways);
    free(of);
    return text;
}

static char *quoted_name(const cq_part *part) { return tool_format("\"%.*s\"", (int)tool_module_len(part), part->name); }

static char *compressed_config(const tool_parts *p, const tool_model *t) {
    tool_coded *ways;
    size_t *of, n = ways_of(p, &ways, &of);
    const char *name_of_all = n ? compressed_name(ways[0].format) : "pack-quantized";
    char *groups = tool_format("%s", ""), *ignore = tool_format("%s", "");
    bool carried = false, head = false;
    for (size_t i = 0; i < p->count; i++) {
        const cq_part *part = &p->part[i];
        bool linear = part->kind == CQ_PART_LINEAR || part->kind == CQ_PART_HEAD;
        head = head || part->kind == CQ_PART_HEAD;
        carried = carried || part->kind == CQ_PART_CARRIED || part->kind == CQ_PART_ENTERS;
        if (linear && !p->coded[i].format && part->slices == 1)
            ignore = joined(ignore, ", ", quoted_name(part));
    }
    if (!head) { /* a tied head is a linear too */
        char name[256];
        size_t len = cq_head_name(&t->m, name, sizeof name);
        ignore = joined(ignore, ", ", tool_format("\"%.*s\"", (int)len, name));
    }
    for (size_t k = 0; k < n; k++) {
        char *targets = tool_format("%s", n == 1 && !carried ? "\"Linear\"" : "");
        bool is_int = cq_format_is_int(ways[k].format), mx = cq_format_is_mx(ways[k].format);
        size_t size = mx ? 32 : ways[k].group_size;
        if (strcmp(name_of_all, compressed_name(ways[k].format)) != 0) name_of_all = "mixed-precision";
        for (size_t i = 0; (n > 1 || carried) && i < p->count; i++)
            if (p->coded[i].format && of[i] == k) targets = joined(targets, ", ", quoted_name(&p->part[i]));
        char *strategy = size ? tool_format("\"group\", \"group_size\": %zu", size)
                              : tool_format("\"channel\", \"group_size\": null");
        groups = joined(groups, ",", tool_format(
            "\n      \"group_%zu\": {\n        \"targets\": [%s],\n        \"format\": \"%s\",\n"
            "        \"input_activations\": null,\n        \"output_activations\": null,\n"
            "        \"weights\": {\"num_bits\": %u, \"type\": \"%s\", \"symmetric\": %s, \"strategy\": %s, "
            "\"dynamic\": false, \"actorder\": null, \"block_structure\": null, \"observer\": \"minmax\", "
            "\"observer_kwargs\": {}%s}\n      }",
            k, targets, compressed_name(ways[k].format), cq_format_bits(ways[k].format), is_int ? "int" : "float",
            ways[k].asym ? "false" : "true", strategy,
            ways[k].asym ? ", \"zp_dtype\": \"torch.int8\""
            : mx         ? ", \"scale_dtype\": \"torch.uint8\", \"zp_dtype\": \"torch.uint8\""
                         : ""));
        free(targets);
        free(strategy);
    }
    char *text = tool_format("{\n    \"quant_method\": \"compressed-tensors\",\n    \"format\": \"%s\",\n"
                             "    \"quantization_status\": \"compressed\",\n    \"global_compression_ratio\": null,\n"
                             "    \"ignore\": [%s],\n    \"kv_cache_scheme\": null,\n    \"sparsity_config\": {},\n"
                             "    \"transform_config\": {},\n    \"config_groups\": {%s\n    }\n  }", name_of_all, ignore,
                             groups);
    free(groups);
    free(ignore);
    free(ways);
    free(of);
    return text;
}

char *tool_checkpoint_config(const tool_parts *p, const tool_model *t, double damp) {
    return p->style == TOOL_GPTQ ? gptq_config(p, damp) : compressed_config(p, t);
}
