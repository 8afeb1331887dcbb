/* devices: how many there are, what they say of themselves, words for errors. */
#include <stdio.h>
#include <string.h>

#include "state.h"

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

static bool cannot(const char *key) { return !option(key, "").empty(); }

static cudaError_t check_number(int number) {
    cudaError_t error = find_devices();
    if (error != cudaSuccess) return error;
    return number >= 0 && (size_t)number < state().devices.size() ? cudaSuccess : keep(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceCount(int *count) {
    Hold hold(lock());
    *count = 0;
    cudaError_t error = find_devices();
    if (error != cudaSuccess) return error;
    *count = (int)state().devices.size();
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    Hold hold(lock());
    enter();
    *version = cannot("no_driver") ? 0 : state().driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int bytes, int number) {
    Hold hold(lock());
    cudaError_t error = check_number(number);
    if (error == cudaSuccess) snprintf(out, (size_t)bytes, "0000:%02X:00.0", 0x3b + number);
    return error;
}

cudaError_t cudaDeviceGetByPCIBusId(int *number, const char *pci) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    unsigned domain = 0, bus = 0, slot = 0, function = 0;
    if (sscanf(pci, "%x:%x:%x.%x", &domain, &bus, &slot, &function) < 3 || domain != 0 || slot != 0 || bus < 0x3b ||
        bus - 0x3b >= state().devices.size())
        return keep(cudaErrorInvalidValue);
    *number = (int)(bus - 0x3b);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int number) {
    Hold hold(lock());
    cudaError_t error = check_number(number);
    if (error != cudaSuccess) return error;
    memset(static_cast<void *>(out), 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "Make-believe GPU");
    out->major = 9;
    out->totalGlobalMem = state().memory;
    out->multiProcessorCount = 4; /* few, so that loops over the grid go round */
    out->warpSize = 32;
    out->maxThreadsPerBlock = 1024;
    out->maxThreadsPerMultiProcessor = 2048;
    out->sharedMemPerBlock = 48 << 10;
    out->sharedMemPerBlockOptin = 227 << 10;
    out->sharedMemPerMultiprocessor = 228 << 10;
    out->regsPerBlock = 65536;
    out->l2CacheSize = 1 << 20;
    out->memoryBusWidth = 64;
    out->unifiedAddressing = 1;
    out->canMapHostMemory = 1;
    out->canUseHostPointerForRegisteredMem = 1;
    out->asyncEngineCount = 2;
    out->concurrentKernels = 1;
    out->pciBusID = 0x3b + number;
    out->gpuDirectRDMASupported = !cannot("no_rdma");
    out->gpuDirectRDMAWritesOrdering =
        cannot("unordered") ? cudaGPUDirectRDMAWritesOrderingNone : cudaGPUDirectRDMAWritesOrderingOwner;
    out->gpuDirectRDMAFlushWritesOptions = cudaFlushGPUDirectRDMAWritesOptionHost;
    out->ipcEventSupported = !cannot("no_ipc");
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *out, cudaDeviceAttr attribute, int number) {
    cudaDeviceProp p;
    cudaError_t error = cudaGetDeviceProperties(&p, number);
    if (error != cudaSuccess) return error;
    Hold hold(lock());
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *out = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *out = p.minor; break;
    case cudaDevAttrMultiProcessorCount: *out = p.multiProcessorCount; break;
    case cudaDevAttrWarpSize: *out = p.warpSize; break;
    case cudaDevAttrMaxThreadsPerBlock: *out = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *out = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *out = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *out = (int)p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *out = (int)p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrL2CacheSize: *out = p.l2CacheSize; break;
    case cudaDevAttrGlobalMemoryBusWidth: *out = p.memoryBusWidth; break;
    case cudaDevAttrMemoryClockRate: *out = 1000; break; /* kHz */
    case cudaDevAttrComputeMode:
        *out = cannot("exclusive") ? cudaComputeModeExclusiveProcess : cudaComputeModeDefault;
        break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem: *out = 1; break;
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrIntegrated: *out = 0; break;
    case cudaDevAttrIpcEventSupport: *out = p.ipcEventSupported; break;
    case cudaDevAttrGPUDirectRDMASupported: *out = p.gpuDirectRDMASupported; break;
    case cudaDevAttrGPUDirectRDMAWritesOrdering: *out = p.gpuDirectRDMAWritesOrdering; break;
    case cudaDevAttrGPUDirectRDMAFlushWritesOptions: *out = (int)p.gpuDirectRDMAFlushWritesOptions; break;
    case cudaDevAttrPciBusId: *out = p.pciBusID; break;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId: *out = 0; break;
    default: misuse("device attribute %d is not known here: add it to devices.cc", (int)attribute);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int from, int to) {
    Hold hold(lock());
    cudaError_t error = check_number(from);
    if (error == cudaSuccess) error = check_number(to);
    if (error == cudaSuccess) *can = from != to && !cannot("no_peer");
    return error;
}

cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned) {
    int can = 0;
    cudaError_t error = cudaDeviceCanAccessPeer(&can, device(), to);
    if (error != cudaSuccess) return error;
    Hold hold(lock());
    if (to == device()) return keep(cudaErrorInvalidDevice);
    if (!can) return keep(cudaErrorPeerAccessUnsupported);
    bool fresh = state().peers.insert((uint64_t)device() << 32 | (unsigned)to).second;
    return fresh ? cudaSuccess : keep(cudaErrorPeerAccessAlreadyEnabled);
}

cudaError_t cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTarget, cudaFlushGPUDirectRDMAWritesScope) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) state().counts.flushes++;
    return error;
}

cudaError_t cudaSetDeviceFlags(unsigned flags) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) now().flags = flags;
    return error;
}

cudaError_t cudaInitDevice(int number, unsigned, unsigned) {
    Hold hold(lock());
    return check_number(number);
}

static const struct {
    cudaError_t error;
    const char *name, *words;
} words[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorDeviceUninitialized, "cudaErrorDeviceUninitialized", "invalid device context"},
    {cudaErrorMapBufferObjectFailed, "cudaErrorMapBufferObjectFailed", "mapping of buffer object failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorPeerAccessAlreadyEnabled, "cudaErrorPeerAccessAlreadyEnabled", "peer access is already enabled"},
    {cudaErrorPeerAccessUnsupported, "cudaErrorPeerAccessUnsupported",
     "peer access is not supported between these two devices"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate captures"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorGraphExecUpdateFailure, "cudaErrorGraphExecUpdateFailure",
     "the graph update was not performed because it included changes which violated constraints"},
};

const char *cudaGetErrorString(cudaError_t error) {
    for (const auto &one : words)
        if (one.error == error) return one.words;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error) {
    for (const auto &one : words)
        if (one.error == error) return one.name;
    return "unrecognized error code";
}
