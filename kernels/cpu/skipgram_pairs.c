/* skipgram_pairs: explicit pairs, each record's word against its labelled contexts. */
#include <math.h>

#include "skipgram_check.h"
#include "skipgram_parts.h"

static void add_loss(const struct ta_loops_step *step, struct ta_skipgram_made *made) {
    for (uint32_t o = 0; o < step->n_out; o++) {
        double p = (double)step->score[o], label = (double)step->label[o];
        p = p < 1e-8 ? 1e-8 : p > 1 - 1e-8 ? 1 - 1e-8 : p;
        made->loss_sum -= label * log(p) + (1 - label) * log(1 - p);
    }
    made->loss_pairs += step->n_out;
}

/* The targets gathered so far, all different rows, in one step. */
static void flush(struct ta_skipgram *s, const uint32_t *slot, struct ta_skipgram_made *made) {
    struct ta_loops_step *step = s->step;
    if (step->n_out == 0) return;
    s->in.loops->step(step);
    made->pairs += step->n_out;
    add_loss(step, made);
    for (uint32_t o = 0; o < step->n_out; o++) ta_near_leave(&s->out, slot[o]);
    step->n_out = 0;
}

static void train_record(struct ta_skipgram *s, const int32_t *words, const float *labels, uint32_t contexts,
                         struct ta_skipgram_made *made) {
    float label[TA_LOOPS_ROOM] = {0};
    uint32_t slot[TA_LOOPS_OUT], centre = ta_near_enter(&s->in, (uint32_t)words[0]);
    struct ta_loops_step *step = s->step;
    ta_near_change(&s->in, centre);
    step->n_in = 1;
    step->n_out = 0;
    step->in[0] = ta_near_copy(&s->in, centre);
    step->label = label;
    step->scale = s->scale;
    for (uint32_t c = 0; c < contexts; c++) {
        if (words[1 + c] < 0) continue;
        uint32_t row = (uint32_t)words[1 + c];
        if (step->n_out == TA_LOOPS_OUT || s->out.slot_of[row] != 0) flush(s, slot, made);
        slot[step->n_out] = ta_near_enter(&s->out, row);
        ta_near_change(&s->out, slot[step->n_out]);
        label[step->n_out] = labels[c];
        step->out[step->n_out] = ta_near_copy(&s->out, slot[step->n_out]);
        step->n_out++;
    }
    flush(s, slot, made);
    ta_near_leave(&s->in, centre);
    made->centres++;
}

ta_status ta_skipgram_pairs(struct ta_skipgram *s, float *w, const struct ta_skipgram_pairs *batch,
                            struct ta_skipgram_made *made) {
    *made = (struct ta_skipgram_made){0};
    ta_status status = ta_skipgram_check_pairs(&s->spec, batch, &made->words);
    size_t row = 1 + (size_t)batch->contexts;
    if (status == TA_OK) status = ta_near_begin(&s->in, w, batch->records);
    if (status == TA_OK) status = ta_near_begin(&s->out, w, batch->records * (size_t)batch->contexts);
    if (status != TA_OK) return status;
    for (uint32_t p = 0; p < TA_LOOPS_ROOM; p++) s->scale[p] = batch->rate;
    for (uint32_t r = 0; r < batch->records; r++) {
        const int32_t *words = batch->words + r * row;
        if (words[0] < 0) continue;
        train_record(s, words, batch->labels + (size_t)r * batch->contexts, batch->contexts, made);
    }
    return ta_skipgram_end(s, (double)batch->rate, made);
}
