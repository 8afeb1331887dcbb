/* live: what the files of the live exchange share. Private to this folder; the manual is exchange.h.
 *
 *     live.c         open, close, steps, apply          live_rounds.c  settle, resume, request, leave
 *     outbox.c       what is put to whom, when          estate.c       what the gone have left
 *     membership.c   who is with us                     staleness.c    what was missing from a gradient's weights
 *     slot.c         what lies where in a window
 */
#ifndef TA_LIVE_H
#define TA_LIVE_H

#include "estate.h"
#include "exchange.h"
#include "membership.h"
#include "outbox.h"
#include "slot.h"
#include "staleness.h"

struct ta_live {
    struct ta_exchange base; /* first: a live exchange is an exchange */
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport;
    struct ta_log *log;
    struct ta_slot_ident self;
    struct ta_slot_layout layout;
    char *window;               /* of the transport */
    struct ta_membership members;
    struct ta_staleness staleness;
    struct ta_outboxes outboxes;
    struct ta_estates estates;
    const float **registers;    /* [n_ranks] scratch of apply */
    struct ta_slot_said said;   /* what we say of ourselves; steps and records are in base */
    uint32_t said_version;      /* rises with every change of `said` that peers must hear of */
    bool stale;                 /* w is not the sum of what is here */
    bool at_rest;               /* settled, not resumed: w does not change */
    uint32_t rest_round;        /* the round we are, or were last, at rest in */
    ta_status put_status;       /* of the last put that failed for a reason of ours: poll returns it */
    size_t held_bytes;
};

static inline struct ta_live *ta_live_of(struct ta_exchange *x) { return (struct ta_live *)x; }
static inline const struct ta_live *ta_live_of_const(const struct ta_exchange *x) { return (const struct ta_live *)x; }

/* Where the register of `rank` lies: our delta, a peer's inbox, or our copy of what a gone peer left. */
const float *ta_live_register(const struct ta_live *l, unsigned rank);
/* w = the sum (or mean) of the registers. Errors: of the kernels. */
ta_status ta_live_apply(struct ta_live *l);

/* The members of ta_exchange_live that live_rounds.c makes. */
ta_status ta_live_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns);
ta_status ta_live_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns);
void ta_live_request(struct ta_exchange *x, uint32_t round, uint32_t reason);
uint32_t ta_live_requested(const struct ta_exchange *x, uint32_t *reason);
void ta_live_leave(struct ta_exchange *x, int64_t now_ns);
/* In a round, or waiting in the last one: must not step. */
bool ta_live_resting(const struct ta_live *l);
/* Whether the moving statistics of a gone rank still count in the rest we are in. */
bool ta_live_counts_in_rest(const struct ta_live *l, unsigned rank);
/* PEER, with its message: what a call says when the others hold us for dead. */
ta_status ta_live_accused(const struct ta_live *l);

#endif
