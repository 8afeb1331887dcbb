/* client_io: a client's bytes: puts and watches out, values in. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "client_state.h"
#include "mem.h"

enum { RECEIVES_AT_ONCE = 16 }; /* a poll is bounded, however much comes */

void ta_store_held_free(struct ta_store_held *held) {
    ta_mem_free(held->grown);
    ta_mem_free(held);
}

static ta_status take_memory(struct ta_store_pool *pool, size_t bytes, void **out) {
    return pool == NULL ? ta_mem_alloc(1, bytes, "store: value", out) : ta_store_pool_take(pool, bytes, out);
}

static ta_status held_new(struct ta_store_table *t, struct ta_store_pool *pool, const struct ta_store_record *r,
                          struct ta_store_held **out) {
    struct ta_store_held *held;
    ta_status status = take_memory(pool, sizeof *held + r->name_bytes + r->value_bytes, (void **)&held);
    if (status != TA_OK) return status;
    memcpy(held->text, r->name, r->name_bytes);
    held->node.name = (const char *)held->text;
    held->node.name_bytes = r->name_bytes;
    held->value = held->text + r->name_bytes;
    held->room = (uint32_t)r->value_bytes;
    status = ta_store_table_add(t, &held->node);
    if (status == TA_OK)
        *out = held;
    else if (pool == NULL)
        ta_mem_free(held);
    return status;
}

static ta_status held_grow(struct ta_store_held *held, struct ta_store_pool *pool, size_t bytes) {
    uint32_t room = held->room < 16 ? 16 : held->room;
    while (room < bytes) room *= 2;
    void *place;
    ta_status status = take_memory(pool, room, &place);
    if (status != TA_OK) return status;
    ta_mem_free(held->grown);
    held->grown = pool == NULL ? place : NULL;
    held->value = place;
    held->room = room;
    return TA_OK;
}

ta_status ta_store_held_set(struct ta_store_table *t, struct ta_store_pool *pool, const struct ta_store_record *r,
                            struct ta_store_held **out) {
    struct ta_store_held *held = (struct ta_store_held *)ta_store_table_find(t, r->name, r->name_bytes);
    ta_status status = TA_OK;
    if (held == NULL)
        status = held_new(t, pool, r, &held);
    else if (held->room < r->value_bytes)
        status = held_grow(held, pool, r->value_bytes);
    if (status != TA_OK) return status;
    if (r->value_bytes > 0) memcpy(held->value, r->value, r->value_bytes);
    held->value_bytes = (uint32_t)r->value_bytes;
    *out = held;
    return TA_OK;
}

static ta_status broke(struct ta_store *s, ta_status status) {
    if (s->broken == TA_OK) {
        snprintf(s->why, sizeof s->why, "%s", ta_why());
        s->broken = status == TA_NO_MEMORY ? TA_NO_MEMORY : TA_PEER;
    }
    return ta_fail(s->broken, "the store at %s is gone: %s", s->server, s->why);
}

ta_status ta_store_client_seal(struct ta_store *s, size_t bytes) {
    unsigned char *to;
    ta_status status = ta_store_outgo_room(&s->out, 4 + bytes + TA_STORE_SEAL_BYTES, &to);
    if (status == TA_OK) s->out.bytes += ta_store_session_seal(&s->session, s->payload, bytes, to);
    return status;
}

/* What fits of the watches the server was not told yet. */
static size_t write_watches(struct ta_store *s) {
    size_t n = 1;
    s->payload[0] = TA_STORE_WATCH;
    for (; s->n_watched < s->n_watches; s->n_watched++) {
        size_t bytes = strlen(s->watches[s->n_watched]);
        s->payload[n] = (unsigned char)bytes;
        memcpy(s->payload + n + 1, s->watches[s->n_watched], bytes);
        n += 1 + bytes;
    }
    return n;
}

static size_t write_puts(struct ta_store *s) {
    size_t n = 1;
    s->payload[0] = TA_STORE_PUT;
    while (s->first != NULL) {
        struct ta_store_held *held = s->first;
        size_t name_bytes = held->node.name_bytes;
        if (n + TA_STORE_PUT_HEAD + name_bytes + held->value_bytes > TA_STORE_PAYLOAD_BYTES) break;
        unsigned char *to = s->payload + n;
        to[0] = (unsigned char)name_bytes;
        to[1] = (unsigned char)held->puts;
        ta_store_write_u16(to + 2, (uint16_t)held->value_bytes);
        memcpy(to + TA_STORE_PUT_HEAD, held->node.name, name_bytes);
        memcpy(to + TA_STORE_PUT_HEAD + name_bytes, held->value, held->value_bytes);
        n += TA_STORE_PUT_HEAD + name_bytes + held->value_bytes;
        s->first = held->next;
        if (s->first == NULL) s->last = NULL;
        ta_store_table_remove(&s->puts, &held->node);
        ta_store_held_free(held);
    }
    return n;
}

bool ta_store_client_sent_all(const struct ta_store *s) {
    return ta_store_outgo_left(&s->out) == 0 && s->first == NULL && s->n_watched == s->n_watches;
}

ta_status ta_store_client_send(struct ta_store *s) {
    ta_status status = TA_OK;
    if (s->broken != TA_OK) return broke(s, s->broken);
    while (status == TA_OK && !ta_store_client_sent_all(s)) {
        unsigned char *room;
        if (ta_store_outgo_left(&s->out) > 0) {
            status = ta_store_outgo_send(&s->out, s->fd);
            if (status == TA_OK && ta_store_outgo_left(&s->out) > 0) break;
            continue;
        }
        /* First the room: what is written counts as sent. */
        status = ta_store_outgo_room(&s->out, TA_STORE_FRAME_BYTES, &room);
        if (status == TA_OK)
            status = ta_store_client_seal(s, s->n_watched < s->n_watches ? write_watches(s) : write_puts(s));
    }
    return status == TA_OK ? TA_OK : broke(s, status);
}

static ta_status take_values(struct ta_store *s, struct ta_store_reader *r) {
    while (r->left > 0) {
        struct ta_store_record record = {.name_bytes = ta_store_read(r, 1)};
        (void)ta_store_read(r, 1);
        record.value_bytes = ta_store_read(r, 2);
        uint64_t version = ta_store_read(r, 8);
        record.name = (const char *)ta_store_read_bytes(r, record.name_bytes);
        record.value = ta_store_read_bytes(r, record.value_bytes);
        if (r->cut || record.value_bytes > TA_STORE_VALUE_BYTES ||
            !ta_store_name_fits(record.name, record.name_bytes, false))
            return ta_fail(TA_FORMAT, "it sent a value that is damaged");
        const struct ta_store_held *old =
            (struct ta_store_held *)ta_store_table_find(&s->got, record.name, record.name_bytes);
        if (old != NULL && old->version >= version) continue; /* two prefixes may hold one name */
        struct ta_store_held *held;
        ta_status status = ta_store_held_set(&s->got, &s->pool, &record, &held);
        if (status != TA_OK) return status;
        held->version = version;
    }
    return TA_OK;
}

static ta_status take_frame(struct ta_store *s, struct ta_store_piece frame) {
    size_t n = ta_store_session_open(&s->session, frame.at, frame.bytes, s->payload);
    if (n == 0) return ta_fail(TA_PEER, "a message was changed, repeated or is out of turn on its way");
    struct ta_store_reader r = {.at = s->payload + 1, .left = n - 1};
    if (s->payload[0] == TA_STORE_VALUES) return take_values(s, &r);
    if (s->payload[0] == TA_STORE_BYE) return ta_fail(TA_PEER, "it was closed");
    return ta_fail(TA_PEER, "a message of kind %u is out of turn", s->payload[0]);
}

static ta_status take(struct ta_store *s, size_t n) {
    struct ta_store_piece from = {s->scratch, n}, unit;
    ta_status status;
    do {
        status = ta_store_intake_next(&s->in, 0, &from, &unit);
        if (status == TA_OK && unit.at != NULL) status = take_frame(s, unit);
    } while (status == TA_OK && unit.at != NULL);
    return status;
}

ta_status ta_store_client_receive(struct ta_store *s) {
    if (s->broken != TA_OK) return broke(s, s->broken);
    for (int i = 0; i < RECEIVES_AT_ONCE; i++) {
        ssize_t n = recv(s->fd, s->scratch, TA_STORE_CLIENT_SCRATCH, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TA_OK;
        ta_status status = TA_OK;
        if (n < 0)
            status = ta_fail_errno(TA_PEER, "receiving");
        else if (n == 0)
            status = ta_fail(TA_PEER, "its process ended or its machine is out of reach");
        else
            status = take(s, (size_t)n);
        if (status != TA_OK) return broke(s, status);
        if (n < TA_STORE_CLIENT_SCRATCH) return TA_OK;
    }
    return TA_OK;
}
