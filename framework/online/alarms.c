/* alarms: one walk along both lists. */
#include "alarms.h"

#include <math.h>
#include <stdbool.h>

void ta_alarms_score(const uint64_t *drifts, size_t n_drifts, const uint64_t *alarms, size_t n_alarms, uint64_t within,
                     struct ta_alarm_score *out, uint64_t *delays) {
    *out = (struct ta_alarm_score){.drifts = (uint32_t)n_drifts};
    double sum = 0;
    size_t a = 0;
    while (a < n_alarms && (n_drifts == 0 || alarms[a] < drifts[0])) a++, out->false_alarms++;
    for (size_t d = 0; d < n_drifts; d++) {
        bool found = false;
        uint64_t delay = UINT64_MAX;
        for (; a < n_alarms && (d + 1 == n_drifts || alarms[a] < drifts[d + 1]); a++) {
            bool in_time = within == 0 || alarms[a] - drifts[d] <= within;
            if (found || !in_time) {
                out->false_alarms++;
                continue;
            }
            found = true;
            delay = alarms[a] - drifts[d];
        }
        if (delays != NULL) delays[d] = delay;
        out->found += found;
        if (!found) continue;
        sum += (double)delay;
        if (delay > out->worst_delay) out->worst_delay = delay;
    }
    out->missed = out->drifts - out->found;
    out->delay = out->found > 0 ? sum / out->found : NAN;
}
