/* children: fork, exec, waitpid. */
#include "children.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "pin.h"
#include "replica.h"

enum { FIXED_ARGUMENTS = 8 };

static const int64_t patience_ns = 10 * TA_NS_PER_S;

static void set_number(const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    setenv(name, text, 1);
}

static void inherit(int fd) { (void)fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC); }

/* In the child, between fork and exec. Does not come back. */
static void become_replica(const struct ta_children_config *config, unsigned rank, pid_t launcher, const cpu_set_t *cores,
                           char **argv) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launcher) _exit(128 + SIGKILL); /* it died before the line above */
    (void)sched_setaffinity(0, sizeof *cores, cores); /* not allowed: it runs where it may */
    /* Signals stay blocked: one that comes before the replica listens waits for it instead of killing it. */
    set_number("TENSAIR_RANK", rank);
    set_number("TENSAIR_WORLD_SIZE", config->replicas);
    set_number("TENSAIR_RUN_ID", config->run_id);
    set_number("TENSAIR_LIFE", config->life);
    set_number("TENSAIR_BOARD", (uint64_t)config->board->fd);
    inherit(config->board->fd);
    inherit(config->dir->lock);
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    execv(self, argv);
    execv("/proc/self/exe", argv); /* replaced or moved since we were started: then by what we still hold */
    fprintf(stderr, "tensair train: rank %u: cannot start this program again: %s\n", rank, strerror(errno));
    _exit(1);
}

/* The command line of a replica: the same configuration, with what the launcher has decided. */
static ta_status make_arguments(const struct ta_children_config *config, char ***out) {
    const struct ta_launch *l = config->launch;
    char **argv;
    ta_status status = TA_NEW(&argv, 2 * l->n_overrides + FIXED_ARGUMENTS, "the command line of a replica");
    if (status != TA_OK) return status;
    size_t n = 0;
    argv[n++] = (char *)"tensair";
    argv[n++] = (char *)"train";
    argv[n++] = (char *)l->config_path;
    for (size_t i = 0; i < l->n_overrides; i++) {
        argv[n++] = (char *)"--set";
        argv[n++] = (char *)l->overrides[i];
    }
    argv[n++] = (char *)"--run-dir";
    argv[n++] = (char *)config->dir->path;
    argv[n++] = (char *)"--resume";
    argv[n++] = (char *)(config->resume != NULL ? config->resume : "never");
    argv[n] = NULL;
    *out = argv;
    return TA_OK;
}

static ta_status start_one(struct ta_children *c, const struct ta_children_config *config, unsigned rank,
                           const cpu_set_t *cores, char **argv) {
    pid_t launcher = getpid(), pid = fork();
    if (pid < 0) return ta_fail_errno(TA_FAILED, "cannot start replica %u of %u", rank, c->count);
    if (pid == 0) {
        (void)setpgid(0, c->group);
        become_replica(config, rank, launcher, cores, argv);
    }
    (void)setpgid(pid, c->group); /* both do it: whoever comes first */
    if (c->group == 0) c->group = pid;
    c->child[rank].pid = pid;
    c->alive++;
    ta_board_set(c->board->rows[rank].ended, 0);
    return TA_OK;
}

ta_status ta_children_start(struct ta_children *c, const struct ta_children_config *config) {
    *c = (struct ta_children){.count = config->replicas, .board = config->board, .log = config->log};
    struct ta_pin pin = {0};
    char **argv = NULL;
    ta_status status = TA_NEW(&c->child, c->count, "the list of replicas");
    if (status == TA_OK) status = ta_pin_plan(config->replicas, config->threads, &pin);
    if (status == TA_OK) status = make_arguments(config, &argv);
    if (status == TA_OK && config->replicas * config->threads > pin.cores)
        ta_log_warn(c->log, "%u replicas of %u thread%s on %u core%s: they will share", config->replicas, config->threads,
                    config->threads == 1 ? "" : "s", pin.cores, pin.cores == 1 ? "" : "s");
    for (unsigned rank = 0; status == TA_OK && rank < c->count; rank++)
        status = start_one(c, config, rank, &pin.sets[rank], argv);
    ta_mem_free(argv);
    ta_pin_free(&pin);
    if (status != TA_OK) ta_children_close(c);
    return status;
}

static void tell(struct ta_children *c, unsigned rank, pid_t pid) {
    int s = c->child[rank].wait_status;
    if (WIFSIGNALED(s)) {
        ta_log_error(c->log, "replica %u (process %d) was killed by signal %d (%s)%s", rank, (int)pid, WTERMSIG(s),
                     strsignal(WTERMSIG(s)), WCOREDUMP(s) ? ", core dumped" : "");
    } else if (WEXITSTATUS(s) != 0 && WEXITSTATUS(s) != ta_status_exit_code(TA_REQUEUE)) {
        ta_log_error(c->log, "replica %u (process %d) ended with exit code %d", rank, (int)pid, WEXITSTATUS(s));
    }
}

unsigned ta_children_reap(struct ta_children *c) {
    unsigned reaped = 0;
    for (unsigned rank = 0; rank < c->count; rank++) {
        struct ta_child *child = &c->child[rank];
        pid_t pid = child->pid;
        if (pid == 0 || waitpid(pid, &child->wait_status, WNOHANG) != pid) continue;
        child->pid = 0;
        c->alive--;
        reaped++;
        atomic_store_explicit(&c->board->rows[rank].ended, 1, memory_order_release);
        tell(c, rank, pid);
    }
    return reaped;
}

void ta_children_signal(struct ta_children *c, int signal) {
    for (unsigned rank = 0; rank < c->count; rank++)
        if (c->child[rank].pid != 0) (void)kill(c->child[rank].pid, signal);
}

/* Nobody comes to its end while a live peer is on its way: one that is on its way when another has ended is not counted
 * as live, whether the others came to say so or not. */
static bool left_behind(const struct ta_children *c, unsigned rank) {
    const struct ta_board_row *row = &c->board->rows[rank];
    if (ta_board_get(row->lost) != 0) return true;
    if (ta_board_get(row->state) >= TA_REPLICA_SAVING) return false;
    for (unsigned i = 0; i < c->count; i++)
        if (c->child[i].pid == 0 && ta_board_get(c->board->rows[i].finished) != 0) return true;
    return false;
}

void ta_children_kill_lost(struct ta_children *c, int64_t now_ns) {
    for (unsigned rank = 0; rank < c->count; rank++) {
        struct ta_child *child = &c->child[rank];
        if (child->pid == 0 || !left_behind(c, rank)) continue;
        if (child->lost_ns == 0) child->lost_ns = now_ns;
        if (now_ns - child->lost_ns < patience_ns) continue;
        ta_log_error(c->log, "replica %u (process %d) was dropped by its peers and does not react: killed", rank,
                     (int)child->pid);
        (void)kill(child->pid, SIGKILL);
        child->lost_ns = now_ns; /* ask again, should that not have been enough */
    }
}

void ta_children_close(struct ta_children *c) {
    ta_children_signal(c, SIGKILL);
    for (unsigned rank = 0; c->child != NULL && rank < c->count; rank++) {
        struct ta_child *child = &c->child[rank];
        while (child->pid != 0 && waitpid(child->pid, &child->wait_status, 0) < 0 && errno == EINTR) {
        }
        child->pid = 0;
    }
    ta_mem_free(c->child);
    c->child = NULL;
    c->count = 0;
}

int ta_children_exit_code(const struct ta_children *c, unsigned *lost) {
    static const ta_status order[] = {TA_FAILED, TA_CONFIG, TA_IO, TA_PEER, TA_REQUEUE};
    enum { N = sizeof order / sizeof order[0], PEER_AT = 3 };
    unsigned worst = N;
    *lost = 0;
    for (unsigned rank = 0; rank < c->count; rank++) {
        int s = c->child[rank].wait_status, code = WIFEXITED(s) ? WEXITSTATUS(s) : ta_status_exit_code(TA_PEER);
        if (code == 0) continue;
        if (code != ta_status_exit_code(TA_REQUEUE)) (*lost)++;
        unsigned at = 0; /* a code nobody knows counts as failed */
        for (unsigned i = 0; i < N; i++)
            if (code == ta_status_exit_code(order[i])) at = i;
        if (code > 128) at = PEER_AT;
        if (at < worst) worst = at;
    }
    return worst == N ? 0 : ta_status_exit_code(order[worst]);
}
