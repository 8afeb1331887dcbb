/* test_cudnn: every operation by cuDNN against kernels/reference, in double. */
#include "cudnn_place.h"

static void convolutions_are_those_of_the_reference(void **state) {
    (void)state;
    struct place p;
    for (unsigned candidates = 1; candidates <= 4; candidates += 3) {
        open_place(&p, NULL, candidates);
        for (unsigned i = 0; i < 24; i++) {
            static const uint32_t channels[] = {1, 3, 8, 5, 16};
            struct ta_layer l = conv_layer(5 + ta_rng_below(&p.rng, 5), 5 + ta_rng_below(&p.rng, 5),
                                           channels[ta_rng_below(&p.rng, 5)], 1 + ta_rng_below(&p.rng, 4),
                                           1 + ta_rng_below(&p.rng, 3), channels[ta_rng_below(&p.rng, 5)]);
            l.pad_top = ta_rng_below(&p.rng, l.kernel_h), l.pad_bottom = ta_rng_below(&p.rng, l.kernel_h);
            l.pad_left = ta_rng_below(&p.rng, l.kernel_w), l.pad_right = ta_rng_below(&p.rng, l.kernel_w);
            set_out(&l);
            struct ta_cudnn_conv conv = try_conv(&p, &l, 1 + i % 3, (enum ta_compute)(i % 3),
                                                 (enum ta_cudnn_behind)(i / 3 % 3));
#ifndef TA_REAL_GPU
            assert_false(conv.padded);
            assert_int_equal(conv.behind, i / 3 % 3);
            assert_int_equal(conv.float32_dw, i % 3 != TA_COMPUTE_BFLOAT16);
#endif
            ta_cudnn_conv_destroy(&conv);
        }
        close_place(&p);
    }
}

static void a_gradient_that_nobody_wants_is_not_made(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 1);
    struct ta_layer l = conv_layer(6, 6, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_conv conv;
    struct ta_cudnn_conv_spec spec = {.layer = &l, .batch = 2};
    assert_ok(ta_cudnn_conv_create(p.cudnn, &spec, &conv));
    assert_non_null(conv.forward);
    assert_null(conv.data);
    assert_null(conv.filter);
    ta_cudnn_conv_destroy(&conv);
    ta_cudnn_conv_destroy(&conv);
    close_place(&p);
}

/* The same op on other addresses, and twice on the same. */
static void an_op_serves_many_tensors(void **state) {
    (void)state;
    struct place p, q;
    open_place(&p, NULL, 1);
    struct ta_layer l = conv_layer(6, 7, 3, 3, 1, 4);
    set_out(&l);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_FORWARD, .layer = &l, .batch = 2, .behind = TA_CUDNN_BIAS};
    assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op));
    assert_non_null(op);
    q = p;
    conv_rooms(&p, &l, 2, false, true);
    q.rng = ta_rng_make(12, 0);
    q.block = p.block + BLOCK_BYTES / 2;
    conv_rooms(&q, &l, 2, false, true);
    expect_conv(&p, &l, 2, TA_CUDNN_BIAS);
    expect_conv(&q, &l, 2, TA_CUDNN_BIAS);
    work_for(&p, op);
    for (unsigned i = 0; i < 4; i++) assert_ok(ta_cudnn_op_run(op, i < 2 ? p.far : q.far, p.workspace));
    check(&p, TA_CUDNN_Y, 1e-3, "first");
    check(&q, TA_CUDNN_Y, 1e-3, "second");
    ta_cudnn_op_destroy(op);
    clear_place(&q);
    close_place(&p);
}

/* Plans are made once a shape: what was tuned for one op serves the others. */
static void ops_of_one_shape_share_their_plans(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 4);
    struct ta_layer l = conv_layer(6, 7, 3, 3, 1, 4), other = l;
    set_out(&l);
    other.pad_top = 1;
    set_out(&other);
    struct ta_cudnn_op *op[3];
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_FILTER, .layer = &l, .batch = 2};
    spec.compute = TA_COMPUTE_TF32;
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) spec.layer = &other;
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op[i]));
    }
    conv_rooms(&p, &l, 2, false, true);
    expect_conv(&p, &l, 2, TA_CUDNN_NOTHING);
    run(&p, op[0]);
    check(&p, TA_CUDNN_DW, 0.1, "the first op");
    assert_non_null(strstr(ta_cudnn_op_describe(op[1]), "the fastest of"));
    assert_null(strstr(ta_cudnn_op_describe(op[2]), "the fastest of"));
    ta_cudnn_op_destroy(op[0]);
    assert_ok(ta_cudnn_op_run(op[1], p.far, p.workspace));
    check(&p, TA_CUDNN_DW, 0.1, "the second op");
    ta_cudnn_op_destroy(op[1]);
    ta_cudnn_op_destroy(op[2]);
    close_place(&p);
}

/* Captured once, replayed on numbers that have changed meanwhile. */
static void an_op_can_be_captured(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 1);
    struct ta_layer l = conv_layer(6, 7, 8, 3, 1, 8);
    set_out(&l);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_FORWARD, .layer = &l, .batch = 2, .behind = TA_CUDNN_BIAS_RELU};
    assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op));
    assert_non_null(op);
    conv_rooms(&p, &l, 2, false, true);
    run(&p, op);
    cudaStream_t stream = ta_gpu_cuda_stream(p.gpu, TA_GPU_COMPUTE);
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_ok(ta_cudnn_op_run(op, p.far, p.workspace));
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
    for (unsigned i = 0; i < 2; i++) {
        clear_place(&p); /* the same addresses, in the same order */
        conv_rooms(&p, &l, 2, false, true);
        expect_conv(&p, &l, 2, TA_CUDNN_BIAS_RELU);
        assert_int_equal(cudaGraphLaunch(ready, stream), cudaSuccess);
        check(&p, TA_CUDNN_Y, 1e-3, "a graph");
    }
    assert_int_equal(cudaGraphExecDestroy(ready), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    ta_cudnn_op_destroy(op);
    close_place(&p);
}

static void averages_leave_out_what_is_padding(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 2);
    for (unsigned i = 0; i < 12; i++) {
        struct ta_layer l = conv_layer(6 + i % 3, 7, 1 + i * 3, 2 + i % 2, 1 + i % 2, 1 + i * 3);
        enum ta_compute compute = (enum ta_compute)(i % 3);
        bool narrow = compute == TA_COMPUTE_BFLOAT16;
        l.kind = i == 5 ? TA_LAYER_GLOBAL_AVG_POOL : TA_LAYER_AVG_POOL;
        l.pad_top = i % 2, l.pad_right = i / 2 % 2 && l.kernel_w > 1;
        set_out(&l);
        if (i == 5) l.out = (struct ta_shape){1, 1, l.in.c};
        struct ta_cudnn_op *op[2];
        struct ta_cudnn_spec spec = {.kind = TA_CUDNN_POOL_FORWARD, .layer = &l, .batch = 3, .compute = compute};
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op[0]));
        spec.kind = TA_CUDNN_POOL_BACKWARD;
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op[1]));
        room(&p, TA_CUDNN_X, 3 * ta_shape_count(l.in), narrow, true);
        room(&p, TA_CUDNN_DX, 3 * ta_shape_count(l.in), narrow, false);
        room(&p, TA_CUDNN_Y, 3 * ta_shape_count(l.out), narrow, false);
        room(&p, TA_CUDNN_DY, 3 * ta_shape_count(l.out), narrow, true);
        struct ta_reference_layer a = {.l = &l, .batch = 3, .in = {p.near[TA_CUDNN_X]}, .out = p.near[TA_CUDNN_Y],
                                       .grad_out = p.near[TA_CUDNN_DY], .grad_in = {p.near[TA_CUDNN_DX]}};
        ta_reference_forward(&a);
        ta_reference_backward(&a);
#ifndef TA_REAL_GPU
        assert_non_null(op[0]);
        assert_non_null(op[1]);
#endif
        for (unsigned k = 0; k < 2 && op[k] != NULL; k++) {
            run(&p, op[k]);
            check(&p, k == 0 ? TA_CUDNN_Y : TA_CUDNN_DX, 1e-4, ta_cudnn_op_describe(op[k]));
            ta_cudnn_op_destroy(op[k]);
        }
        clear_place(&p);
    }
    struct ta_layer most = conv_layer(6, 6, 8, 2, 2, 8);
    most.kind = TA_LAYER_MAX_POOL;
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_POOL_FORWARD, .layer = &most, .batch = 3};
    assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op));
    assert_null(op); /* ties and NaN: our own */
    close_place(&p);
}

static void expect_norm(struct place *p, struct ta_layer *l, uint32_t batch) {
    uint32_t c = l->in.c;
    float *w;
    double *grad, *statistics;
    assert_ok(TA_NEW(&w, 4 * c, "weights"));
    assert_ok(TA_NEW(&grad, 4 * c, "a gradient"));
    assert_ok(TA_NEW(&statistics, 2 * c, "statistics"));
    struct ta_param *params[] = {&l->gamma, &l->beta, &l->mean, &l->variance};
    for (size_t i = 0; i < 4; i++) *params[i] = (struct ta_param){i * c, c};
    for (uint32_t i = 0; i < c; i++) {
        w[i] = (float)p->near[TA_CUDNN_GAMMA][i];
        w[c + i] = (float)p->near[TA_CUDNN_BETA][i];
    }
    struct ta_reference_layer a = {.l = l, .batch = batch, .w = w, .in = {p->near[TA_CUDNN_X]},
                                   .out = p->near[TA_CUDNN_Y], .grad_out = p->near[TA_CUDNN_DY],
                                   .grad_in = {p->near[TA_CUDNN_DX]}, .grad = grad, .mean = statistics,
                                   .variance = statistics + c, .training = true};
    ta_reference_forward(&a);
    ta_reference_backward(&a);
    for (uint32_t i = 0; i < c; i++) {
        p->near[TA_CUDNN_DGAMMA][i] = grad[i];
        p->near[TA_CUDNN_DBETA][i] = grad[c + i];
        p->near[TA_CUDNN_MEAN][i] = statistics[i];
        p->near[TA_CUDNN_INVERSE][i] = 1 / sqrt(statistics[c + i] + (double)l->epsilon);
    }
    ta_mem_free(w);
    ta_mem_free(grad);
    ta_mem_free(statistics);
}

static void norms_are_those_of_the_reference(void **state) {
    (void)state;
    struct place p;
    open_place(&p, NULL, 1);
    for (unsigned i = 0; i < 6; i++) {
        struct ta_layer l = conv_layer(4, 5, 8 * (1 + i / 3), 1, 1, 8 * (1 + i / 3));
        bool narrow = i % 3 == TA_COMPUTE_BFLOAT16;
        l.kind = TA_LAYER_BATCH_NORM;
        l.epsilon = 1e-3F;
        struct ta_cudnn_op *op[2];
        struct ta_cudnn_spec spec = {.kind = TA_CUDNN_NORM_FORWARD, .layer = &l, .batch = 6};
        spec.compute = (enum ta_compute)(i % 3);
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op[0]));
        spec.kind = TA_CUDNN_NORM_BACKWARD;
        assert_ok(ta_cudnn_op_create(p.cudnn, &spec, &op[1]));
        for (int r = TA_CUDNN_X; r <= TA_CUDNN_DY; r++)
            if (r != TA_CUDNN_W)
                room(&p, (enum ta_cudnn_role)r, 6 * ta_shape_count(l.in), narrow, r == TA_CUDNN_X || r == TA_CUDNN_DY);
        for (int r = TA_CUDNN_GAMMA; r < TA_CUDNN_ROLES; r++)
            room(&p, (enum ta_cudnn_role)r, l.in.c, false, r <= TA_CUDNN_BETA);
        expect_norm(&p, &l, 6);
#ifndef TA_REAL_GPU
        assert_non_null(op[0]);
        assert_non_null(op[1]);
#endif
        for (unsigned k = 0; k < 2 && op[0] != NULL && op[1] != NULL; k++) run(&p, op[k]);
        for (int r = TA_CUDNN_X; r < TA_CUDNN_ROLES && op[0] != NULL && op[1] != NULL; r++)
            if (p.count[r] > 0 && p.far[r] != NULL)
                check(&p, (enum ta_cudnn_role)r, 2e-3, ta_cudnn_op_describe(op[0]));
        for (unsigned k = 0; k < 2; k++) ta_cudnn_op_destroy(op[k]);
        clear_place(&p);
    }
    close_place(&p);
}

int main(void) {
#ifdef TA_REAL_GPU
    unsigned n = 0;
    if (ta_gpu_cuda.count(&n) != TA_OK || n == 0) {
        printf("SKIPPED: no GPU here: %s\n", ta_why());
        return 77;
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_those_of_the_reference),
        cmocka_unit_test(a_gradient_that_nobody_wants_is_not_made),
        cmocka_unit_test(an_op_serves_many_tensors),
        cmocka_unit_test(ops_of_one_shape_share_their_plans),
        cmocka_unit_test(an_op_can_be_captured),
        cmocka_unit_test(averages_leave_out_what_is_padding),
        cmocka_unit_test(norms_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
