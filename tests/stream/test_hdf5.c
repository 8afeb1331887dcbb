/* Stream files: what is right is read right, what is wrong is refused in one clear line, and nothing a file says can
 * crash us. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "mem.h"
#include "replayer.h"
#include "stream_file.h"

static char directory[64], path[128];

static int setup(void **state) {
    (void)state;
    scratch_open(directory);
    snprintf(path, sizeof path, "%s/s.h5", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_close(directory);
    return 0;
}

static struct ta_stream *open_stream(const struct file_spec *spec) {
    struct ta_stream *s;
    file_write(path, spec);
    if (ta_stream_hdf5_open(path, &s) != TA_OK) fail_msg("open: %s", ta_why());
    return s;
}

static void said(const char *word) {
    if (strstr(ta_why(), word) == NULL || strstr(ta_why(), path) == NULL)
        fail_msg("'%s' does not say '%s'", ta_why(), word);
}

static void a_good_file_reads_back(void **state) {
    (void)state;
    struct file_spec spec = file_good();
    spec.t = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {10}};
    spec.delay = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {10}, .modulus = 3};
    struct ta_stream *s = open_stream(&spec);
    const struct ta_stream_info *info = &s->info;
    assert_string_equal(s->ops->name, "hdf5");
    assert_true(info->records == 10 && info->h == 4 && info->w == 3 && info->c == 2 && info->classes == 5);
    assert_true(info->element == TA_ELEMENT_U8 && info->label_kind == TA_LABEL_CLASS && info->has_time &&
                info->has_delay);
    assert_true(info->scale == 0.25F && info->offset == 0 && info->checksum == 0xdeadbeef);
    assert_string_equal(info->origin, "a test");
    assert_true(info->block >= 10 && info->block % 3 == 0);
    for (uint64_t first = 0; first <= 10; first++)
        for (uint64_t count = 0; first + count <= 10; count++) {
            uint8_t x[240];
            int32_t class[10];
            int64_t time[10], delay[10];
            struct ta_stream_block out = {.x = x, .class = class, .time_ns = time, .delay = delay};
            assert_int_equal(s->ops->read(s, first, count, &out), TA_OK);
            for (uint64_t i = 0; i < count * 24; i++) assert_int_equal(x[i], (first * 24 + i) % 251);
            for (uint64_t i = 0; i < count; i++) {
                assert_int_equal(class[i], (first + i) % 5);
                assert_int_equal(time[i], first + i);
                assert_int_equal(delay[i], (first + i) % 3);
            }
        }
    assert_int_equal(s->ops->read(s, 9, 2, &(struct ta_stream_block){0}), TA_END);
    assert_int_equal(s->ops->read(s, 1, UINT64_MAX, &(struct ta_stream_block){0}), TA_END);
    ta_stream_close(s);
    ta_stream_close(NULL);
}

/* Every type that is accepted, with no attributes at all. */
static void files_made_by_hand_work(void **state) {
    (void)state;
    const enum ta_h5_type labels[] = {TA_H5_U8, TA_H5_I32, TA_H5_I64, TA_H5_U64, TA_H5_I8};
    const enum ta_h5_type data[] = {TA_H5_U8, TA_H5_F32, TA_H5_F64, TA_H5_I32};
    for (int d = 0; d < 4; d++)
        for (int l = 0; l < 5; l++)
            for (unsigned rank = 2; rank <= 4; rank++) {
                struct file_spec spec = {.x = {.type = data[d], .rank = rank, .dims = {7, 2, 3, 4}, .modulus = 100},
                                         .y = {.type = labels[l], .rank = 1 + l % 2, .dims = {7, 1}, .modulus = 4}};
                struct ta_stream *s = open_stream(&spec);
                const struct ta_stream_info *info = &s->info;
                assert_int_equal(info->classes, 4);
                assert_true(info->h == (rank > 2 ? 2 : 1) && info->w == (rank > 2 ? 3 : 1));
                assert_int_equal(info->c, rank == 2 ? 2 : rank == 3 ? 1 : 4);
                assert_true(info->scale == (d == 0 ? 1.0F / 255 : 1) && info->checksum == 0 && info->block == 0);
                assert_non_null(strstr(info->origin, "without attributes"));
                unsigned char x[7 * 24 * 4];
                int32_t class[7];
                assert_int_equal(s->ops->read(s, 0, 7, &(struct ta_stream_block){.x = x, .class = class}), TA_OK);
                for (int i = 0; i < 7; i++) assert_int_equal(class[i], i % 4);
                float third = d == 0 ? x[3] : 0;
                if (info->element == TA_ELEMENT_F32) memcpy(&third, x + 12, 4);
                if (info->element == TA_ELEMENT_I32) third = (float)((int32_t *)(void *)x)[3];
                assert_true(third == 3);
                ta_stream_close(s);
            }
}

static void values_and_no_labels(void **state) {
    (void)state;
    for (unsigned targets = 1; targets <= 3; targets++) {
        struct file_spec spec = file_good();
        spec.y = (struct file_set){.type = TA_H5_F32, .rank = targets == 1 ? 1 : 2, .dims = {10, targets}};
        spec.y.has_odd = true, spec.y.odd_at = 2, spec.y.odd = NAN; /* no label */
        struct ta_stream *s = open_stream(&spec);
        assert_true(s->info.label_kind == TA_LABEL_VALUE && s->info.targets == targets && s->info.classes == 0);
        float value[30];
        assert_int_equal(s->ops->read(s, 0, 10, &(struct ta_stream_block){.value = value}), TA_OK);
        for (unsigned i = 0; i < 10 * targets; i++) assert_true(i == 2 ? isnan(value[i]) : value[i] == (float)i);
        ta_stream_close(s);
    }
    struct file_spec text = {.x = {.type = TA_H5_I32, .rank = 2, .dims = {10, 5}}};
    struct ta_stream *s = open_stream(&text);
    assert_int_equal(s->info.label_kind, TA_LABEL_NONE);
    ta_stream_close(s);
}

struct hostile {
    const char *word;
    struct file_spec spec;
};

static struct file_spec *vary(struct hostile *cases, int *n, const char *word) {
    cases[*n] = (struct hostile){.word = word, .spec = file_good()};
    return &cases[(*n)++].spec;
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    struct hostile cases[40];
    int n = 0;
    vary(cases, &n, "/x: is not in the file")->x.rank = 0;
    vary(cases, &n, "/x: has rank 1")->x.rank = 1;
    vary(cases, &n, "/x: holds int64")->x.type = TA_H5_I64;
    vary(cases, &n, "/x: holds int8")->x.type = TA_H5_I8;
    *vary(cases, &n, "/x: dimension 0 is 0") =
        (struct file_spec){.x = {.type = TA_H5_U8, .rank = 2, .dims = {0, 4}, .chunk_rows = 1}};
    vary(cases, &n, "/y: has 9 records, /x has 10")->y.dims[0] = 9;
    vary(cases, &n, "/y: has 11 records, /x has 10")->y.dims[0] = 11;
    struct file_spec *one_hot = vary(cases, &n, "argmax");
    one_hot->y.rank = 2, one_hot->y.dims[1] = 5;
    vary(cases, &n, "is a 'tensair-checkpoint', not a 'tensair-stream'")->format = "tensair-checkpoint";
    vary(cases, &n, "'version' is 2")->version = 2;
    vary(cases, &n, "'version'")->version = -1;
    vary(cases, &n, "'records' says 11")->records = 11;
    vary(cases, &n, "'classes' is 0")->classes = 0;
    vary(cases, &n, "'classes' is 4294967296")->classes = INT64_C(1) << 32;
    vary(cases, &n, "'scale' is inf")->scale = INFINITY;
    vary(cases, &n, "'scale' is 1e+300")->scale = 1e300;
    vary(cases, &n, "'checksum' is 'xyz'")->checksum = "xyz";
    vary(cases, &n, "/t: has 3 records")->t = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {3}};
    vary(cases, &n, "/t: is float64")->t = (struct file_set){.type = TA_H5_F64, .rank = 1, .dims = {10}};
    vary(cases, &n, "/label_delay: is int64 of rank 2")->delay =
        (struct file_set){.type = TA_H5_I64, .rank = 2, .dims = {10, 2}};
    struct file_spec *by_hand = vary(cases, &n, "/y: record 6 has label -7");
    by_hand->format = NULL, by_hand->y.has_odd = true, by_hand->y.odd_at = 6, by_hand->y.odd = -7;
    *vary(cases, &n, "/y: is not in the file") = (struct file_spec){.x = file_good().x};
    for (int i = 0; i < n; i++) {
        struct ta_stream *s;
        file_write(path, &cases[i].spec);
        ta_status status = ta_stream_hdf5_open(path, &s);
        if (status != TA_FORMAT || s != NULL) fail_msg("'%s': %s", cases[i].word, ta_status_name(status));
        said(cases[i].word);
    }
}

static void bad_records_are_named(void **state) {
    (void)state;
    struct hostile cases[16];
    int n = 0;
    struct file_spec *c = vary(cases, &n, "/y: record 7 has label 5; the 5 classes are 0..4");
    c->y.has_odd = true, c->y.odd_at = 7, c->y.odd = 5;
    c = vary(cases, &n, "/y: record 7 has label -2");
    c->y.has_odd = true, c->y.odd_at = 7, c->y.odd = -2;
    c = vary(cases, &n, "/y: record 7 has label 1099511627776");
    c->y.type = TA_H5_I64, c->y.has_odd = true, c->y.odd_at = 7, c->y.odd = 0x1p40;
    c = vary(cases, &n, "/y: record 7 holds inf at target 1");
    c->y = (struct file_set){
        .type = TA_H5_F32, .rank = 2, .dims = {10, 2}, .has_odd = true, .odd_at = 15, .odd = INFINITY};
    c = vary(cases, &n, "/x: record 7 holds nan at element 4");
    c->x.type = TA_H5_F32, c->x.has_odd = true, c->x.odd_at = 7 * 24 + 4, c->x.odd = NAN;
    c = vary(cases, &n, "/x: record 7 holds -inf at element 0");
    c->x.type = TA_H5_F32, c->x.has_odd = true, c->x.odd_at = 7 * 24, c->x.odd = -INFINITY;
    c = vary(cases, &n, "/x: record 7 holds inf at element 23"); /* too large for float32 */
    c->x.type = TA_H5_F64, c->x.has_odd = true, c->x.odd_at = 7 * 24 + 23, c->x.odd = 1e300;
    c = vary(cases, &n, "/t: falls from 6 to 5 ns at record 7");
    c->t = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {10}, .has_odd = true, .odd_at = 7, .odd = 5};
    c = vary(cases, &n, "/label_delay: record 7 has -1");
    c->delay = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {10}, .has_odd = true, .odd_at = 7, .odd = -1};
    for (int i = 0; i < n; i++) {
        struct ta_stream *s = open_stream(&cases[i].spec);
        float x[240], value[20];
        int32_t class[10];
        int64_t time[10], delay[10];
        struct ta_stream_block out = {.x = x, .class = class, .value = value, .time_ns = time, .delay = delay};
        assert_int_equal(s->ops->read(s, 0, 7, &out), TA_OK);
        assert_int_equal(s->ops->read(s, 8, 2, &out), TA_OK);
        assert_int_equal(s->ops->read(s, 0, 10, &out), TA_FORMAT);
        said(cases[i].word);
        assert_int_equal(s->ops->read(s, 7, 1, &out), TA_FORMAT);
        said(cases[i].word);
        ta_stream_close(s);
    }
}

static void not_even_a_file(void **state) {
    (void)state;
    struct ta_stream *s;
    remove(path);
    assert_int_equal(ta_stream_hdf5_open(path, &s), TA_IO);
    said("No such file");
    file_store(path, (const unsigned char *)"", 0);
    assert_int_equal(ta_stream_hdf5_open(path, &s), TA_FORMAT);
    said("empty");
    file_store(path, (const unsigned char *)"x,y\n1,2\n", 8);
    assert_int_equal(ta_stream_hdf5_open(path, &s), TA_FORMAT);
    said("not an HDF5 file");
    remove(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ta_stream_hdf5_open(path, &s), TA_IO);
    said("directory");
    assert_int_equal(remove(path), 0);
    assert_int_equal(ta_stream_open(&(struct ta_stream_spec){0}, &s), TA_CONFIG);
    struct ta_stream_spec both = {.file = path, .generator = (char[]){"sea"}};
    assert_int_equal(ta_stream_open(&both, &s), TA_CONFIG);
}

/* Opens what may be damaged and reads all of it. OK, or a failure with a message. */
static ta_status try_all(void) {
    struct ta_stream *s;
    ta_why_clear();
    ta_status status = ta_stream_hdf5_open(path, &s);
    if (status == TA_OK) {
        size_t bytes = ta_stream_x_bytes(&s->info);
        uint64_t step = 3, records = s->info.records < 100 ? s->info.records : 100;
        if (bytes < 1 << 16) {
            void *x = malloc(step * bytes);
            int32_t class[3];
            for (uint64_t at = 0; at < records && status == TA_OK; at += step) {
                uint64_t count = records - at < step ? records - at : step;
                status = s->ops->read(s, at, count, &(struct ta_stream_block){.x = x, .class = class});
            }
            free(x);
        }
        ta_stream_close(s);
    }
    if (status != TA_OK && ta_why()[0] == '\0') fail_msg("%s without a message", ta_status_name(status));
    return status;
}

static void cut_short_anywhere(void **state) {
    (void)state;
    struct file_spec spec = file_good();
    file_write(path, &spec);
    size_t bytes;
    unsigned char *content = file_load(path, &bytes);
    for (size_t length = 0; length < bytes; length += 1 + length / 40) {
        file_store(path, content, length);
        ta_status status = try_all();
        if (status != TA_FORMAT && status != TA_IO)
            fail_msg("cut to %zu of %zu bytes: %s", length, bytes, ta_status_name(status));
    }
    file_store(path, content, bytes);
    assert_int_equal(try_all(), TA_OK);
    free(content);
}

/* A flipped bit in a checksummed chunk is found, and the message says which rows. */
static void damaged_chunks_are_found(void **state) {
    (void)state;
    struct file_spec spec = file_good();
    file_write(path, &spec);
    size_t bytes;
    unsigned char *content = file_load(path, &bytes), pattern[72];
    for (int chunk = 0; chunk < 3; chunk++) {
        for (int i = 0; i < 72; i++) pattern[i] = (unsigned char)((chunk * 72 + i) % 251);
        unsigned char *at = memmem(content, bytes, pattern, sizeof pattern);
        assert_non_null(at);
        for (int i = 0; i < 72; i++) {
            file_poke(path, (size_t)(at - content) + i, at[i] ^ (unsigned char)(1 << i % 8));
            assert_int_equal(try_all(), TA_IO);
            char rows[32];
            snprintf(rows, sizeof rows, "rows %d to %d", 3 * chunk, 3 * chunk + 2);
            said(rows);
            said("/x");
            file_poke(path, (size_t)(at - content) + i, at[i]);
        }
    }
    free(content);
}

static void out_of_memory_leaks_nothing(void **state) {
    (void)state;
    struct file_spec spec = file_good();
    spec.t = (struct file_set){.type = TA_H5_I64, .rank = 1, .dims = {10}};
    file_write(path, &spec);
    size_t held = ta_mem_held_bytes();
    unsigned nth = 0;
    for (ta_status status = TA_NO_MEMORY; status != TA_OK;) {
        struct ta_stream *s;
        uint8_t x[240];
        int32_t class[10];
        ta_mem_fail_nth(++nth);
        status = ta_stream_hdf5_open(path, &s);
        if (status == TA_OK) status = s->ops->read(s, 0, 10, &(struct ta_stream_block){.x = x, .class = class});
        ta_mem_fail_nth(0);
        assert_true(status == TA_OK || status == TA_NO_MEMORY);
        ta_stream_close(s);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    assert_in_range(nth, 5, 60);
}

/* The whole way: file, chunks, staging, conversion, ring; and a bad record in the middle comes out with its name. */
static void through_the_replayer(void **state) {
    (void)state;
    struct file_spec spec = file_good();
    spec.x =
        (struct file_set){.type = TA_H5_U8, .rank = 4, .dims = {1000, 4, 3, 2}, .chunk_rows = 70, .checksum = true};
    spec.y = (struct file_set){.type = TA_H5_U8, .rank = 1, .dims = {1000}, .modulus = 5};
    spec.records = 1000;
    spec.y.has_odd = true, spec.y.odd_at = 933, spec.y.odd = 9;
    struct ta_stream *s = open_stream(&spec);
    assert_int_equal(s->info.block % 70, 0);
    s->info.block = 70; /* as if records were large */
    struct ta_share share;
    struct ta_replayer *r;
    assert_int_equal(ta_share_init(&share, 0, 1, NULL), TA_OK);
    struct ta_replayer_config config = {.stream = s, .share = &share, .batch = 32, .epochs = 1};
    assert_int_equal(ta_replayer_open(&config, &r), TA_OK);
    ta_replayer_start(r, 0);
    const struct ta_batch *b;
    ta_status status;
    uint64_t record = 0;
    while ((status = ta_replayer_next(r, 1, &b)) == TA_OK || status == TA_AGAIN) {
        if (status == TA_AGAIN) continue;
        for (uint32_t i = 0; i < b->records; i++, record++) {
            assert_int_equal(b->classes[i], record % 5);
            for (uint64_t j = 0; j < 24; j++) assert_true(b->x[i * 24 + j] == (float)((record * 24 + j) % 251) * 0.25F);
        }
        ta_replayer_release(r, b);
    }
    assert_int_equal(status, TA_FORMAT);
    said("/y: record 933 has label 9");
    assert_int_equal(record, 910 / 32 * 32); /* the block from record 910 on could not be read */
    assert_true(ta_replayer_bytes(r) >= 8 * 32 * 24 * sizeof(float) + 70 * 24);
    ta_replayer_close(r);
    ta_stream_close(s);
    ta_share_free(&share);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_reads_back),      cmocka_unit_test(files_made_by_hand_work),
        cmocka_unit_test(values_and_no_labels),        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(bad_records_are_named),       cmocka_unit_test(not_even_a_file),
        cmocka_unit_test(cut_short_anywhere),          cmocka_unit_test(damaged_chunks_are_found),
        cmocka_unit_test(out_of_memory_leaks_nothing), cmocka_unit_test(through_the_replayer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
