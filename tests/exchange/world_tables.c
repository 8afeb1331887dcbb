/* world_tables: tables of rows and names in the world of the exchange's tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

enum { WIDTH = 5, STRIDE = 8, NAME_WORDS = 8, MOST_TOUCHED = 12 };

static void add_table(struct world *w, enum ta_segment_kind kind, uint32_t width, float range) {
    struct ta_model *m = &w->model;
    size_t offset = (m->n_params + 15) / 16 * 16, count = (size_t)w->config.tables.rows * STRIDE;
    m->segments[m->n_segments++] = (struct ta_segment){
        .kind = kind, .offset = offset, .count = count,
        .table = {.offset = offset, .rows = w->config.tables.rows, .width = width, .stride = STRIDE, .range = range},
    };
    m->n_params = offset + count;
}

void world_tables_shape(struct world *w) {
    const struct world_tables *t = &w->config.tables;
    if (t->rows == 0) return;
    add_table(w, TA_SEGMENT_ROWS, WIDTH, 0.01F);
    if (t->tables > 1 && w->model.n_segments + t->names < TA_MAX_SEGMENTS) add_table(w, TA_SEGMENT_ROWS, WIDTH, 0);
    if (t->names) add_table(w, TA_SEGMENT_NAMES, NAME_WORDS, 0);
}

/* Low rows more often: some are changed in every step, some hardly ever. */
static uint32_t pick_row(struct world *w) {
    uint32_t rows = w->config.tables.rows;
    return ta_rng_below(&w->rng, 1 + ta_rng_below(&w->rng, rows));
}

static void touch_table(struct world *w, unsigned rank, unsigned segment) {
    struct ta_exchange *x = w->replica[rank].x;
    const struct ta_table *table = &w->model.segments[segment].table;
    uint32_t rows[MOST_TOUCHED], n = ta_rng_below(&w->rng, MOST_TOUCHED + 1);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = i > 0 && ta_rng_below(&w->rng, 4) == 0 ? rows[i - 1] : pick_row(w);
        size_t at = table->offset + (size_t)rows[i] * table->stride + ta_rng_below(&w->rng, table->width);
        float update = (float)(1 + ta_rng_below(&w->rng, 4)) * (w->config.ragged ? 0.1F : 1.0F);
        ((float *)lazy_gpu_at(x->w))[at] += update;
        w->replica[rank].made[at] += update;
    }
    ta_exchange_live.touched(x, segment, rows, n);
}

/* A name that nobody has had before. */
static void rename_row(struct world *w, unsigned rank, unsigned segment) {
    struct ta_exchange *x = w->replica[rank].x;
    const struct ta_table *table = &w->model.segments[segment].table;
    uint32_t row = pick_row(w) / w->config.n_ranks * w->config.n_ranks + rank;
    if (row >= table->rows) return;
    size_t at = table->offset + (size_t)row * table->stride;
    for (uint32_t c = 0; c < table->width; c++) {
        uint32_t word = ta_rng_u32(&w->rng) | 1;
        memcpy((float *)lazy_gpu_at(x->delta != NULL ? x->delta : x->w) + at + c, &word, sizeof word);
    }
    world_must(w, ta_exchange_live.reset_rows(x, segment, &row, 1));
    memcpy(w->replica[rank].names + at, (float *)lazy_gpu_at(x->w) + at, table->width * sizeof(float));
}

static void reset_rows(struct world *w, unsigned rank, unsigned segment, const uint32_t *rows, uint32_t n) {
    const struct ta_table *table = &w->model.segments[segment].table;
    world_must(w, ta_exchange_live.reset_rows(w->replica[rank].x, segment, rows, n));
    for (uint32_t i = 0; i < n; i++)
        memset(w->replica[rank].made + table->offset + (size_t)rows[i] * table->stride, 0, STRIDE * sizeof(float));
}

static void reset_some(struct world *w, unsigned rank, unsigned chance) {
    for (unsigned s = 0; s < w->model.n_segments; s++) {
        const struct ta_segment *segment = &w->model.segments[s];
        if (ta_rng_below(&w->rng, chance) != 0) continue;
        uint32_t rows[2] = {pick_row(w), pick_row(w)};
        if (segment->kind == TA_SEGMENT_NAMES) rename_row(w, rank, s);
        if (segment->kind == TA_SEGMENT_ROWS) reset_rows(w, rank, s, rows, 1 + ta_rng_below(&w->rng, 2));
    }
}

void world_tables_step(struct world *w, unsigned rank) {
    for (unsigned s = 0; s < w->model.n_segments; s++)
        if (w->model.segments[s].kind == TA_SEGMENT_ROWS) touch_table(w, rank, s);
    reset_some(w, rank, 6);
}

float world_rounding(const struct world *w, size_t e) {
    for (unsigned s = 0; s < w->model.n_segments; s++) {
        const struct ta_segment *segment = &w->model.segments[s];
        if (segment->kind != TA_SEGMENT_ROWS || e - segment->offset >= segment->count) continue;
        bool whole = !w->config.ragged && (w->config.tables.stored || segment->table.range == 0);
        return whole ? 0 : w->config.ragged ? 0.025F : 0.25F;
    }
    return 0;
}

void world_reset(struct world *w, unsigned rank) {
    reset_some(w, rank, 2);
    world_note(w, rank);
}

/* What row 'at' of a table must be, word by word. */
static void expect_row(const struct world *w, const struct ta_segment *segment, uint32_t row, const float *copies,
                       float *out) {
    const struct ta_table *t = &segment->table;
    size_t n = w->config.n_params, at = t->offset + (size_t)row * t->stride;
    memcpy(out, w->w0 + at, STRIDE * sizeof *out);
    if (segment->kind == TA_SEGMENT_NAMES) {
        const float *owner = copies + row % w->config.n_ranks * n + at;
        uint32_t first;
        memcpy(&first, owner, sizeof first);
        if (first != 0) memcpy(out, owner, STRIDE * sizeof *out);
        return;
    }
    for (uint32_t c = 0; c < t->width && !w->config.tables.stored; c++)
        out[c] = t->range == 0 ? 0 : t->range * ta_rng_cell(w->config.seed, at + c);
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        for (uint32_t c = 0; c < t->width; c++) out[c] += copies[r * n + at + c];
    /* Padding is never written: neither at the start, nor later. */
    for (uint32_t c = t->width; c < STRIDE; c++) out[c] = 0;
}

/* Takes over what is said to have changed. */
static void hear_renamed(struct world *w, unsigned rank, const struct ta_table *t) {
    struct world_replica *r = &w->replica[rank];
    enum { MOST = 8 };
    const float *weights = lazy_gpu_at(r->x->w);
    uint32_t rows[MOST];
    size_t n = ta_exchange_live.renamed(r->x, rows, MOST);
    if (n > MOST) memcpy(r->names + t->offset, weights + t->offset, (size_t)t->rows * t->stride * sizeof(float));
    for (size_t i = 0; i < n && n <= MOST; i++) {
        size_t at = t->offset + (size_t)rows[i] * t->stride;
        assert_true(rows[i] < t->rows);
        assert_int_not_equal(rows[i] % w->config.n_ranks, rank); /* by peers */
        memcpy(r->names + at, weights + at, t->stride * sizeof(float));
    }
}

const char *world_tables_check(struct world *w, unsigned rank, const float *copies) {
    static char why[160];
    const struct world_replica *r = &w->replica[rank];
    const float *weights = lazy_gpu_at(r->x->w);
    for (unsigned s = 0; s < w->model.n_segments; s++) {
        const struct ta_segment *segment = &w->model.segments[s];
        const struct ta_table *t = &segment->table;
        if (segment->kind != TA_SEGMENT_ROWS && segment->kind != TA_SEGMENT_NAMES) continue;
        for (uint32_t row = 0; row < t->rows; row++) {
            float expected[STRIDE];
            size_t at = t->offset + (size_t)row * t->stride;
            expect_row(w, segment, row, copies, expected);
            if (memcmp(expected, weights + at, t->width * sizeof(float)) == 0) continue;
            snprintf(why, sizeof why, "rank %u has row %u of segment %u = %.9g ..., its registers make it %.9g ...",
                     rank, row, s, (double)weights[at], (double)expected[0]);
            return why;
        }
        if (segment->kind != TA_SEGMENT_NAMES) continue;
        hear_renamed(w, rank, t);
        size_t bytes = (size_t)t->rows * t->stride * sizeof(float);
        if (memcmp(r->names + t->offset, weights + t->offset, bytes) == 0) continue;
        snprintf(why, sizeof why, "rank %u was not told of all names that changed", rank);
        return why;
    }
    return NULL;
}
