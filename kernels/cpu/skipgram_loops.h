/* skipgram_loops: the arithmetic of a window, for the vectors of the machine: two small matrix products and a sigmoid.
 *
 * All rows here are *copies* (skipgram_near.h): 64-byte aligned, zero from the table's width to a multiple of
 * TA_LOOPS_ALIGN floats. A make is compiled from skipgram_loops.inc for AVX2 with FMA, for AVX-512 and for the baseline;
 * ta_skipgram_loops_plain is plain C and their oracle. Pure functions on the caller's memory; any thread.
 */
#ifndef TA_CPU_SKIPGRAM_LOOPS_H
#define TA_CPU_SKIPGRAM_LOOPS_H

#include <stddef.h>
#include <stdint.h>

enum {
    TA_LOOPS_IN = 16,    /* contexts a step takes at most */
    TA_LOOPS_OUT = 6,    /* targets: a centre and five negatives are one step */
    TA_LOOPS_ALIGN = 16, /* floats; a cache line */
    TA_LOOPS_FETCH = 8,  /* rows that are fetched meanwhile */
    TA_LOOPS_PAIRS = TA_LOOPS_IN * TA_LOOPS_OUT,
    TA_LOOPS_ROOM = TA_LOOPS_PAIRS + 2 * TA_LOOPS_ALIGN /* pairs, and what whole vectors touch behind them */
};

/* in [n_in] against out [n_out]: score[i][o] = sigmoid(in[i] . out[o]); g = (label - score) * scale, and then, column
 * by column, for i in order: in[i] += sum over o of g[i][o] * out[o] as it was, out[o] += g[i][o] * in[i] as it was.
 * The rows `out` are different ones; a row may stand in `in` several times, and is then seen by the later as the
 * earlier left it. A score is clamped where |in . out| > 30.
 *
 * Meanwhile the rows `fetch` come from memory, a line of each at a time: asked for all at once they would wait for each
 * other. */
struct ta_loops_step {
    uint32_t n_in, n_out, width; /* width: of the table */
    float *in[TA_LOOPS_IN], *out[TA_LOOPS_OUT];
    uint32_t n_fetch;
    const float *fetch[TA_LOOPS_FETCH]; /* width floats each, anywhere */
    const float *label, *scale;         /* [n_in * n_out], readable to TA_LOOPS_ROOM */
    _Alignas(64) float score[TA_LOOPS_ROOM], g[TA_LOOPS_ROOM];
};

struct ta_skipgram_loops {
    const char *name;
    void (*step)(struct ta_loops_step *step);
    /* CBOW: to [width] = mean of the rows; every row += now - was, in order. A row may stand there several times. */
    void (*mean)(uint32_t width, uint32_t n, float *const *rows, float *to);
    void (*spread)(uint32_t width, uint32_t n, float *const *rows, const float *was, const float *now);
    /* to = from: a row of the table and its copy, either way; n floats, a multiple of 8. */
    void (*copy)(uint32_t n, const float *from, float *to);
};

extern const struct ta_skipgram_loops ta_skipgram_loops_plain, ta_skipgram_loops_base, ta_skipgram_loops_avx2,
    ta_skipgram_loops_avx512;

#endif
