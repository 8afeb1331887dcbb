/* vectors_word2vec: reads word2vec's two formats of vectors. Nothing in the file is trusted. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mem.h"
#include "vectors_internal.h"

enum {
    HEADER_BYTES = 64,
    NUMBER_BYTES = 64,
    TELLING_BYTES = 8, /* of text before a line may end: fewer could be a float by chance */
};

struct source {
    FILE *file;
    const char *path;
    uint64_t bytes; /* of the file */
    uint64_t rows;
    uint32_t dim;
    bool text;
    uint64_t row; /* being read, from 1 */
    char word[TA_VECTORS_WORD_BYTES + 1];
    size_t word_bytes;
};

static ta_status ends(const struct source *s) {
    if (ferror(s->file)) return ta_fail_errno(TA_IO, "%s: cannot read it", s->path);
    return ta_fail(TA_FORMAT, "%s: ends in word %" PRIu64 " of %" PRIu64 "; it was cut short: write or fetch it again",
                   s->path, s->row, s->rows);
}

/* --- the first line --- */

static bool take_number(char **at, uint64_t *value) {
    if (!isdigit((unsigned char)**at)) return false;
    char *start = *at;
    *value = strtoull(start, at, 10);
    return *at - start < 19;
}

static ta_status read_header(struct source *s) {
    char line[HEADER_BYTES], *at = line;
    uint64_t dim = 0;
    size_t used = 0;
    int c = 0;
    while (used + 1 < sizeof line && (c = getc(s->file)) != EOF && c != '\n') line[used++] = (char)c;
    line[used] = '\0';
    if (ferror(s->file)) return ta_fail_errno(TA_IO, "%s: cannot read it", s->path);
    bool good = c == '\n' && take_number(&at, &s->rows) && *at == ' ';
    while (good && *at == ' ') at++;
    good = good && take_number(&at, &dim);
    while (good && (*at == ' ' || *at == '\r')) at++;
    if (!good || *at != '\0')
        return ta_fail(TA_FORMAT,
                       "%s: neither HDF5 nor word2vec's vectors, whose first line says how many words and how "
                       "many numbers each ('71290 100'); name a model.h5, a checkpoint or a file of vectors",
                       s->path);
    if (s->rows == 0 || s->rows > INT32_MAX || dim == 0 || dim > TA_VECTORS_MOST_DIM)
        return ta_fail(TA_FORMAT,
                       "%s: says %" PRIu64 " words of %" PRIu64 " numbers; 1 to %d words of 1 to %d numbers are "
                       "possible",
                       s->path, s->rows, dim, INT32_MAX, TA_VECTORS_MOST_DIM);
    s->dim = (uint32_t)dim;
    return TA_OK;
}

/* Looks at what follows the first word: the numbers of text hold few kinds of characters, floats all kinds of bytes. */
static ta_status tell_format(struct source *s) {
    long start = ftell(s->file);
    uint64_t before = 0, most = 4 * (uint64_t)s->dim < 256 ? 4 * (uint64_t)s->dim : 256;
    uint64_t enough = 2 * (uint64_t)s->dim - 1 < TELLING_BYTES ? 2 * (uint64_t)s->dim - 1 : TELLING_BYTES;
    int c = 0;
    for (int i = 0; i <= TA_VECTORS_WORD_BYTES && (c = getc(s->file)) != EOF && c != ' ';) i++;
    s->text = c == ' ';
    while (s->text && before < most && (c = getc(s->file)) != EOF && c != '\n') {
        s->text = c == '\r' || (c != '\0' && strchr("0123456789+-.eE \tnaifNAIFty", c) != NULL);
        before++;
    }
    if (before < most && before < enough) s->text = false;
    if (ferror(s->file) || start < 0 || fseek(s->file, start, SEEK_SET) != 0)
        return ta_fail_errno(TA_IO, "%s: cannot read it", s->path);
    uint64_t row = 2 + (s->text ? 2 : 4) * (uint64_t)s->dim;
    uint64_t left = s->bytes - ((uint64_t)start < s->bytes ? (uint64_t)start : s->bytes);
    if (s->rows * row > left)
        return ta_fail(TA_FORMAT,
                       "%s: says %" PRIu64 " words of %" PRIu32 " numbers, at least %" PRIu64 " bytes as %s, but "
                       "only %" PRIu64 " follow; it was cut short: write or fetch it again",
                       s->path, s->rows, s->dim, s->rows * row, s->text ? "text" : "binary", left);
    return TA_OK;
}

/* --- a row --- */

static ta_status read_word(struct source *s) {
    int c;
    s->word_bytes = 0;
    while ((c = getc(s->file)) == '\n') {
    }
    for (; c != EOF && c != ' '; c = getc(s->file)) {
        if (c < ' ' || c == 0x7f)
            return ta_fail(TA_FORMAT,
                           "%s: word %" PRIu64 " of %" PRIu64 " holds byte 0x%02x, which no word has; the file is "
                           "damaged, or has another number of numbers than the %" PRIu32 " it says",
                           s->path, s->row, s->rows, (unsigned)c, s->dim);
        if (s->word_bytes == TA_VECTORS_WORD_BYTES)
            return ta_fail(TA_FORMAT, "%s: word %" PRIu64 " of %" PRIu64 " has more than %d bytes; the file is damaged",
                           s->path, s->row, s->rows, TA_VECTORS_WORD_BYTES);
        s->word[s->word_bytes++] = (char)c;
    }
    s->word[s->word_bytes] = '\0';
    if (c == EOF) return ends(s);
    if (s->word_bytes == 0)
        return ta_fail(TA_FORMAT, "%s: word %" PRIu64 " of %" PRIu64 " is empty; the file is damaged", s->path, s->row,
                       s->rows);
    if (!ta_names_utf8(s->word, s->word_bytes))
        return ta_fail(TA_FORMAT,
                       "%s: word %" PRIu64 " of %" PRIu64 " is not UTF-8; write the vectors from text in UTF-8 "
                       "(iconv helps)",
                       s->path, s->row, s->rows);
    return TA_OK;
}

static ta_status read_binary(struct source *s, float *v) {
    return fread(v, sizeof *v, s->dim, s->file) == s->dim ? TA_OK : ends(s);
}

/* One number and the blanks before it. *end: what stands behind it. */
static ta_status read_number(struct source *s, uint32_t k, float *value, int *end) {
    char text[NUMBER_BYTES], *stop;
    size_t used = 0;
    int c;
    while ((c = getc(s->file)) == ' ' || c == '\t') {
    }
    for (; c != EOF && !isspace(c) && used + 1 < sizeof text; c = getc(s->file)) text[used++] = (char)c;
    text[used] = '\0';
    *value = strtof(text, &stop);
    while (c == '\r') c = getc(s->file);
    *end = c;
    if (used == 0 && (c == EOF || c == '\n'))
        return c == EOF ? ends(s)
                        : ta_fail(TA_FORMAT,
                                  "%s: word %" PRIu64 " (%.40s) has %" PRIu32 " numbers, not the %" PRIu32
                                  " that the first line says",
                                  s->path, s->row, s->word, k, s->dim);
    if (used > 0 && *stop == '\0' && used == strlen(text) && (c == EOF || isspace(c))) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: word %" PRIu64 " (%.40s): number %" PRIu32 " is none", s->path, s->row, s->word,
                   k + 1);
}

static ta_status read_text(struct source *s, float *v) {
    int end = ' ';
    for (uint32_t k = 0; k < s->dim; k++) {
        if (end == '\n' || end == EOF)
            return end == EOF ? ends(s)
                              : ta_fail(TA_FORMAT,
                                        "%s: word %" PRIu64 " (%.40s) has %" PRIu32 " numbers, not the %" PRIu32
                                        " that the first line says",
                                        s->path, s->row, s->word, k, s->dim);
        ta_status status = read_number(s, k, &v[k], &end);
        if (status != TA_OK) return status;
    }
    while (end == ' ' || end == '\t' || end == '\r') end = getc(s->file);
    if (end == '\n') return TA_OK;
    if (end == EOF) return ends(s); /* every line ends: the last number may have lost its tail */
    return ta_fail(TA_FORMAT,
                   "%s: word %" PRIu64 " (%.40s) has more than the %" PRIu32 " numbers that the first line says",
                   s->path, s->row, s->word, s->dim);
}

static ta_status read_row(struct source *s, struct ta_vectors *out) {
    float *v = out->v + (s->row - 1) * s->dim;
    ta_status status = read_word(s);
    if (status == TA_OK) status = s->text ? read_text(s, v) : read_binary(s, v);
    for (uint32_t k = 0; k < s->dim && status == TA_OK; k++)
        if (!isfinite(v[k]))
            status = ta_fail(TA_FORMAT,
                             "%s: word %" PRIu64 " (%.40s): number %" PRIu32 " is not finite; training went "
                             "astray, or the file is damaged",
                             s->path, s->row, s->word, k + 1);
    return status == TA_OK ? ta_names_add(&out->names, s->word, s->word_bytes, 0) : status;
}

static ta_status read_all(struct source *s, struct ta_vectors *out) {
    struct stat info;
    if (fstat(fileno(s->file), &info) != 0) return ta_fail_errno(TA_IO, "%s: cannot read it", s->path);
    s->bytes = (uint64_t)info.st_size;
    ta_status status = read_header(s);
    if (status == TA_OK) status = tell_format(s);
    if (status == TA_OK) status = TA_NEW(&out->v, s->rows * s->dim, "word vectors");
    out->dim = s->dim;
    for (s->row = 1; s->row <= s->rows && status == TA_OK; s->row++) status = read_row(s, out);
    int c = 0;
    while (status == TA_OK && (c = getc(s->file)) != EOF && isspace(c)) {
    }
    if (status == TA_OK && c != EOF)
        status =
            ta_fail(TA_FORMAT, "%s: goes on after the %" PRIu64 " words that the first line says; correct that line",
                    s->path, s->rows);
    return status;
}

ta_status ta_vectors_read_word2vec(const char *path, struct ta_vectors *out) {
    struct source *s;
    ta_status status = TA_NEW(&s, 1, "a file of vectors");
    if (status != TA_OK) return status;
    s->path = path;
    s->file = fopen(path, "rb");
    status = s->file != NULL ? read_all(s, out) : ta_fail_errno(TA_IO, "%s: cannot read it", path);
    if (s->file != NULL) fclose(s->file);
    ta_mem_free(s);
    return status;
}
