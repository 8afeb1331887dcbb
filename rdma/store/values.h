/* values: what the server holds, and who is to be sent what of it. Knows no sockets.
 *
 * The values of a group ("key/5/": a name up to its last slash) stand in the order of their last change. Who watches a
 * group has a cursor into it: all before it was sent, it and all after it was not. A value that changes moves to the
 * end, so a slow reader is sent the newest version once, and what waits for it takes no memory of its own.
 */
#ifndef TA_STORE_VALUES_H
#define TA_STORE_VALUES_H

#include "pool.h"
#include "table.h"
#include "wire.h"

struct ta_store_group;
struct ta_store_cursor;
struct ta_store_prefix;

struct ta_store_item {
    struct ta_store_node node;
    struct ta_store_group *group;
    struct ta_store_item *before, *after; /* in its group, by last change */
    uint64_t version;
    unsigned char *value;
    uint32_t value_bytes, room;
    unsigned char text[]; /* name, then the first value */
};

/* Who watches; belongs to whoever the values are sent to, zeroed at birth. */
struct ta_store_watcher {
    struct ta_store_watcher *before, *after; /* all watchers */
    struct ta_store_watcher *due_next;
    struct ta_store_cursor *cursors; /* one a group and prefix */
    struct ta_store_prefix *prefixes;
    unsigned n_prefixes;
    bool due; /* on the list of those with something to be sent */
};

struct ta_store_values {
    struct ta_store_table items, groups_by_name;
    struct ta_store_pool pool; /* of items: a value that outgrows its place gets one of twice the size */
    struct ta_store_group *groups;
    struct ta_store_watcher *watchers;
    struct ta_store_watcher *due_first, *due_last;
    uint64_t bytes; /* of names and values */
};

struct ta_store_record {
    const char *name;
    size_t name_bytes;
    const void *value;
    size_t value_bytes;
    unsigned puts; /* how many this one stands for */
};

/* The name and sizes were checked. Errors: NO_MEMORY; what was there stays then. */
ta_status ta_store_values_put(struct ta_store_values *v, const struct ta_store_record *record);
/* Errors: NO_MEMORY, INVALID (too many). A prefix that is watched already is fine. */
ta_status ta_store_values_watch(struct ta_store_values *v, struct ta_store_watcher *w, const char *prefix,
                                size_t bytes);
void ta_store_values_unwatch(struct ta_store_values *v, struct ta_store_watcher *w);

/* Writes VALUES records for `w` until `room` is full; returns the bytes, 0: it has seen all. */
size_t ta_store_values_fill(struct ta_store_watcher *w, unsigned char *to, size_t room);
/* Puts `w` on the list of those who are due (which changes and watches do), and takes the first off it (NULL: none). */
void ta_store_values_due(struct ta_store_values *v, struct ta_store_watcher *w);
struct ta_store_watcher *ta_store_values_next_due(struct ta_store_values *v);

/* After all watchers are gone. */
void ta_store_values_free(struct ta_store_values *v);

#endif
