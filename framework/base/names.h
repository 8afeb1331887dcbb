/* names: a list of words with how often each was seen; word i is what row i of a table stands for.
 *
 * Words are UTF-8, end to end in one block: a list of 100,000 takes about a megabyte. A plain value: zeroed at birth,
 * freed by ta_names_free. One thread.
 */
#ifndef TA_NAMES_H
#define TA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h5.h"
#include "status.h"

struct ta_names {
    char *text;       /* each word ends with a NUL */
    size_t *start;    /* [count] of each word in text */
    uint64_t *counts; /* [count] */
    size_t count, capacity, text_bytes, text_capacity;
};

void ta_names_free(struct ta_names *names); /* a zeroed one is fine */
/* One more word of `bytes` bytes, or up to its first NUL; an empty word is a row without a name. Errors: NO_MEMORY. */
ta_status ta_names_add(struct ta_names *names, const char *word, size_t bytes, uint64_t seen);
const char *ta_names_get(const struct ta_names *names, size_t i);
/* XXH3 over words in order, counts left out: equal lists mean equal rows. */
uint64_t ta_names_checksum(const struct ta_names *names);
/* True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF). */
bool ta_names_utf8(const char *word, size_t bytes);

/* /vocabulary uint8 [count][longest], padded by NUL, and /vocabulary_count int64 [count], with their descriptions; the
 * attribute `vocabulary` of the root: count. Errors: INVALID (no word; one that ta_names_read would refuse), and as
 * h5.h. */
ta_status ta_names_write(const struct ta_names *names, struct ta_h5 *file);
/* Replaces `names`, which must be zeroed. Checks everything: ranks, sizes, that they agree, at most 2^31 words of at
 * most 4,096 bytes, UTF-8. Without /vocabulary_count the counts are 0. `path` is for messages. After an error `names`
 * is zeroed. Errors: FORMAT, IO, NO_MEMORY. */
ta_status ta_names_read(struct ta_names *names, struct ta_h5 *file, const char *path);

#endif
