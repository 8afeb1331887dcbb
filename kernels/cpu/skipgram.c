/* skipgram: making word models, looking at what they are given; the tables of the CPU's makes. */
#include "skipgram.h"

#include <math.h>
#include <string.h>

#include "mem.h"
#include "skipgram_parts.h"

static ta_status check_table(const struct ta_table *t, const char *name) {
    if (t->rows == 0 || t->rows > INT32_MAX)
        return ta_fail(TA_CONFIG, "the %s table has %u rows; 1 to %d are possible", name, t->rows, INT32_MAX);
    if (t->width == 0 || t->stride < t->width || t->stride % 8 != 0 || t->stride > 1U << 20)
        return ta_fail(
            TA_CONFIG,
            "the %s table's rows are %u floats wide and %u apart; the distance must be a multiple of 8, at least "
            "the width and at most 2^20",
            name, t->width, t->stride);
    if (t->offset % 16 != 0)
        return ta_fail(TA_CONFIG, "the %s table starts at float %zu, which is no multiple of 16", name, t->offset);
    return TA_OK;
}

static ta_status check_number(const char *name, uint32_t value, uint32_t most) {
    if (value >= 1 && value <= most) return TA_OK;
    return ta_fail(TA_CONFIG, "%s of a word model is %u; 1 to %u are possible", name, value, most);
}

static ta_status check_spec(const struct ta_skipgram_spec *spec) {
    const struct ta_table *in = &spec->in, *out = &spec->out;
    ta_status status = check_table(in, "input");
    if (status == TA_OK) status = check_table(out, "output");
    if (status != TA_OK) return status;
    if (in->rows != out->rows || in->width != out->width || in->stride != out->stride)
        return ta_fail(TA_CONFIG,
                       "the input table has %u rows of %u floats %u apart, the output table %u of %u, %u apart: "
                       "they must be alike",
                       in->rows, in->width, in->stride, out->rows, out->width, out->stride);
    size_t size = (size_t)in->rows * in->stride;
    if (in->offset < out->offset + size && out->offset < in->offset + size)
        return ta_fail(TA_CONFIG, "two tables of %zu floats that start at floats %zu and %zu overlap", size, in->offset,
                       out->offset);
    status = check_number("`window`", spec->window, 100);
    if (status == TA_OK) status = check_number("`negative`", spec->negative, 64);
    if (status == TA_OK) status = check_number("the longest sentence", spec->length, 1U << 20);
    if (status == TA_OK && !(spec->sample >= 0 && spec->sample <= 1))
        status =
            ta_fail(TA_CONFIG, "`sample` of a word model is %g; 0 (keep all words) to 1 are possible", spec->sample);
    return status;
}

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
    ta_status status = check_spec(spec);
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

static ta_status check_words(const struct ta_skipgram *s, const struct ta_skipgram_batch *batch, uint64_t *words) {
    size_t n = (size_t)batch->sentences * batch->length, have = 0;
    uint32_t rows = s->spec.in.rows, worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t word = (uint32_t)batch->words[i] + 1;
        worst = word > worst ? word : worst;
        have += word != 0;
    }
    *words = have;
    if (worst <= rows) return TA_OK;
    size_t i = 0;
    while ((uint32_t)batch->words[i] + 1 <= rows) i++;
    return ta_fail(TA_CONFIG,
                   "sentence %zu, word %zu of the batch is row %d; the table has rows 0 to %u (-1: none): is the "
                   "text numbered by another vocabulary?",
                   i / batch->length, i % batch->length, batch->words[i], rows - 1);
}

ta_status ta_skipgram_begin(struct ta_skipgram *s, float *w, const struct ta_skipgram_batch *batch,
                            struct ta_skipgram_made *made) {
    *made = (struct ta_skipgram_made){0};
    if (!s->counted)
        return ta_fail(TA_INVALID, "a word model must know how often words are seen before it trains: call counts");
    if (batch->length > s->spec.length)
        return ta_fail(TA_CONFIG, "sentences of %u words are longer than %u, for which the model was made",
                       batch->length, s->spec.length);
    if (!(batch->rate >= 0 && batch->rate <= 1e6F))
        return ta_fail(TA_CONFIG, "a rate of %g is no number from 0 to 1e6", (double)batch->rate);
    ta_status status = check_words(s, batch, &made->words);
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
