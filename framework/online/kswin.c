/* kswin: the last few numbers against a sample of those before, by Kolmogorov and Smirnov; see detector.h. */
#include <math.h>
#include <string.h>

#include "detector_ops.h"
#include "detector_sample.h"

struct state {
    struct ta_twister twister;
    uint32_t length, head, drifted; /* head: the oldest of a full window */
    double ring[];                  /* [window] */
};

/* Scratch, and the least distance that alarms. */
struct table {
    uint64_t least; /* in units of 1 / recent */
    double *before, *last;     /* [recent] */
    uint32_t *draws, *scratch; /* [recent], [window - recent] */
};

enum { MOST_RECENT = 10000 }; /* beyond it the reference changes from the exact distribution to a limit */

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    out->kswin.alpha = ta_detector_or(in->kswin.alpha, .005);
    out->kswin.window = in->kswin.window == 0 ? 100 : in->kswin.window;
    out->kswin.recent = in->kswin.recent == 0 ? 30 : in->kswin.recent;
    out->kswin.seed = in->kswin.seed;
    ta_status status = ta_detector_open_range("kswin.alpha", out->kswin.alpha, 0, 1);
    if (status == TA_OK) status = ta_detector_range("kswin.recent", out->kswin.recent, 2, MOST_RECENT);
    if (status == TA_OK) status = ta_detector_range("kswin.window", out->kswin.window, 2.0 * out->kswin.recent, 1e7);
    *state_bytes = sizeof(struct state) + out->kswin.window * sizeof(double);
    *table_bytes = sizeof(struct table) + 2 * out->kswin.recent * sizeof(double) + out->kswin.window * sizeof(uint32_t);
    return status;
}

/* P(distance >= h / n) for two samples of n, exactly (Hodges, Arkiv for Matematik 3, 1958), by Horner's rule. */
static double likelihood(uint64_t n, uint64_t h) {
    double p = 0;
    for (uint64_t k = n / h + 1; k-- > 0;) {
        double product = 1;
        for (uint64_t j = 0; j < h; j++)
            product = ((double)n - (double)(k * h) - (double)j) * product / (double)(n + k * h + j + 1);
        p = product * (1 - p);
    }
    return 2 * p;
}

static void open(struct ta_detector *d) {
    struct table *t = d->table;
    uint64_t n = d->spec.kswin.recent, low = 0, high = n + 1;
    t->before = (double *)(t + 1);
    t->last = t->before + n;
    t->draws = (uint32_t *)(t->last + n);
    t->scratch = t->draws + n;
    /* The likelihood falls as h grows: the least h at or below alpha lies in (low, high]. */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (likelihood(n, middle) <= d->spec.kswin.alpha)
            high = middle;
        else
            low = middle;
    }
    t->least = high;
    while ((double)t->least / (double)n <= .1) t->least++; /* nor does a distance up to .1 count */
}

static void reset(struct ta_detector *d) {
    struct state *s = d->state;
    s->length = s->head = s->drifted = 0;
    ta_twister_seed(&s->twister, d->spec.kswin.seed);
}

/* Shell's sort: no memory, and short lists. */
static void sort(double *x, uint32_t n) {
    uint32_t gap = 1;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < n; i++) {
            double value = x[i];
            uint32_t j = i;
            for (; j >= gap && x[j - gap] > value; j -= gap) x[j] = x[j - gap];
            x[j] = value;
        }
    }
}

/* Largest distance of the two distributions, both sorted, in units of 1 / n. */
static uint64_t distance(const double *a, const double *b, uint32_t n) {
    uint64_t most = 0;
    for (uint32_t i = 0, j = 0; i < n && j < n;) {
        double here = a[i] < b[j] ? a[i] : b[j];
        while (i < n && a[i] <= here) i++;
        while (j < n && b[j] <= here) j++;
        uint64_t apart = i > j ? i - j : j - i;
        if (apart > most) most = apart;
    }
    return most;
}

static bool on_the_side(enum ta_detector_side side, const double *before, const double *last, uint32_t n) {
    if (side == TA_DETECTOR_SIDE_DEFAULT || side == TA_DETECTOR_BOTH) return true;
    double rise = 0;
    for (uint32_t i = 0; i < n; i++) rise += last[i] - before[i];
    return side == TA_DETECTOR_RISE ? rise > 0 : rise < 0;
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    struct table *t = d->table;
    uint32_t window = d->spec.kswin.window, recent = d->spec.kswin.recent, older = window - recent;
    if (s->drifted != 0) reset(d);
    if (s->length < window) {
        s->ring[s->length++] = x;
        if (s->length < window) return TA_DETECTOR_OK;
    } else {
        s->ring[s->head] = x;
        s->head = s->head + 1 == window ? 0 : s->head + 1;
    }
    ta_twister_sample(&s->twister, older, recent, t->scratch, t->draws);
    for (uint32_t i = 0; i < recent; i++) {
        uint32_t drawn = s->head + t->draws[i], newest = s->head + older + i;
        t->before[i] = s->ring[drawn < window ? drawn : drawn - window];
        t->last[i] = s->ring[newest < window ? newest : newest - window];
    }
    sort(t->before, recent);
    sort(t->last, recent);
    if (distance(t->before, t->last, recent) < t->least) return TA_DETECTOR_OK;
    s->drifted = 1; /* to the wrong side too: that concept is over */
    return on_the_side(d->spec.side, t->before, t->last, recent) ? TA_DETECTOR_DRIFT : TA_DETECTOR_OK;
}

static bool sane(const struct ta_detector *d, const void *state) {
    const struct state *s = state;
    uint32_t window = d->spec.kswin.window;
    bool full = s->length == window;
    for (uint32_t i = 0; i < s->length && i < window; i++)
        if (!isfinite(s->ring[i])) return false; /* a NaN has no place in a sorted list */
    return s->length <= window && s->head < window && (full || s->head == 0) && s->drifted <= 1 && s->twister.at <= 624;
}

const struct ta_detector_ops ta_detector_kswin = {
    .name = "kswin",
    .summary = "recent numbers against a sample of earlier ones, by Kolmogorov and Smirnov (Raab et al. 2020)",
    .type = TA_DETECTOR_KSWIN,
    .sides = 1u << TA_DETECTOR_RISE | 1u << TA_DETECTOR_FALL | 1u << TA_DETECTOR_BOTH,
    .fill = fill,
    .open = open,
    .reset = reset,
    .update = update,
    .sane = sane,
};
