/* tree_regroup: who is gone, and the new tree of those who are left. How it works stands in tree.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "tree.h"
#include "window.h"

static bool is_over(const struct ta_tree *t) { /* whoever is gone now has come to the end before */
    return t->left || (t->said.commit_round == TA_ROUND_FINAL && t->said.released == t->said.based);
}

static struct ta_tree_neighbour *entry_of(struct ta_tree *t, unsigned rank) {
    for (unsigned i = 0; i < t->n_known; i++)
        if (t->neighbour[i].edge.rank == rank) return &t->neighbour[i];
    return NULL;
}

static void mark_gone(struct ta_tree *t, unsigned rank) {
    t->gone[rank / 64] |= UINT64_C(1) << rank % 64;
    t->n_gone++;
    t->gone_version++;
}

static void doom(struct ta_tree *t, const char *why) {
    if (!t->doomed) snprintf(t->why, sizeof t->why, "%s", why);
    t->doomed = true;
}

void ta_tree_lose(struct ta_tree *t, unsigned rank, const char *why) {
    if (rank == t->base.rank || rank >= t->base.n_ranks || is_over(t) || ta_tree_is_gone(t->gone, rank)) return;
    struct ta_tree_neighbour *n = entry_of(t, rank);
    if (n != NULL && n->near && n->life == TA_PEER_LEFT) return;
    mark_gone(t, rank);
    if (n == NULL || !n->near) {
        ta_log_warn(t->config.log, "peer %u %s: a new tree is formed without it", rank, why);
        return;
    }
    bool silent = n->adopted && !n->heard && n->silent_ns > t->dead_after_ns;
    if (silent && t->said.commit_round == TA_ROUND_FINAL && !ta_tree_halted(t)) {
        n->life = TA_PEER_LEFT; /* as we were about to */
        return;
    }
    n->life = TA_PEER_DEAD;
    ta_log_warn(t->config.log, "peer %u %s: a new tree is formed without it; lost with it are its steps since the last "
                "rest, %" PRIu64 " that had reached us among them", rank, why,
                n->known.own > n->based_own ? n->known.own - n->based_own : 0);
    if (!t->in_doubt || !silent) return;
    char text[192];
    snprintf(text, sizeof text, "peer %u %s, in the midst of a rest that it may have come to without us: the run ends "
             "here; go on from the last checkpoint", rank, why);
    doom(t, text);
}

void ta_tree_hear_gone(struct ta_tree *t, struct ta_tree_neighbour *n) {
    const char *said = n->in_control + TA_TREE_HEADER_BYTES;
    unsigned self = t->base.rank, its = n->edge.rank;
    if (is_over(t)) return;
    bool gone = ta_tree_is_gone(t->gone, its);
    for (unsigned i = 0; i < ta_tree_gone_words(t->base.n_ranks); i++) {
        uint64_t word = ta_window_load_u64(said + i * sizeof word);
        if (self / 64 == i && (word >> self % 64 & 1) != 0 && (!gone || its < self)) {
            char why[192];
            snprintf(why, sizeof why, "replica %u was given up by the others (first by peer %u) after a silence and "
                     "must leave; if it was only slow, raise exchange.dead_after", self, its);
            doom(t, why);
        }
        for (unsigned bit = 0; bit < 64 && !gone && (word & ~t->gone[i]) != 0; bit++) {
            if ((word & ~t->gone[i]) >> bit == 0) break;
            if (((word & ~t->gone[i]) >> bit & 1) == 0 || i * 64 + bit == self) continue;
            char why[48];
            snprintf(why, sizeof why, "is gone, says peer %u", its);
            ta_tree_lose(t, i * 64 + bit, why);
        }
    }
}

/* A slot of whom nobody will hear again. */
static bool is_free(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    if (!ta_tree_is_gone(t->gone, n->edge.rank)) return false;
    if (n->ended) return true;
    return n->connected && t->config.transport_ops->peer_state(t->config.transport, n->edge.rank) == TA_PEER_DOWN;
}

/* Slots for all neighbours of the tree that is to be formed. */
static bool has_room(struct ta_tree *t) {
    unsigned free = t->n_slots - t->n_known, n = ta_tree_degree(&t->shape, t->base.rank), wanted = 0;
    (void)ta_tree_edges(&t->shape, t->base.rank, t->edges);
    for (unsigned i = 0; i < n; i++) wanted += entry_of(t, t->edges[i].rank) == NULL;
    for (unsigned i = 0; i < t->n_known; i++) free += is_free(t, &t->neighbour[i]);
    return wanted <= free;
}

static struct ta_tree_neighbour *free_slot(struct ta_tree *t) {
    if (t->n_known < t->n_slots) return &t->neighbour[t->n_known++];
    for (unsigned i = 0; i < t->n_known; i++) {
        struct ta_tree_neighbour *n = &t->neighbour[i];
        if (n->near || !is_free(t, n)) continue;
        if (n->connected || n->broken) t->config.transport_ops->disconnect(t->config.transport, n->edge.rank);
        return n;
    }
    return NULL;
}

static ta_status take_in(struct ta_tree *t, unsigned rank, struct ta_tree_neighbour **out) {
    const struct ta_transport_ops *ops = t->config.transport_ops;
    struct ta_tree_neighbour *n = free_slot(t);
    if (n == NULL)
        return ta_fail(TA_PEER, "of %u neighbours too many were lost: there is no room for peer %u, who is to take the "
                       "place of one, and the run ends here; go on from the last checkpoint, or use topology full",
                       t->n_slots, rank);
    unsigned place = (unsigned)(n - t->neighbour);
    size_t control = rank * t->control_bytes, slot = t->body_bytes + t->notes_bytes;
    size_t body = t->base.n_ranks * t->control_bytes + place * slot;
    *n = (struct ta_tree_neighbour){.edge = {.rank = rank}, .adopted = t->n_gone > 0, .notes_version = UINT32_MAX};
    n->copies = t->copies + (size_t)place * (t->in_flight + 1);
    n->in_control = t->window + control;
    n->in_body = ta_window_at(&t->inboxes, body);
    n->in_body_at = body;
    n->in_notes = t->window + body + t->body_bytes;
    if (t->n_gone == 0) n->slot = ta_tree_place(&t->shape, rank, t->base.rank) + 1;
    *out = n;
    ta_status status = ops->grant(t->config.transport, rank, control, t->control_bytes);
    return status == TA_OK ? ops->grant(t->config.transport, rank, body, slot) : status;
}

/* Nothing of what it has said or was put before this view counts. */
static void start_anew(struct ta_tree *t, struct ta_tree_neighbour *n) {
    n->known = (struct ta_tree_said){.pulse = n->known.pulse, .left = n->known.left};
    if (t->n_gone == 0) n->known.based = t->said.based; /* as all at first */
    n->near = true;
    n->met = false;
    n->ranks = 0;
    n->stamp = UINT64_MAX;
    n->in_w = n->own_in_w = n->based_own = n->acked = n->told_own = n->told_behind = n->told_fresh = 0;
    n->body_basis = n->handed = n->gives = 0;
}

static ta_status form_groups(struct ta_tree *t) {
    ta_status status = TA_OK;
    t->base.n_registers = t->n_slots + 4;
    for (unsigned g = 0; g < t->n_groups && status == TA_OK; g++) {
        t->group[g].stamp = UINT64_MAX;
        if (t->n_groups > 1 && t->group[g].out == NULL)
            status = ta_tree_arena(t, t->base.model->n_params, "outgoing register", &t->group[g].out);
    }
    for (unsigned g = 0; g < t->base.n_ranks; g++) t->base.n_registers += t->group[g].out != NULL;
    return status;
}

ta_status ta_tree_form(struct ta_tree *t) {
    unsigned n = ta_tree_degree(&t->shape, t->base.rank);
    ta_status status = TA_OK;
    for (unsigned i = 0; i < t->n_known; i++) t->neighbour[i].near = false;
    t->n_groups = ta_tree_edges(&t->shape, t->base.rank, t->edges);
    for (unsigned i = 0; i < n; i++) { /* first: what they have is not to be given away */
        struct ta_tree_neighbour *old = entry_of(t, t->edges[i].rank);
        if (old != NULL) old->near = true;
    }
    t->n_neighbours = 0;
    t->up = n;
    for (unsigned i = 0; i < n && status == TA_OK; i++) {
        struct ta_tree_neighbour *to = entry_of(t, t->edges[i].rank);
        if (to == NULL) status = take_in(t, t->edges[i].rank, &to);
        if (status != TA_OK) break;
        start_anew(t, to);
        to->edge = t->edges[i];
        if (to->edge.parent) t->up = i;
        t->near[t->n_neighbours++] = to;
    }
    for (unsigned r = 0; r < t->base.n_ranks && status == TA_OK; r++) {
        t->via[r] = UINT16_MAX;
        if (r == t->base.rank || ta_tree_is_gone(t->gone, r)) continue;
        t->via[r] = (uint16_t)ta_tree_place(&t->shape, t->base.rank, ta_tree_via(&t->shape, t->base.rank, r));
        t->near[t->via[r]]->ranks++;
    }
    return status == TA_OK ? form_groups(t) : status;
}

/* Who has left in order is not in the new tree either. */
static void mark_left(struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++)
        if (t->near[i]->life == TA_PEER_LEFT && !ta_tree_is_gone(t->gone, t->near[i]->edge.rank))
            mark_gone(t, t->near[i]->edge.rank);
}

static ta_status form_anew(struct ta_tree *t) {
    struct ta_tree_said *said = &t->said;
    size_t bytes = ta_tree_gone_words(t->base.n_ranks) * sizeof *t->gone;
    if (t->crowded_ns == 0) t->crowded_ns = t->last_ns;
    if (!has_room(t) && t->last_ns - t->crowded_ns < t->dead_after_ns) return TA_OK; /* who has ended is told later */
    t->crowded_ns = 0;
    t->formed_version = t->gone_version;
    t->in_doubt |= ta_tree_halted(t) && said->drained == said->halt;
    t->regroups = t->stale = true;
    said->view = (uint32_t)XXH3_64bits(t->gone, bytes);
    said->entered = said->finished = said->same = said->go = 0;
    said->halt = said->drained = said->based;
    said->halt_round = said->commit_round;
    said->done = said->released;
    t->said_version++;
    return ta_tree_form(t);
}

/* Somebody has come to a rest that we were on our way to. */
static ta_status catch_up(struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_said *its = &t->near[i]->known;
        if (!t->near[i]->met || its->gives <= t->said.based || its->gives != its->based) continue;
        t->in_doubt = false;
        ta_status status = ta_tree_fetch(t, t->near[i]);
        if (status != TA_OK) return status;
        return ta_tree_commit(t, its->gives, its->commit_round, t->near[i]->in_body, its->total);
    }
    return TA_OK;
}

static bool all_below_are_same(const struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        if (!n->edge.child) continue;
        if (!n->met || n->known.same != t->said.based || n->known.based != t->said.based) return false;
    }
    return true;
}

ta_status ta_tree_regroup(struct ta_tree *t) {
    struct ta_tree_said *said = &t->said;
    if (t->regroups || t->formed_version != t->gone_version) mark_left(t);
    if (t->formed_version != t->gone_version && !t->doomed) {
        ta_status status = form_anew(t);
        if (status != TA_OK) return status;
    }
    if (t->doomed) return ta_fail(TA_PEER, "%s", t->why);
    if (!t->regroups || t->formed_version != t->gone_version) return TA_OK;
    ta_status status = catch_up(t);
    if (status != TA_OK) return status;
    bool same = all_below_are_same(t);
    if (same && said->same < said->based) {
        said->same = said->based;
        t->said_version++;
    }
    bool go = ta_tree_is_root(t) ? same : t->near[t->up]->met && t->near[t->up]->known.go == said->based;
    if (!go) return TA_OK;
    said->go = said->based;
    t->said_version++;
    t->regroups = t->in_doubt = false;
    t->stale = true;
    ta_log_info(t->config.log, "a new tree of %u replicas stands, %u neighbours here", t->base.n_ranks - t->n_gone,
                t->n_neighbours);
    return TA_OK;
}
