/* bound: what a bound on staleness promises, by seeds, on a fabric with delays, jitter and puts that come twice.
 *
 * Bound 0 is synchronous SGD: every gradient is computed on the weights that a reference in double precision has after
 * as many steps of everybody. Replicas are of different speed, leave steps out and end at different times. With any
 * bound nobody is further ahead of one that trains than it allows, and nobody waits for ever.
 *
 *     test_exchange_bound [FIRST_SEED [COUNT]]
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

#include "exchange.h"
#include "kernels.h"
#include "mem.h"
#include "rng.h"
#include "sim.h"

enum { MOST = 5, PARAMS = 24, MOST_STEPS = 24, MAX_TICKS = 200000 };

static const float RATE = 0.125F;
static const struct ta_transport_ops *const sim = &ta_transport_sim;
static const struct ta_exchange_ops *const live = &ta_exchange_live;
static uint64_t first_seed = 1;
static unsigned n_lives = 200;

struct runner {
    struct ta_transport *transport;
    struct ta_exchange *x;
    unsigned target;         /* batches; then it waits for the end */
    unsigned batches;
    int64_t busy_until_ns;   /* computes */
    bool computing, skips, done;
    float grad[PARAMS];
};

struct race {
    uint64_t seed;
    unsigned n;
    int64_t bound;
    struct ta_sim_fabric *fabric;
    struct ta_kernels *kernels;
    struct ta_model model;
    struct ta_exchange_spec spec;
    struct ta_rng rng;
    int64_t now_ns;
    struct runner runner[MOST];
    bool skipped[MOST][MOST_STEPS];
    double reference[MOST_STEPS + 1][PARAMS]; /* weights after so many steps of all */
    unsigned most_ahead;
    bool lost; /* somebody: the reference has all */
};

/* Of everybody's batch k, on weights w: neither linear nor the same for any two. */
static double gradient_of(const struct race *r, unsigned rank, unsigned k, unsigned i, double w) {
    return tanh(w - ta_rng_cell(r->seed, (uint64_t)(rank * 1000 + k) * PARAMS + i));
}

static void fill_reference(struct race *r, float scale) {
    for (unsigned i = 0; i < PARAMS; i++) r->reference[0][i] = 0.5 * (i % 3);
    for (unsigned k = 0; k < MOST_STEPS; k++)
        for (unsigned i = 0; i < PARAMS; i++) {
            double w = r->reference[k][i], sum = 0;
            for (unsigned rank = 0; rank < r->n; rank++)
                if (k < r->runner[rank].target && !r->skipped[rank][k]) sum += gradient_of(r, rank, k, i, w);
            r->reference[k + 1][i] = w - (double)RATE * (double)scale * sum;
        }
}

static ta_status descend(void *owner, const float *grad, const float *w, float scale, float *delta) {
    (void)owner, (void)w;
    for (unsigned i = 0; i < PARAMS; i++) delta[i] -= RATE * scale * grad[i];
    return TA_OK;
}

static void open_runner(struct race *r, unsigned rank, const float *w0) {
    struct runner *a = &r->runner[rank];
    struct ta_transport_config transport = {.rank = rank, .n_ranks = r->n, .run_id = 7, .fabric = r->fabric};
    assert_ok(sim->open(&transport, &a->transport));
    struct ta_exchange_config config = {
        .spec = &r->spec, .updater = {.update = descend}, .model = &r->model, .kernel_ops = &ta_kernels_cpu,
        .kernels = r->kernels, .transport_ops = sim, .transport = a->transport, .rank = rank, .n_ranks = r->n,
        .epoch = 1};
    struct ta_exchange_start start = {.w0 = w0};
    assert_ok(live->open(&config, &start, &a->x));
}

static void open_race(struct race *r, uint64_t seed, int64_t bound) {
    static char text[24];
    memset(r, 0, sizeof *r);
    r->seed = seed;
    r->bound = bound;
    r->rng = ta_rng_make(seed, 3);
    static const unsigned sizes[] = {2, 3, 5};
    r->n = sizes[seed % 3];
    r->now_ns = 1;
    snprintf(text, sizeof text, "%lld", (long long)bound);
    r->spec = (struct ta_exchange_spec){.max_staleness = text, .scale_mean = (seed & 1) != 0, .heartbeat_s = 2e-5,
                                        .dead_after_s = 1, .puts_in_flight = 1 + ta_rng_below(&r->rng, 3)};
    r->model.n_params = PARAMS;
    r->model.n_segments = 1;
    r->model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = PARAMS};
    struct ta_sim_config fabric = {.n_ranks = r->n, .seed = seed, .latency_ns = 1 + ta_rng_below(&r->rng, 3000),
                                   .jitter = ta_rng_below(&r->rng, 3), .duplicate = 0.3 * ta_rng_below(&r->rng, 3),
                                   .bytes_per_ns = ta_rng_below(&r->rng, 2) ? 0.05 : 0, .depth = 3};
    assert_ok(ta_kernels_cpu.open(&(struct ta_kernels_config){0}, &r->kernels));
    assert_ok(ta_sim_create(&fabric, &r->fabric));
    for (unsigned a = 0; a < r->n; a++) {
        r->runner[a].target = ta_rng_below(&r->rng, 4) ? MOST_STEPS : ta_rng_below(&r->rng, MOST_STEPS);
        for (unsigned k = 0; k < MOST_STEPS; k++) r->skipped[a][k] = ta_rng_below(&r->rng, 8) == 0;
    }
    fill_reference(r, r->spec.scale_mean ? 1.0F / (float)r->n : 1.0F);
    float w0[PARAMS];
    for (unsigned i = 0; i < PARAMS; i++) w0[i] = (float)r->reference[0][i];
    for (unsigned a = 0; a < r->n; a++) open_runner(r, a, w0);
    for (unsigned a = 0; a < r->n; a++)
        for (unsigned b = 0; b < r->n; b++) {
            struct ta_key key;
            if (a == b) continue;
            assert_ok(sim->key_make(r->runner[b].transport, a, &key));
            assert_ok(sim->connect(r->runner[a].transport, b, &key));
            live->peer_joined(r->runner[a].x, b, r->now_ns);
        }
}

static void close_race(struct race *r) {
    for (unsigned a = 0; a < r->n; a++) {
        live->close(r->runner[a].x);
        sim->close(r->runner[a].transport);
    }
    ta_sim_destroy(r->fabric);
    ta_kernels_cpu.close(r->kernels);
}

static void check_weights(const struct race *r, unsigned rank, unsigned k) {
    for (unsigned i = 0; i < PARAMS; i++) {
        double is = (double)r->runner[rank].x->w[i], wanted = r->reference[k][i];
        if (fabs(is - wanted) < 2e-5) continue;
        fail_msg("seed %llu: %u replicas, rank %u, step %u: weight %u is %.9g, synchronous SGD has %.9g",
                 (unsigned long long)r->seed, r->n, rank, k, i, is, wanted);
    }
}

static void check_lead(struct race *r, unsigned rank) {
    uint64_t mine = r->runner[rank].x->steps;
    for (unsigned p = 0; p < r->n; p++) {
        const struct runner *peer = &r->runner[p];
        if (p == rank || r->lost || peer->batches >= peer->target || mine <= peer->x->steps) continue;
        unsigned ahead = (unsigned)(mine - peer->x->steps);
        if (ahead > r->most_ahead) r->most_ahead = ahead;
        if (ahead > r->bound) fail_msg("seed %llu: rank %u computes %u steps ahead of rank %u, bound %lld",
                                       (unsigned long long)r->seed, rank, ahead, p, (long long)r->bound);
    }
}

/* The gradient is taken when it is ready: whatever has come meanwhile must not be in the weights it sees. */
static void end_step(struct race *r, unsigned rank) {
    struct runner *a = &r->runner[rank];
    unsigned k = a->batches++;
    a->computing = false;
    if (r->bound == 0 && !r->lost) check_weights(r, rank, k);
    if (r->skipped[rank][k]) {
        assert_ok(live->stepped(a->x, 0, r->now_ns));
        return;
    }
    for (unsigned i = 0; i < PARAMS; i++) a->grad[i] = (float)gradient_of(r, rank, k, i, (double)a->x->w[i]);
    assert_ok(live->step(a->x, a->grad, 8, r->now_ns));
}

static void tick(struct race *r, unsigned rank) {
    struct runner *a = &r->runner[rank];
    if (a->computing) {
        if (r->now_ns >= a->busy_until_ns) end_step(r, rank);
        return;
    }
    assert_ok(live->poll(a->x, r->now_ns));
    if (a->batches >= a->target) {
        ta_status status = live->settle(a->x, TA_ROUND_FINAL, r->now_ns);
        if (status != TA_AGAIN) assert_ok(status);
        a->done = status == TA_OK;
        return;
    }
    if (live->ready(a->x, r->now_ns) == TA_AGAIN) return;
    check_lead(r, rank);
    a->computing = true;
    a->busy_until_ns = r->now_ns + ta_rng_below(&r->rng, rank == 0 ? 20000 : 3000);
}

static void run_race(struct race *r) {
    unsigned done = 0;
    for (unsigned ticks = 0; done < r->n; ticks++) {
        if (ticks == MAX_TICKS) fail_msg("seed %llu: they wait for ever", (unsigned long long)r->seed);
        r->now_ns += 1 + ta_rng_below(&r->rng, 500);
        done = 0;
        for (unsigned rank = 0; rank < r->n; rank++) {
            if (ta_rng_below(&r->rng, 2)) tick(r, rank);
            done += r->runner[rank].done;
        }
    }
    assert_int_equal(ta_sim_refused(r->fabric), 0);
}

static void test_bound_0_is_synchronous_sgd(void **state) {
    (void)state;
    static struct race race;
    size_t held = ta_mem_held_bytes();
    for (unsigned i = 0; i < n_lives; i++) {
        open_race(&race, first_seed + i, 0);
        run_race(&race);
        for (unsigned rank = 0; rank < race.n; rank++) {
            check_weights(&race, rank, MOST_STEPS);
            assert_int_equal(race.runner[rank].x->staleness->max, 0);
        }
        close_race(&race);
    }
    assert_int_equal(ta_mem_held_bytes(), held);
}

/* Nobody goes further ahead, and, so that the test tells anything, somebody goes as far. */
static void test_nobody_goes_further_ahead(void **state) {
    (void)state;
    static struct race race;
    for (int64_t bound = 1; bound <= 3; bound++) {
        unsigned most = 0;
        for (unsigned i = 0; i < n_lives / 8; i++) {
            open_race(&race, first_seed + i, bound);
            run_race(&race);
            if (race.most_ahead > most) most = race.most_ahead;
            close_race(&race);
        }
        assert_int_equal(most, bound);
    }
}

/* It would wait for a peer that is gone, had the peer not been found to be. */
static void test_the_dead_hold_up_nobody(void **state) {
    (void)state;
    static struct race race;
    for (int64_t bound = 0; bound <= 2; bound++) {
        open_race(&race, 4, bound); /* 3 replicas */
        assert_int_equal(race.n, 3);
        for (unsigned rank = 0; rank < 3; rank++) race.runner[rank].target = MOST_STEPS;
        fill_reference(&race, race.spec.scale_mean ? 1.0F / 3 : 1.0F);
        while (race.runner[1].x->steps < 4) {
            race.now_ns += 100;
            for (unsigned rank = 0; rank < 3; rank++) tick(&race, rank);
        }
        ta_sim_kill(race.fabric, 1, race.now_ns, 50000);
        race.lost = true;
        uint64_t before = race.runner[0].x->steps;
        for (unsigned ticks = 0; race.runner[0].x->steps < before + 8 && ticks < MAX_TICKS; ticks++) {
            race.now_ns += 100;
            tick(&race, 0);
            tick(&race, 2);
        }
        assert_true(race.runner[0].x->steps >= before + 8);
        close_race(&race);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) n_lives = (unsigned)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_0_is_synchronous_sgd),
        cmocka_unit_test(test_nobody_goes_further_ahead),
        cmocka_unit_test(test_the_dead_hold_up_nobody),
    };
    return cmocka_run_group_tests_name("exchange: bound", tests, NULL, NULL);
}
