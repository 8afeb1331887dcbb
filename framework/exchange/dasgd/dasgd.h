/* dasgd: the protocol of the TensAIR paper (decentralized asynchronous SGD), on one-sided puts. Private to this folder
 * and its tests; the manual of its members is exchange.h, the name for a configuration `exchange.type: dasgd`.
 *
 *     a gradient on w    our optimizer at once: delta += update, w = w0 + delta
 *     is a message       `gradients_per_push` of them, summed, go to every peer as one
 *     applied there      by the receiver's own optimizer, in order of arrival, before its next gradient
 *
 * The receiver's optimizer counts these updates as its own: a schedule of rates moves on with the steps of all.
 * So the state of the optimizers is everybody's own, and so are the weights: with SGD replicas agree at rest to
 * rounding, with momentum or Adam they drift apart, as in the paper (`agrees` is false). Statistics of batch
 * normalisation (`mean` segments): a message carries the mean of those of its gradients, and the receiver moves its own
 * by it as by one batch.
 *
 * Delta is the sum of all updates made here, also of those of peers. At rest base.delta shows it for the lowest live
 * rank alone, and zero for the others: so in a checkpoint, as in those of every exchange, the weights are w0 + the
 * registers of all, those of the lowest live rank. All go on from them, each with its own optimizer's state and
 * statistics.
 *
 * Bounded memory, nobody blocks. Between each two replicas there is a ring of `slots` messages in the receiver's
 * window. The receiver says how many it has consumed by a put of 8 bytes (a credit), ahead of its messages or alone.
 * Without a free slot gradients go on summing up into the one message that waits (`busy` counts them): nothing is lost,
 * but the receiver then makes one update of more gradients. The sender keeps a message until it is consumed: on a new
 * path what is not is put again, and as messages are numbered, each is applied exactly once. The price is memory: the
 * slots in the window, as many copies at the sender and the message that grows, 2 * slots + 1 registers a peer.
 *
 * Staleness, exact: a message says for each of its gradients how many steps of every rank were in the weights it was
 * computed on. When it is applied, what is in the receiver's weights beyond them was missing (`damping` scales the
 * update by it). More than TA_DASGD_BASES gradients in one message: those beyond count as the last of these.
 *
 * max_staleness N: who is more than N steps ahead of what some peer has applied waits (and pushes what is pending). 0
 * is lock-step, by ticks: a replica's gradient waits until those of all others who step have come, and then everybody
 * applies them all in rank order; w is that of synchronous SGD, to rounding, and with any optimizer the same bits
 * everywhere while nobody dies. A step that is skipped (exchange.h: stepped with 0 records) is an empty message then.
 *
 * A peer that dies: messages of it that came whole are applied, the others go on; what had reached some and not others
 * stays so. Its steps, records and position are those that all survivors hold at rest.
 *
 * A slot, in words of 8 bytes; the number is put last, so who sees it sees all:
 *     number  1 for the first message ...          64 B
 *     head    TA_DASGD_* below, then for each basis: gradients, steps of rank 0, 1, ...
 *     body    n_params floats
 * A payload (control.h) is a line with the credit, then the slots.
 *
 *     dasgd.c         open, close, the small members     dasgd_send.c    messages and credits on their way out
 *     dasgd_apply.c   messages that have come            dasgd_rounds.c  ready, settle, resume, leave
 */
#ifndef TA_DASGD_H
#define TA_DASGD_H

#include "control.h"
#include "damping.h"
#include "exchange.h"

enum { TA_DASGD_SLOTS = 4, TA_DASGD_MOST_SLOTS = 1024, TA_DASGD_BASES = 8 };
enum { TA_DASGD_MOST_GRADIENTS = 1 << 24 }; /* in one message, or it is taken for damaged */

#define TA_DASGD_MAGIC UINT64_C(0x54414447) /* "TADG" */

/* The words of a head. */
enum ta_dasgd_word {
    TA_DASGD_ID,        /* magic : rank of the sender + 1 */
    TA_DASGD_RUN,       /* epoch : how many bases follow */
    TA_DASGD_TICK,      /* lock-step: of which tick; else 0 */
    TA_DASGD_STEPS,     /* of the sender, after the last gradient in it */
    TA_DASGD_GRADIENTS, /* summed in the body; 0: there is no body */
    TA_DASGD_RECORDS,   /* of the sender, after the last gradient in it */
    TA_DASGD_WORDS = 8
};

/* A message at its sender. */
struct ta_dasgd_message {
    float *body;      /* [n_params] */
    uint64_t *head;   /* [head_words] */
    uint64_t number;
    uint64_t records, position; /* of ours, after its last gradient */
    uint64_t put_at;            /* puts to the peer so far, once it was put; 0: never */
};

/* Towards a peer. Messages count from 0: message m has number m + 1, slot m % slots, and ring[m % (slots + 1)] here. */
struct ta_dasgd_out {
    struct ta_dasgd_message *ring; /* [slots + 1] */
    uint64_t made;                 /* sealed; the message of this number is growing */
    uint64_t next;                 /* to be put on this path */
    uint64_t consumed;             /* by the peer, as it said */
    uint64_t steps_put, records_put, position_put; /* as of the last message put */
    uint64_t steps_acked;          /* of ours, applied there */
    uint64_t told;                 /* consumed of its messages, as we said on this path; UINT64_MAX: nothing yet */
    uint64_t puts, bytes, busy;
};

/* From a peer. */
struct ta_dasgd_in {
    uint64_t consumed; /* messages; the source of credits */
    uint64_t records;
    uint64_t foreign;
    bool closed;       /* it is gone, and all that had come whole is applied */
};

struct ta_dasgd_layout {
    size_t head_words;
    size_t stride;                 /* floats between two bodies at the sender */
    size_t head, body, slot_bytes; /* offsets inside a slot, and its size */
    size_t payload_bytes;
};

struct ta_dasgd {
    struct ta_exchange base; /* first */
    struct ta_control control;
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    struct ta_exchange_updater updater;
    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport;
    struct ta_log *log;
    uint32_t epoch, slots, per_push;
    unsigned in_flight;
    int64_t bound;               /* -1: none */
    bool lock_step;
    struct ta_damping_rule damping;
    struct ta_dasgd_layout layout;
    struct ta_dasgd_out *out;    /* [n_ranks] */
    struct ta_dasgd_in *in;      /* [n_ranks] */
    struct ta_dasgd_message *messages; /* [n_ranks][slots + 1] */
    float *bodies;               /* of all */
    uint64_t *heads;
    uint64_t *applied;           /* [n_ranks] steps of each in w */
    uint64_t *basis;             /* [n_ranks] the same, when the gradient now computed was begun */
    struct ta_hist *hist;        /* [n_ranks] staleness of the gradients of each, when applied here; ours: of all */
    float *delta;                /* [n_params] base.delta, but at rest: that may be */
    float *shown;                /* [n_params] zero, and our statistics */
    float *held;                 /* [n_params] lock-step: our gradient of this tick */
    bool holds;                  /* it, or an empty one */
    bool held_empty;
    uint64_t tick;               /* lock-step: that is over */
    bool stale;                  /* w is not w0 + delta */
    bool urged;                  /* what is pending goes out at once */
    bool settling, at_rest;
    uint32_t rest_round;
    bool spoilt;                 /* an update of a message was not finite: `ready` says so */
    ta_status put_status;        /* of the last put that failed for a reason of ours */
    size_t held_bytes;
};

static inline struct ta_dasgd *ta_dasgd_of(struct ta_exchange *x) { return (struct ta_dasgd *)x; }
static inline const struct ta_dasgd *ta_dasgd_of_const(const struct ta_exchange *x) {
    return (const struct ta_dasgd *)x;
}

static inline struct ta_dasgd_message *ta_dasgd_message(const struct ta_dasgd *d, unsigned peer, uint64_t number) {
    return &d->out[peer].ring[number % (d->slots + 1)];
}
static inline size_t ta_dasgd_slot(const struct ta_dasgd *d, uint64_t number) {
    return 64 + number % d->slots * d->layout.slot_bytes;
}

/* dasgd_send.c. A gradient for everybody, or (lock-step) word that there is none; busy where it must wait. Errors: of
 * the kernels. */
ta_status ta_dasgd_push(struct ta_dasgd *d, const float *grad);
/* What peers have consumed. */
void ta_dasgd_hear_credits(struct ta_dasgd *d);
/* Puts what is due and has room, and tells control how far all have been put. Errors: of the transport. */
ta_status ta_dasgd_send(struct ta_dasgd *d, int64_t now_ns);
/* A new path to `peer`: what it has not consumed is put again. */
void ta_dasgd_restart(struct ta_dasgd *d, unsigned peer);
/* Gradients that wait to become a message to `peer`, or a message that waits for a slot. */
bool ta_dasgd_pending(const struct ta_dasgd *d, unsigned peer);
/* Every peer that counts has consumed all. */
bool ta_dasgd_all_consumed(const struct ta_dasgd *d);

/* dasgd_apply.c. w = w0 + delta, where it is not. Errors: of the kernels. */
ta_status ta_dasgd_refresh(struct ta_dasgd *d);
/* What is in w now is what the next gradient is computed on. */
void ta_dasgd_base(struct ta_dasgd *d);
/* At rest: what base.delta is. Errors: of the kernels. */
ta_status ta_dasgd_show(struct ta_dasgd *d);
/* One update of delta, with w as it is: fresh, but in lock-step, where all updates of a tick are made on the weights
 * that its gradients were computed on. Errors: of the updater. */
ta_status ta_dasgd_update(struct ta_dasgd *d, const float *grad, float weight);
/* Not at rest: applies what has come; in lock-step ticks that are complete. Errors: of the updater but NUMERIC. */
ta_status ta_dasgd_receive(struct ta_dasgd *d);

/* dasgd_rounds.c: members of ta_exchange_dasgd. */
ta_status ta_dasgd_ready(struct ta_exchange *x, int64_t now_ns);
ta_status ta_dasgd_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns);
ta_status ta_dasgd_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns);
ta_status ta_dasgd_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns);
ta_status ta_dasgd_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns);

#endif
