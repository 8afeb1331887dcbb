/* writer: makes a stream file (HDF5; the format is described in stream.h), all of it or nothing.
 *
 *     struct ta_stream_writer *w;
 *     ta_stream_writer_open(&(struct ta_stream_writer_config){.path = "out.h5", .info = &info}, &w);
 *     while (there is more) ta_stream_writer_append(w, count, &block);
 *     status = ta_stream_writer_commit(w);
 *     ta_stream_writer_close(w);
 *
 * Everything is written to PATH.partial; commit flushes it to the disk and renames it, so whatever happens before
 * (error, kill, full disk) leaves no PATH, or the old one. close without commit removes PATH.partial; what a kill
 * leaves of it is overwritten by the next attempt.
 *
 * Layout: /x is [n][c] when h = w = 1, else [n][h][w][c]; chunked by record, a chunk about 256 KiB, with a Fletcher-32
 * checksum a chunk, so that damage is found where it is read. Each dataset has the attributes `description` and
 * `units`.
 *
 * Threads: one at a time. Errors, all calls: USAGE (PATH exists and `force` is not set), IO (no space, no permission,
 * ...), FORMAT (a record that no stream may hold, named), INVALID (info that makes no sense), NO_MEMORY.
 */
#ifndef TA_WRITER_H
#define TA_WRITER_H

#include "h5.h"
#include "stream.h"

struct ta_stream_writer_config {
    const char *path;
    bool force;                        /* replace an existing PATH at commit */
    const struct ta_stream_info *info; /* copied; `records` and `checksum` are not looked at */
    const char *const *class_names;    /* info->classes of them, or NULL; copied into the file at open */
    uint64_t expected_records;         /* 0: unknown; keeps chunks from being larger than the stream */
    const char *x_description;         /* NULL: a general one */
    const char *x_units;               /* NULL: "intensity" for u8, "byte" for text, "word number" for i32, else "1" */
    int gzip;                          /* 0: none (fastest to read), 1..9 */
    bool no_chunk_checksum;
};

struct ta_stream_writer;

ta_status ta_stream_writer_open(const struct ta_stream_writer_config *config, struct ta_stream_writer **out);

/* Appends `count` records: block->x always; class or value as the labels are; time_ns and delay when info has them.
 * Checked: classes within -1 .. classes-1, x finite, time that never falls, delay not negative: FORMAT, with the
 * number of the record. A failed append leaves the writer unusable but for close. */
ta_status ta_stream_writer_append(struct ta_stream_writer *w, size_t count, const struct ta_stream_block *block);

/* For importers that know their classes only at the end: may be called until commit. info->classes = 0 at open means
 * that any class >= -1 is accepted until then; commit checks the largest one seen. `names` may be NULL. */
ta_status ta_stream_writer_set_classes(struct ta_stream_writer *w, uint32_t classes, const char *const *names);

uint64_t ta_stream_writer_records(const struct ta_stream_writer *w); /* appended so far */
int32_t ta_stream_writer_largest_class(const struct ta_stream_writer *w); /* -1: none yet */

/* The open file, to add further datasets (a vocabulary). Closed by commit. */
struct ta_h5 *ta_stream_writer_file(struct ta_stream_writer *w);

/* Writes the attributes, flushes, renames. After it only close is allowed, whatever it returned. */
ta_status ta_stream_writer_commit(struct ta_stream_writer *w);

void ta_stream_writer_close(struct ta_stream_writer *w); /* NULL is fine */

#endif
