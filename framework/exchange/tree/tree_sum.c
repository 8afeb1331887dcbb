/* tree_sum: what is added up: the weights, what goes out to a group, and a new start from the weights of a rest. */
#include <string.h>

#include "tree.h"

static bool counts(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    return n->known.basis == t->said.based;
}

uint64_t ta_tree_stamp(const struct ta_tree *t, unsigned group) {
    uint64_t stamp = t->base.steps;
    for (unsigned i = 0; i < t->n_neighbours; i++)
        if (t->near[i]->edge.group != group) stamp += t->near[i]->news;
    return stamp;
}

/* What was not on its way down to us yet when all came to rest, and what the gone had made by then. */
uint64_t ta_tree_rest_of(const struct ta_tree *t) {
    uint64_t sum = t->base.steps;
    for (unsigned i = 0; i < t->n_neighbours; i++) sum += t->near[i]->known.behind;
    return sum < t->said.total ? t->said.total - sum : 0;
}

uint64_t ta_tree_steps_of(const struct ta_tree *t, unsigned place) {
    return t->near[place]->known.behind + (place == t->up ? ta_tree_rest_of(t) : 0);
}

uint64_t ta_tree_behind(const struct ta_tree *t, unsigned group) {
    uint64_t steps = t->base.steps;
    for (unsigned i = 0; i < t->n_neighbours; i++)
        if (t->near[i]->edge.group != group) steps += ta_tree_steps_of(t, i);
    return steps;
}

uint64_t ta_tree_fresh(const struct ta_tree *t, unsigned group) {
    uint64_t steps = t->base.steps - t->based_steps;
    for (unsigned i = 0; i < t->n_neighbours; i++)
        if (t->near[i]->edge.group != group && counts(t, t->near[i])) steps += t->near[i]->known.fresh;
    return steps;
}

/* to = base + bodies that did not come from `group`. A body that does not count yet stands for its ranks with the
 * statistics of w0. */
static ta_status add_up(struct ta_tree *t, unsigned group, const struct ta_segment *segment, float *to) {
    bool mean = segment->kind == TA_SEGMENT_MEAN, whole = group == t->n_groups;
    const float *w0 = t->base.w0 + segment->offset, *own = t->base.delta + segment->offset;
    unsigned n = 0, behind = 1, listed = 1;
    if (whole) t->registers[n++] = own;
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *from = t->near[i];
        if (from->edge.group == group) continue;
        if (counts(t, from)) t->registers[n++] = from->in_body + segment->offset;
        behind += from->ranks;
        for (unsigned r = 0; mean && !counts(t, from) && r < from->ranks; r++) t->registers[n++] = w0;
        listed += counts(t, from) ? 1 : from->ranks;
    }
    const struct ta_kernels_ops *ops = t->config.kernel_ops;
    if (!whole) return ops->sum(t->config.kernels, segment->count, to + segment->offset, own, t->registers, n);
    if (!mean) return ops->sum(t->config.kernels, segment->count, to + segment->offset, w0, t->registers, n);
    for (; listed < behind; listed++) t->registers[n++] = t->zeros; /* the mean divides by the length of the list */
    return ops->mean(t->config.kernels, segment->count, to + segment->offset, t->registers, n);
}

ta_status ta_tree_fetch(struct ta_tree *t, struct ta_tree_neighbour *n) {
    const struct ta_transport_ops *ops = t->config.transport_ops;
    size_t bytes = t->base.model->n_params * sizeof(float);
    n->fetched = n->known.pulse;
    if (t->inboxes.far.n == 0 || ops->fetch == NULL) return TA_OK;
    return ops->fetch(t->config.transport, n->in_body_at, bytes, NULL, 0);
}

static ta_status add_up_all(struct ta_tree *t, unsigned group, float *to) {
    ta_status status = TA_OK;
    for (unsigned i = 0; i < t->n_neighbours && status == TA_OK; i++)
        if (counts(t, t->near[i]) && t->near[i]->fetched != t->near[i]->known.pulse)
            status = ta_tree_fetch(t, t->near[i]);
    for (unsigned s = 0; s < t->base.model->n_segments && status == TA_OK; s++)
        status = add_up(t, group, &t->base.model->segments[s], to);
    return status;
}

ta_status ta_tree_apply(struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) { /* before the bodies are read: they hold at least this */
        t->near[i]->in_w = t->near[i]->known.behind;
        t->near[i]->own_in_w = t->near[i]->known.own;
    }
    ta_status status = add_up_all(t, t->n_groups, t->base.w);
    if (status == TA_OK) t->stale = false;
    return status;
}

ta_status ta_tree_gather(struct ta_tree *t, unsigned group, const float **source) {
    struct ta_tree_group *g = &t->group[group];
    uint64_t stamp = ta_tree_stamp(t, group);
    *source = g->out != NULL ? g->out : t->base.delta;
    if (g->stamp == stamp) return TA_OK;
    g->own = t->base.steps;
    g->behind = ta_tree_behind(t, group);
    g->fresh = ta_tree_fresh(t, group);
    ta_status status = g->out != NULL ? add_up_all(t, group, g->out) : TA_OK;
    if (status == TA_OK) g->stamp = stamp;
    return status;
}

static ta_status copy(struct ta_tree *t, float *to, const float *from, size_t n) {
    return t->config.kernel_ops->sum(t->config.kernels, n, to, from, t->registers, 0);
}

/* Registers as before the first step: zero, and the statistics of w0. */
static ta_status clear_delta(struct ta_tree *t) {
    ta_status status = TA_OK;
    memset(t->scratch, 0, TA_TREE_SCRATCH_FLOATS * sizeof(float));
    for (unsigned s = 0; s < t->base.model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &t->base.model->segments[s];
        float *delta = t->base.delta + segment->offset;
        if (segment->kind == TA_SEGMENT_MEAN) status = copy(t, delta, t->base.w0 + segment->offset, segment->count);
        for (size_t at = 0; segment->kind != TA_SEGMENT_MEAN && at < segment->count && status == TA_OK;) {
            size_t n = segment->count - at < TA_TREE_SCRATCH_FLOATS ? segment->count - at : TA_TREE_SCRATCH_FLOATS;
            status = t->config.kernel_ops->copy_in(t->config.kernels, delta + at, t->scratch, n * sizeof(float));
            at += n;
        }
    }
    return status;
}

ta_status ta_tree_rebase(struct ta_tree *t, const float *from) {
    size_t n = t->base.model->n_params;
    ta_status status = TA_OK;
    if (from != t->base.w) status = copy(t, t->base.w, from, n);
    if (status == TA_OK) status = copy(t, t->base.w0, t->base.w, n);
    if (status == TA_OK) status = clear_delta(t);
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        struct ta_tree_neighbour *to = t->near[i];
        to->stamp = ta_tree_stamp(t, to->edge.group); /* nothing to tell: what is new is zero */
        to->in_w = to->known.behind;
        to->own_in_w = to->based_own = to->known.own;
    }
    for (unsigned g = 0; g < t->n_groups; g++) t->group[g].stamp = UINT64_MAX; /* to be added up anew */
    t->based_steps = t->base.steps;
    t->stale = false;
    return status;
}

/* w0 and what a former life had added to it: of values [at, at + n) of a segment, into scratch; both are the CPU's. In
 * the order, and with the rounding, of the kernels. */
static void sum_deltas(struct ta_tree *t, const struct ta_exchange_start *start, const struct ta_segment *segment,
                       size_t at, size_t n) {
    bool mean = segment->kind == TA_SEGMENT_MEAN;
    unsigned there = 0;
    for (size_t i = 0; i < n; i++) t->scratch[i] = start->w0 != NULL && !mean ? start->w0[at + i] : 0;
    for (unsigned r = 0; r < t->base.n_ranks; r++) {
        if (start->deltas[r] == NULL) continue;
        for (size_t i = 0; i < n; i++) t->scratch[i] += start->deltas[r][at + i];
        there++;
    }
    for (size_t i = 0; i < n && mean; i++) t->scratch[i] *= 1.0F / (float)there;
}

static ta_status add_deltas(struct ta_tree *t, const struct ta_exchange_start *start) {
    const struct ta_model *model = t->base.model;
    unsigned there = 0;
    for (unsigned r = 0; r < t->base.n_ranks; r++) there += start->deltas[r] != NULL;
    ta_status status = TA_OK;
    for (unsigned s = 0; s < model->n_segments && there > 0 && status == TA_OK; s++) {
        const struct ta_segment *segment = &model->segments[s];
        if (segment->kind != TA_SEGMENT_MEAN && segment->kind != TA_SEGMENT_SUM) continue;
        size_t end = segment->offset + segment->count;
        for (size_t at = segment->offset; at < end && status == TA_OK; at += TA_TREE_SCRATCH_FLOATS) {
            size_t n = end - at < TA_TREE_SCRATCH_FLOATS ? end - at : TA_TREE_SCRATCH_FLOATS;
            sum_deltas(t, start, segment, at, n);
            status = t->config.kernel_ops->copy_in(t->config.kernels, t->base.w + at, t->scratch, n * sizeof(float));
        }
    }
    return status;
}

ta_status ta_tree_start(struct ta_tree *t, const struct ta_exchange_start *start) {
    size_t bytes = t->base.model->n_params * sizeof(float);
    ta_status status = TA_OK;
    t->base.steps = start->steps;
    t->base.records = start->records;
    t->said.total = start->steps;
    for (unsigned r = 0; r < t->base.n_ranks && start->peer_steps != NULL; r++) {
        if (r == t->base.rank) continue;
        t->near[t->via[r]]->known.behind += start->peer_steps[r];
        t->said.total += start->peer_steps[r];
    }
    if (start->w0 != NULL) status = t->config.kernel_ops->copy_in(t->config.kernels, t->base.w0, start->w0, bytes);
    if (status == TA_OK) status = copy(t, t->base.w, t->base.w0, t->base.model->n_params);
    if (status == TA_OK && start->deltas != NULL) status = add_deltas(t, start);
    return status == TA_OK ? ta_tree_rebase(t, t->base.w) : status;
}
