/* Any text as a configuration: lines that begin with "--set " are overrides, the rest is the file. What is accepted
 * must print, and read again, to the same text. */
#include <string.h>

#include "bytes_file.h"
#include "config_schema.h"
#include "mem.h"
#include "run_config.h"

enum { MAX_SETS = 4, SET_BYTES = 512 };

static void round_trip(const char *text, size_t bytes, const cyaml_schema_value_t *schema, const char *const *sets,
                       size_t n_sets) {
    void *config, *again;
    char *printed, *printed_again;
    ta_why_clear();
    ta_status status = ta_config_parse("fuzz.yaml", text, bytes, schema, sets, n_sets, &config);
    need_message(status, ta_why());
    if (status != TA_OK) return;
    if (ta_config_print(config, schema, &printed) != TA_OK) __builtin_trap();
    if (ta_config_parse("printed", printed, strlen(printed), schema, NULL, 0, &again) != TA_OK) __builtin_trap();
    if (ta_config_print(again, schema, &printed_again) != TA_OK) __builtin_trap();
    if (strcmp(printed, printed_again) != 0) __builtin_trap();
    ta_mem_free(printed);
    ta_mem_free(printed_again);
    ta_config_free(config, schema);
    ta_config_free(again, schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static char sets[MAX_SETS][SET_BYTES];
    const char *set[MAX_SETS], *text = (const char *)bytes;
    size_t n = 0, at = 0;
    while (n < MAX_SETS && count - at > 6 && memcmp(text + at, "--set ", 6) == 0) {
        const char *line = text + at + 6, *end = memchr(line, '\n', count - at - 6);
        size_t length = end == NULL ? count - at - 6 : (size_t)(end - line);
        at += 6 + length + (end != NULL);
        if (length >= SET_BYTES) length = SET_BYTES - 1;
        memcpy(sets[n], line, length);
        sets[n][length] = '\0';
        set[n] = sets[n];
        n++;
    }
    round_trip(text + at, count - at, &whole_schema, set, n);
    round_trip(text + at, count - at, &ta_run_schema, set, n);
    return 0;
}
