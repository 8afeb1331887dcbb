/* Pointwise layers, pools and batch normalisation of kernels/cuda/flat.h against the reference's layers in double
 * precision, as float and as bfloat16. */
#include "flat_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "reference.h"

/* What a result in that type may be off by, of the largest of its kind. */
static double tolerance(enum ta_flat_type type) { return type == TA_FLAT_BF16 ? 1e-2 : 3e-6; }

struct layer {
    struct test_device d;
    enum ta_flat_type type;
    struct ta_layer l;
    uint32_t batch;
    size_t n_in, n_out;
    float *x, *g, *w;      /* input, gradient of the output, parameters */
    double *in, *out, *grad_out, *grad_in, *grad, *statistics;
    void *x_device, *g_device, *out_device, *back_device;
    struct ta_reference_layer reference;
};

static double *doubles(const float *x, size_t n) {
    double *y = calloc(n + 1, sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; x != NULL && i < n; i++) y[i] = (double)x[i];
    return y;
}

enum { PARAMS = 4096 };

static void layer_begin(struct layer *t, enum ta_flat_type type, const struct ta_layer *l, uint32_t batch) {
    *t = (struct layer){.type = type, .l = *l, .batch = batch};
    test_device_open(&t->d);
    t->n_in = batch * ta_shape_count(l->in);
    t->n_out = batch * ta_shape_count(l->out);
    t->x = malloc((t->n_in + 1) * sizeof *t->x);
    t->g = malloc((t->n_out + 1) * sizeof *t->g);
    t->w = malloc(PARAMS * sizeof *t->w);
    test_fill(t->n_in, 1 + t->n_in, -2, 2, t->x);
    test_fill(t->n_out, 2 + t->n_in, -1, 1, t->g);
    test_fill(PARAMS, 3, .5F, 1.5F, t->w);
    t->x_device = test_up_as(&t->d, type, t->x, t->n_in);
    t->g_device = test_up_as(&t->d, type, t->g, t->n_out);
    t->out_device = test_room(&t->d, t->n_out * ta_flat_bytes(type), 0);
    t->back_device = test_room(&t->d, t->n_in * ta_flat_bytes(type), 0);
    t->in = doubles(t->x, t->n_in);
    t->out = doubles(NULL, t->n_out);
    t->grad_out = doubles(t->g, t->n_out);
    t->grad_in = doubles(NULL, t->n_in);
    t->grad = doubles(NULL, PARAMS);
    t->statistics = doubles(NULL, 2 * l->in.c);
    t->reference = (struct ta_reference_layer){.l = &t->l,
                                               .batch = batch,
                                               .w = t->w,
                                               .in = {t->in},
                                               .out = t->out,
                                               .grad_out = t->grad_out,
                                               .grad_in = {t->grad_in},
                                               .grad = t->grad,
                                               .mean = t->statistics,
                                               .variance = t->statistics + l->in.c,
                                               .training = true};
    ta_reference_forward(&t->reference);
    ta_reference_backward(&t->reference);
}

static void layer_end(struct layer *t) {
    float *floats[] = {t->x, t->g, t->w};
    double *wide[] = {t->in, t->out, t->grad_out, t->grad_in, t->grad, t->statistics};
    for (size_t i = 0; i < 3; i++) free(floats[i]);
    for (size_t i = 0; i < 6; i++) free(wide[i]);
    test_device_close(&t->d);
}

static void compare_device(struct layer *t, const char *what, size_t n, const void *device, const double *want) {
    float *got = malloc((n + 1) * sizeof *got);
    test_down_as(&t->d, t->type, got, device, n);
    test_compare(what, n, got, want, tolerance(t->type));
    free(got);
}

static void compare_floats(struct layer *t, const char *what, size_t n, const float *device, const double *want) {
    float *got = malloc((n + 1) * sizeof *got);
    test_down(&t->d, got, device, n * sizeof *got);
    test_compare(what, n, got, want, tolerance(t->type));
    free(got);
}

static struct ta_layer plain(enum ta_layer_kind kind, struct ta_shape shape) {
    return (struct ta_layer){.kind = kind, .in = shape, .out = shape, .input = {TA_FROM_INPUT, TA_FROM_NONE}};
}

/* --- element by element --- */

static void check_act(enum ta_flat_type type, enum ta_layer_kind kind, enum ta_flat_act act, struct ta_shape shape) {
    struct layer t;
    struct ta_layer l = plain(kind, shape);
    layer_begin(&t, type, &l, 3);
    const struct ta_flat_matrix m = {type, (size_t)3 * shape.h * shape.w, shape.c};
    assert_cuda(ta_flat_bias_act(t.d.stream, &m, act, NULL, t.x_device, t.out_device));
    compare_device(&t, "an activation", t.n_out, t.out_device, t.out);
    float *bias = test_room(&t.d, shape.c * sizeof(float), 0);
    struct ta_flat_act_grad back = {act, t.out_device, t.g_device, t.back_device, bias,
                                    test_room(&t.d, ta_flat_columns_scratch(shape.c), 0)};
    assert_cuda(ta_flat_act_backward(t.d.stream, &m, &back));
    compare_device(&t, "its gradient", t.n_in, t.back_device, t.grad_in);
    double *sums = doubles(NULL, shape.c);
    for (size_t i = 0; i < t.n_in; i++) sums[i % shape.c] += t.grad_in[i];
    compare_floats(&t, "the bias' gradient", shape.c, bias, sums);
    /* Without the bias, over the gradient itself. */
    back.bias_grad = NULL;
    back.scratch = NULL;
    back.grad_in = t.g_device;
    assert_cuda(ta_flat_act_backward(t.d.stream, &m, &back));
    compare_device(&t, "its gradient in place", t.n_in, t.g_device, t.grad_in);
    free(sums);
    layer_end(&t);
}

static void test_activations(void **state) {
    (void)state;
    const struct ta_shape shapes[] = {{5, 7, 16}, {1, 1, 10}, {9, 4, 33}, {17, 16, 8}, {1, 1, 300}};
    for (unsigned i = 0; i < 5; i++) {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            enum ta_flat_type type = bf16 ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
            check_act(type, TA_LAYER_RELU, TA_FLAT_RELU, shapes[i]);
            check_act(type, TA_LAYER_TANH, TA_FLAT_TANH, shapes[i]);
            check_act(type, TA_LAYER_SIGMOID, TA_FLAT_SIGMOID, shapes[i]);
        }
    }
}

static void test_bias_and_sums(void **state) {
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        enum ta_flat_type type = bf16 ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
        for (uint32_t cols = 1; cols < 100; cols = 3 * cols + 1) {
            struct test_device d;
            test_device_open(&d);
            const struct ta_flat_matrix m = {type, 37, cols};
            size_t n = m.rows * cols;
            float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y), *got = malloc(n * sizeof *got), b[128];
            test_fill(n, 4, -1, 1, x);
            test_fill(n, 5, -1, 1, y);
            test_fill(cols, 6, -1, 1, b);
            if (n > 5) x[5] = NAN;
            void *xd = test_up_as(&d, type, x, n), *yd = test_up_as(&d, type, y, n);
            assert_cuda(ta_flat_add(d.stream, type, n, xd, yd, yd));
            assert_cuda(ta_flat_bias_act(d.stream, &m, TA_FLAT_RELU, test_up(&d, b, cols * sizeof *b, 4), yd, yd));
            test_down_as(&d, type, got, yd, n);
            for (size_t i = 0; i < n; i++) {
                float sum = x[i] + y[i];
                if (bf16) sum = test_float(test_bf16(sum));
                float want = sum + b[i % cols] < 0 ? 0 : sum + b[i % cols];
                if (bf16) want = test_float(test_bf16(want));
                assert_true(got[i] == want || (isnan(got[i]) && isnan(want)));
            }
            free(x);
            free(y);
            free(got);
            test_device_close(&d);
        }
    }
}

static void test_softmax(void **state) {
    (void)state;
    const struct ta_shape shapes[] = {{1, 1, 10}, {3, 2, 5}, {1, 1, 1000}, {2, 1, 1}};
    for (unsigned i = 0; i < 8; i++) {
        struct layer t;
        struct ta_layer l = plain(TA_LAYER_SOFTMAX, shapes[i / 2]);
        layer_begin(&t, i % 2 ? TA_FLAT_BF16 : TA_FLAT_FLOAT, &l, 5);
        const struct ta_flat_matrix m = {t.type, (size_t)5 * l.in.h * l.in.w, l.in.c};
        assert_cuda(ta_flat_softmax(t.d.stream, &m, t.x_device, t.out_device));
        compare_device(&t, "softmax", t.n_out, t.out_device, t.out);
        assert_cuda(ta_flat_softmax_backward(t.d.stream, &m, t.out_device, t.g_device, t.back_device));
        compare_device(&t, "its gradient", t.n_in, t.back_device, t.grad_in);
        layer_end(&t);
    }
}

/* --- pools --- */

static void check_pool(enum ta_flat_type type, enum ta_layer_kind kind, struct ta_shape in, struct test_window window) {
    struct ta_layer l = plain(kind, in);
    l.kernel_h = window.kernel_h, l.kernel_w = window.kernel_w;
    l.stride_h = window.stride_h, l.stride_w = window.stride_w;
    l.pad_top = window.pad_top, l.pad_bottom = window.pad_bottom;
    l.pad_left = window.pad_left, l.pad_right = window.pad_right;
    l.out.h = (in.h + l.pad_top + l.pad_bottom - l.kernel_h) / l.stride_h + 1;
    l.out.w = (in.w + l.pad_left + l.pad_right - l.kernel_w) / l.stride_w + 1;
    struct layer t;
    layer_begin(&t, type, &l, 2);
    const struct ta_flat_pool p = {type,       2,          in,         l.out,     l.kernel_h,
                                   l.kernel_w, l.stride_h, l.stride_w, l.pad_top, l.pad_left};
    if (kind == TA_LAYER_MAX_POOL) {
        void *arg = test_room(&t.d, t.n_out * ta_flat_pool_arg_bytes(&p), 0);
        assert_cuda(ta_flat_max_pool(t.d.stream, &p, t.x_device, t.out_device, arg));
        assert_cuda(ta_flat_max_pool_backward(t.d.stream, &p, arg, t.g_device, t.back_device));
    } else {
        assert_cuda(ta_flat_avg_pool(t.d.stream, &p, t.x_device, t.out_device));
        assert_cuda(ta_flat_avg_pool_backward(t.d.stream, &p, t.g_device, t.back_device));
    }
    compare_device(&t, "a pool", t.n_out, t.out_device, t.out);
    compare_device(&t, "its gradient", t.n_in, t.back_device, t.grad_in);
    layer_end(&t);
}

static void test_pools(void **state) {
    (void)state;
    const struct {
        struct ta_shape in;
        struct test_window window;
    } cases[] = {
        {{6, 6, 16}, {2, 2, 2, 2, 0, 0, 0, 0}},  {{7, 5, 3}, {3, 3, 2, 2, 1, 1, 1, 1}},
        {{9, 8, 8}, {3, 2, 1, 3, 2, 0, 0, 1}},   {{5, 5, 24}, {2, 2, 3, 3, 0, 0, 0, 0}}, /* some inputs unseen */
        {{17, 18, 4}, {17, 18, 1, 1, 0, 0, 0, 0}}, /* places beyond a byte */
        {{4, 4, 130}, {3, 3, 1, 1, 1, 1, 1, 1}},
    };
    for (unsigned i = 0; i < 24; i++) {
        enum ta_flat_type type = i % 2 ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
        check_pool(type, i / 2 % 2 ? TA_LAYER_MAX_POOL : TA_LAYER_AVG_POOL, cases[i / 4].in, cases[i / 4].window);
    }
}

static void test_max_of_nan(void **state) {
    (void)state;
    struct test_device d;
    test_device_open(&d);
    float x[16] = {-INFINITY, -INFINITY, 1, 2, -INFINITY, -INFINITY, NAN, 3, 5, 5, -1, -2, 5, 5, -2, -1}, out[4];
    uint8_t arg[4];
    const struct ta_flat_pool p = {TA_FLAT_FLOAT, 1, {4, 4, 1}, {2, 2, 1}, 2, 2, 2, 2, 0, 0};
    float *to = test_room(&d, sizeof out, 0);
    uint8_t *where = test_room(&d, sizeof arg, 0);
    assert_cuda(ta_flat_max_pool(d.stream, &p, test_up(&d, x, sizeof x, 0), to, where));
    test_down(&d, out, to, sizeof out);
    test_down(&d, arg, where, sizeof arg);
    assert_true(out[0] == -INFINITY && isnan(out[1]) && out[2] == 5 && out[3] == -1);
    assert_true(arg[0] == 0 && arg[1] == 2 && arg[2] == 0 && arg[3] == 0);
    test_device_close(&d);
}

/* --- batch normalisation --- */

static void check_norm(enum ta_flat_type type, struct ta_shape in, uint32_t batch, bool gamma) {
    struct ta_layer l = plain(TA_LAYER_BATCH_NORM, in);
    const size_t c = in.c;
    l.epsilon = 1e-3F;
    if (gamma) l.gamma = (struct ta_param){0, c}, l.beta = (struct ta_param){c, c};
    l.mean = (struct ta_param){2 * c, c}, l.variance = (struct ta_param){3 * c, c};
    assert_true(4 * c <= PARAMS);
    struct layer t;
    layer_begin(&t, type, &l, batch);
    float *w = test_up(&t.d, t.w, PARAMS * sizeof(float), 0), *grad = test_room(&t.d, PARAMS * sizeof(float), 0);
    struct ta_flat_norm_layer norm = {.m = {type, (size_t)batch * in.h * in.w, in.c},
                                      .epsilon = l.epsilon,
                                      .gamma = gamma ? w : NULL,
                                      .beta = gamma ? w + c : NULL,
                                      .mean = test_room(&t.d, c * sizeof(float), 0),
                                      .inverse = test_room(&t.d, c * sizeof(float), 0),
                                      .scratch = test_room(&t.d, ta_flat_columns_scratch(in.c), 0)};
    assert_cuda(ta_flat_norm_train(t.d.stream, &norm, t.x_device, t.out_device, grad + 2 * c, grad + 3 * c));
    const struct ta_flat_norm_grad back = {t.x_device, t.g_device, t.back_device, gamma ? grad : NULL,
                                           gamma ? grad + c : NULL};
    assert_cuda(ta_flat_norm_backward(t.d.stream, &norm, &back));
    compare_device(&t, "batch_norm", t.n_out, t.out_device, t.out);
    compare_device(&t, "its gradient", t.n_in, t.back_device, t.grad_in);
    if (gamma) compare_floats(&t, "gamma's gradient", c, grad, t.grad);
    if (gamma) compare_floats(&t, "beta's gradient", c, grad + c, t.grad + c);
    compare_floats(&t, "the mean", c, grad + 2 * c, t.grad + 2 * c);
    compare_floats(&t, "the variance", c, grad + 3 * c, t.grad + 3 * c);
    t.reference.training = false;
    ta_reference_forward(&t.reference);
    assert_cuda(ta_flat_norm_infer(t.d.stream, &norm, w + 2 * c, w + 3 * c, t.x_device, t.out_device));
    compare_device(&t, "batch_norm by moving statistics", t.n_out, t.out_device, t.out);
    layer_end(&t);
}

static void test_norms(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum ta_flat_type type = i ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
        check_norm(type, (struct ta_shape){7, 5, 16}, 3, true);
        check_norm(type, (struct ta_shape){3, 3, 33}, 4, false);
        check_norm(type, (struct ta_shape){1, 1, 70}, 9, true);
        check_norm(type, (struct ta_shape){19, 20, 8}, 2, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations), cmocka_unit_test(test_bias_and_sums), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_pools),       cmocka_unit_test(test_max_of_nan),    cmocka_unit_test(test_norms),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
