/* cmd_plot.c - plot: PNG pictures of what rotation and quantisation do to a model, and of how diffusion denoises

   The pictures are drawn here, pixel by pixel, with antialiased lines; only the PNG format and the shapes of letters
   come from elsewhere (stb_image_write.h, stb_easy_font.h). Colours are those of Okabe and Ito, which people with any
   kind of colour vision can tell apart, and viridis where a colour is a number. */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>
#include <stb/stb_easy_font.h>
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

/* ===================================================================================================================
   [CANVAS]  x to the right, y down, in pixels; pixel (0, 0) covers 0 to 1
   ================================================================================================================== */
typedef struct color {
    double r, g, b; /* 0 to 1 */
} color;

typedef struct canvas {
    size_t w, h;
    unsigned char *rgb; /* (h, w, 3) */
} canvas;

static color hex(unsigned long v) {
    color c = {(double)(v >> 16 & 255) / 255, (double)(v >> 8 & 255) / 255, (double)(v & 255) / 255};
    return c;
}
#define INK hex(0x222222)
#define GRAY hex(0x6b6b6b)
#define GRID hex(0xe4e4e4)
static color palette(size_t i) {
    static const unsigned long okabe_ito[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x333333};
    return hex(okabe_ito[i % (sizeof okabe_ito / sizeof *okabe_ito)]);
}
static color viridis(double t) {
    static const unsigned long stop[] = {0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e,
                                         0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725};
    double at = (t < 0 ? 0 : t > 1 ? 1 : t) * 9;
    size_t i = at >= 9 ? 8 : (size_t)at;
    color a = hex(stop[i]), b = hex(stop[i + 1]), c;
    at -= (double)i;
    c.r = a.r + at * (b.r - a.r);
    c.g = a.g + at * (b.g - a.g);
    c.b = a.b + at * (b.b - a.b);
    return c;
}

static canvas canvas_new(size_t w, size_t h) {
    canvas c = {w, h, (unsigned char *)tool_alloc(w * h, 3)};
    memset(c.rgb, 255, w * h * 3);
    return c;
}

static void blend(canvas *c, long x, long y, color k, double cover) {
    if (x < 0 || y < 0 || (size_t)x >= c->w || (size_t)y >= c->h || !(cover > 0)) return;
    unsigned char *p = c->rgb + ((size_t)y * c->w + (size_t)x) * 3;
    double v[3] = {k.r, k.g, k.b};
    cover = cover > 1 ? 1 : cover;
    for (int i = 0; i < 3; i++) p[i] = (unsigned char)(p[i] + cover * (v[i] * 255 - p[i]) + 0.5);
}

static double overlap(double a0, double a1, double b0, double b1) { /* length that two intervals share */
    double lo = a0 > b0 ? a0 : b0, hi = a1 < b1 ? a1 : b1;
    return hi > lo ? hi - lo : 0;
}

static void fill(canvas *c, double x0, double y0, double x1, double y1, color k) {
    for (long y = (long)floor(y0); (double)y < y1; y++)
        for (long x = (long)floor(x0); (double)x < x1; x++)
            blend(c, x, y, k, overlap(x0, x1, (double)x, (double)x + 1) * overlap(y0, y1, (double)y, (double)y + 1));
}

/* A stroke with round ends; dash > 0: that many pixels on, as many off, starting at *phase, which is moved on. */
static void stroke(canvas *c, double x0, double y0, double x1, double y1, double width, color k, double dash,
                   double *phase) {
    double dx = x1 - x0, dy = y1 - y0, len = sqrt(dx * dx + dy * dy), half = width / 2, start = phase ? *phase : 0;
    long left = (long)floor((x0 < x1 ? x0 : x1) - half - 1), right = (long)ceil((x0 > x1 ? x0 : x1) + half + 1);
    long top = (long)floor((y0 < y1 ? y0 : y1) - half - 1), bottom = (long)ceil((y0 > y1 ? y0 : y1) + half + 1);
    for (long y = top; y <= bottom; y++)
        for (long x = left; x <= right; x++) {
            double px = (double)x + 0.5 - x0, py = (double)y + 0.5 - y0, t = len > 0 ? (px * dx + py * dy) / len : 0;
            double along = t < 0 ? 0 : t > len ? len : t, ex, ey;
            if (dash > 0) { /* onto the nearest dash */
                double in = fmod(along + start, 2 * dash);
                if (in > dash) along += in - dash < 2 * dash - in ? dash - in : 2 * dash - in;
                if (along < 0 || along > len) continue;
            }
            ex = px - (len > 0 ? along * dx / len : 0);
            ey = py - (len > 0 ? along * dy / len : 0);
            blend(c, x, y, k, half + 0.5 - sqrt(ex * ex + ey * ey));
        }
    if (phase) *phase = fmod(start + len, 2 * (dash > 0 ? dash : 1));
}
static void line(canvas *c, double x0, double y0, double x1, double y1, double width, color k) {
    stroke(c, x0, y0, x1, y1, width, k, 0, NULL);
}
static void frame(canvas *c, double x0, double y0, double x1, double y1, double width, color k) {
    fill(c, x0, y0, x1, y0 + width, k);
    fill(c, x0, y1 - width, x1, y1, k);
    fill(c, x0, y0, x0 + width, y1, k);
    fill(c, x1 - width, y0, x1, y1, k);
}
static void marker(canvas *c, double x, double y, double radius, color k, bool hollow) {
    line(c, x, y, x, y, 2 * radius, k);
    if (hollow) line(c, x, y, x, y, 2 * radius - 3.2, hex(0xffffff));
}

/* Letters. The font gives each as squares of a coarse grid; their picture, blurred and cut at one half, has round
   corners and closed diagonals. */
#define CELLS 16
#define CAP 3.5 /* the middle of a capital, in cells from the top */
static double glyph(char letter, bool cell[CELLS][CELLS]) { /* returns how far to the next */
    struct {
        float x, y, z;
        unsigned char color[4];
    } quad[64][4];
    char text[2] = {letter >= 32 && letter < 127 ? letter : '?', 0};
    memset(cell, 0, CELLS * CELLS);
    int n = stb_easy_font_print(0, 0, text, NULL, quad, sizeof quad);
    for (int i = 0; i < n; i++)
        for (int y = (int)quad[i][0].y; y < (int)quad[i][2].y; y++)
            for (int x = (int)quad[i][0].x; x < (int)quad[i][2].x; x++)
                if (x >= 0 && x < CELLS && y >= 0 && y < CELLS) cell[y][x] = true;
    return stb_easy_font_width(text);
}

static double text_width(const char *text, double size) {
    double w = 0;
    bool unused[CELLS][CELLS];
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) w += glyph(*text, unused);
    return w * size;
}

/* size: pixels of a cell (capitals are 7 high); y: the middle of the capitals; anchor: 0 x is the left end, 0.5 the
   middle, 1 the right end. Upwards: x and y change their roles. */
static void write_text(canvas *c, double x, double y, double size, double anchor, bool up, color k, const char *text) {
    const double box = 1.3;
    double pen = -anchor * text_width(text, 1);
    for (; *text; text++) {
        bool cell[CELLS][CELLS];
        if (((unsigned char)*text & 0xc0) == 0x80) continue; /* the rest of a character that became '?' */
        double advance = glyph(*text, cell);
        long n = (long)ceil((advance + 2) * size), m = (long)ceil(12 * size);
        double u0 = pen * size, v0 = -CAP * size; /* the left top end of the letter from (x, y), in pixels */
        for (long j = -(long)size; j <= m; j++)
            for (long i = -(long)size; i <= n; i++) {
                long px = up ? (long)floor(x + v0) + j : (long)floor(x + u0) + i;
                long py = up ? (long)floor(y - u0) - i : (long)floor(y + v0) + j;
                double u = up ? (y - (double)py - 0.5 - u0) / size : ((double)px + 0.5 - x - u0) / size;
                double v = up ? ((double)px + 0.5 - x - v0) / size : ((double)py + 0.5 - y - v0) / size, sum = 0;
                for (long cv = (long)floor(v) - 1; cv <= (long)floor(v) + 1; cv++)
                    for (long cu = (long)floor(u) - 1; cu <= (long)floor(u) + 1; cu++)
                        if (cv >= 0 && cv < CELLS && cu >= 0 && cu < CELLS && cell[cv][cu])
                            sum += overlap(u - box / 2, u + box / 2, (double)cu, (double)cu + 1) *
                                   overlap(v - box / 2, v + box / 2, (double)cv, (double)cv + 1);
                blend(c, px, py, k, (sum / (box * box) - 0.5) * box * size + 0.5);
            }
        pen += advance;
    }
}

/* ===================================================================================================================
   [AXES]
   ================================================================================================================== */
typedef struct axis {
    double lo, hi; /* at the start and the end */
    bool log, whole; /* whole: labels at whole numbers only */
} axis;

static double axis_at(const axis *a, double v, double from, double to) {
    double t = a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
    return from + t * (to - from);
}

/* Where labels stand: about `most`. On a log axis whole decades, 1 3, 1 2 5 or 1 1.5 2 3 5 7 of each; elsewhere, and
   where that gives less than three, steps of 1, 2 or 5 times 10^k. */
static size_t axis_ticks(const axis *a, size_t most, double *out) {
    static const double within[][6] = {{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}};
    static const size_t within_count[] = {1, 2, 3, 6};
    size_t best = 0;
    if (a->log) {
        for (size_t level = 0; level < 4; level++) {
            size_t n = 0;
            double found[64];
            for (int e = (int)floor(log10(a->lo)); e <= (int)ceil(log10(a->hi)); e++)
                for (size_t i = 0; i < within_count[level]; i++) {
                    double v = within[level][i] * pow(10, e);
                    if (v >= a->lo * 0.9999 && v <= a->hi * 1.0001 && n < 64) found[n++] = v;
                }
            if (level && n > most) break;
            size_t skip = (n + most - 1) / (most ? most : 1); /* more decades than labels */
            for (size_t i = best = 0; i < n; i += skip ? skip : 1) out[best++] = found[i];
        }
        if (best > 2) return best;
        best = 0;
    }
    double span = a->hi - a->lo, step = pow(10, floor(log10(span / (double)most)));
    double steps = span / step / (double)most; /* 1 to 10 of them would be one too many */
    if (steps > 1) step *= steps <= 2 ? 2 : steps <= 5 ? 5 : 10;
    if (a->whole && step < 1) step = 1;
    for (double v = ceil(a->lo / step - 1e-9) * step; v <= a->hi + step * 1e-9 && best < most + 1; v += step)
        out[best++] = fabs(v) < step / 2 ? 0 : v;
    return best;
}

static void number_text(double v, char out[32]) {
    if (v == 0 || (fabs(v) >= 1e-3 && fabs(v) < 1e5)) {
        snprintf(out, 32, "%.4g", v);
        return;
    }
    int e = (int)floor(log10(fabs(v)) + 1e-9);
    snprintf(out, 32, "%.3ge%d", v / pow(10, e), e);
}

/* The range of values, a little wider; what is no number, or on a log axis not above 0, is left out. */
static axis axis_over(axis a, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]) && (!a.log || v[i] > 0)) {
            if (!(a.lo <= v[i])) a.lo = v[i];
            if (!(a.hi >= v[i])) a.hi = v[i];
        }
    return a;
}
static axis axis_empty(bool log) {
    axis a = {NAN, NAN, log, false};
    return a;
}
static axis axis_widen(axis a) {
    if (isnan(a.lo)) a.lo = a.hi = 1;
    if (a.log) {
        double f = pow(a.hi / a.lo, 0.08);
        f = f < 1.12 ? 1.12 : f;
        a.lo /= f;
        a.hi *= f;
    } else {
        double d = (a.hi - a.lo) * 0.06;
        d = d > 0 ? d : 0.5;
        a.lo -= d;
        a.hi += d;
    }
    return a;
}

typedef struct panel {
    double x0, y0, x1, y1; /* of the area for data */
    axis x, y;
} panel;

/* Grid, frame, and labels below and to the left where wanted. */
static void panel_axes(canvas *c, const panel *p, bool below, bool left, size_t xticks) {
    double v[64];
    char label[32];
    size_t n = axis_ticks(&p->y, (size_t)((p->y1 - p->y0) / 38) + 2, v);
    for (size_t i = 0; i < n; i++) {
        double y = floor(axis_at(&p->y, v[i], p->y1, p->y0));
        fill(c, p->x0, y, p->x1, y + 1, GRID);
        number_text(v[i], label);
        if (left) write_text(c, p->x0 - 8, y + 0.5, 2, 1, false, GRAY, label);
    }
    n = axis_ticks(&p->x, xticks, v);
    for (size_t i = 0; i < n; i++) {
        double x = floor(axis_at(&p->x, v[i], p->x0, p->x1));
        fill(c, x, p->y0, x + 1, p->y1, GRID);
        number_text(v[i], label);
        if (below) write_text(c, x + 0.5, p->y1 + 16, 2, 0.5, false, GRAY, label);
    }
    frame(c, p->x0, p->y0, p->x1, p->y1, 1, hex(0x9a9a9a));
}

typedef struct curve {
    const char *name;
    const double *y; /* for modules or channels; NaN: none */
    color k;
    bool dashed, bare, hollow; /* bare: without markers */
} curve;

static double curve_width(const curve *how) { return how->bare && how->dashed ? 1.6 : 2.4; }

static void panel_curve(canvas *c, const panel *p, const double *x, const double *y, size_t n, const curve *how,
                        double radius) {
    double px = 0, py = 0, phase = 0;
    bool pen = false, many = false; /* several at one place, experts of a layer: a line says nothing then */
    for (size_t i = 1; i < n; i++) many = many || !(x[i] > x[i - 1]);
    for (size_t i = 0; i < n; i++) {
        bool ok = isfinite(y[i]) && (!p->y.log || y[i] > 0);
        double qx = ok ? axis_at(&p->x, x[i], p->x0, p->x1) : 0, qy = ok ? axis_at(&p->y, y[i], p->y1, p->y0) : 0;
        if (ok && pen && (!many || how->bare))
            stroke(c, px, py, qx, qy, curve_width(how), how->k, how->dashed ? 6 : 0, &phase);
        pen = ok;
        px = qx;
        py = qy;
    }
    for (size_t i = 0; i < n && !how->bare; i++)
        if (isfinite(y[i]) && (!p->y.log || y[i] > 0))
            marker(c, axis_at(&p->x, x[i], p->x0, p->x1), axis_at(&p->y, y[i], p->y1, p->y0), radius, how->k,
                   how->hollow);
}

#define TITLE_Y 40.0
#define LEGEND_Y 104.0
#define LEGEND_LINE 30.0
static void headline(canvas *c, const char *title, const char *note) {
    write_text(c, 30, TITLE_Y, 3, 0, false, INK, title);
    write_text(c, 30, TITLE_Y + 32, 2, 0, false, GRAY, note);
}

/* Samples of the curves with their names, in lines over the width. Returns the lines; c NULL: only counts. */
static size_t legend(canvas *c, size_t width, const curve *curves, size_t n) {
    double x = 30, y = LEGEND_Y;
    size_t lines = n != 0;
    for (size_t i = 0; i < n; i++) {
        double need = 52 + text_width(curves[i].name, 2) + 34, phase = 0;
        if (x > 30 && x + need - 34 > (double)width - 30) {
            x = 30;
            y += LEGEND_LINE;
            lines++;
        }
        if (c) {
            stroke(c, x, y, x + 40, y, curve_width(&curves[i]), curves[i].k, curves[i].dashed ? 6 : 0, &phase);
            if (!curves[i].bare) marker(c, x + 20, y, 5, curves[i].k, curves[i].hollow);
            write_text(c, x + 52, y, 2, 0, false, INK, curves[i].name);
        }
        x += need;
    }
    return lines;
}

/* ===================================================================================================================
   [OUTPUT]
   ================================================================================================================== */
typedef struct output {
    tool_dir *dir;    /* NULL: the directory is there and pictures in it are replaced */
    const char *path;
    char *file[4];    /* (count) what was written */
    size_t count;
} output;

static void png_bytes(void *user, void *data, int size) { tool_write((tool_out *)user, data, (size_t)size); }

static void save(output *o, const char *name, canvas *c) {
    char *file = o->dir ? tool_dir_file(o->dir, name) : tool_join(o->path, name), *final = tool_join(o->path, name);
    tool_out *out = tool_create(file);
    if (!stbi_write_png_to_func(png_bytes, out, (int)c->w, (int)c->h, 3, c->rgb, (int)c->w * 3))
        tool_fail(final, "out of memory");
    tool_close(out);
    o->file[o->count++] = final;
    free(c->rgb);
    free(file);
}

/* ===================================================================================================================
   [MODULES]  all linears of blocks, a column of panels for each role, layers from left to right; experts share a column
   ================================================================================================================== */
typedef struct modules {
    cq_part *part; /* (count) */
    size_t count;
    size_t *column; /* (count) */
    double *layer;  /* (count) */
    char *name[CQ_ROLE_COUNT * CQ_BLOCK_KINDS]; /* of a column */
    size_t columns, layers;
} modules;

/* The next linear of a block. */
static bool next_linear(const cq_model *m, cq_parts *cursor, cq_part *part) {
    while (cq_model_part(m, NULL, cursor, part))
        if (part->kind == CQ_PART_LINEAR && part->block) return true;
    return false;
}

/* A linear's name as on disk; where that is a path, or long, the word of the description for it. */
static char *short_name(const cq_linear *l) {
    if (l->name.n > 14 || memchr(l->name.p, '.', l->name.n)) return tool_format("%s", cq_role_name(l->role));
    return tool_format("%.*s", (int)l->name.n, l->name.p);
}

/* Number of a block's layer, those of a second list behind those of the first. */
static size_t layer_of(const cq_model *m, const cq_block *b) {
    size_t before = 0;
    for (size_t i = 0; b->list && i < m->block_count; i++)
        if (m->blocks[i].list < b->list && m->blocks[i].layer >= before) before = m->blocks[i].layer + 1;
    return before + b->layer;
}

static modules modules_of(const cq_model *m) {
    modules all;
    cq_part part;
    cq_parts cursor;
    size_t kind_of[CQ_ROLE_COUNT * CQ_BLOCK_KINDS];
    memset(&all, 0, sizeof all);
    memset(&cursor, 0, sizeof cursor);
    while (next_linear(m, &cursor, &part)) all.count++;
    all.part = (cq_part *)tool_alloc(all.count, sizeof *all.part);
    all.column = (size_t *)tool_alloc(all.count, sizeof *all.column);
    all.layer = (double *)tool_alloc(all.count, sizeof *all.layer);
    all.layers = m->layers;
    memset(&cursor, 0, sizeof cursor);
    for (size_t n = 0; next_linear(m, &cursor, &part); n++) {
        size_t k = 0, kind = (size_t)part.linear->role * CQ_BLOCK_KINDS + (size_t)part.block->kind;
        while (k < all.columns && kind_of[k] != kind) k++;
        if (k == all.columns) {
            kind_of[k] = kind;
            all.name[all.columns++] = short_name(part.linear);
        }
        all.column[n] = k;
        all.layer[n] = (double)layer_of(m, part.block);
        all.part[n] = part;
    }
    return all;
}

typedef struct facet_row {
    const char *label;
    const curve *curves;
    size_t count;
} facet_row;

static canvas facets(const modules *all, const char *title, const char *note, const curve *keys,
                     size_t key_count, const facet_row *rows, size_t row_count) {
    size_t width = all->columns <= 9 ? 1480 : 146 + 150 * all->columns, lines = legend(NULL, width, keys, key_count);
    double top = LEGEND_Y + LEGEND_LINE * (double)lines + 26, row_height = 300, gap = 12, left = 120;
    canvas c = canvas_new(width, (size_t)(top + (row_height + 22) * (double)row_count + 46));
    double cell = ((double)width - left - 26 + gap) / (double)all->columns;
    double radius = all->layers > 40 ? 2 : all->layers > 20 ? 3.2 : 4.6;
    double *x = (double *)tool_alloc(all->count, sizeof *x), *y = (double *)tool_alloc(all->count, sizeof *y);
    headline(&c, title, note);
    legend(&c, width, keys, key_count);
    for (size_t r = 0; r < row_count; r++) {
        panel p;
        p.y = axis_empty(true);
        for (size_t k = 0; k < rows[r].count; k++) p.y = axis_over(p.y, rows[r].curves[k].y, all->count);
        p.y = axis_widen(p.y);
        p.x.lo = -0.5;
        p.x.hi = (double)all->layers - 0.5;
        p.x.log = false;
        p.x.whole = true;
        p.y0 = top + (row_height + 22) * (double)r;
        p.y1 = p.y0 + row_height;
        write_text(&c, 26, (p.y0 + p.y1) / 2, 2, 0.5, true, INK, rows[r].label);
        for (size_t col = 0; col < all->columns; col++) {
            p.x0 = left + cell * (double)col;
            p.x1 = p.x0 + cell - gap;
            panel_axes(&c, &p, r + 1 == row_count, col == 0, 5);
            if (r == 0) write_text(&c, (p.x0 + p.x1) / 2, p.y0 - 16, 2, 0.5, false, INK, all->name[col]);
            for (size_t k = 0; k < rows[r].count; k++) {
                size_t n = 0;
                for (size_t i = 0; i < all->count; i++)
                    if (all->column[i] == col) {
                        x[n] = all->layer[i];
                        y[n++] = rows[r].curves[k].y[i];
                    }
                panel_curve(&c, &p, x, y, n, &rows[r].curves[k], radius);
            }
        }
    }
    write_text(&c, (left + (double)width - 26) / 2, (double)c.h - 24, 2, 0.5, false, INK, "layer");
    free(x);
    free(y);
    return c;
}

static double *numbers(size_t n) {
    double *v = (double *)tool_alloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = NAN;
    return v;
}

static float *read_part(const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan, const cq_part *part) {
    cq_error err;
    float *w = (float *)tool_alloc(part->rows * part->cols, sizeof *w);
    tool_model_check(t, cq_part_read(ctx, &t->m, plan, part, 0, part->rows, w, &err), &err);
    return w;
}

/* False: this model cannot be rotated at all. */
static bool make_plan(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, uint64_t seed) {
    cq_error err;
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_status st = cq_rotate_plan_auto(plan, ctx, &t->m, seed, &arena, &err);
    if (st == CQ_ERR_UNSUPPORTED) return false;
    tool_model_check(t, st, &err);
    arena = tool_arena(arena.used);
    tool_model_check(t, cq_rotate_plan_auto(plan, ctx, &t->m, seed, &arena, &err), &err);
    return true;
}

/* How the rotated model is called in legends. */
static const char *rotated_name(const cq_rotate_plan *plan) {
    return plan && !plan->r1[0].on ? "values of heads rotated" : "norms folded in, rotated";
}

/* Median of the largest of n absolute values of a standard normal distribution: erf(x / sqrt 2)^n = 1/2. */
static double normal_peak(double n) {
    double lo = 0, hi = 20;
    for (int i = 0; i < 80; i++) {
        double x = (lo + hi) / 2;
        if (n * log1p(-erfc(x / sqrt(2))) < log(0.5)) lo = x;
        else hi = x;
    }
    return lo;
}

/* plan NULL: the model cannot be rotated, and there is nothing to compare with */
static void plot_weights(output *o, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan,
                         const modules *all) {
    double *peak[2], *ratio[2], *normal = numbers(all->count);
    size_t passes = plan ? 2 : 1;
    for (size_t after = 0; after < 2; after++) {
        peak[after] = numbers(all->count);
        ratio[after] = numbers(all->count);
        for (size_t i = 0; i < all->count && after < passes; i++) {
            const cq_part *part = &all->part[i];
            size_t n = part->rows * part->cols;
            float *w = read_part(ctx, t, after ? plan : NULL, part);
            double max = 0, sum = 0;
            for (size_t k = 0; k < n; k++) {
                double v = fabs((double)w[k]);
                max = v > max ? v : max;
                sum += v * v;
            }
            free(w);
            peak[after][i] = max;
            ratio[after][i] = sum > 0 ? max / sqrt(sum / (double)n) : NAN;
            normal[i] = normal_peak((double)n);
            tool_progress("weights", after * all->count + i + 1, passes * all->count);
        }
    }
    curve ranges[2] = {{"as stored", peak[0], palette(1), false, false, false},
                       {rotated_name(plan), peak[1], palette(0), false, false, false}};
    curve ratios[3] = {{NULL, normal, GRAY, true, true, false}, ranges[0], ranges[1]};
    curve keys[3] = {ratios[0], ranges[0], ranges[1]};
    keys[0].name = "what normally distributed weights would have";
    ratios[1].y = ratio[0];
    ratios[2].y = ratio[1];
    facet_row rows[2] = {{"largest weight", ranges, passes}, {"largest weight / rms", ratios, passes + 1}};
    const char *note = "One point per linear. The steps of a grid follow its largest weight: the smaller the ratio, "
                       "the finer they are.";
    const char *title = plan ? "Range of the weights before and after rotation" : "Range of the weights";
    canvas c = facets(all, title, note, keys, passes + 1, rows, 2);
    save(o, "weights.png", &c);
    for (int i = 0; i < 2; i++) {
        free(peak[i]);
        free(ratio[i]);
    }
    free(normal);
}

/* ===================================================================================================================
   [ACTIVATIONS]
   The rotated model need not be run: its inputs are those of the model itself, divided by the norm's gain if that is
   folded, times R1 (what reads the stream) or R2 on every head (o). All other inputs are the same in both. Experts
   count together; the shared ones are left out.
   ================================================================================================================== */
#define GROUPS 4 /* of linears with one input, in a block */
typedef struct group_stats {
    size_t n;       /* channels */
    double *max[2]; /* (n) largest magnitude of each channel, before and after */
    double square[2];
    size_t rows;
    bool rotated;
} group_stats;

typedef struct watch {
    const cq_context *ctx;
    const tool_model *t;
    const cq_rotate_plan *plan; /* NULL: none */
    group_stats *stats;         /* (blocks, GROUPS) */
    float *rows;                /* room for one row */
} watch;

static void watch_add(group_stats *g, int after, const float *x) {
    for (size_t k = 0; k < g->n; k++) {
        double v = fabs((double)x[k]);
        if (v > g->max[after][k]) g->max[after][k] = v;
        g->square[after] += v * v;
    }
}

/* The rotation that the input of this group gets; NULL: none. */
static const cq_rotation *group_rotation(const watch *u, const cq_block *b, size_t group) {
    const cq_linear *l = cq_block_group(b, group, 0);
    const cq_rotation *r2 = u->plan ? &u->plan->r2[b - u->t->m.blocks] : NULL;
    if (r2 && l->role == CQ_ROLE_O && r2->n) return r2;
    bool stream = group == 0 && l->w.cols == u->t->m.hidden && !b->at[CQ_ROLE_EXPERT_IN];
    return u->plan && u->plan->r1[0].on && stream ? &u->plan->r1[0].r : NULL;
}

static float le_float(const unsigned char *p) {
    uint32_t u = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* One row as the rotated model would see it. */
static void watch_rotated(const watch *u, const cq_block *b, const cq_rotation *r, const float *x, size_t n) {
    const unsigned char *gain = b->norm[CQ_NORM_PRE].gain;
    bool stream = r == &u->plan->r1[0].r, folded = false; /* an even gain is not folded in */
    double dot = 0;
    for (size_t k = 4; stream && gain && k < 4 * n; k++) folded = folded || gain[k] != gain[k - 4];
    for (size_t k = 0; k < n; k++) {
        float g = folded ? le_float(gain + 4 * k) : 1.0f;
        u->rows[k] = g < 0.0f || g > 0.0f ? x[k] / g : 0.0f;
    }
    if (cq_rotate_rows_f32(u->ctx, r, u->rows, 1, n, n, u->plan->scratch) != CQ_OK)
        tool_fail(u->t->path, "the rotation of order %zu does not fit %zu channels", r->n, n);
    if (!stream || !u->plan->r1[0].mirror) return;
    for (size_t k = 0; k < n; k++) dot += (double)u->plan->r1[0].mirror[k] * (double)u->rows[k];
    for (size_t k = 0; k < n; k++) u->rows[k] -= (float)(2 * dot) * u->plan->r1[0].mirror[k];
}

static void watch_tap(void *user, const cq_tap_point *point) {
    watch *u = (watch *)user;
    const cq_block *b = point->block;
    const cq_linear *l = cq_block_group(b, point->group, 0);
    if (point->group >= GROUPS || !l || point->expert == CQ_SHARED) return;
    if (point->expert != CQ_ALL) /* shared experts come first in a group, and may be of another width */
        for (size_t i = 0; l && (l->role < CQ_ROLE_EXPERT_GATE || l->role > CQ_ROLE_EXPERT_DOWN);)
            l = cq_block_group(b, point->group, ++i);
    group_stats *g = &u->stats[(size_t)(b - u->t->m.blocks) * GROUPS + point->group];
    const cq_rotation *rotation = group_rotation(u, b, point->group);
    g->rotated = rotation != NULL;
    if (!l) return;
    if (!g->max[0]) {
        g->n = l->w.cols;
        for (int i = 0; i < 2; i++) g->max[i] = (double *)tool_alloc(g->n, sizeof(double));
    }
    g->rows += point->rows;
    for (size_t r = 0; r < point->rows; r++) {
        const float *x = point->x + r * point->ldx;
        watch_add(g, 0, x);
        if (rotation) watch_rotated(u, b, rotation, x, g->n);
        watch_add(g, 1, rotation ? u->rows : x);
    }
}

static int falling(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Windows of the text, or random ids; diffusion models see masks as in calibration. */
static int32_t *plot_ids(tool_model *t, const char *path, size_t *windows, size_t *window) {
    int32_t *ids;
    size_t n;
    *window = t->m.context && t->m.context < 128 ? t->m.context : 128;
    if (t->m.longest && t->m.longest < *window) *window = t->m.longest;
    if (path) {
        tool_file f = tool_map(path);
        ids = tool_encode(t, path, (const char *)f.data, f.size, &n);
        if (!n) tool_fail(path, "is empty; at least one token is needed");
        for (size_t i = 0; i < n; i++)
            if ((size_t)ids[i] >= t->m.vocab)
                tool_fail(path, "token %zu of the text is %d, but the model has only %zu", i, ids[i], t->m.vocab);
        *window = *window < n ? *window : n;
        *windows = n / *window < 8 ? n / *window : 8;
    } else {
        *windows = 4;
        n = *windows * *window;
        ids = (int32_t *)tool_alloc(n, sizeof *ids);
        for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(cq_random(tool.seed, 1u << 22, i) % t->m.vocab);
    }
    for (size_t i = 0; t->m.arch.diffusion && i < *windows; i++)
        for (size_t p = 1; p < *window; p++) {
            double u = (double)(cq_random(tool.seed, 1u << 21, i * *window + p) >> 11) / 9007199254740992.0; /* 2^53 */
            if (u < ((double)i + 0.5) / (double)*windows) ids[i * *window + p] = tool_mask_id(t);
        }
    return ids;
}

/* The groups of a layer that have been seen: their blocks and numbers. */
typedef struct layer_groups {
    size_t layer, count;
    const cq_block *block[CQ_MAX_BLOCKS * GROUPS];
    size_t group[CQ_MAX_BLOCKS * GROUPS];
} layer_groups;

static layer_groups groups_of(const watch *u, size_t layer) {
    const cq_model *m = &u->t->m;
    layer_groups l;
    memset(&l, 0, sizeof l);
    l.layer = layer;
    for (size_t b = 0; b < m->block_count; b++)
        for (size_t g = 0; g < GROUPS; g++) {
            if (layer_of(m, &m->blocks[b]) != layer || !u->stats[b * GROUPS + g].max[0]) continue;
            l.block[l.count] = &m->blocks[b];
            l.group[l.count++] = g;
        }
    return l;
}
static group_stats *stats_of(const watch *u, const layer_groups *l, size_t i) {
    return &u->stats[(size_t)(l->block[i] - u->t->m.blocks) * GROUPS + l->group[i]];
}

/* "layer 3: q_proj, k_proj, v_proj"; of experts each word once */
static char *group_name(const layer_groups *l, size_t i) {
    char *name = tool_format("layer %zu:", l->layer);
    const cq_linear *one, *before = NULL;
    for (size_t k = 0; (one = cq_block_group(l->block[i], l->group[i], k)) != NULL; k++) {
        if (before && before->role == one->role) continue;
        if (one->role >= CQ_ROLE_SHARED_GATE && one->role <= CQ_ROLE_SHARED_DOWN) continue;
        char *word = short_name(one), *longer = tool_format("%s%s %s", name, before ? "," : "", word);
        free(word);
        free(name);
        name = longer;
        before = one;
    }
    return name;
}

/* Magnitudes by their rms, largest first. */
static axis sort_stats(group_stats *g, axis range) {
    for (int after = 0; after < 2; after++) {
        double rms = sqrt(g->square[after] / ((double)g->rows * (double)g->n));
        for (size_t k = 0; k < g->n; k++) g->max[after][k] = rms > 0 ? g->max[after][k] / rms : NAN;
        qsort(g->max[after], g->n, sizeof(double), falling);
        range = axis_over(range, g->max[after], g->n - g->n / 50); /* dead ones would squeeze the rest */
    }
    return range;
}

static void draw_group(canvas *c, panel p, group_stats *g, const curve *keys, const char *name, bool left) {
    double *rank = (double *)tool_alloc(g->n, sizeof *rank);
    p.x.lo = 0;
    p.x.hi = (double)g->n;
    p.x.log = false;
    p.x.whole = true;
    panel_axes(c, &p, true, left, 6);
    write_text(c, (p.x0 + p.x1) / 2, p.y0 - 14, 2, 0.5, false, INK, name);
    for (size_t k = 0; k < g->n; k++) rank[k] = (double)k + 0.5;
    for (int after = 0; after < (g->rotated ? 2 : 1); after++) {
        for (size_t k = 0; k < g->n; k++) /* values below the axis end it */
            if (!(g->max[after][k] >= p.y.lo)) g->max[after][k] = NAN;
        panel_curve(c, &p, rank, g->max[after], g->n, &keys[after], 3);
    }
    if (!g->rotated) write_text(c, p.x1 - 14, p.y0 + 20, 2, 1, false, GRAY, "not rotated");
    free(rank);
}

static void draw_activations(output *o, const watch *u, const char *note) {
    const cq_model *m = &u->t->m;
    size_t layer[3] = {0, (m->layers - 1) / 2, m->layers - 1}, layers = m->layers < 3 ? m->layers : 3, rows = 0;
    layer_groups of[3];
    axis range[CQ_MAX_BLOCKS * GROUPS]; /* a row of panels has one */
    if (layers == 2) layer[1] = 1;
    for (size_t l = 0; l < layers; l++) {
        of[l] = groups_of(u, layer[l]);
        rows = of[l].count > rows ? of[l].count : rows;
    }
    for (size_t i = 0; i < rows; i++) {
        range[i] = axis_empty(true);
        for (size_t l = 0; l < layers; l++)
            if (i < of[l].count) range[i] = sort_stats(stats_of(u, &of[l], i), range[i]);
        if (range[i].lo < range[i].hi / 300) range[i].lo = range[i].hi / 300;
        range[i] = axis_widen(range[i]);
    }

    size_t width = 1400;
    double left = 120, gap = 46, row_height = 200, row_step = row_height + 66, top = LEGEND_Y + 62;
    double cell = ((double)width - left - 26 + gap) / (double)layers;
    canvas c = canvas_new(width, (size_t)(top + row_step * (double)rows + 16));
    curve keys[2] = {{"as the model is", NULL, palette(1), false, true, false},
                     {rotated_name(u->plan), NULL, palette(0), false, true, false}};
    headline(&c, u->plan ? "Inputs of the linears before and after rotation" : "Inputs of the linears", note);
    legend(&c, width, keys, u->plan ? 2 : 1);
    for (size_t l = 0; l < layers; l++)
        for (size_t i = 0; i < of[l].count; i++) {
            char *name = group_name(&of[l], i);
            panel p;
            memset(&p, 0, sizeof p);
            p.x0 = left + cell * (double)l;
            p.x1 = p.x0 + cell - gap;
            p.y0 = top + row_step * (double)i;
            p.y1 = p.y0 + row_height;
            p.y = range[i];
            draw_group(&c, p, stats_of(u, &of[l], i), keys, name, l == 0);
            free(name);
        }
    write_text(&c, 26, top + (row_step * (double)rows - 66) / 2, 2, 0.5, true, INK,
               "largest magnitude of a channel / rms of all");
    write_text(&c, (left + (double)width - 26) / 2, (double)c.h - 24, 2, 0.5, false, INK, "channels, largest first");
    save(o, "activations.png", &c);
}

static void plot_activations(output *o, const cq_context *ctx, tool_model *t, const cq_rotate_plan *plan,
                             const char *text) {
    const cq_model *m = &t->m;
    cq_session s;
    cq_session_desc desc;
    cq_input in;
    watch u;
    void *base;
    size_t windows, window, widest = m->hidden;
    int32_t *ids = plot_ids(t, text, &windows, &window);
    memset(&desc, 0, sizeof desc);
    memset(&in, 0, sizeof in);
    desc.max_tokens = in.n = window;
    tool_session(&s, ctx, t, &desc, &base);
    for (size_t b = 0; b < m->block_count; b++)
        for (size_t i = 0; i < m->blocks[b].linears; i++)
            if (m->blocks[b].lin[i].w.cols > widest) widest = m->blocks[b].lin[i].w.cols;
    u.ctx = ctx;
    u.t = t;
    u.plan = plan;
    u.stats = (group_stats *)tool_alloc(m->block_count * GROUPS, sizeof *u.stats);
    u.rows = (float *)tool_alloc(widest, sizeof *u.rows);
    cq_tap tap = {watch_tap, &u, NULL, SIZE_MAX, NULL};
    for (size_t w = 0; w < windows; w++) {
        in.ids = ids + w * window;
        cq_embed(&s, &in);
        cq_prepare(&s, &in);
        for (size_t b = 0; b < m->block_count; b++) cq_run_block(&s, &m->blocks[b], &in, &tap);
        tool_progress("activations", w + 1, windows);
    }
    char *note = tool_format("Largest magnitude of each channel over %zu tokens of %s, sorted: outliers stick out on "
                             "the left.", windows * window, text ? "text" : "random ids");
    draw_activations(o, &u, note);
    for (size_t i = 0; i < m->block_count * GROUPS; i++) {
        free(u.stats[i].max[0]);
        free(u.stats[i].max[1]);
    }
    free(u.stats);
    free(u.rows);
    free(ids);
    free(note);
    free(base);
}

/* ===================================================================================================================
   [ERROR]  models against the first: what their linears lost
   ================================================================================================================== */
typedef struct compared {
    char *name;
    double *weight, *loss, *rtn; /* (modules) */
    bool has_loss;
} compared;

typedef struct made {
    char *rotate, *matrices, *online; /* NULL: not */
    uint64_t seed;
} made;
static char *text_of(const cq_json *j, const char *key) {
    uint32_t node = cq_json_find(j, 0, key);
    if (!node || cq_json_kind(j, node) != CQ_JSON_STRING) return NULL;
    size_t n = cq_json_unescape(j, node, NULL, 0);
    char *text = (char *)tool_alloc(n + 1, 1);
    cq_json_unescape(j, node, text, n);
    return text;
}
/* How a .cq file was made: was the model rotated first (and by which seed, and what online), and what GPTQ reported of
   each linear. */
static void read_provenance(const tool_model *q, const modules *all, compared *c, made *how) {
    cq_bytes b = q->file.section[CQ_SECTION_PROVENANCE];
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_json j;
    cq_error err;
    int64_t number;
    size_t next = 0;
    memset(how, 0, sizeof *how);
    if (!q->is_file || !b.size || cq_json_parse(&j, (const char *)b.data, b.size, &arena, &err) != CQ_OK) return;
    arena = tool_arena(arena.used);
    tool_check(cq_json_parse(&j, (const char *)b.data, b.size, &arena, &err), q->path, &err);
    uint32_t list = cq_json_find(&j, 0, "modules"), method = cq_json_find(&j, 0, "method");
    how->rotate = text_of(&j, "rotate");
    how->matrices = text_of(&j, "matrices");
    how->online = text_of(&j, "online");
    how->seed = cq_json_int(&j, cq_json_find(&j, 0, "seed"), &number) ? (uint64_t)number : 0;
    bool gptq = method && cq_json_string_eq(&j, method, "gptq"); /* without calibration a loss means something else */
    if (!list || cq_json_kind(&j, list) != CQ_JSON_ARRAY || !gptq) list = 0;
    for (uint32_t e = list ? cq_json_child(&j, list) : 0; e; e = cq_json_next(&j, e)) {
        uint32_t name = cq_json_kind(&j, e) == CQ_JSON_OBJECT ? cq_json_find(&j, e, "name") : 0;
        float loss, rtn;
        if (!name || !cq_json_float(&j, cq_json_find(&j, e, "loss"), &loss)) continue;
        for (size_t k = 0; k < all->count; k++) { /* mostly it is the one after the last */
            size_t i = (next + k) % all->count;
            char *module = tool_format("%.*s", (int)(all->part[i].name_len - strlen(".weight")), all->part[i].name);
            bool found = cq_json_string_eq(&j, name, module);
            free(module);
            if (!found) continue;
            c->loss[i] = (double)loss;
            c->rtn[i] = cq_json_float(&j, cq_json_find(&j, e, "rtn_loss"), &rtn) ? (double)rtn : NAN;
            c->has_loss = true;
            next = i + 1;
            break;
        }
    }
    free(arena.base);
}

static void plot_error(output *o, const cq_context *ctx, const tool_model *t, const modules *all) {
    size_t n = tool.arg_count - 1, losses = 0;
    compared *others = (compared *)tool_alloc(n, sizeof *others);
    for (size_t k = 0; k < n; k++) {
        compared *c = &others[k];
        tool_model q;
        cq_rotate_plan plan;
        made how;
        const char *path = tool.args[k + 1], *slash = strrchr(path, '/');
        c->name = tool_format("%s", slash && slash[1] ? slash + 1 : path);
        if (strlen(c->name) > 3 && !strcmp(c->name + strlen(c->name) - 3, ".cq")) c->name[strlen(c->name) - 3] = 0;
        c->weight = numbers(all->count);
        c->loss = numbers(all->count);
        c->rtn = numbers(all->count);
        tool_model_open(&q, path);
        modules its = modules_of(&q.m);
        read_provenance(&q, all, c, &how);
        if (how.matrices || (how.rotate && tool_rotation_is_file(how.rotate)))
            tool_fail(path, "was rotated by %s, which it does not hold: its weights cannot be compared",
                      how.matrices ? "given matrices" : how.rotate);
        memset(&plan, 0, sizeof plan);
        uint64_t seed = tool.seed;
        tool.seed = how.seed;
        if (how.rotate) tool_rotation(&plan, ctx, t, how.rotate, NULL);
        tool.seed = seed;
        if (how.online && !tool_online(&plan, ctx, t, how.online))
            tool_fail(path, "says online rotations '%s'", how.online);
        for (size_t i = 0; i < all->count; i++) {
            const cq_part *a = &all->part[i];
            const cq_part *b = i < its.count ? &its.part[i] : NULL; /* the same architecture, the same order */
            if (!b || strcmp(a->name, b->name)) tool_fail(path, "has no %s; it must be made from %s", a->name, t->path);
            if (b->rows != a->rows || b->cols != a->cols)
                tool_fail(path, "%s is (%zu, %zu), and must be (%zu, %zu) as in %s", a->name, b->rows, b->cols, a->rows,
                          a->cols, t->path);
            float *w = read_part(ctx, t, how.rotate || how.online ? &plan : NULL, a), *v = read_part(ctx, &q, NULL, b);
            double error = 0, all_of = 0;
            for (size_t e = 0; e < a->rows * a->cols; e++) {
                double d = (double)w[e] - (double)v[e];
                error += d * d;
                all_of += (double)w[e] * (double)w[e];
            }
            c->weight[i] = all_of > 0 ? sqrt(error / all_of) : NAN;
            free(w);
            free(v);
            tool_progress("errors", k * all->count + i + 1, n * all->count);
        }
        losses += c->has_loss;
        free(how.rotate);
        free(how.matrices);
        free(how.online);
        free(its.part);
        free(its.column);
        free(its.layer);
    }
    curve *keys = (curve *)tool_alloc(n + 1, sizeof *keys), *weight = (curve *)tool_alloc(n, sizeof *weight);
    curve *loss = (curve *)tool_alloc(2 * n, sizeof *loss);
    size_t count = 0;
    for (size_t k = 0; k < n; k++) {
        curve one = {others[k].name, others[k].weight, palette(k), false, false, false};
        keys[k] = weight[k] = one;
        if (!others[k].has_loss) continue;
        loss[count] = loss[count + 1] = one;
        loss[count].y = others[k].rtn;
        loss[count].dashed = loss[count].hollow = true;
        loss[count + 1].y = others[k].loss;
        count += 2;
    }
    curve nearest = {"outputs: same bits, rounded to nearest", NULL, GRAY, true, false, true};
    if (losses) keys[n] = nearest;
    facet_row rows[2] = {{"weight error", weight, n}, {"output error", loss, count}};
    const char *note = losses ? "Weights: norm(W - Q) / norm(W). Outputs: the square of that for WX, with the "
                                "calibration inputs X (GPTQ's loss)."
                              : "norm(W - Q) / norm(W) of the weights W and what they became, Q (Frobenius norm).";
    size_t both = losses ? 1 : 0;
    canvas c = facets(all, "What quantisation costs, linear by linear", note, keys, n + both, rows, 1 + both);
    save(o, "error.png", &c);
}

/* ===================================================================================================================
   [DENOISING]  one generation: when each token was filled
   ================================================================================================================== */
static double step_part(double step, size_t steps) { return steps > 1 ? (step - 1) / (double)(steps - 1) : 0; }

static void plot_denoising(output *o, const cq_context *ctx, tool_model *t, const char *text_path) {
    cq_session s;
    cq_session_desc desc;
    cq_generate_desc how;
    cq_generator g;
    cq_error err;
    void *base;
    size_t fresh = tool_size("max-new-tokens", 64), prompt = 1;
    const char *given = tool_text("prompt", NULL), *alg = tool_text("alg", "entropy");
    int32_t *start = NULL, mask_id = tool_mask_id(t);
    const cq_tokenizer *tok = tool_model_tokenizer(t, given || text_path);
    if (given) {
        start = tool_encode(t, "--prompt", given, strlen(given), &prompt);
    } else if (text_path) { /* its first words */
        tool_file f = tool_map(text_path);
        start = tool_encode(t, text_path, (const char *)f.data, f.size, &prompt);
        prompt = prompt < 24 ? prompt : 24;
    }
    if (!start || !prompt) {
        start = (int32_t *)tool_alloc(1, sizeof *start);
        start[0] = t->m.bos_id >= 0 ? t->m.bos_id : 0;
        prompt = 1;
    }
    size_t n = prompt + fresh;
    int32_t *ids = (int32_t *)tool_alloc(n, sizeof *ids);
    size_t *filled = (size_t *)tool_alloc(n, sizeof *filled); /* the step; 0: not yet */
    for (size_t i = 0; i < n; i++) ids[i] = i < prompt ? start[i] : mask_id;
    for (size_t i = 0; i < prompt; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= t->m.vocab)
            tool_fail("--prompt", "token %zu of the text is %d, but the model has only %zu", i, ids[i], t->m.vocab);
    memset(&desc, 0, sizeof desc);
    memset(&how, 0, sizeof how);
    desc.max_tokens = n;
    tool_session(&s, ctx, t, &desc, &base);
    for (int i = 0; i < (int)CQ_ALG_COUNT; i++)
        if (!strcmp(alg, cq_alg_name((cq_alg)i))) how.alg = (cq_alg)i;
    how.steps = tool_size("steps", 32);
    how.temperature = (float)tool_real("temperature", 0);
    how.seed = tool.seed;
    cq_arena arena = cq_arena_over(NULL, 0);
    tool_model_check(t, cq_generate_begin(&g, &s, &how, ids, n, prompt, NULL, &arena, &err), &err);
    arena = tool_arena(arena.used);
    tool_model_check(t, cq_generate_begin(&g, &s, &how, ids, n, prompt, NULL, &arena, &err), &err);
    size_t steps = 0;
    while (!g.done) {
        tool_model_check(t, cq_generate_step(&g, &err), &err);
        steps++;
        for (size_t i = prompt; i < n; i++)
            if (!filled[i] && ids[i] != mask_id) filled[i] = steps;
        tool_progress("denoising", g.done ? how.steps : steps, how.steps);
    }
    steps = steps ? steps : 1;

    /* the picture: positions to the right, steps down; below it the text in the same colours */
    size_t width = 1400;
    double left = 100, right = (double)width - 150, top = 124, height = 440, size = 2, row = 32;
    double text_top = top + height + 110, indent = 30, pen = indent, text_right = (double)width - 30;
    for (int draw = 0; draw < 2; draw++) {
        static canvas c;
        double y = text_top + 40;
        pen = indent;
        if (draw) {
            char *note = tool_format("%zu tokens in %zu steps, algorithm %s: gray is still masked, the colour says in "
                                     "which step a token was filled.", fresh, steps, alg);
            headline(&c, "Denoising order", note);
            free(note);
            double cw = (right - left) / (double)fresh, ch = height / (double)steps;
            for (size_t st = 0; st < steps; st++)
                for (size_t i = 0; i < fresh; i++) {
                    size_t when = filled[prompt + i];
                    bool open = !when || when > st + 1;
                    double x0 = left + cw * (double)i, y0 = top + ch * (double)st, in = cw > 5 && ch > 5 ? 0.6 : 0;
                    fill(&c, x0 + in, y0 + in, x0 + cw - in, y0 + ch - in,
                         open ? hex(0xe9e9e9) : viridis(step_part((double)when, steps)));
                }
            frame(&c, left - 1, top - 1, right + 1, top + height + 1, 1, hex(0x9a9a9a));
            axis ax = {0, (double)fresh, false, true}, ay = {0, (double)steps, false, true};
            double tick[64];
            char label[32];
            size_t count = axis_ticks(&ax, 10, tick);
            for (size_t i = 0; i < count; i++) {
                if (tick[i] >= (double)fresh) continue;
                number_text(tick[i], label);
                write_text(&c, left + cw * (tick[i] + 0.5), top + height + 18, 2, 0.5, false, GRAY, label);
            }
            count = axis_ticks(&ay, 9, tick);
            for (size_t i = 0; i < count; i++) {
                double st = tick[i] < 1 ? 1 : tick[i];
                number_text(st, label);
                write_text(&c, left - 10, top + ch * (st - 0.5), 2, 1, false, GRAY, label);
                write_text(&c, right + 62, top + height * step_part(st, steps), 2, 0, false, GRAY, label);
            }
            write_text(&c, (left + right) / 2, top + height + 46, 2, 0.5, false, INK,
                       "position behind the prompt (tokens)");
            write_text(&c, 26, top + height / 2, 2, 0.5, true, INK, "step");
            for (double yy = 0; yy < height; yy++)
                fill(&c, right + 28, top + yy, right + 52, top + yy + 1, viridis(yy / (height - 1)));
            frame(&c, right + 27, top - 1, right + 53, top + height + 1, 1, hex(0x9a9a9a));
            write_text(&c, (double)width - 26, top + height / 2, 2, 0.5, true, INK, "filled in step");
            if (tok) write_text(&c, indent, text_top, 2, 0, false, INK, "The text, prompt first");
        }
        for (size_t i = 0; i < n && tok; i++) { /* token by token; words are broken where the line ends */
            size_t len;
            char *piece = tool_decode(tok, ids + i, 1, &len), *p = piece;
            color k = filled[i] ? viridis(step_part((double)filled[i], steps)) : hex(0xffffff);
            color ink = 0.299 * k.r + 0.587 * k.g + 0.114 * k.b > 0.5 ? INK : hex(0xffffff);
            for (char *q = piece; *q; q++)
                if ((unsigned char)*q < 32 && *q != '\n') *q = ' ';
            for (;;) {
                char *end = strchr(p, '\n');
                if (end) *end = 0;
                double w = text_width(*p ? p : end && filled[i] ? " " : "", size);
                if (pen > indent && pen + w > text_right) {
                    pen = indent;
                    y += row;
                }
                if (draw && w > 0) {
                    if (filled[i]) fill(&c, pen - 1, y - 13, pen + w - 1, y + 15, k);
                    write_text(&c, pen, y, size, 0, false, filled[i] ? ink : GRAY, p);
                }
                pen += w;
                if (!end) break;
                pen = indent;
                y += row;
                p = end + 1;
            }
            free(piece);
        }
        if (!draw) c = canvas_new(width, (size_t)(tok ? y + 40 : top + height + 76));
        else save(o, "denoising.png", &c);
    }
    free(filled);
    free(ids);
    free(start);
    free(arena.base);
    free(base);
}

/* ===================================================================================================================
   [REPORT]  what `quantize --report` wrote, as a picture
   ================================================================================================================== */
/* "model.layers.3.mlp.experts.7.up_proj": layer 3, kind "mlp.experts.up_proj". False: no number is in it. */
static bool read_name(const char *name, double *layer, char *kind, size_t size) {
    bool found = false;
    size_t n = 0;
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, ".");
        if (strspn(p, "0123456789") == len && len) {
            if (!found) *layer = strtod(p, NULL);
            if (!found) n = 0; /* what stands before the layer is the same for all */
            found = true;
        } else if (n + len + 2 < size) {
            if (n) kind[n++] = '.';
            memcpy(kind + n, p, len);
            n += len;
        }
        p += len + (p[len] == '.');
    }
    kind[n] = 0;
    return found;
}

/* The last word: "up_proj"; with a bit of what stands before where that is not the block, or another column has the
   word: "exp.up_proj" for "mlp.experts.up_proj". */
static char *column_name(const modules *all, const char *kind) {
    const char *last = strrchr(kind, '.'), *before = last;
    if (!last) return tool_format("%s", kind);
    while (before > kind && before[-1] != '.') before--;
    bool more = before > kind;
    for (size_t k = 0; k < all->columns && !more; k++) more = !strcmp(all->name[k], last + 1);
    return more ? tool_format("%.3s.%s", before, last + 1) : tool_format("%s", last + 1);
}

#define REPORT_FORMATS 12
static void plot_report(output *o, const char *path) {
    tool_file f = tool_map(path);
    cq_arena arena = cq_arena_over(NULL, 0);
    cq_json j;
    cq_error err;
    modules all;
    char kinds[CQ_ROLE_COUNT * CQ_BLOCK_KINDS][160];
    char *formats[REPORT_FORMATS];
    double *loss[REPORT_FORMATS], *ratio[REPORT_FORMATS];
    size_t format_count = 0, most;
    bool starved = false;
    tool_check(cq_json_parse(&j, (const char *)f.data, f.size, &arena, &err), path, &err);
    arena = tool_arena(arena.used);
    tool_check(cq_json_parse(&j, (const char *)f.data, f.size, &arena, &err), path, &err);
    uint32_t list = cq_json_kind(&j, 0) == CQ_JSON_OBJECT ? cq_json_find(&j, 0, "modules") : 0;
    if (!list || cq_json_kind(&j, list) != CQ_JSON_ARRAY || !j.nodes[list].count)
        tool_fail(path, "has no \"modules\"; it should be what quantize --report writes");
    memset(&all, 0, sizeof all);
    most = j.nodes[list].count;
    all.column = (size_t *)tool_alloc(most, sizeof *all.column);
    all.layer = (double *)tool_alloc(most, sizeof *all.layer);
    double *nearest = numbers(most), *even = numbers(most), *few = numbers(most);
    for (uint32_t e = cq_json_child(&j, list); e; e = cq_json_next(&j, e)) {
        char name[256], kind[160];
        uint32_t node = cq_json_kind(&j, e) == CQ_JSON_OBJECT ? cq_json_find(&j, e, "name") : 0;
        float got, rtn;
        bool fallback = false;
        size_t k = 0, n = all.count;
        if (!node) tool_fail(path, "a module has no \"name\"");
        memset(name, 0, sizeof name);
        cq_json_unescape(&j, node, name, sizeof name - 1);
        if (!read_name(name, &all.layer[n], kind, sizeof kind) || all.layer[n] > 1e6) continue;
        if (!cq_json_float(&j, cq_json_find(&j, e, "loss"), &got)) continue;
        while (k < all.columns && strcmp(kinds[k], kind)) k++;
        if (k == sizeof kinds / sizeof *kinds) continue;
        if (k == all.columns) {
            memcpy(kinds[k], kind, sizeof kind);
            all.name[k] = column_name(&all, kind);
            all.columns++;
        }
        uint32_t format_node = cq_json_find(&j, e, "format");
        size_t len = cq_json_unescape(&j, format_node, NULL, 0), t = 0;
        char *word = (char *)tool_alloc(len + 1, 1);
        cq_json_unescape(&j, format_node, word, len);
        while (t < format_count && strcmp(formats[t], word)) t++;
        if (t == REPORT_FORMATS) continue;
        if (t == format_count) {
            formats[t] = word;
            loss[t] = numbers(most);
            ratio[t] = numbers(most);
            format_count++;
        }
        all.column[n] = k;
        if (all.layer[n] >= (double)all.layers) all.layers = (size_t)all.layer[n] + 1;
        all.count++;
        if (!cq_json_float(&j, cq_json_find(&j, e, "rtn_loss"), &rtn)) rtn = got;
        if (cq_json_bool(&j, cq_json_find(&j, e, "calibrated"), &fallback) && !fallback) { /* errors of the weights */
            few[n] = (double)got;
            starved = true;
            continue;
        }
        loss[t][n] = (double)got;
        nearest[n] = (double)rtn;
        ratio[t][n] = (double)got / (double)rtn;
        even[n] = 1;
    }
    if (!all.count) tool_fail(path, "has no module with a layer and a loss");
    curve keys[REPORT_FORMATS + 2], above[REPORT_FORMATS + 2], below[REPORT_FORMATS + 1];
    curve rtn = {"rounded to nearest", nearest, GRAY, true, false, true};
    curve one = {"", even, GRAY, true, true, false};
    curve weights = {"not calibrated: to nearest, error of the weights", few, hex(0x111111), false, false, true};
    size_t n = 0;
    above[n] = keys[n] = rtn;
    below[n++] = one;
    for (size_t t = 0; t < format_count; t++, n++) {
        curve c = {formats[t], loss[t], palette(t), false, false, false};
        keys[n] = above[n] = below[n] = c;
        below[n].y = ratio[t];
    }
    if (starved) keys[n] = above[n] = weights;
    facet_row rows[2] = {{"loss", above, n + starved}, {"loss / nearest", below, n}};
    canvas c = facets(&all, "What quantisation costs the output of each linear",
                      "Squared error of the outputs on calibration inputs, as part of their square; below, relative to "
                      "rounding to nearest.", keys, n + starved, rows, 2);
    save(o, "report.png", &c);
}

/* ===================================================================================================================
   [PLOT]
   ================================================================================================================== */
static void plot_model(output *o, const cq_context *ctx, tool_model *t, const char *text) {
    cq_rotate_plan plan;
    modules all = modules_of(&t->m);
    const cq_rotate_plan *rotation = make_plan(&plan, ctx, t, tool.seed) ? &plan : NULL;
    plot_weights(o, ctx, t, rotation, &all);
    if (t->m.two_streams) tool_note("%s: no activations.png, its text is not known here", t->path);
    else plot_activations(o, ctx, t, rotation, text);
    if (tool.arg_count > 1) plot_error(o, ctx, t, &all);
    if (t->m.arch.diffusion) plot_denoising(o, ctx, t, text);
}

static void run_plot(void) {
    tool_model t;
    cq_context ctx;
    output o = {NULL, tool_need("o"), {NULL}, 0};
    const char *text = tool_text("text", NULL), *calib = tool_text("calib", NULL);
    if (text && calib) tool_usage("plot: --text and --calib mean the same; give one of them");
    text = text ? text : calib;
    if (!tool.arg_count && !tool_has("report"))
        tool_usage("plot: MODEL or --report is needed; see `cquant plot --help`");
    tool_context(&ctx);
    if (tool.arg_count) tool_model_open(&t, tool.args[0]);
    if (!(tool.force && tool_is_dir(o.path))) o.dir = tool_dir_create(o.path);
    if (tool_has("report")) plot_report(&o, tool_text("report", NULL));
    if (tool.arg_count) plot_model(&o, &ctx, &t, text);
    if (o.dir) tool_dir_close(o.dir);
    json_open("files", '[');
    for (size_t i = 0; i < o.count; i++) {
        json_text(NULL, o.file[i]);
        tool_say("%s\n", o.file[i]);
        free(o.file[i]);
    }
    json_close();
}

static const tool_option plot_options[] = {
    {"o", "DIR", 0, 0, "for the pictures; with --force they are put into a directory that exists"},
    {"text", "FILE", 0, 0, "what the model reads for activations.png, and its prompt (random ids)"},
    {"calib", "FILE", 0, 0, "the same"},
    {"report", "FILE.json", 0, 0, "report.png: what quantize --report wrote; alone, or beside the pictures of MODEL"},
    {"prompt", "TEXT", 0, 0, "denoising.png: text to go on from (the text's first words)"},
    {"max-new-tokens", "N", 1, 4096, "denoising.png: tokens to make (64)"},
    {"steps", "N", 1, 4096, "denoising.png: steps (32)"},
    {"alg", "origin|maskgit_plus|topk_margin|entropy", 0, 0, "denoising.png: which tokens are filled first (entropy)"},
    {"temperature", "X", 0, 1e6, "denoising.png: 0: the likeliest token (0)"},
    TOOL_ARCH_OPTION,
    {NULL, NULL, 0, 0, NULL},
};
const tool_command cmd_plot = {"plot", "MODEL [MODEL ...] -o DIR",
                               "pictures: ranges, errors of further models, denoising order", 0, 17, plot_options,
                               run_plot};
