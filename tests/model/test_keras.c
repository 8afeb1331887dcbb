/* keras: what is written is read back to the bit, also for networks so deep that their JSON and their names outgrow an
 * HDF5 header; memory that runs out anywhere leaves nothing behind; cut files are refused. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config_of.h"
#include "keras.h"
#include "scratch.h"

static void small(struct ta_model *model) {
    assert_ok(model_of("model: {input: [6, 6, 2], loss: cross_entropy, layers: ["
                       "{type: conv2d, filters: 3, kernel: 3, activation: relu}, {type: batch_norm},"
                       "{type: flatten}, {type: dense, units: 3, no_bias: true}]}",
                       (struct ta_shape){0, 0, 0}, 3, model));
}

static void small_words(struct ta_model *model) {
    assert_ok(words_of("model: {type: skipgram, dim: 5, vocabulary: 40}", NULL, model));
}

/* As shaken_weights, and names that are words. */
static void weights_of(const struct ta_model *model, float *w) {
    struct ta_names names;
    shaken_weights(model, 3, w);
    if (!model->words.online) return;
    const struct ta_table *t = &model->segments[model->words.names].table;
    some_names(&names, model->words.rows);
    for (size_t r = 0; r < t->rows; r++)
        memcpy(w + t->offset + r * t->stride, ta_names_get(&names, r), strlen(ta_names_get(&names, r)));
    ta_names_free(&names);
}

static void round_trip(const char *directory, const struct ta_model *model) {
    char path[512];
    float *w, *back;
    struct ta_keras_note got,
        note = {.run = "a run", .steps = 9, .records = 1ull << 40, .input_scale = 1 / 255.f, .input_offset = -.5f};
    assert_ok(TA_NEW(&w, model->n_params, "w"));
    assert_ok(TA_NEW(&back, model->n_params, "w"));
    weights_of(model, w);
    memset(back, 7, model->n_params * sizeof *back);
    assert_ok(ta_keras_write(scratch_path(path, directory, "m.h5"), model, w, &note));
    assert_ok(ta_keras_read(path, model, back, &got));
    assert_memory_equal(w, back, model->n_params * sizeof *w); /* the gaps too: zero */
    assert_true(got.steps == 9 && got.records == 1ull << 40 && got.input_scale == 1 / 255.f &&
                got.input_offset == -.5f);
    assert_null(got.run);
    ta_mem_free(w);
    ta_mem_free(back);
}

static void weights_come_back(void **state) {
    struct ta_model model;
    small(&model);
    round_trip(*state, &model);
    ta_model_free(&model);
    small_words(&model);
    round_trip(*state, &model);
    ta_model_free(&model);
}

/* What stands in a row of names when it is no word is no word in the file: a peer may have written anything. */
static void torn_names_count_as_none(void **state) {
    static const char *const bad[] = {"\xff", "a\xc3", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct ta_model model;
    char path[512];
    float *w, *back;
    small_words(&model);
    const struct ta_table *t = &model.segments[model.words.names].table;
    assert_ok(TA_NEW(&w, model.n_params, "w"));
    assert_ok(TA_NEW(&back, model.n_params, "w"));
    weights_of(&model, w);
    for (unsigned i = 0; i < 3; i++) strncpy((char *)(w + t->offset + (10 + i) * t->stride), bad[i], TA_NAME_BYTES);
    assert_ok(ta_keras_write(scratch_path(path, *state, "m.h5"), &model, w, NULL));
    assert_ok(ta_keras_read(path, &model, back, NULL));
    for (unsigned i = 0; i < 3; i++) memset(w + t->offset + (10 + i) * t->stride, 0, TA_NAME_BYTES);
    assert_memory_equal(w, back, model.n_params * sizeof *w);
    ta_mem_free(w);
    ta_mem_free(back);
    ta_model_free(&model);
}

/* What would be refused when it is read is not written. */
static void names_must_be_the_models(void **state) {
    struct ta_model model;
    struct ta_names names, others;
    const struct ta_keras_note note = {.names = &others};
    char path[512];
    float *w;
    some_names(&names, 40);
    some_names(&others, 39);
    small_words(&model);
    assert_ok(TA_NEW(&w, model.n_params, "w"));
    scratch_path(path, *state, "m.h5");
    assert_fails(TA_INVALID, "has 39 words, the model has 40 rows", ta_keras_write(path, &model, w, &note));
    assert_ok(ta_names_add(&others, "a word that is one byte too long", 32, 1));
    assert_fails(TA_INVALID, "word 39 has 32 bytes", ta_keras_write(path, &model, w, &note));
    ta_model_free(&model);
    assert_ok(words_of("model: {type: skipgram, dim: 5}", &names, &model));
    assert_fails(TA_INVALID, "other words than the stream", ta_keras_write(path, &model, w, &note));
    ta_mem_free(w);
    ta_names_free(&names);
    ta_names_free(&others);
    ta_model_free(&model);
}

static void a_deep_network_fits(void **state) {
    enum { DEPTH = 1500 };
    struct ta_layer_spec *layers;
    struct ta_model model;
    assert_ok(TA_NEW(&layers, DEPTH, "layers"));
    for (unsigned i = 0; i < DEPTH; i++)
        layers[i] = (struct ta_layer_spec){.type = TA_LAYER_DENSE, .units = 2, .activation = TA_ACTIVATION_SIGMOID};
    const struct ta_model_spec spec = {.loss = TA_LOSS_SQUARED_ERROR, .layers = layers, .layers_count = DEPTH};
    assert_ok(ta_model_build(&spec, (struct ta_shape){1, 1, 2}, 2, &model));
    assert_int_equal(model.n_layers, 2 * DEPTH);
    round_trip(*state, &model);
    ta_model_free(&model);
    ta_mem_free(layers);
}

static void run_out_of_memory(const char *directory, const struct ta_model *model) {
    char path[512];
    float *w;
    assert_ok(TA_NEW(&w, model->n_params, "w"));
    weights_of(model, w);
    scratch_path(path, directory, "m.h5");
    size_t before = ta_mem_held_bytes();
    for (int reading = 0; reading < 2; reading++) {
        unsigned failures = 0;
        for (unsigned nth = 1;; nth++) {
            ta_mem_fail_nth(nth);
            ta_status status = reading ? ta_keras_read(path, model, w, NULL) : ta_keras_write(path, model, w, NULL);
            ta_mem_fail_nth(0);
            if (status == TA_OK) break;
            assert_int_equal(status, TA_NO_MEMORY);
            assert_int_equal(ta_mem_held_bytes(), before);
            failures++;
        }
        assert_true(failures > 10);
    }
    ta_mem_free(w);
}

static void memory_runs_out(void **state) {
    struct ta_model model;
    small(&model);
    run_out_of_memory(*state, &model);
    ta_model_free(&model);
    small_words(&model);
    run_out_of_memory(*state, &model);
    ta_model_free(&model);
}

/* In a child with an alarm: libhdf5 1.10 can loop for ever on a damaged heap. 0: read, 1: refused, < 0: a signal. */
static int read_in_child(const char *path, const struct ta_model *model) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        float *w;
        alarm(2);
        if (TA_NEW(&w, model->n_params, "w") != TA_OK) _exit(3);
        size_t before = ta_mem_held_bytes();
        ta_status status = ta_keras_read(path, model, w, NULL);
        if (ta_mem_held_bytes() != before) _exit(2);
        _exit(status != TA_OK);
    }
    int how;
    waitpid(child, &how, 0);
    return WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
}

static void damage(const char *directory, const struct ta_model *model) {
    char path[512], bad[512];
    unsigned refused = 0, loops = 0, tried = 0;
    round_trip(directory, model);
    size_t bytes;
    unsigned char *data = file_read(scratch_path(path, directory, "m.h5"), &bytes);
    scratch_path(bad, directory, "bad.h5");
    for (size_t at = 0; at < bytes; at += bytes / 100 + 1) {
        file_write(bad, data, at);
        int how = read_in_child(bad, model);
        if (how != 1) fail_msg("cut at %zu of %zu: %d", at, bytes, how);
        unsigned char was = data[at];
        data[at] = (unsigned char)(was + 1 + at % 254);
        file_write(bad, data, bytes);
        data[at] = was;
        how = read_in_child(bad, model);
        if ((how < 0 && how != -SIGALRM) || how > 1) fail_msg("byte %zu changed: %d", at, how);
        refused += how == 1;
        loops += how == -SIGALRM;
        tried++;
    }
    print_message("%u of %u changed bytes refused; libhdf5 looped on %u\n", refused, tried, loops);
    assert_true(refused > 10 && loops < 5);
    free(data);
}

static void damage_does_not_trip(void **state) {
    struct ta_model model;
    small(&model);
    damage(*state, &model);
    ta_model_free(&model);
    small_words(&model);
    damage(*state, &model);
    ta_model_free(&model);
}

static void what_cannot_be_written_is_said(void **state) {
    const char *directory = *state;
    struct ta_model model;
    char path[512];
    float *w;
    small(&model);
    assert_ok(TA_NEW(&w, model.n_params, "w"));
    scratch_path(path, directory, "none/m.h5");
    assert_fails(TA_IO, path, ta_keras_write(path, &model, w, NULL));
    assert_fails(TA_IO, path, ta_keras_read(path, &model, w, NULL));
    assert_fails(TA_IO, directory, ta_keras_read(directory, &model, w, NULL));
    ta_mem_free(w);
    ta_model_free(&model);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(weights_come_back),
        WITH_SCRATCH(torn_names_count_as_none),
        WITH_SCRATCH(names_must_be_the_models),
        WITH_SCRATCH(a_deep_network_fits),
        WITH_SCRATCH(memory_runs_out),
        WITH_SCRATCH(damage_does_not_trip),
        WITH_SCRATCH(what_cannot_be_written_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
