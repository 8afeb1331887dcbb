/* drift_report_internal: what a run's metrics say of drift, read back. Of drift_report alone. */
#ifndef TA_DRIFT_REPORT_INTERNAL_H
#define TA_DRIFT_REPORT_INTERNAL_H

#include "recovery.h"
#include "run_dir.h"

enum { TA_DRIFT_MOST = 4096 };

struct ta_drift_lines {
    uint64_t alarm[TA_DRIFT_MOST]; /* earliest record of each change, rising */
    size_t alarms;
    struct ta_stretch *stretches; /* sorted; owned */
    size_t n_stretches;
};

/* All nodes' files. Errors: IO, NO_MEMORY; `out` is closed by the caller after any of them. */
ta_status ta_drift_lines_read(const struct ta_run_dir *dir, struct ta_drift_lines *out);
void ta_drift_lines_close(struct ta_drift_lines *lines);

#endif
