/* The make-believe device itself: what is queued runs late, what is not waited for shows, errors are CUDA's. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_gpu.h"
#include "launch.cuh"

extern "C" {
#include <setjmp.h>
/* cmocka needs what stands above */
#include <cmocka.h>
}

enum { N = 300, SEEDS = 50 };

#define OK(call) assert_int_equal(call, cudaSuccess)

__global__ static void fill_kernel(size_t n, float value, float *x) { TA_GRID_FOR(i, n) x[i] = value + (float)i; }
__global__ static void write_kernel(size_t i, float *x) { x[i] = 1; }

static cudaStream_t stream_new() {
    cudaStream_t stream = nullptr;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static float *floats_new() {
    void *x = nullptr;
    OK(cudaMalloc(&x, N * sizeof(float)));
    assert_int_equal((uintptr_t)x % 512, 0);
    return static_cast<float *>(x);
}

static cudaEvent_t event_new() {
    cudaEvent_t event = nullptr;
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

static void follow(cudaStream_t stream, cudaStream_t after) {
    cudaEvent_t event = event_new();
    OK(cudaEventRecord(event, after));
    OK(cudaStreamWaitEvent(stream, event, 0));
    OK(cudaEventDestroy(event)); /* who waits, goes on waiting */
}

static const char *order_of(int i, char text[32]) {
    if (i == 0) return "order=lazy";
    if (i == 1) return "order=eager";
    snprintf(text, 32, "order=random:%d", i - 1);
    return text;
}

static void test_nothing_runs_before_somebody_waits(void **) {
    ta_fake_gpu_reset("order=lazy");
    cudaStream_t stream = stream_new();
    float *x = floats_new(), out[N] = {0};
    TA_LAUNCH(fill_kernel, 2, 64, 0, stream, N, 3.0f, x);
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream));
    OK(cudaGetLastError());
    assert_int_equal(ta_fake_gpu_count().queued, 2);
    assert_int_equal(ta_fake_gpu_count().launches, 0);
    assert_true(out[1] == 0);
    OK(cudaStreamSynchronize(stream));
    for (int i = 0; i < N; i++) assert_true(out[i] == 3.0f + (float)i);
    assert_int_equal(ta_fake_gpu_count().launches, 1);
    assert_int_equal(cudaStreamQuery(stream), cudaSuccess);
}

/* A value that one stream makes and another hands out; whether what arrived was right. */
static bool handed_over(const char *order, bool waits) {
    ta_fake_gpu_reset(order);
    cudaStream_t maker = stream_new(), taker = stream_new();
    float *x = floats_new(), out[N];
    TA_LAUNCH(fill_kernel, 1, 32, 0, maker, N, 1.0f, x);
    if (waits) follow(taker, maker);
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, taker));
    OK(cudaStreamSynchronize(taker));
    bool right = true;
    for (int i = 0; i < N; i++) right = right && out[i] == 1.0f + (float)i;
    OK(cudaDeviceSynchronize());
    return right;
}

/* The same for a buffer that one stream reads and another then uses for something else. */
static bool kept_until_read(const char *order, bool waits) {
    ta_fake_gpu_reset(order);
    cudaStream_t reader = stream_new(), writer = stream_new();
    float *x = floats_new(), out[N];
    TA_LAUNCH(fill_kernel, 1, 32, 0, reader, N, 1.0f, x);
    OK(cudaStreamSynchronize(reader));
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, reader));
    if (waits) follow(writer, reader);
    OK(cudaMemsetAsync(x, 0, N * sizeof(float), writer));
    OK(cudaStreamSynchronize(writer));
    OK(cudaStreamSynchronize(reader));
    return out[1] == 2.0f;
}

static void test_a_wait_that_is_missing_shows(void **) {
    assert_false(handed_over("order=lazy", false));
    assert_false(kept_until_read("order=lazy", false));
    int wrong = 0, wrong_too = 0;
    for (int i = 0; i < SEEDS; i++) {
        char text[32];
        assert_true(handed_over(order_of(i, text), true));
        assert_true(kept_until_read(order_of(i, text), true));
        wrong += !handed_over(order_of(i, text), false);
        wrong_too += !kept_until_read(order_of(i, text), false);
    }
    assert_in_range(wrong, 5, SEEDS - 2); /* not always: eager, and by chance */
    assert_in_range(wrong_too, 5, SEEDS - 2);
}

static void test_who_asks_is_answered_in_the_end(void **) {
    for (int order = 0; order < 8; order++) {
        char text[32];
        ta_fake_gpu_reset(order_of(order, text));
        cudaStream_t stream = stream_new(), other = stream_new();
        float *x = floats_new();
        for (int i = 0; i < 5; i++) TA_LAUNCH(fill_kernel, 1, 32, 0, other, N, 1.0f, x);
        follow(stream, other);
        cudaEvent_t event = event_new();
        OK(cudaEventRecord(event, stream));
        int asked = 0;
        cudaError_t error = cudaErrorNotReady;
        for (; error == cudaErrorNotReady && asked < 1000; asked++) error = cudaEventQuery(event);
        assert_int_equal(error, cudaSuccess);
        assert_true(order != 0 || asked > 5);
        assert_int_equal(cudaPeekAtLastError(), cudaSuccess); /* to be not ready is no error */
    }
}

static void test_an_event_recorded_again_frees_nobody(void **) {
    ta_fake_gpu_reset("order=lazy");
    cudaStream_t a = stream_new(), b = stream_new();
    float *x = floats_new(), out[N] = {0};
    cudaEvent_t event = event_new();
    OK(cudaStreamWaitEvent(b, event, 0)); /* never recorded: nothing to wait for */
    OK(cudaStreamSynchronize(b));
    TA_LAUNCH(fill_kernel, 1, 32, 0, a, N, 5.0f, x);
    OK(cudaEventRecord(event, a));
    OK(cudaStreamWaitEvent(b, event, 0));
    TA_LAUNCH(fill_kernel, 1, 32, 0, a, N, 6.0f, x); /* behind the moment that b waits for */
    OK(cudaEventRecord(event, a));
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, b));
    OK(cudaStreamSynchronize(b));
    assert_true(out[0] == 5.0f);
    OK(cudaEventSynchronize(event));
    OK(cudaMemcpy(out, x, sizeof out, cudaMemcpyDeviceToHost));
    assert_true(out[0] == 6.0f);
}

static void test_sources_are_read_late(void **) {
    ta_fake_gpu_reset("order=lazy");
    cudaStream_t stream = stream_new();
    float *x = floats_new(), plain[N], out[N], *pinned = nullptr;
    OK(cudaHostAlloc(reinterpret_cast<void **>(&pinned), sizeof plain, cudaHostAllocDefault));
    for (float *source : {plain, pinned}) {
        for (int i = 0; i < N; i++) source[i] = 1;
        OK(cudaMemcpyAsync(x, source, sizeof plain, cudaMemcpyHostToDevice, stream));
        for (int i = 0; i < N; i++) source[i] = 2;
        OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream));
        OK(cudaStreamSynchronize(stream));
        assert_true(out[7] == 2);
    }
    /* Without a stream the source is free at once; what arrives need not have, for streams that do not wait. */
    plain[7] = 3;
    OK(cudaMemcpy(x, plain, sizeof plain, cudaMemcpyHostToDevice));
    plain[7] = 4;
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    assert_true(out[7] == 2);
    OK(cudaDeviceSynchronize());
    OK(cudaMemcpy(out, x, sizeof out, cudaMemcpyDeviceToHost));
    assert_true(out[7] == 3);
    OK(cudaFreeHost(pinned));
}

static void test_rows_of_a_pitch(void **) {
    ta_fake_gpu_reset(nullptr);
    cudaStream_t stream = stream_new();
    float *x = floats_new(), in[N], out[N] = {0};
    for (int i = 0; i < N; i++) in[i] = (float)i;
    OK(cudaMemsetAsync(x, 0, sizeof in, stream));
    OK(cudaMemcpy2DAsync(x, 40, in, 80, 20, 10, cudaMemcpyHostToDevice, stream));
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    for (int i = 0; i < 100; i++) assert_true(out[i] == (i % 10 < 5 ? (float)(i / 10 * 20 + i % 10) : 0.0f));
    cudaError_t narrow = cudaMemcpy2DAsync(x, 40, in, 16, 20, 10, cudaMemcpyHostToDevice, stream);
    assert_int_equal(narrow, cudaErrorInvalidPitchValue);
    assert_int_equal(cudaMemcpyAsync(in, x, 4, cudaMemcpyHostToDevice, stream), cudaErrorInvalidValue);
}

static void test_errors_are_kept_until_asked_for(void **) {
    ta_fake_gpu_reset("devices=2,memory=1M");
    void *x = nullptr;
    assert_int_equal(cudaMalloc(&x, (1 << 20) + 1), cudaErrorMemoryAllocation);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    OK(cudaMalloc(&x, 1 << 20));
    size_t left = 1, total = 0;
    OK(cudaMemGetInfo(&left, &total));
    assert_int_equal(left, 0);
    assert_int_equal(total, 1 << 20);
    OK(cudaSetDevice(1));
    OK(cudaMemGetInfo(&left, &total));
    assert_int_equal(left, total);
    assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
    OK(cudaFree(x));
    assert_int_equal(cudaFree(x), cudaErrorInvalidValue);
    assert_int_equal(ta_fake_gpu_count().bytes, 0);
    ta_fake_gpu_reset("oom_after=1");
    OK(cudaMalloc(&x, 16));
    assert_int_equal(cudaMalloc(&x, 16), cudaErrorMemoryAllocation);
}

static void test_a_lost_device_stays_lost(void **) {
    ta_fake_gpu_reset("devices=2,lose_after=2,lose_device=0");
    cudaStream_t stream = stream_new();
    float *x = floats_new(), out[N];
    TA_LAUNCH(fill_kernel, 1, 32, 0, stream, N, 1.0f, x);
    OK(cudaStreamSynchronize(stream));
    TA_LAUNCH(fill_kernel, 1, 32, 0, stream, N, 1.0f, x);
    OK(cudaGetLastError()); /* nobody knows yet */
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    assert_int_equal(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaStreamQuery(stream), cudaErrorLaunchFailure);
    OK(cudaSetDevice(1));
    cudaStream_t other = stream_new();
    TA_LAUNCH(fill_kernel, 1, 32, 0, other, N, 1.0f, floats_new());
    TA_LAUNCH(fill_kernel, 1, 32, 0, other, N, 1.0f, floats_new());
    OK(cudaStreamSynchronize(other));
}

static void test_machines_without(void **) {
    int n = -1;
    ta_fake_gpu_reset("no_driver");
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    assert_int_equal(cudaGetLastError(), cudaErrorInsufficientDriver);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    ta_fake_gpu_reset("driver=12080");
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    OK(cudaDriverGetVersion(&n));
    assert_int_equal(n, 12080);
    ta_fake_gpu_reset("devices=0");
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    assert_int_equal(cudaSetDevice(0), cudaErrorNoDevice);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorNoDevice);
    ta_fake_gpu_reset("devices=3,no_peer");
    OK(cudaGetDeviceCount(&n));
    assert_int_equal(n, 3);
    OK(cudaDeviceCanAccessPeer(&n, 0, 1));
    assert_int_equal(n, 0);
    assert_int_equal(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessUnsupported);
    ta_fake_gpu_reset("devices=2");
    OK(cudaDeviceEnablePeerAccess(1, 0));
    assert_int_equal(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
}

/* What ends the process, in one of its own; the signal that ended it. */
static int ended_by(void (*misuse)()) {
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
        ta_fake_gpu_reset("order=lazy");
        misuse();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : SIGSEGV; /* a sanitizer exits */
}

static void touch() { *static_cast<volatile float *>(floats_new()) = 1; }

static void write_behind() {
    cudaStream_t stream = stream_new();
    void *x = nullptr;
    OK(cudaMalloc(&x, 1024)); /* ends at a page nobody may touch; smaller rests are poisoned where a sanitizer looks */
    TA_LAUNCH(write_kernel, 1, 1, 0, stream, 256, static_cast<float *>(x));
    cudaStreamSynchronize(stream);
}

static void use_the_default_stream() { cudaStreamSynchronize(nullptr); }

static void copy_too_much() {
    float out[N + 1];
    cudaMemcpyAsync(out, floats_new(), sizeof out, cudaMemcpyDeviceToHost, stream_new());
}

static void test_misuse_ends_the_process(void **) {
    ta_fake_gpu_reset("order=lazy");
    assert_int_equal(ended_by(touch), SIGSEGV);
    assert_int_equal(ended_by(write_behind), SIGSEGV);
    assert_int_not_equal(ended_by(use_the_default_stream), 0);
    assert_int_not_equal(ended_by(copy_too_much), 0);
}

static void test_a_child_has_no_device(void **) {
    ta_fake_gpu_reset("order=lazy");
    float *x = floats_new();
    pid_t child = fork();
    if (child == 0) {
        int n;
        cudaError_t count = cudaGetDeviceCount(&n), freed = cudaFree(x);
        _exit(count == cudaErrorInitializationError && freed == cudaErrorInitializationError ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    OK(cudaFree(x));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_runs_before_somebody_waits),
        cmocka_unit_test(test_a_wait_that_is_missing_shows),
        cmocka_unit_test(test_who_asks_is_answered_in_the_end),
        cmocka_unit_test(test_an_event_recorded_again_frees_nobody),
        cmocka_unit_test(test_sources_are_read_late),
        cmocka_unit_test(test_rows_of_a_pitch),
        cmocka_unit_test(test_errors_are_kept_until_asked_for),
        cmocka_unit_test(test_a_lost_device_stays_lost),
        cmocka_unit_test(test_machines_without),
        cmocka_unit_test(test_misuse_ends_the_process),
        cmocka_unit_test(test_a_child_has_no_device),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
