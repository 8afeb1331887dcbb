/* replay_exchange: what one rank does, as its recording says. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "mem.h"
#include "replay_internal.h"

static struct ta_replayed *of(struct ta_exchange *x) { return (struct ta_replayed *)x; }
static const struct ta_replayed *of_const(const struct ta_exchange *x) { return (const struct ta_replayed *)x; }

static struct ta_record_cursor *cursor_of(const struct ta_replayed *r) { return &r->replay->cursor[r->base.rank]; }

static uint32_t round_of(const struct ta_record_event *e) { return e->round == 0 ? TA_ROUND_FINAL : e->round; }

/* --- weights --- */

/* w, of the registers listed. */
static ta_status sum_up(struct ta_replayed *r) {
    const struct ta_exchange_config *c = &r->kept;
    ta_status status = TA_OK;
    for (unsigned s = 0; s < r->base.model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &r->base.model->segments[s];
        const float **lists = r->registers + r->base.n_ranks; /* those of the segment */
        for (unsigned i = 0; i < r->base.n_ranks; i++) lists[i] = r->registers[i] + segment->offset;
        float *w = r->base.w + segment->offset;
        status = segment->kind == TA_SEGMENT_MEAN
                     ? c->kernel_ops->mean(c->kernels, segment->count, w, lists, r->base.n_ranks)
                     : c->kernel_ops->sum(c->kernels, segment->count, w, r->base.w0 + segment->offset, lists,
                                          r->base.n_ranks);
    }
    return status;
}

static bool holds(const struct ta_replayed *r) {
    return memcmp(r->held, cursor_of(r)->versions, r->base.n_ranks * sizeof *r->held) == 0;
}

/* AGAIN: somebody has not made the step yet. */
static ta_status gather(struct ta_replayed *r) {
    struct ta_replay *p = r->replay;
    const struct ta_record_cursor *c = cursor_of(r);
    if (r->summed && holds(r)) return TA_OK;
    for (unsigned i = 0; i < p->n_ranks; i++) {
        const struct ta_replayed *other = p->rank[i];
        if (other == NULL || other->base.steps < c->versions[i]) return TA_AGAIN;
        bool there = other->base.steps == c->versions[i];
        r->registers[i] = there ? other->base.delta : ta_history_find(&p->history, i, c->versions[i]);
        if (r->registers[i] == NULL)
            return ta_fail(TA_INVALID, "replay: step %" PRIu64 " of rank %u was not kept", c->versions[i], i);
    }
    for (unsigned i = 0; i < p->n_ranks; i++) {
        if (r->held[i] == c->versions[i]) continue;
        if (i != r->base.rank && r->held[i] != UINT64_MAX) ta_history_release(&p->history, i, r->held[i]);
        r->held[i] = c->versions[i];
    }
    r->summed = true;
    return sum_up(r);
}

static uint64_t sum_of(const struct ta_replayed *r, const float *values) {
    return XXH3_64bits(values, r->base.model->n_params * sizeof(float));
}

ta_status ta_replay_checksum(const struct ta_exchange *x, const float *values, uint64_t *out) {
    *out = sum_of(of_const(x), values);
    return TA_OK;
}

uint64_t ta_replay_held(const struct ta_exchange *x, unsigned rank) { return of_const(x)->held[rank]; }

static ta_status replay_ready(struct ta_exchange *x, int64_t now_ns) {
    struct ta_replayed *r = of(x);
    const struct ta_record_event *e = &cursor_of(r)->event;
    (void)now_ns;
    if (r->replay->look.reached || e->kind == TA_RECORD_NONE || e->kind == TA_RECORD_END) return TA_AGAIN;
    if (!ta_replay_is_step(e)) return TA_OK;
    return gather(r);
}

/* --- steps --- */

static ta_status differs(const struct ta_replayed *r, const char *what, uint64_t recorded, uint64_t replayed) {
    return ta_fail(TA_FAILED, "the replay differs: %s of rank %u after its step %" PRIu64 " have checksum %016" PRIx64
                   ", recorded was %016" PRIx64 ": another program, library or processor, or the recording is damaged",
                   what, r->base.rank, r->base.steps, replayed, recorded);
}

/* On to the next step or rest; what is recorded of our register in between is compared. */
static ta_status move_on(struct ta_replayed *r) {
    struct ta_record_cursor *c = cursor_of(r);
    r->replay->moves++;
    ta_record_cursor_next(c);
    for (; c->event.kind == TA_RECORD_CHECK; ta_record_cursor_next(c)) {
        uint64_t sum = sum_of(r, r->base.delta);
        if (sum != c->event.checksum) return differs(r, "the register", c->event.checksum, sum);
        r->replay->look.checks++;
    }
    return TA_OK;
}

static ta_status look_at_step(struct ta_replayed *r, const float *grad, float scale) {
    struct ta_replay *p = r->replay;
    if (p->until_rank != r->base.rank || p->until_step != r->base.steps) return TA_OK;
    double norm2 = 0;
    ta_status status = r->kept.kernel_ops->grad_norm2(r->kept.kernels, r->base.model->n_params, grad, &norm2);
    p->look.reached = true;
    p->look.gradient_norm = sqrt(norm2);
    p->look.scale = scale;
    return status;
}

static ta_status replay_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_replayed *r = of(x);
    const struct ta_record_event e = cursor_of(r)->event;
    (void)now_ns;
    if (!ta_replay_is_step(&e) || !holds(r) || e.position != x->position)
        return ta_fail(TA_FAILED,
                       "the replay differs: rank %u trains on batch %" PRIu64 " of its share after step %" PRIu64
                       ", which was not recorded there: another stream, or another configuration",
                       x->rank, x->position, x->steps);
    ta_status status = ta_history_keep(&r->replay->history, x->rank, x->steps, x->delta);
    if (status != TA_OK) return status;
    float scale = e.scaled ? e.scale : x->scale;
    status = r->kept.updater.update(r->kept.updater.owner, grad, x->w, scale, x->delta);
    if (status != TA_OK && status != TA_NUMERIC) return status;
    if ((status == TA_OK) != (e.kind == TA_RECORD_STEP))
        return ta_fail(TA_FAILED,
                       "the replay differs: the gradient of rank %u after step %" PRIu64 " is %sfinite, recorded "
                       "was the contrary",
                       x->rank, x->steps, status == TA_OK ? "" : "not ");
    x->steps += status == TA_OK;
    x->records += status == TA_OK ? records : 0;
    r->replay->look.steps += status == TA_OK;
    ta_status looked = status == TA_OK ? look_at_step(r, grad, scale) : TA_OK;
    ta_status moved = move_on(r);
    if (looked != TA_OK) return looked;
    return moved != TA_OK ? moved : status;
}

static ta_status replay_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    (void)now_ns;
    if (records == 0) return TA_OK;
    return ta_fail(TA_INVALID, "replay: rank %u made a step of %" PRIu64 " records without a gradient", x->rank,
                   records);
}

/* --- rounds --- */

static ta_status rest(struct ta_replayed *r, uint32_t round) {
    struct ta_replay *p = r->replay;
    for (unsigned i = 0; i < p->n_ranks; i++) r->registers[i] = p->rank[i]->base.delta;
    ta_status status = sum_up(r);
    if (status != TA_OK) return status;
    r->summed = false;
    uint64_t sum = sum_of(r, r->base.w), recorded = cursor_of(r)->event.checksum;
    if (sum != recorded) return differs(r, "the weights at rest", recorded, sum);
    p->look.rests++;
    r->rested = round;
    return move_on(r);
}

static ta_status replay_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_replayed *r = of(x);
    struct ta_replay *p = r->replay;
    const struct ta_record_event *e = &cursor_of(r)->event;
    (void)now_ns;
    if (r->rested == round) return TA_OK;
    if (p->look.reached) return TA_AGAIN;
    if (ta_replay_is_step(e))
        return ta_fail(TA_FAILED,
                       "the replay differs: rank %u comes to rest after step %" PRIu64 ", and went on when it was "
                       "recorded: another stream, or another configuration",
                       x->rank, x->steps);
    if (e->kind != TA_RECORD_REST || round_of(e) != round) return TA_AGAIN;
    r->entered = round;
    for (unsigned i = 0; i < p->n_ranks; i++)
        if (p->rank[i] == NULL || p->rank[i]->entered < round) return TA_AGAIN;
    return rest(r, round);
}

static ta_status replay_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_replayed *r = of(x);
    (void)now_ns;
    r->done = round;
    for (unsigned i = 0; i < x->n_ranks; i++) {
        const struct ta_replayed *other = r->replay->rank[i];
        if (other->done < round && other->entered <= round) return TA_AGAIN;
    }
    return TA_OK;
}

/* Rounds are asked for by the recording alone. */
static void replay_request(struct ta_exchange *x, uint32_t round, uint32_t reason) {
    (void)x, (void)round, (void)reason;
}

static uint32_t replay_requested(const struct ta_exchange *x, uint32_t *reason) {
    const struct ta_replayed *r = of_const(x);
    const struct ta_record_event *e = &cursor_of(r)->event;
    if (reason != NULL) *reason = 0;
    bool due = e->kind == TA_RECORD_REST && e->round != 0 && e->position <= x->position;
    if (due) return e->round;
    return r->entered == TA_ROUND_FINAL ? 0 : r->entered;
}

/* --- what there is no more to than to say so --- */

static void nothing_at(struct ta_exchange *x, unsigned peer, int64_t now_ns) { (void)x, (void)peer, (void)now_ns; }

static ta_status replay_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out) {
    (void)now_ns;
    *out = (struct ta_exchange_entry){0};
    return ta_fail(TA_INVALID, "replay: nobody joins what was recorded (rank %u)", x->rank);
}

static void replay_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)x, (void)segment, (void)rows, (void)n;
}

static ta_status replay_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)rows, (void)n;
    return ta_fail(TA_INVALID, "replay: segment %u of rank %u is no table", segment, x->rank);
}

static size_t replay_renamed(struct ta_exchange *x, uint32_t *rows, size_t most) {
    (void)x, (void)rows, (void)most;
    return 0;
}

static ta_status replay_poll(struct ta_exchange *x, int64_t now_ns) {
    ta_status status = of(x)->kept.transport_ops->progress(of(x)->kept.transport, now_ns);
    return status == TA_PEER ? TA_OK : status; /* who has ended */
}

static void replay_word(struct ta_exchange *x, uint64_t word) { (void)x, (void)word; }

static uint64_t replay_peer_word(const struct ta_exchange *x, unsigned peer) {
    (void)x, (void)peer;
    return 0;
}

static void replay_leave(struct ta_exchange *x, int64_t now_ns) {
    (void)now_ns;
    of(x)->left = true;
}

static uint64_t replay_steps_visible(const struct ta_exchange *x) { return x->steps; }

static ta_status replay_checksum(struct ta_exchange *x, uint64_t *out) {
    *out = sum_of(of(x), x->w);
    return TA_OK;
}

static ta_status replay_register_copy(struct ta_exchange *x, unsigned rank, float *host) {
    if (rank >= x->n_ranks) return ta_fail(TA_INVALID, "exchange: register %u of %u", rank, x->n_ranks);
    memcpy(host, of(x)->replay->rank[rank]->base.delta, x->model->n_params * sizeof(float));
    return TA_OK;
}

static void replay_peer_stats(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out) {
    memset(out, 0, sizeof *out);
    const struct ta_replayed *other = peer < x->n_ranks ? of_const(x)->replay->rank[peer] : NULL;
    if (other == NULL || peer == x->rank) return;
    out->life = other->left ? TA_PEER_LEFT : TA_PEER_LIVE;
    out->records = other->base.records;
    out->position = other->base.position;
    out->share = peer;
    out->has_share = true;
    out->finished = other->entered == TA_ROUND_FINAL;
    out->rests = other->entered >= of_const(x)->rested && of_const(x)->rested > 0;
    out->steps_applied = other->base.steps;
    out->steps_acked = x->steps;
}

static size_t replay_bytes(const struct ta_exchange *x) { return 3 * x->model->n_params * sizeof(float); }

static void replay_close(struct ta_exchange *x) {
    if (x == NULL) return;
    struct ta_replayed *r = of(x);
    if (r->replay != NULL) r->replay->rank[x->rank] = NULL;
    ta_mem_free(r->held);
    ta_mem_free(r->registers);
    ta_mem_free(x->w);
    ta_mem_free(x->delta);
    ta_mem_free(x->w0);
    ta_mem_free(r);
}

/* As live starts (live_start.c): what the checkpoint says, else zero, and w0's own values for moving statistics. */
static void start_from(struct ta_replayed *r, const struct ta_exchange_start *start) {
    struct ta_exchange *x = &r->base;
    size_t bytes = x->model->n_params * sizeof(float);
    x->steps = start->steps;
    x->records = start->records;
    if (start->w0 != NULL) memcpy(x->w0, start->w0, bytes);
    if (start->deltas != NULL && start->deltas[x->rank] != NULL) {
        memcpy(x->delta, start->deltas[x->rank], bytes);
        return;
    }
    for (unsigned s = 0; s < x->model->n_segments; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        if (segment->kind != TA_SEGMENT_MEAN) continue;
        memcpy(x->delta + segment->offset, x->w0 + segment->offset, segment->count * sizeof(float));
    }
}

static ta_status check_fits(const struct ta_exchange_config *c, const struct ta_exchange_start *start) {
    const struct ta_record_head *h = &c->replay->records[c->rank].head;
    if (c->kernel_ops->on_gpu)
        return ta_fail(TA_CONFIG, "a recording is of CPUs, and GPUs round otherwise: repeat it with device.type: cpu");
    if (h->n_ranks != c->n_ranks || h->n_params != c->model->n_params || h->fingerprint != c->model->fingerprint)
        return ta_fail(TA_CONFIG,
                       "the recording is of %" PRIu64 " replicas of model %016" PRIx64 " (%" PRIu64 " parameters), "
                       "this is one of %u of model %016" PRIx64 " (%zu)",
                       h->n_ranks, h->fingerprint, h->n_params, c->n_ranks, c->model->fingerprint, c->model->n_params);
    if (h->steps != start->steps)
        return ta_fail(TA_CONFIG,
                       "the recording of rank %u begins after step %" PRIu64 ", this replica after step %" PRIu64
                       ": go on from the checkpoint that the run went on from (%s)",
                       c->rank, h->steps, start->steps, h->resume[0] != '\0' ? h->resume : "none");
    return TA_OK;
}

static ta_status replay_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                             struct ta_exchange **out) {
    struct ta_replayed *r;
    struct ta_window window;
    size_t n = config->model->n_params;
    *out = NULL;
    static const struct ta_exchange_start nothing;
    if (start == NULL) start = &nothing;
    ta_status status = check_fits(config, start);
    if (status == TA_OK) status = TA_NEW(&r, 1, "exchange");
    if (status != TA_OK) return status;
    r->kept = *config;
    r->base = (struct ta_exchange){
        .ops = &ta_exchange_replay, .model = config->model, .rank = config->rank, .n_ranks = config->n_ranks,
        .scale = config->spec->scale_mean ? 1.0F / (float)config->n_ranks : 1.0F, .n_registers = 4};
    status = TA_NEW(&r->base.w0, n, "initial weights");
    if (status == TA_OK) status = TA_NEW(&r->base.delta, n, "cumulative delta");
    if (status == TA_OK) status = TA_NEW(&r->base.w, n, "weights");
    if (status == TA_OK) status = TA_NEW(&r->registers, 2 * (size_t)config->n_ranks, "list of registers");
    if (status == TA_OK) status = TA_NEW(&r->held, config->n_ranks, "list of registers");
    /* The replicas meet as they always do. */
    if (status == TA_OK && config->n_ranks > 1)
        status = config->transport_ops->window_create(config->transport, 64, &window);
    if (status != TA_OK) {
        replay_close(&r->base);
        return status;
    }
    for (unsigned i = 0; i < config->n_ranks; i++) r->held[i] = UINT64_MAX;
    start_from(r, start);
    memcpy(r->base.w, r->base.w0, n * sizeof(float));
    r->replay = config->replay;
    r->replay->rank[config->rank] = r;
    *out = &r->base;
    return TA_OK;
}

const struct ta_exchange_ops ta_exchange_replay = {
    .name = "replay",
    .agrees = true,
    .open = replay_open,
    .close = replay_close,
    .peer_joined = nothing_at,
    .peer_lost = nothing_at,
    .peer_broken = nothing_at,
    .enter = replay_enter,
    .ready = replay_ready,
    .step = replay_step,
    .stepped = replay_stepped,
    .touched = replay_touched,
    .reset_rows = replay_reset_rows,
    .renamed = replay_renamed,
    .poll = replay_poll,
    .settle = replay_settle,
    .resume = replay_resume,
    .request = replay_request,
    .requested = replay_requested,
    .note = replay_word,
    .peer_note = replay_peer_word,
    .gauge = replay_word,
    .peer_gauge = replay_peer_word,
    .leave = replay_leave,
    .steps_visible = replay_steps_visible,
    .checksum = replay_checksum,
    .register_copy = replay_register_copy,
    .peer_stats = replay_peer_stats,
    .bytes = replay_bytes,
};
