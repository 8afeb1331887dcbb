/* test_cudnn_plans: the real cuDNN, for GPUs that are not here: for an H200 and an A100, described as cuDNN describes
 * devices, it finds engines for all that the networks we measure need, through the very code that runs on a device,
 * and makes plans of them. Nothing runs. What it compiles for that is loaded by a driver that drives nothing
 * (parts/driver.c). */
#include <cudnn.h>

#include "bench_nets.h"
#include "cudnn_ops.h"
#include "gpu_cuda.h"

#include "expect.h"

#define DEVICE(name, version, l2, shared, memory_khz, sms, sm_khz, bytes)                                              \
    "{\"cudaDeviceId\":0,\"deviceName\":\"" name "\",\"deviceVer\":" version ",\"driverVer\":13000,"                   \
    "\"isTccDriver\":0,\"l2CacheSize\":" l2 ",\"maxBlockSize\":[1024,1024,64],\"maxCtasPerSM\":32,"                    \
    "\"maxGridSize\":[2147483647,65535,65535],\"maxRegistersPerSM\":65536,\"maxSharedMemoryPerBlock\":49152,"          \
    "\"maxSharedMemoryPerBlockOptin\":" shared ",\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"                \
    "\"memClockRateKHz\":" memory_khz ",\"multiProcessorCount\":" sms ",\"pciDeviceId\":0,\"regsPerBlock\":65536,"     \
    "\"reservedSharedMemoryPerBlock\":1024,\"smClockRateKHz\":" sm_khz ",\"supportCoopLaunch\":1,"                     \
    "\"totalGlobalMem\":" bytes ",\"warpSize\":32}"

static const char h200[] =
    DEVICE("NVIDIA H200", "900", "62914560", "232448", "3201000", "132", "1980000", "150754820096");
static const char a100[] =
    DEVICE("NVIDIA A100-SXM4-80GB", "800", "41943040", "166912", "1593000", "108", "1410000", "84987740160");

static struct ta_cudnn *open_for(const char *device, unsigned candidates) {
    struct ta_cudnn *c;
    assert_ok(ta_cudnn_open(&(struct ta_cudnn_config){.device = device, .candidates = candidates}, &c));
    return c;
}

/* What a net would ask for at this layer. */
static enum ta_cudnn_behind behind(const struct ta_model *model, uint32_t i) {
    if (model->layers[i].bias.count == 0) return TA_CUDNN_NOTHING;
    bool relu = i + 1 < model->n_layers && model->layers[i + 1].kind == TA_LAYER_RELU;
    return relu ? TA_CUDNN_BIAS_RELU : TA_CUDNN_BIAS;
}

static bool alike(const struct ta_layer *a, const struct ta_layer *b) {
    size_t from = offsetof(struct ta_layer, in), to = offsetof(struct ta_layer, rate);
    return a->kind == b->kind && memcmp((const char *)a + from, (const char *)b + from, to - from) == 0;
}

static bool seen_before(const struct ta_model *model, uint32_t i) {
    for (uint32_t k = 0; k < i; k++)
        if (alike(&model->layers[k], &model->layers[i])) return true;
    return false;
}

static void plan_conv(struct ta_cudnn *c, const struct ta_model *model, uint32_t i, uint32_t batch,
                      enum ta_compute compute) {
    struct ta_cudnn_conv conv;
    struct ta_cudnn_conv_spec spec = {&model->layers[i], batch, compute, behind(model, i), i > 0, true};
    assert_ok(ta_cudnn_conv_create(c, &spec, &conv));
    assert_false(conv.padded);
    assert_int_equal(conv.behind, spec.behind);
    struct ta_cudnn_op *ops[] = {conv.forward, conv.data, conv.filter};
    for (size_t k = 0; k < 3; k++) {
        if (ops[k] == NULL && k == 1 && i == 0) continue;
        assert_non_null(ops[k]);
        assert_in_range(ta_cudnn_op_workspace(ops[k]), 0, 1 << 30);
        assert_non_null(strstr(ta_cudnn_op_describe(ops[k]), "engine"));
        if (getenv("TEST_VERBOSE") != NULL) printf("%s\n", ta_cudnn_op_describe(ops[k]));
    }
    ta_cudnn_conv_destroy(&conv);
}

static void plan_op(struct ta_cudnn *c, enum ta_cudnn_kind kind, const struct ta_layer *layer, uint32_t batch,
                    enum ta_compute compute) {
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = kind, .layer = layer, .batch = batch, .compute = compute};
    assert_ok(ta_cudnn_op_create(c, &spec, &op));
    if (op == NULL) fail_msg("%s", ta_why());
    if (getenv("TEST_VERBOSE") != NULL) printf("%s\n", ta_cudnn_op_describe(op));
    ta_cudnn_op_destroy(op);
}

/* All convolutions of a net, and how many different ones there are. */
static unsigned plan_net(const char *device, const char *name, uint32_t batch, enum ta_compute compute) {
    struct ta_model model;
    struct ta_cudnn *c = open_for(device, 1);
    unsigned n = 0;
    assert_ok(bench_nets_build(name, &model));
    for (uint32_t i = 0; i < model.n_layers; i++) {
        if (model.layers[i].kind != TA_LAYER_CONV2D || seen_before(&model, i)) continue;
        plan_conv(c, &model, i, batch, compute);
        n++;
    }
    ta_model_free(&model);
    ta_cudnn_close(c);
    return n;
}

static void the_cnn_of_cifar10(void **state) {
    (void)state;
    for (int compute = TA_COMPUTE_FLOAT32; compute <= TA_COMPUTE_TF32; compute++) {
        assert_int_equal(plan_net(h200, "cifar10", 128, (enum ta_compute)compute), 3);
        assert_int_equal(plan_net(a100, "cifar10", 128, (enum ta_compute)compute), 3);
        assert_int_equal(plan_net(h200, "cifar10", 1024, (enum ta_compute)compute), 3);
    }
    /* Fused in bfloat16 they are compiled, which takes a second each: once is enough. */
    assert_int_equal(plan_net(h200, "cifar10", 128, TA_COMPUTE_BFLOAT16), 3);
}

static void resnet50(void **state) {
    (void)state;
    for (int compute = TA_COMPUTE_TF32; compute <= TA_COMPUTE_BFLOAT16; compute++) {
        assert_in_range(plan_net(h200, "resnet50", 128, (enum ta_compute)compute), 20, 53);
        assert_in_range(plan_net(a100, "resnet50", 128, (enum ta_compute)compute), 20, 53);
    }
}

static struct ta_layer odd_layer(uint32_t side, uint32_t in, uint32_t kernel, uint32_t stride, uint32_t out) {
    struct ta_layer l = {.kind = TA_LAYER_CONV2D, .name = "odd", .in = {side, side + 1, in}, .out = {0, 0, out}};
    l.kernel_h = l.kernel_w = kernel;
    l.stride_h = l.stride_w = stride;
    l.pad_bottom = kernel / 2, l.pad_left = (kernel - 1) / 2; /* before and after differ */
    l.out.h = (side + l.pad_bottom - kernel) / stride + 1;
    l.out.w = (side + 1 + l.pad_left - kernel) / stride + 1;
    l.bias.count = out;
    return l;
}

static void odd_shapes(void **state) {
    (void)state;
    struct ta_cudnn *c = open_for(h200, 1);
    struct ta_layer layers[] = {odd_layer(9, 1, 3, 2, 7), odd_layer(28, 3, 5, 1, 5), odd_layer(7, 13, 2, 1, 1)};
    struct ta_model model = {.layers = layers, .n_layers = 3};
    for (uint32_t i = 0; i < model.n_layers; i++)
        for (int compute = TA_COMPUTE_FLOAT32; compute <= TA_COMPUTE_TF32; compute++)
            plan_conv(c, &model, i, 1 + 10 * i, (enum ta_compute)compute);
    ta_cudnn_close(c);
}

/* bfloat16 on odd shapes may cost the fusion, but not the convolution. */
static void odd_shapes_in_bfloat16(void **state) {
    (void)state;
    struct ta_cudnn *c = open_for(h200, 1);
    struct ta_layer l = odd_layer(9, 5, 3, 2, 3);
    struct ta_cudnn_conv conv;
    struct ta_cudnn_conv_spec spec = {&l, 3, TA_COMPUTE_BFLOAT16, TA_CUDNN_NOTHING, true, true};
    assert_ok(ta_cudnn_conv_create(c, &spec, &conv));
    ta_cudnn_conv_destroy(&conv);
    ta_cudnn_close(c);
}

static void averages_and_norms(void **state) {
    (void)state;
    struct ta_cudnn *c = open_for(h200, 1);
    struct ta_layer l = {.kind = TA_LAYER_AVG_POOL, .in = {28, 28, 64}, .out = {14, 14, 64}, .epsilon = 1e-3F};
    l.kernel_h = l.kernel_w = l.stride_h = l.stride_w = 2;
    for (int kind = TA_CUDNN_POOL_FORWARD; kind <= TA_CUDNN_POOL_BACKWARD; kind++)
        plan_op(c, (enum ta_cudnn_kind)kind, &l, 32, TA_COMPUTE_BFLOAT16);
    l.kind = TA_LAYER_BATCH_NORM;
    for (int kind = TA_CUDNN_NORM_FORWARD; kind <= TA_CUDNN_NORM_BACKWARD; kind++)
        plan_op(c, (enum ta_cudnn_kind)kind, &l, 32, TA_COMPUTE_BFLOAT16);
    ta_cudnn_close(c);
}

static void many_candidates_for_tuning(void **state) {
    (void)state;
    struct ta_cudnn *c = open_for(h200, 8);
    struct ta_layer l = odd_layer(28, 64, 3, 1, 64);
    struct ta_cudnn_op *op;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_CONV_FORWARD, .layer = &l, .batch = 32, .compute = TA_COMPUTE_TF32};
    assert_ok(ta_cudnn_op_create(c, &spec, &op));
    assert_non_null(strstr(ta_cudnn_op_describe(op), "the first of 8"));
    assert_fails(TA_INVALID, "not here", ta_cudnn_op_run(op, (void *[TA_CUDNN_ROLES]){0}, NULL));
    ta_cudnn_op_destroy(op);
    ta_cudnn_close(c);
}

static void a_wrong_description_is_an_error(void **state) {
    (void)state;
    struct ta_cudnn *c;
    assert_fails(TA_DEVICE, "the properties of a device", ta_cudnn_open(&(struct ta_cudnn_config){.device = "{}"}, &c));
    assert_fails(TA_DEVICE, "cuDNN", ta_cudnn_open(&(struct ta_cudnn_config){.device = "H200"}, &c));
}

int main(void) {
    if (cudnnGetVersion() < 90800) {
        printf("SKIPPED: cuDNN %zu cannot plan for a device that is not here; from 90800 on it can\n",
               cudnnGetVersion());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cnn_of_cifar10),
        cmocka_unit_test(resnet50),
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(odd_shapes_in_bfloat16),
        cmocka_unit_test(averages_and_norms),
        cmocka_unit_test(many_candidates_for_tuning),
        cmocka_unit_test(a_wrong_description_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
