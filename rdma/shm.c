/* shm: replicas on one machine, a process (or thread) each. A put is a copy by the sender's CPU into the peer's memory.
 *
 * So source free and delivered are one moment: put returns when both are reached, and in_flight is 0. What has GPU
 * memory in it is copied by the GPU, meanwhile: shm_far.h. A peer's
 * death is seen through a pidfd, looked at every few milliseconds of the time that progress is given; a peer that
 * closed its transport in order is DOWN too.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "copy.h"
#include "grants.h"
#include "key.h"
#include "mem.h"
#include "mixed.h"
#include "shm_far.h"
#include "shm_map.h"
#include "transport.h"

#define LIVENESS_NS INT64_C(5000000) /* how often progress asks the kernel who is alive */

struct path {
    struct ta_grants granted; /* to the peer, for all its keys */
    struct ta_grants grants;  /* by the peer, as its key says */
    struct ta_shm_map map;
    struct ta_shm_far_path far;
    enum ta_peer_state state;
    bool reported; /* progress has said that it broke */
};

struct ta_transport {
    struct ta_transport_config config;
    struct ta_shm_map window;
    struct ta_shm_far far;
    int64_t looked_ns; /* at liveness, by progress */
    bool looked;
    unsigned unreported;  /* paths that broke and progress has not said so */
    struct path *paths;   /* [n_ranks] */
    struct pollfd *alive; /* [n_ranks] pidfd of a connected peer, else -1, which poll skips */
};

static void shm_disconnect(struct ta_transport *t, unsigned peer);

static ta_status shm_open(const struct ta_transport_config *config, struct ta_transport **out) {
    *out = NULL;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "there is no rank %u among %u replicas", config->rank, config->n_ranks);
    struct ta_transport *t;
    ta_status status = TA_NEW(&t, 1, "transport shm");
    if (status != TA_OK) return status;
    t->config = *config;
    t->window.fd = -1;
    t->far = (struct ta_shm_far){.ops = config->gpu_ops, .gpu = config->gpu};
    status = TA_NEW(&t->paths, config->n_ranks, "transport shm: peers");
    if (status != TA_OK) goto free_transport;
    status = TA_NEW(&t->alive, config->n_ranks, "transport shm: pidfds");
    if (status != TA_OK) goto free_paths;
    for (unsigned i = 0; i < config->n_ranks; i++) {
        t->paths[i].map.fd = -1;
        t->alive[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    *out = t;
    return TA_OK;
free_paths:
    ta_mem_free(t->paths);
free_transport:
    ta_mem_free(t);
    return status;
}

static void shm_close(struct ta_transport *t) {
    if (t == NULL) return;
    for (unsigned i = 0; i < t->config.n_ranks; i++) shm_disconnect(t, i);
    if (t->far.gpu != NULL) ta_shm_far_close(&t->far, t->window.owner);
    ta_shm_map_close(&t->window);
    ta_mem_free(t->alive);
    ta_mem_free(t->paths);
    ta_mem_free(t);
}

static ta_status create_window(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                               struct ta_window *out) {
    if (t->window.base != NULL) return ta_fail(TA_INVALID, "the window of rank %u was created already", t->config.rank);
    ta_status status = ta_shm_map_create(&t->window, bytes, far);
    if (status == TA_OK) *out = (struct ta_window){.base = t->window.base, .bytes = bytes, .kind = TA_MEM_HOST};
    return status;
}

static ta_status shm_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    *out = (struct ta_window){0};
    return create_window(t, bytes, NULL, out);
}

static ta_status shm_probe_far(struct ta_transport *t, char *said, size_t bytes) {
    return ta_shm_far_probe(&t->config, said, bytes);
}

static ta_status shm_window_create_far(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                                       struct ta_window *out) {
    char said[128];
    *out = (struct ta_window){0};
    ta_status status = ta_far_create_check(&t->config, far, bytes);
    if (status == TA_OK) status = ta_shm_far_probe(&t->config, said, sizeof said);
    if (status == TA_OK) status = create_window(t, bytes, far, out);
    if (status != TA_OK) return status;
    status = ta_shm_far_create(&t->far, far);
    if (status != TA_OK) {
        ta_shm_map_close(&t->window);
        *out = (struct ta_window){0};
        return status;
    }
    out->far = *far;
    out->far_base = t->far.base;
    out->far_pitch = ta_far_pitch(far);
    return TA_OK;
}

static ta_status shm_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    (void)t, (void)base, (void)bytes;
    return TA_OK;
}

static ta_status shm_source_register_gpu(struct ta_transport *t, const void *base, size_t bytes) {
    return ta_far_sources_add(&t->far.sources, base, bytes);
}

static ta_status check_peer(const struct ta_transport *t, unsigned peer) {
    if (peer < t->config.n_ranks && peer != t->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", t->config.rank, t->config.n_ranks, peer);
}

static ta_status shm_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    if (t->window.base == NULL)
        return ta_fail(TA_INVALID, "rank %u has no window yet to make a key for", t->config.rank);
    struct ta_shm_key key = {.grants = t->paths[peer].granted, .far = t->far.far, .handle = t->far.handle};
    status = ta_shm_map_place(&t->window, &key.place);
    if (status != TA_OK) return status;
    struct ta_key_envelope envelope = {"shm", t->config.run_id, t->config.rank, peer};
    return ta_key_seal(&envelope, &key, sizeof key, out);
}

/* pidfd_open(2) by number: glibc names it only from 2.36 on. */
static ta_status watch_process(unsigned peer, int pid, int *out) {
    *out = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*out >= 0) return TA_OK;
    ta_status gone = ta_fail_errno(TA_PEER, "peer %u: process %d", peer, pid);
    uint64_t unused;
    if (ta_shm_start_time(pid, &unused) != TA_OK) return gone;
    return ta_fail(TA_IO, "peer %u: this kernel cannot watch process %d (pidfd_open); Linux 5.3 or later is needed",
                   peer, pid);
}

static ta_status shm_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    struct path *path = &t->paths[peer];
    if (path->map.base != NULL) return ta_fail(TA_INVALID, "peer %u is connected already: disconnect it first", peer);
    struct ta_shm_key opened;
    struct ta_key_envelope envelope = {"shm", t->config.run_id, peer, t->config.rank};
    status = ta_key_open(&envelope, key, &opened, sizeof opened);
    if (status == TA_OK) status = ta_grants_check(&opened.grants, peer, opened.place.window_bytes);
    if (status == TA_OK) status = ta_far_key_check(peer, &t->far.far, &opened.far, opened.place.window_bytes);
    if (status != TA_OK) return status;
    int pidfd;
    status = watch_process(peer, opened.place.pid, &pidfd);
    if (status != TA_OK) return status;
    /* The map checks the start time after the pidfd was opened, so both are of the process that made the key. */
    struct ta_shm_map map;
    struct ta_shm_far_path far = {.base = NULL};
    status = ta_shm_map_open(&map, peer, &opened.place, &opened.far);
    if (status == TA_OK) status = ta_shm_far_connect(&t->far, peer, &opened, &far);
    if (status != TA_OK) {
        ta_shm_map_close(&map);
        close(pidfd);
        return status;
    }
    if (far.base != NULL) atomic_fetch_add_explicit(&map.owner->attached, 1, memory_order_relaxed);
    *path = (struct path){
        .granted = path->granted, .grants = opened.grants, .map = map, .far = far, .state = TA_PEER_UP};
    t->alive[peer].fd = pidfd;
    return TA_OK;
}

static void shm_disconnect(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks) return;
    struct path *path = &t->paths[peer];
    if (path->map.base == NULL) return;
    if (path->state == TA_PEER_DOWN && !path->reported) t->unreported--;
    path->state = TA_PEER_DOWN;
    path->reported = true;
    if (t->alive[peer].fd >= 0) close(t->alive[peer].fd);
    t->alive[peer].fd = -1;
    ta_shm_far_disconnect(&t->far, &path->far, &path->map);
}

static ta_status shm_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                         unsigned n_segments) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    struct path *path = &t->paths[peer];
    if (path->map.base == NULL) return ta_fail(TA_INVALID, "peer %u is not connected", peer);
    if (path->state != TA_PEER_UP) return ta_fail(TA_PEER, "peer %u is gone", peer);
    status = ta_put_check(peer, path->map.window_bytes, segments, n_segments);
    if (status == TA_OK)
        status = ta_grants_put_check(peer, &path->grants, &path->map.owner->openings, segments, n_segments);
    if (status == TA_OK) status = ta_far_put_check(peer, &path->far.far, segments, n_segments);
    if (status == TA_OK && ta_shm_far_needs(&t->far, &path->far, segments, n_segments))
        return ta_shm_far_put(&t->far, &path->far, &path->map, segments, n_segments);
    if (status == TA_OK) ta_copy_put(path->map.base, segments, n_segments);
    return status;
}

/* Takes in what poll or the owner's page says of a connected peer. */
static void look_at(struct ta_transport *t, unsigned peer) {
    struct path *path = &t->paths[peer];
    if (path->state != TA_PEER_UP) return;
    bool dead = t->alive[peer].revents != 0;
    bool closed = atomic_load_explicit(&path->map.owner->closed, memory_order_acquire) != 0;
    if (!dead && !closed) return;
    path->state = TA_PEER_DOWN;
    path->far.count = 0;
    t->unreported++;
    /* A descriptor that stays readable would be reported by every poll from now on. */
    close(t->alive[peer].fd);
    t->alive[peer] = (struct pollfd){.fd = -1, .events = POLLIN};
}

static ta_status report(struct ta_transport *t) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) {
        struct path *path = &t->paths[i];
        if (path->state != TA_PEER_DOWN || path->reported) continue;
        path->reported = true;
        t->unreported--;
        return ta_fail(TA_PEER, "peer %u is gone: its process ended or it closed its window", i);
    }
    return TA_OK;
}

static ta_status push_far(struct ta_transport *t) {
    ta_status status = TA_OK;
    if (t->far.left != NULL) ta_shm_far_tidy(&t->far);
    for (unsigned i = 0; i < t->config.n_ranks && status == TA_OK; i++)
        if (t->paths[i].far.count > 0) status = ta_shm_far_push(&t->far, &t->paths[i].far, &t->paths[i].map);
    return status;
}

static ta_status shm_progress(struct ta_transport *t, int64_t now_ns) {
    /* A clock that steps back (a test, a new driver) only means: look now. */
    if (!t->looked || now_ns < t->looked_ns || now_ns - t->looked_ns >= LIVENESS_NS) {
        t->looked = true;
        t->looked_ns = now_ns;
        if (poll(t->alive, t->config.n_ranks, 0) >= 0)
            for (unsigned i = 0; i < t->config.n_ranks; i++) look_at(t, i);
    }
    ta_status status = t->far.gpu != NULL ? push_far(t) : TA_OK;
    return status == TA_OK && t->unreported > 0 ? report(t) : status;
}

static unsigned shm_in_flight(const struct ta_transport *t, unsigned peer) {
    return peer < t->config.n_ranks ? t->paths[peer].far.count : 0;
}

static enum ta_peer_state shm_peer_state(struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks) return TA_PEER_UNKNOWN;
    if (t->paths[peer].state == TA_PEER_UP && poll(&t->alive[peer], 1, 0) >= 0) look_at(t, peer);
    return t->paths[peer].state;
}

static ta_status shm_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    (void)spec;
    snprintf(said, bytes, "memory shared by the processes of this machine");
    return TA_OK;
}

static ta_status shm_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    (void)t, (void)window;
    return ta_fail(TA_INVALID, "transport 'shm' makes its window itself");
}

static ta_status shm_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    return ta_grants_add(&t->paths[peer].granted, peer, t->window.window_bytes, offset, bytes);
}

static ta_status shm_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    *pass = 0;
    if (t->window.base == NULL) return ta_fail(TA_INVALID, "rank %u has no window yet to open", t->config.rank);
    return ta_openings_add(&t->window.owner->openings, &t->config, t->window.window_bytes, offset, bytes, pass);
}

ta_status ta_shm_range_open_as(struct ta_transport *t, size_t offset, size_t bytes, uint64_t pass) {
    const struct ta_range range = {offset, bytes};
    if (t->window.base == NULL) return ta_fail(TA_INVALID, "rank %u has no window yet to open", t->config.rank);
    return ta_openings_add_as(&t->window.owner->openings, &t->config, t->window.window_bytes, &range, pass);
}

static void shm_describe(const struct ta_transport *t, char *out, size_t bytes) {
    unsigned up = 0;
    for (unsigned i = 0; i < t->config.n_ranks; i++) up += t->paths[i].state == TA_PEER_UP;
    int n = snprintf(out, bytes, "memory shared by the processes of this machine: a window of %zu bytes, %u paths",
                     t->window.window_bytes, up);
    if (t->far.far.n > 0 && n > 0 && (size_t)n < bytes)
        snprintf(out + n, bytes - (size_t)n, "; %zu bytes of the window in the memory of GPU %u, by CUDA IPC",
                 t->far.far.n * t->far.far.bytes, t->far.ops->number(t->far.gpu));
}

const struct ta_transport_ops ta_transport_shm = {
    .name = "shm",
    .package = "",
    .probe = shm_probe,
    .open = shm_open,
    .close = shm_close,
    .window_create = shm_window_create,
    .window_create_far = shm_window_create_far,
    .probe_far = shm_probe_far,
    .window_adopt = shm_window_adopt,
    .grant = shm_grant,
    .range_open = shm_range_open,
    .source_register = shm_source_register,
    .source_register_gpu = shm_source_register_gpu,
    .key_make = shm_key_make,
    .connect = shm_connect,
    .disconnect = shm_disconnect,
    .put = shm_put,
    .progress = shm_progress,
    .in_flight = shm_in_flight,
    .peer_state = shm_peer_state,
    .describe = shm_describe,
};
