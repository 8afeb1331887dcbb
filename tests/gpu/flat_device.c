/* flat_device: arrays on the device. */
#include "flat_device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

void test_device_open(struct test_device *d) {
    *d = (struct test_device){0};
    assert_cuda(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
}

void test_device_close(struct test_device *d) {
    assert_cuda(cudaStreamSynchronize(d->stream));
    while (d->n > 0) assert_cuda(cudaFree(d->blocks[--d->n]));
    assert_cuda(cudaStreamDestroy(d->stream));
}

void *test_room(struct test_device *d, size_t bytes, size_t shift) {
    void *block;
    assert_true(d->n < 64);
    assert_cuda(cudaMalloc(&block, bytes + shift));
    d->blocks[d->n++] = block;
    return (char *)block + shift;
}

void *test_up(struct test_device *d, const void *from, size_t bytes, size_t shift) {
    void *to = test_room(d, bytes, shift);
    assert_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->stream));
    assert_cuda(cudaStreamSynchronize(d->stream));
    return to;
}

void test_down(struct test_device *d, void *to, const void *from, size_t bytes) {
    assert_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->stream));
    assert_cuda(cudaStreamSynchronize(d->stream));
}

uint16_t test_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    uint32_t rest = bits & 0xffff, high = bits >> 16;
    return (uint16_t)(high + (rest > 0x8000 || (rest == 0x8000 && high % 2 == 1)));
}

float test_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

void *test_up_as(struct test_device *d, enum ta_flat_type type, float *x, size_t n) {
    if (type == TA_FLAT_FLOAT) return test_up(d, x, n * sizeof *x, 0);
    uint16_t *bits = malloc(n * sizeof *bits);
    assert_non_null(bits);
    for (size_t i = 0; i < n; i++) x[i] = test_float(bits[i] = test_bf16(x[i]));
    void *to = test_up(d, bits, n * sizeof *bits, 0);
    free(bits);
    return to;
}

void test_down_as(struct test_device *d, enum ta_flat_type type, float *x, const void *from, size_t n) {
    if (type == TA_FLAT_FLOAT) {
        test_down(d, x, from, n * sizeof *x);
        return;
    }
    uint16_t *bits = malloc(n * sizeof *bits);
    assert_non_null(bits);
    test_down(d, bits, from, n * sizeof *bits);
    for (size_t i = 0; i < n; i++) x[i] = test_float(bits[i]);
    free(bits);
}

void test_compare(const char *what, size_t n, const float *got, const double *want, double share) {
    double most = 1e-3;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= share * most))
            fail_msg("%s: element %zu of %zu is %.9g, not %.9g", what, i, n, (double)got[i], want[i]);
    }
}

int test_in_orders(const struct CMUnitTest *tests, size_t n) {
#ifdef TA_REAL_GPU
    return _cmocka_run_group_tests("on a GPU", tests, n, NULL, NULL);
#else
    static const char *const orders[] = {"order=lazy", "order=random:1"};
    int failed = 0;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        ta_fake_gpu_reset(orders[i]);
        failed += _cmocka_run_group_tests(orders[i], tests, n, NULL, NULL);
    }
    return failed;
#endif
}
