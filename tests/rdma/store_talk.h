/* store_talk: a client in memory that talks to a connection of the server without sockets; says what it likes. */
#ifndef TA_TEST_STORE_TALK_H
#define TA_TEST_STORE_TALK_H

#include <string.h>

#include "conn.h"
#include "mem.h"

struct talk {
    struct ta_store_house *house; /* a large thing */
    struct ta_store_conn conn;
    struct ta_store_session client;
    struct ta_store_intake heard; /* from the server */
    unsigned char payload[TA_STORE_PAYLOAD_BYTES + 1], frame[TA_STORE_FRAME_BYTES + 1];
};

static const unsigned char talk_secret[TA_STORE_SECRET_BYTES] = "known to those who belong here";

static inline ta_status talk_open(struct talk *t) {
    memset(t, 0, sizeof *t);
    ta_status status = ta_store_session_init();
    if (status == TA_OK) status = TA_NEW(&t->house, 1, "house");
    if (status != TA_OK) return status;
    memcpy(t->house->secret, talk_secret, sizeof talk_secret);
    t->house->run_id = 0x77;
    t->house->max_clients = 2;
    return TA_OK;
}

static inline void talk_hang_up(struct talk *t) {
    ta_store_conn_free(&t->conn, t->house);
    memset(&t->conn, 0, sizeof t->conn);
    ta_store_intake_free(&t->heard);
}

static inline void talk_close(struct talk *t) {
    if (t->house == NULL) return;
    talk_hang_up(t);
    ta_store_values_free(&t->house->values);
    ta_mem_free(t->house);
}

/* Hello and answer, proof: as a client does. Not OK: the server's or the client's own failure. */
static inline ta_status talk_prove(struct talk *t, const unsigned char *secret) {
    unsigned char hello[TA_STORE_HELLO_BYTES], prove[TA_STORE_PROVE_BYTES];
    ta_store_session_hello(&t->client, secret, hello);
    ta_status status = ta_store_conn_take(&t->conn, t->house, hello, sizeof hello);
    if (status != TA_OK) return status;
    (void)ta_store_session_prove(&t->client, t->conn.out.data, prove); /* a stranger proves what it can */
    if (memcmp(secret, talk_secret, sizeof talk_secret) != 0) memset(prove, 7, sizeof prove);
    ta_store_outgo_free(&t->conn.out);
    return ta_store_conn_take(&t->conn, t->house, prove, sizeof prove);
}

/* Sends payload[0 .. n), sealed. */
static inline ta_status talk_say(struct talk *t, size_t n) {
    size_t bytes = ta_store_session_seal(&t->client, t->payload, n, t->frame);
    return ta_store_conn_take(&t->conn, t->house, t->frame, bytes);
}

static inline size_t talk_put_join(struct talk *t, uint64_t run_id, const char *who) {
    size_t n = strlen(who);
    t->payload[0] = TA_STORE_JOIN;
    ta_store_write_u64(t->payload + 1, run_id);
    ta_store_write_u32(t->payload + 9, 4711);
    t->payload[13] = (unsigned char)n;
    memcpy(t->payload + 14, who, n);
    ta_store_write_u16(t->payload + 14 + n, 0);
    return 16 + n;
}

/* Opens the next frame of what the server has to say into payload; returns its length, 0: none. */
static inline size_t talk_hear(struct talk *t) {
    struct ta_store_outgo *out = &t->conn.out;
    if (ta_store_outgo_left(out) == 0) return 0;
    struct ta_store_piece from = {out->data + out->sent, ta_store_outgo_left(out)}, unit;
    size_t before = from.bytes;
    if (ta_store_intake_next(&t->heard, 0, &from, &unit) != TA_OK || unit.at == NULL) return 0;
    size_t n = ta_store_session_open(&t->client, unit.at, unit.bytes, t->payload);
    out->sent += before - from.bytes;
    if (ta_store_outgo_left(out) == 0) ta_store_outgo_free(out);
    return n;
}

static inline ta_status talk_join(struct talk *t) {
    ta_status status = talk_prove(t, talk_secret);
    if (status == TA_OK) status = talk_say(t, talk_put_join(t, 0x77, "test"));
    if (status == TA_OK && (talk_hear(t) != 9 || t->payload[0] != TA_STORE_WELCOME))
        status = ta_fail(TA_FAILED, "not welcome");
    return status;
}

static inline size_t talk_add_put(unsigned char *to, const char *name, const void *value, size_t bytes) {
    size_t n = strlen(name);
    to[0] = (unsigned char)n;
    to[1] = 1;
    ta_store_write_u16(to + 2, (uint16_t)bytes);
    memcpy(to + 4, name, n);
    memcpy(to + 4 + n, value, bytes);
    return 4 + n + bytes;
}

#endif
