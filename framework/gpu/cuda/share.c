/* share: GPU memory as other processes and RDMA devices reach it. */
#include <cuda.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "gpu_internal.h"

_Static_assert(sizeof(cudaIpcMemHandle_t) == sizeof ((struct ta_gpu_handle *)0)->bytes, "a handle is 64 bytes");

/* What tells this process from all others: the bytes that the kernel draws for each program it starts, and the number
 * that tells it from those it was forked from. */
static void process_of(unsigned char out[static 16]) {
    const void *drawn = (const void *)(uintptr_t)getauxval(AT_RANDOM);
    uint64_t number = (uint64_t)getpid(), word = 0;
    memset(out, 0, 16);
    if (drawn != NULL) memcpy(out, drawn, 16);
    memcpy(&word, out, sizeof word);
    word ^= number * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(out, &word, sizeof word);
}

ta_status ta_gpu_share(struct ta_gpu *gpu, const void *base, size_t bytes, struct ta_gpu_handle *out) {
    cudaIpcMemHandle_t handle;
    memset(out, 0, sizeof *out);
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    const struct ta_gpu_block *block = ta_gpu_blocks_find(&gpu->allocated, base, bytes);
    if (block == NULL)
        return ta_fail(TA_INVALID, "%zu bytes at %p are not memory of GPU %u that was allocated here", bytes, base,
                       gpu->number);
    status = ta_gpu_said(gpu, cudaIpcGetMemHandle(&handle, block->base), "sharing its memory with other processes");
    if (status != TA_OK) return status;
    memcpy(out->bytes, &handle, sizeof handle);
    process_of(out->process);
    out->base = (uint64_t)(uintptr_t)block->base;
    out->whole = block->whole;
    out->offset = (uint64_t)((uintptr_t)base - (uintptr_t)block->base);
    out->size = bytes;
    memcpy(out->pci, gpu->pci, sizeof out->pci);
    return TA_OK;
}

/* The number of the GPU that lies there, if this process sees it. */
static bool number_of(const char *pci, int *out) {
    return ta_gpu_forget(cudaDeviceGetByPCIBusId(out, pci)) == cudaSuccess;
}

static ta_status check(const struct ta_gpu *gpu, const struct ta_gpu_handle *h, int *other) {
    int can = 1;
    if (memchr(h->pci, '\0', sizeof h->pci) == NULL || h->size > h->whole || h->offset > h->whole - h->size)
        return ta_fail(TA_INVALID, "a handle of GPU memory is damaged: %llu bytes at %llu of %llu",
                       (unsigned long long)h->size, (unsigned long long)h->offset, (unsigned long long)h->whole);
    *other = -1;
    if (!number_of(h->pci, other)) return TA_OK; /* hidden from this process: CUDA may open it all the same */
    if (*other == (int)gpu->number) return TA_OK;
    if (ta_gpu_forget(cudaDeviceCanAccessPeer(&can, (int)gpu->number, *other)) != cudaSuccess) can = 0;
    if (can) return TA_OK;
    return ta_fail(TA_DEVICE,
                   "GPU %u (%s) cannot reach the memory of GPU %d (%s): no NVLink, and no peer access over PCIe "
                   "(nvidia-smi topo -p2p r); put the replicas on one GPU, or let them exchange through the host "
                   "(transport.gpu_direct: off)",
                   gpu->number, gpu->pci, *other, h->pci);
}

/* CUDA refuses to open a handle in the process that made it, where the memory is at hand. */
static ta_status attach_own(struct ta_gpu *gpu, const struct ta_gpu_handle *h, int other, void **out) {
    if (other >= 0 && other != (int)gpu->number) {
        cudaError_t error = cudaDeviceEnablePeerAccess(other, 0);
        if (error == cudaErrorPeerAccessAlreadyEnabled)
            error = ta_gpu_forget(error) == cudaSuccess ? error : cudaSuccess;
        if (error != cudaSuccess) return ta_gpu_said(gpu, error, "reaching the memory of another GPU");
    }
    *out = (void *)(uintptr_t)(h->base + h->offset);
    return TA_OK;
}

/* CUDA counts how often a handle was opened, so each attachment opens it, and each detachment closes it. */
ta_status ta_gpu_attach(struct ta_gpu *gpu, const struct ta_gpu_handle *h, void **out) {
    unsigned char process[16];
    cudaIpcMemHandle_t handle;
    void *base = NULL;
    int other = -1;
    *out = NULL;
    ta_status status = ta_gpu_use(gpu);
    if (status == TA_OK) status = check(gpu, h, &other);
    if (status != TA_OK) return status;
    process_of(process);
    if (memcmp(process, h->process, sizeof process) == 0) return attach_own(gpu, h, other, out);
    memcpy(&handle, h->bytes, sizeof handle);
    status = ta_gpu_said(gpu, cudaIpcOpenMemHandle(&base, handle, cudaIpcMemLazyEnablePeerAccess),
                         "reaching the memory of another process");
    if (status != TA_OK) return status;
    struct ta_gpu_block block = {.at = (char *)base + h->offset, .base = base, .bytes = h->size, .whole = h->size};
    status = ta_gpu_blocks_add(&gpu->attached, block);
    if (status != TA_OK) {
        (void)ta_gpu_forget(cudaIpcCloseMemHandle(base));
        return status;
    }
    *out = block.at;
    return TA_OK;
}

void ta_gpu_detach(struct ta_gpu *gpu, void *attached) {
    struct ta_gpu_block *block = NULL;
    for (size_t i = 0; attached != NULL && i < gpu->attached.n; i++)
        if (gpu->attached.all[i].at == attached) block = &gpu->attached.all[i];
    if (block == NULL) return;
    (void)ta_gpu_drain(gpu);
    (void)ta_gpu_forget(cudaIpcCloseMemHandle(block->base));
    ta_gpu_blocks_remove(&gpu->attached, block);
}

/* A dma-buf holds whole pages of the host; an allocation is made of such (memory.c). */
ta_status ta_gpu_dmabuf(struct ta_gpu *gpu, const void *base, size_t bytes, int *fd, uint64_t *offset) {
    CUresult (*export)(void *, CUdeviceptr, size_t, CUmemRangeHandleType, unsigned long long) = NULL;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)base / page * page;
    uintptr_t end = ((uintptr_t)base + bytes + page - 1) / page * page;
    *fd = -1;
    *offset = 0;
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    if (bytes == 0 || ta_gpu_blocks_find(&gpu->allocated, (const void *)from, end - from) == NULL)
        return ta_fail(TA_INVALID, "%zu bytes at %p are not memory of GPU %u that was allocated here", bytes, base,
                       gpu->number);
    if (!ta_gpu_driver_function("cuMemGetHandleForAddressRange", 11070, &export))
        return ta_fail(TA_DEVICE, "the driver exports no dma-bufs (cuMemGetHandleForAddressRange came with CUDA 11.7); "
                                  "install "
                                  "driver 580 or newer, or load nvidia-peermem");
    CUresult said = export(fd, (CUdeviceptr)from, end - from, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
    if (said != CUDA_SUCCESS)
        return ta_fail(TA_DEVICE,
                       "GPU %u (%s) exports no dma-buf of %zu bytes (CUDA's driver says %d): this needs the open "
                       "kernel modules of driver 515 or newer and Linux 5.12 or newer; or load nvidia-peermem",
                       gpu->number, gpu->pci, (size_t)(end - from), (int)said);
    *offset = (uint64_t)((uintptr_t)base - from);
    return TA_OK;
}

ta_status ta_gpu_flush(struct ta_gpu *gpu) {
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK || !gpu->flushes) return status;
    return ta_gpu_said(gpu, cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTargetCurrentDevice,
                                                               cudaFlushGPUDirectRDMAWritesToOwner),
                       "waiting for what RDMA devices wrote");
}
