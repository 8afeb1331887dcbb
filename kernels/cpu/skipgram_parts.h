/* skipgram_parts: the inside of the CPU's word models, shared by the files of this folder only. */
#ifndef TA_CPU_SKIPGRAM_PARTS_H
#define TA_CPU_SKIPGRAM_PARTS_H

#include "skipgram.h"
#include "skipgram_draw.h"
#include "skipgram_loops.h"
#include "skipgram_near.h"
#include "skipgram_pool.h"

struct ta_skipgram {
    struct ta_skipgram_spec spec;
    bool counted; /* `counts` was called */
    struct ta_odds odds;
    uint32_t *kept;         /* [length] rows of the sentence's words that stay */
    struct ta_near in, out; /* copies of rows at work, of both tables */

    /* The window at work (skipgram_train.c). */
    struct ta_pool pool;
    uint16_t *at;     /* [length] slots of `in` */
    float **context;  /* [2 * window], readable to TA_LOOPS_IN beyond */
    uint32_t *target; /* [1 + negative] slots of `out`, different ones */
    float *weight;    /* [1 + negative] how often each was picked */
    uint32_t *index;  /* [slots of out] where in `target` a slot may stand */
    float *mean;      /* CBOW: two rows */
    struct ta_loops_step *step;
    float *label;     /* [1 + TA_LOOPS_OUT][TA_LOOPS_ROOM] of a step with n targets, first the centre; [0]: all 0 */
    float *scale;     /* [TA_LOOPS_ROOM] the rate; [TA_LOOPS_ROOM] the rate by weights */
    uint64_t windows; /* of this call */

    float *sigmoid; /* word2vec.c's table */
};

/* Errors: CONFIG (which number), NO_MEMORY. */
ta_status ta_skipgram_make(const struct ta_skipgram_spec *spec, const struct ta_skipgram_loops *loops,
                           struct ta_skipgram **out);
void ta_skipgram_destroy(struct ta_skipgram *s);
size_t ta_skipgram_bytes(const struct ta_skipgram *s);
const char *ta_skipgram_loops_name(const struct ta_skipgram *s);
ta_status ta_skipgram_counts(struct ta_skipgram *s, const uint64_t *counts);

/* What every train does first: looks at the batch, clears what was made, opens the lists. */
ta_status ta_skipgram_begin(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                            struct ta_skipgram_made *made);
/* ... and last: closes the lists; NUMERIC when the sampled loss is not finite. */
ta_status ta_skipgram_end(struct ta_skipgram *s, double rate, struct ta_skipgram_made *made);

ta_status ta_skipgram_train(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                            struct ta_skipgram_made *made);
ta_status ta_skipgram_pairs(struct ta_skipgram *s, float *w, const struct ta_skipgram_pairs *batch,
                            struct ta_skipgram_made *made);

#endif
