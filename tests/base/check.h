/* check: a fresh directory for the tests of this folder. */
#ifndef TA_BASE_CHECK_H
#define TA_BASE_CHECK_H

#include "expect.h"

/* A fresh directory for one test program; removed with all its files by scratch_remove. */
static inline void scratch_make(char directory[64]) {
    const char *base = getenv("TMPDIR");
    snprintf(directory, 64, "%s/ta-base-XXXXXX", base != NULL && strlen(base) < 40 ? base : "/tmp");
    if (mkdtemp(directory) == NULL) fail_msg("cannot make a directory like %s", directory);
}

static inline void scratch_remove(const char *directory) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) fail_msg("cannot remove %s", directory);
}

#endif
