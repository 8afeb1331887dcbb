/* What only ofi can be asked: what the target's side refuses whatever a sender believes, waiting where there is no
 * order, and what a path is when its connection was lost. */
#include "ofi/ofi.h"

#include <stdlib.h>

#include "atomicity.h"
#include "clock.h"
#include "expect.h"
#include "key.h"

enum { RUN = 99, WINDOW = 1 << 16 };

static const struct ta_transport_ops *const ops = &ta_transport_ofi;

/* Rank 0 sends to rank 1; rank 2 is a bystander that sends to rank 1 too. */
struct trio {
    struct ta_transport *t[3];
    unsigned char *seen; /* rank 1's window */
    unsigned char *source; /* [WINDOW] */
};

static void meet(struct trio *w, unsigned a, unsigned b) {
    struct ta_key a_for_b, b_for_a;
    assert_ok(ops->key_make(w->t[a], b, &a_for_b));
    assert_ok(ops->key_make(w->t[b], a, &b_for_a));
    assert_ok(ops->connect(w->t[a], b, &b_for_a));
    assert_ok(ops->connect(w->t[b], a, &a_for_b));
}

static int trio_open(void **state) {
    static struct trio w;
    for (unsigned r = 0; r < 3; r++) {
        struct ta_transport_config config = {.rank = r, .n_ranks = 3, .run_id = RUN};
        struct ta_window window;
        assert_ok(ops->open(&config, &w.t[r]));
        assert_ok(ops->window_create(w.t[r], WINDOW, &window));
        if (r == 1) w.seen = window.base;
    }
    assert_ok(TA_NEW(&w.source, WINDOW, "a source"));
    for (unsigned r = 0; r < 3; r++) assert_ok(ops->source_register(w.t[r], w.source, WINDOW));
    memset(w.source, 0x5a, WINDOW);
    *state = &w;
    return 0;
}

static int trio_close(void **state) {
    struct trio *w = *state;
    for (unsigned r = 0; r < 3; r++) ops->close(w->t[r]);
    ta_mem_free(w->source);
    return 0;
}

static ta_status pass_time(struct trio *w, unsigned whose) {
    ta_status status = TA_OK;
    for (unsigned r = 0; r < 3; r++) {
        ta_status now = w->t[r] != NULL ? ops->progress(w->t[r], ta_clock_now_ns()) : TA_OK;
        if (r == whose) status = now;
    }
    return status;
}

static void put_well(struct trio *w, unsigned from, const struct ta_put_segment *segment) {
    ta_status status;
    while ((status = ops->put(w->t[from], 1, segment, 1)) == TA_BUSY) assert_ok(pass_time(w, from));
    assert_ok(status);
    do assert_ok(pass_time(w, from));
    while (ops->in_flight(w->t[from], 1) > 0);
}

/* The put is taken here and refused there: the window stays as it is, and the path is broken. */
static void refused_there(struct trio *w, const struct ta_put_segment *segment) {
    ta_status status = ops->put(w->t[0], 1, segment, 1);
    int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    if (status != TA_PEER) assert_ok(status);
    while (status != TA_PEER && ta_clock_now_ns() < limit_ns) status = pass_time(w, 0);
    assert_int_equal(status, TA_PEER);
    assert_non_null(strstr(ta_why(), "the path to peer 1 is broken"));
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_BROKEN);
    assert_int_equal(ops->in_flight(w->t[0], 1), 0);
    assert_int_equal(ops->put(w->t[0], 1, segment, 1), TA_PEER);
    assert_ok(pass_time(w, 0)); /* told once */
}

/* ---- what the owner's side refuses ---- */

typedef void change(struct ta_ofi_place *place);

/* Connects rank 0 with rank 1's key, changed as a stranger or a faulty peer might. */
static void connect_with(struct trio *w, change *how) {
    struct ta_key key, ours;
    struct ta_ofi_place place;
    struct ta_key_envelope envelope = {"ofi", RUN, 1, 0};
    assert_ok(ops->key_make(w->t[1], 0, &key));
    assert_ok(ops->key_make(w->t[0], 1, &ours));
    assert_ok(ta_key_open(&envelope, &key, &place, sizeof place));
    how(&place);
    assert_ok(ta_key_seal(&envelope, &place, sizeof place, &key));
    assert_ok(ops->connect(w->t[0], 1, &key));
    assert_ok(ops->connect(w->t[1], 0, &ours));
}

static void stretch(struct ta_ofi_place *place) { place->range[0].range.bytes += 4096; }
static void guess(struct ta_ofi_place *place) { place->range[0].key ^= 1; }
static void widen(struct ta_ofi_place *place) { place->range[0].range = (struct ta_range){0, WINDOW}; }

static void the_owners_side_refuses(void **state) {
    struct trio *w = *state;
    static const struct {
        change *how;
        struct ta_range put;
    } tries[] = {{stretch, {8192, 64}}, {stretch, {8191, 2}}, {guess, {4096, 64}}, {widen, {WINDOW - 64, 64}}};
    assert_ok(ops->grant(w->t[1], 0, 4096, 4096));
    assert_ok(ops->grant(w->t[1], 2, 16384, 4096));
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        connect_with(w, tries[i].how);
        struct ta_put_segment segment = {w->source, tries[i].put.bytes, tries[i].put.offset};
        refused_there(w, &segment);
        for (unsigned k = 0; k < WINDOW; k++) assert_int_equal(w->seen[k], 0);
        ops->disconnect(w->t[0], 1);
        ops->disconnect(w->t[1], 0);
    }
    meet(w, 2, 1); /* and the others are not disturbed */
    struct ta_put_segment theirs = {w->source, 4096, 16384};
    put_well(w, 2, &theirs);
    assert_memory_equal(w->seen + 16384, w->source, 4096);
    meet(w, 0, 1); /* nor is the path that is made with what was really granted */
    struct ta_put_segment right = {w->source, 4096, 4096};
    put_well(w, 0, &right);
    assert_memory_equal(w->seen + 4096, w->source, 4096);
    for (unsigned k = 8192; k < 16384; k++) assert_int_equal(w->seen[k], 0);
}

static void a_pass_opens_its_range_and_no_other(void **state) {
    struct trio *w = *state;
    uint64_t pass, other;
    assert_ok(ops->grant(w->t[1], 0, 0, 64));
    meet(w, 0, 1);
    assert_ok(ops->range_open(w->t[1], 5000, 1000, &pass));
    assert_ok(ops->range_open(w->t[1], 9000, 8, &other));
    assert_true(pass != 0 && other != 0 && pass != other);
    struct ta_put_segment all = {w->source, 1000, 5000, .pass = pass}, end = {w->source, 8, 9000, .pass = other};
    put_well(w, 0, &all);
    put_well(w, 0, &end);
    for (unsigned k = 0; k < WINDOW; k++)
        assert_int_equal(w->seen[k], (k >= 5000 && k < 6000) || (k >= 9000 && k < 9008) ? 0x5a : 0);
    struct ta_put_segment beyond = {w->source, 8, 6000, .pass = pass};
    refused_there(w, &beyond);
    for (unsigned k = 6000; k < 6008; k++) assert_int_equal(w->seen[k], 0);
    assert_fails(TA_INVALID, "beyond our window", ops->range_open(w->t[1], WINDOW, 1, &pass));
    assert_fails(TA_INVALID, "0 bytes", ops->range_open(w->t[1], 0, 0, &pass));
}

/* The owner gives a path up: what is put by its key is refused from then on, and a new key is another one. */
static void an_old_key_opens_nothing(void **state) {
    struct trio *w = *state;
    struct ta_key old, new, ours;
    struct ta_put_segment segment = {w->source, 64, 0};
    assert_ok(ops->key_make(w->t[1], 0, &old));
    assert_ok(ops->key_make(w->t[0], 1, &ours));
    assert_ok(ops->connect(w->t[0], 1, &old));
    assert_ok(ops->connect(w->t[1], 0, &ours));
    put_well(w, 0, &segment);
    ops->disconnect(w->t[1], 0);
    assert_ok(ops->key_make(w->t[1], 0, &new));
    assert_true(new.bytes == old.bytes && memcmp(new.data, old.data, new.bytes) != 0);
    memset(w->seen, 0, 64);
    refused_there(w, &segment);
    ops->disconnect(w->t[0], 1);
    assert_ok(ops->connect(w->t[0], 1, &old));
    refused_there(w, &segment);
    for (unsigned k = 0; k < 64; k++) assert_int_equal(w->seen[k], 0);
    ops->disconnect(w->t[0], 1);
    assert_ok(ops->connect(w->t[0], 1, &new));
    assert_ok(ops->key_make(w->t[0], 1, &ours));
    assert_ok(ops->connect(w->t[1], 0, &ours));
    put_well(w, 0, &segment);
    assert_memory_equal(w->seen, w->source, 64);
}

static void keys_that_make_no_sense_are_refused(void **state) {
    struct trio *w = *state;
    struct ta_key key;
    struct ta_ofi_place right, bad;
    struct ta_key_envelope envelope = {"ofi", RUN, 1, 0};
    assert_ok(ops->key_make(w->t[1], 0, &key));
    assert_ok(ta_key_open(&envelope, &key, &right, sizeof right));
#define REFUSED(part, assignment)                                                                                      \
    bad = right;                                                                                                       \
    bad.assignment;                                                                                                    \
    assert_ok(ta_key_seal(&envelope, &bad, sizeof bad, &key));                                                         \
    assert_fails(TA_PEER, part, ops->connect(w->t[0], 1, &key))
    REFUSED("provider 'Tcp", provider[0] = 'T');
    REFUSED("makes no sense", address_bytes = 0);
    REFUSED("makes no sense", address_bytes = UINT32_MAX);
    REFUSED("makes no sense", address_bytes = TA_OFI_ADDRESS_BYTES + 1);
    REFUSED("makes no sense", n_ranges = 0);
    REFUSED("makes no sense", n_ranges = TA_MAX_GRANTS + 1);
    REFUSED("makes no sense", n_ranges = UINT32_MAX);
    REFUSED("makes no sense", window_bytes = 1);
    REFUSED("makes no sense", range[0].range.offset = UINT64_MAX);
    REFUSED("makes no sense", range[0].range.bytes = UINT64_MAX);
#undef REFUSED
}

/* ---- time ---- */

/* What is put arrives while its target computes and calls nothing. */
static void a_computing_peer_is_written_to(void **state) {
    struct trio *w = *state;
    struct ta_put_segment segment = {w->source, WINDOW, 0};
    meet(w, 0, 1);
    assert_ok(ops->put(w->t[0], 1, &segment, 1));
    do assert_ok(ops->progress(w->t[0], ta_clock_now_ns()));
    while (ops->in_flight(w->t[0], 1) > 0);
    assert_memory_equal(w->seen, w->source, WINDOW);
}

/* A peer that stands still for longer than a lost connection is given is not lost: its connection stands. */
static void a_stopped_peer_is_waited_for(void **state) {
    struct trio *w = *state;
    struct ta_put_segment segment = {w->source, WINDOW, 0};
    meet(w, 0, 1);
    ta_ofi_helper_stop(&w->t[1]->helper);
    put_well(w, 0, &segment);
    unsigned taken = 0;
    int64_t until_ns = ta_clock_now_ns() + TA_NS_PER_S * 3 / 2;
    do {
        ta_status status = ops->put(w->t[0], 1, &segment, 1);
        taken += status == TA_OK;
        assert_true(status == TA_OK || status == TA_BUSY);
        assert_ok(ops->progress(w->t[0], ta_clock_now_ns()));
        usleep(1000);
    } while (ta_clock_now_ns() < until_ns);
    assert_true(taken >= 1 && taken <= 2 * TA_OFI_DEPTH); /* what is under way is bounded: the rest was BUSY */
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_UP);
    put_well(w, 0, &segment);
}

/* The connection is gone, and making it again is refused: libfabric alone would try for ever. */
static void a_peer_that_left_is_given_up(void **state) {
    struct trio *w = *state;
    struct ta_put_segment segment = {w->source, 8, 0};
    meet(w, 0, 1);
    put_well(w, 0, &segment);
    ops->close(w->t[1]);
    w->t[1] = NULL;
    for (int i = 0; i < 50; i++) {
        ops->progress(w->t[0], ta_clock_now_ns()); /* nothing is under way, so nothing fails: it looks well */
        usleep(1000);
    }
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_UP);
    refused_there(w, &segment);
    assert_int_equal(ops->peer_state(w->t[0], 1), TA_PEER_BROKEN);
}

/* A provider without order among writes: pretended, by waiting as for one. */
static void without_order_segments_wait(void **state) {
    struct trio *w = *state;
    enum { ROUNDS = 200 };
    meet(w, 0, 1);
    w->t[0]->choice.in_order = false;
    uint64_t header[8];
    for (uint64_t v = 1; v <= ROUNDS; v++) {
        memset(w->source, (int)v, 4096);
        for (int i = 0; i < 8; i++) header[i] = v;
        assert_ok(ops->source_register(w->t[0], header, sizeof header));
        struct ta_put_segment put[2] = {{w->source, 4096, 64}, {header, 64, 0}};
        assert_ok(ops->put(w->t[0], 1, put, 2));
        do {
            assert_true(w->t[0]->paths[1].life->ops_out <= 1);
            assert_ok(pass_time(w, 0));
            uint64_t seen = ta_window_load_u64(w->seen + 56);
            for (unsigned i = 0; i < 7; i++) assert_true(ta_window_load_u64(w->seen + 8 * i) >= seen);
            if (seen == v) assert_memory_equal(w->seen + 64, w->source, 4096);
        } while (ops->in_flight(w->t[0], 1) > 0);
    }
    assert_int_equal(ta_window_load_u64(w->seen + 56), ROUNDS);
}

/* Order and versions hold strictly. Words of a body are copied by the kernel over tcp (see ofi.c): not one in 100,000
 * may be torn, where a copy by bytes would tear thousands. */
static void versions_hold_and_words_nearly(void **state) {
    (void)state;
    struct ta_atomicity_config config = {.ops = ops, .duration_ns = TA_NS_PER_S * 3 / 2, .words = 1 << 16};
    struct ta_atomicity found;
    assert_ok(ta_atomicity_test(&config, &found));
    printf("%llu puts, %llu looks, %llu of them at several versions; torn %llu and %llu, late %llu and %llu\n",
           (unsigned long long)found.puts, (unsigned long long)found.looks, (unsigned long long)found.mixed,
           (unsigned long long)found.torn_words, (unsigned long long)found.torn_longs,
           (unsigned long long)found.late_words, (unsigned long long)found.late_header);
    assert_true(found.puts > 0 && found.looks > 0);
    assert_int_equal(found.torn_longs, 0);
    assert_int_equal(found.late_words, 0);
    assert_int_equal(found.late_header, 0);
    assert_true(found.torn_words <= found.looks * config.words / 100000);
}

static void it_says_what_it_uses(void **state) {
    struct trio *w = *state;
    char said[512], probed[512];
    meet(w, 0, 1);
    assert_ok(ops->probe(NULL, probed, sizeof probed));
    ops->describe(w->t[0], said, sizeof said);
    assert_non_null(strstr(said, probed));
    assert_non_null(strstr(said, ", 1 paths, "));
    char none[] = "carrier-pigeon", nowhere[] = "eth-none";
    const struct ta_transport_spec specs[] = {{.provider = none}, {.device = nowhere}};
    for (int i = 0; i < 2; i++) {
        struct ta_transport_config config = {.n_ranks = 2, .spec = &specs[i]};
        struct ta_transport *t;
        assert_fails(TA_DEVICE, i == 0 ? none : nowhere, ops->probe(&specs[i], said, sizeof said));
        assert_fails(TA_DEVICE, "there are: tcp;ofi_rxm", ops->open(&config, &t));
        assert_null(t);
    }
}

int main(void) {
    char said[512];
    if (ops->probe(NULL, said, sizeof said) != TA_OK) {
        printf("SKIPPED: %s\n", ta_why());
        return 77;
    }
#define TEST(f) cmocka_unit_test_setup_teardown(f, trio_open, trio_close)
    const struct CMUnitTest tests[] = {
        TEST(the_owners_side_refuses),
        TEST(a_pass_opens_its_range_and_no_other),
        TEST(an_old_key_opens_nothing),
        TEST(keys_that_make_no_sense_are_refused),
        TEST(a_computing_peer_is_written_to),
        TEST(a_stopped_peer_is_waited_for),
        TEST(a_peer_that_left_is_given_up),
        TEST(without_order_segments_wait),
        TEST(it_says_what_it_uses),
        cmocka_unit_test(versions_hold_and_words_nearly),
    };
    return cmocka_run_group_tests_name("ofi", tests, NULL, NULL);
}
