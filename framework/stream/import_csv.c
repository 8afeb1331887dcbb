/* import_csv: one or two tables side by side -> records. What the columns mean is in import_schema.h, how rows are
 * read in import_rows.h, how they become numbers in import_table.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import_sink.h"
#include "import_table.h"
#include "mem.h"

struct job {
    struct ta_csv_schema *schema;
    struct ta_table data, labels; /* labels: zeroed when there are none */
    bool has_labels;
    const char **class_names;
    struct ta_sink sink;
    int64_t first_ns; /* time of the first row */
};

static ta_status open_tables(struct job *job, const struct ta_import_csv *csv) {
    ta_status status = ta_csv_schema_load(csv->schema, &job->schema);
    if (status != TA_OK) return status;
    job->has_labels = csv->labels != NULL;
    if (job->has_labels && job->schema->labels == NULL)
        return ta_fail(TA_CONFIG, "%s: there is a file of labels, but the schema has no 'labels:' to describe it",
                       csv->schema);
    if (!job->has_labels && job->schema->labels != NULL)
        return ta_fail(TA_USAGE, "%s: the schema describes a file of labels: give it with --labels FILE",
                       csv->schema);
    status = ta_table_open(&job->data, job->schema, &job->schema->data, csv->data);
    if (status == TA_OK && job->has_labels)
        status = ta_table_open(&job->labels, job->schema, job->schema->labels, csv->labels);
    if (status == TA_OK && ta_table_must_learn(&job->data)) status = ta_table_learn(&job->data);
    if (status == TA_OK && job->has_labels && ta_table_must_learn(&job->labels))
        status = ta_table_learn(&job->labels);
    if (status == TA_OK) status = ta_table_fix(&job->data);
    if (status == TA_OK && job->has_labels) status = ta_table_fix(&job->labels);
    return status;
}

static ta_status plan_x(const struct job *job, const char *schema, struct ta_stream_info *info) {
    uint64_t width = ta_table_x_width(&job->data);
    info->element = job->schema->element == TA_CSV_U8 ? TA_ELEMENT_U8 : TA_ELEMENT_F32;
    info->scale = job->schema->scale != 0          ? (float)job->schema->scale
                  : info->element == TA_ELEMENT_U8 ? 1.0f / 255
                                                   : 1;
    info->offset = (float)job->schema->offset;
    info->h = info->w = 1;
    if (width > UINT32_MAX) return ta_fail(TA_CONFIG, "%s: x has %" PRIu64 " elements", schema, width);
    info->c = (uint32_t)width;
    if (job->schema->shape_count == 0) return TA_OK;
    const uint32_t *shape = job->schema->shape;
    uint64_t product;
    if (__builtin_mul_overflow((uint64_t)shape[0] * shape[1], (uint64_t)shape[2], &product) || product != width)
        return ta_fail(TA_CONFIG,
                       "%s: shape %u x %u x %u does not fit the %" PRIu64 " elements that the columns of role x make",
                       schema, shape[0], shape[1], shape[2], width);
    info->h = shape[0], info->w = shape[1], info->c = shape[2];
    return TA_OK;
}

static ta_status plan_y(struct job *job, const char *schema, struct ta_stream_info *info) {
    const struct ta_table_column *class = ta_table_class_column(&job->data);
    uint64_t targets = ta_table_targets(&job->data);
    if (job->has_labels) targets += ta_table_targets(&job->labels);
    if (class == NULL && job->has_labels) class = ta_table_class_column(&job->labels);
    info->label_kind = class != NULL ? TA_LABEL_CLASS : targets > 0 ? TA_LABEL_VALUE : TA_LABEL_NONE;
    info->targets = (uint32_t)targets;
    /* Two tables would both begin at target 0. */
    if (job->has_labels && targets > 0 && ta_table_targets(&job->data) > 0)
        return ta_fail(TA_CONFIG, "%s: values to predict lie in the data or in the file of labels, not in both",
                       schema);
    if (class == NULL) return TA_OK;
    info->classes = (uint32_t) class->words.count;
    ta_status status = TA_NEW(&job->class_names, info->classes, "names of classes");
    for (uint32_t i = 0; status == TA_OK && i < info->classes; i++)
        job->class_names[i] = class->spec->names_count > 0 ? class->spec->names[i] : ta_words_text(&class->words, i);
    return status;
}

static ta_status open_sink(struct job *job, const struct ta_import_csv *csv,
                           const struct ta_import_options *options) {
    struct ta_sink_plan plan = {.info = {.has_time = ta_table_has_time(&job->data)}};
    ta_status status = plan_x(job, csv->schema, &plan.info);
    if (status == TA_OK) status = plan_y(job, csv->schema, &plan.info);
    if (status != TA_OK) return status;
    plan.class_names = job->class_names;
    ta_sink_origin(plan.info.origin, "CSV", csv->data, csv->labels);
    return ta_sink_open(&job->sink, options, &plan);
}

/* Times count from the first row, and never fall. */
static ta_status take_time(struct job *job, const struct ta_stream_block *row, int64_t *last_ns) {
    bool first = ta_sink_records(&job->sink) == 0;
    if (first) job->first_ns = *row->time_ns;
    int64_t since_ns;
    if (__builtin_sub_overflow(*row->time_ns, job->first_ns, &since_ns) || (!first && since_ns < *last_ns))
        return ta_fail(TA_FORMAT,
                       "%s:%" PRIu64 ": its time lies before that of the row in front of it: sort the file by time",
                       job->data.rows.source.path, job->data.rows.line);
    *row->time_ns = *last_ns = since_ns;
    return TA_OK;
}

static ta_status next_rows(struct job *job) {
    ta_status status = ta_table_next(&job->data);
    if (!job->has_labels || (status != TA_OK && status != TA_END)) return status;
    ta_status other = ta_table_next(&job->labels);
    if (other != TA_OK && other != TA_END) return other;
    if (status == other) return status;
    const struct ta_table *longer = status == TA_OK ? &job->data : &job->labels;
    const struct ta_table *shorter = status == TA_OK ? &job->labels : &job->data;
    return ta_fail(TA_FORMAT,
                   "%s ends behind line %" PRIu64 ", but %s goes on at line %" PRIu64 ": data and labels do not "
                   "belong together",
                   shorter->rows.source.path, shorter->rows.lines, longer->rows.source.path, longer->rows.line);
}

static ta_status convert(struct job *job, struct ta_import_report *report) {
    int64_t last_ns = 0;
    ta_status status;
    while ((status = next_rows(job)) == TA_OK) {
        struct ta_stream_block row = ta_sink_row(&job->sink);
        bool skip = false;
        status = ta_table_values(&job->data, &row, &skip);
        if (status == TA_OK && job->has_labels) status = ta_table_values(&job->labels, &row, &skip);
        if (status != TA_OK) return status;
        if (skip) {
            report->skipped++;
            continue;
        }
        if (job->sink.info.has_time) status = take_time(job, &row, &last_ns);
        if (status == TA_OK) status = ta_sink_next(&job->sink);
        if (status != TA_OK) return status;
    }
    if (status != TA_END) return status;
    if (ta_sink_records(&job->sink) == 0)
        return ta_fail(TA_FORMAT, "%s: not one row is left to import (%" PRIu64 " were skipped for missing values)",
                       job->data.rows.source.path, report->skipped);
    if (report->skipped > 0)
        snprintf(report->note, sizeof report->note, "%" PRIu64 " rows with missing values were left out",
                 report->skipped);
    return ta_sink_commit(&job->sink, report);
}

ta_status ta_import_csv(const struct ta_import_csv *csv, const struct ta_import_options *options,
                        struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    struct job job;
    memset(&job, 0, sizeof job);
    ta_status status = open_tables(&job, csv);
    if (status == TA_OK) status = open_sink(&job, csv, options);
    if (status == TA_OK) status = convert(&job, report);
    ta_sink_close(&job.sink);
    ta_mem_free(job.class_names);
    ta_table_close(&job.labels);
    ta_table_close(&job.data);
    ta_csv_schema_free(job.schema);
    return status;
}
