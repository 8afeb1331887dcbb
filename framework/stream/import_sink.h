/* import_sink: gathers records and hands them to the stream writer in blocks; private to the importers.
 *
 *     ta_sink_open(&sink, options, &plan);
 *     for each record: fill ta_sink_row(&sink)'s pointers; ta_sink_next(&sink);
 *     ta_sink_commit(&sink, report);
 *     ta_sink_close(&sink);
 */
#ifndef TA_IMPORT_SINK_H
#define TA_IMPORT_SINK_H

#include "import.h"
#include "writer.h"

struct ta_sink {
    struct ta_stream_writer *writer;
    struct ta_stream_info info;
    struct ta_stream_block block; /* of `capacity` records; owned */
    size_t capacity, used;
};

struct ta_sink_plan {
    struct ta_stream_info info; /* origin included */
    const char *const *class_names;
    uint64_t expected_records;
    const char *x_description, *x_units;
};

/* Errors: those of the writer; FORMAT when a record is larger than TA_IMPORT_RECORD_BYTES_MOST. */
ta_status ta_sink_open(struct ta_sink *sink, const struct ta_import_options *options, const struct ta_sink_plan *plan);
void ta_sink_close(struct ta_sink *sink); /* a zeroed one is fine; without commit nothing is left behind */

/* Where the next record goes: one element of each array that the stream has. Valid until ta_sink_next. */
struct ta_stream_block ta_sink_row(const struct ta_sink *sink);
ta_status ta_sink_next(struct ta_sink *sink);

uint64_t ta_sink_records(const struct ta_sink *sink);
ta_status ta_sink_flush(struct ta_sink *sink);
ta_status ta_sink_commit(struct ta_sink *sink, struct ta_import_report *report); /* flush, name the file, count */

/* "file A, file B" -> origin[256], without the folders of this machine. */
void ta_sink_origin(char origin[256], const char *what, const char *path_a, const char *path_b);

#endif
