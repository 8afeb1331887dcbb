/* skipgram_reference: the windows of the fast loops, as their headers tell it. */
#include "skipgram_reference.h"

#include <math.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "rng.h"
#include "skipgram_pool.h"

void test_words_make(struct test_words *t, const struct ta_skipgram_spec *spec, uint32_t sentences, uint64_t number) {
    *t = (struct test_words){.spec = *spec};
    struct ta_rng rng = ta_rng_make(spec->seed, 77 + number);
    uint32_t rows = spec->in.rows, width = spec->in.width, stride = (width + 7) / 8 * 8 + 8 * ta_rng_below(&rng, 3);
    size_t size = ((size_t)rows * stride + 15) / 16 * 16, words = (size_t)sentences * spec->length;
    t->spec.in.stride = stride;
    t->spec.in.offset = 16 * ta_rng_below(&rng, 3);
    t->spec.out = t->spec.in;
    t->spec.out.offset = t->spec.in.offset + size;
    t->floats = t->spec.out.offset + size;
    assert_ok(TA_NEW(&t->counts, rows, "counts"));
    assert_ok(TA_NEW(&t->words, words, "text"));
    assert_ok(TA_NEW(&t->w, t->floats, "arena"));
    for (size_t i = 0; i < words; i++) {
        /* Few words are common. */
        uint32_t row = ta_rng_below(&rng, 1 + ta_rng_below(&rng, rows));
        t->words[i] = ta_rng_below(&rng, 10) == 0 ? -1 : (int32_t)row;
        t->counts[row]++;
    }
    for (uint32_t r = 0; r < 2 * rows; r++) {
        float *row = t->w + (r < rows ? t->spec.in.offset : t->spec.out.offset) + (size_t)(r % rows) * stride;
        test_fill(width, spec->seed + r + 1000 * number, -.5F, .5F, row);
    }
    t->batch = (struct ta_skipgram_batch){t->words, sentences, spec->length, .05F, number};
}

void test_words_free(struct test_words *t) {
    ta_mem_free(t->counts);
    ta_mem_free(t->words);
    ta_mem_free(t->w);
}

void test_reference_make(struct test_reference *r, const struct test_words *t) {
    *r = (struct test_reference){0};
    assert_ok(TA_NEW(&r->w, t->floats, "arena"));
    assert_ok(TA_NEW(&r->changed, t->floats, "marks"));
    for (size_t i = 0; i < t->floats; i++) r->w[i] = (double)t->w[i];
}

void test_reference_free(struct test_reference *r) {
    ta_mem_free(r->w);
    ta_mem_free(r->changed);
}

static double dot(uint32_t n, const double *a, const double *b) {
    double sum = 0;
    for (uint32_t c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

static double score(const struct test_step *s, uint32_t i, uint32_t o) {
    double f = dot(s->width, s->in[i], s->out[o]);
    return 1 / (1 + exp(-fmax(-30, fmin(30, f))));
}

double test_step_loss(const struct test_step *s) {
    double loss = 0;
    for (uint32_t i = 0; i < s->n_in; i++) {
        for (uint32_t o = 0; o < s->n_out; o++) {
            double p = score(s, i, o), label = s->label[i * s->n_out + o];
            loss -= s->weight[o] * (label * log(p) + (1 - label) * log(1 - p));
        }
    }
    return loss;
}

void test_step_run(struct test_step *s) {
    double g[TA_LOOPS_IN][TA_LOOPS_OUT], was[TA_LOOPS_OUT];
    for (uint32_t i = 0; i < s->n_in; i++) {
        for (uint32_t o = 0; o < s->n_out; o++)
            g[i][o] = (s->label[i * s->n_out + o] - score(s, i, o)) * s->weight[o] * s->rate;
    }
    for (uint32_t c = 0; c < s->width; c++) {
        for (uint32_t o = 0; o < s->n_out; o++) was[o] = s->out[o][c];
        for (uint32_t i = 0; i < s->n_in; i++) {
            double x = s->in[i][c];
            for (uint32_t o = 0; o < s->n_out; o++) {
                s->in[i][c] += g[i][o] * was[o];
                s->out[o][c] += g[i][o] * x;
            }
        }
    }
}

/* The negatives at work, by row. */
struct pool {
    const struct ta_odds *odds;
    struct ta_draw draw, picks;
    uint32_t negative, n, oldest;
    uint32_t row[64 * TA_POOL_DEPTH];
};

static void turn(struct pool *p) {
    for (uint32_t i = 0; i < (p->negative + 4) / 5; i++) {
        uint32_t at = p->n < 12 * p->negative ? p->n++ : p->oldest++ % (12 * p->negative);
        p->row[at] = ta_odds_negative(p->odds, &p->draw);
    }
}

/* A window: which rows are contexts, and which targets, how often. */
struct window {
    uint32_t n_in, n_out;
    uint32_t in[200], out[65];
    double weight[65];
};

static void choose(struct pool *p, uint32_t centre, struct window *v) {
    v->n_out = 1;
    v->out[0] = centre;
    v->weight[0] = 1;
    for (uint32_t k = 0; k < p->negative; k++) {
        uint32_t share = p->n / p->negative, i = 0;
        uint32_t row = p->row[k * share + (uint32_t)((ta_draw_u64(&p->picks) >> 32) * share >> 32)];
        if (row == centre) continue;
        while (i < v->n_out && v->out[i] != row) i++;
        v->out[i] = row;
        v->weight[i] = i < v->n_out ? v->weight[i] + 1 : 1;
        if (i == v->n_out) v->n_out++;
    }
}

static double *row_of(struct test_reference *r, const struct ta_table *table, uint32_t row) {
    size_t place = table->offset + (size_t)row * table->stride;
    r->changed[place] = true;
    return r->w + place;
}

/* Contexts s->in against all targets. */
static void targets(struct test_reference *r, const struct test_words *t, const struct window *v, struct test_step *s,
                    bool sampled) {
    for (uint32_t o = 0; o < v->n_out; o += s->n_out) {
        s->n_out = v->n_out - o < TA_LOOPS_OUT ? v->n_out - o : TA_LOOPS_OUT;
        for (uint32_t k = 0; k < s->n_out; k++) {
            s->out[k] = row_of(r, &t->spec.out, v->out[o + k]);
            s->weight[k] = v->weight[o + k];
            for (uint32_t i = 0; i < s->n_in; i++) s->label[i * s->n_out + k] = o + k == 0;
            r->pairs += (uint64_t)s->weight[k] * s->n_in;
            if (sampled) r->loss_pairs += (uint64_t)s->weight[k] * s->n_in;
        }
        if (sampled) r->loss_sum += test_step_loss(s);
        test_step_run(s);
    }
}

static void train_window(struct test_reference *r, const struct test_words *t, const struct window *v, bool sampled) {
    uint32_t width = t->spec.in.width;
    struct test_step s = {.width = width, .rate = (double)t->batch.rate};
    if (t->spec.cbow) {
        double mean[512] = {0}, now[512];
        for (uint32_t i = 0; i < v->n_in; i++) {
            const double *x = row_of(r, &t->spec.in, v->in[i]);
            for (uint32_t c = 0; c < width; c++) mean[c] += x[c] / v->n_in;
        }
        memcpy(now, mean, sizeof now);
        s.n_in = 1;
        s.in[0] = now;
        targets(r, t, v, &s, sampled);
        for (uint32_t i = 0; i < v->n_in; i++) {
            double *x = row_of(r, &t->spec.in, v->in[i]);
            for (uint32_t c = 0; c < width; c++) x[c] += now[c] - mean[c];
        }
        return;
    }
    for (uint32_t i = 0; i < v->n_in; i += s.n_in) {
        s.n_in = v->n_in - i < TA_LOOPS_IN ? v->n_in - i : TA_LOOPS_IN;
        for (uint32_t k = 0; k < s.n_in; k++) s.in[k] = row_of(r, &t->spec.in, v->in[i + k]);
        targets(r, t, v, &s, sampled);
    }
}

static uint32_t keep(const struct ta_odds *odds, const struct test_words *t, uint32_t sentence, struct ta_draw *draw,
                     uint32_t *kept) {
    uint32_t n = 0;
    *draw = ta_draw_start(t->spec.seed, t->batch.number, sentence);
    for (uint32_t i = 0; i < t->batch.length; i++) {
        uint64_t x = ta_draw_u64(draw);
        int32_t word = t->words[(size_t)sentence * t->batch.length + i];
        if (word >= 0 && (uint32_t)(x >> 32) <= odds->keep[word]) kept[n++] = (uint32_t)word;
    }
    return n;
}

static void odds_make(const struct test_words *t, struct ta_odds *odds) {
    assert_ok(ta_odds_make(t->spec.in.rows, odds));
    assert_ok(ta_odds_set(odds, t->spec.sample, t->counts));
}

void test_reference_train(struct test_reference *r, const struct test_words *t) {
    struct ta_odds odds;
    odds_make(t, &odds);
    uint32_t *kept, windows = 0;
    assert_ok(TA_NEW(&kept, t->batch.length, "a sentence"));
    struct pool p = {.odds = &odds,
                     .negative = t->spec.negative,
                     .draw = ta_draw_start(t->spec.seed, t->batch.number, ta_draw_negatives),
                     .picks = ta_draw_start(t->spec.seed, t->batch.number, ta_draw_picks)};
    while (p.n < 2 * p.negative) p.row[p.n++] = ta_odds_negative(&odds, &p.draw);
    for (uint32_t sentence = 0; sentence < t->batch.sentences; sentence++) {
        struct ta_draw draw;
        uint32_t n = keep(&odds, t, sentence, &draw, kept);
        for (uint32_t pos = 0; n > 1 && pos < n; pos++, windows++, r->centres++) {
            struct window v = {0};
            int64_t reach = ta_draw_reach(&draw, t->spec.window);
            for (int64_t q = pos - reach; q <= pos + reach; q++) {
                if (q >= 0 && q < n && q != pos) v.in[v.n_in++] = kept[q];
            }
            turn(&p);
            choose(&p, kept[pos], &v);
            train_window(r, t, &v, windows % 64 == 0);
        }
    }
    ta_mem_free(kept);
    ta_odds_free(&odds);
}

static double table_sigmoid(double f) {
    if (f >= 6) return 1;
    if (f <= -6) return 0;
    return 1 / (1 + exp(-(trunc((f + 6) * (1000 / 12.)) / 1000 * 2 - 1) * 6));
}

static void pair_by_pair(struct test_reference *r, const struct test_words *t, const struct ta_odds *odds,
                         struct ta_draw *draw, const double *x, uint32_t centre, double *change) {
    uint32_t width = t->spec.in.width;
    memset(change, 0, width * sizeof *change);
    for (uint32_t d = 0; d <= t->spec.negative; d++) {
        uint32_t target = d == 0 ? centre : ta_odds_negative(odds, draw);
        if (d > 0 && target == centre) continue;
        double *y = row_of(r, &t->spec.out, target);
        double g = ((d == 0) - table_sigmoid(dot(width, x, y))) * (double)t->batch.rate;
        for (uint32_t c = 0; c < width; c++) {
            change[c] += g * y[c];
            y[c] += g * x[c];
        }
        r->pairs++;
    }
}

static void word2vec_window(struct test_reference *r, const struct test_words *t, const struct ta_odds *odds,
                            struct ta_draw *draw, const struct window *v, uint32_t centre) {
    double mean[512] = {0}, change[512];
    uint32_t width = t->spec.in.width;
    for (uint32_t i = 0; i < v->n_in; i++) {
        double *x = row_of(r, &t->spec.in, v->in[i]);
        for (uint32_t c = 0; c < width; c++) mean[c] += x[c] / v->n_in;
        if (t->spec.cbow) continue;
        pair_by_pair(r, t, odds, draw, x, centre, change);
        for (uint32_t c = 0; c < width; c++) x[c] += change[c];
    }
    if (!t->spec.cbow) return;
    pair_by_pair(r, t, odds, draw, mean, centre, change);
    for (uint32_t i = 0; i < v->n_in; i++) {
        double *x = row_of(r, &t->spec.in, v->in[i]);
        for (uint32_t c = 0; c < width; c++) x[c] += change[c];
    }
}

void test_reference_word2vec(struct test_reference *r, const struct test_words *t) {
    struct ta_odds odds;
    odds_make(t, &odds);
    uint32_t *kept;
    assert_ok(TA_NEW(&kept, t->batch.length, "a sentence"));
    struct ta_draw negatives = ta_draw_start(t->spec.seed, t->batch.number, ta_draw_negatives), draw;
    for (uint32_t sentence = 0; sentence < t->batch.sentences; sentence++) {
        uint32_t n = keep(&odds, t, sentence, &draw, kept);
        for (uint32_t pos = 0; n > 1 && pos < n; pos++, r->centres++) {
            struct window v = {0};
            int64_t reach = ta_draw_reach(&draw, t->spec.window);
            for (int64_t q = pos - reach; q <= pos + reach; q++) {
                if (q >= 0 && q < n && q != pos) v.in[v.n_in++] = kept[q];
            }
            word2vec_window(r, t, &odds, &negatives, &v, kept[pos]);
        }
    }
    ta_mem_free(kept);
    ta_odds_free(&odds);
}

void test_reference_pairs(struct test_reference *r, const struct test_words *t, const struct ta_skipgram_pairs *pairs) {
    for (uint32_t record = 0; record < pairs->records; record++) {
        const int32_t *words = pairs->words + (size_t)record * (1 + pairs->contexts);
        if (words[0] < 0) continue;
        struct test_step s = {.n_in = 1, .width = t->spec.in.width, .rate = (double)pairs->rate};
        s.in[0] = row_of(r, &t->spec.in, (uint32_t)words[0]);
        for (uint32_t c = 0; c <= pairs->contexts; c++) {
            bool end = c == pairs->contexts, again = false;
            double *row = end || words[1 + c] < 0 ? NULL : row_of(r, &t->spec.out, (uint32_t)words[1 + c]);
            for (uint32_t o = 0; o < s.n_out; o++) again |= s.out[o] == row;
            if (s.n_out > 0 && (end || again || (row != NULL && s.n_out == TA_LOOPS_OUT))) {
                r->loss_sum += test_step_loss(&s);
                r->pairs += s.n_out;
                test_step_run(&s);
                s.n_out = 0;
            }
            if (row == NULL) continue;
            s.weight[s.n_out] = 1;
            s.label[s.n_out] = (double)pairs->labels[(size_t)record * pairs->contexts + c];
            s.out[s.n_out++] = row;
        }
        r->centres++;
    }
}
