/* rows: sums, choices and folds of scattered rows, row by row, each in one pass over its columns.
 *
 * A loop for each origin (base, computed, zero) and each number of registers up to four; further registers are added
 * while the row is in the cache. As in arena.c, sums round one by one as written, so that every machine gets
 * the same bits, gcc makes each loop for several vector widths, and the thread sanitizer does not look, because peers
 * may write the registers meanwhile. No loop may become a memcpy, which promises no whole words: see CMakeLists.txt.
 */
#include "rows.h"

#include <stdatomic.h>

#include "rng.h"
#include "widest.h"

#define RACES_BY_DESIGN __attribute__((no_sanitize("thread")))
/* Arrays are apart, or are one and the same: no word is read after another's was written. */
#if defined(__clang__)
#define SAME_PLACES_ONLY
#else
#define SAME_PLACES_ONLY _Pragma("GCC ivdep")
#endif
#define INLINE static inline __attribute__((always_inline))

enum {
    AT_ONCE = 4,        /* registers that one loop over the columns adds */
    AHEAD_BYTES = 1024, /* how far before its use a listed row is fetched */
    PICKS_AHEAD = 4,    /* the same for choices, in rows: they are short */
    LINE = 16,          /* floats of a cache line */
};

enum origin { FROM_BASE, FROM_LOW_SEED, FROM_SEED, FROM_ZERO, ORIGINS };

struct pass {
    const struct ta_table *table;
    uint64_t seed;
    const uint32_t *rows; /* [n_rows]; NULL: 0, 1, ... */
    size_t n_rows;
    float *w;
    const float *base;
    const float *const *registers;
    unsigned n_registers;
};

INLINE uint32_t row_at(const struct pass *p, size_t i) { return p->rows == NULL ? (uint32_t)i : p->rows[i]; }

INLINE size_t place_of(const struct ta_table *t, uint32_t row) { return t->offset + (size_t)row * t->stride; }

/* `count` columns from `at` on, of one cache line; the line at `next` is fetched meanwhile. A computed origin has a loop
 * for places below 2^32, which the compiler computes in vectors of 32-bit numbers, and one for arenas of more than
 * 16 GiB, where vectors hold half as many. */
INLINE void sum_columns(const struct pass *p, size_t at, size_t next, const uint32_t count, const enum origin origin,
                        const unsigned n) {
    const uint32_t low = (uint32_t)at;
    const float range = p->table->range;
    const uint64_t seed = p->seed;
    const float *base = origin == FROM_BASE ? p->base + at : NULL;
    const float *a = n > 0 ? p->registers[0] + at : NULL, *b = n > 1 ? p->registers[1] + at : NULL;
    const float *c = n > 2 ? p->registers[2] + at : NULL, *d = n > 3 ? p->registers[3] + at : NULL;
    float *w = p->w + at;
    for (unsigned r = 0; r < n; r++) __builtin_prefetch(p->registers[r] + next, 0);
    if (origin == FROM_BASE) __builtin_prefetch(p->base + next, 0);
    __builtin_prefetch(p->w + next, 1);
    /* Not unrolled before it became vectors. */
#pragma GCC unroll 1
    SAME_PLACES_ONLY
    for (uint32_t i = 0; i < count; i++) {
        float sum = 0;
        if (origin == FROM_BASE) sum = base[i];
        if (origin == FROM_LOW_SEED) sum = range * ta_rng_cell(seed, (uint32_t)(low + i));
        if (origin == FROM_SEED) sum = range * ta_rng_cell(seed, at + i);
        if (n > 0) sum += a[i];
        if (n > 1) sum += b[i];
        if (n > 2) sum += c[i];
        if (n > 3) sum += d[i];
        w[i] = sum;
    }
}

INLINE void add_columns(float *w, const float *from, uint32_t width) {
    SAME_PLACES_ONLY
    for (uint32_t i = 0; i < width; i++) w[i] += from[i];
}

INLINE void sum_rows(const struct pass *p, const enum origin origin, const unsigned n) {
    const size_t ahead = 1 + AHEAD_BYTES / (sizeof(float) * p->table->stride);
    const uint32_t width = p->table->width, lines = width / LINE * LINE;
    for (size_t i = 0; i < p->n_rows; i++) {
        size_t at = place_of(p->table, row_at(p, i));
        size_t next = place_of(p->table, row_at(p, i + ahead < p->n_rows ? i + ahead : p->n_rows - 1));
        for (uint32_t c = 0; c < lines; c += LINE) sum_columns(p, at + c, next + c, LINE, origin, n);
        if (lines < width) sum_columns(p, at + lines, next + lines, width - lines, origin, n);
        for (unsigned r = AT_ONCE; n == AT_ONCE && r < p->n_registers; r++)
            add_columns(p->w + at, p->registers[r] + at, width);
    }
}

#define SUM(origin, n)                                                                                                 \
    WIDEST RACES_BY_DESIGN static void sum_##origin##_##n(const struct pass *p) { sum_rows(p, origin, n); }
#define SUMS(origin) SUM(origin, 0) SUM(origin, 1) SUM(origin, 2) SUM(origin, 3) SUM(origin, 4)
SUMS(FROM_BASE)
SUMS(FROM_LOW_SEED)
SUMS(FROM_SEED)
SUMS(FROM_ZERO)

#define LIST(origin)                                                                                                   \
    [origin] = {sum_##origin##_0, sum_##origin##_1, sum_##origin##_2, sum_##origin##_3, sum_##origin##_4}
static void (*const sums[ORIGINS][AT_ONCE + 1])(const struct pass *p) = {LIST(FROM_BASE), LIST(FROM_LOW_SEED),
                                                                         LIST(FROM_SEED), LIST(FROM_ZERO)};

static enum origin origin_of(const struct ta_table *t, const float *base) {
    if (base != NULL) return FROM_BASE;
    if (t->range == 0) return FROM_ZERO;
    return place_of(t, t->rows) <= UINT32_MAX ? FROM_LOW_SEED : FROM_SEED;
}

ta_status ta_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                      size_t n_rows, float *w, const float *base, const float *const *registers,
                      unsigned n_registers) {
    (void)k;
    if (rows == NULL) n_rows = table->rows;
    if (n_rows == 0 || table->width == 0) return TA_OK;
    struct pass p = {table, seed, rows, n_rows, w, base, registers, n_registers};
    sums[origin_of(table, base)][n_registers < AT_ONCE ? n_registers : AT_ONCE](&p);
    return TA_OK;
}

WIDEST RACES_BY_DESIGN static void copy_words(size_t n, uint32_t *to, const uint32_t *from) {
    SAME_PLACES_ONLY
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

static void clear_words(size_t n, uint32_t *to) {
    for (size_t i = 0; i < n; i++) to[i] = 0;
}

/* The word that decides is the word that is kept: it is read once, in one piece. */
RACES_BY_DESIGN static uint32_t load_word(const uint32_t *word) {
    return atomic_load_explicit((_Atomic const uint32_t *)(const void *)word, memory_order_relaxed);
}

ta_status ta_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                       float *w, const float *base, const float *const *registers, unsigned n_registers) {
    (void)k;
    if (rows == NULL) n_rows = table->rows;
    if (table->width == 0) return TA_OK;
    for (size_t i = 0; i < n_rows; i++) {
        uint32_t row = rows == NULL ? (uint32_t)i : rows[i];
        uint32_t soon = rows == NULL || i + PICKS_AHEAD >= n_rows ? row : rows[i + PICKS_AHEAD];
        size_t at = place_of(table, row);
        if (n_registers > 0) __builtin_prefetch(registers[soon % n_registers] + place_of(table, soon), 0);
        __builtin_prefetch(w + place_of(table, soon), 1);
        uint32_t *to = (uint32_t *)(void *)(w + at);
        const uint32_t *from = n_registers == 0 ? NULL : (const void *)(registers[row % n_registers] + at);
        uint32_t head = from == NULL ? 0 : load_word(from);
        if (head == 0) {
            from = base == NULL ? NULL : (const void *)(base + at);
            head = from == NULL ? 0 : load_word(from);
        }
        to[0] = head;
        if (from == NULL)
            clear_words(table->width - 1, to + 1);
        else
            copy_words(table->width - 1, to + 1, from + 1);
    }
    return TA_OK;
}

/* `count` columns from `at` on; the line at `next` is fetched meanwhile. */
INLINE void fold_columns(const float *w, float *folded, float *delta, size_t at, size_t next, const uint32_t count) {
    __builtin_prefetch(w + next, 0);
    __builtin_prefetch(folded + next, 1);
    __builtin_prefetch(delta + next, 1);
    w += at;
    folded += at;
    delta += at;
#pragma GCC unroll 1
    SAME_PLACES_ONLY
    for (uint32_t i = 0; i < count; i++) {
        float now = w[i];
        delta[i] += now - folded[i];
        folded[i] = now;
    }
}

WIDEST RACES_BY_DESIGN static void fold_rows(const struct ta_table *t, const uint32_t *rows, size_t n_rows,
                                             const float *w, float *folded, float *delta) {
    const size_t ahead = 1 + AHEAD_BYTES / (sizeof(float) * t->stride);
    const uint32_t width = t->width, lines = width / LINE * LINE;
    for (size_t i = 0; i < n_rows; i++) {
        size_t at = place_of(t, rows[i]), next = place_of(t, rows[i + ahead < n_rows ? i + ahead : n_rows - 1]);
        for (uint32_t c = 0; c < lines; c += LINE) fold_columns(w, folded, delta, at + c, next + c, LINE);
        if (lines < width) fold_columns(w, folded, delta, at + lines, next + lines, width - lines);
    }
}

ta_status ta_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                       const float *w, float *folded, float *delta) {
    (void)k;
    fold_rows(table, rows, n_rows, w, folded, delta);
    return TA_OK;
}
