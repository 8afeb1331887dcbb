/* import_words: open addressing over XXH3, strings end to end in one block. */
#include "import_words.h"

#include <string.h>
#include <xxhash.h>

#include "mem.h"

enum { SLOTS_FIRST = 1024, WORDS_FIRST = 512, TEXT_FIRST = 8192 };

void ta_words_free(struct ta_words *words) {
    ta_mem_free(words->text);
    ta_mem_free(words->word);
    ta_mem_free(words->slot);
    memset(words, 0, sizeof *words);
}

/* A block of `capacity` elements that begins with the `used` ones of *block. */
static ta_status enlarge(void **block, size_t used, size_t capacity, size_t size) {
    void *larger;
    ta_status status = ta_mem_alloc(capacity, size, "list of words", &larger);
    if (status != TA_OK) return status;
    if (used > 0) memcpy(larger, *block, used * size);
    ta_mem_free(*block);
    *block = larger;
    return TA_OK;
}

static ta_status make_room(struct ta_words *w, size_t length) {
    ta_status status = TA_OK;
    if (w->text_capacity - w->text_used < length + 1) {
        size_t capacity = w->text_capacity == 0 ? TEXT_FIRST : 2 * w->text_capacity;
        if (capacity - w->text_used < length + 1) capacity = w->text_used + length + 1;
        status = enlarge((void **)&w->text, w->text_used, capacity, 1);
        if (status == TA_OK) w->text_capacity = capacity;
    }
    if (status == TA_OK && w->count == w->capacity) {
        size_t capacity = w->capacity == 0 ? WORDS_FIRST : 2 * w->capacity;
        status = enlarge((void **)&w->word, w->count, capacity, sizeof *w->word);
        if (status == TA_OK) w->capacity = capacity;
    }
    if (status != TA_OK || 2 * (w->count + 1) <= w->slots) return status;
    size_t slots = w->slots == 0 ? SLOTS_FIRST : 2 * w->slots;
    status = enlarge((void **)&w->slot, 0, slots, sizeof *w->slot);
    if (status != TA_OK) return status;
    w->slots = slots;
    for (size_t i = 0; i < w->count; i++) {
        size_t at = w->word[i].hash & (slots - 1);
        while (w->slot[at] != 0) at = (at + 1) & (slots - 1);
        w->slot[at] = (uint32_t)i + 1;
    }
    return TA_OK;
}

/* The slot that holds the word, or the free one where it would go. There is always a free one. */
static size_t look_up(const struct ta_words *w, const char *text, size_t length, uint32_t hash) {
    size_t at = hash & (w->slots - 1);
    for (; w->slot[at] != 0; at = (at + 1) & (w->slots - 1)) {
        const struct ta_word *word = &w->word[w->slot[at] - 1];
        if (word->hash == hash && word->length == length && memcmp(w->text + word->start, text, length) == 0) break;
    }
    return at;
}

ta_status ta_words_add(struct ta_words *w, const char *text, size_t length, uint32_t *number) {
    uint32_t hash = (uint32_t)XXH3_64bits(text, length);
    size_t at = w->slots == 0 ? 0 : look_up(w, text, length, hash);
    if (w->slots == 0 || w->slot[at] == 0) {
        if (w->count >= INT32_MAX) return ta_fail(TA_NO_MEMORY, "more than %d distinct words", INT32_MAX);
        ta_status status = make_room(w, length);
        if (status != TA_OK) return status;
        at = look_up(w, text, length, hash);
        w->word[w->count] = (struct ta_word){.start = w->text_used, .length = (uint32_t)length, .hash = hash};
        memcpy(w->text + w->text_used, text, length);
        w->text[w->text_used + length] = '\0';
        w->text_used += length + 1;
        w->slot[at] = (uint32_t)++w->count;
    }
    uint32_t which = w->slot[at] - 1;
    w->word[which].count++;
    if (number != NULL) *number = which;
    return TA_OK;
}

int64_t ta_words_find(const struct ta_words *w, const char *text, size_t length) {
    if (w->slots == 0) return -1;
    size_t at = look_up(w, text, length, (uint32_t)XXH3_64bits(text, length));
    return (int64_t)w->slot[at] - 1;
}

const char *ta_words_text(const struct ta_words *w, size_t number) { return w->text + w->word[number].start; }

ta_status ta_words_select(struct ta_words *into, const struct ta_words *from, const uint32_t *order, size_t count) {
    ta_status status = TA_OK;
    for (size_t i = 0; status == TA_OK && i < count; i++) {
        const struct ta_word *word = &from->word[order[i]];
        uint32_t number;
        status = ta_words_add(into, from->text + word->start, word->length, &number);
        if (status == TA_OK) into->word[number].count = word->count;
    }
    if (status != TA_OK) ta_words_free(into);
    return status;
}
