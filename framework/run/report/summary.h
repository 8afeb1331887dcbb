/* summary: what a finished run says for itself: on stdout for people, as a line of the metrics, in the manifest. */
#ifndef TA_SUMMARY_H
#define TA_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "board.h"
#include "drift_report.h"
#include "run_dir.h"

struct ta_summary {
    const struct ta_board *board;
    const struct ta_run_dir *dir;
    bool classes;      /* the labels are classes: accuracy means something */
    uint32_t window;   /* records of the window */
    unsigned replicas, lost;
    int exit_code;
    uint64_t untrained; /* records that the lost replicas left and nobody has done; 0: none or unknown */
    json_t *latency;       /* of all replicas; NULL: none was measured. The caller drops it */
    char checkpoint[4096]; /* newest complete one; "": none */
    struct ta_drift_report drift; /* made to order; made 0: none was */
};

/* Spares that have joined the run. */
unsigned ta_summary_joined(const struct ta_summary *s);
/* Fills in `latency` from the files that the replicas of this life have left (latency.h). */
void ta_summary_find_latency(struct ta_summary *s, uint32_t life);
/* Fills in `checkpoint`. */
void ta_summary_find_checkpoint(struct ta_summary *s);
void ta_summary_print(const struct ta_summary *s, FILE *out);
/* The fields of the `summary` line; NULL when out of memory. */
json_t *ta_summary_json(const struct ta_summary *s);

#endif
