/* import_cifar: CIFAR-10's binary version (Krizhevsky 2009): label, then the three colour planes. */
#include <inttypes.h>
#include <string.h>

#include "import_sink.h"
#include "import_source.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, RECORD_BYTES = 1 + CHANNELS * PLANE, CLASSES = 10 };

static const char *const class_names[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};

/* Planes -> pixels: a model wants its channels last. */
static void interleave(const unsigned char *planes, unsigned char *pixels) {
    for (int i = 0; i < PLANE; i++)
        for (int channel = 0; channel < CHANNELS; channel++)
            pixels[i * CHANNELS + channel] = planes[channel * PLANE + i];
}

static ta_status copy_batch(struct ta_source *source, struct ta_sink *sink) {
    unsigned char record[RECORD_BYTES];
    for (uint64_t i = 0;; i++) {
        size_t got;
        ta_status status = ta_source_read(source, record, RECORD_BYTES, &got);
        if (status != TA_OK) return status;
        if (got == 0 && i == 0) return ta_fail(TA_FORMAT, "%s: is empty", source->path);
        if (got == 0) return TA_OK;
        if (got < RECORD_BYTES)
            return ta_fail(TA_FORMAT,
                           "%s: ends %zu bytes into record %" PRIu64 "; each has %d: not a CIFAR-10 binary batch, "
                           "or cut short",
                           source->path, got, i, RECORD_BYTES);
        if (record[0] >= CLASSES)
            return ta_fail(TA_FORMAT,
                           "%s: record %" PRIu64 " has label %u; CIFAR-10 has 0 to 9: not a CIFAR-10 binary batch?",
                           source->path, i, record[0]);
        struct ta_stream_block row = ta_sink_row(sink);
        *row.class = record[0];
        interleave(record + 1, row.x);
        status = ta_sink_next(sink);
        if (status != TA_OK) return status;
    }
}

ta_status ta_import_cifar10(const char *const *files, size_t count, const struct ta_import_options *options,
                            struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    if (count == 0) return ta_fail(TA_USAGE, "no CIFAR-10 batch is given");
    struct ta_sink_plan plan = {
        .info = {.h = SIDE,
                 .w = SIDE,
                 .c = CHANNELS,
                 .element = TA_ELEMENT_U8,
                 .scale = 1.0f / 255,
                 .label_kind = TA_LABEL_CLASS,
                 .classes = CLASSES},
        .class_names = class_names,
    };
    ta_sink_origin(plan.info.origin, "CIFAR-10", files[0], count > 1 ? files[count - 1] : NULL);
    struct ta_sink sink;
    ta_status status = ta_sink_open(&sink, options, &plan);
    for (size_t i = 0; status == TA_OK && i < count; i++) {
        struct ta_source source;
        status = ta_source_open(&source, files[i]);
        if (status != TA_OK) break;
        status = copy_batch(&source, &sink);
        ta_source_close(&source);
    }
    if (status == TA_OK) status = ta_sink_commit(&sink, report);
    ta_sink_close(&sink);
    return status;
}
