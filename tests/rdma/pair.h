/* pair: a sender and the owner of the window it puts into, whatever the make and wherever the owner lives: the one
 * driver behind the conformance suite. Rank 0 sends, rank 1 owns.
 */
#ifndef TA_TEST_PAIR_H
#define TA_TEST_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim.h"
#include "transport.h"

enum { PAIR_RUN = 4711 };

/* One line of the suite: a make, and where the owner of the window lives. */
struct pair_kind {
    const char *name;
    const struct ta_transport_ops *ops;
    bool has_peers; /* self has none */
    bool forked;    /* the owner is a process of its own */
    struct ta_sim_config fabric;
};

struct pair {
    const struct pair_kind *kind;
    const struct ta_transport_ops *ops;
    struct ta_sim_fabric *fabric;
    struct ta_transport *sender, *owner; /* owner: NULL when forked */
    struct ta_window window;             /* of the owner; empty when forked */
    pid_t child;
    int socket;
    int64_t now_ns;
};

extern const struct pair_kind pair_kinds[];
extern const size_t n_pair_kinds;

/* Opens both and the owner's window, connects the sender. Everything in it is checked with cmocka. */
void pair_open(struct pair *pair, const struct pair_kind *kind, size_t window_bytes);
void pair_close(struct pair *pair);

/* The owner's key for `peer`. */
void pair_key(struct pair *pair, unsigned peer, struct ta_key *out);
/* Puts, waiting while the answer is BUSY; then until nothing is in flight. */
void pair_put(struct pair *pair, const struct ta_put_segment *segments, unsigned n_segments);
void pair_settle(struct pair *pair);
/* What the owner sees in its window. */
void pair_read(struct pair *pair, size_t offset, size_t bytes, void *out);
/* The owner is gone without a word: a killed process, a killed rank, else a closed transport. */
void pair_kill_owner(struct pair *pair);
/* Progress until the sender's state of the owner is DOWN; returns how long that took, -1: more than `limit_ns`. */
int64_t pair_wait_down(struct pair *pair, int64_t limit_ns);

#endif
