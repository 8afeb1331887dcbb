/* plan: which node does a layer's work, what runs in place, and where every activation and gradient lies.
 *
 * Time runs from 0 to 2L for L layers: layer i computes forward at time i, the loss at time L, layer i backward at time
 * 2L - i. A buffer is needed during an interval of times; two buffers whose intervals do not touch may share memory:
 * all work is queued on one stream. */
#include <stdio.h>

#include "check.h"
#include "mem.h"
#include "net.h"
#include "place.h"

struct mark {
    uint32_t consumers; /* layers that read this one */
    uint32_t root;      /* the layer whose buffer this one's output lies in */
    uint32_t grad_root; /* of a root: whose gradient's buffer its own is; itself, but behind an add */
    bool output_kept;   /* its own backward reads its output: nobody may overwrite it */
    bool trains;        /* it or something before it has parameters: a gradient must pass */
    bool grad_begun;    /* something has written this root's gradient (while wiring) */
};

struct plan {
    struct ta_net *net;
    uint32_t n;
    struct mark *mark;
    struct ta_block *block; /* [0, n) activations by root, [n, 2n) gradients by root, then two temporaries a layer */
};

static uint32_t grad_root(const struct plan *p, int32_t layer) {
    uint32_t root = p->mark[layer].root;
    while (p->mark[root].grad_root != root) root = p->mark[root].grad_root;
    return root;
}

static struct ta_block *activation(struct plan *p, int32_t layer) { return &p->block[p->mark[layer].root]; }
static struct ta_block *gradient(struct plan *p, int32_t layer) { return &p->block[p->n + grad_root(p, layer)]; }
static struct ta_block *temporary(struct plan *p, uint32_t layer, unsigned which) {
    return &p->block[2 * p->n + 2 * layer + which];
}

static const struct ta_node_ops *ops_of(enum ta_layer_kind kind) {
    switch (kind) {
    case TA_LAYER_DENSE: return &ta_cuda_node_dense;
    case TA_LAYER_CONV2D: return &ta_cuda_node_conv;
    case TA_LAYER_MAX_POOL: return &ta_cuda_node_max_pool;
    case TA_LAYER_AVG_POOL:
    case TA_LAYER_GLOBAL_AVG_POOL: return &ta_cuda_node_avg_pool;
    case TA_LAYER_BATCH_NORM: return &ta_cuda_node_norm;
    case TA_LAYER_DROPOUT: return &ta_cuda_node_dropout;
    case TA_LAYER_FLATTEN: return &ta_cuda_node_copy;
    case TA_LAYER_ADD: return &ta_cuda_node_add;
    case TA_LAYER_RELU: return &ta_cuda_node_relu;
    case TA_LAYER_TANH: return &ta_cuda_node_tanh;
    case TA_LAYER_SIGMOID: return &ta_cuda_node_sigmoid;
    default: return &ta_cuda_node_softmax;
    }
}

static bool keeps_output(enum ta_layer_kind kind) {
    return kind == TA_LAYER_RELU || kind == TA_LAYER_TANH || kind == TA_LAYER_SIGMOID || kind == TA_LAYER_SOFTMAX;
}

static bool has_kernel(const struct ta_layer *l) { return l->kind == TA_LAYER_CONV2D || l->kind == TA_LAYER_DENSE; }

/* May layer i write over its input? Only its single reader may, and only when the writer does not need it again. */
static bool in_place(const struct plan *p, uint32_t i) {
    const struct ta_layer *l = &p->net->spec.layers[i];
    if (l->input[0] < 0 || p->mark[l->input[0]].consumers != 1) return false;
    if (l->kind == TA_LAYER_FLATTEN) return true;
    bool pointwise = l->kind == TA_LAYER_RELU || l->kind == TA_LAYER_TANH || l->kind == TA_LAYER_SIGMOID ||
                     l->kind == TA_LAYER_DROPOUT;
    return pointwise && !p->mark[l->input[0]].output_kept;
}

/* A ReLU that alone reads a convolution or a dense layer is done by that layer's node, at the ReLU's place. */
static bool fuse(struct plan *p, uint32_t i) {
    const struct ta_layer *relu = &p->net->spec.layers[i];
    struct ta_node *nodes = p->net->nodes;
    int32_t before = relu->input[0];
    if (relu->kind != TA_LAYER_RELU || before < 0 || p->mark[before].consumers != 1) return false;
    const struct ta_layer *work = &p->net->spec.layers[before];
    if (!has_kernel(work)) return false;
    nodes[i].ops = nodes[before].ops;
    nodes[i].work = work;
    nodes[i].relu = true;
    nodes[i].from[0] = work->input[0];
    nodes[before].ops = NULL;
    return true;
}

static void mark_layer(struct plan *p, uint32_t i) {
    const struct ta_layer *l = &p->net->spec.layers[i];
    struct mark *m = &p->mark[i];
    struct ta_node *node = &p->net->nodes[i];
    *node = (struct ta_node){.layer = l, .work = l, .ops = ops_of(l->kind), .index = i};
    node->from[0] = l->input[0];
    node->from[1] = l->kind == TA_LAYER_ADD ? l->input[1] : TA_FROM_NONE;
    m->trains = l->kernel.count + l->bias.count + l->gamma.count + l->beta.count > 0;
    for (unsigned k = 0; k < 2; k++)
        if (node->from[k] >= 0 && p->mark[node->from[k]].trains) m->trains = true;
    m->output_kept = keeps_output(l->kind);
    m->root = m->grad_root = i;
    if (fuse(p, i) || !in_place(p, i)) return;
    m->root = p->mark[l->input[0]].root;
    if (l->kind == TA_LAYER_FLATTEN) {
        node->ops = &ta_cuda_node_alias;
        m->output_kept = p->mark[l->input[0]].output_kept;
    }
}

static void mark_layers(struct plan *p) {
    const struct ta_net_spec *spec = &p->net->spec;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct ta_layer *l = &spec->layers[i];
        if (l->input[0] >= 0) p->mark[l->input[0]].consumers++;
        if (l->kind == TA_LAYER_ADD && l->input[1] >= 0) p->mark[l->input[1]].consumers++;
    }
    for (uint32_t i = 0; i < p->n; i++) mark_layer(p, i);
    p->net->logits = (int32_t)p->n - 1;
    if (!ta_net_loss_takes_last(spec)) return;
    p->net->nodes[p->n - 1].ops = NULL;
    p->net->logits = spec->layers[p->n - 1].input[0];
}

/* The gradient of a sum is that of its terms: the term whose gradient nobody has written before takes it over as it is.
 * In backward order, as the gradients are written. */
static void share_gradients(struct plan *p) {
    struct ta_net *net = p->net;
    if (net->logits >= 0) p->mark[grad_root(p, net->logits)].grad_begun = true;
    for (uint32_t i = p->n; i-- > 0;) {
        const struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL || !p->mark[i].trains) continue;
        bool twice = node->from[0] >= 0 && node->from[1] >= 0 &&
                     p->mark[node->from[0]].root == p->mark[node->from[1]].root;
        bool given = node->layer->kind != TA_LAYER_ADD || twice;
        for (unsigned k = 0; k < 2; k++) {
            if (node->from[k] < 0 || !p->mark[node->from[k]].trains) continue;
            uint32_t root = grad_root(p, node->from[k]), own = grad_root(p, (int32_t)i);
            if (root == own) continue;
            if (!given && !p->mark[root].grad_begun) {
                p->mark[root].grad_root = own;
                given = true;
            }
            p->mark[root].grad_begun = true;
        }
    }
    for (uint32_t i = 0; i < p->n; i++) p->mark[i].grad_begun = false;
}

static void need(struct ta_block *b, size_t floats, uint32_t time) {
    if (b->floats == 0) {
        b->from = b->to = time;
    } else {
        b->from = time < b->from ? time : b->from;
        b->to = time > b->to ? time : b->to;
    }
    b->floats = floats;
}

/* Room for what a layer puts out, in units of a float. */
static size_t room(const struct ta_net *net, int32_t layer) {
    return (ta_node_out_count(net, &net->nodes[layer]) * ta_flat_bytes(net->type) + 3) / 4;
}

static void find_lifetimes(struct plan *p) {
    struct ta_net *net = p->net;
    bool training = !net->spec.predict_only;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL) continue;
        bool back = training && p->mark[i].trains;
        bool reads_input = has_kernel(node->work) || node->work->kind == TA_LAYER_BATCH_NORM;
        uint32_t backward = 2 * p->n - i;
        size_t out = room(net, (int32_t)i);
        need(activation(p, (int32_t)i), out, i);
        if (back && (keeps_output(node->layer->kind))) need(activation(p, (int32_t)i), out, backward);
        if (back) need(gradient(p, (int32_t)i), out, backward);
        for (unsigned k = 0; k < 2; k++) {
            int32_t from = node->from[k];
            if (from < 0) continue;
            need(activation(p, from), room(net, from), i);
            if (back && reads_input) need(activation(p, from), room(net, from), backward);
            if (back && p->mark[from].trains) need(gradient(p, from), room(net, from), backward);
        }
    }
    if (net->logits < 0) return;
    need(activation(p, net->logits), room(net, net->logits), p->n);
    if (training && p->mark[net->logits].trains) need(gradient(p, net->logits), room(net, net->logits), p->n);
}

/* In backward order the first to write a gradient writes it; who comes later writes to a temporary, which is added. */
static void find_temporaries(struct plan *p) {
    struct ta_net *net = p->net;
    if (net->spec.predict_only) return;
    if (net->logits >= 0) p->mark[grad_root(p, net->logits)].grad_begun = true;
    for (uint32_t i = p->n; i-- > 0;) {
        if (net->nodes[i].ops == NULL || !p->mark[i].trains) continue;
        for (unsigned k = 0; k < 2; k++) {
            int32_t from = net->nodes[i].from[k];
            if (from < 0 || !p->mark[from].trains || grad_root(p, from) == grad_root(p, (int32_t)i)) continue;
            struct mark *root = &p->mark[grad_root(p, from)];
            if (root->grad_begun) need(temporary(p, i, k), room(net, from), 2 * p->n - i);
            root->grad_begun = true;
        }
    }
}

static void *at(struct ta_net *net, const struct ta_block *b) {
    return b->floats == 0 ? NULL : net->arena + b->offset * sizeof(float);
}

static void wire(struct plan *p) {
    struct ta_net *net = p->net;
    for (uint32_t i = 0; i < p->n; i++) {
        struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL) continue;
        node->out = at(net, activation(p, (int32_t)i));
        if (!net->spec.predict_only && p->mark[i].trains) node->grad_out = at(net, gradient(p, (int32_t)i));
        for (unsigned k = 0; k < 2; k++) {
            int32_t from = node->from[k];
            if (from < 0) continue;
            node->in[k] = at(net, activation(p, from));
            if (node->grad_out == NULL || !p->mark[from].trains) continue;
            node->grad_in[k] = at(net, gradient(p, from));
            void *aside = at(net, temporary(p, i, k));
            if (aside == NULL) continue;
            node->add_into[k] = node->grad_in[k];
            node->grad_in[k] = aside;
        }
    }
    if (net->logits >= 0 && !net->spec.predict_only && p->mark[net->logits].trains)
        net->logits_grad = at(net, gradient(p, net->logits));
}

/* Which activation to blame when the device has no room. */
static ta_status allocate(struct plan *p) {
    struct ta_net *net = p->net;
    uint32_t largest = 0;
    for (uint32_t i = 1; i < p->n; i++) {
        bool more = net->nodes[largest].ops == NULL || room(net, (int32_t)i) > room(net, (int32_t)largest);
        if (net->nodes[i].ops != NULL && more) largest = i;
    }
    const struct ta_layer *l = &net->spec.layers[largest];
    char what[256];
    snprintf(what, sizeof what, "activations and gradients of %u layers for a batch of %u records (the largest: %u x "
             "%ux%ux%u, %zu bytes, behind layer '%s')", p->n, net->spec.batch, net->spec.batch, l->out.h, l->out.w,
             l->out.c, room(net, (int32_t)largest) * sizeof(float), l->name);
    net->arena_bytes = ta_place(p->block, 4 * p->n) * sizeof(float);
    if (net->arena_bytes == 0) return TA_OK;
    return net->kernels->gpu_ops->alloc(net->kernels->gpu, net->arena_bytes, what, (void **)&net->arena);
}

ta_status ta_cuda_plan(struct ta_net *net) {
    struct plan p = {.net = net, .n = net->spec.n_layers};
    ta_status status = TA_NEW(&p.mark, p.n, "the plan of a net");
    if (status == TA_OK) status = TA_NEW(&p.block, 4 * (size_t)p.n, "the plan of a net");
    if (status == TA_OK) {
        mark_layers(&p);
        share_gradients(&p);
        find_lifetimes(&p);
        find_temporaries(&p);
        status = allocate(&p);
    }
    if (status == TA_OK) wire(&p);
    ta_mem_free(p.block);
    ta_mem_free(p.mark);
    return status;
}
