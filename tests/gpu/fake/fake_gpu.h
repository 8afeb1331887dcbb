/* fake_gpu: the make-believe device as tests steer it.
 *
 *     TENSAIR_FAKE_GPU="order=random:7,devices=2,memory=1G"
 *
 *     order=lazy            work runs only when something waits for it (default), so that a wait that is missing shows
 *     order=eager           work runs as soon as what it follows has run
 *     order=random:SEED     streams advance in an order drawn by SEED, blocks and threads of kernels too
 *                           TENSAIR_FAKE_GPU_ORDER replaces a random order, and one that is not named
 *     devices=N memory=B    so many devices (1), of so many bytes each (1G; K, M, G are understood)
 *     driver=V              the driver's version as CUDA numbers it (13000); below what this was built with: too old
 *     no_driver             no driver is installed
 *     lose_after=N          the device is lost when it runs its N-th kernel or library call
 *     lose_device=K         ... but device K alone
 *     oom_after=N           allocations of device memory fail after N of them
 *     exclusive=NAME        the devices serve one process each, of those that say the same NAME
 *     no_ipc no_peer no_dmabuf no_rdma unordered    what the devices cannot do
 *     nccl=hang             a member of a collective that is gone does not show: what waits hangs until aborted
 *     no_graphs             nothing can be captured
 *     strict=0              the CPU may touch device memory without a fault, as it may here blocks above 1 MiB
 *
 * Device memory lies in memory files: that is what a dma-buf of it is here, of a whole allocation; its position (lseek)
 * is where the range begins that was asked for. Memory counts are of one process.
 */
#ifndef TA_FAKE_GPU_H
#define TA_FAKE_GPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As if the process began anew with these options (NULL: those of the environment). What is queued is dropped; device
 * memory, streams and events are gone. */
void ta_fake_gpu_reset(const char *options);

struct ta_fake_gpu_counts {
    uint64_t launches;  /* kernels and library calls that ran */
    uint64_t copies;    /* copies and fills that ran */
    uint64_t flushes;   /* calls of cudaDeviceFlushGPUDirectRDMAWrites */
    uint64_t waits;     /* calls that waited for the device */
    uint64_t allocations; /* calls that allocated device or pinned memory */
    size_t bytes;       /* of device memory now held */
    size_t blocks;      /* of device or pinned memory now held, attached or registered */
    size_t streams, events, graphs; /* now held */
    size_t queued;      /* pieces of work that wait to run */
};

struct ta_fake_gpu_counts ta_fake_gpu_count(void);

#ifdef __cplusplus
}
#endif
#endif
