/* tree: the ops of an exchange between neighbours. How it works stands in tree.h. */
#include "tree.h"

#include <string.h>
#include <xxhash.h>

/* NULL: not joined with us. */
static struct ta_tree_neighbour *near(const struct ta_tree *t, unsigned peer) {
    if (peer >= t->base.n_ranks || peer == t->base.rank || t->via[peer] >= t->n_neighbours) return NULL;
    struct ta_tree_neighbour *n = t->near[t->via[peer]];
    return n->edge.rank == peer ? n : NULL;
}

static bool tree_meets(const struct ta_exchange *x, unsigned peer) { return near(ta_tree_of_const(x), peer) != NULL; }

static void tree_peer_joined(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    struct ta_tree_neighbour *n = near(t, peer);
    if (n == NULL || n->life == TA_PEER_LEFT) return;
    if (n->broken) ta_log_info(t->config.log, "a new path to peer %u stands", peer);
    if (n->puts > 0 && n->body_basis == t->said.based) n->stamp = UINT64_MAX; /* who knows what arrived */
    n->connected = true;
    n->broken = n->joined = n->moving = false;
    n->handed = 0;
    n->silent_ns = 0;
    if (n->heard && n->life == TA_PEER_JOINING) n->life = TA_PEER_LIVE;
    (void)ta_tree_push(t, n, now_ns);
}

static void tree_peer_broken(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    struct ta_tree_neighbour *n = near(t, peer);
    if (n == NULL || !n->connected) {
        for (unsigned i = 0; i < t->n_known; i++)
            if (t->neighbour[i].edge.rank == peer) t->neighbour[i].connected = false;
        return;
    }
    ta_tree_hear(t, now_ns); /* its last word may be that it leaves */
    n->connected = false;
    n->broken = true;
    n->breaks++;
    if (n->life != TA_PEER_LEFT)
        ta_log_warn(t->config.log, "the path to peer %u broke: with no new one within %.1f s the peer counts as lost",
                    peer, (double)t->dead_after_ns * 1e-9);
}

static void tree_peer_lost(struct ta_exchange *x, unsigned peer, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    if (peer >= x->n_ranks || peer == x->rank) return;
    ta_tree_hear(t, now_ns);
    ta_tree_lose(t, peer, "is lost");
    for (unsigned i = 0; i < t->n_known; i++)
        if (t->neighbour[i].edge.rank == peer) t->neighbour[i].ended = true;
}

static void find_broken(struct ta_tree *t, int64_t now_ns) {
    for (unsigned i = 0; i < t->n_known; i++) {
        struct ta_tree_neighbour *n = &t->neighbour[i];
        if (!n->connected) continue;
        enum ta_peer_state state = t->config.transport_ops->peer_state(t->config.transport, n->edge.rank);
        if (state == TA_PEER_BROKEN) tree_peer_broken(&t->base, n->edge.rank, now_ns);
        if (state != TA_PEER_DOWN) continue;
        ta_tree_lose(t, n->edge.rank, "is gone: its process ended");
        n->ended = true;
        n->connected = false;
        n->broken = true; /* to be disconnected */
    }
}

static ta_status tree_poll(struct ta_exchange *x, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    if (x->n_ranks > 1) {
        ta_status progress = t->config.transport_ops->progress(t->config.transport, now_ns);
        if (progress != TA_OK && progress != TA_PEER) return progress;
        ta_tree_hear(t, now_ns);
        if (progress == TA_PEER) find_broken(t, now_ns);
        ta_status status = ta_tree_regroup(t);
        if (status != TA_OK) return status;
    }
    ta_status status = ta_tree_rest(t);
    if (status == TA_OK && t->stale && !t->at_rest && !t->regroups && !ta_tree_halted(t)) status = ta_tree_apply(t);
    if (status != TA_OK) return status;
    ta_tree_flush(t, now_ns);
    return t->put_status;
}

static ta_status tree_ready(struct ta_exchange *x, int64_t now_ns) {
    (void)now_ns;
    const struct ta_tree *t = ta_tree_of(x);
    return t->regroups || t->formed_version != t->gone_version ? TA_AGAIN : TA_OK;
}

/* Steps made elsewhere that are not in w, as far as neighbours have heard of them. */
static uint64_t missing(const struct ta_tree *t) {
    uint64_t steps = 0;
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        uint64_t made = n->heard ? ta_tree_made(n) : 0;
        if (made > n->in_w) steps += made - n->in_w;
    }
    return steps;
}

static ta_status tree_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    if (records == 0) return TA_OK;
    if (ta_tree_resting(t))
        return ta_fail(TA_INVALID, "exchange: replica %u stepped between settle and resume of round %u", x->rank,
                       t->finished ? TA_ROUND_FINAL : t->entered);
    x->steps++;
    x->records += records;
    t->stale = true;
    if (t->n_neighbours > 0) ta_hist_add(&t->staleness, missing(t));
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        struct ta_tree_neighbour *n = t->near[i];
        uint64_t made = n->heard ? ta_tree_made(n) : 0;
        if (n->heard) ta_hist_add(&n->staleness, made > n->in_w ? made - n->in_w : 0);
        if (n->connected && n->life != TA_PEER_LEFT && !ta_tree_push(t, n, now_ns)) n->busy++;
    }
    return TA_OK;
}

static ta_status tree_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    float scale = x->scale * ta_damping_scale(&t->damping, missing(t));
    ta_status status = t->config.updater.update(t->config.updater.owner, grad, x->w, scale, x->delta);
    return status == TA_OK ? tree_stepped(x, records, now_ns) : status;
}

static ta_status tree_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out) {
    (void)now_ns;
    memset(out, 0, sizeof *out);
    return ta_fail(TA_INVALID, "exchange: replica %u is no spare: a tree has none", x->rank);
}

static void tree_touched(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)x, (void)segment, (void)rows, (void)n; /* no tables */
}

static ta_status tree_reset_rows(struct ta_exchange *x, unsigned segment, const uint32_t *rows, size_t n) {
    (void)rows, (void)n;
    return ta_fail(TA_INVALID, "exchange: segment %u of replica %u is no table", segment, x->rank);
}

static size_t tree_renamed(struct ta_exchange *x, uint32_t *rows, size_t most) {
    (void)x, (void)rows, (void)most;
    return 0;
}

static void tree_note(struct ta_exchange *x, uint64_t note) {
    struct ta_tree *t = ta_tree_of(x);
    if (note <= t->notes[x->rank]) return;
    t->notes[x->rank] = note;
    t->notes_version++;
}

static uint64_t tree_peer_note(const struct ta_exchange *x, unsigned peer) {
    return peer < x->n_ranks && peer != x->rank ? ta_tree_of_const(x)->notes[peer] : 0;
}

static void tree_gauge(struct ta_exchange *x, uint64_t gauge) { ta_tree_of(x)->said.gauge = gauge; }

static uint64_t tree_peer_gauge(const struct ta_exchange *x, unsigned peer) {
    const struct ta_tree_neighbour *n = near(ta_tree_of_const(x), peer);
    return n != NULL ? n->known.gauge : 0;
}

static void tree_leave(struct ta_exchange *x, int64_t now_ns) {
    struct ta_tree *t = ta_tree_of(x);
    if (!t->left) t->said_version++;
    t->left = true;
    t->said.left = 1;
    ta_tree_flush(t, now_ns);
}

static uint64_t tree_steps_visible(const struct ta_exchange *x) {
    const struct ta_tree *t = ta_tree_of_const(x);
    uint64_t steps = x->steps;
    for (unsigned i = 0; i < t->n_neighbours; i++) {
        const struct ta_tree_neighbour *n = t->near[i];
        if (n->life == TA_PEER_LIVE && n->known.ack < steps) steps = n->known.ack;
    }
    return steps;
}

static ta_status tree_checksum(struct ta_exchange *x, uint64_t *out) {
    struct ta_tree *t = ta_tree_of(x);
    XXH3_state_t *hash = XXH3_createState();
    if (hash == NULL) return ta_fail(TA_NO_MEMORY, "checksum state: out of memory");
    XXH3_64bits_reset(hash);
    ta_status status = TA_OK;
    for (size_t at = 0, d = x->model->n_params; at < d && status == TA_OK; at += TA_TREE_SCRATCH_FLOATS) {
        size_t bytes = (d - at < TA_TREE_SCRATCH_FLOATS ? d - at : TA_TREE_SCRATCH_FLOATS) * sizeof(float);
        status = t->config.kernel_ops->copy_out(t->config.kernels, t->scratch, x->w + at, bytes);
        if (status == TA_OK) XXH3_64bits_update(hash, t->scratch, bytes);
    }
    *out = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    return status;
}

static ta_status tree_register_copy(struct ta_exchange *x, unsigned rank, float *host) {
    struct ta_tree *t = ta_tree_of(x);
    if (rank != x->rank)
        return ta_fail(TA_INVALID, "exchange: register %u of %u: replica %u of a tree has its own alone", rank,
                       x->n_ranks, x->rank);
    return t->config.kernel_ops->copy_out(t->config.kernels, host, x->delta, x->model->n_params * sizeof(float));
}

static void tree_peer_stats(const struct ta_exchange *x, unsigned peer, struct ta_peer_stats *out) {
    memset(out, 0, sizeof *out);
    if (peer >= x->n_ranks || peer == x->rank) return;
    const struct ta_tree *t = ta_tree_of_const(x);
    const struct ta_tree_neighbour *n = near(t, peer);
    bool gone = ta_tree_is_gone(t->gone, peer);
    out->life = gone ? TA_PEER_DEAD : n == NULL ? TA_PEER_LIVE : n->life;
    for (unsigned i = 0; i < t->n_known && gone; i++)
        if (t->neighbour[i].edge.rank == peer && t->neighbour[i].life == TA_PEER_LEFT) out->life = TA_PEER_LEFT;
    out->share = peer;
    out->has_share = true;
    bool first = gone;
    for (unsigned r = 0; r < peer && first; r++) first = !ta_tree_is_gone(t->gone, r);
    /* Others count them behind their parent. */
    if (first && ta_tree_is_root(t)) out->steps_applied = ta_tree_rest_of(t);
    if (n == NULL || gone) return;
    out->broken = n->broken;
    out->breaks = n->breaks;
    out->puts = n->puts;
    out->bytes = n->bytes;
    out->busy = n->busy;
    out->foreign = n->foreign;
    out->steps_applied = ta_tree_steps_of(t, t->via[peer]);
    out->steps_acked = n->known.ack < x->steps ? n->known.ack : x->steps;
    out->staleness = n->staleness;
}

static size_t tree_bytes(const struct ta_exchange *x) { return ta_tree_of_const(x)->held_bytes; }

const struct ta_exchange_ops ta_exchange_tree = {
    .name = "tree",
    .agrees = true,
    .open = ta_tree_open,
    .close = ta_tree_close,
    .meets = tree_meets,
    .peer_joined = tree_peer_joined,
    .peer_lost = tree_peer_lost,
    .peer_broken = tree_peer_broken,
    .enter = tree_enter,
    .ready = tree_ready,
    .step = tree_step,
    .stepped = tree_stepped,
    .touched = tree_touched,
    .reset_rows = tree_reset_rows,
    .renamed = tree_renamed,
    .poll = tree_poll,
    .settle = ta_tree_settle,
    .resume = ta_tree_resume,
    .request = ta_tree_request,
    .requested = ta_tree_requested,
    .note = tree_note,
    .peer_note = tree_peer_note,
    .gauge = tree_gauge,
    .peer_gauge = tree_peer_gauge,
    .leave = tree_leave,
    .steps_visible = tree_steps_visible,
    .checksum = tree_checksum,
    .register_copy = tree_register_copy,
    .peer_stats = tree_peer_stats,
    .bytes = tree_bytes,
};
