/* The parts of a simulation: fibers, networks, the place where keys are left. */
#include <stdio.h>
#include <unistd.h>

#include "expect.h"
#include "fiber.h"
#include "network.h"
#include "sim_meeting.h"

struct walker {
    struct ta_fiber *fiber;
    unsigned steps, limit;
};

static void walk(void *argument) {
    struct walker *w = argument;
    for (w->steps = 1; w->steps < w->limit; w->steps++) ta_fiber_yield(w->fiber);
}

/* Each goes on where it stopped, however many there are between. */
static void fibers_take_turns(void **state) {
    enum { N = 50 };
    struct walker walkers[N] = {{0}};
    (void)state;
    for (unsigned i = 0; i < N; i++) {
        walkers[i].limit = i + 1;
        assert_int_equal(ta_fiber_create(walk, &walkers[i], &walkers[i].fiber), TA_OK);
    }
    for (unsigned turn = 1; turn <= N; turn++) {
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(ta_fiber_ended(walkers[i].fiber), turn > i + 1);
            ta_fiber_resume(walkers[i].fiber); /* of one that has ended: nothing */
            assert_int_equal(walkers[i].steps, turn < i + 1 ? turn : i + 1);
        }
    }
    for (unsigned i = 0; i < N; i++) ta_fiber_destroy(walkers[i].fiber);
    ta_fiber_destroy(NULL);
}

static void a_fiber_may_be_left_in_the_middle(void **state) {
    struct walker walker = {.limit = 3};
    (void)state;
    assert_int_equal(ta_fiber_create(walk, &walker, &walker.fiber), TA_OK);
    ta_fiber_resume(walker.fiber);
    assert_false(ta_fiber_ended(walker.fiber));
    ta_fiber_destroy(walker.fiber);
}

static ta_status load(const char *text, struct ta_network *out) {
    char path[] = "/tmp/tensair-network-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    ta_status status = ta_network_load(path, out);
    unlink(path);
    return status;
}

static void networks_are_read(void **state) {
    struct ta_network n;
    (void)state;
    assert_int_equal(ta_network_load("rdma-100g", &n), TA_OK);
    assert_true(n.link.gb_per_s < 12.5 && n.link.gb_per_s > 11); /* a link of 100 Gb/s */
    assert_int_equal(load("name: a\nlatency_us: 2\ngb_per_s: 3\nput_us: .5\nsender_copies: yes\n", &n), TA_OK);
    assert_string_equal(n.name, "a");
    assert_true(n.link.latency_us == 2 && n.link.gb_per_s == 3 && n.put_us == .5 && n.sender_copies);
    assert_true(n.near.latency_us == 2 && n.near.gb_per_s == 3); /* where nothing else is said */
    assert_int_equal(load("latency_us: 2\ngb_per_s: 3\nnear: {latency_us: 1, gb_per_s: 9}\n", &n), TA_OK);
    assert_true(n.near.latency_us == 1 && n.near.gb_per_s == 9);
}

static void bad_networks_are_refused(void **state) {
    static const char *const texts[] = {
        "",
        "latency_us: 2\n",
        "gb_per_s: 3\n",
        "latency_us: -1\ngb_per_s: 3\n",
        "latency_us: 2\ngb_per_s: 0\n",
        "latency_us: 2\ngb_per_s: fast\n",
        "latency_us: 2\ngb_per_s: 3\njitter: -1\n",
        "latency_us: 2\ngb_per_s: 3\nlatency: 1\n",
        "latency_us: 2\ngb_per_s: 3\nnear: {latency_us: 1, gb_per_s: 0}\n",
    };
    struct ta_network n;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(load(texts[i], &n), TA_CONFIG);
        assert_true(ta_why()[0] != '\0');
    }
    assert_int_equal(ta_network_load("/nowhere/network.yaml", &n), TA_IO);
}

static void keys_are_left_and_found(void **state) {
    enum { N = 60 };
    struct ta_sim_meeting *m;
    struct ta_key key = {0}, found;
    uint32_t generation;
    (void)state;
    assert_int_equal(ta_sim_meeting_open(&m), TA_OK);
    for (unsigned s = 0; s < N; s++)
        for (unsigned r = 0; r < N; r++) {
            key.bytes = 1 + (s * N + r) % TA_KEY_BYTES;
            memset(key.data, (int)(s ^ r), key.bytes);
            assert_int_equal(ta_sim_meeting_find(m, s, r, &generation, &found), TA_AGAIN);
            assert_int_equal(ta_sim_meeting_leave(m, s, r, 1 + s, &key), TA_OK);
        }
    for (unsigned s = 0; s < N; s++)
        for (unsigned r = 0; r < N; r++) {
            assert_int_equal(ta_sim_meeting_find(m, s, r, &generation, &found), TA_OK);
            assert_int_equal(generation, 1 + s);
            assert_int_equal(found.bytes, 1 + (s * N + r) % TA_KEY_BYTES);
            assert_int_equal(found.data[found.bytes - 1], s ^ r);
        }
    key.bytes = 3;
    assert_int_equal(ta_sim_meeting_leave(m, 4, 5, 9, &key), TA_OK); /* in place of the one before */
    assert_int_equal(ta_sim_meeting_find(m, 4, 5, &generation, &found), TA_OK);
    assert_true(generation == 9 && found.bytes == 3);
    ta_sim_meeting_withdraw(m, 4, 5);
    assert_int_equal(ta_sim_meeting_find(m, 4, 5, &generation, &found), TA_AGAIN);
    assert_int_equal(ta_sim_meeting_find(m, 5, 4, &generation, &found), TA_OK);
    ta_sim_meeting_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fibers_take_turns),        cmocka_unit_test(a_fiber_may_be_left_in_the_middle),
        cmocka_unit_test(networks_are_read),        cmocka_unit_test(bad_networks_are_refused),
        cmocka_unit_test(keys_are_left_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
