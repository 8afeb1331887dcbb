/* The registry: every name gets the make, the package to install, or the list of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transport.h"

static void names_find_their_make(void **state) {
    (void)state;
    const struct ta_transport_ops *ops;
    static const char *const built[] = {"self", "shm", "sim"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ta_transport_find(built[i], &ops), TA_OK);
        assert_string_equal(ops->name, built[i]);
    }
    char why[256];
    assert_int_equal(ta_transport_choose(NULL, 1, 0, &ops, why, sizeof why), TA_OK);
    assert_ptr_equal(ops, &ta_transport_self);
    assert_int_equal(ta_transport_choose(NULL, 2, 2, &ops, why, sizeof why), TA_OK);
    assert_ptr_equal(ops, &ta_transport_shm);
    assert_non_null(strstr(why, "transport shm: "));
}

static void absent_makes_name_their_package(void **state) {
    (void)state;
    const struct ta_transport_ops *ops;
    static const char *const optional[][2] = {{"ofi", "libfabric-dev"}, {"verbs", "libibverbs-dev"}};
    for (size_t i = 0; i < 2; i++) {
        ta_status status = ta_transport_find(optional[i][0], &ops);
        if (status == TA_OK) continue;
        assert_int_equal(status, TA_NOT_BUILT);
        assert_non_null(strstr(ta_why(), optional[i][1]));
    }
    assert_int_equal(ta_transport_find("smh", &ops), TA_CONFIG);
    assert_null(ops);
    assert_non_null(strstr(ta_why(), "'smh'"));
    assert_non_null(strstr(ta_why(), "shm"));
    assert_int_equal(ta_transport_find("", &ops), TA_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_their_make),
        cmocka_unit_test(absent_makes_name_their_package),
    };
    return cmocka_run_group_tests_name("transport find", tests, NULL, NULL);
}
