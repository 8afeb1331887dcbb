/* plot_stale: the histogram of the staleness of all gradients of a run, from its metrics: of each rank and life the
 * last window has all that came before, so these add up exactly. */
#ifndef TA_PLOT_STALE_H
#define TA_PLOT_STALE_H

#include <jansson.h>
#include <stdint.h>

#include "stale_bins.h"
#include "status.h"

enum { TA_PLOT_STALE_RANKS = 1024 };

struct ta_plot_stale {
    json_t *newest[TA_PLOT_STALE_RANKS]; /* histogram of a rank's last window; NULL: none yet */
    json_int_t life[TA_PLOT_STALE_RANKS];
    uint64_t bins[TA_STALE_BINS], top[TA_STALE_BINS]; /* of what was added up; the highest value in each */
};

/* Any line of the metrics; others than windows are passed over. */
void ta_plot_stale_take(struct ta_plot_stale *s, const json_t *line);
/* FOLDER/staleness.dat: value, gradients, share of all. Errors: IO. */
ta_status ta_plot_stale_write(struct ta_plot_stale *s, const char *folder);
void ta_plot_stale_close(struct ta_plot_stale *s);

#endif
