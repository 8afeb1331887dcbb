/* checkpoint: the state of a run as a directory of HDF5 files, complete or not there.
 *
 *     RUN_DIR/checkpoint/000012000/model.h5            weights, Keras layout (keras.h), by the lowest live rank
 *                                  replica-00003.h5    what rank 3 needs to go on exactly
 *                                  DONE                last: sizes and XXH3 of every file
 *
 * The name is the number of local steps of all replicas together. Replicas are at rest (exchange settled) when each
 * takes its snapshot; a background thread of each writes it into RUN_DIR/checkpoint/.tmp-000012000-EPOCH/, file by file
 * (temporary name, fsync, rename). The lowest live rank waits for the files of all `writers`, writes model.h5 and DONE,
 * fsyncs, renames the directory, then removes all but the newest `keep` and stale .tmp-*. A kill at any moment leaves
 * the old checkpoint or the new one; a reader skips whatever has no valid DONE. Newest is what has the highest epoch
 * (life of the run), then the most steps.
 *
 * A writer holds a shared flock(2) on the directory while it is open; the first to open it, having it alone, removes
 * what a run that died left there.
 *
 * replica-NNNNN.h5, every object with attributes `description` and `units`: /delta, /w0 (rank of model.h5 only; neither
 * where a word model needs none), /names/{delta,w0} (the same of an online vocabulary's names), /optimizer/{m,v} where
 * the kind has them, /stream/{base,bits} (frontier of done batches), /peer_steps, /waiting/{due,record,label,said,loss,
 * scored,x,targets} (records that are not yet trained on, where there are any), and root
 * attributes format, rank, n_ranks, epoch, total_steps, total_records, steps, records, optimizer_step,
 * optimizer_skipped, dropped_records, batch, seed, fingerprint, records_seen_ns (clock of the stream), score fields; of
 * word models table_seed, vocabulary_checksum.
 */
#ifndef TA_CHECKPOINT_H
#define TA_CHECKPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "incarnation.h"
#include "log.h"
#include "model.h"
#include "share.h"

/* Records of a replica that were predicted and are to be trained on later (waiting.h), the first to come first. */
struct ta_snapshot_waiting {
    uint64_t n, room;        /* held; allocated */
    uint32_t inputs;         /* numbers of x */
    uint32_t targets;        /* of a label that is values; 0: labels are classes */
    uint64_t *due, *record;  /* [room] number of the record with which the label is known; its own */
    int32_t *label, *said;   /* [room] class, -1: none; class that was predicted */
    float *loss;             /* [room] of that prediction */
    uint8_t *scored;         /* [room] 1: its label came, it waits for others to be trained on with */
    float *x, *targets_of;   /* [room][inputs], [room][targets] */
};

/* Room for n more; freeing after a failure is fine. Errors: NO_MEMORY. */
ta_status ta_snapshot_waiting_room(struct ta_snapshot_waiting *w, uint64_t n);
/* Those of `from` behind those that are there; an empty `into` takes its widths. Errors: NO_MEMORY. */
ta_status ta_snapshot_waiting_append(struct ta_snapshot_waiting *into, const struct ta_snapshot_waiting *from);
void ta_snapshot_waiting_free(struct ta_snapshot_waiting *w);

/* One replica's state. All arrays are host copies. In a snapshot to be written they are owned by the snapshot. */
struct ta_snapshot {
    unsigned rank, n_ranks;
    uint32_t epoch;
    uint64_t total_steps;    /* of all replicas: the directory's name */
    uint64_t steps, records; /* of this replica, in delta */
    uint64_t total_records;  /* of all replicas */
    uint64_t *peer_steps;    /* [n_ranks] */
    float *w, *w0;           /* [n_params]; only for the writer of model.h5, else NULL; w0 NULL too where tables start
                                from the seed */
    float *delta;            /* [n_params]; NULL: no peers, w is all there is (exchange.h) */
    float *m, *v;            /* [n_params] or NULL */
    bool borrowed;           /* w, w0, delta belong to somebody who keeps them as they are until poll is no longer BUSY:
                                tables are too large to copy */
    uint64_t table_seed;     /* w0 NULL: what tables start from */
    struct ta_names names;   /* the writer's: which word a row is; empty: no word model */
    bool names_lent;         /* names belong to somebody else too, who keeps them as long */
    uint64_t optimizer_step, optimizer_skipped, optimizer_reset_at;
    uint64_t cycle; /* changes of mode and drifts so far (cycle.h) */
    uint64_t raised_left; /* labelled records for which the learning rate is still raised, */
    double raised;        /* by this factor */
    uint64_t waiting_dropped;
    struct ta_snapshot_waiting waiting;
    struct ta_frontier done; /* batches this replica knows to be trained or dropped (start + its own) */
    uint64_t dropped_records;
    uint32_t batch; /* records a batch: the unit of the frontier */
    uint64_t seed;
    int64_t stream_ns; /* clock of the stream: due time reached */
    uint64_t score_records, score_hits, score_lossless;
    double score_loss_sum, score_fade_hits, score_fade_loss, score_fade_weight;
    float input_scale, input_offset; /* for model.h5's note */
};

void ta_snapshot_free(struct ta_snapshot *s); /* frees the arrays */

struct ta_checkpoint_config {
    const char *directory;        /* RUN_DIR/checkpoint; created when missing */
    const struct ta_model *model; /* outlives the writer */
    unsigned keep;                /* complete checkpoints to keep; 0: 2 */
    const char *hold;             /* one that is kept besides, by its path; NULL: none */
    double patience_s;            /* how long the lowest rank waits for the others' files; 0: 30 */
    _Atomic int64_t *took_ns;     /* set after each to how long it took; NULL: nobody asks */
    const struct ta_fence *fence; /* what completing one must pass (incarnation.h); outlives the writer; NULL: nothing */
    struct ta_log *log;
    /* For tests: called by the writer's thread before each change on disk (`what`: its name); NULL: nothing. */
    void (*on_step)(void *context, const char *what);
    void *context;
};

struct ta_checkpoint_writer;

ta_status ta_checkpoint_open(const struct ta_checkpoint_config *config, struct ta_checkpoint_writer **out);
/* Waits for what is under way, stops the thread. Returns the first failure nobody has asked for. NULL is fine. */
ta_status ta_checkpoint_close(struct ta_checkpoint_writer *w);
/* Takes the snapshot (its arrays move; *s is emptied). `writers`: ranks whose files make it complete, rising. BUSY: the
 * last one is still being written: nothing was taken. */
ta_status ta_checkpoint_submit(struct ta_checkpoint_writer *w, struct ta_snapshot *s, const unsigned *writers,
                               unsigned n_writers);
/* A rank is gone for good: nobody waits for its part any longer than until it is found missing. Any time, any
 * thread. */
void ta_checkpoint_lost(struct ta_checkpoint_writer *w, unsigned rank);
/* OK: nothing under way and the last one stands (as a whole: a rank that is not the lowest waits for that, too); BUSY;
 * or what went wrong with the last one (IO: disk full, with path and cure; PEER: whose file never came), once. `path`:
 * of the last complete one, "" when there was none; may be NULL. */
ta_status ta_checkpoint_poll(struct ta_checkpoint_writer *w, char *path, size_t path_bytes);

/* A complete checkpoint on disk. */
struct ta_checkpoint_info {
    char path[4096];
    unsigned n_ranks; /* replicas that wrote it */
    unsigned n_writers;
    unsigned writers[1024];
    uint64_t total_steps, total_records;
    uint32_t epoch;
};

/* Newest complete one in `directory`; AGAIN: none. Damaged or incomplete ones are skipped with a line in the log. */
ta_status ta_checkpoint_latest(const char *directory, struct ta_log *log, struct ta_checkpoint_info *out);
/* That directory, with sizes and checksums of all files verified. Errors: FORMAT, IO. */
ta_status ta_checkpoint_check(const char *path, struct ta_checkpoint_info *out);
/* The state of one rank of it. Checks model fingerprint (CONFIG, both named; where the vocabulary differs, that) and
 * every shape. Arrays are allocated; ta_snapshot_free. w, w0, names only when asked for (`with_weights`), taken from
 * model.h5 and the file that holds w0. */
ta_status ta_checkpoint_load(const struct ta_checkpoint_info *info, const struct ta_model *model, unsigned rank,
                             bool with_weights, struct ta_snapshot *out);

#endif
