/* control: a live exchange of nothing. */
#include "control.h"

#include <string.h>

#include <xxhash.h>

#include "live.h"

static ta_status check(const struct ta_exchange_config *config) {
    for (unsigned s = 0; s < config->model->n_segments; s++) {
        enum ta_segment_kind kind = config->model->segments[s].kind;
        if (kind != TA_SEGMENT_SUM && kind != TA_SEGMENT_MEAN)
            return ta_fail(TA_CONFIG,
                           "exchange.type %s sends whole gradients, and a table of rows has none: word models go "
                           "with exchange.type live",
                           config->spec->type);
    }
    if (config->recorder != NULL)
        return ta_fail(TA_CONFIG, "exchange.type %s cannot be recorded: leave out run.record, or use live",
                       config->spec->type);
    if (config->spares == 0) return TA_OK;
    return ta_fail(TA_CONFIG, "exchange.type %s: nobody can join later; set run.spares to 0, or use live",
                   config->spec->type);
}

ta_status ta_control_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                          size_t payload_bytes, struct ta_control *c) {
    memset(c, 0, sizeof *c);
    ta_status status = check(config);
    if (status != TA_OK) return status;
    struct ta_exchange_config inner = *config;
    inner.model = &c->nothing;
    struct ta_exchange_start from = {0};
    if (start != NULL)
        from = (struct ta_exchange_start){
            .steps = start->steps, .records = start->records, .peer_steps = start->peer_steps};
    status = ta_live_open(&inner, &from, (struct ta_live_limits){.payload_bytes = payload_bytes}, &c->x);
    if (status == TA_OK) c->window = ta_live_of(c->x)->window;
    return status;
}

void ta_control_close(struct ta_control *c) {
    if (c->x != NULL) c->x->ops->close(c->x);
    memset(c, 0, sizeof *c);
}

size_t ta_control_payload(const struct ta_control *c, unsigned owner, unsigned writer) {
    const struct ta_slot_layout *layout = &ta_live_of_const(c->x)->layout;
    return ta_slot_body(layout, owner, writer) + layout->payload;
}

bool ta_control_reaches(const struct ta_control *c, unsigned peer) {
    const struct ta_member *member = &ta_live_of_const(c->x)->members.member[peer];
    return member->connected && !ta_member_gone(member);
}

bool ta_control_counts(const struct ta_control *c, unsigned peer) {
    return ta_member_counts(&ta_live_of_const(c->x)->members.member[peer]);
}

bool ta_control_rests(const struct ta_control *c, unsigned peer) {
    const struct ta_slot_said *known = &ta_live_of_const(c->x)->members.member[peer].known;
    return known->finished || known->entered > known->done;
}

uint64_t ta_control_puts(const struct ta_control *c, unsigned peer) {
    return ta_live_of_const(c->x)->outboxes.outbox[peer].puts;
}

ta_status ta_control_checksum(struct ta_control *c, const float *values, size_t n, uint64_t *out) {
    struct ta_live *l = ta_live_of(c->x);
    XXH3_64bits_reset(l->estates.hash);
    for (size_t at = 0; at < n; at += TA_ESTATE_CHUNK_FLOATS) {
        size_t bytes = (n - at < TA_ESTATE_CHUNK_FLOATS ? n - at : TA_ESTATE_CHUNK_FLOATS) * sizeof(float);
        ta_status status = l->kernel_ops->copy_out(l->kernels, l->estates.scratch, values + at, bytes);
        if (status != TA_OK) return status;
        XXH3_64bits_update(l->estates.hash, l->estates.scratch, bytes);
    }
    *out = XXH3_64bits_digest(l->estates.hash);
    return TA_OK;
}
