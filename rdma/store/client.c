/* client: the calls of a client: names are checked, values kept, bytes moved by client_io. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_state.h"
#include "clock.h"
#include "mem.h"

ta_status ta_store_open(const struct ta_store_config *config, struct ta_store **out) {
    *out = NULL;
    struct ta_store *s;
    ta_status status = ta_store_session_init();
    if (status == TA_OK) status = TA_NEW(&s, 1, "store: client");
    if (status != TA_OK) return status;
    s->fd = -1;
    status = TA_NEW(&s->payload, TA_STORE_PAYLOAD_BYTES, "store: payload");
    if (status == TA_OK) status = TA_NEW(&s->scratch, TA_STORE_CLIENT_SCRATCH, "store: scratch");
    if (status == TA_OK) status = TA_NEW(&s->watches, TA_STORE_MAX_WATCHES, "store: watches");
    if (status == TA_OK) status = ta_store_client_join(s, config);
    if (status == TA_OK)
        *out = s;
    else
        ta_store_close(s);
    return status;
}

uint64_t ta_store_run_id(const struct ta_store *s) { return s->run_id; }

static void free_puts(struct ta_store_table *t) {
    size_t bucket = 0;
    for (struct ta_store_node *n; (n = ta_store_table_drain(t, &bucket)) != NULL;)
        ta_store_held_free((struct ta_store_held *)n);
    ta_store_table_free(t);
}

/* Closing a socket while something lies unread in it would make the kernel throw away what we sent: the server is told
 * that no more comes, and what it sends until it closes is read. */
static void linger(struct ta_store *s, int64_t until_ns) {
    while (s->broken == TA_OK && !ta_store_client_sent_all(s) && ta_store_client_send(s) == TA_OK &&
           !ta_store_client_sent_all(s)) {
        if (ta_store_await(s->fd, POLLIN | POLLOUT, until_ns) != TA_OK) return;
        if (ta_store_client_receive(s) != TA_OK) return;
    }
    if (s->broken != TA_OK || shutdown(s->fd, SHUT_WR) != 0) return;
    while (ta_store_await(s->fd, POLLIN, until_ns) == TA_OK)
        if (recv(s->fd, s->scratch, TA_STORE_CLIENT_SCRATCH, 0) <= 0) return;
}

void ta_store_close(struct ta_store *s) {
    if (s == NULL) return;
    if (s->fd >= 0) {
        linger(s, ta_clock_now_ns() + TA_NS_PER_S);
        (void)shutdown(s->fd, SHUT_RDWR); /* a process that was forked meanwhile may hold it */
        close(s->fd);
    }
    free_puts(&s->puts);
    ta_store_table_free(&s->got);
    ta_store_pool_free(&s->pool);
    ta_store_intake_free(&s->in);
    ta_store_outgo_free(&s->out);
    ta_mem_free(s->watches);
    ta_mem_free(s->scratch);
    ta_mem_free(s->payload);
    sodium_memzero(&s->session, sizeof s->session);
    ta_mem_free(s);
}

void ta_store_forget(struct ta_store *s) {
    if (s == NULL) return;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    ta_store_close(s);
}

static ta_status check(const struct ta_store *s, const char *name, bool prefix) {
    if (s->broken != TA_OK) return ta_fail(s->broken, "the store at %s is gone: %s", s->server, s->why);
    if (ta_store_name_fits(name, strnlen(name, TA_STORE_NAME_BYTES), prefix)) return TA_OK;
    return ta_fail(TA_INVALID, "'%.80s' is no name in a store: 1 to %d printable characters without blanks", name,
                   TA_STORE_NAME_BYTES - 1);
}

ta_status ta_store_put(struct ta_store *s, const char *name, const void *value, size_t bytes) {
    ta_status status = check(s, name, false);
    if (status != TA_OK) return status;
    if (bytes > TA_STORE_VALUE_BYTES)
        return ta_fail(TA_INVALID, "the value of '%s' has %zu bytes, a store takes %d", name, bytes,
                       TA_STORE_VALUE_BYTES);
    struct ta_store_held *held;
    struct ta_store_record record = {.name = name, .name_bytes = strlen(name), .value = value, .value_bytes = bytes};
    status = ta_store_held_set(&s->puts, NULL, &record, &held);
    if (status != TA_OK) return status;
    if (held->puts++ > 0) { /* it waits in its place already */
        if (held->puts > UINT8_MAX) held->puts = UINT8_MAX;
        return TA_OK;
    }
    if (s->last != NULL)
        s->last->next = held;
    else
        s->first = held;
    s->last = held;
    return TA_OK;
}

ta_status ta_store_watch(struct ta_store *s, const char *prefix) {
    ta_status status = check(s, prefix, true);
    if (status != TA_OK) return status;
    for (unsigned i = 0; i < s->n_watches; i++)
        if (strcmp(s->watches[i], prefix) == 0) return TA_OK;
    if (s->n_watches == TA_STORE_MAX_WATCHES)
        return ta_fail(TA_INVALID, "a client watches %d prefixes at most", TA_STORE_MAX_WATCHES);
    snprintf(s->watches[s->n_watches++], TA_STORE_NAME_BYTES, "%s", prefix);
    return TA_OK;
}

ta_status ta_store_poll(struct ta_store *s) {
    ta_status status = ta_store_client_receive(s);
    return status == TA_OK ? ta_store_client_send(s) : status;
}

ta_status ta_store_get(const struct ta_store *s, const char *name, struct ta_store_value *out) {
    *out = (struct ta_store_value){0};
    const struct ta_store_held *held =
        (const struct ta_store_held *)ta_store_table_find(&s->got, name, strnlen(name, TA_STORE_NAME_BYTES));
    if (held == NULL) return TA_AGAIN;
    *out = (struct ta_store_value){.data = held->value, .bytes = held->value_bytes, .version = held->version};
    return TA_OK;
}
