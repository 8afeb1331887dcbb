/* test_plugin: what comes of asking for a part of the program that is there, broken, of another version, or missing. */
#include "plugin.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "expect.h"

struct test_table {
    ta_status (*refuse)(int number);
};

static void from(const char *folder) { assert_int_equal(0, setenv("TENSAIR_PLUGINS", folder, 1)); }

static void a_part_is_found_and_its_errors_are_ours(void **state) {
    (void)state;
    const void *found = NULL, *again = NULL;
    char path[PATH_MAX + 32];
    from(TEST_PARTS);
    assert_string_equal(ta_plugin_path("whole", path, sizeof path), TEST_PARTS "/tensair-whole.so");
    assert_ok(ta_plugin_table("whole", "test_table", &found));
    const struct test_table *table = found;
    assert_fails(TA_DEVICE, "made in the plugin, number 42", table->refuse(42));
    assert_ok(ta_plugin_table("whole", "test_table", &again));
    assert_ptr_equal(found, again);
}

static void a_part_that_is_not_there_says_where_and_how(void **state) {
    (void)state;
    const void *found = &found;
    char path[PATH_MAX + 32] = "x";
    from("/nowhere");
    assert_string_equal(ta_plugin_path("absent", path, sizeof path), "");
    assert_fails(TA_NOT_BUILT, "tensair-absent.so", ta_plugin_table("absent", "test_table", &found));
    assert_null(found);
    assert_non_null(strstr(ta_why(), "libcudnn9-dev"));
    assert_non_null(strstr(ta_why(), "device.type: cpu"));
    assert_int_equal(2, ta_status_exit_code(TA_NOT_BUILT));
}

static void a_part_of_another_version(void **state) {
    (void)state;
    const void *found = &found;
    from(TEST_PARTS);
    assert_fails(TA_INVALID, "test_table", ta_plugin_table("empty", "test_table", &found));
    assert_null(found);
    assert_fails(TA_INVALID, "ta_gpu_elsewhere", ta_plugin_table("whole", "ta_gpu_elsewhere", &found));
}

static void a_part_whose_library_is_missing_names_it(void **state) {
    (void)state;
    const void *found = &found;
    from(TEST_PARTS);
    assert_fails(TA_DEVICE, "libcudnn-not-here", ta_plugin_table("needy", "test_table", &found));
    assert_non_null(strstr(ta_why(), "apt-get install libcudnn9-cuda-13"));
    assert_null(found);
}

/* A file cut off at any length is never loaded, and never takes the program with it. */
static void a_damaged_part(void **state) {
    (void)state;
    static char bytes[1 << 20];
    const size_t lengths[] = {0, 1, 4, 16, 63, 64, 65, 200, 1000, 4096, 8192};
    char folder[] = "/tmp/tensair-plugin-XXXXXX", path[PATH_MAX];
    const void *found;
    assert_non_null(mkdtemp(folder));
    FILE *whole = fopen(TEST_PARTS "/tensair-whole.so", "rb");
    assert_non_null(whole);
    size_t n = fread(bytes, 1, sizeof bytes, whole);
    fclose(whole);
    assert_in_range(n, 8193, sizeof bytes - 1);
    snprintf(path, sizeof path, "%s/tensair-cut.so", folder);
    from(folder);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        FILE *cut = fopen(path, "wb");
        assert_non_null(cut);
        assert_int_equal(lengths[i], fwrite(bytes, 1, lengths[i], cut));
        fclose(cut);
        assert_fails(TA_DEVICE, "damaged", ta_plugin_table("cut", "test_table", &found));
        assert_non_null(strstr(ta_why(), path));
    }
    unlink(path);
    assert_int_equal(0, mkdir(path, 0700));
    assert_fails(TA_DEVICE, path, ta_plugin_table("cut", "test_table", &found));
    rmdir(path);
    assert_int_equal(0, symlink(path, path));
    assert_fails(TA_NOT_BUILT, "tensair-cut.so", ta_plugin_table("cut", "test_table", &found));
    unlink(path);
    rmdir(folder);
}

static void a_folder_too_long_to_name(void **state) {
    (void)state;
    static char folder[3 * PATH_MAX];
    const void *found;
    memset(folder, 'x', sizeof folder - 1);
    from(folder);
    assert_fails(TA_NOT_BUILT, "tensair-whole.so", ta_plugin_table("whole", "test_table", &found));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_found_and_its_errors_are_ours),
        cmocka_unit_test(a_part_that_is_not_there_says_where_and_how),
        cmocka_unit_test(a_part_of_another_version),
        cmocka_unit_test(a_part_whose_library_is_missing_names_it),
        cmocka_unit_test(a_damaged_part),
        cmocka_unit_test(a_folder_too_long_to_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
