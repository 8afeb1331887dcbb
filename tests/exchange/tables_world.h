/* tables_world: a calm world of a few tables, for the tests that go through it step by step. Each program has one. */
#ifndef TA_TABLES_WORLD_H
#define TA_TABLES_WORLD_H

#include "world.h"

enum { ROWS = 200, STRIDE = 8 };

static struct world world;

static inline struct world_config calm(unsigned n_ranks, struct world_tables tables) {
    return (struct world_config){
        .seed = 5, .n_ranks = n_ranks, .n_params = 40, .tables = tables, .epoch = 3, .heartbeat_s = 10e-6,
        .dead_after_s = 1e-3, .fabric = {.latency_ns = 100},
    };
}

static inline void open_calm(unsigned n_ranks, struct world_tables tables) {
    struct world_config config = calm(n_ranks, tables);
    world_open(&world, &config);
    world_connect_all(&world);
    world_run(&world, world.now_ns + 2000, 50);
}

static inline struct ta_exchange *x_of(unsigned rank) { return world.replica[rank].x; }

static inline const struct ta_table *table_of(unsigned segment) { return &world.model.segments[segment].table; }

/* Adds to a column of a row, as a step does: to the weights alone. */
static inline void add(unsigned rank, unsigned segment, uint32_t row, float update) {
    struct ta_exchange *x = x_of(rank);
    size_t at = table_of(segment)->offset + (size_t)row * STRIDE;
    x->w[at] += update;
    ta_exchange_live.touched(x, segment, &row, 1);
}

static inline void step(unsigned rank) {
    world_must(&world, ta_exchange_live.stepped(x_of(rank), 1, world.now_ns));
    world_must(&world, world_poll(&world, rank));
}

static inline float first_of(unsigned rank, unsigned segment, uint32_t row) {
    return x_of(rank)->w[table_of(segment)->offset + (size_t)row * STRIDE];
}

static const struct world_tables plain = {.rows = ROWS, .tables = 2, .alone = true, .after = 4, .within_s = 1};

#endif
