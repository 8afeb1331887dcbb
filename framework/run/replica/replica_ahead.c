/* replica_ahead: a step of a device that computes by itself (kernels.h: stage, begin, ready, end). While it computes,
 * the exchange is polled, and the batch that comes next is taken from the stream and sent on its way.
 *
 * At most one batch is ahead. It is a batch like any other that was read and not used yet: what ends the run, or deals
 * the stream anew, may find it there. What was staged of it and is not to be trained on goes through the device once
 * without an update, as the device takes what was staged in order. */
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

/* A nap lasts longer than it was asked for, by the slack of the kernel's timers: only steps that are much longer begin with
 * naps, and nobody naps when a step is about to end; unless it never does. */
enum { NAP_NS = 10 * 1000, NAP_LASTS_NS = 100 * 1000 };

bool ta_replica_steps_apart(const struct ta_replica *r) { return r->kernel_ops->stage != NULL; }

ta_status ta_replica_ahead_take(struct ta_replica *r, int64_t now_ns, const struct ta_batch **out) {
    struct ta_ahead *a = &r->ahead;
    ta_status status = a->status;
    *out = a->batch;
    a->batch = NULL;
    a->status = TA_OK;
    if (*out != NULL) return TA_OK;
    if (status == TA_OK) return ta_replayer_next(r->replayer, now_ns, out);
    return status == TA_END ? status : ta_fail(status, "%s", a->why);
}

void ta_replica_ahead_forget(struct ta_replica *r) {
    r->ahead.batch = NULL;
    r->ahead.status = TA_OK;
}

/* What was staged and is not wanted any more. */
static ta_status drain(struct ta_replica *r) {
    struct ta_ahead *a = &r->ahead;
    if (a->staged == NULL) return TA_OK;
    const struct ta_net_step nothing = {.w = r->x->w, .grad = r->grad};
    a->staged = NULL;
    ta_status status = r->kernel_ops->begin(r->net, &nothing);
    return status == TA_OK ? r->kernel_ops->end(r->net, NULL, NULL, NULL) : status;
}

/* Labels as they come, of a whole batch, which nothing but the next step will want. */
static bool may_stage(const struct ta_replica *r, const struct ta_batch *b) {
    const struct ta_replica_online *o = &r->online;
    bool as_is = b->classes == NULL || r->model.loss == TA_LOSS_CROSS_ENTROPY;
    bool labels = b->classes != NULL || b->targets != NULL;
    bool whole = b->records == r->run->stream.batch;
    return as_is && labels && whole && o->waiting.room == 0 && o->rehearsal.config.room == 0 &&
           ta_cycle_trains(&o->cycle);
}

/* The batch that comes next, if it can be had without waiting. */
static void look_ahead(struct ta_replica *r, int64_t now_ns) {
    struct ta_ahead *a = &r->ahead;
    if (a->batch != NULL || a->status != TA_OK || r->config.replay != NULL || r->stop) return;
    ta_status status = ta_replayer_next(r->replayer, now_ns, &a->batch);
    if (status == TA_AGAIN) return;
    if (status != TA_OK) {
        a->batch = NULL;
        a->status = status; /* told when it is asked for */
        if (status != TA_END) snprintf(a->why, sizeof a->why, "%s", ta_why());
        return;
    }
    if (a->staged != NULL || !may_stage(r, a->batch)) return;
    struct ta_step step = {.x = a->batch->x,
                           .labels = {.classes = a->batch->classes, .targets = a->batch->targets},
                           .records = a->batch->records};
    /* Without a label there is no step; what is wrong with them is told when their turn has come. */
    if (ta_replica_step_labels(r, &step) != TA_OK || step.labelled == 0) return;
    if (r->kernel_ops->stage(r->net, step.x, &step.labels) == TA_OK) a->staged = step.x;
}

/* Whether there is time for a nap in a step that has taken so long, where the last ones took `usual_ns`. */
static bool may_nap(int64_t so_far_ns, int64_t usual_ns) {
    return so_far_ns > 2 * usual_ns + NAP_LASTS_NS || so_far_ns + 2 * (int64_t)NAP_LASTS_NS < usual_ns;
}

/* Until the device is done: it is looked at again and again. */
static ta_status compute(struct ta_replica *r, struct ta_net *net, char *why, size_t bytes) {
    const struct timespec nap = {.tv_nsec = NAP_NS};
    const int64_t began_ns = ta_clock_now_ns();
    int64_t *usual_ns = &r->ahead.usual_ns;
    ta_status polled = TA_OK, status;
    r->x->computing = true;
    while ((status = r->kernel_ops->ready(net)) == TA_AGAIN) {
        int64_t now_ns = ta_replica_clock_ns(r);
        look_ahead(r, now_ns);
        if (r->x->owner_updates && polled == TA_OK) {
            polled = r->exchange_ops->poll(r->x, now_ns);
            if (polled != TA_OK) snprintf(why, bytes, "%s", ta_why());
        }
        if (may_nap(ta_clock_now_ns() - began_ns, *usual_ns)) (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
    r->x->computing = false;
    *usual_ns += (ta_clock_now_ns() - began_ns - *usual_ns) / 8;
    if (status == TA_OK) return polled;
    snprintf(why, bytes, "%s", ta_why());
    return status;
}

/* Peers take a long silence for death, and what a device does for the first time may take seconds: what libraries load and
 * compile at their first call is done before anybody waits for us. A batch of zeros, whose gradient nobody takes. */
ta_status ta_replica_warm_up(struct ta_replica *r) {
    if (!ta_replica_steps_apart(r) || ta_replica_of_words(r)) return TA_OK;
    uint32_t batch = r->run->stream.batch;
    float *x = NULL, *targets = NULL;
    int32_t *classes = NULL;
    ta_status status = TA_NEW(&x, batch * ta_shape_count(r->model.input), "a batch of zeros");
    if (status == TA_OK) status = TA_NEW(&targets, (size_t)batch * r->model.outputs, "its targets");
    if (status == TA_OK) status = TA_NEW(&classes, batch, "its classes");
    bool cross = r->model.loss == TA_LOSS_CROSS_ENTROPY;
    const struct ta_labels labels = {.classes = cross ? classes : NULL, .targets = cross ? NULL : targets};
    if (status == TA_OK)
        status = r->kernel_ops->train(r->net, r->x->w, x, &labels, 0, r->grad, r->bench.predictions, r->bench.losses);
    if (status == TA_OK && r->own_prediction)
        status = r->kernel_ops->predict(r->net, r->x->w, x, &labels, r->bench.predictions, r->bench.losses);
    ta_mem_free(x);
    ta_mem_free(targets);
    ta_mem_free(classes);
    return status;
}

static void note_once(struct ta_replica *r, const struct ta_net *net) {
    const char *note = r->kernel_ops->net_note != NULL ? r->kernel_ops->net_note(net) : "";
    if (r->ahead.noted || note[0] == '\0') return;
    r->ahead.noted = true;
    ta_log_warn(r->config.log, "%s", note);
}

ta_status ta_replica_compute_apart(struct ta_replica *r, struct ta_net *net, const struct ta_step *step, bool tell,
                                   struct ta_net_outcome *outcome) {
    struct ta_net_update update;
    struct ta_net_step how = {
        .w = r->x->w, .grad = r->grad, .step = r->optimizer.step + r->optimizer.skipped};
    bool updates = r->x->owner_updates;
    ta_status status = TA_OK;
    if (updates) {
        ta_optimizer_plan(&r->optimizer, r->x->scale, r->x->delta, &update);
        how.update = &update;
    }
    if (net == r->net && r->ahead.staged == step->x) r->ahead.staged = NULL;
    else {
        status = drain(r);
        if (status == TA_OK) status = r->kernel_ops->stage(net, step->x, &step->labels);
    }
    if (status == TA_OK) status = r->kernel_ops->begin(net, &how);
    if (status != TA_OK) return status;
    char why[512];
    ta_status computed = compute(r, net, why, sizeof why);
    status = r->kernel_ops->end(net, tell ? r->bench.predictions : NULL, tell ? r->bench.losses : NULL,
                                updates ? outcome : NULL);
    if (status == TA_OK) note_once(r, net);
    if (status != TA_OK || computed == TA_OK) return status;
    return ta_fail(computed, "%s", why);
}

ta_status ta_replica_made_apart(struct ta_replica *r, const struct ta_net_outcome *outcome, uint64_t records,
                                int64_t now_ns) {
    ta_status status = ta_optimizer_done(&r->optimizer, outcome);
    if (status != TA_OK) return status;
    r->trained_ns = r->mark_ns;
    return r->exchange_ops->stepped(r->x, records, now_ns);
}
