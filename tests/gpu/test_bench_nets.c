/* The networks that are measured are the ones that they are said to be: parameters as PyTorch counts them, shapes that
 * the kernels take, and of ResNet-50 the operations, too. */
#include "bench_nets.h"
#include "check.h"
#include "expect.h"

static uint64_t multiplications(const struct ta_model *model) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        const struct ta_layer *l = &model->layers[i];
        if (l->kind == TA_LAYER_CONV2D) sum += (uint64_t)l->out.h * l->out.w * l->kernel.count;
        if (l->kind == TA_LAYER_DENSE) sum += l->kernel.count;
    }
    return sum;
}

static void is_taken(const char *name, size_t trained, size_t all, uint64_t macs) {
    struct ta_model model;
    assert_ok(bench_nets_build(name, &model));
    struct ta_net_spec spec = ta_model_net_spec(&model, 2, 1, false);
    assert_ok(ta_net_check(&spec));
    assert_int_equal(bench_nets_trained(&model), trained);
    assert_int_equal(model.n_weights, all);
    assert_int_equal(multiplications(&model), macs);
    ta_model_free(&model);
}

static void cifar10(void **state) {
    (void)state;
    is_taken("cifar10", 122570, 122570,
             UINT64_C(30) * 30 * 864 + UINT64_C(13) * 13 * 18432 + UINT64_C(4) * 4 * 36864 + 65536 + 640);
}

/* 25,557,032 parameters, 53,120 moving statistics, 4,089,184,256 multiplications at 224x224: torchvision's figures. */
static void resnet50(void **state) {
    (void)state;
    is_taken("resnet50", 25557032, 25557032 + 53120, UINT64_C(4089184256));
}

static void unknown(void **state) {
    (void)state;
    struct ta_model model;
    assert_fails(TA_USAGE, "vgg", bench_nets_build("vgg", &model));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cifar10), cmocka_unit_test(resnet50),
                                       cmocka_unit_test(unknown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
