/* fake: a stream in memory for tests of the replayer: records that say who they are, and faults on demand. */
#ifndef TA_TEST_FAKE_H
#define TA_TEST_FAKE_H

#include <stdint.h>

#include "stream.h"

struct fake_options {
    uint64_t records;    /* UINT64_MAX: no end */
    uint32_t c;          /* floats a record: x[0] = record number, the rest 0 */
    uint64_t block;      /* as info.block */
    uint64_t bad_record; /* reading it fails with FORMAT; UINT64_MAX: none */
    unsigned read_ms;    /* each read takes that long */
    bool values;         /* labels are two floats: record, -record; else class = record mod 10 */
    bool with_time;      /* /t = 1000 + record * record microseconds */
    float scale, offset; /* 0, 0: 1, 0 */
};

struct fake_stream {
    struct ta_stream base;
    struct fake_options options;
    uint64_t reads, records_read;
};

void fake_open(struct fake_stream *fake, const struct fake_options *options);

#endif
