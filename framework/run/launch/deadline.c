/* deadline: a thread that sleeps, asks, and in the end says SIGTERM. */
#include "deadline.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "time_left.h"

static const double spare_s = 10, times_longer = 2; /* disks are slower when all jobs of a reservation end */
static const double seldom_s = 60, often_s = 2;

struct ta_deadline {
    const struct ta_job_place *place;
    const struct ta_board *board;
    struct ta_log *log;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards over */
    pthread_cond_t wake;
    bool over;
};

double ta_deadline_margin_s(const struct ta_board *board) {
    int64_t longest_ns = 0;
    for (unsigned r = 0; r < board->n_rows; r++) {
        int64_t took_ns = ta_board_get(board->rows[r].save_ns);
        if (took_ns > longest_ns) longest_ns = took_ns;
    }
    return spare_s + times_longer * (double)longest_ns / TA_NS_PER_S;
}

/* False: it is over. */
static bool sleep_for(struct ta_deadline *d, double seconds) {
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(seconds * TA_NS_PER_S);
    struct timespec until = {.tv_sec = until_ns / TA_NS_PER_S, .tv_nsec = until_ns % TA_NS_PER_S};
    pthread_mutex_lock(&d->mutex);
    while (!d->over && pthread_cond_clockwait(&d->wake, &d->mutex, CLOCK_MONOTONIC, &until) == 0) continue;
    bool goes_on = !d->over;
    pthread_mutex_unlock(&d->mutex);
    return goes_on;
}

static void *watch(void *argument) {
    struct ta_deadline *d = argument;
    bool told = false;
    for (double pause_s = 0; sleep_for(d, pause_s);) {
        double left_s = INFINITY;
        ta_status status = ta_job_time_left(d->place, &left_s);
        pause_s = seldom_s;
        if (status != TA_OK) {
            if (status != TA_AGAIN && !told)
                ta_log_warn(d->log, "how long this job may still run is not known: %s; the last checkpoint will not be "
                            "timed by it", ta_why());
            told = true;
            continue;
        }
        double margin_s = ta_deadline_margin_s(d->board), early_s = left_s - margin_s;
        if (early_s <= 0) {
            ta_log_warn(d->log,
                        "the job ends in %.0f s, and a checkpoint may take %.0f s: checkpointing and stopping now",
                        left_s, margin_s);
            (void)kill(getpid(), SIGTERM);
            break;
        }
        if (early_s < seldom_s) pause_s = early_s > often_s ? early_s : often_s;
    }
    return NULL;
}

ta_status ta_deadline_open(const struct ta_job_place *place, const struct ta_board *board, struct ta_log *log,
                           struct ta_deadline **out) {
    struct ta_deadline *d;
    *out = NULL;
    if (!place->in_slurm) return TA_OK;
    ta_status status = TA_NEW(&d, 1, "the watch over the job's time");
    if (status != TA_OK) return status;
    d->place = place;
    d->board = board;
    d->log = log;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->wake, NULL);
    sigset_t all, before; /* signals are for the launcher's thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&d->thread, NULL, watch, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        *out = d;
        return TA_OK;
    }
    ta_mem_free(d);
    return ta_fail(TA_FAILED, "no thread can be started to watch over the job's time; see ulimit -u");
}

void ta_deadline_close(struct ta_deadline *d) {
    if (d == NULL) return;
    pthread_mutex_lock(&d->mutex);
    d->over = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->mutex);
    ta_mem_free(d);
}
