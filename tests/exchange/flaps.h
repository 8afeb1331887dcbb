/* flaps: paths between replicas of a world that break, again and again, and are made anew, or not, step by step.
 *
 * Both sides of a pair do the same, each in its own time, as replicas do that find each other by what they publish: who
 * sees that its path broke, or that the other side has made a key for a new one, gives up the old path and makes a key
 * (part); who has the other's key connects (rejoin). Anything may happen in between: another break, a death.
 */
#ifndef TA_TEST_FLAPS_H
#define TA_TEST_FLAPS_H

#include "world.h"

enum flap_kind {
    FLAPS_NONE,
    FLAPS_SHORT, /* restored at once: long before anybody's patience ends */
    FLAPS_LONG,  /* restored after up to a millisecond, or never */
    FLAP_KINDS
};

struct flap_pair {
    unsigned rank[2];
    int64_t restore_ns; /* not before; INT64_MAX: never */
    bool broken, parted[2], joined[2];
    struct ta_key key[2];
};

struct flaps {
    enum flap_kind kind;
    int64_t next_ns;
    unsigned left; /* breaks to come */
    struct flap_pair pair[WORLD_MAX_RANKS * (WORLD_MAX_RANKS - 1) / 2];
    unsigned n_pairs;
    struct ta_rng rng;
    uint64_t breaks, restored; /* done so far */
};

void flaps_plan(struct flaps *f, const struct world *w, enum flap_kind kind);
/* What is to happen by now. `awake`: a bit each; nobody else can do anything about its paths. `present`: those
 * that have paths to all. */
void flaps_step(struct flaps *f, struct world *w, unsigned awake, unsigned present);

#endif
