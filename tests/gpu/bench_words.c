/* bench_words: word vectors on a GPU: words a second, and the memory traffic that its rows make, counted, beside a copy
 * within the device in the same run; one core of the CPU for scale. Words are drawn as in a language (Zipf's law):
 * 200,000 of them, 128 numbers each, which no cache holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "mem.h"
#include "rng.h"
#include "skipgram.h"

enum { DIM = 128, NEGATIVE = 5, WINDOW = 5, BATCHES = 4, ROUNDS = 5 };

struct words {
    struct bench_gpu *b;
    uint32_t rows, sentences, length;
    uint64_t *counts;
    int32_t *text[BATCHES];
    char *copies[2]; /* for the copy */
    size_t copy_bytes;
};

/* One make at work. */
struct side {
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    struct ta_skipgram *skipgram;
    float *w;
    uint64_t batches, words, centres, pairs;
    double seconds;
};

static ta_status make_text(struct words *t) {
    double *upto = NULL, total = 0;
    ta_status status = TA_NEW(&t->counts, t->rows, "counts");
    if (status == TA_OK) status = TA_NEW(&upto, t->rows, "shares");
    for (uint32_t r = 0; r < t->rows && status == TA_OK; r++) {
        upto[r] = total += 1.0 / (r + 2.7);
        t->counts[r] = 1 + (uint64_t)(1e8 / (r + 2.7));
    }
    struct ta_rng rng = ta_rng_make(3, 1);
    for (unsigned b = 0; b < BATCHES && status == TA_OK; b++) {
        status = TA_NEW(&t->text[b], (size_t)t->sentences * t->length, "text");
        for (size_t i = 0; i < (size_t)t->sentences * t->length && status == TA_OK; i++) {
            double at = total * (ta_rng_below(&rng, UINT32_C(1) << 31) / 2147483648.0);
            uint32_t low = 0, high = t->rows - 1;
            while (low < high) {
                uint32_t middle = (low + high) / 2;
                if (upto[middle] < at)
                    low = middle + 1;
                else
                    high = middle;
            }
            t->text[b][i] = (int32_t)low;
        }
    }
    ta_mem_free(upto);
    return status;
}

static ta_status side_open(struct words *t, struct side *s, const char *name, const struct ta_kernels_config *config) {
    ta_status status = ta_kernels_find(name, &s->ops);
    if (status == TA_OK && s->ops->skipgram == NULL)
        status = ta_fail(TA_FAILED, "kernels '%s' have no word vectors", name);
    if (status == TA_OK) status = s->ops->open(config, &s->kernels);
    if (status != TA_OK) return status;
    size_t table = (size_t)t->rows * DIM;
    struct ta_skipgram_spec spec = {.in = {0, t->rows, DIM, DIM, 0.5F / DIM},
                                    .out = {table, t->rows, DIM, DIM, 0},
                                    .window = WINDOW,
                                    .negative = NEGATIVE,
                                    .length = t->length,
                                    .sample = 1e-4,
                                    .seed = 5};
    float *host = NULL;
    status = TA_NEW(&host, 2 * table, "vectors");
    struct ta_rng rng = ta_rng_make(9, 1);
    for (size_t i = 0; i < table && status == TA_OK; i++)
        host[i] = ((float)ta_rng_below(&rng, 65536) / 65536.0F - 0.5F) / DIM;
    if (status == TA_OK) status = s->ops->alloc(s->kernels, 2 * table * sizeof(float), "vectors", (void **)&s->w);
    if (status == TA_OK) status = s->ops->copy_in(s->kernels, s->w, host, 2 * table * sizeof(float));
    if (status == TA_OK) status = s->ops->skipgram->create(s->kernels, &spec, &s->skipgram);
    if (status == TA_OK) status = s->ops->skipgram->counts(s->skipgram, t->counts);
    ta_mem_free(host);
    return status;
}

static void side_close(struct side *s) {
    if (s->kernels == NULL) return;
    s->ops->skipgram->destroy(s->skipgram);
    s->ops->free(s->kernels, s->w);
    s->ops->close(s->kernels);
}

static ta_status train(struct words *t, struct side *s, uint32_t sentences) {
    struct ta_skipgram_batch batch = {.words = t->text[s->batches % BATCHES],
                                      .sentences = sentences,
                                      .length = t->length,
                                      .rate = 0.025F,
                                      .number = s->batches};
    struct ta_skipgram_made made;
    int64_t start = ta_clock_now_ns();
    ta_status status = s->ops->skipgram->train(s->skipgram, s->w, &batch, &made);
    s->seconds += (double)(ta_clock_now_ns() - start) * 1e-9;
    s->batches++;
    if (status != TA_OK) return status;
    s->words += made.words;
    s->centres += made.centres;
    s->pairs += made.pairs;
    if (made.loss_pairs > 0 && !isfinite(made.loss_sum)) return ta_fail(TA_NUMERIC, "the loss is not finite");
    return TA_OK;
}

static void forget(struct side *s) {
    s->words = s->centres = s->pairs = 0;
    s->seconds = 0;
}

static ta_status copy_rate(struct words *t, double *bytes_per_s) {
    const struct ta_gpu_ops *ops = t->b->gpu_ops;
    ta_status status = ops->drain(t->b->gpu);
    int64_t start = ta_clock_now_ns();
    for (unsigned i = 0; i < 8 && status == TA_OK; i++)
        status = ops->copy(t->b->gpu, TA_GPU_COPY, t->copies[1], t->copies[0], t->copy_bytes);
    if (status == TA_OK) status = ops->drain(t->b->gpu);
    *bytes_per_s = 16.0 * (double)t->copy_bytes / ((double)(ta_clock_now_ns() - start) * 1e-9);
    return status;
}

static ta_status measure(struct words *t, struct side *gpu, struct side *cpu) {
    double rates[ROUNDS], shares[ROUNDS], copied;
    ta_status status = train(t, gpu, t->sentences);
    if (status == TA_OK) status = train(t, cpu, 1 + t->sentences / 64);
    if (status == TA_OK) status = copy_rate(t, &copied);
    for (unsigned r = 0; r < ROUNDS && status == TA_OK; r++) {
        forget(gpu);
        int64_t start = ta_clock_now_ns();
        for (unsigned i = 0; i < BATCHES && status == TA_OK; i++) status = train(t, gpu, t->sentences);
        if (status == TA_OK) status = t->b->gpu_ops->drain(t->b->gpu);
        gpu->seconds = (double)(ta_clock_now_ns() - start) * 1e-9;
        if (status == TA_OK) status = copy_rate(t, &copied);
        /* What must move: each context's row and each target's, read and written. */
        double rows = (double)gpu->pairs / (1 + NEGATIVE) + (double)gpu->centres * (1 + NEGATIVE);
        rates[r] = (double)gpu->words / gpu->seconds;
        shares[r] = 2.0 * rows * DIM * sizeof(float) / gpu->seconds / copied;
    }
    if (status != TA_OK) return status;
    forget(cpu);
    status = train(t, cpu, 1 + t->sentences / 32);
    bench_figure("words_per_s", bench_median(rates, ROUNDS), "words/s");
    bench_figure("words_share_of_copy", bench_median(shares, ROUNDS), "ratio");
    bench_figure("words_vs_one_core", bench_median(rates, ROUNDS) / ((double)cpu->words / cpu->seconds), "ratio");
    return status;
}

int main(int argc, char **argv) {
    struct bench_gpu b = {0};
    struct side gpu = {0}, cpu = {0};
    ta_status status = bench_open(&b, argc, argv);
    struct words t = {.b = &b,
                      .rows = b.quick ? 500 : 200000,
                      .sentences = b.quick ? 4 : 2048,
                      .length = b.quick ? 20 : 256,
                      .copy_bytes = b.quick ? 4096 : (size_t)256 << 20};
    if (status == TA_OK) status = make_text(&t);
    for (unsigned i = 0; i < 2 && status == TA_OK; i++)
        status = b.gpu_ops->alloc(b.gpu, t.copy_bytes, "a copy", (void **)&t.copies[i]);
    struct ta_kernels_config config = {.gpu_ops = b.gpu_ops, .gpu = b.gpu};
    if (status == TA_OK) status = side_open(&t, &gpu, "cuda", &config);
    if (status == TA_OK) status = side_open(&t, &cpu, "cpu", &(struct ta_kernels_config){.threads = 1});
    if (status == TA_OK) status = measure(&t, &gpu, &cpu);
    side_close(&cpu);
    side_close(&gpu);
    for (unsigned i = 0; i < 2 && b.gpu != NULL; i++) b.gpu_ops->free(b.gpu, t.copies[i]);
    for (unsigned i = 0; i < BATCHES; i++) ta_mem_free(t.text[i]);
    ta_mem_free(t.counts);
    return bench_end(&b, status);
}
