/* cudnn_place: what the tests of cuDNN's operations share: tensors on both sides, filled, run and compared with
 * kernels/reference, in double. */
#ifndef TA_TEST_CUDNN_PLACE_H
#define TA_TEST_CUDNN_PLACE_H

#include <math.h>

#include "cudnn_ops.h"
#include "gpu_cuda.h"
#include "reference.h"
#include "rng.h"

#include "expect.h"

#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

enum { BLOCK_BYTES = 1 << 20 };

struct place {
    struct ta_gpu *gpu;
    struct ta_cudnn *cudnn;
    struct ta_rng rng;
    unsigned char *block; /* all of `far` lies in it: a block of its own for each takes the fake long */
    size_t used, workspace_bytes;
    void *far[TA_CUDNN_ROLES], *workspace;
    double *near[TA_CUDNN_ROLES]; /* the same numbers, or what is expected */
    size_t count[TA_CUDNN_ROLES];
    bool narrow[TA_CUDNN_ROLES]; /* bfloat16 */
};

static inline void open_place(struct place *p, const char *options, unsigned candidates) {
    memset(p, 0, sizeof *p);
#ifndef TA_REAL_GPU
    ta_fake_gpu_reset(options);
#else
    (void)options;
#endif
    p->rng = ta_rng_make(11, candidates);
    assert_ok(ta_gpu_cuda.open(0, &p->gpu));
    assert_ok(ta_gpu_cuda.alloc(p->gpu, BLOCK_BYTES, "tensors", (void **)&p->block));
    assert_ok(ta_cudnn_open(&(struct ta_cudnn_config){.gpu = p->gpu, .candidates = candidates}, &p->cudnn));
}

static inline void clear_place(struct place *p) {
    for (unsigned r = 0; r < TA_CUDNN_ROLES; r++) {
        ta_mem_free(p->near[r]);
        p->far[r] = p->near[r] = NULL;
    }
    p->used = 0;
}

static inline void close_place(struct place *p) {
    clear_place(p);
    ta_gpu_cuda.free(p->gpu, p->workspace);
    ta_gpu_cuda.free(p->gpu, p->block);
    ta_cudnn_close(p->cudnn);
    ta_gpu_cuda.close(p->gpu);
}

static inline float narrowed(double value) {
    float x = (float)value;
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000U;
    memcpy(&x, &bits, 4);
    return x;
}

/* Room for n numbers under a role, on both sides; filled when it is an input. */
static inline void room(struct place *p, enum ta_cudnn_role role, size_t n, bool narrow, bool fill) {
    float *values;
    assert_ok(TA_NEW(&p->near[role], n, "numbers"));
    assert_ok(TA_NEW(&values, n, "numbers"));
    assert_in_range(p->used + n * 4, 1, BLOCK_BYTES);
    p->far[role] = p->block + p->used;
    p->used += (n * 4 + 15) / 16 * 16;
    p->count[role] = n;
    p->narrow[role] = narrow;
    for (size_t i = 0; i < n && fill; i++) {
        double value = 2 * ta_rng_uniform(&p->rng) - 1;
        uint32_t bits;
        float x = narrow ? narrowed(value) : (float)value;
        p->near[role][i] = (double)x;
        memcpy(&bits, &x, 4);
        if (narrow) ((uint16_t *)values)[i] = (uint16_t)(bits >> 16);
        else values[i] = x;
    }
    assert_ok(ta_gpu_cuda.copy(p->gpu, TA_GPU_COMPUTE, p->far[role], values, n * (narrow ? 2 : 4)));
    assert_ok(ta_gpu_cuda.drain(p->gpu));
    ta_mem_free(values);
}

/* What lies there agrees with `near` to `slack` (absolute) and the rounding of its type. */
static inline void check(struct place *p, enum ta_cudnn_role role, double slack, const char *what) {
    float *values;
    assert_ok(TA_NEW(&values, p->count[role], "numbers"));
    size_t bytes = p->count[role] * (p->narrow[role] ? 2 : 4);
    assert_ok(ta_gpu_cuda.copy(p->gpu, TA_GPU_COMPUTE, values, p->far[role], bytes));
    assert_ok(ta_gpu_cuda.drain(p->gpu));
    for (size_t i = 0; i < p->count[role]; i++) {
        uint32_t bits = (uint32_t)((uint16_t *)values)[i] << 16;
        float x = values[i];
        if (p->narrow[role]) memcpy(&x, &bits, 4);
        double wanted = p->near[role][i], room_for = slack + (p->narrow[role] ? fabs(wanted) / 256 : 0);
        if (!(fabs((double)x - wanted) <= room_for))
            fail_msg("%s: role %d, element %zu of %zu is %g, not %g (+- %g)", what, role, i, p->count[role], (double)x,
                     wanted, room_for);
    }
    ta_mem_free(values);
}

static inline void work_for(struct place *p, const struct ta_cudnn_op *op) {
    size_t bytes = ta_cudnn_op_workspace(op);
    if (bytes <= p->workspace_bytes) return;
    ta_gpu_cuda.free(p->gpu, p->workspace);
    assert_ok(ta_gpu_cuda.alloc(p->gpu, bytes, "workspace", &p->workspace));
    p->workspace_bytes = bytes;
}

static inline void run(struct place *p, struct ta_cudnn_op *op) {
    work_for(p, op);
    assert_ok(ta_cudnn_op_run(op, p->far, p->workspace));
}

static inline struct ta_layer conv_layer(uint32_t h, uint32_t w, uint32_t in, uint32_t kernel, uint32_t stride,
                                         uint32_t out) {
    struct ta_layer l = {.kind = TA_LAYER_CONV2D, .name = "conv", .in = {h, w, in}};
    l.kernel_h = kernel, l.kernel_w = kernel > 1 ? kernel - 1 : 1;
    l.stride_h = stride, l.stride_w = stride > 1 ? stride - 1 : 1;
    l.out.c = out;
    return l;
}

static inline void set_out(struct ta_layer *l) {
    l->out.h = (l->in.h + l->pad_top + l->pad_bottom - l->kernel_h) / l->stride_h + 1;
    l->out.w = (l->in.w + l->pad_left + l->pad_right - l->kernel_w) / l->stride_w + 1;
    l->kernel = (struct ta_param){0, (size_t)l->kernel_h * l->kernel_w * l->in.c * l->out.c};
    l->bias = (struct ta_param){l->kernel.count, l->out.c};
}

/* KRSC as cuDNN has it, and HWIO as the reference has it. */
static inline size_t krsc(const struct ta_layer *l, size_t hwio) {
    size_t o = hwio % l->out.c, i = hwio / l->out.c % l->in.c, place = hwio / l->out.c / l->in.c;
    return (o * l->kernel_h * l->kernel_w + place) * l->in.c + i;
}

/* What the reference makes of the numbers, put in place of what is expected. */
static inline void expect_conv(struct place *p, const struct ta_layer *l, uint32_t batch, enum ta_cudnn_behind behind) {
    size_t n = l->kernel.count, outs = p->count[TA_CUDNN_Y];
    float *w;
    double *grad;
    assert_ok(TA_NEW(&w, n + l->out.c, "weights"));
    assert_ok(TA_NEW(&grad, n + l->out.c, "a gradient"));
    for (size_t k = 0; k < n; k++) w[k] = (float)p->near[TA_CUDNN_W][krsc(l, k)];
    for (size_t k = 0; k < l->out.c && behind != TA_CUDNN_NOTHING; k++) w[n + k] = (float)p->near[TA_CUDNN_BIAS_OF][k];
    struct ta_reference_layer a = {.l = l, .batch = batch, .w = w, .in = {p->near[TA_CUDNN_X]},
                                   .out = p->near[TA_CUDNN_Y], .grad_out = p->near[TA_CUDNN_DY],
                                   .grad_in = {p->near[TA_CUDNN_DX]}, .grad = grad, .training = true};
    ta_reference_forward(&a);
    ta_reference_backward(&a);
    for (size_t k = 0; k < n; k++) p->near[TA_CUDNN_DW][krsc(l, k)] = grad[k];
    for (size_t i = 0; i < outs && behind == TA_CUDNN_BIAS_RELU; i++)
        p->near[TA_CUDNN_Y][i] = fmax(p->near[TA_CUDNN_Y][i], 0);
    ta_mem_free(w);
    ta_mem_free(grad);
}

static inline void conv_rooms(struct place *p, const struct ta_layer *l, uint32_t batch, bool narrow, bool wide_dw) {
    size_t ins = batch * ta_shape_count(l->in), outs = batch * ta_shape_count(l->out);
    room(p, TA_CUDNN_X, ins, narrow, true);
    room(p, TA_CUDNN_DX, ins, narrow, false);
    room(p, TA_CUDNN_W, l->kernel.count, narrow, true);
    room(p, TA_CUDNN_DW, l->kernel.count, narrow && !wide_dw, false);
    room(p, TA_CUDNN_Y, outs, narrow, false);
    room(p, TA_CUDNN_DY, outs, narrow, true);
    room(p, TA_CUDNN_BIAS_OF, l->out.c, false, true);
}

/* One convolution, all three ways. */
static inline struct ta_cudnn_conv try_conv(struct place *p, const struct ta_layer *l, uint32_t batch,
                                            enum ta_compute compute, enum ta_cudnn_behind behind) {
    struct ta_cudnn_conv conv;
    struct ta_cudnn_conv_spec spec = {l, batch, compute, behind, true, true};
    assert_ok(ta_cudnn_conv_create(p->cudnn, &spec, &conv));
    if (conv.padded) return conv;
    conv_rooms(p, l, batch, compute == TA_COMPUTE_BFLOAT16, conv.float32_dw);
    expect_conv(p, l, batch, conv.behind);
    run(p, conv.forward);
    run(p, conv.data);
    run(p, conv.filter);
    /* Factors in [-1, 1]: every product is good to `unit`, the sums a little worse. */
    double unit = compute == TA_COMPUTE_TF32 ? 1.0 / 1024 : 1e-5;
    double window = (double)l->kernel_h * l->kernel_w;
    check(p, TA_CUDNN_Y, unit * (window * l->in.c + 1), ta_cudnn_op_describe(conv.forward));
    check(p, TA_CUDNN_DX, unit * (window * l->out.c + 1), ta_cudnn_op_describe(conv.data));
    check(p, TA_CUDNN_DW, unit * ((double)batch * l->out.h * l->out.w + 1), ta_cudnn_op_describe(conv.filter));
    clear_place(p);
    return conv;
}

#endif
