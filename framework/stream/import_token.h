/* import_token: the words of a text, one by one; private to the importers.
 *
 * A word is what stands between white space (ASCII). One of more than TA_IMPORT_WORD_BYTES_MOST bytes is cut at the end
 * of a character and counted. A byte order mark in front of the text is left out.
 *
 * Errors: FORMAT (bytes that are not UTF-8, NUL among them: which byte, and the cure), and those of import_source.h.
 * One thread at a time.
 */
#ifndef TA_IMPORT_TOKEN_H
#define TA_IMPORT_TOKEN_H

#include <stdbool.h>

#include "import.h"
#include "import_source.h"

struct ta_tokens {
    struct ta_source source;
    uint64_t words, cut; /* seen since the start */
};

struct ta_token {
    char word[TA_IMPORT_WORD_BYTES_MOST + 1];
    size_t bytes;  /* 0: a line, or the text, ended before the next word */
    bool line_end; /* a line, or the text, ends behind it */
    bool text_end;
};

ta_status ta_tokens_open(struct ta_tokens *tokens, const char *path);
void ta_tokens_close(struct ta_tokens *tokens); /* a zeroed one is fine */
ta_status ta_tokens_rewind(struct ta_tokens *tokens);
ta_status ta_tokens_next(struct ta_tokens *tokens, struct ta_token *token);

#endif
