/* tree_put: what is put to each neighbour: the group's register when it is behind, the weights of a rest to a child
 * that has not started from them yet, notes that changed, and always a header, which claims no more than the bodies
 * before it hold. */
#include <string.h>

#include "tree.h"

#define MAGIC UINT64_C(0x54540001) /* "TT", format 1 */

static uint64_t pair(uint64_t high, uint32_t low) { return high << 32 | low; }

void ta_tree_encode(const struct ta_tree *t, const struct ta_tree_said *said, uint64_t words[TA_TREE_WORDS]) {
    const uint64_t made[TA_TREE_WORDS] = {
        pair(MAGIC, t->base.rank + 1), pair(t->config.epoch, t->base.n_ranks), said->own, said->behind, said->total,
        said->ack, said->gauge, said->request,
        /* what rests on those: */
        pair(said->basis, said->lost), pair(said->entered, said->finished), pair(said->halt, said->halt_round),
        pair(said->drained, said->based), pair(said->commit, said->commit_round), pair(said->done, said->released),
        said->left, pair(said->pulse, said->notes)};
    memcpy(words, made, sizeof made);
}

/* What one put takes along. */
struct parcel {
    struct ta_tree_copy *copy;
    const float *body; /* NULL: none */
    bool hands;        /* the body is the weights of a rest */
    bool notes;
    uint64_t own, behind, stamp;
};

static bool must_hand(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    return n->edge.child && n->known.based < t->said.based && n->handed != t->said.based;
}

/* A register may go there now, and is not there yet. */
static bool body_due(const struct ta_tree *t, const struct ta_tree_neighbour *n) {
    bool may = ta_tree_running(t) || (ta_tree_halted(t) && n->edge.parent && t->said.drained != t->said.halt);
    return may && n->stamp != ta_tree_stamp(t, n->edge.group);
}

static ta_status pack(struct ta_tree *t, struct ta_tree_neighbour *n, struct parcel *p) {
    ta_status status = TA_OK;
    *p = (struct parcel){.copy = &n->copies[n->turn % (t->in_flight + 1)],
                         .notes = n->notes_version != t->notes_version || !n->joined,
                         .own = n->told_own,
                         .behind = n->told_behind,
                         .stamp = n->stamp};
    p->hands = must_hand(t, n);
    if (p->hands) {
        p->body = t->base.w0; /* stays as it is until the next rest */
    } else if (body_due(t, n)) {
        status = ta_tree_gather(t, n->edge.group, &p->body);
        p->stamp = t->group[n->edge.group].stamp;
        p->own = t->group[n->edge.group].own;
        p->behind = t->group[n->edge.group].behind;
    } else if (n->stamp == ta_tree_stamp(t, n->edge.group)) {
        p->own = t->base.steps;
        p->behind = ta_tree_behind(t, n->edge.group);
    }
    return status;
}

static void fill_header(const struct ta_tree *t, const struct ta_tree_neighbour *n, const struct parcel *p) {
    struct ta_tree_said said = t->said;
    said.own = p->own;
    said.behind = p->behind;
    said.ack = n->own_in_w;
    said.basis = p->body != NULL && !p->hands ? t->said.based : n->body_basis;
    said.lost = t->lost < t->base.n_ranks ? t->lost + 1 : 0;
    said.pulse = n->pulse + 1;
    said.notes = t->notes_version;
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
    n->notes_version = t->notes_version;
    n->told_own = p->own;
    n->told_behind = p->behind;
    if (p->body == NULL) return;
    n->moving = true;
    if (p->hands) {
        n->handed = t->said.based;
        return;
    }
    n->stamp = p->stamp;
    n->body_basis = t->said.based;
}

bool ta_tree_push(struct ta_tree *t, unsigned place, int64_t now_ns) {
    struct ta_tree_neighbour *n = &t->neighbour[place];
    const struct ta_transport_ops *ops = t->config.transport_ops;
    if (!n->connected || ops->in_flight(t->config.transport, n->edge.rank) >= t->in_flight) return false;
    struct ta_put_segment segments[4];
    struct parcel p;
    ta_status status = pack(t, n, &p);
    if (status != TA_OK) {
        t->put_status = status;
        return false;
    }
    fill_header(t, n, &p);
    unsigned pieces = 0;
    size_t half = TA_TREE_HEADER_BYTES / 2, bytes = 0, d = t->base.model->n_params * sizeof(float);
    if (p.body != NULL) bytes += add_piece(segments, &pieces, p.body, d, n->body);
    if (p.notes)
        bytes += add_piece(segments, &pieces, t->notes, t->base.n_ranks * sizeof *t->notes,
                           n->control + TA_TREE_HEADER_BYTES);
    bytes += add_piece(segments, &pieces, p.copy->words, half, n->control);
    bytes += add_piece(segments, &pieces, p.copy->words + TA_TREE_WORDS / 2, half, n->control + half);
    status = ops->put(t->config.transport, n->edge.rank, segments, pieces);
    if (status == TA_OK) sent(t, n, &p, now_ns, bytes);
    else if (status != TA_BUSY && status != TA_PEER) t->put_status = status; /* PEER: poll finds it BROKEN or DOWN */
    return status == TA_OK;
}

static bool has_news(const struct ta_tree *t, const struct ta_tree_neighbour *n, int64_t now_ns) {
    if (!n->joined || must_hand(t, n) || body_due(t, n)) return true;
    if (n->said_version != t->said_version || n->notes_version != t->notes_version) return true;
    if (now_ns - n->put_ns >= t->heartbeat_ns) return true;
    return n->acked != n->own_in_w && t->config.transport_ops->in_flight(t->config.transport, n->edge.rank) == 0;
}

void ta_tree_flush(struct ta_tree *t, int64_t now_ns) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        struct ta_tree_neighbour *n = &t->neighbour[i];
        if (n->life != TA_PEER_LEFT && n->life != TA_PEER_DEAD && n->connected && has_news(t, n, now_ns))
            (void)ta_tree_push(t, i, now_ns);
    }
}

bool ta_tree_all_told(const struct ta_tree *t) {
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = &t->neighbour[i];
        if (!n->connected || n->life == TA_PEER_LEFT || n->life == TA_PEER_DEAD) continue;
        if (n->said_version != t->said_version) return false;
        if (t->config.transport_ops->in_flight(t->config.transport, n->edge.rank) > 0) return false;
    }
    return true;
}
