/* Lives of replicas of the paper's protocol, by seed: messages delayed, repeated, overtaken by credits, cut off with
 * their path and put again; a replica killed; rounds in between; bounds. Every gradient of every survivor is applied
 * exactly once at every survivor, of one that died a beginning of what it did, and no bound is ever passed.
 *
 *     test_exchange_dasgd_props [FIRST_SEED [LIVES]]
 */
#include "expect.h"

#include "dasgd_world.h"

enum { MAX_TICKS = 40000 };

static uint64_t first_seed = 1;
static unsigned n_lives = 150;

struct life {
    struct dw world;
    struct ta_rng rng;
    uint64_t target[DW_MAX_RANKS];
    unsigned alive;
    int64_t bound, kill_ns;
    unsigned victim, breaks, dead;
    unsigned broken_a, broken_b;
    int64_t heal_ns; /* 0: nothing is broken */
};

static uint32_t below(struct life *l, uint32_t n) { return ta_rng_below(&l->rng, n); }

static void plan(struct life *l, uint64_t seed) {
    static char *const bounds[] = {(char *)"none", (char *)"none", (char *)"0", (char *)"1", (char *)"3"};
    memset(l, 0, sizeof *l);
    l->rng = ta_rng_make(seed, 1);
    unsigned n = 1 + below(l, DW_MAX_RANKS), bound = below(l, 5);
    l->bound = bound < 2 ? -1 : bound == 2 ? 0 : bound == 3 ? 1 : 3;
    struct dw_config config = {
        .seed = seed, .n_ranks = n, .n_params = 1 + below(l, 60),
        .spec = {.max_staleness = bounds[bound], .slots = below(l, 5), .gradients_per_push = below(l, 4),
                 .puts_in_flight = below(l, 4), .heartbeat_s = 10e-6, .dead_after_s = 400e-6},
        .fabric = {.latency_ns = 1 + below(l, 4000), .bytes_per_ns = below(l, 3) ? 0 : 0.2, .jitter = below(l, 3) * 0.5,
                   .duplicate = below(l, 3) * 0.3, .depth = 1 + below(l, 3)},
    };
    dw_open(&l->world, &config);
    l->alive = (1U << n) - 1;
    for (unsigned r = 0; r < n; r++) l->target[r] = below(l, 40);
    l->dead = n;
    l->victim = below(l, n);
    l->kill_ns = n > 1 && below(l, 3) == 0 ? 1 + (int64_t)below(l, 60000) : INT64_MAX;
    l->breaks = n > 1 && below(l, 2) ? below(l, 5) : 0;
}

/* It has just begun a step: it was not further ahead of anybody then. (Lock-step: dasgd.c.) */
static void check_bound(struct life *l, unsigned rank) {
    struct dw *w = &l->world;
    for (unsigned p = 0; p < w->config.n_ranks && l->bound > 0; p++) {
        if (p == rank || p == l->victim || rank == l->victim) continue;
        uint64_t ahead = w->replica[rank].x->steps - 1 - dw_applied(w, p, rank);
        if (ahead > (uint64_t)l->bound)
            dw_fail(w, "rank %u computed, %llu steps ahead of rank %u", rank, (unsigned long long)ahead, p);
    }
}

static void trouble(struct life *l) {
    struct dw *w = &l->world;
    unsigned n = w->config.n_ranks;
    if (w->now_ns >= l->kill_ns && l->dead == n) {
        dw_kill(w, l->victim);
        l->alive &= ~(1U << l->victim);
        l->dead = l->victim;
    }
    if (l->heal_ns > 0 && w->now_ns >= l->heal_ns) {
        (void)dw_restore(w, l->broken_a, l->broken_b);
        l->heal_ns = 0;
    } else if (l->heal_ns == 0 && l->breaks > 0 && below(l, 40) == 0) {
        l->broken_a = below(l, n);
        l->broken_b = (l->broken_a + 1 + below(l, n - 1)) % n;
        if (!(l->alive >> l->broken_a & l->alive >> l->broken_b & 1)) return;
        l->breaks--;
        dw_break(w, l->broken_a, l->broken_b);
        l->heal_ns = w->now_ns + 1 + below(l, 20000);
    }
}

/* Until all have come to rest in the round, whoever has steps left to make before it makes them. */
static void go(struct life *l, uint32_t round, unsigned share) {
    struct dw *w = &l->world;
    unsigned rested = 0;
    for (unsigned ticks = 0; (rested & l->alive) != l->alive; ticks++) {
        if (ticks == MAX_TICKS) dw_fail(w, "of %x only %x came to rest in round %u", l->alive, rested, round);
        trouble(l);
        w->now_ns += 1 + below(l, 400);
        for (unsigned r = 0; r < w->config.n_ranks; r++) {
            if (!(l->alive >> r & 1) || below(l, 2)) continue;
            struct ta_exchange *x = w->replica[r].x;
            dw_must(w, x->ops->poll(x, w->now_ns));
            if (rested >> r & 1) continue;
            if (x->steps < l->target[r] * share / 2 && x->steps < l->target[r]) {
                if (below(l, 8) == 0) { /* no labels in this batch */
                    if (x->ops->ready(x, w->now_ns) == TA_OK) dw_must(w, x->ops->stepped(x, 0, w->now_ns));
                } else if (below(l, 2) == 0 && dw_step(w, r)) {
                    check_bound(l, r);
                }
                continue;
            }
            ta_status status = x->ops->settle(x, round, w->now_ns);
            if (status == TA_OK) rested |= 1U << r;
            else if (status != TA_AGAIN) dw_fail(w, "settle of rank %u: %s", r, ta_why());
        }
    }
    if (l->heal_ns > 0) (void)dw_restore(w, l->broken_a, l->broken_b);
    l->heal_ns = 0;
}

static void check_rest(struct life *l) {
    struct dw *w = &l->world;
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        uint64_t steps[DW_MAX_RANKS];
        if (!(l->alive >> r & 1)) continue;
        for (unsigned p = 0; p < w->config.n_ranks; p++) {
            steps[p] = dw_applied(w, r, p);
            if (l->alive >> p & 1 ? steps[p] != w->replica[p].x->steps : steps[p] > w->replica[p].x->steps)
                dw_fail(w, "rank %u has applied %llu steps of rank %u, which made %llu", r,
                        (unsigned long long)steps[p], p, (unsigned long long)w->replica[p].x->steps);
        }
        dw_check(w, r, steps);
    }
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        for (unsigned p = 0; p < w->config.n_ranks && r != p; p++) {
            struct ta_peer_stats stats;
            if (!(l->alive >> r & l->alive >> p & 1)) continue;
            w->replica[r].x->ops->peer_stats(w->replica[r].x, p, &stats);
            uint64_t made = w->replica[p].x->steps;
            if (stats.steps_applied != made || stats.position != made || stats.records != 2 * made)
                dw_fail(w, "rank %u says of rank %u: %llu steps, position %llu, %llu records; it made %llu", r, p,
                        (unsigned long long)stats.steps_applied, (unsigned long long)stats.position,
                        (unsigned long long)stats.records, (unsigned long long)made);
        }
}

static void live_once(uint64_t seed) {
    static struct life life;
    struct life *l = &life;
    plan(l, seed);
    go(l, 2, 1);
    check_rest(l);
    if (l->kill_ns != INT64_MAX && l->dead == l->world.config.n_ranks && below(l, 2)) l->kill_ns = l->world.now_ns + 1;
    dw_resume(&l->world, l->alive, 2);
    go(l, TA_ROUND_FINAL, 2);
    check_rest(l);
    dw_close(&l->world);
}

static void test_lives(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (unsigned i = 0; i < n_lives; i++) live_once(first_seed + i);
    assert_int_equal(ta_mem_held_bytes(), held);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) n_lives = (unsigned)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lives)};
    return cmocka_run_group_tests_name("dasgd: lives", tests, NULL, NULL);
}
