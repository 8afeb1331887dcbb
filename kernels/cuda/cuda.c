/* cuda: the make's table, opening and closing, memory. */
#include "cuda.h"

#include "mem.h"

ta_status ta_cuda_settle(struct ta_kernels *k) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    return status == TA_OK ? ta_gpu_said(k->gpu, cudaStreamSynchronize(stream), "waiting for the kernels") : status;
}

static void cuda_close(struct ta_kernels *k) {
    if (k == NULL) return;
    ta_cuda_settle(k);
    if (k->pinned != NULL) k->gpu_ops->host_free(k->gpu, k->pinned);
    if (k->scratch != NULL) k->gpu_ops->free(k->gpu, k->scratch);
    ta_mem_free(k);
}

static ta_status cuda_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    *out = NULL;
    if (config->gpu_ops == NULL || config->gpu == NULL)
        return ta_fail(TA_INVALID, "kernels 'cuda' were opened without a GPU; open one first (gpu.h)");
    struct ta_kernels *k;
    ta_status status = TA_NEW(&k, 1, "the CUDA kernels");
    if (status != TA_OK) return status;
    *k = (struct ta_kernels){.gpu_ops = config->gpu_ops, .gpu = config->gpu, .compute = config->compute};
    struct ta_gpu_info info = {0};
    status = k->gpu_ops->describe(k->gpu_ops->number(k->gpu), &info);
    k->multiprocessors = info.multiprocessors;
    for (unsigned i = 0; i < TA_GPU_STREAMS; i++) k->stream[i] = ta_gpu_cuda_stream(k->gpu, (enum ta_gpu_stream)i);
    if (status == TA_OK)
        status = k->gpu_ops->alloc(k->gpu, TA_CUDA_SCRATCH_BYTES, "partial sums of the kernels", &k->scratch);
    if (status == TA_OK)
        status = k->gpu_ops->host_alloc(k->gpu, TA_CUDA_PINNED_BYTES, "results of the kernels", &k->pinned);
    if (status != TA_OK) {
        cuda_close(k);
        return status;
    }
    *out = k;
    return TA_OK;
}

static ta_status cuda_alloc(struct ta_kernels *k, size_t bytes, const char *what, void **out) {
    return k->gpu_ops->alloc(k->gpu, bytes, what, out);
}

static void cuda_free(struct ta_kernels *k, void *block) { k->gpu_ops->free(k->gpu, block); }

/* Both directions: waits before (for what was queued), copies, waits behind. */
static ta_status cuda_copy(struct ta_kernels *k, void *to, const void *from, size_t bytes) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    if (status == TA_OK && bytes > 0)
        status = ta_gpu_said(k->gpu, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "a copy");
    return status == TA_OK ? ta_cuda_settle(k) : status;
}

const struct ta_kernels_ops ta_kernels_cuda = {
    .name = "cuda",
    .package = "libcudnn9-dev-cuda-13",
    .on_gpu = true,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .copy_in = cuda_copy,
    .copy_out = cuda_copy,
};
