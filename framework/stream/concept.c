/* concept: the drift plan's grammar, and one binary search. */
#include "concept.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

/* What the coin flips of gradual changes are drawn from: apart from everything a generator draws. */
static const uint64_t CONCEPT_STREAM = UINT64_C(0x636f6e6365707400);

static ta_status bad(const char *entry, size_t length, const char *what) {
    return ta_fail(TA_CONFIG, "drift '%.*s': %s; write abrupt@RECORD:CONCEPT or gradual@RECORD+WIDTH:CONCEPT",
                   (int)length, entry, what);
}

/* Digits only: strtoull alone would take "-1" and " 5". */
static int parse_number(const char **p, uint64_t *value) {
    if (!isdigit((unsigned char)**p)) return 0;
    char *end;
    errno = 0;
    *value = strtoull(*p, &end, 10);
    *p = end;
    return errno == 0;
}

static ta_status parse_change(const char *entry, size_t length, struct ta_concept_change *change) {
    const char *p = entry;
    int gradual = strncmp(p, "gradual@", 8) == 0;
    if (!gradual && strncmp(p, "abrupt@", 7) != 0) return bad(entry, length, "neither 'abrupt@' nor 'gradual@'");
    p += gradual ? 8 : 7;
    if (!parse_number(&p, &change->at)) return bad(entry, length, "no record number behind '@'");
    change->width = 0;
    if (gradual) {
        if (*p++ != '+' || !parse_number(&p, &change->width)) return bad(entry, length, "no '+WIDTH' in records");
        if (change->width == 0) return bad(entry, length, "a gradual change needs a width of at least 1 record");
    }
    uint64_t concept;
    if (*p++ != ':' || !parse_number(&p, &concept)) return bad(entry, length, "no ':CONCEPT' number");
    if (p != entry + length) return bad(entry, length, "something is left over behind the concept");
    if (change->at + change->width < change->at)
        return bad(entry, length, "the change ends beyond any record number");
    change->concept = concept > UINT32_MAX ? UINT32_MAX : (uint32_t) concept;
    return TA_OK;
}

ta_status ta_concept_parse(struct ta_concept_plan *plan, const char *text, uint32_t concepts, uint64_t seed) {
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    if (text == NULL || *text == '\0') return TA_OK;
    uint64_t free_from = 0;
    for (const char *entry = text;; entry++) {
        size_t length = strcspn(entry, ",");
        if (plan->count == TA_CONCEPT_CHANGES)
            return ta_fail(TA_CONFIG, "drift: more than %d changes; leave some out", TA_CONCEPT_CHANGES);
        struct ta_concept_change *change = &plan->change[plan->count];
        ta_status status = parse_change(entry, length, change);
        if (status != TA_OK) return status;
        if (change->concept < 1 || change->concept > concepts)
            return ta_fail(TA_CONFIG,
                           "drift '%.*s': there is no concept %" PRIu32 "; this generator has 1 to %" PRIu32,
                           (int)length, entry, change->concept, concepts);
        if (plan->count > 0 && change->at < free_from)
            return ta_fail(TA_CONFIG,
                           "drift '%.*s' begins at record %" PRIu64 ", but the change in front of it is only "
                           "over at %" PRIu64 ": let positions rise",
                           (int)length, entry, change->at, free_from);
        free_from = change->at + (change->width == 0 ? 1 : change->width);
        plan->count++;
        entry += length;
        if (*entry == '\0') return TA_OK;
    }
}

uint32_t ta_concept_at(const struct ta_concept_plan *plan, uint64_t record) {
    unsigned begun = 0, end = plan->count; /* changes [0, begun) have at <= record */
    while (begun < end) {
        unsigned middle = begun + (end - begun) / 2;
        if (plan->change[middle].at <= record)
            begun = middle + 1;
        else
            end = middle;
    }
    if (begun == 0) return 1;
    const struct ta_concept_change *change = &plan->change[begun - 1];
    uint64_t into = record - change->at;
    if (into >= change->width) return change->concept;
    struct ta_rng rng = ta_rng_make(plan->seed, CONCEPT_STREAM);
    rng.position = 4 * record; /* a block of the generator each, far from wrapping for any real stream */
    double probability = ((double)into + 0.5) / (double)change->width;
    if (ta_rng_uniform(&rng) < probability) return change->concept;
    return begun == 1 ? 1 : plan->change[begun - 2].concept;
}
