/* dasgd: birth and death, the small members. What it is about stands in dasgd.h. */
#include "dasgd.h"

#include <string.h>

#include "mem.h"

enum { LINE = 64 };

static size_t lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

static ta_status check(struct ta_dasgd *d, const struct ta_exchange_config *config) {
    const struct ta_exchange_spec *spec = config->spec;
    d->slots = spec->slots > 0 ? spec->slots : TA_DASGD_SLOTS;
    d->per_push = spec->gradients_per_push > 0 ? spec->gradients_per_push : 1;
    d->in_flight = spec->puts_in_flight > 0 ? spec->puts_in_flight : 1;
    if (d->slots > TA_DASGD_MOST_SLOTS)
        return ta_fail(TA_CONFIG, "exchange.slots: %u gradients of each peer, each as large as the model, are to wait "
                       "here; at most %d can", d->slots, TA_DASGD_MOST_SLOTS);
    if (config->kernel_ops->on_gpu)
        return ta_fail(TA_CONFIG, "exchange.type: dasgd applies gradients one by one, on CPUs alone: use live or sync, "
                       "or device.type: cpu");
    if (spec->damping == TA_DAMPING_COMPENSATED)
        return ta_fail(TA_CONFIG, "exchange.damping: delay-compensated needs the weights a gradient was computed on, "
                       "which a peer of dasgd does not have; use inverse or exponential, or exchange.type live");
    ta_status status = ta_damping_make(spec, config->model, &d->damping);
    if (status == TA_OK) status = ta_exchange_bound(spec, &d->bound);
    d->lock_step = d->bound == 0 && config->n_ranks > 1;
    return status;
}

static void lay_out(struct ta_dasgd *d, unsigned n_ranks, size_t n_params) {
    struct ta_dasgd_layout *l = &d->layout;
    l->head_words = lines(8 * (TA_DASGD_WORDS + (size_t)TA_DASGD_BASES * (1 + n_ranks))) / 8;
    l->stride = lines(n_params * sizeof(float)) / sizeof(float);
    l->head = LINE;
    l->body = l->head + l->head_words * 8;
    l->slot_bytes = l->body + l->stride * sizeof(float);
    l->payload_bytes = LINE + d->slots * l->slot_bytes;
}

static ta_status open_arena(struct ta_dasgd *d, size_t floats, const char *what, float **out) {
    ta_status status = d->kernel_ops->alloc(d->kernels, floats * sizeof(float), what, (void **)out);
    if (status == TA_OK) d->held_bytes += floats * sizeof(float);
    return status;
}

/* Rings of messages towards each peer; ours alone has none. */
static ta_status open_rings(struct ta_dasgd *d) {
    unsigned n = d->base.n_ranks;
    size_t peers = n - 1, each = d->slots + 1, all = peers * each, words = d->layout.head_words;
    ta_status status = TA_NEW(&d->out, n, "messages to peers");
    if (status == TA_OK) status = TA_NEW(&d->in, n, "messages of peers");
    if (status == TA_OK) status = TA_NEW(&d->messages, all, "messages");
    if (status == TA_OK) status = TA_NEW(&d->heads, all * words, "heads of messages");
    if (status == TA_OK && peers > 0) status = open_arena(d, all * d->layout.stride, "gradients for peers", &d->bodies);
    if (status != TA_OK) return status;
    d->held_bytes += n * (sizeof *d->out + sizeof *d->in) + all * (sizeof *d->messages + words * 8);
    for (unsigned p = 0, i = 0; p < n; p++) {
        if (p == d->base.rank) continue;
        d->out[p].ring = d->messages + i++ * each;
        d->out[p].told = UINT64_MAX;
        for (size_t m = 0; m < each; m++) {
            size_t at = (size_t)(d->out[p].ring - d->messages) + m;
            d->messages[at].body = d->bodies + at * d->layout.stride;
            d->messages[at].head = d->heads + at * words;
        }
        d->out[p].ring[0].head[TA_DASGD_ID] = TA_DASGD_MAGIC << 32 | (d->base.rank + 1);
        d->out[p].ring[0].head[TA_DASGD_RUN] = (uint64_t)d->epoch << 32;
    }
    return TA_OK;
}

static ta_status open_parts(struct ta_dasgd *d) {
    unsigned n = d->base.n_ranks;
    size_t floats = d->base.model->n_params;
    ta_status status = open_rings(d);
    if (status == TA_OK) status = TA_NEW(&d->applied, n, "steps of peers in the weights");
    if (status == TA_OK) status = TA_NEW(&d->basis, n, "steps of peers in the gradient's weights");
    if (status == TA_OK) status = TA_NEW(&d->hist, n, "staleness histograms");
    if (status == TA_OK) status = open_arena(d, floats, "initial weights", &d->base.w0);
    if (status == TA_OK) status = open_arena(d, floats, "cumulative delta", &d->delta);
    if (status == TA_OK && n > 1) status = open_arena(d, floats, "register at rest", &d->shown);
    if (status == TA_OK) status = open_arena(d, floats, "weights", &d->base.w);
    if (status == TA_OK && d->lock_step) status = open_arena(d, floats, "gradient of this tick", &d->held);
    d->held_bytes += sizeof *d + n * (sizeof *d->applied + sizeof *d->basis + sizeof *d->hist);
    return status;
}

static ta_status register_sources(struct ta_dasgd *d) {
    unsigned n = d->base.n_ranks;
    if (n == 1) return TA_OK;
    const struct ta_transport_ops *ops = d->transport_ops;
    size_t all = (size_t)(n - 1) * (d->slots + 1);
    ta_status status = ops->source_register(d->transport, d->bodies, all * d->layout.stride * sizeof(float));
    if (status == TA_OK) status = ops->source_register(d->transport, d->heads, all * d->layout.head_words * 8);
    if (status == TA_OK) status = ops->source_register(d->transport, d->messages, all * sizeof *d->messages);
    if (status == TA_OK) status = ops->source_register(d->transport, d->in, n * sizeof *d->in);
    return status;
}

/* The registers of all, summed; statistics are our own, or begin as w0's. */
static ta_status start_delta(struct ta_dasgd *d, const struct ta_exchange_start *start) {
    struct ta_exchange *x = &d->base;
    size_t bytes = x->model->n_params * sizeof(float);
    ta_status status = TA_OK;
    for (unsigned r = 0; r < x->n_ranks && start->deltas != NULL; r++) {
        const float *its = x->w; /* nothing is in w yet */
        if (start->deltas[r] != NULL && status == TA_OK)
            status = d->kernel_ops->copy_in(d->kernels, x->w, start->deltas[r], bytes);
        if (start->deltas[r] != NULL && status == TA_OK)
            status = d->kernel_ops->sum(d->kernels, x->model->n_params, d->delta, d->delta, &its, 1);
    }
    const float *own = start->deltas != NULL ? start->deltas[x->rank] : NULL;
    if (own == NULL) own = start->w0;
    for (unsigned s = 0; s < x->model->n_segments && status == TA_OK && own != NULL; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        if (segment->kind == TA_SEGMENT_MEAN)
            status = d->kernel_ops->copy_in(d->kernels, d->delta + segment->offset, own + segment->offset,
                                            segment->count * sizeof(float));
    }
    return status;
}

static ta_status start_from(struct ta_dasgd *d, const struct ta_exchange_start *start) {
    struct ta_exchange *x = &d->base;
    ta_status status = TA_OK;
    size_t bytes = x->model->n_params * sizeof(float);
    if (start->w0 != NULL) status = d->kernel_ops->copy_in(d->kernels, x->w0, start->w0, bytes);
    if (status == TA_OK) status = start_delta(d, start);
    x->delta = d->delta;
    x->steps = start->steps;
    x->records = start->records;
    for (unsigned p = 0; p < x->n_ranks; p++) {
        struct ta_dasgd_out *out = &d->out[p];
        if (p == x->rank) continue;
        out->steps_put = out->steps_acked = x->steps;
        out->records_put = x->records;
        d->applied[p] = start->peer_steps != NULL ? start->peer_steps[p] : 0;
    }
    d->stale = true;
    return status == TA_OK ? ta_dasgd_refresh(d) : status;
}

static void dasgd_close(struct ta_exchange *x) {
    if (x == NULL) return;
    struct ta_dasgd *d = ta_dasgd_of(x);
    ta_control_close(&d->control); /* first: it ends what is in flight */
    d->kernel_ops->free(d->kernels, d->held);
    d->kernel_ops->free(d->kernels, x->w);
    d->kernel_ops->free(d->kernels, d->shown);
    d->kernel_ops->free(d->kernels, d->delta);
    d->kernel_ops->free(d->kernels, x->w0);
    d->kernel_ops->free(d->kernels, d->bodies);
    ta_mem_free(d->hist);
    ta_mem_free(d->basis);
    ta_mem_free(d->applied);
    ta_mem_free(d->heads);
    ta_mem_free(d->messages);
    ta_mem_free(d->in);
    ta_mem_free(d->out);
    ta_mem_free(d);
}

static ta_status dasgd_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                            struct ta_exchange **out) {
    static const struct ta_exchange_start nothing;
    if (start == NULL) start = &nothing;
    *out = NULL;
    struct ta_dasgd *d = NULL;
    ta_status status = TA_NEW(&d, 1, "exchange");
    if (status != TA_OK) return status;
    d->kernel_ops = config->kernel_ops;
    d->kernels = config->kernels;
    d->updater = config->updater;
    d->transport_ops = config->transport_ops;
    d->transport = config->transport;
    d->log = config->log;
    d->epoch = config->epoch;
    d->base = (struct ta_exchange){
        .ops = &ta_exchange_dasgd, .model = config->model, .rank = config->rank, .n_ranks = config->n_ranks,
        .scale = config->spec->scale_mean ? 1.0F / (float)config->n_ranks : 1.0F,
    };
    status = check(d, config);
    if (status == TA_OK) {
        lay_out(d, config->n_ranks, config->model->n_params);
        unsigned peers = config->n_ranks - 1;
        d->base.n_registers = 4 + d->lock_step + (peers > 0) + peers * (2 * d->slots + 1);
        status = ta_control_open(config, start, d->layout.payload_bytes, &d->control);
    }
    if (status == TA_OK) status = open_parts(d);
    if (status == TA_OK) status = register_sources(d);
    if (status == TA_OK) status = start_from(d, start);
    if (status != TA_OK) {
        dasgd_close(&d->base);
        return status;
    }
    d->base.staleness = &d->hist[config->rank];
    *out = &d->base;
    return TA_OK;
}

static ta_status dasgd_poll(struct ta_exchange *x, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    ta_status status = d->control.x->ops->poll(d->control.x, now_ns);
    if (status != TA_OK) return status;
    if (x->n_ranks > 1) {
        ta_dasgd_hear_credits(d);
        status = d->at_rest ? ta_dasgd_show(d) : ta_dasgd_receive(d); /* at rest only the lowest may have changed */
    }
    if (status == TA_OK) status = ta_dasgd_refresh(d);
    return status == TA_OK ? ta_dasgd_send(d, now_ns) : status;
}

static void dasgd_peer_joined(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    if (peer < x->n_ranks && peer != x->rank) ta_dasgd_restart(d, peer);
    d->control.x->ops->peer_joined(d->control.x, peer, now_ns);
}

static void dasgd_peer_broken(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->peer_broken(inner, peer, now_ns);
}

static void dasgd_peer_lost(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->peer_lost(inner, peer, now_ns);
}

static ta_status dasgd_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    return inner->ops->enter(inner, now_ns, out);
}

/* Tables are refused by control, so there is nothing to name. */
static void dasgd_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)x, (void)segment, (void)rows, (void)n;
}

static ta_status dasgd_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)x, (void)rows, (void)n;
    return ta_fail(TA_INVALID, "exchange.type dasgd: segment %u is no table", segment);
}

static size_t dasgd_renamed(struct ta_exchange *x, uint32_t *rows, size_t most) {
    (void)x, (void)rows, (void)most;
    return 0;
}

static void dasgd_request(struct ta_exchange *x, uint32_t round, uint32_t reason) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->request(inner, round, reason);
}

static uint32_t dasgd_requested(const struct ta_exchange *x, uint32_t *reason) {
    const struct ta_exchange *inner = ta_dasgd_of_const(x)->control.x;
    return inner->ops->requested(inner, reason);
}

static void dasgd_note(struct ta_exchange *x, uint64_t note) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->note(inner, note);
}

static uint64_t dasgd_peer_note(const struct ta_exchange *x, unsigned peer) {
    const struct ta_exchange *inner = ta_dasgd_of_const(x)->control.x;
    return inner->ops->peer_note(inner, peer);
}

static void dasgd_gauge(struct ta_exchange *x, uint64_t gauge) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->gauge(inner, gauge);
}

static uint64_t dasgd_peer_gauge(const struct ta_exchange *x, unsigned peer) {
    const struct ta_exchange *inner = ta_dasgd_of_const(x)->control.x;
    return inner->ops->peer_gauge(inner, peer);
}

static void dasgd_leave(struct ta_exchange *x, int64_t now_ns) {
    struct ta_exchange *inner = ta_dasgd_of(x)->control.x;
    inner->ops->leave(inner, now_ns);
}

static uint64_t dasgd_steps_visible(const struct ta_exchange *x) {
    const struct ta_dasgd *d = ta_dasgd_of_const(x);
    uint64_t steps = x->steps;
    for (unsigned p = 0; p < x->n_ranks; p++)
        if (p != x->rank && ta_control_counts(&d->control, p) && d->out[p].steps_acked < steps)
            steps = d->out[p].steps_acked;
    return steps;
}

static ta_status dasgd_checksum(struct ta_exchange *x, uint64_t *out) {
    return ta_control_checksum(&ta_dasgd_of(x)->control, x->w, x->model->n_params, out);
}

static ta_status dasgd_register_copy(struct ta_exchange *x, unsigned rank, float *host) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    if (rank != x->rank)
        return ta_fail(TA_INVALID, "exchange.type dasgd: rank %u has no register of rank %u, whose gradients were used "
                       "on arrival; ask that rank", x->rank, rank);
    return d->kernel_ops->copy_out(d->kernels, host, x->delta, x->model->n_params * sizeof(float));
}

/* Of one gone, steps, records and position are control's, on which survivors agree. */
static void dasgd_peer_stats(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out) {
    const struct ta_dasgd *d = ta_dasgd_of_const(x);
    d->control.x->ops->peer_stats(d->control.x, peer, out);
    if (peer >= x->n_ranks || peer == x->rank) return;
    const struct ta_dasgd_out *to = &d->out[peer];
    const struct ta_dasgd_in *from = &d->in[peer];
    out->puts += to->puts;
    out->bytes += to->bytes;
    out->busy = to->busy;
    out->foreign += from->foreign;
    out->steps_acked = to->steps_acked;
    out->staleness = d->hist[peer];
    if (out->life == TA_PEER_DEAD || out->life == TA_PEER_LEFT) return;
    out->records = from->records;
    out->steps_applied = d->applied[peer];
}

static size_t dasgd_bytes(const struct ta_exchange *x) {
    const struct ta_dasgd *d = ta_dasgd_of_const(x);
    return d->held_bytes + d->control.x->ops->bytes(d->control.x);
}

const struct ta_exchange_ops ta_exchange_dasgd = {
    .name = "dasgd",
    .agrees = false,
    .hands_down = true,
    .open = dasgd_open,
    .close = dasgd_close,
    .peer_joined = dasgd_peer_joined,
    .peer_broken = dasgd_peer_broken,
    .peer_lost = dasgd_peer_lost,
    .enter = dasgd_enter,
    .ready = ta_dasgd_ready,
    .step = ta_dasgd_step,
    .stepped = ta_dasgd_stepped,
    .touched = dasgd_touched,
    .reset_rows = dasgd_reset_rows,
    .renamed = dasgd_renamed,
    .poll = dasgd_poll,
    .settle = ta_dasgd_settle,
    .resume = ta_dasgd_resume,
    .request = dasgd_request,
    .requested = dasgd_requested,
    .note = dasgd_note,
    .peer_note = dasgd_peer_note,
    .gauge = dasgd_gauge,
    .peer_gauge = dasgd_peer_gauge,
    .leave = dasgd_leave,
    .steps_visible = dasgd_steps_visible,
    .checksum = dasgd_checksum,
    .register_copy = dasgd_register_copy,
    .peer_stats = dasgd_peer_stats,
    .bytes = dasgd_bytes,
};
