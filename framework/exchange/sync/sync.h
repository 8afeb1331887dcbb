/* sync: all-reduce of every gradient, in lock-step: the baseline that the asynchronous exchanges are compared to.
 * Private to this folder; the manual is exchange.h.
 *
 *     sync.c         birth, death, what is handed on      sync_ring.c    chunks round the ring, reduce and gather
 *     sync_step.c    gradients become one update          sync_form.c    the ring again after a loss
 *     sync_rounds.c  settle, resume                  sync_engine.c  on GPUs: NCCL, or the ring
 *                                                    sync_gpu.c     where gradients and sums lie
 *
 * Reduction t sums the t-th gradients of all replicas: a ring reduce-scatter, then a ring all-gather (Patarasuk and
 * Yuan 2009), 2 (n - 1) / n * d floats out of every replica, whatever n. A chunk is summed in one order, along the
 * ring, by one replica after the other, and what the last one has is copied: so all have the same bits. With `scale:
 * mean` that last one multiplies by 1/n. Statistics of batch normalisation are averaged. Everybody then makes the
 * same update of the same w. Staleness is 0 by construction.
 *
 * A ring of m members takes laps of m chunks of `chunk_floats`: one lap for all n, more once a member is lost, as
 * the slots stay as they are. Messages are counted through. Message k goes to slot k mod 2 at the successor, its
 * number (the tag) behind it on the same path, so who sees the tag sees the chunk. It is put
 *   - when message k - 1 of the predecessor was taken, for what it carries was made of that;
 *   - when the successor has acknowledged message k - 2, so the slot is not read any more;
 *   - when nothing is in flight to the successor: whatever was put there before may change from then on.
 * A chunk that has been put changes next when the successor's use of it has come back round the ring (gather
 * overwrites what reduce has put), and only after a later put: never under a put. What is acknowledged is never
 * needed again, so on a new path the messages after the last acknowledged one are put again. The result of a
 * reduction is kept during the next.
 *
 * Who has no gradient to give takes part with nothing (records 0), once its predecessor has begun a reduction: who
 * waits in a round, who has finished (shares differ by a batch), and who has dropped a batch (`stepped` with 0),
 * until its next gradient. Nobody enters a round with a gradient pending, and nobody in a round begins a reduction.
 * Each says to all which round it waits in and how many reductions it has seen complete. When all say so and the
 * numbers are equal nothing is under way, and nothing can begin: whoever began one before it entered has waited for
 * it and counts one more. Only then the round of control.h is entered. All have the same delta; to a checkpoint it
 * is the register of the lowest rank that is there, and those of the others are zero: so its registers sum to the
 * weights, for whatever exchange goes on.
 *
 * Loss of a member. Survivors agree on who is gone (membership.h). Each abandons what is under way, tells all others
 * for which set of the gone it does so and how many reductions it has completed, and waits until all have said the
 * same set; so nothing of the old ring is read any more when the new one begins. The numbers differ by one at most,
 * since nobody completes a reduction to which somebody has given nothing. If somebody lags, the lowest rank that is
 * ahead gives the result that it kept to a first reduction of the new ring, all others nothing (-0, which changes no
 * bit), and those behind take it for the one they miss. A gradient that is in no completed reduction is still there,
 * and goes into the next: none of a survivor's is lost or counted twice. The last one of the lost replica may be in
 * the weights though the position that it told is the one before (then whoever takes its share over trains that
 * batch once more), or be told, but in no weights of a survivor.
 *
 * On GPUs NCCL sums, where every replica has one of its own: the same reductions, counted the same way, each begun by
 * all (tag, said to all) and complete for us when our GPU is done; its order of summation is another, but still the
 * same bits for all (collective.h). A loss ends it: who is left abandons, agrees, and comes together anew by a new id.
 * Where several replicas share a GPU, or there is no NCCL, the ring sums in pinned memory of the host.
 *
 * Memory beyond that of the owner's gradient: w0, delta, w, our gradient, two results, and 2 (n - 1) / n * d for
 * slots.
 */
#ifndef TA_SYNC_H
#define TA_SYNC_H

#include "collective.h"
#include "control.h"

/* What one member says to another: the first line of a payload. Each word is put by itself. */
struct ta_sync_words {
    uint64_t tag;  /* generation << 48 | messages put into the slots */
    uint64_t ack;  /* generation << 48 | messages taken out of ours by its writer */
    uint64_t rest; /* round waited in << 32 | reductions completed (low half); 0: in none */
    uint64_t form; /* set of the gone << 32 | reductions completed; 0: all are there */
    /* GPUs. tag is said to all, and counts reductions begun. */
    uint64_t able;    /* which GPU it computes on, as a number; 1 in the last bit: it has NCCL; 0: not said yet */
    uint64_t verdict; /* generation << 48 | 4 | enum ta_sync_engine; the id of NCCL lies behind the words */
};

/* UNDECIDED: on GPUs until all have said what they are able to do. */
enum ta_sync_engine { TA_SYNC_RING, TA_SYNC_COLLECTIVE, TA_SYNC_UNDECIDED };

struct ta_sync_piece { /* of the parameters, in a reduction by NCCL */
    size_t at, floats;
    bool mean; /* statistics */
};

enum { TA_SYNC_SLOTS = 2, TA_SYNC_WORD_BYTES = 64, TA_SYNC_GENERATION_SHIFT = 48 };

struct ta_sync_link {
    struct ta_sync_words said; /* sources of puts: change only while nothing is in flight to the peer */
    struct ta_collective_id id;
    bool anew;                 /* a new path: all is to be said again */
    uint64_t puts, bytes;
};

struct ta_sync {
    struct ta_exchange base; /* first */
    struct ta_control control;
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    struct ta_exchange_updater updater;
    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport;
    struct ta_log *log;
    struct ta_sync_link *link;     /* [n_ranks] */
    size_t chunk_floats;
    size_t held_bytes;

    float *delta;                  /* [n_params] the sum of all updates; base.delta is what a checkpoint takes */
    float *gradient;               /* [n_params] ours, kept until it is in an update */
    uint64_t gradient_records, gradient_position;
    bool pending;                  /* there is one */
    bool idle;                     /* a batch was dropped: the next reduction need not wait for us */
    bool numeric;                  /* an update was refused, and `ready` has not said so yet */

    /* GPUs: sync_gpu.c, sync_engine.c. */
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu;            /* NULL: CPUs */
    const struct ta_collective_ops *collective_ops; /* NULL: there is no NCCL */
    struct ta_collective *collective;
    struct ta_collective_id id;
    enum ta_sync_engine engine;
    struct ta_sync_piece *pieces;
    size_t n_pieces;
    size_t slots_at;               /* in a payload */
    uint64_t able, verdict;        /* what we say */
    float *landing;                /* [n_params] where the weights live: a sum of the ring */
    const float *statistics;       /* [n_params] delta, or what we have of it on the host */
    bool needs_collective;         /* exchange.collective: nccl */
    bool greeting, greeted;        /* w0 is being, or was, handed out by the lowest rank */
    bool failing;                  /* NCCL says that a member is gone, */
    int64_t failing_since_ns;
    double dead_after_s;

    float *result[2];              /* [n_params]: what is being reduced, and the last one that was */
    unsigned last;                 /* which of them is that */
    uint64_t completed;            /* reductions */
    uint64_t settled_steps;        /* our steps of which all have the update */
    struct ta_hist staleness;      /* a zero for each of our gradients */

    unsigned *ring;                /* [n_ranks] ranks of the members, rising */
    unsigned members, place;       /* ours is ring[place] */
    uint64_t messages;             /* of one reduction */
    uint64_t generation;           /* so many are gone */
    uint64_t sent, taken, begun;   /* messages of this generation; begun: before the reduction that is under way */
    bool busy;                     /* one is */
    bool own, recovery;            /* it has our gradient; it is for those behind */
    const float *given;            /* what we give; NULL: nothing */

    bool forming;                  /* the ring is not agreed on, or on GPUs who sums in it */
    bool agreed;                   /* the ring is */
    unsigned giver;                /* the lowest of the foremost */
    bool lags;                     /* somebody is behind them */
    bool behind;                   /* our gradient was in the reduction that ran, which may be complete elsewhere */
    uint64_t form;                 /* what we say of it */
    uint32_t most;                 /* reductions that the foremost have completed (low half) */

    uint32_t round, done;          /* waited in, 0: none; and the last one that is over */
    bool still;                    /* nobody can begin a reduction before all have resumed */
    bool at_rest;
    bool left;
    ta_status put_status;          /* of the last put that failed for a reason of ours */
};

static inline struct ta_sync *ta_sync_of(struct ta_exchange *x) { return (struct ta_sync *)x; }
static inline const struct ta_sync *ta_sync_of_const(const struct ta_exchange *x) { return (const struct ta_sync *)x; }

/* A word that `peer` has put to us. */
uint64_t ta_sync_heard(const struct ta_sync *s, unsigned peer, size_t word_offset);
#define TA_SYNC_HEARD(s, peer, word) ta_sync_heard((s), (peer), offsetof(struct ta_sync_words, word))

/* A ring of all who are there, nothing sent yet. */
void ta_sync_ring_make(struct ta_sync *s);
/* A reduction of what we give (NULL: nothing) begins. */
void ta_sync_ring_begin(struct ta_sync *s, const float *given, bool own);
/* The predecessor has begun one that we are not in. */
bool ta_sync_ring_called(const struct ta_sync *s);
/* Takes what has come and puts what can be put. True: the reduction is complete, and its result in result[last]. */
bool ta_sync_ring_move(struct ta_sync *s, int64_t now_ns);
/* A new path to `peer`: messages that it has not acknowledged are put again. */
void ta_sync_ring_again(struct ta_sync *s, unsigned peer);
/* Puts to `peer` what is due. */
void ta_sync_say(struct ta_sync *s, unsigned peer);
void ta_sync_say_all(struct ta_sync *s);

/* After a look at who is gone: true while the ring is not agreed on. */
bool ta_sync_form(struct ta_sync *s, int64_t now_ns);

/* sync_gpu.c. Errors: of the kernels, the GPU, the transport. */
ta_status ta_sync_buffers_open(struct ta_sync *s);  /* gradient, results, landing, as the engine wants them */
void ta_sync_buffers_close(struct ta_sync *s);
ta_status ta_sync_keep(struct ta_sync *s, const float *grad);      /* into s->gradient */
ta_status ta_sync_landed(struct ta_sync *s, const float **out);    /* result[last], where the weights live */
ta_status ta_sync_statistics(struct ta_sync *s);                   /* sets s->statistics, for the ring */
ta_status ta_sync_copy(struct ta_sync *s, float *to, const float *from, size_t n); /* where the weights live */
ta_status ta_sync_fill(struct ta_sync *s, float *to, size_t n, float value);
ta_status ta_sync_empty_register(struct ta_sync *s, float **out);

/* sync_engine.c */
ta_status ta_sync_engine_open(struct ta_sync *s, const struct ta_exchange_config *config);
void ta_sync_engine_close(struct ta_sync *s);
void ta_sync_engine_abandon(struct ta_sync *s);
/* Who sums in the ring that was agreed on is known, and can begin. */
bool ta_sync_engine_ready(struct ta_sync *s, int64_t now_ns);
/* As ta_sync_ring_begin, called, move. */
ta_status ta_sync_collective_begin(struct ta_sync *s);
bool ta_sync_collective_called(const struct ta_sync *s);
bool ta_sync_collective_move(struct ta_sync *s, int64_t now_ns);

/* All that can be done without waiting. Errors: of the updater (but NUMERIC) and the kernels; of puts. */
ta_status ta_sync_progress(struct ta_sync *s, int64_t now_ns);
/* w = w0 + delta. Errors: of the kernels. */
ta_status ta_sync_apply(struct ta_sync *s);

/* The members of ta_exchange_sync that sync_step.c makes, */
ta_status ta_sync_ready(struct ta_exchange *x, int64_t now_ns);
ta_status ta_sync_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns);
ta_status ta_sync_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns);
/* and sync_rounds.c. */
ta_status ta_sync_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns);
ta_status ta_sync_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns);

/* What `spec` asks for that means nothing here. Errors: CONFIG. */
ta_status ta_sync_check(const struct ta_exchange_spec *spec);

#endif
