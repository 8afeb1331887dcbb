/* learner: a naive Bayes learner that a drift detector watches, on streams whose concept changes four times; for tests.
 *
 * As the experiments behind the published rows have it, all in MOA's terms: EvaluatePrequential of
 * drift.DriftDetectionMethodClassifier over NaiveBayes, on nested ConceptDriftStreams of STAGGERGenerator (functions
 * 1, 2, 3, 1, 2) or AgrawalGenerator (5, 4, 3, 2, 1), 100,000 records, changes at 20,000, 40,000, ... of a given width.
 */
#ifndef TA_TEST_LEARNER_H
#define TA_TEST_LEARNER_H

#include "detector.h"

enum learner_stream { STAGGER, AGRAWAL };

struct learner_score {
    double found;        /* changes found, of 4: by an alarm before the next change; Agrawal: within 10,000 records */
    double false_alarms; /* all other alarms */
    double delay;        /* records from a change to its first alarm, found or late; mean; NAN without any */
    double accuracy;     /* of the watched learner, tested before trained */
};

/* One run; resets the detector. width: 1 for sudden changes, 1000 for gradual ones. */
struct learner_score learner_run(struct ta_detector *d, enum learner_stream stream, unsigned width, uint64_t seed);

#endif
