/* Sets of batches against a plain array of flags, and the property that the dealing is for: whatever the lives of a
 * run, each batch is trained exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "share.h"

enum { SPAN = 700 };

static void equals(const struct ta_frontier *f, const bool *flags) {
    uint64_t base = 0, count = 0;
    while (base < SPAN && flags[base]) base++;
    for (uint64_t i = 0; i < SPAN; i++) {
        assert_int_equal(ta_frontier_has(f, i), flags[i]);
        count += flags[i];
    }
    assert_int_equal(f->base, base);
    assert_int_equal(ta_frontier_count(f), count);
}

/* A random set: dense below `dense`, sparse above. */
static void random_set(struct ta_rng *rng, struct ta_frontier *f, bool *flags) {
    uint32_t dense = ta_rng_below(rng, SPAN), extra = ta_rng_below(rng, 60);
    memset(flags, 0, SPAN * sizeof *flags);
    for (uint32_t i = 0; i < dense; i++) {
        uint32_t batch = ta_rng_below(rng, 3) ? i : ta_rng_below(rng, SPAN);
        assert_int_equal(ta_frontier_add(f, batch), TA_OK);
        flags[batch] = true;
    }
    for (uint32_t i = 0; i < extra; i++) {
        uint32_t batch = ta_rng_below(rng, SPAN);
        assert_int_equal(ta_frontier_add(f, batch), TA_OK);
        flags[batch] = true;
    }
}

static void sets_do_what_flags_do(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(1, 1);
    for (int round = 0; round < 200; round++) {
        struct ta_frontier a = {0}, b = {0}, c = {0};
        bool in_a[SPAN], in_b[SPAN];
        random_set(&rng, &a, in_a);
        random_set(&rng, &b, in_b);
        equals(&a, in_a);
        assert_int_equal(ta_frontier_copy(&c, &a), TA_OK);
        equals(&c, in_a);
        assert_int_equal(ta_frontier_merge(&a, &b), TA_OK);
        assert_int_equal(ta_frontier_merge(&b, &c), TA_OK);
        for (int i = 0; i < SPAN; i++) in_a[i] |= in_b[i];
        equals(&a, in_a);
        equals(&b, in_a);
        ta_frontier_free(&a);
        ta_frontier_free(&b);
        ta_frontier_free(&c);
    }
}

static void in_order_needs_one_word(void **state) {
    (void)state;
    struct ta_frontier f = {0};
    for (uint64_t i = 0; i < 100000; i++) assert_int_equal(ta_frontier_add(&f, i), TA_OK);
    assert_int_equal(f.base, 100000);
    assert_int_equal(f.words, 1);
    /* a set from far on costs what lies above its base, not what lies below */
    struct ta_frontier far = {.base = UINT64_C(1) << 60}, near = {0};
    assert_int_equal(ta_frontier_add(&far, far.base + 3), TA_OK);
    assert_int_equal(ta_frontier_merge(&near, &far), TA_OK);
    assert_int_equal(near.base, far.base);
    assert_true(ta_frontier_has(&near, far.base + 3) && near.words == 1);
    ta_frontier_free(&f);
    ta_frontier_free(&far);
    ta_frontier_free(&near);
}

/* A file may hold a bitmap whose first bits are set: a copy puts that right. */
static void copy_settles(void **state) {
    (void)state;
    uint64_t word = 0x17;
    struct ta_frontier raw = {.base = 10, .bits = &word, .words = 1}, f = {0};
    assert_int_equal(ta_frontier_copy(&f, &raw), TA_OK);
    assert_int_equal(f.base, 13);
    assert_true(ta_frontier_has(&f, 14) && !ta_frontier_has(&f, 13) && !ta_frontier_has(&f, 15));
    ta_frontier_free(&f);
}

static void out_of_memory_changes_nothing(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    struct ta_frontier a = {0}, b = {0};
    for (uint64_t i = 0; i < 10; i++) assert_int_equal(ta_frontier_add(&a, 2 * i), TA_OK);
    assert_int_equal(ta_frontier_add(&b, 5000), TA_OK);
    uint64_t count = ta_frontier_count(&a);
    ta_mem_fail_nth(1);
    assert_int_equal(ta_frontier_add(&a, 4000), TA_NO_MEMORY);
    ta_mem_fail_nth(1);
    assert_int_equal(ta_frontier_merge(&a, &b), TA_NO_MEMORY);
    ta_mem_fail_nth(1);
    assert_int_equal(ta_frontier_copy(&a, &b), TA_NO_MEMORY);
    assert_int_equal(ta_frontier_add(&a, UINT64_MAX), TA_NO_MEMORY); /* 2^58 words */
    assert_int_equal(ta_frontier_count(&a), count);
    struct ta_share share;
    for (unsigned nth = 1; nth <= 2; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_share_init(&share, 0, 2, &a), TA_NO_MEMORY);
        ta_share_free(&share);
    }
    ta_mem_fail_nth(0);
    assert_int_equal(ta_frontier_dealt(&a, &b, NULL, 0, 1), TA_INVALID);
    assert_int_equal(ta_share_init(&share, 2, 2, NULL), TA_INVALID);
    assert_int_equal(ta_share_init(&share, 0, 0, NULL), TA_INVALID);
    ta_frontier_free(&a);
    ta_frontier_free(&b);
    assert_int_equal(ta_mem_held_bytes(), held);
}

/* One life: n replicas get some way, each its own; then their sets are merged, as at a checkpoint. */
static void live(struct ta_rng *rng, struct ta_frontier *done, unsigned n, uint64_t end, unsigned *trained, bool last) {
    struct ta_frontier merged = {0}, dealt = {0};
    uint64_t counts[9] = {0};
    for (unsigned rank = 0; rank < n; rank++) {
        struct ta_share share;
        assert_int_equal(ta_share_init(&share, rank, n, done), TA_OK);
        uint64_t steps = last ? UINT64_MAX : ta_rng_below(rng, (uint32_t)(end / n + 2)), batch, before = 0;
        for (uint64_t i = 0; i < steps && ta_share_next(&share, end, &batch); i++) {
            assert_true(batch < end && (i == 0 || batch > before)); /* in order */
            before = batch;
            trained[batch]++;
            counts[rank]++;
            assert_int_equal(ta_share_done(&share, batch), TA_OK);
        }
        assert_int_equal(ta_frontier_merge(&merged, &share.done), TA_OK);
        ta_share_free(&share);
    }
    /* Known from the counts alone, too. */
    assert_int_equal(ta_frontier_dealt(&dealt, done, counts, n, end), TA_OK);
    assert_int_equal(dealt.base, merged.base);
    for (uint64_t i = 0; i < end; i++) assert_int_equal(ta_frontier_has(&dealt, i), ta_frontier_has(&merged, i));
    for (unsigned rank = 0; rank < n && last; rank++) counts[rank] = UINT64_MAX >> ta_rng_below(rng, 20); /* nonsense */
    assert_int_equal(ta_frontier_dealt(&dealt, done, counts, n, end), TA_OK);
    assert_true(!last || dealt.base == end);
    ta_frontier_free(&dealt);
    assert_int_equal(ta_frontier_copy(done, &merged), TA_OK);
    ta_frontier_free(&merged);
}

static void each_batch_once_whatever_the_lives(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 1);
    for (int round = 0; round < 300; round++) {
        uint64_t end = 1 + ta_rng_below(&rng, 600);
        unsigned *trained = calloc(end, sizeof *trained), lives = ta_rng_below(&rng, 6);
        struct ta_frontier done = {0};
        for (unsigned i = 0; i < lives; i++) live(&rng, &done, 1 + ta_rng_below(&rng, 9), end, trained, false);
        live(&rng, &done, 1 + ta_rng_below(&rng, 9), end, trained, true);
        for (uint64_t i = 0; i < end; i++) assert_int_equal(trained[i], 1);
        assert_int_equal(done.base, end);
        ta_frontier_free(&done);
        free(trained);
    }
}

static void dealing_is_round_robin(void **state) {
    (void)state;
    for (unsigned rank = 0; rank < 3; rank++) {
        struct ta_share share;
        uint64_t batch;
        assert_int_equal(ta_share_init(&share, rank, 3, NULL), TA_OK);
        for (uint64_t i = 0; i < 50; i++) {
            assert_true(ta_share_next(&share, 150, &batch));
            assert_int_equal(batch, 3 * i + rank);
        }
        assert_false(ta_share_next(&share, 150, &batch));
        assert_false(ta_share_next(&share, 150, &batch));
        assert_true(ta_share_next(&share, UINT64_MAX, &batch)); /* the end may move */
        ta_share_free(&share);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_do_what_flags_do),
        cmocka_unit_test(in_order_needs_one_word),
        cmocka_unit_test(copy_settles),
        cmocka_unit_test(out_of_memory_changes_nothing),
        cmocka_unit_test(each_batch_once_whatever_the_lives),
        cmocka_unit_test(dealing_is_round_robin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
