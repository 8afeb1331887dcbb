/* copy: bytes and rows from anywhere to anywhere. */
#include <string.h>

#include "gpu_internal.h"
#include "rows.h"

ta_status ta_gpu_copy(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes) {
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK || bytes == 0) return status;
    return ta_gpu_said(gpu, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, gpu->streams[stream]), "copying");
}

/* Row numbers wait in pinned memory for their copy to the GPU, which must not read them over the bus row by row. */
static ta_status slot_open(struct ta_gpu *gpu, struct ta_gpu_row_slot *slot) {
    void *pinned = NULL, *device = NULL;
    if (slot->done != NULL) return TA_OK;
    cudaError_t error = cudaHostAlloc(&pinned, TA_GPU_ROWS * sizeof *slot->pinned, cudaHostAllocPortable);
    if (error == cudaSuccess) error = cudaMalloc(&device, TA_GPU_ROWS * sizeof *slot->device);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&slot->done, cudaEventDisableTiming);
    if (error != cudaSuccess) {
        (void)cudaFree(device);
        (void)cudaFreeHost(pinned);
        return ta_gpu_said(gpu, error, "making room for row numbers");
    }
    slot->pinned = pinned;
    slot->device = device;
    return TA_OK;
}

void ta_gpu_rows_close(struct ta_gpu *gpu) {
    for (unsigned i = 0; i < TA_GPU_ROW_SLOTS; i++) {
        struct ta_gpu_row_slot *slot = &gpu->row_slots[i];
        if (slot->done == NULL) continue;
        (void)cudaEventDestroy(slot->done);
        (void)cudaFree(slot->device);
        (void)cudaFreeHost(slot->pinned);
    }
}

ta_status ta_gpu_copy_rows(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes,
                           const uint32_t *rows, size_t n) {
    ta_status status = ta_gpu_use(gpu);
    for (size_t at = 0; status == TA_OK && at < n && bytes > 0; at += TA_GPU_ROWS) {
        size_t count = n - at < TA_GPU_ROWS ? n - at : TA_GPU_ROWS;
        struct ta_gpu_row_slot *slot = &gpu->row_slots[gpu->next_row_slot];
        status = slot_open(gpu, slot);
        if (status != TA_OK) return status;
        gpu->next_row_slot = (gpu->next_row_slot + 1) % TA_GPU_ROW_SLOTS;
        cudaError_t error = slot->used ? cudaEventSynchronize(slot->done) : cudaSuccess;
        if (error == cudaSuccess) {
            memcpy(slot->pinned, rows + at, count * sizeof *rows);
            error = cudaMemcpyAsync(slot->device, slot->pinned, count * sizeof *rows, cudaMemcpyHostToDevice,
                                    gpu->streams[stream]);
        }
        if (error == cudaSuccess)
            error = (cudaError_t)ta_gpu_rows_launch(gpu->streams[stream], to, from, bytes, slot->device, count);
        if (error == cudaSuccess) error = cudaEventRecord(slot->done, gpu->streams[stream]);
        slot->used = true;
        status = ta_gpu_said(gpu, error, "copying rows");
    }
    return status;
}
