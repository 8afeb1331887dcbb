/* rows: a kernel that copies rows of a table. */
#ifndef TA_GPU_ROWS_H
#define TA_GPU_ROWS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Queues the copy of n rows of `bytes` each, from + rows[i] * bytes to to + rows[i] * bytes; `rows` in memory that the
 * GPU reaches, until the copy is done. Returns a cudaError_t. */
int ta_gpu_rows_launch(void *stream, void *to, const void *from, size_t bytes, const uint32_t *rows, size_t n);

#ifdef __cplusplus
}
#endif

#endif
