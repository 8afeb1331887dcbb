/* intake: cut units wait in a buffer of their own size; whole ones are handed on where they lie. */
#include "intake.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "mem.h"

/* How long the unit is that begins so; as far as its length has not arrived: 4. */
static ta_status unit_bytes(size_t fixed, const unsigned char *head, size_t have, size_t *out) {
    *out = fixed > 0 ? fixed : 4;
    if (fixed > 0 || have < 4) return TA_OK;
    struct ta_store_reader r = {.at = head, .left = 4};
    size_t length = ta_store_read(&r, 4);
    if (length <= TA_STORE_SEAL_BYTES || length > TA_STORE_PAYLOAD_BYTES + TA_STORE_SEAL_BYTES)
        return ta_fail(TA_FORMAT, "a message of %zu bytes is not between %d and %d", length, TA_STORE_SEAL_BYTES + 1,
                       TA_STORE_PAYLOAD_BYTES + TA_STORE_SEAL_BYTES);
    *out = 4 + length;
    return TA_OK;
}

static ta_status keep(struct ta_store_intake *in, struct ta_store_piece *from, size_t need) {
    if (in->room < need) {
        ta_status status = ta_mem_resize((void **)&in->part, need, "store: message");
        if (status != TA_OK) return status;
        in->room = need;
    }
    size_t n = need - in->held < from->bytes ? need - in->held : from->bytes;
    memcpy(in->part + in->held, from->at, n);
    in->held += n;
    from->at += n;
    from->bytes -= n;
    return TA_OK;
}

ta_status ta_store_intake_next(struct ta_store_intake *in, size_t fixed, struct ta_store_piece *from,
                               struct ta_store_piece *out) {
    *out = (struct ta_store_piece){0};
    for (;;) {
        bool cut = in->held > 0;
        const unsigned char *head = cut ? in->part : from->at;
        size_t have = cut ? in->held : from->bytes, need;
        ta_status status = unit_bytes(fixed, head, have, &need);
        if (status != TA_OK) return status;
        if (have >= need) {
            *out = (struct ta_store_piece){head, need};
            if (!cut) {
                from->at += need;
                from->bytes -= need;
            }
            in->held = 0;
            return TA_OK;
        }
        if (from->bytes == 0) break;
        status = keep(in, from, need);
        if (status != TA_OK) return status;
    }
    if (in->held == 0) ta_store_intake_free(in);
    return TA_OK;
}

void ta_store_intake_free(struct ta_store_intake *in) {
    ta_mem_free(in->part);
    *in = (struct ta_store_intake){0};
}

ta_status ta_store_outgo_room(struct ta_store_outgo *out, size_t bytes, unsigned char **to) {
    if (out->room < out->bytes + bytes) {
        ta_status status = ta_mem_resize((void **)&out->data, out->bytes + bytes, "store: to be sent");
        if (status != TA_OK) return status;
        out->room = out->bytes + bytes;
    }
    *to = out->data + out->bytes;
    return TA_OK;
}

ta_status ta_store_outgo_send(struct ta_store_outgo *out, int fd) {
    while (ta_store_outgo_left(out) > 0) {
        ssize_t n = send(fd, out->data + out->sent, ta_store_outgo_left(out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TA_OK;
        if (n < 0) return ta_fail_errno(TA_PEER, "sending");
        out->sent += (size_t)n;
    }
    if (out->data != NULL) ta_store_outgo_free(out);
    return TA_OK;
}

void ta_store_outgo_free(struct ta_store_outgo *out) {
    ta_mem_free(out->data);
    *out = (struct ta_store_outgo){0};
}
