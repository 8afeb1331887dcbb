/* Transport verbs: what its windows are worth against peers that do not play by the rules. Needs an RDMA device. */
#include "clock.h"
#include "expect.h"
#include "verbs_raw.h"

enum { RUN = 99, WINDOW = 16384, HIS = 1024, HIS_BYTES = 512, OURS = 8192, OURS_BYTES = 1024 };

/* An owner (rank 1) with an honest peer (rank 0), and the one made by hand (rank 2). */
struct scene {
    struct ta_transport *owner, *honest;
    struct ta_window window, other;
    struct raw raw;
    uint32_t honest_rkey;
};

static const struct ta_transport_ops *const ops = &ta_transport_verbs;

static void open_rank(unsigned rank, struct ta_transport **t, struct ta_window *window) {
    struct ta_transport_config config = {.rank = rank, .n_ranks = RAW_RANKS, .run_id = RUN};
    assert_ok(ops->open(&config, t));
    assert_ok(ops->window_create(*t, WINDOW, window));
}

static void progress(struct scene *s) {
    ops->progress(s->owner, ta_clock_now_ns());
    if (s->honest != NULL) ops->progress(s->honest, ta_clock_now_ns());
}

static void meet_raw(struct scene *s) {
    struct ta_key theirs, ours;
    raw_open(&s->raw);
    assert_ok(ops->key_make(s->owner, RAW_RANK, &theirs));
    raw_seal(&s->raw, RUN, &ours);
    assert_ok(ops->connect(s->owner, RAW_RANK, &ours));
    raw_connect(&s->raw, RUN, &theirs);
    int64_t until_ns = ta_clock_now_ns() + TA_NS_PER_S / 20; /* the owner's windows are bound by its progress */
    while (ta_clock_now_ns() < until_ns) progress(s);
}

static void part_raw(struct scene *s) {
    ops->disconnect(s->owner, RAW_RANK);
    raw_close(&s->raw);
}

static void scene_open(struct scene *s) {
    struct ta_key a, b;
    struct ta_verbs_key opened;
    open_rank(1, &s->owner, &s->window);
    open_rank(0, &s->honest, &s->other);
    assert_ok(ops->grant(s->owner, RAW_RANK, HIS, HIS_BYTES));
    assert_ok(ops->grant(s->owner, 0, OURS, OURS_BYTES));
    assert_ok(ops->key_make(s->owner, 0, &a));
    assert_ok(ops->key_make(s->honest, 1, &b));
    assert_ok(ops->connect(s->owner, 0, &b));
    assert_ok(ops->connect(s->honest, 1, &a));
    struct ta_key_envelope envelope = {"verbs", RUN, 1, 0};
    assert_ok(ta_key_open(&envelope, &a, &opened, sizeof opened));
    s->honest_rkey = opened.rail[0].rkey[0];
    meet_raw(s);
}

static void scene_close(struct scene *s) {
    part_raw(s);
    ops->close(s->honest);
    ops->close(s->owner);
}

/* The honest peer is served as before. */
static void honest_puts(struct scene *s, unsigned char value) {
    unsigned char source[64];
    memset(source, value, sizeof source);
    assert_ok(ops->source_register(s->honest, source, sizeof source));
    struct ta_put_segment segment = {source, sizeof source, OURS};
    ta_status status;
    while ((status = ops->put(s->honest, 1, &segment, 1)) == TA_BUSY) progress(s);
    assert_int_equal(status, TA_OK);
    while (ops->in_flight(s->honest, 1) > 0) progress(s);
    assert_memory_equal((char *)s->window.base + OURS, source, sizeof source);
}

/* Tries it on a fresh path; the device refuses, and nothing of the window has changed. */
static void refused(struct scene *s, enum ibv_wr_opcode opcode, size_t offset, uint32_t bytes, uint32_t rkey) {
    static unsigned char before[WINDOW];
    memcpy(before, s->window.base, WINDOW);
    memset(s->raw.memory, 0xbd, RAW_BYTES);
    enum ibv_wc_status status = raw_do(&s->raw, opcode, (uintptr_t)s->window.base + offset, bytes, rkey);
    if (status != IBV_WC_REM_ACCESS_ERR && status != IBV_WC_REM_INV_REQ_ERR && status != IBV_WC_REM_OP_ERR)
        fail_msg("opcode %d, %u bytes at %zu with key %#x: %s", opcode, bytes, offset, rkey, ibv_wc_status_str(status));
    assert_memory_equal(before, s->window.base, WINDOW);
    for (size_t i = 0; i < bytes && opcode == IBV_WR_RDMA_READ; i++) assert_int_equal(s->raw.memory[i], 0xbd);
    part_raw(s);
    meet_raw(s);
}

static void a_peer_writes_its_range_and_nothing_else(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s);
    memset(s.raw.memory, 0x5a, RAW_BYTES);
    uint64_t base = (uintptr_t)s.window.base;
    assert_int_equal(raw_do(&s.raw, IBV_WR_RDMA_WRITE, base + HIS, HIS_BYTES, s.raw.theirs.rail[0].rkey[0]), 0);
    assert_memory_equal((char *)s.window.base + HIS, s.raw.memory, HIS_BYTES);
    static const struct {
        size_t offset;
        uint32_t bytes;
    } beyond[] = {{HIS - 1, 1}, {HIS, HIS_BYTES + 1}, {HIS + HIS_BYTES, 4}, {0, 8},
                  {OURS, 64},   {HIS - 4, 8},         {WINDOW, 8}};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++)
        refused(&s, IBV_WR_RDMA_WRITE, beyond[i].offset, beyond[i].bytes, s.raw.theirs.rail[0].rkey[0]);
    honest_puts(&s, 1);
    scene_close(&s);
}

static void keys_of_others_and_guesses_are_refused(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s);
    honest_puts(&s, 2);
    refused(&s, IBV_WR_RDMA_WRITE, OURS, 64, s.honest_rkey); /* another peer's, as it was given */
    refused(&s, IBV_WR_RDMA_WRITE, HIS, 64, s.honest_rkey);
    for (unsigned i = 0; i < 8; i++) {
        const uint32_t guesses[] = {0,
                                    UINT32_MAX,
                                    s.honest_rkey ^ 1,
                                    s.honest_rkey + 256,
                                    s.honest_rkey - 256,
                                    s.raw.theirs.rail[0].rkey[0] ^ 0x80,
                                    s.raw.theirs.rail[0].rkey[0] + 256,
                                    s.raw.theirs.rail[0].rkey[0] + 512};
        refused(&s, IBV_WR_RDMA_WRITE, i % 2 == 0 ? HIS : OURS, 64, guesses[i]);
    }
    honest_puts(&s, 3);
    scene_close(&s);
}

static void nobody_reads_and_nobody_adds(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s);
    refused(&s, IBV_WR_RDMA_READ, HIS, 64, s.raw.theirs.rail[0].rkey[0]);
    refused(&s, IBV_WR_RDMA_READ, OURS, 64, s.honest_rkey);
    refused(&s, IBV_WR_ATOMIC_FETCH_AND_ADD, HIS, 8, s.raw.theirs.rail[0].rkey[0]);
    honest_puts(&s, 4);
    scene_close(&s);
}

static void an_old_key_is_worth_nothing(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s);
    for (int i = 0; i < 3; i++) {
        uint32_t old = s.raw.theirs.rail[0].rkey[0];
        part_raw(&s);
        meet_raw(&s);
        if (s.raw.theirs.rail[0].rkey[0] != old) refused(&s, IBV_WR_RDMA_WRITE, HIS, 64, old);
    }
    honest_puts(&s, 5);
    scene_close(&s);
}

/* A put before the other side is ready would break the path: only the right hello opens it. */
static void only_the_right_hello_is_heard(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s);
    struct hello {
        uint32_t magic, sender, receiver, heard;
        uint64_t run_id, from, to;
    } good = {0x54414821, RAW_RANK, 1, 1, RUN, s.raw.ours.nonce, s.raw.theirs.nonce}, bad[6];
    unsigned char source[64] = {7}, noise[128] = {1};
    struct ta_put_segment segment = {source, sizeof source, 0};
    assert_ok(ops->source_register(s.owner, source, sizeof source));
    for (int i = 0; i < 6; i++) bad[i] = good;
    bad[0].magic++, bad[1].sender = 0, bad[2].receiver = 0, bad[3].run_id++, bad[4].from++, bad[5].to++;
    for (int i = 0; i < 200; i++) { /* more than there are slots */
        raw_say(&s.raw, i % 2 == 0 ? (void *)&bad[i / 2 % 6] : noise, i % 2 == 0 ? sizeof good : 1 + (size_t)i % 88);
        progress(&s);
        assert_int_equal(ops->put(s.owner, RAW_RANK, &segment, 1), TA_BUSY);
    }
    raw_say(&s.raw, &good, sizeof good);
    int64_t limit_ns = ta_clock_now_ns() + 5 * TA_NS_PER_S;
    while (ops->put(s.owner, RAW_RANK, &segment, 1) == TA_BUSY && ta_clock_now_ns() < limit_ns) progress(&s);
    while (ops->in_flight(s.owner, RAW_RANK) > 0 && ta_clock_now_ns() < limit_ns) progress(&s);
    assert_memory_equal(s.raw.memory, source, sizeof source);
    scene_close(&s);
}

static void peers_that_do_not_fit_are_named(void **state) {
    (void)state;
    struct scene s;
    struct ta_key key;
    scene_open(&s);
    ops->disconnect(s.owner, RAW_RANK);
    assert_ok(ops->key_make(s.owner, RAW_RANK, &key));
    const struct ta_verbs_key right = s.raw.ours;
    s.raw.ours.rail[0].gid_type = IBV_GID_TYPE_ROCE_V1;
    raw_seal(&s.raw, RUN, &key);
    assert_fails(TA_PEER, "RoCE v1", ops->connect(s.owner, RAW_RANK, &key));
    assert_non_null(strstr(ta_why(), "RoCE v2"));
    s.raw.ours = right;
    s.raw.ours.rail[0].link = IBV_LINK_LAYER_INFINIBAND;
    raw_seal(&s.raw, RUN, &key);
    assert_fails(TA_PEER, "InfiniBand", ops->connect(s.owner, RAW_RANK, &key));
    assert_non_null(strstr(ta_why(), "Ethernet"));
    s.raw.ours = right;
    s.raw.ours.n_rails = 2;
    raw_seal(&s.raw, RUN, &key);
    assert_fails(TA_PEER, "over 2 rails, this replica over 1", ops->connect(s.owner, RAW_RANK, &key));
    s.raw.ours = right;
    s.raw.ours.rail[0].mtu = 9;
    raw_seal(&s.raw, RUN, &key);
    assert_fails(TA_PEER, "MTU 9", ops->connect(s.owner, RAW_RANK, &key));
    s.raw.ours = right;
    s.raw.ours.window_bytes = UINT64_MAX;
    raw_seal(&s.raw, RUN, &key);
    assert_fails(TA_PEER, "makes no sense", ops->connect(s.owner, RAW_RANK, &key));
    s.raw.ours = right;
    s.raw.ours.grants.n = 3;
    raw_seal(&s.raw, RUN, &key);
    assert_int_equal(ops->connect(s.owner, RAW_RANK, &key), TA_PEER);
    s.raw.ours = right;
    s.raw.ours.rail[0].mtu = IBV_MTU_256; /* the smaller one serves both */
    raw_seal(&s.raw, RUN, &key);
    assert_ok(ops->connect(s.owner, RAW_RANK, &key));
    scene_close(&s);
}

int main(void) {
    char said[512];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_writes_its_range_and_nothing_else),
        cmocka_unit_test(keys_of_others_and_guesses_are_refused),
        cmocka_unit_test(nobody_reads_and_nobody_adds),
        cmocka_unit_test(an_old_key_is_worth_nothing),
        cmocka_unit_test(only_the_right_hello_is_heard),
        cmocka_unit_test(peers_that_do_not_fit_are_named),
    };
    if (ops->probe(NULL, said, sizeof said) != TA_OK) {
        printf("SKIPPED: %s\n", ta_why());
        return 77;
    }
    return cmocka_run_group_tests_name("safety of windows by verbs", tests, NULL, NULL);
}
