/* live_start: what may be asked for, which memory a replica needs for what is exchanged, and what it starts from.
 *
 *     a model with layers               w0, delta, w; with tables also w as folded (live_tables.c)
 *     tables alone                      delta, w, w as folded; w0 only where it is given: else rows start from a seed
 *     tables alone, and no peers        w, which is all there is
 */
#include "live.h"

static const double LONGEST_S = 1e6;

ta_status ta_live_check(const struct ta_exchange_config *config) {
    const struct ta_exchange_spec *spec = config->spec;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "exchange: rank %u of %u replicas; ranks count from 0", config->rank,
                       config->n_ranks);
    if (config->spares >= config->n_ranks)
        return ta_fail(TA_CONFIG, "exchange: %u spares of %u ranks leave nobody to start with", config->spares,
                       config->n_ranks);
    for (unsigned s = 0; s < config->model->n_segments && config->spares > 0; s++)
        if (config->model->segments[s].kind == TA_SEGMENT_NAMES)
            return ta_fail(TA_CONFIG, "exchange: an online vocabulary deals its rows to all replicas from the start, "
                           "so none can join later: set run.spares to 0, or use a fixed vocabulary");
    if (!(spec->heartbeat_s >= 0 && spec->heartbeat_s <= LONGEST_S))
        return ta_fail(TA_CONFIG, "exchange.heartbeat: %g is not between 0 and %g seconds", spec->heartbeat_s,
                       LONGEST_S);
    if (!(spec->dead_after_s >= 0 && spec->dead_after_s <= LONGEST_S))
        return ta_fail(TA_CONFIG, "exchange.dead_after: %g is not between 0 and %g seconds", spec->dead_after_s,
                       LONGEST_S);
    double heartbeat_s = spec->heartbeat_s > 0 ? spec->heartbeat_s : TA_LIVE_HEARTBEAT_S;
    double dead_after_s = spec->dead_after_s > 0 ? spec->dead_after_s : TA_LIVE_DEAD_AFTER_S;
    if (dead_after_s < 2 * heartbeat_s)
        return ta_fail(TA_CONFIG, "exchange.dead_after is %g but a live replica may be silent for exchange.heartbeat = "
                       "%g; make it at least twice that", dead_after_s, heartbeat_s);
    if (spec->puts_in_flight > 64)
        return ta_fail(TA_CONFIG, "exchange.puts_in_flight: %u is more than 64; 1 or 2 is enough, since a later put "
                       "carries all of an earlier one", spec->puts_in_flight);
    if (spec->rows_after > TA_ROWS_MOST_AFTER)
        return ta_fail(TA_CONFIG, "exchange.rows_after: %u changes of a row before it is put; at most %d are counted",
                       spec->rows_after, TA_ROWS_MOST_AFTER);
    if (!(spec->rows_within_s >= 0 && spec->rows_within_s <= LONGEST_S))
        return ta_fail(TA_CONFIG, "exchange.rows_within: %g is not between 0 and %g seconds", spec->rows_within_s,
                       LONGEST_S);
    return TA_OK;
}

static bool alone(const struct ta_live *l) { return l->self.n_ranks == 1 && !l->dense; }

static ta_status open_arena(struct ta_live *l, const char *what, float **out) {
    size_t bytes = l->layout.n_params * sizeof(float);
    ta_status status = l->kernel_ops->alloc(l->kernels, bytes, what, (void **)out);
    if (status == TA_OK) l->held_bytes += bytes;
    return status;
}

static void close_arena(struct ta_live *l, float **arena) {
    if (*arena != NULL) l->held_bytes -= l->layout.n_params * sizeof(float);
    l->kernel_ops->free(l->kernels, *arena);
    *arena = NULL;
}

ta_status ta_live_arenas_open(struct ta_live *l, const struct ta_exchange_start *start) {
    struct ta_exchange *x = &l->base;
    ta_status status = TA_OK;
    /* Alone, registers are only needed to sum up those of a former life: see ta_live_start_from. */
    bool registers = !alone(l) || start->deltas != NULL;
    if (l->dense || (registers && start->w0 != NULL)) status = open_arena(l, "initial weights", &x->w0);
    if (status == TA_OK && registers) status = open_arena(l, "cumulative delta", &x->delta);
    if (status == TA_OK && l->rows.n_tables > 0 && !alone(l))
        status = open_arena(l, "weights folded", &l->tables.folded);
    if (status == TA_OK && l->damping.kind == TA_DAMPING_COMPENSATED && x->n_ranks > 1)
        status = open_arena(l, "weights of a gradient", &l->basis);
    if (status == TA_OK) status = open_arena(l, "weights", &x->w);
    return status;
}

/* Where a register starts: what the checkpoint says, else zero, and w0's own values for moving statistics. */
static ta_status start_register(struct ta_live *l, const struct ta_exchange_start *start, unsigned rank, float *to) {
    if (start->deltas != NULL && start->deltas[rank] != NULL)
        return l->kernel_ops->copy_in(l->kernels, to, start->deltas[rank], l->layout.n_params * sizeof(float));
    for (unsigned s = 0; s < l->base.model->n_segments && start->w0 != NULL; s++) {
        const struct ta_segment *segment = &l->base.model->segments[s];
        if (segment->kind != TA_SEGMENT_MEAN) continue;
        ta_status status = l->kernel_ops->copy_in(l->kernels, to + segment->offset, start->w0 + segment->offset,
                                                  segment->count * sizeof(float));
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

/* A model that has layers too keeps w0, so what its rows start from is written there. */
static ta_status fresh_rows(struct ta_live *l, float *w0) {
    ta_status status = TA_OK;
    for (unsigned t = 0; t < l->rows.n_tables && status == TA_OK; t++)
        if (!l->rows.table[t].names)
            status = l->kernel_ops->rows_sum(l->kernels, &l->rows.table[t].shape, l->tables.seed, NULL, 0, w0, NULL,
                                             l->registers, 0);
    return status;
}

ta_status ta_live_start_from(struct ta_live *l, const struct ta_exchange_start *start) {
    size_t bytes = l->layout.n_params * sizeof(float);
    struct ta_exchange *x = &l->base;
    x->steps = start->steps;
    x->records = start->records;
    float *origin = x->delta != NULL ? x->w0 : x->w;
    ta_status status = TA_OK;
    if (start->w0 != NULL) status = l->kernel_ops->copy_in(l->kernels, origin, start->w0, bytes);
    else if (origin != NULL) status = fresh_rows(l, origin);
    for (unsigned r = 0; r < l->self.n_ranks && status == TA_OK && x->delta != NULL; r++) {
        bool own = r == l->self.rank;
        float *to = own ? x->delta : ta_live_inbox(l, r);
        status = start_register(l, start, r, to);
        if (!own && start->peer_steps != NULL)
            l->members.member[r].known.steps = l->arrived[r].steps = start->peer_steps[r];
    }
    if (status == TA_OK && x->delta != NULL) status = ta_live_apply(l);
    l->tables.scan_all = l->tables.all_renamed = false;
    if (status == TA_OK && alone(l)) {
        close_arena(l, &x->delta);
        close_arena(l, &x->w0);
    }
    return status;
}
