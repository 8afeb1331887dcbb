/* hist: a histogram of non-negative integers with bounded relative error, exact to merge.
 *
 * The buckets are those of HdrHistogram (Tene): log-linear, 1/128 relative error, values from 0 to 2^63 - 1; larger
 * ones share the last bucket. Values below 256 are exact. Fixed size, no allocation, a plain struct that may be copied
 * or written to a file. One thread writes.
 */
#ifndef TA_HIST_H
#define TA_HIST_H

#include <stdint.h>

enum { TA_HIST_SUB = 128, TA_HIST_BUCKETS = 57 * 128 };

struct ta_hist {
    uint64_t count;
    uint64_t max;
    double sum; /* of the true values: the mean is exact to rounding */
    uint64_t bucket[TA_HIST_BUCKETS];
};

void ta_hist_clear(struct ta_hist *hist);
void ta_hist_add(struct ta_hist *hist, uint64_t value);
void ta_hist_merge(struct ta_hist *into, const struct ta_hist *from);
double ta_hist_mean(const struct ta_hist *hist);                        /* 0 when empty */

/* The value that `percent` (0..100) of all are not above, to 1/128: the highest of its bucket, never over the largest
 * value seen; 100 gives that one exactly, an empty histogram 0. */
uint64_t ta_hist_percentile(const struct ta_hist *hist, double percent);

/* The highest value that a bucket takes. */
uint64_t ta_hist_highest_in(unsigned bucket);

#endif
