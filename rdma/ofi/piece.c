/* piece: cutting a put into operations that a provider takes. */
#include "copy.h"
#include "ofi.h"

enum { LONG = 8, SMALL_SEGMENT = 64 };

static bool last_word_last(const struct ta_put_segment *s) {
    return s->bytes <= SMALL_SEGMENT && s->bytes > LONG && s->bytes % LONG == 0 && s->target_offset % LONG == 0 &&
           (uintptr_t)s->source % LONG == 0;
}

/* Rows are counted in rows, but those that do not go into one operation. */
static bool in_bytes(const struct ta_transport *t, const struct ta_put_segment *s) {
    return s->rows == NULL || s->bytes > t->max_op_bytes;
}

static bool used_up(const struct ta_transport *t, const struct ta_put_segment *s, size_t at) {
    size_t bytes = ta_put_segment_bytes(s);
    return bytes == 0 || at >= (in_bytes(t, s) ? bytes : s->n_rows);
}

static void add(struct ta_ofi_piece *piece, const struct ta_put_segment *s, const struct ta_ofi_target *target,
                size_t offset, size_t bytes) {
    unsigned i = piece->n++;
    piece->source[i] = (struct iovec){(unsigned char *)(uintptr_t)s->source + offset, bytes};
    piece->target[i] = (struct fi_rma_iov){.addr = target->address + offset, .len = bytes, .key = target->key};
    piece->desc[i] = target->desc;
}

/* As many rows as go into one operation; neighbours are one piece of memory. */
static void take_rows(const struct ta_transport *t, const struct ta_put_segment *s, const struct ta_ofi_target *target,
                      size_t *at, struct ta_ofi_piece *piece) {
    size_t whole = 0;
    while (*at < s->n_rows && whole + s->bytes <= t->max_op_bytes) {
        size_t from = *at, run = s->bytes;
        if (piece->n == t->max_iovs) return;
        for (++*at; *at < s->n_rows && s->rows[*at] == s->rows[*at - 1] + 1; ++*at, run += s->bytes)
            if (whole + run + s->bytes > t->max_op_bytes) break;
        add(piece, s, target, s->rows[from] * s->bytes, run);
        whole += run;
    }
}

bool ta_ofi_piece_next(const struct ta_transport *t, const struct ta_ofi_put *put, struct ta_ofi_cursor *cursor,
                       struct ta_ofi_piece *out) {
    while (cursor->segment < put->n_segments && used_up(t, &put->segments[cursor->segment], cursor->at))
        *cursor = (struct ta_ofi_cursor){.segment = cursor->segment + 1};
    if (cursor->segment == put->n_segments) return false;
    const struct ta_put_segment *s = &put->segments[cursor->segment];
    const struct ta_ofi_target *target = &put->targets[cursor->segment];
    out->n = 0;
    if (!in_bytes(t, s)) {
        take_rows(t, s, target, &cursor->at, out);
    } else {
        size_t in = s->rows != NULL ? cursor->at % s->bytes : cursor->at;
        size_t row = s->rows != NULL ? s->rows[cursor->at / s->bytes] * s->bytes : 0;
        size_t left = s->bytes - in, bytes = left < t->max_op_bytes ? left : t->max_op_bytes;
        if (s->rows == NULL && in == 0 && last_word_last(s)) bytes = left - LONG;
        add(out, s, target, row + in, bytes);
        cursor->at += bytes;
    }
    out->ends_segment = used_up(t, s, cursor->at);
    while (cursor->segment < put->n_segments && used_up(t, &put->segments[cursor->segment], cursor->at))
        *cursor = (struct ta_ofi_cursor){.segment = cursor->segment + 1};
    out->ends_put = cursor->segment == put->n_segments;
    return true;
}
