/* world: opens, drives and checks replicas on a simulated fabric. Tables: world_tables.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#include "lazy_kernels.h"
#include "mem.h"

enum { RUN_ID = 99, RNG_STREAM = 7 };

/* The window as the transport gives it away passes by here: tests look into it and scribble on it. */
static struct ta_window last_window;

static ta_status spy_window(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    ta_status status = ta_transport_sim.window_create(t, bytes, out);
    last_window = *out;
    return status;
}

static ta_status spy_window_far(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                                struct ta_window *out) {
    ta_status status = ta_transport_staged.window_create_far(t, bytes, far, out);
    last_window = *out;
    return status;
}

static struct ta_transport_ops spy;

/* What the replica is opened with. */
static void open_ground(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    struct ta_transport_config transport = {
        .rank = rank, .n_ranks = w->config.n_ranks, .run_id = RUN_ID, .fabric = w->fabric};
    struct ta_kernels_config kernels = {.threads = 1};
    if (w->config.far) {
        world_must(w, lazy_gpu_ops.open(rank % LAZY_GPUS, &r->gpu));
        transport.gpu_ops = kernels.gpu_ops = &lazy_gpu_ops;
        transport.gpu = kernels.gpu = r->gpu;
        world_must(w, ta_staged_open(&ta_transport_sim, &transport, &r->transport));
    } else {
        world_must(w, ta_transport_sim.open(&transport, &r->transport));
    }
    world_must(w, w->kernel_ops->open(&kernels, &r->kernels));
}

static void shape_model(struct world *w) {
    size_t n = w->config.tables.alone ? 0 : w->config.n_params, mean = w->config.no_mean ? 0 : n / 4;
    w->model.n_params = n;
    w->model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = n - mean};
    w->model.segments[1] = (struct ta_segment){.kind = TA_SEGMENT_MEAN, .offset = n - mean, .count = mean};
    w->model.n_segments = mean > 0 ? 2 : n > 0 ? 1 : 0;
    world_tables_shape(w);
    w->config.n_params = w->model.n_params;
}

static void open_replica(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    const struct world_config *c = &w->config;
    open_ground(w, rank);
    struct ta_exchange_config config = {
        .spec = &w->spec, .model = &w->model, .kernel_ops = w->kernel_ops, .kernels = r->kernels,
        .transport_ops = &spy, .transport = r->transport, .rank = rank, .n_ranks = c->n_ranks, .epoch = c->epoch,
        .spares = c->spares,
    };
    bool seeded = c->tables.rows > 0 && !c->tables.stored;
    struct ta_exchange_start fresh = {.w0 = seeded ? NULL : w->w0, .seed = c->seed};
    last_window = (struct ta_window){0};
    world_must(w, ta_live_open(&config, c->start != NULL ? &c->start[rank] : &fresh, c->tables.limits, &r->x));
    r->window = last_window;
    world_must(w, TA_NEW(&r->names, c->n_params, "names"));
    memcpy(r->names, lazy_gpu_at(r->x->w), c->n_params * sizeof(float));
    world_must(w, TA_NEW(&r->history, c->max_versions * c->n_params, "history"));
    world_must(w, TA_NEW(&r->made, c->n_params, "updates made"));
    if (r->x->delta == NULL) return;
    memcpy(r->history, lazy_gpu_at(r->x->delta), c->n_params * sizeof(float));
    memcpy(r->made, lazy_gpu_at(r->x->delta), c->n_params * sizeof(float));
}

void world_layout(const struct world *w, struct ta_slot_layout *out) {
    uint32_t entries = ta_live_of(w->replica[0].x)->limits.log_entries;
    world_must(w, ta_slot_layout_make(w->config.n_ranks, w->config.n_params, entries, out));
}

void world_note(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    assert_true(++r->version < w->config.max_versions);
    if (r->x->delta == NULL) return;
    float *now = r->history + r->version * w->config.n_params;
    memcpy(now, lazy_gpu_at(r->x->delta), w->config.n_params * sizeof(float));
    for (unsigned s = 0; s < w->model.n_segments; s++) {
        const struct ta_segment *segment = &w->model.segments[s];
        if (segment->kind == TA_SEGMENT_ROWS)
            memcpy(now + segment->offset, r->made + segment->offset, segment->count * sizeof(float));
    }
}

void world_open(struct world *w, const struct world_config *config) {
    memset(w, 0, sizeof *w);
    w->config = *config;
    lazy_gpu_world.seed = config->seed;
    w->ops = config->far ? &ta_transport_staged : &ta_transport_sim;
    w->kernel_ops = config->far ? &lazy_kernels_ops : &ta_kernels_cpu;
    spy = *w->ops;
    if (config->far) spy.window_create_far = spy_window_far;
    else spy.window_create = spy_window;
    if (config->max_versions == 0) w->config.max_versions = WORLD_MAX_VERSIONS;
    w->rng = ta_rng_make(config->seed, RNG_STREAM);
    w->now_ns = 1;
    w->spec = (struct ta_exchange_spec){
        .max_staleness = config->exchange.max_staleness, .damping = config->exchange.damping,
        .damping_rate = config->exchange.damping_rate, .scale_mean = config->scale_mean,
        .puts_in_flight = config->in_flight, .heartbeat_s = config->heartbeat_s, .dead_after_s = config->dead_after_s,
        .rows_after = config->tables.after, .rows_within_s = config->tables.within_s,
    };
    shape_model(w);
    struct ta_sim_config fabric = config->fabric;
    fabric.seed = config->seed;
    fabric.n_ranks = config->n_ranks;
    world_must(w, ta_sim_create(&fabric, &w->fabric));
    world_must(w, TA_NEW(&w->w0, w->config.n_params, "w0"));
    if (config->tables.rows == 0 || config->tables.stored)
        for (size_t i = 0; i < w->config.n_params; i++) w->w0[i] = (float)(i % 13);
    for (unsigned r = 0; r < config->n_ranks; r++) open_replica(w, r);
}

void world_shut(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    if (r->closed) return;
    ta_exchange_live.close(r->x);
    w->ops->close(r->transport);
    w->kernel_ops->close(r->kernels);
    if (r->gpu != NULL) lazy_gpu_ops.close(r->gpu);
    r->closed = true;
}

void world_close(struct world *w) {
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        world_shut(w, r);
        ta_mem_free(w->replica[r].history);
        ta_mem_free(w->replica[r].names);
        ta_mem_free(w->replica[r].made);
    }
    ta_sim_destroy(w->fabric);
    ta_mem_free(w->w0);
}

void world_connect(struct world *w, unsigned from, unsigned to) {
    struct ta_key key;
    world_must(w, w->ops->key_make(w->replica[to].transport, from, &key));
    world_must(w, w->ops->connect(w->replica[from].transport, to, &key));
    ta_exchange_live.peer_joined(w->replica[from].x, to, w->now_ns);
}

void world_break(struct world *w, unsigned a, unsigned b) { ta_sim_break(w->fabric, a, b, w->now_ns); }

void world_part(struct world *w, unsigned rank, unsigned peer, struct ta_key *key) {
    struct world_replica *r = &w->replica[rank];
    ta_exchange_live.peer_broken(r->x, peer, w->now_ns);
    w->ops->disconnect(r->transport, peer);
    world_must(w, w->ops->key_make(r->transport, peer, key));
}

bool world_rejoin(struct world *w, unsigned rank, unsigned peer, const struct ta_key *key) {
    struct world_replica *r = &w->replica[rank];
    ta_status status = w->ops->connect(r->transport, peer, key);
    if (status == TA_PEER) return false;
    world_must(w, status);
    ta_exchange_live.peer_joined(r->x, peer, w->now_ns);
    return true;
}

void world_restore(struct world *w, unsigned a, unsigned b) {
    struct ta_key of_a, of_b;
    world_part(w, a, b, &of_a);
    world_part(w, b, a, &of_b);
    if (!world_rejoin(w, a, b, &of_b) || !world_rejoin(w, b, a, &of_a)) world_fail(w, "no way back: %s", ta_why());
}

void world_connect_all(struct world *w) {
    unsigned founders = w->config.n_ranks - w->config.spares;
    for (unsigned a = 0; a < founders; a++)
        for (unsigned b = 0; b < founders; b++)
            if (a != b) world_connect(w, a, b);
}

bool world_try_connect(struct world *w, unsigned from, unsigned to) {
    struct ta_key key;
    if (w->replica[from].closed || w->replica[to].closed || w->replica[from].killed) return false;
    world_must(w, w->ops->key_make(w->replica[to].transport, from, &key));
    ta_status status = w->ops->connect(w->replica[from].transport, to, &key);
    if (status == TA_PEER) return false;
    world_must(w, status);
    ta_exchange_live.peer_joined(w->replica[from].x, to, w->now_ns);
    return true;
}

void world_step(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    const struct ta_segment *sum = &w->model.segments[0], *mean = &w->model.segments[1];
    unsigned touched = 1 + ta_rng_below(&w->rng, 4);
    float *delta = lazy_gpu_at(r->x->delta);
    for (unsigned i = 0; i < touched && !w->config.tables.alone; i++) {
        float *at = delta + ta_rng_below(&w->rng, (uint32_t)sum->count);
        *at += (float)(1 + ta_rng_below(&w->rng, 4)) * (w->config.ragged ? 0.1F : 1.0F);
    }
    if (w->model.n_segments > 1 && mean->kind == TA_SEGMENT_MEAN)
        delta[mean->offset + ta_rng_below(&w->rng, (uint32_t)mean->count)] = (float)ta_rng_normal(&w->rng);
    if (w->config.tables.rows > 0) world_tables_step(w, rank);
    r->x->position++;
    world_must(w, ta_exchange_live.stepped(r->x, 32, w->now_ns));
    r->steps++;
    assert_true(r->steps <= WORLD_MAX_STEPS);
    world_note(w, rank);
    r->version_at[r->steps] = r->version;
}

void world_skip(struct world *w, unsigned rank) {
    struct world_replica *r = &w->replica[rank];
    if (ta_live_of(r->x)->bound.most >= 0) r->x->position++; /* counts as a step: of one batch, too */
    world_must(w, ta_exchange_live.stepped(r->x, 0, w->now_ns));
    if (r->x->steps == r->steps) return;
    assert_true(++r->steps <= WORLD_MAX_STEPS);
    r->version_at[r->steps] = r->version;
}

ta_status world_poll(struct world *w, unsigned rank) { return ta_exchange_live.poll(w->replica[rank].x, w->now_ns); }

void world_run(struct world *w, int64_t until_ns, int64_t tick_ns) {
    for (; w->now_ns < until_ns; w->now_ns += tick_ns)
        for (unsigned r = 0; r < w->config.n_ranks; r++)
            if (!w->replica[r].killed && !w->replica[r].closed) world_must(w, world_poll(w, r));
}

void world_kill(struct world *w, unsigned rank, int64_t detect_ns) {
    w->replica[rank].killed = true;
    ta_sim_kill(w->fabric, rank, w->now_ns, detect_ns);
}

static bool all_do(struct world *w, unsigned ranks, uint32_t round,
                   ta_status (*call)(struct ta_exchange *, uint32_t, int64_t)) {
    unsigned done = 0;
    for (int64_t until_ns = w->now_ns + 400000; done != ranks && w->now_ns < until_ns;) {
        world_run(w, w->now_ns + 100, 50);
        for (unsigned r = 0; r < w->config.n_ranks; r++)
            if ((ranks >> r & 1) && call(w->replica[r].x, round, w->now_ns) == TA_OK) done |= 1U << r;
    }
    return done == ranks;
}

bool world_settle(struct world *w, unsigned ranks, uint32_t round) {
    return all_do(w, ranks, round, ta_exchange_live.settle);
}

bool world_resume(struct world *w, unsigned ranks, uint32_t round) {
    return all_do(w, ranks, round, ta_exchange_live.resume);
}

/* `value` is what `made` says, up to what rounding takes; a zero of the other sign is another value. */
static bool is_made(float value, float made, float rounding) {
    if (rounding == 0) return memcmp(&value, &made, sizeof value) == 0;
    return value >= made - rounding && value <= made + rounding;
}

/* `value` is one that element e of `rank` had at its step `from` or later. */
static bool once_was(const struct world *w, unsigned rank, size_t e, float value, uint64_t from) {
    const struct world_replica *r = &w->replica[rank];
    float rounding = world_rounding(w, e);
    for (unsigned v = r->version_at[from]; v <= r->version; v++)
        if (is_made(value, r->history[v * w->config.n_params + e], rounding)) return true;
    return false;
}

static const char *check_register(struct world *w, unsigned holder, unsigned owner, bool exact, const float *copy) {
    static char why[160];
    size_t n = w->config.n_params;
    uint64_t applied = owner == holder ? w->replica[owner].steps : world_stats(w, holder, owner).steps_applied;
    const float *now = w->replica[owner].history + w->replica[owner].version * n;
    const float *delta = w->replica[owner].closed ? NULL : lazy_gpu_at(w->replica[owner].x->delta);
    for (size_t e = 0; e < n; e++) {
        bool good = exact ? is_made(copy[e], now[e], world_rounding(w, e)) : once_was(w, owner, e, copy[e], applied);
        if (exact && delta != NULL) good &= memcmp(&copy[e], &delta[e], sizeof delta[e]) == 0;
        if (good) continue;
        snprintf(why, sizeof why, "rank %u holds %g of rank %u at %zu, which has %g after %llu steps (%llu applied)",
                 holder, (double)copy[e], owner, e, (double)now[e], (unsigned long long)w->replica[owner].steps,
                 (unsigned long long)applied);
        w->suspect = owner;
        return why;
    }
    return NULL;
}

const char *world_check(struct world *w, unsigned rank, unsigned peers) {
    static char why[160];
    size_t n = w->config.n_params, n_sum = w->config.tables.alone ? 0 : w->model.segments[0].count;
    struct ta_exchange *x = w->replica[rank].x;
    const float *weights = lazy_gpu_at(x->w);
    float *sum, *copies;
    world_must(w, TA_NEW(&sum, n, "sum"));
    world_must(w, TA_NEW(&copies, n * w->config.n_ranks, "copies"));
    memcpy(sum, w->w0, n * sizeof *sum);
    const char *wrong = NULL;
    w->suspect = w->config.n_ranks;
    for (unsigned r = 0; r < w->config.n_ranks && wrong == NULL; r++) {
        float *copy = copies + r * n;
        world_must(w, ta_exchange_live.register_copy(x, r, copy));
        wrong = check_register(w, rank, r, r == rank || (peers >> r & 1) != 0, copy);
        for (size_t e = 0; e < n; e++) sum[e] += copy[e];
    }
    for (size_t e = 0; e < n_sum && wrong == NULL; e++) {
        if (memcmp(&sum[e], &weights[e], sizeof sum[e]) == 0) continue;
        snprintf(why, sizeof why, "rank %u has weight %zu = %.9g, its registers sum to %.9g", rank, e,
                 (double)weights[e], (double)sum[e]);
        wrong = why;
    }
    if (wrong == NULL && w->config.tables.rows > 0) wrong = world_tables_check(w, rank, copies);
    ta_mem_free(copies);
    ta_mem_free(sum);
    return wrong;
}

struct ta_peer_stats world_stats(struct world *w, unsigned rank, unsigned peer) {
    struct ta_peer_stats stats;
    ta_exchange_live.peer_stats(w->replica[rank].x, peer, &stats);
    return stats;
}
