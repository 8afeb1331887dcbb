/* hdf5: the make of `stream` for files. The format stands in stream.h; here everything a file claims is checked before
 * it is used: shapes and attributes when it is opened. What is read is checked in hdf5_read.c. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "hdf5_internal.h"
#include "mem.h"

enum {
    MAX_RECORD_BYTES = 1 << 30,
    MAX_TARGETS = 1 << 20,
    BLOCK_BYTES = 1 << 19,     /* read together when chunks are smaller: half a level-2 cache */
    MAX_BLOCK_BYTES = 1 << 26, /* a chunk beyond is read in pieces */
    SCAN_RECORDS = 1 << 16,    /* labels looked at together */
};
#define WORDS_MOST (INT64_C(1) << 31)

static void hdf5_close(struct ta_stream *base) {
    struct ta_hdf5_stream *s = (struct ta_hdf5_stream *)base;
    ta_h5_set_close(s->x);
    ta_h5_set_close(s->y);
    ta_h5_set_close(s->t);
    ta_h5_set_close(s->delay);
    ta_h5_close(s->file);
    ta_mem_free(s->scratch);
    ta_mem_free(s->path);
    ta_mem_free(s);
}

static const struct ta_stream_ops hdf5_ops = {.name = "hdf5", .close = hdf5_close, .read = ta_hdf5_read};

static ta_status open_x(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    ta_status status = ta_h5_set_open(s->file, "/x", &s->x);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(s->x);
    switch (shape->type) {
    case TA_H5_U8: info->element = TA_ELEMENT_U8, s->x_type = TA_H5_U8; break;
    case TA_H5_I32: info->element = TA_ELEMENT_I32, s->x_type = TA_H5_I32; break;
    case TA_H5_F32:
    case TA_H5_F64: info->element = TA_ELEMENT_F32, s->x_type = TA_H5_F32; break;
    default:
        return ta_fail(TA_FORMAT,
                       "%s: /x: holds %s; a stream holds uint8, float32 or int32: convert it (NumPy: "
                       "x.astype('float32'))",
                       s->path, ta_h5_type_name(shape->type));
    }
    if (shape->rank < 2 || shape->rank > 4)
        return ta_fail(TA_FORMAT,
                       "%s: /x: has rank %u; make it [records][features] or [records][height][width][channels]",
                       s->path, shape->rank);
    uint64_t bytes = ta_h5_type_bytes(s->x_type);
    for (unsigned i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 0)
            return ta_fail(TA_FORMAT, "%s: /x: dimension %u is 0: there is nothing to train on", s->path, i);
        if (i > 0 && (__builtin_mul_overflow(bytes, shape->dims[i], &bytes) || bytes > MAX_RECORD_BYTES))
            return ta_fail(TA_FORMAT,
                           "%s: /x: a record of more than %d bytes (dimension %u is %" PRIu64 "); is the first "
                           "dimension the record?",
                           s->path, MAX_RECORD_BYTES, i, shape->dims[i]);
    }
    info->records = shape->dims[0];
    info->h = shape->rank > 2 ? (uint32_t)shape->dims[1] : 1;
    info->w = shape->rank > 2 ? (uint32_t)shape->dims[2] : 1;
    info->c = shape->rank == 3 ? 1 : (uint32_t)shape->dims[shape->rank - 1];
    uint64_t chunk = ta_h5_set_chunk_rows(s->x);
    if (chunk == 0) return TA_OK;
    uint64_t most = MAX_BLOCK_BYTES / bytes, wanted = BLOCK_BYTES / bytes;
    if (chunk > info->records) chunk = info->records;
    info->block = chunk > most ? (most > 0 ? most : 1) : chunk < wanted ? wanted / chunk * chunk : chunk;
    return TA_OK;
}

/* Opens a dataset of one entry a record. */
static ta_status open_beside(struct ta_hdf5_stream *s, const char *name, struct ta_h5_set **out) {
    ta_status status = ta_h5_set_open(s->file, name, out);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(*out);
    if (shape->rank == 0 || shape->dims[0] != s->base.info.records)
        return ta_fail(TA_FORMAT,
                       "%s: %s: has %" PRIu64 " records, /x has %" PRIu64 "; was the file written to its end?", s->path,
                       name, shape->rank == 0 ? 0 : shape->dims[0], s->base.info.records);
    return TA_OK;
}

static ta_status open_y(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    ta_status status = open_beside(s, "/y", &s->y);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(s->y);
    bool real = shape->type == TA_H5_F32 || shape->type == TA_H5_F64;
    if (shape->type == TA_H5_OTHER)
        return ta_fail(TA_FORMAT, "%s: /y: holds %s; labels are int32 classes or float32 values", s->path,
                       ta_h5_type_name(shape->type));
    uint64_t targets = shape->rank == 1 ? 1 : shape->dims[1];
    if (shape->rank > 2 || targets == 0 || (!real && targets != 1) || targets > MAX_TARGETS)
        return ta_fail(TA_FORMAT,
                       "%s: /y: is %s of rank %u with %" PRIu64 " a record; give one class number a record "
                       "(one-hot: y.argmax(1)), or float32 values [records][targets]",
                       s->path, ta_h5_type_name(shape->type), shape->rank, targets);
    info->label_kind = real ? TA_LABEL_VALUE : TA_LABEL_CLASS;
    info->targets = real ? (uint32_t)targets : 0;
    return TA_OK;
}

static ta_status open_times(struct ta_hdf5_stream *s, const char *name, struct ta_h5_set **out, bool *has) {
    *has = ta_h5_exists(s->file, name);
    if (!*has) return TA_OK;
    ta_status status = open_beside(s, name, out);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(*out);
    if (shape->rank == 1 && shape->type != TA_H5_F32 && shape->type != TA_H5_F64 && shape->type != TA_H5_OTHER)
        return TA_OK;
    return ta_fail(TA_FORMAT, "%s: %s: is %s of rank %u; it must be int64 of rank 1", s->path, name,
                   ta_h5_type_name(shape->type), shape->rank);
}

/* One pass over all labels: the largest one + 1. */
static ta_status count_classes(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    int64_t largest = -1;
    for (uint64_t at = 0; at < info->records; at += SCAN_RECORDS) {
        size_t count = info->records - at < SCAN_RECORDS ? (size_t)(info->records - at) : SCAN_RECORDS;
        ta_status status = ta_hdf5_room(s, count);
        if (status == TA_OK) status = ta_h5_set_read(s->y, TA_H5_I64, at, count, s->scratch);
        if (status != TA_OK) return status;
        for (size_t i = 0; i < count; i++) {
            if (s->scratch[i] < -1 || s->scratch[i] >= INT32_MAX)
                return ta_fail(TA_FORMAT,
                               "%s: /y: record %" PRIu64 " has label %" PRId64 "; classes count from 0 to %d, and -1 "
                               "is no label",
                               s->path, at + i, s->scratch[i], INT32_MAX - 1);
            if (s->scratch[i] > largest) largest = s->scratch[i];
        }
    }
    if (largest < 0)
        return ta_fail(TA_FORMAT, "%s: /y: none of %" PRIu64 " records has a label", s->path, info->records);
    info->classes = (uint32_t)largest + 1;
    return TA_OK;
}

static ta_status get_count(struct ta_hdf5_stream *s, const char *name, int64_t least, int64_t most, int64_t *value) {
    ta_status status = ta_h5_attr_get_i64(s->file, "/", name, value);
    if (status == TA_OK && (*value < least || *value > most))
        status = ta_fail(TA_FORMAT, "%s: attribute '%s' is %" PRId64 "; it must lie in %" PRId64 "..%" PRId64, s->path,
                         name, *value, least, most);
    return status;
}

static ta_status get_float(struct ta_hdf5_stream *s, const char *name, float *value) {
    double wide;
    if (!ta_h5_attr_exists(s->file, "/", name)) return TA_OK;
    ta_status status = ta_h5_attr_get_f64(s->file, "/", name, &wide);
    if (status != TA_OK) return status;
    *value = (float)wide;
    if (isfinite(*value)) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: attribute '%s' is %g; it must be a finite float32", s->path, name, wide);
}

static ta_status read_attributes(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    int64_t number;
    ta_status status = get_count(s, "version", 1, 1, &number);
    if (status == TA_OK && ta_h5_attr_exists(s->file, "/", "records")) {
        status = get_count(s, "records", 0, INT64_MAX, &number);
        if (status == TA_OK && (uint64_t)number != info->records)
            status = ta_fail(TA_FORMAT,
                             "%s: /x: has %" PRIu64 " records, attribute 'records' says %" PRId64 "; import it again",
                             s->path, info->records, number);
    }
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS && ta_h5_attr_exists(s->file, "/", "classes")) {
        status = get_count(s, "classes", 1, INT32_MAX, &number);
        if (status == TA_OK) info->classes = (uint32_t)number;
    }
    if (status == TA_OK) status = get_float(s, "scale", &info->scale);
    if (status == TA_OK) status = get_float(s, "offset", &info->offset);
    if (status == TA_OK && ta_h5_attr_exists(s->file, "/", "origin"))
        status = ta_h5_attr_get_text(s->file, "/", "origin", info->origin, sizeof info->origin);
    if (status != TA_OK || !ta_h5_attr_exists(s->file, "/", "checksum")) return status;
    char text[64];
    status = ta_h5_attr_get_text(s->file, "/", "checksum", text, sizeof text);
    if (status == TA_OK && ta_digest_parse(text, &info->checksum) != TA_OK)
        status =
            ta_fail(TA_FORMAT, "%s: attribute 'checksum' is '%.40s'; it must be 16 hexadecimal digits", s->path, text);
    return status;
}

/* How many words /x counts in: what the file says, and how many it lists. Each may be left out. The list itself is
 * checked by who reads it (names.h). */
static ta_status count_words(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    int64_t said = 0;
    ta_status status = TA_OK;
    if (ta_h5_attr_exists(s->file, "/", "vocabulary")) status = get_count(s, "vocabulary", 1, WORDS_MOST, &said);
    info->vocabulary = (uint32_t)said;
    if (status != TA_OK || !ta_h5_exists(s->file, "/vocabulary")) return status;
    struct ta_h5_set *set;
    status = ta_h5_set_open(s->file, "/vocabulary", &set);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    uint64_t listed = shape->rank == 0 ? 0 : shape->dims[0];
    ta_h5_set_close(set);
    if (listed == 0 || listed > WORDS_MOST || (said > 0 && listed != (uint64_t)said))
        return ta_fail(TA_FORMAT,
                       "%s: /vocabulary: has %" PRIu64 " words, attribute 'vocabulary' says %" PRId64
                       "; import it again",
                       s->path, listed, said);
    info->vocabulary = (uint32_t)listed;
    return TA_OK;
}

/* What /x holds beyond numbers: text, or numbers of words. */
static ta_status open_content(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    char content[32];
    if (info->element == TA_ELEMENT_I32) return count_words(s);
    if (!ta_h5_attr_exists(s->file, "/", "content")) return TA_OK;
    ta_status status = ta_h5_attr_get_text(s->file, "/", "content", content, sizeof content);
    if (status != TA_OK) return status;
    if (strcmp(content, "text") != 0)
        return ta_fail(TA_FORMAT, "%s: attribute 'content' is '%s'; 'text' is the only one known", s->path, content);
    if (info->element != TA_ELEMENT_U8 || info->h != 1 || info->w != 1)
        return ta_fail(TA_FORMAT, "%s: /x: is called text, but holds %s of rank %u; text is uint8 [records][bytes]",
                       s->path, ta_h5_type_name(ta_h5_set_shape(s->x)->type), ta_h5_set_shape(s->x)->rank);
    info->text = true;
    return TA_OK;
}

static ta_status open_all(struct ta_hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    ta_status status = ta_h5_open(s->path, TA_H5_READ, &s->file);
    if (status != TA_OK) return status;
    char format[64];
    bool ours = ta_h5_attr_exists(s->file, "/", "format");
    if (ours) {
        status = ta_h5_attr_get_text(s->file, "/", "format", format, sizeof format);
        if (status == TA_OK && strcmp(format, "tensair-stream") != 0)
            status = ta_fail(TA_FORMAT, "%s: is a '%s', not a 'tensair-stream'", s->path, format);
        if (status != TA_OK) return status;
    }
    status = open_x(s);
    info->label_kind = TA_LABEL_NONE;
    if (status == TA_OK) status = open_content(s);
    info->scale = info->element == TA_ELEMENT_U8 && !info->text ? 1.0F / 255 : 1;
    bool words = info->text || info->element == TA_ELEMENT_I32; /* need no labels */
    if (status == TA_OK && ((!ours && !words) || ta_h5_exists(s->file, "/y"))) status = open_y(s);
    if (status == TA_OK) status = open_times(s, "/t", &s->t, &info->has_time);
    if (status == TA_OK) status = open_times(s, "/label_delay", &s->delay, &info->has_delay);
    if (status == TA_OK && ours) status = read_attributes(s);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS && info->classes == 0) status = count_classes(s);
    if (status == TA_OK && !ours)
        snprintf(info->origin, sizeof info->origin,
                 "a file without attributes: scale taken as %g, classes from its labels (%u)", (double)info->scale,
                 info->classes);
    return status;
}

ta_status ta_stream_hdf5_open(const char *path, struct ta_stream **out) {
    struct ta_hdf5_stream *s;
    *out = NULL;
    ta_status status = TA_NEW(&s, 1, "stream");
    if (status != TA_OK) return status;
    s->base.ops = &hdf5_ops;
    status = ta_mem_strdup(path, "stream file name", &s->path);
    if (status == TA_OK) status = open_all(s);
    if (status != TA_OK) {
        hdf5_close(&s->base);
        return status;
    }
    *out = &s->base;
    return TA_OK;
}
