/* verbs_raw: plain libibverbs, as in any textbook. */
#include "verbs_raw.h"

#include "clock.h"
#include "expect.h"

enum { PSN = 77 };

static void find_gid(struct raw *raw) {
    struct ibv_gid_entry entry;
    assert_int_equal(ibv_query_gid_ex(raw->context, raw->place.port, raw->place.gid_index, &entry, 0), 0);
    struct ibv_port_attr port;
    assert_int_equal(ibv_query_port(raw->context, (uint8_t)raw->place.port, &port), 0);
    struct ta_verbs_key_rail *rail = &raw->ours.rail[0];
    memcpy(rail->gid, entry.gid.raw, sizeof rail->gid);
    rail->gid_type = (uint8_t)entry.gid_type;
    rail->lid = port.lid;
    rail->mtu = (uint8_t)port.active_mtu;
    rail->link = port.link_layer;
    snprintf(rail->device, sizeof rail->device, "raw");
}

static struct ibv_qp *make_qp(struct raw *raw, enum ibv_qp_type type) {
    struct ibv_qp_init_attr init = {.send_cq = raw->cq,
                                    .recv_cq = raw->cq,
                                    .qp_type = type,
                                    .cap = {.max_send_wr = 8, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT,
                               .port_num = (uint8_t)raw->place.port,
                               .qkey = 1,
                               .qp_access_flags = IBV_ACCESS_REMOTE_WRITE};
    struct ibv_qp *qp = ibv_create_qp(raw->pd, &init);
    assert_non_null(qp);
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;
    assert_int_equal(ibv_modify_qp(qp, &attr, mask | (type == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS)), 0);
    return qp;
}

void raw_open(struct raw *raw) {
    unsigned n;
    int n_devices;
    struct ta_verbs_place places[TA_VERBS_MAX_RAILS];
    *raw = (struct raw){.context = NULL};
    assert_ok(ta_verbs_choose(NULL, NULL, places, &n));
    raw->place = places[0];
    struct ibv_device **devices = ibv_get_device_list(&n_devices);
    for (int i = 0; i < n_devices; i++)
        if (strcmp(ibv_get_device_name(devices[i]), raw->place.device) == 0) raw->context = ibv_open_device(devices[i]);
    ibv_free_device_list(devices);
    assert_non_null(raw->context);
    raw->pd = ibv_alloc_pd(raw->context);
    raw->cq = ibv_create_cq(raw->context, 64, NULL, NULL, 0);
    assert_ok(ta_mem_alloc(RAW_BYTES, 1, "raw memory", (void **)&raw->memory));
    raw->mr = ibv_reg_mr(raw->pd, raw->memory, RAW_BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    assert_true(raw->pd != NULL && raw->cq != NULL && raw->mr != NULL);
    raw->qp = make_qp(raw, IBV_QPT_RC);
    raw->datagrams = make_qp(raw, IBV_QPT_UD);
    raw->ours = (struct ta_verbs_key){.window_base = (uintptr_t)raw->memory,
                                      .window_bytes = RAW_BYTES,
                                      .nonce = 4711,
                                      .n_rails = 1,
                                      .hello_qpn = raw->datagrams->qp_num,
                                      .hello_qkey = 1};
    raw->ours.rail[0].qpn = raw->qp->qp_num;
    raw->ours.rail[0].psn = PSN;
    raw->ours.rail[0].rkey[0] = raw->mr->rkey;
    find_gid(raw);
}

void raw_close(struct raw *raw) {
    if (raw->ah != NULL) ibv_destroy_ah(raw->ah);
    ibv_destroy_qp(raw->datagrams);
    ibv_destroy_qp(raw->qp);
    ibv_dereg_mr(raw->mr);
    ibv_destroy_cq(raw->cq);
    ibv_dealloc_pd(raw->pd);
    ibv_close_device(raw->context);
    ta_mem_free(raw->memory);
}

void raw_seal(const struct raw *raw, uint64_t run_id, struct ta_key *out) {
    struct ta_key_envelope envelope = {"verbs", run_id, RAW_RANK, 1};
    assert_ok(ta_key_seal(&envelope, &raw->ours, sizeof raw->ours, out));
}

void raw_connect(struct raw *raw, uint64_t run_id, const struct ta_key *theirs) {
    struct ta_key_envelope envelope = {"verbs", run_id, 1, RAW_RANK};
    assert_ok(ta_key_open(&envelope, theirs, &raw->theirs, sizeof raw->theirs));
    const struct ta_verbs_key_rail *to = &raw->theirs.rail[0];
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR,
                               .path_mtu = IBV_MTU_1024,
                               .dest_qp_num = to->qpn,
                               .rq_psn = to->psn,
                               .ah_attr = {.is_global = 1, .port_num = (uint8_t)raw->place.port, .dlid = to->lid}};
    if ((enum ibv_mtu)to->mtu < attr.path_mtu) attr.path_mtu = (enum ibv_mtu)to->mtu;
    memcpy(attr.ah_attr.grh.dgid.raw, to->gid, sizeof to->gid);
    attr.ah_attr.grh.sgid_index = (uint8_t)raw->place.gid_index;
    attr.ah_attr.grh.hop_limit = 64;
    raw->ah = ibv_create_ah(raw->pd, &attr.ah_attr);
    assert_non_null(raw->ah);
    assert_int_equal(ibv_modify_qp(raw->qp, &attr,
                                   IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
                     0);
    attr =
        (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 6, .sq_psn = PSN, .max_rd_atomic = 1};
    assert_int_equal(ibv_modify_qp(raw->qp, &attr,
                                   IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                                       IBV_QP_MAX_QP_RD_ATOMIC),
                     0);
    struct ibv_qp_attr receive = {.qp_state = IBV_QPS_RTR}, send = {.qp_state = IBV_QPS_RTS};
    assert_int_equal(ibv_modify_qp(raw->datagrams, &receive, IBV_QP_STATE), 0);
    assert_int_equal(ibv_modify_qp(raw->datagrams, &send, IBV_QP_STATE | IBV_QP_SQ_PSN), 0);
}

static enum ibv_wc_status wait_for(struct raw *raw) {
    struct ibv_wc wc;
    int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    while (ibv_poll_cq(raw->cq, 1, &wc) == 0)
        if (ta_clock_now_ns() > limit_ns) fail_msg("no completion");
    return wc.status;
}

enum ibv_wc_status raw_do(struct raw *raw, enum ibv_wr_opcode opcode, uint64_t at, uint32_t bytes, uint32_t rkey) {
    struct ibv_sge sge = {(uintptr_t)raw->memory, bytes, raw->mr->lkey};
    struct ibv_send_wr *bad, wr = {.sg_list = &sge, .num_sge = 1, .opcode = opcode, .send_flags = IBV_SEND_SIGNALED};
    if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        wr.wr.atomic.remote_addr = at;
        wr.wr.atomic.rkey = rkey;
        wr.wr.atomic.compare_add = 1;
    } else {
        wr.wr.rdma.remote_addr = at;
        wr.wr.rdma.rkey = rkey;
    }
    assert_int_equal(ibv_post_send(raw->qp, &wr, &bad), 0);
    return wait_for(raw);
}

void raw_say(struct raw *raw, const void *message, size_t bytes) {
    assert_true(bytes <= RAW_BYTES / 2);
    memcpy(raw->memory + RAW_BYTES / 2, message, bytes);
    struct ibv_sge sge = {(uintptr_t)raw->memory + RAW_BYTES / 2, (uint32_t)bytes, raw->mr->lkey};
    struct ibv_send_wr *bad,
        wr = {.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED};
    wr.wr.ud.ah = raw->ah;
    wr.wr.ud.remote_qpn = raw->theirs.hello_qpn;
    wr.wr.ud.remote_qkey = raw->theirs.hello_qkey;
    assert_int_equal(ibv_post_send(raw->datagrams, &wr, &bad), 0);
    assert_int_equal(wait_for(raw), IBV_WC_SUCCESS);
}
