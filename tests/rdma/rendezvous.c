/* Rendezvous: processes meet; wrong modes, other runs and other models are told apart. */
#include "rendezvous_place.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "clock.h"

static void replicas_meet(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c2 = config_of(p, 2);
    struct ta_rendezvous *r0 = open_ok(&c0), *r2 = open_ok(&c2);
    struct ta_key sent = key_of(5), got, other = key_of(6);
    uint32_t generation = 0;
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_AGAIN);
    assert_int_equal(publish(r0, 2, 1, &sent), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_OK);
    assert_int_equal(got.bytes, sent.bytes);
    assert_memory_equal(got.data, sent.data, sizeof got.data);
    assert_int_equal(publish(r0, 2, 7, &other), TA_OK); /* again: a new path */
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &generation, &got), TA_OK);
    assert_int_equal(generation, 7);
    assert_int_equal(got.bytes, other.bytes);
    assert_int_equal(publish(r0, 1, 1, &other), TA_OK);
    assert_int_equal(entries(p->meet), 1); /* for all peers, and no temporary file stays */
    assert_int_equal(ta_rendezvous_lookup(r2, 2, &(uint32_t){0}, &got), TA_INVALID);
    assert_int_equal(ta_rendezvous_lookup(r2, 3, &(uint32_t){0}, &got), TA_INVALID);
    assert_int_equal(publish(r0, 0, 1, &sent), TA_INVALID);
    sent.bytes = TA_KEY_BYTES + 1;
    assert_int_equal(publish(r0, 2, 1, &sent), TA_INVALID);
    struct stat dir;
    assert_int_equal(stat(p->meet, &dir), 0);
    assert_int_equal(dir.st_mode & 07777, 0700);
    ta_rendezvous_close(r0);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_AGAIN);
    assert_int_equal(entries(p->meet), 0);
    ta_rendezvous_close(r2);
    ta_rendezvous_close(NULL);
}

static void directories_are_checked(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c = config_of(p, 0);
    struct ta_rendezvous *r;
    assert_int_equal(mkdir(p->meet, 0700), 0);
    static const mode_t open_modes[] = {0755, 0750, 0701, 0770, 0702, 01777};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(p->meet, open_modes[i]), 0);
        assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
        assert_null(r);
        assert_non_null(strstr(ta_why(), "chmod 700"));
    }
    if (geteuid() == 0) { /* only root can give a directory away */
        assert_int_equal(chmod(p->meet, 0700) + chown(p->meet, 12345, 12345), 0);
        assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
        assert_non_null(strstr(ta_why(), "12345"));
    }
    assert_int_equal(rmdir(p->meet), 0);
    assert_int_equal(symlink(p->root, p->meet), 0); /* even to a directory of ours: who made it? */
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(unlink(p->meet), 0);
    assert_int_equal(close(open(p->meet, O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(unlink(p->meet), 0);
    c.directory = "/nonexistent/run/rendezvous";
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_IO);
    assert_non_null(strstr(ta_why(), "/nonexistent/run/rendezvous"));
    c.rank = 3;
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(mkdir(p->meet, 0700), 0);
}

static void strangers_are_told_apart(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_key key = key_of(1), got;
    struct ta_rendezvous *r1 = open_ok(&c1);

    c0.run_id = 0x78;
    struct ta_rendezvous *stale = open_ok(&c0);
    assert_int_equal(publish(stale, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_AGAIN); /* of another run: as if not there */

    c0 = config_of(p, 0);
    c0.fingerprint = 0xbeef;
    c0.model = "784 > dense 64";
    struct ta_rendezvous *other = open_ok(&c0);
    assert_int_equal(publish(other, 1, 1, &key), TA_OK); /* over the stale one */
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "000000000000beef"));
    assert_non_null(strstr(ta_why(), "000000000000feed"));
    assert_non_null(strstr(ta_why(), "784 > dense 64"));
    ta_rendezvous_close(stale); /* must not take away what is no longer its own */
    assert_int_equal(entries(p->meet), 1);
    ta_rendezvous_close(other);
    assert_int_equal(entries(p->meet), 0);

    c0 = config_of(p, 0);
    c0.n_ranks = 2;
    struct ta_rendezvous *fewer = open_ok(&c0);
    assert_int_equal(publish(fewer, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_CONFIG);
    struct ta_rendezvous_config c2 = config_of(p, 2);
    struct ta_rendezvous *r2 = open_ok(&c2);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_CONFIG); /* no room for it in there */
    assert_non_null(strstr(ta_why(), "one of 2 replicas"));
    ta_rendezvous_close(r2);
    ta_rendezvous_close(fewer);
    ta_rendezvous_close(r1);
}

static void who_listens_is_told_of_changes(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_rendezvous *r0 = open_ok(&c0), *r1 = open_ok(&c1);
    struct ta_key key = key_of(1), got;
    assert_int_equal(ta_rendezvous_publish(r0, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_AGAIN); /* not flushed */
    for (uint32_t generation = 2; generation < 5; generation++) {
        int64_t limit_ns = ta_clock_now_ns() + 5 * TA_NS_PER_S;
        while (ta_rendezvous_stirs(r1) && ta_clock_now_ns() < limit_ns) usleep(1000);
        assert_false(ta_rendezvous_stirs(r1));
        assert_int_equal(publish(r0, 1, generation, &key), TA_OK);
        assert_true(ta_rendezvous_stirs(r1));
        assert_true(ta_rendezvous_stirs(r1)); /* another change may have come with the same time */
    }
    ta_rendezvous_close(r0);
    assert_true(ta_rendezvous_stirs(r1));
    ta_rendezvous_close(r1);
}

static void every_allocation_may_fail(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c = config_of(p, 0);
    struct ta_rendezvous *r;
    size_t held = ta_mem_held_bytes();
    unsigned n = 0;
    ta_status status;
    do {
        ta_mem_fail_nth(++n);
        status = ta_rendezvous_open(&c, &r);
        ta_mem_fail_nth(0);
        if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
        ta_rendezvous_close(r);
        assert_int_equal(ta_mem_held_bytes(), held);
    } while (status != TA_OK);
    assert_int_equal(n, 5);
}

/* One process of a crowd: publishes to all, looks until it has all, checks them, and puts through them. */
static int attend(const struct place *p, unsigned rank, unsigned n_ranks) {
    const struct ta_transport_ops *ops = &ta_transport_shm;
    struct ta_rendezvous_config config = {.directory = p->meet, .rank = rank, .n_ranks = n_ranks, .run_id = n_ranks};
    struct ta_transport_config transport = {.rank = rank, .n_ranks = n_ranks, .run_id = n_ranks};
    struct ta_rendezvous *r;
    struct ta_transport *t;
    struct ta_window window;
    struct ta_key key;
    if (ta_rendezvous_open(&config, &r) != TA_OK || ops->open(&transport, &t) != TA_OK) return 2;
    if (ops->window_create(t, 8 * n_ranks, &window) != TA_OK) return 3;
    for (unsigned i = 0; i < n_ranks; i++)
        if (i != rank && (ops->key_make(t, i, &key) != TA_OK || ta_rendezvous_publish(r, i, 1, &key) != TA_OK))
            return 4;
    if (ta_rendezvous_flush(r) != TA_OK) return 4;
    int64_t limit_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;
    uint64_t mine = 1000 + rank;
    struct ta_put_segment segment = {&mine, sizeof mine, 8 * rank};
    for (unsigned i = 0; i < n_ranks; i++) {
        ta_status status = TA_AGAIN;
        while (i != rank && (status = ta_rendezvous_lookup(r, i, &(uint32_t){0}, &key)) == TA_AGAIN) {
            if (ta_clock_now_ns() > limit_ns) return 5;
            usleep(500);
        }
        if (i != rank && (status != TA_OK || ops->connect(t, i, &key) != TA_OK || ops->put(t, i, &segment, 1) != TA_OK))
            return 6;
    }
    for (unsigned i = 0; i < n_ranks; i++)
        while (i != rank && ta_window_load_u64((char *)window.base + 8 * i) != 1000 + i) {
            if (ta_clock_now_ns() > limit_ns) return 7;
            usleep(100);
        }
    /* All have put into us, so all have our key: the records may go. */
    ta_rendezvous_close(r);
    ops->close(t);
    return 0;
}

static void crowds_meet(void **state) {
    const struct place *p = *state;
    static const unsigned sizes[] = {2, 3, 8, 32};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (unsigned rank = 0; rank < sizes[s]; rank++) {
            pid_t pid = fork();
            assert_true(pid >= 0);
            if (pid == 0) _exit(attend(p, rank, sizes[s]));
        }
        for (unsigned rank = 0; rank < sizes[s]; rank++) {
            int status = -1;
            assert_true(wait(&status) > 0);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        assert_int_equal(entries(p->meet), 0);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(replicas_meet),
        TEST(directories_are_checked),
        TEST(strangers_are_told_apart),
        TEST(every_allocation_may_fail),
        TEST(crowds_meet),
        TEST(who_listens_is_told_of_changes),
    };
    return cmocka_run_group_tests_name("rendezvous", tests, NULL, NULL);
}
