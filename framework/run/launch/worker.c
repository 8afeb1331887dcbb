/* worker: the loop around tick. */
#include "worker.h"

#include <stdio.h>
#include <sys/prctl.h>

#include "clock.h"

enum {
    LOOK_EVERY = 5 * 1000 * 1000,   /* ns between two looks at signals and progress */
    SPIN = 60 * 1000,               /* ns: nearer than this a due time is waited for awake */
    PEER_NAP = 50 * 1000,           /* ns: a peer may put something any moment */
    REST_NAP = 1000 * 1000,         /* ns: waiting for others at rest, once it takes long */
    SHORT_NAPS = 200,               /* before it takes long */
    FIRST_NAPS = 10,
    JOIN_NAP = 5 * 1000 * 1000,     /* ns: waiting for peers to appear */
    LONGEST_NAP = 10 * 1000 * 1000, /* ns */
};

/* Sleeps until something can have happened. With peers the nap is short: what they put is applied, and answered, by
 * us. */
static void nap(struct ta_worker *w, struct ta_replica *r, int64_t now_ns, unsigned naps) {
    int64_t left_ns = ta_replica_wake_ns(r, now_ns) - now_ns;
    bool training = ta_replica_state(r) == TA_REPLICA_TRAINING;
    if (ta_replica_state(r) ==
        TA_REPLICA_JOINING) { /* those who are here leave the cores to those who are on their way */
        ta_signals_wait(w->signals, naps > FIRST_NAPS ? JOIN_NAP : PEER_NAP);
        return;
    }
    if (training && left_ns > 0 && left_ns < SPIN) return;
    if (!training && naps > SHORT_NAPS) {
        ta_signals_wait(w->signals, REST_NAP);
        return;
    }
    int64_t longest_ns = w->replica.n_ranks > 1 ? PEER_NAP : LONGEST_NAP;
    if (left_ns <= 0) left_ns = PEER_NAP; /* the reader, a peer or the disk is behind */
    else if (training && left_ns > SPIN) left_ns -= SPIN;
    ta_signals_wait(w->signals, left_ns < longest_ns ? left_ns : longest_ns);
}

static bool obey(struct ta_worker *w, struct ta_replica *r, int64_t now_ns) {
    unsigned asked = ta_signals_read(w->signals);
    if (asked & TA_ASKED_STATE) ta_replica_print(r, now_ns);
    if (asked & TA_ASKED_STOP) ta_replica_stop(r);
    if (w->progress != NULL) ta_progress_tick(w->progress, w->replica.board, now_ns);
    return (asked & TA_ASKED_LEAVE) == 0;
}

ta_status ta_worker_run(struct ta_worker *w) {
    struct ta_replica *r;
    w->interrupted = false;
    ta_status status = ta_replica_open(&w->replica, &r);
    if (status != TA_OK) return status;
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* naps of 50 us should not become 100 */
    int64_t look_ns = 0;
    unsigned naps = 0; /* one after another */
    for (;;) {
        int64_t now_ns = ta_clock_now_ns();
        if (now_ns >= look_ns) {
            look_ns = now_ns + LOOK_EVERY;
            if (!obey(w, r, now_ns)) {
                w->interrupted = true;
                status = ta_fail(TA_FAILED, "interrupted twice: left without a checkpoint");
                break;
            }
        }
        status = ta_replica_tick(r, now_ns);
        naps = status == TA_AGAIN ? naps + 1 : 0;
        if (status == TA_AGAIN) nap(w, r, now_ns, naps);
        else if (status != TA_OK) break;
    }
    char why[512]; /* closing may fail too: the first reason is the one to tell */
    snprintf(why, sizeof why, "%s", ta_why());
    ta_replica_close(r);
    if (status == TA_END) return TA_OK;
    return status == TA_REQUEUE ? status : ta_fail(status, "%s", why);
}
