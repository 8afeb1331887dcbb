/* exchange: what to put into peers' windows when, and how to apply what arrived; makes: live, dasgd, sync.
 *
 * The exchange owns the parameter memory of a replica, because that memory is what is exchanged. Registers (delta,
 * inbox bodies), `w` and `w0` all live where the weights live (kernels.alloc, or the transport's window).
 *
 *     ops->ready(x, now) -> gradient on w -> ops->step(x, gradient, ...) -> ops->poll(x, now) -> ...
 *
 * Whether and when a gradient becomes an update, and with what weight, is the exchange's; how is the optimizer's, which
 * the exchange is given as a function.
 *
 * Threads: one. No call blocks; time comes in as an argument.
 */
#ifndef TA_EXCHANGE_H
#define TA_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "kernels.h"
#include "log.h"
#include "model.h"
#include "transport.h"

enum ta_damping { TA_DAMPING_NONE, TA_DAMPING_INVERSE, TA_DAMPING_EXPONENTIAL, TA_DAMPING_COMPENSATED };

struct ta_exchange_spec {        /* mapping `exchange:` of the configuration */
    char *type;                  /* "live" | "dasgd" | "sync"; NULL: live */
    char *topology;              /* live: "full" | "tree" | "clusters"; NULL: full */
    uint32_t fan_out;            /* tree, clusters: children of a replica, or of a leader; 0: 2 */
    char *max_staleness;         /* "none" or a number; NULL: none. See ta_exchange_bound */
    enum ta_damping damping;     /* what staleness does to an update */
    double damping_rate;         /* how much; 0: the default of damping.h */
    uint32_t gradients_per_push; /* dasgd: summed before they are sent; 0: 1 */
    uint32_t slots;              /* dasgd: gradients of one peer that may wait at another; 0: 4 */
    int scale_mean;              /* scale: sum (0) | mean (1) */
    uint32_t puts_in_flight;     /* per peer; 0: 1 */
    char *collective;            /* sync on GPUs: "auto" | "nccl" | "ring"; NULL: auto, NCCL where it can be used */
    double heartbeat_s;          /* longest silence of a live replica; 0: 0.25 */
    double dead_after_s;         /* silence after which a peer is dropped; 0: 2.5, so that whoever polls four times a
                                  * second or more drops it within three seconds of its last word */
    uint32_t rows_after;         /* a row of a table is put once it was changed so often since its last put, */
    double rows_within_s;        /* or at the latest after so long, or at rest; 0: the defaults of live.h */
};

/* gradient -> update: adds scale * update(grad) to `delta` (optimizer.h: ta_optimizer_step). NUMERIC: the gradient is
 * not finite, nothing was changed, training goes on. */
struct ta_exchange_updater {
    ta_status (*update)(void *owner, const float *grad, const float *w, float scale, float *delta);
    void *owner;
};

struct ta_exchange_config {
    const struct ta_exchange_spec *spec;
    struct ta_exchange_updater updater; /* for `step`; zero where only `stepped` is called */
    const struct ta_model *model;
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    const struct ta_gpu_ops *gpu_ops; /* of the kernels, where they are on_gpu (gpu.h); sync alone looks at it */
    struct ta_gpu *gpu;
    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport; /* opened, no window yet; the exchange creates it; the caller closes it after */
    unsigned rank, n_ranks;
    unsigned per_node;              /* rank r runs on machine r / per_node; 0: all on one. Topology clusters goes by it */
    unsigned spares;                /* the last so many of n_ranks are ABSENT until they join: see `enter` */
    uint32_t epoch;                 /* life of the run: headers of another are ignored */
    struct ta_log *log;             /* may be NULL */
    struct ta_recorder *recorder;   /* live: writes down what it applies (record.h); NULL: it is not recorded */
    struct ta_replay *replay;       /* replay: what is repeated (replay.h) */
};

/* ABSENT: a spare for whom nobody waits, as it has not joined (and may never). */
enum ta_peer_life { TA_PEER_JOINING, TA_PEER_LIVE, TA_PEER_LEFT, TA_PEER_DEAD, TA_PEER_ABSENT };

/* What the replica and the metrics want to know of one peer. */
struct ta_peer_stats {
    enum ta_peer_life life;
    bool broken;               /* the path to it broke, and no new one stands yet: see peer_broken */
    uint32_t breaks;           /* so often */
    uint64_t puts, bytes;      /* started by us towards it */
    uint64_t busy;             /* steps whose put was coalesced into a later one */
    uint64_t foreign;          /* headers in its slot that were not its own (another run's, damaged): ignored */
    uint64_t records;          /* of its steps, as its header says */
    uint64_t position;         /* so many batches of its share are in those steps; of one gone: agreed on at rest */
    unsigned share;            /* whose share of the stream it has: its own; of a spare, that of a rank that is gone, */
    bool has_share;            /* if it has one yet */
    bool finished;             /* it waits in the last round; of one gone: agreed on at rest */
    bool rests;                /* at rest: it is there too, or has gone since it had come, as all agree */
    uint64_t steps_applied;    /* of its steps, in our w */
    uint64_t steps_acked;      /* of our steps, in its w */
    uint64_t rows;             /* of tables put to it; in `bytes` too */
    struct ta_hist staleness;  /* of our gradients towards this peer: see stepped */
};

/* Every make begins with this. Pointers are where the weights live; the owner replica reads w and writes delta; rows
 * of tables it changes in w, and only names in delta. */
struct ta_exchange {
    const struct ta_exchange_ops *ops;
    const struct ta_model *model;
    unsigned rank, n_ranks;
    /* [n_params]. A model made of tables has no w0 while they start from a seed (NULL; kernels.h struct ta_table), and
     * as a replica without peers neither w0 nor delta (NULL): it trains w in place. */
    float *w0, *delta, *w;
    uint64_t steps, records; /* of this replica, in delta */
    /* Batches of our share of the stream that are done (trained, dropped, looked at) in this life. The owner sets it
     * before `stepped`, and never back: it goes out with the step, and is what survivors agree on should we die. Of a
     * spare: batches of the share it has taken over, those of its former owners too. */
    uint64_t position;
    float scale;             /* for ta_optimizer_step */
    /* Whatever its staleness, a gradient becomes delta += scale * update(gradient) and nothing else: who computes it may
     * do that by himself, where the weights live, and call `stepped` in place of `step`. */
    bool owner_updates;
    /* The owner says so: a gradient is being computed on w as it is, and poll is to leave w alone (what was heard
     * meanwhile counts as missing from it). */
    bool computing;
    const struct ta_hist *staleness; /* of our gradients, all peers together; NULL: not measured */
    unsigned n_registers;    /* arrays of n_params floats a dense model needs by design, with the owner's gradient */
};

/* What to start from. Host memory; NULL: zero. On resume with as many replicas `deltas` holds each rank's. */
struct ta_exchange_start {
    const float *w0;             /* [n_params]; NULL: zero, and tables of rows start from `seed` */
    uint64_t seed;
    const float *const *deltas;  /* [n_ranks] pointers, own and peers'; NULL: all zero (`mean` segments: w0's values) */
    uint64_t steps, records;     /* of this replica so far */
    const uint64_t *peer_steps;  /* [n_ranks]; NULL: zero */
};

/* What a spare comes in with. */
struct ta_exchange_entry {
    bool complete;      /* all count on us and we hold all of theirs; without OK: only a share is missing */
    unsigned share;     /* the rank, lost, whose share of the stream is ours now, */
    uint64_t position;  /* after so many batches of it */
    uint32_t round;     /* the last round that is over */
};

#define TA_ROUND_FINAL UINT32_MAX

struct ta_exchange_ops {
    const char *name;
    bool agrees; /* at rest all replicas have the same w, bit for bit */
    bool hands_down; /* at rest all know the same positions, those of the gone too: the rest of their shares can be dealt anew */

    /* Allocates, creates the window. Errors: NO_MEMORY, CONFIG, DEVICE. */
    ta_status (*open)(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                      struct ta_exchange **out);
    void (*close)(struct ta_exchange *x); /* disconnects all peers; before the transport is closed; NULL is fine */
    /* Whether this replica puts to `peer`, and needs a path to it; the same on both sides; after a
     * loss it may be others. NULL: to all. */
    bool (*meets)(const struct ta_exchange *x, unsigned peer);
    /* Called once connections stand (transport.connect done by the caller for this peer), and again for each new
     * path: all is put anew. To a peer that we hold for dead only that is said: it must leave. */
    void (*peer_joined)(struct ta_exchange *x, unsigned peer, int64_t now_ns);
    /* The path to `peer` is of no use any more, though the peer may be alive. poll finds out by itself what the
     * transport knows (BROKEN): then peer_stats says `broken`. The caller says it when it knows first (the peer has
     * asked for a new path), and always before it disconnects. From then on nothing is put to the peer. The caller
     * makes a new path (transport.h: disconnect, key_make, the same on the other side, connect), then calls
     * peer_joined. Meanwhile the peer's silence counts: with no new path within dead_after it is dead to us, and we to
     * it; which of two such halves gives way when they meet again stands in membership.h. Nothing for a peer that was
     * never joined. */
    void (*peer_broken)(struct ta_exchange *x, unsigned peer, int64_t now_ns);
    /* The launcher or rendezvous knows that a peer is gone: do not wait for the silence. */
    void (*peer_lost)(struct ta_exchange *x, unsigned peer, int64_t now_ns);

    /* A spare's way in; until it says OK the spare must neither step nor settle, but polls. Connect to all that can be
     * found, then ask again and again. OK: every live replica counts on us, we hold a full put of each of them and the
     * copies they have agreed on of what the gone left, no round is under way, and a share of the stream that was a
     * lost replica's is ours: the lowest whose owner is gone and that no spare has taken over, the lower of two spares
     * first. AGAIN: not yet, see `out`. Errors: PEER (all that are left have come to the end of the run: too late);
     * INVALID (we are no spare, or in already). */
    ta_status (*enter)(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out);
    /* Whether the next gradient may be computed now, on w as it is. AGAIN: poll and ask again (a bound on staleness, a
     * reduction that is under way). NUMERIC: the gradients of a former `step` were not finite, together; said once,
     * nothing was changed, and the next one may be computed. */
    ta_status (*ready)(struct ta_exchange *x, int64_t now_ns);
    /* A gradient [n_params] computed on w since `ready`, of so many records, where the weights live; it may be changed
     * or copied, and belongs to the caller again on return. Becomes an update of delta, now or by the next `ready`, and
     * goes to the peers. Errors: NUMERIC (not finite: nothing was changed, the caller may go on); as stepped. */
    ta_status (*step)(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns);
    /* One local step (or, with records 0, none: a skipped step, which counts as one where staleness is bounded, so that
     * nobody waits for it) is in delta already: counts staleness of its gradient, puts. For models made of tables, and
     * for records without a gradient (0). */
    ta_status (*stepped)(struct ta_exchange *x, uint64_t records, int64_t now_ns);
    /* Tables. A step changes rows of w and leaves delta to the exchange; before `stepped` it names them, a row as often
     * as it was changed. Delta has the change when the row goes out, and at rest. Without peers: nothing to do. */
    void (*touched)(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n);
    /* Rows of our register start again from zero (and with them, as soon as all have done so, the row): w is computed
     * anew, the change counts as touched. NAMES: the caller writes delta's row (w's where delta is NULL), then calls
     * this with its number and the row is taken over into w. Such rows are put at once, not after `rows_after`. Errors:
     * INVALID (no such row, not ours to rename, between settle and resume); of the kernels. */
    ta_status (*reset_rows)(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n);
    /* Rows of the NAMES segment that peers have changed in w since the last call: up to `most` numbers; a return above
     * `most`: too many to list, look at all. */
    size_t (*renamed)(struct ta_exchange *x, uint32_t *rows, size_t most);

    /* Progress, heartbeats, detection of the dead, acknowledgements; recomputes w when delta or an inbox changed.
     * Errors: PEER: *we* were declared dead by the others and must leave; or cannot come in as a spare. */
    ta_status (*poll)(struct ta_exchange *x, int64_t now_ns);

    /* Comes to rest together, in two barriers, so that nobody steps before everybody has seen the rest:
     * settle: OK when every live peer is in this or a later round, holds our last step and we hold theirs, what the
     *   dead left is agreed on, and no step of ours is in flight: w is now the same bits everywhere, and stays so until
     *   resume gives OK.
     *   AGAIN: poll and ask again. The caller then takes its snapshot (or whatever it wanted the rest for).
     * resume: says that we are done with the round; OK when every live peer has said so too: training may go on. AGAIN.
     * Rounds count from 1 and rise; they are asked for by `request` and seen by `requested`. In between the replica
     * must not step. A replica whose share of the stream has ended waits in round TA_ROUND_FINAL, which passes when all
     * live peers are there; while it waits it still takes part in any round that `requested` names. */
    ta_status (*settle)(struct ta_exchange *x, uint32_t round, int64_t now_ns);
    ta_status (*resume)(struct ta_exchange *x, uint32_t round, int64_t now_ns);
    void (*request)(struct ta_exchange *x, uint32_t round, uint32_t reason); /* reason: small, for the others to read */
    uint32_t (*requested)(const struct ta_exchange *x, uint32_t *reason);    /* highest round asked for by anyone */

    /* A number that only rises, for those above: every peer hears the newest in time, and keeps what it has heard of
     * one that is gone. No peers: nothing to do. peer_note: 0 before anything was heard. */
    void (*note)(struct ta_exchange *x, uint64_t note);
    uint64_t (*peer_note)(const struct ta_exchange *x, unsigned peer);
    /* A word that replaces the one before, for those above: it goes out with what is put next, a heartbeat at the
     * latest. A reader may find its halves (4 bytes each) to be of two. peer_gauge: 0 before anything was heard. */
    void (*gauge)(struct ta_exchange *x, uint64_t gauge);
    uint64_t (*peer_gauge)(const struct ta_exchange *x, unsigned peer);

    /* Leaves in order, after a settle: peers see LEFT, not DEAD. Poll on until transport_ops->in_flight is 0 for every
     * peer before close, which drops what is in flight; a peer that did not hear of it sees DEAD, which costs it a
     * warning. A peer whose path is broken hears of it on the next one. */
    void (*leave)(struct ta_exchange *x, int64_t now_ns);

    /* Of our steps, how many are in the weights of every live peer, as far as they told; steps where none is live.
     * Cheap. */
    uint64_t (*steps_visible)(const struct ta_exchange *x);

    /* XXH3 of w as host bytes: equal on all replicas at rest. */
    ta_status (*checksum)(struct ta_exchange *x, uint64_t *out);
    /* Host copies of a register for a checkpoint (rank: any, own included). Errors: INVALID (no such rank, no delta).
     */
    ta_status (*register_copy)(struct ta_exchange *x, unsigned rank, float *host);
    void (*peer_stats)(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out);
    /* Memory held: with the gradient, which the replica owns, (peers + 4) * d floats (one more for damping
     * delay-compensated) and a little, spares that have not
     * joined counted as peers, since their inboxes are there from the start; one register more
     * for each peer that died. A model made of tables: (peers + 3) * d, one more where w0 is given; d without peers. */
    size_t (*bytes)(const struct ta_exchange *x);
};

extern const struct ta_exchange_ops ta_exchange_live;
extern const struct ta_exchange_ops ta_exchange_dasgd; /* dasgd.h */
extern const struct ta_exchange_ops ta_exchange_tree; /* live windows between neighbours alone: topology tree, clusters */
extern const struct ta_exchange_ops ta_exchange_sync; /* all-reduce of every gradient, in lock-step */

/* The make for spec->type and spec->topology. Errors: CONFIG (unknown, or one that the other does not go with),
 * NOT_BUILT. */
ta_status ta_exchange_find(const struct ta_exchange_spec *spec, const struct ta_exchange_ops **out);
/* spec->max_staleness as a number of steps, -1: none. A replica further ahead than that of a live peer waits
 * (live_bound.c has the rules); 0: lock-step, the weights of synchronous SGD. Errors: CONFIG. */
ta_status ta_exchange_bound(const struct ta_exchange_spec *spec, int64_t *out);

#endif
