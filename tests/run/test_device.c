/* Which GPU a replica takes, and what of a configuration does not go with it; nothing of a GPU is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "expect.h"

static unsigned number_of(struct ta_device_section section, struct ta_device_place place, unsigned count, bool bound) {
    unsigned number = 99;
    assert_ok(ta_device_number(&section, &place, count, bound, &number));
    assert_true(number < count || section.number != NULL);
    return number;
}

/* By default: as many as fall on each GPU, no GPU with two more than another that has any. */
static void replicas_are_dealt_evenly(void **state) {
    (void)state;
    for (unsigned count = 1; count <= 8; count++)
        for (unsigned n = 1; n <= 40; n++) {
            unsigned held[8] = {0}, most = (n + count - 1) / count;
            for (unsigned r = 0; r < n; r++) {
                struct ta_device_place place = {r, n, n};
                unsigned number = number_of((struct ta_device_section){0}, place, count, false);
                held[number]++;
                /* The same as with the number said. */
                struct ta_device_section said = {.replicas_per_gpu = most};
                assert_int_equal(number, number_of(said, place, count, false));
            }
            for (unsigned g = 0; g < count; g++) assert_true(held[g] <= most);
        }
}

static void as_many_a_gpu_as_said(void **state) {
    (void)state;
    struct ta_device_section two = {.replicas_per_gpu = 2};
    for (unsigned r = 0; r < 6; r++)
        assert_int_equal(number_of(two, (struct ta_device_place){r, 6, 6}, 3, false), r / 2);
    unsigned number;
    struct ta_device_place seventh = {6, 7, 7};
    assert_fails(TA_CONFIG, "7 replicas on this machine, but its 3 GPUs take 6 with device.replicas_per_gpu: 2: raise it "
                 "to 3", ta_device_number(&two, &seventh, 3, false, &number));
    struct ta_device_place second = {1, 2, 2};
    struct ta_device_section one = {.replicas_per_gpu = 1};
    assert_fails(TA_CONFIG, "its 1 GPU takes 1", ta_device_number(&one, &second, 1, false, &number));
}

/* A task that is shown one GPU of its own takes that one, whatever its local rank. */
static void a_batch_system_binds(void **state) {
    (void)state;
    struct ta_device_section one = {.replicas_per_gpu = 1};
    for (unsigned r = 0; r < 8; r++) assert_int_equal(number_of(one, (struct ta_device_place){r, 8, 1}, 1, true), 0);
    unsigned number;
    struct ta_device_place pair = {3, 8, 2};
    assert_fails(TA_CONFIG, "2 replicas", ta_device_number(&one, &pair, 1, true, &number));
    /* Shown nothing of its own, all share what there is. */
    struct ta_device_place last = {7, 8, 1};
    assert_fails(TA_CONFIG, "8 replicas", ta_device_number(&one, &last, 4, false, &number));
}

static void a_number_is_that_one(void **state) {
    (void)state;
    char text[] = "5";
    struct ta_device_section said = {.number = text};
    for (unsigned r = 0; r < 4; r++)
        assert_int_equal(number_of(said, (struct ta_device_place){r, 4, 4}, 2, false), 5);
}

static void what_does_not_go_together(void **state) {
    (void)state;
    const struct {
        const char *type, *number, *exchange, *record, *expected;
        uint32_t per_gpu;
        enum ta_compute compute;
    } wrong[] = {
        {.type = "gpu", .expected = "use one of: auto, cpu, cuda"},
        {.type = "cuda", .number = "-1", .expected = "device.number: '-1'"},
        {.type = "cuda", .number = "", .expected = "device.number: ''"},
        {.type = "cuda", .number = "1 2", .expected = "device.number: '1 2'"},
        {.type = "cuda", .number = "99999999999999999999", .expected = "device.number"},
        {.type = "cuda", .number = "0", .per_gpu = 2, .expected = "give either"},
        {.type = "cpu", .compute = TA_COMPUTE_BFLOAT16, .expected = "bfloat16 is for GPUs"},
        {.type = "cuda", .exchange = "dasgd", .expected = "exchange.type: dasgd is done by the CPU alone"},
        {.type = "cuda", .record = "there", .expected = "run.record"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ta_run_config run = {.device = {.type = (char *)wrong[i].type,
                                               .number = (char *)wrong[i].number,
                                               .replicas_per_gpu = wrong[i].per_gpu,
                                               .compute = wrong[i].compute},
                                    .exchange = {.spec = {.type = (char *)wrong[i].exchange}},
                                    .run = {.record = (char *)wrong[i].record}};
        assert_fails(TA_CONFIG, wrong[i].expected, ta_device_check(&run));
    }
    struct ta_run_config fine = {.exchange = {.spec = {.type = (char *)"dasgd"}}};
    assert_ok(ta_device_check(&fine)); /* auto: the CPU then */
}

/* Without a plugin, auto computes on the CPU and says why; what only GPUs can do is an error then. */
static void without_gpus(void **state) {
    (void)state;
    struct ta_device device;
    struct ta_run_config run = {.device = {.threads = 1}, .exchange = {.spec = {.type = (char *)"dasgd"}}};
    char text[256];
    assert_ok(ta_device_open(&run, &(struct ta_device_place){0}, &device));
    assert_string_equal(device.kernel_ops->name, "cpu");
    assert_string_equal(device.why, "exchange.type: dasgd needs it");
    ta_device_describe(&device, &run.device, text, sizeof text);
    assert_string_equal(text, "CPU, float32");
    ta_device_close(&device);
    run.device.compute = TA_COMPUTE_TF32;
    assert_fails(TA_CONFIG, "device.compute: tf32 needs a GPU, but the CPU computes (exchange.type: dasgd needs it)",
                 ta_device_open(&run, &(struct ta_device_place){0}, &device));
    assert_null(device.kernels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_are_dealt_evenly), cmocka_unit_test(as_many_a_gpu_as_said),
        cmocka_unit_test(a_batch_system_binds),      cmocka_unit_test(a_number_is_that_one),
        cmocka_unit_test(what_does_not_go_together), cmocka_unit_test(without_gpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
