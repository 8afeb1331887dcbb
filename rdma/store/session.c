/* session: proofs, keys and seals, all by libsodium. */
#include "session.h"

#include <inttypes.h>
#include <string.h>

static const unsigned char magic[8] = {'T', 'A', 'S', 'T', 'O', 'R', 'E', '\n'};

/* Labels keep the uses of the secret apart; each has 16 bytes. */
static const char by_server[16] = "server proves", by_client[16] = "client proves", to_server[16] = "to the server";
static const char to_client[16] = "to the client", for_bond[16] = "credential";

_Static_assert(TA_STORE_STREAM_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header of a stream");
_Static_assert(TA_STORE_SEAL_BYTES == crypto_secretstream_xchacha20poly1305_ABYTES, "what sealing adds");
_Static_assert(TA_STORE_PROOF_BYTES == crypto_secretstream_xchacha20poly1305_KEYBYTES, "a hash makes a key");

ta_status ta_store_session_init(void) {
    if (sodium_init() >= 0) return TA_OK;
    return ta_fail(TA_FAILED, "libsodium does not start: is there a source of random numbers (/dev/urandom)?");
}

/* BLAKE2b keyed by the secret of label, what was said, and what is said now. */
static void digest(const struct ta_store_session *s, const char label[16], size_t said_bytes, const void *now,
                   size_t now_bytes, unsigned char out[TA_STORE_PROOF_BYTES]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, s->secret, sizeof s->secret, TA_STORE_PROOF_BYTES);
    crypto_generichash_update(&state, (const unsigned char *)label, 16);
    crypto_generichash_update(&state, s->said, said_bytes);
    crypto_generichash_update(&state, now, now_bytes);
    crypto_generichash_final(&state, out, TA_STORE_PROOF_BYTES);
    sodium_memzero(&state, sizeof state);
}

static void greet(unsigned char out[TA_STORE_HELLO_BYTES]) {
    memcpy(out, magic, sizeof magic);
    ta_store_write_u32(out + 8, TA_STORE_WIRE_VERSION);
    ta_store_write_u32(out + 12, 0);
    randombytes_buf(out + 16, TA_STORE_NONCE_BYTES);
}

static ta_status greeted(struct ta_store_session *s, const unsigned char *hello) {
    struct ta_store_reader r = {.at = hello + sizeof magic, .left = 4};
    if (memcmp(hello, magic, sizeof magic) != 0) return ta_fail(TA_FORMAT, "this does not speak the store's protocol");
    s->peer_version = (uint32_t)ta_store_read(&r, 4);
    return TA_OK;
}

/* The key of one direction. */
static void key_of(const struct ta_store_session *s, const char label[16], unsigned char key[TA_STORE_PROOF_BYTES]) {
    digest(s, label, sizeof s->said, NULL, 0, key);
}

void ta_store_session_hello(struct ta_store_session *s, const unsigned char *secret,
                            unsigned char hello[TA_STORE_HELLO_BYTES]) {
    *s = (struct ta_store_session){0};
    memcpy(s->secret, secret, sizeof s->secret);
    greet(hello);
    memcpy(s->said, hello, TA_STORE_HELLO_BYTES);
}

ta_status ta_store_session_answer(struct ta_store_session *s, const unsigned char *secret,
                                  const unsigned char hello[TA_STORE_HELLO_BYTES],
                                  unsigned char answer[TA_STORE_ANSWER_BYTES]) {
    *s = (struct ta_store_session){0};
    ta_status status = greeted(s, hello);
    if (status != TA_OK) return status;
    memcpy(s->secret, secret, sizeof s->secret);
    memcpy(s->said, hello, TA_STORE_HELLO_BYTES);
    unsigned char *stream = answer + TA_STORE_HELLO_BYTES, *proof = stream + TA_STORE_STREAM_BYTES;
    unsigned char key[TA_STORE_PROOF_BYTES];
    greet(answer);
    /* The header of a stream is random and needs no key; the key needs the whole answer. So: the header, the proof,
     * then the stream again under the key, with the header that was told. */
    randombytes_buf(stream, TA_STORE_STREAM_BYTES);
    digest(s, by_server, TA_STORE_HELLO_BYTES, answer, TA_STORE_HELLO_BYTES + TA_STORE_STREAM_BYTES, proof);
    memcpy(s->said + TA_STORE_HELLO_BYTES, answer, TA_STORE_ANSWER_BYTES);
    key_of(s, to_client, key);
    crypto_secretstream_xchacha20poly1305_init_pull(&s->push, stream, key);
    sodium_memzero(key, sizeof key);
    return TA_OK;
}

ta_status ta_store_session_prove(struct ta_store_session *s, const unsigned char answer[TA_STORE_ANSWER_BYTES],
                                 unsigned char prove[TA_STORE_PROVE_BYTES]) {
    ta_status status = greeted(s, answer);
    if (status != TA_OK) return status;
    const unsigned char *stream = answer + TA_STORE_HELLO_BYTES, *proof = stream + TA_STORE_STREAM_BYTES;
    unsigned char wanted[TA_STORE_PROOF_BYTES], key[TA_STORE_PROOF_BYTES];
    digest(s, by_server, TA_STORE_HELLO_BYTES, answer, TA_STORE_HELLO_BYTES + TA_STORE_STREAM_BYTES, wanted);
    if (sodium_memcmp(wanted, proof, sizeof wanted) != 0)
        return ta_fail(TA_PEER, "it does not know the secret of this run");
    memcpy(s->said + TA_STORE_HELLO_BYTES, answer, TA_STORE_ANSWER_BYTES);
    key_of(s, to_client, key);
    crypto_secretstream_xchacha20poly1305_init_pull(&s->pull, stream, key);
    key_of(s, to_server, key);
    crypto_secretstream_xchacha20poly1305_init_push(&s->push, prove, key);
    sodium_memzero(key, sizeof key);
    digest(s, by_client, sizeof s->said, prove, TA_STORE_STREAM_BYTES, prove + TA_STORE_STREAM_BYTES);
    if (s->peer_version == TA_STORE_WIRE_VERSION) return TA_OK;
    return ta_fail(TA_CONFIG, "it speaks version %" PRIu32 " of the store's protocol, this program version %d; run one "
                   "version everywhere", s->peer_version, TA_STORE_WIRE_VERSION);
}

ta_status ta_store_session_check(struct ta_store_session *s, const unsigned char prove[TA_STORE_PROVE_BYTES]) {
    unsigned char wanted[TA_STORE_PROOF_BYTES], key[TA_STORE_PROOF_BYTES];
    digest(s, by_client, sizeof s->said, prove, TA_STORE_STREAM_BYTES, wanted);
    if (sodium_memcmp(wanted, prove + TA_STORE_STREAM_BYTES, sizeof wanted) != 0)
        return ta_fail(TA_PEER, "it does not know the secret of this run");
    if (s->peer_version != TA_STORE_WIRE_VERSION)
        return ta_fail(TA_CONFIG, "it speaks version %" PRIu32 " of the store's protocol, this program version %d",
                       s->peer_version, TA_STORE_WIRE_VERSION);
    key_of(s, to_server, key);
    crypto_secretstream_xchacha20poly1305_init_pull(&s->pull, prove, key);
    sodium_memzero(key, sizeof key);
    return TA_OK;
}

void ta_store_session_bond(const struct ta_store_session *s, unsigned char bond[TA_STORE_PROOF_BYTES]) {
    digest(s, for_bond, sizeof s->said, NULL, 0, bond);
}

size_t ta_store_session_seal(struct ta_store_session *s, const unsigned char *payload, size_t bytes,
                             unsigned char *frame) {
    ta_store_write_u32(frame, (uint32_t)(bytes + TA_STORE_SEAL_BYTES));
    crypto_secretstream_xchacha20poly1305_push(&s->push, frame + 4, NULL, payload, bytes, frame, 4, 0);
    return 4 + bytes + TA_STORE_SEAL_BYTES;
}

size_t ta_store_session_open(struct ta_store_session *s, const unsigned char *frame, size_t bytes,
                             unsigned char *payload) {
    unsigned char tag;
    unsigned long long opened;
    if (bytes < 4 + TA_STORE_SEAL_BYTES + 1 ||
        crypto_secretstream_xchacha20poly1305_pull(&s->pull, payload, &opened, &tag, frame + 4, bytes - 4, frame, 4))
        return 0;
    return (size_t)opened;
}
