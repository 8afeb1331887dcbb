/* hosted: see the header. */
#include "hosted.h"

#include <stdlib.h>

#include "cuda.h"

struct hosted_net {
    struct hosted *h;
    struct ta_net *net;
    float *w, *grad;
    size_t n;
};

static enum ta_compute asked_compute;

void hosted_compute(enum ta_compute compute) { asked_compute = compute; }

ta_status hosted_open(struct hosted *h) {
    *h = (struct hosted){0};
    ta_status status = ta_gpu_cuda.open(0, &h->gpu);
    if (status != TA_OK) return status;
    const struct ta_kernels_config config = {.compute = asked_compute, .gpu_ops = &ta_gpu_cuda, .gpu = h->gpu};
    status = ta_kernels_cuda.open(&config, &h->kernels);
    if (status != TA_OK) hosted_close(h);
    return status;
}

void hosted_close(struct hosted *h) {
    ta_kernels_cuda.close(h->kernels);
    ta_gpu_cuda.close(h->gpu);
    *h = (struct hosted){0};
}

static ta_status wrap_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    (void)config;
    struct hosted *h = calloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL) return TA_NO_MEMORY;
    ta_status status = hosted_open(h);
    if (status != TA_OK) free(h);
    if (status == TA_OK) *out = (struct ta_kernels *)h;
    return status;
}

static void wrap_close(struct ta_kernels *k) {
    if (k == NULL) return;
    hosted_close((struct hosted *)k);
    free(k);
}

static void wrap_net_destroy(struct ta_net *net) {
    struct hosted_net *n = (struct hosted_net *)net;
    if (n == NULL) return;
    ta_kernels_cuda.net_destroy(n->net);
    ta_kernels_cuda.free(n->h->kernels, n->w);
    ta_kernels_cuda.free(n->h->kernels, n->grad);
    free(n);
}

static ta_status wrap_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    struct hosted_net *n = calloc(1, sizeof *n);
    *out = NULL;
    if (n == NULL) return TA_NO_MEMORY;
    n->h = (struct hosted *)k;
    n->n = spec->n_params;
    size_t bytes = n->n * sizeof(float);
    ta_status status = ta_kernels_cuda.net_create(n->h->kernels, spec, &n->net);
    if (status == TA_OK) status = ta_kernels_cuda.alloc(n->h->kernels, bytes, "weights", (void **)&n->w);
    if (status == TA_OK) status = ta_kernels_cuda.alloc(n->h->kernels, bytes, "gradients", (void **)&n->grad);
    if (status == TA_OK)
        *out = (struct ta_net *)n;
    else
        wrap_net_destroy((struct ta_net *)n);
    return status;
}

static size_t wrap_net_bytes(const struct ta_net *net) {
    return ta_kernels_cuda.net_bytes(((const struct hosted_net *)net)->net);
}

static ta_status wrap_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                            uint64_t step, float *grad, float *predictions, float *losses) {
    struct hosted_net *n = (struct hosted_net *)net;
    struct ta_kernels *k = n->h->kernels;
    ta_status status = ta_kernels_cuda.copy_in(k, n->w, w, n->n * sizeof *w);
    if (status == TA_OK) status = ta_kernels_cuda.copy_in(k, n->grad, grad, n->n * sizeof *grad);
    if (status == TA_OK) status = ta_kernels_cuda.train(n->net, n->w, x, labels, step, n->grad, predictions, losses);
    return status == TA_OK ? ta_kernels_cuda.copy_out(k, grad, n->grad, n->n * sizeof *grad) : status;
}

static ta_status wrap_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                              float *predictions, float *losses) {
    struct hosted_net *n = (struct hosted_net *)net;
    ta_status status = ta_kernels_cuda.copy_in(n->h->kernels, n->w, w, n->n * sizeof *w);
    return status == TA_OK ? ta_kernels_cuda.predict(n->net, n->w, x, labels, predictions, losses) : status;
}

const struct ta_kernels_ops ta_kernels_hosted = {
    .name = "hosted",
    .open = wrap_open,
    .close = wrap_close,
    .net_create = wrap_net_create,
    .net_destroy = wrap_net_destroy,
    .net_bytes = wrap_net_bytes,
    .train = wrap_train,
    .predict = wrap_predict,
};
