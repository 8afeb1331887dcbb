/* feeder: staging, conversion, and the seam between two passes. What is read when, and for whom, is the replayer's. */
#include "feeder.h"

#include <string.h>

#include "mem.h"

/* ---- conversion ---- */

#define CONVERT_BODY                                                                                                   \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        float product = (float)in[i] * scale;                                                                          \
        out[i] = product + offset;                                                                                     \
    }

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
/* AVX2 but not FMA: a fused multiply-add would round otherwise than machines without it. */
#define CONVERTER(name, type)                                                                                          \
    static void name##_base(float *restrict out, const type *restrict in, size_t n, float scale, float offset) {       \
        CONVERT_BODY                                                                                                   \
    }                                                                                                                  \
    __attribute__((target("avx2"))) static void name##_avx2(float *restrict out, const type *restrict in, size_t n,    \
                                                            float scale, float offset) {                               \
        CONVERT_BODY                                                                                                   \
    }                                                                                                                  \
    static void name(float *out, const type *in, size_t n, float scale, float offset) {                                \
        if (__builtin_cpu_supports("avx2")) name##_avx2(out, in, n, scale, offset);                                    \
        else name##_base(out, in, n, scale, offset);                                                                   \
    }
#else
#define CONVERTER(name, type)                                                                                          \
    static void name(float *restrict out, const type *restrict in, size_t n, float scale, float offset) { CONVERT_BODY }
#endif

CONVERTER(convert_u8, uint8_t)
CONVERTER(convert_f32, float)

static void convert(const struct ta_stream_info *info, float *out, const void *in, size_t n) {
    bool plain = info->scale == 1 && info->offset == 0;
    switch (info->element) {
    case TA_ELEMENT_U8: convert_u8(out, in, n, info->scale, info->offset); break;
    case TA_ELEMENT_I32: break; /* a word's number is no quantity */
    case TA_ELEMENT_F32:
        if (plain) memcpy(out, in, n * sizeof *out);
        else convert_f32(out, in, n, info->scale, info->offset);
        break;
    }
}

/* ---- staging ---- */

__extension__ typedef __int128 wide; /* times of any pass, before they are cut to int64 */

static size_t elements(const struct ta_stream_info *info) { return (size_t)info->h * info->w * info->c; }

static ta_status look_up_times(struct ta_feeder *f) {
    uint64_t records = f->stream->info.records;
    ta_status status = f->stream->ops->read(f->stream, 0, 1, &(struct ta_stream_block){.time_ns = &f->time_first});
    if (status != TA_OK || records == UINT64_MAX) return status;
    int64_t last;
    status = f->stream->ops->read(f->stream, records - 1, 1, &(struct ta_stream_block){.time_ns = &last});
    if (status != TA_OK) return status;
    uint64_t span = (uint64_t)last - (uint64_t)f->time_first;
    if (last < f->time_first || span > INT64_MAX / 2)
        return ta_fail(TA_FORMAT, "stream: /t runs from %lld to %lld ns: times must rise, over 146 years at most",
                       (long long)f->time_first, (long long)last);
    f->time_pass = (int64_t)(span + (records > 1 ? span / (records - 1) : 0));
    return TA_OK;
}

ta_status ta_feeder_open(struct ta_feeder *f, struct ta_stream *stream, uint64_t at_once, bool with_time) {
    const struct ta_stream_info *info = &stream->info;
    *f = (struct ta_feeder){.stream = stream, .capacity = info->block > 0 ? info->block : at_once};
    ta_status status = ta_mem_alloc(f->capacity, ta_stream_x_bytes(info), "records read ahead", &f->staging.x);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS)
        status = TA_NEW(&f->staging.class, f->capacity, "labels read ahead");
    if (status == TA_OK && info->label_kind == TA_LABEL_VALUE)
        status =
            ta_mem_alloc(f->capacity, info->targets * sizeof(float), "labels read ahead", (void **)&f->staging.value);
    if (status == TA_OK && info->has_delay) status = TA_NEW(&f->staging.delay, f->capacity, "delays read ahead");
    if (status == TA_OK && with_time) status = look_up_times(f);
    if (status != TA_OK) ta_feeder_close(f);
    return status;
}

void ta_feeder_close(struct ta_feeder *f) {
    ta_mem_free(f->staging.x);
    ta_mem_free(f->staging.class);
    ta_mem_free(f->staging.value);
    ta_mem_free(f->staging.delay);
    *f = (struct ta_feeder){0};
}

/* Gets record `at` of the stream into stock, and up to `wanted` behind it. *count: how many are there from `at` on. */
static ta_status stage(struct ta_feeder *f, uint64_t at, uint64_t wanted, uint64_t *count) {
    const struct ta_stream_info *info = &f->stream->info;
    uint64_t first = info->block > 0 ? at / info->block * info->block : at;
    bool there = info->block > 0 && f->stock > 0 && f->stock_first == first;
    if (!there) {
        uint64_t n = info->block > 0 ? info->block : wanted < f->capacity ? wanted : f->capacity;
        if (n > info->records - first) n = info->records - first;
        f->stock = 0; /* a failed read leaves nothing to trust */
        ta_status status = f->stream->ops->read(f->stream, first, n, &f->staging);
        if (status != TA_OK) return status;
        f->stock_first = first;
        f->stock = n;
    }
    uint64_t left = f->stock_first + f->stock - at;
    *count = wanted < left ? wanted : left;
    return TA_OK;
}

static void hand_out(const struct ta_feeder *f, size_t from, size_t to, size_t n, const struct ta_feed *out) {
    const struct ta_stream_info *info = &f->stream->info;
    size_t per_record = elements(info), x_bytes = ta_stream_x_bytes(info);
    if (out->x != NULL)
        convert(info, out->x + to * per_record, (const char *)f->staging.x + from * x_bytes, n * per_record);
    if (out->raw != NULL)
        memcpy((char *)out->raw + to * x_bytes, (const char *)f->staging.x + from * x_bytes, n * x_bytes);
    if (out->classes != NULL && f->staging.class != NULL)
        memcpy(out->classes + to, f->staging.class + from, n * sizeof *out->classes);
    if (out->delays != NULL && f->staging.delay != NULL)
        memcpy(out->delays + to, f->staging.delay + from, n * sizeof *out->delays);
    if (out->targets != NULL && f->staging.value != NULL)
        memcpy(out->targets + to * info->targets, f->staging.value + from * info->targets,
               n * info->targets * sizeof *out->targets);
}

ta_status ta_feeder_read(struct ta_feeder *f, uint64_t first, size_t count, const struct ta_feed *out) {
    for (size_t done = 0; done < count;) {
        uint64_t at = (first + done) % f->stream->info.records, n;
        ta_status status = stage(f, at, count - done, &n);
        if (status != TA_OK) return status;
        hand_out(f, (size_t)(at - f->stock_first), done, (size_t)n, out);
        done += (size_t)n;
    }
    return TA_OK;
}

ta_status ta_feeder_times(struct ta_feeder *f, uint64_t first, size_t count, int64_t *time_ns) {
    uint64_t records = f->stream->info.records;
    for (size_t done = 0; done < count;) {
        uint64_t pass = (first + done) / records, at = (first + done) % records;
        uint64_t n = count - done < records - at ? count - done : records - at;
        int64_t *out = time_ns + done;
        ta_status status = f->stream->ops->read(f->stream, at, (size_t)n, &(struct ta_stream_block){.time_ns = out});
        if (status != TA_OK) return status;
        for (uint64_t i = 0; i < n; i++) {
            wide time = (wide)out[i] - f->time_first + (wide)f->time_pass * pass;
            out[i] = time < 0 ? 0 : time > INT64_MAX ? INT64_MAX : (int64_t)time;
        }
        done += (size_t)n;
    }
    return TA_OK;
}

size_t ta_feeder_bytes(const struct ta_feeder *f) {
    const struct ta_stream_info *info = &f->stream->info;
    size_t label = info->label_kind == TA_LABEL_CLASS   ? sizeof(int32_t)
                   : info->label_kind == TA_LABEL_VALUE ? info->targets * sizeof(float)
                                                        : 0;
    return (size_t)f->capacity * (ta_stream_x_bytes(info) + label + (info->has_delay ? sizeof(int64_t) : 0));
}
