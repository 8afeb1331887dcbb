/* predictions_view: which logs it stands over, what is made of them in the end; reading it is predictions_h5py.py's. */
#include "expect.h"

#include <sys/stat.h>

#include "h5.h"
#include "predictions_view.h"

enum { OUTPUTS = 3, BATCH = 7 };

static const struct ta_predictions_kind classes = {.classes = true, .outputs = OUTPUTS};
static char run[64];

static int make_run(void **state) {
    (void)state;
    snprintf(run, sizeof run, "/tmp/tensair-view-XXXXXX");
    return mkdtemp(run) == NULL;
}

static int remove_run(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", run);
    return system(command) != 0;
}

/* A log of `batches` batches that begin at first, first + stride, ...; class of record r: r mod 3, label r mod 2. */
static void write_log(uint32_t life, unsigned rank, uint64_t first, uint64_t stride, unsigned batches) {
    char path[256];
    struct ta_predictions *p;
    assert_ok(ta_predictions_log_path(path, sizeof path, run, life, rank));
    struct ta_predictions_config config = {.path = path, .rank = rank, .life = life, .kind = classes};
    assert_ok(ta_predictions_open(&config, &p));
    for (unsigned b = 0; b < batches; b++) {
        float outputs[BATCH * OUTPUTS] = {0};
        int32_t labels[BATCH];
        int64_t due[BATCH];
        uint64_t at = first + b * stride;
        for (unsigned i = 0; i < BATCH; i++) {
            outputs[i * OUTPUTS + (at + i) % OUTPUTS] = 1;
            labels[i] = (int32_t)((at + i) % 2);
            due[i] = (int64_t)(at + i);
        }
        struct ta_predictions_rows rows = {
            .first_record = at, .due_ns = due, .version = life, .predictions = outputs, .classes = labels};
        assert_ok(ta_predictions_add(p, BATCH, &rows));
    }
    assert_ok(ta_predictions_close(p));
}

static void read_all(const char *path, const char *name, enum ta_h5_type type, uint64_t n, void *out) {
    struct ta_h5 *file;
    assert_ok(ta_h5_open(path, TA_H5_READ, &file));
    assert_ok(ta_h5_read_all(file, name, &(struct ta_h5_shape){.type = type, .rank = 1, .dims = {n}}, out));
    assert_ok(ta_h5_close(file));
}

/* Two lives: one of two replicas, one of three that went on from record 28 and predicted the rest again. */
static void every_record_once(void **state) {
    (void)state;
    enum { N = 63 };
    char out[256];
    assert_ok(ta_predictions_view_make(run, &classes, 1, 2));
    write_log(1, 0, 0, 14, 3);
    write_log(1, 1, 7, 14, 3); /* together 0 .. 41 */
    assert_ok(ta_predictions_view_make(run, &classes, 2, 3));
    write_log(2, 0, 28, 21, 2);
    write_log(2, 1, 35, 21, 2);
    write_log(2, 2, 42, 21, 1); /* together 28 .. 62 */
    snprintf(out, sizeof out, "%s/all.h5", run);
    assert_ok(ta_predictions_gather(run, out));
    uint64_t record[N], version[N];
    int32_t prediction[N], label[N];
    uint32_t life[N], replica[N];
    int64_t due[N];
    read_all(out, "/record", TA_H5_U64, N, record);
    read_all(out, "/version", TA_H5_U64, N, version);
    read_all(out, "/prediction", TA_H5_I32, N, prediction);
    read_all(out, "/label", TA_H5_I32, N, label);
    read_all(out, "/due_ns", TA_H5_I64, N, due);
    read_all(out, "/life", TA_H5_U32, N, life);
    read_all(out, "/replica", TA_H5_U32, N, replica);
    for (unsigned i = 0; i < N; i++) {
        assert_true(record[i] == i && prediction[i] == (int32_t)(i % OUTPUTS) && label[i] == (int32_t)(i % 2) &&
                    due[i] == i);
        assert_int_equal(life[i], i < 28 ? 1 : 2);
        assert_int_equal(version[i], life[i]);
        assert_int_equal(replica[i], i < 28 ? i / BATCH % 2 : (i - 28) / BATCH % 3);
    }
}

/* A life that began and left no checkpoint leaves nothing behind for the next one of its number. */
static void what_came_to_nothing_is_gone(void **state) {
    (void)state;
    char path[256], out[256];
    assert_ok(ta_predictions_view_make(run, &classes, 1, 3));
    for (unsigned rank = 0; rank < 3; rank++) write_log(1, rank, 7 * rank, 21, 2);
    assert_ok(ta_predictions_view_make(run, &classes, 1, 1));
    assert_ok(ta_predictions_log_path(path, sizeof path, run, 1, 2));
    assert_int_equal(access(path, F_OK), -1);
    write_log(1, 0, 0, 7, 1);
    snprintf(out, sizeof out, "%s/all.h5", run);
    assert_ok(ta_predictions_gather(run, out));
    uint64_t record[BATCH];
    read_all(out, "/record", TA_H5_U64, BATCH, record);
    for (unsigned i = 0; i < BATCH; i++) assert_true(record[i] == i);
}

static void refused(void **state) {
    (void)state;
    char path[256], out[256];
    snprintf(out, sizeof out, "%s/all.h5", run);
    assert_fails(TA_IO, "holds no log", ta_predictions_gather(run, out));
    assert_fails(TA_IO, "nowhere", ta_predictions_view_make("/nowhere/at/all", &classes, 1, 1));
    assert_ok(ta_predictions_view_make(run, &classes, 1, 1));
    write_log(1, 0, 0, 7, 1);
    assert_ok(ta_predictions_log_path(path, sizeof path, run, 1, 0));
    assert_int_equal(truncate(path, 300), 0);
    assert_int_not_equal(ta_predictions_gather(run, out), TA_OK);
    assert_ok(ta_predictions_log_path(path, sizeof path, run, 1, 1));
    FILE *file = fopen(path, "w");
    fclose(file);
    assert_fails(TA_FORMAT, "empty", (write_log(1, 0, 0, 7, 1), ta_predictions_gather(run, out)));
    for (unsigned nth = 1; nth < 30; nth++) { /* whatever runs out, nothing is kept */
        ta_mem_fail_nth(nth);
        (void)ta_predictions_view_make(run, &classes, 2, 2);
        ta_mem_fail_nth(nth);
        (void)ta_predictions_gather(run, out);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_record_once, make_run, remove_run),
        cmocka_unit_test_setup_teardown(what_came_to_nothing_is_gone, make_run, remove_run),
        cmocka_unit_test_setup_teardown(refused, make_run, remove_run),
    };
    return cmocka_run_group_tests_name("predictions_view", tests, NULL, NULL);
}
