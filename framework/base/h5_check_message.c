/* h5_check_message: the messages of object headers, and the global heap that texts of any length lie in. */
#include <string.h>

#include "h5_check.h"

enum {
    MAX_RANK = 32,
    MAX_NESTING = 8, /* of types in types */
    CLASS_INTEGER = 0,
    CLASS_FLOAT = 1,
    CLASS_TIME = 2,
    CLASS_STRING = 3,
    CLASS_BITFIELD = 4,
    CLASS_OPAQUE = 5,
    CLASS_COMPOUND = 6,
    CLASS_REFERENCE = 7,
    CLASS_ENUM = 8,
    CLASS_VARIABLE = 9,
    CLASS_ARRAY = 10,
};

struct type {
    unsigned class;
    uint64_t bytes;
    bool variable_text;
};

const unsigned char *ta_h5_take(struct ta_h5_span *span, size_t count) {
    if (!span->good || count > span->left) {
        span->good = false;
        return NULL;
    }
    const unsigned char *at = span->at;
    span->at += count;
    span->left -= count;
    return at;
}

uint64_t ta_h5_number(struct ta_h5_span *span, unsigned bytes) {
    const unsigned char *p = ta_h5_take(span, bytes);
    uint64_t value = 0;
    for (unsigned i = bytes; p != NULL && i-- > 0;) value = value << 8 | p[i];
    return value;
}

static size_t padded(size_t count) { return (count + 7) / 8 * 8; }

/* A name with its end, padded to 8 bytes in older versions. */
static void take_name(struct ta_h5_span *span, bool padding) {
    const void *end = span->left == 0 ? NULL : memchr(span->at, 0, span->left);
    size_t length = end == NULL ? span->left : (size_t)((const unsigned char *)end - span->at) + 1;
    if (end == NULL) span->good = false;
    ta_h5_take(span, padding ? padded(length) : length);
}

static bool check_type(struct ta_h5_span *span, unsigned nesting, struct type *out);

static bool check_compound(struct ta_h5_span *span, unsigned version, unsigned members, unsigned nesting,
                           uint64_t bytes) {
    unsigned width = 1;
    while (width < 4 && bytes >> (8 * width) != 0) width++;
    for (unsigned i = 0; i < members && span->good; i++) {
        struct type member;
        take_name(span, version < 3);
        uint64_t offset = ta_h5_number(span, version < 3 ? 4 : width), copies = 1;
        if (version == 1) {
            unsigned rank = (unsigned)ta_h5_number(span, 1);
            ta_h5_take(span, 11);
            if (rank > 4) return false;
            for (unsigned d = 0; d < 4; d++) {
                uint64_t n = ta_h5_number(span, 4);
                if (d < rank && __builtin_mul_overflow(copies, n, &copies)) return false;
            }
        }
        if (!check_type(span, nesting + 1, &member)) return false;
        uint64_t end;
        if (__builtin_mul_overflow(copies, member.bytes, &end) || end > bytes || offset > bytes - end) return false;
    }
    return span->good;
}

static bool check_enum(struct ta_h5_span *span, unsigned version, unsigned members, unsigned nesting, uint64_t bytes) {
    struct type base;
    if (!check_type(span, nesting + 1, &base) || base.bytes != bytes || base.class != CLASS_INTEGER) return false;
    for (unsigned i = 0; i < members && span->good; i++) take_name(span, version < 3);
    return ta_h5_take(span, members * bytes) != NULL;
}

static bool check_array(struct ta_h5_span *span, unsigned version, unsigned nesting, uint64_t bytes) {
    struct type base;
    unsigned rank = (unsigned)ta_h5_number(span, 1);
    uint64_t elements = 1;
    if (version < 3) ta_h5_take(span, 3);
    if (version < 2 || rank == 0 || rank > MAX_RANK) return false;
    for (unsigned d = 0; d < rank; d++)
        if (__builtin_mul_overflow(elements, ta_h5_number(span, 4), &elements)) return false;
    if (version < 3) ta_h5_take(span, 4 * (size_t)rank);
    if (!span->good || !check_type(span, nesting + 1, &base)) return false;
    return !__builtin_mul_overflow(elements, base.bytes, &elements) && elements == bytes;
}

/* Bits of a number must lie in its bytes: libhdf5 shifts by what it reads here. */
static bool check_bits(struct ta_h5_span *span, unsigned class, uint64_t bytes) {
    uint64_t offset = ta_h5_number(span, 2), precision = ta_h5_number(span, 2), room = bytes * 8;
    if (precision == 0 || offset + precision > room) return false;
    if (class != CLASS_FLOAT) return span->good;
    uint64_t exponent = ta_h5_number(span, 1), exponent_bits = ta_h5_number(span, 1);
    uint64_t mantissa = ta_h5_number(span, 1), mantissa_bits = ta_h5_number(span, 1);
    ta_h5_take(span, 4);
    return span->good && exponent_bits > 0 && mantissa_bits > 0 && exponent + exponent_bits <= room &&
           mantissa + mantissa_bits <= room;
}

static bool check_type(struct ta_h5_span *span, unsigned nesting, struct type *out) {
    uint64_t head = ta_h5_number(span, 4), bytes = ta_h5_number(span, 4);
    unsigned class = head & 15, version = head >> 4 & 15, bits = (unsigned)(head >> 8);
    *out = (struct type){.class = class, .bytes = bytes};
    if (!span->good || nesting > MAX_NESTING || version < 1 || version > 3 || bytes == 0) return false;
    switch (class) {
    case CLASS_INTEGER:
    case CLASS_BITFIELD:
    case CLASS_FLOAT:
        if (class == CLASS_FLOAT && (bits >> 8 & 255) >= bytes * 8) return false; /* place of the sign */
        return check_bits(span, class, bytes);
    case CLASS_TIME: return ta_h5_take(span, 2) != NULL;
    case CLASS_STRING: return (bits & 15) <= 2;
    case CLASS_OPAQUE: return ta_h5_take(span, bits & 255) != NULL || (bits & 255) == 0;
    case CLASS_COMPOUND: return check_compound(span, version, bits & 0xffff, nesting, bytes);
    case CLASS_REFERENCE: return bytes == 8 || bytes == 12;
    case CLASS_ENUM: return check_enum(span, version, bits & 0xffff, nesting, bytes);
    case CLASS_VARIABLE: {
        struct type base;
        out->variable_text = (bits & 15) == 1;
        return bytes == 16 && check_type(span, nesting + 1, &base) && (!out->variable_text || base.bytes == 1);
    }
    case CLASS_ARRAY: return check_array(span, version, nesting, bytes);
    default: return false;
    }
}

static bool check_space(struct ta_h5_span *span, uint64_t *elements, unsigned *rank) {
    uint64_t dims[MAX_RANK];
    unsigned version = (unsigned)ta_h5_number(span, 1);
    *rank = (unsigned)ta_h5_number(span, 1);
    unsigned flags = (unsigned)ta_h5_number(span, 1);
    unsigned kind = version == 2 ? (unsigned)ta_h5_number(span, 1) : 1;
    if (version == 1) ta_h5_take(span, 5);
    if (!span->good || version < 1 || version > 2 || *rank > MAX_RANK || flags > 1 || kind > 2) return false;
    if (kind != 1 && *rank != 0) return false;
    *elements = kind == 2 ? 0 : 1;
    for (unsigned i = 0; i < *rank; i++) {
        dims[i] = ta_h5_number(span, 8);
        if (__builtin_mul_overflow(*elements, dims[i], elements)) return false;
    }
    for (unsigned i = 0; flags == 1 && i < *rank; i++)
        if (ta_h5_number(span, 8) < dims[i]) return false;
    return span->good;
}

/* Walks the whole collection, as libhdf5 does when it loads it. */
static bool check_heap_text(struct ta_h5_check *check, uint64_t address, uint64_t index, uint64_t length) {
    unsigned char head[16];
    if (!ta_h5_fetch(check, address, head, 16) || memcmp(head, "GCOL\1", 5) != 0) return false;
    struct ta_h5_span span = {.at = head + 8, .left = 8, .good = true};
    uint64_t bytes = ta_h5_number(&span, 8), found = 0;
    if (bytes < 32 || bytes > check->bytes || address > check->bytes - bytes) return false;
    for (uint64_t at = 16; at + 16 <= bytes;) {
        if (!ta_h5_fetch(check, address + at, head, 16)) return false;
        span = (struct ta_h5_span){.at = head, .left = 16, .good = true};
        uint64_t number = ta_h5_number(&span, 2);
        ta_h5_take(&span, 6);
        uint64_t size = ta_h5_number(&span, 8), room = bytes - at;
        if (number == 0 && (size < 16 || size > room)) return false;
        if (number != 0 && (size > room - 16 || padded(size) > room - 16)) return false;
        if (number != 0 && number == index) found = size + 1;
        at += number == 0 ? size : 16 + padded(size);
        if (number == 0 && at < bytes) return false; /* what is free lies at the end */
    }
    return found > 0 && length <= found - 1;
}

static bool check_attribute(struct ta_h5_check *check, struct ta_h5_span *span) {
    unsigned version = (unsigned)ta_h5_number(span, 1), flags = (unsigned)ta_h5_number(span, 1), rank;
    size_t name_bytes = ta_h5_number(span, 2), type_bytes = ta_h5_number(span, 2), space_bytes = ta_h5_number(span, 2);
    struct type type;
    uint64_t elements, bytes;
    if (version < 1 || version > 3 || name_bytes == 0 || (version > 1 && flags != 0)) return false;
    if (version == 3) ta_h5_take(span, 1);
    const unsigned char *name = ta_h5_take(span, version == 1 ? padded(name_bytes) : name_bytes);
    if (name == NULL || name[name_bytes - 1] != 0) return false;
    struct ta_h5_span inner = {.left = version == 1 ? padded(type_bytes) : type_bytes, .good = true};
    if ((inner.at = ta_h5_take(span, inner.left)) == NULL || !check_type(&inner, 0, &type)) return false;
    inner = (struct ta_h5_span){.left = version == 1 ? padded(space_bytes) : space_bytes, .good = true};
    if ((inner.at = ta_h5_take(span, inner.left)) == NULL || !check_space(&inner, &elements, &rank)) return false;
    if (__builtin_mul_overflow(elements, type.bytes, &bytes) || bytes > span->left) return false;
    for (uint64_t i = 0; type.variable_text && i < elements; i++) {
        uint64_t length = ta_h5_number(span, 4), address = ta_h5_number(span, 8), index = ta_h5_number(span, 4);
        if (address != 0 && !check_heap_text(check, address, index, length)) return false;
    }
    return true;
}

static bool check_layout(struct ta_h5_span *span, struct ta_h5_header *header) {
    unsigned version = (unsigned)ta_h5_number(span, 1);
    header->has_layout = true;
    header->layout = (unsigned)ta_h5_number(span, 1);
    if (version != 3) return false;
    if (header->layout == 0) { /* in the header itself */
        header->stored_bytes = ta_h5_number(span, 2);
        ta_h5_take(span, header->stored_bytes);
    } else if (header->layout == 1) { /* in one piece */
        uint64_t address = ta_h5_number(span, 8);
        header->stored_bytes = address == UINT64_MAX ? UINT64_MAX : ta_h5_number(span, 8);
    } else if (header->layout == 2) {
        header->layout_rank = (unsigned)ta_h5_number(span, 1);
        ta_h5_take(span, 8);
        if (header->layout_rank < 2 || header->layout_rank > MAX_RANK + 1) return false;
        for (unsigned i = 0; i < header->layout_rank; i++)
            if ((header->stored_bytes = ta_h5_number(span, 4)) == 0) return false; /* the last: bytes of an element */
    }
    return span->good && header->layout <= 2;
}

static bool check_fill(struct ta_h5_span *span, struct ta_h5_header *header) {
    unsigned version = (unsigned)ta_h5_number(span, 1), flags = (unsigned)ta_h5_number(span, 1);
    bool given = flags & 0x20;
    if (version < 1 || version > 3) return false;
    if (version < 3) {
        ta_h5_take(span, 1);
        given = ta_h5_number(span, 1) != 0 || version == 1;
    }
    header->fill_bytes = given ? ta_h5_number(span, 4) : 0;
    return ta_h5_take(span, header->fill_bytes) != NULL || (span->good && header->fill_bytes == 0);
}

static bool check_filters(struct ta_h5_span *span) {
    unsigned version = (unsigned)ta_h5_number(span, 1), filters = (unsigned)ta_h5_number(span, 1);
    if (version < 1 || version > 2 || filters > 32) return false;
    if (version == 1) ta_h5_take(span, 6);
    for (unsigned i = 0; i < filters && span->good; i++) {
        uint64_t id = ta_h5_number(span, 2), name = version == 1 || id >= 256 ? ta_h5_number(span, 2) : 0;
        ta_h5_take(span, 2);
        uint64_t values = ta_h5_number(span, 2);
        if (version == 1) name = padded(name);
        const unsigned char *text = ta_h5_take(span, name);
        if (name > 0 && (text == NULL || memchr(text, 0, name) == NULL)) return false;
        ta_h5_take(span, 4 * values + (version == 1 && values % 2 == 1 ? 4 : 0));
    }
    return span->good;
}

static bool check_link(struct ta_h5_span *span, struct ta_h5_header *header) {
    unsigned version = (unsigned)ta_h5_number(span, 1), flags = (unsigned)ta_h5_number(span, 1);
    uint64_t kind = flags & 8 ? ta_h5_number(span, 1) : 0;
    if (flags & 4) ta_h5_take(span, 8);
    if (flags & 16) ta_h5_take(span, 1);
    uint64_t name = ta_h5_number(span, 1u << (flags & 3));
    if (version != 1 || name == 0 || ta_h5_take(span, name) == NULL) return false;
    if (kind == 0) {
        header->child = ta_h5_number(span, 8);
        return span->good;
    }
    uint64_t text = ta_h5_number(span, 2);
    return text > 0 && ta_h5_take(span, text) != NULL;
}

/* Messages of a fixed form: how many bytes they have, by their flags. */
static bool check_fixed(struct ta_h5_span *span, unsigned type) {
    unsigned flags;
    ta_h5_number(span, 1);
    flags = (unsigned)ta_h5_number(span, 1);
    if (type == 0x02) ta_h5_take(span, 16 + (flags & 1 ? 8 : 0) + (flags & 2 ? 8 : 0)); /* link info */
    if (type == 0x0a) ta_h5_take(span, (flags & 1 ? 4u : 0u) + (flags & 2 ? 4u : 0u));  /* group info */
    if (type == 0x15) ta_h5_take(span, 16 + (flags & 1 ? 2 : 0) + (flags & 2 ? 8 : 0)); /* attribute info */
    if (type == 0x0e) ta_h5_take(span, 14);                                             /* old time */
    if (type == 0x12) ta_h5_take(span, 6);                                              /* time */
    if (type == 0x16) ta_h5_take(span, 3);                                              /* count of links */
    return span->good;
}

bool ta_h5_check_message(struct ta_h5_check *check, unsigned type, struct ta_h5_span message,
                         struct ta_h5_header *header) {
    struct ta_h5_span *span = &message;
    struct type found;
    bool once;
    switch (type) {
    case 0x00: return true; /* nothing */
    case 0x01:
        once = !header->has_space;
        header->has_space = true;
        return once && check_space(span, &header->elements, &header->rank);
    case 0x03:
        once = !header->has_type;
        header->has_type = true;
        if (!once || !check_type(span, 0, &found)) return false;
        header->type_bytes = found.bytes;
        return true;
    case 0x04: { /* old fill value */
        uint64_t bytes = ta_h5_number(span, 4);
        return bytes == 0 ? span->good : ta_h5_take(span, bytes) != NULL;
    }
    case 0x05: return check_fill(span, header);
    case 0x06: return check_link(span, header);
    case 0x08: return !header->has_layout && check_layout(span, header);
    case 0x0b: return check_filters(span);
    case 0x0c: return check_attribute(check, span);
    case 0x0d: take_name(span, false); return span->good; /* comment */
    case 0x11:
        once = !header->has_table;
        header->has_table = true;
        header->tree = ta_h5_number(span, 8);
        header->heap = ta_h5_number(span, 8);
        return once && span->good;
    case 0x02:
    case 0x0a:
    case 0x0e:
    case 0x12:
    case 0x15:
    case 0x16: return check_fixed(span, type);
    default: return false; /* external files, shared tables, and what no object of ours or of h5py holds */
    }
}

bool ta_h5_check_header(const struct ta_h5_check *check, const struct ta_h5_header *header) {
    uint64_t bytes;
    (void)check;
    if (!header->has_layout) return true;
    if (!header->has_space || !header->has_type) return false;
    if (header->fill_bytes != 0 && header->fill_bytes != header->type_bytes) return false;
    if (__builtin_mul_overflow(header->elements, header->type_bytes, &bytes)) return false;
    if (header->layout == 2)
        return header->layout_rank == header->rank + 1 && header->stored_bytes == header->type_bytes;
    return header->stored_bytes >= bytes;
}
