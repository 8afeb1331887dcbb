/* clock: clock_gettime, and a sleep that ends on time. */
#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * TA_NS_PER_S + t.tv_nsec;
}

int64_t ta_clock_now_ns(void) { return read_ns(CLOCK_MONOTONIC); }

int64_t ta_clock_wall_ns(void) { return read_ns(CLOCK_REALTIME); }

void ta_clock_sleep_until(int64_t due_ns, int64_t spin_ns) {
    int64_t wake_ns = due_ns - spin_ns;
    if (wake_ns > ta_clock_now_ns()) {
        struct timespec t = {.tv_sec = wake_ns / TA_NS_PER_S, .tv_nsec = wake_ns % TA_NS_PER_S};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        }
    }
    while (ta_clock_now_ns() < due_ns) {
    }
}

void ta_clock_iso8601(int64_t wall_ns, char text[25]) {
    time_t seconds = (time_t)(wall_ns / TA_NS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char day[20];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, 25, "%s.%03uZ", day, (unsigned)(wall_ns % TA_NS_PER_S / 1000000) % 1000);
}
