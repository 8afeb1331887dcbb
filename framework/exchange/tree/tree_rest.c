/* tree_rest: how a tree of replicas comes to rest, gets the root's weights, and goes on. The waves stand in tree.h. */
#include "tree.h"

static void say(struct ta_tree *t, uint32_t *word, uint32_t value) {
    if (value <= *word) return;
    *word = value;
    t->said_version++;
}

/* All below, and we. */
static void gather_entered(struct ta_tree *t) {
    uint32_t entered = t->entered, finished = t->finished;
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        if (!n->edge.child) continue;
        if (n->known.entered < entered) entered = n->known.entered;
        finished &= n->known.finished;
    }
    say(t, &t->said.entered, entered);
    say(t, &t->said.finished, finished);
}

static void halt(struct ta_tree *t) {
    struct ta_tree_said *said = &t->said;
    uint32_t token = said->halt, round = said->halt_round;
    if (!ta_tree_is_root(t)) {
        token = t->near[t->up]->known.halt;
        round = t->near[t->up]->known.halt_round;
    } else if (said->halt == said->based && said->released == said->based && said->commit_round != TA_ROUND_FINAL) {
        bool due = said->entered > said->commit_round;
        if (!due && !said->finished) return;
        token = said->based + 1;
        round = due ? said->entered : TA_ROUND_FINAL;
    }
    if (token <= said->halt) return;
    say(t, &said->released, said->based); /* it was: else there were no next halt */
    said->halt_round = round;
    say(t, &said->halt, token);
}

/* The last body of all below is added, and nothing of ours is on its way. */
static bool is_drained(const struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        if (n->moving || (n->edge.child && n->known.drained < t->said.halt)) return false;
    }
    if (ta_tree_is_root(t)) return true;
    const struct ta_tree_neighbour *up = t->near[t->up];
    return up->stamp == ta_tree_stamp(t, up->edge.group);
}

ta_status ta_tree_commit(struct ta_tree *t, uint32_t token, uint32_t round, const float *from, uint64_t total) {
    struct ta_tree_said *said = &t->said;
    said->based = said->commit = said->halt = said->drained = token;
    said->commit_round = said->halt_round = round;
    said->total = total;
    t->said_version++;
    return ta_tree_rebase(t, from);
}

static ta_status commit(struct ta_tree *t, const float *from, uint64_t total) {
    return ta_tree_commit(t, t->said.halt, t->said.halt_round, from, total);
}

static ta_status drain(struct ta_tree *t) {
    struct ta_tree_said *said = &t->said;
    if (!ta_tree_halted(t)) return TA_OK;
    if (said->drained < said->halt && is_drained(t)) say(t, &said->drained, said->halt);
    if (said->drained < said->halt) return TA_OK;
    if (ta_tree_is_root(t)) {
        ta_status status = ta_tree_apply(t);
        return status == TA_OK ? commit(t, t->base.w, t->said.total + ta_tree_fresh(t, t->n_groups)) : status;
    }
    struct ta_tree_neighbour *up = t->near[t->up];
    bool handed = up->known.commit == said->halt && up->known.gives == said->halt;
    ta_status status = handed ? ta_tree_fetch(t, up) : TA_OK;
    return handed && status == TA_OK ? commit(t, up->in_body, up->known.total) : status;
}

static void finish(struct ta_tree *t) {
    struct ta_tree_said *said = &t->said;
    /* Who has gone on to a later round does not step in between. */
    bool overtaken = said->commit_round != TA_ROUND_FINAL && t->entered > said->commit_round;
    bool ours = t->done == said->based || overtaken || said->released == said->based;
    uint32_t done = ours ? said->based : said->done;
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        if (n->edge.child && n->known.done < done) done = n->known.done;
        if (n->moving) done = said->done;
    }
    say(t, &said->done, done);
    if (!ta_tree_is_root(t)) say(t, &said->released, t->near[t->up]->known.released);
    else if (said->done == said->based) say(t, &said->released, said->based);
}

/* The weights handed down have arrived, and what was put has left. */
static void look_at_moving(struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        struct ta_tree_neighbour *n = t->near[i];
        if (n->moving && t->config.transport_ops->in_flight(t->config.transport, n->edge.rank) == 0) n->moving = false;
    }
}

ta_status ta_tree_rest(struct ta_tree *t) {
    look_at_moving(t);
    if (t->regroups) return TA_OK;
    gather_entered(t);
    halt(t);
    ta_status status = drain(t);
    if (status == TA_OK) finish(t);
    return status;
}

void ta_tree_request(struct ta_exchange *x, uint32_t round, uint32_t reason) {
    struct ta_tree *t = ta_tree_of(x);
    uint64_t request = (uint64_t)round << 32 | reason;
    if (request <= t->said.request) return;
    t->said.request = request;
    t->said_version++;
}

uint32_t ta_tree_requested(const struct ta_exchange *x, uint32_t *reason) {
    uint64_t request = ta_tree_of_const(x)->said.request;
    if (reason != NULL) *reason = (uint32_t)request;
    return (uint32_t)(request >> 32);
}

/* At rest in that round, or in the last one, which nobody leaves before us. */
static bool rests_in(const struct ta_tree *t, uint32_t round) {
    return !ta_tree_halted(t) && t->said.commit > 0 &&
           (t->said.commit_round == round || t->said.commit_round == TA_ROUND_FINAL);
}

ta_status ta_tree_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    bool final = round == TA_ROUND_FINAL;
    if (round == 0 || (!final && (round < t->entered || round <= t->resumed)))
        return ta_fail(TA_INVALID, "exchange: round %u asked for after round %u; rounds rise from 1", round,
                       t->entered);
    if (final) {
        t->finished = 1;
    } else {
        t->entered = round;
        if (ta_tree_requested(x, NULL) < round) ta_tree_request(x, round, 0);
    }
    t->at_rest = t->at_rest && t->rest_round == round;
    ta_status status = ta_tree_rest(t);
    if (status != TA_OK) return status;
    ta_tree_flush(t, now_ns);
    if (t->at_rest) return TA_OK;
    if (!rests_in(t, round)) return TA_AGAIN;
    t->at_rest = true;
    t->rest_round = round;
    t->rest_token = t->said.based;
    t->rest_in_last = t->said.commit_round != round;
    return TA_OK;
}

ta_status ta_tree_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    if (round == 0 || t->rest_round != round)
        return ta_fail(TA_INVALID, "exchange: round %u is not the one this replica settled in (%u)", round,
                       t->rest_round);
    /* Of the last rest we are done when we are asked for the last one. */
    if (!t->rest_in_last && t->done < t->rest_token) t->done = t->rest_token;
    ta_status status = ta_tree_rest(t);
    if (status != TA_OK) return status;
    ta_tree_flush(t, now_ns);
    if (!t->rest_in_last && t->said.released < t->rest_token) return TA_AGAIN;
    if (round != TA_ROUND_FINAL) t->resumed = round;
    t->at_rest = false;
    return TA_OK;
}
