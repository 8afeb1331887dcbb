/* batch_norm by oneDNN: y = gamma (x - mean) / sqrt(variance + epsilon) + beta, over records, h and w.
 *
 * In training the batch's own statistics are used and written to the gradient at the offsets of the moving ones: the
 * mean, and the variance with Bessel's correction n / (n - 1), n = batch * h * w (n = 1: uncorrected, 0). */
#include <string.h>

#include "mem.h"
#include "net.h"
#include "prim.h"

struct norm {
    struct ta_prim train, infer, backward;
    int train_src, train_dst;
    int infer_src, infer_dst, infer_mean, infer_variance;
    int src, diff_src, diff_dst;
    float *gamma, *beta;    /* copies or ones and zeros: always there, so that one primitive does for all */
    float *mean, *variance; /* of the batch, without Bessel's correction */
    float *gamma_grad, *beta_grad;
};

struct shape {
    dnnl_memory_desc_t image, vector;
    float epsilon;
};

enum { FLAGS = dnnl_use_scale | dnnl_use_shift };

static ta_status create_forward(struct ta_net *net, struct norm *n, const struct shape *s, bool train,
                                dnnl_primitive_desc_t *desc) {
    dnnl_batch_normalization_desc_t op;
    unsigned flags = train ? FLAGS : FLAGS | dnnl_use_global_stats;
    struct ta_prim *prim = train ? &n->train : &n->infer;
    ta_status status = ta_dnnl(
        dnnl_batch_normalization_forward_desc_init(&op, train ? dnnl_forward_training : dnnl_forward_inference,
                                                   &s->image, s->epsilon, flags),
        "batch_norm");
    if (status == TA_OK) status = ta_prim_describe(net, &op, NULL, "batch_norm", desc);
    if (status == TA_OK) status = ta_prim_create(net, prim, *desc, "batch_norm");
    if (status == TA_OK)
        status = ta_prim_arg(net, prim, DNNL_ARG_SRC, &s->image, NULL, train ? &n->train_src : &n->infer_src);
    if (status == TA_OK)
        status = ta_prim_arg(net, prim, DNNL_ARG_DST, &s->image, NULL, train ? &n->train_dst : &n->infer_dst);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SCALE, &s->vector, n->gamma, NULL);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SHIFT, &s->vector, n->beta, NULL);
    int *mean = train ? NULL : &n->infer_mean, *variance = train ? NULL : &n->infer_variance;
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_MEAN, &s->vector, n->mean, mean);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_VARIANCE, &s->vector, n->variance, variance);
    return status;
}

static ta_status create_backward(struct ta_net *net, struct norm *n, const struct shape *s,
                                 dnnl_primitive_desc_t hint) {
    dnnl_batch_normalization_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    ta_status status = ta_dnnl(
        dnnl_batch_normalization_backward_desc_init(&op, dnnl_backward, &s->image, &s->image, s->epsilon, FLAGS),
        "batch_norm backward");
    if (status == TA_OK) status = ta_prim_describe(net, &op, hint, "batch_norm backward", &desc);
    if (status != TA_OK) return status;
    struct ta_prim *prim = &n->backward;
    status = ta_prim_create(net, prim, desc, "batch_norm backward");
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SRC, &s->image, NULL, &n->src);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_SRC, &s->image, NULL, &n->diff_src);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_DST, &s->image, NULL, &n->diff_dst);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_MEAN, &s->vector, n->mean, NULL);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_VARIANCE, &s->vector, n->variance, NULL);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SCALE, &s->vector, n->gamma, NULL);
    /* The gradient does not depend on the shift, yet oneDNN 2.6 wants to see it. */
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SHIFT, &s->vector, n->beta, NULL);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_SCALE, &s->vector, n->gamma_grad, NULL);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_SHIFT, &s->vector, n->beta_grad, NULL);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static ta_status norm_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct norm), "a batch_norm", &node->state);
    if (status != TA_OK) return status;
    struct norm *n = node->state;
    float **vectors[] = {&n->gamma, &n->beta, &n->mean, &n->variance, &n->gamma_grad, &n->beta_grad};
    for (unsigned i = 0; i < 6 && status == TA_OK; i++)
        status = ta_node_alloc(net, node->layer->in.c, sizeof(float), "a batch_norm's vectors", (void **)vectors[i]);
    if (status != TA_OK) return status;
    for (uint32_t c = 0; c < node->layer->in.c; c++) n->gamma[c] = 1;
    struct shape s = {.epsilon = node->layer->epsilon};
    dnnl_dims_t dims = {node->layer->in.c};
    dnnl_primitive_desc_t train = NULL, infer = NULL;
    status = ta_md_image(&s.image, net->slice, node->layer->in);
    if (status == TA_OK) status = ta_md_tag(&s.vector, 1, dims, dnnl_x);
    if (status == TA_OK) status = create_forward(net, n, &s, false, &infer);
    if (status == TA_OK && !net->spec.predict_only) status = create_forward(net, n, &s, true, &train);
    if (status == TA_OK && node->grad_out != NULL) status = create_backward(net, n, &s, train);
    if (train != NULL) dnnl_primitive_desc_destroy(train);
    if (infer != NULL) dnnl_primitive_desc_destroy(infer);
    return status;
}

static ta_status infer(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct norm *n = node->state;
    ta_status status = ta_prim_bind(&n->infer, n->infer_src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&n->infer, n->infer_dst, node->out);
    if (status == TA_OK) status = ta_prim_bind(&n->infer, n->infer_mean, pass->w + node->layer->mean.offset);
    if (status == TA_OK) status = ta_prim_bind(&n->infer, n->infer_variance, pass->w + node->layer->variance.offset);
    return status == TA_OK ? ta_prim_run(net, &n->infer) : status;
}

static ta_status norm_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    uint32_t channels = l->in.c;
    if (l->gamma.count > 0) memcpy(n->gamma, pass->w + l->gamma.offset, channels * sizeof(float));
    if (l->beta.count > 0) memcpy(n->beta, pass->w + l->beta.offset, channels * sizeof(float));
    if (pass->grad == NULL) return infer(net, node, pass);
    ta_status status = ta_prim_bind(&n->train, n->train_src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&n->train, n->train_dst, node->out);
    if (status == TA_OK) status = ta_prim_run(net, &n->train);
    if (status != TA_OK) return status;
    double count = (double)net->slice * l->in.h * l->in.w;
    double bessel = count > 1 ? count / (count - 1) : 1;
    memcpy(pass->grad + l->mean.offset, n->mean, channels * sizeof(float));
    for (uint32_t c = 0; c < channels; c++) pass->grad[l->variance.offset + c] = (float)(n->variance[c] * bessel);
    return TA_OK;
}

static ta_status norm_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    /* oneDNN computes all gradients together; where nobody wants the input's, it goes over the output's own. */
    float *diff_src = node->grad_in[0] != NULL ? node->grad_in[0] : node->grad_out;
    ta_status status = ta_prim_bind(&n->backward, n->src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&n->backward, n->diff_src, diff_src);
    if (status == TA_OK) status = ta_prim_bind(&n->backward, n->diff_dst, node->grad_out);
    if (status == TA_OK) status = ta_prim_run(net, &n->backward);
    if (status != TA_OK) return status;
    if (l->gamma.count > 0) ta_accumulate(l->gamma.count, pass->grad + l->gamma.offset, n->gamma_grad);
    if (l->beta.count > 0) ta_accumulate(l->beta.count, pass->grad + l->beta.offset, n->beta_grad);
    return TA_OK;
}

static void norm_destroy(struct ta_node *node) {
    struct norm *n = node->state;
    if (n == NULL) return;
    ta_prim_destroy(&n->train);
    ta_prim_destroy(&n->infer);
    ta_prim_destroy(&n->backward);
    float *vectors[] = {n->gamma, n->beta, n->mean, n->variance, n->gamma_grad, n->beta_grad};
    for (unsigned i = 0; i < 6; i++) ta_mem_free(vectors[i]);
    ta_mem_free(n);
}

const struct ta_node_ops ta_node_norm = {norm_create, norm_forward, norm_backward, norm_destroy};
