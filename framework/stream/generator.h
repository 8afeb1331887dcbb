/* generator: what each maker of synthetic records provides; private to synthetic.c and the generators.
 *
 * A generator is one file and one const table. Options are doubles, named in the table with default and range; the
 * state is one block, filled by prepare and read-only afterwards.
 */
#ifndef TA_GENERATOR_H
#define TA_GENERATOR_H

#include "rng.h"
#include "stream.h"

enum { TA_GENERATOR_OPTIONS = 6 };

struct ta_generator_option {
    const char *name; /* NULL: end of the list */
    double fallback, least, most;
    bool whole;
};

/* Everything that decides a record but its number. */
struct ta_generator_args {
    uint64_t seed;
    double option[TA_GENERATOR_OPTIONS]; /* in the order of the table */
};

struct ta_generator {
    const char *name;
    const char *summary;
    uint32_t concepts;
    struct ta_generator_option options[TA_GENERATOR_OPTIONS];
    int noise_option; /* which option is the label noise; -1: none */

    /* Fills shape, element, scale, offset and classes; *state_bytes is what `prepare` wants (0: nothing). Errors:
     * CONFIG (options that do not fit together). */
    ta_status (*shape)(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes);
    void (*prepare)(const struct ta_generator_args *args, void *state); /* NULL: nothing to prepare */

    /* One record: x as the shape says; returns the class. `rng` is at the start of numbers that are this record's
     * alone. */
    int32_t (*draw)(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *x);
};

extern const struct ta_generator ta_generator_sea;        /* sea.c */
extern const struct ta_generator ta_generator_stagger;    /* stagger.c */
extern const struct ta_generator ta_generator_agrawal;    /* agrawal.c */
extern const struct ta_generator ta_generator_hyperplane; /* hyperplane.c */
extern const struct ta_generator ta_generator_rbf;        /* rbf.c */
extern const struct ta_generator ta_generator_glyphs;     /* glyphs.c */

/* A value that moves from `start` in [0, 1] by `velocity` a record and is mirrored at 0 and 1, after `records` of
 * them. */
double ta_generator_bounce(double start, double velocity, uint64_t records);

#endif
