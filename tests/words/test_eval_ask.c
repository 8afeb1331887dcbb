/* What vectors are asked: neighbours and words against the slow way, ranks against what holds of them, hostile files.
 */
#include <math.h>

#include "analogies.h"
#include "eval_files.h"
#include "near.h"
#include "similarity.h"
#include "vectors_index.h"

/* --- neighbours --- */

struct world {
    struct ta_vectors v;
    uint32_t *words;
    float *questions;
    uint32_t (*but)[3];
    size_t n_words, n_questions;
    unsigned top;
};

/* Some vectors are equal, some zero; excepted rows are often among the best: a question is a row made crooked. */
static void make_world(struct world *w, struct ta_rng *rng, size_t rows, uint32_t dim, size_t questions) {
    *w = (struct world){
        .n_words = 1 + ta_rng_below(rng, (uint32_t)rows), .n_questions = questions, .top = 1 + ta_rng_below(rng, 12)};
    made_up(&w->v, rng, rows, dim);
    for (size_t i = 0; i < rows / 5; i++) {
        float *to = w->v.v + ta_rng_below(rng, (uint32_t)rows) * (size_t)dim;
        const float *from = ta_vectors_row(&w->v, ta_rng_below(rng, (uint32_t)rows));
        for (uint32_t k = 0; k < dim; k++) to[k] = i % 7 == 0 ? 0 : from[k];
    }
    assert_ok(TA_NEW(&w->words, w->n_words, "words"));
    assert_ok(TA_NEW(&w->questions, questions * dim, "questions"));
    assert_ok(TA_NEW(&w->but, questions, "but"));
    for (size_t i = 0; i < w->n_words; i++) w->words[i] = (uint32_t)(rows - 1 - i);
    for (size_t q = 0; q < questions; q++) {
        uint32_t row = ta_rng_below(rng, (uint32_t)rows);
        for (uint32_t k = 0; k < dim; k++)
            w->questions[q * dim + k] = ta_vectors_row(&w->v, row)[k] + .2F * (float)ta_rng_normal(rng);
        for (int i = 0; i < 3; i++)
            w->but[q][i] = ta_rng_below(rng, 3) > 0 ? ta_rng_below(rng, (uint32_t)rows) : TA_NEAR_NOBODY;
        if (q % 2 == 0) w->but[q][q % 3] = row;
    }
}

static void free_world(struct world *w) {
    ta_mem_free(w->but);
    ta_mem_free(w->questions);
    ta_mem_free(w->words);
    ta_vectors_free(&w->v);
}

/* The score by its definition, in the order of the definition, in float32. */
static float score(const struct world *w, size_t q, uint32_t row, float *unit) {
    volatile float sum = 0; /* each partial sum is rounded */
    ta_vectors_unit(&w->v, row, unit);
    for (uint32_t k = 0; k < w->v.dim; k++) {
        volatile float product = w->questions[q * w->v.dim + k] * unit[k];
        sum = sum + product;
    }
    return sum;
}

static bool excepted(const uint32_t but[3], uint32_t row) { return row == but[0] || row == but[1] || row == but[2]; }

/* Answer after answer: the best that is not yet taken, the first of equals. */
static void check_question(const struct world *w, size_t q, const struct ta_near_answer *got) {
    float *unit, *scores;
    bool *taken;
    assert_ok(TA_NEW(&unit, w->v.dim, "unit"));
    assert_ok(TA_NEW(&scores, w->n_words, "scores"));
    assert_ok(TA_NEW(&taken, w->n_words, "taken"));
    for (size_t i = 0; i < w->n_words; i++) {
        scores[i] = score(w, q, w->words[i], unit);
        taken[i] = excepted(w->but[q], w->words[i]);
    }
    for (unsigned k = 0; k < w->top; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < w->n_words; i++)
            if (!taken[i] && (best == SIZE_MAX || scores[i] > scores[best])) best = i;
        assert_int_equal(got[k].row, best == SIZE_MAX ? TA_NEAR_NOBODY : w->words[best]);
        if (best == SIZE_MAX) continue;
        assert_true(got[k].score == scores[best]);
        taken[best] = true;
    }
    ta_mem_free(taken);
    ta_mem_free(scores);
    ta_mem_free(unit);
}

static void neighbours_are_those_of_the_slow_way(void **state) {
    static const struct {
        size_t rows, questions;
        uint32_t dim;
    } sizes[] = {{1, 1, 1}, {5, 7, 3}, {16, 6, 16}, {17, 13, 5}, {200, 31, 100}, {1100, 20, 33}, {40, 5, 5000}};
    struct ta_rng rng = ta_rng_make(6, 0);
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct world w;
        struct ta_near_answer *got;
        make_world(&w, &rng, sizes[s].rows, sizes[s].dim, sizes[s].questions);
        assert_ok(TA_NEW(&got, w.n_questions * w.top, "answers"));
        assert_ok(ta_near_find(&(struct ta_near){.vectors = &w.v,
                                                 .words = w.words,
                                                 .n_words = w.n_words,
                                                 .questions = w.questions,
                                                 .but = (const uint32_t(*)[3])w.but,
                                                 .n_questions = w.n_questions,
                                                 .top = w.top},
                               got));
        for (size_t q = 0; q < w.n_questions; q++) check_question(&w, q, got + q * w.top);
        ta_mem_free(got);
        free_world(&w);
    }
}

/* --- words --- */

static void words_are_found(void **state) {
    struct ta_names names = {0};
    struct ta_word_index index;
    struct ta_rng rng = ta_rng_make(7, 0);
    (void)state;
    for (int i = 0; i < 600; i++) {
        char word[8];
        snprintf(word, sizeof word, "%c%c%u", "aAbB"[ta_rng_below(&rng, 4)], "xX"[i % 2], ta_rng_below(&rng, 40));
        assert_ok(ta_names_add(&names, word, strlen(word), 0));
    }
    for (int round = 0; round < 4; round++) {
        size_t most = round < 2 ? 300 : 5000;
        bool fold = round % 2 == 1;
        assert_ok(ta_word_index_open(&index, &names, most, fold));
        for (size_t i = 0; i < names.count; i++) {
            const char *word = ta_names_get(&names, i);
            uint32_t first = TA_WORD_MISSING;
            for (size_t k = 0; k < most && k < names.count && first == TA_WORD_MISSING; k++)
                if ((fold ? strcasecmp : strcmp)(word, ta_names_get(&names, k)) == 0) first = (uint32_t)k;
            assert_int_equal(ta_word_index_find(&index, word), first);
        }
        assert_int_equal(ta_word_index_find(&index, ""), TA_WORD_MISSING);
        assert_int_equal(ta_word_index_find(&index, "\xc3\x89"), TA_WORD_MISSING);
        ta_word_index_close(&index);
    }
    ta_names_free(&names);
}

/* --- ranks --- */

static double correlate(const double *x, const double *y, size_t n) {
    double out = 7;
    assert_ok(ta_spearman(x, y, n, &out));
    return out;
}

static void ranks_are_correlated(void **state) {
    struct ta_rng rng = ta_rng_make(8, 0);
    double x[50], y[50], z[50];
    (void)state;
    /* By hand: ranks 1 2.5 2.5 4 and 1 2 3 4; 4.5 / sqrt(4.5 * 5). */
    assert_true(fabs(correlate((double[]){1, 2, 2, 9}, (double[]){0, 1, 2, 3}, 4) - .9486832980505138) < 1e-15);
    assert_true(isnan(correlate((double[]){1, 1}, (double[]){1, 2}, 2)));
    assert_true(isnan(correlate((double[]){1}, (double[]){1}, 1)) && isnan(correlate(x, y, 0)));
    for (int round = 0; round < 100; round++) {
        size_t n = 2 + ta_rng_below(&rng, 49);
        for (size_t i = 0; i < n; i++) x[i] = ta_rng_below(&rng, 20), y[i] = ta_rng_normal(&rng), z[i] = exp(y[i]);
        x[0] = -1;
        double r = correlate(x, y, n);
        assert_true(r >= -1 - 1e-12 && r <= 1 + 1e-12);
        assert_true(fabs(r - correlate(x, z, n)) < 1e-12); /* ranks alone count */
        assert_true(fabs(r - correlate(y, x, n)) < 1e-12);
        assert_true(fabs(correlate(x, x, n) - 1) < 1e-12);
        for (size_t i = 0; i < n; i++) z[i] = -y[i];
        assert_true(fabs(r + correlate(x, z, n)) < 1e-12);
    }
}

/* --- files of questions and pairs --- */

static void known(struct ta_vectors *v) {
    static const char *const words[] = {"Man", "woman", "king", "queen", "KING", "apple"};
    static const float numbers[] = {1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, .7F, -1, 0, 0};
    *v = (struct ta_vectors){.dim = 3};
    assert_ok(TA_NEW(&v->v, 18, "vectors"));
    memcpy(v->v, numbers, sizeof numbers);
    for (int i = 0; i < 6; i++) assert_ok(ta_names_add(&v->names, words[i], strlen(words[i]), 0));
}

static void wrong_questions_are_named(void **state) {
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "has no section"},
        {"\n\n", "has no section"},
        {"man woman king queen\n", ":1: a question before the first section"},
        {": a\nman woman king\n", ":2: three words"},
        {": a\n\nman woman king queen apple pear plum\n", ":3: more than four words"},
        {":\nman woman king queen\n", ":1: the name of a section"},
        {": \xff\nman woman king queen\n", ":1: the name of a section"},
        {": a\x1b[2J\n", ":1: the name of a section"},
    };
    struct ta_vectors v;
    struct ta_analogies a;
    char path[512], *text = malloc(40000);
    known(&v);
    scratch_path(path, *state, "q");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(path, wrong[i].text);
        assert_fails(TA_FORMAT, wrong[i].says, ta_analogies_ask(&v, path, 0, true, &a));
        assert_null(a.sections);
    }
    memset(text, 'x', 40000);
    file_write(path, (unsigned char *)text, 40000);
    assert_fails(TA_FORMAT, ":1: a line of more than", ta_analogies_ask(&v, path, 0, true, &a));
    assert_fails(TA_IO, "nowhere", ta_analogies_ask(&v, scratch_path(path, *state, "nowhere"), 0, true, &a));
    assert_fails(TA_IO, *state, ta_analogies_ask(&v, *state, 0, true, &a));
    free(text);
    ta_vectors_free(&v);
}

/* Folded, KING is the king before it and no answer of its own; unfolded it is nearer to the question than queen. */
static void case_counts_when_asked(void **state) {
    struct ta_vectors v;
    struct ta_analogies a;
    char path[512];
    known(&v);
    write_text(scratch_path(path, *state, "q"), ": royal\nman WOMAN king Queen\n\nman woman pear queen\n: gram1\r\n"
                                                "Man woman king queen\r\nman apple king queen");
    assert_ok(ta_analogies_ask(&v, path, 0, true, &a));
    assert_int_equal(a.words, 5);
    assert_int_equal(a.count, 2);
    assert_string_equal(a.sections[1].name, "gram1");
    assert_int_equal(a.semantic.asked, 1);
    assert_int_equal(a.semantic.right, 1);
    assert_int_equal(a.semantic.left_out, 1);
    assert_int_equal(a.syntactic.asked, 2);
    assert_int_equal(a.syntactic.right, 2);
    assert_int_equal(a.all.asked, 3);
    assert_int_equal(a.all.right, 3);
    ta_analogies_free(&a);
    assert_ok(ta_analogies_ask(&v, path, 0, false, &a));
    assert_int_equal(a.words, 6);
    assert_int_equal(a.all.asked, 1);
    assert_int_equal(a.all.right, 0);
    assert_int_equal(a.all.left_out, 3);
    ta_analogies_free(&a);
    assert_ok(ta_analogies_ask(&v, path, 3, true, &a)); /* queen is the fourth word */
    assert_int_equal(a.all.asked, 0);
    assert_true(isnan(ta_analogy_accuracy(&a.all)));
    ta_analogies_free(&a);
    ta_vectors_free(&v);
}

static void wrong_pairs_are_named(void **state) {
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "has no pair"},       {"# nothing\n\n", "has no pair"}, {"man woman\n", ":1: a line holds"},
        {"man king 1 2\n", ":1:"}, {"man king much\n", ":1:"},       {"# x\nman king nan\n", ":2:"},
        {"man king inf\n", ":1:"}, {"man k\xffng 1\n", "not UTF-8"}, {"man king 1x\n", ":1:"},
    };
    struct ta_vectors v;
    struct ta_similarity s;
    char path[512];
    known(&v);
    scratch_path(path, *state, "p");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(path, wrong[i].text);
        assert_fails(TA_FORMAT, wrong[i].says, ta_similarity_score(&v, path, true, &s));
        assert_null(s.pairs);
    }
    write_text(path, "# people\nman\tKing\t9.5\r\nman pear 3\nman woman 1e0\nman apple 0");
    assert_ok(ta_similarity_score(&v, path, true, &s));
    assert_int_equal(s.count, 4);
    assert_int_equal(s.found, 3);
    assert_true(isnan(s.pairs[1].cosine) && s.pairs[0].score == 9.5);
    assert_true(fabs(s.pairs[0].cosine - sqrt(.5)) < 1e-7 && fabs(s.pairs[3].cosine + 1) < 1e-7);
    assert_true(fabs(s.spearman - 1) < 1e-12);
    ta_similarity_free(&s);
    ta_vectors_free(&v);
}

static void memory_runs_out(void **state) {
    struct ta_vectors v;
    char questions[512], pairs[512];
    known(&v);
    write_text(scratch_path(questions, *state, "q"), ": royal\nman woman king queen\n");
    write_text(scratch_path(pairs, *state, "p"), "man woman 1\nman king 2\n");
    size_t held = ta_mem_held_bytes();
    for (int kind = 0; kind < 2; kind++) {
        unsigned failures = 0;
        for (;; failures++) {
            struct ta_analogies a = {0};
            struct ta_similarity s = {0};
            ta_mem_fail_nth(failures + 1);
            ta_status status =
                kind == 0 ? ta_analogies_ask(&v, questions, 0, true, &a) : ta_similarity_score(&v, pairs, true, &s);
            ta_mem_fail_nth(0);
            ta_analogies_free(&a);
            ta_similarity_free(&s);
            assert_int_equal(ta_mem_held_bytes(), held);
            if (status == TA_OK) break;
            assert_int_equal(status, TA_NO_MEMORY);
        }
        assert_true(failures >= 9);
    }
    ta_vectors_free(&v);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_those_of_the_slow_way),
        cmocka_unit_test(words_are_found),
        cmocka_unit_test(ranks_are_correlated),
        WITH_SCRATCH(wrong_questions_are_named),
        WITH_SCRATCH(case_counts_when_asked),
        WITH_SCRATCH(wrong_pairs_are_named),
        WITH_SCRATCH(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
