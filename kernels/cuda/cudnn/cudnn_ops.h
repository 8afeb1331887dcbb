/* cudnn_ops: what a net has computed by cuDNN 9: convolutions, pools and batch normalisation, channels last.
 *
 * An op is one operation on one shape, made once by cuDNN's graph API: a graph, and the engines that may run it, best
 * first. cuDNN may refuse a shape (too many kinds to know by heart, and they change between versions); then `create`
 * gives NULL with OK, and the net uses kernels of its own (flat.h). Nothing here includes cudnn.h but the .c files of
 * this folder.
 *
 * Which engines: only those that promise the same bits in every run (no NUMERICAL_NOTE_NONDETERMINISTIC), that sum in
 * float32 and, where FLOAT32 is asked for, do not round factors to TF32. Of these the first by cuDNN's heuristics; or,
 * with `candidates`, the fastest: the first run on a shape times them, on the tensors it was given, and waits. Which
 * one that is may differ from process to process, and the bits with it: so only on demand.
 *
 * Tensors, packed: activations [batch][h][w][c]; a kernel [out_c][kernel_h][kernel_w][in_c] (KRSC: the arena's is
 * [kernel_h][kernel_w][in_c][out_c]). Elements are float32, or bfloat16 where `compute` is BFLOAT16; exceptions stand
 * at the roles. Addresses at 16 bytes at least.
 *
 * Threads: a ta_cudnn and its ops belong to one thread at a time. Running queues on the stream COMPUTE of the GPU and
 * may be captured into a CUDA graph, but for the first run of an op: kernels are loaded then, and candidates timed (if
 * it is captured all the same, the first one stands in until a run that is not).
 *
 * Errors: DEVICE (what cuDNN said, of which operation; a version that does not fit: both, and what to install),
 * NO_MEMORY.
 *
 * Source: cuDNN's documentation, "Graph API" and cudnn_graph.h.
 */
#ifndef TA_CUDNN_OPS_H
#define TA_CUDNN_OPS_H

#include "gpu.h"
#include "kernels.h"

struct ta_cudnn;    /* cuDNN as one replica uses it */
struct ta_cudnn_op; /* an operation on one shape */

struct ta_cudnn_config {
    struct ta_gpu *gpu;  /* opened, by ta_gpu_cuda; outlives all. NULL: `device` describes one; nothing can be run */
    const char *device;  /* cuDNN's JSON of a device that is not here, for which ops are made; or NULL */
    size_t workspace;    /* bytes that an op may ask for at most; 0: 1 GiB */
    unsigned candidates; /* engines of which the fastest is chosen, at most 16; 0: TENSAIR_AUTOTUNE, or else 1 */
};

ta_status ta_cudnn_open(const struct ta_cudnn_config *config, struct ta_cudnn **out);
void ta_cudnn_close(struct ta_cudnn *c); /* NULL is fine; ops must be destroyed before */

/* cuDNN's version as it numbers it (91900 is 9.19.0): the library that was loaded. */
size_t ta_cudnn_version(void);

enum ta_cudnn_kind {
    TA_CUDNN_CONV_FORWARD,  /* y = x * w, and what `behind` says */
    TA_CUDNN_CONV_DATA,     /* dx from dy, w */
    TA_CUDNN_CONV_FILTER,   /* dw from x, dy */
    TA_CUDNN_POOL_FORWARD,  /* y from x: the average without padding. Maxima: always refused (ties, NaN: flat.h) */
    TA_CUDNN_POOL_BACKWARD, /* dx from dy, likewise */
    TA_CUDNN_NORM_FORWARD,  /* training: y, mean, inverse from x, gamma, beta */
    TA_CUDNN_NORM_BACKWARD, /* dx, dgamma, dbeta from x, dy, gamma, mean, inverse */
    TA_CUDNN_KINDS
};

/* What a convolution does before it writes y. */
enum ta_cudnn_behind { TA_CUDNN_NOTHING, TA_CUDNN_BIAS, TA_CUDNN_BIAS_RELU };

enum ta_cudnn_role {
    TA_CUDNN_X,
    TA_CUDNN_W,
    TA_CUDNN_Y,
    TA_CUDNN_DX,
    TA_CUDNN_DY,
    TA_CUDNN_DW,      /* float32, or bfloat16 where compute is and float32_dw is not set */
    TA_CUDNN_BIAS_OF, /* [out_c], float32 */
    TA_CUDNN_GAMMA,   /* [c], float32, as all that follow */
    TA_CUDNN_BETA,
    TA_CUDNN_MEAN,    /* of the batch */
    TA_CUDNN_INVERSE, /* 1 / sqrt(variance of the batch, without Bessel's correction, + epsilon) */
    TA_CUDNN_DGAMMA,
    TA_CUDNN_DBETA,
    TA_CUDNN_ROLES
};

struct ta_cudnn_spec {
    enum ta_cudnn_kind kind;
    const struct ta_layer *layer; /* shapes, window, strides, pads, epsilon; looked at by create only */
    uint32_t batch;
    enum ta_compute compute;
    enum ta_cudnn_behind behind; /* CONV_FORWARD */
    bool float32_dw;             /* CONV_FILTER */
};

/* *out: NULL with OK, where cuDNN has no engine for it (ta_why says what it said). */
ta_status ta_cudnn_op_create(struct ta_cudnn *c, const struct ta_cudnn_spec *spec, struct ta_cudnn_op **out);
void ta_cudnn_op_destroy(struct ta_cudnn_op *op); /* NULL is fine */
/* Bytes of workspace that run needs; before the first run, what the candidate needs that needs most. One block serves
 * all ops of a stream. */
size_t ta_cudnn_op_workspace(const struct ta_cudnn_op *op);
/* What runs: "conv_forward 128x56x56x64 3x3 -> 64, bias, relu: engine 67, the first of 12". For reports. */
const char *ta_cudnn_op_describe(const struct ta_cudnn_op *op);

/* Queues it. tensors[role]: an address on the GPU for each role of the kind; others are not looked at. What it writes
 * must not overlap what it reads. */
ta_status ta_cudnn_op_run(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace);

/* The ops of a convolution: as much in one as cuDNN takes. */
struct ta_cudnn_conv {
    struct ta_cudnn_op *forward, *data, *filter; /* data, filter: NULL where they were not asked for */
    enum ta_cudnn_behind behind;                 /* what `forward` took; the net does the rest */
    bool float32_dw;                             /* else dw is bfloat16, and the net casts */
    bool padded; /* cuDNN refused pads that differ: x and dx are the input with its pads; the net pads and crops */
};

struct ta_cudnn_conv_spec {
    const struct ta_layer *layer; /* of kind CONV2D */
    uint32_t batch;
    enum ta_compute compute;
    enum ta_cudnn_behind behind; /* at most */
    bool data, filter;
};

/* Errors, besides: DEVICE, if cuDNN has no engine for it in any form: the layer, its shape, what cuDNN said. On an
 * error there is nothing to destroy. */
ta_status ta_cudnn_conv_create(struct ta_cudnn *c, const struct ta_cudnn_conv_spec *spec, struct ta_cudnn_conv *out);
void ta_cudnn_conv_destroy(struct ta_cudnn_conv *conv); /* zeroed is fine */

#endif
