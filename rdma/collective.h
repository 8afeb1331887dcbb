/* collective: sums over all replicas, and broadcasts, of memory on GPUs: what synchronous training needs. NCCL fills
 * the table (nccl/, plugin tensair-nccl.so: plugin.h); without it there are no collectives on GPUs.
 *
 *     id       once, by one replica; it travels to the others (128 bytes), who open with it
 *     open     begins to come together; state says when all are there
 *     all_reduce, broadcast    queue on the GPU's stream PUT, behind COMPUTE and APPLY; state says when they are done
 *     abort    gives up what is under way: of who is gone, or does not answer
 *     close    in order, when all is done
 *
 * All members call all_reduce and broadcast in the same order with the same sizes; one at a time: the next one when
 * state has said OK. After a loss all that are left abort, and open anew with a new id and their new places: nothing of
 * the old one arrives in the new one.
 *
 * Every member takes a GPU of its own: NCCL refuses two members on one GPU ("Using the same CUDA device multiple times
 * as different ranks of the same NCCL communicator is not supported": NCCL's user guide). The order of summation is
 * NCCL's choice, and may differ from one reduction to the next (NVLS). Of one reduction all members get the same bits:
 * an element is summed once, and then copied. So say NCCL's makers (github.com/NVIDIA/nccl, issues 434, 855, 1497); the
 * manual does not promise it, so those for whom it matters compare.
 *
 * Threads: an opened collective belongs to one thread at a time. No call waits for a peer: NCCL is used without
 * blocking (ncclConfig_t.blocking 0); abort and close may take some milliseconds. While something is under way, what
 * waits for the stream PUT (drain, free) waits for the peers too: abort first. Source: NCCL 2.28 user guide,
 * "Communicator creation with options", "Error handling and communicator abort".
 */
#ifndef TA_COLLECTIVE_H
#define TA_COLLECTIVE_H

#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "status.h"

struct ta_collective_id {
    unsigned char bytes[128]; /* ncclUniqueId; whoever holds it may join: as secret as a window's key */
};

struct ta_collective_config {
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu; /* outlives the collective */
    unsigned rank, n;   /* place among the members, and how many they are */
    struct ta_collective_id id;
};

/* Part of a reduction: out = scale * in of member 0 + ... + scale * in of member n - 1. The same `floats` and `scale`
 * everywhere; in may be out. On the GPU. */
struct ta_collective_piece {
    const float *in;
    float *out;
    size_t floats;
    float scale;
};

struct ta_collective;

struct ta_collective_ops {
    const char *name;    /* "nccl" */
    int (*version)(void); /* 22809 is 2.28.9 */
    /* Errors: DEVICE. */
    ta_status (*id)(struct ta_collective_id *out);
    /* Errors: DEVICE, NO_MEMORY, INVALID (rank not below n). */
    ta_status (*open)(const struct ta_collective_config *config, struct ta_collective **out);
    /* OK: all are there, and what was asked for is complete. AGAIN: ask again. PEER: a member is gone or does not
     * answer; which one only those above know, who hear the members' heartbeats. DEVICE: our GPU, or a wrong set-up
     * (two members on one GPU), with what NCCL says. After PEER and DEVICE only abort is left. */
    ta_status (*state)(struct ta_collective *c);
    /* Queue on stream PUT. What they read must not change, and what they write not be used, until state says OK.
     * Errors: INVALID (something is under way still); as state. */
    ta_status (*all_reduce)(struct ta_collective *c, const struct ta_collective_piece *pieces, size_t n);
    ta_status (*broadcast)(struct ta_collective *c, float *data, size_t floats, unsigned from);
    /* Gives everything up and frees `c`. Kernels that are under way end soon; what they were to write is undefined. */
    void (*abort)(struct ta_collective *c);
    /* When all members are known to have seen the end of the last one; else it is abort, for them too. NULL is fine. */
    void (*close)(struct ta_collective *c);
};

/* ta_plugin_table("nccl", "ta_collective_nccl"). Errors: of plugin.h. */
ta_status ta_collective_find(const struct ta_collective_ops **out);

extern const struct ta_collective_ops ta_collective_nccl; /* in the plugin */

#endif
