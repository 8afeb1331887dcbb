/* predictions: a log of what was predicted, as an HDF5 file that can be read while it grows. One file a replica;
 * predictions_view.h makes one of all of them.
 *
 * Datasets, first dimension: predictions in the order in which they were made.
 *
 *     /record       uint64   number of the record in the run
 *     /due_ns       int64    when it was due, from the start of the run
 *     /answered_ns  int64    when the prediction stood, on the same clock
 *     /version      uint64   of the weights it was made with: steps of all replicas that were in them
 *     /prediction   int32 class (-1: not a number)        or float32 [n][outputs]
 *     /confidence   float32 output of that class          only with classes
 *     /label        int32 class (-1: none)                or float32 [n][targets] (NaN: none)
 *
 * and the attributes format "tensair-predictions", version 1, replica, life, each dataset's description and units.
 * h5py: File(path, "r", swmr=True) while it grows; File(path) and h5ls once the run has ended. What is older than about
 * a second is there.
 *
 * A thread of its own writes, so a disk that stutters stops nobody: the log holds TA_PREDICTIONS_ROOM rows meanwhile.
 *
 * Threads: one producer; the writer is inside, with all signals blocked. `room` and `add` take no lock, allocate
 * nothing and never wait.
 */
#ifndef TA_PREDICTIONS_H
#define TA_PREDICTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

enum { TA_PREDICTIONS_ROOM = 65536 };

struct ta_predictions_kind {
    bool classes;      /* else values */
    uint32_t outputs;  /* of the model: values a prediction has */
    uint32_t targets;  /* values: how many a label has; 0: as many as outputs */
};

struct ta_predictions_config {
    const char *path;  /* replaced when it is there */
    unsigned rank;
    uint32_t life;     /* of the run */
    struct ta_predictions_kind kind;
};

/* Rows to add: arrays of n. */
struct ta_predictions_rows {
    uint64_t first_record;       /* they are numbered from here */
    const int64_t *due_ns;
    int64_t answered_ns;
    uint64_t version;
    const float *predictions;    /* [n][outputs] */
    const int32_t *classes;      /* [n]; NULL: no labels */
    const float *targets;        /* [n][targets]; NULL: no labels */
};

struct ta_predictions;

/* Errors: IO (cannot be made), CONFIG (no outputs), NO_MEMORY, FAILED (no thread). */
ta_status ta_predictions_open(const struct ta_predictions_config *config, struct ta_predictions **out);
/* How many rows `add` would take now. */
uint32_t ta_predictions_room(const struct ta_predictions *p);
/* Errors: BUSY (no room for all n: none was taken; the disk is slower than the stream), IO (the writer has failed: what
 * it said; told at every call). */
ta_status ta_predictions_add(struct ta_predictions *p, uint32_t n, const struct ta_predictions_rows *rows);
uint64_t ta_predictions_written(const struct ta_predictions *p); /* rows that readers can see */
/* Writes what is left, closes. Errors: IO. NULL is fine; it is gone in any case. */
ta_status ta_predictions_close(struct ta_predictions *p);

#endif
