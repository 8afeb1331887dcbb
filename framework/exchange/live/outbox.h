/* outbox: what has been put to each peer, and what it should be told next.
 *
 * A put carries, in this order: the body when it is behind, rows of tables that are due and their ids for the row log,
 * the board when it changed, the acknowledgement, the head of the row log, the header. A header is only as new as the
 * body before it, so nothing is said that the body does not hold. Since the rows of many steps may still be to come,
 * the header claims the steps that are wholly put, says how many more were made, and speaks of rounds (and of leaving)
 * only when nothing is to come. While as many puts as allowed are in flight nothing is put; the next one then says it
 * all (`busy` counts the steps this happened to).
 *
 * Body, rows and board are put live: a torn body is harmless (live.c), and every row of a board means something
 * by itself. Header, acknowledgement, lists of rows and relay lines are put from copies that stay unchanged until the
 * put has left: one more a peer than puts that may be in flight.
 *
 * On a new path all of that is put anew: the whole register (tables are to be scanned), the board, the acknowledgement,
 * and what a gone rank left. Whatever arrived of the puts on the path before, a later put on this one has repeated it;
 * and nothing that is counted on below was ever taken from what was put, but from what the peer itself said it has.
 *
 * One thread.
 */
#ifndef TA_OUTBOX_H
#define TA_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "slot.h"

struct ta_live;

/* Rows that one put takes at most: a few megabytes, so that a header is never long behind its step. */
enum { TA_OUTBOX_ROWS = 8192 };

/* Sources of one put; 64-byte aligned. */
struct ta_put_copy {
    uint64_t header[TA_SLOT_WORDS];
    uint64_t relay[8];
    uint64_t ack[TA_SLOT_ACK_WORDS];
    uint64_t log_head; /* of the row log, after this put */
    uint64_t pad[1];
};

struct ta_outbox {
    struct ta_put_copy *copies; /* [puts_in_flight + 1] */
    unsigned turn;              /* the copy the next put uses */
    bool joined;                /* it was sent a body, on the path there is now */
    bool anew;                  /* there was a path before, which broke: what arrived of all that was put is unknown */
    uint64_t body_steps;        /* of ours, in the last body put; of models without tables the same as */
    unsigned body_turn;         /* `turn` after that put */
    uint64_t put_steps;         /* of ours, wholly put, */
    uint64_t put_records, put_position; /* and what goes with them */
    uint64_t told_made;         /* of ours: the last header said that so many are made */
    uint64_t told;              /* the state word (slot.h) of the last header with nothing left to come */
    uint64_t log_head;          /* ids ever put into its row log */
    uint32_t said_version, board_version;
    uint64_t acked;             /* of its steps: what we told it */
    uint32_t pulse;
    int64_t put_ns;             /* of the last put */
    int64_t relay_ns;           /* of the last relay put (or refused), */
    unsigned relay_rank;        /* of what this rank left, */
    uint32_t relay_serial;      /* so manieth */
    uint64_t puts, bytes, busy, rows;
};

struct ta_outboxes {
    struct ta_outbox *outbox;    /* [n_ranks] */
    struct ta_put_copy *copies;  /* of all */
    uint32_t *lists;             /* of each copy: row numbers, and ids of the same rows, [most_rows] each */
    uint32_t most_rows;          /* rows in a put */
    struct ta_slot_claim *board; /* [n_ranks] ours: membership.h writes it, all puts read it */
    unsigned in_flight;          /* puts to one peer at a time */
    int64_t heartbeat_ns;
};

/* `most_rows`: 0 for a model without tables. Errors: NO_MEMORY. */
ta_status ta_outboxes_open(struct ta_outboxes *o, unsigned n_ranks, unsigned in_flight, uint32_t most_rows);
void ta_outboxes_close(struct ta_outboxes *o);

/* A path to `peer` stands, on which nothing has been put yet. */
void ta_outbox_restart(struct ta_live *l, unsigned peer);
/* Puts what is new to `peer`, if there is room. False: no room (or no path). */
bool ta_outbox_push(struct ta_live *l, unsigned peer, int64_t now_ns);
/* The same for all peers that have something to be told, or have not heard of us for a while. */
void ta_outboxes_flush(struct ta_live *l, int64_t now_ns);
/* A body that was put to `peer` is still being read from our register. */
bool ta_outbox_reads_body(const struct ta_live *l, unsigned peer);
/* Puts our copy of what `gone` left to `peer`, which opened its inbox with `pass`. False: no room, no path, or the pass
 * fits nothing; try again. */
bool ta_outbox_relay(struct ta_live *l, unsigned peer, unsigned gone, uint64_t pass, int64_t now_ns);

#endif
