/* signals: what the outside asks of a run, read from a descriptor instead of caught, so that no handler and no global
 * is needed. Blocked in the thread that opens (before any other thread is started, so in all of them).
 *
 *     SIGTERM SIGUSR1 SIGINT SIGHUP   checkpoint and stop          SIGUSR2   print state
 *     SIGINT again                    leave now                    SIGCHLD   (launcher) a replica ended
 *
 * SIGPIPE and SIGXFSZ are ignored: the write that fails says so.
 */
#ifndef TA_SIGNALS_H
#define TA_SIGNALS_H

#include <signal.h>
#include <stdint.h>

#include "status.h"

struct ta_signals {
    int fd;
    sigset_t before; /* the mask to restore */
    unsigned interrupts;
};

enum { TA_ASKED_STOP = 1, TA_ASKED_LEAVE = 2, TA_ASKED_STATE = 4, TA_ASKED_CHILD = 8 };

ta_status ta_signals_open(struct ta_signals *s); /* FAILED */
void ta_signals_close(struct ta_signals *s);
/* What was asked since the last call: TA_ASKED_*, or'ed. Never waits. */
unsigned ta_signals_read(struct ta_signals *s);
/* Waits for a signal, at most so long. */
void ta_signals_wait(struct ta_signals *s, int64_t most_ns);

#endif
