/* complete: what the completion queues say: queues that have room again, puts that are done, paths that broke. */
#include <stdio.h>

#include "verbs.h"

enum { POLL = 32, ROUNDS = 64 /* of one call: a flood of others' completions must not hold up its caller for ever */ };

/* Counts wrap, and are never further apart than a queue is deep. */
static bool reached(uint32_t done, uint32_t end) { return (int32_t)(done - end) >= 0; }

static bool all_reached(const struct ta_transport *t, const struct ta_verbs_path *path, const uint32_t *end) {
    for (unsigned i = 0; i < t->n_rails; i++)
        if (!reached(path->lane[i].done, end[i])) return false;
    return true;
}

static void look_bound(const struct ta_transport *t, struct ta_verbs_path *path) {
    uint32_t windows[TA_VERBS_MAX_RAILS] = {0};
    for (unsigned i = 0; i < t->n_rails; i++)
        for (unsigned k = 0; k < TA_VERBS_RIGHTS; k++) windows[i] += path->lane[i].mw[k] != NULL;
    path->bound = all_reached(t, path, windows);
}

void ta_verbs_finish(const struct ta_transport *t, struct ta_verbs_path *path) {
    while (path->n_posted > 0 && all_reached(t, path, path->ring[path->head].end)) {
        path->head = (path->head + 1) % TA_VERBS_PUTS;
        path->n_posted--;
        path->count--;
    }
}

static void take(struct ta_transport *t, unsigned rail, const struct ibv_wc *wc) {
    struct ta_verbs_tag tag = ta_verbs_tag_unpack(wc->wr_id);
    if (tag.peer >= t->config.n_ranks || t->path[tag.peer] == NULL) return;
    struct ta_verbs_path *path = t->path[tag.peer];
    struct ta_verbs_lane *lane = &path->lane[rail];
    /* Completions of a queue pair that is gone may still lie in the queue. */
    if (!path->connected || path->state != TA_PEER_UP || lane->qp == NULL || lane->qp->qp_num != wc->qp_num) return;
    if (wc->status != IBV_WC_SUCCESS) {
        ta_verbs_explain(t, path, rail, wc, path->why, sizeof path->why);
        ta_verbs_path_break(t, path);
        return;
    }
    t->rail[rail].expected -= tag.count - lane->done;
    lane->done = tag.count;
    if (!path->bound) look_bound(t, path);
    ta_verbs_finish(t, path);
    ta_verbs_post(t, tag.peer);
}

void ta_verbs_complete(struct ta_transport *t, unsigned rail) {
    struct ta_verbs_rail *r = &t->rail[rail];
    struct ibv_wc wc[POLL];
    int n = POLL;
    if (r->expected == 0 && !r->stale) return; /* a look at the queue costs more than one at a peer's word */
    for (unsigned round = 0; n == POLL && round < ROUNDS; round++) {
        n = ibv_poll_cq(r->cq, POLL, wc);
        for (int i = 0; i < n; i++) take(t, rail, &wc[i]);
    }
    if (n == 0) r->stale = false;
}
