/* skipgram_pool: negatives at work, from which every window picks its own.
 *
 * Entries are rows drawn from count^0.75, each held as a copy (skipgram_near.h). A window turns a few entries over, the
 * oldest first, and picks one at random from each of `negative` equal shares of the pool: every entry has the same
 * chance, and is picked TA_POOL_USES times in the TA_POOL_DEPTH * TA_POOL_USES windows or so that it stays. A negative
 * thus costs a fifth of the memory traffic and of the exchange. A pool starts small and grows by what is turned over,
 * so that a short batch does not pay for a long one.
 */
#ifndef TA_CPU_SKIPGRAM_POOL_H
#define TA_CPU_SKIPGRAM_POOL_H

#include "skipgram_draw.h"
#include "skipgram_near.h"

#ifndef TA_POOL_USES
enum { TA_POOL_USES = 5, TA_POOL_DEPTH = 12 };
#endif
enum { TA_POOL_START = 2, TA_POOL_AHEAD = 4 };

struct ta_pool {
    const struct ta_odds *odds;
    struct ta_near *out;
    struct ta_loops_step *step; /* that fetches what enters and leaves next */
    struct ta_draw draw, picks;
    uint32_t negative, turn;           /* picked and turned over by a window */
    uint32_t n, room, oldest;          /* entries: now, at most; the next to go when the pool is full */
    uint32_t share;                    /* entries from which one is picked */
    uint32_t slot[64 * TA_POOL_DEPTH]; /* [n] of `out` */
    uint64_t number[TA_POOL_AHEAD];    /* drawn, their entries of the alias table being fetched ... */
    uint32_t ahead[TA_POOL_AHEAD];     /* ... then looked up, their rows being fetched, and then entered */
    uint32_t next;                     /* the first of both is at next mod TA_POOL_AHEAD */
};

/* Entries that a pool has at most. */
static inline uint32_t ta_pool_room(uint32_t negative) { return negative * TA_POOL_DEPTH; }

static inline uint32_t ta_pool_turn_of(uint32_t negative) { return (negative + TA_POOL_USES - 1) / TA_POOL_USES; }

/* The row that enters next. */
static inline uint32_t ta_pool_next(struct ta_pool *pool) {
    uint32_t at = pool->next++ % TA_POOL_AHEAD, row = pool->ahead[at];
    pool->ahead[at] = ta_odds_row(pool->odds, pool->number[at]);
    ta_near_soon(pool->out, pool->ahead[at], pool->step);
    pool->number[at] = ta_draw_u64(&pool->draw);
    __builtin_prefetch(pool->odds->alias + ta_odds_place(pool->odds, pool->number[at]));
    return row;
}

static inline void ta_pool_begin(struct ta_pool *pool, uint64_t seed, uint64_t batch) {
    pool->draw = ta_draw_start(seed, batch, ta_draw_negatives);
    pool->picks = ta_draw_start(seed, batch, ta_draw_picks);
    pool->share = TA_POOL_START;
    pool->n = pool->oldest = pool->next = 0;
    for (uint32_t i = 0; i < TA_POOL_AHEAD; i++) pool->ahead[i] = ta_odds_negative(pool->odds, &pool->draw);
    for (uint32_t i = 0; i < TA_POOL_AHEAD; i++) pool->number[i] = ta_draw_u64(&pool->draw);
    while (pool->n < pool->negative * TA_POOL_START)
        pool->slot[pool->n++] = ta_near_enter(pool->out, ta_pool_next(pool));
}

static inline void ta_pool_turn(struct ta_pool *pool) {
    for (uint32_t i = 0; i < pool->turn; i++) {
        uint32_t *slot = &pool->slot[pool->oldest];
        if (pool->n < pool->room) {
            slot = &pool->slot[pool->n++];
            pool->share = pool->n / pool->negative;
        } else {
            ta_near_leave(pool->out, *slot);
            pool->oldest = pool->oldest + 1 == pool->n ? 0 : pool->oldest + 1;
        }
        *slot = ta_near_enter(pool->out, ta_pool_next(pool));
    }
}

/* The entry of the pick's share. */
static inline uint32_t ta_pool_pick(struct ta_pool *pool, uint32_t pick) {
    return pick * pool->share + (uint32_t)((ta_draw_u64(&pool->picks) >> 32) * pool->share >> 32);
}

static inline void ta_pool_end(struct ta_pool *pool) {
    while (pool->n > 0) ta_near_leave(pool->out, pool->slot[--pool->n]);
}

#endif
