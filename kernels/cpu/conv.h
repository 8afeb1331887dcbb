/* conv: the forward convolution, shared by the plain layer (conv.c) and the one fused with its pool (conv_pool.c). */
#ifndef TA_CPU_CONV_H
#define TA_CPU_CONV_H

#include "prim.h"

struct ta_conv_forward {
    struct ta_prim run, reorder; /* reorder's primitive is NULL when the kernel is used where it lies */
    int src, dst, bias, kernel;  /* slots of `run` */
    float *own_kernel;           /* in the layout the primitive likes */
};

/* Everything the descriptors of a convolution are made of. */
struct ta_conv_shape {
    dnnl_memory_desc_t src, dst, any, hwio, bias;
    dnnl_dims_t strides, dilates, before, after;
    bool has_bias;
};

ta_status ta_conv_describe(uint32_t records, const struct ta_layer *layer, struct ta_conv_shape *shape);
/* *desc: the hint that the backward primitives want, destroyed by the caller; may be NULL. */
ta_status ta_conv_forward_create(struct ta_net *net, struct ta_conv_forward *f, const struct ta_conv_shape *shape,
                                 dnnl_primitive_desc_t *desc);
/* Brings the kernel from w into the primitive's layout: once a step, before the first run. */
ta_status ta_conv_forward_load(struct ta_net *net, struct ta_conv_forward *f, const struct ta_layer *layer,
                               const float *w);
ta_status ta_conv_forward_run(struct ta_net *net, struct ta_conv_forward *f, const float *src, float *dst);
void ta_conv_forward_destroy(struct ta_conv_forward *f);

#endif
