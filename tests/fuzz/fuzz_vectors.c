/* Any bytes as a file of word vectors, of questions and of pairs: each is refused with a message, or gives what its
 * header says it gives, in memory that follows the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analogies.h"
#include "bytes_file.h"
#include "mem.h"
#include "similarity.h"

enum { ROWS = 6, DIM = 2, MEMORY_PER_BYTE = 16, MODEL_MEMORY_PER_BYTE = 300, MEMORY_AT_LEAST = 1 << 16 };

static void need(bool good) {
    if (!good) __builtin_trap();
}

static void read_vectors(const char *path, size_t count, size_t per_byte) {
    struct ta_vectors v;
    size_t held = ta_mem_held_bytes();
    ta_why_clear();
    ta_status status = ta_vectors_read(path, &v);
    need_message(status, ta_why());
    if (status == TA_OK) {
        need(v.names.count > 0 && v.dim > 0);
        need(ta_mem_held_bytes() - held <= per_byte * count + MEMORY_AT_LEAST);
        for (size_t i = 0; i < v.names.count * v.dim; i++) need(isfinite(v.v[i]));
        for (size_t i = 0; i < v.names.count; i++) {
            const char *word = ta_names_get(&v.names, i);
            need(*word != '\0' && ta_names_utf8(word, strlen(word)));
            need(fabs(ta_vectors_cosine(&v, i, 0)) < 1 + 1e-9);
        }
    }
    ta_vectors_free(&v);
    need(ta_mem_held_bytes() == held);
}

static void ask(const char *path) {
    static char text[] = "a\0b\0c\0d\0A\0e";
    static size_t start[ROWS] = {0, 2, 4, 6, 8, 10};
    static float numbers[ROWS * DIM] = {1, 0, 0, 1, 1, 1, -1, 1, 2, 1, 0, 0};
    const struct ta_vectors v = {.names = {.text = text, .start = start, .count = ROWS}, .v = numbers, .dim = DIM};
    struct ta_analogies a;
    struct ta_similarity s;
    ta_why_clear();
    ta_status status = ta_analogies_ask(&v, path, 0, true, &a);
    need_message(status, ta_why());
    need(status != TA_OK || (a.count > 0 && a.all.right <= a.all.asked));
    need(a.semantic.asked + a.syntactic.asked == a.all.asked);
    ta_analogies_free(&a);
    ta_why_clear();
    status = ta_similarity_score(&v, path, true, &s);
    need_message(status, ta_why());
    need(s.words.count == 2 * s.count && s.found <= s.count);
    need(isnan(s.spearman) || fabs(s.spearman) < 1 + 1e-9);
    ta_similarity_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char path[64];
    int fd = bytes_file(bytes, count, path);
    if (fd < 0) return 0;
    read_vectors(path, count, count >= 4 && memcmp(bytes, "\x89HDF", 4) == 0 ? MODEL_MEMORY_PER_BYTE : MEMORY_PER_BYTE);
    ask(path);
    close(fd);
    return 0;
}
