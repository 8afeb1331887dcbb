/* copy: the loops behind copy.h. x86-64 by SSE2, everything else by relaxed 8-byte atomics.
 *
 * A 16-byte load or store never splits an aligned 4- or 8-byte word on any x86-64 (it splits at cache lines, if at
 * all), so vector copies keep words whole; the stress test of tests/rdma looks for the opposite.
 */
#include "copy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* The source may be written by its owner and the target read by its owner while we copy: races by design, word by word,
 * so the thread sanitizer must not see these loops. */
#if defined(__clang__) || defined(__GNUC__)
#define RACY __attribute__((no_sanitize("thread")))
#else
#define RACY
#endif

enum { WORD = 4, LONG = 8, SMALL_SEGMENT = 64, BLOCK = 64 };

static bool aligned(const void *a, const void *b, size_t to) { return (((uintptr_t)a | (uintptr_t)b) & (to - 1)) == 0; }

static uint64_t load_long(const void *source) {
    return atomic_load_explicit((_Atomic const uint64_t *)source, memory_order_relaxed);
}

static void copy_long(unsigned char *to, const unsigned char *from, memory_order order) {
    atomic_store_explicit((_Atomic uint64_t *)(void *)to, load_long(from), order);
}

static void copy_word(unsigned char *to, const unsigned char *from) {
    uint32_t word = atomic_load_explicit((_Atomic const uint32_t *)(const void *)from, memory_order_relaxed);
    atomic_store_explicit((_Atomic uint32_t *)(void *)to, word, memory_order_relaxed);
}

static void copy_small(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    for (; i + LONG < bytes; i += LONG) copy_long(to + i, from + i, memory_order_relaxed);
    copy_long(to + i, from + i, memory_order_release);
}

#if defined(__x86_64__)
/* Keeps the compiler from seeing memmove in a loop: that promises no whole words. */
#define NO_IDIOM __asm__ volatile("" : : : "memory")

/* Whole 64-byte blocks; `to` is aligned to 16. Returns the bytes copied. */
RACY static size_t copy_blocks(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    for (; i + BLOCK <= bytes; i += BLOCK) {
        const __m128i *s = (const __m128i *)(const void *)(from + i);
        __m128i *d = (__m128i *)(void *)(to + i);
        __m128i a = _mm_loadu_si128(s), b = _mm_loadu_si128(s + 1);
        __m128i c = _mm_loadu_si128(s + 2), e = _mm_loadu_si128(s + 3);
        _mm_store_si128(d, a);
        _mm_store_si128(d + 1, b);
        _mm_store_si128(d + 2, c);
        _mm_store_si128(d + 3, e);
        NO_IDIOM;
    }
    return i;
}

/* The same past the cache. The fence at the end makes these stores as ordered as any other. */
RACY static size_t stream_blocks(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    for (; i + BLOCK <= bytes; i += BLOCK) {
        const __m128i *s = (const __m128i *)(const void *)(from + i);
        __m128i *d = (__m128i *)(void *)(to + i);
        __m128i a = _mm_loadu_si128(s), b = _mm_loadu_si128(s + 1);
        __m128i c = _mm_loadu_si128(s + 2), e = _mm_loadu_si128(s + 3);
        _mm_stream_si128(d, a);
        _mm_stream_si128(d + 1, b);
        _mm_stream_si128(d + 2, c);
        _mm_stream_si128(d + 3, e);
        NO_IDIOM;
    }
    _mm_sfence();
    return i;
}
#else
static size_t copy_blocks(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    if (!aligned(to, from, LONG)) return 0;
    for (; i + LONG <= bytes; i += LONG) copy_long(to + i, from + i, memory_order_relaxed);
    return i;
}

static size_t stream_blocks(unsigned char *to, const unsigned char *from, size_t bytes) {
    return copy_blocks(to, from, bytes);
}
#endif

/* Both ends aligned to a word. */
static void copy_words(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    for (; i + WORD <= bytes && !aligned(to + i, to + i, 16); i += WORD) copy_word(to + i, from + i);
    size_t rest = bytes - i;
    i += rest >= TA_COPY_STREAM_BYTES ? stream_blocks(to + i, from + i, rest) : copy_blocks(to + i, from + i, rest);
    for (; i + WORD <= bytes; i += WORD) copy_word(to + i, from + i);
    for (; i < bytes; i++) to[i] = from[i];
}

void ta_copy_segment(void *target, const void *source, size_t bytes) {
    if (bytes == 0) return;
    atomic_thread_fence(memory_order_release);
    if (bytes <= SMALL_SEGMENT && bytes % LONG == 0 && aligned(target, source, LONG))
        copy_small(target, source, bytes);
    else if (aligned(target, source, WORD))
        copy_words(target, source, bytes);
    else
        memcpy(target, source, bytes);
    atomic_thread_fence(memory_order_release);
}

void ta_copy_put(void *base, const struct ta_put_segment *segments, unsigned n_segments) {
    for (unsigned i = 0; i < n_segments; i++)
        ta_copy_segment((unsigned char *)base + segments[i].target_offset, segments[i].source, segments[i].bytes);
}

ta_status ta_put_check(unsigned peer, size_t window_bytes, const struct ta_put_segment *segments, unsigned n_segments) {
    if (n_segments > TA_PUT_MAX_SEGMENTS)
        return ta_fail(TA_INVALID, "a put of %u segments to peer %u: at most %d go in one put", n_segments, peer,
                       TA_PUT_MAX_SEGMENTS);
    for (unsigned i = 0; i < n_segments; i++) {
        const struct ta_put_segment *s = &segments[i];
        if (s->bytes > window_bytes || s->target_offset > window_bytes - s->bytes)
            return ta_fail(TA_INVALID,
                           "segment %u of a put to peer %u: %zu bytes at offset %zu end beyond its window of "
                           "%zu bytes",
                           i, peer, s->bytes, s->target_offset, window_bytes);
        if (s->bytes > 0 && s->source == NULL)
            return ta_fail(TA_INVALID, "segment %u of a put to peer %u has no source", i, peer);
    }
    return TA_OK;
}
