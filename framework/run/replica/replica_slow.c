/* replica_slow: a replica that takes a multiple of the time it needs (run.slow), for experiments with stragglers on
 * machines that are all alike. It sleeps, so the core it does not use is free for the others, as another machine's
 * would be. */
#include <time.h>

#include "clock.h"
#include "replica_internal.h"

static double factor_of(const struct ta_replica *r) {
    const struct ta_run_section *run = &r->run->run;
    double factor = 1;
    for (uint32_t i = 0; i < run->slow_count; i++)
        if (run->slow[i].rank == r->config.rank) factor = run->slow[i].factor;
    return factor;
}

void ta_replica_slow(struct ta_replica *r) {
    if (r->run->run.slow_count == 0 || r->config.shared != NULL) return; /* simulated time has its own */
    double more_ns = (factor_of(r) - 1) * (double)(ta_clock_now_ns() - r->mark_ns);
    if (!(more_ns > 0)) return;
    struct timespec pause = {.tv_sec = (time_t)(more_ns / 1e9)};
    pause.tv_nsec = (long)(more_ns - (double)pause.tv_sec * 1e9);
    (void)nanosleep(&pause, NULL); /* a signal cuts it short: then there is something else to do */
}
