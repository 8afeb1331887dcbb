/* sync_world: replicas of the synchronous exchange on a simulated fabric, each driven as framework/run drives it:
 * ready, step, rounds, the end; and what each has given and got. Gradients are whole numbers in floats, so sums are
 * exact whatever the order, unless `ragged`. The last quarter of the parameters is a `mean` segment. Virtual time.
 */
#ifndef TA_TEST_SYNC_WORLD_H
#define TA_TEST_SYNC_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"
#include "gpu.h"
#include "rng.h"
#include "sim.h"

enum { SYNC_MOST_RANKS = 7 };

enum sync_state { SYNC_TRAINING, SYNC_SETTLING, SYNC_RESUMING, SYNC_GONE };

/* Where replicas compute on GPUs: replica r on number r mod `n`. */
struct sync_gpus {
    const struct ta_gpu_ops *ops;
    const struct ta_kernels_ops *kernel_ops;
    unsigned n;
    const char *collective; /* exchange.collective */
};

struct sync_config {
    uint64_t seed;
    unsigned n_ranks;
    size_t d;
    unsigned steps[SYNC_MOST_RANKS]; /* gradients that each rank has */
    unsigned rounds;                 /* asked for at random */
    double drops;                    /* probability that a batch gives no gradient */
    bool ragged, scale_mean, no_mean;
    bool whole;                      /* all poll always, no time between steps */
    const struct sync_gpus *gpus;    /* NULL: CPUs */
    struct ta_sim_config fabric;     /* seed and n_ranks are filled in */
};

struct sync_replica {
    struct ta_exchange *x;
    struct ta_transport *transport;
    struct sync_world *world;
    const struct ta_kernels_ops *kernel_ops;
    struct ta_kernels *kernels;      /* its own */
    struct ta_gpu *gpu;
    float *grad;                     /* [d] where the weights live */
    enum sync_state state;
    bool finishing, killed;
    uint32_t round, target;
    unsigned made, updates, refused; /* gradients given; updates got; those that were not finite */
    int64_t busy_until_ns;
    double *given;                   /* [steps + 1][d] sums of all it has given after so many */
    float *got;                      /* [most_updates][d] reduced gradients */
    uint64_t checksum;               /* at its last rest */
};

struct sync_world {
    struct sync_config config;
    struct ta_exchange_spec spec;
    struct ta_model model;
    struct ta_sim_fabric *fabric;
    struct sync_replica replica[SYNC_MOST_RANKS];
    struct ta_rng rng;
    unsigned most_updates;
    int64_t now_ns;
    int64_t poison_at;               /* the update of rank 0's gradient so many is not finite; -1: none */
};

#define sync_fail(w, ...)                                                  \
    do {                                                                   \
        print_error("seed %llu: ", (unsigned long long)(w)->config.seed);  \
        fail_msg(__VA_ARGS__);                                             \
    } while (0)

void sync_open_world(struct sync_world *w, const struct sync_config *config);
void sync_close_world(struct sync_world *w);
/* One turn of everybody. True: all have finished. */
bool sync_turn(struct sync_world *w);
/* Turns until all have finished, or fails. */
void sync_run(struct sync_world *w);
void sync_kill(struct sync_world *w, unsigned rank);
/* All paths between the two break and are made anew. */
void sync_flap(struct sync_world *w, unsigned a, unsigned b);
/* All survivors have the same updates, in order, and the same bits; and those sum to what they have given, but for the
 * last two gradients of the killed. Fails the test. */
void sync_check(struct sync_world *w);

#endif
