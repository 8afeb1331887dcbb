/* import_schema: the libcyaml tables, and what they cannot say. */
#include "import_schema.h"

#include <math.h>
#include <string.h>

#include "config.h"
#include "import.h"
#include "mem.h"

enum { COLUMNS_MOST = 1 << 20 };

static const cyaml_strval_t roles[] = {
    {"x", TA_ROLE_X}, {"y", TA_ROLE_Y}, {"t", TA_ROLE_T}, {"ignore", TA_ROLE_IGNORE}};
static const cyaml_strval_t types[] = {{"number", TA_COLUMN_NUMBER}, {"category", TA_COLUMN_CATEGORY}};
static const cyaml_strval_t encodings[] = {{"onehot", TA_ENCODE_ONEHOT}, {"index", TA_ENCODE_INDEX}};
static const cyaml_strval_t policies[] = {
    {"error", TA_MISSING_ERROR}, {"skip", TA_MISSING_SKIP}, {"fill", TA_MISSING_FILL}};
static const cyaml_strval_t elements[] = {{"float32", TA_CSV_F32}, {"uint8", TA_CSV_U8}};

static const cyaml_schema_value_t text_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_value_t number_entry = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(type, member)                                                                                           \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define TEXTS(type, member)                                                                                          \
    CYAML_FIELD_SEQUENCE(#member, CYAML_FLAG_POINTER | OPTIONAL, type, member, &text_entry, 0,                       \
                         TA_IMPORT_CATEGORIES_MOST)
#define CHOICE(key, flags, type, member, table)                                                                      \
    CYAML_FIELD_ENUM(key, (flags) | CYAML_FLAG_STRICT, type, member, table, CYAML_ARRAY_LEN(table))

static const cyaml_schema_field_t column_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct ta_csv_column, name, 1, CYAML_UNLIMITED),
    CHOICE("role", CYAML_FLAG_DEFAULT, struct ta_csv_column, role, roles),
    CHOICE("type", OPTIONAL, struct ta_csv_column, type, types),
    CHOICE("encode", OPTIONAL, struct ta_csv_column, encode, encodings),
    CHOICE("missing", OPTIONAL, struct ta_csv_column, missing, policies),
    TEXT(struct ta_csv_column, fill),
    TEXT(struct ta_csv_column, format),
    TEXTS(struct ta_csv_column, categories),
    TEXTS(struct ta_csv_column, names),
    CYAML_FIELD_UINT("repeat", OPTIONAL, struct ta_csv_column, repeat),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t column_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_csv_column, column_fields)};

static const cyaml_schema_field_t table_fields[] = {
    TEXT(struct ta_csv_table, delimiter),
    CYAML_FIELD_BOOL("header", OPTIONAL, struct ta_csv_table, header),
    CYAML_FIELD_SEQUENCE("columns", CYAML_FLAG_POINTER, struct ta_csv_table, columns, &column_entry, 1, COLUMNS_MOST),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t schema_fields[] = {
    CYAML_FIELD_STRING_PTR("delimiter", CYAML_FLAG_POINTER | OPTIONAL, struct ta_csv_schema, data.delimiter, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_BOOL("header", OPTIONAL, struct ta_csv_schema, data.header),
    TEXTS(struct ta_csv_schema, missing_values),
    CHOICE("element", OPTIONAL, struct ta_csv_schema, element, elements),
    CYAML_FIELD_SEQUENCE("shape", CYAML_FLAG_POINTER | OPTIONAL, struct ta_csv_schema, shape, &number_entry, 3, 3),
    CYAML_FIELD_FLOAT("scale", OPTIONAL, struct ta_csv_schema, scale),
    CYAML_FIELD_FLOAT("offset", OPTIONAL, struct ta_csv_schema, offset),
    {.key = "columns",
     .value = {CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, struct ta_csv_column, &column_entry, 1, COLUMNS_MOST)},
     .data_offset = offsetof(struct ta_csv_schema, data.columns),
     .count_size = sizeof(((struct ta_csv_schema *)0)->data.columns_count),
     .count_offset = offsetof(struct ta_csv_schema, data.columns_count)},
    CYAML_FIELD_MAPPING_PTR("labels", CYAML_FLAG_POINTER | OPTIONAL, struct ta_csv_schema, labels, table_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct ta_csv_schema, schema_fields)};

/* ---- what the tables cannot say ---- */

char ta_csv_delimiter(const struct ta_csv_table *table) {
    const char *text = table->delimiter;
    if (text == NULL) return ',';
    if (strcmp(text, "blank") == 0 || strcmp(text, " ") == 0) return '\0';
    return strcmp(text, "tab") == 0 ? '\t' : text[0];
}

uint64_t ta_csv_fields(const struct ta_csv_table *table) {
    uint64_t fields = 0;
    for (unsigned i = 0; i < table->columns_count; i++) fields += table->columns[i].repeat;
    return fields;
}

static ta_status check_column(const char *path, const struct ta_csv_column *column, bool in_labels) {
    const char *wrong = NULL;
    bool categorical = column->type == TA_COLUMN_CATEGORY;
    if (in_labels && (column->role == TA_ROLE_X || column->role == TA_ROLE_T))
        wrong = "columns of a file of labels have role y or ignore";
    else if (column->role == TA_ROLE_T && (categorical || column->repeat != 1))
        wrong = "a time cannot be a category nor repeated";
    else if (column->role == TA_ROLE_X && column->missing == TA_MISSING_FILL && column->fill == NULL)
        wrong = "'missing: fill' needs 'fill: VALUE'";
    else if (column->role == TA_ROLE_T && column->missing == TA_MISSING_FILL)
        wrong = "a time cannot be filled in; use 'missing: skip'";
    else if (!categorical && (column->categories_count > 0 || column->names_count > 0))
        wrong = "'categories' and 'names' need 'type: category'";
    else if (column->names_count > 0 && column->role != TA_ROLE_Y)
        wrong = "'names' are for labels";
    else if (column->names_count > 0 && column->categories_count > 0 &&
             column->names_count != column->categories_count)
        wrong = "there must be as many 'names' as 'categories'";
    else if (column->format != NULL && column->role != TA_ROLE_T)
        wrong = "'format' is for 'role: t'";
    else if (column->repeat > COLUMNS_MOST)
        wrong = "'repeat' is larger than 1048576";
    if (wrong != NULL) return ta_fail(TA_CONFIG, "%s: column '%s': %s", path, column->name, wrong);
    return TA_OK;
}

static ta_status check_table(const char *path, struct ta_csv_table *table, bool in_labels) {
    const char *text = table->delimiter;
    if (text != NULL && strlen(text) != 1 && strcmp(text, "tab") != 0 && strcmp(text, "blank") != 0)
        return ta_fail(TA_CONFIG, "%s: delimiter '%s' is not one character, nor 'tab' or 'blank'", path, text);
    char delimiter = ta_csv_delimiter(table);
    if (delimiter == '"' || delimiter == '\n' || delimiter == '\r')
        return ta_fail(TA_CONFIG, "%s: neither quotes nor ends of lines can be the delimiter", path);
    for (unsigned i = 0; i < table->columns_count; i++) {
        if (table->columns[i].repeat == 0) table->columns[i].repeat = 1;
        ta_status status = check_column(path, &table->columns[i], in_labels);
        if (status != TA_OK) return status;
    }
    if (ta_csv_fields(table) > COLUMNS_MOST)
        return ta_fail(TA_CONFIG, "%s: more than %d columns", path, COLUMNS_MOST);
    return TA_OK;
}

struct tally {
    uint64_t x, classes, values, times;
};

static void count_roles(const struct ta_csv_table *table, struct tally *tally) {
    for (unsigned i = 0; i < table->columns_count; i++) {
        const struct ta_csv_column *column = &table->columns[i];
        if (column->role == TA_ROLE_X) tally->x += column->repeat;
        if (column->role == TA_ROLE_T) tally->times++;
        if (column->role != TA_ROLE_Y) continue;
        if (column->type == TA_COLUMN_CATEGORY)
            tally->classes += column->repeat;
        else
            tally->values += column->repeat;
    }
}

static ta_status check_schema(const char *path, struct ta_csv_schema *schema) {
    ta_status status = check_table(path, &schema->data, false);
    if (status == TA_OK && schema->labels != NULL) status = check_table(path, schema->labels, true);
    if (status != TA_OK) return status;
    struct tally tally = {0};
    count_roles(&schema->data, &tally);
    if (schema->labels != NULL) count_roles(schema->labels, &tally);
    if (tally.x == 0)
        return ta_fail(TA_CONFIG, "%s: no column has 'role: x': there would be nothing to learn from", path);
    if (tally.times > 1) return ta_fail(TA_CONFIG, "%s: more than one column has 'role: t'", path);
    if (tally.classes > 1 || (tally.classes == 1 && tally.values > 0))
        return ta_fail(TA_CONFIG, "%s: labels are one column of 'type: category', or any of 'type: number'", path);
    if (!isfinite(schema->scale) || !isfinite(schema->offset))
        return ta_fail(TA_CONFIG, "%s: scale and offset must be finite numbers", path);
    for (unsigned i = 0; i < schema->shape_count; i++)
        if (schema->shape[i] == 0) return ta_fail(TA_CONFIG, "%s: shape[%u] is 0", path, i);
    return TA_OK;
}

ta_status ta_csv_schema_load(const char *path, struct ta_csv_schema **out) {
    *out = NULL;
    void *loaded;
    ta_status status = ta_config_load(path, &schema_value, NULL, 0, &loaded);
    if (status != TA_OK) return status;
    status = check_schema(path, loaded);
    if (status == TA_OK)
        *out = loaded;
    else
        ta_csv_schema_free(loaded);
    return status;
}

void ta_csv_schema_free(struct ta_csv_schema *schema) { ta_config_free(schema, &schema_value); }
