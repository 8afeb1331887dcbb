/* describe: what a GPU is and can do, without opening it: no memory of it is taken. */
#include <ctype.h>
#include <cuda.h>
#include <stdio.h>
#include <string.h>

#include "gpu_internal.h"

bool ta_gpu_driver_function(const char *name, unsigned since, void *function) {
    void *found = NULL;
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, since, cudaEnableDefault, &result);
    if (ta_gpu_forget(error) != cudaSuccess || result != cudaDriverEntryPointSuccess || found == NULL) return false;
    memcpy(function, &found, sizeof found);
    return true;
}

static ta_status no_such(unsigned number, unsigned n) {
    return ta_fail(TA_CONFIG, "there is no GPU %u: this process sees %u (numbers from 0); nvidia-smi -L lists them, "
                   "CUDA_VISIBLE_DEVICES chooses among them", number, n);
}

static cudaError_t names(int device, struct ta_gpu_info *out) {
    struct cudaDeviceProp all;
    cudaError_t error = cudaGetDeviceProperties(&all, device);
    if (error != cudaSuccess) return error;
    snprintf(out->name, sizeof out->name, "%.95s", all.name);
    out->bytes = all.totalGlobalMem;
    error = cudaDeviceGetPCIBusId(out->pci, sizeof out->pci, device);
    for (char *c = out->pci; error == cudaSuccess && *c != '\0'; c++) *c = (char)tolower((unsigned char)*c);
    return error;
}

/* How much is free is known to who has opened the GPU; asking would open it, and take some hundred MB. */
static size_t free_bytes(int device) {
    CUresult (*state)(CUdevice, unsigned *, int *) = NULL;
    unsigned flags = 0;
    int active = 0, before = 0;
    size_t left = 0, total = 0;
    if (!ta_gpu_driver_function("cuDevicePrimaryCtxGetState", 7000, &state)) return 0;
    if (state(device, &flags, &active) != CUDA_SUCCESS || !active) return 0;
    if (ta_gpu_forget(cudaGetDevice(&before)) != cudaSuccess) return 0;
    if (ta_gpu_forget(cudaSetDevice(device)) != cudaSuccess) return 0;
    if (ta_gpu_forget(cudaMemGetInfo(&left, &total)) != cudaSuccess) left = 0;
    (void)ta_gpu_forget(cudaSetDevice(before));
    return left;
}

static bool has_dmabuf(int device) {
    CUresult (*attribute)(int *, CUdevice_attribute, CUdevice) = NULL;
    int value = 0;
    if (!ta_gpu_driver_function("cuDeviceGetAttribute", 2000, &attribute)) return false;
    return attribute(&value, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, device) == CUDA_SUCCESS && value != 0;
}

ta_status ta_gpu_describe(unsigned number, struct ta_gpu_info *out) {
    enum { MAJOR, MINOR, SMS, IPC, RDMA, ORDERING, FLUSHES, MODE, N };
    static const enum cudaDeviceAttr asked[N] = {
        [MAJOR] = cudaDevAttrComputeCapabilityMajor, [MINOR] = cudaDevAttrComputeCapabilityMinor,
        [SMS] = cudaDevAttrMultiProcessorCount,      [IPC] = cudaDevAttrIpcEventSupport,
        [RDMA] = cudaDevAttrGPUDirectRDMASupported,  [ORDERING] = cudaDevAttrGPUDirectRDMAWritesOrdering,
        [FLUSHES] = cudaDevAttrGPUDirectRDMAFlushWritesOptions, [MODE] = cudaDevAttrComputeMode};
    int device = (int)number, value[N] = {0};
    unsigned n = 0;
    *out = (struct ta_gpu_info){0};
    ta_status status = ta_gpu_present(&n);
    if (status != TA_OK) return status;
    if (number >= n) return no_such(number, n);
    cudaError_t error = names(device, out);
    if (error == cudaSuccess) error = cudaDriverGetVersion(&out->driver);
    if (error == cudaSuccess) error = cudaRuntimeGetVersion(&out->runtime);
    for (unsigned i = 0; error == cudaSuccess && i < N; i++)
        error = cudaDeviceGetAttribute(&value[i], asked[i], device);
    if (error != cudaSuccess) return ta_gpu_said(NULL, error, "looking at a GPU");
    out->major = value[MAJOR];
    out->minor = value[MINOR];
    out->multiprocessors = (uint32_t)value[SMS];
    out->ipc = value[IPC] != 0;
    out->ordered = value[ORDERING] >= cudaGPUDirectRDMAWritesOrderingOwner;
    bool flushes = (value[FLUSHES] & cudaFlushGPUDirectRDMAWritesOptionHost) != 0;
    out->rdma = value[RDMA] != 0 && (out->ordered || flushes);
    out->exclusive = value[MODE] == cudaComputeModeExclusive || value[MODE] == cudaComputeModeExclusiveProcess;
    out->dmabuf = has_dmabuf(device);
    out->free = free_bytes(device);
    return TA_OK;
}
