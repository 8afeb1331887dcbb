/* replayer_rig: a replayer over a fake stream, for tests: what it hands out is compared with what the stream said. */
#ifndef TA_TEST_REPLAYER_RIG_H
#define TA_TEST_REPLAYER_RIG_H

#include "fake.h"
#include "replayer.h"

struct rig {
    struct fake_stream fake;
    struct ta_share share;
    struct ta_replayer_config config;
    struct ta_replayer *r;
};

/* A stream and one replica's share of it, in batches of 10 and a ring of 4; `config` may be changed before rig_open. */
void rig_make(struct rig *rig, const struct fake_options *options, unsigned rank, unsigned n);
void rig_open(struct rig *rig, int64_t start_ns);
void rig_free(struct rig *rig);

/* Asks until the reader has something to say, for twenty seconds at most. */
ta_status patient_next(struct ta_replayer *r, int64_t now_ns, const struct ta_batch **batch);
/* Every record is what the fake stream has under that number. */
void check_batch(const struct rig *rig, const struct ta_batch *b);
/* All batches of one replica until the end; counts each record. */
uint64_t drain(struct rig *rig, unsigned *seen);

#endif
