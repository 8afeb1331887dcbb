/* outbox: builds the puts of the live exchange. */
#include "outbox.h"

#include <string.h>

#include "live.h"
#include "mem.h"

ta_status ta_outboxes_open(struct ta_outboxes *o, unsigned n_ranks, unsigned in_flight, uint32_t most_rows) {
    memset(o, 0, sizeof *o);
    o->in_flight = in_flight;
    o->most_rows = most_rows;
    size_t each = (size_t)in_flight + 1;
    ta_status status = TA_NEW(&o->outbox, n_ranks, "outboxes");
    if (status == TA_OK) status = TA_NEW(&o->copies, each * n_ranks, "headers in flight");
    if (status == TA_OK) status = TA_NEW(&o->lists, each * n_ranks * 2 * most_rows, "lists of rows in flight");
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
    ta_mem_free(o->lists);
    ta_mem_free(o->copies);
    ta_mem_free(o->outbox);
    memset(o, 0, sizeof *o);
}

static bool room(const struct ta_live *l, unsigned peer) {
    return l->transport_ops->in_flight(l->transport, peer) < l->outboxes.in_flight;
}

/* What one put takes along. */
struct parcel {
    struct ta_put_copy *copy;
    struct ta_rows_plan rows;
    bool doubted; /* its receiver gets the board, and a header that claims nothing: it must not come to rest with us */
    bool body;    /* what is no table */
    bool all;     /* the whole register, tables too */
    bool board;
};

static struct ta_put_copy *next_copy(const struct ta_live *l, struct ta_outbox *out) {
    return &out->copies[out->turn % (l->outboxes.in_flight + 1)];
}

static void pack(const struct ta_live *l, unsigned peer, struct parcel *parcel) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    const struct ta_outboxes *o = &l->outboxes;
    struct ta_put_copy *copy = next_copy(l, out);
    uint32_t *lists = o->lists + (size_t)(copy - o->copies) * 2 * o->most_rows;
    bool doubted = ta_member_gone(&l->members.member[peer]);
    *parcel = (struct parcel){
        .copy = copy,
        .rows = {.rows = lists, .ids = lists + o->most_rows},
        .doubted = doubted,
        .all = !doubted && !out->joined && (l->tables.resumed || out->anew),
        .board = doubted || !out->joined || out->board_version != l->members.board_version,
    };
    bool held = !doubted && ta_live_withholds(l, peer);
    parcel->body = !doubted && !held && !parcel->all && l->dense && (!out->joined || out->body_steps != l->base.steps);
    struct ta_rows_mark now = ta_live_mark(l);
    if (held) now = (struct ta_rows_mark){out->put_steps, out->put_records, out->put_position};
    ta_rows_plan_make(&l->rows, peer, doubted || parcel->all ? 0 : o->most_rows, now, &parcel->rows);
    parcel->rows.whole &= now.steps == l->base.steps;
    copy->log_head = out->log_head + (parcel->all ? (uint64_t)l->layout.log_entries + 1 : parcel->rows.n);
}

static void fill_header(const struct ta_live *l, unsigned peer, int64_t now_ns, const struct parcel *parcel) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    struct ta_slot_said said = {0};
    if (!parcel->doubted) {
        said = l->said;
        if (!parcel->rows.whole) ta_slot_unpack_state(out->told, &said);
        uint64_t more = l->base.steps - parcel->rows.mark.steps;
        said.steps = parcel->rows.mark.steps;
        said.more = more < UINT32_MAX ? (uint32_t)more : UINT32_MAX;
        said.records = parcel->rows.mark.records;
    }
    said.sent_ns = now_ns > 0 ? (uint64_t)now_ns : 0;
    said.pulse = out->pulse + 1;
    said.board = l->members.board_version;
    ta_slot_encode(&l->self, &said, parcel->copy->header);
    uint64_t *ack = parcel->copy->ack;
    ack[TA_ACK_STEPS] = parcel->doubted ? out->acked : l->staleness.basis[peer];
    ack[TA_ACK_NOTE] = l->note;
    ack[TA_ACK_POSITION] = parcel->rows.mark.position;
    ack[TA_ACK_SHARE] = l->share;
    ack[TA_ACK_WELCOME] = ta_member_counts(&l->members.member[peer]);
    ack[TA_ACK_GAUGE] = l->gauge;
}

static struct ta_put_segment piece(const void *source, size_t bytes, size_t offset) {
    return (struct ta_put_segment){.source = source, .bytes = bytes, .target_offset = offset};
}

/* The register: all of it, or what is no table, and the rows. */
static unsigned add_body(const struct ta_live *l, unsigned peer, const struct parcel *parcel,
                         struct ta_put_segment *segments) {
    const struct ta_model *model = l->base.model;
    size_t body = ta_slot_body(&l->layout, peer, l->self.rank), first = 0;
    unsigned n = 0;
    if (l->whole != NULL && (parcel->all || parcel->body)) return ta_whole_segments(l, peer, segments);
    if (parcel->all || (parcel->body && l->rows.n_tables == 0)) {
        segments[n++] = piece(l->base.delta, l->layout.n_params * sizeof(float), body);
        return n;
    }
    for (unsigned s = 0; s < model->n_segments && parcel->body; s++) {
        const struct ta_segment *segment = &model->segments[s];
        if (segment->kind != TA_SEGMENT_SUM && segment->kind != TA_SEGMENT_MEAN) continue;
        segments[n++] = piece(l->base.delta + segment->offset, segment->count * sizeof(float),
                              body + segment->offset * sizeof(float));
    }
    for (unsigned t = 0; t < l->rows.n_tables; t++) {
        const struct ta_table *table = &l->rows.table[t].shape;
        struct ta_put_segment rows = piece(l->base.delta + table->offset, table->stride * sizeof(float),
                                           body + table->offset * sizeof(float));
        rows.rows = parcel->rows.rows + first;
        rows.n_rows = parcel->rows.n_of[t];
        first += rows.n_rows;
        if (rows.n_rows > 0) segments[n++] = rows;
    }
    return n;
}

static unsigned fill_segments(const struct ta_live *l, unsigned peer, const struct parcel *parcel,
                              struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS]) {
    size_t control = ta_slot_control(&l->layout, peer, l->self.rank), header = control + TA_SLOT_HEADER;
    const struct ta_put_copy *copy = parcel->copy;
    const struct ta_rowlog_place log = {control + l->layout.log, l->layout.log_entries};
    uint64_t log_head = l->outboxes.outbox[peer].log_head;
    bool logged = log.entries > 0 && copy->log_head != log_head;
    unsigned n = add_body(l, peer, parcel, segments);
    if (logged)
        n += ta_rowlog_append(&log, log_head, parcel->rows.ids, parcel->rows.n, &copy->log_head, segments + n);
    if (parcel->board)
        segments[n++] = piece(l->outboxes.board, l->self.n_ranks * sizeof(struct ta_slot_claim),
                              control + TA_SLOT_BOARD);
    segments[n++] = piece(copy->ack, sizeof copy->ack, control + TA_SLOT_ACK); /* after the board: see live_join.c */
    if (logged) segments[n++] = ta_rowlog_commit(&log, &copy->log_head);
    segments[n++] = piece(copy->header, TA_SLOT_FIRST_BYTES, header);
    for (unsigned word = TA_WORD_REQUEST; word < TA_SLOT_WORDS; word++)
        segments[n++] = piece(&copy->header[word], sizeof copy->header[word],
                              header + word * sizeof copy->header[word]);
    return n;
}

static size_t bytes_of(const struct ta_put_segment *segments, unsigned n) {
    size_t bytes = 0;
    for (unsigned i = 0; i < n; i++)
        bytes += segments[i].rows == NULL ? segments[i].bytes : segments[i].bytes * segments[i].n_rows;
    return bytes;
}

/* The transport took it: what it says is said. */
static void sent(struct ta_live *l, unsigned peer, const struct parcel *parcel) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (parcel->doubted) {
        l->members.member[peer].doubted = false;
        return;
    }
    out->joined = true;
    out->said_version = l->said_version;
    out->put_steps = parcel->rows.mark.steps;
    out->put_records = parcel->rows.mark.records;
    out->put_position = parcel->rows.mark.position;
    out->told_made = l->base.steps;
    if (parcel->body || parcel->all) {
        out->body_steps = l->base.steps;
        out->body_turn = out->turn;
    }
    if (parcel->rows.whole) out->told = ta_slot_pack_state(&l->said);
    out->rows += parcel->rows.n;
    out->log_head = parcel->copy->log_head;
    ta_rows_sent(&l->rows, peer, &parcel->rows);
}

void ta_outbox_restart(struct ta_live *l, unsigned peer) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    out->joined = false;
    out->anew = out->puts > 0;
    out->relay_rank = l->self.n_ranks;
}

bool ta_outbox_push(struct ta_live *l, unsigned peer, int64_t now_ns) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    struct ta_member *member = &l->members.member[peer];
    if (!member->connected || !room(l, peer)) return false;
    struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS];
    struct parcel parcel;
    pack(l, peer, &parcel);
    if (l->whole != NULL && (parcel.body || parcel.all)) l->put_status = ta_whole_pack(l);
    if (l->put_status != TA_OK) return false;
    fill_header(l, peer, now_ns, &parcel);
    unsigned n = fill_segments(l, peer, &parcel, segments);
    ta_status status = l->transport_ops->put(l->transport, peer, segments, n);
    if (status == TA_BUSY) return false;
    if (status != TA_OK) { /* PEER: poll finds it BROKEN or DOWN. Anything else ends the run */
        member->doubted = false;
        if (status != TA_PEER) l->put_status = status;
        return false;
    }
    out->turn++;
    out->pulse++;
    out->puts++;
    out->bytes += bytes_of(segments, n);
    out->put_ns = now_ns;
    out->board_version = l->members.board_version;
    out->acked = parcel.copy->ack[TA_ACK_STEPS];
    if (l->whole != NULL) ta_whole_sent(l, peer, parcel.body || parcel.all);
    sent(l, peer, &parcel);
    return true;
}

/* Puts to one peer end in their order. */
bool ta_outbox_reads_body(const struct ta_live *l, unsigned peer) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    unsigned ended = out->turn - l->transport_ops->in_flight(l->transport, peer);
    return (int)(out->body_turn - ended) > 0;
}

/* Something of our register is to go there, or could now be claimed. */
static bool behind(const struct ta_live *l, unsigned peer) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (ta_live_withholds(l, peer)) return out->told_made != l->base.steps;
    if (!out->joined || (l->dense && out->body_steps != l->base.steps)) return true;
    if (l->rows.n_tables > 0 && l->rows.peer[peer].n_due > 0) return true;
    return out->put_steps != l->base.steps && ta_rows_all_out(&l->rows, peer);
}

/* An acknowledgement alone waits for an idle path, so that it never holds up a body. */
static bool has_news(const struct ta_live *l, unsigned peer, int64_t now_ns) {
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (behind(l, peer)) return true;
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

bool ta_outbox_relay(struct ta_live *l, unsigned peer, unsigned gone, uint64_t pass, int64_t now_ns) {
    struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (!l->members.member[peer].connected || !room(l, peer)) return false;
    struct ta_put_copy *copy = next_copy(l, out);
    ta_estate_relay_line(l, gone, out->relay_serial + 1, copy->relay);
    size_t body = ta_slot_body(&l->layout, peer, gone), relay = body + l->layout.relay;
    struct ta_put_segment segments[] = {
        piece(ta_live_register(l, gone), l->layout.n_params * sizeof(float), body),
        piece(copy->relay, 7 * sizeof(uint64_t), relay),
        piece(&copy->relay[7], sizeof(uint64_t), relay + 7 * sizeof(uint64_t)),
    };
    for (unsigned i = 0; i < 3; i++) segments[i].pass = pass;
    ta_status status = l->transport_ops->put(l->transport, peer, segments, 3);
    if (status == TA_BUSY || status == TA_PEER) return false;
    out->relay_rank = gone;
    out->relay_ns = now_ns;
    if (status != TA_OK) return false; /* the pass is the peer's word: a wrong one is no fault of ours */
    out->turn++;
    out->puts++;
    out->bytes += bytes_of(segments, 3);
    out->relay_serial++;
    return true;
}
