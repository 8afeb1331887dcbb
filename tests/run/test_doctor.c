/* A section of the doctor in a process of its own: it may hang, crash, print, start others, or say a lot; the report
 * goes on, and nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "clock.h"
#include "doctor.h"
#include "expect.h"

static pid_t *left; /* shared: the process a section has left running */

static void says_two(const struct ta_doctor *d, struct ta_findings *list) {
    ta_doctor_say(list, TA_FINDING_OK, "first", "%u replicas", d->replicas);
    ta_doctor_say(list, TA_FINDING_MISSING, "second", "nothing");
    ta_doctor_cure(list, "install %s", "it");
    printf("a driver that prints\n");
    fflush(stdout);
}

static void hangs(const struct ta_doctor *d, struct ta_findings *list) {
    (void)d;
    ta_doctor_say(list, TA_FINDING_OK, "before", "was found out");
    ta_doctor_say(list, TA_FINDING_OK, "last", "may be lost");
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
}

static void crashes(const struct ta_doctor *d, struct ta_findings *list) {
    ta_doctor_say(list, TA_FINDING_OK, "before", "is lost");
    (void)d;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void runs_out_of_memory(const struct ta_doctor *d, struct ta_findings *list) {
    (void)d;
    ta_mem_fail_nth(1);
    ta_doctor_say(list, TA_FINDING_OK, "lost", "for want of memory");
    ta_doctor_cure(list, "of nothing");
    ta_doctor_say(list, TA_FINDING_OK, "kept", "all the same");
}

static void leaves_a_process(const struct ta_doctor *d, struct ta_findings *list) {
    (void)d;
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    *left = child;
    ta_doctor_say(list, TA_FINDING_OK, "started", "one");
}

static void says_a_lot(const struct ta_doctor *d, struct ta_findings *list) {
    char name[200], value[2000];
    (void)d;
    memset(name, 'n', sizeof name);
    memset(value, 'v', sizeof value);
    name[199] = value[1999] = '\0';
    for (unsigned i = 0; i < 500; i++) {
        ta_doctor_say(list, TA_FINDING_NOTE, name, "%s", value);
        ta_doctor_cure(list, "%s", value);
    }
    ta_doctor_say(list, TA_FINDING_OK, "odd", "a\033[31mb\nc\xff%s", "%n");
}

static ta_status examine(void (*what)(const struct ta_doctor *, struct ta_findings *), double within_s,
                         struct ta_findings *list) {
    struct ta_doctor d = {.replicas = 7};
    struct ta_doctor_section section = {"here", what, within_s};
    return ta_doctor_apart(&d, &section, list);
}

static void findings_come_back(void **state) {
    (void)state;
    struct ta_findings list = {0};
    assert_ok(examine(says_two, 20, &list));
    assert_int_equal(list.n, 2);
    assert_string_equal(list.all[0].section, "here");
    assert_string_equal(list.all[0].value, "7 replicas");
    assert_string_equal(list.all[0].cure, "");
    assert_int_equal(list.all[1].state, TA_FINDING_MISSING);
    assert_string_equal(list.all[1].cure, "install it");
    assert_ok(examine(says_a_lot, 20, &list));
    assert_int_equal(list.n, 2 + 501);
    assert_int_equal(strlen(list.all[400].name), sizeof list.all[400].name - 1);
    assert_int_equal(strlen(list.all[400].value), sizeof list.all[400].value - 1);
    assert_int_equal(strlen(list.all[400].cure), sizeof list.all[400].cure - 1);
    assert_string_equal(list.all[502].value, "a?[31mb c?%n");
    ta_doctor_forget(&list);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

static void a_section_that_hangs_costs_its_time(void **state) {
    (void)state;
    struct ta_findings list = {0};
    int64_t begin_ns = ta_clock_now_ns();
    assert_ok(examine(hangs, 0.2, &list));
    assert_true(ta_clock_now_ns() - begin_ns >= TA_NS_PER_S / 5);
    assert_true(ta_clock_now_ns() - begin_ns < 8 * TA_NS_PER_S);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.all[0].name, "before");
    assert_int_equal(list.all[1].state, TA_FINDING_WRONG);
    assert_non_null(strstr(list.all[1].value, "did not answer within 0.2 s"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a zombie */
    assert_int_equal(errno, ECHILD);
    ta_doctor_forget(&list);
}

static void a_section_that_crashes_is_a_finding(void **state) {
    (void)state;
    struct ta_findings list = {0};
    assert_ok(examine(crashes, 20, &list));
    assert_int_equal(list.n, 1);
    assert_int_equal(list.all[0].state, TA_FINDING_WRONG);
    assert_non_null(strstr(list.all[0].value, "crashed"));
    ta_doctor_forget(&list);
}

static void what_is_lost_is_not_called_well(void **state) {
    (void)state;
    struct ta_findings list = {0};
    assert_fails(TA_NO_MEMORY, "'here'", examine(runs_out_of_memory, 20, &list));
    ta_doctor_forget(&list);
    ta_mem_fail_nth(1); /* of the one who takes the findings */
    assert_fails(TA_NO_MEMORY, "'here'", examine(says_two, 20, &list));
    ta_mem_fail_nth(0);
    ta_doctor_forget(&list);
}

static bool is_gone(pid_t pid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return true;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    const char *after = bytes > 0 ? strrchr(text, ')') : NULL;
    return after == NULL || after[2] == 'Z';
}

static void nothing_outlives_its_section(void **state) {
    (void)state;
    struct ta_findings list = {0};
    left = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(left != MAP_FAILED);
    assert_ok(examine(leaves_a_process, 0.5, &list)); /* which holds the pipe open */
    assert_true(*left > 0);
    int64_t until_ns = ta_clock_now_ns() + 5 * TA_NS_PER_S;
    while (!is_gone(*left) && ta_clock_now_ns() < until_ns) usleep(1000);
    assert_true(is_gone(*left));
    munmap(left, sizeof *left);
    ta_doctor_forget(&list);
}

static void sizes_are_said_in_words(void **state) {
    (void)state;
    char text[32];
    assert_string_equal(ta_doctor_bytes(0, text), "0 bytes");
    assert_string_equal(ta_doctor_bytes(1023, text), "1023 bytes");
    assert_string_equal(ta_doctor_bytes(65536, text), "64 KiB");
    assert_string_equal(ta_doctor_bytes(1536 * 1024, text), "1.5 MiB");
    assert_string_equal(ta_doctor_bytes(UINT64_MAX - 1, text), "16 EiB");
    assert_string_equal(ta_doctor_bytes(UINT64_MAX, text), "unlimited");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_come_back),
        cmocka_unit_test(a_section_that_hangs_costs_its_time),
        cmocka_unit_test(a_section_that_crashes_is_a_finding),
        cmocka_unit_test(what_is_lost_is_not_called_well),
        cmocka_unit_test(nothing_outlives_its_section),
        cmocka_unit_test(sizes_are_said_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
