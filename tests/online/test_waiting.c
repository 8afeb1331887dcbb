/* waiting and trend: records against a list searched by hand; slopes against the textbook and against chance. */
#include "expect.h"

#include <math.h>

#include "rng.h"
#include "trend.h"
#include "waiting.h"

/* --- waiting --- */

enum { ROOM = 17, STEPS = 4000 };

struct model {
    uint64_t due[ROOM + 1], number[ROOM + 1];
    unsigned n;
};

static void forget(struct model *m, unsigned i) {
    for (m->n--; i < m->n; i++) m->due[i] = m->due[i + 1], m->number[i] = m->number[i + 1];
}

static void equals_a_list(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 5);
        struct ta_waiting w;
        struct model m = {.n = 0};
        uint64_t dropped = 0, entered = 0, now = 0;
        uint32_t longest = 1 + ta_rng_below(&rng, 60), pull = 1 + ta_rng_below(&rng, 4);
        assert_ok(ta_waiting_init(&w, ROOM, sizeof(uint64_t), sizeof(uint32_t)));
        for (unsigned step = 0; step < STEPS; step++) {
            uint64_t due = now + ta_rng_below(&rng, longest);
            uint32_t label = (uint32_t)entered * 3;
            ta_waiting_add(&w, due, &entered, &label);
            m.due[m.n] = due;
            m.number[m.n++] = entered++;
            if (m.n > ROOM) forget(&m, 0), dropped++;
            now += ta_rng_below(&rng, pull);
            for (;;) {
                unsigned first = 0;
                for (unsigned i = 1; i < m.n; i++)
                    if (m.due[i] < m.due[first]) first = i;
                const void *x, *y;
                int got = ta_waiting_next(&w, now, &x, &y);
                assert_int_equal(got, m.n > 0 && m.due[first] <= now);
                if (!got) break;
                uint64_t number;
                memcpy(&number, x, sizeof number);
                memcpy(&label, y, sizeof label);
                assert_true(number == m.number[first] && label == (uint32_t)number * 3);
                forget(&m, first);
            }
            assert_true(w.held == m.n && w.dropped == dropped);
        }
        ta_waiting_free(&w);
    }
}

/* Put into an empty one in the order of the walk, what is held comes out as it would have, dropping included. */
static void a_copy_goes_on_alike(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 6);
        struct ta_waiting a, b;
        assert_ok(ta_waiting_init(&a, ROOM, sizeof(uint64_t), sizeof(uint32_t)));
        assert_ok(ta_waiting_init(&b, ROOM, sizeof(uint64_t), sizeof(uint32_t)));
        uint64_t now = 0, due;
        const void *x, *y, *x2, *y2;
        for (uint64_t i = 0, steps = ta_rng_below(&rng, 60); i < steps; i++) {
            uint32_t label = (uint32_t)i;
            ta_waiting_add(&a, now + ta_rng_below(&rng, 9), &i, &label);
            now += ta_rng_below(&rng, 2);
            (void)ta_waiting_next(&a, now, &x, &y);
        }
        for (uint32_t place = UINT32_MAX; ta_waiting_walk(&a, &place, &due, &x, &y);) ta_waiting_add(&b, due, x, y);
        assert_int_equal(a.held, b.held);
        for (uint64_t i = 100; a.held > 0; i++) {
            uint32_t label = (uint32_t)i;
            if (i < 120) ta_waiting_add(&a, now + i % 5, &i, &label);
            if (i < 120) ta_waiting_add(&b, now + i % 5, &i, &label);
            int got = ta_waiting_next(&a, ++now, &x, &y);
            assert_int_equal(got, ta_waiting_next(&b, now, &x2, &y2));
            if (got) assert_memory_equal(x, x2, sizeof(uint64_t));
            if (got) assert_memory_equal(y, y2, sizeof(uint32_t));
        }
        assert_int_equal(b.held, 0);
        ta_waiting_free(&a);
        ta_waiting_free(&b);
    }
}

static void waiting_refuses(void **state) {
    (void)state;
    struct ta_waiting w;
    assert_fails(TA_CONFIG, "at least 1", ta_waiting_init(&w, 0, 1, 1));
    for (unsigned nth = 1; nth <= 4; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_waiting_init(&w, 3, 1, 1), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
        ta_waiting_free(&w);
    }
    assert_int_equal(ta_mem_held_bytes(), 0);
}

/* --- trend --- */

/* Five points, one a block; slope, its standard error and t(.975, 3) = 3.182446 by hand. */
static void a_line_by_hand(void **state) {
    (void)state;
    const double t[] = {0, 1, 2, 3, 4}, y[] = {1, 3, 2, 5, 4};
    struct ta_trend trend;
    assert_ok(ta_trend_fit(t, y, 5, 5, .95, &trend));
    double slope = .8, error = sqrt(3.6 / 3 / 10);
    assert_true(fabs(trend.slope - slope) < 1e-12 && fabs(trend.mean - 3) < 1e-12 && trend.blocks == 5);
    assert_true(fabs(trend.high - slope - 3.182446305 * error) < 1e-6 && fabs(trend.last - 4.6) < 1e-12);
    assert_true(fabs(trend.high + trend.low - 2 * slope) < 1e-12);
}

/* The interval holds the true slope as often as it says: independent noise, and noise that remembers. */
static void the_interval_keeps_its_word(void **state) {
    (void)state;
    enum { RUNS = 1000, N = 2000 };
    static double t[N], y[N];
    for (unsigned memory = 0; memory < 2; memory++) {
        unsigned held = 0;
        for (uint64_t run = 0; run < RUNS; run++) {
            struct ta_rng rng = ta_rng_make(run, memory);
            double noise = 0;
            for (unsigned i = 0; i < N; i++) {
                noise = (memory ? .9 : 0) * noise + ta_rng_normal(&rng);
                t[i] = i;
                y[i] = .003 * i + noise;
            }
            struct ta_trend trend;
            assert_ok(ta_trend_fit(t, y, N, 10, .95, &trend));
            held += trend.low <= .003 && .003 <= trend.high;
        }
        double share = (double)held / RUNS; /* sd .007; what is left of the memory costs a little */
        print_message("95 %% intervals that hold the slope, %s noise: %.3f\n", memory ? "remembering" : "white", share);
        assert_true(share > .92 && share < .98);
    }
}

static void trend_refuses(void **state) {
    (void)state;
    const double t[] = {0, 1, 2, 3}, y[] = {1, NAN, NAN, 2};
    struct ta_trend trend;
    assert_fails(TA_AGAIN, "measure longer", ta_trend_fit(t, y, 4, 4, .95, &trend));
    assert_fails(TA_AGAIN, "0 of 4", ta_trend_fit(t, y, 0, 4, .95, &trend));
    assert_fails(TA_INVALID, "blocks", ta_trend_fit(t, y, 4, 2, .95, &trend));
    assert_fails(TA_INVALID, "confidence", ta_trend_fit(t, y, 4, 4, 1, &trend));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_list),               cmocka_unit_test(waiting_refuses),
        cmocka_unit_test(a_copy_goes_on_alike),
        cmocka_unit_test(a_line_by_hand),              cmocka_unit_test(the_interval_keeps_its_word),
        cmocka_unit_test(trend_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
