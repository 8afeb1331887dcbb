/* predictions_columns: the columns, once for all who write them. */
#include "predictions_columns.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ta_predictions_columns(const struct ta_predictions_kind *k,
                            struct ta_predictions_column out[TA_PREDICTIONS_FIELDS]) {
    static const uint64_t no_record = UINT64_MAX;
    static const int64_t no_time = INT64_MIN;
    static const int32_t no_class = -1;
    static const float no_value = NAN;
    uint32_t targets = k->targets > 0 ? k->targets : k->outputs, one = 1;
    enum ta_h5_type type = k->classes ? TA_H5_I32 : TA_H5_F32;
    const char *units = k->classes ? "class" : "1";
    const void *none = k->classes ? (const void *)&no_class : &no_value;
    const struct ta_predictions_column columns[TA_PREDICTIONS_FIELDS] = {
        {"/record", "record", "number of the record in the run", TA_H5_U64, one, &no_record},
        {"/due_ns", "ns", "when the record was due, from the start of the run", TA_H5_I64, one, &no_time},
        {"/answered_ns", "ns", "when the prediction stood, on the same clock", TA_H5_I64, one, &no_time},
        {"/version", "steps", "steps of all replicas in the weights that predicted", TA_H5_U64, one, &no_record},
        {"/prediction", units, "what was predicted (class -1: not a number)", type, k->classes ? 1 : k->outputs, none},
        {"/confidence", "1", "the model's output for that class", TA_H5_F32, k->classes, &no_value},
        {"/label", units, "the label (class -1, value NaN: none)", type, k->classes ? 1 : targets, none},
    };
    memcpy(out, columns, sizeof columns);
}

ta_status ta_predictions_describe(struct ta_h5 *file, const char *name, const struct ta_predictions_column *column) {
    ta_status status = ta_h5_attr_set_text(file, name, "units", column->units);
    return status == TA_OK ? ta_h5_attr_set_text(file, name, "description", column->description) : status;
}

ta_status ta_predictions_path(char *out, size_t bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, bytes, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < bytes) return TA_OK;
    return ta_fail(TA_IO, "%.200s...: the path is too long", out);
}
