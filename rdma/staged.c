/* staged: the transport's table. */
#include "staged.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

enum { SAID_BYTES = 512 };

static ta_status staged_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    (void)spec, (void)said, (void)bytes;
    return ta_fail(TA_INVALID, "transport 'staged' stands before another one only");
}

static ta_status staged_open(const struct ta_transport_config *config, struct ta_transport **out) {
    return ta_staged_open(NULL, config, out);
}

static void staged_close(struct ta_transport *t) {
    if (t == NULL) return;
    /* What is queued reads and writes memory that is about to go. */
    t->gpu_ops->drain(t->gpu);
    if (t->pinned) t->gpu_ops->host_unregister(t->gpu, t->window.base);
    if (t->inner != NULL) t->inner_ops->close(t->inner);
    ta_staged_blocks_free(t);
    t->gpu_ops->free(t->gpu, t->window.far_base);
    ta_far_sources_free(&t->sources);
    ta_mem_free(t->path);
    ta_mem_free(t);
}

ta_status ta_staged_open(const struct ta_transport_ops *inner, const struct ta_transport_config *config,
                         struct ta_transport **out) {
    *out = NULL;
    if (inner == NULL || config->gpu == NULL || config->gpu_ops == NULL)
        return ta_fail(TA_INVALID, "transport 'staged' needs another one to stand before, and a GPU");
    struct ta_transport *t;
    ta_status status = TA_NEW(&t, 1, "transport staged");
    if (status != TA_OK) return status;
    t->config = *config;
    t->inner_ops = inner;
    t->gpu_ops = config->gpu_ops;
    t->gpu = config->gpu;
    struct ta_transport_config of_inner = *config;
    of_inner.gpu_ops = NULL;
    of_inner.gpu = NULL;
    status = TA_NEW(&t->path, config->n_ranks, "transport staged: peers");
    if (status == TA_OK) status = inner->open(&of_inner, &t->inner);
    if (status == TA_OK) *out = t;
    else staged_close(t);
    return status;
}

/* ---- the window ---- */

static ta_status staged_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    ta_status status = t->inner_ops->window_create(t->inner, bytes, out);
    if (status == TA_OK) t->window = *out;
    return status;
}

static ta_status staged_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    return t->inner_ops->window_adopt(t->inner, window);
}

static ta_status staged_probe_far(struct ta_transport *t, char *said, size_t bytes) {
    (void)t;
    snprintf(said, bytes, "windows of GPUs by copies through host memory");
    return TA_OK;
}

/* Pinned, copies from it are the GPU's alone; else each one holds up its caller. To its last page: a copy of what is
 * pinned by a part only is an error. */
static void pin_window(struct ta_transport *t) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (t->window.bytes + page - 1) / page * page;
    t->pinned = whole > 0 && t->gpu_ops->host_register(t->gpu, t->window.base, whole) == TA_OK;
    if (whole > 0 && !t->pinned)
        ta_log_warn(t->config.log, "the window is not pinned, and copies from it to the GPU are slow: %s", ta_why());
}

static ta_status staged_window_create_far(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                                          struct ta_window *out) {
    void *mirror = NULL;
    *out = (struct ta_window){0};
    ta_status status = ta_far_create_check(&t->config, far, bytes);
    if (status == TA_OK) status = t->gpu_ops->alloc(t->gpu, far->n * ta_far_pitch(far), "windows", &mirror);
    if (status == TA_OK) status = staged_window_create(t, bytes, out);
    if (status != TA_OK) {
        t->gpu_ops->free(t->gpu, mirror);
        return status;
    }
    t->window.far = *far;
    t->window.far_base = mirror;
    t->window.far_pitch = ta_far_pitch(far);
    pin_window(t);
    *out = t->window;
    return TA_OK;
}

static ta_status staged_fetch(struct ta_transport *t, size_t offset, size_t bytes, const uint32_t *rows,
                              size_t n_rows) {
    const struct ta_put_segment range = {.bytes = bytes, .target_offset = offset, .rows = rows, .n_rows = n_rows};
    const struct ta_range span = ta_put_segment_span(&range);
    struct ta_far_place place = ta_far_find(&t->window.far, &span);
    if (span.bytes == 0) return TA_OK;
    if (place.side != TA_FAR_WHOLE)
        return ta_fail(TA_INVALID, "%llu bytes at offset %llu of our window are not in GPU memory",
                       (unsigned long long)span.bytes, (unsigned long long)span.offset);
    char *to = (char *)t->window.far_base + place.piece * t->window.far_pitch + place.within - (span.offset - offset);
    const char *from = (const char *)t->window.base + offset;
    if (rows == NULL) return t->gpu_ops->copy(t->gpu, TA_GPU_APPLY, to, from, bytes);
    const struct ta_far_rows copy = {.to = to, .from = from, .bytes = bytes, .rows = rows, .n = n_rows};
    return ta_far_copy_rows(t->gpu_ops, t->gpu, TA_GPU_APPLY, &copy, t->pinned);
}

static ta_status staged_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    return t->inner_ops->grant(t->inner, peer, offset, bytes);
}

static ta_status staged_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    return t->inner_ops->range_open(t->inner, offset, bytes, pass);
}

static ta_status staged_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    return t->inner_ops->source_register(t->inner, base, bytes);
}

static ta_status staged_source_register_gpu(struct ta_transport *t, const void *base, size_t bytes) {
    ta_status status = ta_far_sources_add(&t->sources, base, bytes);
    if (status == TA_OK && bytes > t->largest) t->largest = bytes;
    return status;
}

/* ---- paths: the inner make's ---- */

static ta_status staged_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    return t->inner_ops->key_make(t->inner, peer, out);
}

static ta_status staged_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    ta_status status = t->inner_ops->connect(t->inner, peer, key);
    if (status == TA_OK) t->path[peer].connected = true;
    return status;
}

static void staged_disconnect(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks) return;
    ta_staged_drop(t, peer);
    t->path[peer].connected = false;
    t->inner_ops->disconnect(t->inner, peer);
    ta_staged_given_up(t, peer);
}

static ta_status staged_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                            unsigned n_segments) {
    if (peer >= t->config.n_ranks || !t->path[peer].connected) /* which it knows how to say */
        return t->inner_ops->put(t->inner, peer, segments, n_segments);
    return ta_staged_put(t, peer, segments, n_segments);
}

static ta_status staged_progress(struct ta_transport *t, int64_t now_ns) {
    ta_status status = ta_staged_push(t);
    return status == TA_OK ? t->inner_ops->progress(t->inner, now_ns) : status;
}

static unsigned staged_in_flight(const struct ta_transport *t, unsigned peer) {
    return peer < t->config.n_ranks ? t->path[peer].count + t->inner_ops->in_flight(t->inner, peer) : 0;
}

static enum ta_peer_state staged_peer_state(struct ta_transport *t, unsigned peer) {
    return t->inner_ops->peer_state(t->inner, peer);
}

static void staged_describe(const struct ta_transport *t, char *out, size_t bytes) {
    char inner[SAID_BYTES];
    size_t held = 0;
    for (const struct ta_staged_block *b = t->blocks; b != NULL; b = b->next) held += b->bytes;
    t->inner_ops->describe(t->inner, inner, sizeof inner);
    snprintf(out, bytes, "%s; memory of GPU %u by copies through host memory: a window %s, %zu bytes for puts", inner,
             t->gpu_ops->number(t->gpu), t->pinned ? "pinned" : "not pinned", held);
}

const struct ta_transport_ops ta_transport_staged = {
    .name = "staged",
    .package = "",
    .probe = staged_probe,
    .open = staged_open,
    .close = staged_close,
    .window_create = staged_window_create,
    .window_create_far = staged_window_create_far,
    .probe_far = staged_probe_far,
    .fetch = staged_fetch,
    .window_adopt = staged_window_adopt,
    .grant = staged_grant,
    .range_open = staged_range_open,
    .source_register = staged_source_register,
    .source_register_gpu = staged_source_register_gpu,
    .key_make = staged_key_make,
    .connect = staged_connect,
    .disconnect = staged_disconnect,
    .put = staged_put,
    .progress = staged_progress,
    .in_flight = staged_in_flight,
    .peer_state = staged_peer_state,
    .describe = staged_describe,
};
