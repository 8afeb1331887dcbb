/* record: what made an asynchronous run come out as it did, written down by each replica for itself, step by step.
 *
 * The weights a gradient is computed on are a sum of registers, each as its owner left it after some step. With which
 * step of which rank is all that a live run leaves to chance; so a recording is a list of these, and a replay
 * (replay.h) computes the rest again, bit for bit.
 *
 *     head    64-bit words in the order of the machine: magic, bytes of the head, then the numbers of struct
 *             ta_record_head and the lengths of its texts; the texts, each with its zero; XXH3 of all of that
 *     events  a kind (1 byte), then
 *       STEP, BAD   a gradient became an update; was not finite, and changed nothing. varint: by how much the position
 *                   (exchange.h) has grown since the event before; for each rank a varint: by how much the steps in the
 *                   weights have. With SCALED set 4 bytes follow: the scale of the update, where it was not the usual
 *       CHECK       8 bytes: XXH3 of our register, after each `check_every` steps of ours
 *       REST        varint round (0: the last one), varint as above, 8 bytes: XXH3 of the weights
 *       END         1 byte reason, varint rank: nothing after this was recorded
 *       SEAL        8 bytes: XXH3 of all bytes since the seal before (or the head)
 *
 * Varints hold 7 bits a byte, the lowest first. The file is mapped, and a kind is written after what follows it, so a
 * process that is killed leaves all it has recorded; what it had reserved beyond is zero, which is no kind.
 *
 * A recorder that cannot write says so once (ta_recorder_why) and writes nothing more: the run goes on.
 *
 * One thread, that of the exchange.
 */
#ifndef TA_RECORD_H
#define TA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define TA_RECORD_MAGIC UINT64_C(0x0001444345524154) /* "TARECD", format 1 */

enum {
    TA_RECORD_CHECK_EVERY = 64,
    TA_RECORD_NUMBERS = 11,
    TA_RECORD_TEXTS = 3,
    TA_RECORD_WORDS = 2 + TA_RECORD_NUMBERS + TA_RECORD_TEXTS, /* of a head, without its texts */
    TA_RECORD_EVENT_BYTES = 32,                                /* of an event at most, without its versions */
    TA_RECORD_RESERVE = 64 * 1024                              /* a file that was not closed has a multiple of that */
};

enum ta_record_kind {
    TA_RECORD_NONE,
    TA_RECORD_STEP,
    TA_RECORD_BAD,
    TA_RECORD_CHECK,
    TA_RECORD_REST,
    TA_RECORD_END,
    TA_RECORD_SEAL,
    TA_RECORD_SCALED = 64 /* a flag of STEP and BAD */
};

/* Why a recording ends before its run: a peer was lost; somebody has joined. */
enum ta_record_end { TA_RECORD_END_LOST = 1, TA_RECORD_END_JOINED };

/* Texts are borrowed. What a replay must have in common with the run, and what it is told by. */
struct ta_record_head {
    uint64_t rank, n_ranks, epoch;            /* epoch: the life of the run */
    uint64_t seed, n_params, fingerprint;     /* of the model */
    uint64_t stream_records, stream_checksum;
    uint64_t steps, records;                  /* of this rank before the first event */
    uint64_t check_every;
    const char *config;                       /* the effective configuration, as YAML */
    const char *resume;                       /* the checkpoint this life went on from; "": none */
    const char *program;                      /* its version */
};

struct ta_recorder_config {
    const char *path;           /* of the file; made anew */
    struct ta_record_head head;
    int64_t (*now_ns)(void);    /* to measure what recording costs; NULL: it is not measured */
};

struct ta_recorder;

/* Errors: IO, NO_MEMORY. */
ta_status ta_recorder_open(const struct ta_recorder_config *config, struct ta_recorder **out);
/* Seals the file and cuts off what was reserved. Errors: IO. NULL is fine. */
ta_status ta_recorder_close(struct ta_recorder *r);

/* A gradient was made an update. `versions` [n_ranks]: the steps of each in the weights it was computed on. */
struct ta_recorded_step {
    uint64_t position;
    const uint64_t *versions;
    bool finite;
    bool scaled; /* `scale` is not that of every update */
    float scale;
};
void ta_recorder_step(struct ta_recorder *r, const struct ta_recorded_step *step);
void ta_recorder_check(struct ta_recorder *r, uint64_t checksum);
void ta_recorder_rest(struct ta_recorder *r, uint32_t round, uint64_t position, uint64_t checksum); /* round 0: last */
/* The recording ends here; what is told later is not written. */
void ta_recorder_end(struct ta_recorder *r, enum ta_record_end reason, unsigned rank);
bool ta_recorder_ended(const struct ta_recorder *r);

/* Time between the two calls counts as spent on recording. */
int64_t ta_recorder_begin(const struct ta_recorder *r);
void ta_recorder_spent(struct ta_recorder *r, int64_t since_ns);

struct ta_record_cost {
    int64_t spent_ns;
    uint64_t bytes, steps;
};
void ta_recorder_cost(const struct ta_recorder *r, struct ta_record_cost *out);
/* Why it writes no more, once; NULL: it does, or it was told already. */
const char *ta_recorder_why(struct ta_recorder *r);

#endif
