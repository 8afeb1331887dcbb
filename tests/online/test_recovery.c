/* recovery: what a drift cost, against a count over single records, and where it cannot be told. */
#include <math.h>
#include <string.h>

#include "expect.h"
#include "recovery.h"
#include "streams.h"

enum { RECORDS = 12000, DRIFT = 4000, END = 9000, STRETCH = 50, WINDOW = 500 };

/* Accuracy is .9, falls to .3 at the drift, and climbs back over `slow` records; hits are drawn from `seed`. */
static void draw(uint64_t seed, unsigned slow, unsigned char *hit) {
    struct java random = java_make(seed);
    for (unsigned i = 0; i < RECORDS; i++) {
        double p = i < DRIFT ? .9 : i - DRIFT < slow ? .3 + .6 * (i - DRIFT) / slow : .9;
        hit[i] = java_uniform(&random) < p;
    }
}

static size_t cut(const unsigned char *hit, struct ta_stretch *out) {
    size_t n = 0;
    for (unsigned i = 0; i < RECORDS; i += STRETCH, n++) {
        out[n] = (struct ta_stretch){.first = i, .last = i + STRETCH - 1, .records = STRETCH, .trained = 7};
        out[n].due_s = (double)out[n].last / 1000;
        for (unsigned k = 0; k < STRETCH; k++) out[n].hits += hit[i + k];
    }
    return n;
}

static double share(const unsigned char *hit, unsigned from) {
    unsigned sum = 0;
    for (unsigned i = from; i < from + WINDOW; i++) sum += hit[i];
    return (double)sum / WINDOW;
}

static const struct ta_recovery_spec usual = {.drift = DRIFT, .end = END, .window = WINDOW, .fraction = .95};

static void is_what_single_records_say(void **state) {
    (void)state;
    static unsigned char hit[RECORDS];
    static struct ta_stretch list[RECORDS / STRETCH];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct ta_recovery r;
        draw(seed, (unsigned)(100 * (seed % 40)), hit);
        size_t n = cut(hit, list);
        double wanted = .95 * share(hit, DRIFT - WINDOW);
        unsigned place = DRIFT;
        while (place + WINDOW <= END && share(hit, place) < wanted) place += STRETCH;
        ta_recovery_find(list, n, &usual, &r);
        assert_true(fabs(r.before - share(hit, DRIFT - WINDOW)) < 1e-12);
        assert_int_equal(r.trained, 7 * (END - DRIFT) / STRETCH);
        if (place + WINDOW > END) {
            assert_true(r.records == UINT64_MAX && isnan(r.seconds));
        } else {
            assert_int_equal(r.records, place - DRIFT);
            assert_true(fabs(r.seconds - (place - DRIFT) / 1000.) < 1e-9);
        }
    }
}

/* Two replicas that share the stream by turns say what one says, but for the length of a stretch; order is no
 * matter. */
static void replicas_add_up(void **state) {
    (void)state;
    static unsigned char hit[RECORDS];
    static struct ta_stretch one[RECORDS / STRETCH], two[RECORDS / STRETCH];
    draw(3, 2000, hit);
    size_t n = cut(hit, one);
    for (size_t i = 0; i < n; i++) {
        unsigned first = (unsigned)(i / 2 * 2 * STRETCH + i % 2);
        two[n - 1 - i] = (struct ta_stretch){
            .first = first, .last = first + 2 * (STRETCH - 1), .records = STRETCH, .trained = 7, .due_s = NAN};
        for (unsigned k = 0; k < STRETCH; k++) two[n - 1 - i].hits += hit[first + 2 * k];
    }
    struct ta_recovery a, b;
    ta_stretches_sort(two, n);
    ta_recovery_find(one, n, &usual, &a);
    ta_recovery_find(two, n, &usual, &b);
    assert_true(a.before == b.before && a.trained == b.trained);
    assert_true(fabs((double)a.records - (double)b.records) <= 2 * STRETCH);
    assert_true(a.records > 500 && isnan(b.seconds));
}

static void what_cannot_be_told(void **state) {
    (void)state;
    static unsigned char hit[RECORDS];
    static struct ta_stretch list[RECORDS / STRETCH];
    struct ta_recovery r;
    struct ta_recovery_spec spec = usual;
    spec.fraction = .9;
    draw(1, 0, hit);
    size_t n = cut(hit, list);
    ta_recovery_find(list, n, &spec, &r); /* no harm was done */
    assert_true(r.records == 0 && r.seconds == 0);
    spec.width = 1000; /* it is looked at where the change is complete */
    ta_recovery_find(list, n, &spec, &r);
    assert_true(r.records == 1000 && fabs(r.seconds - 1) < 1e-9);
    spec = usual;
    spec.end = DRIFT + WINDOW - 1; /* too short to tell */
    ta_recovery_find(list, n, &spec, &r);
    assert_true(r.records == UINT64_MAX && isnan(r.seconds));
    spec = usual;
    spec.drift = WINDOW - 1; /* nothing to compare with */
    ta_recovery_find(list, n, &spec, &r);
    assert_true(isnan(r.before) && r.records == UINT64_MAX);
    ta_recovery_find(list, 0, &usual, &r);
    assert_true(isnan(r.before) && r.records == UINT64_MAX && r.trained == 0);
    memset(hit + DRIFT, 0, sizeof hit - DRIFT);
    ta_recovery_find(list, cut(hit, list), &usual, &r); /* never again */
    assert_true(r.before > .8 && r.records == UINT64_MAX && isnan(r.seconds));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_what_single_records_say), cmocka_unit_test(replicas_add_up),
                                       cmocka_unit_test(what_cannot_be_told)};
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
