/* The small parts of a run: configuration, run directory, board, progress, pinning, exit codes, signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board.h"
#include "children.h"
#include "mem.h"
#include "progress.h"
#include "run_config.h"
#include "run_dir.h"
#include "signals.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tensair-parts-XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") != 0 || system(command) != 0;
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *const yaml = "stream: {generator: sea}\n"
                                "model: {loss: cross_entropy, layers: [{type: dense, units: 2}]}\n";

static void defaults(void **state) {
    (void)state;
    struct ta_run_config *c;
    write_file("a.yaml", yaml);
    assert_int_equal(ta_run_config_load("a.yaml", NULL, 0, &c), TA_OK);
    assert_int_equal(c->run.seed, 1);
    assert_int_equal(c->run.replicas, 1);
    assert_true(c->run.epochs == 1);
    assert_int_equal(c->stream.batch, 32);
    assert_int_equal(c->stream.ring, 8);
    assert_true(c->exchange.spec.dead_after_s == 2.5);
    assert_true(c->checkpoint.every_seconds == 300);
    assert_int_equal(c->checkpoint.keep, 2);
    assert_int_equal(c->metrics.window, 1000);
    ta_run_config_free(c);
    const char *records[] = {"checkpoint.every_records=5"};
    assert_int_equal(ta_run_config_load("a.yaml", records, 1, &c), TA_OK);
    assert_true(c->checkpoint.every_seconds == 0); /* by records alone */
    ta_run_config_free(c);
    ta_run_config_free(NULL);
}

static void expansion(void **state) {
    (void)state;
    char *out;
    setenv("TA_TEST_PLACE", "/some/where", 1);
    unsetenv("TA_TEST_NOTHING");
    assert_int_equal(ta_run_config_expand("k", "${TA_TEST_PLACE}/a$b/${TA_TEST_PLACE}", &out), TA_OK);
    assert_string_equal(out, "/some/where/a$b//some/where");
    ta_mem_free(out);
    assert_int_equal(ta_run_config_expand("stream.file", "${TA_TEST_NOTHING}/x", &out), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "TA_TEST_NOTHING"));
    assert_null(out);
    assert_int_equal(ta_run_config_expand("k", "${}", &out), TA_CONFIG);
    assert_int_equal(ta_run_config_expand("k", "${OPEN", &out), TA_CONFIG);
    char *wide = malloc(20000);
    memset(wide, 'x', 19999);
    wide[19999] = '\0';
    assert_int_equal(ta_run_config_expand("k", wide, &out), TA_CONFIG);
    free(wide);
}

/* A relative stream is looked for beside the configuration first, then in the current folder; quotes survive. */
static void paths(void **state) {
    (void)state;
    struct ta_run_config *c;
    char expected[128];
    assert_int_equal(mkdir("sub", 0755), 0);
    write_file("sub/it's.h5", "");
    write_file("here.h5", "");
    write_file("sub/b.yaml",
               "stream: {file: \"it's.h5\"}\nmodel: {loss: cross_entropy, layers: [{type: dense, units: 2}]}\n");
    assert_int_equal(ta_run_config_load("sub/b.yaml", NULL, 0, &c), TA_OK);
    snprintf(expected, sizeof expected, "%s/sub/it's.h5", folder);
    assert_string_equal(c->stream.spec.file, expected);
    ta_run_config_free(c);
    const char *here[] = {"stream.file=here.h5"};
    assert_int_equal(ta_run_config_load("sub/b.yaml", here, 1, &c), TA_OK);
    snprintf(expected, sizeof expected, "%s/here.h5", folder);
    assert_string_equal(c->stream.spec.file, expected);
    ta_run_config_free(c);
    const char *nowhere[] = {"stream.file=nowhere.h5"};
    assert_int_equal(ta_run_config_load("sub/b.yaml", nowhere, 1, &c), TA_IO);
    assert_null(c);
}

static void config_without_memory(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (unsigned n = 1;; n++) {
        struct ta_run_config *c;
        ta_mem_fail_nth(n);
        ta_status status = ta_run_config_load("sub/b.yaml", NULL, 0, &c);
        ta_mem_fail_nth(0);
        ta_run_config_free(c);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
    }
}

static void run_directories(void **state) {
    (void)state;
    struct ta_run_dir a, b;
    assert_int_equal(ta_run_dir_open(&a, "deep/er/run", "x.yaml"), TA_OK);
    assert_int_equal(access("deep/er/run/log", F_OK), 0);
    assert_int_equal(ta_run_dir_open(&b, "deep/er/run", "x.yaml"), TA_IN_USE);
    assert_non_null(strstr(ta_why(), "in use by process"));
    assert_int_equal(mkdir("deep/er/run/rendezvous", 0700), 0);
    write_file("deep/er/run/rendezvous/rest", "of a killed run");
    assert_int_equal(ta_run_dir_write(&a, "note", "text"), TA_OK);
    assert_int_equal(ta_run_dir_write(&a, "no/such", "text"), TA_IO);
    ta_run_dir_close(&a);
    ta_run_dir_close(&a); /* twice is fine */
    assert_int_not_equal(access("deep/er/run/rendezvous", F_OK), 0);
    assert_int_not_equal(access("deep/er/run/lock", F_OK), 0);
    assert_int_equal(ta_run_dir_open(&b, "deep/er/run", "x.yaml"), TA_OK);
    ta_run_dir_close(&b);

    /* Two unnamed runs of one second get two folders. */
    assert_int_equal(ta_run_dir_open(&a, NULL, "configs/my.run.yaml"), TA_OK);
    assert_int_equal(ta_run_dir_open(&b, NULL, "configs/my.run.yaml"), TA_OK);
    assert_non_null(strstr(a.path, "/runs/my.run-2"));
    assert_string_not_equal(a.path, b.path);
    ta_run_dir_close(&a);
    ta_run_dir_close(&b);
    assert_int_equal(ta_run_dir_open(&a, "a.yaml/run", "x.yaml"), TA_IO); /* a file is in the way */
    assert_int_equal(ta_run_dir_open(&a, "", "x.yaml"), TA_CONFIG);
}

static void boards(void **state) {
    (void)state;
    struct ta_board board, view;
    struct ta_board_sum sum;
    assert_int_equal(ta_board_create(&board, 0, 0), TA_CONFIG);
    assert_int_equal(ta_board_create(&board, 3, 1), TA_OK);
    assert_int_equal(ta_board_attach(&view, 2, board.fd), TA_CONFIG); /* not a board of two */
    assert_int_equal(ta_board_attach(&view, 3, -1), TA_CONFIG);
    assert_int_equal(ta_board_attach(&view, 3, dup(board.fd)), TA_OK);
    for (unsigned i = 0; i < 3; i++) {
        ta_board_set(view.rows[i].records, 10 * (i + 1));
        ta_board_set(view.rows[i].life_records, 5);
        ta_board_set(view.rows[i].window_accuracy, 0.5 * i);
        ta_board_set(view.rows[i].started_ns, 100 - i);
        ta_board_set(view.rows[i].stale_max, i);
    }
    ta_board_set(view.rows[0].ended, 1); /* lost: its window does not count */
    ta_board_add_up(&board, &sum);
    assert_int_equal(sum.records, 60);
    assert_int_equal(sum.stale_max, 2);
    assert_int_equal(sum.started_ns, 98);
    assert_true(sum.window_accuracy == 0.75);
    ta_board_close(&view);
    ta_board_close(&board);
    ta_board_close(&board);
}

static void groups(void **state) {
    (void)state;
    char text[27];
    assert_string_equal(ta_progress_group(0, text), "0");
    assert_string_equal(ta_progress_group(999, text), "999");
    assert_string_equal(ta_progress_group(1000, text), "1,000");
    assert_string_equal(ta_progress_group(UINT64_MAX, text), "18,446,744,073,709,551,615");
}

static void progress(void **state) {
    (void)state;
    struct ta_board board;
    struct ta_progress p;
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_int_equal(ta_board_create(&board, 1, 0), TA_OK);
    ta_progress_open(&p, out, "title", 100);
    assert_false(p.block);
    int64_t now_ns = 1;
    for (int i = 0; i < 40; i++, now_ns += 1000000000) {
        ta_board_set(board.rows[0].started_ns, 1);
        ta_board_set(board.rows[0].records, (uint64_t)i);
        ta_progress_tick(&p, &board, now_ns);
    }
    unsigned lines = 0;
    rewind(out);
    for (int c; (c = fgetc(out)) != EOF;) {
        assert_int_not_equal(c, '\033');
        lines += c == '\n';
    }
    assert_int_equal(lines, 6); /* after 1, 2, 4, 8, 16, 32 s of 39, and sparser for ever */
    assert_true(ta_progress_pause_ns(0) == 1000000000 && ta_progress_pause_ns(6) == 60LL * 1000000000 &&
                ta_progress_pause_ns(UINT32_MAX) == 60LL * 1000000000);
    fclose(out);
    ta_progress_open(&p, NULL, "silent", 0);
    ta_progress_tick(&p, &board, now_ns);
    ta_progress_clear(&p);
    ta_board_close(&board);
}

/* The worst that happened decides: the rule of launcher.h. */
static void exit_codes(void **state) {
    (void)state;
    const struct {
        int status[3]; /* as waitpid gives it */
        int code;
        unsigned lost;
    } cases[] = {
        {{0, 0, 0}, 0, 0},
        {{0, 75 << 8, 0}, 75, 0},
        {{0, SIGKILL, 0}, 69, 1},
        {{75 << 8, SIGSEGV, 75 << 8}, 69, 1},
        {{69 << 8, 74 << 8, 0}, 74, 2},
        {{2 << 8, 2 << 8, 2 << 8}, 2, 3},
        {{1 << 8, 2 << 8, 74 << 8}, 1, 3},
        {{0, 77 << 8, 0}, 1, 1},
        {{0, 137 << 8, 0}, 69, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ta_child child[3];
        for (int r = 0; r < 3; r++) child[r] = (struct ta_child){.wait_status = cases[i].status[r]};
        struct ta_children children = {.count = 3, .child = child};
        unsigned lost;
        assert_int_equal(ta_children_exit_code(&children, &lost), cases[i].code);
        assert_int_equal(lost, cases[i].lost);
    }
}

static void signals(void **state) {
    (void)state;
    struct ta_signals s;
    assert_int_equal(ta_signals_open(&s), TA_OK);
    assert_int_equal(ta_signals_read(&s), 0);
    raise(SIGUSR2);
    assert_int_equal(ta_signals_read(&s), TA_ASKED_STATE);
    raise(SIGINT);
    assert_int_equal(ta_signals_read(&s), TA_ASKED_STOP);
    raise(SIGTERM);
    assert_int_equal(ta_signals_read(&s), TA_ASKED_STOP);
    raise(SIGINT);
    assert_int_equal(ta_signals_read(&s), TA_ASKED_LEAVE);
    ta_signals_wait(&s, 1000);
    ta_signals_close(&s);
    ta_signals_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),       cmocka_unit_test(expansion), cmocka_unit_test(paths),
        cmocka_unit_test(config_without_memory), cmocka_unit_test(run_directories), cmocka_unit_test(boards),
        cmocka_unit_test(groups),         cmocka_unit_test(progress),
        cmocka_unit_test(exit_codes),     cmocka_unit_test(signals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
