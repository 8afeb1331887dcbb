/* net: the inside of the CUDA make's nets, shared by the files of this folder only.
 *
 *     plan.c      which nodes exist, what runs in place, where activations and gradients lie
 *     weights.c   the arena's tensors in the form that libraries want them, and their gradients on the way back
 *     conv.c dense.c pool.c norm.c pointwise.c    the nodes
 *     pass.c      what a step queues: forwards, loss, backwards, update
 *     step.c      batches on their way in, graphs, results on their way out
 *     net.c       life of a net          train.c     stage, begin, end, train, predict
 *
 * Activations are channels-last in GPU memory, float32, or bfloat16 where kernels compute in that; everything is queued
 * on COMPUTE, so that memory may be used again by the next node. A net has three slots: two for steps of which one is
 * on its way in while the other computes, and one for predictions. What a slot queues is always the same work on the
 * same addresses, so it is captured once and launched as a graph from then on; what changes from step to step lies in a
 * small block of numbers that goes to the device first. */
#ifndef TA_CUDA_NET_H
#define TA_CUDA_NET_H

#include "cublaslt_ops.h"
#include "cuda.h"
#include "cudnn_ops.h"
#include "flat.h"

struct ta_net;
struct ta_node;
struct ta_slot;

/* What a node needs to know of the pass that is being queued. */
struct ta_pass {
    const float *w;
    float *grad; /* NULL: inference */
    const struct ta_net_update *update;
    struct ta_slot *slot;
    cudaStream_t stream;
};

/* A kind of layer at work. `create` may allocate node->state and states its tensors (weights.c); `destroy` frees it and
 * is called even after a failed create. backward writes (never adds) the gradients of its inputs to node->grad_in[]
 * where they are not NULL, and those of its parameters. All queue, none waits. */
struct ta_node_ops {
    ta_status (*create)(struct ta_net *net, struct ta_node *node);
    ta_status (*forward)(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass);
    ta_status (*backward)(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass);
    void (*destroy)(struct ta_node *node);
};

struct ta_node {
    const struct ta_layer *layer;  /* whose output this computes */
    const struct ta_layer *work;   /* whose parameters it has: `layer`, or the conv2d or dense layer before a ReLU */
    const struct ta_node_ops *ops; /* NULL: another node does this layer's work */
    uint32_t index;
    bool relu;                   /* work is not layer: the ReLU behind it is done, too */
    int32_t from[2];             /* layers it reads, or TA_FROM_INPUT, or TA_FROM_NONE */
    void *in[2];                 /* all set by the plan, but for the net's own input, which pass.c sets */
    void *out;
    void *grad_out;              /* gradient of the loss by `out`; complete before backward, which may spoil it */
    void *grad_in[2];            /* where to write the gradient by in[]; NULL: nobody needs it; may be grad_out */
    void *add_into[2];           /* not NULL: grad_in is aside, to be added to this afterwards */
    struct ta_layer_times times; /* when spec.timed */
    void *state;
};

/* A tensor of the arena as a node sees it. */
struct ta_tensor {
    struct ta_param param;
    uint32_t taps, in, out; /* [taps][in][out] in the arena */
    bool krsc;
    enum ta_flat_type type;
    bool copied; /* there is a copy; else it is used where it lies */
    size_t at;   /* of the copy in net->packed, bytes */
};

/* All tensors of a net that are copied: before a step to `packed`, or behind it from `packed_grad`. */
struct ta_tensors {
    struct ta_flat_tensor *list; /* [n] */
    uint32_t n, room;
    size_t bytes; /* of the copies together */
    void *copies;
};

/* The numbers of a step that change, on their way to the device. */
struct ta_numbers {
    uint64_t step;
    float share; /* 1 / records with a label */
    struct ta_flat_scalars update;
};

enum ta_slot_state { TA_SLOT_FREE, TA_SLOT_STAGED, TA_SLOT_BEGUN };
enum { TA_SLOT_PREDICT = 2, TA_SLOTS = 3 };

/* What a graph was captured for. */
struct ta_captured {
    const float *w;
    float *grad, *m, *v, *delta;
    bool update, labels;
    enum ta_optimizer_kind kind;
};

/* Where things lie in a slot's blocks, in bytes: numbers, x, labels on their way in; outcome, losses, predictions out.
 */
struct ta_slot_layout {
    size_t x, labels, outcome, losses, predictions, end;
};

struct ta_slot {
    enum ta_slot_state state;
    uint64_t turn; /* steps come to their end in the order in which they were staged */
    char *pinned;  /* [layout.end], of the host */
    char *device;  /* the same on the device */
    cudaEvent_t staged, done;
    bool labels, update; /* of the batch; of the step */
    float share;
    cudaGraphExec_t graph; /* NULL: none yet */
    struct ta_captured captured;
    cudaEvent_t *marks; /* [2 * n_layers + 2] when timed: before each node, and behind the last, both ways */
};

/* Memory of the device that is needed; all of a net is allocated at once. */
struct ta_want {
    void **where; /* gets its address */
    size_t bytes;
};

struct ta_net {
    struct ta_kernels *kernels;
    struct ta_net_spec spec;
    enum ta_flat_type type; /* of activations and their gradients */
    struct ta_node *nodes;
    char *arena; /* activations and gradients, on the device */
    size_t arena_bytes;
    void *block; /* all else on the device */
    size_t block_bytes;
    struct ta_want *wants; /* [n_wants], of which `block` is made */
    uint32_t n_wants, wants_room;
    void *input; /* the batch as bfloat16; NULL: read where it arrives */
    struct ta_tensors weights, gradients;
    void *workspace; /* of cuDNN, cuBLASLt and sums over columns: one node runs at a time */
    size_t workspace_bytes;
    int32_t logits;    /* layer whose output the loss reads, or TA_FROM_INPUT */
    void *logits_grad; /* NULL: nobody needs it */
    struct ta_slot_layout layout;
    struct ta_slot slots[TA_SLOTS];
    uint64_t turns;
    struct ta_param *statistics;         /* [n_moving] of all batch_norms */
    struct ta_flat_moving_range *moving; /* [n_moving] */
    uint32_t n_moving;
    struct ta_param *trained; /* [n_trained] what captured updates descend */
    uint32_t n_trained;
    void *norm_scratch;
    uint32_t warm;   /* kinds of passes that ran once, so that nothing is loaded while a graph is captured */
    char plain[256]; /* why graphs are not used; "": they are */
};

static inline size_t ta_node_in_count(const struct ta_net *net, const struct ta_node *node) {
    return net->spec.batch * ta_shape_count(node->work->in);
}
static inline size_t ta_node_out_count(const struct ta_net *net, const struct ta_node *node) {
    return net->spec.batch * ta_shape_count(node->layer->out);
}
/* [batch * h * w][c] of what the node writes. */
static inline struct ta_flat_matrix ta_node_out_matrix(const struct ta_net *net, const struct ta_node *node) {
    const struct ta_shape s = node->layer->out;
    return (struct ta_flat_matrix){net->type, (size_t)net->spec.batch * s.h * s.w, s.c};
}

/* TA_OK, or what CUDA said of a layer's work. */
ta_status ta_node_said(const struct ta_net *net, const struct ta_node *node, cudaError_t error);
/* Zeroed memory of the host for a node's state. */
ta_status ta_node_state(struct ta_node *node, size_t bytes);
/* While a net is made: *where gets zeroed memory of the device when all is known that is needed. */
ta_status ta_net_want(struct ta_net *net, size_t bytes, void *where);
void ta_net_want_workspace(struct ta_net *net, size_t bytes);

/* plan.c: fills nodes, wires their buffers, allocates the arena. */
ta_status ta_cuda_plan(struct ta_net *net);

/* weights.c. ta_tensor_state: how a node wants a tensor (type, order), so that a copy is made where it must be; the
 * gradient likewise. Every step begins with load and ends with store. */
ta_status ta_tensor_state(struct ta_tensors *all, struct ta_tensor *t);
ta_status ta_weights_load(struct ta_net *net, const struct ta_pass *pass);
ta_status ta_gradients_store(struct ta_net *net, const struct ta_pass *pass);
const void *ta_weight(const struct ta_net *net, const struct ta_pass *pass, const struct ta_tensor *t);
void *ta_gradient(const struct ta_net *net, const struct ta_pass *pass, const struct ta_tensor *t);

/* pointwise.c: the gradient through a fused ReLU, in place, and of the bias: what backward of a convolution or a dense
 * layer begins with. */
ta_status ta_node_back_through_act(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass);

extern const struct ta_node_ops ta_cuda_node_conv, ta_cuda_node_dense, ta_cuda_node_max_pool, ta_cuda_node_avg_pool,
    ta_cuda_node_norm, ta_cuda_node_dropout, ta_cuda_node_copy, ta_cuda_node_alias, ta_cuda_node_add, ta_cuda_node_relu,
    ta_cuda_node_tanh, ta_cuda_node_sigmoid, ta_cuda_node_softmax;

/* pass.c: queues everything between the batch on the device and the results on the host. */
ta_status ta_pass_queue(struct ta_net *net, const struct ta_pass *pass);

/* step.c: a slot's way from staged to free. */
ta_status ta_slots_want(struct ta_net *net);
ta_status ta_slots_open(struct ta_net *net);
void ta_slots_close(struct ta_net *net);
ta_status ta_slot_stage(struct ta_net *net, struct ta_slot *slot, const float *x, const struct ta_labels *labels);
/* slot and stream of the pass are filled in. */
ta_status ta_slot_begin(struct ta_net *net, struct ta_slot *slot, struct ta_pass *pass, uint64_t step);
ta_status ta_slot_end(struct ta_net *net, struct ta_slot *slot, float *predictions, float *losses,
                      struct ta_net_outcome *outcome);

/* net.c, train.c: the members of the table that work on nets. */
ta_status ta_cuda_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out);
void ta_cuda_net_destroy(struct ta_net *net);
size_t ta_cuda_net_bytes(const struct ta_net *net);
struct ta_layer_times ta_cuda_net_times(const struct ta_net *net, uint32_t layer);
/* Why steps are not launched as graphs; "": they are, or none was begun yet. */
const char *ta_cuda_net_note(const struct ta_net *net);
ta_status ta_cuda_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                        uint64_t step, float *grad, float *predictions, float *losses);
ta_status ta_cuda_stage(struct ta_net *net, const float *x, const struct ta_labels *labels);
ta_status ta_cuda_begin(struct ta_net *net, const struct ta_net_step *step);
ta_status ta_cuda_ready(struct ta_net *net);
ta_status ta_cuda_end(struct ta_net *net, float *predictions, float *losses, struct ta_net_outcome *outcome);
ta_status ta_cuda_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                          float *predictions, float *losses);

#endif
