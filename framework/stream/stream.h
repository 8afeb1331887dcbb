/* stream: an ordered, seekable source of records (x, y, optional time); a make is a file: hdf5, synthetic.
 *
 * Threads: an open stream belongs to one thread at a time (the replayer's reader).
 */
#ifndef TA_STREAM_H
#define TA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum ta_element {
    TA_ELEMENT_U8,
    TA_ELEMENT_F32,
    TA_ELEMENT_I32, /* word numbers of a text stream; -1: padding */
};
enum ta_label_kind {
    TA_LABEL_CLASS, /* int32 class index, 0 .. classes-1; -1: no label */
    TA_LABEL_VALUE, /* float32[targets]; NaN: no label */
    TA_LABEL_NONE,
};

/* What every record of a stream looks like. Fixed for its life. */
struct ta_stream_info {
    uint64_t records;        /* UINT64_MAX: no end (generators) */
    uint32_t h, w, c;        /* shape of x, channels last; a vector is 1, 1, c */
    enum ta_element element; /* of x */
    float scale, offset;     /* x as the model sees it = x * scale + offset (u8 images: 1/255, 0) */
    enum ta_label_kind label_kind;
    uint32_t classes;        /* CLASS: how many */
    uint32_t targets;        /* VALUE: how many */
    bool has_time;           /* /t: int64 nanoseconds from the start of the recording */
    bool has_delay;          /* /label_delay: int64 records */
    uint64_t checksum;       /* XXH3 of x then y as stored; 0: unknown (generators) */
    char origin[256];        /* where it came from, for people */
};

static inline size_t ta_stream_x_bytes(const struct ta_stream_info *info) {
    return (size_t)info->h * info->w * info->c * (info->element == TA_ELEMENT_U8 ? 1 : 4);
}

/* Where to put `records` records; any pointer may be NULL: not wanted. */
struct ta_stream_block {
    void *x;         /* [records][h][w][c] of `element` */
    int32_t *class;  /* [records] */
    float *value;    /* [records][targets] */
    int64_t *time_ns; /* [records] */
    int64_t *delay;  /* [records] */
};

struct ta_stream;

struct ta_stream_ops {
    const char *name; /* "hdf5", "synthetic" */
    void (*close)(struct ta_stream *s);
    /* Records [first, first + count); all of it or an error. Errors: END (beyond the last), IO and FORMAT (name file,
     * dataset and records: a damaged chunk, a label out of range, NaN in x), NO_MEMORY. */
    ta_status (*read)(struct ta_stream *s, uint64_t first, size_t count, const struct ta_stream_block *out);
};

/* Every make begins with this. */
struct ta_stream {
    const struct ta_stream_ops *ops;
    struct ta_stream_info info;
};

/* What a configuration says of a stream. Strings belong to the configuration. */
struct ta_stream_spec {
    char *file;      /* HDF5 stream; or NULL and `generator` */
    char *generator; /* sea, stagger, agrawal, hyperplane, rbf, glyphs: see synthetic.h */
    uint64_t records; /* generator: how many; 0: no end */
    uint64_t seed;
    char *drift;     /* generator: "abrupt@5000:2,gradual@9000+1000:3": concept number from that record on (over width) */
};

/* Opens either. `*out` is closed by ta_stream_close. Errors: CONFIG (which key), IO, FORMAT, NO_MEMORY. */
ta_status ta_stream_open(const struct ta_stream_spec *spec, struct ta_stream **out);
void ta_stream_close(struct ta_stream *s); /* NULL is fine */

#endif
