/* status: the one table of results and the per-thread message. */
#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

/* Per thread like errno, so that replicas sharing a process do not see each other's failures. */
static _Thread_local char message[MESSAGE_BYTES];

struct row {
    const char *name;
    int exit_code;
    const char *meaning;
};

static const struct row rows[] = {
#define X(name, code, meaning) {#name, code, meaning},
    TA_STATUS_LIST(X)
#undef X
};

static const struct row *row_of(ta_status status) {
    static const struct row unknown = {"UNKNOWN", 1, "unknown status"};
    unsigned i = (unsigned)status;
    return i < sizeof rows / sizeof rows[0] ? &rows[i] : &unknown;
}

const char *ta_status_name(ta_status status) { return row_of(status)->name; }

const char *ta_status_meaning(ta_status status) { return row_of(status)->meaning; }

int ta_status_exit_code(ta_status status) { return row_of(status)->exit_code; }

ta_status ta_fail(ta_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    /* Formatted aside first: an argument may be ta_why() itself. */
    char fresh[MESSAGE_BYTES];
    vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    memcpy(message, fresh, sizeof message);
    return status;
}

ta_status ta_fail_errno(ta_status status, const char *format, ...) {
    int code = errno;
    char fresh[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    return ta_fail(status, "%s: %s", fresh, strerror(code));
}

const char *ta_why(void) { return message; }

void ta_why_clear(void) { message[0] = '\0'; }
