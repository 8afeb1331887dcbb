/* skipgram: word models on a GPU: what the host keeps, copies and counts; the arithmetic is in words*.cu. */
#include "skipgram.h"

#include <math.h>
#include <string.h>

#include "cuda.h"
#include "mem.h"
#include "members.h"
#include "skipgram_check.h"
#include "skipgram_draw.h"
#include "words.h"

_Static_assert(sizeof(struct ta_words_alias) == sizeof(struct ta_alias), "the odds are copied as they are");

/* Windows at work at once: rows that many of them touch are older for each, the more there are. */
enum { BLOCKS_A_MULTIPROCESSOR = 4 };

/* Memory of both sides that a batch is copied through; grows with the batches. */
struct input {
    void *host, *device;
    size_t bytes;
};

struct ta_skipgram {
    struct ta_kernels *k;
    struct ta_skipgram_spec spec;
    bool counted; /* `counts` was called */
    struct ta_odds odds;
    uint32_t *keep;
    struct ta_words_alias *alias;
    size_t odds_bytes;      /* of keep and alias together */
    struct input words;     /* text, or pairs and labels */
    uint32_t *kept;         /* what stays of a text; [kept_bytes] with `starts` behind it */
    size_t kept_bytes;
    struct input made;      /* ta_words_result, then with `lists` a bit a row, of both tables */
    uint32_t *rows[2];      /* with `lists`: [rows] that changed */
};

static size_t bitmap_words(const struct ta_skipgram *s) { return ((size_t)s->spec.in.rows + 31) / 32; }

static void input_free(struct ta_skipgram *s, struct input *in) {
    if (in->device != NULL) s->k->gpu_ops->free(s->k->gpu, in->device);
    if (in->host != NULL) s->k->gpu_ops->host_free(s->k->gpu, in->host);
    *in = (struct input){0};
}

static ta_status input_room(struct ta_skipgram *s, struct input *in, size_t bytes, const char *what) {
    if (bytes <= in->bytes) return TA_OK;
    input_free(s, in);
    ta_status status = s->k->gpu_ops->host_alloc(s->k->gpu, bytes, what, &in->host);
    if (status == TA_OK) status = s->k->gpu_ops->alloc(s->k->gpu, bytes, what, &in->device);
    if (status == TA_OK)
        in->bytes = bytes;
    else
        input_free(s, in);
    return status;
}

static void words_destroy(struct ta_skipgram *s) {
    if (s == NULL) return;
    ta_odds_free(&s->odds);
    input_free(s, &s->words);
    input_free(s, &s->made);
    void *device[] = {s->keep, s->alias, s->kept};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) {
        if (device[i] != NULL) s->k->gpu_ops->free(s->k->gpu, device[i]);
    }
    ta_mem_free(s->rows[0]);
    ta_mem_free(s->rows[1]);
    ta_mem_free(s);
}

static ta_status allocate(struct ta_skipgram *s) {
    const size_t rows = s->spec.in.rows;
    struct ta_kernels *k = s->k;
    ta_status status = ta_odds_make(s->spec.in.rows, &s->odds);
    if (status == TA_OK)
        status = k->gpu_ops->alloc(k->gpu, rows * sizeof *s->keep, "a word model's odds", (void **)&s->keep);
    if (status == TA_OK)
        status = k->gpu_ops->alloc(k->gpu, rows * sizeof *s->alias, "a word model's odds", (void **)&s->alias);
    s->odds_bytes = rows * (sizeof *s->keep + sizeof *s->alias);
    size_t bitmaps = s->spec.lists ? 2 * bitmap_words(s) * sizeof(uint32_t) : 0;
    if (status == TA_OK)
        status = input_room(s, &s->made, sizeof(struct ta_words_result) + bitmaps, "a word model's results");
    for (int i = 0; i < 2 && status == TA_OK && s->spec.lists; i++)
        status = TA_NEW(&s->rows[i], rows, "the rows that changed");
    return status;
}

static ta_status words_create(struct ta_kernels *k, const struct ta_skipgram_spec *spec, struct ta_skipgram **out) {
    *out = NULL;
    ta_status status = ta_skipgram_check_spec(spec);
    if (status == TA_OK && spec->in.width > TA_WORDS_WIDTH)
        status = ta_fail(TA_CONFIG, "word vectors of %u numbers; on a GPU at most %d are possible: lower model.dim",
                         spec->in.width, TA_WORDS_WIDTH);
    struct ta_skipgram *s;
    if (status == TA_OK) status = TA_NEW(&s, 1, "a word model");
    if (status != TA_OK) return status;
    s->k = k;
    s->spec = *spec;
    status = allocate(s);
    if (status != TA_OK) {
        words_destroy(s);
        return status;
    }
    *out = s;
    return TA_OK;
}

static size_t words_bytes(const struct ta_skipgram *s) {
    return sizeof *s + 2 * s->odds_bytes + 2 * s->words.bytes + s->kept_bytes + 2 * s->made.bytes +
           (s->spec.lists ? 2 * (size_t)s->spec.in.rows * sizeof(uint32_t) : 0);
}

static const char *words_loops(const struct ta_skipgram *s) {
    (void)s;
    return "cuda";
}

static ta_status words_counts(struct ta_skipgram *s, const uint64_t *counts) {
    struct ta_kernels *k = s->k;
    const size_t rows = s->spec.in.rows;
    cudaStream_t stream;
    ta_status status = ta_odds_set(&s->odds, s->spec.sample, counts);
    if (status == TA_OK) status = ta_cuda_on_compute(k, &stream);
    if (status != TA_OK) return status;
    cudaError_t error =
        cudaMemcpyAsync(s->keep, s->odds.keep, rows * sizeof *s->keep, cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(s->alias, s->odds.alias, rows * sizeof *s->alias, cudaMemcpyHostToDevice, stream);
    status = ta_gpu_said(k->gpu, error, "copying a word model's odds");
    if (status == TA_OK) status = ta_cuda_settle(k);
    s->counted = status == TA_OK;
    return status;
}

/* --- a call: the input on its way, the kernels, what they made --- */

static struct ta_words_model model_of(const struct ta_skipgram *s, float *w, float rate) {
    uint32_t *bitmap = s->spec.lists ? (uint32_t *)(void *)((struct ta_words_result *)s->made.device + 1) : NULL;
    return (struct ta_words_model){.in = s->spec.in,
                                   .out = s->spec.out,
                                   .window = s->spec.window,
                                   .negative = s->spec.negative,
                                   .cbow = s->spec.cbow,
                                   .seed = s->spec.seed,
                                   .keep = s->keep,
                                   .alias = s->alias,
                                   .changed_in = bitmap,
                                   .changed_out = bitmap != NULL ? bitmap + bitmap_words(s) : NULL,
                                   .result = s->made.device,
                                   .w = w,
                                   .rate = rate};
}

/* The first `bytes` of the input, and results from 0. */
static ta_status begin(struct ta_skipgram *s, size_t bytes, cudaStream_t *stream) {
    ta_status status = ta_cuda_on_compute(s->k, stream);
    if (status != TA_OK) return status;
    cudaError_t error = cudaMemsetAsync(s->made.device, 0, s->made.bytes, *stream);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(s->words.device, s->words.host, bytes, cudaMemcpyHostToDevice, *stream);
    return ta_gpu_said(s->k->gpu, error, "copying a batch of words");
}

static size_t list(const uint32_t *bitmap, size_t words, uint32_t *rows) {
    size_t n = 0;
    for (size_t i = 0; i < words; i++) {
        for (uint32_t left = bitmap[i]; left != 0; left &= left - 1)
            rows[n++] = (uint32_t)(32 * i) + (uint32_t)__builtin_ctz(left);
    }
    return n;
}

static ta_status end(struct ta_skipgram *s, cudaStream_t stream, double rate, struct ta_skipgram_made *made) {
    const struct ta_words_result *result = s->made.host;
    const uint32_t *bitmap = (const uint32_t *)(const void *)(result + 1);
    ta_status status = ta_gpu_said(
        s->k->gpu, cudaMemcpyAsync(s->made.host, s->made.device, s->made.bytes, cudaMemcpyDeviceToHost, stream),
        "copying what a batch of words made");
    if (status == TA_OK) status = ta_cuda_settle(s->k);
    if (status != TA_OK) return status;
    made->centres = result->centres;
    made->pairs = result->pairs;
    made->loss_sum = result->loss_sum;
    made->loss_pairs = result->loss_pairs;
    if (s->spec.lists) {
        made->in_rows = s->rows[0];
        made->out_rows = s->rows[1];
        made->n_in_rows = list(bitmap, bitmap_words(s), s->rows[0]);
        made->n_out_rows = list(bitmap + bitmap_words(s), bitmap_words(s), s->rows[1]);
    }
    if (isfinite(made->loss_sum)) return TA_OK;
    return ta_fail(TA_NUMERIC, "a word's vector is not finite any more, at rate %g: lower optimizer.rate", rate);
}

/* Room for the text and what stays of it. */
static ta_status text_room(struct ta_skipgram *s, const struct ta_skipgram_batch *batch) {
    const size_t n = (size_t)batch->sentences * batch->length, bytes = n * sizeof(int32_t);
    const size_t kept = bytes + ((size_t)batch->sentences + 1) * sizeof(uint32_t);
    if (n > INT32_MAX)
        return ta_fail(TA_CONFIG, "a batch of %zu words; on a GPU at most %d are possible: lower run.batch", n,
                       INT32_MAX);
    ta_status status = input_room(s, &s->words, bytes, "a batch of words");
    if (status != TA_OK || kept <= s->kept_bytes) return status;
    if (s->kept != NULL) s->k->gpu_ops->free(s->k->gpu, s->kept);
    s->kept = NULL;
    s->kept_bytes = 0;
    status = s->k->gpu_ops->alloc(s->k->gpu, kept, "a batch of words", (void **)&s->kept);
    if (status == TA_OK) s->kept_bytes = kept;
    return status;
}

static ta_status words_train(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                             struct ta_skipgram_made *made) {
    *made = (struct ta_skipgram_made){0};
    if (!s->counted)
        return ta_fail(TA_INVALID, "a word model must know how often words are seen before it trains: call counts");
    ta_status status = ta_skipgram_check_batch(&s->spec, batch, &made->words);
    if (status == TA_OK) status = text_room(s, batch);
    if (status != TA_OK || made->words == 0) return status;
    const size_t n = (size_t)batch->sentences * batch->length;
    const struct ta_words_model m = model_of(s, w, batch->rate);
    const struct ta_words_batch device = {.words = s->words.device,
                                          .kept = s->kept,
                                          .starts = s->kept + n,
                                          .sentences = batch->sentences,
                                          .length = batch->length,
                                          .number = batch->number};
    cudaStream_t stream;
    memcpy(s->words.host, batch->words, n * sizeof *batch->words);
    status = begin(s, n * sizeof *batch->words, &stream);
    if (status == TA_OK) status = ta_gpu_said(s->k->gpu, ta_words_keep(stream, &m, &device), "leaving words out");
    if (status == TA_OK)
        status = ta_gpu_said(
            s->k->gpu, ta_words_train(stream, &m, &device, BLOCKS_A_MULTIPROCESSOR * s->k->multiprocessors),
            "training word vectors");
    return status == TA_OK ? end(s, stream, (double)batch->rate, made) : status;
}

static ta_status words_pairs(struct ta_skipgram *s, float *w, const struct ta_skipgram_pairs *batch,
                             struct ta_skipgram_made *made) {
    *made = (struct ta_skipgram_made){0};
    ta_status status = ta_skipgram_check_pairs(&s->spec, batch, &made->words);
    const size_t words = (size_t)batch->records * (1 + (size_t)batch->contexts) * sizeof *batch->words;
    const size_t labels = (size_t)batch->records * batch->contexts * sizeof *batch->labels;
    if (status == TA_OK) status = input_room(s, &s->words, words + labels, "a batch of pairs");
    if (status != TA_OK || made->words == 0) return status;
    memcpy(s->words.host, batch->words, words);
    memcpy((char *)s->words.host + words, batch->labels, labels);
    const struct ta_words_model m = model_of(s, w, batch->rate);
    const struct ta_words_pairs device = {.words = s->words.device,
                                          .labels = (const float *)(const void *)((char *)s->words.device + words),
                                          .records = batch->records,
                                          .contexts = batch->contexts};
    cudaStream_t stream;
    status = begin(s, words + labels, &stream);
    if (status == TA_OK)
        status = ta_gpu_said(
            s->k->gpu, ta_words_pairs_run(stream, &m, &device, BLOCKS_A_MULTIPROCESSOR * s->k->multiprocessors),
            "training word vectors by pairs");
    return status == TA_OK ? end(s, stream, (double)batch->rate, made) : status;
}

const struct ta_skipgram_ops ta_skipgram_cuda = {
    .name = "cuda",
    .create = words_create,
    .destroy = words_destroy,
    .bytes = words_bytes,
    .loops = words_loops,
    .counts = words_counts,
    .train = words_train,
    .pairs = words_pairs,
};
