/* wire: what the store's server and its clients say to each other, byte by byte. Numbers are little endian.
 *
 *     client                                  server
 *     hello: magic, version, 0, nonce     ->
 *                                         <-  answer: magic, version, 0, nonce, stream header, proof
 *     proof: stream header, proof         ->
 *     frame(JOIN)                         ->
 *                                         <-  frame(WELCOME) or frame(REFUSED), then it closes
 *     frame(WATCH), frame(PUT) ...        ->
 *                                         <-  frame(VALUES) ..., frame(BYE)
 *
 * The shape of hello and answer is the same in all versions, so that two versions can name each other. A frame is its
 * length (4 bytes) and so many sealed bytes (session.h); opened, it is one kind byte and what belongs to it:
 *     JOIN     run id 8, pid 4, who 1 + n, credential 2 + n (of munge; none: 0)
 *     WELCOME  run id 8
 *     REFUSED  why, in words
 *     WATCH    prefix 1 + n, as many as there are
 *     PUT      name bytes 1, puts 1, value bytes 2, name, value; as many as there are
 *     VALUES   name bytes 1, 0, value bytes 2, version 8, name, value; as many as there are
 */
#ifndef TA_STORE_WIRE_H
#define TA_STORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

enum {
    TA_STORE_WIRE_VERSION = 1,
    TA_STORE_NONCE_BYTES = 32,
    TA_STORE_STREAM_BYTES = 24, /* header of a secretstream */
    TA_STORE_PROOF_BYTES = 32,
    TA_STORE_HELLO_BYTES = 8 + 4 + 4 + TA_STORE_NONCE_BYTES,
    TA_STORE_ANSWER_BYTES = TA_STORE_HELLO_BYTES + TA_STORE_STREAM_BYTES + TA_STORE_PROOF_BYTES,
    TA_STORE_PROVE_BYTES = TA_STORE_STREAM_BYTES + TA_STORE_PROOF_BYTES,
    TA_STORE_SEAL_BYTES = 17, /* what sealing adds */
    TA_STORE_PAYLOAD_BYTES = 32768,
    TA_STORE_FRAME_BYTES = 4 + TA_STORE_PAYLOAD_BYTES + TA_STORE_SEAL_BYTES,
    TA_STORE_WHO_BYTES = 32, /* with the end of the string */
    TA_STORE_CREDENTIAL_BYTES = 4096,
    TA_STORE_PUT_HEAD = 4,
    TA_STORE_VALUE_HEAD = 12,
    TA_STORE_MAX_WATCHES = 256 /* of one client */
};

enum ta_store_kind {
    TA_STORE_JOIN = 1,
    TA_STORE_WELCOME,
    TA_STORE_REFUSED,
    TA_STORE_WATCH,
    TA_STORE_PUT,
    TA_STORE_VALUES,
    TA_STORE_BYE
};

/* Bytes that are read from the front; `left` never goes below zero. */
struct ta_store_reader {
    const unsigned char *at;
    size_t left;
    bool cut; /* more was asked for than there is */
};

void ta_store_write_u16(unsigned char *to, uint16_t value);
void ta_store_write_u32(unsigned char *to, uint32_t value);
void ta_store_write_u64(unsigned char *to, uint64_t value);

/* 0, NULL and `cut` when fewer bytes are left. */
uint64_t ta_store_read(struct ta_store_reader *r, unsigned bytes);
const unsigned char *ta_store_read_bytes(struct ta_store_reader *r, size_t bytes);

/* Whether `bytes` bytes may be a name, or (`prefix`) the beginning of one: printable ASCII without blanks, of at most
 * TA_STORE_NAME_BYTES - 1. */
bool ta_store_name_fits(const char *name, size_t bytes, bool prefix);

#endif
