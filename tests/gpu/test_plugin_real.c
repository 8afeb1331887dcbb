/* test_plugin_real: the part for real GPUs loads where there is neither driver nor GPU, every symbol resolved, and says
 * what is missing. Where there are GPUs, each can be described. */
#include <dlfcn.h>

#include "expect.h"
#include "plugin.h"

static const struct ta_gpu_ops *ops;

static int find(void **state) {
    (void)state;
    setenv("TENSAIR_PLUGINS", TEST_PLUGINS, 1);
    ta_status status = ta_gpu_find(&ops);
    if (status != TA_OK) print_error("%s\n", ta_why());
    return status == TA_OK ? 0 : -1;
}

static void no_driver_is_said_with_its_cure(void **state) {
    (void)state;
    unsigned n = 99;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (driver != NULL) skip();
    struct ta_gpu *gpu = (struct ta_gpu *)&n;
    struct ta_gpu_info info;
    assert_string_equal(ops->name, "cuda");
    assert_fails(TA_DEVICE, "no NVIDIA driver", ops->count(&n));
    assert_non_null(strstr(ta_why(), "580"));
    assert_non_null(strstr(ta_why(), "device.type: cpu"));
    assert_int_equal(n, 0);
    assert_fails(TA_DEVICE, "no NVIDIA driver", ops->describe(0, &info));
    assert_fails(TA_DEVICE, "no NVIDIA driver", ops->open(0, &gpu));
    assert_null(gpu);
    assert_int_equal(69, ta_status_exit_code(TA_DEVICE));
    ops->close(NULL);
}

static void gpus_that_are_there_are_described(void **state) {
    (void)state;
    unsigned n = 0;
    struct ta_gpu_info info;
    if (ops->count(&n) != TA_OK || n == 0) skip();
    for (unsigned i = 0; i < n; i++) {
        assert_ok(ops->describe(i, &info));
        assert_in_range(info.bytes, 1 << 28, SIZE_MAX - 1);
        assert_in_range(info.driver, 12000, 99990);
        assert_int_equal(strlen(info.pci), strlen("0000:00:00.0"));
        print_message("GPU %u: %s, %s, %zu MiB, ipc %d, dma-buf %d, rdma %d, ordered %d\n", i, info.name, info.pci,
                      info.bytes >> 20, info.ipc, info.dmabuf, info.rdma, info.ordered);
    }
    assert_fails(TA_CONFIG, "there is no GPU", ops->describe(n, &info));
}

/* Everything that the program may ask of it is there. */
static void every_member_is_filled(void **state) {
    (void)state;
    const void *members[sizeof *ops / sizeof(void *)];
    memcpy(members, ops, sizeof members);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) assert_non_null(members[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_driver_is_said_with_its_cure),
        cmocka_unit_test(gpus_that_are_there_are_described),
        cmocka_unit_test(every_member_is_filled),
    };
    return cmocka_run_group_tests(tests, find, NULL);
}
