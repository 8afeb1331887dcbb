/* grants: which ranges of a window a peer may write; for the makes of a transport (transport.h says what it means).
 *
 * Grants are to one peer and travel in its key; openings are to all, each by its pass, and stand where senders can look
 * at them (shm: the owner's page; sim: the owner itself). Both are plain bytes.
 *
 * Threads: openings have one writer, their owner, and any number of readers, in other processes too.
 */
#ifndef TA_GRANTS_H
#define TA_GRANTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "transport.h"

struct ta_range {
    uint64_t offset, bytes; /* into the window */
};

struct ta_grants {
    uint64_t n; /* 0: the whole window */
    struct ta_range range[TA_MAX_GRANTS];
};

enum { TA_MAX_OPENINGS = 128 };

struct ta_openings {
    _Atomic uint32_t n;
    struct ta_opening {
        struct ta_range range;
        uint64_t pass;
    } opening[TA_MAX_OPENINGS];
};

/* OK, or INVALID: the range does not lie in a window of that many bytes, both named. */
ta_status ta_range_check(size_t window_bytes, size_t offset, size_t bytes);

/* One range more for `peer`. Errors: INVALID (beyond the window, one too many). On failure nothing changes. */
ta_status ta_grants_add(struct ta_grants *g, unsigned peer, size_t window_bytes, size_t offset, size_t bytes);

/* Grants that came out of a key of `peer`. Errors: PEER: too many, or beyond its window. */
ta_status ta_grants_check(const struct ta_grants *g, unsigned peer, size_t window_bytes);

/* Opens a range to all; *pass is never 0 and differs for every run, rank and range. Errors: INVALID (beyond the
 * window), NO_MEMORY (TA_MAX_OPENINGS are open). */
ta_status ta_openings_add(struct ta_openings *o, const struct ta_transport_config *owner, size_t window_bytes,
                          size_t offset, size_t bytes, uint64_t *pass);
/* The same with a pass that somebody else chose, not 0. */
ta_status ta_openings_add_as(struct ta_openings *o, const struct ta_transport_config *owner, size_t window_bytes,
                             const struct ta_range *range, uint64_t pass);

/* After ta_put_check: whether each segment lies in one range that `peer` granted or, where it shows a pass, opened; its
 * rows all in the same one. `o`: the peer's, NULL: it has none. Errors: INVALID: which segment, where it lies and what
 * may be written. */
ta_status ta_grants_put_check(unsigned peer, const struct ta_grants *g, const struct ta_openings *o,
                              const struct ta_put_segment *segments, unsigned n_segments);

/* Where a segment's bytes lie, the rows it does not list included: of none, bytes is 0. */
struct ta_range ta_put_segment_span(const struct ta_put_segment *s);
/* Whether `inner` lies in `outer`; what is empty lies everywhere. */
bool ta_range_holds(const struct ta_range *outer, const struct ta_range *inner);

#endif
