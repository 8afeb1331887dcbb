/* The registry: every name gets the make, the package to install, or the list of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static const struct ta_transport_ops *choose(const struct ta_transport_spec *spec, unsigned n_ranks, unsigned per_node,
                                             char why[1024]) {
    const struct ta_transport_ops *ops;
    ta_status status = ta_transport_choose(spec, n_ranks, per_node, &ops, why, 1024);
    if (status == TA_OK) return ops;
    assert_null(ops);
    snprintf(why, 1024, "%s", ta_why());
    return NULL;
}

static void auto_takes_what_the_machines_ask_for(void **state) {
    (void)state;
    char why[1024], automatic[] = "auto";
    const struct ta_transport_spec given = {.type = automatic};
    for (int i = 0; i < 2; i++) {
        const struct ta_transport_spec *spec = i == 0 ? NULL : &given;
        assert_ptr_equal(choose(spec, 1, 0, why), &ta_transport_self);
        assert_ptr_equal(choose(spec, 1, 1, why), &ta_transport_self);
        assert_ptr_equal(choose(spec, 8, 0, why), &ta_transport_shm);
        assert_ptr_equal(choose(spec, 8, 8, why), &ta_transport_shm);
        assert_ptr_equal(choose(spec, 8, 9, why), &ta_transport_shm);
        assert_non_null(strstr(why, "transport shm: "));
    }
}

/* Between nodes: verbs where it works, else ofi, and then it says why not verbs; neither: both reasons. */
static void auto_between_nodes_is_the_best_that_works(void **state) {
    (void)state;
    char why[1024], said[512], reasons[2][512];
    const char *const names[] = {"verbs", "ofi"};
    const struct ta_transport_ops *made[2];
    bool works[2];
    for (int i = 0; i < 2; i++) {
        works[i] = ta_transport_find(names[i], &made[i]) == TA_OK && made[i]->probe(NULL, said, sizeof said) == TA_OK;
        snprintf(reasons[i], sizeof reasons[i], "%.80s", works[i] ? said : ta_why());
    }
    const struct ta_transport_ops *alone = choose(NULL, 4, 1, why), *together;
    int best = works[0] ? 0 : 1;
    if (works[best]) {
        assert_ptr_equal(alone, made[best]);
        assert_non_null(strstr(why, "transport auto: "));
        assert_non_null(strstr(why, names[best]));
        if (best == 1) assert_non_null(strstr(why, "not verbs: "));
        if (best == 1) assert_non_null(strstr(why, reasons[0]));
        together = choose(NULL, 4, 2, why);
        assert_ptr_equal(together, &ta_transport_mixed);
        assert_non_null(strstr(why, "mixed: shm within a node, between nodes "));
        assert_non_null(strstr(why, names[best]));
    } else {
        assert_null(alone);
        assert_non_null(strstr(why, "not verbs: "));
        assert_non_null(strstr(why, "not ofi: "));
        assert_non_null(strstr(why, reasons[0]));
        assert_null(choose(NULL, 4, 2, why));
    }
}

/* What is asked for by name is that or an error: whatever else would work. */
static void a_name_is_never_replaced(void **state) {
    (void)state;
    static char names[][8] = {"self", "shm", "sim", "mixed", "verbs", "ofi", "smh", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (unsigned n_ranks = 1; n_ranks <= 4; n_ranks++)
            for (unsigned per_node = 0; per_node <= 4; per_node++) {
                char why[1024];
                const struct ta_transport_ops *right, *got;
                const struct ta_transport_spec spec = {.type = names[i]};
                ta_status known = ta_transport_find(names[i], &right);
                got = choose(&spec, n_ranks, per_node, why);
                assert_true(got == NULL || got == right);
                assert_true(known == TA_OK || got == NULL);
                if (i < 3) assert_ptr_equal(got, right); /* these need nothing */
                assert_true(why[0] != '\0');
            }
    char why[1024], ofi[] = "ofi", nonsense[] = "carrier-pigeon";
    const struct ta_transport_spec spec = {.type = ofi, .provider = nonsense};
    assert_null(choose(&spec, 2, 1, why));
    const struct ta_transport_ops *ops;
    if (ta_transport_find("ofi", &ops) == TA_OK) assert_non_null(strstr(why, "carrier-pigeon"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_their_make),
        cmocka_unit_test(absent_makes_name_their_package),
        cmocka_unit_test(auto_takes_what_the_machines_ask_for),
        cmocka_unit_test(auto_between_nodes_is_the_best_that_works),
        cmocka_unit_test(a_name_is_never_replaced),
    };
    return cmocka_run_group_tests_name("transport find", tests, NULL, NULL);
}
