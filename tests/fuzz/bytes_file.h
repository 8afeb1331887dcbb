/* bytes_file: the fuzzer's bytes as a file that has a path, in memory. */
#ifndef TA_FUZZ_BYTES_FILE_H
#define TA_FUZZ_BYTES_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A descriptor to be closed by close(2); `path` names it for as long. -1 when the machine gives none. */
static inline int bytes_file(const uint8_t *bytes, size_t count, char path[64]) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0) return -1;
    if (write(fd, bytes, count) != (ssize_t)count) {
        close(fd);
        return -1;
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* A failure that says nothing is a bug of its own. */
static inline void need_message(int status, const char *why) {
    if (status != 0 && why[0] == '\0') __builtin_trap();
}

#endif
