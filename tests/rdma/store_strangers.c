/* The store among strangers: who does not know the secret, is of another version or run, changes what goes by, repeats
 * what it heard, talks garbage or just holds the line. */
#include "store_wire.h"

#include <sys/resource.h>

#include "rng.h"
#include "session.h"

static ta_status open_now(const struct place *p, uint64_t run_id) {
    struct ta_store_config config = {.directory = p->meet, .who = "rank 9", .run_id = run_id};
    struct ta_store *s = NULL;
    ta_status status = ta_store_open(&config, &s);
    ta_store_close(s);
    return status;
}

static void a_wrong_secret_opens_nothing(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store_server_file file = file_of(p), wrong = file;
    wrong.secret[31] ^= 1;
    point_to(p, wrong, file.port);
    assert_fails(TA_PEER, "does not know the secret", open_now(p, 0x77));
    until(stats_of(server).garbage == 1, (void)0); /* it goes away: there is nobody it knows */
    assert_true(place_logged(p, "went away before it had proven"));
    /* One that insists. */
    struct ta_store_session session;
    unsigned char hello[TA_STORE_HELLO_BYTES], answer[TA_STORE_ANSWER_BYTES], prove[TA_STORE_PROVE_BYTES] = {0};
    int fd = wire_connect(file.port);
    ta_store_session_hello(&session, wrong.secret, hello);
    assert_int_equal(send(fd, hello, sizeof hello, 0), sizeof hello);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
    assert_int_equal(send(fd, prove, sizeof prove, 0), sizeof prove);
    assert_int_equal(recv(fd, answer, sizeof answer, 0), 0); /* and is told nothing at all */
    close(fd);
    until(stats_of(server).refused == 1, (void)0);
    assert_true(place_logged(p, "refused 127.0.0.1:"));
    assert_true(place_logged(p, "it does not know the secret of this run"));
    ta_store_server_close(server);
}

static void another_run_is_named(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store_server_file file = file_of(p);
    file.run_id = 0x78; /* the file says so, but the server is of 0x77 */
    point_to(p, file, file.port);
    assert_fails(TA_PEER, "0000000000000078", open_now(p, 0x78));
    assert_non_null(strstr(ta_why(), "0000000000000077"));
    assert_non_null(strstr(ta_why(), "it refused"));
    until(stats_of(server).refused == 1, (void)0);
    assert_true(place_logged(p, "rank 9"));
    ta_store_server_close(server);
}

/* A server of another version, or one that knows nothing. The proof is made here once more, from the description. */
struct false_server {
    int listener;
    uint32_t version;
    bool knows, silent;
    unsigned char secret[TA_STORE_SECRET_BYTES];
    pthread_t thread;
};

static void *answer_falsely(void *arg) {
    struct false_server *s = arg;
    unsigned char said[TA_STORE_HELLO_BYTES + TA_STORE_ANSWER_BYTES], rest[256];
    int fd = accept(s->listener, NULL, NULL);
    if (recv(fd, said, TA_STORE_HELLO_BYTES, MSG_WAITALL) == TA_STORE_HELLO_BYTES && !s->silent) {
        unsigned char *answer = said + TA_STORE_HELLO_BYTES;
        memcpy(answer, "TASTORE\n", 8);
        ta_store_write_u32(answer + 8, s->version);
        memset(answer + 12, 0, 4);
        memset(answer + 16, 5, TA_STORE_ANSWER_BYTES - 16);
        crypto_generichash_state hash;
        crypto_generichash_init(&hash, s->secret, sizeof s->secret, TA_STORE_PROOF_BYTES);
        crypto_generichash_update(&hash, (const unsigned char *)"server proves\0\0\0", 16);
        crypto_generichash_update(&hash, said, sizeof said - TA_STORE_PROOF_BYTES);
        if (s->knows) crypto_generichash_final(&hash, said + sizeof said - TA_STORE_PROOF_BYTES, TA_STORE_PROOF_BYTES);
        (void)send(fd, answer, TA_STORE_ANSWER_BYTES, MSG_NOSIGNAL);
    }
    while (recv(fd, rest, sizeof rest, 0) > 0) {}
    close(fd);
    return NULL;
}

static void false_server_open(struct false_server *s, const struct place *p) {
    struct ta_store_server_file file = {.run_id = 0x77, .n_addresses = 1, .address = {"127.0.0.1"}};
    unsigned port = 0;
    memset(file.secret, 3, sizeof file.secret);
    memcpy(s->secret, file.secret, sizeof s->secret);
    s->listener = wire_listen(&port);
    (void)mkdir(p->meet, 0700);
    point_to(p, file, port);
    assert_int_equal(pthread_create(&s->thread, NULL, answer_falsely, s), 0);
}

static void false_server_close(struct false_server *s) {
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static void other_servers_are_not_believed(void **state) {
    struct place *p = *state;
    struct false_server newer = {.version = 2, .knows = true}, ignorant = {.version = 1};
    assert_ok(ta_store_session_init());
    false_server_open(&newer, p);
    assert_fails(TA_CONFIG, "version 2", open_now(p, 0x77));
    assert_non_null(strstr(ta_why(), "this program version 1"));
    false_server_close(&newer);
    false_server_open(&ignorant, p);
    assert_fails(TA_PEER, "does not know the secret", open_now(p, 0x77));
    false_server_close(&ignorant);
}

static const char value_told[] = "exactly this, and nothing else";

/* One client through the middle: what it gets is right, or nothing. Whether it got something. */
static bool talk_through(const struct place *p, unsigned number) {
    struct ta_store_config config = {.directory = p->meet, .who = "rank 9", .run_id = 0x77};
    char name[16];
    struct ta_store *s;
    struct ta_store_value got;
    ta_status status = ta_store_open(&config, &s);
    if (status != TA_OK) {
        assert_int_equal(status, TA_PEER);
        return false;
    }
    snprintf(name, sizeof name, "t%04u", number);
    assert_ok(ta_store_watch(s, name));
    assert_ok(ta_store_put(s, name, value_told, sizeof value_told));
    until((status = ta_store_poll(s)) != TA_OK || ta_store_get(s, name, &got) == TA_OK, (void)0);
    bool arrived = ta_store_get(s, name, &got) == TA_OK;
    if (arrived) assert_true(has(s, name, value_told, sizeof value_told));
    if (!arrived) assert_int_equal(status, TA_PEER);
    ta_store_close(s);
    return arrived;
}

static void changes_on_the_way_are_found(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store_server_file file = file_of(p);
    struct middle plain = {.change = LEAVE};
    middle_open(&plain, file.port);
    point_to(p, file, plain.port);
    assert_true(talk_through(p, 0));
    middle_close(&plain);
    unsigned cases = 0, changed = 0;
    for (enum change change = FLIP; change < CHANGES; change++)
        for (int direction = 0; direction < 2; direction++)
            /* Every third byte for flips; the others, which mostly end by waiting, here and there. */
            for (size_t at = 0; at < plain.passed[direction]; at += change == FLIP ? 3 : 13 + (size_t)change) {
                struct middle m = {.change = change, .direction = direction, .at = at};
                middle_open(&m, file.port);
                point_to(p, file, m.port);
                bool arrived = talk_through(p, ++cases);
                middle_close(&m);
                changed += atomic_load(&m.changed);
                /* What comes behind the value may be changed when it has arrived; what is repeated comes behind it. */
                if (arrived && atomic_load(&m.changed) && at < 200 && change != REPEAT)
                    fail_msg("change %d at byte %zu, direction %d, went unseen", (int)change, at, direction);
            }
    assert_true(changed > 180);
    point_to(p, file, file.port);
    struct ta_store *honest = client_ok(p, "honest");
    assert_ok(ta_store_watch(honest, "t"));
    assert_ok(ta_store_put(honest, "t", "behind all others", 17));
    until(has(honest, "t", "behind all others", 17), assert_ok(ta_store_poll(honest)));
    uint64_t names = 1;
    for (unsigned i = 0; i <= cases; i++) { /* what was put is right, or is not there */
        struct ta_store_value got;
        char name[16];
        snprintf(name, sizeof name, "t%04u", i);
        if (ta_store_get(honest, name, &got) != TA_OK) continue;
        assert_true(has(honest, name, value_told, sizeof value_told));
        names++;
    }
    assert_int_equal(stats_of(server).names, names); /* and nothing else is */
    ta_store_close(honest);
    ta_store_server_close(server);
}

static void what_was_heard_is_of_no_use(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store_server_file file = file_of(p);
    struct middle m = {.change = LEAVE};
    middle_open(&m, file.port);
    point_to(p, file, m.port);
    assert_true(talk_through(p, 1));
    middle_close(&m);
    assert_true(m.recorded > 200);
    until(stats_of(server).clients == 0, (void)0);
    int fd = wire_connect(file.port);
    assert_int_equal(send(fd, m.record, m.recorded, 0), m.recorded); /* all that the client said, once more */
    assert_true(wire_closed(fd, 5000));
    close(fd);
    until(stats_of(server).refused == 1, (void)0);
    point_to(p, file, file.port);
    struct ta_store *honest = client_ok(p, "honest");
    assert_ok(ta_store_watch(honest, ""));
    until(version_of(honest, "t0001") == 1, assert_ok(ta_store_poll(honest)));
    ta_store_close(honest);
    ta_store_server_close(server);
}

static void garbage_is_survived(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    struct ta_store_server_file file = file_of(p);
    struct ta_store *a = client_ok(p, "a");
    struct ta_rng rng = ta_rng_make(7, 7);
    enum { TIMES = 200 };
    assert_ok(ta_store_watch(a, ""));
    for (unsigned i = 1; i <= TIMES; i++) {
        unsigned char bytes[600];
        size_t n = TA_STORE_HELLO_BYTES + ta_rng_below(&rng, 500);
        for (size_t k = 0; k < n; k++) bytes[k] = (unsigned char)ta_rng_u32(&rng);
        if (i % 2 == 0) memcpy(bytes, "TASTORE\n\1\0\0", 12); /* as far as it goes: then a proof of nothing */
        int fd = wire_connect(file.port);
        (void)send(fd, bytes, n, MSG_NOSIGNAL);
        if (i % 2 == 0) (void)shutdown(fd, SHUT_WR);
        assert_true(wire_closed(fd, 5000));
        close(fd);
        assert_ok(ta_store_put(a, "still", &i, sizeof i));
        until(has(a, "still", &i, sizeof i), assert_ok(ta_store_poll(a)));
    }
    until(stats_of(server).garbage + stats_of(server).refused == TIMES, (void)0);
    ta_store_close(a);
    ta_store_server_close(server);
}

/* Connections that say nothing, or a byte now and then: the oldest go when there are too many, all go after five
 * seconds, and whoever belongs here gets in meanwhile. A client that meets such a server gives up as well. */
static void nobody_holds_the_line(void **state) {
    struct place *p = *state;
    enum { MANY = 1100, MOST = 1024 };
    static int fds[MANY];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned many = limit.rlim_cur > 2 * MANY + 100 ? MANY : 200, gone = 0;
    struct ta_store_server *server = serve_ok(p);
    unsigned port = file_of(p).port;
    for (unsigned i = 0; i < many; i++) assert_true((fds[i] = wire_connect(port)) >= 0);
    struct ta_store *a = client_ok(p, "a");
    until(many <= MOST || stats_of(server).garbage >= many - MOST, (void)0);
    for (unsigned i = 0; i + MOST < many; i++) assert_true(wire_closed(fds[i], 0)); /* the oldest */
    struct false_server silent = {.silent = true};
    false_server_open(&silent, p);
    int64_t begin_ns = ta_clock_now_ns();
    assert_fails(TA_PEER, "no answer in time", open_now(p, 0x77)); /* takes five seconds */
    int64_t took_ns = ta_clock_now_ns() - begin_ns;
    assert_true(took_ns > 4 * TA_NS_PER_S && took_ns < 20 * TA_NS_PER_S);
    false_server_close(&silent);
    (void)send(fds[many - 1], "T", 1, MSG_NOSIGNAL);
    until(stats_of(server).garbage == many, (void)0);
    for (unsigned i = 0; i < many; i++) {
        gone += wire_closed(fds[i], 1000);
        close(fds[i]);
    }
    assert_int_equal(gone, many);
    assert_ok(ta_store_watch(a, ""));
    assert_ok(ta_store_put(a, "still", "here", 4));
    until(has(a, "still", "here", 4), assert_ok(ta_store_poll(a)));
    assert_true(place_logged(p, "did not prove within 5 s"));
    ta_store_close(a);
    ta_store_server_close(server);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_wrong_secret_opens_nothing), TEST(another_run_is_named),        TEST(other_servers_are_not_believed),
        TEST(changes_on_the_way_are_found), TEST(what_was_heard_is_of_no_use), TEST(garbage_is_survived),
        TEST(nobody_holds_the_line),
    };
    return cmocka_run_group_tests_name("store_strangers", tests, NULL, NULL);
}
