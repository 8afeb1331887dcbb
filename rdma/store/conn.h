/* conn: one connection of the server, without its socket: bytes that came go in, bytes to be sent come out. */
#ifndef TA_STORE_CONN_H
#define TA_STORE_CONN_H

#include "intake.h"
#include "session.h"
#include "values.h"

enum ta_store_stage { TA_STORE_AT_HELLO, TA_STORE_AT_PROOF, TA_STORE_AT_JOIN, TA_STORE_JOINED, TA_STORE_ENDING };

/* What all connections of a server share. */
struct ta_store_house {
    struct ta_store_values values;
    unsigned char secret[TA_STORE_SECRET_BYTES];
    uint64_t run_id;
    bool munge; /* ask for a credential */
    const char *munge_socket;
    unsigned joined, max_clients;
    struct ta_log *log;
    unsigned char payload[TA_STORE_PAYLOAD_BYTES]; /* opened or to be sealed; of the server's thread */
};

struct ta_store_conn {
    struct ta_store_watcher watcher; /* first: the due list is of these */
    enum ta_store_stage stage;
    struct ta_store_session session;
    struct ta_store_intake in;
    struct ta_store_outgo out;
    char who[TA_STORE_WHO_BYTES]; /* "" before it has joined */
};

/* Takes what came. OK; else the connection is to be closed once what it has to say is sent: FORMAT (garbage), PEER
 * (refused), CONFIG (another version), NO_MEMORY. */
ta_status ta_store_conn_take(struct ta_store_conn *c, struct ta_store_house *house, const void *bytes, size_t n);
/* Seals one message of what the connection is to be sent into `out`, which is empty. *more: there may be another.
 * Errors: NO_MEMORY. */
ta_status ta_store_conn_fill(struct ta_store_conn *c, struct ta_store_house *house, bool *more);
/* Seals one message of a kind and words: REFUSED, BYE. */
ta_status ta_store_conn_say(struct ta_store_conn *c, struct ta_store_house *house, enum ta_store_kind kind,
                            const char *words);
void ta_store_conn_free(struct ta_store_conn *c, struct ta_store_house *house);

#endif
