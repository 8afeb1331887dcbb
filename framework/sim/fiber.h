/* fiber: a function on a stack of its own, which runs when it is resumed and stops where it yields.
 *
 * A simulated replica is one: what it calls may say, however deep, that it takes a second, and the others go on
 * meanwhile. Made of makecontext(3); SimGrid's "contexts" are the same.
 *
 * Threads: a fiber belongs to the thread that made it.
 */
#ifndef TA_FIBER_H
#define TA_FIBER_H

#include <stdbool.h>

#include "status.h"

struct ta_fiber;

/* `run(argument)` begins at the first resume. Errors: NO_MEMORY. */
ta_status ta_fiber_create(void (*run)(void *argument), void *argument, struct ta_fiber **out);
/* One that has not come to its end is gone as it stands: what it held in locals is never given back. NULL is fine. */
void ta_fiber_destroy(struct ta_fiber *fiber);

/* Goes on with it until it yields or ends. Not from within a fiber. */
void ta_fiber_resume(struct ta_fiber *fiber);
/* From within: back to who resumed. */
void ta_fiber_yield(struct ta_fiber *fiber);
bool ta_fiber_ended(const struct ta_fiber *fiber);

#endif
