/* launcher_join: the invitation, and the launcher that follows it. */
#include "launcher_join.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "nodes_spare.h"

enum { PATH_BYTES = TA_RUN_DIR_BYTES + 96, STORE_PATIENCE_S = 10 };

static ta_status write_private(const struct ta_run_dir *dir, const char *text) {
    char folder[PATH_BYTES], path[PATH_BYTES], fresh[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/rendezvous", dir->path);
    snprintf(path, sizeof path, "%s/rendezvous/run", dir->path);
    snprintf(fresh, sizeof fresh, "%s/rendezvous/.run.new", dir->path);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "cannot make %s", folder);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot make %s", fresh);
    size_t bytes = strlen(text);
    bool good = write(fd, text, bytes) == (ssize_t)bytes;
    if (close(fd) != 0 || !good || rename(fresh, path) != 0) return ta_fail_errno(TA_IO, "cannot write %s", path);
    return TA_OK;
}

ta_status ta_job_invite(const struct ta_job *j) {
    const struct ta_run_section *run = &j->config->run;
    if (run->spares == 0 || j->node != 0) return TA_OK;
    char id[24], host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(id, sizeof id, "%016" PRIx64, j->run_id);
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s}", "run_id", id, "life", (int)j->life,
                          "replicas", (int)run->replicas, "spares", (int)run->spares, "nodes", (int)j->nodes, "per_host",
                          (int)j->per_host, "process", (int)getpid(), "board", j->board.fd, "host", host, "resume",
                          j->resumed != NULL ? j->resumed->path : "");
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (text == NULL) return ta_fail(TA_NO_MEMORY, "the invitation to spares");
    ta_status status = write_private(&j->dir, text);
    free(text);
    return status;
}

bool ta_job_has_spares_at_work(const struct ta_job *j) {
    for (unsigned r = j->config->run.replicas; r < j->board.n_rows; r++) {
        const struct ta_board_row *row = &j->board.rows[r];
        if (ta_board_get(row->started_ns) == 0 || ta_board_get(row->ended) != TA_ENDED_NO) continue;
        pid_t launcher = (pid_t)ta_board_get(row->launcher); /* 0: on another machine: nodes_rows.c says when it ends */
        if (launcher == 0 || kill(launcher, 0) == 0 || errno != ESRCH) return true;
    }
    return false;
}

/* What the invitation says, as far as it is not in the job. */
struct invitation {
    unsigned replicas, spares;
    pid_t process;
    int board;
    char host[64], resume[TA_RUN_DIR_BYTES];
};

static ta_status read_invitation(struct ta_job *j, struct invitation *out) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/rendezvous/run", j->dir.path);
    json_error_t error;
    json_t *o = json_load_file(path, 0, &error);
    if (o == NULL)
        return ta_fail(TA_PEER,
                       "no run that can be joined is under way in %s: it must have been started with run.spares "
                       "above 0, and not have ended (%s)",
                       j->dir.path, error.text);
    const char *id = "", *host = "", *resume = "";
    int life = 0, replicas = 0, spares = 0, nodes = 0, per_host = 0, process = 0, board = -1;
    bool good = json_unpack(o, "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s}", "run_id", &id, "life", &life,
                            "replicas", &replicas, "spares", &spares, "nodes", &nodes, "per_host", &per_host, "process",
                            &process, "board", &board, "host", &host, "resume", &resume) == 0;
    good = good && replicas > 1 && replicas <= TA_MAX_REPLICAS && spares > 0 && spares <= TA_MAX_REPLICAS - replicas &&
           nodes > 0 && per_host >= 0 && life > 0 && process > 0;
    if (good) {
        j->run_id = strtoull(id, NULL, 16);
        j->life = (uint32_t)life;
        j->nodes = (unsigned)nodes;
        j->per_host = (unsigned)per_host;
        *out = (struct invitation){.replicas = (unsigned)replicas, .spares = (unsigned)spares, .process = process, .board = board};
        snprintf(out->host, sizeof out->host, "%s", host);
        snprintf(out->resume, sizeof out->resume, "%s", resume);
    }
    json_decref(o);
    return good ? TA_OK : ta_fail(TA_FORMAT, "%s is damaged: it does not say what run this is", path);
}

/* The board of the run, where its launcher is on this machine; else one of our own. */
static ta_status open_board(struct ta_job *j, const struct invitation *said, bool *own) {
    *own = false;
    char path[64], here[64] = "";
    unsigned rows = said->replicas + said->spares;
    (void)gethostname(here, sizeof here - 1);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)said->process, said->board);
    int fd = strcmp(said->host, here) == 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0 && ta_board_attach(&j->board, rows, fd) == TA_OK) return TA_OK;
    if (fd >= 0) close(fd);
    if (j->nodes == 1)
        return ta_fail(TA_PEER,
                       "the run in %s is that of process %d on %s, which %s: join it there, or wait for its end",
                       j->dir.path, (int)said->process, said->host,
                       strcmp(said->host, here) == 0 ? "is gone" : "is another machine");
    *own = true;
    return ta_board_create(&j->board, rows, 1);
}

/* Where the run has several nodes, all of them are to know of us. */
static ta_status meet_nodes(struct ta_job *j, unsigned rank, bool own_board, struct ta_nodes_spare **out) {
    char directory[PATH_BYTES];
    *out = NULL;
    if (j->nodes == 1) return TA_OK;
    snprintf(directory, sizeof directory, "%s/rendezvous", j->dir.path);
    struct ta_nodes_spare_config config = {.directory = directory,
                                           .run_id = j->run_id,
                                           .rank = rank,
                                           .board = own_board ? &j->board : NULL,
                                           .patience_s = STORE_PATIENCE_S,
                                           .log = &j->log};
    return ta_nodes_spare_open(&config, out);
}

/* Whether the rank is free, and ours from now on. */
static ta_status take_rank(struct ta_job *j, unsigned rank) {
    struct ta_board_row *row = &j->board.rows[rank];
    uint64_t nobody = 0;
    if (atomic_compare_exchange_strong(&row->launcher, &nobody, (uint64_t)getpid())) return TA_OK;
    return ta_fail(TA_IN_USE,
                   "spare %u of the run in %s was started already (by process %" PRIu64 "): a spare is used once", rank,
                   j->dir.path, nobody);
}

static ta_status run_spare(struct ta_job *j, unsigned rank, const struct invitation *said,
                           struct ta_nodes_spare *others) {
    struct ta_children children;
    struct ta_children_config config = {
        .launch = j->launch,
        .dir = &j->dir,
        .board = &j->board,
        .log = &j->log,
        .run_id = j->run_id,
        .life = j->life,
        .replicas = said->replicas,
        .threads = j->config->device.threads,
        .nodes = j->nodes,
        .per_host = j->per_host,
        .spare = rank,
        .resume = said->resume[0] != '\0' ? said->resume : NULL,
        .no_device = others == NULL, /* else the store's client is in this process */
    };
    ta_status status = ta_children_start(&children, &config);
    if (status == TA_OK && children.born) return ta_job_be_replica(j, &children, &config);
    if (status != TA_OK) return status;
    while (children.alive > 0) {
        ta_signals_wait(&j->signals, TA_NS_PER_S / (others != NULL ? 20 : 5));
        unsigned asked = ta_signals_read(&j->signals);
        if (asked & TA_ASKED_LEAVE) {
            j->interrupted = true;
            break;
        }
        if (asked & TA_ASKED_STOP) ta_children_signal(&children, SIGTERM);
        if (asked & TA_ASKED_STATE) ta_children_signal(&children, SIGUSR2);
        (void)ta_children_reap(&children);
        if (others != NULL) ta_nodes_spare_tick(others, ta_clock_now_ns());
    }
    unsigned lost;
    int code = ta_children_exit_code(&children, &lost);
    ta_children_close(&children);
    if (j->interrupted) return ta_fail(TA_FAILED, "interrupted twice: left without a checkpoint");
    if (code == 0) return TA_OK;
    ta_status ended = ta_job_code_status(code);
    if (ended == TA_REQUEUE) return ended;
    return ta_fail(ended, "rank %u did not finish: %s; its log is in %s/log", rank, ta_status_meaning(ended),
                   j->dir.path);
}

static ta_status join(struct ta_job *j) {
    const struct ta_launch *l = j->launch;
    struct invitation said;
    ta_status status = ta_signals_open(&j->signals);
    if (status == TA_OK) status = ta_run_config_load(l->config_path, l->overrides, l->n_overrides, &j->config);
    if (status != TA_OK) return status;
    const char *path = l->run_dir != NULL ? l->run_dir : getenv("TENSAIR_RUN_DIR");
    if (path == NULL) path = j->config->run.run_dir;
    if (path == NULL) return ta_fail(TA_USAGE, "--join needs --run-dir: of the run that is to be joined");
    status = ta_log_open(&j->log, ta_job_log_level(j->config), -1, true, NULL);
    if (status == TA_OK) status = ta_run_dir_join(&j->dir, path);
    if (status == TA_OK) status = read_invitation(j, &said);
    if (status != TA_OK) return status;
    if ((uint32_t)l->join >= said.spares)
        return ta_fail(TA_CONFIG, "--join %ld: the run in %s has %u spare%s, counted from 0 (run.spares)", l->join,
                       j->dir.path, said.spares, said.spares == 1 ? "" : "s");
    if (j->config->run.spares != said.spares)
        return ta_fail(TA_CONFIG, "run.spares is %" PRIu32 ", but the run in %s was started with %u: give the same "
                       "configuration and options", j->config->run.spares, j->dir.path, said.spares);
    unsigned rank = said.replicas + (unsigned)l->join;
    bool own_board;
    struct ta_nodes_spare *others = NULL;
    status = open_board(j, &said, &own_board);
    if (status == TA_OK) status = take_rank(j, rank);
    if (status == TA_OK) status = meet_nodes(j, rank, own_board, &others);
    if (status == TA_OK) status = run_spare(j, rank, &said, others);
    ta_nodes_spare_close(others);
    return status;
}

ta_status ta_launch_join(const struct ta_launch *launch, bool *interrupted) {
    struct ta_job *j;
    *interrupted = false;
    ta_status status = TA_NEW(&j, 1, "a job");
    if (status != TA_OK) return status;
    j->launch = launch;
    j->signals.fd = j->board.fd = j->metrics.fd = j->log.file = j->dir.lock = -1;
    status = join(j);
    *interrupted = j->interrupted;
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_job_close(j);
    ta_mem_free(j);
    return status == TA_OK ? TA_OK : ta_fail(status, "%s", why);
}
