/* server_file: written whole, read only when nobody else could have. */
#include "server_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4352 };

ta_status ta_store_directory_check(const char *path) {
    struct stat dir;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "cannot make the directory %s", path);
    if (lstat(path, &dir) != 0) return ta_fail_errno(TA_IO, "%s", path);
    if (!S_ISDIR(dir.st_mode))
        return ta_fail(TA_CONFIG, "%s is a link or no directory: the store wants a directory of its own; remove it",
                       path);
    if (dir.st_uid != geteuid())
        return ta_fail(TA_CONFIG,
                       "the directory %s belongs to user %u, this program runs as %u; use another run directory", path,
                        (unsigned)dir.st_uid, (unsigned)geteuid());
    if ((dir.st_mode & 077) != 0)
        return ta_fail(TA_CONFIG, "others can enter the directory %s (mode %04o); chmod 700 %s", path,
                       (unsigned)(dir.st_mode & 07777), path);
    return TA_OK;
}

static ta_status write_text(int fd, const char *path, const char *text, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        ssize_t n = write(fd, text + at, bytes - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_IO, "writing %s", path);
        at += (size_t)n;
    }
    /* On a file system of the network the others may look before we have closed. */
    return fsync(fd) == 0 || errno == EINVAL ? TA_OK : ta_fail_errno(TA_IO, "writing %s", path);
}

ta_status ta_store_server_file_write(const char *directory, const struct ta_store_server_file *file,
                                     struct ta_store_file_id *id) {
    char path[PATH_BYTES], fresh[PATH_BYTES], text[TA_STORE_FILE_BYTES];
    size_t bytes = ta_store_server_file_print(file, text);
    snprintf(path, sizeof path, "%s/server", directory);
    snprintf(fresh, sizeof fresh, "%s/.server.%d", directory, (int)getpid());
    unlink(fresh); /* of a process that died here and had our number */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot make %s", fresh);
    struct stat made;
    ta_status status = write_text(fd, fresh, text, bytes);
    sodium_memzero(text, sizeof text);
    if (status == TA_OK && (fchmod(fd, 0600) != 0 || fstat(fd, &made) != 0)) status = ta_fail_errno(TA_IO, "%s", fresh);
    if (close(fd) != 0 && status == TA_OK) status = ta_fail_errno(TA_IO, "closing %s", fresh);
    if (status == TA_OK && rename(fresh, path) != 0) status = ta_fail_errno(TA_IO, "cannot put %s in place", path);
    if (status == TA_OK)
        *id = (struct ta_store_file_id){made.st_dev, made.st_ino, made.st_mtim};
    else
        unlink(fresh);
    return status;
}

static ta_status check(int fd, const char *path) {
    struct stat file;
    if (fstat(fd, &file) != 0) return ta_fail_errno(TA_IO, "%s", path);
    if (!S_ISREG(file.st_mode)) return ta_fail(TA_CONFIG, "%s is no plain file; remove it and look who made it", path);
    if (file.st_uid != geteuid())
        return ta_fail(TA_CONFIG, "%s belongs to user %u, this program runs as %u: a run has one user", path,
                       (unsigned)file.st_uid, (unsigned)geteuid());
    if ((file.st_mode & 077) != 0)
        return ta_fail(TA_CONFIG,
                       "others can read or write %s (mode %04o), so its secret may be known; start the run again in a "
                       "directory of mode 0700",
                       path, (unsigned)(file.st_mode & 07777));
    return TA_OK;
}

static ta_status read_text(int fd, const char *path, char *text, size_t *bytes) {
    *bytes = 0;
    for (;;) {
        ssize_t n = read(fd, text + *bytes, TA_STORE_FILE_BYTES - *bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_IO, "reading %s", path);
        if (n == 0) return TA_OK;
        *bytes += (size_t)n;
        if (*bytes == TA_STORE_FILE_BYTES)
            return ta_fail(TA_FORMAT, "%s is longer than %d bytes; remove it and start the run again", path,
                           TA_STORE_FILE_BYTES);
    }
}

ta_status ta_store_server_file_read(const char *directory, struct ta_store_server_file *out) {
    char path[PATH_BYTES], text[TA_STORE_FILE_BYTES];
    size_t bytes = 0;
    *out = (struct ta_store_server_file){0};
    snprintf(path, sizeof path, "%s/server", directory);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    /* ESTALE: renamed on a file system of the network while we opened it. */
    if (fd < 0 && (errno == ENOENT || errno == ESTALE))
        return ta_fail(TA_AGAIN, "%s is not there: has the run's first process started?", path);
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return ta_fail(TA_CONFIG, "%s is no plain file; remove it and look who made it", path);
    if (fd < 0 && errno == EACCES) return ta_fail_errno(TA_CONFIG, "%s is not for this user to read", path);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot open %s", path);
    ta_status status = check(fd, path);
    if (status == TA_OK) status = read_text(fd, path, text, &bytes);
    close(fd);
    if (status == TA_OK) status = ta_store_server_file_parse(path, text, bytes, out);
    sodium_memzero(text, sizeof text);
    return status;
}

void ta_store_server_file_remove(const char *directory, const struct ta_store_file_id *id) {
    char path[PATH_BYTES];
    struct stat file;
    snprintf(path, sizeof path, "%s/server", directory);
    if (lstat(path, &file) == 0 && file.st_dev == id->device && file.st_ino == id->inode &&
        file.st_mtim.tv_sec == id->written.tv_sec && file.st_mtim.tv_nsec == id->written.tv_nsec)
        unlink(path);
}
