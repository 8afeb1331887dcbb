/* simulation: a run of many replicas in one thread and in virtual time; the same seed gives the same run, to the bit.
 *
 * The replicas, their exchange, the stream and the optimizer are those of a real run (replica.h), and so is every
 * number that they compute. What is not real is time: a gradient, an update, an apply take as long as `machine` says, a
 * put as long as `network` says, all else nothing. Each replica is a fiber (fiber.h) that sleeps while it would
 * compute; a replica that waits is woken by what is delivered to it, or from it. There are no checkpoints, and no files
 * but where run_dir is given.
 *
 * An event of the exchange is one of: a put started, a put delivered, an apply (a poll that found news and summed the
 * registers), a step.
 *
 * Threads: one.
 */
#ifndef TA_SIMULATION_H
#define TA_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "network.h"
#include "run_config.h"

/* How fast a replica computes. What is zero is measured here (ta_machine_measure), but for the last two. */
struct ta_machine {
    double step_s;      /* a gradient of one batch and the update from it */
    double predict_s;   /* predictions alone, where the model needs a pass of their own */
    double bytes_per_s; /* read and written by an apply */
    double read_s; /* from the end of a step until the next batch is there, which is nobody's computing; may be 0 */
    double jitter;      /* each of these times a lognormal factor of mean 1 and this sigma; 0: always the same */
};

struct ta_sim_slow {
    unsigned rank;
    double factor; /* this replica computes so many times slower */
};

struct ta_sim_fault {
    unsigned rank;
    double at_s, for_s; /* for_s 0: killed; else: it does nothing for so long */
};

struct ta_simulation_config {
    const struct ta_run_config *run; /* of ta_simulation_load, for n replicas */
    unsigned n;
    struct ta_network network;
    unsigned per_node;         /* replicas that share a NIC; 0: 1 */
    struct ta_machine machine; /* complete */
    uint64_t seed;             /* of network and jitter */
    const struct ta_sim_slow *slow;
    unsigned n_slow;
    const struct ta_sim_fault *faults;
    unsigned n_faults;
    unsigned n_points;   /* of the curve; at most TA_SIM_MOST_POINTS */
    const char *run_dir; /* metrics.jsonl goes there; NULL: nowhere */
    struct ta_log *log;
};

enum { TA_SIM_MOST_POINTS = 100 };

/* Records [those of the point before, records), predicted before they were trained on. */
struct ta_simulation_point {
    uint64_t records;
    double seconds, accuracy, loss; /* accuracy NaN where labels are no classes */
};

struct ta_simulation_result {
    unsigned n, finished, lost;
    double seconds; /* virtual, of training */
    uint64_t records, steps, skipped_steps;
    double records_per_s, accuracy, loss;
    double s_avg;
    uint64_t s_max, puts, bytes;
    uint64_t events, pieces, applies; /* of the exchange; deliveries among them */
    uint64_t checksum;                /* of the weights, where all came to rest on the same; else 0 */
    bool agreed;
    double open_s; /* of this machine, to set it up */
    double real_s, compute_s;         /* it took this machine so long, and so much of that its kernels */
    char why[512];                    /* of the first replica that ended otherwise than in order; "": none did */
    uint64_t held_bytes;              /* of all replicas */
    unsigned n_points;
    struct ta_simulation_point points[TA_SIM_MOST_POINTS];
};

/* The configuration as a simulation of n replicas takes it: transport sim, no checkpoints, no lines of metrics but the
 * last unless `metrics`. Freed by ta_run_config_free. Errors: as ta_run_config_load. */
ta_status ta_simulation_load(const char *path, const char *const *overrides, size_t n_overrides, unsigned n,
                             bool metrics, struct ta_run_config **out);

/* Fills in what is zero, by running this configuration's model here, rounded to three digits so that it may be given
 * back exactly. Errors: CONFIG, NO_MEMORY; of stream, model and kernels. */
ta_status ta_machine_measure(const struct ta_run_config *run, struct ta_machine *machine);

/* Errors: CONFIG (a run without an end, a word model, a rank beyond n); FAILED (they disagree at rest; nothing happens
 * any more); what a replica said that ended otherwise than in order. PEER: replicas were lost, `out` is complete. */
ta_status ta_simulate(const struct ta_simulation_config *config, struct ta_simulation_result *out);

#endif
