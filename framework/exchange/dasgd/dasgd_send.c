/* dasgd_send: gradients become messages, messages are put, credits go back. */
#include <string.h>

#include "dasgd.h"
#include "window.h"

static uint64_t *basis_of(const struct ta_dasgd *d, uint64_t *head, unsigned index) {
    return head + TA_DASGD_WORDS + (size_t)index * (1 + d->base.n_ranks);
}

static struct ta_dasgd_message *growing(const struct ta_dasgd *d, unsigned peer) {
    return ta_dasgd_message(d, peer, d->out[peer].made);
}

static bool is_empty(const struct ta_dasgd_message *m) {
    return m->head[TA_DASGD_GRADIENTS] == 0 && m->head[TA_DASGD_TICK] == 0;
}

bool ta_dasgd_pending(const struct ta_dasgd *d, unsigned peer) {
    return !is_empty(growing(d, peer)) || d->out[peer].next < d->out[peer].made;
}

/* The first gradient is copied; statistics are averaged, not summed. */
static ta_status add(const struct ta_dasgd *d, struct ta_dasgd_message *m, const float *grad) {
    uint64_t so_far = m->head[TA_DASGD_GRADIENTS];
    ta_status status = TA_OK;
    if (so_far == 0) return d->kernel_ops->mean(d->kernels, d->base.model->n_params, m->body, &grad, 1);
    for (unsigned s = 0; s < d->base.model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &d->base.model->segments[s];
        const float *from = grad + segment->offset;
        float *to = m->body + segment->offset, kept = (float)((double)so_far / (double)(so_far + 1));
        status = segment->kind == TA_SEGMENT_MEAN ? d->kernel_ops->moving(d->kernels, segment->count, kept, from, to)
                                                  : d->kernel_ops->sum(d->kernels, segment->count, to, to, &from, 1);
    }
    return status;
}

static void add_basis(const struct ta_dasgd *d, struct ta_dasgd_message *m) {
    unsigned n = (uint32_t)m->head[TA_DASGD_RUN];
    if (n == TA_DASGD_BASES) {
        basis_of(d, m->head, n - 1)[0]++;
        return;
    }
    uint64_t *basis = basis_of(d, m->head, n);
    basis[0] = 1;
    memcpy(basis + 1, d->basis, d->base.n_ranks * sizeof *basis);
    m->head[TA_DASGD_RUN]++;
}

/* The next message may grow: there is a slot for this one, and nothing reads what its place held before. */
static bool can_seal(const struct ta_dasgd *d, unsigned peer) {
    const struct ta_dasgd_out *out = &d->out[peer];
    if (out->made - out->consumed >= d->slots) return false;
    const struct ta_dasgd_message *next = ta_dasgd_message(d, peer, out->made + 1);
    uint64_t puts = out->puts + ta_control_puts(&d->control, peer);
    return next->put_at + d->transport_ops->in_flight(d->transport, peer) <= puts;
}

static bool is_due(const struct ta_dasgd *d, const struct ta_dasgd_message *m) {
    if (is_empty(m)) return false;
    return d->urged || d->lock_step || m->head[TA_DASGD_GRADIENTS] >= d->per_push;
}

static bool seal(struct ta_dasgd *d, unsigned peer) {
    struct ta_dasgd_out *out = &d->out[peer];
    if (!can_seal(d, peer)) return false;
    growing(d, peer)->number = out->made + 1;
    out->made++;
    struct ta_dasgd_message *next = growing(d, peer);
    memset(next->head, 0, TA_DASGD_WORDS * sizeof *next->head);
    next->head[TA_DASGD_ID] = TA_DASGD_MAGIC << 32 | (d->base.rank + 1);
    next->head[TA_DASGD_RUN] = (uint64_t)d->epoch << 32;
    return true;
}

ta_status ta_dasgd_push(struct ta_dasgd *d, const float *grad) {
    struct ta_exchange *x = &d->base;
    for (unsigned p = 0; p < x->n_ranks; p++) {
        if (p == x->rank || !ta_control_counts(&d->control, p)) continue;
        struct ta_dasgd_message *m = growing(d, p);
        ta_status status = grad != NULL ? add(d, m, grad) : TA_OK;
        if (status != TA_OK) return status;
        if (grad != NULL) {
            add_basis(d, m);
            m->head[TA_DASGD_GRADIENTS]++;
        }
        if (d->lock_step) m->head[TA_DASGD_TICK] = d->tick + 1;
        m->head[TA_DASGD_STEPS] = x->steps;
        m->head[TA_DASGD_RECORDS] = m->records = x->records;
        m->position = x->position;
        if (is_due(d, m) && !seal(d, p)) d->out[p].busy++;
    }
    return TA_OK;
}

void ta_dasgd_hear_credits(struct ta_dasgd *d) {
    for (unsigned p = 0; p < d->base.n_ranks; p++) {
        struct ta_dasgd_out *out = &d->out[p];
        if (p == d->base.rank) continue;
        uint64_t said = ta_window_load_u64(d->control.window + ta_control_payload(&d->control, d->base.rank, p));
        if (said <= out->consumed || said > out->made) continue;
        out->consumed = said;
        out->steps_acked = ta_dasgd_message(d, p, said - 1)->head[TA_DASGD_STEPS];
        if (out->next < said) out->next = said;
    }
}

void ta_dasgd_restart(struct ta_dasgd *d, unsigned peer) {
    d->out[peer].next = d->out[peer].consumed;
    d->out[peer].told = UINT64_MAX;
}

bool ta_dasgd_all_consumed(const struct ta_dasgd *d) {
    for (unsigned p = 0; p < d->base.n_ranks; p++) {
        if (p == d->base.rank || !ta_control_counts(&d->control, p)) continue;
        if (ta_dasgd_pending(d, p) || d->out[p].consumed < d->out[p].made) return false;
    }
    return true;
}

static bool room(const struct ta_dasgd *d, unsigned peer) {
    return d->transport_ops->in_flight(d->transport, peer) < d->in_flight;
}

/* False: not now. */
static bool put(struct ta_dasgd *d, unsigned peer, const struct ta_put_segment *segments, unsigned n) {
    struct ta_dasgd_out *out = &d->out[peer];
    ta_status status = d->transport_ops->put(d->transport, peer, segments, n);
    if (status != TA_OK) {
        if (status != TA_BUSY && status != TA_PEER) d->put_status = status;
        return false;
    }
    out->puts++;
    for (unsigned i = 0; i < n; i++) out->bytes += segments[i].bytes;
    out->told = d->in[peer].consumed;
    return true;
}

/* A credit is put live: it only rises, and is one word. */
static struct ta_put_segment credit(const struct ta_dasgd *d, unsigned peer) {
    return (struct ta_put_segment){.source = &d->in[peer].consumed, .bytes = sizeof d->in[peer].consumed,
                                   .target_offset = ta_control_payload(&d->control, peer, d->base.rank)};
}

static bool put_message(struct ta_dasgd *d, unsigned peer) {
    struct ta_dasgd_out *out = &d->out[peer];
    struct ta_dasgd_message *m = ta_dasgd_message(d, peer, out->next);
    size_t slot = ta_control_payload(&d->control, peer, d->base.rank) + ta_dasgd_slot(d, out->next);
    size_t bases = (uint32_t)m->head[TA_DASGD_RUN];
    unsigned n = 0;
    struct ta_put_segment segments[4];
    segments[n++] = credit(d, peer);
    if (m->head[TA_DASGD_GRADIENTS] > 0)
        segments[n++] = (struct ta_put_segment){.source = m->body, .bytes = d->base.model->n_params * sizeof *m->body,
                                                .target_offset = slot + d->layout.body};
    segments[n++] = (struct ta_put_segment){
        .source = m->head, .bytes = 8 * (TA_DASGD_WORDS + bases * (1 + d->base.n_ranks)),
        .target_offset = slot + d->layout.head};
    segments[n++] = (struct ta_put_segment){.source = &m->number, .bytes = sizeof m->number, .target_offset = slot};
    if (!put(d, peer, segments, n)) return false;
    m->put_at = out->puts + ta_control_puts(&d->control, peer);
    out->next++;
    if (m->head[TA_DASGD_STEPS] >= out->steps_put) {
        out->steps_put = m->head[TA_DASGD_STEPS];
        out->records_put = m->records;
        out->position_put = m->position;
    }
    return true;
}

static void send_to(struct ta_dasgd *d, unsigned peer) {
    struct ta_dasgd_out *out = &d->out[peer];
    if (is_due(d, growing(d, peer))) (void)seal(d, peer);
    while (out->next < out->made && room(d, peer))
        if (!put_message(d, peer)) return;
    struct ta_put_segment alone = credit(d, peer);
    if (out->told != d->in[peer].consumed && d->transport_ops->in_flight(d->transport, peer) == 0)
        (void)put(d, peer, &alone, 1);
}

/* Our steps as the others know them, should we die, are those that are on their way to all. */
static ta_status tell(struct ta_dasgd *d, int64_t now_ns) {
    struct ta_exchange *x = &d->base, *inner = d->control.x;
    uint64_t steps = x->steps, records = x->records, position = x->position;
    for (unsigned p = 0; p < x->n_ranks; p++) {
        const struct ta_dasgd_out *out = &d->out[p];
        if (p == x->rank || !ta_control_counts(&d->control, p) || out->steps_put >= steps) continue;
        steps = out->steps_put;
        records = out->records_put;
        position = out->position_put;
    }
    if (position > inner->position) inner->position = position;
    if (steps <= inner->steps) return TA_OK;
    inner->steps = steps - 1;
    inner->records = records - 1;
    return inner->ops->stepped(inner, 1, now_ns);
}

ta_status ta_dasgd_send(struct ta_dasgd *d, int64_t now_ns) {
    for (unsigned p = 0; p < d->base.n_ranks; p++)
        if (p != d->base.rank && ta_control_reaches(&d->control, p)) send_to(d, p);
    return d->put_status != TA_OK ? d->put_status : tell(d, now_ns);
}
