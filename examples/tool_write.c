/* tool_write.c - writing models: parts, files, config.json (see tool_write.h) */
#include "tool_write.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [PARTS]
   ================================================================================================================== */
/* A name of the description with its marks, among the words of a block: is it stored as (in, out)? For .cq files, whose
   tensors are (out, in), when a directory is made from them. */
static bool marked_transposed(const cq_model *m, const cq_block *b, const cq_linear *l) {
    for (size_t i = 0; b && i < m->arch.words; i++) {
        const cq_str *v = &m->arch.word[i].value;
        if (m->arch.word[i].block != b->desc) continue;
        for (size_t at = 0; at + l->name.n < v->n; at++) {
            if ((at && v->p[at - 1] != '|') || memcmp(v->p + at, l->name.p, l->name.n)) continue;
            for (size_t k = at + l->name.n; k < v->n && (v->p[k] == '^' || v->p[k] == '!'); k++)
                if (v->p[k] == '^') return true;
        }
    }
    return false;
}

static bool is_expert(cq_role role) { return role >= CQ_ROLE_EXPERT_GATE && role <= CQ_ROLE_EXPERT_DOWN; }

/* Parts of .cq files in the shape that the checkpoint would have. */
static void as_checkpoint(const tool_model *t, cq_part *part) {
    const cq_linear *l = part->linear;
    if (!l || !part->block || part->kind != CQ_PART_LINEAR || part->stored->dtype != CQ_DTYPE_PACKED) return;
    if (is_expert(l->role) && !memchr(l->name.p, '#', l->name.n))
        tool_fail(t->path, "holds the experts of '%s' apart, and a directory has them in one tensor; give the "
                           "checkpoint itself", part->name);
    part->swapped = marked_transposed(&t->m, part->block, l);
}

/* Shape of the tensor of the output that begins with this part. */
static void name_tensor(cq_named *n, const cq_part *part, bool hf) {
    const cq_named *s = part->stored;
    bool whole = s && s->dtype != CQ_DTYPE_PACKED && (hf || (!part->matrix && s->t.rows * s->t.cols == part->cols));
    n->name = hf && s ? s->name : part->name;
    n->name_len = hf && s ? s->name_len : part->name_len;
    n->dtype = s ? s->dtype : (uint8_t)CQ_DTYPE_F32;
    n->bytes = s ? s->bytes : 0;
    if (whole && (hf || s->ndim <= 4)) { /* more than four dimensions: shape[3] is the product of the rest */
        n->ndim = s->ndim < 4 ? s->ndim : 4;
        memcpy(n->shape, s->shape, sizeof n->shape);
        return;
    }
    n->ndim = part->matrix ? 2 : 1;
    bool turn = hf && part->swapped;
    n->shape[0] = !part->matrix || turn ? part->cols : part->rows;
    n->shape[1] = !part->matrix ? 0 : turn ? part->rows : part->cols;
}

/* Is this part there already: a norm that two blocks read? first: 1 + the part that came with its tensor, or 0 */
static bool same_again(const tool_parts *p, size_t first, const cq_part *part) {
    if (!first) return false;
    return part->slices == 1 || p->part[first - 1].block != part->block;
}

static void add_part(tool_parts *p, const tool_model *t, size_t *first, const cq_part *one) {
    size_t *seen = one->stored ? &first[one->stored - t->weights.list] : NULL, tensor = p->tensors;
    if ((one->kind == CQ_PART_CARRIED || one->kind == CQ_PART_ENTERS) && !p->hf) {
        p->left_out++;
        return;
    }
    if (seen && same_again(p, *seen, one)) return;
    cq_part *part = &p->part[p->count];
    *part = *one;
    if (p->hf && part->stored) as_checkpoint(t, part);
    if (p->hf && seen && *seen) tensor = p->tensor[*seen - 1];
    else name_tensor(&p->named[p->tensors++], part, p->hf);
    p->tensor[p->count] = tensor;
    if (part->kind == CQ_PART_LINEAR && part->block)
        p->linear[p->base[part->block - t->m.blocks] + (size_t)(part->linear - part->block->lin)] = p->count + 1;
    p->count++;
    if (seen && !*seen) *seen = p->count;
}

/* A tensor that is no part, as the description ignores it, goes along into directories: other readers may look for it.
   Not so what is written under this name already, an untied head. */
static void add_other(tool_parts *p, const tool_model *t, size_t *first, const cq_named *n) {
    cq_part one;
    for (size_t i = 0; i < p->tensors; i++)
        if (p->named[i].name_len == n->name_len && !memcmp(p->named[i].name, n->name, n->name_len)) return;
    memset(&one, 0, sizeof one);
    one.kind = CQ_PART_CARRIED;
    one.rows = one.slices = 1;
    one.stored = n;
    if (!t->is_file) add_part(p, t, first, &one);
}

tool_parts tool_parts_of(const tool_model *t, const cq_rotate_plan *plan, bool hf) {
    const cq_model *m = &t->m;
    for (size_t b = 0; hf && b < m->block_count; b++)
        if (m->blocks[b].online)
            tool_fail(t->path, "has online rotations, which a Hugging Face directory cannot hold; give the checkpoint "
                               "that it was made from");
    tool_parts p;
    cq_parts cursor;
    cq_part one;
    size_t count = 0, linears = 0, *first = tool_alloc(t->weights.count, sizeof *first);
    memset(&p, 0, sizeof p);
    memset(&cursor, 0, sizeof cursor);
    p.hf = hf;
    while (cq_model_part(m, plan, &cursor, &one)) count++;
    if (hf) count += t->weights.count;
    p.part = tool_alloc(count, sizeof *p.part);
    p.tensor = tool_alloc(count, sizeof *p.tensor);
    p.written = tool_alloc(count, sizeof *p.written);
    p.round = tool_alloc(count, sizeof *p.round);
    p.coded = tool_alloc(count, sizeof *p.coded);
    p.named = tool_alloc(count, sizeof *p.named);
    p.base = tool_alloc(m->block_count, sizeof *p.base);
    for (size_t b = 0; b < m->block_count; b++) {
        p.base[b] = linears;
        linears += m->blocks[b].linears;
    }
    p.linear = tool_alloc(linears, sizeof *p.linear);
    memset(&cursor, 0, sizeof cursor);
    while (cq_model_part(m, plan, &cursor, &one)) add_part(&p, t, first, &one);
    for (size_t i = 0; hf && i < t->weights.count; i++)
        if (!first[i]) add_other(&p, t, first, &t->weights.list[i]);
    free(first);
    if (p.left_out)
        tool_note("%s: %zu tensors of its front end are left out; a .cq file holds the text model", t->path,
                  p.left_out);
    return p;
}

const cq_part *tool_part_of(const tool_parts *p, const cq_model *m, const cq_block *b, const cq_linear *l) {
    size_t i = p->linear[p->base[b - m->blocks] + (size_t)(l - b->lin)];
    return i ? &p->part[i - 1] : NULL;
}

void tool_store_as(tool_parts *p, size_t i, cq_format format, cq_layout layout, size_t group_size, bool asym) {
    const cq_part *part = &p->part[i];
    cq_named *n = &p->named[p->tensor[i]];
    size_t rows = 1, cols = n->ndim ? (size_t)n->shape[n->ndim - 1] : 1;
    cq_error err;
    if (part->kind == CQ_PART_CARRIED) return;
    for (size_t d = 0; d + 1 < n->ndim; d++) rows *= (size_t)n->shape[d];
    tool_check(cq_tensor_init(&n->t, format, layout, rows, cols, group_size, asym, &err), part->name, &err);
    n->dtype = (uint8_t)(layout == CQ_PANELS ? CQ_DTYPE_PACKED
                         : format == CQ_F32  ? CQ_DTYPE_F32
                         : format == CQ_F16  ? CQ_DTYPE_F16
                                             : CQ_DTYPE_BF16);
}

cq_format tool_stored_format(const cq_part *part, cq_format otherwise) {
    const cq_named *n = part->stored;
    return n && n->t.data && !cq_format_is_coded(n->t.format) ? n->t.format : otherwise;
}

/* ===================================================================================================================
   [OUTPUTS]  a .cq file, or model.safetensors in a directory; tensors are written at their places, in any order
   ================================================================================================================== */
/* The checksum of a .cq file goes through the data in order. What is written in order, but for the zeros that fill up to
   the next multiple of 64, is counted as it passes by; w->summed is where that ended. */
static void sum_up(tool_writer *w, uint64_t offset, const void *bytes, size_t n) {
    static const unsigned char zeros[CQ_ALIGN];
    if (!w->summed) {
        if (offset < w->layout.head_bytes) return;
        cq_checksum_start(&w->sum);
        w->summed = w->layout.head_bytes;
    }
    if (offset < w->summed) w->again = true;
    if (w->again || offset - w->summed >= CQ_ALIGN) return;
    cq_checksum_add(&w->sum, zeros, (size_t)(offset - w->summed));
    cq_checksum_add(&w->sum, bytes, n);
    w->summed = offset + n;
}

void tool_put_at(tool_writer *w, uint64_t offset, const void *bytes, size_t n) {
    size_t i = 0;
    while (i + 1 < w->shards && offset >= w->begin[i + 1]) i++;
    tool_out *out = w->cq ? w->out : w->shard[i];
    if (w->cq) sum_up(w, offset, bytes, n);
    tool_seek(out, w->cq ? offset : offset - w->begin[i]);
    tool_write(out, bytes, n);
}

static void plan_file(tool_writer *w) {
    cq_error err;
    cq_arena dry = cq_arena_over(NULL, 0);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->tensors, w->section_bytes, &dry, &err), w->path, &err);
    free(w->arena.base);
    w->arena = tool_arena(dry.used);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->tensors, w->section_bytes, &w->arena, &err), w->path, &err);
}

tool_writer *tool_write_cq(const char *path, tool_parts *p, tool_model *t, const cq_rotate_plan *plan,
                           const char *config, size_t config_len) {
    tool_writer *w = tool_alloc(1, sizeof *w);
    bool text = tool_model_tokenizer(t, false) != NULL;
    size_t n = cq_rotate_print(&t->m, plan, NULL, 0); /* the file is read without the table of descriptions as well */
    char *description = tool_alloc(n, 1);
    cq_rotate_print(&t->m, plan, description, n);
    w->cq = true;
    w->path = path;
    w->p = p;
    w->section_bytes[CQ_SECTION_CONFIG] = config_len;
    w->section_bytes[CQ_SECTION_DESCRIPTION] = n;
    w->section_bytes[CQ_SECTION_TOKENIZER] = text ? t->blob_bytes : 0;
    plan_file(w);
    w->out = tool_create(path);
    if (!w->out->temp) tool_fail(path, "must be a regular file: tensors are written in any order");
    tool_put_at(w, w->layout.section_offset[CQ_SECTION_CONFIG], config, config_len);
    tool_put_at(w, w->layout.section_offset[CQ_SECTION_DESCRIPTION], description, n);
    free(description);
    if (text) tool_put_at(w, w->layout.section_offset[CQ_SECTION_TOKENIZER], t->tok.blob, t->blob_bytes);
    return w;
}

/* "[1280, 3, 2, 14, 14]": the shape of a tensor as its shard's header has it, for what has more than four dimensions */
static char *shape_text(const tool_model *t, const cq_named *n) {
    const tool_file *f = &t->shards[n->file];
    size_t len = 0;
    cq_json j;
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    for (size_t i = 8; i-- > 0;) len = len << 8 | f->data[i];
    tool_check(cq_json_parse(&j, (const char *)f->data + 8, len, &arena, &err), f->path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_json_parse(&j, (const char *)f->data + 8, len, &arena, &err), f->path, &err);
    const cq_json_node *shape = &j.nodes[cq_json_find(&j, cq_json_find_n(&j, 0, n->name, n->name_len), "shape")];
    char *text = tool_format("%.*s", (int)(shape->end - shape->begin), j.text + shape->begin);
    free(arena.base);
    return text;
}

/* The header's text with the whole shapes of tensors that have more than four dimensions. list: (n), at offsets[i];
   stored[i] or NULL. */
static char *whole_shapes(char *text, const tool_model *t, const cq_named *const *stored, const uint64_t *offset,
                          size_t n, uint64_t data) {
    for (size_t i = 0; i < n; i++) {
        uint64_t at = offset[i] - data, end = offset[i + 1] - data;
        if (!stored[i] || stored[i]->ndim <= 4 || at == end) continue;
        char *extent = tool_format(",\"data_offsets\":[%llu,%llu]", (unsigned long long)at, (unsigned long long)end);
        char *shape = shape_text(t, stored[i]), *after = strstr(text, extent), *before = after;
        while (*before != '[') before--;
        char *longer = tool_format("%.*s%s%s", (int)(before - text), text, shape, after);
        free(extent);
        free(shape);
        free(text);
        text = longer;
    }
    return text;
}

static uint64_t named_bytes(const cq_named *n) {
    uint64_t bits = cq_dtype_bits((cq_dtype)n->dtype);
    for (size_t d = 0; d < n->ndim; d++) bits *= n->shape[d];
    return bits / 8;
}

/* One file with the tensors first .. end - 1, those of large elements first, so that all are aligned to their
   elements (torch wants that); w->offset of them. */
static void write_shard(tool_writer *w, const tool_model *t, const char *path, size_t first, size_t end,
                        const cq_named *const *stored) {
    size_t n = end - first, at = 0, need;
    cq_named *list = tool_alloc(n, sizeof *list);
    const cq_named **from = tool_alloc(n, sizeof *from);
    size_t *which = tool_alloc(n, sizeof *which);
    uint64_t *offset = tool_alloc(n + 1, sizeof *offset);
    cq_error err;
    for (unsigned bits = 64; bits; bits--)
        for (size_t i = first; i < end; i++) {
            if (cq_dtype_bits((cq_dtype)w->p->named[i].dtype) != bits) continue;
            list[at] = w->p->named[i];
            from[at] = stored[i];
            which[at++] = i;
        }
    tool_check(cq_safetensors_header(list, at, NULL, 0, &need, NULL, &err), path, &err);
    char *head = tool_alloc(need + 1, 1);
    tool_check(cq_safetensors_header(list, at, (unsigned char *)head, need, &need, offset, &err), path, &err);
    char *text = whole_shapes(tool_format("%s", head + 8), t, from, offset, at, need);
    size_t len = strlen(text), padded = (len + 7) / 8 * 8, moved = padded + 8 - need;
    unsigned char length[8];
    for (size_t i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    tool_out *out = tool_create(path);
    tool_write(out, length, sizeof length);
    tool_print(out, "%s%*s", text, (int)(padded - len), "");
    uint64_t begin = w->begin[w->shards];
    for (size_t i = 0; i < at; i++) w->offset[which[i]] = begin + offset[i] + moved;
    w->shard[w->shards++] = out;
    w->begin[w->shards] = begin + offset[at] + moved;
    free(text);
    free(head);
    free(list);
    free(from);
    free(which);
    free(offset);
}

/* model.safetensors.index.json: which tensor is in which file. end: (shards) one past the last tensor of each */
static void write_index(const tool_writer *w, const tool_dir *dir, const size_t *end) {
    tool_out *out = tool_create(tool_dir_file(dir, "model.safetensors.index.json"));
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->p->tensors; i++) bytes += named_bytes(&w->p->named[i]);
    tool_print(out, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {", (unsigned long long)bytes);
    for (size_t s = 0, i = 0; s < w->shards; s++)
        for (; i < end[s]; i++) {
            char *name = tool_format("%.*s", (int)w->p->named[i].name_len, w->p->named[i].name);
            char *text = tool_json_text(name);
            tool_print(out, "%s\n    %s: \"model-%05zu-of-%05zu.safetensors\"", i ? "," : "", text, s + 1, w->shards);
            free(name);
            free(text);
        }
    tool_print(out, "\n  }\n}\n");
    tool_close(out);
}

tool_writer *tool_write_safetensors(const tool_dir *dir, tool_parts *p, const tool_model *t, uint64_t shard_bytes) {
    tool_writer *w = tool_alloc(1, sizeof *w);
    size_t *end = tool_alloc(p->tensors + 1, sizeof *end), shards = 0;
    const cq_named **stored = tool_alloc(p->tensors + 1, sizeof *stored);
    uint64_t held = 0;
    w->p = p;
    w->path = dir->path;
    for (size_t i = 0; i < p->count; i++) stored[p->tensor[i]] = p->part[i].stored;
    for (size_t i = 0; i < p->tensors; i++) {
        uint64_t bytes = named_bytes(&p->named[i]);
        if (held && held + bytes > shard_bytes) end[shards++] = i, held = 0;
        held += bytes;
    }
    end[shards++] = p->tensors;
    w->offset = tool_alloc(p->tensors, sizeof(uint64_t));
    w->begin = tool_alloc(shards + 1, sizeof(uint64_t));
    w->shard = tool_alloc(shards, sizeof *w->shard);
    for (size_t s = 0; s < shards; s++) {
        char *name = shards == 1 ? tool_format("model.safetensors")
                                 : tool_format("model-%05zu-of-%05zu.safetensors", s + 1, shards);
        write_shard(w, t, tool_dir_file(dir, name), s ? end[s - 1] : 0, end[s], stored);
        free(name);
    }
    if (shards > 1) write_index(w, dir, end);
    free(end);
    free(stored);
    return w;
}

/* Of everything behind the head, as it now stands in the file; what was not written is zero. */
static uint64_t sum_of_data(tool_writer *w) {
    enum { PIECE = 1 << 20 };
    unsigned char *bytes = tool_alloc(PIECE, 1);
    uint64_t at = w->summed;
    if (!at || w->again) {
        at = w->layout.head_bytes;
        cq_checksum_start(&w->sum);
    }
    for (size_t n; at < w->layout.file_bytes; at += n) {
        n = w->layout.file_bytes - at < PIECE ? (size_t)(w->layout.file_bytes - at) : PIECE;
        tool_read_back(w->out, at, bytes, n);
        cq_checksum_add(&w->sum, bytes, n);
    }
    free(bytes);
    return cq_checksum_value(&w->sum);
}

static void finish_cq(tool_writer *w, const char *provenance) {
    static const unsigned char zeros[64];
    size_t len = strlen(provenance);
    w->section_bytes[CQ_SECTION_PROVENANCE] = len;
    plan_file(w);
    uint64_t end = w->layout.section_offset[CQ_SECTION_PROVENANCE];
    tool_put_at(w, end, provenance, len);
    tool_write(w->out, zeros, (size_t)(w->layout.file_bytes - end - len));
    unsigned char *head = tool_alloc((size_t)w->layout.head_bytes, 1);
    cq_file_header(&w->layout, sum_of_data(w), head);
    tool_put_at(w, 0, head, (size_t)w->layout.head_bytes);
    free(head);
}

uint64_t tool_finish(tool_writer *w, const char *provenance) {
    for (size_t i = 0; i < w->p->count; i++)
        if (!w->p->written[i])
            tool_fail(w->path, "a mistake in cquant itself: '%s' was not written", w->p->part[i].name);
    if (w->cq) finish_cq(w, provenance);
    uint64_t bytes = w->cq ? w->layout.file_bytes : w->begin[w->shards];
    if (w->cq) tool_close(w->out);
    for (size_t i = 0; i < w->shards; i++) tool_close(w->shard[i]);
    free(w->arena.base);
    free(w->offset);
    free(w->begin);
    free(w->shard);
    free(w);
    return bytes;
}

uint64_t tool_place_of(const tool_writer *w, size_t i) {
    const cq_part *part = &w->p->part[i];
    const cq_named *n = &w->p->named[w->p->tensor[i]];
    if (w->cq) return w->layout.offset[w->p->tensor[i]];
    return w->offset[w->p->tensor[i]] + (uint64_t)part->slice * (n->t.bytes / part->slices);
}

/* (rows, cols) to (cols, rows), a new array */
static float *transposed(const float *x, size_t rows, size_t cols) {
    float *y = tool_alloc(rows * cols, sizeof *y);
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++) y[c * rows + r] = x[r * cols + c];
    return y;
}

/* x (rows, cols) becomes what codes like those of `as` stand for. */
static void round_floats(const cq_tensor *as, float *x, size_t rows, size_t cols) {
    cq_tensor codes;
    cq_error err;
    tool_check(cq_tensor_init(&codes, as->format, as->layout, rows, cols, as->group_size, as->asym, &err), NULL, &err);
    unsigned char *bytes = tool_alloc(codes.bytes, 1);
    tool_check(cq_quantize_rtn(&codes, bytes, x, cols, &err), NULL, &err);
    codes.data = bytes;
    for (size_t r = 0; r < rows; r++) cq_tensor_row(&codes, r, x + r * cols);
    free(bytes);
}

/* To float on the way to fewer bits, so that rounding once more gives what rounding x at once would give: towards zero,
   and what was cut off is remembered in the last bit (no midpoint of a shorter format has it). Without branches. */
static float to_odd(double x) {
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    u -= fabs((double)f) > fabs(x);
    u |= (double)f < x || (double)f > x;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Doubles to floats: once more to be rounded, to 16 bits, or final. */
static void narrow(float *out, const double *x, size_t n, cq_format to) {
    bool more = to == CQ_F16 || to == CQ_BF16;
    for (size_t i = 0; i < n; i++) out[i] = more ? to_odd(x[i]) : (float)x[i];
}

/* Rounded to nearest, halves to even. In the range of normal floats a bf16 is the upper end of a double, but for the
   exponent's offset: 1023 there, 127 here. false: one is not finite. */
static bool put_bf16(unsigned char *out, const double *x, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++, out += 2) {
        uint64_t u, magnitude;
        memcpy(&u, &x[i], sizeof u);
        magnitude = (u & UINT64_MAX >> 1) - ((uint64_t)(1023 - 127) << 52);
        uint16_t v = (uint16_t)((magnitude + ((uint64_t)1 << 44) - 1 + (magnitude >> 45 & 1)) >> 45 | u >> 63 << 15);
        if (magnitude - ((uint64_t)1 << 52) >= (uint64_t)253 << 52) { /* not normal there */
            finite = finite && isfinite(x[i]);
            v = cq_f32_to_bf16(to_odd(x[i]));
        }
        out[0] = (unsigned char)v;
        out[1] = (unsigned char)(v >> 8);
    }
    return finite;
}

/* Rows of a part, rounded to what they are stored as, some a task. */
typedef struct round_job {
    const cq_tensor *piece; /* of so many rows as a task has, the last one may have fewer */
    const char *name;
    unsigned char *bytes;
    const float *x;     /* (rows, cols), or NULL: */
    const double *wide;
    size_t rows;
} round_job;
static void round_task(void *arg, size_t task) {
    const round_job *j = (const round_job *)arg;
    cq_tensor piece = *j->piece;
    size_t first = task * piece.rows * piece.cols, left = j->rows - task * piece.rows;
    unsigned char *bytes = j->bytes + task * j->piece->bytes;
    cq_error err;
    if (left < piece.rows &&
        cq_tensor_init(&piece, piece.format, piece.layout, left, piece.cols, piece.group_size, piece.asym, &err))
        tool_fail(NULL, "tensor %s: %s", j->name, err.what);
    size_t n = piece.rows * piece.cols;
    if (!j->x && piece.format == CQ_BF16 && piece.layout == CQ_ROWS) {
        if (!put_bf16(bytes, j->wide + first, n)) tool_fail(NULL, "tensor %s: a weight is not finite", j->name);
        return;
    }
    float *own = j->x ? NULL : tool_alloc(n, sizeof *own);
    if (own) narrow(own, j->wide + first, n, piece.format);
    if (cq_quantize_rtn(&piece, bytes, own ? own : j->x + first, piece.cols, &err))
        tool_fail(NULL, "tensor %s: %s", j->name, err.what);
    free(own);
}
/* Room in a buffer of the writer, kept from part to part: fresh pages cost as much as the work on them. */
static void *room(tool_buffer *b, size_t bytes) {
    if (bytes > b->size) {
        free(b->data);
        b->data = malloc(bytes);
        b->size = bytes;
        if (!b->data) tool_fail(NULL, "out of memory: %zu bytes are needed", bytes);
    }
    return b->data;
}
void tool_put_rows(tool_writer *w, const cq_context *ctx, size_t i, const float *x, const double *wide, size_t rows,
                   uint64_t *place) {
    const cq_part *part = &w->p->part[i];
    const cq_tensor *to = &w->p->named[w->p->tensor[i]].t;
    bool turn = !w->cq && part->swapped;
    size_t cols = part->cols, r = turn ? cols : rows, c = turn ? rows : cols, step = r < 16 ? r : 16;
    float *turned = turn ? transposed(x, rows, cols) : NULL;
    cq_tensor piece, whole;
    cq_error err;
    cq_status st = cq_tensor_init(&piece, to->format, to->layout, step, c, to->group_size, to->asym, &err);
    tool_check(st, part->name, &err);
    st = cq_tensor_init(&whole, to->format, to->layout, r, c, to->group_size, to->asym, &err);
    tool_check(st, part->name, &err);
    unsigned char *bytes = room(&w->bytes, whole.bytes);
    round_job job = {&piece, part->name, bytes, turn ? turned : x, wide, r};
    cq_parallel_for(ctx, (r + step - 1) / step, round_task, &job);
    tool_put_at(w, *place, bytes, whole.bytes);
    *place += whole.bytes;
    free(turned);
}

#define PIECE_VALUES ((size_t)8 << 20) /* what can be read in pieces is: so many values in memory, however large it is */
void tool_write_part(tool_writer *w, size_t i, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan) {
    const cq_part *part = &w->p->part[i];
    bool turn = !w->cq && part->swapped;
    bool by_rows = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD || part->kind == CQ_PART_POSITION ||
                   part->kind == CQ_PART_SIDE || (part->kind == CQ_PART_LINEAR && !plan && !turn);
    uint64_t place = tool_place_of(w, i);
    size_t fit = PIECE_VALUES / part->cols / 16 * 16, step = by_rows ? (fit ? fit : 16) : part->rows;
    size_t most = step < part->rows ? step : part->rows;
    const cq_tensor *codes = w->p->round[i].rows ? &w->p->round[i] : NULL;
    cq_error err;
    w->p->written[i] = true;
    if (part->kind == CQ_PART_CARRIED) {
        tool_put_at(w, place, part->stored->data, (size_t)part->stored->bytes);
        return;
    }
    cq_format format = w->p->named[w->p->tensor[i]].t.format;
    bool short_format = format == CQ_F16 || format == CQ_BF16;
    bool in_double = plan && plan->use_float64 && !codes && (!short_format || w->double_16);
    double *wide = in_double ? room(&w->wide, most * part->cols * sizeof *wide) : NULL;
    float *x = wide && !turn ? NULL : room(&w->narrow, most * part->cols * sizeof *x);
    for (size_t row = 0; row < part->rows; row += step) {
        size_t n = step < part->rows - row ? step : part->rows - row;
        tool_model_check(t, wide ? cq_part_read_f64(ctx, &t->m, plan, part, row, n, wide, &err)
                                 : cq_part_read(ctx, &t->m, plan, part, row, n, x, &err), &err);
        if (wide && x) narrow(x, wide, n * part->cols, format);
        if (codes) round_floats(codes, x, n, part->cols);
        tool_put_rows(w, ctx, i, x, x ? NULL : wide, n, &place);
        tool_forget(t);
    }
}

/* ===================================================================================================================
   [CONFIG]  config.json with a few keys changed: the text is kept, only the values are replaced
   ================================================================================================================== */
static cq_json parse_text(const char *text) {
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_json j;
    cq_error err;
    tool_check(cq_json_parse(&j, text, strlen(text), &arena, &err), "config.json", &err);
    arena = tool_arena(arena.used); /* a few kilobytes, until the tool ends */
    tool_check(cq_json_parse(&j, text, strlen(text), &arena, &err), "config.json", &err);
    return j;
}

char *tool_config_set(char *text, const char *object, const char *key, const char *value, bool add) {
    cq_json j = parse_text(text);
    uint32_t parent = object ? cq_json_path(&j, 0, object) : 0;
    uint32_t node = object && !parent ? 0 : cq_json_find(&j, parent, key);
    char *out;
    if (node) {
        uint32_t begin = j.nodes[node].begin, end = j.nodes[node].end;
        if (cq_json_kind(&j, node) == CQ_JSON_STRING) begin--, end++; /* with its quotes */
        out = tool_format("%.*s%s%s", (int)begin, text, value, text + end);
    } else if (add && (!object || parent)) {
        uint32_t begin = j.nodes[parent].begin + 1; /* after the brace */
        out = tool_format("%.*s\n  \"%s\": %s%s%s", (int)begin, text, key, value, j.nodes[parent].count ? "," : "",
                          text + begin);
    } else {
        return text;
    }
    free(text);
    return out;
}

static bool config_has(const char *text, const char *object, const char *key) {
    cq_json j = parse_text(text);
    uint32_t parent = object ? cq_json_path(&j, 0, object) : 0;
    return (!object || parent) && cq_json_find(&j, parent, key) != 0;
}

/* The object of config.json about the text model, if that is not the whole. */
static char *text_object(const tool_model *t) {
    const cq_str *list = &t->m.arch.config;
    for (size_t at = 0; t->m.text_config && at < list->n;) {
        size_t end = at;
        while (end < list->n && list->p[end] != ' ') end++;
        char *name = tool_format("%.*s", (int)(end - at), list->p + at);
        if (end > at && cq_json_path(&t->m.config, 0, name) == t->m.text_config) return name;
        free(name);
        at = end + 1;
    }
    return NULL;
}

char *tool_config_text(const tool_model *t) {
    return tool_format("%.*s", (int)t->config.size, (const char *)t->config.data);
}

char *tool_config_untied(char *text, const tool_model *t) {
    const cq_str *tie = &t->m.arch.tie;
    char *object = text_object(t), *first = NULL;
    bool there = false;
    if (tie->n == 6 && !memcmp(tie->p, "absent", 6)) return text; /* then it is enough that the tensor is there */
    for (size_t at = 0; at < tie->n;) {
        size_t end = at;
        while (end < tie->n && ((tie->p[end] >= 'a' && tie->p[end] <= 'z') || tie->p[end] == '_')) end++;
        bool alone = end > at && (end == tie->n || tie->p[end] == '/' || tie->p[end] == '|');
        char *key = tool_format("%.*s", (int)(end - at), tie->p + at);
        if (alone && strcmp(key, "true") && strcmp(key, "false") && strcmp(key, "null")) {
            there = there || config_has(text, NULL, key) || (object && config_has(text, object, key));
            text = tool_config_set(text, NULL, key, "false", false);
            if (object) text = tool_config_set(text, object, key, "false", false);
            if (!first) first = tool_format("%s", key);
        }
        free(key);
        at = end < tie->n && end > at && tie->p[end] == '(' ? tie->n : end + 1;
    }
    if (!there) text = tool_config_set(text, NULL, first ? first : "tie_word_embeddings", "false", true);
    free(first);
    free(object);
    return text;
}

char *tool_config_dtype(char *text, const tool_model *t, const char *name) {
    static const char *const keys[] = {"torch_dtype", "dtype"};
    char *object = text_object(t);
    bool old = config_has(text, NULL, keys[0]);
    text = tool_config_set(text, NULL, keys[old ? 0 : 1], name, true);
    for (size_t i = 0; object && i < 2; i++) text = tool_config_set(text, object, keys[i], name, false);
    free(object);
    return text;
}

void tool_copy_companions(const tool_dir *dir, const tool_model *t) {
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template.jinja",
        "chat_template.json", "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
        "configuration_dream.py", "modeling_dream.py", "generation_utils.py", "tokenization_dream.py"};
    for (size_t i = 0; !t->is_file && i < sizeof names / sizeof *names; i++) tool_dir_copy(dir, t->path, names[i]);
}

void tool_write_text(const tool_dir *dir, const char *name, const char *text) {
    tool_out *out = tool_create(tool_dir_file(dir, name));
    tool_write(out, text, strlen(text));
    tool_close(out);
}

/* ===================================================================================================================
   [ROTATE]
   ================================================================================================================== */
void tool_refuse_online(const char *target) {
    if (tool_has("online"))
        tool_fail(target, "a Hugging Face directory cannot hold online rotations (--online), which the runtime must "
                          "multiply with; only .cq files can: quantize --format cq, or export");
}

char *tool_rotations_text(void) {
    char *rotate = tool_json_text(tool_text("rotate", NULL)), *online = tool_json_text(tool_text("online", NULL));
    char *matrices = tool_json_text(tool_text("matrices", NULL));
    char *text = tool_format("\"rotate\":%s,\"matrices\":%s,\"online\":%s", rotate, matrices, online);
    free(rotate);
    free(online);
    free(matrices);
    return text;
}
