/* Any text as the file by which the store is found: what is accepted is exactly what would be written. */
#include <string.h>

#include "bytes_file.h"
#include "server_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct ta_store_server_file file;
    char text[TA_STORE_FILE_BYTES];
    ta_why_clear();
    ta_status status = ta_store_server_file_parse("server", (const char *)bytes, count, &file);
    need_message(status, ta_why());
    if (status != TA_OK) return 0;
    size_t n = ta_store_server_file_print(&file, text);
    if (n != count || memcmp(text, bytes, n) != 0) __builtin_trap();
    return 0;
}
