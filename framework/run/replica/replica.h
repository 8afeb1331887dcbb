/* replica: one network that trains on its share of a stream and exchanges what it learned with its peers.
 *
 * It owns one of everything: stream, replayer, model, kernels, optimizer, transport, exchange, score, checkpoint
 * writer. It is driven by `tick(now)`, which makes at most one step and never waits; a driver (worker.h, or a test with
 * a simulated fabric) calls it until it says END. It holds no global state: several may live in one process.
 *
 *     JOINING     publishes its window keys, looks for its peers'; all met: the clock of the stream starts. A spare: is let
 *                 in, with what is left of the share of a lost replica
 *     TRAINING    poll the exchange; next batch; predict, score, train; hand the step to the exchange
 *     SETTLING    a round was asked for (checkpoint or stop): all replicas come to rest
 *     SNAPSHOT    at rest: checksum, host copies, handed to the background writer; then all resume
 *     FINISHING   the share has ended: waits for the peers' (and takes part in their rounds)
 *     SAVING      the last checkpoint is being written
 *     DONE        tick says END (or what went wrong)
 *
 * Threads: one at a time; the reader and the checkpoint writer are threads of their own inside.
 */
#ifndef TA_REPLICA_H
#define TA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "log.h"
#include "model.h"
#include "run_config.h"

enum ta_replica_state {
    TA_REPLICA_JOINING,
    TA_REPLICA_TRAINING,
    TA_REPLICA_SETTLING,
    TA_REPLICA_SNAPSHOT,
    TA_REPLICA_FINISHING,
    TA_REPLICA_SAVING,
    TA_REPLICA_DONE,
};

const char *ta_replica_state_name(enum ta_replica_state state); /* "training" */

/* What the replicas of a simulation have together: one process, one thread, no files, time that is given. With it the
 * replica starts no reader of its own. All of it is lent, and outlives the replica. */
struct ta_replica_shared {
    const struct ta_kernels_ops *kernel_ops; /* an opened make, in place of what `device` says */
    struct ta_kernels *kernels;
    struct ta_stream *stream;                /* of the run's configuration, which all read */
    struct ta_sim_meeting *meeting;          /* keys for each other, in place of those in run_dir */
    int64_t (*clock_ns)(void *owner);        /* what is measured, is measured by it */
    void *owner;
};

struct ta_replica_config {
    const struct ta_run_config *run; /* checked; outlives the replica */
    unsigned rank, n_ranks;          /* n_ranks: with the spares, */
    unsigned spares;                 /* the last so many, that may join later (exchange.h: enter) */
    unsigned per_node;               /* rank r belongs to the launcher r / per_node; 0: all to one */
    unsigned per_host;               /* rank r runs on machine r / per_host; 0: all on this one */
    unsigned local_rank, local_n;    /* among the replicas of this machine, which share its GPUs; n 0: it is alone */
    bool fenced;                     /* a checkpoint is completed only by who the run directory belongs to (incarnation.h) */
    const char *server;              /* the store's server file (store.h), to meet through; NULL: files of run_dir */
    uint64_t run_id;                 /* the same for all replicas of this life, different for every life */
    uint32_t life;                   /* of the run, from 1; 0: one more than the checkpoint's */
    const char *run_dir;             /* NULL: no files (then n_ranks must be 1, or `shared` be there) */
    const char *resume;              /* a complete checkpoint to go on from; NULL: start anew */
    void *fabric;                    /* transport.type sim: the fabric all replicas share */
    const struct ta_replica_shared *shared; /* NULL: a replica on its own */
    struct ta_replay *replay;        /* what it is to repeat (replay.h); NULL: it lives */
    struct ta_board *board;          /* n_ranks rows; outlives the replica */
    struct ta_log *log;              /* may be NULL */
};

/* The model of a configuration for a stream of this kind, with labels and loss checked against each other. `out` is
 * freed by ta_model_free, also after a failure. Errors: as ta_model_build. */
ta_status ta_replica_model(const struct ta_run_config *run, const struct ta_stream_info *info, struct ta_model *out);

struct ta_replica;

/* Opens everything. Errors: CONFIG, IO, FORMAT, NO_MEMORY, NOT_BUILT, DEVICE: each named once, by the layer that saw
 * it. */
ta_status ta_replica_open(const struct ta_replica_config *config, struct ta_replica **out);
void ta_replica_close(struct ta_replica *r); /* in any state; NULL is fine */

/* OK: something was done, call again. AGAIN: nothing to do before ta_replica_wake_ns. END: finished and saved.
 * REQUEUE: stopped on request, after a checkpoint. PEER: the others have declared us dead, or we never met them. IO:
 * the last checkpoint could not be written. NUMERIC: no step of the last 1,000 was finite. Others: what a layer said.
 * After anything but OK and AGAIN the replica is to be closed. */
ta_status ta_replica_tick(struct ta_replica *r, int64_t now_ns);
/* When ticking again makes sense, as far as the stream knows (monotonic); peers may put something earlier. */
int64_t ta_replica_wake_ns(struct ta_replica *r, int64_t now_ns);

/* Asks all replicas to checkpoint and stop. Any time, any state. */
void ta_replica_stop(struct ta_replica *r);

/* Writes what it is doing into the log: state, records, peers. */
void ta_replica_print(struct ta_replica *r, int64_t now_ns);

enum ta_replica_state ta_replica_state(const struct ta_replica *r);

#endif
