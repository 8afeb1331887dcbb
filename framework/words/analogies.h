/* analogies: "a is to b as c is to what?", asked of word vectors as word2vec's compute-accuracy asks it.
 *
 * A file of questions holds lines ": NAME", each beginning a section, and lines of four words a b c d. The answer is
 * the word nearest to b - a + c, of unit vectors (3CosAdd; Levy, Goldberg, "Linguistic Regularities in Sparse and
 * Explicit Word Representations", CoNLL 2014), among the `most` commonest words, a, b and c excepted; right when it is
 * d. A question with a word that is not among those is left out and counted. Sections whose names begin with "gram" are
 * syntactic, the others semantic.
 *
 * Errors: IO, FORMAT (line, and what is wrong with it), NO_MEMORY.
 */
#ifndef TA_ANALOGIES_H
#define TA_ANALOGIES_H

#include <stdbool.h>

#include "vectors.h"

enum { TA_ANALOGY_NAME_BYTES = 127 };

struct ta_analogy_score {
    uint64_t asked, right; /* right <= asked */
    uint64_t left_out;
};

struct ta_analogy_section {
    char name[TA_ANALOGY_NAME_BYTES + 1]; /* UTF-8, no control characters */
    struct ta_analogy_score score;
};

struct ta_analogies {
    struct ta_analogy_section *sections;
    size_t count;
    size_t words; /* looked among */
    struct ta_analogy_score semantic, syntactic, all;
};

/* `fold`: A to Z count as a to z in both files; of words that differ in nothing else the commonest counts. `most` 0:
 * all. */
ta_status ta_analogies_ask(const struct ta_vectors *vectors, const char *path, size_t most, bool fold,
                           struct ta_analogies *out);
void ta_analogies_free(struct ta_analogies *a); /* a zeroed one is fine */
/* right / asked, or NaN when nothing was asked. */
double ta_analogy_accuracy(const struct ta_analogy_score *score);

#endif
