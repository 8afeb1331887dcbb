/* version: `tensair version`: what this program is and what is built in. */
#include <stdio.h>
#include <string.h>

#include "build_options.h"
#include "cli.h"

static ta_status version(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("usage: tensair version\n\nPrints version, commit, compiler, and which libraries were found when it was built.\n");
        return TA_OK;
    }
    if (argc != 1) return ta_fail(TA_USAGE, "takes no arguments");
    printf("tensair %s (%s)\n", TA_PROGRAM_VERSION, TA_GIT_COMMIT);
    printf("built    %s, %s%s%s\n", TA_BUILD_TYPE, TA_BUILD_COMPILER, TA_BUILD_SANITIZE[0] != '\0' ? ", sanitizers " : "",
           TA_BUILD_SANITIZE);
#define X(name, version, package, use) printf("%-11s%-14s%s\n", name, version, use);
    TA_BUILD_REQUIRED(X)
#undef X
#define X(name, version, package, use)                                                                                 \
    if (version[0] != '\0') printf("%-11s%-14s%s\n", name, version, use);                                              \
    else printf("%-11s%-14s%s: install %s and build again\n", name, "not found", use, package);
    TA_BUILD_OPTIONAL(X)
#undef X
    puts("\nIn this program: kernels cpu; transports self, shm, sim; exchange live. Not in this version, whatever was found\n"
         "above: kernels cuda; transports verbs, ofi; exchanges dasgd, sync.");
    return TA_OK;
}

const struct ta_verb ta_verb_version = {.name = "version", .summary = "what this program is and what is built in", .run = version};
