/* A bottleneck that is known: preloaded into a replica, it lets SLOW_BATCHES_PER_S batches through a second. A replica
 * gives every batch back by one sem_post (replayer.h); here that takes its time, measured against a schedule, so that
 * what the machine takes away for a moment is made up for. */
#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int sem_post(sem_t *semaphore) {
    static int64_t next_ns; /* one thread posts */
    static int (*real)(sem_t *);
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "sem_post");
        memcpy(&real, &found, sizeof real);
    }
    const char *rate = getenv("SLOW_BATCHES_PER_S");
    double per_s = rate != NULL ? strtod(rate, NULL) : 0;
    if (per_s > 0) {
        int64_t gap_ns = (int64_t)(1e9 / per_s), present_ns = now_ns();
        if (next_ns < present_ns - 100 * gap_ns) next_ns = present_ns; /* idle: what was not used is lost */
        next_ns += gap_ns;
        struct timespec until = {.tv_sec = next_ns / 1000000000, .tv_nsec = next_ns % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
        }
    }
    return real(semaphore);
}
