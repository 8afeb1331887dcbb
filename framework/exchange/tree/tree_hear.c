/* tree_hear: what neighbours say, and who is lost. A neighbour is lost when the transport or the caller says so, or
 * when it was silent for too long; silence counts only while we listen, as in membership.h. */
#include <stdio.h>

#include "tree.h"
#include "window.h"

enum {
    LISTEN_SHARE = 4,   /* one gap between two hearings counts for at most 1/4 of the patience */
    JOIN_PATIENCE = 10, /* times the patience for a first word: it may still be reading its data */
    MEET_PATIENCE = 2   /* of one that came by a loss: it may hear of that loss later than we */
};

static uint64_t word_at(const struct ta_tree_neighbour *n, unsigned word) {
    return ta_window_load_u64(n->in_control + word * sizeof(uint64_t));
}

enum { WORD_BEHIND = 3 };

uint64_t ta_tree_made(const struct ta_tree_neighbour *n) { return word_at(n, WORD_BEHIND); }

static uint32_t high(uint64_t word) { return (uint32_t)(word >> 32); }

static void rise(uint32_t *known, uint32_t said) {
    if (said > *known) *known = said;
}

static void rise64(uint64_t *known, uint64_t said) {
    if (said > *known) *known = said;
}

/* A round belongs to its token. */
static void rise_pair(uint32_t *token, uint32_t *round, uint64_t said) {
    if (high(said) <= *token) return;
    *token = high(said);
    *round = (uint32_t)said;
}

enum { WORD_VIEW = 9, WORD_BASIS = 16, WORD_PULSE = 23 };

static bool is_its(const struct ta_tree *t, const struct ta_tree_neighbour *n, const uint64_t words[TA_TREE_WORDS]) {
    struct ta_tree_said nothing = {0};
    uint64_t like[TA_TREE_WORDS];
    ta_tree_encode(t, &nothing, like);
    return words[0] == like[0] + n->edge.rank - t->base.rank && words[1] == like[1];
}

/* A body that has changed since. Of another start it is nothing yet. */
static bool changed(const struct ta_tree *t, const struct ta_tree_said *known, const struct ta_tree_said *before) {
    return known->basis == t->said.based && (before->basis != known->basis || before->behind != known->behind);
}

static void learn_words(struct ta_tree_said *known, const uint64_t words[TA_TREE_WORDS]) {
    rise64(&known->own, words[2]);
    rise64(&known->behind, words[WORD_BEHIND]);
    rise64(&known->total, words[4]);
    rise64(&known->ack, words[5]);
    known->gauge = words[6];
    rise64(&known->request, words[11]);
    known->fresh = words[8];
    rise(&known->slot, high(words[WORD_VIEW]));
    rise(&known->gives, high(words[10]));
    rise(&known->same, (uint32_t)words[10]);
    known->basis = high(words[WORD_BASIS]);
    rise(&known->entered, high(words[17]));
    rise(&known->finished, (uint32_t)words[17]);
    rise_pair(&known->halt, &known->halt_round, words[18]);
    rise(&known->drained, high(words[19]));
    rise(&known->based, (uint32_t)words[19]);
    rise_pair(&known->commit, &known->commit_round, words[20]);
    rise(&known->done, high(words[21]));
    rise(&known->released, (uint32_t)words[21]);
    rise(&known->go, high(words[22]));
    rise(&known->left, (uint32_t)words[22]);
}

static void learn(struct ta_tree *t, struct ta_tree_neighbour *n, const uint64_t words[TA_TREE_WORDS]) {
    struct ta_tree_said *known = &n->known, before = n->known;
    learn_words(known, words);
    n->met = true;
    if (n->slot == 0) n->slot = known->slot;
    if (known->basis != t->said.based && known->based == t->said.based) {
        n->in_w = known->behind; /* in the weights both start from */
        n->own_in_w = known->own;
    }
    if (changed(t, known, &before)) {
        n->news++;
        t->stale = true;
    }
    if (known->request > t->said.request) {
        t->said.request = known->request; /* passed on */
        t->said_version++;
    }
}

/* Notes of all ranks it has heard of; passed on. */
static void hear_notes(struct ta_tree *t, const struct ta_tree_neighbour *n) {
    bool news = false;
    for (unsigned r = 0; r < t->base.n_ranks; r++) {
        uint64_t note = ta_window_load_u64(n->in_notes + r * sizeof note);
        if (note <= t->notes[r] || r == t->base.rank) continue;
        t->notes[r] = note;
        news = true;
    }
    t->notes_version += news;
}

/* True when it has said a word since the last time. Of another view that is
 * all it is; but who has left has left. */
static bool hear_header(struct ta_tree *t, struct ta_tree_neighbour *n) {
    uint64_t words[TA_TREE_WORDS];
    for (unsigned i = TA_TREE_WORDS; i-- > 0;) words[i] = word_at(n, i); /* the last first: see tree.h */
    if (words[WORD_PULSE] == 0) return false; /* not a word yet */
    if (!is_its(t, n, words)) {
        uint64_t print = words[0] ^ words[1] ^ words[WORD_PULSE];
        if (print != n->foreign_seen) n->foreign++;
        n->foreign_seen = print;
        return false;
    }
    bool spoke = !n->heard || high(words[WORD_PULSE]) != n->known.pulse;
    /* What each line ends on is of one header: then so are the lines but the first, of which words rise. */
    uint64_t pulse = high(words[WORD_PULSE]);
    if (words[TA_TREE_LINE - 1] != pulse || words[2 * TA_TREE_LINE - 1] != pulse)
        return false; /* the next one is on its way */
    bool noted = !n->heard || (uint32_t)words[WORD_PULSE] != n->known.notes;
    n->heard = true;
    n->known.pulse = high(words[WORD_PULSE]);
    ta_tree_hear_gone(t, n);
    rise(&n->known.left, (uint32_t)words[22]);
    uint32_t view = (uint32_t)words[WORD_VIEW];
    if (!n->near || view != t->said.view) return spoke;
    if (n->connected && n->life == TA_PEER_JOINING) n->life = TA_PEER_LIVE;
    if (spoke || !n->met) learn(t, n, words);
    n->known.notes = (uint32_t)words[WORD_PULSE];
    if (noted) hear_notes(t, n);
    return spoke;
}

static void too_silent(struct ta_tree *t, struct ta_tree_neighbour *n, int64_t gap_ns) {
    if (!n->connected && !n->broken && !n->adopted) return;
    n->silent_ns += gap_ns;
    int64_t patience_ns = t->dead_after_ns;
    int64_t times = n->adopted ? MEET_PATIENCE : JOIN_PATIENCE;
    if (!n->heard) patience_ns = patience_ns > INT64_MAX / times ? INT64_MAX : patience_ns * times;
    if (n->silent_ns <= patience_ns) return;
    char why[64];
    snprintf(why, sizeof why, "has been silent for %.1f s", (double)n->silent_ns * 1e-9);
    ta_tree_lose(t, n->edge.rank, why);
}

void ta_tree_hear(struct ta_tree *t, int64_t now_ns) {
    int64_t gap_ns = t->last_ns == INT64_MIN || now_ns < t->last_ns ? 0 : now_ns - t->last_ns;
    if (gap_ns > t->dead_after_ns / LISTEN_SHARE) gap_ns = t->dead_after_ns / LISTEN_SHARE;
    t->last_ns = now_ns;
    for (unsigned i = 0; i < t->n_known; i++) {
        struct ta_tree_neighbour *n = &t->neighbour[i];
        if (n->life == TA_PEER_LEFT) continue;
        bool spoke = hear_header(t, n);
        if (spoke) n->silent_ns = 0;
        if (!n->near || n->life == TA_PEER_DEAD) continue;
        if (n->known.left > 0) {
            ta_log_info(t->config.log, "peer %u has left", n->edge.rank);
            n->life = TA_PEER_LEFT;
        } else if (!spoke) {
            too_silent(t, n, gap_ns);
        }
    }
}
