/* detector_quantile: quantiles of Student's t and Fisher's F, to 1e-10 of their value and mostly far better.
 *
 * Own numerics, because libraries that have them either weigh too much or are GPL. Tails come from the continued
 * fraction of the incomplete beta function (Numerical Recipes 6.4; DLMF 8.17.22) with Loader's way of computing the
 * factor in front ("Fast and accurate computation of binomial probabilities", 2000), which keeps its digits for
 * large degrees of freedom; quantiles by Newton's method on the logarithm of the tail, held by a bracket.
 *
 * Degrees of freedom may be fractions, from .1 to 1e5; beyond, up to 1e7, digits are lost down to 1e-9. Thread-safe.
 *
 */
#ifndef TA_DETECTOR_QUANTILE_H
#define TA_DETECTOR_QUANTILE_H

/* P(T > t), P(F > f). */
double ta_t_tail(double t, double df);
double ta_f_tail(double f, double df1, double df2);

/* The t with P(T > t) = tail, 0 < tail < 1; the f > 0 with P(F > f) = tail. `near` is a guess, or 0 for none: a good
 * one saves half of the work. Tails are asked for, not probabilities: 1 - p has lost digits that only the caller
 * has. */
double ta_t_quantile(double tail, double df, double near);
double ta_f_quantile(double tail, double df1, double df2, double near);

#endif
