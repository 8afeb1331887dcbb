/* joins: spares of a world that come, are connected to everybody who is there, one way after the other, and ask to be
 * let in; and what must be true of the shares of the stream they take over.
 */
#ifndef TA_TEST_JOINS_H
#define TA_TEST_JOINS_H

#include "world.h"

struct join {
    int64_t at_ns;      /* it comes; INT64_MAX: never */
    bool came, inside;
    bool ways[WORLD_MAX_RANKS][2]; /* to the other one, from it: stands, or never will */
    unsigned asked, waited;        /* so often: in vain; though only a share was missing */
    unsigned share;                /* once inside: whose, */
    uint64_t start;                /* after so many batches */
};

struct joins {
    unsigned founders;
    struct join of[WORLD_MAX_RANKS];
    struct ta_rng rng;
};

void joins_plan(struct joins *j, const struct world *w, int64_t within_ns);
/* Whoever is to come comes; ways that are missing are made, now and then one. */
void joins_step(struct joins *j, struct world *w);
/* Those that have ways to all, a bit each. */
unsigned joins_present(const struct joins *j, const struct world *w);
/* The spare asks once. OK: it is in, and what it took over is right: checked. AGAIN. PEER: too late. END: it gives up:
 * there is no share for it, or it was not let in for ever so long. `round`: the last that is over. */
ta_status joins_enter(struct joins *j, struct world *w, unsigned rank, uint32_t *round);

#endif
