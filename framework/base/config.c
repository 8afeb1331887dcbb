/* config: from a file to a struct: tree, overrides, check, libcyaml; and back to text. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "mem.h"

enum { LOG_BYTES = 400 };

/* libcyaml's memory is ours: counted, and it can be made to fail. */
static void *cyaml_memory(void *context, void *block, size_t bytes) {
    (void)context;
    if (bytes == 0) {
        ta_mem_free(block);
        return NULL;
    }
    return ta_mem_resize(&block, bytes, "configuration") == TA_OK ? block : NULL;
}

/* Keeps the first thing libcyaml complains of; the rest is its way out. */
static void cyaml_complaint(cyaml_log_t level, void *context, const char *format, va_list args) {
    char *text = context;
    if (level < CYAML_LOG_ERROR || text[0] != '\0') return;
    vsnprintf(text, LOG_BYTES, format, args);
    text[strcspn(text, "\n")] = '\0';
}

static cyaml_config_t cyaml_settings(char complaint[LOG_BYTES]) {
    complaint[0] = '\0';
    return (cyaml_config_t){
        .log_fn = cyaml_complaint,
        .log_ctx = complaint,
        .mem_fn = cyaml_memory,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS | CYAML_CFG_STYLE_BLOCK,
    };
}

static ta_status cyaml_failed(const char *name, cyaml_err_t error, const char *complaint) {
    if (error == CYAML_ERR_OOM) return ta_fail(TA_NO_MEMORY, "%s: out of memory", name);
    return ta_fail(TA_CONFIG, "%s: %s%s%s", name, cyaml_strerror(error), complaint[0] == '\0' ? "" : ": ", complaint);
}

static ta_status load_checked(const char *name, const struct ta_config_text *text, const cyaml_schema_value_t *schema,
                              void **out) {
    char complaint[LOG_BYTES];
    cyaml_config_t settings = cyaml_settings(complaint);
    cyaml_data_t *data = NULL;
    cyaml_err_t error = cyaml_load_data((const uint8_t *)text->bytes, text->used, &settings, schema, &data, NULL);
    if (error != CYAML_OK) return cyaml_failed(name, error, complaint);
    /* Where nothing was given libcyaml makes nothing; a caller wants its struct of zeros. */
    if (data == NULL) return ta_mem_alloc(1, schema->data_size, "configuration", out);
    *out = data;
    return TA_OK;
}

ta_status ta_config_parse(const char *name, const char *text, size_t text_bytes, const cyaml_schema_value_t *schema,
                          const char *const *overrides, size_t n_overrides, void **out) {
    struct ta_config_tree tree = {.name = name, .overrides = overrides, .n_overrides = n_overrides};
    struct ta_config_text checked = {0};
    *out = NULL;
    ta_status status = ta_config_tree_load(&tree, text, text_bytes);
    if (status == TA_OK) status = ta_config_check(&tree, schema, &checked);
    if (status == TA_OK) status = load_checked(name, &checked, schema, out);
    ta_mem_free(checked.bytes);
    ta_config_tree_free(&tree);
    return status;
}

ta_status ta_config_load(const char *path, const cyaml_schema_value_t *schema, const char *const *overrides,
                         size_t n_overrides, void **out) {
    char *text;
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot open the configuration", path);
    ta_status status = ta_mem_alloc(TA_CONFIG_MAX_BYTES + 1, 1, "configuration", (void **)&text);
    if (status == TA_OK) {
        errno = 0;
        size_t bytes = fread(text, 1, TA_CONFIG_MAX_BYTES + 1, file);
        status = ferror(file) ? ta_fail_errno(TA_IO, "%s: cannot be read", path)
                              : ta_config_parse(path, text, bytes, schema, overrides, n_overrides, out);
    }
    ta_mem_free(text);
    fclose(file);
    return status;
}

ta_status ta_config_print(const void *config, const cyaml_schema_value_t *schema, char **text) {
    char complaint[LOG_BYTES];
    cyaml_config_t settings = cyaml_settings(complaint);
    char *bytes = NULL;
    size_t length = 0;
    *text = NULL;
    cyaml_err_t error = cyaml_save_data(&bytes, &length, &settings, schema, config, 0);
    if (error != CYAML_OK) return cyaml_failed("configuration", error, complaint);
    ta_status status = ta_mem_resize((void **)&bytes, length + 1, "configuration");
    if (status == TA_OK) {
        bytes[length] = '\0';
        *text = bytes;
    } else {
        ta_mem_free(bytes);
    }
    return status;
}

void ta_config_free(void *config, const cyaml_schema_value_t *schema) {
    char complaint[LOG_BYTES];
    cyaml_config_t settings = cyaml_settings(complaint);
    if (config != NULL) cyaml_free(&settings, schema, config, 0);
}
