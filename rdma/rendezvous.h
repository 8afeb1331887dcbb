/* rendezvous: how replicas find each other's window keys before the first put.
 *
 * This make goes through files in a directory only the owner can enter (RUN_DIR/rendezvous, mode 0700): a replica
 * publishes one small record per peer, by writing a temporary file and renaming it; the peer polls for it. Each record
 * carries format, run id, sender, receiver, model fingerprint and a checksum; all are checked before the key is handed
 * out. Only for replicas that see the same directory.
 *
 * Threads: one at a time. No call blocks.
 */
#ifndef TA_RENDEZVOUS_H
#define TA_RENDEZVOUS_H

#include <stdint.h>

#include "status.h"
#include "transport.h"

struct ta_rendezvous;

struct ta_rendezvous_config {
    const char *directory; /* created with mode 0700 when missing; one that others can enter is refused (CONFIG) */
    unsigned rank, n_ranks;
    uint64_t run_id;
    uint64_t fingerprint; /* of the model: shapes and kinds; replicas with different ones refuse each other */
};

ta_status ta_rendezvous_open(const struct ta_rendezvous_config *config, struct ta_rendezvous **out);
void ta_rendezvous_close(struct ta_rendezvous *r); /* removes what this replica published; NULL is fine */

/* Errors: IO. */
ta_status ta_rendezvous_publish(struct ta_rendezvous *r, unsigned peer, const struct ta_key *key);
/* OK; AGAIN: not there yet (records of other runs are ignored); CONFIG: another model, both fingerprints named; FORMAT:
 * damaged; IO. */
ta_status ta_rendezvous_lookup(struct ta_rendezvous *r, unsigned peer, struct ta_key *out);

#endif
