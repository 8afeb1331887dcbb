/* block: a kernel's blocks one after another, the threads of a block in turns. A fiber runs thread after thread until
 * one waits; it then belongs to that one, and another fiber takes the next. A kernel that never waits is a loop. */
#include "fake_device.h"

#include <algorithm>
#include <vector>

#include "fibers.h"
#include "state.h"

uint3 ta_fake_threadIdx, ta_fake_blockIdx;
dim3 ta_fake_blockDim, ta_fake_gridDim;

namespace ta_fake {

enum Status { FRESH, READY, AT_BARRIER, IN_WARP, GONE };

struct Thread {
    Status status;
    Fiber *fiber;
    Place place;
    WarpCall call;
    unsigned mask, from;
    uint64_t value, result;
};

/* The block that runs; work runs one piece at a time in a process. Its fibers live as long as that. */
struct Running {
    const char *name;
    const std::function<void()> *body;
    std::vector<Thread> threads;
    std::vector<unsigned> order, ready;
    size_t next;          /* in order: who has not begun */
    unsigned current, left, waiting;
    Fiber *fiber;         /* that runs */
    std::vector<Fiber *> idle;
    std::vector<unsigned char> shared;
    unsigned char *dynamic;
};
static Running &b = *new Running();

static const char *const call_names[] = {"__syncwarp", "a shuffle", "a ballot", "a sum",          "a minimum",
                                         "a maximum",  "an or",     "an and",   "an exclusive or"};

static void be(unsigned thread) {
    b.current = thread;
    ta_fake_threadIdx.x = thread % blockDim.x;
    ta_fake_threadIdx.y = thread / blockDim.x % blockDim.y;
    ta_fake_threadIdx.z = thread / blockDim.x / blockDim.y;
}

static void wake(unsigned thread) {
    b.threads[thread].status = READY;
    b.ready.push_back(thread);
}

/* Others have their turn until this thread, which was woken or will be, has its own. */
static void suspend() {
    Thread &t = b.threads[b.current];
    t.fiber = b.fiber;
    fiber_leave(t.fiber);
}

static void check_barrier() {
    if (b.waiting == 0 || b.waiting < b.left) return;
    const Thread *first = nullptr;
    for (unsigned i = 0; i < b.threads.size(); i++) {
        Thread &t = b.threads[i];
        if (t.status != AT_BARRIER) continue;
        if (first == nullptr) first = &t;
        if (t.place.line != first->place.line || strcmp(t.place.file, first->place.file) != 0)
            misuse("%s: threads of a block wait at two barriers, %s:%d and %s:%d", b.name, first->place.file,
                   first->place.line, t.place.file, t.place.line);
    }
    b.waiting = 0;
    for (unsigned i = 0; i < b.threads.size(); i++)
        if (b.threads[i].status == AT_BARRIER) wake(i);
}

void barrier(Place place) {
    if (b.body == nullptr) misuse("__syncthreads outside of a kernel");
    Thread &t = b.threads[b.current];
    t.place = place;
    t.status = AT_BARRIER;
    b.waiting++;
    check_barrier();
    suspend();
}

unsigned lane() { return b.current % 32; }

/* The lanes of a warp that exist and have not left the kernel. */
static unsigned alive(unsigned first) {
    unsigned lanes = 0;
    for (unsigned i = 0; i < 32 && first + i < b.threads.size(); i++)
        if (b.threads[first + i].status != GONE) lanes |= 1u << i;
    return lanes;
}

unsigned active() { return 1u << lane(); }

static uint64_t combine(WarpCall call, unsigned first, unsigned lanes) {
    uint64_t sum = call == MIN || call == AND ? 0xffffffffu : 0;
    for (unsigned i = 0; i < 32; i++) {
        if ((lanes >> i & 1) == 0) continue;
        uint64_t value = b.threads[first + i].value;
        switch (call) {
        case BALLOT: sum |= (value & 1) << i; break;
        case ADD: sum = (uint32_t)(sum + value); break;
        case MIN: sum = std::min(sum, value); break;
        case MAX: sum = std::max(sum, value); break;
        case OR: sum |= value; break;
        case AND: sum &= value; break;
        case XOR: sum ^= value; break;
        default: break;
        }
    }
    return sum;
}

/* Whether all lanes that `thread` waits for have come; then they have their results. */
static bool meet(unsigned thread) {
    unsigned first = thread / 32 * 32;
    const Thread &t = b.threads[thread];
    unsigned lanes = t.mask & alive(first);
    for (unsigned i = 0; i < 32; i++) {
        if ((lanes >> i & 1) == 0) continue;
        const Thread &other = b.threads[first + i];
        if (other.status != IN_WARP || other.call != t.call || other.mask != t.mask) return false;
    }
    uint64_t sum = t.call == SHUFFLE || t.call == SYNC ? 0 : combine(t.call, first, lanes);
    for (unsigned i = 0; i < 32; i++) {
        if ((lanes >> i & 1) == 0) continue;
        Thread &one = b.threads[first + i];
        bool there = one.from < 32 && (lanes >> one.from & 1) != 0;
        /* Of a lane that is not among them the value is undefined. */
        one.result = one.call != SHUFFLE ? sum : there ? b.threads[first + one.from].value : 0x7fe17fe17fe17fe1u;
    }
    for (unsigned i = 0; i < 32; i++)
        if ((lanes >> i & 1) != 0) wake(first + i);
    return true;
}

uint64_t warp(WarpCall call, unsigned mask, uint64_t value, unsigned from, Place place) {
    if (b.body == nullptr) misuse("%s outside of a kernel", call_names[call]);
    unsigned thread = b.current;
    Thread &t = b.threads[thread];
    if ((mask >> lane() & 1) == 0)
        misuse("%s: %s:%d: lane %u calls with mask %08x, in which it is not", b.name, place.file, place.line, lane(),
               mask);
    t.place = place;
    t.call = call;
    t.mask = mask;
    t.value = value;
    t.from = from;
    t.status = IN_WARP;
    meet(thread);
    suspend();
    return t.result;
}

void *dynamic_shared() { return b.dynamic; }

/* A thread has come to its end: it may have been the last that others wait for. */
static void gone(unsigned thread) {
    b.threads[thread].status = GONE;
    b.left--;
    check_barrier();
    unsigned first = thread / 32 * 32;
    for (unsigned i = first; i < first + 32 && i < b.threads.size(); i++)
        if (b.threads[i].status == IN_WARP && (b.threads[i].mask >> thread % 32 & 1) != 0 && meet(i)) break;
}

static void run_threads() {
    for (;;) {
        while (b.next < b.order.size()) {
            be(b.order[b.next++]);
            (*b.body)();
            gone(b.current);
        }
        b.idle.push_back(b.fiber);
        fiber_leave(b.fiber);
    }
}

[[noreturn]] static void report() {
    size_t shown = 0;
    for (size_t i = 0; i < b.threads.size() && shown < 4; i++) {
        const Thread &t = b.threads[i];
        if (t.status == GONE) continue;
        shown++;
        fprintf(stderr, "make-believe device: thread %zu waits in %s at %s:%d, mask %08x\n", i,
                t.status == AT_BARRIER ? "__syncthreads" : call_names[t.call], t.place.file, t.place.line,
                t.status == AT_BARRIER ? 0xffffffffu : t.mask);
    }
    misuse("%s: %u threads of block (%u, %u, %u) wait for each other at different places", b.name, b.left, blockIdx.x,
           blockIdx.y, blockIdx.z);
}

static void shuffle_order() {
    for (size_t i = b.order.size(); i > 1; i--) std::swap(b.order[i - 1], b.order[draw(i)]);
}

static void run_block(size_t threads) {
    Thread fresh = {};
    b.threads.assign(threads, fresh);
    b.ready.clear();
    b.next = 0;
    b.left = (unsigned)threads;
    b.waiting = 0;
    if (state().order == RANDOM) shuffle_order();
    for (size_t i = 0; i < b.shared.size(); i++) b.shared[i] = i & 1 ? 0x7f : 0xe1;
    while (b.left > 0) {
        bool begin = b.next < threads && (b.ready.empty() || draw(2) == 0);
        if (!begin && b.ready.empty()) report();
        if (begin) {
            if (b.idle.empty()) b.idle.push_back(fiber_create(run_threads));
            b.fiber = b.idle.back();
            b.idle.pop_back();
        } else {
            size_t which = state().order == RANDOM ? draw(b.ready.size()) : b.ready.size() - 1;
            unsigned thread = b.ready[which];
            b.ready[which] = b.ready.back();
            b.ready.pop_back();
            b.fiber = b.threads[thread].fiber;
            be(thread);
        }
        fiber_enter(b.fiber);
    }
}

static void run_kernel(const char *name, const Shape &shape, const std::function<void()> &body) {
    dim3 grid = shape.grid, block = shape.block;
    size_t threads = (size_t)block.x * block.y * block.z, blocks = (size_t)grid.x * grid.y * grid.z;
    b.name = name;
    b.body = &body;
    b.shared.assign(shape.shared, 0);
    b.shared.shrink_to_fit();
    b.dynamic = b.shared.data();
    b.order.resize(threads);
    for (size_t i = 0; i < threads; i++) b.order[i] = (unsigned)i;
    ta_fake_blockDim = block;
    ta_fake_gridDim = grid;
    /* Any number of blocks in a drawn order: steps of a prime that does not divide their number. */
    size_t at = draw(blocks), by = draw(2) == 0 || blocks % 1000003 == 0 ? 1 : 1000003;
    for (size_t i = 0; i < blocks; i++, at = (at + by) % blocks) {
        ta_fake_blockIdx.x = (unsigned)(at % grid.x);
        ta_fake_blockIdx.y = (unsigned)(at / grid.x % grid.y);
        ta_fake_blockIdx.z = (unsigned)(at / grid.x / grid.y);
        run_block(threads);
    }
    b.body = nullptr;
}

cudaError_t launch_kernel(const char *name, const void *kernel, const Shape &shape, cudaStream_t stream,
                          std::function<void()> body) {
    dim3 grid = shape.grid, block = shape.block;
    size_t shared = shape.shared;
    std::lock_guard<std::recursive_mutex> hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    size_t threads = (size_t)block.x * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
        grid.x > INT_MAX || grid.y > 65535 || grid.z > 65535)
        return keep(cudaErrorInvalidConfiguration);
    auto found = state().shared_limits.find(kernel);
    if (shared > (found == state().shared_limits.end() ? 48u << 10 : found->second)) return keep(cudaErrorInvalidValue);
    return ta_fake::queue(stream, name, [name, shape, body] { run_kernel(name, shape, body); });
}

} // namespace ta_fake

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    std::lock_guard<std::recursive_mutex> hold(ta_fake::lock());
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > 227 << 10) return ta_fake::keep(cudaErrorInvalidValue);
    ta_fake::state().shared_limits[kernel] = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *, int threads, size_t,
                                                                   unsigned) {
    *blocks = threads > 0 ? std::max(1, 2048 / threads) : 0;
    return threads > 0 ? cudaSuccess : ta_fake::keep(cudaErrorInvalidValue);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *kernel, int threads, size_t shared) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, kernel, threads, shared, 0);
}
