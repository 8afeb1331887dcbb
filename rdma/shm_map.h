/* shm_map: a piece of shared memory without a name: made by one process, mapped by another of the same user.
 *
 * For shm.c only. The memory is a memfd, sealed so that nobody can shrink it under a reader; the other process opens
 * /proc/PID/fd/FD, so nothing stays behind in any file system whatever dies when. One page behind the window holds what
 * the owner tells about itself. Both processes need the same user and the same /proc (one container or none).
 */
#ifndef TA_SHM_MAP_H
#define TA_SHM_MAP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "grants.h"
#include "status.h"

/* Where a piece of shared memory is, as plain bytes in a key. Device, inode and start time make sure that it still is
 * the same descriptor of the same process, not a later one by the same number. */
struct ta_shm_place {
    uint64_t window_bytes, map_bytes; /* asked for; whole pages with the owner's page */
    uint64_t device, inode;
    uint64_t start_time; /* of the process, in ticks since boot: field 22 of /proc/PID/stat */
    int32_t pid, fd;
};

/* What a key carries: where the window is, and what of it the receiver of the key may write; its pieces in GPU memory,
 * and how to reach that. */
struct ta_shm_key {
    struct ta_shm_place place;
    struct ta_grants grants;
    struct ta_window_far far;
    struct ta_gpu_handle handle; /* far.n 0: zeroed */
};

/* The owner's page: what it tells all senders, at any time. */
struct ta_shm_owner {
    _Atomic uint32_t closed; /* 1: the owner gave the window up in order; what is put from now on is seen by nobody */
    _Atomic uint32_t attached; /* far pieces: senders that have attached them, and not detached */
    struct ta_openings openings;
};

_Static_assert(sizeof(struct ta_shm_owner) <= 4096, "it fits the smallest page there is");

struct ta_shm_map {
    unsigned char *base; /* NULL: not mapped */
    size_t window_bytes, map_bytes;
    int fd; /* the owner's descriptor; -1 in a peer's map */
    struct ta_shm_owner *owner;
};

/* Makes and maps zeroed memory, all pages present, in huge pages where the system allows. Where far pieces lie (NULL:
 * nowhere) no pages are. Errors: NO_MEMORY. */
ta_status ta_shm_map_create(struct ta_shm_map *map, size_t bytes, const struct ta_window_far *far);
/* Where `map`, made by this process, is. Errors: IO. */
ta_status ta_shm_map_place(const struct ta_shm_map *map, struct ta_shm_place *out);
/* Maps what `place` says, writable. `peer`: for messages. Errors: PEER (the process is gone, or it is not what it was),
 * NO_MEMORY, IO. */
ta_status ta_shm_map_open(struct ta_shm_map *map, unsigned peer, const struct ta_shm_place *place,
                          const struct ta_window_far *far);
/* Unmaps and closes; the owner's also sets `closed`. An empty map (base NULL) is fine. */
void ta_shm_map_close(struct ta_shm_map *map);

/* Start time of a process. Errors: PEER (there is no such process), IO. */
ta_status ta_shm_start_time(int pid, uint64_t *out);

#endif
