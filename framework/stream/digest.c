/* digest: two running XXH3 states, hashed together at the end. */
#include "digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the states lie in our struct */
#include <xxhash.h>

#include "mem.h"

struct ta_digest {
    XXH3_state_t x, y;
};

ta_status ta_digest_create(struct ta_digest **out) {
    ta_status status = TA_NEW(out, 1, "stream checksum");
    if (status != TA_OK) return status;
    XXH3_64bits_reset(&(*out)->x);
    XXH3_64bits_reset(&(*out)->y);
    return TA_OK;
}

void ta_digest_destroy(struct ta_digest *digest) { ta_mem_free(digest); }

void ta_digest_x(struct ta_digest *digest, const void *bytes, size_t count) {
    XXH3_64bits_update(&digest->x, bytes, count);
}

void ta_digest_y(struct ta_digest *digest, const void *bytes, size_t count) {
    XXH3_64bits_update(&digest->y, bytes, count);
}

static void put_little_endian(uint64_t value, unsigned char bytes[8]) {
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(value >> 8 * i);
}

uint64_t ta_digest_value(const struct ta_digest *digest) {
    unsigned char both[16];
    put_little_endian(XXH3_64bits_digest(&digest->x), both);
    put_little_endian(XXH3_64bits_digest(&digest->y), both + 8);
    uint64_t value = XXH3_64bits(both, sizeof both);
    return value == 0 ? 1 : value;
}

void ta_digest_text(uint64_t value, char text[TA_DIGEST_TEXT_BYTES]) {
    snprintf(text, TA_DIGEST_TEXT_BYTES, "%016" PRIx64, value);
}

ta_status ta_digest_parse(const char *text, uint64_t *value) {
    if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
        return ta_fail(TA_FORMAT, "checksum '%.32s' is not 16 hexadecimal digits", text);
    *value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned digit = *p <= '9' ? (unsigned)(*p - '0') : (unsigned)((*p | 32) - 'a' + 10);
        *value = *value << 4 | digit;
    }
    return TA_OK;
}
