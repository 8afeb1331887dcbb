/* cuda: the make's table, opening and closing, memory. */
#include "cuda.h"

#include "cublaslt_ops.h"
#include "cudnn_ops.h"
#include "mem.h"
#include "members.h"
#include "net.h"

ta_status ta_cuda_libraries(struct ta_kernels *k) {
    ta_status status = TA_OK;
    if (k->cudnn == NULL) status = ta_cudnn_open(&(struct ta_cudnn_config){.gpu = k->gpu}, &k->cudnn);
    if (status == TA_OK && k->cublaslt == NULL) status = ta_cublaslt_open(k->gpu, &k->cublaslt);
    return status;
}

static void cuda_close(struct ta_kernels *k) {
    if (k == NULL) return;
    (void)ta_cuda_settle(k);
    ta_cuda_rows_close(k);
    ta_cublaslt_close(k->cublaslt);
    ta_cudnn_close(k->cudnn);
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
    if (status == TA_OK && config->compute == TA_COMPUTE_BFLOAT16 && info.major < 8)
        status = ta_fail(TA_CONFIG,
                         "%s is of compute capability %d.%d, which has no bfloat16 (8.0 has): use device.compute: "
                         "float32",
                         info.name, info.major, info.minor);
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
    k->apply_ahead = true; /* not only by us: transports queue there what they fetch */
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
    .net_create = ta_cuda_net_create,
    .net_destroy = ta_cuda_net_destroy,
    .net_bytes = ta_cuda_net_bytes,
    .net_times = ta_cuda_net_times,
    .net_note = ta_cuda_net_note,
    .train = ta_cuda_train,
    .stage = ta_cuda_stage,
    .begin = ta_cuda_begin,
    .ready = ta_cuda_ready,
    .end = ta_cuda_end,
    .predict = ta_cuda_predict,
    .grad_norm2 = ta_cuda_grad_norm2,
    .update = ta_cuda_update,
    .moving = ta_cuda_moving,
    .compensate = ta_cuda_compensate,
    .sum = ta_cuda_sum,
    .mean = ta_cuda_mean,
    .rows_sum = ta_cuda_rows_sum,
    .rows_pick = ta_cuda_rows_pick,
    .rows_fold = ta_cuda_rows_fold,
    .skipgram = &ta_skipgram_cuda,
};
