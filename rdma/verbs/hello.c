/* hello: one unreliable queue pair a replica, on its first rail, for datagrams that say "my side of the path is ready".
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lane.h"
#include "mem.h"
#include "verbs.h"

enum {
    SLOTS = 128,    /* each way; what finds no slot is said again */
    GRH_BYTES = 40, /* a received datagram begins with room for a routing header */
    SLOT_BYTES = 128,
    HELLO_MAGIC = 0x54414821,
    POLL = 16,
};

#define LISTEN_NS INT64_C(1000000)
#define HELLO_AGAIN_NS INT64_C(10000000) /* doubled four times: a thousand peers that wait must not drown the rest */

struct message {
    uint32_t magic, sender, receiver, heard; /* heard: ours has reached us; no answer needed */
    uint64_t run_id, from, to;               /* nonces of the two keys */
};

_Static_assert(sizeof(struct message) + GRH_BYTES <= SLOT_BYTES, "a hello fits a slot");

static ta_status post_receive(struct ta_verbs_hello *h, unsigned slot) {
    struct ibv_sge sge = {(uintptr_t)h->buffers + (size_t)slot * SLOT_BYTES, SLOT_BYTES, h->mr->lkey};
    struct ibv_recv_wr *bad, wr = {.wr_id = slot, .sg_list = &sge, .num_sge = 1};
    errno = ibv_post_recv(h->qp, &wr, &bad);
    return errno == 0 ? TA_OK : ta_fail_errno(TA_DEVICE, "a receive buffer for hellos");
}

static ta_status start_qp(const struct ta_verbs_rail *rail, struct ta_verbs_hello *h) {
    struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT, .port_num = (uint8_t)rail->place.port, .qkey = h->qkey};
    struct ibv_qp_attr receive = {.qp_state = IBV_QPS_RTR}, send = {.qp_state = IBV_QPS_RTS};
    int failed = ibv_modify_qp(h->qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
    if (failed == 0) failed = ibv_modify_qp(h->qp, &receive, IBV_QP_STATE);
    if (failed == 0) failed = ibv_modify_qp(h->qp, &send, IBV_QP_STATE | IBV_QP_SQ_PSN);
    errno = failed;
    return failed == 0 ? TA_OK
                       : ta_fail_errno(TA_DEVICE, "RDMA device %s: a queue pair for hellos", rail->place.device);
}

ta_status ta_verbs_hello_open(struct ta_transport *t) {
    struct ta_verbs_hello *h = &t->hello;
    struct ta_verbs_rail *rail = &t->rail[0];
    ta_status status = ta_mem_alloc(2 * SLOTS, SLOT_BYTES, "slots for hellos", (void **)&h->buffers);
    struct ta_verbs_memory memory = {TA_MEM_HOST, h->buffers, 2 * (size_t)SLOTS * SLOT_BYTES};
    if (status == TA_OK) status = ta_verbs_register(t, 0, &memory, IBV_ACCESS_LOCAL_WRITE, &h->mr);
    if (status != TA_OK) return status;
    if (getrandom(&h->qkey, sizeof h->qkey, 0) != sizeof h->qkey) return ta_fail_errno(TA_IO, "getrandom");
    h->qkey &= INT32_MAX; /* the highest bit means something else (IBA: controlled keys) */
    h->cq = ibv_create_cq(rail->context, 2 * SLOTS, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {
        .send_cq = h->cq,
        .recv_cq = h->cq,
        .qp_type = IBV_QPT_UD,
        .sq_sig_all = 1,
        .cap = {.max_send_wr = SLOTS, .max_recv_wr = SLOTS, .max_send_sge = 1, .max_recv_sge = 1}};
    if (h->cq != NULL) h->qp = ibv_create_qp(rail->pd, &init);
    if (h->qp == NULL) return ta_fail_errno(TA_DEVICE, "RDMA device %s: a queue pair for hellos", rail->place.device);
    status = start_qp(rail, h);
    for (unsigned i = 0; i < SLOTS && status == TA_OK; i++) status = post_receive(h, i);
    return status;
}

void ta_verbs_hello_close(struct ta_transport *t) {
    struct ta_verbs_hello *h = &t->hello;
    if (h->qp != NULL) ibv_destroy_qp(h->qp);
    if (h->cq != NULL) ibv_destroy_cq(h->cq);
    ta_verbs_deregister(t, &h->mr);
    ta_mem_free(h->buffers);
    *h = (struct ta_verbs_hello){0};
}

ta_status ta_verbs_hello_address(struct ta_transport *t, struct ta_verbs_path *path) {
    struct ibv_ah_attr address = ta_verbs_address(&t->rail[0], &path->peer.rail[0]);
    path->ah = ibv_create_ah(t->rail[0].pd, &address);
    return path->ah != NULL ? TA_OK : ta_fail_errno(TA_DEVICE, "RDMA device %s: an address", t->rail[0].place.device);
}

static void say(struct ta_transport *t, unsigned peer, int64_t now_ns) {
    struct ta_verbs_hello *h = &t->hello;
    struct ta_verbs_path *path = t->path[peer];
    if (h->sent - h->sent_done >= SLOTS) return;
    unsigned char *slot = h->buffers + (SLOTS + h->sent % SLOTS) * (size_t)SLOT_BYTES;
    struct message message = {.magic = HELLO_MAGIC,
                              .sender = t->config.rank,
                              .receiver = peer,
                              .heard = path->ready,
                              .run_id = t->config.run_id,
                              .from = path->nonce,
                              .to = path->peer.nonce};
    memcpy(slot, &message, sizeof message);
    struct ibv_sge sge = {(uintptr_t)slot, sizeof message, h->mr->lkey};
    struct ibv_send_wr *bad, wr = {.wr_id = SLOTS, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND};
    wr.wr.ud.ah = path->ah;
    wr.wr.ud.remote_qpn = path->peer.hello_qpn;
    wr.wr.ud.remote_qkey = path->peer.hello_qkey;
    path->hello_ns = now_ns;
    path->n_hellos++;
    if (ibv_post_send(h->qp, &wr, &bad) == 0) h->sent++;
}

/* Anybody in the network may send datagrams here: only who knows the nonces of both keys is heard. */
static void hear(struct ta_transport *t, const struct message *m, int64_t now_ns) {
    if (m->magic != HELLO_MAGIC || m->run_id != t->config.run_id || m->receiver != t->config.rank) return;
    if (m->sender >= t->config.n_ranks || t->path[m->sender] == NULL) return;
    struct ta_verbs_path *path = t->path[m->sender];
    if (!path->connected || path->state != TA_PEER_UP) return;
    if (m->to != path->nonce || m->from != path->peer.nonce) return;
    if (!path->ready) t->unready--;
    path->ready = true;
    if (!m->heard && path->bound) say(t, m->sender, now_ns);
}

static void listen(struct ta_transport *t, int64_t now_ns) {
    struct ta_verbs_hello *h = &t->hello;
    struct ibv_wc wc[POLL];
    int n = ibv_poll_cq(h->cq, POLL, wc);
    for (int i = 0; i < n; i++) {
        if (wc[i].wr_id == SLOTS) {
            h->sent_done++;
            continue;
        }
        struct message message;
        if (wc[i].status == IBV_WC_SUCCESS && wc[i].byte_len == GRH_BYTES + sizeof message) {
            memcpy(&message, h->buffers + wc[i].wr_id * SLOT_BYTES + GRH_BYTES, sizeof message);
            hear(t, &message, now_ns);
        }
        if (wc[i].status != IBV_WC_WR_FLUSH_ERR) post_receive(h, (unsigned)wc[i].wr_id);
    }
}

void ta_verbs_hello_progress(struct ta_transport *t, int64_t now_ns) {
    struct ta_verbs_hello *h = &t->hello;
    /* Once all are heard, only somebody who did not hear us can have something to say. */
    if (t->unready == 0 && now_ns >= h->listened_ns && now_ns - h->listened_ns < LISTEN_NS) return;
    h->listened_ns = now_ns;
    listen(t, now_ns);
    for (unsigned i = 0; t->unready > 0 && i < t->config.n_ranks; i++) {
        struct ta_verbs_path *path = t->path[i];
        if (path == NULL || path->state != TA_PEER_UP || path->ready || !path->bound) continue;
        int64_t wait_ns = HELLO_AGAIN_NS << (path->n_hellos < 4 ? path->n_hellos : 4);
        if (path->n_hellos == 0 || now_ns < path->hello_ns || now_ns - path->hello_ns >= wait_ns) say(t, i, now_ns);
    }
}
