/* pacer: record numbers -> due times, fixed before the run starts (open loop).
 *
 * Makes: max (all due at 0), constant, poisson, bursts (a burst of `burst` records at a time, `rate` on average), trace
 * (recorded times / `speed`), schedule (a list of rates over time, constant within a piece).
 * Due times are nanoseconds from the start of the run and never fall. A pacer is a value with a cursor; `seek` puts it at
 * any record (O(1) but for poisson, which draws its way there from the seed).
 */
#ifndef TA_PACER_H
#define TA_PACER_H

#include <stdint.h>

#include "rng.h"
#include "status.h"

enum ta_pace { TA_PACE_MAX, TA_PACE_CONSTANT, TA_PACE_POISSON, TA_PACE_BURSTS, TA_PACE_TRACE };

struct ta_pace_piece {
    double at_s;        /* from this second on */
    double rate_per_s;  /* records a second; 0: a pause */
};

struct ta_pacer_spec {
    enum ta_pace pace;
    double rate_per_s;   /* constant, poisson, bursts: > 0 and finite */
    double burst;        /* bursts: records at once, >= 1 */
    double speed;        /* trace: > 0 */
    struct ta_pace_piece *schedule; /* constant, poisson, bursts: replaces rate_per_s; at_s rising, first at 0 */
    unsigned schedule_count;
    uint64_t seed;
};

struct ta_pacer {
    struct ta_pacer_spec spec;
    uint64_t next;      /* record whose due time comes next */
    double clock_s;     /* poisson: due time of record next - 1 */
    struct ta_rng rng;
};

/* Checks the spec. Errors: CONFIG (which value is wrong and what is allowed). The schedule must outlive the pacer. */
ta_status ta_pacer_init(struct ta_pacer *pacer, const struct ta_pacer_spec *spec);
void ta_pacer_seek(struct ta_pacer *pacer, uint64_t record);
/* Due time of record `next`, then moves on. `recorded_ns`: its time in the stream (trace only). */
int64_t ta_pacer_due_ns(struct ta_pacer *pacer, int64_t recorded_ns);

#endif
