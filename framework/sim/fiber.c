/* fiber: stacks by mmap, with a page below that nobody may touch; switched by swapcontext. */
#include "fiber.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

/* Memory is used only where a stack was touched: of a replica that trains, some pages. */
enum { STACK_BYTES = 1 << 20, GUARD_BYTES = 1 << 16 };

struct ta_fiber {
    ucontext_t here, caller;
    void (*run)(void *argument);
    void *argument;
    char *stack;
    bool ended;
    void *fake, *caller_fake; /* of the address sanitizer, which keeps stacks of its own */
    const void *caller_stack;
    size_t caller_bytes;
};

/* The address sanitizer must know which stack is in use. */
static void leave_for(void **fake, const void *stack, size_t bytes) {
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(fake, stack, bytes);
#else
    (void)fake, (void)stack, (void)bytes;
#endif
}

static void arrived(void *fake, const void **stack, size_t *bytes) {
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
    (void)fake, (void)stack, (void)bytes;
#endif
}

/* makecontext hands over ints: an address in two halves. */
static void begin(unsigned high, unsigned low) {
    struct ta_fiber *f = (struct ta_fiber *)((uintptr_t)high << 32 | low);
    arrived(NULL, &f->caller_stack, &f->caller_bytes);
    f->run(f->argument);
    f->ended = true;
    leave_for(NULL, f->caller_stack, f->caller_bytes);
    swapcontext(&f->here, &f->caller);
}

ta_status ta_fiber_create(void (*run)(void *argument), void *argument, struct ta_fiber **out) {
    *out = NULL;
    struct ta_fiber *f;
    ta_status status = TA_NEW(&f, 1, "a simulated replica");
    if (status != TA_OK) return status;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    f->stack = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (f->stack == MAP_FAILED || mprotect(f->stack, GUARD_BYTES, PROT_NONE) != 0 || getcontext(&f->here) != 0) {
        status = ta_fail_errno(TA_NO_MEMORY, "no stack of %d bytes for a simulated replica", STACK_BYTES);
        if (f->stack == MAP_FAILED) f->stack = NULL;
        ta_fiber_destroy(f);
        return status;
    }
    f->run = run;
    f->argument = argument;
    f->here.uc_stack.ss_sp = f->stack + GUARD_BYTES;
    f->here.uc_stack.ss_size = STACK_BYTES;
    f->here.uc_link = NULL;
    uintptr_t self = (uintptr_t)f;
    makecontext(&f->here, (void (*)(void))begin, 2, (unsigned)(self >> 32), (unsigned)self);
    *out = f;
    return TA_OK;
}

void ta_fiber_destroy(struct ta_fiber *f) {
    if (f == NULL) return;
    if (f->stack != NULL) munmap(f->stack, STACK_BYTES + GUARD_BYTES);
    ta_mem_free(f);
}

void ta_fiber_resume(struct ta_fiber *f) {
    if (f->ended) return;
    leave_for(&f->caller_fake, f->stack + GUARD_BYTES, STACK_BYTES);
    swapcontext(&f->caller, &f->here);
    arrived(f->caller_fake, NULL, NULL);
}

void ta_fiber_yield(struct ta_fiber *f) {
    leave_for(&f->fake, f->caller_stack, f->caller_bytes);
    swapcontext(&f->here, &f->caller);
    arrived(f->fake, &f->caller_stack, &f->caller_bytes);
}

bool ta_fiber_ended(const struct ta_fiber *f) { return f->ended; }
