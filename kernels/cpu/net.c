/* net: a step walks the nodes forwards, computes the loss, and walks them backwards, slice by slice. */
#include <omp.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "mem.h"
#include "net.h"
#include "prim.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* What a call changes of its thread, and how it was before: the OpenMP team's size, and numbers below 1e-38 become 0
 * (they would slow a step down tenfold on some machines and mean nothing here). */
struct guard {
    int threads;
    unsigned control;
};

static struct guard guard_enter(const struct ta_kernels *k) {
    struct guard g = {.threads = omp_get_max_threads()};
    if (g.threads != k->threads) omp_set_num_threads(k->threads);
#if defined(__x86_64__)
    g.control = _mm_getcsr();
    _mm_setcsr(g.control | _MM_FLUSH_ZERO_ON | 0x0040 /* denormals are zero */);
#endif
    return g;
}

static void guard_leave(const struct ta_kernels *k, struct guard g) {
#if defined(__x86_64__)
    _mm_setcsr(g.control);
#endif
    if (g.threads != k->threads) omp_set_num_threads(g.threads);
}

ta_status ta_node_alloc(struct ta_net *net, size_t count, size_t size, const char *what, void **out) {
    ta_status status = ta_mem_alloc(count, size, what, out);
    if (status == TA_OK) net->state_bytes += count * size;
    return status;
}

enum { SLICE_MOST = 16, SLICE_LEAST = 8, WORTH = 4 /* activations a parameter */ };

/* Records that pass through the net at once: few, so that activations stay in the cache (and memory stays small), but
 * enough that the work done once a slice, adding up the gradients of all parameters, is lost in it. Batch statistics
 * need the whole batch at once; threads get more to share. A batch without a fitting divisor stays whole. */
static uint32_t choose_slice(const struct ta_kernels *k, const struct ta_net_spec *spec) {
    size_t record = 0;
    for (uint32_t i = 0; i < spec->n_layers; i++) {
        if (spec->layers[i].kind == TA_LAYER_BATCH_NORM && !spec->predict_only) return spec->batch;
        record += ta_shape_count(spec->layers[i].out);
    }
    uint32_t most = SLICE_MOST * (uint32_t)k->threads;
    for (uint32_t slice = most < spec->batch ? most : spec->batch; slice >= SLICE_LEAST; slice--) {
        if (spec->batch % slice == 0 && slice * record >= WORTH * spec->n_params) return slice;
    }
    return spec->batch;
}

static size_t largest_param(const struct ta_net_spec *spec) {
    size_t most = 0;
    for (uint32_t i = 0; i < spec->n_layers; i++) {
        size_t count = spec->layers[i].kernel.count + spec->layers[i].bias.count;
        if (count > most) most = count;
    }
    return most;
}

static ta_status build(struct ta_net *net) {
    ta_status status = TA_NEW(&net->nodes, net->spec.n_layers, "the layers of a net");
    if (status != TA_OK) return status;
    status = ta_plan(net);
    if (status != TA_OK) return status;
    for (uint32_t i = 0; i < net->spec.n_layers; i++) {
        struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL || node->ops->create == NULL) continue;
        status = node->ops->create(net, node);
        if (status != TA_OK) return status;
    }
    status = ta_mem_alloc(net->scratch_bytes, 1, "scratch memory of a net", (void **)&net->scratch);
    if (status != TA_OK || net->spec.predict_only || net->slice == net->spec.batch) return status;
    net->param_floats = largest_param(&net->spec);
    return TA_NEW(&net->param_grad, net->param_floats, "gradients of a slice");
}

ta_status ta_cpu_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    *out = NULL;
    ta_status status = ta_net_check(spec);
    if (status != TA_OK) return status;
    struct ta_net *net;
    status = TA_NEW(&net, 1, "a net");
    if (status != TA_OK) return status;
    net->kernels = k;
    net->spec = *spec;
    net->slice = choose_slice(k, spec);
    struct guard g = guard_enter(k);
    status = build(net);
    guard_leave(k, g);
    if (status != TA_OK) {
        ta_cpu_net_destroy(net);
        return status;
    }
    *out = net;
    return TA_OK;
}

void ta_cpu_net_destroy(struct ta_net *net) {
    if (net == NULL) return;
    for (uint32_t i = 0; net->nodes != NULL && i < net->spec.n_layers; i++) {
        const struct ta_node_ops *ops = net->nodes[i].ops;
        if (ops != NULL && ops->destroy != NULL) ops->destroy(&net->nodes[i]);
    }
    ta_mem_free(net->param_grad);
    ta_mem_free(net->scratch);
    ta_mem_free(net->arena);
    ta_mem_free(net->nodes);
    ta_mem_free(net);
}

size_t ta_cpu_net_bytes(const struct ta_net *net) {
    return sizeof *net + net->spec.n_layers * sizeof *net->nodes + net->arena_floats * sizeof(float) +
           net->scratch_bytes + net->param_floats * sizeof(float) + net->state_bytes;
}

struct ta_layer_times ta_cpu_net_times(const struct ta_net *net, uint32_t layer) {
    return net->nodes[layer].times;
}

/* Adds what passed since *last to *spent, and moves *last on. */
static void lap(const struct ta_net *net, int64_t *last, double *spent) {
    if (!net->spec.timed) return;
    int64_t now = ta_clock_now_ns();
    if (spent != NULL) *spent += (double)(now - *last) * 1e-9;
    *last = now;
}

static void feed(struct ta_net *net, const float *x) {
    for (uint32_t i = 0; i < net->spec.n_layers; i++) {
        struct ta_node *node = &net->nodes[i];
        if (node->from[0] == TA_FROM_INPUT) node->in[0] = x;
        if (node->from[1] == TA_FROM_INPUT) node->in[1] = x;
    }
}

static ta_status forward(struct ta_net *net, const struct ta_pass *pass) {
    int64_t last = 0;
    lap(net, &last, NULL);
    for (uint32_t i = 0; i < net->spec.n_layers; i++) {
        struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL || node->ops->forward == NULL) continue;
        ta_status status = node->ops->forward(net, node, pass);
        if (status != TA_OK) return status;
        lap(net, &last, &node->times.forward_s);
    }
    return TA_OK;
}

static ta_status backward(struct ta_net *net, const struct ta_pass *pass) {
    int64_t last = 0;
    lap(net, &last, NULL);
    for (uint32_t i = net->spec.n_layers; i-- > 0;) {
        struct ta_node *node = &net->nodes[i];
        if (node->ops == NULL || node->ops->backward == NULL || node->grad_out == NULL) continue;
        ta_status status = node->ops->backward(net, node, pass);
        if (status != TA_OK) return status;
        for (unsigned k = 0; k < 2; k++) {
            if (node->add_into[k] != NULL)
                ta_accumulate(ta_node_in_count(net, node), node->add_into[k], node->grad_in[k]);
        }
        lap(net, &last, &node->times.backward_s);
    }
    return TA_OK;
}

static void run_loss(struct ta_net *net, const struct ta_pass *pass, const struct ta_labels *labels, const float *x,
                     float *predictions, float *losses) {
    const struct ta_net_spec *spec = &net->spec;
    uint32_t outputs = (uint32_t)ta_shape_count(spec->layers[spec->n_layers - 1].out);
    uint32_t first = pass->first;
    size_t at = (size_t)first * outputs;
    struct ta_loss_args args = {
        .kind = spec->loss,
        .records = net->slice,
        .outputs = outputs,
        .z = net->logits >= 0 ? net->nodes[net->logits].out : x,
        .classes = labels != NULL && labels->classes != NULL ? labels->classes + first : NULL,
        .targets = labels != NULL && labels->targets != NULL ? labels->targets + at : NULL,
        .scale = pass->scale,
        .predictions = predictions != NULL ? predictions + at : NULL,
        .losses = losses != NULL ? losses + first : NULL,
        .grad = pass->grad != NULL ? net->logits_grad : NULL,
    };
    ta_loss_run(&args);
}

static ta_status run(struct ta_net *net, const struct ta_pass *whole, const float *x, const struct ta_labels *labels,
                     float *predictions, float *losses) {
    size_t record = ta_shape_count(net->spec.input);
    struct ta_pass pass = *whole;
    for (pass.first = 0; pass.first < net->spec.batch; pass.first += net->slice) {
        const float *from = x + pass.first * record;
        feed(net, from);
        ta_status status = forward(net, &pass);
        if (status != TA_OK) return status;
        run_loss(net, &pass, labels, from, predictions, losses);
        if (pass.grad != NULL) status = backward(net, &pass);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

ta_status ta_cpu_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                       uint64_t step, float *grad, float *predictions, float *losses) {
    if (net->spec.predict_only) return ta_fail(TA_INVALID, "a net that was created to predict cannot train");
    if (labels == NULL) return ta_fail(TA_INVALID, "training needs labels");
    ta_status status = ta_labels_check(&net->spec, labels);
    if (status != TA_OK) return status;
    struct guard g = guard_enter(net->kernels);
    memset(grad, 0, net->spec.n_params * sizeof *grad);
    uint32_t given = ta_labels_given(&net->spec, labels);
    struct ta_pass pass = {.w = w, .grad = grad, .step = step, .scale = 1.0F / (float)(given > 0 ? given : 1)};
    status = run(net, &pass, x, labels, predictions, losses);
    guard_leave(net->kernels, g);
    return status;
}

ta_status ta_cpu_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                         float *predictions, float *losses) {
    if (labels == NULL && losses != NULL) return ta_fail(TA_INVALID, "losses need labels");
    ta_status status = labels == NULL ? TA_OK : ta_labels_check(&net->spec, labels);
    if (status != TA_OK) return status;
    struct guard g = guard_enter(net->kernels);
    struct ta_pass pass = {.w = w};
    status = run(net, &pass, x, labels, predictions, losses);
    guard_leave(net->kernels, g);
    return status;
}
