/* Every make of transport, one suite: segments with rows, the scattered rows of a table. */
#include "expect.h"
#include "rng.h"
#include "suite.h"

enum { GUARD = 64, MANY_BYTES = 5 << 20 };

/* A table in a source and its image in a window: window[offset + i] belongs to source[i]. */
struct table {
    struct pair pair;
    unsigned char *block, *source, *right, *seen; /* right, seen: [window_bytes] */
    size_t offset, row_bytes, table_bytes, window_bytes;
    uint32_t rows;
};

static void table_open(struct table *t, const struct pair_kind *kind, uint32_t rows, size_t row_bytes, size_t offset,
                       size_t skew) {
    *t = (struct table){.offset = offset, .row_bytes = row_bytes, .table_bytes = rows * row_bytes, .rows = rows};
    t->window_bytes = offset + t->table_bytes + GUARD;
    pair_open(&t->pair, kind, t->window_bytes);
    assert_ok(TA_NEW(&t->block, t->table_bytes + skew + 16, "a table"));
    assert_ok(TA_NEW(&t->right, t->window_bytes, "a window as it should be"));
    assert_ok(TA_NEW(&t->seen, t->window_bytes, "a window as it is"));
    t->source = t->block + skew;
    pair_lend(&t->pair, t->block, t->table_bytes + skew + 16);
}

static void table_close(struct table *t) {
    ta_mem_free(t->block);
    ta_mem_free(t->right);
    ta_mem_free(t->seen);
    pair_close(&t->pair);
}

static void table_fill(struct table *t, uint64_t seed) {
    for (size_t i = 0; i < t->table_bytes; i += 8) { /* a mix that is cheap: these bytes are many */
        uint64_t word = (seed << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);
        word = (word ^ word >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
        memcpy(t->source + i, &word, t->table_bytes - i < 8 ? t->table_bytes - i : 8);
    }
}

static struct ta_put_segment segment_of(const struct table *t, const uint32_t *rows, size_t n_rows) {
    return (struct ta_put_segment){t->source, t->row_bytes, t->offset, rows, n_rows};
}

/* Puts the rows and compares the whole window: the rows are there, and nothing else has changed. */
static void put_rows(struct table *t, const uint32_t *rows, size_t n_rows) {
    struct ta_put_segment segment = segment_of(t, rows, n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        size_t at = rows[i] * t->row_bytes;
        memcpy(t->right + t->offset + at, t->source + at, t->row_bytes);
    }
    pair_put(&t->pair, &segment, 1);
    pair_settle(&t->pair);
    pair_read(&t->pair, 0, t->window_bytes, t->seen);
    assert_memory_equal(t->seen, t->right, t->window_bytes);
}

static void scattered_rows_arrive(void **state) {
    static const size_t sizes[] = {1, 3, 4, 8, 12, 32, 64, 68, 400, 448, 1216, 4096};
    static const size_t skews[] = {0, 4, 1, 16}, offsets[] = {GUARD, GUARD + 4, GUARD + 7, 2 * GUARD};
    struct ta_rng rng = ta_rng_make(5, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < 4; j++) {
            struct table t;
            uint32_t rows[300];
            table_open(&t, *state, 100, sizes[i], offsets[(i + j) % 4], skews[j]);
            for (size_t n = 0; n <= 300; n = n * 4 + 1) { /* with 100 rows in the table, many come twice */
                for (size_t k = 0; k < n; k++) rows[k] = ta_rng_below(&rng, t.rows);
                table_fill(&t, ta_rng_u32(&rng));
                put_rows(&t, rows, n);
            }
            table_close(&t);
        }
}

/* So many that a make may take another way: past the cache. Neighbours, whole tables, the last row of the window. */
static void many_rows_arrive(void **state) {
    static const size_t sizes[] = {448, 464}; /* whole lines of the cache or not */
    struct ta_rng rng = ta_rng_make(6, 1);
    for (size_t i = 0; i < 2; i++) {
        struct table t;
        uint32_t *rows, n_rows = (uint32_t)(MANY_BYTES / sizes[i]);
        table_open(&t, *state, n_rows, sizes[i], GUARD, 0);
        assert_ok(TA_NEW(&rows, n_rows, "a list"));
        for (uint32_t k = 0; k < n_rows; k++) rows[k] = k;
        table_fill(&t, 1);
        put_rows(&t, rows, n_rows);
        for (uint32_t k = 0; k < n_rows; k++) rows[k] = ta_rng_below(&rng, n_rows);
        table_fill(&t, 2);
        put_rows(&t, rows, n_rows);
        ta_mem_free(rows);
        table_close(&t);
    }
}

static void an_empty_list_is_fine(void **state) {
    struct table t;
    uint32_t row = UINT32_MAX;
    table_open(&t, *state, 4, 64, GUARD, 0);
    table_fill(&t, 1);
    put_rows(&t, &row, 0);
    struct ta_put_segment none[] = {{NULL, 64, GUARD, &row, 0}, {NULL, 0, GUARD, &row, 1}, segment_of(&t, &row, 0)};
    struct ta_put_segment after = {t.source, 4, 0};
    struct ta_put_segment all[] = {none[0], none[1], none[2], after, none[0]};
    pair_put(&t.pair, none, 3);
    pair_put(&t.pair, all, 5);
    pair_settle(&t.pair);
    memcpy(t.right, t.source, 4);
    pair_read(&t.pair, 0, t.window_bytes, t.seen);
    assert_memory_equal(t.seen, t.right, t.window_bytes);
    table_close(&t);
}

static void rows_beyond_the_window_are_refused(void **state) {
    struct table t;
    enum { ROWS = 20, BYTES = 48, LISTED = 10000 };
    table_open(&t, *state, ROWS, BYTES, GUARD, 0);
    table_fill(&t, 1);
    uint32_t *list; /* the window has room for one row more, where the guard lies */
    assert_ok(TA_NEW(&list, LISTED, "a list"));
    const uint32_t first[] = {ROWS, ROWS - 1, 0}, beyond[] = {ROWS + 1, UINT32_MAX, ROWS + 1, 1U << 31};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++)
            for (size_t at = 0; at < LISTED; at += LISTED / 4 + 11) {
                char named[64];
                for (size_t k = 0; k < LISTED; k++) list[k] = first[i];
                list[at] = beyond[j];
                list[LISTED - 1] = UINT32_MAX - 1; /* the first is named, not the greatest */
                snprintf(named, sizeof named, "segment 1 of a put to peer 1: row %u,", beyond[j]);
                /* The good segment before it must not be put either. */
                struct ta_put_segment both[2] = {{t.source, GUARD, 0}, segment_of(&t, list, LISTED)};
                assert_fails(TA_INVALID, named, t.pair.ops->put(t.pair.sender, 1, both, 2));
            }
    uint32_t last = ROWS;
    const struct ta_put_segment wrong[] = {
        {t.source, BYTES, GUARD + 16 + 1, &last, 1}, {t.source, t.window_bytes + 1, 0, &last, 1},
        {t.source, SIZE_MAX, 0, &last, 1},           {t.source, BYTES, SIZE_MAX, &last, 1},
        {t.source, SIZE_MAX / 2, 2, &last, 1},       {t.source, 1U << 31, 0, (const uint32_t[]){2}, 1},
        {NULL, BYTES, GUARD, &last, 1},              {t.source, t.window_bytes, 0, (const uint32_t[]){1}, 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_fails(TA_INVALID, "peer 1", t.pair.ops->put(t.pair.sender, 1, &wrong[i], 1));
    pair_settle(&t.pair);
    pair_read(&t.pair, 0, t.window_bytes, t.seen);
    assert_memory_equal(t.seen, t.right, t.window_bytes); /* all zero still */
    uint32_t good = ROWS - 1;
    put_rows(&t, &good, 1);
    ta_mem_free(list);
    table_close(&t);
}

/* A later segment of the same put, and a later put, win where they overlap. */
static void rows_keep_the_order_of_segments(void **state) {
    struct table t;
    enum { ROWS = 50, BYTES = 96 };
    uint32_t odd[ROWS / 2];
    table_open(&t, *state, ROWS, BYTES, GUARD, 0);
    unsigned char *twos;
    assert_ok(TA_NEW(&twos, t.table_bytes, "another source"));
    memset(t.source, 1, t.table_bytes);
    memset(twos, 2, t.table_bytes);
    pair_lend(&t.pair, twos, t.table_bytes);
    for (uint32_t k = 0; k < ROWS / 2; k++) odd[k] = 2 * k + 1;
    struct ta_put_segment rows = {twos, BYTES, GUARD, odd, ROWS / 2}, whole = {t.source, t.table_bytes, GUARD};
    struct ta_put_segment orders[][3] = {{whole, rows}, {rows, whole}, {whole, rows, whole}, {rows, whole, rows}};
    for (size_t i = 0; i < 8; i++) {
        unsigned n = i / 2 < 2 ? 2 : 3;
        if (i % 2 == 0) {
            pair_put(&t.pair, orders[i / 2], n);
        } else {
            for (unsigned k = 0; k < n; k++) pair_put(&t.pair, &orders[i / 2][k], 1);
        }
        pair_settle(&t.pair);
        bool rows_last = orders[i / 2][n - 1].rows != NULL;
        pair_read(&t.pair, 0, t.window_bytes, t.seen);
        for (size_t k = 0; k < t.table_bytes; k++)
            assert_int_equal(t.seen[GUARD + k], rows_last && k / BYTES % 2 == 1 ? 2 : 1);
    }
    ta_mem_free(twos);
    table_close(&t);
}

/* What the exchange lives by: whoever sees header v sees rows that are at least as new, whenever it looks. */
static void header_never_runs_ahead_of_rows(void **state) {
    enum { ROWS = 40, WORDS = 28, LISTED = 15, BODY = 64 };
    struct table t;
    table_open(&t, *state, ROWS, 4 * WORDS, BODY, 0);
    struct ta_rng rng = ta_rng_make(8, 1);
    struct pair *pair = &t.pair;
    uint64_t header[4][8];
    pair_lend(pair, header, sizeof header);
    static uint32_t lists[4][LISTED];
    uint32_t due[ROWS] = {0}, *live = (void *)t.source; /* due: the version each row was last put with */
    uint32_t history[61][ROWS];
    for (uint32_t version = 1; version <= 60; version++) {
        while (pair->ops->in_flight(pair->sender, 1) >= 4) pair_settle(pair);
        uint64_t *mine = header[version % 4];
        uint32_t *list = lists[version % 4];
        for (unsigned i = 0; i < LISTED; i++) {
            list[i] = ta_rng_below(&rng, ROWS);
            due[list[i]] = version;
            for (unsigned k = 0; k < WORDS; k++) live[list[i] * WORDS + k] = version; /* earlier puts may read it too */
        }
        memcpy(history[version], due, sizeof due);
        for (unsigned i = 0; i < 8; i++) mine[i] = version;
        struct ta_put_segment put[2] = {segment_of(&t, list, LISTED), {mine, 64, 0}};
        pair_put(pair, put, 2);
        do {
            uint64_t seen;
            pair_read(pair, 56, 8, &seen);
            pair_read(pair, BODY, t.table_bytes, t.seen);
            for (unsigned r = 0; r < ROWS && seen > 0; r++)
                for (unsigned k = 0; k < WORDS; k++)
                    assert_true(((uint32_t *)(void *)t.seen)[r * WORDS + k] >= history[seen][r]);
            if (pair->fabric == NULL) break;
            pair->now_ns = ta_sim_next_ns(pair->fabric);
            if (pair->now_ns != INT64_MAX) pair->ops->progress(pair->sender, pair->now_ns);
        } while (pair->now_ns != INT64_MAX && ta_rng_below(&rng, 100) > 0);
        if (pair->now_ns == INT64_MAX) pair->now_ns = 0;
    }
    pair_settle(pair);
    pair_read(pair, BODY, t.table_bytes, t.seen);
    assert_memory_equal(t.seen, t.source, t.table_bytes);
    table_close(&t);
}

int main(void) {
    static const struct suite_test tests[] = {
        {"scattered rows arrive, nothing beside them", scattered_rows_arrive, true},
        {"many rows arrive", many_rows_arrive, true},
        {"an empty list is fine", an_empty_list_is_fine, true},
        {"rows beyond the window are refused, whole", rows_beyond_the_window_are_refused, true},
        {"rows keep the order of segments", rows_keep_the_order_of_segments, true},
        {"a header never runs ahead of its rows", header_never_runs_ahead_of_rows, true},
    };
    return suite_run(tests, sizeof tests / sizeof tests[0]);
}
