/* alarms: how well a detector did, once the truth is known: true and false alarms, misses, delay.
 *
 * The rule of the drift literature (Bifet; Barros, Santos, Information Sciences 451:348 (2018); as in the OPTWIN
 * paper): an alarm is true when it is the first one at or behind a true drift and before the next one (or the end); its
 * delay is the distance in records. Every other alarm is false. A drift without a true alarm was missed. `within`, when
 * given, makes an alarm that comes later than so many records behind its drift false, and the drift missed.
 *
 * Pure functions; one thread.
 */
#ifndef TA_ALARMS_H
#define TA_ALARMS_H

#include <stddef.h>
#include <stdint.h>

struct ta_alarm_score {
    uint32_t drifts, found, missed, false_alarms;
    double delay;       /* mean over those found, records; NaN: none was */
    uint64_t worst_delay;
};

/* Both lists rise. `within`: 0: no limit. `delays`: [n_drifts], UINT64_MAX for a missed one; may be NULL. */
void ta_alarms_score(const uint64_t *drifts, size_t n_drifts, const uint64_t *alarms, size_t n_alarms, uint64_t within,
                     struct ta_alarm_score *out, uint64_t *delays);

#endif
