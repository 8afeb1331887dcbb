/* bookkeeping: which rows are to go to whom (rows.h) and which have arrived (rowlog.h), against plain truths, in random
 * orders.
 *
 *     test_exchange_bookkeeping [FIRST_SEED [COUNT]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "rowlog.h"
#include "rows.h"
#include "window.h"

enum { MOST_ROWS = 200, MOST_STEPS = 120, PEERS = 3, MOST_PUT = 16 };

static uint64_t first_seed = 1;
static unsigned n_lives = 400;

/* What a peer is still to get, row by row: the oldest step whose change of the row has not been put. */
struct truth {
    uint64_t since[PEERS][3 * MOST_ROWS]; /* 0: the peer has it */
    uint64_t steps;
    bool touched[3 * MOST_ROWS];
    uint32_t changes[3 * MOST_ROWS]; /* since it was last made due */
};

struct books {
    struct ta_model model;
    struct ta_rows rows;
    struct truth truth;
    struct ta_rng rng;
    uint64_t seed;
};

static uint32_t below(struct books *b, uint32_t n) { return ta_rng_below(&b->rng, n); }

#define must(b, condition)                                                                                 \
    do {                                                                                                   \
        if (!(condition)) fail_msg("seed %llu: %s", (unsigned long long)(b)->seed, #condition);            \
    } while (0)

static void open_books(struct books *b, uint64_t seed) {
    memset(b, 0, sizeof *b);
    b->seed = seed;
    b->rng = ta_rng_make(seed, 3);
    b->model.n_segments = 1 + below(b, 3);
    for (unsigned s = 0; s < b->model.n_segments; s++)
        b->model.segments[s] = (struct ta_segment){
            .kind = s == 2 ? TA_SEGMENT_NAMES : TA_SEGMENT_ROWS, .table = {.rows = 1 + below(b, MOST_ROWS)},
        };
    must(b, ta_rows_open(&b->rows, &b->model, PEERS, (struct ta_rows_mark){0}) == TA_OK);
    b->rows.after = 1 + below(b, 4) * below(b, 60);
}

static void touch(struct books *b) {
    uint32_t list[32], due[32], n = below(b, 33);
    size_t n_due = 99;
    const struct ta_rows_table *table = &b->rows.table[below(b, b->rows.n_tables)];
    for (uint32_t i = 0; i < n; i++) {
        list[i] = below(b, 1 + below(b, table->shape.rows));
        uint32_t id = table->first + list[i];
        b->truth.touched[id] = true;
        for (unsigned p = 0; p < PEERS; p++)
            if (b->truth.since[p][id] == 0) b->truth.since[p][id] = b->truth.steps + 1;
    }
    must(b, ta_rows_touch(&b->rows, table, list, n, due, &n_due) && n_due <= n);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *changes = &b->truth.changes[table->first + list[i]];
        if (++*changes < b->rows.after) continue;
        must(b, at < n_due && due[at++] == list[i]);
        *changes = 0;
    }
    must(b, at == n_due);
}

/* The rows that are changed and not due since: each is listed once, in pieces of any size. */
static void list_changed(struct books *b) {
    uint32_t rows[40], most = 1 + below(b, 40);
    bool listed[3 * MOST_ROWS] = {false};
    for (unsigned t = 0; t < b->rows.n_tables; t++) {
        const struct ta_rows_table *table = &b->rows.table[t];
        uint32_t from = 0;
        for (size_t n = 1; n > 0;) {
            n = ta_rows_list_changed(&b->rows, table, &from, rows, most);
            must(b, n <= most);
            for (size_t i = 0; i < n; i++) {
                must(b, rows[i] < table->shape.rows && !listed[table->first + rows[i]]);
                listed[table->first + rows[i]] = true;
            }
        }
    }
    for (uint32_t id = 0; id < b->rows.n_rows; id++)
        must(b, listed[id] == (b->truth.changes[id] > 0) && listed[id] == ta_rows_is_changed(&b->rows, id));
}

static void sweep(struct books *b) {
    ta_rows_sweep(&b->rows, (struct ta_rows_mark){.steps = b->truth.steps, .records = 10 * b->truth.steps});
    memset(b->truth.changes, 0, sizeof b->truth.changes);
}

static void hurry(struct books *b) {
    uint32_t id = below(b, b->rows.n_rows);
    b->truth.touched[id] = true;
    for (unsigned p = 0; p < PEERS; p++)
        if (b->truth.since[p][id] == 0) b->truth.since[p][id] = b->truth.steps + 1;
    ta_rows_hurry(&b->rows, id);
    b->truth.changes[id] = 0;
    for (unsigned p = 0; p < PEERS; p++) must(b, b->rows.peer[p].due[id / 64] >> id % 64 & 1);
}

/* Puts what the plan says; what the header would then claim must be so. */
static void put(struct books *b, unsigned peer) {
    static uint32_t rows[MOST_PUT], ids[MOST_PUT];
    struct ta_rows_plan plan = {.rows = rows, .ids = ids};
    struct ta_rows_mark now = {.steps = b->truth.steps, .records = 10 * b->truth.steps};
    uint64_t *since = b->truth.since[peer];
    size_t limit = 1 + below(b, MOST_PUT), listed = 0;
    ta_rows_plan_make(&b->rows, peer, limit, now, &plan);
    must(b, plan.n <= limit);
    for (unsigned t = 0; t < b->rows.n_tables; t++)
        for (size_t i = 0; i < plan.n_of[t]; i++, listed++) {
            must(b, plan.rows[listed] < b->rows.table[t].shape.rows);
            must(b, plan.rows[listed] + b->rows.table[t].first == plan.ids[listed]);
            must(b, listed == 0 || plan.ids[listed] > plan.ids[listed - 1]);
        }
    must(b, listed == plan.n);
    if (below(b, 4) == 0) return; /* the transport was busy */
    for (size_t i = 0; i < plan.n; i++) {
        must(b, since[plan.ids[i]] != 0 || b->truth.touched[plan.ids[i]]);
        since[plan.ids[i]] = 0;
    }
    must(b, plan.mark.steps >= b->rows.peer[peer].whole.steps && plan.mark.steps <= now.steps);
    must(b, plan.mark.records == 10 * plan.mark.steps);
    ta_rows_sent(&b->rows, peer, &plan);
    bool all = true;
    for (uint32_t id = 0; id < b->rows.n_rows; id++) {
        all &= since[id] == 0;
        must(b, since[id] == 0 || since[id] > plan.mark.steps);
    }
    must(b, !plan.whole || (all && plan.mark.steps == now.steps));
    must(b, !ta_rows_all_out(&b->rows, peer) || all);
}

static void test_no_row_is_lost(void **state) {
    (void)state;
    static struct books b;
    size_t held = ta_mem_held_bytes();
    for (unsigned life = 0; life < n_lives; life++) {
        open_books(&b, first_seed + life);
        for (b.truth.steps = 0; b.truth.steps < MOST_STEPS;) {
            touch(&b);
            b.truth.steps++;
            if (below(&b, 4) == 0) list_changed(&b);
            if (below(&b, 10) == 0) sweep(&b);
            if (below(&b, 20) == 0) hurry(&b);
            for (unsigned p = below(&b, 2); p < PEERS; p += 1 + below(&b, 2)) put(&b, p);
            for (uint32_t id = 0; id < b.rows.n_rows; id++)
                must(&b, !b.truth.touched[id] || (b.rows.own[id / 64] >> id % 64 & 1));
        }
        sweep(&b);
        list_changed(&b);
        for (unsigned p = 0; p < PEERS; p++) {
            for (unsigned puts = 0; !ta_rows_all_out(&b.rows, p); puts++) {
                must(&b, puts < 10 * 3 * MOST_ROWS);
                put(&b, p);
            }
            for (uint32_t id = 0; id < b.rows.n_rows; id++) must(&b, b.truth.since[p][id] == 0);
        }
        ta_rows_close(&b.rows);
    }
    assert_int_equal(ta_mem_held_bytes(), held);
}

/* However many rows become due all the time, the claim follows: every put is full, and yet steps are claimed. */
static void test_claims_under_load(void **state) {
    (void)state;
    struct ta_model model = {.n_segments = 1, .segments = {{.kind = TA_SEGMENT_ROWS, .table = {.rows = 100}}}};
    struct ta_rows rows;
    uint32_t all[100], due[100], numbers[10], ids[10];
    size_t n_due;
    assert_int_equal(ta_rows_open(&rows, &model, 2, (struct ta_rows_mark){.steps = 7, .records = 70}), TA_OK);
    rows.after = 1;
    for (uint32_t i = 0; i < 100; i++) all[i] = i;
    uint64_t steps = 7, behind = 0;
    for (int i = 0; i < 200; i++) {
        assert_true(ta_rows_touch(&rows, &rows.table[0], all, 100, due, &n_due));
        steps++;
        if (i % 3 == 0) ta_rows_sweep(&rows, (struct ta_rows_mark){.steps = steps, .records = 10 * steps});
        struct ta_rows_plan plan = {.rows = numbers, .ids = ids};
        ta_rows_plan_make(&rows, 1, 10, (struct ta_rows_mark){.steps = steps, .records = 10 * steps}, &plan);
        assert_int_equal(plan.n, 10);
        assert_false(plan.whole);
        ta_rows_sent(&rows, 1, &plan);
        behind = steps - rows.peer[1].whole.steps;
        if (i > 50) assert_in_range(behind, 1, 35); /* ten puts go round; twice, and the wait for a sweep */
    }
    ta_rows_close(&rows);
}

static void test_counting(void **state) {
    (void)state;
    struct ta_model model = {.n_segments = 2, .segments = {{.kind = TA_SEGMENT_ROWS, .table = {.rows = 70}},
                                                           {.kind = TA_SEGMENT_NAMES, .table = {.rows = 5}}}};
    struct ta_rows rows;
    assert_int_equal(ta_rows_open(&rows, &model, 2, (struct ta_rows_mark){0}), TA_OK);
    rows.after = 3;
    const uint32_t same[3] = {64, 64, 64}, none[1] = {70};
    uint32_t due[3];
    size_t n_due;
    assert_true(ta_rows_touch(&rows, &rows.table[0], same, 2, due, &n_due));
    assert_int_equal(rows.peer[1].n_due, 0);
    assert_int_equal(n_due, 0);
    assert_int_equal(rows.n_changed, 1);
    assert_true(ta_rows_touch(&rows, &rows.table[0], same, 1, due, &n_due));
    assert_int_equal(rows.peer[1].n_due, 1);
    assert_true(n_due == 1 && due[0] == 64);
    assert_int_equal(rows.n_changed, 0);
    assert_true(ta_rows_touch(&rows, &rows.table[0], same, 3, due, &n_due)); /* due and changed again: still once */
    assert_int_equal(rows.peer[1].n_due, 1);
    assert_false(ta_rows_touch(&rows, &rows.table[0], none, 1, due, &n_due));
    assert_int_equal(n_due, 0);
    assert_null(ta_rows_table_of(&rows, 2));
    assert_true(ta_rows_table_of(&rows, 1)->names && rows.table[1].first == 70);
    ta_rows_close(&rows);
    model.segments[0].table.rows = UINT32_MAX;
    assert_int_equal(ta_rows_open(&rows, &model, 2, (struct ta_rows_mark){0}), TA_CONFIG);
    ta_rows_close(&rows);
}

/* A writer whose puts travel word by word, a reader that looks at any moment in between. */
struct channel {
    struct ta_rowlog_place place;
    uint32_t n_rows;
    unsigned char *log;
    uint64_t head, word;
    uint32_t ids[MOST_PUT];
    struct ta_put_segment segments[4];
    unsigned n_segments, segment;
    size_t at;
    uint32_t n;                /* ids of the put; 0: it says that all rows may have changed */
    enum { NEVER, ONCE_MORE, REPEATED } repeats;
    uint64_t tail;
};

static void begin_put(struct books *b, struct channel *c) {
    c->n = below(b, 20) == 0 ? 0 : 1 + below(b, c->place.entries < MOST_PUT ? c->place.entries : MOST_PUT);
    for (uint32_t i = 0; i < c->n; i++) c->ids[i] = below(b, c->n_rows);
    uint64_t old = c->head;
    c->head += c->n == 0 ? (uint64_t)c->place.entries + 1 : c->n;
    c->word = c->head;
    c->n_segments = ta_rowlog_append(&c->place, old, c->ids, c->n, &c->word, c->segments);
    c->segments[c->n_segments++] = ta_rowlog_commit(&c->place, &c->word);
    assert_in_range(c->n_segments, 2, 4);
    c->segment = 0;
    c->at = 0;
    c->repeats = below(b, 4) == 0 ? ONCE_MORE : NEVER;
}

/* One word more. True when the head has arrived (for the first time: what a repeat changes is put again, too): the rows
 * must be seen from now on. */
static bool move(struct channel *c) {
    const struct ta_put_segment *s = &c->segments[c->segment];
    size_t word = s->bytes % 8 == 0 && s->bytes <= 8 ? 8 : 4;
    assert_true(s->target_offset + s->bytes <= ta_rowlog_bytes(c->place.entries));
    memcpy(c->log + s->target_offset + c->at, (const unsigned char *)s->source + c->at, word);
    c->at += word;
    if (c->at < s->bytes) return false;
    c->at = 0;
    if (++c->segment < c->n_segments) return false;
    bool first = c->repeats != REPEATED;
    if (c->repeats == ONCE_MORE) {
        c->repeats = REPEATED;
        c->segment = 0;
    } else {
        c->n_segments = 0;
    }
    return first;
}

static void test_log(void **state) {
    (void)state;
    static struct books b;
    uint64_t scans = 0, reads = 0;
    for (unsigned life = 0; life < n_lives; life++) {
        b.seed = first_seed + life;
        b.rng = ta_rng_make(b.seed, 4);
        struct channel c = {.n_rows = 1 + below(&b, MOST_ROWS), .place = {.entries = 1 + below(&b, 40)}};
        bool expected[MOST_ROWS] = {false};
        uint64_t bits[MOST_ROWS / 64 + 1];
        must(&b, TA_NEW(&c.log, ta_rowlog_bytes(c.place.entries), "log") == TA_OK);
        for (unsigned tick = 0; tick < 3000; tick++) {
            if (c.n_segments == 0) begin_put(&b, &c);
            if (move(&c)) {
                for (uint32_t i = 0; i < c.n; i++) expected[c.ids[i]] = true;
                for (uint32_t id = 0; id < c.n_rows && c.n == 0; id++) expected[id] = true;
            }
            if (below(&b, 1 + 3 * c.place.entries) != 0) continue;
            memset(bits, 0, sizeof bits);
            bool told = ta_rowlog_read(c.log, c.place.entries, c.n_rows, &c.tail, bits);
            reads++;
            scans += !told;
            for (uint32_t id = 0; id < c.n_rows; id++) {
                must(&b, !told || !expected[id] || (bits[id / 64] >> id % 64 & 1));
                expected[id] = false;
            }
            must(&b, !ta_rowlog_news(c.log, c.tail));
        }
        ta_mem_free(c.log);
    }
    assert_true(scans > reads / 50 && scans < reads - reads / 50); /* both happen */
}

/* Whatever a peer writes there: numbers below n_rows, or "scan all". */
static void test_log_garbage(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(first_seed, 5);
    enum { ENTRIES = 32, ROWS = 70 };
    static _Alignas(8) unsigned char log[TA_ROWLOG_IDS + ENTRIES * 4];
    uint64_t tail = 0;
    for (int i = 0; i < 20000; i++) {
        for (int k = 0; k < 4; k++) {
            uint32_t word = ta_rng_below(&rng, 3) ? ta_rng_below(&rng, 80) : ta_rng_u32(&rng);
            memcpy(log + 4 * (size_t)ta_rng_below(&rng, sizeof log / 4), &word, sizeof word);
        }
        uint64_t bits[3] = {0};
        (void)ta_rowlog_read(log, ENTRIES, ROWS, &tail, bits);
        assert_true(bits[2] == 0 && bits[1] >> (ROWS - 64) == 0);
        assert_false(ta_rowlog_news(log, tail));
    }
    assert_int_equal(ta_rowlog_entries(0), 0);
    assert_int_equal(ta_rowlog_entries(1), TA_ROWLOG_LEAST);
    assert_int_equal(ta_rowlog_entries(65), 128);
    assert_int_equal(ta_rowlog_entries(UINT32_MAX), TA_ROWLOG_MOST);
    assert_int_equal(ta_rowlog_bytes(0), 0);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) n_lives = (unsigned)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_row_is_lost),
        cmocka_unit_test(test_claims_under_load),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_garbage),
    };
    return cmocka_run_group_tests_name("exchange: bookkeeping", tests, NULL, NULL);
}
