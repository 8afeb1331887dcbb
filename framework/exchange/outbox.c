/* outbox: builds the puts of the live exchange. */
#include "outbox.h"

#include <string.h>

#include "live.h"
#include "mem.h"

ta_status ta_outboxes_open(struct ta_outboxes *o, unsigned n_ranks, unsigned in_flight) {
    memset(o, 0, sizeof *o);
    o->in_flight = in_flight;
    size_t each = (size_t)in_flight + 1;
    ta_status status = TA_NEW(&o->outbox, n_ranks, "outboxes");
    if (status == TA_OK) status = TA_NEW(&o->copies, each * n_ranks, "headers in flight");
    if (status == TA_OK) status = TA_NEW(&o->board, n_ranks, "board of the exchange");
    if (status != TA_OK) {
        ta_outboxes_close(o);
        return status;
    }
    for (unsigned r = 0; r < n_ranks; r++) {
        o->outbox[r].copies = o->copies + r * each;
        o->outbox[r].relay_rank = n_ranks;
    }
    return TA_OK;
}

void ta_outboxes_close(struct ta_outboxes *o) {
    ta_mem_free(o->board);
    ta_mem_free(o->copies);
    ta_mem_free(o->outbox);
    memset(o, 0, sizeof *o);
}

static bool room(const struct ta_live *l, unsigned peer) {
    return l->transport_ops->in_flight(l->transport, peer) < l->outboxes.in_flight;
}

static struct ta_put_copy *next_copy(const struct ta_live *l, struct ta_outbox *out) {
    return &out->copies[out->turn % (l->outboxes.in_flight + 1)];
}

static void add(struct ta_put_segment *segments, unsigned *n, const void *source, size_t bytes, size_t offset) {
    segments[(*n)++] = (struct ta_put_segment){source, bytes, offset};
}

/* A peer that is doubted gets the board, and a header that claims nothing: it must not come to rest with us. */
static void fill_header(const struct ta_live *l, unsigned peer, int64_t now_ns, struct ta_put_copy *copy) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    bool doubted = ta_member_gone(&l->members.member[peer]);
    struct ta_slot_said said = {0};
    if (!doubted) {
        said = l->said;
        said.steps = l->base.steps;
        said.records = l->base.records;
    }
    said.sent_ns = now_ns > 0 ? (uint64_t)now_ns : 0;
    said.pulse = out->pulse + 1;
    said.board = l->members.board_version;
    ta_slot_encode(&l->self, &said, copy->header);
    copy->ack = doubted ? out->acked : l->staleness.basis[peer];
}

static unsigned fill_segments(const struct ta_live *l, unsigned peer, const struct ta_put_copy *copy, bool body,
                              bool board, struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS]) {
    unsigned n = 0;
    size_t control = ta_slot_control(&l->layout, peer, l->self.rank), header = control + TA_SLOT_HEADER;
    if (body)
        add(segments, &n, l->base.delta, l->layout.n_params * sizeof(float),
            ta_slot_body(&l->layout, peer, l->self.rank));
    add(segments, &n, &copy->ack, sizeof copy->ack, control + TA_SLOT_ACK);
    if (board)
        add(segments, &n, l->outboxes.board, l->self.n_ranks * sizeof(struct ta_slot_claim), control + TA_SLOT_BOARD);
    add(segments, &n, copy->header, TA_SLOT_FIRST_BYTES, header);
    for (unsigned word = TA_WORD_REQUEST; word < TA_SLOT_WORDS; word++)
        add(segments, &n, &copy->header[word], sizeof copy->header[word], header + word * sizeof copy->header[word]);
    return n;
}

static size_t bytes_of(const struct ta_put_segment *segments, unsigned n) {
    size_t bytes = 0;
    for (unsigned i = 0; i < n; i++) bytes += segments[i].bytes;
    return bytes;
}

bool ta_outbox_push(struct ta_live *l, unsigned peer, int64_t now_ns) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    struct ta_member *member = &l->members.member[peer];
    if (!member->connected || !room(l, peer)) return false;
    bool doubted = ta_member_gone(member);
    bool body = !doubted && (!out->joined || out->put_steps != l->base.steps);
    uint32_t board_version = l->members.board_version;
    struct ta_put_copy *copy = next_copy(l, out);
    struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS];
    fill_header(l, peer, now_ns, copy);
    unsigned n = fill_segments(l, peer, copy, body, doubted || out->board_version != board_version, segments);
    ta_status status = l->transport_ops->put(l->transport, peer, segments, n);
    if (status == TA_BUSY) return false;
    if (status != TA_OK) { /* PEER: the path is broken; poll finds it DOWN. Anything else ends the run */
        member->doubted = false;
        if (status != TA_PEER) l->put_status = status;
        return false;
    }
    out->turn++;
    out->pulse++;
    out->puts++;
    out->bytes += bytes_of(segments, n);
    out->put_ns = now_ns;
    out->board_version = board_version;
    out->acked = copy->ack;
    if (doubted) {
        member->doubted = false;
        return true;
    }
    out->joined = true;
    out->put_steps = l->base.steps;
    out->said_version = l->said_version;
    return true;
}

/* An acknowledgement alone waits for an idle path, so that it never holds up a body. */
static bool has_news(const struct ta_live *l, unsigned peer, int64_t now_ns) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (!out->joined || out->put_steps != l->base.steps) return true;
    if (out->said_version != l->said_version || out->board_version != l->members.board_version) return true;
    if (now_ns - out->put_ns >= l->outboxes.heartbeat_ns) return true;
    return out->acked != l->staleness.basis[peer] && l->transport_ops->in_flight(l->transport, peer) == 0;
}

void ta_outboxes_flush(struct ta_live *l, int64_t now_ns) {
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == l->self.rank || !member->connected) continue;
        if (ta_member_gone(member) ? member->doubted : has_news(l, p, now_ns)) ta_outbox_push(l, p, now_ns);
    }
}

bool ta_outbox_relay(struct ta_live *l, unsigned peer, unsigned gone, int64_t now_ns) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (!l->members.member[peer].connected || !room(l, peer)) return false;
    struct ta_put_copy *copy = next_copy(l, out);
    ta_estate_relay_line(l, gone, out->relay_serial + 1, copy->relay);
    size_t relay = ta_slot_control(&l->layout, peer, gone) + TA_SLOT_RELAY;
    const struct ta_put_segment segments[] = {
        {ta_live_register(l, gone), l->layout.n_params * sizeof(float), ta_slot_body(&l->layout, peer, gone)},
        {copy->relay, 7 * sizeof(uint64_t), relay},
        {&copy->relay[7], sizeof(uint64_t), relay + 7 * sizeof(uint64_t)},
    };
    if (l->transport_ops->put(l->transport, peer, segments, 3) != TA_OK) return false;
    out->turn++;
    out->puts++;
    out->bytes += bytes_of(segments, 3);
    out->relay_serial++;
    out->relay_rank = gone;
    out->relay_ns = now_ns;
    return true;
}
