/* Latencies from due times: who is counted when, exact merges, lag in bounded room, files that come back bit by bit. */
#include <math.h>

#include "clock.h"
#include "expect.h"
#include "latency.h"
#include "rng.h"

enum { SECOND = 1000 * 1000 * 1000, MANY = 200 * 1000 };

static char path[64];

static struct ta_latency_batch batch_of(const int64_t *due, uint32_t n, int64_t done_ns, uint64_t step) {
    return (struct ta_latency_batch){
        .due_ns = due, .records = n, .predicted_ns = done_ns, .trained_ns = done_ns + 5, .step = step};
}

static uint64_t count_of(const struct ta_latency *l, enum ta_moment m) { return l->all->hist[m].count; }

static void three_moments(void **state) {
    (void)state;
    struct ta_latency l;
    int64_t due[] = {100, 200, 300};
    assert_ok(ta_latency_open(&l, 3, 0, false));
    ta_latency_start(&l, 1000, 1000);
    struct ta_latency_batch b = batch_of(due, 3, 1310, 7);
    ta_latency_add(&l, &b);
    assert_int_equal(l.all->hist[TA_MOMENT_PREDICTED].max, 210); /* 1310 - (1000 + 100) */
    assert_int_equal(l.all->hist[TA_MOMENT_TRAINED].max, 215);
    assert_true(ta_latency_waits(&l));
    ta_latency_visible(&l, 6, 1400);
    assert_int_equal(count_of(&l, TA_MOMENT_VISIBLE), 0);
    ta_latency_visible(&l, 7, 1500);
    assert_false(ta_latency_waits(&l));
    assert_int_equal(count_of(&l, TA_MOMENT_VISIBLE), 3);
    assert_true(l.all->hist[TA_MOMENT_VISIBLE].sum == 400 + 300 + 200);
    /* Predicted only; a step that was dropped; a clock that goes back. */
    b.trained_ns = 0;
    ta_latency_add(&l, &b);
    assert_int_equal(count_of(&l, TA_MOMENT_PREDICTED), 6);
    assert_int_equal(count_of(&l, TA_MOMENT_TRAINED), 3);
    b = batch_of(due, 1, 50, 8);
    ta_latency_add(&l, &b);
    assert_int_equal(l.all->hist[TA_MOMENT_PREDICTED].bucket[0], 1);
    ta_latency_close(&l);
    ta_latency_close(&l);
    ta_latency_add(&l, &b); /* not measured: nothing */
}

/* A batch whose update waits for those of others is counted when that is made, by due times of its own. */
static void updated_later(void **state) {
    (void)state;
    struct ta_latency l;
    int64_t due[] = {100, 200};
    assert_ok(ta_latency_open(&l, 2, 0, false));
    ta_latency_start(&l, 1000, 1000);
    struct ta_latency_batch b = {.due_ns = due, .records = 2, .predicted_ns = 1310, .step = 1};
    ta_latency_made(&l, 1400);
    assert_int_equal(count_of(&l, TA_MOMENT_TRAINED), 0);
    ta_latency_hold(&l, &b);
    assert_true(ta_latency_holds(&l));
    assert_int_equal(count_of(&l, TA_MOMENT_PREDICTED), 0);
    due[0] = due[1] = 900; /* the replayer has filled its slot anew */
    ta_latency_made(&l, 1500);
    assert_false(ta_latency_holds(&l));
    assert_true(l.all->hist[TA_MOMENT_PREDICTED].sum == 210 + 110);
    assert_true(l.all->hist[TA_MOMENT_TRAINED].sum == 400 + 300);
    ta_latency_visible(&l, 1, 1700);
    assert_true(l.all->hist[TA_MOMENT_VISIBLE].sum == 600 + 500);
    b.step = 2;
    ta_latency_hold(&l, &b);
    ta_latency_made(&l, 0); /* the sum was not finite */
    ta_latency_made(&l, 1600);
    assert_int_equal(count_of(&l, TA_MOMENT_PREDICTED), 4);
    assert_int_equal(count_of(&l, TA_MOMENT_TRAINED), 2);
    assert_false(ta_latency_waits(&l));
    ta_latency_close(&l);
    ta_latency_hold(&l, &b); /* not measured: nothing */
    assert_false(ta_latency_holds(&l));
}

static void warm_up_by_due_time(void **state) {
    (void)state;
    struct ta_latency l;
    int64_t due[] = {SECOND - 1, SECOND, SECOND + 1};
    assert_ok(ta_latency_open(&l, 3, 1, true));
    ta_latency_start(&l, 500, 500);
    struct ta_latency_batch b = batch_of(due, 3, 3 * (int64_t)SECOND, 1);
    ta_latency_add(&l, &b);
    for (unsigned m = 0; m < TA_MOMENTS; m++) assert_int_equal(l.all->hist[m].count, 2);
    ta_latency_close(&l);
    /* A later life: due times go on where the former one ended. */
    assert_ok(ta_latency_open(&l, 3, 1, true));
    ta_latency_start(&l, 10 * (int64_t)SECOND, 9 * (int64_t)SECOND);
    ta_latency_add(&l, &b);
    assert_int_equal(count_of(&l, TA_MOMENT_TRAINED), 0);
    ta_latency_close(&l);
}

/* A peer that never acknowledges: the oldest are given up, nothing is lost track of. */
static void bounded(void **state) {
    (void)state;
    struct ta_latency l;
    int64_t due[1000] = {0};
    struct ta_rng rng = ta_rng_make(1, 1);
    assert_ok(ta_latency_open(&l, 1000, 0, false));
    uint64_t sent = 0, step = 0;
    for (; sent < 10 * l.room;) {
        uint32_t n = 1 + ta_rng_below(&rng, 1000);
        struct ta_latency_batch b = batch_of(due, n, 9, ++step);
        ta_latency_add(&l, &b);
        sent += n;
        if (ta_rng_below(&rng, 50) == 0) ta_latency_visible(&l, step - ta_rng_below(&rng, 40), 99);
        assert_true(l.due_head - l.due_tail <= l.room);
    }
    for (uint64_t more = 0; more < 2 * l.room; more += 1000) {
        struct ta_latency_batch b = batch_of(due, 1000, 9, ++step);
        ta_latency_add(&l, &b);
        sent += 1000;
    }
    assert_true(l.all->unseen > 0);
    ta_latency_visible(&l, step, 99);
    assert_int_equal(count_of(&l, TA_MOMENT_VISIBLE) + l.all->unseen, sent);
    assert_int_equal(count_of(&l, TA_MOMENT_TRAINED), sent);
    ta_latency_close(&l);
}

static void lag_fits_any_run(void **state) {
    (void)state;
    static struct ta_lag_series lag;
    static double t[MANY];
    double sum = 0;
    lag = (struct ta_lag_series){0};
    for (int i = 0; i < MANY; i++) {
        int64_t at_ns = (int64_t)i * 7 * 1000 * 1000;
        t[i] = (double)at_ns / SECOND;
        ta_lag_add(&lag, at_ns, at_ns / 10);
        sum += t[i] / 10;
    }
    double held = 0;
    uint64_t samples = 0;
    for (uint32_t i = 0; i < lag.used; i++) {
        double middle = (i + .5) * (double)lag.stretch_ns / SECOND;
        held += lag.sum_s[i];
        samples += lag.samples[i];
        assert_true(fabs(lag.sum_s[i] / lag.samples[i] - middle / 10) <= (double)lag.stretch_ns / SECOND / 10);
    }
    assert_int_equal(samples, MANY);
    assert_true(fabs(held - sum) < 1e-6 * sum);
    assert_true(lag.used > TA_LAG_STRETCHES / 2 && lag.used <= TA_LAG_STRETCHES);
    ta_lag_add(&lag, -5, 1);
    ta_lag_add(&lag, INT64_MAX / 2, 1); /* far ahead: 73 years */
    assert_true(lag.used <= TA_LAG_STRETCHES);
}

static struct ta_latencies *some(uint64_t seed, uint32_t replicas, uint32_t which) {
    struct ta_latencies *l;
    assert_ok(TA_NEW(&l, 1, "latencies"));
    struct ta_rng rng = ta_rng_make(seed, 3);
    for (uint32_t i = 0; i < 30000; i++) {
        uint64_t value = (uint64_t)exp(ta_rng_uniform(&rng) * 40);
        bool ours = replicas == 1 || ta_rng_below(&rng, 1 << 16) % replicas == which;
        if (replicas == 1) (void)ta_rng_below(&rng, 1 << 16); /* the same numbers */
        if (!ours) continue;
        ta_hist_add(&l->hist[i % TA_MOMENTS], value);
        ta_lag_add(&l->lag, (int64_t)i * 1000 * 1000, (int64_t)(which * 1000 + i));
    }
    l->unseen = which;
    return l;
}

static void merges_are_exact(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct ta_latencies *whole = some(seed, 1, 0), *sum = NULL;
        assert_ok(TA_NEW(&sum, 1, "latencies"));
        for (uint32_t r = 0; r < 4; r++) {
            struct ta_latencies *part = some(seed, 4, r);
            ta_latencies_merge(sum, part);
            ta_mem_free(part);
        }
        for (unsigned m = 0; m < TA_MOMENTS; m++) {
            assert_memory_equal(sum->hist[m].bucket, whole->hist[m].bucket, sizeof sum->hist[m].bucket);
            assert_int_equal(sum->hist[m].count, whole->hist[m].count);
            assert_int_equal(sum->hist[m].max, whole->hist[m].max);
            assert_true(fabs(sum->hist[m].sum / whole->hist[m].sum - 1) < 1e-12);
        }
        assert_int_equal(sum->unseen, 0 + 1 + 2 + 3);
        ta_mem_free(whole);
        ta_mem_free(sum);
    }
}

/* The one further behind, whatever the widths of their stretches and their order. */
static void lag_of_the_last(void **state) {
    (void)state;
    static struct ta_latencies a, b, both;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    for (int i = 0; i < 3000; i++) ta_lag_add(&a.lag, (int64_t)i * 10 * 1000 * 1000, SECOND);  /* 30 s: wider */
    for (int i = 0; i < 500; i++) ta_lag_add(&b.lag, (int64_t)i * 10 * 1000 * 1000, i < 250 ? 2 * SECOND : 5);
    for (int order = 0; order < 2; order++) {
        memset(&both, 0, sizeof both);
        ta_latencies_merge(&both, order == 0 ? &a : &b);
        ta_latencies_merge(&both, order == 0 ? &b : &a);
        assert_true(both.lag.stretch_ns == a.lag.stretch_ns && both.lag.used == a.lag.used);
        for (uint32_t i = 0; i < both.lag.used; i++) {
            double mean = both.lag.sum_s[i] / both.lag.samples[i];
            double end_s = (i + 1) * (double)both.lag.stretch_ns / SECOND;
            if (end_s <= 2.5) assert_true(mean == 2);
            else assert_true(mean >= 1);
        }
    }
}

static void files_come_back(void **state) {
    (void)state;
    static struct ta_latencies back;
    struct ta_latencies *l = some(9, 1, 0);
    assert_ok(ta_latencies_write(l, path));
    assert_ok(ta_latencies_read(&back, path));
    assert_memory_equal(l, &back, sizeof back);
    memset(l, 0, sizeof *l);
    assert_ok(ta_latencies_write(l, path)); /* nothing was due */
    assert_ok(ta_latencies_read(&back, path));
    assert_memory_equal(l, &back, sizeof back);
    ta_mem_free(l);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    static struct ta_latencies back;
    struct ta_latencies *l = some(10, 1, 0);
    l->hist[1].count++;
    assert_ok(ta_latencies_write(l, path));
    assert_fails(TA_FORMAT, "trained", ta_latencies_read(&back, path));
    l->hist[1].count--;
    l->lag.stretch_ns = 3 * TA_LAG_FIRST_NS;
    assert_ok(ta_latencies_write(l, path));
    assert_fails(TA_FORMAT, "stretch", ta_latencies_read(&back, path));
    l->lag.stretch_ns = TA_LAG_FIRST_NS;
    assert_ok(ta_latencies_write(l, path));
    ta_mem_free(l);
    FILE *file = fopen(path, "rb");
    static unsigned char bytes[1 << 18];
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t cut = 0; cut < n; cut += 1 + n / 97) {
        assert_true(truncate(path, (off_t)cut) == 0);
        assert_true(ta_latencies_read(&back, path) != TA_OK);
        file = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, n, file), n);
        fclose(file);
    }
}

static void out_of_memory(void **state) {
    (void)state;
    struct ta_latency l;
    for (unsigned nth = 1; nth <= 3; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_latency_open(&l, 8, 0, false), TA_NO_MEMORY);
        ta_latency_close(&l);
    }
    ta_mem_fail_nth(0);
}

/* Three histograms and the ring; the bound is loose, as sanitizers and busy machines are slow. */
static void a_record_costs_nanoseconds(void **state) {
    (void)state;
    struct ta_latency l;
    static int64_t due[64];
    assert_ok(ta_latency_open(&l, 64, 0, false));
    for (int i = 0; i < 64; i++) due[i] = i * 1000;
    int64_t best_ns = INT64_MAX;
    for (int turn = 0; turn < 5; turn++) {
        int64_t start_ns = ta_clock_now_ns();
        for (uint64_t step = 0; step < 1000; step++) {
            struct ta_latency_batch b = batch_of(due, 64, (int64_t)step * 977 % 5000000 + 64000, step);
            ta_latency_add(&l, &b);
            ta_latency_visible(&l, step, (int64_t)step * 977 % 5000000 + 200000);
        }
        int64_t took_ns = ta_clock_now_ns() - start_ns;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    double each_ns = (double)best_ns / 64000;
    print_message("a record costs %.1f ns\n", each_ns);
    assert_true(each_ns < 1000);
    ta_latency_close(&l);
}

static int make_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/tensair-latency-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_moments),
        cmocka_unit_test(updated_later),
        cmocka_unit_test(warm_up_by_due_time),
        cmocka_unit_test(bounded),
        cmocka_unit_test(lag_fits_any_run),
        cmocka_unit_test(merges_are_exact),
        cmocka_unit_test(lag_of_the_last),
        cmocka_unit_test(files_come_back),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(a_record_costs_nanoseconds),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
