/* A connection of the store, message by message: what is out of turn, cut, too long, changed or of a stranger ends it,
 * and nothing of it is kept. */
#include "expect.h"

#include "rng.h"
#include "store_talk.h"

static void strangers_stay_out(void **state) {
    (void)state;
    struct talk t;
    unsigned char other[TA_STORE_SECRET_BYTES] = "guessed";
    assert_ok(talk_open(&t));
    assert_fails(TA_PEER, "does not know the secret", talk_prove(&t, other));
    assert_int_equal(t.conn.stage, TA_STORE_ENDING);
    assert_int_equal(ta_store_outgo_left(&t.conn.out), 0); /* and is told nothing */
    talk_hang_up(&t);
    static const char request[] = "GET / HTTP/1.1\r\nHost: node07\r\nAccept: everything\r\n\r\n";
    assert_fails(TA_FORMAT, "does not speak", ta_store_conn_take(&t.conn, t.house, request, sizeof request));
    talk_hang_up(&t);
    assert_ok(talk_prove(&t, talk_secret));
    assert_fails(TA_PEER, "0000000000000078", talk_say(&t, talk_put_join(&t, 0x78, "rank 5")));
    size_t n = talk_hear(&t); /* who knows the secret learns why */
    t.payload[n] = '\0';
    assert_int_equal(t.payload[0], TA_STORE_REFUSED);
    assert_non_null(strstr((char *)t.payload + 1, "rank 5"));
    assert_non_null(strstr((char *)t.payload + 1, "0000000000000077"));
    talk_hang_up(&t);
    t.house->joined = 2;
    assert_ok(talk_prove(&t, talk_secret));
    assert_fails(TA_PEER, "2 at most", talk_say(&t, talk_put_join(&t, 0x77, "one more")));
    t.house->joined = 0;
    talk_hang_up(&t);
    assert_ok(talk_prove(&t, talk_secret));
    assert_ok(talk_say(&t, talk_put_join(&t, 0, "\033[2Jrank\n"))); /* any run; a name that would draw on a terminal */
    assert_string_equal(t.conn.who, "?[2Jrank?");
    assert_int_equal(t.house->joined, 1);
    talk_hang_up(&t);
    assert_int_equal(t.house->joined, 0);
    talk_close(&t);
}

/* What another version says first is ours in shape: both numbers can be told. */
static void versions_name_each_other(void **state) {
    (void)state;
    struct talk t;
    unsigned char hello[TA_STORE_HELLO_BYTES], prove[TA_STORE_PROVE_BYTES];
    assert_ok(talk_open(&t));
    ta_store_session_hello(&t.client, talk_secret, hello);
    hello[8] = 9;
    t.client.said[8] = 9;
    assert_ok(ta_store_conn_take(&t.conn, t.house, hello, sizeof hello));
    (void)ta_store_session_prove(&t.client, t.conn.out.data, prove);
    assert_fails(TA_CONFIG, "version 9", ta_store_conn_take(&t.conn, t.house, prove, sizeof prove));
    assert_non_null(strstr(ta_why(), "version 1"));
    talk_hang_up(&t);
    hello[0] ^= 1;
    assert_fails(TA_FORMAT, "does not speak", ta_store_conn_take(&t.conn, t.house, hello, sizeof hello));
    talk_close(&t);
}

struct bad {
    const char *what;
    size_t n;
    unsigned char payload[64];
};

static void the_rules_are_kept(void **state) {
    (void)state;
    static const struct bad bads[] = {
        {"a join again", 16, {TA_STORE_JOIN}},
        {"what only the server says", 9, {TA_STORE_WELCOME}},
        {"values", 15, {TA_STORE_VALUES, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'n', 'v'}},
        {"no kind at all", 1, {0}},
        {"an unknown kind", 1, {200}},
        {"a put without its value", 6, {TA_STORE_PUT, 1, 1, 9, 0, 'n'}},
        {"a put without its name", 5, {TA_STORE_PUT, 9, 1, 0, 0}},
        {"half the head of a put", 3, {TA_STORE_PUT, 1, 1}},
        {"a put of no name", 5, {TA_STORE_PUT, 0, 1, 0, 0}},
        {"a put that stands for none", 6, {TA_STORE_PUT, 1, 0, 0, 0, 'n'}},
        {"a name with a blank", 6, {TA_STORE_PUT, 1, 1, 0, 0, ' '}},
        {"a name with a zero", 6, {TA_STORE_PUT, 1, 1, 0, 0, 0}},
        {"a name with a line's end", 6, {TA_STORE_PUT, 1, 1, 0, 0, '\n'}},
        {"a name beyond ASCII", 6, {TA_STORE_PUT, 1, 1, 0, 0, 0xe9}},
        {"a watch that is cut", 4, {TA_STORE_WATCH, 5, 'a', 'b'}},
        {"a watch with a blank", 3, {TA_STORE_WATCH, 1, ' '}},
    };
    struct talk t;
    assert_ok(talk_open(&t));
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        assert_ok(talk_join(&t));
        memcpy(t.payload, bads[i].payload, bads[i].n);
        if (talk_say(&t, bads[i].n) != TA_FORMAT) fail_msg("%s was taken", bads[i].what);
        assert_int_equal(t.conn.stage, TA_STORE_ENDING);
        assert_ok(ta_store_conn_take(&t.conn, t.house, "more", 4)); /* is not even looked at */
        talk_hang_up(&t);
    }
    assert_int_equal(t.house->values.items.n, 0);
    assert_int_equal(t.house->joined, 0);
    assert_ok(talk_join(&t));
    t.payload[0] = TA_STORE_PUT;
    size_t n = 1 + talk_add_put(t.payload + 1, "n", "", 0);
    ta_store_write_u16(t.payload + 3, TA_STORE_VALUE_BYTES + 1);
    assert_int_equal(talk_say(&t, n + TA_STORE_VALUE_BYTES + 1), TA_FORMAT); /* too long, and all there */
    talk_hang_up(&t);
    assert_ok(talk_prove(&t, talk_secret));
    t.payload[0] = TA_STORE_PUT;
    assert_int_equal(talk_say(&t, 1 + talk_add_put(t.payload + 1, "n", "v", 1)), TA_FORMAT); /* before it has joined */
    assert_int_equal(t.house->values.items.n, 0);
    talk_hang_up(&t);
    assert_ok(talk_join(&t));
    static const uint32_t lengths[] = {0, 1, 17, TA_STORE_PAYLOAD_BYTES + 18, 1U << 24, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        unsigned char head[4];
        ta_store_write_u32(head, lengths[i]);
        assert_fails(TA_FORMAT, "between 18 and", ta_store_conn_take(&t.conn, t.house, head, 4));
        talk_hang_up(&t);
        assert_ok(talk_join(&t));
    }
    talk_close(&t);
}

/* A frame with any byte changed, left out, repeated or moved does not open, and a good one behind it neither. */
static void changed_frames_do_not_open(void **state) {
    (void)state;
    struct talk t;
    unsigned char frame[256];
    assert_ok(talk_open(&t));
    for (size_t at = 4;; at++) {
        assert_ok(talk_join(&t));
        t.payload[0] = TA_STORE_PUT;
        size_t n = ta_store_session_seal(&t.client, t.payload, 1 + talk_add_put(t.payload + 1, "n", "value", 5), frame);
        if (at == n) break;
        frame[at] ^= (unsigned char)(1 + at % 255);
        assert_fails(TA_FORMAT, "does not open", ta_store_conn_take(&t.conn, t.house, frame, n));
        assert_int_equal(t.house->values.items.n, 0);
        talk_hang_up(&t);
    }
    t.payload[0] = TA_STORE_PUT;
    size_t first = ta_store_session_seal(&t.client, t.payload, 1 + talk_add_put(t.payload + 1, "n", "value", 5), frame);
    (void)first; /* sealed and never sent: the next one is out of turn */
    assert_fails(TA_FORMAT, "does not open", talk_say(&t, 1 + talk_add_put(t.payload + 1, "n", "value", 5)));
    talk_hang_up(&t);
    assert_ok(talk_join(&t));
    t.payload[0] = TA_STORE_PUT;
    size_t n = ta_store_session_seal(&t.client, t.payload, 1 + talk_add_put(t.payload + 1, "n", "value", 5), frame);
    assert_ok(ta_store_conn_take(&t.conn, t.house, frame, n));
    assert_fails(TA_FORMAT, "does not open", ta_store_conn_take(&t.conn, t.house, frame, n)); /* once more */
    assert_int_equal(t.house->values.items.n, 1);
    talk_hang_up(&t);
    assert_ok(talk_join(&t)); /* to another connection of the same client */
    assert_fails(TA_FORMAT, "does not open", ta_store_conn_take(&t.conn, t.house, frame, n));
    talk_close(&t);
}

/* Everything byte by byte, or in pieces of any size: the same comes of it. */
static void pieces_make_no_difference(void **state) {
    (void)state;
    enum { PUTS = 60 };
    static unsigned char said[PUTS * 2000];
    struct ta_rng rng = ta_rng_make(5, 5);
    for (size_t most = 1; most < 100000; most = most * 3 + 1) {
        struct talk t;
        size_t n = 0, taken = 0;
        uint64_t bytes = 0;
        assert_ok(talk_open(&t));
        assert_ok(talk_join(&t));
        for (unsigned i = 0; i < PUTS; i++) {
            char name[16];
            static unsigned char value[1500];
            size_t value_bytes = ta_rng_below(&rng, sizeof value);
            snprintf(name, sizeof name, "n/%u", i);
            memset(value, (int)i, sizeof value);
            t.payload[0] = TA_STORE_PUT;
            size_t payload_bytes = 1 + talk_add_put(t.payload + 1, name, value, value_bytes);
            n += ta_store_session_seal(&t.client, t.payload, payload_bytes, said + n);
            bytes += strlen(name) + value_bytes;
        }
        while (taken < n) {
            size_t piece = 1 + ta_rng_below(&rng, (uint32_t)most);
            if (piece > n - taken) piece = n - taken;
            assert_ok(ta_store_conn_take(&t.conn, t.house, said + taken, piece));
            taken += piece;
        }
        assert_int_equal(t.house->values.items.n, PUTS);
        assert_int_equal(t.house->values.bytes, bytes);
        assert_null(t.conn.in.part); /* nothing is kept of what was whole */
        talk_close(&t);
    }
}

static ta_status a_whole_life(struct talk *t) {
    static unsigned char value[700];
    bool more = true;
    ta_status status = talk_join(t);
    t->payload[0] = TA_STORE_WATCH;
    memcpy(t->payload + 1, "\2k/\0", 4);
    if (status == TA_OK) status = talk_say(t, 5);
    for (size_t size = 0; size < sizeof value && status == TA_OK; size += 233) { /* each outgrows the one before */
        t->payload[0] = TA_STORE_PUT;
        size_t n = 1 + talk_add_put(t->payload + 1, "k/1", value, size);
        n += talk_add_put(t->payload + n, "other", value, 3);
        n = ta_store_session_seal(&t->client, t->payload, n, t->frame);
        status = ta_store_conn_take(&t->conn, t->house, t->frame, 3);
        if (status == TA_OK) status = ta_store_conn_take(&t->conn, t->house, t->frame + 3, n - 3);
    }
    while (status == TA_OK && more) {
        status = ta_store_conn_fill(&t->conn, t->house, &more);
        if (status == TA_OK && more && talk_hear(t) < 2) status = ta_fail(TA_FAILED, "nothing was heard");
    }
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    ta_status status = TA_NO_MEMORY;
    unsigned n = 0;
    while (status != TA_OK) {
        struct talk t;
        assert_ok(talk_open(&t));
        ta_mem_fail_nth(++n);
        status = a_whole_life(&t);
        ta_mem_fail_nth(0);
        if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
        talk_hang_up(&t);
        assert_int_equal(t.house->joined, 0);
        assert_ok(a_whole_life(&t)); /* the others do not suffer */
        talk_close(&t);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    assert_true(n > 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_stay_out),         cmocka_unit_test(versions_name_each_other),
        cmocka_unit_test(the_rules_are_kept),         cmocka_unit_test(changed_frames_do_not_open),
        cmocka_unit_test(pieces_make_no_difference),  cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("store_conn", tests, NULL, NULL);
}
