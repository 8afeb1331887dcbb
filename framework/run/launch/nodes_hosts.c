/* nodes_hosts: which nodes share a machine, and whether their clocks agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "clock.h"
#include "nodes_internal.h"

static const int64_t most_off_ns = 60 * TA_NS_PER_S; /* munge refuses credentials that are off by five minutes */

/* What can share memory: one boot of one kernel, under one name, with one view of its processes. */
uint64_t ta_nodes_machine(void) {
    struct {
        char boot[64], host[64];
        uint64_t processes;
    } id;
    memset(&id, 0, sizeof id);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fgets(id.boot, sizeof id.boot, file) == NULL) id.boot[0] = '\0';
        fclose(file);
    }
    (void)gethostname(id.host, sizeof id.host - 1);
    struct stat space;
    if (stat("/proc/self/ns/pid", &space) == 0) id.processes = space.st_ino;
    return XXH3_64bits(&id, sizeof id);
}

/* Nodes dealt to machines in blocks of `size`, one block a machine. */
static bool are_blocks(const struct ta_nodes *n, unsigned size) {
    for (unsigned i = 0; i < n->config.nodes; i++) {
        uint64_t machine = n->node[i].said.machine;
        if (machine != n->node[i - i % size].said.machine) return false;
        for (unsigned k = 0; i % size == 0 && k < i; k += size)
            if (n->node[k].said.machine == machine) return false;
    }
    return true;
}

static ta_status check_clocks(const struct ta_nodes *n) {
    for (unsigned i = 1; n->config.node == 0 && i < n->config.nodes; i++) {
        const struct ta_node *node = &n->node[i];
        if (llabs(node->wall_off_ns) <= most_off_ns) continue;
        return ta_fail(TA_CONFIG,
                       "the clock of node %u (%s) is %.0f s %s that of node 0 (%s): set both by a time server (chrony), as "
                       "times of this run, and munge's credentials, would make no sense",
                       i, node->said.host, (double)llabs(node->wall_off_ns) / TA_NS_PER_S,
                       node->wall_off_ns > 0 ? "ahead of" : "behind", n->node[0].said.host);
    }
    return TA_OK;
}

ta_status ta_nodes_learn_hosts(struct ta_nodes *n) {
    unsigned size = 0, self = n->config.node;
    uint64_t ours = n->node[self].said.machine;
    while (size < n->config.nodes && n->node[size].said.machine == n->node[0].said.machine) size++;
    n->hosts = (struct ta_nodes_hosts){.per_host = 1};
    if (n->config.nodes % size == 0 && are_blocks(n, size)) n->hosts.per_host = size;
    for (unsigned i = 0; i < n->config.nodes; i++) {
        if (n->node[i].said.machine != ours) continue;
        n->hosts.local_size++;
        n->hosts.local_rank += i < self;
    }
    return check_clocks(n);
}
