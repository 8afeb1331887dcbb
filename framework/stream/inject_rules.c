/* inject_rules: one function a type to check an entry, one to change a record. */
#include "inject_rules.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "mem.h"
#include "rng.h"

static const uint64_t ORDER_STREAM = UINT64_C(0x7065726d757465);

static ta_status need_classes(const struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    if (info->label_kind == TA_LABEL_CLASS) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "stream.inject_drift[%u]: %s changes classes, but the labels of this stream are not classes", number,
                   ta_inject_type_name(rule->change.type));
}

static ta_status check_swap(struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    ta_status status = need_classes(rule, number, info);
    if (status != TA_OK) return status;
    const uint32_t *c = rule->change.classes;
    if (rule->change.classes_count != 2 || c[0] == c[1] || c[0] >= info->classes || c[1] >= info->classes)
        return ta_fail(TA_CONFIG,
                       "stream.inject_drift[%u]: swap needs `classes: [a, b]`, two different ones from 0 to %u", number,
                       info->classes - 1);
    return TA_OK;
}

static ta_status check_rotate(struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    ta_status status = need_classes(rule, number, info);
    if (rule->change.by == 0) rule->change.by = 1;
    if (status == TA_OK && rule->change.by % info->classes == 0)
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: rotating %u classes by %u changes nothing", number,
                       info->classes, rule->change.by);
    return status;
}

static uint32_t n_features(const struct ta_stream_info *info) { return info->h * info->w * info->c; }

static ta_status check_shift(struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    const struct ta_inject_change *c = &rule->change;
    if (!isfinite(c->amount) || c->amount == 0)
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: shift needs `amount`, a number that is not 0", number);
    rule->first = 0;
    rule->last = n_features(info) - 1;
    if (c->features_count > 0) {
        rule->first = c->features[0];
        rule->last = c->features[c->features_count - 1];
    }
    if (c->features_count > 2 || rule->first > rule->last || rule->last >= n_features(info))
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: `features: [first, last]` must lie in 0 to %u", number,
                       n_features(info) - 1);
    rule->step = c->amount / (double)info->scale;
    return TA_OK;
}

static ta_status check_permute(struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    bool picture = info->h * info->w > 1;
    rule->positions = picture ? info->h * info->w : info->c;
    if (rule->positions < 2)
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: one feature has no other order", number);
    ta_status status = TA_NEW(&rule->order, rule->positions, "an order of features");
    if (status == TA_OK) status = ta_mem_alloc(ta_stream_x_bytes(info), 1, "a record", &rule->spare);
    if (status != TA_OK) return status;
    struct ta_rng rng = ta_rng_make(rule->change.seed + number, ORDER_STREAM);
    for (uint32_t i = 0; i < rule->positions; i++) rule->order[i] = i;
    for (uint32_t i = rule->positions; i > 1; i--) { /* Sattolo: one cycle, so nothing stays where it is */
        uint32_t j = ta_rng_below(&rng, i - 1), swap = rule->order[j];
        rule->order[j] = rule->order[i - 1];
        rule->order[i - 1] = swap;
    }
    return TA_OK;
}

static ta_status check_mix(struct ta_inject_rule *rule, unsigned number, const struct ta_stream_info *info) {
    if (rule->change.file == NULL)
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: mix needs `file`, the other stream", number);
    ta_status status = ta_stream_hdf5_open(rule->change.file, &rule->other);
    if (status != TA_OK) return status;
    const struct ta_stream_info *o = &rule->other->info;
    bool same = o->h == info->h && o->w == info->w && o->c == info->c && o->element == info->element &&
                o->label_kind == info->label_kind && o->classes == info->classes && o->targets == info->targets &&
                o->scale == info->scale && o->offset == info->offset;
    if (same && o->records > 0) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "stream.inject_drift[%u]: %s has %" PRIu64 " records of %u x %u x %u, %u classes and %u targets; "
                   "the stream has %u x %u x %u, %u and %u: both must be alike, element, scale and offset too",
                   number, rule->change.file, o->records, o->h, o->w, o->c, o->classes, o->targets, info->h, info->w,
                   info->c, info->classes, info->targets);
}

ta_status ta_inject_rule_open(struct ta_inject_rule *rule, const struct ta_inject_change *change, unsigned number,
                              const struct ta_stream_info *info) {
    *rule = (struct ta_inject_rule){.change = *change};
    if (ta_stream_is_raw(info) && change->type != TA_INJECT_MIX && change->type != TA_INJECT_KNOWN)
        return ta_fail(TA_CONFIG,
                       "stream.inject_drift[%u]: words have no features or classes to %s; mix in another text", number,
                       ta_inject_type_name(change->type));
    if (change->every > 0 && change->width > change->every)
        return ta_fail(TA_CONFIG,
                       "stream.inject_drift[%u]: a change that takes %" PRIu64 " records cannot return every %" PRIu64,
                       number, change->width, change->every);
    if (change->at > UINT64_MAX / 2 || change->width > UINT64_MAX / 4)
        return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: beyond any record number", number);
    switch (change->type) {
        case TA_INJECT_SWAP: return check_swap(rule, number, info);
        case TA_INJECT_ROTATE: return check_rotate(rule, number, info);
        case TA_INJECT_SHIFT: return check_shift(rule, number, info);
        case TA_INJECT_PERMUTE: return check_permute(rule, number, info);
        case TA_INJECT_MIX: return check_mix(rule, number, info);
        case TA_INJECT_KNOWN: return TA_OK;
    }
    return ta_fail(TA_CONFIG, "stream.inject_drift[%u]: no such type", number);
}

void ta_inject_rule_close(struct ta_inject_rule *rule) {
    ta_mem_free(rule->order);
    ta_mem_free(rule->spare);
    ta_stream_close(rule->other);
    *rule = (struct ta_inject_rule){0};
}

static void swap(const struct ta_inject_rule *rule, int32_t *class) {
    int32_t a = (int32_t)rule->change.classes[0], b = (int32_t)rule->change.classes[1];
    if (*class == a) *class = b;
    else if (*class == b) *class = a;
}

static void rotate(const struct ta_inject_rule *rule, uint32_t classes, int32_t *class) {
    if (*class >= 0) *class = (int32_t)(((uint64_t)*class + rule->change.by) % classes);
}

static void shift(const struct ta_inject_rule *rule, enum ta_element element, void *x) {
    for (uint32_t f = rule->first; f <= rule->last; f++) {
        if (element == TA_ELEMENT_F32) {
            ((float *)x)[f] += (float)rule->step;
        } else {
            double moved = nearbyint(((unsigned char *)x)[f] + rule->step);
            ((unsigned char *)x)[f] = (unsigned char)fmin(fmax(moved, 0), 255);
        }
    }
}

static void permute(const struct ta_inject_rule *rule, const struct ta_stream_info *info, void *x) {
    size_t piece = ta_stream_x_bytes(info) / rule->positions;
    memcpy(rule->spare, x, piece * rule->positions);
    for (uint32_t i = 0; i < rule->positions; i++)
        memcpy((char *)x + i * piece, (char *)rule->spare + rule->order[i] * piece, piece);
}

static ta_status mix(struct ta_inject_rule *rule, const struct ta_stream_info *info, uint64_t record, size_t i,
                     const struct ta_stream_block *block) {
    struct ta_stream_block one = {0};
    if (block->x != NULL) one.x = (char *)block->x + i * ta_stream_x_bytes(info);
    if (block->class != NULL) one.class = block->class + i;
    if (block->value != NULL) one.value = block->value + i * info->targets;
    return rule->other->ops->read(rule->other, record % rule->other->info.records, 1, &one);
}

ta_status ta_inject_rule_apply(struct ta_inject_rule *rule, const struct ta_stream_info *info, uint64_t record,
                               size_t i, const struct ta_stream_block *block) {
    void *x = block->x == NULL ? NULL : (char *)block->x + i * ta_stream_x_bytes(info);
    int32_t *class = block->class == NULL ? NULL : block->class + i;
    switch (rule->change.type) {
        case TA_INJECT_SWAP:
            if (class != NULL) swap(rule, class);
            break;
        case TA_INJECT_ROTATE:
            if (class != NULL) rotate(rule, info->classes, class);
            break;
        case TA_INJECT_SHIFT:
            if (x != NULL) shift(rule, info->element, x);
            break;
        case TA_INJECT_PERMUTE:
            if (x != NULL) permute(rule, info, x);
            break;
        case TA_INJECT_MIX: return mix(rule, info, record, i, block);
        case TA_INJECT_KNOWN: break;
    }
    return TA_OK;
}
