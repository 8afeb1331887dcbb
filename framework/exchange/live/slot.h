/* slot: what lies where in a replica's window, and the words a header is made of.
 *
 * A window holds one slot for each peer, in rank order; only that peer is granted it: two ranges (transport.h). When it
 * is gone its body may be opened to all, for a relay (below).
 *
 *     control of peer 0 | control of peer 1 | ... | body of peer 0 | body of peer 1 | ...
 *
 *     control:  header 64 B | ack 64 B | board n_ranks * 32 B | row log
 *     body:     n_params floats | relay 64 B | payload
 *
 *   header  what the writer says of itself, as of the body that was put before it
 *   ack     how many steps of the window's owner the writer has in its weights; its note, its position and its share
 *           (exchange.h); whether it counts on the window's owner (live_join.c); its gauge (exchange.h): six words
 *   board   one claim a rank: who the writer holds for gone, and which copy of what that rank left it has
 *   log     which rows of the tables in the body have changed (rowlog.h)
 *   body    the writer's register
 *   payload for exchanges that put something else than a register (control.h); of live: none
 *   relay   written by a survivor: the body before it is now its copy of what the slot's writer left (estate.h)
 *
 * Every part starts at a multiple of 64 bytes. Offsets follow from (n_ranks, n_params, tables, owner, writer) alone, so
 * every replica computes the same ones and none is ever sent.
 *
 * A transport promises whole 4-byte words, whole 8-byte words only for segments of 8 bytes, and the order of segments.
 * So the header is put as one segment of five words, each half of which means something by itself, and three segments
 * of one word, the state last. A reader takes the state first: all that the same put said before it is then there.
 * Every word only ever rises (except the pulse, `more` and the gauge), so a reader keeps the highest value it has seen.
 */
#ifndef TA_SLOT_H
#define TA_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_slot_layout {
    unsigned n_ranks;
    size_t n_params;
    uint32_t log_entries;             /* of the row log; 0: the model has no tables */
    size_t log;                       /* its offset inside a control */
    size_t relay, payload;            /* of the relay line and of the payload inside a body */
    size_t control_bytes, body_bytes; /* of one slot, rounded up to 64 */
    size_t window_bytes;              /* of a replica's whole window; 0 for one replica */
};

/* Errors: CONFIG (more than an address space holds). */
ta_status ta_slot_layout_make(unsigned n_ranks, size_t n_params, uint32_t log_entries, struct ta_slot_layout *out);
/* Makes room for a payload in every body. Errors: CONFIG (as above). */
ta_status ta_slot_layout_extend(struct ta_slot_layout *layout, size_t payload_bytes);

/* Offsets in the window of `owner` of what `writer` (another rank) puts there. */
size_t ta_slot_control(const struct ta_slot_layout *layout, unsigned owner, unsigned writer);
size_t ta_slot_body(const struct ta_slot_layout *layout, unsigned owner, unsigned writer);

/* Offsets inside a control. */
enum { TA_SLOT_HEADER = 0, TA_SLOT_ACK = 64, TA_SLOT_BOARD = 128 };

/* The eight words of a header. */
enum ta_slot_word {
    TA_WORD_ID,      /* magic and format : rank of the writer + 1 */
    TA_WORD_RUN,     /* epoch : n_ranks */
    TA_WORD_DONE,    /* more : last round done */
    TA_WORD_PULSE,   /* counts headers : counts versions of the board */
    TA_WORD_SENT,    /* clock of the writer, ns */
    TA_WORD_REQUEST, /* round asked for : reason */
    TA_WORD_RECORDS,
    TA_WORD_STATE,   /* flags, last round entered, steps wholly in the body: what survivors must agree on, one word */
    TA_SLOT_WORDS
};

enum { TA_SLOT_FIRST_BYTES = 5 * 8 }; /* ID .. SENT: one segment */

/* What a header says, taken apart. */
struct ta_slot_said {
    uint64_t steps, records;
    uint64_t request;          /* round << 32 | reason; 0: none */
    uint64_t sent_ns;
    uint32_t more;             /* steps made beyond `steps`, of which rows are still to come; at most UINT32_MAX */
    uint32_t entered, done;    /* rounds; TA_ROUND_FINAL is told by the flags */
    uint32_t pulse, board;
    bool finished, done_final; /* waits in the final round; is done with it */
    bool left;                 /* this was its last word */
};

/* Who writes in which run: what a header must show to be heard. */
struct ta_slot_ident {
    uint32_t rank, n_ranks, epoch;
};

enum ta_slot_heard { TA_SLOT_EMPTY, TA_SLOT_FOREIGN, TA_SLOT_OURS };

/* Flags 3 bits, round 24, steps 37: at a million steps a second, a day and a half; at a thousand, four years. */
#define TA_SLOT_MAX_STEPS ((UINT64_C(1) << 37) - 1)
#define TA_SLOT_MAX_ROUND ((UINT32_C(1) << 24) - 1)

void ta_slot_encode(const struct ta_slot_ident *writer, const struct ta_slot_said *said, uint64_t words[TA_SLOT_WORDS]);

/* Reads a header line that may be written meanwhile. `*said` is set only for OURS. FOREIGN: another magic, rank, epoch
 * or number of replicas. */
enum ta_slot_heard ta_slot_decode(const struct ta_slot_ident *writer, const void *line, struct ta_slot_said *said);

/* The steps alone, wholly in the body, of a header that was OURS before. */
uint64_t ta_slot_steps(const void *line);
/* Those and `more`: the steps it has made. */
uint64_t ta_slot_made(const void *line);

/* `*known` takes from `*said` whatever is newer. */
void ta_slot_learn(struct ta_slot_said *known, const struct ta_slot_said *said);

/* The state word: how far a rank had come. A rank only goes forward, so of two states of one rank the higher number is
 * the later one. Steps, rounds and flags; nothing else of `said` is used. */
uint64_t ta_slot_pack_state(const struct ta_slot_said *said);
void ta_slot_unpack_state(uint64_t state, struct ta_slot_said *said);

/* One row of a board: what its writer says of one rank. */
struct ta_slot_claim {
    uint32_t gone;     /* 0: it is not; else one of TA_CLAIM_*; ask ta_slot_claim_gone */
    uint32_t since;    /* the version of the board that `pass` came with; 0: there is none yet */
    uint64_t state;    /* of the copy it holds */
    uint64_t checksum; /* of that copy (estate.h); 0: none yet */
    uint64_t pass;     /* shown by a put into the body that the rank had at the claim's writer */
};

/* LEFT: by itself; nobody is to be warned of it. HERE: not gone at all, but a spare that the writer counts on. */
enum { TA_CLAIM_DEAD = 1, TA_CLAIM_LEFT = 2, TA_CLAIM_HERE = 4 };

/* Reads one row that may be written meanwhile: the checksum first, so that a checksum that is there has its row. */
struct ta_slot_claim ta_slot_claim_read(const void *board, unsigned rank);

static inline bool ta_slot_claim_gone(const struct ta_slot_claim *claim) {
    return claim->gone != 0 && claim->gone != TA_CLAIM_HERE;
}

/* The words behind the ack, in this order; the last one is delivered after all others (transport.h). */
enum ta_slot_ack_word {
    TA_ACK_STEPS,
    TA_ACK_NOTE,
    TA_ACK_POSITION,
    TA_ACK_SHARE,
    TA_ACK_WELCOME,
    TA_ACK_GAUGE,
    TA_SLOT_ACK_WORDS
};

/* The pass of a claim, or 0 while it may have come by halves: what is shown to a device must be whole. `heard`: the
 * version of the board in a header that was heard before the claim was read; since boards are put before headers, and a
 * pass never changes, one that came with that version or an earlier one is. */
static inline uint64_t ta_slot_claim_pass(const struct ta_slot_claim *claim, uint32_t heard) {
    return claim->since != 0 && (int32_t)(heard - claim->since) >= 0 ? claim->pass : 0;
}

#endif
