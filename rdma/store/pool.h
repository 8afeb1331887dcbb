/* pool: many small pieces of memory that are given back all at once. */
#ifndef TA_STORE_POOL_H
#define TA_STORE_POOL_H

#include <stddef.h>

#include "status.h"

struct ta_store_pool_chunk;

struct ta_store_pool {
    struct ta_store_pool_chunk *chunks; /* the newest first: pieces come from that one */
    size_t used, room;                  /* of it */
};

/* Zeroed, aligned to 16 bytes. Errors: NO_MEMORY. */
ta_status ta_store_pool_take(struct ta_store_pool *pool, size_t bytes, void **out);
void ta_store_pool_free(struct ta_store_pool *pool);

#endif
