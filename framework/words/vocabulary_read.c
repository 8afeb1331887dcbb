/* vocabulary_read: words to rows, and the counting that comes with it.
 *
 * Words are taken some at a time, in three passes, so that the memory of one word is on its way while others are worked
 * on: find the words and hash them; find the row with that hash; make sure that it is the word, and count it. Rows do
 * not change in between, so only words without a row, which do change places, are looked for again.
 */
#include "vocabulary_internal.h"

enum { AT_ONCE = 64 };

/* Each place is in the queue at most once, so that it has room for all. */
static void queue_add(struct ta_vocabulary *v, uint32_t place) {
    struct ta_watched *w = &v->watch.place[place];
    if (w->queued) return;
    w->queued = true;
    uint64_t at = (uint64_t)v->queue_first + v->queue_count++;
    v->queue[at < v->watch.places ? at : at - v->watch.places] = place;
}

/* A word that has no row: its keeper watches it. `found`: its place, or nothing yet. */
static void watch(struct ta_vocabulary *v, const struct ta_word_key *key, uint64_t hash, uint32_t found) {
    uint32_t place;
    if (v->config.n_ranks > 1 && ta_word_keeper(v, hash) != v->config.rank) return;
    if (found != TA_SLOT_NONE) {
        place = found & ~TA_SLOT_WATCHED;
        ta_watch_again(&v->watch, place);
    } else {
        place = ta_word_watch(v, key, hash, 1);
    }
    if (v->watch.place[place].seen >= v->config.admit) queue_add(v, place);
}

/* The first value with that hash, which nearly always is that of the word. */
static uint32_t guess(const struct ta_vocabulary *v, uint64_t hash) {
    for (uint64_t at = ta_slot_home(v, hash); v->slot[at].used; at = ta_slot_next(v, at))
        if (v->slot[at].hash == hash) return v->slot[at].value;
    return TA_SLOT_NONE;
}

static void look_up(struct ta_vocabulary *v, const struct ta_word_key *key, size_t n, int32_t *rows) {
    uint64_t hash[AT_ONCE];
    uint32_t value[AT_ONCE];
    for (size_t i = 0; i < n; i++) {
        hash[i] = ta_word_hash(&key[i]);
        __builtin_prefetch(&v->slot[ta_slot_home(v, hash[i])]);
    }
    for (size_t i = 0; i < n; i++) {
        value[i] = guess(v, hash[i]);
        if (value[i] & TA_SLOT_WATCHED) continue;
        __builtin_prefetch(&v->name[value[i]]);
        __builtin_prefetch(&v->count[value[i]], 1);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t row = value[i];
        if (row & TA_SLOT_WATCHED || !ta_word_same(&v->name[row], &key[i])) row = ta_slot_find(v, &key[i], hash[i]);
        if (row & TA_SLOT_WATCHED) {
            watch(v, &key[i], hash[i], row);
            rows[i] = -1;
        } else {
            v->count[row]++;
            v->stats.known++;
            rows[i] = (int32_t)row;
        }
    }
}

size_t ta_vocabulary_read(struct ta_vocabulary *v, const char *text, size_t bytes, int32_t *words, size_t most) {
    struct ta_word_key key[AT_ONCE];
    struct ta_scan scan;
    size_t found = 0;
    if (bytes == 0 || most == 0) return 0;
    ta_scan_start(&scan, text, bytes);
    for (;;) {
        size_t want = most - found < AT_ONCE ? most - found : AT_ONCE;
        if (want > v->until_fade) want = (size_t)v->until_fade;
        size_t n = ta_scan_next(&scan, key, want);
        if (n == 0) break;
        look_up(v, key, n, words + found);
        found += n;
        v->stats.words += n;
        v->until_fade -= n;
        if (v->until_fade == 0) {
            ta_row_fade(v);
            ta_watch_fade(&v->watch);
            v->until_fade = v->config.fade_words;
        }
    }
    v->stats.garbled += scan.garbled;
    return found;
}
