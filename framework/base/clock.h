/* clock: the time of day for people and a steady clock for everything else.
 *
 * Every component that needs time takes `now_ns` as an argument, so that a simulator can drive it; only run/ and cli/
 * read the clock. Values are nanoseconds. Thread-safe.
 */
#ifndef TA_CLOCK_H
#define TA_CLOCK_H

#include <stdint.h>

#define TA_NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC: the same for all processes of a machine, never steps back. */
int64_t ta_clock_now_ns(void);

/* CLOCK_REALTIME, for log lines and manifests. */
int64_t ta_clock_wall_ns(void);

/* Returns at `due_ns` of the monotonic clock (at once when that is past). The last `spin_ns` are spent spinning, which
 * hides the kernel's wake-up latency; 0 only sleeps. */
void ta_clock_sleep_until(int64_t due_ns, int64_t spin_ns);

/* "2026-11-21T09:18:43.123Z": UTC, ISO 8601, milliseconds; `text` holds at least 25 bytes. */
void ta_clock_iso8601(int64_t wall_ns, char text[25]);

#endif
