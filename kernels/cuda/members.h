/* members: the members of the CUDA make's table that work on flat parameters and rows: kernels.h says what they do. */
#ifndef TA_CUDA_MEMBERS_H
#define TA_CUDA_MEMBERS_H

#include "kernels.h"

/* arena.c: update, moving, compensate and grad_norm2 on COMPUTE, sum and mean on APPLY. */
ta_status ta_cuda_grad_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2);
ta_status ta_cuda_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad, const float *w,
                         float *m, float *v, float *delta);
ta_status ta_cuda_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value);
ta_status ta_cuda_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                             float *grad);
ta_status ta_cuda_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                      unsigned n_registers);
ta_status ta_cuda_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers, unsigned n_registers);

/* rows.c: on APPLY; at most 256 registers. Lists go through a ring of pinned memory in pieces: a call waits only where
 * the device is a whole ring behind. */
ta_status ta_cuda_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                           size_t n_rows, float *w, const float *base, const float *const *registers,
                           unsigned n_registers);
ta_status ta_cuda_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                            float *w, const float *base, const float *const *registers, unsigned n_registers);
ta_status ta_cuda_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                            const float *w, float *folded, float *delta);
extern const struct ta_skipgram_ops ta_skipgram_cuda; /* skipgram.c; on COMPUTE */

/* rows.c: frees the ring; when nothing is queued any more, before the GPU is closed. */
void ta_cuda_rows_close(struct ta_kernels *k);

#endif
