/* import_rows: one byte after the other into one bounded buffer. */
#include "import_rows.h"

#include <inttypes.h>
#include <string.h>

#include "import.h"
#include "mem.h"

enum { FIELDS_FIRST = 64 };

ta_status ta_import_rows_open(struct ta_import_rows *rows, const char *path, char delimiter) {
    memset(rows, 0, sizeof *rows);
    rows->delimiter = delimiter;
    rows->capacity = FIELDS_FIRST;
    ta_status status = ta_source_open(&rows->source, path);
    if (status == TA_OK) status = ta_mem_alloc(TA_IMPORT_LINE_BYTES_MOST, 1, "row of a table", (void **)&rows->text);
    if (status == TA_OK) status = TA_NEW(&rows->start, rows->capacity, "fields of a row");
    if (status != TA_OK) ta_import_rows_close(rows);
    return status;
}

void ta_import_rows_close(struct ta_import_rows *rows) {
    ta_source_close(&rows->source);
    ta_mem_free(rows->text);
    ta_mem_free(rows->start);
    memset(rows, 0, sizeof *rows);
}

ta_status ta_import_rows_rewind(struct ta_import_rows *rows) {
    rows->line = rows->lines = 0;
    return ta_source_rewind(&rows->source);
}

static ta_status wrong(const struct ta_import_rows *rows, const char *what) {
    return ta_fail(TA_FORMAT, "%s:%" PRIu64 ": %s", rows->source.path, rows->line, what);
}

static ta_status begin_field(struct ta_import_rows *rows) {
    if (rows->fields == rows->capacity) {
        uint32_t *larger;
        ta_status status = TA_NEW(&larger, 2 * rows->capacity, "fields of a row");
        if (status != TA_OK) return status;
        memcpy(larger, rows->start, rows->fields * sizeof *larger);
        ta_mem_free(rows->start);
        rows->start = larger;
        rows->capacity *= 2;
    }
    rows->start[rows->fields++] = (uint32_t)rows->used;
    return TA_OK;
}

static ta_status put(struct ta_import_rows *rows, int byte) {
    if (rows->used == TA_IMPORT_LINE_BYTES_MOST)
        return wrong(rows,
                     "the row is longer than 1048576 bytes: is a quote left open, or is this another kind of file?");
    rows->text[rows->used++] = (char)byte;
    return TA_OK;
}

static ta_status end_field(struct ta_import_rows *rows, bool trim) {
    uint32_t start = rows->start[rows->fields - 1];
    while (trim && rows->used > start && rows->text[rows->used - 1] == ' ') rows->used--;
    return put(rows, '\0');
}

static bool is_blank(int byte) { return byte == ' ' || byte == '\t'; }

/* CR LF -> LF; a CR alone stays what it is. */
static int next_byte(struct ta_import_rows *rows) {
    int byte = ta_source_byte(&rows->source);
    if (byte == '\r') {
        int after = ta_source_byte(&rows->source);
        if (after == '\n' || after == TA_SOURCE_FAILED) return after;
        if (after != TA_SOURCE_END) { /* put it back: the byte just read is still in the buffer */
            rows->source.used--;
            rows->source.offset--;
        }
    }
    return byte;
}

/* The text between quotes; the opening one is read. *after is the byte behind the closing one. */
static ta_status read_quoted(struct ta_import_rows *rows, int *after) {
    for (;;) {
        int byte = ta_source_byte(&rows->source);
        if (byte == TA_SOURCE_FAILED) return rows->source.failed;
        if (byte == TA_SOURCE_END) return wrong(rows, "a quote is opened and never closed");
        if (byte == '\n') rows->lines++;
        if (byte == '\0') return wrong(rows, "a NUL byte: this is no text file");
        if (byte == '"') {
            *after = next_byte(rows);
            if (*after != '"') return TA_OK;
        }
        ta_status status = put(rows, byte);
        if (status != TA_OK) return status;
    }
}

/* One field; `byte` is its first one. *end is the delimiter, '\n' or TA_SOURCE_END behind it. */
static ta_status read_field(struct ta_import_rows *rows, int byte, int *end) {
    *end = TA_SOURCE_END;
    while (byte == ' ') byte = next_byte(rows);
    ta_status status = begin_field(rows);
    bool quoted = byte == '"';
    if (status == TA_OK && quoted) {
        status = read_quoted(rows, &byte);
        while (status == TA_OK && byte == ' ') byte = next_byte(rows);
    }
    for (; status == TA_OK; byte = next_byte(rows)) {
        if (byte == TA_SOURCE_FAILED) return rows->source.failed;
        if (byte == TA_SOURCE_END || byte == '\n' || byte == rows->delimiter) break;
        if (quoted) return wrong(rows, "text behind a closing quote; a quote within quotes is written twice");
        if (byte == '\0') return wrong(rows, "a NUL byte: this is no text file");
        status = put(rows, byte);
    }
    *end = byte;
    return status == TA_OK ? end_field(rows, !quoted) : status;
}

/* A row of fields between runs of blanks; `byte` is its first byte, not a blank. */
static ta_status read_blank_row(struct ta_import_rows *rows, int byte) {
    while (byte >= 0 && byte != '\n') {
        ta_status status = begin_field(rows);
        for (; status == TA_OK && byte >= 0 && byte != '\n' && !is_blank(byte); byte = next_byte(rows)) {
            if (byte == '\0') return wrong(rows, "a NUL byte: this is no text file");
            status = put(rows, byte);
        }
        if (status == TA_OK) status = end_field(rows, false);
        if (status != TA_OK) return status;
        while (is_blank(byte)) byte = next_byte(rows);
    }
    if (byte == '\n') rows->lines++;
    return byte == TA_SOURCE_FAILED ? rows->source.failed : TA_OK;
}

static ta_status read_row(struct ta_import_rows *rows, int byte) {
    for (;;) {
        int end;
        ta_status status = read_field(rows, byte, &end);
        if (status != TA_OK) return status;
        if (end == '\n') rows->lines++;
        if (end < 0 || end == '\n') return TA_OK;
        byte = next_byte(rows);
    }
}

/* The first byte of a row that is not empty, or a negative one. */
static int skip_empty_lines(struct ta_import_rows *rows) {
    for (;;) {
        int byte = next_byte(rows);
        while (rows->delimiter == '\0' && is_blank(byte)) byte = next_byte(rows);
        if (byte != '\n') return byte;
        rows->lines++;
    }
}

ta_status ta_import_rows_next(struct ta_import_rows *rows) {
    rows->used = rows->fields = 0;
    bool first = rows->source.offset == 0;
    int byte = skip_empty_lines(rows);
    if (first && byte == 0xef && rows->source.held >= 3 && memcmp(rows->source.buffer, "\xef\xbb\xbf", 3) == 0) {
        rows->source.used += 2;
        rows->source.offset += 2;
        byte = skip_empty_lines(rows);
    }
    if (byte == TA_SOURCE_FAILED) return rows->source.failed;
    if (byte == TA_SOURCE_END) return TA_END;
    rows->line = rows->lines + 1;
    return rows->delimiter == '\0' ? read_blank_row(rows, byte) : read_row(rows, byte);
}
