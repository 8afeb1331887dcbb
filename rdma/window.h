/* window: memory that named peers may write into, and how to read it while they do.
 *
 * A window is created by a transport (transport.h), which owns it until it is closed. What lies where in it is the
 * exchange's business. Peers write with puts; the owner reads with the calls below, from any thread.
 */
#ifndef TA_WINDOW_H
#define TA_WINDOW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum ta_mem_kind { TA_MEM_HOST, TA_MEM_PINNED, TA_MEM_GPU };

struct ta_window {
    void *base; /* page-aligned, zeroed at birth */
    size_t bytes;
    enum ta_mem_kind kind;
};

/* An aligned 8-byte word that a peer may be writing: read whole, and everything that was put before it is visible to
 * what the caller reads after it. */
static inline uint64_t ta_window_load_u64(const void *word) {
    return atomic_load_explicit((_Atomic const uint64_t *)word, memory_order_acquire);
}

#endif
