/* rights: what a peer may write, as registrations of one kind of memory each: ranges it was granted, cut where far
 * pieces of the window begin and end. Both sides cut alike, from what the key says.
 */
#ifndef TA_VERBS_RIGHTS_H
#define TA_VERBS_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "far.h"
#include "grants.h"

/* A control, a body of GPU memory and what lies behind it, and one to spare. */
enum { TA_VERBS_RIGHTS = 4 };

struct ta_verbs_right {
    struct ta_range range; /* of the window */
    uint64_t address;      /* in the memory of its owner */
    bool far;
};

/* Where the parts of a window lie in memory. */
struct ta_verbs_ground {
    uint64_t base, far_base;
    size_t bytes;
    struct ta_window_far far;
};

/* `grants` of none: the whole window. False: more than TA_VERBS_RIGHTS. */
bool ta_verbs_rights_cut(const struct ta_verbs_ground *ground, const struct ta_grants *grants,
                         struct ta_verbs_right out[TA_VERBS_RIGHTS], unsigned *n);

#endif
