/* tool_journal.c - what a killed run leaves behind, and activations in a file (see tool_quantize.h) */
#include "tool_quantize.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ===================================================================================================================
   [SPILL]
   ================================================================================================================== */
struct tool_spill {
    char *path;
    int fd;
    uint64_t bytes;
};

tool_spill *tool_spill_open(const char *path, uint64_t bytes) {
    tool_spill *s = tool_alloc(1, sizeof *s);
    s->path = tool_is_dir(path) ? tool_format("%s/cquant-%ld.acts", path, (long)getpid()) : tool_format("%s", path);
    s->bytes = bytes;
    s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0) tool_fail(s->path, "cannot be made for activations: %s", strerror(errno));
    unlink(s->path);
    if (ftruncate(s->fd, (off_t)bytes))
        tool_fail(s->path, "cannot hold %llu bytes of activations: %s", (unsigned long long)bytes, strerror(errno));
    return s;
}
/* write: with pwrite, else pread. All of it, or false. */
static bool move_bytes(int fd, uint64_t offset, unsigned char *data, size_t bytes, bool write) {
    for (size_t done = 0; done < bytes;) {
        off_t at = (off_t)(offset + done);
        ssize_t n = write ? pwrite(fd, data + done, bytes - done, at) : pread(fd, data + done, bytes - done, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}
bool tool_spill_read(tool_spill *s, uint64_t offset, void *data, size_t bytes) {
    return move_bytes(s->fd, offset, data, bytes, false);
}
bool tool_spill_write(tool_spill *s, uint64_t offset, const void *data, size_t bytes) {
    return move_bytes(s->fd, offset, (unsigned char *)(uintptr_t)data, bytes, true);
}
void tool_spill_close(tool_spill *s) {
    if (!s) return;
    close(s->fd);
    free(s->path);
    free(s);
}

/* ===================================================================================================================
   [JOURNAL]
   ================================================================================================================== */
enum { PIECE = 4 << 20 };
static const char modules_magic[8] = {'C', 'Q', 'J', 'O', 'U', 'R', 'N', '1'};
static const char state_magic[8] = {'C', 'Q', 'S', 'T', 'A', 'T', 'E', '1'};

typedef struct record_head { /* then the report, the codes of so many bits, the grids, the groups; a checksum of all */
    uint32_t block, linear, format, bits; /* bits 0: it was not quantised, and there is only the report */
    uint8_t starved, nearest, g_idx, zero[5];
    uint64_t tokens, rows, cols, groups;
    double weight;
} record_head;
typedef struct state_head { /* then the activations */
    char magic[8];
    uint64_t next, modules, bytes, count, acts, acts_sum; /* bytes of `modules`, and records in them, that count */
    uint64_t key_sum, sum;                                /* sum: of all before it */
} state_head;

struct tool_journal {
    char *dir, *modules_path, *state_path;
    int fd;              /* of modules: locked while a run writes it */
    uint64_t bytes;      /* of modules so far */
    uint64_t count, key_sum, acts;
    tool_spill *spill;
    tool_file modules, state; /* what is restored */
    cq_finished *finished;
    uint64_t *at;        /* where the records begin */
    tool_buffer buffer;
};
static tool_journal *open_journal; /* for a failure, after which nothing is to be left */

static uint64_t sum_of(const void *p, size_t n) {
    cq_checksum c;
    cq_checksum_start(&c);
    cq_checksum_add(&c, p, n);
    return cq_checksum_value(&c);
}

/* ---- what run it is ---- */
typedef struct key {
    char *text;
} key;
static void key_line(key *k, char *line) { /* frees the line */
    char *all = tool_format("%s%s\n", k->text ? k->text : "", line);
    free(k->text);
    free(line);
    k->text = all;
}
static uint64_t file_sum(const tool_file *f) { /* in pieces, so that a model need not be in memory as a whole */
    cq_checksum c;
    cq_checksum_start(&c);
    for (size_t at = 0; at < f->size; at += PIECE) {
        cq_checksum_add(&c, f->data + at, f->size - at < PIECE ? f->size - at : PIECE);
        tool_forget_file(f);
    }
    return cq_checksum_value(&c);
}
static char *named_sum(const char *path) { /* of a file, or of all files in a directory, in whatever order */
    uint64_t sum = 0;
    if (!tool_exists(path)) return tool_format("%s", path);
    if (!tool_is_dir(path)) {
        tool_file f = tool_map(path);
        return tool_format("%s (%016llx)", path, (unsigned long long)file_sum(&f));
    }
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        char *name = tool_join(path, e->d_name);
        if (!tool_is_dir(name)) {
            tool_file f = tool_map(name);
            sum += file_sum(&f) ^ sum_of(e->d_name, strlen(e->d_name));
        }
        free(name);
    }
    if (dir) closedir(dir);
    return tool_format("%s (%016llx)", path, (unsigned long long)sum);
}
/* A line for each thing that makes a difference to what is emitted. What only says where something is, and what stands
   in the samples anyway, is left out. */
static char *run_key(const tool_model *t, const cq_quantize_desc *desc) {
    static const char *const others[] = {"o", "calib", "calib-ids", "text-embeds", "bbox", "samples", "seq-len",
                                         "balance", "hessian-memory", "spill", "resume", "no-journal", "tries",
                                         "act-bits"};
    const cq_model *m = &t->m;
    const uint32_t order = 0x01020304;
    key k = {NULL};
    key_line(&k, tool_format("version: %s, of this machine (%02x %zu %zu %zu)", CQUANT_VERSION,
                             *(const unsigned char *)&order, sizeof(cq_gptq_report), sizeof(cq_grid),
                             sizeof(record_head)));
    key_line(&k, tool_format("--seed: %llu", (unsigned long long)tool.seed));
    for (const tool_option *o = tool.command->options; o->name; o++) {
        bool other = false;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) other = other || !strcmp(o->name, others[i]);
        if (other) continue;
        bool word = !o->value || strchr(o->value, '|') || !strcmp(o->value, "N") || !strcmp(o->value, "X");
        char *value = !tool_has(o->name) ? tool_format("not given")
                      : !o->value        ? tool_format("given")
                      : word             ? tool_format("%s", tool_text(o->name, ""))
                                         : named_sum(tool_text(o->name, ""));
        key_line(&k, tool_format("--%s: %s", o->name, value));
        free(value);
    }
    key_line(&k, tool_format("config.json: %016llx", (unsigned long long)file_sum(&t->config)));
    for (size_t i = 0; i < t->shard_count; i++)
        key_line(&k, tool_format("weights %zu: %016llx", i, (unsigned long long)file_sum(&t->shards[i])));
    key_line(&k, tool_format("calibration samples: %zu of %zu tokens, %016llx", desc->samples, desc->seq_len,
                             (unsigned long long)sum_of(desc->ids, desc->samples * desc->seq_len * sizeof *desc->ids)));
    if (desc->text) {
        size_t n = desc->samples * desc->text_rows * m->input[0].w.cols;
        key_line(&k, tool_format("text stream: %zu rows, %016llx", desc->text_rows,
                                 (unsigned long long)sum_of(desc->text, n * sizeof(float))));
    }
    if (desc->boxes)
        key_line(&k, tool_format("boxes: %016llx", (unsigned long long)sum_of(desc->boxes, desc->samples *
                                                                                           m->input[1].w.cols *
                                                                                           sizeof(float))));
    return k.text;
}
/* The first line that is not the same: an error that shows both. */
TOOL_NORETURN static void other_run(const tool_journal *j, const char *was, size_t was_len, const char *is) {
    size_t i = 0, begin = 0, n;
    for (; i < was_len && is[i] && was[i] == is[i]; i++)
        if (was[i] == '\n') begin = i + 1;
    for (n = 0; begin + n < was_len && was[begin + n] != '\n';) n++;
    tool_fail(j->dir, "belongs to another run: there '%.*s', here '%.*s'; give what was given there, or leave out "
                      "--resume to begin anew", (int)(n < 200 ? n : 200), was + begin,
              (int)strcspn(is + begin, "\n"), is + begin);
}
TOOL_NORETURN static void damaged(const char *path, const char *what) {
    tool_fail(path, "is damaged: %s; leave out --resume to begin anew", what);
}

/* ---- reading it ---- */
static uint64_t record_bytes(const record_head *r) { /* SIZE_MAX: it cannot be */
    const uint64_t most = (uint64_t)1 << 40;
    if (!r->bits) return sizeof *r + sizeof(cq_gptq_report) + 8;
    if (r->bits > 8 || !r->rows || !r->cols || r->rows > most / r->cols || r->groups > r->cols) return UINT64_MAX;
    return sizeof *r + sizeof(cq_gptq_report) + (r->rows * r->cols * r->bits + 7) / 8 +
           r->rows * r->groups * sizeof(cq_grid) + (r->g_idx ? r->cols * sizeof(uint32_t) : 0) + 8;
}
static uint64_t u64_at(const unsigned char *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
/* Finds the records of `modules`, which count up to `bytes`. */
static void index_records(tool_journal *j, const state_head *s, uint64_t begin) {
    const unsigned char *p = j->modules.data;
    uint64_t at = begin, n = 0;
    if (s->count > s->bytes / sizeof(record_head)) damaged(j->state_path, "it counts more modules than there can be");
    j->finished = tool_alloc((size_t)s->count + 1, sizeof *j->finished);
    j->at = tool_alloc((size_t)s->count + 1, sizeof *j->at);
    while (at < s->bytes) {
        record_head r;
        if (s->bytes - at < sizeof r || n == s->count)
            damaged(j->modules_path, "the records do not end where they should");
        memcpy(&r, p + at, sizeof r);
        uint64_t size = record_bytes(&r);
        if (size > s->bytes - at) damaged(j->modules_path, "a record is longer than the file");
        if (sum_of(p + at, (size_t)size - 8) != u64_at(p + at + size - 8))
            damaged(j->modules_path, "the checksum of a record is wrong");
        j->finished[n].block = r.block;
        j->finished[n].linear = r.linear;
        j->at[n++] = at;
        at += size;
        tool_forget_file(&j->modules);
    }
    if (n != s->count) damaged(j->modules_path, "records are missing");
}
/* modules begin with: magic, bytes of the key, key, checksum of these */
static uint64_t key_bytes(const tool_journal *j) {
    const unsigned char *p = j->modules.data;
    size_t size = j->modules.size;
    if (size < 24 || memcmp(p, modules_magic, 8)) damaged(j->modules_path, "it does not begin as a journal does");
    uint64_t n = u64_at(p + 8);
    if (n > size - 24) damaged(j->modules_path, "its description is longer than the file");
    if (sum_of(p, 16 + (size_t)n) != u64_at(p + 16 + n))
        damaged(j->modules_path, "its description has another checksum");
    return n;
}
static void read_journal(tool_journal *j, const char *is, cq_quantize_desc *desc) {
    state_head s;
    j->modules = tool_map(j->modules_path);
    uint64_t n = key_bytes(j);
    const char *was = (const char *)j->modules.data + 16;
    if (n != strlen(is) || memcmp(was, is, (size_t)n)) other_run(j, was, (size_t)n, is);
    j->bytes = 24 + n;
    if (!tool_exists(j->state_path)) {
        tool_note("%s: no layer was finished; beginning anew", j->dir);
        return;
    }
    j->state = tool_map(j->state_path);
    if (j->state.size < sizeof s) damaged(j->state_path, "it is too short");
    memcpy(&s, j->state.data, sizeof s);
    if (memcmp(s.magic, state_magic, 8) || sum_of(&s, sizeof s - 8) != s.sum)
        damaged(j->state_path, "its head has another checksum");
    if (s.key_sum != j->key_sum) damaged(j->state_path, "it is of another run than the modules beside it");
    if (s.acts != j->acts || j->state.size - sizeof s != s.acts)
        damaged(j->state_path, "it has not as many activations as the samples");
    tool_file acts = {j->state_path, j->state.data + sizeof s, (size_t)s.acts, false};
    if (file_sum(&acts) != s.acts_sum) damaged(j->state_path, "the checksum of the activations is wrong");
    tool_forget_file(&j->state);
    if (s.bytes < j->bytes || s.bytes > j->modules.size) damaged(j->modules_path, "it is shorter than it was");
    index_records(j, &s, j->bytes);
    j->bytes = s.bytes;
    j->count = s.count;
    desc->next = (size_t)s.next;
    desc->finished = j->finished;
    desc->finished_count = (size_t)s.count;
    if (j->spill)
        for (uint64_t at = 0; at < s.acts; at += PIECE) {
            size_t piece = s.acts - at < PIECE ? (size_t)(s.acts - at) : PIECE;
            if (!tool_spill_write(j->spill, at, acts.data + at, piece))
                tool_fail(j->spill->path, "cannot be written: %s", strerror(errno));
        }
}

/* ---- writing it ---- */
static void write_modules(tool_journal *j, const void *data, size_t bytes) {
    if (!move_bytes(j->fd, j->bytes, (unsigned char *)(uintptr_t)data, bytes, true))
        tool_fail(j->modules_path, "cannot be written: %s; --no-journal does without", strerror(errno));
    j->bytes += bytes;
}
static void remove_journal(void) {
    if (open_journal) tool_dir_remove(open_journal->dir);
    open_journal = NULL;
}

/* What the run that was killed had written of the target, under the name that tool_create and tool_dir_create gave it;
   the lock says that it is no longer running. */
static void sweep_up(const char *target, const char *pid_path) {
    if (!tool_exists(pid_path)) return;
    tool_file f = tool_map(pid_path);
    size_t digits = 0;
    while (digits < f.size && digits < 20 && f.data[digits] >= '0' && f.data[digits] <= '9') digits++;
    char *part = tool_format("%s.part-%.*s", target, (int)digits, (const char *)f.data);
    if (digits && tool_is_dir(part)) tool_dir_remove(part);
    else if (digits) unlink(part);
    free(part);
}

tool_journal *tool_journal_open(const char *target, const tool_model *t, cq_quantize_desc *desc, tool_spill *spill) {
    struct stat s;
    bool resume = tool_has("resume");
    if (desc->rtn || tool_has("no-journal") || (stat(target, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode)))
        return NULL;
    tool_journal *j = tool_alloc(1, sizeof *j);
    char *name = tool_format("%s", target), *is = run_key(t, desc);
    for (size_t n = strlen(name); n > 1 && name[n - 1] == '/'; n--) name[n - 1] = 0;
    j->dir = tool_format("%s.resume", name);
    j->modules_path = tool_join(j->dir, "modules");
    j->state_path = tool_join(j->dir, "state");
    j->spill = spill;
    j->key_sum = sum_of(is, strlen(is));
    j->acts = cq_quantize_acts_bytes(&t->m, desc);
    if (mkdir(j->dir, 0777) && (errno != EEXIST || !tool_is_dir(j->dir)))
        tool_fail(j->dir, "cannot be made for what is finished: %s; --no-journal does without", strerror(errno));
    bool there = tool_exists(j->modules_path);
    char *pid_path = tool_join(j->dir, "pid");
    if (resume && !there) tool_note("%s: there is nothing to go on with; beginning anew", j->dir);
    if (!resume && tool_exists(j->state_path))
        tool_note("%s: was left by a run that was killed, which --resume would have gone on with; beginning anew",
                  j->dir);
    j->fd = open(j->modules_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0) tool_fail(j->modules_path, "cannot be written: %s; --no-journal does without", strerror(errno));
    if (flock(j->fd, LOCK_EX | LOCK_NB)) tool_fail(j->dir, "another run is writing to %s", target);
    sweep_up(name, pid_path);
    tool_out *pid = tool_create(pid_path);
    tool_print(pid, "%ld\n", (long)getpid());
    tool_close(pid);
    free(pid_path);
    if (resume && there) read_journal(j, is, desc);
    if (!j->bytes) {
        uint64_t n = strlen(is), sum;
        char *head = tool_alloc((size_t)n + 24, 1);
        memcpy(head, modules_magic, 8);
        memcpy(head + 8, &n, 8);
        memcpy(head + 16, is, (size_t)n);
        sum = sum_of(head, (size_t)n + 16);
        memcpy(head + 16 + n, &sum, 8);
        unlink(j->state_path);
        write_modules(j, head, (size_t)n + 24);
        free(head);
    }
    if (ftruncate(j->fd, (off_t)j->bytes)) tool_fail(j->modules_path, "cannot be cut: %s", strerror(errno));
    if (!resume) { /* an error leaves nothing, unless it was asked for; a signal does */
        open_journal = j;
        tool_on_failure(remove_journal);
    }
    free(name);
    free(is);
    return j;
}

/* A place in the buffer for n more bytes. */
static unsigned char *more(tool_journal *j, size_t *used, size_t n) {
    unsigned char *p = (unsigned char *)j->buffer.data + *used;
    *used += n;
    return p;
}
void tool_journal_add(tool_journal *j, const cq_module *module, const cq_model *m) {
    const cq_tensor *w = &module->linear->w;
    record_head r;
    uint64_t sum;
    size_t used = 0;
    memset(&r, 0, sizeof r);
    r.block = (uint32_t)(module->block - m->blocks);
    r.linear = (uint32_t)(module->linear - module->block->lin);
    r.tokens = module->tokens;
    r.weight = module->weight;
    r.starved = module->starved;
    r.nearest = module->nearest;
    r.rows = w->rows;
    r.cols = w->cols;
    if (module->codes) {
        r.format = (uint32_t)module->desc->format;
        r.bits = cq_format_bits(module->desc->format);
        r.groups = cq_gptq_groups(module->desc, w->cols);
        r.g_idx = module->g_idx != NULL;
    }
    uint64_t size = record_bytes(&r);
    if (size > j->buffer.size) {
        free(j->buffer.data);
        j->buffer.data = tool_alloc((size_t)size, 1);
        j->buffer.size = (size_t)size;
    }
    memcpy(more(j, &used, sizeof r), &r, sizeof r);
    memcpy(more(j, &used, sizeof module->report), &module->report, sizeof module->report);
    if (module->codes) {
        size_t n = w->rows * w->cols, grids = w->rows * (size_t)r.groups * sizeof(cq_grid);
        unsigned char *codes = more(j, &used, (n * r.bits + 7) / 8);
        memset(codes, 0, (n * r.bits + 7) / 8);
        for (size_t i = 0; i < n; i++) {
            size_t bit = i * r.bits;
            unsigned v = (unsigned)module->codes[i] << bit % 8;
            codes[bit / 8] = (unsigned char)(codes[bit / 8] | v);
            if (v > 255) codes[bit / 8 + 1] = (unsigned char)(v >> 8);
        }
        memcpy(more(j, &used, grids), module->grids, grids);
        if (r.g_idx) memcpy(more(j, &used, w->cols * sizeof(uint32_t)), module->g_idx, w->cols * sizeof(uint32_t));
    }
    sum = sum_of(j->buffer.data, used);
    memcpy(more(j, &used, sizeof sum), &sum, sizeof sum);
    write_modules(j, j->buffer.data, used);
    j->count++;
}

bool tool_journal_restore(tool_journal *j, size_t index, cq_module *module, const cq_gptq_result *into) {
    const cq_tensor *w = &module->linear->w;
    const unsigned char *p = j->modules.data + j->at[index];
    record_head r;
    memcpy(&r, p, sizeof r);
    p += sizeof r;
    memcpy(&module->report, p, sizeof module->report);
    p += sizeof module->report;
    module->tokens = r.tokens;
    module->weight = r.weight;
    module->starved = r.starved != 0;
    module->nearest = r.nearest != 0;
    if (!r.bits != !into->codes) damaged(j->modules_path, "a module is quantised that should not be, or is not");
    if (r.bits) {
        if (r.rows != w->rows || r.cols != w->cols || r.format != (uint32_t)module->desc->format ||
            r.bits != cq_format_bits(module->desc->format) ||
            r.groups != cq_gptq_groups(module->desc, w->cols) || (r.g_idx != 0) != (into->g_idx != NULL))
            damaged(j->modules_path, "a module has another shape");
        size_t n = w->rows * w->cols, grids = w->rows * (size_t)r.groups * sizeof(cq_grid);
        for (size_t i = 0; i < n; i++) {
            size_t bit = i * r.bits;
            unsigned v = p[bit / 8] | (bit % 8 + r.bits > 8 ? (unsigned)p[bit / 8 + 1] << 8 : 0);
            into->codes[i] = (uint8_t)(v >> bit % 8 & ((1u << r.bits) - 1));
        }
        p += (n * r.bits + 7) / 8;
        memcpy(into->grids, p, grids);
        p += grids;
        if (r.g_idx) memcpy(into->g_idx, p, w->cols * sizeof(uint32_t));
    }
    tool_forget_file(&j->modules);
    return true;
}
bool tool_journal_restore_acts(tool_journal *j, void *acts) {
    const unsigned char *from = j->state.data + sizeof(state_head);
    for (uint64_t at = 0; at < j->acts; at += PIECE) {
        uint64_t left = j->acts - at, n = left < PIECE ? left : PIECE;
        memcpy((unsigned char *)acts + at, from + at, (size_t)n);
        tool_forget_file(&j->state);
    }
    return true;
}

bool tool_journal_checkpoint(tool_journal *j, size_t next, const void *acts) {
    state_head s;
    cq_checksum sum;
    unsigned char *piece = acts ? NULL : tool_alloc(PIECE, 1);
    tool_out *out = tool_create(j->state_path);
    memset(&s, 0, sizeof s);
    memcpy(s.magic, state_magic, 8);
    s.next = next;
    s.bytes = j->bytes;
    s.count = j->count;
    s.acts = j->acts;
    s.key_sum = j->key_sum;
    cq_checksum_start(&sum);
    tool_seek(out, sizeof s);
    for (uint64_t at = 0; at < j->acts; at += PIECE) {
        size_t n = j->acts - at < PIECE ? (size_t)(j->acts - at) : PIECE;
        const unsigned char *p = acts ? (const unsigned char *)acts + at : piece;
        if (!acts && !tool_spill_read(j->spill, at, piece, n)) return false;
        cq_checksum_add(&sum, p, n);
        tool_write(out, p, n);
    }
    s.acts_sum = cq_checksum_value(&sum);
    s.sum = sum_of(&s, sizeof s - 8);
    tool_seek(out, 0);
    tool_write(out, &s, sizeof s);
    tool_close(out);
    free(piece);
    return true;
}

void tool_journal_done(tool_journal *j) {
    if (!j) return;
    tool_on_failure(NULL);
    open_journal = NULL;
    tool_dir_remove(j->dir);
    close(j->fd);
    free(j->finished);
    free(j->at);
    free(j->buffer.data);
    free(j->dir);
    free(j->modules_path);
    free(j->state_path);
    free(j);
}
