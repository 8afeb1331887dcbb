/* sim_path: cutting puts into pieces, and the times at which they arrive. */
#include "sim_path.h"

#include <string.h>

#include "copy.h"
#include "mem.h"
#include "rng.h"

enum { WORD = 4, LONG = 8, SMALL_SEGMENT = 64, MAX_PIECE_WORDS = 8, DICE_STREAM = 0x51f };

static uint32_t draw(struct ta_sim_dice *dice) {
    if (dice->left == 0) {
        ta_rng_block(dice->seed, DICE_STREAM, dice->block++, dice->four);
        dice->left = 4;
    }
    return dice->four[--dice->left];
}

uint32_t ta_sim_roll(struct ta_sim_dice *dice, uint32_t n) { return (uint32_t)((uint64_t)draw(dice) * n >> 32); }

double ta_sim_uniform(struct ta_sim_dice *dice) { return draw(dice) * 0x1p-32; }

ta_status ta_sim_path_create(unsigned from, unsigned to, unsigned depth, bool whole, struct ta_sim_path **out) {
    struct ta_sim_path *path;
    *out = NULL;
    ta_status status = TA_NEW(&path, 1, "transport sim: path");
    if (status != TA_OK) return status;
    status = TA_NEW(&path->queue, depth, "transport sim: puts in flight");
    if (status != TA_OK) {
        ta_mem_free(path);
        return status;
    }
    path->from = from;
    path->to = to;
    path->depth = depth;
    path->whole = whole;
    path->slot = TA_SIM_NOT_QUEUED;
    *out = path;
    return TA_OK;
}

void ta_sim_path_destroy(struct ta_sim_path *path) {
    if (path == NULL) return;
    ta_mem_free(path->queue);
    ta_mem_free(path);
}

void ta_sim_path_clear(struct ta_sim_path *path) { path->count = 0; }

/* Header-sized segments go word by word, the last word last, as transport.h promises. */
static bool last_word_last(const struct ta_put_segment *s) {
    return s->rows == NULL && s->bytes <= SMALL_SEGMENT && s->bytes % LONG == 0 && s->target_offset % LONG == 0 &&
           (uintptr_t)s->source % LONG == 0;
}

static size_t piece_bytes_of(const struct ta_put_segment *s, struct ta_sim_dice *dice) {
    if (last_word_last(s)) return LONG;
    size_t bytes = WORD * (size_t)(1 + ta_sim_roll(dice, MAX_PIECE_WORDS));
    size_t least = (ta_put_segment_bytes(s) - 1) / TA_SIM_MAX_PIECES + 1;
    return bytes >= least ? bytes : (least + WORD - 1) / WORD * WORD;
}

/* Cuts the segment at path->segment; none when the put has no more. */
static void cut_segment(struct ta_sim_path *path, const struct ta_sim_put *put, struct ta_sim_dice *dice) {
    path->piece = path->n_pieces = 0;
    while (path->segment < put->n_segments && ta_put_segment_bytes(&put->segments[path->segment]) == 0) path->segment++;
    if (path->segment == put->n_segments) return;
    const struct ta_put_segment *s = &put->segments[path->segment];
    path->piece_bytes = piece_bytes_of(s, dice);
    path->n_pieces = (unsigned)((ta_put_segment_bytes(s) - 1) / path->piece_bytes + 1);
    for (unsigned i = 0; i < path->n_pieces; i++) path->order[i] = (unsigned char)i;
    unsigned shuffled = path->n_pieces - (last_word_last(s) ? 1 : 0);
    for (unsigned i = shuffled; i > 1; i--) {
        unsigned j = ta_sim_roll(dice, i);
        unsigned char swap = path->order[i - 1];
        path->order[i - 1] = path->order[j];
        path->order[j] = swap;
    }
}

/* The next of k pieces that lie anywhere between `from_ns` and the put's delivery; the last one is the delivery. */
static void schedule(struct ta_sim_path *path, int64_t from_ns, struct ta_sim_dice *dice) {
    int64_t span = path->queue[path->head].deliver_ns - from_ns;
    if (span < 0) span = 0;
    unsigned k = path->pieces_left;
    path->next_ns = from_ns + (k <= 1 ? span : (int64_t)(ta_sim_uniform(dice) * 2 / (k + 1) * (double)span));
}

/* The put at the head begins to move. */
static void begin(struct ta_sim_path *path, int64_t now_ns, struct ta_sim_dice *dice) {
    const struct ta_sim_put *put = &path->queue[path->head];
    path->segment = 0;
    if (path->whole) {
        path->next_ns = put->deliver_ns > now_ns ? put->deliver_ns : now_ns;
        return;
    }
    cut_segment(path, put, dice);
    /* Times only need an estimate of how many pieces are to come: later segments are cut when they are reached. */
    path->pieces_left = path->n_pieces;
    for (unsigned i = path->segment + 1; i < put->n_segments; i++) {
        size_t guess = (ta_put_segment_bytes(&put->segments[i]) + LONG - 1) / LONG;
        path->pieces_left += guess < TA_SIM_MAX_PIECES / 2 ? (unsigned)guess : TA_SIM_MAX_PIECES / 2;
    }
    schedule(path, put->start_ns > now_ns ? put->start_ns : now_ns, dice);
}

bool ta_sim_path_push(struct ta_sim_path *path, const struct ta_sim_put *put, struct ta_sim_dice *dice) {
    struct ta_sim_put *last = &path->queue[(path->head + path->count) % path->depth];
    last->n_segments = put->n_segments;
    last->start_ns = put->start_ns;
    last->deliver_ns = put->deliver_ns;
    last->repeat_ns = put->repeat_ns;
    for (unsigned i = 0; i < put->n_segments; i++) last->segments[i] = put->segments[i];
    path->last_deliver_ns = put->deliver_ns;
    if (path->count++ > 0) return false;
    begin(path, put->start_ns, dice);
    return true;
}

/* Bytes [at, end) of the segment: rows are cut as if they lay one behind the other, in the order listed. */
static void move_bytes(const struct ta_put_segment *s, size_t at, size_t end, unsigned char *window) {
    while (at < end) {
        size_t row = at / s->bytes, column = at % s->bytes;
        size_t bytes = s->bytes - column < end - at ? s->bytes - column : end - at;
        size_t place = (s->rows == NULL ? 0 : s->rows[row] * s->bytes) + column;
        memcpy(window + s->target_offset + place, (const unsigned char *)s->source + place, bytes);
        at += bytes;
    }
}

/* A piece is words of a row, or of several. */
static void move_piece(const struct ta_sim_path *path, const struct ta_put_segment *s, unsigned char *window) {
    size_t all = ta_put_segment_bytes(s), at = path->order[path->piece] * path->piece_bytes;
    move_bytes(s, at, all - at < path->piece_bytes ? all : at + path->piece_bytes, window);
}

static void move_whole(const struct ta_sim_put *put, unsigned char *window) {
    for (unsigned i = 0; i < put->n_segments && window != NULL; i++) {
        const struct ta_put_segment *s = &put->segments[i];
        move_bytes(s, 0, ta_put_segment_bytes(s), window);
    }
}

/* The next piece of the put is the one to move. */
static void pass_piece(struct ta_sim_path *path, const struct ta_sim_put *put, struct ta_sim_dice *dice) {
    if (path->pieces_left > 0) path->pieces_left--;
    if (++path->piece == path->n_pieces) {
        path->segment++;
        cut_segment(path, put, dice);
    }
    /* The estimate may end early: what is left then shares the time that is left. */
    if (path->n_pieces > 0 && path->pieces_left < path->n_pieces - path->piece)
        path->pieces_left = path->n_pieces - path->piece;
}

bool ta_sim_path_move(struct ta_sim_path *path, unsigned char *window, int64_t now_ns, struct ta_sim_dice *dice) {
    struct ta_sim_put *put = &path->queue[path->head];
    if (path->whole) {
        move_whole(put, window);
    } else if (path->n_pieces > 0) {
        if (window != NULL) move_piece(path, &put->segments[path->segment], window);
        pass_piece(path, put, dice);
    }
    if (path->n_pieces > 0) {
        schedule(path, now_ns, dice);
        return true;
    }
    if (put->repeat_ns > 0) {
        put->start_ns = now_ns;
        put->deliver_ns = now_ns + put->repeat_ns;
        put->repeat_ns = 0;
        if (path->last_deliver_ns < put->deliver_ns) path->last_deliver_ns = put->deliver_ns;
        begin(path, now_ns, dice);
        return true;
    }
    path->head = (path->head + 1) % path->depth;
    if (--path->count == 0) return false;
    begin(path, now_ns, dice);
    return true;
}
