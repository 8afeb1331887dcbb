/* stale_bins: a histogram of staleness, small enough for the board and for lines of metrics, exact to merge.
 *
 * Values below 32 have a bin each; above, two bins an octave; the last one takes all from 1.5 * 2^20 on. Plain values.
 */
#ifndef TA_STALE_BINS_H
#define TA_STALE_BINS_H

#include <jansson.h>
#include <stdint.h>

#include "hist.h"

enum { TA_STALE_BINS = 64 };

unsigned ta_stale_bin(uint64_t value);
/* The highest value of a bin; of the last one UINT64_MAX. */
uint64_t ta_stale_bin_top(unsigned bin);
void ta_stale_bins_of(const struct ta_hist *hist, uint64_t bins[TA_STALE_BINS]);
/* What `percent` (0..100) of all are not above: the top of its bin, at most `max`; 0 when there are none. */
uint64_t ta_stale_percentile(const uint64_t bins[TA_STALE_BINS], uint64_t max, double percent);
/* [[top, count], ...] of bins that are not empty, rising; the last top is at most `max`. */
json_t *ta_stale_json(const uint64_t bins[TA_STALE_BINS], uint64_t max);

#endif
