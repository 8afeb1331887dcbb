/* control: who is there, rounds, notes: what exchanges other than live need of it, without its registers.
 *
 * A live exchange of a model without parameters: heartbeats, membership, boards, rounds, all over the transport and the
 * window that the exchange around it uses for what it puts itself: a payload in every slot. On one path puts keep their
 * order, so a payload that was put before `stepped` is there when the peer reads the header that claims the step.
 *
 *     struct ta_dasgd { struct ta_exchange base; struct ta_control control; ... }
 *
 * Members of the outer ops that it does not make itself it hands on: control->x->ops->settle(control->x, ...), ...
 * In `steps` and `records` of control->x, in acknowledgements and peer_stats are those given to
 * control->x->ops->stepped. A peer acknowledges what it has *heard* of; what it has not worked in yet is the outer
 * exchange's to know.
 *
 * One thread, that of the exchange.
 */
#ifndef TA_CONTROL_H
#define TA_CONTROL_H

#include "exchange.h"

struct ta_control {
    struct ta_exchange *x; /* the inner one */
    struct ta_model nothing;
    char *window;          /* ours, as a whole; host memory */
};

/* `payload_bytes`: for each pair, the same on all replicas. `start`: its steps, records and peer_steps are used. Models
 * with tables are refused (CONFIG): they are exchanged by row, by live alone. Errors: as ta_exchange_ops.open. `c` must
 * not move afterwards. */
ta_status ta_control_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                          size_t payload_bytes, struct ta_control *c);
void ta_control_close(struct ta_control *c); /* zeroed: fine */

/* Offset in the window of `owner` of the payload that `writer` (another rank) puts there; a multiple of 64. Every peer
 * is granted its own, and no other's. */
size_t ta_control_payload(const struct ta_control *c, unsigned owner, unsigned writer);
/* Can be put to, and is not gone. */
bool ta_control_reaches(const struct ta_control *c, unsigned peer);
/* Whoever comes to rest waits for it: neither gone nor a spare that has not joined. */
bool ta_control_counts(const struct ta_control *c, unsigned peer);
/* Has entered a round that it is not done with, or waits in the last one: it makes no step now. */
bool ta_control_rests(const struct ta_control *c, unsigned peer);

/* Puts of the inner exchange to `peer` so far: with its own, the outer one knows which of them have left (transport.h:
 * in_flight). */
uint64_t ta_control_puts(const struct ta_control *c, unsigned peer);
/* XXH3 of n floats where the weights live, as host bytes. Errors: of the kernels' copies. */
ta_status ta_control_checksum(struct ta_control *c, const float *values, size_t n, uint64_t *out);

#endif
