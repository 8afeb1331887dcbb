/* The sparse loops in every build that this CPU can run, against their definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "build_net.h"
#include "compare.h"
#include "rng.h"
#include "sparse.h"

extern const struct ta_sparse_ops test_sparse_wide;

static const struct ta_sparse_ops *builds[4] = {&ta_sparse_base, &test_sparse_wide}; /* and the best; NULL at the end */

enum { FLOATS = 6000, ENTRIES = 64, LISTS = 5 };

/* Random lists of random lengths (some empty), rows of every width up to beyond the registers. */
static void one_sum(const struct ta_sparse_ops *ops, struct ta_rng *rng, uint32_t rows, uint32_t width) {
    float *from = test_malloc(FLOATS * sizeof *from), value[ENTRIES];
    float *into = test_malloc(FLOATS * sizeof *into), *right = test_malloc(FLOATS * sizeof *right);
    uint32_t start[LISTS + 1] = {0}, into_offset[LISTS], offset[ENTRIES];
    size_t row = width + ta_rng_below(rng, 30);
    uint32_t room = (uint32_t)(FLOATS - (rows - 1) * row - width);
    test_fill(FLOATS, ta_rng_u32(rng), -1, 1, from);
    test_fill(FLOATS, ta_rng_u32(rng), -1, 1, into);
    test_fill(ENTRIES, ta_rng_u32(rng), -1, 1, value);
    memcpy(right, into, FLOATS * sizeof *into);
    for (uint32_t l = 0; l < LISTS; l++) {
        start[l + 1] = start[l] + (l % 2 == 0 ? ta_rng_below(rng, ENTRIES / LISTS) : 0);
        into_offset[l] = ta_rng_below(rng, room);
        for (uint32_t e = start[l]; e < start[l + 1]; e++) offset[e] = ta_rng_below(rng, room);
    }
    for (uint32_t l = 0; l < LISTS; l++)
        for (uint32_t e = start[l]; e < start[l + 1]; e++)
            for (uint32_t r = 0; r < rows; r++)
                for (uint32_t i = 0; i < width; i++)
                    right[into_offset[l] + r * row + i] += value[e] * from[offset[e] + r * row + i];
    struct ta_sparse_rows how = {rows, width, from, row, into, row, LISTS, start, into_offset, offset, value};
    ops->add_rows(&how);
    double off = test_distance(FLOATS, into, right);
    if (!(off < 1e-5)) fail_msg("%s: %u rows of %u are off by %g", ops->name, rows, width, off);
    test_free(from);
    test_free(into);
    test_free(right);
}

static void test_add_rows(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(1, 1);
    for (unsigned b = 0; builds[b] != NULL; b++)
        for (uint32_t rows = 1; rows <= 7; rows++)
            for (uint32_t width = TA_SPARSE_ALIGN; width <= 30 * TA_SPARSE_ALIGN; width += TA_SPARSE_ALIGN)
                one_sum(builds[b], &rng, rows, width);
}

/* All builds find the same maxima at the same places, NaN and ties included. */
static void test_pools_agree(void **state) {
    (void)state;
    enum { PLACES = 9, POSITIONS = 9, CHANNELS = 37, N = PLACES * CHANNELS };
    float image[50 * CHANNELS], out[2][N];
    uint8_t which[2][N];
    uint32_t offset[PLACES * POSITIONS];
    struct ta_rng rng = ta_rng_make(2, 1);
    for (int trial = 0; trial < 40; trial++) {
        uint32_t positions = trial % 2 == 0 ? 4 : POSITIONS;
        for (size_t i = 0; i < 50 * CHANNELS; i++) image[i] = (float)ta_rng_below(&rng, 7) - 4; /* many ties */
        if (trial % 3 == 0) image[ta_rng_below(&rng, 50 * CHANNELS)] = NAN;
        for (uint32_t i = 0; i < PLACES * positions; i++) offset[i] = ta_rng_below(&rng, 50) * CHANNELS;
        struct ta_sparse_pool how = {PLACES, CHANNELS, positions, offset, trial % 4 < 2};
        for (unsigned b = 0; builds[b] != NULL; b++) {
            builds[b]->pool(&how, image, out[b > 0], which[b > 0]);
            assert_memory_equal(out[0], out[b > 0], sizeof out[0]);
            assert_memory_equal(which[0], which[b > 0], sizeof which[0]);
        }
        for (uint32_t p = 0; p < PLACES; p++) {
            for (uint32_t c = 0; c < CHANNELS; c++) {
                float most = -INFINITY;
                for (uint32_t k = 0; k < positions; k++) {
                    float x = image[offset[p * positions + k] + c];
                    most = x > most || isnan(x) ? x : most;
                    if (isnan(x)) break;
                }
                uint8_t at = which[0][p * CHANNELS + c];
                float found = out[0][p * CHANNELS + c];
                if (how.relu && most <= 0) {
                    assert_true(found == 0 && at == TA_SPARSE_NONE);
                } else {
                    assert_true(at < positions);
                    float there = image[offset[p * positions + at] + c];
                    assert_true(isnan(most) ? isnan(found) && isnan(there) : found == most && there == most);
                }
            }
        }
    }
}

int main(void) {
    builds[2] = ta_sparse_best();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_add_rows), cmocka_unit_test(test_pools_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
