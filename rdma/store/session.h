/* session: two sides prove to each other that they know the secret of the run, and seal what they say from then on.
 *
 * A proof is BLAKE2b, keyed by the secret, of who proves and of all that was said before; the keys of the two
 * directions are BLAKE2b of the same under other labels, so they are new for every connection and bound to both nonces.
 * A frame is sealed by crypto_secretstream_xchacha20poly1305: one that was changed, repeated, left out or moved does
 * not open. (libsodium. RFC 7693 is BLAKE2b.) A record of the connection is of use to whoever learns the secret later:
 * what the store holds is worth nothing after the run. */
#ifndef TA_STORE_SESSION_H
#define TA_STORE_SESSION_H

#include <sodium.h>

#include "wire.h"

enum { TA_STORE_SECRET_BYTES = 32 };

struct ta_store_session {
    unsigned char secret[TA_STORE_SECRET_BYTES];
    unsigned char said[TA_STORE_HELLO_BYTES + TA_STORE_ANSWER_BYTES]; /* hello, then answer */
    uint32_t peer_version;
    crypto_secretstream_xchacha20poly1305_state push, pull;
};

/* Once in a process, any number of times. Errors: FAILED. */
ta_status ta_store_session_init(void);

/* The client begins. */
void ta_store_session_hello(struct ta_store_session *s, const unsigned char *secret,
                            unsigned char hello[TA_STORE_HELLO_BYTES]);
/* The server answers; it has peer_version then. Errors: FORMAT (this is not our protocol). */
ta_status ta_store_session_answer(struct ta_store_session *s, const unsigned char *secret,
                                  const unsigned char hello[TA_STORE_HELLO_BYTES],
                                  unsigned char answer[TA_STORE_ANSWER_BYTES]);
/* The client believes the answer, and proves. Errors: FORMAT (not our protocol), PEER (it does not know the secret),
 * CONFIG (it does, but is of another version: `prove` is filled in, for the server's log). */
ta_status ta_store_session_prove(struct ta_store_session *s, const unsigned char answer[TA_STORE_ANSWER_BYTES],
                                 unsigned char prove[TA_STORE_PROVE_BYTES]);
/* The server believes the proof. Errors: PEER (it does not know the secret), CONFIG (another version). */
ta_status ta_store_session_check(struct ta_store_session *s, const unsigned char prove[TA_STORE_PROVE_BYTES]);

/* What both sides know and no other connection has: a credential is bound to it. */
void ta_store_session_bond(const struct ta_store_session *s, unsigned char bond[TA_STORE_PROOF_BYTES]);

/* A whole frame of `bytes` bytes of payload, 1 to TA_STORE_PAYLOAD_BYTES; returns its length. */
size_t ta_store_session_seal(struct ta_store_session *s, const unsigned char *payload, size_t bytes,
                             unsigned char *frame);
/* The payload of a whole frame, `bytes` with its length; returns how long, 0: it does not open. */
size_t ta_store_session_open(struct ta_store_session *s, const unsigned char *frame, size_t bytes,
                             unsigned char *payload);

#endif
