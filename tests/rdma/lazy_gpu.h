/* lazy_gpu: gpu.h on the CPU's memory, for tests of those who call it: what is queued is done late, a piece at a time,
 * in an order drawn from a seed, so that who does not wait reads what was there before. Addresses of its memory cannot be
 * touched by the CPU (reading one is a segmentation fault), but are shared between processes by handle.
 *
 * One thread; a process may open several.
 */
#ifndef TA_TEST_LAZY_GPU_H
#define TA_TEST_LAZY_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"

enum { LAZY_GPUS = 2 };

/* What is the same for all; set before open. */
struct lazy_gpu_world {
    uint64_t seed;
    bool no_ipc, apart;  /* memory cannot be shared; the two GPUs cannot reach each other */
    bool touchable;      /* the CPU may touch its memory after all: for devices that are to register it */
    unsigned lost_after; /* copies; 0: never */
};

extern struct lazy_gpu_world lazy_gpu_world;
extern const struct ta_gpu_ops lazy_gpu_ops;

/* Where the CPU finds what lies at an address of any kind. */
void *lazy_gpu_at(const void *address);
/* All that was queued on a stream so far is done: what a kernel on it sees. */
void lazy_gpu_run(struct ta_gpu *gpu, enum ta_gpu_stream stream);
/* Blocks of memory and attached memory that are held, of all GPUs of this process. */
unsigned lazy_gpu_held(void);

#endif
