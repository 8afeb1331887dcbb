/* Word models on a GPU: windows against a plain reading of words.h in double precision, pairs against the reference,
 * what is counted and listed. */
#include "flat_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "gpu_cuda.h"
#include "kernels.h"
#include "mem.h"
#include "rng.h"
#include "skipgram_reference.h"

extern const struct ta_kernels_ops ta_kernels_cuda;

struct device {
    struct ta_gpu *gpu;
    struct ta_kernels *k;
};

static void device_open(struct device *d) {
    assert_ok(ta_gpu_cuda.open(0, &d->gpu));
    const struct ta_kernels_config config = {.gpu_ops = &ta_gpu_cuda, .gpu = d->gpu};
    assert_ok(ta_kernels_cuda.open(&config, &d->k));
    assert_non_null(ta_kernels_cuda.skipgram);
}

static void device_close(struct device *d) {
    ta_kernels_cuda.close(d->k);
    ta_gpu_cuda.close(d->gpu);
}

/* --- the windows of a text, read plainly --- */

struct window {
    uint32_t n_in, n_out;
    uint32_t in[200], out[65];
    double weight[65];
};

static double *row_of(struct test_reference *r, const struct ta_table *table, uint32_t row) {
    size_t place = table->offset + (size_t)row * table->stride;
    r->changed[place] = true;
    return r->w + place;
}

/* Up to 16 vectors against up to 6 targets: all by what they were. */
static void step(struct test_reference *r, const struct test_words *t, uint32_t n_in, double *const *in,
                 uint32_t n_out, const uint32_t *rows, const double *weight, bool centre, bool sampled) {
    const uint32_t width = t->spec.in.width;
    double x[16][512], y[6][512];
    for (uint32_t i = 0; i < n_in; i++) memcpy(x[i], in[i], width * sizeof **x);
    for (uint32_t o = 0; o < n_out; o++) memcpy(y[o], row_of(r, &t->spec.out, rows[o]), width * sizeof **y);
    for (uint32_t i = 0; i < n_in; i++) {
        for (uint32_t o = 0; o < n_out; o++) {
            double dot = 0, label = centre && o == 0;
            for (uint32_t c = 0; c < width; c++) dot += x[i][c] * y[o][c];
            double score = 1 / (1 + exp(-fmax(-30, fmin(30, dot)))),
                   g = (label - score) * weight[o] * (double)t->batch.rate;
            double *target = row_of(r, &t->spec.out, rows[o]);
            for (uint32_t c = 0; c < width; c++) {
                in[i][c] += g * y[o][c];
                target[c] += g * x[i][c];
            }
            r->pairs += (uint64_t)weight[o];
            if (!sampled) continue;
            r->loss_pairs += (uint64_t)weight[o];
            r->loss_sum -= weight[o] * log(label != 0 ? score : 1 - score);
        }
    }
}

static void targets(struct test_reference *r, const struct test_words *t, const struct window *v, uint32_t n_in,
                    double *const *in, bool sampled) {
    for (uint32_t o = 0; o < v->n_out; o += 6)
        step(r, t, n_in, in, v->n_out - o < 6 ? v->n_out - o : 6, v->out + o, v->weight + o, o == 0, sampled);
}

static void train_window(struct test_reference *r, const struct test_words *t, const struct window *v, bool sampled) {
    double *in[200], was[512] = {0}, now[512], *mean = now;
    for (uint32_t i = 0; i < v->n_in; i++) in[i] = row_of(r, &t->spec.in, v->in[i]);
    if (!t->spec.cbow) {
        for (uint32_t i = 0; i < v->n_in; i += 16)
            targets(r, t, v, v->n_in - i < 16 ? v->n_in - i : 16, in + i, sampled);
        return;
    }
    for (uint32_t i = 0; i < v->n_in; i++)
        for (uint32_t c = 0; c < t->spec.in.width; c++) was[c] += in[i][c] / v->n_in;
    memcpy(now, was, sizeof now);
    targets(r, t, v, 1, &mean, sampled);
    for (uint32_t i = 0; i < v->n_in; i++)
        for (uint32_t c = 0; c < t->spec.in.width; c++) in[i][c] += now[c] - was[c];
}

static void choose(const struct ta_odds *odds, struct ta_draw *draw, uint32_t negative, uint32_t centre,
                   struct window *v) {
    v->n_out = 1;
    v->out[0] = centre;
    v->weight[0] = 1;
    for (uint32_t k = 0; k < negative; k++) {
        uint32_t row = ta_odds_negative(odds, draw), i = 0;
        while (i < v->n_out && v->out[i] != row) i++;
        if (i == 0) continue;
        v->out[i] = row;
        v->weight[i] = i < v->n_out ? v->weight[i] + 1 : 1;
        v->n_out += i == v->n_out;
    }
}

static uint64_t train_plainly(struct test_reference *r, const struct test_words *t) {
    struct ta_odds odds;
    uint32_t *kept;
    uint64_t windows = 0;
    assert_ok(ta_odds_make(t->spec.in.rows, &odds));
    assert_ok(ta_odds_set(&odds, t->spec.sample, t->counts));
    assert_ok(TA_NEW(&kept, t->batch.length, "a sentence"));
    struct ta_draw negatives = ta_draw_start(t->spec.seed, t->batch.number, ta_draw_negatives);
    for (uint32_t s = 0; s < t->batch.sentences; s++) {
        struct ta_draw draw = ta_draw_start(t->spec.seed, t->batch.number, s);
        uint32_t n = ta_odds_keep(&odds, &draw, t->batch.length, t->words + (size_t)s * t->batch.length, kept);
        for (uint32_t pos = 0; n > 1 && pos < n; pos++, windows++) {
            struct window v = {0};
            int64_t reach = ta_draw_reach(&draw, t->spec.window);
            for (int64_t q = pos - reach; q <= pos + reach; q++)
                if (q >= 0 && q < n && q != pos) v.in[v.n_in++] = kept[q];
            choose(&odds, &negatives, t->spec.negative, kept[pos], &v);
            train_window(r, t, &v, windows % 64 == 0);
        }
    }
    ta_mem_free(kept);
    ta_odds_free(&odds);
    return windows;
}

/* --- the same on the device --- */

static void compare_lists(const struct test_words *t, const struct test_reference *r,
                          const struct ta_skipgram_made *made) {
    const struct {
        const struct ta_table *table;
        const uint32_t *rows;
        size_t n;
    } lists[] = {{&t->spec.in, made->in_rows, made->n_in_rows}, {&t->spec.out, made->out_rows, made->n_out_rows}};
    for (int i = 0; i < 2; i++) {
        size_t next = 0;
        for (uint32_t row = 0; row < t->spec.in.rows; row++) {
            bool listed = next < lists[i].n && lists[i].rows[next] == row;
            next += listed;
            assert_true(listed == r->changed[lists[i].table->offset + (size_t)row * lists[i].table->stride]);
        }
        assert_true(next == lists[i].n);
    }
}

/* To `off`, where rows are in [-1, 1] or so. */
static void compare_all(struct device *d, const struct test_words *t, const struct test_reference *r,
                        const float *device, const struct ta_skipgram_made *made, double off) {
    float *got = test_malloc((t->floats) * sizeof *got);
    assert_ok(ta_kernels_cuda.copy_out(d->k, got, device, t->floats * sizeof *got));
    for (size_t i = 0; i < t->floats; i++) {
        if (!(fabs((double)got[i] - r->w[i]) <= off))
            fail_msg("float %zu of %zu is %.9g, not %.9g", i, t->floats, (double)got[i], r->w[i]);
    }
    test_free(got);
    assert_true(made->centres == r->centres && made->pairs == r->pairs && made->loss_pairs == r->loss_pairs);
    assert_true(fabs(made->loss_sum - r->loss_sum) <= 5 * off * (1 + r->loss_sum));
    if (t->spec.lists) compare_lists(t, r, made);
}

/* Up to 32 windows are one block's: then all is in order on any device. */
static void check_train(struct device *d, struct ta_skipgram_spec spec, uint32_t sentences, uint64_t number) {
    struct test_words t;
    struct test_reference r;
    struct ta_skipgram *s;
    struct ta_skipgram_made made;
    const struct ta_skipgram_ops *ops = ta_kernels_cuda.skipgram;
    float *w;
    test_words_make(&t, &spec, sentences, number);
    test_reference_make(&r, &t);
    assert_ok(ta_kernels_cuda.alloc(d->k, t.floats * sizeof *w, "words", (void **)&w));
    assert_ok(ta_kernels_cuda.copy_in(d->k, w, t.w, t.floats * sizeof *w));
    assert_ok(ops->create(d->k, &t.spec, &s));
    assert_fails(TA_INVALID, "counts", ops->train(s, w, &t.batch, &made));
    assert_ok(ops->counts(s, t.counts));
    assert_ok(ops->train(s, w, &t.batch, &made));
    r.centres = train_plainly(&r, &t);
    compare_all(d, &t, &r, w, &made, r.centres <= 32 ? 2e-5 : .05);
    assert_true(ops->bytes(s) > t.floats / 100);
    ops->destroy(s);
    ta_kernels_cuda.free(d->k, w);
    test_reference_free(&r);
    test_words_free(&t);
}

static void test_windows(void **state) {
    (void)state;
    struct device d;
    device_open(&d);
    const struct ta_skipgram_spec specs[] = {
        {.in = {.rows = 50, .width = 12},
         .window = 3,
         .negative = 5,
         .length = 14,
         .sample = 0,
         .seed = 1,
         .lists = true},
        {.in = {.rows = 3, .width = 5},
         .window = 2,
         .negative = 3,
         .length = 9,
         .sample = 0,
         .seed = 2,
         .lists = true},
        {.in = {.rows = 90, .width = 130}, .window = 12, .negative = 2, .length = 33, .sample = 0, .seed = 3},
        {.in = {.rows = 40, .width = 300},
         .window = 2,
         .negative = 9,
         .length = 6,
         .sample = 0,
         .seed = 4,
         .lists = true},
        {.cbow = true,
         .in = {.rows = 50, .width = 20},
         .window = 4,
         .negative = 5,
         .length = 15,
         .seed = 5,
         .lists = true},
        {.cbow = true, .in = {.rows = 50, .width = 280}, .window = 2, .negative = 8, .length = 7, .seed = 6},
        {.in = {.rows = 60, .width = 8},
         .window = 5,
         .negative = 64,
         .length = 5,
         .sample = 0,
         .seed = 7,
         .lists = true},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        check_train(&d, specs[i], 32 / specs[i].length > 0 ? 32 / specs[i].length : 1, 10 + i);
    /* With words left out, sentences of one word or none. */
    struct ta_skipgram_spec thin = specs[0];
    thin.sample = .02;
    for (uint64_t number = 1; number < 4; number++) check_train(&d, thin, 2, number);
    /* Several blocks, in whatever order: all is counted and listed, and no row is far off. */
    check_train(&d, specs[0], 7, 5);
    check_train(&d, specs[4], 7, 6);
    device_close(&d);
}

static void test_pairs(void **state) {
    (void)state;
    struct device d;
    device_open(&d);
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct ta_skipgram_spec spec = {.in = {.rows = 60, .width = 10 + 140 * (uint32_t)(seed - 1)},
                                        .window = 1,
                                        .negative = 1,
                                        .length = 8,
                                        .seed = seed,
                                        .lists = true};
        struct test_words t;
        struct test_reference r;
        struct ta_skipgram *s;
        struct ta_skipgram_made made;
        float *w, labels[40 * 7];
        test_words_make(&t, &spec, 40, seed);
        test_reference_make(&r, &t);
        /* Every record a centre of its own and targets of its own: then their order does not matter. */
        const uint32_t records = 6;
        for (uint32_t i = 0; i < records; i++) {
            t.words[8 * i] = (int32_t)(7 * i + 1);
            for (uint32_t c = 0; c < 7; c++) {
                t.words[8 * i + 1 + c] = c == 3 && i % 2 ? t.words[8 * i + 2] : (int32_t)(7 * i + c);
                labels[7 * i + c] = (float)(c % 3) / 2;
            }
        }
        t.words[8 * 4] = -1;
        t.words[8 * 2 + 4] = -1;
        const struct ta_skipgram_pairs pairs = {t.words, labels, records, 7, .05F};
        const struct ta_skipgram_ops *ops = ta_kernels_cuda.skipgram;
        assert_ok(ta_kernels_cuda.alloc(d.k, t.floats * sizeof *w, "words", (void **)&w));
        assert_ok(ta_kernels_cuda.copy_in(d.k, w, t.w, t.floats * sizeof *w));
        assert_ok(ops->create(d.k, &t.spec, &s));
        assert_ok(ops->pairs(s, w, &pairs, &made));
        test_reference_pairs(&r, &t, &pairs);
        r.loss_pairs = r.pairs;
        compare_all(&d, &t, &r, w, &made, 2e-5);
        labels[3] = 2;
        assert_fails(TA_CONFIG, "label 3 is 2", ops->pairs(s, w, &pairs, &made));
        ops->destroy(s);
        ta_kernels_cuda.free(d.k, w);
        test_reference_free(&r);
        test_words_free(&t);
    }
    device_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_pairs),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
