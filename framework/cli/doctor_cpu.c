/* doctor_cpu: what computes, and how much of it is ours. */
#include <hwloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

static void topology(const struct ta_doctor *d, struct ta_findings *list) {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0 || hwloc_topology_load(topology) != 0) {
        ta_doctor_say(list, TA_FINDING_WRONG, "topology", "hwloc cannot describe this machine");
        ta_doctor_cure(list, "mount /sys and /proc; lstopo (package hwloc) shows what it sees");
        return;
    }
    hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    const char *model = package != NULL ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    ta_doctor_say(list, TA_FINDING_OK, "model", "%s, %d of them", model != NULL ? model : "not known",
                  hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
    int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE),
        units = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    int nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE), ours = units;
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (mine != NULL && hwloc_get_cpubind(topology, mine, HWLOC_CPUBIND_PROCESS) == 0 && !hwloc_bitmap_iszero(mine))
        ours = hwloc_bitmap_weight(mine);
    ta_doctor_say(list, ours < units ? TA_FINDING_NOTE : TA_FINDING_OK, "cores",
                  "%d cores with %d hardware threads, of which this process may use %d", cores, units, ours);
    if (ours < units) ta_doctor_cure(list, "taskset, a cgroup or the batch system has set that: ask for more there");
    unsigned wanted = d->config != NULL ? d->per_node * d->config->device.threads : 0;
    if (wanted > (unsigned)ours) {
        ta_doctor_say(list, TA_FINDING_NOTE, "cores wanted", "%u replicas of %u threads share %d hardware threads",
                      d->per_node, d->config->device.threads, ours);
        ta_doctor_cure(list, "fewer replicas, or device.threads: %u",
                       (unsigned)ours / d->per_node > 0 ? (unsigned)ours / d->per_node : 1);
    }
    ta_doctor_say(list, TA_FINDING_OK, "NUMA nodes", "%d", nodes);
    hwloc_bitmap_free(mine);
    hwloc_topology_destroy(topology);
}

/* A cgroup may grant a share of time instead of cores. */
static void quota(struct ta_findings *list) {
    char text[128];
    double limit, period;
    if (!ta_doctor_read(text, sizeof text, "/sys/fs/cgroup/cpu.max")) return;
    if (sscanf(text, "%lf %lf", &limit, &period) != 2 || period <= 0) return; /* "max 100000" */
    ta_doctor_say(list, TA_FINDING_NOTE, "CPU quota", "this container may use %.1f cores' worth of time",
                  limit / period);
    ta_doctor_cure(list, "replicas beyond that are stopped and started by the kernel: run no more than %d",
                   limit < 2 * period ? 1 : (int)(limit / period));
}

static void instruction_sets(struct ta_findings *list) {
#if defined(__x86_64__)
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool middle = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const char *used = wide     ? "AVX-512 (F, BW, VL, DQ): vectors of 16"
                       : middle ? "AVX2 and FMA: vectors of 8"
                                : "SSE2: vectors of 4";
    ta_doctor_say(list, wide || middle ? TA_FINDING_OK : TA_FINDING_NOTE, "instruction sets", "%s", used);
    if (!wide && !middle) ta_doctor_cure(list, "in a virtual machine: pass the host's CPU on (-cpu host)");
#else
    ta_doctor_say(list, TA_FINDING_OK, "instruction sets",
                  "what the compiler takes for this architecture: vectors of 4");
#endif
}

static void frequency(struct ta_findings *list) {
    char governor[64], turbo[16];
    if (ta_doctor_read(governor, sizeof governor, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) {
        bool full = strcmp(governor, "performance") == 0;
        ta_doctor_say(list, full ? TA_FINDING_OK : TA_FINDING_NOTE, "governor", "%s", governor);
        if (!full) ta_doctor_cure(list, "for measurements: cpupower frequency-set -g performance");
    }
    bool pstate = ta_doctor_read(turbo, sizeof turbo, "/sys/devices/system/cpu/intel_pstate/no_turbo");
    if (pstate || ta_doctor_read(turbo, sizeof turbo, "/sys/devices/system/cpu/cpufreq/boost"))
        ta_doctor_say(list, TA_FINDING_OK, "turbo", "%s", (turbo[0] == '1') != pstate ? "on" : "off");
}

void ta_doctor_cpu(const struct ta_doctor *d, struct ta_findings *list) {
    topology(d, list);
    quota(list);
    instruction_sets(list);
    frequency(list);
}
