/* grants: ranges, and whether a put keeps to them. */
#include "grants.h"

#include <inttypes.h>
#include <stdio.h>

ta_status ta_range_check(size_t window_bytes, size_t offset, size_t bytes) {
    if (bytes <= window_bytes && offset <= window_bytes - bytes) return TA_OK;
    return ta_fail(TA_INVALID, "%zu bytes at offset %zu end beyond our window of %zu bytes", bytes, offset,
                   window_bytes);
}

ta_status ta_grants_add(struct ta_grants *g, unsigned peer, size_t window_bytes, size_t offset, size_t bytes) {
    ta_status status = ta_range_check(window_bytes, offset, bytes);
    if (status != TA_OK) return status;
    if (g->n == TA_MAX_GRANTS)
        return ta_fail(TA_INVALID,
                       "peer %u was granted %d ranges already: there is no room for %zu bytes at offset %zu",
                       peer, TA_MAX_GRANTS, bytes, offset);
    g->range[g->n++] = (struct ta_range){.offset = offset, .bytes = bytes};
    return TA_OK;
}

ta_status ta_grants_check(const struct ta_grants *g, unsigned peer, size_t window_bytes) {
    if (g->n > TA_MAX_GRANTS)
        return ta_fail(TA_PEER, "the window key from peer %u makes no sense: %" PRIu64 " ranges, at most %d fit", peer,
                       g->n, TA_MAX_GRANTS);
    const struct ta_range window = {.bytes = window_bytes};
    for (uint64_t i = 0; i < g->n; i++)
        if (g->range[i].offset > window_bytes || !ta_range_holds(&window, &g->range[i]))
            return ta_fail(TA_PEER,
                           "the window key from peer %u makes no sense: it grants %" PRIu64 " bytes at offset %" PRIu64
                           " of a window of %zu",
                           peer, g->range[i].bytes, g->range[i].offset, window_bytes);
    return TA_OK;
}

ta_status ta_openings_add_as(struct ta_openings *o, const struct ta_transport_config *owner, size_t window_bytes,
                             const struct ta_range *range, uint64_t pass) {
    ta_status status = ta_range_check(window_bytes, range->offset, range->bytes);
    if (status != TA_OK) return status;
    uint32_t n = atomic_load_explicit(&o->n, memory_order_relaxed);
    if (n >= TA_MAX_OPENINGS)
        return ta_fail(TA_NO_MEMORY, "rank %u has opened %u ranges of its window to all: there is room for no more",
                       owner->rank, n);
    o->opening[n] = (struct ta_opening){.range = *range, .pass = pass};
    atomic_store_explicit(&o->n, n + 1, memory_order_release); /* senders look up to here */
    return TA_OK;
}

ta_status ta_openings_add(struct ta_openings *o, const struct ta_transport_config *owner, size_t window_bytes,
                          size_t offset, size_t bytes, uint64_t *pass) {
    const struct ta_range range = {offset, bytes};
    uint32_t n = atomic_load_explicit(&o->n, memory_order_relaxed);
    uint64_t new = owner->run_id << 32 | (uint64_t)(owner->rank & 0xffff) << 16 | (n + 1);
    *pass = 0;
    ta_status status = ta_openings_add_as(o, owner, window_bytes, &range, new);
    if (status == TA_OK) *pass = new;
    return status;
}

bool ta_range_holds(const struct ta_range *outer, const struct ta_range *inner) {
    if (inner->bytes == 0) return true;
    return inner->offset >= outer->offset && inner->bytes <= outer->bytes &&
           inner->offset - outer->offset <= outer->bytes - inner->bytes;
}

struct ta_range ta_put_segment_span(const struct ta_put_segment *s) {
    struct ta_range span = {.offset = s->target_offset, .bytes = s->bytes};
    if (s->rows == NULL || s->bytes == 0) return span;
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t i = 0; i < s->n_rows; i++) { /* without a branch: in vectors */
        least = s->rows[i] < least ? s->rows[i] : least;
        most = s->rows[i] > most ? s->rows[i] : most;
    }
    if (s->n_rows == 0) return (struct ta_range){.offset = s->target_offset};
    span.offset += (uint64_t)least * s->bytes;
    span.bytes = ((uint64_t)(most - least) + 1) * s->bytes;
    return span;
}

static bool granted(const struct ta_grants *g, const struct ta_range *span) {
    for (uint64_t i = 0; i < g->n; i++)
        if (ta_range_holds(&g->range[i], span)) return true;
    return g->n == 0;
}

static const struct ta_opening *opening_of(const struct ta_openings *o, uint64_t pass) {
    uint32_t n = o != NULL ? atomic_load_explicit(&o->n, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < n && i < TA_MAX_OPENINGS; i++)
        if (o->opening[i].pass == pass) return &o->opening[i];
    return NULL;
}

static ta_status not_granted(unsigned peer, unsigned segment, const struct ta_grants *g, const struct ta_range *span) {
    char ranges[TA_MAX_GRANTS * 56] = "";
    for (uint64_t i = 0, at = 0; i < g->n && at < sizeof ranges; i++)
        at += (uint64_t)snprintf(ranges + at, sizeof ranges - at, "%s[%" PRIu64 ", %" PRIu64 ")", i > 0 ? " and " : "",
                                 g->range[i].offset, g->range[i].offset + g->range[i].bytes);
    return ta_fail(TA_INVALID,
                   "segment %u of a put to peer %u: %" PRIu64 " bytes at offset %" PRIu64
                   " are not in what it granted: %s",
                   segment, peer, span->bytes, span->offset, ranges);
}

ta_status ta_grants_put_check(unsigned peer, const struct ta_grants *g, const struct ta_openings *o,
                              const struct ta_put_segment *segments, unsigned n_segments) {
    for (unsigned i = 0; i < n_segments; i++) {
        const struct ta_put_segment *s = &segments[i];
        if (s->pass == 0 && g->n == 0) continue;
        const struct ta_range span = ta_put_segment_span(s);
        if (s->pass == 0) {
            if (!granted(g, &span)) return not_granted(peer, i, g, &span);
            continue;
        }
        const struct ta_opening *opening = opening_of(o, s->pass);
        if (opening == NULL)
            return ta_fail(TA_INVALID,
                           "segment %u of a put to peer %u: it opened no range with the pass %016" PRIx64, i, peer,
                           s->pass);
        if (!ta_range_holds(&opening->range, &span))
            return ta_fail(TA_INVALID,
                           "segment %u of a put to peer %u: %" PRIu64 " bytes at offset %" PRIu64
                           " are not in the range that it opened: [%" PRIu64 ", %" PRIu64 ")",
                           i, peer, span.bytes, span.offset, opening->range.offset,
                           opening->range.offset + opening->range.bytes);
    }
    return TA_OK;
}
