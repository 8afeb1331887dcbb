/* membership: reads what peers say and keeps who is still with us. The rules are in membership.h. */
#include "membership.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "window.h"

enum {
    LISTEN_SHARE = 4,  /* one gap between two hearings counts for at most 1/4 of the patience */
    JOIN_PATIENCE = 10 /* times the patience for a first word: it may still be reading its data */
};

ta_status ta_membership_open(struct ta_membership *m, const struct ta_membership_config *config) {
    memset(m, 0, sizeof *m);
    m->self = config->self;
    m->layout = *config->layout;
    m->window = config->window;
    m->board = config->board;
    m->dead_after_ns = config->dead_after_ns;
    m->log = config->log;
    m->last_ns = INT64_MIN;
    ta_status status = TA_NEW(&m->member, m->self.n_ranks, "members of the run");
    if (status != TA_OK) return status;
    unsigned n = m->self.n_ranks, founders = n - config->spares;
    for (unsigned r = founders; r < n; r++) m->member[r].life = TA_PEER_ABSENT;
    m->member[m->self.rank].life = TA_PEER_LIVE;
    m->outside = m->self.rank >= founders;
    return TA_OK;
}

void ta_membership_close(struct ta_membership *m) {
    ta_mem_free(m->member);
    memset(m, 0, sizeof *m);
}

static const char *control_of(const struct ta_membership *m, unsigned peer) {
    return m->window + ta_slot_control(&m->layout, m->self.rank, peer);
}

const void *ta_membership_board_of(const struct ta_membership *m, unsigned peer) {
    return control_of(m, peer) + TA_SLOT_BOARD;
}

static void board_changed(struct ta_membership *m) {
    m->board_version++;
    m->news = true;
}

void ta_membership_claim(struct ta_membership *m, unsigned rank, uint64_t state, uint64_t checksum) {
    m->board[rank].state = state;
    m->board[rank].checksum = checksum;
    board_changed(m);
}

void ta_membership_admit(struct ta_membership *m, unsigned rank, uint64_t pass) {
    board_changed(m);
    m->board[rank].pass = pass;
    m->board[rank].since = m->board_version; /* headers from now on say this version, after a board that has it */
}

static void gone(struct ta_membership *m, unsigned peer, enum ta_peer_life life) {
    struct ta_member *member = &m->member[peer];
    member->life = life;
    member->doubted = life == TA_PEER_DEAD && member->connected;
    m->n_gone++;
    member->expected = false;
    m->board[peer].gone = life == TA_PEER_LEFT ? TA_CLAIM_LEFT : TA_CLAIM_DEAD;
    board_changed(m);
}

void ta_membership_joined(struct ta_membership *m, unsigned peer) {
    struct ta_member *member = &m->member[peer];
    if (member->life == TA_PEER_LEFT) return;
    if (member->broken) ta_log_info(m->log, "a new path to peer %u stands", peer);
    member->connected = true;
    member->broken = false;
    member->silent_ns = 0;
    if (member->life == TA_PEER_DEAD)
        member->doubted = true;
    else if (member->heard && member->life == TA_PEER_JOINING)
        member->life = TA_PEER_LIVE;
}

void ta_membership_broken(struct ta_membership *m, unsigned peer) {
    struct ta_member *member = &m->member[peer];
    if (!member->connected) return;
    member->connected = member->doubted = false;
    member->broken = true;
    member->breaks++;
    if (!ta_member_gone(member))
        ta_log_warn(m->log, "the path to peer %u broke: with no new one within %.1f s the peer counts as dead", peer,
                    (double)m->dead_after_ns * 1e-9);
}

void ta_membership_lose(struct ta_membership *m, unsigned peer, const char *why) {
    if (ta_member_gone(&m->member[peer])) return;
    ta_log_warn(m->log, "peer %u %s: going on without it, after its step %llu", peer, why,
                (unsigned long long)m->member[peer].known.steps);
    gone(m, peer, TA_PEER_DEAD);
}

static void hear_ack(struct ta_member *member, const char *line) {
    uint64_t words[TA_SLOT_ACK_WORDS];
    for (unsigned i = TA_SLOT_ACK_WORDS; i-- > 0;) words[i] = ta_window_load_u64(line + i * sizeof words[i]);
    if (words[TA_ACK_NOTE] > member->note) member->note = words[TA_ACK_NOTE];
    if (words[TA_ACK_STEPS] > member->acked && words[TA_ACK_STEPS] <= TA_SLOT_MAX_STEPS)
        member->acked = words[TA_ACK_STEPS];
    if (words[TA_ACK_POSITION] > member->position) member->position = words[TA_ACK_POSITION];
    if (words[TA_ACK_SHARE] > member->share) member->share = words[TA_ACK_SHARE];
    member->welcome |= words[TA_ACK_WELCOME] == 1;
    member->gauge = words[TA_ACK_GAUGE];
}

/* Takes what the header of `peer` says. True when it made steps. */
static bool hear_header(struct ta_membership *m, unsigned peer, bool *spoke, bool *new_board) {
    struct ta_member *member = &m->member[peer];
    const struct ta_slot_ident writer = {peer, m->self.n_ranks, m->self.epoch};
    const char *line = control_of(m, peer);
    struct ta_slot_said said;
    enum ta_slot_heard heard = ta_slot_decode(&writer, line + TA_SLOT_HEADER, &said);
    if (heard == TA_SLOT_FOREIGN) {
        uint64_t print = ta_window_load_u64(line) ^ ta_window_load_u64(line + 8) ^ ta_slot_steps(line);
        if (print != member->foreign_seen) member->foreign++;
        member->foreign_seen = print;
    }
    if (heard != TA_SLOT_OURS) return false;
    bool advanced = said.steps > member->known.steps;
    *spoke = !member->heard || said.pulse != member->known.pulse;
    *new_board = !member->heard || said.board != member->known.board;
    member->heard = true;
    if (member->connected && member->life == TA_PEER_JOINING) member->life = TA_PEER_LIVE;
    ta_slot_learn(&member->known, &said);
    hear_ack(member, line + TA_SLOT_ACK);
    return advanced;
}

/* Who left says so to everybody itself, but to a spare that came later, or of one that never came in. */
static bool hear_of_leaving(struct ta_membership *m, unsigned rank) {
    const struct ta_member *member = &m->member[rank];
    bool told = !m->outside && member->heard && member->life != TA_PEER_ABSENT;
    if (rank == m->self.rank || ta_member_gone(member) || told) return false;
    gone(m, rank, TA_PEER_LEFT);
    return true;
}

/* Everybody whom a peer that counts holds for dead is dead. */
static bool hear_board(struct ta_membership *m, unsigned peer) {
    const void *board = ta_membership_board_of(m, peer);
    bool more = false;
    m->news = true;
    for (unsigned r = 0; r < m->self.n_ranks; r++) {
        uint32_t claim = ta_slot_claim_read(board, r).gone;
        if (r == peer || claim == 0) continue;
        if (claim == TA_CLAIM_LEFT) {
            more |= hear_of_leaving(m, r);
        } else if (claim == TA_CLAIM_HERE) {
            m->member[r].expected |= m->member[r].life == TA_PEER_ABSENT;
        } else if (r == m->self.rank) {
            m->accused = true;
            m->accuser = peer;
        } else if (!ta_member_gone(&m->member[r])) {
            char why[64];
            snprintf(why, sizeof why, "is gone, says peer %u", peer);
            ta_membership_lose(m, r, why);
            more = true;
        }
    }
    return more;
}

/* A spare that is in without our welcome: then those who let it in hold us for dead. */
static void hear_stranger(struct ta_membership *m, unsigned peer) {
    const struct ta_member *member = &m->member[peer];
    if (m->outside || member->life != TA_PEER_ABSENT || member->share == 0) return;
    m->accused = true;
    m->accuser = peer;
}

/* We hold `peer` for dead and it may hold us for dead: one of us two must give way, the higher rank, unless a third
 * sides with us. */
static void hear_rival(struct ta_membership *m, unsigned peer) {
    const struct ta_slot_ident writer = {peer, m->self.n_ranks, m->self.epoch};
    struct ta_slot_said said;
    if (peer > m->self.rank || m->member[peer].life != TA_PEER_DEAD) return;
    if (ta_slot_decode(&writer, control_of(m, peer) + TA_SLOT_HEADER, &said) != TA_SLOT_OURS) return;
    if (said.board == m->member[peer].known.board) return;
    m->member[peer].known.board = said.board;
    struct ta_slot_claim of_us = ta_slot_claim_read(ta_membership_board_of(m, peer), m->self.rank);
    if (!ta_slot_claim_gone(&of_us)) return;
    for (unsigned r = 0; r < m->self.n_ranks; r++) {
        bool third = r != m->self.rank && r != peer && ta_member_counts(&m->member[r]) && m->member[r].heard;
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(m, r), peer);
        if (third && ta_slot_claim_gone(&claim)) return;
    }
    m->accused = true;
    m->accuser = peer;
}

/* True when it was silent for too long. */
static bool too_silent(struct ta_membership *m, unsigned peer, int64_t gap_ns) {
    struct ta_member *member = &m->member[peer];
    if (!member->connected && !member->broken) return false;
    member->silent_ns += gap_ns;
    int64_t patience_ns = m->dead_after_ns;
    if (!member->heard) patience_ns = patience_ns > INT64_MAX / JOIN_PATIENCE ? INT64_MAX : patience_ns * JOIN_PATIENCE;
    if (m->outside) patience_ns = patience_ns > INT64_MAX / 2 ? INT64_MAX : 2 * patience_ns; /* the others decide */
    if (member->silent_ns <= patience_ns) return false;
    if (m->outside) {
        m->stranded |= member->life != TA_PEER_ABSENT;
        m->silent = peer;
        return false;
    }
    char why[64];
    snprintf(why, sizeof why, "has been silent for %.1f s", (double)member->silent_ns * 1e-9);
    ta_membership_lose(m, peer, why);
    return true;
}

bool ta_membership_hear(struct ta_membership *m, int64_t now_ns) {
    int64_t gap_ns = m->last_ns == INT64_MIN || now_ns < m->last_ns ? 0 : now_ns - m->last_ns;
    if (gap_ns > m->dead_after_ns / LISTEN_SHARE) gap_ns = m->dead_after_ns / LISTEN_SHARE;
    m->last_ns = now_ns;
    bool stale = false;
    for (unsigned p = 0; p < m->self.n_ranks; p++) {
        struct ta_member *member = &m->member[p];
        if (p == m->self.rank) continue;
        if (ta_member_gone(member)) {
            hear_rival(m, p);
            continue;
        }
        bool spoke = false, new_board = false;
        stale |= hear_header(m, p, &spoke, &new_board);
        hear_stranger(m, p);
        if (spoke) member->silent_ns = 0;
        /* The word of a spare counts once we count on it. */
        if (new_board && member->life != TA_PEER_ABSENT) stale |= hear_board(m, p);
        if (ta_member_gone(member)) continue;
        if (member->known.left) {
            ta_log_info(m->log, "peer %u has left after its step %llu", p, (unsigned long long)member->known.steps);
            gone(m, p, TA_PEER_LEFT);
            stale = true;
        } else if (!spoke) {
            stale |= too_silent(m, p, gap_ns);
        }
    }
    return stale;
}

/* One that holds somebody for dead whom we do not has heard what we have not, or listened to the wrong half: later, or
 * never. */
static bool of_one_mind(const struct ta_membership *m, unsigned peer) {
    for (unsigned r = 0; r < m->self.n_ranks; r++) {
        struct ta_slot_claim claim = ta_slot_claim_read(ta_membership_board_of(m, peer), r);
        if (claim.gone == TA_CLAIM_DEAD && m->member[r].life != TA_PEER_DEAD) return false;
    }
    return true;
}

bool ta_membership_welcome(struct ta_membership *m) {
    bool any = false;
    for (unsigned p = 0; p < m->self.n_ranks; p++) {
        struct ta_member *member = &m->member[p];
        if (member->life != TA_PEER_ABSENT || !member->connected || !member->heard || !of_one_mind(m, p)) continue;
        member->life = TA_PEER_LIVE;
        member->expected = false;
        m->board[p].gone = TA_CLAIM_HERE;
        board_changed(m);
        (void)hear_board(m, p);
        ta_log_info(m->log, "spare %u has joined us", p);
        any = true;
    }
    return any;
}
