/* sim: a fabric of replicas in one thread, in virtual time, with delays and faults from a seed.
 *
 * The same (seed, calls) gives the same deliveries, bit for bit. Every put is cut into pieces of a few words (at most
 * 64 pieces a segment) that reach the target at random times between its start and its delivery, in random order within
 * a segment, reading the source *at the time each piece travels*: what a torn, live put looks like. Rows of a segment
 * are cut as if they lay one behind the other: a piece is words of one row, or, of many rows, of several. Segments and
 * puts to one peer keep their order; small segments keep their last word last (transport.h).
 *
 * Time: the fabric is as late as the latest now_ns that anyone's progress was given, and a put starts then. progress of
 * any replica delivers what is due everywhere. A transport that is closed is, to its peers, a replica that died one
 * latency later; its rank may be opened again, and needs new keys.
 *
 * With `whole` a put arrives in one piece at its delivery, read then: for long simulations, where no test looks at what
 * is half there.
 *
 * What a replica granted, or opened to all, is checked by put, against what the key and the peer's openings say at that
 * time; puts that this refuses are counted, so that a test may ask for none.
 */
#ifndef TA_SIM_H
#define TA_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* What a driver may want to hear of; members may be NULL. `delivered`: a put has arrived, in progress or run_to.
 * `sending`: a put was started that is on the wire for so long; it is the last thing that put does. */
struct ta_sim_watcher {
    void (*delivered)(void *owner, unsigned from, unsigned to);
    void (*sending)(void *owner, unsigned from, unsigned to, int64_t on_wire_ns);
    void *owner;
};

struct ta_sim_config {
    unsigned n_ranks;
    uint64_t seed;
    int64_t latency_ns;      /* least time from put to delivery */
    double bytes_per_ns;     /* of one sender's NIC; 0: no limit */
    double jitter;           /* extra latency, exponential, as a multiple of latency_ns */
    double duplicate;        /* probability that a put, once delivered, is read and delivered a second time, up to two
                              * latencies later, before the next put on its path; in flight until then */
    unsigned depth;          /* puts in flight per peer before put answers BUSY; 0: 1 */
    bool whole;              /* a put is one piece */
    int64_t put_ns; /* a sender's NIC starts no more than one put in that time (its injection rate); 0: no limit */
    unsigned per_node;       /* rank r is on node r / per_node, whose replicas share a NIC; 0 or 1: each has its own */
    int64_t near_latency_ns; /* of puts within a node, which pass no NIC, */
    double near_bytes_per_ns; /* and share their node's memory; 0: no limit */
    struct ta_sim_watcher watcher;
};

struct ta_sim_fabric;

ta_status ta_sim_create(const struct ta_sim_config *config, struct ta_sim_fabric **out);
void ta_sim_destroy(struct ta_sim_fabric *fabric); /* after the transports on it were closed */

/* Kills a replica: what it has in flight stops where it is (some pieces arrive, the rest never); puts to it vanish. Its
 * peers see DOWN `detect_ns` later. Its own put and progress answer PEER; close it as usual. */
void ta_sim_kill(struct ta_sim_fabric *fabric, unsigned rank, int64_t now_ns, int64_t detect_ns);
/* Cuts (1) or heals (0) the path from `from` to `to`: what is in flight waits, and so does what is put meanwhile. */
void ta_sim_cut(struct ta_sim_fabric *fabric, unsigned from, unsigned to, int cut);
/* Breaks both paths between two live ranks: a link that flaps. Of what is in flight each put is delivered or lost at
 * random, the first loss ends the path. The state is BROKEN on a side at once, or, at random and if nothing was lost
 * there, after its next put, which is lost. Keys made before are void. A new path: disconnect, key_make and connect, on
 * both sides. (A disconnect by one side breaks the path of the other in the same way.) */
void ta_sim_break(struct ta_sim_fabric *fabric, unsigned a, unsigned b, int64_t now_ns);
/* Puts that went beyond a window or beyond what was granted. */
uint64_t ta_sim_refused(const struct ta_sim_fabric *fabric);
/* Everything due by then arrives, as in progress. */
void ta_sim_run_to(struct ta_sim_fabric *fabric, int64_t now_ns);
/* So far: puts that were started, pieces that have arrived, bytes that were put. */
struct ta_sim_counts {
    uint64_t puts, pieces, bytes;
};
struct ta_sim_counts ta_sim_counts(const struct ta_sim_fabric *fabric);
/* Time of the next delivery, or INT64_MAX: the driver may jump there. */
int64_t ta_sim_next_ns(const struct ta_sim_fabric *fabric);

#endif
