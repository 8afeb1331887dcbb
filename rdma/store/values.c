/* values: items in groups, cursors into groups. */
#include "values.h"

#include <string.h>

#include "mem.h"

struct ta_store_group {
    struct ta_store_node node;
    struct ta_store_group *next; /* all groups */
    struct ta_store_item *first, *last;
    struct ta_store_cursor *cursors;
    char name[TA_STORE_NAME_BYTES];
};

struct ta_store_cursor {
    struct ta_store_cursor *group_before, *group_after; /* of one group */
    struct ta_store_cursor *next;                       /* of one watcher */
    struct ta_store_group *group;
    struct ta_store_watcher *watcher;
    const struct ta_store_prefix *prefix;
    struct ta_store_item *at; /* the first one not sent; NULL: all were */
};

struct ta_store_prefix {
    struct ta_store_prefix *next;
    size_t bytes;
    char text[TA_STORE_NAME_BYTES];
};

static size_t group_bytes(const char *name, size_t bytes) {
    while (bytes > 0 && name[bytes - 1] != '/') bytes--;
    return bytes;
}

static bool begins(const char *name, size_t bytes, const struct ta_store_prefix *prefix) {
    return bytes >= prefix->bytes && memcmp(name, prefix->text, prefix->bytes) == 0;
}

/* Whether names of the group can begin with the prefix. */
static bool may_hold(const struct ta_store_group *g, const struct ta_store_prefix *prefix) {
    size_t common = g->node.name_bytes < prefix->bytes ? g->node.name_bytes : prefix->bytes;
    return memcmp(g->name, prefix->text, common) == 0;
}

void ta_store_values_due(struct ta_store_values *v, struct ta_store_watcher *w) {
    if (w->due) return;
    w->due = true;
    w->due_next = NULL;
    if (v->due_last != NULL)
        v->due_last->due_next = w;
    else
        v->due_first = w;
    v->due_last = w;
}

struct ta_store_watcher *ta_store_values_next_due(struct ta_store_values *v) {
    struct ta_store_watcher *w = v->due_first;
    if (w == NULL) return NULL;
    v->due_first = w->due_next;
    if (v->due_first == NULL) v->due_last = NULL;
    w->due = false;
    return w;
}

static void not_due(struct ta_store_values *v, struct ta_store_watcher *w) {
    struct ta_store_watcher *before = NULL;
    if (!w->due) return;
    for (struct ta_store_watcher *x = v->due_first; x != w; x = x->due_next) before = x;
    if (before != NULL)
        before->due_next = w->due_next;
    else
        v->due_first = w->due_next;
    if (v->due_last == w) v->due_last = before;
    w->due = false;
}

static ta_status set_cursor(struct ta_store_values *v, struct ta_store_group *g, struct ta_store_watcher *w,
                            const struct ta_store_prefix *prefix) {
    struct ta_store_cursor *c;
    ta_status status = TA_NEW(&c, 1, "store: cursor");
    if (status != TA_OK) return status;
    *c = (struct ta_store_cursor){.group = g, .watcher = w, .prefix = prefix, .at = g->first};
    c->next = w->cursors;
    w->cursors = c;
    c->group_after = g->cursors;
    if (g->cursors != NULL) g->cursors->group_before = c;
    g->cursors = c;
    if (c->at != NULL) ta_store_values_due(v, w);
    return TA_OK;
}

static void drop_cursor(struct ta_store_cursor *c) {
    if (c->group_before != NULL)
        c->group_before->group_after = c->group_after;
    else
        c->group->cursors = c->group_after;
    if (c->group_after != NULL) c->group_after->group_before = c->group_before;
    ta_mem_free(c);
}

/* Takes back the cursors the watcher got since `until` was its newest. */
static void drop_cursors(struct ta_store_watcher *w, const struct ta_store_cursor *until) {
    while (w->cursors != until) {
        struct ta_store_cursor *c = w->cursors;
        w->cursors = c->next;
        drop_cursor(c);
    }
}

static void free_group(struct ta_store_group *g) {
    while (g->cursors != NULL) {
        struct ta_store_cursor *c = g->cursors, **at = &c->watcher->cursors;
        while (*at != c) at = &(*at)->next;
        *at = c->next;
        drop_cursor(c);
    }
    ta_mem_free(g);
}

static ta_status group_of(struct ta_store_values *v, const char *name, size_t name_bytes, struct ta_store_group **out) {
    size_t bytes = group_bytes(name, name_bytes);
    *out = (struct ta_store_group *)ta_store_table_find(&v->groups_by_name, name, bytes);
    if (*out != NULL) return TA_OK;
    struct ta_store_group *g;
    ta_status status = TA_NEW(&g, 1, "store: group");
    if (status != TA_OK) return status;
    memcpy(g->name, name, bytes);
    g->node.name = g->name;
    g->node.name_bytes = bytes;
    for (struct ta_store_watcher *w = v->watchers; w != NULL; w = w->after)
        for (struct ta_store_prefix *p = w->prefixes; p != NULL && status == TA_OK; p = p->next)
            if (may_hold(g, p)) status = set_cursor(v, g, w, p);
    if (status == TA_OK) status = ta_store_table_add(&v->groups_by_name, &g->node);
    if (status != TA_OK) {
        free_group(g);
        return status;
    }
    g->next = v->groups;
    v->groups = g;
    *out = g;
    return TA_OK;
}

static void take_out(struct ta_store_item *item) {
    struct ta_store_group *g = item->group;
    for (struct ta_store_cursor *c = g->cursors; c != NULL; c = c->group_after)
        if (c->at == item) c->at = item->after;
    if (item->before != NULL)
        item->before->after = item->after;
    else
        g->first = item->after;
    if (item->after != NULL)
        item->after->before = item->before;
    else
        g->last = item->before;
    item->before = item->after = NULL;
}

/* At the end of its group: the newest change. */
static void append(struct ta_store_values *v, struct ta_store_item *item) {
    struct ta_store_group *g = item->group;
    item->before = g->last;
    if (g->last != NULL)
        g->last->after = item;
    else
        g->first = item;
    g->last = item;
    for (struct ta_store_cursor *c = g->cursors; c != NULL; c = c->group_after) {
        if (!begins(item->node.name, item->node.name_bytes, c->prefix)) continue;
        if (c->at == NULL) c->at = item;
        ta_store_values_due(v, c->watcher);
    }
}

static ta_status new_item(struct ta_store_values *v, const struct ta_store_record *r, struct ta_store_item **out) {
    struct ta_store_group *g;
    struct ta_store_item *item;
    ta_status status = group_of(v, r->name, r->name_bytes, &g);
    if (status == TA_OK)
        status = ta_store_pool_take(&v->pool, sizeof *item + r->name_bytes + r->value_bytes, (void **)&item);
    if (status != TA_OK) return status;
    memcpy(item->text, r->name, r->name_bytes);
    item->node.name = (const char *)item->text;
    item->node.name_bytes = r->name_bytes;
    item->value = item->text + r->name_bytes;
    item->room = (uint32_t)r->value_bytes;
    item->group = g;
    status = ta_store_table_add(&v->items, &item->node);
    if (status != TA_OK) return status;
    v->bytes += r->name_bytes;
    *out = item;
    return TA_OK;
}

/* What is left behind is less than what is in use: places double. */
static ta_status make_room(struct ta_store_values *v, struct ta_store_item *item, size_t bytes) {
    uint32_t room = item->room < 16 ? 16 : item->room;
    while (room < bytes) room *= 2;
    void *place;
    ta_status status = ta_store_pool_take(&v->pool, room, &place);
    if (status != TA_OK) return status;
    item->value = place;
    item->room = room;
    return TA_OK;
}

ta_status ta_store_values_put(struct ta_store_values *v, const struct ta_store_record *r) {
    struct ta_store_item *item = (struct ta_store_item *)ta_store_table_find(&v->items, r->name, r->name_bytes);
    ta_status status = TA_OK;
    bool is_new = item == NULL;
    if (is_new)
        status = new_item(v, r, &item);
    else if (item->room < r->value_bytes)
        status = make_room(v, item, r->value_bytes);
    if (status != TA_OK) return status;
    if (!is_new) take_out(item);
    v->bytes += r->value_bytes - item->value_bytes;
    item->version += r->puts;
    item->value_bytes = (uint32_t)r->value_bytes;
    if (r->value_bytes > 0) memcpy(item->value, r->value, r->value_bytes);
    append(v, item);
    return TA_OK;
}

ta_status ta_store_values_watch(struct ta_store_values *v, struct ta_store_watcher *w, const char *prefix,
                                size_t bytes) {
    for (const struct ta_store_prefix *p = w->prefixes; p != NULL; p = p->next)
        if (p->bytes == bytes && memcmp(p->text, prefix, bytes) == 0) return TA_OK;
    if (w->n_prefixes >= TA_STORE_MAX_WATCHES)
        return ta_fail(TA_INVALID, "a client of the store watches more than %d prefixes", TA_STORE_MAX_WATCHES);
    struct ta_store_prefix *p;
    ta_status status = TA_NEW(&p, 1, "store: prefix");
    if (status != TA_OK) return status;
    memcpy(p->text, prefix, bytes);
    p->bytes = bytes;
    const struct ta_store_cursor *until = w->cursors;
    for (struct ta_store_group *g = v->groups; g != NULL && status == TA_OK; g = g->next)
        if (may_hold(g, p)) status = set_cursor(v, g, w, p);
    if (status != TA_OK) {
        drop_cursors(w, until);
        ta_mem_free(p);
        return status;
    }
    if (w->prefixes == NULL) { /* its first one: it is among the watchers from now on */
        w->after = v->watchers;
        if (v->watchers != NULL) v->watchers->before = w;
        v->watchers = w;
    }
    p->next = w->prefixes;
    w->prefixes = p;
    w->n_prefixes++;
    return TA_OK;
}

void ta_store_values_unwatch(struct ta_store_values *v, struct ta_store_watcher *w) {
    not_due(v, w);
    drop_cursors(w, NULL);
    if (w->prefixes != NULL) {
        if (w->before != NULL)
            w->before->after = w->after;
        else
            v->watchers = w->after;
        if (w->after != NULL) w->after->before = w->before;
    }
    while (w->prefixes != NULL) {
        struct ta_store_prefix *p = w->prefixes;
        w->prefixes = p->next;
        ta_mem_free(p);
    }
    *w = (struct ta_store_watcher){0};
}

static size_t write_item(unsigned char *to, const struct ta_store_item *item) {
    size_t name_bytes = item->node.name_bytes, value_bytes = item->value_bytes;
    to[0] = (unsigned char)name_bytes;
    to[1] = 0;
    ta_store_write_u16(to + 2, (uint16_t)value_bytes);
    ta_store_write_u64(to + 4, item->version);
    memcpy(to + TA_STORE_VALUE_HEAD, item->text, name_bytes);
    if (value_bytes > 0) memcpy(to + TA_STORE_VALUE_HEAD + name_bytes, item->value, value_bytes);
    return TA_STORE_VALUE_HEAD + name_bytes + value_bytes;
}

/* The one behind `c` is first from now on: a group that changes all the time does not keep the others waiting. */
static void rotate(struct ta_store_watcher *w, struct ta_store_cursor *c) {
    struct ta_store_cursor *last = c;
    if (c->next == NULL) return;
    while (last->next != NULL) last = last->next;
    last->next = w->cursors;
    w->cursors = c->next;
    c->next = NULL;
}

size_t ta_store_values_fill(struct ta_store_watcher *w, unsigned char *to, size_t room) {
    size_t used = 0;
    for (struct ta_store_cursor *c = w->cursors; c != NULL; c = c->next)
        for (; c->at != NULL; c->at = c->at->after) {
            const struct ta_store_item *item = c->at;
            if (!begins(item->node.name, item->node.name_bytes, c->prefix)) continue;
            if (used + TA_STORE_VALUE_HEAD + item->node.name_bytes + item->value_bytes > room) {
                rotate(w, c);
                return used;
            }
            used += write_item(to + used, item);
        }
    return used;
}

void ta_store_values_free(struct ta_store_values *v) {
    ta_store_table_free(&v->items);
    ta_store_table_free(&v->groups_by_name);
    while (v->groups != NULL) {
        struct ta_store_group *g = v->groups;
        v->groups = g->next;
        free_group(g);
    }
    ta_store_pool_free(&v->pool);
    *v = (struct ta_store_values){0};
}
