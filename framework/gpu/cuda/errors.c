/* errors: what CUDA says, as a status with the cure; which of it means that the GPU is lost to this process. */
#include <stdio.h>
#include <stdlib.h>

#include "gpu_internal.h"

struct saying {
    cudaError_t error;
    bool stays; /* every later call fails the same way, until the process is started anew */
    const char *cure;
};

#define CORRUPT "a kernel went wrong: run again with device.type: cpu to tell the model from the machine, and report it"
#define HARDWARE "look into dmesg for 'NVRM: Xid' and into nvidia-smi -q; reset the GPU or restart the machine"
#define DRIVER                                                                                                         \
    "nvidia-smi shows the driver; version 580 or newer goes with CUDA 13: install it, or use device.type: cpu"
#define MPS "look after the MPS server (nvidia-cuda-mps-control), or go without it"

static const struct saying sayings[] = {
    {cudaErrorIllegalAddress, true, CORRUPT},
    {cudaErrorLaunchFailure, true, CORRUPT},
    {cudaErrorAssert, true, CORRUPT},
    {cudaErrorIllegalInstruction, true, CORRUPT},
    {cudaErrorMisalignedAddress, true, CORRUPT},
    {cudaErrorInvalidAddressSpace, true, CORRUPT},
    {cudaErrorInvalidPc, true, CORRUPT},
    {cudaErrorTensorMemoryLeak, true, CORRUPT},
    {cudaErrorLaunchTimeout, true,
     "a GPU that drives a screen stops long kernels: use another one (device.number), or no screen"},
    {cudaErrorHardwareStackError, true, HARDWARE},
    {cudaErrorECCUncorrectable, true, HARDWARE},
    {cudaErrorNvlinkUncorrectable, true, HARDWARE},
    {cudaErrorContained, true, HARDWARE},
    {cudaErrorExternalDevice, true, HARDWARE},
    {cudaErrorUnknown, true, HARDWARE},
    {cudaErrorContextIsDestroyed, true, "something else in this process has reset the GPU; run again"},
    {cudaErrorMpsClientTerminated, true, MPS},
    {cudaErrorMpsRpcFailure, true, MPS},
    {cudaErrorMpsConnectionFailed, false, MPS},
    {cudaErrorMpsServerNotReady, false, MPS},
    {cudaErrorMpsMaxClientsReached, false, MPS},
    {cudaErrorMpsMaxConnectionsReached, false, MPS},
    {cudaErrorDevicesUnavailable, false,
     "it is busy, or in an exclusive or prohibited compute mode (nvidia-smi -q -d COMPUTE): end "
     "the other process, put one replica on it, or set it to nvidia-smi -c DEFAULT"},
    {cudaErrorDeviceAlreadyInUse, false, "another process has it for itself (nvidia-smi -q -d COMPUTE)"},
    {cudaErrorDeviceUninitialized, false, "nothing has opened the GPU in this process"},
    {cudaErrorNoKernelImageForDevice, false,
     "this program holds code for compute capability 8.0 and newer; build it with "
     "-DTA_CUDA_ARCHITECTURES for this GPU"},
    {cudaErrorInvalidDeviceFunction, false,
     "this program holds no code for this GPU; build it with -DTA_CUDA_ARCHITECTURES for it"},
    {cudaErrorUnsupportedPtxVersion, false, DRIVER},
    {cudaErrorSystemDriverMismatch, false, "driver and kernel module differ: restart the machine after the update"},
    {cudaErrorCompatNotSupportedOnDevice, false,
     "take cuda-compat off LD_LIBRARY_PATH: this GPU wants the driver's own libcuda"},
    {cudaErrorSystemNotReady, false, "the switches of this machine are not up: systemctl status nvidia-fabricmanager"},
    {cudaErrorStubLibrary, false,
     "the libcuda.so.1 that was found is the toolkit's stub: take .../stubs off LD_LIBRARY_PATH"},
    {cudaErrorInitializationError, false,
     "the driver does not come up (dmesg, nvidia-smi), or this process was forked from one "
     "that had used CUDA"},
    {cudaErrorOperatingSystem, false,
     "sharing between processes needs /dev/shm, one user and one IPC namespace (containers: "
     "--ipc=host)"},
    {cudaErrorMapBufferObjectFailed, false,
     "the other process' memory cannot be mapped: has it ended, or is it of another container?"},
    {cudaErrorPeerAccessUnsupported, false,
     "these two GPUs do not reach each other: put the replicas on one, or set transport.type"},
    {cudaErrorTooManyPeers, false, "a GPU reaches at most eight others over PCIe"},
    {cudaErrorNotPermitted, false, "the system forbids it, or a graph is being captured"},
    {cudaErrorNotSupported, false, "this GPU, driver or system does not offer it"},
};

static const struct saying *find(cudaError_t error) {
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++)
        if (sayings[i].error == error) return &sayings[i];
    return NULL;
}

cudaError_t ta_gpu_forget(cudaError_t error) {
    if (error != cudaSuccess) (void)cudaGetLastError();
    return error;
}

/* Both are the driver's absence or age; the static runtime finds no libcuda.so.1 where there is none. */
static ta_status no_driver(const char *what) {
    int driver = 0, runtime = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = CUDART_VERSION;
    if (driver == 0)
        return ta_fail(TA_DEVICE,
                       "%s: no NVIDIA driver on this machine (libcuda.so.1 is not found; this program wants one for "
                       "CUDA %d.%d); install driver 580 or newer, or use device.type: cpu",
                       what, runtime / 1000, runtime % 1000 / 10);
    return ta_fail(TA_DEVICE,
                   "%s: the driver is for CUDA %d.%d, this program for %d.%d; install driver 580 or newer, or use "
                   "device.type: cpu",
                   what, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

ta_status ta_gpu_said(struct ta_gpu *gpu, cudaError_t error, const char *what) {
    char where[64] = "";
    if (error == cudaSuccess) return TA_OK;
    (void)ta_gpu_forget(error);
    if (error == cudaErrorInsufficientDriver || error == cudaErrorCallRequiresNewerDriver) return no_driver(what);
    const struct saying *saying = find(error);
    if (gpu != NULL) snprintf(where, sizeof where, "GPU %u (%s), ", gpu->number, gpu->pci);
    bool stays = gpu != NULL && saying != NULL && saying->stays;
    (void)ta_fail(TA_DEVICE, "%s%s: CUDA says '%s' (%s)%s%s%s", where, what, cudaGetErrorString(error),
                  cudaGetErrorName(error), stays ? "; the GPU is lost to this process" : "", saying != NULL ? "; " : "",
                  saying != NULL ? saying->cure : "");
    if (stays && !gpu->is_lost) {
        gpu->is_lost = true;
        snprintf(gpu->why, sizeof gpu->why, "%s", ta_why());
    }
    return TA_DEVICE;
}

ta_status ta_gpu_use(struct ta_gpu *gpu) {
    if (gpu->is_lost) return ta_fail(TA_DEVICE, "%s", gpu->why);
    return ta_gpu_said(gpu, cudaSetDevice((int)gpu->number), "choosing it");
}

ta_status ta_gpu_count(unsigned *n) {
    int found = 0;
    cudaError_t error = cudaGetDeviceCount(&found);
    *n = error == cudaSuccess && found > 0 ? (unsigned)found : 0;
    if (error == cudaErrorNoDevice) error = ta_gpu_forget(error) == cudaErrorNoDevice ? cudaSuccess : error;
    return ta_gpu_said(NULL, error, "looking for GPUs");
}

ta_status ta_gpu_present(unsigned *n) {
    ta_status status = ta_gpu_count(n);
    if (status != TA_OK || *n > 0) return status;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible != NULL)
        return ta_fail(TA_DEVICE,
                       "no GPU: CUDA_VISIBLE_DEVICES is '%s' and hides all of them, or those that there are; unset it "
                       "or name one that nvidia-smi -L lists",
                       visible);
    return ta_fail(TA_DEVICE, "no GPU: the driver sees none; nvidia-smi -L lists them, a container needs them handed "
                              "in "
                              "(--gpus all), a Slurm job must ask for them (--gres=gpu:1); or use device.type: cpu");
}
