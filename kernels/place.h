/* place: buffers with lifetimes -> offsets in one arena.
 *
 * First fit by decreasing size: within a few percent of the best for the chains that nets are.
 */
#ifndef TA_PLACE_H
#define TA_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ta_block {
    size_t floats;     /* 0: not needed */
    uint32_t from, to; /* first and last time it is needed; two that share a time do not share memory */
    size_t offset;     /* found by ta_place, in floats, a multiple of 16 */
    bool placed;
};

/* Floats the arena needs. */
size_t ta_place(struct ta_block *blocks, uint32_t count);

#endif
