/* checkpoint_dir: paths, listing, removal, syncing and digests: what touches directories but knows no checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "checkpoint_internal.h"
#include "mem.h"

enum { CHUNK_BYTES = 1 << 18 };

ta_status ta_ckpt_path(char out[TA_CKPT_PATH], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(out, TA_CKPT_PATH, format, arguments);
    va_end(arguments);
    if (bytes >= 0 && bytes < TA_CKPT_PATH) return TA_OK;
    return ta_fail(TA_IO, "%.200s...: a path of %d bytes, at most %d are possible; use a shorter run directory", out,
                   bytes, TA_CKPT_PATH - 1);
}

static ta_status make_one(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return TA_OK;
    if (errno != EEXIST) return ta_fail_errno(TA_IO, "%s: cannot make this directory", path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return TA_OK;
    return ta_fail(TA_IO, "%s: cannot make this directory: something else has that name; remove it", path);
}

ta_status ta_ckpt_mkdirs(const char *path) {
    char part[TA_CKPT_PATH];
    ta_status status = ta_ckpt_path(part, "%s", path);
    for (char *slash = part; status == TA_OK && (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        status = make_one(part);
        *slash = '/';
    }
    return status == TA_OK ? make_one(part) : status;
}

bool ta_ckpt_is_there(const char *path) { return access(path, F_OK) == 0; }

void ta_ckpt_remove(const char *directory) {
    DIR *dir = opendir(directory);
    if (dir == NULL) return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    (void)rmdir(directory);
}

ta_status ta_ckpt_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot open it to sync it", path);
    /* EINVAL: this file system cannot sync a directory; then there is nothing to wait for. */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    ta_status status = synced ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot sync it to the disk", path);
    close(fd);
    return status;
}

static ta_status digest_fd(int fd, const char *path, XXH3_state_t *state, uint64_t *bytes) {
    char *chunk;
    ta_status status = TA_NEW(&chunk, CHUNK_BYTES, "a buffer to read a file");
    if (status != TA_OK) return status;
    XXH3_64bits_reset(state);
    *bytes = 0;
    ssize_t got;
    while ((got = read(fd, chunk, CHUNK_BYTES)) > 0 || (got < 0 && errno == EINTR)) {
        if (got < 0) continue;
        XXH3_64bits_update(state, chunk, (size_t)got);
        *bytes += (uint64_t)got;
    }
    if (got < 0) status = ta_fail_errno(TA_IO, "%s: cannot read it", path);
    ta_mem_free(chunk);
    return status;
}

ta_status ta_ckpt_digest(const char *path, uint64_t *bytes, uint64_t *xxh3) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot read it", path);
    XXH3_state_t *state = XXH3_createState();
    ta_status status = state != NULL ? digest_fd(fd, path, state, bytes)
                                     : ta_fail(TA_NO_MEMORY, "%s: out of memory for its checksum", path);
    if (status == TA_OK) *xxh3 = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    close(fd);
    return status;
}

bool ta_ckpt_is_number(const char *name) {
    size_t length = strlen(name);
    return length >= 1 && length <= 20 && strspn(name, "0123456789") == length;
}

bool ta_ckpt_is_tmp(const char *name) { return strncmp(name, ".tmp-", 5) == 0; }

void ta_ckpt_names_free(char **names, size_t count) {
    for (size_t i = 0; names != NULL && i < count; i++) ta_mem_free(names[i]);
    ta_mem_free(names);
}

static ta_status add_name(char ***names, size_t *count, size_t *room, const char *name) {
    if (*count == *room) {
        char **more;
        ta_status status = TA_NEW(&more, *room * 2 + 16, "the list of a directory");
        if (status != TA_OK) return status;
        if (*count > 0) memcpy(more, *names, *count * sizeof *more);
        ta_mem_free(*names);
        *names = more;
        *room = *room * 2 + 16;
    }
    ta_status status = ta_mem_strdup(name, "the list of a directory", &(*names)[*count]);
    if (status == TA_OK) ++*count;
    return status;
}

ta_status ta_ckpt_names(const char *directory, bool (*wanted)(const char *name), char ***names, size_t *count) {
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(directory);
    if (dir == NULL && errno == ENOENT) return TA_OK;
    if (dir == NULL) return ta_fail_errno(TA_IO, "%s: cannot list this directory", directory);
    ta_status status = TA_OK;
    size_t room = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && status == TA_OK; entry = readdir(dir))
        if (wanted(entry->d_name)) status = add_name(names, count, &room, entry->d_name);
    closedir(dir);
    if (status == TA_OK) return TA_OK;
    ta_ckpt_names_free(*names, *count);
    *names = NULL;
    *count = 0;
    return status;
}
