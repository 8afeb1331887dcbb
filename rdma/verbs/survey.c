/* survey: ports and their addresses by libibverbs, drivers and places by sysfs, distances by hwloc. */
#include "survey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choose.h"
#include "mem.h"
#include "nearness.h"

enum { MAX_GIDS = 512, PATH_BYTES = 256 };

static const char *state_name(enum ibv_port_state state) {
    switch (state) {
    case IBV_PORT_ACTIVE: return "active";
    case IBV_PORT_INIT: return "init";
    case IBV_PORT_ARMED: return "armed";
    default: return "down";
    }
}

/* active_speed and active_width are bits of the IBA's PortInfo, one of them set. */
static double gbit_per_s(const struct ibv_port_attr *attr) {
    static const struct {
        uint8_t code;
        double lanes;
    } widths[] = {{1, 1}, {2, 4}, {4, 8}, {8, 12}, {16, 2}};
    static const struct {
        uint8_t code;
        double gbit;
    } speeds[] = {{1, 2.5}, {2, 5}, {4, 10}, {8, 10}, {16, 14}, {32, 25}, {64, 50}, {128, 100}};
    double lanes = 0, gbit = 0;
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (widths[i].code == attr->active_width) lanes = widths[i].lanes;
    for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++)
        if (speeds[i].code == attr->active_speed) gbit = speeds[i].gbit;
    return lanes * gbit;
}

/* The netdev below a software device, else the kernel driver of the card. */
static void driver_of(const char *device, char *out, size_t bytes) {
    char path[PATH_BYTES], target[PATH_BYTES];
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/device/driver", device);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    const char *name = n > 0 ? strrchr(target, '/') : NULL;
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/parent", device); /* rxe, siw and nothing else have it */
    const char *software = strncmp(device, "siw", 3) == 0 ? "siw" : "rdma_rxe";
    snprintf(out, bytes, "%.*s", (int)bytes - 1,
             name != NULL              ? name + 1
             : access(path, F_OK) == 0 ? software
                                       : "unknown");
}

static void fill_gid(const struct ibv_gid_entry *entry, struct ta_survey_gid *out) {
    char netdev[IF_NAMESIZE] = "";
    *out = (struct ta_survey_gid){.index = entry->gid_index};
    inet_ntop(AF_INET6, entry->gid.raw, out->text, sizeof out->text);
    snprintf(out->type, sizeof out->type, "%s", ta_verbs_gid_type(entry->gid_type));
    if (entry->ndev_ifindex != 0 && if_indextoname(entry->ndev_ifindex, netdev) != NULL)
        snprintf(out->netdev, sizeof out->netdev, "%s", netdev);
}

static ta_status fill_gids(struct ibv_context *context, struct ta_survey_port *port) {
    struct ibv_gid_entry *entries;
    ta_status status = TA_NEW(&entries, MAX_GIDS, "GIDs");
    if (status != TA_OK) return status;
    ssize_t n = ibv_query_gid_table(context, entries, MAX_GIDS, 0);
    int best = 0;
    port->best_gid = -1;
    for (ssize_t i = 0; i < n; i++) {
        if (entries[i].port_num != port->port) continue;
        int rank = ta_verbs_gid_rank(entries[i].gid_type, &entries[i].gid);
        if (rank > best) {
            best = rank;
            port->best_gid = (int)entries[i].gid_index;
        }
        if (port->n_gids < TA_SURVEY_GIDS) fill_gid(&entries[i], &port->gids[port->n_gids++]);
    }
    ta_mem_free(entries);
    return TA_OK;
}

static unsigned mtu_bytes(enum ibv_mtu mtu) { return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128u << mtu : 0; }

static void say_why_not(struct ta_survey_port *port) {
    const char *netdev = port->n_gids > 0 && port->gids[0].netdev[0] != '\0' ? port->gids[0].netdev : "its interface";
    if (!port->is_up && strcmp(port->link, "Ethernet") == 0)
        snprintf(port->why_not, sizeof port->why_not, "port %u of %s is %s: plug it in, or 'ip link set %s up'",
                 port->port, port->device, port->state, netdev);
    else if (!port->is_up)
        snprintf(port->why_not, sizeof port->why_not,
                 "port %u of %s is %s: check the cable and the subnet manager (sminfo)", port->port, port->device,
                 port->state);
    else if (port->best_gid < 0)
        snprintf(port->why_not, sizeof port->why_not, "port %u of %s has no address: 'ip addr add ADDRESS/BITS dev %s'",
                 port->port, port->device, netdev);
}

static ta_status fill_port(struct ibv_context *context, const struct ibv_device_attr *device, unsigned number,
                           struct ta_survey_port *out) {
    struct ibv_port_attr attr = {.state = IBV_PORT_NOP};
    const char *name = ibv_get_device_name(context->device);
    *out = (struct ta_survey_port){.port = number, .best_gid = -1};
    snprintf(out->device, sizeof out->device, "%s", name);
    driver_of(name, out->driver, sizeof out->driver);
    if (ibv_query_port(context, (uint8_t)number, &attr) != 0) attr.state = IBV_PORT_DOWN;
    out->is_up = attr.state == IBV_PORT_ACTIVE;
    snprintf(out->state, sizeof out->state, "%s", state_name(attr.state));
    snprintf(out->link, sizeof out->link, "%s", ta_verbs_link_name(attr.link_layer));
    out->mtu = mtu_bytes(attr.active_mtu);
    out->max_mtu = mtu_bytes(attr.max_mtu);
    out->gbit_per_s = gbit_per_s(&attr);
    /* The verbs call them 2A and 2B; both bind a window to one queue pair. */
    out->memory_windows_2 =
        (device->device_cap_flags & (IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B)) != 0;
    out->atomic_hca = device->atomic_cap != IBV_ATOMIC_NONE;
    out->max_mr_bytes = device->max_mr_size;
    out->max_qp = (uint32_t)device->max_qp;
    out->max_qp_wr = (uint32_t)device->max_qp_wr;
    out->max_mr = (uint32_t)device->max_mr;
    struct ibv_device_attr_ex more = {.orig_attr = {.max_qp = 0}};
    if (ibv_query_device_ex(context, NULL, &more) == 0)
        out->on_demand_paging = (more.odp_caps.general_caps & IBV_ODP_SUPPORT) != 0;
    out->max_inline = ta_verbs_max_inline(context);
    ta_status status = fill_gids(context, out);
    say_why_not(out);
    return status;
}

struct ports {
    struct ta_survey_port *port;
    size_t n, opened, refused;
    int refused_errno;
};

/* Appends the ports of one device. One that cannot be opened has none. */
static ta_status add_device(struct ports *ports, struct ibv_device *device, const struct ta_nearness *nearness) {
    struct ibv_device_attr attr;
    struct ibv_context *context = ibv_open_device(device);
    if (context == NULL || ibv_query_device(context, &attr) != 0) {
        ports->refused++;
        ports->refused_errno = errno;
        if (context != NULL) ibv_close_device(context);
        return TA_OK;
    }
    ports->opened++;
    void *grown = ports->port;
    ta_status status =
        ta_mem_resize(&grown, (ports->n + attr.phys_port_cnt) * sizeof *ports->port, "ports of RDMA devices");
    if (status == TA_OK) ports->port = grown;
    for (unsigned i = 1; i <= attr.phys_port_cnt && status == TA_OK; i++) {
        struct ta_survey_port *port = &ports->port[ports->n++];
        status = fill_port(context, &attr, i, port);
        ta_nearness_of(nearness, ibv_get_device_name(device), &port->numa_node, &port->distance);
    }
    ibv_close_device(context);
    return status;
}

static int by_fitness(const void *a, const void *b) {
    const struct ta_survey_port *x = a, *y = b;
    bool x_fit = x->why_not[0] == '\0', y_fit = y->why_not[0] == '\0';
    if (x_fit != y_fit) return x_fit ? -1 : 1;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    if (x->gbit_per_s != y->gbit_per_s) return x->gbit_per_s > y->gbit_per_s ? -1 : 1;
    int name = strverscmp(x->device, y->device);
    return name != 0 ? name : (int)x->port - (int)y->port;
}

ta_status ta_survey_ports(struct ta_survey_port **out, size_t *n) {
    int n_devices = 0;
    struct ports ports = {.n = 0};
    struct ta_nearness *nearness = NULL;
    *out = NULL;
    *n = 0;
    struct ibv_device **devices = ibv_get_device_list(&n_devices); /* NULL: this kernel has no RDMA at all */
    ta_status status = ta_mem_alloc(0, 1, "ports of RDMA devices", (void **)&ports.port);
    if (status == TA_OK && n_devices > 0) status = ta_nearness_open(&nearness);
    for (int i = 0; i < n_devices && status == TA_OK; i++) status = add_device(&ports, devices[i], nearness);
    ta_nearness_close(nearness);
    if (devices != NULL) ibv_free_device_list(devices);
    if (status == TA_OK && ports.refused > 0 && ports.opened == 0) {
        errno = ports.refused_errno;
        status =
            ta_fail_errno(TA_DEVICE,
                          "there are %zu RDMA devices here and none can be opened: /dev/infiniband/uverbs* must be "
                          "readable and writable for this user (a container needs --device=/dev/infiniband)",
                          ports.refused);
    }
    if (status != TA_OK) {
        ta_mem_free(ports.port);
        return status;
    }
    qsort(ports.port, ports.n, sizeof *ports.port, by_fitness);
    *out = ports.port;
    *n = ports.n;
    return TA_OK;
}
