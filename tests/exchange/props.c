/* props: thousands of short lives of 1 to 6 replicas with everything that can happen on the way, from a seed; half of
 * them with tables of rows, small row logs and small puts; a third of them over paths that break, and are made anew, or
 * not; in half of them one or two spares join at any moment; in half of them staleness is bounded, and steps are
 * skipped.
 *
 * Whatever happens, at every rest: each replica's weights are w0 plus its registers, element by element, bit for bit;
 * the registers of all who are not dead are exactly what their owners made (nothing lost, nothing twice); what a dead
 * one left is a state it went through; all survivors have the same bits; nobody waits for ever.
 *
 *     test_exchange_props [FIRST_SEED [COUNT [far]]]     far: each replica on a lazy GPU, its windows staged
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flaps.h"
#include "joins.h"
#include "mem.h"
#include "world.h"

enum { MAX_ROUNDS = 32, LAST_ROUND = MAX_ROUNDS, MAX_TICKS = 60000, LEAVE_TICKS = 300 };

enum phase { OUTSIDE, TRAIN, ROUND, RESUME, FINAL, LEAVING, OUT };

enum trouble { NONE, CRASH, CRASH_TWO, CRASH_AT_REST, SLEEP, CUT, NERVOUS, TROUBLES };

struct actor {
    enum phase phase;
    uint32_t round, done;
    unsigned target;     /* steps it will make */
    unsigned asks_at;    /* step at which it asks for a round */
    unsigned late_asks;  /* rounds it may ask for while it waits in the last one */
    bool finished, expelled;
    unsigned leaving;    /* ticks since it said so */
    int64_t asleep_until_ns;
    unsigned dead;                 /* ranks it holds, or last held, for dead, a bit each, */
    unsigned absent;               /* and spares it has never counted on */
    float *rest[MAX_ROUNDS + 1];   /* its weights when it settled; NULL: it never did */
    char wrong[256];               /* what was not true when it settled, */
    unsigned suspect;              /* and whose register it was */
};

struct life {
    struct world world;
    struct flaps flaps;
    struct joins joins;
    enum trouble trouble;
    struct actor actor[WORLD_MAX_RANKS];
    struct ta_rng rng;
    int64_t strike_ns[2], heal_ns;
    unsigned victim[2], cut_to;
    unsigned strikes;
};

static uint64_t first_seed = 1;
static unsigned n_lives = 1000;
static bool far;
static unsigned joined, stepped; /* spares that came in; those of them that took a step */

static unsigned below(struct life *l, unsigned n) { return ta_rng_below(&l->rng, n); }

static struct world_tables plan_tables(struct life *l, unsigned n_ranks, unsigned spares) {
    static const uint32_t after[] = {1, 2, 3, 8, 200};
    if (below(l, 2)) return (struct world_tables){0};
    return (struct world_tables){
        .rows = 1 + below(l, 90), .tables = 1 + below(l, 2), .names = below(l, 2) != 0 && spares == 0,
        .alone = n_ranks > 1 && below(l, 3) == 0, .stored = below(l, 2) != 0, .after = after[below(l, 5)],
        .within_s = 1e-6 * (1 + below(l, 60)),
        .limits = {.log_entries = below(l, 4) ? 1 + below(l, 40) : 0, .put_rows = below(l, 4) ? 1 + below(l, 12) : 0},
    };
}

static void plan(struct life *l, uint64_t seed) {
    memset(l, 0, sizeof *l);
    l->rng = ta_rng_make(seed, 1);
    l->trouble = (enum trouble)below(l, TROUBLES);
    unsigned n = 1 + below(l, WORLD_MAX_RANKS);
    if (n == 1 && l->trouble != NONE) n = 2;
    unsigned spares = n > 1 && below(l, 2) ? 1 + below(l, n > 2 ? 2 : 1) : 0;
    if (spares > 0 && below(l, 2)) l->trouble = below(l, 2) ? CRASH : CRASH_TWO; /* something is to be taken over */
    struct world_config config = {
        .seed = seed, .n_ranks = n, .spares = spares, .n_params = 4 + below(l, 60), .in_flight = below(l, 4),
        .ragged = below(l, 2) != 0, .scale_mean = below(l, 2) != 0, .no_mean = below(l, 3) == 0,
        .far = far, .heartbeat_s = 10e-6, .dead_after_s = l->trouble == NERVOUS ? 25e-6 : 400e-6,
        .epoch = 1 + below(l, 3),
        .fabric = {.latency_ns = 1 + below(l, 4000), .bytes_per_ns = below(l, 3) ? 0 : 0.05,
                   .jitter = below(l, 3) * 0.5, .duplicate = below(l, 3) * 0.3, .depth = 1 + below(l, 3)},
    };
    config.tables = plan_tables(l, n, spares);
    static const char *const bounds[] = {"none", "none", "none", "0", "1", "3"};
    config.exchange.max_staleness = (char *)bounds[below(l, config.tables.rows > 0 ? 3 : 6)];
    if (config.tables.rows > 0 && below(l, 2)) config.exchange.max_staleness = (char *)"2";
    /* A slow link is slow for the model: what a dead one left must get through within the patience of the others. */
    if (config.tables.rows > 0) config.fabric.bytes_per_ns *= 1 + config.tables.rows / 4;
    world_open(&l->world, &config);
    for (unsigned r = 0; r < n; r++) {
        l->actor[r].target = below(l, 40);
        l->actor[r].asks_at = below(l, 80);
        l->actor[r].late_asks = below(l, 3);
        l->actor[r].phase = r < n - spares ? TRAIN : OUTSIDE;
    }
    l->strike_ns[0] = l->trouble == CRASH_AT_REST ? INT64_MAX : (int64_t)below(l, 60000);
    l->strike_ns[1] = l->strike_ns[0] == INT64_MAX ? INT64_MAX : l->strike_ns[0] + (int64_t)below(l, 20000);
    l->heal_ns = l->strike_ns[0] == INT64_MAX ? 0 : l->strike_ns[0] + 200000 + (int64_t)below(l, 800000);
    if (below(l, 3) == 0) l->heal_ns = 0; /* never */
    l->victim[0] = below(l, n);
    l->victim[1] = below(l, n);
    l->cut_to = below(l, n);
    joins_plan(&l->joins, &l->world, 150000);
    flaps_plan(&l->flaps, &l->world, below(l, 2) ? FLAPS_NONE : (enum flap_kind)below(l, FLAP_KINDS));
}

static void kill_one(struct life *l, unsigned rank) {
    if (l->actor[rank].phase == OUT) return;
    world_kill(&l->world, rank, 1 + below(l, 5000));
    l->actor[rank].phase = OUT;
}

static void strike(struct life *l) {
    struct world *w = &l->world;
    bool first = l->strikes == 0 && w->now_ns >= l->strike_ns[0];
    bool second = l->strikes == 1 && w->now_ns >= l->strike_ns[1];
    if (!first && !second) {
        if (l->trouble == CUT && l->strikes > 0 && l->heal_ns > 0 && w->now_ns >= l->heal_ns) {
            for (unsigned a = 0; a < w->config.n_ranks; a++)
                for (unsigned b = 0; b < w->config.n_ranks; b++) ta_sim_cut(w->fabric, a, b, 0);
            l->heal_ns = 0;
        }
        return;
    }
    unsigned victim = l->victim[l->strikes++];
    switch (l->trouble) {
    case CRASH_TWO: kill_one(l, victim); break;
    case CRASH:
    case CRASH_AT_REST:
        if (first) kill_one(l, victim);
        break;
    case SLEEP:
        if (first) l->actor[victim].asleep_until_ns = w->now_ns + (int64_t)below(l, 2000000);
        break;
    case CUT:
        if (first && victim != l->cut_to) {
            ta_sim_cut(w->fabric, victim, l->cut_to, 1);
            if (below(l, 2)) ta_sim_cut(w->fabric, l->cut_to, victim, 1);
        }
        break;
    default: break;
    }
}

/* Peers that this one holds to be so. */
static unsigned peers_of(struct life *l, unsigned rank, enum ta_peer_life life) {
    unsigned peers = 0;
    for (unsigned p = 0; p < l->world.config.n_ranks; p++)
        if (p != rank && world_stats(&l->world, rank, p).life == life) peers |= 1U << p;
    return peers;
}

static void note_peers(struct life *l, unsigned rank) {
    l->actor[rank].dead = peers_of(l, rank, TA_PEER_DEAD);
    l->actor[rank].absent = peers_of(l, rank, TA_PEER_ABSENT);
}

/* Each is gone for the other, or the one had never heard of the other. */
static bool parted(struct life *l, unsigned i, unsigned j) {
    const struct actor *a = &l->actor[i], *b = &l->actor[j];
    bool of_a = (a->dead >> j & 1) != 0, of_b = (b->dead >> i & 1) != 0;
    return (of_a || (a->absent >> j & 1)) && (of_b || (b->absent >> i & 1)) && (of_a || of_b);
}

static void settled(struct life *l, unsigned rank, uint32_t round) {
    struct world *w = &l->world;
    struct actor *a = &l->actor[rank];
    unsigned at = round == TA_ROUND_FINAL ? LAST_ROUND : round % MAX_ROUNDS;
    for (unsigned p = 0; p < w->config.n_ranks; p++) {
        struct ta_peer_stats stats = world_stats(w, rank, p);
        if (p != rank && stats.life == TA_PEER_LIVE && stats.steps_acked != w->replica[rank].steps)
            world_fail(w, "rank %u rests, but %u has only %llu of its %llu steps", rank, p,
                       (unsigned long long)stats.steps_acked, (unsigned long long)w->replica[rank].steps);
    }
    note_peers(l, rank);
    const char *wrong = world_check(w, rank, ~a->dead);
    if (wrong != NULL && a->wrong[0] == '\0') {
        a->suspect = w->suspect;
        snprintf(a->wrong, sizeof a->wrong, "at rest in round %u, holding %x for dead: %s", round, a->dead, wrong);
    }
    ta_mem_free(a->rest[at]);
    world_must(w, TA_NEW(&a->rest[at], w->config.n_params, "rest"));
    memcpy(a->rest[at], lazy_gpu_at(w->replica[rank].x->w), w->config.n_params * sizeof(float));
    if (l->trouble == CRASH_AT_REST && l->strikes == 0 && below(l, 2)) l->strike_ns[0] = w->now_ns + below(l, 3000);
}

static void train(struct life *l, unsigned rank) {
    struct world *w = &l->world;
    struct actor *a = &l->actor[rank];
    struct ta_exchange *x = w->replica[rank].x;
    uint32_t asked = ta_exchange_live.requested(x, NULL);
    if (asked > a->done) {
        a->phase = ROUND;
        a->round = asked;
    } else if (a->finished || x->steps >= a->target) {
        a->finished = true;
        a->phase = FINAL;
    } else if (below(l, 3) == 0 && ta_exchange_live.ready(x, w->now_ns) == TA_OK) {
        if (w->config.tables.rows > 0 && below(l, 8) == 0) world_reset(w, rank);
        if (below(l, 10) == 0) world_skip(w, rank);
        else world_step(w, rank);
        if (x->steps == a->asks_at) ta_exchange_live.request(x, a->done + 1, 1);
    }
}

static void rest(struct life *l, unsigned rank, uint32_t round) {
    struct actor *a = &l->actor[rank];
    ta_status status = ta_exchange_live.settle(l->world.replica[rank].x, round, l->world.now_ns);
    if (status == TA_OK) {
        settled(l, rank, round);
        a->phase = RESUME;
        a->round = round;
    } else if (status != TA_AGAIN && status != TA_PEER) {
        world_fail(&l->world, "settle: %s", ta_why());
    }
}

static void go_on(struct life *l, unsigned rank) {
    struct world *w = &l->world;
    struct actor *a = &l->actor[rank];
    unsigned at = a->round == TA_ROUND_FINAL ? LAST_ROUND : a->round % MAX_ROUNDS;
    if (memcmp(a->rest[at], lazy_gpu_at(w->replica[rank].x->w), w->config.n_params * sizeof(float)) != 0)
        world_fail(w, "the weights of rank %u changed at rest in round %u", rank, a->round);
    if (below(l, 4) == 0) return; /* still writing its snapshot */
    ta_status status = ta_exchange_live.resume(w->replica[rank].x, a->round, w->now_ns);
    if (status == TA_OK && a->round == TA_ROUND_FINAL) {
        ta_exchange_live.leave(w->replica[rank].x, w->now_ns);
        a->phase = LEAVING;
    } else if (status == TA_OK) {
        a->done = a->round;
        a->phase = TRAIN;
    } else if (status != TA_AGAIN && status != TA_PEER) {
        world_fail(w, "resume: %s", ta_why());
    }
}

static void ask_in(struct life *l, unsigned rank) {
    struct actor *a = &l->actor[rank];
    ta_status status = joins_enter(&l->joins, &l->world, rank, &a->done);
    joined += status == TA_OK;
    if (status == TA_OK) {
        a->phase = TRAIN;
    } else if (status != TA_AGAIN) { /* too late, or nothing to do */
        ta_exchange_live.leave(l->world.replica[rank].x, l->world.now_ns);
        a->phase = LEAVING;
    }
}

static void tick(struct life *l, unsigned rank) {
    struct world *w = &l->world;
    struct actor *a = &l->actor[rank];
    ta_status status = world_poll(w, rank);
    if (status == TA_PEER) {
        note_peers(l, rank);
        a->expelled = a->phase != OUTSIDE; /* a spare that cannot come in goes by itself */
        a->phase = OUT;
        world_shut(w, rank);
        return;
    }
    if (status != TA_OK) world_fail(w, "poll of rank %u: %s", rank, ta_why());
    switch (a->phase) {
    case OUTSIDE: ask_in(l, rank); break;
    case TRAIN: train(l, rank); break;
    case ROUND: rest(l, rank, a->round); break;
    case RESUME: go_on(l, rank); break;
    case FINAL:
        if (a->late_asks > 0 && below(l, 20) == 0) {
            ta_exchange_live.request(w->replica[rank].x, a->done + 1, 1);
            a->late_asks--;
        }
        if (ta_exchange_live.requested(w->replica[rank].x, NULL) > a->done)
            a->phase = TRAIN;
        else
            rest(l, rank, TA_ROUND_FINAL);
        break;
    case LEAVING: {
        unsigned flying = 0;
        for (unsigned p = 0; p < w->config.n_ranks; p++)
            flying += w->ops->in_flight(w->replica[rank].transport, p);
        if (flying > 0 && a->leaving++ < LEAVE_TICKS) return; /* a path may be cut for good */
        note_peers(l, rank);
        world_shut(w, rank);
        a->phase = OUT;
        break;
    }
    case OUT: break;
    }
}

/* Two survivors rest in the same round with the same bits, unless each held the other for dead (a cut between two). */
static void compare(struct life *l) {
    struct world *w = &l->world;
    for (unsigned at = 0; at <= MAX_ROUNDS; at++)
        for (unsigned i = 0; i < w->config.n_ranks; i++)
            for (unsigned j = 0; j < i; j++) {
                const struct actor *a = &l->actor[i], *b = &l->actor[j];
                if (a->rest[at] == NULL || b->rest[at] == NULL || a->expelled || b->expelled) continue;
                if (w->replica[i].killed || w->replica[j].killed) continue;
                if (parted(l, i, j)) continue;
                if (memcmp(a->rest[at], b->rest[at], w->config.n_params * sizeof(float)) != 0)
                    world_fail(w, "ranks %u and %u differ at rest in round %u, holding %x and %x for dead (trouble %d, "
                               "flaps %d)",
                               i, j, at, a->dead, b->dead, (int)l->trouble, (int)l->flaps.kind);
            }
}

/* Some have rested with false weights and do not know yet that the others gave them up: that counts only if they
 * stay. */
static void judge(struct life *l) {
    const struct world *w = &l->world;
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        const struct actor *a = &l->actor[r];
        if (a->wrong[0] == '\0' || a->expelled || w->replica[r].killed) continue;
        if (a->suspect >= w->config.n_ranks || !parted(l, r, a->suspect))
            world_fail(w, "%s (trouble %d, flaps %d)", a->wrong, (int)l->trouble, (int)l->flaps.kind);
    }
}

static void end(struct life *l) {
    unsigned gone = 0;
    for (unsigned r = 0; r < l->world.config.n_ranks; r++) {
        stepped += r >= l->joins.founders && l->world.replica[r].steps > 0;
        gone += l->actor[r].expelled;
        for (unsigned at = 0; at <= MAX_ROUNDS; at++) ta_mem_free(l->actor[r].rest[at]);
    }
    bool calm = l->trouble == NONE || l->trouble == CRASH || l->trouble == CRASH_TWO || l->trouble == CRASH_AT_REST;
    calm = calm && l->flaps.kind != FLAPS_LONG;
    if (calm && gone > 0) world_fail(&l->world, "%u replicas were expelled without reason", gone);
    uint64_t refused = ta_sim_refused(l->world.fabric);
    if (refused > 0) world_fail(&l->world, "%llu puts went beyond what was granted", (unsigned long long)refused);
    world_close(&l->world);
}

static void live_once(uint64_t seed) {
    static struct life life;
    struct life *l = &life;
    plan(l, seed);
    world_connect_all(&l->world);
    unsigned out = 0, n = l->world.config.n_ranks;
    for (unsigned ticks = 0; out < n; ticks++) {
        if (ticks == MAX_TICKS) {
            for (unsigned r = 0; r < n; r++)
                print_error("rank %u phase %d round %u\n", r, (int)l->actor[r].phase, l->actor[r].round);
            world_fail(&l->world, "still not over (trouble %d, flaps %d, %u replicas)", (int)l->trouble,
                       (int)l->flaps.kind, n);
        }
        l->world.now_ns += 1 + below(l, 1000);
        strike(l);
        unsigned all_awake = 0;
        for (unsigned r = 0; r < n; r++) all_awake |= (l->world.now_ns >= l->actor[r].asleep_until_ns) << r;
        joins_step(&l->joins, &l->world);
        flaps_step(&l->flaps, &l->world, all_awake, joins_present(&l->joins, &l->world));
        out = 0;
        for (unsigned r = 0; r < n; r++) {
            bool awake = all_awake >> r & 1;
            bool here = r < l->joins.founders || l->joins.of[r].came;
            if (here && l->actor[r].phase != OUT && awake && below(l, 2)) tick(l, r);
            if (!here && l->joins.of[r].at_ns == INT64_MAX) l->actor[r].phase = OUT;
            out += l->actor[r].phase == OUT;
        }
    }
    compare(l);
    judge(l);
    end(l);
}

static void test_lives(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (unsigned i = 0; i < n_lives; i++) live_once(first_seed + i);
    assert_int_equal(ta_mem_held_bytes(), held);
    print_message("%u spares joined, %u of them made a step\n", joined, stepped);
    if (n_lives >= 1000 && stepped < n_lives / 20) fail_msg("too few lives in which somebody joins to tell anything");
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) n_lives = (unsigned)strtoul(argv[2], NULL, 10);
    far = argc > 3 && strcmp(argv[3], "far") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lives)};
    return cmocka_run_group_tests_name("exchange: lives", tests, NULL, NULL);
}
