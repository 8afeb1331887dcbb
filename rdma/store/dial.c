/* dial: how a client comes to a server: the file, its addresses one by one, hello, proof, join; again until patience
 * ends. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_state.h"
#include "clock.h"
#include "credential.h"
#include "mem.h"

#define MS INT64_C(1000000)
#define CONNECT_NS TA_NS_PER_S
#define ANSWER_NS (5 * TA_NS_PER_S)

enum { FIRST_PAUSE_MS = 10, LONGEST_PAUSE_MS = 200, LONGEST_PATIENCE_S = 1000000000 };

struct dial {
    const struct ta_store_config *config;
    struct ta_store_server_file file;
    int64_t until_ns; /* of the present attempt */
    bool final;       /* the server has decided: to ask again is of no use */
};

static ta_status send_all(struct ta_store *s, int64_t until_ns) {
    while (ta_store_outgo_left(&s->out) > 0) {
        ta_status status = ta_store_outgo_send(&s->out, s->fd);
        if (status == TA_OK && ta_store_outgo_left(&s->out) > 0) status = ta_store_await(s->fd, POLLOUT, until_ns);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static ta_status send_bytes(struct ta_store *s, const void *bytes, size_t n) {
    unsigned char *to;
    ta_status status = ta_store_outgo_room(&s->out, n, &to);
    if (status != TA_OK) return status;
    memcpy(to, bytes, n);
    s->out.bytes += n;
    return TA_OK;
}

/* The next unit, byte by byte as far as need be: nothing behind it is read. */
static ta_status await_unit(struct ta_store *s, size_t fixed, int64_t until_ns, struct ta_store_piece *unit) {
    for (;;) {
        /* A frame's length first, then its rest, so that what follows stays in the socket. */
        struct ta_store_piece none = {0};
        size_t want = fixed > 0 ? fixed - s->in.held : 1;
        ssize_t n = recv(s->fd, s->scratch, want, MSG_DONTWAIT);
        if (n == 0) return ta_fail(TA_PEER, "it refused");
        if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return ta_fail_errno(TA_PEER, "receiving");
        ta_status status = TA_OK;
        if (n > 0)
            none = (struct ta_store_piece){s->scratch, (size_t)n};
        else
            status = ta_store_await(s->fd, POLLIN, until_ns);
        if (status == TA_OK) status = ta_store_intake_next(&s->in, fixed, &none, unit);
        if (status != TA_OK || unit->at != NULL) return status;
    }
}

static ta_status ask_to_join(struct ta_store *s, const struct dial *d) {
    const char *who = d->config->who == NULL ? "" : d->config->who;
    size_t who_bytes = strnlen(who, TA_STORE_WHO_BYTES - 1), credential_bytes = 0;
    unsigned char bond[TA_STORE_PROOF_BYTES], *to = s->payload;
    to[0] = TA_STORE_JOIN;
    ta_store_write_u64(to + 1, d->config->run_id);
    ta_store_write_u32(to + 9, (uint32_t)getpid());
    to[13] = (unsigned char)who_bytes;
    memcpy(to + 14, who, who_bytes);
    to += 14 + who_bytes;
    ta_store_session_bond(&s->session, bond);
    if (d->file.munge &&
        ta_store_credential_make(d->config->munge_socket, bond, to + 2, &credential_bytes) != TA_OK)
        ta_log_info(d->config->log, "store: %s; the secret alone counts", ta_why());
    ta_store_write_u16(to, (uint16_t)credential_bytes);
    return ta_store_client_seal(s, (size_t)(to - s->payload) + 2 + credential_bytes);
}

static ta_status be_let_in(struct ta_store *s, struct dial *d) {
    struct ta_store_piece unit;
    ta_status status = await_unit(s, 0, d->until_ns, &unit);
    if (status != TA_OK) return status;
    size_t n = ta_store_session_open(&s->session, unit.at, unit.bytes, s->payload);
    if (n == 9 && s->payload[0] == TA_STORE_WELCOME) {
        struct ta_store_reader r = {.at = s->payload + 1, .left = 8};
        s->run_id = ta_store_read(&r, 8);
        return TA_OK;
    }
    if (n == 0 || s->payload[0] != TA_STORE_REFUSED) return ta_fail(TA_PEER, "its answer was changed on its way");
    d->final = true;
    return ta_fail(TA_PEER, "it refused: %.*s", (int)(n - 1), (const char *)s->payload + 1);
}

static ta_status shake_hands(struct ta_store *s, struct dial *d) {
    unsigned char hello[TA_STORE_HELLO_BYTES], prove[TA_STORE_PROVE_BYTES];
    struct ta_store_piece unit;
    ta_store_session_hello(&s->session, d->file.secret, hello);
    ta_status status = send_bytes(s, hello, sizeof hello);
    if (status == TA_OK) status = send_all(s, d->until_ns);
    if (status == TA_OK) status = await_unit(s, TA_STORE_ANSWER_BYTES, d->until_ns, &unit);
    if (status != TA_OK) return status;
    status = ta_store_session_prove(&s->session, unit.at, prove);
    if (status == TA_CONFIG) { /* it learns who we were */
        char why[256];
        snprintf(why, sizeof why, "%s", ta_why());
        if (send_bytes(s, prove, sizeof prove) == TA_OK) (void)send_all(s, d->until_ns);
        d->final = true;
        return ta_fail(TA_CONFIG, "%s", why);
    }
    if (status == TA_OK) status = send_bytes(s, prove, sizeof prove);
    if (status == TA_OK) status = ask_to_join(s, d);
    if (status == TA_OK) status = send_all(s, d->until_ns);
    return status == TA_OK ? be_let_in(s, d) : status;
}

static ta_status try_address(struct ta_store *s, struct dial *d, const char *address) {
    int64_t now_ns = ta_clock_now_ns();
    snprintf(s->server, sizeof s->server, "%.40s:%u", address, d->file.port);
    ta_status status = ta_store_dial(address, d->file.port, now_ns + CONNECT_NS, &s->fd);
    d->until_ns = now_ns + ANSWER_NS;
    if (status == TA_OK) status = shake_hands(s, d);
    if (status == TA_OK) return TA_OK;
    ta_fail(status, "the store at %s: %s", s->server, ta_why());
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    ta_store_intake_free(&s->in);
    ta_store_outgo_free(&s->out);
    return status == TA_FORMAT ? TA_PEER : status; /* somebody else listens there: a file of a former run */
}

/* One attempt. PEER: to be tried again. */
static ta_status try_all(struct ta_store *s, struct dial *d) {
    const char *text = d->config->server_text;
    ta_status status = text != NULL ? ta_store_server_file_parse("the server's text", text, strlen(text), &d->file)
                                    : ta_store_server_file_read(d->config->directory, &d->file);
    if (status == TA_AGAIN) return TA_PEER;
    if (status != TA_OK) {
        d->final = true;
        return status;
    }
    if (d->config->run_id != 0 && d->file.run_id != d->config->run_id)
        return ta_fail(TA_PEER, "%s/server is of run %016" PRIx64 ", not of run %016" PRIx64, d->config->directory,
                       d->file.run_id, d->config->run_id);
    for (unsigned i = 0; i < d->file.n_addresses; i++) {
        status = try_address(s, d, d->file.address[i]);
        if (status == TA_OK || d->final || status == TA_NO_MEMORY) break;
    }
    return status;
}

ta_status ta_store_client_join(struct ta_store *s, const struct ta_store_config *config) {
    double patience_s = config->patience_s > 0 ? config->patience_s : 0;
    if (patience_s > LONGEST_PATIENCE_S) patience_s = LONGEST_PATIENCE_S;
    int64_t end_ns = ta_clock_now_ns() + (int64_t)(patience_s * (double)TA_NS_PER_S);
    int64_t pause_ns = FIRST_PAUSE_MS * MS;
    struct dial d = {.config = config};
    for (;;) {
        ta_status status = try_all(s, &d);
        sodium_memzero(d.file.secret, sizeof d.file.secret);
        int64_t now_ns = ta_clock_now_ns();
        if (status == TA_OK || d.final || status == TA_NO_MEMORY) return status;
        if (now_ns >= end_ns)
            return ta_fail(status, "%s (waited %g s)", ta_why(), patience_s);
        ta_clock_sleep_until(now_ns + pause_ns < end_ns ? now_ns + pause_ns : end_ns, 0);
        pause_ns = 2 * pause_ns < LONGEST_PAUSE_MS * MS ? 2 * pause_ns : LONGEST_PAUSE_MS * MS;
    }
}
