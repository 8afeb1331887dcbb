/* import_values: what import_table.c and import_values.c share. */
#ifndef TA_IMPORT_VALUES_H
#define TA_IMPORT_VALUES_H

#include "import_table.h"

/* Is this text one of those that stand for "not known"? */
bool ta_table_is_missing(const struct ta_csv_schema *schema, const char *text);

/* Elements of x that one field of the column makes: a one-hot category one each, anything else 1. */
static inline uint64_t ta_table_elements(const struct ta_table_column *column) {
    bool onehot = column->spec->type == TA_COLUMN_CATEGORY && column->spec->encode == TA_ENCODE_ONEHOT;
    return onehot ? column->words.count : 1;
}

#endif
