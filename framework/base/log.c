/* log: formatting and one write a line. */
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { LINE_BYTES = 2048 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};

ta_status ta_log_open(struct ta_log *log, enum ta_log_level level, int rank, bool to_stderr, const char *path) {
    *log = (struct ta_log){.level = level, .rank = rank, .to_stderr = to_stderr, .file = -1};
    if (gethostname(log->host, sizeof log->host - 1) != 0) snprintf(log->host, sizeof log->host, "localhost");
    if (path == NULL) return TA_OK;
    log->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log->file < 0) return ta_fail_errno(TA_IO, "%s: cannot open the log", path);
    return TA_OK;
}

void ta_log_close(struct ta_log *log) {
    if (log != NULL && log->file >= 0) {
        close(log->file);
        log->file = -1;
    }
}

void ta_log_line(struct ta_log *log, enum ta_log_level level, const char *format, ...) {
    if (log == NULL) return;
    bool seen = log->to_stderr && level >= log->level;
    bool filed = log->file >= 0 && (level >= TA_LOG_INFO || level >= log->level);
    if (!seen && !filed) return;

    char line[LINE_BYTES], when[25];
    ta_clock_iso8601(ta_clock_wall_ns(), when);
    int used = snprintf(line, sizeof line, "%s %s ", when, log->host);
    if (log->rank >= 0) used += snprintf(line + used, sizeof line - (size_t)used, "rank=%d ", log->rank);
    used += snprintf(line + used, sizeof line - (size_t)used, "%-5s ", level_names[level]);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    va_end(args);
    size_t length = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (length > sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    /* A log that cannot be written has nobody to tell. */
    if (seen && write(STDERR_FILENO, line, length) < 0) seen = false;
    if (filed && write(log->file, line, length) < 0) filed = false;
}

ta_status ta_log_level_parse(const char *text, enum ta_log_level *level) {
    for (int i = TA_LOG_DEBUG; i <= TA_LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum ta_log_level)i;
            return TA_OK;
        }
    }
    return ta_fail(TA_CONFIG, "log level '%s' is not one of debug, info, warn, error", text);
}
