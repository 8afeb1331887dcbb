/* plans: from an operation on a shape to what runs it. Made once a shape: to compile what cuDNN has no kernel for
 * takes a second, and a network has the same shape many times. */
#include <stdio.h>
#include <string.h>

#include "graph.h"
#include "mem.h"

static const char *kind_name(enum ta_cudnn_kind kind) {
    static const char *const names[] = {
        [TA_CUDNN_CONV_FORWARD] = "conv_forward", [TA_CUDNN_CONV_DATA] = "conv_data",
        [TA_CUDNN_CONV_FILTER] = "conv_filter",   [TA_CUDNN_POOL_FORWARD] = "pool_forward",
        [TA_CUDNN_POOL_BACKWARD] = "pool_backward", [TA_CUDNN_NORM_FORWARD] = "norm_forward",
        [TA_CUDNN_NORM_BACKWARD] = "norm_backward",
    };
    return kind < TA_CUDNN_KINDS ? names[kind] : "unknown";
}

static struct ta_cudnn_key key_of(const struct ta_cudnn_spec *s) {
    const struct ta_layer *l = s->layer;
    struct ta_cudnn_key k;
    memset(&k, 0, sizeof k);
    k.kind = (int32_t)s->kind, k.compute = (int32_t)s->compute, k.batch = s->batch, k.in = l->in;
    if (s->kind >= TA_CUDNN_NORM_FORWARD) {
        k.epsilon = l->epsilon;
        return k;
    }
    k.layer = (int32_t)l->kind, k.out = l->out;
    k.kernel[0] = l->kernel_h, k.kernel[1] = l->kernel_w;
    k.stride[0] = l->stride_h, k.stride[1] = l->stride_w;
    k.pad[0] = l->pad_top, k.pad[1] = l->pad_bottom, k.pad[2] = l->pad_left, k.pad[3] = l->pad_right;
    if (s->kind == TA_CUDNN_CONV_FORWARD) k.behind = (int32_t)s->behind;
    if (s->kind == TA_CUDNN_CONV_FILTER) k.float32_dw = s->float32_dw;
    return k;
}

static void say_shape(struct ta_cudnn_plans *p, const struct ta_cudnn_spec *s) {
    static const char *const types[] = {"float32", "tf32", "bfloat16"};
    static const char *const behind[] = {"", ", bias", ", bias, relu"};
    const struct ta_layer *l = s->layer;
    char window[TA_CUDNN_SAYS_BYTES / 4] = "";
    if (s->kind < TA_CUDNN_NORM_FORWARD)
        (void)snprintf(window, sizeof window, ", %ux%u / %u -> %ux%ux%u", l->kernel_h, l->kernel_w, l->stride_h,
                       l->out.h, l->out.w, l->out.c);
    (void)snprintf(p->shape, sizeof p->shape, "%s %ux%ux%ux%u%s, %s%s", kind_name(s->kind), s->batch, l->in.h, l->in.w,
                   l->in.c, window, types[s->compute], s->kind == TA_CUDNN_CONV_FORWARD ? behind[s->behind] : "");
}

static void say_engine(struct ta_cudnn_plans *p, unsigned of, const char *how) {
    (void)snprintf(p->says, sizeof p->says, "%s: engine %lld, %s of %u, %lld bytes of workspace", p->shape,
                   (long long)p->engine[0], how, of, (long long)p->workspace[0]);
}

static void say_refusal(struct ta_cudnn_plans *p) {
    (void)snprintf(p->says, sizeof p->says, "%s", ta_why());
}

/* OK with p->n 0: refused, and p->says says why. */
static ta_status create(struct ta_cudnn *c, struct ta_cudnn_plans *p, const struct ta_cudnn_spec *spec) {
    struct ta_cudnn_graph *g = &p->graph;
    if (spec->kind <= TA_CUDNN_CONV_FILTER) ta_graph_conv(g, spec);
    else if (spec->kind <= TA_CUDNN_POOL_BACKWARD) ta_graph_pool(g, spec);
    else ta_graph_norm(g, spec);
    ta_graph_close(g, c);
    if (g->status != CUDNN_STATUS_SUCCESS) {
        char what[TA_CUDNN_SAYS_BYTES];
        (void)snprintf(what, sizeof what, "%s: %s", p->shape, g->where);
        ta_status status = ta_cudnn_said(c, g->status, what);
        if (CUDNN_STATUS_CATEGORY(g->status) != CUDNN_STATUS_NOT_SUPPORTED) return status;
    } else {
        ta_status status = ta_cudnn_engines(c, p, spec->compute);
        if (status != TA_OK) return status;
    }
    if (p->n == 0) say_refusal(p);
    else say_engine(p, p->n, "the first");
    return TA_OK;
}

static void drop(struct ta_cudnn_plans *p, unsigned keep) {
    while (p->n > keep) (void)cudnnBackendDestroyDescriptor(p->plan[--p->n]);
}

static void destroy(struct ta_cudnn_plans *p) {
    drop(p, 0);
    ta_graph_destroy(&p->graph);
    ta_mem_free(p);
}

ta_status ta_cudnn_plans_find(struct ta_cudnn *c, const struct ta_cudnn_spec *spec, struct ta_cudnn_plans **out) {
    struct ta_cudnn_key key = key_of(spec);
    *out = NULL;
    for (struct ta_cudnn_plans *p = c->plans; p != NULL && *out == NULL; p = p->next)
        if (memcmp(&p->key, &key, sizeof key) == 0) *out = p;
    if (*out != NULL) return TA_OK;
    struct ta_cudnn_plans *p;
    ta_status status = TA_NEW(&p, 1, "plans of cuDNN");
    if (status != TA_OK) return status;
    p->key = key;
    say_shape(p, spec);
    status = create(c, p, spec);
    if (status != TA_OK) {
        destroy(p);
        return status;
    }
    p->next = c->plans;
    c->plans = *out = p;
    return TA_OK;
}

void ta_cudnn_plans_keep(struct ta_cudnn_plans *p, unsigned best) {
    ta_desc plan = p->plan[best];
    unsigned of = p->n;
    p->plan[best] = p->plan[0], p->plan[0] = plan;
    p->engine[0] = p->engine[best];
    p->workspace[0] = p->workspace[best];
    drop(p, 1);
    say_engine(p, of, "the fastest");
}

void ta_cudnn_plans_destroy(struct ta_cudnn *c) {
    while (c->plans != NULL) {
        struct ta_cudnn_plans *p = c->plans;
        c->plans = p->next;
        destroy(p);
    }
}
