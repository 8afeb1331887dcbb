/* near: which words point most nearly where a vector points.
 *
 * Many questions at once are one product of matrices, [questions][dim] by [dim][words], taken a tile at a time so that
 * both sides come from the caches, and never stored: each question keeps its best. Every score is the sum over a vector
 * in its order, in float32, without fused multiplication: the same bits whatever the processor can do.
 *
 * Scores are question . word / |word|: the cosine when the question has length 1.
 */
#ifndef TA_NEAR_H
#define TA_NEAR_H

#include "vectors.h"

#define TA_NEAR_NOBODY UINT32_MAX

struct ta_near {
    const struct ta_vectors *vectors;
    const uint32_t *words; /* [n_words] rows to look among; of equal scores the earlier wins */
    size_t n_words;
    const float *questions;   /* [n_questions][dim], finite */
    const uint32_t (*but)[3]; /* [n_questions] rows that do not count; TA_NEAR_NOBODY: none */
    size_t n_questions;
    unsigned top; /* answers a question, >= 1 */
};

struct ta_near_answer {
    uint32_t row; /* TA_NEAR_NOBODY where there are fewer words than `top` */
    float score;
};

/* answers[n_questions][top], best first. One thread. Errors: NO_MEMORY. */
ta_status ta_near_find(const struct ta_near *near, struct ta_near_answer *answers);

#endif
