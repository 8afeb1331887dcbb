/* dasgd_apply: messages that have come become updates, in order of arrival, or in lock-step by tick and rank. */
#include <inttypes.h>

#include "dasgd.h"
#include "window.h"

/* A message as its receiver sees it. */
struct arrival {
    const char *slot;
    uint64_t tick, steps, gradients, records;
    unsigned bases;
    bool ours, sound; /* of the peer and this run; and in itself */
};

ta_status ta_dasgd_refresh(struct ta_dasgd *d) {
    struct ta_exchange *x = &d->base;
    const float *delta;
    for (unsigned s = 0; s < x->model->n_segments && d->stale; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        delta = d->delta + segment->offset;
        float *w = x->w + segment->offset;
        ta_status status = segment->kind == TA_SEGMENT_MEAN
                               ? d->kernel_ops->mean(d->kernels, segment->count, w, &delta, 1)
                               : d->kernel_ops->sum(d->kernels, segment->count, w, x->w0 + segment->offset, &delta, 1);
        if (status != TA_OK) return status;
    }
    d->stale = false;
    return TA_OK;
}

static bool is_lowest(const struct ta_dasgd *d) {
    for (unsigned r = 0; r < d->base.rank; r++)
        if (ta_control_counts(&d->control, r)) return false;
    return true;
}

ta_status ta_dasgd_show(struct ta_dasgd *d) {
    struct ta_exchange *x = &d->base;
    float *before = x->delta;
    x->delta = is_lowest(d) ? d->delta : d->shown;
    for (unsigned s = 0; s < x->model->n_segments && x->delta == d->shown && x->delta != before; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        const float *own = d->delta + segment->offset;
        if (segment->kind != TA_SEGMENT_MEAN) continue;
        ta_status status = d->kernel_ops->mean(d->kernels, segment->count, d->shown + segment->offset, &own, 1);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

void ta_dasgd_base(struct ta_dasgd *d) {
    for (unsigned r = 0; r < d->base.n_ranks; r++) d->basis[r] = r == d->base.rank ? d->base.steps : d->applied[r];
}

ta_status ta_dasgd_update(struct ta_dasgd *d, const float *grad, float weight) {
    struct ta_exchange *x = &d->base;
    ta_status status = d->updater.update(d->updater.owner, grad, x->w, x->scale * weight, d->delta);
    if (status == TA_OK) d->stale = true;
    return status;
}

static uint64_t word(const char *at, size_t index) { return ta_window_load_u64(at + 8 * index); }

/* The next message of `peer`, if it is there. What it says of itself is checked: each step of the peer is in exactly
 * one message. */
static bool look(const struct ta_dasgd *d, unsigned peer, struct arrival *out) {
    const struct ta_dasgd_in *in = &d->in[peer];
    if (peer == d->base.rank || in->closed) return false;
    const char *slot = d->control.window + ta_control_payload(&d->control, d->base.rank, peer) +
                       ta_dasgd_slot(d, in->consumed);
    if (word(slot, 0) != in->consumed + 1) return false;
    const char *head = slot + d->layout.head;
    uint64_t run = word(head, TA_DASGD_RUN), counted = 0;
    *out = (struct arrival){.slot = slot,
                            .tick = word(head, TA_DASGD_TICK),
                            .steps = word(head, TA_DASGD_STEPS),
                            .gradients = word(head, TA_DASGD_GRADIENTS),
                            .records = word(head, TA_DASGD_RECORDS),
                            .bases = (uint32_t)run};
    out->ours = word(head, TA_DASGD_ID) == (TA_DASGD_MAGIC << 32 | (peer + 1)) && run >> 32 == d->epoch;
    out->sound = out->ours && out->bases <= TA_DASGD_BASES && out->steps == d->applied[peer] + out->gradients;
    out->sound &= out->gradients <= TA_DASGD_MOST_GRADIENTS;
    for (unsigned b = 0; b < out->bases && out->sound; b++) {
        uint64_t gradients = word(head, TA_DASGD_WORDS + (size_t)b * (1 + d->base.n_ranks));
        out->sound &= gradients <= out->gradients;
        counted += gradients;
    }
    out->sound &= counted == out->gradients;
    if (!out->sound) out->tick = 0; /* out of the way, at once */
    return true;
}

/* Steps in our weights that were not in those of the gradients with this basis; the sender's own always were. In
 * lock-step our weights are those before the tick: the updates of one tick are one. */
static uint64_t missing(const struct ta_dasgd *d, unsigned sender, const char *basis) {
    uint64_t all = 0;
    for (unsigned r = 0; r < d->base.n_ranks; r++) {
        uint64_t here = d->lock_step ? d->basis[r] : r == d->base.rank ? d->base.steps : d->applied[r];
        uint64_t there = word(basis, 1 + (size_t)r);
        if (r != sender && here > there) all += here - there;
    }
    return all;
}

/* Counts the staleness of each gradient; what the update of all of them is to be multiplied by. */
static float weigh(struct ta_dasgd *d, unsigned peer, const struct arrival *a) {
    double weight = 0;
    for (unsigned b = 0; b < a->bases; b++) {
        const char *basis = a->slot + d->layout.head + 8 * (TA_DASGD_WORDS + (size_t)b * (1 + d->base.n_ranks));
        uint64_t tau = missing(d, peer, basis), gradients = word(basis, 0);
        for (uint64_t g = 0; g < gradients; g++) {
            ta_hist_add(&d->hist[peer], tau);
            ta_hist_add(&d->hist[d->base.rank], tau);
        }
        weight += (double)gradients * (double)ta_damping_scale(&d->damping, tau);
    }
    return (float)(weight / (double)a->gradients);
}

/* An update that is not finite changes nothing, and is told by the next `ready`. */
static ta_status forgive(struct ta_dasgd *d, ta_status status) {
    d->spoilt |= status == TA_NUMERIC;
    return status == TA_NUMERIC ? TA_OK : status;
}

static ta_status apply(struct ta_dasgd *d, unsigned peer, const struct arrival *a) {
    struct ta_dasgd_in *in = &d->in[peer];
    ta_status status = TA_OK;
    if (!a->sound) {
        if (in->foreign++ == 0)
            ta_log_warn(d->log, "message %" PRIu64 " of peer %u is damaged, or of another run: it is left out",
                        in->consumed + 1, peer);
        if (a->ours) d->applied[peer] = a->steps;
    } else if (a->gradients > 0) {
        float weight = weigh(d, peer, a);
        if (!d->lock_step) status = ta_dasgd_refresh(d);
        if (status == TA_OK) status = forgive(d, ta_dasgd_update(d, (const float *)(a->slot + d->layout.body), weight));
        d->applied[peer] = a->steps;
        in->records = a->records;
    }
    in->consumed++;
    return status;
}

/* Every replica that could still add to the tick has done so, or will not; and somebody has. */
static bool complete(const struct ta_dasgd *d, uint64_t tick) {
    bool any = d->holds;
    if (!d->holds && !d->settling) return false;
    for (unsigned p = 0; p < d->base.n_ranks; p++) {
        struct arrival a;
        if (p == d->base.rank) continue;
        /* Rests first: who rests has put all it had before it said so. */
        bool idle = !ta_control_counts(&d->control, p) || ta_control_rests(&d->control, p);
        bool there = look(d, p, &a);
        if (there && a.tick <= tick) any = true;
        else if (!there && !idle) return false;
    }
    return any;
}

static ta_status apply_tick(struct ta_dasgd *d, uint64_t tick) {
    if (!d->holds) ta_dasgd_base(d); /* nobody has asked whether we are ready */
    ta_status status = TA_OK;
    for (unsigned r = 0; r < d->base.n_ranks && status == TA_OK; r++) {
        struct arrival a;
        if (r != d->base.rank) {
            if (look(d, r, &a) && a.tick <= tick) status = apply(d, r, &a);
        } else if (d->holds) {
            if (!d->held_empty) status = forgive(d, ta_dasgd_update(d, d->held, 1));
            d->holds = false;
        }
    }
    d->tick = tick;
    return status;
}

ta_status ta_dasgd_receive(struct ta_dasgd *d) {
    ta_status status = TA_OK;
    if (d->lock_step) {
        while (status == TA_OK && complete(d, d->tick + 1)) status = apply_tick(d, d->tick + 1);
    } else {
        bool any = true; /* one of each in turn: no ring can hold up the others */
        while (any && status == TA_OK) {
            any = false;
            for (unsigned p = 0; p < d->base.n_ranks && status == TA_OK; p++) {
                struct arrival a;
                if (!look(d, p, &a)) continue;
                status = apply(d, p, &a);
                any = true;
            }
        }
    }
    for (unsigned p = 0; p < d->base.n_ranks && status == TA_OK; p++) {
        struct arrival a;
        if (p != d->base.rank && !ta_control_counts(&d->control, p) && !look(d, p, &a)) d->in[p].closed = true;
    }
    return status;
}
