/* conn: what a connection goes through: hello, proof, join, then watches and puts. */
#include "conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "credential.h"
#include "mem.h"

/* Seals house->payload[0 .. bytes) for this client. */
static ta_status seal(struct ta_store_conn *c, struct ta_store_house *house, size_t bytes) {
    unsigned char *to;
    ta_status status = ta_store_outgo_room(&c->out, 4 + bytes + TA_STORE_SEAL_BYTES, &to);
    if (status == TA_OK) c->out.bytes += ta_store_session_seal(&c->session, house->payload, bytes, to);
    return status;
}

ta_status ta_store_conn_say(struct ta_store_conn *c, struct ta_store_house *house, enum ta_store_kind kind,
                            const char *words) {
    size_t n = strlen(words);
    house->payload[0] = (unsigned char)kind;
    memcpy(house->payload + 1, words, n);
    return seal(c, house, 1 + n);
}

ta_status ta_store_conn_fill(struct ta_store_conn *c, struct ta_store_house *house, bool *more) {
    *more = false;
    if (c->stage != TA_STORE_JOINED) return TA_OK;
    /* Reserved first: what fill has handed out counts as sent. */
    unsigned char *to;
    ta_status status = ta_store_outgo_room(&c->out, TA_STORE_FRAME_BYTES, &to);
    if (status != TA_OK) return status;
    size_t n = ta_store_values_fill(&c->watcher, house->payload + 1, sizeof house->payload - 1);
    if (n == 0) {
        if (ta_store_outgo_left(&c->out) == 0) ta_store_outgo_free(&c->out);
        return TA_OK;
    }
    *more = true;
    house->payload[0] = TA_STORE_VALUES;
    return seal(c, house, 1 + n);
}

static ta_status at_hello(struct ta_store_conn *c, struct ta_store_house *house, const unsigned char *hello) {
    unsigned char answer[TA_STORE_ANSWER_BYTES], *to;
    ta_status status = ta_store_session_answer(&c->session, house->secret, hello, answer);
    if (status == TA_OK) status = ta_store_outgo_room(&c->out, sizeof answer, &to);
    if (status != TA_OK) return status;
    memcpy(to, answer, sizeof answer);
    c->out.bytes += sizeof answer;
    c->stage = TA_STORE_AT_PROOF;
    return TA_OK;
}

static ta_status at_proof(struct ta_store_conn *c, const unsigned char *prove) {
    ta_status status = ta_store_session_check(&c->session, prove);
    if (status == TA_OK) c->stage = TA_STORE_AT_JOIN;
    return status;
}

/* Tells the client what ta_why says, and ends. */
static ta_status refuse(struct ta_store_conn *c, struct ta_store_house *house, ta_status why) {
    char words[512];
    snprintf(words, sizeof words, "%s", ta_why());
    (void)ta_store_conn_say(c, house, TA_STORE_REFUSED, words);
    return ta_fail(why, "%s", words);
}

static ta_status check_credential(const struct ta_store_conn *c, const struct ta_store_house *house,
                                  const unsigned char *credential, size_t bytes) {
    if (!house->munge) return TA_OK;
    if (bytes == 0) {
        ta_log_info(house->log, "store: %s has no munged to vouch for it: its secret alone counts", c->who);
        return TA_OK;
    }
    unsigned char bond[TA_STORE_PROOF_BYTES];
    ta_store_session_bond(&c->session, bond);
    return ta_store_credential_check(house->munge_socket, bond, credential, bytes);
}

static ta_status at_join(struct ta_store_conn *c, struct ta_store_house *house, struct ta_store_reader *r) {
    uint64_t run_id = ta_store_read(r, 8);
    uint64_t pid = ta_store_read(r, 4);
    size_t who_bytes = ta_store_read(r, 1);
    const unsigned char *who = ta_store_read_bytes(r, who_bytes);
    size_t credential_bytes = ta_store_read(r, 2);
    const unsigned char *credential = ta_store_read_bytes(r, credential_bytes);
    if (r->cut || r->left > 0 || who_bytes >= sizeof c->who)
        return ta_fail(TA_FORMAT, "its request to join is damaged");
    for (size_t i = 0; i < who_bytes; i++) c->who[i] = (char)(who[i] < ' ' || who[i] > '~' ? '?' : who[i]);
    ta_status status = TA_OK;
    if (run_id != 0 && run_id != house->run_id)
        status = ta_fail(TA_PEER, "%s (process %" PRIu64 ") is of run %016" PRIx64 ", this store of run %016" PRIx64,
                         c->who, pid, run_id, house->run_id);
    else if (house->joined >= house->max_clients)
        status = ta_fail(TA_PEER, "there are %u clients already, of %u at most", house->joined, house->max_clients);
    else
        status = check_credential(c, house, credential, credential_bytes);
    if (status != TA_OK) return refuse(c, house, status);
    house->payload[0] = TA_STORE_WELCOME;
    ta_store_write_u64(house->payload + 1, house->run_id);
    status = seal(c, house, 9);
    if (status != TA_OK) return status;
    c->stage = TA_STORE_JOINED;
    house->joined++;
    return TA_OK;
}

static ta_status take_watches(struct ta_store_conn *c, struct ta_store_house *house, struct ta_store_reader *r) {
    while (r->left > 0) {
        size_t bytes = ta_store_read(r, 1);
        const char *prefix = (const char *)ta_store_read_bytes(r, bytes);
        if (r->cut || !ta_store_name_fits(prefix, bytes, true)) return ta_fail(TA_FORMAT, "a watch is damaged");
        ta_status status = ta_store_values_watch(&house->values, &c->watcher, prefix, bytes);
        if (status == TA_INVALID) status = TA_FORMAT; /* our own clients count before they ask */
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static ta_status take_puts(struct ta_store_house *house, struct ta_store_reader *r) {
    while (r->left > 0) {
        struct ta_store_record record = {.name_bytes = ta_store_read(r, 1), .puts = (unsigned)ta_store_read(r, 1)};
        record.value_bytes = ta_store_read(r, 2);
        record.name = (const char *)ta_store_read_bytes(r, record.name_bytes);
        record.value = ta_store_read_bytes(r, record.value_bytes);
        if (r->cut || record.puts == 0 || record.value_bytes > TA_STORE_VALUE_BYTES ||
            !ta_store_name_fits(record.name, record.name_bytes, false))
            return ta_fail(TA_FORMAT, "a put is damaged");
        ta_status status = ta_store_values_put(&house->values, &record);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static ta_status take_frame(struct ta_store_conn *c, struct ta_store_house *house, struct ta_store_piece frame) {
    size_t n = ta_store_session_open(&c->session, frame.at, frame.bytes, house->payload);
    if (n == 0)
        return ta_fail(TA_FORMAT, "a message does not open: it was changed, repeated or is out of turn on its way");
    struct ta_store_reader r = {.at = house->payload + 1, .left = n - 1};
    unsigned kind = house->payload[0];
    if (c->stage == TA_STORE_AT_JOIN && kind == TA_STORE_JOIN) return at_join(c, house, &r);
    if (c->stage == TA_STORE_JOINED && kind == TA_STORE_WATCH) return take_watches(c, house, &r);
    if (c->stage == TA_STORE_JOINED && kind == TA_STORE_PUT) return take_puts(house, &r);
    return ta_fail(TA_FORMAT, "a message of kind %u is out of turn", kind);
}

static size_t fixed_bytes(enum ta_store_stage stage) {
    if (stage == TA_STORE_AT_HELLO) return TA_STORE_HELLO_BYTES;
    return stage == TA_STORE_AT_PROOF ? TA_STORE_PROVE_BYTES : 0;
}

ta_status ta_store_conn_take(struct ta_store_conn *c, struct ta_store_house *house, const void *bytes, size_t n) {
    struct ta_store_piece from = {bytes, n}, unit;
    ta_status status = TA_OK;
    while (status == TA_OK && c->stage != TA_STORE_ENDING) {
        status = ta_store_intake_next(&c->in, fixed_bytes(c->stage), &from, &unit);
        if (status != TA_OK || unit.at == NULL) break;
        if (c->stage == TA_STORE_AT_HELLO)
            status = at_hello(c, house, unit.at);
        else if (c->stage == TA_STORE_AT_PROOF)
            status = at_proof(c, unit.at);
        else
            status = take_frame(c, house, unit);
    }
    if (status != TA_OK) {
        if (c->stage == TA_STORE_JOINED) house->joined--;
        c->stage = TA_STORE_ENDING;
    }
    return status;
}

void ta_store_conn_free(struct ta_store_conn *c, struct ta_store_house *house) {
    if (c->stage == TA_STORE_JOINED) house->joined--;
    c->stage = TA_STORE_ENDING;
    ta_store_values_unwatch(&house->values, &c->watcher);
    ta_store_intake_free(&c->in);
    ta_store_outgo_free(&c->out);
    sodium_memzero(&c->session, sizeof c->session);
}
