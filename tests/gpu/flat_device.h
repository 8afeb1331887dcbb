/* flat_device: what the tests of kernels/cuda/flat.h share: arrays on the device, bfloat16 on the host. cmocka
 * assertions inside. */
#ifndef TA_TEST_FLAT_DEVICE_H
#define TA_TEST_FLAT_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flat.h"

/* Every test begins with test_device_open and ends with test_device_close, which frees what test_up and test_room
 * made. */
struct test_device {
    cudaStream_t stream;
    unsigned n;
    void *blocks[64];
};

#define assert_cuda(call)                                                                          \
    do {                                                                                           \
        cudaError_t got_ = (call);                                                                 \
        if (got_ != cudaSuccess) fail_msg("%s gave %s", #call, cudaGetErrorString(got_));          \
    } while (0)

void test_device_open(struct test_device *d);
void test_device_close(struct test_device *d);

/* Device memory of so many bytes, `shift` bytes behind an address at 256. What it holds is no number. */
void *test_room(struct test_device *d, size_t bytes, size_t shift);
/* ... with a copy of `from`, which is taken before the call returns. */
void *test_up(struct test_device *d, const void *from, size_t bytes, size_t shift);
/* Waits for the stream. */
void test_down(struct test_device *d, void *to, const void *from, size_t bytes);

uint16_t test_bf16(float x); /* to nearest, ties to even */
float test_float(uint16_t bits);

/* Floats as an array of that type on the device, and back. For bfloat16, `x` is rounded where it stands. */
void *test_up_as(struct test_device *d, enum ta_flat_type type, float *x, size_t n);
void test_down_as(struct test_device *d, enum ta_flat_type type, float *x, const void *from, size_t n);

/* Every element is as wanted to `share` of the largest that is wanted. */
void test_compare(const char *what, size_t n, const float *got, const double *want, double share);

/* Runs the group under several orders of the make-believe device, or once on a real one. */
int test_in_orders(const struct CMUnitTest *tests, size_t n);

#endif
