/* scratch: a directory of its own for each test, and whole files in and out of it. */
#ifndef TA_TEST_SCRATCH_H
#define TA_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "status.h"

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

/* cmocka's setup and teardown: *state is the directory's path (a string). */
int scratch_setup(void **state);
int scratch_teardown(void **state);
void scratch_empty(const char *directory); /* removes everything in it, folders too */

/* "directory/name" in `path`, which is returned. */
const char *scratch_path(char path[512], const char *directory, const char *name);

/* A whole file; *bytes its size; freed by free(). */
unsigned char *file_read(const char *path, size_t *bytes);
void file_write(const char *path, const unsigned char *data, size_t bytes);

#endif
