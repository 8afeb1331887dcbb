/* dasgd_world: replicas of the paper's protocol on a simulated fabric, in one thread, and what each has computed.
 *
 * Gradients are whole numbers in floats and the updater adds them as they are, so sums are exact whatever the order.
 * Gradient k (from 1) of a rank is a function of the seed, the rank and k. Time is virtual.
 */
#ifndef TA_TEST_DASGD_WORLD_H
#define TA_TEST_DASGD_WORLD_H

#include "dasgd.h"
#include "rng.h"
#include "sim.h"

enum { DW_MAX_RANKS = 5 };

struct dw_config {
    uint64_t seed;
    unsigned n_ranks;
    size_t n_params;
    bool mean_segment; /* the last quarter */
    struct ta_exchange_spec spec;
    struct ta_exchange_updater updater; /* zero: adds scale * gradient */
    struct ta_sim_config fabric; /* seed and n_ranks are filled in */
    const struct ta_exchange_start *start; /* [n_ranks] or NULL */
};

struct dw_replica {
    struct ta_exchange *x;
    struct ta_transport *transport;
    bool killed, closed;
    float *grad;
};

struct dw {
    struct dw_config config;
    struct ta_model model;
    struct ta_kernels *kernels;
    struct ta_sim_fabric *fabric;
    struct dw_replica replica[DW_MAX_RANKS];
    struct ta_rng rng;
    int64_t now_ns;
};

#define dw_fail(w, ...)                                                 \
    do {                                                                \
        print_error("seed %llu: ", (unsigned long long)(w)->config.seed); \
        fail_msg(__VA_ARGS__);                                          \
    } while (0)
#define dw_must(w, call)                                                \
    do {                                                                \
        if ((call) != TA_OK) dw_fail(w, "%s: %s", #call, ta_why());     \
    } while (0)

void dw_open(struct dw *w, const struct dw_config *config); /* all connected */
void dw_close(struct dw *w);
void dw_shut(struct dw *w, unsigned rank);
/* Polls all that are open `polls` times, 200 ns apart. */
void dw_run(struct dw *w, unsigned polls);
/* Gradient k of a rank into out[n_params]. */
void dw_gradient(const struct dw *w, unsigned rank, uint64_t k, float *out);
/* One step if `ready` lets it: false: AGAIN. */
bool dw_step(struct dw *w, unsigned rank);
/* The paths between two break. dw_restore makes new ones; false: one of the two is gone. */
void dw_break(struct dw *w, unsigned a, unsigned b);
bool dw_restore(struct dw *w, unsigned a, unsigned b);
void dw_kill(struct dw *w, unsigned rank);
/* All of `ranks` (a bit each) settle in the round, or the test fails. */
void dw_settle(struct dw *w, unsigned ranks, uint32_t round);
void dw_resume(struct dw *w, unsigned ranks, uint32_t round);
/* What `rank` has made of all gradients, at rest too. */
const float *dw_delta(struct dw *w, unsigned rank);
/* That is the sum of the first steps[r] gradients of every rank r; else the test fails. */
void dw_check(struct dw *w, unsigned rank, const uint64_t *steps);
/* How many gradients of `from`, from the first on, are in the weights of `rank`, by what it says; its own: all. */
uint64_t dw_applied(struct dw *w, unsigned rank, unsigned from);

#endif
