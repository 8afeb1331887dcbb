/* skipgram_train: text in, windows through the loops of skipgram_loops.h.
 *
 * A sentence is first compacted to the words that stay. Then a frame of 2 * window + 1 words slides over it: a word's
 * row is copied when it comes into the frame, and written back when it leaves it. A window has up to TA_LOOPS_IN
 * contexts and TA_LOOPS_OUT targets a step; larger ones are several steps, contexts outside. */
#include <math.h>
#include <string.h>

#include "skipgram_parts.h"

enum { AHEAD = 3, LOSS_EVERY = 64 };

/* The centre and its negatives: different slots, and how often each was picked. The centre is no negative of its own.
 */
static uint32_t choose_targets(struct ta_skipgram *s, uint32_t centre, bool *weighted) {
    uint32_t n = 1;
    *weighted = false;
    ta_near_change(&s->out, centre);
    s->target[0] = centre;
    s->weight[0] = 1;
    s->index[centre] = 0;
    for (uint32_t k = 0; k < s->spec.negative; k++) {
        uint32_t slot = s->pool.slot[ta_pool_pick(&s->pool, k)], i = s->index[slot];
        if (i < n && s->target[i] == slot) {
            if (i == 0) continue;
            s->weight[i] += 1;
            *weighted = true;
        } else {
            ta_near_change(&s->out, slot);
            s->target[n] = slot;
            s->weight[n] = 1;
            s->index[slot] = n++;
        }
    }
    return n;
}

/* -log of what the pairs of a target were given, multiplied up first: 16 scores are far from a double's end. */
static void add_loss(const struct ta_loops_step *step, const float *weight, struct ta_skipgram_made *made) {
    for (uint32_t o = 0; o < step->n_out; o++) {
        double product = 1;
        for (uint32_t i = 0; i < step->n_in; i++) {
            uint32_t p = i * step->n_out + o;
            double right = step->label[p] != 0 ? step->score[p] : 1 - step->score[p];
            product *= right < 1e-8 ? 1e-8 : right;
        }
        made->loss_sum -= (double)weight[o] * log(product);
        made->loss_pairs += (uint64_t)weight[o] * step->n_in;
    }
}

/* One step: contexts against targets first .. first + n_out - 1. */
static void one_step(struct ta_skipgram *s, uint32_t first, uint32_t n_out, bool weighted,
                     struct ta_skipgram_made *made) {
    struct ta_loops_step *step = s->step;
    step->n_out = n_out;
    for (uint32_t o = 0; o < n_out; o++) step->out[o] = ta_near_copy(&s->out, s->target[first + o]);
    step->label = s->label + (size_t)(first == 0 ? n_out : 0) * TA_LOOPS_ROOM;
    step->scale = s->scale;
    if (weighted) {
        float *scale = s->scale + TA_LOOPS_ROOM;
        for (uint32_t p = 0, i = 0; i < step->n_in; i++) {
            for (uint32_t o = 0; o < n_out; o++) scale[p++] = s->scale[0] * s->weight[first + o];
        }
        step->scale = scale;
    }
    s->in.loops->step(step);
    step->n_fetch = 0;
    for (uint32_t o = 0; o < n_out; o++) made->pairs += (uint64_t)s->weight[first + o] * step->n_in;
    if (s->windows % LOSS_EVERY == 0) add_loss(step, s->weight + first, made);
}

static void all_targets(struct ta_skipgram *s, uint32_t n_out, bool weighted, struct ta_skipgram_made *made) {
    for (uint32_t o = 0; o < n_out; o += TA_LOOPS_OUT)
        one_step(s, o, n_out - o < TA_LOOPS_OUT ? n_out - o : TA_LOOPS_OUT, weighted, made);
}

static void train_window(struct ta_skipgram *s, uint32_t n_in, uint32_t n_out, bool weighted,
                         struct ta_skipgram_made *made) {
    struct ta_loops_step *step = s->step;
    if (s->spec.cbow) {
        float *was = s->mean, *now = s->mean + s->in.stride;
        s->in.loops->mean(step->width, n_in, s->context, was);
        memcpy(now, was, s->in.stride * sizeof *now);
        step->n_in = 1;
        step->in[0] = now;
        all_targets(s, n_out, weighted, made);
        s->in.loops->spread(step->width, n_in, s->context, was, now);
        return;
    }
    for (uint32_t i = 0; i < n_in; i += TA_LOOPS_IN) {
        step->n_in = n_in - i < TA_LOOPS_IN ? n_in - i : TA_LOOPS_IN;
        memcpy(step->in, s->context + i, sizeof step->in);
        all_targets(s, n_out, weighted, made);
    }
}

/* What the windows from here on will need, on its way from memory. */
static void fetch_ahead(struct ta_skipgram *s, uint32_t pos, uint32_t n) {
    uint32_t window = s->spec.window, enters = pos + window + AHEAD, centre = pos + AHEAD;
    if (enters < n) ta_near_soon(&s->in, s->kept[enters], s->step);
    if (centre < n) ta_near_soon(&s->out, s->kept[centre], s->step);
}

static void train_sentence(struct ta_skipgram *s, struct ta_draw *draw, uint32_t n, struct ta_skipgram_made *made) {
    uint32_t window = s->spec.window, entered = 0, left = 0;
    for (uint32_t pos = 0; pos < n; pos++) {
        fetch_ahead(s, pos, n);
        for (; entered < n && entered <= pos + window; entered++) {
            s->at[entered] = (uint16_t)ta_near_enter(&s->in, s->kept[entered]);
            ta_near_change(&s->in, s->at[entered]);
        }
        uint32_t reach = ta_draw_reach(draw, window), n_in = 0;
        uint32_t first = pos < reach ? 0 : pos - reach, end = n - pos <= reach ? n : pos + reach + 1;
        for (uint32_t p = first; p < pos; p++) s->context[n_in++] = ta_near_copy(&s->in, s->at[p]);
        for (uint32_t p = pos + 1; p < end; p++) s->context[n_in++] = ta_near_copy(&s->in, s->at[p]);
        ta_pool_turn(&s->pool);
        uint32_t centre = ta_near_enter(&s->out, s->kept[pos]);
        bool weighted;
        uint32_t n_out = choose_targets(s, centre, &weighted);
        train_window(s, n_in, n_out, weighted, made);
        s->windows++;
        ta_near_leave(&s->out, centre);
        if (pos >= window) ta_near_leave(&s->in, s->at[left++]);
    }
    while (left < n) ta_near_leave(&s->in, s->at[left++]);
    made->centres += n;
}

ta_status ta_skipgram_train(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                            struct ta_skipgram_made *made) {
    ta_status status = ta_skipgram_begin(s, w, batch, made);
    if (status != TA_OK) return status;
    for (uint32_t p = 0; p < TA_LOOPS_ROOM; p++) s->scale[p] = batch->rate;
    s->windows = 0;
    ta_pool_begin(&s->pool, s->spec.seed, batch->number);
    for (uint32_t i = 0; i < batch->sentences; i++) {
        struct ta_draw draw = ta_draw_start(s->spec.seed, batch->number, i);
        uint32_t n = ta_odds_keep(&s->odds, &draw, batch->length, batch->words + (size_t)i * batch->length, s->kept);
        if (n > 1) train_sentence(s, &draw, n, made);
    }
    ta_pool_end(&s->pool);
    return ta_skipgram_end(s, batch->rate, made);
}
