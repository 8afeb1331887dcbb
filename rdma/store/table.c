/* table: chains in buckets, doubled when there are more things than buckets. */
#include "table.h"

#include <string.h>
#include <xxhash.h>

#include "mem.h"

enum { FIRST_BUCKETS = 16 };

uint64_t ta_store_hash(const char *name, size_t bytes) { return XXH64(name, bytes, 0); }

struct ta_store_node *ta_store_table_find(const struct ta_store_table *t, const char *name, size_t bytes) {
    if (t->n == 0) return NULL;
    uint64_t hash = ta_store_hash(name, bytes);
    struct ta_store_node *node = t->buckets[hash & (t->n_buckets - 1)];
    while (node != NULL && (node->hash != hash || node->name_bytes != bytes || memcmp(node->name, name, bytes) != 0))
        node = node->chain;
    return node;
}

static void hang(struct ta_store_node **buckets, size_t n_buckets, struct ta_store_node *node) {
    struct ta_store_node **head = &buckets[node->hash & (n_buckets - 1)];
    node->chain = *head;
    *head = node;
}

static ta_status grow(struct ta_store_table *t) {
    struct ta_store_node **wider;
    size_t n_buckets = t->n_buckets == 0 ? FIRST_BUCKETS : 2 * t->n_buckets;
    ta_status status = TA_NEW(&wider, n_buckets, "store: names");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < t->n_buckets; i++)
        for (struct ta_store_node *node = t->buckets[i], *next; node != NULL; node = next) {
            next = node->chain;
            hang(wider, n_buckets, node);
        }
    ta_mem_free(t->buckets);
    t->buckets = wider;
    t->n_buckets = n_buckets;
    return TA_OK;
}

ta_status ta_store_table_add(struct ta_store_table *t, struct ta_store_node *node) {
    if (t->n >= t->n_buckets) {
        ta_status status = grow(t);
        if (status != TA_OK) return status;
    }
    node->hash = ta_store_hash(node->name, node->name_bytes);
    hang(t->buckets, t->n_buckets, node);
    t->n++;
    return TA_OK;
}

void ta_store_table_remove(struct ta_store_table *t, struct ta_store_node *node) {
    struct ta_store_node **at = &t->buckets[node->hash & (t->n_buckets - 1)];
    while (*at != node) at = &(*at)->chain;
    *at = node->chain;
    node->chain = NULL;
    t->n--;
}

struct ta_store_node *ta_store_table_drain(struct ta_store_table *t, size_t *bucket) {
    for (; *bucket < t->n_buckets; (*bucket)++) {
        struct ta_store_node *node = t->buckets[*bucket];
        if (node == NULL) continue;
        t->buckets[*bucket] = node->chain;
        t->n--;
        return node;
    }
    return NULL;
}

void ta_store_table_free(struct ta_store_table *t) {
    ta_mem_free(t->buckets);
    *t = (struct ta_store_table){0};
}
