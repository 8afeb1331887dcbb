/* h5_check: superblock, object headers, groups. */
#include "h5_check.h"

#include <string.h>
#include <unistd.h>

#include "mem.h"

typedef unsigned long long ull;

enum {
    MAX_DEPTH = 64,            /* of groups in groups */
    MAX_HEADER_BYTES = 16 << 20,
    MAX_BLOCKS = 256,          /* of one object header */
    MAX_HEAP_BYTES = 64 << 20, /* names of one group */
    SYMBOL_BYTES = 40,
};
static const uint64_t budget_bytes = UINT64_C(1) << 30;

/* A group's tables as its symbol-table message and the cache beside its link name them. */
struct group {
    const char *names; /* the local heap's data */
    uint64_t names_bytes;
    unsigned leaf_k, internal_k;
};

static ta_status check_object(struct ta_h5_check *check, uint64_t address, struct ta_h5_header *out);

static ta_status damaged(const struct ta_h5_check *check, const char *what, uint64_t address) {
    return ta_fail(TA_FORMAT, "%s: is damaged: the %s at byte %llu is not sound; restore the file from a copy",
                   check->path, what, (ull)address);
}

bool ta_h5_fetch(struct ta_h5_check *check, uint64_t address, void *out, size_t count) {
    if (count > check->bytes || address > check->bytes - count || count > check->budget) return false;
    check->budget -= count;
    return pread(check->fd, out, count, (off_t)address) == (ssize_t)count;
}

/* A block of the file in memory: *out is freed by ta_mem_free, NULL when it is not there. */
static ta_status fetch_block(struct ta_h5_check *check, uint64_t address, uint64_t count, unsigned char **out) {
    *out = NULL;
    if (count > check->bytes || address > check->bytes - count) return TA_OK;
    ta_status status = ta_mem_alloc(count, 1, "HDF5 structure", (void **)out);
    if (status != TA_OK || ta_h5_fetch(check, address, *out, count)) return status;
    ta_mem_free(*out);
    *out = NULL;
    return TA_OK;
}

struct block {
    uint64_t address, bytes;
};

/* The messages of one block; continuations are added to the list. False when one is not sound. */
static ta_status check_block(struct ta_h5_check *check, const struct block *block, struct block *blocks,
                             unsigned *n_blocks, struct ta_h5_header *header) {
    unsigned char *bytes;
    if (block->bytes > MAX_HEADER_BYTES) return damaged(check, "object header", block->address);
    ta_status status = fetch_block(check, block->address, block->bytes, &bytes);
    if (status != TA_OK) return status;
    struct ta_h5_span span = {.at = bytes, .left = block->bytes, .good = bytes != NULL};
    bool sound = span.good;
    while (sound && status == TA_OK && span.left > 0) {
        unsigned type = (unsigned)ta_h5_number(&span, 2);
        size_t count = ta_h5_number(&span, 2);
        unsigned flags = (unsigned)ta_h5_number(&span, 1);
        ta_h5_take(&span, 3);
        struct ta_h5_span message = {.left = count, .good = true};
        message.at = ta_h5_take(&span, count);
        sound = message.at != NULL && (flags & 2) == 0 && count % 8 == 0;
        header->child = 0;
        if (sound && type == 0x10) { /* goes on elsewhere */
            sound = count >= 16 && *n_blocks < MAX_BLOCKS;
            if (sound) blocks[*n_blocks].address = ta_h5_number(&message, 8);
            if (sound) blocks[(*n_blocks)++].bytes = ta_h5_number(&message, 8);
        } else if (sound) {
            sound = ta_h5_check_message(check, type, message, header);
            struct ta_h5_header child;
            if (sound && header->child != 0) status = check_object(check, header->child, &child);
        }
    }
    ta_mem_free(bytes);
    return status == TA_OK && !sound ? damaged(check, "object header", block->address) : status;
}

/* An offset into a group's names: is there a name, with its end? */
static bool is_name(const struct group *group, uint64_t offset) {
    return offset < group->names_bytes && memchr(group->names + offset, 0, group->names_bytes - offset) != NULL;
}

/* The local heap: names, and a list of what is free among them. */
static ta_status load_names(struct ta_h5_check *check, uint64_t address, struct group *group) {
    unsigned char head[32];
    unsigned char *names;
    if (!ta_h5_fetch(check, address, head, sizeof head) || memcmp(head, "HEAP\0", 5) != 0)
        return damaged(check, "list of names", address);
    struct ta_h5_span span = {.at = head + 8, .left = 24, .good = true};
    uint64_t bytes = ta_h5_number(&span, 8), free_at = ta_h5_number(&span, 8), data = ta_h5_number(&span, 8);
    if (bytes > MAX_HEAP_BYTES) return damaged(check, "list of names", address);
    ta_status status = fetch_block(check, data, bytes, &names);
    if (status != TA_OK) return status;
    bool sound = names != NULL;
    uint64_t hops = 0;
    while (sound && free_at != 1 && free_at != UINT64_MAX) { /* 1: the end of the list */
        sound = bytes >= 16 && free_at <= bytes - 16 && hops++ <= bytes / 16;
        if (!sound) break;
        span = (struct ta_h5_span){.at = names + free_at, .left = 16, .good = true};
        uint64_t next = ta_h5_number(&span, 8), size = ta_h5_number(&span, 8);
        sound = size >= 16 && size <= bytes - free_at;
        free_at = next;
    }
    group->names = (const char *)names;
    group->names_bytes = bytes;
    return sound ? TA_OK : damaged(check, "list of names", address);
}

/* A group that has become one of the newer form has no tables, and what the cache says of them is not looked at. */
static bool agrees(const struct ta_h5_header *object, uint64_t tree, uint64_t heap) {
    return !object->has_table || (tree == object->tree && heap == object->heap);
}

/* One link: its name, its object, and what the cache beside it says of that. */
static ta_status check_symbol(struct ta_h5_check *check, const struct group *group, struct ta_h5_span *span,
                              uint64_t place) {
    struct ta_h5_header object;
    uint64_t name = ta_h5_number(span, 8), address = ta_h5_number(span, 8), cached = ta_h5_number(span, 4);
    ta_h5_take(span, 4);
    struct ta_h5_span scratch = {.at = ta_h5_take(span, 16), .left = 16, .good = span->good};
    if (!span->good || !is_name(group, name) || cached > 2) return damaged(check, "link", place);
    if (cached == 2) /* a soft link: its path */
        return is_name(group, ta_h5_number(&scratch, 4)) ? TA_OK : damaged(check, "link", place);
    ta_status status = check_object(check, address, &object);
    if (status != TA_OK || cached == 0) return status;
    uint64_t tree = ta_h5_number(&scratch, 8), heap = ta_h5_number(&scratch, 8);
    return agrees(&object, tree, heap) ? TA_OK : damaged(check, "link", place);
}

static ta_status check_symbols(struct ta_h5_check *check, const struct group *group, uint64_t address) {
    unsigned char head[8];
    unsigned char *bytes;
    if (!ta_h5_fetch(check, address, head, 8) || memcmp(head, "SNOD\1", 5) != 0)
        return damaged(check, "links", address);
    unsigned links = head[6] | (unsigned)head[7] << 8;
    if (links > 2 * group->leaf_k) return damaged(check, "links", address);
    ta_status status = fetch_block(check, address + 8, (uint64_t)links * SYMBOL_BYTES, &bytes);
    if (status != TA_OK) return status;
    struct ta_h5_span span = {.at = bytes, .left = (size_t)links * SYMBOL_BYTES, .good = bytes != NULL};
    if (!span.good) status = damaged(check, "links", address);
    for (unsigned i = 0; i < links && status == TA_OK; i++) status = check_symbol(check, group, &span, address);
    ta_mem_free(bytes);
    return status;
}

/* A node of the tree of names; `level` is the one its parent promised, -1 at the root. */
static ta_status check_tree(struct ta_h5_check *check, const struct group *group, uint64_t address, int level) {
    unsigned char head[24];
    unsigned char *bytes;
    if (!ta_h5_fetch(check, address, head, sizeof head) || memcmp(head, "TREE\0", 5) != 0)
        return damaged(check, "tree of names", address);
    int found = head[5];
    unsigned used = head[6] | (unsigned)head[7] << 8;
    if ((level >= 0 && found != level) || found > 16 || used > 2 * group->internal_k)
        return damaged(check, "tree of names", address);
    size_t count = (size_t)used * 16 + 8;
    ta_status status = fetch_block(check, address + sizeof head, count, &bytes);
    if (status != TA_OK) return status;
    struct ta_h5_span span = {.at = bytes, .left = count, .good = bytes != NULL};
    bool sound = span.good && (used == 0 || is_name(group, ta_h5_number(&span, 8)));
    for (unsigned i = 0; i < used && sound && status == TA_OK; i++) {
        uint64_t child = ta_h5_number(&span, 8);
        sound = is_name(group, ta_h5_number(&span, 8));
        if (!sound) break;
        status = found == 0 ? check_symbols(check, group, child) : check_tree(check, group, child, found - 1);
    }
    ta_mem_free(bytes);
    return status == TA_OK && !sound ? damaged(check, "tree of names", address) : status;
}

static ta_status check_group(struct ta_h5_check *check, const struct ta_h5_header *header) {
    struct group group = {.leaf_k = check->leaf_k, .internal_k = check->internal_k};
    if (++check->depth > MAX_DEPTH) return damaged(check, "nesting of groups", header->tree);
    ta_status status = load_names(check, header->heap, &group);
    if (status == TA_OK) status = check_tree(check, &group, header->tree, -1);
    ta_mem_free((void *)group.names);
    check->depth--;
    return status;
}

static ta_status check_object(struct ta_h5_check *check, uint64_t address, struct ta_h5_header *out) {
    unsigned char head[16];
    struct block blocks[MAX_BLOCKS] = {{0}};
    unsigned n_blocks = 1;
    *out = (struct ta_h5_header){0};
    if (!ta_h5_fetch(check, address, head, sizeof head)) return damaged(check, "object header", address);
    if (memcmp(head, "OHDR\2", 5) == 0) return TA_OK; /* has checksums of its own */
    if (head[0] != 1 || ++check->depth > MAX_DEPTH) return damaged(check, "object header", address);
    struct ta_h5_span span = {.at = head + 8, .left = 4, .good = true};
    blocks[0] = (struct block){.address = address + sizeof head, .bytes = ta_h5_number(&span, 4)};
    ta_status status = TA_OK;
    for (unsigned i = 0; i < n_blocks && status == TA_OK; i++)
        status = check_block(check, &blocks[i], blocks, &n_blocks, out);
    if (status == TA_OK && !ta_h5_check_header(check, out)) status = damaged(check, "object header", address);
    if (status == TA_OK && out->has_table) status = check_group(check, out);
    check->depth--;
    return status;
}

ta_status ta_h5_check(int fd, uint64_t bytes, const char *path) {
    struct ta_h5_check check = {.fd = fd, .bytes = bytes, .path = path, .budget = budget_bytes};
    struct ta_h5_header root;
    unsigned char head[100];
    static const unsigned char signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (!ta_h5_fetch(&check, 0, head, sizeof head) || memcmp(head, signature, sizeof signature) != 0)
        return TA_OK; /* too short, or begins after a user block: libhdf5 says which */
    unsigned version = head[8];
    if (version > 1) return TA_OK; /* newer superblocks have a checksum */
    struct ta_h5_span span = {.at = head + 13, .left = sizeof head - 13, .good = true};
    uint64_t offset_bytes = ta_h5_number(&span, 1), length_bytes = ta_h5_number(&span, 1);
    ta_h5_take(&span, 1);
    check.leaf_k = (unsigned)ta_h5_number(&span, 2);
    check.internal_k = (unsigned)ta_h5_number(&span, 2);
    ta_h5_take(&span, version == 1 ? 8 : 4);
    uint64_t base = ta_h5_number(&span, 8);
    ta_h5_take(&span, 8);
    uint64_t end = ta_h5_number(&span, 8), driver = ta_h5_number(&span, 8);
    ta_h5_take(&span, 8);
    uint64_t address = ta_h5_number(&span, 8), cached = ta_h5_number(&span, 4);
    ta_h5_take(&span, 4);
    uint64_t tree = ta_h5_number(&span, 8), heap = ta_h5_number(&span, 8);
    if (end > bytes)
        return ta_fail(TA_FORMAT, "%s: has %llu bytes of %llu: it was cut; copy it again", path, (ull)bytes, (ull)end);
    if (offset_bytes != 8 || length_bytes != 8 || base != 0 || driver != UINT64_MAX || cached > 1)
        return damaged(&check, "beginning", 0);
    ta_status status = check_object(&check, address, &root);
    if (status == TA_OK && cached == 1 && !agrees(&root, tree, heap))
        status = damaged(&check, "beginning", 0);
    return status;
}
