/* import_idx: LeCun's IDX files. A header of big-endian numbers (0, 0, type, rank, dimensions), then the elements:
 * http://yann.lecun.com/exdb/mnist/ "the IDX file format". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import_sink.h"
#include "import_source.h"

enum { TYPE_U8 = 0x08, RANK_MOST = 4 };

struct idx {
    struct ta_source source;
    unsigned rank;
    uint32_t dims[RANK_MOST];
};

static ta_status read_header(struct idx *idx, const char *what, unsigned rank_least, unsigned rank_most) {
    struct ta_source *s = &idx->source;
    unsigned char head[4 + 4 * RANK_MOST];
    size_t got;
    ta_status status = ta_source_read(s, head, 4, &got);
    if (status != TA_OK) return status;
    if (got < 4 || head[0] != 0 || head[1] != 0)
        return ta_fail(TA_FORMAT, "%s: not an IDX file (it does not begin with two zero bytes, a type and a rank)",
                       s->path);
    if (head[2] != TYPE_U8)
        return ta_fail(TA_FORMAT, "%s: elements of type 0x%02x; only bytes (0x08) can be imported", s->path, head[2]);
    idx->rank = head[3];
    if (idx->rank < rank_least || idx->rank > rank_most)
        return ta_fail(TA_FORMAT,
                       "%s: %u dimensions, but %s have %u%s%s; are the files given in the order IMAGES LABELS?",
                       s->path, idx->rank, what, rank_least, rank_most > rank_least ? " to " : "",
                       rank_most > rank_least ? "4" : "");
    status = ta_source_read(s, head, 4 * (size_t)idx->rank, &got);
    if (status != TA_OK) return status;
    if (got < 4 * (size_t)idx->rank)
        return ta_fail(TA_FORMAT, "%s: ends within its header, at byte %" PRIu64, s->path, s->offset);
    for (unsigned i = 0; i < idx->rank; i++) {
        const unsigned char *b = head + 4 * i;
        idx->dims[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        if (idx->dims[i] == 0) return ta_fail(TA_FORMAT, "%s: dimension %u is 0: there is nothing in it", s->path, i);
    }
    return TA_OK;
}

static ta_status read_record(struct idx *idx, uint32_t record, const char *what, void *out, size_t bytes) {
    size_t got;
    ta_status status = ta_source_read(&idx->source, out, bytes, &got);
    if (status == TA_OK && got < bytes)
        return ta_fail(TA_FORMAT,
                       "%s: ends at byte %" PRIu64 ", in %s %" PRIu32 " of the %" PRIu32 " its header promises: "
                       "fetch it again",
                       idx->source.path, idx->source.offset, what, record, idx->dims[0]);
    return status;
}

static ta_status check_end(struct idx *idx) {
    int next = ta_source_byte(&idx->source);
    if (next == TA_SOURCE_FAILED) return idx->source.failed;
    if (next == TA_SOURCE_END) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: goes on behind the %" PRIu32 " records its header promises", idx->source.path,
                   idx->dims[0]);
}

static ta_status copy_records(struct idx *images, struct idx *labels, struct ta_sink *sink) {
    size_t x_bytes = ta_stream_x_bytes(&sink->info);
    ta_status status = TA_OK;
    for (uint32_t i = 0; status == TA_OK && i < images->dims[0]; i++) {
        struct ta_stream_block row = ta_sink_row(sink);
        unsigned char label = 0;
        status = read_record(images, i, "image", row.x, x_bytes);
        if (status == TA_OK) status = read_record(labels, i, "label", &label, 1);
        if (status != TA_OK) break;
        *row.class = label;
        status = ta_sink_next(sink);
    }
    if (status == TA_OK) status = check_end(images);
    if (status == TA_OK) status = check_end(labels);
    return status;
}

static ta_status convert(struct idx *images, struct idx *labels, const struct ta_import_options *options,
                         struct ta_import_report *report) {
    struct ta_sink_plan plan = {
        .info = {.h = 1, .w = 1, .c = 1, .element = TA_ELEMENT_U8, .scale = 1.0f / 255, .label_kind = TA_LABEL_CLASS},
        .expected_records = images->dims[0],
    };
    const uint32_t *dims = images->dims;
    if (images->rank == 2) plan.info.c = dims[1];
    if (images->rank >= 3) plan.info.h = dims[1], plan.info.w = dims[2];
    if (images->rank == 4) plan.info.c = dims[3];
    ta_sink_origin(plan.info.origin, "IDX", images->source.path, labels->source.path);
    struct ta_sink sink;
    ta_status status = ta_sink_open(&sink, options, &plan);
    if (status != TA_OK) return status;
    status = copy_records(images, labels, &sink);
    if (status == TA_OK) status = ta_sink_flush(&sink);
    if (status == TA_OK) {
        uint32_t classes = (uint32_t)ta_stream_writer_largest_class(sink.writer) + 1;
        status = ta_stream_writer_set_classes(sink.writer, classes, NULL);
    }
    if (status == TA_OK) status = ta_sink_commit(&sink, report);
    ta_sink_close(&sink);
    return status;
}

ta_status ta_import_idx(const char *images_path, const char *labels_path, const struct ta_import_options *options,
                        struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    struct idx images = {0}, labels = {0};
    ta_status status = ta_source_open(&images.source, images_path);
    if (status == TA_OK) status = ta_source_open(&labels.source, labels_path);
    if (status == TA_OK) status = read_header(&images, "images", 2, RANK_MOST);
    if (status == TA_OK) status = read_header(&labels, "labels", 1, 1);
    if (status == TA_OK && images.dims[0] != labels.dims[0])
        status = ta_fail(TA_FORMAT,
                         "%s has %" PRIu32 " images, but %s has %" PRIu32 " labels: they do not belong together",
                         images_path, images.dims[0], labels_path, labels.dims[0]);
    if (status == TA_OK) status = convert(&images, &labels, options, report);
    ta_source_close(&labels.source);
    ta_source_close(&images.source);
    return status;
}
