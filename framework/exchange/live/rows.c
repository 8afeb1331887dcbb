/* rows: counters and bitmaps. The rules are in rows.h. */
#include "rows.h"

#include <string.h>

#include "mem.h"

enum { AHEAD = 24 }; /* counters fetched before their turn: the step has pushed them out of the nearest cache */

static ta_status number_rows(struct ta_rows *r, const struct ta_model *model) {
    uint64_t rows = 0;
    for (unsigned s = 0; s < model->n_segments; s++) {
        const struct ta_segment *segment = &model->segments[s];
        if (segment->kind != TA_SEGMENT_ROWS && segment->kind != TA_SEGMENT_NAMES) continue;
        r->table[r->n_tables++] = (struct ta_rows_table){
            .shape = segment->table, .segment = s, .names = segment->kind == TA_SEGMENT_NAMES, .first = (uint32_t)rows,
        };
        rows += segment->table.rows;
        if (rows >= UINT32_MAX)
            return ta_fail(TA_CONFIG, "exchange: the tables have %llu rows, but only %u can be told apart; use fewer "
                           "words", (unsigned long long)rows, UINT32_MAX - 1);
    }
    r->n_rows = (uint32_t)rows;
    r->n_words = (r->n_rows + 63) / 64;
    return TA_OK;
}

ta_status ta_rows_open(struct ta_rows *r, const struct ta_model *model, unsigned n_ranks, struct ta_rows_mark start) {
    memset(r, 0, sizeof *r);
    r->n_ranks = n_ranks;
    r->swept = start;
    ta_status status = number_rows(r, model);
    if (status != TA_OK || r->n_tables == 0) return status;
    status = TA_NEW(&r->peer, n_ranks, "rows due to peers");
    if (status == TA_OK) status = TA_NEW(&r->count, r->n_words * 64, "counters of rows"); /* whole words: see sweep */
    if (status == TA_OK) status = TA_NEW(&r->bits, r->n_words * (n_ranks + 1), "bitmaps of rows");
    if (status != TA_OK) {
        ta_rows_close(r);
        return status;
    }
    r->own = r->bits;
    for (unsigned p = 0; p < n_ranks; p++) {
        r->peer[p].due = r->bits + (p + 1) * r->n_words;
        r->peer[p].whole = start;
    }
    r->held_bytes = n_ranks * sizeof *r->peer + r->n_words * (64 + (n_ranks + 1) * sizeof *r->bits);
    return TA_OK;
}

void ta_rows_close(struct ta_rows *r) {
    ta_mem_free(r->bits);
    ta_mem_free(r->count);
    ta_mem_free(r->peer);
    memset(r, 0, sizeof *r);
}

const struct ta_rows_table *ta_rows_table_of(const struct ta_rows *r, unsigned segment) {
    for (unsigned t = 0; t < r->n_tables; t++)
        if (r->table[t].segment == segment) return &r->table[t];
    return NULL;
}

/* For our own rank, too: nobody reads that bitmap, and the loop needs no exception. */
static void make_due(struct ta_rows *r, uint32_t id) {
    uint64_t bit = UINT64_C(1) << id % 64;
    for (unsigned p = 0; p < r->n_ranks; p++) {
        struct ta_rows_peer *peer = &r->peer[p];
        uint64_t *word = &peer->due[id / 64];
        peer->n_due += (*word & bit) == 0;
        *word |= bit;
    }
    r->n_changed -= r->count[id] != 0;
    r->count[id] = 0;
}

bool ta_rows_touch(struct ta_rows *r, const struct ta_rows_table *table, const uint32_t *rows, size_t n, uint32_t *due,
                   size_t *n_due) {
    *n_due = 0;
    uint8_t *count = r->count + table->first;
    const uint32_t n_rows = table->shape.rows, after = r->after;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = rows[i];
        if (i + AHEAD < n && rows[i + AHEAD] < n_rows) __builtin_prefetch(&count[rows[i + AHEAD]], 1);
        if (row >= n_rows) return false;
        uint32_t changes = count[row] + 1U;
        count[row] = (uint8_t)changes;
        if (changes > 1 && changes < after) continue;
        if (changes == 1) {
            r->n_changed++;
            ta_bit_set(r->own, table->first + row);
        }
        if (changes < after) continue;
        make_due(r, table->first + row);
        due[(*n_due)++] = row;
    }
    return true;
}

size_t ta_rows_list_changed(const struct ta_rows *r, const struct ta_rows_table *table, uint32_t *from, uint32_t *rows,
                            size_t most) {
    const uint8_t *count = r->count + table->first;
    const uint32_t n_rows = table->shape.rows;
    uint32_t row = *from;
    size_t n = 0;
    while (row < n_rows && n < most && r->n_changed > 0) {
        uint64_t eight = 0;
        if (n_rows - row >= sizeof eight) memcpy(&eight, count + row, sizeof eight);
        if (n_rows - row >= sizeof eight && eight == 0) {
            row += sizeof eight;
            continue;
        }
        if (count[row] != 0) rows[n++] = row;
        row++;
    }
    *from = row;
    return n;
}

void ta_rows_hurry(struct ta_rows *r, uint32_t id) {
    ta_bit_set(r->own, id);
    make_due(r, id);
}

/* A cursor in the middle has to come to the end twice to have been everywhere. */
static void set_goal(struct ta_rows_peer *peer, struct ta_rows_mark mark) {
    if (peer->n_due == 0 || peer->laps > 0) return; /* the older goal first: or it would never be reached */
    peer->goal = mark;
    peer->laps = peer->cursor == 0 ? 1 : 2;
}

void ta_rows_sweep(struct ta_rows *r, struct ta_rows_mark now) {
    for (size_t word = 0; word < r->n_words * 8 && r->n_changed > 0; word++) {
        uint64_t eight;
        memcpy(&eight, r->count + 8 * word, sizeof eight);
        for (uint32_t i = 0; i < 8 && eight != 0; i++)
            if (r->count[8 * word + i] != 0) make_due(r, (uint32_t)(8 * word) + i);
    }
    r->swept = now;
    for (unsigned p = 0; p < r->n_ranks; p++) set_goal(&r->peer[p], now);
}

bool ta_rows_all_out(const struct ta_rows *r, unsigned peer) {
    return r->n_tables == 0 || (r->n_changed == 0 && r->peer[peer].n_due == 0);
}

/* Due ids from `from` on, up to `limit`. */
static size_t collect(const struct ta_rows *r, const struct ta_rows_peer *peer, uint32_t from, size_t limit,
                      uint32_t *ids) {
    size_t n = 0;
    uint64_t mask = ~UINT64_C(0) << from % 64;
    if (limit > peer->n_due) limit = peer->n_due;
    for (size_t word = from / 64; word < r->n_words && n < limit; word++, mask = ~UINT64_C(0))
        for (uint64_t left = peer->due[word] & mask; left != 0 && n < limit; left &= left - 1)
            ids[n++] = (uint32_t)(64 * word) + (uint32_t)__builtin_ctzll(left);
    return n;
}

static void number_within_tables(const struct ta_rows *r, struct ta_rows_plan *plan) {
    size_t i = 0;
    for (unsigned t = 0; t < r->n_tables; t++) {
        size_t from = i;
        uint64_t end = (uint64_t)r->table[t].first + r->table[t].shape.rows;
        for (; i < plan->n && plan->ids[i] < end; i++) plan->rows[i] = plan->ids[i] - r->table[t].first;
        plan->n_of[t] = i - from;
    }
}

/* Chooses the rows and where the next put goes on. */
static void take(const struct ta_rows *r, const struct ta_rows_peer *peer, size_t limit, struct ta_rows_plan *plan) {
    plan->cursor = peer->cursor;
    plan->laps = 0;
    if (limit == 0) return;
    plan->n = collect(r, peer, peer->cursor, limit, plan->ids);
    number_within_tables(r, plan);
    plan->cursor = plan->n == limit ? plan->ids[limit - 1] + 1 : 0;
    if (plan->cursor >= r->n_rows) plan->cursor = 0;
    plan->laps = plan->cursor == 0;
}

void ta_rows_plan_make(const struct ta_rows *r, unsigned peer_rank, size_t limit, struct ta_rows_mark now,
                       struct ta_rows_plan *plan) {
    plan->n = 0;
    plan->whole = true;
    plan->mark = now;
    memset(plan->n_of, 0, sizeof plan->n_of);
    if (r->n_tables == 0) return;
    const struct ta_rows_peer *peer = &r->peer[peer_rank];
    take(r, peer, limit, plan);
    bool nothing_due = plan->n == peer->n_due;
    plan->whole = nothing_due && r->n_changed == 0;
    if (plan->whole) return;
    plan->mark = peer->whole;
    if (nothing_due && r->swept.steps > plan->mark.steps) plan->mark = r->swept;
    if (peer->laps > 0 && plan->laps >= peer->laps && peer->goal.steps > plan->mark.steps) plan->mark = peer->goal;
}

void ta_rows_sent(struct ta_rows *r, unsigned peer_rank, const struct ta_rows_plan *plan) {
    if (r->n_tables == 0) return;
    struct ta_rows_peer *peer = &r->peer[peer_rank];
    for (size_t i = 0; i < plan->n; i++) peer->due[plan->ids[i] / 64] &= ~(UINT64_C(1) << plan->ids[i] % 64);
    peer->n_due -= plan->n;
    peer->cursor = plan->cursor;
    peer->laps = peer->n_due == 0 || plan->laps >= peer->laps ? 0 : peer->laps - plan->laps;
    peer->whole = plan->mark;
}
