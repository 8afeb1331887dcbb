/* agreement: how much better than chance predictions of classes are, over everything and over a sliding window.
 *
 * Accuracy alone flatters: with unequal classes one may always say the commonest, and in a stream whose labels come in
 * runs one may say the last label again. So both are kept as baselines, each tested before it learns, as the model is:
 *
 *     majority    says the commonest label of the window before the record (the smaller class of equals; at first 0)
 *     no change   says the label before (at first 0)
 *
 * and the accuracy p0 is measured between chance and perfection:
 *
 *     kappa             (p0 - pc) / (1 - pc), pc = sum over classes of (share of predictions) * (share of labels)
 *     kappa temporal    (p0 - pe) / (1 - pe), pe: accuracy of no change
 *     kappa majority    (p0 - pm) / (1 - pm), pm: accuracy of majority
 *
 * Bifet, Read, Zliobaite, Pfahringer, Holmes, "Pitfalls in benchmarking data stream classification and how to avoid
 * them", ECML PKDD 2013; Zliobaite, Bifet, Read, Pfahringer, Holmes, Machine Learning 98:455 (2015). Where the baseline
 * is perfect the quotient has no value: 0 when p0 is perfect too, else minus infinity is meant and NaN is given, as is
 * everything of an empty view.
 *
 * The label before is that of the record this replica saw before; records are dealt in batches, so one in a batch has
 * its neighbour elsewhere.
 *
 * Cost: a few additions a record, and a pass over the classes when the commonest label leaves the window. No allocation
 * after init; one thread.
 */
#ifndef TA_AGREEMENT_H
#define TA_AGREEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* What one view counts: all [classes]. */
struct ta_agreement_counts {
    uint64_t records, hits, majority_hits, no_change_hits;
    uint64_t *labels, *predictions, *class_hits;
};

struct ta_agreement_record {
    int32_t label, prediction; /* prediction -1: none that is a number */
    uint8_t majority_hit, no_change_hit;
};

struct ta_agreement {
    uint32_t classes, window;
    int32_t last_label;              /* -1: none yet */
    uint32_t majority;               /* of the labels in the window */
    struct ta_agreement_counts all, recent;
    struct ta_agreement_record *ring; /* [window]; owned, as is `block` */
    uint64_t *block;
};

struct ta_agreement_view {
    uint64_t records;
    double accuracy, kappa, kappa_temporal, kappa_majority; /* NaN: no value */
    double majority, no_change;                             /* accuracies of the baselines */
};

/* Errors: CONFIG (classes 0 or above 2^20, window 0), NO_MEMORY; freeing after is fine. */
ta_status ta_agreement_init(struct ta_agreement *a, uint32_t classes, uint32_t window);
void ta_agreement_free(struct ta_agreement *a);

/* One record; label and prediction below `classes`, prediction -1: wrong whatever it was. Others are ignored. */
void ta_agreement_add(struct ta_agreement *a, int32_t prediction, int32_t label);

void ta_agreement_all(const struct ta_agreement *a, struct ta_agreement_view *out);
void ta_agreement_window(const struct ta_agreement *a, struct ta_agreement_view *out);
/* Share of the window's records of this class that were recognised; NaN: there are none. */
double ta_agreement_recall(const struct ta_agreement *a, uint32_t class);

/* The class a prediction means: arg max (first of equals); with one output 0 or 1 (p > 0.5); -1: not a number. */
int32_t ta_agreement_class_of(const float *prediction, uint32_t outputs);

#endif
