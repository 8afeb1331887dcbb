/* hdf5: the make of `stream` for files. The format stands in stream.h; here everything a file claims is checked before
 * it is used: shapes and attributes when it is opened, each label, time and float when it is read. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "h5.h"
#include "mem.h"
#include "stream.h"

enum {
    MAX_RECORD_BYTES = 1 << 30,
    MAX_TARGETS = 1 << 20,
    BLOCK_BYTES = 1 << 19,     /* read together when chunks are smaller: half a level-2 cache */
    MAX_BLOCK_BYTES = 1 << 26, /* a chunk beyond is read in pieces */
    SCAN_RECORDS = 1 << 16,    /* labels looked at together */
};

struct hdf5_stream {
    struct ta_stream base;
    char *path;
    struct ta_h5 *file;
    struct ta_h5_set *x, *y, *t, *delay; /* y, t, delay: NULL when the file has none */
    enum ta_h5_type x_type;              /* in memory */
    int64_t *scratch;                    /* labels and times on their way */
    size_t scratch_count;
};

static void hdf5_close(struct ta_stream *base) {
    struct hdf5_stream *s = (struct hdf5_stream *)base;
    ta_h5_set_close(s->x);
    ta_h5_set_close(s->y);
    ta_h5_set_close(s->t);
    ta_h5_set_close(s->delay);
    ta_h5_close(s->file);
    ta_mem_free(s->scratch);
    ta_mem_free(s->path);
    ta_mem_free(s);
}

static ta_status room(struct hdf5_stream *s, size_t count) {
    if (count <= s->scratch_count) return TA_OK;
    ta_mem_free(s->scratch);
    s->scratch_count = 0;
    ta_status status = TA_NEW(&s->scratch, count, "stream labels");
    if (status == TA_OK) s->scratch_count = count;
    return status;
}

/* Index of the first float that is NaN or infinite, or n. Whole stretches at a time: it runs at memory speed. */
static size_t first_not_finite(const float *x, size_t n) {
    enum { STRETCH = 4096 };
    const uint32_t exponent = 0x7f800000;
    for (size_t at = 0; at < n; at += STRETCH) {
        size_t end = n - at < STRETCH ? n : at + STRETCH;
        uint32_t bad = 0;
        for (size_t i = at; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            bad |= (bits & exponent) == exponent;
        }
        if (!bad) continue;
        for (size_t i = at; i < end; i++)
            if (!isfinite(x[i])) return i;
    }
    return n;
}

static ta_status read_x(struct hdf5_stream *s, uint64_t first, size_t count, void *out) {
    const struct ta_stream_info *info = &s->base.info;
    ta_status status = ta_h5_set_read(s->x, s->x_type, first, count, out);
    if (status != TA_OK || info->element != TA_ELEMENT_F32) return status;
    size_t per_record = (size_t)info->h * info->w * info->c;
    size_t bad = first_not_finite(out, count * per_record);
    if (bad == count * per_record) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /x: record %" PRIu64
                   " holds %g at element %zu; replace what is not finite, or leave the record out",
                   s->path, first + bad / per_record, (double)((const float *)out)[bad], bad % per_record);
}

static ta_status check_class(const struct hdf5_stream *s, uint64_t record, int64_t label) {
    uint32_t classes = s->base.info.classes;
    if (label >= -1 && label < (int64_t)classes) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /y: record %" PRIu64 " has label %" PRId64 "; the %u classes are 0..%u, and -1 is no label",
                   s->path, record, label, classes, classes - 1);
}

static ta_status read_classes(struct hdf5_stream *s, uint64_t first, size_t count, int32_t *out) {
    ta_status status = room(s, count);
    if (status == TA_OK) status = ta_h5_set_read(s->y, TA_H5_I64, first, count, s->scratch);
    for (size_t i = 0; i < count && status == TA_OK; i++) {
        status = check_class(s, first + i, s->scratch[i]);
        out[i] = (int32_t)s->scratch[i];
    }
    return status;
}

static ta_status read_values(struct hdf5_stream *s, uint64_t first, size_t count, float *out) {
    uint32_t targets = s->base.info.targets;
    ta_status status = ta_h5_set_read(s->y, TA_H5_F32, first, count, out);
    if (status != TA_OK) return status;
    for (size_t i = 0; i < count * targets; i++)
        if (isinf(out[i]))
            return ta_fail(TA_FORMAT,
                           "%s: /y: record %" PRIu64 " holds %g at target %zu; use a finite value, or NaN for no label",
                           s->path, first + i / targets, (double)out[i], i % targets);
    return TA_OK;
}

/* Times, with the one before the first: they may not fall there either. */
static ta_status read_times(struct hdf5_stream *s, uint64_t first, size_t count, int64_t *out) {
    size_t lead = first > 0;
    ta_status status = room(s, count + lead);
    if (status == TA_OK) status = ta_h5_set_read(s->t, TA_H5_I64, first - lead, count + lead, s->scratch);
    for (size_t i = 1; i < count + lead && status == TA_OK; i++)
        if (s->scratch[i] < s->scratch[i - 1])
            status = ta_fail(TA_FORMAT,
                             "%s: /t: falls from %" PRId64 " to %" PRId64 " ns at record %" PRIu64
                             "; sort the records by time",
                             s->path, s->scratch[i - 1], s->scratch[i], first - lead + i);
    if (status == TA_OK) memcpy(out, s->scratch + lead, count * sizeof *out);
    return status;
}

static ta_status read_delays(struct hdf5_stream *s, uint64_t first, size_t count, int64_t *out) {
    ta_status status = ta_h5_set_read(s->delay, TA_H5_I64, first, count, out);
    for (size_t i = 0; i < count && status == TA_OK; i++)
        if (out[i] < 0)
            status =
                ta_fail(TA_FORMAT, "%s: /label_delay: record %" PRIu64 " has %" PRId64 "; a delay is 0 or more records",
                        s->path, first + i, out[i]);
    return status;
}

static ta_status hdf5_read(struct ta_stream *base, uint64_t first, size_t count, const struct ta_stream_block *out) {
    struct hdf5_stream *s = (struct hdf5_stream *)base;
    const struct ta_stream_info *info = &base->info;
    if (first > info->records || count > info->records - first) return TA_END;
    if (count == 0) return TA_OK;
    ta_status status = TA_OK;
    if (out->x != NULL) status = read_x(s, first, count, out->x);
    if (status == TA_OK && out->class != NULL && info->label_kind == TA_LABEL_CLASS)
        status = read_classes(s, first, count, out->class);
    if (status == TA_OK && out->value != NULL && info->label_kind == TA_LABEL_VALUE)
        status = read_values(s, first, count, out->value);
    if (status == TA_OK && out->time_ns != NULL && s->t != NULL) status = read_times(s, first, count, out->time_ns);
    if (status == TA_OK && out->delay != NULL && s->delay != NULL) status = read_delays(s, first, count, out->delay);
    return status;
}

static const struct ta_stream_ops hdf5_ops = {.name = "hdf5", .close = hdf5_close, .read = hdf5_read};

/* ---- opening ---- */

static ta_status open_x(struct hdf5_stream *s) {
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
static ta_status open_beside(struct hdf5_stream *s, const char *name, struct ta_h5_set **out) {
    ta_status status = ta_h5_set_open(s->file, name, out);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(*out);
    if (shape->rank == 0 || shape->dims[0] != s->base.info.records)
        return ta_fail(TA_FORMAT,
                       "%s: %s: has %" PRIu64 " records, /x has %" PRIu64 "; was the file written to its end?", s->path,
                       name, shape->rank == 0 ? 0 : shape->dims[0], s->base.info.records);
    return TA_OK;
}

static ta_status open_y(struct hdf5_stream *s) {
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

static ta_status open_times(struct hdf5_stream *s, const char *name, struct ta_h5_set **out, bool *has) {
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
static ta_status count_classes(struct hdf5_stream *s) {
    struct ta_stream_info *info = &s->base.info;
    int64_t largest = -1;
    for (uint64_t at = 0; at < info->records; at += SCAN_RECORDS) {
        size_t count = info->records - at < SCAN_RECORDS ? (size_t)(info->records - at) : SCAN_RECORDS;
        ta_status status = room(s, count);
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

static ta_status get_count(struct hdf5_stream *s, const char *name, int64_t least, int64_t most, int64_t *value) {
    ta_status status = ta_h5_attr_get_i64(s->file, "/", name, value);
    if (status == TA_OK && (*value < least || *value > most))
        status = ta_fail(TA_FORMAT, "%s: attribute '%s' is %" PRId64 "; it must lie in %" PRId64 "..%" PRId64, s->path,
                         name, *value, least, most);
    return status;
}

static ta_status get_float(struct hdf5_stream *s, const char *name, float *value) {
    double wide;
    if (!ta_h5_attr_exists(s->file, "/", name)) return TA_OK;
    ta_status status = ta_h5_attr_get_f64(s->file, "/", name, &wide);
    if (status != TA_OK) return status;
    *value = (float)wide;
    if (isfinite(*value)) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: attribute '%s' is %g; it must be a finite float32", s->path, name, wide);
}

static ta_status read_attributes(struct hdf5_stream *s) {
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

static ta_status open_all(struct hdf5_stream *s) {
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
    info->scale = info->element == TA_ELEMENT_U8 ? 1.0F / 255 : 1;
    if (status == TA_OK && ((!ours && info->element != TA_ELEMENT_I32) || ta_h5_exists(s->file, "/y")))
        status = open_y(s);
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
    struct hdf5_stream *s;
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
