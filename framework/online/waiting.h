/* waiting: records that were predicted and whose labels have not come yet, in bounded memory.
 *
 * A record goes in with the moment its label will be known; it comes out, to be trained on, once that moment has been
 * reached, the one that is due first before the others (of equals the one that went in first). Moments are whatever
 * rises: record numbers here. When there is no room the record that has waited longest is dropped and counted: labels
 * that never come cost memory once, not for ever.
 *
 * A record is x and its label, as bytes; what they mean is the caller's. All memory is allocated at once: room *
 * (x_bytes + label_bytes + 32). One thread; O(log room) a record.
 */
#ifndef TA_WAITING_H
#define TA_WAITING_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_waiting_place {
    uint64_t due, number; /* number: counts what went in */
    uint32_t heap_at;     /* where it stands in the heap */
    uint32_t older, newer; /* neighbours in the order of arrival */
};

struct ta_waiting {
    uint32_t room, held;
    size_t x_bytes, label_bytes;
    uint64_t entered, dropped;
    unsigned char *x, *labels;      /* [room] each; owned, as is all below */
    struct ta_waiting_place *place; /* [room] */
    uint32_t *heap;                 /* [room] places, the first due on top; free ones behind the held */
    uint32_t oldest, newest;
};

/* Errors: CONFIG (no room), NO_MEMORY; freeing after is fine. */
ta_status ta_waiting_init(struct ta_waiting *w, uint32_t room, size_t x_bytes, size_t label_bytes);
void ta_waiting_free(struct ta_waiting *w);
void ta_waiting_add(struct ta_waiting *w, uint64_t due, const void *x, const void *label);
/* The next record that is due at `now`: 1, with pointers that hold until the next call; 0: none is. */
int ta_waiting_next(struct ta_waiting *w, uint64_t now, const void **x, const void **label);

/* One that is held, on a walk over all in the order in which they went in: added again like this to an empty one they
 * come out as they would have. *place: UINT32_MAX begins. 0: there are no more. */
int ta_waiting_walk(const struct ta_waiting *w, uint32_t *place, uint64_t *due, const void **x, const void **label);

#endif
