/* cublaslt_ops: products of matrices by cuBLASLt, row by row as the house stores them. Nothing here includes cublasLt.h
 * but the .c file of this folder.
 *
 *     d[m][n] = a * b (+ bias[n] (and ReLU))
 *
 * a is [m][k], or [k][m] and meant transposed; b [k][n], or [n][k] likewise.
 *
 * (To cuBLASLt, which counts by columns, that is the product of the transposed in the other order.) An op is one
 * product of one shape, made once: its descriptors and the algorithm that cuBLASLt's heuristics prefer among those that
 * need no more than the workspace and whose partial sums are added in the type of the computation. Same inputs, same
 * bits.
 *
 * Threads: what was opened and made of it belong to one thread at a time. Running may be captured into a CUDA graph,
 * but for the first run of an op: its kernel may be loaded then.
 *
 * Errors: DEVICE (what cuBLASLt said, of which product), NO_MEMORY.
 *
 * Source: cuBLAS' documentation, "Using the cuBLASLt API".
 */
#ifndef TA_CUBLASLT_OPS_H
#define TA_CUBLASLT_OPS_H

#include "gpu.h"
#include "kernels.h"

struct ta_cublaslt; /* cuBLASLt as one replica uses it */
struct ta_product;  /* one product of one shape */

ta_status ta_cublaslt_open(struct ta_gpu *gpu, struct ta_cublaslt **out);
void ta_cublaslt_close(struct ta_cublaslt *c); /* NULL is fine; products must be destroyed before */

enum ta_product_behind { TA_PRODUCT_NOTHING, TA_PRODUCT_BIAS, TA_PRODUCT_BIAS_RELU };

enum { TA_PRODUCT_WORKSPACE = 32 << 20 }; /* bytes of workspace that a product may need at most */

struct ta_product_spec {
    const char *what; /* "dense_3, forward": for messages; looked at by create only */
    uint64_t m, n, k;
    bool transposed_a, transposed_b;
    enum ta_compute compute; /* BFLOAT16: a and b are; d is, too, and the bias, unless float32_d */
    bool float32_d;
    enum ta_product_behind behind; /* at most */
};

/* All addresses at 16 bytes at least. */
ta_status ta_product_create(struct ta_cublaslt *c, const struct ta_product_spec *spec, struct ta_product **out);
void ta_product_destroy(struct ta_product *p); /* NULL is fine */
enum ta_product_behind ta_product_behind(const struct ta_product *p); /* what it took; the caller does the rest */
size_t ta_product_workspace(const struct ta_product *p);

/* Queues it on the stream COMPUTE of the GPU. bias: not looked at where there is none. */
ta_status ta_product_run(struct ta_product *p, const void *a, const void *b, const void *bias, void *d,
                         void *workspace);

#endif
