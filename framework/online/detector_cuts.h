/* detector_cuts: OPTWIN's table: for every length of the window where it is cut, and the critical values there.
 *
 * The cut nu |W| solves (arXiv 2305.11942, with delta' = confidence^(1/4))
 *
 *     rho = t_ppf(delta', df) sqrt(1 / (nu |W|) + F / ((1 - nu) |W|))
 *     F = F_ppf(delta', nu |W| - 1, (1 - nu) |W| - 1)
 *
 * rounded down to a whole number of old records; of several roots the largest, of none the half, |W| / 2 + 1. As the
 * right side grows from there to the window's end, the rounded root is the last whole cut at which it is not above
 * rho: no root of real numbers need be found. Degrees of freedom are Welch and Satterthwaite's for variances in the
 * ratio 1/F^2 (published) or F (welch).
 */
#ifndef TA_DETECTOR_CUTS_H
#define TA_DETECTOR_CUTS_H

#include "detector.h"

struct ta_optwin_cut {
    double f, t, t_warning; /* critical values */
    uint32_t old;           /* numbers in front of the cut, the oldest; the others are new */
};

/* cuts[0 .. window_max]; those below window_min are 0. `spec` is filled in. */
void ta_optwin_cuts(const struct ta_detector_spec *spec, struct ta_optwin_cut *cuts);

#endif
