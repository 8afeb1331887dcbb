/* vectors_write: word2vec's two formats of vectors, whole or not there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "vectors.h"

static ta_status check_words(const struct ta_vectors *vectors, const char *path) {
    for (size_t i = 0; i < vectors->names.count; i++) {
        const char *word = ta_names_get(&vectors->names, i);
        for (const char *at = word; *at != '\0'; at++)
            if ((unsigned char)*at <= ' ' || *at == 0x7f)
                return ta_fail(TA_FORMAT,
                               "%s: word %zu (%.40s) holds a blank or control character, which word2vec's "
                               "formats cannot say",
                               path, i, word);
    }
    return TA_OK;
}

static void write_row(FILE *file, const float *v, uint32_t dim, enum ta_vectors_format format) {
    if (format == TA_VECTORS_BINARY) {
        fwrite(v, sizeof *v, dim, file);
        return;
    }
    for (uint32_t k = 0; k < dim; k++) fprintf(file, "%.9g ", (double)v[k]);
}

static ta_status write_all(const struct ta_vectors *vectors, enum ta_vectors_format format, const char *part) {
    FILE *file = fopen(part, "wb");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot make it", part);
    fprintf(file, "%zu %" PRIu32 "\n", vectors->names.count, vectors->dim);
    for (size_t i = 0; i < vectors->names.count && !ferror(file); i++) {
        fprintf(file, "%s ", ta_names_get(&vectors->names, i));
        write_row(file, ta_vectors_row(vectors, i), vectors->dim, format);
        putc('\n', file);
    }
    bool bad = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0;
    if (fclose(file) != 0 || bad) return ta_fail_errno(TA_IO, "%s: cannot write it; is the disk full?", part);
    return TA_OK;
}

ta_status ta_vectors_write(const struct ta_vectors *vectors, enum ta_vectors_format format, const char *path) {
    char *part;
    size_t room = strlen(path) + sizeof ".part";
    ta_status status = check_words(vectors, path);
    if (status == TA_OK) status = TA_NEW(&part, room, "the name of a file");
    if (status != TA_OK) return status;
    snprintf(part, room, "%s.part", path);
    status = write_all(vectors, format, part);
    if (status == TA_OK && rename(part, path) != 0)
        status = ta_fail_errno(TA_IO, "%s: cannot rename it to %s", part, path);
    if (status != TA_OK) (void)unlink(part);
    ta_mem_free(part);
    return status;
}
