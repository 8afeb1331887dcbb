/* nodes_rows: rows of the board travel between nodes: those of our ranks out, those of all others in. */
#include <stddef.h>
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

static void put_row(struct ta_nodes *n, unsigned rank, int64_t now_ns) {
    struct ta_board_row *row = &n->config.board->rows[rank];
    struct row_said said = {.bytes = sizeof *row, .rank = rank, .sent_ns = now_ns};
    uint64_t round = atomic_load_explicit(&row->rest_round, memory_order_acquire);
    for (unsigned i = 0; i < N_WORDS; i++) said.words[i] = __atomic_load_n(&words_of(row)[i], __ATOMIC_ACQUIRE);
    /* A checksum must not be read as that of another round. */
    if (atomic_load(&row->rest_round) != round) said.words[WORD_OF(rest_round)] = 0;
    ta_nodes_put(n, "row", rank, &said, sizeof said);
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
    for (unsigned r = first; r < first + count; r++) {
        uint64_t news = news_of(&n->config.board->rows[r]);
        if (!all && news == n->row[r].news) continue;
        n->row[r].news = news;
        put_row(n, r, now_ns);
    }
    put_dropped(n);
}

/* The smallest difference seen is the one of the quickest message. */
static int64_t clock_of(struct ta_node *node, int64_t sent_ns, int64_t now_ns) {
    int64_t difference_ns = (int64_t)((uint64_t)now_ns - (uint64_t)sent_ns);
    if (difference_ns < node->clock_ns) node->clock_ns = difference_ns;
    return node->clock_ns;
}

static uint64_t moved(uint64_t its_ns, int64_t clock_ns) { return its_ns == 0 ? 0 : its_ns + (uint64_t)clock_ns; }

static void take_row(struct ta_nodes *n, unsigned node, unsigned rank, int64_t now_ns) {
    struct ta_store_value value;
    struct row_said said;
    if (ta_nodes_get(n, "row", rank, &value) != TA_OK || value.version == n->row[rank].version) return;
    n->row[rank].version = value.version;
    if (value.bytes != sizeof said) return;
    memcpy(&said, value.data, sizeof said);
    if (said.bytes != sizeof(struct ta_board_row) || said.rank != rank) return;
    int64_t clock_ns = clock_of(&n->node[node], said.sent_ns, now_ns);
    said.words[WORD_OF(started_ns)] = moved(said.words[WORD_OF(started_ns)], clock_ns);
    said.words[WORD_OF(ended_ns)] = moved(said.words[WORD_OF(ended_ns)], clock_ns);
    struct ta_board_row *row = &n->config.board->rows[rank];
    atomic_store(&row->rest_round, 0); /* while its checksum changes */
    for (unsigned i = 0; i < N_WORDS; i++) {
        bool ours = i == WORD_OF(lost) || i == WORD_OF(rest_round) || i == WORD_OF(ended);
        if (!ours) __atomic_store_n(&words_of(row)[i], said.words[i], __ATOMIC_SEQ_CST);
    }
    atomic_store(&row->rest_round, said.words[WORD_OF(rest_round)]);
    atomic_store(&row->ended, said.words[WORD_OF(ended)] != 0 ? TA_ENDED_KNOWN : TA_ENDED_NO);
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
    for (unsigned node = 0; node < n->config.nodes; node++) {
        if (node == n->config.node) continue;
        unsigned first = ta_nodes_first_rank(n, node);
        for (unsigned r = first; r < first + count; r++) take_row(n, node, r, now_ns);
        take_dropped(n, node);
    }
}
