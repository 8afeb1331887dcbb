/* checkpoint: word models: what is lent is neither copied nor freed, what follows from a seed is not stored, names come
 * back to the bit; another vocabulary is told from another model. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config_of.h"
#include "h5.h"
#include "snapshots.h"

/* What writing tables of 8,750 kB may take; sanitizers keep freed memory aside. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MOST_KB = 8000 };
#else
enum { MOST_KB = 1500 };
#endif

static void assert_loads(const char *directory, const struct ta_model *model, unsigned n, uint64_t steps) {
    struct ta_checkpoint_info info;
    struct ta_snapshot s;
    assert_ok(ta_checkpoint_latest(directory, NULL, &info));
    assert_true(info.total_steps == steps);
    for (unsigned i = 0; i < 2 * n; i++) {
        assert_ok(ta_checkpoint_load(&info, model, i / 2, i % 2, &s));
        assert_made_up(model, i / 2, n, steps, i % 2, &s);
        assert_false(s.borrowed);
        ta_snapshot_free(&s);
    }
}

static void one_replica_comes_back(void **state) {
    struct ta_model model;
    char path[512];
    struct ta_h5 *file;
    small_word_model(&model);
    size_t before = ta_mem_held_bytes();
    write_alone(*state, &model, 7);
    assert_loads(*state, &model, 1, 7);
    assert_int_equal(ta_mem_held_bytes(), before);
    assert_ok(ta_h5_open(scratch_path(path, *state, "000000007/replica-00000.h5"), TA_H5_READ, &file));
    assert_false(ta_h5_exists(file, "/delta") || ta_h5_exists(file, "/w0") || ta_h5_exists(file, "/names"));
    assert_ok(ta_h5_close(file));
    ta_model_free(&model);
}

/* With and without w0; names in the deltas that are no words and no numbers. */
static void three_replicas_come_back(void **state) {
    static const unsigned writers[] = {0, 1, 2};
    struct ta_model model;
    struct ta_checkpoint_writer *w[3];
    struct ta_snapshot s;
    small_word_model(&model);
    for (uint64_t steps = 20; steps <= 21; steps++) {
        for (unsigned i = 0; i < 3; i++) {
            w[i] = writer_of(*state, &model, 2);
            made_up(&model, i, 3, steps, &s);
            assert_ok(ta_checkpoint_submit(w[i], &s, writers, 3));
        }
        for (unsigned i = 0; i < 3; i++) assert_ok(wait_for(w[i], NULL, 0));
        for (unsigned i = 0; i < 3; i++) assert_ok(ta_checkpoint_close(w[i]));
        assert_loads(*state, &model, 3, steps);
    }
    ta_model_free(&model);
}

static void what_is_lent_stays(void **state) {
    struct ta_model model;
    struct ta_snapshot s, lent;
    small_word_model(&model);
    struct ta_checkpoint_writer *w = writer_of(*state, &model, 2);
    made_up(&model, 0, 2, 31, &s);
    lent = s;
    s.borrowed = true;
    assert_fails(TA_PEER, "rank 1 was lost",
                 (ta_checkpoint_lost(w, 1), write_and_wait(w, &s, (unsigned[]){0, 1}, 2))); /* also when it fails */
    made_up(&model, 0, 2, 31, &s);
    float *copies[3] = {s.w, s.w0, s.delta}, *ours[3] = {lent.w, lent.w0, lent.delta};
    s.w = lent.w, s.w0 = lent.w0, s.delta = lent.delta;
    s.borrowed = true;
    assert_ok(write_and_wait(w, &s, (unsigned[]){0}, 1));
    assert_ok(ta_checkpoint_close(w));
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(copies[i], ours[i], model.n_params * sizeof(float));
        ta_mem_free(copies[i]);
        ta_mem_free(ours[i]);
    }
    struct ta_checkpoint_info info;
    assert_ok(ta_checkpoint_latest(*state, NULL, &info));
    assert_ok(ta_checkpoint_load(&info, &model, 0, true, &s));
    assert_made_up(&model, 0, 2, 31, true, &s);
    ta_snapshot_free(&s);
    ta_model_free(&model);
}

static void assert_refused(struct ta_checkpoint_writer *w, struct ta_snapshot *s, const char *part) {
    assert_fails(TA_INVALID, part, ta_checkpoint_submit(w, s, (unsigned[]){0}, 1));
    ta_snapshot_free(s);
}

static void what_is_missing_is_said(void **state) {
    struct ta_model model, layers;
    struct ta_snapshot s;
    small_word_model(&model);
    small_model(&layers);
    struct ta_checkpoint_writer *w = writer_of(*state, &model, 2);
    made_up(&model, 0, 2, 1, &s);
    ta_mem_free(s.delta);
    s.delta = NULL; /* only one alone has none */
    assert_refused(w, &s, "lacks");
    made_up(&model, 0, 1, 1, &s);
    ta_mem_free(s.w);
    s.w = NULL;
    assert_refused(w, &s, "lacks");
    made_up(&model, 0, 1, 1, &s);
    s.names.count--;
    assert_refused(w, &s, "8 names for 9 rows");
    made_up(&model, 0, 1, 1, &s);
    assert_ok(TA_NEW(&s.m, model.n_params, "m"));
    assert_refused(w, &s, "moments");
    assert_ok(ta_checkpoint_close(w));
    w = writer_of(*state, &layers, 2);
    made_up(&layers, 0, 1, 1, &s);
    ta_mem_free(s.delta);
    s.delta = NULL;
    assert_refused(w, &s, "lacks");
    made_up(&layers, 0, 1, 1, &s);
    some_names(&s.names, 4);
    assert_refused(w, &s, "4 names for 0 rows");
    assert_ok(ta_checkpoint_close(w));
    ta_model_free(&model);
    ta_model_free(&layers);
}

static void write_fixed(const char *directory, const struct ta_model *model, const struct ta_names *names) {
    struct ta_checkpoint_writer *w = writer_of(directory, model, 2);
    struct ta_snapshot s = {.n_ranks = 1, .epoch = 1, .total_steps = 5, .steps = 5, .batch = 4, .table_seed = 8};
    assert_ok(TA_NEW(&s.peer_steps, 1, "steps"));
    assert_ok(TA_NEW(&s.w, model->n_params, "w"));
    shaken_weights(model, 8, s.w);
    for (size_t i = 0; i < names->count; i++)
        assert_ok(ta_names_add(&s.names, ta_names_get(names, i), strlen(ta_names_get(names, i)), names->counts[i]));
    assert_ok(write_and_wait(w, &s, (unsigned[]){0}, 1));
    assert_ok(ta_checkpoint_close(w));
}

static void another_vocabulary_is_named(void **state) {
    struct ta_names names, others;
    struct ta_model model, other;
    struct ta_checkpoint_info info;
    struct ta_snapshot s;
    char words[24], prints[2][24];
    some_names(&names, 30);
    some_names(&others, 30);
    others.text[others.start[7]] = 'v';
    assert_ok(words_of("model: {type: skipgram, dim: 8}", &names, &model));
    write_fixed(*state, &model, &names);
    assert_ok(ta_checkpoint_latest(*state, NULL, &info));
    assert_ok(ta_checkpoint_load(&info, &model, 0, true, &s));
    assert_true(s.names.count == 30 && s.names.counts[4] == names.counts[4] && s.table_seed == 8);
    ta_snapshot_free(&s);
    assert_ok(words_of("model: {type: skipgram, dim: 8}", &others, &other));
    assert_fails(TA_CONFIG, "has another vocabulary", ta_checkpoint_load(&info, &other, 0, true, &s));
    snprintf(words, sizeof words, "%016llx", (unsigned long long)ta_names_checksum(&others));
    snprintf(prints[0], sizeof prints[0], "%016llx", (unsigned long long)model.fingerprint);
    snprintf(prints[1], sizeof prints[1], "%016llx", (unsigned long long)other.fingerprint);
    assert_true(strstr(ta_why(), words) && strstr(ta_why(), prints[0]) && strstr(ta_why(), prints[1]));
    assert_ok(words_of("model: {type: skipgram, dim: 8, vocabulary: 30}", NULL, &other));
    assert_fails(TA_CONFIG, "now it is words found in the stream", ta_checkpoint_load(&info, &other, 0, true, &s));
    assert_ok(words_of("model: {type: cbow, dim: 8}", &names, &other));
    assert_fails(TA_CONFIG, "is of another model", ta_checkpoint_load(&info, &other, 0, true, &s));
    struct ta_model layers;
    small_model(&layers);
    assert_fails(TA_CONFIG, "is of another model", ta_checkpoint_load(&info, &layers, 0, true, &s));
    ta_model_free(&layers);
    ta_names_free(&names);
    ta_names_free(&others);
}

static void memory_runs_out_while_loading(void **state) {
    struct ta_model model;
    struct ta_checkpoint_info info;
    struct ta_snapshot s;
    small_word_model(&model);
    write_alone(*state, &model, 300);
    assert_ok(ta_checkpoint_latest(*state, NULL, &info));
    size_t before = ta_mem_held_bytes();
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        ta_mem_fail_nth(nth);
        ta_status status = ta_checkpoint_load(&info, &model, 0, true, &s);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), before);
        failures++;
    }
    assert_true(failures > 15);
    ta_snapshot_free(&s);
    ta_model_free(&model);
}

/* A line of /proc/self/status in kB, 0: not there. */
static long status_kb(const char *key) {
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0) kb = strtol(line + strlen(key), NULL, 10);
    if (file != NULL) fclose(file);
    return kb;
}

/* What writing costs beyond the tables, in kB; -1: the system does not tell. */
static long cost_of_writing(const char *directory, const char *text) {
    struct ta_model model;
    struct ta_names names;
    some_names(&names, 20000);
    assert_ok(words_of(text, &names, &model));
    struct ta_names few;
    struct ta_model warm; /* libhdf5 comes up once */
    some_names(&few, 10);
    assert_ok(words_of("model: {type: cbow}", &few, &warm));
    write_fixed(directory, &warm, &few);
    struct ta_checkpoint_writer *w = writer_of(directory, &model, 2);
    struct ta_snapshot s = {
        .n_ranks = 1, .epoch = 2, .total_steps = 6, .batch = 1, .borrowed = true, .names = names};
    float *tables;
    assert_ok(TA_NEW(&s.peer_steps, 1, "steps"));
    assert_ok(TA_NEW(&tables, model.n_params, "w"));
    ta_model_init(&model, 8, tables);
    s.w = tables;
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    bool reset = fd >= 0 && write(fd, "5", 1) == 1; /* the high-water mark starts anew */
    if (fd >= 0) close(fd);
    long before = status_kb("VmRSS:");
    assert_ok(write_and_wait(w, &s, (unsigned[]){0}, 1));
    long after = status_kb("VmHWM:");
    assert_ok(ta_checkpoint_close(w));
    ta_mem_free(tables);
    ta_names_free(&few);
    return reset && before > 0 && after >= before ? after - before : -1;
}

static void tables_are_not_copied(void **state) {
    long kb = cost_of_writing(*state, "model: {type: skipgram, dim: 100}");
    if (kb < 0) {
        print_message("this system does not tell the memory of a process: that part was left out\n");
        skip();
    }
    print_message("writing two tables of %d kB took %ld kB\n", 20000 * 104 * 4 / 1024, kb);
    assert_true(kb < MOST_KB);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(one_replica_comes_back),
        WITH_SCRATCH(three_replicas_come_back),
        WITH_SCRATCH(what_is_lent_stays),
        WITH_SCRATCH(what_is_missing_is_said),
        WITH_SCRATCH(another_vocabulary_is_named),
        WITH_SCRATCH(memory_runs_out_while_loading),
        WITH_SCRATCH(tables_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
