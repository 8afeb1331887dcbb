/* vocabulary: set-up, decisions, and what is told about it. Reading is in vocabulary_read.c, the parts it works with in
 * vocabulary_{scan,slots,rows,watch}.c. */
#include "vocabulary.h"

#include <string.h>

#include "mem.h"
#include "vocabulary_internal.h"

enum { CANDIDATES_LEAST = 1024, FADE_PER_ROW = 100, FADE_LEAST = 10000000 };

_Static_assert(sizeof(struct ta_word_key) == TA_VOCABULARY_WORD_BYTES + 1, "a key is a name");

static uint64_t share(uint64_t whole, unsigned n_ranks) { return whole / n_ranks + (whole % n_ranks != 0); }

static ta_status check(const struct ta_vocabulary_config *c) {
    if (c->rows < 1 || c->rows > INT32_MAX)
        return ta_fail(TA_CONFIG, "vocabulary: %u rows; it must be between 1 and %d", c->rows, INT32_MAX);
    if (c->admit < 1) return ta_fail(TA_CONFIG, "vocabulary: admit: 0; a word must be seen 1 time or more");
    if (c->candidates > INT32_MAX)
        return ta_fail(TA_CONFIG, "vocabulary: %u candidates; it must be at most %d", c->candidates, INT32_MAX);
    if (c->rank >= c->n_ranks)
        return ta_fail(TA_CONFIG, "vocabulary: rank %u of %u; ranks count from 0", c->rank, c->n_ranks);
    if (c->rows < c->n_ranks)
        return ta_fail(TA_CONFIG, "vocabulary: %u rows for %u replicas; each keeps rows of its own, so use at least %u",
                       c->rows, c->n_ranks, c->n_ranks);
    return TA_OK;
}

static ta_status take(struct ta_vocabulary *v, uint64_t count, size_t size, void **out) {
    ta_status status = ta_mem_alloc(count, size, "vocabulary", out);
    if (status == TA_OK) v->bytes += count * size;
    return status;
}

ta_status ta_vocabulary_open(const struct ta_vocabulary_config *config, struct ta_vocabulary **out) {
    struct ta_vocabulary *v;
    struct ta_watched *place = NULL;
    *out = NULL;
    ta_status status = check(config);
    if (status == TA_OK) status = TA_NEW(&v, 1, "vocabulary");
    if (status != TA_OK) return status;

    struct ta_vocabulary_config *c = &v->config;
    *c = *config;
    if (c->candidates == 0) c->candidates = c->rows > CANDIDATES_LEAST ? c->rows : CANDIDATES_LEAST;
    if (c->fade_words == 0) c->fade_words = (uint64_t)FADE_PER_ROW * c->rows;
    if (config->fade_words == 0 && c->fade_words < FADE_LEAST) c->fade_words = FADE_LEAST;
    c->admit = (uint32_t)share(c->admit, c->n_ranks);
    c->fade_words = share(c->fade_words, c->n_ranks);
    v->bytes = sizeof *v;
    v->until_fade = c->fade_words;
    v->heap_stale = true;
    v->own = (c->rows - c->rank + c->n_ranks - 1) / c->n_ranks;
    v->slots = ((uint64_t)c->rows + c->candidates) * 3 / 2 + 1;

    status = take(v, v->slots, sizeof *v->slot, (void **)&v->slot);
    if (status == TA_OK) status = take(v, c->rows, sizeof *v->name, (void **)&v->name);
    if (status == TA_OK) status = take(v, c->rows, sizeof *v->count, (void **)&v->count);
    if (status == TA_OK) status = take(v, v->own, sizeof *v->heap, (void **)&v->heap);
    if (status == TA_OK) status = take(v, c->candidates, sizeof *v->queue, (void **)&v->queue);
    if (status == TA_OK) status = take(v, c->candidates, sizeof *place, (void **)&place);
    ta_watch_start(&v->watch, place, c->candidates);
    if (status == TA_OK) *out = v;
    else ta_vocabulary_close(v);
    return status;
}

void ta_vocabulary_close(struct ta_vocabulary *v) {
    if (v == NULL) return;
    ta_mem_free(v->watch.place);
    ta_mem_free(v->queue);
    ta_mem_free(v->heap);
    ta_mem_free(v->count);
    ta_mem_free(v->name);
    ta_mem_free(v->slot);
    ta_mem_free(v);
}

/* The next place of the queue, if its word is ripe. */
static bool ripe(struct ta_vocabulary *v, uint32_t *place) {
    *place = v->queue[v->queue_first];
    v->queue_first = v->queue_first + 1 < v->watch.places ? v->queue_first + 1 : 0;
    v->queue_count--;
    struct ta_watched *w = &v->watch.place[*place];
    w->queued = false;
    return w->used && w->seen >= v->config.admit;
}

/* A word that lost its row is not forgotten, else one that is seen about as often as others would have to begin anew
 * each time; but it does not come back at once either, because a row that changes hands forgets what it learned. */
static void evicted(struct ta_vocabulary *v, const struct ta_word_key *key, uint64_t count) {
    uint64_t hash = ta_word_hash(key), seen = count - count / 4;
    v->stats.evicted++;
    if (ta_word_keeper(v, hash) != v->config.rank || ta_slot_find(v, key, hash) != TA_SLOT_NONE) return;
    ta_word_watch(v, key, hash, seen < UINT32_MAX ? (uint32_t)seen : UINT32_MAX);
}

size_t ta_vocabulary_decide(struct ta_vocabulary *v, struct ta_vocabulary_change *changes, size_t most) {
    size_t n = 0;
    uint32_t place;
    while (n < most && v->queue_count > 0) {
        if (!ripe(v, &place)) continue;
        struct ta_watched w = v->watch.place[place];
        uint32_t row = ta_row_least(v);
        /* It comes back into the queue when it is seen again. */
        if (v->count[row] >= w.seen) continue;
        struct ta_word_key old = v->name[row];
        uint64_t old_count = v->count[row];
        v->stats.admitted++;
        ta_row_rename(v, row, &w.key, w.seen);
        ta_row_taken(v, row);
        if (old_count > 0) evicted(v, &old, old_count);
        changes[n].row = row;
        memcpy(changes[n].name, &w.key, sizeof changes[n].name);
        n++;
    }
    return n;
}

bool ta_vocabulary_set(struct ta_vocabulary *v, uint32_t row, const char name[TA_VOCABULARY_WORD_BYTES + 1],
                       uint64_t seen) {
    struct ta_word_key key = {{0}};
    if (row >= v->config.rows) return false;
    if (ta_scan_is_word(name)) memcpy(&key, name, sizeof key);
    if (ta_word_same(&key, &v->name[row])) return false;
    ta_row_rename(v, row, &key, seen < INT64_MAX ? seen : INT64_MAX);
    return true;
}

const uint64_t *ta_vocabulary_counts(const struct ta_vocabulary *v) { return v->count; }

ta_status ta_vocabulary_names(const struct ta_vocabulary *v, struct ta_names *out) {
    ta_status status = TA_OK;
    *out = (struct ta_names){0};
    for (uint32_t row = 0; status == TA_OK && row < v->config.rows; row++) {
        const char *name = (const char *)&v->name[row];
        size_t bytes = v->count[row] > 0 ? strnlen(name, TA_VOCABULARY_WORD_BYTES) : 0;
        status = ta_names_add(out, name, bytes, v->count[row]);
    }
    if (status != TA_OK) ta_names_free(out);
    return status;
}

void ta_vocabulary_stats(const struct ta_vocabulary *v, struct ta_vocabulary_stats *out) { *out = v->stats; }

size_t ta_vocabulary_bytes(const struct ta_vocabulary *v) { return v->bytes; }
