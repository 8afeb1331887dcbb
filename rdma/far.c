/* far: arithmetic on pieces, and a list of ranges. */
#include "far.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

/* The first piece that ends behind `offset`. */
static size_t piece_from(const struct ta_window_far *far, uint64_t offset) {
    if (offset < far->first) return 0;
    size_t i = (offset - far->first) / far->stride;
    return (offset - far->first) % far->stride < far->bytes ? i : i + 1;
}

struct ta_far_place ta_far_find(const struct ta_window_far *far, const struct ta_range *range) {
    struct ta_far_place place = {.side = TA_FAR_NONE};
    if (far->n == 0 || far->bytes == 0 || range->bytes == 0) return place;
    if (ta_window_is_far(far, range->offset, range->bytes, &place.piece, &place.within)) {
        place.side = TA_FAR_WHOLE;
        return place;
    }
    size_t next = piece_from(far, range->offset);
    if (next < far->n && range->offset + range->bytes > far->first + next * far->stride) place.side = TA_FAR_PART;
    return place;
}

bool ta_far_fits(const struct ta_window_far *far, size_t window_bytes) {
    size_t last, end, all;
    if (far->n == 0) return true;
    if (far->bytes == 0 || far->bytes > far->stride || far->bytes > SIZE_MAX - 511) return false;
    if (__builtin_mul_overflow((size_t)far->n - 1, far->stride, &last) ||
        __builtin_add_overflow(last, far->first, &end) || __builtin_add_overflow(end, far->bytes, &end) ||
        __builtin_mul_overflow((size_t)far->n, ta_far_pitch(far), &all))
        return false;
    return end <= window_bytes;
}

int ta_far_populate(unsigned char *base, size_t bytes, const struct ta_window_far *far) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), at = 0;
    for (unsigned i = 0; far != NULL && i < far->n; i++) {
        size_t from = far->first + i * far->stride, end = (from + far->bytes) / page * page;
        from = (from + page - 1) / page * page;
        if (end <= from) continue;
        if (from > at && madvise(base + at, from - at, MADV_POPULATE_WRITE) != 0) return -1;
        at = end;
    }
    return at < bytes ? madvise(base + at, bytes - at, MADV_POPULATE_WRITE) : 0;
}

ta_status ta_far_put_check(unsigned peer, const struct ta_window_far *far, const struct ta_put_segment *segments,
                           unsigned n_segments) {
    for (unsigned i = 0; i < n_segments && far->n > 0; i++) {
        const struct ta_range span = ta_put_segment_span(&segments[i]);
        if (ta_far_find(far, &span).side == TA_FAR_PART)
            return ta_fail(TA_INVALID,
                           "segment %u of a put to peer %u: %" PRIu64 " bytes at offset %" PRIu64
                           " lie in GPU memory by a part only: pieces of %zu bytes lie there, from %zu on, every %zu",
                           i, peer, span.bytes, span.offset, far->bytes, far->first, far->stride);
    }
    return TA_OK;
}

ta_status ta_far_create_check(const struct ta_transport_config *config, const struct ta_window_far *far, size_t bytes) {
    if (config->gpu == NULL || config->gpu_ops == NULL)
        return ta_fail(TA_INVALID, "rank %u has no GPU for a window in its memory", config->rank);
    if (far->n > 0 && ta_far_fits(far, bytes)) return TA_OK;
    return ta_fail(TA_INVALID, "%u pieces of %zu bytes, from %zu on, every %zu, do not lie in a window of %zu bytes",
                   far->n, far->bytes, far->first, far->stride, bytes);
}

ta_status ta_far_key_check(unsigned peer, const struct ta_window_far *ours, const struct ta_window_far *theirs,
                           size_t window_bytes) {
    static const char *const where[] = {"in host memory", "in GPU memory"};
    if ((ours->n > 0) != (theirs->n > 0))
        return ta_fail(TA_CONFIG,
                       "the window of peer %u lies %s, ours %s: give device.type and transport.gpu_direct the same "
                       "value everywhere ('gpu_direct: off' fits all)",
                       peer, where[theirs->n > 0], where[ours->n > 0]);
    if (ta_far_fits(theirs, window_bytes)) return TA_OK;
    return ta_fail(TA_PEER,
                   "the window key from peer %u makes no sense: %u pieces of %zu bytes in GPU memory, every %zu", peer,
                   theirs->n, theirs->bytes, theirs->stride);
}

ta_status ta_far_copy_rows(const struct ta_gpu_ops *ops, struct ta_gpu *gpu, enum ta_gpu_stream stream,
                           const struct ta_far_rows *rows, bool directly) {
    if (directly) return ops->copy_rows(gpu, stream, rows->to, rows->from, rows->bytes, rows->rows, rows->n);
    ta_status status = TA_OK;
    for (size_t i = 0; i < rows->n && status == TA_OK; i++) {
        size_t at = rows->rows[i] * rows->bytes;
        status = ops->copy(gpu, stream, rows->to + at, rows->from + at, rows->bytes);
    }
    return status;
}

ta_status ta_far_sources_add(struct ta_far_sources *s, const void *base, size_t bytes) {
    void *grown = s->source;
    if (bytes == 0) return TA_OK;
    ta_status status = ta_mem_resize(&grown, (s->n + 1) * sizeof *s->source, "GPU memory that puts read from");
    if (status != TA_OK) return status;
    s->source = grown;
    s->source[s->n++] = (struct ta_far_source){base, bytes};
    return TA_OK;
}

void ta_far_sources_free(struct ta_far_sources *s) {
    ta_mem_free(s->source);
    *s = (struct ta_far_sources){0};
}

bool ta_far_sources_hold(const struct ta_far_sources *s, const void *address) {
    uintptr_t at = (uintptr_t)address;
    for (size_t i = 0; i < s->n; i++)
        if (at >= (uintptr_t)s->source[i].base && at - (uintptr_t)s->source[i].base < s->source[i].bytes) return true;
    return false;
}
