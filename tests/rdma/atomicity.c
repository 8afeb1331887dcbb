/* The test of words: it finds nothing in what is sound, and every fault that is put in by hand, each under its name. */
#include "atomicity.h"

#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "expect.h"

enum { WORDS = 1024, RUNS_NS = 100000000 };

#define BUSY_NS (60 * TA_NS_PER_S) /* a machine that has much else to do */

/* shm with a fault: what it does to the window after (or instead of) each put. */
static struct ta_window seen; /* the reader's */
static ta_status (*fault)(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n);

static ta_status window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    ta_status status = ta_transport_shm.window_create(t, bytes, out);
    if (status == TA_OK) seen = *out; /* the reader's is made last */
    return status;
}

static ta_status put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    return fault(t, peer, s, n);
}

static _Atomic uint64_t *long_at(size_t offset) { return (_Atomic uint64_t *)(void *)((char *)seen.base + offset); }

static uint64_t version_of(const struct ta_put_segment *s, unsigned n) { return *(const uint64_t *)s[n - 1].source; }

static ta_status sound(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    return ta_transport_shm.put(t, peer, s, n);
}

static ta_status swallow(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    (void)t, (void)peer, (void)s, (void)n;
    return TA_OK;
}

static ta_status breaks(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    (void)t, (void)s, (void)n;
    return ta_fail(TA_PEER, "peer %u: the cable was cut", peer);
}

/* Word 7 is always one whose upper half is of another version than the lower one. */
static ta_status tear_word(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    static uint32_t body[WORDS];
    struct ta_put_segment torn[TA_PUT_MAX_SEGMENTS];
    for (unsigned i = 0; i < WORDS; i++)
        body[i] = atomic_load_explicit((const _Atomic uint32_t *)s[0].source + i, memory_order_relaxed);
    body[7] ^= UINT32_C(0x10000);
    memcpy(torn, s, n * sizeof *s);
    torn[0].source = body;
    return ta_transport_shm.put(t, peer, torn, n);
}

static ta_status tear_long(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    uint64_t cell = *(const uint64_t *)s[4].source + (UINT64_C(1) << 32);
    struct ta_put_segment torn[TA_PUT_MAX_SEGMENTS];
    memcpy(torn, s, n * sizeof *s);
    torn[4].source = &cell;
    return ta_transport_shm.put(t, peer, torn, n);
}

/* The header says more than the body before it holds. */
static ta_status header_first(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    uint64_t version = version_of(s, n), ahead[8];
    if (version == 0) return TA_OK;
    for (unsigned i = 0; i < 8; i++) ahead[i] = version + 1000;
    struct ta_put_segment header = {.source = ahead, .bytes = sizeof ahead, .target_offset = 0};
    ta_status status = ta_transport_shm.put(t, peer, s, n - 1);
    return status == TA_OK ? ta_transport_shm.put(t, peer, &header, 1) : status;
}

/* The last word of a header is there before the others. */
static ta_status last_word_first(struct ta_transport *t, unsigned peer, const struct ta_put_segment *s, unsigned n) {
    ta_status status = ta_transport_shm.put(t, peer, s, n - 1);
    atomic_store(long_at(56), version_of(s, n));
    return status;
}

static ta_status test_with(ta_status (*what)(struct ta_transport *, unsigned, const struct ta_put_segment *, unsigned),
                           int64_t patience_ns, struct ta_atomicity *out) {
    struct ta_transport_ops ops = ta_transport_shm;
    ops.window_create = window_create;
    ops.put = put;
    fault = what;
    struct ta_atomicity_config config = {
        .ops = &ops, .duration_ns = RUNS_NS, .patience_ns = patience_ns, .words = WORDS};
    return ta_atomicity_test(&config, out);
}

static void memory_of_one_machine_keeps_words_whole(void **state) {
    (void)state;
    struct ta_atomicity found;
    int64_t begin_ns = ta_clock_now_ns();
    struct ta_atomicity_config config = {
        .ops = &ta_transport_shm, .duration_ns = 5 * RUNS_NS, .patience_ns = BUSY_NS, .words = 1 << 16};
    assert_ok(ta_atomicity_test(&config, &found));
    assert_true(ta_clock_now_ns() - begin_ns >= 5 * (int64_t)RUNS_NS);
    printf("%llu puts, %llu looks, %llu of them mixed\n", (unsigned long long)found.puts,
           (unsigned long long)found.looks, (unsigned long long)found.mixed);
    assert_true(ta_atomicity_holds(&found));
    assert_true(found.puts > 0 && found.looks >= TA_ATOMICITY_LOOKS);
    assert_ok(test_with(sound, BUSY_NS, &found)); /* so that what the faults show is theirs */
    assert_true(ta_atomicity_holds(&found) && found.looks > 0);
}

static void each_fault_has_its_name(void **state) {
    (void)state;
    struct ta_atomicity f;
    assert_ok(test_with(tear_word, BUSY_NS, &f));
    assert_true(f.torn_words > 0 && f.torn_longs == 0 && f.late_words == 0 && f.late_header == 0);
    assert_false(ta_atomicity_holds(&f));
    assert_ok(test_with(tear_long, BUSY_NS, &f));
    assert_true(f.torn_longs > 0 && f.torn_words == 0 && f.late_words == 0 && f.late_header == 0);
    assert_false(ta_atomicity_holds(&f));
    assert_ok(test_with(header_first, BUSY_NS, &f));
    assert_true(f.late_words > 0 && f.torn_words == 0 && f.torn_longs == 0);
    assert_false(ta_atomicity_holds(&f));
    assert_ok(test_with(last_word_first, BUSY_NS, &f));
    assert_true(f.late_header > 0 && f.torn_words == 0 && f.torn_longs == 0 && f.late_words == 0);
    assert_false(ta_atomicity_holds(&f));
}

static void a_path_that_carries_nothing_is_no_pass(void **state) {
    (void)state;
    struct ta_atomicity f;
    assert_fails(TA_PEER, "nothing arrived", test_with(swallow, INT64_C(2000000000), &f));
    assert_true(f.puts > 0);
    assert_fails(TA_PEER, "the cable was cut", test_with(breaks, BUSY_NS, &f));
    assert_int_equal(f.puts, 0);
}

static void wrong_askers_are_told(void **state) {
    (void)state;
    struct ta_atomicity f;
    struct ta_atomicity_config config = {.duration_ns = RUNS_NS};
    assert_fails(TA_INVALID, "needs a transport", ta_atomicity_test(&config, &f));
    config = (struct ta_atomicity_config){.ops = &ta_transport_shm, .words = TA_ATOMICITY_MAX_WORDS + 1};
    assert_fails(TA_INVALID, "16777217", ta_atomicity_test(&config, &f));
    config = (struct ta_atomicity_config){.ops = &ta_transport_self, .duration_ns = RUNS_NS};
    assert_true(ta_atomicity_test(&config, &f) != TA_OK);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct ta_atomicity f;
    size_t held = ta_mem_held_bytes();
    struct ta_atomicity_config config = {.ops = &ta_transport_shm, .duration_ns = 1000000, .words = 64};
    ta_status status = TA_NO_MEMORY;
    unsigned n = 0;
    while (status == TA_NO_MEMORY && n < 100) {
        ta_mem_fail_nth(++n);
        status = ta_atomicity_test(&config, &f);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    assert_true(n > 3 && n < 100);
    assert_true(status == TA_OK || status == TA_PEER); /* PEER: a millisecond was too short on a busy machine */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_one_machine_keeps_words_whole),
        cmocka_unit_test(each_fault_has_its_name),
        cmocka_unit_test(a_path_that_carries_nothing_is_no_pass),
        cmocka_unit_test(wrong_askers_are_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
