/* conv2d, maybe ReLU, and max_pool as one node.
 *
 * Forward: oneDNN convolves a few records at a time into a buffer that stays in the cache, and each image is pooled at
 * once; what is kept is the pooled image and, a byte each, where in its window a maximum was. Backward: the few
 * gradients that the pool lets through are entries of sparse.h. The first layer of a net needs no gradient by its
 * input. */
#include <omp.h>
#include <string.h>

#include "conv.h"
#include "mem.h"
#include "sparse.h"

enum { CHUNK_BYTES = 256 * 1024 }; /* of the image between convolution and pool: half of a common L2 */

/* What one thread needs to itself. */
struct worker {
    float *image;      /* one input image with its padding, and room behind it; NULL: used where it lies */
    float *image_grad; /* likewise */
    float *kernel_sum; /* [out_c][kernel_h][width] */
    float *bias_sum;   /* [out_c] */
    uint32_t *start, *offset;
    float *value;
};

struct conv_pool {
    const struct ta_layer *conv, *pool;
    const struct ta_sparse_ops *loops;
    struct ta_conv_forward forward;
    uint32_t chunk; /* records a convolution */
    float *between; /* [chunk] images between convolution and pool */
    uint8_t *which; /* [slice][places][channels]; [chunk] when nothing is trained */
    struct ta_sparse_pool how;
    uint32_t *pool_offset;   /* [places][positions] into the image between */
    uint32_t *in_offset;     /* [places][positions] into the padded input image */
    uint32_t *kernel_offset; /* [out_c] into kernel_sum */
    uint32_t in_h, in_w;     /* of the padded input */
    uint32_t width;          /* floats in a row of the kernel, rounded up */
    bool copies;             /* input images are copied to be padded */
    float *kernel_rows;      /* [kernel_h][out_c][width]: the kernel as the gradient by the input reads it */
    struct worker *workers;
    int n_workers;
};

static uint32_t clamped(uint32_t at, uint32_t pad, uint32_t limit) {
    if (at < pad) return 0;
    return at - pad < limit ? at - pad : limit - 1;
}

/* Where each position of each window lies. One outside the image stands for its nearest neighbour inside, which is in
 * the window too: it changes no maximum, and a gradient passed back to it reaches the very same element. */
static void find_places(struct conv_pool *s) {
    const struct ta_layer *p = s->pool, *c = s->conv;
    size_t at = 0;
    for (uint32_t oy = 0; oy < p->out.h; oy++) {
        for (uint32_t ox = 0; ox < p->out.w; ox++) {
            for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
                for (uint32_t kx = 0; kx < p->kernel_w; kx++, at++) {
                    uint32_t y = clamped(oy * p->stride_h + ky, p->pad_top, p->in.h);
                    uint32_t x = clamped(ox * p->stride_w + kx, p->pad_left, p->in.w);
                    s->pool_offset[at] = (y * p->in.w + x) * p->in.c;
                    s->in_offset[at] = (y * c->stride_h * s->in_w + x * c->stride_w) * c->in.c;
                }
            }
        }
    }
}

static ta_status create_worker(struct ta_net *net, struct ta_node *node, struct worker *w) {
    const struct conv_pool *s = node->state;
    size_t channels = s->conv->out.c, kernel = channels * s->conv->kernel_h * s->width;
    size_t image = (size_t)s->in_h * s->in_w * s->conv->in.c + s->width;
    size_t entries = (size_t)s->how.places * channels, lists = (size_t)s->how.places * s->how.positions;
    if (channels > lists) lists = channels;
    ta_status status = ta_node_alloc(net, kernel, sizeof(float), "a convolution's gradient", (void **)&w->kernel_sum);
    if (status == TA_OK)
        status = ta_node_alloc(net, channels, sizeof(float), "a convolution's gradient", (void **)&w->bias_sum);
    if (status == TA_OK) status = ta_node_alloc(net, lists + 1, sizeof(uint32_t), "entries", (void **)&w->start);
    if (status == TA_OK) status = ta_node_alloc(net, entries + 1, sizeof(uint32_t), "entries", (void **)&w->offset);
    if (status == TA_OK) status = ta_node_alloc(net, entries + 1, sizeof(float), "entries", (void **)&w->value);
    if (status == TA_OK && s->copies)
        status = ta_node_alloc(net, image, sizeof(float), "a padded image", (void **)&w->image);
    if (status == TA_OK && s->copies && node->grad_in[0] != NULL)
        status = ta_node_alloc(net, image, sizeof(float), "a padded image", (void **)&w->image_grad);
    return status;
}

static ta_status create_backward(struct ta_net *net, struct ta_node *node) {
    struct conv_pool *s = node->state;
    const struct ta_layer *c = s->conv;
    s->n_workers = net->kernels->threads < (int)net->slice ? net->kernels->threads : (int)net->slice;
    ta_status status = ta_node_alloc(net, (size_t)s->n_workers, sizeof *s->workers, "workers", (void **)&s->workers);
    for (int i = 0; i < s->n_workers && status == TA_OK; i++) status = create_worker(net, node, &s->workers[i]);
    if (status == TA_OK)
        status = ta_node_alloc(net, c->out.c, sizeof(uint32_t), "offsets of a kernel", (void **)&s->kernel_offset);
    for (uint32_t i = 0; i < c->out.c && status == TA_OK; i++) s->kernel_offset[i] = i * c->kernel_h * s->width;
    if (status != TA_OK || node->grad_in[0] == NULL) return status;
    size_t rows = (size_t)c->kernel_h * c->out.c * s->width;
    return ta_node_alloc(net, rows, sizeof(float), "rows of a kernel", (void **)&s->kernel_rows);
}

static void size_up(struct ta_net *net, const struct ta_node *node, struct conv_pool *s) {
    const struct ta_layer *c = node->conv, *p = node->layer;
    s->conv = c;
    s->pool = p;
    s->loops = ta_sparse_best();
    s->in_h = c->in.h + c->pad_top + c->pad_bottom;
    s->in_w = c->in.w + c->pad_left + c->pad_right;
    uint32_t row = c->kernel_w * c->in.c;
    s->width = (row + TA_SPARSE_ALIGN - 1) / TA_SPARSE_ALIGN * TA_SPARSE_ALIGN;
    s->copies = s->width != row || s->in_h != c->in.h || s->in_w != c->in.w;
    s->how = (struct ta_sparse_pool){.places = p->out.h * p->out.w,
                                     .channels = p->out.c,
                                     .relu = node->relu,
                                     .positions = p->kernel_h * p->kernel_w};
    size_t most = CHUNK_BYTES * (size_t)net->kernels->threads / (ta_shape_count(c->out) * sizeof(float));
    s->chunk = 1;
    for (uint32_t i = 1; i <= net->slice && i <= most; i++) {
        if (net->slice % i == 0) s->chunk = i;
    }
}

static ta_status conv_pool_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct conv_pool), "a convolution and its pool", &node->state);
    if (status != TA_OK) return status;
    struct conv_pool *s = node->state;
    size_up(net, node, s);
    struct ta_conv_shape shape;
    status = ta_conv_describe(s->chunk, s->conv, &shape);
    if (status == TA_OK) status = ta_conv_forward_create(net, &s->forward, &shape, NULL);
    size_t offsets = (size_t)s->how.places * s->how.positions, out = ta_shape_count(s->pool->out);
    if (status == TA_OK)
        status = ta_node_alloc(net, s->chunk * ta_shape_count(s->conv->out), sizeof(float), "images before a pool",
                               (void **)&s->between);
    if (status == TA_OK)
        status = ta_node_alloc(net, (net->spec.predict_only ? s->chunk : net->slice) * out, 1, "places of maxima",
                               (void **)&s->which);
    if (status == TA_OK) status = ta_node_alloc(net, offsets, sizeof(uint32_t), "windows", (void **)&s->pool_offset);
    if (status == TA_OK) status = ta_node_alloc(net, offsets, sizeof(uint32_t), "windows", (void **)&s->in_offset);
    if (status != TA_OK) return status;
    find_places(s);
    s->how.offset = s->pool_offset;
    return node->grad_out != NULL ? create_backward(net, node) : TA_OK;
}

static ta_status conv_pool_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv_pool *s = node->state;
    size_t in = ta_shape_count(s->conv->in), out = ta_shape_count(s->pool->out), between = ta_shape_count(s->conv->out);
    ta_status status = pass->first != 0 ? TA_OK : ta_conv_forward_load(net, &s->forward, s->conv, pass->w);
    for (uint32_t r = 0; r < net->slice && status == TA_OK; r += s->chunk) {
        status = ta_conv_forward_run(net, &s->forward, node->in[0] + r * in, s->between);
        if (status != TA_OK) break;
        uint8_t *which = s->which + (net->spec.predict_only ? 0 : r * out);
#pragma omp parallel for if (net->kernels->threads > 1)
        for (uint32_t i = 0; i < s->chunk; i++)
            s->loops->pool(&s->how, s->between + i * between, node->out + (r + i) * out, which + i * out);
    }
    return status;
}

/* The input image with its padding around it, in `to`, whose padding is zero and stays so. */
static void pad(const struct conv_pool *s, const float *image, float *to) {
    const struct ta_layer *c = s->conv;
    size_t row = (size_t)c->in.w * c->in.c;
    for (uint32_t y = 0; y < c->in.h; y++)
        memcpy(to + ((size_t)(y + c->pad_top) * s->in_w + c->pad_left) * c->in.c, image + y * row, row * sizeof *to);
}

static void unpad(const struct conv_pool *s, const float *from, float *image) {
    const struct ta_layer *c = s->conv;
    size_t row = (size_t)c->in.w * c->in.c;
    for (uint32_t y = 0; y < c->in.h; y++)
        memcpy(image + y * row, from + ((size_t)(y + c->pad_top) * s->in_w + c->pad_left) * c->in.c,
               row * sizeof *from);
}

/* The entries of one output channel: where in the input image each gradient applies. Written without a branch (about
 * one gradient in ten does not pass, and not in a pattern that a CPU could guess). Returns how many. */
static uint32_t list_channel(const struct ta_sparse_pool *how, const uint32_t *restrict in_offset,
                             const float *restrict grad, const uint8_t *restrict which, uint32_t *restrict offset,
                             float *restrict value) {
    uint32_t n = 0, places = how->places, channels = how->channels, positions = how->positions;
    for (uint32_t p = 0; p < places; p++) {
        uint32_t k = *which, passes = k != TA_SPARSE_NONE;
        offset[n] = in_offset[k & (0 - passes)];
        value[n] = *grad;
        n += passes;
        in_offset += positions;
        which += channels;
        grad += channels;
    }
    return n;
}

static void add_bias(const struct ta_sparse_pool *how, const float *restrict grad, const uint8_t *restrict which,
                     float *restrict sum) {
    for (uint32_t p = 0; p < how->places; p++, grad += how->channels, which += how->channels)
        for (uint32_t c = 0; c < how->channels; c++) sum[c] += which[c] == TA_SPARSE_NONE ? 0 : grad[c];
}

/* Gradient by the kernel: a list for each output channel; an entry is a place of the input image. */
static void add_kernel(const struct conv_pool *s, struct worker *w, const float *image, const float *grad,
                       const uint8_t *which) {
    uint32_t channels = s->how.channels, n = 0;
    for (uint32_t c = 0; c < channels; c++) {
        w->start[c] = n;
        n += list_channel(&s->how, s->in_offset, grad + c, which + c, w->offset + n, w->value + n);
    }
    w->start[channels] = n;
    if (s->conv->bias.count > 0) add_bias(&s->how, grad, which, w->bias_sum);
    struct ta_sparse_rows rows = {.rows = s->conv->kernel_h,
                                  .width = s->width,
                                  .from = image,
                                  .from_row = (size_t)s->in_w * s->conv->in.c,
                                  .into = w->kernel_sum,
                                  .into_row = s->width,
                                  .lists = channels,
                                  .start = w->start,
                                  .into_offset = s->kernel_offset,
                                  .offset = w->offset,
                                  .value = w->value};
    s->loops->add_rows(&rows);
}

/* The entries of one window, sorted by position (a counting sort); those that pass nothing go behind the last, where
 * the next window writes over them. Returns how many pass; start [positions] counts from `first`. */
static uint32_t list_place(const struct ta_sparse_pool *how, uint32_t width, const float *restrict grad,
                           const uint8_t *restrict which, uint32_t first, uint32_t *restrict start,
                           uint32_t *restrict offset, float *restrict value) {
    uint32_t next[TA_SPARSE_NONE + 1], channels = how->channels, positions = how->positions, n = 0;
    for (uint32_t k = 0; k < positions; k++) next[k] = 0;
    next[TA_SPARSE_NONE] = 0;
    for (uint32_t c = 0; c < channels; c++) next[which[c]]++;
    for (uint32_t k = 0; k < positions; k++) {
        uint32_t count = next[k];
        next[k] = n;
        start[k] = first + n;
        n += count;
    }
    next[TA_SPARSE_NONE] = n;
    for (uint32_t c = 0; c < channels; c++) {
        uint32_t at = next[which[c]]++;
        offset[at] = c * width;
        value[at] = grad[c];
    }
    return n;
}

/* Gradient by the input: a list for each position of each window; an entry is a row of the kernel. */
static void add_image(const struct conv_pool *s, struct worker *w, const float *grad, const uint8_t *which,
                      float *into) {
    uint32_t channels = s->how.channels, n = 0, lists = s->how.places * s->how.positions;
    for (uint32_t list = 0; list < lists; list += s->how.positions, grad += channels, which += channels)
        n += list_place(&s->how, s->width, grad, which, n, w->start + list, w->offset + n, w->value + n);
    w->start[lists] = n;
    struct ta_sparse_rows rows = {.rows = s->conv->kernel_h,
                                  .width = s->width,
                                  .from = s->kernel_rows,
                                  .from_row = (size_t)channels * s->width,
                                  .into = into,
                                  .into_row = (size_t)s->in_w * s->conv->in.c,
                                  .lists = lists,
                                  .start = w->start,
                                  .into_offset = s->in_offset,
                                  .offset = w->offset,
                                  .value = w->value};
    s->loops->add_rows(&rows);
}

static void one_image(const struct conv_pool *s, struct worker *w, const struct ta_node *node, uint32_t r) {
    size_t in = ta_shape_count(s->conv->in), out = ta_shape_count(s->pool->out);
    const float *image = node->in[0] + r * in, *grad = node->grad_out + r * out;
    const uint8_t *which = s->which + r * out;
    if (s->copies) pad(s, image, w->image);
    add_kernel(s, w, s->copies ? w->image : image, grad, which);
    if (node->grad_in[0] == NULL) return;
    float *into = s->copies ? w->image_grad : node->grad_in[0] + r * in;
    size_t floats = s->copies ? (size_t)s->in_h * s->in_w * s->conv->in.c + s->width : in;
    memset(into, 0, floats * sizeof *into);
    add_image(s, w, grad, which, into);
    if (s->copies) unpad(s, into, node->grad_in[0] + r * in);
}

/* HWIO -> [kernel_h][out_c][kernel_w * in_c], its end zero. */
static void load_rows(struct conv_pool *s, const float *kernel) {
    const struct ta_layer *c = s->conv;
    uint32_t row = c->kernel_w * c->in.c;
    for (uint32_t y = 0; y < c->kernel_h; y++) {
        for (uint32_t o = 0; o < c->out.c; o++) {
            float *to = s->kernel_rows + ((size_t)y * c->out.c + o) * s->width;
            for (uint32_t i = 0; i < row; i++) to[i] = kernel[((size_t)y * row + i) * c->out.c + o];
        }
    }
}

/* Adds one worker's sums to the gradient in the arena. */
static void collect(const struct conv_pool *s, const struct worker *w, float *grad) {
    const struct ta_layer *c = s->conv;
    uint32_t row = c->kernel_w * c->in.c;
    for (uint32_t y = 0; y < c->kernel_h; y++) {
        for (uint32_t i = 0; i < row; i++) {
            float *to = grad + c->kernel.offset + ((size_t)y * row + i) * c->out.c;
            const float *from = w->kernel_sum + (size_t)y * s->width + i;
            for (uint32_t o = 0; o < c->out.c; o++) to[o] += from[(size_t)o * c->kernel_h * s->width];
        }
    }
    if (c->bias.count > 0) ta_accumulate(c->out.c, grad + c->bias.offset, w->bias_sum);
}

static ta_status conv_pool_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv_pool *s = node->state;
    size_t kernel = (size_t)s->conv->out.c * s->conv->kernel_h * s->width;
    if (node->grad_in[0] != NULL && pass->first == 0) load_rows(s, pass->w + s->conv->kernel.offset);
    uint32_t workers = (uint32_t)s->n_workers;
#pragma omp parallel for if (workers > 1)
    for (uint32_t i = 0; i < workers; i++) {
        struct worker *w = &s->workers[i];
        memset(w->kernel_sum, 0, kernel * sizeof(float));
        memset(w->bias_sum, 0, s->conv->out.c * sizeof(float));
        uint32_t first = (uint32_t)((uint64_t)net->slice * i / workers);
        uint32_t last = (uint32_t)((uint64_t)net->slice * (i + 1) / workers);
        for (uint32_t r = first; r < last; r++) one_image(s, w, node, r);
    }
    for (uint32_t i = 0; i < workers; i++) collect(s, &s->workers[i], pass->grad);
    return TA_OK;
}

static void conv_pool_destroy(struct ta_node *node) {
    struct conv_pool *s = node->state;
    if (s == NULL) return;
    for (int i = 0; s->workers != NULL && i < s->n_workers; i++) {
        struct worker *w = &s->workers[i];
        void *blocks[] = {w->image, w->image_grad, w->kernel_sum, w->bias_sum, w->start, w->offset, w->value};
        for (unsigned b = 0; b < sizeof blocks / sizeof blocks[0]; b++) ta_mem_free(blocks[b]);
    }
    void *blocks[] = {s->workers, s->between, s->which, s->pool_offset, s->in_offset, s->kernel_offset, s->kernel_rows};
    for (unsigned b = 0; b < sizeof blocks / sizeof blocks[0]; b++) ta_mem_free(blocks[b]);
    ta_conv_forward_destroy(&s->forward);
    ta_mem_free(s);
}

const struct ta_node_ops ta_node_conv_pool = {conv_pool_create, conv_pool_forward, conv_pool_backward,
                                              conv_pool_destroy};
