/* eval_files: what the tests of word vectors share: made-up vectors, and files that hold any bytes. */
#ifndef TA_TEST_EVAL_FILES_H
#define TA_TEST_EVAL_FILES_H

#include "rng.h"
#include "scratch.h"
#include "vectors.h"

/* Words of one to twelve letters, some beyond ASCII, each ending in its number; normal numbers. */
static inline void made_up(struct ta_vectors *v, struct ta_rng *rng, size_t rows, uint32_t dim) {
    static const char *const letters[] = {"a", "b", "Q", "z", "'", "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80"};
    *v = (struct ta_vectors){.dim = dim};
    for (size_t i = 0; i < rows; i++) {
        char word[96] = "";
        for (uint32_t n = 1 + ta_rng_below(rng, 12); n > 0; n--) strcat(word, letters[ta_rng_below(rng, 8)]);
        snprintf(word + strlen(word), 24, "%zu", i);
        assert_ok(ta_names_add(&v->names, word, strlen(word), rows - i));
    }
    assert_ok(TA_NEW(&v->v, rows * dim, "vectors"));
    for (size_t i = 0; i < rows * dim; i++) v->v[i] = (float)ta_rng_normal(rng);
}

static inline void write_text(const char *path, const char *text) {
    file_write(path, (const unsigned char *)text, strlen(text));
}

#endif
