/* pool: pieces from the front of chunks. Chunks grow with what they are for: a client of two replicas needs little. */
#include "pool.h"

#include "mem.h"

enum { ALIGNMENT = 16, FIRST_BYTES = 1 << 12, LARGEST_BYTES = 1 << 18 };

struct ta_store_pool_chunk {
    _Alignas(ALIGNMENT) struct ta_store_pool_chunk *next;
    unsigned char bytes[];
};

static ta_status add_chunk(struct ta_store_pool *pool, size_t bytes) {
    struct ta_store_pool_chunk *chunk;
    size_t room = pool->room == 0 ? FIRST_BYTES : pool->room < LARGEST_BYTES ? 2 * pool->room : LARGEST_BYTES;
    if (room < bytes) room = bytes;
    ta_status status = ta_mem_alloc(1, sizeof *chunk + room, "store: values", (void **)&chunk);
    if (status != TA_OK) return status;
    chunk->next = pool->chunks;
    *pool = (struct ta_store_pool){.chunks = chunk, .room = room};
    return TA_OK;
}

ta_status ta_store_pool_take(struct ta_store_pool *pool, size_t bytes, void **out) {
    *out = NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (pool->chunks == NULL || pool->room - pool->used < bytes) {
        ta_status status = add_chunk(pool, bytes);
        if (status != TA_OK) return status;
    }
    *out = pool->chunks->bytes + pool->used;
    pool->used += bytes;
    return TA_OK;
}

void ta_store_pool_free(struct ta_store_pool *pool) {
    while (pool->chunks != NULL) {
        struct ta_store_pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        ta_mem_free(chunk);
    }
    *pool = (struct ta_store_pool){0};
}
