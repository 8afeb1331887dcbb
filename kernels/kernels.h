/* kernels: the compute a replica needs, behind one table; a make is a folder (cpu/ by oneDNN, cuda/ by cuDNN).
 *
 * A model is handed over as plain data (`ta_net_spec`: a list of layers with shapes and parameter offsets). The make
 * turns it once into a `net` for a fixed batch size, choosing layouts and creating primitives; after that a step
 * allocates nothing. The parameters stay one flat float32 array (the arena) in Keras' layouts, owned by the caller, in
 * memory of the make's kind (`alloc`), because the exchange writes and sums it as registers.
 *
 * Layouts: activations are channels-last per record at the borders of a net (x, predictions); inside, the make may use
 * what it likes. conv2d kernel: [kernel_h][kernel_w][in_c][out_c]; dense kernel: [in][out], where a flattened image
 * counts h, w, c with c fastest; biases, gamma, beta, moving_mean, moving_variance: [c].
 *
 * Threads: an opened make and all that was created from it belong to one thread at a time. Different makes (one a
 * replica) may be used by different threads at once. Same inputs, same machine, same build: same bits.
 */
#ifndef TA_KERNELS_H
#define TA_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* What one record looks like between two layers. A plain vector is {1, 1, c}. */
struct ta_shape {
    uint32_t h, w, c;
};

static inline size_t ta_shape_count(struct ta_shape s) { return (size_t)s.h * s.w * s.c; }

enum ta_layer_kind {
    TA_LAYER_DENSE,
    TA_LAYER_CONV2D,
    TA_LAYER_MAX_POOL,
    TA_LAYER_AVG_POOL, /* padding does not count in the average, as in Keras */
    TA_LAYER_GLOBAL_AVG_POOL,
    TA_LAYER_BATCH_NORM,
    TA_LAYER_DROPOUT,
    TA_LAYER_FLATTEN,
    TA_LAYER_ADD, /* input[0] + input[1], equal shapes */
    TA_LAYER_RELU,
    TA_LAYER_TANH,
    TA_LAYER_SIGMOID,
    TA_LAYER_SOFTMAX, /* over c */
    TA_LAYER_KINDS
};

/* "conv2d", as a configuration writes it; "unknown" for anything else. */
const char *ta_layer_kind_name(enum ta_layer_kind kind);

/* A tensor of parameters inside the arena; count 0: the layer has none. */
struct ta_param {
    size_t offset; /* floats from the arena's start */
    size_t count;  /* floats */
};

enum { TA_LAYER_NAME_BYTES = 48, TA_FROM_INPUT = -1, TA_FROM_NONE = -2 };

struct ta_layer {
    enum ta_layer_kind kind;
    char name[TA_LAYER_NAME_BYTES];
    int32_t input[2]; /* index of an earlier layer, TA_FROM_INPUT, or TA_FROM_NONE (input[1] of all but ADD) */
    struct ta_shape in, out;
    uint32_t kernel_h, kernel_w, stride_h, stride_w;     /* conv2d and pools */
    uint32_t pad_top, pad_bottom, pad_left, pad_right;   /* in elements of the input */
    float rate;     /* dropout: the share that is dropped, [0, 1); survivors are scaled by 1 / (1 - rate) */
    float epsilon;  /* batch_norm, added to the variance */
    float momentum; /* batch_norm: moving = momentum * moving + (1 - momentum) * batch */
    struct ta_param kernel, bias;         /* dense, conv2d (bias.count 0: none) */
    struct ta_param gamma, beta;          /* batch_norm */
    struct ta_param mean, variance;       /* batch_norm: the moving statistics (`mean` segments of the arena) */
};

enum ta_loss {
    TA_LOSS_CROSS_ENTROPY,        /* softmax over c of the last layer (added when it is not one); integer classes */
    TA_LOSS_BINARY_CROSS_ENTROPY, /* sigmoid (likewise); targets in [0, 1]; mean over outputs */
    TA_LOSS_SQUARED_ERROR,        /* mean over outputs of (p - y)^2, as Keras and PyTorch */
};

struct ta_net_spec {
    const struct ta_layer *layers; /* in order of evaluation; the last one is the output; must outlive the net */
    uint32_t n_layers;
    struct ta_shape input;
    enum ta_loss loss;
    uint32_t batch;    /* records a call */
    size_t n_params;   /* floats in the arena */
    uint64_t seed;     /* of the dropout masks: mask = f(seed, layer, step, element) */
    bool predict_only; /* no buffers for gradients */
    bool timed;        /* keep the seconds of each layer for net_times; costs two looks at the clock a layer */
};

/* Seconds a layer has taken in all calls so far. A layer whose work another one does (a ReLU or a convolution fused
 * with the pool behind it) has 0 in both; its time stands at the layer that did it. */
struct ta_layer_times {
    double forward_s, backward_s;
};

/* Labels of a batch: `classes` for CROSS_ENTROPY, `targets` [batch][outputs] for the others. Class -1, or a NaN among
 * the targets of a record: it has no label. It is predicted; its loss is NaN, and it has no part in the gradient. */
struct ta_labels {
    const int32_t *classes;
    const float *targets;
};

enum ta_optimizer_kind { TA_SGD, TA_MOMENTUM, TA_ADAM, TA_ADAGRAD };

/* One update, all scalars decided by the caller: u = -rate * direction(gradient), delta += scale * u.
 * The gradient is first multiplied by `grad_scale` (clipping by norm), then clamped to +-clip_value (0: not), then
 * weight_decay * w is added (unless `decoupled`, then u -= rate * weight_decay * w).
 *   SGD: direction = g.   MOMENTUM (PyTorch's form): m = momentum * m + g; direction = nesterov ? g + momentum * m : m.
 *   ADAM (Kingma and Ba 2015, with bias correction by `step`): m, v; direction = m^ / (sqrt(v^) + epsilon).
 *   ADAGRAD: v += g * g; direction = g / (sqrt(v) + epsilon).
 */
struct ta_update {
    enum ta_optimizer_kind kind;
    uint64_t step; /* 1 for the first update */
    float rate, scale, grad_scale, clip_value, weight_decay;
    float momentum, beta1, beta2, epsilon;
    bool nesterov, decoupled;
};

/* A table of rows in the arena (an embedding, the names of words). Row r lies at offset + r * stride; columns from
 * `width` on are padding. What a row of floats starts from is a function of seed and place, so that it need not be
 * stored: column c < width of row r is range * ta_rng_cell(seed, offset + r * stride + c); padding is 0; range 0: all
 * 0.
 */
struct ta_table {
    size_t offset;                /* floats from the arena's start; a multiple of 16 */
    uint32_t rows, width, stride; /* width and stride in floats; stride a multiple of 8, at least width */
    float range;
};

struct ta_skipgram_ops; /* skipgram.h */
struct ta_kernels;      /* an opened make */
struct ta_net;          /* a model at one batch size */

/* What layers compute in. Weights, gradients, deltas, sums and losses are float32 in any case.
 * TF32: float32 whose factors are rounded to 10 bits of mantissa inside convolutions and products; BFLOAT16:
 * activations and their gradients, too, are bfloat16 between layers. The CPU make computes in FLOAT32 and refuses the
 * others. */
enum ta_compute { TA_COMPUTE_FLOAT32, TA_COMPUTE_TF32, TA_COMPUTE_BFLOAT16 };

struct ta_gpu;
struct ta_gpu_ops; /* gpu.h */

struct ta_kernels_config {
    unsigned threads; /* CPU threads a step may use; 0: 1 */
    enum ta_compute compute;
    const struct ta_gpu_ops *gpu_ops; /* cuda: where it computes; others: NULL */
    struct ta_gpu *gpu;               /* opened; outlives the kernels */
};

/* The update that a step makes by itself, behind its gradient and on the device: what ta_optimizer_step does of a
 * finite gradient (optimizer.h), to the same rounding as grad_norm2, update and moving one after the other. */
struct ta_net_update {
    struct ta_update how; /* grad_scale is not looked at: see clip_norm */
    float clip_norm;      /* > 0: the gradient is scaled to this norm where it is longer */
    const struct ta_param *trained; /* [n_trained] ranges that are descended */
    uint32_t n_trained;             /* (a batch_norm's statistics are not among them: they move by themselves) */
    float *m, *v, *delta; /* [n_params] where the weights live; m, v: NULL where the kind has none */
};

/* One training step in pieces (stage, begin, end). */
struct ta_net_step {
    const float *w; /* [n_params] */
    float *grad;    /* [n_params] */
    uint64_t step;  /* of the dropout masks */
    const struct ta_net_update *update; /* NULL: the gradient alone */
};

struct ta_net_outcome {
    double norm2; /* of the gradient over what is trained, before clipping; only with an update */
    bool finite;  /* false: the gradient (or a statistic) is not; nothing was updated. Only with an update */
};

/* Every member may be called only from the owning thread; none blocks on anything but its own compute. */
struct ta_kernels_ops {
    const char *name;    /* "cpu", "cuda" */
    const char *package; /* what to install when it is missing */
    bool on_gpu;         /* "where the weights live" is the memory of config.gpu: the CPU must not touch it */

    /* Errors: NO_MEMORY, DEVICE, NOT_BUILT. */
    ta_status (*open)(const struct ta_kernels_config *config, struct ta_kernels **out);
    void (*close)(struct ta_kernels *k); /* NULL is fine; nets must be destroyed before */

    /* Memory where the weights live: zeroed, 64-byte aligned, usable by `transport` as source and target of puts. */
    ta_status (*alloc)(struct ta_kernels *k, size_t bytes, const char *what, void **out);
    void (*free)(struct ta_kernels *k, void *block);
    ta_status (*copy_in)(struct ta_kernels *k, void *device, const void *host, size_t bytes);
    ta_status (*copy_out)(struct ta_kernels *k, void *host, const void *device, size_t bytes);

    /* Checks the spec (CONFIG names the layer; check.h), chooses layouts, creates everything. Where no layer mixes
     * records (batch_norm), results depend on `batch` by rounding only. Errors: CONFIG, NO_MEMORY, DEVICE. */
    ta_status (*net_create)(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out);
    void (*net_destroy)(struct ta_net *net);
    size_t (*net_bytes)(const struct ta_net *net); /* memory the net holds (activations, workspaces) */
    /* Where the time of a net with spec.timed went, for layer < n_layers; zeros without it. */
    struct ta_layer_times (*net_times)(const struct ta_net *net, uint32_t layer);
    /* Why a net is slower than it could be, for a line in a log; "": it is not. NULL: none of this make ever is. */
    const char *(*net_note)(const struct ta_net *net);

    /* One forward and backward pass in training mode: batch statistics, dropout masks of `step`.
     *   w           [n_params] where the weights live
     *   x           [batch][h][w][c] host, float32
     *   grad        [n_params] where the weights live: d(mean loss over the labelled of the batch)/dw; every element
     *               is written, those that belong to no layer (gaps) as 0. At the offsets of a batch_norm's moving
     *               statistics: the statistics of this batch (mean; variance with Bessel's correction n / (n - 1),
     *               n = batch * h * w).
     *   predictions [batch][outputs] host, after softmax or sigmoid: what this forward pass said; may be NULL
     *   losses      [batch] host: the loss of each record; may be NULL
     * A class outside [-1, outputs) is CONFIG, naming the record in the batch; nothing was computed. Not finite results
     * are not an error here: the caller looks (grad_norm). Errors: CONFIG, DEVICE. */
    ta_status (*train)(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                       uint64_t step, float *grad, float *predictions, float *losses);

    /* `train` in three calls, between which the host is free; NULL where compute is the host's own.
     * stage: takes a batch (x, labels as in train; copied before it returns) and starts it on its way to the device.
     *        Two may be staged and not ended; AGAIN: a third. Errors: CONFIG as train.
     * begin: starts the step of the oldest batch that was staged and not begun; returns at once. INVALID: there is
     *        none. The first with other arrays, or with another kind of update, may wait for what is queued.
     * ready: OK when the oldest step that was begun and not ended is complete, AGAIN.
     * end:   waits for that step; predictions, losses, outcome may be NULL. What was begun comes to its end in order.
     * A step sees w and the state of its update as they are when all that was begun or called before is done. w may be
     * changed by `sum` only between steps as the device sees them: the make orders the two. */
    ta_status (*stage)(struct ta_net *net, const float *x, const struct ta_labels *labels);
    ta_status (*begin)(struct ta_net *net, const struct ta_net_step *step);
    ta_status (*ready)(struct ta_net *net);
    ta_status (*end)(struct ta_net *net, float *predictions, float *losses, struct ta_net_outcome *outcome);

    /* Forward in inference mode (moving statistics, no dropout). labels may be NULL, then losses must be. */
    ta_status (*predict)(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                         float *predictions, float *losses);

    /* Sum of squares of n gradients, in double; not finite when any of them is not. */
    ta_status (*grad_norm2)(struct ta_kernels *k, size_t n, const float *grad, double *norm2);

    /* One pass over n parameters: reads grad, w; reads and writes m, v (NULL where the kind has none) and delta. */
    ta_status (*update)(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad, const float *w,
                        float *m, float *v, float *delta);

    /* value = momentum * value + (1 - momentum) * statistic: batch_norm's moving statistics. */
    ta_status (*moving)(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value);

    /* grad += rate * grad * grad * (w - basis): what a gradient computed on `basis` might be on w (Zheng et al., ICML
     * 2017). */
    ta_status (*compensate)(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                            float *grad);

    /* The apply of the exchange, element by element in the order given, so that every replica rounds alike:
     * sum:  w = base + r[0] + r[1] + ... + r[n_registers - 1]. w may be base itself, to which the registers are then
     *       added, but no register.
     * mean: w = (r[0] + ... ) * (1 / n_registers).
     * The registers may be written by peers meanwhile: each aligned 4-byte word is read once, whole. Where compute is
     * a device's, sum, mean, rows_sum, rows_pick, rows_fold, update, moving and compensate return when they are queued,
     * in an order that keeps what each reads and writes; copy_in, copy_out and grad_norm2 wait for all that was queued.
     */
    ta_status (*sum)(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                     unsigned n_registers);
    ta_status (*mean)(struct ta_kernels *k, size_t n, float *w, const float *const *registers, unsigned n_registers);

    /* The same for some rows of a table: `rows` lists their numbers (NULL: all of them, n_rows is not looked at);
     * w, base and registers are arenas, so row r of each lies at table->offset + r * table->stride.
     * rows_sum:  w[row] = base[row] + r[0][row] + ...; base NULL: what the row starts from (struct ta_table, `seed`).
     *            Element by element in this order: the same bits on every machine.
     * rows_pick: w[row] = row of registers[r mod n_registers], or when its first word is zero, of base (NULL: zeros).
     *            Words of any meaning: copied, never computed with.
     * Rows may be written by peers meanwhile; each aligned 4-byte word is read once, whole. Errors: DEVICE. */
    ta_status (*rows_sum)(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                          size_t n_rows, float *w, const float *base, const float *const *registers,
                          unsigned n_registers);
    ta_status (*rows_pick)(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                           float *w, const float *base, const float *const *registers, unsigned n_registers);
    /* What a step has changed rows of w by, into a register: for the rows listed, element by element,
     *     delta[row] += w[row] - folded[row], and then folded[row] = w[row].
     * Arenas as above, all different; a row listed twice counts once. Peers may read delta meanwhile: each aligned
     * 4-byte word is written once, whole. Errors: DEVICE. */
    ta_status (*rows_fold)(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                           const float *w, float *folded, float *delta);

    const struct ta_skipgram_ops *skipgram; /* word vectors; NULL: not in this make */
};

extern const struct ta_kernels_ops ta_kernels_cpu;

/* The make of that name: "cpu"; "cuda", which loads the plugin of that name (plugin.h, whose errors these are:
 * NOT_BUILT, DEVICE, INVALID); "auto": what needs no device, so cpu (who knows whether there is a GPU asks for "cuda"
 * then). Errors: CONFIG (unknown: lists the names). */
ta_status ta_kernels_find(const char *name, const struct ta_kernels_ops **out);

#endif
