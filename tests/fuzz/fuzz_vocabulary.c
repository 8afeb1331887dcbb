/* Any bytes as what a replica reads and is told: text in any pieces, rows called anything. What holds of a vocabulary
 * holds after each step, and one that hears the same names in the reverse order agrees. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vocabulary_check.h"

enum { ROWS_MOST = 24, TEXT_MOST = 300 };

struct input {
    const uint8_t *at;
    size_t left;
};

static unsigned next(struct input *in) {
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

static void need(const char *wrong) {
    if (wrong == NULL) return;
    fprintf(stderr, "vocabulary: %s\n", wrong);
    __builtin_trap();
}

static void read_some(struct ta_vocabulary *v, uint32_t rows, struct input *in) {
    int32_t words[TEXT_MOST];
    size_t bytes = next(in) + next(in) % 32, most = next(in);
    if (bytes > in->left) bytes = in->left;
    /* A block of its own size, so that a read beyond it is seen. */
    char *text = malloc(bytes + 1);
    if (text == NULL) return;
    memcpy(text, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    char *exact = realloc(text, bytes > 0 ? bytes : 1);
    size_t n = ta_vocabulary_read(v, exact, bytes, words, most);
    if (n > most || n > (bytes + 1) / 2) need("more words than there can be");
    for (size_t i = 0; i < n; i++)
        if (words[i] < -1 || words[i] >= (int64_t)rows) need("a row that is not there");
    free(exact);
}

/* Nobody's, one of a few words (so that rows share them), or any bytes. */
static void make_name(struct input *in, char name[TA_VOCABULARY_WORD_BYTES + 1]) {
    unsigned kind = next(in);
    memset(name, 0, TA_VOCABULARY_WORD_BYTES + 1);
    if (kind < 160) name[0] = (char)('a' + kind % 5);
    else if (kind < 240)
        for (int i = 0; i <= TA_VOCABULARY_WORD_BYTES; i++) name[i] = (char)next(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char told[ROWS_MOST][TA_VOCABULARY_WORD_BYTES + 1] = {{0}};
    struct input in = {bytes, count};
    struct ta_vocabulary_change change[3];
    struct ta_vocabulary *v, *other;
    struct ta_names names, again;
    unsigned n_ranks = 1 + next(&in) % 3;
    struct ta_vocabulary_config config = {.rows = n_ranks + next(&in) % (ROWS_MOST - 3), .admit = 1 + next(&in) % 4,
                                          .candidates = 1 + next(&in) % 12, .fade_words = 1 + next(&in),
                                          .rank = next(&in) % n_ranks, .n_ranks = n_ranks};
    if (ta_vocabulary_open(&config, &v) != TA_OK || ta_vocabulary_open(&config, &other) != TA_OK) __builtin_trap();
    while (in.left > 0) {
        unsigned what = next(&in) % 4;
        if (what < 2) read_some(v, config.rows, &in);
        if (what == 2) {
            uint32_t row = next(&in) % (config.rows + 1);
            char name[TA_VOCABULARY_WORD_BYTES + 1];
            make_name(&in, name);
            ta_vocabulary_set(v, row, name, next(&in));
            if (row < config.rows) memcpy(told[row], name, sizeof name);
        }
        size_t n = what == 3 ? ta_vocabulary_decide(v, change, next(&in) % 4) : 0;
        for (size_t i = 0; i < n; i++) {
            if (change[i].row % n_ranks != config.rank) need("decided on a row of somebody else");
            memcpy(told[change[i].row], change[i].name, sizeof change[i].name);
        }
        need(vocabulary_check(v, config.rows));
    }
    for (uint32_t row = config.rows; row > 0; row--) ta_vocabulary_set(other, row - 1, told[row - 1], 1);
    if (ta_vocabulary_names(v, &names) != TA_OK || ta_vocabulary_names(other, &again) != TA_OK) __builtin_trap();
    if (ta_names_checksum(&names) != ta_names_checksum(&again)) need("two that heard the same disagree");
    ta_names_free(&names);
    ta_names_free(&again);
    ta_vocabulary_close(v);
    ta_vocabulary_close(other);
    return 0;
}
