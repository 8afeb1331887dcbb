/* live: what the files of the live exchange share. Private to this folder; the manual is exchange.h.
 *
 *     live.c         open, close, apply                 live_rounds.c  settle, resume, request, leave
 *     live_start.c   what the registers start from      live_tables.c  tables: touched, reset, renamed, their apply
 *     outbox.c       what is put to whom, when          estate.c       what the gone have left
 *     membership.c   who is with us                     staleness.c    what was missing from a gradient's weights
 *     slot.c         what lies where in a window        rows.c         which rows are to go to whom
 *     rowlog.c       which rows have arrived            live_join.c    how a spare comes in
 *     live_step.c    a gradient becomes an update       control.c      live without registers, for other makes
 *     live_bound.c   who waits for whom, lock-step      damping.c      what staleness does to an update
 *     live_far.c     bodies in the memory of a GPU
 */
#ifndef TA_LIVE_H
#define TA_LIVE_H

#include "damping.h"
#include "estate.h"
#include "exchange.h"
#include "membership.h"
#include "outbox.h"
#include "record_whole.h"
#include "rowlog.h"
#include "rows.h"
#include "slot.h"
#include "staleness.h"

/* Defaults of ta_exchange_spec. A row that is changed in every step is not worth a put a step; one that nobody touches
 * any more should not be missing elsewhere for long. */
enum { TA_LIVE_ROWS_AFTER = 16 };
#define TA_LIVE_ROWS_WITHIN_S 1.0
#define TA_LIVE_HEARTBEAT_S 0.25
#define TA_LIVE_DEAD_AFTER_S 2.5

/* Sizes that follow from the model; tests make them small, the same on all replicas. 0: what follows. */
struct ta_live_limits {
    uint32_t log_entries; /* of a row log */
    uint32_t put_rows;    /* rows of one put */
    size_t payload_bytes; /* in every slot (control.h) */
};

/* What the apply of tables needs; nothing of it is there without tables. */
struct ta_live_tables {
    uint64_t *todo;     /* a bit an id (rows.h): rows to recompute */
    uint64_t *renamed;  /* rows of names that peers have changed since the last `renamed` */
    size_t n_renamed;
    bool all_renamed;   /* too many to say */
    bool scan_all;      /* all rows are to be recomputed */
    bool resumed;       /* our register did not start from zero: it is put whole to who joins */
    uint64_t *tail;     /* [n_ranks] of each peer's row log: read so far */
    float *folded;      /* [n_params] what our register holds of w already; NULL: there is no register */
    uint32_t *list;     /* row numbers for one call of the kernels */
    uint32_t *changed;  /* those of them that are to be folded first */
    float *zeros;       /* a row of them */
    uint64_t seed;      /* rows start from */
    int64_t swept_ns, within_ns; /* the last sweep; the longest time between two */
};

/* How far ahead we may go. */
struct ta_live_bound {
    int64_t most;   /* steps; -1: there is no bound, and nothing else here */
    int64_t *level; /* [n_ranks] our steps that count as level with step 0 of each */
    bool *known;    /* [n_ranks] founders, and spares once we know that they are in */
};

/* What of a peer's body is where we read it: live_far.c. */
struct ta_live_arrived {
    uint64_t steps; /* when it was fetched last, or that we started with */
    uint32_t pulse;
    bool whole;     /* all that is no table */
};

struct ta_live {
    struct ta_exchange base; /* first: a live exchange is an exchange */
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    struct ta_exchange_updater updater;
    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport;
    struct ta_log *log;
    struct ta_slot_ident self;
    unsigned founders;          /* ranks below; the others are spares */
    struct ta_slot_layout layout;
    struct ta_window inboxes;   /* of the transport; */
    char *window;               /* what of it is the CPU's: bodies by ta_live_inbox alone */
    struct ta_live_arrived *arrived; /* [n_ranks] */
    struct ta_membership members;
    struct ta_staleness staleness;
    struct ta_live_bound bound;
    struct ta_damping_rule damping;
    float *basis;               /* [n_params] delay-compensated: weights of the gradient; else NULL */
    struct ta_outboxes outboxes;
    struct ta_estates estates;
    struct ta_rows rows;
    struct ta_live_tables tables;
    struct ta_live_limits limits;
    bool dense;                 /* the model has segments that are no tables */
    const float **registers;    /* [n_ranks] scratch of apply */
    struct ta_whole *whole;     /* while it is recorded; else NULL */
    struct ta_slot_said said;   /* what we say of ourselves; steps and records are in base */
    uint32_t said_version;      /* rises with every change of `said` that peers must hear of */
    uint64_t share;             /* of a spare that has joined: of this rank, + 1; 0: our own, or none yet */
    uint64_t note;              /* for those above us: the highest they gave */
    uint64_t gauge;             /* and the latest */
    bool stale;                 /* w is not the sum of what is here */
    bool at_rest;               /* settled, not resumed: w does not change */
    uint32_t rest_round;        /* the round we are, or were last, at rest in */
    ta_status put_status;       /* of the last put that failed for a reason of ours: poll returns it */
    size_t held_bytes;
};

static inline struct ta_live *ta_live_of(struct ta_exchange *x) { return (struct ta_live *)x; }
static inline const struct ta_live *ta_live_of_const(const struct ta_exchange *x) { return (const struct ta_live *)x; }

static inline struct ta_rows_mark ta_live_mark(const struct ta_live *l) {
    return (struct ta_rows_mark){.steps = l->base.steps, .records = l->base.records, .position = l->base.position};
}

/* Where the register of `rank` lies: our delta, a peer's inbox, or our copy of what a gone peer left. */
const float *ta_live_register(const struct ta_live *l, unsigned rank);
/* w = the sum (or mean) of the registers; of tables, in rows that peers have changed, and at rest in those that we
 * have. Errors: of the kernels. */
ta_status ta_live_apply(struct ta_live *l);

/* live_far.c: the window, where the body of `rank` lies in it, and where puts read from. Errors: of the transport. */
ta_status ta_live_window_open(struct ta_live *l);
float *ta_live_inbox(const struct ta_live *l, unsigned rank);
ta_status ta_live_source_register(struct ta_live *l, const void *base, size_t bytes);
/* What has arrived is read by what the kernels are given from now on: all that is no table, of who has made steps; rows
 * of a table (NULL: all), of all; the body of one that is gone; a relay into it. Errors: of the transport. */
ta_status ta_live_fetch(struct ta_live *l);
ta_status ta_live_fetch_rows(struct ta_live *l, const struct ta_table *table, const uint32_t *rows, size_t n);
ta_status ta_live_fetch_last(struct ta_live *l, unsigned rank);
ta_status ta_live_fetch_relay(struct ta_live *l, unsigned rank);

/* ta_exchange_live.open with other limits. */
ta_status ta_live_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                       struct ta_live_limits limits, struct ta_exchange **out);

/* Errors: CONFIG (which value). */
ta_status ta_live_check(const struct ta_exchange_config *config);
/* Memory for what is exchanged: w, and what else this model and this many replicas need. Errors: of the kernels. */
ta_status ta_live_arenas_open(struct ta_live *l, const struct ta_exchange_start *start);
/* Fills them and w. Errors: of the kernels. */
ta_status ta_live_start_from(struct ta_live *l, const struct ta_exchange_start *start);

/* live_bound.c. Errors: CONFIG, NO_MEMORY. */
ta_status ta_live_bound_open(struct ta_live *l, const struct ta_exchange_spec *spec,
                             const struct ta_exchange_start *start);
void ta_live_bound_close(struct ta_live *l);
/* Steps that a peer is known to have made, whether or not their body is here. */
uint64_t ta_live_made(const struct ta_live *l, unsigned peer);
/* Of those, the ones that a gradient of ours that is ready now might have seen: in lock-step all but those of the same
 * number. */
uint64_t ta_live_made_before(const struct ta_live *l, unsigned peer);
/* `peer` is in the run, or we are in with it, from now on: level. Nothing when that is known. */
void ta_live_bound_join(struct ta_live *l, unsigned peer);
/* Our body must not be put to `peer` yet: it would overwrite one it needs. */
bool ta_live_withholds(const struct ta_live *l, unsigned peer);
ta_status ta_live_ready(struct ta_exchange *x, int64_t now_ns);

/* The members of ta_exchange_live that live_step.c makes, */
ta_status ta_live_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns);
ta_status ta_live_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns);
/* live_tables.c, */
void ta_live_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n);
ta_status ta_live_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n);
size_t ta_live_renamed(struct ta_exchange *x, uint32_t *rows, size_t most);
/* and what the others need of tables. Nothing to do without. Errors: NO_MEMORY, CONFIG; of the kernels. */
ta_status ta_live_tables_open(struct ta_live *l, const struct ta_exchange_spec *spec,
                              const struct ta_exchange_start *start);
void ta_live_tables_close(struct ta_live *l);
ta_status ta_live_tables_apply(struct ta_live *l);
/* Peers have changed rows since the last apply. */
bool ta_live_tables_news(const struct ta_live *l);
/* What steps have changed so far, into our register. */
ta_status ta_live_tables_fold(struct ta_live *l);
/* Makes rows due that have waited for long enough, or all. */
void ta_live_tables_tick(struct ta_live *l, int64_t now_ns);
void ta_live_tables_sweep(struct ta_live *l);

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
bool ta_live_is_done(const struct ta_member *member, uint32_t round);
/* A spare outside is in every round that is asked for, and done with it. */
void ta_live_pass_rounds(struct ta_live *l);
/* live_join.c */
ta_status ta_live_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out);
/* Every poll: passes rounds (a spare outside), or counts on spares that have come. Errors: PEER: a spare that cannot
 * come in any more. */
ta_status ta_live_look_outside(struct ta_live *l);
/* INVALID, with its message: what a spare outside may not do. */
ta_status ta_live_outside(const struct ta_live *l, const char *what);
/* PEER, with its message: what a call says when the others hold us for dead. */
ta_status ta_live_accused(const struct ta_live *l);

#endif
