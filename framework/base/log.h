/* log: one line a message, for people.
 *
 *     2026-11-21T09:18:43.123Z node07 rank=3 warn  peer 2 has been silent for 3.0 s: dropped
 *
 * A log is a value that belongs to whoever opened it; there is no default one. Lines at or above `level` go to stderr
 * (only from rank 0 when `quiet_ranks`) and all lines go to the file, if there is one. A line is one write(2), so lines
 * of different processes do not mix. Thread-safe after opening. A NULL log swallows everything.
 */
#ifndef TA_LOG_H
#define TA_LOG_H

#include <stdbool.h>

#include "status.h"

enum ta_log_level { TA_LOG_DEBUG, TA_LOG_INFO, TA_LOG_WARN, TA_LOG_ERROR };

struct ta_log {
    enum ta_log_level level; /* least level that reaches stderr; the file takes everything from INFO (or `level`) on */
    int rank;                /* -1: not a replica (launcher, tools): no "rank=" in the line */
    bool to_stderr;
    int file;                /* descriptor, -1: none */
    char host[64];
};

/* Opens a log that appends to `path` (NULL: stderr only). Errors: IO. On failure the log still writes to stderr. */
ta_status ta_log_open(struct ta_log *log, enum ta_log_level level, int rank, bool to_stderr, const char *path);
void ta_log_close(struct ta_log *log);

void ta_log_line(struct ta_log *log, enum ta_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define ta_log_debug(log, ...) ta_log_line((log), TA_LOG_DEBUG, __VA_ARGS__)
#define ta_log_info(log, ...) ta_log_line((log), TA_LOG_INFO, __VA_ARGS__)
#define ta_log_warn(log, ...) ta_log_line((log), TA_LOG_WARN, __VA_ARGS__)
#define ta_log_error(log, ...) ta_log_line((log), TA_LOG_ERROR, __VA_ARGS__)

/* "debug", "info", "warn", "error" -> level. Errors: CONFIG. */
ta_status ta_log_level_parse(const char *text, enum ta_log_level *level);

#endif
