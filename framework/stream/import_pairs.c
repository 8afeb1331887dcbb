/* import_pairs: rows of numbers, one pass. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import_sink.h"
#include "import_source.h"
#include "mem.h"

enum { NUMBERS_MOST = 1 + 2 * TA_IMPORT_CONTEXTS_MOST };

struct job {
    struct ta_import_pairs pairs;
    const struct ta_import_options *options;
    struct ta_source source;
    struct ta_sink sink;
    int32_t *row; /* [NUMBERS_MOST] of the line being read */
    size_t length, contexts; /* numbers in `row`; contexts 0: not known yet */
    uint64_t line;           /* from 1 */
    int32_t largest;         /* word number */
};

/* The number that begins with the digit `byte`; *last is what stopped it. */
static ta_status read_number(struct job *job, int byte, int32_t *number, int *last) {
    int64_t value = 0;
    for (; byte >= '0' && byte <= '9'; byte = ta_source_byte(&job->source)) {
        value = 10 * value + (byte - '0');
        if (value > INT32_MAX)
            return ta_fail(TA_FORMAT, "%s: line %" PRIu64 ": a number is larger than %d, the largest there can be",
                           job->source.path, job->line, INT32_MAX);
    }
    *number = (int32_t)value;
    *last = byte;
    return TA_OK;
}

/* The next line's numbers into `row`; *last is what ended it: '\n', or the end of the file. */
static ta_status read_row(struct job *job, int *last) {
    job->length = 0;
    job->line++;
    int byte = ta_source_byte(&job->source);
    while (byte >= 0 && byte != '\n') {
        if (byte >= '0' && byte <= '9') {
            if (job->length == NUMBERS_MOST)
                return ta_fail(TA_FORMAT,
                               "%s: line %" PRIu64 ": more than %d numbers: a target, and %d contexts with labels",
                               job->source.path, job->line, NUMBERS_MOST, TA_IMPORT_CONTEXTS_MOST);
            ta_status status = read_number(job, byte, &job->row[job->length++], &byte);
            if (status != TA_OK) return status;
            if (byte < 0 || byte == '\n') break;
        }
        if (byte != ' ' && byte != '\t' && byte != '\r')
            return ta_fail(TA_FORMAT,
                           "%s: line %" PRIu64
                           ": byte 0x%02x behind %zu numbers; a row is whole numbers between spaces",
                           job->source.path, job->line, (unsigned)byte, job->length);
        byte = ta_source_byte(&job->source);
    }
    *last = byte;
    return byte == TA_SOURCE_FAILED ? job->source.failed : TA_OK;
}

static ta_status open_sink(struct job *job) {
    if (job->length < 3 || job->length % 2 == 0)
        return ta_fail(TA_FORMAT,
                       "%s: line %" PRIu64
                       ": %zu numbers; a row is a target word, its contexts, and a label for each of them: an odd "
                       "number, 3 or more",
                       job->source.path, job->line, job->length);
    job->contexts = (job->length - 1) / 2;
    struct ta_sink_plan plan = {
        .info = {.h = 1,
                 .w = 1,
                 .c = (uint32_t)job->contexts + 1,
                 .element = TA_ELEMENT_I32,
                 .scale = 1,
                 .label_kind = TA_LABEL_VALUE,
                 .targets = (uint32_t)job->contexts},
        .x_description = "numbers of words: a target, then its contexts; /y tells which were seen beside it",
    };
    ta_sink_origin(plan.info.origin, "pairs", job->source.path, NULL);
    return ta_sink_open(&job->sink, job->options, &plan);
}

static ta_status add_row(struct job *job) {
    ta_status status = job->contexts == 0 ? open_sink(job) : TA_OK;
    if (status != TA_OK) return status;
    size_t words = 1 + job->contexts;
    if (job->length != words + job->contexts)
        return ta_fail(TA_FORMAT, "%s: line %" PRIu64 ": %zu numbers, but %zu in the rows before; was it cut short?",
                       job->source.path, job->line, job->length, words + job->contexts);
    struct ta_stream_block row = ta_sink_row(&job->sink);
    for (size_t i = 0; i < words; i++) {
        if (job->pairs.vocabulary > 0 && (uint32_t)job->row[i] >= job->pairs.vocabulary)
            return ta_fail(TA_FORMAT, "%s: line %" PRIu64 ": word %d, but --vocabulary %u has 0 to %u",
                           job->source.path, job->line, job->row[i], job->pairs.vocabulary, job->pairs.vocabulary - 1);
        if (job->row[i] > job->largest) job->largest = job->row[i];
    }
    for (size_t i = 0; i < job->contexts; i++) {
        int32_t label = job->row[words + i];
        if (label > 1)
            return ta_fail(TA_FORMAT, "%s: line %" PRIu64 ": label %zu is %d; labels are 1 (seen) and 0 (drawn)",
                           job->source.path, job->line, i + 1, label);
        row.value[i] = (float)label;
    }
    memcpy(row.x, job->row, words * sizeof *job->row);
    return ta_sink_next(&job->sink);
}

static ta_status run(struct job *job, struct ta_import_report *report) {
    ta_status status = TA_OK;
    for (int last = 0; status == TA_OK && last >= 0;) {
        status = read_row(job, &last);
        if (status == TA_OK && job->length > 0) status = add_row(job);
    }
    if (status != TA_OK) return status;
    if (job->contexts == 0) return ta_fail(TA_FORMAT, "%s: holds no rows; is it empty?", job->source.path);
    uint32_t vocabulary = job->pairs.vocabulary > 0 ? job->pairs.vocabulary : (uint32_t)job->largest + 1;
    snprintf(report->note, sizeof report->note, "%zu contexts a word; the largest word is %d of a vocabulary of %u",
             job->contexts, job->largest, vocabulary);
    status = ta_h5_attr_set_i64(ta_stream_writer_file(job->sink.writer), "/", "vocabulary", vocabulary);
    return status == TA_OK ? ta_sink_commit(&job->sink, report) : status;
}

ta_status ta_import_pairs(const struct ta_import_pairs *pairs, const struct ta_import_options *options,
                          struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    struct job job = {.pairs = *pairs, .options = options};
    if (pairs->vocabulary > (uint32_t)INT32_MAX + 1)
        return ta_fail(TA_USAGE, "--vocabulary: %u words; there can be at most %u", pairs->vocabulary,
                       (uint32_t)INT32_MAX + 1);
    ta_status status = TA_NEW(&job.row, NUMBERS_MOST, "a row of numbers");
    if (status == TA_OK) status = ta_source_open(&job.source, pairs->file);
    if (status == TA_OK) status = run(&job, report);
    ta_sink_close(&job.sink);
    ta_source_close(&job.source);
    ta_mem_free(job.row);
    return status;
}
