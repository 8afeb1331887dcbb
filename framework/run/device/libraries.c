/* libraries: each says its own version, by the one function that each has for it. */
#include "libraries.h"

#include <stdio.h>
#include <string.h>

#include "plugin.h"

typedef size_t (*size_version)(void);  /* cudnn.h: cudnnGetVersion; cublasLt.h: cublasLtGetVersion */
typedef int (*int_version)(int *out);  /* nccl.h: ncclGetVersion */

/* The function of that name in a plugin, or in what it was linked with; NULL: there is none. */
static const void *function_of(const char *plugin, const char *name) {
    char path[4096 + 64];
    const void *found = NULL;
    if (ta_plugin_path(plugin, path, sizeof path)[0] == '\0') return NULL;
    return ta_plugin_table(plugin, name, &found) == TA_OK ? found : NULL;
}

static void write_version(size_t number, size_t major, size_t minor, char out[16]) {
    snprintf(out, 16, "%u.%u.%u", (unsigned)(number / major % 1000), (unsigned)(number % major / minor % 1000),
             (unsigned)(number % minor % 1000));
}

void ta_libraries_find(struct ta_libraries *out, bool nccl) {
    enum { TEN_THOUSANDS = 10000, HUNDREDS = 100 };
    size_version size;
    int_version number;
    int said = 0;
    *out = (struct ta_libraries){0};
    const void *cudnn = function_of("cuda", "cudnnGetVersion");
    const void *cublaslt = function_of("cuda", "cublasLtGetVersion");
    const void *collective = nccl ? function_of("nccl", "ncclGetVersion") : NULL;
    if (cudnn != NULL) {
        memcpy(&size, &cudnn, sizeof size);
        write_version(size(), TEN_THOUSANDS, HUNDREDS, out->cudnn);
    }
    if (cublaslt != NULL) {
        memcpy(&size, &cublaslt, sizeof size);
        write_version(size(), TEN_THOUSANDS, HUNDREDS, out->cublaslt);
    }
    if (collective == NULL) return;
    memcpy(&number, &collective, sizeof number);
    if (number(&said) == 0 && said > 0) write_version((size_t)said, TEN_THOUSANDS, HUNDREDS, out->nccl);
}
