/* path: lives, puts, and what the completion queue says of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include "clock.h"
#include "copy.h"
#include "mem.h"
#include "ofi.h"

enum { COMPLETIONS = 32, FIRST_TRIES = 4 };

/* How long a peer may be unreachable with nothing under way: at first (it may be busy and not progress yet), and after
 * the path has worked (its connection was lost, and connecting again is refused). */
#define FIRST_NS (10 * TA_NS_PER_S)
#define LOST_NS TA_NS_PER_S
/* How long a connection that failed is left to libfabric, which goes on using it until it has taken notice. */
#define REST_NS (TA_NS_PER_S / 40)

/* ---- lives ---- */

static bool is_waiting(const struct ta_ofi_life *life) {
    for (unsigned i = 0; i < life->count; i++)
        if (!life->puts[(life->first + i) % TA_OFI_DEPTH].posted) return true;
    return false;
}

static void life_end(struct ta_transport *t, struct ta_ofi_life *life) {
    if (is_waiting(life)) t->unposted--;
    life->given_up = true;
    life->count = 0;
}

void ta_ofi_lives_free(struct ta_transport *t, bool all) {
    for (struct ta_ofi_life **at = &t->lives; *at != NULL;) {
        struct ta_ofi_life *life = *at;
        if (!all && (life->ops_out > 0 || t->paths[life->peer].life == life)) {
            at = &life->next;
            continue;
        }
        *at = life->next;
        ta_mem_free(life->blocks);
        ta_mem_free(life);
    }
}

ta_status ta_ofi_path_open(struct ta_transport *t, unsigned peer, const struct ta_ofi_place *place) {
    struct ta_ofi_path *path = &t->paths[peer];
    struct ta_ofi_life *life;
    ta_ofi_lives_free(t, false);
    ta_status status = TA_NEW(&life, 1, "transport ofi: path");
    if (status != TA_OK) return status;
    if (t->block_bytes > 0) status = TA_NEW(&life->blocks, t->n_ops * t->block_bytes, "transport ofi: copies");
    int n = status == TA_OK ? fi_av_insert(t->av, place->address, 1, &life->address, 0, NULL) : 0;
    if (n != 1) {
        if (status == TA_OK) status = ta_ofi_fail(TA_IO, n < 0 ? -n : FI_EADDRNOTAVAIL, "the address of a peer");
        ta_mem_free(life->blocks);
        ta_mem_free(life);
        return status;
    }
    life->peer = peer;
    life->place = *place;
    life->n_free = t->n_ops;
    for (unsigned i = 0; i < life->n_free; i++) life->free_ops[i] = &life->ops[i];
    life->next = t->lives;
    t->lives = life;
    path->life = life;
    path->state = TA_PEER_UP;
    path->reported = false;
    return TA_OK;
}

void ta_ofi_path_close(struct ta_transport *t, unsigned peer) {
    struct ta_ofi_path *path = &t->paths[peer];
    struct ta_ofi_life *life = path->life;
    ta_ofi_grants_drop(t, peer); /* what the peer still sends by its old key is refused from here on */
    if (life == NULL) return;
    if (path->state == TA_PEER_BROKEN && !path->reported) t->unreported--;
    path->state = TA_PEER_DOWN;
    path->reported = true;
    path->life = NULL;
    if (!life->given_up) life_end(t, life);
    fi_av_remove(t->av, &life->address, 1, 0); /* what is under way may still arrive, until the peer gives up too */
}

static void path_break(struct ta_transport *t, struct ta_ofi_life *life, const char *format, const char *a,
                       const char *b) {
    struct ta_ofi_path *path = &t->paths[life->peer];
    if (life->given_up) return;
    life_end(t, life);
    path->state = TA_PEER_BROKEN;
    path->reported = false;
    snprintf(path->why, sizeof path->why, format, a, b);
    t->unreported++;
}

/* ---- completions ---- */

/* Both sides connect at about the same time, and one of the connections is closed for the other; or the one that is
 * left over from a former life fails. What was posted on it comes back. Nothing was delivered yet, and a put is state,
 * so all of it is posted again, from the first on, after a rest. */
static void start_over(struct ta_transport *t, struct ta_ofi_life *life) {
    if (life->ops_out > 0) return; /* the others come back too */
    if (is_waiting(life)) t->unposted--;
    for (unsigned i = 0; i < life->count; i++) {
        struct ta_ofi_put *put = &life->puts[(life->first + i) % TA_OFI_DEPTH];
        put->posted = false;
        put->cursor = (struct ta_ofi_cursor){.segment = 0};
    }
    if (is_waiting(life)) t->unposted++;
    life->starts_over = false;
    life->rests = true;
    life->rests_since_ns = 0;
}

static void put_back(struct ta_ofi_op *op) {
    struct ta_ofi_life *life = op->put->life;
    life->free_ops[life->n_free++] = op;
    life->ops_out--;
    op->put->ops_out--;
}

static void complete(struct ta_transport *t, struct ta_ofi_op *op) {
    struct ta_ofi_life *life = op->put->life;
    put_back(op);
    if (life->given_up) return;
    if (life->starts_over) {
        start_over(t, life);
        return;
    }
    while (life->count > 0 && life->puts[life->first].posted && life->puts[life->first].ops_out == 0) {
        life->first = (life->first + 1) % TA_OFI_DEPTH;
        life->count--;
        life->established = true;
    }
}

static const char *hint_of(int error) {
    switch (error) {
    case FI_EACCES:
    case FI_EPERM:
    case FI_ENOKEY:
    case FI_EKEYREJECTED: return "it no longer lets us write there: it gave up this path";
    case FI_ENOMEM:
    case FI_ENOBUFS: return "out of memory or of the device's queues";
    default: return "its process ended, it gave up this path, or the network between us broke";
    }
}

/* A failed write breaks its path; errors of what peers do to us have no context and are theirs to see. */
static void fail_one(struct ta_transport *t) {
    struct fi_cq_err_entry entry = {.err = 0};
    char said[96], text[64];
    if (fi_cq_readerr(t->cq, &entry, 0) != 1 || entry.op_context == NULL) return;
    struct ta_ofi_op *op = entry.op_context;
    struct ta_ofi_life *life = op->put->life;
    const struct ta_put_segment *s = &op->put->segments[0];
    put_back(op);
    if (!life->given_up && !life->established && (life->starts_over || life->tries < FIRST_TRIES)) {
        life->tries += !life->starts_over;
        life->starts_over = true;
        start_over(t, life);
        return;
    }
    const char *more = fi_cq_strerror(t->cq, entry.prov_errno, entry.err_data, text, sizeof text);
    snprintf(said, sizeof said, "a put to offset %zu failed: %s (%s)", s->target_offset, fi_strerror(entry.err),
             more != NULL ? more : "?");
    path_break(t, life, "%s; %s", said, hint_of(entry.err));
}

static ta_status reap(struct ta_transport *t) {
    struct fi_cq_entry entries[COMPLETIONS];
    for (;;) {
        ssize_t n = fi_cq_read(t->cq, entries, COMPLETIONS);
        if (n == -FI_EAGAIN || n == 0) return TA_OK;
        if (n == -FI_EAVAIL) {
            fail_one(t);
            continue;
        }
        if (n < 0) return ta_ofi_fail(TA_DEVICE, (int)-n, "reading the completion queue");
        for (ssize_t i = 0; i < n; i++)
            if (entries[i].op_context != NULL) complete(t, entries[i].op_context);
        if (n < COMPLETIONS) return TA_OK;
    }
}

/* ---- posting ---- */

/* What is sent by a processor's copy loop that promises no whole words is sent from a copy that is made word by word:
 * the source is live. */
static void copy_source(const struct ta_transport *t, struct ta_ofi_life *life, const struct ta_ofi_op *op,
                        struct ta_ofi_piece *piece) {
    unsigned char *block = life->blocks + (size_t)(op - life->ops) * t->block_bytes;
    size_t bytes = 0;
    for (unsigned i = 0; i < piece->n; bytes += piece->source[i++].iov_len)
        ta_copy_segment(block + bytes, piece->source[i].iov_base, piece->source[i].iov_len);
    piece->source[0] = (struct iovec){block, bytes};
    piece->n_sources = 1;
}

static ta_status post(struct ta_transport *t, struct ta_ofi_life *life, struct ta_ofi_put *put,
                      struct ta_ofi_piece *piece, int *error) {
    struct ta_ofi_op *op = life->free_ops[life->n_free - 1];
    piece->n_sources = piece->n;
    if (t->block_bytes > 0) copy_source(t, life, op, piece);
    /* One operation a put is confirmed: the last, and in order that means all. */
    bool confirm = piece->ends_put || !t->choice.in_order;
    struct fi_msg_rma message = {.msg_iov = piece->source,
                                 .desc = (void **)(uintptr_t)piece->desc,
                                 .iov_count = piece->n_sources,
                                 .addr = life->address,
                                 .rma_iov = piece->target,
                                 .rma_iov_count = piece->n,
                                 .context = &op->context};
    uint64_t flags = FI_COMPLETION;
    if (confirm) flags |= t->choice.says_delivered ? FI_DELIVERY_COMPLETE : FI_TRANSMIT_COMPLETE;
    op->put = put;
    *error = (int)-fi_writemsg(t->ep, &message, flags);
    if (*error == FI_EAGAIN) return TA_BUSY;
    if (*error != 0) return TA_PEER;
    life->n_free--;
    life->ops_out++;
    put->ops_out++;
    return TA_OK;
}

static ta_status post_put(struct ta_transport *t, struct ta_ofi_life *life, struct ta_ofi_put *put) {
    struct ta_ofi_piece piece;
    int error;
    for (;;) {
        struct ta_ofi_cursor next = put->cursor;
        if (life->n_free == 0) reap(t); /* which may end this life, too */
        if (life->n_free == 0 || life->given_up || life->starts_over || life->rests) return TA_BUSY;
        /* Without order among writes each segment, and the last word of a small one, waits for what was before it. */
        bool alone = !t->choice.in_order && (put->cursor.at == 0 || put->segments[put->cursor.segment].rows == NULL);
        if (alone && life->ops_out > 0) return TA_BUSY;
        if (!ta_ofi_piece_next(t, put, &next, &piece)) break;
        ta_status status = post(t, life, put, &piece, &error);
        if (status == TA_PEER)
            path_break(t, life, "a write could not be started: %s%s", fi_strerror(error), "");
        if (status != TA_OK) return status;
        put->cursor = next;
        if (piece.ends_put) break;
    }
    put->posted = true;
    return TA_OK;
}

static struct ta_ofi_put *next_to_post(struct ta_ofi_life *life) {
    for (unsigned i = 0; i < life->count; i++) {
        struct ta_ofi_put *put = &life->puts[(life->first + i) % TA_OFI_DEPTH];
        if (!put->posted) return put;
    }
    return NULL;
}

/* Posts what there is to post, in order. Called while is_waiting. */
static void post_more(struct ta_transport *t, struct ta_ofi_life *life) {
    ta_status status = life->starts_over || life->rests ? TA_BUSY : TA_OK;
    struct ta_ofi_put *put = NULL;
    while (status == TA_OK && (put = next_to_post(life)) != NULL) status = post_put(t, life, put);
    if (status == TA_OK && !life->given_up) t->unposted--;
}

/* Nothing can be posted and nothing is under way: libfabric is connecting, and does not say when it never will. */
static void watch(struct ta_transport *t, struct ta_ofi_life *life, int64_t now_ns) {
    if (life->given_up || life->ops_out > 0 || !is_waiting(life)) {
        life->stuck_ns = 0;
        return;
    }
    if (life->rests && life->rests_since_ns == 0) life->rests_since_ns = now_ns;
    if (life->rests && now_ns - life->rests_since_ns >= REST_NS) life->rests = false;
    if (life->stuck_ns == 0) life->stuck_ns = now_ns;
    if (now_ns - life->stuck_ns > (life->established ? LOST_NS : FIRST_NS))
        path_break(t, life, "%s%s", life->established ? "its connection was lost and cannot be made again"
                                                      : "it cannot be reached",
                   ": its process ended, or the network between us is broken");
}

ta_status ta_ofi_path_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                          unsigned n_segments) {
    struct ta_ofi_path *path = &t->paths[peer];
    struct ta_ofi_life *life = path->life;
    if (life == NULL) return ta_fail(TA_INVALID, "peer %u is not connected", peer);
    if (path->state != TA_PEER_UP) return ta_fail(TA_PEER, "the path to peer %u is broken: %s", peer, path->why);
    ta_status status = ta_put_check(peer, life->place.window_bytes, segments, n_segments);
    if (status != TA_OK) return status;
    if (life->count == TA_OFI_DEPTH) return TA_BUSY;
    struct ta_ofi_put *put = &life->puts[(life->first + life->count) % TA_OFI_DEPTH];
    *put = (struct ta_ofi_put){.life = life, .n_segments = n_segments};
    size_t bytes = 0;
    for (unsigned i = 0; i < n_segments; i++) {
        put->segments[i] = segments[i];
        bytes += ta_put_segment_bytes(&segments[i]);
        status = ta_ofi_target_find(t, life, i, &segments[i], &put->targets[i]);
        if (status != TA_OK) return status;
    }
    if (bytes == 0) return TA_OK; /* nothing to deliver: done */
    if (!is_waiting(life)) t->unposted++;
    life->count++;
    post_more(t, life);
    return path->state == TA_PEER_UP ? TA_OK : ta_fail(TA_PEER, "the path to peer %u is broken: %s", peer, path->why);
}

/* ---- progress ---- */

static ta_status report(struct ta_transport *t) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) {
        struct ta_ofi_path *path = &t->paths[i];
        if (path->state != TA_PEER_BROKEN || path->reported) continue;
        path->reported = true;
        t->unreported--;
        return ta_fail(TA_PEER, "the path to peer %u is broken: %s", i, path->why);
    }
    return TA_OK;
}

ta_status ta_ofi_progress(struct ta_transport *t, int64_t now_ns) {
    ta_status status = reap(t);
    if (status != TA_OK) return status;
    for (struct ta_ofi_life *life = t->lives; life != NULL && t->unposted > 0; life = life->next)
        if (!life->given_up && is_waiting(life)) {
            post_more(t, life);
            watch(t, life, now_ns);
        }
    return t->unreported > 0 ? report(t) : TA_OK;
}
