/* Mixed: four replicas on two pretended nodes of two, in this process: shm within, whatever there is between. Each puts
 * to every other through one window each, and what was granted and opened holds both ways. */
#include <string.h>

#include "clock.h"
#include "expect.h"
#include "mem.h"
#include "transport.h"

enum { N = 4, PER_NODE = 2, RUN = 77, CELL = 4096, WINDOW = N * CELL };

static const struct ta_transport_ops *const ops = &ta_transport_mixed;

struct world {
    struct ta_transport *t[N];
    struct ta_window window[N];
    unsigned char *source[N]; /* [CELL] */
};

static bool is_near(unsigned a, unsigned b) { return a / PER_NODE == b / PER_NODE; }

static void meet(struct world *w, unsigned a, unsigned b) {
    struct ta_key a_for_b, b_for_a;
    assert_ok(ops->key_make(w->t[a], b, &a_for_b));
    assert_ok(ops->key_make(w->t[b], a, &b_for_a));
    assert_ok(ops->connect(w->t[a], b, &b_for_a));
    assert_ok(ops->connect(w->t[b], a, &a_for_b));
}

static int world_open(void **state) {
    static struct world w;
    w = (struct world){{NULL}};
    for (unsigned r = 0; r < N; r++) {
        struct ta_transport_config config = {.rank = r, .n_ranks = N, .per_node = PER_NODE, .run_id = RUN};
        assert_ok(ops->open(&config, &w.t[r]));
        assert_ok(ops->window_create(w.t[r], WINDOW, &w.window[r]));
        assert_ok(TA_NEW(&w.source[r], CELL, "a source"));
        assert_ok(ops->source_register(w.t[r], w.source[r], CELL));
        for (unsigned p = 0; p < N; p++)
            if (p != r) assert_ok(ops->grant(w.t[r], p, p * CELL, CELL));
    }
    for (unsigned a = 0; a < N; a++)
        for (unsigned b = a + 1; b < N; b++) meet(&w, a, b);
    *state = &w;
    return 0;
}

static int world_close(void **state) {
    struct world *w = *state;
    for (unsigned r = 0; r < N; r++) {
        ops->close(w->t[r]);
        ta_mem_free(w->source[r]);
    }
    return 0;
}

static void progress_all(struct world *w) {
    for (unsigned r = 0; r < N; r++)
        if (w->t[r] != NULL) assert_ok(ops->progress(w->t[r], ta_clock_now_ns()));
}

static void settle(struct world *w, unsigned from, unsigned to) {
    do progress_all(w);
    while (ops->in_flight(w->t[from], to) > 0);
}

static void everybody_puts_to_everybody(void **state) {
    struct world *w = *state;
    for (unsigned round = 1; round < 20; round++)
        for (unsigned a = 0; a < N; a++)
            for (unsigned b = 0; b < N; b++) {
                if (a == b) continue;
                struct ta_put_segment segment = {w->source[a], CELL, a * CELL};
                memset(w->source[a], (int)(round * N + a), CELL);
                assert_ok(ops->put(w->t[a], b, &segment, 1));
                settle(w, a, b);
                const unsigned char *seen = w->window[b].base;
                for (unsigned i = 0; i < CELL; i++) assert_int_equal(seen[a * CELL + i], round * N + a);
                for (unsigned i = 0; i < CELL; i++) assert_int_equal(seen[b * CELL + i], 0); /* our own cell in it */
            }
}

static void grants_hold_both_ways(void **state) {
    struct world *w = *state;
    for (unsigned a = 0; a < N; a++)
        for (unsigned b = 0; b < N; b++) {
            if (a == b) continue;
            struct ta_put_segment theirs = {w->source[a], 8, ((a + 1) % N) * CELL};
            struct ta_put_segment over = {w->source[a], 9, (a + 1) * CELL - 8};
            assert_fails(TA_INVALID, "granted", ops->put(w->t[a], b, &theirs, 1));
            if (a + 1 < N) assert_fails(TA_INVALID, "granted", ops->put(w->t[a], b, &over, 1));
        }
}

/* Rank 0 opens rank 3's cell to all, as for a replica that left: near and far show the same pass. */
static void a_pass_is_good_near_and_far(void **state) {
    struct world *w = *state;
    uint64_t pass;
    assert_ok(ops->range_open(w->t[0], 3 * CELL, CELL, &pass));
    for (unsigned from = 1; from < 3; from++) {
        assert_int_equal(is_near(0, from), from == 1);
        struct ta_put_segment segment = {w->source[from], 64, 3 * CELL + 128 * from, .pass = pass};
        memset(w->source[from], (int)(100 + from), 64);
        assert_ok(ops->put(w->t[from], 0, &segment, 1));
        settle(w, from, 0);
        const unsigned char *seen = (unsigned char *)w->window[0].base + 3 * CELL + 128 * from;
        for (unsigned i = 0; i < 64; i++) assert_int_equal(seen[i], 100 + from);
        assert_int_equal(seen[64], 0);
    }
    struct ta_put_segment without = {w->source[1], 64, 3 * CELL};
    assert_fails(TA_INVALID, "granted", ops->put(w->t[1], 0, &without, 1));
    assert_fails(TA_INVALID, "granted", ops->put(w->t[2], 0, &without, 1));
}

static void keys_are_those_of_the_make_in_charge(void **state) {
    struct world *w = *state;
    struct ta_key key;
    assert_ok(ops->key_make(w->t[0], 1, &key));
    ops->disconnect(w->t[2], 0);
    assert_int_equal(ops->connect(w->t[2], 0, &key), TA_PEER); /* a near key does not open a far path */
    assert_fails(TA_INVALID, "no peer", ops->key_make(w->t[0], N, &key));
    assert_fails(TA_INVALID, "no peer", ops->put(w->t[0], N + 7, NULL, 0));
    assert_int_equal(ops->peer_state(w->t[0], N), TA_PEER_UNKNOWN);
    char said[512];
    ops->describe(w->t[0], said, sizeof said);
    assert_non_null(strstr(said, "memory shared"));
    assert_non_null(strstr(said, "between nodes"));
}

static void a_near_death_and_a_far_one_are_told(void **state) {
    struct world *w = *state;
    unsigned told = 0;
    ops->close(w->t[1]); /* near to 0 */
    ops->close(w->t[2]); /* far */
    w->t[1] = w->t[2] = NULL;
    struct ta_put_segment segment = {w->source[0], 8, 0};
    int64_t limit_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;
    while (told < 2 && ta_clock_now_ns() < limit_ns) {
        if (ops->peer_state(w->t[0], 2) == TA_PEER_UP) ops->put(w->t[0], 2, &segment, 1);
        told += ops->progress(w->t[0], ta_clock_now_ns()) == TA_PEER;
    }
    assert_int_equal(told, 2);
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_DOWN);
    assert_true(ops->peer_state(w->t[0], 2) == TA_PEER_DOWN || ops->peer_state(w->t[0], 2) == TA_PEER_BROKEN);
    assert_int_equal(ops->peer_state(w->t[0], 3), TA_PEER_UP);
    assert_ok(ops->put(w->t[0], 3, &segment, 1)); /* and the rest goes on */
    do ops->progress(w->t[3], ta_clock_now_ns()); /* which has lost rank 2 too */
    while (ops->progress(w->t[0], ta_clock_now_ns()) == TA_OK && ops->in_flight(w->t[0], 3) > 0);
    assert_int_equal(ops->in_flight(w->t[0], 3), 0);
    assert_int_equal(ops->peer_state(w->t[0], 3), TA_PEER_UP);
}

/* Of two that would share a node neither is near to the other when both may run anywhere; who is dealt to a node is. */
static void who_may_run_anywhere_is_alone(void **state) {
    (void)state;
    enum { ALONE_FROM = 2, MAKE_AT = 8 }; /* where a key names its make (key.c) */
    struct world w = {{NULL}};
    static const char near_make[] = "shm";
    for (unsigned r = 0; r < N; r++) {
        struct ta_transport_config config = {
            .rank = r, .n_ranks = N, .per_node = PER_NODE, .alone_from = ALONE_FROM, .run_id = RUN};
        assert_ok(ops->open(&config, &w.t[r]));
        assert_ok(ops->window_create(w.t[r], WINDOW, &w.window[r]));
        assert_ok(TA_NEW(&w.source[r], CELL, "a source"));
        assert_ok(ops->source_register(w.t[r], w.source[r], CELL));
        for (unsigned p = 0; p < N; p++)
            if (p != r) assert_ok(ops->grant(w.t[r], p, p * CELL, CELL));
    }
    for (unsigned a = 0; a < N; a++)
        for (unsigned b = 0; b < N; b++) {
            struct ta_key key;
            if (a == b) continue;
            assert_ok(ops->key_make(w.t[a], b, &key));
            bool is_shared = memcmp(key.data + MAKE_AT, near_make, sizeof near_make) == 0;
            assert_int_equal(is_shared, a < ALONE_FROM && b < ALONE_FROM);
        }
    meet(&w, 2, 3);
    meet(&w, 0, 1);
    for (unsigned a = 0; a < N; a += 2) {
        struct ta_put_segment segment = {w.source[a], CELL, a * CELL};
        memset(w.source[a], (int)(a + 1), CELL);
        assert_ok(ops->put(w.t[a], a + 1, &segment, 1));
        settle(&w, a, a + 1);
        const unsigned char *seen = w.window[a + 1].base;
        for (unsigned i = 0; i < CELL; i++) assert_int_equal(seen[a * CELL + i], a + 1);
    }
    void *ends = &w;
    world_close(&ends);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct ta_transport_config config = {.rank = 1, .n_ranks = N, .per_node = PER_NODE, .run_id = RUN};
    size_t held = ta_mem_held_bytes();
    bool whole = false;
    for (unsigned n = 1; !whole; n++) {
        struct ta_transport *t = NULL;
        struct ta_window window;
        ta_mem_fail_nth(n);
        ta_status status = ops->open(&config, &t);
        if (status == TA_OK) status = ops->window_create(t, WINDOW, &window);
        ta_mem_fail_nth(0);
        whole = status == TA_OK;
        if (!whole) assert_int_equal(status, TA_NO_MEMORY);
        assert_true(n < 30 && (n > 1 || !whole));
        ops->close(t);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
}

int main(void) {
    char said[512];
    if (ops->probe(NULL, said, sizeof said) != TA_OK) {
        printf("SKIPPED: %s\n", ta_why());
        return 77;
    }
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(everybody_puts_to_everybody),
        TEST(grants_hold_both_ways),
        TEST(a_pass_is_good_near_and_far),
        TEST(keys_are_those_of_the_make_in_charge),
        TEST(a_near_death_and_a_far_one_are_told),
        cmocka_unit_test(who_may_run_anywhere_is_alone),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("mixed", tests, NULL, NULL);
}
