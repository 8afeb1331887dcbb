/* predictions_columns: which columns a log of predictions has. Shared by those that write one; private to this
 * folder. */
#ifndef TA_PREDICTIONS_COLUMNS_H
#define TA_PREDICTIONS_COLUMNS_H

#include "h5.h"
#include "predictions.h"

enum ta_predictions_field {
    TA_PREDICTIONS_RECORD,
    TA_PREDICTIONS_DUE,
    TA_PREDICTIONS_ANSWERED,
    TA_PREDICTIONS_VERSION,
    TA_PREDICTIONS_PREDICTION,
    TA_PREDICTIONS_CONFIDENCE,
    TA_PREDICTIONS_LABEL,
    TA_PREDICTIONS_FIELDS
};

struct ta_predictions_column {
    const char *name, *units, *description;
    enum ta_h5_type type;
    uint32_t width;    /* elements a row; 0: this log has no such column */
    const void *fill;  /* an element that means: there is no such row */
};

void ta_predictions_columns(const struct ta_predictions_kind *kind,
                            struct ta_predictions_column out[TA_PREDICTIONS_FIELDS]);

/* Units and description of a column that is there as `name`. */
ta_status ta_predictions_describe(struct ta_h5 *file, const char *name, const struct ta_predictions_column *column);

/* A path of a run; errors: IO (it is too long). */
ta_status ta_predictions_path(char *out, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
