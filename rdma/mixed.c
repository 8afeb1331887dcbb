/* mixed: shm between the replicas of a node, verbs or ofi (the one that auto would take) between nodes.
 *
 * The window is shared memory, made by shm and adopted by the other make; everything that concerns one peer goes to the
 * make in charge of it, keys included. A range that is opened to all has one pass for both.
 */
#include "mixed.h"

#include <stdio.h>

#include "mem.h"

enum { SAID_BYTES = 512 };

struct ta_transport {
    struct ta_transport_config config;
    const struct ta_transport_ops *far_ops;
    struct ta_transport *near, *far;
};

/* For one call: the make in charge of a peer. */
struct part {
    const struct ta_transport_ops *ops;
    struct ta_transport *t;
};

static unsigned node_of(const struct ta_transport *t, unsigned rank) {
    bool alone = t->config.alone_from > 0 && rank >= t->config.alone_from;
    return alone ? t->config.n_ranks + rank : rank / t->config.per_node;
}

static struct part part_of(const struct ta_transport *t, unsigned peer) {
    bool is_near = t->config.per_node == 0 || peer >= t->config.n_ranks ||
                   node_of(t, peer) == node_of(t, t->config.rank);
    return is_near ? (struct part){&ta_transport_shm, t->near} : (struct part){t->far_ops, t->far};
}

static ta_status mixed_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    const struct ta_transport_ops *unused;
    char far[SAID_BYTES];
    ta_status status = ta_transport_between_nodes(spec, &unused, far, sizeof far);
    if (status == TA_OK) snprintf(said, bytes, "shm within a node, between nodes %s", far);
    return status;
}

static void mixed_close(struct ta_transport *t) {
    if (t == NULL) return;
    if (t->far != NULL) t->far_ops->close(t->far); /* first: it uses the window that the other one owns */
    ta_transport_shm.close(t->near);
    ta_mem_free(t);
}

static ta_status mixed_open(const struct ta_transport_config *config, struct ta_transport **out) {
    char why[SAID_BYTES];
    *out = NULL;
    struct ta_transport *t;
    ta_status status = TA_NEW(&t, 1, "transport mixed");
    if (status != TA_OK) return status;
    t->config = *config;
    status = ta_transport_shm.open(config, &t->near);
    if (status == TA_OK) status = ta_transport_between_nodes(config->spec, &t->far_ops, why, sizeof why);
    if (status == TA_OK) status = t->far_ops->open(config, &t->far);
    if (status != TA_OK) {
        mixed_close(t);
        return status;
    }
    *out = t;
    return TA_OK;
}

static ta_status mixed_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    ta_status status = ta_transport_shm.window_create(t->near, bytes, out);
    return status == TA_OK ? t->far_ops->window_adopt(t->far, out) : status;
}

static ta_status mixed_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    return ta_transport_shm.window_adopt(t->near, window); /* which says why not */
}

static ta_status mixed_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    struct part part = part_of(t, peer);
    return part.ops->grant(part.t, peer, offset, bytes);
}

static ta_status mixed_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    ta_status status = t->far_ops->range_open(t->far, offset, bytes, pass);
    return status == TA_OK ? ta_shm_range_open_as(t->near, offset, bytes, *pass) : status;
}

static ta_status mixed_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    ta_status status = ta_transport_shm.source_register(t->near, base, bytes);
    return status == TA_OK ? t->far_ops->source_register(t->far, base, bytes) : status;
}

static ta_status mixed_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    struct part part = part_of(t, peer);
    return part.ops->key_make(part.t, peer, out);
}

static ta_status mixed_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    struct part part = part_of(t, peer);
    return part.ops->connect(part.t, peer, key);
}

static void mixed_disconnect(struct ta_transport *t, unsigned peer) {
    struct part part = part_of(t, peer);
    part.ops->disconnect(part.t, peer);
}

static ta_status mixed_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                           unsigned n_segments) {
    struct part part = part_of(t, peer);
    return part.ops->put(part.t, peer, segments, n_segments);
}

/* News of a near peer is told first; the far one's waits in its make for the next call. */
static ta_status mixed_progress(struct ta_transport *t, int64_t now_ns) {
    ta_status status = ta_transport_shm.progress(t->near, now_ns);
    return status == TA_OK ? t->far_ops->progress(t->far, now_ns) : status;
}

static unsigned mixed_in_flight(const struct ta_transport *t, unsigned peer) {
    struct part part = part_of(t, peer);
    return part.ops->in_flight(part.t, peer);
}

static enum ta_peer_state mixed_peer_state(struct ta_transport *t, unsigned peer) {
    struct part part = part_of(t, peer);
    return part.ops->peer_state(part.t, peer);
}

static void mixed_describe(const struct ta_transport *t, char *out, size_t bytes) {
    char near[SAID_BYTES], far[SAID_BYTES];
    ta_transport_shm.describe(t->near, near, sizeof near);
    t->far_ops->describe(t->far, far, sizeof far);
    snprintf(out, bytes, "%s; between nodes %s: %s", near, t->far_ops->name, far);
}

const struct ta_transport_ops ta_transport_mixed = {
    .name = "mixed",
    .package = "libibverbs-dev or libfabric-dev",
    .probe = mixed_probe,
    .open = mixed_open,
    .close = mixed_close,
    .window_create = mixed_window_create,
    .window_adopt = mixed_window_adopt,
    .grant = mixed_grant,
    .range_open = mixed_range_open,
    .source_register = mixed_source_register,
    .key_make = mixed_key_make,
    .connect = mixed_connect,
    .disconnect = mixed_disconnect,
    .put = mixed_put,
    .progress = mixed_progress,
    .in_flight = mixed_in_flight,
    .peer_state = mixed_peer_state,
    .describe = mixed_describe,
};
