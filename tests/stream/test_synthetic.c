/* Generators: records are a pure function of spec and number; drift is where it was asked for; options and drift plans
 * that make no sense are refused with what would. What the published definitions say is checked by generators.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "concept.h"
#include "mem.h"
#include "synthetic.h"

enum { X_MOST = 28 * 28 * 4 };

static struct ta_stream *open_spec(const char *generator, uint64_t seed, const char *drift) {
    struct ta_stream_spec spec = {.generator = (char *)generator, .seed = seed, .drift = (char *)drift};
    struct ta_stream *s;
    if (ta_synthetic_open(&spec, &s) != TA_OK) fail_msg("%s: %s", generator, ta_why());
    return s;
}

/* Record `number` of the stream in x (zeroed behind it), and its class. */
static int32_t record(struct ta_stream *s, uint64_t number, unsigned char *x) {
    int32_t class = -1;
    memset(x, 0, X_MOST);
    assert_true(ta_stream_x_bytes(&s->info) <= X_MOST);
    assert_int_equal(s->ops->read(s, number, 1, &(struct ta_stream_block){.x = x, .class = &class}), TA_OK);
    assert_true(class >= 0 && (uint32_t) class < s->info.classes);
    return class;
}

static void seeking_gives_what_reading_through_gives(void **state) {
    (void)state;
    static const uint64_t far[] = {0, 1, 399, 7, UINT64_C(1) << 40, 398};
    for (unsigned g = 0; ta_synthetic_name(g) != NULL; g++) {
        struct ta_stream *a = open_spec(ta_synthetic_name(g), 5, "gradual@100+200:2");
        struct ta_stream *b = open_spec(ta_synthetic_name(g), 5, "gradual@100+200:2");
        size_t bytes = ta_stream_x_bytes(&a->info);
        unsigned char *all = malloc(400 * bytes), one[X_MOST];
        int32_t classes[400], only[400];
        assert_int_equal(a->ops->read(a, 0, 400, &(struct ta_stream_block){.x = all, .class = classes}), TA_OK);
        assert_int_equal(a->ops->read(a, 0, 400, &(struct ta_stream_block){.class = only}), TA_OK);
        assert_memory_equal(classes, only, sizeof classes);
        for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
            int32_t class = record(b, far[i], one);
            if (far[i] >= 400) continue;
            assert_int_equal(class, classes[far[i]]);
            assert_memory_equal(one, all + far[i] * bytes, bytes);
        }
        free(all);
        ta_stream_close(a);
        ta_stream_close(b);
    }
}

static void another_seed_gives_other_records(void **state) {
    (void)state;
    for (unsigned g = 0; ta_synthetic_name(g) != NULL; g++) {
        struct ta_stream *a = open_spec(ta_synthetic_name(g), 1, NULL), *b = open_spec(ta_synthetic_name(g), 2, NULL);
        unsigned char x[X_MOST], y[X_MOST];
        int same = 0;
        for (uint64_t i = 0; i < 100; i++) {
            record(a, i, x);
            record(b, i, y);
            same += memcmp(x, y, X_MOST) == 0;
        }
        assert_true(same < 20); /* stagger has only 27 different records */
        ta_stream_close(a);
        ta_stream_close(b);
    }
}

/* With the same seed, record n under a plan is record n of the stream that has the plan's concept from the start. */
static void drift_is_exactly_where_it_was_asked_for(void **state) {
    (void)state;
    for (unsigned g = 0; ta_synthetic_name(g) != NULL; g++) {
        struct ta_stream *drifting = open_spec(ta_synthetic_name(g), 9, "abrupt@50:2,abrupt@120:3,abrupt@121:1");
        struct ta_stream *pure[4] = {NULL};
        for (int c = 1; c <= 3; c++) {
            char drift[32];
            snprintf(drift, sizeof drift, "abrupt@0:%d", c);
            pure[c] = open_spec(ta_synthetic_name(g), 9, drift);
        }
        for (uint64_t n = 0; n < 200; n++) {
            int concept = n < 50 ? 1 : n < 120 ? 2 : n < 121 ? 3 : 1;
            unsigned char x[X_MOST], y[X_MOST];
            assert_int_equal(record(drifting, n, x), record(pure[concept], n, y));
            assert_memory_equal(x, y, X_MOST);
        }
        ta_stream_close(drifting);
        for (int c = 1; c <= 3; c++) ta_stream_close(pure[c]);
    }
}

static void a_gradual_change_takes_over_bit_by_bit(void **state) {
    (void)state;
    struct ta_concept_plan plan;
    assert_int_equal(ta_concept_parse(&plan, "abrupt@10:4,gradual@1000+8000:2,gradual@9000+1:3", 4, 77), TA_OK);
    unsigned in_quarter[4] = {0};
    for (uint64_t n = 0; n < 9100; n++) {
        uint32_t concept = ta_concept_at(&plan, n);
        if (n < 10) assert_int_equal(concept, 1);
        if (n >= 10 && n < 1000) assert_int_equal(concept, 4);
        if (n > 9000) assert_int_equal(concept, 3);
        if (n < 1000 || n >= 9000) continue;
        assert_true(concept == 2 || concept == 4);
        in_quarter[(n - 1000) / 2000] += concept == 2;
    }
    /* Expected 250, 750, 1250, 1750 of 2000; six standard deviations are 120. */
    for (unsigned i = 0; i < 4; i++) assert_in_range(in_quarter[i], 250 + 500 * i - 120, 250 + 500 * i + 120);
}

static void refused(const char *generator, const char *drift, const char *said) {
    struct ta_stream_spec spec = {.generator = (char *)generator, .drift = (char *)drift};
    struct ta_stream *s;
    size_t held = ta_mem_held_bytes();
    if (ta_synthetic_open(&spec, &s) != TA_CONFIG) fail_msg("%s, %s was accepted", generator, drift);
    if (strstr(ta_why(), said) == NULL) fail_msg("'%s' does not say '%s'", ta_why(), said);
    assert_null(s);
    assert_int_equal(ta_mem_held_bytes(), held);
}

static void nonsense_is_refused_with_what_would_do(void **state) {
    (void)state;
    refused("see", NULL, "no generator 'see'; there are sea, ");
    refused("", NULL, "no generator ''");
    refused("sea:", NULL, "not an option=number");
    refused("sea:nose=1", NULL, "no option 'nose'; it has noise");
    refused("sea:noise=2", NULL, "noise=2 is not a number from 0 to 1");
    refused("sea:noise=nan", NULL, "not a number from 0 to 1");
    refused("sea:noise=0.1x", NULL, "not a number");
    refused("rbf:centroids=2.5", NULL, "not a whole number");
    refused("rbf:classes=9,centroids=3", NULL, "classes=9, but there are only 3 centroids");
    refused("hyperplane:drifting=11", NULL, "drifting=11, but there are only 10 attributes");
    refused("sea", "sudden@5:2", "neither 'abrupt@' nor 'gradual@'");
    refused("sea", "abrupt@:2", "no record number");
    refused("sea", "abrupt@-5:2", "no record number");
    refused("sea", "abrupt@5", "no ':CONCEPT'");
    refused("sea", "abrupt@5:0", "no concept 0; this generator has 1 to 4");
    refused("sea", "abrupt@5:5", "no concept 5; this generator has 1 to 4");
    refused("sea", "abrupt@5:99999999999", "1 to 4");
    refused("sea", "abrupt@5:2,", "neither");
    refused("sea", "abrupt@5:2 ", "something is left over");
    refused("sea", "gradual@5:2", "no '+WIDTH'");
    refused("sea", "gradual@5+0:2", "width of at least 1");
    refused("sea", "gradual@18446744073709551615+9:2", "beyond any record number");
    refused("sea", "abrupt@99999999999999999999:2", "no record number");
    refused("sea", "abrupt@5:2,abrupt@5:3", "let positions rise");
    refused("sea", "gradual@5+10:2,abrupt@14:3", "only over at 15");
}

static void the_end_is_the_end(void **state) {
    (void)state;
    struct ta_stream_spec spec = {.generator = (char *)"sea", .records = 10};
    struct ta_stream *s;
    assert_int_equal(ta_synthetic_open(&spec, &s), TA_OK);
    assert_int_equal(s->info.records, 10);
    int32_t class[10];
    struct ta_stream_block block = {.class = class};
    assert_int_equal(s->ops->read(s, 0, 10, &block), TA_OK);
    assert_int_equal(s->ops->read(s, 1, 10, &block), TA_END);
    assert_int_equal(s->ops->read(s, UINT64_MAX, 2, &block), TA_END);
    assert_int_equal(s->ops->read(s, 10, 0, &block), TA_OK);
    ta_stream_close(s);
}

static void allocations_that_fail_are_said(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (unsigned n = 1; n <= 2; n++) {
        struct ta_stream_spec spec = {.generator = (char *)"rbf"};
        struct ta_stream *s;
        ta_mem_fail_nth(n);
        assert_int_equal(ta_synthetic_open(&spec, &s), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
        assert_null(s);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
}

/* Where random records hardly ever come: the edges of the rules, by hand from the paper. */
static void agrawal_rules_hold_at_their_edges(void **state) {
    (void)state;
    /* salary, commission, age, level, car, zip code, value of the house, years in it, loan */
    float x[9] = {20000, 10000, 30, 4, 1, 0, 500000, 21, 0};
    assert_int_equal(ta_agrawal_class(x, 10), 1); /* 20000 - 20000 + 50000 / 5 - 10000 is not above 0 */
    x[6] = 500001;
    assert_int_equal(ta_agrawal_class(x, 10), 0);
    x[7] = 20; /* years below 20 build no equity, nor does the 20th */
    assert_int_equal(ta_agrawal_class(x, 10), 1);
    x[0] = 45000, x[1] = 0, x[3] = 2;
    assert_int_equal(ta_agrawal_class(x, 8), 1); /* 30000 - 10000 - 20000 */
    x[0] = 45003;
    assert_int_equal(ta_agrawal_class(x, 8), 0);
    x[0] = 50000;
    for (int age = 39; age <= 60; age++) {
        x[2] = (float)age;
        assert_int_equal(ta_agrawal_class(x, 1), age >= 40 && age < 60);
        assert_int_equal(ta_agrawal_class(x, 2), age >= 40 && age < 60); /* 50000 is in both other ranges */
    }
    x[0] = 75000;
    for (int age = 39; age <= 60; age++) {
        x[2] = (float)age;
        assert_int_equal(ta_agrawal_class(x, 2), 0); /* and 75000 in all three */
    }
}

static void options_do_what_they_say(void **state) {
    (void)state;
    struct ta_stream *rbf = open_spec("rbf:attributes=4,classes=7,centroids=9", 1, NULL);
    assert_int_equal(rbf->info.c, 4);
    assert_int_equal(rbf->info.classes, 7);
    ta_stream_close(rbf);
    /* All labels flipped: never what they are without noise. */
    struct ta_stream *clean = open_spec("glyphs", 1, NULL), *noisy = open_spec("glyphs:noise=1", 1, NULL);
    for (uint64_t n = 0; n < 50; n++) {
        unsigned char x[X_MOST], y[X_MOST];
        assert_int_not_equal(record(clean, n, x), record(noisy, n, y));
        assert_memory_equal(x, y, X_MOST); /* noise is in the labels alone */
    }
    ta_stream_close(clean);
    ta_stream_close(noisy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeking_gives_what_reading_through_gives),
        cmocka_unit_test(another_seed_gives_other_records),
        cmocka_unit_test(drift_is_exactly_where_it_was_asked_for),
        cmocka_unit_test(a_gradual_change_takes_over_bit_by_bit),
        cmocka_unit_test(nonsense_is_refused_with_what_would_do),
        cmocka_unit_test(the_end_is_the_end),
        cmocka_unit_test(allocations_that_fail_are_said),
        cmocka_unit_test(agrawal_rules_hold_at_their_edges),
        cmocka_unit_test(options_do_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
