/* Word models of the CPU against double precision: whole batches in every build, lists of rows, explicit pairs. */
#include <math.h>

#include "build_net.h"
#include "expect.h"
#include "rng.h"
#include "skipgram_builds.h"
#include "skipgram_parts.h"
#include "skipgram_reference.h"

enum { LOOPS = TEST_BUILDS, MAKES = LOOPS + 2 }; /* every build of the loops, what the CPU takes, and word2vec */

static ta_status make_model(unsigned make, const struct ta_skipgram_spec *spec, const struct ta_skipgram_ops **ops,
                            struct ta_skipgram **s) {
    *ops = make < LOOPS ? &ta_skipgram_portable : make == LOOPS ? &ta_skipgram_cpu : &ta_skipgram_word2vec;
    return make < LOOPS ? ta_skipgram_make(spec, test_build(make), s) : (*ops)->create(NULL, spec, s);
}

static const char *make_name(unsigned make) {
    return make < LOOPS ? test_builds[make]->name : make == LOOPS ? "cpu" : "word2vec";
}

/* Models of all sizes; the first few the usual ones. */
static void random_words(struct test_words *t, unsigned trial) {
    struct ta_rng rng = ta_rng_make(9, trial);
    bool usual = trial < 3;
    struct ta_skipgram_spec spec = {
        .cbow = trial % 3 == 2,
        .in = {.rows = usual ? 300 : 1 + ta_rng_below(&rng, trial % 8 == 7 ? 4000 : 60),
               .width = usual ? 100 : 1 + ta_rng_below(&rng, 90)},
        .window = usual ? 5 : 1 + ta_rng_below(&rng, 14),
        .negative = usual ? 5 : 1 + ta_rng_below(&rng, 14),
        .length = usual ? 100 : 1 + ta_rng_below(&rng, 60),
        .sample = trial % 2 == 0 ? .01 : 0,
        .seed = trial,
    };
    test_words_make(t, &spec, 1 + ta_rng_below(&rng, 3), trial);
}

/* A list holds exactly the rows that the reference has changed. */
static void check_list(const struct test_reference *r, const struct ta_table *table, const uint32_t *rows, size_t n) {
    bool *listed;
    assert_ok(TA_NEW(&listed, table->rows, "marks"));
    for (size_t i = 0; i < n; i++) {
        assert_true(rows[i] < table->rows);
        listed[rows[i]] = true;
    }
    for (uint32_t i = 0; i < table->rows; i++)
        assert_true(listed[i] == r->changed[table->offset + (size_t)i * table->stride]);
    ta_mem_free(listed);
}

static void check_made(const struct test_reference *r, const struct test_words *t, const struct ta_skipgram_made *m,
                       bool lists) {
    uint64_t words = 0;
    for (size_t i = 0; i < (size_t)t->batch.sentences * t->batch.length; i++) words += t->words[i] >= 0;
    assert_true(m->words == words && m->centres == r->centres && m->pairs == r->pairs);
    if (!lists) {
        assert_true(m->n_in_rows == 0 && m->n_out_rows == 0);
        return;
    }
    check_list(r, &t->spec.in, m->in_rows, m->n_in_rows);
    check_list(r, &t->spec.out, m->out_rows, m->n_out_rows);
}

static void check_weights(const struct test_reference *r, const struct test_words *t, const char *name, const float *w,
                          double tolerance) {
    for (size_t i = 0; i < t->floats; i++) {
        double off = fabs((double)w[i] - r->w[i]);
        if (!(off < tolerance)) fail_msg("%s, seed %u: %zu is off by %g", name, (unsigned)t->spec.seed, i, off);
    }
}

/* One batch without lists and one with: the same bits; both as the reference has it. */
static void one_batch(const struct test_words *t, const struct test_reference *r, unsigned make) {
    const struct ta_skipgram_ops *ops;
    struct ta_skipgram *s, *lists;
    struct ta_skipgram_made made;
    struct ta_skipgram_spec listed = t->spec;
    float *w, *again;
    assert_ok(TA_NEW(&w, t->floats, "arena"));
    assert_ok(TA_NEW(&again, t->floats, "arena"));
    memcpy(w, t->w, t->floats * sizeof *w);
    memcpy(again, t->w, t->floats * sizeof *w);
    listed.lists = true;
    assert_ok(make_model(make, &t->spec, &ops, &s));
    assert_ok(make_model(make, &listed, &ops, &lists));
    assert_true(ops->bytes(s) > 0);
    if (make != LOOPS) assert_string_equal(ops->loops(s), make_name(make));
    assert_ok(ops->counts(s, t->counts));
    assert_ok(ops->counts(lists, t->counts));
    assert_ok(ops->train(s, w, &t->batch, &made));
    check_made(r, t, &made, false);
    assert_ok(ops->train(lists, again, &t->batch, &made));
    check_made(r, t, &made, true);
    assert_memory_equal(w, again, t->floats * sizeof *w);
    if (make < MAKES - 1) {
        assert_true(made.loss_pairs == r->loss_pairs);
        assert_true(fabs(made.loss_sum - r->loss_sum) <= 1e-4 * (1 + r->loss_sum));
    }
    check_weights(r, t, make_name(make), w, make < MAKES - 1 ? 1e-4 : 1e-3);
    ops->destroy(s);
    ops->destroy(lists);
    ta_mem_free(w);
    ta_mem_free(again);
}

static void test_batches(void **state) {
    (void)state;
    for (unsigned trial = 0; trial < 60; trial++) {
        struct test_words t;
        struct test_reference r, pairwise;
        random_words(&t, trial);
        test_reference_make(&r, &t);
        test_reference_make(&pairwise, &t);
        test_reference_train(&r, &t);
        test_reference_word2vec(&pairwise, &t);
        for (unsigned make = 0; make < MAKES; make++) {
            if (make < LOOPS && test_build(make) == NULL) continue;
            one_batch(&t, make == MAKES - 1 ? &pairwise : &r, make);
        }
        test_reference_free(&r);
        test_reference_free(&pairwise);
        test_words_free(&t);
    }
}

/* Results depend on the seed, the batch and its number, and on nothing that was there before. */
static void test_repeats(void **state) {
    (void)state;
    for (unsigned make = LOOPS; make < MAKES; make++) {
        struct test_words t;
        const struct ta_skipgram_ops *ops;
        struct ta_skipgram *s, *fresh;
        struct ta_skipgram_made made;
        random_words(&t, 1);
        float *w[4];
        for (int i = 0; i < 4; i++) {
            assert_ok(TA_NEW(&w[i], t.floats, "arena"));
            memcpy(w[i], t.w, t.floats * sizeof *t.w);
        }
        assert_ok(make_model(make, &t.spec, &ops, &s));
        assert_ok(ops->counts(s, t.counts));
        assert_ok(ops->train(s, w[0], &t.batch, &made));
        struct ta_skipgram_batch other = t.batch;
        other.number++;
        assert_ok(ops->train(s, w[1], &other, &made));
        t.spec.seed++;
        assert_ok(make_model(make, &t.spec, &ops, &fresh));
        assert_ok(ops->counts(fresh, t.counts));
        assert_ok(ops->train(fresh, w[2], &t.batch, &made));
        ops->destroy(fresh);
        t.spec.seed--;
        assert_ok(make_model(make, &t.spec, &ops, &fresh));
        assert_ok(ops->counts(fresh, t.counts));
        assert_ok(ops->train(fresh, w[3], &other, &made));
        size_t bytes = t.floats * sizeof *t.w;
        assert_memory_not_equal(w[0], w[1], bytes);
        assert_memory_not_equal(w[0], w[2], bytes);
        assert_memory_equal(w[1], w[3], bytes);
        for (int i = 0; i < 4; i++) ta_mem_free(w[i]);
        ops->destroy(s);
        ops->destroy(fresh);
        test_words_free(&t);
    }
}

static void one_list_of_pairs(const struct test_words *t, struct ta_rng *rng, unsigned make) {
    enum { RECORDS = 40 };
    struct ta_skipgram_pairs pairs = {.records = RECORDS, .contexts = 1 + ta_rng_below(rng, 20), .rate = .1F};
    int32_t words[RECORDS * 21];
    float labels[RECORDS * 20], *w;
    for (uint32_t i = 0; i < RECORDS * (1 + pairs.contexts); i++)
        words[i] = (int32_t)ta_rng_below(rng, t->spec.in.rows + 1) - 1;
    test_fill(RECORDS * pairs.contexts, ta_rng_u32(rng), 0, 1, labels);
    pairs.words = words;
    pairs.labels = labels;
    struct test_reference r;
    test_reference_make(&r, t);
    test_reference_pairs(&r, t, &pairs);
    const struct ta_skipgram_ops *ops;
    struct ta_skipgram *s;
    struct ta_skipgram_made made;
    struct ta_skipgram_spec listed = t->spec;
    listed.lists = true;
    assert_ok(TA_NEW(&w, t->floats, "arena"));
    memcpy(w, t->w, t->floats * sizeof *w);
    assert_ok(make_model(make, &listed, &ops, &s));
    assert_ok(ops->pairs(s, w, &pairs, &made));
    check_weights(&r, t, make_name(make), w, 1e-4);
    check_list(&r, &t->spec.in, made.in_rows, made.n_in_rows);
    check_list(&r, &t->spec.out, made.out_rows, made.n_out_rows);
    assert_true(made.centres == r.centres && made.words == r.centres && made.pairs == r.pairs);
    assert_true(made.loss_pairs == made.pairs && fabs(made.loss_sum - r.loss_sum) <= 1e-4 * (1 + r.loss_sum));
    ops->destroy(s);
    test_reference_free(&r);
    ta_mem_free(w);
}

static void test_pairs(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(12, 1);
    for (unsigned trial = 0; trial < 30; trial++) {
        struct test_words t;
        random_words(&t, trial);
        for (unsigned make = 0; make < MAKES; make++) {
            if (make < LOOPS && test_build(make) == NULL) continue;
            one_list_of_pairs(&t, &rng, make);
        }
        test_words_free(&t);
    }
}

static double cosine(const struct test_words *t, const float *w, uint32_t a, uint32_t b) {
    double ab = 0, aa = 0, bb = 0;
    const float *x = w + t->spec.in.offset + (size_t)a * t->spec.in.stride;
    const float *y = w + t->spec.in.offset + (size_t)b * t->spec.in.stride;
    for (uint32_t c = 0; c < t->spec.in.width; c++) {
        ab += (double)x[c] * (double)y[c];
        aa += (double)x[c] * (double)x[c];
        bb += (double)y[c] * (double)y[c];
    }
    return ab / sqrt(aa * bb);
}

/* A text of two topics, twenty words each: words of a topic come to lie together. */
static void test_learns(void **state) {
    (void)state;
    enum { TOPIC = 20, SENTENCES = 200, LENGTH = 40 };
    for (unsigned make = LOOPS; make < MAKES; make++) {
        for (int cbow = 0; cbow < 2; cbow++) {
            struct ta_skipgram_spec spec = {.cbow = cbow,
                                            .in = {.rows = 2 * TOPIC, .width = 24},
                                            .window = 5,
                                            .negative = 5,
                                            .length = LENGTH,
                                            .seed = 3};
            struct test_words t;
            test_words_make(&t, &spec, SENTENCES, 1);
            struct ta_rng rng = ta_rng_make(13, 1);
            for (uint32_t i = 0; i < SENTENCES * LENGTH; i++)
                t.words[i] = (int32_t)(TOPIC * (i / LENGTH % 2) + ta_rng_below(&rng, TOPIC));
            for (uint32_t i = 0; i < 2 * TOPIC; i++) t.counts[i] = 1;
            for (size_t i = 0; i < t.floats; i++) t.w[i] *= .1F;
            const struct ta_skipgram_ops *ops;
            struct ta_skipgram *s;
            struct ta_skipgram_made made;
            double first = 0, last = 0, within = 0, between = 0;
            assert_ok(make_model(make, &t.spec, &ops, &s));
            assert_ok(ops->counts(s, t.counts));
            for (t.batch.number = 0; t.batch.number < 8; t.batch.number++) {
                assert_ok(ops->train(s, t.w, &t.batch, &made));
                last = made.loss_sum / (double)made.loss_pairs;
                if (t.batch.number == 0) first = last;
            }
            for (uint32_t a = 0; a < TOPIC; a++) {
                for (uint32_t b = 0; b < a; b++) {
                    within += (cosine(&t, t.w, a, b) + cosine(&t, t.w, TOPIC + a, TOPIC + b)) / (TOPIC * (TOPIC - 1));
                    between += cosine(&t, t.w, a, TOPIC + b) / (TOPIC * (TOPIC - 1) / 2);
                }
            }
            assert_true(last < first);
            if (!(within > between + .3)) fail_msg("%s: %g within, %g between", make_name(make), within, between);
            ops->destroy(s);
            test_words_free(&t);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches), cmocka_unit_test(test_repeats),
                                       cmocka_unit_test(test_pairs), cmocka_unit_test(test_learns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
