/* Streams of words, of text and of pairs: the replayer hands every record out once, as it is stored; what the numbers
 * stand for is found; hostile files are refused in one clear line. */
#include "clock.h"
#include "expect.h"
#include "names.h"
#include "replayer.h"
#include "stream_file.h"
#include "writer.h"

enum { RECORDS = 1003, WORDS = 40, TEXT = 24, WIDTH = 3, TARGETS = 2, BATCH = 10 };

static char directory[64], path[128];

static int setup(void **state) {
    (void)state;
    scratch_open(directory);
    snprintf(path, sizeof path, "%s/w.h5", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_close(directory);
    return 0;
}

enum kind { SENTENCES, ONLINE, PAIRS };

/* Records that say who they are: no two begin alike. */
static void make_record(enum kind kind, int record, void *x, float *value) {
    int32_t *words = x;
    if (kind == ONLINE) {
        snprintf(x, TEXT, "record %d\xc3\xa9", record);
        return;
    }
    words[0] = record % WORDS;
    words[1] = record / WORDS;
    words[2] = kind == SENTENCES && record % 2 ? -1 : WORDS - 1;
    for (int i = 0; i < TARGETS; i++) value[i] = (float)(record * 2 + i);
}

static void write_stream(enum kind kind) {
    struct ta_stream_info info = {.h = 1, .w = 1, .c = kind == ONLINE ? TEXT : WIDTH, .scale = 1, .origin = "a test",
                                  .element = kind == ONLINE ? TA_ELEMENT_U8 : TA_ELEMENT_I32, .text = kind == ONLINE,
                                  .label_kind = kind == PAIRS ? TA_LABEL_VALUE : TA_LABEL_NONE, .targets = TARGETS};
    struct ta_stream_writer *w;
    assert_ok(ta_stream_writer_open(&(struct ta_stream_writer_config){.path = path, .force = true, .info = &info}, &w));
    for (int i = 0; i < RECORDS; i++) {
        int32_t x[TEXT] = {0};
        float value[TARGETS];
        make_record(kind, i, x, value);
        assert_ok(ta_stream_writer_append(w, 1, &(struct ta_stream_block){.x = x, .value = value}));
    }
    struct ta_names names = {0};
    for (int i = 0; i < WORDS; i++) {
        char word[16];
        assert_ok(ta_names_add(&names, word, (size_t)snprintf(word, sizeof word, "w%d", i), (uint64_t)(WORDS - i)));
    }
    if (kind == SENTENCES) assert_ok(ta_names_write(&names, ta_stream_writer_file(w)));
    if (kind == PAIRS) assert_ok(ta_h5_attr_set_i64(ta_stream_writer_file(w), "/", "vocabulary", WORDS));
    ta_names_free(&names);
    assert_ok(ta_stream_writer_commit(w));
    ta_stream_writer_close(w);
}

static struct ta_stream *open_stream(void) {
    struct ta_stream *s;
    assert_ok(ta_stream_open(&(struct ta_stream_spec){.file = path}, &s));
    return s;
}

static void streams_say_what_they_hold(void **state) {
    (void)state;
    for (enum kind kind = SENTENCES; kind <= PAIRS; kind++) {
        write_stream(kind);
        struct ta_stream *s = open_stream();
        assert_int_equal(s->info.text, kind == ONLINE);
        assert_int_equal(s->info.vocabulary, kind == ONLINE ? 0 : WORDS);
        assert_int_equal(s->info.label_kind, kind == PAIRS ? TA_LABEL_VALUE : TA_LABEL_NONE);
        assert_true(s->info.scale == 1);
        ta_stream_close(s);
        struct ta_names names;
        if (kind != SENTENCES) {
            assert_fails(TA_FORMAT, "has no /vocabulary", ta_stream_names(path, &names));
            assert_int_equal(names.count, 0);
            continue;
        }
        assert_ok(ta_stream_names(path, &names));
        assert_int_equal(names.count, WORDS);
        assert_string_equal(ta_names_get(&names, 7), "w7");
        assert_int_equal(names.counts[7], WORDS - 7);
        ta_names_free(&names);
    }
    struct ta_names names;
    assert_fails(TA_IO, "nowhere", ta_stream_names("nowhere/s.h5", &names));
}

static void text_is_bytes_in_rows(void **state) {
    (void)state;
    struct ta_stream_info info = {.h = 1, .w = 1, .c = TEXT, .element = TA_ELEMENT_I32, .text = true};
    struct ta_stream_writer *w;
    const struct ta_stream_writer_config config = {.path = path, .force = true, .info = &info};
    assert_fails(TA_INVALID, "text is stored as a row of bytes", ta_stream_writer_open(&config, &w));
    info.element = TA_ELEMENT_U8;
    info.w = 2;
    assert_fails(TA_INVALID, "text is stored as a row of bytes", ta_stream_writer_open(&config, &w));
    assert_null(w);
}

/* ---- the replayer ---- */

static ta_status patient_next(struct ta_replayer *r, const struct ta_batch **batch) {
    int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    ta_status status;
    while ((status = ta_replayer_next(r, 0, batch)) == TA_AGAIN)
        if (ta_clock_now_ns() > limit_ns) fail_msg("nothing was read for 20 seconds");
    return status;
}

static void check_batch(enum kind kind, const struct ta_batch *b) {
    size_t x_bytes = kind == ONLINE ? TEXT : WIDTH * sizeof(int32_t);
    assert_null(b->x);
    assert_null(b->classes);
    assert_true((b->targets != NULL) == (kind == PAIRS));
    for (uint32_t i = 0; i < b->records; i++) {
        int32_t x[TEXT] = {0};
        float value[TARGETS];
        make_record(kind, (int)((b->first_record + i) % RECORDS), x, value);
        assert_memory_equal((const char *)b->raw + i * x_bytes, x, x_bytes);
        if (kind == PAIRS) assert_memory_equal(b->targets + (size_t)i * TARGETS, value, sizeof value);
    }
}

static void replicas_see_every_record_once(void **state) {
    (void)state;
    for (enum kind kind = SENTENCES; kind <= PAIRS; kind++) {
        write_stream(kind);
        for (unsigned n = 1; n <= 3; n++) {
            unsigned seen[2 * RECORDS] = {0};
            for (unsigned rank = 0; rank < n; rank++) {
                struct ta_stream *s = open_stream();
                struct ta_share share;
                struct ta_replayer *r;
                const struct ta_batch *b;
                assert_ok(ta_share_init(&share, rank, n, NULL));
                struct ta_replayer_config config = {
                    .stream = s, .share = &share, .batch = BATCH, .epochs = 2, .ring = 4}; /* over the end of a pass */
                assert_ok(ta_replayer_open(&config, &r));
                ta_replayer_start(r, 0);
                while (patient_next(r, &b) == TA_OK) {
                    check_batch(kind, b);
                    for (uint32_t i = 0; i < b->records; i++) seen[b->first_record + i]++;
                    ta_replayer_release(r, b);
                }
                ta_replayer_close(r);
                ta_share_free(&share);
                ta_stream_close(s);
            }
            for (int i = 0; i < 2 * RECORDS; i++) assert_int_equal(seen[i], 1);
        }
    }
}

/* The ring of words and text holds what is stored, no more. */
static void the_ring_is_as_large_as_what_is_stored(void **state) {
    (void)state;
    size_t bytes[3];
    for (enum kind kind = SENTENCES; kind <= PAIRS; kind++) {
        write_stream(kind);
        struct ta_stream *s = open_stream();
        struct ta_share share;
        struct ta_replayer *small, *large;
        assert_ok(ta_share_init(&share, 0, 1, NULL));
        struct ta_replayer_config config = {.stream = s, .share = &share, .batch = 100, .epochs = 1, .ring = 1};
        assert_ok(ta_replayer_open(&config, &small));
        size_t said = ta_replayer_bytes(small);
        ta_replayer_close(small);
        config.ring = 1001;
        size_t before = ta_mem_held_bytes();
        assert_ok(ta_replayer_open(&config, &large));
        size_t held = ta_mem_held_bytes() - before, all = ta_replayer_bytes(large);
        assert_in_range(held, all, all + all / 2); /* the reader may hold chunks of the file meanwhile */
        bytes[kind] = (all - said) / 1000;
        ta_replayer_close(large);
        ta_share_free(&share);
        ta_stream_close(s);
    }
    assert_int_equal(bytes[ONLINE] - bytes[SENTENCES], 100 * (TEXT - WIDTH * 4));
    assert_int_equal(bytes[PAIRS] - bytes[SENTENCES], 100 * TARGETS * sizeof(float));
}

/* ---- hostile files ---- */

struct hostile {
    struct file_spec spec;
    int64_t said;           /* attribute vocabulary; -2: none */
    uint64_t listed;        /* rows of /vocabulary; 0: none */
    const char *content;    /* NULL: none */
};

static void store(const struct hostile *h) {
    file_write(path, &h->spec);
    struct ta_h5 *file;
    assert_ok(ta_h5_open(path, TA_H5_UPDATE, &file));
    if (h->said != -2) assert_ok(ta_h5_attr_set_i64(file, "/", "vocabulary", h->said));
    if (h->content != NULL) assert_ok(ta_h5_attr_set_text(file, "/", "content", h->content));
    struct ta_h5_shape shape = {.type = TA_H5_U8, .rank = 2, .dims = {h->listed, 2}};
    static const char words[200];
    if (h->listed > 0) assert_ok(ta_h5_write_all(file, "/vocabulary", &shape, words));
    assert_ok(ta_h5_close(file));
}

static struct hostile words_file(void) {
    struct hostile h = {.spec = file_good(), .said = -2};
    h.spec.x = (struct file_set){.type = TA_H5_I32, .rank = 2, .dims = {10, 6}, .modulus = 60};
    h.spec.x.has_odd = true, h.spec.x.odd = -1; /* padding, in front */
    h.spec.y.rank = 0;
    return h;
}

static void hostile_files_are_refused_when_opened(void **state) {
    (void)state;
    struct hostile h;
    struct ta_stream *s;
#define REFUSED(says, ...)                                                                                             \
    do {                                                                                                               \
        h = words_file();                                                                                              \
        __VA_ARGS__;                                                                                                   \
        store(&h);                                                                                                     \
        size_t held = ta_mem_held_bytes();                                                                             \
        assert_fails(TA_FORMAT, says, ta_stream_hdf5_open(path, &s));                                                  \
        if (strstr(ta_why(), path) == NULL) fail_msg("'%s' does not name the file", ta_why());                         \
        assert_int_equal(ta_mem_held_bytes(), held);                                                                   \
    } while (0)
    REFUSED("attribute 'vocabulary' is 0", h.said = 0);
    REFUSED("attribute 'vocabulary' is -1", h.said = -1);
    REFUSED("attribute 'vocabulary' is 2147483649", h.said = INT64_C(2147483649));
    REFUSED("/vocabulary: has 59 words, attribute 'vocabulary' says 60", h.said = 60, h.listed = 59);
    REFUSED("is called text, but holds float32 of rank 2", h.content = "text", h.spec.x.type = TA_H5_F32);
    REFUSED("is called text, but holds uint8 of rank 4", h.content = "text", h.spec = file_good());
    REFUSED("'content' is 'sound'", h.content = "sound", h.spec = file_good());
#undef REFUSED
}

static void need_read(ta_status wanted, const char *says, uint64_t first, size_t count) {
    int32_t x[60];
    struct ta_stream *s = open_stream();
    ta_why_clear();
    ta_status status = s->ops->read(s, first, count, &(struct ta_stream_block){.x = x});
    if (status != wanted || strstr(ta_why(), says) == NULL || (status != TA_OK && strstr(ta_why(), path) == NULL))
        fail_msg("%s: '%s' does not say '%s'", ta_status_name(status), ta_why(), says);
    ta_stream_close(s);
}

static void numbers_beyond_the_vocabulary_are_found_when_read(void **state) {
    (void)state;
    struct hostile h = words_file();
    store(&h);
    need_read(TA_OK, "", 0, 10); /* it does not say how many words there are */
    h.said = 60;
    h.listed = 60;
    store(&h);
    need_read(TA_OK, "", 0, 10);
    h.said = -2;
    h.listed = 59; /* the list alone says it; the largest number is 59 */
    store(&h);
    need_read(TA_OK, "", 0, 9);
    need_read(TA_FORMAT, "record 9 holds word number 59 at element 5; the 59 words are 0..58", 0, 10);
    need_read(TA_FORMAT, "record 9 holds word number 59 at element 5", 9, 1);
    h.listed = 0;
    h.said = 12;
    store(&h);
    need_read(TA_FORMAT, "record 2 holds word number 12 at element 0; the 12 words are 0..11", 0, 10);
    const double odd[] = {-2, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 3; i++) {
        char says[64];
        h = words_file();
        h.said = i == 0 ? -2 : 60;
        h.spec.x.odd_at = 27;
        h.spec.x.odd = odd[i];
        store(&h);
        snprintf(says, sizeof says, "record 4 holds word number %.0f at element 3", odd[i]);
        need_read(TA_FORMAT, says, 0, 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_say_what_they_hold),
        cmocka_unit_test(text_is_bytes_in_rows),
        cmocka_unit_test(replicas_see_every_record_once),
        cmocka_unit_test(the_ring_is_as_large_as_what_is_stored),
        cmocka_unit_test(hostile_files_are_refused_when_opened),
        cmocka_unit_test(numbers_beyond_the_vocabulary_are_found_when_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
