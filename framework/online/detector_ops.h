/* detector_ops: what a make of a detector provides; private to framework/online, but for name, summary and type.
 *
 * A make is one file and one const table. Its state is one block of plain data without pointers, zeroed before `reset`
 * is called; the table is a second one, made by `open`, that is the same for every detector of that spec.
 */
#ifndef TA_DETECTOR_OPS_H
#define TA_DETECTOR_OPS_H

#include <stdbool.h>

#include "detector.h"

struct ta_detector_ops {
    const char *name;
    const char *summary;
    enum ta_detector_type type;
    bool errors;    /* takes numbers in [0, 1] only */
    unsigned sides; /* bits 1 << enum ta_detector_side that are understood */
    unsigned codes; /* bits 1 << enum ta_detector_code, beside the reference, that are understood */

    /* Copies its group of `in` to `out` (zeroed but for the head) with defaults filled in, checks it, and says how
     * large the two blocks are (*table_bytes is 0 on entry). Errors: CONFIG. */
    ta_status (*fill)(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes);
    void (*open)(struct ta_detector *d);  /* makes the table; NULL: there is none */
    void (*reset)(struct ta_detector *d); /* state, from zeroed memory; NULL: zeros are the start */
    enum ta_detector_verdict (*update)(struct ta_detector *d, double x); /* x is finite and in range */
    /* Could this state have come about? Whatever passes must be safe to update: sizes and indices above all. */
    bool (*sane)(const struct ta_detector *d, const void *state); /* NULL: whatever the bytes */
};

extern const struct ta_detector_ops ta_detector_optwin;      /* optwin.c */
extern const struct ta_detector_ops ta_detector_adwin;       /* adwin.c */
extern const struct ta_detector_ops ta_detector_ddm;         /* ddm.c */
extern const struct ta_detector_ops ta_detector_eddm;        /* eddm.c */
extern const struct ta_detector_ops ta_detector_pagehinkley; /* pagehinkley.c */
extern const struct ta_detector_ops ta_detector_kswin;       /* kswin.c */
extern const struct ta_detector_ops ta_detector_stepd;       /* stepd.c */
extern const struct ta_detector_ops ta_detector_ecdd;        /* ecdd.c */
extern const struct ta_detector_ops ta_detector_hddm_a;      /* hddm_a.c */
extern const struct ta_detector_ops ta_detector_never;       /* never.c */
extern const struct ta_detector_ops ta_detector_always;      /* always.c */

/* A running mean as River has it: the order of its operations is part of the alarms. */
struct ta_detector_mean {
    double n, mean;
};

static inline void ta_detector_mean_add(struct ta_detector_mean *m, double x) {
    m->n += 1;
    m->mean += 1 / m->n * (x - m->mean);
}

/* Defaults for what is 0, and ranges. Errors: CONFIG, "detector.optwin.rho: 7; it must be ...". */
double ta_detector_or(double value, double fallback);
ta_status ta_detector_range(const char *key, double value, double least, double most);
ta_status ta_detector_open_range(const char *key, double value, double above, double below);

#endif
