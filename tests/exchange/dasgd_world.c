/* dasgd_world: opens, drives and checks replicas of the paper's protocol on a simulated fabric. */
#include "expect.h"

#include "dasgd_world.h"
#include "kernels.h"

enum { PATIENCE = 20000 }; /* polls */

static const struct ta_transport_ops *const sim = &ta_transport_sim;
static const struct ta_exchange_ops *const dasgd = &ta_exchange_dasgd;

static ta_status add_as_is(void *owner, const float *grad, const float *w, float scale, float *delta) {
    const struct dw *world = owner;
    (void)w;
    for (size_t i = 0; i < world->config.n_params; i++) delta[i] += scale * grad[i];
    return TA_OK;
}

void dw_open(struct dw *w, const struct dw_config *config) {
    memset(w, 0, sizeof *w);
    w->config = *config;
    w->rng = ta_rng_make(config->seed, 3);
    w->now_ns = 1;
    size_t n = config->n_params, mean = config->mean_segment ? n / 4 : 0;
    w->model.n_params = n;
    w->model.n_segments = config->mean_segment ? 2 : 1;
    w->model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = n - mean};
    w->model.segments[1] = (struct ta_segment){.kind = TA_SEGMENT_MEAN, .offset = n - mean, .count = mean};
    w->config.fabric.n_ranks = config->n_ranks;
    w->config.fabric.seed = config->seed;
    dw_must(w, ta_kernels_cpu.open(&(struct ta_kernels_config){0}, &w->kernels));
    dw_must(w, ta_sim_create(&w->config.fabric, &w->fabric));
    struct ta_exchange_updater updater = config->updater;
    if (updater.update == NULL) updater = (struct ta_exchange_updater){add_as_is, w};
    for (unsigned r = 0; r < config->n_ranks; r++) {
        struct dw_replica *replica = &w->replica[r];
        struct ta_transport_config transport = {
            .rank = r, .n_ranks = config->n_ranks, .run_id = 9, .fabric = w->fabric};
        dw_must(w, sim->open(&transport, &replica->transport));
        struct ta_exchange_config exchange = {
            .spec = &w->config.spec, .updater = updater, .model = &w->model, .kernel_ops = &ta_kernels_cpu,
            .kernels = w->kernels, .transport_ops = sim, .transport = replica->transport, .rank = r,
            .n_ranks = config->n_ranks, .epoch = 3};
        dw_must(w, dasgd->open(&exchange, config->start != NULL ? &config->start[r] : NULL, &replica->x));
        dw_must(w, TA_NEW(&replica->grad, n, "gradient"));
    }
    for (unsigned a = 0; a < config->n_ranks; a++)
        for (unsigned b = 0; b < config->n_ranks; b++) {
            struct ta_key key;
            if (a == b) continue;
            dw_must(w, sim->key_make(w->replica[b].transport, a, &key));
            dw_must(w, sim->connect(w->replica[a].transport, b, &key));
            dasgd->peer_joined(w->replica[a].x, b, w->now_ns);
        }
}

void dw_shut(struct dw *w, unsigned rank) {
    struct dw_replica *r = &w->replica[rank];
    if (r->closed) return;
    dasgd->close(r->x);
    sim->close(r->transport);
    r->closed = true;
}

void dw_close(struct dw *w) {
    uint64_t refused = ta_sim_refused(w->fabric);
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        dw_shut(w, r);
        ta_mem_free(w->replica[r].grad);
    }
    ta_sim_destroy(w->fabric);
    ta_kernels_cpu.close(w->kernels);
    if (refused > 0) dw_fail(w, "%llu puts went beyond what was granted", (unsigned long long)refused);
}

static bool is_here(const struct dw *w, unsigned rank) { return !w->replica[rank].closed && !w->replica[rank].killed; }

void dw_run(struct dw *w, unsigned polls) {
    for (unsigned i = 0; i < polls; i++) {
        w->now_ns += 200;
        for (unsigned r = 0; r < w->config.n_ranks; r++)
            if (is_here(w, r)) dw_must(w, dasgd->poll(w->replica[r].x, w->now_ns));
    }
}

void dw_gradient(const struct dw *w, unsigned rank, uint64_t k, float *out) {
    struct ta_rng rng = ta_rng_make(w->config.seed * 1000003 + k, 100 + rank);
    for (size_t i = 0; i < w->config.n_params; i++) out[i] = (float)ta_rng_below(&rng, 5);
}

bool dw_step(struct dw *w, unsigned rank) {
    struct dw_replica *r = &w->replica[rank];
    ta_status status = dasgd->ready(r->x, w->now_ns);
    if (status == TA_AGAIN) return false;
    dw_must(w, status);
    dw_gradient(w, rank, r->x->steps + 1, r->grad);
    r->x->position++;
    dw_must(w, dasgd->step(r->x, r->grad, 2, w->now_ns));
    return true;
}

void dw_break(struct dw *w, unsigned a, unsigned b) { ta_sim_break(w->fabric, a, b, w->now_ns); }

static void part(struct dw *w, unsigned rank, unsigned peer, struct ta_key *key) {
    dasgd->peer_broken(w->replica[rank].x, peer, w->now_ns);
    sim->disconnect(w->replica[rank].transport, peer);
    dw_must(w, sim->key_make(w->replica[rank].transport, peer, key));
}

bool dw_restore(struct dw *w, unsigned a, unsigned b) {
    struct ta_key of_a, of_b;
    if (!is_here(w, a) || !is_here(w, b)) return false;
    part(w, a, b, &of_a);
    part(w, b, a, &of_b);
    dw_must(w, sim->connect(w->replica[a].transport, b, &of_b));
    dasgd->peer_joined(w->replica[a].x, b, w->now_ns);
    dw_must(w, sim->connect(w->replica[b].transport, a, &of_a));
    dasgd->peer_joined(w->replica[b].x, a, w->now_ns);
    return true;
}

void dw_kill(struct dw *w, unsigned rank) {
    w->replica[rank].killed = true;
    ta_sim_kill(w->fabric, rank, w->now_ns, 1000);
}

static void all_do(struct dw *w, unsigned ranks, uint32_t round,
                   ta_status (*call)(struct ta_exchange *, uint32_t, int64_t)) {
    unsigned done = 0;
    for (unsigned tries = 0; done != ranks; tries++) {
        dw_run(w, 1);
        for (unsigned r = 0; r < w->config.n_ranks; r++) {
            if (!(ranks >> r & 1)) continue;
            ta_status status = call(w->replica[r].x, round, w->now_ns);
            if (status == TA_OK) done |= 1U << r;
            else if (status != TA_AGAIN) dw_fail(w, "rank %u in round %u: %s", r, round, ta_why());
        }
        if (tries == PATIENCE) dw_fail(w, "of %x only %x passed round %u", ranks, done, round);
    }
}

void dw_settle(struct dw *w, unsigned ranks, uint32_t round) { all_do(w, ranks, round, dasgd->settle); }
void dw_resume(struct dw *w, unsigned ranks, uint32_t round) { all_do(w, ranks, round, dasgd->resume); }

const float *dw_delta(struct dw *w, unsigned rank) { return ta_dasgd_of(w->replica[rank].x)->delta; }

void dw_check(struct dw *w, unsigned rank, const uint64_t *steps) {
    float *sum, *grad;
    size_t n = w->config.n_params;
    dw_must(w, TA_NEW(&sum, n, "sum"));
    dw_must(w, TA_NEW(&grad, n, "gradient"));
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        for (uint64_t k = 1; k <= steps[r]; k++) {
            dw_gradient(w, r, k, grad);
            for (size_t i = 0; i < n; i++) sum[i] += grad[i];
        }
    for (size_t i = 0; i < n; i++)
        if (dw_delta(w, rank)[i] != sum[i] || w->replica[rank].x->w[i] != sum[i])
            dw_fail(w, "rank %u: parameter %zu is %g in delta, %g in w, not %g", rank, i, (double)dw_delta(w, rank)[i],
                    (double)w->replica[rank].x->w[i], (double)sum[i]);
    ta_mem_free(sum);
    ta_mem_free(grad);
}

uint64_t dw_applied(struct dw *w, unsigned rank, unsigned from) {
    const struct ta_dasgd *d = ta_dasgd_of_const(w->replica[rank].x);
    return rank == from ? w->replica[rank].x->steps : d->applied[from];
}
