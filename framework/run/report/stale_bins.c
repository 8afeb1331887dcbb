/* stale_bins: from value to bin and back. */
#include "stale_bins.h"

#include <math.h>
#include <string.h>

enum { EXACT = 32, EXACT_BITS = 5, TOP = TA_STALE_BINS - 1 };

unsigned ta_stale_bin(uint64_t value) {
    if (value < EXACT) return (unsigned)value;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value);
    unsigned bin = EXACT + 2 * (octave - EXACT_BITS) + (unsigned)(value >> (octave - 1) & 1);
    return bin < TOP ? bin : TOP;
}

uint64_t ta_stale_bin_top(unsigned bin) {
    if (bin < EXACT) return bin;
    if (bin >= TOP) return UINT64_MAX;
    unsigned octave = EXACT_BITS + (bin - EXACT) / 2, half = (bin - EXACT) % 2;
    return (UINT64_C(1) << octave) + ((UINT64_C(1) + half) << (octave - 1)) - 1;
}

void ta_stale_bins_of(const struct ta_hist *hist, uint64_t bins[TA_STALE_BINS]) {
    memset(bins, 0, TA_STALE_BINS * sizeof *bins);
    uint64_t left = hist->count; /* buckets behind the last value are not looked at */
    for (unsigned b = 0; b < TA_HIST_BUCKETS && left > 0; b++) {
        bins[ta_stale_bin(ta_hist_highest_in(b))] += hist->bucket[b];
        left -= hist->bucket[b] < left ? hist->bucket[b] : left;
    }
}

uint64_t ta_stale_percentile(const uint64_t bins[TA_STALE_BINS], uint64_t max, double percent) {
    uint64_t count = 0, seen = 0;
    for (unsigned b = 0; b < TA_STALE_BINS; b++) count += bins[b];
    if (count == 0) return 0;
    double wanted = ceil(percent / 100 * (double)count);
    for (unsigned b = 0; b < TA_STALE_BINS; b++) {
        seen += bins[b];
        if (seen == 0 || (double)seen < wanted) continue;
        uint64_t top = ta_stale_bin_top(b);
        return top < max ? top : max;
    }
    return max;
}

json_t *ta_stale_json(const uint64_t bins[TA_STALE_BINS], uint64_t max) {
    json_t *list = json_array();
    for (unsigned b = 0; b < TA_STALE_BINS; b++) {
        uint64_t top = ta_stale_bin_top(b);
        if (bins[b] > 0)
            json_array_append_new(list, json_pack("[I, I]", (json_int_t)(top < max ? top : max), (json_int_t)bins[b]));
    }
    return list;
}
