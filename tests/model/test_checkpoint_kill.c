/* checkpoint: killed before each change on disk, then at random moments: the newest is the old one or the new one,
 * whole, and the next run writes as if nothing had been. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "rng.h"
#include "snapshots.h"

enum { OLD = 1000, NEW = 1001 };

/* Counts down to the step before which this process dies. */
static void die_at(void *context, const char *what) {
    int *left = context;
    (void)what;
    if ((*left)-- == 0) kill(getpid(), SIGKILL);
}

static struct ta_checkpoint_writer *open_writer(const char *directory, const struct ta_model *model, int *left) {
    struct ta_checkpoint_writer *w;
    const struct ta_checkpoint_config config = {.directory = directory,
                                                .model = model,
                                                .keep = 1,
                                                .patience_s = .5,
                                                .on_step = left != NULL ? die_at : NULL,
                                                .context = left};
    assert_ok(ta_checkpoint_open(&config, &w));
    return w;
}

static void write_one(const char *directory, const struct ta_model *model, uint64_t steps, int *left) {
    struct ta_checkpoint_writer *w = open_writer(directory, model, left);
    struct ta_snapshot s;
    made_up(model, 0, 1, steps, &s);
    assert_ok(write_and_wait(w, &s, (unsigned[]){0}, 1));
    assert_ok(ta_checkpoint_close(w));
}

/* The newest is whole, and is OLD or NEW; which. */
static uint64_t look(const char *directory, const struct ta_model *model) {
    struct ta_checkpoint_info info;
    struct ta_snapshot s;
    assert_ok(ta_checkpoint_latest(directory, NULL, &info));
    assert_true(info.total_steps == OLD || info.total_steps == NEW);
    assert_ok(ta_checkpoint_load(&info, model, 0, true, &s));
    assert_made_up(model, 0, 1, info.total_steps, true, &s);
    ta_snapshot_free(&s);
    return info.total_steps;
}

/* True: the child lived to the end. */
static bool survives(const char *directory, const struct ta_model *model, uint64_t steps, int left, int64_t after_ns) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_one(directory, model, steps, &left);
        _exit(0);
    }
    if (after_ns >= 0) {
        ta_clock_sleep_until(ta_clock_now_ns() + after_ns, 0);
        kill(child, SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how)) assert_int_equal(WEXITSTATUS(how), 0);
    return WIFEXITED(how);
}

static void kill_before_each_step(const char *directory, const struct ta_model *model) {
    unsigned kills = 0, old = 0;
    for (int left = 0;; left++) {
        scratch_empty(directory);
        write_one(directory, model, OLD, NULL);
        if (survives(directory, model, NEW, left, -1)) break;
        kills++;
        old += look(directory, model) == OLD;
        write_one(directory, model, NEW, NULL); /* the next life takes the same steps */
        assert_true(look(directory, model) == NEW);
    }
    assert_true(look(directory, model) == NEW);
    print_message("killed before %u steps; %u times the old one stood\n", kills, old);
    assert_true(kills >= 10 && old >= 5 && old < kills);
}

static void killed_before_each_step(void **state) {
    struct ta_model model;
    small_model(&model);
    kill_before_each_step(*state, &model);
    ta_model_free(&model);
}

static void killed_with_a_word_model(void **state) {
    struct ta_model model;
    small_word_model(&model);
    kill_before_each_step(*state, &model);
    ta_model_free(&model);
}

/* The same number of steps once more: the two directories are swapped. */
static void killed_while_replacing(void **state) {
    const char *directory = *state;
    struct ta_model model;
    unsigned kills = 0;
    small_model(&model);
    write_one(directory, &model, NEW, NULL);
    while (!survives(directory, &model, NEW, (int)kills, -1)) {
        kills++;
        assert_true(look(directory, &model) == NEW);
    }
    assert_true(kills >= 10);
    ta_model_free(&model);
}

static void killed_at_random(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_rng rng = ta_rng_make(1, 1);
    unsigned old = 0;
    small_model(&model);
    int64_t start_ns = ta_clock_now_ns();
    write_one(directory, &model, OLD, NULL);
    double takes_ns = (double)(ta_clock_now_ns() - start_ns);
    for (int i = 0; i < 40; i++) {
        scratch_empty(directory);
        write_one(directory, &model, OLD, NULL);
        survives(directory, &model, NEW, -1, (int64_t)(ta_rng_uniform(&rng) * 1.2 * takes_ns));
        old += look(directory, &model) == OLD;
    }
    print_message("killed 40 times; %u times the old one stood\n", old);
    ta_model_free(&model);
}

/* One of two ranks dies: the other one says so, and the old checkpoint stands. */
static void a_peer_is_killed(void **state) {
    const char *directory = *state;
    struct ta_model model;
    struct ta_snapshot s;
    small_model(&model);
    write_one(directory, &model, OLD, NULL);
    for (int left = 0; left < 4; left++) {
        pid_t child = fork();
        if (child == 0) { /* rank 1 */
            struct ta_checkpoint_writer *mine = open_writer(directory, &model, &left);
            made_up(&model, 1, 2, NEW, &s);
            (void)write_and_wait(mine, &s, (unsigned[]){0, 1}, 2);
            _exit(0);
        }
        struct ta_checkpoint_writer *w = open_writer(directory, &model, NULL);
        made_up(&model, 0, 2, NEW, &s);
        ta_status status = write_and_wait(w, &s, (unsigned[]){0, 1}, 2);
        /* Killed before its fourth step, rank 1 has not yet named its file; later it is not needed any more. */
        if (status != TA_PEER) fail_msg("step %d: %s %s", left, ta_status_name(status), ta_why());
        waitpid(child, NULL, 0);
        assert_true(look(directory, &model) == OLD);
        (void)ta_checkpoint_close(w);
    }
    ta_model_free(&model);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(killed_before_each_step),
        WITH_SCRATCH(killed_with_a_word_model),
        WITH_SCRATCH(killed_while_replacing),
        WITH_SCRATCH(killed_at_random),
        WITH_SCRATCH(a_peer_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
