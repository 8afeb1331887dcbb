/* share: device memory in other processes: handles by which they open its memory file; the driver's calls, which
 * export it. */
#include <cuda.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapping.h"

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

/* What a cudaIpcMemHandle_t holds. */
struct Handle {
    uint32_t magic;
    int32_t process, fd, device;
    uint64_t offset, bytes, mapped, inode;
};
enum : uint32_t { MAGIC = 0x7a1e6b0d };
static_assert(sizeof(Handle) <= sizeof(cudaIpcMemHandle_t), "a handle has 64 bytes");

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *out, void *base) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if (!option("no_ipc", "").empty()) return keep(cudaErrorNotSupported);
    const auto *found = block_of(base);
    struct stat about;
    if (found == nullptr || found->second.kind != DEVICE_BLOCK || fstat(found->second.fd, &about) != 0)
        return keep(cudaErrorInvalidValue);
    const Block &b = found->second;
    Handle h = {MAGIC, getpid(), b.fd, b.device, b.offset, b.bytes, b.mapped, about.st_ino};
    memset(out, 0, sizeof *out);
    memcpy(out, &h, sizeof h);
    return cudaSuccess;
}

/* The owner's memory file; -1: it is gone, or was never there. */
static int open_file(const Handle &h) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", h.process, h.fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat about;
    if (fd < 0) return -1;
    if (fstat(fd, &about) == 0 && about.st_ino == h.inode && (uint64_t)about.st_size == h.mapped) return fd;
    close(fd);
    return -1;
}

cudaError_t cudaIpcOpenMemHandle(void **out, cudaIpcMemHandle_t handle, unsigned flags) {
    Hold hold(lock());
    *out = nullptr;
    cudaError_t error = enter();
    if (error == cudaSuccess) error = unsafe();
    if (error != cudaSuccess) return error;
    Handle h;
    memcpy(&h, &handle, sizeof h);
    bool sound = h.magic == MAGIC && h.mapped % 4096 == 0 && h.mapped < 1ull << 40 && h.offset <= h.mapped &&
                 h.bytes <= h.mapped - h.offset && flags == cudaIpcMemLazyEnablePeerAccess;
    if (!sound || !option("no_ipc", "").empty()) return keep(sound ? cudaErrorNotSupported : cudaErrorInvalidValue);
    if (h.process == getpid()) return keep(cudaErrorDeviceUninitialized);
    if (h.device != device() && !option("no_peer", "").empty()) return keep(cudaErrorPeerAccessUnsupported);
    std::string words(reinterpret_cast<const char *>(&h), sizeof h);
    for (auto &one : state().blocks) {
        if (one.second.kind != ATTACHED_BLOCK || one.second.handle != words) continue;
        one.second.attached++;
        *out = reinterpret_cast<void *>(one.first);
        return cudaSuccess;
    }
    int fd = open_file(h);
    if (fd < 0) return keep(cudaErrorMapBufferObjectFailed);
    Block b = {ATTACHED_BLOCK, h.bytes, h.mapped, map_between_guards(fd, h.mapped), fd, h.offset, device(), 1, words};
    if (b.mapping == nullptr) misuse("no mapping of %zu bytes: %s", b.bytes, strerror(errno));
    *out = keep_block(std::move(b));
    return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void *base) {
    Hold hold(lock());
    cudaError_t error = enter();
    auto found = state().blocks.find(reinterpret_cast<uintptr_t>(base));
    if (found == state().blocks.end() || found->second.kind != ATTACHED_BLOCK) return keep(cudaErrorInvalidValue);
    if (--found->second.attached > 0) return error;
    /* CUDA does not say that it waits: what still runs there faults. */
    release_block(base);
    return error;
}

/* The driver's calls. */

static CUresult get_handle(void *out, CUdeviceptr at, size_t bytes, CUmemRangeHandleType type, unsigned long long) {
    Hold hold(lock());
    if (enter() != cudaSuccess) return CUDA_ERROR_NOT_INITIALIZED;
    bool can = option("no_dmabuf", "").empty();
    if (type != CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD || !can) return CUDA_ERROR_NOT_SUPPORTED;
    if (at % 4096 != 0 || bytes % 4096 != 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    for (auto &one : state().blocks) {
        const Block &b = one.second;
        if (b.kind != DEVICE_BLOCK) continue;
        uintptr_t first = one.first - b.offset;
        if (at < first || at - first > b.mapped || bytes > b.mapped - (at - first)) continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", b.fd);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || lseek(fd, (off_t)(at - first), SEEK_SET) < 0) return CUDA_ERROR_UNKNOWN;
        *static_cast<int *>(out) = fd;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult get_range(CUdeviceptr *base, size_t *bytes, CUdeviceptr at) {
    Hold hold(lock());
    const auto *found = block_of(reinterpret_cast<void *>(at));
    if (found == nullptr || !is_device(reinterpret_cast<void *>(at), 1)) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = found->first;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return CUDA_SUCCESS;
}

static bool no_such(CUdevice number) {
    return enter() != cudaSuccess || number < 0 || (size_t)number >= state().devices.size();
}

static CUresult get_attribute(int *out, CUdevice_attribute attribute, CUdevice number) {
    if (attribute == CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED) {
        Hold hold(lock());
        if (no_such(number)) return CUDA_ERROR_INVALID_DEVICE;
        *out = option("no_dmabuf", "").empty();
        return CUDA_SUCCESS;
    }
    /* The runtime's attributes have the driver's numbers. */
    return cudaDeviceGetAttribute(out, (cudaDeviceAttr)attribute, number) == cudaSuccess ? CUDA_SUCCESS
                                                                                          : CUDA_ERROR_INVALID_VALUE;
}

static CUresult get_primary(CUdevice number, unsigned *flags, int *active) {
    Hold hold(lock());
    if (no_such(number)) return CUDA_ERROR_INVALID_DEVICE;
    *flags = state().devices[(size_t)number].flags;
    *active = state().devices[(size_t)number].active;
    return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **out, unsigned version, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
    static const struct {
        const char *name;
        unsigned since;
        void *call;
    } calls[] = {
        {"cuMemGetHandleForAddressRange", 11070, reinterpret_cast<void *>(get_handle)},
        {"cuMemGetAddressRange", 3020, reinterpret_cast<void *>(get_range)},
        {"cuDeviceGetAttribute", 2000, reinterpret_cast<void *>(get_attribute)},
        {"cuDevicePrimaryCtxGetState", 7000, reinterpret_cast<void *>(get_primary)},
    };
    Hold hold(lock());
    *out = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    cudaError_t error = enter();
    if (error == cudaSuccess)
        for (const auto &call : calls) {
            if (strcmp(call.name, symbol) != 0) continue;
            bool known = version >= call.since && version <= (unsigned)state().driver;
            found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointVersionNotSufficent;
            if (known) *out = call.call;
        }
    if (result != nullptr) *result = found;
    return error;
}
