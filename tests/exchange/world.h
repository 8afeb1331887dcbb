/* world: replicas of the live exchange on a simulated fabric, in one thread, and the truth about what each has done.
 *
 * Updates are whole numbers in floats, so sums are exact whatever the order, unless `ragged` asks for real fractions.
 * The last quarter of the parameters is a `mean` segment. Tables, if asked for, come behind (world_tables.c). Time is
 * virtual. Where memory may be a GPU's it is looked at through lazy_gpu_at, which leaves the CPU's alone.
 */
#ifndef TA_TEST_WORLD_H
#define TA_TEST_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "kernels.h"
#include "lazy_gpu.h"
#include "live.h"
#include "model.h"
#include "rng.h"
#include "sim.h"

enum { WORLD_MAX_RANKS = 6, WORLD_MAX_STEPS = 64, WORLD_MAX_VERSIONS = 3 * WORLD_MAX_STEPS };

struct world_tables {
    uint32_t rows;      /* of each table; 0: no tables */
    unsigned tables;    /* 1 or 2 */
    bool names;         /* and a segment of names */
    bool alone;         /* no segments beside tables: n_params is not looked at */
    bool stored;        /* w0 is given; else rows start from a seed */
    uint32_t after;
    double within_s;
    struct ta_live_limits limits;
};

struct world_config {
    uint64_t seed;
    unsigned n_ranks, spares; /* spares: the last of n_ranks */
    unsigned max_versions;  /* of each delta that are kept; 0: WORLD_MAX_VERSIONS */
    size_t n_params;        /* without tables; world_open makes it that of the model */
    struct world_tables tables;
    unsigned in_flight;
    bool ragged, scale_mean, no_mean;
    uint32_t epoch;
    double heartbeat_s, dead_after_s;
    struct ta_sim_config fabric; /* seed and n_ranks are filled in */
    bool far; /* each on a lazy GPU, its transport staged */
    const struct ta_exchange_start *start; /* [n_ranks] or NULL */
    struct ta_exchange_spec exchange; /* max_staleness and damping of it are used */
};

struct world_replica {
    struct ta_exchange *x;
    struct ta_transport *transport;
    struct ta_gpu *gpu;         /* NULL: all memory is the CPU's */
    struct ta_kernels *kernels;
    struct ta_window window; /* as the transport gave it: for tests that scribble */
    bool killed, closed;
    uint64_t steps; /* it has made */
    float *history; /* [max_versions][n_params]: delta (of rows: `made`) after each step and each reset in between */
    float *made;    /* [n_params] of rows: what its steps have added since they were last reset */
    unsigned version, version_at[WORLD_MAX_STEPS + 1]; /* the last one; the one after each step */
    float *names;   /* [n_params]: the names in w as far as `renamed` has told */
};

struct world {
    struct world_config config;
    struct ta_exchange_spec spec;
    struct ta_model model;
    const struct ta_transport_ops *ops; /* of all replicas */
    const struct ta_kernels_ops *kernel_ops;
    struct ta_sim_fabric *fabric;
    float *w0;
    struct world_replica replica[WORLD_MAX_RANKS];
    struct ta_rng rng;
    int64_t now_ns;
    unsigned suspect; /* whose register the last world_check complained of; n_ranks: of none */
};

/* Fails the test with the seed to repeat it. */
#define world_fail(w, ...)                                              \
    do {                                                                \
        print_error("seed %llu: ", (unsigned long long)(w)->config.seed); \
        fail_msg(__VA_ARGS__);                                          \
    } while (0)
#define world_must(w, call)                                                                  \
    do {                                                                                     \
        if ((call) != TA_OK) world_fail(w, "%s: %s", #call, ta_why());                       \
    } while (0)

/* Opens all replicas (no connections yet). Everything that can fail is checked with cmocka. */
void world_open(struct world *w, const struct world_config *config);
void world_close(struct world *w);
/* `from` can put to `to` from now on. */
void world_connect(struct world *w, unsigned from, unsigned to);
void world_connect_all(struct world *w); /* but spares */
/* A spare and another, or one way of it; false: one of them is gone. */
bool world_try_connect(struct world *w, unsigned from, unsigned to);
/* The paths between the two break; the exchange finds out by itself. */
void world_break(struct world *w, unsigned a, unsigned b);
/* What a replica does about it on its side, with a key the other side has made after it did the same: gives up the old
 * path and makes a key for the new one, */
void world_part(struct world *w, unsigned rank, unsigned peer, struct ta_key *key);
/* and connects. False: the key is void already (it broke again), or the peer is gone. */
bool world_rejoin(struct world *w, unsigned rank, unsigned peer, const struct ta_key *key);
/* All four at once. */
void world_restore(struct world *w, unsigned a, unsigned b);

/* One step of a replica: a few random parameters get a whole number from 1 to 4; statistics get any. */
void world_step(struct world *w, unsigned rank);
/* A step that is skipped. */
void world_skip(struct world *w, unsigned rank);
ta_status world_poll(struct world *w, unsigned rank);
/* Polls all that are open at steps of `tick_ns` until `until_ns`. */
void world_run(struct world *w, int64_t until_ns, int64_t tick_ns);
void world_kill(struct world *w, unsigned rank, int64_t detect_ns);
void world_shut(struct world *w, unsigned rank); /* closes exchange and transport */

/* All of `ranks` (a bit each) settle or resume; false: they cannot within 0.4 ms. */
bool world_settle(struct world *w, unsigned ranks, uint32_t round);
bool world_resume(struct world *w, unsigned ranks, uint32_t round);

/* The weights of `rank` are exactly w0 and all registers as it holds them, the registers of `peers` (a bit each) are
 * exactly their own deltas, and every other register is a state that its owner went through, element by element. Says
 * what is wrong, or NULL. */
const char *world_check(struct world *w, unsigned rank, unsigned peers);

/* The part of a step that touches tables: see world_step. */
void world_tables_shape(struct world *w);
void world_tables_step(struct world *w, unsigned rank);
/* Resets a row, or renames one of ours, between steps. */
void world_reset(struct world *w, unsigned rank);
/* At rest: rows are exactly the sum of the registers, names are those of their owners, and `renamed` has told all
 * that have changed. `copies` [n_ranks][n_params]: the registers. Says what is wrong, or NULL. */
const char *world_tables_check(struct world *w, unsigned rank, const float *copies);
/* What a register may differ by from what its owner's steps have added: 0 but in rows whose weights round. Less than a
 * quarter of the least update. */
float world_rounding(const struct world *w, size_t e);
/* The delta of `rank` is a new version now. */
void world_note(struct world *w, unsigned rank);

void world_layout(const struct world *w, struct ta_slot_layout *out);

struct ta_peer_stats world_stats(struct world *w, unsigned rank, unsigned peer);

#endif
