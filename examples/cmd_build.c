/* cmd_build.c - commands that write models: rotate, quantize, export

   All three walk the list of parts that the architecture's description gives (cq_model_part), plan where each has its
   place in the output, and write one at a time, in any order, as quantising hands experts out one by one. They differ
   in what they do to a part on the way. */
#include "tool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ===================================================================================================================
   [PARTS]  and the tensors of the output that hold them

   A .cq file has a tensor for each part, (out, in), under the part's own name. A directory has the tensors of the
   checkpoint: a part may be one of several slices (experts) of a tensor, and stored transposed.
   ================================================================================================================== */
typedef struct parts {
    bool hf;         /* as the checkpoint has them */
    cq_part *part;   /* (count) */
    size_t *tensor;  /* (count) the tensor that holds it */
    bool *written;   /* (count) */
    cq_tensor *round; /* (count) in a directory: rounded to this on the way; rows = 0: not */
    size_t count;
    cq_named *named; /* (tensors): what the output calls them and how it stores them */
    size_t tensors;
    size_t left_out; /* tensors of a front end, which .cq files do not have */
    size_t *base;    /* (blocks) linears of the blocks before */
    size_t *linear;  /* (linears of all blocks) 1 + the part */
} parts;

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
static bool same_again(const parts *p, size_t first, const cq_part *part) {
    if (!first) return false;
    return part->slices == 1 || p->part[first - 1].block != part->block;
}

static void add_part(parts *p, const tool_model *t, size_t *first, const cq_part *one) {
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
static void add_other(parts *p, const tool_model *t, size_t *first, const cq_named *n) {
    cq_part one;
    for (size_t i = 0; i < p->tensors; i++)
        if (p->named[i].name_len == n->name_len && !memcmp(p->named[i].name, n->name, n->name_len)) return;
    memset(&one, 0, sizeof one);
    one.kind = CQ_PART_CARRIED;
    one.rows = one.slices = 1;
    one.stored = n;
    if (!t->is_file) add_part(p, t, first, &one);
}

static parts parts_of(const tool_model *t, const cq_rotate_plan *plan, bool hf) {
    const cq_model *m = &t->m;
    for (size_t b = 0; hf && b < m->block_count; b++)
        if (m->blocks[b].online)
            tool_fail(t->path, "has online rotations, which a Hugging Face directory cannot hold; give the checkpoint "
                               "that it was made from");
    parts p;
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

/* The part of a linear; NULL if another block came with the same tensor. */
static const cq_part *part_of(const parts *p, const cq_model *m, const cq_block *b, const cq_linear *l) {
    size_t i = p->linear[p->base[b - m->blocks] + (size_t)(l - b->lin)];
    return i ? &p->part[i - 1] : NULL;
}

/* How the tensor of a part is stored. Carried tensors stay as they are. */
static void store_as(parts *p, size_t i, cq_format format, cq_layout layout, size_t group_size, bool asym) {
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

/* the float format in which the checkpoint stores this tensor; quantised ones and new ones: `otherwise` */
static cq_format stored_format(const cq_part *part, cq_format otherwise) {
    const cq_named *n = part->stored;
    return n && n->t.data && !cq_format_is_int(n->t.format) ? n->t.format : otherwise;
}

/* ===================================================================================================================
   [OUTPUTS]  a .cq file, or model.safetensors in a directory; tensors are written at their places, in any order
   ================================================================================================================== */
typedef struct buffer {
    void *data;
    size_t size;
} buffer;
typedef struct writer {
    tool_out *out;
    const char *path; /* for errors */
    bool cq;
    parts *p;
    cq_file_layout layout;
    uint64_t *offset; /* safetensors: (tensors + 1) */
    uint64_t section_bytes[CQ_SECTION_COUNT];
    cq_arena arena;
    buffer wide, narrow, bytes; /* see room() */
    bool double_16; /* rotate in double also what is stored in 16 bits, where float makes no difference to speak of */
} writer;

static void put_at(writer *w, uint64_t offset, const void *bytes, size_t n) {
    tool_seek(w->out, offset);
    tool_write(w->out, bytes, n);
}

static void plan_file(writer *w) {
    cq_error err;
    cq_arena dry = cq_arena_over(NULL, 0);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->tensors, w->section_bytes, &dry, &err), w->path, &err);
    free(w->arena.base);
    w->arena = tool_arena(dry.used);
    tool_check(cq_file_plan(&w->layout, w->p->named, w->p->tensors, w->section_bytes, &w->arena, &err), w->path, &err);
}

static writer *write_cq(const char *path, parts *p, tool_model *t, const cq_rotate_plan *plan, const char *config,
                        size_t config_len) {
    writer *w = tool_alloc(1, sizeof *w);
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
    put_at(w, w->layout.section_offset[CQ_SECTION_CONFIG], config, config_len);
    put_at(w, w->layout.section_offset[CQ_SECTION_DESCRIPTION], description, n);
    free(description);
    if (text) put_at(w, w->layout.section_offset[CQ_SECTION_TOKENIZER], t->tok.blob, t->blob_bytes);
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

/* The header's text with the whole shapes of tensors that have more than four dimensions. */
static char *whole_shapes(char *text, const writer *w, const tool_model *t, uint64_t data) {
    for (size_t i = 0; i < w->p->count; i++) {
        const cq_named *s = w->p->part[i].stored;
        uint64_t at = w->offset[w->p->tensor[i]] - data, end = w->offset[w->p->tensor[i] + 1] - data;
        if (!s || s->ndim <= 4 || at == end) continue;
        char *extent = tool_format(",\"data_offsets\":[%llu,%llu]", (unsigned long long)at, (unsigned long long)end);
        char *shape = shape_text(t, s), *after = strstr(text, extent), *before = after;
        while (*before != '[') before--;
        char *longer = tool_format("%.*s%s%s", (int)(before - text), text, shape, after);
        free(extent);
        free(shape);
        free(text);
        text = longer;
    }
    return text;
}

static writer *write_safetensors(const char *path, parts *p, const tool_model *t) {
    writer *w = tool_alloc(1, sizeof *w);
    cq_error err;
    size_t need;
    w->path = path;
    w->p = p;
    w->offset = tool_alloc(p->tensors + 1, sizeof(uint64_t));
    tool_check(cq_safetensors_header(p->named, p->tensors, NULL, 0, &need, NULL, &err), path, &err);
    char *head = tool_alloc(need + 1, 1);
    tool_check(cq_safetensors_header(p->named, p->tensors, (unsigned char *)head, need, &need, w->offset, &err), path,
               &err);
    char *text = whole_shapes(tool_format("%s", head + 8), w, t, need);
    size_t len = strlen(text), padded = (len + 7) / 8 * 8, moved = padded + 8 - need;
    unsigned char length[8];
    for (size_t i = 0; i <= p->tensors; i++) w->offset[i] += moved;
    for (size_t i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    w->out = tool_create(path);
    tool_write(w->out, length, sizeof length);
    tool_print(w->out, "%s%*s", text, (int)(padded - len), "");
    free(text);
    free(head);
    return w;
}

/* Everything behind the head, as it now stands in the file, in order; what was not written is zero. */
static uint64_t sum_of_data(writer *w) {
    enum { PIECE = 1 << 20 };
    unsigned char *bytes = tool_alloc(PIECE, 1);
    cq_checksum sum;
    cq_checksum_start(&sum);
    for (uint64_t at = w->layout.head_bytes; at < w->layout.file_bytes; at += PIECE) {
        size_t n = w->layout.file_bytes - at < PIECE ? (size_t)(w->layout.file_bytes - at) : PIECE;
        tool_read_back(w->out, at, bytes, n);
        cq_checksum_add(&sum, bytes, n);
    }
    free(bytes);
    return cq_checksum_value(&sum);
}

static void finish_cq(writer *w, const char *provenance) {
    static const unsigned char zeros[64];
    size_t len = strlen(provenance);
    w->section_bytes[CQ_SECTION_PROVENANCE] = len;
    plan_file(w);
    uint64_t end = w->layout.section_offset[CQ_SECTION_PROVENANCE];
    put_at(w, end, provenance, len);
    tool_write(w->out, zeros, (size_t)(w->layout.file_bytes - end - len));
    unsigned char *head = tool_alloc((size_t)w->layout.head_bytes, 1);
    cq_file_header(&w->layout, sum_of_data(w), head);
    put_at(w, 0, head, (size_t)w->layout.head_bytes);
    free(head);
}

/* bytes of the finished file */
static uint64_t finish(writer *w, const char *provenance) {
    for (size_t i = 0; i < w->p->count; i++)
        if (!w->p->written[i])
            tool_fail(w->path, "a mistake in cquant itself: '%s' was not written", w->p->part[i].name);
    if (w->cq) finish_cq(w, provenance);
    uint64_t bytes = w->cq ? w->layout.file_bytes : w->offset[w->p->tensors];
    tool_close(w->out);
    free(w->arena.base);
    free(w->offset);
    free(w);
    return bytes;
}

/* where the bytes of a part begin */
static uint64_t place_of(const writer *w, size_t i) {
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
static void *room(buffer *b, size_t bytes) {
    if (bytes > b->size) {
        free(b->data);
        b->data = malloc(bytes);
        b->size = bytes;
        if (!b->data) tool_fail(NULL, "out of memory: %zu bytes are needed", bytes);
    }
    return b->data;
}
/* Rows of a part, x or wide (the other is NULL), in the format of the output, at *place, which is moved on; rows a
   multiple of 16 but at the end. A transposed part is given whole, as x. */
static void put_rows(writer *w, const cq_context *ctx, size_t i, const float *x, const double *wide, size_t rows,
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
    put_at(w, *place, bytes, whole.bytes);
    *place += whole.bytes;
    free(turned);
}

/* One whole part, rotated and rounded once to the format of the output, in pieces where that is possible. */
static void write_part(writer *w, size_t i, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan) {
    const cq_part *part = &w->p->part[i];
    bool by_rows = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD ||
                   part->kind == CQ_PART_POSITION || part->kind == CQ_PART_SIDE;
    uint64_t place = place_of(w, i);
    size_t step = by_rows ? 4096 : part->rows, most = step < part->rows ? step : part->rows;
    const cq_tensor *codes = w->p->round[i].rows ? &w->p->round[i] : NULL;
    bool turn = !w->cq && part->swapped;
    cq_error err;
    w->p->written[i] = true;
    if (part->kind == CQ_PART_CARRIED) {
        put_at(w, place, part->stored->data, (size_t)part->stored->bytes);
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
        put_rows(w, ctx, i, x, x ? NULL : wide, n, &place);
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

/* Sets a key of the whole (object NULL) or of the object under that path. add: if it is not there, too. */
static char *config_set(char *text, const char *object, const char *key, const char *value, bool add) {
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

static char *config_text(const tool_model *t) {
    return tool_format("%.*s", (int)t->config.size, (const char *)t->config.data);
}

/* The head has become a tensor of its own: every key that the description's `tie` asks for says so. */
static char *config_untied(char *text, const tool_model *t) {
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
            text = config_set(text, NULL, key, "false", false);
            if (object) text = config_set(text, object, key, "false", false);
            if (!first) first = tool_format("%s", key);
        }
        free(key);
        at = end < tie->n && end > at && tie->p[end] == '(' ? tie->n : end + 1;
    }
    if (!there) text = config_set(text, NULL, first ? first : "tie_word_embeddings", "false", true);
    free(first);
    free(object);
    return text;
}

/* of the tensors, as torch names it: "\"float32\"" */
static char *config_dtype(char *text, const tool_model *t, const char *name) {
    static const char *const keys[] = {"torch_dtype", "dtype"};
    char *object = text_object(t);
    bool old = config_has(text, NULL, keys[0]);
    text = config_set(text, NULL, keys[old ? 0 : 1], name, true);
    for (size_t i = 0; object && i < 2; i++) text = config_set(text, object, keys[i], name, false);
    free(object);
    return text;
}

static void copy_companions(const tool_dir *dir, const tool_model *t) {
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template.jinja",
        "chat_template.json", "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
        "configuration_dream.py", "modeling_dream.py", "generation_utils.py", "tokenization_dream.py"};
    for (size_t i = 0; !t->is_file && i < sizeof names / sizeof *names; i++) tool_dir_copy(dir, t->path, names[i]);
}

static void write_text(const tool_dir *dir, const char *name, const char *text) {
    tool_out *out = tool_create(tool_dir_file(dir, name));
    tool_write(out, text, strlen(text));
    tool_close(out);
}

/* ===================================================================================================================
   [ROTATE]
   ================================================================================================================== */
static void refuse_online(const char *target) {
    if (tool_has("online"))
        tool_fail(target, "a Hugging Face directory cannot hold online rotations (--online), which the runtime must "
                          "multiply with; only .cq files can: quantize --format cq, or export");
}

/* Largest difference of the logits of two models on random tokens, 64 or as many as they take, and the deviation of
   the first's. */
static double logit_error(const cq_context *ctx, const tool_model *a, const tool_model *b, double *deviation) {
    enum { TOKENS = 64, TEXT = 8 };
    int32_t ids[TOKENS];
    size_t longest = a->m.longest ? a->m.longest : a->m.context;
    size_t tokens = longest && longest < TOKENS ? longest : TOKENS;
    size_t vocab = a->m.vocab, total = tokens * vocab;
    float *out[2], *text = NULL; /* two streams: random rows and a random box */
    double worst = 0, sum = 0, square = 0;
    if (a->m.two_streams) {
        size_t numbers = TEXT * a->m.input[0].w.cols + a->m.input[1].w.cols;
        text = tool_alloc(numbers, sizeof *text);
        for (size_t i = 0; i < numbers; i++)
            text[i] = (float)(cq_random(tool.seed, (1u << 20) + 1, i) >> 40) / (1 << 23) - 1.0f;
    }
    for (size_t i = 0; i < tokens; i++) ids[i] = (int32_t)(cq_random(tool.seed, 1u << 20, i) % vocab);
    for (int i = 0; i < 2; i++) {
        const tool_model *t = i ? b : a;
        cq_session s;
        cq_session_desc desc;
        cq_input in;
        cq_error err;
        void *base;
        memset(&desc, 0, sizeof desc);
        memset(&in, 0, sizeof in);
        desc.max_tokens = tokens + (text ? TEXT + 1 : 0);
        tool_session(&s, ctx, t, &desc, &base);
        in.ids = ids;
        in.n = tokens;
        out[i] = tool_alloc(total, sizeof(float));
        if (text) {
            const float *box = t->m.input[1].w.rows ? text + TEXT * t->m.input[0].w.cols : NULL;
            tool_model_check(t, cq_forward_text(&s, text, TEXT, box, &err), &err);
        }
        tool_model_check(t, cq_forward(&s, &in, &err), &err);
        cq_logits(&s, NULL, tokens, out[i]);
        free(base);
    }
    for (size_t i = 0; i < total; i++) {
        double x = out[0][i], d = fabs(x - (double)out[1][i]);
        worst = d > worst ? d : worst;
        sum += x;
        square += x * x;
    }
    *deviation = sqrt(square / (double)total - (sum / (double)total) * (sum / (double)total));
    free(out[0]);
    free(out[1]);
    free(text);
    return worst;
}

/* With --verify: opens what was written, as anybody would, and compares. */
static void verify_rotated(const cq_context *ctx, const tool_model *t, const char *dir, const char *target,
                           const parts *p, double *error, double *deviation) {
    tool_model rotated;
    bool exact = true;
    tool_model_open_like(&rotated, dir, t);
    *error = logit_error(ctx, t, &rotated, deviation);
    for (size_t i = 0; i < p->count; i++)
        exact = exact && (p->part[i].kind == CQ_PART_CARRIED || p->named[p->tensor[i]].t.format == CQ_F32);
    if (exact && !(*error <= 1e-4 * *deviation))
        tool_fail(target, "the rotated model's logits differ by %.3g, more than 1e-4 of their standard deviation %.3g",
                  *error, *deviation);
}

static void run_rotate(void) {
    tool_model t;
    cq_context ctx;
    cq_rotate_plan plan;
    double start = tool_seconds(), deviation = 0, error = 0;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL);
    refuse_online(target);
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    tool_dir *dir = tool_dir_create(target);
    tool_rotation(&plan, &ctx, &t, tool_text("config", "auto"), tool_text("matrices", NULL));
    tool_dir *matrices = tool_save_matrices(&plan, &t.m);
    parts p = parts_of(&t, &plan, true);
    for (size_t i = 0; i < p.count; i++) {
        cq_format embed = cq_format_is_int(t.m.embed.format) ? CQ_F32 : t.m.embed.format;
        cq_format f = stored_format(&p.part[i], embed);
        if (dtype) f = !strcmp(dtype, "fp32") ? CQ_F32 : !strcmp(dtype, "fp16") ? CQ_F16 : CQ_BF16;
        store_as(&p, i, f, CQ_ROWS, 0, false);
    }
    writer *w = write_safetensors(tool_dir_file(dir, "model.safetensors"), &p, &t);
    w->double_16 = strncmp(tool_text("config", "auto"), "auto", 4) != 0; /* as the configuration has it */
    for (size_t i = 0; i < p.count; i++) {
        write_part(w, i, &ctx, &t, &plan);
        tool_progress("rotating", i + 1, p.count);
    }
    finish(w, NULL);
    char *config = config_text(&t);
    if (cq_rotate_unties(&plan, &t.m)) config = config_untied(config, &t);
    if (dtype)
        config = config_dtype(config, &t, !strcmp(dtype, "fp32")   ? "\"float32\""
                                          : !strcmp(dtype, "fp16") ? "\"float16\""
                                                                   : "\"bfloat16\"");
    write_text(dir, "config.json", config);
    copy_companions(dir, &t);
    if (tool_has("verify")) verify_rotated(&ctx, &t, dir->temp, target, &p, &error, &deviation);
    tool_dir_close(dir);
    if (matrices) tool_dir_close(matrices);
    tool_report_rotations(&plan, &t.m);
    if (tool_has("verify")) {
        json_real("max_logit_error", error);
        json_real("logit_deviation", deviation);
        tool_say("largest change of a logit: %.3g (standard deviation of the logits %.3g)\n", error, deviation);
    }
    json_real("seconds", tool_seconds() - start);
    tool_say("%s: %zu tensors in %.1f s\n", target, p.tensors, tool_seconds() - start);
}

/* ===================================================================================================================
   [QUANTIZE]
   ================================================================================================================== */
/* A text that grows. */
typedef struct text {
    char *p;
    size_t n, room;
} text;
static void text_add(text *s, char *piece) { /* frees the piece */
    size_t n = strlen(piece);
    if (s->room - s->n <= n) {
        s->room = 2 * (s->room + n + 1);
        s->p = realloc(s->p, s->room);
        if (!s->p) tool_fail(NULL, "out of memory: %zu bytes are needed", s->room);
    }
    memcpy(s->p + s->n, piece, n + 1);
    s->n += n;
    free(piece);
}

typedef struct quantize_job {
    const tool_model *t;
    const cq_context *ctx;
    const cq_rotate_plan *plan;
    writer *w;
    parts *p;
    const char **kept; /* (parts) why it stays in high precision; NULL: it does not */
    bool *starved;     /* (parts) */
    double mark;
    text provenance;
    double loss;
    size_t modules, calibrated;
} quantize_job;

static cq_format int_format(unsigned bits) {
    return bits == 2 ? CQ_INT2 : bits == 3 ? CQ_INT3 : bits == 8 ? CQ_INT8 : CQ_INT4;
}

static const char *format_of(const cq_module *module, const cq_tensor *to) {
    unsigned bits = module->codes ? module->desc->bits : 0;
    return cq_format_name(!bits ? to->format : int_format(bits));
}

static void note_module(quantize_job *job, const cq_module *module, const char *format) {
    const cq_gptq_desc *d = module->desc;
    const cq_gptq_report *r = &module->report;
    double now = tool_seconds();
    char name[256];
    cq_module_name(&job->t->m, module->block, module->linear, name, sizeof name);
    json_open(NULL, '{');
    json_text("name", name);
    json_text("format", format);
    json_int("bits", module->codes ? (int64_t)d->bits : 32);
    json_int("group_size", module->codes && d->group_size ? (int64_t)d->group_size : -1);
    json_real("loss", r->loss);
    json_real("rtn_loss", r->rtn_loss);
    json_real("damp", (double)r->damp);
    json_int("tokens", (int64_t)module->tokens);
    json_real("seconds", now - job->mark);
    json_close();
    if (!module->codes) tool_say("%-44s %-5s as it is\n", name, format);
    else if (module->tokens && !module->starved)
        tool_say("%-44s %-5s loss %.3e   to nearest %.3e   %6.2f s\n", name, format, r->loss, r->rtn_loss,
                 now - job->mark);
    else
        tool_say("%-44s %-5s |W - Q|^2 / |W|^2 %.3e%s\n", name, format, r->loss, module->starved ? " (starved)" : "");
    text_add(&job->provenance, tool_format("%s{\"name\":\"%s\",\"format\":\"%s\",\"loss\":%.6e,\"rtn_loss\":%.6e}",
                                           job->modules ? "," : "", name, format, r->loss, r->rtn_loss));
    job->modules++;
    if (module->codes && !module->starved) {
        job->loss += r->loss;
        job->calibrated++;
    }
    job->mark = now;
}

static bool emit_module(void *user, const cq_module *module) {
    quantize_job *job = user;
    const cq_part *part = part_of(job->p, &job->t->m, module->block, module->linear);
    if (!part) tool_fail(job->t->path, "two blocks share a linear, which this version cannot quantise");
    size_t i = (size_t)(part - job->p->part);
    const cq_tensor *to = &job->p->named[job->p->tensor[i]].t;
    uint64_t place = place_of(job->w, i);
    if (cq_format_is_int(to->format)) {
        if (!module->tensor.data || module->tensor.bytes != to->bytes)
            tool_fail(job->t->path, "'%s' cannot be packed: %zu bytes were planned", part->name, to->bytes);
        put_at(job->w, place, module->tensor.data, module->tensor.bytes);
    } else {
        put_rows(job->w, job->ctx, i, module->values, NULL, part->rows, &place);
    }
    job->p->written[i] = true;
    job->starved[i] = module->starved;
    note_module(job, module, format_of(module, to));
    return true;
}

static bool show_progress(void *user, size_t done, size_t total) {
    (void)user;
    tool_progress("quantizing", done, total);
    return true;
}

/* {"default": {"wq": "int4", "group_size": 64}, "overrides": [{"pattern": "*.o_proj", "wq": "int8"}, ...]} */
static cq_policy *read_policy(const char *path) {
    cq_arena dry = cq_arena_over(NULL, 0), arena;
    cq_json *j = tool_alloc(1, sizeof *j);
    cq_error err;
    tool_file f = tool_map(path);
    tool_check(cq_json_parse(j, (const char *)f.data, f.size, &dry, &err), path, &err);
    arena = tool_arena(dry.used);
    tool_check(cq_json_parse(j, (const char *)f.data, f.size, &arena, &err), path, &err);
    if (cq_json_kind(j, 0) != CQ_JSON_OBJECT) tool_fail(path, "should hold one JSON object with default and overrides");
    uint32_t list = cq_json_find(j, 0, "overrides"), common = cq_json_find(j, 0, "default");
    if (list && cq_json_kind(j, list) != CQ_JSON_ARRAY) tool_fail(path, "\"overrides\" should be an array");
    cq_policy *policy = tool_alloc(1, sizeof *policy);
    policy->rules = tool_alloc((list ? j->nodes[list].count : 0) + 1, sizeof(cq_policy_rule));
    uint32_t element = common ? common : list ? cq_json_child(j, list) : 0;
    bool first = common != 0;
    while (element) {
        cq_policy_rule *r = &policy->rules[policy->count++];
        if (cq_json_kind(j, element) != CQ_JSON_OBJECT) tool_fail(path, "each override should be an object");
        for (uint32_t key = cq_json_child(j, element); key; key = cq_json_next(j, key)) {
            uint32_t value = cq_json_child(j, key);
            int64_t n;
            bool yes;
            if (cq_json_string_eq(j, key, "pattern") && !first) {
                if (cq_json_kind(j, value) != CQ_JSON_STRING) tool_fail(path, "\"pattern\" should be a string");
                r->pattern = j->text + j->nodes[value].begin;
                r->pattern_len = j->nodes[value].end - j->nodes[value].begin;
            } else if (cq_json_string_eq(j, key, "wq") || cq_json_string_eq(j, key, "bits")) {
                static const struct {
                    const char *name;
                    unsigned bits;
                } formats[] = {{"int2", 2}, {"int3", 3}, {"int4", 4}, {"int8", 8}, {"bf16", 0}, {"fp16", 0}};
                size_t i = 0;
                if (cq_json_int(j, value, &n)) {
                    if (n != 2 && n != 3 && n != 4 && n != 8)
                        tool_fail(path, "bits %lld; it should be 2, 3, 4 or 8", (long long)n);
                    r->bits = (unsigned)n;
                } else {
                    while (i < 6 && !cq_json_string_eq(j, value, formats[i].name)) i++;
                    if (i == 6)
                        tool_fail(path, "wq %.*s; this version has int2, int3, int4, int8, bf16",
                                  (int)(j->nodes[value].end - j->nodes[value].begin), j->text + j->nodes[value].begin);
                    r->bits = formats[i].bits;
                }
                r->set |= r->bits ? CQ_POLICY_BITS : CQ_POLICY_SKIP;
                r->skip = !r->bits;
            } else if (cq_json_string_eq(j, key, "group_size")) {
                if (!cq_json_int(j, value, &n) || n < -1 || n == 0 || n > 65536 || (n > 0 && n % 32))
                    tool_fail(path, "\"group_size\" should be -1 or a multiple of 32 up to 65536");
                r->group_size = n < 0 ? 0 : (size_t)n;
                r->set |= CQ_POLICY_GROUP_SIZE;
            } else if (cq_json_string_eq(j, key, "asym") || cq_json_string_eq(j, key, "skip")) {
                bool skip = cq_json_string_eq(j, key, "skip");
                if (!cq_json_bool(j, value, &yes))
                    tool_fail(path, "\"%s\" should be true or false", skip ? "skip" : "asym");
                r->set |= skip ? CQ_POLICY_SKIP : CQ_POLICY_ASYM;
                if (skip) r->skip = yes;
                else r->asym = yes;
            } /* other keys (comment, extra, aq) pass */
        }
        if (!first && !r->pattern) tool_fail(path, "override %zu has no \"pattern\"", policy->count - (common ? 2 : 1));
        element = first ? (list ? cq_json_child(j, list) : 0) : cq_json_next(j, element);
        first = false;
    }
    return policy;
}

/* Only a rule with a pattern may touch what stands at the ends: embedding, positions, head. */
static bool policy_names(cq_policy *policy, const cq_part *part, cq_gptq_desc *desc, bool *skip) {
    size_t len = part->name_len - strlen(".weight");
    bool named = false;
    for (size_t i = 0; i < policy->count; i++) {
        const cq_policy_rule *r = &policy->rules[i];
        named = named || (r->pattern && cq_glob(r->pattern, r->pattern_len, part->name, len));
    }
    if (named) cq_policy_resolve(policy, part->name, len, desc, skip);
    return named && !*skip;
}

/* Calibration ids (samples, seq_len): windows of a text or rows of an array; diffusion models get masks. */
static int32_t *calibration_ids(tool_model *t, size_t *samples, size_t *seq_len) {
    const char *text = tool_text("calib", NULL), *npy = tool_text("calib-ids", NULL), *path = text ? text : npy;
    size_t n, rows = 1, dims = 1, want = tool_size("samples", 128);
    int32_t *ids;
    if (!path) tool_usage("gptq needs --calib FILE or --calib-ids IDS.npy");
    if (text && npy) tool_usage("--calib and --calib-ids exclude each other");
    *seq_len = tool_size("seq-len", 512);
    if (!*seq_len || !want) tool_usage("--samples and --seq-len should be at least 1");
    if (text) {
        tool_file f = tool_map(text);
        ids = tool_encode(t, text, (const char *)f.data, f.size, &n);
    } else {
        ids = tool_ids(t, npy, &rows, &n, &dims);
    }
    if (!n || !rows) tool_fail(path, "no calibration tokens: the text is empty");
    if (dims == 2) {
        *seq_len = n;
        *samples = rows < want ? rows : want;
    } else {
        if (*seq_len > n) *seq_len = n;
        *samples = n / *seq_len < want ? n / *seq_len : want;
    }
    if (t->m.arch.diffusion) /* mask ratios (i + 1/2) / samples over the windows; the first token is always kept */
        for (size_t i = 0; i < *samples; i++)
            for (size_t p = 1; p < *seq_len; p++) {
                double u = (double)(cq_random(tool.seed, 1u << 21, i * *seq_len + p) >> 11) / 9007199254740992.0;
                if (u < ((double)i + 0.5) / (double)*samples) ids[i * *seq_len + p] = t->m.mask_id;
            }
    return ids;
}

static uint64_t input_bytes(const tool_model *t) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->shard_count; i++) bytes += t->shards[i].size;
    return bytes;
}

static const char *why_kept(const cq_linear *l) {
    switch (l->role) {
    case CQ_ROLE_ROUTER: return "router";
    case CQ_ROLE_SHARED_MIX: return "gate of the shared expert";
    case CQ_ROLE_MIX2: return "weighs experts and shared expert";
    case CQ_ROLE_EXPERT_IN:
    case CQ_ROLE_EXPERT_OUT: return "leads into or out of the experts";
    default: return "marked ! in the description";
    }
}

/* The format of each part, and why it is kept if it is. */
static void plan_formats(parts *p, const cq_quantize_desc *desc, const char **kept) {
    for (size_t i = 0; i < p->count; i++) {
        const cq_part *part = &p->part[i];
        bool linear = part->kind == CQ_PART_LINEAR && part->block, skip = false, pack;
        size_t len = part->name_len - strlen(".weight");
        cq_gptq_desc g = desc->gptq;
        cq_error err;
        if (!part->matrix) {
            store_as(p, i, CQ_F32, CQ_ROWS, 0, false);
            continue;
        }
        if (linear && part->linear->keep) {
            pack = false;
            kept[i] = why_kept(part->linear);
        } else if (linear) {
            if (desc->policy) cq_policy_resolve(desc->policy, part->name, len, &g, &skip);
            pack = !skip;
            if (skip) kept[i] = "skipped by --config";
        } else {
            pack = desc->policy && policy_names(desc->policy, part, &g, &skip);
            if (!pack) kept[i] = "stays as stored unless --config names it";
        }
        g.group_size = g.group_size >= part->cols ? 0 : g.group_size;
        if (p->hf) store_as(p, i, CQ_F32, CQ_ROWS, 0, false);
        else if (pack) store_as(p, i, int_format(g.bits), CQ_PANELS, g.group_size, g.asym);
        else store_as(p, i, cq_format_is_int(part->format) ? CQ_BF16 : part->format, CQ_PANELS, 0, false);
        if (p->hf && pack && !linear)
            tool_check(cq_tensor_init(&p->round[i], int_format(g.bits), CQ_PANELS, part->rows, part->cols, g.group_size,
                                      g.asym, &err), part->name, &err);
    }
}

/* What is not quantised, or only rounded to nearest, and why. */
static void report_kept(const quantize_job *job) {
    const char *why = NULL;
    size_t rounded = 0;
    json_open("kept", '[');
    for (size_t i = 0; i < job->p->count; i++) {
        const cq_part *part = &job->p->part[i];
        char *name = tool_format("%.*s", (int)(part->name_len - strlen(".weight")), part->name);
        if (job->starved[i]) why = "saw too few tokens: rounded to nearest", rounded++;
        else why = job->kept[i];
        if (why) {
            json_open(NULL, '{');
            json_text("name", name);
            json_text("why", why);
            json_close();
            if (!job->starved[i]) tool_say("%-44s kept: %s\n", name, why);
        }
        free(name);
    }
    json_close();
    json_open("starved", '[');
    for (size_t i = 0; i < job->p->count; i++)
        if (job->starved[i]) json_bytes(NULL, job->p->part[i].name, job->p->part[i].name_len - strlen(".weight"));
    json_close();
    if (rounded)
        tool_note("%zu linears of experts saw too few tokens and were rounded to nearest; more calibration text helps",
                  rounded);
}

/* What the options leave open, before anything is read. */
static void check_quantize(const cq_quantize_desc *desc, const char *target, const char *format, bool hf) {
    if (!hf && strcmp(format, "cq") != 0)
        tool_fail(target, "the format %s is not in this version; it writes cq and hf", format);
    if (hf) refuse_online(target);
    if (!hf && desc->gptq.order == CQ_GPTQ_ACT_GROUPS)
        tool_fail(target, "--act-order permutes groups, which .cq files do not hold; leave it out (columns are still "
                          "processed in that order), or use --format hf");
    if (!hf && desc->gptq.group_size % 32)
        tool_fail(target, "--group-size %zu; .cq files need a multiple of 32, or -1", desc->gptq.group_size);
}

/* "rotate":"auto","online":null */
static char *rotations_text(void) {
    char *rotate = tool_json_text(tool_text("rotate", NULL)), *online = tool_json_text(tool_text("online", NULL));
    char *matrices = tool_json_text(tool_text("matrices", NULL));
    char *text = tool_format("\"rotate\":%s,\"matrices\":%s,\"online\":%s", rotate, matrices, online);
    free(rotate);
    free(online);
    free(matrices);
    return text;
}
static void begin_provenance(text *s, const cq_quantize_desc *desc) {
    char *rotations = rotations_text();
    text_add(s, tool_format("{\"cquant\":\"%s\",\"method\":\"%s\",\"bits\":%u,\"group_size\":%lld,\"sym\":%s,"
                            "%s,\"seed\":%llu,"
                            "\"samples\":%zu,\"seq_len\":%zu,\"modules\":[",
                            CQUANT_VERSION, desc->rtn ? "rtn" : "gptq", desc->gptq.bits ? desc->gptq.bits : 4,
                            desc->gptq.group_size ? (long long)desc->gptq.group_size : -1,
                            desc->gptq.asym ? "false" : "true", rotations, (unsigned long long)tool.seed,
                            desc->samples, desc->seq_len));
    free(rotations);
}

/* One run of `quantize`, as often as it is tried. */
typedef struct quantize_run {
    tool_model *t;
    const cq_context *ctx;
    cq_quantize_desc desc;
    const char *policy_path;
    bool hf;
    quantize_job job;
    size_t arena_bytes;
} quantize_run;

/* Writes the model, and returns its bytes. */
static uint64_t quantize_to(quantize_run *q, const char *target) {
    tool_model *t = q->t;
    cq_quantize_desc *desc = &q->desc;
    quantize_job *job = &q->job;
    cq_error err;
    tool_dir *dir = q->hf ? tool_dir_create(target) : NULL;
    parts p = parts_of(t, desc->plan, q->hf);
    memset(job, 0, sizeof *job);
    job->kept = tool_alloc(p.count, sizeof *job->kept);
    job->starved = tool_alloc(p.count, sizeof *job->starved);
    plan_formats(&p, desc, job->kept);
    for (size_t r = 0; desc->policy && r < desc->policy->count; r++)
        if ((r = cq_policy_unmatched(desc->policy, r)) < desc->policy->count)
            tool_note("%s: pattern %.*s matches no module", q->policy_path, (int)desc->policy->rules[r].pattern_len,
                      desc->policy->rules[r].pattern);

    cq_arena dry = cq_arena_over(NULL, 0);
    tool_model_check(t, cq_quantize_model(q->ctx, &t->m, desc, &dry, &err), &err);
    q->arena_bytes = dry.used;
    if (!desc->rtn)
        tool_note("%zu calibration tokens, %.1f MB of memory", desc->samples * desc->seq_len, (double)dry.used / 1e6);
    cq_arena arena = tool_arena(dry.used);

    char *config = config_text(t);
    if (cq_rotate_unties(desc->plan, &t->m)) config = config_untied(config, t);
    if (q->hf) config = config_dtype(config, t, "\"float32\"");
    job->t = t;
    job->ctx = q->ctx;
    job->plan = desc->plan;
    job->p = &p;
    job->mark = tool_seconds();
    begin_provenance(&job->provenance, desc);
    job->w = q->hf ? write_safetensors(tool_dir_file(dir, "model.safetensors"), &p, t)
                   : write_cq(target, &p, t, desc->plan, config, strlen(config));
    desc->emit = emit_module;
    desc->progress = show_progress;
    desc->user = job;
    json_open("modules", '[');
    tool_model_check(t, cq_quantize_model(q->ctx, &t->m, desc, &arena, &err), &err);
    json_close();
    for (size_t i = 0; i < p.count; i++)
        if (!p.written[i] && p.part[i].kind == CQ_PART_LINEAR && !job->kept[i])
            tool_fail(t->path, "'%s' was not quantised", p.part[i].name);
        else if (!p.written[i]) write_part(job->w, i, q->ctx, t, desc->plan);
    report_kept(job);
    text_add(&job->provenance, tool_format("]}"));
    uint64_t bytes = finish(job->w, job->provenance.p);
    if (q->hf) {
        write_text(dir, "config.json", config);
        copy_companions(dir, t);
        tool_dir_close(dir);
    }
    free(arena.base);
    free(config);
    return bytes;
}

/* KL divergence of a quantised model from the model itself, over at most JUDGES of the calibration windows. */
#define JUDGES 16
static double divergence(const quantize_run *q, const tool_model *quantised, const int32_t *ids, size_t samples,
                         size_t seq_len) {
    const cq_model *m = &q->t->m;
    size_t judges = samples < JUDGES ? samples : JUDGES;
    uint32_t *at = tool_alloc(seq_len, sizeof *at);
    cq_session_desc desc;
    tool_gauge g;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = seq_len;
    desc.act_bits = (unsigned)tool_size("act-bits", 0);
    tool_gauge_open(&g, q->ctx, quantised, q->t, &desc);
    for (size_t j = 0; j < judges; j++) {
        const int32_t *window = ids + (j * samples / judges) * seq_len;
        size_t rows = 0;
        for (size_t p = 0; p < seq_len; p++) /* rows that predict a masked token, or the next one */
            if (!m->arch.diffusion || window[p] == m->mask_id)
                at[rows++] = (uint32_t)(p && m->arch.diffusion && m->arch.shift ? p - 1 : p);
        tool_gauge_add(&g, window, seq_len, at, window, rows);
    }
    double kl = g.rows ? g.kl / (double)g.rows : 0;
    tool_gauge_close(&g);
    free(at);
    return kl;
}

/* --tries N: the rotations of N seeds, each quantised as asked and compared with the model itself. The seed of the best
   one becomes that of the run. */
static void try_rotations(quantize_run *q, const char *target, size_t tries) {
    uint64_t first = tool.seed, best = first;
    double least = INFINITY;
    char *file = tool_format("%s.try", target);
    size_t samples = q->desc.samples, seq_len = q->desc.seq_len;
    const int32_t *ids = q->desc.ids;
    cq_rotate_plan plan;
    if (q->desc.rtn) ids = calibration_ids(q->t, &samples, &seq_len);
    json_open("tries", '[');
    for (size_t i = 0; i < tries; i++) {
        tool_model quantised;
        tool_mute(true);
        tool.seed = first + i;
        q->desc.plan = tool_rotation_options(&plan, q->ctx, q->t);
        quantize_to(q, file);
        tool_model_open_like(&quantised, file, q->t);
        remove(file); /* it stays mapped */
        tool_mute(false);
        double kl = divergence(q, &quantised, ids, samples, seq_len);
        json_open(NULL, '{');
        json_int("seed", (int64_t)tool.seed);
        json_real("kl", kl);
        json_close();
        tool_say("rotation of seed %llu: KL %.6f nats on calibration text\n", (unsigned long long)tool.seed, kl);
        if (kl < least) {
            least = kl;
            best = tool.seed;
        }
    }
    json_close();
    tool.seed = best;
    free(file);
}

static void run_quantize(void) {
    tool_model t;
    cq_context ctx;
    cq_rotate_plan plan;
    quantize_run q;
    double start = tool_seconds();
    const char *target = tool_need("o"), *format = tool_text("format", "cq");
    size_t tries = tool_size("tries", 1);
    memset(&q, 0, sizeof q);
    cq_quantize_desc *desc = &q.desc;
    q.policy_path = tool_text("config", NULL);
    q.hf = !strcmp(format, "hf");
    q.t = &t;
    q.ctx = &ctx;
    tool_gptq_options(&desc->gptq, &desc->rtn);
    check_quantize(desc, target, format, q.hf);
    if (tool_has("matrices") && !tool_has("rotate")) tool_usage("--matrices needs --rotate");
    if (tries > 1 && (!tool_has("rotate") || q.hf)) tool_usage("--tries needs --rotate, and writes .cq files");
    if (tries > 1 && tool_has("matrices")) tool_usage("--tries draws matrices, and --matrices gives them");
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    if (tries > 1 && t.m.two_streams) tool_fail(t.path, "--tries does not know how to judge models of two streams");
    if (!desc->rtn) desc->ids = calibration_ids(&t, &desc->samples, &desc->seq_len);
    if (!desc->rtn && t.m.two_streams) {
        tool_prompt text = tool_prompt_read(&t, desc->samples, "text-embeds", true);
        desc->text = text.text;
        desc->text_rows = text.rows;
        desc->boxes = text.box;
    }
    if (q.policy_path) desc->policy = read_policy(q.policy_path);
    if (tries > 1) try_rotations(&q, target, tries);
    desc->plan = tool_rotation_options(&plan, &ctx, &t);
    uint64_t bytes = quantize_to(&q, target);
    if (desc->plan) tool_report_rotations(desc->plan, &t.m);
    json_int("seed", (int64_t)tool.seed);
    json_int("samples", (int64_t)desc->samples);
    json_int("seq_len", (int64_t)desc->seq_len);
    json_real("seconds", tool_seconds() - start);
    json_int("arena_bytes", (int64_t)q.arena_bytes);
    json_int("peak_bytes", (int64_t)tool_peak_bytes());
    json_int("bytes_in", (int64_t)input_bytes(&t));
    json_int("bytes_out", (int64_t)bytes);
    if (!desc->rtn && q.job.calibrated) tool_say("mean loss %.3e\n", q.job.loss / (double)q.job.calibrated);
    tool_say("%s: %zu modules, %.2f MB from %.2f MB, %.1f s, peak memory %.0f MB\n", target, q.job.modules,
             (double)bytes / 1e6, (double)input_bytes(&t) / 1e6, tool_seconds() - start,
             (double)tool_peak_bytes() / 1e6);
}

/* ===================================================================================================================
   [EXPORT]
   ================================================================================================================== */
/* any file as a C array, aligned so that it can be opened in place */
static void write_c_array(const char *target, const unsigned char *data, size_t size) {
    const char *name = strrchr(target, '/');
    char *id = tool_format("%s", name ? name + 1 : target), *dot = strchr(id, '.');
    if (dot) *dot = 0;
    for (char *c = id; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' || (*c >= '0' && *c <= '9' && c != id)))
            *c = '_';
    tool_out *out = tool_create(target);
    tool_print(out, "/* a cquant model: cq_file_open(&file, %s, sizeof %s, ...) */\n", id, id);
    tool_print(out, "#if defined(__GNUC__) || defined(__clang__)\n__attribute__((aligned(64)))\n#endif\n");
    tool_print(out, "const unsigned char %s[%zu] = {\n", id, size);
    for (size_t i = 0; i < size; i++)
        tool_print(out, "%u%s", data[i], i + 1 == size ? "\n" : i % 24 == 23 ? ",\n" : ",");
    tool_print(out, "};\n");
    tool_close(out);
}

static uint64_t export_file(const char *file, tool_model *t, const cq_context *ctx, const char *dtype, size_t group) {
    cq_rotate_plan space;
    const cq_rotate_plan *plan = tool_rotation_options(&space, ctx, t);
    parts p = parts_of(t, plan, false);
    char *config = config_text(t);
    if (t->m.tied && plan && plan->r1[0].on) config = config_untied(config, t);
    cq_format format = !strcmp(dtype, "fp16")   ? CQ_F16
                       : !strcmp(dtype, "bf16") ? CQ_BF16
                       : !strcmp(dtype, "int8") ? CQ_INT8
                                                : CQ_INT4;
    for (size_t i = 0; i < p.count; i++) {
        cq_tensor to;
        tool_export_tensor(&to, &p.part[i], format, group);
        store_as(&p, i, to.format, to.layout, to.group_size, to.asym);
    }
    writer *w = write_cq(file, &p, t, plan, config, strlen(config));
    for (size_t i = 0; i < p.count; i++) {
        write_part(w, i, ctx, t, plan);
        tool_progress("exporting", i + 1, p.count);
    }
    if (plan) tool_report_rotations(plan, &t->m);
    char *rotations = rotations_text();
    return finish(w, tool_format("{\"cquant\":\"%s\",\"method\":\"rtn\",\"dtype\":\"%s\",%s,\"seed\":%llu}",
                                 CQUANT_VERSION, dtype, rotations, (unsigned long long)tool.seed));
}

static void run_export(void) {
    tool_model t;
    cq_context ctx;
    const char *target = tool_need("o"), *dtype = tool_text("dtype", NULL);
    bool c_array = tool_has("c-array");
    size_t group = tool_size("group-size", 64), seq_len;
    tool_context(&ctx);
    tool_model_open(&t, tool.args[0]);
    seq_len = tool_size("seq-len", t.m.context && t.m.context < 2048 ? t.m.context : 2048);
    if (!seq_len) tool_usage("--seq-len should be at least 1");
    if (group % 32) tool_usage("--group-size should be a multiple of 32");
    if (!dtype && !(t.is_file && c_array)) tool_usage("export needs --dtype fp16|bf16|int8|int4");
    uint64_t bytes;
    if (!dtype) { /* a .cq file as it is */
        write_c_array(target, t.shards[0].data, t.shards[0].size);
        bytes = t.shards[0].size;
    } else if (c_array) {
        char *file = tool_format("%s.cq", target);
        bytes = export_file(file, &t, &ctx, dtype, group);
        tool_file f = tool_map(file);
        remove(file);
        write_c_array(target, f.data, f.size);
    } else {
        bytes = export_file(target, &t, &ctx, dtype, group);
    }
    cq_session_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_tokens = seq_len;
    desc.act_bits = !dtype || !strncmp(dtype, "int", 3) ? 8 : 0;
    size_t arena = tool_session_bytes(&ctx, &t, &desc);
    json_int("bytes", (int64_t)bytes);
    json_int("arena_bytes", (int64_t)arena);
    json_int("seq_len", (int64_t)seq_len);
    tool_say("%s: %.2f MB; a session of %zu tokens needs %.2f MB of memory\n", target, (double)bytes / 1e6, seq_len,
             (double)arena / 1e6);
}

static const tool_option rotate_options[] = {
    {"o", "DIR", 0, 0, "the rotated model, in Hugging Face layout"},
    {"config", "CONFIG", 0, 0, "auto (from the architecture), auto:N (in blocks of N channels), transformer_universal, "
                               "nemotron_h, or a YAML or JSON file"},
    TOOL_MATRICES_OPTION,
    {"save-matrices", "DIR", 0, 0, "write the matrices, as --matrices reads them"},
    {"dtype", "fp32|fp16|bf16", 0, 0, "of the tensors written (as stored)"},
    {"verify", NULL, 0, 0, "run both models and compare their logits"},
    {"online", "r3,r4", 0, 0, "refused: only .cq files can hold online rotations (quantize, export)"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_rotate = {"rotate", "MODEL", "fold the norms and rotate the residual stream and the heads", 1, 1,
                                 rotate_options, run_rotate};

static const tool_option quantize_options[] = {
    {"o", "OUT", 0, 0, "the quantised model"},
    TOOL_GPTQ_OPTIONS,
    {"calib", "FILE", 0, 0, "text to calibrate on"},
    {"calib-ids", "IDS.npy", 0, 0, "ids to calibrate on: 1-D, cut into windows, or one sample a row"},
    TOOL_PROMPT_OPTIONS,
    {"samples", "N", 1, 1 << 24, "windows to calibrate on (128)"},
    {"seq-len", "N", 1, 1 << 24, "tokens in a window (512)"},
    {"config", "FILE", 0, 0, "mixed precision: {\"default\": {...}, \"overrides\": [{\"pattern\": ..., ...}]}"},
    TOOL_ROTATION_OPTIONS,
    {"tries", "N", 1, 1000, "quantise with the rotations of N seeds, keep the one nearest to the model (1)"},
    {"act-bits", "N", 2, 8, "of the activations with which --tries compares (float)"},
    {"format", "cq|gptq|gguf|hf", 0, 0, "of the output (cq); hf: dequantised, float32"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_quantize = {"quantize", "MODEL", "quantise the linears by GPTQ or to nearest", 1, 1,
                                   quantize_options, run_quantize};

static const tool_option export_options[] = {
    {"o", "FILE", 0, 0, "the .cq file"},
    {"dtype", "fp16|bf16|int8|int4", 0, 0, "of the matrices; int4: embedding and head in int8"},
    {"group-size", "N", 32, 65536, "columns that share a scale (64)"},
    {"seq-len", "N", 1, 1 << 30, "tokens of the session whose memory is reported (2048, or what the model has)"},
    TOOL_ROTATION_OPTIONS,
    {"c-array", NULL, 0, 0, "write C source instead, for firmware"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL}};
const tool_command cmd_export = {"export", "MODEL", "write one .cq file, used in place from memory or flash", 1, 1,
                                 export_options, run_export};
