/* version: `tensair version`: what this program is and what is built in. */
#include <stdio.h>
#include <string.h>

#include "build_options.h"
#include "cli.h"
#include "exchange.h"
#include "kernels.h"
#include "libraries.h"
#include "plugin.h"
#include "transport.h"

const char *const ta_cli_transports[] = {"self", "shm", "mixed", "verbs", "ofi", NULL};

static bool has_kernels(const char *name) {
    const struct ta_kernels_ops *ops;
    return ta_kernels_find(name, &ops) == TA_OK;
}

static bool has_transport(const char *name) {
    const struct ta_transport_ops *ops;
    return ta_transport_find(name, &ops) == TA_OK;
}

static bool has_exchange(const char *name) {
    const struct ta_exchange_ops *ops;
    struct ta_exchange_spec spec = {.type = (char *)name};
    return ta_exchange_find(&spec, &ops) == TA_OK;
}

/* "; transports self, shm": those of a kind that are built in, or those that are not. */
static void list(const char *kind, const char *const *names, bool (*has)(const char *name), bool built,
                 const char **lead) {
    const char *separator = kind;
    for (; *names != NULL; names++) {
        if (has(*names) != built) continue;
        printf("%s%s %s", separator == kind ? *lead : "", separator, *names);
        separator = ",";
        *lead = "; ";
    }
}

/* What was found above is one thing, what was made of it another. */
static void print_makes(const char *lead, bool built) {
    static const char *const kernels[] = {"cpu", "cuda", NULL}, *const exchanges[] = {"live", "dasgd", "sync", NULL};
    list("kernels", kernels, has_kernels, built, &lead);
    list("transports", ta_cli_transports, has_transport, built, &lead);
    list("exchanges", exchanges, has_exchange, built, &lead);
    if (lead[0] == ';') puts(".");
}

/* The parts for GPUs lie beside the program, and their libraries where the loader finds them. */
static void print_plugins(void) {
    static const char *const names[] = {"cuda", "nccl"};
    struct ta_libraries found;
    char path[4096 + 64];
    ta_libraries_find(&found, true);
    static const char none[] = "no plugin: install CUDA's toolkit, libcudnn9-dev and libnccl-dev, and build again";
    for (unsigned i = 0; i < 2; i++) {
        bool there = ta_plugin_path(names[i], path, sizeof path)[0] != '\0';
        printf("%-11s%s\n", names[i], there ? path : none);
    }
    const char *const texts[][2] = {{"cuDNN", found.cudnn}, {"cuBLASLt", found.cublaslt}, {"NCCL", found.nccl}};
    for (unsigned i = 0; i < 3; i++)
        if (texts[i][1][0] != '\0') printf("%-11s%-14sof this machine, for GPUs\n", texts[i][0], texts[i][1]);
    puts("");
}

static ta_status version(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("usage: tensair version\n\nPrints version, commit, compiler, and which libraries were found when it was "
               "built.\n");
        return TA_OK;
    }
    if (argc != 1) return ta_fail(TA_USAGE, "takes no arguments");
    printf("tensair %s (%s)\n", TA_PROGRAM_VERSION, TA_GIT_COMMIT);
    printf("built    %s, %s%s%s\n", TA_BUILD_TYPE, TA_BUILD_COMPILER,
           TA_BUILD_SANITIZE[0] != '\0' ? ", sanitizers " : "", TA_BUILD_SANITIZE);
#define X(name, version, package, use) printf("%-11s%-14s%s\n", name, version, use);
    TA_BUILD_REQUIRED(X)
#undef X
#define X(name, version, package, use)                                                                                 \
    if (version[0] != '\0') printf("%-11s%-14s%s\n", name, version, use);                                              \
    else printf("%-11s%-14s%s: install %s and build again\n", name, "not found", use, package);
    TA_BUILD_OPTIONAL(X)
#undef X
    puts("");
    print_plugins();
    print_makes("In this program: ", true);
    print_makes("Not in it: ", false);
    return TA_OK;
}

const struct ta_verb ta_verb_version = {
    .name = "version", .summary = "what this program is and what is built in", .run = version};
