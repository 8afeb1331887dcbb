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
    if (status == TA_OK) m->member[m->self.rank].life = TA_PEER_LIVE;
    return status;
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
    else if (member->heard)
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
    if (member->connected) member->life = TA_PEER_LIVE;
    ta_slot_learn(&member->known, &said);
    uint64_t acked = ta_window_load_u64(line + TA_SLOT_ACK), note = ta_window_load_u64(line + TA_SLOT_ACK + sizeof acked);
    if (note > member->note) member->note = note;
    if (acked > member->acked && acked <= TA_SLOT_MAX_STEPS) member->acked = acked;
    return advanced;
}

/* Everybody whom a peer that counts holds for dead is dead. */
static bool hear_board(struct ta_membership *m, unsigned peer) {
    const void *board = ta_membership_board_of(m, peer);
    bool more = false;
    m->news = true;
    for (unsigned r = 0; r < m->self.n_ranks; r++) {
        uint32_t claim = ta_slot_claim_read(board, r).gone;
        if (r == peer || claim == 0 || claim == TA_CLAIM_LEFT) continue; /* who left says so to everybody itself */
        if (r == m->self.rank) {
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

/* We hold `peer` for dead and it may hold us for dead: one of us two must give way, the higher rank, unless a third
 * sides with us. */
static void hear_rival(struct ta_membership *m, unsigned peer) {
    const struct ta_slot_ident writer = {peer, m->self.n_ranks, m->self.epoch};
    struct ta_slot_said said;
    if (peer > m->self.rank || m->member[peer].life != TA_PEER_DEAD) return;
    if (ta_slot_decode(&writer, control_of(m, peer) + TA_SLOT_HEADER, &said) != TA_SLOT_OURS) return;
    if (said.board == m->member[peer].known.board) return;
    m->member[peer].known.board = said.board;
    if (ta_slot_claim_read(ta_membership_board_of(m, peer), m->self.rank).gone == 0) return;
    for (unsigned r = 0; r < m->self.n_ranks; r++) {
        bool third = r != m->self.rank && r != peer && !ta_member_gone(&m->member[r]) && m->member[r].heard;
        if (third && ta_slot_claim_read(ta_membership_board_of(m, r), peer).gone != 0) return;
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
    if (member->silent_ns <= patience_ns) return false;
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
        if (spoke) member->silent_ns = 0;
        if (new_board) stale |= hear_board(m, p);
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
