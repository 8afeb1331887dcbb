/* sync: birth and death, and what is handed on to control: who is there, rounds, notes. See sync.h. */
#include "sync.h"

#include <string.h>

#include "mem.h"

enum { FLOATS_A_LINE = 16 };
#define USUAL_DEAD_AFTER_S 2.5

static bool given(const char *text, const char *usual) {
    return text != NULL && text[0] != '\0' && strcmp(text, usual) != 0;
}

ta_status ta_sync_check(const struct ta_exchange_spec *spec) {
    if (given(spec->collective, "auto") && strcmp(spec->collective, "nccl") != 0 &&
        strcmp(spec->collective, "ring") != 0)
        return ta_fail(TA_CONFIG, "exchange.collective: '%s' does not exist; use one of: auto, nccl, ring",
                       spec->collective);
    if (given(spec->max_staleness, "none") && strcmp(spec->max_staleness, "0") != 0)
        return ta_fail(TA_CONFIG, "exchange.max_staleness: %s: with exchange.type sync it is 0 always; remove the "
                       "key, or use live", spec->max_staleness);
    if (spec->damping != TA_DAMPING_NONE)
        return ta_fail(TA_CONFIG, "exchange.damping: nothing is stale with exchange.type sync; remove it, or use live");
    if (spec->puts_in_flight > 1)
        return ta_fail(TA_CONFIG, "exchange.puts_in_flight: %u: with exchange.type sync one chunk waits for the other; "
                       "remove it, or use live", spec->puts_in_flight);
    if (spec->gradients_per_push > 1)
        return ta_fail(TA_CONFIG, "exchange.gradients_per_push: %u: exchange.type sync reduces every gradient; "
                       "remove it, or use dasgd", spec->gradients_per_push);
    return TA_OK;
}

static void sync_close(struct ta_exchange *x) {
    if (x == NULL) return;
    struct ta_sync *s = ta_sync_of(x);
    ta_sync_engine_close(s);
    ta_control_close(&s->control); /* first: what is in flight reads what goes next */
    ta_sync_buffers_close(s);
    s->kernel_ops->free(s->kernels, s->delta);
    s->kernel_ops->free(s->kernels, x->w);
    s->kernel_ops->free(s->kernels, x->w0);
    ta_mem_free(s->ring);
    ta_mem_free(s->link);
    ta_mem_free(s);
}

static ta_status open_arenas(struct ta_sync *s) {
    size_t bytes = s->base.model->n_params * sizeof(float);
    const struct {
        const char *what;
        float **out;
    } arenas[] = {{"initial weights", &s->base.w0}, {"sum of all updates", &s->delta}, {"weights", &s->base.w}};
    ta_status status = TA_OK;
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas && status == TA_OK; i++) {
        status = s->kernel_ops->alloc(s->kernels, bytes, arenas[i].what, (void **)arenas[i].out);
        if (status == TA_OK) s->held_bytes += bytes;
    }
    s->base.delta = s->delta;
    return status;
}

static ta_status open_links(struct ta_sync *s) {
    unsigned n = s->base.n_ranks;
    ta_status status = TA_NEW(&s->link, n, "links of the ring");
    if (status == TA_OK) status = TA_NEW(&s->ring, n, "the ring");
    if (status != TA_OK || n == 1) return status;
    s->held_bytes += sizeof *s + n * (sizeof *s->link + sizeof *s->ring);
    status = s->transport_ops->source_register(s->transport, s->link, n * sizeof *s->link);
    if (status == TA_OK && s->engine == TA_SYNC_RING) status = ta_sync_buffers_open(s);
    ta_sync_ring_make(s);
    return status;
}

/* Statistics that all have alike stay what they are to the bit; others are averaged. */
static void start_statistics(struct ta_sync *s, const struct ta_exchange_start *start,
                             const struct ta_segment *segment, float *delta) {
    size_t bytes = segment->count * sizeof(float);
    float *out = delta + segment->offset;
    unsigned n = 0;
    bool alike = true;
    for (unsigned r = 0; r < s->base.n_ranks && start->deltas != NULL; r++) {
        const float *its = start->deltas[r] != NULL ? start->deltas[r] + segment->offset : NULL;
        if (its == NULL) continue;
        if (n == 0) memcpy(out, its, bytes);
        else alike &= memcmp(start->deltas[0] + segment->offset, its, bytes) == 0;
        for (size_t i = 0; i < segment->count && n > 0; i++) out[i] += its[i];
        n++;
    }
    if (n == 0 && start->w0 != NULL) memcpy(out, start->w0 + segment->offset, bytes);
    else if (n == 0) memset(out, 0, bytes);
    else if (alike && start->deltas[0] != NULL) memcpy(out, start->deltas[0] + segment->offset, bytes);
    else
        for (size_t i = 0; i < segment->count; i++) out[i] /= (float)n;
}

/* Registers of a checkpoint, whichever exchange has made it, sum to what has been learned since w0. */
static ta_status start_from(struct ta_sync *s, const struct ta_exchange_start *start) {
    struct ta_exchange *x = &s->base;
    size_t d = x->model->n_params;
    float *delta = NULL;
    x->steps = s->settled_steps = start->steps;
    x->records = start->records;
    ta_status status = TA_NEW(&delta, d, "what was learned before");
    for (unsigned r = 0; r < x->n_ranks && start->deltas != NULL && status == TA_OK; r++)
        for (size_t i = 0; i < d && start->deltas[r] != NULL; i++) delta[i] += start->deltas[r][i];
    for (unsigned n = 0; n < x->model->n_segments && status == TA_OK; n++)
        if (x->model->segments[n].kind == TA_SEGMENT_MEAN)
            start_statistics(s, start, &x->model->segments[n], delta);
    if (status == TA_OK && start->w0 != NULL)
        status = s->kernel_ops->copy_in(s->kernels, x->w0, start->w0, d * sizeof *x->w0);
    if (status == TA_OK) status = s->kernel_ops->copy_in(s->kernels, s->delta, delta, d * sizeof *delta);
    ta_mem_free(delta);
    return status == TA_OK ? ta_sync_apply(s) : status;
}

static ta_status sync_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                           struct ta_exchange **out) {
    *out = NULL;
    static const struct ta_exchange_start nothing;
    unsigned n = config->n_ranks;
    size_t d = config->model->n_params;
    ta_status status = ta_sync_check(config->spec);
    struct ta_sync *s = NULL;
    if (status == TA_OK) status = TA_NEW(&s, 1, "exchange");
    if (status != TA_OK) return status;
    s->kernel_ops = config->kernel_ops;
    s->kernels = config->kernels;
    s->updater = config->updater;
    s->transport_ops = config->transport_ops;
    s->transport = config->transport;
    s->log = config->log;
    s->base = (struct ta_exchange){
        .ops = &ta_exchange_sync, .model = config->model, .rank = config->rank, .n_ranks = n,
        .scale = config->spec->scale_mean && n > 0 ? 1.0F / (float)n : 1.0F,
        .n_registers = n == 1 ? 4 : 9, /* slots count for two */
    };
    s->base.staleness = &s->staleness;
    if (n > 1) s->chunk_floats = ((d + n - 1) / n + FLOATS_A_LINE - 1) / FLOATS_A_LINE * FLOATS_A_LINE;
    if (n > 1 && s->chunk_floats == 0) s->chunk_floats = FLOATS_A_LINE;
    s->dead_after_s = config->spec->dead_after_s > 0 ? config->spec->dead_after_s : USUAL_DEAD_AFTER_S;
    status = ta_sync_engine_open(s, config);
    size_t payload = n > 1 ? s->slots_at + TA_SYNC_SLOTS * s->chunk_floats * sizeof(float) : 0;
    if (status == TA_OK) status = ta_control_open(config, start, payload, &s->control);
    if (status == TA_OK) status = open_arenas(s);
    if (status == TA_OK) status = open_links(s);
    if (status == TA_OK) status = start_from(s, start != NULL ? start : &nothing);
    if (status != TA_OK) {
        sync_close(&s->base);
        return status;
    }
    *out = &s->base;
    return TA_OK;
}

static struct ta_exchange *inner(struct ta_exchange *x) { return ta_sync_of(x)->control.x; }
static const struct ta_exchange *inner_const(const struct ta_exchange *x) { return ta_sync_of_const(x)->control.x; }

static void sync_peer_joined(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    if (peer >= x->n_ranks || peer == x->rank) return;
    inner(x)->ops->peer_joined(inner(x), peer, now_ns);
    s->link[peer].anew = true;
    ta_sync_ring_again(s, peer);
}

static void sync_peer_broken(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    inner(x)->ops->peer_broken(inner(x), peer, now_ns);
}

static void sync_peer_lost(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    inner(x)->ops->peer_lost(inner(x), peer, now_ns);
}

static ta_status sync_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out) {
    return inner(x)->ops->enter(inner(x), now_ns, out);
}

static void sync_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)x, (void)segment, (void)rows, (void)n; /* there are no tables */
}

static ta_status sync_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    return inner(x)->ops->reset_rows(inner(x), segment, rows, n);
}

static size_t sync_renamed(struct ta_exchange *x, uint32_t *rows, size_t most) {
    (void)x, (void)rows, (void)most;
    return 0;
}

static ta_status sync_poll(struct ta_exchange *x, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    if (!s->pending) inner(x)->position = x->position;
    ta_status status = inner(x)->ops->poll(inner(x), now_ns);
    return status == TA_OK ? ta_sync_progress(s, now_ns) : status;
}

static void sync_request(struct ta_exchange *x, uint32_t round, uint32_t reason) {
    inner(x)->ops->request(inner(x), round, reason);
}

static uint32_t sync_requested(const struct ta_exchange *x, uint32_t *reason) {
    return inner_const(x)->ops->requested(inner_const(x), reason);
}

static void sync_note(struct ta_exchange *x, uint64_t note) { inner(x)->ops->note(inner(x), note); }
static uint64_t sync_peer_note(const struct ta_exchange *x, unsigned peer) {
    return inner_const(x)->ops->peer_note(inner_const(x), peer);
}
static void sync_gauge(struct ta_exchange *x, uint64_t gauge) { inner(x)->ops->gauge(inner(x), gauge); }
static uint64_t sync_peer_gauge(const struct ta_exchange *x, unsigned peer) {
    return inner_const(x)->ops->peer_gauge(inner_const(x), peer);
}

static void sync_leave(struct ta_exchange *x, int64_t now_ns) {
    ta_sync_of(x)->left = true;
    inner(x)->ops->leave(inner(x), now_ns);
}

/* All have given to the last reduction, so all have completed the one before; at rest they have completed the last. */
static uint64_t sync_steps_visible(const struct ta_exchange *x) {
    const struct ta_sync *s = ta_sync_of_const(x);
    return x->n_ranks == 1 || s->members == 1 ? x->steps - s->pending : s->settled_steps;
}

static ta_status sync_checksum(struct ta_exchange *x, uint64_t *out) {
    return ta_control_checksum(&ta_sync_of(x)->control, x->w, x->model->n_params, out);
}

static ta_status sync_register_copy(struct ta_exchange *x, unsigned rank, float *host) {
    struct ta_sync *s = ta_sync_of(x);
    if (rank >= x->n_ranks) return ta_fail(TA_INVALID, "exchange: register %u of %u", rank, x->n_ranks);
    unsigned lowest = 0;
    while (lowest != x->rank && !ta_control_counts(&s->control, lowest)) lowest++;
    ta_status status = s->kernel_ops->copy_out(s->kernels, host, s->delta, x->model->n_params * sizeof *host);
    for (unsigned n = 0; n < x->model->n_segments && rank != lowest && status == TA_OK; n++) {
        const struct ta_segment *segment = &x->model->segments[n];
        if (segment->kind != TA_SEGMENT_MEAN) memset(host + segment->offset, 0, segment->count * sizeof *host);
    }
    return status;
}

static void sync_peer_stats(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out) {
    const struct ta_sync *s = ta_sync_of_const(x);
    inner_const(x)->ops->peer_stats(inner_const(x), peer, out);
    if (peer >= x->n_ranks || peer == x->rank) return;
    out->puts += s->link[peer].puts;
    out->bytes += s->link[peer].bytes;
    /* None of its updates was missing from any of our gradients' weights. */
    uint64_t gradients = out->staleness.count;
    ta_hist_clear(&out->staleness);
    out->staleness.count = out->staleness.bucket[0] = gradients;
}

static size_t sync_bytes(const struct ta_exchange *x) {
    return ta_sync_of_const(x)->held_bytes + inner_const(x)->ops->bytes(inner_const(x));
}

const struct ta_exchange_ops ta_exchange_sync = {
    .name = "sync",
    .agrees = true,
    .open = sync_open,
    .close = sync_close,
    .peer_joined = sync_peer_joined,
    .peer_broken = sync_peer_broken,
    .peer_lost = sync_peer_lost,
    .enter = sync_enter,
    .ready = ta_sync_ready,
    .step = ta_sync_step,
    .stepped = ta_sync_stepped,
    .touched = sync_touched,
    .reset_rows = sync_reset_rows,
    .renamed = sync_renamed,
    .poll = sync_poll,
    .settle = ta_sync_settle,
    .resume = ta_sync_resume,
    .request = sync_request,
    .requested = sync_requested,
    .note = sync_note,
    .peer_note = sync_peer_note,
    .gauge = sync_gauge,
    .peer_gauge = sync_peer_gauge,
    .leave = sync_leave,
    .steps_visible = sync_steps_visible,
    .checksum = sync_checksum,
    .register_copy = sync_register_copy,
    .peer_stats = sync_peer_stats,
    .bytes = sync_bytes,
};
