/* pacer: the integral of the rate and its inverse. Knows nothing of clocks: due times are counted from 0. */
#include "pacer.h"

#include <math.h>
#include <stdbool.h>

#include "clock.h"

enum { POISSON_STREAM = 0x70616365 }; /* "pace": keeps these draws apart from all others of the run's seed */

static ta_status check_schedule(const struct ta_pacer_spec *spec) {
    const struct ta_pace_piece *piece = spec->schedule;
    for (unsigned i = 0; i < spec->schedule_count; i++) {
        if (!isfinite(piece[i].rate_per_s) || piece[i].rate_per_s < 0)
            return ta_fail(TA_CONFIG, "schedule[%u]: rate is %g; give records a second, 0 for a pause", i,
                           piece[i].rate_per_s);
        if (!isfinite(piece[i].at_s) || (i == 0 && piece[i].at_s != 0))
            return ta_fail(TA_CONFIG, "schedule[%u]: starts at second %g; the first piece starts at 0", i,
                           piece[i].at_s);
        if (i > 0 && piece[i].at_s <= piece[i - 1].at_s)
            return ta_fail(TA_CONFIG, "schedule[%u]: starts at second %g, the piece before it at %g; they must rise", i,
                           piece[i].at_s, piece[i - 1].at_s);
    }
    if (piece[spec->schedule_count - 1].rate_per_s == 0)
        return ta_fail(TA_CONFIG,
                       "schedule[%u]: the last piece has rate 0, so the stream would never end; give it a rate",
                       spec->schedule_count - 1);
    return TA_OK;
}

ta_status ta_pacer_init(struct ta_pacer *pacer, const struct ta_pacer_spec *spec) {
    *pacer = (struct ta_pacer){.spec = *spec, .rng = ta_rng_make(spec->seed, POISSON_STREAM)};
    bool rated = spec->pace == TA_PACE_CONSTANT || spec->pace == TA_PACE_POISSON || spec->pace == TA_PACE_BURSTS;
    if (!rated && spec->pace != TA_PACE_MAX && spec->pace != TA_PACE_TRACE)
        return ta_fail(TA_CONFIG, "pace %d is unknown; take max, constant, poisson, bursts or trace", (int)spec->pace);
    if (spec->pace == TA_PACE_TRACE && !(isfinite(spec->speed) && spec->speed > 0))
        return ta_fail(TA_CONFIG, "pace trace: speed is %g; it must be above 0 (1 is as recorded)", spec->speed);
    if (spec->pace == TA_PACE_BURSTS && !(isfinite(spec->burst) && spec->burst >= 1))
        return ta_fail(TA_CONFIG, "pace bursts: burst is %g records; it must be at least 1", spec->burst);
    if (rated && spec->schedule_count > 0) return check_schedule(spec);
    if (rated && !(isfinite(spec->rate_per_s) && spec->rate_per_s > 0))
        return ta_fail(TA_CONFIG, "rate is %g records a second; it must be above 0", spec->rate_per_s);
    return TA_OK;
}

static double gap(struct ta_pacer *pacer) { return ta_rng_exponential(&pacer->rng); }

void ta_pacer_seek(struct ta_pacer *pacer, uint64_t record) {
    if (record < pacer->next) {
        struct ta_rng *rng = &pacer->rng;
        *rng = ta_rng_make(rng->seed, rng->stream);
        pacer->next = 0;
        pacer->gaps = 0;
        pacer->piece = 0;
        pacer->piece_start = 0;
        pacer->last_ns = 0;
    }
    if (pacer->spec.pace == TA_PACE_POISSON)
        for (; pacer->next < record; pacer->next++) pacer->gaps += gap(pacer);
    pacer->next = record;
}

static int64_t clamped_ns(long double ns) {
    if (!(ns < (long double)TA_PACER_NEVER_NS)) return TA_PACER_NEVER_NS;
    return ns > 0 ? (int64_t)ns : 0;
}

/* The time at which `mass` records were expected. `mass` never falls between two seeks backwards. */
static int64_t invert(struct ta_pacer *pacer, long double mass) {
    const struct ta_pacer_spec *spec = &pacer->spec;
    if (spec->schedule_count == 0) return clamped_ns(mass * TA_NS_PER_S / (long double)spec->rate_per_s);
    const struct ta_pace_piece *piece = spec->schedule + pacer->piece;
    while (pacer->piece + 1 < spec->schedule_count) {
        double end = pacer->piece_start + (piece[1].at_s - piece[0].at_s) * piece->rate_per_s;
        if (mass < (long double)end) break;
        pacer->piece_start = end;
        pacer->piece++;
        piece++;
    }
    long double into_s = (mass - (long double)pacer->piece_start) / (long double)piece->rate_per_s;
    long double at_s = (long double)piece->at_s + into_s;
    bool last = pacer->piece + 1 == spec->schedule_count;
    if (!last && at_s > (long double)piece[1].at_s)
        at_s = piece[1].at_s; /* rounding must not overtake the next piece */
    return clamped_ns(at_s * TA_NS_PER_S);
}

int64_t ta_pacer_due_ns(struct ta_pacer *pacer, int64_t recorded_ns) {
    const struct ta_pacer_spec *spec = &pacer->spec;
    uint64_t record = pacer->next++;
    switch (spec->pace) {
    case TA_PACE_CONSTANT: return invert(pacer, record);
    case TA_PACE_POISSON: pacer->gaps += gap(pacer); return invert(pacer, (long double)pacer->gaps);
    case TA_PACE_BURSTS: return invert(pacer, floor((double)record / spec->burst) * (long double)spec->burst);
    case TA_PACE_TRACE: {
        int64_t due = clamped_ns((long double)recorded_ns / (long double)spec->speed);
        if (due > pacer->last_ns) pacer->last_ns = due;
        return pacer->last_ns;
    }
    case TA_PACE_MAX: break;
    }
    return 0;
}
