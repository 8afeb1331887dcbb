/* run_dir: mkdir, flock, and clearing away. */
#include "run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = TA_RUN_DIR_BYTES + 64, MOST_TRIES = 1000 };

static ta_status make_folder(const char *path) {
    if (mkdir(path, 0755) == 0 || errno == EEXIST) return TA_OK;
    return ta_fail_errno(TA_IO, "%s: cannot create the folder", path);
}

static ta_status make_parents(const char *path) {
    char part[PATH_BYTES];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        ta_status status = make_folder(part);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

/* runs/NAME-20261121T091843Z, with -2, -3 ... behind it when two runs begin in one second. */
static ta_status make_default(const char *config_path, char *path, size_t bytes) {
    const char *slash = strrchr(config_path, '/'), *name = slash != NULL ? slash + 1 : config_path;
    const char *dot = strrchr(name, '.');
    char day[20];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(day, sizeof day, "%Y%m%dT%H%M%SZ", &parts);
    ta_status status = make_folder("runs");
    for (int i = 1; status == TA_OK && i <= MOST_TRIES; i++) {
        int length = snprintf(path, bytes, "runs/%.*s-%s", dot == NULL || dot == name ? 200 : (int)(dot - name), name,
                              day);
        if (i > 1 && length > 0 && (size_t)length < bytes)
            length += snprintf(path + length, bytes - (size_t)length, "-%d", i);
        if (length < 0 || (size_t)length >= bytes) return ta_fail(TA_IO, "the name of %s is too long", config_path);
        if (mkdir(path, 0755) == 0) return TA_OK;
        if (errno != EEXIST) return ta_fail_errno(TA_IO, "%s: cannot create the run directory", path);
    }
    return status != TA_OK ? status : ta_fail(TA_IO, "%s: too many runs of this second: give --run-dir", path);
}

static ta_status say_who(const char *path, int fd) {
    char who[256];
    ssize_t length = pread(fd, who, sizeof who - 1, 0);
    if (length <= 0) snprintf(who, sizeof who, "another run");
    else who[length] = '\0';
    who[strcspn(who, "\n")] = '\0';
    return ta_fail(TA_IN_USE, "%s is in use by %s: wait for its end, or give another --run-dir", path, who);
}

/* A lock file may be removed between our open and our flock: then it is not the one others will see; try again. */
static ta_status take_lock(struct ta_run_dir *dir) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/lock", dir->path);
    for (int i = 0; i < MOST_TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot open", path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            ta_status status = errno == EWOULDBLOCK ? say_who(dir->path, fd)
                                                    : ta_fail_errno(TA_IO, "%s: cannot lock", path);
            close(fd);
            return status;
        }
        struct stat ours, theirs;
        if (fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino) {
            char host[128] = "localhost", who[256];
            gethostname(host, sizeof host - 1);
            int length = snprintf(who, sizeof who, "process %d on %s\n", (int)getpid(), host);
            if (ftruncate(fd, 0) != 0 || pwrite(fd, who, (size_t)length, 0) != length) who[0] = '\0'; /* only for people */
            dir->lock = fd;
            return TA_OK;
        }
        close(fd);
    }
    return ta_fail(TA_IN_USE, "%s: cannot get the lock: others keep taking it", path);
}

/* What a killed run left there belongs to nobody: we hold the lock. */
static void clear_rendezvous(const struct ta_run_dir *dir) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/rendezvous", dir->path);
    DIR *folder = opendir(path);
    if (folder == NULL) return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    (void)rmdir(path);
}

/* `path` as a folder that is there, with an absolute name. */
static ta_status find_folder(struct ta_run_dir *dir, const char *path, const char *config_path) {
    char wanted[TA_RUN_DIR_BYTES], real[PATH_MAX];
    ta_status status = TA_OK;
    if (path == NULL) {
        status = make_default(config_path, wanted, sizeof wanted);
    } else {
        if (path[0] == '\0') return ta_fail(TA_CONFIG, "the run directory has an empty name");
        if ((size_t)snprintf(wanted, sizeof wanted, "%s", path) >= sizeof wanted)
            return ta_fail(TA_IO, "%s: the path is too long", path);
        status = make_parents(wanted);
        if (status == TA_OK) status = make_folder(wanted);
    }
    if (status != TA_OK) return status;
    if (realpath(wanted, real) == NULL) return ta_fail_errno(TA_IO, "%s: cannot find", wanted);
    if ((size_t)snprintf(dir->path, sizeof dir->path, "%s", real) >= sizeof dir->path)
        return ta_fail(TA_IO, "%s: the path is too long", real);
    return TA_OK;
}

static ta_status make_logs(const struct ta_run_dir *dir) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/log", dir->path);
    return make_folder(path);
}

ta_status ta_run_dir_find(struct ta_run_dir *dir, const char *path, const char *config_path) {
    *dir = (struct ta_run_dir){.lock = -1};
    ta_status status = find_folder(dir, path, config_path);
    return status == TA_OK ? make_logs(dir) : status;
}

ta_status ta_run_dir_join(struct ta_run_dir *dir, const char *path) { return ta_run_dir_find(dir, path, NULL); }

ta_status ta_run_dir_take(struct ta_run_dir *dir) { return take_lock(dir); }

ta_status ta_run_dir_claim(struct ta_run_dir *dir, bool from_holder) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/lock", dir->path);
    if (from_holder && unlink(path) != 0 && errno != ENOENT)
        return ta_fail_errno(TA_IO, "%s: cannot remove the lock of a former life", path);
    ta_status status = take_lock(dir);
    if (status == TA_OK) clear_rendezvous(dir);
    return status;
}

ta_status ta_run_dir_open(struct ta_run_dir *dir, const char *path, const char *config_path) {
    ta_status status = ta_run_dir_find(dir, path, config_path);
    return status == TA_OK ? ta_run_dir_claim(dir, false) : status;
}

/* Somebody who had the right to may have put another lock in the place of ours. */
static bool is_ours(const struct ta_run_dir *dir) {
    char path[PATH_BYTES];
    struct stat ours, theirs;
    snprintf(path, sizeof path, "%s/lock", dir->path);
    return dir->lock >= 0 && fstat(dir->lock, &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

void ta_run_dir_touch(const struct ta_run_dir *dir) {
    if (dir->lock >= 0) (void)futimens(dir->lock, NULL);
}

uint64_t ta_run_dir_pulse(const struct ta_run_dir *dir) {
    char path[PATH_BYTES];
    struct stat file;
    snprintf(path, sizeof path, "%s/lock", dir->path);
    /* Opened, as a file system of the network then asks its server. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool known = fd >= 0 && fstat(fd, &file) == 0;
    if (fd >= 0) close(fd);
    if (!known) return 0;
    return (uint64_t)file.st_mtim.tv_sec * 1000000000ULL + (uint64_t)file.st_mtim.tv_nsec + (uint64_t)file.st_ino * 31 +
           1;
}

void ta_run_dir_close(struct ta_run_dir *dir) {
    if (dir->lock < 0) return;
    char path[PATH_BYTES];
    if (is_ours(dir)) {
        clear_rendezvous(dir);
        snprintf(path, sizeof path, "%s/lock", dir->path);
        (void)unlink(path);
    }
    close(dir->lock);
    dir->lock = -1;
}

ta_status ta_run_dir_write(const struct ta_run_dir *dir, const char *name, const char *text) {
    char path[PATH_BYTES], fresh[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    snprintf(fresh, sizeof fresh, "%s/.%s.new", dir->path, name);
    FILE *file = fopen(fresh, "we");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot write", fresh);
    size_t length = strlen(text);
    bool ends = length > 0 && text[length - 1] == '\n';
    bool good = fputs(text, file) >= 0 && (ends || fputc('\n', file) != EOF) && fflush(file) == 0 &&
                fsync(fileno(file)) == 0;
    if (fclose(file) != 0 || !good || rename(fresh, path) != 0) {
        ta_status status = ta_fail_errno(TA_IO, "%s: cannot write", path);
        (void)unlink(fresh);
        return status;
    }
    return TA_OK;
}
