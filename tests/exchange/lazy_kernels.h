/* lazy_kernels: the kernels of the CPU on the memory of a lazy GPU (rdma/lazy_gpu.h), as the exchange uses them. What a
 * stream was given before is done before they read; addresses are translated, so that who reads GPU memory by the CPU
 * crashes. No nets. */
#ifndef TA_TEST_LAZY_KERNELS_H
#define TA_TEST_LAZY_KERNELS_H

#include "kernels.h"

extern const struct ta_kernels_ops lazy_kernels_ops; /* open: needs config.gpu, of a lazy GPU */

#endif
