/* Losses and dropout of kernels/cuda/flat.h against their definitions in double precision, as float and as bfloat16. */
#include "flat_device.h"

#include <math.h>
#include <stdlib.h>

#include "build_net.h"
#include "expect.h"
#include "rng.h"

enum { RECORDS = 11 };

/* What a result in that type may be off by, of the largest of its kind. */
static double tolerance(enum ta_flat_type type) { return type == TA_FLAT_BF16 ? 1e-2 : 3e-6; }

/* A record by the definitions: prediction p and slope of the loss by each output; returns the loss. */
static double by_definition(enum ta_loss kind, uint32_t n, const float *z, const float *y, int32_t class, double *p,
                            double *slope) {
    double most = -INFINITY, sum = 0, loss = 0;
    for (uint32_t j = 0; j < n; j++) most = fmax(most, (double)z[j]);
    for (uint32_t j = 0; j < n; j++) sum += exp((double)z[j] - most);
    for (uint32_t j = 0; j < n; j++) {
        double a = (double)z[j], b = (double)y[j];
        if (kind == TA_LOSS_CROSS_ENTROPY) {
            p[j] = exp(a - most) / sum;
            slope[j] = p[j] - ((int32_t)j == class);
            if ((int32_t)j == class) loss = log(sum) + most - a;
        } else if (kind == TA_LOSS_BINARY_CROSS_ENTROPY) {
            p[j] = 1 / (1 + exp(-a));
            slope[j] = (p[j] - b) / n;
            loss += (fmax(a, 0) - a * b + log1p(exp(-fabs(a)))) / n;
        } else {
            p[j] = a;
            slope[j] = 2 * (a - b) / n;
            loss += (a - b) * (a - b) / n;
        }
    }
    return loss;
}

static void check_loss(enum ta_flat_type type, enum ta_loss kind, uint32_t outputs) {
    struct test_device d;
    test_device_open(&d);
    const size_t n = (size_t)RECORDS * outputs;
    float *z = malloc(n * sizeof *z), *targets = malloc(n * sizeof *targets), *got = malloc(n * sizeof *got);
    double *p = calloc(n, sizeof *p), *slope = calloc(n, sizeof *slope), losses[RECORDS];
    int32_t classes[RECORDS];
    float share = 1.0F / (RECORDS - 2), got_losses[RECORDS];
    test_fill(n, 8 + outputs, kind == TA_LOSS_SQUARED_ERROR ? -2 : -60, kind == TA_LOSS_SQUARED_ERROR ? 2 : 60, z);
    test_fill(n, 9, 0, 1, targets);
    test_fill_classes(RECORDS, 10, outputs, classes);
    classes[3] = classes[RECORDS - 1] = -1;
    targets[4 * outputs - 1] = targets[n - outputs] = NAN; /* of the same two */
    void *z_device = test_up_as(&d, type, z, n);
    for (uint32_t r = 0; r < RECORDS; r++) {
        const size_t at = (size_t)r * outputs;
        losses[r] = by_definition(kind, outputs, z + at, targets + at, classes[r], p + at, slope + at);
        for (uint32_t j = 0; j < outputs; j++) slope[at + j] = classes[r] < 0 ? 0 : slope[at + j] * (double)share;
    }
    struct ta_flat_loss args = {kind, RECORDS, outputs, type, z_device};
    if (kind == TA_LOSS_CROSS_ENTROPY)
        args.classes = test_up(&d, classes, sizeof classes, 0);
    else
        args.targets = test_up(&d, targets, n * sizeof *targets, 0);
    args.share = test_up(&d, &share, sizeof share, 0);
    args.predictions = test_room(&d, n * sizeof(float), 0);
    args.losses = test_room(&d, sizeof got_losses, 0);
    args.grad = z_device; /* over what it is computed from */
    assert_cuda(ta_flat_loss_run(d.stream, &args));
    test_down(&d, got, args.predictions, n * sizeof *got);
    test_compare("predictions", n, got, p, 3e-6);
    test_down(&d, got_losses, args.losses, sizeof got_losses);
    for (uint32_t r = 0; r < RECORDS; r++) {
        if (classes[r] < 0)
            assert_true(isnan(got_losses[r]));
        else
            assert_true(fabs((double)got_losses[r] - losses[r]) <= 1e-5 * (1 + losses[r]));
    }
    test_down_as(&d, type, got, z_device, n);
    test_compare("the gradient", n, got, slope, tolerance(type));
    free(z);
    free(targets);
    free(got);
    free(p);
    free(slope);
    test_device_close(&d);
}

static void test_losses(void **state) {
    (void)state;
    const uint32_t outputs[] = {1, 2, 10, 32, 1003};
    for (unsigned i = 0; i < 30; i++)
        check_loss(i % 2 ? TA_FLAT_BF16 : TA_FLAT_FLOAT, (enum ta_loss)(i / 2 % 3), outputs[i / 6]);
}

/* A NaN among the logits is seen in loss and gradient. Without labels there are predictions alone. */
static void test_loss_corners(void **state) {
    (void)state;
    struct test_device d;
    test_device_open(&d);
    float z[6] = {1, NAN, 2, 3, 4, 5}, share = 1, p[6], losses[2];
    int32_t classes[2] = {0, 2};
    float *z_device = test_up(&d, z, sizeof z, 0);
    struct ta_flat_loss args = {TA_LOSS_CROSS_ENTROPY, 2, 3, TA_FLAT_FLOAT, z_device};
    args.classes = test_up(&d, classes, sizeof classes, 0);
    args.share = test_up(&d, &share, sizeof share, 0);
    args.losses = test_room(&d, sizeof losses, 0);
    assert_cuda(ta_flat_loss_run(d.stream, &args));
    test_down(&d, losses, args.losses, sizeof losses);
    assert_true(isnan(losses[0]) && losses[1] > 0);
    args.classes = NULL;
    args.losses = NULL;
    args.predictions = test_room(&d, sizeof p, 0);
    assert_cuda(ta_flat_loss_run(d.stream, &args));
    test_down(&d, p, args.predictions, sizeof p);
    assert_true(isnan(p[0]) && fabsf(p[3] + p[4] + p[5] - 1) < 1e-6F);
    test_device_close(&d);
}

/* --- dropout: to the bit --- */

static void test_dropout_bits(void **state) {
    (void)state;
    const float rates[] = {0, .1F, .5F, .9999F};
    for (unsigned i = 0; i < 16; i++) {
        const enum ta_flat_type type = i % 2 ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
        const size_t n = 1 + 211 * (i / 4 + 1);
        const uint64_t step = UINT64_C(0x123456789) * i, seed = UINT64_C(0xfedcba9876543210) + i;
        const float rate = rates[i / 4];
        struct test_device d;
        test_device_open(&d);
        float *x = malloc(n * sizeof *x), *got = malloc(n * sizeof *got);
        test_fill(n, i, -1, 1, x);
        void *device = test_up_as(&d, type, x, n);
        const struct ta_flat_dropout args = {
            seed, 3 + i, test_up(&d, &step, sizeof step, 0), n, rate, type, device, device};
        assert_cuda(ta_flat_dropout_run(d.stream, &args));
        test_down_as(&d, type, got, device, n);
        for (size_t e = 0; e < n; e++) {
            uint32_t four[4];
            ta_rng_block(seed, UINT64_C(0x64726f7000000000) + 3 + i, step * ((n + 3) / 4) + e / 4, four);
            float want = four[e % 4] >= (uint32_t)((double)rate * 0x1p32) ? x[e] * (1 / (1 - rate)) : 0;
            assert_true(got[e] == (type == TA_FLAT_BF16 ? test_float(test_bf16(want)) : want));
        }
        free(x);
        free(got);
        test_device_close(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_loss_corners),
        cmocka_unit_test(test_dropout_bits),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
