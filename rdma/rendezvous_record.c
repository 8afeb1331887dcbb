/* rendezvous_record: fixed numbers, little endian, then model, key and a checksum of all; as short as it can be, since
 * a run of a thousand replicas has a million of them. */
#include "rendezvous_record.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { MAGIC_BYTES = 8, CHECKSUM_BYTES = 8 };

static const char magic[MAGIC_BYTES] = {'T', 'A', 'M', 'E', 'E', 'T', 'S', '\n'};

static unsigned char *write_u32(unsigned char *at, uint32_t value) {
    value = htole32(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static unsigned char *write_u64(unsigned char *at, uint64_t value) {
    value = htole64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint32_t read_u32(const unsigned char **at) {
    uint32_t value;
    memcpy(&value, *at, sizeof value);
    *at += sizeof value;
    return le32toh(value);
}

static uint64_t read_u64(const unsigned char **at) {
    uint64_t value;
    memcpy(&value, *at, sizeof value);
    *at += sizeof value;
    return le64toh(value);
}

size_t ta_rendezvous_record_write(const struct ta_rendezvous_record *record,
                                  unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES]) {
    size_t model_bytes = strnlen(record->model, TA_RENDEZVOUS_MODEL_BYTES - 1);
    unsigned char *at = bytes;
    memcpy(at, magic, MAGIC_BYTES);
    at = write_u32(at + MAGIC_BYTES, TA_RENDEZVOUS_FORMAT | (uint32_t)(model_bytes << 8 | record->key.bytes << 16));
    at = write_u32(at, record->sender);
    at = write_u32(at, record->receiver);
    at = write_u32(at, record->n_ranks);
    at = write_u32(at, record->generation);
    at = write_u64(at, record->run_id);
    at = write_u64(at, record->fingerprint);
    memcpy(at, record->model, model_bytes);
    memcpy(at + model_bytes, record->key.data, record->key.bytes);
    at += model_bytes + record->key.bytes;
    at = write_u64(at, XXH64(bytes, (size_t)(at - bytes), TA_RENDEZVOUS_FORMAT));
    return (size_t)(at - bytes);
}

static ta_status damaged(const char *where) {
    return ta_fail(TA_FORMAT, "%s is damaged (its checksum does not fit); remove it and start the run again", where);
}

ta_status ta_rendezvous_record_read(const char *where, const unsigned char *bytes, size_t n,
                                    struct ta_rendezvous_record *out) {
    *out = (struct ta_rendezvous_record){0};
    if (n < TA_RENDEZVOUS_FIXED_BYTES || n > TA_RENDEZVOUS_RECORD_BYTES)
        return ta_fail(TA_FORMAT, "%s has %zu bytes, a record has %d to %d; remove it and start the run again", where,
                       n, TA_RENDEZVOUS_FIXED_BYTES, TA_RENDEZVOUS_RECORD_BYTES);
    const unsigned char *at = bytes + MAGIC_BYTES, *end = bytes + n - CHECKSUM_BYTES;
    if (memcmp(bytes, magic, MAGIC_BYTES) != 0) return damaged(where);
    uint32_t head = read_u32(&at), format = head & 255, model_bytes = head >> 8 & 255, key_bytes = head >> 16;
    if (read_u64(&end) != XXH64(bytes, n - CHECKSUM_BYTES, format)) return damaged(where);
    if (format != TA_RENDEZVOUS_FORMAT)
        return ta_fail(TA_FORMAT, "%s has format %" PRIu32 ", this program reads %d; run one version everywhere", where,
                       format, TA_RENDEZVOUS_FORMAT);
    if (model_bytes >= TA_RENDEZVOUS_MODEL_BYTES || key_bytes > TA_KEY_BYTES ||
        TA_RENDEZVOUS_FIXED_BYTES + model_bytes + key_bytes != n)
        return damaged(where);
    out->sender = read_u32(&at);
    out->receiver = read_u32(&at);
    out->n_ranks = read_u32(&at);
    out->generation = read_u32(&at);
    out->run_id = read_u64(&at);
    out->fingerprint = read_u64(&at);
    memcpy(out->model, at, model_bytes);
    /* It goes into a message for people. */
    for (uint32_t i = 0; i < model_bytes; i++)
        if (out->model[i] < ' ' || out->model[i] > '~') out->model[i] = '?';
    memcpy(out->key.data, at + model_bytes, key_bytes);
    out->key.bytes = key_bytes;
    return TA_OK;
}
