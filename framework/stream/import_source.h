/* import_source: the bytes of a file, uncompressed on the way when it is gzip; private to the importers.
 *
 * One thread at a time. Errors: IO (cannot be opened or read), FORMAT (the gzip data is damaged or ends too early; the
 * message names the file and the byte), NO_MEMORY.
 */
#ifndef TA_IMPORT_SOURCE_H
#define TA_IMPORT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_SOURCE_END = -1, TA_SOURCE_FAILED = -2 };

struct ta_source {
    void *gz;          /* gzFile */
    char *path;
    unsigned char *buffer;
    size_t used, held; /* of the buffer */
    uint64_t offset;   /* uncompressed bytes handed out */
    ta_status failed;  /* of the byte-wise calls */
};

ta_status ta_source_open(struct ta_source *s, const char *path);
void ta_source_close(struct ta_source *s); /* a zeroed one is fine */
ta_status ta_source_rewind(struct ta_source *s);

/* Up to `bytes` bytes; *got is less only at the end of the file. */
ta_status ta_source_read(struct ta_source *s, void *out, size_t bytes, size_t *got);

/* The next chunk into the buffer: 1, or 0 at the end, or -1 with `failed` set. */
int ta_source_fill(struct ta_source *s);

/* The next byte, or TA_SOURCE_END, or TA_SOURCE_FAILED (then `failed` says how). */
static inline int ta_source_byte(struct ta_source *s) {
    if (s->used == s->held) {
        int more = ta_source_fill(s);
        if (more <= 0) return more == 0 ? TA_SOURCE_END : TA_SOURCE_FAILED;
    }
    s->offset++;
    return s->buffer[s->used++];
}

#endif
