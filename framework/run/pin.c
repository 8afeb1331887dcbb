/* pin: cores in hwloc's logical order, so that neighbours share caches. */
#include "pin.h"

#include <hwloc.h>
#include <hwloc/glibc-sched.h>

#include "mem.h"

/* The set of processing units of the i-th allowed core; a machine without cores in its topology has units alone. */
static hwloc_cpuset_t allowed_core(hwloc_topology_t topology, hwloc_obj_type_t type, unsigned i) {
    hwloc_obj_t object = hwloc_get_obj_by_type(topology, type, i);
    return object != NULL ? object->cpuset : NULL;
}

static void deal(hwloc_topology_t topology, hwloc_obj_type_t type, unsigned threads, unsigned replicas, struct ta_pin *out) {
    for (unsigned r = 0; r < replicas; r++) {
        CPU_ZERO(&out->sets[r]);
        for (unsigned t = 0; t < threads && t < out->cores; t++) {
            cpu_set_t one;
            hwloc_cpuset_t core = allowed_core(topology, type, (r * threads + t) % out->cores);
            if (core == NULL || hwloc_cpuset_to_glibc_sched_affinity(topology, core, &one, sizeof one) != 0) continue;
            CPU_OR(&out->sets[r], &out->sets[r], &one);
        }
    }
}

ta_status ta_pin_plan(unsigned replicas, unsigned threads, struct ta_pin *out) {
    *out = (struct ta_pin){0};
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) return ta_fail(TA_FAILED, "hwloc cannot describe this machine");
    ta_status status = TA_NEW(&out->sets, replicas, "the cores of the replicas");
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (status == TA_OK && hwloc_topology_load(topology) != 0) status = ta_fail(TA_FAILED, "hwloc cannot describe this machine");
    if (status == TA_OK && mine != NULL) {
        /* taskset, cgroups and batch systems say what is ours: everything else leaves the topology. */
        if (hwloc_get_cpubind(topology, mine, HWLOC_CPUBIND_PROCESS) == 0 && !hwloc_bitmap_iszero(mine))
            (void)hwloc_topology_restrict(topology, mine, 0);
        hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
        out->cores = (unsigned)hwloc_get_nbobjs_by_type(topology, type);
        if (out->cores == 0) status = ta_fail(TA_FAILED, "hwloc sees no core this process may use");
        else deal(topology, type, threads, replicas, out);
    }
    hwloc_bitmap_free(mine);
    hwloc_topology_destroy(topology);
    if (status != TA_OK) ta_pin_free(out);
    return status;
}

void ta_pin_free(struct ta_pin *pin) {
    ta_mem_free(pin->sets);
    *pin = (struct ta_pin){0};
}
