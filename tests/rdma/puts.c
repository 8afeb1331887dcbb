/* Every make of transport, one suite: what a put does to the window, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "suite.h"

enum { MIB = 1 << 20, SEGMENT_BYTES = 1000, GUARD = 64 };

static unsigned char *noise(size_t bytes, uint64_t seed) {
    unsigned char *block;
    assert_int_equal(TA_NEW(&block, bytes + 16, "noise"), TA_OK);
    for (size_t i = 0; i < bytes; i += 16) {
        uint32_t four[4];
        ta_rng_block(seed, 1, i, four);
        memcpy(block + i, four, bytes - i < 16 ? bytes - i : 16);
    }
    return block;
}

static void window_is_born_zeroed(void **state) {
    const struct pair_kind *kind = *state;
    struct pair pair;
    pair_open(&pair, kind, 3 * 4096 + 5);
    unsigned char seen[3 * 4096 + 5];
    pair_read(&pair, 0, sizeof seen, seen);
    for (size_t i = 0; i < sizeof seen; i++) assert_int_equal(seen[i], 0);
    if (pair.owner != NULL) {
        assert_int_equal((uintptr_t)pair.window.base % 4096, 0);
        assert_int_equal(pair.window.bytes, sizeof seen);
        assert_int_equal(pair.window.kind, TA_MEM_HOST);
        struct ta_window again;
        assert_int_equal(pair.ops->window_create(pair.owner, 64, &again), TA_INVALID);
        assert_null(again.base);
    }
    pair_close(&pair);
}

/* One put of `bytes` from a source `skew` bytes off alignment to an offset; nothing beside it may change. */
static void put_one(struct pair *pair, const unsigned char *source, size_t bytes, size_t skew, size_t offset) {
    static unsigned char seen[8 * MIB + 2 * GUARD], before[2 * GUARD];
    pair_read(pair, offset - GUARD, GUARD, before);
    pair_read(pair, offset + bytes, GUARD, before + GUARD);
    struct ta_put_segment segment = {.source = source + skew, .bytes = bytes, .target_offset = offset};
    pair_put(pair, &segment, 1);
    pair_settle(pair);
    pair_read(pair, offset - GUARD, bytes + 2 * GUARD, seen);
    assert_memory_equal(seen, before, GUARD);
    assert_memory_equal(seen + GUARD, source + skew, bytes);
    assert_memory_equal(seen + GUARD + bytes, before + GUARD, GUARD);
}

static void sizes_and_offsets(void **state) {
    static const size_t sizes[] = {1,  2,  3,   4,   5,    7,    8,    9,    12,    15,    16,  24,       63,     64,
                                   65, 68, 127, 128, 1000, 4095, 4096, 4097, 65532, 65536, MIB, MIB + 12, 8 * MIB};
    static const size_t skews[] = {0, 1, 4, 8, 13, 20};
    struct pair pair;
    pair_open(&pair, *state, 8 * MIB + 4096);
    unsigned char *source = noise(8 * MIB + 64, 7);
    pair_lend(&pair, source, 8 * MIB + 64);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < sizeof skews / sizeof skews[0]; j++) {
            if (sizes[i] > MIB && j > 2) continue; /* the long ones cost time: aligned, odd, word-aligned */
            put_one(&pair, source + i, sizes[i], (skews[j] + 16 - i % 16), 128 + skews[(j + i) % 6] % 64);
        }
    ta_mem_free(source);
    pair_close(&pair);
}

static void segments_keep_their_order(void **state) {
    struct pair pair;
    pair_open(&pair, *state, 4096);
    unsigned char source[TA_PUT_MAX_SEGMENTS][SEGMENT_BYTES], seen[SEGMENT_BYTES + 2 * TA_PUT_MAX_SEGMENTS];
    struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS];
    pair_lend(&pair, source, sizeof source);
    for (unsigned i = 0; i < TA_PUT_MAX_SEGMENTS; i++) {
        memset(source[i], (int)i + 1, sizeof source[i]);
        segments[i] = (struct ta_put_segment){.source = source[i], .bytes = SEGMENT_BYTES, .target_offset = 2 * i};
    }
    pair_put(&pair, segments, TA_PUT_MAX_SEGMENTS);
    pair_settle(&pair);
    pair_read(&pair, 0, sizeof seen, seen);
    for (size_t i = 0; i < SEGMENT_BYTES; i++) {
        size_t last = i / 2 < TA_PUT_MAX_SEGMENTS ? i / 2 + 1 : TA_PUT_MAX_SEGMENTS;
        assert_int_equal(seen[i], last);
    }
    pair_close(&pair);
}

static void puts_keep_their_order(void **state) {
    struct pair pair;
    pair_open(&pair, *state, 4096);
    static uint32_t source[500][100];
    uint32_t seen[100];
    pair_lend(&pair, source, sizeof source);
    for (uint32_t v = 0; v < 500; v++) {
        for (unsigned i = 0; i < 100; i++) source[v][i] = v;
        struct ta_put_segment segment = {.source = source[v], .bytes = sizeof source[v], .target_offset = 40};
        pair_put(&pair, &segment, 1);
    }
    pair_settle(&pair);
    pair_read(&pair, 40, sizeof seen, seen);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(seen[i], 499);
    pair_close(&pair);
}

static void an_empty_put_is_a_put(void **state) {
    struct pair pair;
    pair_open(&pair, *state, 4096);
    struct ta_put_segment empty[2] = {{.source = NULL, .bytes = 0, .target_offset = 4096}, {.source = &pair}};
    pair_put(&pair, NULL, 0);
    pair_put(&pair, empty, 2);
    pair_settle(&pair);
    pair_close(&pair);
}

static void beyond_the_window_is_refused(void **state) {
    struct pair pair;
    enum { BYTES = 5000 };
    pair_open(&pair, *state, BYTES);
    unsigned char source[2 * BYTES], seen[BYTES];
    memset(source, 0xee, sizeof source);
    pair_lend(&pair, source, sizeof source);
    const struct ta_put_segment wrong[] = {
        {source, 1, BYTES},    {source, BYTES + 1, 0},       {source, 2, BYTES - 1},    {source, 1, SIZE_MAX},
        {source, SIZE_MAX, 1}, {source, SIZE_MAX, SIZE_MAX}, {source, 8, SIZE_MAX - 7}, {NULL, 1, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        /* The good segment before it must not be put either. */
        struct ta_put_segment both[2] = {{source, 100, 100}, wrong[i]};
        assert_int_equal(pair.ops->put(pair.sender, 1, both, 2), TA_INVALID);
        assert_int_equal(pair.ops->put(pair.sender, 1, &wrong[i], 1), TA_INVALID);
    }
    assert_non_null(strstr(ta_why(), "no source"));
    struct ta_put_segment many[TA_PUT_MAX_SEGMENTS + 1];
    for (unsigned i = 0; i <= TA_PUT_MAX_SEGMENTS; i++) many[i] = (struct ta_put_segment){source, 1, i};
    assert_int_equal(pair.ops->put(pair.sender, 1, many, TA_PUT_MAX_SEGMENTS + 1), TA_INVALID);
    pair_settle(&pair);
    pair_read(&pair, 0, sizeof seen, seen);
    for (size_t i = 0; i < sizeof seen; i++) assert_int_equal(seen[i], 0);

    struct ta_put_segment whole = {source, BYTES, 0};
    pair_put(&pair, &whole, 1);
    pair_settle(&pair);
    pair_read(&pair, 0, sizeof seen, seen);
    assert_memory_equal(seen, source, BYTES);
    pair_close(&pair);
}

/* What the exchange lives by: whoever sees header v sees a body that is at least as new, whenever it looks. */
static void header_never_runs_ahead(void **state) {
    enum { WORDS = 300 };
    struct pair pair;
    pair_open(&pair, *state, 8192);
    uint32_t body[WORDS], seen[WORDS];
    uint64_t header[4][8];
    memset(body, 0, sizeof body);
    pair_lend(&pair, body, sizeof body);
    pair_lend(&pair, header, sizeof header);
    for (uint32_t version = 1; version <= 60; version++) {
        for (unsigned i = 0; i < WORDS; i++) body[i] = version; /* live: earlier puts may still read it */
        uint64_t *mine = header[version % 4];
        while (pair.ops->in_flight(pair.sender, 1) >= 4) pair_settle(&pair);
        for (unsigned i = 0; i < 8; i++) mine[i] = version;
        struct ta_put_segment put[2] = {{body, sizeof body, 64}, {mine, 64, 0}};
        pair_put(&pair, put, 2);
        do {
            uint64_t words[8];
            pair_read(&pair, 56, 8, &words[7]);
            pair_read(&pair, 0, 56, words);
            pair_read(&pair, 64, sizeof seen, seen);
            for (unsigned i = 0; i < 7; i++) assert_true(words[i] >= words[7]);
            for (unsigned i = 0; i < WORDS; i++) assert_true(seen[i] >= words[7]);
            if (pair.fabric == NULL) break;
            pair.now_ns = ta_sim_next_ns(pair.fabric);
            if (pair.now_ns != INT64_MAX) pair.ops->progress(pair.sender, pair.now_ns);
        } while (pair.now_ns != INT64_MAX);
        if (pair.now_ns == INT64_MAX) pair.now_ns = 0;
    }
    pair_settle(&pair);
    pair_read(&pair, 56, 8, &header[0][0]);
    assert_int_equal(header[0][0], 60);
    pair_close(&pair);
}

/* The same for bodies so great that a make may take several ways at once. */
static void header_never_runs_ahead_of_great_bodies(void **state) {
    enum { WORDS = 5 * MIB / 8, BODY = 64, VERSIONS = 4 };
    struct pair pair;
    static uint32_t body[WORDS], seen[WORDS];
    uint64_t header[VERSIONS], found = 0;
    pair_open(&pair, *state, BODY + sizeof body);
    pair_lend(&pair, body, sizeof body);
    pair_lend(&pair, header, sizeof header);
    for (uint32_t version = 1; version <= VERSIONS; version++) {
        for (unsigned i = 0; i < WORDS; i++) body[i] = version;
        header[version - 1] = version;
        const struct ta_put_segment put[] = {{&header[version - 1], 8, 8}, /* the one before it stays before it */
                                             {body, sizeof body, BODY},
                                             {&header[version - 1], 8, 0}};
        pair_put(&pair, put, 3);
        do {
            uint64_t before[2];
            pair_read(&pair, 0, 8, &before[0]);
            pair_read(&pair, BODY, sizeof body, seen);
            pair_read(&pair, 8, 8, &before[1]);
            for (unsigned i = 0; i < WORDS; i += 61) assert_true(seen[i] >= before[0] && seen[i] <= before[1]);
            found = before[0];
            assert_int_equal(pair_progress(&pair), TA_OK);
        } while (found < version);
        pair_settle(&pair);
    }
    pair_close(&pair);
}

static void registering_sources_is_free(void **state) {
    const struct pair_kind *kind = *state;
    struct pair pair;
    char source[64];
    pair_open(&pair, kind, 4096);
    struct ta_transport *t = pair.sender != NULL ? pair.sender : pair.owner;
    assert_int_equal(pair.ops->source_register(t, source, sizeof source), TA_OK);
    pair_close(&pair);
}

int main(void) {
    static const struct suite_test tests[] = {
        {"a window is born zeroed, page-aligned, once", window_is_born_zeroed, false},
        {"sources can be registered", registering_sources_is_free, false},
        {"1 byte to 8 MiB, odd offsets, nothing beside it", sizes_and_offsets, true},
        {"segments keep their order", segments_keep_their_order, true},
        {"puts keep their order", puts_keep_their_order, true},
        {"an empty put is a put", an_empty_put_is_a_put, true},
        {"beyond the window is refused, whole", beyond_the_window_is_refused, true},
        {"a header never runs ahead of its body", header_never_runs_ahead, true},
        {"a header never runs ahead of a great body", header_never_runs_ahead_of_great_bodies, true},
    };
    return suite_run(tests, sizeof tests / sizeof tests[0]);
}
