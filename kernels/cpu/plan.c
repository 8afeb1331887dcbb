/* plan: which node does a layer's work, what runs in place, and where every activation and gradient lies.
 *
 * Time runs from 0 to 2L for L layers: layer i computes forward at time i, the loss at time L, layer i backward at time
 * 2L - i. A buffer is needed during an interval of times; two buffers whose intervals do not touch may share memory. */
#include <string.h>

#include "check.h"
#include "mem.h"
#include "net.h"
#include "place.h"

struct mark {
    uint32_t consumers; /* layers that read this one */
    uint32_t root;      /* the layer whose buffer this one's output lies in */
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

static struct ta_block *activation(struct plan *p, int32_t layer) { return &p->block[p->mark[layer].root]; }
static struct ta_block *gradient(struct plan *p, int32_t layer) { return &p->block[p->n + p->mark[layer].root]; }
static struct ta_block *temporary(struct plan *p, uint32_t layer, unsigned which) {
    return &p->block[2 * p->n + 2 * layer + which];
}

static unsigned inputs_of(const struct ta_layer *layer) { return layer->kind == TA_LAYER_ADD ? 2 : 1; }

static const struct ta_node_ops *ops_of(enum ta_layer_kind kind) {
    switch (kind) {
    case TA_LAYER_DENSE: return &ta_node_dense;
    case TA_LAYER_CONV2D: return &ta_node_conv;
    case TA_LAYER_MAX_POOL: return &ta_node_max_pool;
    case TA_LAYER_AVG_POOL:
    case TA_LAYER_GLOBAL_AVG_POOL: return &ta_node_avg_pool;
    case TA_LAYER_BATCH_NORM: return &ta_node_norm;
    case TA_LAYER_DROPOUT: return &ta_node_dropout;
    case TA_LAYER_FLATTEN: return &ta_node_copy;
    case TA_LAYER_ADD: return &ta_node_add;
    case TA_LAYER_RELU: return &ta_node_relu;
    case TA_LAYER_TANH: return &ta_node_tanh;
    case TA_LAYER_SIGMOID: return &ta_node_sigmoid;
    default: return &ta_node_softmax;
    }
}

/* May layer i write over its input? Only its single reader may, and only when the writer does not need it again. */
static bool in_place(const struct plan *p, uint32_t i) {
    const struct ta_layer *l = &p->net->spec.layers[i];
    if (l->input[0] < 0 || p->mark[l->input[0]].consumers != 1) return false;
    if (l->kind == TA_LAYER_FLATTEN) return true;
    bool pointwise = l->kind == TA_LAYER_RELU || l->kind == TA_LAYER_TANH || l->kind == TA_LAYER_SIGMOID ||
                     l->kind == TA_LAYER_DROPOUT;
    return pointwise && !p->mark[l->input[0]].output_kept;
}

/* convolution, maybe ReLU, max_pool, each read by nobody else: one node does all three, and the large image between
 * them is never kept. Worth it where the pool leaves at most half of the places. */
static void fuse(struct plan *p, uint32_t i) {
    const struct ta_net_spec *spec = &p->net->spec;
    const struct ta_layer *pool = &spec->layers[i];
    struct ta_node *nodes = p->net->nodes;
    int32_t relu = -1, conv = pool->input[0];
    if (conv >= 0 && spec->layers[conv].kind == TA_LAYER_RELU && p->mark[conv].consumers == 1) {
        relu = conv;
        conv = spec->layers[relu].input[0];
    }
    if (conv < 0 || spec->layers[conv].kind != TA_LAYER_CONV2D || p->mark[conv].consumers != 1) return;
    if ((size_t)pool->kernel_h * pool->kernel_w > 254) return;
    if (2 * (size_t)pool->out.h * pool->out.w > (size_t)pool->in.h * pool->in.w) return;
    /* The node counts windows' positions and the floats of a padded image in 32 bits. */
    const struct ta_layer *c = &spec->layers[conv];
    size_t padded = (size_t)(c->in.h + c->pad_top + c->pad_bottom) * (c->in.w + c->pad_left + c->pad_right);
    size_t positions = (size_t)pool->out.h * pool->out.w * pool->kernel_h * pool->kernel_w;
    if (padded > UINT32_MAX / 4 / c->in.c || positions > UINT32_MAX / 4) return;
    nodes[conv].ops = NULL;
    if (relu >= 0) nodes[relu].ops = NULL;
    nodes[i].ops = &ta_node_conv_pool;
    nodes[i].conv = &spec->layers[conv];
    nodes[i].relu = relu >= 0;
    nodes[i].from[0] = spec->layers[conv].input[0];
    nodes[i].shape = spec->layers[conv].in;
    p->mark[i].output_kept = false;
}

static bool has_parameters(const struct ta_layer *l) {
    return l->kernel.count + l->bias.count + l->gamma.count + l->beta.count > 0;
}

static void mark_layers(struct plan *p) {
    const struct ta_net_spec *spec = &p->net->spec;
    for (uint32_t i = 0; i < p->n; i++) {
        for (unsigned k = 0; k < inputs_of(&spec->layers[i]); k++) {
            if (spec->layers[i].input[k] >= 0) p->mark[spec->layers[i].input[k]].consumers++;
        }
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const struct ta_layer *l = &spec->layers[i];
        struct mark *m = &p->mark[i];
        struct ta_node *node = &p->net->nodes[i];
        *node = (struct ta_node){.layer = l, .ops = ops_of(l->kind), .index = i, .shape = l->in};
        node->from[0] = l->input[0];
        node->from[1] = l->kind == TA_LAYER_ADD ? l->input[1] : TA_FROM_NONE;
        m->trains = has_parameters(l);
        for (unsigned k = 0; k < inputs_of(l); k++) {
            if (l->input[k] >= 0 && p->mark[l->input[k]].trains) m->trains = true;
        }
        m->output_kept = l->kind == TA_LAYER_RELU || l->kind == TA_LAYER_TANH || l->kind == TA_LAYER_SIGMOID ||
                         l->kind == TA_LAYER_SOFTMAX || l->kind == TA_LAYER_MAX_POOL;
        m->root = i;
        if (l->kind == TA_LAYER_MAX_POOL) fuse(p, i);
        if (in_place(p, i)) {
            m->root = p->mark[l->input[0]].root;
            if (l->kind == TA_LAYER_FLATTEN) {
                node->ops = &ta_node_alias;
                m->output_kept = p->mark[l->input[0]].output_kept;
            }
        }
    }
}

/* The layer whose output the loss reads. */
static void find_logits(struct plan *p) {
    uint32_t last = p->n - 1;
    p->net->logits = (int32_t)last;
    if (!ta_net_loss_takes_last(&p->net->spec)) return;
    p->net->nodes[last].ops = NULL;
    p->net->logits = p->net->spec.layers[last].input[0];
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

static void find_lifetimes(struct plan *p) {
    struct ta_net *net = p->net;
    bool training = !net->spec.predict_only;
    uint32_t loss_time = p->n;
    for (uint32_t i = 0; i < p->n; i++) {
        if (net->nodes[i].ops == NULL) continue;
        uint32_t backward = 2 * p->n - i;
        size_t out = ta_node_out_count(net, &net->nodes[i]);
        need(activation(p, (int32_t)i), out, i);
        if (training && p->mark[i].trains) {
            need(activation(p, (int32_t)i), out, backward);
            need(gradient(p, (int32_t)i), out, backward);
        }
        for (unsigned k = 0; k < 2; k++) {
            int32_t from = net->nodes[i].from[k];
            if (from < 0) continue;
            size_t floats = ta_node_out_count(net, &net->nodes[from]);
            need(activation(p, from), floats, i);
            if (!training || !p->mark[i].trains) continue;
            need(activation(p, from), floats, backward);
            if (p->mark[from].trains) need(gradient(p, from), floats, backward);
        }
    }
    if (net->logits < 0) return;
    size_t floats = ta_node_out_count(net, &net->nodes[net->logits]);
    need(activation(p, net->logits), floats, loss_time);
    if (training && p->mark[net->logits].trains) need(gradient(p, net->logits), floats, loss_time);
}

/* In backward order the first to write a gradient writes it; who comes later writes to a temporary, which is added. */
static void find_temporaries(struct plan *p) {
    struct ta_net *net = p->net;
    if (net->spec.predict_only) return;
    if (net->logits >= 0) p->mark[p->mark[net->logits].root].grad_begun = true;
    for (uint32_t i = p->n; i-- > 0;) {
        if (net->nodes[i].ops == NULL || !p->mark[i].trains) continue;
        for (unsigned k = 0; k < 2; k++) {
            int32_t from = net->nodes[i].from[k];
            if (from < 0 || !p->mark[from].trains || p->mark[from].root == p->mark[i].root) continue;
            struct mark *root = &p->mark[p->mark[from].root];
            if (root->grad_begun) need(temporary(p, i, k), ta_node_out_count(net, &net->nodes[from]), 2 * p->n - i);
            root->grad_begun = true;
        }
    }
}

static float *at(struct ta_net *net, const struct ta_block *b) {
    return b->floats == 0 ? NULL : net->arena + b->offset;
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
            float *aside = at(net, temporary(p, i, k));
            if (aside == NULL) continue;
            node->add_into[k] = node->grad_in[k];
            node->grad_in[k] = aside;
        }
    }
    if (net->logits >= 0 && !net->spec.predict_only && p->mark[net->logits].trains)
        net->logits_grad = at(net, gradient(p, net->logits));
}

ta_status ta_plan(struct ta_net *net) {
    struct plan p = {.net = net, .n = net->spec.n_layers};
    ta_status status = TA_NEW(&p.mark, p.n, "the plan of a net");
    if (status == TA_OK) status = TA_NEW(&p.block, 4 * (size_t)p.n, "the plan of a net");
    if (status == TA_OK) {
        mark_layers(&p);
        find_logits(&p);
        find_lifetimes(&p);
        find_temporaries(&p);
        net->arena_floats = ta_place(p.block, 4 * p.n);
        status = TA_NEW(&net->arena, net->arena_floats, "activations and gradients of a net");
    }
    if (status == TA_OK) wire(&p);
    ta_mem_free(p.block);
    ta_mem_free(p.mark);
    return status;
}
