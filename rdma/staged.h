/* staged: what its two files share. The manual is ta_staged_open in transport.h.
 *
 *     put    sources in GPU memory are copied into a block of pinned memory, on the GPU's stream PUT; when the copy is
 *            done the inner make gets the same put with the block for a source. Puts to one peer stay in their order,
 *            those without GPU memory too; so no header is delivered before the body that was there when it was put.
 *     fetch  copies from the window of the inner make to its mirror on the GPU, on the stream APPLY. Words that are
 *            being written meanwhile come as they are: a torn body, as everywhere.
 */
#ifndef TA_STAGED_H
#define TA_STAGED_H

#include <stdbool.h>
#include <stdint.h>

#include "far.h"
#include "gpu.h"
#include "transport.h"

enum {
    TA_STAGED_PUTS = 4,                           /* of a peer that may wait for the GPU; then BUSY */
    TA_STAGED_MOST_TICKETS = TA_GPU_TICKETS - 32, /* of all peers */
};

enum ta_staged_use { TA_STAGED_FREE, TA_STAGED_COPYING, TA_STAGED_LENT, TA_STAGED_DROPPED };

/* Pinned memory that one put needs. COPYING: a put that waits has it. LENT: the inner make reads it, for the put to
 * `peer` that was its `turn`-th. DROPPED: nobody will, but the GPU still writes it. */
struct ta_staged_block {
    struct ta_staged_block *next;
    unsigned char *base;
    size_t bytes;
    enum ta_staged_use use;
    uint64_t ticket;
    unsigned peer, turn;
};

struct ta_staged_put {
    struct ta_put_segment segment[TA_PUT_MAX_SEGMENTS]; /* as the inner make gets them */
    unsigned n;
    struct ta_staged_block *block; /* NULL: it only waits for its turn */
};

struct ta_staged_path {
    struct ta_staged_put ring[TA_STAGED_PUTS];
    unsigned head, count;
    unsigned given; /* puts that the inner make took on this path */
    bool connected;
};

struct ta_transport {
    struct ta_transport_config config;
    const struct ta_transport_ops *inner_ops;
    struct ta_transport *inner;
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu;
    struct ta_staged_path *path; /* [n_ranks] */
    struct ta_staged_block *blocks;
    struct ta_far_sources sources;
    size_t largest;  /* of them, bytes */
    unsigned marked; /* tickets that are out */
    struct ta_window window; /* of the inner make, with the mirror for far memory */
    bool pinned;     /* the window is registered with the GPU */
};

/* Starts the put of a path that has room, or hands it on. Errors: as put; of the GPU. */
ta_status ta_staged_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                        unsigned n_segments);
/* Hands on what the GPU has copied. Errors: of the GPU; INVALID: the inner make found it wrong. */
ta_status ta_staged_push(struct ta_transport *t);
/* Forgets what waits for a peer, and, once the inner make has given up the path, what that was lent. */
void ta_staged_drop(struct ta_transport *t, unsigned peer);
void ta_staged_given_up(struct ta_transport *t, unsigned peer);
void ta_staged_blocks_free(struct ta_transport *t);

#endif
