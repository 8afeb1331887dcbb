/* timed_kernels: kernels that compute as those of a make do, and tell how long each call would have taken: what makes
 * time pass in a simulation.
 *
 * What costs time:
 *     train               step_s: a gradient, with the update that the optimizer makes of it
 *     predict             predict_s
 *     sum, mean, update, norm and the like      bytes that they read and write / bytes_per_s
 * Nets of one shape are made once and shared by all replicas, but where a layer drops out: then each has masks of its
 * own. The make is the CPU's: what a GPU would take is said by step_s. Tables of rows and word models are not
 * simulated: CONFIG.
 *
 * Threads: one.
 */
#ifndef TA_TIMED_KERNELS_H
#define TA_TIMED_KERNELS_H

#include "kernels.h"

enum ta_timed_call { TA_TIMED_TRAIN, TA_TIMED_PREDICT, TA_TIMED_UPDATE, TA_TIMED_APPLY, TA_TIMED_CALLS };

struct ta_timed_config {
    const struct ta_kernels_ops *ops; /* of the make that computes, */
    struct ta_kernels *kernels;       /* opened; both outlive this */
    double step_s, predict_s, bytes_per_s;
    void (*spend)(void *owner, enum ta_timed_call call, double seconds); /* after each call */
    void *owner;
};

extern const struct ta_kernels_ops ta_timed_kernels; /* opened by ta_timed_open, closed by its own close */

ta_status ta_timed_open(const struct ta_timed_config *config, struct ta_kernels **out); /* Errors: NO_MEMORY */
/* Seconds of this machine that were spent computing since then. */
double ta_timed_real_s(const struct ta_kernels *k);

#endif
