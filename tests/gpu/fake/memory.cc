/* memory: device memory in memory files, mapped between pages nobody may touch; pinned and registered memory of the
 * host. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mapping.h"
#include "state.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(base, bytes) ((void)(base), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(base, bytes) ((void)(base), (void)(bytes))
#endif

namespace ta_fake {

enum { PAGE = 4096, GUARD = 16 * PAGE, ALIGNED = 512 };

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static bool on_device(const Block &b) { return b.kind == DEVICE_BLOCK || b.kind == ATTACHED_BLOCK; }

/* Large ones are left open: to close and open them at every wait would take longer than what runs there. */
static bool closes(const Block &b) { return on_device(b) && b.mapped <= 1 << 20; }

void set_access(bool open) {
    for (auto &one : state().blocks)
        if (closes(one.second))
            mprotect(one.second.mapping + GUARD, one.second.mapped, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/* Says what a fault was about, and leaves it to who was there before. */
static struct sigaction before_us;

static void at_fault(int number, siginfo_t *info, void *context) {
    for (auto &one : state().blocks) {
        const Block &b = one.second;
        const char *at = static_cast<const char *>(info->si_addr);
        if (!on_device(b) || at < b.mapping || at >= b.mapping + b.mapped + 2 * GUARD) continue;
        fprintf(stderr, "make-believe device: fault at byte %td of device memory of %zu bytes, %s\n",
                at - reinterpret_cast<const char *>(one.first), b.bytes,
                state().open != 0 ? "touched by what runs on the device" : "touched by the CPU, which may not");
        break;
    }
    if ((before_us.sa_flags & SA_SIGINFO) != 0) {
        before_us.sa_sigaction(number, info, context);
        return;
    }
    signal(number, before_us.sa_handler == SIG_IGN ? SIG_DFL : before_us.sa_handler);
}

static void watch_faults() {
    static bool watching = false;
    if (watching) return;
    watching = true;
    struct sigaction action = {};
    action.sa_sigaction = at_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_us);
}

char *map_between_guards(int fd, size_t mapped) {
    void *all = mmap(nullptr, mapped + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    char *mapping = static_cast<char *>(all);
    void *inner = mmap(mapping + GUARD, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (inner != MAP_FAILED) return mapping;
    munmap(all, mapped + 2 * GUARD);
    return nullptr;
}

void *keep_block(Block b) {
    watch_faults();
    char *base = b.mapping + GUARD + b.offset;
    ASAN_POISON_MEMORY_REGION(base + b.bytes, b.mapped - b.offset - b.bytes);
    if (state().strict && state().open == 0 && closes(b)) mprotect(b.mapping + GUARD, b.mapped, PROT_NONE);
    state().blocks[reinterpret_cast<uintptr_t>(base)] = b;
    return base;
}

static void release(uintptr_t base) {
    State &s = state();
    Block b = s.blocks[base];
    s.blocks.erase(base);
    if (on_device(b)) {
        ASAN_UNPOISON_MEMORY_REGION(b.mapping + GUARD, b.mapped);
        munmap(b.mapping, b.mapped + 2 * GUARD);
        if (b.fd >= 0) close(b.fd);
        if (b.kind == DEVICE_BLOCK) s.devices[(size_t)b.device].used -= b.bytes;
    } else if (b.kind == PINNED_BLOCK) {
        free(reinterpret_cast<void *>(base));
    }
}

void release_block(const void *base) { release(reinterpret_cast<uintptr_t>(base)); }

void drop_blocks() {
    while (!state().blocks.empty()) release(state().blocks.begin()->first);
}

const std::pair<const uintptr_t, Block> *block_of(const void *address) {
    const auto &all = state().blocks;
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    auto after = all.upper_bound(at);
    if (after == all.begin()) return nullptr;
    --after;
    return at - after->first < after->second.bytes ? &*after : nullptr;
}

bool is_device(const void *base, size_t bytes) {
    std::lock_guard<std::recursive_mutex> hold(lock());
    const auto *found = block_of(base);
    return found != nullptr && on_device(found->second) &&
           reinterpret_cast<uintptr_t>(base) - found->first + bytes <= found->second.bytes;
}

/* Numbers that no computation can hide: NaN as float, bfloat16 and half, far outside of anything as an index. */
static void poison(void *base, size_t bytes) {
    static const uint64_t pattern = 0x7fe17fe17fe17fe1u;
    char *to = static_cast<char *>(base);
    size_t i = 0;
    for (; i + sizeof pattern <= bytes; i += sizeof pattern) memcpy(to + i, &pattern, sizeof pattern);
    memcpy(to + i, &pattern, bytes - i);
}

static cudaError_t allocate(size_t bytes, void **out) {
    State &s = state();
    if (s.counts.allocations++ >= s.oom_after || bytes > s.memory - now().used) return cudaErrorMemoryAllocation;
    Block b = {DEVICE_BLOCK, bytes, round_up(bytes, PAGE), nullptr, -1, 0, device(), 0, ""};
    b.offset = b.mapped - round_up(bytes, ALIGNED); /* it ends at the guard */
    b.fd = memfd_create("make-believe GPU", MFD_CLOEXEC);
    if (b.fd < 0 || ftruncate(b.fd, (off_t)b.mapped) != 0)
        misuse("no memory file of %zu bytes: %s", bytes, strerror(errno));
    b.mapping = map_between_guards(b.fd, b.mapped);
    if (b.mapping == nullptr) misuse("no mapping of %zu bytes: %s", bytes, strerror(errno));
    poison(b.mapping + GUARD, b.mapped);
    now().used += bytes;
    *out = keep_block(std::move(b));
    return cudaSuccess;
}

} // namespace ta_fake

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaMalloc(void **out, size_t bytes) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) error = unsafe();
    if (error == cudaSuccess) error = activate();
    if (error != cudaSuccess) return error;
    *out = nullptr;
    return bytes == 0 ? cudaSuccess : keep(allocate(bytes, out));
}

/* Gives back a block of one of two kinds, behind all work of its device. */
static cudaError_t give_back(const void *base, Kind kind, cudaError_t stranger) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) error = unsafe();
    if (base == nullptr) return error;
    auto found = state().blocks.find(reinterpret_cast<uintptr_t>(base));
    if (found == state().blocks.end() || found->second.kind != kind) return keep(stranger);
    int owner = found->second.device;
    if (error == cudaSuccess) error = run_all(owner);
    release_block(base);
    return error;
}

cudaError_t cudaFree(void *base) { return give_back(base, DEVICE_BLOCK, cudaErrorInvalidValue); }

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) error = unsafe();
    if (error == cudaSuccess) error = activate();
    if (error != cudaSuccess) return error;
    *out = nullptr;
    if (bytes == 0) return cudaSuccess;
    state().counts.allocations++;
    if (posix_memalign(out, PAGE, bytes) != 0) return keep(cudaErrorMemoryAllocation);
    poison(*out, bytes);
    state().blocks[reinterpret_cast<uintptr_t>(*out)] = Block{PINNED_BLOCK, bytes, 0, nullptr, -1, 0, device(), 0, ""};
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) { return cudaHostAlloc(out, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void *base) { return give_back(base, PINNED_BLOCK, cudaErrorInvalidValue); }

cudaError_t cudaHostRegister(void *base, size_t bytes, unsigned) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) error = unsafe();
    if (error != cudaSuccess) return error;
    if (base == nullptr || bytes == 0) return keep(cudaErrorInvalidValue);
    uintptr_t from = reinterpret_cast<uintptr_t>(base);
    auto next = state().blocks.lower_bound(from);
    if (block_of(base) != nullptr || (next != state().blocks.end() && next->first < from + bytes))
        return keep(cudaErrorHostMemoryAlreadyRegistered);
    state().blocks[from] = Block{REGISTERED_BLOCK, bytes, 0, nullptr, -1, 0, device(), 0, ""};
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *base) {
    return give_back(base, REGISTERED_BLOCK, cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaHostGetDevicePointer(void **out, void *base, unsigned) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    const auto *found = block_of(base);
    if (found == nullptr || on_device(found->second)) return keep(cudaErrorInvalidValue);
    *out = base;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *address) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    *out = cudaPointerAttributes();
    const auto *found = block_of(address);
    bool far = found != nullptr && on_device(found->second);
    out->type = far ? cudaMemoryTypeDevice : found != nullptr ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    out->device = found == nullptr ? cudaInvalidDeviceId : found->second.device;
    out->hostPointer = far ? nullptr : const_cast<void *>(address);
    out->devicePointer = found != nullptr ? const_cast<void *>(address) : nullptr;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    *total = state().memory;
    *free = *total - now().used;
    return cudaSuccess;
}
