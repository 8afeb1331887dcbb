/* network: what a simulation assumes of the network, from a file or built in.
 *
 *     name: shm                 for people
 *     made: how and where these numbers were measured, or what they are assumed from
 *     latency_us: 1.2           from a small put to its delivery
 *     gb_per_s: 9.8             bytes a NIC sends, 1e9 a second
 *     put_us: 0.1               a NIC starts no more than one put in that time; 0: no limit
 *     jitter: 0.1               extra latency, exponential, as a multiple of the latency
 *     sender_copies: no         yes: who puts is busy until it is on its way (shared memory)
 *     near: {latency_us: 0.5, gb_per_s: 10}       between replicas of one node (--per-node)
 *
 * Errors: CONFIG, IO, NO_MEMORY (config.h).
 */
#ifndef TA_NETWORK_H
#define TA_NETWORK_H

#include <stdbool.h>

#include "status.h"

enum { TA_NETWORK_NAME_BYTES = 64, TA_NETWORK_MADE_BYTES = 400 };

struct ta_network_link {
    double latency_us, gb_per_s;
};

struct ta_network {
    char name[TA_NETWORK_NAME_BYTES], made[TA_NETWORK_MADE_BYTES];
    struct ta_network_link link, near;
    double put_us, jitter;
    bool sender_copies;
};

/* "rdma-100g", which is built in, or a file. */
ta_status ta_network_load(const char *name, struct ta_network *out);

#endif
