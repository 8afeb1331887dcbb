/* import_table: one file of a CSV import with its columns: what is learned about it, and its rows as numbers; private
 * to the importers.
 *
 *     ta_table_open(&table, schema, &schema->data, path);
 *     if (ta_table_must_learn(&table)) ta_table_learn(&table);     reads it once, then rewinds
 *     ta_table_fix(&table);                                        categories have their numbers from here on
 *     while (ta_table_next(&table) == TA_OK) ta_table_values(&table, &row, &skip);
 *
 * Errors: FORMAT with file, line, column, what stands there, and the cure; those of import_rows.h.
 */
#ifndef TA_IMPORT_TABLE_H
#define TA_IMPORT_TABLE_H

#include "import_rows.h"
#include "import_schema.h"
#include "import_words.h"
#include "stream.h"

struct ta_table_column {
    const struct ta_csv_column *spec;
    struct ta_words words;  /* categories: numbered as they are stored */
    bool learned;
    int64_t fill_category;  /* -1: none */
    float fill_number;      /* NaN: none */
};

struct ta_table {
    const struct ta_csv_schema *schema;
    const struct ta_csv_table *spec;
    struct ta_import_rows rows;
    struct ta_table_column *column; /* [spec->columns_count] */
    uint64_t fields;                /* in each row */
    bool header_read;
};

ta_status ta_table_open(struct ta_table *table, const struct ta_csv_schema *schema, const struct ta_csv_table *spec,
                        const char *path);
void ta_table_close(struct ta_table *table); /* a zeroed one is fine */

bool ta_table_must_learn(const struct ta_table *table);
ta_status ta_table_learn(struct ta_table *table);
ta_status ta_table_fix(struct ta_table *table);

uint64_t ta_table_x_width(const struct ta_table *table); /* elements of x that its columns make */
uint64_t ta_table_targets(const struct ta_table *table); /* columns of values to predict */
const struct ta_table_column *ta_table_class_column(const struct ta_table *table); /* NULL: none */
bool ta_table_has_time(const struct ta_table *table);

/* The next row (its header is passed over, and checked against the schema); END: no more. */
ta_status ta_table_next(struct ta_table *table);

/* The row's numbers: x (of schema->element), class, value, time_ns (absolute), as far as the table has them. *skip: a
 * value is missing and the schema says to leave such rows out. */
ta_status ta_table_values(const struct ta_table *table, const struct ta_stream_block *row, bool *skip);

#endif
