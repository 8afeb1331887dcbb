/* import_online: words packed into records of one size, in one pass. */
#include "import_online.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import_sink.h"

struct packer {
    struct ta_sink sink;
    size_t used;     /* bytes of the record being filled */
    char separator;  /* what stands in front of the next word of it */
};

static ta_status end_record(struct packer *p) {
    if (p->used == 0) return TA_OK;
    memset((char *)ta_sink_row(&p->sink).x + p->used, '\0', TA_IMPORT_TEXT_BYTES - p->used);
    p->used = 0;
    return ta_sink_next(&p->sink);
}

static ta_status add_word(struct packer *p, const struct ta_token *token) {
    ta_status status = TA_OK;
    if (p->used + (p->used > 0) + token->bytes > TA_IMPORT_TEXT_BYTES) status = end_record(p);
    if (status != TA_OK) return status;
    char *x = ta_sink_row(&p->sink).x;
    if (p->used > 0) x[p->used++] = p->separator;
    memcpy(x + p->used, token->word, token->bytes);
    p->used += token->bytes;
    p->separator = ' ';
    return TA_OK;
}

static ta_status pack(struct packer *p, struct ta_tokens *tokens) {
    struct ta_token token = {0};
    ta_status status = TA_OK;
    while (status == TA_OK && !token.text_end) {
        status = ta_tokens_next(tokens, &token);
        if (status == TA_OK && token.bytes > 0) status = add_word(p, &token);
        if (status != TA_OK || !token.line_end) continue;
        p->separator = '\n';
        if (token.text_end || p->used > TA_IMPORT_TEXT_BYTES / 2) status = end_record(p);
    }
    return status;
}

ta_status ta_import_online(struct ta_tokens *tokens, const struct ta_import_options *options,
                           struct ta_import_report *report) {
    struct packer p = {0};
    struct ta_sink_plan plan = {
        .info = {.h = 1,
                 .w = 1,
                 .c = TA_IMPORT_TEXT_BYTES,
                 .element = TA_ELEMENT_U8,
                 .text = true,
                 .scale = 1,
                 .label_kind = TA_LABEL_NONE},
    };
    ta_sink_origin(plan.info.origin, "text", tokens->source.path, NULL);
    ta_status status = ta_sink_open(&p.sink, options, &plan);
    if (status == TA_OK) status = pack(&p, tokens);
    if (status == TA_OK && tokens->words == 0)
        status = ta_fail(TA_FORMAT, "%s: holds no words; is it empty?", tokens->source.path);
    if (status == TA_OK) status = ta_sink_commit(&p.sink, report);
    snprintf(report->note, sizeof report->note, "%" PRIu64 " words, as text", tokens->words);
    ta_sink_close(&p.sink);
    return status;
}
