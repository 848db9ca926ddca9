/* tool_io.c - what the tool wants from the operating system: errors, files, .npy, JSON, threads, progress (see tool.h) */
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ===================================================================================================================
   [ERRORS]  and the files that an error must not leave behind
   ================================================================================================================== */
/* Everything that is not finished yet, newest first: a directory comes after the files in it. Entries are never freed,
   and made active last, so that a signal handler may walk the list at any time. */
typedef struct unfinished {
    char *path;
    bool dir;
    volatile sig_atomic_t active;
    struct unfinished *next;
} unfinished;
static unfinished *unfinished_list;
static bool bar_shown; /* a progress bar stands on the current line of the terminal */

static unfinished *unfinished_add(const char *path, bool dir) {
    unfinished *u = (unfinished *)tool_alloc(1, sizeof *u);
    u->path = tool_format("%s", path);
    u->dir = dir;
    u->next = unfinished_list;
    u->active = 1;
    unfinished_list = u;
    return u;
}

static unfinished *unfinished_find(const char *path) {
    for (unfinished *u = unfinished_list; u; u = u->next)
        if (u->active && !strcmp(u->path, path)) return u;
    return NULL;
}

static void remove_unfinished(void) { /* only what a signal handler may do */
    for (unfinished *u = unfinished_list; u; u = u->next)
        if (u->active) {
            if (u->dir) rmdir(u->path);
            else unlink(u->path);
            u->active = 0;
        }
}

static void on_signal(int number) {
    remove_unfinished();
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_signals(void) {
    static bool done;
    if (done) return;
    done = true;
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction old;
        if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN) signal(numbers[i], on_signal);
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes shall be an error of write(), not the end */
}

/* One line: what would break it, or steer a terminal, is shown as \xNN. */
static void print_error(const char *file, const char *format, va_list args) {
    char text[2048], line[4096];
    size_t n = 0;
    vsnprintf(text, sizeof text, format, args);
    const char *parts[] = {"cquant: error: ", file ? file : "", file ? ": " : "", text};
    for (size_t i = 0; i < 4; i++)
        for (const char *p = parts[i]; *p && n < sizeof line - 8; p++) {
            if ((unsigned char)*p >= 32 && *p != 127) line[n++] = *p;
            else n += (size_t)sprintf(line + n, "\\x%02x", (unsigned)(unsigned char)*p);
        }
    line[n++] = '\n';
    if (bar_shown) fputs("\r\033[K", stderr);
    fflush(stdout);
    fwrite(line, 1, n, stderr);
}

static void (*failure_hook)(void);
void tool_on_failure(void (*clean)(void)) { failure_hook = clean; }

void tool_fail(const char *file, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_error(file, format, args);
    va_end(args);
    void (*clean)(void) = failure_hook;
    failure_hook = NULL;
    if (clean) clean();
    remove_unfinished();
    exit(1);
}

void tool_usage(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_error(NULL, format, args);
    va_end(args);
    remove_unfinished();
    exit(2);
}

void tool_fail_error(const char *file, const cq_error *err) {
    char name[160] = "", where[48] = "", got[48] = "";
    if (err->name && err->name_len) {
        int n = err->name_len > 120 ? 120 : (int)err->name_len;
        snprintf(name, sizeof name, ": '%.*s%s'", n, err->name, err->name_len > 120 ? "..." : "");
    }
    if (err->where != UINT64_MAX) snprintf(where, sizeof where, ", at %llu", (unsigned long long)err->where);
    bool text = err->what && !strncmp(err->what, "JSON", 4) && !*name; /* then got is a byte of the text */
    if (text && err->got > 32 && err->got < 127) snprintf(got, sizeof got, ", found '%c'", (char)err->got);
    else if (text && err->got == -1) snprintf(got, sizeof got, ", found the end");
    else if (err->got != INT64_MIN) snprintf(got, sizeof got, ", found %lld", (long long)err->got);
    tool_fail(file, "%s%s%s%s", err->what ? err->what : cq_status_text(err->status), name, where, got);
}

void tool_check(cq_status status, const char *file, const cq_error *err) {
    if (status != CQ_OK) tool_fail_error(file, err);
}

/* ===================================================================================================================
   [MEMORY, TIME]
   ================================================================================================================== */
/* Not zeroed, and not touched. In pages of 2 MB where there are such: they are faulted in and looked up so much faster
   that it shows in what goes through a large matrix once. */
static void *aligned_bytes(size_t bytes) {
    const size_t huge = (size_t)2 << 20;
    const bool large = bytes >= 4 * huge && bytes < SIZE_MAX - huge;
    void *p = NULL;
    if (posix_memalign(&p, large ? huge : CQ_ALIGN, bytes ? bytes : 1))
        tool_fail(NULL, "out of memory: %zu bytes are needed", bytes);
#ifdef MADV_HUGEPAGE
    if (large) madvise(p, bytes / huge * huge, MADV_HUGEPAGE);
#endif
    return p;
}
void *tool_alloc(size_t count, size_t size) {
    if (size && count > (SIZE_MAX - 64) / size) tool_fail(NULL, "out of memory: %zu things of %zu bytes", count, size);
    return memset(aligned_bytes(count * size), 0, count * size);
}

cq_arena tool_arena(size_t bytes) { /* cq_alloc zeroes what it hands out, and the rest need not be touched */
    if (bytes == SIZE_MAX) tool_fail(NULL, "out of memory: more bytes are needed than a size can say");
    return cq_arena_over(aligned_bytes(bytes), bytes);
}

char *tool_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) tool_fail(NULL, "a name cannot be formatted");
    char *text = (char *)malloc((size_t)n + 1);
    if (!text) tool_fail(NULL, "out of memory: %d bytes are needed", n + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

size_t tool_peak_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (size_t)usage.ru_maxrss * 1024;
}

size_t tool_resident_bytes(void) {
    unsigned long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &all, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

double tool_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ===================================================================================================================
   [FILES]
   ================================================================================================================== */
bool tool_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

bool tool_is_dir(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

char *tool_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    return tool_format("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

static tool_file read_stream(const char *path, int fd) { /* pipes and devices cannot be mapped */
    size_t size = 0, room = 65536;
    unsigned char *data = (unsigned char *)malloc(room);
    for (;;) {
        if (data && size == room) {
            room = room > SIZE_MAX / 2 ? SIZE_MAX : 2 * room;
            data = (unsigned char *)realloc(data, room);
        }
        if (!data) tool_fail(path, "out of memory: %zu bytes are needed", room);
        ssize_t n = read(fd, data + size, room - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) tool_fail(path, "cannot be read: %s", strerror(errno));
        if (n == 0) break;
        size += (size_t)n;
    }
    tool_file f = {path, data, size, false};
    return f;
}

tool_file tool_map(const char *path) {
    tool_file f = {path, (const unsigned char *)"", 0, false};
    struct stat s;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &s)) tool_fail(path, "cannot be opened: %s", strerror(errno));
    if (S_ISDIR(s.st_mode)) tool_fail(path, "is a directory, and must be a file");
    if (!S_ISREG(s.st_mode)) f = read_stream(path, fd);
    else if (s.st_size) {
        if ((uint64_t)s.st_size > SIZE_MAX)
            tool_fail(path, "too large for this machine: %lld bytes", (long long)s.st_size);
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) tool_fail(path, "cannot be mapped: %s", strerror(errno));
        f.data = (const unsigned char *)p;
        f.size = (size_t)s.st_size;
        f.mapped = true;
    }
    close(fd);
    return f;
}
void tool_forget_file(const tool_file *f) {
    if (f->mapped) madvise((void *)(uintptr_t)f->data, f->size, MADV_DONTNEED);
}

/* ---- outputs ---- */
tool_out *tool_create(const char *path) {
    tool_out *out = (tool_out *)tool_alloc(1, sizeof *out);
    struct stat s;
    catch_signals();
    out->path = tool_format("%s", path);
    if (!*path) tool_fail(NULL, "the name of the output is empty");
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        if (S_ISDIR(s.st_mode)) tool_fail(path, "is a directory, and must be a file");
        out->f = fopen(path, "wb");
    } else {
        out->temp = tool_format("%s.part-%ld", path, (long)getpid());
        int fd = open(out->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            unfinished_add(out->temp, false);
            out->f = fdopen(fd, "wb");
        }
    }
    if (!out->f) tool_fail(path, "cannot be written: %s", strerror(errno));
    return out;
}

void tool_write(tool_out *out, const void *data, size_t bytes) {
    if (bytes && fwrite(data, 1, bytes, out->f) != bytes)
        tool_fail(out->path, "cannot be written: %s", strerror(errno));
}

static bool big_endian(void) {
    const uint16_t one = 1;
    return *(const unsigned char *)&one == 0;
}

static void write_elements(tool_out *out, const void *data, size_t size, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    if (!big_endian()) {
        tool_write(out, data, size * n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = size; j > 0; j--) tool_write(out, p + i * size + j - 1, 1);
}
void tool_write_floats(tool_out *out, const float *x, size_t n) { write_elements(out, x, sizeof *x, n); }
void tool_write_doubles(tool_out *out, const double *x, size_t n) { write_elements(out, x, sizeof *x, n); }

void tool_print(tool_out *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (vfprintf(out->f, format, args) < 0) tool_fail(out->path, "cannot be written: %s", strerror(errno));
    va_end(args);
}

void tool_seek(tool_out *out, uint64_t offset) {
    if (fseeko(out->f, (off_t)offset, SEEK_SET))
        tool_fail(out->path, "cannot be written: %s (at byte %llu)", strerror(errno), (unsigned long long)offset);
}

void tool_read_back(tool_out *out, uint64_t offset, void *data, size_t bytes) {
    if (fflush(out->f)) tool_fail(out->path, "cannot be written: %s", strerror(errno));
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fileno(out->f), (char *)data + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) tool_fail(out->path, "cannot be read back: %s", n ? strerror(errno) : "it has become shorter");
        done += (size_t)n;
    }
}

void tool_close(tool_out *out) {
    FILE *f = out->f;
    if (fflush(f) || ferror(f)) tool_fail(out->path, "cannot be written: %s", strerror(errno));
    if (fclose(f)) tool_fail(out->path, "cannot be written: %s", strerror(errno));
    if (out->temp) {
        if (rename(out->temp, out->path)) tool_fail(out->path, "cannot be renamed to this: %s", strerror(errno));
        unfinished *u = unfinished_find(out->temp);
        if (u) u->active = 0;
        for (u = unfinished_list; u; u = u->next) { /* in an unfinished directory it remains to be removed */
            size_t n = strlen(u->path);
            if (u->active && u->dir && !strncmp(out->path, u->path, n) && out->path[n] == '/') {
                unfinished_add(out->path, false);
                break;
            }
        }
    }
    free(out->temp);
    free(out->path);
    free(out);
}

/* ---- directories as outputs ---- */
tool_dir *tool_dir_create(const char *path) {
    tool_dir *d = (tool_dir *)tool_alloc(1, sizeof *d);
    catch_signals();
    d->path = tool_format("%s", path);
    for (size_t n = strlen(d->path); n > 1 && d->path[n - 1] == '/'; n--) d->path[n - 1] = 0;
    if (!*d->path) tool_fail(NULL, "the name of the output directory is empty");
    if (tool_exists(d->path)) {
        if (!tool.force) tool_fail(d->path, "exists already; choose another name, or replace it with --force");
        if (!tool_is_dir(d->path)) tool_fail(d->path, "is a file, and must be a directory");
        if (!tool_exists(tool_join(d->path, "config.json")) && rmdir(d->path))
            tool_fail(d->path, "holds no model (config.json), so --force does not replace it");
    }
    d->temp = tool_format("%s.part-%ld", d->path, (long)getpid());
    if (mkdir(d->temp, 0777)) tool_fail(d->path, "cannot be made: %s", strerror(errno));
    unfinished_add(d->temp, true);
    return d;
}

char *tool_dir_file(const tool_dir *dir, const char *name) { return tool_join(dir->temp, name); }

void tool_dir_copy(const tool_dir *dir, const char *from_dir, const char *name) {
    char *from = tool_join(from_dir, name), *to = tool_dir_file(dir, name);
    if (tool_exists(from)) {
        tool_file f = tool_map(from);
        tool_out *out = tool_create(to);
        tool_write(out, f.data, f.size);
        tool_close(out);
    }
    free(to);
    free(from);
}

void tool_dir_remove(const char *path) {
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            char *name = tool_join(path, e->d_name);
            unlink(name);
            free(name);
        }
    if (dir) closedir(dir);
    if (rmdir(path)) tool_note("%s: this directory cannot be removed: %s", path, strerror(errno));
}

void tool_dir_close(tool_dir *d) {
    char *old = NULL;
    if (tool_exists(d->path)) { /* --force was checked by tool_dir_create, or somebody was faster */
        if (!tool.force) tool_fail(d->path, "exists already; choose another name, or replace it with --force");
        old = tool_format("%s.old-%ld", d->path, (long)getpid());
        if (rename(d->path, old)) tool_fail(d->path, "cannot be replaced: %s", strerror(errno));
    }
    if (rename(d->temp, d->path)) {
        int why = errno;
        if (old) rename(old, d->path);
        tool_fail(d->path, "cannot be made: %s", strerror(why));
    }
    size_t n = strlen(d->temp);
    for (unfinished *u = unfinished_list; u; u = u->next)
        if (!strncmp(u->path, d->temp, n) && (u->path[n] == 0 || u->path[n] == '/')) u->active = 0;
    if (old) tool_dir_remove(old);
    free(old);
    free(d->temp);
    free(d->path);
    free(d);
}

/* ===================================================================================================================
   [NPY]  "\x93NUMPY", version, length of the header, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, data
   ================================================================================================================== */
static const struct {
    const char *descr, *name;
    size_t size;
} npy_types[] = {{"|b1", "bool", 1},  {"|u1", "uint8", 1},   {"<i4", "int32", 4},
                 {"<i8", "int64", 8}, {"<f4", "float32", 4}, {"<f8", "float64", 8}};

const char *tool_dtype_name(tool_dtype dtype) { return npy_types[dtype].name; }

typedef struct npy_text {
    const char *p, *end, *path;
} npy_text;

static char npy_peek(npy_text *t) {
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t')) t->p++;
    return t->p < t->end ? *t->p : 0;
}
static bool npy_accept(npy_text *t, char c) {
    if (npy_peek(t) != c) return false;
    t->p++;
    return true;
}
static void npy_expect(npy_text *t, char c) {
    char got = npy_peek(t);
    if (!npy_accept(t, c)) tool_fail(t->path, "npy: the header has '%c' where '%c' must be", got ? got : '?', c);
}
static size_t npy_string(npy_text *t, const char **out) {
    char quote = npy_peek(t);
    if (quote != '\'' && quote != '"')
        tool_fail(t->path, "npy: the header has '%c' where a quote must be", quote ? quote : '?');
    const char *begin = ++t->p;
    while (t->p < t->end && *t->p != quote) t->p++;
    if (t->p == t->end) tool_fail(t->path, "npy: a text in the header does not end");
    *out = begin;
    return (size_t)(t->p++ - begin);
}
static bool npy_word(npy_text *t, const char *word) {
    size_t n = strlen(word);
    npy_peek(t);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n)) return false;
    t->p += n;
    return true;
}
static size_t npy_number(npy_text *t) {
    size_t v = 0;
    char c = npy_peek(t);
    if (c < '0' || c > '9') tool_fail(t->path, "npy: the shape has '%c' where a number must be", c ? c : '?');
    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
        size_t digit = (size_t)(*t->p - '0');
        if (v > (SIZE_MAX - digit) / 10) tool_fail(t->path, "npy: a number in the shape is too large for this machine");
        v = 10 * v + digit;
    }
    return v;
}

tool_npy tool_npy_read(const char *path) {
    tool_file f = tool_map(path);
    tool_npy a;
    memset(&a, 0, sizeof a);
    a.path = path;
    if (f.size < 10 || memcmp(f.data, "\x93NUMPY", 6))
        tool_fail(path, "is no .npy file: it must begin with \\x93NUMPY");
    unsigned major = f.data[6], minor = f.data[7];
    if ((major != 1 && major != 2) || minor)
        tool_fail(path, "npy: version %u.%u is not read; 1.0 and 2.0 are", major, minor);
    size_t begin = major == 1 ? 10 : 12, length = f.data[8] | (size_t)f.data[9] << 8;
    if (major == 2) {
        if (f.size < 12) tool_fail(path, "npy: the file ends within the header");
        length |= (size_t)f.data[10] << 16 | (size_t)f.data[11] << 24;
    }
    if (length > f.size - begin)
        tool_fail(path, "npy: the header claims %zu bytes, but %zu are left in the file", length, f.size - begin);

    npy_text t = {(const char *)f.data + begin, (const char *)f.data + begin + length, path};
    bool have_descr = false, have_order = false, have_shape = false;
    npy_expect(&t, '{');
    while (npy_peek(&t) != '}') {
        const char *key, *value;
        size_t n = npy_string(&t, &key);
        npy_expect(&t, ':');
        if (n == 5 && !memcmp(key, "descr", 5) && !have_descr) {
            size_t m = npy_string(&t, &value), i = 0;
            while (i < 6 && (m != 3 || memcmp(value + 1, npy_types[i].descr + 1, 2) ||
                             !(value[0] == npy_types[i].descr[0] || (npy_types[i].size == 1 && value[0] == '<'))))
                i++;
            if (i == 6)
                tool_fail(path, "npy: elements are '%.*s'; read are |b1 |u1 <i4 <i8 <f4 <f8", m > 40 ? 40 : (int)m,
                          value);
            a.dtype = (tool_dtype)i;
            have_descr = true;
        } else if (n == 13 && !memcmp(key, "fortran_order", 13) && !have_order) {
            if (npy_word(&t, "True")) tool_fail(path, "npy: fortran_order is True; save it in C order");
            if (!npy_word(&t, "False")) tool_fail(path, "npy: fortran_order must be False");
            have_order = true;
        } else if (n == 5 && !memcmp(key, "shape", 5) && !have_shape) {
            npy_expect(&t, '(');
            while (npy_peek(&t) != ')') {
                if (a.ndim == 8) tool_fail(path, "npy: more than 8 dimensions");
                a.shape[a.ndim++] = npy_number(&t);
                if (!npy_accept(&t, ',')) break;
            }
            npy_expect(&t, ')');
            have_shape = true;
        } else {
            tool_fail(path, "npy: the header has '%.*s' twice, or it is none of descr, fortran_order, shape",
                      n > 40 ? 40 : (int)n, key);
        }
        if (!npy_accept(&t, ',')) break;
    }
    npy_expect(&t, '}');
    if (npy_peek(&t)) tool_fail(path, "npy: something stands behind the header's '}'");
    if (!have_descr || !have_order || !have_shape)
        tool_fail(path, "npy: the header lacks %s", !have_descr ? "descr" : !have_order ? "fortran_order" : "shape");

    size_t count = 1, size = npy_types[a.dtype].size, have = f.size - begin - length;
    for (size_t i = 0; i < a.ndim; i++) {
        if (a.shape[i] && count > SIZE_MAX / size / a.shape[i])
            tool_fail(path, "npy: the shape is too large for this machine");
        count *= a.shape[i];
    }
    if (count * size != have)
        tool_fail(path, "npy: %zu elements of %s are %zu bytes, but the file holds %zu", count, npy_types[a.dtype].name,
                  count * size, have);
    a.count = count;
    a.data = f.data + begin + length;
    return a;
}

static uint64_t little_endian(const unsigned char *p, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}
static double npy_double(const tool_npy *a, size_t i) {
    if (a->dtype == TOOL_F32) {
        uint32_t u = (uint32_t)little_endian(a->data + 4 * i, 4);
        float f;
        memcpy(&f, &u, 4);
        return (double)f;
    }
    uint64_t u = little_endian(a->data + 8 * i, 8);
    double d;
    memcpy(&d, &u, 8);
    return d;
}
static void npy_need_real(const tool_npy *a) {
    if (a->dtype != TOOL_F32 && a->dtype != TOOL_F64)
        tool_fail(a->path, "elements are %s, and must be float32 or float64", tool_dtype_name(a->dtype));
}
float *tool_npy_floats(const tool_npy *a) {
    npy_need_real(a);
    float *out = (float *)tool_alloc(a->count, sizeof *out);
    for (size_t i = 0; i < a->count; i++) out[i] = (float)npy_double(a, i);
    return out;
}
double *tool_npy_doubles(const tool_npy *a) {
    npy_need_real(a);
    double *out = (double *)tool_alloc(a->count, sizeof *out);
    for (size_t i = 0; i < a->count; i++) out[i] = npy_double(a, i);
    return out;
}
int32_t *tool_npy_ints(const tool_npy *a) {
    if (a->dtype != TOOL_I32 && a->dtype != TOOL_I64)
        tool_fail(a->path, "elements are %s, and must be int32 or int64", tool_dtype_name(a->dtype));
    int32_t *out = (int32_t *)tool_alloc(a->count, sizeof *out);
    for (size_t i = 0; i < a->count; i++) {
        int64_t v = a->dtype == TOOL_I32 ? (int64_t)(int32_t)(uint32_t)little_endian(a->data + 4 * i, 4)
                                         : (int64_t)little_endian(a->data + 8 * i, 8);
        if (v < INT32_MIN || v > INT32_MAX)
            tool_fail(a->path, "the number at position %zu is %lld, and must fit in 32 bits", i, (long long)v);
        out[i] = (int32_t)v;
    }
    return out;
}

tool_out *tool_npy_create(const char *path, tool_dtype dtype, size_t ndim, const size_t *shape) {
    char header[512];
    int n = sprintf(header, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_types[dtype].descr);
    for (size_t i = 0; i < ndim; i++)
        n += sprintf(header + n, "%zu%s", shape[i], ndim == 1 ? "," : i + 1 < ndim ? ", " : "");
    n += sprintf(header + n, "), }");
    while ((10 + n + 1) % 64) header[n++] = ' '; /* the data start at a multiple of 64 */
    header[n++] = '\n';
    unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)n, (unsigned char)(n >> 8)};
    tool_out *out = tool_create(path);
    tool_write(out, head, sizeof head);
    tool_write(out, header, (size_t)n);
    return out;
}

/* ===================================================================================================================
   [JSON]
   ================================================================================================================== */
static struct {
    char *text;
    size_t size, room;
    char close[64]; /* brackets that are open */
    bool first[64]; /* nothing in them yet */
    size_t depth;
} json;

static void json_put(const char *text, size_t n) {
    if (json.room - json.size < n) {
        json.room = 2 * (json.room + n);
        json.text = (char *)realloc(json.text, json.room);
        if (!json.text) tool_fail(NULL, "out of memory: %zu bytes are needed", json.room);
    }
    memcpy(json.text + json.size, text, n);
    json.size += n;
}

/* Bytes of the UTF-8 character at p, 0 if it is none (Unicode, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t n) {
    static const struct {
        unsigned char lo, hi, second_lo, second_hi;
        size_t length;
    } form[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
        if (p[0] < form[i].lo || p[0] > form[i].hi) continue;
        if (n < form[i].length) return 0;
        if (form[i].length > 1 && (p[1] < form[i].second_lo || p[1] > form[i].second_hi)) return 0;
        for (size_t j = 2; j < form[i].length; j++)
            if ((p[j] & 0xc0) != 0x80) return 0;
        return form[i].length;
    }
    return 0;
}

static void json_string(const char *text, size_t len) {
    json_put("\"", 1);
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = utf8_length((const unsigned char *)text + i, len - i);
        char escape[8];
        if (n == 0) {
            json_put("\xef\xbf\xbd", 3); /* U+FFFD */
            n = 1;
        } else if (c == '"' || c == '\\') {
            json_put("\\", 1);
            json_put(text + i, 1);
        } else if (c < 32 || c == 127) {
            json_put(escape, (size_t)sprintf(escape, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\u%04x", c));
        } else {
            json_put(text + i, n);
        }
        i += n;
    }
    json_put("\"", 1);
}

char *tool_json_text(const char *text) {
    size_t before = json.size;
    if (text) json_string(text, strlen(text));
    else json_put("null", 4);
    char *out = tool_format("%.*s", (int)(json.size - before), json.text + before);
    json.size = before;
    return out;
}

static void json_key(const char *key) {
    if (json.depth) {
        if (!json.first[json.depth - 1]) json_put(", ", 2);
        json.first[json.depth - 1] = false;
    }
    if (key) {
        json_string(key, strlen(key));
        json_put(": ", 2);
    }
}

void json_open(const char *key, char bracket) {
    json_key(key);
    if (json.depth == sizeof json.close) tool_fail(NULL, "JSON: nested too deeply");
    json_put(&bracket, 1);
    json.first[json.depth] = true;
    json.close[json.depth++] = bracket == '{' ? '}' : ']';
}
void json_close(void) {
    json_put(&json.close[--json.depth], 1);
    if (json.depth) return;
    json_put("\n", 1);
    if (tool.json && fwrite(json.text, 1, json.size, stdout) != json.size)
        tool_fail("stdout", "cannot be written: %s", strerror(errno));
    json.size = 0;
}
void json_bytes(const char *key, const char *text, size_t len) {
    json_key(key);
    json_string(text, len);
}
void json_text(const char *key, const char *text) { json_bytes(key, text, strlen(text)); }
void json_int(const char *key, int64_t value) {
    char text[32];
    json_key(key);
    json_put(text, (size_t)sprintf(text, "%lld", (long long)value));
}
void json_real(const char *key, double value) {
    char text[40];
    int n = 0;
    json_key(key);
    if (!isfinite(value)) n = sprintf(text, "null");
    else
        for (int digits = 6; digits <= 17; digits++) { /* the fewest that give the same number back */
            n = sprintf(text, "%.*g", digits, value);
            if (strtod(text, NULL) == value) break;
        }
    json_put(text, (size_t)n);
}
void json_bool(const char *key, bool value) {
    json_key(key);
    json_put(value ? "true" : "false", value ? 4 : 5);
}
void json_null(const char *key) {
    json_key(key);
    json_put("null", 4);
}
void json_ids(const char *key, const int32_t *ids, size_t n) {
    json_open(key, '[');
    for (size_t i = 0; i < n; i++) json_int(NULL, ids[i]);
    json_close();
}

/* What is said while muted is thrown away. */
static struct {
    bool on, quiet, first;
    size_t size;
} muted;
void tool_mute(bool on) {
    size_t outer = json.depth - 1;
    if (on) {
        muted.quiet = tool.quiet;
        muted.size = json.size;
        muted.first = json.first[outer];
        tool.quiet = true;
    } else {
        tool.quiet = muted.quiet;
        json.size = muted.size;
        json.first[outer] = muted.first;
    }
    muted.on = on;
}

void tool_say(const char *format, ...) {
    if (tool.json || muted.on) return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void tool_note(const char *format, ...) {
    if (tool.quiet) return;
    va_list args;
    va_start(args, format);
    if (bar_shown) fputs("\r\033[K", stderr);
    fputs("cquant: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

bool tool_live(void) { return !tool.json && !tool.quiet && isatty(STDOUT_FILENO); }

/* ===================================================================================================================
   [THREADS]  a pool that lives as long as the tool. Each job is a counter from which all take the next index; who comes
   too late finds the job closed and sleeps on, so that nobody waits for a thread that the machine has no core for.
   ================================================================================================================== */
#define SPIN 4000 /* looks before a thread goes to sleep; jobs follow each other closely */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    size_t job; /* number of the job; changes under the lock, is read without by those that spin */
    bool open;  /* there is a job to join */
    size_t running, next, count, helpers;
    cq_task task;
    void *arg;
    int spin;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false, 0, 0, 0, 0, NULL,
          NULL, 0};
static __thread bool in_pool; /* a task that itself asks for threads gets a loop */

static void rest(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}
static void pool_take(void) {
    in_pool = true;
    for (size_t i; (i = __atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED)) < pool.count;) pool.task(pool.arg, i);
    in_pool = false;
}

static void *pool_helper(void *unused) {
    size_t seen = 0;
    (void)unused;
    for (;;) {
        for (int i = 0; i < pool.spin && __atomic_load_n(&pool.job, __ATOMIC_ACQUIRE) == seen; i++) rest();
        pthread_mutex_lock(&pool.lock);
        while (pool.job == seen) pthread_cond_wait(&pool.work, &pool.lock);
        seen = pool.job;
        bool join = pool.open;
        if (join) pool.running++;
        pthread_mutex_unlock(&pool.lock);
        if (!join) continue;
        pool_take();
        pthread_mutex_lock(&pool.lock);
        if (__atomic_sub_fetch(&pool.running, 1, __ATOMIC_RELEASE) == 0) pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

static void pool_run(void *user, size_t count, cq_task task, void *arg) {
    (void)user;
    if (count < 2 || in_pool || !pool.helpers) {
        for (size_t i = 0; i < count; i++) task(arg, i);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    pool.task = task;
    pool.arg = arg;
    pool.count = count;
    pool.next = 0;
    pool.open = true;
    __atomic_store_n(&pool.job, pool.job + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    pool_take();
    pthread_mutex_lock(&pool.lock);
    pool.open = false;
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < pool.spin && __atomic_load_n(&pool.running, __ATOMIC_ACQUIRE); i++) rest();
    pthread_mutex_lock(&pool.lock);
    while (pool.running) pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static size_t cores(void) {
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (size_t)n;
}

void tool_context(cq_context *ctx) {
    size_t have = cores(), want = tool.threads ? tool.threads : have;
    pool.spin = want <= have ? SPIN : 0;
    while (pool.helpers + 1 < want) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, pool_helper, NULL)) break; /* fewer threads, the same result */
        pthread_detach(thread);
        pool.helpers++;
    }
    cq_context_desc desc;
    cq_error err;
    memset(&desc, 0, sizeof desc);
    desc.isa = tool.isa;
    desc.parallel.run = pool_run;
    if (cq_init(ctx, &desc, &err) != CQ_OK) {
        char list[256] = "";
        for (size_t i = 0; cq_isa_available(i) && strlen(list) < 200; i++)
            sprintf(list + strlen(list), " %s", cq_isa_available(i));
        tool_fail(NULL, "--isa %s: this processor or this build lacks it; it has%s", tool.isa, list);
    }
}

/* ===================================================================================================================
   [PROGRESS]
   ================================================================================================================== */
void tool_progress(const char *label, size_t done, size_t total) {
    static const char *current;
    static double start, shown, first; /* first: the share that was done when it began */
    if (tool.quiet) return;
    bool terminal = isatty(STDERR_FILENO);
    double now = tool_seconds();
    if (!current || strcmp(current, label)) {
        current = label;
        start = now;
        first = total ? (double)done / (double)total : 0.0;
        shown = terminal ? 0.0 : now;
    }
    if (now - shown >= (terminal ? 0.1 : 10.0) || (terminal && done == total)) {
        char eta[32] = "";
        double part = total ? (double)done / (double)total : 1.0,
               left = part > first ? (now - start) * (1.0 - part) / (part - first) : 0.0;
        if (part > first && left < 1e6)
            snprintf(eta, sizeof eta, ", %ld:%02ld left", (long)(left / 60.0), (long)left % 60);
        if (terminal) {
            char bar[31];
            for (size_t i = 0; i < 30; i++) bar[i] = (double)i < 30.0 * part ? '#' : '.';
            bar[30] = 0;
            fprintf(stderr, "\r%s [%s] %3.0f%%%s\033[K", label, bar, 100.0 * part, eta);
            bar_shown = true;
        } else {
            fprintf(stderr, "%s: %zu of %zu (%.0f%%%s)\n", label, done, total, 100.0 * part, eta);
        }
        fflush(stderr);
        shown = now;
    }
    if (done == total) {
        if (bar_shown) fputs("\r\033[K", stderr);
        bar_shown = false;
        current = NULL;
    }
}
