/* checkpoint: ranks that are missing, lost or late; disks that are full; memory that runs out: what fails leaves the
 * old one whole and says why. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "config_of.h"
#include "snapshots.h"

static void a_missing_rank_is_named(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_snapshot s;
    struct ta_checkpoint_writer *w;
    char path[512];
    small_model(&model);
    write_alone(directory, &model, 90);
    const struct ta_checkpoint_config config = {.directory = directory, .model = &model, .patience_s = .05};
    assert_ok(ta_checkpoint_open(&config, &w));
    made_up(&model, 0, 2, 100, &s);
    assert_fails(TA_PEER, "rank 1", write_and_wait(w, &s, (unsigned[]){0, 1}, 2));
    assert_ok(ta_checkpoint_poll(w, NULL, 0)); /* told once */
    made_up(&model, 1, 2, 100, &s);
    assert_fails(TA_PEER, "rank 0", write_and_wait(w, &s, (unsigned[]){0, 1}, 2));
    made_up(&model, 0, 2, 110, &s);
    assert_ok(ta_checkpoint_submit(w, &s, (unsigned[]){0, 1}, 2));
    made_up(&model, 0, 2, 120, &s);
    assert_int_equal(ta_checkpoint_submit(w, &s, (unsigned[]){0, 1}, 2), TA_BUSY);
    assert_non_null(s.delta);
    ta_snapshot_free(&s);
    assert_fails(TA_PEER, "rank 1", ta_checkpoint_close(w)); /* nobody had asked */
    assert_int_not_equal(access(scratch_path(path, directory, ".tmp-000000110-3"), F_OK), 0);
    struct ta_checkpoint_info info;
    assert_ok(ta_checkpoint_latest(directory, NULL, &info));
    assert_true(info.total_steps == 90);
    ta_model_free(&model);
}

/* Nobody waits out the patience for a rank that is known to be gone. */
static void a_lost_rank_is_not_waited_for(void **state) {
    struct ta_model model;
    struct ta_snapshot s;
    struct ta_checkpoint_writer *w;
    small_model(&model);
    const struct ta_checkpoint_config config = {.directory = *state, .model = &model, .patience_s = 60};
    assert_ok(ta_checkpoint_open(&config, &w));
    int64_t start_ns = ta_clock_now_ns();
    made_up(&model, 0, 2, 100, &s);
    assert_ok(ta_checkpoint_submit(w, &s, (unsigned[]){0, 1}, 2));
    ta_checkpoint_lost(w, 1); /* while it is waited for */
    assert_fails(TA_PEER, "rank 1 was lost", wait_for(w, NULL, 0));
    ta_checkpoint_lost(w, 0); /* before it is waited for */
    made_up(&model, 1, 2, 110, &s);
    assert_fails(TA_PEER, "rank 0 was lost", write_and_wait(w, &s, (unsigned[]){0, 1}, 2));
    assert_true(ta_clock_now_ns() - start_ns < 30 * TA_NS_PER_S);
    ta_checkpoint_lost(w, 1u << 20); /* no such rank */
    assert_ok(ta_checkpoint_close(w));
    ta_model_free(&model);
}

/* A rank that was taken for dead and is only slow makes the directory anew after it has got its name. */
static void a_late_writer_holds_nobody_up(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_snapshot s;
    struct ta_checkpoint_writer *w;
    char tmp[512], own[512], final[512], path[512];
    small_model(&model);
    const struct ta_checkpoint_config config = {.directory = directory, .model = &model, .patience_s = 5};
    assert_ok(ta_checkpoint_open(&config, &w));
    made_up(&model, 1, 3, 100, &s);
    assert_ok(ta_checkpoint_submit(w, &s, (unsigned[]){0, 1}, 2));
    scratch_path(own, directory, ".tmp-000000100-3/replica-00001.h5");
    for (unsigned naps = 0; access(own, F_OK) != 0 && naps < 30000; naps++) usleep(100);
    /* rank 0 completes it, and late rank 2 is there before rank 1 looks */
    scratch_path(tmp, directory, ".tmp-000000100-3");
    assert_int_equal(rename(tmp, scratch_path(final, directory, "000000100")), 0);
    assert_int_equal(mkdir(tmp, 0777), 0);
    assert_ok(wait_for(w, path, sizeof path));
    assert_string_equal(path, final);
    assert_ok(ta_checkpoint_close(w));
    ta_model_free(&model);
}

/* A disk that fills up: files may not grow past a limit, from none to all. In a child, for the limit is for good. */
static int write_limited(const char *directory, rlim_t limit) {
    struct ta_model model;
    struct ta_checkpoint_writer *w;
    struct ta_snapshot s;
    small_model(&model);
    signal(SIGXFSZ, SIG_IGN);
    const struct ta_checkpoint_config config = {.directory = directory, .model = &model};
    if (ta_checkpoint_open(&config, &w) != TA_OK) return 1;
    made_up(&model, 0, 1, 200, &s);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
    ta_status status = write_and_wait(w, &s, (unsigned[]){0}, 1);
    if (status == TA_OK) return 0;
    bool clear = strstr(ta_why(), directory) != NULL;
    return status == TA_IO && clear ? 3 : 2;
}

static void a_full_disk_leaves_the_old_one(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_checkpoint_info info;
    char path[512];
    unsigned failed = 0;
    small_model(&model);
    write_alone(directory, &model, 190);
    for (rlim_t limit = 0; limit < 30000; limit += limit < 2000 ? 200 : 3000) {
        pid_t child = fork();
        if (child == 0) _exit(write_limited(directory, limit));
        int how;
        waitpid(child, &how, 0);
        assert_true(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == 3));
        failed += WEXITSTATUS(how) == 3;
        assert_int_not_equal(access(scratch_path(path, directory, ".tmp-000000200-3"), F_OK), 0);
        assert_ok(ta_checkpoint_latest(directory, NULL, &info));
        assert_true(info.total_steps == (WEXITSTATUS(how) == 0 ? 200 : 190));
        if (WEXITSTATUS(how) == 0) break;
    }
    assert_true(failed > 3 && info.total_steps == 200);
    ta_model_free(&model);
}

/* A real full disk: a small file system of its own, where that is allowed. 0: the message is clear; 77: not allowed. */
static int write_on_small_disk(const char *directory) {
    struct ta_model model;
    struct ta_checkpoint_writer *w;
    struct ta_snapshot s;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || mount("none", directory, "tmpfs", 0, "size=48k") != 0) return 77;
    small_model(&model);
    const struct ta_checkpoint_config config = {.directory = directory, .model = &model};
    if (ta_checkpoint_open(&config, &w) != TA_OK) return 1;
    made_up(&model, 0, 1, 200, &s);
    if (write_and_wait(w, &s, (unsigned[]){0}, 1) != TA_IO) return 2;
    return strstr(ta_why(), directory) != NULL && strstr(ta_why(), "the disk is full") != NULL ? 0 : 3;
}

static void a_small_disk_is_named(void **state) {
    const char *directory = *state;
    pid_t child = fork();
    if (child == 0) _exit(write_on_small_disk(directory));
    int how;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    if (WEXITSTATUS(how) == 77) {
        print_message("not allowed to mount a small file system here: that part was left out\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void memory_runs_out_while_loading(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_checkpoint_info info;
    struct ta_snapshot s;
    small_model(&model);
    write_alone(directory, &model, 300);
    size_t before = ta_mem_held_bytes();
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        ta_mem_fail_nth(nth);
        ta_status status = ta_checkpoint_latest(directory, NULL, &info);
        if (status == TA_OK) status = ta_checkpoint_load(&info, &model, 0, true, &s);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        /* `latest` passes over what it cannot read, for want of memory too */
        assert_true(status == TA_NO_MEMORY || status == TA_AGAIN);
        assert_int_equal(ta_mem_held_bytes(), before);
        failures++;
    }
    assert_true(failures > 15);
    ta_snapshot_free(&s);
    ta_model_free(&model);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(a_missing_rank_is_named),
        WITH_SCRATCH(a_lost_rank_is_not_waited_for),
        WITH_SCRATCH(a_late_writer_holds_nobody_up),
        WITH_SCRATCH(a_full_disk_leaves_the_old_one),
        WITH_SCRATCH(a_small_disk_is_named),
        WITH_SCRATCH(memory_runs_out_while_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
