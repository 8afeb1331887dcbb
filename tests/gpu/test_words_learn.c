/* Word models on a GPU: a small text is learned as well as on the CPU; what is refused. */
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
#include "skipgram.h"

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

enum { TOPICS = 4, EACH = 10, LENGTH = 10, SENTENCES = 16, DIM = 16, EPOCHS = 12 };

struct lesson {
    struct ta_skipgram_spec spec;
    uint64_t counts[TOPICS * EACH];
    int32_t words[SENTENCES * LENGTH];
    float *w;
    size_t floats;
};

/* Every sentence keeps to a topic's words. */
static struct lesson make_lesson(void) {
    struct lesson l = {.spec = {.in = {0, TOPICS * EACH, DIM, DIM, 0},
                                .out = {(size_t)TOPICS * EACH * DIM, TOPICS * EACH, DIM, DIM, 0},
                                .window = 3,
                                .negative = 5,
                                .length = LENGTH,
                                .seed = 5}};
    struct ta_rng rng = ta_rng_make(1, 1);
    l.floats = 2 * (size_t)TOPICS * EACH * DIM;
    l.w = test_malloc(l.floats * sizeof *l.w);
    memset(l.w, 0, l.floats * sizeof *l.w);
    test_fill(l.floats / 2, 3, -.5F, .5F, l.w);
    for (unsigned i = 0; i < SENTENCES * LENGTH; i++) {
        uint32_t word = i / LENGTH % TOPICS * EACH + ta_rng_below(&rng, EACH);
        l.words[i] = (int32_t)word;
        l.counts[word]++;
    }
    for (unsigned i = 0; i < TOPICS * EACH; i++) l.counts[i]++;
    return l;
}

static void learn(const struct ta_skipgram_ops *ops, struct ta_kernels *k, const struct lesson *l, float *w) {
    struct ta_skipgram *s;
    struct ta_skipgram_made made;
    assert_ok(ops->create(k, &l->spec, &s));
    assert_ok(ops->counts(s, l->counts));
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        const struct ta_skipgram_batch batch = {l->words, SENTENCES, LENGTH, .1F, epoch};
        assert_ok(ops->train(s, w, &batch, &made));
        assert_true(made.words == SENTENCES * LENGTH && made.centres == made.words && made.loss_pairs > 0);
    }
    ops->destroy(s);
}

/* What the model should make small: -log sigmoid(in . out) over words of a topic, and over all words, as often as there
 * are negatives, -log sigmoid(-in . out); by the pair. */
static double objective(const struct lesson *l, const float *w) {
    const float *out = w + (size_t)TOPICS * EACH * DIM;
    double near = 0, all = 0, n = TOPICS * EACH;
    for (int i = 0; i < TOPICS * EACH; i++) {
        for (int j = 0; j < TOPICS * EACH; j++) {
            double dot = 0;
            for (int c = 0; c < DIM; c++) dot += (double)w[i * DIM + c] * (double)out[j * DIM + c];
            if (i / EACH == j / EACH) near += log1p(exp(-dot));
            all += log1p(exp(dot));
        }
    }
    return (near / (n * EACH) + l->spec.negative * all / (n * n)) / (1 + l->spec.negative);
}

static void test_learning(void **state) {
    (void)state;
    struct device d;
    struct lesson l = make_lesson();
    device_open(&d);
    float *w, *host = test_malloc(l.floats * sizeof *host);
    assert_ok(ta_kernels_cuda.alloc(d.k, l.floats * sizeof *w, "words", (void **)&w));
    assert_ok(ta_kernels_cuda.copy_in(d.k, w, l.w, l.floats * sizeof *w));
    double before = objective(&l, l.w);
    learn(ta_kernels_cuda.skipgram, d.k, &l, w);
    assert_ok(ta_kernels_cuda.copy_out(d.k, host, w, l.floats * sizeof *w));
    learn(&ta_skipgram_portable, NULL, &l, l.w);
    double gpu = objective(&l, host), cpu = objective(&l, l.w);
    print_message("objective: %g on the device, %g on the CPU, before %g\n", gpu, cpu, before);
    assert_true(gpu < 1.05 * cpu && gpu < .7 * before);
    ta_kernels_cuda.free(d.k, w);
    test_free(host);
    test_free(l.w);
    device_close(&d);
}

static void test_bad(void **state) {
    (void)state;
    struct device d;
    struct lesson l = make_lesson();
    struct ta_skipgram *s;
    struct ta_skipgram_made made;
    const struct ta_skipgram_ops *ops = ta_kernels_cuda.skipgram;
    device_open(&d);
    struct ta_skipgram_spec wide = l.spec;
    wide.in.width = wide.in.stride = wide.out.width = wide.out.stride = 4096;
    wide.out.offset = (size_t)4096 * TOPICS * EACH;
    assert_fails(TA_CONFIG, "at most 2048", ops->create(d.k, &wide, &s));
    wide = l.spec;
    wide.window = 0;
    assert_fails(TA_CONFIG, "`window`", ops->create(d.k, &wide, &s));
    float *w;
    assert_ok(ta_kernels_cuda.alloc(d.k, l.floats * sizeof *w, "words", (void **)&w));
    assert_ok(ops->create(d.k, &l.spec, &s));
    assert_ok(ops->counts(s, l.counts));
    struct ta_skipgram_batch batch = {l.words, 2, LENGTH, .1F, 0};
    l.words[LENGTH + 3] = TOPICS * EACH;
    assert_fails(TA_CONFIG, "sentence 1, word 3", ops->train(s, w, &batch, &made));
    for (int i = 0; i < 2 * LENGTH; i++) l.words[i] = -1;
    assert_ok(ops->train(s, w, &batch, &made));
    assert_true(made.words == 0 && made.centres == 0 && made.loss_pairs == 0);
    l.words[0] = l.words[1] = 1;
    for (size_t i = 0; i < l.floats; i++) l.w[i] = i % 2 ? NAN : 1;
    assert_ok(ta_kernels_cuda.copy_in(d.k, w, l.w, l.floats * sizeof *w));
    assert_fails(TA_NUMERIC, "not finite", ops->train(s, w, &batch, &made));
    ops->destroy(s);
    ta_kernels_cuda.free(d.k, w);
    test_free(l.w);
    device_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_bad),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
