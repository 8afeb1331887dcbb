/* nearness: NUMA nodes by hwloc, the place of a device by sysfs. */
#include "nearness.h"

#include <hwloc.h>
#include <stdbool.h>
#include <stdio.h>

#include "mem.h"

enum { PATH_BYTES = 256 };

struct ta_nearness {
    hwloc_topology_t topology;
    hwloc_cpuset_t cpus; /* where the calling thread last ran */
    bool known;
};

ta_status ta_nearness_open(struct ta_nearness **out) {
    ta_status status = TA_NEW(out, 1, "nearness");
    if (status != TA_OK) return status;
    struct ta_nearness *n = *out;
    if (hwloc_topology_init(&n->topology) != 0) return TA_OK;
    n->cpus = hwloc_bitmap_alloc();
    n->known = n->cpus != NULL && hwloc_topology_load(n->topology) == 0 &&
               hwloc_get_last_cpu_location(n->topology, n->cpus, HWLOC_CPUBIND_THREAD) == 0;
    return TA_OK;
}

void ta_nearness_close(struct ta_nearness *n) {
    if (n == NULL) return;
    if (n->cpus != NULL) hwloc_bitmap_free(n->cpus);
    if (n->topology != NULL) hwloc_topology_destroy(n->topology);
    ta_mem_free(n);
}

static int numa_node_of(const char *device) {
    char path[PATH_BYTES];
    int node = -1;
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/device/numa_node", device);
    FILE *file = fopen(path, "re");
    if (file == NULL) return -1;
    if (fscanf(file, "%d", &node) != 1) node = -1;
    fclose(file);
    return node;
}

static bool same_package(const struct ta_nearness *n, hwloc_obj_t node) {
    for (hwloc_obj_t p = NULL; (p = hwloc_get_next_obj_by_type(n->topology, HWLOC_OBJ_PACKAGE, p)) != NULL;)
        if (hwloc_bitmap_intersects(p->cpuset, n->cpus)) return hwloc_bitmap_intersects(p->cpuset, node->cpuset) != 0;
    return false;
}

void ta_nearness_of(const struct ta_nearness *n, const char *device, int *numa_node, unsigned *distance) {
    *numa_node = numa_node_of(device);
    *distance = 0;
    if (!n->known || *numa_node < 0 || hwloc_get_nbobjs_by_type(n->topology, HWLOC_OBJ_NUMANODE) <= 1) return;
    hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(n->topology, (unsigned)*numa_node);
    if (node == NULL || hwloc_bitmap_intersects(node->cpuset, n->cpus)) return;
    *distance = same_package(n, node) ? 1 : 2;
}
