/* fibers: stacks by mmap, with a page below that nobody may touch. Switched by hand where we know how, since the C
 * library's way makes a system call each time, and sanitizers clear all of a stack; by swapcontext elsewhere. */
#include "fibers.h"

#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "fake.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace ta_fake {

enum { STACK = 64 << 10, BELOW = 1 << 12 };

struct Fiber {
    void *here, *caller; /* stack pointers */
    ucontext_t context, caller_context;
    void (*run)();
    char *stack;
    void *mine, *callers; /* of a sanitizer */
    const void *caller_stack;
    size_t caller_bytes;
};

static Fiber *beginning; /* entered for the first time */

static void arrived(Fiber *f, bool inside) {
#if defined(__SANITIZE_ADDRESS__)
    if (inside) __sanitizer_finish_switch_fiber(f->mine, &f->caller_stack, &f->caller_bytes);
    else __sanitizer_finish_switch_fiber(f->callers, nullptr, nullptr);
#else
    (void)f, (void)inside;
#endif
}

static void begin() {
    Fiber *f = beginning;
    arrived(f, true);
    f->run();
    misuse("a fiber returned");
}

#if defined(__x86_64__)
/* Keeps what a call must keep on this stack and its address in *from; goes on with what is kept at `to`. */
extern "C" void ta_fake_switch(void **from, void *to);
asm(".pushsection .text\n"
    ".hidden ta_fake_switch\n"
    ".globl ta_fake_switch\n"
    ".type ta_fake_switch, @function\n"
    "ta_fake_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size ta_fake_switch, . - ta_fake_switch\n"
    ".popsection\n");

static void prepare(Fiber *f) {
    enum { KEPT = 6 };
    void **top = reinterpret_cast<void **>(f->stack + BELOW + STACK) - 4; /* begin() finds it as a call leaves it */
    top[1] = nullptr;
    top[0] = reinterpret_cast<void *>(begin);
    for (int i = 1; i <= KEPT; i++) top[-i] = nullptr;
    f->here = top - KEPT;
}

static void into(Fiber *f) { ta_fake_switch(&f->caller, f->here); }
static void out_of(Fiber *f) { ta_fake_switch(&f->here, f->caller); }
#else
static void prepare(Fiber *f) {
    if (getcontext(&f->context) != 0) misuse("no context for a thread of a kernel");
    f->context.uc_stack.ss_sp = f->stack + BELOW;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, begin, 0);
}

static void into(Fiber *f) { swapcontext(&f->caller_context, &f->context); }
static void out_of(Fiber *f) { swapcontext(&f->context, &f->caller_context); }
#endif

Fiber *fiber_create(void (*run)()) {
    Fiber *f = new Fiber();
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void *stack = mmap(nullptr, STACK + BELOW, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, BELOW, PROT_NONE) != 0)
        misuse("no stack of %d bytes for a thread of a kernel", STACK);
    f->run = run;
    f->stack = static_cast<char *>(stack);
    prepare(f);
#if defined(__SANITIZE_THREAD__)
    f->mine = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_enter(Fiber *f) {
    beginning = f;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&f->callers, f->stack + BELOW, STACK);
#elif defined(__SANITIZE_THREAD__)
    f->callers = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->mine, 0);
#endif
    into(f);
    arrived(f, false);
}

void fiber_leave(Fiber *f) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&f->mine, f->caller_stack, f->caller_bytes);
#elif defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(f->callers, 0);
#endif
    out_of(f);
    arrived(f, true);
}

} // namespace ta_fake
