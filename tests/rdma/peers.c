/* Every make of transport, one suite: keys, connecting, losing peers, and leaving nothing behind. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "suite.h"

#define LOST_NS INT64_C(1000000000)
#define DEVICE_LOST_NS (20 * LOST_NS) /* when a device gives up is measured in verbs.c, on a calm machine */

static size_t entries_of(const char *directory) {
    size_t n = 0;
    DIR *dir = opendir(directory);
    if (dir == NULL) return 0;
    while (readdir(dir) != NULL) n++;
    closedir(dir);
    return n;
}

static void ranks_are_checked(void **state) {
    const struct pair_kind *kind = *state;
    struct pair pair;
    pair_open(&pair, kind, 64);
    struct ta_transport *t = NULL;
    struct ta_transport_config config = {.rank = 2, .n_ranks = 2, .run_id = PAIR_RUN, .fabric = pair.fabric};
    assert_int_equal(pair.ops->open(&config, &t), TA_CONFIG);
    assert_null(t);
    config.n_ranks = config.rank = 0;
    assert_int_equal(pair.ops->open(&config, &t), TA_CONFIG);
    pair.ops->close(NULL);
    pair_close(&pair);
}

static void absurd_windows_are_refused(void **state) {
    const struct pair_kind *kind = *state;
    struct pair pair;
    struct ta_window window;
    struct ta_key key;
    pair_start(&pair, kind, 64);
    struct ta_transport *t = pair.sender; /* has no window yet */
    assert_int_equal(pair.ops->key_make(t, 1, &key), TA_INVALID);
    assert_int_equal(pair.ops->window_create(t, SIZE_MAX, &window), TA_NO_MEMORY);
    if (pair.fabric == NULL) /* the sanitizers' malloc ends the program at this size */
        assert_int_equal(pair.ops->window_create(t, (size_t)1 << 56, &window), TA_NO_MEMORY);
    assert_null(window.base);
    assert_int_equal(pair.ops->window_create(t, 100, &window), TA_OK);
    assert_int_equal(pair.ops->key_make(t, 0, &key), TA_INVALID);
    assert_int_equal(pair.ops->key_make(t, 2, &key), TA_INVALID);
    assert_int_equal(pair.ops->key_make(t, 1, &key), TA_OK);
    pair_close(&pair);
}

static void self_has_no_peers(void **state) {
    const struct pair_kind *kind = *state;
    if (kind->has_peers) return;
    struct pair pair;
    struct ta_key key = {0};
    pair_open(&pair, kind, 64);
    assert_int_equal(pair.ops->key_make(pair.owner, 0, &key), TA_INVALID);
    assert_int_equal(pair.ops->connect(pair.owner, 1, &key), TA_INVALID);
    assert_int_equal(pair.ops->put(pair.owner, 1, NULL, 0), TA_INVALID);
    assert_int_equal(pair.ops->progress(pair.owner, 1), TA_OK);
    assert_int_equal(pair.ops->in_flight(pair.owner, 1), 0);
    assert_int_equal(pair.ops->peer_state(pair.owner, 1), TA_PEER_UNKNOWN);
    pair.ops->disconnect(pair.owner, 1);
    pair_close(&pair);
}

static void not_connected_is_refused(void **state) {
    struct pair pair;
    struct ta_key key;
    char source[8] = {0};
    struct ta_put_segment segment = {source, 8, 0};
    pair_start(&pair, *state, 4096);
    const struct ta_transport_ops *ops = pair.ops;
    pair_lend(&pair, source, sizeof source);
    assert_int_equal(ops->put(pair.sender, 1, &segment, 1), TA_INVALID); /* not yet */
    assert_int_equal(ops->peer_state(pair.sender, 1), TA_PEER_UNKNOWN);
    if (pair.owner != NULL) assert_int_equal(ops->peer_state(pair.owner, 0), TA_PEER_UNKNOWN);
    pair_meet(&pair);
    key = (struct ta_key){0};
    assert_int_equal(ops->connect(pair.sender, 1, &key), TA_INVALID); /* twice */
    assert_int_equal(ops->connect(pair.sender, 0, &key), TA_INVALID); /* ourselves */
    assert_int_equal(ops->connect(pair.sender, 2, &key), TA_INVALID);
    assert_int_equal(ops->put(pair.sender, 0, &segment, 1), TA_INVALID);
    assert_int_equal(ops->put(pair.sender, 7, &segment, 1), TA_INVALID);
    assert_int_equal(ops->peer_state(pair.sender, 7), TA_PEER_UNKNOWN);
    assert_int_equal(ops->peer_state(pair.sender, 0), TA_PEER_UNKNOWN);
    pair_put(&pair, &segment, 1);
    pair_part(&pair);
    ops->disconnect(pair.sender, 1); /* once more than needed */
    ops->disconnect(pair.sender, 7);
    assert_int_equal(ops->in_flight(pair.sender, 1), 0);
    assert_int_equal(ops->peer_state(pair.sender, 1), TA_PEER_DOWN);
    assert_int_equal(ops->put(pair.sender, 1, &segment, 1), TA_INVALID);
    assert_int_equal(ops->progress(pair.sender, ++pair.now_ns), TA_OK); /* given up by us: no news */
    pair_meet(&pair);                                                   /* with new keys: a new path */
    pair_put(&pair, &segment, 1);
    pair_settle(&pair);
    pair_close(&pair);
}

static void bad_keys_are_refused(void **state) {
    const struct pair_kind *kind = *state;
    struct pair pair;
    struct ta_key key, bad;
    struct ta_window window;
    pair_start(&pair, kind, 4096);
    const struct ta_transport_ops *ops = pair.ops;
    assert_int_equal(ops->window_create(pair.sender, 64, &window), TA_OK);
    assert_int_equal(ops->key_make(pair.sender, 1, &bad), TA_OK);
    pair_key(&pair, 0, &key);
    for (uint32_t i = 0; i < key.bytes; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bad = key;
            bad.data[i] ^= (unsigned char)(1u << bit);
            assert_int_equal(ops->connect(pair.sender, 1, &bad), TA_PEER);
        }
    for (uint32_t bytes = 0; bytes < key.bytes; bytes++) {
        bad = key;
        bad.bytes = bytes;
        assert_int_equal(ops->connect(pair.sender, 1, &bad), TA_PEER);
    }
    bad = key;
    bad.bytes = UINT32_MAX;
    assert_int_equal(ops->connect(pair.sender, 1, &bad), TA_PEER);
    bad.bytes = TA_KEY_BYTES + 1;
    assert_int_equal(ops->connect(pair.sender, 1, &bad), TA_PEER);
    assert_int_equal(ops->peer_state(pair.sender, 1), TA_PEER_UNKNOWN);
    assert_int_equal(ops->connect(pair.sender, 1, &key), TA_OK);
    pair_close(&pair);
}

/* A world of three, so that a key can be somebody else's. */
static void foreign_keys_are_refused(void **state) {
    const struct pair_kind *kind = *state;
    const struct ta_transport_ops *ops = kind->ops;
    struct ta_sim_fabric *fabric[2] = {NULL, NULL};
    struct ta_sim_config config = kind->fabric;
    struct ta_transport *t[4];
    struct ta_window window;
    struct ta_key key, ours;
    config.n_ranks = 3;
    for (int i = 0; i < 2 && kind->fabric.n_ranks > 0; i++) assert_int_equal(ta_sim_create(&config, &fabric[i]), TA_OK);
    for (unsigned i = 0; i < 4; i++) { /* the fourth is rank 1 of another run */
        struct ta_transport_config c = {
            .rank = i % 3 + i / 3, .n_ranks = 3, .run_id = i == 3 ? 0xabcdef : PAIR_RUN, .fabric = fabric[i / 3]};
        assert_int_equal(ops->open(&c, &t[i]), TA_OK);
        assert_int_equal(ops->window_create(t[i], 64, &window), TA_OK);
    }
    assert_int_equal(ops->key_make(t[1], 2, &key), TA_OK);
    assert_int_equal(ops->connect(t[0], 1, &key), TA_PEER); /* for another receiver */
    assert_int_equal(ops->connect(t[2], 0, &key), TA_PEER); /* of another sender */
    assert_int_equal(ops->key_make(t[2], 1, &ours), TA_OK);
    assert_int_equal(ops->connect(t[2], 1, &key), TA_OK);
    assert_int_equal(ops->key_make(t[3], 0, &key), TA_OK);
    assert_int_equal(ops->connect(t[0], 1, &key), TA_PEER); /* of another run: both are named */
    assert_non_null(strstr(ta_why(), "0000000000abcdef"));
    assert_non_null(strstr(ta_why(), "0000000000001267"));
    for (unsigned i = 0; i < 4; i++) ops->close(t[i]);
    for (int i = 0; i < 2; i++) ta_sim_destroy(fabric[i]);
}

static void a_dead_owner_is_seen(void **state) {
    struct pair pair;
    static char source[1 << 16];
    struct ta_put_segment segment = {source, sizeof source, 0};
    const struct pair_kind *kind = *state;
    pair_open(&pair, kind, sizeof source);
    pair_lend(&pair, source, sizeof source);
    for (int i = 0; i < 10; i++) pair_put(&pair, &segment, 1);
    struct ta_key key;
    if (!kind->device) pair_key(&pair, 0, &key);
    pair_kill_owner(&pair);
    ta_status status = pair.ops->put(pair.sender, 1, &segment, 1); /* into nowhere, but not a crash */
    assert_true(status == TA_OK || status == TA_BUSY || status == TA_PEER);
    int64_t took_ns = pair_wait_lost(&pair, &segment, kind->device ? DEVICE_LOST_NS : LOST_NS);
    assert_true(took_ns >= 0);
    assert_int_equal(pair.ops->put(pair.sender, 1, &segment, 1), TA_PEER);
    assert_int_equal(pair.ops->in_flight(pair.sender, 1), 0);
    pair.ops->disconnect(pair.sender, 1);
    assert_int_equal(pair.ops->peer_state(pair.sender, 1), TA_PEER_DOWN);
    assert_int_equal(pair.ops->in_flight(pair.sender, 1), 0);
    /* The key outlives its owner by nothing, where the sender can tell. */
    if (!kind->device) assert_int_equal(pair.ops->connect(pair.sender, 1, &key), TA_PEER);
    pair_close(&pair);
}

static void every_allocation_may_fail(void **state) {
    const struct pair_kind *kind = *state;
    const struct ta_transport_ops *ops = kind->ops;
    struct pair pair;
    struct ta_key key, ours;
    pair_start(&pair, kind, 4096);
    pair_key(&pair, 0, &key);
    struct ta_transport_config config = pair_sender_config(&pair);
    ops->close(pair.sender);
    size_t held = ta_mem_held_bytes(), fds = entries_of("/proc/self/fd");
    bool whole = false;
    for (unsigned n = 1; !whole; n++) {
        struct ta_window window;
        pair.sender = NULL;
        ta_mem_fail_nth(n);
        ta_status status = ops->open(&config, &pair.sender);
        if (status == TA_OK) status = ops->window_create(pair.sender, 4096, &window);
        if (status == TA_OK) status = ops->source_register(pair.sender, &config, sizeof config);
        if (status == TA_OK) status = ops->key_make(pair.sender, 1, &ours);
        if (status == TA_OK) status = ops->connect(pair.sender, 1, &key);
        ta_mem_fail_nth(0);
        whole = status == TA_OK;
        if (!whole) assert_int_equal(status, TA_NO_MEMORY);
        assert_true(n < 100 && (n > 1 || !whole));
        ops->close(pair.sender);
        /* What a fabric keeps is room for the paths there once were. */
        if (pair.fabric == NULL) assert_int_equal(ta_mem_held_bytes(), held);
    }
    pair.sender = NULL;
    assert_int_equal(entries_of("/proc/self/fd"), fds);
    pair_close(&pair);
}

static void nothing_stays_behind(void **state) {
    const struct pair_kind *kind = *state;
    size_t held = ta_mem_held_bytes(), fds = entries_of("/proc/self/fd"), names = entries_of("/dev/shm");
    for (int i = 0; i < (kind->forked || kind->device ? 50 : 1000); i++) {
        struct pair pair;
        pair_open(&pair, kind, 4096);
        pair_close(&pair);
    }
    assert_int_equal(entries_of("/proc/self/fd"), fds);
    assert_int_equal(entries_of("/dev/shm"), names);
    assert_int_equal(ta_mem_held_bytes(), held);
}

int main(void) {
    static const struct suite_test tests[] = {
        {"ranks are checked", ranks_are_checked, false},
        {"self has no peers", self_has_no_peers, false},
        {"absurd windows are refused", absurd_windows_are_refused, true},
        {"not connected is refused", not_connected_is_refused, true},
        {"damaged keys are refused, bit by bit", bad_keys_are_refused, true},
        {"keys of others are refused", foreign_keys_are_refused, true},
        {"a dead owner is seen, and named once", a_dead_owner_is_seen, true},
        {"every allocation may fail", every_allocation_may_fail, true},
        {"1000 lives leave nothing behind", nothing_stays_behind, false},
    };
    signal(SIGPIPE, SIG_IGN);
    return suite_run(tests, sizeof tests / sizeof tests[0]);
}
