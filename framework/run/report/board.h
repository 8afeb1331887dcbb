/* board: one row a replica, in memory that the launcher and all its replicas share: who is how far, and who is gone.
 *
 * It is for watching (progress, summary) and for saying early that a replica ended; nothing of the exchange depends on
 * it. It is an unnamed memory file, so nothing is left behind whatever dies: the launcher makes it and hands the
 * descriptor down. One replica alone, or several in one process, use one in private memory.
 *
 * Of a run on several nodes each has a board of all ranks; rows of other nodes are written by the launcher (nodes.h).
 *
 * Threads: each row is written by its replica (`ended` by the launcher), read by anyone; every word is atomic.
 */
#ifndef TA_BOARD_H
#define TA_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "phases.h"
#include "stale_bins.h"
#include "status.h"

/* Whether a replica is gone. PRESUMED: its node has not been heard for too long; it may come back. */
enum ta_ended { TA_ENDED_NO, TA_ENDED_KNOWN, TA_ENDED_PRESUMED };

struct ta_board_row {
    _Atomic uint64_t state;           /* enum ta_replica_state */
    _Atomic uint64_t ended;           /* launcher: enum ta_ended */
    _Atomic uint64_t launcher;        /* of a spare: process that has started it; 0: it is free */
    _Atomic uint64_t finished;        /* the replica came to an orderly end of its own */
    _Atomic uint64_t records;         /* scored, former lives included */
    _Atomic uint64_t hits;
    _Atomic uint64_t trained;         /* records in delta since this life's start */
    _Atomic uint64_t life_records;    /* seen in this life: the rate is of this life */
    _Atomic uint64_t dropped, starved, skipped_steps, unlabelled;
    _Atomic uint64_t steps, puts, put_bytes, put_rows;
    _Atomic uint64_t words;           /* word models: read in this life, of those that have a row */
    _Atomic uint64_t stale_count, stale_sum, stale_max;
    _Atomic uint64_t stale_bin[TA_STALE_BINS]; /* of its gradients, in this life */
    _Atomic uint64_t phase_ns[TA_PHASES];      /* where the time of this life went, up to its last report */
    _Atomic uint64_t rest_round, checksum; /* XXH3 of w when round rest_round was settled */
    _Atomic uint64_t peers_lost;
    _Atomic uint64_t recording_ns, recorded_bytes; /* spent on being recorded, and what came of it; 0: it is not */
    _Atomic uint64_t lost;            /* set by a peer that has dropped this replica */
    _Atomic uint64_t done_records;    /* at the last rest: of the whole run, those that all its lives have done; 0: unknown */
    _Atomic uint64_t held_bytes, derived_bytes; /* exchange + optimizer + net + ring: held, and what the design allows */
    _Atomic int64_t lag_ns;               /* behind the due time, at the last batch; -1: pace max knows none */
    _Atomic int64_t save_ns;              /* the last checkpoint it took part in lasted so long; 0: none yet */
    _Atomic int64_t started_ns, ended_ns; /* monotonic: training began, ended; 0: not yet */
    _Atomic double loss_sum, window_accuracy, window_loss;
};

enum { TA_BOARD_TEXT_BYTES = 512 };

struct ta_board {
    unsigned n_rows;
    struct ta_board_row *rows;
    char (*texts)[TA_BOARD_TEXT_BYTES]; /* [n_rows] what it puts with; whole once started_ns is set (acquire) */
    char (*devices)[TA_BOARD_TEXT_BYTES]; /* [n_rows] what it computes on; likewise */
    int fd; /* -1: private memory */
};

/* Rows are zeroed. `shared`: backed by a descriptor that may be handed to a child. Errors: NO_MEMORY, CONFIG (0
 * rows). */
ta_status ta_board_create(struct ta_board *board, unsigned n_rows, int shared);
/* Maps the descriptor a launcher handed down. Errors: CONFIG (not a board of that many rows), NO_MEMORY. */
ta_status ta_board_attach(struct ta_board *board, unsigned n_rows, int fd);
void ta_board_close(struct ta_board *board); /* zeroed: fine */

/* All rows together. */
struct ta_board_sum {
    uint64_t records, hits, trained, life_records, dropped, starved, skipped_steps, unlabelled, steps, puts, put_bytes,
        put_rows, words, done_records; /* done_records: the most that any says */
    uint64_t stale_count, stale_sum, stale_max, recording_ns, recorded_bytes;
    uint64_t stale_bin[TA_STALE_BINS], phase_ns[TA_PHASES];
    unsigned finished, ended;
    double loss_sum, window_accuracy, window_loss; /* windows: mean over replicas that have seen anything */
    int64_t lag_ns;                                /* largest; -1: pace max knows none */
    int64_t started_ns, ended_ns;                  /* first and last; 0: none */
};
void ta_board_add_up(const struct ta_board *board, struct ta_board_sum *out);

/* All that came to an orderly end at the same rest did so on the same weights. Errors: FAILED (who did not). */
ta_status ta_board_check_rest(const struct ta_board *board);

#define ta_board_set(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define ta_board_get(field) atomic_load_explicit(&(field), memory_order_relaxed)

#endif
