/* live_tables: tables of rows in the live exchange. A step changes a few rows of a large table, so everything here
 * follows the rows that changed, never the table.
 *
 * A step changes w alone. What it has changed a row by is w less `folded`, which is w as it was when the register last
 * took the row in: it is folded into the register (kernels.h, rows_fold) when the row is made due, and before the row
 * is computed anew; so once in many changes, and a row whose count (rows.h) is 0 has nothing to fold.
 *
 * Only rows that peers have changed are recomputed from the registers, and so come out exact. Rows that only we have
 * changed may differ from the sum of the registers by rounding; they are remembered (ta_rows.own) and recomputed when
 * replicas come to rest, so that at rest all have the same bits. What a gone rank left comes as a whole register: then
 * all rows are recomputed.
 */
#include <string.h>

#include "live.h"
#include "mem.h"

enum {
    LIST_ROWS = 4096,
    SUM_ROWS = 64, /* few enough that what is folded is still in a CPU's cache when it is summed */
};

/* Rows that are folded and summed at once. */
static size_t at_once(const struct ta_live *l) { return l->kernel_ops->on_gpu ? LIST_ROWS : SUM_ROWS; }

static ta_status open_scratch(struct ta_live *l) {
    struct ta_live_tables *t = &l->tables;
    size_t words = l->rows.n_words, most = at_once(l), widest = 0;
    for (unsigned i = 0; i < l->rows.n_tables; i++)
        if (l->rows.table[i].shape.stride > widest) widest = l->rows.table[i].shape.stride;
    ta_status status = TA_NEW(&t->todo, words, "rows to recompute");
    if (status == TA_OK) status = TA_NEW(&t->renamed, words, "rows renamed");
    if (status == TA_OK) status = TA_NEW(&t->tail, l->self.n_ranks, "tails of row logs");
    if (status == TA_OK) status = TA_NEW(&t->list, LIST_ROWS, "list of rows");
    if (status == TA_OK) status = TA_NEW(&t->changed, most, "list of rows");
    if (status == TA_OK) status = TA_NEW(&t->zeros, widest, "row of zeros");
    l->held_bytes += l->rows.held_bytes + 2 * words * sizeof *t->todo + l->self.n_ranks * sizeof *t->tail +
                     (LIST_ROWS + most) * sizeof *t->list + widest * sizeof *t->zeros;
    return status;
}

ta_status ta_live_tables_open(struct ta_live *l, const struct ta_exchange_spec *spec,
                              const struct ta_exchange_start *start) {
    struct ta_live_tables *t = &l->tables;
    struct ta_rows_mark mark = {.steps = start->steps, .records = start->records};
    ta_status status = ta_rows_open(&l->rows, l->base.model, l->self.n_ranks, mark);
    l->dense = l->rows.n_tables < l->base.model->n_segments;
    if (status != TA_OK || l->rows.n_tables == 0) return status;
    l->rows.after = spec->rows_after > 0 ? spec->rows_after : TA_LIVE_ROWS_AFTER;
    t->within_ns = (int64_t)((spec->rows_within_s > 0 ? spec->rows_within_s : TA_LIVE_ROWS_WITHIN_S) * 1e9);
    t->seed = start->seed;
    t->resumed = start->deltas != NULL && start->deltas[l->self.rank] != NULL;
    t->scan_all = true;
    if (l->self.n_ranks > 1) {
        if (l->limits.log_entries == 0) l->limits.log_entries = ta_rowlog_entries(l->rows.n_rows);
        if (l->limits.put_rows == 0) l->limits.put_rows = TA_OUTBOX_ROWS;
        if (l->limits.put_rows > l->limits.log_entries) l->limits.put_rows = l->limits.log_entries;
    }
    return open_scratch(l);
}

void ta_live_tables_close(struct ta_live *l) {
    struct ta_live_tables *t = &l->tables;
    l->kernel_ops->free(l->kernels, t->folded);
    ta_mem_free(t->zeros);
    ta_mem_free(t->changed);
    ta_mem_free(t->list);
    ta_mem_free(t->tail);
    ta_mem_free(t->renamed);
    ta_mem_free(t->todo);
    memset(t, 0, sizeof *t);
    ta_rows_close(&l->rows);
}

/* Rows that a step has changed, into our register. */
static ta_status fold_rows(struct ta_live *l, const struct ta_rows_table *table, const uint32_t *rows, size_t n) {
    if (n == 0 || table->names || l->tables.folded == NULL) return TA_OK;
    return l->kernel_ops->rows_fold(l->kernels, &table->shape, rows, n, l->base.w, l->tables.folded, l->base.delta);
}

ta_status ta_live_tables_fold(struct ta_live *l) {
    ta_status status = TA_OK;
    for (unsigned i = 0; i < l->rows.n_tables && l->rows.n_changed > 0; i++) {
        const struct ta_rows_table *table = &l->rows.table[i];
        uint32_t from = 0;
        for (size_t n = 1; n > 0 && status == TA_OK;) {
            n = ta_rows_list_changed(&l->rows, table, &from, l->tables.list, LIST_ROWS);
            status = fold_rows(l, table, l->tables.list, n);
        }
    }
    return status;
}

/* NULL: all rows. */
static ta_status apply_rows(struct ta_live *l, const struct ta_rows_table *table, const uint32_t *rows, size_t n) {
    const struct ta_exchange *x = &l->base;
    unsigned n_registers = 0;
    for (unsigned r = 0; r < l->self.n_ranks && x->delta != NULL; r++)
        l->registers[n_registers++] = ta_live_register(l, r);
    ta_status status = x->delta != NULL ? ta_live_fetch_rows(l, &table->shape, rows, n) : TA_OK;
    if (status != TA_OK) return status;
    if (table->names)
        return l->kernel_ops->rows_pick(l->kernels, &table->shape, rows, n, x->w, x->w0, l->registers, n_registers);
    status = l->kernel_ops->rows_sum(l->kernels, &table->shape, l->tables.seed, rows, n, x->w, x->w0, l->registers,
                                     n_registers);
    if (status != TA_OK || l->tables.folded == NULL) return status;
    /* A copy is a sum of nothing else. Not a sum of its own: a peer may have written meanwhile. */
    return l->kernel_ops->rows_sum(l->kernels, &table->shape, 0, rows, n, l->tables.folded, x->w, NULL, 0);
}

static ta_status apply_all(struct ta_live *l) {
    ta_status status = ta_live_tables_fold(l);
    for (unsigned t = 0; t < l->rows.n_tables && status == TA_OK; t++)
        status = apply_rows(l, &l->rows.table[t], NULL, 0);
    if (status == TA_OK) l->tables.scan_all = false;
    return status;
}

static void note_renamed(struct ta_live *l, const struct ta_rows_table *table, size_t n) {
    struct ta_live_tables *t = &l->tables;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = table->first + t->list[i];
        bool known = (t->renamed[id / 64] >> id % 64 & 1) != 0;
        if (known || t->list[i] % l->self.n_ranks == l->self.rank) continue;
        ta_bit_set(t->renamed, id);
        t->n_renamed++;
    }
}

/* The rows in the list, if any. */
static ta_status apply_list(struct ta_live *l, const struct ta_rows_table *table, size_t *n) {
    struct ta_live_tables *t = &l->tables;
    size_t n_changed = 0;
    for (size_t i = 0; i < *n && l->rows.n_changed > 0; i++)
        if (ta_rows_is_changed(&l->rows, table->first + t->list[i])) t->changed[n_changed++] = t->list[i];
    ta_status status = fold_rows(l, table, t->changed, n_changed);
    if (status == TA_OK && *n > 0) status = apply_rows(l, table, t->list, *n);
    if (table->names) note_renamed(l, table, *n);
    *n = 0;
    return status;
}

/* In the order of ids, a list at a time. */
static ta_status apply_todo(struct ta_live *l) {
    struct ta_live_tables *t = &l->tables;
    const struct ta_rows_table *table = l->rows.table;
    const size_t most = at_once(l);
    ta_status status = TA_OK;
    size_t n = 0;
    for (size_t word = 0; word < l->rows.n_words && status == TA_OK; word++) {
        for (uint64_t left = t->todo[word]; left != 0 && status == TA_OK; left &= left - 1) {
            uint32_t id = (uint32_t)(64 * word) + (uint32_t)__builtin_ctzll(left);
            while (status == TA_OK && id - table->first >= table->shape.rows) status = apply_list(l, table++, &n);
            t->list[n++] = id - table->first;
            if (n == most) status = apply_list(l, table, &n);
        }
    }
    return status == TA_OK ? apply_list(l, table, &n) : status;
}

static const void *log_of(const struct ta_live *l, unsigned peer) {
    return l->window + ta_slot_control(&l->layout, l->self.rank, peer) + l->layout.log;
}

/* Who is gone is not listened to any more: what it left is taken over whole. */
static bool listens_to(const struct ta_live *l, unsigned peer) {
    const struct ta_member *member = &l->members.member[peer];
    return peer != l->self.rank && member->heard && !ta_member_gone(member);
}

bool ta_live_tables_news(const struct ta_live *l) {
    if (l->rows.n_tables == 0) return false;
    for (unsigned p = 0; p < l->self.n_ranks; p++)
        if (listens_to(l, p) && ta_rowlog_news(log_of(l, p), l->tables.tail[p])) return true;
    return l->tables.scan_all;
}

ta_status ta_live_tables_apply(struct ta_live *l) {
    struct ta_live_tables *t = &l->tables;
    if (l->rows.n_tables == 0 || l->base.delta == NULL) return TA_OK;
    bool marked = l->at_rest;
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        if (!listens_to(l, p) || !ta_rowlog_news(log_of(l, p), t->tail[p])) continue;
        marked = true;
        if (!ta_rowlog_read(log_of(l, p), l->layout.log_entries, l->rows.n_rows, &t->tail[p], t->todo))
            t->scan_all = true;
    }
    for (size_t word = 0; word < l->rows.n_words && l->at_rest; word++) {
        t->todo[word] |= l->rows.own[word];
        l->rows.own[word] = 0;
    }
    ta_status status = TA_OK;
    if (t->scan_all) {
        t->all_renamed = true;
        status = apply_all(l);
    } else if (marked) {
        status = apply_todo(l);
    }
    if (marked) memset(t->todo, 0, l->rows.n_words * sizeof *t->todo);
    return status;
}

void ta_live_tables_sweep(struct ta_live *l) {
    if (l->rows.n_tables == 0) return;
    ta_status status = ta_live_tables_fold(l);
    if (status != TA_OK) l->put_status = status;
    ta_rows_sweep(&l->rows, ta_live_mark(l));
}

void ta_live_tables_tick(struct ta_live *l, int64_t now_ns) {
    struct ta_live_tables *t = &l->tables;
    bool idle = l->rows.n_tables == 0 || l->rows.n_changed == 0;
    bool early = now_ns >= t->swept_ns && now_ns - t->swept_ns < t->within_ns;
    if (!idle && early) return;
    if (!idle) ta_live_tables_sweep(l);
    t->swept_ns = now_ns;
}

void ta_live_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    struct ta_live *l = ta_live_of(x);
    if (x->delta == NULL) return;
    const struct ta_rows_table *table = ta_rows_table_of(&l->rows, segment);
    bool known = table != NULL;
    for (size_t i = 0, n_due; known && i < n; i += LIST_ROWS) {
        known = ta_rows_touch(&l->rows, table, rows + i, n - i < LIST_ROWS ? n - i : LIST_ROWS, l->tables.list, &n_due);
        ta_status status = fold_rows(l, table, l->tables.list, n_due);
        if (status != TA_OK) l->put_status = status;
    }
    if (known) return;
    l->put_status = ta_fail(TA_INVALID, "exchange: replica %u touched a row that segment %u of its model has not: it "
                            "has %u rows", x->rank, segment, table != NULL ? table->shape.rows : 0);
}

ta_status ta_live_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    struct ta_live *l = ta_live_of(x);
    const struct ta_rows_table *table = ta_rows_table_of(&l->rows, segment);
    if (table == NULL) return ta_fail(TA_INVALID, "exchange: segment %u has no rows to reset", segment);
    if (ta_live_resting(l))
        return ta_fail(TA_INVALID, "exchange: replica %u reset rows between settle and resume of round %u", x->rank,
                       l->said.finished ? TA_ROUND_FINAL : l->said.entered);
    ta_status status = TA_OK;
    for (size_t i = 0; i < n && status == TA_OK; i++) {
        if (rows[i] >= table->shape.rows)
            return ta_fail(TA_INVALID, "exchange: row %u of segment %u is to be reset, which has %u", rows[i], segment,
                           table->shape.rows);
        if (table->names && rows[i] % x->n_ranks != x->rank)
            return ta_fail(TA_INVALID, "exchange: replica %u of %u is to rename row %u, which belongs to replica %u",
                           x->rank, x->n_ranks, rows[i], rows[i] % x->n_ranks);
        if (table->names || x->delta == NULL) continue;
        float *row = x->delta + table->shape.offset + (size_t)rows[i] * table->shape.stride;
        status = l->kernel_ops->copy_in(l->kernels, row, l->tables.zeros, table->shape.stride * sizeof(float));
    }
    bool in_place = table->names && x->delta == NULL; /* the caller has written w itself */
    if (status == TA_OK && n > 0 && !in_place) status = apply_rows(l, table, rows, n);
    for (size_t i = 0; i < n && status == TA_OK; i++) ta_rows_hurry(&l->rows, table->first + rows[i]);
    return status;
}

size_t ta_live_renamed(struct ta_exchange *x, uint32_t *rows, size_t most) {
    struct ta_live *l = ta_live_of(x);
    struct ta_live_tables *t = &l->tables;
    size_t n = t->all_renamed ? most + 1 : t->n_renamed, listed = 0;
    if (n == 0) return 0;
    for (unsigned i = 0; i < l->rows.n_tables; i++) {
        const struct ta_rows_table *table = &l->rows.table[i];
        for (uint32_t row = 0; row < table->shape.rows && table->names && n <= most; row++) {
            uint32_t id = table->first + row;
            if (t->renamed[id / 64] == 0) row += 63 - id % 64; /* the rest of the word */
            else if (t->renamed[id / 64] >> id % 64 & 1) rows[listed++] = row;
        }
    }
    memset(t->renamed, 0, l->rows.n_words * sizeof *t->renamed);
    t->n_renamed = 0;
    t->all_renamed = false;
    return n;
}
