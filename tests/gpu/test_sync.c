/* test_sync: the synchronous exchange on GPUs: by NCCL where each replica has its own, else by the ring in memory of
 * the host: the same updates as on CPUs, losses, rest; whole lives by seed on a simulated fabric. */
#include <math.h>

#include "expect.h"
#include "fake_gpu.h"
#include "gpu_cuda.h"
#include "sync_world.h"

extern const struct ta_kernels_ops ta_kernels_cuda; /* the table of the plugin */

static const struct sync_gpus own = {.ops = &ta_gpu_cuda, .kernel_ops = &ta_kernels_cuda, .n = 4};
static const struct sync_gpus own_ring = {
    .ops = &ta_gpu_cuda, .kernel_ops = &ta_kernels_cuda, .n = 4, .collective = "ring"};
static const struct sync_gpus shared = {.ops = &ta_gpu_cuda, .kernel_ops = &ta_kernels_cuda, .n = 1};

static struct sync_config lively(uint64_t seed, const struct sync_gpus *gpus) {
    struct ta_rng rng = ta_rng_make(seed, 1);
    struct sync_config c = {
        .seed = seed,
        .n_ranks = 2 + ta_rng_below(&rng, 3),
        .d = 1 + ta_rng_below(&rng, 150),
        .rounds = ta_rng_below(&rng, 4),
        .drops = ta_rng_below(&rng, 3) == 0 ? .1 : 0,
        .scale_mean = ta_rng_below(&rng, 3) == 0,
        .gpus = gpus,
        .fabric = {.latency_ns = 200 + ta_rng_below(&rng, 2000), .jitter = 2, .duplicate = .2, .depth = 2},
    };
    unsigned steps = 1 + ta_rng_below(&rng, 8);
    for (unsigned r = 0; r < c.n_ranks; r++) c.steps[r] = steps + ta_rng_below(&rng, 3);
    if (ta_rng_below(&rng, 4) == 0) c.steps[ta_rng_below(&rng, c.n_ranks)] = 0;
    return c;
}

static void fresh(uint64_t seed) {
    char options[64];
    snprintf(options, sizeof options, "devices=4,order=%s%llu", "random:", (unsigned long long)seed);
    if (seed % 2 == 0) snprintf(options, sizeof options, "devices=4,order=lazy");
    ta_fake_gpu_reset(options);
}

static const struct sync_gpus *gpus_of(uint64_t seed) {
    return seed % 4 == 0 ? &shared : seed % 4 == 1 ? &own_ring : &own;
}

static void all_agree(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed, gpus_of(seed));
        fresh(seed);
        sync_open_world(&w, &c);
        sync_run(&w);
        sync_check(&w);
        sync_close_world(&w);
        assert_int_equal(ta_fake_gpu_count().blocks, 0);
    }
}

static void survivors_go_on(void **state) {
    (void)state;
    unsigned after = 0;
    for (uint64_t seed = 100; seed < 116; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed, gpus_of(seed));
        fresh(seed);
        sync_open_world(&w, &c);
        unsigned when = ta_rng_below(&w.rng, 400), who = ta_rng_below(&w.rng, c.n_ranks), turn = 0;
        bool over = false;
        for (; turn < when && !over; turn++) over = sync_turn(&w);
        if (!over && w.replica[who].state != SYNC_GONE) sync_kill(&w, who);
        sync_run(&w);
        sync_check(&w);
        after += w.replica[who].killed;
        sync_close_world(&w);
    }
    assert_true(after > 4);
}

static void paths_may_break(void **state) {
    (void)state;
    for (uint64_t seed = 200; seed < 204; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed, gpus_of(seed));
        fresh(seed);
        sync_open_world(&w, &c);
        for (unsigned turn = 0; !sync_turn(&w); turn++) {
            if (turn > 100000) sync_fail(&w, "it never ends");
            unsigned a = ta_rng_below(&w.rng, c.n_ranks), b = ta_rng_below(&w.rng, c.n_ranks);
            if (turn < 600 && turn % 40 == 0 && a != b) sync_flap(&w, a, b);
        }
        sync_check(&w);
        sync_close_world(&w);
    }
}

/* Against sums in double, as the ring of CPUs is tested: sums, and means of statistics. */
static void updates_are_those_of_a_reference(void **state) {
    (void)state;
    enum { D = 5000, STEPS = 5 };
    const struct sync_gpus *const gpus[] = {NULL, &own, &own_ring, &shared};
    for (unsigned k = 0; k < 8; k++) {
        unsigned n = 2 + k % 3;
        struct sync_world w;
        struct sync_config c = {.seed = 9 + k, .n_ranks = n, .d = D, .ragged = true, .scale_mean = k >= 4,
                                .gpus = gpus[k % 4], .fabric = {.latency_ns = 300, .depth = 2}};
        for (unsigned r = 0; r < n; r++) c.steps[r] = STEPS;
        fresh(k);
        sync_open_world(&w, &c);
        sync_run(&w);
        sync_check(&w);
        for (unsigned u = 0; u < STEPS; u++)
            for (size_t i = 0; i < D; i++) {
                double sum = 0;
                for (unsigned r = 0; r < n; r++)
                    sum += w.replica[r].given[(u + 1) * D + i] - w.replica[r].given[u * D + i];
                double wanted = i < D - D / 4 && k < 4 ? sum : sum / n;
                if (fabs((double)w.replica[n - 1].got[u * D + i] - wanted) > 1e-5 * wanted)
                    sync_fail(&w, "element %zu of update %u", i, u);
            }
        sync_close_world(&w);
    }
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const struct sync_gpus needs = {
        .ops = &ta_gpu_cuda, .kernel_ops = &ta_kernels_cuda, .n = 1, .collective = "nccl"};
    struct sync_world w;
    struct sync_config c = {.seed = 3, .n_ranks = 2, .d = 20, .steps = {3, 3}, .gpus = &needs, .whole = true,
                            .fabric = {.latency_ns = 300, .depth = 2}};
    fresh(0);
    sync_open_world(&w, &c);
    ta_status status = TA_AGAIN;
    for (int i = 0; i < 1000 && (status == TA_AGAIN || status == TA_OK); i++)
        for (unsigned r = 0; r < 2 && (status == TA_AGAIN || status == TA_OK); r++)
            status = w.replica[r].x->ops->poll(w.replica[r].x, w.now_ns += 100);
    assert_int_equal(status, TA_CONFIG);
    assert_non_null(strstr(ta_why(), "--replicas-per-gpu"));
    sync_close_world(&w);
}

int main(void) {
    setenv("TENSAIR_PLUGINS", TEST_PLUGINS, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_agree),
        cmocka_unit_test(survivors_go_on),
        cmocka_unit_test(paths_may_break),
        cmocka_unit_test(updates_are_those_of_a_reference),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
