#include "stream_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "status.h"

void scratch_open(char directory[64]) {
    const char *base = getenv("TMPDIR");
    snprintf(directory, 64, "%s/ta-stream-XXXXXX", base != NULL && strlen(base) < 40 ? base : "/tmp");
    if (mkdtemp(directory) == NULL) fail_msg("no directory like %s", directory);
}

void scratch_close(const char *directory) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) fail_msg("cannot remove %s", directory);
}

struct file_spec file_good(void) {
    return (struct file_spec){
        .x = {.type = TA_H5_U8, .rank = 4, .dims = {10, 4, 3, 2}, .chunk_rows = 3, .checksum = true},
        .y = {.type = TA_H5_I32, .rank = 1, .dims = {10}, .chunk_rows = 4, .checksum = true, .modulus = 5},
        .format = "tensair-stream",
        .version = 1,
        .records = 10,
        .classes = 5,
        .scale = 0.25,
        .checksum = "00000000deadbeef",
    };
}

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) != TA_OK) fail_msg("%s: %s", #call, ta_why());                                                      \
    } while (0)

static void write_set(struct ta_h5 *file, const char *name, const struct file_set *how) {
    if (how->rank == 0) return;
    struct ta_h5_create create = {
        .shape = {.type = how->type, .rank = how->rank}, .chunk_rows = how->chunk_rows, .checksum = how->checksum};
    uint64_t elements = 1;
    for (unsigned i = 0; i < how->rank; i++) elements *= create.shape.dims[i] = how->dims[i];
    struct ta_h5_set *set;
    MUST(ta_h5_set_create(file, name, &create, &set));
    double *values = calloc(elements + 1, sizeof *values);
    uint64_t modulus = how->modulus > 0 ? (uint64_t)how->modulus : 251;
    for (uint64_t i = 0; i < elements; i++)
        values[i] = how->has_odd && i == how->odd_at ? how->odd : (double)(i % modulus);
    if (elements > 0) MUST(ta_h5_set_write(set, TA_H5_F64, 0, how->dims[0], values));
    free(values);
    ta_h5_set_close(set);
}

void file_write(const char *path, const struct file_spec *spec) {
    struct ta_h5 *file;
    MUST(ta_h5_open(path, TA_H5_CREATE, &file));
    write_set(file, "/x", &spec->x);
    write_set(file, "/y", &spec->y);
    write_set(file, "/t", &spec->t);
    write_set(file, "/label_delay", &spec->delay);
    if (spec->format != NULL) {
        MUST(ta_h5_attr_set_text(file, "/", "format", spec->format));
        MUST(ta_h5_attr_set_text(file, "/", "origin", "a test"));
        if (spec->version >= 0) MUST(ta_h5_attr_set_i64(file, "/", "version", spec->version));
        if (spec->records >= 0) MUST(ta_h5_attr_set_i64(file, "/", "records", spec->records));
        if (spec->classes >= 0) MUST(ta_h5_attr_set_i64(file, "/", "classes", spec->classes));
        if (spec->scale != 0) MUST(ta_h5_attr_set_f64(file, "/", "scale", spec->scale));
        if (spec->checksum != NULL) MUST(ta_h5_attr_set_text(file, "/", "checksum", spec->checksum));
    }
    MUST(ta_h5_close(file));
}

unsigned char *file_load(const char *path, size_t *bytes) {
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) fail_msg("cannot read %s", path);
    *bytes = (size_t)ftell(in);
    rewind(in);
    unsigned char *content = malloc(*bytes + 1);
    if (fread(content, 1, *bytes, in) != *bytes) fail_msg("cannot read %s", path);
    fclose(in);
    return content;
}

void file_store(const char *path, const unsigned char *content, size_t bytes) {
    FILE *out = fopen(path, "wb");
    if (out == NULL || fwrite(content, 1, bytes, out) != bytes || fclose(out) != 0) fail_msg("cannot write %s", path);
}

void file_poke(const char *path, size_t at, unsigned char byte) {
    FILE *out = fopen(path, "r+b");
    if (out == NULL || fseek(out, (long)at, SEEK_SET) != 0 || fputc(byte, out) == EOF || fclose(out) != 0)
        fail_msg("cannot write %s", path);
}
