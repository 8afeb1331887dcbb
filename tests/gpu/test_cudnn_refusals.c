/* test_cudnn_refusals: what is done, and said, where cuDNN refuses or fails. The make-believe one does so when told. */
#include "cudnn_place.h"

static void what_is_not_fused_is_said(void **state) {
    (void)state;
    static const struct {
        const char *options;
        enum ta_cudnn_behind took;
        bool wide;
    } cases[] = {{"cudnn=norelu", TA_CUDNN_BIAS, false}, {"cudnn=nobias", TA_CUDNN_NOTHING, false},
                 {"cudnn=fallback", TA_CUDNN_BIAS_RELU, false}, {"cudnn=wide", TA_CUDNN_BIAS_RELU, true},
                 {"cudnn=unloadable", TA_CUDNN_BIAS_RELU, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct place p;
        open_place(&p, cases[i].options, 3);
        struct ta_layer l = conv_layer(7, 6, 3, 3, 2, 5);
        set_out(&l);
        struct ta_cudnn_conv conv = try_conv(&p, &l, 2, TA_COMPUTE_BFLOAT16, TA_CUDNN_BIAS_RELU);
        assert_int_equal(conv.behind, cases[i].took);
        assert_int_equal(conv.float32_dw, cases[i].wide);
        ta_cudnn_conv_destroy(&conv);
        close_place(&p);
    }
}

static void pads_that_differ_may_be_left_to_the_net(void **state) {
    (void)state;
    struct place p;
    open_place(&p, "cudnn=nopads", 1);
    struct ta_layer l = conv_layer(7, 6, 3, 3, 2, 5);
    l.pad_bottom = 1;
    set_out(&l);
    struct ta_cudnn_conv conv = try_conv(&p, &l, 2, TA_COMPUTE_FLOAT32, TA_CUDNN_BIAS_RELU);
    assert_true(conv.padded);
    ta_cudnn_conv_destroy(&conv);
    l.in.h++, l.pad_bottom = 0; /* as the net does then */
    conv = try_conv(&p, &l, 2, TA_COMPUTE_FLOAT32, TA_CUDNN_BIAS_RELU);
    assert_false(conv.padded);
    ta_cudnn_conv_destroy(&conv);
    close_place(&p);
}

static void what_nothing_can_do_is_an_error_or_refused(void **state) {
    (void)state;
    static const char *const options[] = {"cudnn=nothing+nopool", "cudnn=noisy"};
    for (size_t i = 0; i < 2; i++) {
        struct place p;
        open_place(&p, options[i], 1);
        struct ta_layer l = conv_layer(7, 6, 3, 3, 2, 5);
        l.pad_bottom = 1;
        set_out(&l);
        struct ta_cudnn_conv conv;
        struct ta_cudnn_conv_spec spec = {&l, 2, TA_COMPUTE_FLOAT32, TA_CUDNN_BIAS, true, true};
        assert_fails(TA_DEVICE, "layer conv", ta_cudnn_conv_create(p.cudnn, &spec, &conv));
        assert_fails(TA_DEVICE, "conv_forward 2x8x6x3", ta_cudnn_conv_create(p.cudnn, &spec, &conv));
        if (i == 1) assert_non_null(strstr(ta_why(), "3 break a promise"));
        l.kind = TA_LAYER_AVG_POOL;
        l.out.c = l.in.c;
        struct ta_cudnn_op *op;
        struct ta_cudnn_spec pool = {.kind = TA_CUDNN_POOL_FORWARD, .layer = &l, .batch = 2};
        assert_ok(ta_cudnn_op_create(p.cudnn, &pool, &op));
        assert_null(op);
        close_place(&p);
    }
}

/* Which engine it was: the make-believe ones round differently. */
static void float32_is_not_rounded_to_tf32(void **state) {
    (void)state;
    for (int compute = TA_COMPUTE_FLOAT32; compute <= TA_COMPUTE_TF32; compute++) {
        struct place p;
        open_place(&p, NULL, 1);
        struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
        set_out(&l);
        struct ta_cudnn_conv conv = try_conv(&p, &l, 2, (enum ta_compute)compute, TA_CUDNN_NOTHING);
        const char *engine = compute == TA_COMPUTE_FLOAT32 ? "engine 4" : "engine 2";
        assert_non_null(strstr(ta_cudnn_op_describe(conv.forward), engine));
        assert_non_null(strstr(ta_cudnn_op_describe(conv.filter), engine));
        ta_cudnn_conv_destroy(&conv);
        close_place(&p);
    }
}

static void a_workspace_that_is_too_large_is_not_asked_for(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 1);
    struct ta_cudnn *small;
    assert_ok(ta_cudnn_open(&(struct ta_cudnn_config){.gpu = p.gpu, .workspace = 100, .candidates = 8}, &small));
    struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_DATA, .layer = &l, .batch = 2};
    assert_ok(ta_cudnn_op_create(small, &spec, &op));
    assert_non_null(op);
    assert_int_equal(ta_cudnn_op_workspace(op), 0);
    assert_non_null(strstr(ta_cudnn_op_describe(op), "engine 5"));
    ta_cudnn_op_destroy(op);
    ta_cudnn_close(small);
    close_place(&p);
}

/* What the environment asks for. */
static void candidates_come_from_the_environment(void **state) {
    (void)state;
    static const struct {
        const char *asked, *got;
    } cases[] = {{"8", "of 2"}, {"2", "of 2"}, {"1", "of 1"}, {"0", "of 1"}, {"x", "of 1"}, {"9999999999999", "of 2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct place p;
        setenv("TENSAIR_AUTOTUNE", cases[i].asked, 1);
        open_place(&p, NULL, 0);
        unsetenv("TENSAIR_AUTOTUNE");
        struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
        set_out(&l);
        struct ta_cudnn_op *op;
        struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_DATA, .layer = &l, .batch = 2, .compute = TA_COMPUTE_TF32};
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op));
        assert_non_null(strstr(ta_cudnn_op_describe(op), cases[i].got));
        ta_cudnn_op_destroy(op);
        close_place(&p);
    }
}

static void errors_say_what_to_do(void **state) {
    (void)state;
    struct place p;
    struct ta_cudnn *c;
    open_place(&p, NULL, 1);
    struct ta_cudnn_config config = {.gpu = p.gpu}, nowhere = {0}, described = {.device = "{}"};
    assert_fails(TA_INVALID, "neither", ta_cudnn_open(&nowhere, &c));
    assert_null(c);
    struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_DATA, .layer = &l, .batch = 2};
    assert_ok(ta_cudnn_open(&described, &c));
    assert_ok(ta_cudnn_op_create(c, &spec, &op));
    assert_fails(TA_INVALID, "not here", ta_cudnn_op_run(op, p.far, NULL));
    ta_cudnn_op_destroy(op);
    ta_cudnn_close(c);
    l.out.h++; /* a bug of the caller: nothing that another engine could do */
    assert_fails(TA_DEVICE, "the gradient of a convolution's input", ta_cudnn_op_create(p.cudnn, &spec, &op));
    assert_null(op);
    close_place(&p);
    ta_fake_gpu_reset("cudnn=old");
    assert_fails(TA_DEVICE, "install cuDNN 9", ta_cudnn_open(&described, &c));
    ta_fake_gpu_reset("cudnn=closed");
    assert_ok(ta_gpu_cuda.open(0, &p.gpu));
    config.gpu = p.gpu;
    assert_fails(TA_DEVICE, "is the driver new enough", ta_cudnn_open(&config, &c));
    assert_null(c);
    ta_gpu_cuda.close(p.gpu);
}

static void a_failed_run_is_an_error(void **state) {
    (void)state;
    struct place p;
    open_place(&p, "cudnn=fails", 1);
    struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_FORWARD, .layer = &l, .batch = 2};
    assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op));
    conv_rooms(&p, &l, 2, false, true);
    work_for(&p, op);
    assert_fails(TA_DEVICE, "conv_forward 2x7x6x3", ta_cudnn_op_run(op, p.far, p.workspace));
    ta_cudnn_op_destroy(op);
    close_place(&p);
}

/* Memory that runs out at the n-th allocation, for every n: an error, and nothing is left behind. */
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 1);
    struct ta_layer l = conv_layer(7, 6, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_conv_spec spec = {&l, 2, TA_COMPUTE_FLOAT32, TA_CUDNN_BIAS_RELU, true, true};
    size_t held = ta_mem_held_bytes();
    ta_status status = TA_NO_MEMORY;
    for (unsigned n = 1; status != TA_OK; n++) {
        struct ta_cudnn_conv conv;
        struct ta_cudnn *c = NULL;
        ta_mem_fail_nth(n);
        status = ta_cudnn_open(&(struct ta_cudnn_config){.gpu = p.gpu}, &c);
        if (status == TA_OK) status = ta_cudnn_conv_create(c, &spec, &conv);
        ta_mem_fail_nth(0);
        assert_true(status == TA_OK || status == TA_NO_MEMORY);
        assert_in_range(n, 1, 9);
        if (status == TA_OK) ta_cudnn_conv_destroy(&conv);
        ta_cudnn_close(c);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    close_place(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_fused_is_said),
        cmocka_unit_test(pads_that_differ_may_be_left_to_the_net),
        cmocka_unit_test(what_nothing_can_do_is_an_error_or_refused),
        cmocka_unit_test(float32_is_not_rounded_to_tf32),
        cmocka_unit_test(a_workspace_that_is_too_large_is_not_asked_for),
        cmocka_unit_test(candidates_come_from_the_environment),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(a_failed_run_is_an_error),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
