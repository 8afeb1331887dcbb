/* vectors_index: which row a word has. Of equal words the first (the commonest) counts.
 *
 * `fold`: A to Z count as a to z, in the list and in what is looked for; of other letters case matters. An index
 * borrows the names: they stay where they are while it is open. Once open, any thread may look. Errors: NO_MEMORY.
 */
#ifndef TA_VECTORS_INDEX_H
#define TA_VECTORS_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "names.h"
#include "status.h"

#define TA_WORD_MISSING UINT32_MAX

struct ta_word_index {
    const struct ta_names *names;
    uint32_t *slots; /* [mask + 1] row + 1, 0: free */
    size_t mask;
    bool fold;
};

/* The first `most` words of the list, fewer than 2^31. */
ta_status ta_word_index_open(struct ta_word_index *index, const struct ta_names *names, size_t most, bool fold);
void ta_word_index_close(struct ta_word_index *index); /* a zeroed one is fine */
/* The row, or TA_WORD_MISSING. */
uint32_t ta_word_index_find(const struct ta_word_index *index, const char *word);

#endif
