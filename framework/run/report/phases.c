/* phases: shares and advice. */
#include "phases.h"

#include <stdio.h>

const char *const ta_phase_names[TA_PHASES] = {"stream", "predict", "compute", "apply", "put", "wait", "rest", "idle"};

static const double LEAST = 0.005, ENOUGH = 0.8, WORTH = 0.1;

static const char *const cures[TA_PHASES] = {
    [TA_PHASE_STREAM] = "the reader is behind: raise stream.ring, take operators out, or put the file on a faster disk",
    [TA_PHASE_APPLY] = "summing up what the others have sent: raise stream.batch, so that there are fewer steps",
    [TA_PHASE_PUT] = "updates and puts: raise stream.batch, or look at the link with tensair bench window",
    [TA_PHASE_WAIT] = "replicas wait for the slowest: raise exchange.max_staleness, or use exchange.type live",
    [TA_PHASE_REST] = "checkpoints, or waiting for the last replica in the end: raise checkpoint.every_seconds, or "
                      "give all the same to do",
    [TA_PHASE_IDLE] = "no batch was ready: the reader is behind: raise stream.ring, or put the file on a faster disk",
};

static double sum_of(const double times[TA_PHASES]) {
    double sum = 0;
    for (int i = 0; i < TA_PHASES; i++) sum += times[i] > 0 ? times[i] : 0; /* NaN: not known */
    return sum;
}

void ta_phases_print(const double times[TA_PHASES], char *out, size_t bytes) {
    double sum = sum_of(times);
    bool told[TA_PHASES] = {false};
    size_t used = 0;
    out[0] = '\0';
    for (int n = 0; n < TA_PHASES && sum > 0; n++) {
        int most = -1;
        for (int i = 0; i < TA_PHASES; i++)
            if (!told[i] && times[i] > 0 && (most < 0 || times[i] > times[most])) most = i;
        if (most < 0 || times[most] / sum < LEAST || used >= bytes) return;
        told[most] = true;
        used += (size_t)snprintf(out + used, bytes - used, "%s%s %.0f %%", n > 0 ? ", " : "", ta_phase_names[most],
                                 100 * times[most] / sum);
    }
}

void ta_phases_advise(const double times[TA_PHASES], bool paced, char *out, size_t bytes) {
    double sum = sum_of(times);
    int most = -1;
    out[0] = '\0';
    if (!(sum > 0)) return;
    double useful = (times[TA_PHASE_COMPUTE] > 0 ? times[TA_PHASE_COMPUTE] : 0) +
                    (times[TA_PHASE_PREDICT] > 0 ? times[TA_PHASE_PREDICT] : 0);
    for (int i = 0; i < TA_PHASES; i++)
        if (cures[i] != NULL && times[i] > 0 && (most < 0 || times[i] > times[most])) most = i;
    if (most < 0 || useful / sum >= ENOUGH || times[most] / sum < WORTH || (paced && most == TA_PHASE_IDLE)) return;
    snprintf(out, bytes, "%s %.0f %%: %s", ta_phase_names[most], 100 * times[most] / sum, cures[most]);
}
