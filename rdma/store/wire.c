/* wire: numbers and names as they travel. */
#include "wire.h"

static void write_number(unsigned char *to, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> 8 * i);
}

void ta_store_write_u16(unsigned char *to, uint16_t value) { write_number(to, value, 2); }

void ta_store_write_u32(unsigned char *to, uint32_t value) { write_number(to, value, 4); }

void ta_store_write_u64(unsigned char *to, uint64_t value) { write_number(to, value, 8); }

const unsigned char *ta_store_read_bytes(struct ta_store_reader *r, size_t bytes) {
    if (bytes > r->left) {
        r->cut = true;
        r->left = 0;
        return NULL;
    }
    const unsigned char *at = r->at;
    r->at += bytes;
    r->left -= bytes;
    return at;
}

uint64_t ta_store_read(struct ta_store_reader *r, unsigned bytes) {
    const unsigned char *at = ta_store_read_bytes(r, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; at != NULL && i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

bool ta_store_name_fits(const char *name, size_t bytes, bool prefix) {
    if (bytes >= TA_STORE_NAME_BYTES || (bytes == 0 && !prefix)) return false;
    for (size_t i = 0; i < bytes; i++)
        if (name[i] <= ' ' || name[i] > '~') return false;
    return true;
}
