/* net: the inside of the CPU make, shared by the files of this folder only.
 *
 * All activations are channels-last ([record][h][w][c]) in float32: oneDNN's direct convolutions are as fast there as
 * in its blocked layouts to a few percent, and every layout change and half of the special cases are gone. Weights are
 * reordered once a step, where the primitive wants another layout.
 *
 * A net is a list of nodes, one a layer. plan.c decides which nodes exist, what runs in place and where every
 * activation and gradient lies in one arena; then each node creates its primitives; a step walks the list forwards and
 * backwards.
 */
#ifndef TA_CPU_NET_H
#define TA_CPU_NET_H

#include <oneapi/dnnl/dnnl.h>

#include "kernels.h"

struct ta_kernels {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* What a node needs to know of the step that runs. */
struct ta_pass {
    const float *w;
    float *grad; /* NULL: inference */
    uint64_t step;
    uint32_t first; /* number of the slice's first record in the batch */
    float scale;    /* training: 1 / records of the batch with a label */
};

struct ta_node;

/* A kind of layer at work. `create` may allocate node->state; `destroy` frees it and is called even after a failed
 * create. */
struct ta_node_ops {
    ta_status (*create)(struct ta_net *net, struct ta_node *node);
    ta_status (*forward)(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass);
    /* Writes (never adds) the gradients of its inputs to node->grad_in[] where they are not NULL; *adds* those of its
     * parameters to pass->grad. */
    ta_status (*backward)(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass);
    void (*destroy)(struct ta_node *node);
};

struct ta_node {
    const struct ta_layer *layer;
    const struct ta_node_ops *ops; /* NULL: another node does this layer's work */
    uint32_t index;
    const struct ta_layer *conv; /* not NULL: this max_pool also does the work of that convolution before it */
    bool relu;                   /* ... and of a ReLU between them */
    int32_t from[2];             /* layers it reads, or TA_FROM_INPUT, or TA_FROM_NONE */
    struct ta_shape shape;       /* of what it reads */
    const float *in[2];          /* set by the plan; inputs that are the net's own are set before each slice */
    float *out;
    float *grad_out;             /* gradient of the loss by `out`; complete when backward is called */
    float *grad_in[2];           /* where to write the gradient by in[]; NULL: nobody needs it */
    float *add_into[2];          /* not NULL: grad_in is a scratch buffer, to be added to this afterwards */
    struct ta_layer_times times; /* when spec.timed */
    void *state;
};

struct ta_net {
    struct ta_kernels *kernels;
    struct ta_net_spec spec;
    uint32_t slice; /* records that pass through at once; batch is a multiple of it */
    struct ta_node *nodes;
    float *arena; /* activations and gradients */
    size_t arena_floats;
    float *scratch; /* oneDNN's, shared by all primitives: one runs at a time */
    size_t scratch_bytes;
    float *param_grad; /* gradients of one layer's parameters, before they are added; [param_floats] */
    size_t param_floats;
    size_t state_bytes; /* of the nodes */
    int32_t logits;     /* layer whose output the loss reads, or TA_FROM_INPUT */
    float *logits_grad; /* NULL: nobody needs it */
};

static inline size_t ta_node_in_count(const struct ta_net *net, const struct ta_node *node) {
    return net->slice * ta_shape_count(node->shape);
}
static inline size_t ta_node_out_count(const struct ta_net *net, const struct ta_node *node) {
    return net->slice * ta_shape_count(node->layer->out);
}

/* plan.c: fills nodes, wires their buffers, allocates the arena. */
ta_status ta_plan(struct ta_net *net);

/* Memory of a node: counted in net->state_bytes. */
ta_status ta_node_alloc(struct ta_net *net, size_t count, size_t size, const char *what, void **out);

extern const struct ta_node_ops ta_node_conv, ta_node_conv_pool, ta_node_dense, ta_node_max_pool, ta_node_avg_pool,
    ta_node_norm, ta_node_dropout, ta_node_copy, ta_node_alias, ta_node_add, ta_node_relu, ta_node_tanh,
    ta_node_sigmoid, ta_node_softmax;

/* into[i] += from[i] */
void ta_accumulate(size_t n, float *into, const float *from);

/* loss.c: one slice. */
struct ta_loss_args {
    enum ta_loss kind;
    uint32_t records, outputs;
    const float *z;         /* [records][outputs] what the net computed, before softmax or sigmoid */
    const int32_t *classes; /* of this slice; NULL: no losses, no gradient */
    const float *targets;
    float scale;        /* 1 / records with a label: the gradient is that of their mean */
    float *predictions; /* [records][outputs] or NULL */
    float *losses;      /* [records] or NULL */
    float *grad;        /* [records][outputs] or NULL; may be z itself */
};
void ta_loss_run(const struct ta_loss_args *args);

/* arena.c: the members of the table that work on flat parameters. */
ta_status ta_arena_grad_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2);
ta_status ta_arena_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad,
                          const float *w, float *m, float *v, float *delta);
ta_status ta_arena_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value);
ta_status ta_arena_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis, float *grad);
ta_status ta_arena_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                       unsigned n_registers);
ta_status ta_arena_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers, unsigned n_registers);

/* net.c: the members of the table that work on nets. */
ta_status ta_cpu_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out);
void ta_cpu_net_destroy(struct ta_net *net);
size_t ta_cpu_net_bytes(const struct ta_net *net);
struct ta_layer_times ta_cpu_net_times(const struct ta_net *net, uint32_t layer);
ta_status ta_cpu_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                       uint64_t step, float *grad, float *predictions, float *losses);
ta_status ta_cpu_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                         float *predictions, float *losses);

#endif
