/* key: seal and open the envelope. */
#include "key.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { KEY_FORMAT = 1 };

struct head {
    char magic[4];
    uint32_t format;
    char make[8];
    uint64_t run_id;
    uint32_t sender, receiver;
    uint32_t payload_bytes;
    uint32_t zero;
    uint64_t checksum; /* XXH64 of head and payload with this field 0 */
};

_Static_assert(sizeof(struct head) == TA_KEY_HEAD_BYTES, "the head has no padding");

static const char key_magic[4] = {'T', 'A', 'K', 'Y'};

static uint64_t checksum_of(const struct ta_key *key, size_t bytes) {
    unsigned char copy[TA_KEY_BYTES];
    memcpy(copy, key->data, bytes);
    memset(copy + offsetof(struct head, checksum), 0, sizeof(uint64_t));
    return XXH64(copy, bytes, KEY_FORMAT);
}

ta_status ta_key_seal(const struct ta_key_envelope *envelope, const void *payload, size_t bytes, struct ta_key *out) {
    memset(out, 0, sizeof *out);
    if (bytes > TA_KEY_PAYLOAD_BYTES)
        return ta_fail(TA_INVALID, "a key's payload of %zu bytes is over the %d that fit", bytes, TA_KEY_PAYLOAD_BYTES);
    struct head head = {.format = KEY_FORMAT,
                        .run_id = envelope->run_id,
                        .sender = envelope->sender,
                        .receiver = envelope->receiver,
                        .payload_bytes = (uint32_t)bytes};
    memcpy(head.magic, key_magic, sizeof head.magic);
    strncpy(head.make, envelope->make, sizeof head.make - 1);
    out->bytes = (uint32_t)(sizeof head + bytes);
    memcpy(out->data, &head, sizeof head);
    memcpy(out->data + sizeof head, payload, bytes);
    head.checksum = checksum_of(out, out->bytes);
    memcpy(out->data, &head, sizeof head);
    return TA_OK;
}

/* A key too damaged to be asked which run it is of. */
static ta_status damaged(const struct ta_key_envelope *envelope, uint64_t run_id, const char *how) {
    return ta_fail(TA_PEER,
                   "the window key from peer %" PRIu32 " is damaged: %s (it says run %016" PRIx64
                   ", this is run %016" PRIx64 "); start the run again",
                   envelope->sender, how, run_id, envelope->run_id);
}

ta_status ta_key_open(const struct ta_key_envelope *envelope, const struct ta_key *key, void *payload, size_t bytes) {
    struct head head = {.run_id = 0};
    uint32_t peer = envelope->sender;
    if (key->bytes < sizeof head || key->bytes > TA_KEY_BYTES) return damaged(envelope, 0, "it has no head");
    memcpy(&head, key->data, sizeof head);
    if (memcmp(head.magic, key_magic, sizeof head.magic) != 0)
        return damaged(envelope, head.run_id, "no key begins so");
    if (head.format != KEY_FORMAT)
        return ta_fail(TA_PEER,
                       "the window key from peer %" PRIu32 " has format %" PRIu32
                       ", this program reads %d; run the same version everywhere",
                       peer, head.format, KEY_FORMAT);
    if (head.payload_bytes != key->bytes - sizeof head || head.checksum != checksum_of(key, key->bytes))
        return damaged(envelope, head.run_id, "its checksum does not fit");
    if (strncmp(head.make, envelope->make, sizeof head.make) != 0)
        return ta_fail(TA_PEER, "peer %" PRIu32 " uses transport '%.8s', this replica '%s'; give all the same", peer,
                       head.make, envelope->make);
    if (head.run_id != envelope->run_id)
        return ta_fail(TA_PEER,
                       "the window key from peer %" PRIu32 " is of run %016" PRIx64 ", this is run %016" PRIx64
                       "; start all replicas of a run together",
                       peer, head.run_id, envelope->run_id);
    if (head.sender != envelope->sender || head.receiver != envelope->receiver)
        return ta_fail(TA_PEER,
                       "a window key from rank %" PRIu32 " for rank %" PRIu32 " was given to rank %" PRIu32
                       " as one of rank %" PRIu32,
                       head.sender, head.receiver, envelope->receiver, envelope->sender);
    if (head.payload_bytes != bytes) return damaged(envelope, head.run_id, "its payload has another size");
    memcpy(payload, key->data + sizeof head, bytes);
    return TA_OK;
}
