/* cycle: one number that rises, and what makes it rise. */
#include "cycle.h"

ta_status ta_cycle_init(struct ta_cycle *c, const struct ta_cycle_spec *spec) {
    *c = (struct ta_cycle){.spec = *spec};
    struct ta_detector_spec *d = &c->spec.detector;
    bool both_sides = d->type == TA_DETECTOR_ADWIN || d->type == TA_DETECTOR_PAGEHINKLEY ||
                      d->type == TA_DETECTOR_KSWIN || d->type == TA_DETECTOR_STEPD;
    if (d->side == TA_DETECTOR_SIDE_DEFAULT && both_sides) d->side = TA_DETECTOR_RISE;
    ta_status status = ta_detector_open(&c->detector, d);
    if (status == TA_OK) status = ta_plateau_init(&c->plateau, &spec->plateau);
    return status;
}

void ta_cycle_free(struct ta_cycle *c) {
    ta_detector_close(&c->detector);
    ta_plateau_free(&c->plateau);
}

static bool predicts_only(const struct ta_cycle *c) { return c->number % 2 != 0; }

bool ta_cycle_trains(const struct ta_cycle *c) {
    if (c->spec.mode == TA_MODE_AUTO) return !predicts_only(c);
    return c->spec.mode == TA_MODE_TRAIN;
}

/* After every change all that was seen belongs to the past. */
static void begin(struct ta_cycle *c, uint64_t number) {
    c->number = number;
    c->converged = false;
    c->warned = false;
    c->deaf = c->spec.cool_down;
    c->sum = 0;
    c->summed = 0;
    ta_plateau_restart(&c->plateau);
    uint64_t updates = c->detector.updates, ignored = c->detector.ignored;
    ta_detector_reset(&c->detector);
    c->detector.updates = updates;
    c->detector.ignored = ignored;
}

static enum ta_cycle_news watch(struct ta_cycle *c, double loss, bool hit) {
    if (c->deaf > 0) {
        c->deaf--;
        return TA_CYCLE_NOTHING;
    }
    c->sum += c->spec.watch_errors ? !hit : loss;
    if (++c->summed < c->spec.average) return TA_CYCLE_NOTHING;
    enum ta_detector_verdict verdict = ta_detector_update(&c->detector, c->sum / c->summed);
    c->sum = 0;
    c->summed = 0;
    if (verdict == TA_DETECTOR_DRIFT) {
        c->alarms++;
        begin(c, predicts_only(c) ? c->number + 1 : c->number + 2);
        return TA_CYCLE_DRIFT;
    }
    bool news = verdict == TA_DETECTOR_WARNING && !c->warned;
    c->warned = verdict == TA_DETECTOR_WARNING;
    c->warnings += news;
    return news ? TA_CYCLE_WARNING : TA_CYCLE_NOTHING;
}

enum ta_cycle_news ta_cycle_add(struct ta_cycle *c, double loss, bool hit) {
    if (c->spec.mode != TA_MODE_AUTO || predicts_only(c)) return watch(c, loss, hit);
    if (!ta_plateau_add(&c->plateau, loss) || c->converged) return TA_CYCLE_NOTHING;
    c->converged = true;
    return TA_CYCLE_CONVERGED;
}

void ta_cycle_others(struct ta_cycle *c, double sum, uint32_t others) { ta_plateau_others(&c->plateau, sum, others); }

bool ta_cycle_hear(struct ta_cycle *c, uint64_t number) {
    if (number <= c->number) return false;
    begin(c, number);
    return true;
}

bool ta_cycle_rest(struct ta_cycle *c) {
    if (c->spec.mode != TA_MODE_AUTO || predicts_only(c) || !c->converged) return false;
    begin(c, c->number + 1);
    return true;
}

void ta_cycle_resume(struct ta_cycle *c, uint64_t number) { begin(c, number); }
