/* The store as its users see it: values, versions, watches before and after, clients that come, go and come again. */
#include "store_place.h"

#include <sys/wait.h>

#include "rng.h"

static void values_reach_who_watches(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "rank 0"), *b = client_ok(p, "rank 1");
    struct ta_store_value got;
    assert_ok(ta_store_watch(b, "key/1/"));
    assert_ok(ta_store_put(a, "key/1/0", "first", 5));
    assert_ok(ta_store_put(a, "key/2/0", "other", 5));
    assert_int_equal(ta_store_get(b, "key/1/0", &got), TA_AGAIN);
    assert_null(got.data);
    until(has(b, "key/1/0", "first", 5), assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    assert_int_equal(version_of(b, "key/1/0"), 1);
    assert_int_equal(ta_store_get(b, "key/2/0", &got), TA_AGAIN); /* not watched */
    assert_int_equal(ta_store_get(a, "key/1/0", &got), TA_AGAIN); /* not even by who put it */

    assert_ok(ta_store_watch(b, "key/2")); /* what is there already comes too, by a prefix within a name */
    until(has(b, "key/2/0", "other", 5), assert_ok(ta_store_poll(b)));
    assert_ok(ta_store_put(b, "key/1/0", "second, and longer", 18)); /* anybody may put; the writer sees it as well */
    until(has(b, "key/1/0", "second, and longer", 18), assert_ok(ta_store_poll(b)));
    assert_int_equal(version_of(b, "key/1/0"), 2);
    assert_ok(ta_store_put(a, "key/1/0", "", 0)); /* of no bytes */
    until(version_of(b, "key/1/0") == 3, assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    assert_true(has(b, "key/1/0", "", 0));
    until(stats_of(server).names == 2, usleep(100));
    assert_int_equal(stats_of(server).bytes, 7 + 7 + 5);
    assert_int_equal(stats_of(server).clients, 2);
    ta_store_close(a);
    ta_store_close(b);
    until(stats_of(server).clients == 0, usleep(100));
    assert_int_equal(stats_of(server).refused + stats_of(server).garbage, 0);
    ta_store_server_close(server);
    assert_int_equal(place_entries(p->meet), 0);
    ta_store_server_close(NULL);
    ta_store_close(NULL);
}

/* Many puts of one name before they can go: the newest travels, the version counts them all. */
static void the_newest_counts(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "a"), *b = client_ok(p, "b");
    assert_ok(ta_store_watch(b, ""));
    for (uint64_t i = 1; i <= 100; i++) assert_ok(ta_store_put(a, "row", &i, sizeof i));
    uint64_t last = 100;
    until(has(b, "row", &last, 8), assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    assert_int_equal(version_of(b, "row"), 100);
    uint64_t seen = 0;
    for (uint64_t i = 101; i <= 5000; i++) { /* versions never fall, whatever is skipped */
        assert_ok(ta_store_put(a, "row", &i, sizeof i));
        assert_ok(ta_store_poll(a));
        assert_ok(ta_store_poll(b));
        assert_true(version_of(b, "row") >= seen);
        seen = version_of(b, "row");
    }
    until(version_of(b, "row") == 5000, assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    last = 5000;
    assert_true(has(b, "row", &last, 8));
    ta_store_close(a);
    ta_store_close(b);
    ta_store_server_close(server);
}

/* A reader that does not read for a while is sent what stands in the end, and costs the server no memory meanwhile. */
static void slow_readers_are_sent_the_newest(void **state) {
    struct place *p = *state;
    enum { NAMES = 40, ROUNDS = 150 };
    static unsigned char value[TA_STORE_VALUE_BYTES];
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "writer"), *slow = client_ok(p, "slow"), *quick = client_ok(p, "quick");
    char name[TA_STORE_NAME_BYTES];
    assert_ok(ta_store_watch(slow, "big/"));
    assert_ok(ta_store_watch(quick, "big/"));
    assert_ok(ta_store_poll(slow));
    size_t held = 0;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        memset(value, (int)round, sizeof value);
        for (unsigned i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "big/%u", i);
            assert_ok(ta_store_put(a, name, value, sizeof value - i));
        }
        until(has(quick, name, value, sizeof value - NAMES + 1), assert_ok(ta_store_poll(a));
              assert_ok(ta_store_poll(quick)));
        if (round == 10) held = ta_mem_held_bytes();
    }
    assert_true(ta_mem_held_bytes() < held + 512 * 1024); /* 10 MB a hundred times over went to `quick` alone */
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "big/%u", i);
        until(has(slow, name, value, sizeof value - i), assert_ok(ta_store_poll(slow)));
        assert_int_equal(version_of(slow, name), ROUNDS);
    }
    ta_store_close(a);
    ta_store_close(slow);
    ta_store_close(quick);
    ta_store_server_close(server);
}

/* Random puts by many, random watches, clients that leave and come back, against a table of what was put last. */
static void crowds_agree(void **state) {
    struct place *p = *state;
    enum { CLIENTS = 12, NAMES = 60, STEPS = 3000, MOST = 700 };
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *c[CLIENTS];
    static unsigned char model[NAMES][MOST];
    static size_t bytes[NAMES];
    static uint64_t versions[NAMES];
    char name[TA_STORE_NAME_BYTES];
    struct ta_rng rng = ta_rng_make(11, 1);
    memset(versions, 0, sizeof versions);
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i] = client_ok(p, "crowd");
        if (i < CLIENTS / 2) assert_ok(ta_store_watch(c[i], i % 2 == 0 ? "" : "n/")); /* the others after the fact */
    }
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned n = ta_rng_below(&rng, NAMES), who = n % CLIENTS; /* one writer a name: the order is known */
        bytes[n] = ta_rng_below(&rng, MOST);
        for (size_t k = 0; k < bytes[n]; k++) model[n][k] = (unsigned char)ta_rng_u32(&rng);
        snprintf(name, sizeof name, "n/%u/%u", n % 7, n);
        assert_ok(ta_store_put(c[who], name, model[n], bytes[n]));
        versions[n]++;
        if (ta_rng_below(&rng, 4) == 0) assert_ok(ta_store_poll(c[ta_rng_below(&rng, CLIENTS)]));
        if (ta_rng_below(&rng, 100) == 0) { /* leaves (what it put is sent first), and is there again */
            ta_store_close(c[who]);
            c[who] = client_ok(p, "again");
            if (who < CLIENTS / 2) assert_ok(ta_store_watch(c[who], ""));
        }
    }
    for (unsigned i = CLIENTS / 2; i < CLIENTS; i++) {
        assert_ok(ta_store_watch(c[i], "n/3/"));
        assert_ok(ta_store_watch(c[i], "n/"));
    }
    for (unsigned n = 0; n < NAMES; n++) {
        snprintf(name, sizeof name, "n/%u/%u", n % 7, n);
        for (unsigned i = 0; i < CLIENTS && versions[n] > 0; i++) {
            until(version_of(c[i], name) == versions[n],
                  for (unsigned k = 0; k < CLIENTS; k++) assert_ok(ta_store_poll(c[k])));
            assert_true(has(c[i], name, model[n], bytes[n]));
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++) ta_store_close(c[i]);
    ta_store_server_close(server);
}

static void names_and_sizes_are_checked(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "a"), *b = client_ok(p, "b");
    static unsigned char big[TA_STORE_VALUE_BYTES + 1];
    char name[TA_STORE_NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    name[TA_STORE_NAME_BYTES] = '\0';
    assert_fails(TA_INVALID, "63", ta_store_put(a, name, "x", 1));
    assert_fails(TA_INVALID, "63", ta_store_watch(a, name));
    assert_fails(TA_INVALID, "blanks", ta_store_put(a, "a b", "x", 1));
    assert_fails(TA_INVALID, "blanks", ta_store_put(a, "a\n", "x", 1));
    assert_fails(TA_INVALID, "no name", ta_store_put(a, "", "x", 1));
    assert_fails(TA_INVALID, "16385", ta_store_put(a, "big", big, sizeof big));
    name[TA_STORE_NAME_BYTES - 1] = '\0';
    memset(big, 7, sizeof big);
    assert_ok(ta_store_put(a, name, big, TA_STORE_VALUE_BYTES)); /* the largest of both */
    assert_ok(ta_store_watch(b, name));
    until(has(b, name, big, TA_STORE_VALUE_BYTES), assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    for (unsigned i = 0; i < 255; i++) {
        snprintf(name, sizeof name, "w/%u", i);
        assert_ok(ta_store_watch(b, name));
    }
    assert_ok(ta_store_watch(b, "w/7")); /* again: no matter */
    assert_fails(TA_INVALID, "256", ta_store_watch(b, "one/more"));
    assert_ok(ta_store_put(a, "w/254", "x", 1));
    until(has(b, "w/254", "x", 1), assert_ok(ta_store_poll(a)); assert_ok(ta_store_poll(b)));
    ta_store_close(a);
    ta_store_close(b);
    ta_store_server_close(server);
}

static void a_server_that_goes_is_noticed(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "a");
    struct ta_store_value got;
    assert_ok(ta_store_watch(a, ""));
    assert_ok(ta_store_put(a, "kept", "value", 5));
    until(has(a, "kept", "value", 5), assert_ok(ta_store_poll(a)));
    assert_ok(ta_store_put(a, "late", "x", 1));
    assert_ok(ta_store_poll(a));
    ta_store_server_close(server); /* drains: what was on its way has come */
    ta_status status;
    until((status = ta_store_poll(a)) != TA_OK, (void)0);
    assert_int_equal(status, TA_PEER);
    assert_non_null(strstr(ta_why(), "closed"));
    assert_non_null(strstr(ta_why(), "127.0.0.1:"));
    assert_true(has(a, "late", "x", 1));
    assert_fails(TA_PEER, "closed", ta_store_poll(a)); /* told at every call from now on */
    assert_fails(TA_PEER, "closed", ta_store_put(a, "more", "x", 1));
    assert_fails(TA_PEER, "closed", ta_store_watch(a, "x"));
    assert_ok(ta_store_get(a, "kept", &got)); /* and what was received stays */
    ta_store_close(a);

    server = serve_ok(p); /* another life, in the same place: a client that opens anew finds it */
    a = client_ok(p, "a");
    assert_ok(ta_store_watch(a, ""));
    assert_ok(ta_store_put(a, "kept", "again", 5));
    until(has(a, "kept", "again", 5), assert_ok(ta_store_poll(a)));
    assert_int_equal(version_of(a, "kept"), 1);
    ta_store_close(a);
    ta_store_server_close(server);
}

/* A process that was forked meanwhile holds all the sockets: nothing depends on it. */
static void forked_processes_hold_nothing(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store *a = client_ok(p, "a"), *b = client_ok(p, "b");
    int ends[2];
    char byte;
    assert_ok(ta_store_watch(a, ""));
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 2);
    }
    ta_store_close(b);
    until(stats_of(server).clients == 1, usleep(100));
    assert_ok(ta_store_put(a, "still", "here", 4));
    until(has(a, "still", "here", 4), assert_ok(ta_store_poll(a)));
    struct ta_store *c = client_ok(p, "c"); /* in the place of b */
    int before = open(p->file, O_RDONLY);
    ta_store_server_close(server);
    until(ta_store_poll(a) == TA_PEER, (void)0);
    until(ta_store_poll(c) == TA_PEER, (void)0);
    /* The port is free: a file that still names it leads to nobody. */
    char text[1024];
    ssize_t n = read(before, text, sizeof text);
    int again = open(p->file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(again, text, (size_t)n), n);
    close(before);
    close(again);
    struct ta_store_config late = {.directory = p->meet, .run_id = 0x77};
    struct ta_store *d;
    assert_fails(TA_PEER, "refused", ta_store_open(&late, &d));
    ta_store_close(a);
    ta_store_close(c);
    close(ends[1]);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* All addresses, the default: what is published leads here. */
static void it_is_found_by_what_it_publishes(void **state) {
    struct place *p = *state;
    struct ta_store_server_config config = {.directory = p->meet, .run_id = 0x77};
    struct ta_store_server *server;
    assert_ok(ta_store_serve(&config, &server));
    struct ta_store_config anyone = {.directory = p->meet, .patience_s = 10};
    struct ta_store *a;
    assert_ok(ta_store_open(&anyone, &a));
    assert_int_equal(ta_store_run_id(a), 0x77);
    ta_store_close(a);
    ta_store_server_close(server);
    config.address = "192.0.2.1"; /* of nobody (RFC 5737) */
    assert_fails(TA_CONFIG, "192.0.2.1", ta_store_serve(&config, &server));
    config.address = "no such host at all";
    assert_fails(TA_CONFIG, "no such host at all", ta_store_serve(&config, &server));
    assert_null(server);
}

static void every_allocation_may_fail(void **state) {
    struct place *p = *state;
    size_t held = ta_mem_held_bytes();
    struct ta_store_server_config config = {.directory = p->meet, .address = "127.0.0.1", .run_id = 0x77};
    struct ta_store_server *server;
    ta_status status = TA_NO_MEMORY;
    for (unsigned n = 1; status != TA_OK; n++) {
        ta_mem_fail_nth(n);
        status = ta_store_serve(&config, &server);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    struct ta_store_config who = {.directory = p->meet, .who = "a", .patience_s = 10};
    struct ta_store *a;
    unsigned failed = 0;
    status = TA_NO_MEMORY;
    for (unsigned n = 1; status != TA_OK; n++) {
        ta_mem_fail_nth(n);
        status = ta_store_open(&who, &a);
        if (status == TA_OK) status = ta_store_watch(a, "v/");
        if (status == TA_OK) status = ta_store_put(a, "v/1", "one", 3);
        if (status == TA_OK) status = ta_store_put(a, "v/1", "one and more", 12);
        for (int i = 0; i < 2000 && status == TA_OK && !has(a, "v/1", "one and more", 12); i++) {
            status = ta_store_poll(a);
            usleep(200);
        }
        bool arrived = status == TA_OK && has(a, "v/1", "one and more", 12);
        ta_mem_fail_nth(0);
        if (status == TA_OK) assert_true(arrived);
        if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
        failed += status != TA_OK;
        ta_store_close(a);
    }
    assert_true(failed >= 8);
    ta_store_server_close(server);
    assert_int_equal(ta_mem_held_bytes(), held);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(values_reach_who_watches),    TEST(the_newest_counts),
        TEST(slow_readers_are_sent_the_newest), TEST(crowds_agree),
        TEST(names_and_sizes_are_checked), TEST(a_server_that_goes_is_noticed),
        TEST(it_is_found_by_what_it_publishes), TEST(forked_processes_hold_nothing),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
