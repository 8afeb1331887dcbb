/* plateau: has training converged? TensAIR's rule over a stream of losses.
 *
 * Losses are averaged over stretches of `stretch` records. Training has converged when, over the last `patience`
 * stretches, none had a mean loss of more than `factor` times the newest one's: looking so far back, nothing has been
 * gained any more. (TensAIR, mode AUTOMATIC, with its epochs as stretches.) Nor may the newest be more than `factor`
 * times any of them: by TensAIR's rule alone, training ends at the very moment at which the loss goes up. A mean that
 * is not finite starts the count anew, as does `restart`.
 *
 * Of several learners together: what a stretch counts with is the mean over our own and the others' latest losses.
 *
 * A loss near zero is as good as another near zero: both are raised by `floor` before they are compared.
 *
 * A plain value, no allocation after init; one thread; a constant time a record.
 */
#ifndef TA_PLATEAU_H
#define TA_PLATEAU_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

struct ta_plateau_spec {
    uint32_t stretch;  /* records; 0: 1000 */
    uint32_t patience; /* stretches, 2 .. 10000; 0: 10 */
    double factor;     /* above 1; 0: 1.02 */
    double floor;      /* 0 or more; 0: 1e-4 */
};

struct ta_plateau {
    struct ta_plateau_spec spec;
    double *means;       /* [patience], a ring; owned */
    uint64_t stretches;  /* since the start */
    double sum;          /* of the stretch being filled */
    uint32_t records;    /* in it */
    double others_sum;   /* of the others' losses, */
    uint32_t others;     /* so many */
};

/* Errors: CONFIG (which value, what is allowed), NO_MEMORY. */
ta_status ta_plateau_init(struct ta_plateau *p, const struct ta_plateau_spec *spec);
void ta_plateau_free(struct ta_plateau *p);
/* One record's loss; true when this record ended a stretch and training has converged. */
bool ta_plateau_add(struct ta_plateau *p, double loss);
void ta_plateau_restart(struct ta_plateau *p);
/* The mean losses of so many others, added up, as far as they are known: they hold until the next call. None at first,
 * and after a restart. */
void ta_plateau_others(struct ta_plateau *p, double sum, uint32_t others);

#endif
