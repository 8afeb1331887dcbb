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
        assert_int_equal(ta_transport_find(built[i], 2, &ops), TA_OK);
        assert_string_equal(ops->name, built[i]);
    }
    assert_int_equal(ta_transport_find("auto", 1, &ops), TA_OK);
    assert_ptr_equal(ops, &ta_transport_self);
    assert_int_equal(ta_transport_find("auto", 2, &ops), TA_OK);
    assert_ptr_equal(ops, &ta_transport_shm);
}

static void absent_makes_name_their_package(void **state) {
    (void)state;
    const struct ta_transport_ops *ops;
    assert_int_equal(ta_transport_find("ofi", 2, &ops), TA_NOT_BUILT);
    assert_non_null(strstr(ta_why(), "libfabric-dev"));
    ta_status verbs = ta_transport_find("verbs", 2, &ops);
    if (verbs != TA_OK) {
        assert_int_equal(verbs, TA_NOT_BUILT);
        assert_non_null(strstr(ta_why(), "libibverbs-dev"));
    }
    assert_int_equal(ta_transport_find("smh", 2, &ops), TA_CONFIG);
    assert_null(ops);
    assert_non_null(strstr(ta_why(), "'smh'"));
    assert_non_null(strstr(ta_why(), "shm"));
    assert_int_equal(ta_transport_find("", 2, &ops), TA_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_their_make),
        cmocka_unit_test(absent_makes_name_their_package),
    };
    return cmocka_run_group_tests_name("transport find", tests, NULL, NULL);
}
