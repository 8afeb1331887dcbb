/* import_sink: one block of records between an importer and the writer. */
#include "import_sink.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

enum { BLOCK_BYTES = 1 << 20 };

static ta_status allocate(struct ta_sink *sink) {
    const struct ta_stream_info *info = &sink->info;
    size_t x_bytes = ta_stream_x_bytes(info), n;
    sink->capacity = n = x_bytes >= BLOCK_BYTES ? 1 : BLOCK_BYTES / x_bytes;
    ta_status status = ta_mem_alloc(n, x_bytes, "records to import", &sink->block.x);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS)
        status = TA_NEW(&sink->block.class, n, "labels to import");
    if (status == TA_OK && info->label_kind == TA_LABEL_VALUE)
        status = TA_NEW(&sink->block.value, n * info->targets, "values to import");
    if (status == TA_OK && info->has_time) status = TA_NEW(&sink->block.time_ns, n, "times to import");
    return status;
}

ta_status ta_sink_open(struct ta_sink *sink, const struct ta_import_options *options,
                       const struct ta_sink_plan *plan) {
    memset(sink, 0, sizeof *sink);
    sink->info = plan->info;
    size_t elements;
    if (__builtin_mul_overflow((size_t)plan->info.h * plan->info.w, (size_t)plan->info.c, &elements) ||
        elements > TA_IMPORT_RECORD_BYTES_MOST / (plan->info.element == TA_ELEMENT_U8 ? 1 : 4))
        return ta_fail(TA_FORMAT,
                       "%s: records of %u x %u x %u elements are more than %d bytes each, the most allowed",
                       plan->info.origin, plan->info.h, plan->info.w, plan->info.c, TA_IMPORT_RECORD_BYTES_MOST);
    struct ta_stream_writer_config config = {
        .path = options->out,
        .force = options->force,
        .info = &sink->info,
        .class_names = plan->class_names,
        .expected_records = plan->expected_records,
        .x_description = plan->x_description,
        .x_units = plan->x_units,
        .gzip = options->gzip,
    };
    ta_status status = ta_stream_writer_open(&config, &sink->writer);
    if (status == TA_OK) status = allocate(sink);
    if (status != TA_OK) ta_sink_close(sink);
    return status;
}

void ta_sink_close(struct ta_sink *sink) {
    ta_stream_writer_close(sink->writer);
    ta_mem_free(sink->block.x);
    ta_mem_free(sink->block.class);
    ta_mem_free(sink->block.value);
    ta_mem_free(sink->block.time_ns);
    memset(sink, 0, sizeof *sink);
}

struct ta_stream_block ta_sink_row(const struct ta_sink *sink) {
    struct ta_stream_block row = {.x = (char *)sink->block.x + sink->used * ta_stream_x_bytes(&sink->info)};
    if (sink->block.class != NULL) row.class = sink->block.class + sink->used;
    if (sink->block.value != NULL) row.value = sink->block.value + sink->used * sink->info.targets;
    if (sink->block.time_ns != NULL) row.time_ns = sink->block.time_ns + sink->used;
    return row;
}

ta_status ta_sink_flush(struct ta_sink *sink) {
    ta_status status = ta_stream_writer_append(sink->writer, sink->used, &sink->block);
    sink->used = 0;
    return status;
}

ta_status ta_sink_next(struct ta_sink *sink) { return ++sink->used == sink->capacity ? ta_sink_flush(sink) : TA_OK; }

uint64_t ta_sink_records(const struct ta_sink *sink) { return ta_stream_writer_records(sink->writer) + sink->used; }

ta_status ta_sink_commit(struct ta_sink *sink, struct ta_import_report *report) {
    ta_status status = ta_sink_flush(sink);
    if (status != TA_OK) return status;
    report->records = ta_stream_writer_records(sink->writer);
    return ta_stream_writer_commit(sink->writer);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

void ta_sink_origin(char origin[256], const char *what, const char *path_a, const char *path_b) {
    snprintf(origin, 256, "%.40s %.90s%s%.90s", what, base_name(path_a), path_b == NULL ? "" : ", ",
             path_b == NULL ? "" : base_name(path_b));
}
