/* sim: the transport that each replica has on a simulated fabric. */
#include "sim.h"

#include <stdio.h>
#include <math.h>
#include <string.h>

#include "copy.h"
#include "grants.h"
#include "key.h"
#include "mem.h"
#include "sim_fabric.h"

enum { PAGE = 4096 };

struct ta_transport {
    struct ta_sim_fabric *fabric;
    struct ta_transport_config config;
    uint64_t troubles_seen;
    void *block; /* holds the window */
    size_t window_bytes;
    struct ta_grants *granted; /* [n_ranks] */
    struct ta_openings openings;
};

/* What a key carries. */
struct place {
    uint64_t window_bytes;
    uint64_t life, turn;
    struct ta_grants grants;
};

static ta_status sim_open(const struct ta_transport_config *config, struct ta_transport **out) {
    struct ta_sim_fabric *f = config->fabric;
    *out = NULL;
    if (f == NULL) return ta_fail(TA_CONFIG, "transport 'sim' needs a fabric: it lives in one process (tensair sim)");
    if (config->n_ranks != f->config.n_ranks || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "rank %u of %u replicas does not fit a fabric of %u", config->rank, config->n_ranks,
                       f->config.n_ranks);
    struct ta_sim_rank *r = &f->ranks[config->rank];
    if (r->open) return ta_fail(TA_CONFIG, "rank %u of the fabric is open already", config->rank);
    struct ta_transport *t;
    ta_status status = TA_NEW(&t, 1, "transport sim");
    if (status == TA_OK) status = TA_NEW(&t->granted, config->n_ranks, "transport sim: grants");
    if (status != TA_OK) {
        ta_mem_free(t);
        return status;
    }
    t->fabric = f;
    t->config = *config;
    *r = (struct ta_sim_rank){.open = true, .alive = true, .life = r->life + 1, .openings = &t->openings};
    *out = t;
    return TA_OK;
}

static void sim_close(struct ta_transport *t) {
    if (t == NULL) return;
    struct ta_sim_fabric *f = t->fabric;
    unsigned rank = t->config.rank;
    ta_sim_die(f, rank, f->config.latency_ns);
    f->ranks[rank].open = false;
    f->ranks[rank].window = NULL;
    f->ranks[rank].openings = NULL;
    for (unsigned to = 0; to < t->config.n_ranks; to++) ta_sim_path_remove(f, rank, to);
    ta_mem_free(t->block);
    ta_mem_free(t->granted);
    ta_mem_free(t);
}

static ta_status sim_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    *out = (struct ta_window){0};
    if (t->block != NULL) return ta_fail(TA_INVALID, "the window of rank %u was created already", t->config.rank);
    if (bytes > SIZE_MAX - 2 * PAGE)
        return ta_fail(TA_NO_MEMORY, "a window of %zu bytes is more than a process can hold", bytes);
    ta_status status = ta_mem_alloc((bytes + PAGE - 1) / PAGE * PAGE + PAGE, 1, "window", &t->block);
    if (status != TA_OK) return status;
    void *base = (void *)(((uintptr_t)t->block + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    t->fabric->ranks[t->config.rank].window = base;
    t->window_bytes = bytes;
    *out = (struct ta_window){.base = base, .bytes = bytes, .kind = TA_MEM_HOST};
    return TA_OK;
}

static ta_status sim_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    (void)t, (void)base, (void)bytes;
    return TA_OK;
}

static ta_status check_peer(const struct ta_transport *t, unsigned peer) {
    if (peer < t->config.n_ranks && peer != t->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", t->config.rank, t->config.n_ranks, peer);
}

static ta_status sim_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    if (t->block == NULL) return ta_fail(TA_INVALID, "rank %u has no window yet to make a key for", t->config.rank);
    struct ta_key_envelope envelope = {"sim", t->config.run_id, t->config.rank, peer};
    struct place place = {
        .window_bytes = t->window_bytes,
        .life = t->fabric->ranks[t->config.rank].life,
        .turn = *ta_sim_turn(t->fabric, peer, t->config.rank),
        .grants = t->granted[peer],
    };
    return ta_key_seal(&envelope, &place, sizeof place, out);
}

static ta_status sim_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    struct ta_sim_fabric *f = t->fabric;
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    struct ta_sim_path **path = ta_sim_cell(f, t->config.rank, peer);
    if (*path != NULL && (*path)->connected)
        return ta_fail(TA_INVALID, "peer %u is connected already: disconnect it first", peer);
    struct place place;
    struct ta_key_envelope envelope = {"sim", t->config.run_id, peer, t->config.rank};
    status = ta_key_open(&envelope, key, &place, sizeof place);
    if (status == TA_OK) status = ta_grants_check(&place.grants, peer, place.window_bytes);
    if (status != TA_OK) return status;
    if (!f->ranks[peer].alive || f->ranks[peer].life != place.life)
        return ta_fail(TA_PEER, "peer %u is gone: the key is of its life %llu, it is in life %u", peer,
                       (unsigned long long)place.life, f->ranks[peer].life);
    if (*ta_sim_turn(f, t->config.rank, peer) != place.turn)
        return ta_fail(TA_PEER, "peer %u made this key for path %llu, which is void: the next one is path %u", peer,
                       (unsigned long long)place.turn, *ta_sim_turn(f, t->config.rank, peer));
    if (*path == NULL) status = ta_sim_path_add(f, t->config.rank, peer);
    if (status != TA_OK) return status;
    (*path)->connected = true;
    (*path)->reported = (*path)->broken = false;
    (*path)->life = (uint32_t)place.life;
    (*path)->window_bytes = place.window_bytes;
    (*path)->grants = place.grants;
    (*path)->state = TA_PEER_UP;
    return TA_OK;
}

static void sim_disconnect(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks || peer == t->config.rank) return;
    struct ta_sim_path *path = *ta_sim_cell(t->fabric, t->config.rank, peer);
    ta_sim_path_break(t->fabric, peer, t->config.rank, true);
    if (path == NULL) return;
    path->connected = false;
    path->reported = true;
    path->state = TA_PEER_DOWN;
    ta_sim_path_stop(t->fabric, path);
}

/* When it leaves and when it is there: a NIC sends one thing after the other, then it takes the latency and its luck.
 * Returns how long it is on the wire. */
static int64_t travel_times(struct ta_transport *t, const struct ta_sim_path *path, struct ta_sim_put *put) {
    struct ta_sim_fabric *f = t->fabric;
    const struct ta_sim_config *c = &f->config;
    struct ta_sim_node *node = &f->nodes[path->from / c->per_node];
    bool near = c->per_node > 1 && path->from / c->per_node == path->to / c->per_node;
    double bytes_per_ns = near ? c->near_bytes_per_ns : c->bytes_per_ns;
    int64_t latency_ns = near ? c->near_latency_ns : c->latency_ns;
    int64_t *free_ns = near ? &node->memory_free_ns : &node->nic_free_ns;
    size_t bytes = 0;
    for (unsigned i = 0; i < put->n_segments; i++) bytes += ta_put_segment_bytes(&put->segments[i]);
    int64_t on_wire_ns = bytes_per_ns > 0 ? (int64_t)((double)bytes / bytes_per_ns) : 0;
    if (!near && on_wire_ns < c->put_ns) on_wire_ns = c->put_ns;
    put->start_ns = f->now_ns > *free_ns ? f->now_ns : *free_ns;
    *free_ns = put->start_ns + on_wire_ns;
    double luck = c->jitter > 0 ? -log1p(-ta_sim_uniform(&f->dice)) * c->jitter : 0;
    put->deliver_ns = *free_ns + latency_ns + (int64_t)(luck * (double)latency_ns);
    if (put->deliver_ns < path->last_deliver_ns) put->deliver_ns = path->last_deliver_ns;
    if (c->duplicate > 0 && ta_sim_uniform(&f->dice) < c->duplicate)
        put->repeat_ns = 1 + latency_ns + (int64_t)(ta_sim_uniform(&f->dice) * (double)latency_ns);
    f->counts.puts++;
    f->counts.bytes += bytes;
    return on_wire_ns;
}

static ta_status sim_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                         unsigned n_segments) {
    struct ta_sim_fabric *f = t->fabric;
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    struct ta_sim_path *path = *ta_sim_cell(f, t->config.rank, peer);
    if (path == NULL || !path->connected) return ta_fail(TA_INVALID, "peer %u is not connected", peer);
    if (!f->ranks[t->config.rank].alive) return ta_fail(TA_PEER, "rank %u was killed", t->config.rank);
    enum ta_peer_state state = ta_sim_path_state(f, path);
    if (state == TA_PEER_DOWN) return ta_fail(TA_PEER, "peer %u is gone", peer);
    if (state == TA_PEER_BROKEN) return ta_fail(TA_PEER, "the path to peer %u is broken", peer);
    status = ta_put_check(peer, path->window_bytes, segments, n_segments);
    if (status == TA_OK && ta_sim_path_reaches(f, path)) /* what goes to the dead vanishes, whatever it shows */
        status = ta_grants_put_check(peer, &path->grants, f->ranks[peer].openings, segments, n_segments);
    if (status != TA_OK) {
        f->refused++;
        return status;
    }
    if (path->count == path->depth) return TA_BUSY;
    if (path->broken) {
        ta_sim_path_broke(f, path); /* and this put is lost */
        return TA_OK;
    }
    struct ta_sim_put put;
    put.n_segments = n_segments;
    put.repeat_ns = 0;
    if (n_segments > 0) memcpy(put.segments, segments, n_segments * sizeof *segments);
    int64_t on_wire_ns = travel_times(t, path, &put);
    ta_sim_path_put(f, path, &put);
    const struct ta_sim_watcher *watcher = &f->config.watcher;
    if (watcher->sending != NULL) watcher->sending(watcher->owner, path->from, path->to, on_wire_ns);
    return TA_OK;
}

static ta_status sim_progress(struct ta_transport *t, int64_t now_ns) {
    struct ta_sim_fabric *f = t->fabric;
    ta_sim_advance(f, now_ns);
    if (!f->ranks[t->config.rank].alive) return ta_fail(TA_PEER, "rank %u was killed", t->config.rank);
    if (t->troubles_seen == f->troubles) return TA_OK;
    bool undetected = false;
    for (unsigned peer = 0; peer < t->config.n_ranks; peer++) {
        struct ta_sim_path *path = *ta_sim_cell(f, t->config.rank, peer);
        if (path == NULL || !path->connected) continue;
        enum ta_peer_state state = ta_sim_path_state(f, path);
        undetected |= state != TA_PEER_DOWN && !ta_sim_path_reaches(f, path);
        if (state == TA_PEER_UP || path->reported) continue;
        path->reported = true;
        return ta_fail(TA_PEER, state == TA_PEER_BROKEN ? "the path to peer %u broke"
                                                        : "peer %u is gone: it was killed or closed its window", peer);
    }
    if (!undetected) t->troubles_seen = f->troubles;
    return TA_OK;
}

static unsigned sim_in_flight(const struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks) return 0;
    struct ta_sim_path *path = *ta_sim_cell(t->fabric, t->config.rank, peer);
    return ta_sim_path_state(t->fabric, path) == TA_PEER_UP ? path->count : 0;
}

static enum ta_peer_state sim_peer_state(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks) return TA_PEER_UNKNOWN;
    return ta_sim_path_state(t->fabric, *ta_sim_cell(t->fabric, t->config.rank, peer));
}

static ta_status sim_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    (void)spec;
    snprintf(said, bytes, "a simulated fabric");
    return TA_OK;
}

static ta_status sim_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    (void)t, (void)window;
    return ta_fail(TA_INVALID, "transport 'sim' makes its window itself");
}

static ta_status sim_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    ta_status status = check_peer(t, peer);
    return status == TA_OK ? ta_grants_add(&t->granted[peer], peer, t->window_bytes, offset, bytes) : status;
}

static ta_status sim_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    return ta_openings_add(&t->openings, &t->config, t->window_bytes, offset, bytes, pass);
}

static void sim_describe(const struct ta_transport *t, char *out, size_t bytes) {
    (void)t;
    snprintf(out, bytes, "a simulated fabric");
}

const struct ta_transport_ops ta_transport_sim = {
    .name = "sim",
    .package = "",
    .probe = sim_probe,
    .open = sim_open,
    .close = sim_close,
    .window_create = sim_window_create,
    .window_adopt = sim_window_adopt,
    .grant = sim_grant,
    .range_open = sim_range_open,
    .source_register = sim_source_register,
    .key_make = sim_key_make,
    .connect = sim_connect,
    .disconnect = sim_disconnect,
    .put = sim_put,
    .progress = sim_progress,
    .in_flight = sim_in_flight,
    .peer_state = sim_peer_state,
    .describe = sim_describe,
};
