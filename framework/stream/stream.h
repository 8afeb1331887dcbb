/* stream: an ordered, seekable source of records (x, y, optional time); a make is a file: hdf5, synthetic.
 *
 * The stream file (HDF5; h5ls, h5dump and h5py read it). Datasets, first dimension = record:
 *
 *     /x            uint8 or float32 [n][c] or [n][h][w][c] (channels last), or int32 word numbers, -1: padding.
 *                   Read too: [n][h][w] as one channel, float64 as float32.
 *     /y            int32, uint8 or int64 class [n] (-1: no label), or float32 [n] or [n][targets] (NaN: no label).
 *                   Read too: [n][1], other integers, float64. A file without /y has no labels.
 *     /t            int64 [n], nanoseconds, never falling; optional: what `pace: trace` replays
 *     /label_delay  int64 [n], records; optional: how many records later the label becomes known
 *     /vocabulary, /vocabulary_count   names.h: what the numbers of an int32 /x stand for; optional
 *
 * and attributes of the root:
 *
 *     format        "tensair-stream"        version  1
 *     records       n, so that a file cut short is noticed
 *     classes       how many (when /y holds classes); class_names: their names, optional
 *     content       "text": /x is uint8 [n][bytes] of UTF-8, whole words, padded by NUL; optional
 *     vocabulary    int32 /x: how many words there are: its numbers are -1 .. vocabulary-1; optional
 *     scale, offset what a model sees is x * scale + offset
 *     origin        where it came from, for people
 *     checksum      16 hexadecimal digits over all of /x and /y: see digest.h
 *
 * Chunks should hold 256 KiB to 1 MiB of whole records; filters: only those of a stock HDF5 (fletcher32, shuffle,
 * gzip). With fletcher32 a damaged chunk is found when it is read.
 *
 * A file without `format` that has /x and /y (made with h5py by hand) works too: classes is the largest label + 1,
 * found in one pass when it is opened; scale is 1/255 for uint8, else 1; `origin` says so.
 *
 * Threads: an open stream belongs to one thread at a time (the replayer's reader).
 */
#ifndef TA_STREAM_H
#define TA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"
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
    uint32_t classes;  /* CLASS: how many */
    uint32_t targets;  /* VALUE: how many */
    bool has_time;     /* /t: int64 nanoseconds from the start of the recording */
    bool has_delay;    /* /label_delay: int64 records */
    uint64_t checksum; /* XXH3 of x then y as stored; 0: unknown (generators) */
    uint64_t block;    /* cheapest to read that many at once, starting at a multiple of it (a chunk); 0: any number */
    bool text;         /* x is UTF-8 text (uint8 [n][bytes], padded by NUL): words are found in it by who reads it */
    uint32_t vocabulary; /* I32: how many words /vocabulary lists; 0: it does not say */
    char origin[256];  /* where it came from, for people */
};

/* Word numbers and text: a model takes them as they are stored. */
static inline bool ta_stream_is_raw(const struct ta_stream_info *info) {
    return info->text || info->element == TA_ELEMENT_I32;
}

static inline size_t ta_stream_x_bytes(const struct ta_stream_info *info) {
    return (size_t)info->h * info->w * info->c * (info->element == TA_ELEMENT_U8 ? 1 : 4);
}

/* Where to put `records` records; any pointer may be NULL: not wanted. */
struct ta_stream_block {
    void *x;          /* [records][h][w][c] of `element` */
    int32_t *class;   /* [records] */
    float *value;     /* [records][targets] */
    int64_t *time_ns; /* [records] */
    int64_t *delay;   /* [records] */
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

struct ta_inject_change;

/* What a configuration says of a stream. Strings belong to the configuration. */
struct ta_stream_spec {
    char *file;       /* HDF5 stream; or NULL and `generator` */
    char *generator;  /* sea, stagger, agrawal, hyperplane, rbf, glyphs: see synthetic.h */
    uint64_t records; /* generator: how many; 0: no end */
    uint64_t seed;
    struct ta_inject_change *inject; /* drift made to order, of either: see inject.h */
    unsigned inject_count;
    char *drift; /* generator: "abrupt@5000:2,gradual@9000+1000:3": concept number from that record on (over width) */
};

/* Opens either: exactly one of `file` and `generator` is given. `*out` is closed by ta_stream_close. Errors: CONFIG
 * (which key), IO, FORMAT, NO_MEMORY. */
ta_status ta_stream_open(const struct ta_stream_spec *spec, struct ta_stream **out);
void ta_stream_close(struct ta_stream *s); /* NULL is fine */

/* The words behind the numbers of a stream file: /vocabulary and /vocabulary_count (0s when there are none). Opens the
 * file by itself. Errors: IO, FORMAT (no vocabulary; not what import.h says; words that are not UTF-8), NO_MEMORY. */
ta_status ta_stream_names(const char *path, struct ta_names *out);

/* The make for files. Errors: IO (missing, cannot be read), FORMAT (not HDF5, not a stream: object, what it is, what it
 * should be, and the cure), NO_MEMORY. */
ta_status ta_stream_hdf5_open(const char *path, struct ta_stream **out);

#endif
