/* words: the kernels of word models, as calls of C for skipgram.c; flat.h says how such calls behave.
 *
 * First the words that stay are put together, sentence by sentence, and windows numbered through the batch; then
 * blocks take TA_WORDS_CHUNK windows at a time, one after another, many blocks at once. All choices are made as
 * skipgram_draw.h says: the words that stay and the reach of windows are the CPU's; negative k of window g is number
 * g * negative + k of its stream. */
#ifndef TA_CUDA_WORDS_H
#define TA_CUDA_WORDS_H

#include <cuda_runtime_api.h>

#include "skipgram.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TA_WORDS_IN = 16,     /* contexts and targets of a step, as on the CPU */
    TA_WORDS_OUT = 6,
    TA_WORDS_CHUNK = 32,
    TA_WORDS_WIDTH = 2048, /* of a row, at most: a vector at work has to fit into a block's shared memory twice */
};

struct ta_words_result {
    double loss_sum;
    unsigned long long loss_pairs, pairs, centres;
};

/* struct ta_alias (skipgram_draw.h). */
struct ta_words_alias {
    uint32_t share, other;
};

/* Pointers are to GPU memory. */
struct ta_words_model {
    struct ta_table in, out;
    uint32_t window, negative;
    bool cbow;
    uint64_t seed;
    const uint32_t *keep;               /* [rows] */
    const struct ta_words_alias *alias; /* [rows] */
    uint32_t *changed_in, *changed_out; /* [rows] bits, set where a row changes; NULL: nobody asks */
    struct ta_words_result *result;     /* added to */
    float *w;
    float rate;
};

struct ta_words_batch {
    const int32_t *words; /* [sentences][length] */
    uint32_t *kept;       /* [sentences][length] */
    uint32_t *starts;     /* [sentences + 1] windows before each sentence; sentences * length < 2^31 */
    uint32_t sentences, length;
    uint64_t number;
};

cudaError_t ta_words_keep(cudaStream_t stream, const struct ta_words_model *m, const struct ta_words_batch *batch);
/* `blocks`: at once, at most. */
cudaError_t ta_words_train(cudaStream_t stream, const struct ta_words_model *m, const struct ta_words_batch *batch,
                           uint32_t blocks);

struct ta_words_pairs {
    const int32_t *words; /* [records][1 + contexts] */
    const float *labels;  /* [records][contexts] */
    uint32_t records, contexts;
};
cudaError_t ta_words_pairs_run(cudaStream_t stream, const struct ta_words_model *m, const struct ta_words_pairs *pairs,
                               uint32_t blocks);

#ifdef __cplusplus
}
#endif

#endif
