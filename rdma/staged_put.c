/* staged_put: puts of GPU memory on their way through pinned memory. */
#include <string.h>

#include "copy.h"
#include "mem.h"
#include "staged.h"

enum { ALIGN = 256, LINE = 64 };

static size_t rounded(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- blocks ---- */

/* Takes back what is no longer read or written. Errors: of the GPU. */
static ta_status take_back(struct ta_transport *t) {
    for (struct ta_staged_block *b = t->blocks; b != NULL; b = b->next) {
        if (b->use == TA_STAGED_LENT) {
            unsigned ended = t->path[b->peer].given - t->inner_ops->in_flight(t->inner, b->peer);
            if ((int)(ended - b->turn) >= 0) b->use = TA_STAGED_FREE;
        } else if (b->use == TA_STAGED_DROPPED) {
            ta_status status = t->gpu_ops->reached(t->gpu, TA_GPU_PUT, b->ticket);
            if (status == TA_AGAIN) continue;
            if (status != TA_OK) return status;
            b->use = TA_STAGED_FREE;
            t->marked--;
        }
    }
    return TA_OK;
}

static ta_status new_block(struct ta_transport *t, size_t bytes, struct ta_staged_block **out) {
    struct ta_staged_block *b;
    void *base = NULL;
    ta_status status = TA_NEW(&b, 1, "a block for puts of GPU memory");
    if (status == TA_OK) status = t->gpu_ops->host_alloc(t->gpu, bytes, "puts of GPU memory", &base);
    if (status == TA_OK) status = t->inner_ops->source_register(t->inner, base, bytes);
    if (status != TA_OK) {
        t->gpu_ops->host_free(t->gpu, base);
        ta_mem_free(b);
        return status;
    }
    *b = (struct ta_staged_block){.next = t->blocks, .base = base, .bytes = bytes};
    t->blocks = *out = b;
    return TA_OK;
}

/* One of the size of the largest source, so that it serves any put that comes. */
static ta_status find_block(struct ta_transport *t, size_t bytes, struct ta_staged_block **out) {
    ta_status status = take_back(t);
    for (struct ta_staged_block *b = t->blocks; b != NULL && status == TA_OK; b = b->next)
        if (b->use == TA_STAGED_FREE && b->bytes >= bytes) {
            *out = b;
            return TA_OK;
        }
    size_t usual = rounded(t->largest) + ALIGN * TA_PUT_MAX_SEGMENTS;
    return status == TA_OK ? new_block(t, bytes > usual ? bytes : usual, out) : status;
}

void ta_staged_blocks_free(struct ta_transport *t) {
    while (t->blocks != NULL) {
        struct ta_staged_block *b = t->blocks;
        t->blocks = b->next;
        t->gpu_ops->host_free(t->gpu, b->base);
        ta_mem_free(b);
    }
}

/* ---- puts ---- */

static bool of_gpu(const struct ta_transport *t, const struct ta_put_segment *s) {
    return ta_put_segment_span(s).bytes > 0 && ta_far_sources_hold(&t->sources, s->source);
}

static ta_status inner_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments, unsigned n) {
    ta_status status = t->inner_ops->put(t->inner, peer, segments, n);
    if (status == TA_OK) t->path[peer].given++;
    return status;
}

/* Queues the copy of one segment to `to`, and turns it into one that reads there. */
static ta_status stage(struct ta_transport *t, struct ta_put_segment *s, unsigned char *to) {
    const struct ta_range span = ta_put_segment_span(s);
    unsigned char *base = to - (span.offset - s->target_offset);
    ta_status status =
        s->rows == NULL
            ? t->gpu_ops->copy(t->gpu, TA_GPU_PUT, base, s->source, s->bytes)
            : t->gpu_ops->copy_rows(t->gpu, TA_GPU_PUT, base, s->source, s->bytes, s->rows, s->n_rows);
    s->source = base;
    return status;
}

/* Room for a segment, its place in a cache line kept: what was whole words stays so. */
static size_t place_of(const struct ta_put_segment *s, size_t at) {
    const struct ta_range span = ta_put_segment_span(s);
    return at + ((uintptr_t)s->source + (span.offset - s->target_offset)) % LINE;
}

static ta_status stage_all(struct ta_transport *t, struct ta_staged_put *put) {
    struct ta_staged_block *b = put->block;
    ta_status status = t->gpu_ops->follow(t->gpu, TA_GPU_PUT, TA_GPU_COMPUTE);
    if (status == TA_OK) status = t->gpu_ops->follow(t->gpu, TA_GPU_PUT, TA_GPU_APPLY);
    size_t at = 0;
    for (unsigned i = 0; i < put->n && status == TA_OK; i++) {
        struct ta_put_segment *s = &put->segment[i];
        if (!of_gpu(t, s)) continue;
        size_t place = place_of(s, at);
        at = rounded(place + ta_put_segment_span(s).bytes);
        status = stage(t, s, b->base + place);
    }
    if (status == TA_OK) status = t->gpu_ops->mark(t->gpu, TA_GPU_PUT, &b->ticket);
    if (status != TA_OK) return status;
    b->use = TA_STAGED_COPYING;
    t->marked++;
    return TA_OK;
}

ta_status ta_staged_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                        unsigned n_segments) {
    struct ta_staged_path *path = &t->path[peer];
    size_t bytes = 0;
    ta_status status = ta_put_check(peer, SIZE_MAX, segments, n_segments);
    if (status != TA_OK) return status;
    for (unsigned i = 0; i < n_segments; i++)
        if (of_gpu(t, &segments[i]))
            bytes = rounded(place_of(&segments[i], bytes) + ta_put_segment_span(&segments[i]).bytes);
    if (path->count == 0 && bytes == 0) return inner_put(t, peer, segments, n_segments);
    if (path->count == TA_STAGED_PUTS || t->marked >= TA_STAGED_MOST_TICKETS) return TA_BUSY;
    struct ta_staged_put *put = &path->ring[(path->head + path->count) % TA_STAGED_PUTS];
    put->n = n_segments;
    put->block = NULL;
    memcpy(put->segment, segments, n_segments * sizeof *segments);
    if (bytes > 0) status = find_block(t, bytes, &put->block);
    if (status == TA_OK && bytes > 0) status = stage_all(t, put);
    if (status == TA_OK) path->count++;
    return status;
}

static void pop(struct ta_staged_path *path) {
    path->head = (path->head + 1) % TA_STAGED_PUTS;
    path->count--;
}

void ta_staged_drop(struct ta_transport *t, unsigned peer) {
    struct ta_staged_path *path = &t->path[peer];
    for (; path->count > 0; pop(path)) {
        struct ta_staged_block *b = path->ring[path->head].block;
        if (b != NULL && b->use == TA_STAGED_COPYING) b->use = TA_STAGED_DROPPED;
    }
}

void ta_staged_given_up(struct ta_transport *t, unsigned peer) {
    for (struct ta_staged_block *b = t->blocks; b != NULL; b = b->next)
        if (b->use == TA_STAGED_LENT && b->peer == peer) b->use = TA_STAGED_FREE;
    t->path[peer].given = 0;
}

/* The inner make has found a put wrong that waited here. A pass is the peer's word: that one is left out. */
static ta_status refused(struct ta_transport *t, unsigned peer, const struct ta_staged_put *put, ta_status status) {
    bool shown = false;
    for (unsigned i = 0; i < put->n; i++) shown |= put->segment[i].pass != 0;
    if (!shown || status != TA_INVALID) return status;
    ta_log_warn(t->config.log, "a put to peer %u was left out: %s", peer, ta_why());
    return TA_OK;
}

static ta_status push_path(struct ta_transport *t, unsigned peer) {
    struct ta_staged_path *path = &t->path[peer];
    while (path->count > 0) {
        struct ta_staged_put *put = &path->ring[path->head];
        struct ta_staged_block *b = put->block;
        if (b != NULL && b->use == TA_STAGED_COPYING) {
            ta_status status = t->gpu_ops->reached(t->gpu, TA_GPU_PUT, b->ticket);
            if (status != TA_OK) return status == TA_AGAIN ? TA_OK : status;
            t->marked--;
            b->use = TA_STAGED_LENT; /* the copy is done: from here on it is given back by turns */
            b->peer = peer;
            b->turn = path->given + 1;
        }
        if (b != NULL) b->turn = path->given + 1;
        ta_status status = inner_put(t, peer, put->segment, put->n);
        if (status == TA_BUSY) return TA_OK;
        if (status != TA_OK && b != NULL) b->use = TA_STAGED_FREE;
        if (status == TA_PEER) { /* progress of the inner make tells of it, once */
            ta_staged_drop(t, peer);
            return TA_OK;
        }
        if (status != TA_OK) status = refused(t, peer, put, status);
        pop(path);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

ta_status ta_staged_push(struct ta_transport *t) {
    ta_status status = TA_OK;
    for (unsigned p = 0; p < t->config.n_ranks && status == TA_OK; p++)
        if (t->path[p].count > 0) status = push_path(t, p);
    return status;
}
