/* What tests of models share: memory that the sanitizer sees the ends of, checks of errors, threads. Include it after the
   implementation of cquant_models.h. */
#ifndef CQUANT_TESTS_SHARED_H
#define CQUANT_TESTS_SHARED_H

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif
#ifdef CQUANT_TEST_QUICK
#define QUICK 1
#else
#define QUICK 0
#endif
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- memory that lives until the end of a test, or less; blocks are exact --------------------------------------- */
static void **pool;
static size_t pool_count;
static void *get(size_t n) {
    void *p = calloc(n ? n : 1, 1);
    if (!(pool_count & (pool_count - 1))) /* 0, or a power of two: full */
        pool = (void **)realloc(pool, (pool_count ? 2 * pool_count : 1) * sizeof *pool);
    assert_non_null(p);
    assert_non_null(pool);
    return pool[pool_count++] = p;
}
static void free_down_to(size_t count) {
    while (pool_count > count) free(pool[--pool_count]);
    if (count && pool_count) { /* `get` grows the list at powers of two */
        size_t room = 1;
        while (room < pool_count) room *= 2;
        pool = (void **)realloc(pool, room * sizeof *pool);
    }
}
static int free_all(void **state) {
    (void)state;
    free_down_to(0);
    free(pool);
    pool = NULL;
    return 0;
}
CQ__UNUSED static void *copy_of(const void *p, size_t n) {
    void *c = get(n);
    if (n) memcpy(c, p, n);
    return c;
}
static cq_arena arena_of(size_t n) { return cq_arena_over(get(n), n); }

#define check(call)                                                                                                    \
    do {                                                                                                               \
        cq_error err_;                                                                                                 \
        cq_error *err = &err_;                                                                                         \
        memset(&err_, 0, sizeof err_);                                                                                 \
        if ((call) != CQ_OK)                                                                                           \
            fail_msg("%s: %s (%.*s)", #call, err_.what ? err_.what : "?", (int)err_.name_len, err_.name);              \
    } while (0)

/* An error must say something, and its name must be readable. */
static void check_error(cq_status status, const cq_error *err) {
    volatile unsigned char touched = 0;
    assert_int_equal(status, err->status);
    assert_non_null(err->what);
    for (size_t i = 0; i < err->name_len; i++) touched = (unsigned char)(touched ^ (unsigned char)err->name[i]);
}

static cq_context plain(void) {
    cq_context ctx;
    check(cq_init(&ctx, NULL, err));
    return ctx;
}

/* ---- threads: run_threads is a parallel_for on as many as *user says, up to 8 ------------------------------------ */
typedef struct crew {
    size_t count, next;
    cq_task task;
    void *arg;
    pthread_mutex_t lock;
} crew;
static void *crew_work(void *p) {
    crew *c = (crew *)p;
    for (;;) {
        pthread_mutex_lock(&c->lock);
        size_t i = c->next++;
        pthread_mutex_unlock(&c->lock);
        if (i >= c->count) return NULL;
        c->task(c->arg, i);
    }
}
static void run_threads(void *user, size_t count, cq_task task, void *arg) {
    size_t n = *(const size_t *)user;
    pthread_t id[8];
    crew c;
    c.count = count;
    c.next = 0;
    c.task = task;
    c.arg = arg;
    pthread_mutex_init(&c.lock, NULL);
    for (size_t i = 0; i + 1 < n; i++)
        if (pthread_create(&id[i], NULL, crew_work, &c)) abort();
    crew_work(&c);
    for (size_t i = 0; i + 1 < n; i++) pthread_join(id[i], NULL);
    pthread_mutex_destroy(&c.lock);
}

#endif
