/* rowlog: which rows of a peer's register have changed, told by the peer: a ring of row ids (rows.h) in our window.
 *
 *     reserve 8 B | head 8 B | pad to 64 B | ids, 4 B each
 *
 * `head` counts the ids ever written. The writer never waits for the reader, so it may lap it. A put carries
 *
 *     rows, reserve := head', ids from head to head', ..., head := head', header
 *
 * in this order. The reader, which has read up to `tail`, takes the head, then the ids between, then the reserve. If
 * reserve - tail is more than the ring holds, some of those ids may have been written over: the reader must look at all
 * rows ("scan all"), as it must when the head alone is too far ahead. A put of a whole register says just that, by a
 * head that jumps by more than a ring. A row whose id is before the head is in the body. What a reader finds there is a
 * peer's word: ids that are none and a head that falls mean "scan all" too, never harm. One thread.
 */
#ifndef TA_ROWLOG_H
#define TA_ROWLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

enum { TA_ROWLOG_RESERVE = 0, TA_ROWLOG_HEAD = 8, TA_ROWLOG_IDS = 64, TA_ROWLOG_LEAST = 64, TA_ROWLOG_MOST = 65536 };

/* Ids in the ring for tables of n_rows rows: as many as rows, since to look at all of them costs no more, up to MOST;
 * 0 for none. */
uint32_t ta_rowlog_entries(uint32_t n_rows);
/* Bytes of a log; 0 entries: 0. */
size_t ta_rowlog_bytes(uint32_t entries);

/* Where a log lies in the window of a peer. */
struct ta_rowlog_place {
    size_t offset;
    uint32_t entries;
};

/* Segments that append n ids (at most `entries`; 0 with a jump) after `head`: the reserve, then the ids, one or two
 * pieces. `word` holds the new head. All sources stay as they are until the put has left. Returns how many were added.
 */
unsigned ta_rowlog_append(const struct ta_rowlog_place *log, uint64_t head, const uint32_t *ids, size_t n,
                          const uint64_t *word, struct ta_put_segment *segments);
/* The segment that moves the head, after all of those. */
struct ta_put_segment ta_rowlog_commit(const struct ta_rowlog_place *log, const uint64_t *word);

/* Something was written since. */
bool ta_rowlog_news(const void *log, uint64_t tail);
/* Sets the bit of every id written since `*tail`, which moves to the head. False: scan all. Bits may be set then, too.
 * n_rows: ids are below. */
bool ta_rowlog_read(const void *log, uint32_t entries, uint32_t n_rows, uint64_t *tail, uint64_t *bits);

#endif
