/* import_words: distinct strings, numbered in the order of their first occurrence, with counts; private to the
 * importers.
 *
 * Memory grows with the number of distinct strings. One thread at a time. Errors: NO_MEMORY.
 */
#ifndef TA_IMPORT_WORDS_H
#define TA_IMPORT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_word {
    size_t start;    /* in `text` */
    uint32_t length; /* without the NUL behind it */
    uint32_t hash;
    uint64_t count;
};

struct ta_words {
    char *text;
    size_t text_used, text_capacity;
    struct ta_word *word; /* [count] */
    size_t count, capacity;
    uint32_t *slot; /* 0: free, else word number + 1 */
    size_t slots;   /* a power of two, at least twice `count` */
};

void ta_words_free(struct ta_words *words); /* a zeroed one is fine */

/* Counts one more `text`; *number (may be NULL) is which word it is. At most INT32_MAX words. */
ta_status ta_words_add(struct ta_words *words, const char *text, size_t length, uint32_t *number);
/* -1: not among them. */
int64_t ta_words_find(const struct ta_words *words, const char *text, size_t length);
const char *ta_words_text(const struct ta_words *words, size_t number); /* valid until the next add */

/* `into` (zeroed) gets the words of `from` numbered as order[0 .. count-1] says, with their counts. */
ta_status ta_words_select(struct ta_words *into, const struct ta_words *from, const uint32_t *order, size_t count);

#endif
