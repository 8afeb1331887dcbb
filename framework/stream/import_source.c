/* import_source: zlib's gzFile, which reads plain files too, and the errors it hides. */
#include "import_source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "mem.h"

enum { BUFFER_BYTES = 256 * 1024 };

ta_status ta_source_open(struct ta_source *s, const char *path) {
    memset(s, 0, sizeof *s);
    ta_status status = ta_mem_strdup(path, "name of a file to import", &s->path);
    if (status == TA_OK) status = ta_mem_alloc(BUFFER_BYTES, 1, "buffer of a file to import", (void **)&s->buffer);
    if (status == TA_OK) {
        errno = 0;
        s->gz = gzopen(path, "rbe");
        if (s->gz == NULL) {
            if (errno == 0) errno = ENOMEM;
            status = ta_fail_errno(TA_IO, "%s: cannot be opened", path);
        }
    }
    if (status == TA_OK) gzbuffer(s->gz, 128 * 1024);
    if (status != TA_OK) ta_source_close(s);
    return status;
}

void ta_source_close(struct ta_source *s) {
    if (s->gz != NULL) gzclose_r(s->gz);
    ta_mem_free(s->buffer);
    ta_mem_free(s->path);
    memset(s, 0, sizeof *s);
}

ta_status ta_source_rewind(struct ta_source *s) {
    s->used = s->held = 0;
    s->offset = 0;
    s->failed = TA_OK;
    if (gzrewind(s->gz) != 0)
        return ta_fail_errno(TA_IO, "%s: cannot be read twice; give a file, not a pipe", s->path);
    return TA_OK;
}

/* What went wrong behind a short read, if anything did. `at`: how many bytes came out of the file before. */
static ta_status explain(struct ta_source *s, uint64_t at) {
    int code;
    const char *why = gzerror(s->gz, &code);
    switch (code) {
    case Z_OK:
    case Z_STREAM_END: return TA_OK;
    case Z_ERRNO: return ta_fail_errno(TA_IO, "%s: cannot be read behind byte %" PRIu64, s->path, at);
    case Z_MEM_ERROR: return ta_fail(TA_NO_MEMORY, "%s: out of memory while uncompressing", s->path);
    case Z_BUF_ERROR:
        return ta_fail(TA_FORMAT,
                       "%s: the gzip data ends too early, behind %" PRIu64 " uncompressed bytes: the file was "
                       "cut short; fetch it again",
                       s->path, at);
    default:
        return ta_fail(TA_FORMAT,
                       "%s: the gzip data is damaged behind %" PRIu64 " uncompressed bytes (%s): fetch it again",
                       s->path, at, why);
    }
}

/* gzread until `bytes` are there, the end, or an error. */
static ta_status read_through(struct ta_source *s, unsigned char *out, size_t bytes, size_t *got) {
    uint64_t before = s->offset;
    *got = 0;
    while (*got < bytes) {
        size_t want = bytes - *got;
        errno = 0;
        int n = gzread(s->gz, out + *got, want > BUFFER_BYTES ? BUFFER_BYTES : (unsigned)want);
        if (n > 0) *got += (size_t)n;
        if (n <= 0) return explain(s, before + *got);
    }
    return TA_OK;
}

ta_status ta_source_read(struct ta_source *s, void *out, size_t bytes, size_t *got) {
    size_t buffered = s->held - s->used;
    if (buffered > bytes) buffered = bytes;
    memcpy(out, s->buffer + s->used, buffered);
    s->used += buffered;
    s->offset += buffered;
    size_t rest = 0;
    ta_status status = TA_OK;
    if (buffered < bytes) status = read_through(s, (unsigned char *)out + buffered, bytes - buffered, &rest);
    s->offset += rest;
    *got = buffered + rest;
    return status;
}

int ta_source_fill(struct ta_source *s) {
    s->used = s->held = 0;
    s->failed = read_through(s, s->buffer, BUFFER_BYTES, &s->held);
    if (s->failed != TA_OK) return -1;
    return s->held > 0;
}
