/* tree_put: what is put to each neighbour: the group's register when it is behind, the weights of a rest to a child
 * that has not started from them yet, notes that changed, and always a header, which claims no more than the bodies
 * before it hold. */
#include <string.h>

#include "tree.h"

#define MAGIC UINT64_C(0x54540002) /* "TT", format 2 */

static uint64_t pair(uint64_t high, uint32_t low) { return high << 32 | low; }

void ta_tree_encode(const struct ta_tree *t, const struct ta_tree_said *said, uint64_t words[TA_TREE_WORDS]) {
    const uint64_t made[TA_TREE_WORDS] = {
        pair(MAGIC, t->base.rank + 1), pair(t->config.epoch, t->base.n_ranks), said->own, said->behind, said->total,
        said->ack, said->gauge, said->pulse,
        /* what those of the view rest on: */
        said->fresh, pair(said->slot, said->view), pair(said->gives, said->same), said->request, 0, 0,
        0, said->pulse,
        /* what rests on those: */
        pair(said->basis, said->view), pair(said->entered, said->finished), pair(said->halt, said->halt_round),
        pair(said->drained, said->based), pair(said->commit, said->commit_round), pair(said->done, said->released),
        pair(said->go, said->left), pair(said->pulse, said->notes)};
    memcpy(words, made, sizeof made);
}

/* What one put takes along. */
struct parcel {
    struct ta_tree_copy *copy;
    const float *body; /* NULL: none */
    bool hands;        /* the body is the weights of a rest */
    bool notes;
    bool gone;
    uint64_t own, behind, fresh, stamp;
};

/* It starts from an earlier rest than we. After a loss that may be any neighbour: then all are put to. */
static bool must_hand(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    bool may = n->edge.child || (t->regroups && n->edge.parent);
    return may && n->met && n->slot > 0 && n->known.based < t->said.based && n->handed != t->said.based;
}

/* A register may go there now, and is not there yet. */
static bool body_due(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    bool up = ta_tree_halted(t) && !t->regroups && n->edge.parent && t->said.drained != t->said.halt;
    return (ta_tree_running(t) || up) && n->slot > 0 && n->stamp != ta_tree_stamp(t, n->edge.group);
}

static ta_status pack(struct ta_tree *t, struct ta_tree_neighbour *n, struct parcel *p) {
    ta_status status = TA_OK;
    *p = (struct parcel){.copy = &n->copies[n->turn % (t->in_flight + 1)],
                         .notes = n->near && n->slot > 0 && (n->notes_version != t->notes_version || !n->joined),
                         .gone = t->n_gone > 0 && (n->gone_version != t->gone_version || !n->joined),
                         .own = n->told_own,
                         .behind = n->told_behind,
                         .fresh = n->told_fresh,
                         .stamp = n->stamp};
    if (!n->near) return TA_OK;
    p->hands = must_hand(t, n);
    if (p->hands) {
        p->body = t->base.w0; /* stays as it is until the next rest */
    } else if (body_due(t, n)) {
        status = ta_tree_gather(t, n->edge.group, &p->body);
        p->stamp = t->group[n->edge.group].stamp;
        p->own = t->group[n->edge.group].own;
        p->behind = t->group[n->edge.group].behind;
        p->fresh = t->group[n->edge.group].fresh;
    } else if (n->stamp == ta_tree_stamp(t, n->edge.group) && !t->regroups) {
        p->own = t->base.steps;
        p->behind = ta_tree_behind(t, n->edge.group);
        p->fresh = ta_tree_fresh(t, n->edge.group);
    }
    if (t->regroups && n->edge.parent) { /* of what all start from; the way down is told when the tree stands */
        p->own = t->based_steps;
        p->behind = ta_tree_behind(t, n->edge.group) - (t->base.steps - t->based_steps);
    }
    return status;
}

static void fill_header(const struct ta_tree *t, const struct ta_tree_neighbour *n, const struct parcel *p) {
    struct ta_tree_said said = t->said;
    said.own = p->own;
    said.behind = p->behind;
    said.ack = n->own_in_w;
    said.basis = p->body != NULL && !p->hands ? t->said.based : n->body_basis;
    said.fresh = p->fresh;
    said.slot = (uint32_t)(n - t->neighbour) + 1;
    said.gives = p->hands ? t->said.based : p->body != NULL ? 0 : n->gives;
    said.pulse = n->pulse + 1;
    said.notes = p->notes ? t->notes_version : n->notes_version;
    ta_tree_encode(t, &said, p->copy->words);
}

static size_t add_piece(struct ta_put_segment *segments, unsigned *n, const void *source, size_t bytes, size_t offset) {
    segments[(*n)++] = (struct ta_put_segment){.source = source, .bytes = bytes, .target_offset = offset};
    return bytes;
}

static void sent(struct ta_tree *t, struct ta_tree_neighbour *n, const struct parcel *p, int64_t now_ns, size_t bytes) {
    n->turn++;
    n->pulse++;
    n->puts++;
    n->bytes += bytes;
    n->put_ns = now_ns;
    n->joined = true;
    n->acked = n->own_in_w;
    n->said_version = t->said_version;
    if (p->notes) n->notes_version = t->notes_version;
    n->gone_version = t->gone_version;
    n->told_own = p->own;
    n->told_behind = p->behind;
    n->told_fresh = p->fresh;
    if (p->body == NULL) return;
    n->moving = true;
    n->gives = p->hands ? t->said.based : 0;
    if (p->hands) {
        n->handed = t->said.based;
        return;
    }
    n->stamp = p->stamp;
    n->body_basis = t->said.based;
}

static unsigned add_pieces(const struct ta_tree *t, const struct ta_tree_neighbour *n, const struct parcel *p,
                           struct ta_put_segment *segments, size_t *bytes) {
    unsigned pieces = 0;
    size_t d = t->base.model->n_params * sizeof(float), notes = t->base.n_ranks * sizeof *t->notes;
    size_t control = t->base.rank * t->control_bytes, line = TA_TREE_LINE * sizeof(uint64_t);
    size_t body = t->base.n_ranks * t->control_bytes + (n->slot - 1) * (t->body_bytes + t->notes_bytes);
    *bytes = 0;
    if (p->body != NULL) *bytes += add_piece(segments, &pieces, p->body, d, body);
    if (p->notes) *bytes += add_piece(segments, &pieces, t->notes, notes, body + t->body_bytes);
    if (p->gone)
        *bytes += add_piece(segments, &pieces, t->gone, ta_tree_gone_words(t->base.n_ranks) * sizeof *t->gone,
                            control + TA_TREE_HEADER_BYTES);
    for (unsigned i = 0; i < TA_TREE_WORDS / TA_TREE_LINE; i++)
        *bytes += add_piece(segments, &pieces, p->copy->words + (size_t)i * TA_TREE_LINE, line, control + i * line);
    return pieces;
}

bool ta_tree_push(struct ta_tree *t, struct ta_tree_neighbour *n, int64_t now_ns) {
    const struct ta_transport_ops *ops = t->config.transport_ops;
    if (!n->connected || ops->in_flight(t->config.transport, n->edge.rank) >= t->in_flight) return false;
    struct ta_put_segment segments[3 + TA_TREE_WORDS / TA_TREE_LINE];
    struct parcel p;
    ta_status status = pack(t, n, &p);
    if (status != TA_OK) {
        t->put_status = status;
        return false;
    }
    fill_header(t, n, &p);
    size_t bytes;
    unsigned pieces = add_pieces(t, n, &p, segments, &bytes);
    status = ops->put(t->config.transport, n->edge.rank, segments, pieces);
    if (status == TA_OK) sent(t, n, &p, now_ns, bytes);
    else if (status != TA_BUSY && status != TA_PEER) t->put_status = status; /* PEER: poll finds it BROKEN or DOWN */
    return status == TA_OK;
}

static bool has_news(const struct ta_tree *t, const struct ta_tree_neighbour *n, int64_t now_ns) {
    if (!n->near || n->life == TA_PEER_DEAD) return n->gone_version != t->gone_version; /* that much it is told */
    if (!n->joined || must_hand(t, n) || body_due(t, n) || n->gone_version != t->gone_version) return true;
    if (n->said_version != t->said_version) return true;
    if (n->slot > 0 && n->notes_version != t->notes_version) return true;
    if (now_ns - n->put_ns >= t->heartbeat_ns) return true;
    return n->acked != n->own_in_w && t->config.transport_ops->in_flight(t->config.transport, n->edge.rank) == 0;
}

void ta_tree_flush(struct ta_tree *t, int64_t now_ns) {
    for (unsigned i = 0; i < t->n_known; i++) {
        struct ta_tree_neighbour *n = &t->neighbour[i];
        if (n->life != TA_PEER_LEFT && n->connected && has_news(t, n, now_ns)) (void)ta_tree_push(t, n, now_ns);
    }
}
