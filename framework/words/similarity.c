/* similarity: reads pairs, takes their cosines, correlates ranks. */
#include "similarity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "vectors_index.h"

enum { LINE_BYTES = 2 * (TA_VECTORS_WORD_BYTES + 1) + 64, FIRST_PAIRS = 512 };

/* --- ranks --- */

struct place {
    double value;
    size_t at;
};

static int rising(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* rank[i]: of x[i], from 1; equal ones share their mean. */
static void rank_values(const double *x, size_t n, struct place *places, double *rank) {
    for (size_t i = 0; i < n; i++) places[i] = (struct place){.value = x[i], .at = i};
    qsort(places, n, sizeof *places, rising);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && places[end].value == places[first].value;) end++;
        for (size_t i = first; i < end; i++) rank[places[i].at] = (double)(first + 1 + end) / 2;
    }
}

ta_status ta_spearman(const double *x, const double *y, size_t n, double *out) {
    struct place *places;
    double *a = NULL, *b = NULL, xy = 0, xx = 0, yy = 0, mean = ((double)n + 1) / 2;
    ta_status status = TA_NEW(&places, n, "ranks");
    if (status == TA_OK) status = TA_NEW(&a, n, "ranks");
    if (status == TA_OK) status = TA_NEW(&b, n, "ranks");
    if (status == TA_OK) {
        rank_values(x, n, places, a);
        rank_values(y, n, places, b);
        for (size_t i = 0; i < n; i++) {
            xy += (a[i] - mean) * (b[i] - mean);
            xx += (a[i] - mean) * (a[i] - mean);
            yy += (b[i] - mean) * (b[i] - mean);
        }
        *out = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
    }
    ta_mem_free(b);
    ta_mem_free(a);
    ta_mem_free(places);
    return status;
}

/* --- pairs --- */

struct reader {
    const struct ta_vectors *vectors;
    const char *path;
    struct ta_word_index index;
    struct ta_similarity *out;
    size_t room; /* pairs */
    unsigned long line;
    char text[LINE_BYTES + 2];
};

void ta_similarity_free(struct ta_similarity *s) {
    ta_names_free(&s->words);
    ta_mem_free(s->pairs);
    *s = (struct ta_similarity){0};
}

static ta_status take_pair(struct reader *r, const char *a, const char *b, double score) {
    struct ta_similarity *out = r->out;
    ta_status status = TA_OK;
    if (out->count == r->room) {
        size_t room = r->room == 0 ? FIRST_PAIRS : 2 * r->room;
        status = ta_mem_resize((void **)&out->pairs, room * sizeof *out->pairs, "pairs of words");
        if (status == TA_OK) r->room = room;
    }
    if (status == TA_OK) status = ta_names_add(&out->words, a, strlen(a), 0);
    if (status == TA_OK) status = ta_names_add(&out->words, b, strlen(b), 0);
    if (status != TA_OK) return status;
    uint32_t x = ta_word_index_find(&r->index, a), y = ta_word_index_find(&r->index, b);
    bool found = x != TA_WORD_MISSING && y != TA_WORD_MISSING;
    out->pairs[out->count++] =
        (struct ta_similarity_pair){.score = score, .cosine = found ? ta_vectors_cosine(r->vectors, x, y) : NAN};
    out->found += found;
    return TA_OK;
}

static ta_status take_line(struct reader *r) {
    char *words[4] = {0}, *rest = r->text, *end = NULL;
    unsigned n = 0;
    if (r->text[0] == '#') return TA_OK;
    while (n < 4 && (words[n] = strtok_r(rest, " \t", &rest)) != NULL) n++;
    if (n == 0) return TA_OK;
    double score = n == 3 ? strtod(words[2], &end) : NAN;
    if (n != 3 || *end != '\0' || !isfinite(score))
        return ta_fail(TA_FORMAT,
                       "%s:%lu: a line holds two words and how alike they are, a number, separated by tabs or "
                       "blanks",
                       r->path, r->line);
    if (!ta_names_utf8(words[0], strlen(words[0])) || !ta_names_utf8(words[1], strlen(words[1])))
        return ta_fail(TA_FORMAT, "%s:%lu: a word is not UTF-8; iconv can turn the file into that", r->path, r->line);
    return take_pair(r, words[0], words[1], score);
}

static ta_status read_pairs(struct reader *r, FILE *file) {
    ta_status status = TA_OK;
    for (r->line = 1; status == TA_OK && fgets(r->text, sizeof r->text, file) != NULL; r->line++) {
        size_t bytes = strcspn(r->text, "\r\n");
        if (bytes > LINE_BYTES)
            return ta_fail(TA_FORMAT, "%s:%lu: a line of more than %d bytes; this is no file of pairs", r->path,
                           r->line, LINE_BYTES);
        r->text[bytes] = '\0';
        status = take_line(r);
    }
    if (status == TA_OK && ferror(file)) status = ta_fail_errno(TA_IO, "%s: cannot read it", r->path);
    if (status == TA_OK && r->out->count == 0)
        status = ta_fail(TA_FORMAT, "%s: has no pair; a line holds two words and how alike they are", r->path);
    return status;
}

static ta_status correlate(struct ta_similarity *out) {
    double *x, *y = NULL;
    size_t n = 0;
    ta_status status = TA_NEW(&x, out->found, "scores");
    if (status == TA_OK) status = TA_NEW(&y, out->found, "cosines");
    for (size_t i = 0; i < out->count && status == TA_OK; i++) {
        if (isnan(out->pairs[i].cosine)) continue;
        x[n] = out->pairs[i].score;
        y[n++] = out->pairs[i].cosine;
    }
    if (status == TA_OK) status = ta_spearman(x, y, n, &out->spearman);
    ta_mem_free(y);
    ta_mem_free(x);
    return status;
}

ta_status ta_similarity_score(const struct ta_vectors *vectors, const char *path, bool fold,
                              struct ta_similarity *out) {
    struct reader *r;
    *out = (struct ta_similarity){0};
    ta_status status = TA_NEW(&r, 1, "a file of pairs");
    if (status != TA_OK) return status;
    r->vectors = vectors;
    r->path = path;
    r->out = out;
    FILE *file = fopen(path, "r");
    if (file == NULL) status = ta_fail_errno(TA_IO, "%s: cannot read it", path);
    if (status == TA_OK) status = ta_word_index_open(&r->index, &vectors->names, vectors->names.count, fold);
    if (status == TA_OK) status = read_pairs(r, file);
    if (status == TA_OK) status = correlate(out);
    if (file != NULL) fclose(file);
    ta_word_index_close(&r->index);
    ta_mem_free(r);
    if (status != TA_OK) ta_similarity_free(out);
    return status;
}
