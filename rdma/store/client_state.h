/* client_state: what a client holds; client.c is its manual calls, client_io.c its bytes, dial.c how it came to be. */
#ifndef TA_STORE_CLIENT_STATE_H
#define TA_STORE_CLIENT_STATE_H

#include "intake.h"
#include "server_file.h"
#include "pool.h"
#include "socket.h"
#include "table.h"
#include "values.h"

/* A value that was received, or one that is to be sent. */
struct ta_store_held {
    struct ta_store_node node;
    struct ta_store_held *next; /* to be sent: in order of the first put since it was sent last */
    uint64_t version;
    unsigned puts;
    uint32_t value_bytes, room;
    unsigned char *value; /* in text, or `grown` */
    void *grown; /* by ta_mem; NULL: from the pool, or none */
    unsigned char text[]; /* name, then the first value */
};

struct ta_store {
    struct ta_store_session session;
    struct ta_store_intake in;
    struct ta_store_outgo out;
    struct ta_store_table got, puts;
    struct ta_store_pool pool; /* of `got` */
    struct ta_store_held *first, *last; /* of `puts` */
    char (*watches)[TA_STORE_NAME_BYTES];
    unsigned n_watches, n_watched; /* watched: told to the server */
    uint64_t run_id;
    int fd;
    ta_status broken; /* PEER once the server is gone; `why` then says how */
    char why[256], server[TA_STORE_PEER_BYTES];
    unsigned char *payload; /* [TA_STORE_PAYLOAD_BYTES] opened or to be sealed */
    unsigned char *scratch; /* [TA_STORE_CLIENT_SCRATCH] received */
};

enum { TA_STORE_CLIENT_SCRATCH = 1 << 16 };

/* Connects and joins. The store has its memory; config->patience_s counts from now. Errors: as ta_store_open. */
ta_status ta_store_client_join(struct ta_store *s, const struct ta_store_config *config);

/* Puts a value into a table, in place of the one before; *out is it. Its memory is of the pool; NULL: its own, to be
 * freed. Errors: NO_MEMORY. */
ta_status ta_store_held_set(struct ta_store_table *t, struct ta_store_pool *pool, const struct ta_store_record *record,
                            struct ta_store_held **out);
void ta_store_held_free(struct ta_store_held *held);

/* Seals payload[0 .. bytes) into what is to be sent. Errors: NO_MEMORY. */
ta_status ta_store_client_seal(struct ta_store *s, size_t bytes);
/* Sends what there is. OK; PEER (kept in `broken`), NO_MEMORY. */
ta_status ta_store_client_send(struct ta_store *s);
/* Receives what there is, a bounded amount. Errors: as send. */
ta_status ta_store_client_receive(struct ta_store *s);
bool ta_store_client_sent_all(const struct ta_store *s);

#endif
