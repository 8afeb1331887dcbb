/* errors: completions that failed, in words a person can act on. */
#include <stdio.h>

#include "verbs.h"

static const char *hint_of(enum ibv_wc_status status) {
    switch (status) {
    case IBV_WC_RETRY_EXC_ERR: return "no answer for a second: the peer or the network is gone";
    case IBV_WC_REM_ACCESS_ERR:
        return "the peer's device refused it: the peer has left, took its window back, or does not let us write there";
    case IBV_WC_REM_INV_REQ_ERR:
    case IBV_WC_REM_OP_ERR:
    case IBV_WC_REM_ABORT_ERR: return "the peer's device could not do it: see its log";
    case IBV_WC_RNR_RETRY_EXC_ERR:
        return "the peer's queue pair waits for something that is never sent: run the same version everywhere";
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_LOC_LEN_ERR:
    case IBV_WC_LOC_ACCESS_ERR:
    case IBV_WC_MW_BIND_ERR:
        return "our own device refused it: memory that was freed while it was put, or a fault of this program";
    case IBV_WC_LOC_QP_OP_ERR:
        return "our own device could not do it: its port has gone down (ip link, rdma link), or memory was freed while "
               "it "
               "was put";
    case IBV_WC_WR_FLUSH_ERR:
        return "the queue pair was in error already: the peer wrote where it may not, or the device failed";
    case IBV_WC_FATAL_ERR: return "the device failed: see dmesg";
    default: return "see dmesg";
    }
}

static const char *state_name(struct ibv_qp *qp) {
    static const char *const names[] = {"reset",      "init", "ready to receive", "ready to send", "draining",
                                        "send error", "error"};
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    if (ibv_query_qp(qp, &attr, IBV_QP_STATE, &init) != 0) return "unknown";
    return (size_t)attr.qp_state < sizeof names / sizeof names[0] ? names[attr.qp_state] : "unknown";
}

/* The put that a work request belongs to: the first one that ends there or later. */
static const struct ta_verbs_put *put_of(const struct ta_verbs_path *path, unsigned rail, uint32_t count) {
    for (unsigned i = 0; i < path->count; i++) {
        const struct ta_verbs_put *put = &path->ring[(path->head + i) % TA_VERBS_PUTS];
        if (i >= path->n_posted || (int32_t)(put->end[rail] - count) >= 0) return put;
    }
    return NULL;
}

void ta_verbs_explain(const struct ta_transport *t, const struct ta_verbs_path *path, unsigned rail,
                      const struct ibv_wc *wc, char *out, size_t bytes) {
    struct ta_verbs_tag tag = ta_verbs_tag_unpack(wc->wr_id);
    const struct ta_verbs_put *put = put_of(path, rail, tag.count);
    char what[160] = "opening our window to it";
    if (put != NULL && tag.segment < put->n) {
        const struct ta_put_segment *s = &put->segment[tag.segment];
        snprintf(what, sizeof what, "segment %u of %u of a put (%zu bytes%s to offset %zu)", tag.segment, put->n,
                 s->rows == NULL ? s->bytes : s->bytes * s->n_rows, s->rows == NULL ? "" : " in rows",
                 s->target_offset);
    }
    snprintf(out, bytes,
             "the path to peer %u is broken: %s: %s (status %d, vendor %#x; queue pair %u of %s, to %.24s, is in state "
             "'%s'): %s",
             tag.peer, what, ibv_wc_status_str(wc->status), wc->status, wc->vendor_err, wc->qp_num,
             t->rail[rail].place.device, path->peer.rail[rail].device, state_name(path->lane[rail].qp),
             hint_of(wc->status));
}

void ta_verbs_place_text(const struct ta_verbs_place *place, char *out, size_t bytes) {
    snprintf(out, bytes, "device %s port %u, gid %u %s %s", place->device, place->port, place->gid_index,
             place->gid_text, place->gid_type);
}
