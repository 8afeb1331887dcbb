/* device: where a replica computes, as section `device` of a configuration asks: the cores it runs on, or one GPU.
 *
 *     type: cpu    the CPU.
 *     type: cuda   a GPU, or an error that says what is missing.
 *     type: auto   a GPU where the program has its part for them, a driver shows one, and nothing in the configuration
 *                  needs the CPU; else the CPU, and `why` says so. Decided here, in the process that will compute: one
 *                  that has asked for GPUs must not fork any more, so a launcher never does.
 *
 * Of the GPUs that CUDA shows this process, replica `local_rank` of the `local_n` on this machine takes number
 *
 *     local_rank / replicas_per_gpu mod count
 *
 * where replicas_per_gpu is by default as many as fall on each GPU. Where a batch system shows every task a GPU of its
 * own, that is number 0, as it should be; CUDA_VISIBLE_DEVICES is read by CUDA, and set by nobody here.
 *
 * Threads: one at a time.
 */
#ifndef TA_DEVICE_H
#define TA_DEVICE_H

#include "gpu.h"
#include "kernels.h"
#include "log.h"
#include "run_config.h"

/* This replica among those that share its machine. */
struct ta_device_place {
    unsigned local_rank, local_n; /* n 0: it is alone */
    unsigned own_n;               /* of them, those of its own launcher; 0: all */
};

struct ta_device {
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;
    const struct ta_gpu_ops *gpu_ops; /* NULL: the CPU computes, and nothing below is set */
    struct ta_gpu *gpu;
    struct ta_gpu_info info; /* as it was when it was opened */
    unsigned number, count;  /* which of how many */
    char why[512];           /* auto has come to the CPU for this reason; "": it was asked for, or a GPU computes */
};

/* Opens GPU and kernels. Errors: NOT_BUILT (cuda, and the program came without); DEVICE (driver, plugin, GPU); CONFIG
 * (no GPU of that number; more replicas than fit, with numbers; a compute type that the make has not); NO_MEMORY. */
ta_status ta_device_open(const struct ta_run_config *run, const struct ta_device_place *place, struct ta_device *out);
void ta_device_close(struct ta_device *device); /* zeroed: fine */

/* Which GPU of `count`. Errors: CONFIG (more replicas than fit). `bound`: each launcher may have been shown others. */
ta_status ta_device_number(const struct ta_device_section *section, const struct ta_device_place *place, unsigned count,
                           bool bound, unsigned *out);

/* Section `device`, and whether the rest goes with it. Errors: CONFIG (which key, what is allowed). Loads nothing. */
ta_status ta_device_check(const struct ta_run_config *run);
/* What a configuration with device.type cuda cannot do without, before anything is started: the plugin's file. Loads
 * nothing. Errors: NOT_BUILT (what to install). */
ta_status ta_device_is_built(const struct ta_device_section *section);

const char *ta_device_compute_name(int compute); /* "float32", "tf32", "bfloat16" */
/* "GPU 1 of 2, NVIDIA H200 (139.8 GiB, driver 13.0, CUDA 13.0), bfloat16" or "CPU, float32". */
void ta_device_describe(const struct ta_device *device, const struct ta_device_section *section, char *out,
                        size_t bytes);

#endif
