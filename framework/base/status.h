/* status: how every call of the house says how it went.
 *
 * A function that can fail returns a `ta_status`. The message a user reads is made once, where the cause is known, by
 * `ta_fail`; every caller above only returns the status. The message names the thing (file, line, peer, key), both
 * numbers where two disagree, and the cure. It is kept per thread, like errno: read it in the thread that failed,
 * before the next failing call of that thread. Nothing here allocates.
 */
#ifndef TA_STATUS_H
#define TA_STATUS_H

/* X(name, exit code of the program, meaning) */
#define TA_STATUS_LIST(X)                                                                                              \
    X(OK, 0, "success")                                                                                                \
    X(FAILED, 1, "the run failed")                                                                                     \
    X(NO_MEMORY, 1, "out of memory")                                                                                   \
    X(NUMERIC, 1, "not a finite number")                                                                               \
    X(INVALID, 1, "a caller inside the program broke a contract")                                                      \
    X(USAGE, 2, "wrong command line")                                                                                  \
    X(CONFIG, 2, "wrong configuration")                                                                                \
    X(IN_USE, 2, "somebody else is using it")                                                                          \
    X(NOT_BUILT, 2, "not built into this program")                                                                     \
    X(PEER, 69, "a peer is gone")                                                                                      \
    X(DEVICE, 69, "a device is gone or missing")                                                                       \
    X(IO, 74, "input or output failed")                                                                                \
    X(FORMAT, 74, "a file is not what it should be")                                                                   \
    X(REQUEUE, 75, "checkpointed; please run again")                                                                   \
    X(BUSY, 1, "not now: ask again after progress")                                                                    \
    X(AGAIN, 1, "nothing there yet")                                                                                   \
    X(END, 1, "there is no more")

typedef enum ta_status {
#define X(name, code, meaning) TA_##name,
    TA_STATUS_LIST(X)
#undef X
} ta_status;

/* The enum's name without the prefix ("IO"), its meaning, and the exit code of the program. Any value is accepted. */
const char *ta_status_name(ta_status status);
const char *ta_status_meaning(ta_status status);
int ta_status_exit_code(ta_status status);

/* Records the message for this thread (at most 1,023 bytes, cut beyond) and returns `status`.
 * `return ta_fail(TA_CONFIG, "%s:%d: ...", file, line);` BUSY, AGAIN and END need no message: return them as is. */
ta_status ta_fail(ta_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with ": " and strerror(errno) behind it. */
ta_status ta_fail_errno(ta_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The last message of this thread, or "" when none was made. Valid until the thread's next ta_fail. */
const char *ta_why(void);

/* Forgets the message of this thread. */
void ta_why_clear(void);

#endif
