/* Torn words, looked for across processes: a source that a thread keeps changing is put into a window that another
 * process keeps reading. And senders killed in the middle of it.
 *
 * Every 4-byte word carries a version twice (v and its complement, mixed with the word's place), so that a word made of
 * two versions, or put in the wrong place, is no version at all.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "transport.h"

enum {
    WORDS = (1 << 20) / 4,
    RUN = 31,
    HEADER = 0, /* 64 bytes, all words the version, the last one last */
    CELL = 64,  /* 8 bytes, the version twice */
    BODY = 4096,
    WINDOW = BODY + 4 * WORDS,
    LAST_VERSION = 65535,
    ROW_WORDS = 128, /* the body is a table too */
    ROWS = WORDS / ROW_WORDS,
    LAPS = 5, /* through the table in one put: enough for the way past the cache */
};

#define STRESS_NS (TA_NS_PER_S * 3 / 2)

static uint32_t encode(uint32_t version, uint32_t place) {
    return (version << 16 | (~version & 0xffff)) ^ place * 2654435761u;
}

/* The version a word carries; -1: none. */
static int64_t decode(uint32_t word, uint32_t place) {
    word ^= place * 2654435761u;
    return (word >> 16) == (~word & 0xffff) ? (int64_t)(word >> 16) : -1;
}

/* ---- the writer ---- */

struct live {
    _Atomic uint32_t *words; /* [WORDS] */
    _Atomic uint32_t whole;  /* all words carry at least this version */
    _Atomic int stop;
    uint32_t rows[ROWS * LAPS]; /* each LAPS times, all of them once among the first ROWS */
    unsigned puts;
};

static void *keep_changing(void *argument) {
    struct live *live = argument;
    for (uint32_t v = 1; v <= LAST_VERSION && !atomic_load(&live->stop); v++) {
        for (uint32_t i = 0; i < WORDS; i++) atomic_store_explicit(&live->words[i], encode(v, i), memory_order_relaxed);
        atomic_store_explicit(&live->whole, v, memory_order_release);
    }
    return NULL;
}

/* Puts the body in one piece, as all rows of the table in some order, or as rows that come several times. */
static ta_status put_live(const struct ta_transport_ops *ops, struct ta_transport *t, struct live *live) {
    uint64_t version = atomic_load_explicit(&live->whole, memory_order_acquire), header[8];
    uint64_t cell = version << 32 | version;
    for (int i = 0; i < 8; i++) header[i] = version;
    struct ta_put_segment whole = {(const void *)live->words, 4 * (size_t)WORDS, BODY};
    struct ta_put_segment rows = {(const void *)live->words, 4 * (size_t)ROW_WORDS, BODY, live->rows,
                                  live->puts % 3 == 1 ? ROWS : ROWS * LAPS};
    struct ta_put_segment put[] = {live->puts++ % 3 == 0 ? whole : rows,
                                   {&cell, sizeof cell, CELL},
                                   {header, sizeof header, HEADER}};
    return ops->put(t, 1, put, 3);
}

/* ---- the reader ---- */

struct findings {
    uint64_t looks, mixed; /* looks at the whole body; of these, with more than one version in it */
    uint64_t torn, behind; /* words that are no version; words older than the header said */
    uint64_t headers_out_of_order, torn_cells;
    int64_t newest;
};

static void look_at_header(const unsigned char *base, int64_t version, struct findings *f) {
    for (int i = 0; i < 7; i++) f->headers_out_of_order += (int64_t)ta_window_load_u64(base + HEADER + 8 * i) < version;
    uint64_t cell = ta_window_load_u64(base + CELL);
    f->torn_cells += cell >> 32 != (cell & UINT32_MAX) || (int64_t)(cell >> 32) < version;
}

static void look(const struct ta_window *window, struct findings *f) {
    const unsigned char *base = window->base;
    int64_t version = (int64_t)ta_window_load_u64(base + HEADER + 56), first = -1;
    bool mixed = false;
    look_at_header(base, version, f);
    if (version == 0) return;
    /* From the end: a put that came late would still be ahead of who reads from the front. */
    for (uint32_t i = WORDS; i-- > 0;) {
        const void *at = base + BODY + 4 * (size_t)i;
        int64_t v = decode(atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_relaxed), i);
        f->torn += v < 0;
        f->behind += v >= 0 && v < version;
        if (first < 0) first = v;
        mixed |= v != first;
        if (v > f->newest) f->newest = v;
    }
    f->looks++;
    f->mixed += mixed;
}

static void complain(const struct findings *f) {
    printf("%llu looks, %llu of them at a body of several versions (newest %lld)\n", (unsigned long long)f->looks,
           (unsigned long long)f->mixed, (long long)f->newest);
    assert_int_equal(f->torn, 0);
    assert_int_equal(f->behind, 0);
    assert_int_equal(f->headers_out_of_order, 0);
    assert_int_equal(f->torn_cells, 0);
}

/* ---- the processes ---- */

struct desk { /* shared by all processes of a test */
    struct ta_key key;
    _Atomic int ready; /* the window is open and its key lies here */
};

/* Puts cells and headers and nothing else, as fast as it goes. */
static int write_headers(struct desk *desk, int64_t until_ns) {
    const struct ta_transport_ops *ops = &ta_transport_shm;
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = RUN};
    struct ta_transport *t;
    uint64_t cell, header[8];
    struct ta_put_segment put[] = {{&cell, sizeof cell, CELL}, {header, sizeof header, HEADER}};
    while (!atomic_load(&desk->ready)) usleep(100);
    if (ops->open(&config, &t) != TA_OK || ops->connect(t, 1, &desk->key) != TA_OK) return 1;
    int failed = 0;
    for (uint64_t version = 1; failed == 0 && (version % 64 != 0 || ta_clock_now_ns() < until_ns); version++) {
        cell = version << 32 | version;
        for (int i = 0; i < 8; i++) header[i] = version;
        failed = ops->put(t, 1, put, 2) != TA_OK;
    }
    ops->close(t);
    return failed;
}

/* Puts what a thread is changing until `until_ns` (or until killed). */
static int write_life(struct desk *desk, int64_t until_ns) {
    const struct ta_transport_ops *ops = &ta_transport_shm;
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = RUN};
    struct ta_transport *t;
    struct live live = {.whole = 0};
    pthread_t changer;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!atomic_load(&desk->ready)) usleep(100);
    if (ops->open(&config, &t) != TA_OK || ops->connect(t, 1, &desk->key) != TA_OK) return 1;
    if (TA_NEW(&live.words, WORDS, "live words") != TA_OK) return 2;
    for (uint32_t i = 0; i < WORDS; i++) atomic_store(&live.words[i], encode(0, i));
    for (uint32_t i = 0; i < ROWS * LAPS; i++) live.rows[i] = i * 1237 % ROWS; /* odd: no row twice in a lap */
    if (pthread_create(&changer, NULL, keep_changing, &live) != 0) return 3;
    int failed = 0;
    while (failed == 0 && ta_clock_now_ns() < until_ns) failed = put_live(ops, t, &live) != TA_OK;
    atomic_store(&live.stop, 1);
    pthread_join(changer, NULL);
    ops->close(t);
    ta_mem_free((void *)live.words);
    return failed;
}

struct reader {
    struct desk *desk;
    struct ta_transport *t;
    struct ta_window window;
};

static void reader_open(struct reader *r) {
    r->desk = mmap(NULL, sizeof *r->desk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(r->desk != MAP_FAILED);
}

static void reader_start(struct reader *r) {
    struct ta_transport_config config = {.rank = 1, .n_ranks = 2, .run_id = RUN};
    assert_int_equal(ta_transport_shm.open(&config, &r->t), TA_OK);
    assert_int_equal(ta_transport_shm.window_create(r->t, WINDOW, &r->window), TA_OK);
    assert_int_equal(ta_transport_shm.key_make(r->t, 0, &r->desk->key), TA_OK);
    atomic_store(&r->desk->ready, 1);
}

static void reader_close(struct reader *r) {
    ta_transport_shm.close(r->t);
    munmap(r->desk, sizeof *r->desk);
}

static void no_word_is_torn(void **state) {
    (void)state;
    struct reader r;
    struct findings f = {.newest = -1};
    reader_open(&r);
    int64_t until_ns = ta_clock_now_ns() + STRESS_NS;
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) _exit(write_life(r.desk, until_ns));
    reader_start(&r);
    while (ta_clock_now_ns() < until_ns) look(&r.window, &f);
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    complain(&f);
    assert_true(f.looks > 10 && f.newest > 1);
    assert_true(f.mixed > 0); /* else nothing was happening at once and the test has shown nothing */
    reader_close(&r);
}

static void a_version_is_last_of_its_header(void **state) {
    (void)state;
    struct reader r;
    struct findings f = {.newest = 0};
    reader_open(&r);
    int64_t until_ns = ta_clock_now_ns() + STRESS_NS / 3;
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) _exit(write_headers(r.desk, until_ns));
    reader_start(&r);
    for (uint64_t n = 0; n % 64 != 0 || ta_clock_now_ns() < until_ns; n++) {
        int64_t version = (int64_t)ta_window_load_u64((unsigned char *)r.window.base + HEADER + 56);
        f.looks += version != f.newest;
        f.newest = version;
        look_at_header(r.window.base, version, &f);
    }
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    complain(&f);
    assert_true(f.newest > 0);
    reader_close(&r);
}

static void senders_may_be_killed_while_putting(void **state) {
    (void)state;
    struct findings f = {.newest = -1};
    for (int round = 0; round < 8; round++) {
        struct reader r;
        reader_open(&r);
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0) _exit(write_life(r.desk, INT64_MAX));
        reader_start(&r);
        int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
        while (ta_window_load_u64((char *)r.window.base + HEADER + 56) == 0 && ta_clock_now_ns() < limit_ns)
            usleep(100);
        usleep((unsigned)(1000 + 777 * round));
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        look(&r.window, &f); /* half a put may lie there; no half word does */
        look(&r.window, &f);
        reader_close(&r);
    }
    complain(&f);
    assert_int_equal(f.looks, 16);
}

/* The owner of a window dies while it is being put into. */
static int own_until_killed(struct desk *desk) {
    struct reader r = {.desk = desk};
    struct ta_transport_config config = {.rank = 1, .n_ranks = 2, .run_id = RUN};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ta_transport_shm.open(&config, &r.t) != TA_OK) return 1;
    if (ta_transport_shm.window_create(r.t, WINDOW, &r.window) != TA_OK) return 1;
    if (ta_transport_shm.key_make(r.t, 0, &desk->key) != TA_OK) return 1;
    atomic_store(&desk->ready, 1);
    for (;;) pause();
}

static void a_killed_owner_is_down_within_a_second(void **state) {
    (void)state;
    const struct ta_transport_ops *ops = &ta_transport_shm;
    for (int round = 0; round < 8; round++) {
        struct reader r;
        struct ta_transport *t;
        struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = RUN};
        static char body[1 << 20];
        struct ta_put_segment put = {body, sizeof body, BODY};
        reader_open(&r);
        pid_t owner = fork();
        assert_true(owner >= 0);
        if (owner == 0) _exit(own_until_killed(r.desk));
        while (!atomic_load(&r.desk->ready)) usleep(100);
        assert_int_equal(ops->open(&config, &t), TA_OK);
        assert_int_equal(ops->connect(t, 1, &r.desk->key), TA_OK);
        for (int i = 0; i < 20 * (round + 1); i++) assert_int_equal(ops->put(t, 1, &put, 1), TA_OK);
        assert_int_equal(kill(owner, SIGKILL), 0);
        int64_t killed_ns = ta_clock_now_ns();
        ta_status status = TA_OK;
        while (status == TA_OK && ta_clock_now_ns() - killed_ns < 10 * TA_NS_PER_S) {
            ops->progress(t, ta_clock_now_ns()); /* nobody has reaped it: a zombie is dead too */
            status = ops->put(t, 1, &put, 1);
        }
        assert_int_equal(status, TA_PEER);
        assert_true(ta_clock_now_ns() - killed_ns < TA_NS_PER_S);
        assert_int_equal(ops->peer_state(t, 1), TA_PEER_DOWN);
        assert_int_equal(waitpid(owner, NULL, 0), owner);
        ops->close(t);
        munmap(r.desk, sizeof *r.desk);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_word_is_torn),
        cmocka_unit_test(a_version_is_last_of_its_header),
        cmocka_unit_test(senders_may_be_killed_while_putting),
        cmocka_unit_test(a_killed_owner_is_down_within_a_second),
    };
    return cmocka_run_group_tests_name("shm under stress", tests, NULL, NULL);
}
