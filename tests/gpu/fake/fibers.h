/* fibers: stacks that a kernel's threads run on. One thread of the process uses them at a time (lock()). */
#ifndef TA_FAKE_FIBERS_H
#define TA_FAKE_FIBERS_H

#include <stddef.h>

namespace ta_fake {

struct Fiber;

/* A stack with `run` on it, which must never return: it leaves. Ends the process where there is no memory. */
Fiber *fiber_create(void (*run)());
/* From outside: goes on in the fiber until it leaves. */
void fiber_enter(Fiber *fiber);
/* From inside: goes back to who entered. */
void fiber_leave(Fiber *fiber);

} // namespace ta_fake

#endif
