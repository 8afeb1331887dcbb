/* watch_tally: what the metrics of a run say so far, rank by rank, of its newest life; and a little of all its
 * lives. */
#ifndef TA_WATCH_TALLY_H
#define TA_WATCH_TALLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "phases.h"
#include "status.h"

enum { TA_TALLY_MOST_RANKS = 4096 };

/* Of the newest life. A number that is not known is NaN. */
struct ta_tally_rank {
    bool seen;       /* it wrote something in this life */
    bool lost;       /* a peer has dropped it */
    bool told;       /* the caller's: that it is lost has been said */
    int64_t heard_ns;
    double t_s, records, records_per_s, loss, accuracy, lag_s, s_avg, s_max, dropped;
    double phase_s[TA_PHASES]; /* where the time of this life went */
    double gradients;          /* that s_avg is the mean of */
};

struct ta_tally {
    struct ta_tally_rank *rank; /* [n_ranks] */
    unsigned n_ranks;           /* highest rank heard or named + 1 */
    json_int_t life;            /* newest; 0: nothing heard */
    unsigned lives;             /* heard of */
    uint64_t drifts;            /* alarms of detectors, all lives */
    char event[160];            /* newest event worth telling: lost peers, drift, modes, broken paths; "": none */
    json_t *summary;            /* of the newest life, owned; NULL: it has not ended */
    int64_t heard_ns;           /* newest of all ranks; 0: never */
};

void ta_tally_open(struct ta_tally *t);
void ta_tally_close(struct ta_tally *t);

/* Takes one line (metrics.h) heard at now_ns. What is of an older life, or makes no sense, is left out. Errors:
 * NO_MEMORY. */
ta_status ta_tally_take(struct ta_tally *t, const json_t *line, int64_t now_ns);

/* Sums and means over the ranks that are not lost. */
struct ta_tally_sum {
    unsigned ranks, lost; /* heard in this life; lost */
    double records, records_per_s, loss, accuracy, lag_s, s_avg, s_max, dropped, t_s;
    double phase_s[TA_PHASES];
};
void ta_tally_add_up(const struct ta_tally *t, struct ta_tally_sum *sum);

/* "2 3 9": lost ranks (or, with `joined`, ranks of first and above that were heard), at most `bytes`. Returns how
 * many. */
unsigned ta_tally_list(const struct ta_tally *t, bool joined, unsigned first, char *out, size_t bytes);

#endif
