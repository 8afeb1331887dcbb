/* rehearsal: a bounded memory of past records, to train on again when the world has changed.
 *
 *     fifo        the newest records
 *     reservoir   every record seen is in it with the same chance: Vitter's algorithm R, ACM TOMS 11:37 (1985)
 *     balanced    as many of each class as there is room for, each class by a reservoir of its own: CBRS (Chrysakis,
 *                 Moens, "Online continual learning from imbalanced data", ICML 2020). Classes only
 *
 * A record is x and its label, as bytes; what they mean is the caller's. Which record is kept or drawn follows from the
 * seed. Memory is allocated at once: room * (x_bytes + label_bytes + 8). One thread; constant time a record, and for
 * `balanced` a pass over the classes when the memory is full.
 */
#ifndef TA_REHEARSAL_H
#define TA_REHEARSAL_H

#include <stddef.h>
#include <stdint.h>

#include "rng.h"
#include "status.h"

enum ta_rehearsal_policy { TA_REHEARSAL_FIFO, TA_REHEARSAL_RESERVOIR, TA_REHEARSAL_BALANCED };

struct ta_rehearsal_config {
    enum ta_rehearsal_policy policy;
    uint32_t room;       /* records, at least 1 */
    size_t x_bytes, label_bytes;
    uint32_t classes;    /* balanced: at least 1 */
    uint64_t seed;
};

struct ta_rehearsal {
    struct ta_rehearsal_config config;
    uint32_t held;
    uint64_t seen;
    unsigned char *x, *labels; /* [room] each; owned */
    uint32_t *class_of;        /* balanced: [room] */
    uint32_t *class_held;      /* balanced: [classes] in memory */
    uint64_t *class_seen;      /* balanced: [classes] */
    unsigned char *class_full; /* balanced: [classes] was once the largest: it only exchanges its own */
    struct ta_rng rng;
};

/* Errors: CONFIG (no room, no classes), NO_MEMORY; freeing after is fine. */
ta_status ta_rehearsal_init(struct ta_rehearsal *r, const struct ta_rehearsal_config *config);
void ta_rehearsal_free(struct ta_rehearsal *r);
/* A record that was trained on. class: balanced: below `classes` (others are not kept); else not looked at. */
void ta_rehearsal_add(struct ta_rehearsal *r, const void *x, const void *label, uint32_t class);
/* Draws one of those held, each with the same chance; NULL in *x: nothing is held. The memory is the rehearsal's. */
void ta_rehearsal_draw(struct ta_rehearsal *r, const void **x, const void **label);
void ta_rehearsal_clear(struct ta_rehearsal *r); /* forgets all records */

#endif
