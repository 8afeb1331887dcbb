/* atomicity: whether a transport keeps on this machine what transport.h promises of words and order. The exchange puts
 * live memory without a copy and relies on it; a platform can break it (an emulated CPU that copies byte by byte did),
 * so it is looked for by experiment: a thread keeps changing a source, a second one keeps putting it, the caller keeps
 * reading the window it goes to.
 *
 * Every 4-byte word carries a version twice (v and its complement, mixed with the word's place), so that a word made of
 * two versions, or put in the wrong place, is no version at all. A test that finds nothing has not proved anything; one
 * that finds something has.
 */
#ifndef TA_ATOMICITY_H
#define TA_ATOMICITY_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"

enum { TA_ATOMICITY_MAX_WORDS = 1 << 24, TA_ATOMICITY_LOOKS = 10 };

struct ta_atomicity_config {
    const struct ta_transport_ops *ops;   /* one that has peers, and works within a machine: not self, not sim */
    const struct ta_transport_spec *spec; /* NULL: nothing was asked for */
    int64_t duration_ns; /* of the test proper; opening and closing are the transport's time */
    int64_t patience_ns; /* so much longer, at most, until the body was read TA_ATOMICITY_LOOKS times */
    uint32_t words;      /* of the body, 4 bytes each; 0: 1 MiB of them */
};

struct ta_atomicity {
    uint64_t puts, looks; /* puts delivered; times the whole body was read */
    uint64_t mixed;       /* looks at a body of several versions: 0 means that little happened at once */
    uint64_t torn_words;  /* aligned 4-byte words that are no version */
    uint64_t torn_longs;  /* aligned 8-byte words, put as a segment each, whose halves differ */
    uint64_t late_words;  /* words of a body older than the header that came after it */
    uint64_t late_header; /* words of a header that were older than its last one */
};

/* Opens two transports of that make in this process, connects them and lets them run. Errors: INVALID (no such make;
 * too many words); PEER (the path broke, or nothing arrived on it); those of the transport. */
ta_status ta_atomicity_test(const struct ta_atomicity_config *config, struct ta_atomicity *out);

/* Nothing was torn, nothing came too late. */
bool ta_atomicity_holds(const struct ta_atomicity *found);

#endif
