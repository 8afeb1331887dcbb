/* h5: the one place that talks to libhdf5.
 *
 * Debian's HDF5 is not thread-safe: every call here takes the one lock of the process, so any thread may call, one file
 * handle from one thread at a time. HDF5's own error stack is silenced; its innermost message becomes part of ours.
 * Every message names the file and the object. All sizes found in a file are checked before they are used.
 * A file that is opened for reading or update is looked over first (h5_check.h), since libhdf5 trusts what it finds.
 * Chunked sets may be stored through shuffle, gzip and fletcher32, in any order; other filters, virtual and external
 * storage are refused with the h5repack call that helps. An open filtered set holds two chunks in memory.
 *
 * Errors, all calls: IO (the file is missing, the disk is full, a chunk cannot be read: which rows), FORMAT (not HDF5,
 * an object is missing, has another type or rank than asked for), NO_MEMORY.
 */
#ifndef TA_H5_H
#define TA_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_H5_MAX_RANK = 6 };

/* Element types in memory and in the file (little endian). TA_H5_OTHER: found in a file, cannot be read by us. */
enum ta_h5_type { TA_H5_U8, TA_H5_I8, TA_H5_I32, TA_H5_U32, TA_H5_I64, TA_H5_U64, TA_H5_F32, TA_H5_F64, TA_H5_OTHER };

size_t ta_h5_type_bytes(enum ta_h5_type type);
const char *ta_h5_type_name(enum ta_h5_type type); /* "uint8", "float32", ... as NumPy says it */

struct ta_h5;     /* an open file */
struct ta_h5_set; /* an open dataset of an open file */

enum ta_h5_mode {
    TA_H5_READ,   /* must exist */
    TA_H5_CREATE, /* truncates */
    TA_H5_UPDATE, /* must exist, read and write */
    TA_H5_GROW,   /* truncates; for files that are read while they grow: see ta_h5_grow */
};

ta_status ta_h5_open(const char *path, enum ta_h5_mode mode, struct ta_h5 **out);
/* Flushes, closes; NULL is fine. Returns what went wrong while flushing: a checkpoint must look at it. The handle is
 * gone in any case. All datasets of the file must be closed before. */
ta_status ta_h5_close(struct ta_h5 *file);

/* Of a file opened with GROW, once everything is made in it: from now on rows may be added to its chunked sets while
 * others read (HDF5's single writer, multiple readers; h5py: File(path, "r", swmr=True), then id.refresh()). Nothing
 * can be made in it any more. What ta_h5_set_flush has written, readers see. A writer that was killed leaves a file
 * that opens like this only; `h5clear -s` makes an ordinary one of it. */
ta_status ta_h5_grow(struct ta_h5 *file);

bool ta_h5_exists(struct ta_h5 *file, const char *object); /* "/x", "/model_weights/dense" */
ta_status ta_h5_group_create(struct ta_h5 *file, const char *group); /* with its parents; existing is fine */

/* Attributes of `object` ("/" is the root). Getters: `fallback` versions do not exist; ask ta_h5_attr_exists first. */
bool ta_h5_attr_exists(struct ta_h5 *file, const char *object, const char *name);
ta_status ta_h5_attr_set_text(struct ta_h5 *file, const char *object, const char *name, const char *text);
ta_status ta_h5_attr_set_i64(struct ta_h5 *file, const char *object, const char *name, int64_t value);
ta_status ta_h5_attr_set_f64(struct ta_h5 *file, const char *object, const char *name, double value);
/* Fixed-length, NUL-padded strings, the form Keras 2 writes; over 64,512 bytes they are split by Keras' rule into
 * name0, name1, ... */
ta_status ta_h5_attr_set_texts(struct ta_h5 *file, const char *object, const char *name, const char *const *texts,
                               size_t count);
ta_status ta_h5_attr_get_text(struct ta_h5 *file, const char *object, const char *name, char *text, size_t text_bytes);
ta_status ta_h5_attr_get_i64(struct ta_h5 *file, const char *object, const char *name, int64_t *value);
ta_status ta_h5_attr_get_f64(struct ta_h5 *file, const char *object, const char *name, double *value);
/* Fixed- or variable-length strings, name or name0, name1, ...; *texts and each text are freed by ta_h5_texts_free. */
ta_status ta_h5_attr_get_texts(struct ta_h5 *file, const char *object, const char *name, char ***texts, size_t *count);
void ta_h5_texts_free(char **texts, size_t count);

struct ta_h5_shape {
    enum ta_h5_type type;
    unsigned rank;                 /* 0: a scalar */
    uint64_t dims[TA_H5_MAX_RANK]; /* dims[0] counts records */
};

struct ta_h5_create {
    struct ta_h5_shape shape;
    uint64_t chunk_rows; /* 0: contiguous, not extendable; else chunked by this many rows, dims[0] unlimited */
    int gzip;            /* 0: none, 1..9 */
    bool shuffle;
    bool checksum;       /* fletcher32 a chunk: damage is found when the chunk is read */
};

ta_status ta_h5_set_create(struct ta_h5 *file, const char *name, const struct ta_h5_create *how,
                           struct ta_h5_set **out);
ta_status ta_h5_set_open(struct ta_h5 *file, const char *name, struct ta_h5_set **out);
void ta_h5_set_close(struct ta_h5_set *set); /* NULL is fine */
const struct ta_h5_shape *ta_h5_set_shape(const struct ta_h5_set *set);
uint64_t ta_h5_set_chunk_rows(const struct ta_h5_set *set); /* 0: contiguous */

/* Rows [first, first + rows) along dims[0], converted to or from `type` in memory; the buffer holds rows * (product of
 * the other dims) elements. Reading past the end is FORMAT. Writing past the end extends a chunked set. A scalar has
 * one row. */
ta_status ta_h5_set_read(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out);
ta_status ta_h5_set_write(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, const void *in);

/* One row of the set for each of `count` files that may grow or not be there yet: [count][rows] of a source of one
 * dimension, [count][rows][width] of one with two. As many rows as the longest source has; where one has fewer, `fill`.
 * Readers see what there was when they opened the file. */
struct ta_h5_virtual {
    enum ta_h5_type type;
    unsigned rank;            /* of the sources, 1 or 2; their first dimension is unlimited */
    uint64_t width;           /* elements of their rows */
    const void *fill;         /* one element */
    unsigned count;
    const char *const *files; /* [count], from the folder of this file on */
    const char *source;       /* the set in each */
};

/* In a file that was opened with CREATE or, to be read beside a writer, with GROW. Cannot be opened by
 * ta_h5_set_open. */
ta_status ta_h5_virtual_create(struct ta_h5 *file, const char *name, const struct ta_h5_virtual *how);
/* `name` here stands for `object` of `other`, a path from the folder of this file on, which need not be there. */
ta_status ta_h5_link_create(struct ta_h5 *file, const char *name, const char *other, const char *object);

/* Hands what was written to the system, in an order that a reader of a growing file can follow. */
ta_status ta_h5_set_flush(struct ta_h5_set *set);

/* Whole-array shorthands: create + write + close; open + check the shape's rank and dims equal + read + close. */
ta_status ta_h5_write_all(struct ta_h5 *file, const char *name, const struct ta_h5_shape *shape, const void *in);
ta_status ta_h5_read_all(struct ta_h5 *file, const char *name, const struct ta_h5_shape *expected, void *out);

/* Calls `visit` with the full name of each object ("/a/b"), groups and datasets, in name order; a visit that does not
 * return TA_OK ends the walk with its status. */
ta_status ta_h5_walk(struct ta_h5 *file, ta_status (*visit)(void *context, const char *name, bool is_group),
                     void *context);

#endif
