#include "fake.h"

#include "clock.h"

static void fake_close(struct ta_stream *s) { (void)s; }

static ta_status fake_read(struct ta_stream *s, uint64_t first, size_t count, const struct ta_stream_block *out) {
    struct fake_stream *fake = (struct fake_stream *)s;
    const struct fake_options *o = &fake->options;
    if (first > o->records || count > o->records - first) return TA_END;
    if (o->read_ms > 0) ta_clock_sleep_until(ta_clock_now_ns() + (int64_t)o->read_ms * 1000000, 0);
    fake->reads++;
    fake->records_read += out->x != NULL ? count : 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t record = first + i;
        if (record == o->bad_record && out->x != NULL)
            return ta_fail(TA_FORMAT, "fake: /x: record %llu is bad", (unsigned long long)record);
        if (out->x != NULL) ((float *)out->x)[i * o->c] = (float)record;
        if (out->class != NULL) out->class[i] = (int32_t)(record % 10);
        if (out->value != NULL) out->value[2 * i] = (float)record, out->value[2 * i + 1] = -(float)record;
        if (out->time_ns != NULL) out->time_ns[i] = 1000 + (int64_t)(record * record) * 1000;
    }
    return TA_OK;
}

void fake_open(struct fake_stream *fake, const struct fake_options *options) {
    static const struct ta_stream_ops ops = {.name = "fake", .close = fake_close, .read = fake_read};
    *fake = (struct fake_stream){.options = *options};
    struct ta_stream_info *info = &fake->base.info;
    fake->base.ops = &ops;
    *info = (struct ta_stream_info){.records = options->records, .h = 1, .w = 1, .c = options->c};
    info->element = TA_ELEMENT_F32;
    info->scale = options->scale != 0 ? options->scale : 1;
    info->offset = options->offset;
    info->label_kind = options->values ? TA_LABEL_VALUE : TA_LABEL_CLASS;
    info->classes = options->values ? 0 : 10;
    info->targets = options->values ? 2 : 0;
    info->block = options->block;
    info->has_time = options->with_time;
}
