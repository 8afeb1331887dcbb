/* streams: queues of work, marks in them, and the order in which they advance. */
#include <time.h>

#include <algorithm>

#include "state.h"

namespace ta_fake {

using Hold = std::lock_guard<std::recursive_mutex>;

static uint64_t clock_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void reach(const Moment &mark) {
    mark->done = true;
    mark->ns = clock_ns();
}

void begin_access() {
    if (state().open++ == 0 && state().strict) set_access(true);
}

void end_access() {
    if (--state().open == 0 && state().strict) set_access(false);
}

static void drop_items(cudaStream_t stream) {
    std::deque<Item> items;
    items.swap(stream->items);
    for (Item &item : items) reach(item.mark);
}

/* The device is lost: nothing that is queued on it will ever run. */
static void lose_now(int device) {
    lose(device, cudaErrorLaunchFailure);
    for (cudaStream_t stream : state().streams)
        if (stream->device == device) drop_items(stream);
}

static bool loses(int device) {
    State &s = state();
    Device &d = s.devices[(size_t)device];
    d.launches++;
    s.counts.launches++;
    return s.lose_after != 0 && d.launches >= s.lose_after && (s.lose_device < 0 || s.lose_device == device);
}

/* Runs a step of the first piece of a stream, or of what it waits for. Whether anything happened. */
static bool advance(cudaStream_t stream) {
    if (stream->items.empty()) return false;
    Item &item = stream->items.front();
    for (const Moment &before : item.after)
        if (!before->done) return advance(before->stream);
    if (!item.steps && item.begin) {
        if (item.counts && loses(stream->device)) {
            lose_now(stream->device);
            return true;
        }
        item.steps = item.begin();
    }
    Outcome outcome = DONE;
    if (item.steps) {
        begin_access();
        outcome = item.steps();
        end_access();
    }
    if (outcome != DONE) return outcome == MORE;
    reach(item.mark);
    stream->items.pop_front();
    return true;
}

/* A step of any stream, in the random order. */
static bool advance_any() {
    std::vector<cudaStream_t> busy;
    for (cudaStream_t stream : state().streams)
        if (!stream->items.empty()) busy.push_back(stream);
    while (!busy.empty()) {
        size_t which = draw(busy.size());
        if (advance(busy[which])) return true;
        busy.erase(busy.begin() + (ptrdiff_t)which);
    }
    return false;
}

/* What the order does of itself when work was queued. */
static void drift(cudaStream_t stream) {
    State &s = state();
    if (s.open != 0 || s.order == LAZY) return; /* a piece of work runs, or must not */
    begin_access();
    if (s.order == EAGER)
        while (advance(stream)) {}
    else
        for (uint64_t n = draw(4); n > 0 && advance_any(); n--) {}
    end_access();
}

/* Others may hold what we wait for: another thread, which needs the lock, or another process. */
static void let_others() {
    lock().unlock();
    timespec pause = {0, 20000};
    nanosleep(&pause, nullptr);
    lock().lock();
}

cudaError_t run_until(const Moment &mark) {
    if (!mark) return cudaSuccess;
    state().counts.waits++;
    int device = mark->stream->device;
    if (mark->done) return keep(state().devices[(size_t)device].lost);
    begin_access(); /* once for all that runs */
    while (!mark->done) {
        bool moved = state().order == RANDOM && draw(4) != 0 ? advance_any() : advance(mark->stream);
        if (!moved && !advance_any()) let_others();
    }
    end_access();
    return keep(state().devices[(size_t)device].lost);
}

cudaError_t run_all(int device) {
    std::vector<Moment> marks;
    for (cudaStream_t stream : state().streams)
        if (stream->device == device && stream->tail) marks.push_back(stream->tail);
    cudaError_t error = cudaSuccess;
    for (const Moment &mark : marks) error = run_until(mark);
    return keep(error == cudaSuccess ? state().devices[(size_t)device].lost : error);
}

/* Who asks again and again is answered in the end, even where nothing runs before somebody waits. */
void poll(cudaStream_t stream) {
    if (state().open != 0) return;
    if (state().order == RANDOM) {
        if (draw(3) == 0) advance_any();
    }
    if (++state().polls % 4 == 0 && !advance(stream)) advance_any();
}

Moment last(cudaStream_t stream) { return stream->tail; }

cudaError_t check_stream(cudaStream_t stream) {
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
        misuse("the legacy default stream is used, which waits for others unasked: name a stream of your own");
    const auto &all = state().streams;
    if (std::find(all.begin(), all.end(), stream) == all.end()) return keep(cudaErrorInvalidResourceHandle);
    return keep(state().devices[(size_t)stream->device].lost);
}

cudaError_t push(cudaStream_t stream, Item item) {
    if (capturing(stream)) return keep(capture_item(stream, item));
    Device &d = state().devices[(size_t)stream->device];
    if (stream == d.legacy) {
        for (cudaStream_t other : state().streams)
            if (other->blocking && other->device == stream->device && other->tail) item.after.push_back(other->tail);
    } else if (stream->blocking && d.legacy != nullptr && d.legacy->tail) {
        item.after.push_back(d.legacy->tail);
    }
    item.mark = std::make_shared<Mark>();
    item.mark->stream = stream;
    stream->tail = item.mark;
    stream->items.push_back(std::move(item));
    drift(stream);
    return cudaSuccess;
}

cudaError_t queue_steps(cudaStream_t stream, const char *what, std::function<std::function<Outcome()>()> begin) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    return push(stream, Item{what, true, std::move(begin), nullptr, {}, nullptr});
}

cudaError_t queue(cudaStream_t stream, const char *what, std::function<void()> work) {
    return queue_steps(stream, what, [work] { return [work] { return work(), DONE; }; });
}

void drop_queues() {
    State &s = state();
    for (cudaStream_t stream : s.streams) drop_items(stream);
    for (cudaStream_t stream : s.streams) delete stream;
    for (cudaEvent_t event : s.events) delete event;
    s.streams.clear();
    s.events.clear();
}

static cudaError_t make_stream(cudaStream_t *out, unsigned flags) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error == cudaSuccess) error = activate();
    if (error != cudaSuccess) return error;
    CUstream_st *stream = new CUstream_st;
    stream->device = device();
    stream->blocking = (flags & cudaStreamNonBlocking) == 0;
    state().streams.push_back(stream);
    *out = stream;
    return cudaSuccess;
}

} // namespace ta_fake

using namespace ta_fake;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) { return make_stream(out, flags); }

cudaError_t cudaStreamCreate(cudaStream_t *out) { return make_stream(out, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int) { return make_stream(out, flags); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error == cudaErrorInvalidResourceHandle) return error;
    if (error == cudaSuccess && capturing(stream)) return forbidden(stream);
    if (error == cudaSuccess) error = run_until(stream->tail); /* CUDA gives it back behind its work */
    auto &all = state().streams;
    auto found = std::find(all.begin(), all.end(), stream);
    if (found == all.end()) return error;
    all.erase(found);
    delete stream;
    return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    error = forbidden(stream);
    return error != cudaSuccess ? error : run_until(stream->tail);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    error = forbidden(stream);
    if (error != cudaSuccess) return error;
    if (stream->items.empty()) return cudaSuccess;
    poll(stream);
    error = keep(state().devices[(size_t)stream->device].lost);
    return error != cudaSuccess ? error : stream->items.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize(void) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    error = forbidden(nullptr);
    return error != cudaSuccess ? error : run_all(device());
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t call, void *argument) {
    return ta_fake::queue(stream, "a function of the host", [call, argument] { call(argument); });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int *number) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error == cudaSuccess) *number = stream->device;
    return error;
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned *flags) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error == cudaSuccess) *flags = stream->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return error;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return sticky();
}
