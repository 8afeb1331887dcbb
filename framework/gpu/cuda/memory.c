/* memory: of the GPU, and of the host as the GPU reaches it; what is allocated is written down, since sharing needs to
 * know what a piece is a piece of. */
#include <string.h>

#include "gpu_internal.h"
#include "mem.h"

/* CUDA hands out small allocations as pieces of one block of 2 MiB, and shares that whole block with who attaches one
 * of them. In multiples of 2 MiB an allocation stands alone, and begins and ends with a page, as dma-bufs must. */
static const size_t unit = (size_t)2 << 20;

ta_status ta_gpu_blocks_add(struct ta_gpu_blocks *blocks, struct ta_gpu_block block) {
    if (blocks->n == blocks->room) {
        size_t room = blocks->room == 0 ? 16 : 2 * blocks->room;
        void *all = blocks->all;
        ta_status status = ta_mem_resize(&all, room * sizeof *blocks->all, "the list of GPU memory");
        if (status != TA_OK) return status;
        blocks->all = all;
        blocks->room = room;
    }
    blocks->all[blocks->n++] = block;
    return TA_OK;
}

struct ta_gpu_block *ta_gpu_blocks_find(struct ta_gpu_blocks *blocks, const void *at, size_t bytes) {
    uintptr_t from = (uintptr_t)at;
    for (size_t i = 0; i < blocks->n; i++) {
        uintptr_t start = (uintptr_t)blocks->all[i].at;
        size_t whole = blocks->all[i].whole;
        if (from >= start && from - start <= whole && bytes <= whole - (from - start)) return &blocks->all[i];
    }
    return NULL;
}

void ta_gpu_blocks_remove(struct ta_gpu_blocks *blocks, struct ta_gpu_block *block) {
    *block = blocks->all[--blocks->n];
}

static ta_status no_room(struct ta_gpu *gpu, size_t bytes, const char *what) {
    size_t left = 0, total = 0;
    (void)ta_gpu_forget(cudaMemGetInfo(&left, &total));
    return ta_fail(TA_NO_MEMORY,
                   "GPU %u has no room for %s: %zu bytes asked for, %zu free of %zu (other processes on this GPU "
                   "use it too); lower stream.batch or --replicas-per-gpu, or take a smaller model",
                   gpu->number, what, bytes, left, total);
}

ta_status ta_gpu_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out) {
    *out = NULL;
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    if (bytes > SIZE_MAX - unit) return no_room(gpu, bytes, what);
    struct ta_gpu_block block = {.bytes = bytes, .whole = bytes == 0 ? unit : (bytes + unit - 1) / unit * unit};
    cudaError_t error = cudaMalloc(&block.at, block.whole);
    if (error == cudaErrorMemoryAllocation) {
        (void)ta_gpu_forget(error);
        return no_room(gpu, bytes, what);
    }
    if (error != cudaSuccess) return ta_gpu_said(gpu, error, what);
    block.base = block.at;
    /* On a stream of its own order, and waited for: streams of ours do not wait for the default one. */
    error = cudaMemsetAsync(block.at, 0, block.whole, gpu->streams[TA_GPU_COPY]);
    if (error == cudaSuccess) error = cudaStreamSynchronize(gpu->streams[TA_GPU_COPY]);
    status = error == cudaSuccess ? ta_gpu_blocks_add(&gpu->allocated, block) : ta_gpu_said(gpu, error, what);
    if (status != TA_OK) {
        (void)ta_gpu_forget(cudaFree(block.at));
        return status;
    }
    *out = block.at;
    return TA_OK;
}

/* Of a lost GPU CUDA frees nothing any more; the process that ends does. */
void ta_gpu_free(struct ta_gpu *gpu, void *at) {
    struct ta_gpu_block *block = at == NULL ? NULL : ta_gpu_blocks_find(&gpu->allocated, at, 0);
    if (block == NULL) return;
    (void)ta_gpu_drain(gpu);
    (void)ta_gpu_forget(cudaFree(at));
    ta_gpu_blocks_remove(&gpu->allocated, block);
}

ta_status ta_gpu_host_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out) {
    *out = NULL;
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    cudaError_t error = cudaHostAlloc(out, bytes == 0 ? 1 : bytes, cudaHostAllocPortable | cudaHostAllocMapped);
    if (error == cudaErrorMemoryAllocation) {
        (void)ta_gpu_forget(error);
        *out = NULL;
        return ta_fail(TA_NO_MEMORY,
                       "no pinned memory of the host for %s: %zu bytes asked for; lower stream.batch, or the "
                       "number of replicas on this machine",
                       what, bytes);
    }
    if (error != cudaSuccess) return ta_gpu_said(gpu, error, what);
    memset(*out, 0, bytes);
    return TA_OK;
}

void ta_gpu_host_free(struct ta_gpu *gpu, void *block) {
    if (block == NULL) return;
    (void)ta_gpu_drain(gpu);
    (void)ta_gpu_forget(cudaFreeHost(block));
}

ta_status ta_gpu_host_register(struct ta_gpu *gpu, void *base, size_t bytes) {
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    if (!gpu->same_address)
        return ta_fail(TA_DEVICE,
                       "GPU %u cannot reach memory of the host that was there already under its own address; use "
                       "device.type: cpu, or a newer GPU",
                       gpu->number);
    cudaError_t error = cudaHostRegister(base, bytes, cudaHostRegisterPortable | cudaHostRegisterMapped);
    if (error == cudaErrorMemoryAllocation) {
        (void)ta_gpu_forget(error);
        return ta_fail(TA_NO_MEMORY,
                       "%zu bytes of the host cannot be pinned for GPU %u; lower the number of replicas on this "
                       "machine",
                       bytes, gpu->number);
    }
    return ta_gpu_said(gpu, error, "pinning memory of the host");
}

void ta_gpu_host_unregister(struct ta_gpu *gpu, void *base) {
    if (base == NULL) return;
    (void)ta_gpu_drain(gpu);
    (void)ta_gpu_forget(cudaHostUnregister(base));
}
