/* survey: what RDMA devices this machine has, as libibverbs and sysfs tell; for choosing one, and for `tensair doctor`.
 * One thread at a time. Keeps nothing open.
 */
#ifndef TA_SURVEY_H
#define TA_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_SURVEY_GIDS = 16 };

struct ta_survey_gid {
    unsigned index;
    char text[48]; /* "::ffff:10.77.0.1" */
    char type[16]; /* "IB", "RoCE v1", "RoCE v2" */
    char netdev[16];
};

struct ta_survey_port {
    char device[64];
    unsigned port;
    char state[16]; /* "active", "down", "init", "armed" */
    char link[16];  /* "Ethernet", "InfiniBand" */
    char driver[32];
    bool is_up;
    unsigned mtu, max_mtu; /* bytes; active, possible */
    double gbit_per_s;     /* as the port says; 0: it does not */
    int numa_node;         /* -1: none */
    unsigned distance;     /* hwloc: 0 shares the calling thread's NUMA node or there is one node only, else 1, 2, .. */
    unsigned n_gids;
    struct ta_survey_gid gids[TA_SURVEY_GIDS];
    int best_gid;               /* index into the port's table that `gid: NULL` takes; -1: none is fit */
    bool memory_windows_2;      /* type 2 memory windows */
    bool on_demand_paging, atomic_hca;
    uint64_t max_mr_bytes;
    uint32_t max_qp, max_qp_wr, max_mr, max_inline;
    char why_not[160]; /* why this port would not be chosen, with the cure; empty: it could be */
};

/* All ports of all devices, in the order in which they would be chosen; freed by ta_mem_free. None is OK with *n 0.
 * Errors: NOT_BUILT (libibverbs), DEVICE (there are devices but none opens: permissions), NO_MEMORY. */
ta_status ta_survey_ports(struct ta_survey_port **out, size_t *n);

/* How much memory may be locked for devices, and how much is asked for; 0 limit: no limit known. */
struct ta_survey_memlock {
    uint64_t limit_bytes; /* RLIMIT_MEMLOCK, soft; UINT64_MAX: unlimited */
    uint64_t hard_bytes;
    bool is_privileged; /* CAP_IPC_LOCK: the limit does not count */
};
void ta_survey_memlock(struct ta_survey_memlock *out);
/* OK, or CONFIG: how much is needed, how much allowed, what to type. */
ta_status ta_survey_memlock_check(uint64_t bytes);

#endif
