/* The ring between reader and consumer: order, completeness, pacing, dropping, errors, and closing at any moment. Time
 * is an argument, so pacing is tested with numbers, not with sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "replayer_rig.h"

static const struct fake_options plain = {.records = 1003, .c = 5, .bad_record = UINT64_MAX};

static void replicas_see_all_once(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 5; n++)
        for (uint64_t block = 0; block <= 64; block += 16) {
            unsigned seen[2508] = {0};
            for (unsigned rank = 0; rank < n; rank++) {
                struct rig rig;
                struct fake_options options = plain;
                options.block = block;
                options.values = n == 2;
                options.scale = 0.5F;
                options.offset = (float)rank;
                rig_make(&rig, &options, rank, n);
                rig.config.epochs = 2.5; /* 2507.5 -> 2508 records; batches run over the end of a pass */
                rig_open(&rig, 0);
                drain(&rig, seen);
                if (block == 64 && n == 1) assert_in_range(rig.fake.reads, 40, 50); /* each block once a pass */
                rig_free(&rig);
            }
            for (int i = 0; i < 2508; i++) assert_int_equal(seen[i], 1);
        }
}

static void runs_end_where_they_should(void **state) {
    (void)state;
    const struct {
        double epochs;
        uint64_t max_records, total;
    } cases[] = {{1, 0, 1003}, {0, 1500, 1500}, {3, 7, 7}, {0.01, 0, 10}, {1, 5000, 1003}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        unsigned seen[1500] = {0};
        rig_make(&rig, &plain, 0, 1);
        rig.config.epochs = cases[i].epochs;
        rig.config.max_records = cases[i].max_records;
        rig_open(&rig, 0);
        assert_int_equal(drain(&rig, seen), cases[i].total);
        struct ta_replayer_stats stats;
        ta_replayer_stats(rig.r, &stats);
        assert_int_equal(stats.records, cases[i].total);
        assert_int_equal(stats.batches, (cases[i].total + 9) / 10);
        assert_int_equal(stats.dropped_records, 0);
        rig_free(&rig);
    }
}

static void due_times_hold_batches_back(void **state) {
    (void)state;
    struct rig rig;
    const struct ta_batch *b;
    rig_make(&rig, &plain, 0, 1);
    rig.config.pace = (struct ta_pacer_spec){.pace = TA_PACE_CONSTANT, .rate_per_s = 1e6}; /* a record a microsecond */
    rig_open(&rig, 5000000);
    assert_int_equal(ta_replayer_origin_ns(rig.r), 5000000);
    assert_int_equal(patient_next(rig.r, 5008999, &b), TA_AGAIN); /* record 9 is due at 9 us */
    assert_int_equal(ta_replayer_wake_ns(rig.r, 5000000), 5009000);
    assert_int_equal(patient_next(rig.r, 5009000, &b), TA_OK);
    assert_int_equal(b->due_ns, 9000);
    for (int i = 0; i < 10; i++) assert_int_equal(b->due_each_ns[i], i * 1000);
    ta_replayer_release(rig.r, b);
    assert_int_equal(patient_next(rig.r, 5009000, &b), TA_AGAIN);
    assert_int_equal(patient_next(rig.r, 5029500, &b), TA_OK);
    struct ta_replayer_stats stats;
    ta_replayer_stats(rig.r, &stats);
    assert_int_equal(stats.lag_ns, 10500);
    rig_free(&rig);
}

/* A later life: what was done is left out, and the clock stands where the first missing record is due. */
static void resume_moves_the_clock(void **state) {
    (void)state;
    for (int trace = 0; trace < 2; trace++) {
        struct rig rig;
        struct fake_options options = plain;
        options.with_time = true;
        rig_make(&rig, &options, 0, 1);
        for (uint64_t done = 0; done < 20; done++) assert_int_equal(ta_frontier_add(&rig.share.start, done), TA_OK);
        assert_int_equal(ta_frontier_add(&rig.share.start, 21), TA_OK);
        assert_int_equal(ta_frontier_copy(&rig.share.done, &rig.share.start), TA_OK);
        assert_int_equal(ta_share_done(&rig.share, 22), TA_OK); /* trained since the life began */
        rig.config.pace = trace ? (struct ta_pacer_spec){.pace = TA_PACE_TRACE, .speed = 0.5}
                                : (struct ta_pacer_spec){.pace = TA_PACE_CONSTANT, .rate_per_s = 1e6};
        int64_t first_ns = trace ? 200 * 200 * 2000 : 200 * 1000, last_ns = trace ? 209 * 209 * 2000 : 209 * 1000;
        rig_open(&rig, 777);
        assert_int_equal(ta_replayer_origin_ns(rig.r), 777 - first_ns);
        const struct ta_batch *b;
        assert_int_equal(patient_next(rig.r, 776 + last_ns - first_ns, &b), TA_AGAIN);
        assert_int_equal(patient_next(rig.r, 777 + last_ns - first_ns, &b), TA_OK);
        assert_int_equal(b->number, 20);
        assert_int_equal(b->due_ns, last_ns);
        ta_replayer_release(rig.r, b);
        assert_int_equal(patient_next(rig.r, TA_NS_PER_S, &b), TA_OK);
        assert_int_equal(b->number, 23);
        rig_free(&rig);
    }
}

/* The recorded times of one pass follow those of the pass before, a mean gap behind. */
static void traces_go_on_over_passes(void **state) {
    (void)state;
    struct rig rig;
    struct fake_options options = {.records = 11, .c = 5, .bad_record = UINT64_MAX, .with_time = true};
    rig_make(&rig, &options, 0, 1);
    rig.config.pace = (struct ta_pacer_spec){.pace = TA_PACE_TRACE, .speed = 1};
    rig.config.epochs = 3;
    rig_open(&rig, 0);
    const struct ta_batch *b;
    for (uint64_t record = 0; record < 33; record += 10) {
        assert_int_equal(patient_next(rig.r, TA_NS_PER_S, &b), TA_OK);
        for (uint32_t i = 0; i < b->records; i++) {
            int64_t pass = (int64_t)(record + i) / 11, at = (int64_t)(record + i) % 11;
            assert_int_equal(b->due_each_ns[i], pass * (100000 + 10000) + at * at * 1000);
        }
        ta_replayer_release(rig.r, b);
    }
    rig_free(&rig);
}

static void overload_drops_what_is_late(void **state) {
    (void)state;
    struct rig rig;
    struct fake_options options = plain;
    options.records = UINT64_MAX;
    rig_make(&rig, &options, 1, 2);
    rig.config.pace = (struct ta_pacer_spec){.pace = TA_PACE_CONSTANT, .rate_per_s = 1e6};
    rig.config.on_overload = TA_OVERLOAD_DROP;
    rig.config.max_lag_s = 50e-6;
    rig_open(&rig, 0);
    const struct ta_batch *b;
    /* at 10 ms, batches due before 9.95 ms are dropped: our first in time ends with record >= 9950 */
    assert_int_equal(patient_next(rig.r, 10000000, &b), TA_OK);
    assert_int_equal(b->number, 995);
    check_batch(&rig, b);
    struct ta_replayer_stats stats;
    ta_replayer_stats(rig.r, &stats);
    assert_int_equal(stats.dropped_batches, 497);
    assert_int_equal(stats.dropped_records, 4970);
    assert_int_equal(stats.records, 10);
    assert_int_equal(ta_frontier_count(&rig.share.done), 497);
    assert_true(ta_frontier_has(&rig.share.done, 993) && !ta_frontier_has(&rig.share.done, 995));
    ta_replayer_release(rig.r, b);
    rig_free(&rig);
    /* at most what was in the ring when the horizon moved was read in vain */
    assert_true(rig.fake.records_read <= 10 * (2 * 4 + 8));
    rig_make(&rig, &plain, 0, 1);
    rig.config.pace = (struct ta_pacer_spec){.pace = TA_PACE_CONSTANT, .rate_per_s = 1e6};
    rig_open(&rig, 0);
    assert_int_equal(patient_next(rig.r, TA_NS_PER_S, &b), TA_OK);
    assert_int_equal(b->number, 0); /* lag, on the other hand, loses nothing */
    rig_free(&rig);
}

static void a_slow_reader_is_counted(void **state) {
    (void)state;
    struct rig rig;
    struct fake_options options = plain;
    options.read_ms = 20;
    rig_make(&rig, &options, 0, 1);
    rig.config.max_records = 30;
    rig_open(&rig, 0);
    unsigned seen[30] = {0};
    assert_int_equal(drain(&rig, seen), 30);
    struct ta_replayer_stats stats;
    ta_replayer_stats(rig.r, &stats);
    assert_in_range(stats.starved, 1, 3); /* once a gap, not once a call */
    rig_free(&rig);
}

/* wake_ns must not say "never" before next has said END, whatever the reader has come to meanwhile. */
static void only_next_ends_a_run(void **state) {
    (void)state;
    struct rig rig;
    const struct ta_batch *b;
    rig_make(&rig, &plain, 0, 1);
    rig.config.max_records = 10;
    rig_open(&rig, 0);
    assert_int_equal(patient_next(rig.r, 0, &b), TA_OK);
    ta_replayer_release(rig.r, b);
    ta_clock_sleep_until(ta_clock_now_ns() + TA_NS_PER_S / 10, 0); /* the reader is through, most likely */
    assert_int_equal(ta_replayer_wake_ns(rig.r, 3), 3);
    unsigned none;
    assert_int_equal(drain(&rig, &none), 0); /* END, and only then "never" */
    rig_free(&rig);
}

/* A consumer that holds the whole ring is told AGAIN, and slots come back in any order. */
static void slots_come_back_in_any_order(void **state) {
    (void)state;
    struct rig rig;
    const struct ta_batch *b[4], *more;
    rig_make(&rig, &plain, 0, 1);
    rig_open(&rig, 0);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4; i++) assert_int_equal(patient_next(rig.r, 0, &b[i]), TA_OK);
        assert_int_equal(ta_replayer_next(rig.r, 0, &more), TA_AGAIN);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(b[i]->number, round * 4 + i);
            check_batch(&rig, b[i]); /* still whole */
        }
        const int orders[3][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
        for (int i = 0; i < 4; i++) ta_replayer_release(rig.r, b[orders[round % 3][i]]);
    }
    rig_free(&rig);
}

static void errors_come_after_what_was_read(void **state) {
    (void)state;
    for (uint64_t block = 0; block <= 8; block += 8) {
        struct rig rig;
        struct fake_options options = plain;
        options.block = block;
        options.bad_record = 57;
        rig_make(&rig, &options, 0, 1);
        rig_open(&rig, 0);
        const struct ta_batch *b;
        for (uint64_t i = 0; i < 5; i++) {
            assert_int_equal(patient_next(rig.r, 0, &b), TA_OK);
            check_batch(&rig, b);
            ta_replayer_release(rig.r, b);
        }
        for (int i = 0; i < 3; i++) { /* and it stays so */
            ta_why_clear();
            assert_int_equal(patient_next(rig.r, 0, &b), TA_FORMAT);
            assert_string_equal(ta_why(), "fake: /x: record 57 is bad");
            assert_null(b);
        }
        rig_free(&rig);
    }
}

static void close_at_any_moment(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    struct fake_options options = plain;
    for (int i = 0; i < 60; i++) {
        struct rig rig;
        options.read_ms = i % 3;
        rig_make(&rig, &options, 0, 1);
        rig.config.epochs = 0;
        rig_open(&rig, 0);
        for (int j = 0; j < i % 7; j++) {
            const struct ta_batch *b;
            assert_int_equal(patient_next(rig.r, 0, &b), TA_OK);
            if (i % 2) ta_replayer_release(rig.r, b);
            if (i % 2 == 0 && j == 3) break; /* all of the ring is ours */
        }
        rig_free(&rig);
    }
    assert_int_equal(ta_mem_held_bytes(), held);
    ta_replayer_close(NULL);
}

static void out_of_memory_leaks_nothing(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (int values = 0; values < 2; values++) {
        unsigned nth = 0;
        for (ta_status status = TA_NO_MEMORY; status != TA_OK;) {
            struct rig rig;
            struct fake_options options = plain;
            options.values = values;
            rig_make(&rig, &options, 0, 1);
            ta_mem_fail_nth(++nth);
            status = ta_replayer_open(&rig.config, &rig.r);
            ta_mem_fail_nth(0);
            assert_true(status == TA_OK || (status == TA_NO_MEMORY && rig.r == NULL && strstr(ta_why(), "memory")));
            rig_free(&rig);
            assert_int_equal(ta_mem_held_bytes(), held);
        }
        assert_in_range(nth, 6, 20);
    }
}

static void refuses(struct rig *rig, ta_status wanted, const char *word) {
    assert_int_equal(ta_replayer_open(&rig->config, &rig->r), wanted);
    if (strstr(ta_why(), word) == NULL) fail_msg("'%s' does not say '%s'", ta_why(), word);
    assert_null(rig->r);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    struct rig rig;
    rig_make(&rig, &plain, 0, 1);
    struct ta_replayer_config good = rig.config;
#define REFUSES(field, value, status, word) (rig.config = good, rig.config.field = (value), refuses(&rig, status, word))
    REFUSES(batch, 0, TA_CONFIG, "batch is 0");
    REFUSES(epochs, -1, TA_CONFIG, "epochs is -1");
    REFUSES(epochs, 0.0 / 0.0, TA_CONFIG, "epochs is");
    REFUSES(ring, 1 << 30, TA_CONFIG, "ring is 1073741824");
    rig.fake.base.info.c = 1 << 30; /* 2^64 bytes in all */
    REFUSES(batch, UINT32_MAX, TA_NO_MEMORY, "more than a process can hold");
    rig.fake.base.info.c = plain.c;
    REFUSES(pace.pace, TA_PACE_TRACE, TA_CONFIG, "/t");
    REFUSES(pace.pace, TA_PACE_CONSTANT, TA_CONFIG, "rate is 0");
    REFUSES(on_overload, TA_OVERLOAD_DROP, TA_CONFIG, "pace max");
    REFUSES(share, NULL, TA_INVALID, "share");
    rig.config = good;
    const struct ta_batch *b;
    assert_int_equal(ta_replayer_open(&rig.config, &rig.r), TA_OK);
    assert_int_equal(ta_replayer_next(rig.r, 0, &b), TA_INVALID);
    rig_free(&rig);
}

/* Without a reader nothing is ever waited for: each call gives the next batch, or none as the ring is out. */
static void in_line_reads_when_asked(void **state) {
    struct rig rig;
    const struct ta_batch *b, *held[4];
    (void)state;
    rig_make(&rig, &plain, 1, 3);
    rig.config.in_line = true;
    rig_open(&rig, 0);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(ta_replayer_next(rig.r, 0, &held[i]), TA_OK);
    assert_int_equal(ta_replayer_next(rig.r, 0, &b), TA_AGAIN);
    for (unsigned i = 4; i > 0; i--) ta_replayer_release(rig.r, held[i - 1]);
    uint64_t records = 0, before = held[3]->number;
    for (ta_status status; (status = ta_replayer_next(rig.r, 0, &b)) != TA_END;) {
        assert_int_equal(status, TA_OK);
        assert_int_equal(b->number, before + 3);
        check_batch(&rig, b);
        before = b->number;
        records += b->records;
        ta_replayer_release(rig.r, b);
    }
    assert_int_equal(records, 33 * 10 + 3 - 40); /* batches 1, 4, ... 100, the last one of 3 records, less the four above */
    rig_free(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_see_all_once),        cmocka_unit_test(runs_end_where_they_should),
        cmocka_unit_test(due_times_hold_batches_back),  cmocka_unit_test(resume_moves_the_clock),
        cmocka_unit_test(traces_go_on_over_passes),     cmocka_unit_test(overload_drops_what_is_late),
        cmocka_unit_test(a_slow_reader_is_counted),     cmocka_unit_test(only_next_ends_a_run),
        cmocka_unit_test(slots_come_back_in_any_order), cmocka_unit_test(errors_come_after_what_was_read),
        cmocka_unit_test(close_at_any_moment),          cmocka_unit_test(out_of_memory_leaks_nothing),
        cmocka_unit_test(nonsense_is_refused),          cmocka_unit_test(in_line_reads_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
