/* import_values: the cells of one row -> x, class, values, time. */
#include "import_values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "import_cell.h"

/* Where the next number of each kind goes. */
struct cursor {
    const struct ta_table *table;
    const struct ta_stream_block *row;
    size_t field, x, value;
    bool skip;
};

static ta_status bad_cell(const struct cursor *at, const struct ta_table_column *column, const char *what) {
    const struct ta_import_rows *rows = &at->table->rows;
    return ta_fail(TA_FORMAT, "%s:%" PRIu64 ": column %zu '%s': '%.64s' %s", rows->source.path, rows->line,
                   at->field + 1, column->spec->name, ta_import_rows_field(rows, at->field), what);
}

static void put_x(struct cursor *at, float number) {
    if (at->table->schema->element == TA_CSV_U8)
        ((uint8_t *)at->row->x)[at->x++] = (uint8_t)number;
    else
        ((float *)at->row->x)[at->x++] = number;
}

static void put_x_category(struct cursor *at, const struct ta_table_column *column, int64_t category) {
    if (column->spec->encode == TA_ENCODE_INDEX) {
        put_x(at, (float)category);
        return;
    }
    for (int64_t i = 0; i < (int64_t)column->words.count; i++) put_x(at, i == category);
}

static ta_status read_category(const struct cursor *at, const struct ta_table_column *column, int64_t *category) {
    const char *text = ta_import_rows_field(&at->table->rows, at->field);
    *category = ta_words_find(&column->words, text, strlen(text));
    if (*category < 0) return bad_cell(at, column, "is not one of the column's categories: add it to the schema");
    return TA_OK;
}

static ta_status read_number(const struct cursor *at, const struct ta_table_column *column, float *number) {
    const char *text = ta_import_rows_field(&at->table->rows, at->field);
    if (!ta_cell_number(text, number))
        return bad_cell(at, column,
                        "is not a finite number (if it means \"not known\", list it in 'missing_values' and "
                        "say what to do with 'missing')");
    bool byte = at->table->schema->element == TA_CSV_U8 && column->spec->role == TA_ROLE_X;
    if (byte && !(*number >= 0 && *number <= 255 && *number == floorf(*number)))
        return bad_cell(at, column, "is not a whole number from 0 to 255, as 'element: uint8' wants it");
    return TA_OK;
}

/* The field is not known. */
static ta_status take_missing(struct cursor *at, const struct ta_table_column *column) {
    const struct ta_csv_column *spec = column->spec;
    switch (spec->missing) {
    case TA_MISSING_SKIP: at->skip = true; return TA_OK;
    case TA_MISSING_FILL: break;
    default:
        return bad_cell(at, column,
                        "means that the value is missing: say 'missing: skip' or 'missing: fill' in the schema");
    }
    if (spec->role == TA_ROLE_X && spec->type == TA_COLUMN_CATEGORY)
        put_x_category(at, column, column->fill_category);
    else if (spec->role == TA_ROLE_X)
        put_x(at, column->fill_number);
    else if (spec->type == TA_COLUMN_CATEGORY)
        *at->row->class = (int32_t)column->fill_category; /* -1: no label */
    else
        at->row->value[at->value++] = column->fill_number; /* NaN: no label */
    return TA_OK;
}

static ta_status take_time(struct cursor *at, const struct ta_table_column *column) {
    const char *text = ta_import_rows_field(&at->table->rows, at->field);
    if (!ta_cell_time(text, column->spec->format, at->row->time_ns))
        return bad_cell(at, column, "does not fit the time format of the schema");
    return TA_OK;
}

static ta_status take_cell(struct cursor *at, const struct ta_table_column *column) {
    const struct ta_csv_column *spec = column->spec;
    if (ta_table_is_missing(at->table->schema, ta_import_rows_field(&at->table->rows, at->field)))
        return take_missing(at, column);
    if (spec->role == TA_ROLE_T) return take_time(at, column);
    int64_t category = 0;
    float number = 0;
    bool is_category = spec->type == TA_COLUMN_CATEGORY;
    ta_status status = is_category ? read_category(at, column, &category) : read_number(at, column, &number);
    if (status != TA_OK) return status;
    if (spec->role == TA_ROLE_X && is_category)
        put_x_category(at, column, category);
    else if (spec->role == TA_ROLE_X)
        put_x(at, number);
    else if (is_category)
        *at->row->class = (int32_t)category;
    else
        at->row->value[at->value++] = number;
    return TA_OK;
}

ta_status ta_table_values(const struct ta_table *table, const struct ta_stream_block *row, bool *skip) {
    struct cursor at = {.table = table, .row = row};
    ta_status status = TA_OK;
    for (unsigned i = 0; status == TA_OK && i < table->spec->columns_count; i++) {
        const struct ta_table_column *column = &table->column[i];
        if (column->spec->role == TA_ROLE_IGNORE) {
            at.field += column->spec->repeat;
            continue;
        }
        for (uint32_t r = 0; status == TA_OK && !at.skip && r < column->spec->repeat; r++, at.field++)
            status = take_cell(&at, column);
        if (at.skip) break;
    }
    if (at.skip) *skip = true;
    return status;
}
