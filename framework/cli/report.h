/* report: what a run came to, from its manifest and its metrics. */
#ifndef TA_REPORT_H
#define TA_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "status.h"
#include "watch_tally.h"

struct ta_report {
    const char *run_dir;  /* borrowed */
    json_t *manifest;
    struct ta_tally tally;
    unsigned replicas;    /* of the start */
    unsigned lost, joined;
    char lost_ranks[256], joined_ranks[256]; /* "2 3" */
    uint64_t torn;        /* lines of metrics that are none */
};

/* Reads both. Errors: IO (no manifest: no run directory), FORMAT, NO_MEMORY. */
ta_status ta_report_open(struct ta_report *r, const char *run_dir);
void ta_report_close(struct ta_report *r); /* zeroed: fine */

/* -1: it has not ended, as far as it says. */
int ta_report_exit_code(const struct ta_report *r);
/* "finished", "stopped after a checkpoint", "has not ended", ...; for an exit code. */
const char *ta_report_state(int exit_code);

/* report_print.c: for people; many runs, a row each; and as JSON (a new reference, NULL when out of memory). */
void ta_report_print(const struct ta_report *r, FILE *out);
void ta_report_print_head(FILE *out);
void ta_report_print_row(const struct ta_report *r, FILE *out);
json_t *ta_report_json(const struct ta_report *r);

#endif
