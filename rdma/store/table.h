/* table: things by name. What is put in embeds a node first and stays where it is; the table holds no memory of it. */
#ifndef TA_STORE_TABLE_H
#define TA_STORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_store_node {
    struct ta_store_node *chain; /* the next one of the same bucket */
    uint64_t hash;
    const char *name; /* not terminated; belongs to what embeds the node */
    size_t name_bytes;
};

struct ta_store_table {
    struct ta_store_node **buckets; /* [n_buckets], a power of two; NULL before the first add */
    size_t n_buckets, n;
};

uint64_t ta_store_hash(const char *name, size_t bytes);
/* NULL: not there. */
struct ta_store_node *ta_store_table_find(const struct ta_store_table *t, const char *name, size_t bytes);
/* `node` has its name, which is not in the table yet. Errors: NO_MEMORY. */
ta_status ta_store_table_add(struct ta_store_table *t, struct ta_store_node *node);
/* Takes out a node that is in the table. */
void ta_store_table_remove(struct ta_store_table *t, struct ta_store_node *node);
/* Takes out any node; NULL: empty. *bucket is 0 at first. */
struct ta_store_node *ta_store_table_drain(struct ta_store_table *t, size_t *bucket);
void ta_store_table_free(struct ta_store_table *t);

#endif
