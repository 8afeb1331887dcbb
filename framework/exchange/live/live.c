/* live: the exchange of live windows. A replica's register is its cumulative delta; its inbox at each peer *is* that
 * register, written whole and in place, and the weights are w0 plus all registers, recomputed in one pass between
 * steps. So nothing can be lost or counted twice, whatever is delayed, coalesced or repeated on the way, and a body
 * that is half old and half new (words are whole) is a state on the way to the next: gone with the next apply.
 *
 * Tables of rows are exchanged by row, for the same reasons (live_tables.c).
 *
 * Lives here: birth and death, apply. Not here: see live.h.
 */
#include "live.h"

#include <string.h>

#include "mem.h"

const float *ta_live_register(const struct ta_live *l, unsigned rank) {
    if (rank == l->self.rank) return l->base.delta;
    if (l->estates.estate[rank].frozen) return l->estates.estate[rank].copy;
    if (l->whole != NULL) return l->whole->body[rank];
    return ta_live_inbox(l, rank);
}

/* Steps of `rank` that are in its register, as far as its header says. */
static uint64_t steps_of(const struct ta_live *l, unsigned rank) {
    const struct ta_estate *e = &l->estates.estate[rank];
    if (!e->frozen && l->whole != NULL) return l->whole->versions[rank];
    return e->frozen ? e->steps : l->members.member[rank].known.steps;
}

/* Moving statistics are averaged over those who still move them. */
static bool in_mean(const struct ta_live *l, unsigned rank) {
    if (rank != l->self.rank && ta_member_gone(&l->members.member[rank]))
        return l->at_rest && ta_live_counts_in_rest(l, rank);
    /* A spare that has not stepped may be known to some and not yet to others. */
    return rank < l->founders || (rank == l->self.rank ? l->base.steps : l->members.member[rank].known.steps) > 0;
}

static ta_status apply_dense(struct ta_live *l) {
    for (unsigned s = 0; s < l->base.model->n_segments && l->dense; s++) {
        const struct ta_segment *segment = &l->base.model->segments[s];
        if (segment->kind != TA_SEGMENT_SUM && segment->kind != TA_SEGMENT_MEAN) continue;
        bool mean = segment->kind == TA_SEGMENT_MEAN;
        unsigned n = 0;
        for (unsigned r = 0; r < l->self.n_ranks; r++)
            if (!mean || in_mean(l, r)) l->registers[n++] = ta_live_register(l, r) + segment->offset;
        if (n == 0) l->registers[n++] = l->base.delta + segment->offset;
        float *w = l->base.w + segment->offset;
        ta_status status =
            mean ? l->kernel_ops->mean(l->kernels, segment->count, w, l->registers, n)
                 : l->kernel_ops->sum(l->kernels, segment->count, w, l->base.w0 + segment->offset, l->registers, n);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

ta_status ta_live_apply(struct ta_live *l) {
    bool behind = l->whole != NULL && ta_whole_take(l);
    /* Before the sum reads the bodies: w then holds at least these steps. */
    for (unsigned r = 0; r < l->self.n_ranks; r++)
        if (r != l->self.rank) ta_staleness_based_on(&l->staleness, r, steps_of(l, r));
    ta_status status = ta_live_fetch(l);
    if (status == TA_OK) status = apply_dense(l);
    if (status == TA_OK) status = ta_live_tables_apply(l);
    if (status == TA_OK) l->stale = behind;
    return status;
}

static void live_close(struct ta_exchange *x) {
    if (x == NULL) return;
    struct ta_live *l = ta_live_of(x);
    /* What is in flight reads memory that is about to go. */
    for (unsigned p = 0; l->members.member != NULL && p < l->self.n_ranks; p++)
        if (l->members.member[p].connected || l->members.member[p].broken)
            l->transport_ops->disconnect(l->transport, p);
    ta_whole_close(l);
    ta_estates_close(l);
    ta_live_tables_close(l);
    ta_mem_free(l->registers);
    ta_mem_free(l->arrived);
    ta_live_bound_close(l);
    ta_staleness_close(&l->staleness);
    ta_membership_close(&l->members);
    ta_outboxes_close(&l->outboxes);
    l->kernel_ops->free(l->kernels, l->basis);
    l->kernel_ops->free(l->kernels, x->w);
    l->kernel_ops->free(l->kernels, x->delta);
    l->kernel_ops->free(l->kernels, x->w0);
    ta_mem_free(l);
}

static ta_status open_parts(struct ta_live *l, const struct ta_exchange_config *config) {
    const struct ta_exchange_spec *spec = config->spec;
    unsigned n = config->n_ranks, in_flight = spec->puts_in_flight > 0 ? spec->puts_in_flight : 1;
    ta_status status = ta_outboxes_open(&l->outboxes, n, in_flight, l->limits.put_rows);
    if (status != TA_OK) return status;
    double heartbeat_s = spec->heartbeat_s > 0 ? spec->heartbeat_s : TA_LIVE_HEARTBEAT_S;
    double dead_after_s = spec->dead_after_s > 0 ? spec->dead_after_s : TA_LIVE_DEAD_AFTER_S;
    l->outboxes.heartbeat_ns = (int64_t)(heartbeat_s * 1e9);
    struct ta_membership_config members = {
        .self = l->self,
        .layout = &l->layout,
        .window = l->window,
        .spares = config->spares,
        .board = l->outboxes.board,
        .dead_after_ns = (int64_t)(dead_after_s * 1e9),
        .log = config->log,
    };
    status = ta_membership_open(&l->members, &members);
    if (status == TA_OK) status = ta_staleness_open(&l->staleness, n);
    l->base.staleness = l->staleness.all;
    if (status == TA_OK) status = ta_estates_open(&l->estates, n);
    if (status == TA_OK) status = TA_NEW(&l->registers, n, "list of registers");
    size_t put = sizeof(struct ta_put_copy) + 2 * (size_t)l->limits.put_rows * sizeof(uint32_t);
    size_t each = sizeof(struct ta_outbox) + (in_flight + 1) * put +
                  sizeof(struct ta_slot_claim) + sizeof(struct ta_member) + sizeof(struct ta_hist) + sizeof(uint64_t) +
                  sizeof(struct ta_estate) + sizeof(float *);
    l->held_bytes += sizeof *l + n * each + TA_ESTATE_CHUNK_FLOATS * sizeof(float);
    if (n > 1) l->held_bytes += sizeof *l->staleness.all;
    return status;
}

static ta_status register_sources(struct ta_live *l) {
    if (l->self.n_ranks == 1) return TA_OK;
    struct ta_outboxes *o = &l->outboxes;
    size_t copies = (size_t)l->self.n_ranks * (o->in_flight + 1);
    const struct ta_transport_ops *ops = l->transport_ops;
    ta_status status = TA_OK;
    if (l->layout.n_params > 0)
        status = ta_live_source_register(l, l->base.delta, l->layout.n_params * sizeof(float));
    if (status == TA_OK) status = ops->source_register(l->transport, o->copies, copies * sizeof *o->copies);
    if (status == TA_OK && o->most_rows > 0)
        status = ops->source_register(l->transport, o->lists, copies * 2 * o->most_rows * sizeof *o->lists);
    if (status == TA_OK) status = ops->source_register(l->transport, o->board, l->self.n_ranks * sizeof *o->board);
    return status;
}

ta_status ta_live_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                       struct ta_live_limits limits, struct ta_exchange **out) {
    *out = NULL;
    static const struct ta_exchange_start nothing;
    if (start == NULL) start = &nothing;
    ta_status status = ta_live_check(config);
    struct ta_live *l = NULL;
    if (status == TA_OK) status = TA_NEW(&l, 1, "exchange");
    if (status != TA_OK) return status;
    l->kernel_ops = config->kernel_ops;
    l->kernels = config->kernels;
    l->updater = config->updater;
    l->transport_ops = config->transport_ops;
    l->transport = config->transport;
    l->log = config->log;
    l->limits = limits;
    l->self = (struct ta_slot_ident){config->rank, config->n_ranks, config->epoch};
    l->founders = config->n_ranks - config->spares;
    l->base = (struct ta_exchange){
        .ops = &ta_exchange_live, .model = config->model, .rank = config->rank, .n_ranks = config->n_ranks,
        .scale = config->spec->scale_mean ? 1.0F / (float)l->founders : 1.0F,
        .n_registers = config->n_ranks - 1 + 4,
    };
    l->bound.most = -1;
    /* A live exchange of nothing (control.h) leaves damping, and bounds, to the exchange around it. */
    if (config->model->n_segments > 0) status = ta_damping_make(config->spec, config->model, &l->damping);
    l->base.owner_updates = l->damping.kind == TA_DAMPING_NONE && config->recorder == NULL;
    l->base.n_registers += l->damping.kind == TA_DAMPING_COMPENSATED && config->n_ranks > 1;
    if (status == TA_OK) status = ta_live_tables_open(l, config->spec, start);
    if (status == TA_OK) status = ta_live_bound_open(l, config->spec, start);
    if (status == TA_OK)
        status = ta_slot_layout_make(config->n_ranks, config->model->n_params, l->limits.log_entries, &l->layout);
    if (config->recorder != NULL) l->limits.payload_bytes = TA_WHOLE_PAYLOAD_BYTES;
    if (status == TA_OK && l->limits.payload_bytes > 0)
        status = ta_slot_layout_extend(&l->layout, l->limits.payload_bytes);
    if (status == TA_OK) status = ta_live_window_open(l);
    if (status == TA_OK) status = ta_live_arenas_open(l, start);
    if (status == TA_OK) status = open_parts(l, config);
    if (status == TA_OK) status = register_sources(l);
    if (status == TA_OK && config->recorder != NULL) status = ta_whole_open(l, config->recorder);
    if (status == TA_OK) status = ta_live_start_from(l, start);
    if (status != TA_OK) {
        live_close(&l->base);
        return status;
    }
    *out = &l->base;
    return TA_OK;
}

static ta_status live_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                           struct ta_exchange **out) {
    return ta_live_open(config, start, (struct ta_live_limits){0}, out);
}

static void live_peer_joined(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    if (peer >= x->n_ranks || peer == x->rank) return;
    struct ta_live *l = ta_live_of(x);
    ta_membership_joined(&l->members, peer);
    ta_outbox_restart(l, peer);
    ta_outbox_push(l, peer, now_ns);
}

static void live_peer_broken(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    if (peer >= x->n_ranks || peer == x->rank) return;
    struct ta_live *l = ta_live_of(x);
    l->stale |= ta_membership_hear(&l->members, now_ns); /* its last word may be that it leaves */
    ta_membership_broken(&l->members, peer);
}

static void live_peer_lost(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    if (peer >= x->n_ranks || peer == x->rank) return;
    struct ta_live *l = ta_live_of(x);
    (void)ta_membership_hear(&l->members, now_ns); /* its last word may be that it leaves */
    ta_membership_lose(&l->members, peer, "is lost");
    l->stale = true;
}

/* The paths that broke. */
static void find_broken(struct ta_live *l) {
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == l->self.rank || !member->connected) continue;
        enum ta_peer_state state = l->transport_ops->peer_state(l->transport, p);
        if (state == TA_PEER_BROKEN) ta_membership_broken(&l->members, p);
        if (state != TA_PEER_DOWN) continue;
        ta_membership_lose(&l->members, p, "is gone: its process ended");
        l->stale = true;
    }
}

ta_status ta_live_accused(const struct ta_live *l) {
    if (!l->members.accused) return TA_OK;
    return ta_fail(TA_PEER, "replica %u was given up by the others (first by peer %u) after a silence and must leave; "
                   "if it was only slow, raise exchange.dead_after", l->self.rank, l->members.accuser);
}

static ta_status live_poll(struct ta_exchange *x, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (x->n_ranks > 1) {
        ta_status progress = l->transport_ops->progress(l->transport, now_ns);
        if (progress != TA_OK && progress != TA_PEER) return progress;
        /* First what they said, then whether they are still there: a last word counts. */
        l->stale |= ta_membership_hear(&l->members, now_ns);
        if (progress == TA_PEER) find_broken(l);
        if (l->members.accused) return ta_live_accused(l);
        bool changed = false;
        ta_status status = ta_live_look_outside(l);
        if (status == TA_OK) status = ta_estates_step(l, now_ns, &changed);
        if (status != TA_OK) return status;
        l->tables.scan_all |= changed;
        l->stale |= changed || ta_live_tables_news(l);
        ta_live_tables_tick(l, now_ns);
    }
    if (l->stale && !l->at_rest && !x->computing) {
        ta_status status = ta_live_apply(l);
        if (status != TA_OK) return status;
    }
    if (x->n_ranks > 1) ta_outboxes_flush(l, now_ns);
    return l->put_status;
}

static ta_status live_checksum(struct ta_exchange *x, uint64_t *out) {
    return ta_estate_checksum(ta_live_of(x), x->w, out);
}

static ta_status live_register_copy(struct ta_exchange *x, unsigned rank, float *host) {
    struct ta_live *l = ta_live_of(x);
    if (rank >= x->n_ranks) return ta_fail(TA_INVALID, "exchange: register %u of %u", rank, x->n_ranks);
    if (x->delta == NULL)
        return ta_fail(TA_INVALID, "exchange: a replica without peers keeps no register of its tables; save its "
                       "weights");
    ta_status status = rank == x->rank ? ta_live_tables_fold(l) : TA_OK;
    if (status != TA_OK) return status;
    return l->kernel_ops->copy_out(l->kernels, host, ta_live_register(l, rank), l->layout.n_params * sizeof(float));
}

static void live_note(struct ta_exchange *x, uint64_t note) {
    struct ta_live *l = ta_live_of(x);
    if (note <= l->note) return;
    l->note = note;
    l->said_version++;
}

static void live_gauge(struct ta_exchange *x, uint64_t gauge) { ta_live_of(x)->gauge = gauge; }

static uint64_t live_peer_gauge(const struct ta_exchange *x, unsigned peer) {
    return peer < x->n_ranks && peer != x->rank ? ta_live_of_const(x)->members.member[peer].gauge : 0;
}

static uint64_t live_peer_note(const struct ta_exchange *x, unsigned peer) {
    return peer < x->n_ranks && peer != x->rank ? ta_live_of_const(x)->members.member[peer].note : 0;
}

static void live_peer_stats(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out) {
    memset(out, 0, sizeof *out);
    if (peer >= x->n_ranks || peer == x->rank) return;
    const struct ta_live *l = ta_live_of_const(x);
    const struct ta_member *member = &l->members.member[peer];
    const struct ta_outbox *outbox = &l->outboxes.outbox[peer];
    out->life = member->life;
    out->broken = member->broken;
    out->breaks = member->breaks;
    out->puts = outbox->puts;
    out->bytes = outbox->bytes;
    out->busy = outbox->busy;
    out->rows = outbox->rows;
    out->foreign = member->foreign;
    out->steps_applied = l->staleness.basis[peer];
    out->steps_acked = member->acked < x->steps ? member->acked : x->steps;
    out->records = ta_member_gone(member) && l->estates.estate[peer].frozen ? l->estates.estate[peer].records
                                                                            : member->known.records;
    const struct ta_estate *estate = &l->estates.estate[peer];
    out->position = estate->frozen ? estate->position : member->position;
    uint64_t share = estate->frozen ? estate->share : member->share;
    out->has_share = peer < l->founders || (share > 0 && share <= l->founders);
    out->share = peer < l->founders ? peer : (unsigned)(out->has_share ? share - 1 : 0);
    struct ta_slot_said said = member->known;
    if (estate->frozen) ta_slot_unpack_state(estate->state, &said);
    out->finished = said.finished;
    /* By its own word, also while what it left is not frozen yet: it may have gone just after we came to rest with
     * it. */
    bool final = l->rest_round == TA_ROUND_FINAL;
    bool came = final ? said.finished : said.entered >= l->rest_round || said.done_final;
    out->rests = l->at_rest && (ta_member_gone(member) ? came : ta_member_counts(member));
    out->staleness = l->staleness.hist[peer];
}

static uint64_t live_steps_visible(const struct ta_exchange *x) {
    const struct ta_live *l = ta_live_of_const(x);
    uint64_t steps = x->steps;
    for (unsigned p = 0; p < x->n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p != x->rank && member->life == TA_PEER_LIVE && member->acked < steps) steps = member->acked;
    }
    return steps;
}

static size_t live_bytes(const struct ta_exchange *x) { return ta_live_of_const(x)->held_bytes; }

const struct ta_exchange_ops ta_exchange_live = {
    .name = "live",
    .agrees = true,
    .hands_down = true,
    .open = live_open,
    .close = live_close,
    .peer_joined = live_peer_joined,
    .peer_lost = live_peer_lost,
    .peer_broken = live_peer_broken,
    .enter = ta_live_enter,
    .ready = ta_live_ready,
    .step = ta_live_step,
    .stepped = ta_live_stepped,
    .touched = ta_live_touched,
    .reset_rows = ta_live_reset_rows,
    .renamed = ta_live_renamed,
    .poll = live_poll,
    .settle = ta_live_settle,
    .resume = ta_live_resume,
    .request = ta_live_request,
    .requested = ta_live_requested,
    .note = live_note,
    .peer_note = live_peer_note,
    .gauge = live_gauge,
    .peer_gauge = live_peer_gauge,
    .leave = ta_live_leave,
    .steps_visible = live_steps_visible,
    .checksum = live_checksum,
    .register_copy = live_register_copy,
    .peer_stats = live_peer_stats,
    .bytes = live_bytes,
};
