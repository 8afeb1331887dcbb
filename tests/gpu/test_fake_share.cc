/* Device memory of the make-believe device in two processes, and in a file. */
#include <cuda.h>
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

enum { N = 1000, LAZY = cudaIpcMemLazyEnablePeerAccess };
static const CUmemRangeHandleType DMABUF = CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD;

#define OK(call) assert_int_equal(call, cudaSuccess)

__global__ static void fill_kernel(size_t n, int by, int *x) { TA_GRID_FOR(i, n) x[i] = (int)i * by; }

struct Pair {
    int there[2], back[2]; /* pipes */
};

static void told(int fd, void *what, size_t bytes) { assert_int_equal(read(fd, what, bytes), bytes); }
static void tell(int fd, const void *what, size_t bytes) { assert_int_equal(write(fd, what, bytes), bytes); }

/* The child: fills its peer's memory, twice opened, and reads what its peer wrote there. 0: all was well. */
static int peer(const Pair *p) {
    cudaIpcMemHandle_t handle;
    if (read(p->there[0], &handle, sizeof handle) != sizeof handle) return 1;
    ta_fake_gpu_reset("order=random:5");
    void *opened = nullptr, *again = nullptr;
    cudaStream_t stream = nullptr;
    int out[N];
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return 2;
    if (cudaIpcOpenMemHandle(&opened, handle, LAZY) != cudaSuccess) return 3;
    if (cudaIpcOpenMemHandle(&again, handle, LAZY) != cudaSuccess || again != opened) return 4;
    if (cudaMemcpyAsync(out, opened, sizeof out, cudaMemcpyDeviceToHost, stream) != cudaSuccess) return 5;
    if (cudaStreamSynchronize(stream) != cudaSuccess) return 6;
    for (int i = 0; i < N; i++)
        if (out[i] != i * 3) return 7;
    if (cudaIpcCloseMemHandle(again) != cudaSuccess) return 8;
    TA_LAUNCH(fill_kernel, 2, 64, 0, stream, N, 7, static_cast<int *>(opened));
    if (cudaStreamSynchronize(stream) != cudaSuccess) return 9;
    if (cudaIpcCloseMemHandle(opened) != cudaSuccess) return 10;
    if (cudaIpcCloseMemHandle(opened) != cudaErrorInvalidValue) return 11;
    char word = 1; /* the owner frees it; then it cannot be opened */
    if (write(p->back[1], &word, 1) != 1 || read(p->there[0], &word, 1) != 1) return 12;
    if (cudaIpcOpenMemHandle(&opened, handle, LAZY) != cudaErrorMapBufferObjectFailed) return 13;
    handle.reserved[3] ^= 1;
    if (cudaIpcOpenMemHandle(&opened, handle, LAZY) != cudaErrorInvalidValue) return 14;
    return 0;
}

static void test_two_processes_share_memory(void **) {
    Pair p;
    assert_int_equal(pipe(p.there), 0);
    assert_int_equal(pipe(p.back), 0);
    pid_t child = fork(); /* before either uses a device */
    if (child == 0) _exit(peer(&p));
    ta_fake_gpu_reset("order=lazy");
    void *x = nullptr, *own = nullptr;
    int out[N];
    char word = 0;
    cudaStream_t stream = nullptr;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&x, N * sizeof(int)));
    TA_LAUNCH(fill_kernel, 1, 32, 0, stream, N, 3, static_cast<int *>(x));
    OK(cudaStreamSynchronize(stream));
    cudaIpcMemHandle_t handle;
    OK(cudaIpcGetMemHandle(&handle, x));
    assert_int_equal(cudaIpcOpenMemHandle(&own, handle, LAZY), cudaErrorDeviceUninitialized);
    tell(p.there[1], &handle, sizeof handle);
    told(p.back[0], &word, 1);
    OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    for (int i = 0; i < N; i++) assert_int_equal(out[i], i * 7);
    OK(cudaFree(x));
    tell(p.there[1], &word, 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (int fd : {p.there[0], p.there[1], p.back[0], p.back[1]}) close(fd);
}

static void test_memory_is_exported(void **) {
    ta_fake_gpu_reset("order=lazy");
    cudaStream_t stream = nullptr;
    void *x = nullptr, *call = nullptr;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&x, 3 << 12));
    cudaDriverEntryPointQueryResult result;
    OK(cudaGetDriverEntryPointByVersion("cuMemGetHandleForAddressRange", &call, 11070, cudaEnableDefault, &result));
    assert_int_equal(result, cudaDriverEntryPointSuccess);
    using Get = CUresult (*)(void *, CUdeviceptr, size_t, CUmemRangeHandleType, unsigned long long);
    Get get = reinterpret_cast<Get>(call);
    CUdeviceptr at = reinterpret_cast<CUdeviceptr>(x);
    int fd = -1;
    assert_int_equal(get(&fd, at, 1 << 12, DMABUF, 0), CUDA_SUCCESS);
    close(fd);
    assert_int_equal(get(&fd, at + 8, 1 << 12, DMABUF, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(get(&fd, at + (1 << 12), 3 << 12, DMABUF, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(get(&fd, at + (1 << 12), 2 << 12, DMABUF, 0), CUDA_SUCCESS);
    off_t from = lseek(fd, 0, SEEK_CUR);
    assert_int_equal(from, 1 << 12);
    void *seen = mmap(nullptr, 2 << 12, PROT_READ | PROT_WRITE, MAP_SHARED, fd, from);
    assert_ptr_not_equal(seen, MAP_FAILED);
    TA_LAUNCH(fill_kernel, 1, 32, 0, stream, 3 << 10, 1, static_cast<int *>(x));
    OK(cudaStreamSynchronize(stream));
    for (int i = 0; i < 2 << 10; i++) assert_int_equal(static_cast<int *>(seen)[i], i + (1 << 10));
    munmap(seen, 2 << 12);
    close(fd);
    OK(cudaGetDriverEntryPointByVersion("cuMemGetHandleForAddressRange", &call, 11060, cudaEnableDefault, &result));
    assert_int_equal(result, cudaDriverEntryPointVersionNotSufficent);
    OK(cudaGetDriverEntryPointByVersion("cuMemNobodyKnows", &call, 13000, cudaEnableDefault, &result));
    assert_int_equal(result, cudaDriverEntryPointSymbolNotFound);
    assert_null(call);
    ta_fake_gpu_reset("no_dmabuf");
    OK(cudaMalloc(&x, 1 << 12));
    at = reinterpret_cast<CUdeviceptr>(x);
    assert_int_equal(get(&fd, at, 1 << 12, DMABUF, 0), CUDA_ERROR_NOT_SUPPORTED);
}

static void test_one_process_a_device(void **) {
    char options[64];
    snprintf(options, sizeof options, "devices=2,exclusive=test-%d", (int)getpid());
    int ready[2];
    char word = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (read(ready[0], &word, 1) != 1) _exit(1);
        ta_fake_gpu_reset(options);
        bool refused = cudaSetDevice(0) == cudaErrorDevicesUnavailable && cudaSetDevice(1) == cudaSuccess;
        _exit(refused ? 0 : 2);
    }
    ta_fake_gpu_reset(options);
    int mode = 0, status = -1;
    OK(cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, 0));
    assert_int_equal(mode, cudaComputeModeExclusiveProcess);
    OK(cudaSetDevice(0));
    tell(ready[1], &word, 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_processes_share_memory),
        cmocka_unit_test(test_memory_is_exported),
        cmocka_unit_test(test_one_process_a_device),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
