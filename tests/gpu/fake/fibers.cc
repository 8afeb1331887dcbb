/* fibers: stacks by mmap, with a page below that nobody may touch; begun by makecontext, switched by _setjmp and _longjmp, which make
 * no system call, or by swapcontext where a sanitizer must follow. */
#include "fibers.h"

#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "fake.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define TA_SWAPS 1
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define TA_SWAPS 1
#endif

namespace ta_fake {

enum { STACK = 256 << 10, BELOW = 1 << 12 };

struct Fiber {
    ucontext_t here, caller;
    jmp_buf inside, outside;
    bool begun;
    void (*run)();
    char *stack;
    void *mine, *callers; /* of a sanitizer */
    const void *caller_stack;
    size_t caller_bytes;
};

static void leaving(Fiber *f, bool inwards) {
#if defined(__SANITIZE_ADDRESS__)
    if (inwards) __sanitizer_start_switch_fiber(&f->callers, f->stack + BELOW, STACK);
    else __sanitizer_start_switch_fiber(&f->mine, f->caller_stack, f->caller_bytes);
#elif defined(__SANITIZE_THREAD__)
    if (inwards) f->callers = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(inwards ? f->mine : f->callers, 0);
#else
    (void)f, (void)inwards;
#endif
}

static void arrived(Fiber *f, bool inside) {
#if defined(__SANITIZE_ADDRESS__)
    if (inside) __sanitizer_finish_switch_fiber(f->mine, &f->caller_stack, &f->caller_bytes);
    else __sanitizer_finish_switch_fiber(f->callers, nullptr, nullptr);
#else
    (void)f, (void)inside;
#endif
}

/* makecontext hands over ints: an address in two halves. */
static void begin(unsigned high, unsigned low) {
    Fiber *f = reinterpret_cast<Fiber *>((uintptr_t)high << 32 | low);
    arrived(f, true);
    f->run();
    misuse("a fiber returned");
}

Fiber *fiber_create(void (*run)()) {
    Fiber *f = new Fiber();
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void *stack = mmap(nullptr, STACK + BELOW, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, BELOW, PROT_NONE) != 0 || getcontext(&f->here) != 0)
        misuse("no stack of %d bytes for a thread of a kernel", STACK);
    f->run = run;
    f->stack = static_cast<char *>(stack);
    f->here.uc_stack.ss_sp = f->stack + BELOW;
    f->here.uc_stack.ss_size = STACK;
    f->here.uc_link = nullptr;
    uintptr_t self = reinterpret_cast<uintptr_t>(f);
    makecontext(&f->here, reinterpret_cast<void (*)()>(begin), 2, (unsigned)(self >> 32), (unsigned)self);
#if defined(__SANITIZE_THREAD__)
    f->mine = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_enter(Fiber *f) {
    leaving(f, true);
#ifdef TA_SWAPS
    swapcontext(&f->caller, &f->here);
#else
    if (_setjmp(f->outside) == 0) {
        if (f->begun) _longjmp(f->inside, 1);
        f->begun = true;
        setcontext(&f->here);
    }
#endif
    arrived(f, false);
}

void fiber_leave(Fiber *f) {
    leaving(f, false);
#ifdef TA_SWAPS
    swapcontext(&f->here, &f->caller);
#else
    if (_setjmp(f->inside) == 0) _longjmp(f->outside, 1);
#endif
    arrived(f, true);
}

} // namespace ta_fake
