/* streams: the numbers that make_goldens.py feeds to the references, bit for bit. */
#ifndef TA_TEST_STREAMS_H
#define TA_TEST_STREAMS_H

#include <stddef.h>
#include <stdint.h>

/* java.util.Random: x = (x * 0x5DEECE66D + 0xB) mod 2^48. */
struct java {
    uint64_t state;
};

struct java java_make(uint64_t seed);
double java_uniform(struct java *r);   /* nextDouble */
int java_below(struct java *r, int n); /* nextInt(n) for an n that is not a power of 2 */
double java_normal(struct java *r);    /* sum of 12 uniforms, less 6 */

enum { STREAM_MOST = 8000 };

/* The stream of this name into x[STREAM_MOST]; its length, 0 when there is none. `losses` is the path of losses.txt. */
size_t stream_make(const char *name, const char *losses, double *x);

/* MOA's AbruptChangeGenerator (records at .2 and .8 by turns, changes every period / 2) and GradualChangeGenerator (.2,
 * from `period` on rising by .001 a record up to 1) as streams of 0 and 1. */
void stream_moa(uint64_t seed, int gradual, unsigned period, unsigned n, double *x);

#endif
