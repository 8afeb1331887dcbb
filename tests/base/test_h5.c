/* h5: everything that is written comes back, for every type and rank; what is missing or wrong is named. */
#include "h5.h"

#include "check.h"

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

static struct ta_h5 *open_file(const char *name, enum ta_h5_mode mode) {
    struct ta_h5 *file = NULL;
    assert_ok(ta_h5_open(path_of(name), mode, &file));
    return file;
}

/* Writes 0, 1, 2, ... as `type` (all fit into 7 bits). */
static void fill(enum ta_h5_type type, void *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int v = (int)(i % 127);
        switch (type) {
        case TA_H5_U8: ((uint8_t *)out)[i] = (uint8_t)v; break;
        case TA_H5_I8: ((int8_t *)out)[i] = (int8_t)-v; break;
        case TA_H5_I32: ((int32_t *)out)[i] = -v; break;
        case TA_H5_U32: ((uint32_t *)out)[i] = (uint32_t)v; break;
        case TA_H5_I64: ((int64_t *)out)[i] = -v; break;
        case TA_H5_U64: ((uint64_t *)out)[i] = (uint64_t)v; break;
        case TA_H5_F32: ((float *)out)[i] = (float)v / 2; break;
        default: ((double *)out)[i] = (double)v / 2; break;
        }
    }
}

static void every_type_and_rank_round_trips(void **state) {
    (void)state;
    uint64_t dims[TA_H5_MAX_RANK] = {7, 3, 2, 4, 1, 2};
    char in[7 * 3 * 2 * 4 * 2 * 8], out[sizeof in], name[32];
    struct ta_h5 *file = open_file("types.h5", TA_H5_CREATE);
    for (int pass = 0; pass < 2; pass++) {
        for (int type = TA_H5_U8; type < TA_H5_OTHER; type++) {
            for (unsigned rank = 0; rank <= TA_H5_MAX_RANK; rank++) {
                struct ta_h5_shape shape = {.type = (enum ta_h5_type)type, .rank = rank};
                memcpy(shape.dims, dims, sizeof dims);
                size_t n = 1;
                for (unsigned i = 0; i < rank; i++) n *= dims[i];
                snprintf(name, sizeof name, "/%s/rank%u", ta_h5_type_name(shape.type), rank);
                fill(shape.type, in, n);
                if (pass == 0) {
                    assert_ok(ta_h5_write_all(file, name, &shape, in));
                } else {
                    memset(out, 0xee, sizeof out);
                    assert_ok(ta_h5_read_all(file, name, &shape, out));
                    assert_memory_equal(in, out, n * ta_h5_type_bytes(shape.type));
                }
            }
        }
        assert_ok(ta_h5_close(file));
        if (pass == 0) file = open_file("types.h5", TA_H5_READ);
    }
}

static void rows_grow_seek_and_convert(void **state) {
    (void)state;
    struct ta_h5 *file = open_file("rows.h5", TA_H5_CREATE);
    struct ta_h5_set *set;
    struct ta_h5_create how = {.shape = {.type = TA_H5_U8, .rank = 2, .dims = {0, 10}},
                               .chunk_rows = 16, .gzip = 4, .shuffle = true, .checksum = true};
    assert_ok(ta_h5_set_create(file, "/deep/er/x", &how, &set));
    uint8_t row[50];
    for (int block = 0; block < 20; block++) {
        for (int i = 0; i < 50; i++) row[i] = (uint8_t)(block * 5 + i / 10);
        assert_ok(ta_h5_set_write(set, TA_H5_U8, (uint64_t)block * 5, 5, row));
    }
    assert_int_equal(ta_h5_set_shape(set)->dims[0], 100);
    ta_h5_set_close(set);
    assert_ok(ta_h5_close(file));

    file = open_file("rows.h5", TA_H5_READ);
    assert_ok(ta_h5_set_open(file, "/deep/er/x", &set));
    assert_int_equal(ta_h5_set_chunk_rows(set), 16);
    assert_int_equal(ta_h5_set_shape(set)->type, TA_H5_U8);
    float part[3 * 10];
    assert_ok(ta_h5_set_read(set, TA_H5_F32, 31, 3, part));
    for (int i = 0; i < 30; i++) assert_true(part[i] == (float)(31 + i / 10));
    assert_ok(ta_h5_set_read(set, TA_H5_F32, 100, 0, part));
    assert_fails(TA_FORMAT, "rows 98 to 100 were asked for, it has 100", ta_h5_set_read(set, TA_H5_F32, 98, 3, part));
    assert_fails(TA_FORMAT, "it has 100", ta_h5_set_read(set, TA_H5_F32, UINT64_MAX, 2, part));
    ta_h5_set_close(set);
    assert_ok(ta_h5_close(file));
}

static void what_is_missing_or_other_is_named(void **state) {
    (void)state;
    struct ta_h5 *file;
    struct ta_h5_set *set;
    float two[2] = {1, 2};
    assert_fails(TA_IO, "nowhere.h5: cannot open: No such file", ta_h5_open(path_of("nowhere.h5"), TA_H5_READ, &file));
    assert_null(file);
    assert_fails(TA_IO, "is a directory", ta_h5_open(directory, TA_H5_READ, &file));
    assert_fails(TA_IO, "No such file", ta_h5_open(path_of("no/such/dir.h5"), TA_H5_CREATE, &file));
    FILE *f = fopen(path_of("empty.h5"), "w");
    fclose(f);
    assert_fails(TA_FORMAT, "is empty", ta_h5_open(path_of("empty.h5"), TA_H5_READ, &file));
    f = fopen(path_of("foreign.h5"), "w");
    fputs("P6 3 3 255 this is a picture, not a stream", f);
    fclose(f);
    assert_fails(TA_FORMAT, "is not an HDF5 file", ta_h5_open(path_of("foreign.h5"), TA_H5_UPDATE, &file));

    file = open_file("some.h5", TA_H5_CREATE);
    struct ta_h5_shape shape = {.type = TA_H5_F32, .rank = 1, .dims = {2}};
    assert_ok(ta_h5_write_all(file, "/a/b", &shape, two));
    assert_true(ta_h5_exists(file, "/a/b"));
    assert_true(ta_h5_exists(file, "/a"));
    assert_true(ta_h5_exists(file, "/"));
    assert_false(ta_h5_exists(file, "/a/c"));
    assert_false(ta_h5_exists(file, "/c/b"));
    assert_false(ta_h5_exists(file, "/a/b/c"));
    assert_false(ta_h5_exists(file, ""));
    assert_fails(TA_FORMAT, "some.h5: /a/c: is not in the file", ta_h5_set_open(file, "/a/c", &set));
    assert_fails(TA_FORMAT, "/a: is not a dataset", ta_h5_set_open(file, "/a", &set));
    assert_fails(TA_IO, "/a/b: cannot be created", ta_h5_write_all(file, "/a/b", &shape, two));
    shape = (struct ta_h5_shape){.type = TA_H5_F32, .rank = 2, .dims = {2, 3}};
    assert_fails(TA_FORMAT, "has the shape (2), expected (2, 3)", ta_h5_read_all(file, "/a/b", &shape, two));
    assert_ok(ta_h5_set_open(file, "/a/b", &set));
    assert_fails(TA_FORMAT, "cannot grow", ta_h5_set_write(set, TA_H5_F32, 1, 2, two));
    ta_h5_set_close(set);
    struct ta_h5_create wrong = {.shape = {.type = TA_H5_F32, .rank = 7}};
    assert_fails(TA_INVALID, "rank 7", ta_h5_set_create(file, "/w", &wrong, &set));
    wrong = (struct ta_h5_create){.shape = {.type = TA_H5_F32, .rank = 1, .dims = {9}}, .checksum = true};
    assert_fails(TA_INVALID, "chunks of 0 rows", ta_h5_set_create(file, "/w", &wrong, &set));
    assert_ok(ta_h5_close(file));
}

static void attributes_round_trip(void **state) {
    (void)state;
    struct ta_h5 *file = open_file("attr.h5", TA_H5_CREATE);
    char text[64];
    int64_t whole = 0;
    double real = 0;
    assert_ok(ta_h5_group_create(file, "/g/h"));
    assert_ok(ta_h5_group_create(file, "/g"));
    assert_ok(ta_h5_attr_set_i64(file, "/", "whole", INT64_MIN));
    assert_ok(ta_h5_attr_set_f64(file, "/g/h", "real", 0.1));
    assert_ok(ta_h5_attr_set_text(file, "/g", "text", "first"));
    assert_ok(ta_h5_attr_set_text(file, "/g", "text", "grüße"));
    assert_ok(ta_h5_attr_set_text(file, "/g", "none", ""));
    assert_ok(ta_h5_close(file));
    file = open_file("attr.h5", TA_H5_READ);
    assert_ok(ta_h5_attr_get_i64(file, "/", "whole", &whole));
    assert_true(whole == INT64_MIN);
    assert_ok(ta_h5_attr_get_f64(file, "/g/h", "real", &real));
    assert_true(real == 0.1);
    assert_ok(ta_h5_attr_get_text(file, "/g", "text", text, sizeof text));
    assert_string_equal(text, "grüße");
    assert_ok(ta_h5_attr_get_text(file, "/g", "none", text, sizeof text));
    assert_string_equal(text, "");
    assert_fails(TA_FORMAT, "at most 3 fit", ta_h5_attr_get_text(file, "/g", "text", text, 4));
    assert_fails(TA_FORMAT, "'whole' is not text", ta_h5_attr_get_text(file, "/", "whole", text, sizeof text));
    assert_fails(TA_FORMAT, "'real' is not one whole number", ta_h5_attr_get_i64(file, "/g/h", "real", &whole));
    assert_fails(TA_FORMAT, "attr.h5: /g: has no attribute 'nix'", ta_h5_attr_get_i64(file, "/g", "nix", &whole));
    assert_fails(TA_FORMAT, "/q: is not in the file", ta_h5_attr_get_f64(file, "/q", "nix", &real));
    assert_true(ta_h5_attr_exists(file, "/g", "text"));
    assert_false(ta_h5_attr_exists(file, "/g", "nix"));
    assert_false(ta_h5_attr_exists(file, "/q", "nix"));
    assert_ok(ta_h5_close(file));
}

/* As Keras 2 does it: over 64,512 bytes the list is split like numpy.array_split. */
static void long_lists_of_names_are_split(void **state) {
    (void)state;
    enum { MANY = 3000 };
    static char names[MANY][64];
    const char *texts[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "layer_%d_with_a_name_that_is_quite_long_%d", i, i);
        texts[i] = names[i];
    }
    const size_t counts[] = {0, 1, 5, MANY, 7};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        char **back;
        size_t n;
        struct ta_h5 *file = open_file("names.h5", c == 4 ? TA_H5_UPDATE : TA_H5_CREATE);
        assert_ok(ta_h5_attr_set_texts(file, "/", "layer_names", texts, counts[c]));
        assert_int_equal(ta_h5_attr_exists(file, "/", "layer_names0"), counts[c] == MANY);
        assert_int_equal(ta_h5_attr_exists(file, "/", "layer_names"), counts[c] != MANY);
        assert_ok(ta_h5_attr_get_texts(file, "/", "layer_names", &back, &n));
        assert_int_equal(n, counts[c]);
        for (size_t i = 0; i < n; i++) assert_string_equal(back[i], texts[i]);
        ta_h5_texts_free(back, n);
        assert_ok(ta_h5_close(file));
    }
    char *huge = malloc(70000);
    memset(huge, 'a', 69999);
    huge[69999] = '\0';
    struct ta_h5 *file = open_file("huge.h5", TA_H5_CREATE);
    assert_fails(TA_FORMAT, "69999 bytes", ta_h5_attr_set_texts(file, "/", "n", (const char *const *)&huge, 1));
    assert_ok(ta_h5_attr_set_text(file, "/", "long", huge)); /* one text may be longer than an object header */
    char *back = malloc(70000);
    assert_ok(ta_h5_attr_get_text(file, "/", "long", back, 70000));
    assert_string_equal(back, huge);
    free(back);
    free(huge);
    assert_ok(ta_h5_close(file));
}

static ta_status note_name(void *context, const char *name, bool is_group) {
    char *seen = context;
    strcat(seen, name);
    strcat(seen, is_group ? "/ " : " ");
    return strcmp(name, "/stop") == 0 ? TA_END : TA_OK;
}

static void a_walk_visits_in_name_order_and_can_be_ended(void **state) {
    (void)state;
    struct ta_h5 *file = open_file("walk.h5", TA_H5_CREATE);
    struct ta_h5_shape one = {.type = TA_H5_U8};
    char seen[256] = "";
    assert_ok(ta_h5_write_all(file, "/b/y", &one, "y"));
    assert_ok(ta_h5_write_all(file, "/b/x", &one, "x"));
    assert_ok(ta_h5_write_all(file, "/a", &one, "a"));
    assert_ok(ta_h5_walk(file, note_name, seen));
    assert_string_equal(seen, "/a /b/ /b/x /b/y ");
    assert_ok(ta_h5_write_all(file, "/stop", &one, "s"));
    assert_ok(ta_h5_write_all(file, "/unseen", &one, "u"));
    seen[0] = '\0';
    assert_int_equal(ta_h5_walk(file, note_name, seen), TA_END);
    assert_string_equal(seen, "/a /b/ /b/x /b/y /stop ");
    assert_ok(ta_h5_close(file));
}

static void the_same_content_gives_the_same_bytes(void **state) {
    (void)state;
    char bytes[2][8192];
    size_t length[2];
    for (int i = 0; i < 2; i++) {
        struct ta_h5 *file = open_file("same.h5", TA_H5_CREATE);
        assert_ok(ta_h5_attr_set_text(file, "/", "origin", "here"));
        struct ta_h5_shape three = {.type = TA_H5_U8, .rank = 1, .dims = {3}};
        assert_ok(ta_h5_write_all(file, "/a/b", &three, "xyz"));
        assert_ok(ta_h5_close(file));
        FILE *f = fopen(path_of("same.h5"), "r");
        length[i] = fread(bytes[i], 1, sizeof bytes[i], f);
        fclose(f);
        usleep(i == 0 ? 1100000 : 0); /* HDF5 would note the second */
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(bytes[0], bytes[1], length[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_and_rank_round_trips),
        cmocka_unit_test(rows_grow_seek_and_convert),
        cmocka_unit_test(what_is_missing_or_other_is_named),
        cmocka_unit_test(attributes_round_trip),
        cmocka_unit_test(long_lists_of_names_are_split),
        cmocka_unit_test(a_walk_visits_in_name_order_and_can_be_ended),
        cmocka_unit_test(the_same_content_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
