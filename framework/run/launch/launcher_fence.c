/* launcher_fence: whose the run directory is, at the start and ever after (incarnation.h). Launcher 0 claims it; every
 * launcher looks once a second whether it is still its own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "launcher_internal.h"

static const int64_t look_every_ns = TA_NS_PER_S;

static struct ta_incarnation incarnation_of(const struct ta_job *j) {
    struct ta_incarnation own = {
        .job_id = j->place.job_id, .restart = j->place.restart, .run_id = j->run_id, .node = j->node};
    if (gethostname(own.host, sizeof own.host - 1) != 0) own.host[0] = '\0';
    return own;
}

static ta_status check_predecessor(const struct ta_job *j, const struct ta_incarnation *was) {
    if (was->job_id == 0 || was->job_id != j->place.job_id || was->restart <= j->place.restart) return TA_OK;
    return ta_fail(TA_IN_USE,
                   "this is restart %" PRIu32 " of Slurm job %" PRIu64 ", a former life: restart %" PRIu32 " (on %s) has "
                   "taken %s; nothing is to be done, this process was left behind",
                   j->place.restart, j->place.job_id, was->restart, was->host, j->dir.path);
}

/* The lock is held: by a former life of our own job, or by somebody we must not disturb. */
static ta_status take_from(struct ta_job *j, const struct ta_incarnation *was) {
    bool former = was->job_id != 0 && was->job_id == j->place.job_id && was->restart < j->place.restart;
    if (former) {
        ta_log_warn(&j->log, "restart %" PRIu32 " of Slurm job %" PRIu64 " still holds %s (on %s): restart %" PRIu32
                    " takes it over", was->restart, was->job_id, j->dir.path, was->host, j->place.restart);
        return ta_run_dir_claim(&j->dir, true);
    }
    if (was->job_id == 0 && j->place.job_id == 0) return TA_IN_USE;
    char why[512], who[160];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_incarnation_describe(was, who);
    if (j->place.job_id == 0) return ta_fail(TA_IN_USE, "%s (%s holds it)", why, who);
    return ta_fail(TA_IN_USE, "%s (%s holds it; this is restart %" PRIu32 " of Slurm job %" PRIu64 ")", why, who,
                   j->place.restart, j->place.job_id);
}

ta_status ta_job_claim_dir(struct ta_job *j, const char *path) {
    struct ta_incarnation was, own;
    if (getrandom(&j->run_id, sizeof j->run_id, 0) != sizeof j->run_id)
        return ta_fail_errno(TA_FAILED, "no random numbers from the system");
    ta_status status = ta_run_dir_find(&j->dir, path, j->launch->config_path);
    if (status != TA_OK) return status;
    status = ta_incarnation_read(j->dir.path, &was);
    if (status == TA_FORMAT) ta_log_warn(&j->log, "%s; it is replaced", ta_why());
    if (status == TA_OK) status = check_predecessor(j, &was);
    else if (status == TA_AGAIN || status == TA_FORMAT) status = TA_OK;
    if (status == TA_OK) status = ta_run_dir_claim(&j->dir, false);
    if (status == TA_IN_USE && j->dir.lock < 0) status = take_from(j, &was);
    own = incarnation_of(j);
    return status == TA_OK ? ta_incarnation_write(j->dir.path, &own) : status;
}

/* Of the node in the incarnation; single runs look here for the only time. */
ta_status ta_job_may_conclude(struct ta_job *j) {
    if (j->fenced != TA_OK) return ta_fail(j->fenced, "%s", j->fenced_why);
    if (j->node != 0 && (j->others == NULL || !ta_nodes_headless(j->others))) return TA_OK; /* it tells nothing */
    struct ta_fence fence = {
        .run_dir = j->dir.path, .run_id = j->run_id, .node = j->node == 0 ? j->writing_node : j->node};
    return ta_fence_pass(&fence, NULL, 0, 0);
}

/* The node whose replicas write is node 0, or, when it has none left, the first that has. */
static void hand_over(struct ta_job *j) {
    unsigned per_node = ta_job_per_node(j), first = j->config->run.replicas;
    for (unsigned r = 0; r < j->config->run.replicas && first == j->config->run.replicas; r++)
        if (ta_board_get(j->board.rows[r].ended) == TA_ENDED_NO) first = r;
    if (first == j->config->run.replicas || first / per_node == j->writing_node) return;
    struct ta_incarnation own = incarnation_of(j);
    own.node = first / per_node;
    if (ta_incarnation_write(j->dir.path, &own) == TA_OK) j->writing_node = own.node;
}

static ta_status look(struct ta_job *j) {
    struct ta_incarnation it;
    char who[160];
    if (ta_incarnation_read(j->dir.path, &it) != TA_OK) return TA_OK; /* away for a moment, as far as we know */
    ta_incarnation_describe(&it, who);
    if (it.run_id != j->run_id)
        return ta_fail(TA_PEER, "%s belongs to %s now: this former life writes nothing there any more", j->dir.path,
                       who);
    if (j->node == 0 && j->others != NULL) {
        if (it.node != j->writing_node)
            return ta_fail(TA_PEER,
                           "node %u (%s) has taken over %s while this node could not be heard: this side of the "
                           "run writes nothing there any more",
                           it.node, it.host, j->dir.path);
        hand_over(j);
    }
    if (j->others != NULL && ta_nodes_cut_off(j->others))
        return ta_fail(TA_PEER,
                       "node %u is cut off from node %u, which lives and holds %s: this side of the run writes "
                       "nothing there",
                       j->node, it.node, j->dir.path);
    return TA_OK;
}

ta_status ta_job_look_at_fence(struct ta_job *j, int64_t now_ns) {
    if (j->fenced != TA_OK || now_ns < j->fence_ns) return j->fenced;
    j->fence_ns = now_ns + look_every_ns;
    ta_run_dir_touch(&j->dir);
    j->fenced = look(j);
    if (j->fenced != TA_OK) snprintf(j->fenced_why, sizeof j->fenced_why, "%s", ta_why());
    return j->fenced;
}
