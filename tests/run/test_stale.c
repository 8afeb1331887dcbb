/* Where staleness and time go: bins, percentiles and merges against a plain list of values; shares and advice. */
#include "expect.h"

#include "board.h"
#include "phases.h"
#include "rng.h"
#include "stale_bins.h"

enum { VALUES = 500 };

static void bins_cover_all_values_in_order(void **state) {
    (void)state;
    unsigned last = 0;
    for (uint64_t value = 0; value < 3000000; value += 1 + value / 97) {
        unsigned bin = ta_stale_bin(value);
        assert_true(bin == last || bin == last + 1 || value < 2);
        assert_true(value <= ta_stale_bin_top(bin));
        if (bin > 0) assert_true(value > ta_stale_bin_top(bin - 1));
        if (value < 32) assert_int_equal(ta_stale_bin_top(bin), value);
        last = bin;
    }
    assert_int_equal(last, TA_STALE_BINS - 1);
    assert_int_equal(ta_stale_bin(UINT64_MAX), TA_STALE_BINS - 1);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of several replicas, added up by the board, as of all values in one list. */
static void boards_merge_exactly(void **state) {
    (void)state;
    struct ta_board board;
    static struct ta_hist hist[3];
    static uint64_t all[3 * VALUES];
    struct ta_rng rng = ta_rng_make(4, 2);
    assert_ok(ta_board_create(&board, 3, 0));
    unsigned n = 0;
    double sum = 0;
    for (unsigned r = 0; r < 3; r++) {
        uint64_t bins[TA_STALE_BINS];
        for (unsigned i = 0; i < VALUES - 100 * r; i++) { /* not as many in each */
            uint64_t value = ta_rng_below(&rng, ta_rng_below(&rng, 20) == 0 ? 5000 : 20);
            ta_hist_add(&hist[r], value);
            sum += (double)value;
            all[n++] = value;
        }
        ta_stale_bins_of(&hist[r], bins);
        ta_board_set(board.rows[r].stale_count, hist[r].count);
        ta_board_set(board.rows[r].stale_sum, (uint64_t)hist[r].sum);
        ta_board_set(board.rows[r].stale_max, hist[r].max);
        for (unsigned b = 0; b < TA_STALE_BINS; b++) ta_board_set(board.rows[r].stale_bin[b], bins[b]);
        ta_board_set(board.rows[r].phase_ns[TA_PHASE_WAIT], 1000);
    }
    qsort(all, n, sizeof *all, by_value);
    struct ta_board_sum together;
    ta_board_add_up(&board, &together);
    assert_int_equal(together.stale_count, n);
    assert_true((double)together.stale_sum == sum);
    assert_int_equal(together.stale_max, all[n - 1]);
    assert_int_equal(together.phase_ns[TA_PHASE_WAIT], 3000);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = all[(percent * n + 99) / 100 - 1];
        uint64_t told = ta_stale_percentile(together.stale_bin, together.stale_max, percent);
        if (exact < 32) assert_int_equal(told, exact);
        else assert_true(told >= exact && (double)told < 1.5 * (double)exact + 1);
    }
    assert_int_equal(ta_stale_percentile(together.stale_bin, together.stale_max, 100), all[n - 1]);
    json_t *list = ta_stale_json(together.stale_bin, together.stale_max), *bin;
    size_t i, counted = 0;
    json_array_foreach(list, i, bin) counted += (size_t)json_integer_value(json_array_get(bin, 1));
    assert_int_equal(counted, n);
    bin = json_array_get(list, json_array_size(list) - 1);
    assert_int_equal(json_integer_value(json_array_get(bin, 0)), all[n - 1]);
    json_decref(list);
    ta_board_close(&board);
}

static void time_is_told_by_its_largest_parts(void **state) {
    (void)state;
    char text[256];
    double times[TA_PHASES] = {
        [TA_PHASE_COMPUTE] = 81, [TA_PHASE_PUT] = 9.4, [TA_PHASE_APPLY] = 9.4, [TA_PHASE_REST] = 0.2};
    ta_phases_print(times, text, sizeof text);
    assert_string_equal(text, "compute 81 %, apply 9 %, put 9 %");
    ta_phases_advise(times, false, text, sizeof text);
    assert_string_equal(text, "");
    times[TA_PHASE_STREAM] = 150;
    ta_phases_advise(times, false, text, sizeof text);
    assert_non_null(strstr(text, "stream 60 %"));
    assert_non_null(strstr(text, "stream.ring"));
    times[TA_PHASE_IDLE] = 1000;
    ta_phases_advise(times, true, text, sizeof text); /* it keeps up with its stream */
    assert_string_equal(text, "");
    ta_phases_advise(times, false, text, sizeof text);
    assert_non_null(strstr(text, "idle 80 %"));
    double none[TA_PHASES] = {0};
    ta_phases_print(none, text, sizeof text);
    assert_string_equal(text, "");
    ta_phases_print(times, text, 12); /* cut, not overrun */
    assert_int_equal(strlen(text), 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_cover_all_values_in_order),
        cmocka_unit_test(boards_merge_exactly),
        cmocka_unit_test(time_is_told_by_its_largest_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
