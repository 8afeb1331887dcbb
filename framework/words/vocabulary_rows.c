/* vocabulary_rows: what rows are called, and which of those kept here is the least useful. */
#include "vocabulary_internal.h"

static void forget(struct ta_vocabulary *v, uint32_t row) {
    struct ta_word_key old = v->name[row];
    if (ta_word_empty(&old)) return;
    uint64_t hash = ta_word_hash(&old), count = v->count[row];
    ta_slot_remove(v, hash, row);
    v->name[row] = (struct ta_word_key){{0}};
    v->count[row] = 0;
    if (count == 0) return; /* another row of that name has the word */
    uint32_t heir = ta_slot_find(v, &old, hash);
    if (heir == TA_SLOT_NONE) v->stats.used--;
    else v->count[heir] = count;
}

void ta_row_rename(struct ta_vocabulary *v, uint32_t row, const struct ta_word_key *key, uint64_t seen) {
    struct ta_word_key fresh = *key;
    if (ta_row_is_own(v, row)) v->heap_stale = true;
    forget(v, row);
    if (ta_word_empty(&fresh)) return;

    uint64_t hash = ta_word_hash(&fresh);
    uint32_t before = ta_slot_find(v, &fresh, hash);
    if (before != TA_SLOT_NONE && (before & TA_SLOT_WATCHED)) {
        ta_slot_remove(v, hash, before);
        ta_watch_drop(&v->watch, before & ~TA_SLOT_WATCHED);
        before = TA_SLOT_NONE;
    }
    v->name[row] = fresh;
    ta_slot_add(v, hash, row);
    if (before == TA_SLOT_NONE) {
        v->stats.used++;
        v->count[row] = seen > 0 ? seen : 1;
    } else if (ta_slot_find(v, &fresh, hash) == row) {
        v->count[row] = seen > v->count[before] ? seen : v->count[before];
        v->count[before] = 0;
        if (ta_row_is_own(v, before)) v->heap_stale = true;
    }
}

uint32_t ta_word_watch(struct ta_vocabulary *v, const struct ta_word_key *key, uint64_t hash, uint32_t seen) {
    bool victim;
    uint64_t old;
    uint32_t place = ta_watch_take(&v->watch, &victim, &old);
    if (victim) ta_slot_remove(v, old, TA_SLOT_WATCHED | place);
    ta_watch_put(&v->watch, place, key, hash, seen);
    ta_slot_add(v, hash, TA_SLOT_WATCHED | place);
    return place;
}

/* Counts only rise between two makings of the heap, so that one on top whose count is still true is the lowest. */
static uint64_t entry(const struct ta_vocabulary *v, uint32_t row) {
    uint64_t count = v->count[row] < UINT32_MAX ? v->count[row] : UINT32_MAX;
    return count << 32 | row;
}

static void sift_down(struct ta_vocabulary *v, uint32_t at) {
    uint64_t moving = v->heap[at];
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < v->own; at = (uint32_t)child) {
        if (child + 1 < v->own && v->heap[child + 1] < v->heap[child]) child++;
        if (moving <= v->heap[child]) break;
        v->heap[at] = v->heap[child];
    }
    v->heap[at] = moving;
}

static void make_heap(struct ta_vocabulary *v) {
    for (uint32_t i = 0; i < v->own; i++) v->heap[i] = entry(v, i * v->config.n_ranks + v->config.rank);
    for (uint32_t i = v->own / 2; i > 0; i--) sift_down(v, i - 1);
    v->heap_stale = false;
}

uint32_t ta_row_least(struct ta_vocabulary *v) {
    if (v->heap_stale) make_heap(v);
    for (;;) {
        uint32_t row = (uint32_t)v->heap[0];
        uint64_t now = entry(v, row);
        if (v->heap[0] == now) return row;
        v->heap[0] = now;
        sift_down(v, 0);
    }
}

void ta_row_taken(struct ta_vocabulary *v, uint32_t row) {
    v->heap[0] = entry(v, row);
    sift_down(v, 0);
    v->heap_stale = false;
}

void ta_row_fade(struct ta_vocabulary *v) {
    for (uint32_t row = 0; row < v->config.rows; row++) v->count[row] -= v->count[row] / 2;
    v->heap_stale = true;
}
