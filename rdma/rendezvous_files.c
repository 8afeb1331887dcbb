/* rendezvous_files: open, write, read, remove, with nobody else's hand in it. */
#include "rendezvous_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

enum { FRESH_BYTES = 128 };

static const int64_t coarse_ns = TA_NS_PER_S / 20;

ta_status ta_rendezvous_files_open(struct ta_rendezvous_files *files, const char *path) {
    struct stat dir;
    *files = (struct ta_rendezvous_files){.directory = path, .fd = -1};
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return ta_fail_errno(TA_IO, "cannot make the rendezvous directory %s", path);
    files->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (files->fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return ta_fail(TA_CONFIG, "%s is a link or no directory: rendezvous wants a directory of its own; remove it",
                       path);
    if (files->fd < 0) return ta_fail_errno(TA_IO, "cannot open the rendezvous directory %s", path);
    ta_status status = TA_OK;
    if (fstat(files->fd, &dir) != 0)
        status = ta_fail_errno(TA_IO, "%s", path);
    else if (dir.st_uid != geteuid())
        status = ta_fail(TA_CONFIG,
                         "the rendezvous directory %s belongs to user %u, this program runs as %u; use another run "
                         "directory",
                         path, (unsigned)dir.st_uid, (unsigned)geteuid());
    else if ((dir.st_mode & 077) != 0)
        status = ta_fail(TA_CONFIG, "others can enter the rendezvous directory %s (mode %04o); chmod 700 %s", path,
                         (unsigned)(dir.st_mode & 07777), path);
    if (status != TA_OK) ta_rendezvous_files_close(files);
    return status;
}

void ta_rendezvous_files_close(struct ta_rendezvous_files *files) {
    if (files->fd >= 0) close(files->fd);
    files->fd = -1;
}

static ta_status write_all(const struct ta_rendezvous_files *files, int fd, const char *name, const void *bytes,
                           size_t left) {
    for (const char *at = bytes; left > 0;) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_IO, "writing %s/%s", files->directory, name);
        at += n;
        left -= (size_t)n;
    }
    /* A file system may keep the bad news (no space, quota) for the end. */
    return fchmod(fd, 0600) == 0 ? TA_OK : ta_fail_errno(TA_IO, "%s/%s", files->directory, name);
}

ta_status ta_rendezvous_files_write(const struct ta_rendezvous_files *files, const char *name, const void *bytes,
                                    size_t n) {
    char fresh[FRESH_BYTES];
    snprintf(fresh, sizeof fresh, ".%s.%d", name, (int)getpid());
    unlinkat(files->fd, fresh, 0); /* of a process that died here and had our number */
    int fd = openat(files->fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot make %s/%s", files->directory, fresh);
    ta_status status = write_all(files, fd, fresh, bytes, n);
    if (close(fd) != 0 && status == TA_OK) status = ta_fail_errno(TA_IO, "closing %s/%s", files->directory, fresh);
    if (status == TA_OK && renameat(files->fd, fresh, files->fd, name) != 0)
        status = ta_fail_errno(TA_IO, "cannot put %s/%s in place", files->directory, name);
    if (status != TA_OK) unlinkat(files->fd, fresh, 0);
    return status;
}

/* A file that could be a record: ours, closed to others. */
static ta_status check_file(const struct ta_rendezvous_files *files, int fd, const char *name, struct stat *file) {
    if (fstat(fd, file) != 0) return ta_fail_errno(TA_IO, "%s/%s", files->directory, name);
    if (S_ISREG(file->st_mode) && file->st_uid == geteuid() && (file->st_mode & 077) == 0) return TA_OK;
    return ta_fail(TA_FORMAT, "%s/%s is not a file that only we can write (mode %06o, user %u); remove it",
                   files->directory, name, (unsigned)file->st_mode, (unsigned)file->st_uid);
}

ta_status ta_rendezvous_files_find(const struct ta_rendezvous_files *files, const char *name,
                                   struct ta_rendezvous_file *out) {
    struct stat facts;
    /* O_NONBLOCK: a pipe by this name must not hang us. */
    int fd = openat(files->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return TA_AGAIN;
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return ta_fail(TA_FORMAT, "%s/%s is not a plain file; remove it and look who made it", files->directory, name);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot open %s/%s", files->directory, name);
    ta_status status = check_file(files, fd, name, &facts);
    if (status != TA_OK) close(fd);
    else *out = (struct ta_rendezvous_file){.fd = fd, .bytes = (uint64_t)facts.st_size};
    return status;
}

void ta_rendezvous_files_remove(const struct ta_rendezvous_files *files, const char *name) {
    unlinkat(files->fd, name, 0);
}

bool ta_rendezvous_files_stir(struct ta_rendezvous_files *files) {
    struct stat dir;
    if (fstat(files->fd, &dir) != 0) return true;
    int64_t changed_ns = (int64_t)dir.st_mtim.tv_sec * TA_NS_PER_S + dir.st_mtim.tv_nsec;
    int64_t age_ns = ta_clock_wall_ns() - changed_ns;
    /* Two changes within one tick of the file system's clock look like one. */
    bool stirs = changed_ns != files->changed_ns || (age_ns >= -coarse_ns && age_ns <= coarse_ns);
    files->changed_ns = changed_ns;
    return stirs;
}
