/* skipgram: word vectors by skip-gram or CBOW with negative sampling; the sparse counterpart of a `net`.
 *
 * Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed representations of words and phrases and their
 * compositionality", NIPS 2013; as in word2vec.c: frequent words are left out at random (`sample`), the window of each
 * centre is 1 .. window words to either side, negatives are drawn from count^0.75, and each pair makes an SGD step on
 * -log sigmoid(in . out) or -log sigmoid(-in . out). Skip-gram: the context's vector (in) against the centre (out), as
 * word2vec.c does it; CBOW: the mean of the contexts' vectors against the centre, and each context takes the whole
 * gradient by the mean, as in word2vec.c. The negatives of a centre are shared by its whole window (Ji, Satish, Li,
 * Dubey, "Parallelizing word2vec in shared and distributed memory", IEEE TPDS 2019), so that a window is three small
 * matrix products; a make may share them further and must say so.
 *
 * `cpu` and `portable` share further: every window picks its negatives from a pool of 12 * negative rows drawn from
 * count^0.75, of which it replaces a fifth of what it picks: a negative is used by about five windows out of sixty.
 * Each window still sees the right distribution; memory traffic and the rows to exchange fall by more than half.
 * Windows are cut into steps of at most 16 contexts and 6 targets; within a step all products see the same rows, a word
 * that stands twice in a window moves twice, a negative picked twice counts twice, one that is the centre counts
 * nothing. `word2vec` draws anew for every pair and updates after every pair.
 *
 * `cuda` draws the negatives of each window anew, on the device, and trains many windows at once, each in steps of the
 * same size, 32 windows of the text in a row after each other. A row that several have at work takes the sum of what
 * they found, by atomic additions: no update is lost, but each was computed on a row that had not seen the others. How
 * many they are follows from the device, and which of two additions comes first is open: a batch of more than 32
 * windows does not give the same bits again. Rows are at most 2048 floats wide; each row that changed is listed once,
 * in order.
 *
 * Two tables of rows (struct ta_table: stride a multiple of 8 floats, 32-byte aligned), owned by the caller, updated in
 * place as the text is read: w is always the newest. Columns behind the width must be 0. Who has peers to tell asks for
 * the rows that changed (`lists`); by how much follows from w (kernels.h, rows_fold).
 *
 * Threads: as kernels.h. Same inputs, same machine, same build: same bits (but for `cuda`).
 */
#ifndef TA_SKIPGRAM_H
#define TA_SKIPGRAM_H

#include "kernels.h"

struct ta_skipgram_spec {
    bool cbow;
    struct ta_table in, out; /* equal rows, width and stride; what they start from does not matter here */
    uint32_t window;         /* 1 .. 100 */
    uint32_t negative;       /* 1 .. 64 */
    uint32_t length;         /* words of the longest sentence, 1 .. 2^20 */
    double sample;           /* 0: keep all words */
    uint64_t seed;           /* all choices follow from it and the batch's number */
    bool lists;              /* say which rows were changed */
};

struct ta_skipgram_batch {
    const int32_t *words; /* [sentences][length] rows; -1: padding, or a word that has no row (as if not there) */
    uint32_t sentences, length;
    float rate;           /* of every update; the exchange's scale included */
    uint64_t number;      /* of the batch in the run */
};

/* Explicit pairs: a centre against `contexts` rows each labelled (as TensAIR's generator makes them). */
struct ta_skipgram_pairs {
    const int32_t *words; /* [records][1 + contexts]: row of `in`, then rows of `out`; -1: left out */
    const float *labels;  /* [records][contexts], 0 .. 1 */
    uint32_t records, contexts;
    float rate;
};

struct ta_skipgram_made {
    uint64_t words;   /* read that have a row, before sub-sampling */
    uint64_t centres; /* that were trained on */
    uint64_t pairs;   /* (context, target) products */
    double loss_sum;  /* of `loss_pairs` of the pairs (every 64th window's; all of `pairs`), before their update */
    uint64_t loss_pairs;
    /* With `lists`: exactly the rows changed, each about as often as it came into use (word2vec: once); valid until the
     * next call. */
    const uint32_t *in_rows, *out_rows;
    size_t n_in_rows, n_out_rows;
};

struct ta_skipgram;

struct ta_skipgram_ops {
    const char *name; /* "cpu", "portable", "word2vec", "cuda" */
    /* Errors: CONFIG (which number), NO_MEMORY. */
    ta_status (*create)(struct ta_kernels *k, const struct ta_skipgram_spec *spec, struct ta_skipgram **out);
    void (*destroy)(struct ta_skipgram *s); /* NULL is fine */
    size_t (*bytes)(const struct ta_skipgram *s);
    /* What runs: "avx2", "avx512", "base", "portable", "word2vec", "cuda". */
    const char *(*loops)(const struct ta_skipgram *s);
    /* How often each row's word is seen [rows]: decides who is left out and who is drawn. Rows with 0 are never drawn.
     * Must be called before train; may be called again when the vocabulary has moved on. Errors: CONFIG (all are 0). */
    ta_status (*counts)(struct ta_skipgram *s, const uint64_t *counts);
    /* w: the arena, where the weights live; up to date when the call returns. A word number outside the table is
     * CONFIG, naming sentence and place, and so is a rate outside 0 .. 1e6; NO_MEMORY: for the lists of the first batch
     * of this size; INVALID: before counts. Nothing was changed then. NUMERIC: a sampled vector is no longer finite
     * (what to lower is said). */
    ta_status (*train)(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                       struct ta_skipgram_made *made);
    /* Each record's contexts in order, in steps of at most 6 different rows. Needs no counts. Errors: as train; CONFIG
     * also for a label outside 0 .. 1. */
    ta_status (*pairs)(struct ta_skipgram *s, float *w, const struct ta_skipgram_pairs *batch,
                       struct ta_skipgram_made *made);
};

/* The CPU's makes; ta_kernels_cpu.skipgram is the fastest that this processor runs. */
extern const struct ta_skipgram_ops ta_skipgram_cpu;      /* chooses avx512, avx2 or base when created */
extern const struct ta_skipgram_ops ta_skipgram_portable; /* the same arithmetic in plain C: the oracle of the others */
extern const struct ta_skipgram_ops ta_skipgram_word2vec; /* word2vec.c's loop, pair by pair: the yardstick */

#endif
