/* score: prequential (test-then-train) accuracy and loss of a stream of predictions.
 *
 * Gama, Sebastiao, Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90:317 (2013). Three views:
 * over everything, over a sliding window of the last `window` records, and fading: S = loss + alpha * S,
 * B = 1 + alpha * B, S / B. For classes a hit is arg max (first of equals) == label, with a single output
 * (p > 0.5) == label; a NaN never hits. A loss that is not finite says nothing: its record counts for the accuracies
 * and is left out of the mean losses, which are those of the others. For values only the loss counts and the accuracies
 * are 0. A plain value, no allocation after init; one thread.
 */
#ifndef TA_SCORE_H
#define TA_SCORE_H

#include <stdint.h>

#include "status.h"

struct ta_score {
    uint64_t records, hits;
    uint64_t lossless;    /* records whose loss was not finite */
    double loss_sum;      /* of the others */
    double fade_alpha, fade_hits, fade_loss, fade_weight;
    uint32_t window;      /* capacity */
    uint64_t window_hits; /* in the window */
    uint32_t window_lossless;
    double window_loss;
    float *ring_loss;     /* NaN: not finite; owned */
    uint8_t *ring_hit;
};

/* 1000 and .999 are usual. Errors: CONFIG (window 0; alpha not in (0, 1]), NO_MEMORY; freeing after is fine. */
ta_status ta_score_init(struct ta_score *score, uint32_t window, double fade_alpha);
void ta_score_free(struct ta_score *score);
/* One record: what was predicted [outputs], its class (or -1 with values), its loss. */
void ta_score_add(struct ta_score *score, const float *prediction, uint32_t outputs, int32_t label, float loss);
/* The same, for whoever knows already whether it was a hit. */
void ta_score_count(struct ta_score *score, int hit, float loss);
double ta_score_accuracy(const struct ta_score *score); /* over all; all five are NaN when empty */
double ta_score_window_accuracy(const struct ta_score *score);
double ta_score_fading_accuracy(const struct ta_score *score);
double ta_score_loss(const struct ta_score *score);
double ta_score_window_loss(const struct ta_score *score);

#endif
