/* expect: what tests share: cmocka in its order, and assertions on statuses with their message. */
#ifndef TA_TEST_EXPECT_H
#define TA_TEST_EXPECT_H

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

#endif
