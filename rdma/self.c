/* self: one replica and nobody to talk to. Gives a window, so that the layers above need no special case. */
#include <stdint.h>
#include <stdio.h>

#include "grants.h"
#include "mem.h"
#include "transport.h"

enum { PAGE = 4096 };

struct ta_transport {
    struct ta_transport_config config;
    void *block; /* holds the window */
    size_t window_bytes;
    uint64_t openings;
};

static void self_close(struct ta_transport *t) {
    if (t == NULL) return;
    ta_mem_free(t->block);
    ta_mem_free(t);
}

static ta_status self_open(const struct ta_transport_config *config, struct ta_transport **out) {
    *out = NULL;
    if (config->n_ranks != 1 || config->rank != 0)
        return ta_fail(TA_CONFIG, "transport 'self' is for one replica (asked for: rank %u of %u); use shm",
                       config->rank, config->n_ranks);
    ta_status status = TA_NEW(out, 1, "transport self");
    if (status == TA_OK) (*out)->config = *config;
    return status;
}

static ta_status self_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    *out = (struct ta_window){0};
    if (t->block != NULL) return ta_fail(TA_INVALID, "the window of rank 0 was created already");
    if (bytes > SIZE_MAX - 2 * PAGE)
        return ta_fail(TA_NO_MEMORY, "a window of %zu bytes is more than a process can hold", bytes);
    ta_status status = ta_mem_alloc((bytes + PAGE - 1) / PAGE * PAGE + PAGE, 1, "window", &t->block);
    if (status != TA_OK) return status;
    out->base = (void *)(((uintptr_t)t->block + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    out->bytes = t->window_bytes = bytes;
    return TA_OK;
}

static ta_status self_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    (void)t, (void)base, (void)bytes;
    return TA_OK;
}

static ta_status no_peer(unsigned peer) { return ta_fail(TA_INVALID, "transport 'self' has no peer %u", peer); }

static ta_status self_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    (void)t;
    *out = (struct ta_key){0};
    return no_peer(peer);
}

static ta_status self_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    (void)t, (void)key;
    return no_peer(peer);
}

static void self_disconnect(struct ta_transport *t, unsigned peer) { (void)t, (void)peer; }

static ta_status self_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                          unsigned n_segments) {
    (void)t, (void)segments, (void)n_segments;
    return no_peer(peer);
}

static ta_status self_progress(struct ta_transport *t, int64_t now_ns) {
    (void)t, (void)now_ns;
    return TA_OK;
}

static unsigned self_in_flight(const struct ta_transport *t, unsigned peer) {
    (void)t, (void)peer;
    return 0;
}

static enum ta_peer_state self_peer_state(struct ta_transport *t, unsigned peer) {
    (void)t, (void)peer;
    return TA_PEER_UNKNOWN;
}

static ta_status self_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    (void)spec;
    snprintf(said, bytes, "one replica, nobody to talk to");
    return TA_OK;
}

static ta_status self_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    (void)t, (void)window;
    return ta_fail(TA_INVALID, "transport 'self' makes its window itself");
}

static ta_status self_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    (void)offset, (void)bytes;
    (void)t;
    return no_peer(peer);
}

static ta_status self_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    *pass = 0;
    ta_status status = ta_range_check(t->window_bytes, offset, bytes);
    if (status == TA_OK) *pass = ++t->openings; /* there is nobody to show it */
    return status;
}

static void self_describe(const struct ta_transport *t, char *out, size_t bytes) {
    (void)t;
    snprintf(out, bytes, "one replica, nobody to talk to");
}

const struct ta_transport_ops ta_transport_self = {
    .name = "self",
    .package = "",
    .probe = self_probe,
    .open = self_open,
    .close = self_close,
    .window_create = self_window_create,
    .window_adopt = self_window_adopt,
    .grant = self_grant,
    .range_open = self_range_open,
    .source_register = self_source_register,
    .key_make = self_key_make,
    .connect = self_connect,
    .disconnect = self_disconnect,
    .put = self_put,
    .progress = self_progress,
    .in_flight = self_in_flight,
    .peer_state = self_peer_state,
    .describe = self_describe,
};
