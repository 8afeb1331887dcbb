/* similarity: do vectors find alike what people find alike? Cosines beside judgements, by rank (WordSim-353;
 * Finkelstein et al., "Placing Search in Context", TOIS 2002).
 *
 * A file of pairs holds lines WORD WORD SCORE, separated by tabs or blanks; empty lines and those that begin with # are
 * passed over. A pair with a word that has no vector is left out and counted.
 *
 * Errors: IO, FORMAT (line, and what is wrong with it), NO_MEMORY.
 */
#ifndef TA_SIMILARITY_H
#define TA_SIMILARITY_H

#include <stdbool.h>

#include "vectors.h"

struct ta_similarity_pair {
    double score;  /* as people gave it */
    double cosine; /* NaN: a word has no vector */
};

struct ta_similarity {
    struct ta_names words;            /* [2 * count] as in the file: pair i has words 2 i and 2 i + 1 */
    struct ta_similarity_pair *pairs; /* [count] */
    size_t count, found;
    double spearman; /* of the pairs found; NaN: fewer than two, or all alike */
};

/* `fold`: A to Z count as a to z in both files. */
ta_status ta_similarity_score(const struct ta_vectors *vectors, const char *path, bool fold, struct ta_similarity *out);
void ta_similarity_free(struct ta_similarity *s); /* a zeroed one is fine */

/* Rank correlation of x and y, [n], no NaN among them; equal values share the mean of their ranks (Pearson's
 * correlation of the ranks). NaN: n < 2, or all of one side alike. */
ta_status ta_spearman(const double *x, const double *y, size_t n, double *out); /* NO_MEMORY */

#endif
