/* rows: the apply of the exchange for some rows of a table: rows_sum, rows_pick and rows_fold of kernels.h. */
#ifndef TA_CPU_ROWS_H
#define TA_CPU_ROWS_H

#include "kernels.h"

ta_status ta_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                      size_t n_rows, float *w, const float *base, const float *const *registers,
                      unsigned n_registers);
ta_status ta_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                       float *w, const float *base, const float *const *registers, unsigned n_registers);
ta_status ta_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                       const float *w, float *folded, float *delta);

#endif
