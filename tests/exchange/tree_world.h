/* tree_world: replicas joined to a tree on a simulated fabric, in one thread, and the truth about what all have
 * done.
 *
 * Updates are whole numbers in floats, so sums are exact whatever the order. The last quarter of the parameters is
 * a `mean` segment. Time is virtual.
 */
#ifndef TA_TEST_TREE_WORLD_H
#define TA_TEST_TREE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "lazy_gpu.h"
#include "rng.h"
#include "sim.h"
#include "tree.h"

struct tree_config {
    uint64_t seed;
    unsigned n_ranks, fan_out, per_node; /* per_node 0: topology tree; else clusters */
    size_t n_params;
    unsigned in_flight;
    bool statistics;         /* the last quarter is a `mean` segment */
    double dead_after_s;
    enum ta_damping damping;
    struct ta_exchange_updater updater;
    struct ta_sim_config fabric; /* seed and n_ranks are filled in */
    const struct ta_exchange_start *start; /* for all; NULL: w0 of whole numbers */
};

struct tree_replica {
    struct ta_exchange *x;
    struct ta_transport *transport;
    struct ta_gpu *gpu; /* NULL: all memory is the CPU's */
    struct ta_kernels *kernels;
    bool killed, closed;
    int64_t killed_ns;
    ta_status ended; /* what poll said; OK: it goes on */
    char why[256];
};

struct tree_world {
    struct tree_config config;
    struct ta_exchange_spec spec;
    struct ta_model model;
    const struct ta_transport_ops *ops; /* of all replicas */
    const struct ta_kernels_ops *kernel_ops;
    struct ta_sim_fabric *fabric;
    struct tree_replica *replica;
    float *w0;
    int64_t *truth;      /* [n_params] of `sum`: all updates ever made */
    float *statistics;   /* [n_ranks][n_params]: the value of each, as it set it */
    uint64_t steps;      /* of all */
    int64_t *made, *kept; /* [n_ranks][n_params]: updates of each; those in the weights of the last rest */
    uint64_t *kept_steps; /* [n_ranks] */
    bool *joined;         /* [n_ranks][n_ranks] */
    unsigned n_killed;
    int64_t rest_ns;      /* of the last rest that was checked */
    bool killed_in_rest;  /* since the last rest that was checked: the dead may have come to it */
    int64_t notice_ns;    /* so long after its death all know of one, at most; 0: nobody is told */
    struct ta_rng rng;
    int64_t now_ns;
};

/* For all worlds of a program: each replica on a lazy GPU (rdma/lazy_gpu.h), its transport staged. */
extern bool tree_world_far;

#define tree_fail(w, ...)                                               \
    do {                                                                \
        print_error("seed %llu: ", (unsigned long long)(w)->config.seed); \
        fail_msg(__VA_ARGS__);                                          \
    } while (0)
#define tree_must(w, call)                                              \
    do {                                                                \
        if ((call) != TA_OK) tree_fail(w, "%s: %s", #call, ta_why());   \
    } while (0)

void tree_world_open(struct tree_world *w, const struct tree_config *config); /* and connects */
void tree_world_close(struct tree_world *w);
void tree_world_step(struct tree_world *w, unsigned rank);
void tree_world_poll(struct tree_world *w, unsigned rank);
void tree_world_kill(struct tree_world *w, unsigned rank);
void tree_world_break(struct tree_world *w, unsigned a, unsigned b); /* and a new path at once */
/* For so many rounds of polls, each at random replicas steps with that probability; all are polled. */
void tree_world_play(struct tree_world *w, unsigned turns, double steps, int64_t tick_ns);
/* All that live settle, or resume; false: they cannot within `turns`. */
bool tree_world_settle(struct tree_world *w, uint32_t round, unsigned turns);
bool tree_world_resume(struct tree_world *w, uint32_t round, unsigned turns);
/* At rest: all that live have the same bits, every update of each of them once, and of the dead what was there at the
 * rest before. */
void tree_world_check_rest(struct tree_world *w);

#endif
