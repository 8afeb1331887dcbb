/* ckpt_words: `tensair ckpt export --words`: word vectors as word2vec writes them. */
#include <string.h>

#include "ckpt_verbs.h"
#include "vectors.h"

ta_status ta_ckpt_export_words(const char *model, const char *format, const char *out) {
    struct ta_vectors vectors;
    bool text = strcmp(format, "text") == 0;
    if (!text && strcmp(format, "binary") != 0)
        return ta_fail(TA_USAGE, "--words takes text or binary, not '%s'; see tensair ckpt --help", format);
    ta_status status = ta_vectors_read(model, &vectors);
    if (status != TA_OK) return status;
    status = ta_vectors_write(&vectors, text ? TA_VECTORS_TEXT : TA_VECTORS_BINARY, out);
    ta_vectors_free(&vectors);
    return status;
}
