/* vocabulary_scan: the words of a text, one after the other, each as 32 bytes that can be compared and hashed at once.
 *
 * A pass over 64 bytes makes two bit maps, white space and bytes beyond ASCII; words then are runs of bits, so that
 * only words with a byte beyond ASCII are looked at again. White space is that of ASCII: space, \t \n \v \f \r. A word
 * beyond TA_VOCABULARY_WORD_BYTES is cut at a character's end; one that is not UTF-8, all of it, is passed over and
 * counted. Private to the vocabulary.
 */
#ifndef TA_VOCABULARY_SCAN_H
#define TA_VOCABULARY_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "vocabulary.h"

enum { TA_WORD_PARTS = (TA_VOCABULARY_WORD_BYTES + 1) / 8 };

/* A word padded by NUL; as many bytes as a name of the contract. */
struct ta_word_key {
    uint64_t part[TA_WORD_PARTS];
};

struct ta_scan {
    const char *text;
    size_t bytes;
    size_t base;           /* of the block the maps are of; a multiple of 64 */
    uint64_t space, wide;  /* bit i: byte base + i is white space (or beyond the text), is beyond ASCII */
    uint64_t done;         /* bits of this block that were read */
    uint64_t garbled;      /* words passed over so far */
};

/* `text` up to `bytes` or its first NUL. */
void ta_scan_start(struct ta_scan *scan, const char *text, size_t bytes);
/* The next `most` words or what is left of them; returns how many. */
size_t ta_scan_next(struct ta_scan *scan, struct ta_word_key *keys, size_t most);

/* True for a name that `ta_scan_next` could give: no white space, UTF-8, NULs behind it alone, not empty. */
bool ta_scan_is_word(const char name[TA_VOCABULARY_WORD_BYTES + 1]);

static inline uint64_t ta_word_mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* wyhash's mixing of 32 bytes; the constants are its own. The same on all replicas, since it says who keeps a word. */
static inline uint64_t ta_word_hash(const struct ta_word_key *key) {
    const uint64_t *part = key->part;
    uint64_t low = ta_word_mix(part[0] ^ UINT64_C(0xa0761d6478bd642f), part[1] ^ UINT64_C(0xe7037ed1a0b428db));
    uint64_t high = ta_word_mix(part[2] ^ UINT64_C(0x8ebc6af09c88c6e3), part[3] ^ UINT64_C(0x589965cc75374cc3));
    return ta_word_mix(low ^ UINT64_C(0x1d8e4e27c47d124f), high ^ UINT64_C(0xeb44accab455d165));
}

static inline bool ta_word_same(const struct ta_word_key *a, const struct ta_word_key *b) {
    return ((a->part[0] ^ b->part[0]) | (a->part[1] ^ b->part[1]) | (a->part[2] ^ b->part[2]) |
            (a->part[3] ^ b->part[3])) == 0;
}

#endif
