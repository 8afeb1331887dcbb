/* model: shapes by Keras' rules, the arena's map, every message, initial weights, fingerprints. */
#include <math.h>

#include "config_of.h"
#include "scratch.h"

static const struct ta_shape none = {0, 0, 0};

static struct ta_model built(const char *text, struct ta_shape stream, uint32_t outputs) {
    struct ta_model model;
    assert_ok(model_of(text, stream, outputs, &model));
    return model;
}

static void assert_out(const struct ta_layer *l, const char *name, uint32_t h, uint32_t w, uint32_t c) {
    assert_string_equal(l->name, name);
    if (l->out.h != h || l->out.w != w || l->out.c != c)
        fail_msg("%s gives %u x %u x %u, not %u x %u x %u", name, l->out.h, l->out.w, l->out.c, h, w, c);
}

static void the_cifar_network(void **state) {
    (void)state;
    struct ta_model m = built("model: {loss: cross_entropy, layers: ["
                              "{type: conv2d, filters: 32, kernel: 3, activation: relu}, {type: max_pool},"
                              "{type: conv2d, filters: 64, kernel: 3, activation: relu}, {type: max_pool, pool: 2},"
                              "{type: conv2d, filters: 64, kernel: 3, activation: relu}, {type: flatten},"
                              "{type: dense, units: 64, activation: relu}, {type: dense, units: 10}]}",
                              (struct ta_shape){32, 32, 3}, 10);
    assert_int_equal(m.n_layers, 13);
    assert_out(&m.layers[0], "conv2d", 30, 30, 32);
    assert_out(&m.layers[1], "conv2d_relu", 30, 30, 32);
    assert_out(&m.layers[5], "max_pool_1", 6, 6, 64);
    assert_out(&m.layers[8], "flatten", 1, 1, 1024);
    assert_out(&m.layers[12], "dense_1_softmax", 1, 1, 10);
    assert_int_equal(m.n_weights, 122570);
    assert_int_equal(m.outputs, 10);
    assert_false(ta_model_needs_own_prediction(&m));
    size_t end = 0;
    for (uint32_t i = 0; i < m.n_layers; i++) { /* tensors follow each other, each at a multiple of 16 */
        struct ta_tensor t[4];
        unsigned n = ta_layer_tensors(&m.layers[i], t);
        for (unsigned j = 0; j < n; j++) {
            assert_int_equal(t[j].param.offset, (end + 15) / 16 * 16);
            end = t[j].param.offset + t[j].param.count;
        }
    }
    assert_int_equal(m.n_params, (end + 15) / 16 * 16);
    assert_int_equal(m.n_segments, 1);
    ta_model_free(&m);
}

/* in, window, stride -> TensorFlow's output and padding (before, after). */
static void same_padding_is_tensorflows(void **state) {
    (void)state;
    static const unsigned cases[][6] = {
        {28, 3, 1, 28, 1, 1}, {28, 2, 2, 14, 0, 0}, {7, 3, 2, 4, 1, 1},  {8, 3, 2, 4, 0, 1}, {5, 4, 1, 5, 1, 2},
        {5, 2, 3, 2, 0, 0},   {1, 3, 1, 1, 1, 1},   {10, 1, 4, 3, 0, 0}, {3, 5, 1, 3, 2, 2}, {4, 3, 9, 1, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const unsigned *c = cases[i];
        char text[256];
        snprintf(text, sizeof text,
                 "model: {input: [%u, %u, 1], loss: squared_error, layers: ["
                 "{type: conv2d, filters: 2, kernel: %u, stride: %u, padding: same}]}",
                 c[0], c[0], c[1], c[2]);
        struct ta_model m = built(text, none, 0);
        const struct ta_layer *l = &m.layers[0];
        assert_out(l, "conv2d", c[3], c[3], 2);
        if (l->pad_top != c[4] || l->pad_bottom != c[5] || l->pad_left != c[4] || l->pad_right != c[5])
            fail_msg("case %zu: padding %u and %u, not %u and %u", i, l->pad_top, l->pad_bottom, c[4], c[5]);
        ta_model_free(&m);
    }
}

static void residual_and_statistics(void **state) {
    (void)state;
    struct ta_model m = built("model: {input: [8, 8, 4], loss: cross_entropy, layers: ["
                              "{type: conv2d, name: a, filters: 4, kernel: 3, padding: same, activation: relu},"
                              "{type: batch_norm, momentum: 0.9}, {type: dropout, rate: 0.25},"
                              "{type: add, with: a, activation: tanh}, {type: add, from: input, with: add},"
                              "{type: global_avg_pool}, {type: dense, units: 3, activation: softmax}]}",
                              none, 3);
    assert_string_equal(m.layers[1].name, "a_relu");
    assert_int_equal(m.layers[4].input[1], 1); /* `with: a` is what comes out of a's activation */
    assert_int_equal(m.layers[4].input[0], 3);
    assert_int_equal(m.layers[6].input[0], TA_FROM_INPUT);
    assert_int_equal(m.layers[6].input[1], 5);
    assert_int_equal(m.n_layers, 10); /* no second softmax */
    assert_true(ta_model_needs_own_prediction(&m));
    assert_int_equal(m.n_segments, 2);
    assert_true(m.segments[1].kind == TA_SEGMENT_MEAN && m.segments[1].offset == m.segments[0].count);
    assert_int_equal(m.segments[1].count, 32); /* two tensors of 4, each in its own 16 */
    assert_int_equal(m.layers[2].mean.offset, m.segments[1].offset);
    ta_model_free(&m);
    /* A layer of one's own that is named as an attribute's would be is not mistaken for it. */
    m = built("model: {input: [4], loss: squared_error, layers: [{type: dense, name: a, units: 4},"
              "{type: relu, name: a_relu}, {type: add, with: a}]}",
              none, 4);
    assert_int_equal(m.layers[2].input[1], 0);
    ta_model_free(&m);
}

/* Layers of a model with input [6, 6, 2] and squared_error, and a part of the message. */
static const char *const refused[][2] = {
    {"", "is empty"},
    {"{type: flatten}", "nothing to train"},
    {"{type: dense, units: 3}", "put {type: flatten} before it"},
    {"{type: flatten}, {type: dense}", "'units' is missing"},
    {"{type: conv2d, kernel: 3}", "'filters' is missing"},
    {"{type: conv2d, filters: 3}", "'kernel' is missing"},
    {"{type: conv2d, filters: 3, kernel: 7}",
     "kernel 7 is larger than its input of 6 x 6; use a smaller one or padding: same"},
    {"{type: max_pool, pool: 7}", "pool 7 is larger than its input of 6 x 6"},
    {"{type: max_pool, pool: 9, padding: same}", "pool 9 is larger"},
    {"{type: conv2d, filters: 3, kernel: 4000000000, padding: same}", "at most 1024"},
    {"{type: conv2d, filters: 4294967295, kernel: 6}", "weights are more than the 2147483648"},
    {"{type: flatten}, {type: dense, units: 4294967295}", "weights are more than"},
    {"{type: flatten}, {type: dense, units: 20000000}, {type: dense, units: 40000000}", "weights are more than"},
    {"{type: flatten}, {type: dense, units: 29000000}, {type: dense, units: 30}", "parameters up to layer 'dense_1'"},
    {"{type: dense, filters: 3}", "'filters' means nothing to a dense layer"},
    {"{type: relu, activation: tanh}", "'activation' means nothing to a relu layer"},
    {"{type: flatten, no_bias: true}", "'no_bias' means nothing"},
    {"{type: conv2d, filters: 1, kernel: 1, with: x}", "'with' means nothing"},
    {"{type: dropout, rate: 1}", "rate 1; the share"},
    {"{type: dropout, rate: -0.5}", "rate -0.5"},
    {"{type: batch_norm, momentum: 1.5}", "momentum 1.5; it must lie between 0 and 1"},
    {"{type: batch_norm, epsilon: -1}", "epsilon -1"},
    {"{type: conv2d, name: stem, filters: 2, kernel: 1}, {type: add}", "'with' is missing"},
    {"{type: conv2d, name: stem, filters: 2, kernel: 1}, {type: add, with: sten}", "did you mean 'stem'?"},
    {"{type: conv2d, filters: 2, kernel: 1}, {type: add, with: late}, {type: relu, name: late}", "is layers[2]"},
    {"{type: conv2d, filters: 3, kernel: 1}, {type: add, with: input}", "adds 6 x 6 x 3 and 6 x 6 x 2 of 'input'"},
    {"{type: relu, name: a}, {type: relu, name: a}", "the name 'a' is taken"},
    {"{type: relu, name: 'a/b'}", "only letters"},
    {"{type: relu, name: input}", "is the model's input"},
    {"{type: relu, name: ''}", "0 bytes"},
    {"{type: relu, name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "64 bytes"},
    {"{type: relu, name: c_relu}, {type: conv2d, name: c, filters: 1, kernel: 1, activation: relu}", "rename one"},
    {"{type: conv2d, filters: 2, kernel: 1}, {type: conv2d, from: input, filters: 2, kernel: 1}",
     "no layer reads 'conv2d'"},
    {"{type: conv3d}", "conv2d"},
    {"{type: conv2d, filtres: 3}", "filters"},
};

static void what_is_wrong_is_said(void **state) {
    (void)state;
    size_t before = ta_mem_held_bytes();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[512];
        struct ta_model m;
        snprintf(text, sizeof text, "model: {input: [6, 6, 2], loss: squared_error, layers: [%s]}", refused[i][0]);
        ta_status status = model_of(text, none, 0, &m);
        if (status != TA_CONFIG) fail_msg("%s gave %s %s", refused[i][0], ta_status_name(status), ta_why());
        if (strstr(ta_why(), refused[i][1]) == NULL) fail_msg("%s said '%s'", refused[i][0], ta_why());
        assert_null(m.layers);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
}

static void inputs_and_outputs_are_checked(void **state) {
    (void)state;
    struct ta_model m;
    const char *vector =
        "model: {input: [%s], loss: cross_entropy, layers: [{type: flatten}, {type: dense, units: 3}]}";
    static const char *const inputs[][2] = {{"1, 2", "has 2 numbers"},
                                            {"0", "has a zero"},
                                            {"4294967295, 4294967295, 4294967295", "numbers a record are more"},
                                            {"784", "784 numbers a record, but the stream has 28 x 28 x 3 = 2352"},
                                            {"", NULL},
                                            {"2352", NULL},
                                            {"14, 56, 3", NULL}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        char text[256];
        snprintf(text, sizeof text, vector, inputs[i][0]);
        if (inputs[i][1] == NULL) {
            assert_ok(model_of(text, (struct ta_shape){28, 28, 3}, 3, &m));
            ta_model_free(&m);
        } else {
            assert_fails(TA_CONFIG, inputs[i][1], model_of(text, (struct ta_shape){28, 28, 3}, 3, &m));
        }
    }
    const char *no_input = "model: {loss: cross_entropy, layers: [{type: dense, units: 3}]}";
    assert_fails(TA_CONFIG, "model.input is not given", model_of(no_input, none, 3, &m));
    assert_fails(TA_CONFIG, "the stream has 10 classes; give the last dense layer units: 10",
                 model_of(no_input, (struct ta_shape){1, 1, 5}, 10, &m));
    const char *image =
        "model: {input: [4, 4, 1], loss: cross_entropy, layers: [{type: conv2d, filters: 2, kernel: 1}]}";
    assert_fails(TA_CONFIG, "gives 4 x 4 x 2; add flatten", model_of(image, none, 0, &m));
    const char *one = "model: {input: [4], loss: cross_entropy, layers: [{type: dense, units: 1}]}";
    assert_fails(TA_CONFIG, "binary_cross_entropy", model_of(one, none, 0, &m));
}

static void initial_weights_have_their_law(void **state) {
    (void)state;
    const struct {
        const char *init;
        double sigma, most;
    } laws[] = {{"glorot_uniform", sqrt(2. / 800), sqrt(6. / 800)},
                {"he_normal", sqrt(2. / 500), 2 * sqrt(2. / 500) / .8796},
                {"he_uniform", sqrt(2. / 500), sqrt(6. / 500)},
                {"zeros", 0, 0}};
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "model: {input: [500], loss: squared_error, layers: [{type: dense, units: 300, init: %s},"
                 "{type: batch_norm}]}",
                 laws[i].init);
        struct ta_model m = built(text, none, 0);
        float *w, *again;
        assert_ok(TA_NEW(&w, m.n_params, "w"));
        assert_ok(TA_NEW(&again, m.n_params, "w"));
        ta_model_init(&m, 5, w);
        ta_model_init(&m, 5, again);
        assert_memory_equal(w, again, m.n_params * sizeof *w);
        double sum = 0, sum2 = 0, most = 0;
        size_t n = m.layers[0].kernel.count;
        for (size_t k = 0; k < n; k++) {
            sum += (double)w[k], sum2 += (double)w[k] * (double)w[k];
            most = fmax(most, fabs((double)w[k]));
        }
        assert_true(fabs(sum / (double)n) < 5 * laws[i].sigma / sqrt((double)n) + 1e-12);
        assert_true(fabs(sqrt(sum2 / (double)n) - laws[i].sigma) <= .01 * laws[i].sigma);
        assert_true(most <= laws[i].most * (1 + 1e-6) && most >= .98 * laws[i].most);
        assert_true(w[m.layers[0].bias.offset] == 0 && w[m.layers[1].gamma.offset + 299] == 1);
        assert_true(w[m.layers[1].variance.offset] == 1 && w[m.layers[1].mean.offset] == 0);
        ta_model_init(&m, 6, again);
        assert_true(laws[i].sigma == 0 || memcmp(w, again, n * sizeof *w) != 0);
        ta_mem_free(w);
        ta_mem_free(again);
        ta_model_free(&m);
    }
}

/* Equal for renamed layers, different for everything that changes what a number means. */
static void fingerprints_tell_models_apart(void **state) {
    (void)state;
    static const char *const layers[] = {
        "{type: conv2d, name: x, filters: 4, kernel: 3}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3, no_bias: true}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3, padding: same}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3, activation: relu}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3}, {type: batch_norm}, {type: flatten}, {type: dense, units: 2}",
        "{type: conv2d, filters: 4, kernel: 3}, {type: batch_norm, momentum: 0.5}, {type: flatten}, {type: dense, "
        "units: 2}",
        "{type: conv2d, filters: 4, kernel: 3, stride: 3}, {type: flatten}, {type: dense, units: 2}",
    };
    enum { N = sizeof layers / sizeof *layers };
    uint64_t prints[N];
    for (unsigned i = 0; i < N; i++) {
        char text[512];
        snprintf(text, sizeof text, "model: {input: [6, 6, 2], loss: squared_error, layers: [%s]}", layers[i]);
        struct ta_model m = built(text, none, 2);
        prints[i] = m.fingerprint;
        ta_model_free(&m);
    }
    assert_true(prints[0] == prints[1]);
    for (unsigned i = 1; i < N; i++)
        for (unsigned j = i + 1; j < N; j++) assert_true(prints[i] != prints[j]);
}

static void memory_runs_out(void **state) {
    (void)state;
    struct ta_layer_spec layer = {.type = TA_LAYER_DENSE, .units = 3};
    const struct ta_model_spec spec = {.loss = TA_LOSS_SQUARED_ERROR, .layers = &layer, .layers_count = 1};
    struct ta_model m;
    size_t before = ta_mem_held_bytes();
    unsigned nth = 1;
    for (;; nth++) {
        ta_mem_fail_nth(nth);
        ta_status status = ta_model_build(&spec, (struct ta_shape){1, 1, 4}, 3, &m);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
    assert_int_equal(nth, 4); /* layers, inits, and a scratch array */
    ta_model_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cifar_network),
        cmocka_unit_test(same_padding_is_tensorflows),
        cmocka_unit_test(residual_and_statistics),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(inputs_and_outputs_are_checked),
        cmocka_unit_test(initial_weights_have_their_law),
        cmocka_unit_test(fingerprints_tell_models_apart),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
