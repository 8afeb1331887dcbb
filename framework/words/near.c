/* near: a product of matrices in tiles of 6 questions by 16 words, the widest that 16 vector registers hold. A block of
 * words is normalised and laid out word beside word (panel[k][16]) once, then meets every question while it is in the
 * second cache. */
#include "near.h"

#include <math.h>
#include <string.h>

#include "mem.h"

enum { LANES = 16, TILE = 6, BLOCK_WORDS = 512, BLOCK_BYTES = 1 << 18 };

typedef void product_of(const float *const *questions, const float *panel, size_t dim, float out[TILE][LANES]);

/* The sums of a tile stay in registers: TILE * N vectors. Loops over constants are unrolled by the compiler; the
 * product has a statement of its own, so that no compiler fuses it with the sum. Both arrays begin at a multiple of 64
 * bytes. */
#define PRODUCT(name, isa, bytes)                                                                                      \
    isa static void name(const float *const *questions, const float *panel, size_t dim, float out[TILE][LANES]) {      \
        typedef float vector __attribute__((vector_size(bytes), may_alias));                                           \
        enum { N = LANES * sizeof(float) / (bytes) };                                                                  \
        vector sum[TILE][N] = {0}, *to = (vector *)(void *)out;                                                        \
        const vector *words = (const vector *)(const void *)panel;                                                     \
        for (size_t k = 0; k < dim; k++, words += N)                                                                   \
            for (int i = 0; i < TILE; i++)                                                                             \
                for (int j = 0; j < N; j++) {                                                                          \
                    vector product = questions[i][k] * words[j];                                                       \
                    sum[i][j] += product;                                                                              \
                }                                                                                                      \
        for (int i = 0; i < TILE; i++)                                                                                 \
            for (int j = 0; j < N; j++) to[i * N + j] = sum[i][j];                                                     \
    }

PRODUCT(product_any, , 16)
#if defined(__x86_64__)
PRODUCT(product_avx2, __attribute__((target("avx2"))), 32)
PRODUCT(product_avx512, __attribute__((target("avx512f"))), 64)
#endif

static product_of *widest(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return product_avx512;
    if (__builtin_cpu_supports("avx2")) return product_avx2;
#endif
    return product_any;
}

struct job {
    const struct ta_near *near;
    struct ta_near_answer *answers;
    product_of *product;
    float *panels;   /* [block / LANES][dim][LANES] */
    float *unit;     /* [dim] */
    size_t first, n; /* words of this block */
};

static void pack(struct job *job) {
    uint32_t dim = job->near->vectors->dim;
    size_t panels = (job->n + LANES - 1) / LANES;
    memset(job->panels, 0, panels * LANES * dim * sizeof *job->panels);
    for (size_t i = 0; i < job->n; i++) {
        float *panel = job->panels + i / LANES * LANES * dim + i % LANES;
        ta_vectors_unit(job->near->vectors, job->near->words[job->first + i], job->unit);
        for (uint32_t k = 0; k < dim; k++) panel[(size_t)k * LANES] = job->unit[k];
    }
}

static void keep(struct ta_near_answer *best, unsigned top, struct ta_near_answer one) {
    unsigned at = top - 1;
    for (; at > 0 && one.score > best[at - 1].score; at--) best[at] = best[at - 1];
    best[at] = one;
}

/* Looks at 16 scores of one question; nearly always none of them is good enough. */
static void look(const struct job *job, size_t question, size_t word, const float scores[LANES]) {
    const struct ta_near *near = job->near;
    struct ta_near_answer *best = job->answers + question * near->top;
    float least = best[near->top - 1].score;
    int any = 0;
    for (int j = 0; j < LANES; j++) any |= scores[j] > least;
    if (!any) return;
    size_t left = job->n - word, n = left < LANES ? left : LANES;
    for (size_t j = 0; j < n; j++) {
        uint32_t row = near->words[job->first + word + j];
        const uint32_t *but = near->but[question];
        if (scores[j] > best[near->top - 1].score && row != but[0] && row != but[1] && row != but[2])
            keep(best, near->top, (struct ta_near_answer){.row = row, .score = scores[j]});
    }
}

static void meet(const struct job *job) {
    const struct ta_near *near = job->near;
    size_t dim = near->vectors->dim;
    _Alignas(64) float scores[TILE][LANES];
    for (size_t q = 0; q < near->n_questions; q += TILE) {
        const float *questions[TILE]; /* the last tile may be short: its last question fills it */
        size_t n = near->n_questions - q < TILE ? near->n_questions - q : TILE;
        for (size_t i = 0; i < TILE; i++) questions[i] = near->questions + (q + (i < n ? i : n - 1)) * dim;
        for (size_t word = 0; word < job->n; word += LANES) {
            job->product(questions, job->panels + word * dim, dim, scores);
            for (size_t i = 0; i < n; i++) look(job, q + i, word, scores[i]);
        }
    }
}

ta_status ta_near_find(const struct ta_near *near, struct ta_near_answer *answers) {
    struct job job = {.near = near, .answers = answers, .product = widest()};
    size_t dim = near->vectors->dim, block = BLOCK_BYTES / (dim * sizeof(float)) / LANES * LANES;
    if (block < LANES) block = LANES;
    if (block > BLOCK_WORDS) block = BLOCK_WORDS;
    ta_status status = TA_NEW(&job.panels, block * dim, "a block of words");
    if (status == TA_OK) status = TA_NEW(&job.unit, dim, "a vector");
    for (size_t i = 0; i < near->n_questions * near->top; i++)
        answers[i] = (struct ta_near_answer){.row = TA_NEAR_NOBODY, .score = -INFINITY};
    for (; job.first < near->n_words && status == TA_OK; job.first += block) {
        job.n = near->n_words - job.first < block ? near->n_words - job.first : block;
        pack(&job);
        meet(&job);
    }
    ta_mem_free(job.unit);
    ta_mem_free(job.panels);
    return status;
}
