/* pacer: record numbers -> due times, fixed before the run starts (open loop).
 *
 *     max       all due at 0
 *     constant  record i at i / rate
 *     poisson   gaps are exponential with mean 1 / rate: record 0 comes one gap after the start
 *     bursts    `burst` records at once, the k-th burst at k * burst / rate, so `rate` on average
 *     trace     recorded time / `speed`
 *
 * A schedule is a list of rates over time, constant within a piece. With L(t) = records expected until t (the integral
 * of the rate), constant puts record i where L(t) = i, bursts likewise, and poisson where L(t) is the sum of its unit
 * exponential gaps, which is exact for any rate (time rescaling: Brown et al., Neural Computation 14:325, 2002). What
 * would fall on the border of two pieces belongs to the later one; in a pause (rate 0) nothing is due.
 *
 * Due times are nanoseconds from the start of the run and never fall; beyond TA_PACER_NEVER_NS they stay there. A pacer
 * is a value with a cursor; `seek` puts it at any record (O(1) but for poisson, which draws its way there from where it
 * stands, or from the start when that is later: some 30 ns a record). Not thread-safe: one pacer, one thread.
 */
#ifndef TA_PACER_H
#define TA_PACER_H

#include <stdint.h>

#include "rng.h"
#include "status.h"

#define TA_PACER_NEVER_NS (INT64_MAX / 4) /* 73 years */

enum ta_pace { TA_PACE_MAX, TA_PACE_CONSTANT, TA_PACE_POISSON, TA_PACE_BURSTS, TA_PACE_TRACE };

struct ta_pace_piece {
    double at_s;       /* from this second on */
    double rate_per_s; /* records a second; 0: a pause (not in the last piece) */
};

struct ta_pacer_spec {
    enum ta_pace pace;
    double rate_per_s;              /* constant, poisson, bursts: > 0 and finite */
    double burst;                   /* bursts: records at once, >= 1 */
    double speed;                   /* trace: > 0 */
    struct ta_pace_piece *schedule; /* constant, poisson, bursts: replaces rate_per_s; at_s rises from 0 */
    unsigned schedule_count;
    uint64_t seed;
};

struct ta_pacer {
    struct ta_pacer_spec spec;
    uint64_t next;      /* record whose due time comes next */
    double gaps;        /* poisson: sum of the unit gaps up to record next - 1 */
    struct ta_rng rng;  /* poisson */
    unsigned piece;     /* schedule: where L was last inverted */
    double piece_start; /* L at the start of that piece */
    int64_t last_ns;    /* trace: due time given last */
};

/* Checks the spec. Errors: CONFIG (which value is wrong and what is allowed). The schedule must outlive the pacer. */
ta_status ta_pacer_init(struct ta_pacer *pacer, const struct ta_pacer_spec *spec);
void ta_pacer_seek(struct ta_pacer *pacer, uint64_t record);
/* Due time of record `next`, then moves on. `recorded_ns`: its time from the start of the recording (trace only; a time
 * that falls is taken for its predecessor's). */
int64_t ta_pacer_due_ns(struct ta_pacer *pacer, int64_t recorded_ns);

#endif
