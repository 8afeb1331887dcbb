/* rendezvous_record: what a replica tells another one, as bytes: a file or a value of the store. */
#ifndef TA_RENDEZVOUS_RECORD_H
#define TA_RENDEZVOUS_RECORD_H

#include "transport.h"

enum {
    TA_RENDEZVOUS_FORMAT = 3,
    TA_RENDEZVOUS_MODEL_BYTES = 128, /* with the end of the string */
    TA_RENDEZVOUS_FIXED_BYTES = 52,  /* of a record, beside model and key */
    TA_RENDEZVOUS_RECORD_BYTES = TA_RENDEZVOUS_FIXED_BYTES + TA_RENDEZVOUS_MODEL_BYTES - 1 + TA_KEY_BYTES
};

struct ta_rendezvous_record {
    uint32_t sender, receiver, n_ranks, generation;
    uint64_t run_id, fingerprint;
    char model[TA_RENDEZVOUS_MODEL_BYTES];
    struct ta_key key;
};

/* Returns how many bytes it takes, at most TA_RENDEZVOUS_RECORD_BYTES. The key is not longer than TA_KEY_BYTES. */
size_t ta_rendezvous_record_write(const struct ta_rendezvous_record *record,
                                  unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES]);
/* `where` is for the message. Errors: FORMAT: damaged, or of another version of this program (both are named). */
ta_status ta_rendezvous_record_read(const char *where, const unsigned char *bytes, size_t n,
                                    struct ta_rendezvous_record *out);

#endif
