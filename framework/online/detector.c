/* detector: what all makes share: finding one, opening, what is ignored, counting, saving. */
#include "detector.h"

#include <math.h>
#include <string.h>

#include "detector_ops.h"
#include "mem.h"

/* A group that does not fill its words would leave bytes unset that ta_detector_load compares. */
_Static_assert(sizeof(struct ta_detector_spec) == 16 + 40 + 24 + 24 + 24 + 32 + 24 + 24 + 16 + 16,
               "padding in the spec");

static const double LIMIT = 1e100;

static const struct ta_detector_ops *const makes[TA_DETECTOR_TYPES] = {
#define X(name, text) [TA_DETECTOR_##name] = &ta_detector_##text,
    TA_DETECTOR_LIST(X)
#undef X
};

const struct ta_detector_ops *ta_detector_find(const char *name) {
    for (int i = 0; i < TA_DETECTOR_TYPES; i++)
        if (strcmp(makes[i]->name, name) == 0) return makes[i];
    return NULL;
}

const char *ta_detector_name(enum ta_detector_type type) {
    return (unsigned)type < TA_DETECTOR_TYPES ? makes[type]->name : "?";
}

double ta_detector_or(double value, double fallback) { return value == 0 ? fallback : value; }

ta_status ta_detector_range(const char *key, double value, double least, double most) {
    if (value >= least && value <= most) return TA_OK;
    return ta_fail(TA_CONFIG, "detector.%s: %g; it must be between %g and %g", key, value, least, most);
}

ta_status ta_detector_open_range(const char *key, double value, double above, double below) {
    if (value > above && value < below) return TA_OK;
    return ta_fail(TA_CONFIG, "detector.%s: %g; it must be above %g and below %g", key, value, above, below);
}

/* --- life --- */

static ta_status check_head(const struct ta_detector_spec *spec) {
    static const char *const sides[] = {"default", "rise", "fall", "both"};
    if ((unsigned)spec->type >= TA_DETECTOR_TYPES || (unsigned)spec->side > TA_DETECTOR_BOTH ||
        (unsigned)spec->code > TA_DETECTOR_CAPYMOA || (unsigned)spec->variant > TA_OPTWIN_WELCH)
        return ta_fail(TA_CONFIG, "detector: type %d, side %d, code %d or variant %d is not a known one",
                       (int)spec->type, (int)spec->side, (int)spec->code, (int)spec->variant);
    const struct ta_detector_ops *ops = makes[spec->type];
    if (spec->side != TA_DETECTOR_SIDE_DEFAULT && !(ops->sides >> spec->side & 1))
        return ta_fail(TA_CONFIG, "detector.side: %s means nothing to %s; leave it out", sides[spec->side], ops->name);
    if (spec->code != TA_DETECTOR_REFERENCE && !(ops->codes >> spec->code & 1))
        return ta_fail(TA_CONFIG, "detector.code: %s is not known of %s; leave it out",
                       spec->code == TA_DETECTOR_MOA ? "moa" : "capymoa", ops->name);
    if (spec->variant != TA_OPTWIN_PUBLISHED && spec->type != TA_DETECTOR_OPTWIN)
        return ta_fail(TA_CONFIG, "detector.variant: welch means nothing to %s; say type: optwin", ops->name);
    return TA_OK;
}

ta_status ta_detector_open(struct ta_detector *d, const struct ta_detector_spec *spec) {
    *d = (struct ta_detector){0};
    ta_status status = check_head(spec);
    if (status != TA_OK) return status;
    const struct ta_detector_ops *ops = makes[spec->type];
    d->spec.type = spec->type;
    d->spec.side = spec->side;
    d->spec.code = spec->code;
    d->spec.variant = spec->variant;
    if (ops->fill != NULL) status = ops->fill(spec, &d->spec, &d->state_bytes, &d->table_bytes);
    if (status == TA_OK) status = ta_mem_alloc(d->state_bytes, 1, "drift detector", &d->state);
    if (status == TA_OK && d->table_bytes > 0)
        status = ta_mem_alloc(d->table_bytes, 1, "drift detector's table", &d->table);
    if (status != TA_OK) {
        ta_detector_close(d);
        return status;
    }
    d->ops = ops;
    if (ops->open != NULL) ops->open(d);
    ta_detector_reset(d);
    return TA_OK;
}

void ta_detector_close(struct ta_detector *d) {
    ta_mem_free(d->state);
    ta_mem_free(d->table);
    *d = (struct ta_detector){0};
}

void ta_detector_reset(struct ta_detector *d) {
    memset(d->state, 0, d->state_bytes);
    if (d->ops->reset != NULL) d->ops->reset(d);
    d->updates = d->ignored = d->drifts = d->warnings = 0;
}

size_t ta_detector_bytes(const struct ta_detector *d) { return d->state_bytes + d->table_bytes; }

enum ta_detector_verdict ta_detector_update(struct ta_detector *d, double x) {
    /* One comparison that is false for a NaN too. */
    double least = d->ops->errors ? 0 : -LIMIT, most = d->ops->errors ? 1 : LIMIT;
    if (!(x >= least && x <= most)) {
        d->ignored++;
        return TA_DETECTOR_OK;
    }
    d->updates++;
    enum ta_detector_verdict verdict = d->ops->update(d, x);
    d->drifts += verdict == TA_DETECTOR_DRIFT;
    d->warnings += verdict == TA_DETECTOR_WARNING;
    return verdict;
}

/* --- saving --- */

static const uint64_t MAGIC = UINT64_C(0x3154434554454454); /* "TDETECT1" on a little-endian machine */

struct saved_head {
    uint64_t magic, state_bytes;
    struct ta_detector_spec spec;
    uint64_t updates, ignored, drifts, warnings;
};

size_t ta_detector_saved_bytes(const struct ta_detector *d) { return sizeof(struct saved_head) + d->state_bytes; }

void ta_detector_save(const struct ta_detector *d, void *out) {
    struct saved_head head = {.magic = MAGIC,
                              .state_bytes = d->state_bytes,
                              .spec = d->spec,
                              .updates = d->updates,
                              .ignored = d->ignored,
                              .drifts = d->drifts,
                              .warnings = d->warnings};
    memcpy(out, &head, sizeof head);
    memcpy((char *)out + sizeof head, d->state, d->state_bytes);
}

ta_status ta_detector_load(struct ta_detector *d, const void *saved, size_t bytes) {
    struct saved_head head;
    if (bytes < sizeof head)
        return ta_fail(TA_FORMAT, "saved detector: %zu bytes; even an empty one has %zu", bytes, sizeof head);
    memcpy(&head, saved, sizeof head);
    if (head.magic != MAGIC)
        return ta_fail(TA_FORMAT,
                       "saved detector: it begins with %016llx, not %016llx: not one, or from another version",
                       (unsigned long long)head.magic, (unsigned long long)MAGIC);
    if (memcmp(&head.spec, &d->spec, sizeof head.spec) != 0)
        return ta_fail(TA_FORMAT,
                       "saved detector: it was a %s with other parameters than this %s; open it with the same",
                       ta_detector_name(head.spec.type), d->ops->name);
    if (head.state_bytes != d->state_bytes || bytes != sizeof head + d->state_bytes)
        return ta_fail(TA_FORMAT, "saved detector: %zu bytes, but a %s of these parameters has %zu", bytes,
                       d->ops->name, sizeof head + d->state_bytes);
    /* Looked at in a copy of its own alignment: what does not pass must not touch the state. */
    void *copy;
    ta_status status = ta_mem_alloc(d->state_bytes, 1, "saved detector", &copy);
    if (status != TA_OK) return status;
    memcpy(copy, (const char *)saved + sizeof head, d->state_bytes);
    if (d->ops->sane != NULL && !d->ops->sane(d, copy)) {
        ta_mem_free(copy);
        return ta_fail(TA_FORMAT, "saved detector: its %zu bytes are not the state of any %s: damaged", bytes,
                       d->ops->name);
    }
    ta_mem_free(d->state);
    d->state = copy;
    d->updates = head.updates;
    d->ignored = head.ignored;
    d->drifts = head.drifts;
    d->warnings = head.warnings;
    return TA_OK;
}
