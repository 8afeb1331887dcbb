/* trend: batch means, then a straight line through them. */
#include "trend.h"

#include <math.h>

#include "detector_quantile.h"

enum { MOST_BLOCKS = 256 };

struct points {
    double t[MOST_BLOCKS], y[MOST_BLOCKS];
    unsigned n;
};

/* Means of t and of y over stretches of equal time. */
static void average(const double *t, const double *y, size_t n, unsigned blocks, struct points *out) {
    double start = t[0], width = (t[n - 1] - start) / blocks;
    size_t i = 0;
    for (unsigned b = 0; b < blocks; b++) {
        double sum_t = 0, sum_y = 0, count = 0, end = start + width * (b + 1);
        for (; i < n && (t[i] < end || b + 1 == blocks); i++) {
            if (!isfinite(t[i]) || !isfinite(y[i])) continue;
            sum_t += t[i];
            sum_y += y[i];
            count++;
        }
        if (count == 0) continue;
        out->t[out->n] = sum_t / count;
        out->y[out->n++] = sum_y / count;
    }
}

ta_status ta_trend_fit(const double *t, const double *y, size_t n, unsigned blocks, double confidence,
                       struct ta_trend *out) {
    *out = (struct ta_trend){0};
    if (blocks < 3 || blocks > MOST_BLOCKS || !(confidence > 0 && confidence < 1))
        return ta_fail(TA_INVALID, "trend: %u blocks (3 to %d), confidence %g (between 0 and 1)", blocks, MOST_BLOCKS,
                       confidence);
    struct points p = {.n = 0};
    if (n > 0) average(t, y, n, blocks, &p);
    if (p.n < 3) return ta_fail(TA_AGAIN, "trend: %u of %u stretches have a sample: measure longer", p.n, blocks);
    double mean_t = 0, mean_y = 0, tt = 0, ty = 0, rest = 0;
    for (unsigned i = 0; i < p.n; i++) mean_t += p.t[i] / p.n, mean_y += p.y[i] / p.n;
    for (unsigned i = 0; i < p.n; i++) {
        tt += (p.t[i] - mean_t) * (p.t[i] - mean_t);
        ty += (p.t[i] - mean_t) * (p.y[i] - mean_y);
    }
    double slope = ty / tt;
    for (unsigned i = 0; i < p.n; i++) rest += pow(p.y[i] - mean_y - slope * (p.t[i] - mean_t), 2);
    double half = ta_t_quantile((1 - confidence) / 2, p.n - 2, 0) * sqrt(rest / (p.n - 2) / tt);
    *out = (struct ta_trend){slope, slope - half, slope + half, mean_y, mean_y + slope * (t[n - 1] - mean_t), p.n};
    return TA_OK;
}
