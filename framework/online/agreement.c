/* agreement: two sets of counts, one of which forgets. */
#include "agreement.h"

#include <math.h>

#include "mem.h"

enum { MOST_CLASSES = 1 << 20 };

ta_status ta_agreement_init(struct ta_agreement *a, uint32_t classes, uint32_t window) {
    *a = (struct ta_agreement){.classes = classes, .window = window, .last_label = -1};
    if (classes == 0 || classes > MOST_CLASSES)
        return ta_fail(TA_CONFIG, "agreement: %u classes: 1 to %d can be counted", classes, MOST_CLASSES);
    if (window == 0) return ta_fail(TA_CONFIG, "agreement: the window must hold at least 1 record");
    ta_status status = TA_NEW(&a->ring, window, "agreement: the window");
    if (status == TA_OK) status = TA_NEW(&a->block, 6 * (size_t)classes, "agreement: counts by class");
    if (status != TA_OK) {
        ta_agreement_free(a);
        return status;
    }
    uint64_t *at = a->block;
    for (struct ta_agreement_counts *c = &a->all;; c = &a->recent) {
        c->labels = at;
        c->predictions = at + classes;
        c->class_hits = at + 2 * (size_t)classes;
        at += 3 * (size_t)classes;
        if (c == &a->recent) return TA_OK;
    }
}

void ta_agreement_free(struct ta_agreement *a) {
    ta_mem_free(a->ring);
    ta_mem_free(a->block);
    *a = (struct ta_agreement){0};
}

/* by: 1, or -1 as an unsigned number to take away. */
static void count(struct ta_agreement_counts *c, const struct ta_agreement_record *r, uint64_t by) {
    c->records += by;
    c->labels[r->label] += by;
    if (r->prediction >= 0) c->predictions[r->prediction] += by;
    if (r->prediction == r->label) {
        c->hits += by;
        c->class_hits[r->label] += by;
    }
    if (r->majority_hit) c->majority_hits += by;
    if (r->no_change_hit) c->no_change_hits += by;
}

static void find_majority(struct ta_agreement *a) {
    a->majority = 0;
    for (uint32_t i = 1; i < a->classes; i++)
        if (a->recent.labels[i] > a->recent.labels[a->majority]) a->majority = i;
}

void ta_agreement_add(struct ta_agreement *a, int32_t prediction, int32_t label) {
    if (label < 0 || (uint32_t)label >= a->classes || prediction < -1 || prediction >= (int32_t)a->classes) return;
    struct ta_agreement_record *slot = &a->ring[a->all.records % a->window];
    const struct ta_agreement_record now = {
        .label = label,
        .prediction = prediction,
        .majority_hit = (uint32_t)label == a->majority,
        .no_change_hit = label == (a->last_label < 0 ? 0 : a->last_label),
    };
    const struct ta_agreement_record gone = *slot;
    bool forgets = a->all.records >= a->window;
    if (forgets) count(&a->recent, &gone, UINT64_MAX);
    count(&a->all, &now, 1);
    count(&a->recent, &now, 1);
    *slot = now;
    a->last_label = label;
    uint64_t most = a->recent.labels[a->majority], mine = a->recent.labels[label];
    if (forgets && (uint32_t)gone.label == a->majority) find_majority(a);
    else if (mine > most || (mine == most && (uint32_t)label < a->majority)) a->majority = (uint32_t)label;
}

/* Between chance and perfection. */
static double above(double accuracy, double chance) {
    if (chance < 1) return (accuracy - chance) / (1 - chance);
    return accuracy >= 1 ? 0 : NAN;
}

static void view(const struct ta_agreement *a, const struct ta_agreement_counts *c, struct ta_agreement_view *out) {
    double n = (double)c->records, chance = 0;
    *out = (struct ta_agreement_view){.records = c->records};
    for (uint32_t i = 0; i < a->classes; i++) chance += (double)c->labels[i] / n * ((double)c->predictions[i] / n);
    out->accuracy = (double)c->hits / n;
    out->majority = (double)c->majority_hits / n;
    out->no_change = (double)c->no_change_hits / n;
    out->kappa = above(out->accuracy, chance);
    out->kappa_temporal = above(out->accuracy, out->no_change);
    out->kappa_majority = above(out->accuracy, out->majority);
}

void ta_agreement_all(const struct ta_agreement *a, struct ta_agreement_view *out) { view(a, &a->all, out); }

void ta_agreement_window(const struct ta_agreement *a, struct ta_agreement_view *out) { view(a, &a->recent, out); }

double ta_agreement_recall(const struct ta_agreement *a, uint32_t class) {
    if (class >= a->classes || a->recent.labels[class] == 0) return NAN;
    return (double)a->recent.class_hits[class] / (double)a->recent.labels[class];
}

int32_t ta_agreement_class_of(const float *prediction, uint32_t outputs) {
    if (outputs == 0) return -1;
    if (outputs == 1) return isnan(prediction[0]) ? -1 : prediction[0] > 0.5f;
    uint32_t best = 0;
    for (uint32_t i = 1; i < outputs; i++)
        if (prediction[i] > prediction[best]) best = i;
    return isnan(prediction[best]) ? -1 : (int32_t)best;
}
