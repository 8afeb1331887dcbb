/* build_net: nets for the tests of the kernels, layer by layer, with shapes and offsets worked out on the way. */
#ifndef TA_TEST_BUILD_NET_H
#define TA_TEST_BUILD_NET_H

#include "kernels.h"

enum { TEST_MAX_LAYERS = 32 };

struct test_net {
    struct ta_layer layer[TEST_MAX_LAYERS];
    struct ta_net_spec spec; /* .layers points at `layer`: the struct must not be copied */
};

void test_net_begin(struct test_net *t, struct ta_shape input, enum ta_loss loss, uint32_t batch);

/* Each appends a layer that reads the one before (or `from` where there is one) and returns its number. */
struct test_window {
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right;
};
int test_conv(struct test_net *t, uint32_t filters, struct test_window window, bool bias);
int test_dense(struct test_net *t, uint32_t units, bool bias);
int test_pool(struct test_net *t, enum ta_layer_kind kind, struct test_window window);
int test_norm(struct test_net *t, bool gamma, bool beta);
int test_dropout(struct test_net *t, float rate);
int test_add(struct test_net *t, int a, int b);
int test_plain(struct test_net *t,
               enum ta_layer_kind kind);      /* flatten, relu, tanh, sigmoid, softmax, global_avg_pool */
void test_from(struct test_net *t, int from); /* the next layer reads layer `from` (or TA_FROM_INPUT) */

static inline struct test_window test_square(uint32_t kernel, uint32_t stride, uint32_t pad) {
    return (struct test_window){kernel, kernel, stride, stride, pad, pad, pad, pad};
}

/* The CNN of TensAIR on CIFAR-10: 122,570 parameters. */
void test_cifar_cnn(struct test_net *t, uint32_t batch);
/* conv, batch_norm, relu, a residual block, pools, dropout of rate 0, dense. */
void test_residual_net(struct test_net *t, uint32_t batch);

/* Weights of a sensible size, gamma near 1, variances near 1; data in [-1, 1); labels that fit. */
void test_fill_weights(const struct test_net *t, uint64_t seed, float *w);
void test_fill(size_t n, uint64_t seed, float least, float most, float *x);
void test_fill_classes(uint32_t n, uint64_t seed, uint32_t classes, int32_t *y);

static inline size_t test_outputs(const struct test_net *t) {
    return ta_shape_count(t->layer[t->spec.n_layers - 1].out);
}

#endif
