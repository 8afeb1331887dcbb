/* sim_meeting: where the replicas of one process leave their keys for each other: memory, in place of the files and the
 * store of rendezvous.h.
 *
 * Threads: one.
 */
#ifndef TA_SIM_MEETING_H
#define TA_SIM_MEETING_H

#include <stdint.h>

#include "status.h"
#include "transport.h"

struct ta_sim_meeting;

ta_status ta_sim_meeting_open(struct ta_sim_meeting **out); /* Errors: NO_MEMORY */
void ta_sim_meeting_close(struct ta_sim_meeting *m);        /* NULL is fine */

/* Takes the place of what `sender` left for `receiver` before. Errors: NO_MEMORY. */
ta_status ta_sim_meeting_leave(struct ta_sim_meeting *m, unsigned sender, unsigned receiver, uint32_t generation,
                               const struct ta_key *key);
/* AGAIN: nothing there. */
ta_status ta_sim_meeting_find(const struct ta_sim_meeting *m, unsigned sender, unsigned receiver, uint32_t *generation,
                              struct ta_key *out);
void ta_sim_meeting_withdraw(struct ta_sim_meeting *m, unsigned sender, unsigned receiver);

#endif
