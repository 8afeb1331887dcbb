/* copy: memory copies that keep words whole and segments in order, for the makes that write by CPU.
 *
 * memcpy promises neither: it may move bytes one by one (`rep movsb`), write a byte twice, or leave its last stores in
 * write-combining buffers. Here each aligned 4-byte word is read once and written once, whole, when source and target
 * are both aligned to 4; otherwise bytes are copied and no word is promised.
 *
 * Threads: any. The source may change under the copy (it is read word by word, each word old or new).
 */
#ifndef TA_COPY_H
#define TA_COPY_H

#include <stddef.h>

#include "transport.h"

/* From this size on a copy goes past the cache (non-temporal stores): measured, see copy.c. */
enum { TA_COPY_STREAM_BYTES = 8 * 1024 * 1024, TA_COPY_STREAM_ROWS_BYTES = 4 * 1024 * 1024 /* all rows together */ };

/* One segment. Ordered after everything this thread wrote before, and before everything it writes after. A segment of
 * at most 64 bytes, all aligned to 8, goes in 8-byte words, its last word last. */
void ta_copy_segment(void *target, const void *source, size_t bytes);

/* What a segment moves in all. */
static inline size_t ta_put_segment_bytes(const struct ta_put_segment *s) {
    return s->rows == NULL ? s->bytes : s->n_rows * s->bytes;
}

/* All segments of a put, in order, into the window at `base`; what transport.put promises. Rows are fetched ahead of
 * their turn. Sizes were checked before. */
void ta_copy_put(void *base, const struct ta_put_segment *segments, unsigned n_segments);

/* The check every make does before it takes a put. Errors: INVALID: too many segments; beyond the window, with peer,
 * segment, row, offset and sizes named. A list of rows is looked over once, in vectors: 10,000 take microseconds. */
ta_status ta_put_check(unsigned peer, size_t window_bytes, const struct ta_put_segment *segments, unsigned n_segments);

#endif
