/* gid: the names and the merits of addresses; of choose.h. */
#include <string.h>

#include "choose.h"

const char *ta_verbs_gid_type(uint32_t gid_type) {
    switch (gid_type) {
    case IBV_GID_TYPE_IB: return "IB";
    case IBV_GID_TYPE_ROCE_V1: return "RoCE v1";
    case IBV_GID_TYPE_ROCE_V2: return "RoCE v2";
    default: return "unknown";
    }
}

const char *ta_verbs_link_name(uint8_t link_layer) {
    switch (link_layer) {
    case IBV_LINK_LAYER_ETHERNET: return "Ethernet";
    case IBV_LINK_LAYER_INFINIBAND: return "InfiniBand";
    default: return "unknown";
    }
}

int ta_verbs_gid_rank(uint32_t gid_type, const union ibv_gid *gid) {
    static const uint8_t zero[16] = {0}, v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(gid->raw, zero, sizeof zero) == 0) return 0;
    bool link_local = gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80;
    if (gid_type == IBV_GID_TYPE_IB) return 6; /* its subnet prefix is fe80:: too, and fine */
    int best = gid_type == IBV_GID_TYPE_ROCE_V2 ? 5 : 2;
    if (memcmp(gid->raw, v4_mapped, sizeof v4_mapped) == 0) return best;
    if (gid_type != IBV_GID_TYPE_ROCE_V2) return 1;
    return link_local ? 3 : 4;
}

uint32_t ta_verbs_max_inline(struct ibv_context *context) {
    static const uint32_t sizes[] = {256, 128, 64};
    uint32_t found = 0;
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = pd != NULL ? ibv_create_cq(context, 1, NULL, NULL, 0) : NULL;
    for (size_t i = 0; cq != NULL && found == 0 && i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ibv_qp_init_attr attr = {
            .send_cq = cq,
            .recv_cq = cq,
            .qp_type = IBV_QPT_RC,
            .cap = {
                .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = sizes[i]}};
        struct ibv_qp *qp = ibv_create_qp(pd, &attr);
        if (qp == NULL) continue;
        found = sizes[i];
        ibv_destroy_qp(qp);
    }
    if (cq != NULL) ibv_destroy_cq(cq);
    if (pd != NULL) ibv_dealloc_pd(pd);
    return found;
}
