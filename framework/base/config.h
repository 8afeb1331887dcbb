/* config: YAML text -> a C struct, by a libcyaml schema, with messages a user can act on.
 *
 *     run.yaml:7: unknown key 'bach_size' in 'stream'; did you mean 'batch_size'?
 *     run.yaml:9: 'stream.rate': 'fast' is not a number
 *     --set optimizer.rte=0.1: unknown key 'rte' in 'optimizer'; did you mean 'rate'?
 *
 * The schema is written with libcyaml's macros by the folder that owns the options; run/ puts the pieces together.
 * Defaults: a field that the text does not name, or names without a value (`rate:`, `rate: null`), is zero; pointers
 * are NULL and lists empty. (libcyaml 1.3 has no default values in its schemas.) So zero means "not given" in every
 * struct that is loaded, and whoever uses it puts its default there. A field without CYAML_FLAG_OPTIONAL must be given.
 *
 * Stricter than libcyaml: whole numbers are decimal (010 is ten), 0x..., or like 1e6, and within the range of their
 * type; numbers are finite; true, false, yes, no, on, off, 1, 0 are the only booleans; words of an enum must match
 * exactly; keys come once. Text is UTF-8, at most 1 MiB, nested at most 64 deep, one document, without aliases.
 *
 * Thread-safe. Errors, all calls: CONFIG (text, file, line, nearest key), IO (the file cannot be read), NO_MEMORY.
 */
#ifndef TA_CONFIG_H
#define TA_CONFIG_H

#include <cyaml/cyaml.h>
#include <stddef.h>

#include "status.h"

/* Reads `path`, applies `overrides` ("a.b=c", "layers[2].filters=64"; the value is YAML; what is missing on the way
 * is made; the index one past a list's end appends) in order, checks every key against the schema, and loads. `*out`
 * is freed by ta_config_free with the same schema. `schema` is a mapping pointer
 * (CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, ...)). */
ta_status ta_config_load(const char *path, const cyaml_schema_value_t *schema, const char *const *overrides,
                         size_t n_overrides, void **out);

/* The same from text in memory; `name` stands where the file's name would. */
ta_status ta_config_parse(const char *name, const char *text, size_t text_bytes, const cyaml_schema_value_t *schema,
                          const char *const *overrides, size_t n_overrides, void **out);

/* The struct as YAML text again (the effective configuration): *text is NUL-terminated, freed by ta_mem_free. */
ta_status ta_config_print(const void *config, const cyaml_schema_value_t *schema, char **text);

void ta_config_free(void *config, const cyaml_schema_value_t *schema); /* NULL is fine */

/* The candidate nearest to `word` by edit distance, or NULL when none is near (distance > 1 + length / 3). */
const char *ta_config_nearest(const char *word, const char *const *candidates, size_t count);

#endif
