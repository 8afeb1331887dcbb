/* skipgram_plain: the loops of skipgram_loops.h in plain C. */
#include <math.h>
#include <string.h>

#include "skipgram_loops.h"

static float sigmoid(float x) {
    if (x > 30) x = 30;
    if (x < -30) x = -30;
    return 1 / (1 + expf(-x));
}

enum { COLUMNS = TA_LOOPS_ALIGN }; /* at once: loops of a known length, which compilers turn into vectors */

static float dot(uint32_t width, const float *a, const float *b) {
    float sum[COLUMNS] = {0}, all = 0;
    for (uint32_t c = 0; c < width; c += COLUMNS) {
        for (uint32_t k = 0; k < COLUMNS; k++) sum[k] += a[c + k] * b[c + k];
    }
    for (uint32_t k = 0; k < COLUMNS; k++) all += sum[k];
    return all;
}

/* The pass back, for the columns from c on. */
static void back(struct ta_loops_step *s, uint32_t c) {
    float was[TA_LOOPS_OUT][COLUMNS], sum[TA_LOOPS_OUT][COLUMNS];
    for (uint32_t o = 0; o < s->n_out; o++) {
        memcpy(was[o], s->out[o] + c, sizeof was[o]);
        memcpy(sum[o], s->out[o] + c, sizeof sum[o]);
    }
    for (uint32_t i = 0; i < s->n_in; i++) {
        float x[COLUMNS], y[COLUMNS];
        memcpy(x, s->in[i] + c, sizeof x);
        memcpy(y, x, sizeof y);
        for (uint32_t o = 0; o < s->n_out; o++) {
            float g = s->g[i * s->n_out + o];
            for (uint32_t k = 0; k < COLUMNS; k++) y[k] += g * was[o][k];
            for (uint32_t k = 0; k < COLUMNS; k++) sum[o][k] += g * x[k];
        }
        memcpy(s->in[i] + c, y, sizeof y);
    }
    for (uint32_t o = 0; o < s->n_out; o++) memcpy(s->out[o] + c, sum[o], sizeof sum[o]);
}

static void step(struct ta_loops_step *s) {
    for (uint32_t i = 0; i < s->n_in; i++) {
        for (uint32_t o = 0; o < s->n_out; o++) {
            uint32_t p = i * s->n_out + o;
            s->score[p] = sigmoid(dot(s->width, s->in[i], s->out[o]));
            s->g[p] = (s->label[p] - s->score[p]) * s->scale[p];
        }
    }
    for (uint32_t c = 0; c < s->width; c += COLUMNS) back(s, c);
}

static void mean(uint32_t width, uint32_t n, float *const *rows, float *to) {
    for (uint32_t c = 0; c < width; c++) {
        float sum = 0;
        for (uint32_t i = 0; i < n; i++) sum += rows[i][c];
        to[c] = sum / (float)n;
    }
}

static void spread(uint32_t width, uint32_t n, float *const *rows, const float *was, const float *now) {
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < width; c++) rows[i][c] += now[c] - was[c];
    }
}

static void copy(uint32_t n, const float *from, float *to) { memcpy(to, from, n * sizeof *from); }

const struct ta_skipgram_loops ta_skipgram_loops_plain = {"portable", step, mean, spread, copy};
