/* fake_device: CUDA C++ as the C++ compiler can take it: kernels become functions, a launch a closure in a stream. */
#ifndef TA_FAKE_DEVICE_H
#define TA_FAKE_DEVICE_H

#include <cuda_runtime.h>

#endif
