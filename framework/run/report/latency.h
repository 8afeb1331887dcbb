/* latency: how long records took from their due time until they were predicted, trained on, and visible everywhere; and
 * the lag behind the due times as the run went on.
 *
 *     predicted   the answer is there
 *     trained     the step is in this replica's own weights
 *     visible     the step is in the weights of every live replica, and we know it: the acknowledgement has come back.
 *                 A table's row that is held back (exchange.rows_after) counts when it has been put. Without peers:
 *                 trained
 *
 * Always from the due time, never from when we came round to the record (Tene: "coordinated omission"), in ns.
 * Records that became due within the first `warm_up` seconds are left out. A record whose label comes late is predicted
 * only: when it is trained on says more about the label than about us. What is still due when the run ends is nowhere.
 *
 * Due times of what waits to become visible are held in a ring of at least 65,536 records; when a peer hears nothing
 * for so long, the oldest are given up and counted (`unseen`).
 *
 * Lag is sampled whenever a batch is handed out (now less its due time), and kept as means over stretches of time:
 * 10 ms at first, twice as long whenever the TA_LAG_STRETCHES are used up, so that any run fits.
 *
 * Histograms are those of hist.h and merge exactly. A file holds them bucket by bucket:
 *     RUN_DIR/latency/life-NNNNN-replica-NNNNN.h5
 *         /predicted, /trained, /visible   uint64[TA_HIST_BUCKETS], attributes count, max (ns), sum (ns)
 *         /lag_s, /lag_samples             float64[n], uint32[n]: stretch i begins at i * stretch_ns after the start
 *         attributes of /lag_s             stretch_ns, unseen
 *
 * One thread. `add` and `visible` allocate nothing and make no system call; a record costs some 20 ns for all three.
 */
#ifndef TA_LATENCY_H
#define TA_LATENCY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "hist.h"
#include "status.h"

enum ta_moment { TA_MOMENT_PREDICTED, TA_MOMENT_TRAINED, TA_MOMENT_VISIBLE, TA_MOMENTS };

extern const char *const ta_moment_names[TA_MOMENTS]; /* "predicted" */

enum { TA_LAG_STRETCHES = 1024, TA_LAG_FIRST_NS = 10 * 1000 * 1000 };

struct ta_lag_series {
    int64_t stretch_ns;
    uint32_t used;
    double sum_s[TA_LAG_STRETCHES]; /* of the samples */
    uint32_t samples[TA_LAG_STRETCHES];
};

struct ta_latencies {
    struct ta_hist hist[TA_MOMENTS]; /* ns */
    struct ta_lag_series lag;
    uint64_t unseen;
};

/* Adds the histograms up; `lag` becomes, stretch by stretch, that of the replica that is further behind. */
void ta_latencies_merge(struct ta_latencies *into, const struct ta_latencies *from);
void ta_lag_add(struct ta_lag_series *lag, int64_t since_start_ns, int64_t lag_ns);
/* Percentiles in seconds and counts, moment by moment; a moment that never came is left out. NULL: out of memory. */
json_t *ta_latencies_json(const struct ta_latencies *l);

/* A batch of records that went through together. */
struct ta_latency_batch {
    const int64_t *due_ns;  /* [records] from the origin */
    uint32_t records;
    int64_t predicted_ns;   /* monotonic; 0: was not */
    int64_t trained_ns;     /* 0: was not */
    uint64_t step;          /* the step it is in, counted as the exchange counts */
};

struct ta_latency {
    struct ta_latencies *all;   /* NULL: not measured, and all calls below do nothing */
    int64_t *due;               /* [room] monotonic due times of records that wait to become visible */
    struct ta_latency_step *step; /* [room]: the steps they are in */
    uint64_t room, due_head, due_tail, step_head, step_tail;
    int64_t start_ns, origin_ns, warm_up_ns;
    bool alone; /* no peers */
    int64_t *held_due; /* [batch] of the batch whose update is still to come, */
    struct ta_latency_batch held; /* and the rest of it; 0 records: none */
};

/* Room for `batch` records a step. Errors: NO_MEMORY. */
ta_status ta_latency_open(struct ta_latency *l, uint32_t batch, double warm_up_s, bool alone);
void ta_latency_close(struct ta_latency *l); /* zeroed: fine */
/* Training starts; due time 0 was at origin_ns. */
void ta_latency_start(struct ta_latency *l, int64_t start_ns, int64_t origin_ns);
void ta_latency_add(struct ta_latency *l, const struct ta_latency_batch *batch);
/* A batch whose update comes later, with those of others (exchanges in lock-step): its due times are copied, and it is
 * added by ta_latency_made. At most one at a time. */
void ta_latency_hold(struct ta_latency *l, const struct ta_latency_batch *batch);
/* The update of what is held was made then; 0: it came to nothing. Without one held: nothing to do. */
void ta_latency_made(struct ta_latency *l, int64_t trained_ns);
static inline bool ta_latency_holds(const struct ta_latency *l) { return l->held.records > 0; }
/* `steps` of ours are in the weights of every live replica, as we know at now_ns. */
void ta_latency_visible(struct ta_latency *l, uint64_t steps, int64_t now_ns);
static inline bool ta_latency_waits(const struct ta_latency *l) { return l->step_head != l->step_tail; }

/* latency_file.c. Errors: IO, FORMAT, NO_MEMORY. */
ta_status ta_latencies_write(const struct ta_latencies *l, const char *path);
ta_status ta_latencies_read(struct ta_latencies *out, const char *path);
/* The file of a replica in a run directory. */
void ta_latencies_path(char *out, size_t bytes, const char *run_dir, uint32_t life, unsigned rank);
/* All replicas of a life together; `found` says how many had a file. */
ta_status ta_latencies_gather(struct ta_latencies *out, const char *run_dir, uint32_t life, unsigned replicas,
                              unsigned *found);

#endif
