/* procline: what /proc and getenv say of a process that gave itself a command line and an environment. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "procline.h"

enum { ROOM = 1 << 16, GOOD = 0, NOT_SET = 1, NOT_SHOWN = 2, SHOWN_WRONG = 3 };

static ssize_t slurp(const char *path, char *text) {
    int fd = open(path, O_RDONLY);
    ssize_t all = 0, n;
    while (fd >= 0 && (n = read(fd, text + all, (size_t)(ROOM - all))) > 0) all += n;
    if (fd >= 0) close(fd);
    return all;
}

static bool holds(const char *path, const char *expected, size_t bytes) {
    static char text[ROOM];
    return slurp(path, text) == (ssize_t)bytes && memcmp(text, expected, bytes) == 0;
}

static int in_child(void) {
    static const char line[] = "tensair\0train\0a file.yaml\0", place[] = "TENSAIR_RANK=3\0EMPTY=\0PATH=/bin\0";
    char rank[] = "TENSAIR_RANK=3", *argv[] = {(char *)"tensair", (char *)"train", (char *)"a file.yaml", NULL};
    char *environment[] = {rank, (char *)"EMPTY=", (char *)"PATH=/bin", NULL};
    setenv("BEFORE", "1", 1);
    if (ta_procline_set(argv, environment) != TA_OK) return NOT_SET;
    memset(rank, 'x', sizeof rank - 1); /* it has copies */
    const char *said = getenv("TENSAIR_RANK");
    if (said == NULL || strcmp(said, "3") != 0 || getenv("BEFORE") != NULL || getenv("EMPTY") == NULL) return NOT_SET;
    if (setenv("LATER", "1", 1) != 0 || getenv("LATER") == NULL) return NOT_SET;
    bool both = holds("/proc/self/cmdline", line, sizeof line - 1) &&
                holds("/proc/self/environ", place, sizeof place - 1);
    if (both) return GOOD;
    static char text[ROOM];
    ssize_t n = slurp("/proc/self/cmdline", text);
    return n > 0 && memmem(text, (size_t)n, "procline", 8) != NULL ? NOT_SHOWN : SHOWN_WRONG;
}

static int ask_child(void) {
    pid_t child = fork();
    if (child == 0) _exit(in_child());
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : SHOWN_WRONG;
}

static void as_if_started_so(void **state) {
    (void)state;
    assert_int_equal(ask_child(), GOOD);
}

int main(void) {
    if (ask_child() == NOT_SHOWN) {
        printf("SKIPPED: this kernel does not let a process say what ps shows of it (CONFIG_CHECKPOINT_RESTORE)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_if_started_so)};
    return cmocka_run_group_tests_name("procline", tests, NULL, NULL);
}
