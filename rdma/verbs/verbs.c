/* verbs: the transport's table: one-sided writes by libibverbs. */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "mem.h"

#define LISTEN_NS INT64_C(20000000) /* how often progress asks the kernel what the devices said */

static void verbs_close(struct ta_transport *t);

static ta_status verbs_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    struct ta_verbs_place places[TA_VERBS_MAX_RAILS];
    unsigned n;
    size_t used = 0;
    ta_status status = ta_verbs_choose(spec, NULL, places, &n);
    for (unsigned i = 0; i < n && status == TA_OK && used < bytes; i++) {
        char place[256];
        ta_verbs_place_text(&places[i], place, sizeof place);
        used += (size_t)snprintf(said + used, bytes - used, "%s%s", i > 0 ? "; " : "", place);
    }
    return status;
}

/* Whether windows in GPU memory are possible, where somebody asked. */
static ta_status check_gpu_direct(const struct ta_transport *t) {
    const struct ta_transport_spec *spec = t->config.spec;
    const char *wish = spec != NULL && spec->gpu_direct != NULL ? spec->gpu_direct : "auto";
    bool require = strcmp(wish, "require") == 0;
    if (t->config.gpu != NULL) return TA_OK; /* then it is tried: probe_far */
    for (unsigned i = 0; i < t->n_rails && strcmp(wish, "off") != 0; i++) {
        if (t->rail[i].dmabuf) continue;
        if (require)
            return ta_fail(TA_DEVICE,
                           "transport.gpu_direct: require, and RDMA device %s cannot register GPU memory (no "
                           "dma-buf support); 'auto' goes through host memory",
                           t->rail[i].place.device);
        ta_log_info(t->config.log,
                    "RDMA device %s cannot register GPU memory (no dma-buf support): windows of GPUs would go "
                    "through host memory",
                    t->rail[i].place.device);
    }
    return TA_OK;
}

static ta_status verbs_open(const struct ta_transport_config *config, struct ta_transport **out) {
    struct ta_verbs_place places[TA_VERBS_MAX_RAILS];
    unsigned n;
    *out = NULL;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "there is no rank %u among %u replicas", config->rank, config->n_ranks);
    ta_status status = ta_verbs_choose(config->spec, config->log, places, &n);
    struct ta_transport *t = NULL;
    if (status == TA_OK) status = TA_NEW(&t, 1, "transport verbs");
    if (status != TA_OK) return status;
    t->config = *config;
    status = TA_NEW(&t->path, config->n_ranks, "transport verbs: peers");
    for (unsigned i = 0; i < n && status == TA_OK; i++) {
        status = ta_verbs_rail_open(&t->rail[i], &places[i], config->n_ranks - 1);
        if (status == TA_OK) t->n_rails++;
    }
    if (status == TA_OK) status = check_gpu_direct(t);
    if (status == TA_OK) status = ta_verbs_hello_open(t);
    if (status == TA_OK) *out = t;
    else verbs_close(t);
    return status;
}

static size_t mapped_bytes(size_t window_bytes) { return window_bytes > 0 ? window_bytes : 1; }

static void verbs_close(struct ta_transport *t) {
    if (t == NULL) return;
    for (unsigned i = 0; t->path != NULL && i < t->config.n_ranks; i++) {
        if (t->path[i] != NULL) ta_verbs_path_clear(t, t->path[i], TA_PEER_DOWN);
        ta_mem_free(t->path[i]);
    }
    ta_verbs_sources_free(t, &t->openings);
    ta_verbs_sources_free(t, &t->sources);
    ta_verbs_hello_close(t);
    for (unsigned i = 0; i < t->n_rails; i++) ta_verbs_rail_close(&t->rail[i]);
    if (t->window.far.n > 0) t->config.gpu_ops->free(t->config.gpu, t->window.far_base);
    if (t->window_is_ours) munmap(t->window.base, mapped_bytes(t->window.bytes));
    ta_mem_free(t->path);
    ta_mem_free(t);
}

/* ---- the window ---- */

static ta_status has_window(const struct ta_transport *t) {
    if (t->window.base == NULL) return TA_OK;
    return ta_fail(TA_INVALID, "the window of rank %u was created already", t->config.rank);
}

static ta_status map_window(struct ta_transport *t, size_t bytes, const struct ta_window_far *far) {
    struct sysinfo machine = {.totalram = 0};
    ta_status status = has_window(t);
    if (status != TA_OK) return status;
    sysinfo(&machine);
    /* All of it will be present and locked: asking for more than there is would wake the kernel's killer. */
    size_t near = bytes - far->n * far->bytes;
    if (near > (uint64_t)machine.totalram * machine.mem_unit)
        return ta_fail(TA_NO_MEMORY,
                       "a window of %zu bytes does not fit in the %llu bytes of memory of this machine; fewer "
                       "replicas or a smaller model would",
                       near, (unsigned long long)machine.totalram * machine.mem_unit);
    size_t mapped = mapped_bytes(bytes);
    void *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return ta_fail_errno(TA_NO_MEMORY, "mapping a window of %zu bytes", bytes);
    if (far->n == 0) madvise(base, mapped, MADV_HUGEPAGE); /* advice */
    if (ta_far_populate(base, mapped, far) != 0 && errno != EINVAL) {
        status = ta_fail_errno(TA_NO_MEMORY, "no memory for a window of %zu bytes", near);
        munmap(base, mapped);
        return status;
    }
    t->window = (struct ta_window){.base = base, .bytes = bytes, .kind = TA_MEM_HOST};
    t->window_is_ours = true;
    return TA_OK;
}

static ta_status verbs_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    const struct ta_window_far none = {.n = 0};
    *out = (struct ta_window){0};
    ta_status status = map_window(t, bytes, &none);
    if (status == TA_OK) *out = t->window;
    return status;
}

static ta_status verbs_probe_far(struct ta_transport *t, char *said, size_t bytes) {
    if (t->config.gpu == NULL) return ta_fail(TA_INVALID, "rank %u has no GPU", t->config.rank);
    return ta_verbs_gpu_probe(t, said, bytes);
}

static ta_status verbs_window_create_far(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                                         struct ta_window *out) {
    char said[TA_VERBS_WHY_BYTES];
    void *far_base = NULL;
    *out = (struct ta_window){0};
    ta_status status = ta_far_create_check(&t->config, far, bytes);
    if (status == TA_OK) status = has_window(t);
    if (status == TA_OK) status = ta_verbs_gpu_probe(t, said, sizeof said);
    if (status == TA_OK)
        status = t->config.gpu_ops->alloc(t->config.gpu, far->n * ta_far_pitch(far), "windows", &far_base);
    if (status == TA_OK) status = map_window(t, bytes, far);
    if (status != TA_OK) {
        t->config.gpu_ops->free(t->config.gpu, far_base);
        return status;
    }
    t->window.far = *far;
    t->window.far_base = far_base;
    t->window.far_pitch = ta_far_pitch(far);
    *out = t->window;
    return TA_OK;
}

static ta_status verbs_fetch(struct ta_transport *t, size_t offset, size_t bytes, const uint32_t *rows,
                             size_t n_rows) {
    (void)offset, (void)bytes, (void)rows, (void)n_rows;
    return t->flushes ? t->config.gpu_ops->flush(t->config.gpu) : TA_OK;
}

static ta_status verbs_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    ta_status status = has_window(t);
    if (status == TA_OK && window->base == NULL)
        status = ta_fail(TA_INVALID, "rank %u adopts a window that is none", t->config.rank);
    if (status == TA_OK) t->window = *window;
    return status;
}

static ta_status check_peer(const struct ta_transport *t, unsigned peer) {
    if (peer < t->config.n_ranks && peer != t->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", t->config.rank, t->config.n_ranks, peer);
}

static ta_status need_path(struct ta_transport *t, unsigned peer) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    if (t->window.base == NULL)
        return ta_fail(TA_INVALID, "rank %u has no window yet for peer %u to write into", t->config.rank, peer);
    return t->path[peer] != NULL ? TA_OK : TA_NEW(&t->path[peer], 1, "a path to a peer");
}

static ta_status verbs_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    ta_status status = need_path(t, peer);
    if (status != TA_OK) return status;
    return ta_grants_add(&t->path[peer]->granted, peer, t->window.bytes, offset, bytes);
}

/* Registers what of an opened range is of one kind of memory; its key on the first rail, over which alone such segments
 * go. */
static ta_status open_part(struct ta_transport *t, const struct ta_verbs_right *part, uint32_t *rkey) {
    struct ta_verbs_memory memory = {part->far ? TA_MEM_GPU : t->window.kind, (void *)(uintptr_t)part->address,
                                     part->range.bytes};
    ta_status status =
        ta_verbs_source_add(t, &t->openings, &memory, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    if (status == TA_OK) *rkey = t->openings->mr[0]->rkey;
    return status;
}

static ta_status verbs_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    const struct ta_verbs_ground ground = ta_verbs_ground_of(t);
    const struct ta_grants range = {.n = 1, .range = {{offset, bytes}}};
    struct ta_verbs_right parts[TA_VERBS_RIGHTS];
    uint32_t rkey[2] = {0, 1}; /* of the CPU's memory, of the GPU's. A key of a device may be 0; a pass may not */
    unsigned n, n_of[2] = {0, 0};
    *pass = 0;
    ta_status status = ta_range_check(t->window.bytes, offset, bytes);
    if (status == TA_OK && (t->window.base == NULL || bytes == 0))
        status = ta_fail(TA_INVALID, "rank %u opens a range of nothing", t->config.rank);
    if (status != TA_OK) return status;
    bool fits = ta_verbs_rights_cut(&ground, &range, parts, &n);
    for (unsigned i = 0; i < n && fits; i++) fits = ++n_of[parts[i].far] == 1;
    if (!fits)
        return ta_fail(TA_INVALID, "rank %u opens a range that holds more than one piece of GPU memory, and what lies "
                       "on one side of it", t->config.rank);
    for (unsigned i = 0; i < n && status == TA_OK; i++) status = open_part(t, &parts[i], &rkey[parts[i].far]);
    if (status == TA_OK) *pass = (uint64_t)rkey[1] << 32 | rkey[0];
    if (status == TA_OK && *pass == 0) status = ta_fail(TA_DEVICE, "an RDMA device gives keys of 0 alone");
    return status;
}

static ta_status source_register(struct ta_transport *t, enum ta_mem_kind kind, const void *base, size_t bytes) {
    struct ta_verbs_memory memory = {kind, base, bytes};
    if (bytes == 0) return TA_OK;
    t->last_source = NULL; /* the newest registration of an address counts: memory may have moved */
    return ta_verbs_source_add(t, &t->sources, &memory, 0);
}

static ta_status verbs_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    return source_register(t, TA_MEM_HOST, base, bytes);
}

static ta_status verbs_source_register_gpu(struct ta_transport *t, const void *base, size_t bytes) {
    if (t->config.gpu == NULL) return ta_fail(TA_INVALID, "rank %u has no GPU", t->config.rank);
    return source_register(t, TA_MEM_GPU, base, bytes);
}

/* ---- paths ---- */

static ta_status connected_already(unsigned peer) {
    return ta_fail(TA_INVALID, "peer %u is connected already: disconnect it first", peer);
}

static ta_status verbs_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = need_path(t, peer);
    if (status == TA_OK && t->path[peer]->connected) status = connected_already(peer);
    struct ta_verbs_key key;
    if (status == TA_OK) status = ta_verbs_path_make_key(t, peer, &key);
    if (status != TA_OK) return status;
    struct ta_key_envelope envelope = {"verbs", t->config.run_id, t->config.rank, peer};
    return ta_key_seal(&envelope, &key, sizeof key, out);
}

static ta_status verbs_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    struct ta_verbs_key opened;
    ta_status status = check_peer(t, peer);
    if (status == TA_OK && t->path[peer] != NULL && t->path[peer]->connected) status = connected_already(peer);
    struct ta_key_envelope envelope = {"verbs", t->config.run_id, peer, t->config.rank};
    if (status == TA_OK) status = ta_key_open(&envelope, key, &opened, sizeof opened);
    if (status == TA_OK && (t->path[peer] == NULL || !t->path[peer]->made))
        status = ta_fail(TA_INVALID, "no key was made for peer %u yet: the path needs both", peer);
    return status == TA_OK ? ta_verbs_path_connect(t, peer, &opened) : status;
}

static void verbs_disconnect(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks || t->path[peer] == NULL || !t->path[peer]->connected) return;
    ta_verbs_path_clear(t, t->path[peer], TA_PEER_DOWN);
}

static enum ta_peer_state verbs_peer_state(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks || t->path[peer] == NULL) return TA_PEER_UNKNOWN;
    return t->path[peer]->state;
}

/* ---- puts ---- */

static ta_status verbs_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                           unsigned n_segments) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    struct ta_verbs_path *path = t->path[peer];
    if (path == NULL || !path->connected) return ta_fail(TA_INVALID, "peer %u is not connected", peer);
    if (path->state != TA_PEER_UP) return ta_fail(TA_PEER, "%s", path->why);
    struct ta_verbs_put checked, *put = &checked;
    bool room = path->ready && path->count < TA_VERBS_PUTS;
    if (room) put = &path->ring[(path->head + path->count) % TA_VERBS_PUTS];
    status = ta_verbs_put_check(t, peer, segments, n_segments, put);
    if (status != TA_OK) return status;
    if (!room) return TA_BUSY;
    path->count++;
    ta_verbs_post(t, peer);
    return TA_OK;
}

static ta_status report(struct ta_transport *t) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) {
        struct ta_verbs_path *path = t->path[i];
        if (path == NULL || path->state != TA_PEER_BROKEN || path->reported) continue;
        path->reported = true;
        t->unreported--;
        return ta_fail(TA_PEER, "%s", path->why);
    }
    return TA_OK;
}

static ta_status verbs_progress(struct ta_transport *t, int64_t now_ns) {
    for (unsigned i = 0; i < t->n_rails; i++) ta_verbs_complete(t, i);
    ta_verbs_hello_progress(t, now_ns);
    /* A clock that steps back only means: look now. */
    if (!t->listened || now_ns < t->listened_ns || now_ns - t->listened_ns >= LISTEN_NS) {
        t->listened = true;
        t->listened_ns = now_ns;
        for (unsigned i = 0; i < t->n_rails; i++) ta_verbs_rail_listen(t, i);
    }
    return t->unreported > 0 ? report(t) : TA_OK;
}

static unsigned verbs_in_flight(const struct ta_transport *t, unsigned peer) {
    return peer < t->config.n_ranks && t->path[peer] != NULL ? t->path[peer]->count : 0;
}

static void verbs_describe(const struct ta_transport *t, char *out, size_t bytes) {
    size_t used = 0;
    for (unsigned i = 0; i < t->n_rails && used < bytes; i++) {
        char place[256];
        const struct ta_verbs_rail *r = &t->rail[i];
        ta_verbs_place_text(&r->place, place, sizeof place);
        used += (size_t)snprintf(out + used, bytes - used, "%s, MTU %u, %u bytes inline, queues of %u, %s; ", place,
                                 128u << r->port.active_mtu, r->max_inline, r->depth,
                                 r->windows_2 ? "memory windows of type 2" : "a registration a range");
    }
    if (used < bytes)
        snprintf(out + used, bytes - used,
                 "%u queue pairs (%u a peer, 1 for hellos), %zu bytes a peer, %llu bytes registered",
                 t->n_paths * t->n_rails + 1, t->n_rails, sizeof(struct ta_verbs_path),
                 (unsigned long long)t->registered_bytes);
    used += used < bytes ? strlen(out + used) : 0;
    if (used < bytes && t->window.far.n > 0)
        snprintf(out + used, bytes - used, "; %zu bytes of the window in the memory of GPU %u, by %s%s",
                 t->window.far.n * t->window.far.bytes, t->config.gpu_ops->number(t->config.gpu), t->rail[0].gpu_by,
                 t->flushes ? ", flushed" : "");
}

const struct ta_transport_ops ta_transport_verbs = {
    .name = "verbs",
    .package = "libibverbs-dev",
    .probe = verbs_probe,
    .open = verbs_open,
    .close = verbs_close,
    .window_create = verbs_window_create,
    .window_create_far = verbs_window_create_far,
    .probe_far = verbs_probe_far,
    .fetch = verbs_fetch,
    .window_adopt = verbs_window_adopt,
    .grant = verbs_grant,
    .range_open = verbs_range_open,
    .source_register = verbs_source_register,
    .source_register_gpu = verbs_source_register_gpu,
    .key_make = verbs_key_make,
    .connect = verbs_connect,
    .disconnect = verbs_disconnect,
    .put = verbs_put,
    .progress = verbs_progress,
    .in_flight = verbs_in_flight,
    .peer_state = verbs_peer_state,
    .describe = verbs_describe,
};
