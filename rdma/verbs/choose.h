/* choose: which ports a transport uses, and with which address; what a user asked for, hints of the environment that
 * other programs know (NCCL_IB_HCA, NCCL_IB_GID_INDEX, UCX_NET_DEVICES), else what is nearest. For rdma/verbs only.
 */
#ifndef TA_VERBS_CHOOSE_H
#define TA_VERBS_CHOOSE_H

#include <infiniband/verbs.h>
#include <stdint.h>

#include "log.h"
#include "survey.h"
#include "transport.h"

enum { TA_VERBS_MAX_RAILS = 4 };

struct ta_verbs_place {
    char device[64];
    unsigned port, gid_index;
    char gid_text[48], gid_type[16];
};

/* `places` gets one for each rail, the nearest first. Names that `spec` gives must be there and up; a hint that fits
 * nothing is said in the log and ignored. Errors: DEVICE (none, none up: the cure), CONFIG (spec names what is not
 * there, more rails than ports), NO_MEMORY. */
ta_status ta_verbs_choose(const struct ta_transport_spec *spec, struct ta_log *log,
                          struct ta_verbs_place places[TA_VERBS_MAX_RAILS], unsigned *n_rails);

const char *ta_verbs_gid_type(uint32_t gid_type);   /* of enum ibv_gid_type: "IB", "RoCE v1", "RoCE v2" */
const char *ta_verbs_link_name(uint8_t link_layer); /* "Ethernet", "InfiniBand" */
/* How much an address is to be preferred; 0: not fit. RoCE v2 of an IPv4 address, of an IPv6 address, of a link-local
 * one; RoCE v1 last, which no router forwards. InfiniBand has one kind. */
int ta_verbs_gid_rank(uint32_t gid_type, const union ibv_gid *gid);
/* The most bytes a work request can carry inside itself, of those worth asking for: 256 at most. Tried out, because no
 * query tells. */
uint32_t ta_verbs_max_inline(struct ibv_context *context);

#endif
