/* score: three views of hits and losses, each kept up to date by one addition a record. */
#include "score.h"

#include <math.h>
#include <stdbool.h>

#include "mem.h"

ta_status ta_score_init(struct ta_score *score, uint32_t window, double fade_alpha) {
    *score = (struct ta_score){.window = window, .fade_alpha = fade_alpha};
    if (window == 0) return ta_fail(TA_CONFIG, "score: the window must hold at least 1 record");
    if (!(fade_alpha > 0 && fade_alpha <= 1))
        return ta_fail(TA_CONFIG, "score: the fading factor must be above 0 and at most 1, not %g", fade_alpha);
    ta_status status = TA_NEW(&score->ring_loss, window, "score window");
    if (status == TA_OK) status = TA_NEW(&score->ring_hit, window, "score window");
    if (status != TA_OK) ta_score_free(score);
    return status;
}

void ta_score_free(struct ta_score *score) {
    ta_mem_free(score->ring_loss);
    ta_mem_free(score->ring_hit);
    score->ring_loss = NULL;
    score->ring_hit = NULL;
}

static int is_hit(const float *prediction, uint32_t outputs, int32_t label) {
    if (label < 0 || outputs == 0) return 0;
    if (outputs == 1) return (prediction[0] > 0.5f) == (label == 1) && label <= 1 && !isnan(prediction[0]);
    uint32_t best = 0;
    for (uint32_t i = 1; i < outputs; i++)
        if (prediction[i] > prediction[best]) best = i;
    return best == (uint32_t)label && !isnan(prediction[best]);
}

static uint32_t filled(const struct ta_score *score) {
    return score->records < score->window ? (uint32_t)score->records : score->window;
}

void ta_score_add(struct ta_score *score, const float *prediction, uint32_t outputs, int32_t label, float loss) {
    ta_score_count(score, is_hit(prediction, outputs, label), loss);
}

static void forget(struct ta_score *score, uint32_t at) {
    score->window_hits -= score->ring_hit[at];
    if (isnan(score->ring_loss[at])) score->window_lossless--;
    else score->window_loss -= (double)score->ring_loss[at];
}

/* Once a turn the sum is made anew, so that rounding does not pile up. */
static void add_up(struct ta_score *score) {
    score->window_loss = 0;
    for (uint32_t i = 0; i < score->window; i++)
        if (!isnan(score->ring_loss[i])) score->window_loss += (double)score->ring_loss[i];
}

void ta_score_count(struct ta_score *score, int hit, float loss) {
    uint32_t at = (uint32_t)(score->records % score->window);
    bool finite = isfinite(loss);
    if (score->records >= score->window) forget(score, at);
    score->ring_hit[at] = (uint8_t)hit;
    score->ring_loss[at] = finite ? loss : NAN;
    score->records++;
    score->hits += (uint64_t)hit;
    score->window_hits += (uint64_t)hit;
    score->lossless += !finite;
    score->window_lossless += !finite;
    score->loss_sum += finite ? (double)loss : 0;
    score->window_loss += finite ? (double)loss : 0;
    if (at + 1 == score->window) add_up(score);
    double faded = score->fade_weight > 0 ? score->fade_loss / score->fade_weight : 0;
    score->fade_hits = hit + score->fade_alpha * score->fade_hits;
    score->fade_loss = (finite ? (double)loss : faded) + score->fade_alpha * score->fade_loss;
    score->fade_weight = 1 + score->fade_alpha * score->fade_weight;
}

static double ratio(double sum, double weight) { return weight > 0 ? sum / weight : NAN; }

double ta_score_accuracy(const struct ta_score *score) { return ratio((double)score->hits, (double)score->records); }

double ta_score_window_accuracy(const struct ta_score *score) {
    return ratio((double)score->window_hits, filled(score));
}

double ta_score_fading_accuracy(const struct ta_score *score) { return ratio(score->fade_hits, score->fade_weight); }

double ta_score_loss(const struct ta_score *score) {
    return ratio(score->loss_sum, (double)(score->records - score->lossless));
}

double ta_score_window_loss(const struct ta_score *score) {
    return ratio(score->window_loss, filled(score) - score->window_lossless);
}
