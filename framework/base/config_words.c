/* config_words: growing text, and the nearest word. */
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "mem.h"

enum { LONGEST_WORD = 63 };

void ta_config_add(struct ta_config_text *text, const char *bytes, size_t count) {
    if (text->status != TA_OK) return;
    size_t need = text->used + count + 1;
    size_t room = 64;
    while (room < text->used + 1) room *= 2; /* the room that the used part lies in */
    if (text->bytes == NULL || need > room) {
        while (room < need) room *= 2;
        text->status = ta_mem_resize((void **)&text->bytes, room, "configuration");
        if (text->status != TA_OK) return;
    }
    memcpy(text->bytes + text->used, bytes, count);
    text->used += count;
    text->bytes[text->used] = '\0';
}

void ta_config_add_word(struct ta_config_text *text, const char *word) { ta_config_add(text, word, strlen(word)); }

void ta_config_add_quoted(struct ta_config_text *text, const char *bytes, size_t count) {
    ta_config_add(text, "\"", 1);
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            ta_config_add(text, (char[2]){'\\', (char)c}, 2);
        else if (c >= ' ' && c != 0x7f)
            ta_config_add(text, bytes + i, 1);
        else
            ta_config_add(text, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", c));
    }
    ta_config_add(text, "\"", 1);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_length; j++) last[j] = before[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_length];
}

const char *ta_config_nearest(const char *word, const char *const *candidates, size_t count) {
    size_t length = strlen(word), best = SIZE_MAX;
    const char *nearest = NULL;
    if (length == 0 || length > LONGEST_WORD) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other > LONGEST_WORD) continue;
        size_t d = distance(word, length, candidates[i], other);
        if (d <= 1 + length / 3 && d < best) {
            best = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}
