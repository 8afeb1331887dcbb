/* inject: reads a block of the stream underneath, then applies each change to the records it holds for. */
#include "inject.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "inject_rules.h"
#include "mem.h"
#include "rng.h"

/* What the coin flips of gradual changes are drawn from: apart from everything a generator draws. */
static const uint64_t COIN_STREAM = UINT64_C(0x696e6a656374);

struct injected {
    struct ta_stream stream;
    struct ta_stream *inner;
    struct ta_inject_rule *rule; /* [n] */
    unsigned n;
};

static const char *const type_names[] = {"swap", "rotate", "shift", "permute", "mix", "known"};

const char *ta_inject_type_name(enum ta_inject_type type) {
    return (unsigned)type < sizeof type_names / sizeof type_names[0] ? type_names[type] : "unknown";
}

/* --- when --- */

/* How likely it is that the rule holds at a record: 0 or 1 outside the width of a change. */
static double chance_at(const struct ta_inject_change *c, uint64_t record) {
    if (record < c->at) return 0;
    uint64_t into = record - c->at, turn = 0;
    if (c->every > 0) {
        turn = into / c->every;
        into %= c->every;
    }
    double now = into >= c->width ? 1 : ((double)into + 0.5) / (double)c->width;
    return turn % 2 == 0 ? now : 1 - now;
}

static bool holds(const struct ta_inject_change *c, unsigned number, uint64_t record) {
    double chance = chance_at(c, record);
    if (chance <= 0 || chance >= 1) return chance >= 1;
    struct ta_rng rng = ta_rng_make(c->seed + number, COIN_STREAM);
    rng.position = 4 * record;
    return ta_rng_uniform(&rng) < chance;
}

static size_t count_before(const struct ta_inject_change *c, uint64_t records) {
    if (c->at >= records) return 0;
    return c->every == 0 ? 1 : (size_t)((records - 1 - c->at) / c->every) + 1;
}

size_t ta_inject_truth(const struct ta_inject_change *changes, unsigned n, uint64_t records,
                       struct ta_inject_truth *out, size_t most) {
    uint64_t next[TA_INJECT_MOST]; /* turn of each change that has not been listed */
    size_t all = 0;
    for (unsigned i = 0; i < n && i < TA_INJECT_MOST; i++) {
        next[i] = 0;
        all += count_before(&changes[i], records);
    }
    for (size_t listed = 0; listed < all && listed < most; listed++) {
        unsigned first = TA_INJECT_MOST;
        uint64_t where = UINT64_MAX;
        for (unsigned i = 0; i < n && i < TA_INJECT_MOST; i++) {
            if (next[i] >= count_before(&changes[i], records)) continue;
            uint64_t at = changes[i].at + next[i] * changes[i].every;
            if (at >= where) continue;
            where = at;
            first = i;
        }
        out[listed] = (struct ta_inject_truth){where, changes[first].width, first, next[first] % 2 == 0};
        next[first]++;
    }
    return all;
}

/* --- reading --- */

static void injected_close(struct ta_stream *s) {
    struct injected *self = (struct injected *)s;
    for (unsigned i = 0; i < self->n; i++) ta_inject_rule_close(&self->rule[i]);
    ta_mem_free(self->rule);
    ta_stream_close(self->inner);
    ta_mem_free(self);
}

static ta_status apply(struct injected *self, unsigned number, uint64_t first, size_t count,
                       const struct ta_stream_block *block) {
    struct ta_inject_rule *rule = &self->rule[number];
    ta_status status = TA_OK;
    for (size_t i = 0; i < count && status == TA_OK; i++)
        if (holds(&rule->change, number, first + i))
            status = ta_inject_rule_apply(rule, &self->stream.info, first + i, i, block);
    return status;
}

static ta_status injected_read(struct ta_stream *s, uint64_t first, size_t count, const struct ta_stream_block *out) {
    struct injected *self = (struct injected *)s;
    ta_status status = self->inner->ops->read(self->inner, first, count, out);
    for (unsigned i = 0; i < self->n && status == TA_OK; i++) {
        double from = chance_at(&self->rule[i].change, first), to = chance_at(&self->rule[i].change, first + count - 1);
        bool never = self->rule[i].change.every == 0 && count > 0 && from == 0 && to == 0;
        if (!never) status = apply(self, i, first, count, out);
    }
    return status;
}

static const struct ta_stream_ops injected_ops = {
    .name = "injected",
    .close = injected_close,
    .read = injected_read,
};

ta_status ta_inject_open(struct ta_stream *inner, const struct ta_inject_change *changes, unsigned n,
                         struct ta_stream **out) {
    struct injected *self;
    *out = NULL;
    ta_status status = n > TA_INJECT_MOST
                           ? ta_fail(TA_CONFIG, "stream.inject_drift: %u changes, at most %d can be kept", n,
                                     TA_INJECT_MOST)
                           : TA_NEW(&self, 1, "a stream with drift");
    if (status != TA_OK) {
        ta_stream_close(inner);
        return status;
    }
    self->inner = inner;
    self->stream = (struct ta_stream){.ops = &injected_ops, .info = inner->info};
    self->stream.info.checksum = 0; /* it is not what the file holds */
    size_t used = strnlen(inner->info.origin, sizeof inner->info.origin - 1);
    snprintf(self->stream.info.origin + used, sizeof inner->info.origin - used, ", %u injected change%s", n,
             n == 1 ? "" : "s");
    status = TA_NEW(&self->rule, n > 0 ? n : 1, "a stream with drift");
    for (; status == TA_OK && self->n < n; self->n++)
        status = ta_inject_rule_open(&self->rule[self->n], &changes[self->n], self->n, &inner->info);
    if (status == TA_OK) *out = &self->stream;
    else injected_close(&self->stream);
    return status;
}
