/* lane: a reliable queue pair from RESET to RTS, and memory windows or registrations. */
#include "lane.h"

#include <errno.h>
#include <sys/random.h>

enum { PSN_MASK = 0xffffff, HOPS = 64 };

static ta_status create_qp(struct ta_verbs_rail *rail, struct ta_verbs_lane *lane) {
    struct ibv_qp_init_attr init = {.send_cq = rail->cq,
                                    .recv_cq = rail->cq,
                                    .qp_type = IBV_QPT_RC,
                                    .cap = {.max_send_wr = rail->depth,
                                            .max_recv_wr = 1, /* never used: some devices refuse 0 */
                                            .max_send_sge = 1,
                                            .max_recv_sge = 1,
                                            .max_inline_data = rail->max_inline}};
    lane->qp = ibv_create_qp(rail->pd, &init);
    if (lane->qp == NULL)
        return ta_fail_errno(TA_DEVICE, "RDMA device %s: a queue pair of %u work requests", rail->place.device,
                             rail->depth);
    lane->max_inline = init.cap.max_inline_data < rail->max_inline ? init.cap.max_inline_data : rail->max_inline;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_INIT, .port_num = (uint8_t)rail->place.port, .qp_access_flags = IBV_ACCESS_REMOTE_WRITE};
    int failed = ibv_modify_qp(lane->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    if (failed == 0) return TA_OK;
    errno = failed;
    return ta_fail_errno(TA_DEVICE, "RDMA device %s: queue pair %u to state INIT", rail->place.device,
                         lane->qp->qp_num);
}

/* One right: a window that will be bound when the queue pair runs, its key known before; or a registration. GPU memory
 * is registered: no window is bound to a dma-buf (ibv_reg_dmabuf_mr(3)). */
static ta_status make_right(struct ta_transport *t, unsigned rail, struct ta_verbs_lane *lane, unsigned i,
                            const struct ta_verbs_right *right) {
    struct ta_verbs_rail *r = &t->rail[rail];
    if (right->range.bytes == 0) return TA_OK;
    struct ta_verbs_memory memory = {right->far ? TA_MEM_GPU : t->window.kind, (void *)(uintptr_t)right->address,
                                     right->range.bytes};
    bool bound = r->windows_2 && !right->far;
    int access = IBV_ACCESS_LOCAL_WRITE | (bound ? IBV_ACCESS_MW_BIND : IBV_ACCESS_REMOTE_WRITE);
    ta_status status = ta_verbs_register(t, rail, &memory, access, &lane->mr[i]);
    if (status != TA_OK) return status;
    lane->rkey[i] = lane->mr[i]->rkey;
    if (!bound) return TA_OK;
    lane->mw[i] = ibv_alloc_mw(r->pd, IBV_MW_TYPE_2);
    if (lane->mw[i] == NULL) return ta_fail_errno(TA_DEVICE, "RDMA device %s: a memory window", r->place.device);
    lane->rkey[i] = ibv_inc_rkey(lane->mw[i]->rkey);
    return TA_OK;
}

ta_status ta_verbs_lane_open(struct ta_transport *t, unsigned rail, struct ta_verbs_lane *lane,
                             const struct ta_verbs_right *rights, unsigned n) {
    *lane = (struct ta_verbs_lane){0};
    if (getrandom(&lane->psn, sizeof lane->psn, 0) != sizeof lane->psn) return ta_fail_errno(TA_IO, "getrandom");
    lane->psn &= PSN_MASK;
    ta_status status = create_qp(&t->rail[rail], lane);
    for (unsigned i = 0; i < n && status == TA_OK; i++) status = make_right(t, rail, lane, i, &rights[i]);
    return status;
}

void ta_verbs_lane_close(struct ta_transport *t, struct ta_verbs_lane *lane) {
    /* Rights first: what the peer still has on its way is refused, and it hears so at once. */
    for (unsigned i = 0; i < TA_VERBS_RIGHTS; i++) {
        if (lane->mw[i] != NULL) ibv_dealloc_mw(lane->mw[i]);
        ta_verbs_deregister(t, &lane->mr[i]);
    }
    if (lane->qp != NULL) ibv_destroy_qp(lane->qp);
    *lane = (struct ta_verbs_lane){0};
}

struct ibv_ah_attr ta_verbs_address(const struct ta_verbs_rail *rail, const struct ta_verbs_key_rail *to) {
    struct ibv_ah_attr address = {.port_num = (uint8_t)rail->place.port};
    union ibv_gid gid;
    for (size_t i = 0; i < sizeof to->gid; i++) gid.raw[i] = to->gid[i];
    bool routed = rail->port.link_layer != IBV_LINK_LAYER_INFINIBAND ||
                  gid.global.subnet_prefix != rail->gid.global.subnet_prefix;
    address.dlid = to->lid;
    address.is_global = routed;
    if (routed)
        address.grh =
            (struct ibv_global_route){.dgid = gid, .sgid_index = (uint8_t)rail->place.gid_index, .hop_limit = HOPS};
    return address;
}

static ta_status no_way(const struct ta_verbs_rail *rail, unsigned peer, const struct ta_verbs_key_rail *to, int why) {
    bool of_network = why == ENETUNREACH || why == EHOSTUNREACH || why == ETIMEDOUT || why == EINVAL;
    errno = why;
    return ta_fail_errno(
        of_network ? TA_PEER : TA_DEVICE,
        "no way from RDMA device %s (%s) to %s of peer %u: both must be in networks that reach each other",
        rail->place.device, rail->place.gid_text, to->device, peer);
}

ta_status ta_verbs_lane_connect(struct ta_transport *t, unsigned rail, struct ta_verbs_lane *lane, unsigned peer,
                                const struct ta_verbs_key_rail *to) {
    const struct ta_verbs_rail *r = &t->rail[rail];
    enum ibv_mtu mtu = to->mtu < r->port.active_mtu ? (enum ibv_mtu)to->mtu : r->port.active_mtu;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR,
                               .path_mtu = mtu,
                               .dest_qp_num = to->qpn,
                               .rq_psn = to->psn & PSN_MASK,
                               .ah_attr = ta_verbs_address(r, to)};
    int failed = ibv_modify_qp(lane->qp, &attr,
                               IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                   IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
    if (failed != 0) return no_way(r, peer, to, failed);
    attr = (struct ibv_qp_attr){
        .qp_state = IBV_QPS_RTS, .timeout = TA_VERBS_TIMEOUT, .retry_cnt = TA_VERBS_RETRIES, .sq_psn = lane->psn};
    failed = ibv_modify_qp(lane->qp, &attr,
                           IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                               IBV_QP_MAX_QP_RD_ATOMIC);
    if (failed != 0) return no_way(r, peer, to, failed);
    lane->in_order = ibv_query_qp_data_in_order(lane->qp, IBV_WR_RDMA_WRITE, 0) == 1;
    return TA_OK;
}
