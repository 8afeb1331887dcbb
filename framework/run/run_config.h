/* run_config: the whole configuration of a run as one struct, read from YAML, checked, with every default filled in.
 *
 *     run:        {seed: 1, replicas: 2, spares: 0, run_dir: runs/a, log_level: warn, from: CHECKPOINT, max_records: 0, epochs: 1,
 *                  max_seconds: 0, takeover: auto | yes | no, slow: [{rank: 1, factor: 10}, ...] (for experiments)}
 *     stream:     {file: x.h5 | generator: sea, records: 0, seed: 0, drift: "abrupt@5000:2",
 *                  inject_drift: [{type: swap, at: 10000, classes: [3, 7]}, ...] (inject.h), batch: 32, ring: 8,
 *                  on_overload: lag | drop, max_lag: 1}
 *     pace:       {type: max | constant | poisson | bursts | trace, rate: 0, burst: 1, speed: 1, seed: 0,
 *                  schedule: [{at: 0, rate: 100}, ...]}
 *     model:      see spec.h                 optimizer:  see spec.h
 *     transport:  {type: auto | self | shm | mixed | verbs | ofi, device, gid, provider, rails: 1, gpu_direct: auto |
 *                  require | off}      see transport.h
 *     exchange:   {type: live | dasgd | sync, topology: full | tree | clusters, fan_out: 2, max_staleness: none | N,
 *                  damping: none | inverse | exponential | delay-compensated, damping_rate: 0, gradients_per_push: 1,
 *                  slots: 4, scale: sum | mean, collective: auto | nccl | ring, puts_in_flight: 1,
 *                  heartbeat: .25, dead_after: 2.5, join_within: 60, rows_after: 0, rows_within: 0 (0: see exchange.h)}
 *     device:     {type: auto | cpu | cuda, threads: 1, number: K, replicas_per_gpu: 0, compute: float32 | tf32 |
 *                  bfloat16}      see device/device.h
 *     checkpoint: {every_records: 0, every_seconds: 300, keep: 2, off: no}
 *     online:     see online_config.h
 *     metrics:    {window: 1000, every_seconds: 1, every_records: 0, fading: .999,
 *                  warm_up: 0}
 *
 * Only `stream` and `model` must be there. Zero means "not given" for every number; the value assumed then stands in
 * the comments below. Times are seconds, sizes are never asked for. A relative path is looked for in the folder of the
 * configuration file, then in the current one; `${NAME}` in stream.file is replaced by the environment's NAME.
 *
 * Errors: CONFIG (which key, which value, what is allowed), IO, NO_MEMORY.
 */
#ifndef TA_RUN_CONFIG_H
#define TA_RUN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "exchange.h"
#include "online_config.h"
#include "pacer.h"
#include "replayer.h"
#include "spec.h"
#include "stream.h"
#include "transport.h"

enum { TA_MAX_REPLICAS = 1024 };

/* Whether the survivors train on what a lost replica leaves of its share of the stream. AUTO: where there are no
 * spares, for whom it would be. NO: nobody does in this life. */
enum ta_takeover { TA_TAKEOVER_AUTO, TA_TAKEOVER_YES, TA_TAKEOVER_NO };

/* A replica whose steps take `factor` times as long as they would. */
struct ta_slow {
    uint32_t rank;
    double factor;
};

struct ta_run_section {
    uint64_t seed;        /* 0: 1 */
    uint32_t replicas;    /* 0: 1 */
    uint32_t spares;      /* ranks above those of the start, that may join later (tensair train --join) */
    char *run_dir;        /* NULL: runs/NAME-UTC */
    char *log_level;      /* least level that reaches stderr; NULL: warn. The files take info and above */
    uint64_t max_records; /* of the whole run, all replicas together; 0: no limit */
    char *record;         /* folder in which what a replay needs is written down (run_record.h); NULL: it is not */
    char *from;           /* weights to begin with: a checkpoint or a model file (pretrained.h); NULL: drawn from the seed */
    double epochs;        /* passes over a stream that has an end; 0: 1; -1: for ever */
    double max_seconds;   /* training ends in order after so long; 0: no limit */
    struct ta_slow *slow; /* made slow, for experiments with stragglers: replica_slow.c */
    uint32_t slow_count;
    enum ta_takeover takeover;
};

struct ta_stream_section {
    struct ta_stream_spec spec;
    uint32_t batch;              /* records; 0: 32 */
    uint32_t ring;               /* batches read ahead; 0: 8 */
    enum ta_overload on_overload;
    double max_lag_s;            /* on_overload drop; 0: 1 */
};

struct ta_exchange_section {
    struct ta_exchange_spec spec;
    double join_within_s; /* all peers must have been met; 0: 60 */
};

struct ta_device_section {
    char *type;       /* NULL: auto */
    uint32_t threads; /* CPU threads of one replica; 0: 1 */
    char *number;     /* this GPU, of those that CUDA shows, and no other; NULL: by device/device.h */
    uint32_t replicas_per_gpu; /* 0: as many as fall on each */
    int compute;      /* enum ta_compute */
};

struct ta_checkpoint_section {
    uint64_t every_records; /* of all replicas; 0: not by records */
    double every_seconds;   /* 0: 300 when every_records is 0 too, else not by time */
    uint32_t keep;          /* 0: 2 */
    bool off;               /* none at all, not even in the end: for measurements */
};

struct ta_metrics_section {
    uint32_t window;      /* records of the prequential window, per replica; 0: 1000 */
    double every_seconds; /* between two lines; 0: 1 */
    uint64_t every_records; /* or after so many records of a replica, if that is sooner; 0: by time alone */
    double fading;        /* alpha; 0: .999 */
    double warm_up_s;     /* records due before that are left out of the latencies */
};

struct ta_run_config {
    struct ta_run_section run;
    struct ta_stream_section stream;
    struct ta_pacer_spec pace;
    struct ta_model_spec model;
    struct ta_optimizer_spec optimizer;
    struct ta_transport_spec transport;
    struct ta_exchange_section exchange;
    struct ta_device_section device;
    struct ta_checkpoint_section checkpoint;
    struct ta_metrics_section metrics;
    struct ta_online_section online;
};

/* The schema of all of it (run_schema.c), for ta_config_print and ta_config_free. */
extern const cyaml_schema_value_t ta_run_schema;

/* Reads `path` with `overrides` on top, fills in defaults, makes stream.file absolute, checks every value that can be
 * checked without opening anything. `*out` is freed by ta_run_config_free. */
ta_status ta_run_config_load(const char *path, const char *const *overrides, size_t n_overrides,
                             struct ta_run_config **out);
void ta_run_config_free(struct ta_run_config *config); /* NULL is fine */

/* Fills in defaults and checks; part of load, and for configurations built by hand. */
ta_status ta_run_config_check(struct ta_run_config *config);

/* Each replica makes exactly one step for each of the others': exchange.type sync, or max_staleness 0. */
bool ta_run_config_lock_step(const struct ta_run_config *config);

/* Records that a run over this stream trains in all its lives; 0: it has no end. */
uint64_t ta_run_config_goal(const struct ta_run_config *config, const struct ta_stream_info *info);

/* `text` with every ${NAME} replaced by the environment's NAME; freed by ta_mem_free. A NAME that is not set is
 * CONFIG. */
ta_status ta_run_config_expand(const char *key, const char *text, char **out);

#endif
