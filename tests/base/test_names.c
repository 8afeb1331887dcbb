/* names: what is added comes back, from memory and from a file; UTF-8 against glibc's iconv; hostile vocabularies. */
#include "names.h"

#include <iconv.h>

#include "check.h"
#include "rng.h"

static char directory[64];

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int setup(void **state) {
    (void)state;
    scratch_make(directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_remove(directory);
    return 0;
}

/* Word i of the samples: of 0 to 40 bytes, some empty, many not ASCII. */
static size_t sample(size_t i, char word[64]) {
    static const char *const letters[] = {"a", "z", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\x8d", "-"};
    size_t bytes = 0;
    for (size_t j = 0, n = i * 7 % 11; j < n; j++) {
        const char *letter = letters[(i + j * j) % 6];
        memcpy(word + bytes, letter, strlen(letter));
        bytes += strlen(letter);
    }
    word[bytes] = '\0';
    return bytes;
}

static void fill(struct ta_names *names, size_t count) {
    char word[64];
    for (size_t i = 0; i < count; i++) {
        size_t bytes = sample(i, word);
        assert_ok(ta_names_add(names, word, bytes, i * 3));
    }
}

static void need_same(const struct ta_names *names, size_t count, bool with_counts) {
    char word[64];
    assert_int_equal(names->count, count);
    for (size_t i = 0; i < count; i++) {
        sample(i, word);
        assert_string_equal(ta_names_get(names, i), word);
        assert_int_equal(names->counts[i], with_counts ? i * 3 : 0);
    }
}

static void words_come_back_in_order(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    struct ta_names names = {0};
    fill(&names, 5000);
    need_same(&names, 5000, true);
    assert_ok(ta_names_add(&names, "cut\0here", 8, 1));
    assert_string_equal(ta_names_get(&names, 5000), "cut");
    static char longest[100000];
    memset(longest, 'w', sizeof longest);
    assert_ok(ta_names_add(&names, longest, sizeof longest, 1));
    assert_int_equal(strlen(ta_names_get(&names, 5001)), sizeof longest);
    ta_names_free(&names);
    ta_names_free(&names);
    assert_int_equal(ta_mem_held_bytes(), held);
}

static uint64_t checksum_of(const char *const *words, size_t count, uint64_t seen) {
    struct ta_names names = {0};
    for (size_t i = 0; i < count; i++) assert_ok(ta_names_add(&names, words[i], strlen(words[i]), seen));
    uint64_t sum = ta_names_checksum(&names);
    ta_names_free(&names);
    return sum;
}

static void checksums_tell_lists_apart(void **state) {
    (void)state;
    const char *ab[] = {"a", "b"}, *ba[] = {"b", "a"}, *joined[] = {"ab"}, *shifted[] = {"", "ab"}, *gap[] = {"ab", ""};
    uint64_t sum = checksum_of(ab, 2, 1);
    assert_true(sum == checksum_of(ab, 2, 9)); /* counts are no part of it */
    uint64_t others[] = {checksum_of(ba, 2, 1),      checksum_of(joined, 1, 1), checksum_of(shifted, 2, 1),
                         checksum_of(gap, 2, 1), checksum_of(ab, 1, 1),     checksum_of(NULL, 0, 1), sum};
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            if (others[i] == others[j]) fail_msg("lists %zu and %zu have one checksum", i, j);
}

/* ---- UTF-8 ---- */

static bool iconv_takes(iconv_t to_wide, const char *text, size_t bytes) {
    char *in = (char *)(uintptr_t)text, wide[256], *out = wide;
    size_t in_left = bytes, out_left = sizeof wide;
    iconv(to_wide, NULL, NULL, NULL, NULL);
    return iconv(to_wide, &in, &in_left, &out, &out_left) != (size_t)-1 && in_left == 0;
}

static void need_agreement(iconv_t to_wide, const char *text, size_t bytes) {
    bool wanted = iconv_takes(to_wide, text, bytes);
    if (ta_names_utf8(text, bytes) == wanted) return;
    char shown[128];
    for (size_t i = 0; i < bytes && i < 40; i++) snprintf(shown + 3 * i, 4, "%02x ", (unsigned char)text[i]);
    fail_msg("%s: iconv says %s", shown, wanted ? "UTF-8" : "not UTF-8");
}

static void utf8_is_what_iconv_takes_for_it(void **state) {
    (void)state;
    iconv_t to_wide = iconv_open("UTF-32LE", "UTF-8");
    assert_true(to_wide != (iconv_t)-1);
    static const unsigned char edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    unsigned char text[24];
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (unsigned tail = 0; tail < 100; tail++) {
                memcpy(text, (unsigned char[]){(unsigned char)first, (unsigned char)second, edges[tail / 10],
                                               edges[tail % 10]}, 4);
                size_t bytes = tail == 0 ? 2 : tail < 10 ? 3 : 4;
                if (first < 0xc0 && bytes > 2) break; /* seen by the last one */
                need_agreement(to_wide, (char *)text, bytes);
            }
    struct ta_rng rng = ta_rng_make(5, 0);
    for (int i = 0; i < 20000; i++) { /* one odd byte anywhere in a text of any length */
        char word[64];
        size_t bytes = sample((size_t)i, word);
        if (bytes == 0) continue;
        need_agreement(to_wide, word, bytes);
        word[ta_rng_below(&rng, (uint32_t)bytes)] = (char)ta_rng_below(&rng, 256);
        for (size_t cut = 0; cut <= bytes; cut += 1 + bytes / 4) need_agreement(to_wide, word, cut);
    }
    iconv_close(to_wide);
}

/* Every character there is, wherever it lies among ASCII; no surrogate. */
static void all_characters_pass(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110800; c++) {
        char text[32];
        memset(text, 'x', sizeof text);
        size_t at = c % 17, n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (size_t i = 0; i < n; i++) {
            unsigned bits = c >> (6 * (n - 1 - i));
            text[at + i] = (char)(i == 0 ? marks[n] | bits : 0x80 | (bits & 0x3f));
        }
        bool wanted = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
        if (ta_names_utf8(text, sizeof text) != wanted) fail_msg("U+%04X is %sa character", c, wanted ? "" : "not ");
        if (n > 1 && wanted && ta_names_utf8(text, at + n - 1)) fail_msg("U+%04X passes though it is cut", c);
    }
}

/* ---- files ---- */

static ta_status write_names(const struct ta_names *names, const char *name) {
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path_of(name), TA_H5_CREATE, &file);
    if (status != TA_OK) return status;
    status = ta_names_write(names, file);
    ta_status closed = ta_h5_close(file);
    return status == TA_OK ? closed : status;
}

static ta_status read_names(struct ta_names *names, const char *name) {
    struct ta_h5 *file;
    char path[128];
    snprintf(path, sizeof path, "%s", path_of(name));
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = ta_names_read(names, file, path);
    ta_h5_close(file);
    return status;
}

static void files_hold_the_same_words(void **state) {
    (void)state;
    const size_t sizes[] = {1, 2, 511, 20000}; /* the last in several blocks */
    for (size_t i = 0; i < 4; i++) {
        struct ta_names names = {0}, again = {0};
        fill(&names, sizes[i]);
        assert_ok(write_names(&names, "v.h5"));
        assert_ok(read_names(&again, "v.h5"));
        need_same(&again, sizes[i], true);
        assert_true(ta_names_checksum(&again) == ta_names_checksum(&names));
        ta_names_free(&names);
        ta_names_free(&again);
    }
}

static void nothing_is_written_that_cannot_be_read(void **state) {
    (void)state;
    static char longest[4097];
    memset(longest, 'w', sizeof longest);
    struct ta_names names = {0}, again = {0};
    assert_fails(TA_INVALID, "0 words", write_names(&names, "none.h5"));
    assert_ok(ta_names_add(&names, longest, 4096, UINT64_MAX));
    assert_ok(write_names(&names, "long.h5"));
    assert_ok(read_names(&again, "long.h5"));
    assert_int_equal(strlen(ta_names_get(&again, 0)), 4096);
    assert_int_equal(again.counts[0], INT64_MAX);
    ta_names_free(&again);
    assert_ok(ta_names_add(&names, longest, 4097, 1));
    assert_fails(TA_INVALID, "4097 bytes", write_names(&names, "long.h5"));
    ta_names_free(&names);
    assert_ok(ta_names_add(&names, "caf\xe9", 4, 1));
    assert_fails(TA_INVALID, "not UTF-8", write_names(&names, "latin.h5"));
    ta_names_free(&names);
}

/* A vocabulary that is right but for what a test changes in it. */
struct hostile {
    struct ta_h5_shape words, counts; /* rank 0: left out */
    const void *word_data, *count_data;
    int64_t said; /* -2: no attribute */
};

static const struct hostile right = {
    .words = {.type = TA_H5_U8, .rank = 2, .dims = {2, 3}},
    .counts = {.type = TA_H5_I64, .rank = 1, .dims = {2}},
    .word_data = "cat\xc3\xa9",
    .count_data = (const int64_t[]){5, 4},
    .said = 2,
};

static void store(const struct hostile *h) {
    struct ta_h5 *file;
    assert_ok(ta_h5_open(path_of("hostile.h5"), TA_H5_CREATE, &file));
    if (h->words.rank > 0) assert_ok(ta_h5_write_all(file, "/vocabulary", &h->words, h->word_data));
    if (h->counts.rank > 0) assert_ok(ta_h5_write_all(file, "/vocabulary_count", &h->counts, h->count_data));
    if (h->said != -2) assert_ok(ta_h5_attr_set_i64(file, "/", "vocabulary", h->said));
    assert_ok(ta_h5_close(file));
}

static void refused(const struct hostile *h, const char *says) {
    size_t held = ta_mem_held_bytes();
    struct ta_names names;
    store(h);
    assert_fails(TA_FORMAT, says, read_names(&names, "hostile.h5"));
    if (strstr(ta_why(), "hostile.h5: ") == NULL) fail_msg("'%s' does not name the file", ta_why());
    assert_int_equal(names.count, 0);
    assert_null(names.text);
    assert_int_equal(ta_mem_held_bytes(), held);
}

static void hostile_vocabularies_are_refused(void **state) {
    (void)state;
    struct ta_names names;
    store(&right);
    assert_ok(read_names(&names, "hostile.h5"));
    assert_string_equal(ta_names_get(&names, 0), "cat");
    assert_string_equal(ta_names_get(&names, 1), "\xc3\xa9");
    ta_names_free(&names);
    struct hostile h = right;
    h.counts.rank = 0;
    h.said = -2; /* a vocabulary made by hand: words alone */
    store(&h);
    assert_ok(read_names(&names, "hostile.h5"));
    assert_int_equal(names.counts[0], 0);
    ta_names_free(&names);

    static char wide[2 * 4097];
    static const float reals[6];
#define REFUSED(says, ...)                                                                                             \
    do {                                                                                                               \
        h = right;                                                                                                     \
        __VA_ARGS__;                                                                                                   \
        refused(&h, says);                                                                                             \
    } while (0)
    REFUSED("is not in the file", h.words.rank = 0);
    REFUSED("is float32 of rank 2", h.words.type = TA_H5_F32, h.word_data = reals);
    REFUSED("is uint8 of rank 1", h.words.rank = 1);
    REFUSED("of 4097 bytes", h.words.dims[1] = 4097, h.word_data = wide);
    REFUSED("0 words", h.words.dims[0] = 0);
    REFUSED("of 0 bytes", h.words.dims[1] = 0);
    REFUSED("is float32 of rank 1", h.counts.type = TA_H5_F32, h.count_data = reals);
    REFUSED("is int64 of rank 2", h.counts.rank = 2, h.counts.dims[1] = 1);
    REFUSED("has 1 counts, /vocabulary has 2", h.counts.dims[0] = 1);
    REFUSED("(\xc3\xa9) was seen -1 times", h.count_data = ((const int64_t[]){5, -1}));
    REFUSED("word 1 is not UTF-8", h.word_data = "cat\xc3\0\0");
    REFUSED("word 0 is not UTF-8", h.word_data = "ca\xc3\xa9\0"); /* a character across two words */
    REFUSED("word 1 (x) goes on behind a NUL", h.word_data = "catx\0y");
    REFUSED("says 3", h.said = 3);
    REFUSED("says -1", h.said = -1);
#undef REFUSED
}

static void failing_allocations_leave_nothing(void **state) {
    (void)state;
    struct ta_names names = {0};
    fill(&names, 3000);
    assert_ok(write_names(&names, "memory.h5"));
    for (int phase = 0; phase < 3; phase++) {
        ta_status status = TA_NO_MEMORY;
        unsigned n = 0;
        while (status != TA_OK) {
            size_t held = ta_mem_held_bytes();
            struct ta_names again = {0};
            ta_mem_fail_nth(++n);
            if (phase == 0) status = write_names(&names, "again.h5");
            else if (phase == 1) status = read_names(&again, "memory.h5");
            else
                for (size_t i = status = TA_OK; i < 600 && status == TA_OK; i++)
                    status = ta_names_add(&again, "a word of some bytes", 20, 1);
            ta_mem_fail_nth(0);
            if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
            for (size_t i = 0; phase == 2 && i < again.count; i++)
                assert_int_equal(strlen(ta_names_get(&again, i)), 20);
            ta_names_free(&again);
            assert_int_equal(ta_mem_held_bytes(), held);
        }
        assert_in_range(n, 5, 40);
    }
    ta_names_free(&names);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_back_in_order),
        cmocka_unit_test(checksums_tell_lists_apart),
        cmocka_unit_test(utf8_is_what_iconv_takes_for_it),
        cmocka_unit_test(all_characters_pass),
        cmocka_unit_test(files_hold_the_same_words),
        cmocka_unit_test(nothing_is_written_that_cannot_be_read),
        cmocka_unit_test(hostile_vocabularies_are_refused),
        cmocka_unit_test(failing_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
