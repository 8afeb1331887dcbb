/* doctor_apart: a section in a process of its own. Findings come back through a pipe as they are in memory: both ends
 * are this program. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "doctor.h"

enum {
    LOST_SOME = 3, /* exit status of a section that had no memory for a finding */
    REAP_S = 5,    /* how long a section that has said all, or was killed, may take to end */
};

/* Never returns. What drivers and libraries print would stand in the middle of the report, or of JSON. */
static void examine(const struct ta_doctor *d, const struct ta_doctor_section *section, int to, pid_t parent) {
    struct ta_findings list = {.section = section->name, .to = to};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    /* A group of its own: what it starts ends with it. */
    (void)setpgid(0, 0);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= STDERR_FILENO && nowhere >= 0; fd++) (void)dup2(nowhere, fd);
    section->examine(d, &list);
    if (!ta_doctor_send(&list)) _exit(1);
    _exit(list.lost ? LOST_SOME : 0);
}

/* Takes findings from the pipe until its end; false: not within the time. */
static bool receive(int from, int64_t until_ns, struct ta_findings *list) {
    struct ta_finding one;
    size_t have = 0;
    for (;;) {
        int64_t left_ns = until_ns - ta_clock_now_ns();
        struct pollfd ready = {.fd = from, .events = POLLIN};
        int count = left_ns > 0 ? poll(&ready, 1, (int)(left_ns / 1000000) + 1) : 0;
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        ssize_t bytes = read(from, (char *)&one + have, sizeof one - have);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes <= 0) return true;
        have += (size_t)bytes;
        if (have < sizeof one) continue;
        have = 0;
        ta_doctor_say(list, one.state, one.name, "%s", one.value);
        if (one.cure[0] != '\0') ta_doctor_cure(list, "%s", one.cure);
    }
}

static void say_how_it_ended(const struct ta_doctor_section *section, bool in_time, int state,
                             struct ta_findings *list) {
    if (!in_time) {
        ta_doctor_say(list, TA_FINDING_WRONG, section->name, "did not answer within %g s", section->within_s);
        ta_doctor_cure(list,
                       "something below it hangs: look at dmesg, and for a file system or server that does not answer");
    } else if (WIFSIGNALED(state)) {
        ta_doctor_say(list, TA_FINDING_WRONG, section->name, "crashed while it was examined: %s",
                      strsignal(WTERMSIG(state)));
        ta_doctor_cure(list, "a driver or library below it is broken: install its newest version");
    } else if (WEXITSTATUS(state) != 0) {
        list->lost = true;
    }
}

/* Ends what the section has started and still runs, then takes its status. A process that waits in the kernel for a
 * device does not even die; after a while it is left to the system (false). */
static bool reap(pid_t child, int *state) {
    siginfo_t info = {0};
    int64_t until_ns = ta_clock_now_ns() + REAP_S * TA_NS_PER_S;
    while (info.si_pid == 0 && ta_clock_now_ns() < until_ns) {
        if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno != EINTR) return false;
        if (info.si_pid == 0) usleep(1000);
    }
    (void)kill(-child, SIGKILL);
    return info.si_pid == child && waitpid(child, state, 0) == child;
}

ta_status ta_doctor_apart(const struct ta_doctor *d, const struct ta_doctor_section *section,
                          struct ta_findings *list) {
    int ends[2], state = 0;
    list->section = section->name;
    if (pipe2(ends, O_CLOEXEC) != 0) return ta_fail_errno(TA_FAILED, "cannot make a pipe");
    fflush(stdout);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(ends[0]);
        examine(d, section, ends[1], parent);
    }
    close(ends[1]);
    ta_status status = child < 0 ? ta_fail_errno(TA_FAILED, "cannot start a process") : TA_OK;
    if (child > 0) {
        bool in_time = receive(ends[0], ta_clock_now_ns() + (int64_t)(section->within_s * TA_NS_PER_S), list);
        if (!in_time) (void)kill(child, SIGKILL); /* itself too: it may not have come to its group yet */
        if (reap(child, &state)) say_how_it_ended(section, in_time, state, list);
        else say_how_it_ended(section, false, 0, list);
    }
    close(ends[0]);
    if (status == TA_OK && list->lost)
        status = ta_fail(TA_NO_MEMORY, "out of memory for the findings of '%s'", section->name);
    return status;
}
