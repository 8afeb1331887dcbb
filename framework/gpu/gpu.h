/* gpu: the GPUs of this machine, as kernels and transports need them: memory, copies, streams, handles to share.
 *
 * A table without a word of CUDA. What fills it (cuda/, by CUDA's runtime) is a plugin (plugin.h), loaded when a GPU is
 * asked for, so that the program starts, and says what is missing, on a machine without driver or libraries.
 *
 * One `ta_gpu` is one GPU as one replica uses it: chosen by number (never by CUDA_VISIBLE_DEVICES, which is the
 * user's), with four streams. Work queued on one stream happens in order; on two streams in any order, unless `follow`
 * says so.
 *
 *     COMPUTE  forward, backward, update (kernels)      PUT    what goes into the windows of peers (transports)
 *     APPLY    the sum of registers, what feeds it      COPY   batches on their way in (kernels)
 *
 * Addresses: `alloc`ed memory is of the GPU alone; the CPU must not touch it. Memory that was `host_alloc`ed or
 * `host_register`ed may be named by both sides under the same address; kernels and copies reach it over the bus.
 *
 * Threads: a ta_gpu belongs to one thread at a time. A process must not have opened one when it forks (cudaErrorNot-
 * Supported in the child): count, describe and open belong behind the fork.
 *
 * Errors, of every call: DEVICE, with what CUDA said, what it was about and the cure. A GPU that is lost (fell off the
 * bus, an uncorrectable error, an illegal access) stays lost: every later call says so, and `lost` does.
 */
#ifndef TA_GPU_H
#define TA_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum ta_gpu_stream { TA_GPU_COMPUTE, TA_GPU_APPLY, TA_GPU_PUT, TA_GPU_COPY, TA_GPU_STREAMS };

struct ta_gpu_info {
    char name[96];        /* "NVIDIA H200" */
    char pci[24];         /* "0000:3b:00.0", as /sys/bus/pci/devices writes it */
    int driver, runtime;  /* as CUDA numbers them: 13000 is 13.0 */
    int major, minor;     /* compute capability */
    uint32_t multiprocessors;
    size_t bytes, free;   /* of its memory; free: at this moment; 0 where this process has not opened it: unknown */
    bool ipc;             /* its memory can be shared with other processes */
    bool dmabuf;          /* its memory can be exported as a dma-buf */
    bool rdma;            /* an RDMA device may write its memory (GPUDirect RDMA), and kernels can be made to see it */
    bool ordered;         /* what an RDMA device wrote is seen by kernels that start afterwards; else: `flush` */
    bool exclusive;       /* compute mode: one process only */
};

/* What another process needs to reach a piece of `alloc`ed memory. Plain bytes, to be sent as they are. */
struct ta_gpu_handle {
    unsigned char bytes[64];   /* cudaIpcMemHandle_t: of the whole allocation */
    unsigned char process[16]; /* who allocated it, */
    uint64_t base, whole;      /* where in its memory, and how much */
    uint64_t offset, size;     /* of the piece in it */
    char pci[24];              /* of the GPU it lies on */
};

struct ta_gpu; /* an opened GPU */

struct ta_gpu_ops {
    const char *name; /* "cuda" */

    /* GPUs that CUDA shows this process. DEVICE: there is no driver, or it is too old for what this was built with
     * (both versions, and the cure). 0 with OK: the driver sees none. */
    ta_status (*count)(unsigned *n);
    ta_status (*describe)(unsigned number, struct ta_gpu_info *out);
    /* Whether kernels and copies of `from` may reach the memory of `to` directly (NVLink, PCIe peer to peer). */
    ta_status (*reaches)(unsigned from, unsigned to, bool *out);

    /* Errors, besides: CONFIG (no such number: how many there are). */
    ta_status (*open)(unsigned number, struct ta_gpu **out);
    void (*close)(struct ta_gpu *gpu); /* waits for what is queued; NULL is fine */
    unsigned (*number)(const struct ta_gpu *gpu);
    bool (*lost)(const struct ta_gpu *gpu);

    /* Zeroed, at 512 bytes; takes whole 2 MiB, so ask for much at once. NO_MEMORY: how much was asked for, for what,
     * how much is free, which settings to lower. */
    ta_status (*alloc)(struct ta_gpu *gpu, size_t bytes, const char *what, void **out);
    void (*free)(struct ta_gpu *gpu, void *block);                     /* waits for what is queued; NULL is fine */
    ta_status (*host_alloc)(struct ta_gpu *gpu, size_t bytes, const char *what, void **out); /* pinned, zeroed */
    void (*host_free)(struct ta_gpu *gpu, void *block);
    /* Whole pages of memory that we have already. */
    ta_status (*host_register)(struct ta_gpu *gpu, void *base, size_t bytes);
    void (*host_unregister)(struct ta_gpu *gpu, void *base);

    /* Queues a copy; any direction, also from and to attached memory. Source and target stay as they are (or live state
     * that may change word by word) until a later mark of that stream was reached. Copies with memory of the host that
     * is neither host_alloced nor host_registered may wait, and are for the start of a run. */
    ta_status (*copy)(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes);
    /* The same for n rows of `bytes` each: from + rows[i] * bytes to to + rows[i] * bytes. `rows` is memory of the host
     * and is read before the call returns. */
    ta_status (*copy_rows)(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes,
                           const uint32_t *rows, size_t n);

    /* A ticket for all that was queued on a stream so far. Tickets of one stream are reached in order; at most
     * TA_GPU_TICKETS may be out on a stream (INVALID): reached, or wait, gives back those up to it. */
    ta_status (*mark)(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t *ticket);
    ta_status (*reached)(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket); /* OK, or AGAIN: not yet */
    ta_status (*wait)(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket);
    /* What is queued on `stream` from now on begins after all that was queued on `after` so far. */
    ta_status (*follow)(struct ta_gpu *gpu, enum ta_gpu_stream stream, enum ta_gpu_stream after);
    ta_status (*drain)(struct ta_gpu *gpu); /* waits for all streams */

    /* Sharing with processes of this machine. The owner must live, and keep the memory, for as long as it is attached.
     * attach: DEVICE names both GPUs where one cannot reach the other. The same process may attach its own (tests). */
    ta_status (*share)(struct ta_gpu *gpu, const void *base, size_t bytes, struct ta_gpu_handle *out);
    ta_status (*attach)(struct ta_gpu *gpu, const struct ta_gpu_handle *handle, void **out);
    void (*detach)(struct ta_gpu *gpu, void *attached);

    /* A file descriptor of the dma-buf that holds [base, base + bytes) at *offset; the caller closes it. */
    ta_status (*dmabuf)(struct ta_gpu *gpu, const void *base, size_t bytes, int *fd, uint64_t *offset);
    /* What RDMA devices have written so far is seen by kernels that are launched from now on. */
    ta_status (*flush)(struct ta_gpu *gpu);

    /* For those who are built into the same plugin: the CUDA stream. Makes the GPU the one of the calling thread, as a
     * launch on that stream needs it: to be called before every launch where a thread may have several GPUs. */
    void *(*stream)(struct ta_gpu *gpu, enum ta_gpu_stream stream);
};

enum { TA_GPU_TICKETS = 256 };

#endif
