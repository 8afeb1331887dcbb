/* import_token: white space is looked for byte by byte, and what lies between is checked character by character. */
#include "import_token.h"

#include <inttypes.h>
#include <string.h>

#include "names.h"

ta_status ta_tokens_open(struct ta_tokens *tokens, const char *path) {
    memset(tokens, 0, sizeof *tokens);
    return ta_source_open(&tokens->source, path);
}

void ta_tokens_close(struct ta_tokens *tokens) { ta_source_close(&tokens->source); }

ta_status ta_tokens_rewind(struct ta_tokens *tokens) {
    tokens->words = tokens->cut = 0;
    return ta_source_rewind(&tokens->source);
}

static bool is_space(int byte) {
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == '\v' || byte == '\f';
}

/* The character that begins with `first` (not ASCII) into character[4]; *bytes of it. */
static ta_status read_character(struct ta_source *s, int first, char *character, size_t *bytes) {
    uint64_t at = s->offset - 1;
    size_t wanted = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4, got = 1;
    character[0] = (char)first;
    for (int byte = 0; got < wanted; character[got++] = (char)byte) {
        byte = ta_source_byte(s);
        if (byte == TA_SOURCE_FAILED) return s->failed;
        if (byte < 0x80 || byte > 0xbf) break; /* cut short by what is no part of it, or by the end */
    }
    *bytes = got;
    if (got == wanted && ta_names_utf8(character, got)) return TA_OK;
    return ta_fail(TA_FORMAT,
                   "%s: byte %" PRIu64 " (0x%02x) does not begin a UTF-8 character: convert the text, for instance by "
                   "iconv -f latin1 -t utf-8",
                   s->path, at, first);
}

/* Adds a character to the word, unless it or one before it has no room there. */
static void take(struct ta_token *token, const char *character, size_t bytes, bool *full) {
    *full |= token->bytes + bytes > TA_IMPORT_WORD_BYTES_MOST;
    if (*full) return;
    memcpy(token->word + token->bytes, character, bytes);
    token->bytes += bytes;
}

ta_status ta_tokens_next(struct ta_tokens *tokens, struct ta_token *token) {
    struct ta_source *s = &tokens->source;
    bool full = false;
    token->bytes = 0;
    for (;;) {
        char character[4];
        size_t bytes = 1;
        int byte = ta_source_byte(s);
        if (byte == TA_SOURCE_FAILED) return s->failed;
        token->text_end = byte == TA_SOURCE_END;
        token->line_end = token->text_end || byte == '\n';
        if (token->line_end || (is_space(byte) && token->bytes > 0)) break;
        if (is_space(byte)) continue;
        if (byte == '\0')
            return ta_fail(TA_FORMAT,
                           "%s: byte %" PRIu64 " is NUL: this is no text in UTF-8; if it is UTF-16, convert it by "
                           "iconv -f utf-16 -t utf-8",
                           s->path, s->offset - 1);
        character[0] = (char)byte;
        ta_status status = byte < 0x80 ? TA_OK : read_character(s, byte, character, &bytes);
        if (status != TA_OK) return status;
        if (s->offset == 3 && bytes == 3 && memcmp(character, "\xef\xbb\xbf", 3) == 0) continue;
        take(token, character, bytes, &full);
    }
    token->word[token->bytes] = '\0';
    tokens->words += token->bytes > 0;
    tokens->cut += full;
    return TA_OK;
}
