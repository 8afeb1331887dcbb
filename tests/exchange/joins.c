/* joins: see the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "joins.h"
#include "mem.h"

enum { RNG_STREAM = 0x101, WAITS_FOR_SHARE = 400, ASKS = 20000 };

void joins_plan(struct joins *j, const struct world *w, int64_t within_ns) {
    memset(j, 0, sizeof *j);
    j->rng = ta_rng_make(w->config.seed, RNG_STREAM);
    j->founders = w->config.n_ranks - w->config.spares;
    for (unsigned r = j->founders; r < w->config.n_ranks; r++) {
        j->of[r].at_ns = ta_rng_below(&j->rng, (uint32_t)within_ns);
        if (ta_rng_below(&j->rng, 8) == 0) j->of[r].at_ns = INT64_MAX;
        if (r > j->founders && ta_rng_below(&j->rng, 3) == 0) j->of[r].at_ns = j->of[r - 1].at_ns; /* both at once */
    }
}

/* Whether there is, or was, anybody by that number. */
static bool is_here(const struct joins *j, unsigned rank) { return rank < j->founders || j->of[rank].came; }

static void make_way(struct joins *j, struct world *w, unsigned spare, unsigned other, bool back) {
    bool *way = &j->of[spare].ways[other][back];
    unsigned from = back ? other : spare, to = back ? spare : other;
    if (*way || ta_rng_below(&j->rng, 30) != 0) return;
    if (other >= j->founders && other < spare) return; /* that one makes it */
    *way = true;
    if (world_try_connect(w, from, to)) return;
    bool gone = w->replica[other].killed;
    if (gone && !w->replica[spare].closed && !w->replica[spare].killed && ta_rng_below(&j->rng, 2))
        ta_exchange_live.peer_lost(w->replica[spare].x, other, w->now_ns); /* as a launcher says it */
}

void joins_step(struct joins *j, struct world *w) {
    for (unsigned r = j->founders; r < w->config.n_ranks; r++) {
        struct join *join = &j->of[r];
        if (!join->came && w->now_ns < join->at_ns) continue;
        join->came = true;
        for (unsigned other = 0; other < w->config.n_ranks; other++)
            for (unsigned back = 0; back < 2 && other != r && is_here(j, other); back++)
                make_way(j, w, r, other, back != 0);
    }
}

unsigned joins_present(const struct joins *j, const struct world *w) {
    unsigned present = (1U << j->founders) - 1;
    for (unsigned r = j->founders; r < w->config.n_ranks; r++) {
        bool all = j->of[r].came;
        for (unsigned other = 0; other < w->config.n_ranks; other++) {
            const struct join *owner = other < j->founders || other > r ? &j->of[r] : &j->of[other];
            unsigned far = other < j->founders || other > r ? other : r;
            all = all && (other == r || (owner->ways[far][0] && owner->ways[far][1]));
        }
        present |= (unsigned)all << r;
    }
    return present;
}

/* The highest position of a dead owner that anybody knows whom the newcomer counts on. */
static uint64_t known_position(struct world *w, unsigned rank, unsigned owner) {
    uint64_t known = 0;
    for (unsigned q = 0; q < w->config.n_ranks; q++) {
        if (q == rank || q == owner || w->replica[q].closed || w->replica[q].killed) continue;
        struct ta_peer_stats stats = world_stats(w, q, owner);
        bool counts = world_stats(w, rank, q).life == TA_PEER_LIVE && stats.life == TA_PEER_DEAD;
        if (counts && stats.position > known) known = stats.position;
    }
    return known;
}

/* Every batch before `start` is in the register of one that had the share, as the newcomer holds it; none is in hands
 * that are still at work. */
static void check_start(struct joins *j, struct world *w, unsigned rank) {
    const struct join *join = &j->of[rank];
    uint64_t made = 0, held = 0;
    if (join->share >= j->founders) world_fail(w, "spare %u took the share of %u", rank, join->share);
    for (unsigned r = 0; r < w->config.n_ranks; r++) {
        bool had = r == join->share || (r >= j->founders && j->of[r].inside && j->of[r].share == join->share);
        if (!had || r == rank) continue;
        struct ta_peer_stats stats = world_stats(w, rank, r);
        if (stats.life != TA_PEER_DEAD)
            world_fail(w, "spare %u took the share of %u, with rank %u (life %d) at work on it", rank, join->share, r,
                       (int)stats.life);
        uint64_t start = j->of[r].start, end = start + w->replica[r].steps;
        if (end > made) made = end;
        if (stats.steps_applied > 0 && start + stats.steps_applied > held) held = start + stats.steps_applied;
        uint64_t known = known_position(w, rank, r);
        if (known > join->start)
            world_fail(w, "spare %u begins at %llu, rank %u had come to %llu", rank, (unsigned long long)join->start, r,
                       (unsigned long long)known);
    }
    if (join->start < held || join->start > made)
        world_fail(w, "spare %u begins at %llu of the share of %u: %llu were made, %llu are known", rank,
                   (unsigned long long)join->start, join->share, (unsigned long long)made, (unsigned long long)held);
}

ta_status joins_enter(struct joins *j, struct world *w, unsigned rank, uint32_t *round) {
    struct join *join = &j->of[rank];
    struct ta_exchange_entry entry;
    ta_status status = ta_exchange_live.enter(w->replica[rank].x, w->now_ns, &entry);
    if (status == TA_OK) {
        join->inside = true;
        join->share = entry.share;
        join->start = entry.position;
        *round = entry.round;
        check_start(j, w, rank);
        world_note(w, rank); /* its statistics now start from those of the others */
        return TA_OK;
    }
    if (status == TA_PEER) return status;
    if (status != TA_AGAIN) world_fail(w, "enter: %s", ta_why());
    join->asked++;
    join->waited += entry.complete;
    return join->waited > WAITS_FOR_SHARE || join->asked > ASKS ? TA_END : TA_AGAIN;
}
