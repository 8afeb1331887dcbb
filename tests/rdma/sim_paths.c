/* The simulated fabric: paths that break and are made anew, and who may write where. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "sim.h"
#include "transport.h"

enum { RANKS = 3, WINDOW = 4096, WORDS = 200, DEPTH = 3, LATENCY_NS = 1000 };

static const struct ta_transport_ops *const ops = &ta_transport_sim;

struct world {
    struct ta_sim_fabric *fabric;
    struct ta_transport *t[RANKS];
    struct ta_window window[RANKS];
    struct ta_key key[RANKS][RANKS]; /* the last that one made for the other */
    int64_t now_ns;
};

static void make_key(struct world *w, unsigned owner, unsigned writer) {
    assert_int_equal(ops->key_make(w->t[owner], writer, &w->key[owner][writer]), TA_OK);
}

static ta_status join(struct world *w, unsigned from, unsigned to) {
    return ops->connect(w->t[from], to, &w->key[to][from]);
}

static void open_ranks(struct world *w, uint64_t seed) {
    *w = (struct world){.now_ns = 1};
    struct ta_sim_config config = {.n_ranks = RANKS, .seed = seed, .latency_ns = LATENCY_NS, .depth = DEPTH};
    assert_int_equal(ta_sim_create(&config, &w->fabric), TA_OK);
    for (unsigned i = 0; i < RANKS; i++) {
        struct ta_transport_config one = {.rank = i, .n_ranks = RANKS, .run_id = 9, .fabric = w->fabric};
        assert_int_equal(ops->open(&one, &w->t[i]), TA_OK);
        assert_int_equal(ops->window_create(w->t[i], WINDOW, &w->window[i]), TA_OK);
    }
}

static void meet_all(struct world *w) {
    for (unsigned i = 0; i < RANKS; i++)
        for (unsigned j = 0; j < RANKS; j++)
            if (i != j) make_key(w, i, j);
    for (unsigned i = 0; i < RANKS; i++)
        for (unsigned j = 0; j < RANKS; j++)
            if (i != j) assert_int_equal(join(w, i, j), TA_OK);
}

static void close_ranks(struct world *w) {
    for (unsigned i = 0; i < RANKS; i++) ops->close(w->t[i]);
    ta_sim_destroy(w->fabric);
}

static ta_status put_words(struct world *w, unsigned from, unsigned to, const uint32_t *words, size_t offset) {
    struct ta_put_segment segment = {.source = words, .bytes = WORDS * sizeof *words, .target_offset = offset};
    return ops->put(w->t[from], to, &segment, 1);
}

static void run(struct world *w, int64_t for_ns) {
    w->now_ns += for_ns;
    (void)ops->progress(w->t[RANKS - 1], w->now_ns); /* moves everybody's */
}

static unsigned arrived(const struct world *w, unsigned rank, size_t offset) {
    const uint32_t *seen = (const uint32_t *)((const char *)w->window[rank].base + offset);
    unsigned n = 0;
    for (unsigned k = 0; k < WORDS; k++) n += seen[k] != 0;
    return n;
}

/* Three puts are on their way one behind the other when the path breaks: so many are there in the end; what is there
 * begins with the first one. Whoever lost something knows; who did not knows after its next put, which is lost. */
static void break_once(struct world *w, unsigned *whole, unsigned *torn, unsigned *hidden) {
    uint32_t words[WORDS];
    memset(words, 0xab, sizeof words);
    for (unsigned i = 0; i < DEPTH; i++) assert_int_equal(put_words(w, 0, 1, words, i * sizeof words), TA_OK);
    run(w, 400);
    ta_sim_break(w->fabric, 1, 0, w->now_ns);
    ta_sim_break(w->fabric, 1, 0, w->now_ns); /* once is enough */
    ta_sim_break(w->fabric, 1, 1, w->now_ns);
    ta_sim_break(w->fabric, 1, 99, w->now_ns);
    enum ta_peer_state known = ops->peer_state(w->t[0], 1);
    assert_int_equal(ops->progress(w->t[0], w->now_ns), known == TA_PEER_UP ? TA_OK : TA_PEER);
    assert_int_equal(ops->progress(w->t[0], w->now_ns), TA_OK); /* said once */
    run(w, 20 * LATENCY_NS);
    unsigned there = 0, all = WORDS;
    for (unsigned i = 0; i < DEPTH; i++) {
        unsigned n = arrived(w, 1, i * sizeof words);
        assert_true(n == 0 || all == WORDS);
        all = n;
        there += n;
    }
    *whole += there == DEPTH * WORDS;
    *torn += there % WORDS != 0;
    if (known == TA_PEER_UP) {
        ++*hidden;
        assert_int_equal(there, DEPTH * WORDS);
        memset(w->window[1].base, 0, WORDS * sizeof *words);
        assert_int_equal(put_words(w, 0, 1, words, 0), TA_OK);
        assert_int_equal(ops->progress(w->t[0], w->now_ns), TA_PEER);
        run(w, 20 * LATENCY_NS);
        assert_int_equal(arrived(w, 1, 0), 0);
    }
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_BROKEN);
    assert_int_equal(ops->in_flight(w->t[0], 1), 0);
    assert_int_equal(put_words(w, 0, 1, words, 0), TA_PEER);
}

static void a_broken_path_may_lose_what_was_on_it(void **state) {
    (void)state;
    unsigned whole = 0, torn = 0, hidden = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct world w;
        uint32_t words[WORDS];
        memset(words, 0xcd, sizeof words);
        open_ranks(&w, seed);
        meet_all(&w);
        break_once(&w, &whole, &torn, &hidden);
        assert_int_equal(put_words(&w, 0, 2, words, 0), TA_OK); /* other paths are as they were */
        assert_int_equal(join(&w, 0, 1), TA_INVALID);
        ops->disconnect(w.t[0], 1);
        assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_DOWN);
        assert_int_equal(join(&w, 0, 1), TA_PEER); /* the key is of the path that broke */
        ops->disconnect(w.t[1], 0);
        make_key(&w, 0, 1);
        make_key(&w, 1, 0);
        memset(w.window[1].base, 0, WINDOW);
        assert_int_equal(join(&w, 0, 1), TA_OK);
        assert_int_equal(join(&w, 1, 0), TA_OK);
        assert_int_equal(put_words(&w, 0, 1, words, 0), TA_OK);
        assert_int_equal(put_words(&w, 1, 0, words, 0), TA_OK);
        run(&w, 20 * LATENCY_NS);
        assert_int_equal(arrived(&w, 1, 0) + arrived(&w, 0, 0) + arrived(&w, 2, 0), 3 * WORDS);
        assert_int_equal(arrived(&w, 1, sizeof words), 0);
        close_ranks(&w);
    }
    assert_in_range(whole, 20, 180);
    assert_in_range(torn, 20, 180);
    assert_in_range(hidden, 10, 100);
}

/* Once one side has given up a path, nothing of what the other still has on it arrives. */
static void a_path_given_up_carries_nothing(void **state) {
    (void)state;
    struct world w;
    uint32_t words[WORDS];
    memset(words, 0xef, sizeof words);
    open_ranks(&w, 4);
    meet_all(&w);
    assert_int_equal(put_words(&w, 0, 1, words, 0), TA_OK);
    ops->disconnect(w.t[1], 0);
    run(&w, 20 * LATENCY_NS);
    assert_int_equal(arrived(&w, 1, 0), 0);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_BROKEN);
    make_key(&w, 1, 0);
    ta_sim_break(w.fabric, 0, 1, w.now_ns); /* voids that key as well */
    ops->disconnect(w.t[0], 1);
    assert_int_equal(join(&w, 0, 1), TA_PEER);
    make_key(&w, 1, 0);
    assert_int_equal(join(&w, 0, 1), TA_OK);
    ta_sim_kill(w.fabric, 1, w.now_ns, 10);
    ta_sim_break(w.fabric, 0, 1, w.now_ns); /* the dead have no paths to break */
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_UP);
    run(&w, 100);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_DOWN);
    close_ranks(&w);
}

/* First the break is known, then, when it is detected, the death. */
static void a_broken_peer_may_die(void **state) {
    (void)state;
    struct world w;
    uint32_t words[WORDS] = {1};
    open_ranks(&w, 5);
    meet_all(&w);
    ta_sim_break(w.fabric, 0, 1, w.now_ns);
    (void)put_words(&w, 0, 1, words, 0);
    assert_int_equal(ops->progress(w.t[0], w.now_ns), TA_PEER);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_BROKEN);
    ta_sim_kill(w.fabric, 1, w.now_ns, 500);
    assert_int_equal(ops->progress(w.t[0], w.now_ns + 499), TA_OK);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_BROKEN);
    assert_int_equal(ops->progress(w.t[0], w.now_ns + 500), TA_PEER);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_DOWN);
    close_ranks(&w);
}

static ta_status put_word(struct world *w, unsigned from, unsigned to, size_t offset, uint64_t pass) {
    static const uint64_t word = 1;
    struct ta_put_segment segment = {.source = &word, .bytes = 8, .target_offset = offset, .pass = pass};
    ta_status status = ops->put(w->t[from], to, &segment, 1);
    if (status == TA_OK) run(w, 10 * LATENCY_NS);
    return status;
}

static void only_what_was_granted_is_written(void **state) {
    (void)state;
    struct world w;
    uint64_t pass, other;
    open_ranks(&w, 6);
    assert_int_equal(ops->grant(w.t[0], 1, 64, 64), TA_OK);
    assert_int_equal(ops->grant(w.t[0], 1, 1024, 16), TA_OK);
    assert_int_equal(ops->grant(w.t[0], 1, 2048, 16), TA_INVALID); /* two ranges are all there are */
    assert_int_equal(ops->grant(w.t[0], 2, WINDOW - 8, 16), TA_INVALID);
    assert_int_equal(ops->grant(w.t[0], 0, 0, 16), TA_INVALID);
    assert_int_equal(ops->grant(w.t[0], RANKS, 0, 16), TA_INVALID);
    meet_all(&w);
    for (size_t at = 0; at + 8 <= WINDOW; at += 8) {
        bool mine = (at >= 64 && at < 128) || (at >= 1024 && at < 1040);
        assert_int_equal(put_word(&w, 1, 0, at, 0), mine ? TA_OK : TA_INVALID);
        assert_int_equal(((const uint64_t *)w.window[0].base)[at / 8], mine);
    }
    assert_int_equal(ta_sim_refused(w.fabric), WINDOW / 8 - 10);
    assert_int_equal(put_word(&w, 2, 0, 2048, 0), TA_OK); /* to whom nothing was granted, all is */
    assert_int_equal(put_word(&w, 1, 0, 512, 77), TA_INVALID);
    assert_int_equal(ops->range_open(w.t[0], WINDOW, 8, &pass), TA_INVALID);
    assert_int_equal(ops->range_open(w.t[0], 512, 64, &pass), TA_OK);
    assert_int_equal(ops->range_open(w.t[2], 512, 64, &other), TA_OK);
    assert_true(pass != 0 && other != 0 && pass != other);
    assert_int_equal(put_word(&w, 1, 0, 512, 0), TA_INVALID);
    assert_int_equal(put_word(&w, 1, 0, 512, other), TA_INVALID);
    assert_int_equal(put_word(&w, 1, 0, 512, pass), TA_OK);
    assert_int_equal(put_word(&w, 1, 0, 568, pass), TA_OK);
    assert_int_equal(put_word(&w, 1, 0, 572, pass), TA_INVALID);
    assert_int_equal(put_word(&w, 1, 0, 64, pass), TA_INVALID);
    ops->close(w.t[0]);
    w.t[0] = NULL;
    assert_int_equal(put_word(&w, 1, 0, 512, pass), TA_OK); /* nobody has noticed yet: it vanishes */
    close_ranks(&w);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_path_may_lose_what_was_on_it),
        cmocka_unit_test(a_path_given_up_carries_nothing),
        cmocka_unit_test(a_broken_peer_may_die),
        cmocka_unit_test(only_what_was_granted_is_written),
    };
    return cmocka_run_group_tests_name("sim: paths", tests, NULL, NULL);
}
