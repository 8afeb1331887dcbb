/* jsonl: one JSON object a line, appended by several processes to one file (metrics.jsonl).
 *
 * A line is one write(2) to a descriptor opened with O_APPEND, so lines of different processes do not mix. Thread-safe.
 */
#ifndef TA_JSONL_H
#define TA_JSONL_H

#include <jansson.h>

#include "status.h"

/* Opens `path` for appending, creating it (mode 0644). *fd is closed by close(2). Errors: IO. */
ta_status ta_jsonl_open(const char *path, int *fd);

/* Appends `object` as one compact line, keys in the order they were set; `name` stands for the file in messages. The
 * caller keeps its reference. Errors: IO (disk full: how many bytes were written), NO_MEMORY (also when `object` is
 * NULL: jansson gives that when it runs out). */
ta_status ta_jsonl_append(int fd, const char *name, const json_t *object);

/* A number, or null where JSON has none: NaN and the infinities. A new reference, NULL when out of memory. */
json_t *ta_json_real(double value);

#endif
