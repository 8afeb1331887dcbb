/* feeder: records of a stream, pass after pass, as the float32 a model wants, or as stored: words and text.
 *
 * Record r of the run is record r modulo the stream's length. x * scale + offset is applied here (in single precision,
 * multiplied, then added: the same bits on every machine), but for word numbers and text. A stream that says so
 * (`info.block`) is read a block at a time into a staging buffer, so that neighbouring batches share one read, one
 * decompression and one check of a chunk; a stream that does not is read exactly as asked.
 *
 * Threads: one at a time, the one that the stream belongs to. Errors: those of the stream's `read`, with its message.
 */
#ifndef TA_FEEDER_H
#define TA_FEEDER_H

#include "stream.h"

struct ta_feeder {
    struct ta_stream *stream;       /* borrowed */
    struct ta_stream_block staging; /* x and labels of the records in stock */
    uint64_t stock_first, stock;    /* which those are; stock 0: none */
    uint64_t capacity;              /* records that staging holds */
    int64_t time_first, time_pass;  /* /t of record 0; time that a pass takes: its span and one mean gap */
};

/* Where records go; NULL: not wanted. */
struct ta_feed {
    float *x;         /* [records][h][w][c]; not for word numbers */
    void *raw;        /* [records] of ta_stream_x_bytes each, as stored */
    int32_t *classes; /* [records] */
    float *targets;   /* [records][targets] */
    int64_t *delays;  /* [records] of /label_delay */
};

/* `at_once`: most records a call will ask for when the stream names no block. A feeder that failed may be closed.
 * Errors: NO_MEMORY, and those of read when `with_time` (the ends of /t are looked up). */
ta_status ta_feeder_open(struct ta_feeder *f, struct ta_stream *stream, uint64_t at_once, bool with_time);
void ta_feeder_close(struct ta_feeder *f);

/* Records [first, first + count) of the run. */
ta_status ta_feeder_read(struct ta_feeder *f, uint64_t first, size_t count, const struct ta_feed *out);
/* Their times from the start of the run: /t from 0, a pass behind the other. */
ta_status ta_feeder_times(struct ta_feeder *f, uint64_t first, size_t count, int64_t *time_ns);

size_t ta_feeder_bytes(const struct ta_feeder *f); /* memory of the staging buffer */

#endif
