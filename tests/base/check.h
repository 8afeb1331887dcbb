/* check: what the tests of this folder share: cmocka in its order, and assertions on statuses with their message. */
#ifndef TA_BASE_CHECK_H
#define TA_BASE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "status.h"

/* The call succeeds; otherwise its message is printed. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        ta_status got_ = (call);                                                                                       \
        if (got_ != TA_OK) fail_msg("%s gave %s: %s", #call, ta_status_name(got_), ta_why());                          \
    } while (0)

/* The call fails like this, and its message holds `part`. */
#define assert_fails(wanted, part, call)                                                                               \
    do {                                                                                                               \
        ta_why_clear();                                                                                                \
        ta_status got_ = (call);                                                                                       \
        if (got_ != (wanted))                                                                                          \
            fail_msg("%s gave %s, not %s: %s", #call, ta_status_name(got_), ta_status_name(wanted), ta_why());         \
        if (strstr(ta_why(), (part)) == NULL) fail_msg("%s said '%s', without '%s'", #call, ta_why(), (part));         \
    } while (0)

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
