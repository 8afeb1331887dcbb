/* company: bad company. Strangers and garbage in the slots, peers that fall silent or asleep, halves that part, relays
 * that arrive torn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "rowlog.h"
#include "slot.h"
#include "world.h"

static struct world world;

static void open_with(unsigned n_ranks, int64_t latency_ns, struct world_tables tables) {
    struct world_config config = {
        .seed = 11, .n_ranks = n_ranks, .n_params = 64, .tables = tables, .epoch = 3, .heartbeat_s = 10e-6,
        .dead_after_s = 100e-6, .fabric = {.latency_ns = latency_ns},
    };
    world_open(&world, &config);
}

static void open_fast(unsigned n_ranks, int64_t latency_ns) {
    open_with(n_ranks, latency_ns, (struct world_tables){0});
}

static void poll_some(unsigned ranks, int64_t for_ns) {
    for (int64_t until_ns = world.now_ns + for_ns; world.now_ns < until_ns; world.now_ns += 100)
        for (unsigned r = 0; r < world.config.n_ranks; r++)
            if (ranks >> r & 1) assert_int_equal(world_poll(&world, r), TA_OK);
}

static enum ta_peer_life life(unsigned rank, unsigned peer) { return world_stats(&world, rank, peer).life; }

/* Ranks 0 and 1 ask for round 1. */
static void both_settle(ta_status expected) {
    for (unsigned r = 0; r < 2; r++)
        assert_int_equal(ta_exchange_live.settle(world.replica[r].x, 1, world.now_ns), expected);
}

static unsigned char *slot_of(unsigned owner, unsigned writer) {
    struct ta_slot_layout layout;
    world_layout(&world, &layout);
    return (unsigned char *)world.replica[owner].window.base + ta_slot_control(&layout, owner, writer);
}

static float *body_of(unsigned owner, unsigned writer) {
    struct ta_slot_layout layout;
    world_layout(&world, &layout);
    return (float *)((unsigned char *)world.replica[owner].window.base + ta_slot_body(&layout, owner, writer));
}

static uint64_t *relay_of(unsigned owner, unsigned writer) {
    struct ta_slot_layout layout;
    world_layout(&world, &layout);
    return (uint64_t *)(void *)((unsigned char *)body_of(owner, writer) + layout.relay);
}

static void test_header(void **state) {
    (void)state;
    struct ta_slot_ident writer = {3, 8, 77};
    struct ta_slot_said said = {
        .steps = TA_SLOT_MAX_STEPS, .records = UINT64_MAX, .request = 0xffffffff00000002, .sent_ns = 12,
        .entered = 0xfffff0, .done = 0xffffffef, .pulse = 5, .board = 6, .finished = true, .left = true,
    }, back;
    uint64_t words[TA_SLOT_WORDS], again[TA_SLOT_WORDS];
    ta_slot_encode(&writer, &said, words);
    assert_int_equal(ta_slot_decode(&writer, words, &back), TA_SLOT_OURS);
    ta_slot_encode(&writer, &back, again);
    assert_memory_equal(again, words, sizeof words);
    assert_true(back.steps == said.steps && back.entered == said.entered && back.done == said.done);
    assert_true(back.finished && back.left && !back.done_final && back.board == 6 && back.pulse == 5);
    struct ta_slot_ident others[] = {{2, 8, 77}, {3, 9, 77}, {3, 8, 78}};
    for (int i = 0; i < 3; i++) assert_int_equal(ta_slot_decode(&others[i], words, &back), TA_SLOT_FOREIGN);
    words[TA_WORD_ID] ^= UINT64_C(1) << 40;
    assert_int_equal(ta_slot_decode(&writer, words, &back), TA_SLOT_FOREIGN);
    memset(words, 0, sizeof words);
    assert_int_equal(ta_slot_decode(&writer, words, &back), TA_SLOT_EMPTY);
    struct ta_slot_layout layout;
    assert_int_equal(ta_slot_layout_make(1, 100, 0, &layout), TA_OK);
    assert_int_equal(layout.window_bytes, 0);
    assert_int_equal(ta_slot_layout_make(3, SIZE_MAX / 8, 0, &layout), TA_CONFIG);
    assert_int_equal(ta_slot_layout_make(1U << 31, SIZE_MAX >> 20, 0, &layout), TA_CONFIG);
}

/* A pass is there once a header is that was put after it. */
static void test_pass(void **state) {
    (void)state;
    struct ta_slot_claim claim = {.gone = TA_CLAIM_DEAD, .since = 5, .pass = 9};
    assert_int_equal(ta_slot_claim_pass(&claim, 4), 0);
    assert_int_equal(ta_slot_claim_pass(&claim, 5), 9);
    assert_int_equal(ta_slot_claim_pass(&claim, 6), 9);
    claim.since = UINT32_MAX;
    assert_int_equal(ta_slot_claim_pass(&claim, UINT32_MAX - 1), 0);
    assert_int_equal(ta_slot_claim_pass(&claim, 1), 9); /* versions count on past the end */
    claim.since = 0;
    assert_int_equal(ta_slot_claim_pass(&claim, 6), 0);
    struct ta_slot_claim board[3] = {{.gone = TA_CLAIM_LEFT, .since = 7, .state = 8, .checksum = 9, .pass = 10}};
    board[2] = board[0];
    struct ta_slot_claim back = ta_slot_claim_read(board, 2);
    assert_memory_equal(&back, &board[2], sizeof back);
}

/* Slots of a window never overlap and never end beyond it. */
static void test_layout(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 5; n++)
        for (size_t d = 1; d < 70; d += 17) {
            struct ta_slot_layout l;
            uint32_t entries = (uint32_t)d - 1;
            assert_int_equal(ta_slot_layout_make(n, d, entries, &l), TA_OK);
            assert_true(l.log % 64 == 0 && l.log >= TA_SLOT_BOARD + n * sizeof(struct ta_slot_claim));
            assert_true(l.relay % 64 == 0 && l.relay >= d * sizeof(float) && l.relay + 64 <= l.body_bytes);
            assert_true(l.control_bytes % 64 == 0 && l.control_bytes >= l.log + ta_rowlog_bytes(entries));
            for (unsigned owner = 0; owner < n; owner++) {
                size_t control = 0, body = (n - 1) * l.control_bytes;
                for (unsigned writer = 0; writer < n; writer++) {
                    if (writer == owner) continue;
                    assert_int_equal(ta_slot_control(&l, owner, writer), control);
                    assert_int_equal(ta_slot_body(&l, owner, writer), body);
                    assert_true(l.control_bytes >= TA_SLOT_BOARD + n * sizeof(struct ta_slot_claim));
                    assert_true(l.body_bytes >= d * sizeof(float) && l.body_bytes % 64 == 0);
                    control += l.control_bytes;
                    body += l.body_bytes;
                }
                assert_int_equal(body, l.window_bytes);
            }
        }
}

static void test_strangers(void **state) {
    (void)state;
    open_fast(2, 100);
    struct ta_slot_said said = {.steps = 50, .pulse = 1, .finished = true, .left = true};
    struct ta_slot_ident strangers[] = {{1, 2, 2}, {0, 2, 3}, {1, 3, 3}};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t words[TA_SLOT_WORDS];
        said.steps++;
        ta_slot_encode(&strangers[i], &said, words);
        memcpy(slot_of(0, 1), words, sizeof words);
        poll_some(3, 300);
        assert_int_equal(world_stats(&world, 0, 1).foreign, i + 1);
        assert_int_equal(life(0, 1), TA_PEER_JOINING);
        assert_int_equal(world_stats(&world, 0, 1).steps_applied, 0);
    }
    world_connect_all(&world); /* the right one overwrites it */
    poll_some(3, 3000);
    assert_int_equal(life(0, 1), TA_PEER_LIVE);
    assert_int_equal(world_stats(&world, 0, 1).steps_applied, 0);
    world_close(&world);
}

/* Whatever words appear in whatever slot: no crash, only OK or PEER. Every third time with tables, and the row logs
 * written over, too. */
static void test_garbage(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 2);
    for (unsigned life_of = 0; life_of < 300; life_of++) {
        open_with(3, 100, life_of % 3 == 0 ? (struct world_tables){
            .rows = 40, .tables = 1, .names = true, .after = 1, .within_s = 1e-6, .limits = {.log_entries = 20},
        } : (struct world_tables){0});
        world_connect_all(&world);
        struct ta_slot_layout layout;
        world_layout(&world, &layout);
        unsigned words = life_of % 3 == 0 ? (unsigned)(layout.control_bytes / 8) : 33;
        for (int i = 0; i < 60; i++) {
            unsigned owner = ta_rng_below(&rng, 3), writer = (owner + 1 + ta_rng_below(&rng, 2)) % 3;
            uint64_t word = (uint64_t)ta_rng_u32(&rng) << 32 | ta_rng_u32(&rng);
            if (ta_rng_below(&rng, 3) == 0) word = ta_rng_below(&rng, 5);
            size_t where = ta_rng_below(&rng, 3) ? ta_rng_below(&rng, words) : 2 + ta_rng_below(&rng, 6);
            memcpy(slot_of(owner, writer) + 8 * where, &word, sizeof word);
            for (unsigned r = 0; r < 3; r++) {
                if (world.replica[r].steps < WORLD_MAX_STEPS && life_of % 2) world_step(&world, r);
                ta_status status = world_poll(&world, r);
                assert_true(status == TA_OK || status == TA_PEER);
                if (life_of % 2) continue;
                status = ta_exchange_live.settle(world.replica[r].x, 1, world.now_ns);
                assert_true(status == TA_OK || status == TA_PEER || status == TA_AGAIN);
            }
            world.now_ns += 200;
        }
        world_close(&world);
    }
}

static void test_silence(void **state) {
    (void)state;
    open_fast(3, 100);
    world_connect_all(&world);
    poll_some(7, 5000);
    poll_some(3, 90000); /* rank 2 is silent, not yet for too long */
    assert_int_equal(life(0, 2), TA_PEER_LIVE);
    poll_some(3, 30000);
    assert_int_equal(life(0, 2), TA_PEER_DEAD);
    assert_int_equal(life(1, 2), TA_PEER_DEAD);
    assert_int_equal(life(0, 1), TA_PEER_LIVE);
    assert_int_equal(world_poll(&world, 2), TA_PEER); /* it wakes, and reads that it is given up */
    assert_non_null(strstr(ta_why(), "exchange.dead_after"));
    assert_int_equal(ta_exchange_live.settle(world.replica[2].x, 1, world.now_ns), TA_PEER);
    world_close(&world);
}

/* A long pause of everybody (a stopped machine, a long step) is nobody's silence. */
static void test_pause(void **state) {
    (void)state;
    open_fast(2, 100);
    world_connect_all(&world);
    poll_some(3, 5000);
    for (int i = 0; i < 10; i++) {
        world.now_ns += 10000000;
        assert_int_equal(world_poll(&world, 0), TA_OK);
        world.now_ns += 300;
        poll_some(3, 2000);
    }
    assert_int_equal(life(0, 1), TA_PEER_LIVE);
    assert_int_equal(life(1, 0), TA_PEER_LIVE);
    world_close(&world);
}

/* Who has not said a word yet may still be reading its data: ten times the patience. */
static void test_slow_start(void **state) {
    (void)state;
    open_fast(2, 100);
    world_connect(&world, 0, 1);
    poll_some(1, 900000);
    assert_int_equal(life(0, 1), TA_PEER_JOINING);
    poll_some(1, 200000);
    assert_int_equal(life(0, 1), TA_PEER_DEAD);
    world_close(&world);
}

static void test_split(void **state) {
    (void)state;
    open_fast(2, 100);
    world_connect_all(&world);
    poll_some(3, 5000);
    ta_sim_cut(world.fabric, 0, 1, 1);
    ta_sim_cut(world.fabric, 1, 0, 1);
    poll_some(3, 150000);
    assert_int_equal(life(0, 1), TA_PEER_DEAD);
    assert_int_equal(life(1, 0), TA_PEER_DEAD);
    assert_int_equal(ta_exchange_live.settle(world.replica[0].x, 1, world.now_ns), TA_OK); /* alone */
    ta_sim_cut(world.fabric, 0, 1, 0);
    ta_sim_cut(world.fabric, 1, 0, 0);
    ta_status status = TA_OK;
    for (int i = 0; i < 100 && status == TA_OK; i++, world.now_ns += 100) {
        assert_int_equal(world_poll(&world, 0), TA_OK);
        status = world_poll(&world, 1);
    }
    assert_int_equal(status, TA_PEER); /* the higher rank gives way */
    poll_some(1, 10000);
    world_close(&world);
}

/* Lost before it ever joined: the others settle without it. */
static void test_never_came(void **state) {
    (void)state;
    open_fast(3, 100);
    world_connect(&world, 0, 1);
    world_connect(&world, 1, 0);
    poll_some(3, 5000);
    both_settle(TA_AGAIN);
    poll_some(3, 5000);
    assert_int_equal(ta_exchange_live.settle(world.replica[0].x, 1, world.now_ns), TA_AGAIN); /* it may still come */
    ta_exchange_live.peer_lost(world.replica[0].x, 2, world.now_ns);
    poll_some(3, 5000);
    both_settle(TA_OK);
    assert_int_equal(life(1, 2), TA_PEER_DEAD);
    world_close(&world);
}

/* Rank 2's last step reaches rank 0 only. While rank 0's relay lies in rank 1's inbox, unread, the dead one's memory is
 * written once more (it was only asleep): rank 1 must not take it, and rank 0 must send it again. */
static void test_torn_relay(void **state) {
    (void)state;
    open_fast(3, 100);
    world_connect_all(&world);
    poll_some(7, 5000);
    ta_sim_cut(world.fabric, 2, 1, 1);
    world_step(&world, 2);
    poll_some(7, 3000);
    assert_int_equal(world_stats(&world, 0, 2).steps_applied, 1);
    assert_int_equal(world_stats(&world, 1, 2).steps_applied, 0);
    world_kill(&world, 2, 100);
    uint64_t ticket = 0;
    for (int i = 0; ticket == 0; i++, world.now_ns += 50) {
        assert_in_range(i, 0, 2000);
        assert_int_equal(world_poll(&world, 0), TA_OK);
        struct ta_live *asleep = ta_live_of(world.replica[1].x);
        bool open = asleep->members.board[2].since != 0; /* its inbox, for the relay: it tells, and hears no more */
        if (!open) assert_int_equal(world_poll(&world, 1), TA_OK);
        assert_int_equal(asleep->transport_ops->progress(asleep->transport, world.now_ns), TA_OK);
        ta_outboxes_flush(asleep, world.now_ns);
        memcpy(&ticket, relay_of(1, 2) + 7, sizeof ticket);
    }
    body_of(1, 2)[5] = 123456;
    assert_int_equal(world_poll(&world, 1), TA_OK);
    float copy[64];
    assert_int_equal(ta_exchange_live.register_copy(world.replica[1].x, 2, copy), TA_OK);
    assert_true(copy[5] != 123456);
    assert_int_equal(world_stats(&world, 1, 2).steps_applied, 0);
    poll_some(3, 60000);
    both_settle(TA_AGAIN);
    poll_some(3, 5000);
    for (unsigned r = 0; r < 2; r++) {
        assert_int_equal(ta_exchange_live.settle(world.replica[r].x, 1, world.now_ns), TA_OK);
        assert_int_equal(world_stats(&world, r, 2).steps_applied, 1);
        const char *wrong = world_check(&world, r, 7);
        if (wrong != NULL) fail_msg("%s", wrong);
    }
    body_of(1, 2)[5] = 123456; /* the sleeper, ever so late */
    assert_int_equal(ta_exchange_live.register_copy(world.replica[1].x, 2, copy), TA_OK);
    assert_true(copy[5] != 123456);
    world_close(&world);
}

/* A peer that shows a pass for nothing gets no relay, and does no harm; when it shows the right one, it does. */
static void test_wrong_pass(void **state) {
    (void)state;
    open_fast(3, 100);
    world_connect_all(&world);
    poll_some(7, 5000);
    ta_sim_cut(world.fabric, 2, 1, 1);
    world_step(&world, 2);
    poll_some(7, 3000);
    world_kill(&world, 2, 100);
    struct ta_slot_claim wrong = {.gone = TA_CLAIM_DEAD, .since = 1, .checksum = 7, .pass = 77};
    struct ta_slot_ident writer = {1, 3, 3};
    struct ta_slot_said said = {.pulse = 1000, .board = 2};
    uint64_t words[TA_SLOT_WORDS];
    ta_slot_encode(&writer, &said, words);
    memcpy(slot_of(0, 1) + TA_SLOT_BOARD + 2 * sizeof wrong, &wrong, sizeof wrong);
    memcpy(slot_of(0, 1), words, sizeof words);
    poll_some(1, 50000);
    assert_in_range(ta_sim_refused(world.fabric), 1, 4); /* a try every two heartbeats */
    uint64_t refused = ta_sim_refused(world.fabric);
    poll_some(3, 60000);
    both_settle(TA_AGAIN);
    poll_some(3, 5000);
    both_settle(TA_OK);
    assert_int_equal(world_stats(&world, 1, 2).steps_applied, 1);
    assert_in_range(ta_sim_refused(world.fabric), refused, refused + 1);
    world_close(&world);
}

/* No memory to put aside what a dead one left: its inbox is used as it is, and all still agree. */
static void test_no_room_for_the_dead(void **state) {
    (void)state;
    open_fast(3, 100);
    world_connect_all(&world);
    for (int i = 0; i < 5; i++) world_step(&world, 2);
    poll_some(7, 5000);
    world_kill(&world, 2, 100);
    while (life(0, 2) != TA_PEER_DEAD) {
        ta_mem_fail_nth(1);
        assert_int_equal(world_poll(&world, 0), TA_OK);
        ta_mem_fail_nth(0);
        assert_int_equal(world_poll(&world, 1), TA_OK);
        world.now_ns += 100;
    }
    for (unsigned r = 0; r < 2; r++) (void)ta_exchange_live.settle(world.replica[r].x, 1, world.now_ns);
    poll_some(3, 60000);
    for (unsigned r = 0; r < 2; r++) {
        assert_int_equal(ta_exchange_live.settle(world.replica[r].x, 1, world.now_ns), TA_OK);
        const char *wrong = world_check(&world, r, 7);
        if (wrong != NULL) fail_msg("%s", wrong);
    }
    size_t less = ta_exchange_live.bytes(world.replica[0].x), more = ta_exchange_live.bytes(world.replica[1].x);
    assert_int_equal(more - less, world.config.n_params * sizeof(float)); /* rank 1 had the memory */
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),     cmocka_unit_test(test_layout), cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_garbage),    cmocka_unit_test(test_silence), cmocka_unit_test(test_pause),
        cmocka_unit_test(test_slow_start), cmocka_unit_test(test_split),  cmocka_unit_test(test_never_came),
        cmocka_unit_test(test_torn_relay), cmocka_unit_test(test_no_room_for_the_dead), cmocka_unit_test(test_pass),
        cmocka_unit_test(test_wrong_pass),
    };
    return cmocka_run_group_tests_name("exchange: company", tests, NULL, NULL);
}
