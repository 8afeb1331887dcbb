/* sim_path: what travels from one replica of a simulated fabric to another, piece by piece, in virtual time.
 *
 * For sim.c only. A path is a queue of puts; only its first one moves. A put moves as pieces of a few words: the pieces
 * of a segment in random order, a segment after the one before it. A piece reads the source when it travels.
 */
#ifndef TA_SIM_PATH_H
#define TA_SIM_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grants.h"
#include "status.h"
#include "transport.h"

enum { TA_SIM_MAX_PIECES = 64, TA_SIM_NOT_QUEUED = -1 };

/* Random numbers of the fabric, four at a time. */
struct ta_sim_dice {
    uint64_t seed, block;
    uint32_t four[4];
    unsigned left;
};

uint32_t ta_sim_roll(struct ta_sim_dice *dice, uint32_t n); /* 0 .. n-1 */
double ta_sim_uniform(struct ta_sim_dice *dice);            /* [0, 1), 32 bits */

struct ta_sim_put {
    struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS];
    unsigned n_segments;
    int64_t start_ns, deliver_ns; /* first and last piece, unless the path is behind */
    int64_t repeat_ns;            /* > 0: once delivered it travels again and takes this long */
};

struct ta_sim_path {
    unsigned from, to;
    bool connected;
    uint32_t life;            /* of `to` when it was connected */
    size_t window_bytes;      /* of `to` */
    struct ta_grants grants;  /* by `to` */
    enum ta_peer_state state; /* as the sender knows it */
    bool broken;              /* it broke; while the state is UP the sender will know after its next put */
    bool reported;            /* the sender's progress has said that it broke */

    struct ta_sim_put *queue; /* ring of `depth`; the one at `head` moves */
    unsigned depth, head, count;
    bool whole; /* a put is one piece */
    int64_t last_deliver_ns;

    unsigned segment, piece, n_pieces, pieces_left; /* of the head: where it is; pieces_left counts all segments */
    size_t piece_bytes;
    unsigned char order[TA_SIM_MAX_PIECES];

    int64_t next_ns; /* when the next piece arrives */
    long slot;       /* in the fabric's heap, or TA_SIM_NOT_QUEUED */
};

ta_status ta_sim_path_create(unsigned from, unsigned to, unsigned depth, bool whole, struct ta_sim_path **out);
void ta_sim_path_destroy(struct ta_sim_path *path); /* NULL is fine */

/* Appends a put (the queue has room). Returns true when it became the head: its next_ns is set, schedule it. */
bool ta_sim_path_push(struct ta_sim_path *path, const struct ta_sim_put *put, struct ta_sim_dice *dice);

/* Moves the piece that is due at `now_ns` into `window` (NULL: it vanishes) and finds the next. Returns true while
 * there is one. */
bool ta_sim_path_move(struct ta_sim_path *path, unsigned char *window, int64_t now_ns, struct ta_sim_dice *dice);

void ta_sim_path_clear(struct ta_sim_path *path); /* forgets all puts */

#endif
