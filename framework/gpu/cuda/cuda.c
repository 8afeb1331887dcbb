/* cuda: the table of gpu.h, and opening and closing; the rest is in files by subject. */
#include <stdio.h>
#include <string.h>

#include "gpu_internal.h"
#include "mem.h"

static ta_status reaches(unsigned from, unsigned to, bool *out) {
    int can = 1;
    *out = from == to;
    if (from == to) return TA_OK;
    ta_status status =
        ta_gpu_said(NULL, cudaDeviceCanAccessPeer(&can, (int)from, (int)to), "asking which GPUs reach each other");
    *out = status == TA_OK && can != 0;
    return status;
}

/* Where writes of RDMA devices are not in order by nature, and the CPU cannot flush them either, nothing helps:
 * `describe` then says that there is no RDMA. */
static cudaError_t learn(struct ta_gpu *gpu, const struct ta_gpu_info *info) {
    int same = 0;
    memcpy(gpu->pci, info->pci, sizeof gpu->pci);
    gpu->flushes = info->rdma && !info->ordered;
    cudaError_t error = cudaDeviceGetAttribute(&same, cudaDevAttrCanUseHostPointerForRegisteredMem, (int)gpu->number);
    gpu->same_address = same != 0;
    return error;
}

static void close_gpu(struct ta_gpu *gpu) {
    if (gpu == NULL) return;
    if (ta_gpu_use(gpu) == TA_OK) (void)ta_gpu_drain(gpu);
    while (gpu->attached.n > 0) ta_gpu_detach(gpu, gpu->attached.all[0].at);
    ta_gpu_rows_close(gpu);
    ta_gpu_streams_close(gpu);
    (void)cudaGetLastError();
    ta_mem_free(gpu->allocated.all);
    ta_mem_free(gpu->attached.all);
    ta_mem_free(gpu);
}

static ta_status open_gpu(unsigned number, struct ta_gpu **out) {
    struct ta_gpu_info info;
    struct ta_gpu *gpu = NULL;
    *out = NULL;
    ta_status status = ta_gpu_describe(number, &info);
    if (status == TA_OK) status = TA_NEW(&gpu, 1, "a GPU");
    if (status != TA_OK) return status;
    gpu->number = number;
    memcpy(gpu->pci, info.pci, sizeof gpu->pci);
    status = ta_gpu_use(gpu);
    if (status == TA_OK) status = ta_gpu_said(gpu, learn(gpu, &info), "opening it");
    if (status == TA_OK) status = ta_gpu_streams_open(gpu);
    if (status != TA_OK) {
        close_gpu(gpu);
        return status;
    }
    *out = gpu;
    return TA_OK;
}

static unsigned number(const struct ta_gpu *gpu) { return gpu->number; }

static bool lost(const struct ta_gpu *gpu) { return gpu->is_lost; }

/* Who asks for a stream is about to launch on it, which CUDA wants from a thread whose GPU it is. */
static void *stream_of(struct ta_gpu *gpu, enum ta_gpu_stream stream) {
    (void)ta_gpu_forget(cudaSetDevice((int)gpu->number));
    return gpu->streams[stream];
}

const struct ta_gpu_ops ta_gpu_cuda = {
    .name = "cuda",
    .count = ta_gpu_count,
    .describe = ta_gpu_describe,
    .reaches = reaches,
    .open = open_gpu,
    .close = close_gpu,
    .number = number,
    .lost = lost,
    .alloc = ta_gpu_alloc,
    .free = ta_gpu_free,
    .host_alloc = ta_gpu_host_alloc,
    .host_free = ta_gpu_host_free,
    .host_register = ta_gpu_host_register,
    .host_unregister = ta_gpu_host_unregister,
    .copy = ta_gpu_copy,
    .copy_rows = ta_gpu_copy_rows,
    .mark = ta_gpu_mark,
    .reached = ta_gpu_reached,
    .wait = ta_gpu_wait,
    .follow = ta_gpu_follow,
    .drain = ta_gpu_drain,
    .share = ta_gpu_share,
    .attach = ta_gpu_attach,
    .detach = ta_gpu_detach,
    .dmabuf = ta_gpu_dmabuf,
    .flush = ta_gpu_flush,
    .stream = stream_of,
};
