/* tree_shape: nodes, leaders, and who is above whom. */
#include "tree_shape.h"

static bool is_there(const struct ta_tree_shape *s, unsigned rank) {
    return rank < s->n_ranks && (s->gone == NULL || !ta_tree_is_gone(s->gone, rank));
}

static unsigned node_of(const struct ta_tree_shape *s, unsigned rank) { return rank / s->per_node; }

static unsigned n_nodes(const struct ta_tree_shape *s) { return (s->n_ranks - 1) / s->per_node + 1; }

/* n_ranks: nobody is left there. */
static unsigned leader_of(const struct ta_tree_shape *s, unsigned node) {
    for (unsigned i = 0, rank = node * s->per_node; i < s->per_node; i++)
        if (is_there(s, rank + i)) return rank + i;
    return s->n_ranks;
}

static unsigned root_node(const struct ta_tree_shape *s) {
    unsigned node = 0;
    while (node + 1 < n_nodes(s) && leader_of(s, node) == s->n_ranks) node++;
    return node;
}

/* The node above; itself: it is the root's. */
static unsigned above(const struct ta_tree_shape *s, unsigned node) {
    for (unsigned at = node; at > 0;) {
        at = (at - 1) / s->fan_out;
        if (leader_of(s, at) < s->n_ranks) return at;
    }
    return root_node(s);
}

/* The leaders below `node`, where somebody is: into `below`, unless NULL. */
static unsigned list_below(const struct ta_tree_shape *s, unsigned node, unsigned group, struct ta_tree_edge *below) {
    unsigned n = 0;
    uint64_t first = s->gone == NULL ? (uint64_t)node * s->fan_out + 1 : node + 1;
    uint64_t end = s->gone == NULL ? first + s->fan_out : n_nodes(s);
    for (uint64_t c = first; c < end && c < n_nodes(s); c++) {
        unsigned leader = leader_of(s, (unsigned)c);
        if (leader == s->n_ranks || above(s, (unsigned)c) != node) continue;
        if (below != NULL) below[n] = (struct ta_tree_edge){.rank = leader, .group = group + n, .child = true};
        n++;
    }
    return n;
}

unsigned ta_tree_parent(const struct ta_tree_shape *s, unsigned rank) {
    unsigned node = node_of(s, rank), leader = leader_of(s, node), up;
    if (rank != leader) return leader;
    up = above(s, node);
    return up == node ? s->n_ranks : leader_of(s, up);
}

/* Returns how many there are. */
static unsigned list(const struct ta_tree_shape *s, unsigned rank, struct ta_tree_edge *edges, unsigned *groups) {
    unsigned node = node_of(s, rank), leader = leader_of(s, node), up = above(s, node), n = 0, mates = 0;
    *groups = 0;
    if (rank == leader && up != node) {
        if (edges != NULL) edges[0] = (struct ta_tree_edge){.rank = leader_of(s, up), .parent = true};
        n = *groups = 1;
    }
    for (unsigned i = 0, mate = node * s->per_node; i < s->per_node; i++, mate++) {
        if (mate == rank || !is_there(s, mate)) continue;
        struct ta_tree_edge edge = {.rank = mate, .group = *groups, .parent = mate == leader, .child = rank == leader};
        if (edges != NULL) edges[n] = edge;
        n++;
        mates++;
    }
    if (mates > 0) ++*groups;
    if (rank != leader) return n;
    unsigned below = list_below(s, node, *groups, edges != NULL ? edges + n : NULL);
    *groups += below;
    return n + below;
}

unsigned ta_tree_degree(const struct ta_tree_shape *s, unsigned rank) {
    unsigned groups;
    return list(s, rank, NULL, &groups);
}

unsigned ta_tree_edges(const struct ta_tree_shape *s, unsigned rank, struct ta_tree_edge *edges) {
    unsigned groups;
    (void)list(s, rank, edges, &groups);
    return groups;
}

unsigned ta_tree_place(const struct ta_tree_shape *s, unsigned rank, unsigned writer) {
    unsigned node = node_of(s, rank), leader = leader_of(s, node), n = 0, up = above(s, node);
    if (rank == leader && up != node) {
        if (writer == leader_of(s, up)) return 0;
        n = 1;
    }
    for (unsigned i = 0, mate = node * s->per_node; i < s->per_node; i++, mate++) {
        if (mate == rank || !is_there(s, mate)) continue;
        if (mate == writer) return n;
        n++;
    }
    if (rank != leader) return n;
    for (unsigned c = node + 1; c < n_nodes(s); c++) {
        unsigned below = leader_of(s, c);
        if (below == s->n_ranks || above(s, c) != node) continue;
        if (below == writer) return n;
        n++;
    }
    return n;
}

unsigned ta_tree_via(const struct ta_tree_shape *s, unsigned rank, unsigned other) {
    unsigned node = node_of(s, rank), its = node_of(s, other), leader = leader_of(s, node);
    if (its == node) return other;
    if (rank != leader) return leader;
    while (above(s, its) != its && above(s, its) != node) its = above(s, its);
    return leader_of(s, above(s, its) == node && its != node ? its : above(s, node));
}
