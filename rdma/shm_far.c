/* shm_far: copies from GPU to GPU, and the order of what goes with them. */
#include "shm_far.h"

#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "mem.h"

/* What a path had attached when it was given up. */
struct ta_shm_far_left {
    struct ta_shm_far_left *next;
    void *base;
    struct ta_shm_map map;
    uint64_t ticket;
};

/* All pairs, so that every replica of this machine comes to the same answer, whichever GPU is its own. */
static ta_status all_reach(const struct ta_gpu_ops *ops) {
    unsigned n;
    ta_status status = ops->count(&n);
    for (unsigned a = 0; a < n && status == TA_OK; a++)
        for (unsigned b = 0; b < n && status == TA_OK; b++) {
            bool reaches = true;
            if (a != b) status = ops->reaches(a, b, &reaches);
            if (status == TA_OK && !reaches)
                return ta_fail(TA_DEVICE,
                               "GPU %u cannot reach the memory of GPU %u (no NVLink or peer access between them): "
                               "windows go through host memory; if no replica uses one of them, "
                               "transport.gpu_direct: require does not ask for it",
                               a, b);
        }
    return status;
}

ta_status ta_shm_far_probe(const struct ta_transport_config *config, char *said, size_t bytes) {
    const struct ta_gpu_ops *ops = config->gpu_ops;
    const char *wish = config->spec != NULL && config->spec->gpu_direct != NULL ? config->spec->gpu_direct : "auto";
    struct ta_gpu_info info;
    if (config->gpu == NULL) return ta_fail(TA_INVALID, "rank %u has no GPU", config->rank);
    ta_status status = ops->describe(ops->number(config->gpu), &info);
    if (status == TA_OK && !info.ipc)
        status = ta_fail(TA_DEVICE,
                         "GPU %u (%s) cannot share its memory with other processes (CUDA IPC is off): replicas in "
                         "containers need the host's IPC and PID namespaces; without it windows go through host memory",
                         ops->number(config->gpu), info.name);
    if (status == TA_OK && strcmp(wish, "require") != 0) status = all_reach(ops);
    if (status == TA_OK) snprintf(said, bytes, "windows in the memory of GPUs by CUDA IPC and peer access");
    return status;
}

ta_status ta_shm_far_create(struct ta_shm_far *f, const struct ta_window_far *far) {
    size_t bytes = far->n * ta_far_pitch(far);
    ta_status status = f->ops->alloc(f->gpu, bytes, "windows", &f->base);
    if (status == TA_OK) status = f->ops->share(f->gpu, f->base, bytes, &f->handle);
    if (status == TA_OK) {
        f->far = *far;
        return TA_OK;
    }
    f->ops->free(f->gpu, f->base);
    f->base = NULL;
    return status;
}

static void let_go(struct ta_shm_far *f, void *base, struct ta_shm_map *map) {
    f->ops->detach(f->gpu, base);
    atomic_fetch_sub_explicit(&map->owner->attached, 1, memory_order_release);
    ta_shm_map_close(map);
}

void ta_shm_far_tidy(struct ta_shm_far *f) {
    for (struct ta_shm_far_left **at = &f->left; *at != NULL;) {
        struct ta_shm_far_left *left = *at;
        if (f->ops->reached(f->gpu, TA_GPU_PUT, left->ticket) == TA_AGAIN) {
            at = &left->next;
            continue;
        }
        *at = left->next;
        let_go(f, left->base, &left->map);
        ta_mem_free(left);
    }
}

void ta_shm_far_close(struct ta_shm_far *f, struct ta_shm_owner *owner) {
    if (f->left != NULL) f->ops->drain(f->gpu);
    ta_shm_far_tidy(f);
    bool attached = owner != NULL && atomic_load_explicit(&owner->attached, memory_order_acquire) != 0;
    if (f->base != NULL && !attached) f->ops->free(f->gpu, f->base);
    ta_far_sources_free(&f->sources);
    *f = (struct ta_shm_far){.ops = f->ops, .gpu = f->gpu};
}

ta_status ta_shm_far_connect(struct ta_shm_far *f, unsigned peer, const struct ta_shm_key *key,
                             struct ta_shm_far_path *out) {
    *out = (struct ta_shm_far_path){0};
    ta_status status = ta_far_key_check(peer, &f->far, &key->far, key->place.window_bytes);
    if (status != TA_OK || key->far.n == 0) return status;
    if (key->handle.size < key->far.n * ta_far_pitch(&key->far))
        return ta_fail(TA_PEER,
                       "the window key from peer %u makes no sense: %u pieces of %zu bytes in %llu of GPU memory", peer,
                       key->far.n, key->far.bytes, (unsigned long long)key->handle.size);
    status = TA_NEW(&out->ring, TA_SHM_FAR_PUTS, "puts of GPU memory");
    if (status == TA_OK) status = f->ops->attach(f->gpu, &key->handle, &out->base);
    if (status != TA_OK) {
        ta_mem_free(out->ring);
        *out = (struct ta_shm_far_path){0};
        return status;
    }
    out->far = key->far;
    return TA_OK;
}

void ta_shm_far_disconnect(struct ta_shm_far *f, struct ta_shm_far_path *path, struct ta_shm_map *map) {
    if (path->base == NULL) {
        ta_shm_map_close(map);
        return;
    }
    struct ta_shm_far_left *left = NULL;
    uint64_t ticket = 0;
    ta_status status = f->ops->mark(f->gpu, TA_GPU_PUT, &ticket);
    bool busy = status == TA_OK && f->ops->reached(f->gpu, TA_GPU_PUT, ticket) == TA_AGAIN;
    if (busy && TA_NEW(&left, 1, "a path given up") == TA_OK) {
        *left = (struct ta_shm_far_left){.next = f->left, .base = path->base, .map = *map, .ticket = ticket};
        f->left = left;
        *map = (struct ta_shm_map){.fd = -1};
    } else {
        if (busy) f->ops->wait(f->gpu, TA_GPU_PUT, ticket);
        let_go(f, path->base, map);
    }
    ta_mem_free(path->ring);
    *path = (struct ta_shm_far_path){0};
}

/* Where a segment goes in the peer's GPU memory; NULL: it goes to its window in the CPU's. */
static unsigned char *far_target(const struct ta_shm_far_path *path, const struct ta_put_segment *s) {
    const struct ta_range span = ta_put_segment_span(s);
    struct ta_far_place place = ta_far_find(&path->far, &span);
    if (place.side != TA_FAR_WHOLE) return NULL;
    unsigned char *at = (unsigned char *)path->base + place.piece * ta_far_pitch(&path->far) + place.within;
    return at - (span.offset - s->target_offset);
}

bool ta_shm_far_needs(const struct ta_shm_far *f, const struct ta_shm_far_path *path,
                      const struct ta_put_segment *segments, unsigned n_segments) {
    if (path->ring == NULL) return false;
    bool needs = path->count > 0;
    for (unsigned i = 0; i < n_segments && !needs; i++)
        needs = far_target(path, &segments[i]) != NULL || ta_far_sources_hold(&f->sources, segments[i].source);
    return needs;
}

/* Queues the copy of a segment that has GPU memory in it; AGAIN: it has none. */
static ta_status copy_far(struct ta_shm_far *f, const struct ta_shm_far_path *path, const struct ta_shm_map *map,
                          const struct ta_put_segment *s, bool first) {
    unsigned char *to = far_target(path, s);
    bool from_gpu = ta_far_sources_hold(&f->sources, s->source), directly = to != NULL && from_gpu;
    if ((to == NULL && !from_gpu) || ta_put_segment_span(s).bytes == 0) return TA_AGAIN;
    if (to == NULL) to = map->base + s->target_offset;
    ta_status status = first ? f->ops->follow(f->gpu, TA_GPU_PUT, TA_GPU_COMPUTE) : TA_OK;
    if (status == TA_OK && first) status = f->ops->follow(f->gpu, TA_GPU_PUT, TA_GPU_APPLY);
    if (status != TA_OK) return status;
    if (s->rows == NULL) return f->ops->copy(f->gpu, TA_GPU_PUT, to, s->source, s->bytes);
    const struct ta_far_rows rows = {(char *)to, s->source, s->bytes, s->rows, s->n_rows};
    return ta_far_copy_rows(f->ops, f->gpu, TA_GPU_PUT, &rows, directly);
}

/* Moves a put on as far as it goes. AGAIN: it waits for the GPU. */
static ta_status push_put(struct ta_shm_far *f, const struct ta_shm_far_path *path, const struct ta_shm_map *map,
                          struct ta_shm_far_put *put) {
    for (;;) {
        if (put->marked) {
            ta_status status = f->ops->reached(f->gpu, TA_GPU_PUT, put->ticket);
            if (status != TA_OK) return status;
            put->marked = put->copying = false;
        }
        bool over = put->at == put->n;
        ta_status status = over ? TA_AGAIN : copy_far(f, path, map, &put->segment[put->at], !put->copying);
        if (status == TA_OK) {
            put->copying = true;
            put->at++;
        } else if (status != TA_AGAIN) {
            return status;
        } else if (put->copying) {
            status = f->ops->mark(f->gpu, TA_GPU_PUT, &put->ticket);
            if (status != TA_OK) return status;
            put->marked = true;
        } else if (over) {
            return TA_OK;
        } else {
            ta_copy_put(map->base, &put->segment[put->at++], 1);
        }
    }
}

ta_status ta_shm_far_push(struct ta_shm_far *f, struct ta_shm_far_path *path, const struct ta_shm_map *map) {
    while (path->count > 0) {
        ta_status status = push_put(f, path, map, &path->ring[path->head]);
        if (status != TA_OK) return status == TA_AGAIN ? TA_OK : status;
        path->head = (path->head + 1) % TA_SHM_FAR_PUTS;
        path->count--;
    }
    return TA_OK;
}

ta_status ta_shm_far_put(struct ta_shm_far *f, struct ta_shm_far_path *path, const struct ta_shm_map *map,
                         const struct ta_put_segment *segments, unsigned n_segments) {
    if (path->count == TA_SHM_FAR_PUTS) return TA_BUSY;
    struct ta_shm_far_put *put = &path->ring[(path->head + path->count) % TA_SHM_FAR_PUTS];
    put->n = n_segments;
    put->at = 0;
    put->copying = put->marked = false;
    if (n_segments > 0) memcpy(put->segment, segments, n_segments * sizeof *segments);
    path->count++;
    return ta_shm_far_push(f, path, map);
}
