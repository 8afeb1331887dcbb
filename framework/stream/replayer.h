/* replayer: a stream, paced, dealt to replicas in batches, read ahead by a thread of its own.
 *
 * The stream (times `epochs`, when it has an end) is cut into batches of `batch` records: batch b holds records
 * [b * batch, (b + 1) * batch) of the run; the last one may be shorter. A `share` says which batches are this replica's
 * and in which order. The reader thread reads them ahead into a ring of `ring` batches, converts x to float32
 * (x * scale + offset; word numbers and text stay as they are: `raw`) and stamps each batch with its due time, that of
 * its last record.
 *
 *     while (running) {
 *         status = ta_replayer_next(r, now, &batch);     OK | AGAIN (not due, or not read yet) | END | IO, FORMAT
 *         ... use batch ...
 *         ta_replayer_release(r, batch);
 *     }
 *
 * A batch may run over the end of the stream into its next pass. Records are read in the stream's own blocks, so a
 * chunk that several batches lie in is read once. on_overload: a batch that is already too late is not even read.
 *
 * Threads: one consumer, which makes all calls below; the reader is inside, with all signals blocked. `next`,
 * `release`, `wake_ns` take no lock, allocate nothing and never wait; release may wake the reader (one futex call).
 * With in_line there is no thread, and `next` takes as long as reading does.
 */
#ifndef TA_REPLAYER_H
#define TA_REPLAYER_H

#include <stdbool.h>

#include "pacer.h"
#include "share.h"
#include "stream.h"

enum ta_overload { TA_OVERLOAD_LAG, TA_OVERLOAD_DROP };

struct ta_replayer_config {
    /* Owned by the caller, used by the reader thread alone until close; in_line: several replayers may read one. */
    struct ta_stream *stream;
    struct ta_pacer_spec pace;
    /* Owned by the caller, outlives the replayer. The reader deals from a copy; what is in `done` now is left out.
     * `next` adds dropped batches to `done`, the caller the trained ones. */
    struct ta_share *share;
    uint32_t batch;       /* records, >= 1 */
    double epochs;        /* passes over a finite stream; 0: for ever */
    uint64_t max_records; /* of the run; 0: no limit */
    uint32_t ring;        /* batches read ahead; 0: 8 */
    enum ta_overload on_overload;
    double max_lag_s; /* drop: a batch later than this when it is asked for is dropped; >= 0 */
    bool in_line;     /* no reader thread: `next` reads a batch when it is asked for one (simulation: many replicas in one
                       * thread, the same every time) */
};

struct ta_batch {
    uint64_t number;       /* in the run */
    uint64_t first_record; /* in the run (of the stream: modulo its length) */
    uint32_t records;      /* <= batch */
    int64_t due_ns;        /* of the last record, from the start of the run */
    float *x;              /* [records][h][w][c]; NULL when `raw` is not */
    const void *raw;       /* as stored: int32 word numbers [records][c], or text [records][c] bytes; else NULL */
    int32_t *classes;      /* [records]; NULL unless labels are classes; -1: no label */
    float *targets;        /* [records][targets]; NULL unless labels are values */
    int64_t *due_each_ns;  /* [records] */
    int64_t *delays;       /* [records] after how many more records each label is known; NULL: the stream does not say */
};

struct ta_replayer_stats {
    uint64_t batches, records;                 /* handed out */
    uint64_t dropped_batches, dropped_records; /* on_overload: drop */
    uint64_t starved; /* times (not calls) that next found nothing read though something was due */
    int64_t lag_ns;   /* now - due of the last batch handed out */
};

struct ta_replayer;

/* Starts the reader. Errors: CONFIG (which value), NO_MEMORY, FAILED (no thread); IO, FORMAT when /t has to be looked
 * at. */
ta_status ta_replayer_open(const struct ta_replayer_config *config, struct ta_replayer **out);
void ta_replayer_close(struct ta_replayer *r); /* stops the reader; NULL is fine */

/* The clock of the run starts: record 0 is due `due` after start_ns (monotonic clock). On resume the run's clock is
 * moved so that the first record not yet trained (by any replica: share->start.base * batch) is due at start_ns. Call
 * once before next. */
void ta_replayer_start(struct ta_replayer *r, int64_t start_ns);
/* Monotonic time of due time 0: origin + due_ns is when a record was due. Valid after start. */
int64_t ta_replayer_origin_ns(const struct ta_replayer *r);

/* The next batch of this replica that is due at now_ns (monotonic); AGAIN: not due, not read yet, or all of the ring is
 * in the caller's hands; END. Errors of the reader come out here, with its message, after all that was read before it;
 * INVALID: start was not called; NO_MEMORY: a dropped batch could not be noted (ask again). */
ta_status ta_replayer_next(struct ta_replayer *r, int64_t now_ns, const struct ta_batch **out);
/* Gives a batch back, in any order. It is not done in the share until ta_share_done says that it was trained. */
void ta_replayer_release(struct ta_replayer *r, const struct ta_batch *batch);
/* When it makes sense to ask again: the due time of the next batch (monotonic), or now_ns when only the reader is
 * behind (or has failed: next says so). INT64_MAX once next has said END. */
int64_t ta_replayer_wake_ns(struct ta_replayer *r, int64_t now_ns);
void ta_replayer_stats(const struct ta_replayer *r, struct ta_replayer_stats *out);
size_t ta_replayer_bytes(const struct ta_replayer *r); /* memory that the ring and the staging buffer hold */

#endif
