/* pin: cores in hwloc's logical order, so that neighbours share caches. */
#include "pin.h"

#include <hwloc.h>
#include <hwloc/glibc-sched.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mem.h"

enum { MOST_NODES = 1024, WORD_BITS = 8 * sizeof(unsigned long) };

struct cores {
    hwloc_topology_t topology;
    hwloc_obj_type_t type; /* a machine without cores in its topology has processing units alone */
    unsigned n, threads, rooms; /* rooms: places for a replica that lie within one NUMA node each */
};

static hwloc_obj_t core_at(const struct cores *c, unsigned i) { return hwloc_get_obj_by_type(c->topology, c->type, i); }

/* Whether the cores [from, from + threads) have the same memory near. */
static bool is_room(const struct cores *c, unsigned from) {
    if (from + c->threads > c->n) return false;
    hwloc_obj_t first = core_at(c, from), last = core_at(c, from + c->threads - 1);
    return hwloc_bitmap_isequal(first->nodeset, last->nodeset) != 0;
}

/* The first core of the room with that number; rooms do not overlap. */
static unsigned room_at(const struct cores *c, unsigned number) {
    unsigned from = 0;
    for (;; from++) {
        if (!is_room(c, from)) continue;
        if (number-- == 0) return from;
        from += c->threads - 1;
    }
}

static unsigned count_rooms(const struct cores *c) {
    unsigned n = 0;
    for (unsigned from = 0; from + c->threads <= c->n; from++) {
        if (!is_room(c, from)) continue;
        n++;
        from += c->threads - 1;
    }
    return n;
}

static int node_of(const struct cores *c, hwloc_const_cpuset_t set) {
    hwloc_nodeset_t near = hwloc_bitmap_alloc();
    int node = TA_PIN_ANY_NODE;
    if (near != NULL && hwloc_get_nbobjs_by_type(c->topology, HWLOC_OBJ_NUMANODE) > 1 &&
        hwloc_cpuset_to_nodeset(c->topology, set, near) == 0 && hwloc_bitmap_weight(near) == 1)
        node = hwloc_bitmap_first(near);
    hwloc_bitmap_free(near);
    return node;
}

static ta_status deal(const struct cores *c, const struct ta_pin_ask *ask, struct ta_pin *out) {
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (set == NULL) return ta_fail(TA_NO_MEMORY, "out of memory for a set of cores");
    unsigned launchers = ask->local_size > 0 ? ask->local_size : 1;
    for (unsigned r = 0; r < ask->replicas; r++) {
        unsigned place = ask->local_rank % launchers * ask->replicas + r;
        bool roomy = (uint64_t)launchers * ask->replicas <= c->rooms;
        unsigned from = roomy ? room_at(c, place) : (unsigned)((uint64_t)place * c->threads % c->n);
        hwloc_bitmap_zero(set);
        for (unsigned t = 0; t < c->threads && t < c->n; t++)
            hwloc_bitmap_or(set, set, core_at(c, (from + t) % c->n)->cpuset);
        CPU_ZERO(&out->sets[r]);
        (void)hwloc_cpuset_to_glibc_sched_affinity(c->topology, set, &out->sets[r], sizeof out->sets[r]);
        out->nodes[r] = node_of(c, set);
    }
    hwloc_bitmap_free(set);
    return TA_OK;
}

/* What is not ours leaves the topology. */
static void keep_ours(hwloc_topology_t topology, const char *allowed) {
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (mine == NULL) return;
    int known = allowed != NULL ? hwloc_bitmap_list_sscanf(mine, allowed)
                                : hwloc_get_cpubind(topology, mine, HWLOC_CPUBIND_PROCESS);
    if (known == 0 && !hwloc_bitmap_iszero(mine)) (void)hwloc_topology_restrict(topology, mine, 0);
    hwloc_bitmap_free(mine);
}

static ta_status load(const struct ta_pin_ask *ask, hwloc_topology_t *out) {
    if (hwloc_topology_init(out) != 0) {
        *out = NULL;
        return ta_fail(TA_FAILED, "hwloc cannot describe this machine");
    }
    if (ask->synthetic != NULL && hwloc_topology_set_synthetic(*out, ask->synthetic) != 0)
        return ta_fail(TA_FAILED, "hwloc cannot describe a machine of '%s'", ask->synthetic);
    if (hwloc_topology_load(*out) != 0) return ta_fail(TA_FAILED, "hwloc cannot describe this machine");
    keep_ours(*out, ask->allowed);
    return TA_OK;
}

ta_status ta_pin_plan(const struct ta_pin_ask *ask, struct ta_pin *out) {
    *out = (struct ta_pin){0};
    struct cores c = {.threads = ask->threads > 0 ? ask->threads : 1};
    ta_status status = TA_NEW(&out->sets, ask->replicas, "the cores of the replicas");
    if (status == TA_OK) status = TA_NEW(&out->nodes, ask->replicas, "the memory nodes of the replicas");
    if (status == TA_OK) status = load(ask, &c.topology);
    if (status == TA_OK) {
        c.type = hwloc_get_nbobjs_by_type(c.topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
        c.n = out->cores = (unsigned)hwloc_get_nbobjs_by_type(c.topology, c.type);
        if (c.n == 0) status = ta_fail(TA_FAILED, "hwloc sees no core this process may use");
    }
    if (status == TA_OK) {
        c.rooms = count_rooms(&c);
        status = deal(&c, ask, out);
    }
    if (c.topology != NULL) hwloc_topology_destroy(c.topology);
    if (status != TA_OK) ta_pin_free(out);
    return status;
}

void ta_pin_free(struct ta_pin *pin) {
    ta_mem_free(pin->sets);
    ta_mem_free(pin->nodes);
    *pin = (struct ta_pin){0};
}

void ta_pin_bind(const struct ta_pin *pin, unsigned i) {
    (void)sched_setaffinity(0, sizeof pin->sets[i], &pin->sets[i]);
    int node = pin->nodes[i];
    if (node < 0 || node >= MOST_NODES) return;
    /* Preferred, not bound: a node without memory left is no reason to be killed. It lasts beyond exec. */
    unsigned long mask[MOST_NODES / WORD_BITS] = {0};
    mask[(unsigned)node / WORD_BITS] = 1UL << ((unsigned)node % WORD_BITS);
    (void)syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, MOST_NODES + 1UL);
}

static bool first_line(const char *path, char *out, int bytes) {
    FILE *file = fopen(path, "re");
    bool known = file != NULL && fgets(out, bytes, file) != NULL;
    if (file != NULL) fclose(file);
    if (known) out[strcspn(out, "\n")] = '\0';
    return known && out[0] != '\0';
}

/* The cores near it that the launcher may run on, where we do not run on such already; NULL: leave it. */
static char *cores_near(const char *pci) {
    char path[96], line[1024], *text = NULL;
    cpu_set_t may, own;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/local_cpulist", pci);
    hwloc_bitmap_t near = hwloc_bitmap_alloc();
    bool known = near != NULL && first_line(path, line, sizeof line) && hwloc_bitmap_list_sscanf(near, line) == 0 &&
                 sched_getaffinity(0, sizeof own, &own) == 0;
    /* A replica that was forked has one core; what there is to choose from is its launcher's. */
    if (known && sched_getaffinity(getppid(), sizeof may, &may) != 0) may = own;
    bool away = false;
    for (int cpu = 0; known && cpu < CPU_SETSIZE; cpu++) {
        away |= CPU_ISSET(cpu, &own) && !hwloc_bitmap_isset(near, (unsigned)cpu);
        if (!CPU_ISSET(cpu, &may)) hwloc_bitmap_clr(near, (unsigned)cpu);
    }
    if (known && away && !hwloc_bitmap_iszero(near)) {
        hwloc_bitmap_clr_range(near, CPU_SETSIZE, -1);
        if (hwloc_bitmap_list_asprintf(&text, near) < 0) text = NULL;
    }
    hwloc_bitmap_free(near);
    return text;
}

void ta_pin_near(const char *pci, const struct ta_pin_ask *ask) {
    struct ta_pin pin;
    struct ta_pin_ask one = *ask;
    char *cores = cores_near(pci);
    if (cores == NULL) return;
    one.replicas = 1;
    if (one.local_size <= 1) one.threads = (unsigned)CPU_SETSIZE; /* alone: all of them, for its other threads too */
    one.allowed = cores;
    if (ta_pin_plan(&one, &pin) == TA_OK) {
        ta_pin_bind(&pin, 0);
        ta_pin_free(&pin);
    }
    free(cores);
}
