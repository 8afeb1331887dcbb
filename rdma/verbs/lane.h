/* lane: the life of one queue pair of a path, and what its peer may write. For path.c only.
 *
 * Rights are write rights and nothing else: no queue pair and no registration of this folder allows remote reads or
 * atomics. Where the device has memory windows of type 2, a peer's key opens our memory on its own queue pair alone, so
 * that it is of no use to anybody else. Either way a range is registered once for each peer, and no further: soft-RoCE
 * (rxe of Linux 6.1) checks a write through a memory window against the registration below it, not against the window.
 */
#ifndef TA_VERBS_LANE_H
#define TA_VERBS_LANE_H

#include "verbs.h"

/* Creates the queue pair, ready to be connected, and `n` rights to the window. Errors: DEVICE, CONFIG,
 * NO_MEMORY; the lane can be closed then. */
ta_status ta_verbs_lane_open(struct ta_transport *t, unsigned rail, struct ta_verbs_lane *lane,
                             const struct ta_verbs_right *rights, unsigned n);
void ta_verbs_lane_close(struct ta_transport *t, struct ta_verbs_lane *lane); /* a zeroed one is fine */
/* Errors: PEER (no way there), DEVICE. */
ta_status ta_verbs_lane_connect(struct ta_transport *t, unsigned rail, struct ta_verbs_lane *lane, unsigned peer,
                                const struct ta_verbs_key_rail *to);
/* The address vector to a peer's port, for its queue pairs and its hellos. */
struct ibv_ah_attr ta_verbs_address(const struct ta_verbs_rail *rail, const struct ta_verbs_key_rail *to);

#endif
