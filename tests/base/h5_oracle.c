/* The half of the h5py oracle that is ours: writes a file for h5py to read, or reads one that h5py wrote. Prints what
 * is wrong and exits with 1. See h5py_oracle.py for what the files hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5.h"

#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, ta_why());                                      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void write_ours(const char *path) {
    static const char *const names[] = {"a", "longer", "ccc"};
    struct ta_h5 *file;
    struct ta_h5_set *set;
    double v[60];
    char name[64];
    for (int i = 0; i < 60; i++) v[i] = i;
    NEED(ta_h5_open(path, TA_H5_CREATE, &file) == TA_OK);
    for (int t = 0; t < TA_H5_OTHER; t++) {
        struct ta_h5_create plain = {.shape = {.type = (enum ta_h5_type)t, .rank = 2, .dims = {5, 4}}};
        struct ta_h5_create packed = {.shape = {.type = (enum ta_h5_type)t, .rank = 2, .dims = {0, 3}},
                                      .chunk_rows = 8, .gzip = 6, .shuffle = true, .checksum = true};
        snprintf(name, sizeof name, "/plain/%s", ta_h5_type_name((enum ta_h5_type)t));
        NEED(ta_h5_set_create(file, name, &plain, &set) == TA_OK);
        NEED(ta_h5_set_write(set, TA_H5_F64, 0, 5, v) == TA_OK);
        ta_h5_set_close(set);
        snprintf(name, sizeof name, "/packed/%s", ta_h5_type_name((enum ta_h5_type)t));
        NEED(ta_h5_set_create(file, name, &packed, &set) == TA_OK);
        for (uint64_t at = 0; at < 20; at += 4) NEED(ta_h5_set_write(set, TA_H5_F64, at, 4, v + at * 3) == TA_OK);
        ta_h5_set_close(set);
    }
    NEED(ta_h5_write_all(file, "/scalar", &(struct ta_h5_shape){.type = TA_H5_I32}, &(int32_t){7}) == TA_OK);
    NEED(ta_h5_attr_set_text(file, "/", "text", "grüße") == TA_OK);
    NEED(ta_h5_attr_set_i64(file, "/", "whole", -5) == TA_OK);
    NEED(ta_h5_attr_set_f64(file, "/", "real", 0.1) == TA_OK);
    NEED(ta_h5_attr_set_texts(file, "/plain", "names", names, 3) == TA_OK);
    NEED(ta_h5_attr_set_texts(file, "/plain", "none", names, 0) == TA_OK);
    NEED(ta_h5_close(file) == TA_OK);
}

static void read_set(struct ta_h5 *file, const char *name, enum ta_h5_type type, uint64_t rows, uint64_t columns) {
    struct ta_h5_set *set;
    static double v[1000];
    NEED(ta_h5_set_open(file, name, &set) == TA_OK);
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    NEED(shape->type == type && shape->rank == 2 && shape->dims[0] == rows && shape->dims[1] == columns);
    NEED(ta_h5_set_read(set, TA_H5_F64, 0, rows, v) == TA_OK);
    for (uint64_t i = 0; i < rows * columns; i++) NEED(v[i] == (double)(i % 100));
    NEED(ta_h5_set_read(set, TA_H5_F64, rows / 3, rows / 2, v) == TA_OK);
    for (uint64_t i = 0; i < rows / 2 * columns; i++) NEED(v[i] == (double)((i + rows / 3 * columns) % 100));
    ta_h5_set_close(set);
}

/* Opens, or at least reading says why not. */
static void refuse(struct ta_h5 *file, const char *name, const char *message) {
    struct ta_h5_set *set;
    static char buffer[4096];
    ta_status status = ta_h5_set_open(file, name, &set);
    if (status == TA_OK) {
        status = ta_h5_set_read(set, TA_H5_F32, 0, 1, buffer);
        ta_h5_set_close(set);
    }
    NEED(status == TA_FORMAT && strstr(ta_why(), message) != NULL && strstr(ta_why(), name) != NULL);
}

static void read_attributes(struct ta_h5 *file) {
    char text[32], **texts;
    size_t count;
    int64_t whole;
    double real;
    NEED(ta_h5_attr_get_text(file, "/", "text", text, sizeof text) == TA_OK && strcmp(text, "grüße") == 0);
    NEED(ta_h5_attr_get_text(file, "/", "bytes", text, sizeof text) == TA_OK && strcmp(text, "fixed") == 0);
    NEED(ta_h5_attr_get_i64(file, "/", "short", &whole) == TA_OK && whole == -3);
    NEED(ta_h5_attr_get_i64(file, "/", "whole", &whole) == TA_OK && whole == -5);
    NEED(ta_h5_attr_get_i64(file, "/", "big_endian", &whole) == TA_OK && whole == 7);
    NEED(ta_h5_attr_get_f64(file, "/", "real", &real) == TA_OK && real == 0.5);
    NEED(ta_h5_attr_get_f64(file, "/", "short", &real) == TA_OK && real == -3);
    NEED(ta_h5_attr_get_i64(file, "/", "real", &whole) == TA_FORMAT);
    NEED(ta_h5_attr_get_i64(file, "/", "names", &whole) == TA_FORMAT);
    NEED(ta_h5_attr_get_i64(file, "/", "flag", &whole) == TA_FORMAT);
    NEED(ta_h5_attr_get_texts(file, "/", "names", &texts, &count) == TA_OK && count == 2);
    NEED(strcmp(texts[0], "a") == 0 && strcmp(texts[1], "longer") == 0);
    ta_h5_texts_free(texts, count);
    NEED(ta_h5_attr_get_texts(file, "/", "words", &texts, &count) == TA_OK && count == 3);
    NEED(strcmp(texts[1], "yy") == 0 && strcmp(texts[2], "") == 0);
    ta_h5_texts_free(texts, count);
}

static void read_theirs(const char *path) {
    struct ta_h5 *file;
    char name[64];
    NEED(ta_h5_open(path, TA_H5_READ, &file) == TA_OK);
    for (int t = 0; t < TA_H5_OTHER; t++) {
        for (int big = 0; big < 2; big++) {
            snprintf(name, sizeof name, "/%s/%s", big ? "big" : "little", ta_h5_type_name((enum ta_h5_type)t));
            read_set(file, name, (enum ta_h5_type)t, 5, 4);
        }
    }
    read_set(file, "/chunked", TA_H5_U8, 50, 6);
    read_set(file, "/big_packed", TA_H5_F32, 50, 6);
    read_set(file, "/soft", TA_H5_U8, 5, 4);
    read_set(file, "/norows", TA_H5_U8, 0, 4);
    refuse(file, "/auto", "filter 32000 (lzf)");
    refuse(file, "/bool", "type that cannot be read");
    refuse(file, "/half", "type that cannot be read");
    refuse(file, "/compound", "type that cannot be read");
    refuse(file, "/words", "type that cannot be read");
    refuse(file, "/empty", "without a shape");
    refuse(file, "/virtual", "in other files");
    refuse(file, "/dangling", "is not in the file");
    refuse(file, "/outside", "is not in the file");
    NEED(!ta_h5_exists(file, "/dangling") && ta_h5_exists(file, "/soft") && !ta_h5_exists(file, "/outside"));
    read_attributes(file);
    NEED(ta_h5_close(file) == TA_OK);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        write_ours(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "read") == 0)
        read_theirs(argv[2]);
    else
        return 2;
    return 0;
}
