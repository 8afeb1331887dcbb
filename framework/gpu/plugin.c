/* plugin: looks for the file, loads it once, and turns what the loader says into what to do. */
#include "plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The places a plugin may lie in, in order: where TENSAIR_PLUGINS says, beside the program, where it is installed. */
static bool place(unsigned which, const char *name, char *out, size_t bytes) {
    const char *asked = getenv("TENSAIR_PLUGINS");
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0) n = 0;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) *slash = '\0';
    int used = -1;
    if (which == 0) used = asked != NULL ? snprintf(out, bytes, "%s/tensair-%s.so", asked, name) : 0;
    if (which == 1) used = snprintf(out, bytes, "%s/tensair-%s.so", program, name);
    if (which == 2) used = snprintf(out, bytes, "%s/../lib/tensair/tensair-%s.so", program, name);
    if (used == 0) out[0] = '\0';
    return used >= 0 && (size_t)used < bytes;
}

const char *ta_plugin_path(const char *name, char *out, size_t bytes) {
    for (unsigned which = 0; place(which, name, out, bytes); which++)
        if (out[0] != '\0' && access(out, R_OK) == 0) return out;
    out[0] = '\0';
    return out;
}

static ta_status missing(const char *name) {
    char beside[PATH_MAX + 32];
    if (!place(1, name, beside, sizeof beside)) beside[0] = '\0';
    return ta_fail(TA_NOT_BUILT,
                   "this program came without its part for GPUs: there is no %s. Install CUDA's toolkit and "
                   "libcudnn9-dev (for exchange.type sync also libnccl-dev), then configure and build again; or use "
                   "device.type: cpu",
                   beside);
}

ta_status ta_plugin_table(const char *name, const char *symbol, const void **out) {
    char path[PATH_MAX + 32];
    *out = NULL;
    if (ta_plugin_path(name, path, sizeof path)[0] == '\0') return missing(name);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL)
        return ta_fail(TA_DEVICE,
                       "%s; install the library that it misses (apt-get install libcudnn9-cuda-13, libcublas-13-0, "
                       "libnccl2), or name its folder in LD_LIBRARY_PATH; or use device.type: cpu",
                       dlerror());
    *out = dlsym(plugin, symbol);
    if (*out == NULL)
        return ta_fail(TA_INVALID, "%s holds no '%s': it is of another version; build both again", path, symbol);
    return TA_OK;
}

ta_status ta_gpu_find(const struct ta_gpu_ops **out) {
    const void *table;
    ta_status status = ta_plugin_table("cuda", "ta_gpu_cuda", &table);
    *out = table;
    return status;
}
