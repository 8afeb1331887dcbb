/* shm_far: windows of shm whose far pieces lie in GPU memory, shared between processes by handle (CUDA IPC).
 *
 * For shm.c only. A put whose segments are all the CPU's is shm's own, at once. One that reads or writes GPU memory
 * waits in a queue of its path: copies that follow each other are queued on the GPU's stream PUT, and what comes
 * behind them waits until they are done, which `push` looks at. So segments are delivered in order, and nobody waits.
 *
 * Memory that peers have attached is freed by its owner only when all of them have detached it, or else left to the end
 * of the process: what a peer still copies there must find memory. For the same reason a path that is given up keeps
 * what it had attached until its last copy is done.
 */
#ifndef TA_SHM_FAR_H
#define TA_SHM_FAR_H

#include <stdbool.h>
#include <stdint.h>

#include "far.h"
#include "gpu.h"
#include "shm_map.h"
#include "transport.h"

enum { TA_SHM_FAR_PUTS = 16 }; /* of a path that may wait; then BUSY */

struct ta_shm_far_put {
    struct ta_put_segment segment[TA_PUT_MAX_SEGMENTS];
    unsigned n, at; /* segments; the next one to start */
    bool copying;   /* what was started last is with the GPU, */
    bool marked;    /* which will be done when `ticket` is reached */
    uint64_t ticket;
};

struct ta_shm_far_path {
    void *base; /* the peer's far memory; NULL: it has none */
    struct ta_window_far far;
    struct ta_shm_far_put *ring; /* [TA_SHM_FAR_PUTS]; NULL: we have no GPU */
    unsigned head, count;
};

struct ta_shm_far {
    const struct ta_gpu_ops *ops;
    struct ta_gpu *gpu;       /* NULL: nothing else is looked at */
    void *base;               /* ours */
    struct ta_window_far far; /* n 0: our window is the CPU's */
    struct ta_gpu_handle handle;
    struct ta_far_sources sources;
    struct ta_shm_far_left *left; /* of paths that were given up */
};

/* How far windows would work, or DEVICE. */
ta_status ta_shm_far_probe(const struct ta_transport_config *config, char *said, size_t bytes);
ta_status ta_shm_far_create(struct ta_shm_far *f, const struct ta_window_far *far);
/* `owner`: our page, which counts who is attached. */
void ta_shm_far_close(struct ta_shm_far *f, struct ta_shm_owner *owner);

/* A path to a peer: attached, or DEVICE; CONFIG, PEER (ta_far_key_check). */
ta_status ta_shm_far_connect(struct ta_shm_far *f, unsigned peer, const struct ta_shm_key *key,
                             struct ta_shm_far_path *out);
/* Drops what waits, and closes the map, now or when the last copy is done. */
void ta_shm_far_disconnect(struct ta_shm_far *f, struct ta_shm_far_path *path, struct ta_shm_map *map);

/* The put needs the queue: it has GPU memory in it, or one that does is before it. */
bool ta_shm_far_needs(const struct ta_shm_far *f, const struct ta_shm_far_path *path,
                      const struct ta_put_segment *segments, unsigned n_segments);
/* BUSY: it is full. */
ta_status ta_shm_far_put(struct ta_shm_far *f, struct ta_shm_far_path *path, const struct ta_shm_map *map,
                         const struct ta_put_segment *segments, unsigned n_segments);
/* Starts what can be started. Errors: of the GPU. */
ta_status ta_shm_far_push(struct ta_shm_far *f, struct ta_shm_far_path *path, const struct ta_shm_map *map);
/* Detaches what is no longer in use. */
void ta_shm_far_tidy(struct ta_shm_far *f);

#endif
