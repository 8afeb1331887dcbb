/* hist: the bucket of a value is its 8 leading bits and their place. */
#include "hist.h"

#include <math.h>
#include <string.h>

enum { SUB_BITS = 7, EXACT = 2 * TA_HIST_SUB, TOP = TA_HIST_BUCKETS - 1 };

static unsigned bucket_of(uint64_t value) {
    if (value < EXACT) return (unsigned)value;
    if (value > (uint64_t)INT64_MAX) return TOP;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return shift * TA_HIST_SUB + (unsigned)(value >> shift);
}

uint64_t ta_hist_highest_in(unsigned bucket) {
    if (bucket < EXACT) return bucket;
    unsigned shift = bucket / TA_HIST_SUB - 1;
    uint64_t lead = bucket % TA_HIST_SUB + TA_HIST_SUB;
    return ((lead + 1) << shift) - 1;
}

void ta_hist_clear(struct ta_hist *hist) { memset(hist, 0, sizeof *hist); }

void ta_hist_add(struct ta_hist *hist, uint64_t value) {
    hist->count++;
    hist->sum += (double)value;
    if (value > hist->max) hist->max = value;
    hist->bucket[bucket_of(value)]++;
}

void ta_hist_merge(struct ta_hist *into, const struct ta_hist *from) {
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
    for (unsigned i = 0; i < TA_HIST_BUCKETS; i++) into->bucket[i] += from->bucket[i];
}

double ta_hist_mean(const struct ta_hist *hist) { return hist->count == 0 ? 0 : hist->sum / (double)hist->count; }

uint64_t ta_hist_percentile(const struct ta_hist *hist, double percent) {
    if (hist->count == 0) return 0;
    if (percent >= 100) return hist->max;
    double wanted = percent > 0 ? ceil(percent / 100 * (double)hist->count) : 1;
    uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted, seen = 0;
    for (unsigned i = 0; i < TOP; i++) {
        seen += hist->bucket[i];
        if (seen < rank) continue;
        uint64_t high = ta_hist_highest_in(i);
        return high < hist->max ? high : hist->max;
    }
    return hist->max;
}
