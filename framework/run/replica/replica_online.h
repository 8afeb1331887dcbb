/* replica_online: what a replica does with a record beside computing: test-then-train with labels that may come late,
 * the log of predictions, the search for drift and the answers to it. Of ta_replica alone.
 *
 * A batch is predicted when it comes. Records whose label is known at once are scored, and trained on in the same step;
 * the others wait (waiting.h): once known, a label is scored against the prediction that was made then, and the record
 * is trained on with others that are due, in batches of the usual size, the last of which may be smaller. What still
 * waits at the end of the stream is counted. A checkpoint holds what waits, and a later life goes on with it: every
 * label that comes is trained on once. Not so the memory of `rehearse`, which begins anew, and what a replica that was
 * lost held.
 */
#ifndef TA_REPLICA_ONLINE_H
#define TA_REPLICA_ONLINE_H

#include "agreement.h"
#include "cycle.h"
#include "drift_trail.h"
#include "kernels.h"
#include "model.h"
#include "predictions.h"
#include "predictions_view.h"
#include "rehearsal.h"
#include "replayer.h"
#include "stream.h"
#include "waiting.h"

struct ta_replica;
struct ta_snapshot_waiting;

/* What waits beside x: the label, and what was predicted. */
struct ta_late_label {
    uint64_t record;
    int32_t label, said;
    float loss;
    uint32_t scored; /* 1: in a former life; it is to be trained on alone */
    float targets[]; /* [outputs] where labels are values */
};

/* Records on their way into a training step: all of one batch, or late and remembered ones gathered from several. */
struct ta_late_batch {
    float *x;         /* [batch][in] */
    int32_t *classes; /* [batch]; -1 behind the last */
    float *targets;   /* [batch][outputs]; NaN behind the last */
    uint64_t *numbers; /* [batch] of the records */
    uint32_t records;
};

struct ta_replica_online {
    struct ta_cycle cycle;
    bool watches;                  /* somebody looks for drift, or the mode needs it */
    uint64_t told;                 /* the note the peers have */
    struct ta_agreement agreement; /* classes 0: labels are values */
    struct ta_waiting waiting;     /* room 0: labels are known at once */
    struct ta_late_batch late;
    uint64_t seen;                 /* the last record of the stream that has come to us: what it is late for is known */
    struct ta_late_label *label;   /* scratch */
    struct ta_predictions *log;    /* NULL: none is kept */
    struct ta_rehearsal rehearsal; /* room 0: nothing is remembered */
    struct ta_late_batch again;    /* remembered ones */
    uint64_t rehearse_left;        /* records after which a step is made on remembered ones */
    uint64_t raised_left;          /* records for which the rate is raised */
    bool reset_head;               /* before the next step */
    struct ta_drift_trail trail;
};

/* What the log of predictions of this model over such a stream holds. */
struct ta_predictions_kind ta_replica_predictions_kind(const struct ta_stream_info *info, const struct ta_model *model);

ta_status ta_replica_online_open(struct ta_replica *r);
void ta_replica_online_close(struct ta_replica *r);

/* Before a batch is taken: OK; AGAIN: the log of predictions has no room for it (the disk is slower than the
 * stream). */
ta_status ta_replica_online_ready(struct ta_replica *r);
/* One batch, all of it: predicted, logged, scored, and trained on where the cycle says so. */
ta_status ta_replica_online_batch(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns);
/* The stream has ended: labels that have come are trained on, however few. */
ta_status ta_replica_online_end(struct ta_replica *r, int64_t now_ns);
/* For checkpoints (replica_waiting.c): a copy of what waits, and back again; restoring wants room. */
ta_status ta_replica_waiting_copy(struct ta_replica *r, struct ta_snapshot_waiting *out);
void ta_replica_waiting_restore(struct ta_replica *r, const struct ta_snapshot_waiting *from);
/* Over our window and those of the live peers, as far as they have told; NaN: nobody has anything to tell. */
double ta_replica_online_mean_loss(struct ta_replica *r);
/* Takes in what the peers say of the cycle and of their losses, and tells them ours. */
void ta_replica_online_listen(struct ta_replica *r, int64_t now_ns);
/* The mean loss of a batch of a word model: all that the cycle gets to see of it. */
void ta_replica_online_loss(struct ta_replica *r, uint32_t records, double loss, uint64_t last_record, int64_t now_ns);

#endif
