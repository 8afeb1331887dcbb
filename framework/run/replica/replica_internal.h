/* replica_internal: what the files of the replica share. Nobody else includes it. */
#ifndef TA_REPLICA_INTERNAL_H
#define TA_REPLICA_INTERNAL_H

#include "checkpoint.h"
#include "device.h"
#include "exchange.h"
#include "incarnation.h"
#include "kernels.h"
#include "latency.h"
#include "metrics.h"
#include "model.h"
#include "optimizer.h"
#include "rendezvous.h"
#include "replayer.h"
#include "replica.h"
#include "replica_online.h"
#include "replica_words.h"
#include "score.h"
#include "stream.h"
#include "phases.h"
#include "transport.h"

enum ta_meeting { TA_MEETING_OPEN, TA_MEETING_DONE, TA_MEETING_GONE };

/* Our path to a peer (replica_paths.c). */
struct ta_replica_path {
    uint32_t generation; /* of our key: 1 at first */
    bool offered;        /* that key is out */
    bool stands;         /* connected, as far as we know */
    bool complained;     /* in the log */
    int64_t failing_ns;  /* since when connecting fails; 0: it does not */
    int64_t broken_ns;   /* when the one before broke; 0: there was none */
};

/* What a later life starts from; all zero for a new run but w0. Host memory. */
struct ta_restart {
    bool resumed, exact;   /* exact: as many replicas as before, all of whose files are there */
    uint32_t epoch;        /* of this life */
    float *w0;             /* [n_params]; NULL: tables start from table_seed */
    uint64_t table_seed;
    float **deltas;        /* [n_ranks] or NULL */
    uint64_t *peer_steps;  /* [n_ranks] or NULL */
    uint64_t base_steps, base_records; /* of former lives, not in any `steps` of this one */
    struct ta_frontier done;
    struct ta_snapshot own; /* optimizer, score, counters; `delta` has moved into deltas */
};

/* How the stream is dealt (replica_takeover.c): once at the start, and anew when somebody was lost. */
struct ta_replica_deal {
    uint32_t number;          /* the round it was made in; 0: at the start */
    unsigned n;               /* shares */
    uint16_t *share_of;       /* [n_ranks] + 1; 0: none. NULL at the start: each founder its own, a spare that of the lost */
    struct ta_frontier start; /* what was done by then */
};

/* Arrays of one batch on their way through the net; sized for a whole batch. */
struct ta_bench {
    float *targets; /* made from classes; NULL: not needed yet */
    float *predictions, *losses;
};

/* What goes through the net at once. */
struct ta_step {
    const float *x;
    struct ta_labels labels; /* -1 and NaN: none */
    uint32_t records, labelled;
    bool wants_predictions;  /* of a training step, into the bench */
    bool again;              /* records that were trained on before */
};

/* The batch after the one that a device computes on (replica_ahead.c). */
struct ta_ahead {
    const struct ta_batch *batch; /* NULL: none */
    const float *staged;          /* x of the batch that is on its way to the device; NULL: none is */
    ta_status status;             /* what the stream has said in place of a batch; */
    char why[256];
    bool noted;                   /* what the net has to say was logged */
    int64_t usual_ns;             /* what a step takes of late */
};

struct ta_replica {
    struct ta_replica_config config;
    const struct ta_run_config *run;
    enum ta_replica_state state, after; /* after: where SNAPSHOT goes back to */
    ta_status result;                   /* what DONE will answer */

    struct ta_stream *stream;
    struct ta_stream_info info;
    struct ta_share share; /* of a spare: that of the lost rank whose heir it is, once it is in */
    struct ta_share walk;  /* our position in it: x->position */
    struct ta_replica_deal deal, before;
    bool finished;         /* we have said that we wait for the last round: nothing more is dealt to us */
    int64_t look_ns;       /* next look at who is there; */
    bool looked;           /* that was in this tick */
    struct ta_replayer *replayer;

    struct ta_model model;
    struct ta_device device; /* zero: it computes with what is shared */
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    struct ta_net *net, *short_net; /* short_net: for the last batch */
    uint32_t short_batch;
    bool own_prediction;
    float *grad;
    struct ta_ahead ahead;
    struct ta_replica_words words; /* a word model has this in place of net, grad, bench and optimizer */
    struct ta_bench bench;
    struct ta_optimizer optimizer;
    unsigned bad_steps; /* not finite, one after another */
    char nan_why[400];  /* such a step ends the run; "": none did */
    struct ta_score score;
    struct ta_replica_online online;

    const struct ta_transport_ops *transport_ops;
    struct ta_transport *transport;
    const struct ta_exchange_ops *exchange_ops;
    struct ta_exchange *x;
    struct ta_recorder *recorder; /* NULL: it is not recorded */
    struct ta_store *store; /* NULL: replicas meet through files */
    bool store_gone;
    struct ta_rendezvous *rendezvous;
    struct ta_replica_path *path; /* [n_ranks] */
    int64_t paths_ns;             /* next look at them, */
    unsigned paths_from;          /* from this one on, */
    unsigned paths_looks;         /* and so many more until all keys have been read since one changed */
    unsigned char *met; /* [n_ranks] enum ta_meeting */
    unsigned char *life; /* [n_ranks] enum ta_peer_life as last seen */
    int64_t join_until_ns;
    int64_t complete_ns; /* of a spare: since when only a share has been missing; 0: more than that */

    struct ta_checkpoint_writer *writer;
    struct ta_snapshot snapshot; /* taken, not yet handed over */
    bool snapshot_waits;
    uint64_t saved_steps;        /* total steps of the last snapshot handed over; UINT64_MAX: none */
    uint64_t checkpoint_records; /* total when the last one was asked for */
    int64_t checkpoint_ns;
    uint32_t round, target;      /* last round completed; the one being settled */
    bool stop;
    int64_t rest_ns;             /* when we last came to rest: training ended then, if it was the last time */
    int64_t left_ns;             /* when we left; 0: not yet */
    bool farewell;               /* our leaving is still on its way to the peers */

    uint64_t base_steps, base_records, base_dropped, table_seed;
    uint32_t epoch;
    struct ta_snapshot_waiting waited; /* of the checkpoint, until replica_online.c has taken them */
    uint64_t waited_dropped;
    uint64_t unlabelled, life_records, start_records, rehearsed, cycle; /* cycle: number of changes in former lives */
    int64_t start_ns;            /* of the training of this life */
    int64_t stream_ns;           /* due time reached */

    struct ta_metrics metrics;
    int64_t report_ns;           /* next line */
    int64_t reported_ns;
    uint64_t reported_records;
    int64_t phase_ns[TA_PHASES], mark_ns;
    struct ta_fence fence; /* what completes a checkpoint must pass */
    struct ta_latency latency;
    int64_t predicted_ns, trained_ns; /* of the batch that was handed out last; 0: not yet */
    bool was_idle;
    bool waits; /* the exchange does not let us compute yet */
    bool update_waits; /* of the step of this batch, for those of others */
    bool gave_step; /* the exchange was given a step of this batch */
    struct ta_peer_stats peer;   /* scratch: it is large */
};

static inline struct ta_board_row *ta_replica_row(struct ta_replica *r) {
    return &r->config.board->rows[r->config.rank];
}

/* Whether the exchange puts to `peer`: else there is no path to it. */
static inline bool ta_replica_meets(const struct ta_replica *r, unsigned peer) {
    return peer != r->config.rank && (r->exchange_ops->meets == NULL || r->exchange_ops->meets(r->x, peer));
}

static inline bool ta_replica_of_words(const struct ta_replica *r) { return r->model.words.rows > 0; }

/* The time now, by the clock that tick's argument comes from. */
int64_t ta_replica_clock_ns(const struct ta_replica *r);
/* Adds the time since the last call to `phase`. */
void ta_replica_phase(struct ta_replica *r, enum ta_phase phase);

/* replica_open.c */
ta_status ta_replica_build(struct ta_replica *r);
/* replica_record.c: what the exchange is to write down, and the end of it. Nothing to do without run.record. */
ta_status ta_replica_record_open(struct ta_replica *r, uint32_t epoch, const struct ta_exchange_start *start);
void ta_replica_record_close(struct ta_replica *r);
/* replica_resume.c */
ta_status ta_restart_prepare(struct ta_replica *r, struct ta_restart *out);
ta_status ta_restart_apply(struct ta_replica *r, struct ta_restart *restart); /* optimizer, score, share */
void ta_restart_free(struct ta_restart *restart, unsigned n_ranks);
/* replica_paths.c: our keys go out; OK: the path to `peer` stands, AGAIN: not yet (others: as rendezvous.h); paths that
 * broke are made anew. */
ta_status ta_replica_publish(struct ta_replica *r);
ta_status ta_replica_path_make(struct ta_replica *r, unsigned peer, int64_t now_ns);
void ta_replica_look_at_paths(struct ta_replica *r, int64_t now_ns);
void ta_replica_poll_store(struct ta_replica *r);
static inline unsigned ta_replica_founders(const struct ta_replica *r) { return r->config.n_ranks - r->config.spares; }
static inline bool ta_replica_is_spare(const struct ta_replica *r) { return r->config.rank >= ta_replica_founders(r); }
/* replica_snapshot.c: we have made a step, or will be waited for as if. */
bool ta_replica_has_steps(const struct ta_replica *r);

/* replica_takeover.c: the survivors train on what a lost replica has left of its share of the stream. */
ta_status ta_replica_deal_open(struct ta_replica *r); /* our share is known */
void ta_replica_deal_close(struct ta_replica *r);
/* One more batch of our share, `number`, and what was dropped before it, is done: it goes out with the step it
 * makes. */
void ta_replica_position_move(struct ta_replica *r, uint64_t number);
/* What was dropped since is done, too. */
void ta_replica_position_drop(struct ta_replica *r);
bool ta_replica_takes_over(const struct ta_replica *r); /* run.takeover, and the exchange can */
/* Somebody we know to be lost has left something that is to be dealt, by a round that is no checkpoint's. */
bool ta_replica_takeover_due(struct ta_replica *r);
/* At rest. What all replicas together have done: into `out`, which is replaced. Errors: NO_MEMORY. */
ta_status ta_replica_done_by_all(struct ta_replica *r, struct ta_frontier *out);
/* At rest. Deals what is left to those who are there, if somebody is not: all come to the same. Errors: NO_MEMORY; of
 * the stream, which is opened anew. */
ta_status ta_replica_take_over(struct ta_replica *r, int64_t now_ns);
/* In the last rest: how many records all lives have done goes onto the board. */
ta_status ta_replica_count_done(struct ta_replica *r, int64_t now_ns);

/* replica_open.c: the reader begins on our share. */
ta_status ta_replica_open_stream(struct ta_replica *r);
/* replica_join.c */
/* A spare that was not met before offers its key: its path is to be made. */
bool ta_replica_spare_came(struct ta_replica *r, unsigned peer);
ta_status ta_replica_join(struct ta_replica *r, int64_t now_ns);
/* replica_slow.c: after computing, before it counts as done */
void ta_replica_slow(struct ta_replica *r);
/* replica_train.c: one batch */
ta_status ta_replica_train(struct ta_replica *r, int64_t now_ns);
/* Turns classes into targets where the loss wants them, counts the labelled. */
ta_status ta_replica_step_labels(struct ta_replica *r, struct ta_step *step);
/* Predictions, and losses where there is a label, into the bench. */
ta_status ta_replica_predict(struct ta_replica *r, const struct ta_step *step);
/* Trains on the labelled; hands the step to the exchange. */
ta_status ta_replica_step(struct ta_replica *r, const struct ta_step *step, int64_t now_ns);
/* replica_nan.c: a step was dropped. NUMERIC: too many one after another; or, where one is enough, a stop is asked for */
ta_status ta_replica_bad_step(struct ta_replica *r);
/* What the run ends with: its result, or NUMERIC. */
ta_status ta_replica_last_word(struct ta_replica *r);
/* replica_ahead.c: the net is of a device that computes by itself. */
bool ta_replica_steps_apart(const struct ta_replica *r);
/* The first use of all that a step needs. Nothing else on a make whose compute is the host's own. */
ta_status ta_replica_warm_up(struct ta_replica *r);
/* As ta_replayer_next; a batch that was taken while the last step computed comes first. */
ta_status ta_replica_ahead_take(struct ta_replica *r, int64_t now_ns, const struct ta_batch **out);
/* The replayer is about to go. */
void ta_replica_ahead_forget(struct ta_replica *r);
/* The gradient of a step and, where the exchange lets us, its update; predictions and losses into the bench if `tell`.
 * Errors: as train; of the exchange's poll. */
ta_status ta_replica_compute_apart(struct ta_replica *r, struct ta_net *net, const struct ta_step *step, bool tell,
                                   struct ta_net_outcome *outcome);
/* Counts such an update, and hands the step to the exchange. NUMERIC: there was none. */
ta_status ta_replica_made_apart(struct ta_replica *r, const struct ta_net_outcome *outcome, uint64_t records,
                                int64_t now_ns);
/* replica_answer.c: what is done about drift */
void ta_replica_answer(struct ta_replica *r, int64_t now_ns);           /* all of it begins */
void ta_replica_answer_fade(struct ta_replica *r, uint32_t records);    /* so many labelled records later */
ta_status ta_replica_answer_head(struct ta_replica *r);                 /* the last layers start anew, now */
void ta_replica_alarm(struct ta_replica *r, uint64_t record, int64_t now_ns); /* our own detector's, for the metrics */
void ta_replica_tell_mode(struct ta_replica *r, int64_t now_ns);              /* whether it trains, for the metrics */
/* replica_round.c */
/* Looks at who is there a few times a second, between two reports too: a loss is told soon. Errors: PEER: the others
 * have ended the run without us. */
ta_status ta_replica_look(struct ta_replica *r, int64_t now_ns);
ta_status ta_replica_settle(struct ta_replica *r, int64_t now_ns);
ta_status ta_replica_snapshot(struct ta_replica *r, int64_t now_ns);
ta_status ta_replica_finish(struct ta_replica *r, int64_t now_ns);
ta_status ta_replica_save(struct ta_replica *r, int64_t now_ns);
/* By its number a round is a checkpoint's and the end of this life. */
static inline bool ta_replica_is_stop(uint32_t round) { return round != TA_ROUND_FINAL && (round & 1) != 0; }
/* Asks for a round when a checkpoint is due or a stop was asked for; true: a round is to be settled now. */
bool ta_replica_round_due(struct ta_replica *r, int64_t now_ns);
/* replica_snapshot.c: host copies of everything, at rest. */
ta_status ta_replica_copy_state(struct ta_replica *r, struct ta_snapshot *out, unsigned *writers, unsigned *n_writers);
uint64_t ta_replica_total_steps(struct ta_replica *r);
uint64_t ta_replica_total_records(const struct ta_replica *r);
unsigned ta_replica_lowest_live(struct ta_replica *r);
/* replica_latency.c: a batch is handed out, was used (so many steps were made before it), what peers have
 * acknowledged */
ta_status ta_replica_latency_open(struct ta_replica *r);
void ta_replica_latency_start(struct ta_replica *r);
void ta_replica_latency_handed(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns);
void ta_replica_latency_used(struct ta_replica *r, const struct ta_batch *batch, uint64_t steps_before);
void ta_replica_latency_seen(struct ta_replica *r);
void ta_replica_latency_end(struct ta_replica *r); /* the file is written */
/* replica_report.c */
void ta_replica_report(struct ta_replica *r, int64_t now_ns);
void ta_replica_event(struct ta_replica *r, int64_t now_ns, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The model in a few words, for people. */
void ta_replica_describe_model(const struct ta_replica *r, char *out, size_t bytes);
/* Notices peers that are gone since the last look. */
void ta_replica_look_at_peers(struct ta_replica *r, int64_t now_ns);

#endif
