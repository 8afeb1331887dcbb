/* hdf5_read: records of a stream file: each label, word number, time and float is checked when it is read. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "hdf5_internal.h"
#include "mem.h"

ta_status ta_hdf5_room(struct ta_hdf5_stream *s, size_t count) {
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

/* Index of the first number that is no word, or n. One more than it, unsigned, is 0 for padding and 1 .. for words. */
static size_t first_no_word(const int32_t *x, size_t n, uint32_t vocabulary) {
    enum { STRETCH = 4096 };
    for (size_t at = 0; at < n; at += STRETCH) {
        size_t end = n - at < STRETCH ? n : at + STRETCH;
        uint32_t bad = 0;
        for (size_t i = at; i < end; i++) bad |= (uint32_t)x[i] + 1 > vocabulary;
        for (size_t i = at; bad && i < end; i++)
            if ((uint32_t)x[i] + 1 > vocabulary) return i;
    }
    return n;
}

static ta_status check_words(const struct ta_hdf5_stream *s, uint64_t first, size_t count, const int32_t *x) {
    const struct ta_stream_info *info = &s->base.info;
    uint32_t words = info->vocabulary > 0 ? info->vocabulary : (uint32_t)INT32_MAX + 1;
    size_t per_record = (size_t)info->h * info->w * info->c;
    size_t bad = first_no_word(x, count * per_record, words);
    if (bad == count * per_record) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /x: record %" PRIu64 " holds word number %d at element %zu; the %u words are 0..%u, and -1 is "
                   "padding: does the vocabulary belong to this stream?",
                   s->path, first + bad / per_record, x[bad], bad % per_record, words, words - 1);
}

static ta_status read_x(struct ta_hdf5_stream *s, uint64_t first, size_t count, void *out) {
    const struct ta_stream_info *info = &s->base.info;
    ta_status status = ta_h5_set_read(s->x, s->x_type, first, count, out);
    if (status == TA_OK && info->element == TA_ELEMENT_I32) return check_words(s, first, count, out);
    if (status != TA_OK || info->element != TA_ELEMENT_F32) return status;
    size_t per_record = (size_t)info->h * info->w * info->c;
    size_t bad = first_not_finite(out, count * per_record);
    if (bad == count * per_record) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /x: record %" PRIu64
                   " holds %g at element %zu; replace what is not finite, or leave the record out",
                   s->path, first + bad / per_record, (double)((const float *)out)[bad], bad % per_record);
}

static ta_status check_class(const struct ta_hdf5_stream *s, uint64_t record, int64_t label) {
    uint32_t classes = s->base.info.classes;
    if (label >= -1 && label < (int64_t)classes) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: /y: record %" PRIu64 " has label %" PRId64 "; the %u classes are 0..%u, and -1 is no label",
                   s->path, record, label, classes, classes - 1);
}

static ta_status read_classes(struct ta_hdf5_stream *s, uint64_t first, size_t count, int32_t *out) {
    ta_status status = ta_hdf5_room(s, count);
    if (status == TA_OK) status = ta_h5_set_read(s->y, TA_H5_I64, first, count, s->scratch);
    for (size_t i = 0; i < count && status == TA_OK; i++) {
        status = check_class(s, first + i, s->scratch[i]);
        out[i] = (int32_t)s->scratch[i];
    }
    return status;
}

static ta_status read_values(struct ta_hdf5_stream *s, uint64_t first, size_t count, float *out) {
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
static ta_status read_times(struct ta_hdf5_stream *s, uint64_t first, size_t count, int64_t *out) {
    size_t lead = first > 0;
    ta_status status = ta_hdf5_room(s, count + lead);
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

static ta_status read_delays(struct ta_hdf5_stream *s, uint64_t first, size_t count, int64_t *out) {
    ta_status status = ta_h5_set_read(s->delay, TA_H5_I64, first, count, out);
    for (size_t i = 0; i < count && status == TA_OK; i++)
        if (out[i] < 0)
            status =
                ta_fail(TA_FORMAT, "%s: /label_delay: record %" PRIu64 " has %" PRId64 "; a delay is 0 or more records",
                        s->path, first + i, out[i]);
    return status;
}

ta_status ta_hdf5_read(struct ta_stream *base, uint64_t first, size_t count, const struct ta_stream_block *out) {
    struct ta_hdf5_stream *s = (struct ta_hdf5_stream *)base;
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
