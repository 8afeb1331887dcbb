/* import_text: a corpus -> sentences of word numbers, in two passes: count the words, then number them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_online.h"
#include "import_sink.h"
#include "import_words.h"
#include "mem.h"
#include "names.h"

struct job {
    struct ta_import_text text; /* defaults filled in */
    struct ta_tokens tokens;
    struct ta_words all, kept;
    struct ta_sink sink;
    uint32_t length; /* of the sentence being filled */
    uint64_t dropped;
};

static ta_status count_words(struct job *job) {
    struct ta_token token = {0};
    while (!token.text_end) {
        ta_status status = ta_tokens_next(&job->tokens, &token);
        if (status == TA_OK && token.bytes > 0) status = ta_words_add(&job->all, token.word, token.bytes, NULL);
        if (status != TA_OK) return status;
    }
    if (job->tokens.words == 0)
        return ta_fail(TA_FORMAT, "%s: holds no words; is it empty?", job->tokens.source.path);
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
                         job->tokens.source.path, job->tokens.words, job->text.min_count);
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
    struct ta_token token = {0};
    ta_status status = TA_OK;
    while (status == TA_OK && !token.text_end) {
        status = ta_tokens_next(&job->tokens, &token);
        if (status != TA_OK) return status;
        int64_t number = token.bytes == 0 ? -1 : ta_words_find(&job->kept, token.word, token.bytes);
        if (number >= 0) {
            struct ta_stream_block row = ta_sink_row(&job->sink);
            ((int32_t *)row.x)[job->length++] = (int32_t)number;
        } else if (token.bytes > 0) {
            job->dropped++;
        }
        if (token.line_end || job->length == job->text.sentence) status = end_sentence(job);
    }
    return status;
}

static ta_status write_vocabulary(struct job *job) {
    const struct ta_words *kept = &job->kept;
    struct ta_names names = {0};
    ta_status status = TA_OK;
    for (size_t i = 0; status == TA_OK && i < kept->count; i++)
        status = ta_names_add(&names, ta_words_text(kept, i), kept->word[i].length, kept->word[i].count);
    if (status == TA_OK) status = ta_names_write(&names, ta_stream_writer_file(job->sink.writer));
    ta_names_free(&names);
    return status;
}

static ta_status run(struct job *job, const struct ta_import_options *options, struct ta_import_report *report) {
    ta_status status = count_words(job);
    if (status == TA_OK) status = choose_vocabulary(job);
    if (status == TA_OK) status = ta_tokens_rewind(&job->tokens);
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
    ta_sink_origin(plan.info.origin, "text", job->tokens.source.path, NULL);
    status = ta_sink_open(&job->sink, options, &plan);
    if (status == TA_OK) status = number_words(job);
    if (status == TA_OK) status = write_vocabulary(job);
    snprintf(report->note, sizeof report->note,
             "%zu words in the vocabulary; %" PRIu64 " of %" PRIu64 " words of the text are not in it",
             job->kept.count, job->dropped, job->tokens.words);
    return status == TA_OK ? ta_sink_commit(&job->sink, report) : status;
}

/* What cut words there were, behind what the note says already. */
static void note_cut_words(const struct ta_tokens *tokens, struct ta_import_report *report) {
    size_t used = strlen(report->note);
    if (tokens->cut > 0)
        snprintf(report->note + used, sizeof report->note - used, "; %" PRIu64 " words of more than %d bytes were cut",
                 tokens->cut, TA_IMPORT_WORD_BYTES_MOST);
}

static ta_status check(const struct ta_import_text *text) {
    if (!text->online || (text->min_count == 0 && text->vocabulary_size == 0 && text->sentence == 0)) return TA_OK;
    return ta_fail(TA_USAGE,
                   "--online keeps the text as it is: leave --min-count, --vocabulary-size and --sentence out");
}

ta_status ta_import_text(const struct ta_import_text *text, const struct ta_import_options *options,
                         struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    struct job job;
    memset(&job, 0, sizeof job);
    job.text = *text;
    if (job.text.min_count == 0) job.text.min_count = 5;
    if (job.text.sentence == 0) job.text.sentence = 1000;
    ta_status status = check(text);
    if (status == TA_OK) status = ta_tokens_open(&job.tokens, text->file);
    if (status == TA_OK && text->online) status = ta_import_online(&job.tokens, options, report);
    else if (status == TA_OK) status = run(&job, options, report);
    note_cut_words(&job.tokens, report);
    ta_sink_close(&job.sink);
    ta_words_free(&job.kept);
    ta_words_free(&job.all);
    ta_tokens_close(&job.tokens);
    return status;
}
