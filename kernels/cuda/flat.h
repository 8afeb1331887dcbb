/* flat: our own kernels over flat memory, as calls of C: parameters, losses, dropout, pointwise work; and plain
 * versions of pools, softmax and batch normalisation, which stand in where cuDNN refuses and which the tests compare it
 * with.
 *
 * Every call queues kernels on the stream it is given and returns at once: cudaSuccess, or what CUDA said of the
 * launch. None allocates, synchronises or reads the environment, so all may be captured into a graph. What changes from
 * step to step (rate, clipping, the number of a step, the share of a record) is therefore read from GPU memory.
 *
 * Pointers are to GPU memory unless said otherwise; tables of arguments (`const struct ta_flat_x *`, lists of ranges
 * and tensors) are the host's, and are read before the call returns. Arrays of floats may begin at any multiple of 4
 * bytes, those of bfloat16 at any multiple of 2; where they begin at multiples of 16, several elements are read at a
 * time.
 *
 * Same inputs, same bits: no sum depends on the order in which threads run. Threads of the host: any, a stream each.
 */
#ifndef TA_CUDA_FLAT_H
#define TA_CUDA_FLAT_H

#include <cuda_runtime_api.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What lies in an array of activations: float, or bfloat16 (the upper half of a float, rounded to nearest even). */
enum ta_flat_type { TA_FLAT_FLOAT, TA_FLAT_BF16 };

static inline size_t ta_flat_bytes(enum ta_flat_type type) { return type == TA_FLAT_BF16 ? 2 : 4; }

/* Scratch memory, in bytes, at 16 bytes, that calls with a `scratch` need: of one stream at a time. */
enum { TA_FLAT_PARTIALS = 1024, TA_FLAT_NORM_SCRATCH = 2 * TA_FLAT_PARTIALS * 8 };
/* For sums over the columns of `cols` channels: bias gradients and batch_norm. */
size_t ta_flat_columns_scratch(uint32_t cols);

/* --- parameters: the same bits as kernels/cpu/arena.c --- */

/* w = base + r[0] + r[1] + ..., and w = (r[0] + ...) / n, as kernels.h says; the list of registers is the host's. */
cudaError_t ta_flat_sum(cudaStream_t stream, size_t n, float *w, const float *base, const float *const *registers,
                        unsigned n_registers);
cudaError_t ta_flat_mean(cudaStream_t stream, size_t n, float *w, const float *const *registers, unsigned n_registers);

/* The scalars of an update, worked out by the host (ta_flat_scalars_of) once a step. */
struct ta_flat_scalars {
    float rate, scale;
    float grad_scale; /* update alone; update_ranges takes it from the outcome */
    float clip;       /* INFINITY: none */
    float decay;      /* added to the gradient; 0 when decoupled */
    float decoupled;  /* rate * weight_decay, or 0 */
    float momentum, ahead, ahead_g; /* direction = ahead_g * g + ahead * m */
    float beta1, beta2, correct1, correct2, epsilon;
    float clip_norm;  /* 0: none */
};
void ta_flat_scalars_of(const struct ta_update *how, float clip_norm, struct ta_flat_scalars *out);

/* What became of a gradient; written by norm2. */
struct ta_flat_outcome {
    double norm2;     /* over what is trained */
    float grad_scale; /* clip_norm / norm where that is longer, else 1 */
    uint32_t finite;  /* 0: the gradient or a statistic is not finite, and nothing must be updated */
};

struct ta_flat_arena {
    const float *grad, *w;
    float *m, *v, *delta; /* m, v: NULL where the kind has none */
};

/* One pass over n parameters; `how` is the host's. */
cudaError_t ta_flat_update(cudaStream_t stream, enum ta_optimizer_kind kind, const struct ta_flat_scalars *how,
                           size_t n, const struct ta_flat_arena *arena);

/* The sum of squares of the ranges `trained`, and whether those and `statistics` are finite; then the scale that clips
 * to how->clip_norm. `how`, `scratch` (TA_FLAT_NORM_SCRATCH) and `outcome` lie in GPU memory; how NULL: no clipping.
 * Ranges: floats from grad on; any number. */
struct ta_flat_norm {
    const float *grad;
    const struct ta_param *trained, *statistics; /* of the host */
    uint32_t n_trained, n_statistics;
    const struct ta_flat_scalars *how;
    void *scratch;
    struct ta_flat_outcome *outcome;
};
cudaError_t ta_flat_norm2(cudaStream_t stream, const struct ta_flat_norm *args);

/* The update of a whole step: all ranges, by scalars in GPU memory; nothing happens where the outcome is not finite. */
struct ta_flat_ranges {
    enum ta_optimizer_kind kind;
    const struct ta_flat_scalars *how;      /* GPU memory */
    const struct ta_flat_outcome *outcome; /* GPU memory */
    const struct ta_param *trained;        /* of the host */
    uint32_t n_trained;
    struct ta_flat_arena arena;
};
cudaError_t ta_flat_update_ranges(cudaStream_t stream, const struct ta_flat_ranges *args);

/* delta = momentum * delta + (1 - momentum) * grad in the ranges, unless the outcome (NULL: none) is not finite. */
struct ta_flat_moving_range {
    size_t offset, count;
    float momentum;
};
cudaError_t ta_flat_moving_ranges(cudaStream_t stream, const struct ta_flat_outcome *outcome,
                                  const struct ta_flat_moving_range *ranges, uint32_t n_ranges, const float *grad,
                                  float *delta);
cudaError_t ta_flat_moving(cudaStream_t stream, size_t n, float momentum, const float *statistic, float *value);
cudaError_t ta_flat_compensate(cudaStream_t stream, size_t n, float rate, const float *w, const float *basis,
                               float *grad);

/* to = from, in another type (or the same). */
cudaError_t ta_flat_cast(cudaStream_t stream, size_t n, enum ta_flat_type from_type, const void *from,
                         enum ta_flat_type to_type, void *to);

/* Tensors of the arena in the form that a library wants: all of a list by a launch or a few.
 * In the arena: float [taps][in][out] at float `arena`. Packed, `packed` bytes from the start of the other buffer:
 * krsc: [out][taps][in_padded], else [taps][in_padded][out]; of `type`. in_padded 0: in. What is padding is written 0.
 * A convolution is (h * w, in, out); a matrix (1, in, out); anything else (1, 1, count); channels of images that must
 * be padded: (pixels, channels, 1). */
struct ta_flat_tensor {
    size_t arena, packed;
    uint32_t taps, in, in_padded, out;
    bool krsc;
    enum ta_flat_type type;
};
cudaError_t ta_flat_pack(cudaStream_t stream, const struct ta_flat_tensor *tensors, uint32_t n_tensors,
                         const float *arena, void *packed);
/* The way back, for gradients: every element of the arena's tensors is written. */
cudaError_t ta_flat_unpack(cudaStream_t stream, const struct ta_flat_tensor *tensors, uint32_t n_tensors,
                           const void *packed, float *arena);

/* --- rows of a table: as kernels.h; the list of rows lies in GPU memory (NULL: all) --- */

enum { TA_FLAT_ROW_REGISTERS = 256 }; /* at most; more: cudaErrorInvalidValue */

struct ta_flat_rows {
    const struct ta_table *table; /* of the host */
    uint64_t seed;
    const uint32_t *rows;
    size_t n_rows;
    const float *base;
    const float *const *registers; /* the list is the host's */
    unsigned n_registers;
};
cudaError_t ta_flat_rows_sum(cudaStream_t stream, const struct ta_flat_rows *args, float *w);
cudaError_t ta_flat_rows_pick(cudaStream_t stream, const struct ta_flat_rows *args, float *w);
/* A row that is listed twice is folded once. */
cudaError_t ta_flat_rows_fold(cudaStream_t stream, const struct ta_flat_rows *args, const float *w, float *folded,
                              float *delta);

/* --- losses: what kernels/cpu/loss.c computes --- */

struct ta_flat_loss {
    enum ta_loss kind;
    uint32_t records, outputs;
    enum ta_flat_type type;
    const void *z;          /* [records][outputs] of type: before softmax or sigmoid */
    const int32_t *classes; /* [records], CROSS_ENTROPY; NULL: predictions alone */
    const float *targets;   /* [records][outputs], the others; NULL: predictions alone */
    const float *share;     /* one float: 1 / records with a label; the gradient is that of their mean */
    float *predictions;     /* [records][outputs] or NULL */
    float *losses;          /* [records], NaN without a label, or NULL */
    void *grad;             /* [records][outputs] of type, by z, 0 without a label, or NULL; may be z */
};
cudaError_t ta_flat_loss_run(cudaStream_t stream, const struct ta_flat_loss *args);

/* --- dropout: the same elements as kernels/cpu/dropout.c; forward and backward (of the gradient) alike --- */

struct ta_flat_dropout {
    uint64_t seed;
    uint32_t layer;       /* its number in the net */
    const uint64_t *step; /* GPU memory */
    size_t n;             /* elements of the whole batch */
    float rate;
    enum ta_flat_type type;
    const void *in;
    void *out; /* may be in */
};
cudaError_t ta_flat_dropout_run(cudaStream_t stream, const struct ta_flat_dropout *args);

/* --- element by element; matrices are [rows][cols], an image batch [batch * h * w][c] --- */

enum ta_flat_act { TA_FLAT_NONE, TA_FLAT_RELU, TA_FLAT_TANH, TA_FLAT_SIGMOID }; /* a NaN stays one */

struct ta_flat_matrix {
    enum ta_flat_type type;
    size_t rows;
    uint32_t cols;
};
/* out = act(in + bias); bias [cols] float or NULL; out may be in. */
cudaError_t ta_flat_bias_act(cudaStream_t stream, const struct ta_flat_matrix *m, enum ta_flat_act act,
                             const float *bias, const void *in, void *out);
/* grad_in = grad_out * act'(.), by what came out (`out`; not looked at for NONE); grad_in may be grad_out or NULL.
 * bias_grad [cols] float = its sums over rows, or NULL; then scratch is not looked at (ta_flat_columns_scratch). */
struct ta_flat_act_grad {
    enum ta_flat_act act;
    const void *out, *grad_out;
    void *grad_in;
    float *bias_grad;
    void *scratch;
};
cudaError_t ta_flat_act_backward(cudaStream_t stream, const struct ta_flat_matrix *m,
                                 const struct ta_flat_act_grad *args);
/* out = a + b; out may be either. */
cudaError_t ta_flat_add(cudaStream_t stream, enum ta_flat_type type, size_t n, const void *a, const void *b, void *out);

/* Over the columns of each row; out may be in. backward: grad_in = out * (grad_out - sum(out * grad_out)). */
cudaError_t ta_flat_softmax(cudaStream_t stream, const struct ta_flat_matrix *m, const void *in, void *out);
cudaError_t ta_flat_softmax_backward(cudaStream_t stream, const struct ta_flat_matrix *m, const void *out,
                                     const void *grad_out, void *grad_in);

/* --- pools: channels-last, any padding; averages without it. A global pool is one window as large as the image. At
 * most 2^32 - 1 pixels a batch --- */

struct ta_flat_pool {
    enum ta_flat_type type;
    uint32_t batch;
    struct ta_shape in, out;
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
};
/* Bytes of `arg` for an output: 1 or 2 (places in a window: up to 65536). */
static inline size_t ta_flat_pool_arg_bytes(const struct ta_flat_pool *p) {
    return (size_t)p->kernel_h * p->kernel_w <= 256 ? 1 : 2;
}
/* arg [batch * out]: where in its window (row by row) the maximum was, the first of several; a NaN is the largest; or
 * NULL. */
cudaError_t ta_flat_max_pool(cudaStream_t stream, const struct ta_flat_pool *p, const void *in, void *out, void *arg);
cudaError_t ta_flat_max_pool_backward(cudaStream_t stream, const struct ta_flat_pool *p, const void *arg,
                                      const void *grad_out, void *grad_in);
cudaError_t ta_flat_avg_pool(cudaStream_t stream, const struct ta_flat_pool *p, const void *in, void *out);
cudaError_t ta_flat_avg_pool_backward(cudaStream_t stream, const struct ta_flat_pool *p, const void *grad_out,
                                      void *grad_in);

/* --- batch normalisation: rows = batch * h * w --- */

struct ta_flat_norm_layer {
    struct ta_flat_matrix m;
    float epsilon;
    const float *gamma, *beta; /* [cols] or NULL: 1 and 0 */
    float *mean, *inverse;     /* [cols] of this batch, 1 / sqrt(variance + epsilon): kept from forward to backward */
    void *scratch;             /* ta_flat_columns_scratch */
};
/* In training: `statistic_mean`, `statistic_variance` [cols] get the batch's (variance by n - 1). */
cudaError_t ta_flat_norm_train(cudaStream_t stream, const struct ta_flat_norm_layer *l, const void *in, void *out,
                               float *statistic_mean, float *statistic_variance);
cudaError_t ta_flat_norm_infer(cudaStream_t stream, const struct ta_flat_norm_layer *l, const float *moving_mean,
                               const float *moving_variance, const void *in, void *out);
/* grad_in may be grad_out or NULL; gamma_grad, beta_grad [cols] or NULL. */
struct ta_flat_norm_grad {
    const void *in, *grad_out;
    void *grad_in;
    float *gamma_grad, *beta_grad;
};
cudaError_t ta_flat_norm_backward(cudaStream_t stream, const struct ta_flat_norm_layer *l,
                                  const struct ta_flat_norm_grad *args);

#ifdef __cplusplus
}
#endif

#endif
