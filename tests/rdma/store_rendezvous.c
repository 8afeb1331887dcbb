/* Rendezvous over the store: replicas meet; other runs, other models and damaged records are told apart; a store that
 * goes is told. */
#include "store_place.h"

#include "rendezvous.h"
#include "rng.h"

static struct ta_rendezvous_config config_of(struct ta_store *store, unsigned rank) {
    return (struct ta_rendezvous_config){.store = store, .rank = rank, .n_ranks = 3, .run_id = 0x77,
                                         .fingerprint = 0xfeed, .model = "words 100"};
}

static struct ta_rendezvous *open_ok(const struct ta_rendezvous_config *config) {
    struct ta_rendezvous *r = NULL;
    assert_ok(ta_rendezvous_open(config, &r));
    return r;
}

static struct ta_key key_of(uint64_t seed) {
    struct ta_key key = {.bytes = (uint32_t)(seed * 97 % (TA_KEY_BYTES + 1))};
    for (uint32_t i = 0; i < key.bytes; i++) key.data[i] = (unsigned char)(seed * 31 + i);
    return key;
}

struct pair {
    struct ta_store_server *server;
    struct ta_store *s0, *s1;
    struct ta_rendezvous *r0, *r1;
};

static struct pair pair_open(struct place *p, const struct ta_rendezvous_config *of_0) {
    struct pair pair = {.server = serve_ok(p)};
    pair.s0 = client_ok(p, "rank 0");
    pair.s1 = client_ok(p, "rank 1");
    struct ta_rendezvous_config c0 = *of_0, c1 = config_of(pair.s1, 1);
    c0.store = pair.s0;
    pair.r0 = open_ok(&c0);
    pair.r1 = open_ok(&c1);
    return pair;
}

static void pair_close(struct pair *pair) {
    ta_rendezvous_close(pair->r0);
    ta_rendezvous_close(pair->r1);
    ta_store_close(pair->s0);
    ta_store_close(pair->s1);
    ta_store_server_close(pair->server);
}

/* What rank 1 is told about rank 0, once it is told anything. */
static ta_status told(struct pair *pair, uint32_t *generation, struct ta_key *key) {
    ta_status status = TA_AGAIN;
    until((status = ta_rendezvous_lookup(pair->r1, 0, generation, key)) != TA_AGAIN, assert_ok(ta_store_poll(pair->s0));
          assert_ok(ta_store_poll(pair->s1)));
    return status;
}

static void replicas_meet(void **state) {
    struct ta_rendezvous_config c0 = config_of(NULL, 0);
    struct pair pair = pair_open(*state, &c0);
    struct ta_key got;
    uint32_t generation = 0;
    assert_int_equal(ta_rendezvous_lookup(pair.r1, 0, &generation, &got), TA_AGAIN);
    for (uint32_t i = 1; i <= 40; i++) {
        struct ta_key sent = key_of(i);
        assert_ok(ta_rendezvous_publish(pair.r0, 1, i, &sent));
        until(ta_rendezvous_lookup(pair.r1, 0, &generation, &got) == TA_OK && generation == i,
              assert_ok(ta_store_poll(pair.s0)); assert_ok(ta_store_poll(pair.s1)));
        assert_int_equal(got.bytes, sent.bytes);
        assert_memory_equal(got.data, sent.data, sizeof got.data);
    }
    assert_fails(TA_INVALID, "no peer 3", ta_rendezvous_lookup(pair.r1, 3, &generation, &got));
    assert_fails(TA_INVALID, "no peer 1", ta_rendezvous_publish(pair.r1, 1, 1, &got));
    got.bytes = TA_KEY_BYTES + 1;
    assert_fails(TA_INVALID, "513", ta_rendezvous_publish(pair.r1, 0, 1, &got));
    ta_rendezvous_close(pair.r0); /* takes back what it published */
    pair.r0 = NULL;
    until(ta_rendezvous_lookup(pair.r1, 0, &generation, &got) == TA_AGAIN, assert_ok(ta_store_poll(pair.s0));
          assert_ok(ta_store_poll(pair.s1)));
    pair_close(&pair);
}

static void other_models_are_named(void **state) {
    struct ta_rendezvous_config c0 = config_of(NULL, 0);
    char longest[300];
    memset(longest, 'm', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    c0.fingerprint = 0xbeef;
    c0.model = longest;
    struct pair pair = pair_open(*state, &c0);
    struct ta_key key = key_of(3);
    uint32_t generation;
    assert_ok(ta_rendezvous_publish(pair.r0, 1, 1, &key));
    longest[127] = '\0'; /* so much counts */
    assert_fails(TA_CONFIG, longest, told(&pair, &generation, &key));
    assert_non_null(strstr(ta_why(), "words 100"));
    assert_non_null(strstr(ta_why(), "000000000000beef"));
    assert_null(strstr(ta_why(), "mmmmmmmmmmmmmm(")); /* cut where it says */
    pair_close(&pair);
}

static void strangers_are_told_apart(void **state) {
    struct ta_rendezvous_config c0 = config_of(NULL, 0);
    struct pair pair = pair_open(*state, &c0);
    struct ta_key key = key_of(3);
    uint32_t generation;
    ta_rendezvous_close(pair.r0);
    c0 = config_of(pair.s0, 0);
    c0.n_ranks = 2;
    pair.r0 = open_ok(&c0);
    assert_ok(ta_rendezvous_publish(pair.r0, 1, 1, &key));
    assert_fails(TA_CONFIG, "one of 2", told(&pair, &generation, &key));
    ta_rendezvous_close(pair.r0);
    c0 = config_of(pair.s0, 0);
    c0.run_id = 0x78;
    pair.r0 = open_ok(&c0);
    assert_ok(ta_rendezvous_publish(pair.r0, 1, 1, &key));
    assert_ok(ta_store_put(pair.s0, "key/1/2", "behind it", 9));
    until(ta_rendezvous_lookup(pair.r1, 2, &generation, &key) == TA_FORMAT, assert_ok(ta_store_poll(pair.s0));
          assert_ok(ta_store_poll(pair.s1)));
    assert_int_equal(ta_rendezvous_lookup(pair.r1, 0, &generation, &key), TA_AGAIN); /* as if not there */
    pair_close(&pair);
}

/* Who knows the secret may still be wrong: a record with any byte changed, cut anywhere, or of another pair. */
static void damage_is_found(void **state) {
    struct ta_rendezvous_config c0 = config_of(NULL, 0);
    struct pair pair = pair_open(*state, &c0);
    struct ta_key key = key_of(5);
    uint32_t generation;
    unsigned char good[1024], bad[1024];
    struct ta_store_value value;
    assert_ok(ta_rendezvous_publish(pair.r0, 1, 1, &key));
    assert_ok(told(&pair, &generation, &key));
    assert_ok(ta_store_get(pair.s1, "key/1/0", &value));
    size_t bytes = value.bytes;
    memcpy(good, value.data, bytes);
    for (size_t i = 0; i < 2 * bytes; i++) {
        size_t n = i < bytes ? bytes : i - bytes;
        memcpy(bad, good, bytes);
        if (i < bytes) bad[i] ^= (unsigned char)(1 + i % 255);
        uint64_t version = version_of(pair.s1, "key/1/0");
        assert_ok(ta_store_put(pair.s0, "key/1/0", bad, n));
        until(version_of(pair.s1, "key/1/0") > version, assert_ok(ta_store_poll(pair.s0));
              assert_ok(ta_store_poll(pair.s1)));
        ta_status status = ta_rendezvous_lookup(pair.r1, 0, &generation, &key);
        assert_int_equal(status, n == 0 ? TA_AGAIN : TA_FORMAT); /* of no bytes: withdrawn */
        assert_int_equal(key.bytes, 0);
    }
    static const size_t long_ones[] = {692, 700, 5000, TA_STORE_VALUE_BYTES};
    static unsigned char large[TA_STORE_VALUE_BYTES];
    memcpy(large, good, bytes);
    for (size_t i = 0; i < sizeof long_ones / sizeof long_ones[0]; i++) {
        assert_ok(ta_store_put(pair.s0, "key/1/0", large, long_ones[i]));
        until(has(pair.s1, "key/1/0", large, long_ones[i]), assert_ok(ta_store_poll(pair.s0));
              assert_ok(ta_store_poll(pair.s1)));
        assert_int_equal(ta_rendezvous_lookup(pair.r1, 0, &generation, &key), TA_FORMAT);
    }
    assert_ok(ta_store_put(pair.s0, "key/1/2", good, bytes)); /* a good one under another's name */
    until(ta_rendezvous_lookup(pair.r1, 2, &generation, &key) == TA_FORMAT, assert_ok(ta_store_poll(pair.s0));
          assert_ok(ta_store_poll(pair.s1)));
    pair_close(&pair);
}

static void a_store_that_goes_is_told(void **state) {
    struct ta_rendezvous_config c0 = config_of(NULL, 0);
    struct pair pair = pair_open(*state, &c0);
    struct ta_key key = key_of(5);
    uint32_t generation;
    assert_ok(ta_rendezvous_publish(pair.r0, 1, 1, &key));
    assert_ok(told(&pair, &generation, &key));
    ta_store_server_close(pair.server);
    pair.server = NULL;
    until(ta_store_poll(pair.s1) == TA_PEER && ta_store_poll(pair.s0) == TA_PEER, (void)0);
    assert_ok(ta_rendezvous_lookup(pair.r1, 0, &generation, &key)); /* what was received counts on */
    assert_fails(TA_PEER, "the store", ta_rendezvous_lookup(pair.r1, 2, &generation, &key));
    assert_fails(TA_PEER, "the store", ta_rendezvous_publish(pair.r0, 1, 2, &key));
    pair_close(&pair);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(replicas_meet),   TEST(other_models_are_named),    TEST(strangers_are_told_apart),
        TEST(damage_is_found), TEST(a_store_that_goes_is_told),
    };
    return cmocka_run_group_tests_name("store_rendezvous", tests, NULL, NULL);
}
