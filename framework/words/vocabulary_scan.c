/* vocabulary_scan: eight bytes at a time in plain integers, which compilers turn into vectors. */
#include "vocabulary_scan.h"

#include <string.h>

enum { BLOCK = 64 };

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The top bits of eight bytes as eight bits, the first byte lowest. */
static uint64_t gather(uint64_t tops) { return (tops >> 7) * UINT64_C(0x0102040810204080) >> 56; }

/* The top bit of each byte that is 9 .. 13 or 32. No sum carries into the next byte, so every bit is exact. */
static uint64_t spaces(uint64_t bytes) {
    uint64_t low = bytes & EACH(0x7f);
    uint64_t controls = (low + EACH(0x80 - 9)) & ~(low + EACH(0x80 - 14));
    uint64_t not_blank = (low ^ EACH(0x20)) + EACH(0x7f);
    return (controls | ~not_blank) & ~bytes & EACH(0x80);
}

/* Whole blocks are read where they lie; the last one is filled up with blanks. */
static void load(struct ta_scan *s) {
    unsigned char rest[BLOCK];
    const void *block = s->text + s->base;
    if (s->bytes - s->base < BLOCK) {
        memset(rest, ' ', BLOCK);
        memcpy(rest, block, s->bytes - s->base);
        block = rest;
    }
    uint64_t eight[BLOCK / 8];
    memcpy(eight, block, BLOCK);
    s->space = s->wide = 0;
    for (unsigned i = 0; i < BLOCK / 8; i++) {
        s->space |= gather(spaces(eight[i])) << 8 * i;
        s->wide |= gather(eight[i] & EACH(0x80)) << 8 * i;
    }
    s->done = 0;
}

void ta_scan_start(struct ta_scan *scan, const char *text, size_t bytes) {
    *scan = (struct ta_scan){.text = text, .bytes = strnlen(text, bytes)};
    if (scan->bytes > 0) load(scan);
}

static bool advance(struct ta_scan *s) {
    s->base += BLOCK;
    if (s->base >= s->bytes) return false;
    load(s);
    return true;
}

/* From the first byte of a word that begins at bit `first` of this block to the byte behind it; *wide: bytes beyond
 * ASCII are in it. */
static size_t word_end(struct ta_scan *s, unsigned first, uint64_t *wide) {
    uint64_t behind = UINT64_MAX << first, end = s->space & behind;
    *wide = 0;
    while (end == 0) {
        *wide |= s->wide & behind;
        if (!advance(s)) return s->bytes;
        behind = UINT64_MAX;
        end = s->space;
    }
    uint64_t below = end ^ (end - 1); /* up to the white space, which is not wide */
    *wide |= s->wide & behind & below;
    s->done = below;
    return s->base + (unsigned)__builtin_ctzll(end);
}

static void copy_key(const struct ta_scan *s, size_t first, size_t length, struct ta_word_key *key) {
    /* 32 bytes from `32 - length` on are 0xff as far as the word goes. */
    static const unsigned char mask[64] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    if (s->bytes - first < sizeof *key) {
        memset(key, 0, sizeof *key);
        memcpy(key, s->text + first, length);
        return;
    }
    struct ta_word_key keep;
    memcpy(&keep, mask + sizeof *key - length, sizeof keep);
    memcpy(key, s->text + first, sizeof *key);
    for (int i = 0; i < TA_WORD_PARTS; i++) key->part[i] &= keep.part[i];
}

size_t ta_scan_next(struct ta_scan *s, struct ta_word_key *keys, size_t most) {
    size_t n = 0;
    while (n < most && s->base < s->bytes) {
        uint64_t rest = ~s->space & ~s->done, wide;
        if (rest == 0) {
            if (!advance(s)) break;
            continue;
        }
        unsigned bit = (unsigned)__builtin_ctzll(rest);
        size_t first = s->base + bit, length = word_end(s, bit, &wide) - first;
        if (wide != 0 && !ta_names_utf8(s->text + first, length)) {
            s->garbled++;
            continue;
        }
        if (length > TA_VOCABULARY_WORD_BYTES) {
            length = TA_VOCABULARY_WORD_BYTES;
            while (((unsigned char)s->text[first + length] & 0xc0) == 0x80) length--;
        }
        copy_key(s, first, length, &keys[n++]);
    }
    return n;
}

bool ta_scan_is_word(const char name[TA_VOCABULARY_WORD_BYTES + 1]) {
    size_t length = strnlen(name, TA_VOCABULARY_WORD_BYTES + 1);
    if (length == 0 || length > TA_VOCABULARY_WORD_BYTES) return false;
    for (size_t i = 0; i <= TA_VOCABULARY_WORD_BYTES; i++) {
        unsigned char c = (unsigned char)name[i];
        if (i >= length ? c != 0 : c == ' ' || (c >= '\t' && c <= '\r')) return false;
    }
    return ta_names_utf8(name, length);
}
