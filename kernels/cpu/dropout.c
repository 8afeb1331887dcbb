/* dropout: an element survives when a 32-bit number, a pure function of (seed, layer, step, element), is at or above
 * rate * 2^32; survivors are scaled by 1 / (1 - rate). The element counts from the batch's first record, so that slices
 * change nothing. */
#include <string.h>

#include "mem.h"
#include "net.h"
#include "widest.h"

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

enum { LANES = 16 }; /* blocks of the generator at once */

/* The elements of the blocks first .. first + LANES - 1 of ta_rng_block that survive, in a form that compilers turn
 * into vectors: Philox 4x32-10 (rng.h), one array a word. A mask of a large image would else cost as much as its
 * convolution. */
WIDEST
static void draw_lanes(uint64_t seed, uint64_t stream, uint64_t first, uint32_t least, uint8_t kept[4 * LANES]) {
    uint32_t out[4][LANES];
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (unsigned i = 0; i < LANES; i++) {
        out[0][i] = (uint32_t)(first + i);
        out[1][i] = (uint32_t)((first + i) >> 32);
        out[2][i] = (uint32_t)stream;
        out[3][i] = (uint32_t)(stream >> 32);
    }
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < LANES; i++) {
            uint64_t a = (uint64_t)UINT32_C(0xD2511F53) * out[0][i], b = (uint64_t)UINT32_C(0xCD9E8D57) * out[2][i];
            out[0][i] = (uint32_t)(b >> 32) ^ out[1][i] ^ key[0];
            out[1][i] = (uint32_t)b;
            out[2][i] = (uint32_t)(a >> 32) ^ out[3][i] ^ key[1];
            out[3][i] = (uint32_t)a;
        }
        key[0] += UINT32_C(0x9E3779B9);
        key[1] += UINT32_C(0xBB67AE85);
    }
    for (unsigned i = 0; i < LANES; i++) {
        for (unsigned j = 0; j < 4; j++) kept[4 * i + j] = out[j][i] >= least;
    }
}

static void draw(const struct ta_net *net, const struct ta_node *node, const struct ta_pass *pass, uint8_t *kept) {
    size_t record = ta_shape_count(node->layer->out);
    uint64_t blocks_a_step = ((uint64_t)net->spec.batch * record + 3) / 4;
    uint64_t element = (uint64_t)pass->first * record, end = element + ta_node_out_count(net, node);
    uint32_t least = (uint32_t)((double)node->layer->rate * 0x1p32);
    while (element < end) {
        uint8_t lanes[4 * LANES];
        uint64_t block = element / 4, last = 4 * (block + LANES) < end ? 4 * (block + LANES) : end;
        draw_lanes(net->spec.seed, stream_of_dropout + node->index, pass->step * blocks_a_step + block, least, lanes);
        memcpy(kept, lanes + element % 4, last - element);
        kept += last - element;
        element = last;
    }
}

WIDEST
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
