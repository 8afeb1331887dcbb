/* import_text: a corpus -> sentences of word numbers, in two passes: count the words, then number them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_sink.h"
#include "import_source.h"
#include "import_words.h"
#include "mem.h"

struct job {
    struct ta_import_text text; /* defaults filled in */
    struct ta_source source;
    struct ta_words all, kept;
    struct ta_sink sink;
    uint32_t length; /* of the sentence being filled */
    uint64_t words, dropped;
};

/* One word into word[TA_IMPORT_WORD_BYTES_MOST]; its length, or 0 when a line ended first. *last is what stopped it. */
static size_t read_word(struct ta_source *s, char *word, int *last) {
    size_t length = 0;
    for (;;) {
        int byte = ta_source_byte(s);
        bool space = byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == '\v' || byte == '\f';
        if (byte < 0 || byte == '\n' || (space && length > 0)) {
            *last = byte;
            return length;
        }
        if (!space && length < TA_IMPORT_WORD_BYTES_MOST) word[length++] = (char)byte;
    }
}

static ta_status count_words(struct job *job) {
    char word[TA_IMPORT_WORD_BYTES_MOST];
    for (int last = 0; last >= 0;) {
        size_t length = read_word(&job->source, word, &last);
        if (last == TA_SOURCE_FAILED) return job->source.failed;
        if (memchr(word, '\0', length) != NULL)
            return ta_fail(TA_FORMAT, "%s: a NUL byte near byte %" PRIu64 ": this is no text file", job->source.path,
                           job->source.offset);
        ta_status status = length == 0 ? TA_OK : ta_words_add(&job->all, word, length, NULL);
        if (status != TA_OK) return status;
        job->words += length > 0;
    }
    return TA_OK;
}

static int compare(const void *a, const void *b, void *context) {
    const struct ta_words *words = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    uint64_t count_x = words->word[x].count, count_y = words->word[y].count;
    if (count_x != count_y) return count_x > count_y ? -1 : 1;
    return x < y ? -1 : x > y; /* numbers are in order of first occurrence */
}

static ta_status choose_vocabulary(struct job *job) {
    uint32_t *order;
    size_t count = 0;
    ta_status status = TA_NEW(&order, job->all.count, "order of words");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < job->all.count; i++)
        if (job->all.word[i].count >= job->text.min_count) order[count++] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, compare, &job->all);
    if (job->text.vocabulary_size > 0 && count > job->text.vocabulary_size) count = job->text.vocabulary_size;
    status = ta_words_select(&job->kept, &job->all, order, count);
    ta_mem_free(order);
    if (status == TA_OK && count == 0)
        status = ta_fail(TA_FORMAT, "%s: none of its %" PRIu64 " words occurs %u times: lower --min-count",
                         job->source.path, job->words, job->text.min_count);
    ta_words_free(&job->all);
    return status;
}

/* ---- second pass ---- */

static ta_status end_sentence(struct job *job) {
    if (job->length == 0) return TA_OK;
    struct ta_stream_block row = ta_sink_row(&job->sink);
    int32_t *x = row.x;
    for (uint32_t i = job->length; i < job->text.sentence; i++) x[i] = -1;
    job->length = 0;
    return ta_sink_next(&job->sink);
}

static ta_status number_words(struct job *job) {
    char word[TA_IMPORT_WORD_BYTES_MOST];
    ta_status status = TA_OK;
    for (int last = 0; status == TA_OK && last >= 0;) {
        size_t length = read_word(&job->source, word, &last);
        if (last == TA_SOURCE_FAILED) return job->source.failed;
        int64_t number = length == 0 ? -1 : ta_words_find(&job->kept, word, length);
        if (number >= 0) {
            struct ta_stream_block row = ta_sink_row(&job->sink);
            ((int32_t *)row.x)[job->length++] = (int32_t)number;
        } else if (length > 0) {
            job->dropped++;
        }
        if (last == '\n' || last < 0 || job->length == job->text.sentence) status = end_sentence(job);
    }
    return status;
}

static ta_status write_vocabulary(struct job *job) {
    const struct ta_words *kept = &job->kept;
    size_t longest = 1;
    for (size_t i = 0; i < kept->count; i++)
        if (kept->word[i].length > longest) longest = kept->word[i].length;
    char *names;
    int64_t *counts = NULL;
    ta_status status = ta_mem_alloc(kept->count, longest, "vocabulary", (void **)&names);
    if (status == TA_OK) status = TA_NEW(&counts, kept->count, "vocabulary");
    for (size_t i = 0; status == TA_OK && i < kept->count; i++) {
        memcpy(names + i * longest, ta_words_text(kept, i), kept->word[i].length);
        counts[i] = (int64_t)kept->word[i].count;
    }
    struct ta_h5 *file = ta_stream_writer_file(job->sink.writer);
    struct ta_h5_shape name_shape = {.type = TA_H5_U8, .rank = 2, .dims = {kept->count, longest}};
    struct ta_h5_shape count_shape = {.type = TA_H5_I64, .rank = 1, .dims = {kept->count}};
    if (status == TA_OK) status = ta_h5_write_all(file, "/vocabulary", &name_shape, names);
    if (status == TA_OK) status = ta_h5_write_all(file, "/vocabulary_count", &count_shape, counts);
    if (status == TA_OK)
        status = ta_h5_attr_set_text(file, "/vocabulary", "description", "word of each number: bytes, padded by NUL");
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/vocabulary", "units", "byte");
    if (status == TA_OK)
        status =
            ta_h5_attr_set_text(file, "/vocabulary_count", "description", "how often each word occurs in the corpus");
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/vocabulary_count", "units", "occurrences");
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "/", "vocabulary", (int64_t)kept->count);
    ta_mem_free(counts);
    ta_mem_free(names);
    return status;
}

static ta_status run(struct job *job, const struct ta_import_options *options, struct ta_import_report *report) {
    ta_status status = count_words(job);
    if (status == TA_OK) status = choose_vocabulary(job);
    if (status == TA_OK) status = ta_source_rewind(&job->source);
    if (status != TA_OK) return status;
    struct ta_sink_plan plan = {
        .info = {.h = 1,
                 .w = 1,
                 .c = job->text.sentence,
                 .element = TA_ELEMENT_I32,
                 .scale = 1,
                 .label_kind = TA_LABEL_NONE},
        .x_description = "sentences: numbers of words in /vocabulary, in order; -1: padding behind the end",
    };
    ta_sink_origin(plan.info.origin, "text", job->source.path, NULL);
    status = ta_sink_open(&job->sink, options, &plan);
    if (status == TA_OK) status = number_words(job);
    if (status == TA_OK) status = write_vocabulary(job);
    snprintf(report->note, sizeof report->note,
             "%zu words in the vocabulary; %" PRIu64 " of %" PRIu64 " words of the text are not in it",
             job->kept.count, job->dropped, job->words);
    return status == TA_OK ? ta_sink_commit(&job->sink, report) : status;
}

ta_status ta_import_text(const struct ta_import_text *text, const struct ta_import_options *options,
                         struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    struct job job;
    memset(&job, 0, sizeof job);
    job.text = *text;
    if (job.text.min_count == 0) job.text.min_count = 5;
    if (job.text.sentence == 0) job.text.sentence = 1000;
    ta_status status = ta_source_open(&job.source, text->file);
    if (status == TA_OK) status = run(&job, options, report);
    ta_sink_close(&job.sink);
    ta_words_free(&job.kept);
    ta_words_free(&job.all);
    ta_source_close(&job.source);
    return status;
}
