/* membership: who is joining, live, left or dead, as far as this replica knows, and what the others say of it.
 *
 *     JOINING -> LIVE -> LEFT | DEAD           JOINING: no connection yet, or not a word from it yet
 *     ABSENT  -> LIVE                          ABSENT: a spare that has not joined; nobody waits for it (live_join.c)
 *
 * A rank that is gone stays gone. It is gone when it said so itself (LEFT), when it was silent for too long, when the
 * transport or the caller says so, or when a peer that is not gone says so on its board (DEAD). The last rule makes all
 * survivors agree on who is gone; the price is that one wrong suspicion costs a replica. That replica finds itself on a
 * board and must leave (`accused`): if it went on, its steps would be missing from everybody else's weights. Two halves
 * that hold each other for dead when they meet again: the higher rank gives way.
 *
 * Silence counts only while we listen: after a pause of our own (a long step, a stopped process) at most a quarter of
 * the patience is charged to the others. Patience must still be longer than the longest step, since a replica that
 * computes says nothing.
 *
 * A path that breaks says nothing about its peer: the peer stays what it was until a new path stands or its silence has
 * lasted too long. Two replicas between whom no path comes back hold each other for dead, and then any third one that
 * both can reach decides; if the path comes back later, they are two halves as above.
 *
 * A spare that is still outside gives nobody up for his silence: it finds itself `stranded`, and goes.
 *
 * One thread. Reads the window, sends nothing.
 */
#ifndef TA_MEMBERSHIP_H
#define TA_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "slot.h"

struct ta_member {
    enum ta_peer_life life;
    bool connected;            /* we can put to it */
    bool broken;               /* we could, until its path broke: its silence counts, and it may come back */
    uint32_t breaks;           /* so often */
    bool heard;                /* it put a header to us */
    bool doubted;              /* it is connected and dead: it must be told (once) that it is */
    struct ta_slot_said known; /* the newest we know of it; frozen when it is gone */
    int64_t silent_ns;
    uint64_t foreign;          /* headers that were not its own: of another run, or damaged */
    uint64_t foreign_seen;     /* the last such header, so that it counts once */
    uint64_t acked;            /* of our steps, in its weights */
    uint64_t note;             /* the highest it has told */
    uint64_t gauge;            /* the latest */
    uint64_t position;         /* in its share of the stream, */
    uint64_t share;            /* which is that of this rank, + 1; 0: its own, or none yet */
    bool welcome;              /* it counts on us */
    bool expected;             /* an ABSENT one on whom somebody counts */
};

struct ta_membership {
    struct ta_slot_ident self;
    struct ta_slot_layout layout;
    const char *window;            /* ours */
    struct ta_member *member;      /* [n_ranks]; our own is LIVE and unused */
    struct ta_slot_claim *board;   /* [n_ranks] ours: what we put to everybody. Borrowed */
    uint32_t board_version;        /* rises with every change of the board */
    unsigned n_gone;
    int64_t dead_after_ns;
    int64_t last_ns;               /* of the last hear; INT64_MIN: none */
    bool accused;                  /* somebody whose word counts holds us for dead: */
    unsigned accuser;
    bool outside;                  /* we are a spare that has not joined */
    bool stranded;                 /* and cannot, for the silence of: */
    unsigned silent;
    bool news;                     /* somebody is gone or a board changed: what is left behind may be settled now */
    struct ta_log *log;
};

struct ta_membership_config {
    struct ta_slot_ident self;
    const struct ta_slot_layout *layout;
    const char *window;
    unsigned spares;             /* the last so many ranks; we may be one */
    struct ta_slot_claim *board; /* zeroed, outlives the membership */
    int64_t dead_after_ns;
    struct ta_log *log;          /* may be NULL */
};

ta_status ta_membership_open(struct ta_membership *m, const struct ta_membership_config *config); /* NO_MEMORY */
void ta_membership_close(struct ta_membership *m);

/* We can put to `peer` from now on. One that is dead is only told so, for it cannot come back. Nothing for one that
 * left. */
void ta_membership_joined(struct ta_membership *m, unsigned peer);
/* We cannot put to `peer` until it joins again. Not its death: only its silence is. */
void ta_membership_broken(struct ta_membership *m, unsigned peer);
/* `peer` is dead; `why` completes the line "peer 3 ..." in the log. Nothing when it is gone already. */
void ta_membership_lose(struct ta_membership *m, unsigned peer, const char *why);

/* Reads all headers, acknowledgements and boards; finds who left, who was silent for too long, who is said to be gone
 * and whether we are. True when a peer made steps or is newly gone: the weights are out of date. */
bool ta_membership_hear(struct ta_membership *m, int64_t now_ns);

static inline bool ta_member_gone(const struct ta_member *member) {
    return member->life == TA_PEER_LEFT || member->life == TA_PEER_DEAD;
}
/* Neither gone nor absent: whoever comes to rest waits for it. */
static inline bool ta_member_counts(const struct ta_member *member) {
    return member->life == TA_PEER_JOINING || member->life == TA_PEER_LIVE;
}

/* Counts from now on on spares that can be put to and have said a word; true: there was one. */
bool ta_membership_welcome(struct ta_membership *m);

/* The board `peer` put to us. */
const void *ta_membership_board_of(const struct ta_membership *m, unsigned peer);
/* Writes into our row for a rank that is gone: the copy we hold, */
void ta_membership_claim(struct ta_membership *m, unsigned rank, uint64_t state, uint64_t checksum);
/* and, once and for all, the pass with which its body in our window may be written. */
void ta_membership_admit(struct ta_membership *m, unsigned rank, uint64_t pass);

#endif
