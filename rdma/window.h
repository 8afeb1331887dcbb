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

/* Pieces of a window that are to lie in the memory of a GPU: n of them, `bytes` each, at first, first + stride, ...
 * They keep their offsets in the window; the CPU's memory there is never touched. n 0: there are none. */
struct ta_window_far {
    size_t first, stride, bytes;
    unsigned n;
};

struct ta_window {
    void *base; /* page-aligned, zeroed at birth; the rest of its last page is nobody else's */
    size_t bytes;
    enum ta_mem_kind kind;
    struct ta_window_far far;
    void *far_base;   /* GPU memory: piece i begins at far_base + i * far_pitch; zeroed at birth */
    size_t far_pitch; /* a multiple of 512 */
};

/* Whether [offset, offset + bytes) lies in a far piece, wholly. A range that lies in one by halves is nobody's. */
static inline int ta_window_is_far(const struct ta_window_far *far, size_t offset, size_t bytes, size_t *piece,
                                   size_t *within) {
    if (far->n == 0 || offset < far->first) return 0;
    size_t i = (offset - far->first) / far->stride, at = (offset - far->first) % far->stride;
    if (i >= far->n || at >= far->bytes || bytes > far->bytes - at) return 0;
    *piece = i;
    *within = at;
    return 1;
}

/* Where the byte at `offset` of the window lies: GPU memory in a far piece, else the CPU's. */
static inline void *ta_window_at(const struct ta_window *w, size_t offset) {
    size_t piece, within;
    if (ta_window_is_far(&w->far, offset, 1, &piece, &within))
        return (char *)w->far_base + piece * w->far_pitch + within;
    return (char *)w->base + offset;
}

/* An aligned 8-byte word that a peer may be writing: read whole, and everything that was put before it is visible to
 * what the caller reads after it. */
static inline uint64_t ta_window_load_u64(const void *word) {
    return atomic_load_explicit((_Atomic const uint64_t *)word, memory_order_acquire);
}

#endif
