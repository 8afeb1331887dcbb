/* children: fork, exec where it must be, waitpid. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "pin.h"
#include "procline.h"
#include "replica.h"

enum { FIXED_ARGUMENTS = 10 };

static const int64_t patience_ns = 10 * TA_NS_PER_S;

/* The environment of a replica: ours, and what the launcher has decided. Made before the fork: there are threads. */
struct surroundings {
    char **list;
    char rank[32]; /* the only one that differs */
    char text[9][48];
};

static const char *const decided[] = {"TENSAIR_RANK=",  "TENSAIR_WORLD_SIZE=", "TENSAIR_RUN_ID=", "TENSAIR_LIFE=",
                                      "TENSAIR_BOARD=", "TENSAIR_NODES=",      "TENSAIR_NODE=",
                                      "TENSAIR_PER_HOST=", "TENSAIR_LOCAL_LAUNCHER=", "TENSAIR_LOCAL_LAUNCHERS="};
enum { N_DECIDED = sizeof decided / sizeof decided[0] };

static bool is_decided(const char *pair) {
    for (unsigned i = 0; i < N_DECIDED; i++)
        if (strncmp(pair, decided[i], strlen(decided[i])) == 0) return true;
    return false;
}

static ta_status make_surroundings(const struct ta_children_config *config, struct surroundings *s) {
    size_t n = 0, used = 0;
    while (environ[n] != NULL) n++;
    ta_status status = TA_NEW(&s->list, n + N_DECIDED + 1, "the environment of a replica");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < n; i++)
        if (!is_decided(environ[i])) s->list[used++] = environ[i];
    const uint64_t values[N_DECIDED - 1] = {config->replicas,
                                            config->run_id,
                                            config->life,
                                            (uint64_t)config->board->fd,
                                            config->nodes > 0 ? config->nodes : 1,
                                            config->node,
                                            config->per_host,
                                            config->local_rank,
                                            config->local_size};
    s->list[used++] = s->rank;
    for (unsigned i = 0; i < N_DECIDED - 1; i++) {
        snprintf(s->text[i], sizeof s->text[i], "%s%" PRIu64, decided[i + 1], values[i]);
        s->list[used++] = s->text[i];
    }
    return TA_OK;
}

static void inherit(int fd) {
    if (fd >= 0) (void)fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
}

/* Whether a fork of this process can go on without exec: locks that other threads hold would never be released. */
static bool may_go_on(const struct ta_children_config *config) {
    struct stat tasks;
    enum { LINKS_OF_ONE_THREAD = 3 }; /* proc(5): the folder's own two, and one a thread */
    return config->no_device && stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == LINKS_OF_ONE_THREAD;
}

/* In the child, after fork. Does not come back. */
static void execute(const struct ta_children_config *config, unsigned rank, char **argv, char **environment) {
    inherit(config->board->fd);
    inherit(config->dir->lock);
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    execve(self, argv, environment);
    execve("/proc/self/exe", argv, environment); /* replaced since we were started: what we still hold */
    fprintf(stderr, "tensair train: rank %u: cannot start this program again: %s\n", rank, strerror(errno));
    _exit(1);
}

/* The command line of a replica: the same configuration, with what the launcher has decided. */
static ta_status make_arguments(const struct ta_children_config *config, char replicas[32], char ***out) {
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
    snprintf(replicas, 32, "run.replicas=%u", config->replicas); /* the launcher may have counted */
    argv[n++] = (char *)"--set";
    argv[n++] = replicas;
    argv[n++] = (char *)"--run-dir";
    argv[n++] = (char *)config->dir->path;
    argv[n++] = (char *)"--resume";
    argv[n++] = (char *)(config->resume != NULL ? config->resume : "never");
    argv[n] = NULL;
    *out = argv;
    return TA_OK;
}

struct start {
    const struct ta_children_config *config;
    bool goes_on; /* without exec */
    struct ta_pin pin;
    char **argv, replicas[32];
    struct surroundings around;
};

static ta_status start_one(struct ta_children *c, struct start *s, unsigned i) {
    unsigned rank = c->first + i;
    snprintf(s->around.rank, sizeof s->around.rank, "%s%u", decided[0], rank);
    pid_t launcher = getpid(), pid = fork();
    if (pid < 0) return ta_fail_errno(TA_FAILED, "cannot start replica %u of %u", rank, s->config->replicas);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != launcher) _exit(128 + SIGKILL); /* it died before the line above */
        /* Signals stay blocked: one that comes before the replica listens waits for it instead of killing it. */
        (void)setpgid(0, c->group);
        ta_pin_bind(&s->pin, i);
        if (!s->goes_on) execute(s->config, rank, s->argv, s->around.list);
        c->born = true;
        c->rank = rank;
        return ta_procline_set(s->argv, s->around.list);
    }
    (void)setpgid(pid, c->group); /* both do it: whoever comes first */
    if (c->group == 0) c->group = pid;
    c->child[i].pid = pid;
    c->alive++;
    ta_board_set(c->board->rows[rank].ended, TA_ENDED_NO);
    return TA_OK;
}

ta_status ta_children_start(struct ta_children *c, const struct ta_children_config *config) {
    unsigned nodes = config->nodes > 0 ? config->nodes : 1, count = config->replicas / nodes;
    *c = (struct ta_children){
        .first = config->spare > 0 ? config->spare : config->node * count,
        .count = config->spare > 0 ? 1 : count,
        .board = config->board, .log = config->log};
    struct start s = {.config = config, .goes_on = may_go_on(config)};
    ta_status status = TA_NEW(&c->child, c->count, "the list of replicas");
    const struct ta_pin_ask ask = {.replicas = c->count,
                                   .threads = config->threads,
                                   .local_rank = config->local_rank,
                                   .local_size = config->local_size};
    if (status == TA_OK) status = ta_pin_plan(&ask, &s.pin);
    if (status == TA_OK) status = make_arguments(config, s.replicas, &s.argv);
    if (status == TA_OK) status = make_surroundings(config, &s.around);
    if (status == TA_OK && ask.local_size <= 1 && count * config->threads > s.pin.cores)
        ta_log_warn(c->log, "%u replica%s of %u thread%s on %u core%s: they will share", count, count == 1 ? "" : "s",
                    config->threads, config->threads == 1 ? "" : "s", s.pin.cores, s.pin.cores == 1 ? "" : "s");
    fflush(NULL); /* what waits there is not to be written by each of them */
    for (unsigned i = 0; status == TA_OK && i < c->count && !c->born; i++) status = start_one(c, &s, i);
    ta_mem_free(s.around.list);
    ta_mem_free(s.argv);
    ta_pin_free(&s.pin);
    if (c->born) c->count = 0; /* the others are the launcher's */
    if (c->born || status != TA_OK) ta_children_close(c);
    return status;
}

static void tell(struct ta_children *c, unsigned i, pid_t pid) {
    unsigned rank = c->first + i;
    int s = c->child[i].wait_status;
    if (WIFSIGNALED(s)) {
        ta_log_error(c->log, "replica %u (process %d) was killed by signal %d (%s)%s", rank, (int)pid, WTERMSIG(s),
                     strsignal(WTERMSIG(s)), WCOREDUMP(s) ? ", core dumped" : "");
    } else if (WEXITSTATUS(s) != 0 && WEXITSTATUS(s) != ta_status_exit_code(TA_REQUEUE)) {
        ta_log_error(c->log, "replica %u (process %d) ended with exit code %d", rank, (int)pid, WEXITSTATUS(s));
    }
}

unsigned ta_children_reap(struct ta_children *c) {
    unsigned reaped = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct ta_child *child = &c->child[i];
        pid_t pid = child->pid;
        if (pid == 0 || waitpid(pid, &child->wait_status, WNOHANG) != pid) continue;
        child->pid = 0;
        c->alive--;
        reaped++;
        atomic_store_explicit(&c->board->rows[c->first + i].ended, TA_ENDED_KNOWN, memory_order_release);
        tell(c, i, pid);
    }
    return reaped;
}

void ta_children_signal(struct ta_children *c, int signal) {
    for (unsigned i = 0; i < c->count; i++)
        if (c->child[i].pid != 0) (void)kill(c->child[i].pid, signal);
}

/* Nobody comes to its end while a live peer is on its way: one that is on its way when another has ended is not counted
 * as live, whether the others came to say so or not. */
static bool left_behind(const struct ta_children *c, unsigned rank) {
    const struct ta_board_row *row = &c->board->rows[rank];
    if (ta_board_get(row->lost) != 0) return true;
    if (ta_board_get(row->state) >= TA_REPLICA_SAVING) return false;
    for (unsigned r = 0; r < c->board->n_rows; r++) {
        const struct ta_board_row *other = &c->board->rows[r];
        if (ta_board_get(other->ended) == TA_ENDED_KNOWN && ta_board_get(other->finished) != 0) return true;
    }
    return false;
}

void ta_children_kill_lost(struct ta_children *c, int64_t now_ns) {
    for (unsigned i = 0; i < c->count; i++) {
        struct ta_child *child = &c->child[i];
        unsigned rank = c->first + i;
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
    for (unsigned i = 0; c->child != NULL && i < c->count; i++) {
        struct ta_child *child = &c->child[i];
        while (child->pid != 0 && waitpid(child->pid, &child->wait_status, 0) < 0 && errno == EINTR) {
        }
        child->pid = 0;
    }
    ta_mem_free(c->child);
    c->child = NULL;
    c->count = 0;
}

/* What decides comes first; 0 comes last. */
static unsigned place_of(int code) {
    static const ta_status order[] = {TA_FAILED, TA_CONFIG, TA_IO, TA_PEER, TA_REQUEUE, TA_OK};
    enum { N = sizeof order / sizeof order[0], PEER_AT = 3 };
    for (unsigned i = 0; i < N; i++)
        if (code == ta_status_exit_code(order[i])) return i;
    return code > 128 ? PEER_AT : 0; /* a code nobody knows counts as failed */
}

int ta_children_worse(int a, int b) {
    int worse = place_of(b) < place_of(a) ? b : a;
    if (worse > 128) return ta_status_exit_code(TA_PEER);
    return place_of(worse) == 0 ? ta_status_exit_code(TA_FAILED) : worse;
}

int ta_children_exit_code(const struct ta_children *c, unsigned *lost) {
    int worst = 0;
    *lost = 0;
    for (unsigned i = 0; i < c->count; i++) {
        int s = c->child[i].wait_status, code = WIFEXITED(s) ? WEXITSTATUS(s) : ta_status_exit_code(TA_PEER);
        if (code != 0 && code != ta_status_exit_code(TA_REQUEUE)) (*lost)++;
        worst = ta_children_worse(worst, code);
    }
    return worst;
}
