/* replica_world: a run of several replicas in one thread, over a simulated fabric, in virtual time. */
#ifndef TA_TEST_REPLICA_WORLD_H
#define TA_TEST_REPLICA_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "checkpoint.h"
#include "expect.h"
#include "replica.h"
#include "sim.h"

enum { MOST = 5, STEP_NS = 100 * 1000 };

/* A run of n replicas in this thread. */
struct world {
    char folder[64];
    struct ta_run_config *config;
    struct ta_sim_fabric *fabric;
    struct ta_board board;
    struct ta_replica *replica[MOST];
    ta_status result[MOST]; /* AGAIN: still running */
    unsigned n, killed;     /* killed: bit mask */
    unsigned spares;        /* the last of n: not there until they join */
    int64_t now_ns;
    uint64_t seed;
    unsigned idle; /* turns in which nobody had anything to do */
};

/* 3,200 records in batches of 16, a checkpoint every 1,000, with `overrides` on top; from the folder of `w`. */
void world_load(struct world *w, const char *const *overrides, size_t n_overrides);
/* `override`: one more, or NULL. */
void world_begin(struct world *w, unsigned n, const struct ta_sim_config *sim, const char *override);
/* The same over two seconds: 1,600 records a second. */
void world_begin_paced(struct world *w, unsigned n, const struct ta_sim_config *sim, const char *override);
/* So, with ranks above them that may join: world_join. */
void world_begin_with_spares(struct world *w, unsigned founders, unsigned spares, const struct ta_sim_config *sim,
                             const char *override);
void world_join(struct world *w, unsigned rank);
bool world_turn(struct world *w); /* every replica once; false: all have ended */
void world_run(struct world *w);  /* to the end */
void world_end(struct world *w);
/* All but the killed have ended so, on the same weights. */
void world_agree(struct world *w, ta_status expected);
/* `rank` dies, and its launcher knows. */
void world_lose(struct world *w, unsigned rank);
/* What the last checkpoint holds as done, all its files together. `out` may be NULL; valid until the next call. */
struct ta_frontier world_done_in_checkpoint(struct world *w, struct ta_checkpoint_info *out);
unsigned world_events(const struct world *w, const char *event); /* so many in the metrics */

#endif
