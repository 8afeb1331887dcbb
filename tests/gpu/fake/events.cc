/* events: moments of streams that other streams and the CPU wait for. */
#include "state.h"

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if ((flags & cudaEventInterprocess) != 0) return keep(cudaErrorNotSupported);
    CUevent_st *event = new CUevent_st;
    event->device = device();
    event->timing = (flags & cudaEventDisableTiming) == 0;
    state().events.insert(event);
    *out = event;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, cudaEventDefault); }

static cudaError_t check_event(cudaEvent_t event) {
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if (state().events.count(event) == 0) return keep(cudaErrorInvalidResourceHandle);
    return keep(state().devices[(size_t)event->device].lost);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    Hold hold(lock());
    cudaError_t error = check_event(event);
    if (error == cudaErrorInvalidResourceHandle) return error;
    state().events.erase(event); /* who waits for it keeps the mark */
    delete event;
    return error;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error == cudaSuccess) error = check_event(event);
    if (error != cudaSuccess) return error;
    if (capturing(stream)) return keep(capture_record(stream, event));
    if (event->device != stream->device) return keep(cudaErrorInvalidResourceHandle);
    event->capture = nullptr;
    error = push(stream, Item{"an event", false, nullptr, nullptr, {}, nullptr});
    event->mark = last(stream);
    return error;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    return flags == cudaEventRecordDefault ? cudaEventRecord(event, stream) : keep(cudaErrorNotSupported);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error == cudaSuccess) error = check_event(event);
    if (error != cudaSuccess) return error;
    if (event->capture != nullptr || capturing(stream)) return keep(capture_wait(stream, event));
    if (!event->mark || event->mark->done) return cudaSuccess; /* never recorded, or reached */
    return push(stream, Item{"a wait", false, nullptr, nullptr, {event->mark}, nullptr});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    Hold hold(lock());
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return error;
    if (event->capture != nullptr) return keep(cudaErrorCapturedEvent);
    return run_until(event->mark);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    Hold hold(lock());
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return error;
    if (event->capture != nullptr) return keep(cudaErrorCapturedEvent);
    if (!event->mark || event->mark->done) return cudaSuccess;
    poll(event->mark->stream);
    error = keep(state().devices[(size_t)event->device].lost);
    return error != cudaSuccess ? error : event->mark->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    Hold hold(lock());
    cudaError_t error = check_event(from);
    if (error == cudaSuccess) error = check_event(to);
    if (error != cudaSuccess) return error;
    if (!from->timing || !to->timing || !from->mark || !to->mark) return keep(cudaErrorInvalidResourceHandle);
    if (!from->mark->done || !to->mark->done) return cudaErrorNotReady;
    *ms = (float)((double)((int64_t)to->mark->ns - (int64_t)from->mark->ns) * 1e-6);
    return cudaSuccess;
}
