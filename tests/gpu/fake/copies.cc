/* copies: as CUDA documents what waits for the CPU and what does not ("API synchronization behavior").
 *
 * Queued copies from or to memory of the host that is not pinned "might be synchronous": nobody may rely on it. Here
 * they read and write late in the lazy order, at once in the eager one, and as the seed draws in the random one.
 */
#include <string.h>

#include <memory>

#include "state.h"

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

enum Place { ON_DEVICE, PINNED, PAGEABLE };

/* Where [base, base + bytes) lies; misuse where it runs out of what was allocated. */
static Place place_of(const void *base, size_t bytes, const char *what) {
    const auto *found = block_of(base);
    if (found == nullptr) return PAGEABLE;
    size_t offset = reinterpret_cast<uintptr_t>(base) - found->first;
    if (bytes > found->second.bytes - offset)
        misuse("%s of %zu bytes at byte %zu of a block of %zu", what, bytes, offset, found->second.bytes);
    return found->second.kind == DEVICE_BLOCK || found->second.kind == ATTACHED_BLOCK ? ON_DEVICE : PINNED;
}

/* Whole words, as hardware moves them: who reads while this writes sees no halves. */
static void move_words(void *to, const void *from, size_t bytes) {
    char *t = static_cast<char *>(to);
    const char *f = static_cast<const char *>(from);
    bool overlap = t < f + bytes && f < t + bytes;
    if (((reinterpret_cast<uintptr_t>(t) | reinterpret_cast<uintptr_t>(f)) & 3) != 0 || overlap) {
        memmove(t, f, bytes);
        return;
    }
    size_t words = bytes / 4;
    for (size_t i = 0; i < words; i++) {
        uint32_t word = __atomic_load_n(reinterpret_cast<const uint32_t *>(f) + i, __ATOMIC_RELAXED);
        __atomic_store_n(reinterpret_cast<uint32_t *>(t) + i, word, __ATOMIC_RELAXED);
    }
    memcpy(t + words * 4, f + words * 4, bytes % 4);
}

struct Rect {
    void *to;
    const void *from;
    size_t to_pitch, from_pitch, width, rows;

    size_t to_bytes() const { return (rows - 1) * to_pitch + width; }
    size_t from_bytes() const { return (rows - 1) * from_pitch + width; }
    void move() const {
        for (size_t i = 0; i < rows; i++)
            move_words(static_cast<char *>(to) + i * to_pitch, static_cast<const char *>(from) + i * from_pitch, width);
    }
};

static Item item_of(const char *what, std::function<void()> work) {
    auto begin = [work] { return [work] { return state().counts.copies++, work(), DONE; }; };
    return Item{what, false, begin, nullptr, {}, nullptr};
}

/* The legacy default stream of the chosen device, on which calls without a stream run. */
static cudaStream_t legacy() {
    Device &d = now();
    if (d.legacy == nullptr) {
        d.legacy = new CUstream_st;
        d.legacy->device = device();
        state().streams.push_back(d.legacy);
    }
    return d.legacy;
}

static bool fits(cudaMemcpyKind kind, Place to, Place from) {
    bool to_device = to == ON_DEVICE, from_device = from == ON_DEVICE;
    switch (kind) {
    case cudaMemcpyHostToDevice: return !from_device;
    case cudaMemcpyDeviceToHost: return !to_device;
    case cudaMemcpyDeviceToDevice: return to != PAGEABLE && from != PAGEABLE;
    case cudaMemcpyHostToHost: return !to_device && !from_device;
    default: return true;
    }
}

/* What of the source is kept when the copy is queued: all of it, if it is staged. */
static cudaError_t queue_copy(cudaStream_t stream, const Rect &r, bool staged) {
    if (!staged) return push(stream, item_of("a copy", [r] { r.move(); }));
    std::shared_ptr<char> kept(new char[r.from_bytes()], std::default_delete<char[]>());
    memcpy(kept.get(), r.from, r.from_bytes());
    Rect from_kept = r;
    from_kept.from = kept.get();
    return push(stream, item_of("a copy", [from_kept, kept] { from_kept.move(); }));
}

static cudaError_t copy_async(const Rect &r, cudaMemcpyKind kind, cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess || r.width == 0 || r.rows == 0) return error;
    Place to = place_of(r.to, r.to_bytes(), "a copy"), from = place_of(r.from, r.from_bytes(), "a copy");
    if (!fits(kind, to, from)) return keep(cudaErrorInvalidValue);
    bool at_once = to != ON_DEVICE && from != ON_DEVICE;
    bool drawn = state().order == EAGER || (state().order == RANDOM && draw(2) == 0);
    bool staged = from == PAGEABLE && to == ON_DEVICE && drawn && !capturing(stream);
    if (at_once && capturing(stream)) at_once = false;
    error = queue_copy(stream, r, staged);
    if (to == PAGEABLE && drawn && !capturing(stream)) at_once = true;
    if (error == cudaSuccess && at_once) error = run_until(last(stream));
    return error;
}

static cudaError_t copy_now(const Rect &r, cudaMemcpyKind kind) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    error = forbidden(nullptr);
    if (error != cudaSuccess || r.width == 0 || r.rows == 0) return error;
    Place to = place_of(r.to, r.to_bytes(), "a copy"), from = place_of(r.from, r.from_bytes(), "a copy");
    if (!fits(kind, to, from)) return keep(cudaErrorInvalidValue);
    /* On its way from pageable memory it is staged, and need not have arrived; within the device nobody waits. */
    bool staged = from == PAGEABLE && to == ON_DEVICE;
    error = queue_copy(legacy(), r, staged);
    if (error == cudaSuccess && !staged && !(to == ON_DEVICE && from == ON_DEVICE)) error = run_until(last(legacy()));
    return error;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return copy_async(Rect{to, from, bytes, bytes, bytes, 1}, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t rows,
                              cudaMemcpyKind kind, cudaStream_t stream) {
    if (width > to_pitch || width > from_pitch) return keep(cudaErrorInvalidPitchValue);
    return copy_async(Rect{to, from, to_pitch, from_pitch, width, rows}, kind, stream);
}

cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t bytes, cudaStream_t stream) {
    return copy_async(Rect{to, from, bytes, bytes, bytes, 1}, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    return copy_now(Rect{to, from, bytes, bytes, bytes, 1}, kind);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t rows,
                         cudaMemcpyKind kind) {
    if (width > to_pitch || width > from_pitch) return keep(cudaErrorInvalidPitchValue);
    return copy_now(Rect{to, from, to_pitch, from_pitch, width, rows}, kind);
}

static Item fill_of(void *base, int value, size_t pitch, size_t width, size_t rows) {
    return item_of("a fill", [base, value, pitch, width, rows] {
        for (size_t i = 0; i < rows; i++) memset(static_cast<char *>(base) + i * pitch, value, width);
    });
}

cudaError_t cudaMemset2DAsync(void *base, size_t pitch, int value, size_t width, size_t rows, cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess || width == 0 || rows == 0) return error;
    if (place_of(base, (rows - 1) * pitch + width, "a fill") == PAGEABLE) return keep(cudaErrorInvalidValue);
    return push(stream, fill_of(base, value, pitch, width, rows));
}

cudaError_t cudaMemsetAsync(void *base, int value, size_t bytes, cudaStream_t stream) {
    return cudaMemset2DAsync(base, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset(void *base, int value, size_t bytes) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    error = forbidden(nullptr);
    if (error != cudaSuccess || bytes == 0) return error;
    Place place = place_of(base, bytes, "a fill");
    if (place == PAGEABLE) return keep(cudaErrorInvalidValue);
    error = push(legacy(), fill_of(base, value, bytes, bytes, 1));
    return error == cudaSuccess && place == PINNED ? run_until(last(legacy())) : error;
}
