/* skipgram_draw: counts turned into odds. */
#include "skipgram_draw.h"

#include <math.h>
#include <stdbool.h>

#include "mem.h"

ta_status ta_odds_make(uint32_t rows, struct ta_odds *odds) {
    *odds = (struct ta_odds){.rows = rows};
    ta_status status = TA_NEW(&odds->keep, rows, "a word model's sub-sampling");
    if (status == TA_OK) status = TA_NEW(&odds->alias, rows, "a word model's negatives");
    return status;
}

void ta_odds_free(struct ta_odds *odds) {
    ta_mem_free(odds->keep);
    ta_mem_free(odds->alias);
    *odds = (struct ta_odds){0};
}

static uint32_t fraction(double p) { return p >= 1 ? UINT32_MAX : (uint32_t)(p * 0x1p32); }

static void set_keep(struct ta_odds *odds, double sample, double total, const uint64_t *counts) {
    for (uint32_t r = 0; r < odds->rows; r++) {
        double t = counts[r] > 0 && sample > 0 ? sample * total / (double)counts[r] : 1;
        odds->keep[r] = fraction(sqrt(t) + t);
    }
}

/* Rows below the mean borrow from one above it, until all are done. Rounding leaves a few over: they are full, or,
 * where their own weight is 0, the heaviest row's. */
static void set_alias(struct ta_odds *odds, double sum, double *weight, uint32_t *queue) {
    uint32_t n = odds->rows, low = 0, high = n, heaviest = 0;
    for (uint32_t r = 0; r < n; r++) {
        if (weight[r] > weight[heaviest]) heaviest = r;
    }
    for (uint32_t r = 0; r < n; r++) {
        odds->alias[r] = weight[r] > 0 ? (struct ta_alias){UINT32_MAX, r} : (struct ta_alias){0, heaviest};
        weight[r] *= n / sum;
        if (weight[r] < 1) {
            queue[low++] = r;
        } else {
            queue[--high] = r;
        }
    }
    while (low > 0 && high < n) {
        uint32_t small = queue[--low], large = queue[high];
        odds->alias[small] = (struct ta_alias){fraction(weight[small]), large};
        weight[large] -= 1 - weight[small];
        if (weight[large] < 1) {
            high++;
            queue[low++] = large;
        }
    }
}

ta_status ta_odds_set(struct ta_odds *odds, double sample, const uint64_t *counts) {
    double total = 0, sum = 0, *weight = NULL;
    uint32_t *queue = NULL;
    for (uint32_t r = 0; r < odds->rows; r++) total += (double)counts[r];
    if (total == 0)
        return ta_fail(TA_CONFIG,
                       "none of the vocabulary's %u words was ever seen: there is nothing to draw from; "
                       "count the text first",
                       odds->rows);
    ta_status status = TA_NEW(&weight, odds->rows, "weights of the negatives");
    if (status == TA_OK) status = TA_NEW(&queue, odds->rows, "weights of the negatives");
    if (status == TA_OK) {
        for (uint32_t r = 0; r < odds->rows; r++) sum += weight[r] = pow((double)counts[r], .75);
        set_keep(odds, sample, total, counts);
        set_alias(odds, sum, weight, queue);
    }
    ta_mem_free(weight);
    ta_mem_free(queue);
    return status;
}

uint32_t ta_odds_keep(const struct ta_odds *odds, struct ta_draw *draw, uint32_t n, const int32_t *words,
                      uint32_t *kept) {
    uint32_t stay = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = ta_draw_u64(draw);
        uint32_t row = words[i] < 0 ? 0 : (uint32_t)words[i];
        bool stays = (words[i] >= 0) & ((uint32_t)(x >> 32) <= odds->keep[row]);
        kept[stay] = row;
        stay += stays;
    }
    return stay;
}
