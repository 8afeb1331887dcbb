/* rows: which rows of the tables we have changed, and which of them each peer is still to get.
 *
 * Rows are numbered over all tables of the model (ROWS and NAMES segments, in the order of the segments): an id. A
 * changed row is not put at once, since a common word changes in every step:
 *
 *     unchanged -> changed: count 1 .. after - 1 -> due, for every peer -> put
 *
 * A row becomes due when it was changed `after` times since it was last made due, or by a sweep, which makes all
 * changed rows due (the caller sweeps every so often, and to come to rest). A row that is due and changes is counted
 * anew, since the put may already have left: so the last put of a row always follows its last change.
 *
 * A put to a peer takes due rows in the order of their ids, up to a limit, from where the last one stopped; a put ends
 * where the ids end. What the peer then has *wholly* is what our header may claim: all the rows touched by so many
 * steps are out. That is so for the steps before a sweep when nothing is due any more, or when the cursor has been over
 * all ids since; and for all our steps when, besides, no row is changed. Plain values; one thread.
 */
#ifndef TA_ROWS_H
#define TA_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "status.h"

enum { TA_ROWS_MOST_AFTER = 255 };

/* So far had a replica come. */
struct ta_rows_mark {
    uint64_t steps, records, position; /* position: in its share of the stream (exchange.h) */
};

struct ta_rows_table {
    struct ta_table shape;
    unsigned segment; /* its number in the model */
    bool names;
    uint32_t first;   /* id of its row 0 */
};

/* What is to go to one peer. */
struct ta_rows_peer {
    uint64_t *due;            /* a bit an id */
    size_t n_due;
    uint32_t cursor;          /* id the next put begins at */
    struct ta_rows_mark whole; /* what it was put wholly */
    struct ta_rows_mark goal; /* what it will have wholly after the cursor has come to the end so often: */
    unsigned laps;            /* 0: there is no goal */
};

struct ta_rows {
    struct ta_rows_table table[TA_MAX_SEGMENTS];
    unsigned n_tables; /* 0: the model has none, and nothing below is there */
    uint32_t n_rows;   /* of all tables */
    size_t n_words;    /* 64-bit words that hold a bit an id */
    unsigned n_ranks;
    uint32_t after;
    uint8_t *count;    /* changes since the row was last made due; 0: unchanged */
    size_t n_changed;  /* rows whose count is not 0 */
    uint64_t *own;     /* bits: rows that we changed since the caller last cleared them, each at least once */
    struct ta_rows_mark swept; /* of the last sweep */
    struct ta_rows_peer *peer; /* [n_ranks] */
    uint64_t *bits;    /* of own and all peers */
    size_t held_bytes;
};

/* What one put takes. */
struct ta_rows_plan {
    uint32_t *rows;    /* numbers within their tables, */
    uint32_t *ids;     /* and over all tables; as many, in the same order. Both the caller's, as long as the limit */
    size_t n;
    size_t n_of[TA_MAX_SEGMENTS]; /* of each table: they follow each other in `rows` */
    bool whole;                   /* after this put the peer has all that we have done */
    struct ta_rows_mark mark;     /* and this at least */
    uint32_t cursor;              /* for ta_rows_sent */
    unsigned laps;
};

/* `start`: what the peers have wholly from the start. Errors: NO_MEMORY; CONFIG (more rows than ids). */
ta_status ta_rows_open(struct ta_rows *r, const struct ta_model *model, unsigned n_ranks, struct ta_rows_mark start);
void ta_rows_close(struct ta_rows *r);

/* The table of a segment, or NULL. */
const struct ta_rows_table *ta_rows_table_of(const struct ta_rows *r, unsigned segment);

/* n rows of a table were changed, each as often as it is listed. `due` (room for n) gets those that became due by it,
 * n_due of them. False: a number is none of that table's (it, and what follows it, is not counted). */
bool ta_rows_touch(struct ta_rows *r, const struct ta_rows_table *table, const uint32_t *rows, size_t n, uint32_t *due,
                   size_t *n_due);
/* The row was changed and is not due since. */
static inline bool ta_rows_is_changed(const struct ta_rows *r, uint32_t id) { return r->count[id] != 0; }
/* Lists such rows of a table from `*from` on, at most `most`; `*from` moves behind the last. Returns how many: 0 when
 * there are no more. */
size_t ta_rows_list_changed(const struct ta_rows *r, const struct ta_rows_table *table, uint32_t *from, uint32_t *rows,
                            size_t most);
/* Makes one row due at once. */
void ta_rows_hurry(struct ta_rows *r, uint32_t id);
/* Makes all changed rows due. `now`: what we have done. */
void ta_rows_sweep(struct ta_rows *r, struct ta_rows_mark now);

/* Nothing that we have changed is still to be put to `peer`. */
bool ta_rows_all_out(const struct ta_rows *r, unsigned peer);
/* What a put of at most `limit` rows to `peer` would take; changes nothing. The caller has set plan->rows and ids. */
void ta_rows_plan_make(const struct ta_rows *r, unsigned peer, size_t limit, struct ta_rows_mark now,
                       struct ta_rows_plan *plan);
/* That put has been taken by the transport. */
void ta_rows_sent(struct ta_rows *r, unsigned peer, const struct ta_rows_plan *plan);

static inline void ta_bit_set(uint64_t *bits, uint32_t id) { bits[id / 64] |= UINT64_C(1) << id % 64; }

#endif
