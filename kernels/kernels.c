/* kernels: the makes by name. One is built in; the other comes with a plugin, which is loaded when it is asked for. */
#include "kernels.h"

#include <string.h>

#include "plugin.h"

ta_status ta_kernels_find(const char *name, const struct ta_kernels_ops **out) {
    *out = NULL;
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) {
        *out = &ta_kernels_cpu;
        return TA_OK;
    }
    if (strcmp(name, "cuda") == 0) {
        const void *table;
        ta_status status = ta_plugin_table("cuda", "ta_kernels_cuda", &table);
        *out = table;
        return status;
    }
    return ta_fail(TA_CONFIG, "kernels '%s' do not exist; use one of: auto, cpu, cuda", name);
}
