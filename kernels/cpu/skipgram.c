/* skipgram: making word models; the tables of the CPU's makes. */
#include "skipgram.h"

#include <math.h>
#include <string.h>

#include "mem.h"
#include "skipgram_check.h"
#include "skipgram_parts.h"

/* What the windows of skipgram_train.c need. */
static ta_status make_window(struct ta_skipgram *s) {
    const struct ta_skipgram_spec *spec = &s->spec;
    ta_status status = TA_NEW(&s->at, spec->length, "a sentence");
    if (status == TA_OK) status = TA_NEW(&s->context, 2 * spec->window + TA_LOOPS_IN, "a window");
    if (status == TA_OK) status = TA_NEW(&s->target, 1 + spec->negative, "a window");
    if (status == TA_OK) status = TA_NEW(&s->weight, 1 + spec->negative, "a window");
    if (status == TA_OK) status = TA_NEW(&s->index, s->out.slots, "a window");
    if (status == TA_OK) status = TA_NEW(&s->mean, 2 * s->in.stride, "a window");
    if (status == TA_OK) status = TA_NEW(&s->step, 1, "a window");
    if (status == TA_OK) status = TA_NEW(&s->label, (1 + TA_LOOPS_OUT) * TA_LOOPS_ROOM, "a window");
    if (status == TA_OK) status = TA_NEW(&s->scale, 2 * TA_LOOPS_ROOM, "a window");
    if (status != TA_OK) return status;
    s->step->width = spec->in.width;
    for (uint32_t n = 1; n <= TA_LOOPS_OUT; n++) {
        for (uint32_t i = 0; i < TA_LOOPS_IN; i++) s->label[n * TA_LOOPS_ROOM + i * n] = 1;
    }
    s->pool = (struct ta_pool){.odds = &s->odds,
                               .out = &s->out,
                               .step = s->step,
                               .negative = spec->negative,
                               .turn = ta_pool_turn_of(spec->negative),
                               .room = ta_pool_room(spec->negative)};
    return TA_OK;
}

ta_status ta_skipgram_make(const struct ta_skipgram_spec *spec, const struct ta_skipgram_loops *loops,
                           struct ta_skipgram **out) {
    *out = NULL;
    ta_status status = ta_skipgram_check_spec(spec);
    if (status != TA_OK) return status;
    struct ta_skipgram *s;
    status = TA_NEW(&s, 1, "a word model");
    if (status != TA_OK) return status;
    s->spec = *spec;
    status = ta_odds_make(spec->in.rows, &s->odds);
    if (status == TA_OK) status = TA_NEW(&s->kept, spec->length, "a sentence");
    if (status == TA_OK) status = ta_near_make(&spec->in, 2 * spec->window + 2, spec->lists, loops, &s->in);
    if (status == TA_OK)
        status = ta_near_make(&spec->out, ta_pool_room(spec->negative) + 2, spec->lists, loops, &s->out);
    if (status == TA_OK) status = make_window(s);
    if (status != TA_OK) {
        ta_skipgram_destroy(s);
        return status;
    }
    *out = s;
    return TA_OK;
}

void ta_skipgram_destroy(struct ta_skipgram *s) {
    if (s == NULL) return;
    ta_odds_free(&s->odds);
    ta_near_free(&s->in);
    ta_near_free(&s->out);
    void *blocks[] = {s->kept, s->at,   s->context, s->target, s->weight, s->index,
                      s->mean, s->step, s->label,   s->scale,  s->sigmoid};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) ta_mem_free(blocks[i]);
    ta_mem_free(s);
}

size_t ta_skipgram_bytes(const struct ta_skipgram *s) {
    return sizeof *s + s->odds.rows * (sizeof *s->odds.keep + sizeof *s->odds.alias) + ta_near_bytes(&s->in) +
           ta_near_bytes(&s->out) + s->spec.length * (sizeof *s->kept + sizeof *s->at);
}

const char *ta_skipgram_loops_name(const struct ta_skipgram *s) {
    return s->sigmoid != NULL ? "word2vec" : s->in.loops->name;
}

ta_status ta_skipgram_counts(struct ta_skipgram *s, const uint64_t *counts) {
    ta_status status = ta_odds_set(&s->odds, s->spec.sample, counts);
    if (status == TA_OK) s->counted = true;
    return status;
}

ta_status ta_skipgram_begin(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                            struct ta_skipgram_made *made) {
    *made = (struct ta_skipgram_made){0};
    if (!s->counted)
        return ta_fail(TA_INVALID, "a word model must know how often words are seen before it trains: call counts");
    ta_status status = ta_skipgram_check_batch(&s->spec, batch, &made->words);
    /* A centre, and what the pool turns over for it; what the pool holds besides. word2vec lists rows once. */
    size_t n = (size_t)made->words, stays = n * (1 + s->pool.turn) + s->out.slots;
    if (s->sigmoid != NULL) stays = s->spec.out.rows;
    if (status == TA_OK) status = ta_near_begin(&s->in, w, n);
    if (status == TA_OK) status = ta_near_begin(&s->out, w, stays);
    return status;
}

ta_status ta_skipgram_end(struct ta_skipgram *s, double rate, struct ta_skipgram_made *made) {
    made->in_rows = s->in.changed;
    made->out_rows = s->out.changed;
    made->n_in_rows = s->in.n_changed;
    made->n_out_rows = s->out.n_changed;
    if (isfinite(made->loss_sum)) return TA_OK;
    /* Nothing of it may stay in the padding of the copies. */
    memset(s->in.copies, 0, (size_t)s->in.slots * s->in.stride * sizeof(float));
    memset(s->out.copies, 0, (size_t)s->out.slots * s->out.stride * sizeof(float));
    return ta_fail(TA_NUMERIC, "a word's vector is not finite any more, at rate %g: lower optimizer.rate", rate);
}

static ta_status create_portable(struct ta_kernels *k, const struct ta_skipgram_spec *spec, struct ta_skipgram **out) {
    (void)k;
    return ta_skipgram_make(spec, &ta_skipgram_loops_plain, out);
}

static const struct ta_skipgram_loops *best(void) {
#if defined(TA_SKIPGRAM_X86)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return &ta_skipgram_loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &ta_skipgram_loops_avx2;
#endif
    return &ta_skipgram_loops_base;
}

static ta_status create_best(struct ta_kernels *k, const struct ta_skipgram_spec *spec, struct ta_skipgram **out) {
    (void)k;
    return ta_skipgram_make(spec, best(), out);
}

const struct ta_skipgram_ops ta_skipgram_portable = {
    .name = "portable",
    .create = create_portable,
    .destroy = ta_skipgram_destroy,
    .bytes = ta_skipgram_bytes,
    .loops = ta_skipgram_loops_name,
    .counts = ta_skipgram_counts,
    .train = ta_skipgram_train,
    .pairs = ta_skipgram_pairs,
};

const struct ta_skipgram_ops ta_skipgram_cpu = {
    .name = "cpu",
    .create = create_best,
    .destroy = ta_skipgram_destroy,
    .bytes = ta_skipgram_bytes,
    .loops = ta_skipgram_loops_name,
    .counts = ta_skipgram_counts,
    .train = ta_skipgram_train,
    .pairs = ta_skipgram_pairs,
};
