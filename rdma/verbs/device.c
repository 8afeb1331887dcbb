/* device: rails: a port of a device with its protection domain and completion queue, and what it says unasked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "verbs.h"

enum { MAX_GIDS = 512, SPARE_CQES = 64 };

static ta_status open_device(const char *name, struct ibv_context **out) {
    int n = 0;
    struct ibv_device **devices = ibv_get_device_list(&n);
    errno = ENODEV;
    for (int i = 0; i < n && *out == NULL; i++)
        if (strcmp(ibv_get_device_name(devices[i]), name) == 0) *out = ibv_open_device(devices[i]);
    int opened = errno;
    if (devices != NULL) ibv_free_device_list(devices);
    errno = opened;
    return *out != NULL ? TA_OK : ta_fail_errno(TA_DEVICE, "RDMA device %s cannot be opened", name);
}

ta_status ta_verbs_rail_refresh(struct ta_verbs_rail *rail) {
    struct ta_verbs_place *place = &rail->place;
    struct ibv_gid_entry *entries;
    bool first = rail->gid.global.interface_id == 0, found = false;
    if (ibv_query_port(rail->context, (uint8_t)place->port, &rail->port) != 0)
        return ta_fail_errno(TA_DEVICE, "port %u of RDMA device %s does not answer", place->port, place->device);
    if (rail->port.state != IBV_PORT_ACTIVE)
        return ta_fail(TA_DEVICE, "port %u of RDMA device %s is down: check the link ('ip link', 'rdma link')",
                       place->port, place->device);
    ta_status status = TA_NEW(&entries, MAX_GIDS, "GIDs");
    if (status != TA_OK) return status;
    ssize_t n = ibv_query_gid_table(rail->context, entries, MAX_GIDS, 0);
    for (ssize_t i = 0; i < n && !found; i++) {
        if (entries[i].port_num != place->port) continue;
        if (first) found = entries[i].gid_index == place->gid_index;
        else
            found = entries[i].gid_type == rail->gid_type && memcmp(&entries[i].gid, &rail->gid, sizeof rail->gid) == 0;
        if (!found) continue;
        rail->gid = entries[i].gid;
        rail->gid_type = entries[i].gid_type;
        place->gid_index = entries[i].gid_index;
    }
    ta_mem_free(entries);
    if (found) return TA_OK;
    return ta_fail(TA_DEVICE, "port %u of RDMA device %s no longer has the address %s (%s): 'ip addr' of its interface",
                   place->port, place->device, place->gid_text, place->gid_type);
}

/* Kernels that know the call and devices that do answer EBADF to no descriptor at all (so ask NCCL and UCX, too). */
static bool has_dmabuf(struct ibv_pd *pd) {
    struct ibv_mr *mr = ibv_reg_dmabuf_mr(pd, 0, 4096, 0, -1, 0);
    if (mr != NULL) ibv_dereg_mr(mr);
    return mr != NULL || (errno != EOPNOTSUPP && errno != EPROTONOSUPPORT && errno != ENOSYS);
}

/* A send queue that breaks completes all it holds, signalled or not: the completion queue has room for all of all
 * peers. */
static ta_status size_queues(struct ta_verbs_rail *rail, const struct ibv_device_attr *device, unsigned n_peers) {
    uint32_t peers = n_peers > 0 ? n_peers : 1, depth = TA_VERBS_DEPTH;
    if (depth > (uint32_t)device->max_qp_wr) depth = (uint32_t)device->max_qp_wr;
    if (depth > ((uint32_t)device->max_cqe - SPARE_CQES) / peers)
        depth = ((uint32_t)device->max_cqe - SPARE_CQES) / peers;
    if (depth < TA_VERBS_LEAST_DEPTH || (uint32_t)device->max_qp < peers)
        return ta_fail(
            TA_DEVICE,
            "RDMA device %s has %d queue pairs and completion queues of %d entries: too few for %u peers of at "
            "least %d work requests each; 'topology: tree' needs few peers",
            rail->place.device, device->max_qp, device->max_cqe, peers, TA_VERBS_LEAST_DEPTH);
    rail->depth = depth;
    rail->cq = ibv_create_cq(rail->context, (int)(depth * peers + SPARE_CQES), NULL, NULL, 0);
    if (rail->cq == NULL)
        return ta_fail_errno(TA_DEVICE, "RDMA device %s: a completion queue of %u entries", rail->place.device,
                             depth * peers + SPARE_CQES);
    return TA_OK;
}

ta_status ta_verbs_rail_open(struct ta_verbs_rail *rail, const struct ta_verbs_place *place, unsigned n_peers) {
    struct ibv_device_attr device;
    *rail = (struct ta_verbs_rail){.place = *place};
    ta_status status = open_device(place->device, &rail->context);
    if (status == TA_OK && ibv_query_device(rail->context, &device) != 0)
        status = ta_fail_errno(TA_DEVICE, "RDMA device %s does not answer", place->device);
    if (status == TA_OK) status = ta_verbs_rail_refresh(rail);
    if (status != TA_OK) goto undo;
    /* Events are looked at in passing, never waited for. */
    int flags = fcntl(rail->context->async_fd, F_GETFL);
    fcntl(rail->context->async_fd, F_SETFL, flags | O_NONBLOCK);
    rail->pd = ibv_alloc_pd(rail->context);
    if (rail->pd == NULL) status = ta_fail_errno(TA_DEVICE, "RDMA device %s: a protection domain", place->device);
    if (status == TA_OK) status = size_queues(rail, &device, n_peers);
    if (status != TA_OK) goto undo;
    rail->windows_2 = (device.device_cap_flags & (IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B)) != 0;
    rail->dmabuf = has_dmabuf(rail->pd);
    rail->max_message = rail->port.max_msg_sz;
    rail->max_inline = ta_verbs_max_inline(rail->context);
    return TA_OK;
undo:
    ta_verbs_rail_close(rail);
    return status;
}

void ta_verbs_rail_close(struct ta_verbs_rail *rail) {
    if (rail->cq != NULL) ibv_destroy_cq(rail->cq);
    if (rail->pd != NULL) ibv_dealloc_pd(rail->pd);
    if (rail->context != NULL) ibv_close_device(rail->context);
    *rail = (struct ta_verbs_rail){0};
}

static void break_all(struct ta_transport *t, const char *what, const char *device) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) {
        struct ta_verbs_path *path = t->path[i];
        if (path == NULL || !path->connected || path->state != TA_PEER_UP) continue;
        snprintf(path->why, sizeof path->why, "the path to peer %u is broken: RDMA device %s reports '%s'", i, device,
                 what);
        ta_verbs_path_break(t, path);
    }
}

static void break_one(struct ta_transport *t, unsigned rail, uint32_t qpn, const char *what) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) {
        struct ta_verbs_path *path = t->path[i];
        if (path == NULL || !path->connected || path->state != TA_PEER_UP) continue;
        if (path->lane[rail].qp->qp_num != qpn) continue;
        snprintf(
            path->why, sizeof path->why,
            "the path to peer %u is broken: RDMA device %s reports '%s' for queue pair %u: the peer wrote where it "
            "may not, or the device failed",
            i, t->rail[rail].place.device, what, qpn);
        ta_verbs_path_break(t, path);
    }
}

void ta_verbs_rail_listen(struct ta_transport *t, unsigned rail) {
    struct ibv_async_event event;
    const struct ta_verbs_place *place = &t->rail[rail].place;
    while (ibv_get_async_event(t->rail[rail].context, &event) == 0) {
        const char *what = ibv_event_type_str(event.event_type);
        uint32_t qpn = 0;
        switch (event.event_type) {
        case IBV_EVENT_QP_FATAL:
        case IBV_EVENT_QP_REQ_ERR:
        case IBV_EVENT_QP_ACCESS_ERR: qpn = event.element.qp->qp_num; break;
        case IBV_EVENT_PORT_ERR:
            /* Not the end of a path yet: what is in flight is sent again until the retries are used up. */
            ta_log_warn(t->config.log, "RDMA device %s: port %d is down: %s; check the link", place->device,
                        event.element.port_num, what);
            break;
        case IBV_EVENT_PORT_ACTIVE:
            ta_log_info(t->config.log, "RDMA device %s: port %d is up again", place->device, event.element.port_num);
            break;
        default: break;
        }
        bool fatal = event.event_type == IBV_EVENT_DEVICE_FATAL || event.event_type == IBV_EVENT_CQ_ERR;
        ibv_ack_async_event(&event);
        if (fatal) break_all(t, what, place->device);
        if (qpn != 0) break_one(t, rail, qpn, what);
    }
}
