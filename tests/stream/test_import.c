/* Importers as calls: every allocation may fail, cells say what they are, words keep their numbers. What comes out of
 * whole files is compared with outside oracles in imports.py, what must be refused is in bad_imports.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "import.h"
#include "import_cell.h"
#include "import_picture.h"
#include "import_words.h"
#include "mem.h"
#include "stream_file.h"

static char folder[64], out[128];

static int setup(void **state) {
    (void)state;
    scratch_open(folder);
    snprintf(out, sizeof out, "%s/out.h5", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_close(folder);
    return 0;
}

/* The path of a new file in the folder: valid until the fourth call after. */
static const char *file_of(const char *name, const void *content, size_t bytes) {
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    file_store(path, content, bytes);
    return path;
}

/* Runs `import` with the n-th allocation failing, for all n: each time NO_MEMORY, nothing kept, nothing left behind. */
static void survives_failing_allocations(ta_status (*import)(struct ta_import_report *report), unsigned least) {
    size_t held = ta_mem_held_bytes();
    for (unsigned n = 1;; n++) {
        struct ta_import_report report;
        ta_mem_fail_nth(n);
        ta_status status = import(&report);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) {
            if (n <= least) fail_msg("only %u allocations were seen", n);
            assert_true(report.records > 0);
            return;
        }
        if (status != TA_NO_MEMORY) fail_msg("allocation %u: %s: %s", n, ta_status_name(status), ta_why());
        assert_int_not_equal(access(out, F_OK), 0);
    }
}

static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};

static ta_status import_idx(struct ta_import_report *report) {
    struct ta_import_options options = {.out = out};
    return ta_import_idx(file_of("images", images, sizeof images), file_of("labels", labels, sizeof labels), &options,
                         report);
}

static void idx_survives_failing_allocations(void **state) {
    (void)state;
    survives_failing_allocations(import_idx, 5);
}

static ta_status import_csv(struct ta_import_report *report) {
    static const char data[] = "a,1\nb,2\nc,3\n", classes[] = "yes\nno\nyes\n";
    static const char schema[] = "columns:\n  - {name: p, role: x, type: category}\n  - {name: q, role: x}\n"
                                 "labels:\n  columns:\n    - {name: c, role: y, type: category}\n";
    struct ta_import_options options = {.out = out};
    struct ta_import_csv csv = {.data = file_of("data", data, sizeof data - 1),
                                .labels = file_of("classes", classes, sizeof classes - 1),
                                .schema = file_of("schema.yaml", schema, sizeof schema - 1)};
    return ta_import_csv(&csv, &options, report);
}

static void csv_survives_failing_allocations(void **state) {
    (void)state;
    survives_failing_allocations(import_csv, 20);
}

static ta_status import_text(struct ta_import_report *report) {
    static const char words[] = "to be or not to be\nthat is the question\n";
    struct ta_import_options options = {.out = out};
    struct ta_import_text text = {.file = file_of("words", words, sizeof words - 1), .min_count = 1, .sentence = 4};
    return ta_import_text(&text, &options, report);
}

static void text_survives_failing_allocations(void **state) {
    (void)state;
    survives_failing_allocations(import_text, 10);
}

static ta_status import_online(struct ta_import_report *report) {
    static const char words[] = "to be or not to be\nthat is the question\n";
    struct ta_import_options options = {.out = out};
    struct ta_import_text text = {.file = file_of("words", words, sizeof words - 1), .online = true};
    return ta_import_text(&text, &options, report);
}

static ta_status import_pairs(struct ta_import_report *report) {
    static const char rows[] = "3 1 2 1 0\n0 4 5 1 0\n";
    struct ta_import_options options = {.out = out};
    struct ta_import_pairs pairs = {.file = file_of("rows", rows, sizeof rows - 1)};
    return ta_import_pairs(&pairs, &options, report);
}

static void words_survive_failing_allocations(void **state) {
    (void)state;
    survives_failing_allocations(import_online, 8);
    unlink(out);
    survives_failing_allocations(import_pairs, 10);
}

/* One grey pixel, as a PNG file. */
static const unsigned char pixel[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00,
    0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81,
    0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

static ta_status import_images(struct ta_import_report *report) {
    char tree[100], a[104], b[104];
    snprintf(tree, sizeof tree, "%s/tree", folder);
    snprintf(a, sizeof a, "%s/a", tree);
    snprintf(b, sizeof b, "%s/b", tree);
    mkdir(tree, 0700);
    mkdir(a, 0700);
    mkdir(b, 0700);
    file_of("tree/a/1.png", pixel, sizeof pixel);
    file_of("tree/b/1.png", pixel, sizeof pixel);
    struct ta_import_options options = {.out = out};
    struct ta_import_images images_of = {.folder = tree, .gray = true, .seed = 1};
    return ta_import_images(&images_of, &options, report);
}

static void images_survive_failing_allocations(void **state) {
    (void)state;
    survives_failing_allocations(import_images, 15);
}

static void numbers_are_finite_and_whole_texts(void **state) {
    (void)state;
    float value;
    assert_true(ta_cell_number("-1.5e3", &value) && value == -1500);
    assert_true(ta_cell_number("+.5", &value) && value == 0.5f);
    static const char *const bad[] = {"",    " ",  "nan", "inf", "1e39", "0x1", "1 ",     " 1",
                                      "1,5", "1e", "e1",  "--1", "1..2", "one", "1e99999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ta_cell_number(bad[i], &value)) fail_msg("'%s' passed for the number %g", bad[i], (double)value);
}

static void times_are_exact_to_the_nanosecond(void **state) {
    (void)state;
    int64_t ns;
    assert_true(ta_cell_time("1600000000.123456789", NULL, &ns) && ns == INT64_C(1600000000123456789));
    assert_true(ta_cell_time("1.5", "seconds", &ns) && ns == INT64_C(1500000000));
    assert_true(ta_cell_time("-1.5", "milliseconds", &ns) && ns == -1500000);
    assert_true(ta_cell_time("1600000000000001", "microseconds", &ns) && ns == INT64_C(1600000000000001000));
    assert_true(ta_cell_time("9223372036854775807", "nanoseconds", &ns) && ns == INT64_MAX);
    assert_true(ta_cell_time("2020-02-29T12:00:01.25", "%Y-%m-%dT%H:%M:%S", &ns) &&
                ns == INT64_C(1582977601250000000));
    static const char *const bad[] = {"", "-", "1.5x", "x", "9223372036854775808", "1e3", "12:00"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ta_cell_time(bad[i], "seconds", &ns)) fail_msg("'%s' passed for a time", bad[i]);
    assert_false(ta_cell_time("2020-02-29 nonsense", "%Y-%m-%d", &ns));
    assert_false(ta_cell_time("29.2.2020", "%Y-%m-%d", &ns));
}

static void words_keep_their_numbers_and_counts(void **state) {
    (void)state;
    enum { WORDS = 5000 };
    struct ta_words words = {0};
    char word[16];
    for (unsigned round = 1; round <= 2; round++) {
        for (uint32_t i = 0; i < WORDS; i++) {
            uint32_t number;
            int length = snprintf(word, sizeof word, "w%u", i * 7919u);
            assert_int_equal(ta_words_add(&words, word, (size_t)length, &number), TA_OK);
            assert_int_equal(number, i);
            assert_int_equal(words.word[i].count, round);
            assert_string_equal(ta_words_text(&words, i), word);
        }
    }
    assert_int_equal(words.count, WORDS);
    assert_int_equal(ta_words_find(&words, "w7919", 5), 1);
    assert_int_equal(ta_words_find(&words, "w7919", 4), -1);    /* "w791" */
    assert_int_equal(ta_words_add(&words, "", 0, NULL), TA_OK); /* an empty word is a word */
    assert_int_equal(ta_words_find(&words, "", 0), WORDS);
    struct ta_words two = {0};
    assert_int_equal(ta_words_select(&two, &words, (uint32_t[]){4999, 0}, 2), TA_OK);
    assert_int_equal(ta_words_find(&two, "w0", 2), 1);
    assert_int_equal(two.word[0].count, 2);
    assert_int_equal(ta_words_find(&two, "w7919", 5), -1);
    ta_words_free(&two);
    ta_words_free(&words);
    assert_int_equal(ta_words_find(&words, "w0", 2), -1);
}

static void resizing_takes_the_mean_of_the_area(void **state) {
    (void)state;
    uint8_t pixels[] = {0, 100, 200, 40, 60, 80}, small[2], same[6], large[24];
    struct ta_picture picture = {.w = 3, .h = 2, .c = 1, .pixels = pixels};
    ta_picture_resize(&picture, 2, 1, small);
    assert_int_equal(small[0], (int)((0 + 50 + 40 + 30) / 3.0 + 0.5));
    assert_int_equal(small[1], (int)((50 + 200 + 30 + 80) / 3.0 + 0.5));
    ta_picture_resize(&picture, 3, 2, same);
    assert_memory_equal(same, pixels, sizeof pixels);
    ta_picture_resize(&picture, 6, 4, large);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 6; x++) assert_int_equal(large[y * 6 + x], pixels[y / 2 * 3 + x / 2]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(idx_survives_failing_allocations),
        TEST(csv_survives_failing_allocations),
        TEST(text_survives_failing_allocations),
        TEST(words_survive_failing_allocations),
        TEST(images_survive_failing_allocations),
        cmocka_unit_test(numbers_are_finite_and_whole_texts),
        cmocka_unit_test(times_are_exact_to_the_nanosecond),
        cmocka_unit_test(words_keep_their_numbers_and_counts),
        cmocka_unit_test(resizing_takes_the_mean_of_the_area),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
