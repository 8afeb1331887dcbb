/* vectors: which format a file has, and arithmetic on single rows. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mem.h"
#include "vectors_internal.h"

void ta_vectors_free(struct ta_vectors *vectors) {
    ta_names_free(&vectors->names);
    ta_mem_free(vectors->v);
    *vectors = (struct ta_vectors){0};
}

static ta_status is_hdf5(const char *path, bool *yes) {
    static const char signature[] = "\x89HDF\r\n\x1a\n";
    char start[sizeof signature - 1];
    struct stat info;
    if (stat(path, &info) != 0) return ta_fail_errno(TA_IO, "%s: cannot read it", path);
    if (!S_ISREG(info.st_mode)) /* opening a pipe would wait for its other end */
        return ta_fail(TA_FORMAT, "%s: is not a file; save what it gives in one and name that", path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot read it", path);
    size_t got = fread(start, 1, sizeof start, file);
    ta_status status = ferror(file) ? ta_fail_errno(TA_IO, "%s: cannot read it", path) : TA_OK;
    *yes = got == sizeof start && memcmp(start, signature, sizeof start) == 0;
    fclose(file);
    return status;
}

ta_status ta_vectors_read(const char *path, struct ta_vectors *out) {
    bool model = false;
    *out = (struct ta_vectors){0};
    ta_status status = is_hdf5(path, &model);
    if (status != TA_OK) return status;
    status = model ? ta_vectors_read_model(path, out) : ta_vectors_read_word2vec(path, out);
    if (status != TA_OK) ta_vectors_free(out);
    return status;
}

const float *ta_vectors_row(const struct ta_vectors *vectors, size_t row) { return vectors->v + row * vectors->dim; }

static double dot(const float *a, const float *b, uint32_t dim) {
    double sum = 0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

void ta_vectors_unit(const struct ta_vectors *vectors, size_t row, float *out) {
    const float *v = ta_vectors_row(vectors, row);
    double length = sqrt(dot(v, v, vectors->dim));
    for (uint32_t k = 0; k < vectors->dim; k++) out[k] = length > 0 ? (float)((double)v[k] / length) : 0;
}

double ta_vectors_cosine(const struct ta_vectors *vectors, size_t a, size_t b) {
    const float *x = ta_vectors_row(vectors, a), *y = ta_vectors_row(vectors, b);
    double lengths = sqrt(dot(x, x, vectors->dim)) * sqrt(dot(y, y, vectors->dim));
    return lengths > 0 ? dot(x, y, vectors->dim) / lengths : 0;
}
