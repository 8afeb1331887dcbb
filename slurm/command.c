/* command: posix_spawn, two pipes, a deadline. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

struct pipe_end {
    int fd; /* -1: it has said all */
    char *text;
    size_t used, room; /* room: with the NUL */
};

static ta_status spawn(const struct ta_command *c, int out, int err, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0) return ta_fail(TA_FAILED, "%s: no process", c->argv[0]);
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ta_fail(TA_FAILED, "%s: no process", c->argv[0]);
    }
    int error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    if (error == 0 && c->folder != NULL) error = posix_spawn_file_actions_addchdir_np(&actions, c->folder);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    extern char **environ;
    if (error == 0) error = posix_spawnp(child, c->argv[0], &actions, &attributes, (char *const *)c->argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0) return TA_OK;
    if (error == ENOENT && c->folder != NULL && access(c->folder, X_OK) != 0)
        return ta_fail(TA_IO, "%s: no such folder", c->folder);
    if (error == ENOENT)
        return ta_fail(TA_DEVICE, "there is no '%s' in PATH: is this a login node of a Slurm cluster, with its programs "
                       "installed (Debian: slurm-client)?", c->argv[0]);
    return ta_fail(TA_FAILED, "%s: cannot be started: %s", c->argv[0], strerror(error));
}

/* Takes what is there; what there is no room for is dropped. */
static void take(struct pipe_end *end) {
    char piece[1024];
    ssize_t bytes = read(end->fd, piece, sizeof piece);
    if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (bytes <= 0) {
        close(end->fd);
        end->fd = -1;
        return;
    }
    for (ssize_t i = 0; i < bytes && end->used + 1 < end->room; i++)
        end->text[end->used++] = piece[i] != '\0' ? piece[i] : '?';
}

/* Both pipes to their ends; false: not in time. */
static bool listen_to(struct pipe_end ends[2], int64_t until_ns) {
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        int64_t left_ns = until_ns - ta_clock_now_ns();
        if (left_ns <= 0) return false;
        struct pollfd ready[2] = {{.fd = ends[0].fd, .events = POLLIN}, {.fd = ends[1].fd, .events = POLLIN}};
        if (poll(ready, 2, (int)(left_ns / 1000000) + 1) < 0 && errno != EINTR) return false;
        for (int i = 0; i < 2; i++)
            if (ends[i].fd >= 0 && ready[i].revents != 0) take(&ends[i]);
    }
    return true;
}

/* Its status, once it has ended; false: it did not in time. */
static bool wait_for(pid_t child, int64_t until_ns, int *state) {
    for (;;) {
        pid_t got = waitpid(child, state, WNOHANG);
        if (got == child) return true;
        if (got < 0 && errno != EINTR) return *state = 0, true; /* somebody else has taken it */
        if (ta_clock_now_ns() >= until_ns) return false;
        usleep(1000);
    }
}

static ta_status converse(const struct ta_command *c, pid_t child, struct pipe_end ends[2],
                          struct ta_command_answer *answer) {
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(c->within_s * TA_NS_PER_S);
    int state = 0;
    bool in_time = listen_to(ends, until_ns) && wait_for(child, until_ns, &state);
    if (!in_time) {
        (void)kill(-child, SIGKILL);
        while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
        return ta_fail(TA_PEER, "'%s' did not answer within %g s: is Slurm's controller up? Ask `scontrol ping`", c->argv[0],
                       c->within_s);
    }
    answer->exit_code = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
    while (ends[1].used > 0 && answer->err[ends[1].used - 1] == '\n') answer->err[--ends[1].used] = '\0';
    return TA_OK;
}

ta_status ta_command_run(const struct ta_command *c, struct ta_command_answer *answer) {
    int out[2], err[2];
    pid_t child;
    memset(answer, 0, sizeof *answer);
    if (pipe2(out, O_CLOEXEC) != 0) return ta_fail_errno(TA_FAILED, "%s: cannot make a pipe", c->argv[0]);
    if (pipe2(err, O_CLOEXEC) != 0) {
        ta_status status = ta_fail_errno(TA_FAILED, "%s: cannot make a pipe", c->argv[0]);
        close(out[0]);
        close(out[1]);
        return status;
    }
    ta_status status = spawn(c, out[1], err[1], &child);
    close(out[1]);
    close(err[1]);
    struct pipe_end ends[2] = {{.fd = out[0], .text = answer->out, .room = sizeof answer->out},
                               {.fd = err[0], .text = answer->err, .room = sizeof answer->err}};
    if (status == TA_OK) status = converse(c, child, ends, answer);
    for (int i = 0; i < 2; i++)
        if (ends[i].fd >= 0) close(ends[i].fd);
    return status;
}
