/* The vectors of a model.h5, commonest word first; and what is wrong with a file that is none. */
#include <math.h>

#include "eval_files.h"

enum { ROWS = 700, DIM = 9 };
static const char table[] = "/model_weights/in/in/embeddings:0";

static void write_model(const char *path, const struct ta_names *names, const struct ta_h5_shape *shape,
                        const void *v) {
    struct ta_h5 *file;
    assert_ok(ta_h5_open(path, TA_H5_CREATE, &file));
    if (names != NULL) assert_ok(ta_names_write(names, file));
    assert_ok(ta_h5_group_create(file, "/model_weights/in/in"));
    if (shape != NULL) assert_ok(ta_h5_write_all(file, table, shape, v));
    assert_ok(ta_h5_close(file));
}

/* Rows in any order, some of nobody, counts that are often equal. */
static void online(struct ta_vectors *v, struct ta_names *names) {
    struct ta_rng rng = ta_rng_make(1, 1);
    made_up(v, &rng, ROWS, DIM);
    *names = (struct ta_names){0};
    for (size_t i = 0; i < ROWS; i++) {
        const char *word = ta_rng_below(&rng, 4) == 0 ? "" : ta_names_get(&v->names, i);
        assert_ok(ta_names_add(names, word, strlen(word), ta_rng_below(&rng, 30)));
    }
}

static void the_commonest_comes_first(void **state) {
    struct ta_vectors v, got;
    struct ta_names names;
    char path[512];
    online(&v, &names);
    write_model(scratch_path(path, *state, "m.h5"), &names, &(struct ta_h5_shape){TA_H5_F32, 2, {ROWS, DIM}}, v.v);
    assert_ok(ta_vectors_read(path, &got));
    assert_int_equal(got.dim, DIM);
    size_t next = 0;
    for (int64_t count = 29; count >= 0; count--) /* the slow way: counts falling, rows rising */
        for (size_t i = 0; i < ROWS; i++) {
            if (names.counts[i] != (uint64_t)count || *ta_names_get(&names, i) == '\0') continue;
            assert_string_equal(ta_names_get(&got.names, next), ta_names_get(&names, i));
            assert_int_equal(got.names.counts[next], count);
            assert_memory_equal(ta_vectors_row(&got, next++), ta_vectors_row(&v, i), DIM * sizeof(float));
        }
    assert_int_equal(got.names.count, next);
    ta_vectors_free(&got);
    ta_vectors_free(&v);
    ta_names_free(&names);
}

static void wrong_models_are_named(void **state) {
    struct ta_vectors v, got;
    struct ta_names names, nobody = {0};
    char path[512];
    online(&v, &names);
    for (int i = 0; i < ROWS; i++) assert_ok(ta_names_add(&nobody, "", 0, 0));
    scratch_path(path, *state, "m.h5");
    size_t held = ta_mem_held_bytes();
    const struct ta_h5_shape right = {TA_H5_F32, 2, {ROWS, DIM}};
    const struct {
        const struct ta_names *names;
        struct ta_h5_shape shape;
        const char *says;
    } wrong[] = {
        {NULL, right, "has no /vocabulary, so it is not a word model"},
        {&names, {TA_H5_F32, 2, {ROWS - 1, DIM}}, "has 699 rows, but /vocabulary has 700 words"},
        {&names, {TA_H5_F32, 1, {ROWS}}, "rank 1, not float32 [rows][dim]"},
        {&names, {TA_H5_F32, 3, {ROWS, 3, 3}}, "rank 3"},
        {&names, {TA_H5_I32, 2, {ROWS, DIM}}, "is int32"},
        {&nobody, right, "none of its 700 rows has a word yet"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_model(path, wrong[i].names, &wrong[i].shape, v.v);
        assert_fails(TA_FORMAT, wrong[i].says, ta_vectors_read(path, &got));
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    write_model(path, &names, NULL, NULL);
    assert_fails(TA_FORMAT, "embeddings:0", ta_vectors_read(path, &got));
    size_t row = 0;
    while (*ta_names_get(&names, row) == '\0') row++;
    v.v[row * DIM + 4] = NAN;
    write_model(path, &names, &right, v.v);
    assert_fails(TA_FORMAT, "not finite", ta_vectors_read(path, &got));
    write_text(path, "\x89HDF\r\n\x1a\nbut no more");
    assert_fails(TA_FORMAT, path, ta_vectors_read(path, &got));
    ta_vectors_free(&v);
    ta_names_free(&names);
    ta_names_free(&nobody);
}

static void memory_runs_out(void **state) {
    struct ta_vectors v, got;
    struct ta_names names;
    char path[512];
    online(&v, &names);
    write_model(scratch_path(path, *state, "m.h5"), &names, &(struct ta_h5_shape){TA_H5_F32, 2, {ROWS, DIM}}, v.v);
    size_t held = ta_mem_held_bytes();
    unsigned failures = 0;
    for (;; failures++) {
        ta_mem_fail_nth(failures + 1);
        ta_status status = ta_vectors_read(path, &got);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    assert_true(failures > 10);
    ta_vectors_free(&got);
    ta_vectors_free(&v);
    ta_names_free(&names);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(the_commonest_comes_first),
        WITH_SCRATCH(wrong_models_are_named),
        WITH_SCRATCH(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
