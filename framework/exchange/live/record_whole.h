/* record_whole: what a live exchange does differently while it is recorded: every put is whole, so that every apply has
 * seen a definite step of each peer.
 *
 *   put    the body goes out from a copy that stays until the put has left, with the number of its steps before it
 *          (8 bytes, the payload of the slot) and the header after it. One copy serves all peers that a step goes to.
 *   apply  reads the steps in the header, copies the body, and looks at the number before the body: while that is the
 *          same, nothing of a later put was there (segments are delivered in order), and the copy is that step. Else
 *          the copy before stays, and the next apply tries again.
 *
 * So nobody waits here either; a peer's step may only count an apply later. Memory: n_ranks registers more at the
 * reader, and at the writer as many copies as are on their way at once, at most (n_ranks - 1) * puts_in_flight + 1.
 *
 * CPU alone (memory is read where it lies), models without tables, no spares. One thread, that of the exchange.
 */
#ifndef TA_RECORD_WHOLE_H
#define TA_RECORD_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "record.h"
#include "transport.h"

struct ta_live;

enum { TA_WHOLE_PAYLOAD_BYTES = 64, TA_WHOLE_MOST_SEGMENTS = 2 };

struct ta_whole_copy {
    char *block;    /* the steps (64 bytes, the first 8 are put), then the register */
    uint64_t steps;
    unsigned users; /* puts that still read it */
};

struct ta_whole {
    struct ta_recorder *recorder;
    struct ta_exchange_updater updater; /* the one that is listened to */
    float **body;          /* [n_ranks] the copies that are applied; our own: NULL */
    float *spare;          /* the next one is made here */
    uint64_t *versions;    /* [n_ranks] the steps in them; our own: in the last apply */
    bool started;          /* they were taken over from what the exchange started with */
    struct ta_whole_copy *copies;
    unsigned n_copies;
    uint32_t *on_way;      /* [n_ranks][in_flight + 1]: number of the copy + 1; 0: a put without one */
    unsigned *oldest, *n_on_way; /* [n_ranks] of that ring */
    unsigned packed;       /* the copy of the put that is being made */
    bool told;             /* that the recording has ended */
};

/* Opens it as l->whole and listens to the updater. Errors: CONFIG (what cannot be recorded), NO_MEMORY. */
ta_status ta_whole_open(struct ta_live *l, struct ta_recorder *recorder);
void ta_whole_close(struct ta_live *l); /* after the paths are closed; without one: fine */

/* Before an apply: takes all bodies that are newer than the copies. True: some could not be, later. */
bool ta_whole_take(struct ta_live *l);
/* Every copy is what its header says. */
bool ta_whole_is_current(const struct ta_live *l);
/* At rest, after the apply: into the recording. Errors: of the checksum. */
ta_status ta_whole_rest(struct ta_live *l, uint32_t round);

/* A put with a body: makes sure of a copy (NO_MEMORY; of source_register), gives its segments, was taken by the
 * transport. */
ta_status ta_whole_pack(struct ta_live *l);
unsigned ta_whole_segments(const struct ta_live *l, unsigned peer,
                           struct ta_put_segment segments[TA_WHOLE_MOST_SEGMENTS]);
void ta_whole_sent(struct ta_live *l, unsigned peer, bool body);

#endif
