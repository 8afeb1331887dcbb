/* hosted: the CUDA make behind a table whose weights and gradients lie in the host's memory, so that what tests other
 * makes tests it too. One GPU, opened with the kernels. */
#ifndef TA_TEST_HOSTED_H
#define TA_TEST_HOSTED_H

#include "kernels.h"

extern const struct ta_kernels_ops ta_kernels_hosted;

/* What is opened from now on computes so. */
void hosted_compute(enum ta_compute compute);

/* A GPU and the kernels on it, without the wrapping; asserts TA_OK. */
struct hosted {
    struct ta_gpu *gpu;
    struct ta_kernels *kernels;
};
ta_status hosted_open(struct hosted *h);
void hosted_close(struct hosted *h);

#endif
