/* plugin: looks for the file, loads it once, and turns what the loader says into what to do. */
#include "plugin.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* Which package of NVIDIA's holds a library that the loader did not find. */
static const char *package_of(const char *said) {
    static const char *const packages[][2] = {{"libcudnn", "libcudnn9-cuda-13"},
                                              {"libcublas", "libcublas-13-0"},
                                              {"libnccl", "libnccl2"},
                                              {"libstdc++", "libstdc++6"}};
    for (size_t i = 0; i < sizeof packages / sizeof packages[0]; i++)
        if (strstr(said, packages[i][0]) != NULL) return packages[i][1];
    return "the package that holds it";
}

/* The loader begins with the name of the file that it could not load: the plugin's own, or a library's. */
static ta_status refused(const char *path, const char *said) {
    if (said == NULL) said = "the loader does not say why";
    if (strncmp(said, path, strlen(path)) == 0)
        return ta_fail(TA_DEVICE,
                       "%s; the file is damaged, or does not go with this program or machine: build and install both "
                       "again, or use device.type: cpu",
                       said);
    return ta_fail(TA_DEVICE,
                   "%s needs a library that is missing: %s; install it (apt-get install %s), or name its folder in "
                   "LD_LIBRARY_PATH; or use device.type: cpu",
                   path, said, package_of(said));
}

/* The loader maps what the head of a file promises, and touching what is not there kills the program: a file that was
 * cut off (a disk that was full) is found out before. What is no such file at all the loader says itself. */
static bool cut_off(const char *path) {
    Elf64_Ehdr head = {0};
    Elf64_Phdr part;
    struct stat info;
    bool cut = false;
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return false;
    bool known = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) && fread(&head, sizeof head, 1, file) == 1 &&
                 memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_ident[EI_CLASS] == ELFCLASS64;
    for (unsigned i = 0; known && !cut && i < head.e_phnum; i++) {
        cut = fseek(file, (long)(head.e_phoff + i * sizeof part), SEEK_SET) != 0 ||
              fread(&part, sizeof part, 1, file) != 1;
        cut |=
            !cut && (part.p_filesz > (uint64_t)info.st_size || part.p_offset > (uint64_t)info.st_size - part.p_filesz);
    }
    fclose(file);
    return cut;
}

ta_status ta_plugin_table(const char *name, const char *symbol, const void **out) {
    char path[PATH_MAX + 32];
    *out = NULL;
    if (ta_plugin_path(name, path, sizeof path)[0] == '\0') return missing(name);
    if (cut_off(path))
        return ta_fail(TA_DEVICE, "%s is damaged: it ends before its own contents do; build and install it again",
                       path);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) return refused(path, dlerror());
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
