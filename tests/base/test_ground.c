/* status, mem, clock, log, jsonl: the small ones. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"
#include "clock.h"
#include "jsonl.h"
#include "log.h"

static char directory[64];

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

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void every_status_has_a_name_a_meaning_and_a_code(void **state) {
    (void)state;
    assert_string_equal(ta_status_name(TA_OK), "OK");
    assert_int_equal(ta_status_exit_code(TA_OK), 0);
    assert_int_equal(ta_status_exit_code(TA_CONFIG), 2);
    assert_int_equal(ta_status_exit_code(TA_PEER), 69);
    assert_int_equal(ta_status_exit_code(TA_FORMAT), 74);
    assert_int_equal(ta_status_exit_code(TA_REQUEUE), 75);
    for (int s = TA_OK; s <= TA_END; s++) {
        assert_true(strlen(ta_status_name((ta_status)s)) > 1);
        assert_true(strlen(ta_status_meaning((ta_status)s)) > 1);
        assert_true(s == TA_OK || ta_status_exit_code((ta_status)s) > 0);
    }
    assert_string_equal(ta_status_name((ta_status)1000), "UNKNOWN");
    assert_int_equal(ta_status_exit_code((ta_status)-1), 1);
}

static void *fail_elsewhere(void *seen) {
    strcpy(seen, ta_why());
    ta_fail(TA_IO, "of another thread");
    return NULL;
}

static void messages_are_kept_per_thread_and_cut(void **state) {
    (void)state;
    char huge[3000], seen[32] = "untouched";
    pthread_t thread;
    assert_int_equal(ta_fail(TA_PEER, "peer %d of %d", 3, 4), TA_PEER);
    assert_string_equal(ta_why(), "peer 3 of 4");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, seen), 0);
    pthread_join(thread, NULL);
    assert_string_equal(seen, "");
    assert_string_equal(ta_why(), "peer 3 of 4");
    ta_fail(TA_IO, "outer: %s", ta_why()); /* its own message as an argument */
    assert_string_equal(ta_why(), "outer: peer 3 of 4");
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    ta_fail(TA_IO, "%s", huge);
    assert_int_equal(strlen(ta_why()), 1023);
    assert_int_equal(open("/nowhere/at/all", O_RDONLY), -1);
    ta_fail_errno(TA_IO, "%s", "/nowhere/at/all");
    assert_string_equal(ta_why(), "/nowhere/at/all: No such file or directory");
    ta_why_clear();
    assert_string_equal(ta_why(), "");
}

static void memory_is_zeroed_aligned_counted_and_bounded(void **state) {
    (void)state;
    size_t before = ta_mem_held_bytes();
    double *p;
    void *q = NULL;
    assert_ok(TA_NEW(&p, 1000, "numbers"));
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 1000; i++) assert_true(p[i] == 0);
    assert_int_equal(ta_mem_held_bytes() - before, 8000);
    for (int i = 0; i < 1000; i++) p[i] = i;
    q = p;
    assert_ok(ta_mem_resize(&q, 16000, "numbers"));
    p = q;
    for (int i = 0; i < 2000; i++) assert_true(p[i] == (i < 1000 ? i : 0));
    assert_int_equal(ta_mem_held_bytes() - before, 16000);
    assert_ok(ta_mem_resize(&q, 8, "numbers"));
    ta_mem_free(q);
    ta_mem_free(NULL);
    assert_int_equal(ta_mem_held_bytes(), before);
    assert_ok(ta_mem_alloc(0, 8, "nothing", &q));
    assert_non_null(q);
    ta_mem_free(q);
    assert_fails(TA_NO_MEMORY, "rows: 9223372036854775807 elements of 8 bytes",
                 ta_mem_alloc(SIZE_MAX / 2, 8, "rows", &q));
    assert_null(q);
    assert_fails(TA_NO_MEMORY, "more than a process can hold", ta_mem_alloc(SIZE_MAX, 1, "rows", &q));
    char *copy;
    assert_ok(ta_mem_strdup("words", "text", &copy));
    assert_string_equal(copy, "words");
    ta_mem_free(copy);
}

static void the_nth_allocation_fails(void **state) {
    (void)state;
    void *p[3];
    ta_mem_fail_nth(2);
    assert_ok(ta_mem_alloc(1, 8, "one", &p[0]));
    assert_fails(TA_NO_MEMORY, "two: out of memory (8 bytes asked for)", ta_mem_alloc(1, 8, "two", &p[1]));
    assert_ok(ta_mem_alloc(1, 8, "three", &p[2]));
    ta_mem_free(p[0]);
    ta_mem_free(p[2]);
}

static void the_clock_runs_and_sleeps_to_the_point(void **state) {
    (void)state;
    int64_t late = 0;
    for (int i = 0; i < 20; i++) {
        int64_t due = ta_clock_now_ns() + 2000000;
        ta_clock_sleep_until(due, 200000);
        int64_t now = ta_clock_now_ns();
        assert_true(now >= due);
        if (i == 0 || now - due < late) late = now - due;
    }
    assert_true(late < 1000000); /* the best of twenty, on a machine that may be busy */
    int64_t before = ta_clock_now_ns();
    ta_clock_sleep_until(before - TA_NS_PER_S, 0);
    assert_true(ta_clock_now_ns() - before < TA_NS_PER_S);
    char text[25];
    ta_clock_iso8601(INT64_C(1795252723123999999), text);
    assert_string_equal(text, "2026-11-21T09:18:43.123Z");
    ta_clock_iso8601(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    assert_true(ta_clock_wall_ns() > INT64_C(1600000000000000000));
}

static unsigned count_lines(const char *path, const char *part, unsigned *whole) {
    char line[4096];
    unsigned lines = 0;
    *whole = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        lines++;
        size_t length = strlen(line);
        *whole += strstr(line, part) != NULL && line[length - 1] == '\n';
    }
    fclose(f);
    return lines;
}

static void lines_of_processes_do_not_mix(void **state) {
    (void)state;
    enum { PROCESSES = 4, LINES = 300 };
    char text[801];
    memset(text, 'a', 800);
    text[800] = '\0';
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0) continue;
        struct ta_log log;
        if (ta_log_open(&log, TA_LOG_INFO, p, false, path_of("log")) != TA_OK) _exit(1);
        for (int i = 0; i < LINES; i++) ta_log_info(&log, "%s end", text);
        ta_log_close(&log);
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int result;
        wait(&result);
        assert_int_equal(result, 0);
    }
    char part[820];
    unsigned whole;
    snprintf(part, sizeof part, " info  %s end\n", text);
    assert_int_equal(count_lines(path_of("log"), part, &whole), PROCESSES * LINES);
    assert_int_equal(whole, PROCESSES * LINES);
}

static void a_log_has_levels_ranks_and_bounded_lines(void **state) {
    (void)state;
    struct ta_log log;
    enum ta_log_level level;
    unsigned whole;
    char huge[5000];
    memset(huge, 'y', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_ok(ta_log_open(&log, TA_LOG_WARN, 7, false, path_of("levels")));
    ta_log_debug(&log, "not seen");
    ta_log_info(&log, "seen %d", 1);
    ta_log_error(&log, "%s", huge);
    ta_log_close(&log);
    ta_log_info(NULL, "swallowed");
    assert_int_equal(count_lines(path_of("levels"), " rank=7 ", &whole), 2);
    assert_int_equal(whole, 2);
    count_lines(path_of("levels"), "rank=7 info  seen 1\n", &whole);
    assert_int_equal(whole, 1);
    assert_fails(TA_IO, "/nowhere/log: cannot open the log", ta_log_open(&log, TA_LOG_INFO, -1, false, "/nowhere/log"));
    assert_ok(ta_log_level_parse("warn", &level));
    assert_int_equal(level, TA_LOG_WARN);
    assert_fails(TA_CONFIG, "log level 'loud' is not one of", ta_log_level_parse("loud", &level));
}

static void json_lines_are_whole_and_say_null_for_nan(void **state) {
    (void)state;
    int fd;
    unsigned whole;
    assert_ok(ta_jsonl_open(path_of("metrics.jsonl"), &fd));
    json_t *object = json_pack("{s:i, s:o, s:o, s:s}", "step", 3, "loss", ta_json_real(NAN), "rate", ta_json_real(0.1),
                               "name", "a\nb");
    for (int i = 0; i < 3; i++) assert_ok(ta_jsonl_append(fd, "metrics.jsonl", object));
    json_decref(object);
    assert_fails(TA_NO_MEMORY, "metrics.jsonl: out of memory", ta_jsonl_append(fd, "metrics.jsonl", NULL));
    close(fd);
    count_lines(path_of("metrics.jsonl"), "{\"step\":3,\"loss\":null,\"rate\":0.1", &whole);
    assert_int_equal(whole, 3);
    object = json_object();
    assert_fails(TA_IO, "closed: cannot be written: Bad file descriptor", ta_jsonl_append(-1, "closed", object));
    if (access("/dev/full", W_OK) == 0) {
        assert_ok(ta_jsonl_open("/dev/full", &fd));
        assert_fails(TA_IO, "No space left on device", ta_jsonl_append(fd, "/dev/full", object));
        close(fd);
    }
    ta_mem_fail_nth(1);
    assert_fails(TA_NO_MEMORY, "JSON line", ta_jsonl_append(-1, "x", object));
    ta_mem_fail_nth(0);
    json_decref(object);
    assert_fails(TA_IO, "/nowhere/m: cannot be opened", ta_jsonl_open("/nowhere/m", &fd));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_a_meaning_and_a_code),
        cmocka_unit_test(messages_are_kept_per_thread_and_cut),
        cmocka_unit_test(memory_is_zeroed_aligned_counted_and_bounded),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(the_clock_runs_and_sleeps_to_the_point),
        cmocka_unit_test(lines_of_processes_do_not_mix),
        cmocka_unit_test(a_log_has_levels_ranks_and_bounded_lines),
        cmocka_unit_test(json_lines_are_whole_and_say_null_for_nan),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
