/* trend: does a measured quantity grow with time? A straight line through it, and how sure its slope is.
 *
 * What is measured every moment (a lag, a queue) is correlated with what it was a moment ago, so the residuals of
 * single samples tell less than their number suggests. So the samples are first averaged over `blocks` stretches of
 * equal time (batch means; Law, "Simulation Modeling and Analysis"), and the line is fitted to the means by least
 * squares: the slope's interval is Student's with blocks - 2 degrees of freedom.
 *
 * Pure function; one thread.
 */
#ifndef TA_TREND_H
#define TA_TREND_H

#include <stddef.h>

#include "status.h"

struct ta_trend {
    double slope, low, high; /* of y a unit of t; the two-sided interval of the given confidence */
    double mean;             /* of the block means */
    double last;             /* the line at the end */
    unsigned blocks;         /* used; blocks without a sample are left out */
};

/* t rises; n samples. confidence in (0, 1), 3 <= blocks. Errors: INVALID (these), AGAIN (fewer than three blocks have a
 * sample: measure longer). Samples that are not finite are left out. */
ta_status ta_trend_fit(const double *t, const double *y, size_t n, unsigned blocks, double confidence,
                       struct ta_trend *out);

#endif
