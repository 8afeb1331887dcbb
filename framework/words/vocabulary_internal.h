/* vocabulary_internal: what the files of the vocabulary share, and nobody else.
 *
 * One table of slots finds rows and watched words alike: a word is in one of the two. What a row is called is a
 * register that its keeper writes; that of two rows of one name only one counts is worked out here, from the registers
 * alone, so that replicas agree whatever came first. The other row is called so too, but nobody's: it has its slot
 * behind that of the better one, and takes over when that one is renamed.
 */
#ifndef TA_VOCABULARY_INTERNAL_H
#define TA_VOCABULARY_INTERNAL_H

#include "vocabulary_watch.h"

/* 16 bytes, so that four share a cache line and a probe seldom leaves it. */
struct ta_slot {
    uint64_t hash;
    uint32_t value; /* row, or TA_SLOT_WATCHED | place */
    uint32_t used;
};

#define TA_SLOT_WATCHED UINT32_C(0x80000000)
#define TA_SLOT_NONE UINT32_MAX

struct ta_vocabulary {
    struct ta_vocabulary_config config; /* with what is meant by 0; admit and fade_words: of this replica's share */
    struct ta_slot *slot;
    uint64_t slots;            /* at least 1.5 times what can be in it */
    struct ta_word_key *name;  /* [rows] registers; all zero: nobody's */
    uint64_t *count;           /* [rows] faded; 0: no word, or one that another row of that name has */
    struct ta_watch watch;
    uint32_t *queue;           /* [candidates] ring of places whose words may be ripe for a row */
    uint32_t queue_first, queue_count;
    uint64_t *heap;            /* [own rows] count << 32 | row, the lowest first; a count is never above the true one */
    uint32_t own;              /* rows that this replica keeps */
    bool heap_stale;           /* a count has become lower: make it anew */
    uint64_t until_fade;       /* words */
    struct ta_vocabulary_stats stats;
    size_t bytes;
};

static inline uint64_t ta_slot_home(const struct ta_vocabulary *v, uint64_t hash) {
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)hash * v->slots >> 64);
}

static inline uint64_t ta_slot_next(const struct ta_vocabulary *v, uint64_t at) {
    return at + 1 == v->slots ? 0 : at + 1;
}

static inline const struct ta_word_key *ta_slot_key(const struct ta_vocabulary *v, uint32_t value) {
    return value & TA_SLOT_WATCHED ? &v->watch.place[value & ~TA_SLOT_WATCHED].key : &v->name[value];
}

/* The value of that word, TA_SLOT_NONE when it has none. Of rows of one name: the one that counts. */
static inline uint32_t ta_slot_find(const struct ta_vocabulary *v, const struct ta_word_key *key, uint64_t hash) {
    for (uint64_t at = ta_slot_home(v, hash);; at = ta_slot_next(v, at)) {
        const struct ta_slot *s = &v->slot[at];
        if (!s->used) return TA_SLOT_NONE;
        if (s->hash == hash && ta_word_same(ta_slot_key(v, s->value), key)) return s->value;
    }
}

static inline bool ta_word_empty(const struct ta_word_key *key) { return key->part[0] == 0; }

static inline unsigned ta_word_keeper(const struct ta_vocabulary *v, uint64_t hash) {
    return (uint32_t)hash % v->config.n_ranks;
}

static inline bool ta_row_is_own(const struct ta_vocabulary *v, uint32_t row) {
    return row % v->config.n_ranks == v->config.rank;
}

/* vocabulary_slots.c. The word of `value` is in place, its hash is `hash`. */
void ta_slot_add(struct ta_vocabulary *v, uint64_t hash, uint32_t value);
void ta_slot_remove(struct ta_vocabulary *v, uint64_t hash, uint32_t value); /* it is there */

/* vocabulary_rows.c. Calls a row anew (an empty key: nobody's), with what its count starts with, or what the word's
 * count was in another row, if that was more. A watched word is no longer watched. */
void ta_row_rename(struct ta_vocabulary *v, uint32_t row, const struct ta_word_key *key, uint64_t seen);
/* Watches a word that has no row and no place, as seen so often; returns its place. */
uint32_t ta_word_watch(struct ta_vocabulary *v, const struct ta_word_key *key, uint64_t hash, uint32_t seen);
/* The least useful row of this replica, a free one if there is any; the lowest of equals. */
uint32_t ta_row_least(struct ta_vocabulary *v);
/* Its count is above 0 now. Only after ta_row_least gave it. */
void ta_row_taken(struct ta_vocabulary *v, uint32_t row);
void ta_row_fade(struct ta_vocabulary *v); /* halves all counts, rounding up: a word keeps at least 1 */

#endif
