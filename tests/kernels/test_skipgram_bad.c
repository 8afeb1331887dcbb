/* Word models given bad specs, bad text, no text, vectors that are not finite, and too little memory. */
#include <limits.h>
#include <math.h>

#include "expect.h"
#include "skipgram.h"

static const struct ta_skipgram_ops *const makes[] = {&ta_skipgram_portable, &ta_skipgram_cpu, &ta_skipgram_word2vec};

enum { MAKES = 3, ROWS = 10, LENGTH = 8, FLOATS = 2 * 160 };

static const struct ta_skipgram_spec good = {
    .in = {.offset = 0, .rows = ROWS, .width = 12, .stride = 16},
    .out = {.offset = 160, .rows = ROWS, .width = 12, .stride = 16},
    .window = 2,
    .negative = 3,
    .length = LENGTH,
    .sample = 1e-3,
};

static const uint64_t all[ROWS] = {5, 4, 3, 2, 1, 1, 1, 1, 1, 1};

static void test_specs(void **state) {
    (void)state;
    struct ta_skipgram_spec spec;
#define BREAK(change, says)                                                                                            \
    for (unsigned m = 0; m < MAKES; m++) {                                                                             \
        struct ta_skipgram *s = (struct ta_skipgram *)&spec;                                                           \
        size_t held = ta_mem_held_bytes();                                                                             \
        spec = good;                                                                                                   \
        change;                                                                                                        \
        assert_fails(TA_CONFIG, says, makes[m]->create(NULL, &spec, &s));                                              \
        assert_null(s);                                                                                                \
        assert_true(ta_mem_held_bytes() == held);                                                                      \
    }
    BREAK(spec.in.rows = 0, "0 rows");
    BREAK(spec.out.rows = UINT32_MAX, "4294967295 rows");
    BREAK(spec.in.width = 0, "0 floats");
    BREAK(spec.out.stride = 12, "multiple of 8");
    BREAK(spec.in.stride = 8, "8 apart");
    BREAK(spec.in.offset = 8, "multiple of 16");
    BREAK(spec.out.rows = 9, "alike");
    BREAK(spec.out.offset = 144, "overlap");
    BREAK(spec.window = 0, "window");
    BREAK(spec.window = 101, "101");
    BREAK(spec.negative = 0, "negative");
    BREAK(spec.negative = 65, "65");
    BREAK(spec.length = 0, "longest sentence");
    BREAK(spec.length = (1U << 20) + 1, "1048577");
    BREAK(spec.sample = -1, "sample");
    BREAK(spec.sample = NAN, "sample");
}

static struct ta_skipgram *make_good(unsigned m) {
    struct ta_skipgram *s;
    assert_ok(makes[m]->create(NULL, &good, &s));
    assert_ok(makes[m]->counts(s, all));
    return s;
}

static ta_status train(unsigned m, struct ta_skipgram *s, const int32_t *words, uint32_t sentences, float rate,
                       float *w, struct ta_skipgram_made *made) {
    struct ta_skipgram_batch batch = {words, sentences, LENGTH, rate, 1};
    return makes[m]->train(s, w, &batch, made);
}

static void test_text(void **state) {
    (void)state;
    for (unsigned m = 0; m < MAKES; m++) {
        struct ta_skipgram *s = make_good(m);
        struct ta_skipgram_made made;
        float w[FLOATS], was[FLOATS];
        for (int i = 0; i < FLOATS; i++) w[i] = was[i] = i % 16 < 12 ? .01F * (float)(i % 7) : 0;
        int32_t words[2 * LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
        static const int32_t bad[] = {ROWS, INT32_MAX, -2, INT32_MIN};
        for (int i = 0; i < 4; i++) {
            words[LENGTH + 3] = bad[i];
            assert_fails(TA_CONFIG, "sentence 1, word 3", train(m, s, words, 2, .1F, w, &made));
        }
        words[LENGTH + 3] = 4;
        assert_fails(TA_CONFIG, "rate", train(m, s, words, 2, NAN, w, &made));
        assert_fails(TA_CONFIG, "rate", train(m, s, words, 2, -1, w, &made));
        struct ta_skipgram_batch longer = {words, 1, 2 * LENGTH, .1F, 1};
        assert_fails(TA_CONFIG, "16", makes[m]->train(s, w, &longer, &made));

        /* Nothing to learn from: no sentence, no words, one word. */
        assert_ok(train(m, s, words, 0, .1F, w, &made));
        for (int i = 0; i < LENGTH; i++) words[i] = -1;
        assert_ok(train(m, s, words, 1, .1F, w, &made));
        assert_true(made.words == 0 && made.centres == 0 && made.pairs == 0 && made.loss_pairs == 0);
        words[5] = 9;
        assert_ok(train(m, s, words, 1, .1F, w, &made));
        assert_true(made.words == 1 && made.centres == 0);
        struct ta_skipgram_batch empty = {words, 3, 0, .1F, 1};
        assert_ok(makes[m]->train(s, w, &empty, &made));
        assert_memory_equal(w, was, sizeof w);
        makes[m]->destroy(s);
        makes[m]->destroy(NULL);
    }
}

static void test_counts(void **state) {
    (void)state;
    for (unsigned m = 0; m < MAKES; m++) {
        struct ta_skipgram *s;
        struct ta_skipgram_made made;
        float w[FLOATS] = {0};
        int32_t words[LENGTH] = {1, 1, 1, 1, 1, 1, 1, 1};
        uint64_t counts[ROWS] = {0};
        struct ta_skipgram_spec spec = good;
        spec.sample = 0;
        assert_ok(makes[m]->create(NULL, &spec, &s));
        assert_fails(TA_INVALID, "counts", train(m, s, words, 1, .1F, w, &made));
        assert_fails(TA_CONFIG, "10 words", makes[m]->counts(s, counts));
        assert_fails(TA_INVALID, "counts", train(m, s, words, 1, .1F, w, &made));
        /* The only word there is: a centre without negatives, of a word that stands twice in a window. */
        counts[1] = 8;
        assert_ok(makes[m]->counts(s, counts));
        for (int i = 0; i < 12; i++) w[16 + i] = w[176 + i] = .1F;
        assert_ok(train(m, s, words, 1, .1F, w, &made));
        assert_true(made.centres == LENGTH && made.pairs >= 2 * LENGTH - 2);
        assert_true(w[16] > .1F && w[176] > .1F);
        for (int i = 0; i < FLOATS; i++) assert_true(w[i] == 0 || (i % 160 >= 16 && i % 160 < 28));
        makes[m]->destroy(s);
    }
}

static void test_not_finite(void **state) {
    (void)state;
    for (unsigned m = 0; m < MAKES; m++) {
        struct ta_skipgram *s;
        struct ta_skipgram_spec spec = good;
        struct ta_skipgram_made made;
        float w[FLOATS], once[FLOATS];
        spec.sample = 0;
        assert_ok(makes[m]->create(NULL, &spec, &s));
        assert_ok(makes[m]->counts(s, all));
        int32_t words[LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
        for (int i = 0; i < FLOATS; i++) once[i] = i % 16 < 12 ? .01F : 0;
        memcpy(w, once, sizeof w);
        assert_ok(train(m, s, words, 1, .1F, once, &made));
        float fine[FLOATS];
        memcpy(fine, w, sizeof w);
        for (int i = 0; i < FLOATS; i++) w[i] = i % 16 < 12 ? NAN : 0;
        assert_fails(TA_NUMERIC, "optimizer.rate", train(m, s, words, 1, .1F, w, &made));
        /* Nothing of it stays behind. */
        assert_ok(train(m, s, words, 1, .1F, fine, &made));
        assert_memory_equal(fine, once, sizeof fine);
        makes[m]->destroy(s);
    }
}

static void test_pairs(void **state) {
    (void)state;
    for (unsigned m = 0; m < MAKES; m++) {
        struct ta_skipgram *s;
        struct ta_skipgram_made made;
        float w[FLOATS] = {0}, was[FLOATS] = {0};
        int32_t words[6] = {1, 2, 3, 4, 5, 6};
        float labels[4] = {1, 0, .5F, 0};
        assert_ok(makes[m]->create(NULL, &good, &s));
        struct ta_skipgram_pairs pairs = {words, labels, 2, 2, .1F};
        for (int i = 0; i < 6; i++) {
            int32_t right = words[i];
            words[i] = ROWS;
            assert_fails(TA_CONFIG, i < 3 ? "record 0" : "record 1", makes[m]->pairs(s, w, &pairs, &made));
            words[i] = -2;
            assert_fails(TA_CONFIG, "row -2", makes[m]->pairs(s, w, &pairs, &made));
            words[i] = right;
        }
        labels[3] = 1.5F;
        assert_fails(TA_CONFIG, "1.5", makes[m]->pairs(s, w, &pairs, &made));
        labels[3] = NAN;
        assert_fails(TA_CONFIG, "record 1: label 1", makes[m]->pairs(s, w, &pairs, &made));
        labels[3] = 0;
        pairs.rate = INFINITY;
        assert_fails(TA_CONFIG, "rate", makes[m]->pairs(s, w, &pairs, &made));
        pairs.rate = .1F;
        pairs.contexts = 0;
        assert_fails(TA_CONFIG, "without contexts", makes[m]->pairs(s, w, &pairs, &made));
        pairs.contexts = 2;
        for (int i = 0; i < 6; i++) words[i] = -1;
        assert_ok(makes[m]->pairs(s, w, &pairs, &made));
        assert_true(made.words == 0 && made.pairs == 0);
        assert_memory_equal(w, was, sizeof w);
        makes[m]->destroy(s);
    }
}

/* Each allocation fails in turn: of creating, of counting, of a first batch with its lists. */
static void test_no_memory(void **state) {
    (void)state;
    static const int32_t words[LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (unsigned m = 0; m < MAKES; m++) {
        size_t held = ta_mem_held_bytes();
        bool done = false;
        for (unsigned nth = 1; !done; nth++) {
            struct ta_skipgram *s = NULL;
            struct ta_skipgram_made made;
            float w[FLOATS] = {0};
            struct ta_skipgram_spec spec = good;
            spec.lists = true;
            struct ta_skipgram_batch batch = {words, 1, LENGTH, .1F, 1};
            assert_true(nth < 100);
            ta_mem_fail_nth(nth);
            ta_status status = makes[m]->create(NULL, &spec, &s);
            if (status == TA_OK) status = makes[m]->counts(s, all);
            if (status == TA_OK) status = makes[m]->train(s, w, &batch, &made);
            ta_mem_fail_nth(0);
            done = status == TA_OK;
            assert_true(done || status == TA_NO_MEMORY);
            if (!done) assert_non_null(strstr(ta_why(), "memory"));
            makes[m]->destroy(s);
            assert_true(ta_mem_held_bytes() == held);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_specs),  cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_counts), cmocka_unit_test(test_not_finite),
                                       cmocka_unit_test(test_pairs),  cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
