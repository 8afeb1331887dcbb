/* vocabulary: what is refused, what memory it takes, hostile bytes, and the table of slots when hashes agree. What it
 * does with every word is held to a plain one by vocabulary_model.py; how good what it finds is: see
 * test_vocabulary_found.c. */
#include "expect.h"
#include "rng.h"
#include "vocabulary_check.h"
#include "vocabulary_internal.h"

static const struct ta_vocabulary_config small = {
    .rows = 20, .admit = 1, .candidates = 10, .fade_words = 1000, .n_ranks = 1};

static void assert_sound(const struct ta_vocabulary *v, uint32_t rows) {
    const char *wrong = vocabulary_check(v, rows);
    if (wrong != NULL) fail_msg("%s", wrong);
}

static size_t decide_all(struct ta_vocabulary *v) {
    struct ta_vocabulary_change change[7];
    size_t n, all = 0;
    while ((n = ta_vocabulary_decide(v, change, 7)) > 0) all += n;
    return all;
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    struct ta_vocabulary *v;
    static const struct {
        struct ta_vocabulary_config config;
        const char *part;
    } cases[] = {
        {{.rows = 0, .admit = 1, .n_ranks = 1}, "0 rows; it must be between 1"},
        {{.rows = UINT32_C(1) << 31, .admit = 1, .n_ranks = 1}, "2147483648 rows"},
        {{.rows = 5, .admit = 0, .n_ranks = 1}, "admit: 0; a word must be seen 1 time or more"},
        {{.rows = 5, .admit = 1, .candidates = UINT32_MAX, .n_ranks = 1}, "4294967295 candidates"},
        {{.rows = 5, .admit = 1, .n_ranks = 0}, "rank 0 of 0"},
        {{.rows = 5, .admit = 1, .rank = 2, .n_ranks = 2}, "rank 2 of 2"},
        {{.rows = 2, .admit = 1, .n_ranks = 3}, "2 rows for 3 replicas"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(TA_CONFIG, cases[i].part, ta_vocabulary_open(&cases[i].config, &v));
        assert_null(v);
    }
    ta_vocabulary_close(NULL);
}

static void memory_is_taken_once(void **state) {
    (void)state;
    size_t before = ta_mem_held_bytes();
    struct ta_vocabulary *v;
    struct ta_names names;
    int32_t words[8];
    unsigned nth = 1;
    for (;; nth++) {
        ta_mem_fail_nth(nth);
        ta_status status = ta_vocabulary_open(&small, &v);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_null(v);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
    ta_mem_fail_nth(0);
    assert_int_equal(nth, 8);
    assert_int_equal(ta_mem_held_bytes() - before, ta_vocabulary_bytes(v));
    ta_mem_fail_nth(1);
    for (int i = 0; i < 5000; i++) {
        char text[64];
        snprintf(text, sizeof text, "word%d common word%d", i, i / 2);
        assert_int_equal(ta_vocabulary_read(v, text, sizeof text, words, 8), 3);
        decide_all(v);
    }
    for (nth = 1; ta_mem_fail_nth(nth), ta_vocabulary_names(v, &names) != TA_OK; nth++)
        assert_int_equal(ta_mem_held_bytes() - before, ta_vocabulary_bytes(v));
    ta_mem_fail_nth(0);
    assert_true(nth > 1);
    assert_int_equal(names.count, 20);
    ta_names_free(&names);
    assert_sound(v, 20);
    ta_vocabulary_close(v);
    assert_int_equal(ta_mem_held_bytes(), before);
}

static void defaults_follow_from_rows(void **state) {
    (void)state;
    struct ta_vocabulary *v;
    struct ta_vocabulary_config large = {.rows = 200000, .admit = 5, .rank = 2, .n_ranks = 3};
    assert_ok(ta_vocabulary_open(&large, &v));
    assert_int_equal(v->config.candidates, 200000);
    assert_int_equal(v->config.admit, 2);
    assert_int_equal(v->config.fade_words, 20000000 / 3 + 1);
    assert_int_equal(v->own, 66666);
    ta_vocabulary_close(v);
    assert_ok(ta_vocabulary_open(&(struct ta_vocabulary_config){.rows = 9, .admit = 5, .n_ranks = 1}, &v));
    assert_int_equal(v->config.candidates, 1024);
    assert_int_equal(v->config.fade_words, 10000000);
    ta_vocabulary_close(v);
}

/* Text without an end: one word, or none. Each in a block of its own size. */
static void bytes_without_words(void **state) {
    (void)state;
    enum { MANY = 1 << 20 };
    struct ta_vocabulary *v;
    struct ta_vocabulary_stats stats;
    static int32_t words[4];
    assert_ok(ta_vocabulary_open(&small, &v));
    assert_int_equal(ta_vocabulary_read(v, NULL, 0, words, 4), 0);
    assert_int_equal(ta_vocabulary_read(v, "a b", 3, NULL, 0), 0);
    char *text = malloc(MANY);
    assert_non_null(text);
    memset(text, 0, MANY);
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 0);
    memset(text, ' ', MANY);
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 0);
    memset(text, 0xbf, MANY);
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 0);
    memset(text, 'x', MANY);
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 1);
    for (int i = 0; i < MANY / 3; i++) memcpy(text + 3 * i, "語", 3);
    text[MANY - 1] = ' ';
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 1);
    text[MANY - 1] = (char)0xe8; /* the first byte of a character that does not come */
    assert_int_equal(ta_vocabulary_read(v, text, MANY, words, 4), 0);
    free(text);

    ta_vocabulary_stats(v, &stats);
    assert_int_equal(stats.words, 2);
    assert_int_equal(stats.garbled, 2);
    assert_int_equal(decide_all(v), 2);
    assert_int_equal(ta_vocabulary_read(v, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 語語語語語語語語語語", 62, words, 4), 2);
    assert_int_equal(words[0], 0);
    assert_int_equal(words[1], 1);
    assert_sound(v, 20);
    ta_vocabulary_close(v);
}

static void rows_are_told_anything(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(7, 1);
    struct ta_vocabulary *v;
    char name[TA_VOCABULARY_WORD_BYTES + 1] = "word";
    int32_t word;
    assert_ok(ta_vocabulary_open(&small, &v));
    assert_false(ta_vocabulary_set(v, 20, name, 1));
    assert_false(ta_vocabulary_set(v, UINT32_MAX, name, 1));
    assert_true(ta_vocabulary_set(v, 3, name, UINT64_MAX));
    assert_false(ta_vocabulary_set(v, 3, name, 9));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ta_vocabulary_read(v, "word", 4, &word, 1), 1);
        assert_int_equal(word, 3);
        assert_sound(v, 20);
    }
    unsigned changes = 0;
    for (int i = 0; i < 20000; i++) {
        for (int at = 0; at <= TA_VOCABULARY_WORD_BYTES; at++) name[at] = (char)ta_rng_u32(&rng);
        /* Half of them are words, of which there are few: rows of one name. */
        if (i % 2 == 0) memset(name, 0, sizeof name), name[0] = (char)('a' + ta_rng_below(&rng, 6));
        changes += ta_vocabulary_set(v, ta_rng_below(&rng, 20), name, ta_rng_below(&rng, 3));
        if (i % 100 == 0) assert_sound(v, 20);
    }
    assert_true(changes > 5000);
    for (uint32_t row = 0; row < 20; row++) ta_vocabulary_set(v, row, "\0garbage that a torn row has left", 1);
    struct ta_vocabulary_stats stats;
    ta_vocabulary_stats(v, &stats);
    assert_int_equal(stats.used, 0);
    for (uint64_t at = 0; at < v->slots; at++) assert_int_equal(v->slot[at].used, 0);
    ta_vocabulary_close(v);
}

/* Row 0 is kept here, its word by somebody else, who then gives it row 1: row 0 is free now. */
static void a_row_that_lost_its_word_is_free(void **state) {
    (void)state;
    struct ta_vocabulary_config config = {.rows = 6, .admit = 2, .candidates = 10, .n_ranks = 2};
    struct ta_vocabulary_change change;
    struct ta_vocabulary *v;
    char names[6][TA_VOCABULARY_WORD_BYTES + 1] = {""}, text[16];
    int32_t word;
    assert_ok(ta_vocabulary_open(&config, &v));
    unsigned mine = 0, its = 0;
    for (unsigned i = 0; mine < 5 || its < 1; i++) {
        struct ta_word_key key = {{0}};
        memcpy(&key, text, (size_t)snprintf(text, sizeof text, "word%u", i));
        if (ta_word_keeper(v, ta_word_hash(&key)) == 1) strcpy(names[0], text), its = 1;
        else if (mine < 5) strcpy(names[++mine], text);
    }
    assert_true(ta_vocabulary_set(v, 0, names[0], 40)); /* rows 0, 2, 4 are full */
    assert_true(ta_vocabulary_set(v, 2, names[2], 20));
    assert_true(ta_vocabulary_set(v, 4, names[4], 20));
    for (int i = 0; i < 2; i++) assert_int_equal(ta_vocabulary_read(v, names[1], 32, &word, 1), 1);
    assert_int_equal(ta_vocabulary_decide(v, &change, 1), 0);
    assert_true(ta_vocabulary_set(v, 1, names[0], 0));
    assert_int_equal(ta_vocabulary_counts(v)[0], 0);
    assert_int_equal(ta_vocabulary_counts(v)[1], 40);
    assert_int_equal(ta_vocabulary_read(v, names[1], 32, &word, 1), 1);
    assert_int_equal(ta_vocabulary_decide(v, &change, 1), 1);
    assert_int_equal(change.row, 0);
    assert_string_equal(change.name, names[1]);
    assert_sound(v, 6);
    assert_int_equal(v->stats.evicted, 0);
    ta_vocabulary_close(v);
}

/* Words of the same hash, and of the same home around the end of the table: found, each once, after any removal. */
static void slots_of_equal_hashes(void **state) {
    (void)state;
    static const uint64_t hashes[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2};
    struct ta_rng rng = ta_rng_make(8, 1);
    struct ta_vocabulary *v;
    bool there[20] = {false};
    assert_ok(ta_vocabulary_open(&small, &v));
    for (uint32_t row = 0; row < 20; row++) v->name[row].part[0] = row + 1;
    for (int i = 0; i < 20000; i++) {
        uint32_t row = ta_rng_below(&rng, 20);
        uint64_t hash = hashes[row % 5];
        if (there[row]) ta_slot_remove(v, hash, row);
        else ta_slot_add(v, hash, row);
        there[row] = !there[row];
        for (uint32_t r = 0; r < 20; r++)
            assert_int_equal(ta_slot_find(v, &v->name[r], hashes[r % 5]), there[r] ? r : TA_SLOT_NONE);
    }
    ta_vocabulary_close(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_said),  cmocka_unit_test(memory_is_taken_once),
        cmocka_unit_test(defaults_follow_from_rows), cmocka_unit_test(bytes_without_words),
        cmocka_unit_test(rows_are_told_anything), cmocka_unit_test(slots_of_equal_hashes),
        cmocka_unit_test(a_row_that_lost_its_word_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
