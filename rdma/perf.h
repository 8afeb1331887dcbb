/* perf: how fast a put is and how soon the peer sees it, on any make of transport, beside memcpy in the same run.
 *
 * Two processes (threads) that are connected to each other, both ways, each with a window of ta_perf_window_bytes: one
 * answers, the other asks. They talk by puts alone. Both spin, and give progress to a transport that moves by it.
 *
 * Threads: each side belongs to one thread. Times are of the steady clock of the asker.
 */
#ifndef TA_PERF_H
#define TA_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "transport.h"

struct ta_perf_side {
    const struct ta_transport_ops *ops;
    struct ta_transport *transport; /* connected to `peer`, both ways */
    struct ta_window window;
    unsigned peer;
    size_t max_bytes;        /* of the bodies to come; the same on both sides */
    bool asks;               /* else: answers */
    bool yield;              /* give the core away while waiting: when both sides, or the device, share it */
    int watch;               /* a socket to the other side, on which something comes while this is at work only when
                                the other side has failed or is gone; -1: none */
    uint64_t sequence;       /* of the last question; zero at birth */
    int64_t trip_ns;         /* of the last question, until its answer was seen */
    int64_t clock_ns;        /* what it costs to read the clock: taken off each trip */
    int64_t now_ns;          /* as read some moves ago: to read a clock may cost more than to move */
    unsigned moves;
    unsigned char *header;   /* a page; a source of puts */
    unsigned char *source;   /* asker: [max_bytes]; a source of puts */
    unsigned char *aside[2]; /* asker: [max_bytes] each; private buffers for memcpy */
};

size_t ta_perf_window_bytes(size_t max_bytes);
/* Allocates the buffers, in huge pages where the system allows, as the window is, and registers the sources: after
 * open, before connect. Errors: NO_MEMORY, DEVICE, CONFIG. */
ta_status ta_perf_prepare(struct ta_perf_side *side);
/* After the transport was closed: it may be reading them. */
void ta_perf_release(struct ta_perf_side *side);

/* The answerer: answers until it is told to stop; may be called again then. Errors: PEER: the asker is gone. */
ta_status ta_perf_answer(struct ta_perf_side *side);
ta_status ta_perf_stop(struct ta_perf_side *side); /* tells the answerer to */

struct ta_perf_rate {
    double put_ns, memcpy_ns; /* medians of one put (until its source is free) and one memcpy of as many bytes */
    double ratio;             /* memcpy_ns / put_ns: bandwidth of put as a share of memcpy's */
    unsigned rounds;
};

/* Puts `bytes` again and again from the same source to the same place, in turns with memcpy between two private
 * buffers, for about `seconds`. All buffers are warm: what fits the caches is in them. Puts are timed by the batch: as
 * many at once as the transport takes, then until nothing is in flight. Errors: PEER, NO_MEMORY. */
ta_status ta_perf_rate(struct ta_perf_side *side, size_t bytes, double seconds, struct ta_perf_rate *out);

/* Scattered rows of a table. */
struct ta_perf_rows {
    size_t row_bytes, table_rows;
    const uint32_t *list; /* [n_rows] below table_rows, none twice */
    size_t n_rows;
};

/* max_bytes for such a table: a mark of a byte for each row stands behind it. Errors: INVALID: beyond a size_t. */
ta_status ta_perf_rows_bytes(const struct ta_perf_rows *rows, size_t *out);

/* Puts those rows again and again, as one segment, in turns with one memcpy of as many bytes in one piece. */
ta_status ta_perf_rows_rate(struct ta_perf_side *side, const struct ta_perf_rows *rows, double seconds,
                            struct ta_perf_rate *out);

struct ta_perf_delay {
    double least_ns, median_ns, p99_ns; /* from before the put until the peer has seen all of it */
    unsigned rounds;
};

/* Puts `bytes` and a 64-byte header behind it (64 or less: the header alone) and waits for the 64-byte answer. One way
 * is the round trip less half of `empty_ns`, the median round trip of a header alone; 0: half the round trip. */
ta_status ta_perf_delay(struct ta_perf_side *side, size_t bytes, double seconds, double empty_ns,
                        struct ta_perf_delay *out);

/* Puts `bytes` of a pattern that changes every time, `rounds` times; the answerer compares every byte. */
ta_status ta_perf_verify(struct ta_perf_side *side, size_t bytes, unsigned rounds, uint64_t *wrong_bytes);

/* The same for rows: puts the whole table, then, with another pattern, the rows; the answerer compares every byte of
 * the table, those of the rows that were not put too. */
ta_status ta_perf_rows_verify(struct ta_perf_side *side, const struct ta_perf_rows *rows, unsigned rounds,
                              uint64_t *wrong_bytes);

#endif
