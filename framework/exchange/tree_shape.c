/* tree_shape: nodes, leaders, and who is above whom. */
#include "tree_shape.h"

#include <stdint.h>

static unsigned node_of(const struct ta_tree_shape *s, unsigned rank) { return rank / s->per_node; }

static unsigned leader_of(const struct ta_tree_shape *s, unsigned node) { return node * s->per_node; }

static unsigned n_nodes(const struct ta_tree_shape *s) { return (s->n_ranks - 1) / s->per_node + 1; }

/* Ranks on a node. */
static unsigned node_size(const struct ta_tree_shape *s, unsigned node) {
    unsigned first = leader_of(s, node), rest = s->n_ranks - first;
    return rest < s->per_node ? rest : s->per_node;
}

static unsigned above(const struct ta_tree_shape *s, unsigned node) { return (node - 1) / s->fan_out; }

/* The nodes below `node` are first .. first + count - 1. */
static unsigned below(const struct ta_tree_shape *s, unsigned node, unsigned *count) {
    uint64_t first = (uint64_t)node * s->fan_out + 1, nodes = n_nodes(s);
    uint64_t rest = first < nodes ? nodes - first : 0;
    *count = (unsigned)(rest < s->fan_out ? rest : s->fan_out);
    return (unsigned)first;
}

static bool leads(const struct ta_tree_shape *s, unsigned rank) { return rank % s->per_node == 0; }

unsigned ta_tree_parent(const struct ta_tree_shape *s, unsigned rank) {
    unsigned node = node_of(s, rank);
    if (!leads(s, rank)) return leader_of(s, node);
    return node == 0 ? s->n_ranks : leader_of(s, above(s, node));
}

unsigned ta_tree_degree(const struct ta_tree_shape *s, unsigned rank) {
    unsigned node = node_of(s, rank), children = 0;
    if (leads(s, rank)) (void)below(s, node, &children);
    return node_size(s, node) - 1 + children + (leads(s, rank) && node > 0);
}

unsigned ta_tree_edges(const struct ta_tree_shape *s, unsigned rank, struct ta_tree_edge *edges) {
    unsigned node = node_of(s, rank), first = leader_of(s, node), n = 0, groups = 0, children;
    bool leader = leads(s, rank);
    if (leader && node > 0)
        edges[n++] = (struct ta_tree_edge){.rank = leader_of(s, above(s, node)), .group = groups++, .parent = true};
    for (unsigned r = first; r < first + node_size(s, node); r++)
        if (r != rank)
            edges[n++] = (struct ta_tree_edge){.rank = r, .group = groups, .parent = r == first, .child = leader};
    if (node_size(s, node) > 1) groups++;
    unsigned lowest = below(s, node, &children);
    for (unsigned c = 0; leader && c < children; c++)
        edges[n++] = (struct ta_tree_edge){.rank = leader_of(s, lowest + c), .group = groups++, .child = true};
    return groups;
}

unsigned ta_tree_place(const struct ta_tree_shape *s, unsigned rank, unsigned writer) {
    unsigned node = node_of(s, rank), its = node_of(s, writer), degree = ta_tree_degree(s, rank), children;
    unsigned up = leads(s, rank) && node > 0, mates = node_size(s, node) - 1;
    if (writer == rank || writer >= s->n_ranks) return degree;
    if (its == node) return up + writer % s->per_node - (writer > rank);
    if (!leads(s, rank) || !leads(s, writer)) return degree;
    if (up && its == above(s, node)) return 0;
    unsigned lowest = below(s, node, &children);
    return its >= lowest && its - lowest < children ? up + mates + its - lowest : degree;
}

unsigned ta_tree_via(const struct ta_tree_shape *s, unsigned rank, unsigned other) {
    unsigned node = node_of(s, rank), its = node_of(s, other);
    if (its == node) return other;
    if (!leads(s, rank)) return leader_of(s, node);
    while (its > 0 && above(s, its) != node) its = above(s, its);
    return its > 0 ? leader_of(s, its) : leader_of(s, above(s, node));
}
