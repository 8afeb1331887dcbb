/* Sums, choices and folds of rows, to the bit, against loops over single words: random tables, lists and registers. */
#include <math.h>
#include <sys/mman.h>

#include "expect.h"
#include "reference.h"
#include "rng.h"

enum { MOST_REGISTERS = 7, GUARD = 16, TRIALS = 200 };

static const struct ta_kernels_ops *const makes[] = {&ta_kernels_cpu, &ta_kernels_reference};

/* Arenas that hold a table and a guard on either side. */
struct arenas {
    struct ta_table table;
    size_t floats;
    float *w[2], *base, *registers[MOST_REGISTERS]; /* w: of the make, and what it should be */
    uint32_t *rows;
    size_t n_rows;
    uint64_t seed;
};

static float *floats(size_t n) {
    float *x = test_calloc(n + 16, sizeof *x);
    return x;
}

/* Bits of every kind: ordinary numbers, zeros of both signs, denormals, huge ones; no NaN, whose payload is free. */
static void scatter(struct ta_rng *rng, size_t n, float *x) {
    uint64_t seed = ta_rng_u32(rng);
    for (size_t i = 0; i < n; i++) {
        uint64_t mixed = (seed << 32 | i) * UINT64_C(0x9e3779b97f4a7c15); /* cheaper than a draw for each word */
        uint32_t kind = (uint32_t)(mixed >> 61);
        uint32_t bits = (uint32_t)((mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 20);
        if (kind == 0) bits &= UINT32_C(0x80000000);
        if (kind == 1) bits &= UINT32_C(0x807fffff);
        if (kind >= 3) bits = (bits & UINT32_C(0x80ffffff)) | UINT32_C(0x3e000000); /* of one size, so that all count */
        if (kind == 2) bits &= UINT32_C(0xbfffffff);
        memcpy(&x[i], &bits, sizeof bits);
    }
}

static void arenas_make(struct ta_rng *rng, struct arenas *a) {
    uint32_t width = ta_rng_below(rng, 8) == 0 ? 0 : 1 + ta_rng_below(rng, ta_rng_below(rng, 2) ? 40 : 330);
    a->table = (struct ta_table){.offset = 16 * (1 + (size_t)ta_rng_below(rng, 5)),
                                 .rows = 1 + ta_rng_below(rng, 60),
                                 .width = width,
                                 .stride = (width + 8 + 8 * ta_rng_below(rng, 3)) / 8 * 8,
                                 .range = ta_rng_below(rng, 3) == 0 ? 0 : (float)ta_rng_uniform(rng)};
    a->floats = a->table.offset + (size_t)a->table.rows * a->table.stride + GUARD;
    a->seed = (uint64_t)ta_rng_u32(rng) << 32 | ta_rng_u32(rng);
    a->base = floats(a->floats);
    scatter(rng, a->floats, a->base);
    for (unsigned r = 0; r < MOST_REGISTERS; r++) {
        a->registers[r] = floats(a->floats);
        scatter(rng, a->floats, a->registers[r]);
    }
    for (unsigned i = 0; i < 2; i++) a->w[i] = floats(a->floats);
    scatter(rng, a->floats, a->w[0]);
    memcpy(a->w[1], a->w[0], a->floats * sizeof *a->w[0]);
    a->n_rows = ta_rng_below(rng, 3) == 0 ? 0 : ta_rng_below(rng, 100); /* often more than rows: some come twice */
    a->rows = test_calloc(a->n_rows + 1, sizeof *a->rows);
    for (size_t i = 0; i < a->n_rows; i++) a->rows[i] = ta_rng_below(rng, a->table.rows);
}

static void arenas_free(struct arenas *a) {
    for (unsigned i = 0; i < 2; i++) test_free(a->w[i]);
    for (unsigned r = 0; r < MOST_REGISTERS; r++) test_free(a->registers[r]);
    test_free(a->base);
    test_free(a->rows);
}

/* The definition, one word at a time; volatile, so that nothing is contracted or reordered. */
static float sum_of(const struct arenas *a, size_t place, const float *base, unsigned n) {
    volatile float sum = 0;
    if (base != NULL) {
        sum = base[place];
    } else if (a->table.range != 0) {
        volatile float cell = ta_rng_cell(a->seed, place);
        sum = a->table.range * cell;
    }
    for (unsigned r = 0; r < n; r++) sum = sum + a->registers[r][place];
    return sum;
}

static void rows_are_sums(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(1, 11);
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct arenas a;
        arenas_make(&rng, &a);
        const struct ta_table *t = &a.table;
        const uint32_t *rows = ta_rng_below(&rng, 3) == 0 ? NULL : a.rows;
        const float *base = ta_rng_below(&rng, 2) == 0 ? NULL : a.base, *registers[MOST_REGISTERS];
        unsigned n = ta_rng_below(&rng, MOST_REGISTERS + 1);
        for (unsigned r = 0; r < n; r++) registers[r] = a.registers[r];
        for (size_t i = 0; i < (rows == NULL ? t->rows : a.n_rows); i++) {
            size_t at = t->offset + (rows == NULL ? i : rows[i]) * t->stride;
            for (size_t c = 0; c < t->width; c++) a.w[1][at + c] = sum_of(&a, at + c, base, n);
        }
        size_t listed = rows == NULL ? ta_rng_u32(&rng) : a.n_rows; /* without a list the number is not looked at */
        for (unsigned m = 0; m < 2; m++) {
            assert_ok(makes[m]->rows_sum(NULL, t, a.seed, rows, listed, a.w[0], base, registers, n));
            assert_memory_equal(a.w[0], a.w[1], a.floats * sizeof *a.w[0]); /* guards and other rows as they were */
        }
        arenas_free(&a);
    }
}

static void rows_are_picked(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 11);
    unsigned picked = 0, based = 0, cleared = 0;
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct arenas a;
        arenas_make(&rng, &a);
        const struct ta_table *t = &a.table;
        const uint32_t *rows = ta_rng_below(&rng, 3) == 0 ? NULL : a.rows;
        const float *base = ta_rng_below(&rng, 2) == 0 ? NULL : a.base, *registers[MOST_REGISTERS];
        unsigned n = ta_rng_below(&rng, MOST_REGISTERS + 1);
        for (unsigned r = 0; r < n; r++) {
            registers[r] = a.registers[r];
            /* Words of any meaning, such as signalling NaNs, which arithmetic would change; a third start with 0. */
            uint32_t *words = (void *)a.registers[r];
            for (size_t i = 0; i < a.floats; i++) words[i] = i % 4 == trial % 4 ? 0x7f800001U : words[i];
            for (uint32_t row = 0; row < t->rows; row++)
                if (ta_rng_below(&rng, 3) == 0) words[t->offset + (size_t)row * t->stride] = 0;
        }
        for (size_t i = 0; i < (rows == NULL ? t->rows : a.n_rows); i++) {
            uint32_t row = rows == NULL ? (uint32_t)i : rows[i];
            size_t at = t->offset + (size_t)row * t->stride;
            const uint32_t *from = n == 0 ? NULL : (const void *)(a.registers[row % n] + at);
            bool set = from != NULL && from[0] != 0;
            if (!set) from = base == NULL ? NULL : (const void *)(base + at);
            for (size_t c = 0; c < t->width; c++) ((uint32_t *)(void *)a.w[1])[at + c] = from == NULL ? 0 : from[c];
            picked += set;
            based += !set && base != NULL;
            cleared += from == NULL;
        }
        for (unsigned m = 0; m < 2; m++) {
            assert_ok(makes[m]->rows_pick(NULL, t, rows, a.n_rows, a.w[0], base, registers, n));
            assert_memory_equal(a.w[0], a.w[1], a.floats * sizeof *a.w[0]);
        }
        arenas_free(&a);
    }
    assert_true(picked > TRIALS && based > TRIALS && cleared > TRIALS);
}

static void rows_are_folded(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(3, 11);
    unsigned twice = 0;
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct arenas a;
        arenas_make(&rng, &a);
        const struct ta_table *t = &a.table;
        float *w = a.base, *folded[2] = {a.w[0], floats(a.floats)}, *delta[2] = {a.registers[0], floats(a.floats)};
        float *right[2] = {a.w[1], a.registers[1]};
        memcpy(folded[1], folded[0], a.floats * sizeof *w);
        memcpy(delta[1], delta[0], a.floats * sizeof *w);
        memcpy(right[1], delta[0], a.floats * sizeof *w);
        memcpy(a.registers[2], w, a.floats * sizeof *w);
        bool listed[60] = {false};
        for (size_t i = 0; i < a.n_rows; i++) {
            size_t at = t->offset + (size_t)a.rows[i] * t->stride;
            twice += listed[a.rows[i]];
            for (size_t c = at; c < at + t->width; c++) { /* the second time it adds zero */
                volatile float change = w[c] - right[0][c];
                right[1][c] = right[1][c] + change;
                right[0][c] = w[c];
            }
            listed[a.rows[i]] = true;
        }
        for (unsigned m = 0; m < 2; m++) {
            assert_ok(makes[m]->rows_fold(NULL, t, a.rows, a.n_rows, w, folded[m], delta[m]));
            assert_memory_equal(folded[m], right[0], a.floats * sizeof *w);
            assert_memory_equal(delta[m], right[1], a.floats * sizeof *w);
            assert_memory_equal(w, a.registers[2], a.floats * sizeof *w);
        }
        test_free(folded[1]);
        test_free(delta[1]);
        arenas_free(&a);
    }
    assert_true(twice > TRIALS);
}

/* What the exchange does: tables are born zero, registers keep their padding zero, so the sum's stays so too. */
static void padding_stays_zero(void **state) {
    (void)state;
    enum { ROWS = 9, WIDTH = 100, STRIDE = 112, FLOATS = 16 + ROWS * STRIDE };
    struct ta_table table = {.offset = 16, .rows = ROWS, .width = WIDTH, .stride = STRIDE, .range = .01F};
    float *w = floats(FLOATS), *delta = floats(FLOATS);
    const float *registers[1] = {delta};
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t c = 0; c < WIDTH; c++) delta[16 + r * STRIDE + c] = 1;
    for (unsigned m = 0; m < 2; m++) {
        memset(w, 0, FLOATS * sizeof *w);
        assert_ok(makes[m]->rows_sum(NULL, &table, 7, NULL, 0, w, NULL, registers, 1));
        for (uint32_t i = 0; i < FLOATS; i++) {
            bool cell = i >= 16 && (i - 16) % STRIDE < WIDTH;
            assert_true(cell ? fabsf(w[i] - 1) <= .005F : w[i] == 0);
        }
    }
    test_free(w);
    test_free(delta);
}

/* A row that lies across place 2^32, where the upper half of the seed's hash begins to matter: the arena is only
 * reserved, and the pages of that row alone are touched. */
static void places_beyond_32_bits(void **state) {
    (void)state;
    enum { WIDTH = 100, STRIDE = 104 };
    const uint64_t edge = UINT64_C(1) << 32;
    struct ta_table table = {.offset = 16, .width = WIDTH, .stride = STRIDE, .range = 3};
    uint32_t row = (uint32_t)((edge - table.offset) / STRIDE);
    size_t at = table.offset + (size_t)row * STRIDE, bytes = (at + 2 * STRIDE) * sizeof(float);
    assert_true(at < edge && at + WIDTH > edge);
    table.rows = row + 2;
    uint32_t rows[2] = {row, row + 1};
    float *w = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w == MAP_FAILED) skip(); /* the address space is limited */
    for (unsigned m = 0; m < 2; m++) {
        memset(w + at, 0xff, 2 * STRIDE * sizeof *w);
        assert_ok(makes[m]->rows_sum(NULL, &table, UINT64_C(0x123456789abcdef0), rows, 2, w, NULL, NULL, 0));
        for (size_t c = 0; c < 2 * STRIDE; c++) {
            float right = table.range * ta_rng_cell(UINT64_C(0x123456789abcdef0), at + c);
            if (c % STRIDE < WIDTH) assert_true(w[at + c] == right);
        }
    }
    munmap(w, bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sums),
        cmocka_unit_test(rows_are_picked),
        cmocka_unit_test(rows_are_folded),
        cmocka_unit_test(padding_stays_zero),
        cmocka_unit_test(places_beyond_32_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
