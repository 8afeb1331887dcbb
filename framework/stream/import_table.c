/* import_table: columns of one file, their categories, and where a row stops being acceptable. Turning cells into
 * numbers is in import_values.c. */
#include "import_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "import_cell.h"
#include "import_values.h"
#include "mem.h"

bool ta_table_is_missing(const struct ta_csv_schema *schema, const char *text) {
    if (schema->missing_values_count == 0) return *text == '\0';
    for (unsigned i = 0; i < schema->missing_values_count; i++)
        if (strcmp(text, schema->missing_values[i]) == 0) return true;
    return false;
}

ta_status ta_table_open(struct ta_table *table, const struct ta_csv_schema *schema, const struct ta_csv_table *spec,
                        const char *path) {
    memset(table, 0, sizeof *table);
    table->schema = schema;
    table->spec = spec;
    table->fields = ta_csv_fields(spec);
    ta_status status = TA_NEW(&table->column, spec->columns_count, "columns of a table");
    if (status == TA_OK) status = ta_import_rows_open(&table->rows, path, ta_csv_delimiter(spec));
    for (unsigned i = 0; status == TA_OK && i < spec->columns_count; i++) {
        const struct ta_csv_column *column = &spec->columns[i];
        table->column[i].spec = column;
        if (column->type != TA_COLUMN_CATEGORY || column->role == TA_ROLE_IGNORE) continue;
        table->column[i].learned = column->categories_count == 0;
        for (unsigned k = 0; status == TA_OK && k < column->categories_count; k++) {
            uint32_t number;
            status =
                ta_words_add(&table->column[i].words, column->categories[k], strlen(column->categories[k]), &number);
            if (status == TA_OK && number != k)
                status = ta_fail(TA_CONFIG, "column '%s': category '%s' stands twice in the schema", column->name,
                                 column->categories[k]);
        }
    }
    if (status != TA_OK) ta_table_close(table);
    return status;
}

void ta_table_close(struct ta_table *table) {
    for (unsigned i = 0; table->column != NULL && i < table->spec->columns_count; i++)
        ta_words_free(&table->column[i].words);
    ta_mem_free(table->column);
    ta_import_rows_close(&table->rows);
    memset(table, 0, sizeof *table);
}

/* ---- rows ---- */

static ta_status check_header(const struct ta_table *table) {
    size_t field = 0;
    for (unsigned i = 0; i < table->spec->columns_count; field += table->spec->columns[i++].repeat) {
        const struct ta_csv_column *column = &table->spec->columns[i];
        const char *found = ta_import_rows_field(&table->rows, field);
        if (column->repeat == 1 && strcmp(found, column->name) != 0)
            return ta_fail(TA_FORMAT,
                           "%s:%" PRIu64 ": column %zu is called '%.64s', but '%s' in the schema: correct the schema",
                           table->rows.source.path, table->rows.line, field + 1, found, column->name);
    }
    return TA_OK;
}

static ta_status next_row(struct ta_table *table) {
    ta_status status = ta_import_rows_next(&table->rows);
    if (status == TA_OK && table->rows.fields != table->fields)
        return ta_fail(TA_FORMAT,
                       "%s:%" PRIu64 ": %zu columns, but the schema describes %" PRIu64
                       ": correct the row, the schema or its delimiter",
                       table->rows.source.path, table->rows.line, table->rows.fields, table->fields);
    return status;
}

ta_status ta_table_next(struct ta_table *table) {
    ta_status status = next_row(table);
    if (status != TA_OK || !table->spec->header || table->header_read) return status;
    table->header_read = true;
    status = check_header(table);
    return status == TA_OK ? next_row(table) : status;
}

/* ---- learning ---- */

bool ta_table_must_learn(const struct ta_table *table) {
    for (unsigned i = 0; i < table->spec->columns_count; i++)
        if (table->column[i].learned) return true;
    return false;
}

static ta_status learn_row(struct ta_table *table) {
    size_t field = 0;
    for (unsigned i = 0; i < table->spec->columns_count; i++) {
        struct ta_table_column *column = &table->column[i];
        for (uint32_t r = 0; r < column->spec->repeat; r++, field++) {
            const char *text = ta_import_rows_field(&table->rows, field);
            if (!column->learned || ta_table_is_missing(table->schema, text)) continue;
            ta_status status = ta_words_add(&column->words, text, strlen(text), NULL);
            if (status != TA_OK) return status;
            if (column->words.count > TA_IMPORT_CATEGORIES_MOST)
                return ta_fail(TA_FORMAT,
                               "%s:%" PRIu64 ": column %zu '%s' has more than %d different values: is it a number? "
                               "say 'type: number' in the schema",
                               table->rows.source.path, table->rows.line, field + 1, column->spec->name,
                               TA_IMPORT_CATEGORIES_MOST);
        }
    }
    return TA_OK;
}

struct sorting {
    const struct ta_words *words;
    bool numbers;
};

static int compare(const void *a, const void *b, void *context) {
    const struct sorting *sorting = context;
    const char *x = ta_words_text(sorting->words, *(const uint32_t *)a);
    const char *y = ta_words_text(sorting->words, *(const uint32_t *)b);
    if (sorting->numbers) {
        double u = strtod(x, NULL), v = strtod(y, NULL);
        if (u != v) return u < v ? -1 : 1;
    }
    return strcmp(x, y);
}

/* Numbered in order of value, so that the same table in another order of rows gives the same numbers. */
static ta_status sort_words(struct ta_words *words) {
    if (words->count == 0) return TA_OK;
    struct sorting sorting = {.words = words, .numbers = true};
    uint32_t *order;
    ta_status status = TA_NEW(&order, words->count, "order of categories");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < words->count; i++) {
        float value;
        order[i] = (uint32_t)i;
        if (!ta_cell_number(ta_words_text(words, i), &value)) sorting.numbers = false;
    }
    qsort_r(order, words->count, sizeof *order, compare, &sorting);
    struct ta_words sorted = {0};
    status = ta_words_select(&sorted, words, order, words->count);
    ta_mem_free(order);
    if (status != TA_OK) return status;
    ta_words_free(words);
    *words = sorted;
    return TA_OK;
}

ta_status ta_table_learn(struct ta_table *table) {
    ta_status status;
    while ((status = ta_table_next(table)) == TA_OK) {
        status = learn_row(table);
        if (status != TA_OK) return status;
    }
    if (status != TA_END) return status;
    status = TA_OK;
    for (unsigned i = 0; status == TA_OK && i < table->spec->columns_count; i++)
        if (table->column[i].learned) status = sort_words(&table->column[i].words);
    table->header_read = false;
    return status == TA_OK ? ta_import_rows_rewind(&table->rows) : status;
}

/* ---- what is known once categories are ---- */

static ta_status fix_column(const struct ta_table *table, struct ta_table_column *column) {
    const char *path = table->rows.source.path;
    const struct ta_csv_column *spec = column->spec;
    column->fill_category = -1;
    column->fill_number = NAN;
    if (spec->role == TA_ROLE_IGNORE) return TA_OK;
    bool category = spec->type == TA_COLUMN_CATEGORY;
    if (category && column->words.count == 0)
        return ta_fail(TA_FORMAT, "%s: column '%s' holds no value at all", path, spec->name);
    if (spec->names_count > 0 && spec->names_count != column->words.count)
        return ta_fail(TA_CONFIG, "%s: column '%s' has %zu categories, but the schema has %u names for them", path,
                       spec->name, column->words.count, spec->names_count);
    bool byte = table->schema->element == TA_CSV_U8 && spec->role == TA_ROLE_X;
    if (byte && category && spec->encode == TA_ENCODE_INDEX && column->words.count > 256)
        return ta_fail(TA_CONFIG,
                       "%s: column '%s' has %zu categories, more than a uint8 can number: use 'element: float32'",
                       path, spec->name, column->words.count);
    if (spec->fill == NULL) return TA_OK;
    if (category) column->fill_category = ta_words_find(&column->words, spec->fill, strlen(spec->fill));
    if (category ? column->fill_category < 0 : !ta_cell_number(spec->fill, &column->fill_number))
        return ta_fail(TA_CONFIG, "%s: column '%s': 'fill: %s' is not %s", path, spec->name, spec->fill,
                       category ? "one of its categories" : "a number");
    if (byte && !category && !(column->fill_number >= 0 && column->fill_number <= 255))
        return ta_fail(TA_CONFIG, "%s: column '%s': 'fill: %s' does not fit into a uint8", path, spec->name,
                       spec->fill);
    return TA_OK;
}

ta_status ta_table_fix(struct ta_table *table) {
    ta_status status = TA_OK;
    for (unsigned i = 0; status == TA_OK && i < table->spec->columns_count; i++)
        status = fix_column(table, &table->column[i]);
    return status;
}

uint64_t ta_table_x_width(const struct ta_table *table) {
    uint64_t width = 0;
    for (unsigned i = 0; i < table->spec->columns_count; i++)
        if (table->column[i].spec->role == TA_ROLE_X)
            width += ta_table_elements(&table->column[i]) * table->column[i].spec->repeat;
    return width;
}

uint64_t ta_table_targets(const struct ta_table *table) {
    uint64_t targets = 0;
    for (unsigned i = 0; i < table->spec->columns_count; i++) {
        const struct ta_csv_column *spec = table->column[i].spec;
        if (spec->role == TA_ROLE_Y && spec->type == TA_COLUMN_NUMBER) targets += spec->repeat;
    }
    return targets;
}

const struct ta_table_column *ta_table_class_column(const struct ta_table *table) {
    for (unsigned i = 0; i < table->spec->columns_count; i++) {
        const struct ta_csv_column *spec = table->column[i].spec;
        if (spec->role == TA_ROLE_Y && spec->type == TA_COLUMN_CATEGORY) return &table->column[i];
    }
    return NULL;
}

bool ta_table_has_time(const struct ta_table *table) {
    for (unsigned i = 0; i < table->spec->columns_count; i++)
        if (table->column[i].spec->role == TA_ROLE_T) return true;
    return false;
}
