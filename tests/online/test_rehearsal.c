/* rehearsal: what is held, and how fairly. */
#include "expect.h"

#include <math.h>

#include "rehearsal.h"
#include "rng.h"

struct record {
    uint32_t number;
    int32_t label;
};

static void add(struct ta_rehearsal *r, uint32_t number, int32_t label) {
    struct record record = {number, label};
    ta_rehearsal_add(r, &record, &record.label, (uint32_t)label);
}

static const struct record *held(const struct ta_rehearsal *r, uint32_t i) {
    const struct record *record = (const struct record *)r->x + i;
    assert_true(i < r->held && record->label == ((const int32_t *)r->labels)[i]);
    return record;
}

static void open_rehearsal(struct ta_rehearsal *r, enum ta_rehearsal_policy policy, uint32_t room, uint64_t seed) {
    assert_ok(ta_rehearsal_init(
        r, &(struct ta_rehearsal_config){policy, room, sizeof(struct record), sizeof(int32_t), 5, seed}));
}

static void fifo_holds_the_newest(void **state) {
    (void)state;
    struct ta_rehearsal r;
    open_rehearsal(&r, TA_REHEARSAL_FIFO, 10, 1);
    for (uint32_t n = 0; n < 95; n++) {
        add(&r, n, (int32_t)n % 3);
        unsigned char there[95] = {0};
        for (uint32_t i = 0; i < r.held; i++) there[held(&r, i)->number] = 1;
        for (uint32_t i = 0; i <= n; i++) assert_int_equal(there[i], i + 10 > n);
    }
    ta_rehearsal_clear(&r);
    const void *x, *label;
    ta_rehearsal_draw(&r, &x, &label);
    assert_null(x);
    ta_rehearsal_free(&r);
}

/* Each of 200 records is held with chance 20/200; 2000 runs; within six standard deviations everywhere, and chi-square
 * over all of them. So is each of those drawn. */
static void a_reservoir_is_fair(void **state) {
    (void)state;
    enum { RUNS = 2000, SEEN = 200, ROOM = 20 };
    static unsigned kept[SEEN], drawn[ROOM];
    for (uint64_t run = 0; run < RUNS; run++) {
        struct ta_rehearsal r;
        open_rehearsal(&r, TA_REHEARSAL_RESERVOIR, ROOM, run);
        for (uint32_t n = 0; n < SEEN; n++) add(&r, n, 0);
        assert_int_equal(r.held, ROOM);
        for (uint32_t i = 0; i < ROOM; i++) kept[held(&r, i)->number]++;
        const void *x, *label;
        ta_rehearsal_draw(&r, &x, &label);
        drawn[((const unsigned char *)x - r.x) / sizeof(struct record)]++;
        ta_rehearsal_free(&r);
    }
    double mean = RUNS * (double)ROOM / SEEN, chi = 0, chi_drawn = 0;
    for (unsigned i = 0; i < SEEN; i++) {
        assert_true(fabs(kept[i] - mean) < 6 * sqrt(mean));
        chi += (kept[i] - mean) * (kept[i] - mean) / mean;
    }
    for (unsigned i = 0; i < ROOM; i++) chi_drawn += pow(drawn[i] - RUNS / (double)ROOM, 2) * ROOM / RUNS;
    assert_true(chi < SEEN + 6 * sqrt(2. * SEEN) && chi_drawn < ROOM + 6 * sqrt(2. * ROOM));
}

/* Whatever the shares, every class has its part, and inside a class old and new are held alike. */
static void balanced_is_balanced(void **state) {
    (void)state;
    enum { ROOM = 50, SEEN = 3000 };
    double age = 0, rare_held = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct ta_rehearsal r;
        struct ta_rng rng = ta_rng_make(seed, 3);
        unsigned seen[5] = {0};
        open_rehearsal(&r, TA_REHEARSAL_BALANCED, ROOM, seed);
        for (uint32_t n = 0; n < SEEN; n++) {
            uint32_t u = ta_rng_below(&rng, 1000), class = u < 700 ? 0 : u < 900 ? 1 : u < 990 ? 2 : u < 997 ? 3 : 4;
            seen[class]++;
            add(&r, n, (int32_t)class);
        }
        unsigned count[5] = {0};
        for (uint32_t i = 0; i < r.held; i++) {
            count[held(&r, i)->label]++;
            if (held(&r, i)->label == 0) age += held(&r, i)->number;
        }
        for (unsigned c = 0; c < 5; c++) assert_int_equal(count[c], r.class_held[c]);
        assert_int_equal(r.held, ROOM);
        rare_held += (double)count[4] / (seen[4] < 10 ? seen[4] + (seen[4] == 0) : 10);
        age -= count[0] * SEEN / 2.;
        ta_rehearsal_add(&r, &age, &age, 5); /* no such class */
        assert_int_equal(r.seen, SEEN);
        ta_rehearsal_free(&r);
    }
    assert_true(rare_held / 60 > .9);
    assert_true(fabs(age) < 6 * sqrt(60. * 10 / 12) * SEEN);
}

static void rehearsal_refuses(void **state) {
    (void)state;
    struct ta_rehearsal r;
    assert_fails(TA_CONFIG, "at least 1", ta_rehearsal_init(&r, &(struct ta_rehearsal_config){.x_bytes = 4}));
    struct ta_rehearsal_config config = {.policy = TA_REHEARSAL_BALANCED, .room = 3, .x_bytes = 4, .label_bytes = 4};
    assert_fails(TA_CONFIG, "balanced", ta_rehearsal_init(&r, &config));
    config.classes = 2;
    for (unsigned nth = 1; nth <= 6; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_rehearsal_init(&r, &config), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
        ta_rehearsal_free(&r);
    }
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifo_holds_the_newest),
        cmocka_unit_test(a_reservoir_is_fair),
        cmocka_unit_test(balanced_is_balanced),
        cmocka_unit_test(rehearsal_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
