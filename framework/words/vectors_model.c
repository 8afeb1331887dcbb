/* vectors_model: the input vectors of a word model's model.h5, commonest word first. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "h5.h"
#include "mem.h"
#include "vectors_internal.h"

enum { BLOCK_BYTES = 1 << 20, LEFT_OUT = -1 };

static const char table[] = "/model_weights/in/in/embeddings:0";

struct seen {
    uint64_t count;
    uint32_t row;
};

static int commoner(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* place[i] becomes where row i of the file goes; out->names the words in their new order. */
static ta_status order(const struct ta_names *names, int64_t *place, struct ta_names *out) {
    struct seen *seen;
    size_t used = 0;
    ta_status status = TA_NEW(&seen, names->count, "an order of words");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < names->count; i++) {
        place[i] = LEFT_OUT;
        if (*ta_names_get(names, i) != '\0')
            seen[used++] = (struct seen){.count = names->counts[i], .row = (uint32_t)i};
    }
    qsort(seen, used, sizeof *seen, commoner);
    for (size_t i = 0; i < used && status == TA_OK; i++) {
        const char *word = ta_names_get(names, seen[i].row);
        place[seen[i].row] = (int64_t)i;
        status = ta_names_add(out, word, strlen(word), seen[i].count);
    }
    ta_mem_free(seen);
    return status;
}

/* A file cannot make us ask for much more memory than it takes on disk (weights are hardly compressible). */
static ta_status check_shape(const char *path, const struct ta_h5_shape *shape, size_t words) {
    struct stat info;
    uint64_t most = stat(path, &info) == 0 ? 64 * (uint64_t)info.st_size : 0;
    if (shape->rank != 2 || shape->type != TA_H5_F32)
        return ta_fail(TA_FORMAT, "%s: %s is %s of rank %u, not float32 [rows][dim]", path, table,
                       ta_h5_type_name(shape->type), shape->rank);
    if (shape->dims[0] != words)
        return ta_fail(TA_FORMAT,
                       "%s: %s has %" PRIu64 " rows, but /vocabulary has %zu words; they do not belong together", path,
                       table, shape->dims[0], words);
    if (shape->dims[1] == 0 || shape->dims[1] > TA_VECTORS_MOST_DIM)
        return ta_fail(TA_FORMAT, "%s: %s has vectors of %" PRIu64 " numbers, not 1 to %d", path, table, shape->dims[1],
                       TA_VECTORS_MOST_DIM);
    if (shape->dims[0] * shape->dims[1] > most)
        return ta_fail(TA_FORMAT, "%s: %s claims %" PRIu64 " numbers, far more than the file holds; it is damaged",
                       path, table, shape->dims[0] * shape->dims[1]);
    return TA_OK;
}

static ta_status move_row(const char *path, const float *from, uint64_t row, uint32_t dim, float *to) {
    for (uint32_t k = 0; k < dim; k++) {
        if (!isfinite(from[k]))
            return ta_fail(TA_FORMAT,
                           "%s: %s: number %" PRIu32 " of row %" PRIu64 " is not finite; training went astray, "
                           "or the file is damaged",
                           path, table, k, row);
        to[k] = from[k];
    }
    return TA_OK;
}

static ta_status read_rows(const char *path, struct ta_h5_set *set, const int64_t *place, struct ta_vectors *out) {
    uint64_t rows = ta_h5_set_shape(set)->dims[0], most = BLOCK_BYTES / sizeof(float) / out->dim;
    float *block;
    most = most == 0 ? 1 : most;
    ta_status status = TA_NEW(&block, most * out->dim, "rows of vectors");
    for (uint64_t first = 0; first < rows && status == TA_OK; first += most) {
        uint64_t count = rows - first < most ? rows - first : most;
        status = ta_h5_set_read(set, TA_H5_F32, first, count, block);
        for (uint64_t i = 0; i < count && status == TA_OK; i++)
            if (place[first + i] != LEFT_OUT)
                status = move_row(path, block + i * out->dim, first + i, out->dim,
                                  out->v + (size_t)place[first + i] * out->dim);
    }
    ta_mem_free(block);
    return status;
}

static ta_status read_table(const char *path, struct ta_h5 *file, const struct ta_names *names,
                            struct ta_vectors *out) {
    struct ta_h5_set *set;
    int64_t *place = NULL;
    ta_status status = ta_h5_set_open(file, table, &set);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    status = check_shape(path, shape, names->count);
    if (status == TA_OK) status = TA_NEW(&place, names->count, "an order of words");
    if (status == TA_OK) status = order(names, place, &out->names);
    if (status == TA_OK && out->names.count == 0)
        status = ta_fail(TA_FORMAT, "%s: none of its %zu rows has a word yet; train on more text", path, names->count);
    if (status == TA_OK) {
        out->dim = (uint32_t)shape->dims[1];
        status = TA_NEW(&out->v, out->names.count * out->dim, "word vectors");
    }
    if (status == TA_OK) status = read_rows(path, set, place, out);
    ta_mem_free(place);
    ta_h5_set_close(set);
    return status;
}

ta_status ta_vectors_read_model(const char *path, struct ta_vectors *out) {
    struct ta_h5 *file;
    struct ta_names names = {0};
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    if (!ta_h5_exists(file, "/vocabulary"))
        status = ta_fail(TA_FORMAT,
                         "%s: has no /vocabulary, so it is not a word model; name the model.h5 of a skipgram "
                         "or cbow model",
                         path);
    if (status == TA_OK) status = ta_names_read(&names, file, path);
    if (status == TA_OK) status = read_table(path, file, &names, out);
    ta_names_free(&names);
    (void)ta_h5_close(file); /* nothing was written */
    return status;
}
