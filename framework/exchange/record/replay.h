/* replay: a recorded run (record.h) again, bit for bit: an exchange without puts, all ranks of which live in one
 * thread.
 *
 * Each rank computes on exactly the steps that its recording names. `ready` says AGAIN until those of the others have
 * been made, so whoever turns the replicas round and round repeats the run, in any order of turns. What is recomputed
 * is compared on the way: registers every so many steps, weights at every rest; the first that differs is an error.
 *
 * Where the recordings end before their run did (a replica was lost, the machine went down) nobody can go on any more:
 * ta_replay_stuck.
 *
 * The owner of a rank asks ta_replay_drops after it has taken a batch, and ta_replay_is_over before it takes one: which
 * batches came too late, and when the share ended by the clock, stands in the recording too.
 *
 * Threads: one, for all ranks together.
 */
#ifndef TA_REPLAY_H
#define TA_REPLAY_H

#include "exchange.h"
#include "record_read.h"

struct ta_replay;

/* `records` [n_ranks], in rank order, of one life of one run; borrowed. `drops`: the run left out batches that came too
 * late. Errors: FORMAT (not of one run), NO_MEMORY. */
ta_status ta_replay_open(const struct ta_record *records, unsigned n_ranks, bool drops, struct ta_replay **out);
void ta_replay_close(struct ta_replay *replay); /* after the exchanges; NULL is fine */

/* The make; config->replay is ta_replay_open's. Errors of step and settle, beside exchange.h's: FAILED: what came out
 * is not what was recorded (which rank, which step, both numbers). */
extern const struct ta_exchange_ops ta_exchange_replay;

/* The share of the rank ends here. */
bool ta_replay_is_over(const struct ta_replay *replay, unsigned rank);
/* The batch of x->position, just taken, was dropped. */
bool ta_replay_drops(const struct ta_replay *replay, unsigned rank);

/* Where the replay stands still: when that step of that rank has been made. */
void ta_replay_until(struct ta_replay *replay, unsigned rank, uint64_t step);
/* Rises with every step and every rest of any rank. */
uint64_t ta_replay_moves(const struct ta_replay *replay);

struct ta_replay_look {
    bool reached;         /* the step of ta_replay_until is made */
    double gradient_norm; /* of that step, */
    float scale;          /* of its update */
    uint64_t steps, rests, checks; /* replayed; compared with what was recorded, all equal */
    size_t held_bytes, most_bytes; /* of registers kept for somebody, now and at most */
};
void ta_replay_look(const struct ta_replay *replay, struct ta_replay_look *out);
/* XXH3 of a register of the model of `x`; the step of `rank` that is in w (UINT64_MAX: none yet). */
ta_status ta_replay_checksum(const struct ta_exchange *x, const float *values, uint64_t *out);
uint64_t ta_replay_held(const struct ta_exchange *x, unsigned rank);
/* Why this rank cannot go on, in words ("waits for step 7 of rank 2, whose recording ends at step 6"). */
void ta_replay_describe(const struct ta_replay *replay, unsigned rank, char *out, size_t bytes);

#endif
