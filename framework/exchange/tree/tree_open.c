/* tree_open: birth and death of an exchange between neighbours: what may be asked for, and where what lies. */
#include "tree.h"

#include <string.h>

#include "mem.h"

enum { LINE = 64, MOST_IN_FLIGHT = 64, DEFAULT_FAN_OUT = 2 };

static const double HEARTBEAT_S = 0.25, DEAD_AFTER_S = 2.5, LONGEST_S = 1e6;

static size_t lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

static ta_status check_model(const struct ta_exchange_config *c) {
    for (unsigned s = 0; s < c->model->n_segments; s++) {
        enum ta_segment_kind kind = c->model->segments[s].kind;
        if (kind == TA_SEGMENT_SUM || kind == TA_SEGMENT_MEAN) continue;
        return ta_fail(TA_CONFIG, "exchange.topology %s sends whole arenas, and tables of rows are exchanged by row: "
                       "word models go with topology full", ta_tree_topology(c));
    }
    return TA_OK;
}

static ta_status check(const struct ta_exchange_config *c) {
    const struct ta_exchange_spec *spec = c->spec;
    int64_t bound;
    ta_status status = ta_exchange_bound(spec, &bound);
    if (status != TA_OK) return status;
    if (c->n_ranks == 0 || c->rank >= c->n_ranks || c->n_ranks > UINT16_MAX)
        return ta_fail(TA_CONFIG, "exchange: rank %u of %u replicas; ranks count from 0, to %u at most", c->rank,
                       c->n_ranks, UINT16_MAX);
    if (c->spares > 0)
        return ta_fail(TA_CONFIG, "exchange.topology %s: nobody can join later (run.spares is %u); set run.spares to "
                       "0, or use full", ta_tree_topology(c), c->spares);
    if (bound >= 0)
        return ta_fail(TA_CONFIG, "exchange.max_staleness %lld is bounded by peer, which topology %s does not know "
                       "of all; use full, or max_staleness: none", (long long)bound, ta_tree_topology(c));
    if (spec->damping == TA_DAMPING_COMPENSATED)
        return ta_fail(TA_CONFIG, "exchange.damping: delay-compensated goes with topology full; with %s: none, "
                       "inverse or exponential", ta_tree_topology(c));
    if (!(spec->heartbeat_s >= 0 && spec->heartbeat_s <= LONGEST_S && spec->dead_after_s >= 0 &&
          spec->dead_after_s <= LONGEST_S))
        return ta_fail(TA_CONFIG, "exchange.heartbeat %g, exchange.dead_after %g: not between 0 and %g seconds",
                       spec->heartbeat_s, spec->dead_after_s, LONGEST_S);
    double heartbeat_s = spec->heartbeat_s > 0 ? spec->heartbeat_s : HEARTBEAT_S;
    double dead_after_s = spec->dead_after_s > 0 ? spec->dead_after_s : DEAD_AFTER_S;
    if (dead_after_s < 2 * heartbeat_s)
        return ta_fail(TA_CONFIG, "exchange.dead_after is %g but a live replica may be silent for exchange.heartbeat "
                       "= %g; make it at least twice that", dead_after_s, heartbeat_s);
    if (spec->puts_in_flight > MOST_IN_FLIGHT)
        return ta_fail(TA_CONFIG, "exchange.puts_in_flight: %u is more than %d; 1 or 2 is enough, since a later put "
                       "carries all of an earlier one", spec->puts_in_flight, MOST_IN_FLIGHT);
    return check_model(c);
}

static struct ta_tree_shape shape_of(const struct ta_exchange_config *c) {
    bool clusters = c->spec->topology != NULL && strcmp(c->spec->topology, "clusters") == 0;
    unsigned fan_out = c->spec->fan_out > 0 ? c->spec->fan_out : DEFAULT_FAN_OUT;
    unsigned per_node = c->per_node > 0 && c->per_node < c->n_ranks ? c->per_node : c->n_ranks;
    return (struct ta_tree_shape){.n_ranks = c->n_ranks, .per_node = clusters ? per_node : 1, .fan_out = fan_out};
}

static ta_status open_lists(struct ta_tree *t) {
    unsigned n = t->n_slots;
    ta_status status = TA_NEW(&t->neighbour, n, "neighbours");
    if (status == TA_OK) status = TA_NEW(&t->near, n, "list of neighbours");
    if (status == TA_OK) status = TA_NEW(&t->edges, t->base.n_ranks, "edges of a tree");
    if (status == TA_OK) status = TA_NEW(&t->group, t->base.n_ranks, "groups of neighbours");
    if (status == TA_OK) status = TA_NEW(&t->copies, (size_t)n * (t->in_flight + 1), "headers in flight");
    if (status == TA_OK) status = TA_NEW(&t->via, t->base.n_ranks, "ways to peers");
    return status;
}

static ta_status open_window(struct ta_tree *t) {
    const struct ta_transport_ops *ops = t->config.transport_ops;
    size_t slot = t->body_bytes + t->notes_bytes, control = t->base.n_ranks * t->control_bytes;
    if (t->n_slots == 0) return TA_OK;
    if (slot > (PTRDIFF_MAX - control) / t->n_slots)
        return ta_fail(TA_CONFIG, "exchange: inboxes of %u neighbours with %zu parameters do not fit into an address "
                       "space", t->n_slots, t->base.model->n_params);
    size_t bytes = control + slot * t->n_slots;
    const struct ta_window_far far = {
        .first = control, .stride = slot, .bytes = t->base.model->n_params * sizeof(float), .n = t->n_slots};
    ta_status status;
    if (!t->config.kernel_ops->on_gpu)
        status = ops->window_create(t->config.transport, bytes, &t->inboxes);
    else if (ops->window_create_far == NULL)
        status = ta_fail(TA_INVALID, "exchange: transport '%s' has no windows in the memory of GPUs", ops->name);
    else
        status = ops->window_create_far(t->config.transport, bytes, &far, &t->inboxes);
    if (status != TA_OK) return status;
    t->window = t->inboxes.base;
    t->held_bytes += t->inboxes.bytes;
    return TA_OK;
}

ta_status ta_tree_arena(struct ta_tree *t, size_t floats, const char *what, float **out) {
    size_t bytes = floats * sizeof(float);
    ta_status status = t->config.kernel_ops->alloc(t->config.kernels, bytes, what, (void **)out);
    if (status != TA_OK) return status;
    t->held_bytes += bytes;
    if (t->n_slots == 0 || bytes == 0) return TA_OK;
    const struct ta_transport_ops *ops = t->config.transport_ops;
    if (t->config.kernel_ops->on_gpu) return ops->source_register_gpu(t->config.transport, *out, bytes);
    return ops->source_register(t->config.transport, *out, bytes);
}

static ta_status open_arenas(struct ta_tree *t) {
    size_t d = t->base.model->n_params, statistics = 0;
    for (unsigned s = 0; s < t->base.model->n_segments; s++) {
        const struct ta_segment *segment = &t->base.model->segments[s];
        if (segment->kind == TA_SEGMENT_MEAN && segment->count > statistics) statistics = segment->count;
    }
    ta_status status = ta_tree_arena(t, d, "initial weights", &t->base.w0);
    if (status == TA_OK) status = ta_tree_arena(t, d, "cumulative delta", &t->base.delta);
    if (status == TA_OK) status = ta_tree_arena(t, d, "weights", &t->base.w);
    if (status == TA_OK) status = ta_tree_arena(t, statistics, "zeros", &t->zeros);
    size_t words = t->base.n_ranks + ta_tree_gone_words(t->base.n_ranks);
    if (status == TA_OK) status = TA_NEW(&t->notes, words, "notes");
    if (status == TA_OK) t->gone = t->notes + t->base.n_ranks;
    if (status == TA_OK) status = TA_NEW(&t->registers, (size_t)t->base.n_ranks + t->n_slots, "list of registers");
    if (status == TA_OK) status = TA_NEW(&t->scratch, TA_TREE_SCRATCH_FLOATS, "scratch of the exchange");
    if (status != TA_OK || t->n_slots == 0) return status;
    const struct ta_transport_ops *ops = t->config.transport_ops;
    size_t copies = (size_t)t->n_slots * (t->in_flight + 1) * sizeof *t->copies;
    status = ops->source_register(t->config.transport, t->copies, copies);
    if (status != TA_OK) return status;
    return ops->source_register(t->config.transport, t->notes, words * sizeof *t->notes);
}

void ta_tree_close(struct ta_exchange *x) {
    if (x == NULL) return;
    struct ta_tree *t = ta_tree_of(x);
    for (unsigned i = 0; t->neighbour != NULL && i < t->n_known; i++)
        if (t->neighbour[i].connected || t->neighbour[i].broken)
            t->config.transport_ops->disconnect(t->config.transport, t->neighbour[i].edge.rank);
    for (unsigned g = 0; t->group != NULL && g < x->n_ranks; g++)
        t->config.kernel_ops->free(t->config.kernels, t->group[g].out);
    t->config.kernel_ops->free(t->config.kernels, t->zeros);
    t->config.kernel_ops->free(t->config.kernels, x->w);
    t->config.kernel_ops->free(t->config.kernels, x->delta);
    t->config.kernel_ops->free(t->config.kernels, x->w0);
    ta_mem_free(t->scratch);
    ta_mem_free(t->registers);
    ta_mem_free(t->notes);
    ta_mem_free(t->group);
    ta_mem_free(t->edges);
    ta_mem_free(t->near);
    ta_mem_free(t->via);
    ta_mem_free(t->copies);
    ta_mem_free(t->neighbour);
    ta_mem_free(t);
}

static void begin(struct ta_tree *t, const struct ta_exchange_config *config) {
    const struct ta_exchange_spec *spec = config->spec;
    t->config = *config;
    t->shape = shape_of(config);
    unsigned degree = ta_tree_degree(&t->shape, config->rank), spare = t->shape.fan_out + (t->shape.per_node > 1);
    t->n_slots = spare < config->n_ranks - 1 - degree ? degree + spare : config->n_ranks - 1;
    t->in_flight = spec->puts_in_flight > 0 ? spec->puts_in_flight : 1;
    t->heartbeat_ns = (int64_t)((spec->heartbeat_s > 0 ? spec->heartbeat_s : HEARTBEAT_S) * 1e9);
    t->dead_after_ns = (int64_t)((spec->dead_after_s > 0 ? spec->dead_after_s : DEAD_AFTER_S) * 1e9);
    t->last_ns = INT64_MIN;
    t->said.based = t->said.halt = t->said.drained = t->said.done = t->said.released = 1;
    t->control_bytes = lines(TA_TREE_HEADER_BYTES + ta_tree_gone_words(config->n_ranks) * sizeof(uint64_t));
    t->notes_bytes = lines(config->n_ranks * sizeof(uint64_t));
    t->body_bytes = lines(config->model->n_params * sizeof(float));
    t->base = (struct ta_exchange){
        .ops = &ta_exchange_tree, .model = config->model, .rank = config->rank, .n_ranks = config->n_ranks,
        .staleness = &t->staleness,
        .scale = spec->scale_mean ? 1.0F / (float)config->n_ranks : 1.0F,
    };
}

ta_status ta_tree_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                       struct ta_exchange **out) {
    *out = NULL;
    static const struct ta_exchange_start nothing;
    ta_status status = check(config);
    struct ta_tree *t = NULL;
    if (status == TA_OK) status = TA_NEW(&t, 1, "exchange");
    if (status != TA_OK) return status;
    begin(t, config);
    status = ta_damping_make(config->spec, config->model, &t->damping);
    if (status == TA_OK) status = open_lists(t);
    if (status == TA_OK) status = open_window(t);
    if (status == TA_OK) status = open_arenas(t);
    if (status == TA_OK) status = ta_tree_form(t);
    t->shape.gone = t->gone;
    if (status == TA_OK) status = ta_tree_start(t, start != NULL ? start : &nothing);
    if (status != TA_OK) {
        ta_tree_close(&t->base);
        return status;
    }
    t->held_bytes += sizeof *t + TA_TREE_SCRATCH_FLOATS * sizeof(float) +
                     t->n_slots * (sizeof *t->neighbour + sizeof *t->near + (t->in_flight + 1) * sizeof *t->copies) +
                     t->base.n_ranks * (sizeof *t->notes + sizeof *t->registers + sizeof *t->via + sizeof *t->edges +
                                        sizeof *t->group);
    *out = &t->base;
    return TA_OK;
}
