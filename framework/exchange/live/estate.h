/* estate: what a gone rank has left, and how the survivors come to hold the same.
 *
 * Each survivor may hold another state of a dead rank's register: its last body arrived here and not there, or half of
 * it. So that all weights are the same bits again, for each gone rank:
 *
 *   1. Freeze. On learning that it is gone, copy its inbox and what is known of it (its state: slot.h) to where it can
 *      no longer write, should it only have been asleep. The checksum over both goes on our board. (What a rank that
 *      has LEFT put last is complete and final: its inbox is used as it is, at no cost in memory.)
 *   2. Elect. When the boards of all others who are not gone show a copy, the one in the latest state (of the
 *      lowest rank, among equals) is what counts. No messages: all see the same boards.
 *   3. Admit. That inbox may only be written by the rank that is gone: who sees that a better copy than its own will be
 *      relayed opens it to all, and says on its board with which pass.
 *   4. Relay. The holder puts the copy into the inbox of the gone rank at everyone whose checksum differs, and repeats
 *      that until it no longer does. The receiver copies, checks the sum, and shows the new checksum on its board.
 *
 * Agreed: the boards of all who are not gone show one checksum. If the holder dies meanwhile the same rules find
 * another. A relay that was overwritten half-way (by the sleeper, by another relay) fails its checksum and is repeated.
 *
 * Memory: one more register for each dead rank, none for those that left. One thread.
 */
#ifndef TA_ESTATE_H
#define TA_ESTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "slot.h"

struct ta_live;

enum { TA_ESTATE_CHUNK_FLOATS = 16384 }; /* copied and hashed at a time */

struct ta_estate {
    bool frozen;
    bool in_place;        /* `copy` is the inbox itself */
    bool told;            /* the agreement was logged */
    bool registered;      /* `copy` is memory that puts may read from */
    float *copy;          /* [n_params]; of kernels.alloc unless in_place */
    uint64_t state;       /* packed, see slot.h: how far the rank had come in this copy */
    uint64_t steps;       /* of state */
    uint64_t records;
    uint64_t position, share; /* of the stream: exchange.h */
    uint64_t checksum;    /* over rank, all of those and values; never 0 once frozen */
    uint64_t seen_ticket, seen_serial; /* the last relay that was looked at */
};

struct ta_estates {
    struct ta_estate *estate; /* [n_ranks] */
    void *scratch;            /* host memory, one chunk */
    void *hash;               /* XXH3 state */
    bool open;                /* somebody is gone and it is not all agreed yet */
};

ta_status ta_estates_open(struct ta_estates *e, unsigned n_ranks); /* NO_MEMORY */
void ta_estates_close(struct ta_live *l);

/* Freezes, admits, relays, takes relays, for all that are gone. True when a register changed: the weights are out of
 * date. Errors: of the kernels' copies; of the transport, which could not open an inbox to all. */
ta_status ta_estates_step(struct ta_live *l, int64_t now_ns, bool *changed);
/* Everybody who is not gone holds the same of everybody who is. */
bool ta_estates_agreed(const struct ta_live *l);

/* The words of the relay line for what `gone` left. */
void ta_estate_relay_line(const struct ta_live *l, unsigned gone, uint32_t serial, uint64_t words[8]);

/* XXH3 of n floats where the weights live, as host bytes. Errors: of the kernels' copies. */
ta_status ta_estate_checksum(struct ta_live *l, const float *values, uint64_t *out);

#endif
