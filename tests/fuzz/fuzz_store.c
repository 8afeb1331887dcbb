/* Any bytes to a connection of the store's server. The first byte says how: 'b' as they are, in pieces, by somebody who
 * knows nothing; 'p' after hello and answer; 'a' as messages of a client that is let in: two bytes of length, then so
 * much of payload, sealed by us. After anything the server serves the next one, and its memory is as it should be. */
#include "store_talk.h"

#include "bytes_file.h"

enum { MOST_FILLS = 64 };

/* What it is to be sent, as the other clients' server would: opened, and its values counted. */
static void hear_all(struct talk *t) {
    bool more = true;
    for (int i = 0; i < MOST_FILLS && more; i++) {
        if (ta_store_conn_fill(&t->conn, t->house, &more) != TA_OK) __builtin_trap();
        if (more && talk_hear(t) < 2) __builtin_trap(); /* what we seal opens */
    }
}

static void as_pieces(struct talk *t, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        size_t n = 1 + bytes[0] % 64;
        if (n > count) n = count;
        ta_why_clear();
        ta_status status = ta_store_conn_take(&t->conn, t->house, bytes, n);
        need_message(status, ta_why());
        bytes += n;
        count -= n;
    }
    if (t->house->joined != 0) __builtin_trap(); /* nobody gets in by luck */
}

static void as_messages(struct talk *t, const uint8_t *bytes, size_t count) {
    if (talk_join(t) != TA_OK) __builtin_trap();
    while (count >= 2 && t->conn.stage == TA_STORE_JOINED) {
        size_t n = (size_t)(bytes[0] | bytes[1] << 8) + 1;
        bytes += 2;
        count -= 2;
        if (n > count) n = count;
        if (n > TA_STORE_PAYLOAD_BYTES) n = TA_STORE_PAYLOAD_BYTES;
        if (n == 0) break;
        memcpy(t->payload, bytes, n);
        ta_why_clear();
        need_message(talk_say(t, n), ta_why());
        bytes += n;
        count -= n;
        hear_all(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static struct talk t;
    if (count == 0) return 0;
    size_t held = ta_mem_held_bytes();
    if (talk_open(&t) != TA_OK) return 0;
    if (bytes[0] == 'p') {
        unsigned char hello[TA_STORE_HELLO_BYTES];
        ta_store_session_hello(&t.client, talk_secret, hello);
        if (ta_store_conn_take(&t.conn, t.house, hello, sizeof hello) != TA_OK) __builtin_trap();
    }
    if (bytes[0] == 'a')
        as_messages(&t, bytes + 1, count - 1);
    else
        as_pieces(&t, bytes + 1, count - 1);
    talk_hang_up(&t);
    if (t.house->joined != 0 || talk_join(&t) != TA_OK) __builtin_trap();
    talk_close(&t);
    if (ta_mem_held_bytes() != held) __builtin_trap();
    return 0;
}
