/* pin: which cores each replica of this launcher gets, and which NUMA node's memory, by hwloc.
 *
 * What is ours is what this process may run on: taskset, cgroups and batch systems say so. Under a batch system several
 * launchers may share a machine, and it may have given each cores of its own, or all of them the same ones. Both come
 * to the same here: launcher `local_rank` leaves as much to each launcher before it as it takes itself, and where that
 * is more than there is, it begins anew.
 *
 * An RDMA device near these cores is found by whoever opens one (rdma/verbs/nearness.h): bind before.
 */
#ifndef TA_PIN_H
#define TA_PIN_H

#include <sched.h>

#include "status.h"

enum { TA_PIN_ANY_NODE = -1 };

struct ta_pin_ask {
    unsigned replicas, threads;      /* of this launcher; of a replica */
    unsigned local_rank, local_size; /* of this launcher among those of this machine; 0 of 0 or 1: it is alone */
    const char *synthetic, *allowed; /* another machine than this, and what of it is ours ("0-3,8"), as hwloc writes
                                        them; NULL: this machine, what this process may use */
};

struct ta_pin {
    unsigned cores; /* that this process may use */
    cpu_set_t *sets; /* [replicas] */
    int *nodes;      /* [replicas] the one NUMA node, as the system counts, that all of the set is near to; or
                        TA_PIN_ANY_NODE: there is but one, or several are */
};

/* Deals neighbouring cores to replicas, a core's hyper-threads together; those of one replica within one NUMA node
 * where all find room so; round robin when there are too few. Errors: NO_MEMORY, FAILED (no topology). */
ta_status ta_pin_plan(const struct ta_pin_ask *ask, struct ta_pin *out);
void ta_pin_free(struct ta_pin *pin);

/* Binds the calling thread, and what it starts or becomes: runs on set i, takes memory from its node while that has
 * any, from others then. What is not allowed is left as it was. Makes two system calls and nothing else: may stand
 * between fork and exec. */
void ta_pin_bind(const struct ta_pin *pin, unsigned i);

/* For a replica whose GPU is `pci` ("0000:3b:00.0"): binds the calling thread to cores near that GPU, of those that its
 * launcher may run on: ask->threads of them, number ask->local_rank of ask->local_size; all where local_size says that
 * it is alone. ask->replicas and allowed are not looked at. Where it runs near the GPU already, or the machine does not
 * say what is near, nothing is changed. */
void ta_pin_near(const char *pci, const struct ta_pin_ask *ask);

#endif
