/* never: the foil that sees no drift; a detector that helps must beat a run with this one. */
#include "detector_ops.h"

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    (void)d, (void)x;
    return TA_DETECTOR_OK;
}

const struct ta_detector_ops ta_detector_never = {
    .name = "never",
    .summary = "never sees drift",
    .type = TA_DETECTOR_NEVER,
    .update = update,
};
