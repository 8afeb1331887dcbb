/* driver: a libcuda.so.1 that drives nothing. cuDNN asks the driver to load what it has compiled when it makes a plan,
 * also for a device that is only described; this one says that it has loaded it. It has no devices, so whoever wants
 * to run something is told so.
 *
 * Written without cuda.h: the names that cuDNN looks up are a few dozen, with and without versions. */
#include <stddef.h>

enum { FINE = 0, NO_DEVICE = 100 };

static int thing; /* what all handles point to */

#define FINE_ANYWAY(X)                                                                                                 \
    X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxGetLimit) X(cuCtxPopCurrent) X(cuCtxPushCurrent)                       \
    X(cuDeviceGet) X(cuDeviceGetAttribute) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxReset)                     \
    X(cuDevicePrimaryCtxRetain) X(cuFuncSetAttribute) X(cuKernelSetAttribute) X(cuLaunchCooperativeKernel)             \
    X(cuLaunchKernel) X(cuLaunchKernelEx) X(cuLibraryLoadFromFile) X(cuLibraryUnload) X(cuLinkAddData)                 \
    X(cuLinkAddData_v2) X(cuLinkAddFile_v2) X(cuLinkComplete) X(cuLinkCreate) X(cuLinkCreate_v2) X(cuLinkDestroy)      \
    X(cuMemcpyDtoH_v2) X(cuModuleGetGlobal_v2) X(cuModuleLoadDataEx) X(cuModuleLoadFatBinary) X(cuModuleUnload)        \
    X(cuStreamGetCtx) X(cuStreamSynchronize) X(cuTensorMapEncodeIm2col) X(cuTensorMapEncodeTiled)                      \
    X(cuTensorMapReplaceAddress)
#define X(name)                                                                                                        \
    int name(void);                                                                                                    \
    int name(void) { return FINE; }
FINE_ANYWAY(X)
#undef X

/* What gives a handle or a number through its first argument. */
#define GIVES(X)                                                                                                       \
    X(cuLibraryLoadData, void *, &thing) X(cuLibraryGetKernel, void *, &thing) X(cuModuleGetFunction, void *, &thing)  \
    X(cuModuleLoadData, void *, &thing) X(cuOccupancyMaxActiveClusters, int, 16)                                       \
    X(cuOccupancyMaxPotentialClusterSize, int, 8) X(cuOccupancyMaxActiveBlocksPerMultiprocessor, int, 1)               \
    X(cuKernelGetAttribute, int, 0) X(cuFuncGetAttribute, int, 0) X(cuDriverGetVersion, int, 13000)                    \
    X(cuDeviceGetCount, int, 0)
#define X(name, type, value)                                                                                           \
    int name(type *out);                                                                                               \
    int name(type *out) {                                                                                              \
        *out = value;                                                                                                  \
        return FINE;                                                                                                   \
    }
GIVES(X)
#undef X

int cuInit(unsigned flags);
int cuInit(unsigned flags) {
    (void)flags;
    return NO_DEVICE;
}

int cuGetErrorName(int error, const char **out);
int cuGetErrorName(int error, const char **out) {
    (void)error;
    *out = "an error of a driver that drives nothing";
    return FINE;
}

int cuGetErrorString(int error, const char **out);
int cuGetErrorString(int error, const char **out) { return cuGetErrorName(error, out); }
