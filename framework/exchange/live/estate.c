/* estate: freeze, elect, admit, relay; see estate.h for why this converges. */
#include "estate.h"

#include <string.h>
#include <xxhash.h>

#include "live.h"
#include "mem.h"
#include "window.h"

enum { CHUNK_FLOATS = TA_ESTATE_CHUNK_FLOATS, REPEAT_BEATS = 2 };

/* Words of a relay line. The ticket is a segment of its own and last. */
enum { RELAY_ID, RELAY_RUN, RELAY_SERIAL, RELAY_STATE, RELAY_RECORDS, RELAY_POSITION, RELAY_SHARE, RELAY_TICKET };

#define RELAY_MAGIC UINT64_C(0x54415203) /* "TAR", format 3 */

ta_status ta_estates_open(struct ta_estates *e, unsigned n_ranks) {
    memset(e, 0, sizeof *e);
    ta_status status = TA_NEW(&e->estate, n_ranks, "registers of gone replicas");
    if (status == TA_OK) status = ta_mem_alloc(CHUNK_FLOATS, sizeof(float), "checksum buffer", &e->scratch);
    if (status != TA_OK) return status;
    e->hash = XXH3_createState();
    return e->hash != NULL ? TA_OK : ta_fail(TA_NO_MEMORY, "checksum state: out of memory");
}

void ta_estates_close(struct ta_live *l) {
    struct ta_estates *e = &l->estates;
    for (unsigned r = 0; e->estate != NULL && r < l->self.n_ranks; r++)
        if (e->estate[r].copy != NULL && !e->estate[r].in_place) l->kernel_ops->free(l->kernels, e->estate[r].copy);
    if (e->hash != NULL) XXH3_freeState(e->hash);
    ta_mem_free(e->scratch);
    ta_mem_free(e->estate);
    memset(e, 0, sizeof *e);
}

/* Hashes n_params floats and, unless `to` is NULL or the source, keeps exactly what was hashed: a peer may be
 * writing. */
static ta_status hash_and_keep(struct ta_live *l, const float *from, float *to) {
    size_t n = l->layout.n_params;
    for (size_t at = 0; at < n; at += CHUNK_FLOATS) {
        size_t bytes = (n - at < CHUNK_FLOATS ? n - at : CHUNK_FLOATS) * sizeof(float);
        ta_status status = l->kernel_ops->copy_out(l->kernels, l->estates.scratch, from + at, bytes);
        if (status != TA_OK) return status;
        XXH3_64bits_update(l->estates.hash, l->estates.scratch, bytes);
        if (to == NULL || to == from) continue;
        status = l->kernel_ops->copy_in(l->kernels, to + at, l->estates.scratch, bytes);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

ta_status ta_estate_checksum(struct ta_live *l, const float *values, uint64_t *out) {
    XXH3_64bits_reset(l->estates.hash);
    ta_status status = hash_and_keep(l, values, NULL);
    *out = XXH3_64bits_digest(l->estates.hash);
    return status;
}

/* How far a gone rank had come, as one survivor knows it. */
struct facts {
    uint64_t state, records, position, share;
};

/* What the facts and the inbox sum to; `keep` (may be NULL) gets exactly what was summed. */
static ta_status sum_of(struct ta_live *l, unsigned rank, const struct facts *facts, float *keep, uint64_t *sum) {
    const float *inbox = ta_live_inbox(l, rank);
    const uint64_t words[] = {rank, facts->state, facts->records, facts->position, facts->share};
    XXH3_64bits_reset(l->estates.hash);
    XXH3_64bits_update(l->estates.hash, words, sizeof words);
    ta_status status = hash_and_keep(l, inbox, keep);
    *sum = XXH3_64bits_digest(l->estates.hash) | 1; /* 0 means none */
    return status;
}

/* Takes the inbox of `rank` as it is now together with what `facts` says of it, and shows it on the board. */
static ta_status take(struct ta_live *l, unsigned rank, const struct facts *facts) {
    struct ta_estate *e = &l->estates.estate[rank];
    ta_status status = sum_of(l, rank, facts, e->copy, &e->checksum);
    if (status != TA_OK) return status;
    struct ta_slot_said said;
    ta_slot_unpack_state(facts->state, &said);
    e->frozen = true;
    e->state = facts->state;
    e->steps = said.steps;
    e->records = facts->records;
    e->position = facts->position;
    e->share = facts->share;
    ta_membership_claim(&l->members, rank, e->state, e->checksum);
    return TA_OK;
}

static ta_status freeze(struct ta_live *l, unsigned rank) {
    struct ta_estate *e = &l->estates.estate[rank];
    const struct ta_member *member = &l->members.member[rank];
    /* Whether its last word has reached us or not must not make two copies of the same thing differ. */
    struct ta_slot_said known = member->known;
    known.left = false;
    struct facts facts = {ta_slot_pack_state(&known), known.records, member->position, member->share};
    ta_status status = ta_live_fetch_last(l, rank);
    if (status != TA_OK) return status;
    if (e->copy != NULL) return take(l, rank, &facts); /* the last attempt failed half-way */
    size_t bytes = l->layout.n_params * sizeof(float);
    void *copy = NULL;
    bool keep = member->life == TA_PEER_DEAD;
    if (keep && (l->kernel_ops->alloc(l->kernels, bytes, "register of a dead replica", &copy) != TA_OK ||
                 ta_live_source_register(l, copy, bytes) != TA_OK)) {
        ta_log_warn(l->log, "no memory to put aside what peer %u left (%zu bytes): its inbox is used as it is", rank,
                    bytes);
        l->kernel_ops->free(l->kernels, copy);
        keep = false;
    }
    e->in_place = !keep;
    e->registered = keep;
    e->copy = keep ? copy : ta_live_inbox(l, rank);
    if (keep) l->held_bytes += bytes;
    return take(l, rank, &facts);
}

/* A copy in this state held by rank `a` counts more than another: the later one, then the lower rank's. */
static bool better(uint64_t state, unsigned a, uint64_t other, unsigned b) {
    return state != other ? state > other : a < b;
}

/* Looks at a relay into the inbox of `rank`, once. Takes it when it is whole and better than what we hold. */
static ta_status judge(struct ta_live *l, unsigned rank, bool *changed) {
    struct ta_estate *e = &l->estates.estate[rank];
    const char *line = l->window + ta_slot_body(&l->layout, l->self.rank, rank) + l->layout.relay;
    uint64_t words[8];
    for (unsigned i = RELAY_TICKET + 1; i-- > 0;) words[i] = ta_window_load_u64(line + 8 * i);
    if (words[RELAY_TICKET] == 0 || (words[RELAY_TICKET] == e->seen_ticket && words[RELAY_SERIAL] == e->seen_serial))
        return TA_OK;
    e->seen_ticket = words[RELAY_TICKET];
    e->seen_serial = words[RELAY_SERIAL];
    uint64_t from = (uint32_t)words[RELAY_ID];
    if (words[RELAY_ID] >> 32 != RELAY_MAGIC || from >= l->self.n_ranks || from == rank) return TA_OK;
    if (words[RELAY_RUN] != ((uint64_t)l->self.epoch << 32 | l->self.n_ranks)) return TA_OK;
    if (words[RELAY_TICKET] == e->checksum && !e->in_place) return TA_OK;
    struct facts theirs = {words[RELAY_STATE], words[RELAY_RECORDS], words[RELAY_POSITION], words[RELAY_SHARE]};
    struct facts mine = {e->state, e->records, e->position, e->share};
    bool wanted = !ta_member_gone(&l->members.member[from]) &&
                  better(theirs.state, (unsigned)from, e->state, l->self.rank);
    ta_status status = e->in_place || wanted ? ta_live_fetch_relay(l, rank) : TA_OK;
    if (status != TA_OK) return status;
    if (!e->in_place) {
        uint64_t sum = 0;
        status = wanted ? sum_of(l, rank, &theirs, NULL, &sum) : TA_OK;
        /* Torn: something else is written there too. Its sender sees our board and repeats it. */
        if (status != TA_OK || sum != words[RELAY_TICKET]) return status;
    }
    *changed = true;
    /* Even an unwanted relay has changed an inbox that is used in place: then say honestly what it holds now. */
    return take(l, rank, wanted ? &theirs : &mine);
}

static bool counts(const struct ta_live *l, unsigned peer) {
    return peer != l->self.rank && ta_member_counts(&l->members.member[peer]);
}

static bool agreed_on(const struct ta_live *l, unsigned rank) {
    const struct ta_estate *e = &l->estates.estate[rank];
    if (!e->frozen) return false;
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        if (!counts(l, p)) continue;
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(&l->members, p), rank);
        if (!ta_slot_claim_gone(&claim) || claim.checksum != e->checksum) return false;
    }
    return true;
}

bool ta_estates_agreed(const struct ta_live *l) {
    for (unsigned r = 0; r < l->self.n_ranks && l->members.n_gone > 0; r++)
        if (ta_member_gone(&l->members.member[r]) && !agreed_on(l, r)) return false;
    return true;
}

/* Ours is the copy that counts, of those on the boards of all others. */
static bool elected(const struct ta_live *l, unsigned rank) {
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        if (!counts(l, p)) continue;
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(&l->members, p), rank);
        if (!ta_slot_claim_gone(&claim) || claim.checksum == 0) return false;
        if (better(claim.state, p, l->estates.estate[rank].state, l->self.rank)) return false;
    }
    return true;
}

/* Lets the others write what they hold of `rank` into its inbox here, once one of them has something better. */
static ta_status admit(struct ta_live *l, unsigned rank) {
    const struct ta_estate *e = &l->estates.estate[rank];
    bool wanted = false;
    for (unsigned p = 0; p < l->self.n_ranks && l->members.board[rank].since == 0; p++) {
        if (!counts(l, p)) continue;
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(&l->members, p), rank);
        bool other = ta_slot_claim_gone(&claim) && claim.checksum != 0 && claim.checksum != e->checksum;
        wanted |= other && better(claim.state, p, e->state, l->self.rank);
    }
    if (!wanted) return TA_OK;
    uint64_t pass;
    size_t body = ta_slot_body(&l->layout, l->self.rank, rank);
    ta_status status = l->transport_ops->range_open(l->transport, body, l->layout.body_bytes, &pass);
    if (status == TA_OK) ta_membership_admit(&l->members, rank, pass);
    return status;
}

/* One estate a peer at a time: the next when its board shows that it has this one. */
static ta_status relay(struct ta_live *l, unsigned rank, int64_t now_ns) {
    struct ta_estate *e = &l->estates.estate[rank];
    if (!e->registered) { /* an inbox that is used in place is seldom read by puts */
        ta_status status = ta_live_source_register(l, e->copy, l->layout.n_params * sizeof(float));
        if (status != TA_OK) return status;
        e->registered = true;
    }
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        if (!counts(l, p)) continue;
        struct ta_outbox *out = &l->outboxes.outbox[p];
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(&l->members, p), rank);
        if (claim.checksum == e->checksum) {
            if (out->relay_rank == rank) out->relay_rank = l->self.n_ranks;
            continue;
        }
        uint64_t pass = ta_slot_claim_pass(&claim, l->members.member[p].known.board);
        if (pass == 0) continue;
        bool other = out->relay_rank != rank && out->relay_rank < l->self.n_ranks;
        bool waiting = out->relay_rank == rank && now_ns - out->relay_ns < REPEAT_BEATS * l->outboxes.heartbeat_ns;
        if (other ? now_ns - out->relay_ns < REPEAT_BEATS * l->outboxes.heartbeat_ns : waiting) continue;
        ta_outbox_relay(l, p, rank, pass, now_ns);
    }
    return TA_OK;
}

ta_status ta_estates_step(struct ta_live *l, int64_t now_ns, bool *changed) {
    *changed = false;
    if (l->members.n_gone == 0 || (!l->estates.open && !l->members.news)) return TA_OK;
    l->members.news = false;
    bool open = false;
    for (unsigned r = 0; r < l->self.n_ranks; r++) {
        struct ta_estate *e = &l->estates.estate[r];
        if (!ta_member_gone(&l->members.member[r])) continue;
        ta_status status = TA_OK;
        if (!e->frozen) {
            status = freeze(l, r);
            *changed = true;
        }
        if (status == TA_OK) status = judge(l, r, changed);
        if (status != TA_OK) return status;
        if (agreed_on(l, r)) {
            if (!e->told) ta_log_info(l->log, "all agree on what peer %u left: its %llu steps", r,
                                      (unsigned long long)e->steps);
            e->told = true;
            continue;
        }
        open = true;
        status = elected(l, r) ? relay(l, r, now_ns) : admit(l, r);
        if (status != TA_OK) return status;
    }
    l->estates.open = open;
    return TA_OK;
}

void ta_estate_relay_line(const struct ta_live *l, unsigned gone, uint32_t serial, uint64_t words[8]) {
    const struct ta_estate *e = &l->estates.estate[gone];
    memset(words, 0, 8 * sizeof *words);
    words[RELAY_ID] = RELAY_MAGIC << 32 | l->self.rank;
    words[RELAY_RUN] = (uint64_t)l->self.epoch << 32 | l->self.n_ranks;
    words[RELAY_SERIAL] = serial;
    words[RELAY_STATE] = e->state;
    words[RELAY_RECORDS] = e->records;
    words[RELAY_POSITION] = e->position;
    words[RELAY_SHARE] = e->share;
    words[RELAY_TICKET] = e->checksum;
}
