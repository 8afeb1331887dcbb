/* key: the envelope of every window key, so that each make only says what its own path needs.
 *
 * For the makes of a transport; users of transport.h carry keys and never look inside. An envelope holds magic, format,
 * the make's name, run id, sender and receiver, and a checksum over all of it: a key of another run, another make, for
 * somebody else, or damaged in any byte is refused before the payload is looked at. It keeps strangers out by mistake,
 * not by cryptography: who may read keys is rendezvous' business. Native byte order: keys travel between like machines.
 */
#ifndef TA_KEY_H
#define TA_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "transport.h"

struct ta_key_envelope {
    const char *make; /* the transport's name, at most 7 characters */
    uint64_t run_id;
    uint32_t sender, receiver; /* ranks: who made the key, and who may use it */
};

enum { TA_KEY_HEAD_BYTES = 48, TA_KEY_PAYLOAD_BYTES = TA_KEY_BYTES - TA_KEY_HEAD_BYTES };

/* Packs `payload` (at most TA_KEY_PAYLOAD_BYTES). Errors: INVALID (too big). */
ta_status ta_key_seal(const struct ta_key_envelope *envelope, const void *payload, size_t bytes, struct ta_key *out);

/* Checks that `key` is what `envelope` says (of this make, of this run, from sender, for receiver), whole, with a
 * payload of exactly `bytes`, and copies that out. Errors: PEER: which of these failed, both values named. */
ta_status ta_key_open(const struct ta_key_envelope *envelope, const struct ta_key *key, void *payload, size_t bytes);

#endif
