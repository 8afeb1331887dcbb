/* predictions_logs: which logs a run has. Private to this folder. */
#ifndef TA_PREDICTIONS_LOGS_H
#define TA_PREDICTIONS_LOGS_H

#include "predictions_columns.h"

enum { TA_PREDICTIONS_PATH = 4096 };

struct ta_predictions_log {
    uint32_t life, rank;
};

struct ta_predictions_logs {
    struct ta_predictions_log *log; /* [count], by life, then rank; owned */
    size_t count;
};

/* Those in run_dir/predictions; none when there is no such folder. Freeing after a failure is fine. */
ta_status ta_predictions_logs_find(const char *run_dir, struct ta_predictions_logs *out);
void ta_predictions_logs_free(struct ta_predictions_logs *logs);

#endif
