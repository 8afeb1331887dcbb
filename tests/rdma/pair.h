/* pair: a sender and the owner of the window it puts into, whatever the make and wherever the owner lives: the one
 * driver behind the conformance suite. Rank 0 sends, rank 1 owns; both have a window and connect to each other.
 *
 * The owner lives in this process, in a child, or on another machine: TENSAIR_TEST_OWNER=HOST:PORT names one where
 * `test_rdma_owner PORT` runs. TENSAIR_TEST_KINDS=NAME runs only the kinds whose name begins so. TENSAIR_TEST_DEVICE
 * and TENSAIR_TEST_OWNER_DEVICE name the devices of the two sides, for makes that have any.
 */
#ifndef TA_TEST_PAIR_H
#define TA_TEST_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim.h"
#include "transport.h"

enum { PAIR_RUN = 4711, PAIR_SENDER_WINDOW = 4096 };

/* One line of the suite: a make, and where the owner of the window lives. */
struct pair_kind {
    const char *name;
    const struct ta_transport_ops *ops;
    bool has_peers; /* self has none */
    bool forked;    /* the owner is a process of its own */
    bool remote;    /* .. on another machine (forked is true then, too) */
    bool device; /* a device is between them: set-up is slow, a death is seen by its silence, a key is for one path */
    uint32_t rails; /* 0: nothing said */
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

/* The kinds there are here and now. Says once, in one line each, which makes are left out and why. */
const struct pair_kind *pair_kinds(size_t *n);

/* Opens both, with the owner's window, unconnected. Everything in it is checked with cmocka. */
void pair_start(struct pair *pair, const struct pair_kind *kind, size_t window_bytes);
/* The sender's window where there is none yet; then keys both ways, and both connect. May be called again after
 * pair_part. */
void pair_meet(struct pair *pair);
/* Both disconnect. */
void pair_part(struct pair *pair);
/* pair_start and pair_meet. */
void pair_open(struct pair *pair, const struct pair_kind *kind, size_t window_bytes);
void pair_close(struct pair *pair);

/* What the sender of `pair` is opened with. */
struct ta_transport_config pair_sender_config(const struct pair *pair);

/* The owner grants the sender a range of its window, or opens one to all. */
void pair_grant(struct pair *pair, size_t offset, size_t bytes);
uint64_t pair_range_open(struct pair *pair, size_t offset, size_t bytes);
/* The owner's key for `peer`. */
void pair_key(struct pair *pair, unsigned peer, struct ta_key *out);
/* The owner connects to the sender with the key that it made. */
ta_status pair_owner_connect(struct pair *pair, const struct ta_key *key);
/* The sender will put from here. */
void pair_lend(struct pair *pair, const void *base, size_t bytes);
/* Time passes for both: really where it does, else as far as the next delivery. Returns what the sender's progress
 * said. */
ta_status pair_progress(struct pair *pair);
/* Puts, waiting while the answer is BUSY; then until nothing is in flight. */
void pair_put(struct pair *pair, const struct ta_put_segment *segments, unsigned n_segments);
void pair_settle(struct pair *pair);
/* What the owner sees in its window. */
void pair_read(struct pair *pair, size_t offset, size_t bytes, void *out);
/* The owner is gone without a word: a killed process, a killed rank, else a closed transport. */
void pair_kill_owner(struct pair *pair);
/* Progress, and a put of `segment` now and then where only that shows it (NULL: none), until the sender's state of the
 * owner is DOWN or BROKEN, told once; returns how long that took, -1: more than `limit_ns`. */
int64_t pair_wait_lost(struct pair *pair, const struct ta_put_segment *segment, int64_t limit_ns);

/* Answers one pair after another that connect to `port`, until one asks to quit: test_rdma_owner. Returns the exit
 * status. */
int pair_serve_port(const char *port);
int pair_quit_owner(const char *host_and_port);

#endif
