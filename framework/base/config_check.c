/* config_check: the walk along tree and schema. Everything a person can get wrong is said here, with its place. */
#include <stdio.h>
#include <string.h>

#include "config_internal.h"

enum { PATH_BYTES = 256, WHAT_BYTES = TA_CONFIG_WHERE_BYTES + PATH_BYTES + 8, MAX_KEYS = 128, LIST_BYTES = 300 };

/* The walk: where it is, and what it has written. */
struct walk {
    struct ta_config_tree *tree;
    struct ta_config_text *out;
};

static ta_status check_value(struct walk *walk, int id, const cyaml_schema_value_t *schema, const char *path);

static const yaml_node_t *node_of(struct walk *walk, int id) {
    return yaml_document_get_node(&walk->tree->document, id);
}

/* "run.yaml:7: 'stream.rate'" */
static const char *what_of(struct walk *walk, int id, const char *path, char what[WHAT_BYTES]) {
    char where[TA_CONFIG_WHERE_BYTES];
    ta_config_where(walk->tree, id, where);
    snprintf(what, WHAT_BYTES, path[0] == '\0' ? "%s: the top level" : "%s: '%s'", where, path);
    return what;
}

static const char *kind_of(const yaml_node_t *node) {
    if (node->type == YAML_SEQUENCE_NODE) return "a list";
    return node->type == YAML_MAPPING_NODE ? "a mapping" : "a single value";
}

static ta_status unknown_key(struct walk *walk, int key, const cyaml_schema_field_t *fields, const char *path) {
    const char *names[MAX_KEYS], *word = (const char *)node_of(walk, key)->data.scalar.value;
    char where[TA_CONFIG_WHERE_BYTES], list[LIST_BYTES] = "", in[PATH_BYTES + 8] = "at the top level";
    size_t n = 0, used = 0;
    for (; fields[n].key != NULL && n < MAX_KEYS; n++) {
        names[n] = fields[n].key;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", n == 0 ? "" : ", ", fields[n].key);
    }
    if (path[0] != '\0') snprintf(in, sizeof in, "in '%s'", path);
    ta_config_where(walk->tree, key, where);
    const char *nearest = ta_config_nearest(word, names, n);
    if (nearest != NULL)
        return ta_fail(TA_CONFIG, "%s: unknown key '%.60s' %s; did you mean '%s'?", where, word, in, nearest);
    return ta_fail(TA_CONFIG, "%s: unknown key '%.60s' %s; known are: %s", where, word, in, list);
}

static bool same_word(const yaml_node_t *node, const char *word) {
    return node->type == YAML_SCALAR_NODE && strcmp((const char *)node->data.scalar.value, word) == 0;
}

/* The value node of `key` in a mapping, 0 when it is not there; a second one of that name is an error. */
static ta_status find_value(struct walk *walk, int mapping, const char *key, const char *path, int *value) {
    const yaml_node_t *node = node_of(walk, mapping);
    int first = 0;
    *value = 0;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        if (!same_word(node_of(walk, pair->key), key)) continue;
        if (first != 0) {
            char what[WHAT_BYTES];
            return ta_fail(TA_CONFIG, "%s: is given twice; first in line %zu", what_of(walk, pair->key, path, what),
                           node_of(walk, first)->start_mark.line + 1);
        }
        first = pair->key;
        *value = pair->value;
    }
    return TA_OK;
}

static ta_status check_keys(struct walk *walk, int mapping, const cyaml_schema_field_t *fields, const char *path) {
    const yaml_node_t *node = node_of(walk, mapping);
    char where[TA_CONFIG_WHERE_BYTES];
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_of(walk, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return ta_fail(TA_CONFIG, "%s: a key %s%s%s is %s, not a word",
                           ta_config_where(walk->tree, pair->key, where), path[0] == '\0' ? "at the top level" : "in '",
                           path, path[0] == '\0' ? "" : "'", kind_of(key));
        const cyaml_schema_field_t *field = fields;
        while (field->key != NULL && !same_word(key, field->key)) field++;
        if (field->key == NULL) return unknown_key(walk, pair->key, fields, path);
    }
    return TA_OK;
}

static bool has_flags(const cyaml_schema_value_t *schema, enum cyaml_flag flags) {
    return (schema->flags & flags) == flags;
}

static bool may_be_null(const cyaml_schema_value_t *schema) { return has_flags(schema, CYAML_FLAG_POINTER_NULL); }

static ta_status missing(struct walk *walk, int id, const char *path) {
    char where[TA_CONFIG_WHERE_BYTES];
    return ta_fail(TA_CONFIG, "%s: '%s' is missing", ta_config_where(walk->tree, id, where), path);
}

static ta_status check_mapping(struct walk *walk, int id, const cyaml_schema_value_t *schema, const char *path) {
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    char inner[PATH_BYTES], what[WHAT_BYTES];
    bool empty = ta_config_is_null(node_of(walk, id)), first = true;
    if (!empty && node_of(walk, id)->type != YAML_MAPPING_NODE)
        return ta_fail(TA_CONFIG, "%s: is %s, but must be a mapping (key: value)", what_of(walk, id, path, what),
                       kind_of(node_of(walk, id)));
    ta_status status = empty ? TA_OK : check_keys(walk, id, fields, path);
    ta_config_add_word(walk->out, "{");
    for (; status == TA_OK && fields->key != NULL; fields++) {
        int value = 0;
        snprintf(inner, sizeof inner, "%s%s%s", path, path[0] == '\0' ? "" : ".", fields->key);
        if (!empty) status = find_value(walk, id, fields->key, inner, &value);
        bool given = value != 0 && !ta_config_is_null(node_of(walk, value));
        bool optional = (fields->value.flags & CYAML_FLAG_OPTIONAL) != 0;
        if (status != TA_OK || fields->value.type == CYAML_IGNORE || (!given && optional)) continue;
        if (!given && !may_be_null(&fields->value) && fields->value.type != CYAML_MAPPING)
            return missing(walk, value != 0 ? value : id, inner);
        if (!first) ta_config_add_word(walk->out, ", ");
        first = false;
        ta_config_add_quoted(walk->out, fields->key, strlen(fields->key));
        ta_config_add_word(walk->out, ": ");
        if (value == 0) return missing(walk, id, inner);
        status = check_value(walk, value, &fields->value, inner);
    }
    ta_config_add_word(walk->out, "}");
    return status;
}

static ta_status check_sequence(struct walk *walk, int id, const cyaml_schema_value_t *schema, const char *path) {
    char inner[PATH_BYTES], what[WHAT_BYTES];
    if (node_of(walk, id)->type != YAML_SEQUENCE_NODE)
        return ta_fail(TA_CONFIG, "%s: is %s, but must be a list, as [a, b]", what_of(walk, id, path, what),
                       kind_of(node_of(walk, id)));
    const yaml_node_t *node = node_of(walk, id);
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (n < schema->sequence.min || n > schema->sequence.max) {
        what_of(walk, id, path, what);
        if (schema->sequence.max == CYAML_UNLIMITED)
            return ta_fail(TA_CONFIG, "%s: has %zu entries, at least %u are needed", what, n, schema->sequence.min);
        return ta_fail(TA_CONFIG, "%s: has %zu entries, %u to %u are allowed", what, n, schema->sequence.min,
                       schema->sequence.max);
    }
    ta_status status = TA_OK;
    ta_config_add_word(walk->out, "[");
    for (size_t i = 0; i < n && status == TA_OK; i++) {
        if (i > 0) ta_config_add_word(walk->out, ", ");
        snprintf(inner, sizeof inner, "%s[%zu]", path, i);
        status = check_value(walk, node_of(walk, id)->data.sequence.items.start[i], schema->sequence.entry, inner);
    }
    ta_config_add_word(walk->out, "]");
    return status;
}

/* A set of names: [a, b]. */
static ta_status check_flags(struct walk *walk, int id, const cyaml_schema_value_t *schema, const char *path) {
    cyaml_schema_value_t word = *schema;
    word.type = CYAML_ENUM;
    cyaml_schema_value_t list = {.type = CYAML_SEQUENCE, .sequence = {.entry = &word, .max = CYAML_UNLIMITED}};
    return check_sequence(walk, id, &list, path);
}

static ta_status check_value(struct walk *walk, int id, const cyaml_schema_value_t *schema, const char *path) {
    const yaml_node_t *node = node_of(walk, id);
    if (walk->out->status != TA_OK) return walk->out->status;
    if (ta_config_is_null(node) && may_be_null(schema)) {
        ta_config_add_word(walk->out, has_flags(schema, CYAML_FLAG_POINTER_NULL_STR) ? "null" : "\"\"");
        return TA_OK;
    }
    switch (schema->type) {
    case CYAML_MAPPING: return check_mapping(walk, id, schema, path);
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED: return check_sequence(walk, id, schema, path);
    case CYAML_FLAGS: return check_flags(walk, id, schema, path);
    default: break;
    }
    char what[WHAT_BYTES];
    what_of(walk, id, path, what);
    if (node->type != YAML_SCALAR_NODE)
        return ta_fail(TA_CONFIG, "%s: is %s, but must be a single value", what, kind_of(node));
    return ta_config_check_scalar(what, (const char *)node->data.scalar.value, node->data.scalar.length, schema,
                                  walk->out);
}

ta_status ta_config_check(struct ta_config_tree *tree, const cyaml_schema_value_t *schema, struct ta_config_text *out) {
    struct walk walk = {.tree = tree, .out = out};
    ta_status status = check_value(&walk, 1, schema, "");
    return status == TA_OK ? out->status : status;
}
