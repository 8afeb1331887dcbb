/* drift_report: the truth about drift that was made to order (stream.inject_drift), and how well a run coped with it.
 *
 * RUN_DIR/drift_truth.json is a list of {record, width, type, begins}, in the order of records: where the stream
 * changes in the run (a stream that is passed through again goes back to where it began, then changes again). The
 * alarms are the `drift` lines of the metrics; of those of one change (cycle.h), which several replicas may have raised
 * at once, the earliest record counts.
 *
 * A run has recovered from a change where accuracy over metrics.window records, of all replicas together, is back to
 * TA_DRIFT_RECOVERED of what it was before (recovery.h; to a tenth of the window). In the summary, and so in the
 * metrics and the manifest, `drift` holds
 *     made, found, missed, false_alarms, delay           delay: mean, in records
 *     recovered, recovery, recovery_s                    how many of those made; means over them, in records and due seconds
 *     fraction                                           TA_DRIFT_RECOVERED
 *     changes    [{record, width, type, begins, delay, before, recovery, recovery_s, trained}], at most 256 of them; null:
 *                never, or not known; before: accuracy; trained: on so many records until the next change
 */
#ifndef TA_DRIFT_REPORT_H
#define TA_DRIFT_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "alarms.h"
#include "inject.h"
#include "recovery.h"
#include "run_config.h"
#include "run_dir.h"

#define TA_DRIFT_RECOVERED 0.95

struct ta_drift_change {
    struct ta_inject_truth truth;
    enum ta_inject_type type;
    uint64_t delay;              /* UINT64_MAX: missed */
    struct ta_recovery recovery; /* of classes only */
};

struct ta_drift_report {
    size_t made;                     /* changes among the records of the run; 0: none were made */
    size_t alarms;
    struct ta_alarm_score score;
    size_t recovered;
    double recovery, recovery_s;     /* means over those recovered; NaN: none was, or no due times are known */
    struct ta_drift_change *changes; /* [made]; owned */
};

/* `records`: of one pass (UINT64_MAX: no end); `run_records`: of the run; 0: no end. Writes nothing where no drift is
 * made. At most 4096 changes are listed. Errors: IO, NO_MEMORY. */
ta_status ta_drift_truth_write(const struct ta_run_dir *dir, const struct ta_stream_spec *stream, uint64_t records,
                               uint64_t run_records);
/* The first `seen` records against the run's metrics. Errors: IO, NO_MEMORY; *out may be freed after any of them. */
ta_status ta_drift_report_make(const struct ta_run_dir *dir, const struct ta_run_config *config, uint64_t records,
                               uint64_t seen, struct ta_drift_report *out);
void ta_drift_report_free(struct ta_drift_report *report); /* zeroed: fine */

/* Two lines for people; the object described above (NULL when out of memory). */
void ta_drift_report_print(const struct ta_drift_report *report, FILE *out);
json_t *ta_drift_report_json(const struct ta_drift_report *report);

#endif
