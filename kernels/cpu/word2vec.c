/* word2vec: the loop of word2vec.c as Mikolov and others published it (skip-gram and CBOW with negative sampling), pair
 * by pair, with negatives drawn anew for every pair and a table for the sigmoid. The yardstick of speed and the oracle
 * of quality; it differs by the alias method in place of a table of 400 MB, and by the random numbers. */
#include <math.h>

#include "mem.h"
#include "skipgram_parts.h"
#include "widest.h"

enum { EXP_TABLE = 1000, MAX_EXP = 6, LOSS_EVERY = 64 };

/* A sentence under way. */
struct loop {
    struct ta_skipgram *s;
    struct ta_draw draw;      /* of the sentence */
    struct ta_draw negatives; /* of the batch */
    float rate;
    float *change; /* [width] of what the targets are held against */
    struct ta_skipgram_made *made;
};

/* A row that changes, once a call. */
static void list(struct ta_near *table, uint32_t row) {
    if (!table->lists || table->slot_of[row] != 0) return;
    table->slot_of[row] = 1;
    table->changed[table->n_changed++] = row;
}

static float sigmoid_of(const struct ta_skipgram *s, float f) {
    /* Not a number becomes a place in front of the table. */
    int at = f >= MAX_EXP ? EXP_TABLE : f > -MAX_EXP ? (int)((f + MAX_EXP) * (EXP_TABLE / (2.0F * MAX_EXP))) : -1;
    return at < 0 ? 0 : at >= EXP_TABLE ? 1 : s->sigmoid[at];
}

static void add_loss(struct loop *l, float f, float label) {
    double x = label > 0 ? (double)f : -(double)f;
    l->made->loss_sum += (x < 0 ? -x : 0) + log1p(exp(-fabs(x)));
    l->made->loss_pairs++;
}

static inline __attribute__((always_inline)) float dot(uint32_t n, const float *a, const float *b) {
    float sum = 0;
    for (uint32_t c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

static inline __attribute__((always_inline)) void axpy(uint32_t n, float g, const float *x, float *y) {
    for (uint32_t c = 0; c < n; c++) y[c] += g * x[c];
}

/* `x` against the centre and its negatives; l->change is what x would change by. */
static inline __attribute__((always_inline)) void against(struct loop *l, const float *x, uint32_t centre) {
    struct ta_skipgram *s = l->s;
    uint32_t width = s->spec.in.width;
    for (uint32_t c = 0; c < width; c++) l->change[c] = 0;
    for (uint32_t d = 0; d <= s->spec.negative; d++) {
        uint32_t target = d == 0 ? centre : ta_odds_negative(&s->odds, &l->negatives);
        float label = d == 0;
        if (d > 0 && target == centre) continue;
        float *row = s->out.w + ta_near_place(&s->out, target), f = dot(width, x, row);
        float g = (label - sigmoid_of(s, f)) * l->rate;
        axpy(width, g, row, l->change);
        axpy(width, g, x, row);
        list(&s->out, target);
        l->made->pairs++;
        if (s->windows % LOSS_EVERY == 0) add_loss(l, f, label);
    }
}

static inline __attribute__((always_inline)) void add_change(struct loop *l, uint32_t word) {
    struct ta_near *in = &l->s->in;
    axpy(in->table.width, 1, l->change, in->w + ta_near_place(in, word));
    list(in, word);
}

static inline __attribute__((always_inline)) void cbow(struct loop *l, uint32_t first, uint32_t end, uint32_t pos) {
    struct ta_skipgram *s = l->s;
    uint32_t width = s->spec.in.width;
    float share = 1 / (float)(end - first - 1);
    for (uint32_t c = 0; c < width; c++) s->mean[c] = 0;
    for (uint32_t p = first; p < end; p++) {
        if (p != pos) axpy(width, share, s->in.w + ta_near_place(&s->in, s->kept[p]), s->mean);
    }
    against(l, s->mean, s->kept[pos]);
    for (uint32_t p = first; p < end; p++) {
        if (p != pos) add_change(l, s->kept[p]);
    }
}

WIDEST
static void train_sentence(struct loop *l, uint32_t n) {
    struct ta_skipgram *s = l->s;
    for (uint32_t pos = 0; pos < n; pos++) {
        uint32_t reach = ta_draw_reach(&l->draw, s->spec.window);
        uint32_t first = pos < reach ? 0 : pos - reach, end = n - pos <= reach ? n : pos + reach + 1;
        if (s->spec.cbow) {
            cbow(l, first, end, pos);
        } else {
            for (uint32_t p = first; p < end; p++) {
                if (p == pos) continue;
                against(l, s->in.w + ta_near_place(&s->in, s->kept[p]), s->kept[pos]);
                add_change(l, s->kept[p]);
            }
        }
        s->windows++;
    }
}

static ta_status train(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                       struct ta_skipgram_made *made) {
    ta_status status = ta_skipgram_begin(s, w, batch, made);
    if (status != TA_OK) return status;
    struct loop l = {.s = s,
                     .negatives = ta_draw_start(s->spec.seed, batch->number, ta_draw_negatives),
                     .rate = batch->rate,
                     .change = s->mean + s->in.stride,
                     .made = made};
    s->windows = 0;
    for (uint32_t i = 0; i < batch->sentences; i++) {
        l.draw = ta_draw_start(s->spec.seed, batch->number, i);
        uint32_t n = ta_odds_keep(&s->odds, &l.draw, batch->length, batch->words + (size_t)i * batch->length, s->kept);
        if (n < 2) continue;
        train_sentence(&l, n);
        made->centres += n;
    }
    for (size_t i = 0; i < s->in.n_changed; i++) s->in.slot_of[s->in.changed[i]] = 0;
    for (size_t i = 0; i < s->out.n_changed; i++) s->out.slot_of[s->out.changed[i]] = 0;
    return ta_skipgram_end(s, (double)batch->rate, made);
}

static ta_status create(struct ta_kernels *k, const struct ta_skipgram_spec *spec, struct ta_skipgram **out) {
    (void)k;
    ta_status status = ta_skipgram_make(spec, &ta_skipgram_loops_plain, out);
    if (status != TA_OK) return status;
    status = TA_NEW(&(*out)->sigmoid, EXP_TABLE, "word2vec's sigmoid");
    if (status != TA_OK) {
        ta_skipgram_destroy(*out);
        *out = NULL;
        return status;
    }
    for (int i = 0; i < EXP_TABLE; i++) {
        double e = exp(((double)i / EXP_TABLE * 2 - 1) * MAX_EXP);
        (*out)->sigmoid[i] = (float)(e / (e + 1));
    }
    return TA_OK;
}

const struct ta_skipgram_ops ta_skipgram_word2vec = {
    .name = "word2vec",
    .create = create,
    .destroy = ta_skipgram_destroy,
    .bytes = ta_skipgram_bytes,
    .loops = ta_skipgram_loops_name,
    .counts = ta_skipgram_counts,
    .train = train,
    .pairs = ta_skipgram_pairs,
};
