/* nearness: how far a device is from the calling thread, as hwloc sees the machine. For survey.c only. */
#ifndef TA_NEARNESS_H
#define TA_NEARNESS_H

#include "status.h"

struct ta_nearness;

/* Errors: NO_MEMORY. A machine that cannot be looked at is one where everything is near. */
ta_status ta_nearness_open(struct ta_nearness **out);
void ta_nearness_close(struct ta_nearness *n); /* NULL is fine */

/* The NUMA node of an RDMA device (-1: none), and 0 when the calling thread runs beside it, 1 in the same package, 2
 * elsewhere. */
void ta_nearness_of(const struct ta_nearness *n, const char *device, int *numa_node, unsigned *distance);

#endif
