/* bench_sustain: what the files of `tensair bench sustain` share. Nobody else includes it.
 *
 *     bench_sustain.c           the command line, the plan, the search for each combination
 *     bench_sustain_probe.c     one run of `tensair train` at one rate
 *     bench_sustain_report.c    table, JSON, picture
 */
#ifndef TA_BENCH_SUSTAIN_H
#define TA_BENCH_SUSTAIN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "latency.h"
#include "run_config.h"
#include "sustain.h"

enum { TA_SUSTAIN_LIST = 32, TA_SUSTAIN_PROBES = 256 };

struct sustain_list {
    unsigned value[TA_SUSTAIN_LIST], n;
};

struct sustain_options {
    const char *config_path;
    const char **overrides; /* room for argc + 1 */
    size_t n_overrides;
    struct sustain_list replicas, batch; /* empty: the configuration's */
    unsigned seeds;
    double within_s, confidence, tolerance, precision;
    const char *json, *plot;
    bool once, helped;
};

/* A rate that was offered, and what came of it. */
struct sustain_probe {
    double rate;
    unsigned seed;
    uint64_t dropped;
    struct ta_sustain_verdict verdict;
    double percentile_s[TA_MOMENTS][4]; /* of ta_sustain_percents */
};

extern const double ta_sustain_percents[4];

/* Replicas and batch: a row of the table. */
struct sustain_cell {
    unsigned replicas, batch;
    double capacity;         /* records/s of the unpaced run */
    double words_per_record; /* 0: not a word model */
    double overhead_s;       /* of starting and ending a run */
    double probe_s;
    struct ta_sustain search;
    bool cut_short;          /* the time was over before the bracket was narrow */
    struct sustain_probe probe[TA_SUSTAIN_PROBES];
    unsigned n_probes;
    struct ta_latencies *best, *now; /* of all probes at search.low; of those at the rate asked now */
};

struct sustain_bench {
    struct sustain_options o;
    struct ta_run_config *config;
    struct ta_stream_info stream;
    const char *unit;     /* "records" */
    const char *pace;     /* of the probes */
    char folder[64];      /* temporary; "": not made */
    int64_t start_ns;
    sigset_t before;      /* signals as they were blocked before us */
    int signal;           /* that ended us; 0: none */
    struct sustain_cell *cell;
    unsigned n_cells;
};

struct sustain_offer {
    unsigned replicas, batch, seed;
    double rate; /* 0: unpaced */
    double seconds, warm_up_s;
};

struct sustain_outcome {
    double seconds; /* all of it, by the clock */
    double records_per_s, words_per_record;
    uint64_t dropped;
    struct ta_latencies *latencies; /* the caller's; of all replicas */
};

/* Trains so. Errors: as the run's own, with its last line; FAILED when a signal ended us. */
ta_status sustain_offer(struct sustain_bench *b, const struct sustain_offer *offer, struct sustain_outcome *out);
/* The temporary folder with all in it goes. */
void sustain_clean(struct sustain_bench *b);
/* Waits for `argv` with standard input, output and error there; `code` is its exit status. Errors: FAILED. */
ta_status sustain_command(struct sustain_bench *b, char *const *argv, const char *in, const char *out, const char *err,
                          int *code);

void sustain_print(const struct sustain_bench *b);
ta_status sustain_write_json(const struct sustain_bench *b); /* IO, NO_MEMORY */
ta_status sustain_draw(struct sustain_bench *b);             /* IO, FAILED: no gnuplot */

#endif
