/* import_rows: a table of text, row by row; private to the importers.
 *
 * Fields are as RFC 4180 has them: separated by the delimiter, perhaps in quotes ("" within them is one quote;
 * delimiters and line ends within them count as text); rows end with LF or CR LF; the last one may have no end.
 * Spaces round a field without quotes are dropped. Empty lines are passed over, as is a UTF-8 byte-order mark. With
 * delimiter '\0' any run of spaces and tabs separates, and there are no quotes.
 *
 * One thread at a time. Errors: FORMAT (with file and line: a row longer than TA_IMPORT_LINE_BYTES_MOST, an open
 * quote, text behind a closing quote, a NUL byte), those of import_source.h.
 */
#ifndef TA_IMPORT_ROWS_H
#define TA_IMPORT_ROWS_H

#include "import_source.h"

struct ta_import_rows {
    struct ta_source source;
    char delimiter;
    uint64_t line;     /* where the current row begins, from 1 */
    uint64_t lines;    /* line ends seen */
    char *text;        /* of the current row: fields, each with a NUL behind it */
    size_t used;
    uint32_t *start;   /* of each field in `text` */
    size_t fields, capacity;
};

ta_status ta_import_rows_open(struct ta_import_rows *rows, const char *path, char delimiter);
void ta_import_rows_close(struct ta_import_rows *rows); /* a zeroed one is fine */
ta_status ta_import_rows_rewind(struct ta_import_rows *rows);

ta_status ta_import_rows_next(struct ta_import_rows *rows); /* END: no more */

static inline const char *ta_import_rows_field(const struct ta_import_rows *rows, size_t i) {
    return rows->text + rows->start[i];
}

#endif
