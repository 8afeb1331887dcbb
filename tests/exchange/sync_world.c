/* sync_world: drives and checks. */
#include <math.h>

#include "expect.h"

#include "kernels.h"
#include "sync_world.h"

enum { RUN_ID = 77, TICK_NS = 100, MOST_TURNS = 400000 };

static const struct ta_transport_ops *const sim = &ta_transport_sim;
static const struct ta_exchange_ops *const ops = &ta_exchange_sync;

/* Plain descent; statistics move by a tenth. Keeps what it was given. */
static ta_status update(void *owner, const float *grad, const float *w, float scale, float *delta) {
    struct sync_replica *r = owner;
    const struct ta_model *model = &r->world->model;
    size_t d = model->n_params;
    float *sum = r->got + r->updates++ * d, *mine;
    (void)w;
    assert_true(r->updates <= r->world->most_updates);
    assert_ok(r->kernel_ops->copy_out(r->kernels, sum, grad, d * sizeof *grad));
    for (size_t i = 0; i < d; i++)
        if (!isfinite(sum[i])) {
            r->refused++;
            return ta_fail(TA_NUMERIC, "not finite");
        }
    assert_ok(TA_NEW(&mine, d, "delta"));
    assert_ok(r->kernel_ops->copy_out(r->kernels, mine, delta, d * sizeof *mine));
    for (size_t i = 0; i < model->segments[0].count; i++) mine[i] -= scale * sum[i];
    for (size_t i = model->segments[0].count; i < d; i++) mine[i] = .9F * mine[i] + .1F * sum[i];
    assert_ok(r->kernel_ops->copy_in(r->kernels, delta, mine, d * sizeof *mine));
    ta_mem_free(mine);
    return TA_OK;
}

static void open_kernels(struct sync_world *w, unsigned rank) {
    struct sync_replica *r = &w->replica[rank];
    const struct sync_gpus *gpus = w->config.gpus;
    struct ta_kernels_config config = {.threads = 1, .gpu_ops = gpus != NULL ? gpus->ops : NULL};
    void *grad;
    r->kernel_ops = gpus != NULL ? gpus->kernel_ops : &ta_kernels_cpu;
    if (gpus != NULL) assert_ok(gpus->ops->open(rank % gpus->n, &r->gpu));
    config.gpu = r->gpu;
    assert_ok(r->kernel_ops->open(&config, &r->kernels));
    assert_ok(r->kernel_ops->alloc(r->kernels, w->config.d * sizeof *r->grad, "gradient", &grad));
    r->grad = grad;
}

static void open_replica(struct sync_world *w, unsigned rank) {
    struct sync_replica *r = &w->replica[rank];
    const struct ta_gpu_ops *gpu_ops = w->config.gpus != NULL ? w->config.gpus->ops : NULL;
    open_kernels(w, rank);
    struct ta_transport_config transport = {
        .rank = rank, .n_ranks = w->config.n_ranks, .run_id = RUN_ID, .fabric = w->fabric};
    assert_ok(sim->open(&transport, &r->transport));
    struct ta_exchange_config config = {.spec = &w->spec,
                                        .updater = {update, r},
                                        .model = &w->model,
                                        .kernel_ops = r->kernel_ops,
                                        .kernels = r->kernels,
                                        .gpu_ops = gpu_ops,
                                        .gpu = r->gpu,
                                        .transport_ops = sim,
                                        .transport = r->transport,
                                        .rank = rank,
                                        .n_ranks = w->config.n_ranks,
                                        .epoch = 3};
    assert_ok(ops->open(&config, NULL, &r->x));
    r->world = w;
    assert_ok(TA_NEW(&r->given, (w->config.steps[rank] + 1) * w->config.d, "given"));
    assert_ok(TA_NEW(&r->got, w->most_updates * w->config.d, "got"));
}

static void connect(struct sync_world *w, unsigned from, unsigned to) {
    struct ta_key key;
    assert_ok(sim->key_make(w->replica[to].transport, from, &key));
    assert_ok(sim->connect(w->replica[from].transport, to, &key));
    ops->peer_joined(w->replica[from].x, to, w->now_ns);
}

void sync_open_world(struct sync_world *w, const struct sync_config *config) {
    memset(w, 0, sizeof *w);
    w->config = *config;
    w->rng = ta_rng_make(config->seed, 5);
    w->now_ns = 1;
    w->poison_at = -1;
    w->spec = (struct ta_exchange_spec){
        .type = (char *)"sync", .scale_mean = config->scale_mean, .heartbeat_s = 2e-5, .dead_after_s = 1e-2};
    size_t mean = config->no_mean ? 0 : config->d / 4;
    w->model.n_params = config->d;
    w->model.n_segments = mean > 0 ? 2 : 1;
    w->model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = config->d - mean};
    w->model.segments[1] = (struct ta_segment){.kind = TA_SEGMENT_MEAN, .offset = config->d - mean, .count = mean};
    if (config->gpus != NULL) w->spec.collective = (char *)config->gpus->collective;
    struct ta_sim_config fabric = config->fabric;
    fabric.seed = config->seed;
    fabric.n_ranks = config->n_ranks;
    assert_ok(ta_sim_create(&fabric, &w->fabric));
    for (unsigned r = 0; r < config->n_ranks; r++) w->most_updates += config->steps[r] + 1;
    for (unsigned r = 0; r < config->n_ranks; r++) open_replica(w, r);
    for (unsigned a = 0; a < config->n_ranks; a++)
        for (unsigned b = 0; b < config->n_ranks; b++)
            if (a != b) connect(w, a, b);
}

void sync_close_world(struct sync_world *w) {
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        struct sync_replica *replica = &w->replica[r];
        ops->close(replica->x);
        sim->close(replica->transport);
        replica->kernel_ops->free(replica->kernels, replica->grad);
        replica->kernel_ops->close(replica->kernels);
        if (replica->gpu != NULL) w->config.gpus->ops->close(replica->gpu);
        ta_mem_free(replica->given);
        ta_mem_free(replica->got);
    }
    assert_int_equal(ta_sim_refused(w->fabric), 0);
    ta_sim_destroy(w->fabric);
}

void sync_kill(struct sync_world *w, unsigned rank) {
    w->replica[rank].killed = true;
    ta_sim_kill(w->fabric, rank, w->now_ns, 3000);
}

void sync_flap(struct sync_world *w, unsigned a, unsigned b) {
    struct ta_key key[2];
    unsigned end[2] = {a, b};
    if (w->replica[a].killed || w->replica[b].killed) return;
    ta_sim_break(w->fabric, a, b, w->now_ns);
    for (int i = 0; i < 2; i++) {
        struct sync_replica *r = &w->replica[end[i]];
        ops->peer_broken(r->x, end[1 - i], w->now_ns);
        sim->disconnect(r->transport, end[1 - i]);
        assert_ok(sim->key_make(r->transport, end[1 - i], &key[i]));
    }
    for (int i = 0; i < 2; i++) {
        struct sync_replica *r = &w->replica[end[i]];
        assert_ok(sim->connect(r->transport, end[1 - i], &key[1 - i]));
        ops->peer_joined(r->x, end[1 - i], w->now_ns);
    }
}

/* The next gradient of a replica, on the weights it has. */
static void give(struct sync_world *w, unsigned rank) {
    struct sync_replica *r = &w->replica[rank];
    size_t d = w->config.d;
    float *grad;
    assert_ok(TA_NEW(&grad, d, "gradient"));
    for (size_t i = 0; i < d; i++) {
        grad[i] = (float)(1 + ta_rng_below(&w->rng, 9)) * (w->config.ragged ? 0.137F : 1.0F);
        r->given[(r->made + 1) * d + i] = r->given[r->made * d + i] + (double)grad[i];
    }
    if (rank == 0 && w->poison_at == r->made) grad[d / 2] = NAN;
    r->made++;
    r->x->position++;
    assert_ok(r->kernel_ops->copy_in(r->kernels, r->grad, grad, d * sizeof *grad));
    ta_mem_free(grad);
    assert_ok(ops->step(r->x, r->grad, 10, w->now_ns));
    /* The gradient is ours again. */
    assert_ok(r->kernel_ops->sum(r->kernels, d, r->grad, r->x->w, NULL, 0));
}

static bool enters_round(struct sync_world *w, struct sync_replica *r) {
    uint32_t asked = ops->requested(r->x, NULL);
    if (asked <= r->round) return false;
    r->target = asked;
    r->state = SYNC_SETTLING;
    (void)w;
    return true;
}

static void train(struct sync_world *w, unsigned rank) {
    struct sync_replica *r = &w->replica[rank];
    if (enters_round(w, r)) return;
    if (r->finishing) {
        r->target = TA_ROUND_FINAL;
        ta_status status = ops->settle(r->x, TA_ROUND_FINAL, w->now_ns);
        if (status == TA_OK) r->state = SYNC_RESUMING;
        else if (status != TA_AGAIN) sync_fail(w, "rank %u: %s", rank, ta_why());
        return;
    }
    ta_status status = ops->ready(r->x, w->now_ns);
    if (status == TA_NUMERIC) return;
    if (status != TA_OK && status != TA_AGAIN) sync_fail(w, "rank %u: %s", rank, ta_why());
    if (status == TA_AGAIN) return;
    if (r->made == w->config.steps[rank]) {
        r->finishing = true;
        return;
    }
    r->busy_until_ns = w->config.whole ? 0 : w->now_ns + ta_rng_below(&w->rng, 4000);
    if (ta_rng_uniform(&w->rng) < w->config.drops) assert_ok(ops->stepped(r->x, 0, w->now_ns));
    else give(w, rank);
}

static void act(struct sync_world *w, unsigned rank) {
    struct sync_replica *r = &w->replica[rank];
    ta_status status = TA_OK;
    switch (r->state) {
    case SYNC_TRAINING: train(w, rank); return;
    case SYNC_SETTLING:
        if (ops->requested(r->x, NULL) > r->target) r->target = ops->requested(r->x, NULL);
        status = ops->settle(r->x, r->target, w->now_ns);
        if (status == TA_OK) r->state = SYNC_RESUMING;
        if (status == TA_OK) assert_ok(ops->checksum(r->x, &r->checksum));
        break;
    case SYNC_RESUMING: {
        uint32_t asked = ops->requested(r->x, NULL);
        if (r->target != TA_ROUND_FINAL && asked > r->target) {
            r->target = asked;
            r->state = SYNC_SETTLING;
            return;
        }
        status = ops->resume(r->x, r->target, w->now_ns);
        if (status != TA_OK) break;
        r->state = r->target == TA_ROUND_FINAL ? SYNC_GONE : SYNC_TRAINING;
        if (r->state == SYNC_GONE) ops->leave(r->x, w->now_ns);
        else r->round = r->target;
        return;
    }
    case SYNC_GONE: return;
    }
    if (status != TA_OK && status != TA_AGAIN) sync_fail(w, "rank %u: %s", rank, ta_why());
}

bool sync_turn(struct sync_world *w) {
    bool over = true;
    w->now_ns += TICK_NS;
    for (unsigned rank = 0; rank < w->config.n_ranks; rank++) {
        struct sync_replica *r = &w->replica[rank];
        if (r->killed) continue;
        over &= r->state == SYNC_GONE;
        if (r->busy_until_ns > w->now_ns) continue;
        if (!w->config.whole && ta_rng_below(&w->rng, 4) == 0) continue;
        ta_status status = ops->poll(r->x, w->now_ns);
        if (status != TA_OK) sync_fail(w, "rank %u: poll: %s", rank, ta_why());
        uint32_t above = r->round < 1000 ? r->round + 1 + ta_rng_below(&w->rng, 2) : 0;
        if (w->config.rounds > 0 && r->state == SYNC_TRAINING && ta_rng_below(&w->rng, 400) == 0) {
            w->config.rounds--;
            ops->request(r->x, above, 1);
        }
        act(w, rank);
    }
    return over;
}

void sync_run(struct sync_world *w) {
    for (unsigned turn = 0; !sync_turn(w); turn++)
        if (turn == MOST_TURNS) {
            for (unsigned r = 0; r < w->config.n_ranks; r++)
                print_error("rank %u: state %d, %u of %u gradients, %u updates\n", r, w->replica[r].state,
                            w->replica[r].made, w->config.steps[r], w->replica[r].updates);
            sync_fail(w, "it never ends");
        }
}

static void check_same(struct sync_world *w, const struct sync_replica *a, const struct sync_replica *b) {
    size_t d = w->config.d;
    if (a->updates != b->updates) sync_fail(w, "%u updates at one, %u at another", a->updates, b->updates);
    if (memcmp(a->got, b->got, a->updates * d * sizeof *a->got) != 0) sync_fail(w, "the updates are not the same bits");
    float *mine, *theirs;
    assert_ok(TA_NEW(&mine, d, "weights"));
    assert_ok(TA_NEW(&theirs, d, "weights"));
    assert_ok(a->kernel_ops->copy_out(a->kernels, mine, a->x->w, d * sizeof *mine));
    assert_ok(b->kernel_ops->copy_out(b->kernels, theirs, b->x->w, d * sizeof *theirs));
    if (memcmp(mine, theirs, d * sizeof *mine) != 0) sync_fail(w, "the weights are not the same bits");
    ta_mem_free(mine);
    ta_mem_free(theirs);
}

/* What was got at element i, and what was given by all that must be in it. */
static double got_of(const struct sync_world *w, const struct sync_replica *r, size_t i) {
    double sum = 0;
    for (unsigned u = 0; u < r->updates; u++) sum += (double)r->got[u * w->config.d + i];
    return w->config.scale_mean ? sum * w->config.n_ranks : sum;
}

/* The killed is found to have given so many, the same for every element: what it has made, or without its last
 * gradient, or without the last two, of which the former was reduced for itself alone. */
static void check_sums(struct sync_world *w, const struct sync_replica *r) {
    size_t d = w->config.d, n_sum = w->model.segments[0].count;
    const struct sync_replica *lost = NULL;
    for (unsigned p = 0; p < w->config.n_ranks; p++)
        if (w->replica[p].killed) lost = &w->replica[p];
    unsigned known = lost != NULL ? (unsigned)lost->x->steps : 0, first = known > 2 ? known - 2 : 0, most = known;
    if (lost != NULL && most > lost->made) most = lost->made;
    for (unsigned gave = lost != NULL ? first : 0; gave <= most; gave++) {
        size_t i = 0;
        for (; i < n_sum; i++) {
            double sum = 0, got = got_of(w, r, i);
            for (unsigned p = 0; p < w->config.n_ranks; p++) {
                const struct sync_replica *other = &w->replica[p];
                sum += other->given[(other == lost ? gave : other->made) * d + i];
            }
            if (fabs(sum - got) > (w->config.ragged || w->config.scale_mean ? 1e-5 * sum : 0)) break;
        }
        if (i == n_sum) return;
        if (lost == NULL) sync_fail(w, "element %zu got %g", i, got_of(w, r, i));
    }
    sync_fail(w, "a gradient was lost or counted twice");
}

void sync_check(struct sync_world *w) {
    const struct sync_replica *first = NULL;
    for (unsigned p = 0; p < w->config.n_ranks; p++) {
        if (w->replica[p].killed) continue;
        if (first == NULL) first = &w->replica[p];
        check_same(w, first, &w->replica[p]);
    }
    if (w->poison_at < 0) check_sums(w, first);
}
