/* synthetic: streams that are computed, with concept drift where one asks for it; a make of `stream`.
 *
 * A record is a pure function of (generator, options, drift, seed, record number): read seeks in O(1), two readers of
 * the same spec see the same bytes. Label noise flips a label to another class, drawn uniformly, with the given
 * probability, after the label was computed.
 *
 * The generator is written NAME or NAME:option=value,option=value. Concepts are numbered from 1; concept.h has the
 * grammar of drift. All x are float32 [c] unless said otherwise.
 *
 * sea          Street, Kim: A Streaming Ensemble Algorithm (SEA) for Large-Scale Classification, KDD 2001, section 4.
 *              x[3] uniform in [0, 10), the third irrelevant; class 1 if x0 + x1 <= theta, else 0.
 *              Concepts 1..4: theta = 8, 9, 7, 9.5. Option noise=0.1 (0..1, the paper's 10 %).
 * stagger      Schlimmer, Granger: Incremental Learning from Noisy Data, Machine Learning 1, 1986.
 *              size (small, medium, large), colour (red, green, blue), shape (square, circular, triangular), each
 *              uniform; x[9]: three one-hot groups in that order. Class 1 if concept 1: small and red; 2: green or
 *              circular; 3: medium or large. Option noise=0.
 * agrawal      Agrawal, Imielinski, Swami: Database Mining: A Performance Perspective, IEEE TKDE 5(6), 1993.
 *              x[9], uniform: salary 20000..150000; commission 0 if salary >= 75000, else 10000..75000; age 20..80
 *              (whole); elevel 0..4; car 1..20; zipcode 0..8; hvalue (0.5..1.5) * 100000 * (9 - zipcode); hyears 1..30;
 *              loan 0..500000. Class 0 is the paper's group A, 1 is group B. Concepts 1..10: the paper's functions.
 *              Options perturbation=0 (0..1, the paper's p: after the label is computed each of salary, commission,
 *              age, hvalue, hyears, loan is shifted by uniform(-p/2, p/2) of its range and cut to it; the paper uses
 *              0.05), noise=0, raw=0 (1: x in the units above, labels exact functions of the float32 values;
 *              0: each attribute mapped linearly from its range to [0, 1]).
 * hyperplane   Hulten, Spencer, Domingos: Mining Time-Changing Data Streams, KDD 2001, section 5.
 *              x[attributes] uniform in [0, 1); class 1 if sum w_i x_i >= 0.5 sum w_i. w_i starts uniform in [0, 1);
 *              the first `drifting` of them move by `speed` a record, up or down, turning round at 0 and 1 (the paper
 *              turns at random, which cannot be sought in O(1)). Concepts 1..10: other starting weights.
 *              Options attributes=10 (2..1024), drifting=2 (0..attributes), speed=0.0001 (0..1), noise=0.05.
 * rbf          MOA's RandomRBFGeneratorDrift (Bifet et al.: MOA: Massive Online Analysis, JMLR 11, 2010).
 *              `centroids` centres, each with a place in [0, 1]^attributes, a class, a radius and a weight, all
 *              uniform. A record is a centre drawn by weight, plus a step of length normal * radius in a uniform
 *              direction. The centres move along straight lines, `speed` a record, mirrored at the walls of the unit
 *              cube. Concepts 1..10: other centroids. Options attributes=10 (2..1024), centroids=50 (2..1000),
 *              classes=2 (2..1000, at most centroids), speed=0.0001 (0..1), noise=0.
 * glyphs       Drawn characters (glyphs.h): x uint8 [28][28][1], 10 classes, every one turned, sheared, scaled,
 *              shifted, bent, of random pen width, with noise. Concept 1: the figures 0 to 9. 2: the same figures,
 *              class k is figure k + 3 mod 10. 3: ten capital letters. 4: the same letters, class k is letter k + 3
 *              mod 10. Option noise=0.
 */
#ifndef TA_SYNTHETIC_H
#define TA_SYNTHETIC_H

#include "stream.h"

/* Opens spec->generator with spec->records (0: no end), seed and drift. info.checksum is 0: unknown. Errors: CONFIG
 * (no such generator, option or concept: the message names the nearest or the allowed ones), NO_MEMORY. */
ta_status ta_synthetic_open(const struct ta_stream_spec *spec, struct ta_stream **out);

/* The i-th generator's name, and one line of what it makes; NULL behind the last. */
const char *ta_synthetic_name(unsigned i);
const char *ta_synthetic_summary(unsigned i);

/* The class of one raw record, before noise and without perturbation: what the published definition says of these nine
 * numbers (in the order and units above). `function` 1..10. For checks against other implementations. */
int ta_agrawal_class(const float x[9], uint32_t function);

#endif
