/* dropout: an element survives when a 32-bit number, a pure function of (seed, layer, step, element), is at or above
 * rate * 2^32; survivors are scaled by 1 / (1 - rate). The element counts from the batch's first record, so that slices
 * change nothing. */
#include <string.h>

#include "mem.h"
#include "net.h"
#include "rng.h"

struct dropout {
    uint8_t *kept; /* of the current slice, one byte an element */
};

/* Streams of the generator that are ours: "drop" and the layer's number. */
static const uint64_t stream_of_dropout = UINT64_C(0x64726f7000000000);

static ta_status dropout_create(struct ta_net *net, struct ta_node *node) {
    if (net->spec.predict_only) return TA_OK;
    ta_status status = ta_node_alloc(net, 1, sizeof(struct dropout), "a dropout", &node->state);
    if (status != TA_OK) return status;
    struct dropout *d = node->state;
    return ta_node_alloc(net, ta_node_out_count(net, node), 1, "a dropout's mask", (void **)&d->kept);
}

static void draw(const struct ta_net *net, const struct ta_node *node, const struct ta_pass *pass, uint8_t *kept) {
    size_t record = ta_shape_count(node->layer->out);
    uint64_t blocks_a_step = ((uint64_t)net->spec.batch * record + 3) / 4;
    uint64_t first = (uint64_t)pass->first * record, n = ta_node_out_count(net, node);
    uint64_t base = pass->step * blocks_a_step;
    uint32_t least = (uint32_t)((double)node->layer->rate * 0x1p32);
    uint32_t four[4] = {0};
    for (uint64_t i = 0; i < n; i++) {
        uint64_t element = first + i;
        if (i == 0 || element % 4 == 0)
            ta_rng_block(net->spec.seed, stream_of_dropout + node->index, base + element / 4, four);
        kept[i] = four[element % 4] >= least;
    }
}

static void apply(size_t n, const uint8_t *kept, float scale, const float *in, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = kept[i] ? in[i] * scale : 0;
}

static ta_status dropout_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dropout *d = node->state;
    size_t n = ta_node_out_count(net, node);
    if (pass->grad != NULL) {
        draw(net, node, pass, d->kept);
        apply(n, d->kept, 1 / (1 - node->layer->rate), node->in[0], node->out);
    } else if (node->out != node->in[0]) {
        memcpy(node->out, node->in[0], n * sizeof(float));
    }
    return TA_OK;
}

static ta_status dropout_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    const struct dropout *d = node->state;
    if (node->grad_in[0] == NULL) return TA_OK;
    apply(ta_node_out_count(net, node), d->kept, 1 / (1 - node->layer->rate), node->grad_out, node->grad_in[0]);
    return TA_OK;
}

static void dropout_destroy(struct ta_node *node) {
    struct dropout *d = node->state;
    if (d == NULL) return;
    ta_mem_free(d->kept);
    ta_mem_free(d);
}

const struct ta_node_ops ta_node_dropout = {dropout_create, dropout_forward, dropout_backward, dropout_destroy};
