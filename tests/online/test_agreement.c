/* agreement: against counts made anew from the whole history at every record. */
#include "expect.h"

#include <math.h>

#include "agreement.h"
#include "rng.h"

enum { MOST = 700 };

struct history {
    int32_t prediction[MOST], label[MOST];
    unsigned n;
};

static int32_t commonest(const struct history *h, unsigned from, unsigned to, uint32_t classes) {
    int32_t best = 0, best_count = -1;
    for (int32_t c = 0; c < (int32_t)classes; c++) {
        int32_t found = 0;
        for (unsigned i = from; i < to; i++) found += h->label[i] == c;
        if (found > best_count) best = c, best_count = found;
    }
    return best;
}

static double quotient(double p, double chance) {
    if (chance < 1) return (p - chance) / (1 - chance);
    return p >= 1 ? 0 : NAN;
}

/* By definition, in doubles, over records [from, n). */
static void by_hand(const struct history *h, unsigned from, uint32_t classes, uint32_t window,
                    struct ta_agreement_view *out) {
    double n = h->n - from, hits = 0, majority = 0, same = 0, chance = 0;
    for (unsigned i = from; i < h->n; i++) {
        hits += h->prediction[i] == h->label[i];
        majority += h->label[i] == commonest(h, i > window ? i - window : 0, i, classes);
        same += h->label[i] == (i > 0 ? h->label[i - 1] : 0);
    }
    for (int32_t c = 0; c < (int32_t)classes; c++) {
        double said = 0, was = 0;
        for (unsigned i = from; i < h->n; i++) said += h->prediction[i] == c, was += h->label[i] == c;
        chance += said / n * (was / n);
    }
    *out = (struct ta_agreement_view){h->n - from, hits / n, quotient(hits / n, chance), quotient(hits / n, same / n),
                                      quotient(hits / n, majority / n), majority / n, same / n};
}

static void assert_same(double a, double b) {
    if (!((isnan(a) && isnan(b)) || fabs(a - b) < 1e-9)) fail_msg("%.17g is not %.17g", a, b);
}

static void assert_view(const struct ta_agreement_view *a, const struct ta_agreement_view *b) {
    assert_true(a->records == b->records);
    assert_same(a->accuracy, b->accuracy);
    assert_same(a->kappa, b->kappa);
    assert_same(a->kappa_temporal, b->kappa_temporal);
    assert_same(a->kappa_majority, b->kappa_majority);
    assert_same(a->majority, b->majority);
    assert_same(a->no_change, b->no_change);
}

static void equals_the_definition(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 1);
        uint32_t classes = 1 + ta_rng_below(&rng, 5), window = 1 + ta_rng_below(&rng, 60), runs = ta_rng_below(&rng, 4);
        static struct history h;
        struct ta_agreement a;
        struct ta_agreement_view got, wanted;
        h.n = 0;
        assert_ok(ta_agreement_init(&a, classes, window));
        while (h.n < MOST) {
            int32_t label = (int32_t)ta_rng_below(&rng, classes);
            if (h.n > 0 && ta_rng_below(&rng, 4) < runs) label = h.label[h.n - 1];
            int32_t said = ta_rng_below(&rng, 3) == 0 ? (int32_t)ta_rng_below(&rng, classes + 1) - 1 : label;
            h.label[h.n] = label;
            h.prediction[h.n++] = said;
            ta_agreement_add(&a, said, label);
            if (h.n % 37 != 0 && h.n > 3) continue;
            by_hand(&h, h.n > window ? h.n - window : 0, classes, window, &wanted);
            ta_agreement_window(&a, &got);
            assert_view(&got, &wanted);
            by_hand(&h, 0, classes, window, &wanted);
            ta_agreement_all(&a, &got);
            assert_view(&got, &wanted);
        }
        ta_agreement_free(&a);
    }
}

/* What anybody can check with a pencil: 2 x 2, 20 records, Cohen's own way. */
static void known_values(void **state) {
    (void)state;
    static const unsigned table[2][2] = {{9, 1}, {4, 6}}; /* [label][prediction] */
    struct ta_agreement a;
    struct ta_agreement_view v;
    assert_ok(ta_agreement_init(&a, 2, 100));
    for (int32_t label = 0; label < 2; label++)
        for (int32_t said = 0; said < 2; said++)
            for (unsigned i = 0; i < table[label][said]; i++) ta_agreement_add(&a, said, label);
    ta_agreement_all(&a, &v);
    assert_same(v.accuracy, .75);
    assert_same(v.kappa, .5); /* pc = .65 * .5 + .35 * .5 */
    assert_same(v.no_change, 19. / 20);
    assert_same(v.majority, 10. / 20); /* 0 ten times, then never 1 before both are as common */
    assert_same(ta_agreement_recall(&a, 0), .9);
    assert_same(ta_agreement_recall(&a, 1), .6);
    assert_true(isnan(ta_agreement_recall(&a, 2)));
    ta_agreement_free(&a);
}

static void edges(void **state) {
    (void)state;
    struct ta_agreement a;
    struct ta_agreement_view v;
    assert_fails(TA_CONFIG, "0 classes", ta_agreement_init(&a, 0, 10));
    assert_fails(TA_CONFIG, "window", ta_agreement_init(&a, 2, 0));
    for (unsigned nth = 1; nth <= 2; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_agreement_init(&a, 2, 10), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
    }
    assert_ok(ta_agreement_init(&a, 2, 10));
    ta_agreement_window(&a, &v);
    assert_true(v.records == 0 && isnan(v.accuracy) && isnan(v.kappa));
    const int32_t refused[][2] = {{0, -1}, {0, 2}, {2, 0}, {-2, 0}, {INT32_MAX, INT32_MIN}};
    for (unsigned i = 0; i < 5; i++) ta_agreement_add(&a, refused[i][0], refused[i][1]);
    ta_agreement_all(&a, &v);
    assert_true(v.records == 0);
    ta_agreement_add(&a, 0, 0); /* one class alone, always right: nothing to be better than */
    ta_agreement_all(&a, &v);
    assert_true(v.accuracy == 1 && v.kappa == 0 && v.kappa_temporal == 0 && v.kappa_majority == 0);
    ta_agreement_free(&a);
    assert_int_equal(ta_agreement_class_of((float[]){.1f, .7f, .7f}, 3), 1);
    assert_int_equal(ta_agreement_class_of((float[]){.5f}, 1), 0);
    assert_int_equal(ta_agreement_class_of((float[]){.6f}, 1), 1);
    assert_int_equal(ta_agreement_class_of((float[]){NAN}, 1), -1);
    assert_int_equal(ta_agreement_class_of((float[]){NAN, 1}, 2), -1);
    assert_int_equal(ta_agreement_class_of(NULL, 0), -1);
    assert_true(ta_mem_held_bytes() == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(known_values),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
