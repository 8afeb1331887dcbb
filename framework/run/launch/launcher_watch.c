/* launcher_watch: the replicas of this node, until the last has ended; then the other nodes, until theirs have. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "launcher_internal.h"
#include "launcher_join.h"

static const char *code_meaning(int code) {
    static const ta_status all[] = {TA_FAILED, TA_CONFIG, TA_PEER, TA_IO, TA_REQUEUE};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (ta_status_exit_code(all[i]) == code) return ta_status_meaning(all[i]);
    return "failed";
}

ta_status ta_job_code_status(int code) {
    static const ta_status all[] = {TA_CONFIG, TA_PEER, TA_IO, TA_REQUEUE};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (ta_status_exit_code(all[i]) == code) return all[i];
    return TA_FAILED;
}

/* What our lowest rank puts with stands for this node, once it knows. */
static void describe(struct ta_job *j, unsigned rank) {
    if (j->others == NULL || atomic_load_explicit(&j->board.rows[rank].started_ns, memory_order_acquire) == 0) return;
    ta_nodes_describe(j->others, j->board.texts[rank]);
}

/* Waits a little, obeys signals, moves news between nodes. False: to leave at once. */
static bool turn(struct ta_job *j, struct ta_children *c) {
    ta_signals_wait(&j->signals, j->others != NULL ? TA_NS_PER_S / 20 : TA_NS_PER_S / 5);
    unsigned asked = ta_signals_read(&j->signals);
    int64_t now_ns = ta_clock_now_ns();
    if (asked & TA_ASKED_LEAVE) {
        j->interrupted = true;
        return false;
    }
    if (asked & TA_ASKED_STOP) {
        j->stopped = true;
        ta_children_signal(c, SIGTERM);
    }
    if (asked & TA_ASKED_STATE) ta_children_signal(c, SIGUSR2);
    if (asked & (TA_ASKED_CHILD | TA_ASKED_STATE)) ta_progress_clear(&j->progress);
    (void)ta_children_reap(c);
    ta_children_kill_lost(c, now_ns);
    describe(j, c->first);
    if (j->others != NULL) ta_nodes_tick(j->others, now_ns);
    if (ta_job_look_at_fence(j, now_ns) != TA_OK) return false; /* what is left is killed: it may write nothing */
    ta_progress_tick(&j->progress, &j->board, now_ns);
    return true;
}

/* The worst code of all nodes, as far as can be known. */
static int wait_for_others(struct ta_job *j, struct ta_children *c, int code) {
    ta_nodes_ended(j->others, code, j->lost);
    ta_nodes_tick(j->others, ta_clock_now_ns());
    while (!ta_nodes_over(j->others, &code, &j->lost))
        if (!turn(j, c)) break;
    return code;
}

ta_status ta_job_run_children(struct ta_job *j) {
    struct ta_children children;
    struct ta_children_config config = {
        .launch = j->launch,
        .dir = &j->dir,
        .board = &j->board,
        .log = &j->log,
        .run_id = j->run_id,
        .life = j->life,
        .replicas = j->config->run.replicas,
        .threads = j->config->device.threads,
        .nodes = j->nodes,
        .node = j->node,
        .per_host = j->per_host,
        .local_rank = j->local_rank,
        .local_size = j->local_size,
        .resume = j->resumed != NULL ? j->resumed->path : NULL,
        .no_device = j->transport != NULL && strcmp(j->transport, "shm") == 0,
    };
    ta_status status = ta_job_invite(j);
    if (status != TA_OK) return status;
    status = ta_children_start(&children, &config);
    j->is_replica = children.born;
    if (status == TA_OK && children.born) return ta_job_be_replica(j, &children, &config);
    if (status == TA_OK && j->node == 0) status = ta_deadline_open(&j->place, &j->board, &j->log, &j->deadline);
    if (status != TA_OK) {
        ta_children_close(&children);
        return status;
    }
    while ((children.alive > 0 || ta_job_has_spares_at_work(j)) && turn(j, &children)) continue;
    int code = ta_children_exit_code(&children, &j->lost);
    if (j->others != NULL && !j->interrupted && j->fenced == TA_OK) code = wait_for_others(j, &children, code);
    ta_progress_clear(&j->progress);
    ta_children_close(&children);
    if (j->interrupted) return ta_fail(TA_FAILED, "interrupted twice: left without a checkpoint");
    if (j->fenced != TA_OK) return ta_fail(j->fenced, "%s", j->fenced_why);
    if (code == 0) return ta_board_check_rest(&j->board);
    if (ta_job_code_status(code) == TA_REQUEUE) return TA_REQUEUE;
    return ta_fail(ta_job_code_status(code), "%u of %u replicas did not finish: %s; their logs are in %s/log", j->lost,
                   config.replicas, code_meaning(code), j->dir.path);
}
