/* Graphs of the make-believe device: what was recorded runs as often as it is launched; what CUDA forbids meanwhile is
 * refused. */
#include <stdarg.h>
#include <stdio.h>

#include "fake_gpu.h"
#include "launch.cuh"

extern "C" {
#include <setjmp.h>
/* cmocka needs what stands above */
#include <cmocka.h>
}

enum { N = 100, ORDERS = 30 };

#define OK(call) assert_int_equal(call, cudaSuccess)

__global__ static void add_kernel(size_t n, float by, const float *x, float *y) { TA_GRID_FOR(i, n) y[i] = x[i] + by; }

/* Two streams, x -> y on one and x -> z on the other, y + z -> x behind both. */
struct Fork {
    cudaStream_t a, b;
    cudaEvent_t event;
    float *x, *y, *z;
};

__global__ static void sum_kernel(size_t n, const float *y, const float *z, float *x) {
    TA_GRID_FOR(i, n) x[i] = y[i] + z[i];
}

static void fork_open(Fork *f, const char *order) {
    ta_fake_gpu_reset(order);
    OK(cudaStreamCreateWithFlags(&f->a, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&f->b, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&f->event, cudaEventDisableTiming));
    for (float **block : {&f->x, &f->y, &f->z}) {
        OK(cudaMalloc(reinterpret_cast<void **>(block), N * sizeof(float)));
        OK(cudaMemsetAsync(*block, 0, N * sizeof(float), f->a));
    }
    OK(cudaStreamSynchronize(f->a));
}

static void fork_queue(Fork *f, float by, bool forks, bool joins) {
    OK(cudaEventRecord(f->event, f->a));
    if (forks) OK(cudaStreamWaitEvent(f->b, f->event, 0));
    TA_LAUNCH(add_kernel, 1, 32, 0, f->a, N, by, f->x, f->y);
    TA_LAUNCH(add_kernel, 1, 32, 0, f->b, N, 1.0f, f->x, f->z);
    OK(cudaEventRecord(f->event, f->b));
    if (joins) OK(cudaStreamWaitEvent(f->a, f->event, 0));
    TA_LAUNCH(sum_kernel, 1, 32, 0, f->a, N, f->y, f->z, f->x);
}

static float fork_value(Fork *f) {
    float out[N];
    OK(cudaMemcpyAsync(out, f->x, sizeof out, cudaMemcpyDeviceToHost, f->a));
    OK(cudaStreamSynchronize(f->a));
    for (int i = 1; i < N; i++) assert_true(out[i] == out[0]);
    return out[0];
}

static void test_a_graph_runs_as_often_as_it_is_launched(void **) {
    for (int order = 0; order < ORDERS; order++) {
        char text[32] = "order=lazy";
        if (order == 1) snprintf(text, sizeof text, "order=eager");
        if (order > 1) snprintf(text, sizeof text, "order=random:%d", order);
        Fork f;
        fork_open(&f, text);
        OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        fork_queue(&f, 1.0f, true, true);
        OK(cudaStreamIsCapturing(f.b, &status));
        assert_int_equal(status, cudaStreamCaptureStatusActive);
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t exec = nullptr;
        OK(cudaStreamEndCapture(f.a, &graph));
        size_t nodes = 0;
        OK(cudaGraphGetNodes(graph, nullptr, &nodes));
        assert_int_equal(nodes, 3);
        OK(cudaGraphInstantiate(&exec, graph, 0));
        OK(cudaGraphDestroy(graph));
        assert_true(fork_value(&f) == 0.0f); /* recording runs nothing */
        float expected = 0;
        for (int i = 0; i < 6; i++) {
            OK(cudaGraphLaunch(exec, f.a));
            expected = 2 * expected + 2;
        }
        assert_true(fork_value(&f) == expected);
        /* The same with another argument, put into the one that is there. */
        OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
        fork_queue(&f, 5.0f, true, true);
        OK(cudaStreamEndCapture(f.a, &graph));
        cudaGraphExecUpdateResultInfo info;
        OK(cudaGraphLaunch(exec, f.a)); /* queued before: runs as it was */
        OK(cudaGraphExecUpdate(exec, graph, &info));
        OK(cudaGraphLaunch(exec, f.a));
        expected = 2 * (2 * expected + 2) + 6;
        assert_true(fork_value(&f) == expected);
        OK(cudaGraphDestroy(graph));
        OK(cudaGraphExecDestroy(exec));
        assert_int_equal(ta_fake_gpu_count().graphs, 0);
    }
}

static void test_streams_must_come_together(void **) {
    Fork f;
    fork_open(&f, "order=lazy");
    cudaGraph_t graph = nullptr;
    OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
    fork_queue(&f, 1.0f, true, false);
    assert_int_equal(cudaStreamEndCapture(f.a, &graph), cudaErrorStreamCaptureUnjoined);
    assert_null(graph);
    (void)cudaGetLastError();
    /* An event from before the recording is of no moment in it. */
    OK(cudaEventRecord(f.event, f.b));
    OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(cudaStreamWaitEvent(f.a, f.event, 0), cudaErrorStreamCaptureIsolation);
    assert_int_equal(cudaStreamEndCapture(f.a, &graph), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(f.a, &graph), cudaErrorIllegalState);
}

/* What must not be called while a stream records, with the modes in which it is refused. */
static void test_what_a_recording_forbids(void **) {
    static const cudaStreamCaptureMode modes[] = {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal,
                                                  cudaStreamCaptureModeRelaxed};
    for (int call = 0; call < 6; call++) {
        for (cudaStreamCaptureMode mode : modes) {
            Fork f;
            fork_open(&f, "order=lazy");
            cudaGraph_t graph = nullptr;
            void *block = nullptr;
            OK(cudaStreamBeginCapture(f.a, mode));
            TA_LAUNCH(add_kernel, 1, 32, 0, f.a, N, 1.0f, f.x, f.y);
            cudaError_t error = call == 0 ? cudaStreamSynchronize(f.a) : call == 1 ? cudaDeviceSynchronize()
                              : call == 2 ? cudaMalloc(&block, 64) : call == 3 ? cudaFree(f.z)
                              : call == 4 ? cudaStreamQuery(f.a) : cudaMemset(f.z, 0, 4);
            bool unsafe = call == 2 || call == 3, refused = !unsafe || mode != cudaStreamCaptureModeRelaxed;
            assert_int_equal(error, refused ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
            error = cudaStreamEndCapture(f.a, &graph);
            assert_int_equal(error, refused ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
        }
    }
    Fork f; /* what goes on elsewhere is fine */
    fork_open(&f, "order=lazy");
    cudaGraph_t graph = nullptr;
    OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
    OK(cudaMemsetAsync(f.y, 0, 4, f.b));
    OK(cudaStreamSynchronize(f.b));
    OK(cudaStreamEndCapture(f.a, &graph));
}

static void test_a_missing_edge_shows(void **) {
    Fork f;
    fork_open(&f, "order=lazy");
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    OK(cudaStreamBeginCapture(f.a, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(f.event, f.a));
    OK(cudaStreamWaitEvent(f.b, f.event, 0));
    TA_LAUNCH(add_kernel, 1, 32, 0, f.b, N, 1.0f, f.x, f.z);
    TA_LAUNCH(sum_kernel, 1, 32, 0, f.a, N, f.y, f.z, f.x); /* should have waited */
    OK(cudaEventRecord(f.event, f.b));
    OK(cudaStreamWaitEvent(f.a, f.event, 0));
    OK(cudaStreamEndCapture(f.a, &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, f.a));
    assert_true(fork_value(&f) != 1.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_graph_runs_as_often_as_it_is_launched),
        cmocka_unit_test(test_streams_must_come_together),
        cmocka_unit_test(test_what_a_recording_forbids),
        cmocka_unit_test(test_a_missing_edge_shows),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
