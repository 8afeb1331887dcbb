/* live_far: where bodies lie, in the window of the CPU or in the memory of a GPU, and how what has arrived there is
 * fetched before it is read.
 *
 * On a GPU the floats of every body are a far piece (window.h); control, board, row log, relay line stay with the CPU.
 * Some transports deliver into the GPU's memory; others into the CPU's, and `fetch` copies from there (transport.h).
 * The second kind knows nothing of what we wrote into a body ourselves, at the start. So a body is fetched only once
 * all of it has come: the header claims another number of steps than we started with; of tables, the peer was heard,
 * as its first put has brought whatever did not start from zero, and rows are fetched as they are listed.
 */
#include "live.h"

#include "mem.h"

float *ta_live_inbox(const struct ta_live *l, unsigned rank) {
    return ta_window_at(&l->inboxes, ta_slot_body(&l->layout, l->self.rank, rank));
}

ta_status ta_live_window_open(struct ta_live *l) {
    ta_status status = TA_NEW(&l->arrived, l->self.n_ranks, "what has arrived");
    if (status != TA_OK || l->self.n_ranks == 1) return status; /* nobody to let in */
    const struct ta_slot_layout *layout = &l->layout;
    const struct ta_transport_ops *ops = l->transport_ops;
    if (l->kernel_ops->on_gpu && layout->n_params > 0) {
        const struct ta_window_far far = {.first = ((size_t)l->self.n_ranks - 1) * layout->control_bytes,
                                          .stride = layout->body_bytes,
                                          .bytes = layout->n_params * sizeof(float),
                                          .n = l->self.n_ranks - 1};
        if (ops->window_create_far == NULL)
            return ta_fail(TA_INVALID, "exchange: transport '%s' has no windows in the memory of GPUs", ops->name);
        status = ops->window_create_far(l->transport, layout->window_bytes, &far, &l->inboxes);
    } else {
        status = ops->window_create(l->transport, layout->window_bytes, &l->inboxes);
    }
    if (status != TA_OK) return status;
    l->window = l->inboxes.base;
    l->held_bytes += l->inboxes.bytes;
    for (unsigned p = 0; p < l->self.n_ranks && status == TA_OK; p++) {
        if (p == l->self.rank) continue;
        size_t control = ta_slot_control(layout, l->self.rank, p), body = ta_slot_body(layout, l->self.rank, p);
        status = ops->grant(l->transport, p, control, layout->control_bytes);
        if (status == TA_OK) status = ops->grant(l->transport, p, body, layout->body_bytes);
    }
    return status;
}

ta_status ta_live_source_register(struct ta_live *l, const void *base, size_t bytes) {
    const struct ta_transport_ops *ops = l->transport_ops;
    if (bytes == 0) return TA_OK; /* control.h: there is no body */
    if (l->kernel_ops->on_gpu) return ops->source_register_gpu(l->transport, base, bytes);
    return ops->source_register(l->transport, base, bytes);
}

static bool fetches(const struct ta_live *l) { return l->inboxes.far.n > 0 && l->transport_ops->fetch != NULL; }

static ta_status fetch(struct ta_live *l, unsigned rank, size_t offset, size_t n) {
    size_t at = ta_slot_body(&l->layout, l->self.rank, rank) + offset * sizeof(float);
    return n > 0 ? l->transport_ops->fetch(l->transport, at, n * sizeof(float), NULL, 0) : TA_OK;
}

static ta_status fetch_dense(struct ta_live *l, unsigned rank) {
    const struct ta_model *model = l->base.model;
    if (l->rows.n_tables == 0) return fetch(l, rank, 0, l->layout.n_params);
    ta_status status = TA_OK;
    for (unsigned s = 0; s < model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &model->segments[s];
        if (segment->kind == TA_SEGMENT_SUM || segment->kind == TA_SEGMENT_MEAN)
            status = fetch(l, rank, segment->offset, segment->count);
    }
    return status;
}

/* Another number of steps than the body here is known to hold. A spare that has made none yet puts the statistics that
 * it starts from at any time (live_join.c): all its headers count. */
static bool is_behind(struct ta_live *l, unsigned rank) {
    struct ta_live_arrived *a = &l->arrived[rank];
    const struct ta_slot_said *known = &l->members.member[rank].known;
    bool begins = rank >= l->founders && known->steps == 0 && known->pulse != a->pulse;
    bool behind = known->steps != a->steps || begins;
    a->steps = known->steps;
    a->pulse = known->pulse;
    a->whole |= behind;
    return behind;
}

ta_status ta_live_fetch(struct ta_live *l) {
    ta_status status = TA_OK;
    for (unsigned r = 0; r < l->self.n_ranks && l->dense && fetches(l) && status == TA_OK; r++)
        if (r != l->self.rank && !l->estates.estate[r].frozen && is_behind(l, r)) status = fetch_dense(l, r);
    return status;
}

static ta_status fetch_table(struct ta_live *l, unsigned rank, const struct ta_table *table, const uint32_t *rows,
                             size_t n) {
    size_t at = ta_slot_body(&l->layout, l->self.rank, rank) + table->offset * sizeof(float);
    if (rows == NULL) return fetch(l, rank, table->offset, (size_t)table->rows * table->stride);
    return l->transport_ops->fetch(l->transport, at, table->stride * sizeof(float), rows, n);
}

ta_status ta_live_fetch_rows(struct ta_live *l, const struct ta_table *table, const uint32_t *rows, size_t n) {
    ta_status status = TA_OK;
    for (unsigned r = 0; r < l->self.n_ranks && fetches(l) && status == TA_OK; r++)
        if (r != l->self.rank && !l->estates.estate[r].frozen && l->members.member[r].heard)
            status = fetch_table(l, r, table, rows, n);
    return status;
}

ta_status ta_live_fetch_last(struct ta_live *l, unsigned rank) {
    if (!fetches(l)) return TA_OK;
    (void)is_behind(l, rank);
    ta_status status = l->dense && l->arrived[rank].whole ? fetch_dense(l, rank) : TA_OK;
    for (unsigned t = 0; t < l->rows.n_tables && status == TA_OK && l->members.member[rank].heard; t++)
        status = fetch_table(l, rank, &l->rows.table[t].shape, NULL, 0);
    return status;
}

ta_status ta_live_fetch_relay(struct ta_live *l, unsigned rank) {
    return fetches(l) ? fetch(l, rank, 0, l->layout.n_params) : TA_OK;
}
