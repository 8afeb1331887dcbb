/* nodes_rows: rows of the board travel between nodes: those of our ranks out, those of all others in. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "nodes_internal.h"

/* Value "row/R". */
struct row_said {
    uint32_t bytes, rank; /* bytes: of a row */
    int64_t sent_ns;      /* of the sender's monotonic clock */
    uint64_t words[sizeof(struct ta_board_row) / sizeof(uint64_t)];
};

_Static_assert(sizeof(struct ta_board_row) % sizeof(uint64_t) == 0, "a row is made of 8-byte words");

enum { N_WORDS = sizeof(struct ta_board_row) / sizeof(uint64_t) };
#define WORD_OF(field) (offsetof(struct ta_board_row, field) / sizeof(uint64_t))

typedef uint64_t __attribute__((may_alias)) any_word;

static any_word *words_of(struct ta_board_row *row) { return (any_word *)(void *)row; }

/* What others may wait for: when it has changed, the row goes out at once. */
static uint64_t news_of(const struct ta_board_row *row) {
    return ta_board_get(row->rest_round) << 4 ^ ta_board_get(row->state) << 40 ^ ta_board_get(row->ended) << 1 ^
           ta_board_get(row->finished) << 2 ^ (uint64_t)(ta_board_get(row->started_ns) != 0) << 3;
}

void ta_node_row_put(struct ta_store *store, struct ta_board *board, unsigned rank, struct ta_node_row *as,
                     bool anyway, int64_t now_ns) {
    struct ta_board_row *row = &board->rows[rank];
    uint64_t news = news_of(row);
    if (!anyway && news == as->news) return;
    as->news = news;
    struct row_said said = {.bytes = sizeof *row, .rank = rank, .sent_ns = now_ns};
    uint64_t round = atomic_load_explicit(&row->rest_round, memory_order_acquire);
    for (unsigned i = 0; i < N_WORDS; i++) said.words[i] = __atomic_load_n(&words_of(row)[i], __ATOMIC_ACQUIRE);
    /* A checksum must not be read as that of another round. */
    if (atomic_load(&row->rest_round) != round) said.words[WORD_OF(rest_round)] = 0;
    char name[TA_STORE_NAME_BYTES];
    snprintf(name, sizeof name, "row/%u", rank);
    (void)ta_store_put(store, name, &said, sizeof said); /* a store that is gone says so by poll */
}

/* Ranks that have been dropped by a peer: their own launcher must know. Whoever learns of one says it, too. */
static void put_dropped(struct ta_nodes *n) {
    size_t bytes = n->config.n_ranks / 8 + 1;
    bool changed = false;
    for (unsigned r = 0; r < n->config.n_ranks; r++) {
        unsigned char bit = (unsigned char)(1U << r % 8);
        if (ta_board_get(n->config.board->rows[r].lost) == 0 || (n->dropped[r / 8] & bit) != 0) continue;
        n->dropped[r / 8] |= bit;
        changed = true;
    }
    if (changed) ta_nodes_put(n, "lost", n->config.node, n->dropped, bytes);
}

void ta_nodes_put_rows(struct ta_nodes *n, int64_t now_ns, bool all) {
    unsigned first = ta_nodes_first_rank(n, n->config.node), count = n->config.n_ranks / n->config.nodes;
    struct ta_board *board = n->config.board;
    if (n->store == NULL) return;
    for (unsigned r = first; r < first + count; r++) ta_node_row_put(n->store, board, r, &n->row[r], all, now_ns);
    for (unsigned r = n->config.n_ranks; r < board->n_rows; r++) /* spares that have joined on this machine */
        if (ta_board_get(board->rows[r].launcher) != 0) ta_node_row_put(n->store, board, r, &n->row[r], all, now_ns);
    put_dropped(n);
}

/* The smallest difference seen is the one of the quickest message. */
static void look_at_clock(int64_t *clock_ns, int64_t sent_ns, int64_t now_ns) {
    int64_t difference_ns = (int64_t)((uint64_t)now_ns - (uint64_t)sent_ns);
    if (difference_ns < *clock_ns) *clock_ns = difference_ns;
}

static uint64_t moved(uint64_t its_ns, int64_t clock_ns) { return its_ns == 0 ? 0 : its_ns + (uint64_t)clock_ns; }

bool ta_node_row_take(const struct ta_store *store, struct ta_board *board, unsigned rank, struct ta_node_row *as,
                      int64_t *its_clock_ns, int64_t now_ns) {
    struct ta_store_value value;
    struct row_said said;
    char name[TA_STORE_NAME_BYTES];
    snprintf(name, sizeof name, "row/%u", rank);
    if (ta_store_get(store, name, &value) != TA_OK || value.version == as->version) return false;
    as->version = value.version;
    if (value.bytes != sizeof said) return false;
    memcpy(&said, value.data, sizeof said);
    if (said.bytes != sizeof(struct ta_board_row) || said.rank != rank) return false;
    look_at_clock(its_clock_ns, said.sent_ns, now_ns);
    said.words[WORD_OF(started_ns)] = moved(said.words[WORD_OF(started_ns)], *its_clock_ns);
    said.words[WORD_OF(ended_ns)] = moved(said.words[WORD_OF(ended_ns)], *its_clock_ns);
    struct ta_board_row *row = &board->rows[rank];
    atomic_store(&row->rest_round, 0); /* while its checksum changes */
    for (unsigned i = 0; i < N_WORDS; i++) {
        bool ours = i == WORD_OF(lost) || i == WORD_OF(rest_round) || i == WORD_OF(ended) || i == WORD_OF(launcher);
        if (!ours) __atomic_store_n(&words_of(row)[i], said.words[i], __ATOMIC_SEQ_CST);
    }
    atomic_store(&row->rest_round, said.words[WORD_OF(rest_round)]);
    atomic_store(&row->ended, said.words[WORD_OF(ended)] != 0 ? TA_ENDED_KNOWN : TA_ENDED_NO);
    return true;
}

/* Spares on other machines belong to no node: whoever puts their rows lives. */
static void take_spares(struct ta_nodes *n, int64_t now_ns) {
    struct ta_board *board = n->config.board;
    int64_t patience_ns = (int64_t)(2 * n->config.dead_after_s * TA_NS_PER_S);
    for (unsigned r = n->config.n_ranks; r < board->n_rows; r++) {
        struct ta_board_row *row = &board->rows[r];
        if (ta_board_get(row->launcher) != 0) continue;
        if (ta_node_row_take(n->store, board, r, &n->row[r], &n->row[r].clock_ns, now_ns)) n->row[r].heard_ns = now_ns;
        bool works = ta_board_get(row->started_ns) != 0 && ta_board_get(row->ended) == TA_ENDED_NO;
        if (!works || (!n->lost_store && now_ns - n->row[r].heard_ns < patience_ns)) continue;
        ta_log_warn(n->config.log,
                    "spare %u, which has joined from another machine, cannot be heard: it counts as ended", r);
        atomic_store(&row->ended, TA_ENDED_PRESUMED);
    }
}

static void take_dropped(struct ta_nodes *n, unsigned node) {
    struct ta_store_value value;
    if (ta_nodes_get(n, "lost", node, &value) != TA_OK || value.bytes != n->config.n_ranks / 8 + 1) return;
    const unsigned char *bits = value.data;
    for (unsigned r = 0; r < n->config.n_ranks; r++)
        if ((bits[r / 8] >> r % 8 & 1) != 0) ta_board_set(n->config.board->rows[r].lost, 1);
}

void ta_nodes_take_rows(struct ta_nodes *n, int64_t now_ns) {
    unsigned count = n->config.n_ranks / n->config.nodes;
    if (n->store == NULL) return;
    for (unsigned node = 0; node < n->config.nodes; node++) {
        if (node == n->config.node) continue;
        unsigned first = ta_nodes_first_rank(n, node);
        for (unsigned r = first; r < first + count; r++)
            (void)ta_node_row_take(n->store, n->config.board, r, &n->row[r], &n->node[node].clock_ns, now_ns);
        take_dropped(n, node);
    }
    take_spares(n, now_ns);
}
