/* rendezvous: how replicas find each other's window keys before the first put, and again after a path has broken.
 *
 * Two ways, told apart by `store`. Replicas of one machine go through files in a directory only the owner can enter
 * (RUN_DIR/rendezvous, mode 0700): one for each sender, with all its keys (rendezvous_sheet.h), written under a
 * temporary name and renamed. Others go through the store of the run (store.h), as values "key/RECEIVER/SENDER". Either
 * way a record carries format, run id, sender, receiver, generation, model fingerprint and name, and a checksum; all
 * are checked before the key is handed out.
 *
 * A key has a generation: 1 at first. Whoever finds a path broken makes a new key of the next generation; the peer sees
 * a generation above its own, and does the same; both are then of one generation, and connect.
 *
 * Threads: one at a time. No call blocks.
 */
#ifndef TA_RENDEZVOUS_H
#define TA_RENDEZVOUS_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"
#include "sim_meeting.h"
#include "store.h"
#include "transport.h"

struct ta_rendezvous;

struct ta_rendezvous_config {
    const char *directory;  /* files: made with mode 0700 when missing; one that others can enter is refused (CONFIG) */
    struct ta_store *store; /* borrowed, outlives the rendezvous; NULL: files */
    struct ta_sim_meeting *meeting; /* of replicas in one process (sim_meeting.h), in place of both; borrowed. May be NULL */
    unsigned rank, n_ranks;
    uint64_t run_id;
    uint64_t fingerprint; /* of the model: shapes and kinds; replicas with different ones refuse each other */
    const char *model;    /* the same in words, for the message that names both; at most 127 bytes count. May be NULL */
};

ta_status ta_rendezvous_open(const struct ta_rendezvous_config *config, struct ta_rendezvous **out);
void ta_rendezvous_close(struct ta_rendezvous *r); /* removes what this replica published; NULL is fine */

/* Takes the place of what was published for that peer before. It goes out with the next flush, so that a key for every
 * peer costs one file. Errors: NO_MEMORY, PEER (the store is gone). */
ta_status ta_rendezvous_publish(struct ta_rendezvous *r, unsigned peer, uint32_t generation, const struct ta_key *key);
/* Nothing when nothing was published since. Errors: IO, NO_MEMORY. */
ta_status ta_rendezvous_flush(struct ta_rendezvous *r);
/* The newest key of `peer` for us. OK; AGAIN: not there yet (records of other runs are ignored); CONFIG: another model,
 * both named; FORMAT: damaged; IO; PEER: the store is gone and nothing was received before. The caller polls it. */
ta_status ta_rendezvous_lookup(struct ta_rendezvous *r, unsigned peer, uint32_t *generation, struct ta_key *out);
/* False: since this was asked before nobody has published or withdrawn anything: lookups would say what they said. */
bool ta_rendezvous_stirs(struct ta_rendezvous *r);

#endif
