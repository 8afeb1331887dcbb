/* vectors_index: open addressing, at most half full. */
#include "vectors_index.h"

#include "mem.h"

static unsigned char folded(const struct ta_word_index *index, char c) {
    return (unsigned char)(index->fold && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool same(const struct ta_word_index *index, const char *a, const char *b) {
    while (*a != '\0' && folded(index, *a) == folded(index, *b)) a++, b++;
    return *a == *b;
}

/* FNV-1a, then the high bits mixed into the low ones, which choose the slot. */
static size_t hash(const struct ta_word_index *index, const char *word) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *word != '\0'; word++) h = (h ^ folded(index, *word)) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the word, or the free one where it belongs. */
static size_t slot(const struct ta_word_index *index, const char *word) {
    size_t at = hash(index, word) & index->mask;
    while (index->slots[at] != 0 && !same(index, word, ta_names_get(index->names, index->slots[at] - 1)))
        at = (at + 1) & index->mask;
    return at;
}

ta_status ta_word_index_open(struct ta_word_index *index, const struct ta_names *names, size_t most, bool fold) {
    size_t count = most < names->count ? most : names->count, room = 16;
    while (room < 2 * count) room *= 2;
    *index = (struct ta_word_index){.names = names, .mask = room - 1, .fold = fold};
    ta_status status = TA_NEW(&index->slots, room, "an index of words");
    for (size_t i = 0; i < count && status == TA_OK; i++) {
        size_t at = slot(index, ta_names_get(names, i));
        if (index->slots[at] == 0) index->slots[at] = (uint32_t)i + 1;
    }
    return status;
}

void ta_word_index_close(struct ta_word_index *index) {
    ta_mem_free(index->slots);
    *index = (struct ta_word_index){0};
}

uint32_t ta_word_index_find(const struct ta_word_index *index, const char *word) {
    return index->slots[slot(index, word)] - 1; /* a free slot holds 0: missing */
}
