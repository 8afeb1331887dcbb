/* verbs_raw: a peer made by hand, of verbs calls alone, so that it can do what no transport does: read, write beyond
 * its range, show keys of others. It is rank 2 to an owner of rank 1.
 */
#ifndef TA_TEST_VERBS_RAW_H
#define TA_TEST_VERBS_RAW_H

#include "verbs/verbs.h"

enum { RAW_RANK = 2, RAW_RANKS = 3, RAW_BYTES = 4096 };

struct raw {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_cq *cq;
    struct ibv_qp *qp, *datagrams;
    struct ibv_mr *mr;
    struct ibv_ah *ah;
    unsigned char *memory; /* [RAW_BYTES]; the owner may write all of it */
    struct ta_verbs_place place;
    struct ta_verbs_key ours, theirs;
};

void raw_open(struct raw *raw);
void raw_close(struct raw *raw);
/* Its key for the owner, of run `run_id`; may be changed and sealed again before the owner connects with it. */
void raw_seal(const struct raw *raw, uint64_t run_id, struct ta_key *out);
/* Connects to the owner by the key it made for rank 2. */
void raw_connect(struct raw *raw, uint64_t run_id, const struct ta_key *theirs);
/* One signalled work request between our memory and address `at` of the owner; how it completed. */
enum ibv_wc_status raw_do(struct raw *raw, enum ibv_wr_opcode opcode, uint64_t at, uint32_t bytes, uint32_t rkey);
/* A datagram to where the owner hears hellos. */
void raw_say(struct raw *raw, const void *message, size_t bytes);

#endif
