/* import_schema: what the columns of a table mean, written in YAML.
 *
 *     delimiter: ","               one character, `tab`, or `blank` (any run of spaces and tabs). Default ","
 *     header: true                 the first row holds the names of the columns, as below. Default false
 *     missing_values: ["", "?"]    what stands for "not known"; default: an empty field
 *     element: float32             of x: float32 or uint8 (whole numbers 0 to 255). Default float32
 *     shape: [28, 28, 1]           of x, channels last; default: a vector
 *     scale: 0.1                   x as a model sees it is x * scale + offset; default 1 and 0 (uint8: 1/255)
 *     offset: 0
 *     columns:                     in the order of the file, all of them
 *       - name: date
 *         role: ignore             x: a feature; y: a label; t: the time of the record; ignore. Must be given
 *       - name: day
 *         role: x
 *         type: category           number or category. Default number
 *         categories: [mon, tue]   default: learned from the file, sorted (by value if all are numbers, else bytewise)
 *         encode: onehot           x only: onehot (one element each) or index (its number). Default onehot
 *         missing: fill            error; skip: leave the row out; fill: take `fill`. Default error
 *         fill: mon                default: y: no label; x: must be given
 *       - name: pixel
 *         role: x
 *         repeat: 784              so many columns of this kind side by side. Default 1
 *       - name: when
 *         role: t                  rows must be in the order of time; stored from the first row on, in ns
 *         format: "%Y-%m-%d %H:%M:%S"   strptime, taken as UTC, with ".123" behind it if need be; or `seconds`,
 *                                  `milliseconds`, `microseconds`, `nanoseconds`: a number. Default seconds
 *       - name: class
 *         role: y
 *         type: category           one column: classes; `number`, one or more columns: values to predict
 *         names: [down, up]        names of the classes; default: the categories
 *     labels:                      when a second file holds the labels: its own delimiter, header and columns, which
 *                                  have the roles y and ignore
 *
 * Errors: CONFIG (file, place, what is allowed), IO, NO_MEMORY.
 */
#ifndef TA_IMPORT_SCHEMA_H
#define TA_IMPORT_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

enum ta_column_role { TA_ROLE_UNKNOWN, TA_ROLE_X, TA_ROLE_Y, TA_ROLE_T, TA_ROLE_IGNORE };
enum ta_column_type { TA_COLUMN_NUMBER, TA_COLUMN_CATEGORY };
enum ta_column_encode { TA_ENCODE_ONEHOT, TA_ENCODE_INDEX };
enum ta_column_missing { TA_MISSING_ERROR, TA_MISSING_SKIP, TA_MISSING_FILL };
enum ta_csv_element { TA_CSV_F32, TA_CSV_U8 };

struct ta_csv_column {
    char *name;
    enum ta_column_role role;
    enum ta_column_type type;
    enum ta_column_encode encode;
    enum ta_column_missing missing;
    char *fill;
    char *format;
    char **categories;
    unsigned categories_count;
    char **names;
    unsigned names_count;
    uint32_t repeat; /* 1 or more after loading */
};

struct ta_csv_table {
    char *delimiter;
    bool header;
    struct ta_csv_column *columns;
    unsigned columns_count;
};

struct ta_csv_schema {
    struct ta_csv_table data; /* its fields stand at the top of the file */
    struct ta_csv_table *labels;
    char **missing_values;
    unsigned missing_values_count;
    enum ta_csv_element element;
    uint32_t *shape;
    unsigned shape_count;
    double scale, offset; /* scale 0: the default */
};

/* Freed by ta_csv_schema_free. */
ta_status ta_csv_schema_load(const char *path, struct ta_csv_schema **out);
void ta_csv_schema_free(struct ta_csv_schema *schema); /* NULL is fine */

/* '\0' means `blank`. Checked by load. */
char ta_csv_delimiter(const struct ta_csv_table *table);

uint64_t ta_csv_fields(const struct ta_csv_table *table); /* columns of the file, repeats counted */

#endif
