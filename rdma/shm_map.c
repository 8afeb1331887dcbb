/* shm_map: memfd, /proc/PID/fd and mmap. */
#include "shm_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "far.h"

enum { NAME_BYTES = 64, STAT_BYTES = 1024, FIELDS_TO_START_TIME = 20 };

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* What the kernel could give without killing anybody; all there is when it does not say. */
static uint64_t available_bytes(void) {
    struct sysinfo machine;
    unsigned long long kib;
    char line[STAT_BYTES];
    if (sysinfo(&machine) != 0) return UINT64_MAX;
    uint64_t bytes = (uint64_t)machine.totalram * machine.mem_unit;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) bytes = kib * 1024;
    if (file != NULL) fclose(file);
    return bytes + (uint64_t)machine.freeswap * machine.mem_unit;
}

static ta_status map_bytes_of(size_t window_bytes, const struct ta_window_far *far, size_t *out) {
    size_t page = page_bytes();
    if (window_bytes > SIZE_MAX - 2 * page)
        return ta_fail(TA_NO_MEMORY, "a window of %zu bytes is more than a process can hold", window_bytes);
    *out = (window_bytes + page - 1) / page * page + page;
    /* Asking the kernel for more than it has would wake its out-of-memory killer instead of failing. */
    uint64_t available = available_bytes();
    size_t near = *out - (far != NULL ? far->n * far->bytes : 0);
    if (near > available)
        return ta_fail(TA_NO_MEMORY,
                       "a window of %zu bytes does not fit in the %llu bytes of memory that this machine has left; "
                       "fewer replicas or a smaller model would",
                       window_bytes, (unsigned long long)available);
    return TA_OK;
}

/* Maps `map->map_bytes` of `fd` with all pages present, so that no put and no read ever faults. */
static ta_status map_in(struct ta_shm_map *map, int fd, const struct ta_window_far *far) {
    void *base = mmap(NULL, map->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return ta_fail_errno(TA_NO_MEMORY, "mapping a window of %zu bytes", map->window_bytes);
    /* Advice: without it puts are a little slower, nothing else. What lies between far pieces is too little for it. */
    if (far == NULL || far->n == 0) madvise(base, map->map_bytes, MADV_HUGEPAGE);
    if (ta_far_populate(base, map->map_bytes, far) != 0 && errno != EINVAL) {
        ta_status status = ta_fail_errno(TA_NO_MEMORY, "no memory for a window of %zu bytes", map->window_bytes);
        munmap(base, map->map_bytes);
        return status;
    }
    map->base = base;
    map->owner = (struct ta_shm_owner *)(void *)(map->base + map->map_bytes - page_bytes());
    return TA_OK;
}

ta_status ta_shm_map_create(struct ta_shm_map *map, size_t bytes, const struct ta_window_far *far) {
    *map = (struct ta_shm_map){.window_bytes = bytes, .fd = -1};
    ta_status status = map_bytes_of(bytes, far, &map->map_bytes);
    if (status != TA_OK) return status;
    int fd = memfd_create("tensair-window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return ta_fail_errno(TA_NO_MEMORY, "memfd_create for a window of %zu bytes", bytes);
    if (ftruncate(fd, (off_t)map->map_bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        status = ta_fail_errno(TA_NO_MEMORY, "sizing a window of %zu bytes", bytes);
    else
        status = map_in(map, fd, far);
    if (status != TA_OK)
        close(fd);
    else
        map->fd = fd;
    return status;
}

ta_status ta_shm_map_place(const struct ta_shm_map *map, struct ta_shm_place *out) {
    struct stat file;
    *out = (struct ta_shm_place){.window_bytes = map->window_bytes, .map_bytes = map->map_bytes, .fd = map->fd};
    if (fstat(map->fd, &file) != 0) return ta_fail_errno(TA_IO, "fstat of our window");
    out->device = file.st_dev;
    out->inode = file.st_ino;
    out->pid = (int32_t)getpid();
    return ta_shm_start_time(out->pid, &out->start_time);
}

static ta_status changed(unsigned peer, const struct ta_shm_place *place, const char *what) {
    return ta_fail(TA_PEER, "peer %u (process %d) %s; it died or was started again", peer, place->pid, what);
}

static ta_status cannot_open(unsigned peer, const struct ta_shm_place *place, const char *path) {
    if (errno == ENOENT || errno == ESRCH) return changed(peer, place, "no longer has its window open");
    if (errno == EACCES || errno == EPERM)
        return ta_fail_errno(TA_PEER, "peer %u (process %d): %s; all replicas must run as one user, see one /proc",
                             peer, place->pid, path);
    return ta_fail_errno(errno == ENOMEM ? TA_NO_MEMORY : TA_IO, "peer %u: %s", peer, path);
}

static int same_file(const struct stat *file, const struct ta_shm_place *place) {
    return S_ISREG(file->st_mode) && file->st_dev == place->device && file->st_ino == place->inode &&
           (uint64_t)file->st_size == place->map_bytes;
}

/* The process that made the key, and no other that got its number later. */
static ta_status same_process(unsigned peer, const struct ta_shm_place *place) {
    uint64_t start_time;
    ta_status status = ta_shm_start_time(place->pid, &start_time);
    if (status == TA_OK && start_time != place->start_time) return changed(peer, place, "is another process by now");
    return status;
}

static ta_status check_sizes(unsigned peer, const struct ta_shm_place *place) {
    size_t page = page_bytes();
    if (place->window_bytes > SIZE_MAX - 2 * page || place->pid <= 0 || place->fd < 0 ||
        place->map_bytes != (place->window_bytes + page - 1) / page * page + page)
        return ta_fail(TA_PEER, "the window key from peer %u makes no sense: %llu bytes in a map of %llu", peer,
                       (unsigned long long)place->window_bytes, (unsigned long long)place->map_bytes);
    return TA_OK;
}

ta_status ta_shm_map_open(struct ta_shm_map *map, unsigned peer, const struct ta_shm_place *place,
                          const struct ta_window_far *far) {
    *map = (struct ta_shm_map){.window_bytes = place->window_bytes, .map_bytes = place->map_bytes, .fd = -1};
    ta_status status = check_sizes(peer, place);
    if (status == TA_OK) status = same_process(peer, place);
    if (status != TA_OK) return status;
    char path[NAME_BYTES];
    struct stat file;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", place->pid, place->fd);
    /* stat first: opening what that number stands for now could have effects (a terminal, a pipe). */
    if (stat(path, &file) != 0) return cannot_open(peer, place, path);
    if (!same_file(&file, place)) return changed(peer, place, "no longer has its window open");
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cannot_open(peer, place, path);
    if (fstat(fd, &file) != 0)
        status = ta_fail_errno(TA_IO, "peer %u: fstat of its window", peer);
    else if (!same_file(&file, place) || (fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) == 0)
        status = changed(peer, place, "offers something that is no window");
    else
        status = map_in(map, fd, far);
    close(fd);
    return status;
}

void ta_shm_map_close(struct ta_shm_map *map) {
    if (map->base == NULL) return;
    if (map->fd >= 0) {
        atomic_store_explicit(&map->owner->closed, 1, memory_order_release);
        close(map->fd);
    }
    munmap(map->base, map->map_bytes);
    *map = (struct ta_shm_map){.fd = -1};
}

ta_status ta_shm_start_time(int pid, uint64_t *out) {
    char path[NAME_BYTES], text[STAT_BYTES];
    *out = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ESRCH)) return ta_fail(TA_PEER, "process %d is gone", pid);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s", path);
    ssize_t got = read(fd, text, sizeof text - 1);
    ta_status status = got > 0 ? TA_OK : ta_fail(TA_PEER, "process %d is gone", pid);
    close(fd);
    if (status != TA_OK) return status;
    text[got] = '\0';
    /* The second field is the program's name in parentheses and may hold anything, so count from the last one. */
    const char *field = strrchr(text, ')');
    for (int i = 0; field != NULL && i < FIELDS_TO_START_TIME; i++) field = strchr(field + 1, ' ');
    if (field == NULL) return ta_fail(TA_IO, "%s: not the fields of proc(5)", path);
    *out = strtoull(field, NULL, 10);
    return TA_OK;
}
