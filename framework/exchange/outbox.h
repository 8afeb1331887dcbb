/* outbox: what has been put to each peer, and what it should be told next.
 *
 * A put carries, in this order: the body when it is behind, the acknowledgement, the board when it changed, the header.
 * A header is only as new as the body before it, so nothing is said that the body does not hold. While as many puts as
 * allowed are in flight nothing is put; the next one then says it all (`busy` counts the steps this happened to).
 *
 * Body and board are put live: a torn body is harmless (live.c), and every row of a board means something
 * by itself. Header, acknowledgement and relay lines are put from copies that stay unchanged until the put has left:
 * one more a peer than puts that may be in flight.
 *
 * One thread.
 */
#ifndef TA_OUTBOX_H
#define TA_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "slot.h"

struct ta_live;

/* Sources of one put; 64-byte aligned. */
struct ta_put_copy {
    uint64_t header[TA_SLOT_WORDS];
    uint64_t relay[8];
    uint64_t ack;
    uint64_t pad[7];
};

struct ta_outbox {
    struct ta_put_copy *copies; /* [puts_in_flight + 1] */
    unsigned turn;              /* the copy the next put uses */
    bool joined;                /* it was sent a body */
    uint64_t put_steps;         /* of ours, in the last body put */
    uint32_t said_version, board_version;
    uint64_t acked;             /* of its steps: what we told it */
    uint32_t pulse;
    int64_t put_ns;             /* of the last put */
    int64_t relay_ns;           /* of the last relay put, */
    unsigned relay_rank;        /* of what this rank left, */
    uint32_t relay_serial;      /* so manieth */
    uint64_t puts, bytes, busy;
};

struct ta_outboxes {
    struct ta_outbox *outbox;    /* [n_ranks] */
    struct ta_put_copy *copies;  /* of all */
    struct ta_slot_claim *board; /* [n_ranks] ours: membership.h writes it, all puts read it */
    unsigned in_flight;          /* puts to one peer at a time */
    int64_t heartbeat_ns;
};

ta_status ta_outboxes_open(struct ta_outboxes *o, unsigned n_ranks, unsigned in_flight); /* NO_MEMORY */
void ta_outboxes_close(struct ta_outboxes *o);

/* Puts what is new to `peer`, if there is room. False: no room (or no path). */
bool ta_outbox_push(struct ta_live *l, unsigned peer, int64_t now_ns);
/* The same for all peers that have something to be told, or have not heard of us for a while. */
void ta_outboxes_flush(struct ta_live *l, int64_t now_ns);
/* Puts our copy of what `gone` left to `peer`. False: no room; try again. */
bool ta_outbox_relay(struct ta_live *l, unsigned peer, unsigned gone, int64_t now_ns);

#endif
