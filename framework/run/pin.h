/* pin: which core each replica of this machine gets, by hwloc. */
#ifndef TA_PIN_H
#define TA_PIN_H

#include <sched.h>

#include "status.h"

struct ta_pin {
    unsigned cores; /* that this process may use */
    cpu_set_t *sets; /* [replicas] */
};

/* Deals the cores this process may use (its own affinity is honoured) to `replicas`, `threads` neighbouring ones each, a
 * core's hyper-threads together; round robin when there are too few. Errors: NO_MEMORY, FAILED (no topology). */
ta_status ta_pin_plan(unsigned replicas, unsigned threads, struct ta_pin *out);
void ta_pin_free(struct ta_pin *pin);

#endif
