/* share: bitmaps of batch numbers, and the dealing that follows from them. Nothing here reads data or time. */
#include "share.h"

#include <string.h>

#include "mem.h"

enum { WORD_BITS = 64 };

static const uint64_t max_bits = UINT64_C(1) << 36; /* a bitmap of 8 GiB: beyond is no run, but a damaged number */

void ta_frontier_free(struct ta_frontier *f) {
    ta_mem_free(f->bits);
    *f = (struct ta_frontier){0};
}

/* Room for bit `bit`. Grows by half at least, so that a long life costs amortised O(1) a batch. */
static ta_status reserve(struct ta_frontier *f, uint64_t bit) {
    uint64_t words = bit / WORD_BITS + 1;
    if (words <= f->words) return TA_OK;
    if (bit >= max_bits)
        return ta_fail(TA_NO_MEMORY, "set of trained batches: a batch %llu above the first one missing is too far off",
                       (unsigned long long)bit);
    if (words < f->words + f->words / 2) words = f->words + f->words / 2;
    uint64_t *bits;
    ta_status status = TA_NEW(&bits, words, "set of trained batches");
    if (status != TA_OK) return status;
    if (f->words > 0) memcpy(bits, f->bits, f->words * sizeof *bits);
    ta_mem_free(f->bits);
    f->bits = bits;
    f->words = words;
    return TA_OK;
}

/* Moves base up by `by`; the bits below fall out (the caller knows them to be in the set). */
static void advance(struct ta_frontier *f, uint64_t by) {
    f->base += by;
    uint64_t skip = by / WORD_BITS;
    unsigned shift = by % WORD_BITS;
    if (by == 0 || f->words == 0) return;
    for (size_t i = 0; i < f->words; i++) {
        uint64_t low = skip < f->words - i ? f->bits[i + skip] : 0;
        uint64_t high = skip + 1 < f->words - i ? f->bits[i + skip + 1] : 0;
        f->bits[i] = shift == 0 ? low : low >> shift | high << (WORD_BITS - shift);
    }
}

/* Base becomes the first batch that is not in the set. */
static void settle(struct ta_frontier *f) {
    uint64_t ones = 0;
    for (size_t i = 0; i < f->words; i++) {
        if (f->bits[i] != UINT64_MAX) {
            ones += (uint64_t)__builtin_ctzll(~f->bits[i]);
            break;
        }
        ones += WORD_BITS;
    }
    advance(f, ones);
}

ta_status ta_frontier_add(struct ta_frontier *f, uint64_t batch) {
    if (batch < f->base) return TA_OK;
    uint64_t bit = batch - f->base;
    ta_status status = reserve(f, bit);
    if (status != TA_OK) return status;
    f->bits[bit / WORD_BITS] |= UINT64_C(1) << bit % WORD_BITS;
    if (bit == 0) settle(f);
    return TA_OK;
}

bool ta_frontier_has(const struct ta_frontier *f, uint64_t batch) {
    if (batch < f->base) return true;
    uint64_t bit = batch - f->base;
    return bit / WORD_BITS < f->words && f->bits[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

/* One past the highest bit that is set, from base; 0: none. */
static uint64_t span(const struct ta_frontier *f) {
    for (size_t i = f->words; i > 0; i--)
        if (f->bits[i - 1] != 0) return i * WORD_BITS - (uint64_t)__builtin_clzll(f->bits[i - 1]);
    return 0;
}

ta_status ta_frontier_merge(struct ta_frontier *into, const struct ta_frontier *from) {
    uint64_t bits = span(from);
    uint64_t end = from->base + bits, base = from->base > into->base ? from->base : into->base;
    if (end > base) {
        ta_status status = reserve(into, end - base - 1); /* before anything changes */
        if (status != TA_OK) return status;
    }
    advance(into, base - into->base);
    uint64_t lead = into->base - from->base; /* bits of `from` that `into` already has below its base */
    uint64_t skip = lead / WORD_BITS;
    unsigned shift = lead % WORD_BITS;
    for (size_t i = 0; i < into->words && skip < from->words && i < from->words - skip; i++) {
        uint64_t low = from->bits[i + skip];
        uint64_t high = i + skip + 1 < from->words ? from->bits[i + skip + 1] : 0;
        into->bits[i] |= shift == 0 ? low : low >> shift | high << (WORD_BITS - shift);
    }
    settle(into);
    return TA_OK;
}

ta_status ta_frontier_copy(struct ta_frontier *into, const struct ta_frontier *from) {
    struct ta_frontier fresh = {.base = from->base};
    uint64_t bits = span(from);
    if (bits > 0) {
        ta_status status = reserve(&fresh, bits - 1);
        if (status != TA_OK) return status;
        memcpy(fresh.bits, from->bits, fresh.words * sizeof *fresh.bits);
    }
    ta_mem_free(into->bits);
    *into = fresh;
    settle(into); /* what came from a file may not have been settled */
    return TA_OK;
}

uint64_t ta_frontier_count(const struct ta_frontier *f) {
    uint64_t count = f->base;
    for (size_t i = 0; i < f->words; i++) count += (uint64_t)__builtin_popcountll(f->bits[i]);
    return count;
}

/* Rows of the deal, n batches each, that all have done: with no holes in `start` they need not be looked at one by
 * one. */
static uint64_t whole_rows(const struct ta_frontier *start, const uint64_t *counts, unsigned n, uint64_t end) {
    uint64_t least = UINT64_MAX, most = end > start->base ? (end - start->base) / n : 0;
    if (span(start) > 0) return 0;
    for (unsigned i = 0; i < n; i++) least = counts[i] < least ? counts[i] : least;
    return least < most ? least : most;
}

ta_status ta_frontier_dealt(struct ta_frontier *done, const struct ta_frontier *start, const uint64_t *counts,
                            unsigned n, uint64_t end) {
    if (n == 0) return ta_fail(TA_INVALID, "set of trained batches: dealt to nobody");
    struct ta_frontier sum = {0};
    ta_status status = ta_frontier_copy(&sum, start);
    uint64_t row = whole_rows(start, counts, n, end), most = 0;
    sum.base += row * n; /* where there are holes, this is none */
    for (unsigned i = 0; i < n; i++) most = counts[i] > most ? counts[i] : most;
    uint64_t batch = start->base + row * n;
    for (unsigned i = 0; row < most && batch < end && status == TA_OK; batch++) {
        if (ta_frontier_has(start, batch)) continue;
        if (row < counts[i]) status = ta_frontier_add(&sum, batch);
        if (++i < n) continue;
        i = 0;
        row++;
    }
    if (status == TA_OK) status = ta_frontier_copy(done, &sum);
    ta_frontier_free(&sum);
    return status;
}

ta_status ta_share_init(struct ta_share *share, unsigned rank, unsigned n_ranks, const struct ta_frontier *start) {
    *share = (struct ta_share){.rank = rank, .n_ranks = n_ranks};
    if (n_ranks == 0 || rank >= n_ranks)
        return ta_fail(TA_INVALID, "share: rank %u of %u: ranks count from 0 and stay below their number", rank,
                       n_ranks);
    if (start == NULL) return TA_OK;
    ta_status status = ta_frontier_copy(&share->start, start);
    if (status == TA_OK) status = ta_frontier_copy(&share->done, start);
    if (status != TA_OK) {
        ta_share_free(share);
        return status;
    }
    share->cursor = share->start.base;
    return TA_OK;
}

void ta_share_free(struct ta_share *share) {
    ta_frontier_free(&share->start);
    ta_frontier_free(&share->done);
}

bool ta_share_next(struct ta_share *share, uint64_t end, uint64_t *batch) {
    while (share->cursor < end) {
        uint64_t candidate = share->cursor++;
        if (ta_frontier_has(&share->start, candidate)) continue;
        if (share->dealt++ % share->n_ranks != share->rank) continue;
        *batch = candidate;
        return true;
    }
    return false;
}

ta_status ta_share_done(struct ta_share *share, uint64_t batch) { return ta_frontier_add(&share->done, batch); }
