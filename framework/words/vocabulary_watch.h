/* vocabulary_watch: words without a row, the oftener seen of them (Space-Saving over a fixed number of places).
 *
 * A place holds a word, how often it was seen since it has the place, and what it inherited from the word that had the
 * place before. Places stand in lists by the sum of both, each list in the order in which its words came to that sum; a
 * new word takes a free place, else that of the word which has the lowest sum for the longest time. So `seen` never
 * says too much, seen + inherited never too little, and every step is O(1). Halving puts the lists together two by two.
 * Private to the vocabulary.
 */
#ifndef TA_VOCABULARY_WATCH_H
#define TA_VOCABULARY_WATCH_H

#include "vocabulary_scan.h"

enum { TA_WATCH_LISTS = 4096 /* the last one is for all higher sums, the one not seen for longest first */ };

struct ta_watched {
    struct ta_word_key key;
    uint64_t hash;
    uint32_t seen, inherited;
    uint32_t previous, next; /* place + 1, 0: none; free places are linked by next */
    bool used;
    bool queued;             /* belongs to the queue of those ripe for a row, and stays there when the word changes */
};

struct ta_watch {
    struct ta_watched *place; /* [places] */
    uint32_t places, opened;  /* opened: places that were ever used */
    uint32_t free;            /* place + 1 */
    uint32_t lowest;          /* no list below is in use */
    struct {
        uint32_t first, last; /* place + 1 */
    } list[TA_WATCH_LISTS];
};

/* `place`: [places], zeroed, the caller's. */
void ta_watch_start(struct ta_watch *watch, struct ta_watched *place, uint32_t places);
/* A place for a new word, not in use. When it was, *victim is true and *hash that of the word that had to go. */
uint32_t ta_watch_take(struct ta_watch *watch, bool *victim, uint64_t *hash);
/* The word now in that place was seen so often. */
void ta_watch_put(struct ta_watch *watch, uint32_t place, const struct ta_word_key *key, uint64_t hash, uint32_t seen);
void ta_watch_again(struct ta_watch *watch, uint32_t place); /* ... once more */
void ta_watch_drop(struct ta_watch *watch, uint32_t place);  /* the word got a row */
void ta_watch_fade(struct ta_watch *watch);                  /* halves all, rounding down */

#endif
