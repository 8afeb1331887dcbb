/* vocabulary_check: what holds of a vocabulary at any time, whatever was read or set. */
#ifndef TA_VOCABULARY_CHECK_H
#define TA_VOCABULARY_CHECK_H

#include <stdlib.h>
#include <string.h>

#include "vocabulary.h"

static inline int vocabulary_check_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* NULL, or what is wrong. */
static inline const char *vocabulary_check(const struct ta_vocabulary *v, uint32_t rows) {
    struct ta_names names;
    struct ta_vocabulary_stats stats;
    const uint64_t *counts = ta_vocabulary_counts(v);
    const char **word = malloc((rows + 1) * sizeof *word), *wrong = NULL;
    uint32_t used = 0;
    ta_vocabulary_stats(v, &stats);
    if (word == NULL || ta_vocabulary_names(v, &names) != TA_OK) {
        free(word);
        return "no names";
    }
    if (names.count != rows) wrong = "not a name a row";
    for (uint32_t row = 0; wrong == NULL && row < rows; row++) {
        const char *name = ta_names_get(&names, row);
        if ((counts[row] == 0) != (name[0] == '\0')) wrong = "a word that does not count, or a count without a word";
        if (names.counts[row] != counts[row]) wrong = "names and counts disagree";
        if (strlen(name) > TA_VOCABULARY_WORD_BYTES) wrong = "a long word";
        if (!ta_names_utf8(name, strlen(name))) wrong = "a word that is not UTF-8";
        if (strpbrk(name, " \t\n\v\f\r") != NULL) wrong = "white space in a word";
        if (name[0] != '\0') word[used++] = name;
    }
    if (wrong == NULL && used != stats.used) wrong = "used rows miscounted";
    if (stats.known > stats.words || stats.evicted > stats.admitted) wrong = "impossible statistics";
    if (used > 0) qsort(word, used, sizeof *word, vocabulary_check_order);
    for (uint32_t i = 1; i < used; i++)
        if (strcmp(word[i - 1], word[i]) == 0) wrong = "a word has two rows";
    ta_names_free(&names);
    free(word);
    return wrong;
}

#endif
