/* config_internal: what the files of config share. Nobody else includes it. */
#ifndef TA_CONFIG_INTERNAL_H
#define TA_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <yaml.h>

#include "config.h"

enum {
    TA_CONFIG_MAX_BYTES = 1 << 20,
    TA_CONFIG_MAX_DEPTH = 64,
    TA_CONFIG_MAX_SETS = 1024,
};

/* A document with overrides worked in. Nodes keep where they came from: those of the text have a line, those of
 * override k have numbers from first_node[k] on. */
struct ta_config_tree {
    const char *name; /* of the file */
    const char *const *overrides;
    size_t n_overrides;
    int *first_node; /* [n_overrides] */
    yaml_document_t document;
    bool there; /* the document is to be deleted */
};

/* Errors: CONFIG, NO_MEMORY. Free also after failure. */
ta_status ta_config_tree_load(struct ta_config_tree *tree, const char *text, size_t text_bytes);
void ta_config_tree_free(struct ta_config_tree *tree);

/* "run.yaml:7" or "--set a.b=c": where a node came from. Returns `text`. */
enum { TA_CONFIG_WHERE_BYTES = 256 };
const char *ta_config_where(struct ta_config_tree *tree, int node, char text[TA_CONFIG_WHERE_BYTES]);

/* An empty scalar, ~ or null, unquoted: not given. */
bool ta_config_is_null(const yaml_node_t *node);

/* A text that grows. */
struct ta_config_text {
    char *bytes; /* NUL-terminated, or NULL when nothing was added; ta_mem_free */
    size_t used;
    ta_status status; /* of the first failure; later additions do nothing */
};

void ta_config_add(struct ta_config_text *text, const char *bytes, size_t count);
void ta_config_add_word(struct ta_config_text *text, const char *word);
void ta_config_add_quoted(struct ta_config_text *text, const char *bytes, size_t count); /* as a YAML scalar */

/* Checks the whole tree against the schema and writes it in the normal form that libcyaml cannot misread: flow style,
 * every scalar quoted, numbers in decimal, booleans as true or false, "not given" left out. */
ta_status ta_config_check(struct ta_config_tree *tree, const cyaml_schema_value_t *schema, struct ta_config_text *out);

/* One scalar, by its schema: see ta_config_check. `what` is "FILE:LINE: 'path'". */
ta_status ta_config_check_scalar(const char *what, const char *value, size_t length, const cyaml_schema_value_t *schema,
                                 struct ta_config_text *out);

#endif
