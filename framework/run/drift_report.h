/* drift_report: the truth about drift that was made to order (stream.inject_drift), and how well a run found it.
 *
 * RUN_DIR/drift_truth.json is a list of {record, width, type, begins}, in the order of records: where the stream changes
 * in the run (a stream that is passed through again changes again). The alarms are the `drift` lines of the metrics; of
 * those of one change (cycle.h), which several replicas may have raised at once, the earliest record counts.
 */
#ifndef TA_DRIFT_REPORT_H
#define TA_DRIFT_REPORT_H

#include "alarms.h"
#include "run_dir.h"
#include "stream.h"

struct ta_drift_report {
    size_t made;                /* changes among the records of the run; 0: none were made */
    size_t alarms;
    struct ta_alarm_score score;
};

/* `records`: of one pass (UINT64_MAX: no end); `run_records`: of the run; 0: no end. Writes nothing where no drift is made.
 * At most 4096 changes are listed. Errors: IO, NO_MEMORY. */
ta_status ta_drift_truth_write(const struct ta_run_dir *dir, const struct ta_stream_spec *stream, uint64_t records,
                               uint64_t run_records);
/* The first `seen` records against the alarms in the run's metrics. Errors: IO, NO_MEMORY. */
ta_status ta_drift_report_make(const struct ta_run_dir *dir, const struct ta_stream_spec *stream, uint64_t records,
                               uint64_t seen, struct ta_drift_report *out);

#endif
