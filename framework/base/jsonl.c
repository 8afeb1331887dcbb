/* jsonl: jansson's compact text, a newline, one write. */
#include "jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "mem.h"

ta_status ta_jsonl_open(const char *path, int *fd) {
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return *fd < 0 ? ta_fail_errno(TA_IO, "%s: cannot be opened for appending", path) : TA_OK;
}

ta_status ta_jsonl_append(int fd, const char *name, const json_t *object) {
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    char *line;
    size_t bytes = json_dumpb(object, NULL, 0, flags);
    if (object == NULL || bytes == 0) return ta_fail(TA_NO_MEMORY, "%s: out of memory for a line", name);
    ta_status status = ta_mem_alloc(bytes + 1, 1, "JSON line", (void **)&line);
    if (status != TA_OK) return status;
    json_dumpb(object, line, bytes, flags);
    line[bytes] = '\n';
    ssize_t written;
    do written = write(fd, line, bytes + 1);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        status = ta_fail_errno(TA_IO, "%s: cannot be written", name);
    else if ((size_t)written != bytes + 1)
        status = ta_fail(TA_IO, "%s: only %zd of %zu bytes were written; is the disk full?", name, written, bytes + 1);
    ta_mem_free(line);
    return status;
}

json_t *ta_json_real(double value) { return isfinite(value) ? json_real(value) : json_null(); }
