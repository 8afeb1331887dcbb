/* predictions: nothing is lost between threads, a full ring says so, a full disk is told; reading is
 * predictions_h5py.py's. */
#include "expect.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "h5.h"
#include "predictions.h"

enum { OUTPUTS = 2, BATCH = 5000, ROWS = 300000 };

static float values[BATCH * OUTPUTS];
static int64_t due[BATCH];
static int32_t labels[BATCH];
static char path[64];

static struct ta_predictions *open_log(void) {
    struct ta_predictions *p;
    snprintf(path, sizeof path, "/tmp/tensair-predictions-%d.h5", (int)getpid());
    struct ta_predictions_config config = {.path = path, .kind = {.classes = true, .outputs = OUTPUTS}};
    assert_ok(ta_predictions_open(&config, &p));
    return p;
}

static struct ta_predictions_rows rows_at(uint64_t first) {
    return (struct ta_predictions_rows){
        .first_record = first, .due_ns = due, .version = first, .predictions = values, .classes = labels};
}

/* As fast as it goes: the ring runs full, and still every row arrives, once, in its place. */
static void all_rows_arrive(void **state) {
    (void)state;
    struct ta_predictions *p = open_log();
    unsigned busy = 0;
    assert_int_equal(ta_predictions_room(p), TA_PREDICTIONS_ROOM);
    for (uint64_t at = 0; at < ROWS;) {
        struct ta_predictions_rows rows = rows_at(at);
        ta_status status = ta_predictions_add(p, BATCH, &rows);
        if (status == TA_OK) at += BATCH;
        else busy++;
        assert_true(status == TA_OK || status == TA_BUSY);
    }
    assert_true(busy > 0);
    assert_ok(ta_predictions_close(p));
    struct ta_h5 *file;
    struct ta_h5_set *set;
    static uint64_t records[ROWS];
    assert_ok(ta_h5_open(path, TA_H5_READ, &file));
    assert_ok(ta_h5_set_open(file, "/record", &set));
    assert_true(ta_h5_set_shape(set)->dims[0] == ROWS);
    assert_ok(ta_h5_set_read(set, TA_H5_U64, 0, ROWS, records));
    for (uint64_t i = 0; i < ROWS; i++) assert_true(records[i] == i);
    ta_h5_set_close(set);
    assert_ok(ta_h5_close(file));
    unlink(path);
}

static int fill_a_small_disk(void) {
    signal(SIGXFSZ, SIG_IGN);
    struct ta_predictions *p = open_log();
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){200000, 200000});
    for (uint64_t at = 0; at < 1000 * (uint64_t)BATCH; at += BATCH) {
        struct ta_predictions_rows rows = rows_at(at);
        ta_status status = ta_predictions_add(p, BATCH, &rows);
        if (status == TA_IO && strstr(ta_why(), path) != NULL) {
            bool told = ta_predictions_close(p) == TA_IO;
            unlink(path);
            return told ? 0 : 3;
        }
        if (status != TA_OK && status != TA_BUSY) return 2;
        usleep(1000);
    }
    return 1;
}

static void a_full_disk_is_told(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) _exit(fill_a_small_disk());
    int how;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    struct ta_predictions *p;
    assert_fails(TA_CONFIG, "without outputs",
                 ta_predictions_open(&(struct ta_predictions_config){.path = "/tmp/x.h5"}, &p));
    struct ta_predictions_config config = {.path = "/nowhere/at/all.h5", .kind = {.outputs = 1}};
    assert_fails(TA_IO, "/nowhere/at/all.h5", ta_predictions_open(&config, &p));
    config.path = path;
    for (unsigned nth = 1;; nth++) {
        ta_mem_fail_nth(nth);
        ta_status status = ta_predictions_open(&config, &p);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), 0);
    }
    assert_ok(ta_predictions_close(p));
    assert_ok(ta_predictions_close(NULL));
    unlink(path);
    struct ta_h5 *file;
    assert_ok(ta_h5_open(path, TA_H5_CREATE, &file));
    assert_fails(TA_INVALID, "was not opened to grow", ta_h5_grow(file));
    assert_ok(ta_h5_close(file));
    unlink(path);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    for (unsigned i = 0; i < BATCH; i++) values[2 * i] = (float)(i % 3 == 0), values[2 * i + 1] = .5f;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_arrive),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
