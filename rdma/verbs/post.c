/* post: from puts to work requests: segments cut into writes, rows that lie side by side joined, batches of a bounded
 * queue. What the queue has no room for stays in the ring and goes on at the next completion: a put may be any number
 * of writes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "verbs.h"

enum { LINE = 64, WORD = 8, STRIPE_ALIGN = 4096, SEGMENT_BITS = 4, COUNT_BITS = 32 };

_Static_assert(TA_PUT_MAX_SEGMENTS <= 1 << SEGMENT_BITS, "a tag holds a segment's number");

uint64_t ta_verbs_tag_pack(const struct ta_verbs_tag *tag) {
    return (uint64_t)tag->peer << (COUNT_BITS + SEGMENT_BITS) | (uint64_t)tag->segment << COUNT_BITS | tag->count;
}

struct ta_verbs_tag ta_verbs_tag_unpack(uint64_t wr_id) {
    return (struct ta_verbs_tag){.count = (uint32_t)wr_id,
                                 .segment = (unsigned)(wr_id >> COUNT_BITS) & ((1U << SEGMENT_BITS) - 1),
                                 .peer = (unsigned)(wr_id >> (COUNT_BITS + SEGMENT_BITS))};
}

/* ---- is it right? ---- */

static const struct ta_verbs_source *source_of(struct ta_transport *t, const void *base, size_t bytes) {
    uintptr_t at = (uintptr_t)base;
    const struct ta_verbs_source *s = t->last_source;
    for (bool first = true; s != NULL || first; s = first ? t->sources : s->next, first = false)
        if (s != NULL && at >= (uintptr_t)s->base && bytes <= s->bytes && at - (uintptr_t)s->base <= s->bytes - bytes) {
            t->last_source = (struct ta_verbs_source *)s;
            return s;
        }
    return NULL;
}

static ta_status find_source(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments, unsigned i,
                             struct ta_verbs_put *out) {
    const struct ta_put_segment *s = &segments[i];
    struct ta_range span = ta_put_segment_span(s);
    if (span.bytes == 0) return TA_OK;
    const unsigned char *from = (const unsigned char *)s->source + (span.offset - s->target_offset);
    out->source[i] = source_of(t, from, span.bytes);
    if (out->source[i] == NULL)
        return ta_fail(TA_INVALID,
                       "segment %u of a put to peer %u: its source, %llu bytes at %p, was not registered as a whole", i,
                       peer, (unsigned long long)span.bytes, (const void *)from);
    const struct ta_verbs_path *path = t->path[peer];
    while (s->pass == 0 && out->right[i] + 1U < path->n_rights &&
           !ta_range_holds(&path->right[out->right[i]].range, &span))
        out->right[i]++;
    return TA_OK;
}

ta_status ta_verbs_put_check(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                             unsigned n_segments, struct ta_verbs_put *out) {
    const struct ta_verbs_key *key = &t->path[peer]->peer;
    ta_status status = ta_put_check(peer, key->window_bytes, segments, n_segments);
    if (status != TA_OK) return status;
    out->n = n_segments; /* field by field: what lies behind the last segment is left as it is */
    out->at = 0;
    out->within = 0;
    /* What was opened is known to the peer's device alone: a pass that is none breaks the path. */
    for (unsigned i = 0; i < n_segments; i++) {
        out->segment[i] = segments[i];
        out->source[i] = NULL;
        out->right[i] = 0;
        if (segments[i].pass != 0) out->segment[i] = (struct ta_put_segment){.bytes = 0};
    }
    status = ta_grants_put_check(peer, &key->grants, NULL, out->segment, n_segments);
    if (status == TA_OK) status = ta_far_put_check(peer, &key->far, segments, n_segments);
    for (unsigned i = 0; i < n_segments && status == TA_OK; i++) {
        out->segment[i] = segments[i];
        status = find_source(t, peer, segments, i, out);
    }
    return status;
}

/* ---- work requests ---- */

struct batch {
    struct ibv_send_wr wr[TA_VERBS_BATCH];
    struct ibv_sge sge[TA_VERBS_BATCH];
    unsigned n;
};

struct piece {
    const unsigned char *from;
    size_t bytes, offset; /* into the peer's window */
};

struct posting { /* one lane being fed */
    struct ta_transport *t;
    struct ta_verbs_path *path;
    unsigned peer, lane;
    struct batch batch;
};

static void broken(struct posting *p, int why) {
    snprintf(p->path->why, sizeof p->path->why,
             "the path to peer %u is broken: RDMA device %s took no work request: %s", p->peer,
             p->t->rail[p->lane].place.device, strerror(why));
    ta_verbs_path_break(p->t, p->path);
}

static bool flush(struct posting *p) {
    struct batch *b = &p->batch;
    struct ta_verbs_lane *lane = &p->path->lane[p->lane];
    if (b->n == 0) return true;
    b->wr[b->n - 1].next = NULL;
    b->wr[b->n - 1].send_flags |= IBV_SEND_SIGNALED;
    struct ibv_send_wr *bad = NULL;
    int failed = ibv_post_send(lane->qp, b->wr, &bad);
    lane->posted += b->n;
    p->t->rail[p->lane].expected += b->n;
    b->n = 0;
    if (failed != 0) broken(p, failed);
    return failed == 0;
}

/* Where a piece goes, and what opens it. A pass holds a key for each kind of memory. */
static void aim(const struct posting *p, const struct ta_verbs_put *put, const struct piece *piece,
                struct ibv_send_wr *wr) {
    const struct ta_verbs_key *peer = &p->path->peer;
    const struct ta_range range = {piece->offset, piece->bytes};
    const uint64_t pass = put->segment[put->at].pass;
    struct ta_far_place place = ta_far_find(&peer->far, &range);
    bool far = place.side == TA_FAR_WHOLE;
    wr->wr.rdma.remote_addr = far ? peer->far_base + place.piece * ta_far_pitch(&peer->far) + place.within
                                  : peer->window_base + piece->offset;
    wr->wr.rdma.rkey = peer->rail[p->lane].rkey[put->right[put->at]];
    if (pass != 0) wr->wr.rdma.rkey = (uint32_t)(far ? pass >> 32 : pass);
}

/* Adds a write. False: no room in the queue; or the path broke. */
static bool add(struct posting *p, const struct ta_verbs_put *put, const struct piece *piece) {
    struct batch *b = &p->batch;
    struct ta_verbs_lane *lane = &p->path->lane[p->lane];
    const struct ta_put_segment *s = &put->segment[put->at];
    if (b->n == TA_VERBS_BATCH && !flush(p)) return false;
    if (lane->posted + b->n - lane->done >= p->t->rail[p->lane].depth) return false;
    struct ta_verbs_tag tag = {lane->posted + b->n + 1, put->at, p->peer};
    struct ibv_send_wr *wr = &b->wr[b->n];
    b->sge[b->n] =
        (struct ibv_sge){(uintptr_t)piece->from, (uint32_t)piece->bytes, put->source[put->at]->mr[p->lane]->lkey};
    *wr = (struct ibv_send_wr){.wr_id = ta_verbs_tag_pack(&tag),
                               .next = wr + 1,
                               .sg_list = &b->sge[b->n],
                               .num_sge = 1,
                               .opcode = IBV_WR_RDMA_WRITE};
    /* Rows are live memory, often many: the device fetches them itself. */
    bool readable = s->rows == NULL && !put->source[put->at]->of_gpu;
    if (piece->bytes <= lane->max_inline && readable) wr->send_flags = IBV_SEND_INLINE;
    aim(p, put, piece, wr);
    b->n++;
    return true;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Up to where a small segment goes in one write, so that its last word comes after all the others. */
static size_t in_one_write(const struct posting *p, const struct ta_put_segment *s, size_t within) {
    size_t rest = s->bytes - within, line = s->target_offset / LINE != (s->target_offset + s->bytes - 1) / LINE;
    bool small = s->bytes > WORD && s->bytes <= LINE && s->bytes % WORD == 0;
    if (small && line && within == 0 && !p->path->lane[p->lane].in_order) return s->bytes - WORD;
    return smaller(rest, p->t->rail[p->lane].max_message);
}

/* Posts the rest of a segment; false when the queue is full. */
static bool post_bytes(struct posting *p, struct ta_verbs_put *put) {
    const struct ta_put_segment *s = &put->segment[put->at];
    while (put->within < s->bytes) {
        struct piece piece = {(const unsigned char *)s->source + put->within, in_one_write(p, s, put->within),
                              s->target_offset + put->within};
        if (!add(p, put, &piece)) return false;
        put->within += piece.bytes;
    }
    return true;
}

static bool post_rows(struct posting *p, struct ta_verbs_put *put) {
    const struct ta_put_segment *s = &put->segment[put->at];
    size_t most = p->t->rail[p->lane].max_message / s->bytes;
    while (put->within < s->n_rows) {
        size_t first = s->rows[put->within], n = 1;
        while (put->within + n < s->n_rows && n < most && s->rows[put->within + n] == first + n) n++;
        struct piece piece = {(const unsigned char *)s->source + first * s->bytes, n * s->bytes,
                              s->target_offset + first * s->bytes};
        if (!add(p, put, &piece)) return false;
        put->within += n;
    }
    return true;
}

/* ---- several lanes ---- */

static bool idle(const struct ta_transport *t, const struct ta_verbs_path *path) {
    for (unsigned i = 0; i < t->n_rails; i++)
        if (path->lane[i].posted != path->lane[i].done) return false;
    return true;
}

static bool is_striped(const struct ta_transport *t, const struct ta_put_segment *s) {
    return t->n_rails > 1 && s->rows == NULL && s->pass == 0 && s->bytes >= TA_VERBS_STRIPE_BYTES;
}

/* One part for each lane, all of them idle; the next round, and whatever comes after, waits until they are so again. */
static bool post_stripes(struct ta_transport *t, unsigned peer, struct ta_verbs_put *put) {
    const struct ta_put_segment *s = &put->segment[put->at];
    size_t round = s->bytes - put->within, most = SIZE_MAX;
    for (unsigned i = 0; i < t->n_rails; i++) most = smaller(most, t->rail[i].max_message * (t->rail[i].depth / 2));
    round = smaller(round, most - most % STRIPE_ALIGN);
    size_t part = (round / t->n_rails + STRIPE_ALIGN) / STRIPE_ALIGN * STRIPE_ALIGN, end = put->within + round;
    for (unsigned i = 0; i < t->n_rails && put->within < end; i++) {
        struct posting p = {.t = t, .path = t->path[peer], .peer = peer, .lane = i};
        for (size_t until = smaller(end, put->within + part); put->within < until;) {
            struct piece piece = {(const unsigned char *)s->source + put->within,
                                  smaller(until - put->within, t->rail[i].max_message), s->target_offset + put->within};
            if (!add(&p, put, &piece)) return false;
            put->within += piece.bytes;
        }
        if (!flush(&p)) return false;
    }
    return true;
}

/* A body over all lanes. True: all of it was acknowledged: an answer leaves the peer's device after the device has
 * issued its writes, and whatever follows begins a round trip later at the earliest. Between two cards that is all
 * there is: PCIe orders the writes of one card, not those of two. A word that is late all the same is a torn body,
 * which the next put mends. */
static bool post_striped(struct posting *p, struct ta_verbs_put *put) {
    const struct ta_put_segment *s = &put->segment[put->at];
    if (!flush(p) || !idle(p->t, p->path)) return false;
    if (put->within < s->bytes) post_stripes(p->t, p->peer, put);
    return put->within == s->bytes && p->path->state == TA_PEER_UP && idle(p->t, p->path);
}

/* ---- puts ---- */

static bool post_segment(struct posting *p, struct ta_verbs_put *put) {
    const struct ta_put_segment *s = &put->segment[put->at];
    if (s->bytes == 0) return true;
    if (s->rows != NULL) return post_rows(p, put);
    return is_striped(p->t, s) ? post_striped(p, put) : post_bytes(p, put);
}

static bool post_put(struct ta_transport *t, unsigned peer, struct ta_verbs_put *put) {
    struct posting p;
    p.t = t;
    p.path = t->path[peer];
    p.peer = peer;
    p.lane = 0;
    p.batch.n = 0;
    bool whole = true;
    while (whole && put->at < put->n) {
        whole = post_segment(&p, put);
        if (!whole) break;
        put->at++;
        put->within = 0;
    }
    if (p.path->state != TA_PEER_UP || !flush(&p)) return false;
    for (unsigned i = 0; i < t->n_rails; i++) put->end[i] = p.path->lane[i].posted;
    return whole;
}

void ta_verbs_post(struct ta_transport *t, unsigned peer) {
    struct ta_verbs_path *path = t->path[peer];
    while (path->n_posted < path->count &&
           post_put(t, peer, &path->ring[(path->head + path->n_posted) % TA_VERBS_PUTS]))
        path->n_posted++;
    ta_verbs_finish(t, path); /* a put of nothing has no completion of its own */
}

ta_status ta_verbs_bind(struct ta_transport *t, unsigned peer) {
    struct ta_verbs_path *path = t->path[peer];
    const struct ta_verbs_ground ground = ta_verbs_ground_of(t);
    struct ta_verbs_right rights[TA_VERBS_RIGHTS] = {{.far = false}};
    unsigned n;
    path->bound = ta_verbs_rights_cut(&ground, &path->granted, rights, &n); /* as they were for the key */
    for (unsigned i = 0; i < t->n_rails; i++)
        for (unsigned k = 0; k < TA_VERBS_RIGHTS; k++) {
            struct ta_verbs_lane *lane = &path->lane[i];
            const struct ta_range *range = &rights[k].range;
            if (lane->mw[k] == NULL) continue;
            struct ta_verbs_tag tag = {++lane->posted, 0, peer};
            t->rail[i].expected++;
            struct ibv_send_wr *bad,
                wr = {.wr_id = ta_verbs_tag_pack(&tag), .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED};
            wr.bind_mw.mw = lane->mw[k];
            wr.bind_mw.rkey = lane->rkey[k];
            wr.bind_mw.bind_info = (struct ibv_mw_bind_info){.mr = lane->mr[k],
                                                             .addr = rights[k].address,
                                                             .length = range->bytes,
                                                             .mw_access_flags = IBV_ACCESS_REMOTE_WRITE};
            errno = ibv_post_send(lane->qp, &wr, &bad);
            if (errno != 0)
                return ta_fail_errno(TA_DEVICE, "RDMA device %s cannot bind a memory window of %llu bytes",
                                     t->rail[i].place.device, (unsigned long long)range->bytes);
            lane->mw[k]->rkey = lane->rkey[k];
            path->bound = false; /* until it is known to be done */
        }
    return TA_OK;
}
