/* tree_world: opens, drives and checks replicas of a tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tree_world.h"

#include "lazy_kernels.h"
#include "mem.h"

bool tree_world_far;

enum { RUN_ID = 7, RNG_STREAM = 11 };

static void open_replica(struct tree_world *w, unsigned rank) {
    struct tree_replica *r = &w->replica[rank];
    const struct tree_config *c = &w->config;
    struct ta_transport_config transport = {.rank = rank, .n_ranks = c->n_ranks, .run_id = RUN_ID, .fabric = w->fabric};
    struct ta_kernels_config kernels = {.threads = 1};
    if (tree_world_far) {
        tree_must(w, lazy_gpu_ops.open(rank % LAZY_GPUS, &r->gpu));
        transport.gpu_ops = kernels.gpu_ops = &lazy_gpu_ops;
        transport.gpu = kernels.gpu = r->gpu;
        tree_must(w, ta_staged_open(&ta_transport_sim, &transport, &r->transport));
    } else {
        tree_must(w, ta_transport_sim.open(&transport, &r->transport));
    }
    tree_must(w, w->kernel_ops->open(&kernels, &r->kernels));
    struct ta_exchange_config config = {
        .spec = &w->spec, .model = &w->model, .kernel_ops = w->kernel_ops, .kernels = r->kernels,
        .transport_ops = w->ops, .transport = r->transport, .rank = rank, .n_ranks = c->n_ranks,
        .per_node = c->per_node, .epoch = 1, .updater = c->updater,
    };
    struct ta_exchange_start fresh = {.w0 = w->w0};
    tree_must(w, ta_exchange_tree.open(&config, c->start != NULL ? c->start : &fresh, &r->x));
}

static void connect_pair(struct tree_world *w, unsigned a, unsigned b) {
    struct ta_key of_a, of_b;
    struct tree_replica *x = &w->replica[a], *y = &w->replica[b];
    tree_must(w, w->ops->key_make(x->transport, b, &of_a));
    tree_must(w, w->ops->key_make(y->transport, a, &of_b));
    tree_must(w, w->ops->connect(x->transport, b, &of_b));
    tree_must(w, w->ops->connect(y->transport, a, &of_a));
    ta_exchange_tree.peer_joined(x->x, b, w->now_ns);
    ta_exchange_tree.peer_joined(y->x, a, w->now_ns);
    w->joined[a * w->config.n_ranks + b] = true;
}

void tree_world_open(struct tree_world *w, const struct tree_config *config) {
    memset(w, 0, sizeof *w);
    w->config = *config;
    w->rng = ta_rng_make(config->seed, RNG_STREAM);
    w->now_ns = 1;
    w->spec = (struct ta_exchange_spec){.topology = config->per_node > 0 ? "clusters" : "tree",
                                        .fan_out = config->fan_out,
                                        .puts_in_flight = config->in_flight,
                                        .damping = config->damping,
                                        .dead_after_s = config->dead_after_s};
    size_t n = config->n_params, mean = config->statistics ? n / 4 : 0;
    w->model.n_params = n;
    w->model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = n - mean};
    w->model.segments[1] = (struct ta_segment){.kind = TA_SEGMENT_MEAN, .offset = n - mean, .count = mean};
    w->model.n_segments = mean > 0 ? 2 : 1;
    w->ops = tree_world_far ? &ta_transport_staged : &ta_transport_sim;
    w->kernel_ops = tree_world_far ? &lazy_kernels_ops : &ta_kernels_cpu;
    lazy_gpu_world.seed = config->seed;
    struct ta_sim_config fabric = config->fabric;
    fabric.seed = config->seed;
    fabric.n_ranks = config->n_ranks;
    tree_must(w, ta_sim_create(&fabric, &w->fabric));
    tree_must(w, TA_NEW(&w->w0, n, "w0"));
    tree_must(w, TA_NEW(&w->truth, n, "updates made"));
    tree_must(w, TA_NEW(&w->statistics, n * config->n_ranks, "statistics"));
    tree_must(w, TA_NEW(&w->made, n * config->n_ranks, "updates of each"));
    tree_must(w, TA_NEW(&w->kept, n * config->n_ranks, "updates of each that are kept"));
    tree_must(w, TA_NEW(&w->kept_steps, config->n_ranks, "steps that are kept"));
    tree_must(w, TA_NEW(&w->joined, (size_t)config->n_ranks * config->n_ranks, "who is joined"));
    tree_must(w, TA_NEW(&w->replica, config->n_ranks, "replicas"));
    for (size_t i = 0; i < n; i++) w->w0[i] = (float)(i % 13);
    for (unsigned r = 0; r < config->n_ranks; r++) {
        memcpy(w->statistics + r * n, w->w0, n * sizeof(float));
        open_replica(w, r);
    }
    for (unsigned a = 0; a < config->n_ranks; a++)
        for (unsigned b = a + 1; b < config->n_ranks; b++) {
            bool met = ta_exchange_tree.meets(w->replica[a].x, b);
            assert_int_equal(met, ta_exchange_tree.meets(w->replica[b].x, a));
            if (met) connect_pair(w, a, b);
        }
}

void tree_world_close(struct tree_world *w) {
    assert_int_equal(ta_sim_refused(w->fabric), 0);
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        if (w->replica[r].closed) continue;
        ta_exchange_tree.close(w->replica[r].x);
        w->ops->close(w->replica[r].transport);
        w->kernel_ops->close(w->replica[r].kernels);
        if (tree_world_far) lazy_gpu_ops.close(w->replica[r].gpu);
    }
    ta_sim_destroy(w->fabric);
    ta_mem_free(w->replica);
    ta_mem_free(w->joined);
    ta_mem_free(w->kept_steps);
    ta_mem_free(w->kept);
    ta_mem_free(w->made);
    ta_mem_free(w->statistics);
    ta_mem_free(w->truth);
    ta_mem_free(w->w0);
}

void tree_world_step(struct tree_world *w, unsigned rank) {
    struct ta_exchange *x = w->replica[rank].x;
    float *delta = lazy_gpu_at(x->delta);
    size_t n = w->config.n_params, first_mean = w->model.segments[0].count;
    for (unsigned i = 0; i < 3; i++) {
        size_t at = ta_rng_below(&w->rng, (uint32_t)n);
        uint32_t value = 1 + ta_rng_below(&w->rng, 4);
        if (at < first_mean) {
            delta[at] += (float)value;
            w->truth[at] += value;
            w->made[rank * n + at] += value;
        } else {
            delta[at] = w->statistics[rank * n + at] = (float)value * 8;
        }
    }
    tree_must(w, ta_exchange_tree.stepped(x, 1, w->now_ns));
    w->steps++;
}

void tree_world_poll(struct tree_world *w, unsigned rank) {
    struct tree_replica *r = &w->replica[rank];
    if (r->killed || r->closed || r->ended != TA_OK) return;
    r->ended = ta_exchange_tree.poll(r->x, w->now_ns);
    if (r->ended != TA_OK) snprintf(r->why, sizeof r->why, "%s", ta_why());
}

void tree_world_kill(struct tree_world *w, unsigned rank) {
    w->replica[rank].killed = true;
    w->replica[rank].killed_ns = w->now_ns;
    w->n_killed++;
    ta_sim_kill(w->fabric, rank, w->now_ns, 1000);
}

void tree_world_break(struct tree_world *w, unsigned a, unsigned b) {
    ta_sim_break(w->fabric, a, b, w->now_ns);
    ta_exchange_tree.peer_broken(w->replica[a].x, b, w->now_ns);
    ta_exchange_tree.peer_broken(w->replica[b].x, a, w->now_ns);
    w->ops->disconnect(w->replica[a].transport, b);
    w->ops->disconnect(w->replica[b].transport, a);
    connect_pair(w, a, b);
}

static const float *weights_of(const struct tree_world *w, unsigned rank) {
    return lazy_gpu_at(w->replica[rank].x->w);
}

static bool lives(const struct tree_world *w, unsigned rank) {
    return !w->replica[rank].killed && w->replica[rank].ended == TA_OK;
}

/* As the replicas do: paths to whom both sides mean to meet; who is known to be gone. */
static void look_around(struct tree_world *w) {
    unsigned n = w->config.n_ranks;
    for (unsigned a = 0; a < n && w->n_killed > 0; a++) {
        for (unsigned b = a + 1; b < n && lives(w, a); b++)
            if (lives(w, b) && !w->joined[a * n + b] && ta_exchange_tree.meets(w->replica[a].x, b) &&
                ta_exchange_tree.meets(w->replica[b].x, a))
                connect_pair(w, a, b);
        for (unsigned b = 0; b < n && lives(w, a) && w->notice_ns > 0; b++)
            if (w->replica[b].killed && w->now_ns - w->replica[b].killed_ns >= w->notice_ns * (a + 1) / n)
                ta_exchange_tree.peer_lost(w->replica[a].x, b, w->now_ns);
    }
}

void tree_world_play(struct tree_world *w, unsigned turns, double steps, int64_t tick_ns) {
    for (unsigned i = 0; i < turns; i++) {
        w->now_ns += tick_ns;
        look_around(w);
        for (unsigned r = 0; r < w->config.n_ranks; r++) {
            if (!lives(w, r)) continue;
            tree_world_poll(w, r);
            if (!lives(w, r) || ta_rng_uniform(&w->rng) >= steps) continue;
            if (ta_exchange_tree.ready(w->replica[r].x, w->now_ns) == TA_OK) tree_world_step(w, r);
        }
    }
}

/* Each does so again and again, as the state machine of a replica, in any order. */
static bool all(struct tree_world *w, ta_status (*call)(struct ta_exchange *, uint32_t, int64_t), uint32_t round,
                unsigned turns) {
    bool *done = NULL;
    unsigned left = 0;
    tree_must(w, TA_NEW(&done, w->config.n_ranks, "who is there"));
    for (unsigned r = 0; r < w->config.n_ranks; r++) left += lives(w, r);
    for (unsigned i = 0; i < turns && left > 0; i++) {
        w->now_ns += 500;
        look_around(w);
        for (unsigned r = 0; r < w->config.n_ranks; r++) {
            if (!lives(w, r)) continue;
            tree_world_poll(w, r);
            if (done[r] || !lives(w, r) || ta_rng_below(&w->rng, 4) == 0) continue;
            ta_status status = call(w->replica[r].x, round, w->now_ns);
            if (status == TA_AGAIN) continue;
            tree_must(w, status);
            done[r] = true;
            left--;
        }
    }
    ta_mem_free(done);
    return left == 0;
}

bool tree_world_settle(struct tree_world *w, uint32_t round, unsigned turns) {
    return all(w, ta_exchange_tree.settle, round, turns);
}

bool tree_world_resume(struct tree_world *w, uint32_t round, unsigned turns) {
    return all(w, ta_exchange_tree.resume, round, turns);
}

/* `full`: with all that the dead have made. */
static bool statistics_fit(const struct tree_world *w, size_t i, unsigned first, bool full) {
    size_t n = w->config.n_params;
    double sum = 0, w_i = (double)weights_of(w, first)[i];
    unsigned ranks = 0;
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        if (!lives(w, r) && !(full && w->replica[r].killed_ns > w->rest_ns)) continue;
        sum += (double)w->statistics[r * n + i];
        ranks++;
    }
    return fabs(w_i - sum / ranks) <= 1e-5 * (1 + fabs(sum / ranks));
}

/* What should be there. */
static double weight(const struct tree_world *w, size_t i, bool full) {
    size_t n = w->config.n_params;
    int64_t lost = 0;
    for (unsigned r = 0; r < w->config.n_ranks && !full; r++)
        if (!lives(w, r)) lost += w->made[r * n + i] - w->kept[r * n + i];
    if (full)
        for (unsigned r = 0; r < w->config.n_ranks; r++)
            if (!lives(w, r) && w->replica[r].killed_ns <= w->rest_ns) lost += w->made[r * n + i] - w->kept[r * n + i];
    return (double)w->w0[i] + (double)(w->truth[i] - lost);
}

static uint64_t steps_of(const struct tree_world *w, unsigned rank, bool full) {
    bool whole = lives(w, rank) || (full && w->replica[rank].killed_ns > w->rest_ns);
    return whole ? w->replica[rank].x->steps : w->kept_steps[rank];
}

static bool fits(const struct tree_world *w, unsigned first, bool full) {
    size_t sums = w->model.segments[0].count;
    for (size_t i = 0; i < sums; i++)
        if ((double)weights_of(w, first)[i] != weight(w, i, full)) return false;
    for (size_t i = sums; i < w->config.n_params; i++)
        if (!statistics_fit(w, i, first, full)) return false;
    return true;
}

static void keep(struct tree_world *w, unsigned first, bool full) {
    size_t n = w->config.n_params, sums = w->model.segments[0].count;
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        w->kept_steps[r] = steps_of(w, r, full);
        if (lives(w, r) || (full && w->replica[r].killed_ns > w->rest_ns))
            memcpy(w->kept + r * n, w->made + r * n, n * sizeof *w->kept);
        for (size_t i = sums; i < n; i++) w->statistics[r * n + i] = weights_of(w, first)[i]; /* start anew from it */
    }
    w->rest_ns = w->now_ns;
    w->killed_in_rest = false;
}

static void check_counts(struct tree_world *w, unsigned rank, bool full) {
    struct ta_exchange *x = w->replica[rank].x;
    uint64_t total = x->steps, should = 0;
    for (unsigned p = 0; p < w->config.n_ranks; p++) {
        struct ta_peer_stats stats;
        ta_exchange_tree.peer_stats(x, p, &stats);
        total += stats.steps_applied;
        should += steps_of(w, p, full);
    }
    if (total != should)
        tree_fail(w, "rank %u counts %llu steps of %llu", rank, (unsigned long long)total, (unsigned long long)should);
    const float *delta = lazy_gpu_at(x->delta);
    for (size_t i = 0; i < w->model.segments[0].count; i++)
        if (delta[i] != 0) tree_fail(w, "rank %u: delta[%zu] is %g at rest", rank, i, (double)delta[i]);
}

void tree_world_check_rest(struct tree_world *w) {
    size_t n = w->config.n_params;
    unsigned first = 0;
    while (!lives(w, first)) first++;
    for (unsigned r = first; r < w->config.n_ranks; r++)
        if (lives(w, r) && memcmp(weights_of(w, r), weights_of(w, first), n * sizeof(float)) != 0)
            tree_fail(w, "ranks %u and %u rest on other bits", first, r);
    bool full = !fits(w, first, false);
    if (full && (!w->killed_in_rest || !fits(w, first, true))) {
        for (size_t i = 0; i < w->model.segments[0].count; i++) {
            double is = (double)weights_of(w, first)[i], should = weight(w, i, false);
            if (is != should) tree_fail(w, "w[%zu] is %g, all updates make %g (in all %g)", i, is, should,
                                        (double)w->w0[i] + (double)w->truth[i]);
        }
        tree_fail(w, "statistics are not the mean over the replicas");
    }
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        if (lives(w, r)) check_counts(w, r, full);
    keep(w, first, full);
}
