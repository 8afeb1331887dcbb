/* sync_ring: chunks go round, and puts between members. What a message is and when it may go stands in sync.h. */
#include <string.h>

#include "sync.h"
#include "window.h"

uint64_t ta_sync_heard(const struct ta_sync *s, unsigned peer, size_t word_offset) {
    return ta_window_load_u64(s->control.window + ta_control_payload(&s->control, s->base.rank, peer) + word_offset);
}

static uint64_t tag(const struct ta_sync *s, uint64_t count) {
    return s->generation << TA_SYNC_GENERATION_SHIFT | count;
}

/* A count of this generation; that of another means nothing. */
static uint64_t count_of(const struct ta_sync *s, uint64_t word) {
    bool ours = word >> TA_SYNC_GENERATION_SHIFT == s->generation;
    return ours ? word & ((UINT64_C(1) << TA_SYNC_GENERATION_SHIFT) - 1) : 0;
}

static unsigned successor(const struct ta_sync *s) { return s->ring[(s->place + 1) % s->members]; }
static unsigned predecessor(const struct ta_sync *s) { return s->ring[(s->place + s->members - 1) % s->members]; }

void ta_sync_ring_make(struct ta_sync *s) {
    s->members = 0;
    for (unsigned r = 0; r < s->base.n_ranks; r++) {
        if (r != s->base.rank && !ta_control_counts(&s->control, r)) continue;
        if (r == s->base.rank) s->place = s->members;
        s->ring[s->members++] = r;
    }
    size_t lap = s->members * s->chunk_floats, laps = (s->base.model->n_params + lap - 1) / lap;
    s->messages = 2 * (uint64_t)(s->members - 1) * laps;
    s->generation = s->base.n_ranks - s->members;
    s->sent = s->taken = s->begun = 0;
    s->busy = false;
    s->agreed = true;
    s->forming = s->gpu != NULL && s->base.n_ranks > 1;
}

struct chunk {
    size_t at, floats;
    bool gather; /* it is whole: copied, not summed */
    bool whole;  /* it becomes so by what we add */
    bool first;  /* we are the first to sum it */
};

/* The chunk of message k of a reduction that the member at `place` puts. */
static struct chunk chunk_of(const struct ta_sync *s, uint64_t k, unsigned place) {
    unsigned m = s->members, turn = (unsigned)(k % (2 * (m - 1)));
    bool gather = turn >= m - 1;
    if (gather) turn -= m - 1;
    unsigned number = (place + 2 * m + (gather ? 1 : 0) - turn) % m;
    size_t d = s->base.model->n_params, lap = k / (2 * (m - 1)), at = (lap * m + number) * s->chunk_floats;
    if (at > d) at = d;
    return (struct chunk){.at = at,
                          .floats = d - at < s->chunk_floats ? d - at : s->chunk_floats,
                          .gather = gather,
                          .whole = !gather && turn == m - 2,
                          .first = !gather && turn == 0};
}

/* Where a chunk and a segment meet. */
static bool meet(const struct chunk *c, const struct ta_segment *segment, size_t *at, size_t *end) {
    *at = c->at > segment->offset ? c->at : segment->offset;
    *end = segment->offset + segment->count;
    if (*end > c->at + c->floats) *end = c->at + c->floats;
    return *at < *end;
}

/* A replica that gives nothing leaves sums as they are, and statistics, which are averaged, where it has them. */
static void give_nothing(const struct ta_sync *s, const struct chunk *c, const float *in, float *out) {
    if (in != NULL) memcpy(out + c->at, in, c->floats * sizeof *out);
    else
        for (size_t i = c->at; i < c->at + c->floats; i++) out[i] = -0.0F;
    if (s->recovery) return;
    for (unsigned n = 0; n < s->base.model->n_segments; n++) {
        const struct ta_segment *segment = &s->base.model->segments[n];
        size_t at, end;
        if (segment->kind != TA_SEGMENT_MEAN || !meet(c, segment, &at, &end)) continue;
        for (; at < end; at++) out[at] = (in != NULL ? in[at - c->at] : 0) + s->statistics[at];
    }
}

static void scale(const struct ta_sync *s, const struct chunk *c, float *out) {
    for (unsigned n = 0; n < s->base.model->n_segments && !s->recovery; n++) {
        const struct ta_segment *segment = &s->base.model->segments[n];
        float by = segment->kind == TA_SEGMENT_MEAN ? 1.0F / (float)s->members : s->base.scale;
        size_t at, end;
        if (by == 1 || !meet(c, segment, &at, &end)) continue;
        for (; at < end; at++) out[at] *= by;
    }
}

/* Message k of the predecessor lies in its slot. */
static void take(struct ta_sync *s, uint64_t k, const float *slot) {
    struct chunk c = chunk_of(s, k, (s->place + s->members - 1) % s->members);
    float *out = s->result[1 - s->last];
    if (c.gather) {
        memcpy(out + c.at, slot, c.floats * sizeof *out);
        return;
    }
    if (s->given == NULL) give_nothing(s, &c, slot, out);
    else
        for (size_t i = 0; i < c.floats; i++) out[c.at + i] = slot[i] + s->given[c.at + i];
    if (c.whole) scale(s, &c, out);
}

void ta_sync_ring_begin(struct ta_sync *s, const float *given, bool own) {
    s->busy = true;
    s->own = own;
    s->given = given;
    s->begun = s->taken;
    ta_status status = TA_OK;
    if (s->engine == TA_SYNC_COLLECTIVE) status = ta_sync_collective_begin(s);
    else if (given == NULL) status = ta_sync_statistics(s);
    if (status != TA_OK) s->put_status = status;
}

/* Nobody else is there. */
static void reduce_alone(struct ta_sync *s) {
    struct chunk all = {.floats = s->base.model->n_params};
    float *out = s->result[1 - s->last];
    if (s->given == NULL) give_nothing(s, &all, NULL, out);
    else memcpy(out, s->given, all.floats * sizeof *out);
    scale(s, &all, out);
}

bool ta_sync_ring_called(const struct ta_sync *s) {
    if (s->engine == TA_SYNC_COLLECTIVE) return ta_sync_collective_called(s);
    return s->members > 1 && count_of(s, TA_SYNC_HEARD(s, predecessor(s), tag)) > s->taken;
}

static const float *slot_of(const struct ta_sync *s, uint64_t message) {
    size_t payload = ta_control_payload(&s->control, s->base.rank, predecessor(s));
    const float *first = (const float *)(s->control.window + payload + s->slots_at);
    return first + message % TA_SYNC_SLOTS * s->chunk_floats;
}

static bool take_next(struct ta_sync *s) {
    if (!s->busy || s->taken == s->begun + s->messages || s->sent <= s->taken || !ta_sync_ring_called(s)) return false;
    take(s, s->taken - s->begun, slot_of(s, s->taken));
    s->taken++;
    return true;
}

/* The next message may be put, as far as the ring goes. One that is put again may be of the reduction before. */
static bool may_send(const struct ta_sync *s) {
    uint64_t end = s->begun + (s->busy ? s->messages : 0);
    if (s->forming || s->members == 1 || s->sent >= end || s->sent > s->taken) return false;
    return s->sent < count_of(s, TA_SYNC_HEARD(s, successor(s), ack)) + TA_SYNC_SLOTS;
}

/* The chunk of the next message; one that we are the first to sum is ours as it was given. */
static struct ta_put_segment message(struct ta_sync *s) {
    bool former = s->sent < s->begun;
    struct chunk c = chunk_of(s, former ? s->sent + s->messages - s->begun : s->sent - s->begun, s->place);
    float *result = s->result[former ? s->last : 1 - s->last];
    bool plain = c.first && !former && s->given != NULL;
    if (c.first && !former && !plain) give_nothing(s, &c, NULL, result);
    size_t slot = ta_control_payload(&s->control, successor(s), s->base.rank) + s->slots_at +
                  s->sent % TA_SYNC_SLOTS * s->chunk_floats * sizeof(float);
    return (struct ta_put_segment){.source = (plain ? s->given : result) + c.at,
                                   .bytes = c.floats * sizeof(float),
                                   .target_offset = slot};
}

static unsigned add_word(uint64_t *word, size_t offset, struct ta_put_segment *segment) {
    *segment = (struct ta_put_segment){.source = word, .bytes = sizeof *word, .target_offset = offset};
    return 1;
}

/* What is said on GPUs besides: the id first, for who sees the verdict reads it. */
static unsigned say_of_gpus(struct ta_sync_link *link, const struct ta_sync_words *old, size_t line,
                            struct ta_put_segment *segments) {
    unsigned n = 0;
    bool verdict = link->said.verdict != 0 && (link->anew || link->said.verdict != old->verdict);
    if (link->anew || link->said.able != old->able)
        n += add_word(&link->said.able, line + offsetof(struct ta_sync_words, able), &segments[n]);
    if (verdict)
        segments[n++] = (struct ta_put_segment){
            .source = &link->id, .bytes = sizeof link->id, .target_offset = line + TA_SYNC_WORD_BYTES};
    if (verdict) n += add_word(&link->said.verdict, line + offsetof(struct ta_sync_words, verdict), &segments[n]);
    return n;
}

/* What we have to say now. */
static struct ta_sync_words words_for(const struct ta_sync *s, unsigned peer) {
    struct ta_sync_words now = s->link[peer].said;
    bool ring = s->members > 1 && !s->forming && s->engine == TA_SYNC_RING;
    if (ring && peer == predecessor(s)) now.ack = tag(s, s->taken);
    if (s->engine == TA_SYNC_COLLECTIVE) now.tag = tag(s, s->sent);
    now.rest = s->round == 0 ? 0 : (uint64_t)s->round << 32 | (uint32_t)s->completed;
    now.form = s->form;
    now.able = s->able;
    now.verdict = s->verdict;
    return now;
}

void ta_sync_say(struct ta_sync *s, unsigned peer) {
    struct ta_sync_link *link = &s->link[peer];
    if (!ta_control_reaches(&s->control, peer) || s->transport_ops->in_flight(s->transport, peer) > 0) return;
    bool ring = s->members > 1 && !s->forming && s->engine == TA_SYNC_RING;
    bool sends = ring && peer == successor(s) && may_send(s);
    size_t line = ta_control_payload(&s->control, peer, s->base.rank);
    struct ta_put_segment segments[8];
    unsigned n = 0;
    struct ta_sync_words old = link->said, now = words_for(s, peer);
    bool counts = s->engine == TA_SYNC_COLLECTIVE && (link->anew || now.tag != old.tag);
    if (sends) {
        segments[n] = message(s);
        if (segments[n].bytes > 0) n++;
        now.tag = tag(s, s->sent + 1);
    }
    link->said = now;
    link->id = s->id;
    if (sends || counts) n += add_word(&link->said.tag, line + offsetof(struct ta_sync_words, tag), &segments[n]);
    if (link->anew || now.ack != old.ack)
        n += add_word(&link->said.ack, line + offsetof(struct ta_sync_words, ack), &segments[n]);
    if (link->anew || now.rest != old.rest)
        n += add_word(&link->said.rest, line + offsetof(struct ta_sync_words, rest), &segments[n]);
    if (link->anew || now.form != old.form)
        n += add_word(&link->said.form, line + offsetof(struct ta_sync_words, form), &segments[n]);
    if (s->gpu != NULL) n += say_of_gpus(link, &old, line, &segments[n]);
    if (n == 0) return;
    ta_status status = s->transport_ops->put(s->transport, peer, segments, n);
    if (status != TA_OK) {
        link->said = old;
        if (status != TA_BUSY && status != TA_PEER) s->put_status = status; /* PEER: poll finds out */
        return;
    }
    link->anew = false;
    link->puts++;
    for (unsigned i = 0; i < n; i++) link->bytes += segments[i].bytes;
    if (sends) s->sent++;
}

void ta_sync_say_all(struct ta_sync *s) {
    for (unsigned p = 0; p < s->base.n_ranks; p++)
        if (p != s->base.rank) ta_sync_say(s, p);
}

void ta_sync_ring_again(struct ta_sync *s, unsigned peer) {
    if (s->engine == TA_SYNC_COLLECTIVE) return;
    if (s->members > 1 && peer == successor(s)) s->sent = count_of(s, TA_SYNC_HEARD(s, peer, ack));
}

bool ta_sync_ring_move(struct ta_sync *s, int64_t now_ns) {
    if (!s->busy) return false;
    if (s->engine == TA_SYNC_COLLECTIVE) return ta_sync_collective_move(s, now_ns);
    if (s->members == 1) reduce_alone(s);
    for (bool moved = s->members > 1; moved;) {
        uint64_t sent = s->sent;
        ta_sync_say(s, successor(s));
        if (predecessor(s) != successor(s)) ta_sync_say(s, predecessor(s));
        moved = take_next(s) || s->sent != sent;
    }
    if (s->taken < s->begun + s->messages || s->sent < s->begun + s->messages) return false;
    s->busy = false;
    s->begun = s->taken;
    s->last = 1 - s->last;
    return true;
}
