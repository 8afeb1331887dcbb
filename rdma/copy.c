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

enum {
    WORD = 4,
    LONG = 8,
    VECTOR = 16,
    SMALL_SEGMENT = 64,
    BLOCK = 64,         /* a cache line */
    AHEAD_BYTES = 4096, /* how far before its turn a row is fetched */
};

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

/* Whole 16-byte vectors, by blocks while there are; `to` is aligned to 16. Returns the bytes copied. */
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
    for (; i + VECTOR <= bytes; i += VECTOR) {
        _mm_store_si128((__m128i *)(void *)(to + i), _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
        NO_IDIOM;
    }
    return i;
}

/* The same past the cache, whole blocks only. stream_end makes these stores as ordered as any other. */
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
    return i;
}

static void stream_end(void) { _mm_sfence(); }
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

static void stream_end(void) {}
#endif

/* Both ends aligned to a word. */
static void copy_words(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    for (; i + WORD <= bytes && !aligned(to + i, to + i, VECTOR); i += WORD) copy_word(to + i, from + i);
    size_t rest = bytes - i;
    if (rest >= TA_COPY_STREAM_BYTES) {
        i += stream_blocks(to + i, from + i, rest);
        stream_end();
    } else {
        i += copy_blocks(to + i, from + i, rest);
    }
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

/* Rows of a table, each read and written in place; the one whose turn comes AHEAD later is fetched meanwhile. Many long
 * rows go past the cache, where their lines would only be fetched to be overwritten: only rows of whole lines, because
 * half a line costs more that way. */
static void copy_rows(unsigned char *to, const unsigned char *from, const struct ta_put_segment *s) {
    const size_t bytes = s->bytes, last = s->n_rows - 1, ahead = 1 + AHEAD_BYTES / bytes;
    const bool words = aligned(to, from, WORD) && bytes % WORD == 0;
    const bool past = words && bytes % BLOCK == 0 && aligned(to, to, BLOCK) &&
                      ta_put_segment_bytes(s) >= TA_COPY_STREAM_ROWS_BYTES;
    for (size_t i = 0; i < s->n_rows; i++) {
        size_t at = s->rows[i] * bytes, next = s->rows[i + ahead < last ? i + ahead : last] * bytes;
        for (size_t c = 0; c < bytes; c += BLOCK) {
            __builtin_prefetch(from + next + c, 0);
            if (!past) __builtin_prefetch(to + next + c, 1);
        }
        if (past)
            stream_blocks(to + at, from + at, bytes);
        else if (words)
            copy_words(to + at, from + at, bytes);
        else
            memcpy(to + at, from + at, bytes);
    }
    if (past) stream_end();
}

void ta_copy_put(void *base, const struct ta_put_segment *segments, unsigned n_segments) {
    for (unsigned i = 0; i < n_segments; i++) {
        const struct ta_put_segment *s = &segments[i];
        unsigned char *target = (unsigned char *)base + s->target_offset;
        if (s->rows == NULL) {
            ta_copy_segment(target, s->source, s->bytes);
        } else if (ta_put_segment_bytes(s) > 0) {
            atomic_thread_fence(memory_order_release);
            copy_rows(target, s->source, s);
            atomic_thread_fence(memory_order_release);
        }
    }
}

/* The list is looked over without a branch a row, in vectors; which row is too great is asked only when one is. */
static ta_status check_rows(unsigned peer, unsigned segment, size_t window_bytes, const struct ta_put_segment *s) {
    size_t room = (window_bytes - s->target_offset) / s->bytes, at = 0, all;
    uint32_t rows = room < UINT32_MAX ? (uint32_t)room : UINT32_MAX, beyond = 0;
    for (size_t i = 0; i < s->n_rows; i++) beyond |= s->rows[i] >= rows;
    while (beyond && at < s->n_rows && s->rows[at] < room) at++;
    if (beyond && at < s->n_rows)
        return ta_fail(TA_INVALID,
                       "segment %u of a put to peer %u: row %u, listed at %zu of %zu, of %zu bytes from offset %zu on, "
                       "ends beyond its window of %zu bytes: there is room for %zu rows",
                       segment, peer, s->rows[at], at, s->n_rows, s->bytes, s->target_offset, window_bytes, room);
    if (__builtin_mul_overflow(s->n_rows, s->bytes, &all))
        return ta_fail(TA_INVALID, "segment %u of a put to peer %u: %zu rows of %zu bytes are more than can be counted",
                       segment, peer, s->n_rows, s->bytes);
    return TA_OK;
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
        if (s->bytes == 0 || (s->rows != NULL && s->n_rows == 0)) continue;
        if (s->source == NULL)
            return ta_fail(TA_INVALID, "segment %u of a put to peer %u has no source", i, peer);
        ta_status status = s->rows != NULL ? check_rows(peer, i, window_bytes, s) : TA_OK;
        if (status != TA_OK) return status;
    }
    return TA_OK;
}
