/* tree_shape: who is joined to whom in a tree of replicas. Pure arithmetic: all of it follows from the ranks, and from
 * which of them are gone.
 *
 * Replicas sit on nodes of `per_node` ranks each (the last one may have fewer). All replicas of a node are joined
 * with each other; the first of a node, its leader, is joined with the leaders of up to `fan_out` nodes below it
 * and of the one above it. With one rank a node that is a plain tree: replica r is joined with (r - 1) / fan_out
 * and with r * fan_out + 1, ...
 *
 * Who is gone is left out: the next of its node leads; of a node where nobody is left, those below are joined to the
 * nearest one above where somebody is; where nobody is above them, to the lowest node of all, which is the root then.
 *
 * Replicas that are joined with each other form a *group*: a node, or two leaders. Between two replicas leads
 * exactly one way from group to group, and that is what makes contributions count once (tree.h).
 */
#ifndef TA_TREE_SHAPE_H
#define TA_TREE_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ta_tree_shape {
    unsigned n_ranks, per_node, fan_out; /* all at least 1 */
    const uint64_t *gone;                /* [ta_tree_gone_words] a bit a rank; NULL: nobody. One at least is left */
};

/* One of those a replica is joined with. */
struct ta_tree_edge {
    unsigned rank;
    unsigned group;      /* of those at this replica, from 0 */
    bool parent, child;  /* neither: of the same node */
};

static inline size_t ta_tree_gone_words(unsigned n_ranks) { return (n_ranks + 63) / 64; }
static inline bool ta_tree_is_gone(const uint64_t *gone, unsigned rank) {
    return (gone[rank / 64] >> rank % 64 & 1) != 0;
}

/* Of a replica that is there; so are all that are asked for below. */
/* The replica to which `rank` hands up; n_ranks for the root, the lowest. */
unsigned ta_tree_parent(const struct ta_tree_shape *shape, unsigned rank);
/* How many replicas `rank` is joined with: with one rank a node and nobody gone at most fan_out + 1. */
unsigned ta_tree_degree(const struct ta_tree_shape *shape, unsigned rank);
/* They themselves: edges[ta_tree_degree]. Returns the number of groups. */
unsigned ta_tree_edges(const struct ta_tree_shape *shape, unsigned rank, struct ta_tree_edge *edges);
/* Where `writer` is in that list of `rank`; the degree of `rank`: it is not. */
unsigned ta_tree_place(const struct ta_tree_shape *shape, unsigned rank, unsigned writer);
/* The neighbour of `rank` through which what `other` (another rank) makes comes in. */
unsigned ta_tree_via(const struct ta_tree_shape *shape, unsigned rank, unsigned other);

#endif
