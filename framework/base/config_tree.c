/* config_tree: text -> a bounded YAML document, and --set worked into it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "mem.h"

bool ta_config_is_null(const yaml_node_t *node) {
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    const char *text = (const char *)node->data.scalar.value;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

const char *ta_config_where(struct ta_config_tree *tree, int node, char text[TA_CONFIG_WHERE_BYTES]) {
    size_t k = tree->n_overrides;
    while (k > 0 && node < tree->first_node[k - 1]) k--;
    if (k > 0) {
        snprintf(text, TA_CONFIG_WHERE_BYTES, "--set %.200s", tree->overrides[k - 1]);
    } else {
        const yaml_node_t *n = yaml_document_get_node(&tree->document, node);
        snprintf(text, TA_CONFIG_WHERE_BYTES, "%.200s:%zu", tree->name, n == NULL ? 1 : n->start_mark.line + 1);
    }
    return text;
}

/* "run.yaml:7", but an override has no lines. */
static const char *at_line(const char *name, size_t line, char text[TA_CONFIG_WHERE_BYTES]) {
    if (strncmp(name, "--set ", 6) == 0)
        snprintf(text, TA_CONFIG_WHERE_BYTES, "%.250s", name);
    else
        snprintf(text, TA_CONFIG_WHERE_BYTES, "%.230s:%zu", name, line);
    return text;
}

static ta_status parser_failed(const char *name, const yaml_parser_t *parser) {
    char where[TA_CONFIG_WHERE_BYTES];
    if (parser->error == YAML_MEMORY_ERROR) return ta_fail(TA_NO_MEMORY, "%s: out of memory", name);
    const char *problem = parser->problem == NULL ? "cannot be read as YAML" : parser->problem;
    if (parser->error == YAML_READER_ERROR)
        return ta_fail(TA_CONFIG, "%s: byte %zu: %s; it must be UTF-8 text", name, parser->problem_offset, problem);
    return ta_fail(TA_CONFIG, "%s: %s%s%s", at_line(name, parser->problem_mark.line + 1, where), problem,
                   parser->context == NULL ? "" : " ", parser->context == NULL ? "" : parser->context);
}

/* One event of a text from outside: nothing may be deeper than we walk, nor larger than it looks. */
static ta_status check_event(const char *name, const yaml_event_t *event, unsigned *depth, unsigned *documents) {
    char where[TA_CONFIG_WHERE_BYTES];
    at_line(name, event->start_mark.line + 1, where);
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return ta_fail(TA_CONFIG, "%s: '*%.40s': aliases are not supported; write the value out", where,
                       (const char *)event->data.alias.anchor);
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1) return ta_fail(TA_CONFIG, "%s: a second document begins; only one is read", where);
        return TA_OK;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (++*depth > TA_CONFIG_MAX_DEPTH)
            return ta_fail(TA_CONFIG, "%s: nested more than %d deep", where, TA_CONFIG_MAX_DEPTH);
        return TA_OK;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: --*depth; return TA_OK;
    default: return TA_OK;
    }
}

static ta_status check_limits(const char *name, const char *text, size_t bytes) {
    if (bytes > TA_CONFIG_MAX_BYTES)
        return ta_fail(TA_CONFIG, "%s: %zu bytes are no configuration; at most %d are read", name, bytes,
                       TA_CONFIG_MAX_BYTES);
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return ta_fail(TA_NO_MEMORY, "%s: out of memory", name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    ta_status status = TA_OK;
    unsigned depth = 0, documents = 0;
    for (bool more = true; more && status == TA_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_failed(name, &parser);
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        status = check_event(name, &event, &depth, &documents);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

static ta_status load_document(const char *name, const char *text, size_t bytes, yaml_document_t *out) {
    ta_status status = check_limits(name, text, bytes);
    if (status != TA_OK) return status;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return ta_fail(TA_NO_MEMORY, "%s: out of memory", name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (!yaml_parser_load(&parser, out)) status = parser_failed(name, &parser);
    yaml_parser_delete(&parser);
    return status;
}

static ta_status out_of_nodes(void) { return ta_fail(TA_NO_MEMORY, "configuration: out of memory"); }

/* Copies a node of another document with all below it; *out is its number here. */
static ta_status copy_node(yaml_document_t *to, yaml_document_t *from, int id, int *out) {
    const yaml_node_t *node = yaml_document_get_node(from, id);
    ta_status status = TA_OK;
    if (node->type == YAML_SCALAR_NODE) {
        *out = yaml_document_add_scalar(to, NULL, node->data.scalar.value, (int)node->data.scalar.length,
                                        node->data.scalar.style);
        return *out == 0 ? out_of_nodes() : TA_OK;
    }
    bool list = node->type == YAML_SEQUENCE_NODE;
    *out = list ? yaml_document_add_sequence(to, NULL, node->data.sequence.style)
                : yaml_document_add_mapping(to, NULL, node->data.mapping.style);
    if (*out == 0) return out_of_nodes();
    size_t n = list ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start)
                    : (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    for (size_t i = 0; i < n && status == TA_OK; i++) {
        int key = 0, value = 0;
        if (list) {
            status = copy_node(to, from, node->data.sequence.items.start[i], &value);
            if (status == TA_OK && !yaml_document_append_sequence_item(to, *out, value)) status = out_of_nodes();
        } else {
            status = copy_node(to, from, node->data.mapping.pairs.start[i].key, &key);
            if (status == TA_OK) status = copy_node(to, from, node->data.mapping.pairs.start[i].value, &value);
            if (status == TA_OK && !yaml_document_append_mapping_pair(to, *out, key, value)) status = out_of_nodes();
        }
    }
    return status;
}

/* One step of a path: a key, or a number in brackets. */
struct step {
    const char *key; /* NULL: an index */
    size_t length;
    size_t index;
};

/* Reads the step at *at and moves on; false at '='. A malformed path gives CONFIG. */
static ta_status next_step(const char *text, const char **at, struct step *step, bool *found) {
    const char *p = *at;
    *found = *p != '=';
    if (!*found) return TA_OK;
    *step = (struct step){0};
    if (*p == '[' && p > text) {
        for (p++; isdigit((unsigned char)*p) && step->index < TA_CONFIG_MAX_BYTES; p++)
            step->index = step->index * 10 + (size_t)(*p - '0');
        if (*p != ']' || p[-1] == '[') return ta_fail(TA_CONFIG, "--set %.200s: expected a number in [ ]", text);
        *at = p + 1;
        return TA_OK;
    }
    if (*p == '.' && p > text) p++;
    step->key = p;
    while (isalnum((unsigned char)*p) || *p == '_' || *p == '-') p++;
    step->length = (size_t)(p - step->key);
    if (step->length == 0 || (*p != '.' && *p != '[' && *p != '='))
        return ta_fail(TA_CONFIG, "--set %.200s: expected a path like model.layers[2].filters before '='", text);
    *at = p;
    return TA_OK;
}

/* The slot of `step` in a mapping or list, as a pointer to the node number in it, or NULL. */
static int *find_slot(yaml_document_t *document, int id, const struct step *step) {
    yaml_node_t *node = yaml_document_get_node(document, id);
    if (step->key == NULL) {
        size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
        return step->index < n ? &node->data.sequence.items.start[step->index] : NULL;
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == step->length &&
            memcmp(key->data.scalar.value, step->key, step->length) == 0)
            return &pair->value;
    }
    return NULL;
}

static ta_status attach(yaml_document_t *document, const char *text, int parent, const struct step *step, int value) {
    int *slot = find_slot(document, parent, step);
    if (slot != NULL) {
        *slot = value;
        return TA_OK;
    }
    if (step->key == NULL) {
        const yaml_node_t *node = yaml_document_get_node(document, parent);
        size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
        if (step->index > n)
            return ta_fail(TA_CONFIG, "--set %.200s: there is no [%zu]: the list has %zu entries", text, step->index,
                           n);
        return yaml_document_append_sequence_item(document, parent, value) ? TA_OK : out_of_nodes();
    }
    int key = yaml_document_add_scalar(document, NULL, (const yaml_char_t *)step->key, (int)step->length,
                                       YAML_PLAIN_SCALAR_STYLE);
    return key != 0 && yaml_document_append_mapping_pair(document, parent, key, value) ? TA_OK : out_of_nodes();
}

/* Walks to the place that an override names, making what is missing on the way, and puts `value` there. */
static ta_status put_value(yaml_document_t *document, const char *text, int value) {
    struct step step, last = {0};
    const char *at = text;
    int parent = 0, here = 1;
    for (;;) {
        bool found;
        ta_status status = next_step(text, &at, &step, &found);
        if (status != TA_OK) return status;
        if (!found) return attach(document, text, parent, &last, value);
        yaml_node_type_t wanted = step.key == NULL ? YAML_SEQUENCE_NODE : YAML_MAPPING_NODE;
        const yaml_node_t *node = here == 0 ? NULL : yaml_document_get_node(document, here);
        if (node == NULL || (parent != 0 && ta_config_is_null(node))) {
            here = step.key == NULL ? yaml_document_add_sequence(document, NULL, YAML_FLOW_SEQUENCE_STYLE)
                                    : yaml_document_add_mapping(document, NULL, YAML_FLOW_MAPPING_STYLE);
            if (here == 0) return out_of_nodes();
            status = attach(document, text, parent, &last, here);
            if (status != TA_OK) return status;
        } else if (node->type != wanted) {
            return ta_fail(TA_CONFIG, "--set %.200s: what stands before '%.40s' is not a %s", text,
                           step.key == NULL ? "[" : step.key, step.key == NULL ? "list" : "mapping");
        }
        int *slot = find_slot(document, here, &step);
        parent = here;
        last = step;
        here = slot == NULL ? 0 : *slot;
    }
}

static ta_status apply_override(struct ta_config_tree *tree, size_t k) {
    const char *text = tree->overrides[k], *equals = strchr(text, '=');
    if (equals == NULL || equals == text) return ta_fail(TA_CONFIG, "--set %.200s: expected KEY=VALUE", text);
    char name[TA_CONFIG_WHERE_BYTES];
    snprintf(name, sizeof name, "--set %.200s", text);
    yaml_document_t value;
    ta_status status = load_document(name, equals + 1, strlen(equals + 1), &value);
    if (status != TA_OK) return status;
    int id = 0;
    if (yaml_document_get_root_node(&value) != NULL) {
        status = copy_node(&tree->document, &value, 1, &id);
    } else {
        const yaml_char_t nothing[] = "";
        id = yaml_document_add_scalar(&tree->document, NULL, nothing, 0, YAML_PLAIN_SCALAR_STYLE);
        if (id == 0) status = out_of_nodes();
    }
    if (status == TA_OK) status = put_value(&tree->document, text, id);
    yaml_document_delete(&value);
    return status;
}

/* An empty text is an empty mapping, so that --set has something to work on. */
static ta_status ensure_root(struct ta_config_tree *tree) {
    const yaml_node_t *root = yaml_document_get_root_node(&tree->document);
    if (root != NULL && !ta_config_is_null(root)) return TA_OK;
    yaml_document_delete(&tree->document);
    tree->there = yaml_document_initialize(&tree->document, NULL, NULL, NULL, 1, 1);
    if (!tree->there) return out_of_nodes();
    return yaml_document_add_mapping(&tree->document, NULL, YAML_BLOCK_MAPPING_STYLE) == 1 ? TA_OK : out_of_nodes();
}

ta_status ta_config_tree_load(struct ta_config_tree *tree, const char *text, size_t text_bytes) {
    size_t n = tree->n_overrides;
    tree->n_overrides = 0; /* counted as they come in: what is not in yet owns no node */
    if (n > TA_CONFIG_MAX_SETS)
        return ta_fail(TA_CONFIG, "--set was given %zu times, at most %d are taken", n, TA_CONFIG_MAX_SETS);
    ta_status status = TA_NEW(&tree->first_node, n, "overrides");
    if (status == TA_OK) status = load_document(tree->name, text, text_bytes, &tree->document);
    if (status != TA_OK) return status;
    tree->there = true;
    status = ensure_root(tree);
    for (size_t k = 0; k < n && status == TA_OK; k++) {
        tree->first_node[k] = (int)(tree->document.nodes.top - tree->document.nodes.start) + 1;
        tree->n_overrides = k + 1;
        status = apply_override(tree, k);
    }
    return status;
}

void ta_config_tree_free(struct ta_config_tree *tree) {
    if (tree->there) yaml_document_delete(&tree->document);
    tree->there = false;
    ta_mem_free(tree->first_node);
    tree->first_node = NULL;
}
