/* concept: which concept holds at which record of a generated stream (concept drift).
 *
 * Written as a list, separated by commas, positions (record numbers) rising:
 *
 *     abrupt@5000:2                concept 2 from record 5000 on
 *     gradual@9000+1000:3          over records 9000 to 9999 concept 3 takes over from the one in force: record
 *                                  9000 + i is drawn from concept 3 with probability (i + 0.5) / 1000, independently;
 *                                  from record 10000 on every record is of concept 3
 *
 * A gradual change must be over before the next one begins. Concept 1 holds at the start; "abrupt@0:4" starts with 4.
 * What the concepts of a generator are is said in synthetic.h. The concept of a record is a pure function of the plan,
 * the seed and the record's number: any record can be asked for, in any order.
 *
 * Threads: a plan is read-only after parsing.
 */
#ifndef TA_CONCEPT_H
#define TA_CONCEPT_H

#include <stdint.h>

#include "status.h"

enum { TA_CONCEPT_CHANGES = 256 };

struct ta_concept_change {
    uint64_t at;     /* first record of the change */
    uint64_t width;  /* records; 0: abrupt */
    uint32_t concept; /* from 1 */
};

struct ta_concept_plan {
    struct ta_concept_change change[TA_CONCEPT_CHANGES];
    unsigned count;
    uint64_t seed;
};

/* `text` may be NULL or "": concept 1 for ever. `concepts`: how many the generator has. Errors: CONFIG (names the
 * entry, what is wrong with it, and what is allowed). */
ta_status ta_concept_parse(struct ta_concept_plan *plan, const char *text, uint32_t concepts, uint64_t seed);

uint32_t ta_concept_at(const struct ta_concept_plan *plan, uint64_t record); /* 1 .. concepts */

#endif
