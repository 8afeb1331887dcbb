/* skipgram_reference: word models in double precision, window by window on the tables themselves: no copies, no
 * vectors. The choices come from the same random numbers (skipgram_draw.h); who is picked from the pool when is worked
 * out again. */
#ifndef TA_TEST_SKIPGRAM_REFERENCE_H
#define TA_TEST_SKIPGRAM_REFERENCE_H

#include "skipgram.h"
#include "skipgram_draw.h"
#include "skipgram_loops.h"

struct test_words {
    struct ta_skipgram_spec spec;
    uint64_t *counts; /* [rows] */
    int32_t *words;   /* [sentences][length] */
    struct ta_skipgram_batch batch;
    size_t floats; /* of the arena */
    float *w;      /* [floats] what training starts from */
};

/* A model with random tables, counts and text of `sentences` sentences of spec->length words, a tenth of them -1. The
 * tables' offsets and stride are set here; of spec->in the rows and the width are looked at. */
void test_words_make(struct test_words *t, const struct ta_skipgram_spec *spec, uint32_t sentences, uint64_t number);
void test_words_free(struct test_words *t);

struct test_reference {
    double *w;     /* [floats] */
    bool *changed; /* [floats] the row that starts here has changed */
    uint64_t centres, pairs, loss_pairs;
    double loss_sum;
};

void test_reference_make(struct test_reference *r, const struct test_words *t);
void test_reference_free(struct test_reference *r);
void test_reference_train(struct test_reference *r, const struct test_words *t);
/* The loop of word2vec.c. */
void test_reference_word2vec(struct test_reference *r, const struct test_words *t);
/* The records go through in order, their contexts in runs of different rows, TA_LOOPS_OUT at most. */
void test_reference_pairs(struct test_reference *r, const struct test_words *t, const struct ta_skipgram_pairs *pairs);

/* The step of skipgram_loops.h on rows [][width] of doubles; weight: what the rate is multiplied by. Its loss before.
 */
struct test_step {
    uint32_t n_in, n_out, width;
    double *in[TA_LOOPS_IN], *out[TA_LOOPS_OUT];
    double label[TA_LOOPS_PAIRS], weight[TA_LOOPS_OUT], rate;
};
double test_step_loss(const struct test_step *s);
void test_step_run(struct test_step *s);

#endif
