/* intake: whole units out of bytes that arrive in pieces; and bytes on their way out. Both hold memory only while
 * something is cut or waits, so an idle connection costs none. */
#ifndef TA_STORE_INTAKE_H
#define TA_STORE_INTAKE_H

#include "wire.h"

struct ta_store_intake {
    unsigned char *part; /* the beginning of a unit; NULL: none */
    size_t held, room;
};

struct ta_store_piece {
    const unsigned char *at;
    size_t bytes;
};

/* The next unit, of `fixed` bytes or (0) a frame, from the front of `from`, which moves on. A unit that is not whole
 * yet is kept, and out->at is NULL. out is valid until the next call. Errors: FORMAT (a frame of an impossible length),
 * NO_MEMORY. */
ta_status ta_store_intake_next(struct ta_store_intake *in, size_t fixed, struct ta_store_piece *from,
                               struct ta_store_piece *out);
void ta_store_intake_free(struct ta_store_intake *in);

struct ta_store_outgo {
    unsigned char *data;
    size_t sent, bytes, room;
};

/* Room for so many bytes more, at *to; to be counted in `bytes` once they are there. Errors: NO_MEMORY. */
ta_status ta_store_outgo_room(struct ta_store_outgo *out, size_t bytes, unsigned char **to);
/* Sends what the socket takes. OK; PEER: the other side is gone (with the reason). */
ta_status ta_store_outgo_send(struct ta_store_outgo *out, int fd);
static inline size_t ta_store_outgo_left(const struct ta_store_outgo *out) { return out->bytes - out->sent; }
void ta_store_outgo_free(struct ta_store_outgo *out);

#endif
