/* A run begins: every replica publishes a key for every other one and looks theirs up. CLIENTS of them, polled in a few
 * threads of this process; prints how long it took.
 *
 * store_crowd CLIENTS [SECONDS]: it may take so long. On a machine that has other things to do that cannot be asked
 * for: then all clients and the server together may compute for one and a half times as long. */
#include "store_place.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "rendezvous.h"

enum { THREADS = 3, KEY_BYTES = 300, ENOUGH_FILES = 3 };

struct member {
    struct ta_store *store;
    struct ta_rendezvous *meet;
    unsigned published, found; /* of the others, in turn behind its own rank */
};

struct crowd {
    const struct place *place;
    struct member *members;
    unsigned n;
    double within_s;
    atomic_uint next, ready, failed; /* next: thread */
};

static struct ta_key key_of(unsigned from, unsigned to) {
    struct ta_key key = {.bytes = KEY_BYTES};
    for (unsigned i = 0; i + 8 <= KEY_BYTES; i += 8) memcpy(key.data + i, (uint32_t[2]){from * 31 + i, to}, 8);
    return key;
}

static ta_status enter(struct crowd *c, unsigned rank) {
    struct member *m = &c->members[rank];
    char who[TA_STORE_NAME_BYTES];
    snprintf(who, sizeof who, "rank %u", rank);
    struct ta_store_config store = {.directory = c->place->meet, .who = who, .run_id = 0x77, .patience_s = 30};
    ta_status status = ta_store_open(&store, &m->store);
    struct ta_rendezvous_config meet = {.store = m->store, .rank = rank, .n_ranks = c->n, .run_id = 0x77,
                                        .fingerprint = 0xfeed, .model = "784 > dense 128 > dense 10"};
    if (status == TA_OK) status = ta_rendezvous_open(&meet, &m->meet);
    for (unsigned i = 1; i < c->n && status == TA_OK; i++) {
        unsigned peer = (rank + i) % c->n;
        struct ta_key key = key_of(rank, peer);
        status = ta_rendezvous_publish(m->meet, peer, 1, &key);
    }
    return status == TA_OK ? ta_store_poll(m->store) : status;
}

/* Looks on from the last one found. */
static ta_status look(struct crowd *c, unsigned rank) {
    struct member *m = &c->members[rank];
    ta_status status = ta_store_poll(m->store);
    while (status == TA_OK && m->found < c->n - 1) {
        unsigned peer = (rank + 1 + m->found) % c->n;
        uint32_t generation;
        struct ta_key got, sent = key_of(peer, rank);
        status = ta_rendezvous_lookup(m->meet, peer, &generation, &got);
        if (status != TA_OK) break;
        if (generation != 1 || memcmp(&got, &sent, sizeof got) != 0)
            return ta_fail(TA_FAILED, "rank %u got a wrong key of %u", rank, peer);
        if (++m->found == c->n - 1) atomic_fetch_add(&c->ready, 1);
    }
    return status == TA_AGAIN ? TA_OK : status;
}

/* A thread plays every THREADS-th rank. Those that have all keep on polling: somebody may wait for what they put. */
static void *play(void *arg) {
    struct crowd *c = arg;
    unsigned thread = atomic_fetch_add(&c->next, 1);
    int64_t limit_ns = ta_clock_now_ns() + 100 * TA_NS_PER_S;
    ta_status status = TA_OK;
    for (unsigned rank = thread; rank < c->n && status == TA_OK; rank += THREADS) status = enter(c, rank);
    while (status == TA_OK && atomic_load(&c->ready) < c->n && atomic_load(&c->failed) == 0) {
        for (unsigned rank = thread; rank < c->n && status == TA_OK; rank += THREADS) status = look(c, rank);
        if (ta_clock_now_ns() > limit_ns)
            status = ta_fail(TA_FAILED, "%u of %u are ready", atomic_load(&c->ready), c->n);
        usleep(500);
    }
    if (status != TA_OK) {
        fprintf(stderr, "thread %u: %s\n", thread, ta_why());
        atomic_fetch_add(&c->failed, 1);
    }
    return NULL;
}

static double computed_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Two descriptors a client, and it may well be that we may not. */
static bool enough_files(unsigned n) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < (rlim_t)ENOUGH_FILES * n + 100) return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void crowds_meet(void **state) {
    struct crowd *c = *state;
    struct place *p = NULL;
    pthread_t threads[THREADS];
    assert_int_equal(place_make((void **)&p), 0);
    c->place = p;
    struct ta_store_server *server = serve_ok(p);
    assert_ok(TA_NEW(&c->members, c->n, "members"));
    int64_t begin_ns = ta_clock_now_ns();
    double before_s = computed_s();
    for (unsigned i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, play, c), 0);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double took_s = (double)(ta_clock_now_ns() - begin_ns) / TA_NS_PER_S, busy_s = computed_s() - before_s;
    assert_int_equal(atomic_load(&c->failed), 0);
    assert_int_equal(atomic_load(&c->ready), c->n);
    struct ta_store_server_stats stats = stats_of(server);
    printf("%u clients met through one store in %.2f s (%.2f s of computing by all): %llu values, %.1f MB; "
           "held by all: %.1f MB\n", c->n, took_s, busy_s, (unsigned long long)stats.names, (double)stats.bytes / 1e6,
           (double)ta_mem_held_bytes() / 1e6);
    assert_int_equal(stats.names, (uint64_t)c->n * (c->n - 1));
    assert_int_equal(stats.clients, c->n);
    assert_int_equal(stats.refused + stats.garbage, 0);
    ta_store_server_close(server);
    for (unsigned i = 0; i < c->n; i++) {
        ta_rendezvous_close(c->members[i].meet);
        ta_store_close(c->members[i].store);
    }
    ta_mem_free(c->members);
    assert_int_equal(place_remove((void **)&p), 0);
    if (c->within_s > 0) assert_true(took_s < c->within_s || busy_s < 2 * c->within_s);
}

int main(int argc, char **argv) {
    struct crowd crowd = {.n = argc > 1 ? (unsigned)atoi(argv[1]) : 100, .within_s = argc > 2 ? atof(argv[2]) : 0};
    if (!enough_files(crowd.n)) {
        printf("SKIPPED: %u clients need %u open files, more than this machine allows (ulimit -Hn)\n", crowd.n,
               ENOUGH_FILES * crowd.n + 100);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(crowds_meet, &crowd)};
    return cmocka_run_group_tests_name("store_crowd", tests, NULL, NULL);
}
