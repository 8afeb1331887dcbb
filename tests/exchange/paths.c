/* paths: they break and come back, or do not; peers fall silent; who may write where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "slot.h"
#include "world.h"

static struct world world;

static void open_with(struct world_config config) {
    if (config.seed == 0) config.seed = 21;
    config.epoch = 3;
    if (config.n_params == 0) config.n_params = 64;
    if (config.fabric.latency_ns == 0) config.fabric.latency_ns = 100;
    world_open(&world, &config);
    world_connect_all(&world);
    world_run(&world, world.now_ns + 5000, 50);
}

static void open_fast(unsigned n_ranks) {
    open_with((struct world_config){.n_ranks = n_ranks, .heartbeat_s = 10e-6, .dead_after_s = 100e-6});
}

static enum ta_peer_life life(unsigned rank, unsigned peer) { return world_stats(&world, rank, peer).life; }
static struct ta_exchange *x_of(unsigned rank) { return world.replica[rank].x; }

/* Those in `ranks` poll for a while; the others neither poll nor are asked what they think. */
static void poll_some(unsigned ranks, int64_t for_ns, int64_t tick_ns) {
    for (int64_t until_ns = world.now_ns + for_ns; world.now_ns < until_ns; world.now_ns += tick_ns)
        for (unsigned r = 0; r < world.config.n_ranks; r++)
            if (ranks >> r & 1) assert_int_equal(world_poll(&world, r), TA_OK);
}

static void check_all(unsigned ranks) {
    for (unsigned r = 0; r < world.config.n_ranks; r++) {
        const char *wrong = ranks >> r & 1 ? world_check(&world, r, ranks) : NULL;
        if (wrong != NULL) fail_msg("%s", wrong);
    }
}

/* Polls until both sides know that their path broke: at the latest a heartbeat finds out. */
static void until_known(unsigned a, unsigned b) {
    for (int i = 0; !world_stats(&world, a, b).broken || !world_stats(&world, b, a).broken; i++) {
        assert_in_range(i, 0, 1000);
        world_run(&world, world.now_ns + 100, 50);
    }
}

/* Ten times: steps on both sides, with something in flight, the path breaks; steps go on; a new path; rest. */
static void flap(struct world_tables tables) {
    open_with((struct world_config){
        .n_ranks = 3, .tables = tables, .heartbeat_s = 10e-6, .dead_after_s = 100e-6, .in_flight = 2,
        .fabric = {.latency_ns = 1000, .depth = 2},
    });
    for (unsigned i = 1; i <= 10; i++) {
        for (unsigned r = 0; r < 3; r++) world_step(&world, r);
        world_run(&world, world.now_ns + 50 * i, 50);
        world_break(&world, 0, 1);
        for (unsigned r = 0; r < 3; r++) world_step(&world, r);
        until_known(0, 1);
        assert_int_equal(life(0, 1), TA_PEER_LIVE);
        assert_int_equal(world_stats(&world, 0, 1).breaks, i);
        uint64_t puts = world_stats(&world, 0, 1).puts;
        for (unsigned r = 0; r < 3; r++) world_step(&world, r);
        for (unsigned r = 0; r < 3; r++) (void)ta_exchange_live.settle(x_of(r), i, world.now_ns);
        world_run(&world, world.now_ns + 20000, 50);
        assert_int_equal(world_stats(&world, 0, 1).puts, puts);
        assert_int_equal(ta_exchange_live.settle(x_of(0), i, world.now_ns), TA_AGAIN); /* nobody is given up yet */
        world_restore(&world, 0, 1);
        assert_false(world_stats(&world, 0, 1).broken);
        assert_true(world_settle(&world, 7, i));
        check_all(7);
        assert_true(world_resume(&world, 7, i));
        for (unsigned r = 0; r < 3; r++) assert_int_equal(world_stats(&world, r, (r + 1) % 3).steps_acked, 3 * i);
    }
    assert_int_equal(ta_sim_refused(world.fabric), 0);
    world_close(&world);
}

static void test_flap(void **state) {
    (void)state;
    flap((struct world_tables){0});
}

static void test_flap_with_tables(void **state) {
    (void)state;
    flap((struct world_tables){.rows = 50, .tables = 2, .names = true, .after = 3, .within_s = 5e-6});
    flap((struct world_tables){.rows = 90, .tables = 1, .alone = true, .after = 1, .within_s = 5e-6,
                               .limits = {.log_entries = 7, .put_rows = 5}});
}

/* A path that does not come back: both sides are dead to each other, no later than a silence allows. When it does
 * come back in the end, the higher rank gives way. */
static void test_halves(void **state) {
    (void)state;
    open_fast(2);
    world_break(&world, 0, 1);
    poll_some(3, 85000, 100);
    assert_int_equal(life(0, 1), TA_PEER_LIVE);
    poll_some(3, 40000, 100);
    assert_int_equal(life(0, 1), TA_PEER_DEAD);
    assert_int_equal(life(1, 0), TA_PEER_DEAD);
    assert_true(world_stats(&world, 1, 0).broken);
    for (unsigned r = 0; r < 2; r++)
        assert_int_equal(ta_exchange_live.settle(x_of(r), 1, world.now_ns), TA_OK); /* each alone */
    world_restore(&world, 0, 1);
    ta_status status = TA_OK;
    for (int i = 0; i < 100 && status == TA_OK; i++, world.now_ns += 100) {
        assert_int_equal(world_poll(&world, 0), TA_OK);
        status = world_poll(&world, 1);
    }
    assert_int_equal(status, TA_PEER);
    poll_some(1, 10000, 100);
    world_close(&world);
}

/* Two of three lose each other for good: the third, which both reach, takes a side, and two go on. */
static void test_third(void **state) {
    (void)state;
    open_fast(3);
    for (unsigned r = 0; r < 3; r++) world_step(&world, r);
    poll_some(7, 5000, 100);
    world_break(&world, 0, 1);
    unsigned out = 0;
    for (int64_t until_ns = world.now_ns + 200000; world.now_ns < until_ns; world.now_ns += 100)
        for (unsigned r = 0; r < 3; r++)
            if (!(out >> r & 1) && world_poll(&world, r) == TA_PEER) out |= 1U << r;
    assert_true(out == 1 || out == 2);
    unsigned stay = 7 & ~out;
    for (unsigned r = 0; r < 3; r++) world.replica[r].killed = out >> r & 1; /* it is not asked any more */
    assert_true(world_settle(&world, stay, 1));
    check_all(stay);
    world_close(&world);
}

/* Who leaves while its path is broken is heard when it is back. */
static void test_leave(void **state) {
    (void)state;
    open_fast(2);
    assert_true(world_settle(&world, 3, TA_ROUND_FINAL));
    assert_true(world_resume(&world, 3, TA_ROUND_FINAL));
    world_break(&world, 0, 1);
    ta_exchange_live.leave(x_of(1), world.now_ns);
    poll_some(3, 30000, 100);
    assert_int_equal(life(0, 1), TA_PEER_LIVE);
    world_restore(&world, 0, 1);
    poll_some(3, 5000, 100);
    assert_int_equal(life(0, 1), TA_PEER_LEFT);
    world_close(&world);
}

/* What a dead rank left is relayed over a path that breaks under the relay. So often did it. */
static uint64_t relay_under_breaks(uint64_t seed) {
    open_with((struct world_config){.seed = seed, .n_ranks = 3, .heartbeat_s = 10e-6, .dead_after_s = 100e-6});
    for (int i = 0; i < 5; i++) {
        ta_sim_cut(world.fabric, 2, 1, i > 0);
        world_step(&world, 2);
        world_run(&world, world.now_ns + 2000, 50);
    }
    world_kill(&world, 2, 100);
    const struct ta_live *holder = ta_live_of(x_of(0));
    while (world_stats(&world, 1, 2).steps_applied < 5) {
        world_run(&world, world.now_ns + 100, 50);
        assert_true(world.now_ns < 500000);
        if (holder->outboxes.outbox[1].relay_rank != 2 || world_stats(&world, 0, 1).breaks == 5) continue;
        world_break(&world, 0, 1);
        until_known(0, 1);
        world_restore(&world, 0, 1);
    }
    uint64_t breaks = world_stats(&world, 0, 1).breaks;
    assert_true(world_settle(&world, 3, 1));
    check_all(3);
    assert_int_equal(ta_sim_refused(world.fabric), 0);
    world_close(&world);
    return breaks;
}

static void test_relay(void **state) {
    (void)state;
    uint64_t breaks = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) breaks += relay_under_breaks(seed);
    assert_true(breaks >= 20);
}

/* When the last of `ranks` holds `peer` for dead, ns after `from_ns`. */
static int64_t buried_after(unsigned ranks, unsigned peer, int64_t from_ns, int64_t tick_ns) {
    for (unsigned alive = 1; alive != 0;) {
        alive = 0;
        poll_some(ranks, tick_ns, tick_ns);
        for (unsigned r = 0; r < world.config.n_ranks; r++)
            alive += (ranks >> r & 1) && life(r, peer) != TA_PEER_DEAD;
        assert_true(world.now_ns - from_ns < INT64_C(60000000000));
    }
    return world.now_ns - from_ns;
}

/* As long as nothing is configured: three seconds after the last word of a peer all others have dropped it; not much
 * sooner; however often they poll, down to four times a second. */
static void test_punctual(void **state) {
    (void)state;
    static const int64_t ticks_ns[] = {1000000, 7000000, 100000000, 250000000};
    for (unsigned i = 0; i < 4; i++) {
        open_with((struct world_config){.n_ranks = 4, .fabric = {.latency_ns = 100000}});
        poll_some(15, 2 * ticks_ns[i] + 2000000000, ticks_ns[i]);
        int64_t from_ns = world.now_ns; /* rank 3 hangs; its last word is at most this old */
        assert_in_range(buried_after(7, 3, from_ns, ticks_ns[i]), 2000000000, 3000000000);
        for (unsigned r = 0; r < 3; r++)
            for (unsigned p = 0; p < 3; p++) assert_true(p == r || life(r, p) == TA_PEER_LIVE);
        from_ns = world.now_ns;
        world_break(&world, 0, 1); /* and two that lose each other are parted as punctually */
        for (unsigned r = 0; r < 2; r++)
            while (life(r, 1 - r) != TA_PEER_DEAD && !ta_live_of(x_of(r))->members.accused) {
                world.now_ns += ticks_ns[i];
                for (unsigned p = 0; p < 3; p++) (void)world_poll(&world, p);
                assert_true(world.now_ns - from_ns <= 3000000000);
            }
        world_close(&world);
    }
}

/* A peer may write its slot, control and body, and not a byte beside them; nobody else's. */
static void test_grants(void **state) {
    (void)state;
    open_fast(3);
    struct ta_slot_layout layout;
    world_layout(&world, &layout);
    static uint64_t word;
    size_t control = ta_slot_control(&layout, 0, 1), body = ta_slot_body(&layout, 0, 1);
    const struct {
        size_t offset, bytes;
        ta_status status;
    } puts[] = {
        {control, 8, TA_OK},
        {control + layout.control_bytes - 8, 8, TA_OK},
        {body, 8, TA_OK},
        {body + layout.body_bytes - 8, 8, TA_OK},
        {control + layout.control_bytes, 8, TA_INVALID},
        {control + layout.control_bytes - 4, 8, TA_INVALID},
        {body - 4, 8, TA_INVALID},
        {body + layout.body_bytes, 8, TA_INVALID},
        {ta_slot_body(&layout, 0, 2), 8, TA_INVALID},
        {ta_slot_control(&layout, 0, 2), 8, TA_INVALID},
        {layout.window_bytes, 8, TA_INVALID},
    };
    for (size_t i = 0; i < sizeof puts / sizeof puts[0]; i++) {
        struct ta_put_segment segment = {.source = &word, .bytes = puts[i].bytes, .target_offset = puts[i].offset};
        assert_int_equal(ta_transport_sim.put(world.replica[1].transport, 0, &segment, 1), puts[i].status);
        while (ta_transport_sim.in_flight(world.replica[1].transport, 0) > 0) {
            world.now_ns += 10;
            assert_int_equal(ta_transport_sim.progress(world.replica[1].transport, world.now_ns), TA_OK);
        }
    }
    assert_int_equal(ta_sim_refused(world.fabric), 7);
    world_close(&world);
}

static void test_contract(void **state) {
    (void)state;
    struct world_config config = {.n_ranks = 2, .n_params = 8, .epoch = 1, .heartbeat_s = 10e-6, .dead_after_s = 1e-4,
                                  .fabric = {.latency_ns = 100}};
    world_open(&world, &config);
    for (unsigned peer = 0; peer < 4; peer++) ta_exchange_live.peer_broken(x_of(0), peer, world.now_ns);
    assert_false(world_stats(&world, 0, 1).broken); /* it was never joined */
    world_connect_all(&world);
    poll_some(3, 3000, 100);
    ta_exchange_live.peer_broken(x_of(0), 1, world.now_ns);
    ta_exchange_live.peer_broken(x_of(0), 1, world.now_ns);
    assert_int_equal(world_stats(&world, 0, 1).breaks, 1);
    world_restore(&world, 0, 1);
    for (unsigned r = 0; r < 2; r++) { /* joined again without a word of a break: as good as one */
        world_step(&world, r);
        ta_exchange_live.peer_joined(x_of(r), 1 - r, world.now_ns);
    }
    assert_true(world_settle(&world, 3, 1));
    check_all(3);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flap),     cmocka_unit_test(test_flap_with_tables), cmocka_unit_test(test_halves),
        cmocka_unit_test(test_third),    cmocka_unit_test(test_leave),            cmocka_unit_test(test_relay),
        cmocka_unit_test(test_punctual), cmocka_unit_test(test_grants),           cmocka_unit_test(test_contract),
    };
    return cmocka_run_group_tests_name("exchange: paths", tests, NULL, NULL);
}
