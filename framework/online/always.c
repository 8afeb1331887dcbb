/* always: the foil that sees drift in every number; where frequent resets win, it shows. */
#include "detector_ops.h"

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    (void)d, (void)x;
    return TA_DETECTOR_DRIFT;
}

const struct ta_detector_ops ta_detector_always = {
    .name = "always",
    .summary = "sees drift in every number",
    .type = TA_DETECTOR_ALWAYS,
    .update = update,
};
