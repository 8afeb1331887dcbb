/* names: words end to end in one block, and their two datasets. */
#include "names.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "mem.h"

enum {
    WORDS_FIRST = 512,
    TEXT_FIRST = 8192,
    WORD_BYTES_MOST = 4096,
    BLOCK_BYTES = 1 << 18, /* of a dataset on its way */
};
#define WORDS_MOST (UINT64_C(1) << 31)

void ta_names_free(struct ta_names *names) {
    ta_mem_free(names->text);
    ta_mem_free(names->start);
    ta_mem_free(names->counts);
    *names = (struct ta_names){0};
}

static ta_status make_room(struct ta_names *n, size_t bytes) {
    ta_status status = TA_OK;
    if (n->text_capacity - n->text_bytes < bytes) {
        size_t capacity = n->text_capacity == 0 ? TEXT_FIRST : 2 * n->text_capacity;
        if (capacity - n->text_bytes < bytes) capacity = n->text_bytes + bytes;
        status = ta_mem_resize((void **)&n->text, capacity, "list of words");
        if (status == TA_OK) n->text_capacity = capacity;
    }
    if (status != TA_OK || n->count < n->capacity) return status;
    size_t capacity = n->capacity == 0 ? WORDS_FIRST : 2 * n->capacity;
    status = ta_mem_resize((void **)&n->start, capacity * sizeof *n->start, "list of words");
    if (status == TA_OK) status = ta_mem_resize((void **)&n->counts, capacity * sizeof *n->counts, "counts of words");
    if (status == TA_OK) n->capacity = capacity;
    return status;
}

ta_status ta_names_add(struct ta_names *names, const char *word, size_t bytes, uint64_t seen) {
    bytes = strnlen(word, bytes);
    ta_status status = make_room(names, bytes + 1);
    if (status != TA_OK) return status;
    memcpy(names->text + names->text_bytes, word, bytes);
    names->text[names->text_bytes + bytes] = '\0';
    names->start[names->count] = names->text_bytes;
    names->counts[names->count++] = seen;
    names->text_bytes += bytes + 1;
    return TA_OK;
}

const char *ta_names_get(const struct ta_names *names, size_t i) { return names->text + names->start[i]; }

uint64_t ta_names_checksum(const struct ta_names *names) {
    return XXH3_64bits(names->count > 0 ? names->text : "", names->text_bytes);
}

/* Bytes of the character at `at`, or 0 when it is none: table 3-7 of the Unicode standard. */
static size_t character(const unsigned char *at, size_t left) {
    if (at[0] < 0x80) return 1;
    size_t bytes = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (at[0] < 0xc2 || at[0] > 0xf4 || bytes > left) return 0;
    unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < least || at[1] > most) return 0;
    for (size_t i = 2; i < bytes; i++)
        if (at[i] < 0x80 || at[i] > 0xbf) return 0;
    return bytes;
}

bool ta_names_utf8(const char *word, size_t bytes) {
    const unsigned char *at = (const unsigned char *)word;
    for (size_t i = 0, step; i < bytes; i += step) {
        uint64_t eight;
        step = 8;
        if (bytes - i >= 8 && (memcpy(&eight, at + i, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) continue;
        step = character(at + i, bytes - i);
        if (step == 0) return false;
    }
    return true;
}

/* ---- to a file ---- */

static ta_status check_words(const struct ta_names *names, size_t *longest) {
    *longest = 1;
    if (names->count == 0 || names->count > WORDS_MOST)
        return ta_fail(TA_INVALID, "a vocabulary of %zu words cannot be written; it must have 1 to %" PRIu64,
                       names->count, WORDS_MOST);
    for (size_t i = 0; i < names->count; i++) {
        const char *word = ta_names_get(names, i);
        size_t bytes = strlen(word);
        if (bytes > WORD_BYTES_MOST || !ta_names_utf8(word, bytes))
            return ta_fail(TA_INVALID,
                           "word %zu of a vocabulary (%.40s) has %zu bytes or is not UTF-8; words are UTF-8 of at most "
                           "%d bytes",
                           i, word, bytes, WORD_BYTES_MOST);
        if (bytes > *longest) *longest = bytes;
    }
    return TA_OK;
}

/* One dataset, a block of rows at a time: `row` makes row i out of the names. */
struct column {
    const char *name, *description, *units;
    struct ta_h5_shape shape;
    size_t row_bytes;
    void (*row)(const struct ta_names *names, size_t i, void *out); /* out: zeroed */
};

static void word_row(const struct ta_names *names, size_t i, void *out) {
    memcpy(out, ta_names_get(names, i), strlen(ta_names_get(names, i)));
}

static void count_row(const struct ta_names *names, size_t i, void *out) {
    int64_t count = names->counts[i] > INT64_MAX ? INT64_MAX : (int64_t)names->counts[i];
    memcpy(out, &count, sizeof count);
}

static ta_status write_column(const struct ta_names *names, struct ta_h5 *file, const struct column *column) {
    struct ta_h5_set *set = NULL;
    char *block = NULL;
    size_t rows = BLOCK_BYTES / column->row_bytes;
    if (rows > names->count) rows = names->count;
    ta_status status = ta_mem_alloc(rows, column->row_bytes, "vocabulary to write", (void **)&block);
    if (status == TA_OK)
        status = ta_h5_set_create(file, column->name, &(struct ta_h5_create){.shape = column->shape}, &set);
    for (size_t first = 0; status == TA_OK && first < names->count; first += rows) {
        size_t n = names->count - first < rows ? names->count - first : rows;
        memset(block, 0, n * column->row_bytes);
        for (size_t i = 0; i < n; i++) column->row(names, first + i, block + i * column->row_bytes);
        status = ta_h5_set_write(set, column->shape.type, first, n, block);
    }
    ta_h5_set_close(set);
    ta_mem_free(block);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, column->name, "description", column->description);
    return status == TA_OK ? ta_h5_attr_set_text(file, column->name, "units", column->units) : status;
}

ta_status ta_names_write(const struct ta_names *names, struct ta_h5 *file) {
    size_t longest;
    ta_status status = check_words(names, &longest);
    if (status != TA_OK) return status;
    struct column words = {.name = "/vocabulary",
                           .description = "word of each number: bytes, padded by NUL",
                           .units = "byte",
                           .shape = {.type = TA_H5_U8, .rank = 2, .dims = {names->count, longest}},
                           .row_bytes = longest,
                           .row = word_row};
    struct column counts = {.name = "/vocabulary_count",
                            .description = "how often each word occurs in the corpus",
                            .units = "occurrences",
                            .shape = {.type = TA_H5_I64, .rank = 1, .dims = {names->count}},
                            .row_bytes = sizeof(int64_t),
                            .row = count_row};
    status = write_column(names, file, &words);
    if (status == TA_OK) status = write_column(names, file, &counts);
    return status == TA_OK ? ta_h5_attr_set_i64(file, "/", "vocabulary", (int64_t)names->count) : status;
}

/* ---- from a file ---- */

/* What a reader holds on to. */
struct reading {
    struct ta_names *names;
    const char *path;
    struct ta_h5_set *words, *counts; /* counts: NULL when the file has none */
    size_t width, rows;               /* of a word as stored; words in a block */
    char *word_block;                 /* [rows][width] */
    int64_t *count_block;             /* [rows] */
};

static ta_status open_sets(struct reading *r, struct ta_h5 *file) {
    ta_status status = ta_h5_set_open(file, "/vocabulary", &r->words);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(r->words);
    if (shape->type != TA_H5_U8 || shape->rank != 2)
        return ta_fail(TA_FORMAT,
                       "%s: /vocabulary: is %s of rank %u; it must be uint8 [words][bytes], padded by NUL (NumPy: "
                       "numpy.array(words, 'S').view('u1').reshape(len(words), -1))",
                       r->path, ta_h5_type_name(shape->type), shape->rank);
    if (shape->dims[0] == 0 || shape->dims[0] > WORDS_MOST || shape->dims[1] == 0 || shape->dims[1] > WORD_BYTES_MOST)
        return ta_fail(TA_FORMAT,
                       "%s: /vocabulary: has %" PRIu64 " words of %" PRIu64 " bytes; it must have 1 to %" PRIu64
                       " words of 1 to %d bytes",
                       r->path, shape->dims[0], shape->dims[1], WORDS_MOST, WORD_BYTES_MOST);
    r->width = (size_t)shape->dims[1];
    if (!ta_h5_exists(file, "/vocabulary_count")) return TA_OK;
    status = ta_h5_set_open(file, "/vocabulary_count", &r->counts);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *counts = ta_h5_set_shape(r->counts);
    bool whole = counts->type != TA_H5_F32 && counts->type != TA_H5_F64 && counts->type != TA_H5_OTHER;
    if (!whole || counts->rank != 1)
        return ta_fail(TA_FORMAT, "%s: /vocabulary_count: is %s of rank %u; it must be int64 [words]", r->path,
                       ta_h5_type_name(counts->type), counts->rank);
    if (counts->dims[0] == shape->dims[0]) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /vocabulary_count: has %" PRIu64 " counts, /vocabulary has %" PRIu64 " words; import it again",
                   r->path, counts->dims[0], shape->dims[0]);
}

static ta_status add_row(struct reading *r, uint64_t number, const char *word, int64_t count) {
    size_t bytes = strnlen(word, r->width);
    if (!ta_names_utf8(word, bytes))
        return ta_fail(TA_FORMAT,
                       "%s: /vocabulary: word %" PRIu64 " is not UTF-8; convert the text (iconv -f latin1 -t utf-8) "
                       "and import it again",
                       r->path, number);
    for (size_t i = bytes; i < r->width; i++)
        if (word[i] != '\0')
            return ta_fail(TA_FORMAT,
                           "%s: /vocabulary: word %" PRIu64 " (%.*s) goes on behind a NUL at byte %zu; pad words by "
                           "NUL",
                           r->path, number, (int)bytes, word, bytes);
    if (count < 0)
        return ta_fail(TA_FORMAT,
                       "%s: /vocabulary_count: word %" PRIu64 " (%.*s) was seen %" PRId64
                       " times; it must be 0 or more: import it again",
                       r->path, number, (int)bytes, word, count);
    return ta_names_add(r->names, word, bytes, (uint64_t)count);
}

static ta_status read_block(struct reading *r, uint64_t first, size_t n) {
    ta_status status = ta_h5_set_read(r->words, TA_H5_U8, first, n, r->word_block);
    if (status == TA_OK && r->counts != NULL) status = ta_h5_set_read(r->counts, TA_H5_I64, first, n, r->count_block);
    for (size_t i = 0; status == TA_OK && i < n; i++)
        status = add_row(r, first + i, r->word_block + i * r->width, r->count_block[i]);
    return status;
}

static ta_status read_all(struct reading *r, struct ta_h5 *file) {
    ta_status status = open_sets(r, file);
    if (status != TA_OK) return status;
    uint64_t count = ta_h5_set_shape(r->words)->dims[0];
    if (ta_h5_attr_exists(file, "/", "vocabulary")) {
        int64_t said;
        status = ta_h5_attr_get_i64(file, "/", "vocabulary", &said);
        if (status == TA_OK && (said < 0 || (uint64_t)said != count))
            status = ta_fail(TA_FORMAT,
                             "%s: /vocabulary: has %" PRIu64 " words, attribute 'vocabulary' says %" PRId64
                             "; import it again",
                             r->path, count, said);
    }
    r->rows = BLOCK_BYTES / r->width;
    if (r->rows > count) r->rows = (size_t)count;
    if (status == TA_OK) status = ta_mem_alloc(r->rows, r->width, "vocabulary to read", (void **)&r->word_block);
    if (status == TA_OK) status = TA_NEW(&r->count_block, r->rows, "counts to read");
    for (uint64_t first = 0; status == TA_OK && first < count; first += r->rows)
        status = read_block(r, first, count - first < r->rows ? (size_t)(count - first) : r->rows);
    return status;
}

ta_status ta_names_read(struct ta_names *names, struct ta_h5 *file, const char *path) {
    *names = (struct ta_names){0};
    struct reading r = {.names = names, .path = path};
    ta_status status = read_all(&r, file);
    ta_h5_set_close(r.words);
    ta_h5_set_close(r.counts);
    ta_mem_free(r.word_block);
    ta_mem_free(r.count_block);
    if (status != TA_OK) ta_names_free(names);
    return status;
}
