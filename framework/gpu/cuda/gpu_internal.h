/* gpu_internal: an opened GPU, as the files of this folder share it. */
#ifndef TA_GPU_INTERNAL_H
#define TA_GPU_INTERNAL_H

#include "gpu_cuda.h"

enum {
    TA_GPU_ROWS = 1u << 14, /* row numbers that one launch of copy_rows takes */
    TA_GPU_ROW_SLOTS = 8,   /* launches of it that may be under way; the next one waits for the first of them */
};

/* Events of one stream in a ring: ticket t is in events[(t - 1) % TA_GPU_TICKETS]. */
struct ta_gpu_ring {
    cudaEvent_t events[TA_GPU_TICKETS];
    uint64_t given, reached;
};

/* A piece of GPU memory: allocated here (`whole` bytes of it are ours), or attached (`base` is what CUDA opened). */
struct ta_gpu_block {
    void *at, *base;
    size_t bytes, whole;
};

struct ta_gpu_blocks {
    struct ta_gpu_block *all;
    size_t n, room;
};

struct ta_gpu_row_slot {
    uint32_t *pinned, *device; /* [TA_GPU_ROWS] */
    cudaEvent_t done;
    bool used;
};

struct ta_gpu {
    unsigned number;
    char pci[24];
    bool is_lost;
    char why[256]; /* what was said when it was lost */
    bool flushes;  /* what RDMA devices write must be flushed */
    bool same_address; /* host memory that is registered keeps its address */
    cudaStream_t streams[TA_GPU_STREAMS];
    cudaEvent_t follows[TA_GPU_STREAMS];
    struct ta_gpu_ring rings[TA_GPU_STREAMS];
    struct ta_gpu_blocks allocated, attached;
    struct ta_gpu_row_slot row_slots[TA_GPU_ROW_SLOTS];
    unsigned next_row_slot;
};

/* Makes the GPU the one that this thread's calls of CUDA are about. DEVICE: it is lost. */
ta_status ta_gpu_use(struct ta_gpu *gpu);
/* CUDA's calls go on as if nothing had been: errors that do not stay are forgotten by it. */
cudaError_t ta_gpu_forget(cudaError_t error);

/* count, with what is missing said as an error: DEVICE for none at all. */
ta_status ta_gpu_present(unsigned *n);
ta_status ta_gpu_describe(unsigned number, struct ta_gpu_info *out);
ta_status ta_gpu_count(unsigned *n);

/* A function of CUDA's driver, with which nothing here is linked, into the pointer at `function`. false: there is no
 * such function in the driver, or no driver. */
bool ta_gpu_driver_function(const char *name, unsigned since, void *function);

/* NO_MEMORY. */
ta_status ta_gpu_blocks_add(struct ta_gpu_blocks *blocks, struct ta_gpu_block block);
/* The one that [at, at + bytes) lies in, else NULL. */
struct ta_gpu_block *ta_gpu_blocks_find(struct ta_gpu_blocks *blocks, const void *at, size_t bytes);
void ta_gpu_blocks_remove(struct ta_gpu_blocks *blocks, struct ta_gpu_block *block);

/* Members of the table, by file. */
ta_status ta_gpu_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out);
void ta_gpu_free(struct ta_gpu *gpu, void *block);
ta_status ta_gpu_host_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out);
void ta_gpu_host_free(struct ta_gpu *gpu, void *block);
ta_status ta_gpu_host_register(struct ta_gpu *gpu, void *base, size_t bytes);
void ta_gpu_host_unregister(struct ta_gpu *gpu, void *base);

ta_status ta_gpu_copy(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes);
ta_status ta_gpu_copy_rows(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes,
                           const uint32_t *rows, size_t n);
void ta_gpu_rows_close(struct ta_gpu *gpu);

ta_status ta_gpu_streams_open(struct ta_gpu *gpu);
void ta_gpu_streams_close(struct ta_gpu *gpu);
ta_status ta_gpu_mark(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t *ticket);
ta_status ta_gpu_reached(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket);
ta_status ta_gpu_wait(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket);
ta_status ta_gpu_follow(struct ta_gpu *gpu, enum ta_gpu_stream stream, enum ta_gpu_stream after);
ta_status ta_gpu_drain(struct ta_gpu *gpu);

ta_status ta_gpu_share(struct ta_gpu *gpu, const void *base, size_t bytes, struct ta_gpu_handle *out);
ta_status ta_gpu_attach(struct ta_gpu *gpu, const struct ta_gpu_handle *handle, void **out);
void ta_gpu_detach(struct ta_gpu *gpu, void *attached);
ta_status ta_gpu_dmabuf(struct ta_gpu *gpu, const void *base, size_t bytes, int *fd, uint64_t *offset);
ta_status ta_gpu_flush(struct ta_gpu *gpu);

#endif
