/* streams: what is queued where, in which order, and how far it is. */
#include <stdio.h>

#include "gpu_internal.h"

static const char *const names[TA_GPU_STREAMS] = {"compute", "apply", "put", "copy"};

/* What feeds the next step goes first; what leaves for peers goes before what only this replica waits for. */
static bool urgent(unsigned stream) { return stream == TA_GPU_APPLY || stream == TA_GPU_PUT; }

ta_status ta_gpu_streams_open(struct ta_gpu *gpu) {
    int least = 0, greatest = 0;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    for (unsigned s = 0; error == cudaSuccess && s < TA_GPU_STREAMS; s++) {
        error = cudaStreamCreateWithPriority(&gpu->streams[s], cudaStreamNonBlocking, urgent(s) ? greatest : least);
        if (error == cudaSuccess) error = cudaEventCreateWithFlags(&gpu->follows[s], cudaEventDisableTiming);
        for (unsigned i = 0; error == cudaSuccess && i < TA_GPU_TICKETS; i++)
            error = cudaEventCreateWithFlags(&gpu->rings[s].events[i], cudaEventDisableTiming);
    }
    return ta_gpu_said(gpu, error, "making its streams");
}

void ta_gpu_streams_close(struct ta_gpu *gpu) {
    for (unsigned s = 0; s < TA_GPU_STREAMS; s++) {
        for (unsigned i = 0; i < TA_GPU_TICKETS; i++)
            if (gpu->rings[s].events[i] != NULL) (void)cudaEventDestroy(gpu->rings[s].events[i]);
        if (gpu->follows[s] != NULL) (void)cudaEventDestroy(gpu->follows[s]);
        if (gpu->streams[s] != NULL) (void)cudaStreamDestroy(gpu->streams[s]);
    }
}

ta_status ta_gpu_mark(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t *ticket) {
    struct ta_gpu_ring *ring = &gpu->rings[stream];
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    if (ring->given - ring->reached == TA_GPU_TICKETS)
        return ta_fail(TA_INVALID,
                       "%d tickets are out on stream %s of GPU %u: ask for some of them (reached, wait) before "
                       "the next mark",
                       TA_GPU_TICKETS, names[stream], gpu->number);
    status = ta_gpu_said(gpu, cudaEventRecord(ring->events[ring->given % TA_GPU_TICKETS], gpu->streams[stream]),
                         "marking a stream");
    if (status == TA_OK) *ticket = ++ring->given;
    return status;
}

/* OK: known, and not reached as far as we know. END: reached. */
static ta_status look(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket, cudaEvent_t *event) {
    struct ta_gpu_ring *ring = &gpu->rings[stream];
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK) return status;
    if (ticket == 0 || ticket > ring->given)
        return ta_fail(TA_INVALID, "ticket %llu of stream %s of GPU %u was never given: %llu were",
                       (unsigned long long)ticket, names[stream], gpu->number, (unsigned long long)ring->given);
    *event = ring->events[(ticket - 1) % TA_GPU_TICKETS];
    return ticket <= ring->reached ? TA_END : TA_OK;
}

ta_status ta_gpu_reached(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket) {
    cudaEvent_t event = NULL;
    ta_status status = look(gpu, stream, ticket, &event);
    if (status != TA_OK) return status == TA_END ? TA_OK : status;
    cudaError_t error = cudaEventQuery(event);
    if (error == cudaErrorNotReady) {
        (void)ta_gpu_forget(error);
        return TA_AGAIN;
    }
    status = ta_gpu_said(gpu, error, "asking how far a stream is");
    if (status == TA_OK) gpu->rings[stream].reached = ticket;
    return status;
}

ta_status ta_gpu_wait(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket) {
    cudaEvent_t event = NULL;
    ta_status status = look(gpu, stream, ticket, &event);
    if (status != TA_OK) return status == TA_END ? TA_OK : status;
    status = ta_gpu_said(gpu, cudaEventSynchronize(event), "waiting for a stream");
    if (status == TA_OK) gpu->rings[stream].reached = ticket;
    return status;
}

/* A stream that was told to wait keeps what the event held at that moment, so one event a stream is enough. */
ta_status ta_gpu_follow(struct ta_gpu *gpu, enum ta_gpu_stream stream, enum ta_gpu_stream after) {
    ta_status status = ta_gpu_use(gpu);
    if (status != TA_OK || stream == after) return status;
    cudaError_t error = cudaEventRecord(gpu->follows[after], gpu->streams[after]);
    if (error == cudaSuccess) error = cudaStreamWaitEvent(gpu->streams[stream], gpu->follows[after], 0);
    return ta_gpu_said(gpu, error, "making a stream follow another");
}

ta_status ta_gpu_drain(struct ta_gpu *gpu) {
    ta_status status = ta_gpu_use(gpu);
    for (unsigned s = 0; status == TA_OK && s < TA_GPU_STREAMS; s++) {
        status = ta_gpu_said(gpu, cudaStreamSynchronize(gpu->streams[s]), "waiting for what is queued");
        if (status == TA_OK) gpu->rings[s].reached = gpu->rings[s].given;
    }
    return status;
}
