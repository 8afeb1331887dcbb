/* Kernels on the make-believe device: blocks, barriers, warps, atomics, as the CUDA C++ programming guide has them. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cuda_bf16.h>

#include "fake_gpu.h"
#include "launch.cuh"

extern "C" {
#include <setjmp.h>
/* cmocka needs what stands above */
#include <cmocka.h>
}

#define OK(call) assert_int_equal(call, cudaSuccess)

enum { ORDERS = 12 };

static const char *order_of(int i, char text[32]) {
    if (i < 2) return i == 0 ? "order=lazy" : "order=eager";
    snprintf(text, 32, "order=random:%d", i);
    return text;
}

/* Integers as the device has them. */
static unsigned *words_new(size_t n, cudaStream_t stream) {
    void *x = nullptr;
    OK(cudaMalloc(&x, n * sizeof(unsigned)));
    OK(cudaMemsetAsync(x, 0, n * sizeof(unsigned), stream));
    return static_cast<unsigned *>(x);
}

static cudaStream_t begin(const char *order) {
    cudaStream_t stream = nullptr;
    ta_fake_gpu_reset(order);
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static void words_get(unsigned *out, const unsigned *x, size_t n, cudaStream_t stream) {
    OK(cudaGetLastError());
    OK(cudaMemcpyAsync(out, x, n * sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
}

/* Warps by shuffles, blocks by barriers, the grid by atomics. */
__global__ static void reduce_kernel(size_t n, const unsigned *x, unsigned *out) {
    __shared__ unsigned parts[32];
    unsigned sum = 0;
    TA_GRID_FOR(i, n) sum += x[i];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_down_sync(0xffffffffu, sum, by);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    sum = threadIdx.x < (blockDim.x + 31) / 32 ? parts[threadIdx.x] : 0;
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (threadIdx.x == 0) atomicAdd(out, sum);
}

__global__ static void tree_kernel(const unsigned *x, unsigned *out) {
    TA_DYNAMIC_SHARED(unsigned, parts);
    parts[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) atomicAdd(out, parts[0]);
}

static void test_sums(void **) {
    static const unsigned shapes[][3] = {{1, 32, 1},     {3, 64, 1000}, {2, 256, 77},
                                         {5, 1024, 9999}, {1, 96, 500},  {7, 128, 896}};
    for (int order = 0; order < ORDERS; order++) {
        char text[32];
        cudaStream_t stream = begin(order_of(order, text));
        for (const auto &shape : shapes) {
            unsigned n = shape[2], sum = 0, got[2];
            unsigned *in = static_cast<unsigned *>(malloc(n * sizeof *in));
            for (unsigned i = 0; i < n; i++) sum += in[i] = i * 2654435761u;
            unsigned *x = words_new(n, stream), *out = words_new(2, stream);
            OK(cudaMemcpyAsync(x, in, n * sizeof *in, cudaMemcpyHostToDevice, stream));
            TA_LAUNCH(reduce_kernel, shape[0], shape[1], 0, stream, n, x, out);
            unsigned whole = shape[1] == 128 ? sum : 0;
            if (whole != 0) TA_LAUNCH(tree_kernel, 7, 128, 128 * sizeof(unsigned), stream, x, out + 1);
            words_get(got, out, 2, stream);
            assert_int_equal(got[0], sum);
            assert_int_equal(got[1], whole);
            free(in);
        }
    }
}

__global__ static void count_kernel(size_t n, unsigned *seen) { TA_GRID_FOR(i, n) seen[i]++; }
__global__ static void place_kernel(unsigned *seen) {
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    seen[block * blockDim.x * blockDim.y * blockDim.z + thread]++;
}

static void test_every_index_once(void **) {
    for (int order = 0; order < ORDERS; order++) {
        char text[32];
        cudaStream_t stream = begin(order_of(order, text));
        unsigned *seen = words_new(1 << 12, stream), got[1 << 12];
        TA_LAUNCH(count_kernel, 3, 96, 0, stream, 4000, seen);
        TA_LAUNCH(place_kernel, dim3(2, 3, 4), dim3(4, 2, 3), 0, stream, seen);
        words_get(got, seen, 1 << 12, stream);
        for (unsigned i = 0; i < 1 << 12; i++) assert_int_equal(got[i], (i < 4000) + (i < 24 * 24));
    }
}

enum { SHUFFLES = 6 };
__global__ static void shuffle_kernel(unsigned *out) {
    unsigned lane = threadIdx.x, all = 0xffffffffu;
    out[lane] = __shfl_sync(all, lane, (int)lane + 3, 8);
    out[32 + lane] = __shfl_up_sync(all, lane, 3, 16);
    out[64 + lane] = __shfl_down_sync(all, lane, 5);
    out[96 + lane] = __shfl_xor_sync(all, lane, 9);
    out[128 + lane] = __ballot_sync(all, lane % 3 == 0);
    out[160 + lane] = (unsigned)__any_sync(all, lane == 31) + 2 * (unsigned)__all_sync(all, lane < 31);
}

static void test_shuffles(void **) {
    for (int order = 0; order < ORDERS; order++) {
        char text[32];
        cudaStream_t stream = begin(order_of(order, text));
        unsigned *out = words_new(32 * SHUFFLES, stream), got[SHUFFLES][32], thirds = 0;
        TA_LAUNCH(shuffle_kernel, 1, 32, 0, stream, out);
        words_get(got[0], out, 32 * SHUFFLES, stream);
        for (unsigned i = 0; i < 32; i += 3) thirds |= 1u << i;
        for (unsigned i = 0; i < 32; i++) {
            assert_int_equal(got[0][i], i / 8 * 8 + (i + 3) % 8);
            assert_int_equal(got[1][i], i % 16 < 3 ? i : i - 3);
            assert_int_equal(got[2][i], i + 5 > 31 ? i : i + 5);
            assert_int_equal(got[3][i], i ^ 9);
            assert_int_equal(got[4][i], thirds);
            assert_int_equal(got[5][i], 1);
        }
    }
}

/* Neighbours' values without waiting for them: right only if the others happen to have come first. */
__global__ static void hasty_kernel(unsigned *out) {
    __shared__ unsigned parts[64];
    parts[threadIdx.x] = threadIdx.x + 1 + blockIdx.x;
    out[blockIdx.x * 64 + threadIdx.x] = parts[63 - threadIdx.x];
}

__global__ static void last_kernel(unsigned *out) { out[0] = blockIdx.x; }

static void test_races_show(void **) {
    unsigned wrong = 0, orders[40] = {0}, different = 0;
    for (int order = 0; order < 40; order++) {
        char text[32];
        cudaStream_t stream = begin(order_of(order, text));
        unsigned *out = words_new(129, stream), got[129], bad = 0;
        TA_LAUNCH(hasty_kernel, 2, 64, 0, stream, out);
        TA_LAUNCH(last_kernel, 100, 1, 0, stream, out + 128);
        words_get(got, out, 129, stream);
        for (unsigned i = 0; i < 128; i++) bad += got[i] != 64 - i % 64 + i / 64;
        wrong += bad > 0;
        orders[order] = got[128];
        different += order > 0 && orders[order] != orders[order - 1];
    }
    assert_int_equal(wrong, 40);
    assert_in_range(different, 5, 40);
}

__global__ static void histogram_kernel(size_t n, unsigned *bins, unsigned *extremes, float *sum) {
    TA_GRID_FOR(i, n) {
        atomicAdd(&bins[i % 7], 1u);
        atomicMax(&extremes[0], (unsigned)i);
        atomicMin(&extremes[1], (unsigned)i);
        atomicCAS(&extremes[2], 0u, 5u);
        atomicAdd(sum, 0.5f);
    }
}

static void test_atomics(void **) {
    cudaStream_t stream = begin("order=random:9");
    unsigned *x = words_new(11, stream), got[11];
    OK(cudaMemsetAsync(x + 8, 0xff, 4, stream));
    TA_LAUNCH(histogram_kernel, 2, 32, 0, stream, 700, x, x + 7, reinterpret_cast<float *>(x + 10));
    words_get(got, x, 11, stream);
    for (int i = 0; i < 7; i++) assert_int_equal(got[i], 100);
    assert_int_equal(got[7], 699);
    assert_int_equal(got[8], 0);
    assert_int_equal(got[9], 5);
    assert_true(__uint_as_float(got[10]) == 350.0f);
}

__global__ static void copy_kernel(unsigned *to, const unsigned *from) { to[threadIdx.x] = from[threadIdx.x]; }

static void test_launches_out_of_bounds(void **) {
    cudaStream_t stream = begin("order=lazy");
    unsigned *x = words_new(4, stream);
    TA_LAUNCH(copy_kernel, 1, 1025, 0, stream, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    TA_LAUNCH(copy_kernel, 0, 4, 0, stream, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    TA_LAUNCH(copy_kernel, dim3(1, 65536), 4, 0, stream, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    TA_LAUNCH(copy_kernel, 1, 4, (48 << 10) + 1, stream, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    OK(cudaFuncSetAttribute(copy_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
    TA_LAUNCH(copy_kernel, 1, 4, 100 << 10, stream, x, x);
    OK(cudaGetLastError());
    assert_int_equal(ta_fake_gpu_count().queued, 2);
    OK(cudaStreamSynchronize(stream));
}

/* Threads that wait for each other in vain. */
__global__ static void apart_kernel() {
    if (threadIdx.x < 32) __syncthreads();
    else
        __syncthreads();
}
__global__ static void half_kernel() {
    if (threadIdx.x < 16) __syncwarp();
    else
        __syncthreads();
}
__global__ static void stranger_kernel() { __shfl_sync(0xfu, 1, 0); }

static int ended_by(void (*kernel)()) {
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
        cudaStream_t stream = begin("order=lazy");
        ta_fake::launch("kernel", kernel, ta_fake::Shape{1, 64, 0}, stream);
        cudaStreamSynchronize(stream);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

__global__ static void early_kernel() {
    if (threadIdx.x % 2 == 1) return;
    __syncthreads(); /* those who have left are not waited for */
    __syncwarp();
}

static void test_threads_apart_end_the_process(void **) {
    ta_fake_gpu_reset("order=lazy");
    assert_int_equal(ended_by(apart_kernel), SIGABRT);
    assert_int_equal(ended_by(half_kernel), SIGABRT);
    assert_int_equal(ended_by(stranger_kernel), SIGABRT);
    assert_int_equal(ended_by(early_kernel), 0);
}

static void test_arithmetic(void **) {
    uint64_t a = 0x123456789abcdef1u, b = 0xfedcba9876543211u;
    for (int i = 0; i < 1000; i++) {
        a = a * 6364136223846793005u + 1442695040888963407u;
        b ^= a >> 17 ^ a << 9;
        unsigned x = (unsigned)(a >> 32), y = (unsigned)(b >> 32);
        assert_int_equal(__umulhi(x, y), (unsigned)((unsigned __int128)x * y >> 32));
        assert_true(__umul64hi(a, b) == (uint64_t)((unsigned __int128)a * b >> 64));
        int ones = 0, zeros = 0;
        for (int bit = 0; bit < 32; bit++) ones += (int)(x >> bit & 1);
        while (zeros < 32 && (x >> (31 - zeros) & 1) == 0) zeros++;
        assert_int_equal(__popc(x), ones);
        assert_int_equal(__clz((int)x), zeros);
        assert_int_equal(__brev(__brev(x)), x);
        assert_int_equal(__funnelshift_l(x, y, 32 - i % 32) | 0u, i % 32 == 0 ? y : (y << (32 - i % 32) | x >> i % 32));
        assert_int_equal(__byte_perm(x, y, 0x7610), (y & 0xff000000u) | (y >> 16 & 0xff) << 16 | (x & 0xffffu));
    }
    assert_int_equal(__clz(0), 32);
    assert_int_equal(__ffs(8), 4);
    assert_true(isnan(__uint_as_float(0x7fe17fe1u)));
    assert_true(__bfloat162float(__float2bfloat16_rn(1.00390625f)) == 1.0f); /* to even */
    assert_true(__bfloat162float(__float2bfloat16_rn(1.01171875f)) == 1.015625f);
    assert_true(__fadd_rn(__fmul_rn(16777217.0f, 3.0f), 1.0f) == 50331648.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_every_index_once),
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_races_show),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_launches_out_of_bounds),
        cmocka_unit_test(test_threads_apart_end_the_process),
        cmocka_unit_test(test_arithmetic),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
